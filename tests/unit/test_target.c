/* Broker addresses as users write them. */
#include "mqtt_fixture.h"
#include "protocol/target.h"

static void test_every_way_of_writing_an_address(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
        bool tls;
    } cases[] = {
        {"localhost", "localhost", 0, false},
        {"broker.example.com:1884", "broker.example.com", 1884, false},
        {"10.0.0.1:65535", "10.0.0.1", 65535, false},
        {"::1", "::1", 0, false},
        {"fe80::1:2", "fe80::1:2", 0, false},
        {"[::1]", "::1", 0, false},
        {"[::1]:1883", "::1", 1883, false},
        {"mqtt://host", "host", 1883, false},
        {"mqtt://host:1", "host", 1, false},
        {"tcp://host:1883/", "host", 1883, false},
        {"mqtts://host", "host", 8883, true},
        {"ssl://[::1]:8883", "::1", 8883, true},
        {"tls://host:8883", "host", 8883, true},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        struct ix_target target;
        struct ix_error err = {0};
        bool tls = !cases[i].tls;
        if (ix_target_parse(cases[i].text, &target, &tls, &err) != 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_string_equal(target.server_name, cases[i].host);
        assert_int_equal(target.port, cases[i].port);
        assert_int_equal(tls, cases[i].tls);
        assert_string_equal(target.address, "");
    }
}

static void test_what_is_no_address_is_explained(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", "names no host"},
        {":1883", "names no host"},
        {"mqtt://", "names no host"},
        {"[]:1883", "names no host"},
        {"host:", "must be 1 to 65535"},
        {"host:0", "must be 1 to 65535"},
        {"host:65536", "must be 1 to 65535"},
        {"host:18x3", "port \"18x3\""},
        {"host:99999999999999999999", "must be 1 to 65535"},
        {"[::1", "bracket"},
        {"[::1]1883", "bracket"},
        {"ws://host", "\"ws://\" is no scheme"},
        {"http://host:80", "\"http://\" is no scheme"},
        {"host name", "names no host"},
        {"host:1:2", "neither HOST:PORT nor an IPv6 address"},
        {"[host]:1883", "neither HOST:PORT nor an IPv6 address"},
        {"[12345::]:1883", "neither HOST:PORT nor an IPv6 address"},
        {"user@host", "must not contain a user"},
        {"mqtt://host/topic", "has no path"},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        struct ix_target target;
        struct ix_error err = {0};
        assert_int_equal(ix_target_parse(cases[i].text, &target, NULL, &err), -EINVAL);
        if (strncmp(err.text, "broker: ", 8) != 0 || strstr(err.text, cases[i].expected) == NULL)
            fail_msg("'%s' does not say '%s'", err.text, cases[i].expected);
    }
    char long_name[400];
    struct ix_target target;
    struct ix_error err;
    memset(long_name, 'a', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    assert_int_equal(ix_target_parse(long_name, &target, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.text, "names no host"));
}

static void test_addresses_and_default_ports(void **state)
{
    (void)state;
    struct ix_target target;
    struct ix_error err;
    assert_int_equal(ix_target_parse("127.0.0.1", &target, NULL, &err), 0);
    assert_int_equal(ix_target_resolve(&target, false, &err), 0);
    assert_string_equal(target.address, "127.0.0.1");
    assert_int_equal(target.port, 1883);
    assert_int_equal(ix_target_parse("::1", &target, NULL, &err), 0);
    assert_int_equal(ix_target_resolve(&target, true, &err), 0);
    assert_string_equal(target.address, "::1");
    assert_int_equal(target.port, 8883);
}

static void test_localhost_is_where_somebody_answers(void **state)
{
    (void)state;
    struct ix_target target;
    struct ix_error err;
    char text[64];
    set_up_loop(NULL);
    fake_start(NULL, false, false); /* on 127.0.0.1 only; localhost may mean ::1 as well */
    snprintf(text, sizeof(text), "localhost:%u", fake.port);
    assert_int_equal(ix_target_parse(text, &target, NULL, &err), 0);
    assert_int_equal(ix_target_resolve(&target, false, &err), 0);
    assert_string_equal(target.address, "127.0.0.1");
    assert_string_equal(target.server_name, "localhost");
    uint16_t port = fake.port;
    fake_stop();
    assert_false(ix_broker_probe("127.0.0.1", port, 200));
    assert_false(ix_broker_probe("not an address", port, 200));
    tear_down_loop(NULL);
}

static void test_an_unknown_name_is_explained(void **state)
{
    (void)state;
    struct ix_target target;
    struct ix_error err;
    /* Reserved: never resolves (RFC 6761); without a name server the answer is another one. */
    assert_int_equal(ix_target_parse("no-such-host.invalid:1883", &target, NULL, &err), 0);
    assert_true(ix_target_resolve(&target, false, &err) < 0);
    assert_non_null(strstr(err.text, "no-such-host.invalid"));
    assert_true(strstr(err.text, "no such host") != NULL || strstr(err.text, "cannot be resolved") != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_way_of_writing_an_address),
        cmocka_unit_test(test_what_is_no_address_is_explained),
        cmocka_unit_test(test_addresses_and_default_ports),
        cmocka_unit_test(test_localhost_is_where_somebody_answers),
        cmocka_unit_test(test_an_unknown_name_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
