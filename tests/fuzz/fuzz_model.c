/* Models from anywhere: parse, compile, and if that succeeds use every compiled part once. */
#include "driver.h"

#include "generator/generator.h"
#include "model/endpoint.h"

#include <glob.h>

static bool no_value(void *context, size_t place, struct ix_value *out)
{
    (void)context;
    *out = (struct ix_value){.kind = IX_V_NUMBER, .decimals = 1, .number = (double)place};
    return place % 2 == 0;
}

static const struct ix_template_scope scope = {.device_id = "d-1",
                                               .device_id_len = 3,
                                               .model_id = "m",
                                               .group_id = "g",
                                               .index = 1,
                                               .wall_ns = 1700000000000000000,
                                               .value = no_value,
                                               .extra = no_value};

static void render(const struct ix_template *t)
{
    struct ix_buf out;

    if (!t)
        return;
    ix_buf_init(&out, 1 << 20);
    ix_template_render(t, &scope, &out);
    ix_buf_deinit(&out);
}

static void sample(const struct ix_model *m, const struct ix_generator_spec *spec, struct ix_value *value)
{
    static const uint64_t ticks[] = {0, 1, 1000, UINT64_MAX};
    struct ix_generator g;
    struct ix_error err;
    struct ix_buf out;

    value->kind = IX_V_NONE;
    if (ix_generator_open(&g, spec, m, &err) < 0)
        return;
    ix_buf_init(&out, 1 << 20);
    for (size_t i = 0; i < IX_ARRAY_LEN(ticks); i++) {
        struct ix_draw draw = {.key = 42, .tick = ticks[i]};

        if (g.class->sample(&g, &draw, value, &err) == 0)
            ix_value_put_json(&out, value);
    }
    ix_buf_deinit(&out);
    ix_generator_close(&g);
    if (value->kind >= IX_V_STRING) /* borrowed from the generator */
        value->kind = IX_V_NONE;
}

static void use(const struct ix_model *m)
{
    struct ix_value *values = ix_calloc(m->attribute_count + 1, sizeof(values[0]));

    render(m->connection.topic);
    render(m->connection.client_id);
    for (size_t i = 0; i < m->attribute_count; i++) {
        render(m->attributes[i].topic);
        sample(m, &m->attributes[i].generator, &values[i]);
    }
    for (size_t i = 0; i < m->behavior_count; i++) {
        if (m->behaviors[i].condition)
            ix_expression_holds(m->behaviors[i].condition, values);
    }
    for (size_t i = 0; i < m->command_count; i++) {
        struct ix_buf out;

        render(m->commands[i].topic);
        ix_buf_init(&out, 1 << 20);
        if (m->commands[i].response)
            ix_json_template_render(m->commands[i].response, &scope, &out);
        ix_buf_deinit(&out);
    }
    free(values);
}

