/* Bytes of any kind sent to a server with the device engine's operations, whose handlers only write down what they got:
 * the library's parser, the router, paths, queries and bodies. */
#include "driver.h"

#include "api/device_api.h"
#include "api/problem.h"
#include "api/router.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_MAX 200

static struct ix_loop loop;
static struct ix_server *server;
static struct ix_router *router;
static struct ix_operation *operations;

static void echo(struct ix_call *call)
{
    json_t *json =
        json_pack("{s:s, s:O, s:O*}", "id", call->operation->id, "query", call->query, "body", call->body);
    for (int i = 0; i < IX_CALL_VARIABLES && call->variables[i]; i++) {
        IX_REQUIRE(call->variables[i][0] && strlen(call->variables[i]) <= IX_CALL_ID_MAX);
        json_object_set_new(json, call->operation->variables[i], json_string(call->variables[i]));
    }
    char *text = json_dumps(json, JSON_COMPACT);
    IX_REQUIRE(text); /* whatever came in is UTF-8 here */
    json_decref(json);
    ix_exchange_answer(call->exchange,
                       call->operation->answers[0].status == 204 ? 200 : call->operation->answers[0].status,
                       "application/json", text, strlen(text));
}

static void clean_up(void)
{
    ix_server_free(server);
    ix_loop_deinit(&loop);
    ix_router_free(router);
    free(operations);
}

static void begin(void)
{
    struct ix_router_config config = {.find_file = ix_web_find};
    const struct ix_operation *table = ix_device_operations(&config.operation_count);
    struct ix_error err;
    operations = ix_calloc(config.operation_count, sizeof(*operations));
    for (size_t i = 0; i < config.operation_count; i++) {
        operations[i] = table[i];
        operations[i].handle = echo;
    }
    config.operations = operations;
    router = ix_router_new(&config);
    struct ix_server_config settings = {.loop = &loop,
                                        .name = "fuzz",
                                        .body_bytes = 20000,
                                        .begin = ix_router_begin,
                                        .handle = ix_router_handle,
                                        .finished = ix_router_finished,
                                        .context = router};
    IX_REQUIRE(ix_loop_init(&loop, &err) == 0 && ix_server_start(&settings, &server, &err) == 0);
    atexit(clean_up);
}

