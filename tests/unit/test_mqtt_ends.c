/* How MQTT links end: politely, inside their own events, again and again; and what they cost. */
#include "mqtt_answers.h"

#include <malloc.h>
#include <netinet/in.h>

static void test_a_polite_end_is_no_reset_even_with_unread_data(void **state)
{
    (void)state;
    static const uint8_t message[] = {0x30, 4, 0, 1, 't', 'x'};
    static const struct {
        enum ix_way way;
        bool reset;
        uint8_t last_packet;
    } cases[] = {{IX_WAY_CLOSE, false, 0xe0 /* DISCONNECT */}, {IX_WAY_ABORT, true, 0x10}};
    fake_start(accept_v3, false, false);
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, fake.port);
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        struct device d = {0};
        start_and_wait(transport, &d, "d");
        fake_send(message, sizeof(message));
        end(&d, cases[i].way);
        wait_for(&fake.ended, (int)i + 1);
        assert_int_equal(fake.was_reset, cases[i].reset);
        assert_int_equal(fake.last_packet, cases[i].last_packet);
        assert_int_equal(d.messages, 0);
    }
    fake_stop();
    ix_protocol_mqtt.release(transport);
}

/* --- Owners that close inside events. */

static const char *close_at;
static enum ix_way close_by;

static void close_inside(struct device *d, const char *event)
{
    if (strcmp(event, close_at) != 0 || d->link == NULL)
        return;
    ix_protocol_mqtt.close(d->link, close_by);
    if (strcmp(event, "closed") != 0)
        d->link = NULL;
}

static void test_a_link_may_be_closed_inside_its_events(void **state)
{
    (void)state;
    static const char *const events[] = {"connected", "subscribed", "message", "acked"};
    start_broker(NULL);
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
    int before = open_descriptors();
    for (size_t i = 0; i < IX_ARRAY_LEN(events) * 2; i++) {
        struct device d = {.hook = close_inside};
        close_at = events[i / 2];
        close_by = i % 2 == 0 ? IX_WAY_CLOSE : IX_WAY_ABORT;
        start_and_wait(transport, &d, "d");
        if (d.link != NULL)
            subscribe(&d, "t", 0);
        if (d.link != NULL && strcmp(close_at, "acked") == 0) {
            assert_int_equal(publish(&d, "t", "x", 1, NULL), 0);
            wait_for(&d.acked, 1);
        } else if (d.link != NULL) {
            /* Two, so that one is still unread when the first closes the link. */
            assert_int_equal(publish(&d, "t", "x", 0, NULL), IX_PUBLISHED);
            assert_int_equal(publish(&d, "t", "x", 0, NULL), IX_PUBLISHED);
            wait_for(&d.messages, 1);
        }
        run_for(10);
        assert_null(d.link);
        assert_int_equal(d.closed, 0);
        assert_true(d.messages <= 1);
        assert_int_equal(open_descriptors(), before);
    }
    ix_protocol_mqtt.release(transport);
}

static struct ix_transport *released_inside;

static void release_inside(struct device *d, const char *event)
{
    close_inside(d, event);
    ix_protocol_mqtt.release(released_inside);
}

static void test_closing_in_closed_and_releasing_there_is_harmless(void **state)
{
    (void)state;
    struct ix_connection_spec spec = plain_spec(4);
    released_inside = open_transport(&spec, 1);
    struct device d = {.hook = release_inside};
    close_at = "closed";
    start(released_inside, &d, "d");
    wait_for(&d.closed, 1);
    run_for(10);
    assert_int_equal(d.closed, 1);
}

static void answer_inside(struct device *d, const char *event)
{
    struct ix_message answer = {.topic = "answers", .payload = "done", .len = 4};
    uint16_t token;
    if (strcmp(event, "message") == 0 && d->messages == 1)
        assert_int_equal(ix_protocol_mqtt.publish(d->link, &answer, &token), 0);
}

static void test_an_answer_from_inside_an_event_is_sent_at_once(void **state)
{
    (void)state;
    start_broker(NULL);
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
    struct device d = {.hook = answer_inside}, asker = {0};
    start_and_wait(transport, &d, "d");
    start_and_wait(transport, &asker, "asker");
    subscribe(&d, "questions", 0);
    subscribe(&asker, "answers", 0);
    assert_int_equal(publish(&asker, "questions", "?", 0, NULL), IX_PUBLISHED);
    wait_for(&asker.messages, 1);
    assert_int_equal(d.acked, 1);
    end(&d, IX_WAY_CLOSE);
    end(&asker, IX_WAY_CLOSE);
    ix_protocol_mqtt.release(transport);
}

