/* Walking over JSON text without building a tree: for files too large to hold, and for what a tree forgets
 * (the digits of a number as written, keys that occur twice). */
#ifndef IX_MODEL_JSON_SCAN_H
#define IX_MODEL_JSON_SCAN_H

#include "base/buf.h"
#include "model/faults.h"

#include <jansson.h>

#define IX_JSON_DEPTH_MAX 128

/* Past white space. */
const char *ix_json_space(const char *at, const char *end);
/* Past one value; NULL if none is there or it is nested deeper than IX_JSON_DEPTH_MAX. Checks brackets,
 * strings and the characters of scalars, not every rule of JSON. */
const char *ix_json_skip(const char *at, const char *end);
/* Past a string with its quotes; NULL if it has no end. */
const char *ix_json_skip_string(const char *at, const char *end);
/* The characters of a string ([at, end) with quotes) without escapes, at most end - at bytes, into `out`.
 * Returns how many, or -EINVAL. */
int64_t ix_json_unescape(const char *at, const char *end, char *out);

/* What a tree forgets about its text. */
struct ix_json_source {
    struct ix_json_number *numbers; /* hash table by value */
    size_t capacity;
    size_t count;
    char *text; /* owned copy */
};

struct ix_json_number {
    const json_t *json;
    const char *text;
    size_t len;
};

/* `root` is what jansson made of `text`. Adds faults for keys that occur twice. */
void ix_json_source_init(struct ix_json_source *source, const char *text, size_t len, const json_t *root,
                         struct ix_faults *faults);
void ix_json_source_deinit(struct ix_json_source *source);
/* A number as written; the caller frees it. NULL if the value is no number, not of this source, or was
 * printed by a program with all 17 digits of a double. */
char *ix_json_source_number(const struct ix_json_source *source, const json_t *json);

/* Compact JSON in the order of the tree; numbers as written in `source` (NULL: their shortest text). */
void ix_json_put(struct ix_buf *out, const json_t *json, const struct ix_json_source *source);

#endif
