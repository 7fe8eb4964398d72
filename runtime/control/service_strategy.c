/* Launch and dropout strategies as requests name them, and their curves. */
#include "control/service_internal.h"

#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>

#define CURVE_POINTS 200
#define COUNT_MAX    10000000

struct ix_strategy_spec ix_service_strategy_spec(const json_t *launch, bool is_dropout)
{
    json_t *settings = json_object_get(launch, "settings");
    const char *name = json_string_value(json_object_get(launch, "strategy"));
    return (struct ix_strategy_spec){.name = ix_strdup(name         ? name
                                                       : is_dropout ? "linear"
                                                                    : "immediate"),
                                     .settings =
                                         settings ? json_dumps(settings, JSON_COMPACT) : ix_strdup("{}"),
                                     .is_dropout = is_dropout};
}

void ix_service_strategy_deinit(struct ix_strategy_spec *spec)
{
    free(spec->name);
    free(spec->settings);
}

static bool is_among(const char *const *names, const char *name)
{
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

/* What is wrong with settings names one: "launch strategy "batch": batchSize must be …". */
static void name_field(struct ix_failure *failure, const json_t *settings)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)settings, key, value)
    {
        const char *at = strstr(failure->text, key);
        if (at && !failure->field[0])
            snprintf(failure->field, sizeof failure->field, "%.100s", key);
    }
    if (!failure->field[0])
        snprintf(failure->field, sizeof failure->field, "strategy");
}

json_t *ix_service_read_strategy(struct ix_service *service, const json_t *body, bool is_dropout,
                                 const char *const *other_fields, uint64_t count, uint64_t *duration_ns,
                                 struct ix_failure *failure)
{
    json_t *name = json_object_get(body, "strategy");
    if (name && !json_is_string(name)) {
        ix_service_fail(failure, IX_FAILURE_INVALID, "strategy",
                        "strategy must be a text: the name of a strategy");
        return NULL;
    }
    json_t *settings = json_object(), *value;
    const char *key;
    json_object_foreach((json_t *)body, key, value)
    {
        if (strcmp(key, "strategy") != 0 && !is_among(other_fields, key) && !json_is_null(value))
            json_object_set(settings, key, value);
    }
    json_t *launch = json_pack("{s:s, s:o}", "strategy",
                               name         ? json_string_value(name)
                               : is_dropout ? "linear"
                                            : "immediate",
                               "settings", settings);
    struct ix_strategy_spec spec = ix_service_strategy_spec(launch, is_dropout);
    struct ix_error err;
    double seconds = 0;
    int code = ix_script_strategy_duration(service->script, &spec, count, &seconds, &err);
    ix_service_strategy_deinit(&spec);
    if (code == 0 && !(seconds >= 0 && seconds < 9e9))
        code = ix_fail(&err, IX_SCRIPT_CONFIGURATION,
                       "the strategy's last device would have its turn after %g s", seconds);
    if (code < 0) {
        ix_service_fail(failure, code == IX_SCRIPT_ERROR ? IX_FAILURE_SCRIPT : IX_FAILURE_INVALID, "", "%s",
                        err.text);
        name_field(failure, settings);
        json_decref(launch);
        return NULL;
    }
    *duration_ns = (uint64_t)(seconds * 1e9);
    return launch;
}

json_t *ix_service_strategies(struct ix_service *service, struct ix_failure *failure)
{
    struct ix_error err;
    json_t *list = ix_script_strategies(service->script, &err);
    if (!list)
        ix_service_fail(failure, IX_FAILURE_SCRIPT, "", "%s", err.text);
    return list;
}

/* How many devices have had their turn at each of the instants of a curve, by looking at as many places. */
static json_t *curve(const double *seconds, const uint64_t *places, size_t points)
{
    json_t *list = json_array();
    for (size_t i = 0; i < points; i++)
        json_array_append_new(
            list, json_pack("{s:f, s:I}", "tMs", seconds[i] * 1000, "count", (json_int_t)places[i] + 1));
    return list;
}

static int compare_seconds(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static json_t *draw_curve(struct ix_service *service, const json_t *launch, bool is_dropout, uint64_t count,
                          uint64_t duration_ns, struct ix_failure *failure)
{
    struct ix_hooks hooks = ix_script_hooks(service->script);
    struct ix_strategy_spec spec = ix_service_strategy_spec(launch, is_dropout);
    struct ix_schedule schedule = {0};
    struct ix_error err;
    double seconds[CURVE_POINTS];
    uint64_t places[CURVE_POINTS];
    size_t points = count < CURVE_POINTS ? (size_t)count : CURVE_POINTS;
    for (size_t i = 0; i < points; i++)
        places[i] = points > 1 ? (uint64_t)((double)i / (double)(points - 1) * (double)(count - 1) + 0.5) : 0;
    int code =
        hooks.schedule_open(hooks.context, &spec, count, ix_random_key(service->seed, 1), &schedule, &err);
    if (code == 0) {
        code = schedule.at_places(schedule.context, places, points, seconds, &err);
        schedule.close(schedule.context);
    }
    ix_service_strategy_deinit(&spec);
    if (code < 0) {
        ix_service_fail(failure, code == IX_SCRIPT_ERROR ? IX_FAILURE_SCRIPT : IX_FAILURE_INVALID, "strategy",
                        "%s", err.text);
        return NULL;
    }
    /* Random strategies put places anywhere: in order of time they are a sample of all. */
    qsort(seconds, points, sizeof *seconds, compare_seconds);
    return json_pack("{s:f, s:o}", "durationMs", (double)duration_ns / 1e6, "points",
                     curve(seconds, places, points));
}

json_t *ix_service_strategy_preview(struct ix_service *service, const json_t *body,
                                    struct ix_failure *failure)
{
    static const char *const others[] = {"kind", "count",   "percentage",       "reconnect",
                                         "mode", "groupId", "reconnectDelayMs", NULL};
    const char *kind = json_string_value(json_object_get(body, "kind"));
    json_t *count = json_object_get(body, "count");
    bool is_dropout = kind && strcmp(kind, "dropout") == 0;
    if (!json_is_object(body)) {
        ix_service_fail(failure, IX_FAILURE_INVALID, "", "the body must be an object");
    } else if (!kind || (!is_dropout && strcmp(kind, "launch") != 0)) {
        ix_service_fail(failure, IX_FAILURE_INVALID, "kind", "kind must be \"launch\" or \"dropout\"");
    } else if (!json_is_integer(count) || json_integer_value(count) < 0 ||
               json_integer_value(count) > COUNT_MAX) {
        ix_service_fail(failure, IX_FAILURE_INVALID, "count", "count must be a whole number from 0 to %d",
                        COUNT_MAX);
    } else {
        uint64_t devices = (uint64_t)json_integer_value(count), duration_ns;
        json_t *launch =
            ix_service_read_strategy(service, body, is_dropout, others, devices, &duration_ns, failure);
        json_t *result =
            launch ? draw_curve(service, launch, is_dropout, devices, duration_ns, failure) : NULL;
        json_decref(launch);
        return result;
    }
    return NULL;
}
