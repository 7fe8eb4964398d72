/* Templates, JSON templates, and patterns of device ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model_helpers.h"

static const char *const attributes[] = {"temperature", "state", "raw"};

static bool value_of(void *context, size_t place, struct ix_value *out)
{
    (void)context;
    if (place == 0)
        *out = (struct ix_value){.kind = IX_V_NUMBER, .decimals = 1, .number = 21.5};
    if (place == 1)
        *out = (struct ix_value){.kind = IX_V_STRING, .text = {"say \"hi\"", 8}};
    return place < 2; /* "raw" has no value yet */
}

static bool extra_of(void *context, size_t place, struct ix_value *out)
{
    (void)context;
    *out = (struct ix_value){.kind = IX_V_BOOLEAN, .boolean = place == 0};
    return true;
}

static const struct ix_template_scope scope = {
    .device_id = "dev-7",
    .device_id_len = 5,
    .model_id = "m1",
    .group_id = "g1",
    .index = 7,
    .wall_ns = 1700000000123000000,
    .value = value_of,
    .extra = extra_of,
};

static json_t *metadata;

static int setup(void **state)
{
    (void)state;
    metadata = json_loads("{\"site\":\"Oslo\",\"rev\":3,\"a\":{\"b\":\"deep\"},\"ratio\":0.1}", 0, NULL);
    return metadata ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(metadata);
    return 0;
}

static struct ix_template_names names(void)
{
    static const char *const extra[] = {"force"};
    static const char *const allowed[] = {"IOTIX_TEST_SITE"};

    return (struct ix_template_names){
        .metadata = metadata,
        .attributes = attributes,
        .attribute_count = 3,
        .extra = extra,
        .extra_count = 1,
        .allowed_env = allowed,
        .allowed_env_count = 1,
    };
}

static void check_text(const char *text, const char *expected)
{
    struct ix_template_names n = names();
    struct ix_faults faults;
    struct ix_buf out;

    ix_faults_init(&faults);
    ix_buf_init(&out, 4096);
    struct ix_template *t = ix_template_compile(text, &n, &faults, "topic");
    assert_non_null(t);
    ix_template_render(t, &scope, &out);
    assert_string_equal(ix_buf_cstr(&out), expected);
    ix_template_free(t);
    ix_buf_deinit(&out);
    ix_faults_deinit(&faults);
}

static void check_json(const char *json, const char *expected)
{
    struct ix_template_names n = names();
    struct ix_faults faults;
    struct ix_buf out;
    json_t *tree = json_loads(json, JSON_DECODE_ANY, NULL);

    assert_non_null(tree);
    ix_faults_init(&faults);
    ix_buf_init(&out, 4096);
    struct ix_json_template *t = ix_json_template_compile(tree, &n, &faults, "payload");
    assert_non_null(t);
    json_decref(tree);
    ix_json_template_render(t, &scope, &out);
    assert_string_equal(ix_buf_cstr(&out), expected);
    ix_json_template_free(t);
    ix_buf_deinit(&out);
    ix_faults_deinit(&faults);
}

static void check_fault(const char *text, const char *expected)
{
    struct ix_template_names n = names();
    struct ix_faults faults;

    ix_faults_init(&faults);
    assert_null(ix_template_compile(text, &n, &faults, "topic"));
    char *list = fault_text(&faults);
    if (!strstr(list, expected))
        fail_msg("expected \"%s\" in:\n%s", expected, list);
    free(list);
    ix_faults_deinit(&faults);
}

static void both_spellings(void **state)
{
    (void)state;
    check_text("devices/${deviceId}/telemetry", "devices/dev-7/telemetry");
    check_text("devices/{deviceId}/{groupId}/{modelId}/{index}", "devices/dev-7/g1/m1/7");
    check_text("${index+0} {index+100} {index+} {index-1}", "7 107 {index+} {index-1}");
    check_text("${timestamp}", "2023-11-14T22:13:20.123Z");
    check_text("${metadata.site}/${metadata.a.b}/${metadata.rev}/${metadata.ratio}", "Oslo/deep/3/0.1");
    check_text("t=${temperature} ${force}", "t=21.5 true");
}

static void what_is_no_placeholder_stays(void **state)
{
    (void)state;
    check_text("a {unknown} } { b", "a {unknown} } { b");
    check_text("$${deviceId} costs $5", "${deviceId} costs $5");
    check_text("", "");
    check_text("x ${raw}", "x null");
}

