#include "script/task.h"

#include "base/log.h"
#include "base/units.h"

#include <math.h>

#define ORIGIN_MAX  4096
#define SECONDS_MAX 3e9 /* a century: whatever is longer never ends */

/* ---- life of a task ---- */

struct ix_task *ix_task_find(struct ix_script *script, int id)
{
    lua_State *L = script->current;
    lua_rawgeti(L, LUA_REGISTRYINDEX, script->tasks_ref);
    lua_rawgeti(L, -1, id);
    struct ix_task *task = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return task;
}

static void set_entry(lua_State *L, int table_ref, int id, bool set)
{
    /* the value is on the top; popped */
    if (!set)
        lua_pushnil(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, table_ref);
    lua_insert(L, -2);
    lua_rawseti(L, -2, id);
    lua_pop(L, 1);
}

static char *origin_of(lua_State *L, const struct ix_task *parent)
{
    luaL_traceback(L, L, NULL, 1);
    if (parent)
        ix_task_put_origin(parent, L);
    char *origin = ix_strndup(lua_tostring(L, -1), strnlen(lua_tostring(L, -1), ORIGIN_MAX));
    lua_pop(L, 1);
    return origin;
}

static void make_ready(struct ix_task *task)
{
    struct ix_script *script = task->script;
    if (task->state != IX_TASK_NEW)
        task->state = IX_TASK_READY;
    task->next_ready = NULL;
    *script->ready_end = task;
    script->ready_end = &task->next_ready;
    if (!ix_wheel_has(&script->ready_entry))
        ix_wheel_add(script->loop->wheel, &script->ready_entry, 0);
}

static void on_timer(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    struct ix_task *task = (struct ix_task *)((char *)entry - offsetof(struct ix_task, timer));
    const struct ix_wait *wait = task->wait;
    lua_State *co = ix_task_wake(task);
    ix_task_ready(task, wait->expire ? wait->expire(co) : 0);
}

struct ix_task *ix_task_new(struct ix_script *script, lua_State *L, const char *name)
{
    bool limited = script->limited;
    script->limited = false; /* nothing below may raise */
    struct ix_task *task = ix_calloc(1, sizeof *task);
    task->script = script;
    task->id = ++script->next_id;
    task->name = ix_strndup(name, strnlen(name, 80));
    task->timer.fire = on_timer;
    if (script->running)
        task->origin = origin_of(L, script->running);
    task->co = lua_newthread(L);
    lua_insert(L, -2);
    lua_xmove(L, task->co, 1);
    task->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushlightuserdata(L, task);
    set_entry(L, script->tasks_ref, task->id, true);
    task->link = &script->tasks;
    task->next = script->tasks;
    if (task->next)
        task->next->link = &task->next;
    script->tasks = task;
    make_ready(task);
    script->limited = limited;
    return task;
}

/* A waiting task forgets what it waits for. */
static void drop_wait(struct ix_task *task)
{
    ix_wheel_cancel(task->script->loop->wheel, &task->timer);
    if (task->wait && task->wait->drop)
        task->wait->drop(task);
    task->wait = NULL;
}

static void task_free(struct ix_task *task)
{
    struct ix_script *script = task->script;
    drop_wait(task);
    for (struct ix_task *joiner = task->joiners; joiner; joiner = joiner->next_joiner)
        joiner->target = NULL;
    set_entry(script->L, script->tasks_ref, task->id, false);
    luaL_unref(script->L, LUA_REGISTRYINDEX, task->ref);
    *task->link = task->next;
    if (task->next)
        task->next->link = task->link;
    free(task->name);
    free(task->origin);
    free(task->pending);
    free(task);
}

void ix_task_put_origin(const struct ix_task *task, lua_State *L)
{
    if (!task->origin)
        return;
    lua_pushfstring(L, "%s\ntask \"%s\" was spawned here:\n%s", lua_tostring(L, -1), task->name,
                    task->origin);
    lua_replace(L, -2);
}

/* ---- the end of a task ---- */

static void release_joiners(struct ix_task *task, const char *text)
{
    while (task->joiners) {
        struct ix_task *joiner = task->joiners;
        lua_State *co = ix_task_wake(joiner); /* takes it off the list */
        if (text) {
            lua_pushnil(co);
            lua_pushstring(co, text);
        } else {
            lua_pushboolean(co, 1);
        }
        ix_task_ready(joiner, text ? 2 : 1);
    }
}

