/* The scenario of a process: loading it, asking it, running it; and the files that `iotix lua` runs. */
#include "base/file.h"
#include "script/task.h"

#define FILE_MAX (4u << 20)

static void set_path(struct ix_script *script, const char *path)
{
    free(script->path);
    free(script->folder);
    script->path = ix_strdup(path);
    script->folder = ix_file_dirname(path);
}

/* Leaves the compiled text on the top of the entry's stack. A first line "#!…" is skipped. */
static int compile(struct ix_entry *entry, const char *path, const char *text, size_t len,
                   struct ix_error *err)
{
    if (len && text[0] == LUA_SIGNATURE[0])
        return ix_fail(err, IX_SCRIPT_ERROR, "%s: is compiled Lua, which can't be checked; give its source",
                       path);
    char *name = ix_asprintf("@%s", path);
    size_t skip = len && text[0] == '#' ? strcspn(text, "\n") : 0;
    int status = luaL_loadbufferx(entry->L, text + skip, len - skip, name, "t");
    free(name);
    return status ? ix_fail(err, IX_SCRIPT_ERROR, "%s", lua_tostring(entry->L, -1)) : 0;
}

static int load(struct ix_entry *entry, const char *path, const char *text, size_t len, struct ix_error *err)
{
    struct ix_script *script = entry->script;
    int code = compile(entry, path, text, len, err);
    if (code < 0)
        return code;
    script->loading = true;
    code = ix_entry_try(entry, 0, 1, err);
    script->loading = false;
    if (code < 0)
        return code;
    lua_rawgeti(entry->L, LUA_REGISTRYINDEX, script->scenario_ref);
    if (!lua_istable(entry->L, -1) || !lua_rawequal(entry->L, -1, -2))
        return ix_fail(err, IX_SCRIPT_ERROR, "%s: a scenario's file ends with `return iotix.scenario { … }`",
                       path);
    return 0;
}

int ix_script_load_scenario(struct ix_script *script, const char *path, const char *text, size_t len,
                            struct ix_error *err)
{
    struct ix_entry entry;
    if (!ix_enter(script, &entry, err))
        return err->code;
    set_path(script, path);
    int code = load(&entry, path, text, len, err);
    ix_leave(&entry);
    return code;
}

static int no_scenario(struct ix_error *err)
{
    return ix_fail(err, IX_SCRIPT_ERROR, "no scenario is loaded");
}

json_t *ix_script_describe(struct ix_script *script, struct ix_error *err)
{
    struct ix_entry entry;
    json_error_t at;
    json_t *json = NULL;
    if (script->scenario_ref == LUA_NOREF) {
        no_scenario(err);
        return NULL;
    }
    if (!ix_enter(script, &entry, err))
        return NULL;
    if (ix_entry_export(&entry, "iotix.scenario", "describe", 0, 1, err) == 0) {
        const char *text = lua_tostring(entry.L, -1);
        json = text ? json_loads(text, 0, &at) : NULL;
        if (!json)
            ix_fail(err, IX_SCRIPT_ERROR, "%s: what the scenario declares is no JSON object: %s",
                    script->path, text ? at.text : "not a text");
    }
    ix_leave(&entry);
    return json;
}

int ix_script_set_options(struct ix_script *script, const json_t *overrides, struct ix_error *err)
{
    struct ix_entry entry;
    if (script->scenario_ref == LUA_NOREF)
        return no_scenario(err);
    if (!ix_enter(script, &entry, err))
        return err->code;
    char *text = json_dumps(overrides, JSON_COMPACT | JSON_SORT_KEYS);
    lua_pushstring(entry.L, text ? text : "{}");
    free(text);
    int code = ix_entry_export(&entry, "iotix.scenario", "set_options", 1, 0, err);
    ix_leave(&entry);
    return code;
}

/* The main task; its function is on the top of the entry's stack. */
static void start_main(struct ix_entry *entry, const char *name,
                       void (*done)(void *context, int code, const char *message), void *context)
{
    struct ix_script *script = entry->script;
    IX_REQUIRE(!script->main && !script->finished);
    script->done = done;
    script->done_context = context;
    script->cancelled = false;
    script->main = ix_task_new(script, entry->L, name);
}

int ix_script_run(struct ix_script *script, void (*done)(void *context, int code, const char *message),
                  void *context, struct ix_error *err)
{
    struct ix_entry entry;
    if (script->scenario_ref == LUA_NOREF)
        return no_scenario(err);
    if (!ix_enter(script, &entry, err))
        return err->code;
    int code = ix_entry_find(&entry, "iotix.scenario", "main", err);
    if (code == 0)
        start_main(&entry, "main", done, context);
    ix_leave(&entry);
    return code;
}

void ix_script_cancel(struct ix_script *script, const char *reason)
{
    if (!script->main)
        return;
    script->cancelled = true;
    for (struct ix_task *task = script->tasks; task; task = task->next)
        ix_task_cancel(task, reason ? reason : "interrupted");
}

static void set_arguments(lua_State *L, const char *path, char *const *arguments)
{
    lua_newtable(L);
    lua_pushstring(L, path);
    lua_rawseti(L, -2, 0);
    for (int i = 0; arguments && arguments[i]; i++) {
        lua_pushstring(L, arguments[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setglobal(L, "arg");
}

int ix_script_run_file(struct ix_script *script, const char *path, char *const *arguments,
                       void (*done)(void *context, int code, const char *message), void *context,
                       struct ix_error *err)
{
    char *text;
    size_t len;
    struct ix_entry entry;
    int code = ix_file_read(path, FILE_MAX, &text, &len, err);
    if (code < 0)
        return code;
    if (!ix_enter(script, &entry, err)) {
        free(text);
        return err->code;
    }
    set_path(script, path);
    set_arguments(entry.L, path, arguments);
    code = compile(&entry, path, text, len, err);
    free(text);
    if (code == 0)
        start_main(&entry, path, done, context);
    ix_leave(&entry);
    return code;
}
