/* From a group's specification to its devices. */
#include "base/random.h"
#include "device/internal.h"

#include <stdlib.h>

static bool is_combined(const struct ix_group *group)
{
    return group->model->connection.combined;
}

static char *json_text(const char *before, const char *text, size_t len, const char *after, size_t *out_len)
{
    struct ix_buf quoted;
    ix_buf_init(&quoted, 1 << 20);
    ix_text_json_string(&quoted, text, len);
    char *joined = ix_asprintf("%s%.*s%s", before, (int)quoted.len - 2, quoted.data + 1, after);
    ix_buf_deinit(&quoted);
    *out_len = strlen(joined);
    return joined;
}

/* What the hot path would otherwise compute for each message. */
static void prepare(struct ix_group *group)
{
    const struct ix_model *model = group->model;
    group->head_json =
        json_text("{\"deviceId\":\"", group->pattern.prefix, group->pattern.prefix_len, "", &group->head_len);
    group->tail_json = json_text("", group->pattern.suffix, group->pattern.suffix_len, "\",\"timestamp\":\"",
                                 &group->tail_len);
    bool stateful = false;
    for (size_t s = 0; s < model->attribute_count; s++) {
        const struct ix_attribute *attribute = &model->attributes[s];
        if (is_combined(group) && attribute->phase == IX_PHASE_RANDOM &&
            (!group->combined_phase_ns || attribute->interval_ns < group->combined_phase_ns))
            group->combined_phase_ns = attribute->interval_ns;
        const struct ix_generator_class *class = group->generators[s].class;
        stateful = stateful || (!class->pure && !class->timed);
    }
    for (size_t i = 0; i < model->behavior_count; i++) {
        const struct ix_behavior *behavior = &model->behaviors[i];
        group->has_triggers = group->has_triggers || (!behavior->handler && !behavior->is_states);
    }
    group->queues = model->connection.queue != IX_QUEUE_NONE;
    group->late_ns = model->connection.late_after_ns;
    group->keep_values = model->needs_values || group->hooks || stateful;
    group->needs_extra = group->keep_values || group->has_triggers;
}

static int open_generators(struct ix_group *group, struct ix_error *err)
{
    const struct ix_model *model = group->model;
    group->generators = ix_calloc(model->attribute_count + 1, sizeof(*group->generators));
    group->overrides = ix_calloc(model->attribute_count + 1, sizeof(struct ix_override *));
    for (size_t s = 0; s < model->attribute_count; s++) {
        struct ix_generator *generator = &group->generators[s];
        int rc = ix_generator_open(generator, &model->attributes[s].generator, model, err);
        if (rc < 0) {
            generator->class = NULL;
            ix_error_prefix(err, "model \"%s\", attribute \"%s\"", model->id, model->attributes[s].name);
            return rc;
        }
    }
    return 0;
}

