/* One path's row: what is confirmed in the cloud and what is due, and the only ways in which a row may change. Pure
 * values: journal.c reads and writes them, sync/ decides which change to make. Generations, not flags (pitfalls 8.1): a
 * change that arrives while a job runs is never covered by that job's confirmation. */
#pragma once

#include "util/macro.h"
#include "util/stamp.h"

#define ROW_ETAG_ROOM 128
#define ROW_REASON_ROOM 256
#define ROW_BUSY_REASON "it never rests: a marked copy was sent, and a quiet moment is waited for"
#define ROW_PATH_MAX 8192 /* bytes; no longer path can become a blob name, escapes included */

typedef enum PathState {
        PATH_CLEAN,    /* nothing due */
        PATH_PENDING,  /* look at it when `due` comes */
        PATH_CLAIMED,  /* a job has it; found so at start: its outcome is unknown (L4) */
        PATH_GONE,     /* proven absent; its blob is deleted when `due` comes, after another look */
        PATH_FAILED,   /* cannot be stored until a person or the file changes something; `reason` */
        PATH_HELD,     /* a deletion that waits for approval */
        PATH_CONFLICT, /* the blob was changed by somebody else and is kept; `reason` */
        PATH_SKIPPED,  /* by policy: symlink, special file, empty folder; `reason` */
        _PATH_STATES,
} PathState;

const char *path_state_name(PathState state); /* as in queue: "pending", "held", ...; static */

typedef struct Row {
        size_t path_size;
        bool exists; /* false: not in the journal (yet) */

        /* confirmed in the cloud, if `confirmed` */
        bool confirmed;
        bool has_md5;
        bool foreign; /* seen there, but not written by us and not compared yet */
        char etag[ROW_ETAG_ROOM];
        uint8_t md5[16];
        Stamp stamp; /* of the file when these bytes were read; zero if adopted from a listing and not compared yet */

        /* due */
        PathState state;
        bool content;    /* an event said that bytes changed: the stamp must not be believed (pitfalls 4.3) */
        bool doubt;      /* an earlier write's outcome is unknown: ask the service first (L4) */
        int64_t unrest;  /* wall ns of the first reading of those that found it changing; 0: the last one was quiet */
        int64_t marked;  /* wall ns when a marked copy was sent of a file that never rests (promise 2); 0: none is there
                          */
        bool approved;   /* a person let this deletion go ahead */
        bool kept;       /* a person rejected it: the blob stays, until a file of this name comes again */
        bool held;       /* this deletion was held, and nobody has decided: whatever news come, it is held again */
        bool moved;      /* what stood here is confirmed under another name: no deletion in the guard's eyes (7.4) */
        bool tallied;    /* its deletion was let go by the guard: under way, or in doubt */
        int64_t changed; /* wall ns when its bytes were last counted as overwritten; 0: never */
        uint64_t gen;
        int64_t due;   /* boot ns */
        int64_t first; /* wall ns of the oldest unsynced change, unique and rising within the journal; 0 when clean */
        unsigned attempts; /* failed ones since then */
        /* The file that the last look found here, if the row is not clean (then it is the stamp's): what else has seen
         * it needs no news of it. Both 0: there was none. A ctime of 0 alone: nothing is known of it. */
        uint64_t seen_ino;
        int64_t seen_ctime;
        /* The file that is to be stored here, by the last word of a look or a walk: until it is, no blob that holds it
         * under another name is deleted (pitfalls 8). 0: none, nobody knows, or it is the confirmed one. */
        uint64_t due_ino;
        char reason[ROW_REASON_ROOM];

        /* as stored, for the journal's counters */
        struct {
                PathState state;
                bool file, marked, counted, tallied;
                uint64_t size;
        } stored;

        char path[ROW_PATH_MAX + 1]; /* ended by NUL; last, so that a copy need not have room for more than is in it */
} Row;

/* Bytes of a copy of `row`. */
static inline size_t row_size(const Row *row) {
        return offsetof(Row, path) + row->path_size + 1;
}

