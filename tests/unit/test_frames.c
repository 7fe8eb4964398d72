/* Frames over a pipe: of all sizes, cut anywhere, past the limits, and the end of either side. */
#include "loop_fixture.h"

#include "loop/frame.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct end {
    struct ix_pipe *pipe;
    uint64_t frames, bytes;
    uint8_t last_type;
    int closed; /* how often */
    int code;
    uint64_t stop_after;
    bool free_at_frame, free_at_close;
};

/* Byte i of the frame with number n. */
static unsigned char pattern(uint64_t n, size_t i)
{
    return (unsigned char)(n * 31 + i * 7);
}

static void on_frame(void *context, uint8_t type, const void *payload, size_t len)
{
    struct end *end = context;
    const unsigned char *bytes = payload;
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != pattern(end->frames, i))
            fail_msg("frame %d differs at byte %d", (int)end->frames, (int)i);
    end->frames++;
    end->bytes += len;
    end->last_type = type;
    if (end->free_at_frame) {
        ix_pipe_free(end->pipe);
        end->pipe = NULL;
    }
    if (end->frames == end->stop_after)
        ix_loop_stop(&loop);
}

static void on_pipe_closed(void *context, int code)
{
    struct end *end = context;
    end->closed++;
    end->code = code;
    if (end->free_at_close) {
        ix_pipe_free(end->pipe);
        end->pipe = NULL;
    }
    ix_loop_stop(&loop);
}

static const struct ix_pipe_events events = {.frame = on_frame, .closed = on_pipe_closed};

static void open_end(struct end *end, int fd, size_t limit)
{
    struct ix_error err;
    if (ix_pipe_open(&loop, fd, limit, &events, end, &end->pipe, &err) < 0)
        fail_msg("%s", err.text);
}

static void open_pair(struct end *a, struct end *b, size_t limit)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    open_end(a, fds[0], limit);
    open_end(b, fds[1], limit);
}

static int send_pattern(struct ix_pipe *pipe, uint64_t n, size_t len)
{
    unsigned char *payload = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        payload[i] = pattern(n, i);
    int rc = ix_frame_send(pipe, (uint8_t)n, payload, len);
    free(payload);
    return rc;
}

static void test_frames_of_all_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 5, 4096, 65531, 65536, 300000, 3, 5000000, 0};
    struct end a = {0}, b = {.stop_after = IX_ARRAY_LEN(sizes)};
    open_pair(&a, &b, 16 << 20);
    uint64_t bytes = 0;
    for (size_t i = 0; i < IX_ARRAY_LEN(sizes); i++) {
        assert_int_equal(send_pattern(a.pipe, i, sizes[i]), 0);
        bytes += sizes[i];
    }
    assert_true(ix_frame_queued(a.pipe) > 0); /* more than a socket holds */
    ix_loop_run(&loop);
    assert_int_equal(b.frames, IX_ARRAY_LEN(sizes));
    assert_true(b.bytes == bytes);
    assert_int_equal(b.last_type, IX_ARRAY_LEN(sizes) - 1);
    assert_int_equal(ix_frame_queued(a.pipe), 0);
    ix_pipe_free(a.pipe);
    ix_loop_run(&loop);
    assert_int_equal(b.closed, 1);
    assert_int_equal(b.code, 0);
    assert_int_equal(ix_frame_send(b.pipe, 1, "x", 1), -EPIPE);
    ix_pipe_free(b.pipe);
}

static void test_frames_cut_anywhere(void **state)
{
    (void)state;
    int fds[2];
    struct end b = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    open_end(&b, fds[1], 1000);
    unsigned char stream[40 * 8];
    size_t len = 0;
    for (uint64_t n = 0; n < 40; n++) {
        unsigned char frame[8] = {3, 0, 0, 0, (unsigned char)n, pattern(n, 0), pattern(n, 1), pattern(n, 2)};
        memcpy(stream + len, frame, 8);
        len += 8;
    }
    for (size_t at = 0, step = 1; at < len; at += step, step = step % 11 + 1) {
        size_t part = at + step > len ? len - at : step;
        assert_int_equal(write(fds[0], stream + at, part), (int)part);
        uv_run(&loop.uv, UV_RUN_NOWAIT);
        assert_int_equal(b.frames, (at + part) / 8);
    }
    assert_int_equal(write(fds[0], stream, 7), 7); /* the last one is never completed */
    close(fds[0]);
    ix_loop_run(&loop);
    assert_int_equal(b.frames, 40);
    assert_int_equal(b.code, -EPROTO);
    ix_pipe_free(b.pipe);
}

