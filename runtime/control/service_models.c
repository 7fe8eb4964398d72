/* The registry of models: those in the binary, those of files, and those that came over REST. */
#include "control/service_internal.h"

#include "base/log.h"
#include "base/random.h"

#include <stdlib.h>

struct model_entry *ix_service_find_model(const struct ix_service *service, const char *id)
{
    for (struct model_entry *m = service->models; m; m = m->next)
        if (strcmp(m->id, id) == 0)
            return m;
    return NULL;
}

static const char *child_text(void *context, const char *id, size_t *len)
{
    const struct model_entry *m = ix_service_find_model(context, id);
    if (m)
        *len = m->len;
    return m ? m->text : NULL;
}

static struct ix_models_config config_of(struct ix_service *service, enum layer layer)
{
    return (struct ix_models_config){.allowed_env = service->config.allowed_env,
                                     .allowed_env_count = service->config.allowed_env_count,
                                     .lenient = layer == LAYER_REST,
                                     .find_child = child_text,
                                     .context = service};
}

/* What goes to the service's brokers speaks TLS if they do. */
static int compile(struct ix_service *service, const struct model_entry *entry, const json_t *connection,
                   struct ix_faults *faults, struct ix_found_model *found, struct ix_error *err)
{
    struct ix_models_config config = config_of(service, entry->layer);
    char *shown = ix_asprintf("model \"%s\"", entry->id);
    int code = ix_models_compile(&config, entry->text, entry->len, entry->folder, shown, connection, faults,
                                 found, err);
    const char *own = json_string_value(json_object_get(connection, "broker"));
    if (code == 0 && service->brokers.tls && !found->model->connection.tls &&
        ix_brokers_is_shared(&service->brokers, found->model, own)) {
        json_t *with_tls = connection ? json_copy((json_t *)connection) : json_object();
        json_object_set_new(with_tls, "tls", json_true());
        ix_found_model_deinit(found);
        code = ix_models_compile(&config, entry->text, entry->len, entry->folder, shown, with_tls, faults,
                                 found, err);
        json_decref(with_tls);
    }
    free(shown);
    return code;
}

int ix_service_compile(struct ix_service *service, const struct model_entry *entry, const json_t *connection,
                       struct ix_found_model *found, struct ix_error *err)
{
    struct ix_faults faults;
    ix_faults_init(&faults);
    int code = compile(service, entry, connection, &faults, found, err);
    ix_faults_deinit(&faults);
    return code;
}

void ix_service_free_entry(struct model_entry *m)
{
    if (!m)
        return;
    json_decref(m->json);
    free(m->id);
    free(m->path);
    free(m->folder);
    free(m->text);
    free(m);
}

static void count_ids(struct ix_service *service)
{
    service->model_count = 0;
    const char *last = "";
    for (const struct model_entry *m = service->models; m; m = m->next) {
        service->model_count += strcmp(m->id, last) != 0;
        last = m->id;
    }
}

/* Sorted by id; of one id the highest layer first. Replaces the one of its id and layer. */
static void insert(struct ix_service *service, struct model_entry *fresh)
{
    struct model_entry **at = &service->models;
    int order = -1;
    while (*at && ((order = strcmp((*at)->id, fresh->id)) < 0 || (order == 0 && (*at)->layer > fresh->layer)))
        at = &(*at)->next;
    struct model_entry *old = *at;
    if (old && order == 0 && old->layer == fresh->layer) {
        fresh->created_ms = old->created_ms;
        fresh->next = old->next;
        ix_service_free_entry(old);
    } else {
        fresh->next = old;
    }
    *at = fresh;
    count_ids(service);
}

static struct model_entry *make_entry(struct ix_service *service, enum layer layer, const char *path,
                                      const char *folder, const char *text, size_t len, int64_t created_ms,
                                      struct ix_faults *faults, struct ix_error *err)
{
    struct ix_models_config config = config_of(service, layer);
    struct ix_found_model found;
    if (ix_models_compile(&config, text, len, folder, path ? path : "the model", NULL, faults, &found, err) <
        0)
        return NULL;
    struct model_entry *m = ix_calloc(1, sizeof *m);
    m->id = ix_strdup(found.id);
    m->layer = layer;
    m->path = path ? ix_strdup(path) : NULL;
    m->folder = folder ? ix_strdup(folder) : NULL;
    m->text = ix_strndup(text, len);
    m->len = len;
    const char *at = text;
    size_t rest = len;
    m->json = ix_model_read(&at, &rest, NULL);
    m->hash = ix_hash64(text, len);
    m->created_ms = created_ms;
    ix_found_model_deinit(&found);
    return m;
}

