/* The state of a service, shared by its files: service.c (begin and end, events of workers), service_models.c (the
 * registry), service_watch.c (folders of models), service_groups.c (the list of groups, ids), service_keep.c (the
 * store), service_place.c (from a group to one at work in the fleet), service_start.c, service_dropout.c,
 * service_devices.c, service_list.c, service_strategy.c, service_view.c (JSON), service_stats.c, service_history.c,
 * service_feed.c. */
#ifndef IX_CONTROL_SERVICE_INTERNAL_H
#define IX_CONTROL_SERVICE_INTERNAL_H

#include "base/random.h"
#include "control/advice.h"
#include "control/brokers.h"
#include "control/fleet.h"
#include "control/models.h"
#include "control/service.h"
#include "control/source_choice.h"
#include "script/script.h"
#include "store/store.h"

#define SERVICE_GROUPS_MAX  10000
#define SERVICE_DEVICES_MAX 1000000 /* of one group */
#define SERVICE_WAITS_MAX   10000   /* requests that wait for workers or the disk */

/* ---- models ---- */

enum layer { LAYER_SHIPPED, LAYER_FILE, LAYER_REST }; /* of those with one id the highest holds */

struct model_entry {
    struct model_entry *next; /* by id, then from the highest layer down */
    char *id;
    enum layer layer;
    char *path;   /* of its file, "embedded:NAME"; NULL: over REST */
    char *folder; /* of its files; NULL: over REST */
    char *text;   /* as written */
    size_t len;
    json_t *json;  /* as shown */
    uint64_t hash; /* of the text */
    int64_t created_ms;
};

/* ---- groups and devices ---- */

enum operation_kind { OPERATION_NONE, OPERATION_START, OPERATION_STOP, OPERATION_DROPOUT };

struct operation { /* the last one of a group, for its progress */
    enum operation_kind kind;
    char *strategy;
    uint64_t total, done;
    uint64_t duration_ns; /* that its strategy takes */
    uint64_t end_ns;      /* when the last device's turn has come */
    int64_t started_ms;
    uint64_t dropout;
    bool is_over, is_cancelled;
    uint64_t told; /* `done` as listeners know it; UINT64_MAX: nothing was told yet */
};

struct order { /* a device that was started or stopped by itself since its group was */
    uint32_t index;
    bool started;
    uint64_t number; /* of the request, as they came; 0: from before this start of the service */
};

struct service_group {
    struct service_group *next, *before; /* in order of creation */
    struct ix_service *service;
    char *id;
    bool hidden;  /* of single devices */
    bool leaving; /* is being deleted */
    bool busy;    /* its address is being looked up, or its model changes */
    char *model;
    uint64_t count; /* indexes given so far, holes included */
    char *pattern_text;
    struct ix_id_pattern pattern;
    json_t *connection;  /* overrides; NULL: none */
    uint64_t names_base; /* devices from here on were added one by one */
    char **names;        /* theirs; "": by the pattern */
    int64_t *created;    /* wall clock ms */
    size_t name_count;
    uint32_t *gone; /* sorted */
    size_t gone_count;
    struct order *orders; /* sorted */
    size_t order_count;
    int64_t created_ms;
    enum ix_store_state state;
    json_t *launch; /* {strategy, settings} of the last start */
    bool at_work;   /* the fleet has it */
    char *
        trouble; /* why what is to run does not, until it does; it is tried again. NULL: none. Never while at_work */
    struct ix_wheel_entry again;
    uint64_t again_pause_ns;
    uint64_t state_order; /* number of the request that `state` is of */
    uint64_t
        stop_order; /* … of the last one to stop it: starts from before, also of devices, that still wait are void */
    uint64_t model_hash; /* that it works with */
    struct operation operation;
    struct ix_service_past *past; /* service_history.c; NULL until it is at work */
};

struct named { /* in the table of names */
    char *id;
    struct service_group *group;
    uint64_t index;
};

/* A device that somebody asks for. */
struct device_ref {
    struct service_group *group;
    uint64_t index;
};

/* ---- what waits ---- */

