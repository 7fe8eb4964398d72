/* HTTP requests against Python's server. */
#include "check.h"

#include "control/http_client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static FILE *server;
static int server_pid, port;
static struct ix_loop loop;
static struct ix_http_client *client;

static size_t waiting; /* answers that are still to come */
static size_t good;    /* those with status 200 */
static struct {
    int code;
    long status;
    char *message;
    char *body;
    size_t body_len;
    json_t *headers;
    double latency_ms;
} last;

static void forget(void)
{
    free(last.message);
    free(last.body);
    json_decref(last.headers);
    memset(&last, 0, sizeof(last));
}

static void on_done(void *context, const struct ix_http_answer *answer)
{
    assert_ptr_equal(context, &last);
    forget();
    last.code = answer->code;
    last.status = answer->status;
    good += answer->status == 200;
    last.message = answer->message ? ix_strdup(answer->message) : NULL;
    last.body = ix_strndup(answer->body, answer->body_len);
    last.body_len = answer->body_len;
    last.headers = json_deep_copy(answer->headers);
    last.latency_ms = answer->latency_ms;
    if (--waiting == 0)
        ix_loop_stop(&loop);
}

static void send_to(const char *method, const char *path, const json_t *headers, const char *body, size_t len,
                    uint64_t timeout_ms)
{
    char url[200];
    struct ix_error err = {0};
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", port, path);
    waiting++;
    if (ix_http_request(client, method, url, headers, body, len, timeout_ms, on_done, &last, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(waiting > 0); /* never answered inside the call */
}

static void fetch(const char *method, const char *path)
{
    send_to(method, path, NULL, NULL, 0, 20000);
    ix_loop_run(&loop);
}

static void test_methods_headers_and_bodies(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    static const char body[] = "{\"a\":\0 1}"; /* bytes, not a C string */
    json_t *headers = json_pack("{s:s,s:s}", "X-Key", "k: v", "X-Empty", "");
    for (size_t i = 0; i < IX_ARRAY_LEN(methods); i++) {
        for (int with_body = 0; with_body < 2; with_body++) {
            send_to(methods[i], "/echo?q=1", headers, with_body ? body : NULL, with_body ? 9 : 0, 20000);
            ix_loop_run(&loop);
            assert_int_equal(last.code, 0);
            assert_int_equal(last.status, 200);
            json_t *said = json_loadb(last.body, last.body_len, JSON_ALLOW_NUL, NULL);
            assert_non_null(said);
            json_t *sent = json_object_get(said, "headers");
            assert_string_equal(json_string_value(json_object_get(said, "method")), methods[i]);
            assert_string_equal(json_string_value(json_object_get(said, "path")), "/echo?q=1");
            assert_string_equal(json_string_value(json_object_get(sent, "x-key")), "k: v");
            assert_string_equal(json_string_value(json_object_get(sent, "x-empty")), "");
            assert_null(json_object_get(sent, "content-type"));
            assert_null(json_object_get(sent, "expect"));
            json_t *echo = json_object_get(said, "body");
            assert_int_equal(json_string_length(echo), with_body ? 9 : 0);
            assert_memory_equal(json_string_value(echo), body, with_body ? 9 : 0);
            json_decref(said);
            assert_true(last.latency_ms > 0 && last.latency_ms < 20000);
        }
    }
    json_decref(headers);
    assert_string_equal(json_string_value(json_object_get(last.headers, "content-type")), "application/json");
    fetch("HEAD", "/echo");
    assert_int_equal(last.status, 200);
    assert_int_equal(last.body_len, 0);
}

static void test_any_status_is_an_answer(void **state)
{
    (void)state;
    fetch("GET", "/status/503");
    assert_int_equal(last.code, 0);
    assert_int_equal(last.status, 503);
    fetch("GET", "/status/302"); /* seen, not followed */
    assert_int_equal(last.status, 302);
    assert_string_equal(json_string_value(json_object_get(last.headers, "location")), "/echo");
    assert_string_equal(json_string_value(json_object_get(last.headers, "x-twice")), "a, b");
    fetch("GET", "/packed");
    assert_int_equal(last.body_len, 900);
    assert_memory_equal(last.body, "unpacked unpacked", 17);
}

static void test_size_limit(void **state)
{
    (void)state;
    char path[40];
    snprintf(path, sizeof(path), "/big/%u", IX_HTTP_BODY_MAX);
    fetch("GET", path);
    assert_int_equal(last.code, 0);
    assert_int_equal(last.body_len, IX_HTTP_BODY_MAX);
    snprintf(path, sizeof(path), "/big/%u", IX_HTTP_BODY_MAX + 1);
    fetch("GET", path);
    assert_int_equal(last.code, -EMSGSIZE);
    assert_int_equal(last.status, 0);
    assert_non_null(strstr(last.message, "larger than 16 MiB"));
}

static void test_failures_name_the_request(void **state)
{
    (void)state;
    send_to("GET", "/slow", NULL, NULL, 0, 50);
    ix_loop_run(&loop);
    assert_int_equal(last.code, -ETIMEDOUT);
    assert_non_null(strstr(last.message, "GET http://127.0.0.1:"));
    fetch("POST", "/close");
    assert_int_equal(last.code, -EIO);
    assert_non_null(strstr(last.message, "/close: "));
    int right = port;
    port = 1; /* nobody listens there */
    fetch("GET", "/");
    port = right;
    assert_int_equal(last.code, -ECONNREFUSED);
}

static void test_many_at_once(void **state)
{
    (void)state;
    good = 0;
    for (int i = 0; i < 100; i++)
        send_to("GET", "/echo", NULL, NULL, 0, 60000);
    ix_loop_run(&loop);
    assert_int_equal(waiting, 0);
    assert_int_equal(good, 100);
}

static void test_what_cannot_be_sent(void **state)
{
    (void)state;
    json_t *bad_name = json_pack("{s:s}", "X Key", "v"),
           *bad_value = json_pack("{s:s}", "X", "a\r\nHost: evil"), *no_text = json_pack("{s:i}", "X", 1);
    const struct {
        const char *method, *url;
        const json_t *headers;
        size_t len;
        int code;
        const char *part;
    } cases[] = {
        {"GET", "ftp://localhost/", NULL, 0, -EINVAL, "no http:// or https:// address"},
        {"GET", "file:///etc/passwd", NULL, 0, -EINVAL, "file:///etc/passwd"},
        {"GET /", "http://localhost/", NULL, 0, -EINVAL, "no HTTP method"},
        {"", "http://localhost/", NULL, 0, -EINVAL, "no HTTP method"},
        {"GET", "http://localhost/", bad_name, 0, -EINVAL, "\"X Key\" is no name of a header"},
        {"GET", "http://localhost/", bad_value, 0, -EINVAL, "must be a text of one line"},
        {"GET", "http://localhost/", no_text, 0, -EINVAL, "must be a text of one line"},
        {"PUT", "http://localhost/", NULL, IX_HTTP_BODY_MAX + 1, -EMSGSIZE, "at most 16 MiB"},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        struct ix_error err = {0};
        assert_int_equal(ix_http_request(client, cases[i].method, cases[i].url, cases[i].headers, "",
                                         cases[i].len, 1000, on_done, &last, &err),
                         cases[i].code);
        if (!strstr(err.text, cases[i].part))
            fail_msg("\"%s\" is not in: %s", cases[i].part, err.text);
    }
    json_decref(bad_name);
    json_decref(bad_value);
    json_decref(no_text);
}

static void on_canceled(void *context, const struct ix_http_answer *answer)
{
    assert_int_equal(answer->code, -ECANCELED);
    ++*(int *)context;
}

static void test_pending_requests_are_limited_and_end_with_the_client(void **state)
{
    (void)state;
    struct ix_error err;
    int canceled = 0;
    struct ix_http_client *other = ix_http_client_new(&loop, &err);
    assert_non_null(other);
    char url[100];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/slow", port);
    for (int i = 0; i < IX_HTTP_PENDING_MAX; i++)
        assert_int_equal(ix_http_request(other, "GET", url, NULL, NULL, 0, 0, on_canceled, &canceled, &err),
                         0);
    assert_int_equal(ix_http_request(other, "GET", url, NULL, NULL, 0, 0, on_canceled, &canceled, &err),
                     -EBUSY);
    assert_non_null(strstr(err.text, "1000 requests are under way"));
    ix_http_client_free(other);
    assert_int_equal(canceled, IX_HTTP_PENDING_MAX);

    other = ix_http_client_new(&loop, &err);
    assert_non_null(other);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ix_http_request(other, "GET", url, NULL, NULL, 0, 0, on_canceled, &canceled, &err),
                         0);
    fetch("GET", "/echo"); /* meanwhile the five are connected */
    ix_http_client_free(other);
    assert_int_equal(canceled, IX_HTTP_PENDING_MAX + 5);
    fetch("GET", "/echo");
    assert_int_equal(last.status, 200);
}

static int begin(void **state)
{
    (void)state;
    struct ix_error err;
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    server = popen("exec /usr/bin/python3 tests/unit/http_server.py", "r");
    if (!server || fscanf(server, "%d %d", &server_pid, &port) != 2)
        return -1;
    alarm(120); /* a loop that waits for ever */
    if (ix_loop_init(&loop, &err) < 0)
        return -1;
    client = ix_http_client_new(&loop, &err);
    return client ? 0 : -1;
}

static int finish(void **state)
{
    (void)state;
    forget();
    ix_http_client_free(client);
    ix_loop_deinit(&loop);
    if (server_pid)
        kill(server_pid, SIGKILL);
    pclose(server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods_headers_and_bodies),
        cmocka_unit_test(test_any_status_is_an_answer),
        cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_failures_name_the_request),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_what_cannot_be_sent),
        cmocka_unit_test(test_pending_requests_are_limited_and_end_with_the_client),
    };
    return cmocka_run_group_tests(tests, begin, finish);
}
