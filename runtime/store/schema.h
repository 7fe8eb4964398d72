/* The database's schema, version by version. */
#ifndef IX_STORE_SCHEMA_H
#define IX_STORE_SCHEMA_H

#include "base/error.h"

#include <sqlite3.h>

/* Brings an open database to the newest version, each step in a transaction of its own. Refuses what is damaged and
 * what is newer; `path` is for messages. */
int ix_schema_migrate(sqlite3 *db, const char *path, struct ix_error *err);

#endif
