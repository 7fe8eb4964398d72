/* The behaviours of models in Lua: handler files, and what JSON behaviours do when C says so. */
#ifndef IX_SCRIPT_MODEL_HOOKS_H
#define IX_SCRIPT_MODEL_HOOKS_H

#include "script/state.h"

/* Fills in everything but schedule_open. */
void ix_model_hooks(struct ix_script *script, struct ix_hooks *hooks);

#endif
