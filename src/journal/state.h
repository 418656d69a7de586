/* What the files of the journal share: the open database, its statements, its counters. For src/journal/
 * only. */
#pragma once

#include "journal/journal-sql.h"
#include "journal/journal.h"
#include "journal/schema.h"

#define X(name, heat, sql) STMT_##name,
enum { JOURNAL_STATEMENTS(X) _STMTS };
#undef X

typedef struct MappingCounts {
        int64_t mapping;
        JournalCounts counts, shown; /* as the rows are written; as they are decided */
        unsigned decision;           /* as its record has it */
        struct {
                PathState state; /* of the rows that are being carried over; CLEAN: it has not begun */
                int64_t due;     /* up to this one, of that name, they are */
                char *name;
        } carried;
} MappingCounts;

struct Journal {
        sqlite3 *db;
        sqlite3_stmt *stmt[_STMTS]; /* of journal_stmt() */
        char path[4096];
        int lock_fd;
        char id[40]; /* differs in each journal made */
        bool in_transaction, broken;
        bool started;     /* that this process is at work is on the disk */
        bool damaged;     /* to be put aside at the next opening */
        bool quarantined; /* it was, in this process */
        bool another;     /* since the last journal_recover() that went well */
        bool holds;       /* in the open transaction something is held */
        bool wiped;       /* there may be rows to be swept */
        Error trouble;    /* why it is broken */
        void (*on_trouble)(void *userdata);
        void *userdata;
        int frames; /* of the log, since the last checkpoint */
        int64_t sequence, durable;
        uint64_t rows_added;
        MappingCounts *counts; /* one per mapping asked about */
        size_t n_counts;
};

static inline void stmt_resetp(sqlite3_stmt **stmt) {
        if (*stmt) {
                (void) sqlite3_reset(*stmt);
                (void) sqlite3_clear_bindings(*stmt);
        }
}

typedef struct JournalMinute {
        int64_t mapping, minute, deletions, overwrites;
} JournalMinute;

/* facts.c: the columns of the current row; false: its sum is wrong */
bool facts_read_mapping(sqlite3_stmt *stmt, JournalMapping *ret);
bool facts_read_minute(sqlite3_stmt *stmt, JournalMinute *ret);
int facts_put_minute(Journal *j, const JournalMinute *m, Error *e);

/* rows.c: the ROW_COLUMNS of the current row; false: its sum is wrong */
bool rows_read(sqlite3_stmt *stmt, Row *row);
void rows_take(const Journal *j, int64_t mapping, sqlite3_stmt *stmt,
               Row *row); /* as far as it is believed, and as decided */

/* decision.c */
void decision_begin(MappingCounts *c);                            /* carrying over: from the first row on */
int decision_note(Journal *j, const JournalMapping *m, Error *e); /* whenever a record is read or written */
unsigned decision_of(const Journal *j, int64_t mapping);
const JournalCounts *decision_counts(MappingCounts *c);

/* journal.c */
/* A failed statement: the transaction is gone, the journal is broken until it recovers. Returns the errno. */
int journal_fail(Journal *j, int rc, Error *e, const char *what);
sqlite3_stmt *journal_stmt(Journal *j, int id);
int journal_step(Journal *j, int id, Error *e, const char *what); /* one that returns nothing */
int journal_begin(Journal *j, Error *e);                          /* unless a transaction is open */
int journal_out_of_order(const Journal *j, Error *e);             /* it is broken: passes on why; negative */
/* What the journal knows of itself, by name. 1: it is there. */
int journal_meta_get(Journal *j, const char *key, char *ret, size_t room, Error *e);
int journal_meta_put(Journal *j, const char *key, const char *value, Error *e);

/* counts.c */
MappingCounts *counts_entry(Journal *j, int64_t mapping); /* NULL: no memory, or it cannot be read */
JournalCounts *counts_of(Journal *j, int64_t mapping);    /* of the rows as they are written; NULL: the same */
int counts_load(Journal *j, MappingCounts *c, Error *e);  /* anew, from the rows */
void counts_drop(Journal *j);
