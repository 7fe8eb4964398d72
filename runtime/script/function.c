#include "script/function.h"

#include "base/pack.h"
#include "base/random.h"
#include "base/text.h"

#define MAGIC     0x31467869u /* "ixF1" */
#define HEAD_SIZE 12          /* magic and hash */
#define DEPTH_MAX 32
#define NAME_MAX_ 160

/* Tags of values. */
enum {
    NIL = 'n',
    FALSE_ = 'f',
    TRUE_ = 't',
    NUMBER = 'd',
    TEXT = 's',
    TABLE = 'T',
    NULL_ = '0',
    MODULE = 'M',
    MEMBER = 'F',
    MADE = 'C' /* module, member and text: what the member makes of the text */
};

/* ---- packing ---- */

struct packer {
    lua_State *L;
    struct ix_buf *out;
    struct ix_error *err;
    const char *name;            /* of the upvalue */
    struct ix_buf path;          /* and inside of it: ".limits[3]" */
    char place[LUA_IDSIZE + 16]; /* of the function */
    int depth;
};

static int put_value(struct packer *p, int index);

static int refuse(struct packer *p, const char *what)
{
    return ix_fail(
        p->err, -EINVAL,
        "upvalue \"%s%s\" of the function at %s is %s: only plain data can travel to the workers; pass "
        "it as a local value or move it into the function",
        p->name, ix_buf_cstr(&p->path), p->place, what);
}

static void truncate_path(struct packer *p, size_t len)
{
    p->path.len = len;
    p->path.overflow = false;
    if (p->path.data)
        p->path.data[len] = '\0';
}

/* A loaded module, or a function that is a member of one, by its name. Of several names the first in order,
 * so that the same function always packs to the same text. */
static bool find_by_name(lua_State *L, int index, const char **module, const char **member)
{
    *module = *member = NULL;
    bool is_function = lua_isfunction(L, index);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    int loaded = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, loaded)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        if (name && (!*module || strcmp(name, *module) <= 0)) {
            if (lua_rawequal(L, -1, index)) {
                *module = name;
                *member = NULL;
            } else if (is_function && lua_istable(L, -1)) {
                lua_pushnil(L);
                while (lua_next(L, -2)) {
                    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
                    bool first = *module != name || !*member || (key && strcmp(key, *member) < 0);
                    if (key && first && lua_rawequal(L, -1, index)) {
                        *module = name;
                        *member = key;
                    }
                    lua_pop(L, 1);
                }
            }
        }
        lua_pop(L, 1);
    }
    lua_settop(L, loaded - 1);
    return *module != NULL;
}

/* What the prelude takes away from workers. */
static bool is_for_scenarios_only(const char *module)
{
    return strcmp(module, "io") == 0 || strcmp(module, "ffi") == 0;
}

/* 1: done, 0: it has no name, < 0: an error. */
static int put_by_name(struct packer *p, int index)
{
    const char *module, *member;
    if (!find_by_name(p->L, index, &module, &member))
        return 0;
    if (is_for_scenarios_only(module)) {
        char what[64];
        snprintf(what, sizeof what, "of the module \"%s\", which workers don't have", module);
        return refuse(p, what);
    }
    ix_pack_u8(p->out, member ? MEMBER : MODULE);
    ix_pack_str(p->out, module);
    if (member)
        ix_pack_str(p->out, member);
    return 1;
}

/* An object whose metatable says how to make it anew: __travel(object) → module, member, text. */
static bool put_maker(struct packer *p, int index)
{
    lua_State *L = p->L;
    int top = lua_gettop(L);
    bool known = luaL_getmetafield(L, index, "__travel");
    if (known) {
        lua_pushvalue(L, index);
        known =
            lua_pcall(L, 1, 3, 0) == 0 && lua_isstring(L, -3) && lua_isstring(L, -2) && lua_isstring(L, -1);
    }
    if (known) {
        ix_pack_u8(p->out, MADE);
        for (int i = -3; i < 0; i++)
            ix_pack_str(p->out, lua_tostring(L, i));
    }
    lua_settop(L, top);
    return known;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int put_pair(struct packer *p, int table)
{
    /* the key is on the top and stays there */
    lua_State *L = p->L;
    size_t path = p->path.len;
    int key = lua_gettop(L);
    if (lua_type(L, key) == LUA_TSTRING)
        ix_buf_printf(&p->path, ".%s", lua_tostring(L, key));
    else if (lua_type(L, key) == LUA_TNUMBER)
        ix_buf_printf(&p->path, "[%.14g]", lua_tonumber(L, key));
    else
        return refuse(p, "a table with a key that is neither text nor number");
    int code = put_value(p, key);
    if (code == 0) {
        lua_pushvalue(L, key);
        lua_rawget(L, table);
        code = put_value(p, key + 1);
        lua_pop(L, 1);
    }
    if (code == 0)
        truncate_path(p, path);
    return code;
}

/* Names in sorted order, then the rest in the table's own. */
static int put_table(struct packer *p, int table)
{
    lua_State *L = p->L;
    uint32_t count = 0, texts = 0;
    lua_pushnil(L);
    while (lua_next(L, table)) {
        lua_pop(L, 1);
        count++;
        texts += lua_type(L, -1) == LUA_TSTRING;
    }
    ix_pack_u8(p->out, TABLE);
    ix_pack_u32(p->out, count);
    const char **names = ix_malloc((texts + 1) * sizeof *names);
    uint32_t n = 0;
    int code = 0;
    lua_pushnil(L);
    while (code == 0 && lua_next(L, table)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING)
            names[n++] = lua_tostring(L, -1);
        else
            code = put_pair(p, table);
    }
    lua_settop(L, table);
    qsort(names, n, sizeof *names, compare_texts);
    for (uint32_t i = 0; i < n && code == 0; i++) {
        lua_pushstring(L, names[i]);
        code = put_pair(p, table);
        lua_pop(L, 1);
    }
    free(names);
    return code;
}

