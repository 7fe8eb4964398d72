/* What a run measures: totals of the workers and of the scenario itself, once an interval. */
#include "control/run_internal.h"

#include "base/suggest.h"

#include <math.h>
#include <stdio.h>

static int kind_of(const char *text, enum ix_custom_kind *kind, struct ix_error *err)
{
    static const char *const names[] = {"counter", "gauge", "rate", "trend"};
    for (size_t i = 0; i < IX_ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *kind = (enum ix_custom_kind)(IX_CUSTOM_COUNTER + i);
            return 0;
        }
    }
    char suggestion[128];
    ix_suggest_put(suggestion, sizeof suggestion, text, names, IX_ARRAY_LEN(names));
    return ix_fail(err, -EINVAL, "metric kind \"%s\" is unknown%s", text, suggestion);
}

static struct ix_custom_totals *own_metric(struct ix_run *run, enum ix_custom_kind kind, const char *name,
                                           const char *tags, struct ix_error *err)
{
    for (size_t i = 0; i < run->own_metric_count; i++) {
        struct ix_custom_totals *m = &run->own_metrics[i];
        if (strcmp(m->name, name) != 0)
            continue;
        if (m->kind != kind) {
            ix_fail(err, -EEXIST, "metric \"%s\" was declared as another kind before", name);
            return NULL;
        }
        if (strcmp(m->tags, tags) == 0)
            return m;
    }
    if (ix_metric_find(name)) {
        ix_fail(err, -EEXIST, "iotix itself measures \"%s\": choose another name", name);
        return NULL;
    }
    if (run->own_metric_count == IX_SEGMENT_CUSTOM) {
        ix_fail(err, -ENOSPC, "a run has at most %d custom metrics", IX_SEGMENT_CUSTOM);
        return NULL;
    }
    size_t size = (run->own_metric_count + 1) * sizeof *run->own_metrics;
    run->own_metrics = ix_realloc(run->own_metrics, size);
    struct ix_custom_totals *m = &run->own_metrics[run->own_metric_count];
    memset(m, 0, sizeof *m);
    ix_histogram_init(&m->trend);
    m->kind = kind;
    int n = snprintf(m->name, sizeof m->name, "%s", name);
    int t = snprintf(m->tags, sizeof m->tags, "%s", tags);
    if (n >= (int)sizeof m->name || t >= (int)sizeof m->tags) {
        ix_fail(err, -ENAMETOOLONG, "metric \"%s\": the name may have %zu characters, its tags %zu", name,
                sizeof m->name - 1, sizeof m->tags - 1);
        return NULL;
    }
    run->own_metric_count++;
    return m;
}

int ix_run_metric_add(struct ix_run *run, const char *kind_text, const char *name, const char *tags,
                      double value, struct ix_error *err)
{
    enum ix_custom_kind kind = IX_CUSTOM_COUNTER;
    int code = kind_of(kind_text, &kind, err);
    if (code < 0)
        return code;
    struct ix_custom_totals *m = own_metric(run, kind, name, tags, err);
    if (!m)
        return err->code;
    if (isnan(value))
        return 0;
    m->count++;
    if (kind == IX_CUSTOM_COUNTER)
        m->value += value;
    else if (kind == IX_CUSTOM_GAUGE)
        m->value = value;
    else if (kind == IX_CUSTOM_RATE)
        m->value += value != 0;
    else if (value >= 0)
        ix_histogram_add(&m->trend, (uint64_t)(value * 1e6));
    return 0;
}

void ix_run_measure(struct ix_run *run)
{
    ix_fleet_snapshot(run->fleet, &run->now);
    run->now.observed = run->now.observed || run->ledger;
    for (size_t i = 0; i < run->own_metric_count; i++)
        ix_snapshot_add_custom(&run->now, &run->own_metrics[i]);
    run->result.own_fault = run->now.all.counters[IX_C_NEVER_SENT_LATE];
}
