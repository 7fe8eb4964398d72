/* Generators whose settings differ from the model's: of one device, or of a whole group. */
#include "base/suggest.h"
#include "device/internal.h"

#include <stdlib.h>

/* Changes within one interval of which the earlier ones are remembered. */
#define BEFORE_MAX 8

static void free_overrides_from(struct ix_override *override)
{
    while (override) {
        struct ix_override *before = override->before;
        if (override->generator.class) {
            ix_generator_close(&override->generator);
            ix_generator_spec_deinit(&override->spec);
        }
        free(override);
        override = before;
    }
}

void ix_overrides_free(struct ix_override **overrides, size_t count)
{
    for (size_t i = 0; overrides && i < count; i++)
        free_overrides_from(overrides[i]);
    free(overrides);
}

static const struct ix_override *in_force(const struct ix_override *override, uint64_t instant_ns)
{
    while (override && override->since_ns > instant_ns)
        override = override->before;
    return override;
}

const struct ix_generator *ix_device_generator_at(const struct ix_device *d, size_t stream,
                                                  uint64_t instant_ns)
{
    const struct ix_group *group = d->group;
    if (d->extra && d->extra->overrides) {
        const struct ix_override *own = in_force(d->extra->overrides[stream], instant_ns);
        if (own && own->generator.class)
            return &own->generator;
    }
    const struct ix_override *shared = in_force(group->overrides[stream], instant_ns);
    return shared && shared->generator.class ? &shared->generator : &group->generators[stream];
}

const struct ix_generator *ix_device_generator(const struct ix_device *d, size_t stream)
{
    return ix_device_generator_at(d, stream, UINT64_MAX);
}

void ix_override_published(struct ix_device *d, size_t stream)
{
    if (d->extra && d->extra->overrides && d->extra->overrides[stream])
        d->extra->overrides[stream]->since_ns = 0;
}

static int find_stream(const struct ix_group *group, const char *attribute, size_t *stream,
                       struct ix_error *err)
{
    const struct ix_model *model = group->model;
    for (size_t s = 0; s < model->attribute_count; s++) {
        if (strcmp(model->attributes[s].name, attribute) == 0) {
            *stream = s;
            return 0;
        }
    }
    const char **names = ix_calloc(model->attribute_count + 1, sizeof(*names));
    for (size_t s = 0; s < model->attribute_count; s++)
        names[s] = model->attributes[s].name;
    char hint[256];
    ix_suggest_put(hint, sizeof(hint), attribute, names, model->attribute_count);
    free(names);
    return ix_fail(err, -ENOENT, "model \"%s\" has no attribute \"%s\"%s", model->id, attribute, hint);
}

/* What the changes make of the model's own settings; class NULL after "null". */
static int build(struct ix_group *group, size_t stream, const char *changes, struct ix_override *out,
                 struct ix_error *err)
{
    const struct ix_attribute *attribute = &group->model->attributes[stream];
    *out = (struct ix_override){0};
    json_error_t fault;
    json_t *json = json_loads(changes, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &fault);
    if (!json)
        return ix_fail(err, -EINVAL, "settings of attribute \"%s\": %s, column %d", attribute->name,
                       fault.text, fault.column);
    int rc = 0;
    if (!json_is_null(json)) {
        rc = ix_generator_spec_patch(&out->spec, &attribute->generator, json, err);
        if (rc == 0) {
            rc = ix_generator_open(&out->generator, &out->spec, group->model, err);
            if (rc < 0)
                ix_generator_spec_deinit(&out->spec);
        }
    }
    json_decref(json);
    if (rc < 0) {
        out->generator.class = NULL;
        ix_error_prefix(err, "attribute \"%s\"", attribute->name);
    }
    return rc;
}

/* Some classes keep something per device: it belongs to the generator that is in force. */
static void close_instance(struct ix_device *d, size_t stream)
{
    struct ix_device_extra *extra = d->extra;
    if (!extra || !extra->instances || !extra->instances[stream])
        return;
    const struct ix_generator *generator = ix_device_generator(d, stream);
    if (generator->class->close_device)
        generator->class->close_device(generator, extra->instances[stream]);
    extra->instances[stream] = NULL;
}

static int open_instance(struct ix_device *d, size_t stream, struct ix_error *err)
{
    const struct ix_generator *generator = ix_device_generator(d, stream);
    if (!generator->class->open_device || !(d->flags & IX_DF_STARTED))
        return 0;
    struct ix_device_extra *extra = ix_device_extra(d);
    if (!extra->instances)
        extra->instances = ix_calloc(d->group->model->attribute_count + 1, sizeof(void *));
    return generator->class->open_device(generator, d, &extra->instances[stream], err);
}

