#include "control/models.h"

#include "base/file.h"
#include "base/suggest.h"
#include "model/json_scan.h"
#include "script/embedded.h"

#include <dirent.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define MODEL_MAX (16u << 20)
#define TEXT_MAX  (64u << 20) /* of a model with those of its children */
#define GIVEN_MAX (4u << 20)  /* of the children of one that was given, as over REST: others wait meanwhile */
#define FOLDERS   16
#define IDS_MAX   256

struct places {
    char *folders[FOLDERS];
    size_t count;
    char *ids[IDS_MAX]; /* seen on the way, for suggestions */
    size_t id_count;
};

static void add_folder(struct places *p, const char *folder)
{
    if (p->count < FOLDERS)
        p->folders[p->count++] = ix_strdup(folder);
}

static void add_joined(struct places *p, const char *folder, const char *name)
{
    char *path = ix_asprintf("%s/%s", folder, name);
    add_folder(p, path);
    free(path);
}

static void gather_folders(const struct ix_models_config *config, struct places *p)
{
    const char *from_env = getenv("DEVICE_MODEL_PATH");
    if (from_env) {
        char *copy = ix_strdup(from_env), *rest = copy, *one;
        while ((one = strsep(&rest, ":")))
            if (one[0])
                add_folder(p, one);
        free(copy);
    }
    if (config->scenario_folder) {
        add_folder(p, config->scenario_folder);
        add_joined(p, config->scenario_folder, "models");
        add_joined(p, config->scenario_folder, "../models");
    }
    add_folder(p, "models");
    add_folder(p, "/app/device-models");
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n > 0) {
        exe[n] = '\0';
        add_joined(p, dirname(exe), "../share/iotix/models");
    }
}

static void places_deinit(struct places *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->folders[i]);
    for (size_t i = 0; i < p->id_count; i++)
        free(p->ids[i]);
}

/* The `id` of a model's text; NULL if it isn't JSON with one. */
static char *id_of(const char *text, size_t len)
{
    json_t *json = ix_model_read(&text, &len, NULL);
    const char *id = json_string_value(json_object_get(json, "id"));
    char *copy = id ? ix_strdup(id) : NULL;
    json_decref(json);
    return copy;
}

static bool note_id(struct places *p, char *id, const char *wanted)
{
    bool same = id && strcmp(id, wanted) == 0;
    for (size_t i = 0; id && i < p->id_count; i++) {
        if (strcmp(p->ids[i], id) == 0) {
            free(id);
            return same;
        }
    }
    if (id && !same && p->id_count < IDS_MAX)
        p->ids[p->id_count++] = id;
    else
        free(id);
    return same;
}

static bool is_json_name(const char *name)
{
    size_t len = strlen(name);
    return len > 5 && strcmp(name + len - 5, ".json") == 0;
}

/* Looks through the JSON files of one folder. */
static bool find_in_folder(struct places *p, const char *folder, const char *id, char **path)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    bool found = false;
    while (dir && !found && (entry = readdir(dir))) {
        char *text;
        size_t len;
        if (!is_json_name(entry->d_name))
            continue;
        char *candidate = ix_asprintf("%s/%s", folder, entry->d_name);
        if (ix_file_read(candidate, MODEL_MAX, &text, &len, NULL) == 0) {
            found = note_id(p, id_of(text, len), id);
            free(text);
        }
        if (found)
            *path = candidate;
        else
            free(candidate);
    }
    if (dir)
        closedir(dir);
    return found;
}

static const struct ix_embedded *find_embedded(struct places *p, const char *id)
{
    for (const struct ix_embedded *e = ix_embedded_files; e->path; e++)
        if (strncmp(e->path, "models/", 7) == 0 && is_json_name(e->path) &&
            note_id(p, id_of(e->data, e->len), id))
            return e;
    return NULL;
}

static int not_found(struct places *p, const char *id, struct ix_error *err)
{
    char suggestion[1024];
    struct ix_buf looked;
    ix_buf_init(&looked, 4096);
    for (size_t i = 0; i < p->count; i++)
        ix_buf_printf(&looked, "%s%s", i ? ", " : "", p->folders[i]);
    ix_suggest_put(suggestion, sizeof suggestion, id, (const char *const *)p->ids, p->id_count);
    int code = ix_fail(err, -ENOENT, "there is no model \"%s\" in %s or in the binary%s", id,
                       ix_buf_cstr(&looked), suggestion);
    ix_buf_deinit(&looked);
    return code;
}

/* A path as written, or beside the scenario. */
static char *resolve_path(const struct ix_models_config *config, const char *path)
{
    if (path[0] != '/' && config->scenario_folder) {
        char *beside = ix_asprintf("%s/%s", config->scenario_folder, path);
        if (access(beside, R_OK) == 0)
            return beside;
        free(beside);
    }
    return ix_strdup(path);
}

