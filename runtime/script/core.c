#include "script/core.h"

#include "base/log.h"
#include "base/random.h"
#include "base/suggest.h"
#include "base/units.h"
#include "script/state.h"

#include <inttypes.h>
#include <math.h>

static const char *const role_names[] = {"controller", "worker", "tool"};

static int core_now(lua_State *L)
{
    struct ix_script *script = ix_script_of(L);
    uint64_t now = ix_clock_now(&script->loop->clock), start = script->config.run_start_ns;
    lua_pushnumber(L, (double)(int64_t)(now - start) / 1e9);
    return 1;
}

static int core_wall(lua_State *L)
{
    struct ix_clock *clock = &ix_script_of(L)->loop->clock;
    lua_pushnumber(L, floor((double)ix_clock_wall(clock, ix_clock_now(clock)) / 1e6));
    return 1;
}

static int core_folder(lua_State *L)
{
    lua_pushstring(L, ix_script_of(L)->folder);
    return 1;
}

static int put_message(lua_State *L, const struct ix_error *err)
{
    lua_pushnil(L);
    lua_pushstring(L, err->text);
    return 2;
}

static int core_duration(lua_State *L)
{
    struct ix_error err;
    double bare = luaL_optnumber(L, 2, 1);
    luaL_argcheck(L, bare >= 0 && bare < 1e9, 2, "seconds from 0 to 1e9");
    if (lua_type(L, 1) == LUA_TNUMBER) {
        double seconds = lua_tonumber(L, 1);
        if (!(seconds >= 0) || isinf(seconds)) {
            ix_fail(&err, -EINVAL, "a duration is 0 or more seconds, not %g", seconds);
            return put_message(L, &err);
        }
        lua_pushnumber(L, seconds);
        return 1;
    }
    luaL_checktype(L, 1, LUA_TSTRING);
    uint64_t ns;
    if (ix_units_duration(lua_tostring(L, 1), (uint64_t)(bare * 1e9), &ns, &err) < 0)
        return put_message(L, &err);
    lua_pushnumber(L, (double)ns / 1e9);
    return 1;
}

static int core_count(lua_State *L)
{
    struct ix_error err;
    if (lua_type(L, 1) == LUA_TNUMBER) {
        double count = lua_tonumber(L, 1);
        if (!(count >= 0) || count != floor(count) || count > 0x1p53) {
            ix_fail(&err, -EINVAL, "a count is a whole number from 0 on, not %g", count);
            return put_message(L, &err);
        }
        lua_pushnumber(L, count);
        return 1;
    }
    uint64_t count;
    if (ix_units_count(luaL_checkstring(L, 1), &count, &err) < 0)
        return put_message(L, &err);
    lua_pushnumber(L, (double)count);
    return 1;
}

#define WORDS_MAX 256

static int core_suggest(lua_State *L)
{
    const char *word = luaL_checkstring(L, 1), *words[WORDS_MAX];
    char text[512];
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t count = 0, len = lua_objlen(L, 2);
    for (size_t i = 1; i <= len && count < WORDS_MAX; i++) {
        lua_rawgeti(L, 2, (int)i);
        if (lua_type(L, -1) == LUA_TSTRING)
            words[count++] = lua_tostring(L, -1); /* the table keeps it */
        lua_pop(L, 1);
    }
    ix_suggest_put(text, sizeof text, word, words, count);
    lua_pushstring(L, text);
    return 1;
}

static int core_log(lua_State *L)
{
    enum ix_log_level level;
    const char *name = luaL_checkstring(L, 1), *text = luaL_checkstring(L, 2);
    luaL_argcheck(L, ix_log_parse_level(name, &level) == 0, 1, "level error, warn, info or debug");
    if (ix_script_of(L)->config.role == IX_ROLE_WORKER)
        ix_log(level, "%s", text);
    else
        ix_log_always(level, text);
    return 0;
}

/* ---- random numbers ---- */

int ix_push_random(lua_State *L, struct ix_draws *draws, int first)
{
    uint64_t bits = ix_random_u64(draws->key, draws->count++);
    if (lua_isnoneornil(L, first)) {
        lua_pushnumber(L, ix_random_unit(bits));
        return 1;
    }
    double low = 1, high = luaL_checknumber(L, first);
    if (!lua_isnoneornil(L, first + 1)) {
        low = high;
        high = luaL_checknumber(L, first + 1);
    }
    low = ceil(low);
    high = floor(high);
    luaL_argcheck(L, low <= high && high - low < 0x1p53, first, "interval is empty");
    lua_pushnumber(L, low + (double)ix_random_below(bits, (uint64_t)(high - low) + 1));
    return 1;
}

static int core_random(lua_State *L)
{
    return ix_push_random(L, ix_script_of(L)->drawing, 1);
}

/* ---- metrics ---- */

