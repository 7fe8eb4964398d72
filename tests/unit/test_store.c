/* The store: what was acknowledged is there after the next opening; changes are whole or not at all. */
#include "base/buf.h"
#include "check.h"
#include "store/store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    struct ix_loop loop;
    char folder[64];
    struct ix_store *store;
    int answers[64]; /* codes in order of arrival */
    size_t answered;
    char message[512];
} rig;

static int setup(void **state)
{
    (void)state;
    struct ix_error err;
    memset(&rig, 0, sizeof rig);
    snprintf(rig.folder, sizeof rig.folder, "/tmp/iotix-store-XXXXXX");
    assert_non_null(mkdtemp(rig.folder));
    assert_int_equal(ix_loop_init(&rig.loop, &err), 0);
    assert_int_equal(ix_store_open(&rig.loop, rig.folder, &rig.store, &err), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const files[] = {"iotix.db", "iotix.db-wal", "iotix.db-shm", "iotix.lock"};
    ix_store_close(rig.store);
    ix_loop_deinit(&rig.loop);
    for (size_t i = 0; i < IX_ARRAY_LEN(files); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", rig.folder, files[i]);
        unlink(path);
    }
    return rmdir(rig.folder);
}

static void on_done(void *context, int code, const char *message)
{
    (void)context;
    assert_true(rig.answered < IX_ARRAY_LEN(rig.answers));
    rig.answers[rig.answered++] = code;
    if (code < 0)
        snprintf(rig.message, sizeof rig.message, "%s", message);
}

static void commit(void)
{
    ix_store_commit(rig.store, on_done, NULL);
}

static void wait_for(size_t answers)
{
    while (rig.answered < answers)
        uv_run(&rig.loop.uv, UV_RUN_ONCE);
}

static void reopen(void)
{
    struct ix_error err;
    ix_store_close(rig.store);
    if (ix_store_open(&rig.loop, rig.folder, &rig.store, &err) < 0)
        fail_msg("%s", err.text);
}

/* ---- what is read: one line for each thing ---- */

static struct ix_buf seen;

static void on_meta(void *context, const char *key, const char *value)
{
    (void)context;
    ix_buf_printf(&seen, "meta %s=%s\n", key, value);
}

static void on_model(void *context, const char *id, const char *text, int64_t created_ms)
{
    (void)context;
    ix_buf_printf(&seen, "model %s %s %lld\n", id, text, (long long)created_ms);
}

static void on_group(void *context, const struct ix_store_group *g)
{
    (void)context;
    ix_buf_printf(&seen, "group %s%s %s %lld %s [%s] %lld %d [%s]\n", g->id, g->hidden ? "(hidden)" : "",
                  g->model, (long long)g->count, g->pattern, g->connection, (long long)g->names_base,
                  g->state, g->launch);
}

static void on_device(void *context, const struct ix_store_device *d)
{
    (void)context;
    ix_buf_printf(&seen, "device %s %lld [%s]\n", d->group, (long long)d->index, d->name);
}

static void on_gone(void *context, const char *group, int64_t index)
{
    (void)context;
    ix_buf_printf(&seen, "gone %s %lld\n", group, (long long)index);
}

static void on_order(void *context, const char *group, int64_t index, bool started)
{
    (void)context;
    ix_buf_printf(&seen, "order %s %lld %s\n", group, (long long)index, started ? "started" : "stopped");
}

static void assert_kept(const char *expected)
{
    const struct ix_store_reader reader = {on_meta, on_model, on_group, on_device, on_gone, on_order, NULL};
    struct ix_error err;
    ix_buf_init(&seen, 1 << 20);
    assert_int_equal(ix_store_read(rig.store, &reader, &err), 0);
    assert_string_equal(ix_buf_cstr(&seen), expected);
    ix_buf_deinit(&seen);
}

static void put_group(const char *id, int64_t count)
{
    const struct ix_store_group g = {.id = id,
                                     .model = "m",
                                     .count = count,
                                     .pattern = "{groupId}-{index}",
                                     .connection = "",
                                     .names_base = count,
                                     .launch = ""};
    ix_store_put_group(rig.store, &g);
}

static void put_device(const char *group, int64_t index, const char *name)
{
    const struct ix_store_device d = {group, index, name, 5};
    ix_store_put_device(rig.store, &d);
}

static void test_everything_comes_back(void **state)
{
    (void)state;
    ix_store_put_meta(rig.store, "seed", "18446744073709551615");
    ix_store_put_model(rig.store, "m", "{\"ü\":1}", 7);
    put_group("b", 10);
    put_group("a", 3);
    put_device("a", 3, "kitchen");
    put_device("a", 4, "");
    ix_store_put_gone(rig.store, "b", 9);
    ix_store_put_state(rig.store, "b", IX_STORE_STARTED, "{}");
    ix_store_put_order(rig.store, "b", 2, false);
    commit();
    wait_for(1);
    assert_int_equal(rig.answers[0], 0);
    reopen();
    /* Groups in the order in which they were made. */
    assert_kept("meta seed=18446744073709551615\nmodel m {\"ü\":1} 7\n"
                "group b m 10 {groupId}-{index} [] 10 1 [{}]\ngroup a m 3 {groupId}-{index} [] 3 0 []\n"
                "device a 3 [kitchen]\ndevice a 4 []\ngone b 9\norder b 2 stopped\n");
}

static void test_what_replaces_what(void **state)
{
    (void)state;
    put_group("g", 5);
    ix_store_put_order(rig.store, "g", 1, true);
    ix_store_put_order(rig.store, "g", 1, false);
    ix_store_put_order(rig.store, "g", 4, true);
    ix_store_put_state(rig.store, "g", IX_STORE_STARTED, "{\"strategy\":\"linear\"}");
    ix_store_put_order(rig.store, "g", 3, false); /* the only one that is newer than the group's state */
    ix_store_put_state(rig.store, "none", IX_STORE_STARTED, "");
    put_group("g", 6); /* it grew; its state stays */
    put_device("g", 5, "x");
    ix_store_put_gone(rig.store, "g", 5);
    put_group("h", 1);
    put_device("h", 1, "x"); /* the name is free again */
    ix_store_delete_model(rig.store, "none");
    commit();
    wait_for(1);
    assert_kept("group g m 6 {groupId}-{index} [] 5 1 [{\"strategy\":\"linear\"}]\ngroup h m 1 "
                "{groupId}-{index} [] 1 0 []\n"
                "device g 5 []\ndevice h 1 [x]\ngone g 5\norder g 3 stopped\n");
    ix_store_delete_group(rig.store, "g");
    commit();
    wait_for(2);
    reopen();
    assert_kept("group h m 1 {groupId}-{index} [] 1 0 []\ndevice h 1 [x]\n");
}

/* Many changes in one transaction: each is answered, in order; one that fails takes no other with it. */
static void test_changes_are_whole(void **state)
{
    (void)state;
    put_group("g", 1);
    commit();
    for (int i = 0; i < 10; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i == 7 ? 6 : i); /* the eighth has a name that is taken */
        ix_store_put_model(rig.store, name, "{}", i);
        put_device("g", i + 1, name);
        commit();
    }
    wait_for(11);
    for (int i = 0; i < 11; i++)
        assert_int_equal(rig.answers[i] < 0, i == 8);
    assert_non_null(strstr(rig.message, "iotix.db"));
    uint64_t commits;
    double seconds;
    ix_store_figures(rig.store, &commits, &seconds);
    assert_in_range(commits, 2, 3); /* the first alone, the others together */
    reopen();
    ix_buf_init(&seen, 1 << 20);
    const struct ix_store_reader reader = {on_meta, on_model, on_group, on_device, on_gone, on_order, NULL};
    struct ix_error err;
    assert_int_equal(ix_store_read(rig.store, &reader, &err), 0);
    assert_non_null(strstr(ix_buf_cstr(&seen), "device g 7 [d6]\n"));
    assert_null(strstr(ix_buf_cstr(&seen), "device g 8 "));
    assert_non_null(
        strstr(ix_buf_cstr(&seen), "model d6 {} 6\n")); /* not 7: the other change failed wholly */
    assert_non_null(strstr(ix_buf_cstr(&seen), "device g 10 [d9]\n"));
    ix_buf_deinit(&seen);
}

