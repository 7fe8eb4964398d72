#include "base/file.h"
#include "base/log.h"
#include "base/pack.h"
#include "base/suggest.h"
#include "base/text.h"
#include "base/units.h"
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_error_texts(void **state)
{
    (void)state;
    struct ix_error err = {0};
    assert_number(ix_fail(&err, -EINVAL, "bad %s", "colour"), -EINVAL);
    assert_number(err.code, -EINVAL);
    ix_error_prefix(&err, "%s:%d", "model.json", 3);
    assert_string_equal(err.text, "model.json:3: bad colour");
    assert_number(ix_fail(NULL, -EIO, "nobody reads this"), -EIO);

    /* Cut at a character's start: 1,000 three-byte characters do not fit. */
    struct ix_buf long_text;
    ix_buf_init(&long_text, 1 << 16);
    for (int i = 0; i < 1000; i++)
        ix_buf_str(&long_text, "\xe2\x82\xac");
    ix_fail(&err, -E2BIG, "x%s", long_text.data);
    ix_buf_deinit(&long_text);
    size_t len = strlen(err.text);
    assert_true(len < sizeof(err.text) && len > sizeof(err.text) - 8);
    assert_string_equal(err.text + len - 3, "\xe2\x80\xa6");
    assert_true(ix_text_is_utf8(err.text, len));
}

static void test_buffer_limit(void **state)
{
    (void)state;
    struct ix_buf buf;
    ix_buf_init(&buf, 100);
    assert_string_equal(ix_buf_cstr(&buf), "");
    for (int i = 0; i < 10; i++)
        ix_buf_put(&buf, "0123456789", 10);
    assert_number(buf.len, 100);
    assert_false(buf.overflow);
    ix_buf_char(&buf, 'x');
    assert_true(buf.overflow);
    assert_number(buf.len, 100);
    assert_number(buf.data[100], 0);
    ix_buf_clear(&buf);
    ix_buf_put(&buf, "0123456789", 10);
    for (int i = 0; i < 2; i++)
        ix_buf_printf(&buf, "%99d", 7); /* too long: the text may not go on behind the gap */
    ix_buf_char(&buf, 'x');
    assert_string_equal(ix_buf_cstr(&buf), "0123456789");
    ix_buf_clear(&buf);
    ix_buf_printf(&buf, "%99d", 7);
    assert_number(buf.len, 99);
    assert_false(buf.overflow);
    ix_buf_printf(&buf, "%d", 10);
    assert_true(buf.overflow);
    assert_number(buf.len, 99);
    ix_buf_deinit(&buf);

    ix_buf_init(&buf, 5000);
    ix_buf_printf(&buf, "%4000d|", 1); /* longer than any local text */
    assert_number(strlen(buf.data), 4001);
    assert_number(buf.data[4000], '|');
    ix_buf_deinit(&buf);
}

static void test_packing(void **state)
{
    (void)state;
    struct ix_buf buf;
    ix_buf_init(&buf, 1000);
    ix_pack_u8(&buf, 200);
    ix_pack_u32(&buf, 0xdeadbeef);
    ix_pack_u64(&buf, UINT64_MAX - 1);
    ix_pack_f64(&buf, -0.1);
    ix_pack_str(&buf, "h\xc3\xa9");
    ix_pack_str(&buf, NULL);
    ix_pack_bytes(&buf, "a\0b", 3);
    assert_number((unsigned char)buf.data[1], 0xef); /* little endian */
    for (size_t cut = 0; cut <= buf.len; cut++) {
        /* A copy of exactly this length, so that a sanitizer sees any byte read beyond it. */
        char *copy = ix_malloc(cut);
        memcpy(copy, buf.data, cut);
        struct ix_reader in = ix_reader_of(copy, cut);
        uint8_t small = ix_read_u8(&in);
        uint32_t word = ix_read_u32(&in);
        uint64_t large = ix_read_u64(&in);
        double number = ix_read_f64(&in);
        char *text = ix_read_str(&in), *none = ix_read_str(&in);
        size_t len;
        const char *bytes = ix_read_bytes(&in, &len);
        assert_true(in.bad == (cut < buf.len));
        assert_number(small, cut >= 1 ? 200 : 0);
        assert_string_equal(none, "");
        if (in.bad)
            assert_number(len, 0);
        else {
            assert_true(word == 0xdeadbeef && large == UINT64_MAX - 1 && number == -0.1);
            assert_string_equal(text, "h\xc3\xa9");
            assert_number(len, 3);
            assert_memory_equal(bytes, "a\0b", 3);
            assert_true(in.at == in.end);
            assert_number(ix_read_u8(&in), 0);
            assert_true(in.bad);
        }
        free(text);
        free(none);
        free(copy);
    }
    ix_buf_deinit(&buf);
}

