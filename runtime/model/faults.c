#include "model/faults.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

void ix_faults_init(struct ix_faults *faults)
{
    *faults = (struct ix_faults){0};
}

void ix_faults_deinit(struct ix_faults *faults)
{
    for (size_t i = 0; i < faults->count; i++) {
        free(faults->items[i].path);
        free(faults->items[i].message);
    }
    free(faults->items);
    *faults = (struct ix_faults){0};
}

/* Faults quote what users wrote; each must stay one line. */
static char *one_line(const char *text)
{
    char *copy = ix_strdup(text);

    for (char *at = copy; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = ' ';
    }
    return copy;
}

static void add(struct ix_faults *faults, bool warning, const char *path, const char *format, va_list args)
{
    char message[1024];

    if (!warning)
        faults->errors++;
    if (faults->count >= IX_FAULTS_MAX)
        return;
    vsnprintf(message, sizeof(message), format, args);
    faults->items = ix_realloc(faults->items, (faults->count + 1) * sizeof(faults->items[0]));
    faults->items[faults->count++] = (struct ix_fault){one_line(path), one_line(message), warning};
}

void ix_faults_add(struct ix_faults *faults, const char *path, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(faults, false, path, format, args);
    va_end(args);
}

void ix_faults_warn(struct ix_faults *faults, const char *path, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(faults, true, path, format, args);
    va_end(args);
}

int ix_faults_fail(const struct ix_faults *faults, const char *document, struct ix_error *err)
{
    struct ix_buf text;
    const struct ix_fault *first = NULL;

    if (faults->errors == 0)
        return 0;
    ix_buf_init(&text, 1 << 20);
    for (size_t i = 0; i < faults->count; i++) {
        const struct ix_fault *fault = &faults->items[i];

        if (fault->warning)
            continue;
        if (!first)
            first = fault;
        ix_buf_printf(&text, "\n  %s%s%s", fault->path, fault->path[0] ? ": " : "", fault->message);
    }
    if (faults->errors == 1 && first)
        ix_fail(err, -EINVAL, "%s: %s%s%s", document, first->path, first->path[0] ? ": " : "",
                first->message);
    else
        ix_fail(err, -EINVAL, "%s: %zu faults%s", document, faults->errors, ix_buf_cstr(&text));
    ix_buf_deinit(&text);
    return -EINVAL;
}
