/* The MQTT adapter: transports, and what owners ask of links. mqtt_link.c drives the connections. */
#include "metrics/mark.h"
#include "protocol/mqtt_link.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* The library's limit for unacknowledged messages; the owner sets the real one, per link. */
#define NO_LIMIT 0
#define QUESTION "iotix/question" /* a filter that nobody subscribes to */

#define DEFAULT_PENDING 20

static struct ix_mqtt_link *mqtt(struct ix_link *link)
{
    return (struct ix_mqtt_link *)(void *)link;
}

static int mqtt_init(struct ix_error *err)
{
    int code = mosquitto_lib_init();
    if (code != MOSQ_ERR_SUCCESS)
        return ix_fail(err, -EIO, "libmosquitto does not start: %s", mosquitto_strerror(code));
    return 0;
}

static bool is_numeric(const char *address)
{
    unsigned char buffer[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, address, buffer) == 1 || inet_pton(AF_INET6, address, buffer) == 1;
}

static int mqtt_open(struct ix_loop *loop, const struct ix_connection_spec *spec,
                     const struct ix_target *target, const struct ix_link_events *events,
                     struct ix_transport **out, struct ix_error *err)
{
    if (!is_numeric(target->address) || target->port == 0)
        return ix_fail(err, -EINVAL, "broker %s: '%s' port %u is not a numeric address with a port",
                       target->server_name, target->address, target->port);
    struct ix_mqtt_transport *transport = ix_calloc(1, sizeof(*transport));
    transport->loop = loop;
    transport->events = *events;
    transport->target = *target;
    transport->max_pending = spec->max_inflight > 0 ? spec->max_inflight : DEFAULT_PENDING;
    transport->connect_timeout_ns = spec->connect_timeout_ns;
    transport->version = spec->mqtt_version == 5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311;
    transport->keepalive_s = spec->keep_alive_s;
    transport->clean_session = spec->clean_session;
    transport->receive_maximum = spec->receive_maximum;
    int rc = 0;
    if (spec->tls)
        rc = ix_mqtt_tls_new(spec, &transport->target, &transport->tls, err);
    if (rc == 0 && transport->version == MQTT_PROTOCOL_V5 && spec->session_expiry_s > 0 &&
        mosquitto_property_add_int32(&transport->properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL,
                                     spec->session_expiry_s) != MOSQ_ERR_SUCCESS)
        rc = ix_fail(err, -ENOMEM, "out of memory");
    if (rc != 0) {
        transport->released = true;
        ix_mqtt_transport_drop(transport);
        return rc;
    }
    *out = (struct ix_transport *)(void *)transport;
    return 0;
}

static void mqtt_release(struct ix_transport *opaque)
{
    struct ix_mqtt_transport *transport = (struct ix_mqtt_transport *)(void *)opaque;
    transport->released = true;
    ix_mqtt_transport_drop(transport);
}

/* A code of the library as errno, for what is wrong with a call's arguments; 0: the connection is at fault.
 */
static int argument_error(int code)
{
    switch (code) {
    case MOSQ_ERR_INVAL:
    case MOSQ_ERR_MALFORMED_UTF8:
    case MOSQ_ERR_NOT_SUPPORTED:
        return -EINVAL;
    case MOSQ_ERR_PAYLOAD_SIZE:
    case MOSQ_ERR_OVERSIZE_PACKET:
        return -EMSGSIZE;
    case MOSQ_ERR_QOS_NOT_SUPPORTED:
        return -EOPNOTSUPP;
    case MOSQ_ERR_NOMEM:
        return -ENOMEM;
    default:
        return 0;
    }
}

static int configure(struct ix_mqtt_link *link, const struct ix_identity *identity)
{
    const struct ix_mqtt_transport *transport = link->transport;
    struct mosquitto *client = link->client;
    ix_mqtt_link_prepare(link);
    mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, transport->version);
    mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_int_option(client, MOSQ_OPT_SEND_MAXIMUM, NO_LIMIT);
    if (transport->receive_maximum > 0)
        mosquitto_int_option(client, MOSQ_OPT_RECEIVE_MAXIMUM, transport->receive_maximum);
    if (transport->tls != NULL) {
        mosquitto_int_option(client, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0);
        mosquitto_void_option(client, MOSQ_OPT_SSL_CTX, transport->tls);
    }
    int code = MOSQ_ERR_SUCCESS;
    if (identity->username != NULL)
        code = mosquitto_username_pw_set(client, identity->username, identity->password);
    if (code == MOSQ_ERR_SUCCESS && identity->will_topic != NULL)
        code = mosquitto_will_set(client, identity->will_topic, (int)identity->will_len,
                                  identity->will_payload, identity->will_qos, identity->will_retain);
    return code;
}

