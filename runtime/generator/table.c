#include "generator/table_internal.h"
#include "model/json_scan.h"

#include <stdlib.h>

static struct ix_table_file *files;

void ix_table_add_row(struct ix_table_file *f, const char *cell, const char *stop)
{
    if (f->count == f->capacity) {
        f->capacity = f->capacity ? 2 * f->capacity : 1024;
        f->offsets = ix_realloc(f->offsets, f->capacity * sizeof(f->offsets[0]));
    }
    f->offsets[f->count++] = (uint64_t)(cell - f->map.data);
    if (cell < stop && *cell == '"' && (size_t)(stop - cell) > f->longest)
        f->longest = (size_t)(stop - cell);
}

uint64_t ix_table_line_of(const struct ix_table_file *f, const char *at)
{
    uint64_t line = 1;

    for (const char *p = f->map.data; p < at; p++)
        line += *p == '\n';
    return line;
}

/* By the name where it tells, else by the first character: no CSV header begins with a bracket. */
static enum ix_table_format format_of(const char *path, char first)
{
    static const char *const json_names[] = {".json", "jsonl", ".ndjson"};
    size_t len = strlen(path);

    if (len > 4 && strcmp(path + len - 4, ".csv") == 0)
        return IX_TABLE_CSV;
    for (size_t i = 0; i < IX_ARRAY_LEN(json_names); i++) {
        size_t tail = strlen(json_names[i]);

        if (len > tail && strcmp(path + len - tail, json_names[i]) == 0)
            return IX_TABLE_JSON;
    }
    return first == '[' || first == '{' ? IX_TABLE_JSON : IX_TABLE_CSV;
}

static int index_file(struct ix_table_file *f, struct ix_error *err)
{
    const char *at = f->map.data, *end = at + f->map.len, *first;
    int rc;

    if (f->map.len >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) /* byte order mark */
        at += 3;
    first = ix_json_space(at, end);
    f->format = format_of(f->path, first < end ? *first : '\0');
    if (f->format == IX_TABLE_CSV)
        rc = ix_table_index_csv(f, at, end, err);
    else
        rc = first < end ? ix_table_index_json(f, first, end, err) : 0;
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

static bool is_same(const struct ix_table_file *f, const char *path, const char *column,
                    enum ix_table_format format, const struct stat *info)
{
    if (strcmp(f->path, path) != 0 || (f->format == IX_TABLE_RAW) != (format == IX_TABLE_RAW))
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

static int open_as(const char *path, const char *column, enum ix_table_format format,
                   struct ix_table_file **out, struct ix_error *err)
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
    if (rc == 0 && format != IX_TABLE_RAW)
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
    return open_as(path, column, IX_TABLE_CSV, out, err);
}

int ix_table_file_open_raw(const char *path, struct ix_table_file **out, struct ix_error *err)
{
    return open_as(path, NULL, IX_TABLE_RAW, out, err);
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
    return ix_table_line_of(file, file->map.data + file->offsets[row]);
}

size_t ix_table_file_room(const struct ix_table_file *file)
{
    return file->longest + 1;
}

int ix_table_file_cell(const struct ix_table_file *file, uint64_t row, char *room, struct ix_cell *out)
{
    const char *at = file->map.data + file->offsets[row], *end = file->map.data + file->map.len;

    if (file->format == IX_TABLE_JSON)
        return ix_table_json_cell(at, end, room, out);
    *out = ix_table_csv_cell(file, at, end, room);
    return 0;
}
