/* Thresholds against what was measured: the whole run, or each window of it. */
#include "control/threshold_rule.h"

#include "base/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A window moves in steps of a second, or of a 60th of its length; jitter of the caller's timer makes steps
 * shorter by at most a tenth. */
#define WINDOW_STEPS  60
#define WINDOW_POINTS 72

/* What a threshold looks at: the run so far, or what a window added. */
struct span {
    enum ix_metric_kind kind;
    double value;
    double min, max; /* gauges */
    uint64_t count;
    const struct ix_histogram *trend;
    double seconds;
};

static bool compare(enum ix_comparison comparison, double measured, double limit)
{
    switch (comparison) {
    case IX_OP_LT:
        return measured < limit;
    case IX_OP_LE:
        return measured <= limit;
    case IX_OP_GT:
        return measured > limit;
    case IX_OP_GE:
        return measured >= limit;
    case IX_OP_EQ:
        return measured == limit;
    case IX_OP_NE:
        return measured != limit;
    }
    return false;
}

static double of_trend(const struct ix_rule *rule, const struct span *span)
{
    if (rule->aggregate == IX_AGG_COUNT)
        return (double)span->count;
    if (span->count == 0)
        return NAN;
    switch (rule->aggregate) {
    case IX_AGG_AVG:
        return ix_histogram_mean(span->trend) / 1e6;
    case IX_AGG_MIN:
        return (double)span->trend->min / 1e6;
    case IX_AGG_MAX:
        return (double)span->trend->max / 1e6;
    case IX_AGG_SUM:
        return (double)span->trend->sum / 1e6;
    case IX_AGG_MED:
        return (double)ix_histogram_quantile(span->trend, 0.5) / 1e6;
    default:
        return (double)ix_histogram_quantile(span->trend, rule->percent / 100) / 1e6;
    }
}

/* NaN without samples. */
static double measure(const struct ix_rule *rule, const struct span *span)
{
    switch (span->kind) {
    case IX_METRIC_COUNTER:
        if (rule->aggregate == IX_AGG_COUNT)
            return span->value;
        return span->seconds > 0 ? span->value / span->seconds : NAN;
    case IX_METRIC_GAUGE:
        if (rule->aggregate == IX_AGG_VALUE)
            return span->value;
        return rule->aggregate == IX_AGG_MIN ? span->min : span->max;
    case IX_METRIC_RATE:
        return span->count ? span->value / (double)span->count : NAN;
    case IX_METRIC_TREND:
        return of_trend(rule, span);
    default:
        /* Declared by a script, and never touched. */
        return rule->aggregate == IX_AGG_COUNT ? 0 : NAN;
    }
}

static void put_measured(struct ix_buf *out, const struct ix_rule *rule, enum ix_metric_kind kind,
                         double measured)
{
    if (kind == IX_METRIC_RATE)
        ix_buf_printf(out, "%.6g%%", measured * 100);
    else if (kind == IX_METRIC_TREND && rule->aggregate != IX_AGG_COUNT)
        ix_units_put_duration(out, measured < 1e13 ? (uint64_t)llround(measured * 1e6) : UINT64_MAX);
    else if (kind == IX_METRIC_COUNTER && rule->aggregate == IX_AGG_RATE)
        ix_buf_printf(out, "%.4g/s", measured);
    else if (measured >= 0 && measured < 1e18 && measured == floor(measured))
        ix_units_put_count(out, (uint64_t)measured);
    else
        ix_buf_printf(out, "%.6g", measured);
}

static void give_reason(struct ix_threshold *t, const struct ix_rule *rule, const struct span *span,
                        double at_seconds)
{
    struct ix_buf out;
    ix_buf_init(&out, 2 * sizeof(t->reason));
    ix_buf_str(&out, rule->label);
    if (t->over_ns) {
        ix_buf_str(&out, " over ");
        ix_units_put_duration(&out, t->over_ns);
    }
    ix_buf_str(&out, " was ");
    put_measured(&out, rule, span->kind, t->measured);
    if (span->kind == IX_METRIC_TREND && rule->aggregate == IX_AGG_PERCENTILE &&
        !ix_histogram_supports(span->trend, rule->percent / 100)) {
        ix_buf_str(&out, " (of only ");
        ix_units_put_count(&out, span->count);
        ix_buf_str(&out, span->count == 1 ? " sample)" : " samples)");
    }
    if (t->over_ns && !t->passed)
        ix_buf_printf(&out, " at %.0f s", at_seconds);
    if (!t->passed)
        ix_buf_printf(&out, ", must be %s", rule->bound);
    snprintf(t->reason, sizeof(t->reason), "%s", ix_buf_cstr(&out));
    ix_buf_deinit(&out);
}

static void judge(struct ix_threshold *t, const struct ix_rule *rule, const struct span *span,
                  double measured, double at_seconds)
{
    t->evaluated = true;
    t->measured = measured;
    t->passed = compare(rule->comparison, measured, rule->limit);
    give_reason(t, rule, span, at_seconds);
}

