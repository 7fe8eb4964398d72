/* The last minutes of the service's figures, second by second: what a page shows that was opened just now. */
#include "control/service_internal.h"

#include <math.h>
#include <stdlib.h>

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

struct ix_service_past {
    size_t next, count; /* next: where the coming second goes */
    struct {
        int64_t wall_ms;
        float values[SERIES]; /* NAN: there was none, such as the latency of no message */
    } seconds[IX_SERVICE_HISTORY_S];
};

void ix_service_history_note(struct ix_service *service)
{
    if (!service->past)
        service->past = ix_calloc(1, sizeof(*service->past));
    struct ix_service_past *past = service->past;
    past->seconds[past->next].wall_ms =
        ix_clock_wall(&service->loop->clock, ix_clock_now(&service->loop->clock)) / 1000000;
    for (size_t i = 0; i < SERIES; i++) {
        const json_t *object =
            series[i].object ? json_object_get(service->stats, series[i].object) : service->stats;
        const json_t *value = json_object_get(object, series[i].member);
        past->seconds[past->next].values[i] = json_is_number(value) ? (float)json_number_value(value) : NAN;
    }
    past->next = (past->next + 1) % IX_SERVICE_HISTORY_S;
    past->count += past->count < IX_SERVICE_HISTORY_S;
}

/* To the thousandth; whole numbers without a point. */
static json_t *number(float value)
{
    if (isnan(value))
        return json_null();
    double rounded = round((double)value * 1000) / 1000;
    return rounded == floor(rounded) ? json_integer((json_int_t)rounded) : json_real(rounded);
}

json_t *ix_service_history(const struct ix_service *service, uint64_t seconds)
{
    const struct ix_service_past *past = service->past;
    size_t count = past ? past->count : 0;
    count = count < seconds ? count : (size_t)seconds;
    json_t *columns = json_object(), *times = json_array();
    for (size_t i = 0; i < SERIES; i++)
        json_object_set_new(columns, series[i].name, json_array());
    for (size_t k = count; k > 0; k--) {
        size_t at = (past->next + IX_SERVICE_HISTORY_S - k) % IX_SERVICE_HISTORY_S;
        json_array_append_new(times, json_integer(past->seconds[at].wall_ms));
        for (size_t i = 0; i < SERIES; i++)
            json_array_append_new(json_object_get(columns, series[i].name),
                                  number(past->seconds[at].values[i]));
    }
    return json_pack("{s:o, s:o}", "timeMs", times, "series", columns);
}

void ix_service_history_end(struct ix_service *service)
{
    free(service->past);
    service->past = NULL;
}
