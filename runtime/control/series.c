#include "control/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 10000

void ix_series_init(struct ix_series *series, uint64_t run_start_ns)
{
    *series = (struct ix_series){.start_ns = run_start_ns, .stride = 1};
    ix_snapshot_init(&series->before);
    series->before.at_ns = run_start_ns;
}

void ix_series_deinit(struct ix_series *series)
{
    for (size_t i = 0; i < series->event_count; i++) {
        free(series->events[i].name);
        free(series->events[i].data);
    }
    free(series->events);
    free(series->points);
    ix_snapshot_deinit(&series->before);
    ix_series_init(series, 0);
}

/* Counters of a segment never go back; a group that is not known yet may hide some for one snapshot. */
static uint64_t rise(const struct ix_snapshot *before, const struct ix_snapshot *now, enum ix_counter c)
{
    uint64_t from = before->all.counters[c], to = now->all.counters[c];
    return to > from ? to - from : 0;
}

static double quantile_ms(const struct ix_histogram *h, double q)
{
    return h->count ? (double)ix_histogram_quantile(h, q) / 1e6 : NAN;
}

/* What one worker measured since `before`: shares of the time between its own two looks, the earlier of which was at
 * *from_ns (0: there was none). false: it did not look. */
static bool shares_of(const struct ix_snapshot *before, const struct ix_worker_totals *worker, double seconds,
                      double *busy, double *wait, uint64_t *from_ns)
{
    uint64_t busy_from = 0, wait_from = 0;
    *from_ns = 0;
    for (size_t j = 0; j < before->worker_count; j++) {
        const struct ix_worker_totals *earlier = &before->workers[j];
        if (earlier->worker != worker->worker || earlier->epoch != worker->epoch)
            continue;
        busy_from = earlier->busy_ns;
        wait_from = earlier->wait_ns;
        if (earlier->alive_ns && worker->alive_ns == earlier->alive_ns)
            return false;
        *from_ns = earlier->alive_ns;
        if (earlier->alive_ns)
            seconds = (double)(worker->alive_ns - earlier->alive_ns) / 1e9;
    }
    *busy = worker->busy_ns > busy_from ? (double)(worker->busy_ns - busy_from) / 1e9 / seconds : 0;
    *wait = worker->wait_ns > wait_from ? (double)(worker->wait_ns - wait_from) / 1e9 / seconds : 0;
    return true;
}

/* What a worker found that had not come to look for some points holds for these as well: one that had no CPU at all says so
 * only afterwards. */
static void correct(struct ix_series *series, uint64_t from_ns, double busy, double wait)
{
    double from = from_ns > series->start_ns ? (double)(from_ns - series->start_ns) / 1e9 : 0;
    for (size_t i = series->count; from_ns && i-- > 0 && series->points[i].t > from;) {
        series->points[i].busy = fmin(fmax(series->points[i].busy, busy), 1);
        series->points[i].wait = fmin(fmax(series->points[i].wait, wait), 1);
    }
}

/* The busiest worker, and the one that waited most; between two looks of the workers what was found before. */
static void measure_load(struct ix_point *point, struct ix_series *series, const struct ix_snapshot *now)
{
    bool any = false;
    uint64_t from_ns;
    for (size_t i = 0; i < now->worker_count && point->seconds > 0; i++) {
        double busy, wait;
        if (!shares_of(&series->before, &now->workers[i], point->seconds, &busy, &wait, &from_ns))
            continue;
        correct(series, from_ns, busy, wait);
        any = true;
        point->busy = fmin(fmax(point->busy, busy), 1);
        point->wait = fmin(fmax(point->wait, wait), 1);
    }
    if (!any && now->worker_count) {
        point->busy = series->last.busy;
        point->wait = series->last.wait;
    }
}

