/* Thresholds: what they say, what they find, and what is wrong with them. */
#include "run_fixture.h"

static struct ix_thresholds *parsed(const char *json)
{
    json_error_t fault;
    json_t *table = json_loads(json, 0, &fault);
    if (!table)
        fail_msg("%s: %s", json, fault.text);
    struct ix_thresholds *thresholds;
    struct ix_error err;
    if (ix_thresholds_parse(table, &thresholds, &err) < 0)
        fail_msg("%s: %s", json, err.text);
    json_decref(table);
    return thresholds;
}

static struct ix_thresholds *one(const char *metric, const char *text)
{
    char json[300];
    snprintf(json, sizeof(json), "{\"%s\": \"%s\"}", metric, text);
    return parsed(json);
}

static struct ix_snapshot now;

static void fresh(void)
{
    ix_snapshot_deinit(&now);
    now.at_ns = 10 * IX_S;
}

static const struct ix_threshold *evaluated(struct ix_thresholds *thresholds, bool final)
{
    size_t count;
    ix_thresholds_evaluate(thresholds, &now, NULL, 0, final);
    return ix_thresholds_list(thresholds, &count);
}

/* 100 samples of publish.latency: 1 ms … 100 ms; 2,000 sent in 10 s; 3 of 4 connects accepted. */
static void measured_run(void)
{
    fresh();
    for (uint64_t i = 1; i <= 100; i++)
        ix_histogram_add(&now.all.trends[IX_T_RESPONSE], i * IX_MS);
    now.all.counters[IX_C_SENT] = 2000;
    now.all.counters[IX_C_CONNECTED] = 3;
    now.all.counters[IX_C_REFUSED] = 1;
    now.all.connected = 3;
}

static void test_aggregates_operators_and_units(void **state)
{
    (void)state;
    static const struct {
        const char *metric, *text;
        bool passed;
        double measured;
    } cases[] = {
        {"publish.latency", "p(95)<100ms", true, 95},
        {"publish.latency", " p( 95 ) < 96 ", true, 95},
        {"publish.latency", "p(95)<90000us", false, 95},
        {"publish.latency", "p(99.9)<=0.1s", true, 100},
        {"publish.latency", "p(0)>0", true, 1},
        {"publish.latency", "max==100", true, 100},
        {"publish.latency", "max!=100", false, 100},
        {"publish.latency", "min==1ms", true, 1},
        {"publish.latency", "avg<50", false, 50.5},
        {"publish.latency", "med<1m", true, 50},
        {"publish.latency", "sum==5050", true, 5050},
        {"publish.latency", "count>=100", true, 100},
        {"messages.sent", "count==2k", true, 2000},
        {"messages.sent", "rate>=200", true, 200},
        {"messages.sent", "rate>0.2k", false, 200},
        {"messages.lost", "count==0", true, 0},
        {"devices.connected", "value>=3", true, 3},
        {"connect.success", "rate>=75%", true, 0.75},
        {"connect.success", "rate>0.75", false, 0.75},
        {"mqtt.connect.success", "rate>0", false, NAN}, /* no group, no samples */
    };
    measured_run();
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        struct ix_thresholds *thresholds = one(cases[i].metric, cases[i].text);
        const struct ix_threshold *t = evaluated(thresholds, true);
        double want = cases[i].measured;
        bool near = isnan(want) ? isnan(t->measured) : fabs(t->measured - want) <= want / 100;
        if (t->passed != cases[i].passed || !t->evaluated || !near)
            fail_msg("%s %s: passed %d, measured %g: %s", cases[i].metric, cases[i].text, t->passed,
                     t->measured, t->reason);
        ix_thresholds_free(thresholds);
    }
}

