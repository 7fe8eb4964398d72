#include "model/model.h"

#include "base/random.h"
#include "model/compile.h"

#include <search.h>
#include <stdlib.h>

#define CHILD_DEPTH 8

static struct ix_model *compile(const json_t *json, const struct ix_json_source *source,
                                const struct ix_model_options *options, struct ix_faults *faults, int depth);

struct ix_template_names ix_compile_names(const struct ix_compiler *c)
{
    return (struct ix_template_names){
        .metadata = c->model->metadata,
        .allowed_env = c->options->allowed_env,
        .allowed_env_count = c->options->allowed_env_count,
    };
}

static char *copy(const char *text)
{
    return text ? ix_strdup(text) : NULL;
}

/* A child that is written out is a model of its own; its faults are reported under its path. */
static void check_inline_child(struct ix_compiler *c, const json_t *json, const char *path)
{
    struct ix_faults faults;

    if (c->depth >= CHILD_DEPTH) {
        ix_faults_add(c->check.faults, path, "gateways are nested deeper than %d levels", CHILD_DEPTH);
        return;
    }
    ix_faults_init(&faults);
    ix_model_free(compile(json, c->source, c->options, &faults, c->depth + 1));
    for (size_t i = 0; i < faults.count; i++) {
        const struct ix_fault *f = &faults.items[i];
        char *inner = ix_asprintf("%s%s%s", path, f->path[0] ? "." : "", f->path);

        if (f->warning)
            ix_faults_warn(c->check.faults, inner, "%s", f->message);
        else
            ix_faults_add(c->check.faults, inner, "%s", f->message);
        free(inner);
    }
    ix_faults_deinit(&faults);
}

static void check_child_pattern(const struct ix_object *o)
{
    const char *pattern = ix_object_text(o, "idPattern");
    const char *index = pattern ? strstr(pattern, "{index}") : NULL;

    if (pattern && (!index || strstr(index + 1, "{index}")))
        ix_object_fault(o, "idPattern", "must contain {index} exactly once");
    if (pattern && !strstr(pattern, "{deviceId}"))
        ix_object_fault(o, "idPattern", "must contain {deviceId}: every gateway has children of its own");
}

static int compare_addresses(const void *a, const void *b)
{
    return a < b ? -1 : a > b;
}

static void keep(void *value)
{
    (void)value;
}

static void compile_children(struct ix_compiler *c, const struct ix_object *model)
{
    const json_t *json = ix_object_get(model, "children");
    void *checked = NULL; /* models that several children have */

    if (!json)
        return;
    if (c->model->kind != IX_KIND_GATEWAY)
        ix_object_fault(model, "children", "are for models of type gateway");
    for (size_t i = 0; i < json_array_size(json); i++) {
        char *path = ix_compile_item_path("children", i), *inner;
        struct ix_object o = ix_object_check(&c->check, &ix_table_child, json_array_get(json, i), path, 0);

        const json_t *own = ix_object_get(&o, "model");
        inner = ix_object_path(&o, "model");
        if (json_is_object(own) && !tfind(own, &checked, compare_addresses)) {
            tsearch(own, &checked, compare_addresses);
            check_inline_child(c, own, inner);
        }
        check_child_pattern(&o);
        free(inner);
        free(path);
    }
    tdestroy(checked, keep);
    c->model->children = json_incref((json_t *)json);
}

