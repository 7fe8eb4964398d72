#include "control/judge.h"

#include "base/units.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- reasons: one a line; the worst of them is the validity ---- */

static void find(struct ix_result *result, struct ix_buf *reasons, enum ix_validity validity)
{
    if (validity > result->validity)
        result->validity = validity;
    if (reasons->len)
        ix_buf_char(reasons, '\n');
}

/* The worst of a share that lasted above its limit for that long; how long it lasted, or 0. */
static double lasted_above(const struct ix_result *result, double limit, bool wait, double *from,
                           double *worst)
{
    double lasted = 0, longest = 0, high = 0;
    for (size_t i = 0; i < result->series.count; i++) {
        const struct ix_point *point = &result->series.points[i];
        double share = wait ? point->wait : point->busy;
        high = share > limit ? fmax(share, lasted > 0 ? high : 0) : 0;
        lasted = share > limit ? lasted + point->seconds : 0;
        if (lasted > longest) {
            longest = lasted;
            *worst = high;
            *from = point->t > lasted ? point->t - lasted : 0;
        }
    }
    return longest >= result->limits.busy_for_s && longest > 0 ? longest : 0;
}

/* The share of all workers' time in which the one that waited most had no CPU though it wanted one. */
static double most_waited(const struct ix_result *result)
{
    double waited = 0, seconds = 0;
    for (size_t i = 0; i < result->series.count; i++) {
        waited += result->series.points[i].wait * result->series.points[i].seconds;
        seconds += result->series.points[i].seconds;
    }
    return seconds > 0 ? waited / seconds : 0;
}

static void judge_lateness(struct ix_result *result, struct ix_buf *reasons)
{
    const struct ix_histogram *lateness = &result->final.all.trends[IX_T_LATENESS];
    uint64_t p99 = ix_histogram_quantile(lateness, 0.99);
    uint64_t limit = result->limits.degraded_lateness_ns;
    bool invalid = p99 > result->limits.invalid_lateness_ns;
    if (p99 <= limit && !invalid)
        return;
    if (invalid)
        limit = result->limits.invalid_lateness_ns;
    find(result, reasons, invalid ? IX_INVALID : IX_DEGRADED);
    ix_buf_str(reasons, "p99 lateness ");
    ix_units_put_duration(reasons, p99);
    ix_buf_str(reasons, " > ");
    ix_units_put_duration(reasons, limit);
    if (!ix_histogram_supports(lateness, 0.99)) {
        ix_buf_str(reasons, " (of ");
        ix_units_put_count(reasons, lateness->count);
        ix_buf_str(reasons, lateness->count == 1 ? " sample)" : " samples)");
    }
    ix_buf_str(reasons, ": this host could not keep the schedule; ");
    double waited = most_waited(result);
    if (waited > 0.1)
        ix_buf_printf(
            reasons,
            "its busiest worker waited %.0f %% of the time for a CPU that other programs had: free the "
            "CPU, or use fewer devices or longer intervals",
            waited * 100);
    else
        ix_buf_str(reasons,
                   "use fewer devices or longer intervals, free the CPU, or spread the run over more cores");
}

/* An observer that did not get to its messages makes them late: like publishers, in more than one of a hundred. */
static void judge_observers(struct ix_result *result, struct ix_buf *reasons)
{
    uint64_t most = result->observer_held_most_ns;
    if ((double)result->observer_held_ns < result->seconds * 1e7 ||
        most <= result->limits.degraded_lateness_ns)
        return;
    bool invalid = most > result->limits.invalid_lateness_ns;
    find(result, reasons, invalid ? IX_INVALID : IX_DEGRADED);
    ix_buf_str(reasons, "an observer was held up by this host for ");
    ix_units_put_duration(reasons, result->observer_held_ns);
    ix_buf_str(reasons, ", at most ");
    ix_units_put_duration(reasons, most);
    ix_buf_str(reasons, " > ");
    ix_units_put_duration(reasons,
                          invalid ? result->limits.invalid_lateness_ns : result->limits.degraded_lateness_ns);
    ix_buf_str(reasons, ": times of delivery, and what was late, are its own delays as well; free the CPU");
}

