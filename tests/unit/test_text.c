#include "base/random.h"
#include "base/text.h"
#include "check.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

static const char *fixed(double value, int decimals)
{
    ix_buf_clear(&out);
    ix_text_fixed(&out, value, decimals);
    return ix_buf_cstr(&out);
}

static const char *shortest(double value)
{
    ix_buf_clear(&out);
    ix_text_double(&out, value);
    return ix_buf_cstr(&out);
}

static void same_as_printf(double value, int decimals)
{
    char expected[400];
    snprintf(expected, sizeof(expected), "%.*f", decimals, value);
    const char *want = expected;
    if (*want == '-' && strspn(want + 1, "0.") == strlen(want + 1))
        want++;
    const char *text = fixed(value, decimals);
    if (strcmp(text, want) != 0)
        fail_msg("%.17g with %d decimals: \"%s\", printf writes \"%s\"", value, decimals, text, want);
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void test_fixed_of_any_bits(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 300000; i++) {
        uint64_t bits = ix_random_u64(1, i);
        double value = double_of(bits);
        if (isfinite(value))
            same_as_printf(value, (int)(i & 15));
    }
}

static void test_fixed_of_sensor_values(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 2000000; i++) {
        uint64_t bits = ix_random_u64(2, i);
        /* 2^-70 to 2^70, both signs: where shifts, carries and the fallback meet */
        double value = ldexp(ix_random_unit(bits) - 0.5, (int)(bits & 127) - 64 + (int)(i % 13));
        same_as_printf(value, (int)(i & 15));
    }
}

static void test_fixed_of_ties(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 500000; i++) {
        uint64_t bits = ix_random_u64(3, i);
        /* An odd multiple of 2^-(d+1) ends exactly halfway between two texts of d decimals. */
        int decimals = (int)(i & 15);
        double value = ldexp((double)(2 * (bits >> 44) + 1), -(decimals + 1));
        same_as_printf(bits & 1 ? value : -value, decimals);
    }
    same_as_printf(0.5, 0);
    same_as_printf(1.5, 0);
    same_as_printf(2.5, 0);
    same_as_printf(9.5, 0);
    same_as_printf(0.125, 2);
    same_as_printf(99.995, 2);
    same_as_printf(0x1p63, 15);
    same_as_printf(nextafter(0x1p63, 0), 15);
    same_as_printf(DBL_MAX, 15);
    same_as_printf(DBL_TRUE_MIN, 15);
}

static void test_fixed_special(void **state)
{
    (void)state;
    assert_string_equal(fixed(-0.001, 2), "0.00");
    assert_string_equal(fixed(-0.0, 0), "0");
    assert_string_equal(fixed(-0.006, 2), "-0.01");
    assert_string_equal(fixed(NAN, 2), "null");
    assert_string_equal(fixed(-INFINITY, 2), "null");
}

static void test_double_reads_back(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 300000; i++) {
        uint64_t bits = ix_random_u64(4, i);
        double value = i % 3 == 0 ? double_of(bits)
                                  : round((ix_random_unit(bits) - 0.5) * 1e9) / pow(10, (double)(i % 9));
        if (!isfinite(value))
            continue;
        const char *text = shortest(value);
        if (strtod(text, NULL) != value)
            fail_msg("%.17g became \"%s\"", value, text);
        for (int digits = 1; digits < 15; digits++) {
            char shorter[40];
            snprintf(shorter, sizeof(shorter), "%.*g", digits, value);
            if (strtod(shorter, NULL) == value && !strchr(shorter, 'e') && strlen(shorter) < strlen(text))
                fail_msg("%.17g became \"%s\", but \"%s\" is enough", value, text, shorter);
        }
    }
}

static void test_double_known(void **state)
{
    (void)state;
    assert_string_equal(shortest(0.1), "0.1");
    assert_string_equal(shortest(0.1 + 0.2), "0.30000000000000004");
    assert_string_equal(shortest(21.37), "21.37");
    assert_string_equal(shortest(-21.5), "-21.5");
    assert_string_equal(shortest(1e300), "1e+300");
    assert_string_equal(shortest(5e-324), "5e-324");
    assert_string_equal(shortest(1700000000123456.0), "1700000000123456");
    assert_string_equal(shortest(-3), "-3");
    assert_string_equal(shortest(-0.0), "0");
    assert_string_equal(shortest(NAN), "null");
}

static void test_integers(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 200000; i++) {
        uint64_t bits = ix_random_u64(5, i) >> (i & 63);
        char expected[32];
        ix_buf_clear(&out);
        ix_text_u64(&out, bits);
        snprintf(expected, sizeof(expected), "%llu", (unsigned long long)bits);
        assert_string_equal(ix_buf_cstr(&out), expected);
        ix_buf_clear(&out);
        ix_text_i64(&out, -(int64_t)(bits >> 1));
        snprintf(expected, sizeof(expected), "%lld", -(long long)(bits >> 1));
        assert_string_equal(ix_buf_cstr(&out), expected);
    }
    ix_buf_clear(&out);
    ix_text_i64(&out, INT64_MIN);
    ix_text_u64(&out, UINT64_MAX);
    assert_string_equal(ix_buf_cstr(&out), "-922337203685477580818446744073709551615");
}

static const char *json(const char *text, size_t len)
{
    ix_buf_clear(&out);
    ix_text_json_string(&out, text, len);
    return ix_buf_cstr(&out);
}