/* --- Cost. */

#define MANY 500

static struct device many[MANY];

static void connect_many(struct ix_transport *transport, size_t count)
{
    memset(many, 0, sizeof(many));
    for (size_t i = 0; i < count; i++) {
        char id[16];
        snprintf(id, sizeof(id), "d%zu", i);
        start(transport, &many[i], id);
    }
    for (size_t i = 0; i < count; i++)
        wait_for(&many[i].connected, 1);
}

static void test_a_device_costs_one_descriptor(void **state)
{
    (void)state;
    start_broker(NULL);
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
    int before = open_descriptors();
    connect_many(transport, MANY);
    assert_int_equal(open_descriptors() - before, MANY);
    for (size_t i = 0; i < MANY; i++)
        end(&many[i], IX_WAY_ABORT);
    run_for(20);
    assert_int_equal(open_descriptors(), before);
    ix_protocol_mqtt.release(transport);
}

static void churn(struct ix_transport *transport)
{
    connect_many(transport, 300);
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(publish(&many[i], "t", "payload", (int)(i % 3), NULL), i % 3 == 0);
        if (i % 7 == 0)
            ix_protocol_mqtt.silence(many[i].link);
    }
    run_for(10);
    for (size_t i = 0; i < 300; i++)
        end(&many[i], i % 2 == 0 ? IX_WAY_CLOSE : IX_WAY_ABORT);
    run_for(20);
}

static void test_connecting_again_and_again_leaks_nothing(void **state)
{
    (void)state;
    start_broker(NULL);
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
    churn(transport);
    int descriptors = open_descriptors();
    size_t heap = mallinfo2().uordblks;
    for (int i = 0; i < 4; i++)
        churn(transport);
    assert_int_equal(open_descriptors(), descriptors);
    /* A leak of one object for each client would be 1,200 times its size. */
    assert_true(mallinfo2().uordblks < heap + 16384);
    ix_protocol_mqtt.release(transport);
}

static void test_a_source_address_leaves_the_port_to_the_kernel(void **state)
{
    (void)state;
    fake_start(accept_v3, false, false);
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, fake.port);
    struct device d = {0};
    start_as(transport, &d, &(struct ix_identity){.client_id = "d", .bind_address = "127.0.0.9"});
    wait_for(&d.connected, 1);
    struct sockaddr_in peer, local;
    int len = sizeof(peer), found = 0;
    uv_tcp_getpeername(&fake.peer, (struct sockaddr *)&peer, &len);
    assert_int_equal(ntohl(peer.sin_addr.s_addr), 0x7f000009);
    for (int fd = 3; fd < 64; fd++) {
        socklen_t local_len = sizeof(local), size = sizeof(int);
        int no_port = 0;
        if (getsockname(fd, (struct sockaddr *)&local, &local_len) != 0 || local.sin_family != AF_INET ||
            local.sin_addr.s_addr != peer.sin_addr.s_addr)
            continue;
        assert_int_equal(getsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &no_port, &size), 0);
        assert_int_equal(no_port, 1);
        found++;
    }
    assert_int_equal(found, 1);
    end(&d, IX_WAY_CLOSE);
    fake_stop();
    ix_protocol_mqtt.release(transport);
}

static void test_only_mqtt_is_spoken(void **state)
{
    (void)state;
    struct ix_error err = {0};
    assert_ptr_equal(ix_protocol_find(IX_PROTOCOL_MQTT, &err), &ix_protocol_mqtt);
    assert_null(ix_protocol_find(IX_PROTOCOL_COAP, &err));
    assert_int_equal(err.code, -ENOTSUP);
    assert_non_null(strstr(err.text, "MQTT only, not by CoAP"));
    assert_null(ix_protocol_find(IX_PROTOCOL_HTTP, &err));
    assert_non_null(strstr(err.text, "HTTP"));
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], IX_BROKER_EXEC) == 0)
        return ix_broker_exec_main(argc, argv);
    const struct CMUnitTest tests[] = {
        WITH_LOOP(test_a_polite_end_is_no_reset_even_with_unread_data),
        WITH_LOOP(test_a_link_may_be_closed_inside_its_events),
        WITH_LOOP(test_closing_in_closed_and_releasing_there_is_harmless),
        WITH_LOOP(test_an_answer_from_inside_an_event_is_sent_at_once),
        WITH_LOOP(test_a_device_costs_one_descriptor),
        WITH_LOOP(test_connecting_again_and_again_leaks_nothing),
        WITH_LOOP(test_a_source_address_leaves_the_port_to_the_kernel),
        cmocka_unit_test(test_only_mqtt_is_spoken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
