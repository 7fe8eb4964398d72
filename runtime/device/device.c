/* A device as scripts and outputs see it. */
#include "base/random.h"
#include "device/internal.h"

#include <stdlib.h>

void ix_device_put_id(const struct ix_device *d, struct ix_buf *out)
{
    const char *name = ix_device_name(d);
    if (name)
        ix_buf_str(out, name);
    else
        ix_id_pattern_render(&d->group->pattern, d->row->index, out);
}

const char *ix_device_group_id(const struct ix_device *d)
{
    return d->group->id;
}

uint64_t ix_device_index(const struct ix_device *d)
{
    return d->row->index;
}

const char *ix_device_tags(const struct ix_device *d)
{
    return d->group->tags;
}

const struct ix_model *ix_device_model(const struct ix_device *d)
{
    return d->group->model;
}

struct ix_engine *ix_device_engine(const struct ix_device *d)
{
    return d->group->engine;
}

uint64_t ix_device_random_key(const struct ix_device *d)
{
    return ix_random_key(d->group->random_key, d->row->index); /* = ix_device_key */
}

static bool scope_value(void *context, size_t place, struct ix_value *out)
{
    return ix_device_value(context, place, out);
}

struct ix_template_scope ix_device_scope(struct ix_device *d, uint64_t instant_ns)
{
    struct ix_engine *engine = d->group->engine;
    ix_buf_clear(&engine->id);
    ix_device_put_id(d, &engine->id);
    return (struct ix_template_scope){.device_id = ix_buf_cstr(&engine->id),
                                      .device_id_len = engine->id.len,
                                      .model_id = d->group->model->id,
                                      .group_id = d->group->label,
                                      .index = d->row->index,
                                      .wall_ns = ix_clock_wall(&engine->loop->clock, instant_ns),
                                      .value = scope_value,
                                      .context = d};
}

bool ix_device_value(struct ix_device *d, size_t stream, struct ix_value *out)
{
    if (stream >= d->group->model->attribute_count)
        return false;
    if (d->extra && d->extra->values && d->extra->values[stream].kind != IX_V_NONE) {
        *out = d->extra->values[stream];
        return true;
    }
    struct ix_draw draw = {.key = ix_draw_key(ix_device_random_key(d), stream)};
    uint64_t instant;
    if (!d->row->sent || !ix_telemetry_last_tick(d, stream, &draw.tick, &instant))
        return false;
    const struct ix_generator *generator = ix_device_generator_at(d, stream, instant);
    if (!generator->class->pure)
        return false;
    draw.wall_ns = ix_clock_wall(&d->group->engine->loop->clock, instant);
    return generator->class->sample(generator, &draw, out, NULL) >= 0;
}

int ix_device_publish(struct ix_device *d, const struct ix_message *message, uint64_t due_ns)
{
    struct ix_message own = *message;
    ix_device_count(d, IX_C_SCHEDULED, 1);
    if (!own.topic) {
        struct ix_buf *topic = &d->group->engine->topic;
        struct ix_template_scope scope = ix_device_scope(d, due_ns);
        ix_buf_clear(topic);
        ix_template_render(d->group->model->connection.topic, &scope, topic);
        own.topic = ix_buf_cstr(topic);
    }
    return ix_inflight_publish(d, &own, due_ns);
}

struct ix_device_extra *ix_device_extra(struct ix_device *d)
{
    if (!d->extra) {
        d->extra = ix_calloc(1, sizeof(*d->extra));
        d->extra->leave_ns = UINT64_MAX;
    }
    return d->extra;
}

void ix_device_free_extra(struct ix_device *d)
{
    if (!d->extra)
        return;
    ix_overrides_free(d->extra->overrides, d->group->model->attribute_count);
    ix_queue_free(d->extra);
    free(d->extra);
    d->extra = NULL;
}

void *ix_device_script(const struct ix_device *d)
{
    return d->extra ? d->extra->script : NULL;
}

void ix_device_set_script(struct ix_device *d, void *script)
{
    if (script || d->extra)
        ix_device_extra(d)->script = script;
}