static void test_suggestions(void **state)
{
    (void)state;
    static const char *const known[] = {"temperature", "humidity", "qos", "count"};
    assert_string_equal(ix_suggest("temprature", known, 4), "temperature");
    assert_string_equal(ix_suggest("TEMPERATURE", known, 4), "temperature");
    assert_string_equal(ix_suggest("humdiity", known, 4), "humidity");
    assert_string_equal(ix_suggest("qso", known, 4), "qos"); /* a swap is one edit */
    assert_string_equal(ix_suggest("cuont", known, 4), "count");
    assert_null(ix_suggest("pressure", known, 4));
    assert_null(ix_suggest("q", known, 4));
    assert_null(ix_suggest("", known, 4));
    char out[128], word[300];
    ix_suggest_put(out, sizeof(out), "temprature", known, 4);
    assert_string_equal(out, "; did you mean \"temperature\"?");
    ix_suggest_put(out, sizeof(out), "xyzzy", known, 4);
    assert_string_equal(out, "; known: temperature, humidity, qos, count");
    ix_suggest_put(out, 12, "xyzzy", known, 4);
    assert_string_equal(out, "; known: te");
    ix_suggest_put(out, sizeof(out), "xyzzy", known, 0);
    assert_string_equal(out, "");
    memset(word, 'a', sizeof(word));
    word[299] = '\0';
    assert_null(ix_suggest(word, known, 4));
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"10s", 10 * IX_S},
                {"1.5m", 90 * IX_S},
                {"250ms", 250 * IX_MS},
                {"0s", 0},
                {"1m30s", 90 * IX_S},
                {"1h30m", 5400 * IX_S},
                {"2d", 172800 * IX_S},
                {"0.1s", 100 * IX_MS},
                {"7", 7 * IX_S},
                {".5", 500 * IX_MS},
                {"100us", 100 * IX_US},
                {"3ns", 3},
                {"100\xc2\xb5s", 100 * IX_US},
                {"1s1ns", IX_S + 1},
                {"18446744073709551615ns", UINT64_MAX}};
    uint64_t ns;
    struct ix_error err;
    for (size_t i = 0; i < IX_ARRAY_LEN(good); i++) {
        assert_number(ix_units_duration(good[i].text, IX_S, &ns, &err), 0);
        assert_true(ns == good[i].ns);
    }
    static const char *const bad[] = {"",           "s",     "-1s",   "1x",  "1 s",
                                      "nan",        "inf",   "1e3s",  "1s2", "30s1m",
                                      "1s1s",       "1..5s", "1.5.s", ".",   "18446744073709551616ns",
                                      "999999999d", "0x10s", "1ss"};
    for (size_t i = 0; i < IX_ARRAY_LEN(bad); i++) {
        if (ix_units_duration(bad[i], IX_S, &ns, &err) != -EINVAL)
            fail_msg("\"%s\" was taken for a duration", bad[i]);
        assert_true(bad[i][0] == '\0' || strstr(err.text, bad[i]));
    }
    assert_number(ix_units_duration("7", 0, &ns, &err), -EINVAL);
    assert_non_null(strstr(err.text, "\"7s\""));
}

