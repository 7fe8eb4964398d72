#include "protocol/mqtt_link.h"

#include "base/log.h"
#include "base/units.h"
#include "metrics/mark.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* One read event takes at most this many messages, so that one busy subscriber does not starve the others. */
#define READ_BATCH 32

static void on_ready(struct ix_poll *poll, uint32_t events);
static void on_wheel(struct ix_wheel_entry *entry, uint64_t now_ns);

/* Of the keep-alive: so often is looked whether a ping is due. */
static uint64_t quarter(const struct ix_mqtt_link *link)
{
    return link->keepalive_s * 250000000ull;
}

/* --- Callbacks of the library: they only note what happened, or hand an event on. */

static void on_connect(struct mosquitto *client, void *context, int code, int flags,
                       const mosquitto_property *properties)
{
    struct ix_mqtt_link *link = context;
    struct ix_mqtt_transport *transport = link->transport;
    (void)client;
    if (!ix_mqtt_link_lives(link) || link->state != IX_MQTT_CONNECTING)
        return;
    if (code != 0) {
        link->refused = true;
        ix_mqtt_link_end(link, ix_mqtt_connack_text(transport->version, code));
        return;
    }
    mosquitto_property_read_int16(properties, MQTT_PROP_RECEIVE_MAXIMUM, &link->window, false);
    mosquitto_property_read_int16(properties, MQTT_PROP_SERVER_KEEP_ALIVE, &link->keepalive_s, false);
    link->state = IX_MQTT_CONNECTED;
    ix_wheel_cancel(transport->loop->wheel, &link->wheel);
    if (link->keepalive_s > 0)
        ix_wheel_add(transport->loop->wheel, &link->wheel,
                     ix_clock_now(&transport->loop->clock) + quarter(link));
    transport->events.connected(link->owner, (flags & 1) != 0);
}

/* May come twice. The library has closed the descriptor already: it must not be watched a moment longer. */
static void on_disconnect(struct mosquitto *client, void *context, int code,
                          const mosquitto_property *properties)
{
    int error = errno;
    struct ix_mqtt_link *link = context;
    (void)client;
    (void)properties;
    ix_mqtt_link_fault(link, code, error);
}

static void on_publish(struct mosquitto *client, void *context, int id, int code,
                       const mosquitto_property *properties)
{
    struct ix_mqtt_link *link = context;
    (void)client;
    (void)properties;
    if (link->publishing) {
        link->published = true;
        return;
    }
    if (link->state != IX_MQTT_CONNECTED)
        return;
    if (link->pending > 0)
        link->pending--;
    /* Successes are below 0x80, among them 0x10, "no matching subscribers". */
    if (link->transport->events.acked != NULL)
        link->transport->events.acked(link->owner, (uint16_t)id, code < MQTT_RC_UNSPECIFIED);
}

/* The caller frees it. */
static char *read_mark(const mosquitto_property *properties)
{
    char *name = NULL, *value = NULL;
    bool again = false;
    while ((properties = mosquitto_property_read_string_pair(properties, MQTT_PROP_USER_PROPERTY, &name,
                                                             &value, again)) != NULL) {
        bool found = strcmp(name, IX_MARK_FIELD) == 0;
        free(name);
        if (found)
            return value;
        free(value);
        name = value = NULL;
        again = true;
    }
    return NULL;
}

static void on_message(struct mosquitto *client, void *context, const struct mosquitto_message *received,
                       const mosquitto_property *properties)
{
    struct ix_mqtt_link *link = context;
    (void)client;
    link->received = true;
    if (link->state != IX_MQTT_CONNECTED || link->transport->events.message == NULL)
        return;
    char *mark = properties ? read_mark(properties) : NULL;
    struct ix_message message = {
        .topic = received->topic,
        .payload = received->payload,
        .len = (size_t)received->payloadlen,
        .qos = received->qos,
        .retain = received->retain,
        .packet = (uint16_t)received->mid,
        .mark = mark,
    };
    link->transport->events.message(link->owner, &message);
    free(mark);
}

