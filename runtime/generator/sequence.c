/* Values that count up or down. Value k is computed from k alone, in whole steps of the smallest decimal that
 * start, step and bounds are made of: 40 + 1 * 0.1 is 40.1, and stays so after a million ticks. */
#include "generator/classes.h"

#include <math.h>
#include <stdlib.h>

#define DECIMALS_MAX 15

struct sequence {
    bool exact;   /* whole numbers of 10^-digits; else doubles */
    double scale; /* 10^digits */
    int64_t start, step, low, high;
    double start_d, step_d, low_d, high_d;
    uint64_t first;  /* values from start to the bound */
    uint64_t period; /* values from the other bound to the bound */
    bool wrap;
    bool integer;
    int decimals;
    double rounding; /* 10^decimals; 0: no rounding */
};

/* value * scale if that is a whole number that doubles hold exactly. */
static bool to_whole(double value, double scale, int64_t *out)
{
    double whole = round(value * scale);

    /* The whole number must mean the same double; value * scale itself may be off by rounding. */
    if (fabs(whole) >= 0x1p53 || whole / scale != value)
        return false;
    *out = (int64_t)whole;
    return true;
}

static bool make_exact(struct sequence *s, const struct ix_generator_spec *spec)
{
    for (int digits = 0; digits <= DECIMALS_MAX; digits++) {
        double scale = ix_power_of_ten(digits);

        if (to_whole(spec->start, scale, &s->start) && to_whole(spec->step, scale, &s->step) &&
            to_whole(spec->min, scale, &s->low) && to_whole(spec->max, scale, &s->high)) {
            s->scale = scale;
            return true;
        }
    }
    return false;
}

/* How many values there are from `from` on, a step apart, before they pass `to`. */
static uint64_t count_exact(int64_t from, int64_t to, int64_t step)
{
    uint64_t distance = (uint64_t)(to > from ? to - from : from - to);

    return distance / (uint64_t)(step > 0 ? step : -step) + 1;
}

static uint64_t count_inexact(double from, double to, double step)
{
    double count = floor(fabs(to - from) / fabs(step) + 1e-9) + 1;

    return count < 0x1p63 ? (uint64_t)count : 1ull << 63;
}

static int sequence_open(struct ix_generator *g, const struct ix_model *model, struct ix_error *err)
{
    const struct ix_generator_spec *spec = g->spec;
    struct sequence *s = ix_calloc(1, sizeof(*s));
    bool up = spec->step > 0;

    (void)model;
    (void)err;
    s->exact = make_exact(s, spec);
    s->wrap = spec->wrap;
    s->integer = spec->type == IX_TYPE_INTEGER;
    s->decimals = spec->decimals;
    s->start_d = spec->start;
    s->step_d = spec->step;
    s->low_d = spec->min;
    s->high_d = spec->max;
    if (s->exact) {
        s->first = count_exact(s->start, up ? s->high : s->low, s->step);
        s->period = count_exact(s->low, s->high, s->step);
    } else {
        s->first = count_inexact(spec->start, up ? spec->max : spec->min, spec->step);
        s->period = count_inexact(spec->min, spec->max, spec->step);
    }
    if (!s->integer && fmax(fabs(spec->min), fabs(spec->max)) * ix_power_of_ten(s->decimals) < 0x1p52)
        s->rounding = ix_power_of_ten(s->decimals);
    g->data = s;
    return 0;
}

static void sequence_close(struct ix_generator *g)
{
    free(g->data);
}

static double value_at(const struct sequence *s, uint64_t tick)
{
    bool up = s->step_d > 0, wrapped = tick >= s->first;
    uint64_t steps = wrapped ? (tick - s->first) % s->period : tick;

    if (wrapped && !s->wrap)
        return up ? s->high_d : s->low_d;
    if (!s->exact)
        return (wrapped ? (up ? s->low_d : s->high_d) : s->start_d) + (double)steps * s->step_d;
    /* steps * |step| is at most high - low: no overflow. */
    return (double)((wrapped ? (up ? s->low : s->high) : s->start) + (int64_t)steps * s->step) / s->scale;
}

static int sequence_sample(const struct ix_generator *g, const struct ix_draw *draw, struct ix_value *out,
                           struct ix_error *err)
{
    const struct sequence *s = g->data;
    double value = value_at(s, draw->tick);

    (void)err;
    if (s->integer) {
        out->kind = IX_V_INTEGER;
        out->integer = (int64_t)round(value);
        return 0;
    }
    out->kind = IX_V_NUMBER;
    out->decimals = s->decimals;
    out->number = s->rounding != 0 ? rint(value * s->rounding) / s->rounding : value;
    return 0;
}

const struct ix_generator_class ix_generator_sequence = {
    .name = "sequence",
    .pure = true,
    .open = sequence_open,
    .close = sequence_close,
    .sample = sequence_sample,
};
