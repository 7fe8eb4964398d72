/* The fleet of a long-lived service: models, groups, single devices and what they do, for whoever serves them
 * (api/). Everything here runs on the loop's thread; nothing blocks it for more than a few milliseconds.
 *
 * Bodies and answers are JSON in the words of the REST contract; a result is a new reference that the caller
 * owns. Functions that return `json_t *` answer at once: NULL means `*failure` says why (the caller deinits it
 * then). Functions that take a `done` answer later, exactly once, and never inside the call: on success
 * done(context, NULL, result), else done(context, failure, NULL). What changes something has been written to
 * the store, and is on disk, before `done` says so (unless the service is ephemeral).
 *
 * Device ids. A group's device i has the id that the group's pattern makes of i. Devices that are added one by one
 * may have any id: they are kept in a table of names, all others are found by inverting patterns. A single device
 * without `groupId` lives in a hidden group of all those with the same model and connection, which no list shows;
 * with `groupId` it joins that group (which must have the same model, and is created if there is none), and starts if that was
 * started. A group's deleted device leaves a hole. */
#ifndef IX_CONTROL_SERVICE_H
#define IX_CONTROL_SERVICE_H

#include "base/log.h"
#include "control/snapshot.h"
#include "loop/loop.h"

#include <jansson.h>

struct ix_service;

enum ix_failure_kind {
    IX_FAILURE_INVALID = 1, /* 400: the body or query is wrong; `field` or `faults` say where */
    IX_FAILURE_SCRIPT,      /* 400: a strategy written in Lua failed; the text has its file:line */
    IX_FAILURE_UNKNOWN,     /* 404: there is no such model, group, device, command */
    IX_FAILURE_CONFLICT,    /* 409: duplicate, in use, ids that could collide, not possible in this state */
    IX_FAILURE_FULL, /* 503 with Retry-After: no room (groups, descriptors, memory, too many waiting) */
    IX_FAILURE_UNAVAILABLE, /* 503: the service ends, or its disk takes nothing */
    IX_FAILURE_INTERNAL,    /* 500: a worker failed; what was asked may have happened in part */
};

struct ix_failure {
    enum ix_failure_kind kind;
    char text[2048]; /* one sentence: what, to what, what to do */
    char field[128]; /* JSON path or query name, "" if it is not one field's */
    json_t *faults;  /* [{path, message}] of a model, else NULL; owned */
};
void ix_failure_deinit(struct ix_failure *failure);

/* See above. `failure` lives as long as the call. */
typedef void ix_service_done(void *context, const struct ix_failure *failure, json_t *result);

struct ix_service_config {
    struct ix_loop *loop;
    const char *broker;            /* "auto", "embedded" or "host:port,…"; NULL: as for runs, then auto */
    uint16_t embedded_port;        /* of the embedded broker; 0: a free one */
    const char *bind;              /* source addresses, as for runs; NULL: auto */
    double connect_rate;           /* connections a second of all devices together; 0: no limit */
    uint32_t workers;              /* to begin with; 0: one per core */
    const char *const *model_path; /* folders of models; each is watched */
    size_t model_path_count;
    bool no_shipped_models;         /* leave out those in the binary */
    const char *const *allowed_env; /* names that models may use in ${env.NAME} */
    size_t allowed_env_count;
    const char *data_dir; /* of the store; NULL: ephemeral, nothing is kept */
    void *context;        /* of `ready` */
};

/* Opens the store (and refuses if another service has it), reads the models, decides on the broker, makes what the
 * store holds anew and starts what ran. `ready` comes once, later or inside: from then on requests are answered;
 * with an error nothing works and the service is to be freed. Texts of the config are copied, `allowed_env` and
 * the loop must outlive the service. */
int ix_service_new(const struct ix_service_config *config,
                   void (*ready)(void *context, const struct ix_error *failure), struct ix_service **service,
                   struct ix_error *err);
/* Writes what is unwritten, lets devices disconnect politely for at most `drain_ns`, ends the workers. */
void ix_service_stop(struct ix_service *service, uint64_t drain_ns, void (*stopped)(void *context),
                     void *context);
/* Kills what still runs; not from inside the loop. Those who wait are answered first, with what came of it or
 * IX_FAILURE_UNAVAILABLE. true: host names are still being looked up on other threads, and closing the loop would wait
 * for them. NULL is allowed. */
