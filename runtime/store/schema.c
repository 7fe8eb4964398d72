#include "store/schema.h"

#include <stdio.h>
#include <string.h>

/* "iotx": says whose database it is. */
#define APPLICATION 0x696f7478

/* Step n makes version n + 1 of version n. Steps that were released are never changed. */
static const char *const steps[] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE models(id TEXT PRIMARY KEY, text TEXT NOT NULL, created_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE groups(place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, hidden INTEGER "
    "NOT NULL,"
    " model TEXT NOT NULL, count INTEGER NOT NULL, pattern TEXT NOT NULL, connection TEXT NOT NULL,"
    " names_base INTEGER NOT NULL, created_ms INTEGER NOT NULL, state INTEGER NOT NULL, launch TEXT NOT "
    "NULL);"
    "CREATE TABLE devices(grp TEXT NOT NULL REFERENCES groups(id) ON DELETE CASCADE, idx INTEGER NOT NULL,"
    " name TEXT NOT NULL, created_ms INTEGER NOT NULL, PRIMARY KEY(grp, idx)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX device_names ON devices(name) WHERE name <> '';"
    "CREATE TABLE gone(grp TEXT NOT NULL REFERENCES groups(id) ON DELETE CASCADE, idx INTEGER NOT NULL,"
    " PRIMARY KEY(grp, idx)) WITHOUT ROWID;"
    "CREATE TABLE orders(grp TEXT NOT NULL REFERENCES groups(id) ON DELETE CASCADE, idx INTEGER NOT NULL,"
    " started INTEGER NOT NULL, PRIMARY KEY(grp, idx)) WITHOUT ROWID;",
};
#define NEWEST ((int)IX_ARRAY_LEN(steps))

static int number(sqlite3 *db, const char *pragma, int *value)
{
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(db, pragma, -1, &statement, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        *value = sqlite3_column_int(statement, 0);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    return rc;
}

static int damaged(sqlite3 *db, const char *path, const char *what, struct ix_error *err)
{
    return ix_fail(
        err, -EBADMSG,
        "%s can't be used: %s. It was left as it is; restore it from a backup, or move it away to begin "
        "without it",
        path, what ? what : sqlite3_errmsg(db));
}

static int check(sqlite3 *db, const char *path, struct ix_error *err)
{
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    int code = 0;
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc != SQLITE_ROW)
        code = damaged(db, path, NULL, err);
    else if (strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0)
        code = damaged(db, path, (const char *)sqlite3_column_text(statement, 0), err);
    sqlite3_finalize(statement);
    return code;
}

int ix_schema_migrate(sqlite3 *db, const char *path, struct ix_error *err)
{
    int version = 0, application = 0, tables = 0;
    if (number(db, "PRAGMA user_version", &version) != SQLITE_OK ||
        number(db, "PRAGMA application_id", &application) != SQLITE_OK ||
        number(db, "SELECT count(*) FROM sqlite_schema", &tables) != SQLITE_OK)
        return damaged(db, path, NULL, err);
    if (tables && application != APPLICATION)
        return damaged(db, path, "it is another program's database", err);
    if (version > NEWEST)
        return ix_fail(
            err, -EPROTO,
            "%s was written by a later version of iotix (schema %d, this one knows %d): use that version, or "
            "another --data-dir",
            path, version, NEWEST);
    int code = check(db, path, err);
    for (; code == 0 && version < NEWEST; version++) {
        char text[4096];
        snprintf(text, sizeof text,
                 "BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
                 steps[version], APPLICATION, version + 1);
        if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK) {
            code = ix_fail(err, -EIO, "%s can't be brought to schema %d: %s", path, version + 1,
                           sqlite3_errmsg(db));
            sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        }
    }
    return code;
}
