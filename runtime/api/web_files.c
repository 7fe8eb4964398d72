#include "api/web_files.h"

#include <stdlib.h>
#include <string.h>

static int by_path(const void *path, const void *file)
{
    return strcmp(path, ((const struct ix_web_file *)file)->path);
}

const struct ix_web_file *ix_web_find(const char *path)
{
    return bsearch(path, ix_web_files, ix_web_file_count, sizeof *ix_web_files, by_path);
}
