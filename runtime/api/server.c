#include "api/server_internal.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define POOL_BYTES \
    (64u << 10) /* of a connection: more than its headers may have, so that we answer, not the library */
#define WARN_BACKLOG   512
#define LIBRARY_FLAGS  (MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG)
#define STOP_TURNS_MAX 100

bool ix_host_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (!host || strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* ---- the listening socket ---- */

static int parse_host(const struct ix_server_config *config, struct sockaddr_storage *address, socklen_t *len,
                      struct ix_error *err)
{
    const char *host =
        config->host && strcasecmp(config->host, "localhost") != 0 ? config->host : "127.0.0.1";
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(config->port);
        *len = sizeof(*v4);
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(config->port);
        *len = sizeof(*v6);
    } else {
        return ix_fail(err, -EINVAL,
                       "%s: \"%.100s\" is no address to listen on; write 127.0.0.1, 0.0.0.0, ::1 or the like",
                       config->name, host);
    }
    return 0;
}

static int bind_failed(const struct ix_server_config *config, int fd, int code, struct ix_error *err)
{
    const char *host = config->host ? config->host : "127.0.0.1";
    const char *advice = code == EADDRINUSE ? "another program listens there; end it or choose another port"
                         : code == EACCES   ? "ports below 1024 need root or CAP_NET_BIND_SERVICE"
                         : code == EADDRNOTAVAIL ? "this host has no such address"
                                                 : strerror(code);
    if (fd >= 0)
        close(fd);
    return ix_fail(err, -code, "%s: can't listen on %s port %u: %s", config->name, host, config->port,
                   advice);
}

static int listen_on(struct ix_server *server, int *fd, struct ix_error *err)
{
    struct sockaddr_storage address;
    socklen_t len = 0;
    int yes = 1, code = parse_host(&server->config, &address, &len, err);
    if (code < 0)
        return code;
    *fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return bind_failed(&server->config, -1, errno, err);
    setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(*fd, (struct sockaddr *)&address, len) < 0 || listen(*fd, WARN_BACKLOG) < 0)
        return bind_failed(&server->config, *fd, errno, err);
    getsockname(*fd, (struct sockaddr *)&address, &len);
    char text[INET6_ADDRSTRLEN] = "";
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
        server->port = ntohs(v4->sin_port);
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
        snprintf(server->address, sizeof(server->address), "%s:%u", text, server->port);
    } else {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
        server->port = ntohs(v6->sin6_port);
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
        snprintf(server->address, sizeof(server->address), "[%s]:%u", text, server->port);
    }
    return 0;
}

/* ---- the library inside the loop ---- */

static void on_turn(uv_timer_t *timer);

static void run_library(struct ix_server *server)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;
    if (!server->daemon || server->in_library)
        return;
    server->in_library = true;
    server->again = false;
    MHD_run(server->daemon);
    server->in_library = false;
    if (server->again)
        uv_timer_start(&server->turn, on_turn, 0, 0);
    else if (MHD_get_timeout(server->daemon, &timeout_ms) == MHD_YES)
        uv_timer_start(&server->turn, on_turn, timeout_ms, 0);
    else
        uv_timer_stop(&server->turn);
}

static void on_turn(uv_timer_t *timer)
{
    run_library(timer->data);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    run_library(poll->data);
}

void ix_server_kick(struct ix_server *server)
{
    server->again = true;
    if (server->daemon && !server->in_library)
        uv_timer_start(&server->turn, on_turn, 0, 0);
}

static void on_library_log(void *context, const char *format, va_list args)
{
    const struct ix_server *server = context;
    char line[512];
    if (ix_log_get_level() < IX_LOG_DEBUG)
        return;
    vsnprintf(line, sizeof(line), format, args);
    line[strcspn(line, "\n")] = '\0';
    ix_log(IX_LOG_DEBUG, "%s: %s", server->config.name, line);
}

/* Paths and queries are decoded by the router, which knows where they may be cut. */
static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text);
}

static void set_defaults(struct ix_server_config *config)
{
    const struct ix_server_config given = *config;
#define DEFAULT(field, value) config->field = given.field ? given.field : (value)
    DEFAULT(connections, 1000);
    DEFAULT(connections_per_address, 250);
    DEFAULT(streams, 64);
    DEFAULT(header_bytes, 16u << 10);
    DEFAULT(target_bytes, 8u << 10);
    DEFAULT(body_bytes, 1u << 20);
    DEFAULT(bodies_bytes, 64u << 20);
    DEFAULT(request_s, 30);
    DEFAULT(upload_s, 60);
    DEFAULT(answer_s, 120);
    DEFAULT(idle_s, 30);
#undef DEFAULT
}

static struct MHD_Daemon *start_library(struct ix_server *server, int fd)
{
    const struct ix_server_config *config = &server->config;
    return MHD_start_daemon(LIBRARY_FLAGS, 0, NULL, NULL, ix_exchange_access, server,   /**/
                            MHD_OPTION_EXTERNAL_LOGGER, on_library_log, server,         /**/
                            MHD_OPTION_LISTEN_SOCKET, fd,                               /**/
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,     /**/
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)config->connections, /**/
                            MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                            (unsigned)config->connections_per_address,                  /**/
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)config->idle_s,    /**/
                            MHD_OPTION_NOTIFY_CONNECTION, ix_client_notify, server,     /**/
                            MHD_OPTION_URI_LOG_CALLBACK, ix_exchange_new, server,       /**/
                            MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,           /**/
                            MHD_OPTION_NOTIFY_COMPLETED, ix_exchange_completed, server, /**/
                            MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

