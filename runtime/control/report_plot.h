/* Plots over the time of a run, as inline SVG: no script, colours by CSS classes. */
#ifndef IX_CONTROL_REPORT_PLOT_H
#define IX_CONTROL_REPORT_PLOT_H

#include "base/buf.h"

enum ix_plot_unit { IX_PLOT_COUNT, IX_PLOT_PER_SECOND, IX_PLOT_MS };

struct ix_curve {
    const char *name;
    const char *colour; /* class: "c-blue" */
    const double *y;    /* one for each x; NaN leaves a gap */
    bool area;          /* filled down to zero */
};

struct ix_plot_mark { /* a vertical line */
    double t;
    const char *text;
};

struct ix_plot {
    const char *title;
    const char *note; /* behind the title; may be NULL */
    enum ix_plot_unit unit;
    const double *x; /* seconds, rising */
    size_t count;
    double x_max;
    const struct ix_curve *curves;
    size_t curve_count;
    bool stacked;     /* the areas, each on the one before; other curves are lines over them */
    bool logarithmic; /* values of 0 and less have no place in it and leave gaps */
    const struct ix_plot_mark *marks;
    size_t mark_count;
};

/* A <figure>; nothing if no curve has a value above zero. */
void ix_plot_write(const struct ix_plot *plot, struct ix_buf *out);

/* An instant on the axis: "40.2 s", "1:05", "2:03:04". */
void ix_plot_put_time(struct ix_buf *out, double seconds);
void ix_plot_put_value(struct ix_buf *out, enum ix_plot_unit unit, double value);

#endif