static void test_counts_and_bytes(void **state)
{
    (void)state;
    uint64_t value;
    struct ix_error err;
    static const struct {
        int (*parse)(const char *, uint64_t *, struct ix_error *);
        const char *text;
        uint64_t value;
    } good[] = {{ix_units_count, "5000", 5000},
                {ix_units_count, "1k", 1000},
                {ix_units_count, "2.5M", 2500000},
                {ix_units_count, "1G", 1000000000},
                {ix_units_count, "0", 0},
                {ix_units_count, "18446744073709551615", UINT64_MAX},
                {ix_units_bytes, "512", 512},
                {ix_units_bytes, "4KiB", 4096},
                {ix_units_bytes, "4kB", 4000},
                {ix_units_bytes, "1MiB", 1048576},
                {ix_units_bytes, "2GB", 2000000000},
                {ix_units_bytes, "1.5KiB", 1536}};
    for (size_t i = 0; i < IX_ARRAY_LEN(good); i++) {
        assert_number(good[i].parse(good[i].text, &value, &err), 0);
        assert_true(value == good[i].value);
    }
    static const struct {
        int (*parse)(const char *, uint64_t *, struct ix_error *);
        const char *text;
    } bad[] = {{ix_units_count, "1.5"},
               {ix_units_count, "1.0005k"},
               {ix_units_count, "-3"},
               {ix_units_count, "3KiB"},
               {ix_units_count, ""},
               {ix_units_count, "18446744073709551616"},
               {ix_units_count, "99999999999999G"},
               {ix_units_bytes, "4kiB"},
               {ix_units_bytes, "1.5"},
               {ix_units_bytes, "4 KiB"}};
    for (size_t i = 0; i < IX_ARRAY_LEN(bad); i++)
        if (bad[i].parse(bad[i].text, &value, &err) != -EINVAL)
            fail_msg("\"%s\" was taken for a number", bad[i].text);
}

static void test_quantities_for_people(void **state)
{
    (void)state;
    static const struct {
        void (*put)(struct ix_buf *, uint64_t);
        uint64_t value;
        const char *text;
    } known[] = {{ix_units_put_duration, 0, "0 ns"},
                 {ix_units_put_duration, 999, "999 ns"},
                 {ix_units_put_duration, 1234567, "1.23 ms"},
                 {ix_units_put_duration, 9996, "10.0 \xc2\xb5s"},
                 {ix_units_put_duration, 999499, "999 \xc2\xb5s"},
                 {ix_units_put_duration, 999500, "1.00 ms"},
                 {ix_units_put_duration, 12345678901, "12.3 s"},
                 {ix_units_put_duration, 59960 * IX_MS, "1m 00s"},
                 {ix_units_put_duration, 3599600 * IX_MS, "1h 00m"},
                 {ix_units_put_duration, 3720 * IX_S, "1h 02m"},
                 {ix_units_put_duration, 176400 * IX_S, "2d 01h"},
                 {ix_units_put_count, 0, "0"},
                 {ix_units_put_count, 999, "999"},
                 {ix_units_put_count, 1234567, "1,234,567"},
                 {ix_units_put_count, UINT64_MAX, "18,446,744,073,709,551,615"},
                 {ix_units_put_bytes, 512, "512 B"},
                 {ix_units_put_bytes, 1023, "1.00 KiB"},
                 {ix_units_put_bytes, 12897484, "12.3 MiB"},
                 {ix_units_put_bytes, UINT64_MAX, "16.0 EiB"}};
    struct ix_buf buf;
    ix_buf_init(&buf, 100);
    for (size_t i = 0; i < IX_ARRAY_LEN(known); i++) {
        ix_buf_clear(&buf);
        known[i].put(&buf, known[i].value);
        assert_string_equal(ix_buf_cstr(&buf), known[i].text);
    }
    ix_buf_deinit(&buf);
}

/* What the log wrote, one line per line, as "LEVEL text". */
static void collect(void *context, enum ix_log_level level, const char *line)
{
    ix_buf_printf(context, "%d %s\n", (int)level, line);
}

static size_t line_count(const struct ix_buf *buf)
{
    size_t lines = 0;
    for (size_t i = 0; i < buf->len; i++)
        lines += buf->data[i] == '\n';
    return lines;
}

static struct ix_buf lines;
static uint64_t log_now = 5 * IX_S;

static int collect_lines(void **state)
{
    (void)state;
    ix_buf_init(&lines, 1 << 16);
    ix_log_set_sink(collect, &lines);
    return 0;
}

static int forget_lines(void **state)
{
    (void)state;
    ix_log_set_sink(NULL, NULL);
    ix_buf_deinit(&lines);
    return 0;
}

/* What is said in the seconds after it. */
static void let_pass(int seconds)
{
    for (int second = 0; second < seconds; second++)
        ix_log_flush(log_now += IX_S);
}

static void test_log_levels(void **state)
{
    (void)state;
    enum ix_log_level level;
    assert_number(ix_log_parse_level("Warning", &level), 0);
    assert_number(level, IX_LOG_WARN);
    assert_number(ix_log_parse_level("loud", &level), -EINVAL);
    ix_log(IX_LOG_DEBUG, "below the level");
    ix_log(IX_LOG_INFO, "bell \a and escape \033[31m");
    assert_string_equal(ix_buf_cstr(&lines), "2 bell ? and escape ?[31m\n");
}

