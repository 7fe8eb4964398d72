/* Tasks: coroutines that wait on the loop. One wait primitive; sleep, join, call and pop are users of it.
 *
 * A waiting lua_CFunction:
 *     struct ix_task *task = ix_task_waits(L, &results);
 *     if (!task)
 *         return results;
 *     … remember the task …
 *     return ix_task_wait(task, &kind, timeout);
 * and whoever ends the wait:
 *     lua_State *co = ix_task_wake(task);
 *     … push results …
 *     ix_task_ready(task, how many);
 *
 * Lua sees these functions through a wrapper (prelude.c) that takes `true, results…` or `false, message`. */
#ifndef IX_SCRIPT_TASK_H
#define IX_SCRIPT_TASK_H

#include "script/state.h"

struct ix_wait {
    void (*drop)(struct ix_task *task); /* forgets the task where it was remembered; NULL: nowhere */
    int (*expire)(lua_State *co);       /* pushes the results of a timeout and returns how many */
};

enum ix_task_state { IX_TASK_NEW, IX_TASK_READY, IX_TASK_RUNNING, IX_TASK_WAITING };

struct ix_task {
    struct ix_script *script;
    struct ix_task *next, **link;
    struct ix_task *next_ready;
    lua_State *co;
    int ref; /* of co */
    int id;
    enum ix_task_state state;
    char *name;
    char *origin;  /* traceback of the spawn, tasks above included */
    char *pending; /* reason of a cancel that its next wait raises */
    bool cancelled;
    const struct ix_wait *wait;
    struct ix_wheel_entry timer;
    int values;                           /* pushed for the resume */
    uint64_t ticket;                      /* of core.call, 0 none */
    bool opens_subscription;              /* by that call */
    uint64_t limit;                       /* of that subscription */
    uint64_t subscription;                /* of core.pop */
    struct ix_task *joiners;              /* tasks that wait for this one */
    struct ix_task *target, *next_joiner; /* whom this one waits for */
};

/* The calling task if it may wait. Else NULL: *results values (false, message) were pushed. */
struct ix_task *ix_task_waits(lua_State *L, int *results);
/* Suspends; `timeout` in seconds, negative: none. */
int ix_task_wait(struct ix_task *task, const struct ix_wait *wait, double timeout);
/* Ends a wait: the state on which results are pushed. */
lua_State *ix_task_wake(struct ix_task *task);
void ix_task_ready(struct ix_task *task, int results);

/* Optional timeout argument: seconds, or -1 if absent. Raises on negative ones. */
double ix_check_timeout(lua_State *L, int index);

/* Starts at the loop's next turn. The function is on the top of L and is popped. */
struct ix_task *ix_task_new(struct ix_script *script, lua_State *L, const char *name);
/* Its wait, or else its next one, raises `reason`. */
void ix_task_cancel(struct ix_task *task, const char *reason);
struct ix_task *ix_task_find(struct ix_script *script, int id);

#endif
