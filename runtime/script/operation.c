/* core.call: operations of the host, answered at once or later. */
#include "script/state.h"
#include "script/task.h"

#define TICKET_BITS 24 /* ticket = task id, then a number that tells its calls apart */

/* Pushes (JSON text) or (nil, message[, kind]); `bare` without the `true` in front. Takes the result. */
static int push_result(lua_State *L, struct ix_script *script, int code, json_t *result, const char *message)
{
    if (code >= 0) {
        bool limited = script->limited;
        script->limited = false; /* the text is ours to free */
        char *text = result ? json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        lua_pushstring(L, text ? text : "{}");
        free(text);
        json_decref(result);
        script->limited = limited;
        return 1;
    }
    json_decref(result);
    lua_pushnil(L);
    lua_pushstring(L, message && message[0] ? message : "the operation failed");
    if (code != IX_HOST_CONFIGURATION)
        return 2;
    lua_pushliteral(L, "configuration");
    return 3;
}

static void drop_call(struct ix_task *task)
{
    task->ticket = 0;
}

static int expire_call(lua_State *co)
{
    lua_pushnil(co);
    lua_pushliteral(co, "timeout");
    return 2;
}

static void open_subscription(struct ix_script *script, const json_t *result, uint64_t limit)
{
    json_int_t id = json_integer_value(json_object_get(result, "id"));
    if (id > 0)
        ix_script_subscription_open(script, (uint64_t)id, limit);
}

static int fail(lua_State *L, json_t *arguments, const char *message)
{
    json_decref(arguments);
    lua_pushboolean(L, 1);
    lua_pushnil(L);
    lua_pushstring(L, message);
    return 3;
}

static uint64_t new_ticket(struct ix_script *script, struct ix_task *task)
{
    script->calls = (script->calls + 1) & ((1u << TICKET_BITS) - 1);
    return (uint64_t)task->id << TICKET_BITS | script->calls;
}

static int wait_for(lua_State *L, struct ix_task *task, uint64_t ticket, bool opens, uint64_t limit,
                    double timeout)
{
    static const struct ix_wait wait = {drop_call, expire_call};
    int results;
    struct ix_task *waiting = ix_task_waits(L, &results);
    if (!waiting || waiting != task)
        return results;
    task->ticket = ticket;
    task->opens_subscription = opens;
    task->limit = limit;
    return ix_task_wait(task, &wait, timeout);
}

static int core_call(lua_State *L)
{
    struct ix_script *script = ix_script_of(L);
    const struct ix_host *host = script->config.host;
    const char *operation = luaL_checkstring(L, 1);
    size_t len;
    const char *text = luaL_optlstring(L, 2, "{}", &len);
    double timeout = ix_check_timeout(L, 3);
    if (script->loading)
        return luaL_error(
            L, "a file's top level runs in every process and can only define: do this in run, setup "
               "or teardown");
    if (!host)
        return fail(L, NULL, "this works only in a scenario's run, setup and teardown");
    json_error_t at;
    json_t *arguments = json_loadb(text, len, JSON_DECODE_ANY, &at), *result = NULL;
    if (!arguments)
        return fail(L, NULL, at.text);
    bool opens = strcmp(operation, "subscribe.open") == 0;
    uint64_t limit = opens ? (uint64_t)json_integer_value(json_object_get(arguments, "limit")) : 0;
    if (strcmp(operation, "subscribe.close") == 0)
        ix_script_subscription_close(script, (uint64_t)json_integer_value(json_object_get(arguments, "id")));
    struct ix_task *task = script->running;
    uint64_t ticket = task ? new_ticket(script, task) : 0;
    struct ix_error err = {0};
    bool limited = script->limited;
    script->limited = false; /* the host may wake other tasks */
    int code = host->call(host->context, operation, arguments, ticket, &result, &err);
    script->limited = limited;
    json_decref(arguments);
    if (code == IX_HOST_LATER)
        return wait_for(L, task, ticket, opens, limit, timeout);
    if (opens && code == 0)
        open_subscription(script, result, limit);
    lua_pushboolean(L, 1);
    return 1 + push_result(L, script, code, result, err.text);
}

void ix_script_complete(struct ix_script *script, uint64_t ticket, int code, json_t *result,
                        const char *message)
{
    struct ix_task *task = ix_task_find(script, (int)(ticket >> TICKET_BITS));
    if (!ticket || !task || task->ticket != ticket) {
        json_decref(result);
        return;
    }
    if (task->opens_subscription && code == 0)
        open_subscription(script, result, task->limit);
    lua_State *co = ix_task_wake(task);
    ix_task_ready(task, push_result(co, script, code, result, message));
}

void ix_operation_functions(lua_State *L)
{
    lua_pushcfunction(L, core_call);
    lua_setfield(L, -2, "call");
}
