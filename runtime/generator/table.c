#include "generator/table.h"

#include "base/file.h"
#include "base/suggest.h"
#include "model/json_scan.h"

#include <stdlib.h>
#include <sys/stat.h>

#define COLUMNS_MAX 4096

enum format { RAW, CSV, JSON };

struct ix_table_file {
    struct ix_table_file *next;
    char *path;
    char *column; /* NULL: the first, or raw */
    enum format format;
    unsigned references;
    dev_t device; /* a file that changed since is another file */
    ino_t inode;
    struct timespec changed;
    struct ix_map map;
    bool mapped; /* else embedded */
    uint64_t *offsets;
    uint64_t count, capacity;
    char separator;
    size_t longest; /* cell in bytes, of those that need unescaping */
};

static struct ix_table_file *files;

static void add_row(struct ix_table_file *f, const char *cell)
{
    if (f->count == f->capacity) {
        f->capacity = f->capacity ? 2 * f->capacity : 1024;
        f->offsets = ix_realloc(f->offsets, f->capacity * sizeof(f->offsets[0]));
    }
    f->offsets[f->count++] = (uint64_t)(cell - f->map.data);
}

static uint64_t line_of(const struct ix_table_file *f, const char *at)
{
    uint64_t line = 1;

    for (const char *p = f->map.data; p < at; p++)
        line += *p == '\n';
    return line;
}

/* Past a CSV cell (RFC 4180): to the separator, line end or end of file behind it. NULL: an open quote. */
static const char *csv_skip(const struct ix_table_file *f, const char *at, const char *end)
{
    if (at < end && *at == '"') {
        for (at++; at < end; at++) {
            if (*at != '"')
                continue;
            if (at + 1 < end && at[1] == '"')
                at++;
            else
                break;
        }
        if (at >= end)
            return NULL;
        at++;
    }
    while (at < end && *at != f->separator && *at != '\n' && *at != '\r')
        at++;
    return at;
}

static const char *csv_next_line(const char *at, const char *end)
{
    if (at < end && *at == '\r')
        at++;
    if (at < end && *at == '\n')
        at++;
    return at;
}

/* A cell's characters; `room` takes quoted ones. */
static struct ix_cell csv_cell(const struct ix_table_file *f, const char *at, const char *end, char *room)
{
    struct ix_cell cell = {.data = at};
    char *out = room;

    if (at >= end || *at != '"') {
        cell.len = (size_t)(csv_skip(f, at, end) - at);
        while (cell.len > 0 && (cell.data[cell.len - 1] == ' ' || cell.data[cell.len - 1] == '\t'))
            cell.len--;
        while (cell.len > 0 && (*cell.data == ' ' || *cell.data == '\t')) {
            cell.data++;
            cell.len--;
        }
        return cell;
    }
    for (at++; at < end; at++) {
        if (*at == '"' && (at + 1 >= end || at[1] != '"'))
            break;
        if (*at == '"')
            at++;
        *out++ = *at;
    }
    return (struct ix_cell){.data = room, .len = (size_t)(out - room), .quoted = true};
}

/* The separator that occurs most in the header line. */
static char find_separator(const char *at, const char *end)
{
    static const char candidates[] = ",;\t";
    size_t best = 0;
    char separator = ',';

    for (const char *c = candidates; *c; c++) {
        size_t count = 0;

        for (const char *p = at; p < end && *p != '\n'; p++)
            count += *p == *c;
        if (count > best) {
            best = count;
            separator = *c;
        }
    }
    return separator;
}

struct header {
    char **names;
    size_t count;
};

static void header_deinit(struct header *h)
{
    for (size_t i = 0; i < h->count; i++)
        free(h->names[i]);
    free(h->names);
}

/* Reads the header line; returns what follows it. */
static const char *csv_header(struct ix_table_file *f, const char *at, const char *end, struct header *h)
{
    h->names = ix_calloc(COLUMNS_MAX, sizeof(h->names[0]));
    for (;;) {
        const char *stop = csv_skip(f, at, end);
        struct ix_cell cell;
        char *room;

        if (!stop)
            return NULL;
        room = ix_malloc((size_t)(stop - at) + 1);
        cell = csv_cell(f, at, end, room);
        if (h->count < COLUMNS_MAX)
            h->names[h->count++] = ix_strndup(cell.data, cell.len);
        free(room);
        if (stop >= end || *stop != f->separator)
            return csv_next_line(stop, end);
        at = stop + 1;
    }
}

static int no_column(const struct ix_table_file *f, const struct header *h, struct ix_error *err)
{
    char hint[1024];
    struct ix_buf list;

    ix_buf_init(&list, 900);
    for (size_t i = 0; i < h->count; i++)
        ix_buf_printf(&list, "%s%s", i ? ", " : "", h->names[i]);
    ix_suggest_put(hint, sizeof(hint), f->column, (const char *const *)h->names, h->count);
    /* Without a near word the suggestion is the list itself. */
    if (strstr(hint, "did you mean"))
        ix_fail(err, -EINVAL, "%s has no column \"%s\"%s Its columns: %s", f->path, f->column, hint,
                ix_buf_cstr(&list));
    else
        ix_fail(err, -EINVAL, "%s has no column \"%s\"; its columns: %s", f->path, f->column,
                ix_buf_cstr(&list));
    ix_buf_deinit(&list);
    return -EINVAL;
}

