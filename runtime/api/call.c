#include "api/call.h"

#include "base/text.h"

#include <stdlib.h>

/* ---- percent-encoding ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Decodes in place; false for "%zz", control characters and what is no UTF-8. */
static bool decode(char *text, bool plus_is_space)
{
    char *out = text;
    for (const char *at = text; *at; at++) {
        if (*at == '%') {
            int high = hex(at[1]), low = high < 0 ? -1 : hex(at[2]);
            if (low < 0)
                return false;
            *out++ = (char)(high << 4 | low);
            at += 2;
        } else {
            *out++ = plus_is_space && *at == '+' ? ' ' : *at;
        }
        if ((unsigned char)out[-1] < 0x20 || out[-1] == 0x7f)
            return false;
    }
    *out = '\0';
    return ix_text_is_utf8(text, (size_t)(out - text));
}

/* ---- paths ---- */

/* Behind "http://host" of the absolute form. */
static const char *path_of(const char *target)
{
    size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                    : strncasecmp(target, "https://", 8) == 0 ? 8
                                                              : 0;
    return scheme ? target + scheme + strcspn(target + scheme, "/?") : target;
}

static int add_segment(struct ix_path *path, char *segment, struct ix_error *err)
{
    if (path->count == IX_CALL_SEGMENTS)
        return ix_fail(err, -ENOENT, "there is no such path");
    if (!decode(segment, false))
        return ix_fail(err, -EINVAL, "the path has a bad %%-escape, a control character, or is no UTF-8");
    if (strlen(segment) > IX_CALL_ID_MAX)
        return ix_fail(err, -ENOENT, "there is no such path: a part of it is longer than %d bytes",
                       IX_CALL_ID_MAX);
    path->segments[path->count++] = segment;
    return 0;
}

int ix_path_parse(struct ix_path *path, const char *target, struct ix_error *err)
{
    *path = (struct ix_path){.room = ix_strdup(path_of(target))};
    char *at = path->room, *query = strchr(at, '?');
    if (query) {
        *query = '\0';
        path->query = query + 1;
    }
    if (*at != '/' && *at != '\0') {
        ix_path_deinit(path);
        return ix_fail(err, -EINVAL, "the path does not begin with \"/\"");
    }
    for (char *segment = *at ? at + 1 : at; *segment; segment = at) { /* a "/" at the end says nothing */
        at = segment + strcspn(segment, "/");
        if (*at)
            *at++ = '\0';
        int code = add_segment(path, segment, err);
        if (code < 0) {
            ix_path_deinit(path);
            return code;
        }
    }
    return 0;
}

void ix_path_deinit(struct ix_path *path)
{
    free(path->room);
    path->room = NULL;
    path->count = 0;
}

/* ---- queries ---- */

/* The value as the field wants it; a text that is no number stays one, and the check says so. */
static json_t *value_of(const char *text, const struct ix_field *field)
{
    char *end;
    if (field && field->accept & (IX_A_INTEGER | IX_A_NUMBER) && *text && *text != ' ') {
        errno = 0;
        long long whole = strtoll(text, &end, 10);
        if (*end == '\0' && errno == 0)
            return json_integer(whole);
        double number = strtod(text, &end);
        json_t *json = *end == '\0' ? json_real(number) : NULL; /* NULL for inf and nan */
        if (json)
            return json;
    }
    if (field && field->accept & IX_A_BOOLEAN) {
        if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0)
            return json_true();
        if (strcmp(text, "false") == 0 || strcmp(text, "0") == 0)
            return json_false();
    }
    return json_string(text);
}

static void add_pair(json_t *query, char *pair, const struct ix_table *table, struct ix_faults *faults)
{
    char *value = strchr(pair, '=');
    if (value)
        *value++ = '\0';
    if (!decode(pair, true) || (value && !decode(value, true))) {
        ix_faults_add(faults, "", "has a query with a bad %%-escape, a control character, or no UTF-8");
        return;
    }
    if (json_object_get(query, pair)) {
        ix_faults_add(faults, pair, "is given twice");
        return;
    }
    json_object_set_new(query, pair, value_of(value ? value : "", table ? ix_table_find(table, pair) : NULL));
}