static void judge_load(struct ix_result *result, struct ix_buf *reasons)
{
    const struct ix_limits *limits = &result->limits;
    double from = 0, worst = 0;
    double lasted = lasted_above(result, limits->degraded_busy, false, &from, &worst);
    if (lasted > 0) {
        find(result, reasons, IX_DEGRADED);
        ix_buf_printf(
            reasons,
            "a worker's loop was more than %g %% busy for %.0f s (limit %g s), from %.0f s on, at most "
            "%.0f %%: its devices waited for each other; use more workers (--workers) or fewer devices",
            limits->degraded_busy * 100, lasted, limits->busy_for_s, from, worst * 100);
    }
    lasted = lasted_above(result, limits->degraded_wait, true, &from, &worst);
    if (lasted > 0) {
        find(result, reasons, IX_DEGRADED);
        ix_buf_printf(
            reasons,
            "a worker waited for a CPU for more than %g %% of %.0f s (limit %g s), from %.0f s on, at most "
            "%.0f %%: other programs, or more workers than cores, had it",
            limits->degraded_wait * 100, lasted, limits->busy_for_s, from, worst * 100);
    }
    if (result->steal > limits->degraded_steal) {
        find(result, reasons, IX_DEGRADED);
        ix_buf_printf(
            reasons,
            "%.1f %% of this machine's CPU time went to other guests of its host (limit %g %%): the "
            "schedule was kept by luck; use a machine of its own",
            result->steal * 100, limits->degraded_steal * 100);
    }
}

/* Those of the ledger; the others are of the fleet. */
static uint64_t observer_restarts(const struct ix_result *result)
{
    json_t *observers = json_object_get(result->delivery, "observers");
    json_int_t restarts = json_integer_value(json_object_get(observers, "restarts"));
    return restarts > 0 && (uint64_t)restarts <= result->worker_restarts ? (uint64_t)restarts : 0;
}

/* Whether a threshold on lost messages failed by what our own dead workers had on its way alone. */
static bool only_workers_lost(const struct ix_result *result)
{
    const uint64_t *counters = result->final.all.counters;
    size_t count;
    const struct ix_threshold *thresholds = ix_thresholds_list(result->thresholds, &count);
    if (!counters[IX_C_LOST_WORKER] || counters[IX_C_LOST_WORKER] < counters[IX_C_LOST])
        return false;
    for (size_t i = 0; i < count; i++)
        if (thresholds[i].evaluated && !thresholds[i].passed &&
            strcmp(thresholds[i].metric, ix_counter_names[IX_C_LOST]) == 0)
            return true;
    return false;
}

static void judge_workers(struct ix_result *result, struct ix_buf *reasons)
{
    const struct ix_limits *limits = &result->limits;
    if (result->worker_restarts > limits->degraded_restarts) {
        find(result, reasons, IX_DEGRADED);
        uint64_t observers = observer_restarts(result), fleet = result->worker_restarts - observers;
        if (fleet)
            ix_buf_printf(
                reasons, "%llu worker restart%s: a part of the fleet was away for a moment; the log says why",
                (unsigned long long)fleet, fleet == 1 ? "" : "s");
        if (observers)
            ix_buf_printf(reasons, "%s%llu observer restart%s: nobody watched for a moment; the log says why",
                          fleet ? "; " : "", (unsigned long long)observers, observers == 1 ? "" : "s");
    }
    if (only_workers_lost(result)) {
        find(result, reasons, IX_INVALID);
        ix_units_put_count(reasons, result->final.all.counters[IX_C_LOST_WORKER]);
        ix_buf_str(reasons,
                   " messages were lost with workers of iotix that died, and no others: that messages.lost "
                   "failed says nothing about the broker");
    }
    if (result->frames_dropped > limits->degraded_dropped) {
        find(result, reasons, IX_DEGRADED);
        ix_units_put_count(reasons, result->frames_dropped);
        ix_buf_str(reasons,
                   " records, answers or events found a queue between iotix's own processes full and were "
                   "dropped: a process could not keep up");
    }
}

