/* Values: distributions, exact sequences, decimals, files; and that a value depends on its key and tick only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "generator/generator.h"
#include "generator/table.h"
#include "model_helpers.h"

#include <ftw.h>
#include <math.h>
#include <unistd.h>

#define KEY 0x5eed5eed5eedull

static char folder[] = "/tmp/iotix-generator-XXXXXX";

struct opened {
    struct ix_model *model;
    struct ix_generator generator;
};

static struct opened open_generator(const char *type, const char *settings)
{
    const struct ix_model_options options = {.folder = folder};
    char *text = sensor(type, settings);
    struct opened o = {.model = must_compile(text, &options)};
    struct ix_error err;

    free(text);
    if (ix_generator_open(&o.generator, &o.model->attributes[0].generator, o.model, &err) < 0)
        fail_msg("%s: %s", settings, err.text);
    return o;
}

static void close_generator(struct opened *o)
{
    ix_generator_close(&o->generator);
    ix_model_free(o->model);
}

static struct ix_value sample(const struct opened *o, uint64_t key, uint64_t tick)
{
    struct ix_draw draw = {.key = key, .tick = tick};
    struct ix_value value;
    struct ix_error err;

    if (o->generator.class->sample(&o->generator, &draw, &value, &err) < 0)
        fail_msg("%s", err.text);
    return value;
}

static double number(const struct opened *o, uint64_t tick)
{
    struct ix_value value = sample(o, KEY, tick);
    double n;

    assert_true(ix_value_number(&value, &n));
    return n;
}

/* The JSON of ticks [first, first + count), separated by spaces. */
static void check_ticks(const char *type, const char *settings, uint64_t first, uint64_t count,
                        const char *expected)
{
    struct opened o = open_generator(type, settings);
    struct ix_buf text;

    ix_buf_init(&text, 1 << 16);
    for (uint64_t i = 0; i < count; i++) {
        struct ix_value value = sample(&o, KEY, first + i);

        ix_buf_str(&text, i ? " " : "");
        ix_value_put_json(&text, &value);
    }
    if (strcmp(ix_buf_cstr(&text), expected) != 0)
        fail_msg("%s from %llu: %s, expected %s", settings, (unsigned long long)first, ix_buf_cstr(&text),
                 expected);
    ix_buf_deinit(&text);
    close_generator(&o);
}

static void check_open_fails(const char *type, const char *settings, const char *expected)
{
    const struct ix_model_options options = {.folder = folder};
    char *text = sensor(type, settings);
    struct ix_model *m = must_compile(text, &options);
    struct ix_generator g;
    struct ix_error err;

    free(text);
    if (ix_generator_open(&g, &m->attributes[0].generator, m, &err) == 0)
        fail_msg("%s must not open", settings);
    if (!strstr(err.text, expected))
        fail_msg("expected \"%s\" in \"%s\"", expected, err.text);
    ix_model_free(m);
}

struct moments {
    double mean, deviation, low, high;
};

static struct moments moments_of(const char *type, const char *settings, uint64_t count)
{
    struct opened o = open_generator(type, settings);
    struct moments m = {.low = INFINITY, .high = -INFINITY};
    double squares = 0;

    for (uint64_t i = 0; i < count; i++) {
        double n = number(&o, i);

        m.mean += n / (double)count;
        squares += n * n / (double)count;
        m.low = fmin(m.low, n);
        m.high = fmax(m.high, n);
    }
    m.deviation = sqrt(squares - m.mean * m.mean);
    close_generator(&o);
    return m;
}

static void check_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%g is not within %g of %g", value, tolerance, expected);
}

