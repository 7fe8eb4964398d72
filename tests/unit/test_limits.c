/* What a fleet needs of its host: source addresses, memory, and what is short of it. */
#include "check.h"
#include "control/limits.h"
#include "control/memory.h"
#include "protocol/source.h"

#include <stdio.h>

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
    struct ix_memory_parts there = ix_memory_of_device(&plain, false),
                           here = ix_memory_of_device(&plain, true);
    assert_in_range(there.iotix + there.kernel, 4000, 7000);
    assert_int_equal(there.broker, 0);
    assert_int_equal(here.iotix, there.iotix);
    assert_int_equal(here.kernel, 2 * there.kernel);
    assert_in_range(here.broker, 500, 2000);
    assert_true(ix_memory_of_device(&tls, false).iotix > there.iotix + 25000);
}

/* ---- shortages ---- */

static const struct ix_limits_of_host roomy = {.cores = 2,
                                               .files = 20000,
                                               .files_most = 1 << 20,
                                               .all_files = 2400000,
                                               .all_files_open = 1000,
                                               .processes = 10000,
                                               .ports = 28232,
                                               .port_low = 32768,
                                               .port_high = 60999,
                                               .memory = 20ull << 30};

/* The one shortage of a demand, and its kind; the texts stay until the next call. */
static const struct ix_shortage *only(const struct ix_limits_of_host *host, const struct ix_demand *demand)
{
    static struct ix_shortage found[IX_SHORT_COUNT];
    static size_t count;
    ix_shortages_free(found, count);
    count = ix_limits_check(host, demand, found);
    assert_int_equal(count, 1);
    return &found[0];
}

static void test_nothing_is_short(void **state)
{
    (void)state;
    struct ix_shortage found[IX_SHORT_COUNT];
    struct ix_demand demand = {
        .devices = 1000000, .workers = 2, .broker_end = 1000000, .port_connections = 14000};
    assert_int_equal(ix_limits_check(&roomy, &demand, found), 0);
    assert_int_equal(ix_limits_workers(&roomy, 1000000, 2), 51);
    assert_int_equal(ix_limits_workers(&roomy, 10, 2), 2);
}

static void test_descriptors_of_a_process(void **state)
{
    (void)state;
    struct ix_limits_of_host host = roomy;
    struct ix_demand demand = {.devices = 100000, .workers = 2};
    host.files = 300;
    const struct ix_shortage *s = only(&host, &demand);
    assert_int_equal(s->kind, IX_SHORT_FILES);
    assert_true(s->hard);
    assert_non_null(strstr(s->text, "a worker holds 236 devices"));
    unsigned enough = 0;
    assert_int_equal(sscanf(s->cure, "sudo prlimit --pid $$ --nofile=%u:", &enough), 1);
    assert_int_equal(ix_limits_workers(&host, 100000, 2), 0);
    host.files = enough;
    assert_true(ix_limits_workers(&host, 100000, 2) > 0);
    host.files = enough - 64; /* the least one */
    assert_int_equal(ix_limits_workers(&host, 100000, 2), 0);
    host.files_most = 400; /* root itself is bound by that one */
    host.files = 300;
    assert_non_null(strstr(only(&host, &demand)->cure, "sudo sysctl -w fs.nr_open="));
}

static void test_descriptors_of_the_host(void **state)
{
    (void)state;
    struct ix_limits_of_host host = roomy;
    struct ix_demand demand = {.devices = 1000000, .workers = 2, .broker_end = 1000000};
    host.all_files = 1500000;
    const struct ix_shortage *s = only(&host, &demand);
    assert_int_equal(s->kind, IX_SHORT_ALL_FILES);
    assert_true(s->hard);
    unsigned long long enough = 0;
    assert_int_equal(sscanf(s->cure, "sudo sysctl -w fs.file-max=%llu", &enough), 1);
    host.all_files = enough;
    struct ix_shortage none[IX_SHORT_COUNT];
    assert_int_equal(ix_limits_check(&host, &demand, none), 0);
    host.all_files = 1500000;
    host.is_root = true; /* it is not bound */
    assert_false(only(&host, &demand)->hard);
}

static void test_ports_of_an_address(void **state)
{
    (void)state;
    struct ix_demand demand = {
        .devices = 30000, .port_connections = 30000, .sources = 1, .broker = "b", .broker_port = 9};
    assert_string_equal(only(&roomy, &demand)->cure,
                        "sudo sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"");
    assert_int_equal(only(&roomy, &demand)->kind, IX_SHORT_PORTS);
    demand.port_connections = 14117; /* the search gets slow from half of them on */
    assert_int_equal(only(&roomy, &demand)->kind, IX_SHORT_PORT_SEARCH);
    assert_false(only(&roomy, &demand)->hard);
    demand.port_connections = 100000;
    assert_non_null(strstr(only(&roomy, &demand)->cure, "--bind with 8 addresses of this host"));
    demand.loopback = true;
    assert_string_equal(only(&roomy, &demand)->cure, "--bind 127.0.0.2-127.0.0.9");
}

static void test_broker_memory_and_pace(void **state)
{
    (void)state;
    struct ix_demand broker = {.devices = 50000, .workers = 2, .embedded = true};
    assert_int_equal(only(&roomy, &broker)->kind, IX_SHORT_BROKER);
    assert_non_null(strstr(only(&roomy, &broker)->cure, "with 3 brokers"));
    broker.clients = 10000; /* never more at the same time */
    struct ix_shortage none[IX_SHORT_COUNT];
    assert_int_equal(ix_limits_check(&roomy, &broker, none), 0);
    struct ix_demand memory = {.devices = 5000000, .workers = 2, .memory_iotix = 40ull << 30};
    struct ix_limits_of_host host = roomy;
    host.all_files = UINT64_MAX;
    assert_non_null(strstr(only(&host, &memory)->cure, "at most 2375000 devices fit"));
    struct ix_error err;
    assert_int_equal(ix_limits_require(&host, &memory, &err), -ENOMEM);
    struct ix_demand pace = {.devices = 5000, .workers = 2, .connects_per_s = 60000};
    assert_string_equal(only(&roomy, &pace)->cure, "--connect-rate 20000/s");
    assert_int_equal(ix_limits_require(&roomy, &pace, &err), 0);
    struct ix_demand busy = {.devices = 5000, .workers = 2, .cpu_share = 3.5};
    assert_int_equal(only(&roomy, &busy)->kind, IX_SHORT_CPU);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_and_ranges),
        cmocka_unit_test(test_addresses_that_cannot_be),
        cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_of_a_device),
        cmocka_unit_test(test_nothing_is_short),
        cmocka_unit_test(test_descriptors_of_a_process),
        cmocka_unit_test(test_descriptors_of_the_host),
        cmocka_unit_test(test_ports_of_an_address),
        cmocka_unit_test(test_broker_memory_and_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
