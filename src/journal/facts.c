/* What the journal knows of a mapping as a whole: its record, and the guard's window. Each row carries a sum, since a
 * flipped byte inside one is noticed by nobody else (pitfalls 9.6); what fails it is taken for the worst. */
#include "journal/repair.h"
#include "journal/state.h"
#include "util/clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { SCAN = 1, REREAD = 2 };               /* bits of the column `scan` */
enum { CONTACTED = 1, MET = 2, RESEND = 4 }; /* bits of the column `contacted` */
enum { SUSPECT = 1, DECISION = 2 };          /* of `suspect`: DECISION_* are those from DECISION on */

static int scan_bits(const JournalMapping *m) {
        return (m->scan ? SCAN : 0) | (m->reread ? REREAD : 0);
}

static int contact_bits(const JournalMapping *m) {
        return (m->contacted ? CONTACTED | MET : 0) | (m->met ? MET : 0) | (m->resend ? RESEND : 0);
}

static int suspect_bits(const JournalMapping *m) {
        return (m->suspect ? SUSPECT : 0) | (int) m->decision * DECISION;
}

/* FNV-1a, as for the rows */
static uint64_t sum_of(const void *bytes, size_t size, uint64_t h) {
        const uint8_t *p = bytes;

        for (size_t i = 0; i < size; i++)
                h = (h ^ p[i]) * UINT64_C(0x100000001b3);
        return h;
}

static uint64_t sum_of_numbers(const int64_t *numbers, size_t n) {
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < n; i++) {
                h = (h ^ (uint64_t) numbers[i]) * UINT64_C(0x9e3779b97f4a7c15);
                h ^= h >> 29;
        }
        return h;
}

/* Its name has a unique index, which is checked against the table. */
static uint64_t mapping_sum(const JournalMapping *m) {
        const int64_t numbers[] = { m->id, m->paused, suspect_bits(m), m->last_sync_ns };
        uint64_t h = sum_of_numbers(numbers, ELEMENTSOF(numbers));

        h = sum_of(m->destination, strlen(m->destination) + 1, h);
        h = sum_of(m->root, sizeof(m->root), h);
        h = row_resum(h, MAPPING_CONTACT, 0, contact_bits(m));
        return row_resum(h, MAPPING_SCAN, 0, scan_bits(m));
}

/* The MAPPING_COLUMNS of the current row. False: the sum is wrong. */
bool facts_read_mapping(sqlite3_stmt *stmt, JournalMapping *ret) {
        const char *destination = (const char *) sqlite3_column_text(stmt, 2);
        int scan = sqlite3_column_int(stmt, 5), contact = sqlite3_column_int(stmt, 6);
        int suspect = sqlite3_column_int(stmt, 7);

        *ret = (JournalMapping){
                .id = sqlite3_column_int64(stmt, 0),
                .paused = sqlite3_column_int(stmt, 4),
                .scan = scan & SCAN,
                .reread = scan & REREAD,
                .contacted = contact & CONTACTED,
                .met = contact & (CONTACTED | MET),
                .resend = contact & RESEND,
                .suspect = suspect & SUSPECT,
                .decision = (unsigned) suspect / DECISION & DECISION_BITS,
                .last_sync_ns = sqlite3_column_int64(stmt, 8),
        };
        (void) snprintf(ret->destination, sizeof(ret->destination), "%s", destination ? destination : "");
        if (sqlite3_column_bytes(stmt, 3) == (int) sizeof(ret->root))
                memcpy(ret->root, sqlite3_column_blob(stmt, 3), sizeof(ret->root));
        return (uint64_t) sqlite3_column_int64(stmt, 9) == mapping_sum(ret);
}

/* Nothing of it is believed but that somebody may have paused it: the folder and the destination are pinned anew, what
 * the container holds is listed, and until that is over a person decides about deletions. */
static void distrust(JournalMapping *m) {
        *m = (JournalMapping){ .id = m->id,
                               .paused = m->paused,
                               .scan = true,
                               .reread = true,
                               .met = true,
                               .suspect = true,
                               .damaged = true };
}

static int mapping_get(Journal *j, const char *name, JournalMapping *ret, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, STMT_MAPPING_GET);
        int r, rc;

        (void) sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_DONE)
                return 0;
        if (rc != SQLITE_ROW)
                return journal_fail(j, rc, e, "reading a mapping");
        if (!facts_read_mapping(stmt, ret))
                distrust(ret);
        r = decision_note(j, ret, e);
        return r < 0 ? r : 1;
}

int journal_mapping(Journal *j, const char *name, JournalMapping *ret, Error *e) {
        int r = mapping_get(j, name, ret, e);

        if (r != 0)
                return r < 0 ? r : 0;
        r = journal_begin(j, e);
        if (r < 0)
                return r;
        (void) sqlite3_bind_text(journal_stmt(j, STMT_MAPPING_ADD), 1, name, -1, SQLITE_STATIC);
        r = journal_step(j, STMT_MAPPING_ADD, e, "adding a mapping");
        if (r < 0)
                return r;
        *ret = (JournalMapping){ .id = sqlite3_last_insert_rowid(j->db), .scan = true, .suspect = repair_marked(j) };
        return journal_mapping_put(j, ret, e);
}