/* One request, or one step of the service's own: answered once. */
struct wait {
    struct wait *next;
    struct ix_service *service;
    uint64_t ticket;
    ix_service_done *done; /* NULL: nobody asked */
    void *context;
    /* What to do with the fleet's answer or the store's. */
    void (*then)(struct wait *w, int code, json_t *result, const char *message);
    char *group; /* by id: it may be gone when the answer comes */
    uint64_t index;
    uint64_t order;            /* number of one to start or stop: the last one holds */
    json_t *body;              /* what the steps keep */
    struct model_entry *model; /* … the model that is being written */
    double number;
    struct ix_wheel_entry timer;
    uint64_t until_ns;
    uint64_t began_ns; /* when the device to start had been started last */
};

struct ix_service_listener {
    struct ix_service_listener *next;
    void (*event)(void *context, const char *name, const json_t *data);
    void *context;
    bool removed;
};

struct shadow { /* states that listeners know, by row of a worker */
    uint16_t *states;
    uint32_t room;
    uint32_t at; /* row that was looked at last */
};

struct figures { /* of one second */
    uint64_t at_ns;
    uint64_t sent, received, bytes_sent, connects, errors;
    struct ix_histogram latency, lateness;
};
#define FIGURES 6

struct ix_service {
    struct ix_service_config config;
    struct ix_loop *loop;
    void (*ready)(void *context, const struct ix_error *failure);
    void *context_of_ready;
    bool is_ready, stopping;
    uint64_t start_ns;
    uint64_t seed;
    char *allowed_env, *broker_wish, *bind, *data_dir;
    char **folders;
    size_t folder_count;

    struct ix_brokers brokers;
    struct ix_wheel_entry broker_again, revive;
    uint64_t broker_pause_ns, revive_pause_ns, revived_ns;
    struct ix_source_choice sources;
    struct ix_workers *workers;
    struct ix_fleet *fleet;
    struct ix_hello hello;
    struct ix_script *script; /* strategies */
    struct ix_store *store;   /* NULL: ephemeral */

    struct model_entry *models;
    uint64_t model_count; /* different ids */
    uv_fs_event_t **watches;
    size_t watch_count;
    struct ix_wheel_entry reload;

    struct service_group *groups, *last_group;
    void *group_ids;      /* tsearch(3) of them by id */
    uint64_t group_count; /* shown ones */
    uint64_t hidden_last;
    void *names; /* tsearch(3) of struct named */

    struct placing *placings; /* groups on their way into the fleet */
    struct listing *listings; /* that are being made, a piece of one in each turn of the loop */
    bool makes_listings;
    struct wait *waits;
    size_t wait_count;
    uint64_t last_ticket;
    uint64_t last_order;

    struct ix_snapshot now;
    struct ix_wheel_entry tick, feed_tick;
    json_t *stats;
    struct ix_service_past *past;    /* service_history.c; NULL until the first second */
    struct figures figures[FIGURES]; /* the latest at figure_at */
    size_t figure_at, figure_count;
    uint64_t busy_ns[IX_WORKERS_MAX], own_busy_ns;
    uint64_t busy_at_ns;
    double loop_busy, own_loop_busy;
    uint64_t memory;
    struct ix_advice advice;

    struct ix_service_listener *listeners;
    bool telling;
    struct shadow shadows[IX_WORKERS_MAX];
    bool knows_states;  /* all rows were looked at since somebody listens */
    uint64_t rows_left; /* to look at until everything is known again */
    uint32_t scan_at;   /* worker to begin with */
    uint64_t scan_sum;  /* of what moves when states do: nothing is compared while it stands still */
    uint64_t feed_dropped;

    void (*stopped)(void *context);
    void *stopped_context;
};

/* ---- failures (service.c) ---- */

int ix_service_fail(struct ix_failure *failure, enum ix_failure_kind kind, const char *field,
                    const char *format, ...) IX_PRINTF(4, 5);
/* The kind that belongs to an errno of the fleet. */
enum ix_failure_kind ix_service_kind(int code);

/* ---- waiting (service_wait.c) ---- */

/* NULL with a failure when too many wait or the service ends; then it is answered already. */
struct wait *ix_service_wait(struct ix_service *service, ix_service_done *done, void *context);
/* Answers on the loop's next turn and frees; takes over `result`. */
void ix_service_answer(struct wait *w, json_t *result);
void ix_service_refuse(struct wait *w, const struct ix_failure *failure); /* takes over its faults */
void ix_service_refuse_text(struct wait *w, enum ix_failure_kind kind, const char *message);
/* `then` follows when the change so far is on the disk; at once, later, if nothing is kept. */
void ix_service_keep(struct wait *w,
                     void (*then)(struct wait *w, int code, json_t *result, const char *message));
