/* What scripts keep with a device of a worker, and calls that concern one.
 *
 * Lua holds devices as userdata that name them by reference: after a device is gone its methods raise an
 * error. A handle is made when a script first wants something that lasts (state, timers, random draws,
 * a behaviour, a custom generator) and goes when the device stops. */
#ifndef IX_SCRIPT_DEVICE_HANDLE_H
#define IX_SCRIPT_DEVICE_HANDLE_H

#include "script/state.h"

struct ix_behaviors;
struct ix_device_timer;

struct ix_device_handle {
    struct ix_device_handle *next, **link; /* of all handles of the script */
    struct ix_script *script;
    struct ix_engine *engine;
    struct ix_device_ref ref;
    struct ix_behaviors *behaviors; /* of its model, while it is started; NULL: none */
    struct ix_draws draws;
    struct ix_device_timer *timers;
    int object_ref;     /* its userdata */
    int state_ref;      /* device.state, LUA_NOREF before it is used */
    unsigned instances; /* custom generators that hold it */
    unsigned busy;      /* calls that are running */
    bool stopped;       /* goes when nobody holds it any more */
    bool failed;        /* nothing is called any more */
};

/* The device, or NULL once it is gone. */
struct ix_device *ix_handle_device(const struct ix_device_handle *handle);

/* Found, or made. */
struct ix_device_handle *ix_handle_of(struct ix_script *script, struct ix_device *d);
/* Found only. */
struct ix_device_handle *ix_handle_find(const struct ix_device *d);
/* The device stops: timers end, state goes, and the handle as soon as nobody uses it. */
void ix_handle_stop(struct ix_device_handle *handle);
void ix_handle_release(struct ix_device_handle *handle);
/* All that are left. */
void ix_handles_deinit(struct ix_script *script);

/* Pushes the device's userdata. Outside of protected calls too. */
void ix_handle_push(lua_State *L, struct ix_device_handle *handle);
/* The same for a device that may have no handle. */
void ix_device_push(lua_State *L, struct ix_script *script, struct ix_device *d);

/* An entry on behalf of a device: its draws are in force until the end. NULL: not now (the device has failed,
 * or calls are nested too deeply, which is reported). */
struct ix_handle_entry {
    struct ix_entry entry;
    struct ix_device_handle *handle, *outer;
    struct ix_draws *drawing;
};
lua_State *ix_handle_enter(struct ix_device_handle *handle, struct ix_handle_entry *entry);
/* As ix_entry_call; an error is counted, told to the policy, and the device ended if that says so. */
int ix_handle_call(struct ix_handle_entry *entry, int arguments, int results);
void ix_handle_leave(struct ix_handle_entry *entry);

/* An error of a script of this device: counted, told, and unless the policy ends the run the device fails on
 * the loop's next turn (never inside of the call that raised it). */
void ix_handle_report(struct ix_device_handle *handle, const char *text);

/* device_object.c: the metatable; `timer` of device_timer.c. */
void ix_device_object_open(lua_State *L);
void ix_device_timer_open(lua_State *L);
/* Stops all timers of a device. */
void ix_timers_stop(struct ix_device_handle *handle);
int ix_device_after(lua_State *L);
int ix_device_every(lua_State *L);
/* Calls on_timer(device, name) of the behaviours. */
void ix_behaviors_timer(struct ix_device_handle *handle, const char *name);

struct ix_device_object {
    struct ix_script *script;
    struct ix_engine *engine;
    struct ix_device_ref ref;
    struct ix_device_handle *handle; /* NULL: none, or gone */
};
/* The userdata at an index; raises if it is none. */
struct ix_device_object *ix_check_object(lua_State *L, int index);
/* And its device; raises if that is gone. */
struct ix_device *ix_check_device(lua_State *L, int index);
struct ix_device_handle *ix_check_handle(lua_State *L, int index);

/* device_template.c: render, render_json and holds. */
int ix_device_render(lua_State *L);
int ix_device_render_json(lua_State *L);
int ix_device_holds(lua_State *L);
void ix_device_template_open(lua_State *L);

/* Pushes a published value: number, boolean, text, or what JSON says. */
void ix_push_value(lua_State *L, const struct ix_value *value);

#endif
