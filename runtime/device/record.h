/* Records: what the controller tells workers. A record replaces the earlier one of its key
 * (group, kind, subkey); the current records alone say what every device should do at any instant, so a
 * restarted worker needs them and nothing else. */
#ifndef IX_DEVICE_RECORD_H
#define IX_DEVICE_RECORD_H

#include "base/pack.h"
#include "protocol/protocol.h"
#include "protocol/source.h"
#include "strategy/schedule.h"
#include "strategy/selection.h"

/* A device belongs to shard (hash(group) + index) mod IX_SHARDS, for ever. */
#define IX_SHARDS 4096

enum ix_record_kind {
    IX_RECORD_SPEC = 1, /* a group exists, and which of its shards are this worker's */
    IX_RECORD_LAUNCH,   /* its devices start */
    IX_RECORD_STOP,     /* its devices stop */
    IX_RECORD_DROPOUT,  /* some of them fall out; subkey: dropout id */
    IX_RECORD_DEVICE,   /* one device starts or stops by itself; subkey: index */
    IX_RECORD_SET,      /* a generator's setting or value; subkey: "attribute/index" or "attribute/" (all) */
};

struct ix_group_spec {
    char *id_pattern;
    uint64_t count;            /* 0: the group is removed, with all its devices */
    char *model;               /* JSON text, connection overrides applied */
    char *model_folder;        /* may be NULL */
    struct ix_target *targets; /* devices spread over them by index */
    size_t target_count;
    struct ix_sources sources; /* addresses to connect from, spread likewise; none: the kernel chooses */
    char *tags;                /* "key:value,key:value", sorted */
    char *label;               /* what ${groupId} gives; NULL or "": the group's id */
    /* Ids of their own: devices names_first, names_first + 1 … have those of `names`, one a line; an empty one is
     * by the pattern. Only devices from names_base on may have one. A spec that repeats the group adds names. */
    uint64_t names_base, names_first;
    char *names;    /* NULL or "": none */
    uint32_t *gone; /* devices that were deleted: holes */
    size_t gone_count;
    uint8_t shards[IX_SHARDS / 8]; /* bit set: the shard is this worker's */
};

struct ix_launch {
    uint64_t start_ns;
    struct ix_strategy_spec strategy;
};

struct ix_stop {
    uint64_t at_ns;
    uint64_t drain_ns; /* how long unacknowledged messages are waited for */
};

enum ix_drop_mode { IX_DROP_ABORT, IX_DROP_CLOSE, IX_DROP_SILENT };

struct ix_dropout {
    uint64_t id; /* rises with each dropout of the run, from 1 */
    uint64_t start_ns;
    struct ix_strategy_spec strategy;
    struct ix_bitmap eligible; /* union over all workers; bits = count of the group */
    uint64_t chosen;
    uint64_t seed;
    enum ix_drop_mode mode;
    bool reconnect;
    uint64_t reconnect_delay_ns;
    bool cancelled; /* no further drops; those dropped come back by their rule */
};

struct ix_device_order {
    uint64_t index;
    bool start; /* else stop */
    uint64_t at_ns;
};

struct ix_set {
    char *attribute;
    int64_t index; /* -1: all devices */
    char *changes; /* JSON: {"min":…} or a value; "null": back to the model's own */
};

struct ix_record {
    uint64_t sequence; /* rises by one with each record of the run */
    char *group;
    char *subkey; /* "" where the kind has none */
    enum ix_record_kind kind;
    union {
        struct ix_group_spec spec;
        struct ix_launch launch;
        struct ix_stop stop;
        struct ix_dropout dropout;
        struct ix_device_order device;
        struct ix_set set;
    };
};

void ix_record_pack(const struct ix_record *record, struct ix_buf *out);
/* Everything inside is then owned by *record. */
int ix_record_unpack(struct ix_record *record, struct ix_reader *in, struct ix_error *err);
void ix_record_deinit(struct ix_record *record);

/* Shared with the controller's placement. */
static inline uint32_t ix_shard_of(uint64_t group_key, uint64_t index)
{
    return (uint32_t)((group_key + index) % IX_SHARDS);
}
static inline bool ix_shard_is_set(const uint8_t *shards, uint32_t shard)
{
    return shards[shard / 8] >> (shard % 8) & 1;
}

#endif