int ix_server_start(const struct ix_server_config *config, struct ix_server **out, struct ix_error *err)
{
    struct ix_server *server = ix_calloc(1, sizeof(*server));
    int fd = -1;
    server->config = *config;
    set_defaults(&server->config);
    int code = listen_on(server, &fd, err);
    if (code < 0) {
        free(server);
        return code;
    }
    server->daemon = start_library(server, fd);
    const union MHD_DaemonInfo *info =
        server->daemon ? MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        if (server->daemon)
            MHD_stop_daemon(server->daemon);
        close(fd);
        free(server);
        return ix_fail(err, -EIO, "%s: the HTTP library can't be started (out of descriptors?)",
                       config->name);
    }
    uv_loop_t *uv = &config->loop->uv;
    uv_poll_init(uv, &server->poll, info->epoll_fd);
    uv_timer_init(uv, &server->turn);
    uv_timer_init(uv, &server->watch);
    uv_timer_init(uv, &server->drain);
    server->poll.data = server->turn.data = server->watch.data = server->drain.data = server;
    server->open_handles = 4;
    uv_poll_start(&server->poll, UV_READABLE, on_readable);
    *out = server;
    return 0;
}

uint16_t ix_server_port(const struct ix_server *server)
{
    return server->port;
}

const char *ix_server_address(const struct ix_server *server)
{
    return server->address;
}

struct ix_server_facts ix_server_facts(const struct ix_server *server)
{
    return server->facts;
}

struct ix_exchange *ix_server_find(struct ix_server *server, uint64_t ticket)
{
    for (struct ix_exchange *x = server->exchanges; x; x = x->next)
        if (x->ticket == ticket)
            return x->answered ? NULL : x;
    return NULL;
}

/* ---- the end ---- */

static void answer_rest(struct ix_server *server)
{
    static const char body[] =
        "{\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"the service was "
        "stopped before it could answer\"}";
    for (struct ix_exchange *x = server->exchanges; x; x = x->next) {
        if (x->stream)
            ix_stream_end(x->stream);
        else if (x->suspended)
            ix_exchange_answer_static(x, 503, "application/problem+json", body, sizeof(body) - 1);
    }
}

static bool is_busy(const struct ix_server *server)
{
    for (const struct ix_exchange *x = server->exchanges; x; x = x->next)
        if (x->headers_done)
            return true;
    return false;
}

static void finish_stop(struct ix_server *server)
{
    if (server->finished)
        return;
    server->finished = true;
    uv_timer_stop(&server->drain);
    answer_rest(server); /* nothing may be asleep when the library ends */
    for (int i = 0; i < STOP_TURNS_MAX && is_busy(server); i++)
        run_library(server);
    uv_poll_stop(&server->poll);
    uv_timer_stop(&server->turn);
    uv_timer_stop(&server->watch);
    struct MHD_Daemon *daemon = server->daemon;
    server->daemon = NULL;
    MHD_stop_daemon(daemon);
    if (server->stopped)
        server->stopped(server->stopped_context);
}

/* Keep-alive connections on which nothing is asked would hold up the end. */
static void cut_idle(struct ix_server *server)
{
    for (struct client *client = server->clients; client; client = client->next)
        if (client->phase == CLIENT_REQUEST)
            ix_client_cut(server, client);
}

static void on_drain(uv_timer_t *timer)
{
    struct ix_server *server = timer->data;
    cut_idle(server);
    if (!is_busy(server) || uv_now(timer->loop) >= server->drain_until)
        finish_stop(server);
}

void ix_server_stop(struct ix_server *server, uint64_t drain_ms, void (*stopped)(void *context),
                    void *context)
{
    if (server->finished)
        return;
    uv_update_time(server->drain.loop);
    server->drain_until = uv_now(server->drain.loop) + drain_ms;
    server->stopped = stopped;
    server->stopped_context = context;
    if (server->stopping)
        return;
    server->stopping = true;
    MHD_socket fd = MHD_quiesce_daemon(server->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    for (struct ix_exchange *x = server->exchanges; x; x = x->next)
        if (x->stream)
            ix_stream_end(x->stream);
    uv_timer_start(&server->drain, on_drain, 0, 20);
}

static void on_closed(uv_handle_t *handle)
{
    struct ix_server *server = handle->data;
    if (--server->open_handles == 0)
        free(server);
}

void ix_server_free(struct ix_server *server)
{
    if (!server)
        return;
    server->stopped = NULL;
    server->stopping = true;
    finish_stop(server);
    uv_close((uv_handle_t *)&server->poll, on_closed);
    uv_close((uv_handle_t *)&server->turn, on_closed);
    uv_close((uv_handle_t *)&server->watch, on_closed);
    uv_close((uv_handle_t *)&server->drain, on_closed);
}
