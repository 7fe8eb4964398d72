#include "script/handler.h"

#include "base/file.h"
#include "script/embedded.h"

#include <ctype.h>
#include <unistd.h>

#define FILE_MAX   (4u << 20)
#define PLACES_MAX 1500

static bool is_plain_name(const char *name)
{
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_' && *c != '-')
            return false;
    return name[0] != '\0';
}

/* Iterates the folders of IOTIX_LUA_PATH: *at moves on; NULL at the end. */
static const char *next_folder(const char **at, size_t *len)
{
    while (*at && **at) {
        const char *start = *at, *end = strchrnul(start, ':');
        *at = *end ? end + 1 : end;
        *len = (size_t)(end - start);
        if (*len)
            return start;
    }
    return NULL;
}

int ix_run_top_level(lua_State *L, const char *path, const char *text, size_t len)
{
    struct ix_script *script = ix_script_of(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, script->traceback_ref);
    int handler = lua_gettop(L);
    lua_pushfstring(L, "@%s", path);
    int status = luaL_loadbufferx(L, text, len, lua_tostring(L, -1), "bt");
    lua_remove(L, handler + 1);
    if (status) {
        lua_remove(L, handler);
        return IX_SCRIPT_ERROR;
    }
    bool loading = script->loading, limited = script->limited;
    script->loading = script->config.role != IX_ROLE_TOOL;
    script->limited = true;
    status = lua_pcall(L, 0, 1, handler);
    script->limited = limited;
    script->loading = loading;
    lua_remove(L, handler);
    return status ? script->error_code : 0;
}

/* ---- handlers ---- */

struct search {
    lua_State *L;
    struct ix_buf places; /* looked at so far */
    struct ix_error *err;
};

static void add_place(struct search *s, const char *path)
{
    ix_buf_printf(&s->places, "\n  %s", path);
}

/* Caches and leaves the value on the top. */
static int run_file(struct search *s, const char *path, const char *text, size_t len)
{
    lua_State *L = s->L;
    int code = ix_run_top_level(L, path, text, len);
    if (code < 0) {
        ix_fail(s->err, -EINVAL, "%s", lua_tostring(L, -1));
        lua_pop(L, 1);
        return -EINVAL;
    }
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return ix_fail(s->err, -EINVAL, "%s returns nothing: a handler's file returns its function or table",
                       path);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, ix_script_of(L)->handlers_ref);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, path);
    lua_pop(L, 1);
    return 1;
}

