/* The generator's judgement on itself: each limit with its reason and figure, and what it makes of metrics. */
#include "check.h"

#include "base/units.h"
#include "control/judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ix_result result;

static int set_up(void **state)
{
    (void)state;
    ix_result_init(&result);
    result.final.all.counters[IX_C_SCHEDULED] = 10000;
    for (int i = 0; i < 1000; i++) {
        ix_histogram_add(&result.final.all.trends[IX_T_LATENESS], 2 * IX_MS);
        ix_histogram_add(&result.final.all.trends[IX_T_RESPONSE], 4 * IX_MS);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ix_result_deinit(&result);
    return 0;
}

static void points(size_t count, double busy, double wait)
{
    result.series.points = ix_calloc(count, sizeof(*result.series.points));
    result.series.count = count;
    for (size_t i = 0; i < count; i++)
        result.series.points[i] =
            (struct ix_point){.t = (double)i + 1, .seconds = 1, .busy = busy, .wait = wait};
}

static void expect(enum ix_validity validity, enum ix_exit code, const char *reason)
{
    ix_result_judge(&result, 0);
    assert_number(result.validity, validity);
    assert_number(result.exit_code, code);
    if (reason && !strstr(result.validity_reasons, reason))
        fail_msg("\"%s\" is not in \"%s\"", reason, result.validity_reasons);
    if (!reason)
        assert_string_equal(result.validity_reasons, "");
}

static void limit(const char *text)
{
    struct ix_error err;
    if (ix_judge_set_limit(&result.limits, text, &err) < 0)
        fail_msg("%s", err.text);
}

static void good_runs_are_valid(void **state)
{
    (void)state;
    points(20, 0.5, 0.2);
    expect(IX_VALID, IX_EXIT_PASSED, NULL);
    assert_false(ix_result_is_suspect(&result, "publish.latency"));
}

static void lateness_has_two_limits(void **state)
{
    (void)state;
    limit("lateness.degraded=1ms");
    expect(IX_DEGRADED, IX_EXIT_PASSED, "p99 lateness 2.0");
    assert_true(ix_result_is_suspect(&result, "publish.latency"));
    assert_true(ix_result_is_suspect(&result, "mqtt.publish.service"));
    assert_false(ix_result_is_suspect(&result, "messages.lost"));
    json_t *suspects = ix_result_suspects(&result);
    assert_number(json_array_size(suspects), 2); /* those that were measured */
    json_decref(suspects);
    limit("lateness.invalid=1500us");
    expect(IX_INVALID, IX_EXIT_INVALID, "> 1.50 ms");
    limit("lateness.invalid=off");
    limit("lateness.degraded=off");
    expect(IX_VALID, IX_EXIT_PASSED, NULL);
}

static void the_reason_tells_a_starved_worker_from_a_busy_one(void **state)
{
    (void)state;
    points(4, 0.2, 0.43);
    limit("lateness.degraded=1ms");
    expect(IX_DEGRADED, IX_EXIT_PASSED, "waited 43 % of the time for a CPU that other programs had");
}

static void busy_and_starved_loops(void **state)
{
    (void)state;
    points(6, 0.95, 0.7);
    expect(IX_DEGRADED, IX_EXIT_PASSED, "more than 90 % busy for 6 s (limit 5 s), from 0 s on, at most 95 %");
    assert_non_null(strstr(result.validity_reasons, "waited for a CPU for more than 50 % of 6 s"));
    limit("busy.for=7s");
    expect(IX_VALID, IX_EXIT_PASSED, NULL);
    limit("busy.for=2");
    limit("busy.degraded=96%");
    limit("wait.degraded=0.7");
    expect(IX_VALID, IX_EXIT_PASSED, NULL);
    limit("busy.degraded=off");
    limit("wait.degraded=69%");
    expect(IX_DEGRADED, IX_EXIT_PASSED, "at most 70 %");
}

static void what_others_took_and_what_was_dropped(void **state)
{
    (void)state;
    result.steal = 0.12;
    expect(IX_DEGRADED, IX_EXIT_PASSED, "12.0 % of this machine's CPU time went to other guests");
    limit("steal.degraded=20%");
    result.frames_dropped = 3;
    expect(IX_DEGRADED, IX_EXIT_PASSED, "3 records, answers or events found a queue");
    limit("dropped.degraded=3");
    result.worker_restarts = 2;
    expect(IX_DEGRADED, IX_EXIT_PASSED, "2 worker restarts");
    assert_false(result.was_slow);
    limit("restarts.degraded=2");
    expect(IX_VALID, IX_EXIT_PASSED, NULL);
}

static void own_fault_and_overrun_are_invalid(void **state)
{
    (void)state;
    result.own_fault = 10;
    expect(IX_VALID, IX_EXIT_PASSED, NULL);
    result.own_fault = 11;
    expect(IX_INVALID, IX_EXIT_INVALID, "11 of 10,000 messages (0.11 % > 0.1 %)");
    limit("ownFault.invalid=1%");
    result.observer_overrun = 1;
    expect(IX_INVALID, IX_EXIT_INVALID, "1 messages could not be accounted for");
    limit("overrun.invalid=off");
    expect(IX_VALID, IX_EXIT_PASSED, NULL);
}

static void observers_that_are_held_up_are_our_fault(void **state)
{
    (void)state;
    result.seconds = 100;
    result.observer_held_ns = result.observer_held_most_ns = 900 * IX_MS; /* less than one of a hundred */
    expect(IX_VALID, IX_EXIT_PASSED, NULL);
    result.observer_held_ns = 1500 * IX_MS;
    expect(IX_DEGRADED, IX_EXIT_PASSED,
           "an observer was held up by this host for 1.50 s, at most 900 ms > 50");
    result.observer_held_most_ns = 1500 * IX_MS;
    expect(IX_INVALID, IX_EXIT_INVALID, "at most 1.50 s > 1.00 s");
    limit("lateness.degraded=off");
    expect(IX_VALID, IX_EXIT_PASSED, NULL);
}

static void what_only_our_dead_workers_lost_is_not_the_brokers_fault(void **state)
{
    (void)state;
    json_t *table = json_pack("{s:s}", "messages.lost", "count==0");
    assert_int_equal(ix_thresholds_parse(table, &result.thresholds, NULL), 0);
    json_decref(table);
    result.final.all.counters[IX_C_LOST] = result.final.all.counters[IX_C_LOST_WORKER] = 2;
    ix_thresholds_evaluate(result.thresholds, &result.final, &result.checks, 0, true);
    expect(IX_INVALID, IX_EXIT_INVALID,
           "2 messages were lost with workers of iotix that died, and no others");
    result.final.all.counters[IX_C_LOST] = 3;
    expect(IX_VALID, IX_EXIT_FAILED, NULL);
}

static void a_run_that_ended_early_counts_as_interrupted(void **state)
{
    (void)state;
    result.early = ix_strdup("its controller died");
    expect(IX_VALID, IX_EXIT_INTERRUPTED, NULL);
}

static void wrong_limits_are_explained(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"lateness.degradd=1s", "lateness.degraded"},
        {"lateness.degraded", "needs a value"},
        {"lateness.degraded=5", "5"},
        {"busy.degraded=110%", "no share"},
        {"busy.degraded=x", "no share"},
        {"busy.degraded=-1", "no share"},
        {"restarts.degraded=many", "many"},
        {"", "there is no limit"},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        struct ix_error err;
        struct ix_limits limits = ix_default_limits;
        assert_number(ix_judge_set_limit(&limits, cases[i][0], &err) < 0, 1);
        if (!strstr(err.text, cases[i][1]))
            fail_msg("\"%s\": \"%s\"", cases[i][0], err.text);
        assert_memory_equal(&limits, &ix_default_limits, sizeof(limits));
    }
}

