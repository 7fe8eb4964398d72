/* The text of one threshold: aggregate, comparison, value, window. */
#include "control/threshold_rule.h"

#include "base/units.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const aggregates[] = {"count", "rate", "value", "avg", "min", "max", "med", "sum"};
#define AGGREGATES "count, rate, value, avg, min, max, med, sum, p(N)"

/* "<=" stands before "<", so that the longer one is found. */
static const char *const comparisons[] = {[IX_OP_LE] = "<=", [IX_OP_LT] = "<",  [IX_OP_GE] = ">=",
                                          [IX_OP_GT] = ">",  [IX_OP_EQ] = "==", [IX_OP_NE] = "!="};

static const struct {
    const char *name;
    enum ix_unit unit;
    double factor; /* to ms, to a share, to a plain number; divisors are exact where factors are not */
    double divisor;
} units[] = {{"", IX_UNIT_NONE, 1, 1},
             {"%", IX_UNIT_PERCENT, 1, 100},
             {"ns", IX_UNIT_DURATION, 1, 1e6},
             {"us", IX_UNIT_DURATION, 1, 1e3},
             {"\xc2\xb5s", IX_UNIT_DURATION, 1, 1e3},
             {"ms", IX_UNIT_DURATION, 1, 1},
             {"s", IX_UNIT_DURATION, 1e3, 1},
             {"m", IX_UNIT_DURATION, 6e4, 1},
             {"h", IX_UNIT_DURATION, 3.6e6, 1},
             {"k", IX_UNIT_SCALE, 1e3, 1},
             {"K", IX_UNIT_SCALE, 1e3, 1},
             {"M", IX_UNIT_SCALE, 1e6, 1},
             {"G", IX_UNIT_SCALE, 1e9, 1}};

struct cursor {
    const char *text;
    const char *at;
    struct ix_error *err;
};

static int fail_here(const struct cursor *in, const char *expected)
{
    if (*in->at)
        return ix_fail(in->err, -EINVAL, "\"%.200s\", column %zu (\"%.40s\"): expected %s", in->text,
                       (size_t)(in->at - in->text) + 1, in->at, expected);
    return ix_fail(in->err, -EINVAL, "\"%.200s\" ends too early: expected %s", in->text, expected);
}

static void skip_space(struct cursor *in)
{
    while (isspace((unsigned char)*in->at))
        in->at++;
}

/* A decimal number without sign of strtod's other spellings (hexadecimal, "inf", "nan"). */
static bool read_number(struct cursor *in, double *value)
{
    const char *at = in->at;
    if (*at == '-' || *at == '+')
        at++;
    if (!isdigit((unsigned char)*at) && !(*at == '.' && isdigit((unsigned char)at[1])))
        return false;
    if (at[0] == '0' && (at[1] == 'x' || at[1] == 'X'))
        return false;
    char *end;
    *value = strtod(in->at, &end);
    in->at = end;
    return true;
}

static int read_percentile(struct cursor *in, struct ix_rule *rule)
{
    in->at += 2;
    skip_space(in);
    const char *start = in->at;
    if (!read_number(in, &rule->percent))
        return fail_here(in, "a percentile, as in p(95) or p(99.9)");
    if (!(rule->percent >= 0 && rule->percent <= 100)) {
        in->at = start;
        return fail_here(in, "a percentile from 0 to 100");
    }
    skip_space(in);
    if (*in->at != ')')
        return fail_here(in, "\")\"");
    in->at++;
    rule->aggregate = IX_AGG_PERCENTILE;
    snprintf(rule->label, sizeof(rule->label), "p(%g)", rule->percent);
    return 0;
}

static int read_aggregate(struct cursor *in, struct ix_rule *rule)
{
    if (strncmp(in->at, "p(", 2) == 0)
        return read_percentile(in, rule);
    size_t len = 0;
    while (isalpha((unsigned char)in->at[len]))
        len++;
    for (size_t i = 0; i < IX_ARRAY_LEN(aggregates); i++)
        if (strlen(aggregates[i]) == len && strncmp(aggregates[i], in->at, len) == 0) {
            rule->aggregate = (enum ix_aggregate)i;
            snprintf(rule->label, sizeof(rule->label), "%s", aggregates[i]);
            in->at += len;
            return 0;
        }
    return fail_here(in, "one of " AGGREGATES);
}

static int read_operator(struct cursor *in, struct ix_rule *rule)
{
    for (size_t i = 0; i < IX_ARRAY_LEN(comparisons); i++) {
        size_t len = strlen(comparisons[i]);
        if (strncmp(in->at, comparisons[i], len) == 0) {
            rule->comparison = (enum ix_comparison)i;
            in->at += len;
            return 0;
        }
    }
    return fail_here(in, "one of <, <=, >, >=, ==, !=");
}

