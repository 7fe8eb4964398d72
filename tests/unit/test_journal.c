/* The journal of a run: what is read back is what was written, byte for byte in every report, and whatever is left of
 * a file gives what was measured up to there. */
#include "run_fixture.h"

#include "control/journal.h"
#include "control/journal_frames.h"
#include "control/journal_snapshot.h"
#include "control/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static char folder[256];
static const struct ix_group_facts facts[] = {{"env", "site:north,tier:1", NULL, 600},
                                              {"cam", "", NULL, 400}};

static int set_up(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof(folder), "%s/iotix-journal-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char *command = ix_asprintf("rm -rf '%s'", folder);
    int rc = system(command);
    free(command);
    return rc;
}

static char *report_text(const struct ix_result *result)
{
    struct ix_buf out;
    ix_buf_init(&out, 1 << 28);
    ix_result_summary(result, false, &out);
    for (const struct ix_report_format *f = ix_report_formats; f->name; f++)
        f->write(result, &out);
    assert_false(out.overflow);
    char *text = ix_strdup(ix_buf_cstr(&out));
    ix_buf_deinit(&out);
    return text;
}

static void parse_thresholds(struct ix_result *r)
{
    struct ix_error err;
    r->threshold_table = json_loads(
        "{\"publish.latency\":[\"p(95)<500ms\",\"p(99)<20ms over 10s\"],\"connect.success\":\"rate>90%\","
        "\"devices.connected{group:env}\":\"min>=0\",\"checks\":\"rate>99%\","
        "\"messages.neverSent\":{\"threshold\":\"count<100\",\"abortOnFail\":true}}",
        0, NULL);
    if (ix_thresholds_parse(r->threshold_table, &r->thresholds, &err) < 0)
        fail_msg("%s", err.text);
}

static void second_of(struct ix_result *r, struct ix_journal *j, struct ix_segment **segments, int second)
{
    struct ix_error err;
    struct ix_snapshot *now = &r->final;
    for (int half = 0; half < 2; half++) {
        if (half)
            for (int w = 0; w < FIXTURE_WORKERS; w++)
                fixture_advance(segments[w], second, FIXTURE_WORKERS);
        ix_snapshot_take(now, (const struct ix_segment *const *)segments, FIXTURE_WORKERS, facts,
                         second < 10 ? 1 : 2,
                         FIXTURE_START + (uint64_t)second * IX_S - (half ? 0 : IX_S / 2));
        r->seconds = second - (half ? 0 : 0.5);
        if (half)
            ix_series_add(&r->series, now);
        if (half && second % 7 == 0)
            ix_checks_add(&r->checks, "seven", "a:b", second % 14 == 0, "odd", (uint64_t)second, &err);
        if (half && second == 70)
            ix_series_event(&r->series, now->at_ns, "broker \xff stopped", "{\"a\":0.1}");
        if (half)
            ix_thresholds_evaluate(r->thresholds, now, &r->checks, FIXTURE_START, false);
        if (second == 40 && half)
            fixture_dropout(r);
        if (second == 50 && half)
            ix_histogram_add(&r->dropouts->back_time, IX_S);
        if (second == 30 && half)
            ix_custom_metric_add(ix_segment_custom(segments[1], IX_CUSTOM_GAUGE, "depth", "site:north"), 0.1);
        if (second > 60)
            ix_custom_metric_add(ix_segment_custom(segments[0], IX_CUSTOM_TREND, "roundtrip", ""), second);
        ix_journal_tick(j, r, now, half ? IX_TICK_POINT : IX_TICK_BETWEEN);
    }
}

/* The fixture's run, journaled as it goes. */
static void journal_run(struct ix_result *r)
{
    struct ix_segment *segments[FIXTURE_WORKERS];
    struct ix_journal *j;
    struct ix_error err;
    ix_result_init(r);
    fixture_draw = 0;
    for (uint32_t w = 0; w < FIXTURE_WORKERS; w++)
        segments[w] = fixture_segment(w);
    ix_series_init(&r->series, FIXTURE_START);
    fixture_texts(r);
    free(r->path);
    r->path = ix_strdup("caf\xe9/no utf-8.lua");
    r->host = json_pack("{s:i,s:f}", "cores", 2, "load", 0.1);
    parse_thresholds(r);
    if (ix_journal_open(folder, IX_DATA_LIMIT, r->run_id, &j, &err) < 0)
        fail_msg("%s", err.text);
    for (int second = 1; second <= FIXTURE_SECONDS; second++)
        second_of(r, j, segments, second);
    r->worker_restarts = 1;
    r->own_fault = 3;
    ix_series_add(&r->series, &r->final);
    ix_journal_tick(j, r, &r->final, IX_TICK_FINAL);
    ix_thresholds_evaluate(r->thresholds, &r->final, &r->checks, FIXTURE_START, true);
    r->error = ix_strdup("x.lua:3: an error\nwith two lines");
    ix_result_judge(r, IX_EXIT_SCRIPT);
    ix_journal_end(j, r, IX_EXIT_SCRIPT);
    for (int w = 0; w < FIXTURE_WORKERS; w++)
        ix_segment_unmap(segments[w]);
}

