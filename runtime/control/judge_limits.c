/* The limits of the judgement: their names, defaults, and how they are written. */
#include "control/judge.h"

#include "base/suggest.h"
#include "base/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct ix_limits ix_default_limits = {
    .degraded_lateness_ns = 50 * IX_MS,
    .invalid_lateness_ns = IX_S,
    .degraded_busy = 0.9,
    .degraded_wait = 0.5,
    .degraded_steal = 0.1,
    .busy_for_s = 5,
    .degraded_restarts = 0,
    .degraded_dropped = 0,
    .invalid_own_fault = 0.001,
    .invalid_overrun = 0,
};

#define LIMIT(member) offsetof(struct ix_limits, member)
const struct ix_limit_doc ix_limit_docs[] = {
    {"lateness.degraded", IX_LIMIT_DURATION, LIMIT(degraded_lateness_ns), "p99 of publish.lateness above it"},
    {"lateness.invalid", IX_LIMIT_DURATION, LIMIT(invalid_lateness_ns), "p99 of publish.lateness above it"},
    {"busy.degraded", IX_LIMIT_SHARE, LIMIT(degraded_busy), "a worker's loop busier for busy.for"},
    {"wait.degraded", IX_LIMIT_SHARE, LIMIT(degraded_wait),
     "a worker waited for a CPU for more of its time, for busy.for"},
    {"busy.for", IX_LIMIT_SECONDS, LIMIT(busy_for_s), "how long the two above must last"},
    {"steal.degraded", IX_LIMIT_SHARE, LIMIT(degraded_steal),
     "CPU time that the hypervisor gave to others while the run lasted"},
    {"restarts.degraded", IX_LIMIT_COUNT, LIMIT(degraded_restarts), "more restarts of workers"},
    {"dropped.degraded", IX_LIMIT_COUNT, LIMIT(degraded_dropped),
     "more records, answers or events that found a queue between our own processes full"},
    {"ownFault.invalid", IX_LIMIT_SHARE, LIMIT(invalid_own_fault),
     "messages never sent through our own fault, of those scheduled"},
    {"overrun.invalid", IX_LIMIT_COUNT, LIMIT(invalid_overrun),
     "more messages that observers could not account for"},
    {NULL, IX_LIMIT_COUNT, 0, NULL},
};

/* ---- as text ---- */

static int set_value(char *at, const struct ix_limit_doc *limit, const char *text, struct ix_error *err)
{
    bool off = strcmp(text, "off") == 0;
    uint64_t number = UINT64_MAX;
    double share = INFINITY;
    int code = 0;
    if (limit->kind == IX_LIMIT_DURATION) {
        code = off ? 0 : ix_units_duration(text, 0, &number, err);
    } else if (limit->kind == IX_LIMIT_COUNT) {
        code = off ? 0 : ix_units_count(text, &number, err);
    } else if (limit->kind == IX_LIMIT_SECONDS) {
        code = off ? 0 : ix_units_duration(text, IX_S, &number, err);
        share = off ? INFINITY : (double)number / 1e9;
    } else if (!off) {
        char *end;
        share = strtod(text, &end);
        if (end != text && strcmp(end, "%") == 0)
            share /= 100;
        else if (end == text || *end)
            share = NAN;
        if (!(share >= 0 && share <= 1))
            code = ix_fail(err, -EINVAL, "\"%.40s\" is no share: write 90%% or 0.9", text);
    }
    if (code < 0)
        return code;
    if (limit->kind == IX_LIMIT_DURATION || limit->kind == IX_LIMIT_COUNT)
        memcpy(at, &number, sizeof(number));
    else
        memcpy(at, &share, sizeof(share));
    return 0;
}

