/* What conditions, triggers and scripts of a model want to know about a device. C decides when; what then
 * happens is the hooks' business. A hook may stop or fail its device: after each call, look again. */
#include "device/internal.h"

#include <stdlib.h>

static bool is_started(const struct ix_device *d)
{
    return d->flags & IX_DF_STARTED;
}

static bool is_native(const struct ix_behavior *behavior)
{
    return !behavior->handler && !behavior->is_states;
}

int ix_behavior_open(struct ix_device *d, struct ix_error *err)
{
    const struct ix_group *group = d->group;
    d->flags |= IX_DF_STARTED;
    d->flags &= (uint8_t)~IX_DF_TOLD_STOP;
    if (group->needs_extra) {
        struct ix_device_extra *extra = ix_device_extra(d);
        size_t streams = group->model->attribute_count;
        if (group->keep_values) {
            extra->values = ix_calloc(streams + 1, sizeof(*extra->values));
            extra->texts = ix_calloc(streams + 1, sizeof(*extra->texts));
        }
        if (group->has_triggers)
            extra->behaviors = ix_calloc(group->model->behavior_count, sizeof(*extra->behaviors));
    }
    return ix_overrides_open_device(d, err);
}

static void tell_stop(struct ix_device *d)
{
    const struct ix_hooks *hooks = &d->group->engine->config.hooks;
    if (!is_started(d) || (d->flags & IX_DF_TOLD_STOP))
        return;
    d->flags |= IX_DF_TOLD_STOP;
    bool wanted = (d->group->hooks & IX_HOOK_STOP) || ix_device_script(d);
    if (wanted && hooks->device_stop)
        hooks->device_stop(hooks->context, d->group->script, d);
}

void ix_behavior_stopping(struct ix_device *d)
{
    tell_stop(d);
}

void ix_behavior_close(struct ix_device *d)
{
    if (!is_started(d))
        return;
    tell_stop(d); /* those that end in error */
    d->flags &= (uint8_t)~IX_DF_STARTED;
    ix_overrides_close_device(d);
    struct ix_device_extra *extra = d->extra;
    if (!extra)
        return;
    for (size_t s = 0; extra->texts && s < d->group->model->attribute_count; s++)
        free(extra->texts[s]);
    free(extra->texts);
    free(extra->values);
    free(extra->behaviors);
    extra->texts = NULL;
    extra->values = NULL;
    extra->behaviors = NULL;
    extra->leave_ns = UINT64_MAX;
}

void ix_behavior_keep(struct ix_device *d, size_t stream, const struct ix_value *value)
{
    struct ix_device_extra *extra = d->extra;
    if (!extra || !extra->values)
        return;
    struct ix_value *kept = &extra->values[stream];
    *kept = *value;
    if (value->kind != IX_V_STRING && value->kind != IX_V_JSON && value->kind != IX_V_BYTES)
        return;
    extra->texts[stream] = ix_realloc(extra->texts[stream], value->text.len + 1);
    memcpy(extra->texts[stream], value->text.data, value->text.len);
    kept->text.data = extra->texts[stream];
}

static void fire(struct ix_device *d, size_t place, const json_t *parameters, uint64_t now_ns)
{
    const struct ix_hooks *hooks = &d->group->engine->config.hooks;
    const struct ix_behavior *behavior = &d->group->model->behaviors[place];
    struct ix_behavior_state *state = &d->extra->behaviors[place];
    if (state->fired && now_ns - state->fired_ns < behavior->cooldown_ns)
        return;
    state->fired = true;
    state->fired_ns = now_ns;
    ix_device_count(d, IX_C_BEHAVIORS_FIRED, 1);
    if ((d->group->hooks & IX_HOOK_FIRED) && hooks->fired)
        hooks->fired(hooks->context, d->group->script, d, place, parameters);
}

static bool has_triggers(const struct ix_device *d)
{
    return is_started(d) && d->extra && d->extra->behaviors;
}

