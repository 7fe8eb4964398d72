/* Generators in Lua: function(config, device) that returns function(tick, now) → value. */
#ifndef IX_SCRIPT_CUSTOM_GENERATOR_H
#define IX_SCRIPT_CUSTOM_GENERATOR_H

#include "script/state.h"

/* Registers the class; models opened from now on find their handlers through this script, until it drops it.
 */
void ix_custom_generator_use(struct ix_script *script);
void ix_custom_generator_drop(const struct ix_script *script);

#endif