static void faults_have_suggestions(void **state)
{
    (void)state;
    check_fault("a/${devceId}", "topic: unknown placeholder ${devceId}; did you mean \"deviceId\"?");
    check_fault("${metadata.sites}", "did you mean \"metadata.site\"?");
    check_fault("${temperatur}", "did you mean \"temperature\"?");
    check_fault("${deviceId", "no closing brace");
    check_fault("${}", "needs a name");
    check_fault("${env.HOME}", "--allow-env HOME");
    check_fault("${env.IOTIX_TEST_SITE}", "IOTIX_TEST_SITE is not set");
}

static void environment_only_if_allowed(void **state)
{
    (void)state;
    setenv("IOTIX_TEST_SITE", "north ${deviceId}", 1);
    /* What comes from outside is text, never a template. */
    check_text("${env.IOTIX_TEST_SITE}", "north ${deviceId}");
    unsetenv("IOTIX_TEST_SITE");
}

static void a_lone_placeholder_takes_its_type(void **state)
{
    (void)state;
    check_json("{\"v\":\"${temperature}\",\"s\":\"${state}\",\"i\":\"{index}\",\"id\":\"${deviceId}\"}",
               "{\"v\":21.5,\"s\":\"say \\\"hi\\\"\",\"i\":7,\"id\":\"dev-7\"}");
    check_json("{\"v\":\"${raw}\",\"m\":\"${metadata.rev}\",\"o\":\"${metadata.a}\",\"f\":\"${force}\"}",
               "{\"v\":null,\"m\":3,\"o\":{\"b\":\"deep\"},\"f\":true}");
}

static void inside_text_values_are_escaped(void **state)
{
    (void)state;
    check_json("[\"at ${temperature}: ${state}\", \"\\u00e9\\n${index}\", 0.1, 12, true, null, {}, []]",
               "[\"at 21.5: say \\\"hi\\\"\",\"\xc3\xa9\\n7\",0.1,12,true,null,{},[]]");
}

static void keys_keep_their_order(void **state)
{
    (void)state;
    check_json("{\"z\":1,\"a\":2,\"m\":{\"y\":1,\"b\":[1,2]}}",
               "{\"z\":1,\"a\":2,\"m\":{\"y\":1,\"b\":[1,2]}}");
}

static void json_faults_name_their_place(void **state)
{
    struct ix_faults faults;
    json_t *tree = json_loads("{\"a\":[{\"b\":\"${nope}\"}],\"c\":\"${neither}\"}", 0, NULL);

    (void)state;
    ix_faults_init(&faults);
    assert_null(ix_json_template_compile(tree, NULL, &faults, "payload"));
    assert_int_equal(faults.errors, 2);
    assert_string_equal(faults.items[0].path, "payload.a[0].b");
    assert_string_equal(faults.items[1].path, "payload.c");
    ix_faults_deinit(&faults);
    json_decref(tree);
}

static void what_depends_on_the_device(void **state)
{
    static const struct {
        const char *text;
        bool per_device, values, literal;
    } cases[] = {{"${deviceId}", true, false, false},    {"c-{index}", true, false, false},
                 {"${groupId}", false, false, false},    {"plain", false, false, true},
                 {"${temperature}", false, true, false}, {"${metadata.site}", false, false, true}};
    struct ix_template_names n = names();
    struct ix_faults faults;

    (void)state;
    ix_faults_init(&faults);
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        struct ix_template *t = ix_template_compile(cases[i].text, &n, &faults, "");

        assert_int_equal(ix_template_is_per_device(t), cases[i].per_device);
        assert_int_equal(ix_template_uses_values(t), cases[i].values);
        assert_int_equal(ix_template_literal(t) != NULL, cases[i].literal);
        ix_template_free(t);
    }
    ix_faults_deinit(&faults);
}

static struct ix_id_pattern pattern(const char *text, const char *group)
{
    struct ix_id_pattern p;
    struct ix_error err;

    if (ix_id_pattern_compile(&p, text, group, &err) < 0)
        fail_msg("%s", err.text);
    return p;
}