/* All behaviours with a trigger of this kind. */
static void fire_all(struct ix_device *d, enum ix_trigger trigger, size_t command, const json_t *parameters,
                     uint64_t now_ns)
{
    const struct ix_model *model = d->group->model;
    for (size_t i = 0; i < model->behavior_count && has_triggers(d); i++) {
        const struct ix_behavior *behavior = &model->behaviors[i];
        if (is_native(behavior) && behavior->trigger == trigger &&
            (trigger != IX_ON_COMMAND || behavior->command == command))
            fire(d, i, parameters, now_ns);
    }
}

void ix_behavior_connected(struct ix_device *d, bool first, uint64_t now_ns)
{
    const struct ix_hooks *hooks = &d->group->engine->config.hooks;
    const struct ix_model *model = d->group->model;
    for (size_t i = 0; i < model->behavior_count && has_triggers(d); i++) {
        struct ix_behavior_state *state = &d->extra->behaviors[i];
        uint64_t interval = model->behaviors[i].interval_ns;
        if (!is_native(&model->behaviors[i]) || model->behaviors[i].trigger != IX_ON_INTERVAL || !interval)
            continue;
        /* What came due while it was away is not made up for. */
        uint64_t base = d->row->base_ns, past = now_ns > base ? now_ns - base : 0;
        if (first || state->next_ns <= now_ns)
            state->next_ns = base + (past / interval + 1) * interval;
    }
    if ((d->group->hooks & IX_HOOK_CONNECT) && hooks->connected)
        hooks->connected(hooks->context, d->group->script, d);
    fire_all(d, IX_ON_CONNECT, 0, NULL, now_ns);
}

void ix_behavior_commanded(struct ix_device *d, size_t command, const json_t *parameters, uint64_t now_ns)
{
    fire_all(d, IX_ON_COMMAND, command, parameters, now_ns);
}

static void tell_samples(struct ix_device *d, uint64_t mask, uint64_t due_ns)
{
    const struct ix_hooks *hooks = &d->group->engine->config.hooks;
    if (!(d->group->hooks & IX_HOOK_TELEMETRY) || !hooks->telemetry)
        return;
    for (size_t s = 0; s < d->group->model->attribute_count && is_started(d); s++) {
        uint64_t tick;
        if (!(mask >> (s < 63 ? s : 63) & 1) || (s >= 63 && !ix_telemetry_is_due(d, s, due_ns, &tick)))
            continue;
        hooks->telemetry(hooks->context, d->group->script, d, s, &d->extra->values[s]);
    }
}

void ix_behavior_sampled(struct ix_device *d, uint64_t mask, uint64_t due_ns)
{
    const struct ix_model *model = d->group->model;
    tell_samples(d, mask, due_ns);
    for (size_t i = 0; i < model->behavior_count && has_triggers(d) && d->extra->values; i++) {
        const struct ix_behavior *behavior = &model->behaviors[i];
        if (!is_native(behavior) || behavior->trigger != IX_ON_CONDITION || !behavior->condition ||
            !(ix_expression_uses(behavior->condition) & mask))
            continue;
        struct ix_behavior_state *state = &d->extra->behaviors[i];
        bool held = state->held;
        state->held = ix_expression_holds(behavior->condition, d->extra->values);
        if (state->held && (behavior->level || !held))
            fire(d, i, NULL, due_ns);
    }
}

uint64_t ix_behavior_next(const struct ix_device *d)
{
    uint64_t next = UINT64_MAX;
    if (d->row->status != IX_D_RUNNING || !has_triggers(d))
        return next;
    const struct ix_model *model = d->group->model;
    for (size_t i = 0; i < model->behavior_count; i++) {
        uint64_t at = d->extra->behaviors[i].next_ns;
        if (at && at < next)
            next = at;
    }
    return next;
}

void ix_behavior_run(struct ix_device *d, uint64_t now_ns)
{
    const struct ix_model *model = d->group->model;
    for (size_t i = 0; i < model->behavior_count; i++) {
        if (d->row->status != IX_D_RUNNING || !has_triggers(d))
            return;
        struct ix_behavior_state *state = &d->extra->behaviors[i];
        uint64_t interval = model->behaviors[i].interval_ns, due = state->next_ns;
        if (!due || due > now_ns)
            continue;
        state->next_ns = due + ((now_ns - due) / interval + 1) * interval;
        fire(d, i, NULL, due);
    }
}
