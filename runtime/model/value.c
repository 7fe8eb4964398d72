#include "model/value.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>

const char *const ix_type_names[IX_TYPE_COUNT] = {
    [IX_TYPE_NUMBER] = "number", [IX_TYPE_INTEGER] = "integer", [IX_TYPE_BOOLEAN] = "boolean",
    [IX_TYPE_STRING] = "string", [IX_TYPE_BINARY] = "binary",
};

static void put_number(struct ix_buf *out, const struct ix_value *value)
{
    if (value->decimals < 0)
        ix_text_double(out, value->number);
    else
        ix_text_fixed(out, value->number, value->decimals);
}

void ix_value_put_json(struct ix_buf *out, const struct ix_value *value)
{
    switch (value->kind) {
    case IX_V_NONE:
        ix_buf_put(out, "null", 4);
        break;
    case IX_V_NUMBER:
        put_number(out, value);
        break;
    case IX_V_INTEGER:
        ix_text_i64(out, value->integer);
        break;
    case IX_V_BOOLEAN:
        ix_buf_str(out, value->boolean ? "true" : "false");
        break;
    case IX_V_STRING:
        ix_text_json_string(out, value->text.data, value->text.len);
        break;
    case IX_V_JSON:
        ix_buf_put(out, value->text.data, value->text.len);
        break;
    case IX_V_BYTES:
        ix_buf_char(out, '"');
        ix_text_base64(out, value->text.data, value->text.len);
        ix_buf_char(out, '"');
        break;
    }
}

void ix_value_put_text(struct ix_buf *out, const struct ix_value *value)
{
    if (value->kind == IX_V_STRING)
        ix_buf_put(out, value->text.data, value->text.len);
    else if (value->kind == IX_V_BYTES)
        ix_text_base64(out, value->text.data, value->text.len);
    else
        ix_value_put_json(out, value);
}

bool ix_value_parse_number(const char *text, size_t len, double *number)
{
    char copy[64];
    char *end;

    /* strtod also takes spaces, "inf", "nan" and hexadecimals. */
    if (len == 0 || len >= sizeof(copy) || text[0] == '+')
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if ((c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E')
            return false;
        copy[i] = c;
    }
    copy[len] = '\0';
    *number = strtod(copy, &end);
    return end != copy && *end == '\0' && copy[len - 1] != '.' && isfinite(*number);
}

bool ix_value_number(const struct ix_value *value, double *number)
{
    switch (value->kind) {
    case IX_V_NUMBER:
        *number = value->number;
        return true;
    case IX_V_INTEGER:
        *number = (double)value->integer;
        return true;
    case IX_V_BOOLEAN:
        *number = value->boolean ? 1 : 0;
        return true;
    case IX_V_JSON:
        return ix_value_parse_number(value->text.data, value->text.len, number);
    default:
        return false;
    }
}

static int cannot(const struct ix_value *value, enum ix_type type, struct ix_error *err)
{
    int len = value->kind == IX_V_STRING || value->kind == IX_V_JSON
                  ? (int)(value->text.len < 40 ? value->text.len : 40)
                  : 0;

    if (len > 0)
        return ix_fail(err, -EINVAL, "\"%.*s\" is not a value of type %s", len, value->text.data,
                       ix_type_names[type]);
    return ix_fail(err, -EINVAL, "the value is not of type %s", ix_type_names[type]);
}

static int to_integer(struct ix_value *value, struct ix_error *err)
{
    double number;

    if (value->kind == IX_V_INTEGER)
        return 0;
    if (!ix_value_number(value, &number))
        return cannot(value, IX_TYPE_INTEGER, err);
    number = round(number);
    /* 2^63 itself does not fit, and the double below it is far below. */
    if (!(number >= -0x1p63 && number < 0x1p63))
        return ix_fail(err, -EINVAL, "%g does not fit into 64 bits", number);
    value->kind = IX_V_INTEGER;
    value->integer = (int64_t)number;
    return 0;
}

int ix_value_coerce(struct ix_value *value, enum ix_type type, struct ix_error *err)
{
    double number;

    if (value->kind == IX_V_NONE)
        return 0;
    switch (type) {
    case IX_TYPE_NUMBER:
        if (value->kind == IX_V_NUMBER && isfinite(value->number))
            return 0;
        if (value->kind == IX_V_NUMBER)
            return ix_fail(err, -EINVAL, "the value is not a finite number");
        if (value->kind == IX_V_INTEGER || (value->kind == IX_V_JSON && ix_value_number(value, &number)))
            return 0;
        if (!ix_value_number(value, &number))
            return cannot(value, type, err);
        *value = (struct ix_value){.kind = IX_V_NUMBER, .decimals = -1, .number = number};
        return 0;
    case IX_TYPE_INTEGER:
        return to_integer(value, err);
    case IX_TYPE_BOOLEAN:
        if (value->kind == IX_V_BOOLEAN)
            return 0;
        if (!ix_value_number(value, &number))
            return cannot(value, type, err);
        *value = (struct ix_value){.kind = IX_V_BOOLEAN, .boolean = number != 0};
        return 0;
    case IX_TYPE_BINARY:
        if (value->kind == IX_V_STRING)
            value->kind = IX_V_BYTES;
        return value->kind == IX_V_BYTES ? 0 : cannot(value, type, err);
    default:
        return 0;
    }
}
