/* Any tree against any journal, compared with a model that looks at one path at a time. */
#include "merge-fixture.h"

/* --- anything, against a model that looks at one path at a time --- */

typedef struct Thing {
        Sight sight;
        uint64_t gen; /* of its row, before; so are the next */
        PathState state;
        unsigned version;
        bool row, confirmed;
        bool seen;
        char path[NAME_ROOM];
} Thing;

static Thing things[PATHS_MAX];
static size_t n_things;

static Thing *thing(const char *path) {
        for (size_t i = 0; i < n_things; i++)
                if (strcmp(things[i].path, path) == 0)
                        return &things[i];
        assert_true(n_things < PATHS_MAX && strlen(path) < NAME_ROOM);
        things[n_things] = (Thing){ 0 };
        (void) snprintf(things[n_things].path, NAME_ROOM, "%s", path);
        return &things[n_things++];
}

static uint64_t drawn;

static unsigned draw(unsigned n) {
        drawn = drawn * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (unsigned) (drawn >> 33) % n;
}

/* A folder's contents: what the walk sees, and rows of what it does not. */
static void fill(const char *folder, unsigned depth, bool visible) {
        static const char *const names[] = {
                "a", "a-", "a.b", "a0", "a!", "b", "b-x", "b0", "ab", "\xff", "-", "\x01"
        };
        static const SeenKind leaves[] = { SEEN_FILE,  SEEN_FILE,     SEEN_FILE,    SEEN_SYMLINK, SEEN_SPECIAL,
                                           SEEN_MOUNT, SEEN_EXCLUDED, SEEN_UNKNOWN, SEEN_TOO_LONG };
        static const SeenKind folders[] = { SEEN_EMPTY_FOLDER, SEEN_MOUNT, SEEN_UNKNOWN, SEEN_EXCLUDED, SEEN_TOO_LONG };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                char path[NAME_ROOM];
                Thing *t;

                if (draw(3) == 0)
                        continue;
                (void) snprintf(path, sizeof(path), "%s%s%s", folder, folder[0] ? "/" : "", names[i]);
                t = thing(path);
                if (draw(3) > 0) {
                        t->row = true;
                        t->state = (PathState) draw(_PATH_STATES);
                        t->confirmed = t->state == PATH_CLEAN || t->state == PATH_GONE || t->state == PATH_HELD ||
                                       t->state == PATH_CONFLICT || (t->state != PATH_SKIPPED && draw(2));
                        t->version = 1 + draw(2);
                }
                switch (draw(4)) {
                case 0: /* not there */
                        if (depth > 0 && draw(3) == 0)
                                fill(path, depth - 1, false);
                        break;
                case 1: {
                        SeenKind kind = leaves[draw(ELEMENTSOF(leaves))];

                        t->seen = visible;
                        t->sight = (Sight){ t->path, kind, false, 1 };
                        if (depth > 0 && draw(4) == 0) /* was a folder */
                                fill(path, depth - 1, false);
                        break;
                }
                case 2:
                        t->seen = visible;
                        t->sight = (Sight){ t->path, folders[draw(ELEMENTSOF(folders))], true, 0 };
                        if (depth > 0)
                                fill(path, depth - 1, false);
                        break;
                default:
                        if (depth > 0)
                                fill(path, depth - 1, visible);
                }
        }
}

static const Thing *folder_above(const char *path, bool (*is)(SeenKind kind)) {
        char above[NAME_ROOM];

        (void) snprintf(above, sizeof(above), "%s", path);
        for (char *slash; (slash = strrchr(above, '/'));) {
                *slash = '\0';
                for (size_t i = 0; i < n_things; i++)
                        if (things[i].seen && things[i].sight.folder && strcmp(things[i].path, above) == 0 &&
                            is(things[i].sight.kind))
                                return &things[i];
        }
        return NULL;
}

static bool is_excluded(SeenKind kind) {
        return kind == SEEN_EXCLUDED;
}

static bool is_unknown(SeenKind kind) {
        return kind == SEEN_MOUNT || kind == SEEN_UNKNOWN || kind == SEEN_TOO_LONG;
}

static int expect_missing(const Thing *t) {
        if (t->state == PATH_PENDING || t->state == PATH_CLAIMED || t->state == PATH_GONE || t->state == PATH_HELD)
                return KEPT;
        return HINTED;
}

static int expect(const Thing *t) {
        SeenKind kind = t->sight.kind;

        if (!t->seen) {
                if (!t->row)
                        return GONE_;
                if (folder_above(t->path, is_unknown))
                        return KEPT;
                if (folder_above(t->path, is_excluded))
                        return t->state == PATH_CLAIMED ? KEPT : GONE_;
                return expect_missing(t);
        }
        if (kind == SEEN_EXCLUDED) {
                if (!t->row)
                        return GONE_;
                if (t->sight.folder && t->confirmed)
                        return expect_missing(t);
                return t->state == PATH_CLAIMED ? KEPT : GONE_;
        }
        if (kind == SEEN_FILE) {
                if (!t->row)
                        return HINTED;
                if (t->state == PATH_PENDING || t->state == PATH_CLAIMED)
                        return KEPT;
                return (t->state == PATH_CLEAN || t->state == PATH_CONFLICT) && t->version == t->sight.version ? KEPT
                                                                                                               : HINTED;
        }
        if (t->row && (t->confirmed || t->state == PATH_CLAIMED))
                return expect_missing(t);
        if (t->row && t->state == PATH_PENDING && !is_unknown(kind))
                return KEPT;
        return kind == SEEN_UNKNOWN || kind == SEEN_TOO_LONG ? FAILED_ : SKIPPED_;
}

