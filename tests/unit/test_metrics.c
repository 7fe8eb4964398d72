#include "base/random.h"
#include "check.h"
#include "metrics/segment.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct ix_histogram h;

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void test_index_rises_with_the_value(void **state)
{
    (void)state;
    size_t last = 0;
    for (uint64_t value = 0; value < 1 << 20; value++) {
        size_t index = ix_histogram_index(value);
        assert_true(index == last || index == last + 1);
        last = index;
    }
    for (int bit = 6; bit < 43; bit++) {
        uint64_t value = 1ull << bit;
        assert_true(ix_histogram_index(value) == ix_histogram_index(value - 1) + 1);
    }
    assert_int_equal(ix_histogram_index((1ull << 43) - 1), IX_HISTOGRAM_BUCKETS - 1);
    assert_int_equal(ix_histogram_index(UINT64_MAX), IX_HISTOGRAM_BUCKETS - 1);
}

/* Against exact quantiles of sorted samples, for several shapes. */
static void test_quantiles(void **state)
{
    (void)state;
    enum { COUNT = 20001 };
    static const double qs[] = {0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1};
    uint64_t *samples = malloc(COUNT * sizeof(*samples));
    for (int shape = 0; shape < 4; shape++) {
        ix_histogram_init(&h);
        for (int i = 0; i < COUNT; i++) {
            uint64_t bits = ix_random_u64((uint64_t)shape, (uint64_t)i);
            samples[i] = shape == 0   ? ix_random_below(bits, 100)
                         : shape == 1 ? bits >> (22 + bits % 40)
                         : shape == 2 ? (uint64_t)(1e6 * ix_random_exponential(bits))
                                      : 123456789;
            ix_histogram_add(&h, samples[i]);
        }
        qsort(samples, COUNT, sizeof(*samples), compare);
        for (size_t i = 0; i < sizeof(qs) / sizeof(qs[0]); i++) {
            double wanted = ceil(qs[i] * COUNT);
            double exact = (double)samples[wanted < 1 ? 0 : (size_t)wanted - 1];
            double got = (double)ix_histogram_quantile(&h, qs[i]);
            if (fabs(got - exact) > exact / 128)
                fail_msg("shape %d, q %g: %g instead of %g", shape, qs[i], got, exact);
            assert_true(got <= (double)h.max && got >= (double)h.min);
        }
        assert_true(ix_histogram_quantile(&h, 1) == samples[COUNT - 1]);
    }
    free(samples);
}

static void test_extremes(void **state)
{
    (void)state;
    ix_histogram_init(&h);
    assert_true(ix_histogram_quantile(&h, 0.5) == 0 && ix_histogram_mean(&h) == 0);
    ix_histogram_add(&h, 1000);
    ix_histogram_add(&h, 1ull << 50); /* 13 days: beyond the last bucket */
    assert_true(ix_histogram_quantile(&h, 0.99) == 1ull << 50);
    assert_true(ix_histogram_quantile(&h, 0.5) <= 1000 + 1000 / 128);
    assert_true(ix_histogram_mean(&h) == (1000 + 0x1p50) / 2);
}

static void fill(struct ix_histogram *to, uint64_t key, int count)
{
    for (int i = 0; i < count; i++)
        ix_histogram_add(to, ix_random_u64(key, (uint64_t)i) >> 30);
}

static void test_merge_equals_one_histogram(void **state)
{
    (void)state;
    static struct ix_histogram a, b, all;
    ix_histogram_init(&a);
    ix_histogram_init(&b);
    ix_histogram_init(&all);
    fill(&a, 1, 1000);
    fill(&all, 1, 1000);
    fill(&b, 2, 500);
    fill(&all, 2, 500);
    ix_histogram_merge(&a, &b);
    assert_memory_equal(&a, &all, sizeof(all));
    static const struct ix_histogram untouched; /* of a page that no worker has written: min is 0 there */
    ix_histogram_merge(&a, &untouched);
    assert_memory_equal(&a, &all, sizeof(all));
}

static void test_diff_is_what_came_between(void **state)
{
    (void)state;
    static struct ix_histogram before, now, diff, wanted;
    ix_histogram_init(&before);
    ix_histogram_init(&wanted);
    fill(&before, 3, 700);
    ix_histogram_add(&before, 1); /* an early minimum and maximum that the difference must not show */
    ix_histogram_add(&before, 1ull << 42);
    now = before;
    fill(&now, 4, 300);
    fill(&wanted, 4, 300);
    ix_histogram_diff(&diff, &now, &before);
    assert_int_equal(diff.count, 300);
    assert_true(diff.sum == wanted.sum);
    assert_memory_equal(diff.buckets, wanted.buckets, sizeof(diff.buckets));
    assert_true(diff.min <= wanted.min && (double)diff.min >= (double)wanted.min * (1 - 1.0 / 64));
    assert_true(diff.max >= wanted.max && (double)diff.max <= (double)wanted.max * (1 + 1.0 / 64));
    ix_histogram_diff(&now, &now, &now);
    assert_int_equal(now.count, 0);
    assert_true(now.min == UINT64_MAX && now.max == 0);
}

