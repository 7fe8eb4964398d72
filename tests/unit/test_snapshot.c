/* Sums of segments, metrics by name, and the series of a run. */
#include "run_fixture.h"

#include "base/file.h"

#include <stdlib.h>

static const struct ix_segment *const *all(struct ix_segment **segments)
{
    return (const struct ix_segment *const *)segments;
}

static void test_sums_over_workers_and_groups(void **state)
{
    (void)state;
    struct ix_segment *segments[] = {fixture_segment(0), fixture_segment(1)};
    struct ix_group_metrics *a0 = ix_segment_group(segments[0], "a"),
                            *a1 = ix_segment_group(segments[1], "a"),
                            *b1 = ix_segment_group(segments[1], "b");
    a0->counters[IX_C_SENT] = 10;
    a1->counters[IX_C_SENT] = 5;
    b1->counters[IX_C_SENT] = 7;
    a0->by_status[IX_D_RUNNING] = 3;
    a1->by_status[IX_D_RUNNING] = 2;
    a1->connected = 2;
    ix_histogram_add(&a0->trends[IX_T_SERVICE], 1000);
    ix_histogram_add(&b1->trends[IX_T_SERVICE], 9000);
    ix_group_metrics_reason(a0, "rare");
    for (int i = 0; i < 3; i++)
        ix_group_metrics_reason(a1, "frequent");
    segments[1]->epoch = 3;

    struct ix_group_facts facts[] = {{"a", "site:x", NULL, 9}, {"b", NULL, NULL, 0}};
    struct ix_snapshot s;
    ix_snapshot_init(&s);
    for (int again = 0; again < 2; again++) { /* the same struct, used again, gives the same */
        ix_snapshot_take(&s, all(segments), 2, facts, 2, 77);
        assert_number(s.at_ns, 77);
        assert_number(s.group_count, 2);
        assert_number(s.groups[0].counters[IX_C_SENT], 15);
        assert_number(s.all.counters[IX_C_SENT], 22);
        assert_number(s.all.trends[IX_T_SERVICE].count, 2);
        assert_number(s.all.trends[IX_T_SERVICE].max, 9000);
        assert_number(s.groups[0].by_status[IX_D_RUNNING], 5);
        assert_number(s.groups[0].by_status[IX_D_CREATED], 4); /* of 9, placed or not */
        assert_number(s.all.count, 9);
        assert_number(s.all.connected, 2);
        assert_string_equal(s.all.reasons[0].text, "frequent");
        assert_number(s.all.reasons[0].count, 3);
        assert_string_equal(s.all.reasons[1].text, "rare");
        assert_string_equal(s.all.reasons[2].text, "");
        assert_number(s.workers[0].devices, 3);
    }
    /* The states of before: everything was stopped since. */
    struct ix_snapshot later;
    ix_snapshot_init(&later);
    a0->by_status[IX_D_RUNNING] = a1->by_status[IX_D_RUNNING] = a1->connected = 0;
    a0->by_status[IX_D_STOPPED] = 5;
    ix_snapshot_take(&later, all(segments), 2, facts, 2, 78);
    assert_number(later.all.connected, 0);
    ix_snapshot_keep_states(&later, &s);
    assert_number(later.all.connected, 2);
    assert_number(later.groups[0].by_status[IX_D_RUNNING], 5);
    assert_number(later.groups[0].by_status[IX_D_STOPPED], 0);
    ix_snapshot_deinit(&later);

    /* A deleted group stays in the sums. */
    ix_snapshot_take(&s, all(segments), 2, facts + 1, 1, 78);
    assert_number(s.all.counters[IX_C_SENT], 22);

    struct ix_snapshot copy;
    ix_snapshot_init(&copy);
    ix_snapshot_copy(&copy, &s);
    ix_snapshot_deinit(&s);
    assert_number(copy.all.counters[IX_C_SENT], 22);
    assert_string_equal(copy.groups[1].group, "a");
    ix_snapshot_deinit(&copy);
    ix_segment_unmap(segments[0]);
    ix_segment_unmap(segments[1]);
}