static void measure_delivery(struct ix_point_delivery *d, const struct ix_snapshot *before,
                             const struct ix_snapshot *now, struct ix_histogram *difference)
{
    *d = (struct ix_point_delivery){
        .observed = now->observed,
        .sent = rise(before, now, IX_C_D_SENT),
        .delivered = rise(before, now, IX_C_D_DELIVERED),
        .lost = rise(before, now, IX_C_D_LOST),
        .duplicated = rise(before, now, IX_C_D_DUPLICATED),
        .reordered = rise(before, now, IX_C_D_REORDERED),
        .late = rise(before, now, IX_C_D_LATE),
        .corrupt = rise(before, now, IX_C_D_CORRUPT),
        .missing = now->all.counters[IX_C_D_MISSING],
        .in_flight = now->all.counters[IX_C_D_IN_FLIGHT],
    };
    ix_histogram_diff(difference, &now->all.trends[IX_T_DELIVERY], &before->all.trends[IX_T_DELIVERY]);
    d->p50 = quantile_ms(difference, 0.5);
    d->p95 = quantile_ms(difference, 0.95);
    d->p99 = quantile_ms(difference, 0.99);
    d->max = quantile_ms(difference, 1);
}

static void measure(struct ix_point *point, struct ix_series *series, const struct ix_snapshot *now)
{
    static struct ix_histogram difference; /* 20 KiB that need not be cleared each time */
    const struct ix_snapshot *before = &series->before;
    *point = (struct ix_point){
        .t = now->at_ns > series->start_ns ? (double)(now->at_ns - series->start_ns) / 1e9 : 0,
        .seconds = now->at_ns > before->at_ns ? (double)(now->at_ns - before->at_ns) / 1e9 : 0,
        .connected = now->all.connected,
        .scheduled = rise(before, now, IX_C_SCHEDULED),
        .sent = rise(before, now, IX_C_SENT),
        .acked = rise(before, now, IX_C_ACKED),
        .lost = rise(before, now, IX_C_LOST),
        .never_sent = rise(before, now, IX_C_NEVER_SENT_OFFLINE) +
                      rise(before, now, IX_C_NEVER_SENT_BACKPRESSURE) +
                      rise(before, now, IX_C_NEVER_SENT_ERROR) + rise(before, now, IX_C_NEVER_SENT_LATE),
        .received = rise(before, now, IX_C_RECEIVED),
        .connects = rise(before, now, IX_C_CONNECTED),
        .refused = rise(before, now, IX_C_REFUSED) + rise(before, now, IX_C_CONNECT_FAILED),
        .connection_lost = rise(before, now, IX_C_CONNECTION_LOST),
        .dropped = rise(before, now, IX_C_DROPPED),
        .reconnected = rise(before, now, IX_C_RECONNECTED),
    };
    memcpy(point->by_status, now->all.by_status, sizeof(point->by_status));
    measure_load(point, series, now);
    ix_histogram_diff(&difference, &now->all.trends[IX_T_RESPONSE], &before->all.trends[IX_T_RESPONSE]);
    point->latency_p50 = quantile_ms(&difference, 0.5);
    point->latency_p95 = quantile_ms(&difference, 0.95);
    point->latency_p99 = quantile_ms(&difference, 0.99);
    point->latency_max = quantile_ms(&difference, 1);
    ix_histogram_diff(&difference, &now->all.trends[IX_T_SERVICE], &before->all.trends[IX_T_SERVICE]);
    point->service_p99 = quantile_ms(&difference, 0.99);
    ix_histogram_diff(&difference, &now->all.trends[IX_T_LATENESS], &before->all.trends[IX_T_LATENESS]);
    point->lateness_p99 = quantile_ms(&difference, 0.99);
    point->lateness_max = quantile_ms(&difference, 1);
    measure_delivery(&point->delivery, before, now, &difference);
}

/* The mean of two percentiles, by their samples; of one, if the other had none. */
static double mean(double a, double a_weight, double b, double b_weight)
{
    if (isnan(a) || isnan(b))
        return isnan(a) ? b : a;
    return a_weight + b_weight > 0 ? (a * a_weight + b * b_weight) / (a_weight + b_weight) : (a + b) / 2;
}