int journal_mapping_put(Journal *j, const JournalMapping *m, Error *e) {
        sqlite3_stmt *stmt = journal_stmt(j, STMT_MAPPING_PUT);
        int r = journal_begin(j, e);

        if (r < 0)
                return r;
        (void) sqlite3_bind_int64(stmt, 1, m->id);
        (void) sqlite3_bind_text(stmt, 2, m->destination, -1, SQLITE_STATIC);
        (void) sqlite3_bind_blob(stmt, 3, m->root, sizeof(m->root), SQLITE_STATIC);
        (void) sqlite3_bind_int(stmt, 4, m->paused);
        (void) sqlite3_bind_int(stmt, 5, scan_bits(m));
        (void) sqlite3_bind_int(stmt, 6, contact_bits(m));
        (void) sqlite3_bind_int(stmt, 7, suspect_bits(m));
        (void) sqlite3_bind_int64(stmt, 8, m->last_sync_ns);
        (void) sqlite3_bind_int64(stmt, 9, (int64_t) mapping_sum(m));
        j->holds |= m->decision != 0;
        r = journal_step(j, STMT_MAPPING_PUT, e, "writing a mapping");
        return r < 0 ? r : decision_note(j, m, e);
}

int journal_take_over(Journal *j, const JournalMapping *m, Error *e) {
        sqlite3_stmt *stmt = journal_stmt(j, STMT_MAPPING_TAKE_OVER);
        int r = journal_begin(j, e);

        if (r < 0)
                return r;
        (void) sqlite3_bind_int64(stmt, 1, m->id);
        (void) sqlite3_bind_text(stmt, 2, m->destination, -1, SQLITE_STATIC);
        return journal_step(j, STMT_MAPPING_TAKE_OVER, e, "taking a destination over");
}

/* --- the guard's window --- */

/* A minute whose sum is wrong may have been one of many deletions. */
#define UNKNOWN_COUNT INT64_C(1000000000)

static uint64_t minute_sum(const JournalMinute *m) {
        const int64_t numbers[] = { m->mapping, m->minute, m->deletions, m->overwrites };

        return sum_of_numbers(numbers, ELEMENTSOF(numbers));
}

bool facts_read_minute(sqlite3_stmt *stmt, JournalMinute *ret) {
        *ret = (JournalMinute){ sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1),
                                sqlite3_column_int64(stmt, 2), sqlite3_column_int64(stmt, 3) };
        if ((uint64_t) sqlite3_column_int64(stmt, 4) == minute_sum(ret))
                return true;
        ret->deletions = UNKNOWN_COUNT;
        ret->overwrites = 0;
        return false;
}

int facts_put_minute(Journal *j, const JournalMinute *m, Error *e) {
        sqlite3_stmt *stmt = journal_stmt(j, STMT_WINDOW_PUT);
        int r = journal_begin(j, e);

        if (r < 0)
                return r;
        (void) sqlite3_bind_int64(stmt, 1, m->mapping);
        (void) sqlite3_bind_int64(stmt, 2, m->minute);
        (void) sqlite3_bind_int64(stmt, 3, m->deletions);
        (void) sqlite3_bind_int64(stmt, 4, m->overwrites);
        (void) sqlite3_bind_int64(stmt, 5, (int64_t) minute_sum(m));
        return journal_step(j, STMT_WINDOW_PUT, e, "counting deletions");
}

typedef struct Window {
        JournalMinute now, ahead; /* ahead: of minutes to come; the clock was set back */
        JournalWindow sum;
        bool unknown;
} Window;

static int window_read(Journal *j, int64_t mapping, int64_t minute, Window *w, Error *e) {
        _cleanup_(stmt_resetp) sqlite3_stmt *stmt = journal_stmt(j, STMT_WINDOW_GET);
        int64_t deletions = 0, overwrites = 0;
        int rc;

        *w = (Window){ .now = { .mapping = mapping, .minute = minute } };
        (void) sqlite3_bind_int64(stmt, 1, mapping);
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                JournalMinute m;

                if (!facts_read_minute(stmt, &m)) /* which minute it was is no more certain than the rest */
                        w->unknown = true;
                else if (m.minute <= minute - JOURNAL_WINDOW_MINUTES)
                        continue;
                else if (m.minute == minute)
                        w->now = m;
                else if (m.minute > minute) {
                        w->ahead.deletions += m.deletions;
                        w->ahead.overwrites += m.overwrites;
                }
                deletions += m.deletions;
                overwrites += m.overwrites;
        }
        w->sum.unknown = deletions >= UNKNOWN_COUNT / 2;
        w->sum.deletions = w->sum.unknown ? 0 : (uint64_t) MAX(deletions, INT64_C(0));
        w->sum.overwrites = (uint64_t) MAX(overwrites, INT64_C(0));
        return rc == SQLITE_DONE ? 0 : journal_fail(j, rc, e, "reading the guard's window");
}