static int read_value(struct cursor *in, struct ix_rule *rule)
{
    const char *start = in->at;
    double value;
    if (!read_number(in, &value))
        return fail_here(in, "a number, as in 500ms, 1%, 1k or 0.01");
    size_t len = strcspn(in->at, " \t\r\n");
    for (size_t i = 0; i < IX_ARRAY_LEN(units); i++)
        if (strlen(units[i].name) == len && strncmp(units[i].name, in->at, len) == 0) {
            rule->unit = units[i].unit;
            rule->limit = value * units[i].factor / units[i].divisor;
            in->at += len;
            snprintf(rule->bound, sizeof(rule->bound), "%s %.*s", comparisons[rule->comparison],
                     (int)(in->at - start), start);
            return 0;
        }
    return fail_here(in, "a unit: ns, us, ms, s, m, h, %, k, M, G, or none");
}

static int read_window(struct cursor *in, uint64_t *over_ns)
{
    if (strncmp(in->at, "over", 4) != 0 || !isspace((unsigned char)in->at[4]))
        return fail_here(in, "\"over\" and a window, as in \"over 5m\", or nothing more");
    in->at += 4;
    skip_space(in);
    struct cursor window = *in;
    size_t len = strlen(in->at);
    while (len && isspace((unsigned char)in->at[len - 1]))
        len--;
    char text[64];
    snprintf(text, sizeof(text), "%.*s", (int)len, in->at);
    struct ix_error ignored;
    if (len >= sizeof(text) || ix_units_duration(text, 0, over_ns, &ignored) < 0 || *over_ns < IX_S)
        return fail_here(&window, "a window of 1s or more, with its unit, as in \"30s\" or \"5m\"");
    return 0;
}

int ix_rule_parse(const char *text, struct ix_rule *rule, uint64_t *over_ns, struct ix_error *err)
{
    struct cursor in = {text, text, err};
    memset(rule, 0, sizeof(*rule));
    skip_space(&in);
    int code = read_aggregate(&in, rule);
    if (code < 0)
        return code;
    skip_space(&in);
    code = read_operator(&in, rule);
    if (code < 0)
        return code;
    skip_space(&in);
    code = read_value(&in, rule);
    if (code < 0)
        return code;
    skip_space(&in);
    return *in.at ? read_window(&in, over_ns) : 0;
}

static const struct {
    unsigned allowed; /* bit set of aggregates */
    const char *list;
} by_kind[] = {
    [IX_METRIC_NONE] = {~0u, AGGREGATES},
    [IX_METRIC_COUNTER] = {1u << IX_AGG_COUNT | 1u << IX_AGG_RATE, "count, or rate (per second)"},
    [IX_METRIC_GAUGE] = {1u << IX_AGG_VALUE | 1u << IX_AGG_MIN | 1u << IX_AGG_MAX, "value, min or max"},
    [IX_METRIC_RATE] = {1u << IX_AGG_RATE, "rate (a share, 0 to 1 or 0% to 100%)"},
    [IX_METRIC_TREND] = {1u << IX_AGG_AVG | 1u << IX_AGG_MIN | 1u << IX_AGG_MAX | 1u << IX_AGG_MED |
                             1u << IX_AGG_SUM | 1u << IX_AGG_PERCENTILE | 1u << IX_AGG_COUNT,
                         "avg, min, max, med, p(N), sum or count"},
};

const char *ix_rule_mismatch(const struct ix_rule *rule, const char *metric, enum ix_metric_kind kind,
                             char *text, size_t size)
{
    if (kind == IX_METRIC_NONE)
        return NULL;
    if (!(by_kind[kind].allowed >> rule->aggregate & 1)) {
        snprintf(text, size, "%s is a %s, which has no %s: write %s", metric, ix_metric_kind_names[kind],
                 rule->label, by_kind[kind].list);
        return text;
    }
    if (kind == IX_METRIC_RATE) {
        if (rule->unit == IX_UNIT_DURATION || rule->unit == IX_UNIT_SCALE || rule->limit > 1) {
            snprintf(text, size, "%s is a share between 0 and 1: write 0.05 or 5%%, not \"%s\"", metric,
                     rule->bound + strcspn(rule->bound, " ") + 1);
            return text;
        }
        return NULL;
    }
    bool duration = kind == IX_METRIC_TREND && rule->aggregate != IX_AGG_COUNT;
    if (rule->unit == IX_UNIT_NONE || rule->unit == (duration ? IX_UNIT_DURATION : IX_UNIT_SCALE))
        return NULL;
    snprintf(text, size, "the %s of %s is a %s: write %s, not \"%s\"", rule->label, metric,
             duration ? "duration" : "number",
             duration ? "it in ms, or with us, s or m" : "it plainly, or with k, M or G",
             rule->bound + strcspn(rule->bound, " ") + 1);
    return text;
}
