/* Functions of the scenario called with devices of this worker. */
#include "base/log.h"
#include "base/random.h"
#include "script/custom_generator.h"
#include "script/device_handle.h"
#include "script/function.h"
#include "script/lua_json.h"
#include "script/model_hooks.h"
#include "script/strategy.h"

struct ix_hooks ix_script_hooks(struct ix_script *script)
{
    struct ix_hooks hooks;
    ix_custom_generator_use(script);
    ix_model_hooks(script, &hooks);
    hooks.schedule_open = ix_schedule_open;
    return hooks;
}

/* ---- a function that travelled ---- */

struct unpacking {
    const char *text;
    size_t len;
    struct ix_error *err;
    int code;
};

static int unpack(lua_State *L)
{
    struct unpacking *u = lua_touserdata(L, 1);
    u->code = ix_function_unpack(L, u->text, u->len, u->err);
    return u->code < 0 ? 0 : 1;
}

static int open_function(struct ix_script *script, const char *function, size_t len, int *ref,
                         struct ix_error *err)
{
    struct ix_entry entry;
    lua_State *L = ix_enter(script, &entry, err);
    if (!L)
        return err->code;
    struct unpacking u = {function, len, err, 0};
    lua_pushcfunction(L, unpack);
    lua_pushlightuserdata(L, &u);
    int code = ix_entry_try(&entry, 1, 1, err);
    if (code == 0)
        code = u.code;
    if (code == 0)
        *ref = luaL_ref(L, LUA_REGISTRYINDEX);
    ix_leave(&entry);
    return code;
}

/* ---- calls ---- */

struct visit {
    struct ix_script *script;
    int function_ref;
    uint64_t visited;
    uint64_t errors;
    struct ix_error first; /* error */
};

static void count_error(struct visit *visit, struct ix_device *d, const char *text)
{
    struct ix_error err;
    ix_script_count_error(visit->script, d);
    ix_fail(&err, IX_SCRIPT_ERROR, "device %llu of group \"%s\": %s", (unsigned long long)ix_device_index(d),
            ix_device_group_id(d), text);
    if (!visit->errors++)
        visit->first = err;
    ix_log(IX_LOG_ERROR, "%s", err.text);
}

/* Calls the function with a device, for which no handle is made unless the function needs one. One result
 * stays on the top of the entry until ix_leave. */
static int call(struct visit *visit, struct ix_device *d, struct ix_entry *entry)
{
    struct ix_script *script = visit->script;
    struct ix_device_ref ref = ix_device_ref_of(d);
    struct ix_engine *engine = ix_device_engine(d);
    struct ix_error err;
    lua_State *L = ix_enter(script, entry, &err);
    visit->visited++;
    if (!L) {
        count_error(visit, d, err.text);
        return -ELOOP;
    }
    struct ix_device_handle *handle = ix_handle_find(d), *outer = script->device;
    struct ix_draws *drawing = script->drawing,
                    own = {ix_random_key(ix_device_random_key(d), IX_SCRIPT_DRAWS + 1), 0};
    script->device = handle;
    script->drawing = handle ? &handle->draws : &own;
    if (handle)
        handle->busy++;
    lua_rawgeti(L, LUA_REGISTRYINDEX, visit->function_ref);
    ix_device_push(L, script, d);
    int code = ix_entry_call(entry, 1, 1);
    script->device = outer;
    script->drawing = drawing;
    d = ix_device_deref(engine, ref);
    if (code && d)
        count_error(visit, d, lua_tostring(L, -1));
    if (handle) {
        handle->busy--;
        ix_handle_release(handle);
    }
    return code;
}

static void visit_each(void *context, struct ix_device *d)
{
    struct visit *visit = context;
    struct ix_entry entry;
    int code = call(visit, d, &entry);
    if (code == -ELOOP)
        return;
    if (code == 0 && lua_isboolean(entry.L, -1) && !lua_toboolean(entry.L, -1))
        visit->errors++;
    ix_leave(&entry);
}

int ix_script_each(struct ix_script *script, struct ix_engine *engine, const char *group,
                   const char *function, size_t function_len, uint64_t first, uint64_t count,
                   uint64_t *visited, uint64_t *errors, struct ix_error *err)
{
    struct visit visit = {.script = script};
    int code = open_function(script, function, function_len, &visit.function_ref, err);
    if (code < 0)
        return code;
    ix_engine_each(engine, group, first, count, visit_each, &visit);
    luaL_unref(script->L, LUA_REGISTRYINDEX, visit.function_ref);
    *visited = visit.visited;
    *errors = visit.errors;
    return 0;
}

static bool is_chosen(void *context, struct ix_device *d)
{
    struct ix_entry entry;
    int code = call(context, d, &entry);
    if (code == -ELOOP)
        return false;
    bool chosen = code == 0 && lua_toboolean(entry.L, -1);
    ix_leave(&entry);
    return chosen;
}

int ix_script_eligible(struct ix_script *script, struct ix_engine *engine, const char *group,
                       const char *function, size_t function_len, struct ix_bitmap *bits,
                       struct ix_error *err)
{
    struct visit visit = {.script = script};
    int code = open_function(script, function, function_len, &visit.function_ref, err);
    if (code < 0)
        return code;
    code = ix_engine_eligible(engine, group, is_chosen, &visit, bits, err);
    luaL_unref(script->L, LUA_REGISTRYINDEX, visit.function_ref);
    if (code == 0 && visit.errors)
        return ix_fail(err, IX_SCRIPT_ERROR, "select: %s", visit.first.text);
    return code;
}

int ix_script_device_call(struct ix_script *script, struct ix_device *d, const char *function,
                          size_t function_len, struct ix_buf *out, struct ix_error *err)
{
    struct visit visit = {.script = script};
    struct ix_entry entry;
    int code = open_function(script, function, function_len, &visit.function_ref, err);
    if (code < 0)
        return code;
    code = call(&visit, d, &entry);
    if (code == 0)
        code = ix_lua_put_json(entry.L, -1, out, err);
    else
        ix_fail(err, code, "%s", visit.first.text);
    if (code != -ELOOP)
        ix_leave(&entry);
    luaL_unref(script->L, LUA_REGISTRYINDEX, visit.function_ref);
    return code;
}