static void test_log_bounds_lines_of_a_second(void **state)
{
    (void)state;
    ix_log_flush(log_now);
    for (int i = 0; i < 25; i++)
        ix_log(IX_LOG_INFO, "line %d", i);
    ix_log(IX_LOG_ERROR, "never left out");
    assert_number(line_count(&lines), 11);
    ix_buf_clear(&lines);
    ix_log_flush(log_now + IX_S / 2); /* too soon */
    assert_number(lines.len, 0);
    let_pass(1);
    assert_non_null(strstr(ix_buf_cstr(&lines), "15 more log lines"));
}

static void test_log_repeats(void **state)
{
    (void)state;
    for (int i = 0; i < 413; i++)
        ix_log_repeat(IX_LOG_WARN, "sensors", "connection refused");
    assert_string_equal(ix_buf_cstr(&lines), "1 sensors: connection refused\n");
    ix_buf_clear(&lines);
    let_pass(1);
    assert_string_equal(ix_buf_cstr(&lines), "1 sensors: connection refused (\xc3\x97"
                                             "412)\n");
    ix_buf_clear(&lines);
    for (int second = 0; second < 14; second++) { /* what goes on is said ever more rarely */
        ix_log_repeat(IX_LOG_WARN, "sensors", "connection refused");
        let_pass(1);
    }
    assert_number(line_count(&lines), 3);
    ix_buf_clear(&lines);
    for (int second = 0; second < 64; second += 4) { /* … with pauses, too */
        ix_log_repeat(IX_LOG_WARN, "sensors", "connection refused");
        let_pass(4);
    }
    assert_in_range(line_count(&lines), 2, 4);
    let_pass(64); /* quiet for long: forgotten */
    ix_buf_clear(&lines);
    ix_log_repeat(IX_LOG_WARN, "sensors", "connection refused");
    assert_string_equal(ix_buf_cstr(&lines), "1 sensors: connection refused\n");
    ix_buf_clear(&lines);
    ix_log_repeat_times(IX_LOG_WARN, "sensors", "connection refused", 3); /* of another process */
    let_pass(2);
    assert_string_equal(ix_buf_cstr(&lines), "1 sensors: connection refused (\xc3\x97"
                                             "3)\n");
}

/* More pairs than lines and places: every occurrence is accounted for in the end. The last test of the log. */
static void test_log_leaves_nothing_out(void **state)
{
    (void)state;
    let_pass(64);
    ix_buf_clear(&lines);
    for (int i = 0; i < 100; i++) {
        char group[16];
        snprintf(group, sizeof(group), "g%d", i);
        ix_log_repeat(IX_LOG_INFO, group, "timed out");
    }
    ix_log_flush(UINT64_MAX);
    assert_non_null(strstr(ix_buf_cstr(&lines), "36 more messages"));
    assert_number(line_count(&lines), 65);
}

static char folder[] = "/tmp/iotix-test-XXXXXX";

static char *in_folder(const char *name)
{
    return ix_asprintf("%s/%s", folder, name);
}

