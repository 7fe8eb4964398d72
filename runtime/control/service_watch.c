/* Models of files: read at the start, and again when their folder changes. A faulty file is reported, and what was
 * read of it before stays. */
#include "control/service_internal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "base/units.h"
#include "script/embedded.h"

#include <dirent.h>
#include <stdlib.h>

#define MODEL_MAX  (16u << 20)
#define FILES_MAX  10000
#define SETTLES_NS (200 * IX_MS) /* editors and copies write in pieces */

struct reading {
    struct ix_service *service;
    bool first;
    bool again; /* second look at those that failed: the model of a child may have come meanwhile */
    size_t failed;
    json_t *seen; /* path: id of what was found */
};

static bool is_json_name(const char *name)
{
    size_t len = strlen(name);
    return len > 5 && name[0] != '.' && strcmp(name + len - 5, ".json") == 0;
}

static struct model_entry *of_file(const struct ix_service *service, const char *path)
{
    for (struct model_entry *m = service->models; m; m = m->next)
        if (m->layer == LAYER_FILE && strcmp(m->path, path) == 0)
            return m;
    return NULL;
}

static struct model_entry *of_layer(const struct ix_service *service, const char *id, enum layer layer)
{
    for (struct model_entry *m = service->models; m; m = m->next)
        if (m->layer == layer && strcmp(m->id, id) == 0)
            return m;
    return NULL;
}

/* The id in a text, if another file has it already. */
static bool is_taken(struct reading *r, const char *path, const char *text, size_t len)
{
    json_t *json = ix_model_read(&text, &len, NULL);
    const char *id = json_string_value(json_object_get(json, "id"));
    const struct model_entry *other = id ? of_layer(r->service, id, LAYER_FILE) : NULL;
    bool taken = other && strcmp(other->path, path) != 0 && json_object_get(r->seen, other->path);
    if (taken && !r->again)
        ix_log(IX_LOG_WARN, "%s: model \"%s\" was read from %s already; this one is left out", path, id,
               other->path);
    json_decref(json);
    return taken;
}

static void read_text(struct reading *r, const char *path, const char *folder, const char *text, size_t len)
{
    struct model_entry *old = of_file(r->service, path);
    struct ix_faults faults;
    struct ix_error err;
    json_object_set_new(r->seen, path, json_true());
    if ((old && old->hash == ix_hash64(text, len)) || is_taken(r, path, text, len))
        return;
    ix_faults_init(&faults);
    char *old_id = old ? ix_strdup(old->id) : NULL;
    struct model_entry *m = ix_service_add_model(r->service, LAYER_FILE, path, folder, text, len,
                                                 ix_service_wall_ms(r->service), &faults, &err);
    if (!m) {
        r->failed++;
        if (r->again)
            ix_log(IX_LOG_ERROR, "%s%s", err.text, old_id ? "\n  what was read of it before stays" : "");
    } else {
        if (!r->first)
            ix_log(IX_LOG_INFO, "model \"%s\" was read%s from %s", m->id, old_id ? " again" : "", path);
        if (old_id && strcmp(old_id, m->id) != 0 && !ix_service_users_of(r->service, old_id))
            ix_service_drop_model(r->service, of_layer(r->service, old_id, LAYER_FILE));
        ix_service_tell_change(r->service, "models", m->id);
    }
    free(old_id);
    ix_faults_deinit(&faults);
}

static void read_folder(struct reading *r, const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, NULL, alphasort);
    struct ix_error err;
    if (count < 0 && !r->again)
        ix_log(IX_LOG_WARN, "models of %s can't be read: %s", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        char *text, *path = ix_asprintf("%s/%s", folder, entries[i]->d_name);
        size_t len;
        if (!is_json_name(entries[i]->d_name) || i > FILES_MAX)
            ;
        else if (ix_file_read(path, MODEL_MAX, &text, &len, &err) == 0) {
            read_text(r, path, folder, text, len);
            free(text);
        } else if (!r->again) {
            json_object_set_new(r->seen, path, json_true()); /* it is there: what was read of it stays */
            ix_log(IX_LOG_ERROR, "%s", err.text);
        }
        free(path);
        free(entries[i]);
    }
    free(entries);
}

