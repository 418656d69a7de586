#include "journal/row.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const char *path_state_name(PathState state) {
        static const char *const names[_PATH_STATES] = {
                [PATH_CLEAN] = "clean",       [PATH_PENDING] = "pending", [PATH_CLAIMED] = "pending",
                [PATH_GONE] = "pending",      [PATH_FAILED] = "failed",   [PATH_HELD] = "held",
                [PATH_CONFLICT] = "conflict", [PATH_SKIPPED] = "skipped",
        };

        return state < _PATH_STATES ? names[state] : "unknown";
}

bool row_is_unsynced(PathState state) {
        return state == PATH_PENDING || state == PATH_CLAIMED || state == PATH_GONE;
}

bool row_is_deletion(const Row *row) {
        return (row->state == PATH_GONE || row->state == PATH_HELD) && !row->approved && !row->moved && !row->tallied;
}

static void set_reason(Row *row, const char *reason) {
        (void) snprintf(row->reason, sizeof(row->reason), "%s", reason ? reason : "");
}

void row_decide(Row *row, unsigned decision) {
        if ((decision & DECISION_HOLD) && row->state == PATH_GONE && row_is_deletion(row)) {
                row->state = PATH_HELD;
                row->due = 0;
                row->held = true;
        }
        if (row->state != PATH_HELD || !(decision & (DECISION_APPROVE | DECISION_REJECT)))
                return;
        row->due = 0;
        row->held = false;
        row->approved = decision & DECISION_APPROVE;
        row->kept = !row->approved;
        row->state = row->approved ? PATH_GONE : PATH_SKIPPED;
        if (row->kept)
                row->first = 0;
        set_reason(row, row->kept ? "its deletion was rejected: the blob stays" : NULL);
}

bool row_expected(const Row *row) {
        return row->confirmed && !row->doubt && !row->approved && !row->kept && row->state != PATH_GONE;
}

/* Something has happened since the last look: the confirmed file may have been here. */
static void row_unseen(Row *row) {
        row->seen_ino = row->stamp.ino;
        row->seen_ctime = 0;
}

void row_hint(Row *row, bool content, int64_t due, int64_t first) {
        row->gen++;
        if (row->state == PATH_CLEAN || content)
                row_unseen(row);
        row_age(row, content, first);
        row->due = due;
        if (row->state == PATH_CLAIMED)
                return; /* the job sees the generation when it ends */
        row->state = PATH_PENDING;
        row->attempts = 0;
        set_reason(row, NULL);
}

void row_age(Row *row, bool content, int64_t first) {
        row->content |= content;
        row->first = row->first == 0 ? first : MIN(row->first, first);
}

void row_saw(Row *row, const Stamp *stamp) {
        row->seen_ino = stamp ? stamp->ino : 0;
        row->seen_ctime = stamp ? stamp->ctime_ns : 0;
        row_met(row, row->seen_ino);
}

void row_met(Row *row, uint64_t ino) {
        row->due_ino = row->confirmed && row->stamp.ino == ino ? 0 : ino;
}

void row_claim(Row *row) {
        assert(row->state == PATH_PENDING || row->state == PATH_GONE);

        row->state = PATH_CLAIMED;
}

void row_release(Row *row, uint64_t gen, int64_t due, bool attempted, bool doubt, const char *reason) {
        row->state = PATH_PENDING;
        row->doubt |= doubt;
        if (row->gen != gen) {
                row->attempts = 0; /* due was set by the hint */
                set_reason(row, NULL);
                row_unseen(row);
                return;
        }
        row->due = due;
        if (attempted)
                row->attempts++;
        set_reason(row, reason);
}

/* The job that ran with `gen` is over: what it found out stands, unless a hint came meanwhile. */
static bool overtaken(Row *row, uint64_t gen, int64_t claimed) {
        if (row->gen == gen)
                return false;
        row->state = PATH_PENDING; /* due was set by the hint */
        row->first = claimed;
        row->attempts = 0;
        set_reason(row, NULL);
        row_unseen(row);
        return true;
}

static void row_clean(Row *row) {
        row->state = PATH_CLEAN;
        row->content = row->doubt = false;
        row->due = 0;
        row->first = 0;
        row->attempts = 0;
        row_saw(row, NULL);
        set_reason(row, NULL);
}

void row_confirm(Row *row, uint64_t gen, const Stamp *stamp, const char *etag, const uint8_t *md5, int64_t claimed) {
        assert(stamp && etag && etag[0]);

        row->confirmed = true;
        row->foreign = false;
        if (etag != row->etag) /* confirmed again as it was: snprintf() into its own source leaves "" (glibc 2.36) */
                (void) snprintf(row->etag, sizeof(row->etag), "%s", etag);
        row->has_md5 = md5 != NULL;
        if (md5)
                memcpy(row->md5, md5, sizeof(row->md5));
        row->doubt = false;
        row->marked = 0;
        row_settle(row, gen, stamp, claimed);
}

