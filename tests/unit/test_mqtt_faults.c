/* MQTT links when something is wrong: servers that hang up, stay silent or refuse, and full sockets. */
#include "mqtt_answers.h"

#include <netinet/in.h>
#include <sys/resource.h>

/* --- No connection. */

static void test_a_server_that_never_answers_times_out(void **state)
{
    (void)state;
    fake_start(NULL, true, false);
    struct ix_connection_spec spec = plain_spec(4);
    spec.connect_timeout_ns = 50000000;
    struct ix_transport *transport = open_transport(&spec, fake.port);
    struct device d = {0};
    int before = open_descriptors();
    start(transport, &d, "d");
    wait_for(&d.closed, 1);
    assert_int_equal(d.outcome, IX_FAILED);
    assert_string_equal(d.reason, "connection timed out waiting for CONNACK");
    fake_stop();
    assert_int_equal(open_descriptors(), before - 1); /* the listener's */
    ix_protocol_mqtt.release(transport);
}

static void test_an_unreachable_server_times_out(void **state)
{
    (void)state;
    /* A listener whose queue is full drops every further SYN. */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0), fillers[4];
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (size_t i = 0; i < IX_ARRAY_LEN(fillers); i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&address, len);
    }
    struct ix_connection_spec spec = plain_spec(4);
    spec.connect_timeout_ns = 50000000;
    struct ix_transport *transport = open_transport(&spec, ntohs(address.sin_port));
    struct device d = {0};
    start(transport, &d, "d");
    wait_for(&d.closed, 1);
    assert_int_equal(d.outcome, IX_FAILED);
    assert_string_equal(d.reason, "connection timed out");
    for (size_t i = 0; i < IX_ARRAY_LEN(fillers); i++)
        close(fillers[i]);
    close(listener);
    ix_protocol_mqtt.release(transport);
}

static void test_a_server_that_hangs_up_is_a_failure(void **state)
{
    (void)state;
    fake_start(NULL, false, true);
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, fake.port);
    struct device d = {0};
    start(transport, &d, "d");
    wait_for(&d.closed, 1);
    assert_int_equal(d.outcome, IX_FAILED);
    assert_true(strcmp(d.reason, "connection closed by the server") == 0 ||
                strcmp(d.reason, "connection reset") == 0);
    fake_stop();
    ix_protocol_mqtt.release(transport);
}

static void test_every_failure_comes_later_and_once(void **state)
{
    (void)state;
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, 1); /* nobody listens on port 1 */
    struct device refused = {0}, no_source = {0}, closed_at_once = {0};
    start(transport, &refused, "refused");
    /* An address of a documentation network (RFC 5737): bind fails inside connect. */
    start_as(transport, &no_source,
             &(struct ix_identity){.client_id = "no-source", .bind_address = "192.0.2.1"});
    start_as(transport, &closed_at_once,
             &(struct ix_identity){.client_id = "closed-at-once", .bind_address = "192.0.2.1"});
    end(&closed_at_once, IX_WAY_CLOSE);
    wait_for(&refused.closed, 1);
    wait_for(&no_source.closed, 1);
    run_for(20);
    assert_string_equal(refused.reason, "connection refused");
    assert_string_equal(no_source.reason, "no such source address");
    assert_int_equal(refused.closed + no_source.closed, 2);
    assert_int_equal(closed_at_once.closed, 0);
    ix_protocol_mqtt.release(transport);
}

static void test_exhausted_descriptors_are_a_failure(void **state)
{
    (void)state;
    struct rlimit before, none = {0, 0};
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, 1);
    struct device d = {0};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    start(transport, &d, "d");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    wait_for(&d.closed, 1);
    assert_int_equal(d.outcome, IX_STARVED); /* not the server's fault */
    assert_string_equal(d.reason, "too many open files");
    ix_protocol_mqtt.release(transport);
}

