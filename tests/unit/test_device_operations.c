/* The table of the device engine's operations: complete, and a document that readers can follow. */
#include "check.h"

#include "api/device_api.h"
#include "api/router.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void each_operation_is_documented(void **state)
{
    (void)state;
    size_t count;
    const struct ix_operation *operations = ix_device_operations(&count);
    assert_true(count >= 25);
    for (size_t i = 0; i < count; i++) {
        const struct ix_operation *o = &operations[i];
        size_t variables = 0, documented = 0;
        for (const char *at = o->path; (at = strchr(at, '{')); at++)
            variables++;
        while (o->variables && o->variables[documented])
            documented++;
        if (variables != documented || variables > IX_CALL_VARIABLES)
            fail_msg("%s: %zu variables, %zu documented", o->path, variables, documented);
        if (!o->id || !o->tag || !o->summary || !o->answers[0].status || !o->answers[0].doc || !o->handle)
            fail_msg("%s %s lacks something", o->method, o->path);
        if (!o->permission && strncmp(o->path, "/api/", 5) == 0)
            fail_msg("%s %s needs a permission", o->method, o->path);
        if (strlen(o->path) > 1 && o->path[strlen(o->path) - 1] == '/')
            fail_msg("%s ends in a slash", o->path);
        for (size_t k = 0; k < i; k++)
            if (strcmp(operations[k].id, o->id) == 0 ||
                (strcmp(operations[k].path, o->path) == 0 && strcmp(operations[k].method, o->method) == 0))
                fail_msg("%s is there twice", o->id);
    }
}

/* What clients of the reference platform call. */
static void the_contract_is_complete(void **state)
{
    (void)state;
    static const char *const calls[] = {
        "GET /health",
        "GET /ready",
        "GET /metrics",
        "GET /openapi.json",
        "GET /api/v1/models",
        "POST /api/v1/models",
        "GET /api/v1/models/x",
        "PUT /api/v1/models/x",
        "DELETE /api/v1/models/x",
        "GET /api/v1/devices",
        "POST /api/v1/devices",
        "GET /api/v1/devices/x",
        "DELETE /api/v1/devices/x",
        "POST /api/v1/devices/x/start",
        "POST /api/v1/devices/x/stop",
        "GET /api/v1/devices/x/metrics",
        "POST /api/v1/devices/x/commands/y",
        "GET /api/v1/groups",
        "GET /api/v1/groups/x",
        "POST /api/v1/groups",
        "POST /api/v1/groups/x/start",
        "POST /api/v1/groups/x/stop",
        "DELETE /api/v1/groups/x",
        "POST /api/v1/groups/x/dropout",
        "GET /api/v1/stats",
        "GET /api/v1/events",
    };
    struct ix_router_config config = {0};
    config.operations = ix_device_operations(&config.operation_count);
    struct ix_router *router = ix_router_new(&config);
    for (size_t i = 0; i < IX_ARRAY_LEN(calls); i++) {
        const char *variables[IX_CALL_VARIABLES], *space = strchr(calls[i], ' ');
        char *method = ix_strndup(calls[i], (size_t)(space - calls[i])), allow[64];
        struct ix_path path;
        assert_int_equal(ix_path_parse(&path, space + 1, NULL), 0);
        if (ix_router_match(router, method, &path, variables, allow, sizeof(allow)) < 0)
            fail_msg("%s is not there", calls[i]);
        ix_path_deinit(&path);
        free(method);
    }
    ix_router_free(router);
}

static void every_reference_of_the_document_leads_somewhere(void **state)
{
    (void)state;
    size_t len, references = 0;
    char *text = ix_device_openapi(&len);
    json_t *json = json_loadb(text, len, 0, NULL);
    json_t *schemas = json_object_get(json_object_get(json, "components"), "schemas");
    assert_non_null(schemas);
    for (const char *at = text; (at = strstr(at, "\"$ref\":\"")); references++) {
        at += 8;
        if (strncmp(at, "#/components/schemas/", 21) != 0)
            fail_msg("a reference out of the document: %.60s", at);
        char *name = ix_strndup(at + 21, strcspn(at + 21, "\""));
        if (!json_object_get(schemas, name))
            fail_msg("no schema %s", name);
        free(name);
    }
    assert_true(references > 50);
    json_decref(json);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operation_is_documented),
        cmocka_unit_test(the_contract_is_complete),
        cmocka_unit_test(every_reference_of_the_document_leads_somewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