/* One line: finds the cell of the column. Returns what follows the line, NULL after an error. */
static const char *csv_row(struct ix_table_file *f, const char *at, const char *end, size_t column,
                           struct ix_error *err)
{
    const char *line = at;

    for (size_t i = 0;; i++) {
        const char *stop = csv_skip(f, at, end);

        if (!stop) {
            ix_fail(err, -EINVAL, "%s, line %llu: a quoted cell has no end", f->path,
                    (unsigned long long)line_of(f, line));
            return NULL;
        }
        if (i == column) {
            add_row(f, at);
            if (at < stop && *at == '"' && (size_t)(stop - at) > f->longest)
                f->longest = (size_t)(stop - at);
        }
        if (stop < end && *stop == f->separator) {
            at = stop + 1;
            continue;
        }
        if (i < column) {
            ix_fail(err, -EINVAL, "%s, line %llu: the line ends after %zu of at least %zu cells", f->path,
                    (unsigned long long)line_of(f, line), i + 1, column + 1);
            return NULL;
        }
        return csv_next_line(stop, end);
    }
}

static int index_csv(struct ix_table_file *f, const char *at, const char *end, struct ix_error *err)
{
    struct header header = {0};
    size_t column = 0;
    int rc = 0;

    f->separator = find_separator(at, end);
    at = csv_header(f, at, end, &header);
    if (!at)
        rc = ix_fail(err, -EINVAL, "%s: a quoted name in the header line has no end", f->path);
    while (rc == 0 && f->column && column < header.count && strcmp(header.names[column], f->column) != 0)
        column++;
    if (rc == 0 && column == header.count)
        rc = no_column(f, &header, err);
    header_deinit(&header);
    while (rc == 0 && at < end) {
        if (*at == '\n' || *at == '\r') { /* an empty line */
            at = csv_next_line(at, end);
            continue;
        }
        at = csv_row(f, at, end, column, err);
        if (!at)
            rc = -EINVAL;
    }
    return rc;
}

static int bad_json(const struct ix_table_file *f, const char *at, const char *what, struct ix_error *err)
{
    return ix_fail(err, -EINVAL, "%s, line %llu: %s", f->path, (unsigned long long)line_of(f, at), what);
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
static const char *json_member(const struct ix_table_file *f, const char *at, const char *end)
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
            (unsigned long long)line_of(f, place), f->column ? f->column : "", ix_buf_cstr(&list));
    ix_buf_deinit(&list);
    return -EINVAL;
}

static int json_row(struct ix_table_file *f, const char *at, const char *stop, struct ix_error *err)
{
    const char *value = at, *value_end = stop;

    if (*at == '{') {
        value = json_member(f, at, stop);
        value_end = value ? ix_json_skip(value, stop) : NULL;
        if (!value_end)
            return missing_key(f, at, stop, err);
    } else if (f->column) {
        return bad_json(f, at, "the values are no objects, so there is no column to choose", err);
    }
    add_row(f, value);
    if (*value == '"' && (size_t)(value_end - value) > f->longest)
        f->longest = (size_t)(value_end - value);
    return 0;
}

/* An array, or values behind one another (JSON lines). */
static int index_json(struct ix_table_file *f, const char *at, const char *end, struct ix_error *err)
{
    bool array = *at == '[';
    bool more = true;
    int rc = 0;

    f->format = JSON;
    if (array)
        at = ix_json_space(at + 1, end);
    while (rc == 0 && at < end && !(array && *at == ']')) {
        const char *stop = ix_json_skip(at, end);

        if (!stop || !more)
            return bad_json(f, at, "malformed JSON", err);
        rc = json_row(f, at, stop, err);
        at = ix_json_space(stop, end);
        if (array) {
            more = at < end && *at == ',';
            if (more)
                at = ix_json_space(at + 1, end);
        }
    }
    if (rc == 0 && array && at >= end)
        rc = bad_json(f, end, "the array has no closing bracket", err);
    return rc;
}