static int put_value(struct packer *p, int index)
{
    lua_State *L = p->L;
    char what[64];
    int code;
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        ix_pack_u8(p->out, NIL);
        return 0;
    case LUA_TBOOLEAN:
        ix_pack_u8(p->out, lua_toboolean(L, index) ? TRUE_ : FALSE_);
        return 0;
    case LUA_TNUMBER:
        ix_pack_u8(p->out, NUMBER);
        ix_pack_f64(p->out, lua_tonumber(L, index));
        return 0;
    case LUA_TSTRING: {
        size_t len;
        const char *text = lua_tolstring(L, index, &len);
        ix_pack_u8(p->out, TEXT);
        ix_pack_bytes(p->out, text, len);
        return 0;
    }
    case LUA_TTABLE:
        code = put_by_name(p, index);
        if (code)
            return code < 0 ? code : 0;
        if (put_maker(p, index))
            return 0;
        if (lua_getmetatable(L, index)) {
            lua_pop(L, 1);
            return refuse(p, "an object (a table with a metatable)");
        }
        if (p->depth >= DEPTH_MAX || !lua_checkstack(L, 10))
            return refuse(p, "a table that contains itself, or is nested too deeply");
        p->depth++;
        lua_pushvalue(L, index);
        code = put_table(p, lua_gettop(L));
        lua_pop(L, 1);
        p->depth--;
        return code;
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, index)) {
            ix_pack_u8(p->out, NULL_);
            return 0;
        }
        /* fall through */
    default:
        code = put_by_name(p, index);
        if (code)
            return code < 0 ? code : 0;
        snprintf(what, sizeof what, "a %s", luaL_typename(L, index));
        return refuse(p, what);
    }
}

static int write_bytes(lua_State *L, const void *data, size_t len, void *out)
{
    (void)L;
    ix_buf_put(out, data, len);
    return 0;
}

static int put_upvalues(struct packer *p, int index, int count)
{
    ix_pack_u32(p->out, (uint32_t)count);
    for (int i = 1; i <= count; i++) {
        p->name = lua_getupvalue(p->L, index, i);
        truncate_path(p, 0);
        int code = put_value(p, lua_gettop(p->L));
        lua_pop(p->L, 1);
        if (code < 0)
            return code;
    }
    return 0;
}

static int pack(struct packer *p, int index)
{
    lua_State *L = p->L;
    lua_Debug about;
    lua_pushvalue(L, index);
    lua_getinfo(L, ">uS", &about);
    snprintf(p->place, sizeof p->place, "%s:%d", about.short_src, about.linedefined);
    if (lua_iscfunction(L, index))
        return ix_fail(p->err, -EINVAL,
                       "a function of the platform itself can't travel to the workers: wrap it, "
                       "function(...) return f(...) end");
    struct ix_buf code;
    ix_buf_init(&code, IX_FUNCTION_MAX);
    lua_pushvalue(L, index);
    lua_dump(L, write_bytes, &code);
    lua_pop(L, 1);
    ix_pack_bytes(p->out, code.data, code.len);
    bool overflow = code.overflow;
    ix_buf_deinit(&code);
    int result = put_upvalues(p, index, about.nups);
    if (result == 0 && (overflow || p->out->overflow))
        result = ix_fail(p->err, -E2BIG, "the function at %s and its upvalues exceed %d bytes", p->place,
                         IX_FUNCTION_MAX);
    return result;
}

