/* What the plots of the HTML report show. */
#include "control/report_html.h"
#include "control/report_plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct columns {
    const struct ix_result *result;
    size_t count;
    double *x;
    struct ix_plot_mark *marks;
    size_t mark_count;
    char **texts; /* of the marks of dropouts */
};

/* One column of the points, by a function. */
static double *column(const struct columns *columns, double (*of)(const struct ix_point *))
{
    double *y = ix_calloc(columns->count, sizeof(*y));
    for (size_t i = 0; i < columns->count; i++)
        y[i] = of(&columns->result->series.points[i]);
    return y;
}

static double per_second(uint64_t count, const struct ix_point *p)
{
    return p->seconds > 0 ? (double)count / p->seconds : NAN;
}

#define RATE_OF(name)                                 \
    static double name##_of(const struct ix_point *p) \
    {                                                 \
        return per_second(p->name, p);                \
    }
#define VALUE_OF(name)                                \
    static double name##_of(const struct ix_point *p) \
    {                                                 \
        return p->name;                               \
    }
RATE_OF(scheduled)
RATE_OF(sent)
RATE_OF(acked)
RATE_OF(lost)
RATE_OF(never_sent)
RATE_OF(connects)
RATE_OF(refused)
RATE_OF(connection_lost)
RATE_OF(dropped)
VALUE_OF(latency_p50)
VALUE_OF(latency_p95)
VALUE_OF(latency_p99)
VALUE_OF(latency_max)
VALUE_OF(service_p99)
VALUE_OF(lateness_p99)
VALUE_OF(lateness_max)

/* Without an observer nothing was seen, which is not 0. */
#define DELIVERY_RATE_OF(name)                                               \
    static double d_##name##_of(const struct ix_point *p)                    \
    {                                                                        \
        return p->delivery.observed ? per_second(p->delivery.name, p) : NAN; \
    }
#define DELIVERY_VALUE_OF(name)                                       \
    static double d_##name##_of(const struct ix_point *p)             \
    {                                                                 \
        return p->delivery.observed ? (double)p->delivery.name : NAN; \
    }
DELIVERY_RATE_OF(sent)
DELIVERY_RATE_OF(delivered)
DELIVERY_RATE_OF(lost)
DELIVERY_RATE_OF(duplicated)
DELIVERY_RATE_OF(reordered)
DELIVERY_RATE_OF(corrupt)
DELIVERY_VALUE_OF(p50)
DELIVERY_VALUE_OF(p95)
DELIVERY_VALUE_OF(p99)
DELIVERY_VALUE_OF(max)

static double busy_of(const struct ix_point *p)
{
    return p->busy * 100;
}

static double wait_of(const struct ix_point *p)
{
    return p->wait * 100;
}

static double connected_of(const struct ix_point *p)
{
    return (double)p->connected;
}

static int by_time(const void *a, const void *b)
{
    const struct ix_plot_mark *x = a, *y = b;
    return (x->t > y->t) - (x->t < y->t);
}

static void gather_marks(struct columns *columns)
{
    const struct ix_result *result = columns->result;
    const struct ix_series *series = &result->series;
    columns->marks = ix_calloc(series->event_count + result->dropout_count, sizeof(*columns->marks));
    columns->texts = ix_calloc(result->dropout_count, sizeof(*columns->texts));
    for (size_t i = 0; i < series->event_count; i++)
        columns->marks[columns->mark_count++] =
            (struct ix_plot_mark){series->events[i].t, series->events[i].name};
    for (size_t i = 0; i < result->dropout_count; i++) {
        const struct ix_dropout_result *d = &result->dropouts[i];
        columns->texts[i] = ix_asprintf("dropout of %llu (%s)", (unsigned long long)d->chosen, d->group);
        columns->marks[columns->mark_count++] = (struct ix_plot_mark){d->t, columns->texts[i]};
    }
    if (columns->mark_count)
        qsort(columns->marks, columns->mark_count, sizeof(*columns->marks), by_time);
}

struct wanted {
    const char *name;
    const char *colour;
    double (*of)(const struct ix_point *);
    bool area;
};

static void put_plot(const struct columns *columns, struct ix_plot plot, const struct wanted *wanted,
                     size_t count, struct ix_buf *out)
{
    struct ix_curve curves[8] = {0};
    for (size_t i = 0; i < count; i++)
        curves[i] = (struct ix_curve){wanted[i].name, wanted[i].colour, column(columns, wanted[i].of),
                                      wanted[i].area};
    plot.x = columns->x;
    plot.count = columns->count;
    plot.x_max = fmax(columns->result->seconds, columns->x[columns->count - 1]);
    plot.curves = curves;
    plot.curve_count = count;
    plot.marks = columns->marks;
    plot.mark_count = columns->mark_count;
    ix_plot_write(&plot, out);
    for (size_t i = 0; i < count; i++)
        free((double *)curves[i].y);
}