int ix_overrides_open_device(struct ix_device *d, struct ix_error *err)
{
    for (size_t s = 0; s < d->group->model->attribute_count; s++) {
        int rc = open_instance(d, s, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void ix_overrides_close_device(struct ix_device *d)
{
    for (size_t s = 0; s < d->group->model->attribute_count; s++)
        close_instance(d, s);
    if (d->extra) {
        free(d->extra->instances);
        d->extra->instances = NULL;
    }
}

/* The new generator is ready; now nothing fails any more but a script's own opening for a device. Ticks from
 * `since_ns` on are its; what no tick within the last interval can be of is forgotten. */
static void put(struct ix_override **place, const struct ix_override *fresh, uint64_t sequence,
                uint64_t since_ns, uint64_t interval_ns)
{
    struct ix_override *override = ix_calloc(1, sizeof(*override));
    *override = *fresh;
    override->sequence = sequence;
    override->since_ns = since_ns;
    override->generator.spec = &override->spec;
    override->before = *place;
    *place = override;
    struct ix_override *last = override;
    for (int n = 1; last->before && n < BEFORE_MAX && last->since_ns + interval_ns > since_ns; n++)
        last = last->before;
    free_overrides_from(last->before);
    last->before = NULL;
}

static uint64_t group_interval(const struct ix_group *group, size_t stream)
{
    return group->model->attributes[stream].interval_ns;
}

static int set_device(struct ix_device *d, size_t stream, const char *changes, uint64_t sequence,
                      struct ix_error *err)
{
    struct ix_override fresh;
    int rc = build(d->group, stream, changes, &fresh, err);
    if (rc < 0)
        return rc;
    struct ix_device_extra *extra = ix_device_extra(d);
    if (!extra->overrides)
        extra->overrides = ix_calloc(d->group->model->attribute_count + 1, sizeof(struct ix_override *));
    close_instance(d, stream);
    uint64_t since = d->row->flags & IX_ROW_TICKED ? d->row->cursor_ns + 1 : 0;
    put(&extra->overrides[stream], &fresh, sequence, since, group_interval(d->group, stream));
    rc = open_instance(d, stream, err);
    if (rc < 0)
        ix_device_fail(d, err ? err->text : "a generator could not be opened");
    return rc;
}

static int set_group(struct ix_group *group, size_t stream, const char *changes, uint64_t sequence,
                     struct ix_error *err)
{
    struct ix_override fresh;
    int rc = build(group, stream, changes, &fresh, err);
    if (rc < 0)
        return rc;
    for (uint64_t i = 0; i < group->slot_count; i++)
        close_instance(ix_engine_slot(group->engine, group->slots[i]), stream);
    put(&group->overrides[stream], &fresh, sequence, ix_engine_now(group->engine) + 1,
        group_interval(group, stream));
    for (uint64_t i = 0; i < group->slot_count; i++) {
        struct ix_device *d = ix_engine_slot(group->engine, group->slots[i]);
        struct ix_error why = {0};
        if (open_instance(d, stream, &why) < 0)
            ix_device_fail(d, why.text);
    }
    return 0;
}

int ix_group_set(struct ix_group *group, const struct ix_record *record, struct ix_error *err)
{
    const struct ix_set *set = &record->set;
    size_t stream = 0;
    int rc = find_stream(group, set->attribute, &stream, err);
    if (rc == 0 && set->index < 0) {
        const struct ix_override *now = group->overrides[stream];
        if (!now || now->sequence < record->sequence)
            rc = set_group(group, stream, set->changes, record->sequence, err);
    } else if (rc == 0) {
        struct ix_device *d = ix_group_device(group, (uint64_t)set->index);
        const struct ix_override *now =
            d && d->extra && d->extra->overrides ? d->extra->overrides[stream] : NULL;
        if (d && (!now || now->sequence < record->sequence))
            rc = set_device(d, stream, set->changes, record->sequence, err);
    }
    if (rc < 0)
        ix_error_prefix(err, "group \"%s\"", group->id);
    return rc;
}

int ix_device_set(struct ix_device *d, const char *attribute, const char *changes, struct ix_error *err)
{
    size_t stream = 0;
    int rc = find_stream(d->group, attribute, &stream, err);
    return rc < 0 ? rc : set_device(d, stream, changes, 0, err);
}
