/* Result codes and error messages.
 *
 * A function that can fail returns int: 0 (or a positive result) on success, a negative errno value on
 * failure. Where a user will read the reason, the last parameter is a `struct ix_error *` that carries one
 * sentence: what happened, to what, and what to do. It may be NULL. */
#ifndef IX_BASE_ERROR_H
#define IX_BASE_ERROR_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IX_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define IX_ARRAY_LEN(a)        (sizeof(a) / sizeof((a)[0]))

struct ix_error {
    int code;        /* 0, or a negative errno value */
    char text[2048]; /* NUL-terminated UTF-8; longer messages end in "…" */
};

/* Fills *err (unless NULL) and returns code, so that `return ix_fail(err, -EINVAL, "…")` reads well. */
int ix_fail(struct ix_error *err, int code, const char *format, ...) IX_PRINTF(3, 4);
int ix_vfail(struct ix_error *err, int code, const char *format, va_list args);

/* Puts "context: " in front of the text of *err, for a caller that knows the file or the device. */
void ix_error_prefix(struct ix_error *err, const char *format, ...) IX_PRINTF(2, 3);

/* Ends the process with a message when memory is exhausted: small control allocations have no way to go on.
 */
void *ix_malloc(size_t size) __attribute__((malloc, returns_nonnull));
void *ix_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *ix_realloc(void *old, size_t size) __attribute__((returns_nonnull));
char *ix_strdup(const char *text) __attribute__((malloc, returns_nonnull));
/* Copies exactly `len` bytes, also behind a NUL: give strnlen where `len` is only a limit. */
char *ix_strndup(const char *text, size_t len) __attribute__((malloc, returns_nonnull));
/* Exit status of a process whose allocation was refused: that of a run whose generator broke down. */
#define IX_STATUS_NO_MEMORY 111
char *ix_asprintf(const char *format, ...) IX_PRINTF(1, 2);

/* A broken invariant of our own: prints file:line and aborts, in every build. */
#define IX_REQUIRE(condition)                                  \
    do {                                                       \
        if (__builtin_expect(!(condition), 0))                 \
            ix_require_failed(__FILE__, __LINE__, #condition); \
    } while (0)
void ix_require_failed(const char *file, int line, const char *condition) __attribute__((noreturn));

#endif
