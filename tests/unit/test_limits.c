/* What a fleet needs of its host: source addresses, and memory. */
#include "check.h"
#include "control/memory.h"
#include "protocol/source.h"

static void refuse(const char *text, const char *message)
{
    struct ix_sources sources;
    struct ix_error err = {0};
    assert_true(ix_sources_parse(text, &sources, &err) < 0);
    if (!strstr(err.text, message))
        fail_msg("%s: \"%s\" does not say \"%s\"", text, err.text, message);
    assert_null(sources.items);
}

static void test_addresses_and_ranges(void **state)
{
    (void)state;
    struct ix_sources sources;
    struct ix_error err = {0};
    assert_int_equal(ix_sources_parse("127.0.0.1,127.0.1.254-127.0.2.1,127.0.0.9", &sources, &err), 0);
    const char *expected[] = {"127.0.0.1", "127.0.1.254", "127.0.1.255",
                              "127.0.2.0", "127.0.2.1",   "127.0.0.9"};
    assert_int_equal(sources.count, IX_ARRAY_LEN(expected));
    for (size_t i = 0; i < sources.count; i++)
        assert_string_equal(sources.items[i].address, expected[i]);
    ix_sources_deinit(&sources);
    assert_int_equal(ix_sources_loopback(1, 300, &sources, &err), 0);
    assert_int_equal(sources.count, 300);
    assert_string_equal(sources.items[0].address, "127.0.0.2");
    assert_string_equal(sources.items[299].address, "127.0.1.45");
    ix_sources_deinit(&sources);
}

static void test_addresses_that_cannot_be(void **state)
{
    (void)state;
    refuse("", "not numeric");
    refuse("localhost", "\"localhost\" is not numeric");
    refuse("127.0.0.2,", "not numeric");
    refuse("127.0.0.300", "not numeric");
    refuse("192.0.2.1", "192.0.2.1 is not an address of this host"); /* RFC 5737 */
    refuse("127.0.0.5-127.0.0.2", "ends before it begins");
    refuse("127.0.0.5-", "IPv4 address at both ends");
    refuse("::1-::2", "IPv4 address at both ends");
    refuse("127.0.0.1-127.0.200.1", "more than 4096");
}

static void test_loopback(void **state)
{
    (void)state;
    assert_true(ix_source_is_loopback("127.0.0.1"));
    assert_true(ix_source_is_loopback("127.200.0.1"));
    assert_false(ix_source_is_loopback("128.0.0.1"));
    assert_false(ix_source_is_loopback("::1"));
    assert_true(ix_source_ports() > 0 && ix_source_ports() <= 65536);
}

static void test_memory(void **state)
{
    (void)state;
    struct ix_error err = {0};
    assert_int_equal(ix_memory_check(1000, 10 << 20, 10 << 20, &err), 0);
    assert_int_equal(ix_memory_check(1000, UINT64_MAX / 2, UINT64_MAX, &err), 0); /* nobody knows */
    assert_int_equal(ix_memory_check(2000000, 24ull << 30, 16ull << 30, &err), -ENOMEM);
    assert_non_null(
        strstr(err.text, "2000000 devices need about 24.0 GiB of memory (12.6 KiB each), and 16.0 GiB"));
    assert_true(ix_memory_available() > 0);
}

static void test_memory_of_a_device(void **state)
{
    (void)state;
    struct ix_model plain = {0}, tls = {.connection.tls = true};
    uint64_t there = ix_memory_of_device(&plain, false), here = ix_memory_of_device(&plain, true);
    assert_in_range(there, 4000, 7000);
    assert_in_range(here, there + 3000, 12000);
    assert_true(ix_memory_of_device(&tls, false) > there + 25000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_and_ranges),
        cmocka_unit_test(test_addresses_that_cannot_be),
        cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_of_a_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
