/* Times of publishing by QoS: in the segment, in snapshots of many workers, as metrics, and in the journal. */
#include "check.h"

#include "base/units.h"
#include "control/journal_snapshot.h"

#include <stdlib.h>
#include <unistd.h>

static struct ix_segment *segments[2];
static const struct ix_group_facts facts[] = {{"plain", "site:a", NULL, 10}, {"mixed", "site:b", NULL, 10}};

static int set_up(void **state)
{
    (void)state;
    struct ix_error err;
    for (uint32_t w = 0; w < 2; w++) {
        int fd = ix_segment_create(w, &err);
        segments[w] = ix_segment_map(fd, true, &err);
        close(fd);
        ix_segment_group(segments[w], "plain")->qos = 1 + 0;
        ix_segment_group(segments[w], "mixed")->qos = 1 + 1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int w = 0; w < 2; w++)
        ix_segment_unmap(segments[w]);
    return 0;
}

static void acked(int worker, const char *group, int qos, uint64_t response_ms, int times)
{
    for (int i = 0; i < times; i++)
        ix_group_metrics_acked(ix_segment_group(segments[worker], group), qos, response_ms * IX_MS,
                               response_ms * IX_MS / 2);
}

static void take(struct ix_snapshot *snapshot, uint64_t at_ns)
{
    ix_snapshot_take(snapshot, (const struct ix_segment *const *)segments, 2, facts, 2, at_ns);
}

static void expect(const struct ix_snapshot *snapshot, const char *metric, const char *tags, uint64_t count,
                   uint64_t max_ms)
{
    static struct ix_metric_view view;
    assert_true(ix_snapshot_metric(snapshot, metric, tags, &view));
    assert_number(view.count, count);
    assert_number(view.trend.count, count);
    assert_number(view.trend.max, max_ms * IX_MS);
}

static void every_qos_has_its_own_times(void **state)
{
    (void)state;
    struct ix_snapshot s;
    ix_snapshot_init(&s);
    acked(0, "plain", 0, 2, 5);
    acked(0, "mixed", 1, 10, 7);
    acked(1, "mixed", 1, 20, 3);
    take(&s, IX_S);
    assert_number(s.by_qos_count, 0); /* one QoS a group: nothing is kept twice */
    expect(&s, "publish.latency", "", 15, 20);
    expect(&s, "publish.latency", "qos:0", 5, 2);
    expect(&s, "publish.latency", "qos:1", 10, 20);
    expect(&s, "publish.latency", "qos:2", 0, 0);

    acked(1, "mixed", 2, 50, 4); /* from a script */
    acked(0, "mixed", 0, 1, 6);
    take(&s, 2 * IX_S);
    assert_number(s.by_qos_count, 3);
    expect(&s, "publish.latency", "", 25, 50);
    expect(&s, "publish.service", "qos:2", 4, 25);
    expect(&s, "publish.latency", "qos:2", 4, 50);
    expect(&s, "publish.latency", "qos:1", 10, 20);
    expect(&s, "publish.latency", "qos:0", 11, 2);
    expect(&s, "publish.latency", "qos:0,group:mixed", 6, 1);
    expect(&s, "publish.latency", "site:a,qos:0", 5, 2);
    expect(&s, "mqtt.publish.latency", "group:mixed,qos:2", 4, 50);
    expect(&s, "publish.latency", "group:mixed", 20, 50);

    struct ix_latency_row *rows;
    assert_number(ix_snapshot_latency(&s, &rows), 3);
    for (int q = 0; q < 3; q++)
        assert_number(rows[q].qos, q);
    assert_number(rows[0].response.count, 11);
    assert_number(rows[2].service.max, 25 * IX_MS);
    free(rows);
    ix_snapshot_deinit(&s);
}

static void a_tag_list_without_its_qos(void **state)
{
    (void)state;
    static const struct {
        const char *tags;
        int qos;
        const char *rest;
    } cases[] = {{"qos:1", 1, ""},        {"a:b,qos:2", 2, "a:b"},
                 {"qos:0,a:b", 0, "a:b"}, {"a:b,qos:1,c:d", 1, "a:b,c:d"},
                 {"qos:3", -1, NULL},     {"qos:11", -1, NULL},
                 {"xqos:1", -1, NULL},    {"", -1, NULL}};
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        char *rest;
        assert_number(ix_tags_qos(cases[i].tags, &rest), cases[i].qos);
        if (cases[i].rest)
            assert_string_equal(rest, cases[i].rest);
        else
            assert_null(rest);
        free(rest);
    }
}