/* Something may have changed: a new generation, due at `due`. Cancels a pending deletion, a failure, a hold, a
 * conflict. */
void row_hint(Row *row, bool content, int64_t due, int64_t first);
/* What an older change means for it will be seen by a look that is to come anyway: unsynced since then. */
void row_age(Row *row, bool content, int64_t first);
void row_saw(Row *row, const Stamp *stamp); /* a look has found that file here; NULL: none */
void row_met(Row *row, uint64_t ino);       /* so has a walk, which knows nothing but which one it is */
void row_claim(Row *row);
/* The job's end without a result: back to pending at `due`, or when a newer hint than `gen` says. `attempted` counts
 * it; `doubt`: a write may have happened. */
void row_release(Row *row, uint64_t gen, int64_t due, bool attempted, bool doubt, const char *reason);
/* The bytes with `stamp` and `md5` (NULL: unknown) are in the cloud under `etag`. Clean only if no hint came since
 * `gen`; else it stays pending, with `claimed` (the journal's sequence when the job claimed it) as its age: not younger
 * than any hint that came since, so that `wait` cannot miss it. */
void row_confirm(Row *row, uint64_t gen, const Stamp *stamp, const char *etag, const uint8_t *md5, int64_t claimed);
/* A reading found it changing. Any that did not: row->unrest = 0. */
void row_unrest(Row *row, int64_t wall_now);
/* A copy that may hold bytes of several moments is in the cloud, marked as such: it stays due, and as old as it was. */
void row_mark(Row *row, uint64_t gen, const Stamp *stamp, const char *etag, const uint8_t *md5, int64_t wall_now,
              int64_t due);
/* What was confirmed is the beginning of a file that grew while it was read: the rest is due, as old as `first`. It has
 * been so `attempts` times in a row. */
void row_grew(Row *row, unsigned attempts, int64_t due, int64_t first);
/* Looked at and found as confirmed, nothing sent. The stamp may have changed (ctime). */
void row_settle(Row *row, uint64_t gen, const Stamp *stamp, int64_t claimed);
/* There is nothing in the cloud under this name any more. Its file, if that was the last one seen here, is to be stored
 * again. */
void row_unconfirm(Row *row);
/* An end that waits for a person or another change: FAILED, HELD, CONFLICT, SKIPPED, or GONE with `due`. A newer hint
 * than `gen` wins. */
void row_park(Row *row, uint64_t gen, PathState state, int64_t due, const char *reason);
/* A number over the path, what is confirmed, and what a deletion hangs on: a flipped bit in the file is noticed
 * (pitfalls 9.6). What SQL changes in many rows at once enters by a term of its own, so that the sum follows without
 * being computed anew: that would make a wrong one right. */
typedef enum RowField {
        ROW_STATE = 1,
        ROW_DOUBT = 2,
        ROW_APPROVED = 3,
        MAPPING_CONTACT = 4,
        MAPPING_SCAN = 5,
        ROW_HELD = 6
} RowField;
uint64_t row_checksum(const Row *row) _pure_;
uint64_t row_resum(uint64_t sum, RowField field, int64_t old, int64_t now) __attribute__((const));
/* Its sum is wrong: nothing of it is believed. What is in the cloud is asked for, and no deletion follows from it
 * alone. */
void row_distrust(Row *row);
/* A deletion that waits or is held, and that neither the guard nor a person has let go. */
bool row_is_deletion(const Row *row) _pure_;
/* What is decided about all deletions of a mapping at once, as bits, the first of them first: it takes long to be
 * written into a million rows, and holds for each from the moment that it is made. */
enum {
        DECISION_HOLD = 1,    /* those that wait become HELD */
        DECISION_APPROVE = 2, /* those that are held: GONE, due, approved */
        DECISION_REJECT = 4,  /* those that are held: SKIPPED and kept; the blob stays */
        DECISION_BITS = 7
};
void row_decide(Row *row, unsigned decision);
bool row_expected(const Row *row) _pure_; /* its blob must be there: confirmed, and we were not about to change that */
bool row_is_unsynced(PathState state) _pure_; /* counts for `first`: pending, claimed, gone */
