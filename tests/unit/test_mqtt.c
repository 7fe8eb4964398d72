/* MQTT links against a real mosquitto: what a device sees of connecting, publishing, subscribing and ending.
 */
#include "mqtt_fixture.h"

#include <openssl/evp.h>

static const int versions[] = {4, 5};

static void test_connects_and_publishes_with_every_qos(void **state)
{
    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(versions); i++) {
        struct ix_connection_spec spec = plain_spec(versions[i]);
        struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
        struct device sensor = {0}, observer = {0};
        uint16_t one, two;
        start_and_wait(transport, &observer, "observer");
        subscribe(&observer, "sensors/#", 2);
        assert_int_equal(observer.accepted_subscriptions, 1);
        start_and_wait(transport, &sensor, "sensor");
        assert_false(sensor.session_present);

        assert_int_equal(publish(&sensor, "sensors/a", "zero", 0, NULL), IX_PUBLISHED);
        wait_for(&observer.messages, 1);
        assert_string_equal(observer.topic, "sensors/a");
        assert_string_equal(observer.payload, "zero");
        assert_int_equal(sensor.acked, 0);

        assert_int_equal(publish(&sensor, "sensors/b", "one", 1, &one), 0);
        wait_for(&sensor.acked, 1);
        assert_int_equal(sensor.last_token, one);
        assert_int_equal(publish(&sensor, "sensors/c", "two", 2, &two), 0);
        wait_for(&sensor.acked, 2);
        assert_int_equal(sensor.last_token, two);
        assert_int_not_equal(one, two);
        wait_for(&observer.messages, 3);
        assert_string_equal(observer.payload, "two");
        assert_int_equal(sensor.rejected, 0);

        end(&sensor, IX_WAY_CLOSE);
        end(&observer, IX_WAY_CLOSE);
        ix_protocol_mqtt.release(transport);
        run_for(10);
        assert_int_equal(sensor.closed, 0);
    }
}

static void test_an_empty_message_is_delivered(void **state)
{
    (void)state;
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
    struct device d = {0};
    start_and_wait(transport, &d, "d");
    subscribe(&d, "t", 0);
    struct ix_message message = {.topic = "t"};
    uint16_t token;
    assert_int_equal(ix_protocol_mqtt.publish(d.link, &message, &token), IX_PUBLISHED);
    wait_for(&d.messages, 1);
    assert_string_equal(d.payload, "");
    end(&d, IX_WAY_CLOSE);
    ix_protocol_mqtt.release(transport);
}

static void test_publishing_without_a_connection_is_refused(void **state)
{
    (void)state;
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
    struct device d = {0}, observer = {0};
    start_and_wait(transport, &observer, "observer");
    subscribe(&observer, "#", 0);
    start(transport, &d, "d");
    assert_int_equal(publish(&d, "t", "early", 1, NULL), -ENOTCONN);
    assert_int_equal(ix_protocol_mqtt.subscribe(d.link, "t", 0), -ENOTCONN);
    wait_for(&d.connected, 1);
    assert_int_equal(publish(&d, "t", "now", 1, NULL), 0);
    wait_for(&observer.messages, 1);
    assert_string_equal(observer.payload, "now"); /* the early one was not kept back */
    end(&d, IX_WAY_CLOSE);
    end(&observer, IX_WAY_CLOSE);
    ix_protocol_mqtt.release(transport);
}

static void test_bad_arguments_do_not_end_the_connection(void **state)
{
    (void)state;
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
    struct device d = {0};
    start_and_wait(transport, &d, "d");
    assert_int_equal(publish(&d, "a/+/b", "x", 0, NULL), -EINVAL);
    assert_int_equal(publish(&d, "", "x", 1, NULL), -EINVAL);
    assert_int_equal(publish(&d, "bad \xff utf-8", "x", 1, NULL), -EINVAL);
    assert_int_equal(ix_protocol_mqtt.subscribe(d.link, "a/#/b", 0), -EINVAL);
    assert_int_equal(publish(&d, "t", "x", 1, NULL), 0);
    wait_for(&d.acked, 1);
    assert_int_equal(d.closed, 0);
    end(&d, IX_WAY_CLOSE);
    ix_protocol_mqtt.release(transport);
}

