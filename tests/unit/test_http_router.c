#include "http_fixture.h"

#include "api/openapi.h"
#include "api/problem.h"
#include "api/router.h"

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- a small service ---- */

static void answer_call(struct ix_call *call)
{
    json_t *answer =
        json_pack("{s:s, s:O, s:O*}", "id", call->operation->id, "query", call->query, "body", call->body);
    for (int i = 0; i < IX_CALL_VARIABLES && call->variables[i]; i++) {
        char name[8];
        snprintf(name, sizeof(name), "v%d", i);
        json_object_set_new(answer, name, json_string(call->variables[i]));
    }
    char *text = json_dumps(answer, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(answer);
    ix_exchange_answer(call->exchange, 200, "application/json", text, strlen(text));
}

static const struct ix_field query_fields[] = {
    {"page", .accept = IX_A_INTEGER, .min = 1, .max = 1000, .doc = "Page."},
    {"pageSize", .accept = IX_A_INTEGER, .min = 1, .max = 100, .doc = "Size."},
    {"status", .accept = IX_A_TEXT, .words = WORDS("created", "running"), .doc = "Status."},
    {"dry", .accept = IX_A_BOOLEAN, .doc = "Dry."},
};
static const struct ix_table query = {.name = "query", .doc = "", .fields = query_fields, .count = 4};
static const struct ix_field body_fields[] = {
    {"modelId", .accept = IX_A_TEXT, .form = IX_FORM_ID, .required = IX_ALL, .doc = "Model."},
    {"count", .accept = IX_A_INTEGER, .min = 1, .max = 1e6, .required = IX_ALL, .doc = "Count."},
    {"pattern", .accept = IX_A_TEXT, .doc = "Pattern."},
    {"over", .accept = IX_A_OBJECT, .table = &ix_table_connection, .doc = "Connection."},
};
static const struct ix_table body = {.name = "body", .doc = "A body.", .fields = body_fields, .count = 4};

static const struct ix_operation operations[] = {
    {"GET", "/things", "listThings", "things", "List", .query = &query,
     .answers = {{200, "Thing[]", "Things."}}, .handle = answer_call},
    {"POST", "/things", "createThing", "things", "Create", .body = &body, .answers = {{201, "Thing", "It."}},
     .faults = "409", .handle = answer_call},
    {"GET", "/things/{id}", "getThing", "things", "Get", .variables = WORDS("Id."),
     .answers = {{200, "Thing", "It."}}, .faults = "404", .handle = answer_call},
    {"DELETE", "/things/{id}", "deleteThing", "things", "Delete", .variables = WORDS("Id."),
     .answers = {{204, NULL, "Gone."}}, .faults = "404", .permission = "things:delete",
     .handle = answer_call},
    {"POST", "/things/{id}/do/{what}", "doThing", "things", "Do", .variables = WORDS("Id.", "What."),
     .body = &body, .body_optional = true, .body_open = true, .answers = {{202, NULL, "Done."}},
     .handle = answer_call},
    {"GET", "/things/special", "special", "things", "Never reached: what comes first wins",
     .handle = answer_call},
};

static const struct ix_property thing[] = {{"id", "string", "Id.", false}, {"at", "time?", "At.", true}};
static const struct ix_schema schemas[] = {{"Thing", "A thing.", thing, 2, NULL},
                                           {"Word", "Words.", NULL, 0, WORDS("a", "b")},
                                           {NULL, NULL, NULL, 0, NULL}};

static const struct ix_web_file page = {
    "/", "text/html", "\"tag\"", (const unsigned char *)"<p>", 3, (const unsigned char *)"zip", 3};
static const struct ix_web_file *find_file(const char *path)
{
    return strcmp(path, "/") == 0 || strcmp(path, "/assets/a.js") == 0 ? &page : NULL;
}

static int authorize(void *context, struct ix_exchange *x, const struct ix_operation *operation,
                     struct ix_error *err)
{
    (void)context;
    if (!operation->permission || ix_exchange_header(x, "Authorization"))
        return 0;
    ix_fail(err, -EPERM, "%s needs a token", operation->permission);
    return 401;
}

static void run(void (*client)(struct fixture *f))
{
    struct ix_router_config config = {.operations = operations,
                                      .operation_count = IX_ARRAY_LEN(operations),
                                      .find_file = find_file,
                                      .authorize = authorize};
    struct fixture f = {0};
    struct ix_router *router = ix_router_new(&config);
    struct ix_server_config server = {.begin = ix_router_begin,
                                      .handle = ix_router_handle,
                                      .finished = ix_router_finished,
                                      .context = router};
    f.context = router;
    fixture_run(&f, &server, client);
    ix_router_free(router);
}

/* ---- asking ---- */

static void expect(struct fixture *f, const char *method, const char *target, const char *more,
                   const char *data, int status, const char *text)
{
    struct ix_buf request;
    ix_buf_init(&request, 1 << 20);
    ix_buf_printf(&request, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s", method, target,
                  more);
    if (data)
        ix_buf_printf(&request, "Content-Length: %zu\r\n", strlen(data));
    ix_buf_str(&request, "\r\n");
    ix_buf_str(&request, data ? data : "");
    char *answer = client_ask(f, ix_buf_cstr(&request));
    bool problem = status < 400 || strstr(answer, "Content-Type: application/problem+json");
    if (status_of(answer) != status || !strstr(answer, text) || !problem) {
        fprintf(stderr, "asked %.300s got %.800s\n", ix_buf_cstr(&request), answer);
        f->failures++;
    }
    free(answer);
    ix_buf_deinit(&request);
}

#define JSON "Content-Type: application/json\r\n"

static void routes_client(struct fixture *f)
{
    expect(f, "GET", "/things", "", NULL, 200, "{\"id\":\"listThings\",\"query\":{}}");
    expect(f, "GET", "/things/", "", NULL, 200, "listThings");
    expect(f, "GET", "http://localhost/things?page=2&dry=1", "", NULL, 200,
           "\"query\":{\"dry\":true,\"page\":2}}");
    expect(f, "GET", "/things/a%20b%2fc", "", NULL, 200, "\"v0\":\"a b/c\"");
    expect(f, "GET", "/things/special", "", NULL, 200, "getThing");
    expect(f, "HEAD", "/things", "", NULL, 200, "Content-Length: 30\r\n");
    expect(f, "POST", "/things/x/do/y", "", NULL, 200, "\"v0\":\"x\",\"v1\":\"y\"");
    expect(f, "GET", "/", "", NULL, 200, "<p>");
    expect(f, "GET", "/assets/a.js", "Accept-Encoding: br, gzip\r\n", NULL, 200, "Content-Encoding: gzip");
    expect(f, "GET", "/assets/a.js", "Accept-Encoding: gzip;q=0\r\n", NULL, 200, "<p>");
    expect(f, "GET", "/assets/a.js", "If-None-Match: \"tag\"\r\n", NULL, 304, "ETag: \"tag\"");
    expect(f, "GET", "/", "", NULL, 200, "Content-Security-Policy: default-src 'none'");
    expect(f, "GET", "/", "", NULL, 200, "X-Content-Type-Options: nosniff");
    expect(f, "DELETE", "/things/x", "Authorization: me\r\n", NULL, 200, "deleteThing");
    expect(f, "OPTIONS", "/things", "", NULL, 204, "Allow: GET, HEAD, POST, OPTIONS\r\n");
    const struct ix_operation_counts *counts = ix_router_counts(f->context, 0);
    check(f, counts->by_class[2] == 4);
}

static void routes(void **state)
{
    (void)state;
    run(routes_client);
}

static void refusals_client(struct fixture *f)
{
    expect(f, "GET", "/nothing", "", NULL, 404, "\"status\":404");
    expect(f, "GET", "/things/a/b", "", NULL, 404, "Not Found");
    expect(f, "GET", "/../etc/passwd", "", NULL, 404, "Not Found");
    expect(f, "GET", "/assets/../../etc/passwd", "", NULL, 404, "Not Found");
    expect(f, "GET", "/assets/%2e%2e/%2e%2e/etc/passwd", "", NULL, 404, "Not Found");
    expect(f, "GET", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o", "", NULL, 404, "Not Found");
    expect(f, "GET", "/things/%00", "", NULL, 400, "control character");
    expect(f, "GET", "/things/%zz", "", NULL, 400, "%-escape");
    expect(f, "GET", "/things/%ff%fe", "", NULL, 400, "UTF-8");
    expect(f, "GET", "/things?page=%00", "", NULL, 400, "control character");
    expect(f, "GET", "/things?page=0", "", NULL, 400,
           "{\"path\":\"page\",\"message\":\"must be 1 to 1000\"}");
    expect(f, "GET", "/things?page=two", "", NULL, 400, "must be an integer");
    expect(f, "GET", "/things?page=1.5", "", NULL, 400, "must be a whole number");
    expect(f, "GET", "/things?page=99999999999999999999", "", NULL, 400, "must be");
    expect(f, "GET", "/things?page=inf", "", NULL, 400, "must be an integer");
    expect(f, "GET", "/things?page=1&page=2", "", NULL, 400, "given twice");
    expect(f, "GET", "/things?pagesize=1", "", NULL, 400, "did you mean \\\"pageSize\\\"");
    expect(f, "GET", "/things?status=runing", "", NULL, 400, "did you mean \\\"running\\\"");
    expect(f, "GET", "/things/x?page=1", "", NULL, 400, "unknown field");
    expect(f, "PUT", "/things", "", NULL, 405, "Allow: GET, HEAD, POST, OPTIONS\r\n");
    expect(f, "POST", "/", "", "x", 405, "Allow: GET, HEAD, OPTIONS\r\n");
    expect(f, "BREW", "/things/1", "", NULL, 405, "Allow: GET, HEAD, DELETE, OPTIONS\r\n");
    expect(f, "DELETE", "/things/1", "", NULL, 401, "WWW-Authenticate: Bearer\r\n");
    expect(f, "GET", "/things", "Origin: http://evil.example.com\r\n", NULL, 403, "may not talk");
    expect(f, "GET", "/things", "", "body", 400, "takes no body");
}

static void refusals(void **state)
{
    (void)state;
    run(refusals_client);
}

static void bodies_client(struct fixture *f)
{
    const size_t most = IX_ROUTER_BODY_BYTES;
    char *deep = ix_malloc(most + 2);
    memset(deep, '[', most);
    deep[most] = '\0';
    expect(f, "POST", "/things", JSON, "{\"modelId\":\"m\",\"count\":5,\"pattern\":null}", 200,
           "\"body\":{\"count\":5,\"modelId\":\"m\"}");
    expect(f, "POST", "/things", "", "{}", 415, "application/json");
    expect(f, "POST", "/things", "Content-Type: text/plain\r\n", "{}", 415, "application/json");
    expect(f, "POST", "/things", JSON, NULL, 400, "needs a body");
    expect(f, "POST", "/things", JSON, "{\"modelId\":", 400, "is no valid JSON");
    expect(f, "POST", "/things", JSON, "[1]", 400, "must be an object");
    expect(f, "POST", "/things", JSON, "5", 400, "is no valid JSON");
    expect(f, "POST", "/things", JSON, "{\"modelId\":\"m\",\"count\":5} x", 400, "is no valid JSON");
    expect(f, "POST", "/things", JSON, "{\"count\":1,\"count\":2}", 400, "duplicate");
    expect(f, "POST", "/things", JSON, "{\"modelId\":\"a\\u0000b\",\"count\":5}", 400, "may not hold");
    expect(f, "POST", "/things", JSON, "{\"modelId\":\"\xff\",\"count\":5}", 400, "is no valid JSON");
    expect(f, "POST", "/things", JSON, "{\"modelId\":\"m\",\"count\":1e999}", 400, "is no valid JSON");
    expect(f, "POST", "/things", JSON, "{\"modelId\":\"m\",\"count\":99999999999999999999999}", 400,
           "is no valid JSON");
    expect(f, "POST", "/things", JSON, "{\"modelId\":\"m\",\"count\":0}", 400, "\"path\":\"count\"");
    expect(f, "POST", "/things", JSON, "{\"modelId\":\"m\",\"count\":\"5\"}", 400,
           "\"must be an integer, not a string\"");
    expect(f, "POST", "/things", JSON, "{\"modelId\":\"m\"}", 400,
           "{\"path\":\"count\",\"message\":\"is missing");
    expect(f, "POST", "/things", JSON, "{\"modelid\":\"m\",\"count\":5}", 400,
           "did you mean \\\"modelId\\\"");
    expect(f, "POST", "/things", JSON, "{\"modelId\":\"../m\",\"count\":5}", 400, "\"path\":\"modelId\"");
    expect(f, "POST", "/things", JSON, "{\"modelId\":\"m\",\"count\":5,\"over\":7}", 400,
           "\"path\":\"over\"");
    expect(f, "POST", "/things", JSON, deep, 400, "nested more than 64 levels");
    memset(deep, ' ', most);
    expect(f, "POST", "/things", JSON, deep, 400, "is no valid JSON");
    deep[most] = ' ';
    deep[most + 1] = '\0';
    expect(f, "POST", "/things", JSON, deep, 413, "has 65537 bytes; at most 65536");
    expect(f, "POST", "/things/a/do/b", JSON, "{\"count\":5,\"modelId\":\"m\",\"free\":[1]}", 200,
           "\"free\":[1]");
    expect(f, "POST", "/things/a/do/b", JSON, "{\"count\":\"x\",\"modelId\":\"m\",\"free\":[1]}", 400,
           "\"path\":\"count\"");
    free(deep);
}

static void bodies(void **state)
{
    (void)state;
    run(bodies_client);
}

/* ---- the document ---- */

static void openapi(void **state)
{
    (void)state;
    static const struct ix_schema *const lists[] = {schemas, ix_common_schemas};
    struct ix_openapi_config config = {"t", "d", operations, IX_ARRAY_LEN(operations) - 1, lists, 2};
    json_t *json = ix_openapi_json(&config);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "openapi")), "3.1.0");
    json_t *paths = json_object_get(json, "paths");
    assert_int_equal(json_object_size(paths), 3);
    json_t *list = json_object_get(json_object_get(paths, "/things"), "get");
    assert_int_equal(json_array_size(json_object_get(list, "parameters")), 4);
    json_t *act = json_object_get(json_object_get(paths, "/things/{id}/do/{what}"), "post");
    assert_int_equal(json_array_size(json_object_get(act, "parameters")), 2);
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(json_object_get(act, "parameters"), 1), "name")),
        "what");
    assert_true(json_is_false(json_object_get(json_object_get(act, "requestBody"), "required")));
    json_t *create = json_object_get(json_object_get(paths, "/things"), "post");
    assert_non_null(json_object_get(json_object_get(create, "responses"), "409"));
    assert_non_null(json_object_get(json_object_get(create, "responses"), "415"));
    /* every reference leads somewhere */
    char *text = json_dumps(json, JSON_COMPACT);
    json_t *defined = json_object_get(json_object_get(json, "components"), "schemas");
    for (const char *at = strstr(text, "\"$ref\":\""); at; at = strstr(at + 1, "\"$ref\":\"")) {
        const char *start = at + 8;
        assert_int_equal(strncmp(start, "#/components/schemas/", 21), 0);
        char *name = ix_strndup(start + 21, strcspn(start + 21, "\""));
        if (!json_object_get(defined, name))
            fail_msg("no schema %s", name);
        free(name);
    }
    free(text);
    json_decref(json);
}

static void types(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"string", "{\"type\":\"string\"}"},
        {"time?", "{\"anyOf\":[{\"format\":\"date-time\",\"type\":\"string\"},{\"type\":\"null\"}]}"},
        {"Thing[]", "{\"items\":{\"$ref\":\"#/components/schemas/Thing\"},\"type\":\"array\"}"},
        {"integer{}", "{\"additionalProperties\":{\"type\":\"integer\"},\"type\":\"object\"}"},
        {"any", "{}"},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        json_t *schema = ix_schema_of_type(cases[i][0]);
        char *text = json_dumps(schema, JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(text, cases[i][1]);
        free(text);
        json_decref(schema);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes),  cmocka_unit_test(refusals), cmocka_unit_test(bodies),
        cmocka_unit_test(openapi), cmocka_unit_test(types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
