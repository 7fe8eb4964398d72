/* What MQTT brokers and sockets say, in words. */
#include "protocol/mqtt_link.h"

#include <mqtt_protocol.h>
#include <string.h>

struct text {
    int code;
    const char *text;
};

/* MQTT 5.0, 2.4 Reason Code. */
static const struct text reasons[] = {
    {MQTT_RC_NORMAL_DISCONNECTION, "connection closed by the server"},
    {MQTT_RC_UNSPECIFIED, "unspecified error"},
    {MQTT_RC_MALFORMED_PACKET, "malformed packet"},
    {MQTT_RC_PROTOCOL_ERROR, "protocol error"},
    {MQTT_RC_IMPLEMENTATION_SPECIFIC, "implementation specific error"},
    {MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION, "unsupported protocol version"},
    {MQTT_RC_CLIENTID_NOT_VALID, "identifier rejected"},
    {MQTT_RC_BAD_USERNAME_OR_PASSWORD, "bad user name or password"},
    {MQTT_RC_NOT_AUTHORIZED, "not authorised"},
    {MQTT_RC_SERVER_UNAVAILABLE, "server unavailable"},
    {MQTT_RC_SERVER_BUSY, "server busy"},
    {MQTT_RC_BANNED, "banned"},
    {MQTT_RC_SERVER_SHUTTING_DOWN, "server shutting down"},
    {MQTT_RC_BAD_AUTHENTICATION_METHOD, "bad authentication method"},
    {MQTT_RC_KEEP_ALIVE_TIMEOUT, "keep-alive timed out"},
    {MQTT_RC_SESSION_TAKEN_OVER, "session taken over"},
    {MQTT_RC_TOPIC_FILTER_INVALID, "topic filter invalid"},
    {MQTT_RC_TOPIC_NAME_INVALID, "topic name invalid"},
    {MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED, "receive maximum exceeded"},
    {MQTT_RC_TOPIC_ALIAS_INVALID, "topic alias invalid"},
    {MQTT_RC_PACKET_TOO_LARGE, "packet too large"},
    {MQTT_RC_MESSAGE_RATE_TOO_HIGH, "message rate too high"},
    {MQTT_RC_QUOTA_EXCEEDED, "quota exceeded"},
    {MQTT_RC_ADMINISTRATIVE_ACTION, "administrative action"},
    {MQTT_RC_PAYLOAD_FORMAT_INVALID, "payload format invalid"},
    {MQTT_RC_RETAIN_NOT_SUPPORTED, "retain not supported"},
    {MQTT_RC_QOS_NOT_SUPPORTED, "qos not supported"},
    {MQTT_RC_USE_ANOTHER_SERVER, "use another server"},
    {MQTT_RC_SERVER_MOVED, "server moved"},
    {MQTT_RC_SHARED_SUBS_NOT_SUPPORTED, "shared subscriptions not supported"},
    {MQTT_RC_CONNECTION_RATE_EXCEEDED, "connection rate exceeded"},
    {MQTT_RC_MAXIMUM_CONNECT_TIME, "maximum connect time"},
    {MQTT_RC_SUBSCRIPTION_IDS_NOT_SUPPORTED, "subscription identifiers not supported"},
    {MQTT_RC_WILDCARD_SUBS_NOT_SUPPORTED, "wildcard subscriptions not supported"},
};

/* MQTT 3.1.1, 3.2.2.3 Connect Return code. */
static const struct text connack_v3[] = {
    {CONNACK_REFUSED_PROTOCOL_VERSION, "unsupported protocol version"},
    {CONNACK_REFUSED_IDENTIFIER_REJECTED, "identifier rejected"},
    {CONNACK_REFUSED_SERVER_UNAVAILABLE, "server unavailable"},
    {CONNACK_REFUSED_BAD_USERNAME_PASSWORD, "bad user name or password"},
    {CONNACK_REFUSED_NOT_AUTHORIZED, "not authorised"},
};

static const struct text errors[] = {
    {ECONNREFUSED, "connection refused"},
    {ECONNRESET, "connection reset"},
    {EPIPE, "connection reset"},
    {ECONNABORTED, "connection reset"},
    {ETIMEDOUT, "connection timed out"},
    {EHOSTUNREACH, "no route to host"},
    {EHOSTDOWN, "no route to host"},
    {ENETUNREACH, "network unreachable"},
    {ENETDOWN, "network unreachable"},
    {EADDRNOTAVAIL, "no free source port: use more addresses or brokers"},
    {EADDRINUSE, "no free source port: use more addresses or brokers"},
    {ENXIO, "no such source address"}, /* mqtt_interpose.c */
    {EMFILE, "too many open files"},
    {ENFILE, "too many open files"},
    {ENOSPC, "too many watched sockets: raise fs.epoll.max_user_watches"},
    {ENOMEM, "out of memory"},
    {ENOBUFS, "out of memory"},
    {EACCES, "not permitted"},
    {EPERM, "not permitted"},
    {EPROTO, "TLS error"},
    {EAFNOSUPPORT, "address family not supported"},
};

static const char *find(const struct text *texts, size_t count, int code, const char *otherwise)
{
    for (size_t i = 0; i < count; i++)
        if (texts[i].code == code)
            return texts[i].text;
    return otherwise;
}

const char *ix_mqtt_connack_text(int version, int code)
{
    if (version == MQTT_PROTOCOL_V5)
        return find(reasons, IX_ARRAY_LEN(reasons), code, "refused for an unknown reason");
    return find(connack_v3, IX_ARRAY_LEN(connack_v3), code, "refused for an unknown reason");
}

const char *ix_mqtt_errno_text(int error)
{
    return find(errors, IX_ARRAY_LEN(errors), error, "network error");
}

bool ix_mqtt_is_starved(const char *reason)
{
    static const int lacks[] = {EMFILE, EADDRNOTAVAIL, ENOMEM, ENOSPC};
    for (size_t i = 0; i < IX_ARRAY_LEN(lacks); i++)
        if (strcmp(reason, ix_mqtt_errno_text(lacks[i])) == 0)
            return true;
    return false;
}

const char *ix_mqtt_loss_text(int code, int error)
{
    if (code == MQTT_RC_NORMAL_DISCONNECTION || code >= MQTT_RC_UNSPECIFIED)
        return find(reasons, IX_ARRAY_LEN(reasons), code, "unknown reason code");
    switch (code) {
    case MOSQ_ERR_CONN_LOST:
        return error == ECONNRESET ? "connection reset" : "connection closed by the server";
    case MOSQ_ERR_NO_CONN:
        return "connection closed by the server";
    case MOSQ_ERR_KEEPALIVE:
        return "keep-alive timed out";
    case MOSQ_ERR_NOMEM:
        return "out of memory";
    case MOSQ_ERR_ERRNO:
        return ix_mqtt_errno_text(error);
    case MOSQ_ERR_TLS:
    case MOSQ_ERR_TLS_HANDSHAKE:
        return "TLS handshake failed";
    default:
        return "protocol error";
    }
}