static void on_subscribe(struct mosquitto *client, void *context, int id, int count, const int *granted,
                         const mosquitto_property *properties)
{
    struct ix_mqtt_link *link = context;
    struct ix_mqtt_transport *transport = link->transport;
    bool accepted = count > 0;
    (void)client;
    (void)id;
    (void)properties;
    if (link->state != IX_MQTT_CONNECTED)
        return;
    for (int i = 0; i < count; i++)
        accepted = accepted && granted[i] < MQTT_RC_UNSPECIFIED;
    if (transport->events.subscribed != NULL)
        transport->events.subscribed(link->owner, accepted);
    else if (!accepted)
        ix_log_repeat(IX_LOG_WARN, transport->target.server_name, "the server refused a subscription");
}

static void on_unsubscribe(struct mosquitto *client, void *context, int id,
                           const mosquitto_property *properties)
{
    struct ix_mqtt_link *link = context;
    (void)client;
    (void)properties;
    if (link->state == IX_MQTT_CONNECTED && link->transport->events.answered != NULL)
        link->transport->events.answered(link->owner, (uint16_t)id);
}

void ix_mqtt_link_prepare(struct ix_mqtt_link *link)
{
    link->poll.ready = on_ready;
    link->wheel.fire = on_wheel;
    mosquitto_connect_v5_callback_set(link->client, on_connect);
    mosquitto_disconnect_v5_callback_set(link->client, on_disconnect);
    mosquitto_publish_v5_callback_set(link->client, on_publish);
    mosquitto_message_v5_callback_set(link->client, on_message);
    mosquitto_subscribe_v5_callback_set(link->client, on_subscribe);
    mosquitto_unsubscribe_v5_callback_set(link->client, on_unsubscribe);
}

/* --- The end of a link. */

static void stop(struct ix_mqtt_link *link)
{
    ix_poll_forget(&link->poll);
    ix_wheel_cancel(link->transport->loop->wheel, &link->wheel);
}

void ix_mqtt_link_end(struct ix_mqtt_link *link, const char *reason)
{
    if (!ix_mqtt_link_lives(link))
        return;
    stop(link);
    link->reason = reason;
}

void ix_mqtt_link_fault(struct ix_mqtt_link *link, int code, int error)
{
    const char *reason = link->transport->tls != NULL ? ix_mqtt_tls_reason(link, code, error) : NULL;
    ix_mqtt_link_end(link, reason != NULL ? reason : ix_mqtt_loss_text(code, error));
}

void ix_mqtt_link_fault_later(struct ix_mqtt_link *link, int code, int error)
{
    if (!ix_mqtt_link_lives(link))
        return;
    ix_mqtt_link_fault(link, code, error);
    ix_wheel_add(link->transport->loop->wheel, &link->wheel, 0);
}

void ix_mqtt_link_silence(struct ix_mqtt_link *link)
{
    (void)ix_poll_set(link->transport->loop, &link->poll, 0);
    stop(link);
    link->state = IX_MQTT_SILENT;
}

void ix_mqtt_transport_drop(struct ix_mqtt_transport *transport)
{
    if (transport->links > 0 || !transport->released)
        return;
    SSL_CTX_free(transport->tls);
    mosquitto_property_free_all(&transport->properties);
    free(transport);
}

static void prepare_reset(struct ix_mqtt_link *link, int fd)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    if (link->transport->tls != NULL)
        SSL_set_quiet_shutdown((SSL *)mosquitto_ssl_get(link->client), 1);
}

/* DISCONNECT, as far as the socket takes it. To close a socket with unread data would reset the connection,
 * and the DISCONNECT might be lost with it. */
