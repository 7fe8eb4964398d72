/* Devices as worker scripts hold them: fields and methods. */
#include "base/log.h"
#include "base/suggest.h"
#include "script/device_handle.h"
#include "script/lua_json.h"

#define DEVICE_TYPE "iotix.device"
#define NAMES_MAX   256

struct ix_device_object *ix_check_object(lua_State *L, int index)
{
    return luaL_checkudata(L, index, DEVICE_TYPE);
}

struct ix_device *ix_check_device(lua_State *L, int index)
{
    struct ix_device_object *object = ix_check_object(L, index);
    struct ix_device *d = ix_device_deref(object->engine, object->ref);
    if (!d)
        luaL_error(L, "the device is gone");
    return d;
}

struct ix_device_handle *ix_check_handle(lua_State *L, int index)
{
    struct ix_device_object *object = ix_check_object(L, index);
    if (object->handle)
        return object->handle;
    struct ix_device *d = ix_check_device(L, index);
    struct ix_device_handle *handle = ix_handle_of(object->script, d);
    if (handle->object_ref == LUA_NOREF) {
        bool limited = object->script->limited;
        object->script->limited = false;
        object->handle = handle;
        lua_pushvalue(L, index);
        handle->object_ref = luaL_ref(L, LUA_REGISTRYINDEX);
        object->script->limited = limited;
    }
    return handle;
}

/* What must not happen while a generator gives a value: the engine is in the middle of a message. */
static struct ix_device *check_idle(lua_State *L, const char *what)
{
    struct ix_device *d = ix_check_device(L, 1);
    if (ix_check_object(L, 1)->script->sampling)
        luaL_error(L, "a generator only gives values and can't %s: use a behaviour for that", what);
    return d;
}

void ix_push_value(lua_State *L, const struct ix_value *value)
{
    switch (value->kind) {
    case IX_V_NONE:
        lua_pushnil(L);
        break;
    case IX_V_NUMBER:
        lua_pushnumber(L, value->number);
        break;
    case IX_V_INTEGER:
        lua_pushnumber(L, (double)value->integer);
        break;
    case IX_V_BOOLEAN:
        lua_pushboolean(L, value->boolean);
        break;
    case IX_V_STRING:
    case IX_V_BYTES:
        lua_pushlstring(L, value->text.data, value->text.len);
        break;
    case IX_V_JSON: {
        json_t *json = json_loadb(value->text.data, value->text.len, JSON_DECODE_ANY, NULL);
        if (json)
            ix_lua_push_owned_json(L, json);
        else
            lua_pushlstring(L, value->text.data, value->text.len);
    }
    }
}

/* ---- fields ---- */

static void push_id(lua_State *L, struct ix_script *script, const struct ix_device *d)
{
    ix_buf_clear(&script->scratch);
    ix_device_put_id(d, &script->scratch);
    lua_pushlstring(L, script->scratch.data, script->scratch.len);
}

/* "key:value,key:value" → {key = "value"} */
static void push_tags(lua_State *L, const char *tags)
{
    lua_newtable(L);
    while (tags && *tags) {
        size_t len = strcspn(tags, ","), key = strcspn(tags, ":,");
        size_t value = key < len ? key + 1 : len;
        lua_pushlstring(L, tags, key);
        lua_pushlstring(L, tags + value, len - value);
        lua_rawset(L, -3);
        tags += len + (tags[len] == ',');
    }
}

static void push_state(lua_State *L)
{
    struct ix_device_handle *handle = ix_check_handle(L, 1);
    if (handle->state_ref == LUA_NOREF) {
        lua_newtable(L);
        handle->state_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, handle->state_ref);
}

enum { FIELD_ID = 1, FIELD_INDEX, FIELD_GROUP, FIELD_MODEL, FIELD_TAGS, FIELD_STATUS, FIELD_STATE };

/* (device, name); upvalue 1: name → method, or the number of a field. */
static int device_index(lua_State *L)
{
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (lua_type(L, -1) != LUA_TNUMBER)
        return 1;
    struct ix_device *d = ix_check_device(L, 1);
    switch (lua_tointeger(L, -1)) {
    case FIELD_ID:
        push_id(L, ix_check_object(L, 1)->script, d);
        break;
    case FIELD_INDEX:
        lua_pushnumber(L, (double)ix_device_index(d));
        break;
    case FIELD_GROUP:
        lua_pushstring(L, ix_device_group_id(d));
        break;
    case FIELD_MODEL:
        lua_pushstring(L, ix_device_model(d)->id);
        break;
    case FIELD_TAGS:
        push_tags(L, ix_device_tags(d));
        break;
    case FIELD_STATUS:
        lua_pushstring(L, ix_status_names[d->row->status]);
        break;
    default:
        push_state(L);
    }
    return 1;
}

static int device_newindex(lua_State *L)
{
    return luaL_error(L, "device.%s can't be set: keep your own values in device.state",
                      luaL_checkstring(L, 2));
}

static int device_tostring(lua_State *L)
{
    struct ix_device_object *object = ix_check_object(L, 1);
    struct ix_device *d = ix_device_deref(object->engine, object->ref);
    if (d)
        push_id(L, object->script, d);
    else
        lua_pushliteral(L, "(device that is gone)");
    return 1;
}