static int index_file(struct ix_table_file *f, struct ix_error *err)
{
    const char *at = f->map.data, *end = at + f->map.len;
    size_t name = strlen(f->path);
    int rc;

    if (f->map.len >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) /* byte order mark */
        at += 3;
    /* By the name where it tells, else by the first character: no CSV header begins with a bracket. */
    if (!(name > 4 && strcmp(f->path + name - 4, ".csv") == 0)) {
        const char *first = ix_json_space(at, end);

        if (first < end && (*first == '[' || *first == '{'))
            f->format = JSON;
        if (name > 5 &&
            (strcmp(f->path + name - 5, ".json") == 0 || strcmp(f->path + name - 5, "jsonl") == 0))
            f->format = JSON;
        if (name > 7 && strcmp(f->path + name - 7, ".ndjson") == 0)
            f->format = JSON;
        if (f->format == JSON)
            at = first;
    }
    if (f->format == JSON && at < end)
        rc = index_json(f, at, end, err);
    else
        rc = index_csv(f, at, end, err);
    if (rc == 0 && f->count == 0)
        rc = ix_fail(err, -EINVAL, "%s holds no values", f->path);
    if (rc == 0)
        f->offsets = ix_realloc(f->offsets, f->count * sizeof(f->offsets[0]));
    return rc;
}

static void destroy(struct ix_table_file *f)
{
    if (f->mapped)
        ix_file_unmap(&f->map);
    free(f->path);
    free(f->column);
    free(f->offsets);
    free(f);
}

static bool is_same(const struct ix_table_file *f, const char *path, const char *column, enum format format,
                    const struct stat *info)
{
    if (strcmp(f->path, path) != 0 || (f->format == RAW) != (format == RAW))
        return false;
    if (!f->column != !column || (column && strcmp(f->column, column) != 0))
        return false;
    return f->device == info->st_dev && f->inode == info->st_ino &&
           f->changed.tv_sec == info->st_mtim.tv_sec && f->changed.tv_nsec == info->st_mtim.tv_nsec;
}

static int load(struct ix_table_file *f, struct ix_error *err)
{
    size_t prefix = strlen(IX_MODEL_EMBEDDED);

    if (strncmp(f->path, IX_MODEL_EMBEDDED, prefix) == 0) {
        f->map.data = ix_model_embedded(f->path + prefix, &f->map.len);
        return f->map.data ? 0
                           : ix_fail(err, -ENOENT, "no file %s is part of this program", f->path + prefix);
    }
    f->mapped = true;
    return ix_file_map(f->path, &f->map, err);
}

static int open_as(const char *path, const char *column, enum format format, struct ix_table_file **out,
                   struct ix_error *err)
{
    struct stat info = {0};
    struct ix_table_file *f;
    int rc;

    if (stat(path, &info) < 0)
        info = (struct stat){0}; /* an embedded file, or one whose absence is reported below */
    for (f = files; f; f = f->next) {
        if (is_same(f, path, column, format, &info)) {
            f->references++;
            *out = f;
            return 0;
        }
    }
    f = ix_calloc(1, sizeof(*f));
    *f = (struct ix_table_file){.path = ix_strdup(path),
                                .column = column ? ix_strdup(column) : NULL,
                                .format = format,
                                .references = 1,
                                .device = info.st_dev,
                                .inode = info.st_ino,
                                .changed = info.st_mtim,
                                .map = {"", 0}};
    rc = load(f, err);
    if (rc == 0 && format != RAW)
        rc = index_file(f, err);
    if (rc < 0) {
        destroy(f);
        return rc;
    }
    f->next = files;
    files = f;
    *out = f;
    return 0;
}

int ix_table_file_open(const char *path, const char *column, struct ix_table_file **out, struct ix_error *err)
{
    return open_as(path, column, CSV, out, err);
}

int ix_table_file_open_raw(const char *path, struct ix_table_file **out, struct ix_error *err)
{
    return open_as(path, NULL, RAW, out, err);
}

void ix_table_file_close(struct ix_table_file *file)
{
    if (!file || --file->references > 0)
        return;
    for (struct ix_table_file **link = &files; *link; link = &(*link)->next) {
        if (*link == file) {
            *link = file->next;
            break;
        }
    }
    destroy(file);
}

uint64_t ix_table_file_rows(const struct ix_table_file *file)
{
    return file->count;
}

const char *ix_table_file_data(const struct ix_table_file *file, size_t *len)
{
    *len = file->map.len;
    return file->map.data;
}

uint64_t ix_table_file_line(const struct ix_table_file *file, uint64_t row)
{
    return line_of(file, file->map.data + file->offsets[row]);
}

size_t ix_table_file_room(const struct ix_table_file *file)
{
    return file->longest + 1;
}

int ix_table_file_cell(const struct ix_table_file *file, uint64_t row, char *room, struct ix_cell *out)
{
    const char *at = file->map.data + file->offsets[row], *end = file->map.data + file->map.len;
    const char *stop;
    int64_t len;

    if (file->format == CSV) {
        *out = csv_cell(file, at, end, room);
        return 0;
    }
    stop = ix_json_skip(at, end);
    *out = (struct ix_cell){.data = at, .len = stop ? (size_t)(stop - at) : 0};
    if (*at != '"')
        return stop ? 0 : -EINVAL;
    len = stop ? ix_json_unescape(at, stop, room) : -EINVAL;
    if (len < 0)
        return -EINVAL;
    *out = (struct ix_cell){.data = room, .len = (size_t)len, .quoted = true};
    return 0;
}
