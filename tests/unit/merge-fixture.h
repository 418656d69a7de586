/* A journal, rows and sights for the tests of sync/merge: what the rest of sync/ would do is left out. */
#pragma once

#include "scratch.h"
#include "sync/state.h"
#include "util/clock.h"

#define PATHS_MAX 4096u
#define NAME_ROOM 64

void sync_touch(Sync *s) {
}

void sync_kick(Sync *s) {
}

Job *jobs_at(const Mapping *m, const char *path) {
        for (Job *job = m->jobs; job; job = job->next)
                if (strcmp(job->row.path, path) == 0)
                        return job;
        return NULL;
}

const Job *jobs_of_inode(const Mapping *m, uint64_t ino, const Job *last) {
        const Job *job = last ? last->next : m->jobs;

        while (job && job->row.seen_ino != ino)
                job = job->next;
        return job;
}

static const AccountConfig account_config = { .name = (char *) "a" };
static const MappingConfig config = { .name = (char *) "m", .account = &account_config, .container = (char *) "c" };
static Sync sync_of;
static Mapping mapping;

static inline int open_journal(void **state) {
        Error e = ERROR_NULL;
        bool quarantined;

        if (set_up_shm(state) < 0)
                return -1;
        sync_of = (Sync){ 0 };
        mapping = (Mapping){ .sync = &sync_of, .config = &config };
        assert_int_equal(journal_open(&sync_of.journal, top, &quarantined, &e), 0);
        assert_int_equal(journal_mapping(sync_of.journal, "m", &mapping.record, &e), 0);
        mapping.record.scan = false;
        return 0;
}

static inline int close_journal(void **state) {
        sync_of.journal = journal_close(sync_of.journal);
        return tear_down(state);
}

/* --- rows --- */

static inline Stamp stamp_of(unsigned version) {
        return (Stamp){
                .size = version, .mtime_ns = 5, .ctime_ns = 6 + version, .btime_ns = 7, .ino = 8, .mode = S_IFREG | 0644
        };
}

static inline Row *get(const char *path) {
        static Row row;

        assert_true(journal_get(sync_of.journal, mapping.record.id, path, strlen(path), &row, NULL) >= 0);
        return &row;
}

static inline void store(Row *row) {
        assert_int_equal(journal_put(sync_of.journal, mapping.record.id, row, NULL), 0);
}

/* A row as some job left it. Rows in the states of deletions, and those that a job has, are confirmed. */
static inline void make_row(const char *path, PathState state, bool confirmed, unsigned version) {
        Stamp stamp = stamp_of(version);
        Row *row = get(path);

        row_hint(row, false, 1, journal_sequence(sync_of.journal, 1));
        if (confirmed) {
                row_claim(row);
                row_confirm(row, row->gen, &stamp, "\"etag\"", NULL, 1);
        }
        switch (state) {
        case PATH_CLEAN:
                assert_true(confirmed);
                break;
        case PATH_PENDING:
                row_hint(row, false, 1, journal_sequence(sync_of.journal, 1));
                break;
        case PATH_CLAIMED:
                row_hint(row, false, 1, journal_sequence(sync_of.journal, 1));
                row_claim(row);
                break;
        default:
                row->first = 0;
                /* what waits with a file of size 0 was emptied; with any other, it is gone */
                row_saw(row, state == PATH_CONFLICT || (confirmed && version == 0) ? &stamp : NULL);
                row_park(row, row->gen, state, 1, "as it was");
                break;
        }
        store(row);
}

/* --- what is seen --- */

typedef struct Sight {
        const char *path;
        SeenKind kind;
        bool folder;
        unsigned version; /* FILE */
} Sight;

#define FILE_AT(path, version) \
        { path, SEEN_FILE, false, version }
#define LEAF(path, kind) \
        { path, SEEN_##kind, false, 0 }
#define NOTHING \
        { NULL, SEEN_FILE, false, 0 }
#define FOLDER(path, kind) \
        { path, SEEN_##kind, true, 0 }

/* Hands over so many at once. Returns the calls it took. */
static inline unsigned merge(const char *branch, const Sight *sights, size_t n, size_t batch) {
        struct Merge *g = merge_new(&mapping, branch);
        _cleanup_free_ Seen *seen = calloc(MAX(n, (size_t) 1), sizeof(*seen));
        unsigned calls = 0;

        assert_non_null(g);
        assert_non_null(seen);
        for (size_t i = 0; i < n; i++)
                seen[i] = (Seen){
                        .path = sights[i].path,
                        .size = strlen(sights[i].path),
                        .kind = sights[i].kind,
                        .folder = sights[i].folder,
                        .unreadable = sights[i].kind == SEEN_UNKNOWN,
                        .error = sights[i].kind == SEEN_UNKNOWN ? EACCES : 0,
                        .stamp = stamp_of(sights[i].version),
                };
        for (size_t at = 0; at < n;) {
                at += merge_seen(g, seen + at, MIN(batch, n - at));
                calls++;
        }
        do
                calls++;
        while (!merge_end(g, true));
        assert_null(merge_free(g));
        assert_false(mapping.record.scan);
        return calls;
}

/* --- what became of a row --- */

enum { HINTED = 1, KEPT, GONE_, SKIPPED_, FAILED_ };

static inline void assert_outcome(const char *path, int want, PathState before, uint64_t gen) {
        const Row *row = get(path);

        switch (want) {
        case KEPT:
                assert_true(row->exists);
                assert_int_equal(row->state, before);
                if (before != PATH_PENDING) /* which file is here may be news all the same */
                        assert_int_equal(row->gen, gen);
                break;
        case HINTED:
                assert_true(row->exists);
                assert_int_equal(row->state, before == PATH_CLAIMED ? PATH_CLAIMED : PATH_PENDING);
                assert_true(row->gen > gen);
                assert_true(row->first != 0);
                assert_true(row->due <= clock_boot());
                assert_false(row->content); /* a scan knows nothing of the bytes */
                break;
        case GONE_:
                assert_false(row->exists);
                break;
        case SKIPPED_:
        case FAILED_:
                assert_true(row->exists);
                assert_int_equal(row->state, want == SKIPPED_ ? PATH_SKIPPED : PATH_FAILED);
                assert_true(row->reason[0]);
                assert_int_equal(row->first != 0, row->state == PATH_FAILED); /* since when it is unsynced (L5) */
                break;
        default:
                fail();
        }
}

#define NONE _PATH_STATES

#define WITH_JOURNAL(name) cmocka_unit_test_setup_teardown(name, open_journal, close_journal)
