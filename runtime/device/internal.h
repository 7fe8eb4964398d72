/* What the files of device/ share. A device moves through stages:
 *
 *   idle ──start──▶ connecting ──accepted──▶ up ──stop──▶ draining ──▶ idle
 *                     ▲     │ refused, failed    │ lost, dropped, disconnected
 *                     │     ▼                    ▼
 *          queued ────┴── waiting ◀──────────────┘
 *
 * Its status and link state, which users see, are in its row. All its deadlines share one wheel entry:
 * whoever changes one calls ix_device_rearm. */
#ifndef IX_DEVICE_INTERNAL_H
#define IX_DEVICE_INTERNAL_H

#include "base/log.h"
#include "base/text.h"
#include "device/engine.h"
#include "device/gateway.h"
#include "device/place.h"
#include "generator/generator.h"
#include "metrics/ledger.h"
#include "metrics/mark.h"

enum ix_stage {
    IX_S_IDLE,
    IX_S_WAITING,    /* connects at need_ns (UINT64_MAX: not by itself); a silenced link may be left */
    IX_S_QUEUED,     /* wants to connect, others are before it; need_ns is its ticket */
    IX_S_CONNECTING, /* since need_ns */
    IX_S_UP,
    IX_S_DRAINING, /* at the latest until need_ns */
};

enum {
    IX_DF_STARTED = 1,    /* prepared: hooks and generators hold something for it */
    IX_DF_DROP_ARMED = 2, /* the dropout in its row is known here and still to come */
    IX_DF_TOLD_STOP = 4,  /* the stop hook was called */
    IX_DF_WAITING = 8,    /* telemetry waits for room (queue.c) */
    IX_DF_OWN_FAULT =
        16, /* it is not connected because of us: its worker died, or this host had no descriptor */
};

/* Parts of a device's random key beside its streams (1, 2 …) and its script's draws. */
#define IX_DRAWS_PHASE     (1ull << 48)
#define IX_DRAWS_RECONNECT (2ull << 48)
#define IX_DRAWS_LAUNCH    (3ull << 48)
#define IX_DRAWS_CHILD     (4ull << 48) /* and the kind's place */

/* Devices that a job handles between two looks at the sockets. */
#define IX_JOB_CHUNK 1024
/* How long a job that closes connections may keep a turn: others' telemetry waits behind it. */
#define IX_JOB_NS 1000000ull
/* Instants that a late device makes up for before others get their turn. */
#define IX_CATCH_UP 32
/* How much faster than its own pace a device sends what it missed (onLate "catch-up"). */
#define IX_CATCH_UP_PACE 10
/* A reboot waits until its answer is with the server. */
#define IX_REBOOT_GRACE_NS 100000000ull
#define IX_REBOOT_AWAY_NS  5000000000ull
/* How long a single device that is told to stop waits for acknowledgements. */
#define IX_DEVICE_DRAIN_NS 2000000000ull

#define IX_SLOT_CHUNK 1024

/* Settings of a generator that differ from the model's, for a device or a whole group. */
struct ix_override {
    uint64_t sequence; /* of its record; 0: a command or script set it */
    uint64_t since_ns; /* ticks from this instant on are its */
    struct ix_generator_spec spec;
    struct ix_generator generator; /* class NULL: back to the model's own */
    struct ix_override *before;    /* of which the last published value may still be; NULL: none */
};

struct ix_behavior_state {
    uint64_t next_ns;  /* interval triggers: next instant */
    uint64_t fired_ns; /* for the cooldown */
    bool fired;
    bool held; /* condition held at the last sample */
};

struct ix_device_order_state {
    uint64_t sequence; /* 0: none */
    uint64_t at_ns;
    bool start;
};

/* Instants after from_ns and until to_ns were dropped from within a queue. */
struct ix_queue_gap {
    uint64_t from_ns, to_ns;
};
struct ix_queue_gaps {
    struct ix_queue_gap *items; /* [first, count) are still to come */
    size_t first, count, cap;
};

