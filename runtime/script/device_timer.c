/* device:after and device:every: timers that end with their device. */
#include "base/units.h"
#include "script/device_handle.h"

#define TIMER_TYPE "iotix.timer"

/* Lives in a userdata, which the registry holds while the timer runs. */
struct ix_device_timer {
    struct ix_wheel_entry wheel;
    struct ix_device_timer *next, **link; /* of its device */
    struct ix_device_handle *handle;      /* NULL: ended */
    uint64_t period_ns;                   /* 0: once */
    int self_ref;
    int function_ref; /* or the name of on_timer: */
    char *name;
};

static void stop_timer(struct ix_device_timer *timer)
{
    if (!timer->handle)
        return;
    struct ix_script *script = timer->handle->script;
    timer->handle = NULL;
    *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
    ix_wheel_cancel(script->loop->wheel, &timer->wheel);
    luaL_unref(script->L, LUA_REGISTRYINDEX, timer->function_ref);
    free(timer->name);
    timer->name = NULL;
    luaL_unref(script->L, LUA_REGISTRYINDEX, timer->self_ref); /* Lua may free it from now on */
}

void ix_timers_stop(struct ix_device_handle *handle)
{
    while (handle->timers)
        stop_timer(handle->timers);
}

static void call_function(struct ix_device_handle *handle, int function_ref)
{
    struct ix_handle_entry entry;
    lua_State *L = ix_handle_enter(handle, &entry);
    if (!L)
        return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, function_ref);
    ix_handle_push(L, handle);
    ix_handle_call(&entry, 1, 0);
    ix_handle_leave(&entry);
}

static void on_due(struct ix_wheel_entry *wheel, uint64_t now_ns)
{
    struct ix_device_timer *timer = (struct ix_device_timer *)wheel;
    struct ix_device_handle *handle = timer->handle;
    lua_State *L = handle->script->L;
    if (!ix_handle_device(handle)) {
        ix_handle_stop(handle);
        return;
    }
    if (timer->period_ns) { /* due instants stay on their grid; those that were missed are left out */
        uint64_t due = timer->wheel.due_ns;
        due += ((now_ns - due) / timer->period_ns + 1) * timer->period_ns;
        ix_wheel_add(handle->script->loop->wheel, &timer->wheel, due);
    }
    bool once = !timer->period_ns;
    handle->busy++;
    lua_rawgeti(L, LUA_REGISTRYINDEX, timer->self_ref); /* it may be stopped by what it calls */
    if (timer->name)
        ix_behaviors_timer(handle, timer->name);
    else
        call_function(handle, timer->function_ref);
    if (once)
        stop_timer(timer);
    lua_pop(L, 1);
    handle->busy--;
    ix_handle_release(handle);
}

static uint64_t check_delay(lua_State *L, int index)
{
    struct ix_error err;
    uint64_t ns;
    if (lua_type(L, index) == LUA_TSTRING) {
        if (ix_units_duration(lua_tostring(L, index), IX_S, &ns, &err) < 0)
            luaL_argerror(L, index, err.text);
        return ns;
    }
    double seconds = luaL_checknumber(L, index);
    luaL_argcheck(L, seconds >= 0 && seconds < 3e9, index, "seconds, 0 or more");
    return (uint64_t)(seconds * 1e9 + 0.5);
}

/* (device, delay, function or name) → timer */
static int new_timer(lua_State *L, bool repeats)
{
    struct ix_device_handle *handle = ix_check_handle(L, 1);
    struct ix_script *script = handle->script;
    uint64_t delay = check_delay(L, 2);
    bool is_name = lua_type(L, 3) == LUA_TSTRING;
    luaL_argcheck(L, is_name || lua_isfunction(L, 3), 3, "a function, or the name that on_timer gets");
    luaL_argcheck(L, !repeats || delay >= IX_MS, 2, "an interval of at least 1 ms");
    lua_settop(L, 3);
    bool limited = script->limited;
    script->limited = false; /* nothing below may raise */
    struct ix_device_timer *timer = lua_newuserdata(L, sizeof *timer);
    *timer = (struct ix_device_timer){.handle = handle, .function_ref = LUA_NOREF};
    timer->wheel.fire = on_due;
    timer->period_ns = repeats ? delay : 0;
    luaL_getmetatable(L, TIMER_TYPE);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    timer->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    if (is_name) {
        timer->name = ix_strdup(lua_tostring(L, 3));
    } else {
        lua_pushvalue(L, 3);
        timer->function_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    timer->link = &handle->timers;
    timer->next = handle->timers;
    if (timer->next)
        timer->next->link = &timer->next;
    handle->timers = timer;
    ix_wheel_add(script->loop->wheel, &timer->wheel, ix_clock_now(&script->loop->clock) + delay);
    script->limited = limited;
    return 1;
}

int ix_device_after(lua_State *L)
{
    return new_timer(L, false);
}

int ix_device_every(lua_State *L)
{
    return new_timer(L, true);
}

static int timer_cancel(lua_State *L)
{
    stop_timer(luaL_checkudata(L, 1, TIMER_TYPE));
    return 0;
}

void ix_device_timer_open(lua_State *L)
{
    luaL_newmetatable(L, TIMER_TYPE);
    lua_newtable(L);
    lua_pushcfunction(L, timer_cancel);
    lua_setfield(L, -2, "cancel");
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