int ix_function_pack(lua_State *L, int index, struct ix_buf *out, struct ix_error *err)
{
    struct ix_script *script = ix_script_of(L);
    struct ix_buf body;
    ix_buf_init(&body, IX_FUNCTION_MAX - HEAD_SIZE);
    struct packer p = {.L = L, .out = &body, .err = err};
    ix_buf_init(&p.path, NAME_MAX_);
    int top = lua_gettop(L);
    bool limited = script->limited;
    script->limited = false; /* buffers are held: nothing may raise */
    int code = pack(&p, index);
    lua_settop(L, top);
    script->limited = limited;
    if (code == 0) {
        ix_pack_u32(out, MAGIC);
        ix_pack_u64(out, ix_hash64(body.data, body.len));
        ix_buf_put(out, body.data, body.len);
    }
    ix_buf_deinit(&p.path);
    ix_buf_deinit(&body);
    return code;
}

/* ---- unpacking ---- */

static void push_text(lua_State *L, struct ix_reader *in)
{
    size_t len;
    const char *text = ix_read_bytes(in, &len);
    lua_pushlstring(L, text, len);
}

static void push_value(lua_State *L, struct ix_reader *in)
{
    luaL_checkstack(L, 8, "nested too deeply");
    switch (ix_read_u8(in)) {
    case TRUE_:
        lua_pushboolean(L, 1);
        break;
    case FALSE_:
        lua_pushboolean(L, 0);
        break;
    case NUMBER:
        lua_pushnumber(L, ix_read_f64(in));
        break;
    case TEXT:
        push_text(L, in);
        break;
    case NULL_:
        lua_pushlightuserdata(L, NULL);
        break;
    case TABLE:
        lua_newtable(L);
        for (uint32_t count = ix_read_u32(in); count && !in->bad; count--) {
            push_value(L, in);
            push_value(L, in);
            if (lua_isnil(L, -2))
                lua_pop(L, 2);
            else
                lua_rawset(L, -3);
        }
        break;
    case MODULE:
        lua_getglobal(L, "require");
        push_text(L, in);
        lua_call(L, 1, 1);
        break;
    case MEMBER:
        lua_getglobal(L, "require");
        push_text(L, in);
        lua_call(L, 1, 1);
        push_text(L, in);
        lua_gettable(L, -2);
        lua_remove(L, -2);
        break;
    case MADE:
        lua_getglobal(L, "require");
        push_text(L, in);
        lua_call(L, 1, 1);
        push_text(L, in);
        lua_gettable(L, -2);
        push_text(L, in);
        lua_call(L, 1, 1);
        lua_remove(L, -2);
        break;
    default:
        lua_pushnil(L);
    }
}

int ix_function_unpack(lua_State *L, const void *data, size_t len, struct ix_error *err)
{
    static const char damaged[] = "not a packed function of this build of iotix";
    int top = lua_gettop(L);
    struct ix_reader in = ix_reader_of(data, len);
    uint32_t magic = ix_read_u32(&in);
    uint64_t hash = ix_read_u64(&in);
    if (in.bad || magic != MAGIC || hash != ix_hash64(in.at, (size_t)(in.end - in.at)))
        return ix_fail(err, -EINVAL, "%s", damaged);
    size_t code_len;
    const void *code = ix_read_bytes(&in, &code_len);
    if (luaL_loadbufferx(L, code, code_len, "=packed", "b")) {
        int result = ix_fail(err, -EINVAL, "%s: %s", damaged, lua_tostring(L, -1));
        lua_settop(L, top);
        return result;
    }
    int function = lua_gettop(L);
    uint32_t count = ix_read_u32(&in);
    for (uint32_t i = 1; i <= count && !in.bad; i++) {
        push_value(L, &in);
        if (!lua_setupvalue(L, function, (int)i))
            lua_pop(L, 1);
    }
    lua_insert(L, top + 1);
    lua_settop(L, top + 1);
    return 0;
}

/* ---- functions ---- */

static int core_pack(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    struct ix_script *script = ix_script_of(L);
    struct ix_error err;
    struct ix_buf packed;
    ix_buf_init(&packed, IX_FUNCTION_MAX);
    int code = ix_function_pack(L, 1, &packed, &err);
    ix_buf_clear(&script->scratch);
    if (code == 0)
        ix_text_base64(&script->scratch, packed.data, packed.len);
    ix_buf_deinit(&packed);
    if (code < 0)
        return luaL_error(L, "%s", err.text);
    lua_pushlstring(L, script->scratch.data, script->scratch.len);
    return 1;
}

static int core_unpack(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    struct ix_error err;
    size_t size = len / 4 * 3 + 3;
    void *data = lua_newuserdata(L, size); /* Lua frees it, whatever is raised below */
    int64_t got = ix_text_base64_decode(text, len, data, size);
    if (ix_function_unpack(L, data, got > 0 ? (size_t)got : 0, &err) == 0)
        return 1;
    lua_pushnil(L);
    lua_pushstring(L, err.text);
    return 2;
}

void ix_function_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {{"pack", core_pack}, {"unpack", core_unpack}, {NULL, NULL}};
    luaL_register(L, NULL, functions);
}