static void test_retained_messages_and_sessions_stay(void **state)
{
    (void)state;
    struct ix_connection_spec spec = plain_spec(5);
    spec.clean_session = false;
    spec.session_expiry_s = 600;
    struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
    struct device d = {0}, writer = {0};
    uint16_t token;
    start_and_wait(transport, &writer, "writer");
    struct ix_message message = {.topic = "status/d", .payload = "on", .len = 2, .qos = 1, .retain = true};
    assert_int_equal(ix_protocol_mqtt.publish(writer.link, &message, &token), 0);
    wait_for(&writer.acked, 1);

    start_and_wait(transport, &d, "keeps-its-session");
    subscribe(&d, "status/d", 1);
    wait_for(&d.messages, 1);
    assert_true(d.retained);
    end(&d, IX_WAY_CLOSE);
    run_for(20);
    assert_int_equal(publish(&writer, "status/d", "while away", 1, NULL), 0);
    wait_for(&writer.acked, 2);
    start_and_wait(transport, &d, "keeps-its-session");
    wait_for(&d.connected, 2);
    assert_true(d.session_present); /* by the session expiry in CONNECT */
    wait_for(&d.messages, 2);
    assert_string_equal(d.payload, "while away");
    end(&d, IX_WAY_CLOSE);
    end(&writer, IX_WAY_CLOSE);
    ix_protocol_mqtt.release(transport);
}

/* A device with a will goes in each of the ways while somebody watches. */
static void go_away(enum ix_way way, int wills_expected)
{
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
    struct device d = {0}, observer = {0};
    start_and_wait(transport, &observer, "observer");
    subscribe(&observer, "#", 0);
    start_as(transport, &d,
             &(struct ix_identity){
                 .client_id = "d", .will_topic = "wills/d", .will_payload = "gone", .will_len = 4});
    wait_for(&d.connected, 1);
    end(&d, way);
    if (wills_expected > 0)
        wait_for(&observer.messages, wills_expected);
    /* Whatever the broker sends because of the end comes before this. */
    struct device marker = {0};
    start_and_wait(transport, &marker, "marker");
    assert_int_equal(publish(&marker, "marker", "x", 0, NULL), IX_PUBLISHED);
    wait_for(&observer.messages, wills_expected + 1);
    run_for(30);
    assert_int_equal(observer.messages, wills_expected + 1);
    assert_int_equal(d.closed, 0);
    end(&marker, IX_WAY_CLOSE);
    end(&observer, IX_WAY_CLOSE);
    ix_protocol_mqtt.release(transport);
}

static void test_close_is_polite_and_no_will_fires(void **state)
{
    (void)state;
    go_away(IX_WAY_CLOSE, 0);
}

static void test_abort_fires_the_will(void **state)
{
    (void)state;
    go_away(IX_WAY_ABORT, 1);
}

static void test_silence_keeps_the_connection_and_says_nothing(void **state)
{
    (void)state;
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
    struct device d = {0}, observer = {0};
    start_and_wait(transport, &observer, "observer");
    subscribe(&observer, "#", 0);
    start_as(transport, &d,
             &(struct ix_identity){
                 .client_id = "d", .will_topic = "wills/d", .will_payload = "gone", .will_len = 4});
    wait_for(&d.connected, 1);
    subscribe(&d, "to/d", 1);
    ix_protocol_mqtt.silence(d.link);
    assert_int_equal(publish(&d, "t", "x", 0, NULL), -ENOTCONN);
    assert_int_equal(publish(&observer, "to/d", "are you there?", 1, NULL), 0);
    wait_for(&observer.messages, 1);
    run_for(100);
    assert_int_equal(d.messages, 0);
    assert_int_equal(observer.messages, 1); /* no will: the broker takes it for connected */
    end(&d, IX_WAY_ABORT);
    wait_for(&observer.messages, 2);
    assert_string_equal(observer.topic, "wills/d");
    assert_int_equal(d.closed, 0);
    end(&observer, IX_WAY_CLOSE);
    ix_protocol_mqtt.release(transport);
}

