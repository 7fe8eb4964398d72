#include "control/replay.h"

#include "base/log.h"
#include "control/journal.h"
#include "control/report_json.h"
#include "control/report_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_json(const char *path)
{
    FILE *file = fopen(path, "re");
    int c = file ? fgetc(file) : EOF;
    while (c == ' ' || c == '\n' || c == '\r' || c == '\t')
        c = fgetc(file);
    if (file)
        fclose(file);
    return c == '{';
}

#define FORMAT_VERSION 1

static json_t *from_report(const char *path, struct ix_error *err)
{
    json_error_t why;
    json_t *report = json_load_file(path, JSON_ALLOW_NUL, &why);
    json_t *run = json_incref(json_object_get(report, "run"));
    const char *format = json_string_value(json_object_get(report, "format"));
    if (!report)
        ix_fail(
            err, -EPROTO,
            "\"%s\" is no whole JSON report: line %d: %s; if it was cut off, repeat the run by its journal: "
            "iotix report lists the runs",
            path, why.line, why.text);
    else if (!format || strcmp(format, "iotix.result") != 0 || !json_is_object(run))
        ix_fail(err, -EPROTO, "\"%s\" is no report of a run: `iotix run --out json=FILE` writes one", path);
    else
        json_object_set(run, "iotix", json_object_get(report, "iotix"));
    json_int_t version = json_integer_value(json_object_get(report, "formatVersion"));
    if (version > FORMAT_VERSION)
        ix_log(
            IX_LOG_WARN,
            "\"%s\" was written by a later version of iotix (format %lld, this one knows %d): what it says "
            "of its run may be understood in part only",
            path, (long long)version, FORMAT_VERSION);
    bool good = format && strcmp(format, "iotix.result") == 0 && json_is_object(run);
    json_decref(report);
    if (good)
        return run;
    json_decref(run);
    return NULL;
}

static json_t *from_journal(const char *data_dir, const char *name, struct ix_error *err)
{
    char *path;
    if (ix_run_find(data_dir, name, &path, err) < 0)
        return NULL;
    struct ix_result *result = ix_calloc(1, sizeof(*result));
    ix_result_init(result);
    json_t *run = NULL;
    if (ix_journal_load(path, result, err) == 0) {
        run = ix_json_run(result);
        json_object_set_new(run, "iotix", json_string(ix_result_version(result)));
    }
    ix_result_deinit(result);
    free(result);
    free(path);
    return run;
}

json_t *ix_replay_load(const char *data_dir, const char *name, struct ix_error *err)
{
    return is_json(name) ? from_report(name, err) : from_journal(data_dir, name, err);
}

/* ---- differences ---- */

static void note(struct ix_result *result, char *text)
{
    ix_log(IX_LOG_WARN, "not as in the run that is repeated: %s", text);
    json_array_append_new(json_object_get(result->replay, "differences"), ix_report_string(text));
    free(text);
}

static char *dump(const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    return text ? text : ix_strdup("nothing");
}

static void compare_values(struct ix_result *result, const char *kind, const char *name, const json_t *was,
                           const json_t *is)
{
    bool same_number = json_is_number(was) && json_is_number(is) &&
                       json_number_value(was) == json_number_value(is); /* 1000, or 1000.0 */
    if (!was || same_number || json_equal(was, is))
        return;
    char *before = dump(was), *now = dump(is);
    note(result, ix_asprintf("%s%s was %.200s, is %.200s", kind, name, before, now));
    free(before);
    free(now);
}

void ix_replay_compare(struct ix_result *result, const json_t *earlier)
{
    const char *name;
    json_t *value;
    json_decref(result->replay);
    json_t *of = json_object_get(earlier, "id");
    result->replay = json_pack("{s:o,s:[]}", "of", of ? json_incref(of) : json_null(), "differences");
    json_t *version = json_string(ix_result_version(result));
    compare_values(result, "", "the version of iotix", json_object_get(earlier, "iotix"), version);
    json_decref(version);
    char hash[20];
    snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)result->scenario_hash);
    json_t *now = json_string(hash);
    compare_values(result, "", "the hash of the scenario file", json_object_get(earlier, "scenarioHash"),
                   now);
    json_decref(now);
    json_object_foreach(json_object_get(earlier, "settings"), name, value)
    {
        /* A group's own broker is known when the group is made; what seed was drawn is given now. */
        if (strncmp(name, "group.", 6) == 0 || strcmp(name, "seed") == 0)
            continue;
        compare_values(result, "setting ", name, json_object_get(value, "value"),
                       json_object_get(json_object_get(result->settings, name), "value"));
    }
    char seed[24];
    snprintf(seed, sizeof(seed), "%llu", (unsigned long long)result->seed);
    json_t *own = json_string(seed);
    compare_values(result, "", "the seed", json_object_get(earlier, "seed"), own);
    json_decref(own);
    json_object_foreach(json_object_get(earlier, "host"), name, value)
        compare_values(result, "this host's ", name, value, json_object_get(result->host, name));
}

void ix_replay_compare_model(struct ix_result *result, const json_t *earlier, const char *id, uint64_t hash)
{
    char now[20];
    size_t i;
    json_t *model;
    snprintf(now, sizeof(now), "%016llx", (unsigned long long)hash);
    const char *other = NULL;
    json_array_foreach(json_object_get(earlier, "models"), i, model)
    {
        const char *known = json_string_value(json_object_get(model, "id"));
        const char *was = json_string_value(json_object_get(model, "hash"));
        if (!known || !was || strcmp(known, id) != 0)
            continue;
        if (strcmp(was, now) == 0)
            return;
        other = was;
    }
    if (other)
        note(result, ix_asprintf("the hash of model %.100s was %.20s, is %s", id, other, now));
}
