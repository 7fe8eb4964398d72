#include "base/pack.h"

#include <endian.h>

void ix_pack_u8(struct ix_buf *buf, uint8_t value)
{
    ix_buf_put(buf, &value, sizeof(value));
}

void ix_pack_u32(struct ix_buf *buf, uint32_t value)
{
    value = htole32(value);
    ix_buf_put(buf, &value, sizeof(value));
}

void ix_pack_u64(struct ix_buf *buf, uint64_t value)
{
    value = htole64(value);
    ix_buf_put(buf, &value, sizeof(value));
}

void ix_pack_f64(struct ix_buf *buf, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    ix_pack_u64(buf, bits);
}

void ix_pack_bytes(struct ix_buf *buf, const void *data, size_t len)
{
    if (len > UINT32_MAX) {
        buf->overflow = true;
        return;
    }
    ix_pack_u32(buf, (uint32_t)len);
    if (len)
        ix_buf_put(buf, data, len);
}

void ix_pack_str(struct ix_buf *buf, const char *text)
{
    ix_pack_bytes(buf, text, text ? strlen(text) : 0);
}

void ix_pack_var(struct ix_buf *buf, uint64_t value)
{
    unsigned char bytes[10];
    size_t len = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[len++] = (unsigned char)(value | 0x80);
    bytes[len++] = (unsigned char)value;
    ix_buf_put(buf, bytes, len);
}

void ix_pack_zigzag(struct ix_buf *buf, int64_t value)
{
    ix_pack_var(buf, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

/* Takes `len` bytes off the front; NULL (and bad) when there are fewer. */
static const unsigned char *take(struct ix_reader *in, size_t len)
{
    if (in->bad || (size_t)(in->end - in->at) < len) {
        in->bad = true;
        return NULL;
    }
    const unsigned char *at = in->at;
    in->at += len;
    return at;
}

uint8_t ix_read_u8(struct ix_reader *in)
{
    const unsigned char *at = take(in, 1);
    return at ? *at : 0;
}

uint32_t ix_read_u32(struct ix_reader *in)
{
    uint32_t value = 0;
    const unsigned char *at = take(in, sizeof(value));
    if (at)
        memcpy(&value, at, sizeof(value));
    return le32toh(value);
}

uint64_t ix_read_u64(struct ix_reader *in)
{
    uint64_t value = 0;
    const unsigned char *at = take(in, sizeof(value));
    if (at)
        memcpy(&value, at, sizeof(value));
    return le64toh(value);
}

double ix_read_f64(struct ix_reader *in)
{
    uint64_t bits = ix_read_u64(in);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

uint64_t ix_read_var(struct ix_reader *in)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte = ix_read_u8(in);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    in->bad = true;
    return 0;
}

int64_t ix_read_zigzag(struct ix_reader *in)
{
    uint64_t value = ix_read_var(in);
    return (int64_t)(value >> 1 ^ (value & 1 ? UINT64_MAX : 0));
}

const void *ix_read_bytes(struct ix_reader *in, size_t *len)
{
    size_t count = ix_read_u32(in);
    const unsigned char *at = take(in, count);
    *len = at ? count : 0;
    return at ? (const void *)at : "";
}

char *ix_read_str(struct ix_reader *in)
{
    size_t len;
    const void *data = ix_read_bytes(in, &len);
    return ix_strndup(data, len);
}
