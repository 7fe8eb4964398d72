/* Models beside their telemetry: commands, behaviours, children, secrets, changes, data files; those that are shipped, and
 * the schema. */
#include "model_faults.h"

#include "base/file.h"

#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

static void commands(void **state)
{
    struct ix_model *m = must_compile(
        "{" HEAD "," X ",\"commands\":[{\"name\":\"set\",\"topic\":\"c/${deviceId}\",\"parameters\":"
        "[{\"name\":\"url\",\"type\":\"string\",\"required\":true},{\"name\":\"n\",\"type\":\"integer\"}],"
        "\"response\":{\"topic\":\"r/"
        "${deviceId}\",\"template\":{\"u\":\"${url}\",\"s\":\"${status}\",\"x\":\"${x}\"}}}]}",
        NULL);

    (void)state;
    assert_int_equal(m->commands[0].parameter_count, 2);
    assert_true(m->commands[0].parameters[0].required && !m->commands[0].parameters[1].required);
    assert_int_equal(m->commands[0].parameters[1].type, IX_TYPE_INTEGER);
    assert_non_null(m->commands[0].response);
    assert_true(m->needs_values);
    ix_model_free(m);
    m = must_compile("{" HEAD "," X ",\"commands\":[{\"name\":\"a\",\"topic\":\"t\"}]}", NULL);
    assert_null(m->commands[0].response_topic);
    assert_false(m->needs_values);
    ix_model_free(m);
    FAULTS("{" HEAD "," X ",\"commands\":[{\"name\":\"a\",\"topic\":\"t/+\"},{\"name\":\"a\",\"topic\":\"t\","
           "\"parameters\":[{\"name\":\"p\"},{\"name\":\"p\"}],\"response\":{\"topic\":\"t\",\"payload\":\"${"
           "pp}\"}}]}",
           4, "commands[0].topic: must not contain", "commands[1]: there is another command called \"a\"",
           "commands[1].parameters[1]: there is another parameter",
           "commands[1].response.payload: unknown placeholder ${pp}");
}

#define BEHAVIOR(text)                                                                         \
    "{" HEAD "," X                                                                             \
    ",\"commands\":[{\"name\":\"go\",\"topic\":\"t\",\"parameters\":[{\"name\":\"speed\"}]}]," \
    "\"behaviors\":[" text "]}"

static void behaviors(void **state)
{
    struct ix_model *m = must_compile(
        BEHAVIOR(
            "{\"name\":\"a\",\"trigger\":{\"type\":\"condition\",\"condition\":\"x > "
            "1\",\"mode\":\"level\",\"cooldownMs\":5},"
            "\"action\":{\"type\":\"publish\",\"topic\":\"a/${deviceId}\",\"payload\":{\"v\":\"${x}\"}}},"
            "{\"name\":\"b\",\"trigger\":{\"type\":\"command\",\"command\":\"go\"},\"actions\":["
            "{\"type\":\"log\",\"message\":\"speed "
            "${speed}\"},{\"type\":\"set\",\"attribute\":\"x\",\"min\":50,\"max\":60},"
            "{\"type\":\"set\",\"attribute\":\"x\",\"value\":3},{\"type\":\"disconnect\",\"mode\":\"silent\"}"
            ","
            "{\"type\":\"event\",\"name\":\"e\",\"data\":{\"x\":\"${x}\"}}]},"
            "{\"name\":\"c\",\"handler\":\"h\",\"config\":{}},"
            "{\"name\":\"d\",\"states\":{\"on\":{\"after\":{\"ms\":5,\"to\":\"off\"},\"telemetry\":{\"x\":{"
            "\"value\":1}}},"
            "\"off\":{\"when\":[{\"condition\":\"x > 2\",\"to\":\"on\"}],\"telemetry\":{\"x\":{\"max\":200}},"
            "\"enter\":[{\"type\":\"log\",\"message\":\"off\"}]}}}"),
        NULL);

    (void)state;
    assert_true(m->needs_values);
    assert_int_equal(m->behaviors[0].trigger, IX_ON_CONDITION);
    assert_true(m->behaviors[0].level && m->behaviors[0].condition);
    assert_true(m->behaviors[0].cooldown_ns == 5000000);
    assert_int_equal(m->behaviors[1].trigger, IX_ON_COMMAND);
    assert_string_equal(m->behaviors[2].handler, "h");
    assert_false(m->behaviors[2].is_states);
    assert_true(m->behaviors[3].is_states);
    ix_model_free(m);
}