/* … with the fleet's answer to w->ticket. */
void ix_service_expect(struct wait *w,
                       void (*then)(struct wait *w, int code, json_t *result, const char *message));
void ix_service_fleet_done(void *context, uint64_t ticket, bool is_record, int code, json_t *result,
                           const char *message);
void ix_service_waits_free(struct ix_service *service);
int64_t ix_service_wall_ms(const struct ix_service *service);

/* ---- models (service_models.c, service_watch.c) ---- */

struct model_entry *ix_service_find_model(const struct ix_service *service, const char *id);
struct model_entry *ix_service_add_model(struct ix_service *service, enum layer layer, const char *path,
                                         const char *folder, const char *text, size_t len, int64_t created_ms,
                                         struct ix_faults *faults, struct ix_error *err);
void ix_service_free_entry(struct model_entry *m); /* NULL is allowed */
void ix_service_drop_model(struct ix_service *service, struct model_entry *entry);
/* The model of a group, ready for workers, with the group's and the broker's changes. */
int ix_service_compile(struct ix_service *service, const struct model_entry *entry, const json_t *connection,
                       struct ix_found_model *found, struct ix_error *err);
/* Whether a request's "overrideConnection" makes a model that can be used; every fault names its field. */
int ix_service_check_overrides(struct ix_service *service, const struct model_entry *entry,
                               const json_t *connection, struct ix_failure *failure);
/* All models of files; `first`: at the start. */
void ix_service_read_folders(struct ix_service *service, bool first);
void ix_service_watch_folders(struct ix_service *service);
void ix_service_watch_end(struct ix_service *service);
void ix_service_models_free(struct ix_service *service);
uint64_t ix_service_users_of(const struct ix_service *service, const char *model);

/* ---- groups (service_groups.c) ---- */

struct service_group *ix_service_find_group(const struct ix_service *service, const char *id);
/* As the REST calls mean it: hidden and leaving ones are not found. */
struct service_group *ix_service_need_group(struct ix_service *service, const char *id,
                                            struct ix_failure *failure);
/* `is_kept`: its ids were found to be free when it was made. */
struct service_group *ix_service_add_group(struct ix_service *service, const struct ix_store_group *g,
                                           bool is_kept, struct ix_error *err);
void ix_service_drop_group(struct ix_service *service, struct service_group *g);
/* A hidden group whose last device is gone takes no place any longer: not at work, nor in the store. */
void ix_service_drop_empty(struct ix_service *service, struct service_group *g);
/* How a group is called in messages: "group "x"", or whose single devices a hidden one has; the caller frees it. */
char *ix_service_group_title(const struct ix_service *service, const char *id);
void ix_service_groups_free(struct ix_service *service);
void ix_service_group_joined(struct ix_service *service, struct service_group *g, const char *name,
                             int64_t created_ms);
void ix_service_group_gone(struct ix_service *service, struct service_group *g, uint64_t index);
/* Notes what a device is to do. False: it is gone, or a later order is noted already. */
bool ix_service_group_order(struct service_group *g, uint64_t index, bool started, uint64_t number);
/* The order that holds for a device: its own or its group's, and that one's number. */
bool ix_service_is_started(const struct service_group *g, uint64_t index, uint64_t *number);
bool ix_service_is_gone(const struct service_group *g, uint64_t index);
static inline uint64_t ix_service_alive(const struct service_group *g)
{
    return g->count - g->gone_count;
}
bool ix_service_find_device(const struct ix_service *service, const char *id, struct device_ref *ref);
void ix_service_put_id(const struct service_group *g, uint64_t index, struct ix_buf *out);
/* The state of a device that no worker knows. */
enum ix_device_status ix_service_rest_status(const struct service_group *g, uint64_t index);
void ix_service_group_counts(struct ix_service *service, const struct service_group *g,
                             struct ix_totals *totals);

/* ---- the store (service_keep.c) ---- */

int ix_service_open_store(struct ix_service *service, struct ix_error *err);
void ix_service_keep_group(struct ix_service *service, const struct service_group *g);
void ix_service_keep_state(struct ix_service *service, const struct service_group *g);
/* What ran before the end runs again. */
void ix_service_resume(struct ix_service *service);
/* The group is at work, or can't be (code < 0): what is to run of it is started, or it is in trouble. */
void ix_service_placed(struct ix_service *service, struct service_group *g, int code, const char *message);

