/* The one way from C into Lua: protected, with a traceback, and bounded in CPU time. */
#include "script/task.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX  32 /* entries within entries: Lua publishes, a hook runs, publishes … */
#define STACK_ROOM 20

/* The watch: a timer over the CPU time of this thread ticks every 250 ms. A tick that finds the same entry
 * running as the fourth before it sets a hook that raises an error. The first time that happens only once, so
 * that handlers and clean-up may run; a second time at every instruction, until the entry has ended. */
#define TICK_NS      250000000l
#define TICKS_LIMIT  4
#define WATCH_SIGNAL SIGVTALRM

static struct {
    unsigned users;
    timer_t timer;
    struct sigaction before;
    lua_State *volatile L; /* of the entry that runs; NULL: none */
    volatile uint32_t sequence;
    uint32_t seen;
    int ticks;
    int fired;
} watch;

static void raise_overrun(lua_State *L, lua_Debug *at)
{
    static const char text[] =
        "ran for 1 s without returning: let other work happen with a wait, or do less in one call";
    if (watch.fired == 1)
        lua_sethook(L, NULL, 0, 0);
    at->currentline = -1;
    lua_getinfo(L, "Sl", at);
    if (at->currentline > 0)
        lua_pushfstring(L, "%s:%d: %s", at->short_src, at->currentline, text);
    else
        lua_pushstring(L, text);
    lua_error(L);
}

static void on_tick(int number)
{
    (void)number;
    lua_State *L = watch.L;
    if (!L)
        return;
    if (watch.sequence != watch.seen) {
        watch.seen = watch.sequence;
        watch.ticks = 0;
    } else if (++watch.ticks >= TICKS_LIMIT) {
        watch.ticks = 0;
        watch.fired++;
        lua_sethook(L, raise_overrun, LUA_MASKCOUNT, 1);
    }
}

void ix_watch_start(void)
{
    if (watch.users++)
        return;
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(WATCH_SIGNAL, &action, &watch.before);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = WATCH_SIGNAL};
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    IX_REQUIRE(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &watch.timer) == 0);
    struct itimerspec every = {{0, TICK_NS}, {0, TICK_NS}};
    timer_settime(watch.timer, 0, &every, NULL);
}

void ix_watch_stop(void)
{
    if (--watch.users)
        return;
    timer_delete(watch.timer);
    sigaction(WATCH_SIGNAL, &watch.before, NULL);
}

static void watch_enter(struct ix_script *script)
{
    if (script->depth++ || script->config.role == IX_ROLE_TOOL)
        return;
    watch.sequence++;
    watch.L = script->L;
}

static void watch_leave(struct ix_script *script)
{
    if (--script->depth || script->config.role == IX_ROLE_TOOL)
        return;
    watch.L = NULL;
    if (watch.fired) {
        watch.fired = 0;
        lua_sethook(script->L, NULL, 0, 0);
    }
}

/* ---- error values ---- */

static bool field_is_true(lua_State *L, int index, const char *name)
{
    lua_pushstring(L, name);
    lua_rawget(L, index);
    bool is = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return is;
}

/* Replaces the error value on the top by its text; true if the value was a plain one, which has no traceback
 * of its own. A table with __tostring carries position and traceback, and may say what kind of error it is.
 */
static bool put_text(struct ix_script *script, lua_State *L)
{
    int value = lua_gettop(L);
    script->error_code = IX_SCRIPT_ERROR;
    if (lua_istable(L, value) && luaL_getmetafield(L, value, "__tostring")) {
        if (field_is_true(L, value, "configuration"))
            script->error_code = IX_SCRIPT_CONFIGURATION;
        else if (field_is_true(L, value, "failed"))
            script->error_code = IX_SCRIPT_FAILED;
        lua_pushvalue(L, value);
        lua_call(L, 1, 1);
        if (!lua_isstring(L, -1)) {
            lua_pop(L, 1);
            lua_pushliteral(L, "(an error whose __tostring gives no text)");
        }
        lua_replace(L, value);
        return false;
    }
    if (!lua_isstring(L, value)) {
        lua_pushfstring(L, "(error value is a %s)", luaL_typename(L, value));
        lua_replace(L, value);
    }
    return true;
}

static int on_error(lua_State *L)
{
    lua_settop(L, 1);
    struct ix_script *script = ix_script_of(L);
    if (put_text(script, L)) {
        luaL_traceback(L, L, lua_tostring(L, 1), 1);
        if (L != script->L && script->running)
            ix_task_put_origin(script->running, L);
    }
    return 1;
}

/* The same for a coroutine that died: (value, coroutine) → text. */
static int on_death(lua_State *L)
{
    struct ix_script *script = ix_script_of(L);
    lua_State *co = lua_tothread(L, 2);
    lua_pushvalue(L, 1);
    if (put_text(script, L)) {
        luaL_traceback(L, co, lua_tostring(L, -1), 0);
        if (script->running)
            ix_task_put_origin(script->running, L);
    }
    return 1;
}