/* Nothing to judge: no fault while the run lasts, one at its end. */
static void no_value(struct ix_threshold *t, bool final, const char *format, const char *what)
{
    t->evaluated = final;
    t->passed = !final;
    t->measured = NAN;
    snprintf(t->reason, sizeof(t->reason), format, what);
}

/* Where nothing was watched, nothing is known of losses. What was in flight when the account was closed may be lost as
 * well: a bound on losses that holds without it only is not known to hold. */
static void doubt(struct ix_threshold *t, const struct ix_rule *rule, const struct ix_snapshot *snapshot,
                  struct span span)
{
    static struct ix_metric_view view;
    if (strcmp(t->metric, "delivery.lost") != 0)
        return;
    if (ix_snapshot_metric(snapshot, "delivery.sent", t->tags, &view) && view.value <= 0) {
        no_value(t, true, "%s", "nothing that was sent went to the observed topics");
        return;
    }
    if (!t->passed || !ix_snapshot_metric(snapshot, "delivery.inFlight", t->tags, &view) || view.value <= 0)
        return;
    span.value += view.value;
    if (compare(rule->comparison, measure(rule, &span), rule->limit))
        return;
    struct ix_buf out;
    ix_buf_init(&out, 2 * sizeof(t->reason));
    ix_buf_printf(&out, "%s, but ", t->reason);
    ix_units_put_count(&out, (uint64_t)view.value);
    ix_buf_printf(&out,
                  " more may be lost: they were in flight at the end; must be %s, and that "
                  "is not known",
                  rule->bound);
    t->passed = false;
    snprintf(t->reason, sizeof(t->reason), "%s", ix_buf_cstr(&out));
    ix_buf_deinit(&out);
}

/* ---- windows ---- */

static void widen(double *min, double *max, double low, double high)
{
    *min = fmin(*min, low);
    *max = fmax(*max, high);
}

static void watch_gauge(struct ix_rule *rule, double value)
{
    if (!rule->gauge_seen)
        rule->gauge_min = rule->gauge_max = rule->gauge_recent_min = rule->gauge_recent_max = value;
    rule->gauge_seen = true;
    widen(&rule->gauge_min, &rule->gauge_max, value, value);
    widen(&rule->gauge_recent_min, &rule->gauge_recent_max, value, value);
}

static void keep_point(struct ix_rule *rule, const struct ix_threshold *t, uint64_t at_ns,
                       const struct ix_metric_view *view)
{
    struct ix_window *window = &rule->window;
    uint64_t step = t->over_ns / WINDOW_STEPS > IX_S ? t->over_ns / WINDOW_STEPS : IX_S;
    if (window->count && at_ns - window->points[window->count - 1].at_ns < step - step / 10)
        return;
    if (window->count == WINDOW_POINTS)
        memmove(window->points, window->points + 1, --window->count * sizeof(*window->points));
    struct ix_window_point *point = &window->points[window->count++];
    point->at_ns = at_ns;
    point->value = view->value;
    point->count = view->count;
    point->min = rule->gauge_recent_min;
    point->max = rule->gauge_recent_max;
    if (view->kind == IX_METRIC_TREND)
        point->trend = view->trend;
    rule->gauge_recent_min = rule->gauge_recent_max = view->value;
}

static void begin_window(struct ix_rule *rule, uint64_t start_ns)
{
    if (rule->window.points)
        return;
    rule->window.points = ix_calloc(WINDOW_POINTS, sizeof(*rule->window.points));
    rule->window.count = 1;
    rule->window.points[0].at_ns = start_ns;
    rule->window.points[0].min = INFINITY;
    rule->window.points[0].max = -INFINITY;
    ix_histogram_init(&rule->window.points[0].trend);
}

/* Forgets points before the newest one that is at least a window old; true if there is one. */
static bool find_base(struct ix_window *window, uint64_t at_ns, uint64_t over_ns)
{
    size_t base = window->count;
    while (base > 0 && window->points[base - 1].at_ns + over_ns > at_ns)
        base--;
    if (base == 0)
        return false;
    window->count -= base - 1;
    memmove(window->points, window->points + base - 1, window->count * sizeof(*window->points));
    return true;
}

static void evaluate_window(struct ix_threshold *t, struct ix_rule *rule, const struct ix_metric_view *view,
                            uint64_t at_ns, uint64_t start_ns, bool final)
{
    begin_window(rule, start_ns);
    struct ix_window *window = &rule->window;
    bool whole = find_base(window, at_ns, t->over_ns);
    const struct ix_window_point *base = &window->points[0];
    /* The first point is the run's start as long as no window was complete. */
    bool only = final && !whole && base->at_ns == start_ns;
    if (!rule->window_failed && (whole || only)) {
        struct ix_histogram trend;
        struct span span = {view->kind,
                            view->value,
                            rule->gauge_recent_min,
                            rule->gauge_recent_max,
                            view->count - base->count,
                            &trend,
                            (double)(at_ns - base->at_ns) / 1e9};
        if (view->kind == IX_METRIC_TREND)
            ix_histogram_diff(&trend, &view->trend, &base->trend);
        if (view->kind != IX_METRIC_GAUGE)
            span.value -= base->value;
        for (size_t i = 1; i < window->count; i++)
            widen(&span.min, &span.max, window->points[i].min, window->points[i].max);
        double measured = measure(rule, &span);
        if (!isnan(measured)) {
            judge(t, rule, &span, measured, (double)(at_ns - start_ns) / 1e9);
            rule->window_failed = !t->passed;
        }
    }
    if (!t->evaluated)
        no_value(t, final, "%s", "no samples");
    keep_point(rule, t, at_ns, view);
}