/* Of 40,000 values; bounds are about ten standard errors wide. */
static void distributions(void **state)
{
    struct moments m = moments_of("number", "{\"type\":\"random\",\"min\":20,\"max\":30}", 40000);

    (void)state;
    check_near(m.mean, 25, 0.15);
    check_near(m.deviation, 10 / sqrt(12), 0.1);
    check_near(m.low, 20, 0.05);
    check_near(m.high, 30, 0.05);
    m = moments_of("number", "{\"type\":\"random\",\"min\":0,\"max\":60,\"distribution\":\"normal\"}", 40000);
    check_near(m.mean, 30, 0.5);
    check_near(m.deviation, 10, 0.35); /* a sixth of the range */
    assert_true(m.low >= 0 && m.high <= 60);
    m = moments_of(
        "number",
        "{\"type\":\"random\",\"min\":0,\"max\":60,\"distribution\":\"normal\",\"mean\":10,\"stddev\":2}",
        40000);
    check_near(m.mean, 10, 0.1);
    check_near(m.deviation, 2, 0.08);
    m = moments_of("number", "{\"type\":\"random\",\"min\":100,\"max\":200,\"distribution\":\"exponential\"}",
                   40000);
    check_near(m.mean, 100 + 20 * (1 - exp(-5)), 1); /* rate 5 / 100, clamped */
    assert_true(m.low >= 100 && m.high == 200);
    m = moments_of(
        "number",
        "{\"type\":\"random\",\"min\":0,\"max\":1000,\"distribution\":\"exponential\",\"rate\":0.5}", 40000);
    check_near(m.mean, 2, 0.1);
    m = moments_of(
        "number",
        "{\"type\":\"random\",\"min\":0,\"max\":1,\"distribution\":\"normal\",\"mean\":0.5,\"stddev\":50}",
        2000);
    assert_true(m.low == 0 && m.high == 1); /* clamped at both ends */
}

static void integers_reach_both_ends(void **state)
{
    struct moments m = moments_of("integer", "{\"type\":\"random\",\"min\":-3,\"max\":3}", 20000);
    struct opened o = open_generator("integer", "{\"type\":\"random\",\"min\":-3,\"max\":3}");
    int counts[7] = {0};

    (void)state;
    assert_true(m.low == -3 && m.high == 3);
    for (uint64_t i = 0; i < 14000; i++) {
        struct ix_value value = sample(&o, KEY, i);

        assert_int_equal(value.kind, IX_V_INTEGER);
        counts[value.integer + 3]++;
    }
    for (int i = 0; i < 7; i++)
        check_near(counts[i], 2000, 400); /* the ends are as likely as the middle */
    close_generator(&o);
    m = moments_of("integer", "{\"type\":\"random\",\"min\":0.5,\"max\":2.5,\"distribution\":\"normal\"}",
                   5000);
    assert_true(m.low == 1 && m.high == 2);
}

static void booleans_and_texts(void **state)
{
    struct opened o;
    int counts[3] = {0};

    (void)state;
    check_near(moments_of("boolean", "{\"type\":\"random\"}", 10000).mean, 0.5, 0.05);
    check_near(moments_of("boolean", "{\"type\":\"random\",\"probability\":0.1}", 10000).mean, 0.1, 0.03);
    check_near(moments_of("boolean", "{\"type\":\"random\",\"probability\":0}", 1000).mean, 0, 0);
    check_near(moments_of("boolean", "{\"type\":\"random\",\"probability\":1}", 1000).mean, 1, 1e-9);
    o = open_generator("string", "{\"type\":\"random\",\"values\":[\"a\",\"b\",\"c\"]}");
    for (uint64_t i = 0; i < 3000; i++) {
        struct ix_value value = sample(&o, KEY, i);

        assert_int_equal(value.kind, IX_V_STRING);
        counts[value.text.data[0] - 'a']++;
    }
    for (int i = 0; i < 3; i++)
        check_near(counts[i], 1000, 250);
    close_generator(&o);
}

static void values_depend_on_key_and_tick_only(void **state)
{
    static const char *const settings[] = {
        "{\"type\":\"random\"}",
        "{\"type\":\"random\",\"distribution\":\"normal\"}",
        "{\"type\":\"random\",\"distribution\":\"exponential\"}",
        "{\"type\":\"sequence\",\"step\":0.7,\"wrap\":true}",
    };

    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(settings); i++) {
        struct opened a = open_generator("number", settings[i]), b = open_generator("number", settings[i]);
        double forward[100];
        int same = 0;

        assert_true(a.generator.class->pure);
        for (uint64_t t = 0; t < 100; t++)
            forward[t] = number(&a, t);
        for (uint64_t t = 100; t-- > 0;) /* another order, another instance */
            assert_true(number(&b, t) == forward[t]);
        for (uint64_t t = 0; t < 100; t++)
            same += sample(&a, KEY + 1, t).number == forward[t];
        if (i < 3)
            assert_true(same < 5); /* another key, other values */
        close_generator(&a);
        close_generator(&b);
    }
}

