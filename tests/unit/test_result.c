/* The generator's judgement on itself, exit codes, and the summary. */
#include "run_fixture.h"

#include "base/buf.h"

static void add_lateness(struct ix_result *r, uint64_t ns, int samples)
{
    for (int i = 0; i < samples; i++)
        ix_histogram_add(&r->final.all.trends[IX_T_LATENESS], ns);
}

static void test_precedence_of_exit_codes(void **state)
{
    (void)state;
    /* Each row drops the strongest cause that was left. */
    static const struct {
        enum ix_exit preset;
        bool interrupted, late, failed;
        int code;
        const char *outcome;
    } cases[] = {
        {IX_EXIT_CONFIGURATION, true, true, true, 104, "bad configuration"},
        {IX_EXIT_SCRIPT, true, true, true, 107, "script error"},
        {0, true, true, true, 105, "interrupted"},
        {0, false, true, true, 111, "invalid"},
        {0, false, true, false, 111, "invalid"},
        {0, false, false, true, 99, "failed"},
        {0, false, false, false, 0, "passed"},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        struct ix_result r;
        ix_result_init(&r);
        r.interrupted = cases[i].interrupted;
        if (cases[i].late)
            add_lateness(&r, 2 * IX_S, 200);
        ix_checks_add(&r.checks, "c", NULL, !cases[i].failed, NULL, 0, NULL);
        ix_result_judge(&r, cases[i].preset);
        assert_int_equal(r.exit_code, cases[i].code);
        assert_string_equal(r.outcome, cases[i].outcome);
        ix_result_deinit(&r);
    }
}

static void test_a_failed_threshold_fails_the_run(void **state)
{
    (void)state;
    struct ix_result r;
    ix_result_init(&r);
    json_t *table = json_pack("{s:s}", "messages.sent", "count>1");
    assert_int_equal(ix_thresholds_parse(table, &r.thresholds, NULL), 0);
    json_decref(table);
    ix_result_judge(&r, 0);
    assert_int_equal(r.exit_code, 0); /* not evaluated: nothing is said */
    ix_thresholds_evaluate(r.thresholds, &r.final, &r.checks, 0, true);
    ix_result_judge(&r, 0);
    assert_int_equal(r.exit_code, 99);
    ix_result_deinit(&r);
}

static void add_busy(struct ix_result *r, double busy, int seconds)
{
    struct ix_series *series = &r->series;
    if (!series->points)
        series->points = ix_calloc(IX_SERIES_MAX, sizeof(*series->points));
    for (int i = 0; i < seconds; i++, series->count++)
        series->points[series->count] =
            (struct ix_point){.t = (double)series->count + 1, .seconds = 1, .busy = busy};
}

static void expect_validity(struct ix_result *r, enum ix_validity validity, const char *reason)
{
    ix_result_judge(r, 0);
    if (r->validity != validity)
        fail_msg("%s instead of %s: %s", ix_validity_names[r->validity], ix_validity_names[validity],
                 r->validity_reasons);
    if (reason ? !strstr(r->validity_reasons, reason) : *r->validity_reasons != '\0')
        fail_msg("reasons: \"%s\"", r->validity_reasons);
    assert_int_equal(r->exit_code, validity == IX_INVALID ? 111 : 0);
    ix_result_deinit(r);
    ix_result_init(r);
}

static void test_validity_by_its_limits(void **state)
{
    (void)state;
    struct ix_result r;
    ix_result_init(&r);
    expect_validity(&r, IX_VALID, NULL); /* nothing measured */
    add_lateness(&r, 10 * IX_MS, 9900);
    add_lateness(&r, 3 * IX_S, 100); /* 1 %: not in the p99 */
    expect_validity(&r, IX_VALID, NULL);
    add_lateness(&r, 812 * IX_MS, 1000);
    expect_validity(&r, IX_DEGRADED, "ms > 50.0 ms: this host could not keep the schedule");
    add_lateness(&r, 60 * IX_MS, 7);
    expect_validity(&r, IX_DEGRADED, "(of 7 samples)");
    add_lateness(&r, 1500 * IX_MS, 1000);
    expect_validity(&r, IX_INVALID, "s > 1.00 s");
    r.limits.invalid_lateness_ns = 2 * IX_S;
    add_lateness(&r, 1500 * IX_MS, 1000);
    expect_validity(&r, IX_DEGRADED, "p99 lateness 1.5");

    add_busy(&r, 0.95, 4);
    add_busy(&r, 0.5, 1);
    add_busy(&r, 0.95, 4);
    expect_validity(&r, IX_VALID, NULL); /* never 5 s on end */
    add_busy(&r, 0.5, 3);
    add_busy(&r, 0.95, 6);
    expect_validity(&r, IX_DEGRADED, "more than 90 % busy for 6 s (limit 5 s), from 3 s on");

    r.worker_restarts = 1;
    expect_validity(&r, IX_DEGRADED, "1 worker restart:");
    r.final.all.counters[IX_C_SCHEDULED] = 10000;
    r.own_fault = 10;
    expect_validity(&r, IX_VALID, NULL);
    r.final.all.counters[IX_C_SCHEDULED] = 10000;
    r.own_fault = 11;
    r.worker_restarts = 2;
    expect_validity(&r, IX_INVALID, "2 worker restarts");
    ix_result_deinit(&r);
}

static char *summary_of(const struct ix_result *r, bool colour)
{
    struct ix_buf out;
    ix_buf_init(&out, 1 << 20);
    ix_result_summary(r, colour, &out);
    assert_false(out.overflow);
    char *text = ix_strdup(ix_buf_cstr(&out));
    ix_buf_deinit(&out);
    return text;
}

