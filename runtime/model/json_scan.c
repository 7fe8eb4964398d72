#include "model/json_scan.h"

#include "base/text.h"

#include <stdlib.h>

const char *ix_json_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

const char *ix_json_skip_string(const char *at, const char *end)
{
    if (at >= end || *at != '"')
        return NULL;
    for (at++; at < end; at++) {
        if (*at == '"')
            return at + 1;
        if (*at == '\\')
            at++;
        else if ((unsigned char)*at < 0x20)
            return NULL;
    }
    return NULL;
}

static bool is_scalar(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' || c == 'E';
}

static const char *skip_scalar(const char *at, const char *end)
{
    const char *start = at;

    while (at < end && is_scalar(*at))
        at++;
    return at == start ? NULL : at;
}

const char *ix_json_skip(const char *at, const char *end)
{
    char open[IX_JSON_DEPTH_MAX];
    size_t depth = 0;

    at = ix_json_space(at, end);
    while (at && at < end) {
        char c = *at;

        if (c == '{' || c == '[') {
            if (depth == IX_JSON_DEPTH_MAX)
                return NULL;
            open[depth++] = c == '{' ? '}' : ']';
            at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0 || open[--depth] != c)
                return NULL;
            at++;
        } else if (c == '"') {
            at = ix_json_skip_string(at, end);
        } else if (depth > 0 && (c == ',' || c == ':')) {
            at = ix_json_space(at + 1, end);
            continue;
        } else {
            at = skip_scalar(at, end);
        }
        if (depth == 0)
            return at;
        at = at ? ix_json_space(at, end) : NULL;
    }
    return NULL;
}

static int hex4(const char *at, const char *end)
{
    int value = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;

        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static char *put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3f));
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    }
    return out;
}

/* The escape behind a backslash at `at`; *out moves on. Returns what follows, NULL if it is none. */
static const char *unescape_one(const char *at, const char *end, char **out)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *found;
    int code, low;

    if (at >= end)
        return NULL;
    if (*at != 'u') {
        found = memchr(from, *at, sizeof(from) - 1);
        if (!found)
            return NULL;
        *(*out)++ = to[found - from];
        return at + 1;
    }
    code = hex4(at + 1, end);
    at += 5;
    if (code < 0 || (code >= 0xdc00 && code <= 0xdfff))
        return NULL;
    if (code >= 0xd800 && code <= 0xdbff) {
        low = end - at >= 6 && at[0] == '\\' && at[1] == 'u' ? hex4(at + 2, end) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return NULL;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
    }
    *out = put_utf8(*out, (unsigned)code);
    return at;
}

int64_t ix_json_unescape(const char *at, const char *end, char *out)
{
    char *start = out;

    if (end - at < 2)
        return -EINVAL;
    end--;
    for (at++; at && at < end;) {
        if (*at == '\\')
            at = unescape_one(at + 1, end, &out);
        else
            *out++ = *at++;
    }
    return at ? out - start : -EINVAL;
}

/* The text and the tree are walked side by side. The text is known to be valid. */
struct walk {
    struct ix_json_source *source;
    const char *at;
    const char *end;
    struct ix_faults *faults;
    struct ix_buf path;
};

static size_t slot_of(const struct ix_json_source *source, const json_t *json)
{
    size_t slot = ((uintptr_t)json >> 4) * 0x9e3779b97f4a7c15ull & (source->capacity - 1);

    while (source->numbers[slot].json && source->numbers[slot].json != json)
        slot = (slot + 1) & (source->capacity - 1);
    return slot;
}

static void remember(struct ix_json_source *source, const json_t *json, const char *text, size_t len)
{
    if (2 * (source->count + 1) > source->capacity) {
        struct ix_json_number *old = source->numbers;
        size_t old_capacity = source->capacity;

        source->capacity = old_capacity ? 2 * old_capacity : 64;
        source->numbers = ix_calloc(source->capacity, sizeof(source->numbers[0]));
        for (size_t i = 0; i < old_capacity; i++) {
            if (old[i].json)
                source->numbers[slot_of(source, old[i].json)] = old[i];
        }
        free(old);
    }
    source->count++;
    source->numbers[slot_of(source, json)] = (struct ix_json_number){json, text, len};
}

static bool walk_value(struct walk *w, const json_t *json, int depth);

static void cut_path(struct walk *w, size_t len)
{
    w->path.len = len;
    if (w->path.data)
        w->path.data[len] = '\0';
}

/* Reads one key; the caller frees it. NULL at a text that does not fit its tree. */
static char *walk_key(struct walk *w)
{
    const char *end = ix_json_skip_string(w->at, w->end);
    char *key;
    int64_t len;

    if (!end)
        return NULL;
    key = ix_malloc((size_t)(end - w->at) + 1);
    len = ix_json_unescape(w->at, end, key);
    if (len < 0) {
        free(key);
        return NULL;
    }
    key[len] = '\0';
    w->at = ix_json_space(end, w->end);
    if (w->at < w->end && *w->at == ':')
        w->at++;
    return key;
}

