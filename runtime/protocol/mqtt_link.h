/* One MQTT connection as the adapter drives it; private to the mqtt*.c files.
 *
 * libmosquitto runs in its external-loop mode: one descriptor for each link, one wheel entry for everything
 * that is due by time. The library must not be re-entered, so its callbacks only note
 * what happened or hand an event on; a link ends after the library has returned, and the client object is
 * freed on the next turn. After a loss the client object is never used again: nothing is
 * re-sent, the owner decides what becomes of unacknowledged messages. */
#ifndef IX_PROTOCOL_MQTT_LINK_H
#define IX_PROTOCOL_MQTT_LINK_H

#include "loop/poll.h"
#include "protocol/protocol.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <openssl/ssl.h>

/* What the links of a group share. */
struct ix_mqtt_transport {
    struct ix_loop *loop;
    struct ix_link_events events;
    struct ix_target target;
    SSL_CTX *tls;                   /* NULL: plain TCP */
    struct ix_mqtt_rest *rests;     /* packets that the kernel took in part */
    mosquitto_property *properties; /* of CONNECT, MQTT 5 only */
    uint64_t connect_timeout_ns;
    size_t links;         /* not yet freed */
    unsigned max_pending; /* publishes of a link that may wait for a full socket */
    int version;          /* 4 or 5 */
    int keepalive_s;
    uint16_t receive_maximum; /* 0: the library's */
    bool clean_session;
    bool released;
};

enum ix_mqtt_state {
    IX_MQTT_CONNECTING, /* until CONNACK */
    IX_MQTT_CONNECTED,
    IX_MQTT_SILENT, /* keeps its socket, does nothing */
    IX_MQTT_CLOSED, /* no events any more; waits for being freed */
};

/* What publishing reads comes first: 64 bytes. */
struct ix_mqtt_link {
    struct ix_poll poll;
    struct ix_mqtt_transport *transport;
    void *owner;
    struct mosquitto *client;
    const char *reason;   /* why it ended; NULL while it has not */
    uint32_t heard_ms;    /* when the server last sent anything, less its high bits */
    uint16_t pending;     /* publishes whose `acked` is still to come */
    uint16_t window;      /* the server's Receive Maximum */
    uint16_t keepalive_s; /* the server may have changed it */
    uint8_t state;        /* enum ix_mqtt_state */
    uint8_t way;          /* enum ix_way, once closed by the owner */
    uint8_t alert;        /* TLS alert that the server sent, 0: none */
    uint8_t rejected;     /* why we did not accept the server's certificate (X509_V_…), 0: no complaint */
    bool inside : 1;      /* the library is on the stack: events come from one of its callbacks */
    bool handshaking : 1; /* TLS */
    bool refused : 1;     /* by CONNACK */
    bool publishing : 1;  /* inside the owner's publish */
    bool published : 1;   /* … and the bytes are with the kernel */
    bool received : 1;    /* a message came in this loop_read */
    bool has_rest : 1;    /* the rest of a packet waits in the transport's `rests` */
    struct ix_wheel_entry wheel; /* connecting: the deadline; connected: housekeeping; ended: `closed` */
};
_Static_assert(offsetof(struct ix_mqtt_link, wheel) == 64 && sizeof(struct ix_mqtt_link) == 96,
               "a link takes 112 bytes of the heap");

static inline bool ix_mqtt_link_lives(const struct ix_mqtt_link *link)
{
    return link->reason == NULL && link->state < IX_MQTT_SILENT;
}

/* Sets the callbacks of a new client. */
void ix_mqtt_link_prepare(struct ix_mqtt_link *link);
/* Starts watching the descriptor and the deadline of a client that has begun to connect. If the link has
 * ended already, or does so here, `closed` follows on a later turn. */
void ix_mqtt_link_begin(struct ix_mqtt_link *link);
/* Notes why the link has ended; `closed` follows after the library has returned. Later reasons are ignored.
 */
void ix_mqtt_link_end(struct ix_mqtt_link *link, const char *reason);
/* The same with a code of the library and the errno that came with it. */
void ix_mqtt_link_fault(struct ix_mqtt_link *link, int code, int error);
/* The same from inside a call of the owner: `closed` follows on a later turn. */
void ix_mqtt_link_fault_later(struct ix_mqtt_link *link, int code, int error);
/* No event any more, but the socket stays. */
void ix_mqtt_link_silence(struct ix_mqtt_link *link);
/* Waits for what the library wants next; after every call into it. */
void ix_mqtt_link_watch(struct ix_mqtt_link *link);
/* No event any more; frees the link when that is safe. */
void ix_mqtt_link_dispose(struct ix_mqtt_link *link);
/* Counts a link out; frees a released transport with its last one. */
void ix_mqtt_transport_drop(struct ix_mqtt_transport *transport);

/* mqtt_direct.c: as `publish`, or -EOPNOTSUPP: nothing was sent, the library must do it. */
int ix_mqtt_direct_publish(struct ix_mqtt_link *link, const struct ix_message *message, uint16_t *token);
/* There is room for the rest of a packet, where one waits. May end the link, or fire `acked`. */
void ix_mqtt_direct_write(struct ix_mqtt_link *link);
void ix_mqtt_direct_discard(struct ix_mqtt_link *link);

/* mqtt_interpose.c: while `on`, socketpair() fails, bind() leaves the choice of the port to connect(), and that
 * looks at all of them. */
void ix_mqtt_interpose(bool on);

/* mqtt_tls.c */
int ix_mqtt_tls_new(const struct ix_connection_spec *spec, const struct ix_target *target, SSL_CTX **tls,
                    struct ix_error *err);
/* Before the client begins to connect, which includes the first step of the handshake, and after it. */
void ix_mqtt_tls_begin(struct ix_mqtt_link *link);
void ix_mqtt_tls_attach(struct ix_mqtt_link *link, int error);
/* After each step of a handshake, with the library's code and the errno: is it done, or has it failed? */
void ix_mqtt_tls_step(struct ix_mqtt_link *link, int code, int error);
/* Why a connection failed as far as TLS knows, NULL if it does not. */
const char *ix_mqtt_tls_reason(const struct ix_mqtt_link *link, int code, int error);

/* mqtt_reason.c: short, stable, lower case texts. */
const char *ix_mqtt_connack_text(int version, int code);
/* `code`: an MQTT 5 reason code ≥ 0x80, or one of libmosquitto's; `error`: the errno that came with it. */
const char *ix_mqtt_loss_text(int code, int error);
const char *ix_mqtt_errno_text(int error);
/* One of these texts that says that this host lacks something. */
bool ix_mqtt_is_starved(const char *reason);

#endif
