/* The groups of a run as the controller knows them: their specs, on which worker each device lives, and the
 * current records, from which any worker can be told everything again.
 *
 * Operations that need answers of workers finish later, through `done` with the caller's ticket. */
#ifndef IX_CONTROL_FLEET_H
#define IX_CONTROL_FLEET_H

#include "control/limits.h"
#include "control/memory.h"
#include "control/snapshot.h"
#include "control/workers.h"

#include <jansson.h>

struct ix_fleet;

struct ix_fleet_config {
    struct ix_loop *loop;
    struct ix_workers *workers;
    uint32_t base_workers; /* started first, one per core; more follow as descriptors demand */
    double connect_rate;   /* connections a second of all workers together; 0: no limit */
    uint64_t
        connect_window; /* connections under way at the same time, of all workers together; 0: no limit */
    uint64_t seed;
    bool
        dry; /* limits of this host don't count; a group that is too large to be followed is assumed to run */
    /* code 0 with a result (reference given away), or < 0 with a message. `is_record`: launches, stops,
     * dropouts and settings; else calls into devices. */
    void (*done)(void *context, uint64_t ticket, bool is_record, int code, json_t *result,
                 const char *message);
    /* A record that was answered with success already was refused by a worker that started later: the run can't go
     * on as its scenario believes. NULL: nobody asks. */
    void (*failed)(void *context, int code, const char *message);
    void *context;
};

/* A group to be. The texts are copied, *model_json_text is what workers compile. */
struct ix_group_config {
    const char *id;
    uint64_t count;
    const char *id_pattern; /* NULL: "{groupId}-{index}" */
    const char *model_id;
    const char *model_text;
    const char *model_folder;
    uint64_t model_hash;
    const struct ix_target *targets;
    size_t target_count;
    const struct ix_sources *sources;
    struct ix_memory_parts device_memory; /* that one of its devices takes on this host */
    bool broker_is_here;
    bool broker_is_embedded;
    const char *tags;  /* "key:value,…" sorted; "" none */
    const char *label; /* what ${groupId} gives; NULL: the id */
    bool is_hidden;    /* its ids are names of their own: the pattern collides with nothing */
    /* Names of the devices from names_base on, one a line, "" by the pattern; NULL: none. */
    uint64_t names_base;
    const char *names;
    const uint32_t *gone; /* holes */
    size_t gone_count;
};

struct ix_dropout_config {
    struct ix_strategy_spec strategy;
    int64_t count;      /* -1: not given */
    double percentage;  /* -1: not given */
    const char *select; /* packed function or NULL */
    size_t select_len;
    enum ix_drop_mode mode;
    bool reconnect;
    uint64_t reconnect_delay_ns;
};

/* What is known of one dropout; progress comes from the segments. */
struct ix_dropout_facts {
    uint64_t id;
    const char *group;
    const char *strategy;
    uint64_t start_ns;
    uint64_t eligible, chosen;
    bool cancelled;
    bool is_over; /* noticed when a later one began: its figures change no more */
};

struct ix_fleet *ix_fleet_new(const struct ix_fleet_config *config);
void ix_fleet_free(struct ix_fleet *fleet);

/* -EEXIST: the id is taken, or its ids could collide with another group's. */
int ix_fleet_create(struct ix_fleet *fleet, const struct ix_group_config *config, struct ix_error *err);
/* As many groups are at work as can be: the next ix_fleet_create fails with -ENOSPC. */
bool ix_fleet_is_full(const struct ix_fleet *fleet);
/* Adds devices behind the last one; `names` as above, of the new ones. What the
 * group was told last holds for them: those of a group that was launched start. */
int ix_fleet_grow(struct ix_fleet *fleet, const char *group, uint64_t added, const char *names,
                  uint64_t ticket, struct ix_error *err);
/* Deletes one device: it disconnects, and a hole is left. */
int ix_fleet_remove_device(struct ix_fleet *fleet, const char *group, uint64_t index, uint64_t ticket,
                           struct ix_error *err);
/* Removes a group with its devices; those that are connected disconnect at once. Its counters stay in the sums. */
int ix_fleet_remove(struct ix_fleet *fleet, const char *group, uint64_t ticket, struct ix_error *err);
/* The row of a device and the segment in which it is; NULL while it has none (its group was never started). O(1)
 * but for the first look at a group. */
const struct ix_device_row *ix_fleet_row(struct ix_fleet *fleet, const char *group, uint64_t index,
                                         const struct ix_segment **segment);
