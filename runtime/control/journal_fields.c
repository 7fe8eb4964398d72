#include "control/journal_fields.h"

#include <stdlib.h>
#include <string.h>

#define FIELD(type, member, key, kind)                                 \
    {                                                                  \
        key, kind, sizeof(((type *)0)->member), offsetof(type, member) \
    }
#define END                  \
    {                        \
        NULL, IX_F_U64, 0, 0 \
    }

#define R(member, key, kind) FIELD(struct ix_result, member, key, kind)
const struct ix_field ix_result_facts[] = {
    R(version, "iotix", IX_F_TEXT),
    R(scenario, "scenario", IX_F_TEXT),
    R(path, "path", IX_F_TEXT),
    R(scenario_hash, "scenarioHash", IX_F_U64),
    R(description, "description", IX_F_TEXT),
    R(run_id, "id", IX_F_TEXT),
    R(broker, "broker", IX_F_TEXT),
    R(seed, "seed", IX_F_U64),
    R(started_wall_ns, "started", IX_F_U64),
    R(series.start_ns, "start", IX_F_U64),
    R(options, "options", IX_F_JSON),
    R(tags, "tags", IX_F_JSON),
    R(settings, "settings", IX_F_JSON),
    R(command, "command", IX_F_JSON),
    R(replay, "replay", IX_F_JSON),
    R(threshold_table, "thresholds", IX_F_JSON),
    R(host, "host", IX_F_JSON),
    END,
};

const struct ix_field ix_result_figures[] = {
    R(seconds, "seconds", IX_F_F64),
    R(workers, "workers", IX_F_U64),
    R(worker_restarts, "restarts", IX_F_U64),
    R(own_fault, "ownFault", IX_F_U64),
    R(steal, "steal", IX_F_F64),
    R(frames_dropped, "framesDropped", IX_F_U64),
    R(log_dropped, "logDropped", IX_F_U64),
    R(series.events_dropped, "eventsDropped", IX_F_U64),
    END,
};

const struct ix_field ix_result_end[] = {
    R(error, "error", IX_F_TEXT),
    R(advice, "advice", IX_F_TEXT),
    R(series.peak_connects_per_s, "peakConnects", IX_F_F64),
    R(interrupted, "interrupted", IX_F_BOOL),
    R(observer_overrun, "observerOverrun", IX_F_U64),
    R(observer_held_ns, "observerHeldNs", IX_F_U64),
    R(observer_held_most_ns, "observerHeldMostNs", IX_F_U64),
    R(delivery, "delivery", IX_F_JSON),
    R(clocks, "clocks", IX_F_JSON),
    END,
};
#undef R

#define L(member, key, kind) FIELD(struct ix_limits, member, key, kind)
const struct ix_field ix_limits_fields[] = {
    L(degraded_lateness_ns, "degradedLatenessNs", IX_F_U64),
    L(invalid_lateness_ns, "invalidLatenessNs", IX_F_U64),
    L(degraded_busy, "degradedBusy", IX_F_F64),
    L(busy_for_s, "busyForSeconds", IX_F_F64),
    L(degraded_wait, "degradedWait", IX_F_F64),
    L(degraded_steal, "degradedSteal", IX_F_F64),
    L(degraded_restarts, "degradedRestarts", IX_F_U64),
    L(degraded_dropped, "degradedDropped", IX_F_U64),
    L(invalid_overrun, "invalidOverrun", IX_F_U64),
    L(invalid_own_fault, "invalidOwnFault", IX_F_F64),
    END,
};
#undef L

const struct ix_field ix_model_fields[] = {
    FIELD(struct ix_model_fact, id, "id", IX_F_TEXT),
    FIELD(struct ix_model_fact, hash, "hash", IX_F_U64),
    END,
};

const struct ix_field ix_event_fields[] = {
    FIELD(struct ix_event, t, "t", IX_F_F64),
    FIELD(struct ix_event, name, "name", IX_F_TEXT),
    FIELD(struct ix_event, data, "data", IX_F_TEXT),
    END,
};

