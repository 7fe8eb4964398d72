/* Generators: the values of one telemetry attribute, shared by all devices of a model in a process.
 *
 * Native ones are pure: value = f(key, tick). A custom one is Lua: script/ registers its class, which
 * keeps one closure per device. */
#ifndef IX_GENERATOR_GENERATOR_H
#define IX_GENERATOR_GENERATOR_H

#include "base/random.h"
#include "model/model.h"

/* Which sample is wanted. */
struct ix_draw {
    uint64_t key;    /* random key of (seed, group, index, stream) */
    uint64_t tick;   /* 0, 1, 2 ... since the device's first connection after start */
    int64_t wall_ns; /* due instant, wall clock */
    uint64_t now_ns; /* this instant, monotonic; for `timed` classes only */
    void *instance;  /* what `open_device` gave for this device and stream; NULL for native ones */
};

struct ix_generator {
    const struct ix_generator_class *class;
    const struct ix_generator_spec *spec;
    void *data; /* the class's own: mapped file, chosen texts ... */
};

struct ix_device;

struct ix_generator_class {
    const char *name;
    bool pure;  /* sample depends on key, tick and due instant only */
    bool timed; /* sample looks at draw->now_ns */
    /* Prepares: maps files, loads handlers. `model` gives folders. */
    int (*open)(struct ix_generator *g, const struct ix_model *model, struct ix_error *err);
    void (*close)(struct ix_generator *g);
    /* One value, already of the attribute's type. < 0: no value at this tick (message in *err; "" if
     * it was reported already). Hot path. */
    int (*sample)(const struct ix_generator *g, const struct ix_draw *draw, struct ix_value *out,
                  struct ix_error *err);
    /* Per-device state; NULL in pure classes. */
    int (*open_device)(const struct ix_generator *g, struct ix_device *device, void **instance,
                       struct ix_error *err);
    void (*close_device)(const struct ix_generator *g, void *instance);
};

/* Classes by kind; "custom" has none until script/ registers one: opening it then fails with a message. */
void ix_generator_register(enum ix_generator_kind kind, const struct ix_generator_class *class);

int ix_generator_open(struct ix_generator *g, const struct ix_generator_spec *spec,
                      const struct ix_model *model, struct ix_error *err);
void ix_generator_close(struct ix_generator *g);

/* The key of a draw. */
static inline uint64_t ix_draw_key(uint64_t device_key, size_t stream)
{
    return ix_random_key(device_key, stream + 1);
}

/* The key of a device: depends on nothing but the seed, its group's id (ix_hash64 of it) and its index. */
static inline uint64_t ix_device_key(uint64_t seed, uint64_t group_key, uint64_t index)
{
    return ix_random_key(ix_random_key(seed, group_key), index);
}

#endif