/* Files that went away take their models with them, unless devices use them. */
static void drop_unseen(struct reading *r)
{
    struct model_entry *next;
    for (struct model_entry *m = r->service->models; m; m = next) {
        next = m->next;
        if (m->layer != LAYER_FILE || json_object_get(r->seen, m->path))
            continue;
        bool is_only =
            ix_service_find_model(r->service, m->id) == m && !(next && strcmp(next->id, m->id) == 0);
        if (is_only && ix_service_users_of(r->service, m->id)) {
            ix_log_repeat(IX_LOG_WARN, m->id, "its file is gone; the model stays while devices use it");
            continue;
        }
        ix_log(IX_LOG_INFO, "model \"%s\" is gone with %s", m->id, m->path);
        char *id = ix_strdup(m->id);
        ix_service_drop_model(r->service, m);
        ix_service_tell_change(r->service, "models", id);
        free(id);
    }
}

static void read_shipped(struct ix_service *service)
{
    for (const struct ix_embedded *e = ix_embedded_files; e->path; e++) {
        struct ix_faults faults;
        struct ix_error err;
        const char *text = e->data;
        size_t len = e->len;
        if (strncmp(e->path, "models/", 7) != 0 || !is_json_name(e->path + 7))
            continue;
        json_t *json = ix_model_read(&text, &len, NULL);
        bool is_model = json_is_string(json_object_get(json, "id")); /* the schema is not */
        json_decref(json);
        if (!is_model)
            continue;
        char *path = ix_asprintf("%s%s", IX_MODEL_EMBEDDED, e->path + 7);
        ix_faults_init(&faults);
        if (!ix_service_add_model(service, LAYER_SHIPPED, path, IX_MODEL_EMBEDDED, e->data, e->len,
                                  ix_service_wall_ms(service), &faults, &err))
            ix_log(IX_LOG_ERROR, "%s", err.text);
        ix_faults_deinit(&faults);
        free(path);
    }
}

void ix_service_read_folders(struct ix_service *service, bool first)
{
    struct reading r = {.service = service, .first = first, .seen = json_object()};
    if (first && !service->config.no_shipped_models)
        read_shipped(service);
    for (size_t i = 0; i < service->folder_count; i++)
        read_folder(&r, service->folders[i]);
    if (r.failed) {
        r.again = true;
        for (size_t i = 0; i < service->folder_count; i++)
            read_folder(&r, service->folders[i]);
    }
    drop_unseen(&r);
    json_decref(r.seen);
}

/* ---- changes ---- */

static void on_settled(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    ix_service_read_folders((struct ix_service *)((char *)entry - offsetof(struct ix_service, reload)),
                            false);
}

static void on_change(uv_fs_event_t *watch, const char *name, int events, int status)
{
    (void)events;
    struct ix_service *service = watch->data;
    bool link = name && strncmp(name, "..", 2) ==
                            0; /* folders that are swapped as a whole, as Kubernetes mounts them */
    if (status < 0 || (name && !is_json_name(name) && !link))
        return;
    ix_wheel_add(service->loop->wheel, &service->reload, ix_loop_update(service->loop) + SETTLES_NS);
}

void ix_service_watch_folders(struct ix_service *service)
{
    service->reload.fire = on_settled;
    service->watches = ix_calloc(service->folder_count + 1, sizeof(uv_fs_event_t *));
    for (size_t i = 0; i < service->folder_count; i++) {
        uv_fs_event_t *watch = ix_calloc(1, sizeof *watch);
        uv_fs_event_init(&service->loop->uv, watch);
        watch->data = service;
        service->watches[service->watch_count++] = watch;
        int code = uv_fs_event_start(watch, on_change, service->folders[i], 0);
        if (code < 0)
            ix_log(IX_LOG_WARN, "%s can't be watched (%s): changed models are read after SIGHUP",
                   service->folders[i], uv_strerror(code));
    }
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle);
}

void ix_service_watch_end(struct ix_service *service)
{
    ix_wheel_cancel(service->loop->wheel, &service->reload);
    for (size_t i = 0; i < service->watch_count; i++)
        uv_close((uv_handle_t *)service->watches[i], on_watch_closed);
    free(service->watches);
    service->watches = NULL;
    service->watch_count = 0;
}

void ix_service_reload(struct ix_service *service)
{
    ix_service_read_folders(service, false);
}