struct model_entry *ix_service_add_model(struct ix_service *service, enum layer layer, const char *path,
                                         const char *folder, const char *text, size_t len, int64_t created_ms,
                                         struct ix_faults *faults, struct ix_error *err)
{
    struct model_entry *m = make_entry(service, layer, path, folder, text, len, created_ms, faults, err);
    if (m)
        insert(service, m);
    return m;
}

void ix_service_drop_model(struct ix_service *service, struct model_entry *entry)
{
    struct model_entry **at = &service->models;
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    ix_service_free_entry(entry);
    count_ids(service);
}

void ix_service_models_free(struct ix_service *service)
{
    while (service->models)
        ix_service_drop_model(service, service->models);
}

uint64_t ix_service_users_of(const struct ix_service *service, const char *model)
{
    uint64_t devices = 0;
    for (const struct service_group *g = service->groups; g; g = g->next)
        if (strcmp(g->model, model) == 0)
            devices += ix_service_alive(g);
    return devices;
}

/* ---- REST ---- */

json_t *ix_service_models(struct ix_service *service)
{
    json_t *list = json_array();
    const char *last = "";
    for (const struct model_entry *m = service->models; m; m = m->next) {
        if (strcmp(m->id, last) != 0)
            json_array_append(list, m->json);
        last = m->id;
    }
    return list;
}

json_t *ix_service_model(struct ix_service *service, const char *id, struct ix_failure *failure)
{
    const struct model_entry *m = ix_service_find_model(service, id);
    if (m)
        return json_incref(m->json);
    ix_service_fail(failure, IX_FAILURE_UNKNOWN, "", "there is no model \"%.64s\"", id);
    return NULL;
}

static json_t *list_of(const struct ix_faults *faults, bool warnings)
{
    json_t *list = json_array();
    for (size_t i = 0; i < faults->count; i++)
        if (faults->items[i].warning == warnings)
            json_array_append_new(list, json_pack("{s:s, s:s}", "path", faults->items[i].path, "message",
                                                  faults->items[i].message));
    return list;
}

static void fail_model(struct ix_failure *failure, const struct ix_faults *faults, const struct ix_error *err)
{
    if (faults->errors == 0) {
        ix_service_fail(failure, IX_FAILURE_INVALID, "", "%s", err->text);
        return;
    }
    ix_service_fail(failure, IX_FAILURE_INVALID, "", "the model has %zu fault%s", faults->errors,
                    faults->errors == 1 ? "" : "s");
    failure->faults = list_of(faults, false);
}

/* Where the fault is in the body, and not in the model. */
static void name_overrides(json_t *faults)
{
    static const char place[] = "connection";
    size_t i;
    json_t *fault;
    json_array_foreach(faults, i, fault)
    {
        const char *path = json_string_value(json_object_get(fault, "path"));
        if (strncmp(path, place, strlen(place)) == 0)
            json_object_set_new(fault, "path", json_sprintf("overrideConnection%s", path + strlen(place)));
    }
}

int ix_service_check_overrides(struct ix_service *service, const struct model_entry *entry,
                               const json_t *connection, struct ix_failure *failure)
{
    struct ix_found_model found;
    struct ix_faults faults;
    struct ix_error err;
    ix_faults_init(&faults);
    int code = compile(service, entry, connection, &faults, &found, &err);
    if (code == 0) {
        ix_found_model_deinit(&found);
    } else if (faults.errors == 0) {
        ix_service_fail(failure, IX_FAILURE_INVALID, "overrideConnection", "%s", err.text);
    } else {
        json_t *list = list_of(&faults, false), *first = json_array_get(list, 0);
        name_overrides(list);
        ix_service_fail(failure, IX_FAILURE_INVALID, "", "%zu fault%s; the first: %s: %s", faults.errors,
                        faults.errors == 1 ? "" : "s", json_string_value(json_object_get(first, "path")),
                        json_string_value(json_object_get(first, "message")));
        failure->faults = list;
    }
    ix_faults_deinit(&faults);
    return code < 0 ? -1 : 0;
}