bool ix_fleet_has(const struct ix_fleet *fleet, const char *group);
/* Id of a device, "" in an unknown group; the caller frees it. */
char *ix_fleet_device_id(const struct ix_fleet *fleet, const char *group, uint64_t index);

/* As the device's row has it; created in a group that was never started. */
int ix_fleet_device_status(struct ix_fleet *fleet, const char *group, uint64_t index,
                           enum ix_device_status *status, struct ix_error *err);

/* Each answers through `done` once every worker concerned has applied it: {"devices": n}, for dropouts
 * {"id", "eligible", "chosen"}. Strategies are copied. While processes of the group's workers are still to be started
 * (a group larger than the workers that start at once), the first worker that applied it answers for all, so that a
 * million devices are started in milliseconds; the shared start instant lies behind the time that all of them need,
 * and devices of a worker that needs even longer start late, which schedule.lateness shows. */
int ix_fleet_launch(struct ix_fleet *fleet, const char *group, const struct ix_strategy_spec *strategy,
                    uint64_t ticket, struct ix_error *err);
int ix_fleet_stop(struct ix_fleet *fleet, const char *group, uint64_t drain_ns, uint64_t ticket,
                  struct ix_error *err);
/* For a group that was stopped before it came into this fleet: its devices show it. */
int ix_fleet_stop_again(struct ix_fleet *fleet, const char *group, struct ix_error *err);
int ix_fleet_dropout(struct ix_fleet *fleet, const char *group, const struct ix_dropout_config *dropout,
                     uint64_t ticket, struct ix_error *err);
int ix_fleet_dropout_cancel(struct ix_fleet *fleet, uint64_t id, uint64_t ticket, struct ix_error *err);
int ix_fleet_set(struct ix_fleet *fleet, const char *group, int64_t index, const char *attribute,
                 const char *changes, uint64_t ticket, struct ix_error *err);
int ix_fleet_device_order(struct ix_fleet *fleet, const char *group, uint64_t index, bool start,
                          uint64_t ticket, struct ix_error *err);
/* Calls a packed function with devices where they live: {"devices", "errors"}. */
int ix_fleet_each(struct ix_fleet *fleet, const char *group, const char *function, size_t len, uint64_t first,
                  uint64_t count, uint64_t ticket, struct ix_error *err);
/* … with one device: the function's result. */
int ix_fleet_device(struct ix_fleet *fleet, const char *group, uint64_t index, const char *function,
                    size_t len, uint64_t ticket, struct ix_error *err);
int ix_fleet_command(struct ix_fleet *fleet, const char *group, uint64_t index, const char *name,
                     const char *json, uint64_t ticket, struct ix_error *err);

/* {attribute: last published value}; "binary" ones as base64. */
int ix_fleet_values(struct ix_fleet *fleet, const char *group, uint64_t index, uint64_t ticket,
                    struct ix_error *err);

/* Stops everything: all workers drain; `drained` once the last has, or after the time. */
void ix_fleet_drain(struct ix_fleet *fleet, uint64_t drain_ns, void (*drained)(void *context), void *context);

/* From the pool's events. ix_fleet_frame: true if the frame was one for the fleet. */
void ix_fleet_worker_ready(struct ix_fleet *fleet, uint32_t worker);
void ix_fleet_worker_lost(struct ix_fleet *fleet, uint32_t worker);
bool ix_fleet_frame(struct ix_fleet *fleet, uint32_t worker, uint8_t type, struct ix_reader *in);

/* All counters of the moment. */
void ix_fleet_snapshot(struct ix_fleet *fleet, struct ix_snapshot *snapshot);
/* What the devices placed so far will feel of the limits of this host and of an embedded broker; the caller frees it
 * with ix_shortages_free. Each was logged when it arose. */
size_t ix_fleet_shortages(const struct ix_fleet *fleet, struct ix_shortage out[IX_SHORT_COUNT]);
/* Sums of one group (NULL: all) without histograms: cheap enough for polling. */
void ix_fleet_counts(struct ix_fleet *fleet, const char *group, struct ix_totals *totals);

/* Dropouts so far, in order; NULL past the end. *progress: summed over workers (may be NULL). */
const struct ix_dropout_facts *ix_fleet_dropout_at(struct ix_fleet *fleet, size_t place,
                                                   struct ix_dropout_metrics *progress);
const struct ix_dropout_facts *ix_fleet_dropout_find(struct ix_fleet *fleet, uint64_t id,
                                                     struct ix_dropout_metrics *progress);

#endif
