/* Columns, colours and line breaks of the summary. */
#ifndef IX_CONTROL_SUMMARY_PAGE_H
#define IX_CONTROL_SUMMARY_PAGE_H

#include "control/result.h"

#define IX_PAGE_WIDTH 80

#define IX_RED    "\x1b[31m"
#define IX_GREEN  "\x1b[32m"
#define IX_YELLOW "\x1b[33m"
#define IX_BOLD   "\x1b[1m"
#define IX_PLAIN  "\x1b[0m"

struct ix_page {
    struct ix_buf *out;
    bool colour;
};

/* A sequence from above, if the page has colours. */
void ix_page_paint(struct ix_page *page, const char *sequence);
void ix_page_painted(struct ix_page *page, const char *sequence, const char *text);
void ix_page_heading(struct ix_page *page, const char *text);
/* "  label           ": what follows starts at the same column. */
void ix_page_label(struct ix_page *page, const char *text);

/* A text of the user's on one line: control characters would move the cursor. */
void ix_page_user_text(struct ix_buf *out, const char *text);
/* Columns that a text takes, one for each character. */
size_t ix_page_columns(const char *text, size_t len);
/* At least one space, up to `column` columns behind `start` of the buffer. */
void ix_page_pad(struct ix_buf *out, size_t start, size_t column);
/* The same, but a text that is too long for the column gets a line of its own, so that figures stay below each other. */
void ix_page_pad_or_break(struct ix_buf *out, size_t start, size_t column);
/* Right-aligned in `width` columns. */
void ix_page_right(struct ix_buf *out, const struct ix_buf *cell, size_t width);
void ix_page_count_right(struct ix_buf *out, uint64_t count, size_t width);
void ix_page_duration_right(struct ix_buf *out, uint64_t ns, size_t width);
/* "1 check", "1,000 checks". */
void ix_page_count_of(struct ix_buf *out, uint64_t count, const char *one, const char *many);
/* Text broken at spaces, with an indent. */
void ix_page_wrapped(struct ix_buf *out, const char *text, size_t indent);

/* The sections of figures (summary_figures.c). */
void ix_page_figures(struct ix_page *page, const struct ix_result *result);
/* What observers saw of the messages (summary_delivery.c). */
void ix_page_delivery(struct ix_page *page, const struct ix_result *result);

#endif
