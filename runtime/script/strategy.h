/* Schedules whose formula is Lua (struct ix_hooks, schedule_open). */
#ifndef IX_SCRIPT_STRATEGY_H
#define IX_SCRIPT_STRATEGY_H

#include "script/state.h"

/* `context` is the script, which must outlive the schedule. */
int ix_schedule_open(void *context, const struct ix_strategy_spec *spec, uint64_t count, uint64_t key,
                     struct ix_schedule *schedule, struct ix_error *err);

#endif