static void test_reasons_say_what_was_measured(void **state)
{
    (void)state;
    measured_run();
    static const char *const cases[][3] = {
        {"publish.latency", "max<50ms", "max was 100 ms, must be < 50ms"},
        {"publish.latency", "max<50s", "max was 100 ms"},
        {"messages.sent", "count>1M", "count was 2,000, must be > 1M"},
        {"connect.success", "rate>99%", "rate was 75%, must be > 99%"},
        {"delivery.lost", "count==0",
         "delivery.lost has no value: nothing in this run observed what the broker delivered"},
        {"messages.sent{site:x}", "count<5", "nothing that was measured carries {site:x}"},
        {"publish.service", "avg<5", "no samples"},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        struct ix_thresholds *thresholds = one(cases[i][0], cases[i][1]);
        assert_string_equal(evaluated(thresholds, true)->reason, cases[i][2]);
        ix_thresholds_free(thresholds);
    }
}

/* What may still come may be lost: no bound on losses holds because nobody knows yet. */
static void test_losses_that_are_not_known_pass_no_bound(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool passed;
        const char *reason;
    } cases[] = {
        {"count<=20", true, "count was 7"},
        {"count<20", false,
         "count was 7, but 13 more may be lost: they were in flight at the end; must be < "
         "20, and that "
         "is not known"},
        {"count<5", false, "count was 7, must be < 5"},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        measured_run();
        now.observed = true;
        now.all.counters[IX_C_D_SENT] = 100;
        now.all.counters[IX_C_D_LOST] = 7;
        now.all.counters[IX_C_D_IN_FLIGHT] = 13;
        struct ix_thresholds *thresholds = one("delivery.lost", cases[i].text);
        assert_int_equal(evaluated(thresholds, false)->passed, i != 2);
        const struct ix_threshold *t = evaluated(thresholds, true);
        assert_string_equal(t->reason, cases[i].reason);
        assert_int_equal(t->passed, cases[i].passed);
        ix_thresholds_free(thresholds);
    }
    measured_run();
    now.observed = true; /* other topics */
    struct ix_thresholds *thresholds = one("delivery.lost", "count==0");
    const struct ix_threshold *t = evaluated(thresholds, true);
    assert_string_equal(t->reason, "nothing that was sent went to the observed topics");
    assert_false(t->passed);
    ix_thresholds_free(thresholds);
}

static void test_missing_samples_fail_only_in_the_end(void **state)
{
    (void)state;
    fresh();
    static const char *const cases[][2] = {
        {"publish.latency", "p(95)<1"}, {"connect.success", "rate<1"},     {"checks", "rate>0"},
        {"delivery.latency", "avg<5"},  {"publish.latency{a:b}", "avg<5"}, {"mine", "rate>0"}};
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        struct ix_thresholds *thresholds = one(cases[i][0], cases[i][1]);
        const struct ix_threshold *t = evaluated(thresholds, false);
        assert_true(t->passed && !t->evaluated && isnan(t->measured));
        t = evaluated(thresholds, true);
        assert_true(!t->passed && t->evaluated && isnan(t->measured));
        ix_thresholds_free(thresholds);
    }
    struct ix_thresholds *thresholds = one("mine", "count==0"); /* declared, and never touched */
    assert_true(evaluated(thresholds, true)->passed);
    ix_thresholds_free(thresholds);
}

static void test_checks_as_a_metric(void **state)
{
    (void)state;
    fresh();
    struct ix_checks checks;
    struct ix_error err;
    ix_checks_init(&checks);
    for (int i = 0; i < 4; i++) {
        ix_checks_add(&checks, "a, b: c", "site:x", i > 0, NULL, 0, &err);
        ix_checks_add(&checks, "other", "", true, NULL, 0, &err);
    }
    struct ix_thresholds *t = parsed("{\"checks\":\"rate==0.875\", \"checks{name:a, b: c}\":\"rate==75%\","
                                     "\"checks{site:x}\":\"rate==75%\", \"checks{name:other}\":\"rate==1\","
                                     "\"checks{site:x,name:other}\":\"rate==1\"}");
    ix_thresholds_evaluate(t, &now, &checks, 0, true);
    size_t count;
    const struct ix_threshold *list = ix_thresholds_list(t, &count);
    assert_number(count, 5);
    for (size_t i = 0; i < count; i++)
        if (list[i].passed != (strcmp(list[i].tags, "site:x,name:other") != 0))
            fail_msg("checks{%s}: %s", list[i].tags, list[i].reason);
    ix_thresholds_free(t);
    ix_checks_deinit(&checks);
}

