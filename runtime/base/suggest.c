#include "base/suggest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define WORD_MAX   64 /* longer words get no suggestion */
#define LISTED_MAX 12
#define LOOKED_MAX 256 /* words compared: what people choose from is shorter, and hostile documents are not */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance: insertions, deletions, replacements, and swaps of neighbours. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        int ca = tolower((unsigned char)a[i - 1]);
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            int cb = tolower((unsigned char)b[j - 1]);
            row[j] = least(least(last[j], row[j - 1]) + 1, last[j - 1] + (ca != cb));
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                cb == tolower((unsigned char)a[i - 2]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b_len];
}

const char *ix_suggest(const char *word, const char *const *known, size_t count)
{
    size_t len = strlen(word);
    if (len == 0 || len > WORD_MAX)
        return NULL;
    size_t best = (len < 6 ? 1 : len / 3) + 1;
    const char *found = NULL;
    for (size_t i = 0; i < count && i < LOOKED_MAX; i++) {
        size_t known_len = strlen(known[i]), apart = known_len > len ? known_len - len : len - known_len;
        if (known_len > WORD_MAX || apart >= best) /* each letter more is an edit */
            continue;
        size_t edits = distance(word, len, known[i], known_len);
        if (edits < best) {
            best = edits;
            found = known[i];
        }
    }
    return found;
}

void ix_suggest_put(char *out, size_t size, const char *word, const char *const *known, size_t count)
{
    const char *near = ix_suggest(word, known, count);
    if (near) {
        snprintf(out, size, "; did you mean \"%s\"?", near);
        return;
    }
    if (size)
        out[0] = '\0';
    size_t at = 0;
    for (size_t i = 0; i < count && at < size; i++) {
        if (i == LISTED_MAX) {
            snprintf(out + at, size - at, ", \xe2\x80\xa6");
            return;
        }
        at += (size_t)snprintf(out + at, size - at, "%s%s", i ? ", " : "; known: ", known[i]);
    }
}
