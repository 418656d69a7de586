/* Every statement of the journal. HOT ones run per file: a unit test refuses plans that walk through a table, or a
 * mapping. */
#pragma once

/* "due > -1" and "due < 9223372036854775807" are always true: two bounds make SQLite 3.40 use both columns before `due`
 * in path_work, which it otherwise reads from mapping on (how many are needed depends on the width of a row). */
/* clang-format off */
#define ROW_COLUMNS                                                                                                       \
        "name, etag, foreign_blob, md5, size, mtime, ctime, btime, ino, mode, uid, gid, "                                 \
        "state, content, doubt, unrest, marked, gen, due, first, attempts, seen_ino, reason, approved, moved, tallied, "            \
        "held, changed, seen_ctime, due_ino, sum"

/* What may be looked at later than its turn: it was heard of beside the walk, or a look has found it, or failed. Any other row
 * that a walk has met is looked at before a deletion is claimed, and needs no entry in path_due_ino. */
#define PUT_OFF "(gen > 1 OR attempts > 0 OR seen_ctime != 0)"

#define MAPPING_COLUMNS "id, name, destination, root, paused, scan, contacted, suspect, last_sync, sum"
#define WINDOW_COLUMNS "mapping, minute, deletions, overwrites, sum"

/* resum(sum, field, old, new) is row_resum(): what changes many rows at once must not make a wrong sum right. The fields are
 * those of RowField. */