static void test_gauges_keep_their_extremes(void **state)
{
    (void)state;
    fresh();
    struct ix_thresholds *t = parsed("{\"devices.connected\":[\"min>=3\",\"max<=9\",\"value==5\"]}");
    static const int values[] = {4, 9, 3, 5};
    for (int i = 0; i < 4; i++) {
        now.all.connected = values[i];
        const struct ix_threshold *list = evaluated(t, i == 3);
        if (i == 3)
            assert_true(list[0].measured == 3 && list[1].measured == 9 && list[2].measured == 5);
    }
    ix_thresholds_free(t);
}

static void test_abort(void **state)
{
    (void)state;
    fresh();
    struct ix_thresholds *t = parsed("{\"messages.lost\":{\"threshold\":\"count<5\",\"abortOnFail\":true,"
                                     "\"delayAbort\":\"20s\"},\"messages.sent\":\"count>1\"}");
    now.all.counters[IX_C_LOST] = 5;
    assert_int_equal(ix_thresholds_evaluate(t, &now, NULL, 0, false), -1); /* too early */
    now.at_ns = 21 * IX_S;
    assert_int_equal(ix_thresholds_evaluate(t, &now, NULL, 0, false), 0);
    assert_int_equal(ix_thresholds_evaluate(t, &now, NULL, 0, false), -1); /* once */
    now.all.counters[IX_C_LOST] = 0;
    now.all.counters[IX_C_SENT] = 2;
    const struct ix_threshold *list = evaluated(t, true);
    assert_false(list[0].passed); /* it ended the run: that does not heal */
    assert_string_equal(list[0].reason, "count was 5, must be < 5");
    assert_true(list[1].passed);
    ix_thresholds_free(t);
}

static void test_windows(void **state)
{
    (void)state;
    fresh();
    /* 10 a second, a burst of 500 in second 30, 10 again. */
    struct ix_thresholds *t = parsed("{\"messages.lost\":[\"rate<50 over 10s\",\"rate<60 over 10s\","
                                     "\"rate<50\"],\"connect.time\":\"max<5ms over 10s\"}");
    const struct ix_threshold *list = NULL;
    for (uint64_t second = 1; second <= 60; second++) {
        now.at_ns = second * IX_S;
        now.all.counters[IX_C_LOST] += second == 30 ? 500 : 10;
        if (second == 40)
            ix_histogram_add(&now.all.trends[IX_T_CONNECT], 9 * IX_MS);
        list = evaluated(t, second == 60);
        if (second == 9)
            assert_false(list[1].evaluated); /* no window is complete yet */
        if (second == 20)
            assert_true(list[1].evaluated && list[1].passed && list[1].measured == 10);
    }
    assert_string_equal(list[0].metric, "connect.time");
    assert_false(list[0].passed); /* the only sample is long past: the window with it counts */
    assert_true(fabs(list[0].measured - 9) < 0.2);
    assert_false(list[1].passed);
    assert_true(list[1].measured == 59);
    assert_string_equal(list[1].reason, "rate over 10.0 s was 59/s at 30 s, must be < 50");
    assert_true(list[2].passed);
    assert_true(list[3].passed);
    ix_thresholds_free(t);
}

static void test_a_run_shorter_than_the_window_is_one_window(void **state)
{
    (void)state;
    fresh();
    struct ix_thresholds *t = parsed("{\"messages.sent\":[\"count>=100 over 5m\",\"count>100 over 1h\"]}");
    for (uint64_t second = 1; second <= 10; second++) {
        now.at_ns = second * IX_S;
        now.all.counters[IX_C_SENT] += 10;
        assert_false(evaluated(t, false)->evaluated);
    }
    const struct ix_threshold *list = evaluated(t, true);
    assert_true(list[0].passed && list[0].measured == 100);
    assert_false(list[1].passed);
    ix_thresholds_free(t);
}

