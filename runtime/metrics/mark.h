/* The mark of a message: what makes it known again on its other side. 38 characters (base64, URL alphabet):
 *
 *   run tag 32 bits · slot of the ledger 32 · sequence 32 · instant of the send 48 (µs, CLOCK_MONOTONIC) · its
 *   delay behind the due instant 32 (µs) · version 8 · connection of its device 8 · and a check of 36 bits over all of these and
 *   over the payload.
 *
 * It travels in one of three ways:
 *   field     the last member of a JSON object: {…,"seq":"MARK"}
 *   property  the MQTT 5 user property of that name, beside any payload
 *   stamp     behind "~" at the end of a payload that begins like a stamp (generator/stamp.h) and has room for it */
#ifndef IX_METRICS_MARK_H
#define IX_METRICS_MARK_H

#include "base/buf.h"

#include <stdint.h>

#define IX_MARK_LEN       38
#define IX_MARK_FIELD     "seq"
#define IX_MARK_FIELD_MAX 32
#define IX_MARK_STAMP_MIN (24 + 1 + IX_MARK_LEN) /* length of a stamped payload that has room for a mark */

enum ix_mark_way { IX_MARK_AUTO, IX_MARK_IN_FIELD, IX_MARK_IN_PROPERTY };

struct ix_mark {
    uint32_t run;
    uint32_t slot;
    uint32_t sequence;
    uint64_t sent_us;
    uint32_t late_us;   /* the send was so much later than due; UINT32_MAX: that, or more */
    uint8_t connection; /* of its slot (ledger.h) */
};

/* Writes IX_MARK_LEN characters, without NUL; `payload` is what the check covers. */
void ix_mark_put(char *out, const struct ix_mark *mark, const void *payload, size_t len);

/* Whether a payload can carry a mark in itself: as a JSON object, or as a stamp with room for it. */
bool ix_mark_fits(const char *payload, size_t len);
/* `out` = the payload with its mark inside; only for those that fit. `key` is the field's beginning: "seq":" with
 * its quotes. */
void ix_mark_insert(struct ix_buf *out, const char *payload, size_t len, const char *key, size_t key_len,
                    const struct ix_mark *mark);

enum ix_mark_state {
    IX_MARK_NONE, /* of no iotix, or unobserved */
    IX_MARK_GOOD,
    IX_MARK_CORRUPT, /* there is a mark (or the rest of one of `run`), but not as it was sent */
};
/* Reads the mark of a message: of its property (NULL: it has none), else of its payload. */
enum ix_mark_state ix_mark_read(const char *payload, size_t len, const char *property, const char *key,
                                size_t key_len, uint32_t run, struct ix_mark *out);

#endif
