/* What a service keeps beyond its end: models that came over REST, groups, single devices, and what each of them is
 * to do. One sqlite database, `iotix.db` in the data folder; one service at a time.
 *
 * Changes are gathered and written on libuv's thread pool, as many as there are in one transaction: the loop never
 * waits for the disk, and who is told `done` has what it asked for on the disk (WAL, synchronous FULL).
 * A database that is damaged, or was made by a later version, is refused and left as it is. */
#ifndef IX_STORE_STORE_H
#define IX_STORE_STORE_H

#include "loop/loop.h"

struct ix_store;

/* Opens, locks and, if it is new or older, migrates the database in `folder`, which exists. -EWOULDBLOCK: another
 * service has it. */
int ix_store_open(struct ix_loop *loop, const char *folder, struct ix_store **store, struct ix_error *err);
/* Waits for the writing of what was committed. NULL is allowed. */
void ix_store_close(struct ix_store *store);

enum ix_store_state { IX_STORE_CREATED, IX_STORE_STARTED, IX_STORE_STOPPED };

struct ix_store_group {
    const char *id;
    bool hidden;
    const char *model;
    int64_t count; /* indexes given so far, holes included */
    const char *pattern;
    const char *connection; /* JSON of overrides, "" none */
    int64_t names_base;     /* from this index on devices are in ix_store_device */
    int64_t created_ms;     /* wall clock */
    enum ix_store_state state;
    const char *launch; /* JSON {strategy, settings} of the last start, "" none */
};

struct ix_store_device { /* one that was added by itself */
    const char *group;
    int64_t index;
    const char *name; /* "": by the pattern */
    int64_t created_ms;
};

/* All that is kept, in an order in which what is named has come before. Texts are valid during the call. */
struct ix_store_reader {
    void (*meta)(void *context, const char *key, const char *value);
    void (*model)(void *context, const char *id, const char *text, int64_t created_ms);
    void (*group)(void *context, const struct ix_store_group *group);
    void (*device)(void *context, const struct ix_store_device *device);
    void (*gone)(void *context, const char *group, int64_t index);
    /* A device that was started or stopped by itself since its group was. */
    void (*order)(void *context, const char *group, int64_t index, bool started);
    void *context;
};
int ix_store_read(struct ix_store *store, const struct ix_store_reader *reader, struct ix_error *err);

/* Each adds to the change that the next ix_store_commit completes. Texts are copied. */
void ix_store_put_meta(struct ix_store *store, const char *key, const char *value);
void ix_store_put_model(struct ix_store *store, const char *id, const char *text, int64_t created_ms);
void ix_store_delete_model(struct ix_store *store, const char *id);
void ix_store_put_group(struct ix_store *store, const struct ix_store_group *group);
void ix_store_delete_group(struct ix_store *store, const char *id); /* and all that belongs to it */
/* What a whole group is to do: orders for single devices before it are void. `launch` NULL: as it was. */
void ix_store_put_state(struct ix_store *store, const char *group, enum ix_store_state state,
                        const char *launch);
void ix_store_put_device(struct ix_store *store, const struct ix_store_device *device);
void ix_store_put_gone(struct ix_store *store, const char *group, int64_t index);
void ix_store_put_order(struct ix_store *store, const char *group, int64_t index, bool started);

/* The change is complete: all of it is kept or nothing. done(context, 0, "") when it is on the disk, or < 0 with a
 * sentence when nothing of it is; later, on the loop's thread. `done` may be NULL. */
void ix_store_commit(struct ix_store *store, void (*done)(void *context, int code, const char *message),
                     void *context);

/* Transactions so far, and the time that they took. */
void ix_store_figures(const struct ix_store *store, uint64_t *commits, double *seconds);

#endif