json_t *ix_query_parse(const char *text, const struct ix_table *table, struct ix_faults *faults)
{
    static const struct ix_table nothing = {.name = "query", .doc = ""};
    json_t *query = json_object();
    if (!text || !*text)
        text = "";
    char *copy = ix_strdup(text);
    for (char *at = copy; *at;) {
        char *pair = at;
        at += strcspn(at, "&");
        if (*at)
            *at++ = '\0';
        if (*pair)
            add_pair(query, pair, table, faults);
    }
    free(copy);
    if (faults->errors == 0) {
        struct ix_check check = {.faults = faults};
        ix_object_check(&check, table ? table : &nothing, query, "", 0);
    }
    return query;
}

/* ---- bodies ---- */

/* jansson calls itself for each level, and so does whoever walks the result. */
static bool is_too_deep(const char *text, size_t len)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        if (quoted) {
            if (text[i] == '\\')
                i++;
            else
                quoted = text[i] != '"';
        } else if (text[i] == '"') {
            quoted = true;
        } else if (text[i] == '{' || text[i] == '[') {
            if (++depth > IX_CALL_DEPTH)
                return true;
        } else if ((text[i] == '}' || text[i] == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

json_t *ix_body_parse(const char *text, size_t len, struct ix_faults *faults)
{
    json_error_t error;
    if (is_too_deep(text, len)) {
        ix_faults_add(faults, "", "is nested more than %d levels deep", IX_CALL_DEPTH);
        return NULL;
    }
    json_t *body = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (!body && strstr(error.text, "JSON_ALLOW_NUL"))
        ix_faults_add(faults, "", "is no valid JSON for us: texts may not hold \\u0000 (line %d, column %d)",
                      error.line, error.column);
    else if (!body)
        ix_faults_add(faults, "", "is no valid JSON: %s (line %d, column %d)", error.text, error.line,
                      error.column);
    else if (!json_is_object(body))
        ix_faults_add(faults, "", "must be an object");
    if (body && !json_is_object(body)) {
        json_decref(body);
        body = NULL;
    }
    return body;
}

void ix_body_check(json_t *body, const struct ix_table *table, bool open, struct ix_faults *faults)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(body, next, key, value) if (json_is_null(value)) json_object_del(body, key);
    json_t *known = open ? json_object() : json_incref(body);
    if (open)
        json_object_foreach(body, key, value) if (ix_table_find(table, key))
            json_object_set(known, key, value);
    struct ix_check check = {.faults = faults};
    ix_object_check(&check, table, known, "", 0);
    json_decref(known);
}

/* ---- members ---- */

const char *ix_call_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

int64_t ix_call_integer(const json_t *object, const char *name, int64_t fallback)
{
    const json_t *value = json_object_get(object, name);
    if (json_is_integer(value))
        return json_integer_value(value);
    return json_is_real(value) ? (int64_t)json_real_value(value) : fallback;
}

double ix_call_number(const json_t *object, const char *name, double fallback)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

bool ix_call_boolean(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

bool ix_call_window(const json_t *query, uint64_t *offset, uint64_t *limit)
{
    const json_t *page = json_object_get(query, "page"), *size = json_object_get(query, "pageSize");
    if ((page || size) && (json_object_get(query, "offset") || json_object_get(query, "limit")))
        return false;
    *limit = (uint64_t)ix_call_integer(query, size ? "pageSize" : "limit", (int64_t)*limit);
    *offset = (uint64_t)ix_call_integer(query, "offset", (int64_t)*offset);
    if (page)
        *offset = (uint64_t)(ix_call_integer(query, "page", 1) - 1) * *limit;
    return true;
}
