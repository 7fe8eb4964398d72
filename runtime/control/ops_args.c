/* Arguments of operations: the script's options, checked and in the units of C. */
#include "control/ops.h"

#include "base/text.h"
#include "base/units.h"

#include <math.h>
#include <stdlib.h>

#define FUNCTION_MAX (1u << 20)

const char *ix_arg_text(const json_t *args, const char *key)
{
    return json_string_value(json_object_get(args, key));
}

int ix_arg_need_text(const json_t *args, const char *key, const char **text, struct ix_error *err)
{
    *text = ix_arg_text(args, key);
    return *text ? 0 : ix_fail(err, -EBADMSG, "`%s` must be a text", key);
}

int ix_arg_number(const json_t *args, const char *key, uint64_t missing, uint64_t *out, struct ix_error *err)
{
    const json_t *value = json_object_get(args, key);
    *out = missing;
    if (!value || json_is_null(value))
        return 0;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0) || number > 9e15 || number != floor(number))
        return ix_fail(err, -EBADMSG, "`%s` must be a whole number, 0 or more", key);
    *out = (uint64_t)number;
    return 0;
}

uint64_t ix_arg_ms(const json_t *args, const char *key, uint64_t missing_ms)
{
    const json_t *value = json_object_get(args, key);
    double ms = json_is_number(value) ? json_number_value(value) : (double)missing_ms;
    return ms > 0 ? (uint64_t)(ms * (double)IX_MS) : 0;
}

int ix_arg_function(const json_t *args, const char *key, char **data, size_t *len, struct ix_error *err)
{
    const char *text = ix_arg_text(args, key);
    *data = NULL;
    *len = 0;
    if (!text)
        return 0;
    *data = ix_malloc(FUNCTION_MAX);
    int64_t n = ix_text_base64_decode(text, strlen(text), *data, FUNCTION_MAX);
    if (n <= 0) {
        free(*data);
        *data = NULL;
        return ix_fail(err, -EBADMSG, "`%s` is not a packed function, or one of more than 1 MiB", key);
    }
    *len = (size_t)n;
    return 0;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *ix_tags_text(const json_t *tags)
{
    char *parts[32];
    size_t count = 0;
    const char *key;
    json_t *value;
    struct ix_buf out;
    ix_buf_init(&out, 4096);
    json_object_foreach((json_t *)tags, key, value)
    {
        if (count == IX_ARRAY_LEN(parts))
            break;
        char *number = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
        parts[count++] = ix_asprintf("%s:%s", key, number ? number : json_string_value(value));
        free(number);
    }
    qsort(parts, count, sizeof *parts, compare_texts);
    for (size_t i = 0; i < count; i++) {
        ix_buf_printf(&out, "%s%s", i ? "," : "", parts[i]);
        free(parts[i]);
    }
    char *text = ix_strdup(ix_buf_cstr(&out));
    ix_buf_deinit(&out);
    return text;
}