bool ix_service_free(struct ix_service *service);
bool ix_service_is_ready(const struct ix_service *service);
/* Reads the folders of models again now (SIGHUP). */
void ix_service_reload(struct ix_service *service);
/* "localhost:1883", "embedded mosquitto on 127.0.0.1:1883"; for the line at the start. */
const char *ix_service_broker(const struct ix_service *service);

/* ---- health and figures ---- */

/* {status:"healthy", version, uptimeSeconds, deviceCount, runningDeviceCount} */
json_t *ix_service_health(struct ix_service *service);
/* GET /api/v1/stats: deviceCount runningDeviceCount groupCount modelCount uptimeSeconds messagesSent
 * messagesReceived bytesSent bytesReceived byStatus{} connected rates{messagesSent messagesReceived bytesSent
 * connects errors: per second, over the last one} latencyMs{p50 p95 p99 max} latenessMs{…} (of the last 5 s; null
 * without samples) workers workerRestarts loopBusy memoryBytes broker, advice[]: sentences on what
 * devices run into (limits of this host and of the broker) and what to do, while it holds. Made once a second; costs nothing to ask. */
json_t *ix_service_stats(struct ix_service *service);
/* The last `seconds` of them, at most IX_SERVICE_HISTORY_S, oldest first: {timeMs[]: instants since the epoch, series{}:
 * for each name as many numbers, null where there was none}. Starts empty with the service. */
#define IX_SERVICE_HISTORY_S 900
json_t *ix_service_history(const struct ix_service *service, uint64_t seconds);
/* The same of a group: devices by status, and connected. It starts when the group first goes to work; empty for groups
 * beyond the first 100 that have. */
json_t *ix_service_group_history(struct ix_service *service, const char *id, uint64_t seconds,
                                 struct ix_failure *failure);
/* All counters, taken anew if the last take is older than 200 ms; valid until the loop goes on. */
const struct ix_snapshot *ix_service_snapshot(struct ix_service *service);

struct ix_service_facts { /* beside the snapshot, for /metrics */
    double uptime_s;
    uint64_t models, groups, devices;
    uint64_t worker_restarts;
    uint64_t feed_dropped;  /* events that listeners did not get because there were too many */
    uint64_t store_commits; /* and what they took in all */
    double store_seconds;
    uint64_t memory_bytes; /* resident, of this process and its workers */
    double loop_busy;      /* 0…1: the busiest worker, over the last second */
    double own_loop_busy;  /* … and this process */
};
void ix_service_facts(struct ix_service *service, struct ix_service_facts *facts);

/* ---- models ---- */

json_t *ix_service_models(struct ix_service *service); /* array, by id */
json_t *ix_service_model(struct ix_service *service, const char *id, struct ix_failure *failure);
/* `replace` NULL: a new one, CONFLICT if its id is taken; else the id of the one it replaces (UNKNOWN if there is
 * none; the body's id must be the same, or missing). The model, with `warnings` [{path, message}] if there are
 * any. Running devices keep the model they started with: a group gets the new one when it is started while none
 * of its devices runs. */
void ix_service_model_put(struct ix_service *service, const char *text, size_t len, const char *replace,
                          ix_service_done *done, void *context);
/* Checks only: {valid: true, warnings: []}, or INVALID with `faults`. */
json_t *ix_service_model_check(struct ix_service *service, const char *text, size_t len,
                               struct ix_failure *failure);
/* CONFLICT while devices use it, and for models that come from files or the binary. */
void ix_service_model_delete(struct ix_service *service, const char *id, ix_service_done *done,
                             void *context);

/* ---- devices ---- */

struct ix_device_filter {
    const char *group; /* NULL: all; an unknown one has no devices */
    const char *model; /* NULL: all */
    int status;        /* enum ix_device_status, -1: all */
    uint64_t offset;   /* first to show */
    uint64_t limit;    /* at most IX_SERVICE_PAGE_MAX */
};
#define IX_SERVICE_PAGE_MAX 1000

/* {items: [device], total, offset, limit, hasMore}; api adds page and pageSize. Without a status only the page is
 * looked at; with one, devices are looked through in pieces over several turns of the loop. */
void ix_service_devices(struct ix_service *service, const struct ix_device_filter *filter,
                        ix_service_done *done, void *context);