/* ---- publish ---- */

/* Options {qos, retain} at `index` over those of the connection. */
static void read_options(lua_State *L, int index, struct ix_message *message)
{
    if (lua_isnoneornil(L, index))
        return;
    luaL_checktype(L, index, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        if (strcmp(key, "qos") == 0) {
            message->qos = (int)lua_tointeger(L, -1);
            if (!lua_isnumber(L, -1) || message->qos < 0 || message->qos > 2)
                luaL_error(L, "publish: qos is 0, 1 or 2");
        } else if (strcmp(key, "retain") == 0) {
            message->retain = lua_toboolean(L, -1);
        } else {
            luaL_error(L, "publish: unknown option \"%s\"; known: qos, retain", key);
        }
        lua_pop(L, 1);
    }
}

/* The payload at `index` as text on the stack. */
static void make_payload(lua_State *L, int index, struct ix_script *script)
{
    struct ix_error err;
    if (lua_type(L, index) == LUA_TSTRING)
        return;
    luaL_argcheck(L, !lua_isnoneornil(L, index), index, "a payload: text, or a table for JSON");
    ix_buf_clear(&script->scratch);
    if (ix_lua_put_json(L, index, &script->scratch, &err) < 0)
        luaL_error(L, "publish: %s", err.text);
    lua_pushlstring(L, script->scratch.data, script->scratch.len);
    lua_replace(L, index);
}

static int device_publish(lua_State *L)
{
    struct ix_device *d = check_idle(L, "publish");
    struct ix_script *script = ix_check_object(L, 1)->script;
    const struct ix_connection_spec *connection = &ix_device_model(d)->connection;
    struct ix_message message = {.qos = connection->qos, .retain = connection->retain};
    lua_settop(L, 4);
    read_options(L, 4, &message);
    make_payload(L, 3, script);
    message.payload = lua_tolstring(L, 3, &message.len);
    if (!lua_isnil(L, 2)) {
        message.topic = luaL_checkstring(L, 2);
        if (strchr(message.topic, '{')) { /* render(device, topic) */
            lua_pushcfunction(L, ix_device_render);
            lua_pushvalue(L, 1);
            lua_pushvalue(L, 2);
            lua_call(L, 2, 1);
            message.topic = lua_tostring(L, -1);
        }
    }
    int code = ix_device_publish(d, &message, ix_clock_now(&script->loop->clock));
    if (code >= 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, code == -ENOTCONN ? "not connected"
                      : code == -EAGAIN ? "too many unacknowledged messages"
                                        : strerror(-code));
    return 2;
}

/* ---- values ---- */

static size_t check_stream(lua_State *L, const struct ix_model *model, int index)
{
    const char *name = luaL_checkstring(L, index), *names[NAMES_MAX];
    char hint[256];
    size_t count = model->attribute_count < NAMES_MAX ? model->attribute_count : NAMES_MAX;
    for (size_t s = 0; s < model->attribute_count; s++)
        if (strcmp(model->attributes[s].name, name) == 0)
            return s;
    for (size_t s = 0; s < count; s++)
        names[s] = model->attributes[s].name;
    ix_suggest_put(hint, sizeof hint, name, names, count);
    luaL_error(L, "model \"%s\" has no attribute \"%s\"%s", model->id, name, hint);
    return 0;
}

static int device_value(lua_State *L)
{
    struct ix_device *d = ix_check_device(L, 1);
    struct ix_value value;
    if (!ix_device_value(d, check_stream(L, ix_device_model(d), 2), &value))
        return 0;
    ix_push_value(L, &value);
    return 1;
}

static int device_values(lua_State *L)
{
    struct ix_device *d = ix_check_device(L, 1);
    const struct ix_model *model = ix_device_model(d);
    lua_newtable(L);
    for (size_t s = 0; s < model->attribute_count; s++) {
        struct ix_value value;
        if (!ix_device_value(d, s, &value))
            continue;
        ix_push_value(L, &value);
        lua_setfield(L, -2, model->attributes[s].name);
    }
    return 1;
}

static int device_set(lua_State *L)
{
    struct ix_device *d = check_idle(L, "set generators");
    struct ix_script *script = ix_check_object(L, 1)->script;
    const char *attribute = luaL_checkstring(L, 2);
    struct ix_error err;
    lua_settop(L, 3);
    ix_buf_clear(&script->scratch);
    if (ix_lua_put_json(L, 3, &script->scratch, &err) < 0)
        return luaL_error(L, "set: %s", err.text);
    lua_pushlstring(L, script->scratch.data, script->scratch.len); /* opening a generator may run scripts */
    if (ix_device_set(d, attribute, lua_tostring(L, -1), &err) < 0)
        return luaL_error(L, "set: %s", err.text);
    return 0;
}

/* ---- going away ---- */

static double check_delay_ms(lua_State *L, int index)
{
    double delay = lua_tonumber(L, index);
    if (!lua_isnumber(L, index) || !(delay >= 0) || delay > 1e15)
        luaL_error(L, "disconnect: reconnectDelayMs is 0 or more milliseconds");
    return delay;
}

