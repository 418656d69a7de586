/* How many rows of a mapping are in which state: read once, and kept up to date by whoever writes a row. */
#include "journal/state.h"

/* Those that are not clean stand in an index by state, so nothing is sorted: of a million rows that takes 30 MB. */
static int count_work(Journal *j, MappingCounts *c, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, STMT_COUNT_WORK);
        uint64_t *states = c->counts.state;
        int rc;

        (void) sqlite3_bind_int64(stmt, 1, c->mapping);
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                int64_t state = sqlite3_column_int64(stmt, 0);
                uint64_t n = (uint64_t) sqlite3_column_int64(stmt, 1);

                states[PATH_CLEAN] -= n;
                states[state < _PATH_STATES ? state : PATH_CLEAN] += n; /* as row_read() */
                c->counts.deletions += (uint64_t) sqlite3_column_int64(stmt, 2);
                if (state == PATH_GONE)
                        c->counts.waiting = (uint64_t) sqlite3_column_int64(stmt, 2);
        }
        return rc == SQLITE_DONE ? 0 : journal_fail(j, rc, e, "counting");
}

int counts_load(Journal *j, MappingCounts *c, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, STMT_COUNT);
        int rc;

        decision_begin(c); /* what was written may be gone with its transaction */
        (void) sqlite3_bind_int64(stmt, 1, c->mapping);
        rc = sqlite3_step(stmt);
        if (rc != SQLITE_ROW)
                return journal_fail(j, rc, e, "counting");
        c->counts = (JournalCounts){ .files = (uint64_t) sqlite3_column_int64(stmt, 1),
                                     .busy = (uint64_t) sqlite3_column_int64(stmt, 2),
                                     .bytes = (uint64_t) sqlite3_column_int64(stmt, 3),
                                     .tallied = (uint64_t) sqlite3_column_int64(stmt, 4),
                                     .empty = (uint64_t) sqlite3_column_int64(stmt, 5) };
        c->counts.state[PATH_CLEAN] = (uint64_t) sqlite3_column_int64(stmt, 0);
        return count_work(j, c, e);
}

void counts_drop(Journal *j) {
        while (j->n_counts > 0)
                free(j->counts[--j->n_counts].carried.name);
}

MappingCounts *counts_entry(Journal *j, int64_t mapping) {
        MappingCounts *more;

        for (size_t i = 0; i < j->n_counts; i++)
                if (j->counts[i].mapping == mapping)
                        return &j->counts[i];
        more = reallocarray(j->counts, j->n_counts + 1, sizeof(*more));
        if (!more)
                return NULL;
        j->counts = more;
        j->counts[j->n_counts] = (MappingCounts){ .mapping = mapping };
        if (counts_load(j, &j->counts[j->n_counts], NULL) < 0)
                return NULL;
        return &j->counts[j->n_counts++];
}

JournalCounts *counts_of(Journal *j, int64_t mapping) {
        MappingCounts *c = counts_entry(j, mapping);

        return c ? &c->counts : NULL;
}

const JournalCounts *journal_counts(Journal *j, int64_t mapping) {
        static const JournalCounts none;
        MappingCounts *c = counts_entry(j, mapping);

        return c ? decision_counts(c) : &none;
}
