/* The Lua state itself: memory with a limit, libraries, the module iotix.core. */
#include "script/state.h"
#include "base/random.h"
#include "script/core.h"
#include "script/custom_generator.h"
#include "script/device_handle.h"
#include "script/task.h"

#include <luajit.h>
#include <lualib.h>
#include <stdio.h>

#define MEMORY_LIMIT (1ull << 30)

int luaopen_cjson(lua_State *L);
int luaopen_cjson_safe(lua_State *L);

static const char script_key; /* of the script in the registry */

struct ix_script *ix_script_of(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&script_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    struct ix_script *script = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return script;
}

static void *allocate(void *context, void *old, size_t old_size, size_t size)
{
    struct ix_script *script = context;
    if (size == 0) {
        script->memory -= old_size;
        free(old);
        return NULL;
    }
    if (script->limited && size > old_size && script->memory + (size - old_size) > script->memory_limit)
        return NULL;
    void *data = realloc(old, size);
    if (data)
        script->memory += size - old_size;
    return data;
}

void ix_push_owned(lua_State *L, char *text, size_t len)
{
    struct ix_script *script = ix_script_of(L);
    bool limited = script->limited;
    script->limited = false; /* may not raise */
    lua_pushlstring(L, text ? text : "", len);
    script->limited = limited;
    free(text);
}

static int on_panic(lua_State *L)
{
    fprintf(stderr, "iotix: error outside of a protected call: %s\n", lua_tostring(L, -1));
    return 0;
}

static void add_preload(lua_State *L, const char *name, lua_CFunction open)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, open);
    lua_setfield(L, -2, name);
    lua_pop(L, 2);
}

/* package.loaders = {preload, ours}; tools keep Lua's own behind them. */
static void set_searchers(lua_State *L, bool keep)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaders");
    lua_createtable(L, 5, 0);
    lua_rawgeti(L, -2, 1);
    lua_rawseti(L, -2, 1);
    lua_pushcfunction(L, ix_searcher);
    lua_rawseti(L, -2, 2);
    for (int i = 2; keep && i <= (int)lua_objlen(L, -2); i++) {
        lua_rawgeti(L, -2, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -3, "loaders");
    lua_pop(L, 2);
}

static int open_state(lua_State *L)
{
    struct ix_script *script = lua_touserdata(L, 1);
    lua_settop(L, 0);
    luaL_openlibs(L); /* turns the JIT on */
    if (script->config.role == IX_ROLE_CONTROLLER || script->config.no_jit)
        luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    lua_pushlightuserdata(L, (void *)&script_key);
    lua_pushlightuserdata(L, script);
    lua_rawset(L, LUA_REGISTRYINDEX);
    add_preload(L, "cjson", luaopen_cjson);
    add_preload(L, "cjson.safe", luaopen_cjson_safe);
    set_searchers(L, script->config.role == IX_ROLE_TOOL);
    lua_newtable(L);
    script->handlers_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    script->metrics_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    ix_task_init(script);
    if (script->config.role == IX_ROLE_WORKER)
        ix_device_object_open(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    ix_core_open(L);
    lua_setfield(L, -2, "iotix.core");
    lua_settop(L, 0);
    ix_prelude_run(script);
    return 0;
}

int ix_script_new(const struct ix_script_config *config, struct ix_script **result, struct ix_error *err)
{
    struct ix_script *script = ix_calloc(1, sizeof *script);
    script->config = *config;
    script->loop = config->loop;
    script->memory_limit = config->memory_limit ? config->memory_limit : MEMORY_LIMIT;
    script->draws.key = ix_random_key(config->seed, ix_hash64("scenario", 8));
    script->drawing = &script->draws;
    script->scenario_ref = LUA_NOREF;
    script->folder = ix_strdup(".");
    ix_buf_init(&script->scratch, 16 << 20);
    lua_State *L = script->L = script->current = lua_newstate(allocate, script);
    IX_REQUIRE(L);
    lua_atpanic(L, on_panic);
    ix_call_open(script);
    ix_watch_start();
    if (lua_cpcall(L, open_state, script)) {
        int code = ix_fail(err, IX_SCRIPT_ERROR, "the Lua state can't be opened: %s", lua_tostring(L, -1));
        ix_script_free(script);
        return code;
    }
    *result = script;
    return 0;
}

void ix_script_free(struct ix_script *script)
{
    if (!script)
        return;
    ix_custom_generator_drop(script);
    ix_task_deinit(script);
    ix_handles_deinit(script);
    ix_subscription_deinit(script);
    lua_close(script->L);
    ix_watch_stop();
    ix_buf_deinit(&script->scratch);
    free(script->path);
    free(script->folder);
    free(script);
}

size_t ix_script_memory(const struct ix_script *script)
{
    return script->memory;
}