static void random_values_have_their_decimals(void **state)
{
    struct opened o = open_generator("number", "{\"type\":\"random\",\"min\":0,\"max\":1}");

    (void)state;
    for (uint64_t i = 0; i < 1000; i++) {
        struct ix_value value = sample(&o, KEY, i);

        /* What conditions compare is what is published: 3 decimals. */
        assert_int_equal(value.decimals, 3);
        assert_true(value.number == round(value.number * 1000) / 1000);
    }
    close_generator(&o);
}

static void sequences(void **state)
{
    (void)state;
    check_ticks("number",
                "{\"type\":\"sequence\",\"start\":40,\"step\":0.1,\"min\":40,\"max\":85,\"wrap\":true}", 0, 4,
                "40.0 40.1 40.2 40.3");
    check_ticks("number",
                "{\"type\":\"sequence\",\"start\":40,\"step\":0.1,\"min\":40,\"max\":85,\"wrap\":true}", 449,
                4, "84.9 85.0 40.0 40.1");
    /* 451 values a round: a billion ticks later still exact. */
    check_ticks("number",
                "{\"type\":\"sequence\",\"start\":40,\"step\":0.1,\"min\":40,\"max\":85,\"wrap\":true}",
                451ull * 1000000000, 3, "40.0 40.1 40.2");
    check_ticks("integer", "{\"type\":\"sequence\",\"max\":3}", 0, 6, "0 1 2 3 3 3");
    check_ticks("integer", "{\"type\":\"sequence\",\"max\":3,\"wrap\":true}", 0, 9, "0 1 2 3 0 1 2 3 0");
    check_ticks("integer", "{\"type\":\"sequence\",\"start\":2,\"max\":3,\"wrap\":true}", 0, 6,
                "2 3 0 1 2 3");
    check_ticks("integer", "{\"type\":\"sequence\",\"step\":-1,\"max\":2,\"wrap\":true}", 0, 7,
                "2 1 0 2 1 0 2");
    check_ticks("integer", "{\"type\":\"sequence\",\"step\":-2,\"start\":3,\"max\":4,\"wrap\":true}", 0, 6,
                "3 1 4 2 0 4");
    check_ticks("integer", "{\"type\":\"sequence\",\"step\":-3,\"max\":7}", 0, 5, "7 4 1 0 0");
    /* The step passes the bound without touching it. */
    check_ticks("integer", "{\"type\":\"sequence\",\"step\":4,\"max\":10}", 0, 5, "0 4 8 10 10");
    check_ticks("integer", "{\"type\":\"sequence\",\"step\":4,\"max\":10,\"wrap\":true}", 0, 5, "0 4 8 0 4");
    check_ticks("integer", "{\"type\":\"sequence\",\"step\":500,\"max\":10,\"wrap\":true}", 0, 3, "0 0 0");
    check_ticks("number", "{\"type\":\"sequence\",\"step\":0.10,\"max\":0.3}", 0, 5,
                "0.00 0.10 0.20 0.30 0.30");
    check_ticks("integer", "{\"type\":\"sequence\",\"step\":0.5,\"max\":2}", 0, 5, "0 1 1 2 2");
    check_ticks("number", "{\"type\":\"sequence\",\"min\":-1,\"max\":1,\"step\":0.25,\"wrap\":true}", 3, 3,
                "-0.25 0.00 0.25");
    check_ticks("number", "{\"type\":\"sequence\",\"step\":1e-3,\"max\":1}", 999, 3, "0.999 1.000 1.000");
    check_ticks("integer", "{\"type\":\"sequence\",\"max\":3,\"wrap\":true}", UINT64_MAX, 1, "3");
    check_ticks("integer", "{\"type\":\"sequence\",\"max\":3}", UINT64_MAX, 1, "3");
}

