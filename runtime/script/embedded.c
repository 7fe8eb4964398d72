#include "script/embedded.h"

#include <string.h>

const struct ix_embedded *ix_embedded_find(const char *path)
{
    for (const struct ix_embedded *file = ix_embedded_files; file->path; file++)
        if (strcmp(file->path, path) == 0)
            return file;
    return NULL;
}
