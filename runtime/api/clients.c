/* Who is connected, what we wait for, and for how long. The library's own time-out ends connections on which no
 * byte moves; one byte now and then must not be enough to hold a place for ever. */
#include "api/server_internal.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

struct client *ix_client_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

void ix_client_enter(struct client *client, enum client_phase phase)
{
    client->phase = phase;
    client->since_ns = uv_hrtime();
}

static void on_watch(uv_timer_t *timer)
{
    ix_clients_watch(timer->data);
}

void ix_client_notify(void *context, struct MHD_Connection *connection, void **socket_context,
                      enum MHD_ConnectionNotificationCode code)
{
    struct ix_server *server = context;
    struct client *client = *socket_context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        client = ix_calloc(1, sizeof(*client));
        client->connection = connection;
        ix_client_enter(client, CLIENT_REQUEST);
        client->next = server->clients;
        if (server->clients)
            server->clients->previous = client;
        else
            uv_timer_start(&server->watch, on_watch, 1000, 1000);
        server->clients = client;
        server->facts.connections++;
        server->facts.accepted++;
        *socket_context = client;
    } else if (client) {
        if (client->previous)
            client->previous->next = client->next;
        else
            server->clients = client->next;
        if (client->next)
            client->next->previous = client->previous;
        if (!server->clients)
            uv_timer_stop(&server->watch);
        server->facts.connections--;
        free(client);
        *socket_context = NULL;
    }
}

void ix_client_cut(struct ix_server *server, struct client *client)
{
    if (client->cut)
        return;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(client->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    client->cut = true;
    if (info)
        shutdown(info->connect_fd, SHUT_RDWR);
    ix_server_kick(server);
}

/* Edges of the library's epoll set get lost when the last bytes and the end arrive together. */
static bool has_left(const struct client *client)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(client->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd end = {info ? info->connect_fd : -1, POLLRDHUP, 0};
    return poll(&end, 1, 0) > 0 && (end.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

void ix_clients_watch(struct ix_server *server)
{
    const struct ix_server_config *config = &server->config;
    const uint32_t limit_s[] = {[CLIENT_REQUEST] = config->request_s,
                                [CLIENT_UPLOAD] = config->upload_s,
                                [CLIENT_ANSWER] = config->answer_s};
    uint64_t now = uv_hrtime();
    for (struct client *client = server->clients; client; client = client->next) {
        if (client->cut || client->phase == CLIENT_WAITING || client->phase == CLIENT_STREAM)
            continue;
        if (now - client->since_ns >= limit_s[client->phase] * 1000000000ull)
            server->facts.cut_off++;
        else if (client->phase == CLIENT_ANSWER || now - client->since_ns < 1000000000ull ||
                 !has_left(client))
            continue;
        ix_client_cut(server, client);
    }
}