static void put_file(const char *name, const char *text)
{
    char *path = in_folder(name);
    struct ix_error err;
    if (ix_file_write(path, text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
    free(path);
}

static void test_file_read_and_write(void **state)
{
    (void)state;
    char *path = in_folder("a.txt"), *text;
    size_t len;
    struct ix_error err;
    put_file("a.txt", "first");
    chmod(path, 0640);
    put_file("a.txt", "second");
    assert_number(ix_file_read(path, 6, &text, &len, &err), 0);
    assert_string_equal(text, "second");
    assert_number(len, 6);
    free(text);
    struct stat info;
    assert_number(stat(path, &info), 0);
    assert_number(info.st_mode & 0777, 0640); /* a replaced file keeps its mode */
    assert_number(ix_file_read(path, 5, &text, &len, &err), -EFBIG);
    assert_non_null(strstr(err.text, "at most 5 bytes"));
    free(path);

    assert_number(ix_file_read(folder, 100, &text, &len, &err), -EISDIR);
    path = in_folder("missing");
    assert_number(ix_file_read(path, 100, &text, &len, &err), -ENOENT);
    assert_non_null(strstr(err.text, path));
    free(path);
    path = in_folder("pipe");
    assert_number(mkfifo(path, 0600), 0);
    assert_number(ix_file_read(path, 100, &text, &len, &err), -EINVAL); /* and does not wait */
    unlink(path);
    free(path);
    path = in_folder("no/such/folder");
    assert_number(ix_file_write(path, "x", 1, &err), -ENOENT);
    free(path);
    assert_number(ix_file_read("/proc/self/status", 1 << 20, &text, &len, &err), 0); /* size unknown before */
    assert_non_null(strstr(text, "VmRSS"));
    free(text);
    assert_number(ix_file_write("/dev/null", "x", 1, &err), 0);
    assert_number(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
}

static void test_file_map(void **state)
{
    (void)state;
    struct ix_map map;
    struct ix_error err;
    put_file("map", "content");
    char *path = in_folder("map");
    assert_number(ix_file_map(path, &map, &err), 0);
    assert_number(map.len, 7);
    assert_memory_equal(map.data, "content", 7);
    ix_file_unmap(&map);
    put_file("map", "");
    assert_number(ix_file_map(path, &map, &err), 0);
    assert_number(map.len, 0);
    assert_string_equal(map.data, "");
    ix_file_unmap(&map);
    free(path);
}

static void resolves(const char *root, const char *name, int expected)
{
    char *path = NULL;
    struct ix_error err = {0};
    int rc = ix_file_resolve(root, name, &path, &err);
    if (rc != expected)
        fail_msg("%s in %s: %d instead of %d (%s)", name, root, rc, expected, err.text);
    if (rc == 0)
        assert_number(access(path, R_OK), 0);
    free(path);
}

static void test_file_resolve(void **state)
{
    (void)state;
    char *root = in_folder("root"), *link = in_folder("root/out"), *inner = in_folder("root/in");
    char *twin = in_folder("root-twin"), *linked_root = in_folder("linked"),
         *absolute = in_folder("root/data.csv");
    assert_number(mkdir(root, 0700), 0);
    assert_number(mkdir(twin, 0700), 0);
    put_file("root/data.csv", "1");
    put_file("root-twin/secret", "2");
    assert_number(symlink("../root-twin/secret", link), 0);
    assert_number(symlink("data.csv", inner), 0);
    assert_number(symlink("root", linked_root), 0);
    resolves(root, "data.csv", 0);
    resolves(root, "./data.csv", 0);
    resolves(root, "in", 0);
    resolves(linked_root, "data.csv", 0);
    resolves(root, absolute, 0);
    resolves(linked_root, absolute, 0);
    resolves(root, "out", -EPERM);
    resolves(root, "../root-twin/secret", -EPERM);
    resolves(root, "../root-twin/missing", -EPERM);
    resolves(root, "x/../../root-twin/secret", -EPERM);
    resolves(root, "/etc/passwd", -EPERM);
    resolves(root, "/etc/no-such-file", -EPERM);
    resolves(root, "missing", -ENOENT);
    resolves(root, "data.csv/x", -ENOENT);
    char *all[] = {link, inner, linked_root, root, twin, absolute};
    for (size_t i = 0; i < IX_ARRAY_LEN(all); i++)
        free(all[i]);

    static const char *const names[][2] = {
        {"a", "."}, {"/a", "/"}, {"a/b", "a"}, {"/a//b", "/a"}, {"//a", "/"}};
    for (size_t i = 0; i < IX_ARRAY_LEN(names); i++) {
        char *part = ix_file_dirname(names[i][0]);
        assert_string_equal(part, names[i][1]);
        free(part);
    }
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char *command = ix_asprintf("rm -rf -- '%s'", folder);
    int rc = system(command);
    free(command);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_texts),
        cmocka_unit_test(test_buffer_limit),
        cmocka_unit_test(test_packing),
        cmocka_unit_test(test_suggestions),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_counts_and_bytes),
        cmocka_unit_test(test_quantities_for_people),
        cmocka_unit_test_setup_teardown(test_log_levels, collect_lines, forget_lines),
        cmocka_unit_test_setup_teardown(test_log_bounds_lines_of_a_second, collect_lines, forget_lines),
        cmocka_unit_test_setup_teardown(test_log_repeats, collect_lines, forget_lines),
        cmocka_unit_test_setup_teardown(test_log_leaves_nothing_out, collect_lines, forget_lines),
        cmocka_unit_test(test_file_read_and_write),
        cmocka_unit_test(test_file_map),
        cmocka_unit_test(test_file_resolve)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