static int open_transports(struct ix_group *group, const struct ix_group_spec *spec, struct ix_error *err)
{
    struct ix_engine *engine = group->engine;
    const struct ix_connection_spec *connection = &group->model->connection;
    group->protocol = engine->config.find_protocol(connection->protocol, err);
    if (!group->protocol)
        return err && err->code ? err->code : -EPROTONOSUPPORT;
    unsigned bit = 1u << connection->protocol;
    if (!(engine->protocols_ready & bit)) {
        int rc = group->protocol->init ? group->protocol->init(err) : 0;
        if (rc < 0)
            return rc;
        engine->protocols_ready |= bit;
    }
    if (spec->target_count == 0)
        return ix_fail(err, -EINVAL, "no address to connect to");
    group->transports = ix_calloc(spec->target_count, sizeof(struct ix_transport *));
    group->targets = ix_calloc(spec->target_count, sizeof(*group->targets));
    memcpy(group->targets, spec->targets, spec->target_count * sizeof(*group->targets));
    for (size_t s = 0; s < group->model->attribute_count; s++)
        group->is_stamping = group->is_stamping || group->model->attributes[s].generator.kind == IX_GEN_STAMP;
    for (; group->target_count < spec->target_count; group->target_count++) {
        int rc = group->protocol->open(engine->loop, connection, &spec->targets[group->target_count],
                                       &ix_device_events, &group->transports[group->target_count], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int parse_model(struct ix_group *group, const struct ix_group_spec *spec, struct ix_error *err)
{
    const struct ix_engine_config *config = &group->engine->config;
    /* The controller has shown unknown keys to the user already. */
    struct ix_model_options options = {.folder = spec->model_folder,
                                       .allowed_env = config->allowed_env,
                                       .allowed_env_count = config->allowed_env_count,
                                       .lenient = true,
                                       .foreign = !spec->model_folder};
    struct ix_faults faults;
    ix_faults_init(&faults);
    group->model = ix_model_parse(spec->model, strlen(spec->model), &options, &faults);
    int rc = group->model ? 0 : ix_faults_fail(&faults, "its model", err);
    ix_faults_deinit(&faults);
    if (!group->model)
        return rc < 0 ? rc : -EINVAL;
    return ix_gateway_open(&group->gateway, group->model, &options, err);
}

static int open_hooks(struct ix_group *group, struct ix_error *err)
{
    const struct ix_hooks *hooks = &group->engine->config.hooks;
    if (!hooks->model_open || group->model->behavior_count == 0)
        return 0;
    return hooks->model_open(hooks->context, group->model, &group->script, &group->hooks, err);
}

static int group_open(struct ix_engine *engine, const struct ix_record *record, struct ix_group **out,
                      struct ix_error *err)
{
    const struct ix_group_spec *spec = &record->spec;
    struct ix_group *group = ix_calloc(1, sizeof(*group));
    group->engine = engine;
    group->id = ix_strdup(record->group);
    group->key = ix_hash64(record->group, strlen(record->group));
    group->random_key = ix_random_key(engine->config.seed, group->key);
    group->pattern_text = ix_strdup(spec->id_pattern);
    group->tags = ix_strdup(spec->tags ? spec->tags : "");
    group->label = ix_strdup(spec->label && spec->label[0] ? spec->label : record->group);
    group->names_base = spec->names_base;
    group->stop.wheel.fire = ix_group_stop_due;
    group->model_hash = ix_hash64(spec->model, strlen(spec->model));

    int rc =
        ix_id_pattern_compile(&group->pattern, *spec->id_pattern ? spec->id_pattern : NULL, group->id, err);
    if (rc == 0)
        rc = parse_model(group, spec, err);
    if (rc == 0)
        group->title = spec->label && spec->label[0] ? ix_asprintf("single devices of %s", group->model->id)
                                                     : ix_strdup(group->id);
    if (rc == 0)
        rc = ix_ledger_check_group(group, err);
    if (rc == 0)
        rc = open_generators(group, err);
    if (rc == 0)
        rc = open_hooks(group, err);
    if (rc == 0)
        rc = open_transports(group, spec, err);
    if (rc == 0 && spec->sources.count) {
        group->sources.items = ix_calloc(spec->sources.count, sizeof(*spec->sources.items));
        memcpy(group->sources.items, spec->sources.items, spec->sources.count * sizeof(*spec->sources.items));
        group->sources.count = spec->sources.count;
    }
    if (rc == 0) {
        group->metrics = ix_segment_group(engine->segment, group->id);
        if (!group->metrics)
            rc = ix_fail(err, -ENOSPC, "a run has at most %d groups", IX_SEGMENT_GROUPS);
        else if (!group->metrics->qos)
            group->metrics->qos = (uint8_t)(1 + group->model->connection.qos);
    }
    if (rc < 0) {
        ix_group_free(group, false);
        return rc;
    }
    prepare(group);
    *out = group;
    return 0;
}

static struct ix_device *slot_of_row(struct ix_group *group, uint32_t row)
{
    struct ix_engine *engine = group->engine;
    struct ix_device **chunk = &engine->chunks[row / IX_SLOT_CHUNK];
    if (!*chunk) { /* a slot then lies in two cache lines, never in three */
        size_t size = IX_SLOT_CHUNK * sizeof(struct ix_device);
        IX_REQUIRE((*chunk = aligned_alloc(64, size)) != NULL);
        memset(*chunk, 0, size);
    }
    struct ix_device *d = &(*chunk)[row % IX_SLOT_CHUNK];
    uint32_t generation = d->generation;
    *d = (struct ix_device){.group = group, .row = &engine->segment->rows[row], .generation = generation};
    d->wheel.fire = ix_device_due;
    return d;
}

#define NO_SLOT UINT32_MAX

/* Rows of this group that the predecessor left, and the slots that the group has already. */
static void find_slots(const struct ix_group *group, const struct ix_place *place, uint32_t *slots)
{
    struct ix_engine *engine = group->engine;
    for (uint64_t position = 0; position < group->slot_count; position++) {
        uint64_t index = ix_engine_slot(engine, group->slots[position])->row->index;
        slots[ix_place_position(place, index)] = group->slots[position];
    }
    for (uint32_t row = 0; row < engine->inherited; row++) {
        const struct ix_device_row *r = &engine->segment->rows[row];
        if (r->group_key != group->key || !ix_place_has(place, r->index))
            continue;
        uint64_t position = ix_place_position(place, r->index);
        if (position < place->count && slots[position] == NO_SLOT)
            slots[position] = row;
    }
}

static int take_slots(struct ix_group *group, const struct ix_place *place, uint32_t *slots,
                      struct ix_error *err)
{
    struct ix_engine *engine = group->engine;
    uint64_t missing = 0;
    for (uint64_t position = 0; position < place->count; position++)
        missing += slots[position] == NO_SLOT;
    if (missing > engine->free_count + (uint64_t)(IX_SEGMENT_ROWS - engine->segment->rows_used))
        return ix_fail(err, -ENOSPC,
                       "%llu more devices do not fit: one worker holds at most %d; use more workers",
                       (unsigned long long)missing, IX_SEGMENT_ROWS);
    for (uint64_t position = 0; position < place->count; position++) {
        uint32_t row;
        if (slots[position] != NO_SLOT)
            continue;
        IX_REQUIRE(ix_engine_take_row(engine, &row, NULL) == 0);
        engine->segment->rows[row] = (struct ix_device_row){
            .group_key = group->key, .index = (uint32_t)ix_place_index(place, position)};
        slots[position] = row;
    }
    return 0;
}

/* Names that the spec adds. */
static void take_names(struct ix_group *group, const struct ix_group_spec *spec)
{
    const char *at = spec->names;
    for (uint64_t index = spec->names_first; at && index < spec->count; index++) {
        size_t len = strcspn(at, "\n");
        uint64_t place = index - group->names_base;
        if (index >= group->names_base && place >= group->name_count) {
            group->names = ix_realloc(group->names, (place + 1) * sizeof(*group->names));
            memset(&group->names[group->name_count], 0,
                   (place + 1 - group->name_count) * sizeof(*group->names));
            group->name_count = place + 1;
        }
        if (index >= group->names_base && !group->names[place] && len)
            group->names[place] = ix_strndup(at, len);
        at = at[len] ? at + len + 1 : NULL;
    }
}

static void take_gone(struct ix_group *group, const struct ix_group_spec *spec)
{
    for (size_t i = 0; i < spec->gone_count; i++) {
        struct ix_device *d = ix_group_device(group, spec->gone[i]);
        if (d)
            ix_device_remove(d);
    }
}

/* Devices are added, never taken away; deleted ones leave holes. */
static int place_devices(struct ix_group *group, const struct ix_group_spec *spec, struct ix_error *err)
{
    struct ix_place place;
    ix_place_init(&place, spec->shards, group->key, spec->count);
    for (uint64_t position = 0; position < group->slot_count; position++) {
        uint64_t index = ix_engine_slot(group->engine, group->slots[position])->row->index;
        if (!ix_place_has(&place, index) || index >= spec->count)
            return ix_fail(err, -EINVAL,
                           "group \"%s\": device %llu lives here already and can't be taken away", group->id,
                           (unsigned long long)index);
    }
    uint32_t *slots = ix_malloc((place.count + 1) * sizeof(*slots));
    memset(slots, 0xff, (place.count + 1) * sizeof(*slots));
    find_slots(group, &place, slots);
    int rc = take_slots(group, &place, slots, err);
    if (rc < 0) {
        free(slots);
        return rc;
    }
    free(group->slots);
    group->slots = slots;
    group->slot_count = place.count;
    group->place = place;
    group->count = spec->count;
    take_names(group, spec);
    for (uint64_t position = 0; position < place.count; position++) {
        uint32_t row = slots[position];
        struct ix_device **chunk = &group->engine->chunks[row / IX_SLOT_CHUNK];
        if (*chunk && ix_engine_slot(group->engine, row)->group)
            continue;
        ix_device_resume(slot_of_row(group, row));
    }
    take_gone(group, spec);
    return 0;
}

/* The same group again, on more shards or with a higher count. */
static int group_grow(struct ix_group *group, const struct ix_group_spec *spec, struct ix_error *err)
{
    if (strcmp(group->pattern_text, spec->id_pattern) != 0 ||
        group->model_hash != ix_hash64(spec->model, strlen(spec->model)))
        return ix_fail(err, -EEXIST, "group \"%s\" exists already, with another model or id pattern",
                       group->id);
    uint64_t before = group->slot_count;
    int rc = place_devices(group, spec, err);
    return rc < 0 || group->slot_count == before ? rc : ix_group_repeat_orders(group, err);
}

/* Also one of which only a predecessor knew: its rows and its place among the metrics are free again. */
static void remove_group(struct ix_engine *engine, const char *id, struct ix_group *group)
{
    struct ix_group_metrics *metrics = (struct ix_group_metrics *)ix_segment_find_group(engine->segment, id);
    struct ix_group **link = &engine->groups;
    while (*link && *link != group)
        link = &(*link)->next;
    if (group) {
        *link = group->next;
        ix_group_free(group, true);
    } else {
        uint64_t key = ix_hash64(id, strlen(id));
        for (uint32_t row = 0; row < engine->inherited; row++) {
            if (engine->segment->rows[row].group_key != key)
                continue;
            engine->segment->rows[row] = (struct ix_device_row){0};
            engine->free_rows[engine->free_count++] = row;
        }
    }
    if (metrics)
        ix_segment_release_group(engine->segment, metrics);
}

int ix_group_apply_spec(struct ix_engine *engine, const struct ix_record *record, struct ix_error *err)
{
    struct ix_group *group = ix_engine_group(engine, record->group);
    if (record->spec.count == 0) {
        remove_group(engine, record->group, group);
        return 0;
    }
    if (group)
        return group_grow(group, &record->spec, err);
    int rc = group_open(engine, record, &group, err);
    if (rc == 0) {
        rc = place_devices(group, &record->spec, err);
        if (rc < 0)
            ix_group_free(group, true);
    }
    if (rc < 0) {
        ix_error_prefix(err, "group \"%s\"", record->group);
        return rc;
    }
    group->next = engine->groups;
    engine->groups = group;
    return 0;
}

struct ix_device *ix_group_device(struct ix_group *group, uint64_t index)
{
    if (!group->slots || !ix_place_has(&group->place, index))
        return NULL;
    uint64_t position = ix_place_position(&group->place, index);
    return position < group->slot_count ? ix_engine_slot(group->engine, group->slots[position]) : NULL;
}

static void free_devices(struct ix_group *group, bool forget_rows)
{
    struct ix_engine *engine = group->engine;
    for (uint64_t position = 0; position < group->slot_count; position++) {
        struct ix_device *d = ix_engine_slot(engine, group->slots[position]);
        if (d->flags & IX_DF_WAITING)
            ix_queue_forget(d, IX_C_NEVER_SENT_BACKPRESSURE);
        ix_device_end_link(d, forget_rows && d->stage == IX_S_UP ? IX_WAY_CLOSE : IX_WAY_ABORT);
        if (forget_rows)
            ix_device_set_link(d, IX_L_DISCONNECTED);
        ix_device_set_stage(d, IX_S_IDLE, 0);
        ix_behavior_close(d);
        ix_device_free_extra(d);
        ix_wheel_cancel(engine->loop->wheel, &d->wheel); /* a hook may have asked for something */
        if (forget_rows) {
            group->metrics->by_status[d->row->status] -= !(d->row->flags & IX_ROW_GONE);
            *d->row = (struct ix_device_row){0};
            engine->segment->ledger_rows[group->slots[position]] = 0;
            engine->free_rows[engine->free_count++] = group->slots[position];
        }
        d->group = NULL;
        d->generation++;
    }
    free(group->slots);
}

/* Also for one that was opened only in part. */
void ix_group_free(struct ix_group *group, bool forget_rows)
{
    struct ix_engine *engine = group->engine;
    const struct ix_hooks *hooks = &engine->config.hooks;
    ix_group_cancel_jobs(group, NULL);
    ix_wheel_cancel(engine->loop->wheel, &group->stop.wheel);
    free_devices(group, forget_rows);
    ix_group_deinit_dropouts(group);
    ix_group_deinit_orders(group);
    for (size_t i = 0; i < group->target_count; i++)
        group->protocol->release(group->transports[i]);
    free(group->transports);
    free(group->targets);
    ix_sources_deinit(&group->sources);
    if (group->script && hooks->model_close)
        hooks->model_close(hooks->context, group->script);
    size_t streams = group->model ? group->model->attribute_count : 0;
    for (size_t s = 0; s < streams && group->generators; s++) {
        if (group->generators[s].class)
            ix_generator_close(&group->generators[s]);
    }
    free(group->generators);
    ix_overrides_free(group->overrides, streams);
    ix_gateway_free(group->gateway);
    if (group->model)
        ix_model_free(group->model);
    ix_id_pattern_deinit(&group->pattern);
    free(group->head_json);
    free(group->tail_json);
    free(group->pattern_text);
    free(group->tags);
    free(group->label);
    free(group->title);
    for (uint64_t i = 0; i < group->name_count; i++)
        free(group->names[i]);
    free(group->names);
    free(group->id);
    free(group);
    ix_engine_idle(engine);
}