static int parse_kind(const char *name)
{
    static const char *const names[] = {[IX_CUSTOM_COUNTER] = "counter",
                                        [IX_CUSTOM_GAUGE] = "gauge",
                                        [IX_CUSTOM_RATE] = "rate",
                                        [IX_CUSTOM_TREND] = "trend"};
    for (size_t i = IX_CUSTOM_COUNTER; i < IX_ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return (int)i;
    return IX_CUSTOM_FREE;
}

/* "key:value,key:value" → {"key": "value"}. */
static json_t *tags_object(const char *tags)
{
    json_t *object = json_object();
    while (*tags) {
        size_t len = strcspn(tags, ","), key = strcspn(tags, ":,");
        size_t value = key < len ? key + 1 : len;
        char *name = ix_strndup(tags, key);
        json_object_set_new(object, name, json_stringn(tags + value, len - value));
        free(name);
        tags += len + (tags[len] == ',');
    }
    return object;
}

static int tell_host(lua_State *L, struct ix_script *script, const char *tags)
{
    const struct ix_host *host = script->config.host;
    struct ix_error err = {0};
    json_t *result = NULL, *arguments = json_object();
    json_object_set_new(arguments, "kind", json_string(lua_tostring(L, 1)));
    json_object_set_new(arguments, "name", json_string(lua_tostring(L, 2)));
    if (tags[0])
        json_object_set_new(arguments, "tags", tags_object(tags));
    if (!lua_isnil(L, 4))
        json_object_set_new(arguments, "value", json_real(lua_tonumber(L, 4)));
    int code = host->call(host->context, "metric.add", arguments, 0, &result, &err);
    json_decref(arguments);
    json_decref(result);
    if (code < 0)
        return put_message(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* The series, looked up once and then found by two string keys. NULL if none can be had. */
static struct ix_custom_metric *find_series(lua_State *L, struct ix_script *script, int kind,
                                            const char *name, const char *tags)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, script->metrics_ref);
    lua_getfield(L, -1, name);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, name);
    }
    lua_getfield(L, -1, tags);
    struct ix_custom_metric *metric = lua_touserdata(L, -1);
    if (!metric &&
        (metric = ix_segment_custom(script->config.segment, (enum ix_custom_kind)kind, name, tags))) {
        lua_pushlightuserdata(L, metric);
        lua_setfield(L, -3, tags);
    }
    return metric && metric->kind == (uint32_t)kind ? metric : NULL;
}

static int core_metric(lua_State *L)
{
    struct ix_script *script = ix_script_of(L);
    struct ix_error err;
    int kind = parse_kind(luaL_checkstring(L, 1));
    luaL_argcheck(L, kind != IX_CUSTOM_FREE, 1, "kind counter, gauge, rate or trend");
    const char *name = luaL_checkstring(L, 2), *tags = luaL_optstring(L, 3, "");
    lua_settop(L, 4);
    if (!lua_isnil(L, 4)) {
        double value = lua_isboolean(L, 4) ? lua_toboolean(L, 4) : luaL_checknumber(L, 4);
        luaL_argcheck(L, isfinite(value), 4, "a finite number");
        lua_pushnumber(L, value);
        lua_replace(L, 4);
    }
    if (script->config.host)
        return tell_host(L, script, tags);
    if (!script->config.segment) {
        lua_pushboolean(L, 1); /* nothing runs: nobody counts */
        return 1;
    }
    if (strlen(name) >= sizeof((struct ix_custom_metric *)0)->name ||
        strlen(tags) >= sizeof((struct ix_custom_metric *)0)->tags) {
        ix_fail(&err, -ENAMETOOLONG, "metric \"%.40s…\": name or tags are too long", name);
        return put_message(L, &err);
    }
    struct ix_custom_metric *metric = find_series(L, script, kind, name, tags);
    if (!metric) {
        ix_fail(&err, -ENOSPC, "metric \"%s\" is not a %s, or there are more than %d series", name,
                lua_tostring(L, 1), IX_SEGMENT_CUSTOM);
        return put_message(L, &err);
    }
    if (!lua_isnil(L, 4))
        ix_custom_metric_add(metric, lua_tonumber(L, 4));
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- the scenario's table ---- */

static int core_scenario(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    struct ix_script *script = ix_script_of(L);
    luaL_unref(L, LUA_REGISTRYINDEX, script->scenario_ref);
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    script->scenario_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 1;
}

int ix_core_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"now", core_now},
        {"wall", core_wall},
        {"folder", core_folder},
        {"duration", core_duration},
        {"count", core_count},
        {"suggest", core_suggest},
        {"log", core_log},
        {"random", core_random},
        {"metric", core_metric},
        {"scenario", core_scenario},
        {NULL, NULL},
    };
    struct ix_script *script = ix_script_of(L);
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, script->config.seed);
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    ix_task_functions(L);
    ix_operation_functions(L);
    ix_subscription_functions(L);
    ix_function_functions(L);
    ix_handler_functions(L);
    ix_lua_json_functions(L);
    lua_pushstring(L, role_names[script->config.role]);
    lua_setfield(L, -2, "role");
    lua_pushliteral(L, IX_VERSION);
    lua_setfield(L, -2, "version");
    lua_pushstring(L, seed);
    lua_setfield(L, -2, "seed");
    return 1;
}
