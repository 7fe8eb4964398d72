/* t:subscribe: the messages that wait for the scenario, and the tasks that wait for messages. */
#include "script/state.h"

#include "script/task.h"

#define LIMIT     10000
#define BYTES_MAX (64u << 20)

struct queued {
    struct queued *next;
    uint64_t at_ns;
    size_t topic_len;
    size_t len;
    uint8_t qos;
    bool retain;
    bool duplicate;
    char data[]; /* topic, payload */
};

struct ix_subscription {
    struct ix_subscription *next;
    uint64_t id;
    uint64_t limit;
    uint64_t count;
    size_t bytes;
    struct queued *first, **end;
    struct ix_task *waiting; /* one task at a time */
};

static struct ix_subscription **find(struct ix_script *script, uint64_t id)
{
    struct ix_subscription **at = &script->subscriptions;
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

void ix_script_subscription_open(struct ix_script *script, uint64_t id, uint64_t limit)
{
    if (*find(script, id))
        return;
    struct ix_subscription *s = ix_calloc(1, sizeof *s);
    s->id = id;
    s->limit = limit ? limit : LIMIT;
    s->end = &s->first;
    s->next = script->subscriptions;
    script->subscriptions = s;
}

static struct queued *take(struct ix_subscription *s)
{
    struct queued *m = s->first;
    s->first = m->next;
    if (!s->first)
        s->end = &s->first;
    s->count--;
    s->bytes -= m->topic_len + m->len;
    return m;
}

static void free_subscription(struct ix_subscription *s)
{
    while (s->first)
        free(take(s));
    free(s);
}

void ix_script_subscription_close(struct ix_script *script, uint64_t id)
{
    struct ix_subscription **at = find(script, id), *s = *at;
    if (!s)
        return;
    if (s->waiting) {
        struct ix_task *task = s->waiting;
        ix_task_wake(task);
        ix_task_ready(task, 0);
    }
    *at = s->next;
    free_subscription(s);
}

void ix_subscription_deinit(struct ix_script *script)
{
    while (script->subscriptions) {
        struct ix_subscription *s = script->subscriptions;
        script->subscriptions = s->next;
        free_subscription(s);
    }
}

static int push_message(lua_State *L, struct ix_script *script, const char *topic, size_t topic_len,
                        const void *payload, size_t len, const struct queued *m)
{
    lua_pushlstring(L, topic, topic_len);
    lua_pushlstring(L, payload, len);
    lua_pushinteger(L, m->qos);
    lua_pushboolean(L, m->retain);
    lua_pushnumber(L, (double)(int64_t)(m->at_ns - script->config.run_start_ns) / 1e9);
    lua_pushboolean(L, m->duplicate);
    return 6;
}

bool ix_script_message(struct ix_script *script, uint64_t id, const struct ix_message *message,
                       uint64_t at_ns)
{
    struct ix_subscription *s = *find(script, id);
    if (!s)
        return false;
    struct queued head = {.at_ns = at_ns,
                          .topic_len = strlen(message->topic),
                          .len = message->len,
                          .qos = (uint8_t)message->qos,
                          .retain = message->retain,
                          .duplicate = message->duplicate};
    if (s->waiting) {
        struct ix_task *task = s->waiting;
        lua_State *co = ix_task_wake(task);
        ix_task_ready(task, push_message(co, script, message->topic, head.topic_len, message->payload,
                                         message->len, &head));
        return true;
    }
    if (s->count >= s->limit || s->bytes + head.topic_len + head.len > BYTES_MAX)
        return false;
    struct queued *m = ix_malloc(sizeof *m + head.topic_len + head.len);
    *m = head;
    memcpy(m->data, message->topic, m->topic_len);
    if (m->len)
        memcpy(m->data + m->topic_len, message->payload, m->len);
    *s->end = m;
    s->end = &m->next;
    s->count++;
    s->bytes += m->topic_len + m->len;
    return true;
}

/* ---- functions ---- */

static void drop_pop(struct ix_task *task)
{
    struct ix_subscription *s = *find(task->script, task->subscription);
    if (s)
        s->waiting = NULL;
}

static int core_pop(lua_State *L)
{
    static const struct ix_wait wait = {drop_pop, NULL};
    struct ix_script *script = ix_script_of(L);
    uint64_t id = (uint64_t)luaL_checknumber(L, 1);
    double timeout = ix_check_timeout(L, 2);
    struct ix_subscription *s = *find(script, id);
    if (s && s->first) {
        struct queued *m = take(s);
        bool limited = script->limited;
        script->limited = false; /* the message is ours to free */
        lua_pushboolean(L, 1);
        int results = push_message(L, script, m->data, m->topic_len, m->data + m->topic_len, m->len, m);
        script->limited = limited;
        free(m);
        return 1 + results;
    }
    if (!s || timeout == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    int results;
    struct ix_task *task = ix_task_waits(L, &results);
    if (!task)
        return results;
    if (s->waiting) {
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "another task already waits for this subscription's next message");
        return 2;
    }
    s->waiting = task;
    task->subscription = id;
    return ix_task_wait(task, &wait, timeout);
}

static int core_pending(lua_State *L)
{
    struct ix_subscription *s = *find(ix_script_of(L), (uint64_t)luaL_checknumber(L, 1));
    lua_pushnumber(L, s ? (double)s->count : 0);
    return 1;
}

void ix_subscription_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {{"pop", core_pop}, {"pending", core_pending}, {NULL, NULL}};
    luaL_register(L, NULL, functions);
}