static bool is_loaded(lua_State *L, const char *path)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, ix_script_of(L)->handlers_ref);
    lua_getfield(L, -1, path);
    lua_remove(L, -2);
    if (!lua_isnil(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

/* 1: pushed, 0: not there, < 0: an error. */
static int try_file(struct search *s, const char *path)
{
    if (is_loaded(s->L, path))
        return 1;
    add_place(s, path);
    if (access(path, F_OK) != 0)
        return 0;
    char *text;
    size_t len;
    int code = ix_file_read(path, FILE_MAX, &text, &len, s->err);
    if (code < 0)
        return code;
    code = run_file(s, path, text, len);
    free(text);
    return code;
}

static int try_folder(struct search *s, const char *folder, size_t len, const char *kind, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%.*s/%s/%s.lua", (int)len, folder, kind, name);
    int code = try_file(s, path);
    if (code)
        return code;
    snprintf(path, sizeof path, "%.*s/%s.lua", (int)len, folder, name);
    return try_file(s, path);
}

static int try_embedded(struct search *s, const char *kind, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "lua/%s/%s.lua", kind, name);
    if (is_loaded(s->L, path))
        return 1;
    const struct ix_embedded *file = ix_embedded_find(path);
    return file ? run_file(s, path, file->data, file->len) : 0;
}

static int search_all(struct search *s, const char *kind, const char *name)
{
    struct ix_script *script = ix_script_of(s->L);
    int code = 0;
    if (script->model_folder)
        code = try_folder(s, script->model_folder, strlen(script->model_folder), kind, name);
    if (code == 0 && script->path &&
        !(script->model_folder && strcmp(script->model_folder, script->folder) == 0))
        code = try_folder(s, script->folder, strlen(script->folder), kind, name);
    const char *at = getenv("IOTIX_LUA_PATH"), *folder;
    size_t len;
    while (code == 0 && (folder = next_folder(&at, &len)))
        code = try_folder(s, folder, len, kind, name);
    return code ? code : try_embedded(s, kind, name);
}

int ix_handler_load(lua_State *L, const char *kind, const char *name, struct ix_error *err)
{
    if (!is_plain_name(name))
        return ix_fail(err, -EINVAL,
                       "\"%s\" is not a plain name: a handler's name has only letters, digits, _ and -",
                       name);
    bool limited = ix_script_of(L)->limited;
    struct search s = {.L = L, .err = err};
    ix_buf_init(&s.places, PLACES_MAX);
    ix_script_of(L)->limited = false; /* texts of files are held */
    int code = search_all(&s, kind, name);
    ix_script_of(L)->limited = limited;
    if (code == 0)
        code = ix_fail(err, -ENOENT, "no %s \"%s\": none is built in, and there is no file%s", kind, name,
                       s.places.len ? ix_buf_cstr(&s.places)
                                    : " beside a model or scenario, nor in IOTIX_LUA_PATH");
    ix_buf_deinit(&s.places);
    return code < 0 ? code : 0;
}

int ix_handler_find(lua_State *L, const char *kind, const char *name, struct ix_error *err)
{
    ix_push_export(L, "iotix.handler", "find");
    lua_pushstring(L, kind);
    lua_pushstring(L, name);
    lua_call(L, 2, 2);
    if (lua_isnil(L, -2)) {
        const char *text = lua_tostring(L, -1);
        ix_fail(err, -ENOENT, "%s", text ? text : "not found");
        lua_pop(L, 2);
        return -ENOENT;
    }
    lua_pop(L, 1);
    return 0;
}

/* ---- require ---- */

/* Pushes a loader if the file is there; a syntax error is raised. */
static bool load_module(lua_State *L, const char *path)
{
    if (access(path, F_OK) != 0) {
        lua_pushfstring(L, "\n\tno file '%s'", path);
        return false;
    }
    char *text;
    size_t len;
    struct ix_error err;
    if (ix_file_read(path, FILE_MAX, &text, &len, &err) < 0) {
        luaL_error(L, "%s", err.text);
        return false;
    }
    char name[4098];
    snprintf(name, sizeof name, "@%s", path);
    bool limited = ix_script_of(L)->limited;
    ix_script_of(L)->limited = false;
    int status = luaL_loadbufferx(L, text, len, name, "t");
    ix_script_of(L)->limited = limited;
    free(text);
    if (status)
        lua_error(L);
    return true;
}

static bool load_module_in(lua_State *L, const char *folder, size_t len, const char *relative)
{
    static const char *const forms[] = {"%.*s/%s.lua", "%.*s/%s/init.lua"};
    char path[4096];
    for (size_t i = 0; i < IX_ARRAY_LEN(forms); i++) {
        snprintf(path, sizeof path, forms[i], (int)len, folder, relative);
        if (load_module(L, path))
            return true;
        lua_concat(L, 2);
    }
    return false;
}

static bool load_embedded_module(lua_State *L, const char *relative)
{
    static const char *const forms[] = {"lua/%s.lua", "lua/%s/init.lua"};
    char path[256];
    for (size_t i = 0; i < IX_ARRAY_LEN(forms); i++) {
        snprintf(path, sizeof path, forms[i], relative);
        const struct ix_embedded *file = ix_embedded_find(path);
        if (!file)
            continue;
        if (luaL_loadbufferx(L, file->data, file->len, path, "bt"))
            lua_error(L);
        return true;
    }
    return false;
}

/* The modules of iotix are its own; others are looked for beside the scenario, then in IOTIX_LUA_PATH. */
int ix_searcher(lua_State *L)
{
    size_t name_len;
    const char *name = luaL_checklstring(L, 1, &name_len);
    char relative[200];
    if (name_len >= sizeof relative || strstr(name, "..") || strchr(name, '/') || name[0] == '.')
        return luaL_error(L, "\"%s\" is not a module's name", name);
    for (size_t i = 0; i <= name_len; i++)
        relative[i] = name[i] == '.' ? '/' : name[i];
    lua_settop(L, 1);
    if (load_embedded_module(L, relative))
        return 1;
    struct ix_script *script = ix_script_of(L);
    lua_pushfstring(L, "\n\tno module '%s' is built in", name);
    if (script->path && load_module_in(L, script->folder, strlen(script->folder), relative))
        return 1;
    const char *at = getenv("IOTIX_LUA_PATH"), *folder;
    size_t len;
    while ((folder = next_folder(&at, &len)))
        if (load_module_in(L, folder, len, relative))
            return 1;
    return 1;
}

/* ---- functions ---- */

static int core_handler(lua_State *L)
{
    const char *kind = luaL_checkstring(L, 1), *name = luaL_checkstring(L, 2);
    struct ix_error err;
    int code = ix_handler_load(L, kind, name, &err);
    if (code == 0)
        return 1;
    lua_pushnil(L);
    lua_pushstring(L, err.text);
    lua_pushboolean(L, code == -ENOENT);
    return 3;
}

static int core_read_file(lua_State *L)
{
    struct ix_script *script = ix_script_of(L);
    const char *name = luaL_checkstring(L, 1);
    lua_Number max = luaL_optnumber(L, 2, 64 << 20);
    luaL_argcheck(L, max >= 1 && max <= 1e9, 2, "the limit is a number of bytes from 1 to 1e9");
    if (script->loading)
        return luaL_error(L, "a file's top level runs in every process and can't read files: do this in run, "
                             "or where a generator or behaviour is made");
    struct ix_error err;
    char *path = NULL, *text = NULL;
    size_t len = 0;
    int code = ix_file_resolve(script->folder, name, &path, &err);
    if (code == 0)
        code = ix_file_read(path, (size_t)max, &text, &len, &err);
    free(path);
    if (code < 0) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    ix_push_owned(L, text, len);
    return 1;
}

void ix_handler_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"handler", core_handler}, {"read_file", core_read_file}, {NULL, NULL}};
    luaL_register(L, NULL, functions);
}
