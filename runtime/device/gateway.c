#include "device/gateway.h"

#include "base/random.h"
#include "device/internal.h"

#include <stdlib.h>

#define ID_MAX 4096

/* Children of one kind. All of a gateway's children of a kind share their schedule, so that their values
 * come together. */
struct kind {
    struct ix_model *model;
    struct ix_generator *generators; /* per stream */
    struct ix_template *id;          /* {deviceId} is the gateway's, {index} the child's */
    uint64_t count;
    uint64_t *ticks; /* scratch, per stream: due now with this tick; UINT64_MAX: not due */
};

struct ix_gateway {
    struct kind *kinds;
    size_t kind_count;
    struct ix_buf id; /* scratch */
};

static int fail_at(struct ix_error *err, size_t place, int rc)
{
    ix_error_prefix(err, "children[%zu]", place);
    return rc;
}

static int open_model(struct kind *kind, const json_t *json, const struct ix_model_options *options,
                      struct ix_error *err)
{
    const json_t *model = json_object_get(json, "model");
    if (!json_is_object(model))
        return ix_fail(err, -EINVAL, "model \"%s\" did not come with the gateway's",
                       json_is_string(model) ? json_string_value(model) : "?");
    struct ix_faults faults;
    ix_faults_init(&faults);
    kind->model = ix_model_compile(model, options, &faults);
    int rc = kind->model ? 0 : ix_faults_fail(&faults, "model", err);
    ix_faults_deinit(&faults);
    return kind->model || rc < 0 ? rc : -EINVAL;
}

static int open_generators(struct kind *kind, struct ix_error *err)
{
    kind->generators = ix_calloc(kind->model->attribute_count + 1, sizeof(*kind->generators));
    kind->ticks = ix_calloc(kind->model->attribute_count + 1, sizeof(*kind->ticks));
    for (size_t s = 0; s < kind->model->attribute_count; s++) {
        const struct ix_attribute *attribute = &kind->model->attributes[s];
        int rc = ix_generator_open(&kind->generators[s], &attribute->generator, kind->model, err);
        if (rc < 0) {
            kind->generators[s].class = NULL;
        } else if (!kind->generators[s].class->pure) {
            rc = ix_fail(err, -EINVAL, "devices behind a gateway need a native generator, not \"%s\"",
                         kind->generators[s].class->name);
        }
        if (rc < 0) {
            ix_error_prefix(err, "model \"%s\", attribute \"%s\"", kind->model->id, attribute->name);
            return rc;
        }
    }
    return 0;
}

static int open_id(struct kind *kind, const json_t *json, struct ix_error *err)
{
    const char *pattern = json_string_value(json_object_get(json, "idPattern"));
    struct ix_template_names names = {0};
    struct ix_faults faults;
    ix_faults_init(&faults);
    kind->id = ix_template_compile(pattern ? pattern : "{deviceId}-{index}", &names, &faults, "idPattern");
    int rc = kind->id ? 0 : ix_faults_fail(&faults, "children", err);
    ix_faults_deinit(&faults);
    return kind->id || rc < 0 ? rc : -EINVAL;
}

int ix_gateway_open(struct ix_gateway **out, const struct ix_model *model,
                    const struct ix_model_options *options, struct ix_error *err)
{
    *out = NULL;
    size_t count = json_array_size(model->children);
    if (count == 0)
        return 0;
    struct ix_gateway *gateway = ix_calloc(1, sizeof(*gateway));
    ix_buf_init(&gateway->id, ID_MAX);
    gateway->kinds = ix_calloc(count, sizeof(*gateway->kinds));
    for (; gateway->kind_count < count; gateway->kind_count++) {
        struct kind *kind = &gateway->kinds[gateway->kind_count];
        const json_t *json = json_array_get(model->children, gateway->kind_count);
        const json_t *number = json_object_get(json, "count");
        kind->count = number ? (uint64_t)json_integer_value(number) : 1;
        int rc = open_model(kind, json, options, err);
        if (rc == 0)
            rc = open_generators(kind, err);
        if (rc == 0)
            rc = open_id(kind, json, err);
        if (rc < 0) {
            size_t place = gateway->kind_count++;
            ix_gateway_free(gateway);
            return fail_at(err, place, rc);
        }
    }
    *out = gateway;
    return 0;
}