struct ix_device_extra {
    void *script;
    struct ix_value *values; /* last published value of each stream; NULL: not kept */
    char **texts;            /* what text values point to */
    struct ix_behavior_state *behaviors;
    void **instances; /* per stream: what the generator keeps for this device */
    struct ix_override **overrides;
    struct ix_device_order_state order;
    uint64_t leave_ns;          /* a reboot is due; UINT64_MAX: none */
    uint64_t leave_back_ns;     /* how long it then stays away */
    struct ix_queue_gaps *gaps; /* NULL: none yet */
};

struct ix_dropout_state {
    struct ix_dropout_state *next;
    uint64_t id;
    uint64_t start_ns;
    enum ix_drop_mode mode;
    bool reconnect;
    bool cancelled;
    uint64_t reconnect_delay_ns;
    struct ix_selection selection;
    uint64_t named;   /* devices of this worker that it named so far */
    uint64_t pending; /* of these: wait for their instant */
    unsigned jobs;    /* that work on it */
    struct ix_dropout_metrics *metrics;
};

/* Work over all devices of a group, a chunk per run of the wheel. */
struct ix_job {
    struct ix_wheel_entry wheel;
    struct ix_job *next;
    struct ix_group *group;
    /* Handles IX_JOB_CHUNK devices from `index` on and moves it; *done when there are none left. */
    int (*step)(struct ix_job *job, bool *done, struct ix_error *err);
    uint64_t index; /* devices below it are done */
    uint64_t sequence;
    uint64_t start_ns; /* of a launch; when a stop was wanted */
    uint64_t drain_ns;
    struct ix_schedule schedule; /* closed with the job */
    struct ix_dropout_state *dropout;
};

struct ix_group {
    struct ix_group *next;
    struct ix_engine *engine;
    char *id;
    uint64_t key;        /* hash of the id */
    uint64_t random_key; /* of seed and group */
    uint64_t model_hash; /* of its text */
    char *pattern_text;
    struct ix_id_pattern pattern;
    char *tags;
    char *label;  /* what ${groupId} gives */
    char *title;  /* how it is called in the log: its id, or of which model its single devices are */
    char **names; /* ids of their own of devices names_base, names_base + 1 …; NULL: by the pattern */
    uint64_t names_base, name_count;
    struct ix_model *model;
    struct ix_gateway *gateway; /* devices behind these; NULL: none */
    struct ix_group_metrics *metrics;

    uint64_t count; /* devices of the group, here and elsewhere */
    struct ix_place place;
    uint32_t *slots; /* slot of each own device, by position */
    uint64_t slot_count;

    struct ix_generator *generators; /* per stream */
    struct ix_override **overrides;  /* per stream, NULL: none */
    const struct ix_protocol *protocol;
    struct ix_transport **transports; /* one per target */
    struct ix_target *targets;
    bool is_stamping; /* its payloads say when they were sent (generator/stamp.h) */
    size_t target_count;
    struct ix_sources sources;

    char *head_json; /* {"deviceId":"prefix */
    char *tail_json; /* suffix","timestamp":" */
    size_t head_len, tail_len;
    uint64_t combined_phase_ns; /* shortest interval among random phases: a combined device has one phase */
    bool keep_values;
    bool needs_extra;
    bool queues;       /* its connection has a queue */
    uint64_t late_ns;  /* telemetry is late from this delay on */
    bool has_triggers; /* behaviours of which C decides when they fire */

    void *script;   /* hooks' handle of the model */
    unsigned hooks; /* enum ix_hook */

    struct {
        uint64_t sequence; /* 0: none yet */
        uint64_t start_ns;
        struct ix_strategy_spec strategy; /* owned */
    } launch;
    struct {
        uint64_t sequence;
        uint64_t at_ns;
        uint64_t drain_ns;
        struct ix_wheel_entry wheel;
    } stop;
    uint64_t drain_at_ns; /* the worker ends, since then; 0: it doesn't */
    struct ix_dropout_state *dropouts;
};

struct ix_inflight {
    uint64_t due_ns;
    uint64_t sent_ns;
    uint32_t next; /* in the device's chain, or in the free list */
    uint16_t token;
    uint8_t qos;
};

