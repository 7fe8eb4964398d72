/* The same value at every tick, prepared once. */
#include "generator/classes.h"

#include "base/file.h"

#include <math.h>
#include <stdlib.h>

#define FILE_MAX (256u << 20) /* what one MQTT message can carry */

struct constant {
    struct ix_value value;
    char *file; /* contents of a file; owned */
};

static int open_file(struct constant *c, const struct ix_generator_spec *spec, const struct ix_model *model,
                     struct ix_error *err)
{
    size_t len, prefix = strlen(IX_MODEL_EMBEDDED);
    const char *embedded;
    char *path;
    int rc = ix_model_data_file(model, spec->file, &path, err);

    if (rc < 0)
        return rc;
    c->value.kind = IX_V_BYTES;
    embedded = strncmp(path, IX_MODEL_EMBEDDED, prefix) == 0 ? ix_model_embedded(path + prefix, &len) : NULL;
    if (embedded) {
        c->value.text.data = embedded;
        c->value.text.len = len;
    } else {
        rc = ix_file_read(path, FILE_MAX, &c->file, &len, err);
        c->value.text.data = c->file;
        c->value.text.len = rc < 0 ? 0 : len;
    }
    free(path);
    return rc;
}

static void take_value(struct constant *c, const struct ix_generator_spec *spec)
{
    const json_t *json = spec->value;

    if (spec->type == IX_TYPE_BINARY) {
        c->value.kind = IX_V_BYTES;
        c->value.text.data = spec->bytes;
        c->value.text.len = spec->bytes_len;
    } else if (json_is_boolean(json)) {
        c->value.kind = IX_V_BOOLEAN;
        c->value.boolean = json_is_true(json);
    } else if (json_is_string(json)) {
        c->value.kind = IX_V_STRING;
        c->value.text.data = json_string_value(json);
        c->value.text.len = json_string_length(json);
    } else if (json_is_number(json) && spec->type == IX_TYPE_INTEGER) {
        c->value.kind = IX_V_INTEGER;
        c->value.integer =
            json_is_integer(json) ? json_integer_value(json) : (int64_t)round(json_real_value(json));
    } else if (json_is_number(json) && spec->decimals >= 0) {
        double scale = ix_power_of_ten(spec->decimals), value = json_number_value(json);

        c->value.kind = IX_V_NUMBER;
        c->value.decimals = spec->decimals;
        c->value.number = fabs(value * scale) < 0x1p52 ? rint(value * scale) / scale : value;
    } else {
        c->value.kind = IX_V_JSON;
        c->value.text.data = spec->text;
        c->value.text.len = strlen(spec->text);
    }
}

static int constant_open(struct ix_generator *g, const struct ix_model *model, struct ix_error *err)
{
    struct constant *c = ix_calloc(1, sizeof(*c));
    int rc = 0;

    if (g->spec->file)
        rc = open_file(c, g->spec, model, err);
    else
        take_value(c, g->spec);
    if (rc < 0) {
        free(c);
        return rc;
    }
    g->data = c;
    return 0;
}

static void constant_close(struct ix_generator *g)
{
    struct constant *c = g->data;

    free(c->file);
    free(c);
}

static int constant_sample(const struct ix_generator *g, const struct ix_draw *draw, struct ix_value *out,
                           struct ix_error *err)
{
    (void)draw;
    (void)err;
    *out = ((const struct constant *)g->data)->value;
    return 0;
}

const struct ix_generator_class ix_generator_constant = {
    .name = "constant",
    .pure = true,
    .open = constant_open,
    .close = constant_close,
    .sample = constant_sample,
};
