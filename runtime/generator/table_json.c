/* Tables as JSON: an array, or values behind one another (JSON lines); the column is a key of the objects. */
#include "base/buf.h"
#include "generator/table_internal.h"
#include "model/json_scan.h"

#include <stdlib.h>

static int malformed(const struct ix_table_file *f, const char *at, const char *what, struct ix_error *err)
{
    return ix_fail(err, -EINVAL, "%s, line %llu: %s", f->path, (unsigned long long)ix_table_line_of(f, at),
                   what);
}

static bool key_is(const char *at, const char *end, const char *name)
{
    size_t len = (size_t)(end - at);
    char *key = ix_malloc(len + 1);
    int64_t got = ix_json_unescape(at, end, key);
    bool same = got >= 0 && (size_t)got == strlen(name) && memcmp(key, name, (size_t)got) == 0;

    free(key);
    return same;
}

/* The member `f->column` (NULL: the first) of the object at `at`; NULL if it has none. */
static const char *find_member(const struct ix_table_file *f, const char *at, const char *end)
{
    at = ix_json_space(at + 1, end);
    while (at && at < end && *at == '"') {
        const char *key = at, *key_end = ix_json_skip_string(at, end);

        at = key_end ? ix_json_space(key_end, end) : NULL;
        if (!at || at >= end || *at != ':')
            return NULL;
        at = ix_json_space(at + 1, end);
        if (!f->column || key_is(key, key_end, f->column))
            return at;
        at = ix_json_skip(at, end);
        at = at ? ix_json_space(at, end) : NULL;
        if (at && at < end && *at == ',')
            at = ix_json_space(at + 1, end);
    }
    return NULL;
}

static int missing_key(const struct ix_table_file *f, const char *at, const char *end, struct ix_error *err)
{
    const char *place = at;
    struct ix_buf list;

    ix_buf_init(&list, 900);
    at = ix_json_space(at + 1, end);
    while (at && at < end && *at == '"') {
        const char *key_end = ix_json_skip_string(at, end);

        if (!key_end)
            break;
        ix_buf_printf(&list, "%s%.*s", list.len ? ", " : "", (int)(key_end - at - 2), at + 1);
        at = ix_json_space(key_end, end);
        at = at < end && *at == ':' ? ix_json_skip(at + 1, end) : NULL;
        at = at ? ix_json_space(at, end) : NULL;
        if (at && at < end && *at == ',')
            at = ix_json_space(at + 1, end);
    }
    ix_fail(err, -EINVAL, "%s, line %llu: the object has no key \"%s\"; its keys: %s", f->path,
            (unsigned long long)ix_table_line_of(f, place), f->column ? f->column : "", ix_buf_cstr(&list));
    ix_buf_deinit(&list);
    return -EINVAL;
}

static int add_value(struct ix_table_file *f, const char *at, const char *stop, struct ix_error *err)
{
    const char *value = at, *value_end = stop;

    if (*at == '{') {
        value = find_member(f, at, stop);
        value_end = value ? ix_json_skip(value, stop) : NULL;
        if (!value_end)
            return missing_key(f, at, stop, err);
    } else if (f->column) {
        return malformed(f, at, "the values are no objects, so there is no column to choose", err);
    }
    ix_table_add_row(f, value, value_end);
    return 0;
}

/* An array, or values behind one another (JSON lines). */
int ix_table_index_json(struct ix_table_file *f, const char *at, const char *end, struct ix_error *err)
{
    bool array = *at == '[';
    bool more = true;
    int rc = 0;

    if (array)
        at = ix_json_space(at + 1, end);
    while (rc == 0 && at < end && !(array && *at == ']')) {
        const char *stop = ix_json_skip(at, end);

        if (!stop || !more)
            return malformed(f, at, "malformed JSON", err);
        rc = add_value(f, at, stop, err);
        at = ix_json_space(stop, end);
        if (array) {
            more = at < end && *at == ',';
            if (more)
                at = ix_json_space(at + 1, end);
        }
    }
    if (rc == 0 && array && at >= end)
        rc = malformed(f, end, "the array has no closing bracket", err);
    return rc;
}

int ix_table_json_cell(const char *at, const char *end, char *room, struct ix_cell *out)
{
    const char *stop = ix_json_skip(at, end);
    int64_t len;

    if (!stop)
        return -EINVAL;
    *out = (struct ix_cell){.data = at, .len = (size_t)(stop - at)};
    if (*at != '"')
        return 0;
    len = ix_json_unescape(at, stop, room);
    if (len < 0)
        return -EINVAL;
    *out = (struct ix_cell){.data = room, .len = (size_t)len, .quoted = true};
    return 0;
}