static int begin_connect(struct ix_mqtt_link *link, const char *bind_address)
{
    const struct ix_mqtt_transport *transport = link->transport;
    /* The library has no asynchronous connect with properties, but it keeps those of an attempt that fails
     * at once: here, one to a Unix socket without a name. */
    if (transport->properties != NULL)
        (void)mosquitto_connect_bind_v5(link->client, "", 0, transport->keepalive_s, NULL,
                                        transport->properties);
    if (transport->tls != NULL)
        ix_mqtt_tls_begin(link);
    errno = 0;
    int code = mosquitto_connect_bind_async(link->client, transport->target.address, transport->target.port,
                                            transport->keepalive_s, bind_address);
    int error = errno;
    if (transport->tls != NULL)
        ix_mqtt_tls_attach(link, error);
    if (code != MOSQ_ERR_SUCCESS && argument_error(code) == 0)
        ix_mqtt_link_fault(link, code, error);
    return code;
}

static int check_identity(const struct ix_identity *identity, struct ix_error *err)
{
    if (identity->client_id == NULL || identity->client_id[0] == '\0')
        return ix_fail(err, -EINVAL, "the MQTT client id is empty");
    /* mosquitto_new closes descriptor 0 if the id is not valid. */
    if (mosquitto_validate_utf8(identity->client_id, (int)strlen(identity->client_id)) != MOSQ_ERR_SUCCESS)
        return ix_fail(err, -EINVAL,
                       "the MQTT client id '%s' is not valid UTF-8 text without control characters",
                       identity->client_id);
    if (identity->username == NULL && identity->password != NULL)
        return ix_fail(err, -EINVAL, "%s: MQTT takes no password without a user name", identity->client_id);
    if (identity->will_len > UINT16_MAX)
        return ix_fail(err, -EMSGSIZE, "%s: the will of %zu bytes is longer than MQTT's limit of 65535",
                       identity->client_id, identity->will_len);
    if (identity->bind_address != NULL && !is_numeric(identity->bind_address))
        return ix_fail(err, -EINVAL, "%s: the source address '%s' is not numeric", identity->client_id,
                       identity->bind_address);
    return 0;
}

static void discard(struct ix_mqtt_link *link)
{
    mosquitto_destroy(link->client);
    free(link);
}

static int mqtt_connect(struct ix_transport *opaque, const struct ix_identity *identity, void *owner,
                        struct ix_link **out, struct ix_error *err)
{
    struct ix_mqtt_transport *transport = (struct ix_mqtt_transport *)(void *)opaque;
    int rc = check_identity(identity, err);
    if (rc != 0)
        return rc;
    struct ix_mqtt_link *link = ix_calloc(1, sizeof(*link));
    link->transport = transport;
    link->owner = owner;
    link->window = UINT16_MAX;
    link->keepalive_s = (uint16_t)transport->keepalive_s;
    ix_mqtt_interpose(true);
    link->client = mosquitto_new(identity->client_id, transport->clean_session, link);
    int code = MOSQ_ERR_INVAL;
    if (link->client != NULL)
        code = configure(link, identity);
    if (code == MOSQ_ERR_SUCCESS)
        code = begin_connect(link, identity->bind_address);
    ix_mqtt_interpose(false);
    rc = argument_error(code);
    if (rc != 0) {
        discard(link);
        return ix_fail(err, rc, "%s: user name, password or will cannot be sent by MQTT: %s",
                       identity->client_id, mosquitto_strerror(code));
    }
    transport->links++;
    *out = (struct ix_link *)(void *)link;
    ix_mqtt_link_begin(link);
    return 0;
}

/* Packets wait in the library for the socket to take more: a call must then only queue, because writing
 * would report earlier messages as done from inside this call. */
static bool hold_back(struct ix_mqtt_link *link)
{
    bool waits = !link->inside && (link->has_rest || mosquitto_want_write(link->client));
    if (waits)
        mosquitto_threaded_set(link->client, true);
    return waits;
}

/* The socket is full, and as much waits in memory for it as may. */
static bool is_stuffed(const struct ix_mqtt_link *link)
{
    return link->pending >= link->transport->max_pending &&
           (link->has_rest || (link->poll.events & EPOLLOUT) != 0);
}

static bool mqtt_has_room(const struct ix_link *opaque, int qos)
{
    const struct ix_mqtt_link *link = (const struct ix_mqtt_link *)(const void *)opaque;
    return (qos == 0 || link->pending < link->window) && !is_stuffed(link);
}

static void let_go(struct ix_mqtt_link *link, bool held)
{
    if (held && !link->has_rest)
        mosquitto_threaded_set(link->client, false);
}

static int failed_call(struct ix_mqtt_link *link, int code, int error)
{
    int rc = argument_error(code);
    if (rc != 0)
        return rc;
    ix_mqtt_link_fault_later(link, code, error);
    return -ENOTCONN;
}

