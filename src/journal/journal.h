/* The journal: an SQLite file that remembers what is confirmed in the cloud and what is still to do, through any crash
 * (design.md 3, pitfalls 9). One connection, used by the loop's thread alone, in exclusive mode. Writes gather in a
 * transaction until journal_commit(); what is not committed did not happen. Knows no network and no tree. */
#pragma once

#include "journal/row.h"
#include "util/error.h"

typedef struct Journal Journal;

typedef struct JournalMapping {
        int64_t id;
        char destination[1536]; /* endpoint/container/prefix, pinned at first use; "" before */
        uint8_t root[32];       /* opaque identity of the root; all zero: not pinned */
        bool paused;
        bool scan;            /* a full scan is owed (pitfalls 1.10) */
        bool reread;          /* after a power cut: until a full scan has passed, no stamp is believed */
        bool contacted;       /* what the container holds is listed; nothing is sent before */
        bool met;             /* it was there once, so it is never made again by itself (pitfalls 10.14) */
        bool resend;          /* a person approved that whatever is missing in it is sent again */
        bool suspect;         /* decisions may have been lost: until it is in sync, all deletions wait for a person */
        unsigned decision;    /* DECISION_* that are made, and not in every row yet */
        bool damaged;         /* its sum was wrong when it was read: nothing of this was believed; not kept */
        int64_t last_sync_ns; /* wall */
} JournalMapping;

typedef struct JournalCounts {
        uint64_t state[_PATH_STATES];
        uint64_t files, bytes; /* confirmed */
        uint64_t empty;        /* of `files`: of no bytes */
        uint64_t busy;
        uint64_t deletions; /* waiting or held, neither approved nor moved, and not let go */
        uint64_t waiting;   /* of `deletions`: not held */
        uint64_t tallied;   /* let go, under way or in doubt */
} JournalCounts;

/* Opens STATE_DIR/journal.db, made with owner-only permissions, under STATE_DIR/lock, and checks it. -EBUSY: another
 * azsyncd, or another program, has it. -EPROTO: written by a newer azsyncd. What is damaged is put aside, and a new one
 * begun: 0, with *ret_quarantined, and `e` says why and where. A full disk: 0, and it is broken. Pending rows of an
 * earlier boot are due at once. */
int journal_open(Journal **ret, const char *state_dir, bool *ret_quarantined, Error *e) _must_check_;
Journal *journal_close(Journal *j); /* commits, checkpoints, marks a clean stop */
DEFINE_CLEANUP(Journal *, journal_close);

/* All of the following: 0 or 1, or a negative errno with `e`: -ENOSPC (disk full: the transaction is gone), -EIO,
 * -EUCLEAN. After a failure, of a read too, the open transaction is rolled back and journal_broken() is true until
 * journal_recover(). */
int journal_commit(Journal *j, Error *e) _must_check_;         /* synchronous=NORMAL */
int journal_commit_durable(Journal *j, Error *e) _must_check_; /* reaches the disk before it returns (9.1) */
/* Writes what is committed from the log into the database: a byte that flips in the log takes all that follows with it
 * (9.6), so what a person decided had better not stay there. */
int journal_checkpoint(Journal *j, Error *e) _must_check_;
bool journal_open_transaction(const Journal *j);

bool journal_broken(const Journal *j);
const Error *journal_trouble(const Journal *j); /* why; borrowed */
/* `fn` is called once when it breaks, from inside the call that failed: whoever cannot do better than stop need pass
 * no Error, nor tell anybody. */
void journal_listen(Journal *j, void (*fn)(void *userdata), void *userdata);
/* Closes it, opens and checks it, tries a write. 0: whole again, but what was not committed is lost, so a comparison of
 * everything is owed. 1: it is another journal now (the old one was damaged and put aside; or removed by someone):
 * every mapping begins anew. */
int journal_recover(Journal *j, Error *e) _must_check_;

