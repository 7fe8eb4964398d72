/* Random values. One draw of 64 bits makes one value, so that tick k needs nothing from tick k - 1. */
#include "generator/classes.h"

#include <math.h>
#include <stdlib.h>

/* Everything that can be computed before the first value. */
struct random {
    enum ix_type type;
    enum ix_distribution distribution;
    double min, max;
    double scale;   /* 10^decimals; 0: values are not rounded */
    double inverse; /* 1 / rate */
    double mean, stddev;
    int64_t low;        /* integers: lowest ... */
    uint64_t count;     /* ... and how many */
    uint64_t threshold; /* booleans: bits below are true */
    bool always;        /* booleans: probability 1 */
    const json_t *values;
    int decimals;
};

/* IEEE doubles are exact up to 10^22 = 2^22 * 5^22 (5^22 < 2^53). */
double ix_power_of_ten(int n)
{
    double power = 1;

    for (int i = 0; i < n; i++)
        power *= 10;
    return power;
}

static int random_open(struct ix_generator *g, const struct ix_model *model, struct ix_error *err)
{
    const struct ix_generator_spec *spec = g->spec;
    struct random *r = ix_calloc(1, sizeof(*r));

    (void)model;
    (void)err;
    r->type = spec->type;
    r->distribution = spec->distribution;
    r->min = spec->min;
    r->max = spec->max;
    r->decimals = spec->decimals;
    /* Above 2^52 a double has no digits left to round. */
    if (spec->decimals >= 0 && fmax(fabs(r->min), fabs(r->max)) * ix_power_of_ten(spec->decimals) < 0x1p52)
        r->scale = ix_power_of_ten(spec->decimals);
    r->inverse = 1 / spec->rate;
    r->mean = spec->mean;
    r->stddev = spec->stddev;
    if (r->type == IX_TYPE_INTEGER) {
        r->low = (int64_t)ceil(r->min);
        r->count = (uint64_t)((int64_t)floor(r->max) - r->low) + 1;
    }
    r->always = spec->probability >= 1;
    r->threshold = r->always ? 0 : (uint64_t)(spec->probability * 0x1p53) << 11;
    r->values = spec->values;
    g->data = r;
    return 0;
}

static void random_close(struct ix_generator *g)
{
    free(g->data);
}

static inline double draw_number(const struct random *r, uint64_t bits)
{
    double value;

    switch (r->distribution) {
    case IX_DIST_NORMAL:
        value = r->mean + r->stddev * ix_random_normal(bits);
        break;
    case IX_DIST_EXPONENTIAL:
        value = r->min + ix_random_exponential(bits) * r->inverse;
        break;
    default:
        value = r->min + (r->max - r->min) * ix_random_unit(bits);
        break;
    }
    return value < r->min ? r->min : value > r->max ? r->max : value;
}

static void sample_integer(const struct random *r, uint64_t bits, struct ix_value *out)
{
    int64_t value, high = r->low + (int64_t)(r->count - 1);

    if (r->distribution == IX_DIST_UNIFORM) {
        value = r->low + (int64_t)ix_random_below(bits, r->count);
    } else {
        value = (int64_t)round(draw_number(r, bits));
        value = value < r->low ? r->low : value > high ? high : value;
    }
    out->kind = IX_V_INTEGER;
    out->integer = value;
}

static int random_sample(const struct ix_generator *g, const struct ix_draw *draw, struct ix_value *out,
                         struct ix_error *err)
{
    const struct random *r = g->data;
    uint64_t bits = ix_random_u64(draw->key, draw->tick);
    const json_t *text;

    (void)err;
    switch (r->type) {
    case IX_TYPE_NUMBER:
        out->kind = IX_V_NUMBER;
        out->decimals = r->decimals;
        out->number = draw_number(r, bits);
        /* Rounded here, so that conditions see what is published. */
        if (r->scale != 0)
            out->number = rint(out->number * r->scale) / r->scale;
        return 0;
    case IX_TYPE_INTEGER:
        sample_integer(r, bits, out);
        return 0;
    case IX_TYPE_BOOLEAN:
        out->kind = IX_V_BOOLEAN;
        out->boolean = r->always || bits < r->threshold;
        return 0;
    default:
        text = json_array_get(r->values, ix_random_below(bits, json_array_size(r->values)));
        out->kind = IX_V_STRING;
        out->text.data = json_string_value(text);
        out->text.len = json_string_length(text);
        return 0;
    }
}

const struct ix_generator_class ix_generator_random = {
    .name = "random",
    .pure = true,
    .open = random_open,
    .close = random_close,
    .sample = random_sample,
};