static int hand_over(struct ix_mqtt_link *link, const struct ix_message *message, int *id)
{
    mosquitto_property *properties = NULL;
    if (message->mark != NULL && link->transport->version == MQTT_PROTOCOL_V5 &&
        mosquitto_property_add_string_pair(&properties, MQTT_PROP_USER_PROPERTY, IX_MARK_FIELD,
                                           message->mark) != MOSQ_ERR_SUCCESS)
        return MOSQ_ERR_NOMEM;
    int code = mosquitto_publish_v5(link->client, id, message->topic, (int)message->len, message->payload,
                                    message->qos, message->retain, properties);
    int error = errno;
    mosquitto_property_free_all(&properties);
    errno = error;
    return code;
}

static int mqtt_publish(struct ix_link *opaque, const struct ix_message *message, uint16_t *token)
{
    struct ix_mqtt_link *link = mqtt(opaque);
    if (link->state != IX_MQTT_CONNECTED || link->reason != NULL)
        return -ENOTCONN;
    if (!mqtt_has_room(opaque, message->qos))
        return -EAGAIN;
    if (message->len > MQTT_MAX_PAYLOAD)
        return -EMSGSIZE;
    if (message->qos == 0) {
        int rc = ix_mqtt_direct_publish(link, message, token);
        if (rc != -EOPNOTSUPP)
            return rc;
    }
    int id = 0;
    bool held = hold_back(link);
    link->publishing = true;
    link->published = false;
    errno = 0;
    int code = hand_over(link, message, &id);
    int error = errno;
    link->publishing = false;
    let_go(link, held);
    if (code != MOSQ_ERR_SUCCESS)
        return failed_call(link, code, error);
    if (link->published)
        return IX_PUBLISHED;
    *token = (uint16_t)id;
    link->pending++;
    if (!link->inside)
        ix_mqtt_link_watch(link);
    return 0;
}

/* The 64 bytes that mqtt_publish reads of a link: two cache lines at most. */
static void mqtt_warm(const struct ix_link *opaque)
{
    const struct ix_mqtt_link *link = (const struct ix_mqtt_link *)(const void *)opaque;
    __builtin_prefetch(link);
    __builtin_prefetch((const char *)&link->wheel - 1);
}

/* SUBSCRIBE, or with `token` UNSUBSCRIBE. */
static int send_filter(struct ix_mqtt_link *link, const char *filter, int qos, uint16_t *token)
{
    if (link->state != IX_MQTT_CONNECTED || link->reason != NULL)
        return -ENOTCONN;
    bool held = hold_back(link);
    int id = 0;
    errno = 0;
    int code = token != NULL ? mosquitto_unsubscribe(link->client, &id, filter)
                             : mosquitto_subscribe(link->client, NULL, filter, qos);
    int error = errno;
    if (token != NULL)
        *token = (uint16_t)id;
    let_go(link, held);
    if (code != MOSQ_ERR_SUCCESS)
        return failed_call(link, code, error);
    if (!link->inside)
        ix_mqtt_link_watch(link);
    return 0;
}

static int mqtt_subscribe(struct ix_link *opaque, const char *filter, int qos)
{
    return send_filter(mqtt(opaque), filter, qos, NULL);
}

static int mqtt_ask(struct ix_link *opaque, uint16_t *token)
{
    return send_filter(mqtt(opaque), QUESTION, 0, token);
}

static bool mqtt_backlog(const struct ix_link *opaque, uint32_t *waiting, uint32_t *room)
{
    const struct ix_mqtt_link *link = (const struct ix_mqtt_link *)(const void *)opaque;
    int bytes = 0, size = 0;
    socklen_t len = sizeof(size);
    if (link->state != IX_MQTT_CONNECTED || ioctl(link->poll.fd, FIONREAD, &bytes) != 0 ||
        getsockopt(link->poll.fd, SOL_SOCKET, SO_RCVBUF, &size, &len) != 0)
        return false;
    *waiting = (uint32_t)bytes;
    *room = (uint32_t)size / 2; /* the kernel doubles it for its own needs */
    return true;
}

static void mqtt_close(struct ix_link *opaque, enum ix_way way)
{
    struct ix_mqtt_link *link = mqtt(opaque);
    if (link->state == IX_MQTT_CLOSED) /* inside its own `closed` */
        return;
    link->way = (uint8_t)way;
    ix_mqtt_link_dispose(link);
}

static void mqtt_silence(struct ix_link *opaque)
{
    struct ix_mqtt_link *link = mqtt(opaque);
    if (link->state == IX_MQTT_CLOSED)
        return;
    ix_mqtt_link_silence(link);
}

const struct ix_protocol ix_protocol_mqtt = {
    .name = "mqtt",
    .init = mqtt_init,
    .open = mqtt_open,
    .release = mqtt_release,
    .connect = mqtt_connect,
    .publish = mqtt_publish,
    .warm = mqtt_warm,
    .has_room = mqtt_has_room,
    .subscribe = mqtt_subscribe,
    .ask = mqtt_ask,
    .backlog = mqtt_backlog,
    .close = mqtt_close,
    .silence = mqtt_silence,
};