static void say_goodbye(struct ix_mqtt_link *link, int fd)
{
    char unread[4096];
    for (int i = 0; i < READ_BATCH && recv(fd, unread, sizeof(unread), MSG_DONTWAIT) > 0; i++)
        ;
    mosquitto_disconnect(link->client);
}

/* Outside of any callback of the library, with the descriptor still open unless the library closed it. */
static void destroy(void *context)
{
    struct ix_mqtt_link *link = context;
    int fd = mosquitto_socket(link->client);
    if (fd >= 0 && link->way == IX_WAY_ABORT)
        prepare_reset(link, fd);
    else if (fd >= 0 && link->reason == NULL)
        say_goodbye(link, fd);
    mosquitto_destroy(link->client);
    link->transport->links--;
    ix_mqtt_transport_drop(link->transport);
    free(link);
}

void ix_mqtt_link_dispose(struct ix_mqtt_link *link)
{
    stop(link);
    link->state = IX_MQTT_CLOSED;
    ix_mqtt_direct_discard(link);
    ix_loop_defer(link->transport->loop, destroy, link);
}

static void finish(struct ix_mqtt_link *link)
{
    enum ix_outcome outcome = IX_FAILED;
    if (link->refused)
        outcome = IX_REFUSED;
    else if (link->state == IX_MQTT_CONNECTED)
        outcome = IX_LOST;
    else if (ix_mqtt_is_starved(link->reason))
        outcome = IX_STARVED;
    link->way = IX_WAY_CLOSE;
    ix_mqtt_link_dispose(link);
    link->transport->events.closed(link->owner, outcome, link->reason);
}

/* --- Driving the library. */

static void read_some(struct ix_mqtt_link *link)
{
    for (int i = 0; i < READ_BATCH && link->state < IX_MQTT_SILENT; i++) {
        link->received = false;
        errno = 0;
        int code = mosquitto_loop_read(link->client, 1);
        int error = errno;
        if (link->handshaking)
            ix_mqtt_tls_step(link, code, error);
        if (code != MOSQ_ERR_SUCCESS)
            ix_mqtt_link_fault(link, code, error);
        if (link->reason != NULL || !link->received)
            return;
    }
}

/* One pass: with more, the library may report a disconnect twice. */
static void write_some(struct ix_mqtt_link *link)
{
    errno = 0;
    int code = mosquitto_loop_write(link->client, 1);
    if (code != MOSQ_ERR_SUCCESS)
        ix_mqtt_link_fault(link, code, errno);
}

/* Reads what came before the fault, until the fault itself surfaces. */
static void read_fault(struct ix_mqtt_link *link)
{
    int fd = mosquitto_socket(link->client);
    for (int i = 0; i < READ_BATCH && ix_mqtt_link_lives(link); i++)
        read_some(link);
    int error = 0;
    socklen_t len = sizeof(error);
    if (ix_mqtt_link_lives(link)) {
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
        ix_mqtt_link_end(link, ix_mqtt_errno_text(error));
    }
}

void ix_mqtt_link_watch(struct ix_mqtt_link *link)
{
    uint32_t wanted = EPOLLIN;
    if (link->handshaking)
        wanted = SSL_want_write((SSL *)mosquitto_ssl_get(link->client)) ? EPOLLOUT : EPOLLIN;
    else if (link->has_rest || mosquitto_want_write(link->client))
        wanted |= EPOLLOUT;
    int rc = ix_poll_set(link->transport->loop, &link->poll, wanted);
    if (rc < 0)
        ix_mqtt_link_fault_later(link, MOSQ_ERR_ERRNO, -rc);
}

/* After the library has returned: what its callbacks noted takes effect. */
static void settle(struct ix_mqtt_link *link)
{
    if (link->state >= IX_MQTT_SILENT)
        return;
    if (link->reason != NULL)
        finish(link);
    else
        ix_mqtt_link_watch(link);
}

