/* The reports: read by the tools that users have (check_reports.py), and looked at for what they must say. */
#include "run_fixture.h"

#include "base/file.h"
#include "control/report.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

static char folder[] = "/tmp/iotix-report.XXXXXX";

static char *text_of(const char *format, const struct ix_result *result)
{
    const struct ix_report_format *f = ix_report_formats;
    while (f->name && strcmp(f->name, format) != 0)
        f++;
    assert_non_null(f->name);
    struct ix_buf out;
    ix_buf_init(&out, 1 << 26);
    f->write(result, &out);
    assert_false(out.overflow);
    char *text = ix_strdup(ix_buf_cstr(&out));
    ix_buf_deinit(&out);
    return text;
}

static void write_all(const struct ix_result *result, const char *name)
{
    for (const struct ix_report_format *f = ix_report_formats; f->name; f++) {
        char *file = ix_asprintf("%s/%s.%s", folder, name, f->name);
        struct ix_error err = {0};
        if (ix_report_write(f, result, file, &err) < 0)
            fail_msg("%s", err.text);
        free(file);
    }
}

/* Runs the readers over all that was written, and empties the folder. */
static void read_all(void)
{
    char *command = ix_asprintf(
        "/usr/bin/python3 tests/unit/check_reports.py %s runtime/control/result.schema.json 2>&1", folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char said[4000];
    size_t len = fread(said, 1, sizeof(said) - 1, pipe);
    said[len] = '\0';
    int status = pclose(pipe);
    free(command);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s", said);
    DIR *dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
    closedir(dir);
}

static void expect_text(const char *text, const char *part, bool there)
{
    if (!strstr(text, part) == there)
        fail_msg("\"%s\" is %s in:\n%.6000s", part, there ? "not" : "still", text);
}

static void test_full_run(void **state)
{
    (void)state;
    struct ix_result r;
    fixture_run(&r);
    write_all(&r, "full");
    r.error = ix_strdup("x.lua:8: out of ideas\nstack traceback: …");
    r.interrupted = true;
    r.worker_restarts = 3;
    r.own_fault = 5000;
    ix_result_judge(&r, IX_EXIT_SCRIPT);
    write_all(&r, "broken");
    ix_result_deinit(&r);
    read_all();
}

static void test_nothing_measured(void **state)
{
    (void)state;
    struct ix_result r;
    ix_result_init(&r);
    ix_result_judge(&r, 0);
    write_all(&r, "empty");
    ix_result_deinit(&r);

    /* One point without a sample, at the very start. */
    struct ix_snapshot s;
    ix_snapshot_init(&s);
    ix_result_init(&r);
    ix_series_add(&r.series, &s);
    json_t *table = json_pack("{s:s}", "publish.latency", "p(95)<1");
    assert_int_equal(ix_thresholds_parse(table, &r.thresholds, NULL), 0);
    json_decref(table);
    ix_result_judge(&r, IX_EXIT_CONFIGURATION);
    write_all(&r, "point");
    char *text = text_of("json", &r);
    expect_text(text, "\"latencyP50\": null", true);
    expect_text(text, "\"measured\": null", true);
    free(text);
    ix_snapshot_deinit(&s);
    ix_result_deinit(&r);
    read_all();
}

static void test_hostile_texts(void **state)
{
    (void)state;
    static const char hostile[] =
        "</title></script><img src=x onerror=alert(1)>\"'&]]>\x1b[2J\x01\xff\xc3(\xef\xbf\xbe";
    struct ix_result r;
    fixture_run(&r);
    char **texts[] = {&r.scenario, &r.path, &r.description, &r.run_id, &r.broker, &r.models[0].id, &r.error};
    for (size_t i = 0; i < IX_ARRAY_LEN(texts); i++) {
        free(*texts[i]);
        *texts[i] = ix_strdup(hostile);
    }
    json_object_set_new(r.options, "</td><script>", json_string("</code><script>"));
    json_object_set_new(r.settings, "</td><script>", json_pack("{s:s,s:s}", "value", "<b>", "origin", "<i>"));
    ix_checks_add(&r.checks, hostile, "a:</td><script>", false, hostile, 1, NULL);
    ix_series_event(&r.series, FIXTURE_START + 90 * IX_S, hostile, hostile);
    snprintf(r.dropouts[0].group, sizeof(r.dropouts[0].group), "%s", "</text></svg><script>");
    snprintf(r.final.groups[0].group, sizeof(r.final.groups[0].group), "%s", "</td><script>");
    snprintf(r.final.custom[0].name, sizeof(r.final.custom[0].name), "%s", "</td><script>\xff");
    snprintf(r.final.all.reasons[0].text, sizeof(r.final.all.reasons[0].text), "%s", "</td><script>");
    ix_result_judge(&r, 0);
    write_all(&r, "hostile");
    char *text = text_of("html", &r);
    expect_text(text, "<img", false);
    expect_text(text, "<script", false);
    expect_text(text, "&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;", true);
    expect_text(text, "\x1b", false);
    free(text);
    ix_result_deinit(&r);
    read_all();
}

static void test_junit_says_what_was_measured(void **state)
{
    (void)state;
    struct ix_result r;
    fixture_run(&r);
    char *text = text_of("junit", &r);
    static const char *const parts[] = {
        "tests=\"8\" failures=\"3\" errors=\"0\"",
        "<property name=\"seed\" value=\"9007199254740993\"/>",
        "<testcase classname=\"chaos.run\" name=\"generator\" time=\"100.000\"/>",
        "<testcase classname=\"chaos.checks\" name=\"fleet recovered {group:env}\" time=\"0.000\"/>",
        "<failure type=\"threshold\" message=\"count was 8,250, must be &lt; 1k\">",
        "message=\"failed 1 of 1 times: one waited 70 s, &lt;60 s was wished\">failed 1 of 1 times, first "
        "63.000 s "
        "after the start of the run: one waited 70 s, &lt;60 s was wished<",
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(parts); i++)
        expect_text(text, parts[i], true);
    free(text);
    r.own_fault = 1000;
    r.error = ix_strdup("x.lua:8: out of ideas\ntraceback");
    ix_result_judge(&r, IX_EXIT_SCRIPT);
    text = text_of("junit", &r);
    expect_text(text, "failures=\"4\" errors=\"1\"", true);
    expect_text(
        text, "<error type=\"script error\" message=\"x.lua:8: out of ideas\">x.lua:8: out of ideas\n", true);
    expect_text(text, "<failure type=\"invalid\" message=\"the generator could not keep up", true);
    expect_text(text, "through the generator&#39;s own fault", true);
    free(text);
    ix_result_deinit(&r);
}

static void test_json_keeps_what_numbers_would_lose(void **state)
{
    (void)state;
    struct ix_result r;
    fixture_run(&r);
    char *text = text_of("json", &r);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    json_t *run = json_object_get(json, "run"), *totals = json_object_get(json, "totals");
    assert_string_equal(json_string_value(json_object_get(run, "seed")), "9007199254740993");
    assert_string_equal(json_string_value(json_object_get(run, "started")), "2026-01-31T10:15:00.123Z");
    json_t *counters = json_object_get(totals, "counters");
    assert_number(json_integer_value(json_object_get(counters, "messages.sent")), 79850);
    assert_number(json_array_size(json_object_get(json, "series")), FIXTURE_SECONDS);
    json_t *hole = json_array_get(json_object_get(json, "series"), 71); /* the broker is away */
    assert_true(json_is_null(json_object_get(hole, "latencyP99")));
    assert_number(json_integer_value(json_object_get(hole, "neverSent")), 1000);
    json_t *event = json_array_get(json_object_get(json, "events"), 1);
    assert_number(json_integer_value(json_object_get(json_object_get(event, "data"), "port")), 1883);
    json_decref(json);
    free(text);
    ix_result_deinit(&r);
}

/* Two runs of `d` in the latency plot: before and after the hole. */
static void test_html_leaves_gaps_where_nothing_was_measured(void **state)
{
    (void)state;
    struct ix_result r;
    fixture_run(&r);
    char *text = text_of("html", &r);
    const char *plot = strstr(text, "Publish latency");
    assert_non_null(plot);
    const char *end = strstr(plot, "</svg>");
    int lines = 0;
    for (const char *at = plot; (at = strstr(at, "class=\"line c-teal\"")) && at < end; at++)
        lines++;
    assert_int_equal(lines, 2);
    expect_text(text, ">broker stopped</text>", true);
    expect_text(text, ">dropout of 300 (env)</text>", true);
    expect_text(text, "prefers-color-scheme:dark", true);
    expect_text(text, "<span class=\"badge big bad\">failed</span>", true);
    free(text);
    ix_result_deinit(&r);
}

static void test_csv_has_a_row_for_each_point(void **state)
{
    (void)state;
    struct ix_result r;
    fixture_run(&r);
    char *text = text_of("csv", &r);
    int rows = 0;
    for (const char *at = text; (at = strstr(at, "\r\n")); at++)
        rows++;
    assert_int_equal(rows, FIXTURE_SECONDS + 1);
    assert_int_equal(strncmp(text, "time,seconds,interval_s,devices_created,", 40), 0);
    expect_text(text, "\r\n2026-01-31T10:15:20.123Z,20,1,0,0,1000,0,0,0,0,1000,1000,1000,1000,0,0,0,50,",
                true);
    expect_text(text, ",,,,,,,", true); /* no latency in the hole */
    free(text);
    ix_result_deinit(&r);
}

static void test_names_and_files(void **state)
{
    (void)state;
    const struct ix_report_format *format;
    const char *file;
    struct ix_error err;
    assert_int_equal(ix_report_parse("junit=a=b.xml", &format, &file, &err), 0);
    assert_string_equal(format->name, "junit");
    assert_string_equal(file, "a=b.xml");
    assert_int_equal(ix_report_parse("jsno=x", &format, &file, &err), -EINVAL);
    assert_non_null(strstr(err.text, "jsno"));
    assert_non_null(strstr(err.text, "did you mean \"json\"?"));
    assert_int_equal(ix_report_parse("html", &format, &file, &err), -EINVAL);
    assert_non_null(strstr(err.text, "html=FILE"));
    assert_int_equal(ix_report_parse("csv=", &format, &file, &err), -EINVAL);

    struct ix_result r;
    ix_result_init(&r);
    char *path = ix_asprintf("%s/no/such/folder.json", folder);
    assert_true(ix_report_write(format, &r, path, &err) < 0);
    assert_non_null(strstr(err.text, "the junit report"));
    assert_non_null(strstr(err.text, path));
    free(path);
    ix_result_deinit(&r);
}

static int begin(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int finish(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_run),
        cmocka_unit_test(test_nothing_measured),
        cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_junit_says_what_was_measured),
        cmocka_unit_test(test_json_keeps_what_numbers_would_lose),
        cmocka_unit_test(test_html_leaves_gaps_where_nothing_was_measured),
        cmocka_unit_test(test_csv_has_a_row_for_each_point),
        cmocka_unit_test(test_names_and_files),
    };
    return cmocka_run_group_tests(tests, begin, finish);
}