static void test_an_impossible_identity_is_an_error(void **state)
{
    (void)state;
    static const struct {
        struct ix_identity identity;
        const char *expected;
    } cases[] = {
        {{.client_id = ""}, "client id is empty"},
        {{.client_id = "d", .password = "p"}, "no password without a user name"},
        {{.client_id = "d", .bind_address = "localhost"}, "is not numeric"},
        {{.client_id = "bad \xff"}, "not valid UTF-8"},
        {{.client_id = "d", .username = "bad \xff"}, "cannot be sent by MQTT"},
        {{.client_id = "d", .will_topic = "a/#"}, "cannot be sent by MQTT"},
        {{.client_id = "d", .will_topic = "w", .will_len = 70000}, "longer than MQTT's limit"},
    };
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, 1);
    struct ix_error err;
    struct ix_link *link = NULL;
    struct device d = {0};
    int before = open_descriptors();
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        assert_true(ix_protocol_mqtt.connect(transport, &cases[i].identity, &d, &link, &err) < 0);
        if (strstr(err.text, cases[i].expected) == NULL)
            fail_msg("'%s' does not say '%s'", err.text, cases[i].expected);
    }
    run_for(10);
    assert_int_equal(d.closed, 0); /* no event follows an error */
    assert_int_equal(open_descriptors(), before);
    struct ix_target by_name = {.address = "localhost", .server_name = "localhost", .port = 1883};
    struct ix_transport *other = NULL;
    assert_int_equal(ix_protocol_mqtt.open(&loop, &spec, &by_name, &device_events, &other, &err), -EINVAL);
    assert_non_null(strstr(err.text, "not a numeric address"));
    ix_protocol_mqtt.release(transport);
}

/* --- Refusals and reasons. */

static uint8_t refusal[8];
static size_t refusal_len;

static size_t refuse(const uint8_t *packet, size_t len, uint8_t *out)
{
    (void)len;
    return packet[0] == 0x10 ? put(out, refusal, refusal_len) : 0;
}

static void test_refusals_name_their_reason(void **state)
{
    (void)state;
    static const struct {
        int version;
        uint8_t code;
        const char *reason;
    } cases[] = {
        {4, 1, "unsupported protocol version"},
        {4, 2, "identifier rejected"},
        {4, 3, "server unavailable"},
        {4, 4, "bad user name or password"},
        {4, 5, "not authorised"},
        {5, 0x85, "identifier rejected"},
        {5, 0x86, "bad user name or password"},
        {5, 0x87, "not authorised"},
        {5, 0x88, "server unavailable"},
        {5, 0x89, "server busy"},
        {5, 0x9f, "connection rate exceeded"},
    };
    fake_start(refuse, false, false);
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        const uint8_t v3[] = {0x20, 2, 0, cases[i].code}, v5[] = {0x20, 3, 0, cases[i].code, 0};
        refusal_len = cases[i].version == 5 ? put(refusal, v5, sizeof(v5)) : put(refusal, v3, sizeof(v3));
        struct ix_connection_spec spec = plain_spec(cases[i].version);
        struct ix_transport *transport = open_transport(&spec, fake.port);
        struct device d = {0};
        start(transport, &d, "d");
        wait_for(&d.closed, 1);
        assert_int_equal(d.outcome, IX_REFUSED);
        assert_string_equal(d.reason, cases[i].reason);
        ix_protocol_mqtt.release(transport);
        wait_for(&fake.ended, (int)i + 1);
    }
    fake_stop();
}

static void test_the_servers_disconnect_names_its_reason(void **state)
{
    (void)state;
    static const struct {
        uint8_t code;
        const char *reason;
    } cases[] = {{0x8e, "session taken over"},
                 {0x8b, "server shutting down"},
                 {0x98, "administrative action"},
                 {0x8d, "keep-alive timed out"}};
    fake_start(refuse, false, false); /* CONNACK and DISCONNECT at once */
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        const uint8_t both[] = {0x20, 3, 0, 0, 0, 0xe0, 1, cases[i].code};
        refusal_len = put(refusal, both, sizeof(both));
        struct ix_connection_spec spec = plain_spec(5);
        struct ix_transport *transport = open_transport(&spec, fake.port);
        struct device d = {0};
        start(transport, &d, "d");
        wait_for(&d.closed, 1);
        assert_int_equal(d.connected, 1);
        assert_int_equal(d.outcome, IX_LOST);
        assert_string_equal(d.reason, cases[i].reason);
        ix_protocol_mqtt.release(transport);
        wait_for(&fake.ended, (int)i + 1);
    }
    fake_stop();
}