/* The order is that of the stack, from below. */
static void put_states(const struct columns *columns, struct ix_buf *out)
{
    static const struct {
        enum ix_device_status status;
        const char *colour;
    } order[] = {{IX_D_RUNNING, "c-teal"},    {IX_D_STARTING, "c-sky"},  {IX_D_DROPPED, "c-orange"},
                 {IX_D_STOPPING, "c-purple"}, {IX_D_STOPPED, "c-slate"}, {IX_D_ERROR, "c-red"},
                 {IX_D_CREATED, "c-grey"}};
    struct ix_curve curves[IX_ARRAY_LEN(order) + 1] = {0};
    for (size_t c = 0; c < IX_ARRAY_LEN(order); c++) {
        double *y = ix_calloc(columns->count, sizeof(*y));
        for (size_t i = 0; i < columns->count; i++)
            y[i] = (double)columns->result->series.points[i].by_status[order[c].status];
        curves[c] = (struct ix_curve){ix_status_names[order[c].status], order[c].colour, y, true};
    }
    curves[IX_ARRAY_LEN(order)] =
        (struct ix_curve){"connected", "c-text", column(columns, connected_of), false};
    struct ix_plot plot = {.title = "Devices by state",
                           .x = columns->x,
                           .count = columns->count,
                           .x_max = fmax(columns->result->seconds, columns->x[columns->count - 1]),
                           .curves = curves,
                           .curve_count = IX_ARRAY_LEN(curves),
                           .stacked = true,
                           .marks = columns->marks,
                           .mark_count = columns->mark_count};
    ix_plot_write(&plot, out);
    for (size_t c = 0; c < IX_ARRAY_LEN(curves); c++)
        free((double *)curves[c].y);
}

static void put_delivery(const struct columns *columns, struct ix_buf *out)
{
    static const struct wanted messages[] = {{"sent", "c-grey", d_sent_of, false},
                                             {"delivered", "c-green", d_delivered_of, true},
                                             {"lost", "c-red", d_lost_of, false},
                                             {"duplicated", "c-purple", d_duplicated_of, false},
                                             {"reordered", "c-orange", d_reordered_of, false},
                                             {"corrupt", "c-amber", d_corrupt_of, false}};
    static const struct wanted latency[] = {{"max", "c-grey", d_max_of, false},
                                            {"p99", "c-purple", d_p99_of, false},
                                            {"p95", "c-blue", d_p95_of, false},
                                            {"p50", "c-teal", d_p50_of, false}};
    put_plot(columns,
             (struct ix_plot){.title = "Delivery per second",
                              .note = "what observers saw; what is lost is known at the end",
                              .unit = IX_PLOT_PER_SECOND},
             messages, IX_ARRAY_LEN(messages), out);
    put_plot(columns,
             (struct ix_plot){.title = "Delivery latency",
                              .note = "due instant to arrival at an observer, logarithmic",
                              .unit = IX_PLOT_MS,
                              .logarithmic = true},
             latency, IX_ARRAY_LEN(latency), out);
}

static void put_all(const struct columns *columns, struct ix_buf *out)
{
    static const struct wanted messages[] = {{"scheduled", "c-grey", scheduled_of, false},
                                             {"sent", "c-blue", sent_of, true},
                                             {"acknowledged", "c-green", acked_of, false},
                                             {"never sent", "c-orange", never_sent_of, false},
                                             {"lost", "c-red", lost_of, false}};
    static const struct wanted latency[] = {{"max", "c-grey", latency_max_of, false},
                                            {"p99", "c-purple", latency_p99_of, false},
                                            {"p99 from the send", "c-amber", service_p99_of, false},
                                            {"p95", "c-blue", latency_p95_of, false},
                                            {"p50", "c-teal", latency_p50_of, false}};
    static const struct wanted connects[] = {{"accepted", "c-green", connects_of, true},
                                             {"refused or no answer", "c-red", refused_of, false},
                                             {"lost", "c-purple", connection_lost_of, false},
                                             {"dropped", "c-orange", dropped_of, false}};
    static const struct wanted lateness[] = {{"max", "c-grey", lateness_max_of, false},
                                             {"p99", "c-amber", lateness_p99_of, false}};
    static const struct wanted busy[] = {{"busiest worker", "c-slate", busy_of, true},
                                         {"waited for a CPU", "c-red", wait_of, false}};
    put_states(columns, out);
    put_plot(columns, (struct ix_plot){.title = "Messages per second", .unit = IX_PLOT_PER_SECOND}, messages,
             IX_ARRAY_LEN(messages), out);
    put_plot(columns,
             (struct ix_plot){
                 .title = "Publish latency",
                 .note = "due instant to acknowledgement, logarithmic; without acknowledgements a gap",
                 .unit = IX_PLOT_MS,
                 .logarithmic = true},
             latency, IX_ARRAY_LEN(latency), out);
    put_delivery(columns, out);
    put_plot(columns, (struct ix_plot){.title = "Connections per second", .unit = IX_PLOT_PER_SECOND},
             connects, IX_ARRAY_LEN(connects), out);
    put_plot(columns,
             (struct ix_plot){.title = "Lateness of the generator",
                              .note = "due instant to send, logarithmic",
                              .unit = IX_PLOT_MS,
                              .logarithmic = true},
             lateness, IX_ARRAY_LEN(lateness), out);
    put_plot(columns, (struct ix_plot){.title = "Load of the generator", .note = "% of the time"}, busy,
             IX_ARRAY_LEN(busy), out);
}

void ix_html_plots(const struct ix_result *result, struct ix_buf *out)
{
    struct columns columns = {.result = result, .count = result->series.count};
    if (columns.count == 0)
        return;
    columns.x = ix_calloc(columns.count, sizeof(*columns.x));
    for (size_t i = 0; i < columns.count; i++)
        columns.x[i] = result->series.points[i].t;
    gather_marks(&columns);
    ix_buf_str(out, "<h2>Over time</h2>\n");
    put_all(&columns, out);
    for (size_t i = 0; i < result->dropout_count; i++)
        free(columns.texts[i]);
    free(columns.texts);
    free(columns.marks);
    free(columns.x);
}
