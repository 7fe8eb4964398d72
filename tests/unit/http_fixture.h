/* A server in the test's loop, and a client in a thread of its own that speaks plain sockets: what is sent is exactly
 * what the test says. */
#ifndef HTTP_FIXTURE_H
#define HTTP_FIXTURE_H

#include "check.h"

#include "api/server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENT_WAIT_MS 20000

struct fixture {
    struct ix_loop loop;
    struct ix_server *server;
    uint16_t port;
    uv_async_t done;
    pthread_t thread;
    void (*client)(struct fixture *f);
    void *context; /* of the test */
    int failures;  /* of the client: cmocka's asserts belong to the test's own thread */
};

#define check(f, condition)                                                           \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            (f)->failures++;                                                          \
        }                                                                             \
    } while (0)

static inline int client_connect(const struct fixture *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(f->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static inline void client_send(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        data += sent;
        len -= (size_t)sent;
    }
}

/* Reads until `until` was seen (NULL: the end), or the wait is over; the caller frees the text. */
static inline char *client_read(int fd, const char *until)
{
    struct ix_buf got;
    char block[4096];
    ix_buf_init(&got, 64u << 20);
    while (!until || !strstr(ix_buf_cstr(&got), until)) {
        struct pollfd wait = {fd, POLLIN, 0};
        ssize_t len = poll(&wait, 1, CLIENT_WAIT_MS) > 0 ? recv(fd, block, sizeof(block), 0) : -1;
        if (len <= 0)
            break;
        ix_buf_put(&got, block, (size_t)len);
    }
    return got.data ? got.data : ix_strdup("");
}

/* One request on a connection of its own, and its whole answer. */
static inline char *client_ask(const struct fixture *f, const char *request)
{
    int fd = client_connect(f);
    client_send(fd, request, strlen(request));
    char *answer = client_read(fd, NULL);
    close(fd);
    return answer;
}

/* The same for a request without body; `more`: further header lines, or "". */
static inline char *client_get(const struct fixture *f, const char *method, const char *target,
                               const char *more)
{
    char *request =
        ix_asprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n", method, target, more);
    char *answer = client_ask(f, request);
    free(request);
    return answer;
}

static inline int status_of(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? (int)strtol(answer + 9, NULL, 10) : 0;
}

static inline const char *body_of(const char *answer)
{
    const char *body = strstr(answer, "\r\n\r\n");
    return body ? body + 4 : "";
}

static void fixture_stop(uv_async_t *async)
{
    ix_loop_stop(&((struct fixture *)async->data)->loop);
}

static void *fixture_thread(void *context)
{
    struct fixture *f = context;
    f->client(f);
    uv_async_send(&f->done);
    return NULL;
}

/* Runs the loop while `client` runs in its thread. */
static inline void fixture_run(struct fixture *f, struct ix_server_config *config,
                               void (*client)(struct fixture *f))
{
    struct ix_error err;
    assert_int_equal(ix_loop_init(&f->loop, &err), 0);
    config->loop = &f->loop;
    if (!config->name)
        config->name = "test";
    assert_int_equal(ix_server_start(config, &f->server, &err), 0);
    f->port = ix_server_port(f->server);
    f->client = client;
    uv_async_init(&f->loop.uv, &f->done, fixture_stop);
    f->done.data = f;
    assert_int_equal(pthread_create(&f->thread, NULL, fixture_thread, f), 0);
    ix_loop_run(&f->loop);
    pthread_join(f->thread, NULL);
    ix_server_free(f->server);
    ix_loop_deinit(&f->loop);
    assert_int_equal(f->failures, 0);
}

#endif
