/* A Lua state with a fake host. Lua texts are written to a folder of their own and run as tasks of a loop
 * with a virtual or real clock. */
#ifndef IX_TESTS_SCRIPT_FIXTURE_H
#define IX_TESTS_SCRIPT_FIXTURE_H

#include "check.h"

#include "base/file.h"
#include "base/log.h"
#include "script/script.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define S 1000000000ull

struct fixture {
    char folder[64];
    struct ix_loop loop;
    struct ix_script_config config;
    struct ix_script *script;
    int done; /* calls of done */
    int code;
    char message[8192];
    /* fake host */
    char operation[64];
    json_t *arguments;
    uint64_t ticket;
};

static inline int host_call(void *context, const char *operation, const json_t *arguments, uint64_t ticket,
                            json_t **result, struct ix_error *err)
{
    struct fixture *f = context;
    snprintf(f->operation, sizeof f->operation, "%s", operation);
    json_decref(f->arguments);
    f->arguments = json_deep_copy(arguments);
    if (strcmp(operation, "refuse") == 0)
        return ix_fail(err, -ENOENT, "no such thing");
    if (strcmp(operation, "misconfigured") == 0)
        return ix_fail(err, IX_HOST_CONFIGURATION, "the model is wrong");
    if (strcmp(operation, "later") == 0 || strcmp(operation, "subscribe.open") == 0) {
        f->ticket = ticket;
        return IX_HOST_LATER;
    }
    *result = json_pack("{s:s}", "operation", operation);
    return 0;
}

static const struct ix_host host = {.call = host_call};
static struct ix_host host_of_test;

static inline void on_done(void *context, int code, const char *message)
{
    struct fixture *f = context;
    f->done++;
    f->code = code;
    snprintf(f->message, sizeof f->message, "%s", message);
    ix_loop_stop(&f->loop);
}

static inline void quiet(void *context, enum ix_log_level level, const char *line)
{
    (void)level;
    snprintf(context, 8192, "%s", line);
}

static char last_log[8192];

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->folder, sizeof f->folder, "/tmp/iotix-script-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    assert_int_equal(ix_loop_init(&f->loop, NULL), 0);
    host_of_test = host;
    host_of_test.context = f;
    f->config = (struct ix_script_config){
        .role = IX_ROLE_CONTROLLER, .loop = &f->loop, .seed = 7, .host = &host_of_test};
    ix_log_set_sink(quiet, last_log);
    unsetenv("IOTIX_LUA_PATH");
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    ix_script_free(f->script);
    ix_loop_deinit(&f->loop);
    json_decref(f->arguments);
    snprintf(command, sizeof command, "rm -r %s", f->folder);
    assert_int_equal(system(command), 0);
    ix_log_set_sink(NULL, NULL);
    free(f);
    return 0;
}

static inline void write_file(struct fixture *f, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    for (char *slash = path + strlen(f->folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    assert_int_equal(ix_file_write(path, text, strlen(text), NULL), 0);
}

static inline void open_script(struct fixture *f)
{
    struct ix_error err;
    if (ix_script_new(&f->config, &f->script, &err) < 0)
        fail_msg("%s", err.text);
}

static inline void start(struct fixture *f, const char *text)
{
    struct ix_error err;
    char path[256];
    if (!f->script)
        open_script(f);
    write_file(f, "test.lua", text);
    snprintf(path, sizeof path, "%s/test.lua", f->folder);
    f->done = 0;
    if (ix_script_run_file(f->script, path, NULL, on_done, f, &err) < 0)
        fail_msg("%s", err.text);
}

/* Runs a text as a task to its end in virtual time. */
static inline void run(struct fixture *f, const char *text)
{
    if (!f->loop.clock.is_virtual)
        ix_loop_set_virtual(&f->loop, 1700000000000000000);
    start(f, text);
    ix_loop_run_virtual(&f->loop, f->loop.clock.virtual_ns + 1000 * S);
}

static inline void run_well(struct fixture *f, const char *text)
{
    run(f, text);
    if (f->code != 0)
        fail_msg("%s", f->message);
    assert_int_equal(f->done, 1);
}

static inline void assert_says(const struct fixture *f, const char *part)
{
    if (!strstr(f->message, part))
        fail_msg("\"%s\" is not in: %s", part, f->message);
}

#define PREFIX "local core = require 'iotix.core'\n"

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
