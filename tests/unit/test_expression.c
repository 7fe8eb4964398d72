/* Conditions of behaviours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model_helpers.h"

static const char *const names[] = {"heartRate", "load", "state", "door", "empty", "my-value", "zero"};
enum { NAMES = IX_ARRAY_LEN(names) };

static const struct ix_value values[NAMES] = {
    {.kind = IX_V_INTEGER, .integer = 130},
    {.kind = IX_V_NUMBER, .decimals = 2, .number = 0.75},
    {.kind = IX_V_STRING, .text = {"open", 4}},
    {.kind = IX_V_BOOLEAN, .boolean = true},
    {.kind = IX_V_NONE},
    {.kind = IX_V_JSON, .text = {"12.50", 5}},
    {.kind = IX_V_INTEGER, .integer = 0},
};

static bool holds(const char *text)
{
    struct ix_error err;
    struct ix_expression *e = ix_expression_compile(text, names, NAMES, &err);

    if (!e)
        fail_msg("%s: %s", text, err.text);
    bool result = ix_expression_holds(e, values);
    ix_expression_free(e);
    return result;
}

static void check_error(const char *text, const char *expected)
{
    struct ix_error err;

    assert_null(ix_expression_compile(text, names, NAMES, &err));
    if (!strstr(err.text, expected))
        fail_msg("\"%s\" gave \"%s\", expected \"%s\"", text, err.text, expected);
}

static void true_ones(void **state)
{
    static const char *const texts[] = {
        "heartRate > 120 || heartRate < 50",
        "heartRate == 130 && load < 1",
        "heartRate != 131",
        "load * 4 == 3",
        "1 + 2 * 3 == 7",
        "(1 + 2) * 3 == 9",
        "10 - 4 - 3 == 3",
        "24 / 4 / 2 == 3",
        "7 % 4 == 3",
        "-heartRate < -100",
        "!(heartRate < 100)",
        "!zero",
        "--1 == 1",
        "2 > 1 == true",
        "state == \"open\"",
        "state != 'closed'",
        "door",
        "door == true && !false",
        "door == 1",
        "${my-value} >= 12.5",
        "true || false && false",
        "1e2 == 100 && .5 == 0.5",
        "heartRate>=130&&heartRate<=130",
        "zero == 0 || heartRate / zero > 1", /* the right side is not looked at */
        "state == \"open\" && load",
    };

    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(texts); i++) {
        if (!holds(texts[i]))
            fail_msg("must hold: %s", texts[i]);
    }
}

static void false_ones(void **state)
{
    static const char *const texts[] = {
        "heartRate < 50",
        "zero",
        "state == \"Open\"",
        "empty > 1",
        "!(empty > 1)",             /* false until every attribute has a value ... */
        "heartRate > 120 || empty", /* ... wherever it stands */
        "heartRate / zero > 1",
        "!(heartRate % zero == 1)",
        "state > 3",
        "!(state == 3)",
        "state + 1 == 2",
        "!state",
        "state",
        "-state == 1",
        "heartRate > 1 && state",
    };

    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(texts); i++) {
        if (holds(texts[i]))
            fail_msg("must not hold: %s", texts[i]);
    }
}

static void errors_name_the_place(void **state)
{
    (void)state;
    check_error("heartRate > ", "character 13: a value is missing");
    check_error("heartRat > 1",
                "character 1: no telemetry attribute is called \"heartRat\"; did you mean \"heartRate\"?");
    check_error("heartRate = 1", "character 11: write ==");
    check_error("(heartRate > 1", "closing parenthesis is missing");
    check_error("heartRate > 1)", "character 14: a parenthesis closes");
    check_error("heartRate 5", "character 11: an operator was expected");
    check_error("heartRate > 1 $ 2", "character 15");
    check_error("state == \"open", "character 10: the text has no closing \"");
    check_error("1.2.3 > 1", "character 1: \"1.2.3\" is not a number");
    check_error("* 3", "character 1: a value was expected");
    check_error("", "a value is missing");
    check_error("door & zero", "\"&\" has no meaning");
    check_error("os.execute('x')", "no telemetry attribute is called \"os.execute\"");
    check_error("door (1)", "an operator was expected before \"(\"");
}

static char *repeat(const char *text, size_t count, const char *tail)
{
    struct ix_buf buf;

    ix_buf_init(&buf, 1 << 20);
    for (size_t i = 0; i < count; i++)
        ix_buf_str(&buf, text);
    ix_buf_str(&buf, tail);
    char *copy = ix_strdup(ix_buf_cstr(&buf));
    ix_buf_deinit(&buf);
    return copy;
}

static void depth_is_limited(void **state)
{
    static const char *const texts[] = {"(", "!", "-", "1+(", "1||1&&1==1<1+1*("};

    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(texts); i++) {
        char *deep = repeat(texts[i], 200, "1");

        check_error(deep, "nested too deeply");
        free(deep);
    }
    char *huge = repeat("1+", 100000, "1");
    check_error(huge, "longer than");
    free(huge);
    /* A long chain is not deep. */
    char *chain = repeat("1+", 1500, "1 == 1501");
    assert_true(holds(chain));
    free(chain);
    char *ors = repeat("zero||", 600, "door");
    assert_true(holds(ors));
    free(ors);
}

static void uses_are_told(void **state)
{
    struct ix_error err;
    struct ix_expression *e =
        ix_expression_compile("load > 1 || state == 'x' || load < 0", names, NAMES, &err);

    (void)state;
    assert_int_equal(ix_expression_uses(e), 1u << 1 | 1u << 2);
    ix_expression_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(true_ones),
        cmocka_unit_test(false_ones),
        cmocka_unit_test(errors_name_the_place),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(uses_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
