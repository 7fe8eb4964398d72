#include "control/report_plot.h"

#include "base/units.h"
#include "control/report_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Units of the view box; the page scales it. */
#define WIDTH       960.0
#define HEIGHT      262.0
#define LEFT        66.0
#define RIGHT       14.0
#define TOP         36.0
#define BOTTOM      26.0
#define PLOT_WIDTH  (WIDTH - LEFT - RIGHT)
#define PLOT_HEIGHT (HEIGHT - TOP - BOTTOM)

#define HOVER_COLUMNS 240
#define MARKS_SHOWN   60
#define CHARACTER     6.2 /* about the width of one in the labels */

struct scale {
    double x_max;
    double low, high; /* of y; logarithms if the plot is logarithmic */
    double step;      /* between ticks of a linear axis */
    bool logarithmic;
};

static double x_of(const struct scale *scale, double t)
{
    return LEFT + PLOT_WIDTH * t / scale->x_max;
}

static double y_of(const struct scale *scale, double value)
{
    if (scale->logarithmic)
        value = log10(value);
    double share = (value - scale->low) / (scale->high - scale->low);
    return TOP + PLOT_HEIGHT * (1 - (share < 0 ? 0 : share > 1 ? 1 : share));
}

static bool drawable(const struct scale *scale, double value)
{
    return isfinite(value) && (!scale->logarithmic || value > 0);
}

/* 1, 2 or 5 times a power of ten, about `span` / `ticks`. */
static double nice_step(double span, int ticks)
{
    double raw = span / ticks, power = pow(10, floor(log10(raw))), digit = raw / power;
    return (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10) * power;
}

static double time_step(double span)
{
    static const double steps[] = {0.1, 0.2, 0.5, 1,   2,    5,    10,   15,    30,    60,
                                   120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200};
    for (size_t i = 0; i < IX_ARRAY_LEN(steps); i++)
        if (span / steps[i] <= 11)
            return steps[i];
    return nice_step(span / 86400, 10) * 86400;
}

void ix_plot_put_time(struct ix_buf *out, double seconds)
{
    if (seconds < 60) {
        ix_buf_printf(out, "%g s", round(seconds * 10) / 10);
        return;
    }
    unsigned long long whole = (unsigned long long)(seconds + 0.5);
    if (whole >= 3600)
        ix_buf_printf(out, "%llu:%02llu:%02llu", whole / 3600, whole / 60 % 60, whole % 60);
    else
        ix_buf_printf(out, "%llu:%02llu", whole / 60, whole % 60);
}

void ix_plot_put_value(struct ix_buf *out, enum ix_plot_unit unit, double value)
{
    if (unit == IX_PLOT_MS) {
        ix_units_put_duration(out, value > 0 ? (uint64_t)llround(fmin(value, 1e12) * 1e6) : 0);
        return;
    }
    if (value >= 100 || value == floor(value))
        ix_units_put_count(out, value > 0 ? (uint64_t)llround(fmin(value, 1e18)) : 0);
    else
        ix_buf_printf(out, "%.3g", value);
    if (unit == IX_PLOT_PER_SECOND)
        ix_buf_str(out, "/s");
}

/* Short: "20k", "1.5M", "5 ms". */
static void put_tick(struct ix_buf *out, enum ix_plot_unit unit, double value)
{
    static const struct {
        double size;
        const char *name;
    } times[] = {{1e3, " s"}, {1, " ms"}, {1e-3, " \xc2\xb5s"}, {1e-6, " ns"}},
      counts[] = {{1e9, "G"}, {1e6, "M"}, {1e3, "k"}, {1, ""}};
    size_t i = 0;
    if (value <= 0) {
        ix_buf_char(out, '0');
    } else if (unit == IX_PLOT_MS) {
        while (i + 1 < IX_ARRAY_LEN(times) && value < times[i].size * 0.9999)
            i++;
        ix_buf_printf(out, "%.4g%s", value / times[i].size, times[i].name);
    } else {
        while (i + 1 < IX_ARRAY_LEN(counts) && value < counts[i].size * 0.9999)
            i++;
        ix_buf_printf(out, "%.4g%s", value / counts[i].size, counts[i].name);
    }
}