static void expect_text(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void test_summary_of_a_full_run(void **state)
{
    (void)state;
    struct ix_result r;
    fixture_run(&r);
    char *text = summary_of(&r, false);
    static const char first[] = "FAILED  chaos: 1 of 2 checks, 2 of 4 thresholds, 1,000 devices, ";
    assert_int_equal(strncmp(text, first, strlen(first)), 0);
    static const char *const parts[] = {
        "\xe2\x9c\x97 nobody waits <long>",
        "\xe2\x9c\x93 fleet recovered {group:env}",
        "3 of 3",
        "failed at 1m 03s",
        "publish.latency p(99)<2ms",
        "must be < 2ms",
        "1,000 running",
        "104   server unavailable",
        "10,650 offline",
        "79,850",
        "298 dropped, 2 already gone, 298 back",
        "100 %: 19.0 s",
        "9007199254740993",
        "fedcba9876543210",
        "embedded mosquitto on 127.0.0.1:40123",
        "2026-01-31T10:15:00.123Z",
        "alerts.seen{site:north}",
        "\nFAILED  exit code 99\n",
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(parts); i++)
        expect_text(text, parts[i]);
    assert_null(strchr(text, '\x1b'));
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        size_t columns = 0;
        for (const char *c = line; *c != '\n'; c++)
            columns += ((unsigned char)*c & 0xc0) != 0x80;
        if (columns > 80)
            fail_msg("%zu columns: %.*s", columns, (int)strcspn(line, "\n"), line);
    }
    free(text);
    text = summary_of(&r, true);
    expect_text(text, "\x1b[31mFAILED\x1b[0m");
    free(text);
    ix_result_deinit(&r);
}

static void test_summary_of_a_run_that_did_nothing(void **state)
{
    (void)state;
    struct ix_result r;
    ix_result_init(&r);
    r.error = ix_strdup("x.lua:8: out of ideas\nstack traceback:\n\tx.lua:8");
    r.final.all.counters[IX_C_SENT] = 51;
    r.final.all.counters[IX_C_ACKED] = 50;
    ix_histogram_add(&r.final.all.trends[IX_T_SERVICE], IX_MS);
    ix_result_judge(&r, IX_EXIT_SCRIPT);
    char *text = summary_of(&r, false);
    expect_text(text, "SCRIPT ERROR  run: 0 devices");
    expect_text(text, "  x.lua:8: out of ideas\n  stack traceback:\n");
    expect_text(text, "exit code 107");
    expect_text(text, "in flight                    1\n");
    expect_text(text, "1*\n");
    expect_text(text, "fewer than 100 samples");
    static const char *const silent[] = {"CHECKS", "THRESHOLDS", "DROPOUTS", "CONNECTIONS", "nan", "lost"};
    for (size_t i = 0; i < IX_ARRAY_LEN(silent); i++)
        if (strstr(text, silent[i]))
            fail_msg("%s has nothing to say in:\n%s", silent[i], text);
    free(text);
    ix_result_deinit(&r);
}

static void test_summary_says_what_is_wrong_with_the_generator(void **state)
{
    (void)state;
    struct ix_result r;
    ix_result_init(&r);
    add_lateness(&r, 100 * IX_MS, 1000);
    ix_result_judge(&r, 0);
    char *text = summary_of(&r, false);
    expect_text(text, "PASSED  ");
    expect_text(text, "degraded");
    expect_text(text, "    p99 lateness ");
    expect_text(text, "\nPASSED (degraded)\n");
    free(text);
    ix_result_deinit(&r);
}

static void test_summary_says_why_a_check_failed(void **state)
{
    (void)state;
    struct ix_result r;
    fixture_run(&r);
    char *text = summary_of(&r, false);
    expect_text(text, "failed at 1m 03s\n      one waited 70 s, <60 s was wished\n");
    free(text);
    ix_result_deinit(&r);
}

static void test_long_settings_do_not_fill_the_page(void **state)
{
    (void)state;
    struct ix_result r;
    ix_result_init(&r);
    /* 59 bytes of quote and text, then a character of two: the cut may not go through it. */
    r.settings = json_pack("{s:{s:s,s:s}}", "broker", "value",
                           "0123456789012345678901234567890123456789012345678901234567é and more", "origin",
                           "command line");
    assert_non_null(r.settings);
    ix_result_judge(&r, 0);
    char *text = summary_of(&r, false);
    expect_text(text, "broker \"0123456789012345678901234567890123456789012345678901234567…  (command line)");
    free(text);
    ix_result_deinit(&r);
}

static void test_hostile_names_cannot_move_the_cursor(void **state)
{
    (void)state;
    struct ix_result r;
    ix_result_init(&r);
    r.scenario = ix_strdup("a\x1b[2Jb\r\nc");
    ix_checks_add(&r.checks, "x\x1b]0;title\x07", "k:\x1b[1m", false, "\x1b[2J", 0, NULL);
    ix_result_judge(&r, 0);
    char *text = summary_of(&r, false);
    for (const char *c = text; *c; c++)
        assert_true(*c == '\n' || (unsigned char)*c >= 0x20);
    expect_text(text, "a?[2Jb? c");
    free(text);
    ix_result_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precedence_of_exit_codes),
        cmocka_unit_test(test_a_failed_threshold_fails_the_run),
        cmocka_unit_test(test_validity_by_its_limits),
        cmocka_unit_test(test_summary_of_a_full_run),
        cmocka_unit_test(test_summary_of_a_run_that_did_nothing),
        cmocka_unit_test(test_summary_says_what_is_wrong_with_the_generator),
        cmocka_unit_test(test_summary_says_why_a_check_failed),
        cmocka_unit_test(test_long_settings_do_not_fill_the_page),
        cmocka_unit_test(test_hostile_names_cannot_move_the_cursor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
