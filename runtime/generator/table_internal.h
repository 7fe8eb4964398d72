/* What the files of a table share: table.c opens files, keeps them and gives their cells; table_csv.c and
 * table_json.c find where the cells are. */
#ifndef IX_GENERATOR_TABLE_INTERNAL_H
#define IX_GENERATOR_TABLE_INTERNAL_H

#include "base/file.h"
#include "generator/table.h"

#include <sys/stat.h>

enum ix_table_format { IX_TABLE_RAW, IX_TABLE_CSV, IX_TABLE_JSON };

struct ix_table_file {
    struct ix_table_file *next;
    char *path;
    char *column; /* NULL: the first, or raw */
    enum ix_table_format format;
    unsigned references;
    dev_t device; /* a file that changed since is another file */
    ino_t inode;
    struct timespec changed;
    struct ix_map map;
    bool mapped;       /* else embedded */
    uint64_t *offsets; /* of the column's cells */
    uint64_t count, capacity;
    char separator; /* of CSV */
    size_t longest; /* cell in bytes, of those that need unescaping */
};

/* The next row's cell is [cell, stop), within the map. */
void ix_table_add_row(struct ix_table_file *f, const char *cell, const char *stop);
/* The line of a place in the map; the first is 1. */
uint64_t ix_table_line_of(const struct ix_table_file *f, const char *at);

/* Find the cells of f->column in [at, end), the file behind its byte order mark. Errors name file, line and what there
 * is instead. `at` of JSON: its first character that is no white space. */
int ix_table_index_csv(struct ix_table_file *f, const char *at, const char *end, struct ix_error *err);
int ix_table_index_json(struct ix_table_file *f, const char *at, const char *end, struct ix_error *err);

/* The characters of the cell at `at`; `room` (f->longest bytes) takes those of a quoted one. */
struct ix_cell ix_table_csv_cell(const struct ix_table_file *f, const char *at, const char *end, char *room);
int ix_table_json_cell(const char *at, const char *end, char *room, struct ix_cell *out);

#endif
