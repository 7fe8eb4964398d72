/* Two calls of the C library that libmosquitto makes and that a fleet cannot afford.
 *
 * mosquitto_new opens a socketpair that wakes up its own thread. Without that thread nobody reads it: it
 * costs two descriptors for each client, and one byte for each packet until some 220 KB of kernel memory are
 * full. libmosquitto goes on without it when socketpair fails.
 *
 * bind() to port 0 takes one port for each source address, whatever the destination. With
 * IP_BIND_ADDRESS_NO_PORT the port is chosen by connect(), and only has to be unique for its destination.
 *
 * The definitions here win over the C library's because the executable comes first in symbol lookup; the
 * linker exports them because libmosquitto refers to them, provided that they are visible. */
#include "protocol/mqtt_link.h"

#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>

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
    return real(fd, address, len);
}
