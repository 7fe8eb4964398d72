#include "base/units.h"

#include <ctype.h>

typedef unsigned __int128 wide;

struct unit {
    const char *name;
    uint64_t size;
};

static const struct unit durations[] = {{"ns", 1},          {"us", IX_US},       {"\xc2\xb5s", IX_US},
                                        {"ms", IX_MS},      {"s", IX_S},         {"m", 60 * IX_S},
                                        {"h", 3600 * IX_S}, {"d", 86400 * IX_S}, {NULL, 0}};

static const struct unit counts[] = {{"", 1},           {"k", 1000},          {"K", 1000},
                                     {"M", 1000000ull}, {"G", 1000000000ull}, {NULL, 0}};

static const struct unit sizes[] = {{"", 1},
                                    {"B", 1},
                                    {"kB", 1000},
                                    {"KB", 1000},
                                    {"MB", 1000000ull},
                                    {"GB", 1000000000ull},
                                    {"TB", 1000000000000ull},
                                    {"KiB", 1ull << 10},
                                    {"MiB", 1ull << 20},
                                    {"GiB", 1ull << 30},
                                    {"TiB", 1ull << 40},
                                    {NULL, 0}};

/* A decimal number, kept exactly as digits / scale. */
struct number {
    uint64_t digits;
    uint64_t scale;
};

/* Reads digits with at most one point; false without a digit or with more digits than 64 bits hold. */
static bool read_number(const char **text, struct number *number)
{
    const char *at = *text;
    bool point = false, any = false;
    *number = (struct number){0, 1};
    for (; isdigit((unsigned char)*at) || (*at == '.' && !point); at++) {
        if (*at == '.') {
            point = true;
            continue;
        }
        any = true;
        if (__builtin_mul_overflow(number->digits, 10, &number->digits) ||
            __builtin_add_overflow(number->digits, (uint64_t)(*at - '0'), &number->digits) ||
            (point && __builtin_mul_overflow(number->scale, 10, &number->scale)))
            return false;
    }
    *text = at;
    return any;
}

/* The unit whose name is the whole run of letters at *text. */
static const struct unit *read_unit(const char **text, const struct unit *units)
{
    size_t len = 0;
    while ((*text)[len] && !isdigit((unsigned char)(*text)[len]) && (*text)[len] != '.')
        len++;
    for (; units->name; units++)
        if (strlen(units->name) == len && memcmp(units->name, *text, len) == 0) {
            *text += len;
            return units;
        }
    return NULL;
}

static int fail_duration(const char *text, struct ix_error *err)
{
    return ix_fail(err, -EINVAL,
                   "\"%s\" is not a duration; write a number with ns, us, ms, s, m, h or d, like \"10s\", "
                   "\"1.5m\" or \"1m30s\"",
                   text);
}

int ix_units_duration(const char *text, uint64_t bare_unit_ns, uint64_t *ns, struct ix_error *err)
{
    const char *at = text;
    wide total = 0;
    uint64_t last_size = UINT64_MAX;
    do {
        struct number number;
        if (!read_number(&at, &number))
            return fail_duration(text, err);
        uint64_t size;
        const struct unit *unit = NULL;
        if (*at == '\0' && last_size == UINT64_MAX) {
            if (!bare_unit_ns)
                return ix_fail(err, -EINVAL, "\"%s\" has no unit; write for example \"%ss\" or \"%sms\"",
                               text, text, text);
            size = bare_unit_ns;
        } else {
            unit = read_unit(&at, durations);
            if (!unit || unit->size >= last_size) /* "30s1m" and "1s2s" are slips */
                return fail_duration(text, err);
            last_size = size = unit->size;
        }
        total += ((wide)number.digits * size + number.scale / 2) / number.scale;
        if (total > UINT64_MAX)
            return ix_fail(err, -EINVAL, "the duration \"%s\" is too long; the longest is 584 years", text);
    } while (*at);
    *ns = (uint64_t)total;
    return 0;
}

