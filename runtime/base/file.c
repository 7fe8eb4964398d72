#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail_path(struct ix_error *err, const char *verb, const char *path, int code)
{
    return ix_fail(err, -code, "can't %s %s: %s", verb, path, strerror(code));
}

/* O_NONBLOCK: opening a named pipe must not wait for a writer. */
static int open_regular(const char *path, struct stat *info, struct ix_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail_path(err, "read", path, errno);
    if (fstat(fd, info) == 0 && S_ISREG(info->st_mode))
        return fd;
    close(fd);
    return ix_fail(err, S_ISDIR(info->st_mode) ? -EISDIR : -EINVAL, "can't read %s: it is %s", path,
                   S_ISDIR(info->st_mode) ? "a folder" : "not a regular file");
}

int ix_file_read(const char *path, size_t max, char **text, size_t *len, struct ix_error *err)
{
    struct stat info;
    int fd = open_regular(path, &info, err);
    if (fd < 0)
        return fd;
    size_t cap = (uint64_t)info.st_size < max ? (size_t)info.st_size : max;
    char *data = ix_malloc(cap + 2); /* one byte to notice growth, one for the NUL */
    size_t have = 0;
    int rc = 0;
    for (;;) {
        ssize_t got = read(fd, data + have, cap + 1 - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = fail_path(err, "read", path, errno);
        if (got <= 0)
            break;
        have += (size_t)got;
        if (have <= cap)
            continue;
        if (cap == max) {
            rc = ix_fail(err, -EFBIG, "%s is too large: at most %zu bytes are read", path, max);
            break;
        }
        cap = cap > max / 2 ? max : cap * 2 + 4096;
        if (cap > max)
            cap = max;
        data = ix_realloc(data, cap + 2);
    }
    close(fd);
    if (rc < 0) {
        free(data);
        return rc;
    }
    data[have] = '\0';
    *text = data;
    *len = have;
    return 0;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t put = write(fd, data, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        data += put;
        len -= (size_t)put;
    }
    return 0;
}

/* Devices and pipes such as /dev/stdout are written as they are: a rename would replace them. */
static int write_special(const char *path, const void *data, size_t len, struct ix_error *err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_path(err, "write", path, errno);
    int rc = write_all(fd, data, len);
    close(fd);
    return rc < 0 ? fail_path(err, "write", path, -rc) : 0;
}

static void sync_folder(const char *path)
{
    char *folder = ix_file_dirname(path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); /* some file systems refuse it; the file itself is safe */
        close(fd);
    }
    free(folder);
}

/* `mode` 0: what the umask allows. */
static int write_beside(const char *path, mode_t mode, const void *data, size_t len)
{
    char *temporary = ix_asprintf("%s.%d.tmp", path, (int)getpid());
    int rc = 0;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) {
        rc = -errno;
        free(temporary);
        return rc;
    }
    if (mode && fchmod(fd, mode) < 0)
        rc = -errno;
    if (rc == 0)
        rc = write_all(fd, data, len);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(temporary, path) < 0)
        rc = -errno;
    if (rc < 0)
        unlink(temporary);
    else
        sync_folder(path);
    free(temporary);
    return rc;
}

int ix_file_write(const char *path, const void *data, size_t len, struct ix_error *err)
{
    struct stat info;
    bool exists = stat(path, &info) == 0;
    if (exists && !S_ISREG(info.st_mode))
        return write_special(path, data, len, err);
    /* Through a symlink the file it names is replaced, not the link. */
    char *real = exists ? realpath(path, NULL) : NULL;
    int rc = write_beside(real ? real : path, exists ? info.st_mode & 07777 : 0, data, len);
    free(real);
    return rc < 0 ? fail_path(err, "write", path, -rc) : 0;
}

int ix_file_check_writable(const char *path, struct ix_error *err)
{
    struct stat info;
    bool exists = stat(path, &info) == 0;
    if (exists && S_ISDIR(info.st_mode))
        return fail_path(err, "write", path, EISDIR);
    if (exists && !S_ISREG(info.st_mode))
        return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0 ? fail_path(err, "write", path, errno) : 0;
    char *real = exists ? realpath(path, NULL) : NULL;
    char *folder = ix_file_dirname(real ? real : path);
    int code = 0;
    if (stat(folder, &info) < 0)
        code = fail_path(err, "write", path, errno);
    else if (!S_ISDIR(info.st_mode))
        code = fail_path(err, "write", path, ENOTDIR);
    else if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) < 0)
        code = fail_path(err, "write", path, errno);
    free(folder);
    free(real);
    return code;
}

int ix_file_map(const char *path, struct ix_map *map, struct ix_error *err)
{
    struct stat info;
    int fd = open_regular(path, &info, err);
    if (fd < 0)
        return fd;
    *map = (struct ix_map){"", 0};
    int rc = 0;
    if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            rc = fail_path(err, "map", path, errno);
        else
            *map = (struct ix_map){data, (size_t)info.st_size};
    }
    close(fd);
    return rc;
}

void ix_file_unmap(struct ix_map *map)
{
    if (map->len)
        munmap((void *)map->data, map->len);
    *map = (struct ix_map){"", 0};
}

/* True if a relative name steps out of its folder by "..", whatever exists there. */
static bool climbs_out(const char *name)
{
    long depth = 0;
    while (*name) {
        size_t len = strcspn(name, "/");
        if (len == 2 && name[0] == '.' && name[1] == '.')
            depth--;
        else if (len && !(len == 1 && name[0] == '.'))
            depth++;
        if (depth < 0)
            return true;
        name += len + (name[len] == '/');
    }
    return false;
}

static bool inside(const char *folder, const char *path)
{
    size_t len = strlen(folder);
    if (len == 1) /* "/" */
        return true;
    return strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static int fail_outside(struct ix_error *err, const char *name, const char *root)
{
    return ix_fail(err, -EPERM, "%s is outside of %s; nothing outside that folder is read", name, root);
}

int ix_file_resolve(const char *root, const char *name, char **path, struct ix_error *err)
{
    char *folder = realpath(root, NULL);
    if (!folder)
        return fail_path(err, "open the folder", root, errno);
    int rc = 0;
    /* Refused by its text first: an answer must not tell which files exist outside. */
    if (name[0] == '/' ? !inside(root, name) && !inside(folder, name) : climbs_out(name)) {
        rc = fail_outside(err, name, root);
        free(folder);
        return rc;
    }
    char *joined = name[0] == '/' ? ix_strdup(name) : ix_asprintf("%s/%s", folder, name);
    char *real = realpath(joined, NULL);
    if (!real && (errno == ENOENT || errno == ENOTDIR))
        rc = ix_fail(err, -ENOENT, "there is no file %s in %s", name, root);
    else if (!real)
        rc = fail_path(err, "read", joined, errno);
    else if (!inside(folder, real))
        rc = fail_outside(err, name, root);
    free(joined);
    free(folder);
    if (rc < 0)
        free(real);
    else
        *path = real;
    return rc;
}

char *ix_file_dirname(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return ix_strdup(".");
    while (slash > path && slash[-1] == '/')
        slash--;
    return slash == path ? ix_strdup("/") : ix_strndup(path, (size_t)(slash - path));
}
