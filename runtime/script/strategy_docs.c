/* What strategies there are, and how long they take. */
#include "script/lua_json.h"
#include "script/state.h"

#include <dirent.h>
#include <string.h>

#define NAMES_MAX 500
#define LIST_MAX  (1u << 20)

static const char *const kinds[] = {"launch", "dropout"};

/* Appends the names of the Lua files of one folder. */
static void add_names(json_t *names, const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    while (dir && (entry = readdir(dir)) && json_array_size(names) < NAMES_MAX) {
        size_t len = strlen(entry->d_name);
        if (len > 4 && strcmp(entry->d_name + len - 4, ".lua") == 0)
            json_array_append_new(names, json_stringn(entry->d_name, len - 4));
    }
    if (dir)
        closedir(dir);
}

static json_t *files_of(const char *kind)
{
    json_t *names = json_array();
    const char *path = getenv("IOTIX_LUA_PATH");
    char *copy = ix_strdup(path ? path : ""), *rest = copy, *one;
    while ((one = strsep(&rest, ":"))) {
        if (!one[0])
            continue;
        char *folder = ix_asprintf("%s/strategies/%s", one, kind);
        add_names(names, folder);
        free(folder);
    }
    free(copy);
    return names;
}

struct describing {
    json_t *result;
    struct ix_error *err;
    int code;
};

static int describe(lua_State *L)
{
    struct describing *d = lua_touserdata(L, 1);
    lua_newtable(L);
    for (size_t i = 0; i < IX_ARRAY_LEN(kinds); i++) {
        ix_push_export(L, "iotix.strategy", "describe");
        lua_pushstring(L, kinds[i]);
        ix_lua_push_owned_json(L, files_of(kinds[i]));
        lua_call(L, 2, 1);
        lua_setfield(L, -2, kinds[i]);
    }
    struct ix_buf out;
    ix_buf_init(&out, LIST_MAX);
    d->code = ix_lua_put_json(L, -1, &out, d->err);
    if (d->code == 0)
        d->result = json_loadb(out.data, out.len, 0, NULL);
    ix_buf_deinit(&out);
    return 0;
}

json_t *ix_script_strategies(struct ix_script *script, struct ix_error *err)
{
    struct ix_entry entry;
    lua_State *L = ix_enter(script, &entry, err);
    if (!L)
        return NULL;
    struct describing d = {.err = err};
    lua_pushcfunction(L, describe);
    lua_pushlightuserdata(L, &d);
    int code = ix_entry_try(&entry, 1, 0, err);
    ix_leave(&entry);
    return code == 0 ? d.result : NULL;
}

struct measuring {
    const struct ix_strategy_spec *spec;
    uint64_t count;
    double seconds;
    struct ix_error *err;
    int code;
};

static int measure(lua_State *L)
{
    struct measuring *m = lua_touserdata(L, 1);
    ix_push_export(L, "iotix.strategy", "duration");
    lua_pushstring(L, kinds[m->spec->is_dropout]);
    lua_pushstring(L, m->spec->name);
    lua_pushstring(L, m->spec->settings && m->spec->settings[0] ? m->spec->settings : "{}");
    lua_pushnumber(L, (double)m->count);
    lua_call(L, 4, 2);
    if (lua_isnumber(L, -2)) {
        m->seconds = lua_tonumber(L, -2);
        return 0;
    }
    const char *message = lua_tostring(L, -1);
    m->code =
        ix_fail(m->err, IX_SCRIPT_CONFIGURATION, "%s", message ? message : "the strategy gives no number");
    return 0;
}

int ix_script_strategy_duration(struct ix_script *script, const struct ix_strategy_spec *spec, uint64_t count,
                                double *seconds, struct ix_error *err)
{
    struct ix_entry entry;
    lua_State *L = ix_enter(script, &entry, err);
    if (!L)
        return err->code;
    struct measuring m = {spec, count, 0, err, 0};
    lua_pushcfunction(L, measure);
    lua_pushlightuserdata(L, &m);
    int code = ix_entry_try(&entry, 1, 0, err);
    ix_leave(&entry);
    *seconds = m.seconds;
    return code < 0 ? code : m.code;
}