/* ---- scales ---- */

/* A curve of nothing but zeros would only hide the axis. */
static bool has_values(const struct ix_plot *plot, const struct ix_curve *curve)
{
    for (size_t i = 0; i < plot->count; i++)
        if (isfinite(curve->y[i]) && curve->y[i] > 0)
            return true;
    return false;
}

static bool find_range(const struct ix_plot *plot, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (size_t i = 0; i < plot->count; i++) {
        double sum = 0;
        for (size_t c = 0; c < plot->curve_count; c++) {
            double value = plot->curves[c].y[i];
            if (!isfinite(value) || (plot->logarithmic && value <= 0))
                continue;
            sum = plot->stacked && plot->curves[c].area ? sum + value : value;
            *low = fmin(*low, sum);
            *high = fmax(*high, sum);
        }
    }
    return *high >= *low;
}

static bool find_scale(const struct ix_plot *plot, struct scale *scale)
{
    double low, high;
    if (!find_range(plot, &low, &high))
        return false;
    scale->x_max = plot->x_max > 0 ? plot->x_max : 1;
    scale->logarithmic = plot->logarithmic;
    if (plot->logarithmic) {
        scale->low = floor(log10(low) + 1e-9);
        scale->high = ceil(log10(high) - 1e-9);
        if (scale->high <= scale->low)
            scale->high = scale->low + 1;
        return true;
    }
    double least = plot->unit == IX_PLOT_MS ? 1e-3 : 1; /* an axis of nothing but zeros */
    if (high < least)
        high = least;
    scale->low = 0;
    scale->step = nice_step(high, 5);
    if (plot->unit == IX_PLOT_COUNT && scale->step < 1)
        scale->step = 1;
    scale->high = ceil(high / scale->step - 1e-9) * scale->step;
    return true;
}

/* ---- axes ---- */

static void put_grid_line(struct ix_buf *out, double y, const char *class)
{
    ix_buf_printf(out, "<path class=\"%s\" d=\"M%g %.1fH%g\"/>", class, LEFT, y, WIDTH - RIGHT);
}

static void put_y_label(struct ix_buf *out, enum ix_plot_unit unit, double y, double value)
{
    ix_buf_printf(out, "<text class=\"ya\" x=\"%g\" y=\"%.1f\">", LEFT - 8, y + 3.5);
    put_tick(out, unit, value);
    ix_buf_str(out, "</text>");
}

static void put_y_axis(const struct ix_plot *plot, const struct scale *scale, struct ix_buf *out)
{
    if (!scale->logarithmic) {
        for (double value = 0; value <= scale->high + scale->step / 2; value += scale->step) {
            double y = y_of(scale, value);
            put_grid_line(out, y, value > 0 ? "grid" : "axis");
            put_y_label(out, plot->unit, y, value);
        }
        return;
    }
    double decades = scale->high - scale->low;
    for (double power = scale->low; power <= scale->high; power++) {
        double value = pow(10, power), y = y_of(scale, value);
        put_grid_line(out, y, power > scale->low ? "grid" : "axis");
        put_y_label(out, plot->unit, y, value);
        for (int digit = 2; digit < 10 && power < scale->high && decades <= 3; digit++) {
            y = y_of(scale, value * digit);
            put_grid_line(out, y, "grid fine");
            if (decades <= 1 && (digit == 2 || digit == 5))
                put_y_label(out, plot->unit, y, value * digit);
        }
    }
}

static void put_x_axis(const struct scale *scale, struct ix_buf *out)
{
    double step = time_step(scale->x_max);
    for (double t = 0; t <= scale->x_max * 1.0001; t += step) {
        double x = x_of(scale, t);
        ix_buf_printf(out,
                      "<path class=\"grid fine\" d=\"M%.1f %gV%g\"/><text class=\"xa\" x=\"%.1f\" y=\"%g\">",
                      x, TOP, HEIGHT - BOTTOM, x, HEIGHT - 8);
        if (step >= 3600 && t > 0)
            ix_buf_printf(out, "%g h", round(t / 36) / 100);
        else
            ix_plot_put_time(out, t);
        ix_buf_str(out, "</text>");
    }
}

/* ---- curves ---- */

