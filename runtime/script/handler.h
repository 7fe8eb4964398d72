/* Lua files by plain name: modules for `require`, and handlers (generators, behaviours, strategies,
 * protocols). */
#ifndef IX_SCRIPT_HANDLER_H
#define IX_SCRIPT_HANDLER_H

#include "script/state.h"

/* Pushes what the handler's file returns, loaded once. Looked for as KIND/NAME.lua and NAME.lua beside the
 * model (script->model_folder), beside the scenario and in the folders of IOTIX_LUA_PATH, then embedded.
 * -ENOENT lists the places; -EINVAL: a bad name, or an error in the file. Inside of a protected call only. */
int ix_handler_load(lua_State *L, const char *kind, const char *name, struct ix_error *err);

/* The same with what the scenario itself defines before any file (lua/iotix/handler.lua). */
int ix_handler_find(lua_State *L, const char *kind, const char *name, struct ix_error *err);

/* Compiles and runs a text as "path", which may do no I/O; its result is on the top of the stack. 0 or an
 * IX_SCRIPT_… code, then a text is on the top. Inside of a protected call only. */
int ix_run_top_level(lua_State *L, const char *path, const char *text, size_t len);

#endif
