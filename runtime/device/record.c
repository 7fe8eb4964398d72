#include "device/record.h"

#include <stdlib.h>

/* A row keeps the index in 32 bits. */
#define MAX_COUNT (1ull << 28)

static void pack_strategy(const struct ix_strategy_spec *s, struct ix_buf *out)
{
    ix_pack_str(out, s->name);
    ix_pack_str(out, s->settings);
    ix_pack_bytes(out, s->function, s->function_len);
    ix_pack_u8(out, s->is_dropout);
}

static void pack_spec(const struct ix_group_spec *spec, struct ix_buf *out)
{
    ix_pack_str(out, spec->id_pattern);
    ix_pack_u64(out, spec->count);
    ix_pack_str(out, spec->model);
    ix_pack_str(out, spec->model_folder);
    ix_pack_u32(out, (uint32_t)spec->target_count);
    for (size_t i = 0; i < spec->target_count; i++) {
        ix_pack_str(out, spec->targets[i].address);
        ix_pack_str(out, spec->targets[i].server_name);
        ix_pack_u32(out, spec->targets[i].port);
    }
    ix_pack_u32(out, (uint32_t)spec->sources.count);
    for (size_t i = 0; i < spec->sources.count; i++)
        ix_pack_str(out, spec->sources.items[i].address);
    ix_pack_str(out, spec->tags);
    ix_pack_str(out, spec->label);
    ix_pack_u64(out, spec->names_base);
    ix_pack_u64(out, spec->names_first);
    ix_pack_str(out, spec->names);
    ix_pack_u32(out, (uint32_t)spec->gone_count);
    for (size_t i = 0; i < spec->gone_count; i++)
        ix_pack_u32(out, spec->gone[i]);
    ix_pack_bytes(out, spec->shards, sizeof(spec->shards));
}

static void pack_dropout(const struct ix_dropout *d, struct ix_buf *out)
{
    ix_pack_u64(out, d->id);
    ix_pack_u64(out, d->start_ns);
    pack_strategy(&d->strategy, out);
    ix_bitmap_pack(&d->eligible, out);
    ix_pack_u64(out, d->chosen);
    ix_pack_u64(out, d->seed);
    ix_pack_u8(out, (uint8_t)d->mode);
    ix_pack_u8(out, d->reconnect);
    ix_pack_u64(out, d->reconnect_delay_ns);
    ix_pack_u8(out, d->cancelled);
}

void ix_record_pack(const struct ix_record *record, struct ix_buf *out)
{
    ix_pack_u64(out, record->sequence);
    ix_pack_u8(out, (uint8_t)record->kind);
    ix_pack_str(out, record->group);
    ix_pack_str(out, record->subkey);
    switch (record->kind) {
    case IX_RECORD_SPEC:
        pack_spec(&record->spec, out);
        break;
    case IX_RECORD_LAUNCH:
        ix_pack_u64(out, record->launch.start_ns);
        pack_strategy(&record->launch.strategy, out);
        break;
    case IX_RECORD_STOP:
        ix_pack_u64(out, record->stop.at_ns);
        ix_pack_u64(out, record->stop.drain_ns);
        break;
    case IX_RECORD_DROPOUT:
        pack_dropout(&record->dropout, out);
        break;
    case IX_RECORD_DEVICE:
        ix_pack_u64(out, record->device.index);
        ix_pack_u8(out, record->device.start);
        ix_pack_u64(out, record->device.at_ns);
        break;
    case IX_RECORD_SET:
        ix_pack_str(out, record->set.attribute);
        ix_pack_u64(out, (uint64_t)record->set.index);
        ix_pack_str(out, record->set.changes);
        break;
    }
}

/* A text as a copy; a NUL inside would hide what follows from everyone. */
static char *read_text(struct ix_reader *in)
{
    size_t len;
    const void *data = ix_read_bytes(in, &len);
    if (memchr(data, 0, len)) {
        in->bad = true;
        len = 0;
    }
    return ix_strndup(data, len);
}

static char *read_optional(struct ix_reader *in)
{
    char *text = read_text(in);
    if (!*text) {
        free(text);
        return NULL;
    }
    return text;
}

