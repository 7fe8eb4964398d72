/* Generator settings: from JSON to a spec with all defaults filled in. */
#include "model/compile.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>

#define INTEGER_MAX 9007199254740992.0 /* 2^53: doubles count in ones up to here */

/* Digits behind the point of a number as written; 3 for "1e-3". */
static int decimals_of(const char *text)
{
    const char *point = strchr(text, '.');
    const char *exponent = strpbrk(text, "eE");
    long digits = point ? (long)((exponent ? exponent : text + strlen(text)) - point - 1) : 0;

    if (exponent)
        digits -= strtol(exponent + 1, NULL, 10);
    return digits < 0 ? 0 : digits > 15 ? 15 : (int)digits;
}

/* Decimals of a member as written, or of its value's shortest text. */
static int member_decimals(const struct ix_object *o, const char *name, const struct ix_json_source *source)
{
    const json_t *json = ix_object_get(o, name);
    struct ix_buf text;
    int decimals = 0;

    if (!json)
        return 0;
    ix_buf_init(&text, 64);
    ix_json_put(&text, json, source);
    if (!text.overflow)
        decimals = decimals_of(ix_buf_cstr(&text));
    ix_buf_deinit(&text);
    return decimals;
}

static int range_decimals(double range)
{
    double decimals;

    if (range <= 0)
        return -1;
    decimals = 3 - floor(log10(range));
    return decimals < 2 ? 2 : decimals > 15 ? 15 : (int)decimals;
}

static bool is_numeric(enum ix_type type)
{
    return type == IX_TYPE_NUMBER || type == IX_TYPE_INTEGER;
}

static void check_range(const struct ix_generator_spec *spec, const struct ix_object *o)
{
    if (spec->min > spec->max)
        ix_object_fault(o, ix_object_has(o, "min") ? "min" : "max", "min (%g) is above max (%g%s)", spec->min,
                        spec->max, ix_object_has(o, "max") ? "" : ", the default");
    else if (spec->type == IX_TYPE_INTEGER &&
             (fabs(spec->min) > INTEGER_MAX || fabs(spec->max) > INTEGER_MAX))
        ix_object_fault(o, "max", "the range of an integer ends at 2^53");
    else if (spec->type == IX_TYPE_INTEGER && ceil(spec->min) > floor(spec->max))
        ix_object_fault(o, "min", "there is no integer from %g to %g", spec->min, spec->max);
}

static void compile_values(struct ix_generator_spec *spec, const struct ix_object *o)
{
    const json_t *values = ix_object_get(o, "values");

    if (spec->type != IX_TYPE_STRING) {
        if (values)
            ix_object_fault(o, "values", "is for attributes of type string");
        return;
    }
    if (json_array_size(values) == 0) {
        ix_object_fault(o, "values", "a random string needs a list of texts to choose from");
        return;
    }
    for (size_t i = 0; i < json_array_size(values); i++) {
        if (!json_is_string(json_array_get(values, i)))
            ix_object_fault(o, "values", "element %zu is not a string", i);
    }
    spec->values = json_deep_copy(values);
}

/* A member that does nothing here is more likely a mistake than a wish; reference models have some, so warn.
 */
static void warn_unused(const struct ix_object *o, const char *name, const char *used_by)
{
    if (ix_object_has(o, name))
        ix_object_warn(o, name, "has no effect; it belongs to %s", used_by);
}

static void compile_random(struct ix_generator_spec *spec, const struct ix_object *o)
{
    double range = spec->max - spec->min;

    if (spec->type == IX_TYPE_BINARY)
        ix_object_fault(o, "type", "random has no binary values; use constant, replay or custom");
    compile_values(spec, o);
    if (is_numeric(spec->type))
        check_range(spec, o);
    spec->distribution = (enum ix_distribution)ix_object_word(o, "distribution");
    spec->mean = ix_object_has(o, "mean") ? ix_object_number(o, "mean") : spec->min + range / 2;
    spec->stddev = ix_object_has(o, "stddev") ? ix_object_number(o, "stddev") : range / 6;
    spec->rate = ix_object_has(o, "rate") ? ix_object_number(o, "rate") : range > 0 ? 5 / range : 1;
    spec->probability = ix_object_number(o, "probability");
    if (spec->decimals < 0 && spec->type == IX_TYPE_NUMBER)
        spec->decimals = range_decimals(range);
    if (spec->type != IX_TYPE_BOOLEAN)
        warn_unused(o, "probability", "attributes of type boolean");
    if (spec->distribution != IX_DIST_NORMAL) {
        warn_unused(o, "mean", "the normal distribution");
        warn_unused(o, "stddev", "the normal distribution");
    }
    if (spec->distribution != IX_DIST_EXPONENTIAL)
        warn_unused(o, "rate", "the exponential distribution");
}

