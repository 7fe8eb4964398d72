#include "script/model_hooks.h"

#include "base/suggest.h"
#include "script/device_handle.h"
#include "script/handler.h"
#include "script/lua_json.h"

enum event { ON_START, ON_CONNECT, ON_TELEMETRY, ON_COMMAND, ON_TIMER, ON_STOP, ON_FIRE, EVENT_COUNT };

/* Functions of handler files, on_start(device) …; methods of iotix.behavior's objects, start(self, device) …;
 * and the hook that makes the engine call them. */
static const struct {
    const char *function;
    const char *method;
    unsigned hook;
} events[EVENT_COUNT] = {
    [ON_START] = {"on_start", "start", IX_HOOK_START},
    [ON_CONNECT] = {"on_connect", "connect", IX_HOOK_CONNECT},
    [ON_TELEMETRY] = {"on_telemetry", "telemetry", IX_HOOK_TELEMETRY},
    [ON_COMMAND] = {"on_command", "command", IX_HOOK_COMMAND},
    [ON_TIMER] = {"on_timer", "timer", 0},
    [ON_STOP] = {"on_stop", "stop", IX_HOOK_STOP},
    [ON_FIRE] = {NULL, "fire", IX_HOOK_FIRED},
};

struct behavior {
    int functions[EVENT_COUNT]; /* references, LUA_NOREF: not defined */
    int self_ref;               /* of an object; LUA_NOREF: plain functions */
};

struct ix_behaviors {
    struct ix_script *script;
    size_t count;
    struct behavior items[];
};

/* ---- opening ---- */

struct opening {
    const struct ix_model *model;
    struct ix_behaviors *behaviors;
    unsigned hooks;
    struct ix_error *err;
    int code;
};

static int take_functions(lua_State *L, struct opening *o, struct behavior *behavior, bool is_object)
{
    int table = lua_gettop(L);
    for (int e = 0; e < EVENT_COUNT; e++) {
        const char *name = is_object ? events[e].method : events[e].function;
        if (!name)
            continue;
        lua_getfield(L, table, name);
        if (lua_isfunction(L, -1)) {
            behavior->functions[e] = luaL_ref(L, LUA_REGISTRYINDEX);
            o->hooks |= events[e].hook;
            continue;
        }
        bool absent = lua_isnil(L, -1);
        lua_pop(L, 1);
        if (!absent)
            return ix_fail(o->err, -EINVAL, "%s is not a function", name);
    }
    return 0;
}

/* A misspelt on_… would never be called. */
static int check_names(lua_State *L, struct opening *o)
{
    const char *known[EVENT_COUNT];
    size_t count = 0;
    char hint[256];
    for (int e = 0; e < EVENT_COUNT; e++)
        if (events[e].function)
            known[count++] = events[e].function;
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pop(L, 1);
        const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        bool is_known = strncmp(name, "on_", 3) != 0;
        for (size_t i = 0; i < count && !is_known; i++)
            is_known = strcmp(name, known[i]) == 0;
        if (!is_known) {
            ix_suggest_put(hint, sizeof hint, name, known, count);
            ix_fail(o->err, -EINVAL, "there is no event %s%s", name, hint);
            lua_pop(L, 1);
            return -EINVAL;
        }
    }
    return 0;
}

/* handler: a table of functions, or function(config) that returns one. */
static int open_handler(lua_State *L, struct opening *o, const struct ix_behavior *spec,
                        struct behavior *behavior)
{
    int code = ix_handler_find(L, "behaviors", spec->handler, o->err);
    if (code < 0)
        return code;
    if (lua_isfunction(L, -1)) {
        ix_lua_push_json(L, spec->config);
        lua_call(L, 1, 1);
    }
    if (!lua_istable(L, -1))
        return ix_fail(o->err, -EINVAL,
                       "handler \"%s\" must be a table of functions such as on_start(device), or a "
                       "function(config) that returns one, not a %s",
                       spec->handler, luaL_typename(L, -1));
    code = check_names(L, o);
    return code < 0 ? code : take_functions(L, o, behavior, false);
}

