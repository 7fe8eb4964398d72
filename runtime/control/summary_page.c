/* Columns, colours and line breaks of the summary. */
#include "control/summary_page.h"

#include "base/units.h"

#include <string.h>

#define LABEL_COLUMNS 16

void ix_page_paint(struct ix_page *page, const char *sequence)
{
    if (page->colour)
        ix_buf_str(page->out, sequence);
}

void ix_page_painted(struct ix_page *page, const char *sequence, const char *text)
{
    ix_page_paint(page, sequence);
    ix_buf_str(page->out, text);
    ix_page_paint(page, IX_PLAIN);
}

/* A text of the user's on one line: control characters would move the cursor. */
void ix_page_user_text(struct ix_buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f)
            ix_buf_char(out, c == '\t' || c == '\n' ? ' ' : '?');
        else
            ix_buf_char(out, *text);
    }
}

size_t ix_page_columns(const char *text, size_t len)
{
    size_t columns = 0;
    for (size_t i = 0; i < len; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

/* Spaces from `start` of the line's text up to a column. */
void ix_page_pad(struct ix_buf *out, size_t start, size_t column)
{
    size_t have = ix_page_columns(out->data + start, out->len - start);
    do
        ix_buf_char(out, ' ');
    while (++have < column);
}

void ix_page_pad_or_break(struct ix_buf *out, size_t start, size_t column)
{
    if (ix_page_columns(out->data + start, out->len - start) < column) {
        ix_page_pad(out, start, column);
        return;
    }
    ix_buf_str(out, "\n  "); /* the margin that was before `start` */
    start = out->len;
    ix_page_pad(out, start, column);
}

/* Right-aligned in `width` columns. */
void ix_page_right(struct ix_buf *out, const struct ix_buf *cell, size_t width)
{
    const char *text = ix_buf_cstr(cell);
    for (size_t have = ix_page_columns(text, cell->len); have < width; have++)
        ix_buf_char(out, ' ');
    ix_buf_str(out, text);
}

void ix_page_count_right(struct ix_buf *out, uint64_t count, size_t width)
{
    struct ix_buf cell;
    ix_buf_init(&cell, 64);
    ix_units_put_count(&cell, count);
    ix_page_right(out, &cell, width);
    ix_buf_deinit(&cell);
}

void ix_page_duration_right(struct ix_buf *out, uint64_t ns, size_t width)
{
    struct ix_buf cell;
    ix_buf_init(&cell, 64);
    ix_units_put_duration(&cell, ns);
    ix_page_right(out, &cell, width);
    ix_buf_deinit(&cell);
}

void ix_page_count_of(struct ix_buf *out, uint64_t count, const char *one, const char *many)
{
    ix_units_put_count(out, count);
    ix_buf_printf(out, " %s", count == 1 ? one : many);
}

void ix_page_heading(struct ix_page *page, const char *text)
{
    ix_buf_char(page->out, '\n');
    ix_page_painted(page, IX_BOLD, text);
}

/* "  label           ": what follows starts at the same column. */
void ix_page_label(struct ix_page *page, const char *text)
{
    ix_buf_printf(page->out, "  %-*s ", LABEL_COLUMNS, text);
}

/* Text broken at spaces, with an indent. */
void ix_page_wrapped(struct ix_buf *out, const char *text, size_t indent)
{
    size_t column = 0;
    while (*text) {
        size_t len = strcspn(text, " ");
        size_t columns = ix_page_columns(text, len);
        if (column && column + 1 + columns > IX_PAGE_WIDTH) {
            ix_buf_char(out, '\n');
            column = 0;
        }
        if (column == 0) {
            for (size_t i = 0; i < indent; i++)
                ix_buf_char(out, ' ');
            column = indent;
        } else {
            ix_buf_char(out, ' ');
            column++;
        }
        ix_buf_put(out, text, len);
        column += columns;
        text += len;
        text += *text == ' ';
    }
    ix_buf_char(out, '\n');
}
