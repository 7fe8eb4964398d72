/* One simulated device, as the rest of a worker sees it. Slots are small (≤ 96 bytes): what can be computed
 * (ids, topics, values of pure generators) is not stored; what only some devices need hangs off `extra`. */
#ifndef IX_DEVICE_DEVICE_H
#define IX_DEVICE_DEVICE_H

#include "device/record.h"
#include "metrics/segment.h"

struct ix_engine;
struct ix_group;

struct ix_device {
    struct ix_wheel_entry wheel; /* its earliest need: a tick, a (re)connect, a drop, a drain's end */
    struct ix_group *group;
    struct ix_device_row *row;     /* state, counters, tick cursor: in shared memory */
    struct ix_link *link;          /* NULL while there is none */
    struct ix_device_extra *extra; /* values, script handle, overrides; NULL for plain devices */
    uint64_t lost_ns;              /* when the connection went, 0 while up: for the outage trend */
    uint64_t need_ns;              /* by stage: when to connect, when connecting began, when draining ends */
    uint32_t inflight;             /* first entry in the engine's pool of unacknowledged messages, 0 none */
    uint16_t inflight_count;
    uint16_t attempts; /* connect attempts of this outage */
    uint32_t generation;
    uint8_t stage; /* device/internal.h */
    uint8_t flags;
    uint16_t waiting; /* messages in its queue, where that has a size */
};
_Static_assert(sizeof(struct ix_device) <= 96, "a device's slot must stay within its memory budget");

/* A reference that outlives its device: slot and generation. */
struct ix_device_ref {
    uint32_t slot;
    uint32_t generation;
};

/* Identity. The id is rendered into `out`. */
void ix_device_put_id(const struct ix_device *d, struct ix_buf *out);
const char *ix_device_group_id(const struct ix_device *d);
uint64_t ix_device_index(const struct ix_device *d);
/* "key:value,key:value" of its group, "" or NULL if none. */
const char *ix_device_tags(const struct ix_device *d);
const struct ix_model *ix_device_model(const struct ix_device *d);
struct ix_engine *ix_device_engine(const struct ix_device *d);
/* The device's random key; scripts draw from ix_random_key(key, IX_SCRIPT_DRAWS). */
#define IX_SCRIPT_DRAWS (1ull << 32)
uint64_t ix_device_random_key(const struct ix_device *d);
struct ix_device *ix_device_find(struct ix_engine *engine, const char *group, uint64_t index);

/* Publishes now. `topic` NULL: the connection's. -ENOTCONN, -EAGAIN (beyond maxInflight): counted as never
 * sent. `due_ns`: the intended instant, from which latency counts (now, if nothing else was intended). */
int ix_device_publish(struct ix_device *d, const struct ix_message *message, uint64_t due_ns);

/* The last published value of a stream; recomputed where the generator is pure. false before the first. */
bool ix_device_value(struct ix_device *d, size_t stream, struct ix_value *out);
/* Overrides a generator's settings (or makes it a constant) for this device; "null" ends that. */
int ix_device_set(struct ix_device *d, const char *attribute, const char *changes_json, struct ix_error *err);

/* Goes away in one of the ways; comes back after the delay, or by its reconnect policy if delay is
 * UINT64_MAX. */
void ix_device_disconnect(struct ix_device *d, enum ix_drop_mode mode, uint64_t reconnect_delay_ns);
/* Stops for good, with an error that is shown in its row (reason) and logged: for script errors. */
void ix_device_fail(struct ix_device *d, const char *reason);
/* What it is about to fail by was logged already, by whoever knows more of it: ix_device_fail will not repeat it. */
void ix_device_was_told(struct ix_device *d);

/* Renders a template's scope for this device (id buffer valid until the next call in this process). */
struct ix_template_scope ix_device_scope(struct ix_device *d, uint64_t instant_ns);

/* What a script keeps with a device (hooks only); NULL until set. */
void *ix_device_script(const struct ix_device *d);
void ix_device_set_script(struct ix_device *d, void *script);

#endif