int journal_window_add(Journal *j, int64_t mapping, int64_t minute, unsigned deletions, unsigned overwrites, Error *e) {
        sqlite3_stmt *stmt = journal_stmt(j, STMT_WINDOW_PRUNE);
        Window w;
        int r;

        r = window_read(j, mapping, minute, &w, e);
        if (r >= 0)
                r = journal_begin(j, e);
        if (r < 0)
                return r;
        if (w.unknown)
                w.now.deletions = UNKNOWN_COUNT; /* for an hour from now on; whatever was there is in it */
        else
                w.now.deletions += w.ahead.deletions;
        w.now.deletions += deletions;
        w.now.overwrites += w.ahead.overwrites + overwrites;
        (void) sqlite3_bind_int64(stmt, 1, mapping);
        (void) sqlite3_bind_int64(stmt, 2, w.unknown ? INT64_MAX : minute - JOURNAL_WINDOW_MINUTES);
        (void) sqlite3_bind_int64(stmt, 3, minute);
        r = journal_step(j, STMT_WINDOW_PRUNE, e, "forgetting old deletions");
        return r < 0 ? r : facts_put_minute(j, &w.now, e);
}

int journal_window(Journal *j, int64_t mapping, int64_t minute, JournalWindow *ret, Error *e) {
        Window w;
        int r = window_read(j, mapping, minute, &w, e);

        if (r >= 0 && w.unknown)
                r = journal_window_add(j, mapping, minute, 0, 0, e);
        if (r < 0)
                return r;
        *ret = w.sum;
        return 0;
}

/* --- a mapping that goes to another destination --- */

/* No mapping's name has a slash (they are names of files): so what was set aside is known by its own. */
int journal_wipe(Journal *j, const char *name, JournalMapping *m, Error *e) {
        sqlite3_stmt *add = journal_stmt(j, STMT_MAPPING_ADD), *aside = journal_stmt(j, STMT_MAPPING_ASIDE);
        int64_t minute = clock_wall() / JOURNAL_MINUTE, old = m->id;
        JournalWindow w;
        int r = journal_window(j, old, minute, &w, e);

        if (r >= 0)
                r = journal_begin(j, e);
        if (r < 0)
                return r;
        (void) sqlite3_bind_int64(aside, 1, old);
        r = journal_step(j, STMT_MAPPING_ASIDE, e, "setting a mapping's rows aside");
        if (r < 0)
                return r;
        (void) sqlite3_bind_text(add, 1, name, -1, SQLITE_STATIC);
        r = journal_step(j, STMT_MAPPING_ADD, e, "adding a mapping");
        if (r < 0)
                return r;
        m->id = sqlite3_last_insert_rowid(j->db);
        m->decision = 0;
        j->wiped = true;
        r = journal_mapping_put(j, m, e);
        /* what was deleted within the hour stays counted, for an hour from now on */
        return r < 0 ? r
                     : journal_window_add(j, m->id, minute, w.unknown ? UNKNOWN_COUNT : (unsigned) w.deletions,
                                          (unsigned) w.overwrites, e);
}

int journal_sweep(Journal *j, unsigned limit, Error *e) {
        sqlite3_stmt *wiped, *sweep, *prune, *swept;
        int64_t id;
        int rc, r;

        if (!j->wiped)
                return 0;
        wiped = journal_stmt(j, STMT_WIPED);
        rc = sqlite3_step(wiped);
        id = sqlite3_column_int64(wiped, 0);
        stmt_resetp(&wiped);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return journal_fail(j, rc, e, "looking for what was set aside");
        j->wiped = rc == SQLITE_ROW;
        r = j->wiped ? journal_begin(j, e) : 0;
        if (r < 0 || !j->wiped)
                return r;
        sweep = journal_stmt(j, STMT_SWEEP);
        (void) sqlite3_bind_int64(sweep, 1, id);
        (void) sqlite3_bind_int64(sweep, 2, limit);
        r = journal_step(j, STMT_SWEEP, e, "forgetting what was set aside");
        if (r < 0 || sqlite3_changes(j->db) > 0)
                return r < 0 ? r : 1;
        prune = journal_stmt(j, STMT_WINDOW_PRUNE);
        swept = journal_stmt(j, STMT_SWEPT);
        (void) sqlite3_bind_int64(prune, 1, id);
        (void) sqlite3_bind_int64(prune, 2, INT64_MAX);
        (void) sqlite3_bind_int64(swept, 1, id);
        r = journal_step(j, STMT_WINDOW_PRUNE, e, "forgetting old deletions");
        if (r >= 0)
                r = journal_step(j, STMT_SWEPT, e, "forgetting what was set aside");
        return r < 0 ? r : 1;
}
