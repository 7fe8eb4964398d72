#include "control/journal_runs.h"

#include "base/suggest.h"
#include "control/data_dir.h"
#include "control/journal_frames.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int newest_first(const void *a, const void *b)
{
    const struct ix_run_entry *x = a, *y = b;
    if (x->changed_ns != y->changed_ns)
        return x->changed_ns < y->changed_ns ? 1 : -1;
    return strcmp(x->id, y->id);
}

int ix_run_list_open(const char *data_dir, struct ix_run_list *list, struct ix_error *err)
{
    *list = (struct ix_run_list){0};
    char *runs = ix_asprintf("%s/runs", data_dir);
    DIR *folder = opendir(runs);
    int code = folder || errno == ENOENT ? 0 : -errno;
    if (code < 0)
        ix_fail(err, code, "can't read \"%s\": %s", runs, strerror(-code));
    const struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        struct stat info;
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof(list->items->id))
            continue;
        char *path = ix_asprintf("%s/%s/journal", runs, entry->d_name);
        if (stat(path, &info) < 0 || !S_ISREG(info.st_mode)) {
            free(path);
            continue;
        }
        if ((list->count & (list->count - 1)) == 0)
            list->items = ix_realloc(list->items, (list->count ? 2 * list->count : 1) * sizeof(*list->items));
        struct ix_run_entry *item = &list->items[list->count++];
        *item = (struct ix_run_entry){.path = path, .bytes = (uint64_t)info.st_size};
        item->changed_ns = info.st_mtim.tv_sec * 1000000000ll + info.st_mtim.tv_nsec;
        memcpy(item->id, entry->d_name, strlen(entry->d_name) + 1);
    }
    if (folder)
        closedir(folder);
    free(runs);
    if (list->count)
        qsort(list->items, list->count, sizeof(*list->items), newest_first);
    return code;
}

static void entry_deinit(struct ix_run_entry *entry)
{
    free(entry->path);
    free(entry->scenario);
    free(entry->outcome);
}

void ix_run_list_close(struct ix_run_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        entry_deinit(&list->items[i]);
    free(list->items);
    *list = (struct ix_run_list){0};
}

void ix_run_entry_read(struct ix_run_entry *entry)
{
    struct ix_journal_reader reader;
    struct ix_journal_verdict verdict = {0};
    bool ended = false;
    if (ix_journal_reader_open(&reader, entry->path, NULL) == 0) {
        struct ix_result *facts = ix_calloc(1, sizeof(*facts));
        ix_result_init(facts);
        while (ix_journal_reader_seek(&reader, 1ull << IX_J_FACTS | 1ull << IX_J_END)) {
            struct ix_reader in = ix_reader_of(reader.payload.data + 1, reader.payload.len - 1);
            if (reader.type == IX_J_FACTS)
                ix_fields_unpack(ix_result_facts, facts, &in);
            else if (reader.type == IX_J_END)
                ended = ix_fields_unpack(ix_journal_verdict_fields, &verdict, &in);
        }
        ix_journal_reader_close(&reader);
        entry->scenario = facts->scenario ? ix_strdup(facts->scenario) : NULL;
        entry->started_wall_ns = facts->started_wall_ns;
        ix_result_deinit(facts);
        free(facts);
    }
    entry->outcome = verdict.outcome;
    verdict.outcome = NULL;
    entry->exit_code = (int)verdict.exit_code;
    entry->seconds = ended                    ? verdict.seconds
                     : entry->started_wall_ns ? (double)(entry->changed_ns - entry->started_wall_ns) / 1e9
                                              : 0;
    ix_journal_verdict_deinit(&verdict);
    entry->state = ended ? IX_RUN_ENDED : ix_journal_is_live(entry->path) ? IX_RUN_LIVE : IX_RUN_DIED;
}

/* The journal and its folder, and nothing else: what people put beside it keeps the folder. */
static bool remove_run(const struct ix_run_entry *entry)
{
    if (ix_journal_is_live(entry->path) || unlink(entry->path) < 0)
        return false;
    char *folder = ix_strndup(entry->path, strlen(entry->path) - strlen("/journal"));
    bool gone = rmdir(folder) == 0;
    free(folder);
    return gone || errno == ENOTEMPTY;
}

void ix_run_list_evict(struct ix_run_list *list, uint64_t bytes, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < list->count; i++)
        sum += list->items[i].bytes;
    for (size_t i = list->count; i-- > 0 && (sum > bytes || list->count > count);) {
        if (!remove_run(&list->items[i]))
            continue;
        sum -= list->items[i].bytes;
        entry_deinit(&list->items[i]);
        memmove(&list->items[i], &list->items[i + 1], (list->count - i - 1) * sizeof(*list->items));
        list->count--;
    }
}

static int unknown_run(const struct ix_run_list *list, const char *data_dir, const char *name,
                       struct ix_error *err)
{
    char near[256] = "";
    const char **ids = ix_calloc(list->count + 1, sizeof(*ids));
    for (size_t i = 0; i < list->count; i++)
        ids[i] = list->items[i].id;
    if (list->count)
        ix_suggest_put(near, sizeof(near), name, ids, list->count < 200 ? list->count : 200);
    free(ids);
    if (!list->count)
        return ix_fail(err, -ENOENT, "there are no runs in \"%s/runs\" yet", data_dir);
    return ix_fail(err, -ENOENT,
                   "\"%.100s\" is neither a run in \"%s/runs\" nor a file%s; `iotix report` lists the runs",
                   name, data_dir, strlen(near) < 80 ? near : "");
}

static int find_in(const struct ix_run_list *list, const char *data_dir, const char *name, char **path,
                   struct ix_error *err)
{
    const struct ix_run_entry *found = NULL;
    size_t len = strlen(name), matches = 0;
    if (strcmp(name, "last") == 0 && list->count) {
        *path = ix_strdup(list->items[0].path);
        return 0;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->items[i].id, name, len) != 0)
            continue;
        found = &list->items[i];
        matches++;
        if (strlen(found->id) == len) {
            matches = 1;
            break;
        }
    }
    if (matches > 1)
        return ix_fail(err, -EINVAL, "%zu runs begin with \"%s\"; give more of the id", matches, name);
    if (!matches)
        return unknown_run(list, data_dir, name, err);
    *path = ix_strdup(found->path);
    return 0;
}

int ix_run_find(const char *data_dir, const char *name, char **path, struct ix_error *err)
{
    struct stat info;
    struct ix_run_list list;
    if (strcmp(name, "last") != 0 && stat(name, &info) == 0) {
        *path = S_ISDIR(info.st_mode) ? ix_asprintf("%s/journal", name) : ix_strdup(name);
        if (!S_ISDIR(info.st_mode) || stat(*path, &info) == 0 || errno != ENOENT)
            return 0;
        free(*path);
        *path = NULL;
        return ix_fail(
            err, -ENOENT,
            "the folder \"%s\" is not that of a run: there is no journal in it; `iotix report` lists "
            "the runs",
            name);
    }
    if (strchr(name, '/') && errno != ENOENT)
        return ix_fail(err, -errno, "can't look at \"%s\": %s", name, strerror(errno));
    int code = ix_run_list_open(data_dir, &list, err);
    if (code == 0)
        code = find_in(&list, data_dir, name, path, err);
    ix_run_list_close(&list);
    return code;
}