/* Text, folder and a name for messages. */
static int find_text(const struct ix_models_config *config, const char *reference, char **text, size_t *len,
                     char **folder, char **shown, struct ix_error *err)
{
    char *path = NULL;
    if (strchr(reference, '/') || is_json_name(reference)) {
        path = resolve_path(config, reference);
    } else {
        struct places p = {0};
        gather_folders(config, &p);
        for (size_t i = 0; i < p.count && !path; i++)
            find_in_folder(&p, p.folders[i], reference, &path);
        const struct ix_embedded *e = path ? NULL : find_embedded(&p, reference);
        int code = path || e ? 0 : not_found(&p, reference, err);
        places_deinit(&p);
        if (code < 0)
            return code;
        if (e) {
            *text = ix_strndup(e->data, e->len);
            *len = e->len;
            *folder = ix_strdup(IX_MODEL_EMBEDDED);
            *shown = ix_strdup(e->path);
            return 0;
        }
    }
    int code = ix_file_read(path, MODEL_MAX, text, len, err);
    if (code == 0) {
        *folder = ix_file_dirname(path);
        *shown = path;
    } else {
        free(path);
    }
    return code;
}

/* A file's tree with what it forgets: how its numbers are written. */
struct document {
    json_t *json;
    struct ix_json_source source;
};

static void document_deinit(struct document *d)
{
    ix_json_source_deinit(&d->source);
    json_decref(d->json);
}

/* Parsed by the compiler first: it names line and column of malformed JSON, and duplicate keys. */
static int parse(const struct ix_models_config *config, const char *text, size_t len, const char *folder,
                 const char *shown, struct document *d, struct ix_error *err)
{
    struct ix_model_options options = {.folder = folder,
                                       .allowed_env = config->allowed_env,
                                       .allowed_env_count = config->allowed_env_count,
                                       .lenient = config->lenient,
                                       .foreign = config->find_child && !folder};
    struct ix_faults faults;
    ix_faults_init(&faults);
    struct ix_model *model = ix_model_parse(text, len, &options, &faults);
    int code = model ? 0 : ix_faults_fail(&faults, shown, err);
    if (model) {
        d->json = ix_model_read(&text, &len, NULL);
        ix_json_source_init(&d->source, text, len, d->json, &faults);
    }
    ix_model_free(model);
    ix_faults_deinit(&faults);
    return code;
}

static int given_text(const struct ix_models_config *config, const char *id, char **text, size_t *len,
                      char **folder, char **shown, struct ix_error *err)
{
    const char *found = config->find_child(config->context, id, len);
    if (!found)
        return ix_fail(err, -ENOENT, "there is no model \"%s\"", id);
    *text = ix_strndup(found, *len);
    *folder = NULL;
    *shown = ix_asprintf("model \"%s\"", id);
    return 0;
}

/* The model of one reference as {model, bytes}, a new reference; NULL with an error. */
static json_t *find_child(const struct ix_models_config *config, const char *reference, size_t place,
                          struct ix_error *err)
{
    char *text, *folder, *shown;
    size_t len;
    int code = config->find_child ? given_text(config, reference, &text, &len, &folder, &shown, err)
                                  : find_text(config, reference, &text, &len, &folder, &shown, err);
    if (code < 0) {
        ix_error_prefix(err, "children[%zu].model", place);
        return NULL;
    }
    struct document d = {0};
    json_t *found = NULL;
    if (parse(config, text, len, folder, shown, &d, err) == 0)
        found = json_pack("{s:O, s:I}", "model", d.json, "bytes", (json_int_t)len);
    document_deinit(&d);
    free(text);
    free(folder);
    free(shown);
    return found;
}

/* A gateway's children may name their models by id or path: workers get them in place. What several of them name is
 * read once, and one value in all of them. */
static int resolve_children(const struct ix_models_config *config, json_t *model, struct ix_error *err)
{
    size_t place, bytes = 0, most = config->find_child ? GIVEN_MAX : TEXT_MAX;
    json_t *child, *known = json_object();
    int code = 0;
    json_array_foreach(json_object_get(model, "children"), place, child)
    {
        const char *reference = json_string_value(json_object_get(child, "model"));
        if (!reference)
            continue;
        const json_t *found = json_object_get(known, reference);
        if (!found) {
            json_t *fresh = find_child(config, reference, place, err);
            code = fresh ? 0 : err->code;
            json_object_set_new(known, reference, fresh);
            found = fresh;
        }
        bytes += (size_t)json_integer_value(json_object_get(found, "bytes"));
        if (code == 0 && bytes > most)
            code = ix_fail(
                err, -EINVAL,
                "children[%zu].model: the models of the children take more than %zu MiB together, each "
                "counted as often as it is named; name fewer, with larger counts",
                place, most >> 20);
        if (code < 0)
            break;
        json_object_set(child, "model", json_object_get(found, "model"));
    }
    json_decref(known);
    return code;
}

