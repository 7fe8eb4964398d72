/* The subcommands. Each gets its own argv (argv[0] is the command's name) and returns the exit status. */
#ifndef IX_CLI_COMMANDS_H
#define IX_CLI_COMMANDS_H

#include "cli/options.h"

struct ix_subcommand {
    const char *name;
    const char *doc; /* one line for `iotix help` */
    int (*main)(int argc, char **argv);
};
extern const struct ix_subcommand ix_subcommands[]; /* name NULL ends */

int ix_command_plan(int argc, char **argv);
int ix_command_run(int argc, char **argv);
int ix_command_serve(int argc, char **argv);
int ix_command_bench(int argc, char **argv);
int ix_command_model(int argc, char **argv);
int ix_command_lua(int argc, char **argv);
int ix_command_report(int argc, char **argv);

/* Parses, and answers --help and errors itself: true if the command goes on, else *status is its end. */
bool ix_command_begin(const struct ix_command_line *line, int argc, char **argv, const char **arguments,
                      size_t *argument_count, int *status);

#endif
