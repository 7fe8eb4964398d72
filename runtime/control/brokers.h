/* Which brokers a run or service talks to. Defaults < model < scenario < command line: `--broker` replaces what the
 * model says, and with `force` what a scenario sets itself as well. */
#ifndef IX_CONTROL_BROKERS_H
#define IX_CONTROL_BROKERS_H

#include "model/model.h"
#include "protocol/broker.h"
#include "protocol/target.h"

#define IX_TARGETS_MAX 256

struct ix_brokers_config {
    struct ix_loop *loop;
    const char *wish; /* "auto", "embedded" or "host:port,…"; NULL: MQTT_BROKER_HOST/PORT, else auto */
    bool force;
    bool dry; /* nothing is started, and nothing connects: an embedded broker is one in name */
    /* A broker whose name can't be looked up yet is no failure: its target has no address until
     * ix_brokers_look_up_shared found it. */
    bool is_patient;
    uint16_t embedded_port; /* 0: a free one */
    /* Called once, inside ix_brokers_start or later; a failure is only for an embedded broker. */
    void (*ready)(void *context, const struct ix_error *failure);
    /* The embedded broker ended by itself; NULL: nobody is told. */
    void (*ended)(void *context, const struct ix_error *reason);
    void *context;
};

struct ix_brokers {
    struct ix_brokers_config config;
    struct ix_target targets[IX_TARGETS_MAX];
    size_t target_count;
    bool is_explicit; /* named on the command line */
    bool tls;         /* its URL asks for TLS */
    bool is_embedded;
    struct ix_broker *embedded;
    char *text; /* "localhost:1883", "embedded mosquitto on 127.0.0.1:40123"; NULL until ready */
};

/* Decides and, if need be, starts the embedded broker. */
int ix_brokers_start(struct ix_brokers *brokers, const struct ix_brokers_config *config,
                     struct ix_error *err);
/* Starts the embedded broker again, on the same port, after it ended; `ready` follows. */
int ix_brokers_restart(struct ix_brokers *brokers, struct ix_error *err);
void ix_brokers_deinit(struct ix_brokers *brokers);

/* Whether devices of a model go to these brokers; `own`: an address set beside the model, or NULL. */
bool ix_brokers_is_shared(const struct ix_brokers *brokers, const struct ix_model *model, const char *own);
/* Where the devices of a model go: these brokers, or its own, which is looked up (blocks while it is not
 * numeric). The caller frees *targets. */
int ix_brokers_targets(const struct ix_brokers *brokers, const struct ix_model *model, const char *own,
                       struct ix_target **targets, size_t *count, struct ix_error *err);
/* A model's own address alone, from any thread. */
int ix_brokers_look_up(const struct ix_model *model, struct ix_target **targets, size_t *count,
                       struct ix_error *err);
/* All of them have addresses. */
bool ix_brokers_are_known(const struct ix_brokers *brokers);
/* Looks up those of a copy that have no address; from any thread. */
int ix_brokers_look_up_shared(struct ix_target *targets, size_t count, bool tls, struct ix_error *err);
/* Whether the broker of one target runs on this host, as far as its address tells. */
bool ix_broker_is_here(const struct ix_target *target);

#endif