static void faulty_behaviors(void **state)
{
    static const struct {
        const char *behavior, *message;
    } cases[] = {
        {"{\"name\":\"a\",\"trigger\":{\"type\":\"condition\",\"condition\":\"y > "
         "1\"},\"action\":{\"type\":\"log\",\"message\":\"m\"}}",
         "behaviors[0].trigger.condition: condition, character 1: no telemetry attribute is called \"y\""},
        {"{\"name\":\"a\",\"trigger\":{\"type\":\"condition\"},\"action\":{\"type\":\"log\",\"message\":"
         "\"m\"}}",
         "behaviors[0].trigger.condition: is missing"},
        {"{\"name\":\"a\",\"trigger\":{\"type\":\"interval\",\"intervalMs\":5,\"mode\":\"edge\"},\"action\":{"
         "\"type\":\"log\",\"message\":\"m\"}}",
         "behaviors[0].trigger.mode: does not apply to \"interval\", only to condition"},
        {"{\"name\":\"a\",\"trigger\":{\"type\":\"command\",\"command\":\"og\"},\"action\":{\"type\":\"log\","
         "\"message\":\"m\"}}",
         "the model has no command \"og\""},
        {"{\"name\":\"a\",\"trigger\":{\"type\":\"connect\"}}", "behaviors[0].action: is missing"},
        {"{\"name\":\"a\",\"trigger\":{\"type\":\"connect\"},\"actions\":[]}",
         "behaviors[0].actions: must have at least one"},
        {"{\"name\":\"a\",\"trigger\":{\"type\":\"connect\"},\"action\":{\"type\":\"publish\",\"topic\":\"a/"
         "#\"}}",
         "behaviors[0].action.topic: must not contain the wildcards"},
        {"{\"name\":\"a\",\"trigger\":{\"type\":\"connect\"},\"action\":{\"type\":\"publish\",\"topic\":"
         "\"a\",\"payload\":[\"${y}\"]}}",
         "behaviors[0].action.payload[0]: unknown placeholder ${y}"},
        {"{\"name\":\"a\",\"trigger\":{\"type\":\"connect\"},\"actions\":[{\"type\":\"set\",\"attribute\":"
         "\"xx\",\"value\":1}]}",
         "behaviors[0].actions[0].attribute: no telemetry attribute is called \"xx\"; did you mean \"x\"?"},
        {"{\"name\":\"a\",\"trigger\":{\"type\":\"connect\"},\"actions\":[{\"type\":\"set\",\"attribute\":"
         "\"x\"}]}",
         "behaviors[0].actions[0]: changes nothing"},
        {"{\"name\":\"a\",\"trigger\":{\"type\":\"connect\"},\"actions\":[{\"type\":\"set\",\"attribute\":"
         "\"x\",\"min\":900}]}",
         "behaviors[0].actions[0]: settings: min: min (900) is above max (100, the default)"},
        {"{\"name\":\"a\",\"trigger\":{\"type\":\"connect\"},\"action\":{\"type\":\"log\",\"message\":\"m\","
         "\"min\":1}}",
         "behaviors[0].action.min: does not apply to \"log\", only to set"},
        {"{\"name\":\"a\",\"handler\":\"h\",\"trigger\":{\"type\":\"connect\"}}",
         "behaviors[0].trigger: does not apply to \"handler\""},
        {"{\"name\":\"a\",\"states\":{}}", "behaviors[0].states: must have at least one state"},
        {"{\"name\":\"a\",\"initial\":\"of\",\"states\":{\"off\":{}}}",
         "behaviors[0].initial: there is no state \"of\"; did you mean \"off\"?"},
        {"{\"name\":\"a\",\"states\":{\"on\":{\"after\":{\"ms\":1,\"to\":\"nowhere\"}}}}",
         "behaviors[0].states.on.after.to: there is no state \"nowhere\""},
        {"{\"name\":\"a\",\"states\":{\"on\":{\"telemetry\":{\"x\":{\"value\":\"text\"}}}}}",
         "behaviors[0].states.on.telemetry.x: settings: value: is not of the attribute's type number"},
        {"{\"name\":\"a\",\"states\":{\"on\":{\"when\":[{\"condition\":\"x >\",\"to\":\"on\"}]}}}",
         "behaviors[0].states.on.when[0].condition: condition, character 4"},
        {"{\"name\":\"a\"}", "behaviors[0].trigger: is missing"},
        {"7", "behaviors[0]: must be an object"},
    };

    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        char *text = ix_asprintf(BEHAVIOR("%s"), cases[i].behavior);
        struct ix_faults faults;

        ix_faults_init(&faults);
        assert_null(ix_model_parse(text, strlen(text), NULL, &faults));
        char *list = fault_text(&faults);
        if (!strstr(list, cases[i].message))
            fail_msg("expected \"%s\" in:\n%s", cases[i].message, list);
        free(list);
        ix_faults_deinit(&faults);
        free(text);
    }
    FAULTS(BEHAVIOR("{\"name\":\"a\",\"states\":{\"on\":{},\"never\":{}}}"), 0,
           "warning behaviors[0].states.never: no state leads here");
}

