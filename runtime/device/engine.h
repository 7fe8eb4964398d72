/* The device engine of one worker: its groups and devices, driven by records and by the loop's wheel. */
#ifndef IX_DEVICE_ENGINE_H
#define IX_DEVICE_ENGINE_H

#include "device/hooks.h"
#include "metrics/ledger.h"
#include "metrics/mark.h"

#define IX_STREAM_CHILDREN SIZE_MAX

struct ix_engine_config {
    struct ix_loop *loop;
    struct ix_segment *segment; /* writable; a predecessor's counters and rows are taken over */
    uint64_t seed;
    const char *const *allowed_env;
    size_t allowed_env_count;
    struct ix_hooks hooks;
    /* Where protocols come from; NULL: ix_protocol_find. */
    const struct ix_protocol *(*find_protocol)(enum ix_protocol_kind kind, struct ix_error *err);
    /* Told of every telemetry message as it is sent (outputs); NULL: nobody. `stream` of a combined message
     * is the last one in it, of a gateway's children IX_STREAM_CHILDREN. */
    void (*published)(void *context, const struct ix_device *d, size_t stream, uint64_t due_ns,
                      const struct ix_message *message);
    /* A device ended in error: for the log and the error policy. */
    void (*failed)(void *context, const struct ix_device *d, const char *reason);
    /* Work of a record that was spread over loop turns failed (a strategy gave a bad instant); NULL: it is
     * logged. */
    void (*record_failed)(void *context, const char *group, const struct ix_error *err);
    void *context;
};

struct ix_engine *ix_engine_new(const struct ix_engine_config *config);
/* Aborts what is connected and frees everything; the segment stays. */
void ix_engine_free(struct ix_engine *engine);

/* Connections are opened at the instants offset_ns + k · interval_ns, one at each, first come first served;
 * a turn that comes late makes up for 10 ms at most. interval_ns 0 (the default): as soon as asked for.
 * No more than `window` of them are under way at the same time: the others wait; 0 (the default): any number. */
void ix_engine_set_pace(struct ix_engine *engine, double interval_ns, double offset_ns, uint32_t window);

/* What observers want to be told of what devices publish. */
struct ix_observation {
    struct ix_ledger *ledger; /* mapped writable; stays the caller's */
    enum ix_mark_way way;
    const char *field;          /* name of the payload's field that carries the mark */
    const char *const *filters; /* of topics */
    size_t filter_count;
};
/* From now on messages to such topics carry a mark (metrics/mark.h) and are counted in the ledger. Those that can't
 * carry one count as unwatched. -EEXIST: a model has an attribute of the field's name. Once for an engine, before
 * its first group or later. */
int ix_engine_observe(struct ix_engine *engine, const struct ix_observation *observation,
                      struct ix_error *err);

/* Applies one record. Those of a group may come in any order, but its spec first; repeats, and records older
 * than the one applied for their key, are ignored. On error the group is as before and the message says why;
 * the record counts as applied. Work over many devices is spread over loop turns. */
int ix_engine_apply(struct ix_engine *engine, const struct ix_record *record, struct ix_error *err);

/* Sets the bits of the devices of `group` that a dropout may choose now: running, connected or reconnecting,
 * in no live dropout, and accepted by `accept` (NULL: all). */
int ix_engine_eligible(struct ix_engine *engine, const char *group,
                       bool (*accept)(void *context, struct ix_device *d), void *context,
                       struct ix_bitmap *bits, struct ix_error *err);

/* Calls `visit` for the devices [first, first + count) of a group that are this worker's, in index order. */
void ix_engine_each(struct ix_engine *engine, const char *group, uint64_t first, uint64_t count,
                    void (*visit)(void *context, struct ix_device *d), void *context);

/* A command for a device, as if it came over the protocol. -ENOENT unknown command, -EINVAL parameters. */
int ix_engine_command(struct ix_engine *engine, struct ix_device *d, const char *name, const char *json,
                      size_t len, struct ix_error *err);

/* Stops everything: polite close after draining for at most `drain_ns`, then done(context). */
void ix_engine_drain(struct ix_engine *engine, uint64_t drain_ns, void (*done)(void *context), void *context);

/* References that survive a device's end; NULL once it is gone. */
struct ix_device_ref ix_device_ref_of(const struct ix_device *d);
struct ix_device *ix_device_deref(struct ix_engine *engine, struct ix_device_ref ref);

#endif