/* ---- at work (service_place.c) ---- */

/* Calls `then` once the fleet has the group, with its current model; later. -EHOSTUNREACH: its broker's name can't be
 * looked up, or was not within `patience_ns`. Who then notes what is to run and calls ix_service_group_trouble has it
 * taken up when it can be. */
void ix_service_place(struct wait *w, struct service_group *g, uint64_t patience_ns,
                      void (*then)(struct wait *w, int code, json_t *result, const char *message));
/* Makes what the group is to do so: by the service itself, at its start and after trouble. */
void ix_service_take_up(struct ix_service *service, struct service_group *g);
/* The group is about to be freed: a placing that is on its way will find nothing of it. */
void ix_service_placing_void(struct ix_service *service, const struct service_group *g);
/* What is to run can't: it is in error, and tried again after a pause. */
void ix_service_group_trouble(struct ix_service *service, struct service_group *g, const char *message);
/* Nothing of it is to run, or all does: nothing is tried again. */
void ix_service_group_calm(struct ix_service *service, struct service_group *g);
/* Whether anything of it is to run. */
bool ix_service_is_wanted(const struct service_group *g);

/* The service ends; true: brokers are still being looked up on other threads. */
bool ix_service_placings_end(struct ix_service *service);

/* ---- operations ---- */

void ix_service_launch(struct ix_service *service, struct service_group *g, json_t *launch, struct wait *w);
void ix_service_operation_set(struct ix_service *service, struct service_group *g, enum operation_kind kind,
                              const char *strategy, uint64_t total, uint64_t duration_ns);
void ix_service_operation_update(struct ix_service *service, struct service_group *g);

/* ---- what requests bring (service_args.c): < 0 with a failure ---- */

int ix_service_check_text(const json_t *body, const char *key, size_t max, bool required,
                          struct ix_failure *failure);
int ix_service_check_number(const json_t *body, const char *key, double max, double fallback, double *number,
                            struct ix_failure *failure);
/* Only these fields. */
int ix_service_check_fields(const json_t *body, const char *const *known, size_t count,
                            struct ix_failure *failure);
/* `modelId` and `overrideConnection`. */
int ix_service_check_model(struct ix_service *service, const json_t *body, struct ix_failure *failure);
/* A group of the body's model, in memory only; an id "~…" is a hidden one. NULL with a failure. */
struct service_group *ix_service_make_group(struct ix_service *service, const json_t *body, const char *id,
                                            const char *pattern, uint64_t count, struct ix_failure *failure);

/* ---- strategies (service_strategy.c) ---- */

/* {strategy, settings…} → name and settings in a launch object {strategy, settings}, checked for `count` devices;
 * *duration_ns until the last one's turn. NULL with a failure. */
json_t *ix_service_read_strategy(struct ix_service *service, const json_t *body, bool is_dropout,
                                 const char *const *other_fields, uint64_t count, uint64_t *duration_ns,
                                 struct ix_failure *failure);
/* Texts belong to the caller: ix_service_strategy_deinit. */
struct ix_strategy_spec ix_service_strategy_spec(const json_t *launch, bool is_dropout);
void ix_service_strategy_deinit(struct ix_strategy_spec *spec);

/* ---- views (service_view.c) ---- */

json_t *ix_service_view_group(struct ix_service *service, struct service_group *g);
/* The last start, stop or dropout of a group, as it is now; null if there was none. */
json_t *ix_service_view_operation(struct ix_service *service, struct service_group *g);
json_t *ix_service_view_device(struct ix_service *service, const struct device_ref *ref);
json_t *ix_service_time(int64_t wall_ms); /* ISO-8601, null for 0 */

/* ---- figures and events ---- */

void ix_service_stats_begin(struct ix_service *service);
void ix_service_stats_end(struct ix_service *service);
/* Keeps service->stats, made just now, and the states of groups. */
void ix_service_history_note(struct ix_service *service);
/* Sentences: what devices run into now, or will, and what to do about it. */
json_t *ix_service_advice(const struct ix_service *service);
void ix_service_feed_begin(struct ix_service *service);
void ix_service_feed_end(struct ix_service *service);
void ix_service_tell(struct ix_service *service, const char *event, const json_t *data);
/* … {id}, when a list changed. */
void ix_service_tell_change(struct ix_service *service, const char *event, const char *id);

#endif