static char *journal_path(const struct ix_result *r)
{
    return ix_asprintf("%s/runs/%s/journal", folder, r->run_id);
}

static void every_report_is_the_same_again(void **state)
{
    (void)state;
    static struct ix_result run, again;
    struct ix_error err;
    journal_run(&run);
    char *path = journal_path(&run), *expected = report_text(&run);
    struct stat info;
    assert_number(stat(path, &info), 0);
    assert_number(info.st_mode & 0777, 0600);
    assert_in_range(info.st_size, 1000, 400000); /* 100 s of two groups, twice a second */
    ix_result_init(&again);
    if (ix_journal_load(path, &again, &err) < 0)
        fail_msg("%s", err.text);
    assert_null(again.early);
    char *text = report_text(&again);
    assert_string_equal(text, expected);
    assert_number(again.exit_code, IX_EXIT_SCRIPT);
    free(text);
    free(expected);
    free(path);
    ix_result_deinit(&again);
    ix_result_deinit(&run);
}

static struct ix_result *load_prefix(const char *data, size_t len, int *code)
{
    char *path = ix_asprintf("%s/torn", folder);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_number(fwrite(data, 1, len, f), len);
    fclose(f);
    struct ix_result *result = ix_calloc(1, sizeof(*result));
    struct ix_error err;
    ix_result_init(result);
    *code = ix_journal_load(path, result, &err);
    free(path);
    return result;
}

static char *slurp(const char *path, size_t *len)
{
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    char *data = ix_malloc(1 << 20);
    *len = fread(data, 1, 1 << 20, f);
    fclose(f);
    return data;
}

static void a_torn_tail_costs_what_was_torn(void **state)
{
    (void)state;
    static struct ix_result run;
    journal_run(&run);
    char *path = journal_path(&run);
    size_t len;
    char *data = slurp(path, &len);
    double seconds = 0;
    for (size_t cut = 1; cut < len; cut += cut < 4000 || cut + 600 > len ? 13 : len / 151) {
        int code;
        struct ix_result *r = load_prefix(data, cut, &code);
        if (code == 0) {
            assert_non_null(r->early);
            assert_number(r->exit_code, cut + 20 < len ? IX_EXIT_INTERRUPTED : r->exit_code);
            assert_true(r->seconds >= seconds);
            seconds = r->seconds;
            free(report_text(r));
        } else {
            assert_true(code == -ENODATA || code == -EPROTO);
            assert_true(cut < 4000);
        }
        ix_result_deinit(r);
        free(r);
    }
    assert_true(seconds > FIXTURE_SECONDS - 1);
    free(data);
    free(path);
    ix_result_deinit(&run);
}

static void damage_is_never_read_as_a_measurement(void **state)
{
    (void)state;
    static struct ix_result run;
    journal_run(&run);
    char *path = journal_path(&run);
    size_t len;
    char *data = slurp(path, &len);
    for (uint64_t draw = 0; draw < 150; draw++) {
        size_t at = 8 + (size_t)ix_random_below(ix_random_u64(3, draw), len - 8);
        data[at] ^= 0x20;
        int code;
        struct ix_result *r = load_prefix(data, len, &code);
        if (code == 0)
            assert_non_null(r->early); /* what came before the damage */
        ix_result_deinit(r);
        free(r);
        data[at] ^= 0x20;
    }
    free(data);
    free(path);
    ix_result_deinit(&run);
}

static void frames_of_later_versions_are_passed_over(void **state)
{
    (void)state;
    struct ix_buf payload;
    struct ix_journal_file *file;
    struct ix_error err;
    char *path = ix_asprintf("%s/later", folder);
    static struct ix_result run, again;
    ix_result_init(&run);
    run.scenario = ix_strdup("from later");
    ix_buf_init(&payload, 1 << 20);
    assert_number(ix_journal_file_create(path, 1 << 20, &file, &err), 0);
    ix_buf_str(&payload, "whatever");
    ix_journal_file_append(file, 77, &payload);
    ix_buf_clear(&payload);
    ix_pack_u8(&payload, 7);
    ix_buf_str(&payload, "unheard");
    ix_pack_bytes(&payload, "xyz", 3);
    ix_fields_pack(ix_result_facts, &run, NULL, &payload);
    ix_journal_file_append(file, IX_J_FACTS, &payload);
    assert_number(ix_journal_file_create(path, 1 << 20, &file, &err), -EEXIST);
    assert_true(ix_journal_is_live(path));
    assert_number(ix_journal_file_close(file), 0);
    assert_false(ix_journal_is_live(path));
    ix_result_init(&again);
    assert_number(ix_journal_load(path, &again, &err), 0);
    assert_string_equal(again.scenario, "from later");
    ix_result_deinit(&again);
    ix_result_deinit(&run);
    ix_buf_deinit(&payload);
    free(path);
}

