/* A loop, devices that write down what happens to them, mosquitto on a free port, and a server that answers
 * as a test says. Every wait ends after 10 s. */
#ifndef IX_TESTS_MQTT_FIXTURE_H
#define IX_TESTS_MQTT_FIXTURE_H

#include "check.h"
#include "protocol/broker.h"
#include "protocol/protocol.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <mqtt_protocol.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TEST_UNUSED     __attribute__((unused))
#define WAIT_LIMIT_MS   10000
#define CONNECT_TIMEOUT 5000000000ull

static struct ix_loop loop;
static struct ix_broker *broker;

struct device {
    struct ix_link *link;
    int connected, closed, subscribed, accepted_subscriptions, messages, acked, rejected;
    bool session_present;
    enum ix_outcome outcome;
    char reason[200];
    uint16_t last_token;
    char topic[128];
    char payload[256];
    bool retained;
    /* Called inside the event, after it was written down. */
    void (*hook)(struct device *d, const char *event);
    int inside_call; /* the test is inside a call on this link: no event may come */
};

/* --- The loop. */

struct wait {
    bool (*done)(void *context);
    void *context;
    int left_ms;
    bool reached;
};

static void on_wait_tick(uv_timer_t *timer)
{
    struct wait *wait = timer->data;
    wait->reached = wait->done(wait->context);
    wait->left_ms -= 2;
    if (wait->reached || wait->left_ms <= 0)
        ix_loop_stop(&loop);
}

TEST_UNUSED static bool run_until(bool (*done)(void *context), void *context)
{
    struct wait wait = {.done = done, .context = context, .left_ms = WAIT_LIMIT_MS};
    uv_timer_t timer;
    uv_timer_init(&loop.uv, &timer);
    timer.data = &wait;
    uv_timer_start(&timer, on_wait_tick, 0, 2);
    ix_loop_run(&loop);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&loop.uv, UV_RUN_NOWAIT);
    return wait.reached;
}

static bool passed(void *context)
{
    return --*(int *)context < 0;
}

/* Lets the loop turn for about `ms`. */
TEST_UNUSED static void run_for(int ms)
{
    int ticks = ms / 2;
    run_until(passed, &ticks);
}

static bool reached(void *context)
{
    int **pair = context;
    return *pair[0] >= *pair[1];
}

/* Waits until *counter is at least `value`. */
TEST_UNUSED static void wait_for(int *counter, int value)
{
    int *pair[2] = {counter, &value};
    if (!run_until(reached, (void *)pair))
        fail_msg("after %d ms the counter is %d, not %d", WAIT_LIMIT_MS, *counter, value);
}

TEST_UNUSED static int open_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* --- Devices. */

static void happened(struct device *d, const char *event)
{
    assert_int_equal(d->inside_call, 0);
    if (d->hook != NULL)
        d->hook(d, event);
}

static void on_connected(void *owner, bool session_present)
{
    struct device *d = owner;
    d->connected++;
    d->session_present = session_present;
    happened(d, "connected");
}

static void on_closed(void *owner, enum ix_outcome outcome, const char *reason)
{
    struct device *d = owner;
    d->closed++;
    d->outcome = outcome;
    snprintf(d->reason, sizeof(d->reason), "%s", reason);
    happened(d, "closed");
    d->link = NULL;
}

static void on_acked(void *owner, uint16_t token, bool accepted)
{
    struct device *d = owner;
    d->last_token = token;
    if (accepted)
        d->acked++;
    else
        d->rejected++;
    happened(d, "acked");
}

static void on_subscribed(void *owner, bool accepted)
{
    struct device *d = owner;
    d->subscribed++;
    d->accepted_subscriptions += accepted;
    happened(d, "subscribed");
}

static void on_message(void *owner, const struct ix_message *message)
{
    struct device *d = owner;
    d->messages++;
    d->retained = message->retain;
    snprintf(d->topic, sizeof(d->topic), "%s", message->topic);
    snprintf(d->payload, sizeof(d->payload), "%.*s", (int)message->len, (const char *)message->payload);
    happened(d, "message");
}

static const struct ix_link_events device_events = {
    .connected = on_connected,
    .closed = on_closed,
    .acked = on_acked,
    .subscribed = on_subscribed,
    .message = on_message,
};

