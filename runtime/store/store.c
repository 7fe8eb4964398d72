#include "store/store.h"

#include "base/log.h"
#include "base/units.h"
#include "store/schema.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define PARAMETERS_MAX 10

enum statement {
    PUT_META,
    PUT_MODEL,
    DELETE_MODEL,
    PUT_GROUP,
    DELETE_GROUP,
    PUT_STATE,
    VOID_ORDERS,
    PUT_DEVICE,
    PUT_GONE,
    FORGET_ORDER,
    FORGET_DEVICE,
    PUT_ORDER,
    STATEMENTS
};

static const char *const statements[STATEMENTS] = {
    [PUT_META] = "INSERT OR REPLACE INTO meta VALUES(?1, ?2)",
    [PUT_MODEL] = "INSERT INTO models VALUES(?1, ?2, ?3) ON CONFLICT(id) DO UPDATE SET text = ?2",
    [DELETE_MODEL] = "DELETE FROM models WHERE id = ?1",
    [PUT_GROUP] =
        "INSERT INTO groups(id, hidden, model, count, pattern, connection, names_base, created_ms, state,"
        " launch) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT(id) DO UPDATE SET count = ?4",
    [DELETE_GROUP] = "DELETE FROM groups WHERE id = ?1",
    [PUT_STATE] = "UPDATE groups SET state = ?2, launch = coalesce(?3, launch) WHERE id = ?1",
    [VOID_ORDERS] = "DELETE FROM orders WHERE grp = ?1",
    [PUT_DEVICE] = "INSERT INTO devices VALUES(?1, ?2, ?3, ?4)",
    [PUT_GONE] = "INSERT OR IGNORE INTO gone VALUES(?1, ?2)",
    [FORGET_ORDER] = "DELETE FROM orders WHERE grp = ?1 AND idx = ?2",
    [FORGET_DEVICE] = "UPDATE devices SET name = '' WHERE grp = ?1 AND idx = ?2",
    [PUT_ORDER] = "INSERT OR REPLACE INTO orders VALUES(?1, ?2, ?3)",
};

struct parameter {
    char *text; /* NULL: the number, or nothing at all */
    int64_t number;
    bool is_null;
};

struct step {
    struct step *next;
    enum statement statement;
    struct parameter parameters[PARAMETERS_MAX];
    int count;
};

struct change { /* what is kept wholly or not at all */
    struct change *next;
    struct step *steps, **end;
    void (*done)(void *context, int code, const char *message);
    void *context;
    int code;
    char message[256];
};

struct ix_store {
    struct ix_loop *loop;
    char *path;
    int lock_fd;
    sqlite3 *db; /* of the thread that writes, while one does */
    sqlite3_stmt *prepared[STATEMENTS];
    struct change *open;           /* not committed yet */
    struct change *waiting, **end; /* for the next transaction */
    struct change *writing;
    uv_work_t work;
    uint64_t commits;
    uint64_t commit_ns, last_ns;
};

/* ---- opening ---- */