static void the_journal_has_them_too(void **state)
{
    (void)state;
    struct ix_snapshot now, before, again;
    struct ix_journal_names names;
    struct ix_buf out;
    ix_buf_init(&out, 1 << 20);
    ix_snapshot_init(&now);
    ix_snapshot_init(&before);
    ix_snapshot_init(&again);
    ix_journal_names_pack(&out);
    struct ix_reader in = ix_reader_of(out.data, out.len);
    assert_true(ix_journal_names_unpack(&names, &in));
    for (int round = 0; round < 3; round++) {
        acked(0, "mixed", round, 10 + (uint64_t)round, 3 + round);
        acked(1, "plain", 0, 1, 2);
        take(&now, (uint64_t)round * IX_S);
        ix_buf_clear(&out);
        ix_journal_snapshot_pack(&now, &before, &out);
        in = ix_reader_of(out.data, out.len);
        assert_true(ix_journal_snapshot_unpack(&again, &names, &in));
    }
    expect(&again, "publish.latency", "qos:0", 6 + 3, 10);
    expect(&again, "publish.latency", "qos:1", 4, 11);
    expect(&again, "publish.latency", "qos:2", 5, 12);
    expect(&again, "publish.latency", "", 18, 12);
    ix_snapshot_deinit(&now);
    ix_snapshot_deinit(&before);
    ix_snapshot_deinit(&again);
    ix_buf_deinit(&out);
}

static int ascending(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* A percentile is at most 1 % away from the sample that it stands for, and never above the maximum; merging parts in any
 * way is the same as one histogram. */
static void percentiles_are_within_one_percent(void **state)
{
    (void)state;
    static struct ix_histogram whole, parts[4], merged, window;
    static uint64_t samples[20000];
    uint64_t x = 88172645463325252ull;
    ix_histogram_init(&whole);
    ix_histogram_init(&merged);
    for (int i = 0; i < 4; i++)
        ix_histogram_init(&parts[i]);
    for (size_t i = 0; i < IX_ARRAY_LEN(samples); i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        samples[i] = x >> (22 + x % 40); /* all magnitudes up to 2^42 */
        ix_histogram_add(&whole, samples[i]);
        ix_histogram_add(&parts[i % 4], samples[i]);
    }
    qsort(samples, IX_ARRAY_LEN(samples), sizeof(samples[0]), ascending);
    for (int permille = 1; permille <= 1000; permille++) {
        size_t rank = (IX_ARRAY_LEN(samples) * (size_t)permille + 999) / 1000 - 1;
        uint64_t exact = samples[rank], got = ix_histogram_quantile(&whole, permille / 1000.0);
        double error = exact > got ? (double)(exact - got) : (double)(got - exact);
        assert_true(error <= 0.01 * (double)exact);
        assert_true(got <= whole.max);
    }
    for (int i = 0; i < 4; i++)
        ix_histogram_merge(&merged, &parts[3 - i]);
    assert_memory_equal(&merged, &whole, sizeof(whole));
    ix_histogram_diff(&window, &whole, &parts[0]);
    assert_number(window.count, whole.count - parts[0].count);
    for (int permille = 1; permille <= 1000; permille++)
        assert_true(ix_histogram_quantile(&window, permille / 1000.0) <= window.max);
    assert_true(window.max <= whole.max);
}

static void small_samples_are_known_as_such(void **state)
{
    (void)state;
    static struct ix_histogram h;
    ix_histogram_init(&h);
    for (int i = 0; i < 99; i++)
        ix_histogram_add(&h, 5);
    assert_false(ix_histogram_supports(&h, 0.99));
    assert_true(ix_histogram_supports(&h, 0.95));
    ix_histogram_add(&h, 5);
    assert_true(ix_histogram_supports(&h, 0.99));
    assert_false(ix_histogram_supports(&h, 0.999));
    assert_true(ix_histogram_supports(&h, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_qos_has_its_own_times, set_up, tear_down),
        cmocka_unit_test(a_tag_list_without_its_qos),
        cmocka_unit_test_setup_teardown(the_journal_has_them_too, set_up, tear_down),
        cmocka_unit_test(percentiles_are_within_one_percent),
        cmocka_unit_test(small_samples_are_known_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