static void test_frame_too_long(void **state)
{
    (void)state;
    int fds[2];
    struct end b = {.free_at_close = true};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    open_end(&b, fds[1], 1000);
    assert_int_equal(write(fds[0], "\xff\xff\xff\xff\x01", 5), 5);
    ix_loop_run(&loop);
    assert_int_equal(b.closed, 1);
    assert_int_equal(b.code, -EPROTO);
    close(fds[0]);
}

static void test_queue_limit(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    open_pair(&a, &b, 1 << 20);
    uint64_t sent = 0;
    int rc;
    while ((rc = send_pattern(a.pipe, sent, 10000)) == 0)
        sent++;
    assert_int_equal(rc, -ENOBUFS);
    assert_int_equal(ix_frame_dropped(a.pipe), 1);
    assert_in_range(ix_frame_queued(a.pipe), (1 << 20) - 10005, 1 << 20);
    b.stop_after = sent;
    ix_loop_run(&loop);
    assert_int_equal(b.frames, sent); /* what was accepted arrives, whole and in order */
    assert_int_equal(send_pattern(a.pipe, sent, 10000), 0);
    assert_int_equal(ix_frame_send(a.pipe, 1, NULL, (size_t)IX_FRAME_MAX + 1), -EMSGSIZE);
    ix_pipe_free(a.pipe);
    ix_pipe_free(b.pipe);
}

static void test_pipe_freed_by_its_callback(void **state)
{
    (void)state;
    struct end a = {0}, b = {.free_at_frame = true};
    open_pair(&a, &b, 1000);
    for (uint64_t n = 0; n < 5; n++)
        assert_int_equal(send_pattern(a.pipe, n, 10), 0);
    a.stop_after = 1;
    ix_loop_run(&loop); /* ends when a learns that b is gone */
    assert_int_equal(b.frames, 1);
    assert_int_equal(b.closed, 0);
    assert_int_equal(a.closed, 1);
    ix_pipe_free(a.pipe);
}

/* The peer is gone: sending fails without a signal, and what the peer had sent is delivered first. */
static void test_last_words_of_a_peer(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    open_pair(&a, &b, 1000);
    for (uint64_t n = 0; n < 3; n++)
        assert_int_equal(send_pattern(b.pipe, n, 10), 0);
    ix_pipe_free(b.pipe);
    assert_int_equal(ix_frame_send(a.pipe, 1, "x", 1), -EPIPE);
    assert_int_equal(a.closed, 0);
    ix_loop_run(&loop);
    assert_int_equal(a.frames, 3);
    assert_int_equal(a.closed, 1);
    assert_true(a.code < 0);
    ix_pipe_free(a.pipe);
}

static void test_flush(void **state)
{
    (void)state;
    int fds[2];
    struct end a = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    open_end(&a, fds[0], 8 << 20);
    assert_int_equal(send_pattern(a.pipe, 0, 4 << 20), 0);
    assert_int_equal(ix_frame_flush(a.pipe, 20), -ETIMEDOUT); /* nobody reads */
    pid_t reader = fork();
    if (reader == 0) {
        static char sink[1 << 16];
        size_t total = 0;
        ssize_t got;
        close(fds[0]);
        while (total < (4 << 20) + 5 && (got = read(fds[1], sink, sizeof(sink))) > 0)
            total += (size_t)got;
        _exit(total == (4 << 20) + 5 ? 0 : 1);
    }
    assert_int_equal(ix_frame_flush(a.pipe, FAILSAFE_S * 1000), 0);
    assert_int_equal(ix_frame_queued(a.pipe), 0);
    int status;
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
    ix_pipe_free(a.pipe);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(test_frames_of_all_sizes),
        LOOP_TEST(test_frames_cut_anywhere),
        LOOP_TEST(test_frame_too_long),
        LOOP_TEST(test_queue_limit),
        LOOP_TEST(test_pipe_freed_by_its_callback),
        LOOP_TEST(test_last_words_of_a_peer),
        LOOP_TEST(test_flush),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