/* What the broker itself says of messages that it threw away. */
static void put_dropped(const struct ix_result *result, struct ix_buf *reasons)
{
    const json_t *observers = json_object_get(result->delivery, "observers");
    json_int_t dropped = json_integer_value(json_object_get(observers, "brokerDropped"));
    if (dropped <= 0)
        return;
    ix_buf_str(reasons, "; the broker says that it dropped ");
    ix_units_put_count(reasons, (uint64_t)dropped);
    ix_buf_str(reasons,
               " messages for subscribers that were too slow for its queue (mosquitto: "
               "max_queued_messages, max_inflight_messages; 0 is no limit), but not for whom: if it can't "
               "have been the observers, judge these messages as lost with --limit overrun.invalid=off");
}

static void judge_work(struct ix_result *result, struct ix_buf *reasons)
{
    uint64_t scheduled = result->final.all.counters[IX_C_SCHEDULED];
    if (scheduled < result->own_fault)
        scheduled = result->own_fault;
    double share = scheduled ? (double)result->own_fault / (double)scheduled : 0;
    if (share > result->limits.invalid_own_fault) {
        find(result, reasons, IX_INVALID);
        ix_units_put_count(reasons, result->own_fault);
        ix_buf_str(reasons, " of ");
        ix_units_put_count(reasons, scheduled);
        ix_buf_printf(
            reasons,
            " messages (%.3g %% > %g %%) were never sent through the generator's own fault: the load was "
            "not the one that the scenario asks for",
            share * 100, result->limits.invalid_own_fault * 100);
    }
    if (result->observer_overrun > result->limits.invalid_overrun) {
        find(result, reasons, IX_INVALID);
        ix_units_put_count(reasons, result->observer_overrun);
        ix_buf_str(
            reasons,
            " messages could not be accounted for, because an observer was overrun, restarted, too far "
            "behind, too slow for the broker, or without its connection: what was delivered is not "
            "known; observe fewer topics, share them (share), or observe by QoS 1");
        put_dropped(result, reasons);
    }
}

void ix_judge_measure(const struct ix_result *result, struct ix_judge_figures *figures)
{
    const struct ix_histogram *lateness = &result->final.all.trends[IX_T_LATENESS];
    uint64_t scheduled = result->final.all.counters[IX_C_SCHEDULED];
    *figures = (struct ix_judge_figures){
        .lateness_p99_ns = ix_histogram_quantile(lateness, 0.99),
        .lateness_samples = lateness->count,
        .waited = most_waited(result),
        .own_fault = scheduled ? (double)result->own_fault / (double)scheduled : 0,
    };
    for (size_t i = 0; i < result->series.count; i++)
        figures->busiest = fmax(figures->busiest, result->series.points[i].busy);
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
    result->preset = preset;
    result->validity = IX_VALID;
    judge_lateness(result, &reasons);
    judge_observers(result, &reasons);
    judge_load(result, &reasons);
    result->was_slow = result->validity != IX_VALID;
    judge_workers(result, &reasons);
    judge_work(result, &reasons);
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

void ix_result_keep_verdict(struct ix_result *result, enum ix_validity validity, const char *reasons,
                            bool was_slow, enum ix_exit code)
{
    free(result->validity_reasons);
    result->validity_reasons = ix_strdup(reasons ? reasons : "");
    result->validity = validity;
    result->was_slow = was_slow;
    result->exit_code = code;
    result->outcome = outcome_of(code);
}

/* ---- what a slow host makes of metrics ---- */

/* Times that end, or begin, when our own loop gets to it. */
static const char *const timed[] = {"publish.latency",   "publish.service",   "connect.time",
                                    "connection.outage", "receive.latency",   "delivery.latency",
                                    "delivery.transit",  "schedule.lateness", "publish.lateness"};

bool ix_result_is_suspect(const struct ix_result *result, const char *metric)
{
    if (!result->was_slow)
        return false;
    const char *dot = strchr(metric, '.');
    for (size_t i = 0; i < IX_ARRAY_LEN(timed); i++)
        if (strcmp(metric, timed[i]) == 0 || (dot && strcmp(dot + 1, timed[i]) == 0))
            return true;
    return false;
}

json_t *ix_result_suspects(const struct ix_result *result)
{
    json_t *list = json_array();
    for (size_t i = 0; result->was_slow && i < IX_ARRAY_LEN(timed); i++)
        for (size_t t = 0; t < IX_T_COUNT; t++)
            if (strcmp(ix_trend_names[t], timed[i]) == 0 && result->final.all.trends[t].count)
                json_array_append_new(list, json_string(timed[i]));
    return list;
}