json_t *ix_service_device(struct ix_service *service, const char *id, struct ix_failure *failure);
/* Body {modelId, deviceId?, groupId?, overrideConnection?} → the device. */
void ix_service_device_create(struct ix_service *service, const json_t *body, ix_service_done *done,
                              void *context);
/* Answers when it is connected, or failed, or after 10 s with status "error" in the answer. */
void ix_service_device_start(struct ix_service *service, const char *id, ix_service_done *done,
                             void *context);
void ix_service_device_stop(struct ix_service *service, const char *id, ix_service_done *done, void *context);
void ix_service_device_delete(struct ix_service *service, const char *id, ix_service_done *done,
                              void *context);
/* {deviceId, messagesSent, …, lastTelemetry: {attribute: value}} */
void ix_service_device_metrics(struct ix_service *service, const char *id, ix_service_done *done,
                               void *context);
/* As if it came over the protocol. `parameters` NULL: {}. {deviceId, command, status: "accepted"}; UNKNOWN device or
 * command, INVALID parameters, CONFLICT while it is not connected. */
void ix_service_device_command(struct ix_service *service, const char *id, const char *command,
                               const json_t *parameters, ix_service_done *done, void *context);

/* ---- groups ----
 * A group: groupId modelId idPattern createdAt deviceCount devicesCreated devicesStarted devicesStopped status
 * byStatus{} connected operation{operation: start|stop|dropout, strategy, done, total, status, estimatedDurationMs, startedAt} or
 * null. `status`: created, started, stopped. */

uint64_t ix_service_group_count(const struct ix_service *service);
/* Array, in order of creation, without the first `offset`; made over several turns of the loop. */
void ix_service_groups(struct ix_service *service, uint64_t offset, uint64_t limit, ix_service_done *done,
                       void *context);
json_t *ix_service_group(struct ix_service *service, const char *id, struct ix_failure *failure);
/* {modelId, count (1 … 1,000,000), groupId?, idPattern?, overrideConnection?} → the group. */
void ix_service_group_create(struct ix_service *service, const json_t *body, ix_service_done *done,
                             void *context);
/* {strategy?, settings of it…}, NULL: immediate. `stagger_ms` >= 0: linear with that delay, unless the body names a
 * strategy. The common fields of the contract (delayMs batchSize maxDelayMs exponentBase) go with every strategy;
 * other unknown ones are INVALID. */
void ix_service_group_start(struct ix_service *service, const char *id, const json_t *body, double stagger_ms,
                            ix_service_done *done, void *context);
void ix_service_group_stop(struct ix_service *service, const char *id, ix_service_done *done, void *context);
void ix_service_group_delete(struct ix_service *service, const char *id, ix_service_done *done,
                             void *context);
/* {strategy? (linear), count?, percentage?, mode?, reconnect?, reconnectDelayMs?, settings…} →
 * {groupId, devicesAffected, dropoutStrategy, status: "dropout_initiated", estimatedDurationMs, dropoutId} */
void ix_service_group_dropout(struct ix_service *service, const char *id, const json_t *body,
                              ix_service_done *done, void *context);

/* ---- strategies ---- */

/* {launch: [{name, description, settings: [{name, type, default, min, max, description}]}], dropout: […]} */
json_t *ix_service_strategies(struct ix_service *service, struct ix_failure *failure);
/* {kind, strategy, count, settings…} → {durationMs, points: [{tMs, count}, … at most 200]} */
json_t *ix_service_strategy_preview(struct ix_service *service, const json_t *body,
                                    struct ix_failure *failure);

/* ---- what changes ----
 * Events, each with its data: `stats` once a second (as ix_service_stats); `state` at most 4 times a second
 * {devices: [{id, groupId, status, connectionState}, … at most 200], more: n}; `progress` {groupId, operation,
 * strategy, done, total, status: running|done|cancelled, estimatedDurationMs, startedAt}; `log` {level, time, message}; `models` and `groups` {id}
 * when a list changed. `data` is borrowed. A listener may remove itself, or others, inside the call. Device states
 * are compared only while somebody listens. */
struct ix_service_listener;
struct ix_service_listener *ix_service_listen(struct ix_service *service,
                                              void (*event)(void *context, const char *name,
                                                            const json_t *data),
                                              void *context);
/* A line of this process's log, for listeners: its sink passes them on. */
void ix_service_note_log(struct ix_service *service, enum ix_log_level level, const char *line);
void ix_service_unlisten(struct ix_service *service, struct ix_service_listener *listener);

#endif