/* A run of neighbouring values [first, end) of one curve; `base` NULL is the axis. */
static void put_run(const struct ix_plot *plot, const struct scale *scale, const struct ix_curve *curve,
                    const double *top, const double *base, size_t first, size_t end, struct ix_buf *out)
{
    if (curve->area) {
        ix_buf_printf(out, "<path class=\"area %s\" d=\"", curve->colour);
        for (size_t i = first; i < end; i++)
            ix_buf_printf(out, "%c%.1f %.1f", i == first ? 'M' : 'L', x_of(scale, plot->x[i]),
                          y_of(scale, top[i]));
        for (size_t i = end; i-- > first;)
            ix_buf_printf(out, "L%.1f %.1f", x_of(scale, plot->x[i]),
                          base ? y_of(scale, base[i]) : HEIGHT - BOTTOM);
        ix_buf_str(out, "Z\"/>");
    }
    if (plot->stacked && curve->area)
        return;
    if (end - first == 1) {
        ix_buf_printf(out, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"1.8\"/>", curve->colour,
                      x_of(scale, plot->x[first]), y_of(scale, top[first]));
        return;
    }
    ix_buf_printf(out, "<path class=\"line %s\" d=\"", curve->colour);
    for (size_t i = first; i < end; i++)
        ix_buf_printf(out, "%c%.1f %.1f", i == first ? 'M' : 'L', x_of(scale, plot->x[i]),
                      y_of(scale, top[i]));
    ix_buf_str(out, "\"/>");
}

static void put_curve(const struct ix_plot *plot, const struct scale *scale, const struct ix_curve *curve,
                      const double *top, const double *base, struct ix_buf *out)
{
    for (size_t i = 0; i < plot->count && has_values(plot, curve);) {
        size_t end = i;
        while (end < plot->count && drawable(scale, top[end]))
            end++;
        if (end > i)
            put_run(plot, scale, curve, top, base, i, end, out);
        i = end > i ? end : i + 1;
    }
}

static void put_stack(const struct ix_plot *plot, const struct scale *scale, struct ix_buf *out)
{
    double *base = ix_calloc(plot->count, sizeof(*base)), *top = ix_calloc(plot->count, sizeof(*top));
    for (size_t c = 0; c < plot->curve_count; c++) {
        if (!plot->curves[c].area) {
            put_curve(plot, scale, &plot->curves[c], plot->curves[c].y, NULL, out);
            continue;
        }
        for (size_t i = 0; i < plot->count; i++) {
            double value = plot->curves[c].y[i];
            top[i] = base[i] + (value > 0 ? value : 0);
        }
        put_curve(plot, scale, &plot->curves[c], top, base, out);
        memcpy(base, top, plot->count * sizeof(*base));
    }
    free(base);
    free(top);
}

/* ---- marks and hover ---- */

static void put_mark_text(struct ix_buf *out, const char *text, double x, size_t row, bool to_the_left)
{
    ix_buf_printf(out, "<text x=\"%.1f\" y=\"%g\"%s>", to_the_left ? x - 3 : x + 3,
                  TOP - 10 - 13 * (double)row, to_the_left ? " text-anchor=\"end\"" : "");
    ix_report_escape(out, text);
    ix_buf_str(out, "</text>");
}

/* The row of a text from `left` to `right`: the lower one if it ends before the next mark's line, else the
 * upper one; 2 if there is no room. */
static size_t choose_row(const double taken[2], double left, double right, double last, double next)
{
    if (left >= taken[0] && left >= last && right <= next)
        return 0;
    return left >= taken[1] ? 1 : 2;
}

/* Lines for all; a text only where it does not run into another one, to the right of its line or, near the
 * end, to the left. */