/* Devices that want to connect, first come first served; ticket n has the slot slots[n % size]. */
struct ix_pace {
    struct ix_wheel_entry wheel;
    uint32_t *slots;
    uint32_t size;
    uint32_t in_ms; /* without a rate: connections opened at once in millisecond `ms` */
    uint64_t ms;
    uint64_t first, last; /* tickets: the next to serve, the next to give */
    double interval_ns;   /* between two connections; 0: no rate */
    double next_ns;       /* the next one, at the earliest */
    uint32_t window;      /* connections that may be under way at the same time; 0: any number */
    uint32_t under_way;
};

/* What observers want to be told; `map` NULL: nothing. */
struct ix_engine_ledger {
    struct ix_ledger *map;
    struct ix_ledger_taker taker;
    enum ix_mark_way way;
    char **filters; /* of the topics that are observed; count 0: all but those that begin with $ */
    size_t filter_count;
    char key[IX_MARK_FIELD_MAX + 8]; /* "name":" */
    size_t key_len;
    struct ix_buf payload;
};

struct ix_engine {
    struct ix_engine_config config;
    struct ix_loop *loop;
    struct ix_segment *segment;
    struct ix_group *groups;
    struct ix_job *jobs;
    unsigned protocols_ready; /* bit: init was called */

    struct ix_device *chunks[IX_SEGMENT_ROWS / IX_SLOT_CHUNK]; /* slot n belongs to row n */
    struct ix_sampling
        died_in; /* what a script of the predecessor was asked for last, if it never answered */
    const struct ix_device *told; /* its error was logged: ix_device_fail need not */
    uint32_t inherited;           /* rows of a predecessor: [0, inherited) */
    uint32_t *free_rows;
    uint32_t free_count;

    struct ix_inflight *inflight;
    uint32_t inflight_size;
    uint32_t inflight_free;

    struct ix_pace pace;
    struct ix_engine_ledger ledger;
    struct ix_clocks *clocks; /* NULL: there is nothing to compare */
    uint64_t active;          /* devices that are not idle */
    bool draining;
    void (*drained)(void *context);
    void *drained_context;
    struct ix_wheel_entry drained_wheel;

    uint64_t ready_ns; /* while messages that waited are sent: when there was room; else 0 */

    int64_t stamp_ms; /* wall-clock millisecond of `stamp` */
    char stamp[IX_ISO8601_LEN + 1];
    struct ix_buf id, topic, payload, response, client_id, username, password, will_topic, will_payload;
};

static inline struct ix_device *ix_engine_slot(struct ix_engine *engine, uint32_t slot)
{
    return &engine->chunks[slot / IX_SLOT_CHUNK][slot % IX_SLOT_CHUNK];
}
static inline uint64_t ix_engine_now(const struct ix_engine *engine)
{
    return ix_clock_now(&engine->loop->clock);
}
/* An instant and a duration from a record: the sum stays at the end of time. */
static inline uint64_t ix_instant_after(uint64_t instant_ns, uint64_t duration_ns)
{
    return duration_ns > UINT64_MAX - instant_ns ? UINT64_MAX : instant_ns + duration_ns;
}
/* ledger.c: `n` messages of the device's schedule were never sent. */
void ix_ledger_never_sent(const struct ix_device *d, uint64_t n);
static inline void ix_device_count(const struct ix_device *d, enum ix_counter counter, uint64_t n)
{
    d->group->metrics->counters[counter] += n;
    if (ix_counter_is_never_sent(counter) && d->group->engine->ledger.map)
        ix_ledger_never_sent(d, n);
}
static inline void ix_device_trend(const struct ix_device *d, enum ix_trend trend, uint64_t from, uint64_t to)
{
    ix_histogram_add(&d->group->metrics->trends[trend], to > from ? to - from : 0);
}
static inline void ix_device_acked(const struct ix_device *d, int qos, uint64_t due_ns, uint64_t sent_ns,
                                   uint64_t now_ns)
{
    ix_device_count(d, IX_C_ACKED, 1);
    ix_group_metrics_acked(d->group->metrics, qos, now_ns > due_ns ? now_ns - due_ns : 0,
                           now_ns > sent_ns ? now_ns - sent_ns : 0);
}
static inline const char *ix_device_name(const struct ix_device *d)
{
    uint64_t place = d->row->index - d->group->names_base;
    return place < d->group->name_count ? d->group->names[place] : NULL;
}
/* Its telemetry schedule runs: from the first connection until stop or error. */
static inline bool ix_device_is_ticking(const struct ix_device *d)
{
    return (d->row->flags & IX_ROW_BASE) && d->stage != IX_S_IDLE && d->stage != IX_S_DRAINING;
}

