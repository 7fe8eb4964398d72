#include "control/journal_snapshot.h"

#include "control/journal_fields.h"

#include <stdlib.h>
#include <string.h>

#define GROUPS_MAX (8 * IX_SEGMENT_GROUPS) /* deleted ones stay in the sums */

/* Sections: u8 kind, u32 length, contents. Unknown ones are passed over. */
enum section { INSTANT = 1, ORDER, GROUP, STATES, WORKERS, CUSTOM, OBSERVED, BY_QOS };

static size_t begin(struct ix_buf *out, enum section kind)
{
    ix_pack_u8(out, (uint8_t)kind);
    ix_pack_u32(out, 0);
    return out->len;
}

static void end(struct ix_buf *out, size_t start)
{
    uint32_t len = (uint32_t)(out->len - start);
    for (size_t i = 0; i < 4 && !out->overflow; i++)
        out->data[start - 4 + i] = (char)(len >> 8 * i);
}

/* ---- names ---- */

static void pack_list(struct ix_buf *out, const char *const *names, size_t count)
{
    ix_pack_var(out, count);
    for (size_t i = 0; i < count; i++)
        ix_pack_str(out, names[i]);
}

void ix_journal_names_pack(struct ix_buf *out)
{
    pack_list(out, ix_counter_names, IX_C_COUNT);
    pack_list(out, ix_trend_names, IX_T_COUNT);
    pack_list(out, ix_status_names, IX_D_STATUS_COUNT);
}

static void unpack_list(uint16_t *map, const char *const *names, size_t count, struct ix_reader *in)
{
    for (size_t i = 0; i < IX_NAMES_MAX; i++)
        map[i] = IX_NAMES_UNKNOWN;
    uint64_t listed = ix_read_var(in);
    for (uint64_t i = 0; i < listed && !in->bad; i++) {
        char *name = ix_read_str(in);
        for (size_t k = 0; k < count && i < IX_NAMES_MAX; k++)
            if (strcmp(names[k], name) == 0)
                map[i] = (uint16_t)k;
        free(name);
    }
}

bool ix_journal_names_unpack(struct ix_journal_names *names, struct ix_reader *in)
{
    unpack_list(names->counters, ix_counter_names, IX_C_COUNT, in);
    unpack_list(names->trends, ix_trend_names, IX_T_COUNT, in);
    unpack_list(names->statuses, ix_status_names, IX_D_STATUS_COUNT, in);
    return !in->bad;
}

/* ---- packing ---- */

static void pack_numbers(struct ix_buf *out, const uint64_t *now, const uint64_t *before, size_t count)
{
    size_t changed = 0;
    for (size_t i = 0; i < count; i++)
        changed += now[i] != before[i];
    ix_pack_var(out, changed);
    for (size_t i = 0; i < count; i++)
        if (now[i] != before[i]) {
            ix_pack_var(out, i);
            ix_pack_zigzag(out, (int64_t)(now[i] - before[i]));
        }
}

static void pack_states(struct ix_buf *out, const struct ix_totals *now, const struct ix_totals *before)
{
    pack_numbers(out, (const uint64_t *)now->by_status, (const uint64_t *)before->by_status,
                 IX_D_STATUS_COUNT);
    ix_pack_zigzag(out, now->connected - before->connected);
}

/* Their order changes with their counts: all of them, or none. */
static void pack_reasons(struct ix_buf *out, const struct ix_reason *now, const struct ix_reason *before)
{
    bool same = true;
    size_t count = 0;
    for (; count < IX_SEGMENT_REASONS && now[count].text[0]; count++)
        same = same && now[count].count == before[count].count &&
               strcmp(now[count].text, before[count].text) == 0;
    ix_pack_u8(out, !same);
    if (same)
        return;
    ix_pack_var(out, count);
    for (size_t i = 0; i < count; i++) {
        ix_pack_str(out, now[i].text);
        ix_pack_var(out, now[i].count);
    }
}

static void pack_trends(struct ix_buf *out, const struct ix_totals *now, const struct ix_totals *before)
{
    bool changed[IX_T_COUNT];
    size_t count = 0;
    for (size_t t = 0; t < IX_T_COUNT; t++)
        count += changed[t] = !ix_histogram_is_same(&now->trends[t], &before->trends[t]);
    ix_pack_var(out, count);
    for (size_t t = 0; t < IX_T_COUNT; t++)
        if (changed[t]) {
            ix_pack_var(out, t);
            ix_histogram_pack(&now->trends[t], &before->trends[t], out);
        }
}

