#include "cli/run_values.h"

#include "base/units.h"

#include <ctype.h>
#include <stdlib.h>

json_t *ix_values_settings(const struct ix_option_list *list, struct ix_error *err)
{
    json_t *out = json_object();
    for (size_t i = 0; i < list->count; i++) {
        const char *equals = strchr(list->items[i], '=');
        if (!equals || equals == list->items[i]) {
            ix_fail(err, -EINVAL, "-e %s: write name=value, for an option that the scenario declares",
                    list->items[i]);
            json_decref(out);
            return NULL;
        }
        char *name = ix_strndup(list->items[i], (size_t)(equals - list->items[i]));
        json_object_set_new(out, name, json_string(equals + 1));
        free(name);
    }
    return out;
}

int ix_values_rate(const char *text, double *rate, struct ix_error *err)
{
    *rate = 0;
    if (!text)
        return 0;
    size_t len = strcspn(text, "/");
    double seconds = 1;
    uint64_t count;
    struct ix_error why;
    if (strcmp(text + len, "/m") == 0)
        seconds = 60;
    else if (text[len] && strcmp(text + len, "/s") != 0)
        return ix_fail(err, -EINVAL, "--connect-rate %s: write it as 5000/s or 300/m", text);
    char *number = ix_strndup(text, len);
    int code = ix_units_count(number, &count, &why);
    free(number);
    if (code < 0)
        return ix_fail(err, code, "--connect-rate %s: %s", text, why.text);
    if (count == 0)
        return ix_fail(err, -EINVAL, "--connect-rate %s: nobody would ever connect", text);
    *rate = (double)count / seconds;
    return 0;
}

int ix_values_seed(const char *text, uint64_t *seed, struct ix_error *err)
{
    char *end;
    if (!text)
        return 0;
    errno = 0;
    *seed = strtoull(text, &end, 0);
    if (isdigit((unsigned char)text[0]) && !*end && errno == 0)
        return 0;
    return ix_fail(err, -EINVAL, "--seed %s: it must be a whole number below 2^64", text);
}

int ix_values_data_limit(const char *text, uint64_t *bytes, struct ix_error *err)
{
    struct ix_error why;
    int code = text ? ix_units_bytes(text, bytes, &why) : 0;
    if (code < 0)
        return ix_fail(err, code, "--data-limit %s: %s", text, why.text);
    if (text && *bytes < 1u << 20)
        return ix_fail(err, -EINVAL, "--data-limit %s: it must be 1MiB or more", text);
    return 0;
}

int ix_values_observe(const struct ix_option_list *filters, uint64_t observers, uint64_t late_after_ns,
                      struct ix_error *err)
{
    if (observers > 64)
        return ix_fail(err, -EINVAL, "--observers must be 1 to 64");
    if (filters->count == 0 && (observers || late_after_ns))
        return ix_fail(err, -EINVAL, "--%s wants --observe FILTER", observers ? "observers" : "late-after");
    return 0;
}

int ix_values_workers(uint64_t workers, struct ix_error *err)
{
    if (workers >= 1 && workers <= IX_WORKERS_OPTION_MAX)
        return 0;
    return ix_fail(err, -EINVAL, "--workers %llu: it must be 1 to %d", (unsigned long long)workers,
                   IX_WORKERS_OPTION_MAX);
}
