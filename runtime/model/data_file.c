/* Where the files of models are. */
#include "model/model.h"

#include "base/file.h"

#include <stdlib.h>

#define DATA_PATH "/data"

static const char *(*embedded_find)(const char *name, size_t *len);

void ix_model_set_embedded(const char *(*find)(const char *name, size_t *len))
{
    embedded_find = find;
}

const char *ix_model_embedded(const char *name, size_t *len)
{
    char *path = ix_asprintf("models/%s", name);
    const char *data = embedded_find ? embedded_find(path, len) : NULL;

    free(path);
    return data;
}

static const char *relative(const char *name)
{
    return name + strspn(name, "/");
}

static int in_embedded(const char *name, char **path, struct ix_error *err)
{
    size_t len;

    if (!ix_model_embedded(relative(name), &len))
        return ix_fail(err, -ENOENT, "no file %s is part of this program", name);
    *path = ix_asprintf("%s%s", IX_MODEL_EMBEDDED, relative(name));
    return 0;
}

/* A name that begins with a data folder, or with the default one, continues inside of it. */
static int in_data_folder(const char *folder, const char *name, char **path, struct ix_error *err)
{
    const char *const folders[] = {folder, DATA_PATH};

    for (size_t i = 0; i < IX_ARRAY_LEN(folders); i++) {
        size_t len = strlen(folders[i]);

        while (len > 1 && folders[i][len - 1] == '/')
            len--;
        if (strncmp(name, folders[i], len) == 0 && name[len] == '/')
            return ix_file_resolve(folder, relative(name + len), path, err);
    }
    return ix_file_resolve(folder, relative(name), path, err);
}

int ix_model_data_file(const struct ix_model *model, const char *name, char **path, struct ix_error *err)
{
    const char *data_path = getenv("IOTIX_DATA_PATH");
    struct ix_buf looked;
    bool outside = false;
    int rc = -ENOENT;

    *path = NULL;
    ix_buf_init(&looked, 4096);
    if (model->folder) {
        bool embedded = strcmp(model->folder, IX_MODEL_EMBEDDED) == 0;

        rc = embedded ? in_embedded(name, path, err)
                      : ix_file_resolve(model->folder, relative(name), path, err);
        ix_buf_printf(&looked, "%s", embedded ? "the embedded models" : model->folder);
        outside = rc == -EPERM;
    }
    if (!data_path || !data_path[0])
        data_path = DATA_PATH;
    for (const char *at = data_path; rc < 0 && *at;) {
        size_t len = strcspn(at, ":");
        char *folder = ix_strndup(at, len);

        if (len > 0) {
            rc = in_data_folder(folder, name, path, err);
            ix_buf_printf(&looked, "%s%s", looked.len ? ", " : "", folder);
            outside = outside || rc == -EPERM;
        }
        free(folder);
        at += len + (at[len] == ':');
    }
    if (rc < 0 && outside)
        rc = ix_fail(err, -EPERM, "%s lies outside of %s; nothing outside is read", name,
                     ix_buf_cstr(&looked));
    else if (rc < 0)
        rc = ix_fail(
            err, -ENOENT,
            "there is no file %s in %s; put it beside the model, or name its folder in IOTIX_DATA_PATH", name,
            ix_buf_cstr(&looked));
    ix_buf_deinit(&looked);
    return rc;
}