static void pack_group(struct ix_buf *out, size_t place, const struct ix_totals *now,
                       const struct ix_totals *before)
{
    size_t start = begin(out, GROUP), head;
    ix_pack_var(out, place);
    head = out->len;
    ix_pack_zigzag(out, (int64_t)(now->count - before->count));
    pack_numbers(out, now->counters, before->counters, IX_C_COUNT);
    pack_states(out, now, before);
    pack_reasons(out, now->reasons, before->reasons);
    pack_trends(out, now, before);
    ix_pack_zigzag(out, (int64_t)(now->waiting - before->waiting));
    ix_pack_u8(out, now->qos ^ before->qos);
    ix_pack_u8(out, now->other_qos ^ before->other_qos);
    bool changed = false;
    for (size_t i = head; i < out->len && !out->overflow; i++)
        changed = changed || out->data[i];
    if (changed)
        end(out, start);
    else
        out->len = start - 5; /* nothing happened: no section */
}

static bool is_same_order(const struct ix_snapshot *now, const struct ix_snapshot *before)
{
    bool same = now->group_count == before->group_count;
    for (size_t i = 0; same && i < now->group_count; i++)
        same = strcmp(now->groups[i].group, before->groups[i].group) == 0 &&
               strcmp(now->groups[i].tags, before->groups[i].tags) == 0 &&
               strcmp(now->groups[i].protocol, before->groups[i].protocol) == 0;
    return same;
}

static void pack_order(struct ix_buf *out, const struct ix_snapshot *now)
{
    size_t start = begin(out, ORDER);
    ix_pack_var(out, now->group_count);
    for (size_t i = 0; i < now->group_count; i++) {
        ix_pack_str(out, now->groups[i].group);
        ix_pack_str(out, now->groups[i].tags);
        ix_pack_str(out, now->groups[i].protocol);
    }
    end(out, start);
}

static const struct ix_totals *earlier_group(const struct ix_snapshot *before, const char *id, size_t hint)
{
    static struct ix_totals none;
    if (hint < before->group_count && strcmp(before->groups[hint].group, id) == 0)
        return &before->groups[hint];
    for (size_t i = 0; i < before->group_count; i++)
        if (strcmp(before->groups[i].group, id) == 0)
            return &before->groups[i];
    for (size_t t = 0; t < IX_T_COUNT; t++)
        none.trends[t].min = UINT64_MAX;
    return &none;
}

static void pack_workers(struct ix_buf *out, const struct ix_snapshot *now, const struct ix_snapshot *before)
{
    size_t start = begin(out, WORKERS);
    ix_pack_var(out, now->worker_count);
    for (size_t i = 0; i < now->worker_count; i++) {
        static const struct ix_worker_totals none;
        const struct ix_worker_totals *w = &now->workers[i],
                                      *b = i < before->worker_count ? &before->workers[i] : &none;
        ix_pack_zigzag(out, (int64_t)w->worker - (int64_t)b->worker);
        ix_pack_zigzag(out, (int64_t)w->epoch - (int64_t)b->epoch);
        ix_pack_zigzag(out, (int64_t)(w->busy_ns - b->busy_ns));
        ix_pack_zigzag(out, (int64_t)(w->cpu_ns - b->cpu_ns));
        ix_pack_zigzag(out, (int64_t)(w->lua_bytes - b->lua_bytes));
        ix_pack_zigzag(out, (int64_t)(w->devices - b->devices));
        ix_pack_zigzag(out, (int64_t)(w->wait_ns - b->wait_ns));
        ix_pack_zigzag(out, (int64_t)(w->alive_ns - b->alive_ns));
        ix_pack_zigzag(out, (int64_t)(w->frames_dropped - b->frames_dropped));
        ix_pack_zigzag(out, (int64_t)(w->log_dropped - b->log_dropped));
    }
    end(out, start);
}

