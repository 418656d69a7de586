/* What is decided about all deletions of a mapping at once: held by the guard, approved or rejected by a person. To
 * write it into a million rows takes seconds, so it is one mark in the mapping's record that counts, from its commit
 * on: rows are read as it has them, counters are shown so, and the rows themselves are written a few at a time. A kill
 * in between changes nothing: the mark says that they are to be carried over, and those that are over are no longer
 * concerned. */
#include "journal/state.h"

#include "util/buf.h"

#include <assert.h>
#include <string.h>

unsigned decision_of(const Journal *j, int64_t mapping) {
        for (size_t i = 0; i < j->n_counts; i++)
                if (j->counts[i].mapping == mapping)
                        return j->counts[i].decision;
        return 0;
}

void decision_begin(MappingCounts *c) {
        free(c->carried.name);
        memset(&c->carried, 0, sizeof(c->carried));
}

int decision_note(Journal *j, const JournalMapping *m, Error *e) {
        MappingCounts *c;

        if (m->decision == decision_of(j, m->id))
                return 0;
        c = counts_entry(j, m->id);
        if (!c)
                return error_oom(e);
        if (c->decision == 0 || m->decision == 0)
                decision_begin(c);
        c->decision = m->decision;
        return 0;
}

const JournalCounts *decision_counts(MappingCounts *c) {
        JournalCounts *n = &c->shown;
        PathState end = c->decision & DECISION_APPROVE ? PATH_GONE : PATH_SKIPPED;

        if (c->decision == 0)
                return &c->counts;
        *n = c->counts;
        if (c->decision & DECISION_HOLD) {
                n->state[PATH_HELD] += n->waiting;
                n->state[PATH_GONE] -= n->waiting;
                n->waiting = 0;
        }
        if (c->decision & (DECISION_APPROVE | DECISION_REJECT)) {
                n->state[end] += n->state[PATH_HELD];
                n->state[PATH_HELD] = 0;
                n->deletions = n->waiting;
        }
        return n;
}

int journal_decide(Journal *j, JournalMapping *m, unsigned decision, Error *e) {
        m->decision |= decision;
        return journal_mapping_put(j, m, e);
}

/* The next names, in the order of the index; each ended by NUL. */
static int next_names(Journal *j, MappingCounts *c, unsigned limit, Buf *names, unsigned *ret_n, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, STMT_CARRY);
        const char *after = c->carried.name ? c->carried.name : "";
        _cleanup_free_ char *last = NULL;
        size_t at = 0;
        int rc;

        *ret_n = 0;
        (void) sqlite3_bind_int64(stmt, 1, c->mapping);
        (void) sqlite3_bind_int(stmt, 2, (int) c->carried.state);
        (void) sqlite3_bind_int64(stmt, 3, c->carried.name ? c->carried.due : -1);
        (void) sqlite3_bind_blob(stmt, 4, after, (int) strlen(after), SQLITE_STATIC);
        (void) sqlite3_bind_int64(stmt, 5, limit);
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                at = names->size;
                if (buf_append(names, sqlite3_column_blob(stmt, 0), (size_t) sqlite3_column_bytes(stmt, 0)) < 0 ||
                    buf_append(names, "", 1) < 0)
                        return error_oom(e);
                c->carried.due = sqlite3_column_int64(stmt, 1);
                ++*ret_n;
        }
        if (rc != SQLITE_DONE)
                return journal_fail(j, rc, e, "reading what is decided");
        if (*ret_n == 0)
                return 0;
        last = strdup(names->data + at);
        if (!last)
                return error_oom(e);
        free(c->carried.name);
        c->carried.name = TAKE_PTR(last);
        return 0;
}

/* It is read as decided; it is written if that is not how it stands there. */
static int carry_one(Journal *j, int64_t mapping, const char *name, Error *e) {
        Row row;
        int r = journal_get(j, mapping, name, strlen(name), &row, e);

        if (r > 0 && (row.state != row.stored.state || row_is_deletion(&row) != row.stored.counted))
                r = journal_put(j, mapping, &row, e);
        return r;
}

int journal_carry(Journal *j, JournalMapping *m, unsigned limit, Error *e) {
        _cleanup_buf_ Buf names = BUF_INIT((size_t) limit * (ROW_PATH_MAX + 1));
        MappingCounts *c;
        unsigned n;
        int r;

        assert(limit > 0);

        if (m->decision == 0)
                return 0;
        c = counts_entry(j, m->id);
        if (!c)
                return error_oom(e);
        if (c->carried.state == PATH_CLEAN)
                c->carried.state = m->decision & DECISION_HOLD ? PATH_GONE : PATH_HELD;
        r = next_names(j, c, limit, &names, &n, e);
        for (size_t at = 0; at < names.size && r >= 0; at += strlen(names.data + at) + 1)
                r = carry_one(j, m->id, names.data + at, e);
        if (r < 0) {
                decision_begin(c); /* what was written of it may be gone with the transaction */
                return r;
        }
        if (n == limit)
                return 1;
        if (c->carried.state == PATH_GONE && m->decision != DECISION_HOLD) {
                decision_begin(c);
                c->carried.state = PATH_HELD;
                return 1;
        }
        m->decision = 0;
        return journal_mapping_put(j, m, e);
}