static void test_json_string(void **state)
{
    (void)state;
    assert_string_equal(json("", 0), "\"\"");
    assert_string_equal(json("a\"b\\c/\n\t\x01\x7f", 10), "\"a\\\"b\\\\c/\\n\\t\\u0001\x7f\"");
    assert_string_equal(json("a\0b", 3), "\"a\\u0000b\"");
    assert_string_equal(json("Gr\xc3\xbc\xc3\x9f"
                             "e \xe2\x82\xac \xf0\x9f\x98\x80",
                             16),
                        "\"Gr\xc3\xbc\xc3\x9f"
                        "e \xe2\x82\xac \xf0\x9f\x98\x80\"");
    /* lone continuation, overlong, surrogate, cut at the end */
    assert_string_equal(json("\x80|\xc0\xaf|\xed\xa0\x80|\xe2\x82", 11),
                        "\"\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|"
                        "\xef\xbf\xbd\xef\xbf\xbd\"");
}

/* Every byte at every place of a long text: the scan of 8 bytes at a time misses none. */
static void test_json_string_scan(void **state)
{
    (void)state;
    for (int byte = 1; byte < 256; byte++)
        for (size_t place = 0; place < 24; place++) {
            char text[24], expected[64];
            memset(text, 'x', sizeof(text));
            text[place] = (char)byte;
            char escaped[8] = {(char)byte, 0};
            if (byte == '"' || byte == '\\')
                snprintf(escaped, sizeof(escaped), "\\%c", byte);
            else if (byte < 0x20) {
                const char *short_names = "\bb\tt\nn\ff\rr", *name = strchr(short_names, byte);
                if (name)
                    snprintf(escaped, sizeof(escaped), "\\%c", name[1]);
                else
                    snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned)byte);
            } else if (byte >= 0x80)
                snprintf(escaped, sizeof(escaped), "\xef\xbf\xbd");
            snprintf(expected, sizeof(expected), "\"%.*s%s%.*s\"", (int)place, text, escaped,
                     (int)(23 - place), "xxxxxxxxxxxxxxxxxxxxxxx");
            assert_string_equal(json(text, sizeof(text)), expected);
        }
}

static void test_utf8(void **state)
{
    (void)state;
    assert_true(ix_text_is_utf8("", 0));
    assert_true(ix_text_is_utf8("\xf4\x8f\xbf\xbf\xee\x80\x80", 7));
    static const char *const bad[] = {"\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xc3",
                                      "\xe2\x28\xa1"};
    for (size_t i = 0; i < IX_ARRAY_LEN(bad); i++)
        assert_false(ix_text_is_utf8(bad[i], strlen(bad[i])));
}

static void test_base64(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"}}; /* RFC 4648, section 10 */
    for (size_t i = 0; i < IX_ARRAY_LEN(vectors); i++) {
        ix_buf_clear(&out);
        ix_text_base64(&out, vectors[i][0], strlen(vectors[i][0]));
        assert_string_equal(ix_buf_cstr(&out), vectors[i][1]);
        char back[8] = {0};
        assert_number(ix_text_base64_decode(vectors[i][1], strlen(vectors[i][1]), back, 6),
                      strlen(vectors[i][0]));
        assert_string_equal(back, vectors[i][0]);
    }
    unsigned char all[256], decoded[256];
    for (int i = 0; i < 256; i++)
        all[i] = (unsigned char)(255 - i);
    ix_buf_clear(&out);
    ix_text_base64(&out, all, sizeof(all));
    assert_number(ix_text_base64_decode(out.data, out.len, decoded, sizeof(decoded)), 256);
    assert_memory_equal(all, decoded, sizeof(all));
    static const char *const bad[] = {
        "Zg=", "Zg", "====", "Z===", "Zg==Zg==", "Zm9\n", "Zh==", "Zm-_", "=Zg="};
    for (size_t i = 0; i < IX_ARRAY_LEN(bad); i++)
        assert_number(ix_text_base64_decode(bad[i], strlen(bad[i]), decoded, sizeof(decoded)), -EINVAL);
    assert_number(ix_text_base64_decode("Zm9v", 4, decoded, 2), -EINVAL);
}

static void test_iso8601(void **state)
{
    (void)state;
    char text[IX_ISO8601_LEN + 1];
    static const struct {
        int64_t ns;
        const char *text;
    } known[] = {{0, "1970-01-01T00:00:00.000Z"},
                 {-1, "1969-12-31T23:59:59.999Z"},
                 {951782400000000000, "2000-02-29T00:00:00.000Z"},
                 {1769903999123999999, "2026-01-31T23:59:59.123Z"},
                 {4107542400000000000, "2100-03-01T00:00:00.000Z"},
                 {INT64_MAX, "2262-04-11T23:47:16.854Z"}};
    for (size_t i = 0; i < IX_ARRAY_LEN(known); i++) {
        ix_text_iso8601(text, known[i].ns);
        assert_string_equal(text, known[i].text);
    }
    for (uint64_t i = 0; i < 200000; i++) {
        int64_t seconds = (int64_t)ix_random_below(ix_random_u64(6, i), 18000000000ull) - 9000000000;
        time_t when = (time_t)seconds;
        struct tm parts;
        char expected[40];
        gmtime_r(&when, &parts);
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000Z", &parts);
        ix_text_iso8601(text, seconds * 1000000000);
        assert_string_equal(text, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fixed_of_any_bits),
                                       cmocka_unit_test(test_fixed_of_sensor_values),
                                       cmocka_unit_test(test_fixed_of_ties),
                                       cmocka_unit_test(test_fixed_special),
                                       cmocka_unit_test(test_double_reads_back),
                                       cmocka_unit_test(test_double_known),
                                       cmocka_unit_test(test_integers),
                                       cmocka_unit_test(test_json_string),
                                       cmocka_unit_test(test_json_string_scan),
                                       cmocka_unit_test(test_utf8),
                                       cmocka_unit_test(test_base64),
                                       cmocka_unit_test(test_iso8601)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
