/* Files as whole texts and read-only maps. */
#ifndef IX_BASE_FILE_H
#define IX_BASE_FILE_H

#include "base/buf.h"

/* Reads a whole regular file, at most `max` bytes, NUL-terminated; the caller frees *text. */
int ix_file_read(const char *path, size_t max, char **text, size_t *len, struct ix_error *err);

/* Writes a file whole: temporary file beside it, fsync, rename. An existing file is replaced or kept whole.
 */
int ix_file_write(const char *path, const void *data, size_t len, struct ix_error *err);

/* Whether ix_file_write would find its folder and be allowed to write there: an error before the work, not after. */
int ix_file_check_writable(const char *path, struct ix_error *err);

struct ix_map {
    const char *data;
    size_t len;
};

/* Maps a regular file read-only; an empty file gives len 0 and data "". */
int ix_file_map(const char *path, struct ix_map *map, struct ix_error *err);
void ix_file_unmap(struct ix_map *map);

/* Resolves `name` inside folder `root`, symlinks followed and checked: *path (freed by the caller) is
 * inside root, else -EPERM; -ENOENT if there is no such file. */
int ix_file_resolve(const char *root, const char *name, char **path, struct ix_error *err);

/* The folder part of a path ("." if none); the caller frees it. */
char *ix_file_dirname(const char *path);

#endif