static void test_custom_metrics(void **state)
{
    (void)state;
    struct ix_segment *segments[] = {fixture_segment(0), fixture_segment(1)};
    struct ix_custom_metric *first = ix_segment_custom(segments[0], IX_CUSTOM_GAUGE, "level", ""),
                            *second = ix_segment_custom(segments[1], IX_CUSTOM_GAUGE, "level", "");
    for (int w = 0; w < 2; w++) {
        ix_custom_metric_add(ix_segment_custom(segments[w], IX_CUSTOM_COUNTER, "orders", "site:x"), 2.5);
        ix_custom_metric_add(ix_segment_custom(segments[w], IX_CUSTOM_TREND, "trip", ""), 20);
    }
    ix_custom_metric_add(ix_segment_custom(segments[0], IX_CUSTOM_COUNTER, "orders", "site:y"), 1);
    struct ix_snapshot s;
    struct ix_metric_view view;
    ix_snapshot_init(&s);
    ix_custom_metric_add(second, 5);
    ix_snapshot_take(&s, all(segments), 2, NULL, 0, 1);
    assert_true(ix_snapshot_metric(&s, "level", "", &view));
    assert_number(view.kind, IX_METRIC_GAUGE);
    assert_true(view.value == 5);
    ix_custom_metric_add(first, 3); /* set last, by the other worker */
    ix_snapshot_take(&s, all(segments), 2, NULL, 0, 2);
    assert_true(ix_snapshot_metric(&s, "level", "", &view) && view.value == 3);
    ix_snapshot_take(&s, all(segments), 2, NULL, 0, 3);
    assert_true(ix_snapshot_metric(&s, "level", "", &view) && view.value == 3);

    assert_true(ix_snapshot_metric(&s, "orders", "", &view) && view.value == 6);
    assert_true(ix_snapshot_metric(&s, "orders", "site:x", &view) && view.value == 5);
    assert_true(ix_snapshot_metric(&s, "orders", "site:z", &view) && view.series == 0);
    assert_true(ix_snapshot_metric(&s, "trip", "", &view) && view.count == 2);
    assert_number(view.trend.max, 20 * IX_MS);
    assert_false(ix_snapshot_metric(&s, "nothing", "", &view));

    /* The scenario's own samples join those of the workers, and are forgotten by the next take. */
    struct ix_custom_totals *own = ix_calloc(1, sizeof(*own));
    *own = (struct ix_custom_totals){.kind = IX_CUSTOM_COUNTER, .name = "orders", .value = 10, .count = 1};
    for (int i = 0; i < 2; i++) {
        ix_snapshot_take(&s, all(segments), 2, NULL, 0, 4);
        for (int n = 0; n < 100; n++) {
            snprintf(own->tags, sizeof(own->tags), "n:%d", n);
            ix_snapshot_add_custom(&s, own);
        }
        assert_true(ix_snapshot_metric(&s, "orders", "", &view) && view.value == 1006);
    }
    assert_true(ix_snapshot_metric(&s, "orders", "n:7", &view) && view.value == 10);
    free(own);
    ix_snapshot_deinit(&s);
    ix_segment_unmap(segments[0]);
    ix_segment_unmap(segments[1]);
}

