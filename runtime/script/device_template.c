/* device:render, device:render_json and device:holds: texts and conditions as in models, compiled once per
 * model and text. */
#include "base/random.h"
#include "script/device_handle.h"
#include "script/lua_json.h"

#include <inttypes.h>

#define TEMPLATE_TYPE "iotix.template"
#define NAMES_MAX     256

enum kind { TEXT, JSON, CONDITION };

/* A compiled one lives in a userdata of a table in the registry. */
struct compiled {
    enum kind kind;
    struct ix_template *text;
    struct ix_json_template *json;
    struct ix_expression *condition;
};

static const char cache_key; /* of the table: key → userdata */

static int collect(lua_State *L)
{
    struct compiled *compiled = lua_touserdata(L, 1);
    ix_template_free(compiled->text);
    ix_json_template_free(compiled->json);
    ix_expression_free(compiled->condition);
    *compiled = (struct compiled){0};
    return 0;
}

/* ---- names ---- */

struct names {
    const char *attributes[NAMES_MAX];
    const char *extra[NAMES_MAX]; /* of the parameters' table, sorted */
    size_t attribute_count, extra_count;
};

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool has(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Optional parameters of commands may be absent from this one's table: their names are known all the same. */
static void add_optional(const struct ix_model *model, struct names *names)
{
    for (size_t c = 0; c < model->command_count; c++) {
        for (size_t i = 0; i < model->commands[c].parameter_count; i++) {
            const char *name = model->commands[c].parameters[i].name;
            if (names->extra_count < NAMES_MAX && !has(names->extra, names->extra_count, name) &&
                !has(names->attributes, names->attribute_count, name))
                names->extra[names->extra_count++] = name;
        }
    }
}

static void find_names(lua_State *L, const struct ix_model *model, int parameters, struct names *names)
{
    names->attribute_count = model->attribute_count < NAMES_MAX ? model->attribute_count : NAMES_MAX;
    for (size_t s = 0; s < names->attribute_count; s++)
        names->attributes[s] = model->attributes[s].name;
    names->extra_count = 0;
    if (!lua_istable(L, parameters))
        return;
    lua_pushnil(L);
    while (lua_next(L, parameters)) {
        if (lua_type(L, -2) == LUA_TSTRING && names->extra_count < NAMES_MAX)
            names->extra[names->extra_count++] = lua_tostring(L, -2); /* the table keeps it */
        lua_pop(L, 1);
    }
    add_optional(model, names);
    qsort(names->extra, names->extra_count, sizeof *names->extra, compare_texts);
}

/* ---- compiling ---- */

static int compile_json(struct compiled *compiled, const char *text, const struct ix_template_names *known,
                        struct ix_faults *faults)
{
    json_error_t at;
    json_t *json = json_loads(text, JSON_DECODE_ANY, &at);
    if (!json) {
        ix_faults_add(faults, "", "not JSON: %s, column %d", at.text, at.column);
        return -EINVAL;
    }
    compiled->json = ix_json_template_compile(json, known, faults, "");
    json_decref(json);
    return compiled->json ? 0 : -EINVAL;
}

static int compile(struct ix_script *script, struct compiled *compiled, const char *text,
                   const struct ix_model *model, const struct names *names, struct ix_error *err)
{
    struct ix_template_names known = {
        .metadata = model->metadata,
        .attributes = names->attributes,
        .attribute_count = names->attribute_count,
        .extra = names->extra,
        .extra_count = names->extra_count,
        .allowed_env = script->config.allowed_env,
        .allowed_env_count = script->config.allowed_env_count,
    };
    struct ix_faults faults;
    if (compiled->kind == CONDITION) {
        compiled->condition = ix_expression_compile(text, names->attributes, names->attribute_count, err);
        return compiled->condition ? 0 : -EINVAL;
    }
    ix_faults_init(&faults);
    if (compiled->kind == JSON)
        compile_json(compiled, text, &known, &faults);
    else
        compiled->text = ix_template_compile(text, &known, &faults, "");
    if (faults.errors)
        ix_fail(err, -EINVAL, "%s", faults.items[0].message);
    int code = faults.errors ? -EINVAL : 0;
    ix_faults_deinit(&faults);
    return code;
}

/* Replaces the key on the top by the compiled userdata. */
static struct compiled *find(lua_State *L, struct ix_script *script, enum kind kind, const char *text,
                             const struct ix_model *model, const struct names *names)
{
    struct ix_error err;
    int key = lua_gettop(L);
    lua_pushlightuserdata(L, (void *)&cache_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, key);
    lua_rawget(L, -2);
    struct compiled *compiled = lua_touserdata(L, -1);
    if (compiled)
        return compiled;
    lua_pop(L, 1);
    compiled = lua_newuserdata(L, sizeof *compiled);
    *compiled = (struct compiled){.kind = kind};
    luaL_getmetatable(L, TEMPLATE_TYPE);
    lua_setmetatable(L, -2);
    if (compile(script, compiled, text, model, names, &err) < 0) {
        static const char *const whats[] = {"render", "render_json", "holds"};
        luaL_error(L, "%s: %s", whats[kind], err.text);
    }
    lua_pushvalue(L, key);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
    return compiled;
}

/* (device, text[, parameters]): the compiled text, which stays on the stack. */
static struct compiled *check(lua_State *L, enum kind kind, struct ix_device *d, struct names *names)
{
    struct ix_script *script = ix_check_object(L, 1)->script;
    const struct ix_model *model = ix_device_model(d);
    const char *text = luaL_checkstring(L, 2);
    lua_settop(L, 3);
    find_names(L, model, 3, names);
    ix_buf_clear(&script->scratch);
    ix_buf_printf(&script->scratch, "%d %016" PRIx64 " ", kind, model->hash);
    for (size_t i = 0; i < names->extra_count; i++)
        ix_buf_printf(&script->scratch, "%s,", names->extra[i]);
    ix_buf_printf(&script->scratch, " %s", text);
    lua_pushlstring(L, script->scratch.data, script->scratch.len);
    return find(L, script, kind, text, model, names);
}

/* ---- rendering ---- */

/* The device's scope, with the parameters' table beside it. */
struct scope {
    struct ix_template_scope device;
    lua_State *L;
    const struct names *names;
    struct ix_buf json; /* of parameters that are tables */
};

static bool scope_value(void *context, size_t place, struct ix_value *out)
{
    struct scope *scope = context;
    return scope->device.value && scope->device.value(scope->device.context, place, out);
}

static bool scope_extra(void *context, size_t place, struct ix_value *out)
{
    struct scope *scope = context;
    lua_State *L = scope->L;
    lua_pushstring(L, scope->names->extra[place]);
    lua_rawget(L, 3);
    *out = (struct ix_value){.kind = IX_V_NONE};
    switch (lua_type(L, -1)) {
    case LUA_TNUMBER:
        *out = (struct ix_value){.kind = IX_V_NUMBER, .decimals = -1, .number = lua_tonumber(L, -1)};
        break;
    case LUA_TBOOLEAN:
        *out = (struct ix_value){.kind = IX_V_BOOLEAN, .boolean = lua_toboolean(L, -1)};
        break;
    case LUA_TSTRING:
        out->kind = IX_V_STRING;
        out->text.data = lua_tolstring(L, -1, &out->text.len); /* the table keeps it */
        break;
    case LUA_TTABLE:
        ix_buf_clear(&scope->json);
        if (ix_lua_put_json(L, -1, &scope->json, NULL) == 0) {
            out->kind = IX_V_JSON;
            out->text.data = scope->json.data;
            out->text.len = scope->json.len;
        }
    }
    lua_pop(L, 1);
    return out->kind != IX_V_NONE;
}

static int render(lua_State *L, enum kind kind)
{
    struct ix_device *d = ix_check_device(L, 1);
    struct ix_script *script = ix_check_object(L, 1)->script;
    struct names names;
    struct compiled *compiled = check(L, kind, d, &names);
    bool limited = script->limited;
    script->limited = false; /* buffers are held, and callbacks push */
    struct ix_template_scope of_device = ix_device_scope(d, ix_clock_now(&script->loop->clock));
    struct scope scope = {.device = of_device, .L = L, .names = &names};
    ix_buf_init(&scope.json, 1 << 20);
    of_device.context = &scope;
    of_device.value = scope_value;
    of_device.extra = scope_extra;
    ix_buf_clear(&script->scratch);
    if (kind == JSON)
        ix_json_template_render(compiled->json, &of_device, &script->scratch);
    else
        ix_template_render(compiled->text, &of_device, &script->scratch);
    lua_pushlstring(L, script->scratch.data ? script->scratch.data : "", script->scratch.len);
    ix_buf_deinit(&scope.json);
    script->limited = limited;
    return 1;
}

int ix_device_render(lua_State *L)
{
    return render(L, TEXT);
}

/* A table is taken as the JSON that it stands for. */
int ix_device_render_json(lua_State *L)
{
    if (!lua_isstring(L, 2)) {
        struct ix_script *script = ix_check_object(L, 1)->script;
        struct ix_error err;
        luaL_checktype(L, 2, LUA_TTABLE);
        lua_settop(L, 3);
        ix_buf_clear(&script->scratch);
        if (ix_lua_put_json(L, 2, &script->scratch, &err) < 0)
            return luaL_error(L, "render_json: %s", err.text);
        lua_pushlstring(L, script->scratch.data, script->scratch.len);
        lua_replace(L, 2);
    }
    return render(L, JSON);
}

int ix_device_holds(lua_State *L)
{
    struct ix_device *d = ix_check_device(L, 1);
    struct names names;
    struct ix_value values[NAMES_MAX];
    lua_settop(L, 2);
    struct compiled *compiled = check(L, CONDITION, d, &names);
    uint64_t uses = ix_expression_uses(compiled->condition);
    for (size_t s = 0; s < names.attribute_count; s++)
        if (!(uses >> (s < 63 ? s : 63) & 1) || !ix_device_value(d, s, &values[s]))
            values[s] = (struct ix_value){.kind = IX_V_NONE};
    lua_pushboolean(L, ix_expression_holds(compiled->condition, values));
    return 1;
}

void ix_device_template_open(lua_State *L)
{
    luaL_newmetatable(L, TEMPLATE_TYPE);
    lua_pushcfunction(L, collect);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    lua_pushlightuserdata(L, (void *)&cache_key);
    lua_newtable(L);
    lua_newtable(L); /* weak: texts that a script makes up do not pile up */
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}
