/* The scenario's table of thresholds. */
#include "control/threshold_rule.h"

#include "base/suggest.h"
#include "base/units.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THRESHOLDS_MAX 1000

/* Collects every fault: one line each. */
struct faults {
    struct ix_buf lines;
    size_t count;
};

static void fault(struct faults *faults, const char *key, const char *text)
{
    ix_buf_printf(&faults->lines, "%sthresholds[\"%.120s\"]: %s", faults->count++ ? "\n" : "", key, text);
}

static char *trimmed(const char *text, size_t len)
{
    while (len && isspace((unsigned char)*text)) {
        text++;
        len--;
    }
    while (len && isspace((unsigned char)text[len - 1]))
        len--;
    return ix_strndup(text, len);
}

/* "a:b , c:d" → "a:b,c:d". NULL if an item is not key:value. "name:…" takes all that follows: names of
 * checks may have any text. */
static char *parse_tags(const char *text, size_t len)
{
    struct ix_buf out;
    ix_buf_init(&out, 4096);
    bool good = true;
    for (size_t at = 0, end; at < len && good; at = end + 1) {
        for (end = at; end < len && text[end] != ','; end++)
            ;
        char *item = trimmed(text + at, end - at);
        if (strncmp(item, "name:", 5) == 0) {
            free(item);
            item = trimmed(text + at, len - at);
            end = len;
        }
        const char *colon = strchr(item, ':');
        good = colon && colon > item && colon[1];
        if (out.len)
            ix_buf_char(&out, ',');
        ix_buf_str(&out, item);
        free(item);
    }
    good = good && out.len && !out.overflow;
    char *result = good ? ix_strdup(ix_buf_cstr(&out)) : NULL;
    ix_buf_deinit(&out);
    return result;
}

/* Splits "metric{tags}"; false with a fault. */
static bool parse_key(const char *key, char **metric, char **tags, struct faults *faults)
{
    size_t len = strlen(key), open = strcspn(key, "{");
    *metric = trimmed(key, open);
    *tags = NULL;
    if (**metric == '\0')
        fault(faults, key, "there is no metric in front; write for example \"publish.latency{group:env}\"");
    else if (open == len)
        *tags = ix_strdup("");
    else {
        while (len && isspace((unsigned char)key[len - 1]))
            len--;
        if (key[len - 1] == '}')
            *tags = parse_tags(key + open + 1, len - open - 2);
        if (!*tags)
            fault(faults, key,
                  "the filter is not understood; write {key:value} or {key:value,key:value}, for "
                  "example \"publish.latency{group:env}\"");
    }
    if (*tags)
        return true;
    free(*metric);
    return false;
}

/* What one entry says, before it is added. */
struct entry {
    const char *text;
    bool abort_on_fail;
    uint64_t delay_abort_ns;
    uint64_t over_ns;
};

static bool parse_duration(const char *key, const char *name, const json_t *value, uint64_t least,
                           uint64_t *ns, struct faults *faults)
{
    struct ix_error err = {0};
    if (json_is_string(value) && ix_units_duration(json_string_value(value), 0, ns, &err) == 0 &&
        *ns >= least)
        return true;
    char text[2300];
    if (!json_is_string(value))
        snprintf(text, sizeof(text), "%s must be a text with a unit, like \"30s\"", name);
    else if (err.code)
        snprintf(text, sizeof(text), "%s: %s", name, err.text);
    else
        snprintf(text, sizeof(text), "%s: a window must be 1s or longer", name);
    fault(faults, key, text);
    return false;
}

static bool parse_object(const char *key, const json_t *object, struct entry *entry, struct faults *faults)
{
    static const char *const known[] = {"threshold", "abortOnFail", "delayAbort", "over"};
    size_t before = faults->count;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        char text[512], near[256];
        if (strcmp(name, "threshold") == 0) {
            entry->text = json_string_value(value);
            if (!entry->text)
                fault(faults, key, "threshold must be a text like \"p(95)<500ms\"");
        } else if (strcmp(name, "abortOnFail") == 0) {
            entry->abort_on_fail = json_is_true(value);
            if (!json_is_boolean(value))
                fault(faults, key, "abortOnFail must be true or false");
        } else if (strcmp(name, "delayAbort") == 0)
            parse_duration(key, name, value, 0, &entry->delay_abort_ns, faults);
        else if (strcmp(name, "over") == 0)
            parse_duration(key, name, value, IX_S, &entry->over_ns, faults);
        else {
            ix_suggest_put(near, sizeof(near), name, known, IX_ARRAY_LEN(known));
            snprintf(text, sizeof(text), "unknown key \"%.100s\"%s", name, near);
            fault(faults, key, text);
        }
    }
    if (faults->count == before && !entry->text)
        fault(faults, key, "there is no \"threshold\"; write for example {threshold = \"p(95)<500ms\"}");
    return faults->count == before;
}