#define JOURNAL_STATEMENTS(X)                                                                                             \
        X(BEGIN, COLD, "BEGIN IMMEDIATE")                                                                                 \
        X(COMMIT, COLD, "COMMIT")                                                                                         \
        X(ROLLBACK, COLD, "ROLLBACK")                                                                                     \
        X(META_GET, COLD, "SELECT value FROM meta WHERE key = ?1")                                                        \
        X(META_PUT, COLD, "INSERT INTO meta (key, value) VALUES (?1, ?2) "                                                \
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value")                                                 \
        X(MAPPING_GET, COLD, "SELECT " MAPPING_COLUMNS " FROM mapping WHERE name = ?1") \
        X(MAPPING_ADD, COLD, "INSERT INTO mapping (name) VALUES (?1)")                                                    \
        X(MAPPING_PUT, COLD, "UPDATE mapping SET destination = ?2, root = ?3, paused = ?4, scan = ?5, contacted = ?6, "   \
                "suspect = ?7, last_sync = ?8, sum = ?9 WHERE id = ?1")                                                                           \
        X(MAPPING_TAKE_OVER, COLD, "UPDATE mapping SET sum = resum(sum, 4, contacted, contacted - 1 | 2), contacted = contacted - 1 | 2 " \
                "WHERE id != ?1 AND contacted & 1 AND (destination || '/' = substr(?2 || '/', 1, length(destination) + 1) " \
                "OR ?2 || '/' = substr(destination || '/', 1, length(?2) + 1))") \
        X(ROW_GET, HOT, "SELECT " ROW_COLUMNS " FROM path WHERE mapping = ?1 AND name = ?2")                              \
        X(ROW_ADD, HOT, "INSERT OR REPLACE INTO path (mapping, " ROW_COLUMNS ") VALUES " \
                "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32)") \
        X(ROW_SET, HOT, "UPDATE path SET " \
                "etag = ?3, foreign_blob = ?4, md5 = ?5, size = ?6, mtime = ?7, ctime = ?8, btime = ?9, " \
                "ino = ?10, mode = ?11, uid = ?12, gid = ?13, state = ?14, content = ?15, doubt = ?16, " \
                "unrest = ?17, marked = ?18, gen = ?19, due = ?20, first = ?21, attempts = ?22, seen_ino = ?23, " \
                "reason = ?24, approved = ?25, moved = ?26, tallied = ?27, held = ?28, changed = ?29, " \
                "seen_ctime = ?30, due_ino = ?31, sum = ?32" \
                " WHERE mapping = ?1 AND name = ?2") \
        X(ROW_CLAIM, HOT, "UPDATE path SET state = ?3, tallied = ?4, sum = ?5 WHERE mapping = ?1 AND name = ?2") \
        X(ROW_FORGET, HOT, "DELETE FROM path WHERE mapping = ?1 AND name = ?2")                                           \
        X(ROW_DUE, HOT, "SELECT " ROW_COLUMNS " FROM path INDEXED BY path_work WHERE mapping = ?1 AND state = ?2 AND state > 0 AND due > -1 AND due <= ?3 ORDER BY due LIMIT ?4") \
        X(ROW_FRESH, HOT, "SELECT " ROW_COLUMNS " FROM path INDEXED BY path_work WHERE mapping = ?1 AND state = ?2 AND state > 0 AND due > ?5 AND due <= ?3 ORDER BY due DESC LIMIT ?4") \
        X(NEXT_DUE, HOT, "SELECT due FROM path INDEXED BY path_work WHERE mapping = ?1 AND state = ?2 AND state > 0 AND due > -1 AND due < 9223372036854775807 ORDER BY due LIMIT 1") \
        X(UNTRIED, HOT, "SELECT 1 FROM path INDEXED BY path_work WHERE mapping = ?1 AND state = 1 AND state > 0 AND due > -1 AND due < ?3 AND attempts < ?2 LIMIT 1") \
        X(NTH_DUE, HOT, "SELECT due FROM path INDEXED BY path_work WHERE mapping = ?1 AND state = ?2 AND state > 0 AND due > ?3 AND due < 9223372036854775807 ORDER BY due LIMIT 1 OFFSET ?4") \
        X(OLDEST, HOT, "SELECT first FROM path INDEXED BY path_age WHERE mapping = ?1 AND state > 0 AND state < 4 AND first > -1 ORDER BY first LIMIT 1") \
        X(BRANCH, HOT, "SELECT " ROW_COLUMNS " FROM path WHERE mapping = ?1 AND name > ?2 AND name < ?3 "                 \
                "ORDER BY name LIMIT ?4")                                                                                 \
        X(BELOW, HOT, "SELECT 1 FROM path WHERE mapping = ?1 AND name > CAST(?2 || '/' AS BLOB) AND name < CAST(?2 || '0' AS BLOB) LIMIT 1") \
        X(LISTED, HOT, "UPDATE path SET listed = ?3 WHERE mapping = ?1 AND name = ?2 AND listed != ?3")                   \
        X(UNLISTED, HOT, "SELECT name, etag IS NOT NULL AND listed != ?3 FROM path WHERE mapping = ?1 AND name > ?2 "     \
                "ORDER BY name LIMIT ?4")                                                                                 \
        X(EXPECTED, COLD, "SELECT count(*) FILTER (WHERE NOT doubt AND NOT approved AND state != 3), count(*) FROM path WHERE mapping = ?1 AND etag IS NOT NULL") \
        X(QUEUE_FEW, COLD, "SELECT " ROW_COLUMNS " FROM path INDEXED BY path_work WHERE mapping = ?1 AND state > 0 "      \
                "AND name > ?2 ORDER BY name LIMIT ?3")                                                                   \
        X(QUEUE_MANY, HOT, "SELECT " ROW_COLUMNS " FROM path WHERE mapping = ?1 AND name > ?2 AND +state > 0 "            \
                "ORDER BY name LIMIT ?3")                                                                                 \
        X(BY_INODE, HOT, "SELECT " ROW_COLUMNS " FROM path INDEXED BY path_inode WHERE mapping = ?1 AND ino = ?2 AND name > ?4 ORDER BY name LIMIT ?3") \
        X(INODE_DUE, HOT, "SELECT 1 FROM path INDEXED BY path_due_ino WHERE mapping = ?1 AND due_ino = ?2 AND " PUT_OFF " AND state IN (1, 2) LIMIT 1") \
        X(RELEASE, HOT, "UPDATE path SET sum = resum(sum, 1, state, 1), state = 1, due = 0, gen = gen + 1, attempts = 0, "                               \
                "first = CASE WHEN first = 0 THEN ?3 ELSE first END WHERE mapping = ?1 AND name IN "                      \
                "(SELECT name FROM path INDEXED BY path_work WHERE mapping = ?1 AND state = ?2 AND state > 0 AND due > ?4 AND due < 9223372036854775807 LIMIT ?5)") \
        X(COUNT, COLD, "SELECT count(*), count(*) FILTER (WHERE etag IS NOT NULL AND approved != 2), count(*) FILTER (WHERE marked != 0), " \
                "sum(size) FILTER (WHERE etag IS NOT NULL AND approved != 2), count(*) FILTER (WHERE tallied != 0), " \
                "count(*) FILTER (WHERE etag IS NOT NULL AND approved != 2 AND size = 0) FROM path WHERE mapping = ?1")            \
        X(COUNT_WORK, COLD, "SELECT state, count(*), count(*) FILTER (WHERE state IN (3, 5) AND NOT approved AND NOT moved AND NOT tallied) " \
                "FROM path INDEXED BY path_work WHERE mapping = ?1 AND state > 0 GROUP BY state")                         \
        X(CARRY, HOT, "SELECT name, due FROM path INDEXED BY path_work WHERE mapping = ?1 AND state = ?2 AND state > 0 AND (due, name) > (?3, ?4) AND due < 9223372036854775807 ORDER BY due, name LIMIT ?5") \
        X(WINDOW_GET, HOT, "SELECT " WINDOW_COLUMNS " FROM window WHERE mapping = ?1")                                    \
        X(WINDOW_PUT, HOT, "INSERT INTO window (" WINDOW_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5) "                         \
                "ON CONFLICT (mapping, minute) DO UPDATE SET deletions = excluded.deletions, overwrites = excluded.overwrites, sum = excluded.sum") \
        X(WINDOW_PRUNE, HOT, "DELETE FROM window WHERE mapping = ?1 AND (minute <= ?2 OR minute > ?3)")                   \
        X(MAPPING_ASIDE, COLD, "UPDATE mapping SET name = name || '/' || id, suspect = 0 WHERE id = ?1")                  \
        X(WIPED, COLD, "SELECT id FROM mapping WHERE name GLOB '*/*' LIMIT 1")                                            \
        X(SWEEP, COLD, "DELETE FROM path WHERE mapping = ?1 AND name IN (SELECT name FROM path WHERE mapping = ?1 LIMIT ?2)") \
        X(SWEPT, COLD, "DELETE FROM mapping WHERE id = ?1")                                                               \
        X(UNCLAIM, COLD, "UPDATE path SET sum = resum(resum(sum, 1, 2, 1), 2, doubt, 1), state = 1, due = 0, doubt = 1, gen = gen + 1 " \
                "WHERE mapping = ?1 AND state = 2 AND state > 0")  \
        X(UNDUE, COLD, "UPDATE path SET due = 0 WHERE state IN (1, 3)")                                                   \
        X(CUT_OFF, COLD, "UPDATE mapping SET "                                                                            \
                "sum = resum(resum(sum, 4, contacted, CASE WHEN contacted & 1 THEN contacted - 1 | 2 ELSE contacted END), 5, scan, 3), " \
                "scan = 3, contacted = CASE WHEN contacted & 1 THEN contacted - 1 | 2 ELSE contacted END")                \
        X(LAST_FIRST, COLD, "SELECT max(max("                                                                             \
                "(SELECT ifnull(max(first), 0) FROM path INDEXED BY path_age WHERE mapping = id AND state > 0 AND state < 4), " \
                "(SELECT ifnull(max(first), 0) FROM path INDEXED BY path_work WHERE mapping = id AND state > 3 AND state > 0)" \
                ")) FROM mapping")                                                                                        \
        X(HOLDING, COLD, "SELECT EXISTS (SELECT 1 FROM path INDEXED BY path_work WHERE state = 5 AND state > 0) OR "       \
                "EXISTS (SELECT 1 FROM mapping WHERE suspect)")                                                           \
        X(ROOM_TAKE, COLD, "INSERT INTO meta (key, value) VALUES ('room', ?1) "                                          \
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value")                                                 \
        X(ROOM_GIVE, COLD, "DELETE FROM meta WHERE key = 'room'")

#define JOURNAL_SCHEMA_VERSION 1

/* `name` is a BLOB: memcmp order, not UTF-8, no collation (pitfalls 6.9). path_work covers whatever is not clean, and so is empty
 * when all is in sync; path_age what is pending, for status asks for the oldest of a million again and again (its condition is no
 * IN (1, 2, 3): each write of a row would build a table of the three first). States are PathState. `listed` is the number of the listing that showed the blob last. `contacted` holds the bits
 * of JournalMapping's contacted, met and resend; `scan` its scan and reread; `suspect` its suspect and decision; `approved` those of
 * Row's approved and kept.
 * `sum`: against flipped bits. */
#define JOURNAL_SCHEMA                                                                                                    \
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;"                                      \
        "CREATE TABLE mapping ("                                                                                          \
        "  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, destination TEXT NOT NULL DEFAULT '', root BLOB,"           \
        "  paused INTEGER NOT NULL DEFAULT 0, scan INTEGER NOT NULL DEFAULT 1, contacted INTEGER NOT NULL DEFAULT 0,"     \
        "  suspect INTEGER NOT NULL DEFAULT 0, last_sync INTEGER NOT NULL DEFAULT 0, sum INTEGER NOT NULL DEFAULT 0) STRICT;"                                                               \
        "CREATE TABLE path ("                                                                                             \
        "  mapping INTEGER NOT NULL, name BLOB NOT NULL,"                                                                 \
        "  etag TEXT, foreign_blob INTEGER NOT NULL, md5 BLOB, size INTEGER NOT NULL, mtime INTEGER NOT NULL,"            \
        "  ctime INTEGER NOT NULL, btime INTEGER NOT NULL, ino INTEGER, mode INTEGER NOT NULL, uid INTEGER NOT NULL,"     \
        "  gid INTEGER NOT NULL,"                                                                                         \
        "  state INTEGER NOT NULL, content INTEGER NOT NULL, doubt INTEGER NOT NULL,"                                      \
        "  unrest INTEGER NOT NULL, marked INTEGER NOT NULL,"                                                             \
        "  gen INTEGER NOT NULL, due INTEGER NOT NULL, first INTEGER NOT NULL, attempts INTEGER NOT NULL,"                \
        "  seen_ino INTEGER, reason TEXT, approved INTEGER NOT NULL, moved INTEGER NOT NULL, tallied INTEGER NOT NULL,"   \
        "  held INTEGER NOT NULL, changed INTEGER NOT NULL, seen_ctime INTEGER NOT NULL, due_ino INTEGER, sum INTEGER NOT NULL, listed INTEGER NOT NULL DEFAULT 0,"                                                      \
        "  PRIMARY KEY (mapping, name)) STRICT, WITHOUT ROWID;"                                                           \
        "CREATE TABLE window (mapping INTEGER NOT NULL, minute INTEGER NOT NULL, deletions INTEGER NOT NULL,"             \
        "  overwrites INTEGER NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (mapping, minute)) STRICT, WITHOUT ROWID;"                            \
        "CREATE INDEX path_work ON path (mapping, state, due) WHERE state > 0;"                                           \
        "CREATE INDEX path_age ON path (mapping, first) WHERE state > 0 AND state < 4;"                                    \
        "CREATE INDEX path_inode ON path (mapping, ino) WHERE ino IS NOT NULL;"                                           \
        "CREATE INDEX path_due_ino ON path (mapping, due_ino) WHERE due_ino IS NOT NULL AND " PUT_OFF ";"
/* clang-format on */