/* engine.c */
struct ix_group *ix_engine_group(struct ix_engine *engine, const char *id);
void ix_engine_idle(struct ix_engine *engine); /* a device became idle: a drain may be complete */
int ix_engine_take_row(struct ix_engine *engine, uint32_t *row, struct ix_error *err);

/* group.c */
int ix_group_apply_spec(struct ix_engine *engine, const struct ix_record *record, struct ix_error *err);
void ix_group_free(struct ix_group *group, bool forget_rows);
struct ix_device *ix_group_device(struct ix_group *group, uint64_t index);

/* orders.c: launches, stops, and orders for single devices */
int ix_group_launch(struct ix_group *group, const struct ix_record *record, struct ix_error *err);
void ix_group_stop(struct ix_group *group, const struct ix_record *record);
void ix_group_drain(struct ix_group *group, uint64_t drain_ns);
void ix_group_order_device(struct ix_group *group, const struct ix_record *record);
/* Devices were added: the records so far hold for them too. */
int ix_group_repeat_orders(struct ix_group *group, struct ix_error *err);
void ix_group_deinit_orders(struct ix_group *group);
void ix_group_stop_due(struct ix_wheel_entry *entry, uint64_t now_ns);
void ix_device_order_due(struct ix_device *d);
/* From when on a device has no telemetry, since its group or worker was told to stop: to close many connections takes
 * its time, and what comes due meanwhile is not of the schedule. UINT64_MAX: there is no such instant. */
uint64_t ix_device_ends_at(const struct ix_device *d);
int ix_group_open_schedule(struct ix_group *group, const struct ix_strategy_spec *spec, uint64_t count,
                           uint64_t key, struct ix_schedule *schedule, struct ix_error *err);
/* Instants of at most IX_JOB_CHUNK places. */
int ix_schedule_instants(const struct ix_schedule *schedule, uint64_t start_ns, const uint64_t *places,
                         size_t count, uint64_t *instants, struct ix_error *err);

/* job.c */
struct ix_job *ix_job_new(struct ix_group *group, int (*step)(struct ix_job *, bool *, struct ix_error *));
/* Runs the first chunk now; the rest follows from the wheel. On error the job is gone. */
int ix_job_begin(struct ix_job *job, struct ix_error *err);
void ix_group_cancel_jobs(struct ix_group *group,
                          int (*step)(struct ix_job *, bool *, struct ix_error *)); /* NULL: all */

/* lifecycle.c */
void ix_device_due(struct ix_wheel_entry *entry, uint64_t now_ns);
void ix_device_rearm(struct ix_device *d);
void ix_device_set_status(struct ix_device *d, enum ix_device_status status);
void ix_device_set_stage(struct ix_device *d, enum ix_stage stage, uint64_t need_ns);
void ix_device_set_link(struct ix_device *d, enum ix_device_link link);
void ix_device_start(struct ix_device *d, uint64_t sequence);
/* What came due before `at_ns` is its own, however late this turn is; nothing from then on. */
void ix_device_stop(struct ix_device *d, uint64_t sequence, uint64_t at_ns, uint64_t drain_ns);
void ix_device_finish_stop(struct ix_device *d);
/* Deleted: it ends at once, politely, and counts nowhere any more. */
void ix_device_remove(struct ix_device *d);
/* A row of a predecessor goes on where it was. */
void ix_device_resume(struct ix_device *d);
/* Ends in error; the row's reason was set before. */
void ix_device_end_in_error(struct ix_device *d, const char *reason);
/* Gives up the link, however it is; what was unacknowledged is lost. */
void ix_device_end_link(struct ix_device *d, enum ix_way way);
void ix_device_leave(struct ix_device *d, enum ix_drop_mode mode, uint64_t back_ns);

