/* The CSV report: a row for each interval. */
#include "control/report.h"

#include "base/text.h"

#include <math.h>

static void put_number(struct ix_buf *out, double value)
{
    ix_buf_char(out, ',');
    if (isfinite(value))
        ix_text_double(out, value);
}

static void put_counts(struct ix_buf *out, const uint64_t *counts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ix_buf_char(out, ',');
        ix_text_u64(out, counts[i]);
    }
}

/* Empty in runs, and before the instant, without an observer. */
static void put_delivery(const struct ix_point_delivery *d, struct ix_buf *out)
{
    const double counts[] = {(double)d->sent,      (double)d->delivered, (double)d->lost,
                             (double)d->in_flight, (double)d->missing,   (double)d->duplicated,
                             (double)d->reordered, (double)d->late,      (double)d->corrupt};
    const double times[] = {d->p50, d->p95, d->p99, d->max};
    for (size_t i = 0; i < IX_ARRAY_LEN(counts); i++)
        put_number(out, d->observed ? counts[i] : NAN);
    for (size_t i = 0; i < IX_ARRAY_LEN(times); i++)
        put_number(out, d->observed && isfinite(times[i]) ? round(times[i] * 1e6) / 1e6 : NAN);
}

static void put_row(const struct ix_result *result, const struct ix_point *p, struct ix_buf *out)
{
    char time[IX_ISO8601_LEN + 1];
    ix_text_iso8601(time, result->started_wall_ns + (int64_t)(p->t * 1e9));
    ix_buf_str(out, time);
    put_number(out, round(p->t * 1e3) / 1e3);
    put_number(out, round(p->seconds * 1e3) / 1e3);
    for (size_t s = 0; s < IX_D_STATUS_COUNT; s++)
        put_number(out, (double)p->by_status[s]);
    put_number(out, (double)p->connected);
    const uint64_t counts[] = {p->scheduled,       p->sent,     p->acked,      p->lost,
                               p->never_sent,      p->received, p->connects,   p->refused,
                               p->connection_lost, p->dropped,  p->reconnected};
    put_counts(out, counts, IX_ARRAY_LEN(counts));
    const double times[] = {p->latency_p50,  p->latency_p95,  p->latency_p99, p->latency_max, p->service_p99,
                            p->lateness_p99, p->lateness_max, p->busy,        p->wait};
    for (size_t i = 0; i < IX_ARRAY_LEN(times); i++)
        put_number(out, isfinite(times[i]) ? round(times[i] * 1e6) / 1e6 : NAN);
    put_delivery(&p->delivery, out);
    ix_buf_str(out, "\r\n");
}

/* RFC 4180; no field needs quotes. */
void ix_report_csv(const struct ix_result *result, struct ix_buf *out)
{
    ix_buf_str(out, "time,seconds,interval_s");
    for (size_t s = 0; s < IX_D_STATUS_COUNT; s++)
        ix_buf_printf(out, ",devices_%s", ix_status_names[s]);
    ix_buf_str(out, ",devices_connected,scheduled,sent,acked,lost,never_sent,received,connects,refused,"
                    "connections_lost,connections_dropped,reconnected,latency_p50_ms,latency_p95_ms,"
                    "latency_p99_ms,latency_max_ms,service_p99_ms,lateness_p99_ms,lateness_max_ms,busy,wait,"
                    "delivery_sent,delivery_delivered,delivery_lost,delivery_in_flight,delivery_missing,"
                    "delivery_duplicated,delivery_reordered,delivery_late,delivery_corrupt,delivery_p50_ms,"
                    "delivery_p95_ms,delivery_p99_ms,delivery_max_ms\r\n");
    for (size_t i = 0; i < result->series.count; i++)
        put_row(result, &result->series.points[i], out);
}
