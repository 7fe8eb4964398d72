#include "script/strategy.h"

#include "base/random.h"

#include "script/function.h"
#include "script/lua_json.h"

#define SECONDS_MAX 9e9 /* 285 years: what still fits into nanoseconds */

struct schedule {
    struct ix_script *script;
    int at_ref;
    char *title; /* for messages: "strategy "linear", ", or nothing for a plain function */
};

/* ---- evaluation ---- */

struct request {
    const struct schedule *schedule;
    uint64_t first, stride;
    const uint64_t *places; /* NULL: first, first + stride, … */
    size_t count;
    double *seconds;
};

static int refuse(lua_State *L, const struct schedule *schedule, uint64_t place)
{
    lua_Debug at;
    lua_pushvalue(L, 2);
    lua_getinfo(L, ">S", &at);
    char result[64];
    if (lua_type(L, -1) == LUA_TNUMBER)
        snprintf(result, sizeof result, "%g", lua_tonumber(L, -1));
    else
        snprintf(result, sizeof result, "a %s", luaL_typename(L, -1));
    return luaL_error(
        L,
        "%sfunction at %s:%d: device %s of the schedule is put at %s: a strategy gives seconds, "
        "0 or more and at most %g",
        schedule->title, at.short_src, at.linedefined, lua_pushfstring(L, "%f", (double)place), result,
        SECONDS_MAX);
}

/* (request, at): one protected call for a whole chunk. */
static int evaluate(lua_State *L)
{
    const struct request *r = lua_touserdata(L, 1);
    uint64_t place = r->first;
    for (size_t i = 0; i < r->count; i++, place += r->stride) {
        if (r->places)
            place = r->places[i];
        lua_pushvalue(L, 2);
        lua_pushnumber(L, (double)place);
        lua_call(L, 1, 1);
        double seconds = lua_tonumber(L, 3);
        if (!(seconds >= 0 && seconds <= SECONDS_MAX) || lua_type(L, 3) != LUA_TNUMBER)
            return refuse(L, r->schedule, place);
        r->seconds[i] = seconds;
        lua_settop(L, 2);
    }
    return 0;
}

static int run(struct request *request, struct ix_error *err)
{
    const struct schedule *schedule = request->schedule;
    struct ix_entry entry;
    lua_State *L = ix_enter(schedule->script, &entry, err);
    if (!L)
        return err->code;
    lua_pushcfunction(L, evaluate);
    lua_pushlightuserdata(L, request);
    lua_rawgeti(L, LUA_REGISTRYINDEX, schedule->at_ref);
    int code = ix_entry_try(&entry, 2, 0, err);
    ix_leave(&entry);
    return code;
}

static int schedule_at(void *context, uint64_t first, uint64_t stride, size_t count, double *seconds,
                       struct ix_error *err)
{
    struct request request = {context, first, stride, NULL, count, seconds};
    return run(&request, err);
}

static int schedule_at_places(void *context, const uint64_t *places, size_t count, double *seconds,
                              struct ix_error *err)
{
    struct request request = {context, 0, 0, places, count, seconds};
    return run(&request, err);
}

static void schedule_close(void *context)
{
    struct schedule *schedule = context;
    luaL_unref(schedule->script->L, LUA_REGISTRYINDEX, schedule->at_ref);
    free(schedule->title);
    free(schedule);
}

/* ---- opening ---- */

/* random(k): the same for the same k, whatever was asked before. The key is an upvalue of 8 bytes. */
static int place_random(lua_State *L)
{
    uint64_t key;
    memcpy(&key, lua_tostring(L, lua_upvalueindex(1)), sizeof key);
    lua_pushnumber(L, ix_random_unit(ix_random_u64(key, (uint64_t)luaL_checknumber(L, 1))));
    return 1;
}

struct opening {
    const struct ix_strategy_spec *spec;
    uint64_t count;
    uint64_t key;
    struct ix_error *err;
    int code;
};

/* (opening) → at, or nil and opening.err. */
static int open_strategy(lua_State *L)
{
    struct opening *o = lua_touserdata(L, 1);
    const struct ix_strategy_spec *spec = o->spec;
    ix_push_export(L, "iotix.strategy", "open");
    lua_pushstring(L, spec->is_dropout ? "dropout" : "launch");
    if (!spec->function)
        lua_pushstring(L, spec->name);
    else if ((o->code = ix_function_unpack(L, spec->function, spec->function_len, o->err)) < 0)
        return 0;
    lua_pushstring(L, spec->settings && spec->settings[0] ? spec->settings : "{}");
    lua_pushnumber(L, (double)o->count);
    lua_pushlstring(L, (const char *)&o->key, sizeof o->key);
    lua_pushcclosure(L, place_random, 1);
    lua_call(L, 5, 2);
    if (lua_isfunction(L, -2)) {
        lua_pop(L, 1);
        return 1;
    }
    const char *message = lua_tostring(L, -1);
    o->code = ix_fail(o->err, -EINVAL, "%s", message ? message : "the strategy gives no function");
    return 0;
}

int ix_schedule_open(void *context, const struct ix_strategy_spec *spec, uint64_t count, uint64_t key,
                     struct ix_schedule *schedule, struct ix_error *err)
{
    struct ix_script *script = context;
    struct ix_entry entry;
    lua_State *L = ix_enter(script, &entry, err);
    if (!L)
        return err->code;
    struct opening opening = {spec, count, key, err, 0};
    lua_pushcfunction(L, open_strategy);
    lua_pushlightuserdata(L, &opening);
    int code = ix_entry_try(&entry, 1, 1, err);
    if (code == 0)
        code = opening.code;
    if (code == 0) {
        struct schedule *s = ix_malloc(sizeof *s);
        s->script = script;
        s->at_ref = luaL_ref(L, LUA_REGISTRYINDEX);
        s->title = spec->function ? ix_strdup("") : ix_asprintf("strategy \"%s\", ", spec->name);
        *schedule = (struct ix_schedule){schedule_at, schedule_at_places, schedule_close, s};
    }
    ix_leave(&entry);
    return code;
}