/* ---- all ---- */

static void check_rate(const struct ix_checks *checks, const char *filter, struct ix_metric_view *view)
{
    view->kind = IX_METRIC_RATE;
    view->value = 0;
    view->count = 0;
    view->series = 0;
    const char *name = strncmp(filter, "name:", 5) == 0 ? filter : strstr(filter, ",name:");
    size_t tags_len = name ? (size_t)(name - filter) : strlen(filter);
    char *tags = ix_strndup(filter, tags_len);
    if (name)
        name = strstr(name, "name:") + 5;
    for (size_t i = 0; checks && i < checks->count; i++) {
        const struct ix_check *check = &checks->items[i];
        if ((name && strcmp(name, check->name) != 0) || !ix_tags_match(tags, "", check->tags))
            continue;
        view->series++;
        view->value += (double)check->passes;
        view->count += check->passes + check->fails;
    }
    free(tags);
}

static void evaluate(struct ix_threshold *t, struct ix_rule *rule, const struct ix_snapshot *snapshot,
                     const struct ix_checks *checks, uint64_t start_ns, bool final)
{
    static struct ix_metric_view view; /* 20 KiB that need not be cleared each time */
    bool exists = true;
    if (strcmp(t->metric, "checks") == 0)
        check_rate(checks, t->tags, &view);
    else
        exists = ix_snapshot_metric(snapshot, t->metric, t->tags, &view);
    char text[sizeof(t->reason)];
    if (rule->delivery && !exists) {
        no_value(t, final, "%s has no value: nothing in this run observed what the broker delivered",
                 t->metric);
        return;
    }
    if (ix_rule_mismatch(rule, t->metric, view.kind, text, sizeof(text))) {
        no_value(t, final, "%s", text);
        return;
    }
    if (exists && view.series == 0 && *t->tags) {
        no_value(t, final, "nothing that was measured carries {%.100s}", t->tags);
        return;
    }
    if (view.kind == IX_METRIC_GAUGE)
        watch_gauge(rule, view.value);
    uint64_t at_ns = snapshot->at_ns > start_ns ? snapshot->at_ns : start_ns;
    if (t->over_ns) {
        evaluate_window(t, rule, &view, at_ns, start_ns, final);
        return;
    }
    double seconds = (double)(at_ns - start_ns) / 1e9;
    struct span span = {view.kind,  view.value,  rule->gauge_min, rule->gauge_max,
                        view.count, &view.trend, seconds};
    double measured = measure(rule, &span);
    if (isnan(measured))
        no_value(t, final, "%s", "no samples");
    else
        judge(t, rule, &span, measured, seconds);
    if (final)
        doubt(t, rule, snapshot, span);
}

int ix_thresholds_evaluate(struct ix_thresholds *thresholds, const struct ix_snapshot *snapshot,
                           const struct ix_checks *checks, uint64_t run_start_ns, bool final)
{
    int abort_at = -1;
    for (size_t i = 0; thresholds && i < thresholds->count; i++) {
        struct ix_threshold *t = &thresholds->items[i];
        struct ix_rule *rule = &thresholds->rules[i];
        if (rule->aborted)
            continue;
        evaluate(t, rule, snapshot, checks, run_start_ns, final);
        bool late_enough = snapshot->at_ns >= run_start_ns + t->delay_abort_ns;
        if (!final && t->evaluated && !t->passed && t->abort_on_fail && late_enough) {
            rule->aborted = true;
            if (abort_at < 0)
                abort_at = (int)i;
        }
    }
    return abort_at;
}

void ix_thresholds_hold_aborts(struct ix_thresholds *thresholds)
{
    for (size_t i = 0; thresholds && i < thresholds->count; i++) {
        struct ix_threshold *t = &thresholds->items[i];
        const struct ix_metric_doc *built_in = ix_metric_find(t->metric);
        if (thresholds->rules[i].delivery || (built_in && built_in->kind == IX_METRIC_TREND))
            t->abort_on_fail = false;
    }
}

void ix_thresholds_set_result(struct ix_thresholds *thresholds, size_t place, bool evaluated, bool passed,
                              const char *reason)
{
    if (!thresholds || place >= thresholds->count)
        return;
    struct ix_threshold *item = &thresholds->items[place];
    item->evaluated = evaluated;
    item->passed = passed;
    snprintf(item->reason, sizeof(item->reason), "%s", reason ? reason : "");
}
