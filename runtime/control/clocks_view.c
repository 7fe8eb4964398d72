#include "control/clocks_view.h"

#include "base/units.h"

#include <math.h>
#include <stdlib.h>

struct clock {
    struct ix_clock_offset best; /* of the worker that timed the most messages by it */
    uint64_t samples, worst_ns, timed, untimed;
};

static void add(struct clock *clocks, const struct ix_clock_offset *o)
{
    struct clock *c = clocks;
    while (c < clocks + IX_SEGMENT_CLOCKS - 1 && c->best.clock && c->best.clock != o->clock)
        c++;
    if (!c->best.clock || o->timed > c->best.timed)
        c->best = *o;
    c->samples += o->samples;
    c->worst_ns = o->worst_ns > c->worst_ns ? o->worst_ns : c->worst_ns;
    c->timed += o->timed;
    c->untimed += o->untimed;
}

static json_t *one(const struct clock *c)
{
    char name[16];
    bool measured = c->timed > 0;
    snprintf(name, sizeof name, "%08x", c->best.clock);
    return json_pack("{s:s, s:o, s:o, s:o, s:I, s:I, s:I}", "clock", name, "offsetMs",
                     measured ? json_real((double)c->best.offset_ns / 1e6) : json_null(), "boundMs",
                     measured ? json_real((double)c->worst_ns / 1e6) : json_null(), "driftMs",
                     measured ? json_real((double)(c->best.offset_ns - c->best.first_ns) / 1e6) : json_null(),
                     "samples", (json_int_t)c->samples, "timed", (json_int_t)c->timed, "leftOut",
                     (json_int_t)c->untimed);
}

json_t *ix_clocks_of(const struct ix_workers *workers)
{
    struct clock clocks[IX_SEGMENT_CLOCKS] = {0};
    json_t *list = json_array();
    for (uint32_t i = 0; i < ix_workers_count(workers); i++) {
        const struct ix_segment *segment = ix_workers_segment(workers, i);
        for (size_t k = 0; k < IX_SEGMENT_CLOCKS && segment->clocks[k].clock; k++)
            add(clocks, &segment->clocks[k]);
    }
    for (size_t i = 0; i < IX_SEGMENT_CLOCKS && clocks[i].best.clock; i++)
        json_array_append_new(list, one(&clocks[i]));
    return list;
}

void ix_clock_put_text(struct ix_buf *out, const json_t *clock)
{
    json_int_t timed = json_integer_value(json_object_get(clock, "timed"));
    json_int_t left_out = json_integer_value(json_object_get(clock, "leftOut"));
    if (timed) {
        ix_page_count_of(out, (uint64_t)timed, "message", "messages");
        ix_buf_str(out, " of another host: its clock is ");
        double offset = json_number_value(json_object_get(clock, "offsetMs")) / 1e3;
        ix_buf_printf(out, "%.6f s %s", fabs(offset), offset < 0 ? "behind" : "ahead");
        ix_buf_str(out, ", \xc2\xb1 ");
        ix_units_put_duration(out, (uint64_t)(json_number_value(json_object_get(clock, "boundMs")) * 1e6));
        ix_buf_str(out, ", measured ");
        ix_page_count_of(out, (uint64_t)json_integer_value(json_object_get(clock, "samples")), "time",
                         "times");
        ix_buf_str(out, left_out ? "; " : "");
    }
    if (left_out) {
        ix_page_count_of(out, (uint64_t)left_out, "message", "messages");
        ix_buf_str(out,
                   timed ? " left out: they came before that"
                         : " of another host are no part of receive latency: its clock could not be measured "
                           "(nobody answered at iotix/clock/");
        if (!timed)
            ix_buf_printf(out, "%s)", json_string_value(json_object_get(clock, "clock")));
    }
}

void ix_page_clocks(struct ix_page *page, const json_t *clocks)
{
    size_t i;
    const json_t *clock;
    json_array_foreach(clocks, i, clock)
    {
        struct ix_buf text;
        ix_buf_init(&text, 4096);
        ix_clock_put_text(&text, clock);
        ix_page_wrapped(page->out, ix_buf_cstr(&text), 4);
        ix_buf_deinit(&text);
    }
}
