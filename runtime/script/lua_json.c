#include "script/lua_json.h"

#include "base/text.h"

#include <math.h>

#define DEPTH_MAX 64
#define PATH_MAX_ 200

static const char array_key; /* of the arrays' metatable in the registry */

static void push_array_metatable(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&array_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
}

void ix_lua_push_json(lua_State *L, const json_t *json)
{
    lua_checkstack(L, 8);
    switch (json ? json_typeof(json) : JSON_OBJECT) {
    case JSON_OBJECT: {
        const char *key;
        json_t *value;
        lua_createtable(L, 0, (int)json_object_size(json));
        json_object_foreach((json_t *)json, key, value)
        {
            ix_lua_push_json(L, value);
            lua_setfield(L, -2, key);
        }
        break;
    }
    case JSON_ARRAY:
        lua_createtable(L, (int)json_array_size(json), 0);
        for (size_t i = 0; i < json_array_size(json); i++) {
            ix_lua_push_json(L, json_array_get(json, i));
            lua_rawseti(L, -2, (int)i + 1);
        }
        push_array_metatable(L);
        lua_setmetatable(L, -2);
        break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(json), json_string_length(json));
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        lua_pushnumber(L, json_number_value(json));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(L, json_is_true(json));
        break;
    case JSON_NULL:
        lua_pushlightuserdata(L, NULL);
    }
}

void ix_lua_push_owned_json(lua_State *L, json_t *json)
{
    struct ix_script *script = ix_script_of(L);
    bool limited = script->limited;
    script->limited = false;
    ix_lua_push_json(L, json);
    script->limited = limited;
    json_decref(json);
}

struct writer {
    lua_State *L;
    struct ix_buf *out;
    struct ix_error *err;
    struct ix_buf path; /* of the value that is being written */
    int depth;
};

static int put_value(struct writer *w, int index);

static int fail(struct writer *w, const char *reason)
{
    const char *path = ix_buf_cstr(&w->path);
    return ix_fail(w->err, -EINVAL, "%s%s%s can't be written as JSON", path, path[0] ? ": " : "", reason);
}

struct key {
    const char *text;
    size_t len;
};

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    size_t len = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->text, y->text, len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

static int put_member(struct writer *w, int table, const struct key *key)
{
    lua_State *L = w->L;
    size_t path = w->path.len;
    ix_buf_printf(&w->path, "%s%.*s", path ? "." : "", (int)(key->len < 40 ? key->len : 40), key->text);
    ix_text_json_string(w->out, key->text, key->len);
    ix_buf_char(w->out, ':');
    lua_pushlstring(L, key->text, key->len);
    lua_rawget(L, table);
    int code = put_value(w, lua_gettop(L));
    lua_pop(L, 1);
    if (code == 0) {
        w->path.len = path;
        if (w->path.data)
            w->path.data[path] = '\0';
    }
    return code;
}

static int put_object(struct writer *w, int table, size_t count)
{
    lua_State *L = w->L;
    struct key *keys = ix_malloc((count + 1) * sizeof *keys);
    size_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, table)) {
        lua_pop(L, 1);
        keys[n].text = lua_tolstring(L, -1, &keys[n].len); /* a string: not converted in place */
        n++;
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    int code = 0;
    ix_buf_char(w->out, '{');
    for (size_t i = 0; i < n && code == 0; i++) {
        if (i)
            ix_buf_char(w->out, ',');
        code = put_member(w, table, &keys[i]);
    }
    ix_buf_char(w->out, '}');
    free(keys);
    return code;
}

static int put_array(struct writer *w, int table, size_t count)
{
    lua_State *L = w->L;
    size_t path = w->path.len;
    ix_buf_char(w->out, '[');
    for (size_t i = 1; i <= count; i++) {
        if (i > 1)
            ix_buf_char(w->out, ',');
        ix_buf_printf(&w->path, "[%zu]", i);
        lua_rawgeti(L, table, (int)i);
        int code = put_value(w, lua_gettop(L));
        lua_pop(L, 1);
        if (code < 0)
            return code;
        w->path.len = path;
        w->path.data[path] = '\0';
    }
    ix_buf_char(w->out, ']');
    return 0;
}