static void compile_sequence(struct ix_generator_spec *spec, const struct ix_object *o,
                             const struct ix_json_source *source)
{
    const char *first;
    int decimals, of_step;

    if (!is_numeric(spec->type))
        ix_object_fault(o, "type", "a sequence is for attributes of type number or integer");
    spec->step = ix_object_number(o, "step");
    spec->wrap = ix_object_boolean(o, "wrap");
    if (spec->step == 0)
        ix_object_fault(o, "step", "must not be 0; use a constant");
    check_range(spec, o);
    first = spec->step < 0 ? "max" : "min";
    if (ix_object_has(o, "start")) {
        first = "start";
        spec->start = ix_object_number(o, "start");
        if (spec->min <= spec->max && (spec->start < spec->min || spec->start > spec->max))
            ix_object_fault(o, "start", "%g lies outside of min to max (%g to %g)", spec->start, spec->min,
                            spec->max);
    } else {
        spec->start = spec->step < 0 ? spec->max : spec->min;
    }
    if (spec->decimals >= 0)
        return;
    decimals = member_decimals(o, first, source);
    of_step = member_decimals(o, "step", source);
    spec->decimals = of_step > decimals ? of_step : decimals;
}

static void decode_binary(struct ix_generator_spec *spec, const struct ix_object *o, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    int64_t count;

    if (!text) {
        ix_object_fault(o, "value", "the bytes of a binary attribute are given as a string in base64");
        return;
    }
    spec->bytes = ix_malloc(len + 4);
    count = ix_text_base64_decode(text, len, spec->bytes, len + 4);
    if (count < 0)
        ix_object_fault(o, "value", "is not base64");
    else
        spec->bytes_len = (size_t)count;
}

bool ix_type_accepts(enum ix_type type, const json_t *value)
{
    switch (type) {
    case IX_TYPE_NUMBER:
        return json_is_number(value);
    case IX_TYPE_INTEGER:
        return json_is_integer(value) ||
               (json_is_real(value) && floor(json_real_value(value)) == json_real_value(value));
    case IX_TYPE_BOOLEAN:
        return json_is_boolean(value);
    default:
        return json_is_string(value);
    }
}

static void compile_constant(struct ix_generator_spec *spec, const struct ix_object *o,
                             const struct ix_json_source *source)
{
    const json_t *value = ix_object_get(o, "value");
    const char *file = ix_object_text(o, "dataFile");
    struct ix_buf text;
    bool scalar;

    if (file && spec->type != IX_TYPE_BINARY)
        ix_object_fault(o, "dataFile", "of a constant is for attributes of type binary");
    if (file && value)
        ix_object_fault(o, "dataFile", "and value exclude each other");
    if (file) {
        spec->file = ix_strdup(file);
        return;
    }
    if (!value) {
        ix_object_fault(o, "value", "is missing: the value to publish");
        return;
    }
    spec->value = json_deep_copy(value);
    scalar = !json_is_object(value) && !json_is_array(value) && !json_is_null(value);
    if (spec->type == IX_TYPE_BINARY)
        decode_binary(spec, o, value);
    else if (scalar && !ix_type_accepts(spec->type, value) &&
             !(spec->type == IX_TYPE_INTEGER && json_is_number(value)))
        ix_object_fault(o, "value", "is not of the attribute's type %s", ix_type_names[spec->type]);
    ix_buf_init(&text, 16u << 20);
    ix_json_put(&text, value, source);
    spec->text = ix_strdup(ix_buf_cstr(&text));
    ix_buf_deinit(&text);
}

static void compile_replay(struct ix_generator_spec *spec, const struct ix_object *o)
{
    const char *file = ix_object_text(o, "dataFile");
    const char *column = ix_object_text(o, "column");

    spec->file = file ? ix_strdup(file) : NULL;
    spec->column = column ? ix_strdup(column) : NULL;
    spec->loop = ix_object_boolean(o, "loop");
    spec->frame_bytes = (size_t)ix_object_integer(o, "frameBytes");
    if (spec->frame_bytes > 0 && spec->type != IX_TYPE_BINARY)
        ix_object_fault(o, "frameBytes", "is for attributes of type binary");
    if (spec->column && spec->type == IX_TYPE_BINARY)
        ix_object_fault(o, "column", "a binary file has no columns");
}