static void every_limit_is_in_the_manual(void **state)
{
    (void)state;
    struct ix_buf row;
    char text[1 << 16] = "";
    FILE *f = fopen("runtime/control/README.md", "re");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    ix_buf_init(&row, 4096);
    for (const struct ix_limit_doc *doc = ix_limit_docs; doc->name; doc++) {
        ix_buf_clear(&row);
        ix_buf_printf(&row, "| `%s` | ", doc->name);
        ix_judge_put_limit(&row, &ix_default_limits, doc);
        ix_buf_printf(&row, " | %s |", doc->doc);
        if (!strstr(text, ix_buf_cstr(&row)))
            fail_msg("runtime/control/README.md must have the row\n%s", ix_buf_cstr(&row));
    }
    ix_buf_deinit(&row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(good_runs_are_valid, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lateness_has_two_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_reason_tells_a_starved_worker_from_a_busy_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(busy_and_starved_loops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_others_took_and_what_was_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(own_fault_and_overrun_are_invalid, set_up, tear_down),
        cmocka_unit_test_setup_teardown(observers_that_are_held_up_are_our_fault, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_only_our_dead_workers_lost_is_not_the_brokers_fault, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_run_that_ended_early_counts_as_interrupted, set_up, tear_down),
        cmocka_unit_test(wrong_limits_are_explained),
        cmocka_unit_test(every_limit_is_in_the_manual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
