/* Command lines: one table per command says what it takes; help and errors come from the same table. */
#ifndef IX_CLI_OPTIONS_H
#define IX_CLI_OPTIONS_H

#include "base/error.h"

enum ix_option_kind {
    IX_OPT_FLAG,  /* bool */
    IX_OPT_BOOL,  /* bool: "true" or "false" may follow; alone it is true */
    IX_OPT_TEXT,  /* const char *; the last one counts; points into argv */
    IX_OPT_LIST,  /* struct ix_option_list; repeatable */
    IX_OPT_COUNT, /* uint64_t: "5000", "1k" */
    IX_OPT_TIME,  /* uint64_t, ns: "500ms", "1m"; bare numbers are seconds */
};

#define IX_OPTION_LIST_MAX 256
struct ix_option_list {
    const char *items[IX_OPTION_LIST_MAX];
    size_t count;
};

struct ix_option {
    const char *name; /* "--seed" */
    char letter;      /* 'e' or 0 */
    enum ix_option_kind kind;
    const char *value; /* shown in help: "N" */
    const char *doc;   /* one sentence, default included */
    size_t target;     /* place of the value in the struct that the command line fills … */
    size_t given;      /* … and of a bool that is set when the option occurs, or IX_OPTION_UNASKED */
};
#define IX_OPTION_UNASKED SIZE_MAX
/* The last two. */
#define IX_OPTION_INTO(type, field)              offsetof(type, field), IX_OPTION_UNASKED
#define IX_OPTION_INTO_ASKED(type, field, given) offsetof(type, field), offsetof(type, given)

struct ix_command_line {
    const char *usage;   /* "iotix run FILE.lua [options]" */
    const char *summary; /* what the command does, some sentences */
    const struct ix_option *options;
    size_t option_count;
    void *into; /* the struct of the options' places; what is not given keeps its value there */
    size_t min_arguments, max_arguments;
    struct ix_option_list *record; /* filled with each option as "--name=value", allocated; may be NULL */
};

/* Parses argv[1…]. `arguments` must hold argc texts. "--name=value" and "--name value" are the same; "--"
 * ends the options. Unknown names: -EINVAL with a suggestion. 1 if --help was asked for (nothing else is
 * checked). */
int ix_options_parse(const struct ix_command_line *line, int argc, char **argv, const char **arguments,
                     size_t *argument_count, struct ix_error *err);

/* The help text of a command, on stdout. */
void ix_options_help(const struct ix_command_line *line);

#endif