const struct ix_field ix_check_fields[] = {
    FIELD(struct ix_check, name, "name", IX_F_TEXT),
    FIELD(struct ix_check, tags, "tags", IX_F_TEXT),
    FIELD(struct ix_check, passes, "passes", IX_F_U64),
    FIELD(struct ix_check, fails, "fails", IX_F_U64),
    FIELD(struct ix_check, first_fail_ns, "firstFail", IX_F_U64),
    FIELD(struct ix_check, reason, "reason", IX_F_TEXT),
    END,
};

#define D(member, key, kind) FIELD(struct ix_dropout_result, member, key, kind)
const struct ix_field ix_dropout_fields[] = {
    D(id, "id", IX_F_U64),
    D(group, "group", IX_F_CHARS),
    D(strategy, "strategy", IX_F_CHARS),
    D(t, "t", IX_F_F64),
    D(eligible, "eligible", IX_F_U64),
    D(chosen, "chosen", IX_F_U64),
    D(dropped, "dropped", IX_F_U64),
    D(already_gone, "alreadyGone", IX_F_U64),
    D(back, "back", IX_F_U64),
    D(cancelled, "cancelled", IX_F_U64),
    D(back_time, "backTime", IX_F_HISTOGRAM),
    END,
};
#undef D

/* ---- histograms ---- */

bool ix_histogram_is_same(const struct ix_histogram *a, const struct ix_histogram *b)
{
    return a->count == b->count && a->sum == b->sum && memcmp(a, b, sizeof(*a)) == 0;
}

void ix_histogram_pack(const struct ix_histogram *now, const struct ix_histogram *before, struct ix_buf *out)
{
    static const struct ix_histogram empty = {.min = UINT64_MAX};
    const struct ix_histogram *from = before ? before : &empty;
    size_t changed = 0, last = 0;
    ix_pack_zigzag(out, (int64_t)(now->count - from->count));
    ix_pack_zigzag(out, (int64_t)(now->sum - from->sum));
    ix_pack_zigzag(out, (int64_t)(now->min - from->min));
    ix_pack_zigzag(out, (int64_t)(now->max - from->max));
    for (size_t i = 0; i < IX_HISTOGRAM_BUCKETS; i++)
        changed += now->buckets[i] != from->buckets[i];
    ix_pack_var(out, changed);
    for (size_t i = 0; changed && i < IX_HISTOGRAM_BUCKETS; i++) {
        if (now->buckets[i] == from->buckets[i])
            continue;
        ix_pack_var(out, i - last);
        ix_pack_zigzag(out, (int64_t)(now->buckets[i] - from->buckets[i]));
        last = i;
        changed--;
    }
}

bool ix_histogram_unpack(struct ix_histogram *h, struct ix_reader *in)
{
    h->count += (uint64_t)ix_read_zigzag(in);
    h->sum += (uint64_t)ix_read_zigzag(in);
    h->min += (uint64_t)ix_read_zigzag(in);
    h->max += (uint64_t)ix_read_zigzag(in);
    uint64_t changed = ix_read_var(in), at = 0;
    for (; changed && !in->bad; changed--) {
        at += ix_read_var(in);
        int64_t by = ix_read_zigzag(in);
        if (at >= IX_HISTOGRAM_BUCKETS)
            in->bad = true;
        else
            h->buckets[at] += (uint64_t)by;
    }
    return !in->bad;
}

/* ---- fields ---- */

static void put_json(struct ix_buf *out, const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    ix_pack_u8(out, text != NULL);
    if (text)
        ix_buf_str(out, text);
    free(text);
}

static void put_text(struct ix_buf *out, const char *text)
{
    ix_pack_u8(out, text != NULL);
    if (text)
        ix_buf_str(out, text);
}

static bool is_same(const struct ix_field *f, const char *value, const char *before)
{
    if (f->kind == IX_F_U64 || f->kind == IX_F_F64 || f->kind == IX_F_BOOL)
        return memcmp(value, before, f->size) == 0;
    return f->kind == IX_F_HISTOGRAM &&
           ix_histogram_is_same((const struct ix_histogram *)value, (const struct ix_histogram *)before);
}