/* ---- entries ---- */

lua_State *ix_enter(struct ix_script *script, struct ix_entry *entry, struct ix_error *err)
{
    lua_State *L = script->current;
    *entry = (struct ix_entry){script, L, lua_gettop(L), script->limited};
    script->limited = false;
    if (script->depth >= DEPTH_MAX || !lua_checkstack(L, STACK_ROOM)) {
        script->limited = entry->limited;
        ix_fail(err, -ELOOP, "scripts call each other through hooks more than %d levels deep", DEPTH_MAX);
        return NULL;
    }
    watch_enter(script);
    lua_rawgeti(L, LUA_REGISTRYINDEX, script->traceback_ref);
    return L;
}

/* What the state itself says when its limit is reached, or when the handler fails, has no place in the
 * script. */
static int explain(struct ix_script *script, lua_State *L, int status)
{
    if (status == LUA_ERRMEM) {
        lua_pushfstring(L, "not enough memory: scripts of one process may hold %d MiB",
                        (int)(script->memory_limit >> 20));
        return IX_SCRIPT_ERROR;
    }
    if (status == LUA_ERRERR) {
        lua_pushliteral(L, "an error while another error was handled (stack overflow in __tostring?)");
        return IX_SCRIPT_ERROR;
    }
    return script->error_code;
}

int ix_entry_call(struct ix_entry *entry, int arguments, int results)
{
    struct ix_script *script = entry->script;
    script->limited = true;
    int status = lua_pcall(entry->L, arguments, results, entry->base + 1);
    script->limited = false;
    return status ? explain(script, entry->L, status) : 0;
}

int ix_entry_try(struct ix_entry *entry, int arguments, int results, struct ix_error *err)
{
    int code = ix_entry_call(entry, arguments, results);
    return code ? ix_fail(err, code, "%s", lua_tostring(entry->L, -1)) : 0;
}

void ix_leave(struct ix_entry *entry)
{
    lua_settop(entry->L, entry->base);
    watch_leave(entry->script);
    entry->script->limited = entry->limited;
}

int ix_resume(struct ix_script *script, lua_State *co, int arguments)
{
    lua_State *before = script->current;
    script->current = co;
    watch_enter(script);
    script->limited = true;
    int status = lua_resume(co, arguments);
    script->limited = false;
    watch_leave(script);
    script->current = before;
    if (status == 0 || status == LUA_YIELD)
        return status;
    lua_State *L = script->L;
    if (status == LUA_ERRMEM)
        return explain(script, L, status);
    lua_checkstack(co, 1);
    lua_pushcfunction(L, on_death);
    lua_xmove(co, L, 1);
    lua_pushthread(co);
    lua_xmove(co, L, 1);
    watch_enter(script); /* __tostring is Lua as well */
    script->limited = true;
    status = lua_pcall(L, 2, 1, 0);
    script->limited = false;
    watch_leave(script);
    return status ? explain(script, L, LUA_ERRERR) : script->error_code;
}

void ix_push_export(lua_State *L, const char *module, const char *name)
{
    lua_getglobal(L, "require");
    lua_pushstring(L, module);
    lua_call(L, 1, 1);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    if (lua_isnil(L, -1))
        luaL_error(L, "module %s has no function %s", module, name);
}

/* (module, name) → function */
static int find_export(lua_State *L)
{
    ix_push_export(L, lua_tostring(L, 1), lua_tostring(L, 2));
    return 1;
}

/* (module, name, arguments…) → results… */
static int call_export(lua_State *L)
{
    ix_push_export(L, lua_tostring(L, 1), lua_tostring(L, 2));
    lua_insert(L, 3);
    lua_call(L, lua_gettop(L) - 3, LUA_MULTRET);
    return lua_gettop(L) - 2;
}

int ix_entry_export(struct ix_entry *entry, const char *module, const char *name, int arguments, int results,
                    struct ix_error *err)
{
    lua_State *L = entry->L;
    int first = lua_gettop(L) - arguments + 1;
    lua_pushcfunction(L, call_export);
    lua_insert(L, first);
    lua_pushstring(L, module);
    lua_insert(L, first + 1);
    lua_pushstring(L, name);
    lua_insert(L, first + 2);
    return ix_entry_try(entry, arguments + 2, results, err);
}

int ix_entry_find(struct ix_entry *entry, const char *module, const char *name, struct ix_error *err)
{
    lua_pushcfunction(entry->L, find_export);
    lua_pushstring(entry->L, module);
    lua_pushstring(entry->L, name);
    return ix_entry_try(entry, 2, 1, err);
}

void ix_call_open(struct ix_script *script)
{
    lua_pushcfunction(script->L, on_error);
    script->traceback_ref = luaL_ref(script->L, LUA_REGISTRYINDEX);
}
