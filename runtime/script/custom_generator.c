#include "script/custom_generator.h"

#include "base/random.h"
#include "generator/generator.h"
#include "script/device_handle.h"
#include "script/handler.h"
#include "script/lua_json.h"

#define TEXT_MAX (16u << 20)

static struct ix_script *current; /* a process has one */

/* One attribute of a model. */
struct custom {
    struct ix_script *script;
    int function_ref; /* function(config, device) */
    int config_ref;
    struct ix_buf text; /* of the last value */
};

/* The closure of one device. */
struct instance {
    struct ix_device_handle *handle;
    int function_ref; /* function(tick, now) */
};

/* ---- opening a model ---- */

struct opening {
    const struct ix_generator_spec *spec;
    struct custom *custom;
    struct ix_error *err;
    int code;
};

static int find_handler(lua_State *L)
{
    struct opening *o = lua_touserdata(L, 1);
    o->code = ix_handler_find(L, "generators", o->spec->handler, o->err);
    if (o->code < 0)
        return 0;
    if (!lua_isfunction(L, -1)) {
        o->code = ix_fail(o->err, -EINVAL,
                          "generator \"%s\" must be a function(config, device) that returns "
                          "function(tick, now), not a %s",
                          o->spec->handler, luaL_typename(L, -1));
        return 0;
    }
    o->custom->function_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    ix_lua_push_json(L, o->spec->config);
    o->custom->config_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static void custom_close(struct ix_generator *g)
{
    struct custom *custom = g->data;
    if (!custom)
        return;
    luaL_unref(custom->script->L, LUA_REGISTRYINDEX, custom->function_ref);
    luaL_unref(custom->script->L, LUA_REGISTRYINDEX, custom->config_ref);
    ix_buf_deinit(&custom->text);
    free(custom);
    g->data = NULL;
}

static int custom_open(struct ix_generator *g, const struct ix_model *model, struct ix_error *err)
{
    struct ix_entry entry;
    if (!current)
        return ix_fail(err, -ENOTSUP, "custom generators need Lua, which is not running here");
    lua_State *L = ix_enter(current, &entry, err);
    if (!L)
        return err->code;
    struct custom *custom = ix_calloc(1, sizeof *custom);
    custom->script = current;
    custom->function_ref = custom->config_ref = LUA_NOREF;
    ix_buf_init(&custom->text, TEXT_MAX);
    g->data = custom;
    struct opening opening = {g->spec, custom, err, 0};
    current->model_folder = model ? model->folder : NULL;
    lua_pushcfunction(L, find_handler);
    lua_pushlightuserdata(L, &opening);
    int code = ix_entry_try(&entry, 1, 0, err);
    current->model_folder = NULL;
    ix_leave(&entry);
    if (code == 0)
        code = opening.code;
    if (code < 0)
        custom_close(g);
    return code < 0 ? -EINVAL : 0;
}

/* ---- opening a device ---- */

static int open_closure(struct custom *custom, struct ix_device_handle *handle, const char *name,
                        int *function_ref, struct ix_error *err)
{
    struct ix_handle_entry entry;
    lua_State *L = ix_handle_enter(handle, &entry);
    if (!L)
        return ix_fail(err, -ECANCELED, "the device's script has failed");
    /* Its draws depend on nothing that other scripts of the device do. */
    struct ix_draws draws = {ix_random_key(handle->draws.key, ix_hash64(name, strlen(name))), 0};
    custom->script->drawing = &draws;
    custom->script->sampling = true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, custom->function_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, custom->config_ref);
    ix_handle_push(L, handle);
    int code = ix_entry_try(&entry.entry, 2, 1, err);
    custom->script->sampling = false;
    if (code == 0 && !lua_isfunction(L, -1))
        code =
            ix_fail(err, -EINVAL, "generator \"%s\" returned a %s for the device, not a function(tick, now)",
                    name, luaL_typename(L, -1));
    if (code == 0)
        *function_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    ix_handle_leave(&entry);
    return code;
}

/* On an error the engine ends the device; it is counted and told here. */
static int custom_open_device(const struct ix_generator *g, struct ix_device *device, void **result,
                              struct ix_error *err)
{
    struct custom *custom = g->data;
    const struct ix_script_config *config = &custom->script->config;
    struct ix_device_handle *handle = ix_handle_of(custom->script, device);
    struct instance *instance = ix_calloc(1, sizeof *instance);
    instance->handle = handle;
    handle->stopped = handle->failed = false;
    handle->instances++;
    int code = open_closure(custom, handle, g->spec->handler, &instance->function_ref, err);
    if (code == 0) {
        *result = instance;
        return 0;
    }
    handle->instances--;
    free(instance);
    ix_script_count_error(custom->script, device);
    if (config->device_error && config->device_error(config->context, ix_device_group_id(device),
                                                     ix_device_index(device), err->text) == IX_ERROR_TOLD)
        ix_device_was_told(device);
    return -EINVAL;
}

