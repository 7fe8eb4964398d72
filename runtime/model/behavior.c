/* The commands and behaviours of a model. What behaviours do is run elsewhere, from their JSON; here every
 * part of it is checked, so that a device never meets a fault in the middle of a run. */
#include "model/compile.h"

#include "base/suggest.h"
#include "base/units.h"

#include <stdlib.h>

static const char *const response_extras[IX_EXTRA_COUNT] = {[IX_EXTRA_COMMAND] = "command",
                                                            [IX_EXTRA_STATUS] = "status",
                                                            [IX_EXTRA_ERROR] = "error",
                                                            [IX_EXTRA_CORRELATION_ID] = "correlationId"};

static struct ix_template_names names_with(const struct ix_compiler *c, const char *const *extra,
                                           size_t count)
{
    struct ix_template_names names = ix_compile_names(c);

    names.attributes = c->names;
    names.attribute_count = c->name_count;
    names.extra = extra;
    names.extra_count = count;
    return names;
}

static void compile_parameters(struct ix_compiler *c, struct ix_command *command, const json_t *json,
                               const char *path)
{
    json_t *seen = json_object();

    command->parameter_count = json_array_size(json);
    command->parameters = ix_calloc(command->parameter_count + 1, sizeof(command->parameters[0]));
    for (size_t i = 0; i < command->parameter_count; i++) {
        struct ix_parameter *p = &command->parameters[i];
        char *item = ix_compile_item_path(path, i);
        struct ix_object o =
            ix_object_check(&c->check, &ix_table_parameter, json_array_get(json, i), item, 0);
        int type = ix_object_word(&o, "type");

        const char *name = ix_object_text(&o, "name");
        ix_compile_unique(c, item, name, "parameter", seen);
        p->name = ix_strdup(name ? name : "");
        p->type = type < 0 ? IX_TYPE_STRING : (enum ix_type)type;
        p->required = ix_object_boolean(&o, "required");
        free(item);
    }
    json_decref(seen);
}

static void compile_response(struct ix_compiler *c, struct ix_command *command, const struct ix_object *o)
{
    const json_t *json = ix_object_get(o, "response"), *body;
    const char **extra;
    struct ix_template_names names;
    struct ix_object response;
    char *path, *body_path;

    if (!json)
        return;
    extra = ix_calloc(command->parameter_count + IX_EXTRA_COUNT, sizeof(extra[0]));
    for (size_t i = 0; i < command->parameter_count; i++)
        extra[i] = command->parameters[i].name;
    for (size_t i = 0; i < IX_EXTRA_COUNT; i++)
        extra[command->parameter_count + i] = response_extras[i];
    names = names_with(c, extra, command->parameter_count + IX_EXTRA_COUNT);
    path = ix_object_path(o, "response");
    response = ix_object_check(&c->check, &ix_table_response, json, path, 0);
    command->response_topic = ix_compile_topic(c, &response, "topic", &names);
    body = ix_object_get(&response, "template");
    if (body) {
        body_path = ix_object_path(&response, "template");
        command->response = ix_json_template_compile(body, &names, c->check.faults, body_path);
        free(body_path);
    }
    if ((command->response && ix_json_template_uses_values(command->response)) ||
        (command->response_topic && ix_template_uses_values(command->response_topic)))
        c->model->needs_values = true;
    free(path);
    free(extra);
}

void ix_compile_commands(struct ix_compiler *c, const json_t *json)
{
    struct ix_template_names names = ix_compile_names(c);
    json_t *seen = json_object();

    c->model->command_count = json_array_size(json);
    c->model->commands = ix_calloc(c->model->command_count + 1, sizeof(c->model->commands[0]));
    for (size_t i = 0; i < c->model->command_count; i++) {
        struct ix_command *command = &c->model->commands[i];
        char *path = ix_compile_item_path("commands", i), *parameters;
        struct ix_object o = ix_object_check(&c->check, &ix_table_command, json_array_get(json, i), path, 0);

        const char *name = ix_object_text(&o, "name");
        ix_compile_unique(c, path, name, "command", seen);
        command->name = ix_strdup(name ? name : "");
        command->topic = ix_compile_topic(c, &o, "topic", &names);
        parameters = ix_object_path(&o, "parameters");
        compile_parameters(c, command, ix_object_get(&o, "parameters"), parameters);
        compile_response(c, command, &o);
        free(parameters);
        free(path);
    }
    json_decref(seen);
}

