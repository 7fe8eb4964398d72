/* Text of numbers, instants and JSON strings, written into buffers without printf: these run per message. */
#ifndef IX_BASE_TEXT_H
#define IX_BASE_TEXT_H

#include "base/buf.h"

void ix_text_u64(struct ix_buf *buf, uint64_t value);
void ix_text_i64(struct ix_buf *buf, int64_t value);

/* `value` with exactly `decimals` (0..15) digits behind the point, the same text as printf("%.*f") gives
 * (round-half-even on the exact binary value). Falls back to printf outside the range where 128-bit
 * arithmetic is exact. NaN and infinities write "null". "-0.00" is written as "0.00". */
void ix_text_fixed(struct ix_buf *buf, double value, int decimals);

/* The shortest of the rounded decimal texts that read back as the same double ("0.1", "1e+300"); whole
 * numbers below 2^53 have no exponent. NaN, inf: "null"; -0.0: "0". */
void ix_text_double(struct ix_buf *buf, double value);

/* A JSON string with quotes; invalid UTF-8 bytes become U+FFFD. */
void ix_text_json_string(struct ix_buf *buf, const char *text, size_t len);

/* Standard base64 with padding. Decode returns the number of bytes, or -EINVAL. */
void ix_text_base64(struct ix_buf *buf, const void *data, size_t len);
int64_t ix_text_base64_decode(const char *text, size_t len, void *out, size_t out_size);

/* "2026-01-31T23:59:59.123Z" (24 bytes) of a wall-clock instant in ns since the epoch. */
#define IX_ISO8601_LEN 24
void ix_text_iso8601(char out[IX_ISO8601_LEN + 1], int64_t wall_ns);

/* True if the whole text is valid UTF-8 (no surrogates, no overlong forms). */
bool ix_text_is_utf8(const char *text, size_t len);

#endif
