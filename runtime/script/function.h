/* Functions that travel from the scenario to the workers: bytecode, with file and line numbers, and the
 * upvalues. Bytes here and in records; base64 text in Lua and in JSON.
 *
 * Upvalues are plain data (nil, booleans, numbers, strings, null, tables of these), or something that every
 * process can load by name: a module, or a function in one (`local iotix = require "iotix"`,
 * `local floor = math.floor`). Tables are copied: what a worker writes into them stays there. */
#ifndef IX_SCRIPT_FUNCTION_H
#define IX_SCRIPT_FUNCTION_H

#include "script/state.h"

/* The largest packed function. */
#define IX_FUNCTION_MAX (1 << 20)

/* Appends the packed function at `index`. -EINVAL names the upvalue that can't travel, and its function. */
int ix_function_pack(lua_State *L, int index, struct ix_buf *out, struct ix_error *err);

/* Pushes the function. Inside of a protected call only: modules are required. -EINVAL: not a packed function
 * of this build. */
int ix_function_unpack(lua_State *L, const void *data, size_t len, struct ix_error *err);

#endif