static void test_a_killed_broker_is_a_lost_connection(void **state)
{
    (void)state;
    struct ix_connection_spec spec = plain_spec(4);
    struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
    struct device devices[20] = {0};
    for (size_t i = 0; i < IX_ARRAY_LEN(devices); i++) {
        char id[16];
        snprintf(id, sizeof(id), "d%zu", i);
        start_and_wait(transport, &devices[i], id);
    }
    assert_int_equal(kill(ix_broker_pid(broker), SIGKILL), 0);
    for (size_t i = 0; i < IX_ARRAY_LEN(devices); i++) {
        wait_for(&devices[i].closed, 1);
        assert_int_equal(devices[i].outcome, IX_LOST);
        assert_true(strcmp(devices[i].reason, "connection closed by the server") == 0 ||
                    strcmp(devices[i].reason, "connection reset") == 0);
    }
    wait_for(&broker_ended, 1);
    assert_non_null(strstr(broker_problem, "killed by signal 9"));
    struct device late = {0};
    start(transport, &late, "late");
    wait_for(&late.closed, 1);
    assert_int_equal(late.outcome, IX_FAILED);
    assert_string_equal(late.reason, "connection refused");
    ix_protocol_mqtt.release(transport);
    run_for(10);
    for (size_t i = 0; i < IX_ARRAY_LEN(devices); i++)
        assert_int_equal(devices[i].closed, 1);
}

/* --- Brokers that refuse. */

static char folder[] = "/tmp/iotix-test-mqtt.XXXXXX";

/* A line of mosquitto's password file: PBKDF2-HMAC-SHA512 with one iteration. */
static void write_password(const char *path, const char *user, const char *password)
{
    static const unsigned char salt[] = "a salt of 12";
    unsigned char hash[64], hash64[96], salt64[32];
    char line[256];
    assert_int_equal(PKCS5_PBKDF2_HMAC(password, -1, salt, 12, 1, EVP_sha512(), sizeof(hash), hash), 1);
    EVP_EncodeBlock(salt64, salt, 12);
    EVP_EncodeBlock(hash64, hash, sizeof(hash));
    snprintf(line, sizeof(line), "%s:$7$1$%s$%s\n", user, salt64, hash64);
    write_file(path, line);
}

static void test_a_wrong_password_is_refused(void **state)
{
    (void)state;
    char options[512], path[256];
    snprintf(path, sizeof(path), "%s/passwords", folder);
    write_password(path, "user", "right");
    snprintf(options, sizeof(options), "allow_anonymous false\npassword_file %s\n", path);
    start_broker(options);
    for (size_t i = 0; i < IX_ARRAY_LEN(versions); i++) {
        struct ix_connection_spec spec = plain_spec(versions[i]);
        struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
        struct device right = {0}, wrong = {0}, none = {0};
        start_as(transport, &right,
                 &(struct ix_identity){.client_id = "c", .username = "user", .password = "right"});
        start_as(transport, &wrong,
                 &(struct ix_identity){.client_id = "d", .username = "user", .password = "wrong"});
        start(transport, &none, "e");
        wait_for(&right.connected, 1);
        wait_for(&wrong.closed, 1);
        wait_for(&none.closed, 1);
        assert_int_equal(wrong.outcome, IX_REFUSED);
        assert_string_equal(wrong.reason, "not authorised");
        assert_int_equal(none.outcome, IX_REFUSED);
        assert_int_equal(wrong.connected, 0);
        end(&right, IX_WAY_CLOSE);
        ix_protocol_mqtt.release(transport);
    }
}