json_t *ix_service_model_check(struct ix_service *service, const char *text, size_t len,
                               struct ix_failure *failure)
{
    struct ix_models_config config = config_of(service, LAYER_REST);
    struct ix_found_model found;
    struct ix_faults faults;
    struct ix_error err;
    json_t *result = NULL;
    ix_faults_init(&faults);
    if (ix_models_compile(&config, text, len, NULL, "the model", NULL, &faults, &found, &err) < 0) {
        fail_model(failure, &faults, &err);
    } else {
        result = json_pack("{s:b, s:o}", "valid", 1, "warnings", list_of(&faults, true));
        ix_found_model_deinit(&found);
    }
    ix_faults_deinit(&faults);
    return result;
}

/* The body's id; with `replace` it may be missing: then the body gets it. */
static char *with_id(const char **text, size_t *len, const char *replace, struct ix_failure *failure)
{
    const char *at = *text;
    size_t rest = *len;
    json_t *json = replace ? ix_model_read(&at, &rest, NULL) : NULL;
    const char *id = json_string_value(json_object_get(json, "id"));
    char *completed = NULL;
    failure->kind = 0;
    if (json_is_object(json) && !json_object_get(json, "id")) {
        size_t open = strcspn(at, "{") + 1;
        completed = ix_asprintf("%.*s\"id\":\"%s\"%s%.*s", (int)open, at, replace,
                                json_object_size(json) ? "," : "", (int)(rest - open), at + open);
        *text = completed;
        *len = strlen(completed);
    } else if (id && strcmp(id, replace) != 0) {
        ix_service_fail(failure, IX_FAILURE_INVALID, "id",
                        "the body's id is \"%.64s\", the address says \"%.64s\"", id, replace);
    }
    json_decref(json);
    return completed;
}

/* A child's model may have gone while the gateway's was written. */
static const char *missing_child(const struct ix_service *service, const struct model_entry *m)
{
    size_t place;
    json_t *child;
    json_array_foreach(json_object_get(m->json, "children"), place, child)
    {
        const char *reference = json_string_value(json_object_get(child, "model"));
        if (reference && !ix_service_find_model(service, reference))
            return reference;
    }
    return NULL;
}

static void on_model_kept(struct wait *w, int code, json_t *unused, const char *message)
{
    (void)unused;
    struct ix_service *service = w->service;
    struct model_entry *m = w->model;
    const char *missing = missing_child(service, m);
    if (code < 0) {
        ix_service_refuse_text(w, IX_FAILURE_UNAVAILABLE, message);
        return;
    }
    if (missing) {
        struct ix_failure failure;
        ix_service_fail(&failure, IX_FAILURE_CONFLICT, "", "model \"%s\" of a child was deleted meanwhile",
                        missing);
        ix_service_refuse(w, &failure);
        return;
    }
    json_t *shown = json_copy(m->json);
    if (json_array_size(w->body)) /* the warnings */
        json_object_set(shown, "warnings", w->body);
    w->model = NULL;
    insert(service, m);
    ix_service_tell_change(service, "models", m->id);
    ix_service_answer(w, shown);
}

/* Two requests for one id may be on their way to the disk. */
static bool is_coming(const struct wait *self, const char *id)
{
    for (const struct wait *w = self->service->waits; w; w = w->next)
        if (w != self && w->then == on_model_kept && w->group && strcmp(w->group, id) == 0)
            return true;
    return false;
}