static struct ix_segment *segment;
static int segment_fd;

static int make_segment(void **state)
{
    (void)state;
    struct ix_error err;
    segment_fd = ix_segment_create(3, &err);
    segment = segment_fd < 0 ? NULL : ix_segment_map(segment_fd, true, &err);
    return segment ? 0 : -1;
}

static int remove_segment(void **state)
{
    (void)state;
    ix_segment_unmap(segment);
    close(segment_fd);
    return 0;
}

static void test_segment_is_sparse_and_shared(void **state)
{
    (void)state;
    struct stat info;
    assert_int_equal(segment->worker, 3);
    struct ix_group_metrics *group = ix_segment_group(segment, "sensors");
    group->counters[IX_C_SENT] = 5;
    segment->rows[40000].sent = 7;
    assert_int_equal(fstat(segment_fd, &info), 0);
    assert_true(info.st_blocks * 512 < 1 << 20); /* of some 80 MB */

    /* The controller's view is read-only and sees every write. */
    struct ix_error err;
    struct ix_segment *view = ix_segment_map(segment_fd, false, &err);
    assert_non_null(view);
    group->counters[IX_C_SENT]++;
    assert_int_equal(ix_segment_find_group(view, "sensors")->counters[IX_C_SENT], 6);
    assert_int_equal(view->rows[40000].sent, 7);
    assert_null(ix_segment_find_group(view, "others"));
    /* The kernel tells whether the view could be written, without a signal. */
    assert_true(pread(segment_fd, &view->turns, 8, 0) == -1 && errno == EFAULT);
    ix_segment_unmap(view);
    assert_int_equal(ftruncate(segment_fd, 10), -1); /* nobody can pull pages away */
}

static void test_foreign_memory_is_refused(void **state)
{
    (void)state;
    struct ix_error err;
    char name[] = "/tmp/iotix-segment-XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    assert_null(ix_segment_map(fd, true, &err));
    assert_int_equal(err.code, -EPROTO);
    assert_int_equal(ftruncate(fd, sizeof(struct ix_segment)), 0);
    assert_null(ix_segment_map(fd, true, &err));
    assert_int_equal(err.code, -EPROTO);
    close(fd);
    assert_null(ix_segment_map(fd, true, &err));
    assert_int_equal(err.code, -EBADF);
}

static void test_groups(void **state)
{
    (void)state;
    char id[80];
    for (int i = 0; i < IX_SEGMENT_GROUPS; i++) {
        snprintf(id, sizeof(id), "group-%d", i);
        struct ix_group_metrics *group = ix_segment_group(segment, id);
        assert_non_null(group);
        assert_ptr_equal(ix_segment_group(segment, id), group);
        assert_true(group->trends[IX_T_OUTAGE].min == UINT64_MAX && group->counters[IX_C_SENT] == 0);
    }
    assert_null(ix_segment_group(segment, "one too many"));
    assert_non_null(ix_segment_group(segment, "group-0"));
    memset(id, 'x', sizeof(id));
    id[64] = '\0';
    assert_null(ix_segment_group(segment, id));
    assert_null(ix_segment_group(segment, ""));
}

static void test_reasons(void **state)
{
    (void)state;
    struct ix_group_metrics *group = ix_segment_group(segment, "g");
    assert_int_equal(ix_group_metrics_reason(group, "not authorised"), 1);
    assert_int_equal(ix_group_metrics_reason(group, "not"), 2); /* no mere beginning of another */
    assert_int_equal(ix_group_metrics_reason(group, "not authorised"), 1);
    assert_int_equal(group->reasons[0].count, 2);
    const char *accents =
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xc3\xa9\xc3\xa9"; /* 54 + 4 */
    assert_int_equal(ix_group_metrics_reason(group, accents), 3);
    assert_int_equal(ix_group_metrics_reason(group, accents), 3);
    assert_int_equal(strlen(group->reasons[2].text), 54); /* not half a character */
    char text[32];
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "reason %d", i);
        uint8_t place = ix_group_metrics_reason(group, text);
        assert_int_equal(place, i + 4 < IX_SEGMENT_REASONS ? i + 4 : IX_SEGMENT_REASONS);
    }
    assert_string_equal(group->reasons[IX_SEGMENT_REASONS - 1].text, "other");
    assert_int_equal(group->reasons[IX_SEGMENT_REASONS - 1].count, 100 - (IX_SEGMENT_REASONS - 4));
    assert_int_equal(ix_group_metrics_reason(group, "not"), 2);
}

