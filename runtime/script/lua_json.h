/* JSON and Lua values. Objects and arrays are tables; null is cjson.null, a light userdata NULL. Arrays that
 * came from JSON, or from core.array, carry a metatable so that an empty one stays an array. */
#ifndef IX_SCRIPT_LUA_JSON_H
#define IX_SCRIPT_LUA_JSON_H

#include "script/state.h"

/* Pushes the value (NULL: an empty table). Needs 3 + its depth free stack slots, which it checks. */
void ix_lua_push_json(lua_State *L, const json_t *json);

/* The same, and drops the reference whatever happens. */
void ix_lua_push_owned_json(lua_State *L, json_t *json);

/* Appends the value at `index` as JSON: sorted keys, all digits of numbers. -EINVAL names the place of what
 * JSON can't say. Raises nothing. */
int ix_lua_put_json(lua_State *L, int index, struct ix_buf *out, struct ix_error *err);

#endif
