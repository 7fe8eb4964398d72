/* What Lua code finds in its globals: waits that raise, and by role no, or guarded, access to the system. */
#include "script/state.h"

static const char prelude[] =
    "local core, role, loading = ...\n"
    /* A waiting function of C gives true, results… or false, message. The error then stands at the caller. */
    "local function finish(ok, ...)\n"
    "  if ok then return ... end\n"
    "  error((...), 2)\n"
    "end\n"
    "for _, name in ipairs { 'sleep', 'join', 'call', 'pop' } do\n"
    "  local wait = core[name]\n"
    "  core[name] = function(...) return finish(wait(...)) end\n"
    "end\n"
    "math.random = core.random\n"
    "math.randomseed = function()\n"
    "  error('random numbers come from the seed of the run: set it with --seed', 2)\n"
    "end\n"
    "if role == 'tool' then return end\n"
    "print = function(...)\n"
    "  local parts = {}\n"
    "  for i = 1, select('#', ...) do parts[i] = tostring((select(i, ...))) end\n"
    "  core.log('info', table.concat(parts, '\\t'))\n"
    "end\n"
    /* Bytecode could do anything to the process. */
    "local load_any = load\n"
    "load = function(chunk, name, _, env)\n"
    "  if env == nil then return load_any(chunk, name, 't') end\n"
    "  return load_any(chunk, name, 't', env)\n"
    "end\n"
    "loadstring = function(chunk, name) return load_any(chunk, name or chunk, 't') end\n"
    "local function guard(what, f)\n"
    "  return function(...)\n"
    "    if loading() then\n"
    "      error(what .. ' is not available at the top level of a file, which runs in every process: '\n"
    "        .. 'move it into run, setup or teardown', 2)\n"
    "    end\n"
    "    return f(...)\n"
    "  end\n"
    "end\n"
    "package.loaded['jit.opt'], package.loaded['jit.util'], package.loaded.jit, jit = nil, nil, nil, nil\n"
    "os.exit = function() error('os.exit would leave devices behind: return from run, or raise an error', 2) "
    "end\n"
    "if role == 'controller' then\n"
    "  local plain_io, guarded = io, {}\n"
    "  for name, f in pairs(plain_io) do\n"
    "    if type(f) == 'function' then guarded[name] = guard('io.' .. name, f) end\n"
    "  end\n"
    "  io = setmetatable(guarded, { __index = guard('io', function(_, name) return plain_io[name] end) })\n"
    "  package.loaded.io = io\n"
    "  for _, name in ipairs { 'execute', 'remove', 'rename', 'tmpname' } do\n"
    "    os[name] = guard('os.' .. name, os[name])\n"
    "  end\n"
    "  dofile, loadfile = guard('dofile', dofile), guard('loadfile', loadfile)\n"
    "  return\n"
    "end\n"
    "io, dofile, loadfile, package.loaded.io, package.loaded.ffi = nil, nil, nil, nil, nil\n"
    "package.preload.ffi, package.loadlib, package.searchpath, package.cpath = nil, nil, nil, ''\n"
    "os.execute, os.remove, os.rename, os.tmpname, os.setlocale = nil, nil, nil, nil, nil\n"
    "debug = { traceback = debug.traceback, getinfo = debug.getinfo }\n"
    "package.loaded.debug = debug\n";

static int is_loading(lua_State *L)
{
    lua_pushboolean(L, ix_script_of(L)->loading);
    return 1;
}

/* os.exit of tools closes the state first, so that a checker of memory sees only what is really lost. */
static int tool_exit(lua_State *L)
{
    struct ix_script *script = ix_script_of(L);
    int code = lua_isboolean(L, 1) ? !lua_toboolean(L, 1) : (int)luaL_optinteger(L, 1, 0);
    lua_close(script->L);
    exit(code);
}

static void replace_exit(lua_State *L)
{
    lua_getglobal(L, "os");
    lua_pushcfunction(L, tool_exit);
    lua_setfield(L, -2, "exit");
    lua_pop(L, 1);
}

void ix_prelude_run(struct ix_script *script)
{
    lua_State *L = script->L;
    if (script->config.role == IX_ROLE_TOOL)
        replace_exit(L);
    if (luaL_loadbuffer(L, prelude, sizeof prelude - 1, "=iotix"))
        lua_error(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "iotix.core");
    lua_remove(L, -2);
    lua_getfield(L, -1, "role");
    lua_pushcfunction(L, is_loading);
    lua_call(L, 3, 0);
}