static int pings;

/* Wants a packet each second (Server Keep Alive), and answers the first ping only. */
static size_t tire_of_pings(const uint8_t *packet, size_t len, uint8_t *out)
{
    static const uint8_t connack[] = {0x20, 6, 0, 0, 3, 0x13, 0, 1}, pong[] = {0xd0, 0};
    (void)len;
    if (packet[0] == 0x10)
        return put(out, connack, sizeof(connack));
    if (packet[0] == 0xc0 && ++pings == 1)
        return put(out, pong, sizeof(pong));
    return 0;
}

static void test_a_dead_server_is_noticed_by_its_missing_pong(void **state)
{
    (void)state;
    fake_start(tire_of_pings, false, false);
    pings = 0;
    struct ix_connection_spec spec = plain_spec(5);
    struct ix_transport *transport = open_transport(&spec, fake.port);
    struct device d = {0};
    start_and_wait(transport, &d, "d");
    wait_for(&d.closed, 1);
    assert_int_equal(pings, 2);
    assert_int_equal(d.outcome, IX_LOST);
    assert_string_equal(d.reason, "keep-alive timed out");
    fake_stop();
    ix_protocol_mqtt.release(transport);
}

/* --- A socket that takes no more. */

static void test_messages_that_the_kernel_does_not_take_are_pending(void **state)
{
    (void)state;
    static char payload[60000];
    fake_start(accept_v3, false, false);
    struct ix_connection_spec spec = plain_spec(4);
    spec.max_inflight = 5;
    struct ix_transport *transport = open_transport(&spec, fake.port);
    struct device d = {0};
    start_and_wait(transport, &d, "d");
    uv_read_stop((uv_stream_t *)&fake.peer);
    struct ix_message message = {.topic = "t", .payload = payload, .len = sizeof(payload)};
    uint16_t first = 0, token;
    int sent = 0, pending = 0, rc, fd;
    d.inside_call = 1;
    while ((rc = ix_protocol_mqtt.publish(d.link, &message, pending == 0 ? &first : &token)) >= 0 &&
           sent < 1000) {
        sent++;
        pending += rc == 0;
        if (rc == 0 && pending == 2) {
            /* There is room again, but the loop has not noticed: to write now would report the first two. */
            uv_fileno((uv_handle_t *)&fake.peer, &fd);
            ssize_t len = read(fd, fake.input, sizeof(fake.input) - sizeof(fake.buffer));
            assert_true(len > 0);
            fake.have = (size_t)len;
        }
    }
    d.inside_call = 0;
    assert_int_equal(rc, -EAGAIN);
    assert_int_equal(pending, 5); /* the spec's max_inflight */
    assert_int_equal(d.acked, 0);
    fake.packets = 0;
    uv_read_start((uv_stream_t *)&fake.peer, fake_alloc, fake_read);
    wait_for(&d.acked, 5);
    assert_int_equal(d.last_token, (uint16_t)(first + 4)); /* in order */
    wait_for(&fake.packets, sent);
    assert_int_equal(publish(&d, "t", "more", 0, NULL), IX_PUBLISHED);
    wait_for(&fake.packets, sent + 1);
    end(&d, IX_WAY_CLOSE);
    fake_stop();
    ix_protocol_mqtt.release(transport);
}

/* Small messages go the short way until the socket is full, which is in the middle of a packet. The server
 * ends the test if a packet is not what it should be. */