static void put_marks(const struct ix_plot *plot, const struct scale *scale, struct ix_buf *out)
{
    double taken[3] = {0, 0, 0}, last = 0;
    const char *class = plot->mark_count > 15 ? "mark many" : "mark";
    for (size_t i = 0; i < plot->mark_count && i < MARKS_SHOWN; i++) {
        const struct ix_plot_mark *mark = &plot->marks[i];
        double x = x_of(scale, mark->t), wide = 6 + CHARACTER * (double)strlen(mark->text);
        if (x > WIDTH - RIGHT + 0.5)
            continue;
        bool to_the_left = x + wide > WIDTH;
        double left = to_the_left ? x - wide : x, right = to_the_left ? x : x + wide;
        double next = i + 1 < plot->mark_count ? x_of(scale, plot->marks[i + 1].t) : INFINITY;
        size_t row = choose_row(taken, left, right, last, next);
        ix_buf_printf(out, "<g class=\"%s\"><title>", class);
        ix_plot_put_time(out, mark->t);
        ix_buf_str(out, "  ");
        ix_report_escape(out, mark->text);
        ix_buf_printf(out, "</title><path d=\"M%.1f %gV%g\"/>", x, row == 1 ? TOP - 20 : TOP - 6,
                      HEIGHT - BOTTOM);
        if (row < 2)
            put_mark_text(out, mark->text, x, row, to_the_left);
        taken[row] = right;
        last = x;
        ix_buf_str(out, "</g>");
    }
}

/* Invisible columns that show a point's values under the pointer. */
static void put_hover(const struct ix_plot *plot, const struct scale *scale, struct ix_buf *out)
{
    size_t step = plot->count / HOVER_COLUMNS + 1;
    double left = LEFT;
    ix_buf_str(out, "<g class=\"hover\">");
    for (size_t i = step - 1; i < plot->count; i += step) {
        double right =
            i + step < plot->count ? x_of(scale, (plot->x[i] + plot->x[i + step]) / 2) : WIDTH - RIGHT;
        ix_buf_printf(out, "<rect x=\"%.1f\" y=\"%g\" width=\"%.1f\" height=\"%g\"><title>", left, TOP,
                      right > left ? right - left : 0, PLOT_HEIGHT);
        ix_plot_put_time(out, plot->x[i]);
        for (size_t c = 0; c < plot->curve_count; c++) {
            double value = plot->curves[c].y[i];
            if (!isfinite(value) || (plot->stacked && value <= 0))
                continue;
            ix_buf_char(out, '\n');
            ix_report_escape(out, plot->curves[c].name);
            ix_buf_str(out, ": ");
            ix_plot_put_value(out, plot->unit, value);
        }
        ix_buf_str(out, "</title></rect>");
        left = right;
    }
    ix_buf_str(out, "</g>");
}

static void put_caption(const struct ix_plot *plot, struct ix_buf *out)
{
    ix_buf_str(out, "<figcaption><h3>");
    ix_report_escape(out, plot->title);
    if (plot->note) {
        ix_buf_str(out, " <small>");
        ix_report_escape(out, plot->note);
        ix_buf_str(out, "</small>");
    }
    ix_buf_str(out, "</h3><ul class=\"legend\">");
    for (size_t c = 0; c < plot->curve_count; c++) {
        if (!has_values(plot, &plot->curves[c]))
            continue;
        ix_buf_printf(out, "<li><i class=\"%s\"></i>", plot->curves[c].colour);
        ix_report_escape(out, plot->curves[c].name);
        ix_buf_str(out, "</li>");
    }
    ix_buf_str(out, "</ul></figcaption>");
}

void ix_plot_write(const struct ix_plot *plot, struct ix_buf *out)
{
    struct scale scale;
    bool any = false;
    for (size_t c = 0; c < plot->curve_count; c++)
        any = any || has_values(plot, &plot->curves[c]);
    if (!any || !find_scale(plot, &scale))
        return;
    ix_buf_str(out, plot->stacked ? "<figure class=\"stacked\">" : "<figure>");
    put_caption(plot, out);
    ix_buf_printf(out, "<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    ix_report_escape(out, plot->title);
    ix_buf_str(out, "\">");
    put_y_axis(plot, &scale, out);
    put_x_axis(&scale, out);
    if (plot->stacked)
        put_stack(plot, &scale, out);
    else
        for (size_t c = 0; c < plot->curve_count; c++)
            put_curve(plot, &scale, &plot->curves[c], plot->curves[c].y, NULL, out);
    put_hover(plot, &scale, out);
    put_marks(plot, &scale, out);
    ix_buf_str(out, "</svg></figure>\n");
}