static void children(void **state)
{
#define GATEWAY(text) \
    "{\"id\":\"g\",\"name\":\"G\",\"type\":\"gateway\",\"protocol\":\"mqtt\",\"children\":[" text "]}"
    struct ix_model *m = must_compile(
        GATEWAY("{\"model\":\"simple-temperature\",\"count\":3},{\"model\":{" HEAD "," X "}}"), NULL);

    (void)state;
    assert_int_equal(json_array_size(m->children), 2);
    ix_model_free(m);
    FAULTS(GATEWAY("{\"model\":{" HEAD "},\"count\":0,\"idPattern\":\"x\"},{\"count\":1}"), 5,
           "children[0].model.telemetry: a sensor needs", "children[0].count: must be 1 to 1000000",
           "children[0].idPattern: must contain {index}", "children[0].idPattern: must contain {deviceId}",
           "children[1].model: is missing");
    FAULTS("{" HEAD "," X ",\"children\":[{\"model\":\"a\"}]}", 1,
           "children: are for models of type gateway");
}

static void secrets(void **state)
{
    static const char *const allowed[] = {"IOTIX_TEST_SECRET"};
    char folder[] = "/tmp/iotix-model-XXXXXX";
    char *path;
    struct ix_model_options options = {.allowed_env = allowed, .allowed_env_count = 1};

    (void)state;
    assert_non_null(mkdtemp(folder));
    options.folder = folder;
    path = ix_asprintf("%s/secret", folder);
    assert_int_equal(ix_file_write(path, "from ${deviceId}\n", 17, NULL), 0);
    setenv("IOTIX_TEST_SECRET", "s3cret", 1);

#define SECRET(ref) "{" HEAD "," X ",\"connection\":{\"username\":\"u\",\"passwordRef\":\"" ref "\"}}"
    struct ix_model *m = must_compile(SECRET("env:IOTIX_TEST_SECRET"), &options);
    assert_string_equal(ix_template_literal(m->connection.password), "s3cret");
    ix_model_free(m);
    m = must_compile(SECRET("file:secret"), &options);
    assert_string_equal(ix_template_literal(m->connection.password), "from ${deviceId}");
    ix_model_free(m);

    FAULTS(SECRET("env:IOTIX_TEST_SECRET"), 1,
           "passwordRef: the environment variable IOTIX_TEST_SECRET may not be read");
    FAULTS(SECRET("file:secret"), 1, "passwordRef: this model has no folder");
    FAULTS(SECRET("s3cret"), 1, "passwordRef: must be env:NAME or file:NAME");
    struct ix_faults faults;
    ix_faults_init(&faults);
    assert_null(ix_model_parse(SECRET("file:../etc/passwd"), strlen(SECRET("file:../etc/passwd")), &options,
                               &faults));
    assert_non_null(strstr(faults.items[0].message, "outside"));
    ix_faults_deinit(&faults);
    unsetenv("IOTIX_TEST_SECRET");
    unlink(path);
    rmdir(folder);
    free(path);
}

