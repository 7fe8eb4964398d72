/* What every protocol adapter offers to devices: a const vtable over non-blocking connections.
 *
 * A transport holds what all devices of a group share (address, TLS context); a link is the connection of
 * one device. Events are never fired from inside a call on the same link, with one exception: `publish`
 * says by its result that a message is done. A link may be closed inside any of its events. */
#ifndef IX_PROTOCOL_PROTOCOL_H
#define IX_PROTOCOL_PROTOCOL_H

#include "loop/loop.h"
#include "model/model.h"

struct ix_transport;
struct ix_link;

/* Names were resolved by the controller: adapters get numeric addresses and never block on a resolver. */
struct ix_target {
    char address[64];      /* "127.0.0.1", "::1" */
    char server_name[256]; /* as the user wrote it: for TLS and messages */
    uint16_t port;
};

/* Who connects. Strings are copied by the adapter where it needs them later. */
struct ix_identity {
    const char *client_id;
    const char *username; /* NULL: none */
    const char *password;
    const char *bind_address; /* numeric source address, NULL: any */
    const char *will_topic;   /* NULL: no will */
    const void *will_payload;
    size_t will_len;
    int will_qos;
    bool will_retain;
};

struct ix_message {
    const char *topic; /* NUL-terminated */
    const void *payload;
    size_t len;
    int qos;
    bool retain;
    bool duplicate; /* received ones only, and only where the library tells (MQTT: never) */
    uint16_t
        stream; /* of the sender: 1 + its place in the model's telemetry, UINT16_MAX: a gateway's children;
                        0: none of these */
    uint16_t packet;  /* received ones only: the packet's id on its connection; 0: QoS 0 */
    const char *mark; /* MQTT 5: value of the user property IX_MARK_FIELD; NULL: none */
};

enum ix_outcome {
    IX_REFUSED, /* the server answered no: not authorised, identifier rejected … */
    IX_FAILED,  /* no answer: refused by the network, unreachable, timed out, TLS */
    IX_STARVED, /* the same, because this host has no descriptor, source port or memory left: not the server's fault */
    IX_LOST, /* an accepted connection ended */
};

struct ix_link_events {
    void (*connected)(void *owner, bool session_present);
    /* The end of a link, exactly once, unless the owner closed it. `reason` is short and stable
     * ("not authorised", "connection refused") and stays valid for ever; the link is gone afterwards. */
    void (*closed)(void *owner, enum ix_outcome outcome, const char *reason);
    /* Outcome of a publish that returned 0: done (PUBACK, PUBCOMP), or refused by the server. */
    void (*acked)(void *owner, uint16_t token, bool accepted);
    /* The server's answer to one `subscribe` (SUBACK); NULL: nobody asks. */
    void (*subscribed)(void *owner, bool accepted);
    void (*message)(void *owner, const struct ix_message *message);
    /* The server got to the question of `ask`; NULL: nobody asks. */
    void (*answered)(void *owner, uint16_t token);
};

/* Ways to go away. */
enum ix_way {
    IX_WAY_CLOSE, /* politely: MQTT DISCONNECT */
    IX_WAY_ABORT, /* TCP reset, as when power fails: wills fire */
};

#define IX_PUBLISHED 1 /* result of publish: done already (QoS 0, bytes are with the kernel) */

struct ix_protocol {
    const char *name;
    /* Before the first transport of a process. */
    int (*init)(struct ix_error *err);
    int (*open)(struct ix_loop *loop, const struct ix_connection_spec *spec, const struct ix_target *target,
                const struct ix_link_events *events, struct ix_transport **transport, struct ix_error *err);
    /* All links must be closed; memory goes when their last deferred work is done. */
    void (*release)(struct ix_transport *transport);

    /* Begins to connect; `connected` or `closed` follows, within the spec's connect timeout. */
    int (*connect)(struct ix_transport *transport, const struct ix_identity *identity, void *owner,
                   struct ix_link **link, struct ix_error *err);
    /* IX_PUBLISHED, or 0 and a token that `acked` will name, or < 0: not sent. Never queues while
     * unconnected (-ENOTCONN). The caller bounds how many are unacknowledged; -EAGAIN: the server's own bound
     * is reached, or the socket is full. -EINVAL: topic, -EMSGSIZE, -EOPNOTSUPP: QoS, as the server said. A
     * message of QoS 0 that the kernel has not taken yet, or that is published inside an event, is answered
     * with 0 and `acked` like the others. */
    int (*publish)(struct ix_link *link, const struct ix_message *message, uint16_t *token);
    /* A hint: a publish on this link follows soon; fetches into the cache what it will touch. May be NULL. */
    void (*warm)(const struct ix_link *link);
    /* False: a publish would be answered with -EAGAIN now; an `acked` follows when that changes. */
    bool (*has_room)(const struct ix_link *link, int qos);
    int (*subscribe)(struct ix_link *link, const char *filter, int qos);
    /* A question that every server answers at once, behind all that it has sent before, and that changes nothing (MQTT:
     * UNSUBSCRIBE of what nobody has); `answered` names its token. May be NULL. */
    int (*ask)(struct ix_link *link, uint16_t *token);
    /* Bytes that the kernel holds for us to read, and how many it would hold; false if it can't tell. May be NULL. */
    bool (*backlog)(const struct ix_link *link, uint32_t *waiting, uint32_t *room);
    /* No event follows; the link is gone. */
    void (*close)(struct ix_link *link, enum ix_way way);
    /* Stops talking and listening, but keeps the socket: the server sees a half-open connection. The owner
     * still closes the link some day; no event comes before. */
    void (*silence)(struct ix_link *link);
};

extern const struct ix_protocol ix_protocol_mqtt;

/* By name; NULL, and a message that says which exist, if this build has none of that kind. */
const struct ix_protocol *ix_protocol_find(enum ix_protocol_kind kind, struct ix_error *err);

#endif