static enum ix_drop_mode check_mode(lua_State *L, int index)
{
    static const char *const names[] = {"abort", "close", "silent"};
    const char *name = lua_tostring(L, index);
    for (size_t i = 0; name && i < IX_ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return (enum ix_drop_mode)i;
    luaL_error(L, "disconnect: mode is abort, close or silent");
    return IX_DROP_ABORT;
}

static int device_disconnect(lua_State *L)
{
    struct ix_device *d = check_idle(L, "disconnect");
    enum ix_drop_mode mode = IX_DROP_ABORT;
    uint64_t delay_ns = UINT64_MAX;
    lua_settop(L, 2);
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        lua_pushnil(L);
        while (lua_next(L, 2)) {
            const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
            if (strcmp(key, "mode") == 0)
                mode = check_mode(L, -1);
            else if (strcmp(key, "reconnectDelayMs") == 0)
                delay_ns = (uint64_t)(check_delay_ms(L, -1) * 1e6);
            else
                luaL_error(L, "disconnect: unknown option \"%s\"; known: mode, reconnectDelayMs", key);
            lua_pop(L, 1);
        }
    }
    ix_device_disconnect(d, mode, delay_ns);
    return 0;
}

/* ---- the rest ---- */

static int device_command(lua_State *L)
{
    struct ix_device *d = check_idle(L, "give commands");
    struct ix_script *script = ix_check_object(L, 1)->script;
    const char *name = luaL_checkstring(L, 2);
    struct ix_error err;
    lua_settop(L, 3);
    if (lua_isnil(L, 3)) {
        lua_pushliteral(L, "{}");
        lua_replace(L, 3);
    }
    make_payload(L, 3, script);
    size_t len;
    const char *json = lua_tolstring(L, 3, &len);
    if (ix_engine_command(ix_device_engine(d), d, name, json, len, &err) == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, err.text);
    return 2;
}

static int device_random(lua_State *L)
{
    struct ix_device_object *object = ix_check_object(L, 1);
    struct ix_script *script = object->script;
    struct ix_device_handle *handle = ix_check_handle(L, 1);
    /* Inside of a generator the draws are those of its tick. */
    return ix_push_random(L, script->device == handle ? script->drawing : &handle->draws, 2);
}

static int device_event(lua_State *L)
{
    struct ix_device *d = ix_check_device(L, 1);
    struct ix_script *script = ix_check_object(L, 1)->script;
    const char *name = luaL_checkstring(L, 2);
    struct ix_error err;
    lua_settop(L, 3);
    if (!script->config.event)
        return 0;
    lua_createtable(L, 0, 2);
    push_id(L, script, d);
    lua_setfield(L, -2, "device");
    lua_pushvalue(L, 3);
    lua_setfield(L, -2, "data");
    ix_buf_clear(&script->scratch);
    if (ix_lua_put_json(L, -1, &script->scratch, &err) < 0)
        return luaL_error(L, "event: %s", err.text);
    script->config.event(script->config.context, name, ix_buf_cstr(&script->scratch));
    return 0;
}

/* ([level,] text) */
static int device_log(lua_State *L)
{
    struct ix_device *d = ix_check_device(L, 1);
    struct ix_script *script = ix_check_object(L, 1)->script;
    enum ix_log_level level = IX_LOG_INFO;
    int text = lua_isnoneornil(L, 3) ? 2 : 3;
    if (text == 3)
        luaL_argcheck(L, ix_log_parse_level(luaL_checkstring(L, 2), &level) == 0, 2,
                      "error, warn, info or debug");
    luaL_checkstring(L, text);
    push_id(L, script, d);
    ix_log(level, "%s: %s", lua_tostring(L, -1), lua_tostring(L, text));
    return 0;
}

void ix_device_object_open(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"publish", device_publish},
        {"value", device_value},
        {"values", device_values},
        {"set", device_set},
        {"disconnect", device_disconnect},
        {"command", device_command},
        {"random", device_random},
        {"event", device_event},
        {"log", device_log},
        {"after", ix_device_after},
        {"every", ix_device_every},
        {"render", ix_device_render},
        {"render_json", ix_device_render_json},
        {"holds", ix_device_holds},
        {NULL, NULL},
    };
    static const char *const fields[] = {
        [FIELD_ID] = "id",     [FIELD_INDEX] = "index",   [FIELD_GROUP] = "group", [FIELD_MODEL] = "model",
        [FIELD_TAGS] = "tags", [FIELD_STATUS] = "status", [FIELD_STATE] = "state",
    };
    luaL_newmetatable(L, DEVICE_TYPE);
    lua_newtable(L);
    luaL_register(L, NULL, methods);
    for (size_t i = FIELD_ID; i < IX_ARRAY_LEN(fields); i++) {
        lua_pushinteger(L, (lua_Integer)i);
        lua_setfield(L, -2, fields[i]);
    }
    lua_pushcclosure(L, device_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, device_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, device_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    ix_script_of(L)->device_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    ix_device_timer_open(L);
    ix_device_template_open(L);
}
