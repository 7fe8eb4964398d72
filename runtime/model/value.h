/* A telemetry value on its way from a generator to a payload. */
#ifndef IX_MODEL_VALUE_H
#define IX_MODEL_VALUE_H

#include "base/buf.h"

/* The declared type of an attribute or of a command's parameter. */
enum ix_type {
    IX_TYPE_NUMBER,
    IX_TYPE_INTEGER,
    IX_TYPE_BOOLEAN,
    IX_TYPE_STRING,
    IX_TYPE_BINARY,
    IX_TYPE_COUNT
};
extern const char *const ix_type_names[IX_TYPE_COUNT];

enum ix_value_kind {
    IX_V_NONE,
    IX_V_NUMBER,  /* number, written with `decimals` (-1: shortest text) */
    IX_V_INTEGER, /* integer */
    IX_V_BOOLEAN, /* boolean */
    IX_V_STRING,  /* text: characters, not escaped */
    IX_V_JSON,    /* text: JSON as it stands (constants "as written", replayed numbers) */
    IX_V_BYTES,   /* text: raw bytes */
};

struct ix_value {
    enum ix_value_kind kind;
    int decimals;
    union {
        double number;
        int64_t integer;
        bool boolean;
        struct {
            const char *data; /* borrowed: valid until the next sample of the same generator */
            size_t len;
        } text;
    };
};

/* The value as JSON; bytes become a base64 string, IX_V_NONE null. */
void ix_value_put_json(struct ix_buf *out, const struct ix_value *value);
/* The value as plain text (inside a longer string): strings without quotes. */
void ix_value_put_text(struct ix_buf *out, const struct ix_value *value);
/* Its number, for conditions: numbers, integers, booleans (0/1), numeric JSON; false for the rest. */
bool ix_value_number(const struct ix_value *value, double *number);

/* Reads a whole text as a decimal number; false for anything else, infinities and hexadecimals included. */
bool ix_value_parse_number(const char *text, size_t len, double *number);

/* Makes `value` fit the declared type, in place: integer rounds half away from zero, boolean turns numbers
 * into != 0, characters become bytes for binary; for type string everything is left alone. -EINVAL with the
 * reason when it can't (text as number). */
int ix_value_coerce(struct ix_value *value, enum ix_type type, struct ix_error *err);

#endif