static void fuzz_small_languages(const char *text)
{
    static const char *const names[] = {"x", "heartRate", "cpuUsage"};
    const struct ix_value values[] = {{.kind = IX_V_INTEGER, .integer = 3},
                                      {.kind = IX_V_STRING, .text = {"on", 2}},
                                      {.kind = IX_V_NUMBER, .number = 0.5}};
    struct ix_expression *e = ix_expression_compile(text, names, 3, NULL);
    struct ix_id_pattern pattern;
    struct ix_endpoint endpoint;

    if (e)
        ix_expression_holds(e, values);
    ix_expression_free(e);
    if (ix_id_pattern_compile(&pattern, text, "g", NULL) == 0)
        ix_id_pattern_deinit(&pattern);
    for (int i = 0; i < 3; i++)
        ix_endpoint_parse(text, (enum ix_protocol_kind)i, &endpoint, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct ix_model_options options = {.folder = "models", .lenient = size % 2};
    char *text = ix_strndup((const char *)data, size);
    struct ix_faults faults;
    struct ix_error err;

    ix_faults_init(&faults);
    struct ix_model *m = ix_model_parse((const char *)data, size, &options, &faults);
    IX_REQUIRE(!m == (faults.errors > 0));
    ix_faults_fail(&faults, "input", &err);
    if (m)
        use(m);
    ix_model_free(m);
    ix_faults_deinit(&faults);
    fuzz_small_languages(text);
    free(text);
    return 0;
}

const char *const fuzz_words[] = {"${deviceId}",
                                  "{index}",
                                  "${metadata.a}",
                                  "${",
                                  "\"",
                                  "{",
                                  "}",
                                  "[",
                                  "]",
                                  ",",
                                  ":",
                                  "null",
                                  "true",
                                  "-1",
                                  "1e308",
                                  "0.1",
                                  "9223372036854775807",
                                  "1e-320",
                                  "\"type\":",
                                  "\"random\"",
                                  "\"sequence\"",
                                  "\"constant\"",
                                  "\"replay\"",
                                  "\"custom\"",
                                  "\"min\":",
                                  "\"max\":",
                                  "\"step\":",
                                  "\"value\":",
                                  "\"states\":{\"a\":{}}",
                                  "\"handler\":\"h\"",
                                  "\"trigger\":",
                                  "\"integer\"",
                                  "\"boolean\"",
                                  "\"string\"",
                                  "\"binary\"",
                                  "\"values\":[\"a\"]",
                                  "\"precision\":15",
                                  "\"protocol\":\"http\"",
                                  "\"protocol\":\"coap\"",
                                  "\\u0000",
                                  "\\ud800",
                                  "\xff",
                                  "x > 1",
                                  " && ",
                                  "(((((",
                                  "!",
                                  "'on'",
                                  " == ",
                                  "mqtt://",
                                  "[::1]:1",
                                  "\"children\":[{\"model\":{}}]",
                                  "\"telemetry\":[]",
                                  "\"wrap\":true",
                                  "\"name\":",
                                  "\"config\":{}",
                                  NULL};

size_t fuzz_seeds(struct fuzz_seed *seeds, size_t max)
{
    static const char *const conditions[] = {"x > 1 && heartRate == 'on' || !(cpuUsage / 2 < 1)",
                                             "a-{index}-{groupId}", "mqtts://[::1]:8883"};
    size_t count = 0;
    glob_t found;

    if (glob("models/*-*.json", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc && count < max; i++) {
            if (!strstr(found.gl_pathv[i], ".schema.") &&
                ix_file_read(found.gl_pathv[i], 1 << 16, &seeds[count].data, &seeds[count].len, NULL) == 0)
                count++;
        }
        globfree(&found);
    }
    for (size_t i = 0; i < IX_ARRAY_LEN(conditions) && count < max; i++, count++)
        seeds[count] = (struct fuzz_seed){ix_strdup(conditions[i]), strlen(conditions[i])};
    return count;
}

/* Any value, from a list of awkward ones. */
static json_t *any_value(uint64_t bits)
{
    static const char *const values[] = {
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "2",
        "5",
        "1e308",
        "-1e308",
        "1e-300",
        "0.1",
        "3.7",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "\"\"",
        "\"x\"",
        "\"heartRate > 1 || x\"",
        "\"${deviceId}\"",
        "\"${index}${heartRate}\"",
        "\"a/+/#\"",
        "\"random\"",
        "\"sequence\"",
        "\"constant\"",
        "\"replay\"",
        "\"custom\"",
        "\"number\"",
        "\"integer\"",
        "\"boolean\"",
        "\"string\"",
        "\"binary\"",
        "\"normal\"",
        "\"exponential\"",
        "\"mqtt\"",
        "\"coap\"",
        "\"http\"",
        "\"data/historical/sensor-readings.csv\"",
        "\"../x\"",
        "\"AAAA\"",
        "[]",
        "{}",
        "[1,\"a\",null]",
        "[\"a\",\"b\"]",
        "{\"type\":\"random\"}",
        "{\"type\":\"sequence\",\"step\":0.1,\"wrap\":true}",
        "{\"type\":\"constant\",\"value\":1.50}",
        "{\"a\":{\"after\":{\"ms\":1,\"to\":\"a\"},\"telemetry\":{\"heartRate\":{\"value\":1}}}}",
        "[{\"name\":\"x\",\"type\":\"number\",\"generator\":{\"type\":\"random\"}}]",
        "{\"topic\":\"a\",\"payload\":{\"v\":\"${deviceId}\"}}",
        "[{\"name\":\"b\",\"handler\":\"h\"}]",
    };

    return json_loads(values[ix_random_below(bits, IX_ARRAY_LEN(values))], JSON_DECODE_ANY, NULL);
}

static const char *const keys[] = {
    "id",
    "name",
    "type",
    "protocol",
    "connection",
    "telemetry",
    "commands",
    "behaviors",
    "children",
    "metadata",
    "broker",
    "port",
    "tls",
    "qos",
    "keepAlive",
    "topicPattern",
    "clientIdPattern",
    "will",
    "reconnect",
    "payload",
    "passwordRef",
    "generator",
    "unit",
    "intervalMs",
    "phase",
    "topic",
    "precision",
    "min",
    "max",
    "mean",
    "stddev",
    "rate",
    "distribution",
    "probability",
    "values",
    "start",
    "step",
    "wrap",
    "value",
    "dataFile",
    "file",
    "column",
    "loop",
    "loopReplay",
    "frameBytes",
    "handler",
    "config",
    "params",
    "trigger",
    "action",
    "actions",
    "states",
    "initial",
    "condition",
    "mode",
    "cooldownMs",
    "command",
    "attribute",
    "after",
    "when",
    "enter",
    "to",
    "ms",
    "parameters",
    "response",
    "template",
    "required",
    "model",
    "count",
    "idPattern",
    "server",
    "baseUrl",
    "path",
    "headers",
    "nonsense",
};

static const char *any_key(uint64_t bits)
{
    return keys[ix_random_below(bits, IX_ARRAY_LEN(keys))];
}

/* Changes one node somewhere below. */
static void change(json_t *json, uint64_t key)
{
    uint64_t draws = 0;

    for (int depth = 0; depth < 12; depth++) {
        uint64_t what = ix_random_u64(key, draws++), value = ix_random_u64(key, draws++);
        size_t size = json_is_array(json) ? json_array_size(json) : json_object_size(json);
        size_t at = size ? ix_random_below(ix_random_u64(key, draws++), size) : 0;
        const char *name = NULL, *k;
        json_t *child = json_is_array(json) ? json_array_get(json, at) : NULL, *v;

        json_object_foreach(json, k, v)
        {
            if (at-- == 0) {
                name = k;
                child = v;
            }
        }
        if ((json_is_object(child) || json_is_array(child)) && what % 4 != 0) {
            json = child;
            continue;
        }
        if (json_is_array(json)) {
            if (what % 3 == 0)
                json_array_append_new(json, child ? json_deep_copy(child) : any_value(value));
            else if (child)
                json_array_set_new(json, at, any_value(value));
        } else if (what % 3 == 0 || !name) {
            json_object_set_new(json, any_key(what >> 8), any_value(value));
        } else if (what % 3 == 1) {
            json_object_del(json, name);
        } else {
            json_object_set_new(json, name, any_value(value));
        }
        return;
    }
}

size_t fuzz_restructure(char *data, size_t len, size_t max, uint64_t key)
{
    json_t *json = json_loadb(data, len, 0, NULL);
    uint64_t changes = 1 + ix_random_below(ix_random_u64(key, 1000), 4);

    if (!json)
        return 0;
    for (uint64_t i = 0; i < changes; i++)
        change(json, ix_random_key(key, i));
    len = json_dumpb(json, data, max, JSON_COMPACT);
    json_decref(json);
    return len <= max ? len : 0;
}
