/* From a journal back to the result: what the run did with each snapshot is done again. */
#include "control/journal.h"

#include "base/units.h"
#include "control/delivery.h"
#include "control/journal_frames.h"
#include "control/journal_snapshot.h"

#include <stdlib.h>
#include <string.h>

struct loader {
    struct ix_result *result;
    struct ix_journal_names names;
    struct ix_snapshot now;
    bool has_names, has_facts, has_snapshot, is_point, has_final, has_end;
    struct ix_journal_verdict verdict;
    char *stopped; /* why the journal ends early, said by its writer */
};

static bool load_facts(struct loader *l, struct ix_reader *in)
{
    struct ix_result *result = l->result;
    struct ix_reader again = *in;
    bool first = !l->has_facts;
    bool good = ix_fields_unpack(ix_result_facts, result, in);
    /* The limits are fields inside a field. */
    while (good && again.at < again.end && !again.bad) {
        size_t name_len = ix_read_u8(&again), len;
        const char *name = (const char *)again.at;
        again.at += name_len;
        struct ix_reader limits;
        const void *data = ix_read_bytes(&again, &len);
        limits = ix_reader_of(data, len);
        if (!again.bad && name_len == 6 && memcmp(name, "limits", 6) == 0)
            good = ix_fields_unpack(ix_limits_fields, &result->limits, &limits);
    }
    if (good && first) {
        result->series.before.at_ns = result->series.start_ns;
        if (result->threshold_table)
            good = ix_thresholds_parse(result->threshold_table, &result->thresholds, NULL) == 0;
    }
    l->has_facts = good;
    return good;
}

static bool load_model(struct ix_result *result, struct ix_reader *in)
{
    result->models = ix_realloc(result->models, (result->model_count + 1) * sizeof(*result->models));
    struct ix_model_fact *model = &result->models[result->model_count++];
    *model = (struct ix_model_fact){0};
    return ix_fields_unpack(ix_model_fields, model, in) && model->id;
}

static bool load_event(struct ix_result *result, struct ix_reader *in)
{
    struct ix_event event = {0};
    bool good = ix_fields_unpack(ix_event_fields, &event, in) && event.name;
    if (good) {
        ix_series_event(&result->series, 0, event.name, event.data);
        result->series.events[result->series.event_count - 1].t = event.t;
    }
    free(event.name);
    free(event.data);
    return good;
}

static bool load_check(struct ix_checks *checks, struct ix_reader *in)
{
    uint64_t place = ix_read_var(in);
    if (place > checks->count || in->bad)
        return false;
    if (place == checks->count) {
        if ((checks->count & (checks->count - 1)) == 0)
            checks->items =
                ix_realloc(checks->items, (checks->count ? checks->count * 2 : 1) * sizeof(*checks->items));
        checks->items[checks->count++] = (struct ix_check){.name = ix_strdup(""), .tags = ix_strdup("")};
    }
    struct ix_check *check = &checks->items[place];
    return ix_fields_unpack(ix_check_fields, check, in) && check->name && check->tags;
}

static bool load_dropout(struct ix_result *result, struct ix_reader *in)
{
    uint64_t place = ix_read_var(in);
    if (place > result->dropout_count || in->bad)
        return false;
    if (place == result->dropout_count) {
        result->dropouts = ix_realloc(result->dropouts, (place + 1) * sizeof(*result->dropouts));
        struct ix_dropout_result *d = &result->dropouts[result->dropout_count++];
        memset(d, 0, sizeof(*d));
        ix_histogram_init(&d->back_time);
    }
    return ix_fields_unpack(ix_dropout_fields, &result->dropouts[place], in);
}

static bool load_snapshot(struct loader *l, struct ix_reader *in)
{
    struct ix_result *result = l->result;
    size_t len;
    uint8_t tick = ix_read_u8(in);
    const void *data = ix_read_bytes(in, &len);
    struct ix_reader figures = ix_reader_of(data, len);
    if (in->bad || !l->has_names || !l->has_facts || !ix_fields_unpack(ix_result_figures, result, &figures) ||
        !ix_journal_snapshot_unpack(&l->now, &l->names, in))
        return false;
    l->has_snapshot = true;
    l->is_point = tick != IX_TICK_BETWEEN;
    if (l->is_point)
        ix_series_add(&result->series, &l->now);
    if (tick == IX_TICK_POINT)
        ix_thresholds_evaluate(result->thresholds, &l->now, &result->checks, result->series.start_ns, false);
    l->has_final = tick == IX_TICK_FINAL;
    return true;
}

static bool load_end(struct loader *l, struct ix_reader *in)
{
    struct ix_reader again = *in;
    l->has_end = ix_fields_unpack(ix_result_end, l->result, in) &&
                 ix_fields_unpack(ix_journal_verdict_fields, &l->verdict, &again);
    return l->has_end;
}

