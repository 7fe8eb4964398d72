#include "script/device_handle.h"

#include "base/log.h"
#include "base/random.h"
#include "generator/generator.h"

#define REASON_MAX 120

/* A device that fails on the next turn. */
struct ix_script_failure {
    struct ix_script_failure *next;
    struct ix_engine *engine;
    struct ix_device_ref ref;
    bool told;
    char reason[REASON_MAX];
};

struct ix_device *ix_handle_device(const struct ix_device_handle *handle)
{
    return ix_device_deref(handle->engine, handle->ref);
}

struct ix_device_handle *ix_handle_find(const struct ix_device *d)
{
    return ix_device_script(d);
}

struct ix_device_handle *ix_handle_of(struct ix_script *script, struct ix_device *d)
{
    struct ix_device_handle *handle = ix_device_script(d);
    if (handle)
        return handle;
    handle = ix_calloc(1, sizeof *handle);
    handle->script = script;
    handle->engine = ix_device_engine(d);
    handle->ref = ix_device_ref_of(d);
    handle->draws.key = ix_random_key(ix_device_random_key(d), IX_SCRIPT_DRAWS);
    handle->object_ref = handle->state_ref = LUA_NOREF;
    handle->link = &script->handles;
    handle->next = script->handles;
    if (handle->next)
        handle->next->link = &handle->next;
    script->handles = handle;
    ix_device_set_script(d, handle);
    return handle;
}

static void free_handle(struct ix_device_handle *handle)
{
    lua_State *L = handle->script->L;
    ix_timers_stop(handle);
    if (handle->object_ref != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, handle->object_ref);
        ((struct ix_device_object *)lua_touserdata(L, -1))->handle = NULL;
        lua_pop(L, 1);
    }
    luaL_unref(L, LUA_REGISTRYINDEX, handle->object_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, handle->state_ref);
    struct ix_device *d = ix_handle_device(handle);
    if (d && ix_device_script(d) == handle)
        ix_device_set_script(d, NULL);
    *handle->link = handle->next;
    if (handle->next)
        handle->next->link = handle->link;
    free(handle);
}

void ix_handle_release(struct ix_device_handle *handle)
{
    if (handle->stopped && !handle->busy && !handle->instances)
        free_handle(handle);
}

void ix_handle_stop(struct ix_device_handle *handle)
{
    ix_timers_stop(handle);
    luaL_unref(handle->script->L, LUA_REGISTRYINDEX, handle->state_ref);
    handle->state_ref = LUA_NOREF;
    handle->behaviors = NULL;
    handle->stopped = true;
    ix_handle_release(handle);
}

void ix_handles_deinit(struct ix_script *script)
{
    /* Devices may be gone already, with their engine: only our side is freed. */
    while (script->handles) {
        struct ix_device_handle *handle = script->handles;
        script->handles = handle->next;
        ix_timers_stop(handle);
        free(handle);
    }
    while (script->failures) {
        struct ix_script_failure *failure = script->failures;
        script->failures = failure->next;
        free(failure);
    }
    ix_wheel_cancel(script->loop->wheel, &script->failures_entry);
}

/* ---- userdata ---- */

static struct ix_device_object *push_object(lua_State *L, struct ix_script *script, struct ix_engine *engine,
                                            struct ix_device_ref ref)
{
    struct ix_device_object *object = lua_newuserdata(L, sizeof *object);
    *object = (struct ix_device_object){script, engine, ref, NULL};
    lua_rawgeti(L, LUA_REGISTRYINDEX, script->device_ref);
    lua_setmetatable(L, -2);
    return object;
}

void ix_handle_push(lua_State *L, struct ix_device_handle *handle)
{
    if (handle->object_ref == LUA_NOREF) {
        push_object(L, handle->script, handle->engine, handle->ref)->handle = handle;
        handle->object_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, handle->object_ref);
}

void ix_device_push(lua_State *L, struct ix_script *script, struct ix_device *d)
{
    struct ix_device_handle *handle = ix_device_script(d);
    if (handle)
        ix_handle_push(L, handle);
    else
        push_object(L, script, ix_device_engine(d), ix_device_ref_of(d));
}

