#include "control/report_text.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

/* Length of the character at `at`, 0 if it is not UTF-8. */
static size_t character(const char *at)
{
    size_t left = strnlen(at, 4);
    for (size_t len = 1; len <= left; len++)
        if (ix_text_is_utf8(at, len))
            return len;
    return 0;
}

static bool is_noncharacter(const char *at, size_t len)
{
    return len == 3 && (memcmp(at, "\xef\xbf\xbe", 3) == 0 || memcmp(at, "\xef\xbf\xbf", 3) == 0);
}

void ix_report_escape(struct ix_buf *out, const char *text)
{
    for (const char *at = text ? text : ""; *at;) {
        size_t len = character(at);
        unsigned char c = (unsigned char)*at;
        if (len == 0 || is_noncharacter(at, len) || (c < 0x20 && c != '\t' && c != '\n' && c != '\r'))
            ix_buf_str(out, REPLACEMENT);
        else if (c == '&')
            ix_buf_str(out, "&amp;");
        else if (c == '<')
            ix_buf_str(out, "&lt;");
        else if (c == '>')
            ix_buf_str(out, "&gt;");
        else if (c == '"')
            ix_buf_str(out, "&quot;");
        else if (c == '\'')
            ix_buf_str(out, "&#39;");
        else
            ix_buf_put(out, at, len);
        at += len ? len : 1;
    }
}

json_t *ix_report_string(const char *text)
{
    if (!text)
        return json_null();
    json_t *string = json_string(text);
    if (string)
        return string;
    struct ix_buf clean;
    ix_buf_init(&clean, strlen(text) * 3 + 1);
    for (const char *at = text; *at;) {
        size_t len = character(at);
        ix_buf_put(&clean, len ? at : REPLACEMENT, len ? len : 3);
        at += len ? len : 1;
    }
    string = json_string(ix_buf_cstr(&clean));
    ix_buf_deinit(&clean);
    return string;
}

json_t *ix_report_number(double value)
{
    if (!isfinite(value))
        return json_null();
    if (value == floor(value) && fabs(value) < 9e15)
        return json_integer((json_int_t)value);
    return json_real(value);
}

json_t *ix_report_tags(const char *tags)
{
    json_t *object = json_object();
    while (tags && *tags) {
        size_t len = strcspn(tags, ","), key = strcspn(tags, ":,");
        char *name = ix_strndup(tags, key);
        char *value = key < len ? ix_strndup(tags + key + 1, len - key - 1) : ix_strdup("");
        json_t *clean = ix_report_string(name);
        json_object_set_new(object, json_string_value(clean), ix_report_string(value));
        json_decref(clean);
        free(name);
        free(value);
        tags += len;
        tags += *tags == ',';
    }
    return object;
}