/* A whole number with one of `units`. */
static int whole(const char *text, const struct unit *units, uint64_t *result, const char *what,
                 const char *examples, struct ix_error *err)
{
    const char *at = text;
    struct number number;
    const struct unit *unit = read_number(&at, &number) ? read_unit(&at, units) : NULL;
    if (!unit || *at)
        return ix_fail(err, -EINVAL, "\"%s\" is not a %s; write a number like %s", text, what, examples);
    wide total = (wide)number.digits * unit->size;
    if (total % number.scale)
        return ix_fail(err, -EINVAL, "\"%s\" is not a whole %s", text, what);
    if (total / number.scale > UINT64_MAX)
        return ix_fail(err, -EINVAL, "\"%s\" is too large for a %s", text, what);
    *result = (uint64_t)(total / number.scale);
    return 0;
}

int ix_units_count(const char *text, uint64_t *count, struct ix_error *err)
{
    return whole(text, counts, count, "count", "\"5000\", \"1k\" or \"2.5M\"", err);
}

int ix_units_bytes(const char *text, uint64_t *bytes, struct ix_error *err)
{
    return whole(text, sizes, bytes, "number of bytes", "\"512\", \"4KiB\" or \"1MB\"", err);
}

static uint64_t rounded(uint64_t value, uint64_t scale, uint64_t unit)
{
    return (uint64_t)(((wide)value * scale + unit / 2) / unit);
}

/* value / unit with three digits: "1.23", "12.3", "123". */
static void put_three_digits(struct ix_buf *buf, uint64_t value, uint64_t unit)
{
    uint64_t hundredths = rounded(value, 100, unit), tenths = rounded(value, 10, unit);
    if (unit > 1 && hundredths < 1000)
        ix_buf_printf(buf, "%u.%02u", (unsigned)(hundredths / 100), (unsigned)(hundredths % 100));
    else if (unit > 1 && tenths < 1000)
        ix_buf_printf(buf, "%u.%u", (unsigned)(tenths / 10), (unsigned)(tenths % 10));
    else
        ix_buf_printf(buf, "%llu", (unsigned long long)rounded(value, 1, unit));
}

void ix_units_put_duration(struct ix_buf *buf, uint64_t ns)
{
    static const struct unit small[] = {{"ns", 1}, {"\xc2\xb5s", IX_US}, {"ms", IX_MS}, {"s", IX_S}};
    uint64_t seconds = rounded(ns, 1, IX_S), minutes = rounded(ns, 1, 60 * IX_S),
             hours = rounded(ns, 1, 3600 * IX_S);
    if (rounded(ns, 10, IX_S) < 600) {
        size_t i = 0;
        while (i + 1 < IX_ARRAY_LEN(small) && rounded(ns, 1, small[i].size) >= 1000)
            i++;
        put_three_digits(buf, ns, small[i].size);
        ix_buf_printf(buf, " %s", small[i].name);
    } else if (seconds < 3600)
        ix_buf_printf(buf, "%um %02us", (unsigned)(seconds / 60), (unsigned)(seconds % 60));
    else if (minutes < 24 * 60)
        ix_buf_printf(buf, "%uh %02um", (unsigned)(minutes / 60), (unsigned)(minutes % 60));
    else
        ix_buf_printf(buf, "%llud %02uh", (unsigned long long)(hours / 24), (unsigned)(hours % 24));
}

void ix_units_put_count(struct ix_buf *buf, uint64_t count)
{
    char text[32];
    char *end = text + sizeof(text), *at = end;
    int digits = 0;
    do {
        if (digits && digits % 3 == 0)
            *--at = ',';
        *--at = (char)('0' + count % 10);
        count /= 10;
        digits++;
    } while (count);
    ix_buf_put(buf, at, (size_t)(end - at));
}

void ix_units_put_bytes(struct ix_buf *buf, uint64_t bytes)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t i = 0;
    while (i + 1 < IX_ARRAY_LEN(names) && rounded(bytes, 1, 1ull << (10 * i)) >= 1000)
        i++;
    put_three_digits(buf, bytes, 1ull << (10 * i));
    ix_buf_printf(buf, " %s", names[i]);
}