static void changes(void **state)
{
    char *text = sensor("number", "{\"type\":\"random\",\"min\":0,\"max\":10,\"distribution\":\"normal\"}");
    struct ix_model *m = must_compile(text, NULL);
    const struct ix_generator_spec *from = &m->attributes[0].generator;
    struct ix_generator_spec spec;
    struct ix_error err;
    json_t *change = json_loads("{\"min\":50,\"max\":60}", 0, NULL);

    (void)state;
    assert_int_equal(ix_generator_spec_patch(&spec, from, change, &err), 0);
    assert_true(spec.min == 50 && spec.max == 60 && spec.mean == 55 && spec.distribution == IX_DIST_NORMAL);
    ix_generator_spec_deinit(&spec);
    json_decref(change);

    change = json_real(1.5);
    assert_int_equal(ix_generator_spec_patch(&spec, from, change, &err), 0);
    assert_int_equal(spec.kind, IX_GEN_CONSTANT);
    assert_string_equal(spec.text, "1.5");
    ix_generator_spec_deinit(&spec);
    json_decref(change);

    change = json_loads("{\"type\":\"sequence\",\"step\":2}", 0, NULL);
    assert_int_equal(ix_generator_spec_patch(&spec, from, change, &err), 0);
    assert_int_equal(spec.kind, IX_GEN_SEQUENCE);
    ix_generator_spec_deinit(&spec);
    json_decref(change);

    change = json_loads("{\"mim\":5}", 0, NULL);
    assert_int_equal(ix_generator_spec_patch(&spec, from, change, &err), -EINVAL);
    assert_non_null(strstr(err.text, "did you mean \"min\"?"));
    json_decref(change);
    ix_model_free(m);
    free(text);
}

static void new_bounds_move_a_mean_that_they_leave_out(void **state)
{
    static const struct {
        const char *change;
        double mean, stddev;
    } cases[] = {{"{\"min\":60,\"max\":90}", 75, 5},
                 {"{\"max\":10}", 5, 10.0 / 6},
                 {"{\"min\":60,\"max\":90,\"stddev\":2}", 75, 2},
                 {"{\"min\":60,\"max\":90,\"mean\":22}", 22, 3},
                 {"{\"min\":20,\"max\":90}", 22, 3}};
    char *text = sensor("number", "{\"type\":\"random\",\"min\":0,\"max\":40,\"distribution\":\"normal\","
                                  "\"mean\":22,\"stddev\":3}");
    struct ix_model *m = must_compile(text, NULL);
    struct ix_generator_spec spec;
    struct ix_error err;

    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        json_t *change = json_loads(cases[i].change, 0, NULL);
        assert_int_equal(ix_generator_spec_patch(&spec, &m->attributes[0].generator, change, &err), 0);
        assert_true(spec.mean == cases[i].mean && spec.stddev == cases[i].stddev);
        ix_generator_spec_deinit(&spec);
        json_decref(change);
    }
    ix_model_free(m);
    free(text);
}

static void hash_is_of_the_meaning(void **state)
{
    struct ix_model *a = must_compile("{" HEAD "," X "}", NULL);
    struct ix_model *b = must_compile("{" X " ,\n " HEAD "}", NULL);
    struct ix_model *c = must_compile("{" HEAD "," X ",\"version\":\"2\"}", NULL);

    (void)state;
    assert_true(a->hash == b->hash);
    assert_true(a->hash != c->hash);
    ix_model_free(a);
    ix_model_free(b);
    ix_model_free(c);
}

static void missing_data_files_are_warnings(void **state)
{
    char *text = sensor("number", "{\"type\":\"replay\",\"dataFile\":\"nowhere.csv\"}");

    (void)state;
    FAULTS(text, 0, "warning telemetry[0].generator.dataFile: there is no file nowhere.csv in /data");
    free(text);
}

