/* iotix: simulates fleets of IoT devices against real backends. */
#include "base/log.h"
#include "base/suggest.h"
#include "cli/commands.h"
#include "control/result.h"
#include "model/model.h"
#include "protocol/broker.h"
#include "script/embedded.h"
#include "worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int command_version(int argc, char **argv);
static int command_help(int argc, char **argv);

const struct ix_subcommand ix_subcommands[] = {
    {"run", "run a scenario: progress, summary, verdict, exit code for CI", ix_command_run},
    {"plan", "what a run needs against what this host allows, with the exact fix", ix_command_plan},
    {"serve", "REST services, metrics and the live page: the device engine on http://localhost:8080",
     ix_command_serve},
    {"bench", "one-line load in the words of MQTT bench tools: conn, pub, sub", ix_command_bench},
    {"report", "the runs there were; summary and reports of one of them", ix_command_report},
    {"model", "check device models, print their JSON schema", ix_command_model},
    {"lua", "run a Lua file with the iotix modules and nothing else", ix_command_lua},
    {"version", "print the version", command_version},
    {"help", "explain a command", command_help},
    {NULL, NULL, NULL},
};

static const struct ix_subcommand *find_command(const char *name)
{
    for (const struct ix_subcommand *c = ix_subcommands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[IX_ARRAY_LEN(ix_subcommands)];
    size_t count = 0;
    char suggestion[512];
    for (const struct ix_subcommand *c = ix_subcommands; c->name; c++)
        names[count++] = c->name;
    ix_suggest_put(suggestion, sizeof suggestion, name, names, count);
    fprintf(stderr, "iotix: unknown command \"%s\"%s\n", name, suggestion);
    return IX_EXIT_CONFIGURATION;
}

static int command_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("iotix %s\n", IX_VERSION);
    return 0;
}

static void print_overview(FILE *out)
{
    fprintf(out,
            "iotix %s: simulates fleets of IoT devices against a real backend, and says truthfully how it "
            "did.\n\n"
            "usage: iotix COMMAND [arguments]\n\n",
            IX_VERSION);
    for (const struct ix_subcommand *c = ix_subcommands; c->name; c++)
        fprintf(out, "  %-10s %s\n", c->name, c->doc);
    fprintf(
        out,
        "\nFirst steps:\n"
        "  iotix run scenarios/quickstart.lua    1,000 sensors; a private broker is started if none answers\n"
        "  iotix help run                        all options, and what the exit codes mean\n"
        "\nEnvironment: MQTT_BROKER_HOST, MQTT_BROKER_PORT, DEVICE_MODEL_PATH, IOTIX_DATA_PATH, "
        "IOTIX_LUA_PATH,\n"
        "LOG_LEVEL (ERROR, WARN, INFO, DEBUG).\n");
}

static int command_help(int argc, char **argv)
{
    if (argc < 2) {
        print_overview(stdout);
        return 0;
    }
    const struct ix_subcommand *c = find_command(argv[1]);
    if (!c)
        return unknown_command(argv[1]);
    char *help[] = {argv[1], "--help", NULL};
    return c->main == command_help || c->main == command_version ? (printf("%s: %s\n", c->name, c->doc), 0)
                                                                 : c->main(2, help);
}

bool ix_command_begin(const struct ix_command_line *line, int argc, char **argv, const char **arguments,
                      size_t *argument_count, int *status)
{
    struct ix_error err;
    int code = ix_options_parse(line, argc, argv, arguments, argument_count, &err);
    *status = 0;
    if (code == 0)
        return true;
    if (code > 0) {
        ix_options_help(line);
    } else {
        /* The command's name is what its usage begins with: words in small letters. */
        int len = (int)strcspn(line->usage, "ABCDEFGHIJKLMNOPQRSTUVWXYZ[-");
        fprintf(stderr, "%.*s: %s\n", len > 0 ? len - 1 : 0, line->usage, err.text);
        *status = IX_EXIT_CONFIGURATION;
    }
    return false;
}

static int set_log_level(void)
{
    enum ix_log_level level;
    const char *name = getenv("LOG_LEVEL");
    if (!name || !name[0])
        return 0;
    if (ix_log_parse_level(name, &level) < 0) {
        fprintf(stderr, "iotix: LOG_LEVEL is \"%s\"; it can be ERROR, WARN, INFO or DEBUG\n", name);
        return -EINVAL;
    }
    ix_log_set_level(level);
    return 0;
}

static const char *find_embedded(const char *name, size_t *len)
{
    const struct ix_embedded *file = ix_embedded_find(name);
    *len = file ? file->len : 0;
    return file ? file->data : NULL;
}

/* Sockets would get the numbers of standard descriptors that our caller closed, and our output with them. */
static void open_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* Output that was lost is an error, but not to a reader that has seen enough, as in `iotix … | head`. */
static int finish(int status)
{
    struct stat info;
    int code = fflush(stdout) == 0 ? 0 : errno;
    if (code == 0 && !ferror(stdout))
        return status;
    if (fstat(STDOUT_FILENO, &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode)))
        return status;
    fprintf(stderr, "iotix: can't write the output: %s\n", code ? strerror(code) : "it is incomplete");
    return status ? status : IX_EXIT_CONFIGURATION;
}

int main(int argc, char **argv)
{
    open_standard_descriptors();
    ix_model_set_embedded(find_embedded);
    if (argc > 1 && strcmp(argv[1], "--worker") == 0)
        return ix_worker_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], IX_BROKER_EXEC) == 0)
        return ix_broker_exec_main(argc, argv);
    if (set_log_level() < 0)
        return IX_EXIT_CONFIGURATION;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_overview(argc < 2 ? stderr : stdout);
        return argc < 2 ? IX_EXIT_CONFIGURATION : finish(0);
    }
    if (strcmp(argv[1], "--version") == 0)
        return finish(command_version(argc, argv));
    const struct ix_subcommand *c = find_command(argv[1]);
    return c ? finish(c->main(argc - 1, argv + 1)) : unknown_command(argv[1]);
}