/* Actions and state machines: an object of iotix.behavior. */
static int open_json(lua_State *L, struct opening *o, const struct ix_behavior *spec,
                     struct behavior *behavior)
{
    char *text = json_dumps(spec->json, JSON_COMPACT | JSON_ENCODE_ANY);
    ix_push_owned(L, text, text ? strlen(text) : 0);
    int json = lua_gettop(L);
    ix_push_export(L, "iotix.behavior", "new");
    lua_pushvalue(L, json);
    lua_call(L, 1, 1);
    if (!lua_istable(L, -1))
        return ix_fail(o->err, -EINVAL, "iotix.behavior.new gave no object");
    lua_pushvalue(L, -1);
    behavior->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return take_functions(L, o, behavior, true);
}

/* (opening); luaL_ref and the rest may raise: what is done so far is in `behaviors`. */
static int open_all(lua_State *L)
{
    struct opening *o = lua_touserdata(L, 1);
    for (size_t i = 0; i < o->model->behavior_count; i++) {
        const struct ix_behavior *spec = &o->model->behaviors[i];
        struct behavior *behavior = &o->behaviors->items[i];
        o->code = spec->handler ? open_handler(L, o, spec, behavior) : open_json(L, o, spec, behavior);
        if (o->code < 0) {
            ix_error_prefix(o->err, "behavior \"%s\"", spec->name);
            return 0;
        }
        lua_settop(L, 1);
    }
    return 0;
}

static void model_close(void *context, void *handle)
{
    struct ix_script *script = context;
    struct ix_behaviors *behaviors = handle;
    for (size_t i = 0; i < behaviors->count; i++) {
        for (int e = 0; e < EVENT_COUNT; e++)
            luaL_unref(script->L, LUA_REGISTRYINDEX, behaviors->items[i].functions[e]);
        luaL_unref(script->L, LUA_REGISTRYINDEX, behaviors->items[i].self_ref);
    }
    free(behaviors);
}

static int model_open(void *context, const struct ix_model *model, void **handle, unsigned *hooks,
                      struct ix_error *err)
{
    struct ix_script *script = context;
    struct ix_entry entry;
    *handle = NULL;
    *hooks = 0;
    if (!model->behavior_count)
        return 0;
    lua_State *L = ix_enter(script, &entry, err);
    if (!L)
        return err->code;
    struct ix_behaviors *behaviors =
        ix_calloc(1, sizeof *behaviors + model->behavior_count * sizeof *behaviors->items);
    behaviors->script = script;
    behaviors->count = model->behavior_count;
    for (size_t i = 0; i < behaviors->count; i++) {
        for (int e = 0; e < EVENT_COUNT; e++)
            behaviors->items[i].functions[e] = LUA_NOREF;
        behaviors->items[i].self_ref = LUA_NOREF;
    }
    struct opening opening = {.model = model, .behaviors = behaviors, .err = err};
    script->model_folder = model->folder;
    lua_pushcfunction(L, open_all);
    lua_pushlightuserdata(L, &opening);
    int code = ix_entry_try(&entry, 1, 0, err);
    script->model_folder = NULL;
    ix_leave(&entry);
    if (code == 0)
        code = opening.code;
    if (code < 0) {
        model_close(script, behaviors);
        return -EINVAL;
    }
    *handle = behaviors;
    *hooks = opening.hooks | IX_HOOK_START | IX_HOOK_STOP;
    return 0;
}

/* ---- calling ---- */

/* A call of one event: begin, push the arguments, finish. */
struct call {
    struct ix_handle_entry entry;
    lua_State *L;
    int arguments;
};

static bool call_begin(struct call *call, struct ix_device_handle *handle, const struct behavior *behavior,
                       enum event event)
{
    if (behavior->functions[event] == LUA_NOREF)
        return false;
    lua_State *L = call->L = ix_handle_enter(handle, &call->entry);
    if (!L)
        return false;
    lua_rawgeti(L, LUA_REGISTRYINDEX, behavior->functions[event]);
    call->arguments = 1;
    if (behavior->self_ref != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, behavior->self_ref);
        call->arguments++;
    }
    ix_handle_push(L, handle);
    return true;
}

static void call_end(struct call *call, int pushed)
{
    ix_handle_call(&call->entry, call->arguments + pushed, 0);
    ix_handle_leave(&call->entry);
}

/* An event without further arguments, for all behaviours in the model's order. */
static void call_all(struct ix_behaviors *behaviors, struct ix_device_handle *handle, enum event event)
{
    struct call call;
    handle->busy++;
    for (size_t i = 0; i < behaviors->count; i++)
        if (call_begin(&call, handle, &behaviors->items[i], event))
            call_end(&call, 0);
    handle->busy--;
    ix_handle_release(handle);
}

