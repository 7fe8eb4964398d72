/* When the k-th of n devices starts or drops. The formula is Lua's (lua/strategies/); this is how C asks. */
#ifndef IX_STRATEGY_SCHEDULE_H
#define IX_STRATEGY_SCHEDULE_H

#include "base/error.h"

/* A strategy: by name with settings, or a function that travelled from the scenario. */
struct ix_strategy_spec {
    char *name;     /* "linear"; for functions the place they come from, "scenario.lua:12" */
    char *settings; /* JSON object, defaults not yet filled in; "" or NULL: {} */
    char *function; /* packed function (script/function.h), NULL for named ones */
    size_t function_len;
    bool is_dropout; /* looked up in strategies/dropout, else strategies/launch */
};

struct ix_schedule {
    /* Seconds after the operation's start for places k = first, first + stride, … (count of them). Checked:
     * results are finite and ≥ 0, else -EINVAL with file:line. */
    int (*at)(void *context, uint64_t first, uint64_t stride, size_t count, double *seconds,
              struct ix_error *err);
    /* The same for places in any order. */
    int (*at_places)(void *context, const uint64_t *places, size_t count, double *seconds,
                     struct ix_error *err);
    void (*close)(void *context);
    void *context;
};

#endif