/* There is one only if the run is observed. */
static void pack_observed(struct ix_buf *out, const struct ix_snapshot *now, const struct ix_snapshot *before)
{
    if (!now->observed)
        return;
    size_t start = begin(out, OBSERVED);
    pack_numbers(out, now->ungrouped, before->ungrouped, IX_C_COUNT);
    end(out, start);
}

/* Series keep their places; new ones come behind. */
static void pack_custom(struct ix_buf *out, const struct ix_snapshot *now, const struct ix_snapshot *before)
{
    for (size_t i = 0; i < now->custom_count; i++) {
        const struct ix_custom_totals *c = &now->custom[i],
                                      *b = i < before->custom_count ? &before->custom[i] : NULL;
        if (b && c->count == b->count && memcmp(&c->value, &b->value, sizeof(c->value)) == 0 &&
            ix_histogram_is_same(&c->trend, &b->trend))
            continue;
        size_t start = begin(out, CUSTOM);
        ix_pack_var(out, i);
        ix_pack_u8(out, (uint8_t)c->kind);
        ix_pack_str(out, b ? "" : c->name);
        ix_pack_str(out, b ? "" : c->tags);
        ix_pack_f64(out, c->value);
        ix_pack_var(out, c->count);
        ix_histogram_pack(&c->trend, b ? &b->trend : NULL, out);
        end(out, start);
    }
}

static void pack_by_qos(struct ix_buf *out, const struct ix_snapshot *now, const struct ix_snapshot *before)
{
    for (size_t i = 0; i < now->by_qos_count; i++) {
        const struct ix_qos_totals *t = &now->by_qos[i], *b = NULL;
        for (size_t k = 0; k < before->by_qos_count && !b; k++)
            if (before->by_qos[k].qos == t->qos && strcmp(before->by_qos[k].group, t->group) == 0)
                b = &before->by_qos[k];
        if (b && ix_histogram_is_same(&t->response, &b->response) &&
            ix_histogram_is_same(&t->service, &b->service))
            continue;
        size_t start = begin(out, BY_QOS);
        ix_pack_str(out, t->group);
        ix_pack_u8(out, t->qos);
        ix_histogram_pack(&t->response, b ? &b->response : NULL, out);
        ix_histogram_pack(&t->service, b ? &b->service : NULL, out);
        end(out, start);
    }
}

void ix_journal_snapshot_pack(const struct ix_snapshot *now, struct ix_snapshot *before, struct ix_buf *out)
{
    size_t start = begin(out, INSTANT);
    ix_pack_u64(out, now->at_ns);
    end(out, start);
    if (!is_same_order(now, before))
        pack_order(out, now);
    for (size_t i = 0; i < now->group_count; i++)
        pack_group(out, i, &now->groups[i], earlier_group(before, now->groups[i].group, i));
    start = begin(out, STATES);
    pack_states(out, &now->all, &before->all);
    end(out, start);
    pack_workers(out, now, before);
    pack_observed(out, now, before);
    pack_custom(out, now, before);
    pack_by_qos(out, now, before);
    ix_snapshot_copy(before, now);
}

/* ---- unpacking ---- */

static void unpack_numbers(uint64_t *numbers, const uint16_t *map, struct ix_reader *in)
{
    for (uint64_t changed = ix_read_var(in); changed && !in->bad; changed--) {
        uint64_t i = ix_read_var(in);
        int64_t by = ix_read_zigzag(in);
        if (i < IX_NAMES_MAX && map[i] != IX_NAMES_UNKNOWN)
            numbers[map[i]] += (uint64_t)by;
    }
}

static void unpack_states(struct ix_totals *totals, const struct ix_journal_names *names,
                          struct ix_reader *in)
{
    unpack_numbers((uint64_t *)totals->by_status, names->statuses, in);
    totals->connected += ix_read_zigzag(in);
}

static void read_chars(char *to, size_t size, struct ix_reader *in)
{
    size_t len;
    const void *text = ix_read_bytes(in, &len);
    if (len >= size) {
        in->bad = true;
        return;
    }
    memset(to, 0, size);
    memcpy(to, text, len);
}