static void test_metrics_by_name(void **state)
{
    (void)state;
    struct ix_segment *segment = fixture_segment(0);
    struct ix_group_metrics *m = ix_segment_group(segment, "env"), *other = ix_segment_group(segment, "web");
    m->counters[IX_C_CONNECTED] = 9;
    m->counters[IX_C_REFUSED] = 1;
    m->counters[IX_C_CONNECT_ATTEMPTS] = 12; /* two are not decided yet */
    m->counters[IX_C_SENT] = 10;
    m->counters[IX_C_ACKED] = 6;
    m->counters[IX_C_LOST] = 2;
    m->counters[IX_C_NEVER_SENT_OFFLINE] = 1;
    m->counters[IX_C_NEVER_SENT_BACKPRESSURE] = 2;
    m->counters[IX_C_NEVER_SENT_ERROR] = 4;
    other->counters[IX_C_SENT] = 100;
    segment->epoch = 3;
    struct ix_group_facts facts[] = {{"env", "site:x,tier:1", NULL, 5}, {"web", NULL, "http", 1}};
    struct ix_snapshot s;
    struct ix_metric_view view;
    ix_snapshot_init(&s);
    ix_snapshot_take(&s, (const struct ix_segment *const *)&segment, 1, facts, 2, 1);
    static const struct {
        const char *name, *tags;
        enum ix_metric_kind kind;
        double value;
        uint64_t count;
    } cases[] = {
        {"messages.sent", "", IX_METRIC_COUNTER, 110, 0},
        {"mqtt.messages.sent", "", IX_METRIC_COUNTER, 10, 0},
        {"http.messages.sent", "", IX_METRIC_COUNTER, 100, 0},
        {"messages.sent", "group:env", IX_METRIC_COUNTER, 10, 0},
        {"messages.sent", "tier:1,group:env", IX_METRIC_COUNTER, 10, 0},
        {"messages.sent", "tier:1,group:web", IX_METRIC_COUNTER, 0, 0},
        {"messages.neverSent", "", IX_METRIC_COUNTER, 7, 0},
        {"messages.inFlight", "group:env", IX_METRIC_GAUGE, 2, 0},
        {"messages.success", "", IX_METRIC_RATE, 6, 8},
        {"connect.success", "", IX_METRIC_RATE, 9, 10},
        {"devices.count", "", IX_METRIC_GAUGE, 6, 0},
        {"devices.created", "group:env", IX_METRIC_GAUGE, 5, 0},
        {"workers.restarts", "", IX_METRIC_COUNTER, 2, 0},
        {"publish.latency", "", IX_METRIC_TREND, 0, 0},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        assert_true(ix_snapshot_metric(&s, cases[i].name, cases[i].tags, &view));
        if (view.kind != cases[i].kind || view.value != cases[i].value || view.count != cases[i].count)
            fail_msg("%s{%s}: kind %d, value %g, count %llu", cases[i].name, cases[i].tags, view.kind,
                     view.value, (unsigned long long)view.count);
    }
    assert_false(ix_snapshot_metric(&s, "messages.snet", "", &view));
    assert_false(ix_snapshot_metric(&s, "mqtt.workers.restarts", "", &view));
    ix_snapshot_deinit(&s);
    ix_segment_unmap(segment);
}

