/* One column of a data file, shared by every generator of the process that names it.
 *
 * The file stays mapped and a table of offsets, 8 bytes a row, leads to each cell: memory does not grow with
 * the length of rows, and a cell is found in constant time. */
#ifndef IX_GENERATOR_TABLE_H
#define IX_GENERATOR_TABLE_H

#include "model/model.h"

struct ix_table_file;

/* A cell as it stands in the file. */
struct ix_cell {
    const char *data; /* without quotes: in the file, or in the reader's room; not NUL-terminated */
    size_t len;
    bool quoted; /* a JSON string or quoted CSV cell: text even if it looks like a number */
};

/* `path` as from ix_model_data_file; `column` NULL: the first. Every open needs a close. */
int ix_table_file_open(const char *path, const char *column, struct ix_table_file **out,
                       struct ix_error *err);
void ix_table_file_close(struct ix_table_file *file);

/* At least 1. */
uint64_t ix_table_file_rows(const struct ix_table_file *file);
/* Bytes that a reader must offer as room: quoted cells are put there without quotes and escapes. */
size_t ix_table_file_room(const struct ix_table_file *file);
/* -EINVAL if the cell cannot be read. */
int ix_table_file_cell(const struct ix_table_file *file, uint64_t row, char *room, struct ix_cell *out);
/* Line of the file in which a row begins, for messages (slow). */
uint64_t ix_table_file_line(const struct ix_table_file *file, uint64_t row);

/* The raw contents of a file, shared likewise. */
int ix_table_file_open_raw(const char *path, struct ix_table_file **out, struct ix_error *err);
const char *ix_table_file_data(const struct ix_table_file *file, size_t *len);

#endif