/* What was committed is written before it closes, and said. */
static void test_closing_waits(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "g%d", i);
        put_group(name, 1);
        commit();
    }
    put_group("never", 1); /* not committed: nobody was told that it is kept */
    ix_store_close(rig.store);
    rig.store = NULL;
    assert_int_equal(rig.answered, 20);
    struct ix_error err;
    assert_int_equal(ix_store_open(&rig.loop, rig.folder, &rig.store, &err), 0);
    ix_buf_init(&seen, 1 << 20);
    const struct ix_store_reader reader = {on_meta, on_model, on_group, on_device, on_gone, on_order, NULL};
    assert_int_equal(ix_store_read(rig.store, &reader, &err), 0);
    assert_non_null(strstr(ix_buf_cstr(&seen), "group g19 "));
    assert_null(strstr(ix_buf_cstr(&seen), "never"));
    ix_buf_deinit(&seen);
}

static void test_an_empty_change_is_answered(void **state)
{
    (void)state;
    commit();
    wait_for(1);
    assert_int_equal(rig.answers[0], 0);
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    struct ix_store *second = NULL;
    struct ix_error err;
    assert_int_equal(ix_store_open(&rig.loop, rig.folder, &second, &err), -EWOULDBLOCK);
    assert_null(second);
    assert_non_null(strstr(err.text, "another iotix service"));
    assert_non_null(strstr(err.text, "--data-dir"));
}

static void run(const char *sql)
{
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/iotix.db", rig.folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void assert_refused(int code, const char *text)
{
    struct ix_error err;
    assert_int_equal(ix_store_open(&rig.loop, rig.folder, &rig.store, &err), code);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
}

static void test_others_are_refused(void **state)
{
    (void)state;
    ix_store_close(rig.store);
    rig.store = NULL;
    run("PRAGMA user_version = 77");
    assert_refused(-EPROTO, "later version");
    run("PRAGMA user_version = 1; PRAGMA application_id = 5");
    assert_refused(-EBADMSG, "another program");
}

#define CHECK(name)                               \
    {                                             \
#name, test_##name, setup, teardown, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHECK(everything_comes_back), CHECK(what_replaces_what),          CHECK(changes_are_whole),
        CHECK(closing_waits),         CHECK(an_empty_change_is_answered), CHECK(one_at_a_time),
        CHECK(others_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
