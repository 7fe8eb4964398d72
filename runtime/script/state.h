/* The inside of script/, shared by its own files only.
 *
 * Memory: the limit holds only while Lua code runs inside a protected call (`limited`), so that no Lua API
 * call that we make ourselves can raise "not enough memory" across frames of C. */
#ifndef IX_SCRIPT_STATE_H
#define IX_SCRIPT_STATE_H

#include "script/script.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>

/* Where random numbers come from: value n is f(key, n). */
struct ix_draws {
    uint64_t key;
    uint64_t count;
};

struct ix_device_handle;
struct ix_task;

struct ix_script {
    struct ix_script_config config;
    struct ix_loop *loop;
    lua_State *L;
    lua_State *current; /* the one that runs, or would run the next call: L or a task's coroutine */
    unsigned depth;     /* protected calls that are running */

    size_t memory;
    size_t memory_limit;
    bool limited;

    int traceback_ref; /* the handler of protected calls */
    int error_code;    /* IX_SCRIPT_… of the last error that the handler saw */

    char *path; /* of the scenario or file, as given; NULL before one is loaded */
    char *folder;
    bool loading;             /* a top level runs: no I/O */
    const char *model_folder; /* of the model whose handlers are being looked up */
    int scenario_ref;
    int handlers_ref; /* path → value of loaded handler files */

    struct ix_draws draws; /* of the scenario */
    struct ix_draws *drawing;
    struct ix_buf scratch; /* reused by whoever holds it briefly: never across an entry into Lua */

    /* tasks (task.c) */
    struct ix_task *tasks;
    struct ix_task *ready;
    struct ix_task **ready_end;
    struct ix_task *running;
    struct ix_task *main;
    int tasks_ref;    /* id → lightuserdata of a live task */
    int outcomes_ref; /* id → error text of a task that nobody joined yet */
    int next_id;
    uint32_t calls; /* of core.call, to number their tickets */
    struct ix_wheel_entry ready_entry;
    bool finished; /* main has ended: `done` follows */
    bool cancelled;
    int result;
    char *result_text;
    void (*done)(void *context, int code, const char *message);
    void *done_context;

    struct ix_subscription *subscriptions;

    /* devices (device_*.c, model_hooks.c, custom_generator.c) */
    int device_ref;                  /* metatable */
    int metrics_ref;                 /* name → tags → lightuserdata of struct ix_custom_metric */
    struct ix_device_handle *device; /* whose hook runs */
    bool sampling;                   /* a generator gives a value: its device must stay as it is */
    struct ix_device_handle *handles;
    struct ix_script_failure *failures; /* devices that fail on the next turn */
    struct ix_wheel_entry failures_entry;
};

/* The script that a state belongs to. */
struct ix_script *ix_script_of(lua_State *L);

/* ---- protected calls (call.c) ---- */

struct ix_entry {
    struct ix_script *script;
    lua_State *L;
    int base; /* of the stack before the entry; the handler is at base + 1 */
    bool limited;
};

/* Begins an entry: push a function and its arguments on entry.L, call, read results, leave. NULL when calls
 * are nested too deeply (*err). */
lua_State *ix_enter(struct ix_script *script, struct ix_entry *entry, struct ix_error *err);
/* 0, or an IX_SCRIPT_… code: then the text with its traceback is on the top of the stack. */
int ix_entry_call(struct ix_entry *entry, int arguments, int results);
/* The same, with the text put into *err. */
int ix_entry_try(struct ix_entry *entry, int arguments, int results, struct ix_error *err);
void ix_leave(struct ix_entry *entry);

/* Resumes a coroutine like a protected call. LUA_YIELD, 0, or an IX_SCRIPT_… code with its text (traceback
 * included) pushed on script->L. */
int ix_resume(struct ix_script *script, lua_State *co, int arguments);

/* Calls function `name` of module `module` with the arguments on the top. */
int ix_entry_export(struct ix_entry *entry, const char *module, const char *name, int arguments, int results,
                    struct ix_error *err);
/* Pushes that function. */
int ix_entry_find(struct ix_entry *entry, const char *module, const char *name, struct ix_error *err);

/* The same for a lua_CFunction, inside of a protected call. */
void ix_push_export(lua_State *L, const char *module, const char *name);

void ix_call_open(struct ix_script *script);
/* Ends the watch over calls when the last state goes. */
void ix_watch_start(void);
void ix_watch_stop(void);

/* ---- pieces of the state, opened once by state.c ---- */

void ix_prelude_run(struct ix_script *script); /* prelude.c: replaces globals by role */
int ix_searcher(lua_State *L);                 /* handler.c: for package.loaders */
void ix_task_functions(lua_State *L);          /* each adds its functions to the table on the top */
void ix_operation_functions(lua_State *L);
void ix_subscription_functions(lua_State *L);
void ix_function_functions(lua_State *L);
void ix_handler_functions(lua_State *L);
void ix_lua_json_functions(lua_State *L);

/* Appends to the text on the top of L where the task was spawned. */
void ix_task_put_origin(const struct ix_task *task, lua_State *L);
void ix_task_init(struct ix_script *script);
void ix_task_deinit(struct ix_script *script);
void ix_subscription_deinit(struct ix_script *script);

/* Pushes a text and frees it, whatever happens. */
void ix_push_owned(lua_State *L, char *text, size_t len);

/* One more error of a script, in the counters of the device's group. */
void ix_script_count_error(struct ix_script *script, const struct ix_device *d);

/* A value in [0, 1), or like math.random(m, n), of the draws that are in force. For lua_CFunctions: takes the
 * arguments from `first` on and pushes one result. */
int ix_push_random(lua_State *L, struct ix_draws *draws, int first);

#endif
