/* Values from a file: one row, or one frame of bytes, per tick. */
#include "generator/classes.h"

#include "generator/table.h"

#include <math.h>
#include <stdlib.h>

struct replay {
    struct ix_table_file *file;
    char *room;     /* for quoted cells; owned */
    uint64_t count; /* rows or frames */
    const char *bytes;
    size_t frame;
};

static int open_frames(struct replay *r, const struct ix_generator_spec *spec, struct ix_error *err)
{
    size_t len;

    r->bytes = ix_table_file_data(r->file, &len);
    r->frame = spec->frame_bytes ? spec->frame_bytes : len;
    r->count = r->frame ? len / r->frame : 0;
    if (r->count == 0)
        return ix_fail(err, -EINVAL, "%s holds %zu bytes: less than one frame of %zu", spec->file, len,
                       r->frame ? r->frame : 1);
    if (len % r->frame != 0)
        return ix_fail(err, -EINVAL, "%s holds %zu bytes: not a multiple of frameBytes, %zu", spec->file, len,
                       r->frame);
    return 0;
}

static int replay_open(struct ix_generator *g, const struct ix_model *model, struct ix_error *err)
{
    const struct ix_generator_spec *spec = g->spec;
    bool binary = spec->type == IX_TYPE_BINARY;
    struct replay *r;
    char *path;
    int rc = ix_model_data_file(model, spec->file, &path, err);

    if (rc < 0)
        return rc;
    r = ix_calloc(1, sizeof(*r));
    rc = binary ? ix_table_file_open_raw(path, &r->file, err)
                : ix_table_file_open(path, spec->column, &r->file, err);
    free(path);
    if (rc == 0 && binary)
        rc = open_frames(r, spec, err);
    if (rc == 0 && !binary) {
        r->count = ix_table_file_rows(r->file);
        r->room = ix_malloc(ix_table_file_room(r->file));
    }
    if (rc < 0) {
        ix_table_file_close(r->file);
        free(r);
        return rc;
    }
    g->data = r;
    return 0;
}

static void replay_close(struct ix_generator *g)
{
    struct replay *r = g->data;

    ix_table_file_close(r->file);
    free(r->room);
    free(r);
}

static bool is_word(const struct ix_cell *cell, const char *word)
{
    return cell->len == strlen(word) && strncasecmp(cell->data, word, cell->len) == 0;
}

static bool to_boolean(const struct ix_cell *cell, bool *value)
{
    double number;

    *value = is_word(cell, "true") || is_word(cell, "yes") || is_word(cell, "on");
    if (*value || is_word(cell, "false") || is_word(cell, "no") || is_word(cell, "off"))
        return true;
    if (!ix_value_parse_number(cell->data, cell->len, &number))
        return false;
    *value = number != 0;
    return true;
}

/* A whole number of up to 18 digits, exactly. The text ends where the file may end: no strtoll. */
static bool to_whole(const struct ix_cell *cell, int64_t *value)
{
    size_t i = cell->data[0] == '-';

    if (cell->len - i == 0 || cell->len - i > 18)
        return false;
    *value = 0;
    for (; i < cell->len; i++) {
        if (cell->data[i] < '0' || cell->data[i] > '9')
            return false;
        *value = *value * 10 + (cell->data[i] - '0');
    }
    *value = cell->data[0] == '-' ? -*value : *value;
    return true;
}

static size_t digits(const struct ix_cell *cell, size_t at)
{
    size_t i = at;

    while (i < cell->len && cell->data[i] >= '0' && cell->data[i] <= '9')
        i++;
    return i - at;
}

/* CSV files have numbers that JSON has not: 007, .5, 1.e3. */
static bool is_json_number(const struct ix_cell *cell)
{
    size_t at = cell->data[0] == '-', count = digits(cell, at);

    if (count == 0 || (count > 1 && cell->data[at] == '0'))
        return false;
    at += count;
    if (at < cell->len && cell->data[at] == '.') {
        count = digits(cell, at + 1);
        if (count == 0)
            return false;
        at += 1 + count;
    }
    if (at < cell->len && (cell->data[at] == 'e' || cell->data[at] == 'E')) {
        at++;
        at += at < cell->len && (cell->data[at] == '+' || cell->data[at] == '-');
        count = digits(cell, at);
        if (count == 0)
            return false;
        at += count;
    }
    return at == cell->len;
}

static bool to_number(const struct ix_generator_spec *spec, const struct ix_cell *cell, struct ix_value *out)
{
    double number, scale;
    struct ix_cell plain = *cell;

    if (plain.len > 1 && plain.data[0] == '+') {
        plain.data++;
        plain.len--;
    }
    if (!ix_value_parse_number(plain.data, plain.len, &number))
        return false;
    if (spec->type == IX_TYPE_INTEGER) {
        if (!(fabs(number) < 0x1p63))
            return false;
        out->kind = IX_V_INTEGER;
        if (!to_whole(&plain, &out->integer))
            out->integer = (int64_t)round(number);
    } else if (spec->decimals < 0 && is_json_number(&plain)) {
        out->kind = IX_V_JSON;
        out->text.data = plain.data;
        out->text.len = plain.len;
    } else {
        scale = spec->decimals < 0 ? 0 : ix_power_of_ten(spec->decimals);
        out->kind = IX_V_NUMBER;
        out->decimals = spec->decimals;
        out->number = scale != 0 && fabs(number * scale) < 0x1p52 ? rint(number * scale) / scale : number;
    }
    return true;
}

static int fail_cell(const struct replay *r, const struct ix_generator_spec *spec, uint64_t row,
                     const struct ix_cell *cell, struct ix_error *err)
{
    unsigned long long line = ix_table_file_line(r->file, row);

    if (cell->len == 0)
        return ix_fail(err, -ENODATA, "%s, line %llu: no value", spec->file, line);
    return ix_fail(err, -EINVAL, "%s, line %llu: \"%.*s\" is not a value of type %s", spec->file, line,
                   (int)(cell->len < 40 ? cell->len : 40), cell->data, ix_type_names[spec->type]);
}

static int replay_sample(const struct ix_generator *g, const struct ix_draw *draw, struct ix_value *out,
                         struct ix_error *err)
{
    const struct replay *r = g->data;
    const struct ix_generator_spec *spec = g->spec;
    uint64_t row = spec->loop ? draw->tick % r->count : draw->tick < r->count ? draw->tick : r->count - 1;
    struct ix_cell cell;
    bool boolean;

    if (r->bytes) {
        out->kind = IX_V_BYTES;
        out->text.data = r->bytes + row * r->frame;
        out->text.len = r->frame;
        return 0;
    }
    if (ix_table_file_cell(r->file, row, r->room, &cell) < 0)
        return ix_fail(err, -EINVAL, "%s, line %llu: malformed value", spec->file,
                       (unsigned long long)ix_table_file_line(r->file, row));
    switch (spec->type) {
    case IX_TYPE_STRING:
        out->kind = IX_V_STRING;
        out->text.data = cell.data;
        out->text.len = cell.len;
        return 0;
    case IX_TYPE_BOOLEAN:
        if (!to_boolean(&cell, &boolean))
            return fail_cell(r, spec, row, &cell, err);
        out->kind = IX_V_BOOLEAN;
        out->boolean = boolean;
        return 0;
    default:
        return to_number(spec, &cell, out) ? 0 : fail_cell(r, spec, row, &cell, err);
    }
}

const struct ix_generator_class ix_generator_replay = {
    .name = "replay",
    .pure = true,
    .open = replay_open,
    .close = replay_close,
    .sample = replay_sample,
};