static void test_custom_metrics(void **state)
{
    (void)state;
    struct ix_custom_metric *counter = ix_segment_custom(segment, IX_CUSTOM_COUNTER, "orders", "");
    struct ix_custom_metric *tagged = ix_segment_custom(segment, IX_CUSTOM_COUNTER, "orders", "shop:a");
    struct ix_custom_metric *rate = ix_segment_custom(segment, IX_CUSTOM_RATE, "ok", "");
    struct ix_custom_metric *gauge = ix_segment_custom(segment, IX_CUSTOM_GAUGE, "level", "");
    struct ix_custom_metric *trend = ix_segment_custom(segment, IX_CUSTOM_TREND, "delay", "");
    assert_true(counter != tagged);
    assert_ptr_equal(ix_segment_custom(segment, IX_CUSTOM_COUNTER, "orders", "shop:a"), tagged);
    assert_null(ix_segment_custom(segment, IX_CUSTOM_TREND, "orders", ""));
    ix_custom_metric_add(counter, 2);
    ix_custom_metric_add(counter, 0.5);
    ix_custom_metric_add(counter, NAN);
    assert_true(counter->value == 2.5 && counter->count == 2 && tagged->count == 0);
    ix_custom_metric_add(rate, 1);
    ix_custom_metric_add(rate, 0);
    ix_custom_metric_add(rate, 7);
    assert_true(rate->value == 2 && rate->count == 3);
    ix_custom_metric_add(gauge, 5);
    ix_custom_metric_add(gauge, -3);
    assert_true(gauge->value == -3);
    ix_custom_metric_add(trend, 1.5);
    ix_custom_metric_add(trend, -1);
    assert_true(trend->trend.max == 1500000 && trend->trend.min == 0 && trend->trend.count == 2);
    char name[100];
    for (int i = 5; i < IX_SEGMENT_CUSTOM; i++) {
        snprintf(name, sizeof(name), "metric-%d", i);
        assert_non_null(ix_segment_custom(segment, IX_CUSTOM_GAUGE, name, ""));
    }
    assert_null(ix_segment_custom(segment, IX_CUSTOM_GAUGE, "one too many", ""));
    assert_int_equal(segment->custom_used, IX_SEGMENT_CUSTOM);
    assert_ptr_equal(ix_segment_custom(segment, IX_CUSTOM_COUNTER, "orders", ""), counter);
}

/* Looking for one must not make the memory of all of them appear. */
static void test_dropouts_take_memory_as_they_come(void **state)
{
    (void)state;
    struct stat before, after;
    assert_null(ix_segment_find_dropout(segment, 1));
    assert_int_equal(fstat(segment_fd, &before), 0);
    for (uint64_t id = 1; id <= 3; id++) {
        struct ix_dropout_metrics *dropout = ix_segment_dropout(segment, id);
        dropout->chosen = 1;
        assert_ptr_equal(ix_segment_dropout(segment, id), dropout);
        assert_ptr_equal(ix_segment_find_dropout(segment, id), dropout);
    }
    assert_null(ix_segment_find_dropout(segment, 4));
    assert_int_equal(fstat(segment_fd, &after), 0);
    assert_true((after.st_blocks - before.st_blocks) * 512 <= 16 * 4096);
    for (uint64_t id = 4; id <= IX_SEGMENT_DROPOUTS; id++)
        ix_segment_dropout(segment, id)->chosen = 1;
    assert_null(ix_segment_dropout(segment, IX_SEGMENT_DROPOUTS + 1)); /* nobody is finished */
    struct ix_dropout_metrics *second = ix_segment_dropout(segment, 2);
    second->dropped = 1;
    assert_ptr_equal(ix_segment_dropout(segment, IX_SEGMENT_DROPOUTS + 1), second);
    assert_null(ix_segment_find_dropout(segment, 2));
}

static void test_names_are_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < IX_C_COUNT; i++) {
        assert_non_null(ix_counter_names[i]);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(ix_counter_names[i], ix_counter_names[j]);
    }
    for (size_t i = 0; i < IX_T_COUNT; i++)
        assert_non_null(ix_trend_names[i]);
    for (size_t i = 0; i < IX_D_STATUS_COUNT; i++)
        assert_non_null(ix_status_names[i]);
    for (size_t i = 0; i < IX_L_COUNT; i++)
        assert_non_null(ix_link_names[i]);
}

#define SEGMENT_TEST(test) cmocka_unit_test_setup_teardown(test, make_segment, remove_segment)

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_index_rises_with_the_value),
                                       cmocka_unit_test(test_quantiles),
                                       cmocka_unit_test(test_extremes),
                                       cmocka_unit_test(test_merge_equals_one_histogram),
                                       cmocka_unit_test(test_diff_is_what_came_between),
                                       SEGMENT_TEST(test_segment_is_sparse_and_shared),
                                       cmocka_unit_test(test_foreign_memory_is_refused),
                                       SEGMENT_TEST(test_groups),
                                       SEGMENT_TEST(test_reasons),
                                       SEGMENT_TEST(test_custom_metrics),
                                       SEGMENT_TEST(test_dropouts_take_memory_as_they_come),
                                       cmocka_unit_test(test_names_are_complete)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
