/* Commands from the backend: which one it is, whether its parameters are right, what the device does by
 * itself, and the answer. */
#include "base/suggest.h"
#include "device/internal.h"

#include <stdlib.h>

void ix_command_subscribe(struct ix_device *d)
{
    const struct ix_model *model = d->group->model;
    for (size_t i = 0; i < model->command_count && d->stage == IX_S_UP; i++) {
        struct ix_buf *topic = &d->group->engine->topic;
        struct ix_template_scope scope = ix_device_scope(d, ix_engine_now(d->group->engine));
        ix_buf_clear(topic);
        ix_template_render(model->commands[i].topic, &scope, topic);
        if (d->group->protocol->subscribe(d->link, ix_buf_cstr(topic), model->connection.qos) < 0)
            ix_log_repeat(IX_LOG_WARN, d->group->title, "could not subscribe to a command's topic");
    }
}

/* ---- parameters ---- */

static bool has_type(const json_t *value, enum ix_type type)
{
    switch (type) {
    case IX_TYPE_NUMBER:
        return json_is_number(value);
    case IX_TYPE_INTEGER:
        return json_is_integer(value) ||
               (json_is_real(value) && json_real_value(value) == (double)(int64_t)json_real_value(value));
    case IX_TYPE_BOOLEAN:
        return json_is_boolean(value);
    case IX_TYPE_STRING:
        return json_is_string(value);
    case IX_TYPE_BINARY:
        break;
    case IX_TYPE_COUNT:
        return false;
    }
    if (!json_is_string(value))
        return false;
    void *bytes = ix_malloc(json_string_length(value) + 1);
    int64_t len = ix_text_base64_decode(json_string_value(value), json_string_length(value), bytes,
                                        json_string_length(value));
    free(bytes);
    return len >= 0;
}

static int check_parameters(const struct ix_command *command, const json_t *parameters, struct ix_error *err)
{
    for (size_t i = 0; i < command->parameter_count; i++) {
        const struct ix_parameter *parameter = &command->parameters[i];
        const json_t *value = json_object_get(parameters, parameter->name);
        if (!value || json_is_null(value)) {
            if (parameter->required)
                return ix_fail(err, -EINVAL, "command \"%s\": parameter \"%s\" is missing", command->name,
                               parameter->name);
        } else if (!has_type(value, parameter->type)) {
            return ix_fail(err, -EINVAL, "command \"%s\": parameter \"%s\" must be of type %s", command->name,
                           parameter->name,
                           parameter->type == IX_TYPE_BINARY ? "binary (base64 text)"
                                                             : ix_type_names[parameter->type]);
        }
    }
    return 0;
}