static void unpack_reasons(struct ix_reason *reasons, struct ix_reader *in)
{
    if (!ix_read_u8(in))
        return;
    uint64_t count = ix_read_var(in);
    if (count > IX_SEGMENT_REASONS)
        in->bad = true;
    memset(reasons, 0, IX_SEGMENT_REASONS * sizeof(*reasons));
    for (uint64_t i = 0; i < count && !in->bad; i++) {
        read_chars(reasons[i].text, sizeof(reasons[i].text), in);
        reasons[i].count = ix_read_var(in);
    }
}

static void unpack_group(struct ix_snapshot *snapshot, const struct ix_journal_names *names,
                         struct ix_reader *in)
{
    static struct ix_histogram unknown;
    uint64_t place = ix_read_var(in);
    if (place >= snapshot->group_count) {
        in->bad = true;
        return;
    }
    struct ix_totals *group = &snapshot->groups[place];
    group->count += (uint64_t)ix_read_zigzag(in);
    unpack_numbers(group->counters, names->counters, in);
    unpack_states(group, names, in);
    unpack_reasons(group->reasons, in);
    for (uint64_t changed = ix_read_var(in); changed && !in->bad; changed--) {
        uint64_t t = ix_read_var(in);
        bool known = t < IX_NAMES_MAX && names->trends[t] != IX_NAMES_UNKNOWN;
        ix_histogram_unpack(known ? &group->trends[names->trends[t]] : &unknown, in);
    }
    group->waiting += (uint64_t)ix_read_zigzag(in);
    group->qos ^= ix_read_u8(in);
    group->other_qos ^= ix_read_u8(in);
}

/* The groups in their new order; new ones are empty, and missing ones forgotten. */
static void unpack_order(struct ix_snapshot *snapshot, struct ix_reader *in)
{
    uint64_t count = ix_read_var(in);
    if (count > GROUPS_MAX) {
        in->bad = true;
        return;
    }
    struct ix_totals *groups = ix_calloc(count + 1, sizeof(*groups));
    for (uint64_t i = 0; i < count && !in->bad; i++) {
        char id[sizeof(groups->group)];
        read_chars(id, sizeof(id), in);
        for (size_t t = 0; t < IX_T_COUNT; t++)
            ix_histogram_init(&groups[i].trends[t]);
        for (size_t k = 0; k < snapshot->group_count; k++)
            if (strcmp(snapshot->groups[k].group, id) == 0)
                groups[i] = snapshot->groups[k];
        memcpy(groups[i].group, id, sizeof(id));
        read_chars(groups[i].tags, sizeof(groups[i].tags), in);
        read_chars(groups[i].protocol, sizeof(groups[i].protocol), in);
    }
    free(snapshot->groups);
    snapshot->groups = groups;
    snapshot->group_count = count;
    snapshot->group_room = count + 1;
}

static void unpack_workers(struct ix_snapshot *snapshot, struct ix_reader *in)
{
    uint64_t count = ix_read_var(in);
    if (count > (uint64_t)(in->end - in->at)) {
        in->bad = true;
        return;
    }
    if (count > snapshot->worker_room) {
        snapshot->workers = ix_realloc(snapshot->workers, count * sizeof(*snapshot->workers));
        snapshot->worker_room = count;
    }
    for (size_t i = snapshot->worker_count; i < count; i++)
        snapshot->workers[i] = (struct ix_worker_totals){0};
    snapshot->worker_count = count;
    for (uint64_t i = 0; i < count; i++) {
        struct ix_worker_totals *w = &snapshot->workers[i];
        w->worker += (uint32_t)ix_read_zigzag(in);
        w->epoch += (uint32_t)ix_read_zigzag(in);
        w->busy_ns += (uint64_t)ix_read_zigzag(in);
        w->cpu_ns += (uint64_t)ix_read_zigzag(in);
        w->lua_bytes += (uint64_t)ix_read_zigzag(in);
        w->devices += (uint64_t)ix_read_zigzag(in);
        w->wait_ns += (uint64_t)ix_read_zigzag(in);
        w->alive_ns += (uint64_t)ix_read_zigzag(in);
        w->frames_dropped += (uint64_t)ix_read_zigzag(in);
        w->log_dropped += (uint64_t)ix_read_zigzag(in);
    }
}

static void unpack_observed(struct ix_snapshot *snapshot, const struct ix_journal_names *names,
                            struct ix_reader *in)
{
    snapshot->observed = true;
    unpack_numbers(snapshot->ungrouped, names->counters, in);
}