TEST_UNUSED static struct ix_connection_spec plain_spec(int version)
{
    return (struct ix_connection_spec){.mqtt_version = version,
                                       .keep_alive_s = 60,
                                       .clean_session = true,
                                       .connect_timeout_ns = CONNECT_TIMEOUT};
}

TEST_UNUSED static struct ix_transport *open_transport(const struct ix_connection_spec *spec, uint16_t port)
{
    struct ix_target target = {.address = "127.0.0.1", .server_name = "localhost", .port = port};
    struct ix_transport *transport = NULL;
    struct ix_error err;
    if (ix_protocol_mqtt.open(&loop, spec, &target, &device_events, &transport, &err) != 0)
        fail_msg("%s", err.text);
    return transport;
}

TEST_UNUSED static void start_as(struct ix_transport *transport, struct device *d,
                                 const struct ix_identity *identity)
{
    struct ix_error err;
    d->inside_call++;
    if (ix_protocol_mqtt.connect(transport, identity, d, &d->link, &err) != 0)
        fail_msg("%s", err.text);
    d->inside_call--;
    assert_non_null(d->link);
}

TEST_UNUSED static void start(struct ix_transport *transport, struct device *d, const char *client_id)
{
    start_as(transport, d, &(struct ix_identity){.client_id = client_id});
}

TEST_UNUSED static void start_and_wait(struct ix_transport *transport, struct device *d,
                                       const char *client_id)
{
    start(transport, d, client_id);
    wait_for(&d->connected, 1);
}

TEST_UNUSED static int publish(struct device *d, const char *topic, const char *payload, int qos,
                               uint16_t *token)
{
    struct ix_message message = {.topic = topic, .payload = payload, .len = strlen(payload), .qos = qos};
    uint16_t ignored;
    if (d->link == NULL)
        fail_msg("the link is gone: %s", d->reason);
    d->inside_call++;
    int rc = ix_protocol_mqtt.publish(d->link, &message, token != NULL ? token : &ignored);
    d->inside_call--;
    return rc;
}

TEST_UNUSED static void subscribe(struct device *d, const char *filter, int qos)
{
    int before = d->subscribed;
    assert_non_null(d->link);
    d->inside_call++;
    assert_int_equal(ix_protocol_mqtt.subscribe(d->link, filter, qos), 0);
    d->inside_call--;
    wait_for(&d->subscribed, before + 1);
}

TEST_UNUSED static void end(struct device *d, enum ix_way way)
{
    if (d->link == NULL)
        return;
    d->inside_call++;
    ix_protocol_mqtt.close(d->link, way);
    d->inside_call--;
    d->link = NULL;
}

/* --- mosquitto. */

static int broker_ready, broker_ended;
static char broker_problem[2048];

static void on_broker_ready(void *context, const struct ix_error *failure)
{
    (void)context;
    if (failure != NULL)
        snprintf(broker_problem, sizeof(broker_problem), "%s", failure->text);
    broker_ready++;
}

static void on_broker_ended(void *context, const struct ix_error *reason)
{
    (void)context;
    snprintf(broker_problem, sizeof(broker_problem), "%s", reason->text);
    broker_ended++;
}

TEST_UNUSED static void start_broker(const char *options)
{
    struct ix_broker_config config = {.options = options, .ready = on_broker_ready, .ended = on_broker_ended};
    struct ix_error err;
    broker_ready = broker_ended = 0;
    broker_problem[0] = '\0';
    if (ix_broker_start(&loop, &config, &broker, &err) != 0)
        fail_msg("%s", err.text);
    wait_for(&broker_ready, 1);
    if (broker_problem[0] != '\0')
        fail_msg("%s", broker_problem);
}

TEST_UNUSED static void stop_broker(void)
{
    ix_broker_stop(broker);
    broker = NULL;
}

/* A file in the folder of the test's other files; `path` has room for 256 bytes. */
TEST_UNUSED static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* --- A server that answers as a test says. */

/* Answers one packet: writes bytes to `out` and returns how many. */
typedef size_t fake_answer(const uint8_t *packet, size_t len, uint8_t *out);