/* An object; nothing at all counts as an empty one. NULL with a message otherwise. */
static json_t *parse(const struct ix_command *command, const char *json, size_t len, struct ix_error *err)
{
    if (len == 0)
        return json_object();
    json_error_t fault;
    json_t *parameters = json_loadb(json, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
    if (json_is_object(parameters))
        return parameters;
    ix_fail(err, -EINVAL, "command \"%s\": the payload must be a JSON object%s%s", command->name,
            parameters ? "" : ": ", parameters ? "" : fault.text);
    json_decref(parameters);
    return NULL;
}

/* ---- answers ---- */

struct response {
    struct ix_device *d;
    const struct ix_command *command;
    const json_t *parameters; /* NULL when the payload was none */
    const char *error;        /* NULL: ok */
    char **texts;             /* compound members as JSON text */
};

static void set_text(struct ix_value *out, const char *text, size_t len, enum ix_value_kind kind)
{
    *out = (struct ix_value){.kind = kind, .text = {text, len}};
}

/* The member of the command's payload; `place` is where its text is kept, if one is made. */
static bool member_value(struct response *r, const char *name, size_t place, struct ix_value *out)
{
    const json_t *value = json_object_get(r->parameters, name);
    if (json_is_string(value)) {
        set_text(out, json_string_value(value), json_string_length(value), IX_V_STRING);
    } else if (json_is_boolean(value)) {
        *out = (struct ix_value){.kind = IX_V_BOOLEAN, .boolean = json_is_true(value)};
    } else if (json_is_integer(value)) {
        *out = (struct ix_value){.kind = IX_V_INTEGER, .integer = json_integer_value(value)};
    } else if (json_is_real(value)) {
        *out = (struct ix_value){.kind = IX_V_NUMBER, .decimals = -1, .number = json_real_value(value)};
    } else if (json_is_object(value) || json_is_array(value)) {
        if (!r->texts[place])
            r->texts[place] = json_dumps(value, JSON_COMPACT);
        if (!r->texts[place])
            return false;
        set_text(out, r->texts[place], strlen(r->texts[place]), IX_V_JSON);
    } else {
        return false;
    }
    return true;
}

static bool response_extra(void *context, size_t place, struct ix_value *out)
{
    struct response *r = context;
    size_t count = r->command->parameter_count;
    if (place < count)
        return member_value(r, r->command->parameters[place].name, place, out);
    if (place == count + IX_EXTRA_CORRELATION_ID)
        return member_value(r, "correlationId", count, out);
    const char *text = NULL;
    if (place == count + IX_EXTRA_COMMAND)
        text = r->command->name;
    else if (place == count + IX_EXTRA_STATUS)
        text = r->error ? "error" : "ok";
    else if (place == count + IX_EXTRA_ERROR)
        text = r->error;
    if (!text)
        return false;
    set_text(out, text, strlen(text), IX_V_STRING);
    return true;
}

static bool response_value(void *context, size_t place, struct ix_value *out)
{
    return ix_device_value(((struct response *)context)->d, place, out);
}

static void put_member(struct ix_buf *out, const char *name, const char *text)
{
    ix_buf_char(out, out->len ? ',' : '{');
    ix_text_json_string(out, name, strlen(name));
    ix_buf_char(out, ':');
    ix_text_json_string(out, text, strlen(text));
}

static void put_default(struct ix_buf *out, struct response *r)
{
    put_member(out, "command", r->command->name);
    put_member(out, "status", r->error ? "error" : "ok");
    if (r->error)
        put_member(out, "error", r->error);
    struct ix_value correlation;
    if (member_value(r, "correlationId", r->command->parameter_count, &correlation)) {
        ix_buf_str(out, ",\"correlationId\":");
        ix_value_put_json(out, &correlation);
    }
    ix_buf_char(out, '}');
}

static void answer(struct ix_device *d, const struct ix_command *command, const json_t *parameters,
                   const char *error)
{
    if (!command->response_topic || d->stage != IX_S_UP)
        return;
    struct ix_engine *engine = d->group->engine;
    uint64_t now = ix_engine_now(engine);
    struct response r = {d, command, parameters, error,
                         ix_calloc(command->parameter_count + 1, sizeof(char *))};
    struct ix_template_scope scope = ix_device_scope(d, now);
    scope.value = response_value;
    scope.extra = response_extra;
    scope.context = &r;
    ix_buf_clear(&engine->topic);
    ix_template_render(command->response_topic, &scope, &engine->topic);
    ix_buf_clear(&engine->response);
    if (command->response)
        ix_json_template_render(command->response, &scope, &engine->response);
    else
        put_default(&engine->response, &r);
    struct ix_message message = {.topic = ix_buf_cstr(&engine->topic),
                                 .payload = ix_buf_cstr(&engine->response),
                                 .len = engine->response.len,
                                 .qos = d->group->model->connection.qos};
    if (ix_device_publish(d, &message, now) == 0)
        ix_device_count(d, IX_C_COMMANDS_ANSWERED, 1);
    for (size_t i = 0; i <= command->parameter_count; i++)
        free(r.texts[i]);
    free(r.texts);
}

/* ---- what it does ---- */

static int reboot(struct ix_device *d, const struct ix_command *command, const json_t *parameters,
                  struct ix_error *err)
{
    const json_t *delay = json_object_get(parameters, "delayMs");
    struct ix_device_extra *extra = ix_device_extra(d);
    extra->leave_back_ns = IX_REBOOT_AWAY_NS;
    if (delay) {
        double ms = json_number_value(delay);
        if (!json_is_number(delay) || !(ms >= 0 && ms <= 1e9))
            return ix_fail(err, -EINVAL, "command \"%s\": delayMs must be from 0 to 1e9", command->name);
        extra->leave_back_ns = (uint64_t)(ms * 1e6);
    }
    extra->leave_ns = ix_engine_now(d->group->engine) + (command->response_topic ? IX_REBOOT_GRACE_NS : 0);
    ix_device_rearm(d);
    return 0;
}

/* An actuator reports its new state at once; sensors at their next tick. */
static void report_state(struct ix_device *d, const char *attribute)
{
    const struct ix_model *model = d->group->model;
    for (size_t s = 0; s < model->attribute_count; s++) {
        if (model->kind == IX_KIND_ACTUATOR && strcmp(model->attributes[s].name, attribute) == 0 &&
            ix_device_generator(d, s)->spec->kind == IX_GEN_CONSTANT)
            ix_telemetry_publish_now(d, s);
    }
}

static int set_attribute(struct ix_device *d, const struct ix_command *command, const char *attribute,
                         const json_t *value, struct ix_error *err)
{
    char *changes = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!changes)
        return ix_fail(err, -EINVAL, "command \"%s\": the value can't be written as JSON", command->name);
    int rc = ix_device_set(d, attribute, changes, err);
    free(changes);
    if (rc == 0)
        report_state(d, attribute);
    return rc;
}

/* Sets what carries an attribute's name in the command's payload. Returns how many. */
static int set_named(struct ix_device *d, const struct ix_command *command, const json_t *parameters,
                     struct ix_error *err)
{
    const struct ix_model *model = d->group->model;
    int count = 0;
    for (size_t s = 0; s < model->attribute_count; s++) {
        const char *name = model->attributes[s].name;
        const json_t *value = json_object_get(parameters, name);
        if (!value || json_is_null(value))
            continue;
        int rc = set_attribute(d, command, name, value, err);
        if (rc < 0)
            return rc;
        count++;
    }
    return count;
}