static bool load_look(struct ix_result *result, struct ix_reader *in)
{
    json_decref(result->delivery_look);
    result->delivery_look = json_loadb((const char *)in->at, (size_t)(in->end - in->at), 0, NULL);
    return json_is_object(result->delivery_look);
}

static bool load_frame(struct loader *l, uint8_t type, struct ix_reader *in)
{
    switch (type) {
    case IX_J_NAMES:
        l->has_names = ix_journal_names_unpack(&l->names, in);
        return l->has_names;
    case IX_J_FACTS:
        return load_facts(l, in);
    case IX_J_MODEL:
        return load_model(l->result, in);
    case IX_J_EVENT:
        return load_event(l->result, in);
    case IX_J_CHECK:
        return load_check(&l->result->checks, in);
    case IX_J_DROPOUT:
        return load_dropout(l->result, in);
    case IX_J_SNAPSHOT:
        return load_snapshot(l, in);
    case IX_J_LOOK:
        return load_look(l->result, in);
    case IX_J_END:
        return load_end(l, in);
    case IX_JOURNAL_STOPPED:
        free(l->stopped);
        l->stopped = ix_strndup((const char *)in->at, (size_t)(in->end - in->at));
        return true;
    default:
        return true; /* of a later version */
    }
}

/* Why there is no end. */
static char *why_early(const struct loader *l, const char *path, bool damaged, uint64_t offset)
{
    struct ix_buf out;
    ix_buf_init(&out, 4096);
    if (l->stopped)
        ix_buf_printf(&out, "the journal could not be written any more: %s", l->stopped);
    else if (damaged)
        ix_buf_printf(&out, "the journal is damaged at byte %llu", (unsigned long long)offset);
    else if (ix_journal_is_live(path))
        ix_buf_str(&out, "the run is still going on");
    else
        ix_buf_str(&out, "its controller died (it was killed, it crashed, or the machine went down)");
    ix_buf_str(&out, ": what follows was measured in the first ");
    ix_units_put_duration(&out, l->result->seconds > 0 ? (uint64_t)(l->result->seconds * 1e9) : 0);
    char *text = ix_strdup(ix_buf_cstr(&out));
    ix_buf_deinit(&out);
    return text;
}

/* What the run found out with all its points. */
static void keep_verdict(struct ix_result *result, const struct ix_journal_verdict *verdict)
{
    size_t i;
    json_t *entry;
    json_array_foreach(verdict->thresholds, i, entry) ix_thresholds_set_result(
        result->thresholds, i, json_is_true(json_object_get(entry, "evaluated")),
        json_is_true(json_object_get(entry, "passed")), json_string_value(json_object_get(entry, "reason")));
    ix_result_keep_verdict(result, (enum ix_validity)(verdict->validity % 3), verdict->reasons,
                           verdict->was_slow, (enum ix_exit)verdict->exit_code);
}

static void finish(struct loader *l, const char *path, bool damaged, uint64_t offset)
{
    struct ix_result *result = l->result;
    if (l->has_snapshot && !l->is_point)
        ix_series_add(&result->series, &l->now);
    ix_snapshot_copy(&result->final, &l->now);
    if (!result->delivery)
        result->delivery = ix_delivery_open(result->delivery_look, &l->now);
    if (!l->has_end || !l->has_final)
        result->early = why_early(l, path, damaged, offset);
    if (result->thresholds)
        ix_thresholds_evaluate(result->thresholds, &result->final, &result->checks, result->series.start_ns,
                               true);
    ix_result_judge(result, (enum ix_exit)l->verdict.preset);
    result->journal_level = l->verdict.level;
    if (l->has_end && l->has_final && l->verdict.level)
        keep_verdict(result, &l->verdict);
}

int ix_journal_load(const char *path, struct ix_result *result, struct ix_error *err)
{
    struct ix_journal_reader reader;
    int code = ix_journal_reader_open(&reader, path, err);
    if (code < 0)
        return code;
    struct loader *l = ix_calloc(1, sizeof(*l));
    l->result = result;
    ix_snapshot_init(&l->now);
    ix_series_init(&result->series, 0);
    bool damaged = false;
    uint64_t offset = reader.offset;
    while (!damaged && ix_journal_reader_next(&reader)) {
        struct ix_reader in = ix_reader_of(reader.payload.data + 1, reader.payload.len - 1);
        damaged = !load_frame(l, reader.type, &in);
        if (!damaged)
            offset = reader.offset;
    }
    if (!l->has_facts)
        code = ix_fail(err, -ENODATA, "\"%s\" ends before anything was measured", path);
    else
        finish(l, path, damaged, offset);
    ix_journal_reader_close(&reader);
    ix_snapshot_deinit(&l->now);
    ix_journal_verdict_deinit(&l->verdict);
    free(l->stopped);
    free(l);
    return code;
}