int journal_mapping(Journal *j, const char *name, JournalMapping *ret, Error *e) _must_check_; /* made if it is new */
int journal_mapping_put(Journal *j, const JournalMapping *m, Error *e) _must_check_;
/* From now on it is what writes to its destination: whoever did before, or to a place above or below it, has to list
 * that anew before it can rely on what it knows. */
int journal_take_over(Journal *j, const JournalMapping *m, Error *e) _must_check_;
/* As decided, however far that is written; but `files`, `bytes` and `empty` of what is rejected follow row by row. Kept
 * up to date; borrowed until the next call. */
const JournalCounts *journal_counts(Journal *j, int64_t mapping);

/* A number that rises with every call and is close to the wall clock in ns: the age and order of changes. */
int64_t journal_sequence(Journal *j, int64_t wall_now);
int64_t journal_sequence_last(const Journal *j);

/* Reads the row of a path. 1: found; 0: not there (`ret` is an empty row of that name). A row whose checksum is wrong
 * comes back unconfirmed, in doubt and suspect (9.6). -ENAMETOOLONG beyond ROW_PATH_MAX. */
int journal_get(Journal *j, int64_t mapping, const char *path, size_t size, Row *ret, Error *e) _must_check_;
int journal_put(Journal *j, int64_t mapping, Row *row, Error *e) _must_check_;
/* The same for a row that is there, and of which nothing but `state` and `tallied` has changed: half the work. */
int journal_claim(Journal *j, int64_t mapping, Row *row, Error *e) _must_check_;
int journal_forget(Journal *j, int64_t mapping, Row *row, Error *e) _must_check_;

typedef int (*JournalRowFn)(const Row *row, void *userdata); /* negative: stop, forwarded */
/* Rows in `state` (PENDING or GONE) with due <= `now`, oldest first, at most `limit`. The callback must not write. */
int journal_due(Journal *j, int64_t mapping, PathState state, int64_t now, unsigned limit, JournalRowFn fn,
                void *userdata, Error *e) _must_check_;
/* Those of PENDING that became due last, after `after`; the newest first. */
int journal_fresh(Journal *j, int64_t mapping, int64_t after, int64_t now, unsigned limit, JournalRowFn fn,
                  void *userdata, Error *e) _must_check_;
/* When the next in that state is due: 1 and *ret_due; 0: none. */
int journal_next_due(Journal *j, int64_t mapping, PathState state, int64_t *ret_due, Error *e) _must_check_;
/* 1: one of PENDING is due before `before`, and was tried fewer times than `attempts`. */
int journal_untried(Journal *j, int64_t mapping, unsigned attempts, int64_t before, Error *e) _must_check_;
/* When the n-th (from 0) of those that are due later than `after` is. 1: *ret_due; 0: they are fewer. */
int journal_nth_due(Journal *j, int64_t mapping, PathState state, int64_t after, unsigned n, int64_t *ret_due,
                    Error *e) _must_check_;
/* The oldest unsynced change: 1 and *ret_first; 0: none. */
int journal_oldest(Journal *j, int64_t mapping, int64_t *ret_first, Error *e) _must_check_;

/* What a scan compares with: rows with `after` < path < `before` in memcmp order (before NULL: to the end), at most
 * `limit`. */
typedef struct JournalPage {
        size_t n;
        char *paths;
        size_t paths_size, paths_room;
        struct JournalSeen {
                size_t path; /* offset in `paths` */
                size_t size;
                Stamp stamp;
                uint64_t seen_ino;
                int64_t seen_ctime;
                PathState state;
                bool confirmed, intact; /* !intact: wrong checksum */
        } rows[512];                    /* last: it need not be cleared */
} JournalPage;
int journal_branch(Journal *j, int64_t mapping, const char *after, size_t after_size, const char *before,
                   size_t before_size, JournalPage *page, Error *e) _must_check_;
void journal_page_done(JournalPage *page);
/* 1: rows stand beneath that path, as those of what is in a folder. */
int journal_below(Journal *j, int64_t mapping, const char *path, size_t size, Error *e) _must_check_;
uint64_t
journal_rows_added(const Journal *j); /* rises with each new row: there may be one more where a page was read */

