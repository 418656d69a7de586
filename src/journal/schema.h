/* Making, checking and migrating the journal's database file. Used by open.c; the names of failures, by journal.c, too.
 */
#pragma once

#include "util/error.h"

#include <sqlite3.h>

/* Opens or makes `path` with owner-only permissions, exclusive locking, WAL (pitfalls 9.1-9.3), and checks it (9.6).
 * -EUCLEAN: damaged; -EPROTO: newer schema than ours. Checkpoints are the caller's to make. */
int schema_open(sqlite3 **ret, const char *path, Error *e) _must_check_;

/* Records an SQLite failure and returns its errno: -ENOSPC, -EIO, -EUCLEAN (corrupt), -ENOMEM. */
int schema_error(sqlite3 *db, int rc, Error *e, const char *what);
