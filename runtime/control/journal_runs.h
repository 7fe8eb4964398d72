/* The runs that left a journal: DATA/runs/ID/journal. */
#ifndef IX_CONTROL_JOURNAL_RUNS_H
#define IX_CONTROL_JOURNAL_RUNS_H

#include "base/error.h"

/* Bytes that all journals may have together; one of them a quarter of it. */
#define IX_DATA_LIMIT (1ull << 30)
#define IX_RUNS_MAX   1000 /* runs that are kept */

enum ix_run_state { IX_RUN_ENDED, IX_RUN_LIVE, IX_RUN_DIED };

struct ix_run_entry {
    char id[64];
    char *path; /* of the journal */
    uint64_t bytes;
    int64_t changed_ns; /* wall clock of the last write */
    /* after ix_run_entry_read */
    enum ix_run_state state;
    char *scenario;
    int64_t started_wall_ns;
    double seconds;
    char *outcome; /* "passed"; NULL if it did not end */
    int exit_code;
};

struct ix_run_list {
    struct ix_run_entry *items; /* newest first */
    size_t count;
};

/* What is there; an absent folder has no runs. */
int ix_run_list_open(const char *data_dir, struct ix_run_list *list, struct ix_error *err);
void ix_run_list_close(struct ix_run_list *list);
/* Looks into the journal; a damaged one leaves its fields empty. */
void ix_run_entry_read(struct ix_run_entry *entry);

/* Removes the oldest ended runs until all have at most `bytes` together and there are at most `count`. Live ones
 * stay. */
void ix_run_list_evict(struct ix_run_list *list, uint64_t bytes, size_t count);

/* The journal that is meant by "last", a run's id or the beginning of it, a folder, or a file; the caller frees *path.
 * -ENOENT names what there is instead; -EINVAL: more than one run begins so. */
int ix_run_find(const char *data_dir, const char *name, char **path, struct ix_error *err);

#endif