/* ---- calls ---- */

lua_State *ix_handle_enter(struct ix_device_handle *handle, struct ix_handle_entry *entry)
{
    struct ix_script *script = handle->script;
    struct ix_error err;
    if (handle->failed)
        return NULL;
    lua_State *L = ix_enter(script, &entry->entry, &err);
    if (!L) {
        ix_handle_report(handle, err.text);
        return NULL;
    }
    entry->handle = handle;
    entry->outer = script->device;
    entry->drawing = script->drawing;
    script->device = handle;
    script->drawing = &handle->draws;
    handle->busy++;
    return L;
}

int ix_handle_call(struct ix_handle_entry *entry, int arguments, int results)
{
    int code = ix_entry_call(&entry->entry, arguments, results);
    if (code)
        ix_handle_report(entry->handle, lua_tostring(entry->entry.L, -1));
    return code;
}

void ix_handle_leave(struct ix_handle_entry *entry)
{
    struct ix_device_handle *handle = entry->handle;
    handle->script->device = entry->outer;
    handle->script->drawing = entry->drawing;
    ix_leave(&entry->entry);
    handle->busy--;
    ix_handle_release(handle);
}

/* ---- errors ---- */

static void run_failures(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    struct ix_script *script =
        (struct ix_script *)((char *)entry - offsetof(struct ix_script, failures_entry));
    while (script->failures) {
        struct ix_script_failure *failure = script->failures;
        script->failures = failure->next;
        struct ix_device *d = ix_device_deref(failure->engine, failure->ref);
        if (d && failure->told)
            ix_device_was_told(d);
        if (d)
            ix_device_fail(d, failure->reason);
        free(failure);
    }
}

static void fail_later(struct ix_device_handle *handle, const char *text, bool told)
{
    struct ix_script *script = handle->script;
    struct ix_script_failure *failure = ix_calloc(1, sizeof *failure), **end = &script->failures;
    failure->engine = handle->engine;
    failure->ref = handle->ref;
    failure->told = told;
    /* The reason is short: the file's name without its folders, and the first line. */
    size_t line = strcspn(text, "\n"), place = strcspn(text, ":");
    for (size_t i = 0; i < place && i < line; i++) {
        if (text[i] == '/') {
            text += i + 1;
            line -= i + 1;
            place -= i + 1;
            i = (size_t)-1;
        }
    }
    snprintf(failure->reason, sizeof failure->reason, "%.*s", (int)(line < REASON_MAX ? line : REASON_MAX),
             text);
    while (*end)
        end = &(*end)->next;
    *end = failure;
    script->failures_entry.fire = run_failures;
    if (!ix_wheel_has(&script->failures_entry))
        ix_wheel_add(script->loop->wheel, &script->failures_entry, 0);
}

void ix_handle_report(struct ix_device_handle *handle, const char *text)
{
    const struct ix_script_config *config = &handle->script->config;
    struct ix_device *d = ix_handle_device(handle);
    if (handle->failed)
        return;
    enum ix_error_fate fate = IX_ERROR_TOLD;
    if (d) {
        ix_script_count_error(handle->script, d);
        if (config->device_error)
            fate = config->device_error(config->context, ix_device_group_id(d), ix_device_index(d), text);
        else
            ix_log(IX_LOG_ERROR, "device %llu of group \"%s\": %s", (unsigned long long)ix_device_index(d),
                   ix_device_group_id(d), text);
    }
    handle->failed = true;
    if (fate != IX_ERROR_ENDS_RUN)
        fail_later(handle, text, fate == IX_ERROR_TOLD);
}

void ix_script_count_error(struct ix_script *script, const struct ix_device *d)
{
    struct ix_segment *segment = script->config.segment;
    struct ix_group_metrics *group = segment ? ix_segment_group(segment, ix_device_group_id(d)) : NULL;
    if (group)
        group->counters[IX_C_SCRIPT_ERRORS]++;
}