static void custom_close_device(const struct ix_generator *g, void *data)
{
    (void)g;
    struct instance *instance = data;
    struct ix_device_handle *handle = instance->handle;
    luaL_unref(handle->script->L, LUA_REGISTRYINDEX, instance->function_ref);
    free(instance);
    handle->instances--;
    ix_handle_release(handle);
}

/* ---- values ---- */

static int read_text(lua_State *L, struct custom *custom, struct ix_value *out)
{
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    ix_buf_clear(&custom->text);
    ix_buf_put(&custom->text, text, len);
    out->kind = IX_V_STRING;
    return 0;
}

/* The value on the top of the stack, before it is made to fit the type. */
static int read_value(lua_State *L, const struct ix_generator *g, struct ix_value *out, struct ix_error *err)
{
    struct custom *custom = g->data;
    int code = 0;
    switch (lua_type(L, -1)) {
    case LUA_TNUMBER:
        *out = (struct ix_value){
            .kind = IX_V_NUMBER, .decimals = g->spec->decimals, .number = lua_tonumber(L, -1)};
        return 0;
    case LUA_TBOOLEAN:
        *out = (struct ix_value){.kind = IX_V_BOOLEAN, .boolean = lua_toboolean(L, -1)};
        return 0;
    case LUA_TSTRING:
        code = read_text(L, custom, out);
        break;
    case LUA_TTABLE:
        ix_buf_clear(&custom->text);
        code = ix_lua_put_json(L, -1, &custom->text, err);
        out->kind = IX_V_JSON;
        break;
    default:
        return ix_fail(err, -EINVAL, "it returned %s", lua_isnil(L, -1) ? "nothing" : luaL_typename(L, -1));
    }
    if (code == 0 && custom->text.overflow)
        code = ix_fail(err, -E2BIG, "a text of more than %u bytes", TEXT_MAX);
    out->text.data = ix_buf_cstr(&custom->text);
    out->text.len = custom->text.len;
    return code;
}

static int refuse(struct ix_handle_entry *entry, const struct ix_generator *g,
                  const struct instance *instance, const struct ix_draw *draw, struct ix_error *err)
{
    lua_State *L = entry->entry.L;
    lua_Debug at;
    lua_rawgeti(L, LUA_REGISTRYINDEX, instance->function_ref);
    lua_getinfo(L, ">S", &at);
    ix_error_prefix(err, "%s:%d: generator \"%s\", tick %llu", at.short_src, at.linedefined, g->spec->handler,
                    (unsigned long long)draw->tick);
    ix_handle_report(entry->handle, err->text);
    return ix_fail(err, -EINVAL, "%s", "");
}

static int custom_sample(const struct ix_generator *g, const struct ix_draw *draw, struct ix_value *out,
                         struct ix_error *err)
{
    const struct instance *instance = draw->instance;
    struct ix_handle_entry entry;
    if (!instance)
        return ix_fail(err, -ENOTSUP, "generator \"%s\" keeps state per device, which there is none of here",
                       g->spec->handler);
    lua_State *L = ix_handle_enter(instance->handle, &entry);
    if (!L)
        return ix_fail(err, -ECANCELED, "%s", ""); /* it has failed, and ends on the next turn */
    struct ix_script *script = entry.entry.script;
    /* math.random and device:random: functions of (seed, device, stream, tick). */
    struct ix_draws draws = {ix_random_key(draw->key, draw->tick), 0};
    script->drawing = &draws;
    script->sampling = true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, instance->function_ref);
    lua_pushnumber(L, (double)draw->tick);
    lua_pushnumber(L, (double)draw->wall_ns / 1e9);
    int code = ix_handle_call(&entry, 2, 1);
    script->sampling = false;
    if (code) {
        code = ix_fail(err, -EINVAL, "%s", "");
    } else {
        code = read_value(L, g, out, err);
        if (code == 0)
            code = ix_value_coerce(out, g->spec->type, err);
        if (code < 0)
            code = refuse(&entry, g, instance, draw, err);
    }
    ix_handle_leave(&entry);
    return code;
}

void ix_custom_generator_use(struct ix_script *script)
{
    static const struct ix_generator_class class = {
        .name = "custom",
        .open = custom_open,
        .close = custom_close,
        .sample = custom_sample,
        .open_device = custom_open_device,
        .close_device = custom_close_device,
    };
    current = script;
    ix_generator_register(IX_GEN_CUSTOM, &class);
}

void ix_custom_generator_drop(const struct ix_script *script)
{
    if (current == script)
        current = NULL;
}