static void add_entry(struct ix_thresholds *thresholds, const char *key, const char *metric, const char *tags,
                      const json_t *value, struct faults *faults)
{
    struct entry entry = {0};
    if (json_is_string(value))
        entry.text = json_string_value(value);
    else if (json_is_object(value)) {
        if (!parse_object(key, value, &entry, faults))
            return;
    } else {
        fault(faults, key, "a threshold is a text like \"p(95)<500ms\", or a table with \"threshold\"");
        return;
    }
    struct ix_error err;
    struct ix_rule rule;
    if (ix_rule_parse(entry.text, &rule, &entry.over_ns, &err) < 0) {
        fault(faults, key, err.text);
        return;
    }
    const struct ix_metric_doc *known = ix_metric_find(metric);
    char text[512];
    if (known && ix_rule_mismatch(&rule, metric, known->kind, text, sizeof(text))) {
        fault(faults, key, text);
        return;
    }
    if (thresholds->count == THRESHOLDS_MAX) {
        fault(faults, key, "there are more than 1,000 thresholds");
        return;
    }
    rule.delivery = strncmp(metric, "delivery.", 9) == 0;
    size_t at = thresholds->count++;
    thresholds->items = ix_realloc(thresholds->items, thresholds->count * sizeof(*thresholds->items));
    thresholds->rules = ix_realloc(thresholds->rules, thresholds->count * sizeof(*thresholds->rules));
    thresholds->rules[at] = rule;
    thresholds->items[at] = (struct ix_threshold){.metric = ix_strdup(metric),
                                                  .tags = ix_strdup(tags),
                                                  .text = ix_strdup(entry.text),
                                                  .abort_on_fail = entry.abort_on_fail,
                                                  .delay_abort_ns = entry.delay_abort_ns,
                                                  .over_ns = entry.over_ns,
                                                  .measured = NAN};
}

static void add_metric(struct ix_thresholds *thresholds, const char *key, const json_t *value,
                       struct faults *faults)
{
    char *metric, *tags;
    if (!parse_key(key, &metric, &tags, faults))
        return;
    size_t i;
    json_t *item;
    if (json_is_array(value)) {
        json_array_foreach(value, i, item) add_entry(thresholds, key, metric, tags, item, faults);
    } else
        add_entry(thresholds, key, metric, tags, value, faults);
    free(metric);
    free(tags);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In the order of names: a table of the scenario has no order of its own. */
int ix_thresholds_parse(const json_t *table, struct ix_thresholds **thresholds, struct ix_error *err)
{
    *thresholds = NULL;
    if (table && !json_is_object(table) && json_array_size(table))
        return ix_fail(err, -EINVAL, "thresholds must be a table like {[\"messages.sent\"] = \"count>100\"}");
    struct ix_thresholds *result = ix_calloc(1, sizeof(*result));
    struct faults faults = {.count = 0};
    ix_buf_init(&faults.lines, 1 << 16);
    size_t count = json_object_size(table), i = 0;
    const char **keys = ix_calloc(count, sizeof(*keys));
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)table, key, value) keys[i++] = key;
    if (count)
        qsort(keys, count, sizeof(*keys), by_name);
    for (i = 0; i < count; i++)
        add_metric(result, keys[i], json_object_get(table, keys[i]), &faults);
    free(keys);
    int code = 0;
    if (faults.count) {
        code = ix_fail(err, -EINVAL, "%s", ix_buf_cstr(&faults.lines));
        ix_thresholds_free(result);
    } else
        *thresholds = result;
    ix_buf_deinit(&faults.lines);
    return code;
}

void ix_thresholds_free(struct ix_thresholds *thresholds)
{
    if (!thresholds)
        return;
    for (size_t i = 0; i < thresholds->count; i++) {
        free(thresholds->items[i].metric);
        free(thresholds->items[i].tags);
        free(thresholds->items[i].text);
        free(thresholds->rules[i].window.points);
    }
    free(thresholds->items);
    free(thresholds->rules);
    free(thresholds);
}

static enum ix_metric_kind declared_kind(const json_t *declared, const char *metric)
{
    const char *text = json_string_value(json_object_get(declared, metric));
    for (int kind = IX_METRIC_COUNTER; text && kind <= IX_METRIC_TREND; kind++)
        if (strcmp(text, ix_metric_kind_names[kind]) == 0)
            return (enum ix_metric_kind)kind;
    return IX_METRIC_NONE;
}

static void suggest(const json_t *declared, const char *metric, char *out, size_t size)
{
    size_t known_count, count = 0;
    const char *const *known = ix_metric_names(&known_count);
    const char **all = ix_calloc(known_count + json_object_size(declared), sizeof(*all)), *name;
    memcpy(all, known, known_count * sizeof(*all));
    json_t *kind;
    json_object_foreach((json_t *)declared, name, kind) all[known_count + count++] = name;
    ix_suggest_put(out, size, metric, all, known_count + count);
    free(all);
}

int ix_thresholds_check_metrics(const struct ix_thresholds *thresholds, const json_t *declared,
                                struct ix_error *err)
{
    struct faults faults = {.count = 0};
    ix_buf_init(&faults.lines, 1 << 16);
    for (size_t i = 0; thresholds && i < thresholds->count; i++) {
        const char *metric = thresholds->items[i].metric;
        enum ix_metric_kind kind = declared_kind(declared, metric);
        char near[512], text[700];
        if (kind != IX_METRIC_NONE && !ix_metric_find(metric)) {
            if (ix_rule_mismatch(&thresholds->rules[i], metric, kind, text, sizeof(text)))
                fault(&faults, metric, text);
            continue;
        }
        if (thresholds->rules[i].delivery || ix_metric_find(metric) ||
            (i && strcmp(metric, thresholds->items[i - 1].metric) == 0))
            continue;
        suggest(declared, metric, near, sizeof(near));
        snprintf(text, sizeof(text), "there is no metric of that name%s", near);
        fault(&faults, metric, text);
    }
    int code = faults.count ? ix_fail(err, -EINVAL, "%s", ix_buf_cstr(&faults.lines)) : 0;
    ix_buf_deinit(&faults.lines);
    return code;
}

const struct ix_threshold *ix_thresholds_list(const struct ix_thresholds *thresholds, size_t *count)
{
    *count = thresholds ? thresholds->count : 0;
    return thresholds ? thresholds->items : NULL;
}
