#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ELLIPSIS "\xe2\x80\xa6"

/* Cuts a text that did not fit at a character's start and marks the cut. */
static void mark_cut(char *text, size_t size)
{
    size_t at = size - sizeof(ELLIPSIS);
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    memcpy(text + at, ELLIPSIS, sizeof(ELLIPSIS));
}

int ix_vfail(struct ix_error *err, int code, const char *format, va_list args)
{
    if (!err)
        return code;
    char text[sizeof(err->text)]; /* the arguments may point into err->text */
    int len = vsnprintf(text, sizeof(text), format, args);
    if (len >= (int)sizeof(text))
        mark_cut(text, sizeof(text));
    memcpy(err->text, text, strlen(text) + 1);
    err->code = code;
    return code;
}

int ix_fail(struct ix_error *err, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ix_vfail(err, code, format, args);
    va_end(args);
    return code;
}

void ix_error_prefix(struct ix_error *err, const char *format, ...)
{
    if (!err)
        return;
    char prefix[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof(prefix), format, args);
    va_end(args);
    ix_fail(err, err->code, "%s: %s", prefix, err->text);
}

static void out_of_memory(size_t size) __attribute__((noreturn));
static void out_of_memory(size_t size)
{
    fprintf(stderr, "iotix: out of memory: %zu more bytes were refused\n", size);
    exit(IX_STATUS_NO_MEMORY);
}

void *ix_malloc(size_t size)
{
    void *data = malloc(size ? size : 1);
    if (!data)
        out_of_memory(size);
    return data;
}

void *ix_calloc(size_t count, size_t size)
{
    void *data = calloc(count ? count : 1, size ? size : 1);
    if (!data)
        out_of_memory(size * count);
    return data;
}

void *ix_realloc(void *old, size_t size)
{
    void *data = realloc(old, size ? size : 1);
    if (!data)
        out_of_memory(size);
    return data;
}

char *ix_strndup(const char *text, size_t len)
{
    char *copy = ix_malloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *ix_strdup(const char *text)
{
    return ix_strndup(text, strlen(text));
}

char *ix_asprintf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        out_of_memory(strlen(format));
    return text;
}

void ix_require_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "iotix: internal error at %s:%d: %s does not hold\n", file, line, condition);
    abort();
}