static void constants_stay_as_written(void **state)
{
    (void)state;
    check_ticks("number", "{\"type\":\"constant\",\"value\":1.50}", 7, 1, "1.50");
    check_ticks("number", "{\"type\":\"constant\",\"value\":1E3}", 0, 1, "1E3");
    check_ticks("number", "{\"type\":\"constant\",\"value\":{\"z\":[1.0,2],\"a\":null}}", 0, 1,
                "{\"z\":[1.0,2],\"a\":null}");
    /* What a JSON library made of 0.1. */
    check_ticks("number", "{\"type\":\"constant\",\"value\":0.10000000000000001}", 0, 1, "0.1");
    check_ticks("number", "{\"type\":\"sequence\",\"step\":0.10000000000000001}", 3, 1, "0.3");
    check_ticks("integer", "{\"type\":\"constant\",\"value\":42}", 0, 1, "42");
    check_ticks("integer", "{\"type\":\"constant\",\"value\":41.5}", 0, 1, "42");
    check_ticks("boolean", "{\"type\":\"constant\",\"value\":false}", 0, 1, "false");
    check_ticks("string", "{\"type\":\"constant\",\"value\":\"con\\\"nected\"}", 0, 1, "\"con\\\"nected\"");
    check_ticks("binary", "{\"type\":\"constant\",\"value\":\"AQID\"}", 0, 1, "\"AQID\"");
    char *text = ix_asprintf(
        "{\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"mqtt\",\"telemetry\":[{\"name\":"
        "\"x\","
        "\"type\":\"number\",\"precision\":1,\"generator\":{\"type\":\"constant\",\"value\":2.25}}]}");
    struct opened o = {.model = must_compile(text, NULL)};
    assert_int_equal(ix_generator_open(&o.generator, &o.model->attributes[0].generator, o.model, NULL), 0);
    assert_true(number(&o, 0) == 2.2);
    close_generator(&o);
    free(text);
}

static void put_file(const char *name, const char *data, size_t len)
{
    char *path = ix_asprintf("%s/%s", folder, name);

    assert_int_equal(ix_file_write(path, data, len, NULL), 0);
    free(path);
}

static void put_text(const char *name, const char *text)
{
    put_file(name, text, strlen(text));
}

static void csv(void **state)
{
    (void)state;
    put_text("a.csv", "\xef\xbb\xbftime,value,\"the \"\"name\"\"\"\r\n"
                      "1,20.50,plain\r\n"
                      "2, 7 ,\"with, comma\r\nand line\"\r\n"
                      "\r\n"
                      "3,-1e2,\"say \"\"hi\"\"\"");
    check_ticks("number", "{\"type\":\"replay\",\"dataFile\":\"a.csv\",\"column\":\"value\"}", 0, 5,
                "20.50 7 -1e2 20.50 7");
    check_ticks("number", "{\"type\":\"replay\",\"dataFile\":\"a.csv\",\"column\":\"value\",\"loop\":false}",
                1, 4, "7 -1e2 -1e2 -1e2");
    check_ticks("integer", "{\"type\":\"replay\",\"dataFile\":\"a.csv\",\"column\":\"value\"}", 0, 3,
                "21 7 -100");
    check_ticks("integer", "{\"type\":\"replay\",\"dataFile\":\"a.csv\"}", 0, 4, "1 2 3 1");
    check_ticks("string", "{\"type\":\"replay\",\"dataFile\":\"a.csv\",\"column\":\"the \\\"name\\\"\"}", 0,
                3, "\"plain\" \"with, comma\\r\\nand line\" \"say \\\"hi\\\"\"");
    put_text("semi.csv", "a;b\n1;007\n2;.5\n3;+4\n");
    check_ticks("number", "{\"type\":\"replay\",\"dataFile\":\"semi.csv\",\"column\":\"b\"}", 0, 3,
                "7 0.5 4");
    put_text("bool.csv", "b\ntrue\nNo\n1\n0\n");
    check_ticks("boolean", "{\"type\":\"replay\",\"dataFile\":\"bool.csv\"}", 0, 4, "true false true false");
}

