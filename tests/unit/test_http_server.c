#include "http_fixture.h"

#include <sys/resource.h>

/* ---- what the server of these tests does ---- */

struct service {
    struct ix_server *server;
    uint64_t later; /* ticket of a request that is answered by the next one */
    struct ix_stream *stream;
    int begun, finished, statuses[16], closed, pieces_freed;
    int pieces_left;
};

static bool next_piece(void *context, struct ix_buf *piece)
{
    struct service *s = context;
    for (int i = 0; i < 1000; i++)
        ix_buf_str(piece, "0123456789");
    return --s->pieces_left > 0;
}

static void pieces_freed(void *context)
{
    ((struct service *)context)->pieces_freed++;
}

static void stream_closed(void *context)
{
    struct service *s = context;
    s->closed++;
    s->stream = NULL;
}

static void stream_full(struct ix_exchange *x)
{
    ix_exchange_answer_static(x, 503, "text/plain", "full", 4);
}

static void answer_text(struct ix_exchange *x, int status, const char *text)
{
    ix_exchange_answer(x, status, "text/plain", ix_strdup(text), strlen(text));
}

static void on_handle(void *context, struct ix_exchange *x)
{
    struct fixture *f = context;
    struct service *s = f->context;
    const char *target = ix_exchange_target(x), *detail;
    size_t len;
    const char *body = ix_exchange_body(x, &len);
    int refusal = ix_exchange_refusal(x, &detail);
    if (refusal) {
        answer_text(x, refusal, detail);
    } else if (strcmp(target, "/later") == 0) {
        s->later = ix_exchange_ticket(x);
    } else if (strcmp(target, "/now") == 0) {
        struct ix_exchange *waiting = ix_server_find(f->server, s->later);
        answer_text(x, 200, waiting ? "found" : "gone");
        if (waiting)
            answer_text(waiting, 200, "at last");
    } else if (strcmp(target, "/pieces") == 0) {
        s->pieces_left = 50;
        ix_exchange_answer_pieces(x, 200, "text/plain", next_piece, pieces_freed, s);
    } else if (strcmp(target, "/stream") == 0) {
        struct ix_stream *stream =
            ix_exchange_answer_stream(x, "text/event-stream", 4096, stream_closed, s, stream_full);
        s->stream = stream ? stream : s->stream;
    } else if (strncmp(target, "/say/", 5) == 0) {
        if (s->stream)
            ix_stream_send(s->stream, target + 5, strlen(target + 5));
        answer_text(x, 200, s->stream ? "said" : "nobody");
    } else if (strcmp(target, "/flood") == 0) {
        char block[1024];
        int code = 0, sent = 0;
        memset(block, 'x', sizeof(block));
        while (s->stream && code == 0 && ++sent < 100000)
            code = ix_stream_send(s->stream, block, sizeof(block));
        answer_text(x, 200, code == -ENOBUFS ? "cut" : "endless");
    } else {
        char *text = ix_asprintf("%s %s %zu %.20s from %s", ix_exchange_method(x), target, len, body,
                                 ix_exchange_address(x));
        ix_exchange_set_header(x, "X-One", "1");
        answer_text(x, 200, text);
        free(text);
    }
}

static void on_begin(void *context, struct ix_exchange *x)
{
    struct fixture *f = context;
    ((struct service *)f->context)->begun++;
    if (strcmp(ix_exchange_target(x), "/refused") == 0)
        ix_exchange_refuse(x, 403, "not you");
}

static void on_finished(void *context, struct ix_exchange *x, int status, uint64_t took_ns)
{
    struct fixture *f = context;
    struct service *s = f->context;
    (void)x, (void)took_ns;
    s->statuses[s->finished++ % 16] = status;
}

static void run(struct service *s, struct ix_server_config *config, void (*client)(struct fixture *f))
{
    struct fixture f = {.context = s};
    config->begin = on_begin;
    config->handle = on_handle;
    config->finished = on_finished;
    config->context = &f;
    fixture_run(&f, config, client);
}

/* ---- tests ---- */

static void expect(struct fixture *f, const char *request, int status, const char *text)
{
    char *answer = client_ask(f, request);
    if (status_of(answer) != status || !strstr(body_of(answer), text)) {
        fprintf(stderr, "asked %.200s got %.400s", request, answer);
        f->failures++;
    }
    free(answer);
}