static void read_fixed(struct ix_reader *in, char *out, size_t size)
{
    size_t len;
    const void *data = ix_read_bytes(in, &len);
    if (len >= size || memchr(data, 0, len)) {
        in->bad = true;
        len = 0;
    }
    memcpy(out, data, len);
    out[len] = '\0';
}

static bool read_bool(struct ix_reader *in)
{
    uint8_t value = ix_read_u8(in);
    if (value > 1)
        in->bad = true;
    return value == 1;
}

static void read_strategy(struct ix_strategy_spec *s, struct ix_reader *in)
{
    s->name = read_text(in);
    s->settings = read_optional(in);
    size_t len;
    const void *function = ix_read_bytes(in, &len);
    if (len) {
        s->function = ix_malloc(len);
        memcpy(s->function, function, len);
        s->function_len = len;
    }
    s->is_dropout = read_bool(in);
}

static int read_targets(struct ix_group_spec *spec, struct ix_reader *in, struct ix_error *err)
{
    size_t count = ix_read_u32(in);
    /* Each takes at least the lengths of two texts and a port. */
    if (count > (size_t)(in->end - in->at) / 12)
        return ix_fail(err, -EBADMSG, "%zu targets do not fit into the rest of the message", count);
    spec->targets = ix_calloc(count + 1, sizeof(*spec->targets));
    for (; spec->target_count < count && !in->bad; spec->target_count++) {
        struct ix_target *target = &spec->targets[spec->target_count];
        read_fixed(in, target->address, sizeof(target->address));
        read_fixed(in, target->server_name, sizeof(target->server_name));
        uint32_t port = ix_read_u32(in);
        if (port > UINT16_MAX)
            in->bad = true;
        target->port = (uint16_t)port;
    }
    return 0;
}

static int read_sources(struct ix_sources *sources, struct ix_reader *in, struct ix_error *err)
{
    size_t count = ix_read_u32(in);
    if (count > (size_t)(in->end - in->at) / 4)
        return ix_fail(err, -EBADMSG, "%zu source addresses do not fit into the rest of the message", count);
    sources->items = ix_calloc(count + 1, sizeof(*sources->items));
    for (; sources->count < count && !in->bad; sources->count++)
        read_fixed(in, sources->items[sources->count].address, sizeof(sources->items->address));
    return 0;
}

static int read_gone(struct ix_group_spec *spec, struct ix_reader *in, struct ix_error *err)
{
    size_t count = ix_read_u32(in);
    if (count > (size_t)(in->end - in->at) / 4)
        return ix_fail(err, -EBADMSG, "%zu deleted devices do not fit into the rest of the message", count);
    spec->gone = ix_calloc(count + 1, sizeof(*spec->gone));
    for (; spec->gone_count < count && !in->bad; spec->gone_count++)
        spec->gone[spec->gone_count] = ix_read_u32(in);
    return 0;
}

static int read_spec(struct ix_group_spec *spec, struct ix_reader *in, struct ix_error *err)
{
    spec->id_pattern = read_text(in);
    spec->count = ix_read_u64(in);
    spec->model = read_text(in);
    spec->model_folder = read_optional(in);
    int rc = read_targets(spec, in, err);
    if (rc == 0)
        rc = read_sources(&spec->sources, in, err);
    if (rc < 0)
        return rc;
    spec->tags = read_text(in);
    spec->label = read_optional(in);
    spec->names_base = ix_read_u64(in);
    spec->names_first = ix_read_u64(in);
    spec->names = read_optional(in);
    rc = read_gone(spec, in, err);
    if (rc < 0)
        return rc;
    size_t len;
    const void *shards = ix_read_bytes(in, &len);
    if (!in->bad && len != sizeof(spec->shards))
        return ix_fail(err, -EBADMSG, "a set of shards has %zu bytes, not %zu", len, sizeof(spec->shards));
    if (!in->bad)
        memcpy(spec->shards, shards, len);
    if (spec->count > MAX_COUNT)
        return ix_fail(err, -EBADMSG, "a group of %llu devices; at most %llu are possible",
                       (unsigned long long)spec->count, MAX_COUNT);
    return 0;
}

