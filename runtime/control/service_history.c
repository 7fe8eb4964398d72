/* The last minutes of the service's figures and of its groups' states, second by second: what a page shows that was opened
 * just now. */
#include "control/service_internal.h"

#include <math.h>
#include <stdlib.h>

#define GROUPS_MAX 100 /* groups with a history: 32 KiB each */

/* A series and where it is in the figures of ix_service_stats. */
static const struct {
    const char *name, *object, *member; /* object NULL: a member of the whole */
} series[] = {
    {"running", "byStatus", "running"},
    {"starting", "byStatus", "starting"},
    {"stopping", "byStatus", "stopping"},
    {"dropped", "byStatus", "dropped"},
    {"error", "byStatus", "error"},
    {"stopped", "byStatus", "stopped"},
    {"created", "byStatus", "created"},
    {"connected", NULL, "connected"},
    {"messagesSent", "rates", "messagesSent"},
    {"messagesReceived", "rates", "messagesReceived"},
    {"bytesSent", "rates", "bytesSent"},
    {"connects", "rates", "connects"},
    {"errors", "rates", "errors"},
    {"latencyP50", "latencyMs", "p50"},
    {"latencyP95", "latencyMs", "p95"},
    {"latencyP99", "latencyMs", "p99"},
    {"latenessP50", "latenessMs", "p50"},
    {"latenessP99", "latenessMs", "p99"},
    {"latenessMax", "latenessMs", "max"},
    {"loopBusy", NULL, "loopBusy"},
};
#define SERIES IX_ARRAY_LEN(series)
#define STATES (IX_D_STATUS_COUNT + 1) /* of a group: by status, and connected */

/* A ring of rows, one a second. */
struct ix_service_past {
    size_t width, next, count; /* next: where the coming row goes */
    int64_t wall_ms[IX_SERVICE_HISTORY_S];
    float values[]; /* rows of `width`; NAN: there was none, such as the latency of no message */
};

static struct ix_service_past *past_new(size_t width)
{
    struct ix_service_past *past = ix_calloc(1, sizeof(*past) + sizeof(float) * width * IX_SERVICE_HISTORY_S);
    past->width = width;
    return past;
}

static float *add_row(const struct ix_service *service, struct ix_service_past *past)
{
    size_t at = past->next;
    past->wall_ms[at] = ix_clock_wall(&service->loop->clock, ix_clock_now(&service->loop->clock)) / 1000000;
    past->next = (at + 1) % IX_SERVICE_HISTORY_S;
    past->count += past->count < IX_SERVICE_HISTORY_S;
    return past->values + at * past->width;
}

static void note_figures(struct ix_service *service)
{
    if (!service->past)
        service->past = past_new(SERIES);
    float *row = add_row(service, service->past);
    for (size_t i = 0; i < SERIES; i++) {
        const json_t *object =
            series[i].object ? json_object_get(service->stats, series[i].object) : service->stats;
        const json_t *value = json_object_get(object, series[i].member);
        row[i] = json_is_number(value) ? (float)json_number_value(value) : NAN;
    }
}

static void note_group(struct ix_service *service, struct service_group *g)
{
    struct ix_totals now;
    ix_service_group_counts(service, g, &now);
    float *row = add_row(service, g->past);
    for (int s = 0; s < IX_D_STATUS_COUNT; s++)
        row[s] = (float)now.by_status[s];
    row[IX_D_STATUS_COUNT] = (float)now.connected;
}

void ix_service_history_note(struct ix_service *service)
{
    size_t groups = 0;
    note_figures(service);
    for (struct service_group *g = service->groups; g; g = g->next) {
        if (g->hidden || g->leaving || (!g->past && !g->at_work) || groups == GROUPS_MAX)
            continue;
        groups++;
        if (!g->past)
            g->past = past_new(STATES);
        note_group(service, g);
    }
}

/* To the thousandth; whole numbers without a point. */
static json_t *number(float value)
{
    if (isnan(value))
        return json_null();
    double rounded = round((double)value * 1000) / 1000;
    return rounded == floor(rounded) ? json_integer((json_int_t)rounded) : json_real(rounded);
}

/* {timeMs, series}: the last rows of a ring (NULL: none) under their names. */
static json_t *columns_of(const struct ix_service_past *past, uint64_t seconds, const char *const *names,
                          size_t width)
{
    size_t count = past ? past->count : 0;
    count = count < seconds ? count : (size_t)seconds;
    json_t *columns = json_object(), *times = json_array();
    for (size_t k = count; k > 0; k--)
        json_array_append_new(
            times,
            json_integer(past->wall_ms[(past->next + IX_SERVICE_HISTORY_S - k) % IX_SERVICE_HISTORY_S]));
    for (size_t i = 0; i < width; i++) {
        json_t *column = json_array();
        for (size_t k = count; k > 0; k--) {
            size_t at = (past->next + IX_SERVICE_HISTORY_S - k) % IX_SERVICE_HISTORY_S;
            json_array_append_new(column, number(past->values[at * width + i]));
        }
        json_object_set_new(columns, names[i], column);
    }
    return json_pack("{s:o, s:o}", "timeMs", times, "series", columns);
}

json_t *ix_service_history(const struct ix_service *service, uint64_t seconds)
{
    const char *names[SERIES];
    for (size_t i = 0; i < SERIES; i++)
        names[i] = series[i].name;
    return columns_of(service->past, seconds, names, SERIES);
}

json_t *ix_service_group_history(struct ix_service *service, const char *id, uint64_t seconds,
                                 struct ix_failure *failure)
{
    const struct service_group *g = ix_service_need_group(service, id, failure);
    const char *names[STATES];
    for (int s = 0; s < IX_D_STATUS_COUNT; s++)
        names[s] = ix_status_names[s];
    names[IX_D_STATUS_COUNT] = "connected";
    return g ? columns_of(g->past, seconds, names, STATES) : NULL;
}