static void basics_client(struct fixture *f)
{
    expect(f, "GET /a?b=%41 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200,
           "GET /a?b=%41 0  from 127.0.0.1");
    expect(f, "POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", 200,
           "POST /a 5 hello from");
    expect(f,
           "POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: "
           "chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
           200, "POST /a 5 hello from");
    expect(f, "POST /refused HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", 403,
           "not you");
    char *head = client_get(f, "HEAD", "/a", "");
    check(f, status_of(head) == 200);
    check(f, strstr(head, "Content-Length: 25\r\n"));
    check(f, strstr(head, "X-One: 1\r\n"));
    check(f, strcmp(body_of(head), "") == 0);
    free(head);
    /* two requests on one connection, at once */
    int fd = client_connect(f);
    const char *two =
        "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    client_send(fd, two, strlen(two));
    char *answers = client_read(fd, NULL);
    check(f, strstr(answers, "GET /1 "));
    check(f, strstr(answers, "GET /2 "));
    free(answers);
    close(fd);
}

static void basics(void **state)
{
    (void)state;
    struct service s = {0};
    run(&s, &(struct ix_server_config){0}, basics_client);
    assert_int_equal(s.begun, 7);
    assert_int_equal(s.finished, 7);
    assert_int_equal(s.statuses[3], 403);
}