static void ids_lead_back_to_their_index(void **state)
{
    static const char *const texts[] = {NULL, "temp-sensor-{index}", "${index}", "a{index}b", "9{index}9"};
    static const uint64_t indexes[] = {0, 1, 9, 10, 4999, 18446744073709551615ull};
    struct ix_buf id;
    uint64_t index;

    (void)state;
    ix_buf_init(&id, 256);
    for (size_t i = 0; i < IX_ARRAY_LEN(texts); i++) {
        struct ix_id_pattern p = pattern(texts[i], "g.1");

        for (size_t k = 0; k < IX_ARRAY_LEN(indexes); k++) {
            ix_buf_clear(&id);
            ix_id_pattern_render(&p, indexes[k], &id);
            assert_true(ix_id_pattern_invert(&p, id.data, id.len, &index));
            assert_true(index == indexes[k]);
        }
        ix_id_pattern_deinit(&p);
    }
    ix_buf_clear(&id);
    struct ix_id_pattern p = pattern(NULL, "g.1");
    ix_id_pattern_render(&p, 12, &id);
    assert_string_equal(ix_buf_cstr(&id), "g.1-12");
    ix_buf_deinit(&id);
    ix_id_pattern_deinit(&p);
}

static void foreign_ids_do_not(void **state)
{
    static const char *const foreign[] = {"s-", "s-01", "s--1", "s-1x", "t-1", "s-18446744073709551616",
                                          "s",  ""};
    struct ix_id_pattern p = pattern("s-{index}", "g");
    uint64_t index;

    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(foreign); i++)
        assert_false(ix_id_pattern_invert(&p, foreign[i], strlen(foreign[i]), &index));
    ix_id_pattern_deinit(&p);
}

static void bad_patterns_are_refused(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {{"no-index", "exactly once"},
                 {"{index}-{index}", "exactly once"},
                 {"a b{index}", "letters"},
                 {"{modelId}-{index}", "letters"},
                 {"a/{index}", "letters"}};
    struct ix_id_pattern p;
    struct ix_error err;
    char longest[300];

    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        assert_int_equal(ix_id_pattern_compile(&p, cases[i].text, "g", &err), -EINVAL);
        assert_non_null(strstr(err.text, cases[i].message));
    }
    memset(longest, 'a', sizeof(longest));
    memcpy(longest + 290, "{index}", 8);
    assert_int_equal(ix_id_pattern_compile(&p, longest, "g", &err), -EINVAL);
    assert_non_null(strstr(err.text, "at most"));
}

/* Against the plain truth: do any of the first ids of both patterns meet? Indexes up to 1,200 show every
 * collision that these short affixes can have. */
static void collisions_are_found_exactly(void **state)
{
    static const char *const texts[] = {"{index}",   "1{index}",  "{index}1",   "a{index}",
                                        "a{index}b", "a1{index}", "a1{index}b", "a{index}1b",
                                        "0{index}",  "{index}0",  "a-{index}",  "a-1-{index}",
                                        "01{index}", "{index}b",  "12{index}",  "a{index}0"};
    enum { COUNT = 1200 };

    (void)state;
    for (size_t a = 0; a < IX_ARRAY_LEN(texts); a++) {
        for (size_t b = 0; b < IX_ARRAY_LEN(texts); b++) {
            struct ix_id_pattern p = pattern(texts[a], "g"), q = pattern(texts[b], "g");
            bool meet = false;
            struct ix_buf id;
            uint64_t index;

            ix_buf_init(&id, 256);
            for (uint64_t i = 0; i < COUNT && !meet; i++) {
                ix_buf_clear(&id);
                ix_id_pattern_render(&p, i, &id);
                meet = ix_id_pattern_invert(&q, id.data, id.len, &index);
            }
            if (ix_id_pattern_collides(&p, &q) != meet)
                fail_msg("%s and %s %s meet", texts[a], texts[b], meet ? "do" : "do not");
            ix_buf_deinit(&id);
            ix_id_pattern_deinit(&p);
            ix_id_pattern_deinit(&q);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_spellings),
        cmocka_unit_test(what_is_no_placeholder_stays),
        cmocka_unit_test(faults_have_suggestions),
        cmocka_unit_test(environment_only_if_allowed),
        cmocka_unit_test(a_lone_placeholder_takes_its_type),
        cmocka_unit_test(inside_text_values_are_escaped),
        cmocka_unit_test(keys_keep_their_order),
        cmocka_unit_test(json_faults_name_their_place),
        cmocka_unit_test(what_depends_on_the_device),
        cmocka_unit_test(ids_lead_back_to_their_index),
        cmocka_unit_test(foreign_ids_do_not),
        cmocka_unit_test(bad_patterns_are_refused),
        cmocka_unit_test(collisions_are_found_exactly),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