static void test_long_windows_are_bounded_and_right(void **state)
{
    (void)state;
    fresh();
    struct ix_thresholds *t = one("messages.sent", "count<=1830 over 30m");
    const struct ix_threshold *list = NULL;
    for (uint64_t second = 1; second <= 7200; second++) {
        now.at_ns = second * IX_S + second % 7 * 20 * IX_MS; /* timers are not exact */
        now.all.counters[IX_C_SENT]++;
        list = evaluated(t, second == 7200);
    }
    /* A window is never shorter than it says, and at most a step longer. */
    assert_true(list->passed && list->measured >= 1800 && list->measured <= 1830);
    ix_thresholds_free(t);
}

static void test_faults_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *parts[4];
    } cases[] = {
        {"{\"messages.sent\":\"count>>1\"}",
         {"messages.sent", "\"count>>1\", column 7 (\">1\")", "a number"}},
        {"{\"publish.latency\":\"p95<5\"}", {"column 1", "one of count, rate, value, avg", "p(N)"}},
        {"{\"publish.latency\":\"p(101)<5\"}", {"column 3", "0 to 100"}},
        {"{\"publish.latency\":\"p(95<5\"}", {"column 5", "\")\""}},
        {"{\"publish.latency\":\"p(95)~5\"}", {"column 6", "<, <=, >, >=, ==, !="}},
        {"{\"publish.latency\":\"p(95)<\"}", {"ends too early"}},
        {"{\"publish.latency\":\"p(95)<0x10\"}", {"a number"}},
        {"{\"publish.latency\":\"p(95)<5sec\"}", {"\"sec\"", "ns, us, ms"}},
        {"{\"publish.latency\":\"p(95)<5k\"}", {"is a duration", "us, s or m", "\"5k\""}},
        {"{\"publish.latency\":\"p(95)<5 each 5m\"}", {"column 9", "over"}},
        {"{\"publish.latency\":\"p(95)<5 over 5\"}", {"column 14", "\"5m\""}},
        {"{\"publish.latency\":\"p(95)<5 over 10ms\"}", {"1s or more"}},
        {"{\"publish.latency\":\"rate<5\"}", {"publish.latency is a trend", "has no rate", "avg, min"}},
        {"{\"messages.sent\":\"avg<5\"}", {"is a counter", "count, or rate"}},
        {"{\"messages.sent\":\"count<5ms\"}", {"is a number", "\"5ms\""}},
        {"{\"devices.connected\":\"rate<5\"}", {"is a gauge", "value, min or max"}},
        {"{\"connect.success\":\"rate<5\"}", {"share between 0 and 1", "5%"}},
        {"{\"messages.sent{x}\":\"count<5\"}", {"filter", "{key:value}"}},
        {"{\"messages.sent{a:b\":\"count<5\"}", {"filter"}},
        {"{\"{a:b}\":\"count<5\"}", {"no metric"}},
        {"{\"messages.sent\":5}", {"text like", "\"threshold\""}},
        {"{\"messages.sent\":{\"treshold\":\"count<5\"}}", {"treshold", "did you mean \"threshold\""}},
        {"{\"messages.sent\":{}}", {"no \"threshold\""}},
        {"{\"messages.sent\":{\"threshold\":\"count<5\",\"delayAbort\":5}}", {"delayAbort", "\"30s\""}},
        {"{\"messages.sent\":{\"threshold\":\"count<5\",\"abortOnFail\":1}}", {"true or false"}},
        {"{\"messages.sent\":{\"threshold\":\"count<5\",\"over\":\"5\"}}", {"over", "no unit"}},
        {"[1]", {"must be a table"}},
        {"{\"a.b\":\"x\",\"c.d\":\"y\"}", {"thresholds[\"a.b\"]", "\nthresholds[\"c.d\"]"}}, /* all at once */
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        json_t *table = json_loads(cases[i].json, 0, NULL);
        assert_non_null(table);
        struct ix_thresholds *thresholds;
        struct ix_error err;
        assert_int_equal(ix_thresholds_parse(table, &thresholds, &err), -EINVAL);
        assert_null(thresholds);
        for (size_t p = 0; p < 4 && cases[i].parts[p]; p++)
            if (!strstr(err.text, cases[i].parts[p]))
                fail_msg("%s: \"%s\" is not in: %s", cases[i].json, cases[i].parts[p], err.text);
        json_decref(table);
    }
}