/* `text` NULL: it ended well. */
static void task_end(struct ix_task *task, int code, const char *text)
{
    struct ix_script *script = task->script;
    lua_State *L = script->L;
    bool joined = task->joiners != NULL;
    release_joiners(task, text);
    if (task == script->main) {
        script->main = NULL;
        script->finished = true;
        script->result = code;
        script->result_text = text ? ix_strdup(text) : NULL;
    } else if (text && !joined) {
        lua_pushstring(L, text);
        set_entry(L, script->outcomes_ref, task->id, true);
        if (!task->cancelled) {
            lua_pushinteger(L, code);
            set_entry(L, script->outcomes_ref, -task->id, true);
            if (code != IX_SCRIPT_FAILED)
                ix_log(IX_LOG_ERROR, "task \"%s\" ended with an error: %s", task->name, text);
        }
    }
    task_free(task);
}

static void run_task(struct ix_task *task)
{
    struct ix_script *script = task->script;
    if (task->state == IX_TASK_NEW && task->pending) {
        char *reason = task->pending;
        task->pending = NULL;
        task_end(task, IX_SCRIPT_ERROR, reason);
        free(reason);
        return;
    }
    int values = task->values;
    task->values = 0;
    task->state = IX_TASK_RUNNING;
    script->running = task;
    int code = ix_resume(script, task->co, values);
    script->running = NULL;
    if (code == LUA_YIELD) {
        if (task->state == IX_TASK_WAITING)
            return;
        task_end(task, IX_SCRIPT_ERROR,
                 "coroutine.yield() was called outside of a coroutine of the script's own");
    } else if (code < 0) {
        task_end(task, code, lua_tostring(script->L, -1));
        lua_pop(script->L, 1);
    } else {
        task_end(task, 0, NULL);
    }
}

/* The first error that nobody joined becomes the result, if main itself ended well. */
static void take_failure(struct ix_script *script)
{
    lua_State *L = script->L;
    int first = 0;
    lua_rawgeti(L, LUA_REGISTRYINDEX, script->outcomes_ref);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        int id = -(int)lua_tointeger(L, -2);
        if (id > 0 && (!first || id < first))
            first = id;
        lua_pop(L, 1);
    }
    if (first) {
        lua_rawgeti(L, -1, -first);
        script->result = (int)lua_tointeger(L, -1);
        lua_rawgeti(L, -2, first);
        script->result_text = ix_strdup(lua_tostring(L, -1));
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
}

static void finish(struct ix_script *script)
{
    script->finished = false;
    script->ready = NULL;
    script->ready_end = &script->ready;
    while (script->tasks)
        task_free(script->tasks);
    ix_wheel_cancel(script->loop->wheel, &script->ready_entry);
    if (script->result == 0 && !script->cancelled)
        take_failure(script);
    if (script->cancelled)
        script->result = -ECANCELED;
    char *text = script->result_text;
    int code = script->result;
    script->result_text = NULL;
    script->done(script->done_context, code, text ? text : "");
    free(text);
}

static void run_ready(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    struct ix_script *script = (struct ix_script *)((char *)entry - offsetof(struct ix_script, ready_entry));
    struct ix_task *list = script->ready;
    script->ready = NULL;
    script->ready_end = &script->ready;
    while (list && !script->finished) {
        struct ix_task *task = list;
        list = task->next_ready;
        run_task(task);
    }
    if (script->finished)
        finish(script);
}

/* ---- waiting ---- */

static struct ix_task *refuse(lua_State *L, int *results, const char *reason)
{
    lua_pushboolean(L, 0);
    lua_pushstring(L, reason);
    *results = 2;
    return NULL;
}

struct ix_task *ix_task_waits(lua_State *L, int *results)
{
    struct ix_script *script = ix_script_of(L);
    struct ix_task *task = script->running;
    if (!task)
        return refuse(L, results,
                      script->loading
                          ? "a file's top level can't wait: do this in run, setup or teardown"
                          : "only a task can wait: do this in run, or in a function given to t:spawn");
    if (task->co != L)
        return refuse(L, results, "a coroutine of the script's own can't wait: use t:spawn");
    if (!lua_isyieldable(L))
        return refuse(L, results,
                      "can't wait here, inside a call by C: a sort, gsub or metamethod, a file's top level");
    if (task->pending) {
        refuse(L, results, task->pending);
        free(task->pending);
        task->pending = NULL;
        return NULL;
    }
    return task;
}

int ix_task_wait(struct ix_task *task, const struct ix_wait *wait, double timeout)
{
    task->wait = wait;
    task->state = IX_TASK_WAITING;
    if (timeout >= 0 && timeout < SECONDS_MAX) {
        uint64_t now = ix_clock_now(&task->script->loop->clock);
        ix_wheel_add(task->script->loop->wheel, &task->timer, now + 1 + (uint64_t)(timeout * 1e9));
    }
    return lua_yield(task->co, 0);
}

lua_State *ix_task_wake(struct ix_task *task)
{
    drop_wait(task);
    lua_checkstack(task->co, LUA_MINSTACK);
    lua_pushboolean(task->co, 1);
    task->values = 1;
    return task->co;
}