static int read_dropout(struct ix_dropout *d, struct ix_reader *in, struct ix_error *err)
{
    d->id = ix_read_u64(in);
    d->start_ns = ix_read_u64(in);
    read_strategy(&d->strategy, in);
    int rc = ix_bitmap_unpack(&d->eligible, in, err);
    if (rc < 0)
        return rc;
    d->chosen = ix_read_u64(in);
    d->seed = ix_read_u64(in);
    uint8_t mode = ix_read_u8(in);
    if (mode > IX_DROP_SILENT)
        in->bad = true;
    d->mode = mode;
    d->reconnect = read_bool(in);
    d->reconnect_delay_ns = ix_read_u64(in);
    d->cancelled = read_bool(in);
    if (!in->bad && d->id == 0)
        return ix_fail(err, -EBADMSG, "a dropout without an id");
    return 0;
}

static int read_body(struct ix_record *record, struct ix_reader *in, struct ix_error *err)
{
    switch (record->kind) {
    case IX_RECORD_SPEC:
        return read_spec(&record->spec, in, err);
    case IX_RECORD_LAUNCH:
        record->launch.start_ns = ix_read_u64(in);
        read_strategy(&record->launch.strategy, in);
        return 0;
    case IX_RECORD_STOP:
        record->stop.at_ns = ix_read_u64(in);
        record->stop.drain_ns = ix_read_u64(in);
        return 0;
    case IX_RECORD_DROPOUT:
        return read_dropout(&record->dropout, in, err);
    case IX_RECORD_DEVICE:
        record->device.index = ix_read_u64(in);
        record->device.start = read_bool(in);
        record->device.at_ns = ix_read_u64(in);
        return 0;
    case IX_RECORD_SET:
        record->set.attribute = read_text(in);
        record->set.index = (int64_t)ix_read_u64(in);
        record->set.changes = read_text(in);
        if (record->set.index < -1)
            in->bad = true;
        return 0;
    }
    return -EBADMSG;
}

int ix_record_unpack(struct ix_record *record, struct ix_reader *in, struct ix_error *err)
{
    *record = (struct ix_record){.sequence = ix_read_u64(in)};
    uint8_t kind = ix_read_u8(in);
    if (in->bad || kind < IX_RECORD_SPEC || kind > IX_RECORD_SET)
        return ix_fail(err, -EBADMSG, "a record of unknown kind %u, or cut off", kind);
    record->kind = kind;
    record->group = read_text(in);
    record->subkey = read_text(in);
    int rc = read_body(record, in, err);
    if (rc == 0 && (in->bad || !*record->group))
        rc = ix_fail(err, -EBADMSG, "a record of kind %u is cut off or holds a field that can't be", kind);
    if (rc < 0)
        ix_record_deinit(record);
    return rc;
}

static void strategy_deinit(struct ix_strategy_spec *s)
{
    free(s->name);
    free(s->settings);
    free(s->function);
}

void ix_record_deinit(struct ix_record *record)
{
    switch (record->kind) {
    case IX_RECORD_SPEC:
        free(record->spec.id_pattern);
        free(record->spec.model);
        free(record->spec.model_folder);
        free(record->spec.targets);
        ix_sources_deinit(&record->spec.sources);
        free(record->spec.tags);
        free(record->spec.label);
        free(record->spec.names);
        free(record->spec.gone);
        break;
    case IX_RECORD_LAUNCH:
        strategy_deinit(&record->launch.strategy);
        break;
    case IX_RECORD_DROPOUT:
        strategy_deinit(&record->dropout.strategy);
        ix_bitmap_deinit(&record->dropout.eligible);
        break;
    case IX_RECORD_SET:
        free(record->set.attribute);
        free(record->set.changes);
        break;
    case IX_RECORD_STOP:
    case IX_RECORD_DEVICE:
        break;
    }
    free(record->group);
    free(record->subkey);
    *record = (struct ix_record){0};
}
