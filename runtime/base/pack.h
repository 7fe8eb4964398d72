/* Little-endian packing of small messages between processes. The reader never runs past its end: after the
 * first fault `bad` is set and every further read gives 0 or "". */
#ifndef IX_BASE_PACK_H
#define IX_BASE_PACK_H

#include "base/buf.h"

void ix_pack_u8(struct ix_buf *buf, uint8_t value);
void ix_pack_u32(struct ix_buf *buf, uint32_t value);
void ix_pack_u64(struct ix_buf *buf, uint64_t value);
void ix_pack_f64(struct ix_buf *buf, double value);
/* Length and bytes; text may be NULL (packed as ""). */
void ix_pack_str(struct ix_buf *buf, const char *text);
void ix_pack_bytes(struct ix_buf *buf, const void *data, size_t len);
/* Seven bits a byte, lowest first: small numbers are short. */
void ix_pack_var(struct ix_buf *buf, uint64_t value);
/* Signed: 0, -1, 1, -2 … are 0, 1, 2, 3 …; for differences that wrap, too. */
void ix_pack_zigzag(struct ix_buf *buf, int64_t value);

struct ix_reader {
    const unsigned char *at;
    const unsigned char *end;
    bool bad;
};

static inline struct ix_reader ix_reader_of(const void *data, size_t len)
{
    return (struct ix_reader){data, (const unsigned char *)data + len, false};
}

uint8_t ix_read_u8(struct ix_reader *in);
uint32_t ix_read_u32(struct ix_reader *in);
uint64_t ix_read_u64(struct ix_reader *in);
double ix_read_f64(struct ix_reader *in);
uint64_t ix_read_var(struct ix_reader *in);
int64_t ix_read_zigzag(struct ix_reader *in);
/* Points into the message; not NUL-terminated. */
const void *ix_read_bytes(struct ix_reader *in, size_t *len);
/* A copy that the caller frees; "" on a fault. */
char *ix_read_str(struct ix_reader *in);

#endif