static void json_files(void **state)
{
    (void)state;
    put_text("a.json", " [1, 2.50 , -3e0]\n");
    check_ticks("number", "{\"type\":\"replay\",\"dataFile\":\"a.json\"}", 0, 4, "1 2.50 -3e0 1");
    put_text("o.json", "[{\"t\":{\"x\":[1,\"]\"]},\"v\":1.0},{\"v\":\"2.5\",\"t\":0}]");
    check_ticks("number", "{\"type\":\"replay\",\"dataFile\":\"o.json\",\"column\":\"v\"}", 0, 2, "1.0 2.5");
    put_text("l.ndjson", "{\"v\":\"a\\u00e9\\n\"}\n{\"v\":\"b\\\"\"}\n\n{\"w\":1,\"v\":\"\"}\n");
    check_ticks("string", "{\"type\":\"replay\",\"dataFile\":\"l.ndjson\",\"column\":\"v\"}", 0, 3,
                "\"a\xc3\xa9\\n\" \"b\\\"\" \"\"");
    check_ticks("string", "{\"type\":\"replay\",\"dataFile\":\"l.ndjson\",\"column\":\"v\",\"loop\":false}",
                2, 2, "\"\" \"\"");
}

static void binary_files(void **state)
{
    struct opened o;

    (void)state;
    put_file("frames.bin", "aa\0\001bb\377\002", 8);
    o = open_generator("binary", "{\"type\":\"replay\",\"dataFile\":\"frames.bin\",\"frameBytes\":4}");
    struct ix_value value = sample(&o, KEY, 3);
    assert_int_equal(value.kind, IX_V_BYTES);
    assert_int_equal(value.text.len, 4);
    assert_memory_equal(value.text.data, "bb\377\002", 4);
    close_generator(&o);
    o = open_generator("binary", "{\"type\":\"replay\",\"dataFile\":\"frames.bin\"}");
    assert_int_equal(sample(&o, KEY, 9).text.len, 8);
    close_generator(&o);
    o = open_generator("binary", "{\"type\":\"constant\",\"dataFile\":\"frames.bin\"}");
    assert_int_equal(sample(&o, KEY, 9).text.len, 8);
    close_generator(&o);
    check_open_fails("binary", "{\"type\":\"replay\",\"dataFile\":\"frames.bin\",\"frameBytes\":3}",
                     "not a multiple");
}

static void bad_files(void **state)
{
    (void)state;
    check_open_fails("number", "{\"type\":\"replay\",\"dataFile\":\"none.csv\"}",
                     "there is no file none.csv in /tmp/");
    put_text("c.csv", "time,value\n1,2\n");
    check_open_fails("number", "{\"type\":\"replay\",\"dataFile\":\"c.csv\",\"column\":\"valu\"}",
                     "did you mean \"value\"?");
    check_open_fails("number", "{\"type\":\"replay\",\"dataFile\":\"c.csv\",\"column\":\"zzzz\"}",
                     "its columns: time, value");
    put_text("short.csv", "a,b\n1,2\n3\n");
    check_open_fails("number", "{\"type\":\"replay\",\"dataFile\":\"short.csv\",\"column\":\"b\"}",
                     "line 3: the line ends after 1");
    put_text("quote.csv", "a,b\n1,\"2\n3,4\n");
    check_open_fails("number", "{\"type\":\"replay\",\"dataFile\":\"quote.csv\",\"column\":\"b\"}",
                     "line 2: a quoted cell has no end");
    put_text("head.csv", "a,b\n");
    check_open_fails("number", "{\"type\":\"replay\",\"dataFile\":\"head.csv\"}", "holds no values");
    put_text("empty.csv", "");
    check_open_fails("number", "{\"type\":\"replay\",\"dataFile\":\"empty.csv\"}", "holds no values");
    put_text("empty.json", "[]");
    check_open_fails("number", "{\"type\":\"replay\",\"dataFile\":\"empty.json\"}", "holds no values");
    put_text("open.json", "[1,2");
    check_open_fails("number", "{\"type\":\"replay\",\"dataFile\":\"open.json\"}", "no closing bracket");
    put_text("bad.json", "[1 2]");
    check_open_fails("number", "{\"type\":\"replay\",\"dataFile\":\"bad.json\"}", "malformed JSON");
    put_text("key.json", "[{\"a\":1},\n{\"b\":1,\"c\":2}]");
    check_open_fails("number", "{\"type\":\"replay\",\"dataFile\":\"key.json\",\"column\":\"a\"}",
                     "line 2: the object has no key \"a\"; its keys: b, c");
    check_open_fails("number", "{\"type\":\"custom\",\"handler\":\"mine\"}", "generator \"mine\"");
}

