/* The telemetry attributes of a model. */
#include "model/compile.h"

#include "base/text.h"
#include "base/units.h"

#include <stdlib.h>

#define NAME_MAX_LEN 64

const char *const ix_generator_names[IX_GEN_COUNT] = {
    [IX_GEN_RANDOM] = "random", [IX_GEN_SEQUENCE] = "sequence", [IX_GEN_CONSTANT] = "constant",
    [IX_GEN_REPLAY] = "replay", [IX_GEN_CUSTOM] = "custom",     [IX_GEN_STAMP] = "stamp",
};

char *ix_compile_item_path(const char *path, size_t i)
{
    return ix_asprintf("%s[%zu]", path, i);
}

void ix_compile_unique(struct ix_compiler *c, const char *path, const char *name, const char *what,
                       json_t *seen)
{
    if (name && json_object_get(seen, name))
        ix_faults_add(c->check.faults, path, "there is another %s called \"%.80s\"", what, name);
    else if (name)
        json_object_set_new(seen, name, json_true());
}

/* Keys of every payload and names of templates cannot name attributes. */
static void check_name(struct ix_compiler *c, const char *path, const char *name)
{
    static const char *const reserved[] = {"deviceId", "timestamp", "unit", "modelId",
                                           "groupId",  "index",     "true", "false"};

    for (size_t i = 0; i < IX_ARRAY_LEN(reserved); i++) {
        if (strcmp(reserved[i], name) == 0)
            ix_faults_add(c->check.faults, path, "\"%s\" has a meaning of its own in payloads and templates",
                          name);
    }
    if (strncmp(name, "metadata.", 9) == 0 || strncmp(name, "env.", 4) == 0)
        ix_faults_add(c->check.faults, path, "must not begin with \"metadata.\" or \"env.\"");
    if (strlen(name) > NAME_MAX_LEN)
        ix_faults_add(c->check.faults, path, "is longer than %d bytes", NAME_MAX_LEN);
    for (const char *at = name; *at; at++) {
        if ((unsigned char)*at < 0x20 || strchr("{}\"\\", *at)) {
            ix_faults_add(c->check.faults, path, "must not contain control characters, quotes or braces");
            return;
        }
    }
}

static char *json_piece(const char *before, const char *text, const char *after)
{
    struct ix_buf buf;
    char *piece;

    ix_buf_init(&buf, 1 << 20);
    ix_buf_str(&buf, before);
    ix_text_json_string(&buf, text, strlen(text));
    ix_buf_str(&buf, after);
    piece = ix_strdup(ix_buf_cstr(&buf));
    ix_buf_deinit(&buf);
    return piece;
}

static void compile_phase(struct ix_attribute *a, const struct ix_object *o)
{
    const json_t *phase = ix_object_get(o, "phase");

    if (json_is_string(phase)) {
        a->phase = IX_PHASE_RANDOM;
    } else if (ix_object_integer(o, "phase") > 0) {
        a->phase = IX_PHASE_FIXED;
        a->phase_ns = (uint64_t)ix_object_integer(o, "phase") * IX_MS;
    }
}

static void warn_missing_file(struct ix_compiler *c, const struct ix_attribute *a,
                              const struct ix_object *generator)
{
    struct ix_error err;
    char *path = NULL, *field;
    int rc;

    if (!a->generator.file)
        return;
    rc = ix_model_data_file(c->model, a->generator.file, &path, &err);
    free(path);
    if (rc >= 0)
        return;
    field = ix_object_path(generator, "dataFile");
    if (rc == -EPERM)
        ix_faults_add(c->check.faults, field, "%s", err.text);
    else
        ix_faults_warn(c->check.faults, field, "%s", err.text);
    free(field);
}

static void compile_attribute(struct ix_compiler *c, struct ix_attribute *a, const json_t *json, size_t i)
{
    struct ix_template_names names = ix_compile_names(c);
    char *path = ix_compile_item_path("telemetry", i);
    struct ix_object o = ix_object_check(&c->check, &ix_table_attribute, json, path, 0), generator;
    const char *name = ix_object_text(&o, "name"), *unit = ix_object_text(&o, "unit");
    char *generator_path = ix_object_path(&o, "generator");
    const json_t *generator_json = ix_object_get(&o, "generator");
    int type = ix_object_word(&o, "type");
    int precision = ix_object_get(&o, "precision") ? (int)ix_object_integer(&o, "precision") : -1;

    a->name = ix_strdup(name ? name : "");
    a->type = type < 0 ? IX_TYPE_NUMBER : (enum ix_type)type;
    a->unit = unit ? ix_strdup(unit) : NULL;
    a->interval_ns = (uint64_t)ix_object_integer(&o, "intervalMs") * IX_MS;
    a->json_key = json_piece("", a->name, ":");
    a->json_unit = unit ? json_piece(",\"unit\":", unit, "") : ix_strdup("");
    a->topic = ix_compile_topic(c, &o, "topic", &names);
    a->total = ix_object_has(&o, "total") ? (uint64_t)ix_object_integer(&o, "total") : 0;
    compile_phase(a, &o);
    if (name) {
        char *name_path = ix_object_path(&o, "name");

        check_name(c, name_path, name);
        ix_compile_unique(c, name_path, name, "attribute", c->seen);
        free(name_path);
    }
    if (precision >= 0 && type >= 0 && a->type != IX_TYPE_NUMBER)
        ix_object_warn(&o, "precision", "has no effect; it belongs to attributes of type number");
    if (generator_json && type >= 0) {
        generator = ix_object_check(&c->check, &ix_table_generator, generator_json, generator_path, 0);
        ix_generator_spec_compile(&a->generator, &generator, a->type, precision, c->source);
        warn_missing_file(c, a, &generator);
    } else if (generator_json) {
        ix_object_check(&c->check, &ix_table_generator, generator_json, generator_path, 0);
    }
    free(generator_path);
    free(path);
}

/* All names first: templates and duplicates look at them. */
static void collect_names(struct ix_compiler *c, const json_t *json)
{
    c->name_count = json_array_size(json);
    c->names = ix_calloc(c->name_count + 1, sizeof(c->names[0]));
    for (size_t i = 0; i < c->name_count; i++) {
        const char *name = json_string_value(json_object_get(json_array_get(json, i), "name"));

        c->names[i] = name ? name : "";
    }
}

void ix_compile_telemetry(struct ix_compiler *c, const json_t *json)
{
    collect_names(c, json);
    c->seen = json_object();
    c->model->attribute_count = c->name_count;
    c->model->attributes = ix_calloc(c->name_count + 1, sizeof(c->model->attributes[0]));
    for (size_t i = 0; i < c->name_count; i++)
        compile_attribute(c, &c->model->attributes[i], json_array_get(json, i), i);
    json_decref(c->seen);
    c->seen = NULL;
}

void ix_attribute_deinit(struct ix_attribute *a)
{
    free(a->name);
    free(a->unit);
    free(a->json_key);
    free(a->json_unit);
    ix_template_free(a->topic);
    ix_generator_spec_deinit(&a->generator);
}