static void put_value(struct ix_buf *out, const struct ix_field *f, const char *value, const char *before)
{
    uint64_t number;
    switch (f->kind) {
    case IX_F_TEXT:
        put_text(out, *(char *const *)value);
        break;
    case IX_F_CHARS:
        put_text(out, value);
        break;
    case IX_F_JSON:
        put_json(out, *(json_t *const *)value);
        break;
    case IX_F_U64:
        memcpy(&number, value, sizeof(number));
        ix_pack_var(out, number);
        break;
    case IX_F_F64:
        ix_buf_put(out, value, sizeof(double));
        break;
    case IX_F_BOOL:
        ix_pack_u8(out, *(const bool *)value);
        break;
    case IX_F_HISTOGRAM:
        ix_histogram_pack((const struct ix_histogram *)value, (const struct ix_histogram *)before, out);
        break;
    }
}

void ix_fields_pack(const struct ix_field *fields, const void *object, const void *before, struct ix_buf *out)
{
    for (const struct ix_field *f = fields; f->name; f++) {
        const char *value = (const char *)object + f->offset;
        const char *old = before ? (const char *)before + f->offset : NULL;
        if (old && is_same(f, value, old))
            continue;
        size_t name = strlen(f->name);
        ix_pack_u8(out, (uint8_t)name);
        ix_buf_put(out, f->name, name);
        size_t at = out->len;
        ix_pack_u32(out, 0);
        put_value(out, f, value, old);
        uint32_t len = (uint32_t)(out->len - at - 4);
        for (size_t i = 0; i < 4 && !out->overflow; i++)
            out->data[at + i] = (char)(len >> 8 * i);
    }
}

static bool read_json(json_t **value, struct ix_reader *in)
{
    bool there = ix_read_u8(in);
    json_decref(*value);
    *value = NULL;
    if (!there || in->bad)
        return !in->bad;
    *value =
        json_loadb((const char *)in->at, (size_t)(in->end - in->at), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    return *value != NULL;
}

static bool read_value(const struct ix_field *f, char *value, struct ix_reader *in)
{
    size_t len;
    uint64_t number;
    switch (f->kind) {
    case IX_F_TEXT: {
        bool there = ix_read_u8(in);
        char **text = (char **)value;
        free(*text);
        *text = there && !in->bad ? ix_strndup((const char *)in->at, (size_t)(in->end - in->at)) : NULL;
        return !in->bad;
    }
    case IX_F_CHARS:
        ix_read_u8(in);
        len = (size_t)(in->end - in->at);
        if (in->bad || len >= f->size)
            return false;
        memset(value, 0, f->size);
        memcpy(value, in->at, len);
        return true;
    case IX_F_JSON:
        return read_json((json_t **)value, in);
    case IX_F_U64:
        number = ix_read_var(in);
        memcpy(value, &number, sizeof(number));
        return !in->bad;
    case IX_F_F64:
        if ((size_t)(in->end - in->at) != sizeof(double))
            return false;
        memcpy(value, in->at, sizeof(double));
        return true;
    case IX_F_BOOL:
        *(bool *)value = ix_read_u8(in) != 0;
        return !in->bad;
    case IX_F_HISTOGRAM:
        return ix_histogram_unpack((struct ix_histogram *)value, in);
    }
    return false;
}

bool ix_fields_unpack(const struct ix_field *fields, void *object, struct ix_reader *in)
{
    while (in->at < in->end && !in->bad) {
        size_t name_len = ix_read_u8(in), len;
        const char *name = (const char *)in->at;
        if ((size_t)(in->end - in->at) < name_len)
            return false;
        in->at += name_len;
        const void *data = ix_read_bytes(in, &len);
        if (in->bad)
            return false;
        const struct ix_field *f = fields;
        while (f->name && (strlen(f->name) != name_len || memcmp(f->name, name, name_len) != 0))
            f++;
        struct ix_reader value = ix_reader_of(data, len);
        if (f->name && !read_value(f, (char *)object + f->offset, &value))
            return false;
    }
    return !in->bad;
}