static void limits_client(struct fixture *f)
{
    char *long_target = ix_malloc(20000), *request = NULL;
    memset(long_target, 'a', 19999);
    long_target[19999] = '\0';
    expect(f,
           "POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 101\r\nExpect: "
           "100-continue\r\n\r\n",
           413, "at most 100");
    request =
        ix_asprintf("POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5000\r\n\r\n%.5000s",
                    long_target);
    expect(f, request, 413, "at most 100");
    free(request);
    request = ix_asprintf("POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: "
                          "chunked\r\n\r\n1388\r\n%.5000s\r\n0\r\n\r\n",
                          long_target);
    expect(f, request, 413, "more than 100");
    free(request);
    request = ix_asprintf("GET /%.2000s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", long_target);
    expect(f, request, 414, "at most 1000");
    free(request);
    request =
        ix_asprintf("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: %.5000s\r\n\r\n", long_target);
    expect(f, request, 431, "at most 4000");
    free(request);
    expect(f, "GET /fine HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, "GET /fine");
    expect(f, "POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", 200, "abc");
    free(long_target);
}

static void limits(void **state)
{
    (void)state;
    struct service s = {0};
    run(&s, &(struct ix_server_config){.body_bytes = 100, .target_bytes = 1000, .header_bytes = 4000},
        limits_client);
}

/* Whether the server ends the connection within the wait. */
static bool is_closed(int fd)
{
    char *rest = client_read(fd, NULL);
    struct pollfd wait = {fd, POLLIN, 0};
    char byte;
    bool closed = poll(&wait, 1, 0) > 0 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
    free(rest);
    return closed;
}

static void slow_client(struct fixture *f)
{
    int fd = client_connect(f);
    const char *line = "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    client_send(fd, line, strlen(line));
    for (int i = 0; i < 8; i++) { /* a byte now and then keeps nothing open */
        client_send(fd, "a", 1);
        usleep(500000);
    }
    check(f, is_closed(fd));
    close(fd);
    fd = client_connect(f);
    line = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n";
    client_send(fd, line, strlen(line));
    for (int i = 0; i < 8; i++) {
        client_send(fd, "a", 1);
        usleep(500000);
    }
    check(f, is_closed(fd));
    close(fd);
}

static void slow_clients_are_cut_off(void **state)
{
    (void)state;
    struct service s = {0};
    run(&s, &(struct ix_server_config){.request_s = 2, .upload_s = 2}, slow_client);
}

static void many_client(struct fixture *f)
{
    int fds[8], open = 0;
    for (int i = 0; i < 8; i++) {
        fds[i] = client_connect(f);
        check(f, fds[i] >= 0);
        const char *ask = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
        client_send(fds[i], ask, strlen(ask));
        char *answer = client_read(fds[i], "from");
        open += status_of(answer) == 200;
        free(answer);
    }
    check(f, open == 5);
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    char *again = client_get(f, "GET", "/again", "");
    for (int i = 0; i < 500 && status_of(again) != 200; i++) { /* the server has to see them go first */
        free(again);
        usleep(20000);
        again = client_get(f, "GET", "/again", "");
    }
    check(f, status_of(again) == 200 && strstr(again, "GET /again"));
    free(again);
}

static void one_address_has_so_many_connections(void **state)
{
    (void)state;
    struct service s = {0};
    run(&s, &(struct ix_server_config){.connections_per_address = 5}, many_client);
}

static void later_client(struct fixture *f)
{
    int fd = client_connect(f);
    const char *ask = "GET /later HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    client_send(fd, ask, strlen(ask));
    struct pollfd wait = {fd, POLLIN, 0};
    check(f, poll(&wait, 1, 200) == 0);
    expect(f, "GET /now HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, "found");
    char *answer = client_read(fd, NULL);
    check(f, strcmp(body_of(answer), "at last") == 0);
    free(answer);
    close(fd);
    expect(f, "GET /now HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, "gone");
    /* who went away meanwhile is answered into the void */
    fd = client_connect(f);
    client_send(fd, ask, strlen(ask));
    usleep(100000);
    close(fd);
    char *now = client_get(f, "GET", "/now", "");
    check(f, status_of(now) == 200);
    free(now);
}

static void answers_come_later(void **state)
{
    (void)state;
    struct service s = {0};
    run(&s, &(struct ix_server_config){0}, later_client);
    assert_int_equal(s.finished, 5);
}

static void pieces_client(struct fixture *f)
{
    char *answer = client_get(f, "GET", "/pieces", "");
    check(f, status_of(answer) == 200);
    check(f, strlen(answer) > 500000);
    free(answer);
    int fd = client_connect(f); /* who leaves in the middle */
    const char *ask = "GET /pieces HTTP/1.1\r\nHost: x\r\n\r\n";
    client_send(fd, ask, strlen(ask));
    char byte;
    check(f, recv(fd, &byte, 1, 0) == 1);
    close(fd);
    usleep(100000);
}

static void long_answers_come_in_pieces(void **state)
{
    (void)state;
    struct service s = {0};
    run(&s, &(struct ix_server_config){0}, pieces_client);
    assert_int_equal(s.pieces_freed, 2);
}

static void stream_client(struct fixture *f)
{
    int fd = client_connect(f);
    const char *ask = "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n";
    client_send(fd, ask, strlen(ask));
    char *head = client_read(fd, "\r\n\r\n");
    check(f, strstr(head, "text/event-stream"));
    free(head);
    free(client_get(f, "GET", "/say/one", ""));
    char *one = client_read(fd, "one");
    check(f, strstr(one, "one"));
    free(one);
    usleep(100000); /* the stream sleeps again */
    free(client_get(f, "GET", "/say/two", ""));
    char *two = client_read(fd, "two");
    check(f, strstr(two, "two"));
    free(two);
    char *second = client_get(f, "GET", "/stream", "");
    check(f, status_of(second) == 503);
    free(second);
    close(fd);
    /* the next words find that nobody is there */
    char *said = NULL;
    for (int i = 0; i < 100 && (!said || !strstr(said, "nobody")); i++) {
        free(said);
        said = client_get(f, "GET", "/say/three", "");
        usleep(20000);
    }
    check(f, strstr(said, "nobody"));
    free(said);
    /* who takes nothing is cut off */
    fd = client_connect(f);
    client_send(fd, ask, strlen(ask));
    head = client_read(fd, "\r\n\r\n");
    free(head);
    char *flood = client_get(f, "GET", "/flood", "");
    check(f, strcmp(body_of(flood), "cut") == 0);
    free(flood);
    check(f, is_closed(fd));
    close(fd);
}

static void streams(void **state)
{
    (void)state;
    struct service s = {0};
    run(&s, &(struct ix_server_config){.streams = 1}, stream_client);
    assert_int_equal(s.closed, 2);
}

/* ---- the end ---- */

static void on_stopped(void *context)
{
    struct fixture *f = context;
    ix_loop_stop(&f->loop);
}

static void on_stop_asked(uv_timer_t *timer)
{
    struct fixture *f = timer->data;
    ix_server_stop(f->server, 300, on_stopped, f);
}

static void *stopping_client(void *context)
{
    struct fixture *f = context;
    int stream = client_connect(f), waiting = client_connect(f), idle = client_connect(f);
    const char *ask = "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n",
               *later = "GET /later HTTP/1.1\r\nHost: x\r\n\r\n";
    client_send(stream, ask, strlen(ask));
    free(client_read(stream, "\r\n\r\n"));
    client_send(waiting, later, strlen(later));
    char *answer = client_read(waiting, NULL);
    check(f, status_of(answer) == 503);
    free(answer);
    free(client_read(stream, NULL));
    free(client_read(idle, NULL));
    check(f, client_connect(f) == -1);
    close(stream);
    close(waiting);
    close(idle);
    return NULL;
}

static void stops_gracefully(void **state)
{
    (void)state;
    struct service s = {0};
    struct fixture f = {.context = &s};
    struct ix_server_config config = {.loop = &f.loop,
                                      .name = "test",
                                      .handle = on_handle,
                                      .begin = on_begin,
                                      .finished = on_finished,
                                      .context = &f};
    struct ix_error err;
    uv_timer_t timer;
    ix_loop_init(&f.loop, &err);
    assert_int_equal(ix_server_start(&config, &f.server, &err), 0);
    f.port = ix_server_port(f.server);
    uv_timer_init(&f.loop.uv, &timer);
    timer.data = &f;
    uv_timer_start(&timer, on_stop_asked, 500, 0);
    pthread_create(&f.thread, NULL, stopping_client, &f);
    ix_loop_run(&f.loop);
    ix_server_free(f.server);
    ix_loop_deinit(&f.loop);
    pthread_join(f.thread, NULL);
    assert_int_equal(f.failures, 0);
    assert_int_equal(s.closed, 1);
}

static void frees_with_everything_under_way(void **state)
{
    (void)state;
    struct service s = {0};
    struct fixture f = {.context = &s};
    struct ix_server_config config = {.loop = &f.loop,
                                      .name = "test",
                                      .handle = on_handle,
                                      .begin = on_begin,
                                      .finished = on_finished,
                                      .context = &f};
    struct ix_error err;
    ix_loop_init(&f.loop, &err);
    assert_int_equal(ix_server_start(&config, &f.server, &err), 0);
    f.port = ix_server_port(f.server);
    int stream = client_connect(&f), waiting = client_connect(&f), half = client_connect(&f);
    client_send(stream, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", 34);
    client_send(waiting, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n", 33);
    client_send(half, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Le", 38);
    for (int i = 0; i < 50 || (i < 5000 && !s.stream); i++) {
        uv_run(&f.loop.uv, UV_RUN_NOWAIT);
        usleep(2000);
    }
    assert_non_null(s.stream);
    ix_server_free(f.server);
    ix_loop_deinit(&f.loop);
    close(stream);
    close(waiting);
    close(half);
    assert_int_equal(s.closed, 1);
}

static void says_why_it_cannot_listen(void **state)
{
    (void)state;
    struct ix_loop loop;
    struct ix_error err;
    struct ix_server *first, *second;
    ix_loop_init(&loop, &err);
    struct ix_server_config config = {.loop = &loop, .name = "test", .handle = on_handle};
    assert_int_equal(ix_server_start(&config, &first, &err), 0);
    config.port = ix_server_port(first);
    assert_int_equal(ix_server_start(&config, &second, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "another program listens there"));
    config.host = "nonsense";
    assert_int_equal(ix_server_start(&config, &second, &err), -EINVAL);
    config.host = "203.0.113.7";
    assert_int_equal(ix_server_start(&config, &second, &err), -EADDRNOTAVAIL);
    assert_true(ix_host_is_loopback("127.3.2.1") && ix_host_is_loopback("::1") && ix_host_is_loopback(NULL));
    assert_false(ix_host_is_loopback("0.0.0.0") || ix_host_is_loopback("::") ||
                 ix_host_is_loopback("10.0.0.1"));
    ix_server_free(first);
    ix_loop_deinit(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(basics),
        cmocka_unit_test(limits),
        cmocka_unit_test(slow_clients_are_cut_off),
        cmocka_unit_test(one_address_has_so_many_connections),
        cmocka_unit_test(answers_come_later),
        cmocka_unit_test(long_answers_come_in_pieces),
        cmocka_unit_test(streams),
        cmocka_unit_test(stops_gracefully),
        cmocka_unit_test(frees_with_everything_under_way),
        cmocka_unit_test(says_why_it_cannot_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
