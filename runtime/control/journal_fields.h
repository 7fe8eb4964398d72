/* What is kept of the structs of a result, by name: writer and reader share one table for each struct, and a reader
 * passes over names that it doesn't know. A new field is one line in its table (journal_fields.c). */
#ifndef IX_CONTROL_JOURNAL_FIELDS_H
#define IX_CONTROL_JOURNAL_FIELDS_H

#include "base/pack.h"
#include "control/result.h"

enum ix_field_kind {
    IX_F_TEXT,  /* char *, owned, may be NULL */
    IX_F_CHARS, /* char[size] */
    IX_F_JSON,  /* json_t *, owned, may be NULL */
    IX_F_U64,   /* uint64_t, size_t, int64_t */
    IX_F_F64,
    IX_F_BOOL,
    IX_F_HISTOGRAM,
};

struct ix_field {
    const char *name; /* NULL ends the table */
    enum ix_field_kind kind;
    size_t size, offset;
};

extern const struct ix_field ix_result_facts[];   /* struct ix_result: known from the beginning */
extern const struct ix_field ix_result_figures[]; /* struct ix_result: scalars that change while it runs */
extern const struct ix_field ix_result_end[];     /* struct ix_result: known in the end */
extern const struct ix_field ix_limits_fields[];
extern const struct ix_field ix_model_fields[];
extern const struct ix_field ix_event_fields[];
extern const struct ix_field ix_check_fields[];
extern const struct ix_field ix_dropout_fields[];

/* Appends each field as name, length, value. `before`: scalars and histograms that are the same there are left out
 * (histograms are written as differences to it); NULL: all are written. */
void ix_fields_pack(const struct ix_field *fields, const void *object, const void *before,
                    struct ix_buf *out);
/* Reads up to the reader's end into an object that was initialised; what it owned in these fields is freed.
 * false: damaged. */
bool ix_fields_unpack(const struct ix_field *fields, void *object, struct ix_reader *in);

/* A histogram as its difference to an earlier state of the same one; `before` NULL: to an empty one. */
void ix_histogram_pack(const struct ix_histogram *now, const struct ix_histogram *before, struct ix_buf *out);
/* Applies a difference. */
bool ix_histogram_unpack(struct ix_histogram *h, struct ix_reader *in);
bool ix_histogram_is_same(const struct ix_histogram *a, const struct ix_histogram *b);

#endif