static void data_files_stay_inside(void **state)
{
    char folder[] = "/tmp/iotix-model-XXXXXX", *inside, *link, *path, *data;
    struct ix_model m = {.folder = folder};
    struct ix_error err;

    (void)state;
    assert_non_null(mkdtemp(folder));
    data = ix_asprintf("%s/data", folder);
    inside = ix_asprintf("%s/data/x.csv", folder);
    link = ix_asprintf("%s/link.csv", folder);
    assert_int_equal(mkdir(data, 0700), 0);
    assert_int_equal(ix_file_write(inside, "v\n1\n", 4, NULL), 0);
    assert_int_equal(symlink("/etc/passwd", link), 0);

    assert_int_equal(ix_model_data_file(&m, "data/x.csv", &path, &err), 0);
    free(path);
    /* The absolute name of a container's volume is found beside the model, too. */
    assert_int_equal(ix_model_data_file(&m, "/data/x.csv", &path, &err), 0);
    free(path);
    assert_int_equal(ix_model_data_file(&m, "link.csv", &path, &err), -EPERM);
    assert_int_equal(ix_model_data_file(&m, "../../etc/passwd", &path, &err), -EPERM);
    assert_int_equal(ix_model_data_file(&m, "/etc/passwd", &path, &err), -ENOENT);

    m.folder = NULL;
    setenv("IOTIX_DATA_PATH", data, 1);
    assert_int_equal(ix_model_data_file(&m, "x.csv", &path, &err), 0);
    free(path);
    assert_int_equal(ix_model_data_file(&m, "/data/x.csv", &path, &err), 0);
    free(path);
    assert_int_equal(ix_model_data_file(&m, inside, &path, &err), 0);
    free(path);
    unsetenv("IOTIX_DATA_PATH");
    unlink(link);
    unlink(inside);
    rmdir(data);
    rmdir(folder);
    free(link);
    free(inside);
    free(data);
}

static void shipped_models_compile_without_a_word(void **state)
{
    glob_t found;
    size_t models = 0;

    (void)state;
    assert_int_equal(glob("models/*.json", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct ix_faults faults;
        struct ix_error err;
        char *text;
        size_t len;

        if (strstr(found.gl_pathv[i], ".schema.json"))
            continue;
        ix_faults_init(&faults);
        if (ix_file_read(found.gl_pathv[i], 1 << 20, &text, &len, &err) < 0)
            fail_msg("%s", err.text);
        struct ix_model *m =
            ix_model_parse(text, len, &(struct ix_model_options){.folder = "models"}, &faults);
        free(text);
        char *list = fault_text(&faults);
        assert_string_equal(list, "");
        assert_non_null(m);
        assert_null(m->connection.host);
        char *name = ix_asprintf("models/%s.json", m->id);
        assert_string_equal(name, found.gl_pathv[i]);
        models++;
        free(name);
        free(list);
        ix_faults_deinit(&faults);
        ix_model_free(m);
    }
    assert_true(models >= 6);
    globfree(&found);
}

static void schema_file_is_current(void **state)
{
    char *file, *schema = ix_model_schema();
    size_t len;

    (void)state;
    assert_int_equal(ix_file_read("models/device-model.schema.json", 1 << 20, &file, &len, NULL), 0);
    if (strcmp(file, schema) != 0)
        fail_msg("write it anew: build/iotix model schema > models/device-model.schema.json");
    free(file);
    free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands),
        cmocka_unit_test(behaviors),
        cmocka_unit_test(faulty_behaviors),
        cmocka_unit_test(children),
        cmocka_unit_test(secrets),
        cmocka_unit_test(changes),
        cmocka_unit_test(new_bounds_move_a_mean_that_they_leave_out),
        cmocka_unit_test(hash_is_of_the_meaning),
        cmocka_unit_test(missing_data_files_are_warnings),
        cmocka_unit_test(data_files_stay_inside),
        cmocka_unit_test(shipped_models_compile_without_a_word),
        cmocka_unit_test(schema_file_is_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
