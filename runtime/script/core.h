/* The C half of the Lua API: module "iotix.core". Only primitives; what scenarios see is Lua on top of it
 * (lua/iotix).
 *
 * Tasks are coroutines over the loop. A function marked [waits] suspends the calling task; outside of a task
 * it raises an error. Results that can fail are `nil, message`; wrong types of arguments raise.
 *
 *  role                        "controller" | "worker" | "tool"
 *  version                     of this build, "0.1.0"
 *  seed                        of the run, decimal text
 *  folder()                    of the scenario (or of the tool's file), "." before one is loaded
 *  now()                       seconds since the run's start
 *  wall()                      ms since the epoch, whole number
 *
 *  sleep(seconds)              [waits]
 *  spawn(fn[, name])           → task id; fn() begins when the caller waits or ends
 *  cancel(id[, reason])        its wait, or else its next one, raises `reason`, once: clean-up may wait; a
 *                              task that has not begun never does. true, or false if it had ended
 *  join(id[, timeout])         [waits] → true | nil, error text with traceback | nil, "timeout"
 *  task()                      → id, name of the calling task; nil outside
 *
 *  call(op, json[, timeout])   → JSON text of the result | nil, message[, "configuration"] | nil, "timeout";
 *                              operations of script/host.h. [waits] where the host answers later
 *  pop(subscription[, timeout]) [waits] → topic, payload, qos, retain, at (seconds as now()), duplicate;
 *                              nil after the timeout, or when the subscription is closed
 *  pending(subscription)       → how many messages wait
 *
 *  pack(fn)                    → base64 text of a function with its plain-data upvalues; raises an error
 *                              that names one that is not. Upvalues may also be loaded modules, and functions
 *                              in them: they travel by name
 *  unpack(text)                → function | nil, message
 *
 *  scenario(table)             declares the scenario; the file must return the same table. → the table
 *  handler(kind, name)         → what a handler file returns (generators, behaviors, strategies/launch,
 *                              strategies/dropout, protocols) | nil, message with the places looked at
 *  read_file(path[, max])      → text of a file in the scenario's folder | nil, message; raises at top level
 *
 *  encode(value)               → JSON text with sorted keys and all digits; array(t) or a sequence gives [],
 *                              other tables {}; raises on what JSON can't say
 *  decode(text)                → value | nil, message with line and column; null is cjson.null, and arrays
 *                              stay arrays when they are empty
 *  array([t])                  → t (or a new table), marked as a JSON array
 *  duration(text|number[, bare_unit_seconds])  → seconds | nil, message. Numbers are seconds
 *  count(text|number)          → whole number | nil, message
 *  suggest(word, names)        → '; did you mean "x"?' | '; known: a, b'
 *  log(level, text)            "error" | "warn" | "info" | "debug"
 *  random([m[, n]])            as math.random, which it replaces; f(seed, device, n-th draw)
 *  metric(kind, name, tags, value)  kind "counter" | "gauge" | "rate" | "trend" (ms); tags "key:value,…",
 *                              sorted; without value it is only declared. → true | nil, message
 *
 * Errors that are tables with __tostring bring their own position and traceback, and may say what they are:
 * configuration = true, failed = true (see IX_SCRIPT_… codes).
 *
 * What C calls in Lua:
 *
 *  iotix.scenario   describe() → JSON text; set_options(JSON text); main(), in a task
 *  iotix.handler    find(kind, name) → value | nil, message: the scenario's own, then core.handler
 *  iotix.strategy   open(kind, name or function, settings, count, random) → at(k) | nil, message; kind
 *                   "launch" | "dropout"; settings JSON text; random(k) uniform in [0, 1) for place k
 *  iotix.behavior   new(JSON text) → object; of its methods those that exist are called: fire(device,
 *                   parameters), start(device), connect(device), telemetry(device, name, value),
 *                   command(device, name, parameters), timer(device, name), stop(device)
 *
 * Devices, in workers: fields id index group model status ("running", …) state (a table for scripts, dropped
 * when the device stops); publish(topic, payload[, {qos, retain}]), value(name), values(), set(name, value),
 * disconnect{mode, reconnectDelayMs}, after(seconds, fn|name), every(seconds, fn|name), random([m[, n]]),
 * event(name, data), log(text), holds(condition), command(name, json), render(text[, parameters]),
 * render_json(json text[, parameters]). */
#ifndef IX_SCRIPT_CORE_H
#define IX_SCRIPT_CORE_H

#include <lua.h>

/* Pushes the module table. For package.preload: lua_CFunction. */
int ix_core_open(lua_State *L);

#endif
