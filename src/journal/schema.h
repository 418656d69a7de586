/* Making, checking and migrating the journal's database file. Used by journal.c only. */
#pragma once

#include "util/error.h"

#include <sqlite3.h>

/* Opens or makes `path` with owner-only permissions, exclusive locking, WAL (pitfalls 9.1-9.3). -EUCLEAN: damaged;
 * -EPROTO: newer schema than ours. `check`: quick_check it (after an unclean stop). */
int schema_open(sqlite3 **ret, const char *path, bool check, Error *e) _must_check_;

/* Records an SQLite failure and returns its errno: -ENOSPC, -EIO, -EUCLEAN (corrupt), -ENOMEM. */
int schema_error(sqlite3 *db, int rc, Error *e, const char *what);

/* Moves the database and its log aside together, kept for whoever wants to look (9.7); `ret` says where. */
int schema_quarantine(const char *path, char *ret, size_t room, Error *e) _must_check_;