static bool is_marked(lua_State *L, int table)
{
    if (!lua_getmetatable(L, table))
        return false;
    push_array_metatable(L);
    bool is = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return is;
}

static int put_table(struct writer *w, int table)
{
    lua_State *L = w->L;
    size_t texts = 0, numbers = 0, length = lua_objlen(L, table);
    lua_pushnil(L);
    while (lua_next(L, table)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING) {
            texts++;
        } else if (lua_type(L, -1) == LUA_TNUMBER) {
            numbers++;
        } else {
            const char *type = luaL_typename(L, -1);
            lua_pop(L, 1);
            return ix_fail(w->err, -EINVAL, "%s: a key that is a %s can't be written as JSON",
                           ix_buf_cstr(&w->path), type);
        }
    }
    if (texts && numbers)
        return fail(w, "a table with both names and numbers as keys");
    if (numbers && numbers != length)
        return fail(w, "a list with holes");
    if (numbers || is_marked(L, table))
        return put_array(w, table, length);
    return put_object(w, table, texts);
}

static int put_value(struct writer *w, int index)
{
    lua_State *L = w->L;
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        ix_buf_str(w->out, "null");
        return 0;
    case LUA_TBOOLEAN:
        ix_buf_str(w->out, lua_toboolean(L, index) ? "true" : "false");
        return 0;
    case LUA_TNUMBER:
        if (!isfinite(lua_tonumber(L, index)))
            return fail(w, "a number that is not finite");
        ix_text_double(w->out, lua_tonumber(L, index));
        return 0;
    case LUA_TSTRING: {
        size_t len;
        const char *text = lua_tolstring(L, index, &len);
        ix_text_json_string(w->out, text, len);
        return 0;
    }
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, index))
            return fail(w, "a userdata");
        ix_buf_str(w->out, "null");
        return 0;
    case LUA_TTABLE: {
        if (w->depth >= DEPTH_MAX || !lua_checkstack(L, 8))
            return ix_fail(w->err, -EINVAL,
                           "a table nested more than %d deep, or containing itself, can't be written as JSON",
                           DEPTH_MAX);
        w->depth++;
        int code = put_table(w, index);
        w->depth--;
        return code;
    }
    default: {
        char reason[32];
        snprintf(reason, sizeof reason, "a %s", luaL_typename(L, index));
        return fail(w, reason);
    }
    }
}

int ix_lua_put_json(lua_State *L, int index, struct ix_buf *out, struct ix_error *err)
{
    struct writer w = {.L = L, .out = out, .err = err};
    ix_buf_init(&w.path, PATH_MAX_);
    int top = lua_gettop(L);
    bool limited = ix_script_of(L)->limited;
    ix_script_of(L)->limited = false; /* lua_pushlstring of a key may not raise */
    int code = put_value(&w, index < 0 ? top + 1 + index : index);
    ix_script_of(L)->limited = limited;
    lua_settop(L, top);
    ix_buf_deinit(&w.path);
    if (code == 0 && out->overflow)
        code = ix_fail(err, -EMSGSIZE, "a value of more than %zu bytes of JSON", out->max);
    return code;
}

/* ---- functions ---- */

static int core_encode(lua_State *L)
{
    luaL_checkany(L, 1);
    struct ix_script *script = ix_script_of(L);
    struct ix_error err;
    ix_buf_clear(&script->scratch);
    if (ix_lua_put_json(L, 1, &script->scratch, &err) < 0)
        return luaL_error(L, "%s", err.text);
    lua_pushlstring(L, script->scratch.data, script->scratch.len);
    return 1;
}

static int core_decode(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    json_error_t at;
    json_t *json = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &at);
    if (!json) {
        lua_pushnil(L);
        lua_pushfstring(L, "line %d, column %d: %s", at.line, at.column, at.text);
        return 2;
    }
    ix_lua_push_owned_json(L, json);
    return 1;
}

static int core_array(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    push_array_metatable(L);
    lua_setmetatable(L, 1);
    return 1;
}

void ix_lua_json_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"encode", core_encode}, {"decode", core_decode}, {"array", core_array}, {NULL, NULL}};
    lua_pushlightuserdata(L, (void *)&array_key);
    lua_newtable(L);
    lua_rawset(L, LUA_REGISTRYINDEX);
    luaL_register(L, NULL, functions);
}
