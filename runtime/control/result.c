#include "control/result.h"

#include "base/units.h"

#include <stdlib.h>
#include <string.h>

const char *const ix_validity_names[] = {"valid", "degraded", "invalid"};

const struct ix_limits ix_default_limits = {
    .degraded_lateness_ns = 50 * IX_MS,
    .invalid_lateness_ns = IX_S,
    .degraded_busy = 0.9,
    .busy_for_s = 5,
    .invalid_own_fault = 0.001,
};

void ix_result_init(struct ix_result *result)
{
    memset(result, 0, sizeof(*result));
    result->limits = ix_default_limits;
    result->outcome = "passed";
    ix_snapshot_init(&result->final);
    ix_series_init(&result->series, 0);
    ix_checks_init(&result->checks);
}

void ix_result_deinit(struct ix_result *result)
{
    free(result->scenario);
    free(result->path);
    free(result->description);
    free(result->run_id);
    free(result->broker);
    json_decref(result->options);
    json_decref(result->tags);
    json_decref(result->settings);
    json_decref(result->threshold_table);
    json_decref(result->host);
    free(result->version);
    free(result->early);
    json_decref(result->delivery);
    for (size_t i = 0; i < result->model_count; i++)
        free(result->models[i].id);
    free(result->models);
    ix_snapshot_deinit(&result->final);
    ix_series_deinit(&result->series);
    ix_checks_deinit(&result->checks);
    ix_thresholds_free(result->thresholds);
    free(result->dropouts);
    free(result->advice);
    free(result->error);
    free(result->validity_reasons);
    ix_result_init(result);
}

const char *ix_result_version(const struct ix_result *result)
{
    return result->version ? result->version : IX_VERSION;
}

/* One reason a line; the worst of them is the validity. */
static void find(struct ix_result *result, struct ix_buf *reasons, enum ix_validity validity)
{
    if (validity > result->validity)
        result->validity = validity;
    if (reasons->len)
        ix_buf_char(reasons, '\n');
}

static void judge_lateness(struct ix_result *result, struct ix_buf *reasons)
{
    const struct ix_histogram *lateness = &result->final.all.trends[IX_T_LATENESS];
    uint64_t p99 = ix_histogram_quantile(lateness, 0.99);
    uint64_t limit = result->limits.degraded_lateness_ns;
    if (p99 <= limit)
        return;
    bool invalid = p99 > result->limits.invalid_lateness_ns;
    if (invalid)
        limit = result->limits.invalid_lateness_ns;
    find(result, reasons, invalid ? IX_INVALID : IX_DEGRADED);
    ix_buf_str(reasons, "p99 lateness ");
    ix_units_put_duration(reasons, p99);
    ix_buf_str(reasons, " > ");
    ix_units_put_duration(reasons, limit);
    if (lateness->count < 100) {
        ix_buf_str(reasons, " (of ");
        ix_units_put_count(reasons, lateness->count);
        ix_buf_str(reasons, lateness->count == 1 ? " sample)" : " samples)");
    }
    ix_buf_str(reasons,
               ": this host could not keep the schedule; use fewer devices or longer intervals, free "
               "the CPU, or spread the run over more cores");
}

/* Busy for that long without a break, and how busy the worst of it was. */
static void judge_busy(struct ix_result *result, struct ix_buf *reasons)
{
    double lasted = 0, longest = 0, at = 0;
    for (size_t i = 0; i < result->series.count; i++) {
        const struct ix_point *point = &result->series.points[i];
        lasted = point->busy > result->limits.degraded_busy ? lasted + point->seconds : 0;
        if (lasted > longest) {
            longest = lasted;
            at = point->t - lasted;
        }
    }
    if (longest < result->limits.busy_for_s || longest <= 0)
        return;
    find(result, reasons, IX_DEGRADED);
    ix_buf_printf(reasons,
                  "a worker's loop was more than %g %% busy for %.0f s (limit %g s), from %.0f s on: its "
                  "devices waited for each other; use more workers (--workers) or fewer devices",
                  result->limits.degraded_busy * 100, longest, result->limits.busy_for_s, at > 0 ? at : 0);
}

static void judge_workers(struct ix_result *result, struct ix_buf *reasons)
{
    if (result->worker_restarts) {
        find(result, reasons, IX_DEGRADED);
        ix_buf_printf(reasons,
                      "%llu worker restart%s: a part of the fleet was away for a moment; the log says why",
                      (unsigned long long)result->worker_restarts, result->worker_restarts == 1 ? "" : "s");
    }
    uint64_t scheduled = result->final.all.counters[IX_C_SCHEDULED];
    if (scheduled < result->own_fault)
        scheduled = result->own_fault;
    double share = scheduled ? (double)result->own_fault / (double)scheduled : 0;
    if (share <= result->limits.invalid_own_fault)
        return;
    find(result, reasons, IX_INVALID);
    ix_units_put_count(reasons, result->own_fault);
    ix_buf_printf(reasons, " of ");
    ix_units_put_count(reasons, scheduled);
    ix_buf_printf(
        reasons,
        " messages (%.3g %% > %g %%) were never sent through the generator's own fault: the load was "
        "not the one that the scenario asks for",
        share * 100, result->limits.invalid_own_fault * 100);
}

static bool has_failed(const struct ix_result *result)
{
    for (size_t i = 0; i < result->checks.count; i++)
        if (result->checks.items[i].fails)
            return true;
    size_t count;
    const struct ix_threshold *thresholds = ix_thresholds_list(result->thresholds, &count);
    for (size_t i = 0; i < count; i++)
        if (thresholds[i].evaluated && !thresholds[i].passed)
            return true;
    return false;
}

static const char *outcome_of(enum ix_exit code)
{
    switch (code) {
    case IX_EXIT_PASSED:
        return "passed";
    case IX_EXIT_FAILED:
        return "failed";
    case IX_EXIT_CONFIGURATION:
        return "bad configuration";
    case IX_EXIT_INTERRUPTED:
        return "interrupted";
    case IX_EXIT_SCRIPT:
        return "script error";
    case IX_EXIT_INVALID:
        return "invalid";
    }
    return "failed";
}

void ix_result_judge(struct ix_result *result, enum ix_exit preset)
{
    struct ix_buf reasons;
    ix_buf_init(&reasons, 1 << 14);
    result->validity = IX_VALID;
    judge_lateness(result, &reasons);
    judge_busy(result, &reasons);
    judge_workers(result, &reasons);
    if (preset == IX_EXIT_INVALID)
        result->validity = IX_INVALID; /* the error says why */
    free(result->validity_reasons);
    result->validity_reasons = ix_strdup(ix_buf_cstr(&reasons));
    ix_buf_deinit(&reasons);

    if (preset)
        result->exit_code = preset;
    else if (result->interrupted || result->early)
        result->exit_code = IX_EXIT_INTERRUPTED;
    else if (result->validity == IX_INVALID)
        result->exit_code = IX_EXIT_INVALID;
    else
        result->exit_code = has_failed(result) ? IX_EXIT_FAILED : IX_EXIT_PASSED;
    result->outcome = outcome_of(result->exit_code);
}
