/* A worker's engine in virtual time over a fake protocol, with a Lua state whose handlers are written to a folder of the
 * test. */
#ifndef IX_TESTS_SCRIPT_DEVICE_FIXTURE_H
#define IX_TESTS_SCRIPT_DEVICE_FIXTURE_H

#include "fake_protocol.h"

#include "base/file.h"
#include "base/log.h"
#include "script/function.h"
#include "script/state.h"

#include <sys/stat.h>
#include <unistd.h>

static struct {
    char folder[64];
    struct ix_script *script;
    char log[16384];
    char event[512];
    char told[4096]; /* device_error */
    unsigned tellings;
    enum ix_error_fate fate;
} test;

static inline void keep_log(void *context, enum ix_log_level level, const char *line)
{
    (void)context, (void)level;
    size_t len = strlen(test.log);
    snprintf(test.log + len, sizeof test.log - len, "%s\n", line);
}

static inline enum ix_error_fate on_device_error(void *context, const char *group, uint64_t index,
                                                 const char *message)
{
    (void)context;
    test.tellings++;
    snprintf(test.told, sizeof test.told, "%s %d %s", group, (int)index, message);
    return test.fate;
}

static inline void on_event(void *context, const char *name, const char *json)
{
    (void)context;
    snprintf(test.event, sizeof test.event, "%s %s", name, json);
}

static inline int setup(void **state)
{
    memset(&test, 0, sizeof test);
    snprintf(test.folder, sizeof test.folder, "/tmp/iotix-script-XXXXXX");
    assert_non_null(mkdtemp(test.folder));
    setenv("IOTIX_LUA_PATH", test.folder, 1);
    ix_log_set_sink(keep_log, NULL);
    ix_log_set_level(IX_LOG_INFO);
    rig_start(state);
    ix_engine_free(rig.engine);
    struct ix_error err;
    struct ix_script_config config = {.role = IX_ROLE_WORKER,
                                      .loop = &rig.loop,
                                      .seed = 42,
                                      .segment = rig.segment,
                                      .device_error = on_device_error,
                                      .event = on_event};
    if (ix_script_new(&config, &test.script, &err) < 0)
        fail_msg("%s", err.text);
    rig.config.hooks = ix_script_hooks(test.script);
    rig.config.hooks.schedule_open = linear_open;
    rig.engine = ix_engine_new(&rig.config);
    return 0;
}

static inline int teardown(void **state)
{
    char command[128];
    ix_engine_free(rig.engine);
    rig.engine = NULL;
    ix_script_free(test.script);
    rig_end(state);
    ix_log_set_sink(NULL, NULL);
    snprintf(command, sizeof command, "rm -r %s", test.folder);
    return system(command);
}

static inline void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", test.folder, name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    mkdir(path, 0700);
    *slash = '/';
    assert_int_equal(ix_file_write(path, text, strlen(text), NULL), 0);
}

static struct ix_entry entry;

/* Runs a chunk in the worker's state; its result is on the top of the stack until ix_leave(&entry). */
static inline lua_State *evaluate(const char *text)
{
    lua_State *L = ix_enter(test.script, &entry, NULL);
    if (luaL_loadstring(L, text) || ix_entry_call(&entry, 0, 1))
        fail_msg("%s", lua_tostring(L, -1));
    return L;
}

static inline void assert_lua(const char *expression)
{
    char text[512];
    snprintf(text, sizeof text, "return %s", expression);
    lua_State *L = evaluate(text);
    if (!lua_toboolean(L, -1))
        fail_msg("not true: %s", expression);
    ix_leave(&entry);
}

/* The packed form of an expression's function. */
static inline struct ix_buf pack(const char *expression)
{
    char text[1024];
    struct ix_error err;
    struct ix_buf out;
    snprintf(text, sizeof text, "return %s", expression);
    lua_State *L = evaluate(text);
    ix_buf_init(&out, IX_FUNCTION_MAX);
    if (ix_function_pack(L, lua_gettop(L), &out, &err) < 0)
        fail_msg("%s", err.text);
    ix_leave(&entry);
    return out;
}

#define MODEL(parts)                                                          \
    "{\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"mqtt\"," \
    "\"connection\":{\"topicPattern\":\"t/"                                   \
    "${deviceId}\",\"reconnect\":{\"backoff\":\"fixed\",\"delayMs\":1000,"    \
    "\"jitter\":\"none\"}}," parts "}"
#define CUSTOM(type, handler)                                    \
    "\"telemetry\":[{\"name\":\"v\",\"type\":\"" type            \
    "\",\"intervalMs\":1000,\"generator\":{\"type\":\"custom\"," \
    "\"handler\":\"" handler "\",\"config\":{\"scale\":10}}}]"
#define CONSTANT                                                                            \
    "\"telemetry\":[{\"name\":\"v\",\"type\":\"number\",\"intervalMs\":1000,\"generator\":" \
    "{\"type\":\"constant\",\"value\":5}}]"
#define COMMANDS                                                  \
    ",\"commands\":[{\"name\":\"blink\",\"topic\":\"c/"           \
    "${deviceId}\",\"parameters\":[{\"name\":\"times\",\"type\":" \
    "\"integer\"},{\"name\":\"colour\",\"type\":\"string\"}],\"response\":{\"topic\":\"r/${deviceId}\"}}]"
#define HANDLER(name) ",\"behaviors\":[{\"name\":\"b\",\"handler\":\"" name "\",\"config\":{\"limit\":3}}]"

/* What the last message says of attribute v. */
static inline const char *payload_value(void)
{
    const char *value = strstr(fake.payload, "\"v\":");
    return value ? value + 4 : "";
}

static inline void assert_value(const char *json)
{
    char expected[128];
    snprintf(expected, sizeof expected, "%s}", json);
    assert_string_equal(payload_value(), expected);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
