/* A run that was never run: two groups start over 20 s, publish once a second, 300 devices drop out at 40 s
 * and come back, and the broker is away from 70 s to 76 s. Made of two workers' segments, as the real one is.
 */
#ifndef IX_TESTS_RUN_FIXTURE_H
#define IX_TESTS_RUN_FIXTURE_H

#include "base/random.h"
#include "base/units.h"
#include "check.h"
#include "control/result.h"

#include <math.h>
#include <unistd.h>

#define FIXTURE_SECONDS 100
#define FIXTURE_START   (5 * IX_S)
#define FIXTURE_WORKERS 2

static inline struct ix_segment *fixture_segment(uint32_t worker)
{
    struct ix_error err;
    int fd = ix_segment_create(worker, &err);
    assert_true(fd >= 0);
    struct ix_segment *segment = ix_segment_map(fd, true, &err);
    assert_non_null(segment);
    close(fd);
    segment->epoch = 1;
    return segment;
}

static uint64_t fixture_draw;

/* A time in ns around `ms`, with a tail. */
static uint64_t fixture_time(double ms)
{
    double z = ix_random_normal(ix_random_u64(7, fixture_draw++));
    return (uint64_t)(ms * 1e6 * exp(0.5 * z));
}

/* One second of one group on one worker: `up` devices connected out of `started`. */
static void fixture_second(struct ix_group_metrics *m, int64_t started, int64_t up, int64_t dropped,
                           int64_t all, double latency_ms)
{
    uint64_t *c = m->counters;
    int64_t joined = up - m->connected;
    if (joined > 0) {
        c[IX_C_CONNECT_ATTEMPTS] += (uint64_t)joined + 1;
        c[IX_C_CONNECTED] += (uint64_t)joined;
        c[IX_C_REFUSED]++;
        ix_group_metrics_reason(m, "server unavailable");
        for (int64_t i = 0; i < joined; i++)
            ix_histogram_add(&m->trends[IX_T_CONNECT], fixture_time(4));
    } else if (dropped > m->by_status[IX_D_DROPPED])
        c[IX_C_DROPPED] += (uint64_t)-joined;
    else
        c[IX_C_CONNECTION_LOST] += (uint64_t)-joined;
    m->connected = up;
    m->by_status[IX_D_RUNNING] = started - dropped;
    m->by_status[IX_D_DROPPED] = dropped;
    m->by_status[IX_D_CREATED] = all - started;
    c[IX_C_SCHEDULED] += (uint64_t)started;
    c[IX_C_NEVER_SENT_OFFLINE] += (uint64_t)(started - up);
    c[IX_C_SENT] += (uint64_t)up;
    c[IX_C_BYTES_SENT] += (uint64_t)up * 87;
    for (int64_t i = 0; i < up; i++) {
        uint64_t late = fixture_time(0.3), service = fixture_time(latency_ms);
        c[IX_C_ACKED]++;
        ix_histogram_add(&m->trends[IX_T_LATENESS], late);
        ix_histogram_add(&m->trends[IX_T_SERVICE], service);
        ix_histogram_add(&m->trends[IX_T_RESPONSE], late + service);
    }
}

static void fixture_advance(struct ix_segment *segment, int second, int64_t share)
{
    static const char *const groups[] = {"env", "cam"};
    static const int64_t counts[] = {600, 400};
    for (size_t g = 0; g < 2; g++) {
        int64_t all = counts[g] / share, started = second < 20 ? all * second / 20 : all;
        int64_t dropped = 0, up = started;
        if (g == 0 && second >= 40 && second < 60)
            dropped = second < 50 ? 300 / share : (300 * (60 - second) / 10) / share;
        up = second >= 70 && second < 76 ? 0 : started - dropped;
        double latency = 3 + 2 * sin(second / 7.0) + (second >= 76 && second < 82 ? 60 : 0);
        fixture_second(ix_segment_group(segment, groups[g]), started, up, dropped, all, latency);
    }
    segment->busy_ns += (uint64_t)((0.25 + 0.1 * sin(second / 9.0)) * 1e9);
}