static void test_a_denied_publish_and_subscription_are_told(void **state)
{
    (void)state;
    char options[512], path[256];
    snprintf(path, sizeof(path), "%s/acl", folder);
    write_file(path, "topic readwrite allowed/#\n");
    /* Without a limit of queued messages, mosquitto 2.0.11 ends the connection after a denied publish. */
    snprintf(options, sizeof(options), "acl_file %s\nmax_queued_messages 1000\n", path);
    start_broker(options);
    struct ix_connection_spec spec = plain_spec(5);
    struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
    struct device d = {0};
    start_and_wait(transport, &d, "d");
    for (int qos = 1; qos <= 2; qos++) {
        uint16_t token;
        assert_int_equal(publish(&d, "forbidden/x", "x", qos, &token), 0);
        wait_for(&d.rejected, qos);
        assert_int_equal(d.last_token, token);
        /* Reason code 0x10, nobody subscribed, is a success. */
        assert_int_equal(publish(&d, "allowed/x", "x", qos, &token), 0);
        wait_for(&d.acked, qos);
        assert_int_equal(d.last_token, token);
    }
    subscribe(&d, "allowed/#", 1);
    assert_int_equal(d.accepted_subscriptions, 1);
    assert_int_equal(d.closed, 0);
    end(&d, IX_WAY_CLOSE);
    ix_protocol_mqtt.release(transport);
}

static void test_a_small_receive_maximum_is_kept(void **state)
{
    (void)state;
    start_broker("max_inflight_messages 3\n");
    struct ix_connection_spec spec = plain_spec(5);
    struct ix_transport *transport = open_transport(&spec, ix_broker_port(broker));
    struct device d = {0};
    start_and_wait(transport, &d, "d");
    for (int i = 0; i < 3; i++)
        assert_int_equal(publish(&d, "t", "x", 1, NULL), 0);
    /* A fourth would wait in the library and be called sent. */
    assert_int_equal(publish(&d, "t", "x", 1, NULL), -EAGAIN);
    assert_int_equal(publish(&d, "t", "x", 0, NULL), IX_PUBLISHED);
    wait_for(&d.acked, 3);
    assert_int_equal(publish(&d, "t", "x", 1, NULL), 0);
    wait_for(&d.acked, 4);
    end(&d, IX_WAY_CLOSE);
    ix_protocol_mqtt.release(transport);
}

static int set_up_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"passwords", "acl"};
    char path[256];
    (void)state;
    for (size_t i = 0; i < IX_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], IX_BROKER_EXEC) == 0)
        return ix_broker_exec_main(argc, argv);
#define WITH_BROKER(test) cmocka_unit_test_setup_teardown(test, set_up_broker, tear_down_loop)
#define WITH_LOOP(test)   cmocka_unit_test_setup_teardown(test, set_up_loop, tear_down_loop)
    const struct CMUnitTest tests[] = {
        WITH_BROKER(test_connects_and_publishes_with_every_qos),
        WITH_BROKER(test_an_empty_message_is_delivered),
        WITH_BROKER(test_publishing_without_a_connection_is_refused),
        WITH_BROKER(test_bad_arguments_do_not_end_the_connection),
        WITH_BROKER(test_retained_messages_and_sessions_stay),
        WITH_BROKER(test_close_is_polite_and_no_will_fires),
        WITH_BROKER(test_abort_fires_the_will),
        WITH_BROKER(test_silence_keeps_the_connection_and_says_nothing),
        WITH_BROKER(test_a_killed_broker_is_a_lost_connection),
        WITH_LOOP(test_a_wrong_password_is_refused),
        WITH_LOOP(test_a_denied_publish_and_subscription_are_told),
        WITH_LOOP(test_a_small_receive_maximum_is_kept),
    };
    return cmocka_run_group_tests(tests, set_up_folder, remove_folder);
}