void row_unrest(Row *row, int64_t wall_now) {
        if (row->unrest == 0 || row->unrest > wall_now) /* the clock was set back: anew */
                row->unrest = wall_now;
}

void row_mark(Row *row, uint64_t gen, const Stamp *stamp, const char *etag, const uint8_t *md5, int64_t wall_now,
              int64_t due) {
        int64_t first = row->first, unrest = row->unrest;

        row_confirm(row, gen, stamp, etag, md5, first);
        row->unrest = unrest;
        row->marked = wall_now;
        row->content = true;
        row->first = first;
        if (row->state == PATH_CLEAN) {
                row->state = PATH_PENDING;
                row->due = due;
        }
        set_reason(row, ROW_BUSY_REASON);
}

void row_grew(Row *row, unsigned attempts, int64_t due, int64_t first) {
        row_hint(row, true, due, first);
        row->attempts = attempts;
        set_reason(row, "it grew while it was read: what it held then is stored, the rest follows");
}

void row_settle(Row *row, uint64_t gen, const Stamp *stamp, int64_t claimed) {
        row->stamp = *stamp;
        row_met(row, row->due_ino);
        row->unrest = 0;
        row->approved = row->kept = row->held = row->moved = row->tallied = false; /* something stands here */
        if (!overtaken(row, gen, claimed))
                row_clean(row);
}

void row_unconfirm(Row *row) {
        if (row->confirmed && row->due_ino == 0 && (row->state == PATH_CLEAN || row->seen_ino == row->stamp.ino))
                row->due_ino = row->stamp.ino;
        row->confirmed = row->has_md5 = row->foreign = row->doubt = row->approved = row->kept = row->moved = row->held =
                false;
        row->unrest = row->marked = 0;
        row->etag[0] = '\0';
        memset(row->md5, 0, sizeof(row->md5));
        row->stamp = (Stamp){ 0 };
}

void row_park(Row *row, uint64_t gen, PathState state, int64_t due, const char *reason) {
        assert(state == PATH_FAILED || state == PATH_HELD || state == PATH_CONFLICT || state == PATH_SKIPPED ||
               state == PATH_GONE);

        if (row->gen != gen) {
                row->state = PATH_PENDING;
                row_unseen(row);
                return;
        }
        if (state == PATH_GONE && row->held && !row->approved && !row->moved)
                state = PATH_HELD;
        row->state = state;
        row->due = state == PATH_HELD ? 0 : due;
        set_reason(row, reason);
}

void row_distrust(Row *row) {
        row_unconfirm(row);
        row->content = row->doubt = row->held = true;
        if (row->state == PATH_GONE)
                row->state = PATH_PENDING; /* that it was proven absent is to be proven again */
}

/* 64-bit FNV-1a: not a cryptographic sum, only a witness against bit rot (a forger who can write the journal has won
 * anyway) */
static uint64_t mix(uint64_t h, const void *bytes, size_t size) {
        const uint8_t *p = bytes;

        for (size_t i = 0; i < size; i++)
                h = (h ^ p[i]) * UINT64_C(0x100000001b3);
        return h;
}

static uint64_t mix_number(uint64_t h, uint64_t number) {
        h = (h ^ number) * UINT64_C(0x9e3779b97f4a7c15);
        return h ^ h >> 29;
}

static uint64_t term(RowField field, int64_t value) {
        return mix_number(mix_number(UINT64_C(0xcbf29ce484222325), (uint64_t) field), (uint64_t) value);
}

uint64_t row_resum(uint64_t sum, RowField field, int64_t old, int64_t now) {
        return sum ^ term(field, old) ^ term(field, now);
}

uint64_t row_checksum(const Row *row) {
        const uint64_t numbers[] = {
                row->content,
                row->moved,
                row->tallied,
                (uint64_t) row->unrest,
                (uint64_t) row->marked,
                row->confirmed,
                row->foreign,
                row->stamp.size,
                (uint64_t) row->stamp.mtime_ns,
                (uint64_t) row->stamp.ctime_ns,
                (uint64_t) row->stamp.btime_ns,
                row->stamp.ino,
                row->stamp.mode,
                row->stamp.uid,
                row->stamp.gid,
        };
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        /* whole words for the numbers: one multiplication each */
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                h = mix_number(h, numbers[i]);
        h = mix(h, row->path, row->path_size);
        h = mix(h, row->etag, strlen(row->etag));
        if (row->has_md5)
                h = mix(h, row->md5, sizeof(row->md5));
        return h ^ term(ROW_STATE, row->state) ^ term(ROW_DOUBT, row->doubt) ^
               term(ROW_APPROVED, row->approved | row->kept << 1) ^ term(ROW_HELD, row->held);
}
