#include "control/data_dir.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int ix_data_dir_path(const char *option, char **path, struct ix_error *err)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (option && *option)
        *path = ix_strdup(option);
    else if (option)
        return ix_fail(err, -EINVAL, "--data-dir names no folder");
    else if (state && state[0] == '/')
        *path = ix_asprintf("%s/iotix", state);
    else if (home && home[0] == '/')
        *path = ix_asprintf("%s/.local/state/iotix", home);
    else
        return ix_fail(err, -ENOENT,
                       "no place for data: neither HOME nor XDG_STATE_HOME names one; give --data-dir");
    return 0;
}

static int cannot_make(const char *path, int code, struct ix_error *err)
{
    return ix_fail(err, code, "can't make the data folder \"%s\": %s; --data-dir names another one", path,
                   strerror(-code));
}

/* The folder and those above it that are missing. */
static int make_all(char *path, struct ix_error *err)
{
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at)
            continue;
        char kept = *at;
        *at = '\0';
        int code = mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
        /* Above there may be folders that exist and can't be written to: only the last one has to work. */
        if (code < 0 && (!kept || (code != -EROFS && code != -EACCES && code != -EPERM)))
            return cannot_make(path, code, err);
        *at = kept;
        if (!kept)
            return 0;
    }
}

static int check(const char *path, struct ix_error *err)
{
    struct stat info;
    if (stat(path, &info) < 0)
        return cannot_make(path, -errno, err);
    if (!S_ISDIR(info.st_mode))
        return cannot_make(path, -ENOTDIR, err);
    if (access(path, W_OK | X_OK) < 0)
        return ix_fail(err, -errno, "can't write to the data folder \"%s\": %s; --data-dir names another one",
                       path, strerror(errno));
    return 0;
}

static int open_path(char **path, struct ix_error *err)
{
    int code = make_all(*path, err);
    if (code == 0)
        code = check(*path, err);
    if (code < 0) {
        free(*path);
        *path = NULL;
    }
    return code;
}

int ix_data_dir_open(const char *option, char **path, struct ix_error *err)
{
    int code = ix_data_dir_path(option, path, err);
    return code < 0 ? code : open_path(path, err);
}

int ix_data_dir_sub(const char *data_dir, const char *name, char **path, struct ix_error *err)
{
    *path = ix_asprintf("%s/%s", data_dir, name);
    return open_path(path, err);
}