static void put_model(struct wait *w, const char *text, size_t len, const char *replace)
{
    struct ix_service *service = w->service;
    struct ix_faults faults;
    struct ix_error err;
    struct ix_failure failure = {0};
    ix_faults_init(&faults);
    struct model_entry *m =
        make_entry(service, LAYER_REST, NULL, NULL, text, len, ix_service_wall_ms(service), &faults, &err);
    if (!m) {
        fail_model(&failure, &faults, &err);
        ix_service_refuse(w, &failure);
    } else {
        w->model = m;
        if (!replace && (ix_service_find_model(service, m->id) || is_coming(w, m->id))) {
            ix_service_fail(&failure, IX_FAILURE_CONFLICT, "id",
                            "there is a model \"%s\" already; PUT replaces it", m->id);
            ix_service_refuse(w, &failure);
        } else {
            w->group = ix_strdup(m->id);
            w->body = list_of(&faults, true);
            if (service->store)
                ix_store_put_model(service->store, m->id, text, m->created_ms);
            ix_service_keep(w, on_model_kept);
        }
    }
    ix_faults_deinit(&faults);
}

void ix_service_model_put(struct ix_service *service, const char *text, size_t len, const char *replace,
                          ix_service_done *done, void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    struct ix_failure failure = {0};
    if (!w)
        return;
    if (memchr(text, 0, len))
        ix_service_fail(&failure, IX_FAILURE_INVALID, "", "the model holds a NUL character");
    else if (replace && !ix_service_find_model(service, replace))
        ix_service_fail(&failure, IX_FAILURE_UNKNOWN, "", "there is no model \"%.64s\"", replace);
    if (failure.kind) {
        ix_service_refuse(w, &failure);
        return;
    }
    char *own = ix_strndup(text, len); /* ended, for what reads texts */
    const char *at = own;
    char *completed = with_id(&at, &len, replace, &failure);
    if (failure.kind)
        ix_service_refuse(w, &failure);
    else
        put_model(w, at, len, replace);
    free(completed);
    free(own);
}

static void on_model_deleted(struct wait *w, int code, json_t *unused, const char *message)
{
    (void)unused;
    struct model_entry *m = ix_service_find_model(w->service, w->group);
    if (code < 0) {
        ix_service_refuse_text(w, IX_FAILURE_UNAVAILABLE, message);
        return;
    }
    if (m && m->layer == LAYER_REST)
        ix_service_drop_model(w->service, m);
    ix_service_tell_change(w->service, "models", w->group);
    ix_service_answer(w, NULL);
}

/* A gateway that names it as its child's. */
static const char *parent_of(const struct ix_service *service, const char *id)
{
    size_t place;
    json_t *child;
    for (const struct model_entry *m = service->models; m; m = m->next)
        json_array_foreach(json_object_get(m->json, "children"), place, child)
        {
            const char *reference = json_string_value(json_object_get(child, "model"));
            if (reference && strcmp(reference, id) == 0)
                return m->id;
        }
    return NULL;
}

void ix_service_model_delete(struct ix_service *service, const char *id, ix_service_done *done, void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    struct ix_failure failure = {0};
    if (!w)
        return;
    const struct model_entry *m = ix_service_find_model(service, id);
    const struct model_entry *below = m && m->next && strcmp(m->next->id, id) == 0 ? m->next : NULL;
    uint64_t users = m && !below ? ix_service_users_of(service, id) : 0;
    const char *parent = m && !below ? parent_of(service, id) : NULL;
    if (!m)
        ix_service_fail(&failure, IX_FAILURE_UNKNOWN, "", "there is no model \"%.64s\"", id);
    else if (m->layer == LAYER_FILE)
        ix_service_fail(&failure, IX_FAILURE_CONFLICT, "", "model \"%s\" is the file %s: delete that", id,
                        m->path);
    else if (m->layer == LAYER_SHIPPED)
        ix_service_fail(&failure, IX_FAILURE_CONFLICT, "",
                        "model \"%s\" is part of iotix and can't be deleted", id);
    else if (users)
        ix_service_fail(&failure, IX_FAILURE_CONFLICT, "",
                        "%llu device%s use%s model \"%s\": delete them first", (unsigned long long)users,
                        users == 1 ? "" : "s", users == 1 ? "s" : "", id);
    else if (parent)
        ix_service_fail(&failure, IX_FAILURE_CONFLICT, "", "model \"%s\" has model \"%s\" as a child's",
                        parent, id);
    if (failure.kind) {
        ix_service_refuse(w, &failure);
        return;
    }
    w->group = ix_strdup(id);
    if (service->store)
        ix_store_delete_model(service->store, id);
    ix_service_keep(w, on_model_deleted);
}