/* What a listing of the container proves. Each blob listed marks its row with the listing's number: 1: it had not been
 * marked yet. Then the rows are walked in path order after `after`, at most `limit`; `missing`: confirmed, and without
 * the mark. 1: there may be more. The callback must not write. */
typedef int (*JournalListedFn)(const char *path, size_t size, bool missing, void *userdata);
/* Rows that row_expected(), and all that are confirmed. */
int journal_expected(Journal *j, int64_t mapping, uint64_t *ret, uint64_t *ret_confirmed, Error *e) _must_check_;
int journal_listed(Journal *j, int64_t mapping, const char *path, size_t size, int64_t listing, Error *e) _must_check_;
int journal_unlisted(Journal *j, int64_t mapping, int64_t listing, const char *after, unsigned limit,
                     JournalListedFn fn, void *userdata, Error *e) _must_check_;

/* Rows that are not clean, in path order after `after` (NULL: from the start), at most `limit`. The callback must not
 * write. */
int journal_queue(Journal *j, int64_t mapping, const char *after, unsigned limit, JournalRowFn fn, void *userdata,
                  Error *e) _must_check_;
/* The first few rows confirmed with this inode, in path order after `after`. */
int journal_by_inode(Journal *j, int64_t mapping, uint64_t ino, const char *after, unsigned limit, JournalRowFn fn,
                     void *userdata, Error *e) _must_check_;
/* 1: a file with this inode is still to be stored under a name not confirmed with it: its rename's source must stay. */
int journal_inode_due(Journal *j, int64_t mapping, uint64_t ino, Error *e) _must_check_;
/* The guard (pitfalls 7.4): what was carried out within the hour that ends with `minute` of the wall clock, and what is
 * held. What is older is forgotten with the next addition. */
#define JOURNAL_MINUTE (60 * NSEC_PER_SEC) /* of the wall clock */
#define JOURNAL_WINDOW_MINUTES 60
typedef struct JournalWindow {
        uint64_t deletions, overwrites;
        bool unknown; /* damaged: there may have been any number */
} JournalWindow;
int journal_window_add(Journal *j, int64_t mapping, int64_t minute, unsigned deletions, unsigned overwrites,
                       Error *e) _must_check_;
int journal_window(Journal *j, int64_t mapping, int64_t minute, JournalWindow *ret, Error *e) _must_check_;
/* `decision` is added to m->decision, and stands in the record from the next commit on. From now on rows are read as it
 * has them; journal_carry() writes up to `limit` of them so. 1: there are more. 0: all are, and m->decision is 0 again.
 * Until then no other row may become a deletion that waits or is held: it would be taken for one of them. */
#define JOURNAL_CARRY_STEP 512u
int journal_decide(Journal *j, JournalMapping *m, unsigned decision, Error *e) _must_check_;
int journal_carry(Journal *j, JournalMapping *m, unsigned limit, Error *e) _must_check_;

/* A bounded number of rows in `state` (pending, failed, conflict) becomes pending and due (retry). 1: there may be
 * more.
 */
#define JOURNAL_RELEASE_STEP 4096
int journal_release(Journal *j, int64_t mapping, PathState state, int64_t first, Error *e) _must_check_;
/* Claims whose jobs are gone (a crash, a restart of the mapping): pending, due, and in doubt. What a job that is still
 * at work finds out is overtaken: the journal was out of order, and news may be lost. */
int journal_unclaim(Journal *j, int64_t mapping, Error *e) _must_check_;
/* Forgets every path of a mapping: its destination is another one now. It has another number from now on; what stands
 * under the old one is removed by journal_sweep(), up to `limit` rows of any such. 1: there is more. */
#define JOURNAL_SWEEP_STEP 4096u
int journal_wipe(Journal *j, const char *name, JournalMapping *m, Error *e) _must_check_;
int journal_sweep(Journal *j, unsigned limit, Error *e) _must_check_;