static void test_unknown_metrics(void **state)
{
    (void)state;
    json_t *custom = json_pack("{s:s}", "orders.placed", "counter");
    struct ix_error err;
    struct ix_thresholds *t = parsed("{\"messages.snet\":\"count>1\",\"ordres.placed\":\"count>1\","
                                     "\"mqtt.publish.latency\":\"avg<1\",\"delivery.lost\":\"count<1\"}");
    assert_int_equal(ix_thresholds_check_metrics(t, custom, &err), -EINVAL);
    assert_non_null(strstr(err.text, "thresholds[\"messages.snet\"]"));
    assert_non_null(strstr(err.text, "did you mean \"messages.sent\"?"));
    assert_non_null(strstr(err.text, "did you mean \"orders.placed\"?"));
    assert_null(strstr(err.text, "publish"));
    assert_null(strstr(err.text, "delivery"));
    ix_thresholds_free(t);
    t = one("orders.placed", "count>1");
    assert_int_equal(ix_thresholds_check_metrics(t, custom, &err), 0);
    assert_int_equal(ix_thresholds_check_metrics(NULL, NULL, &err), 0);
    ix_thresholds_free(t);
    t = one("orders.placed", "p(95)<1");
    assert_int_equal(ix_thresholds_check_metrics(t, custom, &err), -EINVAL);
    assert_non_null(strstr(err.text, "orders.placed is a counter"));
    ix_thresholds_free(t);
    json_decref(custom);
}

static void test_custom_metric_of_the_wrong_kind(void **state)
{
    (void)state;
    fresh();
    struct ix_segment *segment = fixture_segment(0);
    ix_custom_metric_add(ix_segment_custom(segment, IX_CUSTOM_COUNTER, "orders", ""), 4);
    ix_snapshot_take(&now, (const struct ix_segment *const *)&segment, 1, NULL, 0, IX_S);
    struct ix_thresholds *t = parsed("{\"orders\":[\"p(95)<1\",\"count==4\"]}");
    const struct ix_threshold *list = evaluated(t, true);
    assert_false(list[0].passed);
    assert_string_equal(list[0].reason, "orders is a counter, which has no p(95): write count, or rate "
                                        "(per second)");
    assert_true(list[1].passed);
    ix_thresholds_free(t);
    ix_segment_unmap(segment);
}

static int finish(void **state)
{
    (void)state;
    ix_snapshot_deinit(&now);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aggregates_operators_and_units),
        cmocka_unit_test(test_reasons_say_what_was_measured),
        cmocka_unit_test(test_losses_that_are_not_known_pass_no_bound),
        cmocka_unit_test(test_missing_samples_fail_only_in_the_end),
        cmocka_unit_test(test_checks_as_a_metric),
        cmocka_unit_test(test_gauges_keep_their_extremes),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_a_run_shorter_than_the_window_is_one_window),
        cmocka_unit_test(test_long_windows_are_bounded_and_right),
        cmocka_unit_test(test_faults_are_explained),
        cmocka_unit_test(test_unknown_metrics),
        cmocka_unit_test(test_custom_metric_of_the_wrong_kind),
    };
    ix_snapshot_init(&now);
    return cmocka_run_group_tests(tests, NULL, finish);
}