static void numbers_of_another_version_find_their_names(void **state)
{
    (void)state;
    struct ix_buf out;
    struct ix_journal_names names;
    ix_buf_init(&out, 1 << 16);
    ix_pack_var(&out, 3);
    ix_pack_str(&out, "messages.unheardOf");
    ix_pack_str(&out, "messages.acked");
    ix_pack_str(&out, "messages.sent");
    ix_pack_var(&out, 0);
    ix_pack_var(&out, 0);
    struct ix_reader in = ix_reader_of(out.data, out.len);
    assert_true(ix_journal_names_unpack(&names, &in));
    assert_number(names.counters[0], IX_NAMES_UNKNOWN);
    assert_number(names.counters[1], IX_C_ACKED);
    assert_number(names.counters[2], IX_C_SENT);
    assert_number(names.counters[3], IX_NAMES_UNKNOWN);
    ix_buf_deinit(&out);
}

static void a_journal_stops_at_its_limit_and_says_so(void **state)
{
    (void)state;
    struct ix_journal_file *file;
    struct ix_error err;
    struct ix_buf payload;
    char *path = ix_asprintf("%s/limited", folder);
    ix_buf_init(&payload, 1 << 20);
    for (int i = 0; i < 1000; i++)
        ix_buf_char(&payload, 'x');
    assert_number(ix_journal_file_create(path, 10000, &file, &err), 0);
    for (int i = 0; i < 20; i++)
        ix_journal_file_append(file, 1, &payload);
    assert_number(ix_journal_file_fault(file), -E2BIG);
    assert_true(ix_journal_file_size(file) <= 10100);
    assert_number(ix_journal_file_close(file), -E2BIG);
    struct ix_journal_reader reader;
    assert_number(ix_journal_reader_open(&reader, path, &err), 0);
    int frames = 0;
    while (ix_journal_reader_next(&reader) && reader.type == 1)
        frames++;
    assert_number(frames, 9);
    assert_number(reader.type, IX_JOURNAL_STOPPED);
    assert_string_equal(reader.payload.data + 1, "it has reached its limit");
    ix_journal_reader_close(&reader);
    ix_buf_deinit(&payload);
    free(path);
}

static void make_run(const char *id, size_t bytes, int age)
{
    char *path = ix_asprintf("mkdir -p '%s/runs/%s' && head -c %zu /dev/zero > '%s/runs/%s/journal' && "
                             "touch -d '-%d seconds' '%s/runs/%s/journal'",
                             folder, id, bytes, folder, id, age, folder, id);
    assert_number(system(path), 0);
    free(path);
}

static void the_oldest_ended_runs_make_room(void **state)
{
    (void)state;
    struct ix_run_list list;
    struct ix_error err;
    struct ix_journal_file *live;
    make_run("a1", 1000, 40);
    make_run("b2", 1000, 30);
    make_run("b3", 1000, 20);
    assert_number(ix_run_list_open(folder, &list, &err), 0);
    assert_number(list.count, 3);
    assert_string_equal(list.items[0].id, "b3");
    char *path = ix_asprintf("%s/runs/a1/journal", folder), *found;
    unlink(path);
    assert_number(ix_journal_file_create(path, 10000, &live, &err), 0); /* the oldest one still runs */
    ix_run_list_evict(&list, 1500, 100);
    assert_number(list.count, 1); /* and stays */
    assert_string_equal(list.items[0].id, "a1");
    ix_run_list_close(&list);
    ix_journal_file_close(live);
    free(path);
    make_run("b2", 10, 30);
    make_run("b3", 10, 20);
    assert_number(ix_run_find(folder, "b", &found, &err), -EINVAL);
    assert_number(ix_run_find(folder, "c", &found, &err), -ENOENT);
    assert_number(ix_run_find(folder, "b2", &found, &err), 0);
    assert_non_null(strstr(found, "/runs/b2/journal"));
    free(found);
    assert_number(ix_run_find(folder, "last", &found, &err), 0);
    assert_non_null(strstr(found, "/runs/a1/journal"));
    free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_report_is_the_same_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_torn_tail_costs_what_was_torn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_is_never_read_as_a_measurement, set_up, tear_down),
        cmocka_unit_test_setup_teardown(frames_of_later_versions_are_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_of_another_version_find_their_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_journal_stops_at_its_limit_and_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_oldest_ended_runs_make_room, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