/* The lock is a file of its own: sqlite's locks come and go with transactions. */
static int lock(struct ix_store *store, const char *folder, struct ix_error *err)
{
    char *path = ix_asprintf("%s/iotix.lock", folder);
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int code = 0;
    if (store->lock_fd < 0) {
        code = ix_fail(err, -errno, "%s: %s", path, strerror(errno));
    } else if (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        char pid[32] = "";
        ssize_t n = pread(store->lock_fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        code = ix_fail(
            err, -EWOULDBLOCK,
            "another iotix service%s%s works with %s: stop it, or give this one another --data-dir (or "
            "--ephemeral)",
            pid[0] ? ", process " : "", pid, folder);
    } else {
        char pid[32];
        int n = snprintf(pid, sizeof pid, "%d", (int)getpid());
        if (ftruncate(store->lock_fd, 0) < 0 || pwrite(store->lock_fd, pid, (size_t)n, 0) != n)
            ix_log(IX_LOG_WARN, "%s: %s", path, strerror(errno));
    }
    free(path);
    return code;
}

static int run(struct ix_store *store, const char *sql, struct ix_error *err)
{
    if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    return ix_fail(err, -EIO, "%s: %s", store->path, sqlite3_errmsg(store->db));
}

static int prepare_all(struct ix_store *store, struct ix_error *err)
{
    for (size_t i = 0; i < STATEMENTS; i++)
        if (sqlite3_prepare_v3(store->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &store->prepared[i],
                               NULL) != SQLITE_OK)
            return ix_fail(err, -EBADMSG, "%s: %s", store->path, sqlite3_errmsg(store->db));
    return 0;
}

static int open_database(struct ix_store *store, struct ix_error *err)
{
    if (sqlite3_open_v2(store->path, &store->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX,
                        NULL) != SQLITE_OK)
        return ix_fail(err, -EIO, "%s can't be opened: %s", store->path,
                       store->db ? sqlite3_errmsg(store->db) : "no memory");
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, 5000);
    int code = ix_schema_migrate(store->db, store->path, err);
    if (code == 0)
        code =
            run(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON", err);
    return code == 0 ? prepare_all(store, err) : code;
}

int ix_store_open(struct ix_loop *loop, const char *folder, struct ix_store **out, struct ix_error *err)
{
    struct ix_store *store = ix_calloc(1, sizeof *store);
    store->loop = loop;
    store->end = &store->waiting;
    store->lock_fd = -1;
    store->path = ix_asprintf("%s/iotix.db", folder);
    int code = lock(store, folder, err);
    if (code == 0)
        code = open_database(store, err);
    if (code < 0) {
        ix_store_close(store);
        return code;
    }
    *out = store;
    return 0;
}

/* ---- changes ---- */

static void free_change(struct change *c)
{
    while (c->steps) {
        struct step *step = c->steps;
        c->steps = step->next;
        for (int i = 0; i < step->count; i++)
            free(step->parameters[i].text);
        free(step);
    }
    free(c);
}

static struct step *add_step(struct ix_store *store, enum statement statement)
{
    if (!store->open) {
        store->open = ix_calloc(1, sizeof *store->open);
        store->open->end = &store->open->steps;
    }
    struct step *step = ix_calloc(1, sizeof *step);
    step->statement = statement;
    *store->open->end = step;
    store->open->end = &step->next;
    return step;
}

static void add_text(struct step *step, const char *text)
{
    step->parameters[step->count++] = (struct parameter){text ? ix_strdup(text) : NULL, 0, !text};
}

static void add_number(struct step *step, int64_t number)
{
    step->parameters[step->count++] = (struct parameter){NULL, number, false};
}

void ix_store_put_meta(struct ix_store *store, const char *key, const char *value)
{
    struct step *s = add_step(store, PUT_META);
    add_text(s, key);
    add_text(s, value);
}

void ix_store_put_model(struct ix_store *store, const char *id, const char *text, int64_t created_ms)
{
    struct step *s = add_step(store, PUT_MODEL);
    add_text(s, id);
    add_text(s, text);
    add_number(s, created_ms);
}

void ix_store_delete_model(struct ix_store *store, const char *id)
{
    add_text(add_step(store, DELETE_MODEL), id);
}

void ix_store_put_group(struct ix_store *store, const struct ix_store_group *g)
{
    struct step *s = add_step(store, PUT_GROUP);
    add_text(s, g->id);
    add_number(s, g->hidden);
    add_text(s, g->model);
    add_number(s, g->count);
    add_text(s, g->pattern);
    add_text(s, g->connection);
    add_number(s, g->names_base);
    add_number(s, g->created_ms);
    add_number(s, g->state);
    add_text(s, g->launch);
}

void ix_store_delete_group(struct ix_store *store, const char *id)
{
    add_text(add_step(store, DELETE_GROUP), id);
}

void ix_store_put_state(struct ix_store *store, const char *group, enum ix_store_state state,
                        const char *launch)
{
    struct step *s = add_step(store, PUT_STATE);
    add_text(s, group);
    add_number(s, state);
    add_text(s, launch);
    add_text(add_step(store, VOID_ORDERS), group);
}

void ix_store_put_device(struct ix_store *store, const struct ix_store_device *d)
{
    struct step *s = add_step(store, PUT_DEVICE);
    add_text(s, d->group);
    add_number(s, d->index);
    add_text(s, d->name);
    add_number(s, d->created_ms);
}

void ix_store_put_gone(struct ix_store *store, const char *group, int64_t index)
{
    static const enum statement all[] = {PUT_GONE, FORGET_ORDER, FORGET_DEVICE};
    for (size_t i = 0; i < IX_ARRAY_LEN(all); i++) {
        struct step *s = add_step(store, all[i]);
        add_text(s, group);
        add_number(s, index);
    }
}

void ix_store_put_order(struct ix_store *store, const char *group, int64_t index, bool started)
{
    struct step *s = add_step(store, PUT_ORDER);
    add_text(s, group);
    add_number(s, index);
    add_number(s, started);
}

/* ---- writing ---- */

static int execute(struct ix_store *store, const struct step *step)
{
    sqlite3_stmt *statement = store->prepared[step->statement];
    for (int i = 0; i < step->count; i++) {
        const struct parameter *p = &step->parameters[i];
        if (p->text)
            sqlite3_bind_text(statement, i + 1, p->text, -1, SQLITE_STATIC);
        else if (p->is_null)
            sqlite3_bind_null(statement, i + 1);
        else
            sqlite3_bind_int64(statement, i + 1, p->number);
    }
    int rc = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void fail_change(struct ix_store *store, struct change *c)
{
    c->code = -EIO;
    snprintf(c->message, sizeof c->message, "%.120s: %.100s", store->path, sqlite3_errmsg(store->db));
}

/* One that fails does not take the others of its transaction with it. */
static void write_change(struct ix_store *store, struct change *c)
{
    int rc = sqlite3_exec(store->db, "SAVEPOINT one", NULL, NULL, NULL);
    for (struct step *step = c->steps; step && rc == SQLITE_OK; step = step->next)
        rc = execute(store, step);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(store->db, "RELEASE one", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return;
    fail_change(store, c);
    sqlite3_exec(store->db, "ROLLBACK TO one; RELEASE one", NULL, NULL, NULL);
}

/* On a thread of the pool. */
static void write_all(uv_work_t *work)
{
    struct ix_store *store = work->data;
    uint64_t begin = uv_hrtime();
    int rc = sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    for (struct change *c = store->writing; c && rc == SQLITE_OK; c = c->next)
        write_change(store, c);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        for (struct change *c = store->writing; c; c = c->next)
            if (c->code == 0)
                fail_change(store, c);
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
    store->last_ns = uv_hrtime() - begin;
}

static void begin_writing(struct ix_store *store);

static void tell(struct ix_store *store)
{
    struct change *list = store->writing;
    store->writing = NULL;
    while (list) {
        struct change *c = list;
        list = c->next;
        if (c->code < 0)
            ix_log(IX_LOG_ERROR, "a change was not kept: %s", c->message);
        if (c->done)
            c->done(c->context, c->code, c->message);
        free_change(c);
    }
}

static void on_written(uv_work_t *work, int status)
{
    (void)status;
    struct ix_store *store = work->data;
    ix_loop_update(store->loop);
    store->commits++;
    store->commit_ns += store->last_ns;
    tell(store);
    begin_writing(store);
}

static void begin_writing(struct ix_store *store)
{
    if (store->writing || !store->waiting)
        return;
    store->writing = store->waiting;
    store->waiting = NULL;
    store->end = &store->waiting;
    store->work.data = store;
    IX_REQUIRE(uv_queue_work(&store->loop->uv, &store->work, write_all, on_written) == 0);
}

void ix_store_commit(struct ix_store *store, void (*done)(void *context, int code, const char *message),
                     void *context)
{
    if (!store->open) { /* nothing to keep: it is answered in order all the same */
        store->open = ix_calloc(1, sizeof *store->open);
        store->open->end = &store->open->steps;
    }
    struct change *c = store->open;
    store->open = NULL;
    c->done = done;
    c->context = context;
    *store->end = c;
    store->end = &c->next;
    begin_writing(store);
}

void ix_store_close(struct ix_store *store)
{
    if (!store)
        return;
    while (store->writing) /* the pool's thread still has it: its answer comes through the loop */
        uv_run(&store->loop->uv, UV_RUN_ONCE);
    if (store->open)
        free_change(store->open);
    for (size_t i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(store->prepared[i]);
    sqlite3_close(store->db);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    free(store->path);
    free(store);
}

void ix_store_figures(const struct ix_store *store, uint64_t *commits, double *seconds)
{
    *commits = store->commits;
    *seconds = (double)store->commit_ns / 1e9;
}

/* ---- reading ---- */

static const char *text_at(sqlite3_stmt *s, int column)
{
    const char *text = (const char *)sqlite3_column_text(s, column);
    return text ? text : "";
}

static void give_meta(const struct ix_store_reader *r, sqlite3_stmt *s)
{
    r->meta(r->context, text_at(s, 0), text_at(s, 1));
}

static void give_model(const struct ix_store_reader *r, sqlite3_stmt *s)
{
    r->model(r->context, text_at(s, 0), text_at(s, 1), sqlite3_column_int64(s, 2));
}

static void give_group(const struct ix_store_reader *r, sqlite3_stmt *s)
{
    struct ix_store_group g = {.id = text_at(s, 0),
                               .hidden = sqlite3_column_int(s, 1) != 0,
                               .model = text_at(s, 2),
                               .count = sqlite3_column_int64(s, 3),
                               .pattern = text_at(s, 4),
                               .connection = text_at(s, 5),
                               .names_base = sqlite3_column_int64(s, 6),
                               .created_ms = sqlite3_column_int64(s, 7),
                               .state = (enum ix_store_state)sqlite3_column_int(s, 8),
                               .launch = text_at(s, 9)};
    r->group(r->context, &g);
}

static void give_device(const struct ix_store_reader *r, sqlite3_stmt *s)
{
    struct ix_store_device d = {text_at(s, 0), sqlite3_column_int64(s, 1), text_at(s, 2),
                                sqlite3_column_int64(s, 3)};
    r->device(r->context, &d);
}

static void give_gone(const struct ix_store_reader *r, sqlite3_stmt *s)
{
    r->gone(r->context, text_at(s, 0), sqlite3_column_int64(s, 1));
}

static void give_order(const struct ix_store_reader *r, sqlite3_stmt *s)
{
    r->order(r->context, text_at(s, 0), sqlite3_column_int64(s, 1), sqlite3_column_int(s, 2) != 0);
}

int ix_store_read(struct ix_store *store, const struct ix_store_reader *reader, struct ix_error *err)
{
    static const struct {
        const char *sql;
        void (*give)(const struct ix_store_reader *r, sqlite3_stmt *s);
    } queries[] = {
        {"SELECT key, value FROM meta", give_meta},
        {"SELECT id, text, created_ms FROM models ORDER BY id", give_model},
        {"SELECT id, hidden, model, count, pattern, connection, names_base, created_ms, state, launch FROM "
         "groups"
         " ORDER BY place",
         give_group},
        {"SELECT grp, idx, name, created_ms FROM devices ORDER BY grp, idx", give_device},
        {"SELECT grp, idx FROM gone ORDER BY grp, idx", give_gone},
        {"SELECT grp, idx, started FROM orders ORDER BY grp, idx", give_order},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(queries); i++) {
        sqlite3_stmt *s;
        int rc = sqlite3_prepare_v2(store->db, queries[i].sql, -1, &s, NULL);
        while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
            queries[i].give(reader, s);
            rc = SQLITE_OK;
        }
        sqlite3_finalize(s);
        if (rc != SQLITE_DONE)
            return ix_fail(err, -EBADMSG, "%s can't be read: %s", store->path, sqlite3_errmsg(store->db));
    }
    return 0;
}
