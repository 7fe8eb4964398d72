#include "metrics/prometheus.h"

#include "base/text.h"

#include <ctype.h>
#include <math.h>

const double ix_prometheus_bounds_s[IX_PROMETHEUS_BOUNDS] = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

void ix_prometheus_family(struct ix_buf *out, const char *name, const char *type, const char *help)
{
    ix_buf_str(out, "# HELP ");
    ix_buf_str(out, name);
    ix_buf_char(out, ' ');
    for (; *help; help++) {
        if (*help == '\n')
            ix_buf_str(out, "\\n");
        else if (*help == '\\')
            ix_buf_str(out, "\\\\");
        else
            ix_buf_char(out, *help);
    }
    ix_buf_str(out, "\n# TYPE ");
    ix_buf_str(out, name);
    ix_buf_char(out, ' ');
    ix_buf_str(out, type);
    ix_buf_char(out, '\n');
}

static void put_value(struct ix_buf *out, double value)
{
    if (isnan(value))
        ix_buf_str(out, "NaN");
    else if (isinf(value))
        ix_buf_str(out, value > 0 ? "+Inf" : "-Inf");
    else
        ix_text_double(out, value);
}

/* A label's value: what is no UTF-8 becomes "?", since Prometheus refuses the whole answer otherwise. */
static void put_label(struct ix_buf *out, const char *name, const char *value)
{
    bool valid = ix_text_is_utf8(value, strlen(value));
    ix_buf_str(out, name);
    ix_buf_str(out, "=\"");
    for (; *value; value++) {
        if (*value == '"' || *value == '\\') {
            ix_buf_char(out, '\\');
            ix_buf_char(out, *value);
        } else if (*value == '\n') {
            ix_buf_str(out, "\\n");
        } else {
            ix_buf_char(out, valid || (unsigned char)*value < 0x80 ? *value : '?');
        }
    }
    ix_buf_char(out, '"');
}

static void put_labels(struct ix_buf *out, const char *const *labels, const char *bound)
{
    const char *between = "{";
    for (; labels && labels[0]; labels += 2) {
        ix_buf_str(out, between);
        put_label(out, labels[0], labels[1]);
        between = ",";
    }
    if (bound) {
        ix_buf_str(out, between);
        put_label(out, "le", bound);
        between = ",";
    }
    if (*between == ',')
        ix_buf_char(out, '}');
    ix_buf_char(out, ' ');
}

void ix_prometheus_sample(struct ix_buf *out, const char *name, const char *const *labels, double value)
{
    ix_buf_str(out, name);
    put_labels(out, labels, NULL);
    put_value(out, value);
    ix_buf_char(out, '\n');
}

void ix_prometheus_single(struct ix_buf *out, const char *name, const char *type, const char *help,
                          double value)
{
    ix_prometheus_family(out, name, type, help);
    ix_prometheus_sample(out, name, NULL, value);
}

static void put_part(struct ix_buf *out, const char *name, const char *part, const char *const *labels,
                     const char *bound, double value)
{
    ix_buf_str(out, name);
    ix_buf_str(out, part);
    put_labels(out, labels, bound);
    put_value(out, value);
    ix_buf_char(out, '\n');
}

void ix_prometheus_buckets(struct ix_buf *out, const char *name, const char *const *labels,
                           const double *bounds, const uint64_t *counts, size_t count, double sum)
{
    uint64_t total = 0;
    struct ix_buf bound;
    ix_buf_init(&bound, 64);
    for (size_t i = 0; i < count; i++) {
        total += counts[i];
        ix_buf_clear(&bound);
        ix_text_double(&bound, bounds[i]);
        put_part(out, name, "_bucket", labels, ix_buf_cstr(&bound), (double)total);
    }
    total += counts[count];
    put_part(out, name, "_bucket", labels, "+Inf", (double)total);
    put_part(out, name, "_sum", labels, NULL, sum);
    put_part(out, name, "_count", labels, NULL, (double)total);
    ix_buf_deinit(&bound);
}

/* The middle of a bucket in ns: what ix_histogram_index maps to it, on average. */
static double middle_of(size_t index)
{
    if (index < (1u << IX_HISTOGRAM_SUB_BITS))
        return (double)index;
    int shift = (int)(index >> IX_HISTOGRAM_SUB_BITS) - 1;
    return ldexp(64.5 + (double)(index & 63), shift);
}

void ix_prometheus_histogram(struct ix_buf *out, const char *name, const char *const *labels,
                             const struct ix_histogram *histogram)
{
    uint64_t counts[IX_PROMETHEUS_BOUNDS + 1] = {0};
    size_t bound = 0;
    for (size_t i = 0; i < IX_HISTOGRAM_BUCKETS; i++) {
        while (bound < IX_PROMETHEUS_BOUNDS && middle_of(i) > ix_prometheus_bounds_s[bound] * 1e9)
            bound++;
        counts[bound] += histogram->buckets[i];
    }
    ix_prometheus_buckets(out, name, labels, ix_prometheus_bounds_s, counts, IX_PROMETHEUS_BOUNDS,
                          (double)histogram->sum / 1e9);
}

void ix_prometheus_name(struct ix_buf *out, const char *metric, const char *end)
{
    ix_buf_str(out, "iotix_");
    for (; *metric; metric++) {
        if (isupper((unsigned char)*metric)) {
            ix_buf_char(out, '_');
            ix_buf_char(out, (char)tolower((unsigned char)*metric));
        } else {
            ix_buf_char(out, isalnum((unsigned char)*metric) ? *metric : '_');
        }
    }
    ix_buf_str(out, end);
}
