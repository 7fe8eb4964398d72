/* Tables as CSV (RFC 4180): a header line with the names of the columns, then a row in each line. */
#include "base/buf.h"
#include "base/suggest.h"
#include "generator/table_internal.h"

#include <stdlib.h>

#define COLUMNS_MAX 4096

/* Past a CSV cell (RFC 4180): to the separator, line end or end of file behind it. NULL: an open quote. */
static const char *skip_cell(const struct ix_table_file *f, const char *at, const char *end)
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

static const char *next_line(const char *at, const char *end)
{
    if (at < end && *at == '\r')
        at++;
    if (at < end && *at == '\n')
        at++;
    return at;
}

struct ix_cell ix_table_csv_cell(const struct ix_table_file *f, const char *at, const char *end, char *room)
{
    struct ix_cell cell = {.data = at};
    char *out = room;

    if (at >= end || *at != '"') {
        cell.len = (size_t)(skip_cell(f, at, end) - at);
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
static const char *read_header(struct ix_table_file *f, const char *at, const char *end, struct header *h)
{
    h->names = ix_calloc(COLUMNS_MAX, sizeof(h->names[0]));
    for (;;) {
        const char *stop = skip_cell(f, at, end);
        struct ix_cell cell;
        char *room;

        if (!stop)
            return NULL;
        room = ix_malloc((size_t)(stop - at) + 1);
        cell = ix_table_csv_cell(f, at, end, room);
        if (h->count < COLUMNS_MAX)
            h->names[h->count++] = ix_strndup(cell.data, cell.len);
        free(room);
        if (stop >= end || *stop != f->separator)
            return next_line(stop, end);
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
static const char *add_line(struct ix_table_file *f, const char *at, const char *end, size_t column,
                            struct ix_error *err)
{
    const char *line = at;

    for (size_t i = 0;; i++) {
        const char *stop = skip_cell(f, at, end);

        if (!stop) {
            ix_fail(err, -EINVAL, "%s, line %llu: a quoted cell has no end", f->path,
                    (unsigned long long)ix_table_line_of(f, line));
            return NULL;
        }
        if (i == column)
            ix_table_add_row(f, at, stop);
        if (stop < end && *stop == f->separator) {
            at = stop + 1;
            continue;
        }
        if (i < column) {
            ix_fail(err, -EINVAL, "%s, line %llu: the line ends after %zu of at least %zu cells", f->path,
                    (unsigned long long)ix_table_line_of(f, line), i + 1, column + 1);
            return NULL;
        }
        return next_line(stop, end);
    }
}

int ix_table_index_csv(struct ix_table_file *f, const char *at, const char *end, struct ix_error *err)
{
    struct header header = {0};
    size_t column = 0;
    int rc = 0;

    f->separator = find_separator(at, end);
    at = read_header(f, at, end, &header);
    if (!at)
        rc = ix_fail(err, -EINVAL, "%s: a quoted name in the header line has no end", f->path);
    while (rc == 0 && f->column && column < header.count && strcmp(header.names[column], f->column) != 0)
        column++;
    if (rc == 0 && column == header.count)
        rc = no_column(f, &header, err);
    header_deinit(&header);
    while (rc == 0 && at < end) {
        if (*at == '\n' || *at == '\r') { /* an empty line */
            at = next_line(at, end);
            continue;
        }
        at = add_line(f, at, end, column, err);
        if (!at)
            rc = -EINVAL;
    }
    return rc;
}