/* link.c */
extern const struct ix_link_events ix_device_events;
void ix_device_connect(struct ix_device *d);

/* pace.c */
/* Connects now, or when its turn comes. */
void ix_pace_connect(struct ix_device *d);
/* A connection was begun, or was accepted, refused or given up. */
void ix_pace_note(struct ix_engine *engine, bool begun);
void ix_pace_deinit(struct ix_engine *engine);

/* reconnect.c */
/* After a loss, refusal or failure: true and the delay, or false: it gives up. */
bool ix_reconnect_delay(const struct ix_device *d, bool refused, uint64_t *delay_ns);

/* telemetry.c */
/* Handles what is due until now; returns the next instant (≤ now: more is due; UINT64_MAX: none). */
uint64_t ix_telemetry_run(struct ix_device *d, uint64_t now_ns);
uint64_t ix_telemetry_next(const struct ix_device *d);
/* Messages that came due and are not sent. */
void ix_telemetry_never_sent(struct ix_device *d, uint64_t messages, enum ix_counter why);
uint64_t ix_telemetry_stream_next(const struct ix_device *d, size_t stream);
/* Counts the instants before `until_ns` as never sent; the device is not connected. */
void ix_telemetry_settle(struct ix_device *d, uint64_t until_ns);
/* The last tick of a stream that came due; false before the first. */
bool ix_telemetry_last_tick(const struct ix_device *d, size_t stream, uint64_t *tick, uint64_t *instant_ns);
/* How many of a stream's `total` values fall to a device; UINT64_MAX: it has no end. */
uint64_t ix_telemetry_share(uint64_t total, uint64_t devices, uint64_t index);
bool ix_telemetry_is_due(const struct ix_device *d, size_t stream, uint64_t instant_ns, uint64_t *tick);
uint64_t ix_telemetry_phase(const struct ix_device *d, size_t stream);
/* A whole number of ms below the interval. */
uint64_t ix_telemetry_random_phase(uint64_t key, uint64_t counter, uint64_t interval_ns);
/* The first of the instants first, first + interval … that was not handled yet. */
uint64_t ix_telemetry_after_cursor(const struct ix_device_row *row, uint64_t first_ns, uint64_t interval_ns);
/* One message with the current value of a stream, outside of its schedule. */
void ix_telemetry_publish_now(struct ix_device *d, size_t stream);
/* Asks for a value once more that a predecessor died in: if that was an endless loop, it is now found and named. */
void ix_telemetry_repeat(struct ix_device *d, size_t stream, uint64_t instant_ns);
/* The first instant after a cursor, and how many messages are due then; UINT64_MAX: there is none. */
uint64_t ix_telemetry_after(const struct ix_device *d, uint64_t cursor_ns, uint64_t *messages);
/* Message `n` of an instant. The cursor is the caller's business. */
void ix_telemetry_send(struct ix_device *d, uint64_t instant_ns, uint64_t n);
/* What is due before `now_ns` and was not handled is too late. */
void ix_telemetry_give_up(struct ix_device *d, uint64_t now_ns);
/* True if the instant is too late to be sent (onLate): all that are count as never sent. */
bool ix_telemetry_skip_late(struct ix_device *d, uint64_t instant_ns, uint64_t now_ns);
const char *ix_engine_stamp(struct ix_engine *engine, uint64_t instant_ns);

/* queue.c: for groups whose connection has a queue */
/* Takes in what is due and sends what there is room for; returns the next instant, as ix_telemetry_run. */
uint64_t ix_queue_run(struct ix_device *d, uint64_t now_ns);
/* Sends what there is room for, without taking anything in. */
void ix_queue_drain(struct ix_device *d, uint64_t now_ns);
/* Something waits, and there is room. */
bool ix_queue_can_send(const struct ix_device *d);
/* What waits is never sent. */
void ix_queue_forget(struct ix_device *d, enum ix_counter why);
void ix_queue_free(struct ix_device_extra *extra);

