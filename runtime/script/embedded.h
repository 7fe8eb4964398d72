/* Files that the build puts into the binary: Lua modules as bytecode, models as text. */
#ifndef IX_SCRIPT_EMBEDDED_H
#define IX_SCRIPT_EMBEDDED_H

#include <stddef.h>

struct ix_embedded {
    const char *path; /* as in the source tree: "lua/iotix/init.lua" */
    const char *data;
    size_t len;
};

extern const struct ix_embedded ix_embedded_files[]; /* ends with path NULL; sorted by path */

/* NULL if there is none. */
const struct ix_embedded *ix_embedded_find(const char *path);

#endif