/* {"attribute": name, "value": …}, or {name: value, …}. */
static int set(struct ix_device *d, const struct ix_command *command, const json_t *parameters,
               struct ix_error *err)
{
    const char *attribute = json_string_value(json_object_get(parameters, "attribute"));
    const json_t *value = json_object_get(parameters, "value");
    if (attribute && value)
        return set_attribute(d, command, attribute, value, err);
    int count = attribute ? 0 : set_named(d, command, parameters, err);
    if (count == 0)
        return ix_fail(
            err, -EINVAL,
            "command \"%s\" needs {\"attribute\": name, \"value\": …}, or names of attributes with "
            "their values",
            command->name);
    return count;
}

static bool has_behavior(const struct ix_model *model, size_t place)
{
    for (size_t i = 0; i < model->behavior_count; i++) {
        const struct ix_behavior *behavior = &model->behaviors[i];
        if (!behavior->handler && !behavior->is_states && behavior->trigger == IX_ON_COMMAND &&
            behavior->command == place)
            return true;
    }
    return false;
}

static int carry_out(struct ix_device *d, size_t place, const json_t *parameters, struct ix_error *err)
{
    const struct ix_hooks *hooks = &d->group->engine->config.hooks;
    const struct ix_command *command = &d->group->model->commands[place];
    int rc = IX_COMMAND_UNHANDLED;
    if ((d->group->hooks & IX_HOOK_COMMAND) && hooks->command)
        rc = hooks->command(hooks->context, d->group->script, d, command, parameters, err);
    if (rc < 0 || d->stage == IX_S_IDLE)
        return rc < 0 ? rc : 0;
    ix_behavior_commanded(d, place, parameters, ix_engine_now(d->group->engine));
    if (rc != IX_COMMAND_UNHANDLED || has_behavior(d->group->model, place) || d->stage == IX_S_IDLE)
        return 0;
    if (strcmp(command->name, "reboot") == 0)
        return reboot(d, command, parameters, err);
    if (strcmp(command->name, "set") == 0)
        return set(d, command, parameters, err);
    return d->group->model->kind == IX_KIND_ACTUATOR ? set_named(d, command, parameters, err) : 0;
}

static int execute(struct ix_device *d, size_t place, const char *json, size_t len, struct ix_error *err)
{
    const struct ix_command *command = &d->group->model->commands[place];
    ix_device_count(d, IX_C_COMMANDS, 1);
    json_t *parameters = parse(command, json, len, err);
    int rc = parameters ? check_parameters(command, parameters, err) : -EINVAL;
    if (rc == 0)
        rc = carry_out(d, place, parameters, err);
    if (rc == -EINVAL)
        ix_device_count(d, IX_C_COMMANDS_INVALID, 1);
    answer(d, command, parameters, rc < 0 ? err->text : NULL);
    json_decref(parameters);
    return rc < 0 ? rc : 0;
}

void ix_command_received(struct ix_device *d, const struct ix_message *message)
{
    const struct ix_model *model = d->group->model;
    for (size_t i = 0; i < model->command_count; i++) {
        struct ix_buf *topic = &d->group->engine->topic;
        struct ix_template_scope scope = ix_device_scope(d, ix_engine_now(d->group->engine));
        ix_buf_clear(topic);
        ix_template_render(model->commands[i].topic, &scope, topic);
        if (strcmp(ix_buf_cstr(topic), message->topic) != 0)
            continue;
        struct ix_error err = {0};
        if (execute(d, i, message->payload, message->len, &err) < 0)
            ix_log_repeat(IX_LOG_WARN, d->group->title, err.text);
        return;
    }
}

int ix_engine_command(struct ix_engine *engine, struct ix_device *d, const char *name, const char *json,
                      size_t len, struct ix_error *err)
{
    (void)engine;
    const struct ix_model *model = d->group->model;
    struct ix_error own = {0};
    if (!err)
        err = &own;
    size_t place = 0;
    while (place < model->command_count && strcmp(model->commands[place].name, name) != 0)
        place++;
    if (place == model->command_count) {
        const char **names = ix_calloc(model->command_count + 1, sizeof(*names));
        for (size_t i = 0; i < model->command_count; i++)
            names[i] = model->commands[i].name;
        char hint[256];
        ix_suggest_put(hint, sizeof(hint), name, names, model->command_count);
        free(names);
        return ix_fail(err, -ENOENT, "model \"%s\" has no command \"%s\"%s", model->id, name, hint);
    }
    if (d->stage != IX_S_UP)
        return ix_fail(err, -ENOTCONN, "the device is not connected: command \"%s\" can't reach it", name);
    return execute(d, place, json, len, err);
}