void ix_command_deinit(struct ix_command *command)
{
    free(command->name);
    ix_template_free(command->topic);
    for (size_t i = 0; i < command->parameter_count; i++)
        free(command->parameters[i].name);
    free(command->parameters);
    ix_template_free(command->response_topic);
    ix_json_template_free(command->response);
}

struct ix_expression *ix_compile_condition(struct ix_compiler *c, const struct ix_object *o)
{
    const char *text = ix_object_text(o, "condition");
    struct ix_expression *e;
    struct ix_error err;

    if (!text)
        return NULL;
    e = ix_expression_compile(text, c->names, c->name_count, &err);
    if (!e)
        ix_object_fault(o, "condition", "%s", err.text);
    return e;
}

static void check_json_template(struct ix_compiler *c, const struct ix_object *o, const char *name,
                                const struct ix_template_names *names)
{
    const json_t *json = ix_object_get(o, name);
    char *path;

    if (!json)
        return;
    path = ix_object_path(o, name);
    ix_json_template_free(ix_json_template_compile(json, names, c->check.faults, path));
    free(path);
}

/* The generator after `changes` must be valid. */
static void check_change(struct ix_compiler *c, const char *attribute, const json_t *changes,
                         const char *path, const char *attribute_path)
{
    struct ix_generator_spec spec;
    struct ix_error err;
    char hint[512];
    size_t i = 0;

    while (i < c->name_count && strcmp(c->names[i], attribute) != 0)
        i++;
    if (i == c->name_count) {
        ix_suggest_put(hint, sizeof(hint), attribute, c->names, c->name_count);
        ix_faults_add(c->check.faults, attribute_path, "no telemetry attribute is called \"%.80s\"%s",
                      attribute, c->name_count ? hint : "");
        return;
    }
    if (!c->model->attributes[i].generator.json)
        return; /* its own settings are faulty */
    if (ix_generator_spec_patch(&spec, &c->model->attributes[i].generator, changes, &err) < 0)
        ix_faults_add(c->check.faults, path, "%s", err.text);
    else
        ix_generator_spec_deinit(&spec);
}

void ix_check_changes(struct ix_compiler *c, const json_t *json, const char *path)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)json, key, value)
    {
        char *inner = ix_asprintf("%s.telemetry.%s", path, key);

        check_change(c, key, value, inner, inner);
        free(inner);
    }
}

static void check_set(struct ix_compiler *c, const struct ix_object *o)
{
    const char *attribute = ix_object_text(o, "attribute");
    json_t *changes = json_copy((json_t *)o->json);
    char *path = ix_object_path(o, "attribute");

    json_object_del(changes, "type");
    json_object_del(changes, "attribute");
    if (json_object_size(changes) == 0)
        ix_faults_add(c->check.faults, o->path,
                      "changes nothing: give value, or settings such as min and max");
    else if (attribute)
        check_change(c, attribute, changes, o->path, path);
    free(path);
    json_decref(changes);
}

static void check_action(struct ix_compiler *c, const json_t *json, const char *path,
                         const struct ix_template_names *names)
{
    struct ix_object o = ix_object_check(&c->check, &ix_table_action, json, path, 0);
    int type = ix_object_word(&o, "type");

    if (!o.json || type < 0)
        return;
    switch (type) {
    case 0: /* publish */
        ix_template_free(ix_compile_topic(c, &o, "topic", names));
        check_json_template(c, &o, "payload", names);
        break;
    case 1: /* set */
        check_set(c, &o);
        break;
    case 3: /* event */
        check_json_template(c, &o, "data", names);
        break;
    case 4: /* log */
        ix_template_free(ix_compile_template(c, &o, "message", names));
        break;
    default:
        break;
    }
}

void ix_check_actions(struct ix_compiler *c, const json_t *json, const char *path,
                      const struct ix_template_names *names)
{
    for (size_t i = 0; i < json_array_size(json); i++) {
        char *item = ix_compile_item_path(path, i);

        check_action(c, json_array_get(json, i), item, names);
        free(item);
    }
}

static void find_command(struct ix_compiler *c, struct ix_behavior *b, const struct ix_object *trigger)
{
    const char *name = ix_object_text(trigger, "command");
    const char **known;
    char hint[512];
    size_t count = c->model->command_count;

    if (!name)
        return;
    known = ix_calloc(count + 1, sizeof(known[0]));
    for (size_t i = 0; i < count; i++) {
        known[i] = c->model->commands[i].name;
        if (strcmp(known[i], name) == 0)
            b->command = i;
    }
    if (count == 0 || strcmp(known[b->command], name) != 0) {
        ix_suggest_put(hint, sizeof(hint), name, known, count);
        ix_object_fault(trigger, "command", "the model has no command \"%.80s\"%s", name, count ? hint : "");
    }
    free(known);
}