int ix_judge_set_limit(struct ix_limits *limits, const char *text, struct ix_error *err)
{
    const char *names[IX_ARRAY_LEN(ix_limit_docs)];
    size_t len = strcspn(text, "="), count = 0;
    for (; ix_limit_docs[count].name; count++) {
        const struct ix_limit_doc *limit = &ix_limit_docs[count];
        names[count] = limit->name;
        if (strlen(limit->name) != len || strncmp(limit->name, text, len) != 0)
            continue;
        struct ix_error why;
        if (!text[len])
            return ix_fail(err, -EINVAL, "limit \"%s\" needs a value: %s=VALUE, or %s=off", text, text, text);
        if (set_value((char *)limits + limit->offset, limit, text + len + 1, &why) < 0)
            return ix_fail(err, why.code, "limit \"%.100s\": %s", text, why.text);
        return 0;
    }
    char near[512], name[64];
    snprintf(name, sizeof(name), "%.*s", (int)(len < 63 ? len : 63), text);
    ix_suggest_put(near, sizeof(near), name, names, count);
    return ix_fail(err, -EINVAL, "there is no limit \"%s\"%s", name, near);
}

static uint64_t number_of(const struct ix_limits *limits, const struct ix_limit_doc *limit)
{
    return *(const uint64_t *)((const char *)limits + limit->offset);
}

static double share_of(const struct ix_limits *limits, const struct ix_limit_doc *limit)
{
    return *(const double *)((const char *)limits + limit->offset);
}

void ix_judge_put_limit(struct ix_buf *out, const struct ix_limits *limits, const struct ix_limit_doc *limit)
{
    bool whole = limit->kind == IX_LIMIT_DURATION || limit->kind == IX_LIMIT_COUNT;
    if (whole ? number_of(limits, limit) == UINT64_MAX : !isfinite(share_of(limits, limit)))
        ix_buf_str(out, "off");
    else if (limit->kind == IX_LIMIT_DURATION)
        ix_units_put_duration(out, number_of(limits, limit));
    else if (limit->kind == IX_LIMIT_COUNT)
        ix_units_put_count(out, number_of(limits, limit));
    else if (limit->kind == IX_LIMIT_SECONDS)
        ix_buf_printf(out, "%g s", share_of(limits, limit));
    else
        ix_buf_printf(out, "%g %%", share_of(limits, limit) * 100);
}

/* ---- as a scenario writes them ---- */

/* Numbers are what they are elsewhere in Lua: seconds where a duration is wanted. */
static int set_number(struct ix_limits *limits, const struct ix_limit_doc *limit, double number,
                      struct ix_error *err)
{
    bool time = limit->kind == IX_LIMIT_DURATION || limit->kind == IX_LIMIT_SECONDS;
    bool tiny = number > 0 && number < 1e-4; /* would be written with an exponent */
    char *text = ix_asprintf(tiny ? "%s=%.9f%s" : "%s=%.15g%s", limit->name, number, time ? "s" : "");
    int code = ix_judge_set_limit(limits, text, err);
    free(text);
    return code;
}

static const struct ix_limit_doc *find_limit(const char *name)
{
    const struct ix_limit_doc *limit = ix_limit_docs;
    while (limit->name && strcmp(limit->name, name) != 0)
        limit++;
    return limit->name ? limit : NULL;
}

int ix_judge_set_limits(struct ix_limits *limits, const json_t *table, struct ix_error *err)
{
    const char *name;
    json_t *value;
    int code = 0;
    json_object_foreach((json_t *)table, name, value)
    {
        const struct ix_limit_doc *limit = find_limit(name);
        if (limit && json_is_number(value)) {
            code = set_number(limits, limit, json_number_value(value), err);
        } else {
            char *text = ix_asprintf("%s=%s", name, json_is_string(value) ? json_string_value(value) : "?");
            code = ix_judge_set_limit(limits, text, err);
            free(text);
        }
        if (code < 0)
            return code;
    }
    return 0;
}

int ix_judge_set_words(struct ix_limits *limits, const char *const *words, size_t count, struct ix_error *err)
{
    int code = 0;
    for (size_t i = 0; i < count && code == 0; i++)
        code = ix_judge_set_limit(limits, words[i], err);
    return code;
}

bool ix_judge_is_named(const struct ix_limit_doc *limit, const char *const *words, size_t count)
{
    size_t len = strlen(limit->name);
    for (size_t i = 0; i < count; i++)
        if (strncmp(words[i], limit->name, len) == 0 && words[i][len] == '=')
            return true;
    return false;
}