static void test_a_packet_that_the_kernel_takes_in_part_is_completed(void **state)
{
    (void)state;
    static char payload[1500];
    fake_start(accept_v3, false, false);
    struct ix_connection_spec spec = plain_spec(4);
    spec.max_inflight = 3;
    struct ix_transport *transport = open_transport(&spec, fake.port);
    struct device d = {0};
    start_and_wait(transport, &d, "d");
    for (int round = 0, sent = 0; round < 5; round++) {
        struct ix_message message = {.topic = "t", .payload = payload, .len = sizeof(payload) - 7 * round};
        uint16_t token;
        int pending = 0, rc;
        fake.packets = d.acked = 0;
        uv_read_stop((uv_stream_t *)&fake.peer);
        d.inside_call = 1;
        for (sent = 0; (rc = ix_protocol_mqtt.publish(d.link, &message, &token)) >= 0; sent++)
            pending += rc == 0;
        d.inside_call = 0;
        assert_int_equal(rc, -EAGAIN);
        assert_int_equal(pending, 3);
        assert_int_equal(publish(&d, "t", "qos 1", 1, &token), -EAGAIN);
        uv_read_start((uv_stream_t *)&fake.peer, fake_alloc, fake_read);
        wait_for(&d.acked, 3);
        wait_for(&fake.packets, sent);
        run_for(10);
        assert_int_equal(d.acked, 3);
        assert_int_equal(fake.packets, sent);
    }
    end(&d, IX_WAY_CLOSE);
    fake_stop();
    ix_protocol_mqtt.release(transport);
}

/* Closing is possible at that moment, too. */
static void test_a_link_ends_with_a_packet_sent_in_part(void **state)
{
    (void)state;
    static char payload[1500];
    fake_start(accept_v3, false, false);
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, fake.port);
    struct device d = {0};
    start_and_wait(transport, &d, "d");
    uv_read_stop((uv_stream_t *)&fake.peer);
    struct ix_message message = {.topic = "t", .payload = payload, .len = sizeof(payload)};
    uint16_t token;
    int rc;
    while ((rc = ix_protocol_mqtt.publish(d.link, &message, &token)) == IX_PUBLISHED)
        ;
    assert_int_equal(rc, 0);
    end(&d, IX_WAY_CLOSE);
    assert_int_equal(d.acked, 0);
    fake_stop();
    ix_protocol_mqtt.release(transport);
}

/* What the short way must not send, because MQTT forbids it. */
static void test_a_topic_for_publishing_has_no_wildcards(void **state)
{
    (void)state;
    fake_start(accept_v3, false, false);
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, fake.port);
    struct device d = {0};
    start_and_wait(transport, &d, "d");
    static const char *const bad[] = {"", "a/+/b", "a/#", "a\x01", "a\xff"};
    for (size_t i = 0; i < IX_ARRAY_LEN(bad); i++)
        assert_int_equal(publish(&d, bad[i], "x", 0, NULL), -EINVAL);
    assert_int_equal(publish(&d, "gr\xc3\xbc\xc3\x9f", "x", 0, NULL), IX_PUBLISHED);
    end(&d, IX_WAY_CLOSE);
    fake_stop();
    ix_protocol_mqtt.release(transport);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], IX_BROKER_EXEC) == 0)
        return ix_broker_exec_main(argc, argv);
    const struct CMUnitTest tests[] = {
        WITH_LOOP(test_a_server_that_never_answers_times_out),
        WITH_LOOP(test_an_unreachable_server_times_out),
        WITH_LOOP(test_a_server_that_hangs_up_is_a_failure),
        WITH_LOOP(test_every_failure_comes_later_and_once),
        WITH_LOOP(test_exhausted_descriptors_are_a_failure),
        WITH_LOOP(test_an_impossible_identity_is_an_error),
        WITH_LOOP(test_refusals_name_their_reason),
        WITH_LOOP(test_the_servers_disconnect_names_its_reason),
        WITH_LOOP(test_a_dead_server_is_noticed_by_its_missing_pong),
        WITH_LOOP(test_messages_that_the_kernel_does_not_take_are_pending),
        WITH_LOOP(test_a_packet_that_the_kernel_takes_in_part_is_completed),
        WITH_LOOP(test_a_link_ends_with_a_packet_sent_in_part),
        WITH_LOOP(test_a_topic_for_publishing_has_no_wildcards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