static bool walk_member(struct walk *w, const json_t *json, json_t *seen, int depth)
{
    size_t len = w->path.len;
    char *key = walk_key(w);
    bool fine;

    if (!key)
        return false;
    ix_buf_printf(&w->path, "%s%s", len ? "." : "", key);
    if (json_object_get(seen, key))
        ix_faults_add(w->faults, ix_buf_cstr(&w->path), "the key occurs twice");
    json_object_set_new(seen, key, json_true());
    fine = walk_value(w, json_object_get(json, key), depth);
    cut_path(w, len);
    free(key);
    return fine;
}

static bool walk_container(struct walk *w, const json_t *json, int depth)
{
    bool object = *w->at == '{';
    char close = object ? '}' : ']';
    json_t *seen = object ? json_object() : NULL;
    size_t len = w->path.len;
    bool fine = true;

    w->at = ix_json_space(w->at + 1, w->end);
    for (size_t i = 0; fine && w->at < w->end && *w->at != close; i++) {
        if (object) {
            fine = walk_member(w, json, seen, depth + 1);
        } else {
            ix_buf_printf(&w->path, "[%zu]", i);
            fine = walk_value(w, json_array_get(json, i), depth + 1);
            cut_path(w, len);
        }
        w->at = ix_json_space(w->at, w->end);
        if (w->at < w->end && *w->at == ',')
            w->at = ix_json_space(w->at + 1, w->end);
    }
    json_decref(seen);
    if (w->at < w->end)
        w->at++;
    return fine;
}

static bool walk_value(struct walk *w, const json_t *json, int depth)
{
    const char *end;

    w->at = ix_json_space(w->at, w->end);
    if (w->at >= w->end)
        return false;
    if (depth > IX_JSON_DEPTH_MAX) {
        ix_faults_add(w->faults, "", "the document is nested deeper than %d levels", IX_JSON_DEPTH_MAX);
        return false;
    }
    if (*w->at == '{' || *w->at == '[')
        return walk_container(w, json, depth);
    end = *w->at == '"' ? ix_json_skip_string(w->at, w->end) : skip_scalar(w->at, w->end);
    if (!end)
        return false;
    /* Of a key that occurs twice the tree has only the last value. */
    if (json_is_number(json))
        remember(w->source, json, w->at, (size_t)(end - w->at));
    w->at = end;
    return true;
}

void ix_json_source_init(struct ix_json_source *source, const char *text, size_t len, const json_t *root,
                         struct ix_faults *faults)
{
    struct walk w = {.source = source, .faults = faults};

    *source = (struct ix_json_source){.text = ix_strndup(text, len)};
    w.at = source->text;
    w.end = source->text + len;
    ix_buf_init(&w.path, 4096);
    walk_value(&w, root, 0);
    ix_buf_deinit(&w.path);
}

void ix_json_source_deinit(struct ix_json_source *source)
{
    free(source->numbers);
    free(source->text);
    *source = (struct ix_json_source){0};
}

void ix_json_put(struct ix_buf *out, const json_t *json, const struct ix_json_source *source)
{
    const char *key;
    json_t *value;
    const char *separator = "";
    char *text;

    if (json_is_object(json)) {
        ix_buf_char(out, '{');
        json_object_foreach((json_t *)json, key, value)
        {
            ix_buf_str(out, separator);
            ix_text_json_string(out, key, strlen(key));
            ix_buf_char(out, ':');
            ix_json_put(out, value, source);
            separator = ",";
        }
        ix_buf_char(out, '}');
    } else if (json_is_array(json)) {
        ix_buf_char(out, '[');
        for (size_t i = 0; i < json_array_size(json); i++) {
            ix_buf_str(out, i ? "," : "");
            ix_json_put(out, json_array_get(json, i), source);
        }
        ix_buf_char(out, ']');
    } else if ((text = ix_json_source_number(source, json))) {
        ix_buf_str(out, text);
        free(text);
    } else if (json_is_real(json)) {
        ix_text_double(out, json_real_value(json));
    } else if (json_is_integer(json)) {
        ix_text_i64(out, json_integer_value(json));
    } else if (json_is_string(json)) {
        ix_text_json_string(out, json_string_value(json), json_string_length(json));
    } else {
        ix_buf_str(out, json_is_true(json) ? "true" : json_is_false(json) ? "false" : "null");
    }
}

/* Significant digits of a number. */
static size_t digits_of(const char *text, size_t len)
{
    size_t digits = 0;

    for (size_t i = 0; i < len && text[i] != 'e' && text[i] != 'E'; i++)
        digits += text[i] >= '0' && text[i] <= '9' && (digits > 0 || text[i] != '0');
    return digits;
}

char *ix_json_source_number(const struct ix_json_source *source, const json_t *json)
{
    const struct ix_json_number *number;

    if (!source || source->capacity == 0 || !json_is_number(json))
        return NULL;
    number = &source->numbers[slot_of(source, json)];
    /* Seventeen digits are how programs print a double, not how people write one: 0.10000000000000001 is 0.1
     * that went through such a program, and its shortest text says so. */
    if (!number->json || (json_is_real(json) && digits_of(number->text, number->len) >= 17))
        return NULL;
    return ix_strndup(number->text, number->len);
}