static void compile_trigger(struct ix_compiler *c, struct ix_behavior *b, const struct ix_object *o)
{
    const json_t *json = ix_object_get(o, "trigger");
    char *path = ix_object_path(o, "trigger");
    struct ix_object trigger;
    int type;

    if (json) {
        trigger = ix_object_check(&c->check, &ix_table_trigger, json, path, 0);
        type = ix_object_word(&trigger, "type");
        b->trigger = type < 0 ? IX_ON_CONNECT : (enum ix_trigger)type;
        b->cooldown_ns = (uint64_t)ix_object_integer(&trigger, "cooldownMs") * IX_MS;
        b->interval_ns = (uint64_t)ix_object_integer(&trigger, "intervalMs") * IX_MS;
        b->level = ix_object_word(&trigger, "mode") == 1;
        if (b->trigger == IX_ON_CONDITION)
            b->condition = ix_compile_condition(c, &trigger);
        if (b->trigger == IX_ON_COMMAND)
            find_command(c, b, &trigger);
    }
    free(path);
}

/* In actions after a command its parameters have names, too. */
static void check_behavior_actions(struct ix_compiler *c, const struct ix_behavior *b,
                                   const struct ix_object *o)
{
    const struct ix_command *command =
        b->trigger == IX_ON_COMMAND && c->model->command_count ? &c->model->commands[b->command] : NULL;
    size_t count = command ? command->parameter_count : 0;
    const char **extra = ix_calloc(count + 1, sizeof(extra[0]));
    struct ix_template_names names;
    char *path;

    for (size_t i = 0; i < count; i++)
        extra[i] = command->parameters[i].name;
    names = names_with(c, extra, count);
    if (ix_object_get(o, "action")) {
        path = ix_object_path(o, "action");
        check_action(c, ix_object_get(o, "action"), path, &names);
        free(path);
    }
    path = ix_object_path(o, "actions");
    ix_check_actions(c, ix_object_get(o, "actions"), path, &names);
    if (!ix_object_has(o, "action") && !ix_object_has(o, "actions"))
        ix_object_fault(o, "action", "is missing: what the behaviour does");
    if (ix_object_has(o, "actions") && json_array_size(ix_object_get(o, "actions")) == 0)
        ix_faults_add(c->check.faults, path, "must have at least one action");
    if (ix_object_has(o, "action") && ix_object_has(o, "actions"))
        ix_faults_add(c->check.faults, path, "cannot be given together with action");
    free(path);
    free(extra);
}

static void compile_behavior(struct ix_compiler *c, struct ix_behavior *b, const json_t *json,
                             const char *path)
{
    struct ix_object o = ix_object_check(&c->check, &ix_table_behavior, json, path, 0);
    const char *name = ix_object_text(&o, "name"), *handler = ix_object_text(&o, "handler");
    const json_t *config = ix_object_get(&o, "config");

    b->name = ix_strdup(name ? name : "");
    b->handler = handler ? ix_strdup(handler) : NULL;
    b->config = config ? json_deep_copy(config) : NULL;
    b->json = json_deep_copy(json);
    b->is_states = !handler && ix_object_has(&o, "states");
    if (b->is_states) {
        ix_check_states(c, &o);
    } else if (!ix_object_has(&o, "handler") && o.json) {
        compile_trigger(c, b, &o);
        check_behavior_actions(c, b, &o);
    }
}

void ix_compile_behaviors(struct ix_compiler *c, const json_t *json)
{
    json_t *seen = json_object();

    c->model->behavior_count = json_array_size(json);
    c->model->behaviors = ix_calloc(c->model->behavior_count + 1, sizeof(c->model->behaviors[0]));
    for (size_t i = 0; i < c->model->behavior_count; i++) {
        char *path = ix_compile_item_path("behaviors", i);

        compile_behavior(c, &c->model->behaviors[i], json_array_get(json, i), path);
        const char *name = c->model->behaviors[i].name;
        ix_compile_unique(c, path, name[0] ? name : NULL, "behaviour", seen);
        free(path);
    }
    if (c->model->behavior_count > 0)
        c->model->needs_values = true;
    json_decref(seen);
}

void ix_behavior_deinit(struct ix_behavior *b)
{
    free(b->name);
    free(b->handler);
    json_decref(b->config);
    ix_expression_free(b->condition);
    json_decref(b->json);
}