static void bad_cells_fail_at_their_tick(void **state)
{
    struct ix_draw draw = {.tick = 1};
    struct ix_value value;
    struct ix_error err;

    (void)state;
    put_text("cells.csv", "v,w\n1,1\nabc,2\n,3\n4,4\n");
    struct opened o = open_generator("number", "{\"type\":\"replay\",\"dataFile\":\"cells.csv\"}");
    assert_int_equal(o.generator.class->sample(&o.generator, &draw, &value, &err), -EINVAL);
    assert_non_null(strstr(err.text, "cells.csv, line 3: \"abc\" is not a value of type number"));
    draw.tick = 2;
    assert_int_equal(o.generator.class->sample(&o.generator, &draw, &value, &err), -ENODATA);
    draw.tick = 3;
    assert_int_equal(o.generator.class->sample(&o.generator, &draw, &value, &err), 0);
    close_generator(&o);
}

static void files_are_shared(void **state)
{
    struct ix_table_file *a, *b, *c;
    char *path = ix_asprintf("%s/shared.csv", folder);

    (void)state;
    put_text("shared.csv", "v,w\n1,2\n");
    assert_int_equal(ix_table_file_open(path, "v", &a, NULL), 0);
    assert_int_equal(ix_table_file_open(path, "v", &b, NULL), 0);
    assert_int_equal(ix_table_file_open(path, "w", &c, NULL), 0);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    ix_table_file_close(a);
    assert_int_equal(ix_table_file_rows(b), 1);
    /* A file that was replaced is read anew. */
    put_text("shared.csv", "v,w\n1,2\n3,4\n");
    assert_int_equal(ix_table_file_open(path, "v", &a, NULL), 0);
    assert_int_equal(ix_table_file_rows(a), 2);
    assert_int_equal(ix_table_file_rows(b), 1);
    ix_table_file_close(a);
    ix_table_file_close(b);
    ix_table_file_close(c);
    free(path);
}

/* A file of exactly one page: nothing may be read behind its last byte. */
static void values_end_where_the_file_ends(void **state)
{
    char page[4096];

    (void)state;
    memset(page, '0', sizeof(page));
    memcpy(page, "v\n", 2);
    for (size_t i = 2; i < sizeof(page); i++)
        page[i] = i % 8 == 7 ? '\n' : '4';
    page[4095] = '4';
    page[4094] = '\n';
    put_file("page.csv", page, sizeof(page));
    struct opened o =
        open_generator("integer", "{\"type\":\"replay\",\"dataFile\":\"page.csv\",\"loop\":false}");
    assert_int_equal(sample(&o, KEY, 1000000).integer, 4);
    close_generator(&o);
}

static const char *find_embedded(const char *name, size_t *len)
{
    static const char data[] = "v\n5\n6\n";

    *len = sizeof(data) - 1;
    return strcmp(name, "models/data/x.csv") == 0 ? data : NULL;
}

static void embedded_files(void **state)
{
    const struct ix_model_options options = {.folder = IX_MODEL_EMBEDDED};
    char *text = sensor("number", "{\"type\":\"replay\",\"dataFile\":\"/data/x.csv\"}");
    struct opened o;

    (void)state;
    ix_model_set_embedded(find_embedded);
    o.model = must_compile(text, &options);
    assert_int_equal(ix_generator_open(&o.generator, &o.model->attributes[0].generator, o.model, NULL), 0);
    assert_true(number(&o, 1) == 6);
    close_generator(&o);
    ix_model_set_embedded(NULL);
    free(text);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distributions),
        cmocka_unit_test(integers_reach_both_ends),
        cmocka_unit_test(booleans_and_texts),
        cmocka_unit_test(values_depend_on_key_and_tick_only),
        cmocka_unit_test(random_values_have_their_decimals),
        cmocka_unit_test(sequences),
        cmocka_unit_test(constants_stay_as_written),
        cmocka_unit_test(csv),
        cmocka_unit_test(json_files),
        cmocka_unit_test(binary_files),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(bad_cells_fail_at_their_tick),
        cmocka_unit_test(files_are_shared),
        cmocka_unit_test(values_end_where_the_file_ends),
        cmocka_unit_test(embedded_files),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