/* Lets the server work until it ends the connection. */
static void exchange(int fd, const char *data, size_t size)
{
    char answer[65536];
    size_t sent = 0;
    for (int turn = 0; turn < TURNS_MAX; turn++) {
        ssize_t len = sent < size ? send(fd, data + sent, size - sent, MSG_NOSIGNAL) : 0;
        sent += len > 0 ? (size_t)len : 0;
        if (sent == size || (len < 0 && errno != EAGAIN))
            shutdown(fd, SHUT_WR);
        uv_run(&loop.uv, UV_RUN_NOWAIT);
        if (recv(fd, answer, sizeof(answer), 0) == 0)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (!server)
        begin();
    to.sin_port = htons(ix_server_port(server));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    IX_REQUIRE(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    struct linger reset = {1, 0}; /* no thousands of sockets in TIME_WAIT */
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    exchange(fd, (const char *)data, size);
    close(fd);
    for (int turn = 0; turn < TURNS_MAX && ix_server_facts(server).connections > 0; turn++)
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    return 0;
}

const char *const fuzz_words[] = {"GET ",
                                  "POST ",
                                  "PUT ",
                                  "DELETE ",
                                  "HEAD ",
                                  "OPTIONS ",
                                  " HTTP/1.1\r\n",
                                  " HTTP/1.0\r\n",
                                  " HTTP/9.9\r\n",
                                  "\r\n",
                                  "\r\n\r\n",
                                  "Host: localhost\r\n",
                                  "Host: evil.example.com\r\n",
                                  "Host: [::1]:80\r\n",
                                  "Origin: null\r\n",
                                  "Content-Length: 5\r\n",
                                  "Content-Length: -1\r\n",
                                  "Content-Length: 99999999999999999999\r\n",
                                  "Transfer-Encoding: chunked\r\n",
                                  "Transfer-Encoding: chunked, chunked\r\n",
                                  "5\r\nhello\r\n0\r\n\r\n",
                                  "ffffffffffffffff\r\n",
                                  "Expect: 100-continue\r\n",
                                  "Connection: close\r\n",
                                  "Content-Type: application/json\r\n",
                                  "Content-Type: application/json; charset=\"utf-8\"\r\n",
                                  "Cookie: a=b; c=\"\r\n",
                                  "%00",
                                  "%2f",
                                  "%",
                                  "%ff",
                                  "../",
                                  "/",
                                  "?",
                                  "&",
                                  "=",
                                  "+",
                                  "page=1",
                                  "pageSize=1000",
                                  "offset=99999999999999999999",
                                  "status=running",
                                  "staggerMs=1e308",
                                  "validate=true",
                                  "{",
                                  "}",
                                  "[",
                                  "]",
                                  "\"",
                                  ":",
                                  ",",
                                  "null",
                                  "1e999",
                                  "\\u0000",
                                  "\\ud800",
                                  "\"modelId\":\"m\"",
                                  "\"count\":1000000",
                                  "\"strategy\":\"linear\"",
                                  "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
                                  NULL};

size_t fuzz_seeds(struct fuzz_seed *seeds, size_t max)
{
#define HEAD(line) line " HTTP/1.1\r\nHost: localhost\r\n"
#define BODY(line, text) \
    HEAD(line) "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" text "\r\n0\r\n\r\n"
    static const char *const texts[] = {
        HEAD("GET /api/v1/devices?status=running&page=2&pageSize=50") "Connection: close\r\n\r\n",
        HEAD("GET /api/v1/models") "\r\n" HEAD("GET /api/v1/groups/a%20b") "\r\n",
        HEAD("DELETE /api/v1/groups/x") "Origin: http://localhost\r\n\r\n",
        HEAD("GET /assets/../index.html") "If-None-Match: \"x\"\r\nAccept-Encoding: gzip;q=0\r\n\r\n",
        HEAD("POST /api/v1/groups") "Content-Type: application/json\r\nContent-Length: 27\r\n\r\n"
                                    "{\"modelId\":\"m\",\"count\":5000}",
        BODY("POST /api/v1/groups/g/start?staggerMs=5", "1c\r\n{\"strategy\":\"linear\",\"a\":{}}"),
        BODY("POST /api/v1/groups/g/dropout", "1b\r\n{\"percentage\":50,\"count\":null"),
        BODY("POST /api/v1/models?validate=true", "7\r\n{\"id\":5}"),
        BODY("POST /api/v1/devices/d/commands/reboot", "2\r\n{}"),
        "GET http://localhost/health HTTP/1.0\r\nHost: localhost:80\r\nX: y\r\n folded\r\n\r\n",
    };
    size_t count = 0;
    for (; count < IX_ARRAY_LEN(texts) && count < max; count++)
        seeds[count] = (struct fuzz_seed){ix_strdup(texts[count]), strlen(texts[count])};
    return count;
}

/* ---- whole requests: well-formed HTTP, anything inside ---- */

struct draws {
    uint64_t key, count;
};

static uint64_t draw(struct draws *d, uint64_t below)
{
    return ix_random_below(ix_random_u64(d->key, d->count++), below);
}

static const char *pick(struct draws *d, const char *const *words)
{
    size_t count = 0;
    while (words[count])
        count++;
    return words[draw(d, count)];
}

static const char *const values[] = {"a",      "g",
                                     "%2e%2e", "%2F",
                                     "%00",    "%C3%A4",
                                     "%ff",    "-1",
                                     "0",      "1",
                                     "2.5",    "1e3",
                                     "1e999",  "true",
                                     "null",   "",
                                     "+",      "running",
                                     "linear", "{index}",
                                     "0x1",    "99999999999999999999",
                                     NULL};
static const char *const members[] = {
    "modelId",   "count",      "groupId", "deviceId", "idPattern", "strategy",           "delayMs",
    "batchSize", "percentage", "kind",    "mode",     "reconnect", "overrideConnection", "id",
    "x",         "",           NULL};
static const char *const texts[] = {"\"a\"",
                                    "\"linear\"",
                                    "\"\\u0000\"",
                                    "\"\\ud800\"",
                                    "\"\xff\"",
                                    "0",
                                    "-1",
                                    "5",
                                    "2.5",
                                    "1e308",
                                    "1e999",
                                    "9007199254740993",
                                    "99999999999999999999",
                                    "true",
                                    "false",
                                    "null",
                                    "[]",
                                    "{}",
                                    "[[[[]]]]",
                                    "{\"a\":{\"b\":[1]}}",
                                    "nonsense",
                                    "",
                                    NULL};

static void put_path(struct ix_buf *out, struct draws *d, const struct ix_operation *operation)
{
    for (const char *at = operation->path; *at; at++) {
        if (*at != '{') {
            ix_buf_char(out, *at);
            continue;
        }
        ix_buf_str(out, pick(d, values));
        at = strchr(at, '}');
    }
    for (uint64_t i = 0, count = draw(d, 4); i < count; i++) {
        const struct ix_table *table = operation->query;
        ix_buf_char(out, i ? '&' : '?');
        ix_buf_str(out, table && draw(d, 8) ? table->fields[draw(d, table->count)].name : pick(d, members));
        ix_buf_char(out, '=');
        ix_buf_str(out, pick(d, values));
    }
}

static void put_body(struct ix_buf *out, struct draws *d, const struct ix_operation *operation)
{
    const struct ix_table *table = operation->body;
    uint64_t count = draw(d, 6);
    ix_buf_char(out, '{');
    for (uint64_t i = 0; i < count; i++) {
        bool known = table && table->count > 0 && draw(d, 4);
        ix_buf_printf(out, "%s\"%s\":%s", i ? "," : "",
                      known ? table->fields[draw(d, table->count)].name : pick(d, members), pick(d, texts));
    }
    ix_buf_str(out, draw(d, 30) ? "}" : "");
}

size_t fuzz_restructure(char *data, size_t len, size_t max, uint64_t key)
{
    struct draws d = {key, 1000};
    size_t count;
    const struct ix_operation *table = ix_device_operations(&count), *operation = &table[draw(&d, count)];
    struct ix_buf request, body;
    (void)len;
    ix_buf_init(&request, max - 1);
    ix_buf_init(&body, max / 2);
    if (operation->body || draw(&d, 20) == 0)
        put_body(&body, &d, operation);
    ix_buf_printf(&request, "%s ", operation->method);
    put_path(&request, &d, operation);
    ix_buf_str(&request, " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    if (body.len > 0)
        ix_buf_printf(&request, "Content-Length: %zu\r\n", body.len);
    ix_buf_str(&request, "\r\n");
    ix_buf_put(&request, ix_buf_cstr(&body), body.len);
    memcpy(data, request.data, request.len);
    len = request.len;
    ix_buf_deinit(&request);
    ix_buf_deinit(&body);
    return len;
}
