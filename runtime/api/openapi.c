#include "api/openapi.h"

#include "api/problem.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>

#define DEFS       "#/$defs/"
#define COMPONENTS "#/components/schemas/"

/* The schemas that model/ writes refer to each other from where they are; here they stand among the components, the
 * parts of a model as "model.NAME". */
static void move_references(json_t *json)
{
    const char *key;
    json_t *value;
    size_t i;
    json_array_foreach(json, i, value) move_references(value);
    json_object_foreach(json, key, value)
    {
        const char *text = strcmp(key, "$ref") == 0 ? json_string_value(value) : NULL;
        char *moved = NULL;
        if (text && strncmp(text, DEFS, strlen(DEFS)) == 0)
            moved = ix_asprintf(COMPONENTS "model.%s", text + strlen(DEFS));
        else if (text && strcmp(text, "#") == 0)
            moved = ix_strdup(COMPONENTS "Model");
        if (moved)
            json_string_set(value, moved);
        else
            move_references(value);
        free(moved);
    }
}

static json_t *media(const char *type, json_t *schema)
{
    return json_pack("{s:{s:o}}", type, "schema", schema);
}

/* ---- parameters ---- */

/* The names of a template's variables are documented in their order. */
static void add_variables(json_t *parameters, const struct ix_operation *operation)
{
    size_t i = 0;
    for (const char *at = strchr(operation->path, '{'); at; at = strchr(at + 1, '{'), i++) {
        json_t *schema = json_pack("{s:s, s:i}", "type", "string", "minLength", 1);
        json_array_append_new(parameters,
                              json_pack("{s:s%, s:s, s:b, s:s, s:o}", "name", at + 1, strcspn(at + 1, "}"),
                                        "in", "path", "required", 1, "description", operation->variables[i],
                                        "schema", schema));
    }
}

static void add_query(json_t *parameters, const struct ix_table *table)
{
    for (size_t i = 0; table && i < table->count; i++) {
        json_t *schema = ix_field_schema(&table->fields[i]);
        json_t *parameter = json_pack("{s:s, s:s, s:O}", "name", table->fields[i].name, "in", "query",
                                      "description", json_object_get(schema, "description"));
        json_object_del(schema, "description");
        move_references(schema);
        json_object_set_new(parameter, "schema", schema);
        json_array_append_new(parameters, parameter);
    }
}

/* ---- bodies and answers ---- */

static json_t *body_of(const struct ix_operation *operation)
{
    json_t *schema;
    if (operation->body_text) {
        schema = json_pack("{s:s}", "$ref", COMPONENTS "Model");
    } else {
        schema = ix_table_schema(operation->body);
        if (operation->body_open)
            json_object_set_new(schema, "additionalProperties", json_true());
        move_references(schema);
    }
    return json_pack("{s:b, s:o}", "required", !operation->body_optional, "content",
                     media("application/json", schema));
}

static json_t *problem_of(int status)
{
    json_t *answer = json_pack("{s:s, s:o}", "description", ix_status_title(status), "content",
                               media(IX_PROBLEM_TYPE, json_pack("{s:s}", "$ref", COMPONENTS "Problem")));
    if (status == 503)
        json_object_set_new(answer, "headers",
                            json_pack("{s:{s:s, s:{s:s}}}", "Retry-After", "description",
                                      "Seconds until a retry makes sense.", "schema", "type", "integer"));
    return answer;
}

static void add_answer(json_t *answers, const struct ix_answer_doc *doc)
{
    char key[12];
    json_t *answer = json_pack("{s:s}", "description", doc->doc);
    bool json = !doc->type || strcmp(doc->type, "application/json") == 0;
    if (doc->schema || doc->type)
        json_object_set_new(answer, "content",
                            media(doc->type ? doc->type : "application/json",
                                  json && doc->schema
                                      ? ix_schema_of_type(doc->schema)
                                      : json_pack("{s:s}", "type", json ? "object" : "string")));
    snprintf(key, sizeof(key), "%d", doc->status);
    json_object_set_new(answers, key, answer);
}

static json_t *answers_of(const struct ix_operation *operation)
{
    json_t *answers = json_object();
    char list[200], *rest;
    for (size_t i = 0; i < IX_ARRAY_LEN(operation->answers) && operation->answers[i].status; i++)
        add_answer(answers, &operation->answers[i]);
    snprintf(list, sizeof(list), "400 403 %s %s", operation->faults ? operation->faults : "",
             operation->body ? "413 415" : "");
    for (const char *at = list; *at; at = rest) {
        long status = strtol(at, &rest, 10);
        char key[12];
        if (rest == at)
            break;
        snprintf(key, sizeof(key), "%ld", status);
        json_object_set_new(answers, key, problem_of((int)status));
    }
    return answers;
}

static json_t *operation_json(const struct ix_operation *operation)
{
    json_t *json = json_pack("{s:s, s:s, s:[s]}", "operationId", operation->id, "summary", operation->summary,
                             "tags", operation->tag);
    json_t *parameters = json_array();
    if (operation->doc)
        json_object_set_new(json, "description", json_string(operation->doc));
    add_variables(parameters, operation);
    add_query(parameters, operation->query);
    if (json_array_size(parameters) > 0)
        json_object_set(json, "parameters", parameters);
    json_decref(parameters);
    if (operation->body)
        json_object_set_new(json, "requestBody", body_of(operation));
    json_object_set_new(json, "responses", answers_of(operation));
    return json;
}

/* ---- the document ---- */

static json_t *paths_of(const struct ix_openapi_config *config)
{
    json_t *paths = json_object();
    for (size_t i = 0; i < config->operation_count; i++) {
        const struct ix_operation *operation = &config->operations[i];
        json_t *path = json_object_get(paths, operation->path);
        char method[12] = "";
        for (size_t k = 0; operation->method[k] && k < sizeof(method) - 1; k++)
            method[k] = (char)(operation->method[k] | 0x20);
        if (!path) {
            path = json_object();
            json_object_set_new(paths, operation->path, path);
        }
        json_object_set_new(path, method, operation_json(operation));
    }
    return paths;
}

/* The model's schema, its parts beside it. */
static void add_model(json_t *schemas)
{
    char *text = ix_model_schema();
    json_t *model = json_loads(text, 0, NULL), *part;
    const char *name;
    free(text);
    move_references(model);
    json_object_foreach(json_object_get(model, "$defs"), name, part)
    {
        char *full = ix_asprintf("model.%s", name);
        json_object_set(schemas, full, part);
        free(full);
    }
    json_object_del(model, "$defs");
    json_object_del(model, "$schema");
    json_object_set_new(schemas, "Model", model);
}

json_t *ix_openapi_json(const struct ix_openapi_config *config)
{
    json_t *schemas = json_object();
    for (size_t list = 0; list < config->schema_list_count; list++)
        for (const struct ix_schema *schema = config->schemas[list]; schema->name; schema++)
            json_object_set_new(schemas, schema->name, ix_schema_json(schema));
    add_model(schemas);
    return json_pack("{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s}], s:o, s:{s:o}}", "openapi", "3.1.0",
                     "info", "title", config->title, "description", config->description, "version",
                     IX_VERSION, "license", "name", "Apache-2.0", "identifier", "Apache-2.0", "servers",
                     "url", "/", "paths", paths_of(config), "components", "schemas", schemas);
}

char *ix_openapi_text(const struct ix_openapi_config *config, size_t *len)
{
    json_t *json = ix_openapi_json(config);
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(json);
    *len = text ? strlen(text) : 0;
    return text;
}