static void compile_model(struct ix_compiler *c, const json_t *json)
{
    struct ix_model *m = c->model;
    struct ix_object o = ix_object_check(&c->check, &ix_table_model, json, "", 0);
    int kind = ix_object_word(&o, "type"), protocol = ix_object_word(&o, "protocol");
    const json_t *metadata = ix_object_get(&o, "metadata");

    if (!o.json)
        return;
    m->id = copy(ix_object_text(&o, "id"));
    m->name = copy(ix_object_text(&o, "name"));
    m->description = copy(ix_object_text(&o, "description"));
    m->version = copy(ix_object_text(&o, "version"));
    m->kind = kind < 0 ? IX_KIND_CUSTOM : (enum ix_model_kind)kind;
    m->metadata = metadata ? json_deep_copy(metadata) : NULL;
    m->connection.protocol = protocol < 0 ? IX_PROTOCOL_MQTT : (enum ix_protocol_kind)protocol;
    if (protocol >= 0)
        ix_compile_connection(c, ix_object_get(&o, "connection"));
    ix_compile_telemetry(c, ix_object_get(&o, "telemetry"));
    ix_compile_commands(c, ix_object_get(&o, "commands"));
    ix_compile_behaviors(c, ix_object_get(&o, "behaviors"));
    compile_children(c, &o);
    if (m->kind == IX_KIND_SENSOR && m->attribute_count == 0 && m->behavior_count == 0 && kind >= 0 &&
        (!ix_object_has(&o, "telemetry") || ix_object_get(&o, "telemetry")))
        ix_object_fault(&o, "telemetry", "a sensor needs at least one telemetry attribute, or a behaviour");
}

/* Equal for equal documents, however they are laid out; numbers published as written count as written. */
static uint64_t hash_of(const struct ix_model *m, const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    uint64_t hash = text ? ix_hash64(text, strlen(text)) : 0;

    free(text);
    for (size_t i = 0; i < m->attribute_count; i++) {
        const struct ix_generator_spec *spec = &m->attributes[i].generator;

        if (spec->kind == IX_GEN_CONSTANT && spec->text && json_is_real(spec->value))
            hash = ix_random_key(hash, ix_hash64(spec->text, strlen(spec->text)));
        else if (spec->kind == IX_GEN_SEQUENCE)
            hash = ix_random_key(hash, (uint64_t)spec->decimals);
    }
    return hash;
}

static struct ix_model *compile(const json_t *json, const struct ix_json_source *source,
                                const struct ix_model_options *options, struct ix_faults *faults, int depth)
{
    struct ix_compiler c = {.check = {faults, options->lenient},
                            .options = options,
                            .source = source,
                            .model = ix_calloc(1, sizeof(struct ix_model)),
                            .depth = depth};

    c.model->folder = copy(options->folder);
    compile_model(&c, json);
    free(c.names);
    if (faults->errors > 0) {
        ix_model_free(c.model);
        return NULL;
    }
    c.model->hash = hash_of(c.model, json);
    return c.model;
}

struct ix_model *ix_model_compile(const json_t *json, const struct ix_model_options *options,
                                  struct ix_faults *faults)
{
    static const struct ix_model_options none;

    return compile(json, NULL, options ? options : &none, faults, 0);
}

json_t *ix_model_read(const char **text, size_t *len, json_error_t *error)
{
    if (*len >= 3 && memcmp(*text, "\xef\xbb\xbf", 3) == 0) {
        *text += 3;
        *len -= 3;
    }
    return json_loadb(*text, *len, JSON_ALLOW_NUL, error);
}

struct ix_model *ix_model_parse(const char *text, size_t len, const struct ix_model_options *options,
                                struct ix_faults *faults)
{
    static const struct ix_model_options none;
    struct ix_json_source source;
    struct ix_model *model = NULL;
    json_error_t error;
    json_t *json = ix_model_read(&text, &len, &error);

    if (!json) {
        ix_faults_add(faults, "", "malformed JSON at line %d, column %d: %s", error.line, error.column,
                      error.text);
        return NULL;
    }
    ix_json_source_init(&source, text, len, json, faults);
    model = compile(json, &source, options ? options : &none, faults, 0);
    ix_json_source_deinit(&source);
    json_decref(json);
    return model;
}

void ix_model_free(struct ix_model *m)
{
    if (!m)
        return;
    free(m->id);
    free(m->name);
    free(m->description);
    free(m->version);
    free(m->folder);
    ix_connection_deinit(&m->connection);
    for (size_t i = 0; i < m->attribute_count; i++)
        ix_attribute_deinit(&m->attributes[i]);
    free(m->attributes);
    for (size_t i = 0; i < m->command_count; i++)
        ix_command_deinit(&m->commands[i]);
    free(m->commands);
    for (size_t i = 0; i < m->behavior_count; i++)
        ix_behavior_deinit(&m->behaviors[i]);
    free(m->behaviors);
    json_decref(m->children);
    json_decref(m->metadata);
    free(m);
}
