#include "check.h"

#include "metrics/prometheus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ix_buf out;

static int set_up(void **state)
{
    (void)state;
    ix_buf_init(&out, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ix_buf_deinit(&out);
    return 0;
}

static void samples(void **state)
{
    (void)state;
    const char *const labels[] = {"group", "a\"b\\c\nd", "status", "running", NULL};
    const char *const broken[] = {"reason", "caf\xe9", NULL};
    ix_prometheus_single(&out, "iotix_x_total", "counter", "what\nit \\is", 12345678901.0);
    ix_prometheus_sample(&out, "iotix_y", labels, 0.25);
    ix_prometheus_sample(&out, "iotix_y", broken, NAN);
    ix_prometheus_sample(&out, "iotix_y", NULL, INFINITY);
    assert_string_equal(ix_buf_cstr(&out), "# HELP iotix_x_total what\\nit \\\\is\n"
                                           "# TYPE iotix_x_total counter\n"
                                           "iotix_x_total 12345678901\n"
                                           "iotix_y{group=\"a\\\"b\\\\c\\nd\",status=\"running\"} 0.25\n"
                                           "iotix_y{reason=\"caf?\"} NaN\n"
                                           "iotix_y +Inf\n");
}

static void names(void **state)
{
    (void)state;
    ix_prometheus_name(&out, "messages.neverSent.offline", "_total");
    assert_string_equal(ix_buf_cstr(&out), "iotix_messages_never_sent_offline_total");
}

/* The count that the bucket line with this bound gives. */
static double bucket(const char *bound)
{
    char key[64];
    snprintf(key, sizeof(key), "le=\"%s\"} ", bound);
    const char *at = strstr(ix_buf_cstr(&out), key);
    assert_non_null(at);
    return strtod(at + strlen(key), NULL);
}

static void histograms(void **state)
{
    (void)state;
    struct ix_histogram *h = ix_malloc(sizeof(*h));
    ix_histogram_init(h);
    for (int i = 0; i < 10; i++)
        ix_histogram_add(h, 400000); /* 0.4 ms */
    for (int i = 0; i < 5; i++)
        ix_histogram_add(h, 30000000);   /* 30 ms */
    ix_histogram_add(h, 20000000000ull); /* 20 s */
    ix_prometheus_histogram(&out, "iotix_h_seconds", NULL, h);
    assert_true(bucket("0.0001") == 0);
    assert_true(bucket("0.00025") == 0);
    assert_true(bucket("0.0005") == 10);
    assert_true(bucket("0.025") == 10);
    assert_true(bucket("0.05") == 15);
    assert_true(bucket("10") == 15);
    assert_true(bucket("+Inf") == 16);
    assert_non_null(strstr(ix_buf_cstr(&out), "iotix_h_seconds_count 16\n"));
    assert_non_null(strstr(ix_buf_cstr(&out), "iotix_h_seconds_sum 20.154\n"));
    free(h);
}

/* Each value lands in the bucket that it belongs to, but for those within the histogram's own error of a bound. */
static void buckets_are_right_over_the_whole_range(void **state)
{
    (void)state;
    struct ix_histogram *h = ix_malloc(sizeof(*h));
    for (double ns = 1; ns < 2e13; ns *= 1.037) {
        double seconds = floor(ns) / 1e9;
        bool near = false;
        char bound[32];
        ix_histogram_init(h);
        ix_histogram_add(h, (uint64_t)ns);
        ix_buf_clear(&out);
        ix_prometheus_histogram(&out, "h", NULL, h);
        for (int i = 0; i < IX_PROMETHEUS_BOUNDS; i++) {
            near = fabs(seconds / ix_prometheus_bounds_s[i] - 1) < 1.0 / 64;
            snprintf(bound, sizeof(bound), "%.15g", ix_prometheus_bounds_s[i]);
            if (!near)
                assert_true(bucket(bound) == (seconds <= ix_prometheus_bounds_s[i]));
        }
        assert_true(bucket("+Inf") == 1);
    }
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(samples, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(histograms, set_up, tear_down),
        cmocka_unit_test_setup_teardown(buckets_are_right_over_the_whole_range, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
