/* Quantities with units, as typed by users: "10s", "1.5m", "250ms", "1k", "4KiB". */
#ifndef IX_BASE_UNITS_H
#define IX_BASE_UNITS_H

#include "base/buf.h"

#define IX_US 1000ull
#define IX_MS 1000000ull
#define IX_S  1000000000ull

/* Durations: number with ns, us, ms, s, m, h, d, also joined, largest first ("1m30s"). A bare number counts
 * in `bare_unit_ns` (e.g. IX_S); 0 forbids bare numbers. Result in ns. Negative, NaN, overflow: -EINVAL. */
int ix_units_duration(const char *text, uint64_t bare_unit_ns, uint64_t *ns, struct ix_error *err);

/* Counts: "5000", "1k" = 1,000, "2.5M", "1G" (powers of 1,000). */
int ix_units_count(const char *text, uint64_t *count, struct ix_error *err);

/* Bytes: "512", "4KiB" = 4,096, "4kB" = 4,000, "1MiB", "2GB". */
int ix_units_bytes(const char *text, uint64_t *bytes, struct ix_error *err);

/* For people: "1.23 ms", "12.3 s", "1m 02s", "1h 02m"; "1,234,567"; "12.3 MiB". */
void ix_units_put_duration(struct ix_buf *buf, uint64_t ns);
void ix_units_put_count(struct ix_buf *buf, uint64_t count);
void ix_units_put_bytes(struct ix_buf *buf, uint64_t bytes);

#endif