static void device_start(void *context, void *handle, struct ix_device *d)
{
    struct ix_device_handle *h = ix_handle_of(context, d);
    h->behaviors = handle;
    h->stopped = h->failed = false;
    call_all(handle, h, ON_START);
}

/* Also for devices whose model has no behaviours, when a script kept something with them. */
static void device_stop(void *context, void *handle, struct ix_device *d)
{
    (void)context;
    struct ix_device_handle *h = ix_handle_find(d);
    if (!h)
        return;
    if (handle && h->behaviors) {
        h->busy++;
        call_all(handle, h, ON_STOP);
        h->busy--;
    }
    ix_handle_stop(h);
}

static void connected(void *context, void *handle, struct ix_device *d)
{
    (void)context;
    struct ix_device_handle *h = ix_handle_find(d);
    if (h && h->behaviors)
        call_all(handle, h, ON_CONNECT);
}

static void telemetry(void *context, void *handle, struct ix_device *d, size_t stream,
                      const struct ix_value *value)
{
    (void)context;
    struct ix_behaviors *behaviors = handle;
    struct ix_device_handle *h = ix_handle_find(d);
    const char *name = ix_device_model(d)->attributes[stream].name;
    struct call call;
    if (!h)
        return;
    h->busy++;
    for (size_t i = 0; i < behaviors->count && h->behaviors; i++) {
        if (!call_begin(&call, h, &behaviors->items[i], ON_TELEMETRY))
            continue;
        lua_pushstring(call.L, name);
        ix_push_value(call.L, value);
        call_end(&call, 2);
    }
    h->busy--;
    ix_handle_release(h);
}

/* What on_command returned: nothing, true (done), or false and a message. */
static int read_answer(struct call *call, const char *command, struct ix_error *err)
{
    lua_State *L = call->L;
    if (lua_isnil(L, -2))
        return IX_COMMAND_UNHANDLED;
    if (lua_toboolean(L, -2))
        return 0;
    const char *message = lua_tostring(L, -1);
    return ix_fail(err, -EBADRQC, "%s%s", message ? message : "refused command ", message ? "" : command);
}

static int command(void *context, void *handle, struct ix_device *d, const struct ix_command *command,
                   const json_t *parameters, struct ix_error *err)
{
    (void)context;
    struct ix_behaviors *behaviors = handle;
    struct ix_device_handle *h = ix_handle_find(d);
    struct call call;
    int result = IX_COMMAND_UNHANDLED;
    if (!h)
        return result;
    h->busy++;
    for (size_t i = 0; i < behaviors->count && h->behaviors && result >= 0; i++) {
        if (!call_begin(&call, h, &behaviors->items[i], ON_COMMAND))
            continue;
        lua_pushstring(call.L, command->name);
        ix_lua_push_json(call.L, parameters);
        int code = ix_handle_call(&call.entry, call.arguments + 2, 2);
        if (code)
            code = ix_fail(err, -EBADRQC, "an error in the device's script");
        else
            code = read_answer(&call, command->name, err);
        if (code != IX_COMMAND_UNHANDLED)
            result = code;
        ix_handle_leave(&call.entry);
    }
    h->busy--;
    ix_handle_release(h);
    return result;
}

static void fired(void *context, void *handle, struct ix_device *d, size_t place, const json_t *parameters)
{
    (void)context;
    struct ix_behaviors *behaviors = handle;
    struct ix_device_handle *h = ix_handle_find(d);
    struct call call;
    if (!h || !call_begin(&call, h, &behaviors->items[place], ON_FIRE))
        return;
    if (parameters)
        ix_lua_push_json(call.L, parameters);
    else
        lua_pushnil(call.L);
    call_end(&call, 1);
}

void ix_behaviors_timer(struct ix_device_handle *handle, const char *name)
{
    struct call call;
    for (size_t i = 0; handle->behaviors && i < handle->behaviors->count; i++) {
        if (!call_begin(&call, handle, &handle->behaviors->items[i], ON_TIMER))
            continue;
        lua_pushstring(call.L, name);
        call_end(&call, 1);
    }
}

void ix_model_hooks(struct ix_script *script, struct ix_hooks *hooks)
{
    *hooks = (struct ix_hooks){
        .context = script,
        .model_open = model_open,
        .model_close = model_close,
        .device_start = device_start,
        .device_stop = device_stop,
        .connected = connected,
        .telemetry = telemetry,
        .command = command,
        .fired = fired,
    };
}
