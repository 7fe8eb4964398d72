#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#define FIRST_CAPACITY 64

void ix_buf_init(struct ix_buf *buf, size_t max)
{
    *buf = (struct ix_buf){.max = max};
}

void ix_buf_deinit(struct ix_buf *buf)
{
    free(buf->data);
    *buf = (struct ix_buf){.max = buf->max};
}

bool ix_buf_reserve(struct ix_buf *buf, size_t more)
{
    if (buf->overflow || more > buf->max || buf->len > buf->max - more) {
        buf->overflow = true;
        return false;
    }
    size_t need = buf->len + more + 1; /* with the NUL */
    if (need > buf->cap) {
        size_t cap = buf->cap < FIRST_CAPACITY ? FIRST_CAPACITY : buf->cap + buf->cap / 2;
        if (cap > buf->max + 1)
            cap = buf->max + 1;
        if (cap < need)
            cap = need;
        buf->data = ix_realloc(buf->data, cap);
        buf->cap = cap;
        buf->data[buf->len] = '\0';
    }
    return true;
}

void ix_buf_str(struct ix_buf *buf, const char *text)
{
    ix_buf_put(buf, text, strlen(text));
}

void ix_buf_printf(struct ix_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char local[256];
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(local, sizeof(local), format, args);
    if (len >= 0 && (size_t)len < sizeof(local))
        ix_buf_put(buf, local, (size_t)len);
    else if (len >= 0 && ix_buf_reserve(buf, (size_t)len)) {
        vsnprintf(buf->data + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
}

const char *ix_buf_cstr(const struct ix_buf *buf)
{
    return buf->len ? buf->data : "";
}
