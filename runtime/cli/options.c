#include "cli/options.h"

#include "base/suggest.h"
#include "base/units.h"

#include <stdio.h>
#include <string.h>

#define DOC_COLUMN 30
#define LINE_WIDTH 100

static const struct ix_option *find_long(const struct ix_command_line *line, const char *name, size_t len)
{
    for (size_t i = 0; i < line->option_count; i++)
        if (strlen(line->options[i].name) == len && strncmp(line->options[i].name, name, len) == 0)
            return &line->options[i];
    return NULL;
}

static const struct ix_option *find_letter(const struct ix_command_line *line, char letter)
{
    for (size_t i = 0; i < line->option_count; i++)
        if (line->options[i].letter == letter)
            return &line->options[i];
    return NULL;
}

static int unknown(const struct ix_command_line *line, const char *name, struct ix_error *err)
{
    const char *names[64];
    size_t count = 0;
    char suggestion[1024];
    for (size_t i = 0; i < line->option_count && count < IX_ARRAY_LEN(names) - 1; i++)
        names[count++] = line->options[i].name;
    names[count++] = "--help";
    ix_suggest_put(suggestion, sizeof suggestion, name, names, count);
    return ix_fail(err, -EINVAL, "unknown option %s%s", name, suggestion);
}

static bool is_boolean(const char *word)
{
    return strcmp(word, "true") == 0 || strcmp(word, "false") == 0;
}

static int store(const struct ix_command_line *line, const struct ix_option *o, const char *value,
                 struct ix_error *err)
{
    struct ix_error why;
    void *target = (char *)line->into + o->target;
    int code = 0;
    if (o->given != IX_OPTION_UNASKED)
        *(bool *)((char *)line->into + o->given) = true;
    switch (o->kind) {
    case IX_OPT_FLAG:
        *(bool *)target = true;
        break;
    case IX_OPT_BOOL:
        if (value && !is_boolean(value))
            return ix_fail(err, -EINVAL, "%s %s: it must be true or false", o->name, value);
        *(bool *)target = !value || strcmp(value, "true") == 0;
        break;
    case IX_OPT_TEXT:
        *(const char **)target = value;
        break;
    case IX_OPT_LIST: {
        struct ix_option_list *list = target;
        if (list->count == IX_OPTION_LIST_MAX)
            return ix_fail(err, -E2BIG, "%s may be given %d times at most", o->name, IX_OPTION_LIST_MAX);
        list->items[list->count++] = value;
        break;
    }
    case IX_OPT_COUNT:
        code = ix_units_count(value, target, &why);
        break;
    case IX_OPT_TIME:
        code = ix_units_duration(value, IX_S, target, &why);
        break;
    }
    return code < 0 ? ix_fail(err, code, "%s %s: %s", o->name, value, why.text) : 0;
}

/* The option in the one form that needs nothing beside it. */
static int take(const struct ix_command_line *line, const struct ix_option *o, const char *value,
                struct ix_error *err)
{
    int code = store(line, o, value, err);
    if (code == 0 && line->record && line->record->count < IX_OPTION_LIST_MAX)
        line->record->items[line->record->count++] =
            value ? ix_asprintf("%s=%s", o->name, value) : ix_strdup(o->name);
    return code;
}

static int parse_one(const struct ix_command_line *line, int argc, char **argv, int *at, struct ix_error *err)
{
    const char *word = argv[*at], *value = NULL;
    const struct ix_option *o;
    if (word[1] == '-') {
        size_t len = strcspn(word, "=");
        o = find_long(line, word, len);
        if (word[len] == '=')
            value = word + len + 1;
    } else {
        o = find_letter(line, word[1]);
        if (word[2])
            value = word + 2;
    }
    if (!o)
        return unknown(line, word, err);
    if (o->kind == IX_OPT_FLAG)
        return value ? ix_fail(err, -EINVAL, "%s takes no value", o->name) : take(line, o, NULL, err);
    if (o->kind == IX_OPT_BOOL) {
        if (!value && *at + 1 < argc && is_boolean(argv[*at + 1]))
            value = argv[++*at];
        return take(line, o, value, err);
    }
    if (!value && *at + 1 < argc)
        value = argv[++*at];
    if (!value)
        return ix_fail(err, -EINVAL, "%s needs a value: %s %s", o->name, o->name, o->value);
    return take(line, o, value, err);
}

int ix_options_parse(const struct ix_command_line *line, int argc, char **argv, const char **arguments,
                     size_t *argument_count, struct ix_error *err)
{
    bool options_over = false;
    *argument_count = 0;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (options_over || word[0] != '-' || !word[1]) {
            arguments[(*argument_count)++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            options_over = true;
            continue;
        }
        if (strcmp(word, "--help") == 0 || (strcmp(word, "-h") == 0 && !find_letter(line, 'h')))
            return 1;
        int code = parse_one(line, argc, argv, &i, err);
        if (code < 0)
            return code;
    }
    if (*argument_count < line->min_arguments)
        return ix_fail(err, -EINVAL, "something is missing; usage: %s", line->usage);
    if (*argument_count > line->max_arguments)
        return ix_fail(err, -EINVAL, "\"%s\" is too much; usage: %s", arguments[line->max_arguments],
                       line->usage);
    return 0;
}

/* Characters of UTF-8 text; all of ours are one column wide. */
static int columns(const char *text, size_t len)
{
    int n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

/* The text behind column DOC_COLUMN, in lines that end before LINE_WIDTH. */
static void print_wrapped(const char *text)
{
    int at = DOC_COLUMN;
    while (*text) {
        size_t len = strcspn(text, " ");
        int width = columns(text, len);
        if (at > DOC_COLUMN && at + 1 + width > LINE_WIDTH) {
            printf("\n%*s", DOC_COLUMN, "");
            at = DOC_COLUMN;
        }
        at += printf("%s", at > DOC_COLUMN ? " " : "") + width;
        fwrite(text, 1, len, stdout);
        text += len + strspn(text + len, " ");
    }
    putchar('\n');
}

void ix_options_help(const struct ix_command_line *line)
{
    printf("usage: %s\n\n%s\n", line->usage, line->summary);
    if (line->option_count)
        printf("\noptions:\n");
    for (size_t i = 0; i < line->option_count; i++) {
        const struct ix_option *o = &line->options[i];
        char left[128], letter[8] = "";
        if (o->letter)
            snprintf(letter, sizeof letter, "-%c, ", o->letter);
        snprintf(left, sizeof left, "  %s%s%s%s", letter, o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        int width = columns(left, strlen(left));
        printf("%s%*s", left, width < DOC_COLUMN - 1 ? DOC_COLUMN - width : 0, "");
        if (width >= DOC_COLUMN - 1)
            printf("\n%*s", DOC_COLUMN, "");
        print_wrapped(o->doc);
    }
}