void ix_task_ready(struct ix_task *task, int results)
{
    task->values += results;
    make_ready(task);
}

void ix_task_cancel(struct ix_task *task, const char *reason)
{
    task->cancelled = true;
    if (task->state != IX_TASK_WAITING) {
        free(task->pending);
        task->pending = ix_strdup(reason);
        return;
    }
    lua_State *co = ix_task_wake(task);
    lua_pop(co, 1);
    lua_pushboolean(co, 0);
    lua_pushstring(co, reason);
    ix_task_ready(task, 1);
}

double ix_check_timeout(lua_State *L, int index)
{
    if (lua_isnoneornil(L, index))
        return -1;
    double seconds = luaL_checknumber(L, index);
    luaL_argcheck(L, seconds >= 0, index, "seconds must be 0 or more");
    return seconds;
}

/* ---- functions ---- */

static int core_sleep(lua_State *L)
{
    static const struct ix_wait wait = {0};
    luaL_checknumber(L, 1);
    double seconds = ix_check_timeout(L, 1);
    int results;
    struct ix_task *task = ix_task_waits(L, &results);
    return task ? ix_task_wait(task, &wait, seconds) : results;
}

static int core_spawn(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    const char *name = luaL_optstring(L, 2, NULL);
    char place[LUA_IDSIZE + 16];
    if (!name) {
        lua_Debug at;
        lua_pushvalue(L, 1);
        lua_getinfo(L, ">S", &at);
        snprintf(place, sizeof place, "%s:%d", at.short_src, at.linedefined);
        name = place;
    }
    struct ix_script *script = ix_script_of(L);
    if (!script->running)
        return luaL_error(L, "only a task can spawn another one: do this in run");
    lua_pushvalue(L, 1);
    lua_pushinteger(L, ix_task_new(script, L, name)->id);
    return 1;
}

static int core_cancel(lua_State *L)
{
    struct ix_script *script = ix_script_of(L);
    struct ix_task *task = ix_task_find(script, luaL_checkint(L, 1));
    const char *reason = luaL_optstring(L, 2, "cancelled");
    if (task)
        ix_task_cancel(task, reason);
    lua_pushboolean(L, task != NULL);
    return 1;
}

static void drop_join(struct ix_task *task)
{
    if (!task->target)
        return;
    struct ix_task **at = &task->target->joiners;
    while (*at != task)
        at = &(*at)->next_joiner;
    *at = task->next_joiner;
    task->target = NULL;
}

static int expire_join(lua_State *co)
{
    lua_pushnil(co);
    lua_pushliteral(co, "timeout");
    return 2;
}

static int join_ended(lua_State *L, struct ix_script *script, int id)
{
    lua_pushboolean(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, script->outcomes_ref);
    lua_rawgeti(L, -1, id);
    lua_remove(L, -2);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
        return 2;
    }
    set_entry(L, script->outcomes_ref, id, false);
    set_entry(L, script->outcomes_ref, -id, false);
    lua_pushnil(L);
    lua_insert(L, -2);
    return 3;
}

static int core_join(lua_State *L)
{
    static const struct ix_wait wait = {drop_join, expire_join};
    struct ix_script *script = ix_script_of(L);
    int id = luaL_checkint(L, 1), results;
    double timeout = ix_check_timeout(L, 2);
    luaL_argcheck(L, id > 0 && id <= script->next_id, 1, "not a task's id");
    struct ix_task *target = ix_task_find(script, id);
    if (!target)
        return join_ended(L, script, id);
    struct ix_task *task = ix_task_waits(L, &results);
    if (!task)
        return results;
    if (task == target) {
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "a task can't wait for its own end");
        return 2;
    }
    struct ix_task **end = &target->joiners;
    while (*end)
        end = &(*end)->next_joiner;
    *end = task;
    task->next_joiner = NULL;
    task->target = target;
    return ix_task_wait(task, &wait, timeout);
}

static int core_task(lua_State *L)
{
    struct ix_task *task = ix_script_of(L)->running;
    if (!task)
        return 0;
    lua_pushinteger(L, task->id);
    lua_pushstring(L, task->name);
    return 2;
}

void ix_task_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"sleep", core_sleep}, {"spawn", core_spawn}, {"cancel", core_cancel},
        {"join", core_join},   {"task", core_task},   {NULL, NULL},
    };
    luaL_register(L, NULL, functions);
}

void ix_task_init(struct ix_script *script)
{
    lua_State *L = script->L;
    lua_newtable(L);
    script->tasks_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    script->outcomes_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    script->ready_end = &script->ready;
    script->ready_entry.fire = run_ready;
}

void ix_task_deinit(struct ix_script *script)
{
    while (script->tasks)
        task_free(script->tasks);
    ix_wheel_cancel(script->loop->wheel, &script->ready_entry);
    free(script->result_text);
}