void ix_gateway_free(struct ix_gateway *gateway)
{
    if (!gateway)
        return;
    for (size_t i = 0; i < gateway->kind_count; i++) {
        struct kind *kind = &gateway->kinds[i];
        for (size_t s = 0; kind->generators && s < kind->model->attribute_count; s++) {
            if (kind->generators[s].class)
                ix_generator_close(&kind->generators[s]);
        }
        free(kind->generators);
        free(kind->ticks);
        if (kind->id)
            ix_template_free(kind->id);
        if (kind->model)
            ix_model_free(kind->model);
    }
    free(gateway->kinds);
    ix_buf_deinit(&gateway->id);
    free(gateway);
}

/* Instant of tick 0 of a kind's stream. */
static uint64_t first_instant(const struct ix_device *d, const struct kind *kind, size_t place, size_t stream)
{
    const struct ix_attribute *attribute = &kind->model->attributes[stream];
    if (attribute->phase == IX_PHASE_ZERO)
        return d->row->base_ns;
    if (attribute->phase == IX_PHASE_FIXED)
        return d->row->base_ns + attribute->phase_ns;
    uint64_t key = ix_random_key(ix_device_random_key(d), IX_DRAWS_PHASE);
    return d->row->base_ns +
           ix_telemetry_random_phase(key, ix_random_key(place + 1, stream), attribute->interval_ns);
}

uint64_t ix_gateway_next(const struct ix_gateway *gateway, const struct ix_device *d)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < gateway->kind_count; i++) {
        const struct kind *kind = &gateway->kinds[i];
        for (size_t s = 0; s < kind->model->attribute_count; s++) {
            uint64_t instant = ix_telemetry_after_cursor(d->row, first_instant(d, kind, i, s),
                                                         kind->model->attributes[s].interval_ns);
            if (instant < next)
                next = instant;
        }
    }
    return next;
}

/* One child: opened by its first value of the instant. */
static bool put_child(struct ix_gateway *gateway, struct ix_device *d, const struct kind *kind, size_t place,
                      uint64_t child, uint64_t instant_ns, struct ix_buf *out)
{
    int64_t wall = ix_clock_wall(&d->group->engine->loop->clock, instant_ns);
    uint64_t key = ix_random_key(ix_random_key(ix_device_random_key(d), IX_DRAWS_CHILD + place), child);
    bool opened = false;
    for (size_t s = 0; s < kind->model->attribute_count; s++) {
        struct ix_draw draw = {.key = ix_draw_key(key, s), .tick = kind->ticks[s], .wall_ns = wall};
        struct ix_value value;
        struct ix_error err;
        const struct ix_generator *generator = &kind->generators[s];
        if (kind->ticks[s] == UINT64_MAX)
            continue;
        if (generator->class->sample(generator, &draw, &value, &err) < 0) {
            ix_log_repeat(IX_LOG_WARN, d->group->title, err.text);
            continue;
        }
        if (!opened) {
            struct ix_template_scope scope = ix_device_scope(d, instant_ns);
            scope.index = child;
            ix_buf_clear(&gateway->id);
            ix_template_render(kind->id, &scope, &gateway->id);
            ix_buf_str(out, out->data[out->len - 1] == '[' ? "{\"deviceId\":" : ",{\"deviceId\":");
            ix_text_json_string(out, ix_buf_cstr(&gateway->id), gateway->id.len);
            opened = true;
        }
        ix_buf_char(out, ',');
        ix_buf_str(out, kind->model->attributes[s].json_key);
        ix_value_put_json(out, &value);
    }
    if (opened)
        ix_buf_char(out, '}');
    return opened;
}

bool ix_gateway_put(struct ix_gateway *gateway, struct ix_device *d, uint64_t instant_ns, struct ix_buf *out)
{
    bool any = false;
    ix_buf_str(out, ",\"children\":[");
    for (size_t i = 0; i < gateway->kind_count; i++) {
        const struct kind *kind = &gateway->kinds[i];
        bool due = false;
        for (size_t s = 0; s < kind->model->attribute_count; s++) {
            uint64_t first = first_instant(d, kind, i, s), interval = kind->model->attributes[s].interval_ns;
            bool is_due = instant_ns >= first && (instant_ns - first) % interval == 0;
            kind->ticks[s] = is_due ? (instant_ns - first) / interval : UINT64_MAX;
            due = due || is_due;
        }
        for (uint64_t child = 0; due && child < kind->count && !out->overflow; child++)
            any = put_child(gateway, d, kind, i, child, instant_ns, out) || any;
    }
    ix_buf_char(out, ']');
    return any;
}