/* A copy in which `connection` and the children may change. It shares all other values with the original. */
static json_t *copy_to_change(const json_t *json)
{
    json_t *copy = json_copy((json_t *)json), *changed, *child;
    size_t place;
    if (json_is_object(json_object_get(copy, "connection")))
        json_object_set_new(copy, "connection", json_copy(json_object_get(copy, "connection")));
    if (json_is_array(json_object_get(copy, "children"))) {
        changed = json_array();
        json_array_foreach(json_object_get(copy, "children"), place, child)
            json_array_append_new(changed, json_copy(child));
        json_object_set_new(copy, "children", changed);
    }
    return copy;
}

static char *text_of(const json_t *json, const struct ix_json_source *source)
{
    struct ix_buf out;
    ix_buf_init(&out, TEXT_MAX);
    ix_json_put(&out, json, source);
    char *text = ix_strndup(ix_buf_cstr(&out), out.len);
    ix_buf_deinit(&out);
    return text;
}

/* `source`: of `json`, if it came from a file. `told` (may be NULL) has the faults, if there are any, in the end. */
static int compile(const struct ix_models_config *config, const json_t *json,
                   const struct ix_json_source *source, const json_t *connection, const char *shown,
                   struct ix_faults *told, struct ix_found_model *found, struct ix_error *err)
{
    json_t *merged = copy_to_change(json);
    if (connection && json_object_size(connection)) {
        json_t *own = json_object_get(merged, "connection");
        if (!json_is_object(own)) {
            json_object_set_new(merged, "connection", json_object());
            own = json_object_get(merged, "connection");
        }
        json_object_update(own, (json_t *)connection);
    }
    int code = resolve_children(config, merged, err);
    if (code < 0) {
        json_decref(merged);
        return code;
    }
    struct ix_model_options options = {.folder = found->folder,
                                       .allowed_env = config->allowed_env,
                                       .allowed_env_count = config->allowed_env_count,
                                       .lenient = config->lenient,
                                       .foreign = config->find_child && !found->folder};
    struct ix_faults faults;
    ix_faults_init(&faults);
    found->model = ix_model_compile(merged, &options, &faults);
    if (found->model) {
        found->id = ix_strdup(found->model->id);
        found->text = text_of(merged, source);
    } else {
        code = ix_faults_fail(&faults, shown, err);
    }
    if (!found->model && told) {
        ix_faults_deinit(told);
        *told = faults;
    } else {
        ix_faults_deinit(&faults);
    }
    json_decref(merged);
    return code;
}

int ix_models_find(const struct ix_models_config *config, const json_t *reference, const json_t *connection,
                   struct ix_found_model *found, struct ix_error *err)
{
    memset(found, 0, sizeof *found);
    if (json_is_object(reference)) {
        found->folder = config->scenario_folder ? ix_strdup(config->scenario_folder) : NULL;
        int code = compile(config, reference, NULL, connection, "model", NULL, found, err);
        if (code < 0)
            ix_found_model_deinit(found);
        return code;
    }
    if (!json_is_string(reference))
        return ix_fail(err, -EINVAL,
                       "`model` must be a model's id, a path to its JSON file, or the model itself");
    char *text, *shown;
    size_t len;
    int code = find_text(config, json_string_value(reference), &text, &len, &found->folder, &shown, err);
    if (code < 0)
        return code;
    struct document d = {0};
    code = parse(config, text, len, found->folder, shown, &d, err);
    if (code == 0)
        code = compile(config, d.json, &d.source, connection, shown, NULL, found, err);
    document_deinit(&d);
    free(text);
    free(shown);
    if (code < 0)
        ix_found_model_deinit(found);
    return code;
}

int ix_models_compile(const struct ix_models_config *config, const char *text, size_t len, const char *folder,
                      const char *shown, const json_t *connection, struct ix_faults *faults,
                      struct ix_found_model *found, struct ix_error *err)
{
    struct ix_model_options options = {.folder = folder,
                                       .allowed_env = config->allowed_env,
                                       .allowed_env_count = config->allowed_env_count,
                                       .lenient = config->lenient,
                                       .foreign = !folder};
    struct document d = {0};
    memset(found, 0, sizeof *found);
    struct ix_model *model = ix_model_parse(text, len, &options, faults);
    if (!model)
        return ix_faults_fail(faults, shown, err);
    ix_model_free(model);
    struct ix_faults repeated;
    ix_faults_init(&repeated);
    found->folder = folder ? ix_strdup(folder) : NULL;
    d.json = ix_model_read(&text, &len, NULL);
    ix_json_source_init(&d.source, text, len, d.json, &repeated);
    int code = compile(config, d.json, &d.source, connection, shown, faults, found, err);
    document_deinit(&d);
    ix_faults_deinit(&repeated);
    if (code < 0)
        ix_found_model_deinit(found);
    return code;
}

void ix_found_model_deinit(struct ix_found_model *found)
{
    ix_model_free(found->model);
    free(found->id);
    free(found->text);
    free(found->folder);
    memset(found, 0, sizeof *found);
}
