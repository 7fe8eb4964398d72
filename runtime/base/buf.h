/* A growable byte buffer with a limit set at creation.
 *
 * Appending past the limit stores nothing more and sets `overflow`, so that a caller appends freely and
 * checks once at the end. Reused buffers (ix_buf_clear) allocate nothing once they have grown. */
#ifndef IX_BASE_BUF_H
#define IX_BASE_BUF_H

#include "base/error.h"

#include <string.h>

struct ix_buf {
    char *data; /* always NUL-terminated after the first append; owned */
    size_t len;
    size_t cap;
    size_t max; /* limit of len in bytes */
    bool overflow;
};

void ix_buf_init(struct ix_buf *buf, size_t max);
void ix_buf_deinit(struct ix_buf *buf);

static inline void ix_buf_clear(struct ix_buf *buf)
{
    buf->len = 0;
    buf->overflow = false;
}

/* Makes room for `more` bytes behind len; false (and overflow) when the limit forbids it. */
bool ix_buf_reserve(struct ix_buf *buf, size_t more);

static inline void ix_buf_put(struct ix_buf *buf, const void *data, size_t len)
{
    if (__builtin_expect(buf->cap - buf->len <= len || buf->overflow, 0) && !ix_buf_reserve(buf, len))
        return;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

static inline void ix_buf_char(struct ix_buf *buf, char c)
{
    ix_buf_put(buf, &c, 1);
}

void ix_buf_str(struct ix_buf *buf, const char *text);
void ix_buf_printf(struct ix_buf *buf, const char *format, ...) IX_PRINTF(2, 3);

/* Contents as a C string; "" while empty. Valid until the next append. */
const char *ix_buf_cstr(const struct ix_buf *buf);

#endif
