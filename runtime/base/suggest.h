/* "did you mean …?" */
#ifndef IX_BASE_SUGGEST_H
#define IX_BASE_SUGGEST_H

#include "base/error.h"

/* The known word nearest to `word` by optimal string alignment distance (case-insensitive), or NULL when
 * none is near: at most one edit in three letters, at least one allowed. `known[i]` for i in [0, count); no more than
 * the first 256 are looked at. */
const char *ix_suggest(const char *word, const char *const *known, size_t count);

/* Writes `; did you mean "temperature"?` or, without a near word, `; known: a, b, c` (up to 12 words). */
void ix_suggest_put(char *out, size_t size, const char *word, const char *const *known, size_t count);

#endif