/* inflight.c */
/* Publishes and counts everything but the scheduling. */
int ix_inflight_publish(struct ix_device *d, const struct ix_message *message, uint64_t due_ns);
/* False beyond max_inflight. */
bool ix_inflight_has_room(const struct ix_device *d, int qos);
/* The counter of a message that finds no room: back-pressure, or our own fault, if it or what takes its room is late
 * through ourselves, and the server had no time to answer since. */
enum ix_counter ix_inflight_whose_fault(const struct ix_device *d, uint64_t due_ns);
void ix_inflight_acked(struct ix_device *d, uint16_t token, bool accepted);
void ix_inflight_lose(struct ix_device *d);

/* ledger.c: hands a message to the protocol, marked and counted if it is observed; as the protocol's publish. */
int ix_ledger_publish(struct ix_device *d, const struct ix_message *message, uint64_t due_ns, uint64_t now_ns,
                      uint16_t *token);
/* -EEXIST: its model has an attribute where the mark would be. */
int ix_ledger_check_group(const struct ix_group *group, struct ix_error *err);
/* What was sent by the device's connection and did not arrive may have been lost with it. */
void ix_ledger_connection_broke(const struct ix_device *d);
/* A predecessor died, and the connections of its devices with it; the stream of which it was sending a message goes on in
 * another slot. */
void ix_ledger_take_over(struct ix_engine *engine);
void ix_ledger_deinit(struct ix_engine *engine);

/* dropout.c */
int ix_group_dropout(struct ix_group *group, const struct ix_record *record, struct ix_error *err);
void ix_group_deinit_dropouts(struct ix_group *group);
void ix_dropout_job_over(struct ix_job *job);
void ix_device_drop_due(struct ix_device *d, uint64_t now_ns);
/* A held device is connected again, or will not be. */
void ix_device_drop_over(struct ix_device *d, bool is_back, uint64_t now_ns);

/* behavior.c */
/* Makes ready what generators, conditions and hooks keep for a device; undone by close. */
int ix_behavior_open(struct ix_device *d, struct ix_error *err);
void ix_behavior_close(struct ix_device *d);
void ix_behavior_stopping(struct ix_device *d);
void ix_behavior_connected(struct ix_device *d, bool first, uint64_t now_ns);
void ix_behavior_keep(struct ix_device *d, size_t stream, const struct ix_value *value);
/* After a message with the streams of `mask` went out (streams beyond 63 are bit 63). */
void ix_behavior_sampled(struct ix_device *d, uint64_t mask, uint64_t due_ns);
void ix_behavior_commanded(struct ix_device *d, size_t command, const json_t *parameters, uint64_t now_ns);
uint64_t ix_behavior_next(const struct ix_device *d);
void ix_behavior_run(struct ix_device *d, uint64_t now_ns);

/* device.c */
struct ix_device_extra *ix_device_extra(struct ix_device *d);
void ix_device_free_extra(struct ix_device *d);

/* command.c */
void ix_command_subscribe(struct ix_device *d);
void ix_command_received(struct ix_device *d, const struct ix_message *message);

/* overrides.c */
int ix_group_set(struct ix_group *group, const struct ix_record *record, struct ix_error *err);
/* What a generator class keeps for this device. */
int ix_overrides_open_device(struct ix_device *d, struct ix_error *err);
void ix_overrides_close_device(struct ix_device *d);
const struct ix_generator *ix_device_generator(const struct ix_device *d, size_t stream);
/* The device's own settings were published outside of their ticks: they count as those of the last tick. */
void ix_override_published(struct ix_device *d, size_t stream);
/* The one that was in force for a tick of that instant. */
const struct ix_generator *ix_device_generator_at(const struct ix_device *d, size_t stream,
                                                  uint64_t instant_ns);
void ix_overrides_free(struct ix_override **overrides, size_t count);

#endif