struct fake {
    uv_tcp_t listener;
    uv_tcp_t peer; /* the last one that came */
    uint16_t port;
    int accepted, packets, ended;
    uint8_t last_packet; /* its first byte */
    bool was_reset;      /* the last connection ended by a reset */
    bool quiet;          /* accepts and never reads */
    bool hangs_up;
    fake_answer *answer; /* NULL: reads, and says nothing */
    char buffer[65536];
    uint8_t input[262144];
    size_t have;
};

/* Not on the stack: a test that fails leaves its handles to the loop. */
static struct fake fake;

static void fake_send(const uint8_t *bytes, size_t len)
{
    uv_buf_t out = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)len);
    if (len > 0)
        assert_int_equal(uv_try_write((uv_stream_t *)&fake.peer, &out, 1), (int)len);
}

static void fake_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(fake.buffer, sizeof(fake.buffer));
}

/* libuv reports the end of the data before a reset that came with it. */
static int pending_error(const uv_handle_t *handle)
{
    int fd = -1, error = 0;
    socklen_t len = sizeof(error);
    uv_fileno(handle, &fd);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return error;
}

static void fake_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    if (len < 0) {
        fake.ended++;
        fake.was_reset = len == UV_ECONNRESET || pending_error((uv_handle_t *)stream) == ECONNRESET;
        uv_close((uv_handle_t *)stream, NULL);
        return;
    }
    if (fake.answer == NULL)
        return;
    assert_true(fake.have + (size_t)len <= sizeof(fake.input));
    memcpy(fake.input + fake.have, buf->base, (size_t)len);
    fake.have += (size_t)len;
    for (;;) {
        size_t size = 0, at = 1;
        for (int shift = 0; at < fake.have; shift += 7) {
            size |= (size_t)(fake.input[at] & 0x7f) << shift;
            if ((fake.input[at++] & 0x80) == 0)
                break;
        }
        if (fake.have < 2 || fake.have < at + size)
            return;
        uint8_t out[256];
        fake.packets++;
        fake.last_packet = fake.input[0];
        fake_send(out, fake.answer(fake.input, at + size, out));
        fake.have -= at + size;
        memmove(fake.input, fake.input + at + size, fake.have);
    }
}

static void fake_accept(uv_stream_t *listener, int status)
{
    assert_int_equal(status, 0);
    uv_tcp_init(&loop.uv, &fake.peer);
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&fake.peer), 0);
    fake.accepted++;
    fake.have = 0;
    if (fake.hangs_up)
        uv_close((uv_handle_t *)&fake.peer, NULL);
    else if (!fake.quiet)
        uv_read_start((uv_stream_t *)&fake.peer, fake_alloc, fake_read);
}

TEST_UNUSED static void fake_start(fake_answer *answer, bool quiet, bool hangs_up)
{
    fake = (struct fake){.answer = answer, .quiet = quiet, .hangs_up = hangs_up};
    struct sockaddr_in address;
    int len = sizeof(address);
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(&loop.uv, &fake.listener);
    assert_int_equal(uv_tcp_bind(&fake.listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&fake.listener, 16, fake_accept), 0);
    uv_tcp_getsockname(&fake.listener, (struct sockaddr *)&address, &len);
    fake.port = ntohs(address.sin_port);
}

TEST_UNUSED static void fake_stop(void)
{
    uv_close((uv_handle_t *)&fake.listener, NULL);
    if (fake.accepted > 0 && !uv_is_closing((uv_handle_t *)&fake.peer))
        uv_close((uv_handle_t *)&fake.peer, NULL);
    run_for(4);
}

/* --- Set-up of each test. */

TEST_UNUSED static int set_up_loop(void **state)
{
    (void)state;
    struct ix_error err;
    assert_int_equal(ix_loop_init(&loop, &err), 0);
    return ix_protocol_mqtt.init(&err);
}

TEST_UNUSED static int tear_down_loop(void **state)
{
    (void)state;
    stop_broker();
    ix_loop_deinit(&loop);
    return 0;
}

TEST_UNUSED static int set_up_broker(void **state)
{
    set_up_loop(state);
    start_broker(NULL);
    return 0;
}

#endif