static void on_ready(struct ix_poll *poll, uint32_t events)
{
    struct ix_mqtt_link *link = (struct ix_mqtt_link *)(void *)poll;
    bool full = (poll->events & EPOLLOUT) != 0 && (events & EPOLLOUT) == 0;
    link->inside = true;
    if ((events & EPOLLERR) != 0) {
        read_fault(link);
    } else if ((events & (EPOLLIN | EPOLLHUP)) != 0 || link->handshaking) {
        link->heard_ms = (uint32_t)(link->transport->loop->now_ns / IX_MS);
        read_some(link);
    }
    if (ix_mqtt_link_lives(link) && link->has_rest && !full)
        ix_mqtt_direct_write(link);
    if (ix_mqtt_link_lives(link) && !link->handshaking && !full && !link->has_rest &&
        mosquitto_want_write(link->client))
        write_some(link);
    link->inside = false;
    settle(link);
}

static const char *timeout_text(const struct ix_mqtt_link *link)
{
    int error = 0;
    socklen_t len = sizeof(error);
    struct sockaddr_storage peer;
    socklen_t peer_len = sizeof(peer);
    int fd = mosquitto_socket(link->client);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error != 0)
        return ix_mqtt_errno_text(error);
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) != 0)
        return "connection timed out";
    return link->handshaking ? "connection timed out in the TLS handshake"
                             : "connection timed out waiting for CONNACK";
}

/* Of the last 24 days. */
static uint64_t heard_ns(const struct ix_mqtt_link *link, uint64_t now_ns)
{
    int32_t ago_ms = (int32_t)((uint32_t)(now_ns / IX_MS) - link->heard_ms);
    return ago_ms > 0 ? now_ns - (uint64_t)ago_ms * IX_MS : now_ns;
}

/* The library pings after the keep-alive, and waits for the answer as long again. A server that vanished without a
 * word is noticed sooner: half a keep-alive after its answer was due, as the server would with us. */
static bool is_silent(struct ix_mqtt_link *link, uint64_t now_ns)
{
    char byte;
    /* We did not ping in time ourselves, or what came was not read yet. */
    if (now_ns - link->wheel.due_ns > quarter(link) ||
        recv(link->poll.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
        link->heard_ms = (uint32_t)(now_ns / IX_MS);
    return now_ns - heard_ns(link, now_ns) >= 6 * quarter(link);
}

static void keep_alive(struct ix_mqtt_link *link, uint64_t now_ns)
{
    int code = MOSQ_ERR_KEEPALIVE;
    errno = 0;
    if (!is_silent(link, now_ns)) {
        uint64_t next = now_ns + quarter(link), end = heard_ns(link, now_ns) + 6 * quarter(link);
        ix_wheel_add(link->transport->loop->wheel, &link->wheel, next < end ? next : end);
        link->inside = true;
        code = mosquitto_loop_misc(link->client);
        link->inside = false;
    }
    if (code != MOSQ_ERR_SUCCESS)
        ix_mqtt_link_fault(link, code, errno);
}

static void on_wheel(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_mqtt_link *link =
        (struct ix_mqtt_link *)(void *)((char *)entry - offsetof(struct ix_mqtt_link, wheel));
    if (link->reason == NULL && link->state == IX_MQTT_CONNECTING) {
        ix_mqtt_link_end(link, timeout_text(link));
    } else if (link->reason == NULL) {
        keep_alive(link, now_ns);
    }
    settle(link);
}

void ix_mqtt_link_begin(struct ix_mqtt_link *link)
{
    struct ix_loop *loop = link->transport->loop;
    if (link->reason != NULL) {
        ix_wheel_add(loop->wheel, &link->wheel, 0);
        return;
    }
    link->poll.fd = mosquitto_socket(link->client);
    ix_wheel_add(loop->wheel, &link->wheel, ix_clock_now(&loop->clock) + link->transport->connect_timeout_ns);
    ix_mqtt_link_watch(link);
}