static int by_key(const void *a, const void *b) {
        const Sight *x = a, *y = b;
        char kx[NAME_ROOM + 1], ky[NAME_ROOM + 1];

        (void) snprintf(kx, sizeof(kx), "%s%s", x->path, x->folder ? "/" : "");
        (void) snprintf(ky, sizeof(ky), "%s%s", y->path, y->folder ? "/" : "");
        return strcmp(kx, ky);
}

static bool in_branch(const char *path, const char *branch) {
        size_t n = strlen(branch);

        return n == 0 || (strncmp(path, branch, n) == 0 && (path[n] == '\0' || path[n] == '/'));
}

static size_t sights_of(const char *branch, Sight *ret) {
        size_t n = 0;

        for (size_t i = 0; i < n_things; i++)
                if (things[i].seen && in_branch(things[i].path, branch))
                        ret[n++] = things[i].sight;
        qsort(ret, n, sizeof(*ret), by_key);
        return n;
}

/* As jobs would: files become clean, other rows that are due and no file go. Returns false if something was due. */
static bool let_jobs_run(void) {
        bool quiet = true;

        for (size_t i = 0; i < n_things; i++) {
                Row *row = get(things[i].path);
                Stamp stamp = stamp_of(things[i].sight.version);

                if (!row->exists || row->state != PATH_PENDING)
                        continue;
                quiet = false;
                if (things[i].seen && things[i].sight.kind == SEEN_FILE) {
                        row_claim(row);
                        row_confirm(row, row->gen, &stamp, "\"etag\"", NULL, 1);
                        store(row);
                } else
                        assert_int_equal(journal_forget(sync_of.journal, mapping.record.id, row, NULL), 0);
        }
        return quiet;
}

static void test_anything(void **state) {
        static Sight sights[PATHS_MAX];

        for (unsigned seed = 0; seed < 150; seed++) {
                const char *branch = "";
                size_t n, rows = 0, expected_rows = 0, batch;

                drawn = seed;
                n_things = 0;
                assert_int_equal(journal_wipe(sync_of.journal, "m", &mapping.record, NULL), 0);
                fill("", 2, true);
                for (size_t i = 0; i < n_things; i++)
                        if (things[i].row) {
                                make_row(things[i].path, things[i].state, things[i].confirmed, things[i].version);
                                things[i].gen = get(things[i].path)->gen;
                        }
                if (seed % 3 == 1 && n_things > 0)
                        do /* of a branch that the walk can come to */
                                branch = things[draw((unsigned) n_things)].path;
                        while (folder_above(branch, is_excluded) || folder_above(branch, is_unknown));
                n = sights_of(branch, sights);
                batch = 1 + draw(600);
                merge(branch, sights, n, batch);
                for (size_t i = 0; i < n_things; i++) {
                        const Thing *t = &things[i];
                        int want = in_branch(t->path, branch) ? expect(t) : t->row ? KEPT : GONE_;

                        assert_outcome(t->path, want, t->row ? t->state : PATH_CLEAN, t->gen);
                        expected_rows += want != GONE_;
                }
                for (size_t i = 0; i < n_things; i++)
                        rows += get(things[i].path)->exists;
                assert_int_equal(rows, expected_rows);

                /* No flapping: once the jobs are through, another scan of the same finds nothing to do. Rows of states
                 * in which something else must happen first are put out of the way. */
                for (size_t i = 0; i < n_things; i++) {
                        Row *row = get(things[i].path);

                        if (row->exists && (row->confirmed || row->state == PATH_CLAIMED) && row->state != PATH_CLEAN)
                                assert_int_equal(journal_forget(sync_of.journal, mapping.record.id, row, NULL), 0);
                }
                n = sights_of("", sights);
                for (unsigned k = 0; k < 3; k++) {
                        (void) let_jobs_run();
                        merge("", sights, n, batch);
                }
                for (size_t i = 0; i < n_things; i++)
                        things[i].gen = get(things[i].path)->gen;
                (void) let_jobs_run();
                merge("", sights, n, 1 + batch / 2);
                for (size_t i = 0; i < n_things; i++) {
                        const Row *row = get(things[i].path);

                        if (row->exists && row->state == PATH_PENDING)
                                print_error("seed %u: %s is hinted again and again\n", seed, things[i].path);
                        assert_false(row->exists && row->state == PATH_PENDING);
                        assert_int_equal(row->gen, things[i].gen);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(test_anything, open_journal,
                                                                            close_journal) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