static void unpack_custom(struct ix_snapshot *snapshot, struct ix_reader *in)
{
    uint64_t place = ix_read_var(in);
    if (place > snapshot->custom_count) {
        in->bad = true;
        return;
    }
    bool is_new = place == snapshot->custom_count;
    if (is_new && place == snapshot->custom_room) {
        snapshot->custom_room = place ? 2 * place : 8;
        snapshot->custom = ix_realloc(snapshot->custom, snapshot->custom_room * sizeof(*snapshot->custom));
    }
    struct ix_custom_totals *custom = &snapshot->custom[place];
    if (is_new) {
        memset(custom, 0, sizeof(*custom));
        ix_histogram_init(&custom->trend);
        snapshot->custom_count++;
    }
    char name[sizeof(custom->name)], tags[sizeof(custom->tags)];
    uint8_t kind = ix_read_u8(in);
    read_chars(name, sizeof(name), in);
    read_chars(tags, sizeof(tags), in);
    if (in->bad || kind > IX_CUSTOM_TREND) {
        in->bad = true;
        return;
    }
    custom->kind = (enum ix_custom_kind)kind;
    if (is_new) {
        memcpy(custom->name, name, sizeof(name));
        memcpy(custom->tags, tags, sizeof(tags));
    }
    custom->value = ix_read_f64(in);
    custom->count = ix_read_var(in);
    ix_histogram_unpack(&custom->trend, in);
}

static void unpack_by_qos(struct ix_snapshot *snapshot, struct ix_reader *in)
{
    char group[sizeof(snapshot->by_qos->group)];
    read_chars(group, sizeof(group), in);
    uint8_t qos = ix_read_u8(in);
    size_t i = 0;
    while (i < snapshot->by_qos_count &&
           (snapshot->by_qos[i].qos != qos || strcmp(snapshot->by_qos[i].group, group) != 0))
        i++;
    if (in->bad || i >= 3 * GROUPS_MAX) {
        in->bad = true;
        return;
    }
    if (i == snapshot->by_qos_count) {
        if (i == snapshot->by_qos_room) {
            snapshot->by_qos_room = i ? 2 * i : 4;
            snapshot->by_qos =
                ix_realloc(snapshot->by_qos, snapshot->by_qos_room * sizeof(*snapshot->by_qos));
        }
        struct ix_qos_totals *added = &snapshot->by_qos[snapshot->by_qos_count++];
        *added = (struct ix_qos_totals){.qos = qos};
        memcpy(added->group, group, sizeof(group));
        ix_histogram_init(&added->response);
        ix_histogram_init(&added->service);
    }
    ix_histogram_unpack(&snapshot->by_qos[i].response, in);
    ix_histogram_unpack(&snapshot->by_qos[i].service, in);
}

bool ix_journal_snapshot_unpack(struct ix_snapshot *snapshot, const struct ix_journal_names *names,
                                struct ix_reader *in)
{
    struct ix_totals states = {0};
    memcpy(states.by_status, snapshot->all.by_status, sizeof(states.by_status));
    states.connected = snapshot->all.connected;
    while (in->at < in->end && !in->bad) {
        size_t len;
        uint8_t kind = ix_read_u8(in);
        const void *data = ix_read_bytes(in, &len);
        struct ix_reader section = ix_reader_of(data, len);
        if (kind == INSTANT)
            snapshot->at_ns = ix_read_u64(&section);
        else if (kind == ORDER)
            unpack_order(snapshot, &section);
        else if (kind == GROUP)
            unpack_group(snapshot, names, &section);
        else if (kind == STATES)
            unpack_states(&states, names, &section);
        else if (kind == WORKERS)
            unpack_workers(snapshot, &section);
        else if (kind == CUSTOM)
            unpack_custom(snapshot, &section);
        else if (kind == OBSERVED)
            unpack_observed(snapshot, names, &section);
        else if (kind == BY_QOS)
            unpack_by_qos(snapshot, &section);
        in->bad = in->bad || section.bad;
    }
    if (in->bad)
        return false;
    ix_snapshot_sum(snapshot);
    memcpy(snapshot->all.by_status, states.by_status, sizeof(states.by_status));
    snapshot->all.connected = states.connected;
    return true;
}
