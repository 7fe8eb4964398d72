/* How devices call what Lua decides. script/ fills this table; device/ knows nothing of Lua. All pointers may
 * be NULL: then there is nothing of that kind. Hooks may publish, set and disconnect their device. */
#ifndef IX_DEVICE_HOOKS_H
#define IX_DEVICE_HOOKS_H

#include "device/device.h"

/* Which hooks a model's behaviours define; only these are called. */
enum ix_hook {
    IX_HOOK_START = 1,
    IX_HOOK_CONNECT = 2,
    IX_HOOK_TELEMETRY = 4, /* after each published sample */
    IX_HOOK_COMMAND = 8,
    IX_HOOK_STOP = 16,
    IX_HOOK_FIRED = 32, /* a JSON behaviour's trigger fired */
};

#define IX_COMMAND_UNHANDLED 1

struct ix_hooks {
    void *context;

    /* Prepares the behaviours of a group's model; *hooks = those wanted. The handle goes into the group. */
    int (*model_open)(void *context, const struct ix_model *model, void **handle, unsigned *hooks,
                      struct ix_error *err);
    void (*model_close)(void *context, void *handle);

    /* Before the first connect after start, and after the last message before stop; stop also, with whatever
     * handle its group has, for a device with which a script keeps something. */
    void (*device_start)(void *context, void *handle, struct ix_device *d);
    void (*device_stop)(void *context, void *handle, struct ix_device *d);
    void (*connected)(void *context, void *handle, struct ix_device *d);
    void (*telemetry)(void *context, void *handle, struct ix_device *d, size_t stream,
                      const struct ix_value *value);
    /* A valid command. 0: done; IX_COMMAND_UNHANDLED: no behaviour is for it, so that the built-in effect
     * (reboot, set) follows; < 0: the answer says "error" and carries the text. `parameters` is the parsed
     * object. */
    int (*command)(void *context, void *handle, struct ix_device *d, const struct ix_command *command,
                   const json_t *parameters, struct ix_error *err);
    /* The trigger of behaviour `place` fired. `parameters`: of the command, else NULL. */
    void (*fired)(void *context, void *handle, struct ix_device *d, size_t place, const json_t *parameters);

    /* Strategies: opens `spec` for `count` places; random draws come from `key`. */
    int (*schedule_open)(void *context, const struct ix_strategy_spec *spec, uint64_t count, uint64_t key,
                         struct ix_schedule *schedule, struct ix_error *err);
};

#endif
