/* The Lua state of a process: scenario, tasks, and what workers ask of Lua. This folder is the only one that
 * includes lua.h; nothing of Lua shows in its headers.
 *
 * Every entry into Lua is one protected call that adds a traceback naming scenario, device and file:line.
 * After 1 s of CPU time inside one call a signal sets a hook that raises an error there. */
#ifndef IX_SCRIPT_SCRIPT_H
#define IX_SCRIPT_SCRIPT_H

#include "device/engine.h"
#include "script/host.h"

struct ix_script;

/* Codes of errors that scripts raise. */
#define IX_SCRIPT_ERROR         (-ENOEXEC) /* an error in a script */
#define IX_SCRIPT_CONFIGURATION (-EINVAL)  /* what it was given is wrong: option, model, address */
#define IX_SCRIPT_FAILED        (-ECHILD)  /* the scenario ended itself as failed: no script error */

enum ix_script_role {
    IX_ROLE_CONTROLLER, /* runs the scenario; JIT off */
    IX_ROLE_WORKER,     /* generators, behaviours, strategies; JIT on unless `no_jit` */
    IX_ROLE_TOOL,       /* `iotix lua`: modules and tasks, nothing running */
};

enum ix_error_fate {
    IX_ERROR_UNTOLD,  /* too many at once: a line of the group says why its devices ended, and how many did */
    IX_ERROR_TOLD,    /* logged, with its traceback: nothing more is to be said */
    IX_ERROR_ENDS_RUN /* and its device is left alone */
};

struct ix_script_config {
    enum ix_script_role role;
    struct ix_loop *loop;
    uint64_t seed;
    bool no_jit;
    const struct ix_host *host;     /* controller; NULL: operations fail with a message */
    struct ix_segment *segment;     /* worker: custom metrics go here; else NULL */
    uint64_t run_start_ns;          /* origin of core.now */
    size_t memory_limit;            /* bytes that the state may hold; 0: 1 GiB */
    const char *const *allowed_env; /* names that ${env.NAME} may use in device:render */
    size_t allowed_env_count;
    /* An error in a behaviour, timer or generator of a device, already counted, with its traceback. Unless the run
     * ends, the device ends in error on the loop's next turn (done here). Worker only; NULL: it is logged, and the
     * device ends. */
    enum ix_error_fate (*device_error)(void *context, const char *group, uint64_t index, const char *message);
    /* t:event and the like from worker scripts, as JSON; NULL: dropped. */
    void (*event)(void *context, const char *name, const char *json);
    void *context;
};

int ix_script_new(const struct ix_script_config *config, struct ix_script **script, struct ix_error *err);
void ix_script_free(struct ix_script *script);

/* Bytes held by the state. */
size_t ix_script_memory(const struct ix_script *script);

/* Loads a scenario: `text` (of `path`, for messages and for files beside it) returns the table of
 * iotix.scenario. I/O at its top level is an error. */
int ix_script_load_scenario(struct ix_script *script, const char *path, const char *text, size_t len,
                            struct ix_error *err);
/* What it declares, as JSON: {name, options{name: default}, thresholds{metric: [text…] or objects}, tags{},
 * onError: "device"|"run", …}; the caller owns it. Unknown keys were errors of the load. */
json_t *ix_script_describe(struct ix_script *script, struct ix_error *err);
/* Values for t.options, checked against the declared names and types. `overrides`: {name: text or value}. */
int ix_script_set_options(struct ix_script *script, const json_t *overrides, struct ix_error *err);

/* Runs setup, run and teardown as a task. `done` comes once: 0, or -ECANCELED after ix_script_cancel, or an
 * IX_SCRIPT_… code with the traceback. Tasks that are left then end; an error of one that nobody joined is
 * the result if there is no other. `done` may free the script. */
int ix_script_run(struct ix_script *script, void (*done)(void *context, int code, const char *message),
                  void *context, struct ix_error *err);
/* Ends the running scenario: its waits raise "interrupted"; teardown still runs. */
void ix_script_cancel(struct ix_script *script, const char *reason);

/* Runs a file as a task in the tool role; `done` as above. arguments: arg[1] … */
int ix_script_run_file(struct ix_script *script, const char *path, char *const *arguments,
                       void (*done)(void *context, int code, const char *message), void *context,
                       struct ix_error *err);

/* Answers a host operation that said IX_HOST_LATER: code 0 with a JSON result (reference taken), or < 0 with
 * a message. Unknown tickets (their task is gone) are ignored. */
void ix_script_complete(struct ix_script *script, uint64_t ticket, int code, json_t *result,
                        const char *message);

/* Opens the queue of a subscription before subscribe.open is answered: brokers send what they retained before
 * they confirm. `limit` 0: the default. Closing is for those that were refused. */
void ix_script_subscription_open(struct ix_script *script, uint64_t id, uint64_t limit);
void ix_script_subscription_close(struct ix_script *script, uint64_t id);
/* A message of subscription `id` (the result of subscribe.open). Queued for the scenario up to its limit;
 * false: dropped, which the scenario's subscription counts. */
bool ix_script_message(struct ix_script *script, uint64_t id, const struct ix_message *message,
                       uint64_t at_ns);

/* ---- strategies ---- */

/* {launch: [{name, description, settings: [{name, type, default, min, max, required, description}]}], dropout: […]}:
 * the built-in ones and those in the folders of IOTIX_LUA_PATH. NULL on error; the caller owns it. */
json_t *ix_script_strategies(struct ix_script *script, struct ix_error *err);
/* Seconds from the first of `count` places to the last, or an upper bound; checks the settings as well. */
int ix_script_strategy_duration(struct ix_script *script, const struct ix_strategy_spec *spec, uint64_t count,
                                double *seconds, struct ix_error *err);

/* ---- workers ---- */

/* The hooks that the engine calls; valid as long as the script, which is freed after the engine. Also
 * registers the custom generator class. */
struct ix_hooks ix_script_hooks(struct ix_script *script);

/* Calls a packed function with each of the devices [first, first + count) of a group that live here.
 * *errors: how many calls failed: by an error, each one counted and logged, or by returning false. */
int ix_script_each(struct ix_script *script, struct ix_engine *engine, const char *group,
                   const char *function, size_t function_len, uint64_t first, uint64_t count,
                   uint64_t *visited, uint64_t *errors, struct ix_error *err);

/* A packed function's result for one device, as JSON text appended to `out`. */
int ix_script_device_call(struct ix_script *script, struct ix_device *d, const char *function,
                          size_t function_len, struct ix_buf *out, struct ix_error *err);

/* ix_engine_eligible with a packed selector function. */
int ix_script_eligible(struct ix_script *script, struct ix_engine *engine, const char *group,
                       const char *function, size_t function_len, struct ix_bitmap *bits,
                       struct ix_error *err);

#endif