static void test_every_metric_is_documented(void **state)
{
    (void)state;
    size_t count, names;
    const struct ix_metric_doc *docs = ix_metric_docs(&count);
    const char *const *list = ix_metric_names(&names);
    char *manual;
    struct ix_error err = {0};
    assert_number(count, names);
    if (ix_file_read("runtime/control/README.md", 1 << 20, &manual, &(size_t){0}, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(docs[i].doc);
        assert_true(strlen(docs[i].doc) > 10);
        assert_string_equal(docs[i].name, list[i]);
        assert_ptr_equal(ix_metric_find(docs[i].name), &docs[i]);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(docs[i].name, docs[j].name);
        char *row = ix_asprintf("| `%s` | %s | %s |\n", docs[i].name, ix_metric_kind_names[docs[i].kind],
                                docs[i].doc);
        if (!strstr(manual, row))
            fail_msg("runtime/control/README.md must have the row\n%s", row);
        free(row);
    }
    free(manual);
}

/* A snapshot with `sent` messages at second `t`, each with 1 ms of latency. */
static void snapshot_at(struct ix_snapshot *s, double t, uint64_t sent, uint64_t connects)
{
    s->at_ns = (uint64_t)(t * 1e9);
    s->all.counters[IX_C_SENT] = s->all.counters[IX_C_ACKED] = sent;
    s->all.counters[IX_C_CONNECTED] = connects;
    while (s->all.trends[IX_T_RESPONSE].count < sent)
        ix_histogram_add(&s->all.trends[IX_T_RESPONSE], IX_MS);
}

static void test_series_is_made_of_differences(void **state)
{
    (void)state;
    struct ix_series series;
    struct ix_snapshot s;
    ix_snapshot_init(&s);
    ix_series_init(&series, 10 * IX_S);
    snapshot_at(&s, 11, 100, 40);
    const struct ix_point *p = ix_series_add(&series, &s);
    assert_true(p->t == 1 && p->seconds == 1);
    assert_number(p->sent, 100);
    assert_true(fabs(p->latency_p99 - 1) < 0.01);
    snapshot_at(&s, 12.5, 100, 40);
    p = ix_series_add(&series, &s);
    assert_number(p->sent, 0);
    assert_true(isnan(p->latency_p50) && isnan(p->latency_max) && isnan(p->lateness_p99));
    snapshot_at(&s, 13, 130, 100);
    p = ix_series_add(&series, &s);
    assert_number(p->sent, 30);
    assert_true(series.peak_connects_per_s == 60); /* 60 in half a second: no second had more */
    assert_number(series.count, 3);
    ix_series_deinit(&series);
    ix_snapshot_deinit(&s);
}

/* It tells only when it has a CPU again, and then of the whole time. */
static void test_a_worker_that_had_no_cpu_counts_so_in_all_points(void **state)
{
    (void)state;
    struct ix_series series;
    struct ix_snapshot s;
    ix_snapshot_init(&s);
    s.workers = ix_calloc(1, sizeof(*s.workers));
    s.worker_count = s.worker_room = 1;
    ix_series_init(&series, 10 * IX_S);
    static const double told[] = {1, 2, 2, 2, 2, 6, 7};   /* second of its latest look */
    static const double waited[] = {0, 0, 0, 0, 0, 3, 3}; /* by then */
    for (size_t i = 0; i < 7; i++) {
        s.at_ns = (11 + i) * IX_S;
        s.workers[0].alive_ns = (uint64_t)((10 + told[i]) * IX_S);
        s.workers[0].wait_ns = (uint64_t)(waited[i] * IX_S);
        ix_series_add(&series, &s);
    }
    static const double expected[] = {0, 0, 0.75, 0.75, 0.75, 0.75, 0};
    for (size_t i = 0; i < 7; i++)
        assert_true(fabs(series.points[i].wait - expected[i]) < 0.001);
    ix_series_deinit(&series);
    ix_snapshot_deinit(&s);
}

static void test_series_is_bounded_and_keeps_its_sums(void **state)
{
    (void)state;
    struct ix_series series;
    struct ix_snapshot s;
    ix_snapshot_init(&s);
    ix_series_init(&series, 0);
    const int intervals = 2 * IX_SERIES_MAX + 7;
    for (int i = 1; i <= intervals; i++) {
        snapshot_at(&s, i, (uint64_t)i * 3, 0);
        assert_number(ix_series_add(&series, &s)->sent, 3); /* as measured, joined or not */
    }
    assert_true(series.count <= IX_SERIES_MAX && series.count >= IX_SERIES_MAX / 2);
    uint64_t sent = 0;
    double seconds = 0, last = 0;
    for (size_t i = 0; i < series.count; i++) {
        sent += series.points[i].sent;
        seconds += series.points[i].seconds;
        assert_true(series.points[i].t > last);
        last = series.points[i].t;
        assert_true(fabs(series.points[i].latency_p95 - 1) < 0.01);
    }
    assert_number(sent, (uint64_t)intervals * 3);
    assert_true(fabs(seconds - intervals) < 1e-6);
    assert_true(last == intervals);
    for (int i = 0; i < 10003; i++)
        ix_series_event(&series, IX_S, "e", NULL);
    assert_number(series.event_count, 10000);
    assert_number(series.events_dropped, 3);
    ix_series_deinit(&series);
    ix_snapshot_deinit(&s);
}

static void test_checks_add_up(void **state)
{
    (void)state;
    struct ix_checks checks;
    struct ix_error err;
    ix_checks_init(&checks);
    assert_int_equal(ix_checks_add(&checks, "up", NULL, true, NULL, 1, &err), 0);
    assert_int_equal(ix_checks_add(&checks, "up", "group:a", true, NULL, 2, &err), 0);
    assert_int_equal(ix_checks_add(&checks, "up", "", false, NULL, 3, &err), 0);
    assert_int_equal(ix_checks_add(&checks, "up", "", false, NULL, 4, &err), 0);
    assert_number(checks.count, 2);
    assert_number(checks.items[0].passes, 1);
    assert_number(checks.items[0].fails, 2);
    assert_number(checks.items[0].first_fail_ns, 3);
    char name[16];
    for (int i = 0; i < 9998; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        assert_int_equal(ix_checks_add(&checks, name, "", true, NULL, 5, &err), 0);
    }
    assert_int_equal(ix_checks_add(&checks, "one more", "", true, NULL, 5, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "one more"));
    assert_int_equal(ix_checks_add(&checks, "up", "", true, NULL, 5, &err), 0);
    ix_checks_deinit(&checks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_over_workers_and_groups),
        cmocka_unit_test(test_custom_metrics),
        cmocka_unit_test(test_metrics_by_name),
        cmocka_unit_test(test_every_metric_is_documented),
        cmocka_unit_test(test_series_is_made_of_differences),
        cmocka_unit_test(test_a_worker_that_had_no_cpu_counts_so_in_all_points),
        cmocka_unit_test(test_series_is_bounded_and_keeps_its_sums),
        cmocka_unit_test(test_checks_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
