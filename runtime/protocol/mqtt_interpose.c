/* Three calls of the C library that libmosquitto makes and that a fleet cannot afford.
 *
 * mosquitto_new opens a socketpair that wakes up its own thread. Without that thread nobody reads it: it
 * costs two descriptors for each client, and one byte for each packet until some 220 KB of kernel memory are
 * full. libmosquitto goes on without it when socketpair fails.
 *
 * bind() to port 0 takes one port for each source address, whatever the destination. With
 * IP_BIND_ADDRESS_NO_PORT the port is chosen by connect(), and only has to be unique for its destination.
 *
 * connect() without a port looks at the ports of one parity first: once half of them are taken for one source and
 * destination, every further call scans that whole half, and 190 connects a second are left. A port range of the
 * socket's own, the same as the system's, makes it look at all of them (Linux 6.8). What connect() calls "try again"
 * when the ports are gone would be taken for "in progress".
 *
 * The definitions here win over the C library's because the executable comes first in symbol lookup; the
 * linker exports them because libmosquitto refers to them, provided that they are visible. */
#include "protocol/mqtt_link.h"

#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

#define IX_VISIBLE __attribute__((visibility("default")))

static __thread bool interposing;

void ix_mqtt_interpose(bool on)
{
    interposing = on;
}

IX_VISIBLE int socketpair(int domain, int type, int protocol, int pair[2])
{
    static int (*real)(int, int, int, int[2]);
    if (interposing) {
        errno = EMFILE;
        return -1;
    }
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "socketpair");
    return real(domain, type, protocol, pair);
}

static bool has_no_port(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)address)->sin_port == 0;
    return address->sa_family == AF_INET6 &&
           ((const struct sockaddr_in6 *)(const void *)address)->sin6_port == 0;
}

IX_VISIBLE int bind(int fd, const struct sockaddr *address, socklen_t len)
{
    static int (*real)(int, const struct sockaddr *, socklen_t);
    if (interposing && has_no_port(address)) {
        int on = 1;
        /* Where the kernel does not know it, the address is bound all the same. */
        (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    }
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "bind");
    int rc = real(fd, address, len);
    /* connect() says EADDRNOTAVAIL when the ports are gone; here the address is meant. */
    if (rc < 0 && interposing && errno == EADDRNOTAVAIL)
        errno = ENXIO;
    return rc;
}

IX_VISIBLE int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    static int (*real)(int, const struct sockaddr *, socklen_t);
    bool tcp = interposing && (address->sa_family == AF_INET || address->sa_family == AF_INET6);
    if (tcp) {
        uint32_t whole = 65535u << 16 | 1; /* bounds outside of the system's range change nothing */
        (void)setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &whole, sizeof(whole));
    }
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "connect");
    int rc = real(fd, address, len);
    if (rc < 0 && tcp && errno == EAGAIN)
        errno = EADDRNOTAVAIL;
    return rc;
}
