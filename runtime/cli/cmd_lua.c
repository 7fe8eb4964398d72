/* iotix lua: a Lua file with the iotix modules and nothing running. */
#include "cli/commands.h"
#include "control/result.h"
#include "script/script.h"

#include <stdio.h>
#include <string.h>

struct end {
    struct ix_loop *loop;
    int code;
};

static void on_done(void *context, int code, const char *message)
{
    struct end *end = context;
    end->code = code;
    if (code < 0)
        fprintf(stderr, "%s\n", message);
    ix_loop_stop(end->loop);
}

static int run_file(const char *path, char *const *arguments)
{
    struct ix_loop loop;
    struct ix_script *script = NULL;
    struct ix_error err;
    struct end end = {&loop, 0};
    if (ix_loop_init(&loop, &err) < 0) {
        fprintf(stderr, "iotix lua: %s\n", err.text);
        return IX_EXIT_CONFIGURATION;
    }
    struct ix_script_config config = {
        .role = IX_ROLE_TOOL, .loop = &loop, .run_start_ns = ix_loop_update(&loop)};
    int code = ix_script_new(&config, &script, &err);
    if (code == 0)
        code = ix_script_run_file(script, path, arguments, on_done, &end, &err);
    if (code == 0)
        ix_loop_run(&loop);
    else
        fprintf(stderr, "iotix lua: %s\n", err.text);
    ix_script_free(script);
    ix_loop_deinit(&loop);
    return code < 0 || end.code < 0 ? IX_EXIT_SCRIPT : 0;
}

int ix_command_lua(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        FILE *out = argc < 2 ? stderr : stdout;
        fprintf(out, "usage: iotix lua FILE [arguments]\n\nRuns a Lua file with the iotix modules (require "
                     "\"iotix\") and nothing running.\n");
        return argc < 2 ? IX_EXIT_CONFIGURATION : 0;
    }
    return run_file(argv[1], argv + 2);
}