void ix_generator_spec_compile(struct ix_generator_spec *spec, const struct ix_object *o, enum ix_type type,
                               int precision, const struct ix_json_source *source)
{
    const char *handler;
    int kind = ix_object_word(o, "type");

    *spec = (struct ix_generator_spec){.type = type, .precision = precision, .decimals = precision};
    if (type == IX_TYPE_INTEGER)
        spec->decimals = 0;
    spec->json = o->json ? json_deep_copy(o->json) : NULL;
    if (kind < 0)
        return;
    spec->kind = (enum ix_generator_kind)kind;
    spec->min = ix_object_number(o, "min");
    spec->max = ix_object_number(o, "max");
    switch (spec->kind) {
    case IX_GEN_RANDOM:
        compile_random(spec, o);
        break;
    case IX_GEN_SEQUENCE:
        compile_sequence(spec, o, source);
        break;
    case IX_GEN_CONSTANT:
        compile_constant(spec, o, source);
        break;
    case IX_GEN_REPLAY:
        compile_replay(spec, o);
        break;
    case IX_GEN_STAMP:
        spec->size = (size_t)ix_object_integer(o, "size");
        if (type != IX_TYPE_BINARY)
            ix_object_fault(o, "type", "stamp is for attributes of type binary");
        break;
    default:
        handler = ix_object_text(o, "handler");
        spec->handler = handler ? ix_strdup(handler) : NULL;
        spec->config = ix_object_get(o, "config") ? json_deep_copy(ix_object_get(o, "config")) : NULL;
        break;
    }
}

void ix_generator_spec_deinit(struct ix_generator_spec *spec)
{
    json_decref(spec->value);
    json_decref(spec->values);
    json_decref(spec->config);
    json_decref(spec->json);
    free(spec->text);
    free(spec->bytes);
    free(spec->file);
    free(spec->column);
    free(spec->handler);
    *spec = (struct ix_generator_spec){0};
}

/* New bounds that leave out the old mean would put nearly every value on one of them: it goes back to its default,
 * their middle, and so does the spread around it. */
static void recentre(json_t *merged, const json_t *changes)
{
    const json_t *mean = json_object_get(merged, "mean"), *min = json_object_get(merged, "min"),
                 *max = json_object_get(merged, "max");

    if (!json_is_number(mean) || json_object_get(changes, "mean"))
        return;
    if (!(json_is_number(min) && json_number_value(mean) < json_number_value(min)) &&
        !(json_is_number(max) && json_number_value(mean) > json_number_value(max)))
        return;
    json_object_del(merged, "mean");
    if (!json_object_get(changes, "stddev"))
        json_object_del(merged, "stddev");
}

/* The settings after the changes, as a new object. */
static json_t *merge(const json_t *from, const json_t *changes)
{
    const char *type = json_string_value(json_object_get(changes, "type"));
    const char *before = json_string_value(json_object_get(from, "type"));
    json_t *merged;
    const char *key;
    json_t *value;

    if (!json_is_object(changes)) {
        merged = json_object();
        json_object_set_new(merged, "type", json_string("constant"));
        json_object_set_new(merged, "value", json_deep_copy(changes));
        return merged;
    }
    if (type && (!before || strcmp(type, before) != 0))
        return json_deep_copy(changes);
    if (!type && json_object_get(changes, "value")) {
        merged = json_deep_copy(changes);
        json_object_set_new(merged, "type", json_string("constant"));
        return merged;
    }
    merged = json_deep_copy(from);
    json_object_foreach((json_t *)changes, key, value)
    {
        const struct ix_field *f = ix_table_find(&ix_table_generator, key);

        if (f && f->alias)
            json_object_del(merged, strcmp(key, f->name) == 0 ? f->alias : f->name);
        json_object_set_new(merged, key, json_deep_copy(value));
    }
    recentre(merged, changes);
    return merged;
}

int ix_generator_spec_patch(struct ix_generator_spec *out, const struct ix_generator_spec *from,
                            const json_t *changes, struct ix_error *err)
{
    struct ix_faults faults;
    struct ix_check check = {.faults = &faults};
    json_t *merged = merge(from->json, changes);
    struct ix_object o;
    int rc;

    ix_faults_init(&faults);
    o = ix_object_check(&check, &ix_table_generator, merged, "", 0);
    ix_generator_spec_compile(out, &o, from->type, from->precision, NULL);
    rc = ix_faults_fail(&faults, "settings", err);
    if (rc < 0)
        ix_generator_spec_deinit(out);
    ix_faults_deinit(&faults);
    json_decref(merged);
    return rc;
}