static void join_delivery(struct ix_point_delivery *into, const struct ix_point_delivery *next)
{
    double some = (double)into->delivered, more = (double)next->delivered;
    into->p50 = mean(into->p50, some, next->p50, more);
    into->p95 = mean(into->p95, some, next->p95, more);
    into->p99 = mean(into->p99, some, next->p99, more);
    into->max = fmax(into->max, next->max);
    into->observed = into->observed || next->observed;
    into->sent += next->sent;
    into->delivered += next->delivered;
    into->lost += next->lost;
    into->duplicated += next->duplicated;
    into->reordered += next->reordered;
    into->late += next->late;
    into->corrupt += next->corrupt;
    into->missing = next->missing;
    into->in_flight = next->in_flight;
}

/* into: the two as one interval. Gauges are those at its end. */
static void join(struct ix_point *into, const struct ix_point *next)
{
    double acked = (double)into->acked, more_acked = (double)next->acked, sent = (double)into->sent,
           more_sent = (double)next->sent;
    into->latency_p50 = mean(into->latency_p50, acked, next->latency_p50, more_acked);
    into->latency_p95 = mean(into->latency_p95, acked, next->latency_p95, more_acked);
    into->latency_p99 = mean(into->latency_p99, acked, next->latency_p99, more_acked);
    into->service_p99 = mean(into->service_p99, acked, next->service_p99, more_acked);
    into->lateness_p99 = mean(into->lateness_p99, sent, next->lateness_p99, more_sent);
    into->latency_max = fmax(into->latency_max, next->latency_max);
    into->lateness_max = fmax(into->lateness_max, next->lateness_max);
    into->busy = mean(into->busy, into->seconds, next->busy, next->seconds);
    into->wait = mean(into->wait, into->seconds, next->wait, next->seconds);
    into->t = next->t;
    into->seconds += next->seconds;
    memcpy(into->by_status, next->by_status, sizeof(into->by_status));
    into->connected = next->connected;
    into->scheduled += next->scheduled;
    into->sent += next->sent;
    into->acked += next->acked;
    into->lost += next->lost;
    into->never_sent += next->never_sent;
    into->received += next->received;
    into->connects += next->connects;
    into->refused += next->refused;
    into->connection_lost += next->connection_lost;
    into->dropped += next->dropped;
    into->reconnected += next->reconnected;
    join_delivery(&into->delivery, &next->delivery);
}

static void halve(struct ix_series *series)
{
    for (size_t i = 0; i < series->count / 2; i++) {
        series->points[i] = series->points[2 * i];
        join(&series->points[i], &series->points[2 * i + 1]);
    }
    series->count /= 2;
    series->stride *= 2;
    series->joined = series->stride;
}

static void measure_peak(struct ix_series *series, const struct ix_point *point)
{
    series->second_connects += (double)point->connects;
    series->second_seconds += point->seconds;
    double rate = series->second_connects / fmax(series->second_seconds, 1);
    series->peak_connects_per_s = fmax(series->peak_connects_per_s, rate);
    if (series->second_seconds >= 0.95) /* timers are never exact */
        series->second_connects = series->second_seconds = 0;
}

const struct ix_point *ix_series_add(struct ix_series *series, const struct ix_snapshot *snapshot)
{
    struct ix_point measured;
    measure(&measured, series, snapshot);
    series->last = measured;
    measure_peak(series, &series->last);
    ix_snapshot_copy(&series->before, snapshot);
    if (series->count && series->joined < series->stride) {
        join(&series->points[series->count - 1], &series->last);
        series->joined++;
        return &series->last;
    }
    if (series->count == IX_SERIES_MAX)
        halve(series);
    if (!series->points)
        series->points = ix_calloc(IX_SERIES_MAX, sizeof(*series->points));
    series->points[series->count++] = series->last;
    series->joined = 1;
    return &series->last;
}

void ix_series_event(struct ix_series *series, uint64_t at_ns, const char *name, const char *data)
{
    if (series->event_count == EVENTS_MAX) {
        series->events_dropped++;
        return;
    }
    if ((series->event_count & (series->event_count - 1)) == 0)
        series->events = ix_realloc(series->events, (series->event_count ? series->event_count * 2 : 1) *
                                                        sizeof(*series->events));
    series->events[series->event_count++] =
        (struct ix_event){at_ns > series->start_ns ? (double)(at_ns - series->start_ns) / 1e9 : 0,
                          ix_strdup(name), data ? ix_strdup(data) : NULL};
}