static void fixture_texts(struct ix_result *r)
{
    r->scenario = ix_strdup("chaos");
    r->path = ix_strdup("scenarios/chaos.lua");
    r->description = ix_strdup("A fleet that loses a third of its devices, and then its broker");
    r->run_id = ix_strdup("20260131-101500-4f2a");
    r->broker = ix_strdup("embedded mosquitto on 127.0.0.1:40123");
    r->seed = 9007199254740993ull; /* no double has this value */
    r->started_wall_ns = 1769854500ll * 1000000000 + 123000000;
    r->seconds = FIXTURE_SECONDS;
    r->options = json_pack("{s:i, s:s}", "devices", 1000, "model", "environmental-sensor-v1");
    r->settings = json_pack("{s:{s:s, s:s}}", "broker", "value", "auto", "origin", "default");
    r->models = ix_calloc(1, sizeof(*r->models));
    r->models[0].id = ix_strdup("environmental-sensor-v1");
    r->models[0].hash = 0xfedcba9876543210ull;
    r->model_count = 1;
    r->workers = FIXTURE_WORKERS;
}

static void fixture_dropout(struct ix_result *r)
{
    r->dropouts = ix_calloc(1, sizeof(*r->dropouts));
    r->dropout_count = 1;
    *r->dropouts = (struct ix_dropout_result){.id = 1,
                                              .group = "env",
                                              .strategy = "random",
                                              .t = 40,
                                              .eligible = 600,
                                              .chosen = 300,
                                              .dropped = 298,
                                              .already_gone = 2,
                                              .back = 298};
    ix_histogram_init(&r->dropouts->back_time);
    for (uint64_t i = 0; i < 298; i++)
        ix_histogram_add(&r->dropouts->back_time, (10 + i / 30) * IX_S);
}

static void fixture_judgements(struct ix_result *r, const char *thresholds)
{
    struct ix_error err;
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            ix_checks_add(&r->checks, "fleet recovered", "group:env", true, NULL, 62 * IX_S, &err), 0);
    assert_int_equal(ix_checks_add(&r->checks, "nobody waits <long>", NULL, false,
                                   "one waited 70 s, <60 s was wished", 63 * IX_S, &err),
                     0);
    json_t *table = json_loads(thresholds, 0, NULL);
    if (ix_thresholds_parse(table, &r->thresholds, &err) < 0)
        fail_msg("%s", err.text);
    json_decref(table);
    ix_thresholds_evaluate(r->thresholds, &r->final, &r->checks, FIXTURE_START, true);
}

/* Free with ix_result_deinit. */
static inline void fixture_run(struct ix_result *r)
{
    struct ix_segment *segments[FIXTURE_WORKERS];
    const struct ix_group_facts facts[] = {{"env", "site:north,tier:1", NULL, 600}, {"cam", "", NULL, 400}};
    ix_result_init(r);
    fixture_draw = 0;
    for (uint32_t w = 0; w < FIXTURE_WORKERS; w++)
        segments[w] = fixture_segment(w);
    ix_series_init(&r->series, FIXTURE_START);
    for (int second = 1; second <= FIXTURE_SECONDS; second++) {
        for (int w = 0; w < FIXTURE_WORKERS; w++)
            fixture_advance(segments[w], second, FIXTURE_WORKERS);
        ix_snapshot_take(&r->final, (const struct ix_segment *const *)segments, FIXTURE_WORKERS, facts, 2,
                         FIXTURE_START + (uint64_t)second * IX_S);
        ix_series_add(&r->series, &r->final);
    }
    struct ix_custom_metric *m = ix_segment_custom(segments[0], IX_CUSTOM_TREND, "command.roundtrip", "");
    for (int i = 0; i < 500; i++)
        ix_custom_metric_add(m, 10 + i / 10.0);
    ix_custom_metric_add(ix_segment_custom(segments[1], IX_CUSTOM_RATE, "alerts.seen", "site:north"), 1);
    ix_snapshot_take(&r->final, (const struct ix_segment *const *)segments, FIXTURE_WORKERS, facts, 2,
                     FIXTURE_START + FIXTURE_SECONDS * IX_S);
    for (int w = 0; w < FIXTURE_WORKERS; w++)
        ix_segment_unmap(segments[w]);
    ix_series_event(&r->series, FIXTURE_START + 70 * IX_S, "broker stopped", NULL);
    ix_series_event(&r->series, FIXTURE_START + 76 * IX_S, "broker back", "{\"port\":1883}");
    fixture_texts(r);
    fixture_dropout(r);
    fixture_judgements(
        r, "{\"publish.latency\":[\"p(95)<500ms\",\"p(99)<2ms\"],\"connect.success\":\"rate>90%\","
           "\"messages.neverSent{group:env}\":\"count<1k\"}");
    ix_result_judge(r, 0);
}

#endif
