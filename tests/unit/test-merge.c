/* What a scan saw against a real journal: pitfalls 4.10-4.12, 2.5, 6.7, 7.6. What the rest of sync/ would do is left
 * out: its three calls are here. */
#include "merge-fixture.h"

static void test_one_row(void **state) {
        static const struct {
                PathState state; /* of the row "p"; NONE: there is none */
                bool confirmed;
                Sight sight; /* path NULL: nothing is seen */
                int want;
        } cases[] = {
                { NONE, false, FILE_AT("p", 1), HINTED }, /* new */
                { NONE, false, LEAF("p", SYMLINK), SKIPPED_ },
                { NONE, false, LEAF("p", SPECIAL), SKIPPED_ },
                { NONE, false, FOLDER("p", EMPTY_FOLDER), SKIPPED_ },
                { NONE, false, FOLDER("p", MOUNT), SKIPPED_ }, /* pitfalls 2.5 */
                { NONE, false, LEAF("p", MOUNT), SKIPPED_ },
                { NONE, false, FOLDER("p", UNKNOWN), FAILED_ }, /* L5, pitfalls 5.5 */
                { NONE, false, LEAF("p", UNKNOWN), FAILED_ },
                { NONE, false, FOLDER("p", TOO_LONG), FAILED_ }, /* pitfalls 6.7 */
                { NONE, false, LEAF("p", TOO_LONG), FAILED_ },
                { NONE, false, FOLDER("p", EXCLUDED), GONE_ },
                { NONE, false, LEAF("p", EXCLUDED), GONE_ },

                { PATH_CLEAN, true, FILE_AT("p", 1), KEPT },
                { PATH_CLEAN, true, FILE_AT("p", 2), HINTED }, /* pitfalls 4.1 */
                { PATH_PENDING, true, FILE_AT("p", 2), KEPT }, /* a job will look */
                { PATH_PENDING, false, FILE_AT("p", 2), KEPT },
                { PATH_CLAIMED, true, FILE_AT("p", 2), KEPT },
                { PATH_GONE, true, FILE_AT("p", 1), HINTED }, /* it is back */
                { PATH_HELD, true, FILE_AT("p", 1), HINTED },
                { PATH_FAILED, true, FILE_AT("p", 1), HINTED }, /* pitfalls 5.5: retried by each scan */
                { PATH_FAILED, false, FILE_AT("p", 1), HINTED },
                { PATH_SKIPPED, false, FILE_AT("p", 1), HINTED },
                { PATH_CONFLICT, true, FILE_AT("p", 1), KEPT },
                { PATH_CONFLICT, true, FILE_AT("p", 2), HINTED },

                /* pitfalls 4.11: what was not seen is worth a look */
                { PATH_CLEAN, true, NOTHING, HINTED },
                { PATH_FAILED, true, NOTHING, HINTED },
                { PATH_FAILED, false, NOTHING, HINTED },
                { PATH_SKIPPED, false, NOTHING, HINTED },
                { PATH_CONFLICT, true, NOTHING, HINTED },
                { PATH_PENDING, true, NOTHING, KEPT },
                { PATH_CLAIMED, true, NOTHING, KEPT },
                { PATH_GONE, true, NOTHING, KEPT },
                { PATH_HELD, true, NOTHING, KEPT },

                /* a file became something else: a job deletes its blob, under the guard */
                { PATH_CLEAN, true, LEAF("p", SYMLINK), HINTED },
                { PATH_CLEAN, true, FOLDER("p", EMPTY_FOLDER), HINTED },
                { PATH_CLEAN, true, FOLDER("p", UNKNOWN), HINTED },
                { PATH_CLEAN, true, LEAF("p", UNKNOWN), HINTED },
                { PATH_CLEAN, true, FOLDER("p", MOUNT), HINTED },
                { PATH_HELD, true, LEAF("p", SYMLINK), KEPT },
                { PATH_HELD, true, FOLDER("p", EMPTY_FOLDER), KEPT },
                { PATH_GONE, true, LEAF("p", SPECIAL), KEPT },
                { PATH_CLAIMED, true, LEAF("p", SYMLINK), KEPT },
                { PATH_PENDING, false, LEAF("p", SYMLINK), KEPT }, /* a job looks: the news may be younger */
                { PATH_PENDING, false, FOLDER("p", EMPTY_FOLDER), KEPT },
                { PATH_PENDING, false, FOLDER("p", MOUNT), SKIPPED_ },
                { PATH_FAILED, false, LEAF("p", SYMLINK), SKIPPED_ },
                { PATH_SKIPPED, false, FOLDER("p", UNKNOWN), FAILED_ },

                /* pitfalls 7.6: excluded, its blob stays */
                { PATH_CLEAN, true, LEAF("p", EXCLUDED), GONE_ },
                { PATH_GONE, true, LEAF("p", EXCLUDED), GONE_ },
                { PATH_HELD, true, LEAF("p", EXCLUDED), GONE_ },
                { PATH_FAILED, false, LEAF("p", EXCLUDED), GONE_ },
                { PATH_CLAIMED, true, LEAF("p", EXCLUDED), KEPT }, /* its job ends first */
                /* the folder is excluded; the file that had its name was not */
                { PATH_CLEAN, true, FOLDER("p", EXCLUDED), HINTED },
                { PATH_GONE, true, FOLDER("p", EXCLUDED), KEPT },
                { PATH_SKIPPED, false, FOLDER("p", EXCLUDED), GONE_ },
                { PATH_FAILED, false, FOLDER("p", EXCLUDED), GONE_ },
        };

        /* in the middle of others, and as the branch that is scanned */
        for (unsigned branch = 0; branch < 2; branch++)
                for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                        const char *path = branch ? "b/p" : "p";
                        Sight sight = cases[i].sight;
                        PathState before = PATH_CLEAN;
                        uint64_t gen = 0;

                        assert_int_equal(journal_wipe(sync_of.journal, "m", &mapping.record, NULL), 0);
                        make_row("b", PATH_CLEAN, true, 1);
                        make_row("b/p-x", PATH_CLEAN, true, 1);
                        make_row("b/p0", PATH_CLEAN, true, 1);
                        if (cases[i].state != NONE) {
                                make_row(path, cases[i].state, cases[i].confirmed, 1);
                                before = cases[i].state;
                                gen = get(path)->gen;
                        }
                        sight.path = path;
                        if (branch)
                                merge("b/p", &sight, cases[i].sight.path != NULL, 1);
                        else {
                                const Sight all[] = { FILE_AT("b", 1), FILE_AT("b/p-x", 1), FILE_AT("b/p0", 1), sight };

                                merge("", all, 3 + (cases[i].sight.path != NULL), 10);
                        }
                        assert_outcome(path, cases[i].want, before, gen);
                        assert_int_equal(get("b")->state, PATH_CLEAN);
                        assert_int_equal(get("b/p-x")->state, PATH_CLEAN);
                        assert_int_equal(get("b/p0")->state, PATH_CLEAN);
                }
}

/* A job is at work on it: what it saw before the walk came by is not what it is to confirm (8.1, 8.2). */
static void test_job_at_work(void **state) {
        static const struct {
                enum { UNLOOKED, LOOKS, LOOKED } job; /* LOOKS: its answer may be on the way */
                Look look;
                unsigned version; /* that it saw */
                bool hinted;
                Sight sight;
        } cases[] = {
                { UNLOOKED, LOOK_REGULAR, 0, false, FILE_AT("p", 2) }, /* it will see that */
                { UNLOOKED, LOOK_REGULAR, 0, false, NOTHING },
                { LOOKS, LOOK_REGULAR, 0, true, FILE_AT("p", 2) }, /* perhaps it has seen what was before */
                { LOOKS, LOOK_REGULAR, 0, true, NOTHING },
                { LOOKED, LOOK_REGULAR, 2, false, FILE_AT("p", 2) },
                { LOOKED, LOOK_REGULAR, 1, true, FILE_AT("p", 2) },
                { LOOKED, LOOK_REGULAR, 1, true, NOTHING }, /* its folder was moved away meanwhile */
                { LOOKED, LOOK_REGULAR, 1, true, LEAF("p", SYMLINK) },
                { LOOKED, LOOK_REGULAR, 1, true, FOLDER("p", UNKNOWN) },
                { LOOKED, LOOK_REGULAR, 1, true, FOLDER("p", EXCLUDED) },
                { LOOKED, LOOK_ABSENT, 0, false, NOTHING },
                { LOOKED, LOOK_ABSENT, 0, true, FILE_AT("p", 1) },
                { LOOKED, LOOK_ABSENT, 0, false, LEAF("p", SYMLINK) },
        };
        Job *job = calloc(1, sizeof(*job));

        assert_non_null(job);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t gen;

                assert_int_equal(journal_wipe(sync_of.journal, "m", &mapping.record, NULL), 0);
                make_row("p", PATH_CLAIMED, true, 1);
                gen = get("p")->gen;
                job->row = *get("p");
                job->unlooked = cases[i].job != LOOKED;
                job->waiting = cases[i].job == LOOKS;
                job->look = cases[i].look;
                job->stamp = stamp_of(cases[i].version);
                mapping.jobs = job;
                merge("", &cases[i].sight, cases[i].sight.path != NULL, 1);
                mapping.jobs = NULL;
                assert_int_equal(get("p")->state, PATH_CLAIMED);
                if ((get("p")->gen != gen) != cases[i].hinted)
                        fail_msg("case %zu", i);
        }
        free(job);
}

/* An earlier write whose outcome is unknown may have left a blob: not ours to say that there is none (L4). */
static void test_doubt(void **state) {
        const Sight link[] = { LEAF("p", SYMLINK) };
        Row *row;

        make_row("p", PATH_FAILED, false, 0);
        row = get("p");
        row->doubt = true;
        store(row);
        merge("", link, 1, 1);
        assert_int_equal(get("p")->state, PATH_PENDING);
}

/* --- the order --- */

/* A folder comes where "name/" stands; its own row where "name" does. */
static void test_rows_of_folders(void **state) {
        static const Sight sights[] = {
                FILE_AT("a", 1),   FILE_AT("a!", 1),          FOLDER("e-", EMPTY_FOLDER),
                FILE_AT("e.x", 1), FOLDER("e", EMPTY_FOLDER), FOLDER("e0", EMPTY_FOLDER),
                FILE_AT("n-", 1),  FILE_AT("n/x", 1),         FILE_AT("z", 1),
        };
        static const char *const stay[] = { "e-", "e", "e0" };
        uint64_t gens[ELEMENTSOF(stay)];

        for (size_t i = 0; i < ELEMENTSOF(sights); i++)
                if (sights[i].kind == SEEN_FILE)
                        make_row(sights[i].path, PATH_CLEAN, true, 1);
        merge("", sights, ELEMENTSOF(sights), 3);
        for (size_t i = 0; i < ELEMENTSOF(stay); i++) {
                assert_int_equal(get(stay[i])->state, PATH_SKIPPED);
                gens[i] = get(stay[i])->gen;
        }
        /* pitfalls 5.6: again and again, and nothing happens */
        assert_int_equal(journal_commit(sync_of.journal, NULL), 0);
        merge("", sights, ELEMENTSOF(sights), 100);
        assert_false(journal_open_transaction(sync_of.journal)); /* not even written */
        make_row("n", PATH_SKIPPED, false, 0);                   /* was empty, and is not any more */
        for (unsigned i = 0; i < 3; i++) {
                merge("", sights, ELEMENTSOF(sights), 1 + i * 4);
                for (size_t k = 0; k < ELEMENTSOF(stay); k++) {
                        assert_int_equal(get(stay[k])->state, PATH_SKIPPED);
                        assert_int_equal(get(stay[k])->gen, gens[k]);
                }
        }
        assert_int_equal(get("n")->state, PATH_PENDING);
        for (size_t i = 0; i < ELEMENTSOF(sights); i++)
                if (sights[i].kind == SEEN_FILE)
                        assert_int_equal(get(sights[i].path)->state, PATH_CLEAN);
}

/* Neither what could not be listed nor what is beneath another mount is missing; what was skipped in it neither. */
static void test_beneath_unknown(void **state) {
        static const SeenKind kinds[] = { SEEN_UNKNOWN, SEEN_MOUNT, SEEN_TOO_LONG };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                const Sight sights[] = { { "d", kinds[i], true, 0 } };
                uint64_t gen;

                assert_int_equal(journal_wipe(sync_of.journal, "m", &mapping.record, NULL), 0);
                make_row("d-", PATH_CLEAN, true, 1);
                make_row("d/a", PATH_CLEAN, true, 1);
                make_row("d/link", PATH_SKIPPED, false, 0);
                make_row("d/sub/b", PATH_FAILED, false, 0);
                make_row("d0", PATH_CLEAN, true, 1);
                gen = get("d/sub/b")->gen;
                merge("", sights, 1, 1);
                assert_int_equal(get("d-")->state, PATH_PENDING);
                assert_int_equal(get("d/a")->state, PATH_CLEAN);
                assert_int_equal(get("d/link")->state, PATH_SKIPPED);
                assert_outcome("d/sub/b", KEPT, PATH_FAILED, gen);
                assert_int_equal(get("d0")->state, PATH_PENDING);
        }
}

/* What the walk did not finish proves nothing, but what it saw counts. */
static void test_incomplete(void **state) {
        Seen seen = { .path = "b", .size = 1, .kind = SEEN_FILE, .stamp = stamp_of(1) };
        struct Merge *g;

        make_row("a", PATH_CLEAN, true, 1);
        make_row("c", PATH_CLEAN, true, 1);
        g = merge_new(&mapping, "");
        assert_int_equal(merge_seen(g, &seen, 1), 1);
        assert_true(merge_end(g, false));
        merge_free(g);
        assert_int_equal(get("a")->state, PATH_PENDING);
        assert_int_equal(get("b")->state, PATH_PENDING);
        assert_int_equal(get("c")->state, PATH_CLEAN);
        assert_true(mapping.record.scan);
}

/* After a power cut new bytes may stand under an old stamp: whatever is seen is read, and until then not believed */
static void test_reread(void **state) {
        static const char *const paths[] = { "clean", "pending" };

        for (int reread = 0; reread < 2; reread++) {
                Seen seen = { .size = 5, .kind = SEEN_FILE, .stamp = stamp_of(1) };
                struct Merge *g;

                make_row("clean", PATH_CLEAN, true, 1);
                make_row("pending", PATH_PENDING, true, 1);
                mapping.record.reread = reread;
                g = merge_new(&mapping, "");
                for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                        seen.path = paths[i];
                        seen.size = strlen(paths[i]);
                        assert_int_equal(merge_seen(g, &seen, 1), 1);
                }
                assert_true(merge_end(g, true));
                merge_free(g);
                assert_int_equal(get("clean")->state, reread ? PATH_PENDING : PATH_CLEAN);
                for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                        assert_int_equal(get(paths[i])->content, reread);
        }
}

/* Rows change while a page of them is merged: what is written is decided by the row as it is then. */
static void test_page_is_old(void **state) {
        static const char *const paths[] = { "a", "b", "c", "d" };
        Stamp two = stamp_of(2);
        Seen seen[3];
        struct Merge *g;
        Row *row;

        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                make_row(paths[i], PATH_CLEAN, true, 1);
        g = merge_new(&mapping, "");
        row = get("a"); /* a job has sent the new bytes */
        row_hint(row, false, 1, 1);
        row_claim(row);
        row_confirm(row, row->gen, &two, "\"2\"", NULL, 1);
        store(row);
        assert_int_equal(journal_forget(sync_of.journal, mapping.record.id, get("b"), NULL), 0); /* deleted */
        row = get("c"); /* excluded, but a job has it now */
        row_hint(row, false, 1, 1);
        row_claim(row);
        store(row);
        for (size_t i = 0; i < ELEMENTSOF(seen); i++)
                seen[i] = (Seen){ .size = 1, .kind = SEEN_FILE, .stamp = two };
        seen[0].path = "a";
        seen[1].path = "c";
        seen[1].kind = SEEN_EXCLUDED;
        seen[2].path = "d";
        assert_int_equal(merge_seen(g, seen, 3), 3);
        assert_true(merge_end(g, true));
        merge_free(g);
        assert_int_equal(get("a")->state, PATH_CLEAN);
        assert_false(get("b")->exists);
        assert_int_equal(get("c")->state, PATH_CLAIMED);
        assert_int_equal(get("d")->state, PATH_PENDING);
}

/* A row that came after the page was read: of a blob that a listing has met, say, and whose file is gone again before
 * the walk, and with it anybody who would tell of that, comes to its folder (4.11). */
static void test_row_is_added(void **state) {
        const Seen seen[] = { { .path = "b", .size = 1, .kind = SEEN_FILE, .stamp = stamp_of(1) },
                              { .path = "d", .size = 1, .kind = SEEN_FILE, .stamp = stamp_of(1) },
                              { .path = "f", .size = 1, .kind = SEEN_FILE, .stamp = stamp_of(1) } };
        struct Merge *g = merge_new(&mapping, "");

        assert_int_equal(merge_seen(g, &seen[0], 1), 1);
        make_row("a", PATH_CLEAN, true, 1); /* the walk is past that: its events are heard */
        make_row("c", PATH_CLEAN, true, 1);
        make_row("d", PATH_CLEAN, true, 1);
        make_row("g", PATH_CLEAN, true, 1);
        assert_int_equal(merge_seen(g, &seen[1], 2), 2);
        make_row("e", PATH_CLEAN, true, 1);
        make_row("h", PATH_CLEAN, true, 1);
        assert_true(merge_end(g, true));
        merge_free(g);
        assert_int_equal(get("a")->state, PATH_CLEAN);
        assert_int_equal(get("b")->state, PATH_PENDING);
        assert_int_equal(get("c")->state, PATH_PENDING);
        assert_int_equal(get("d")->state, PATH_CLEAN);
        assert_int_equal(get("e")->state, PATH_CLEAN);
        assert_int_equal(get("f")->state, PATH_PENDING);
        assert_int_equal(get("g")->state, PATH_PENDING);
        assert_int_equal(get("h")->state, PATH_PENDING);
}

static int inode_due(uint64_t ino) {
        return journal_inode_due(sync_of.journal, mapping.record.id, ino, NULL);
}

/* The walk has met a file under a new name: its old name's blob stays until it is stored there (8), whether its look is
 * put off by events or fails. (If neither, its look comes before any deletion, and no index needs to know of it.) */
static void test_file_is_met(void **state) {
        static const PathState before[] = { NONE, PATH_PENDING, PATH_CLAIMED, PATH_CLEAN };
        const Stamp other = { .size = 3, .ino = 9 };
        Seen seen = { .path = "p", .size = 1, .kind = SEEN_FILE, .stamp = stamp_of(2) };
        Job *job = calloc(1, sizeof(*job));

        assert_non_null(job);
        for (size_t n = 0; n < 2 * ELEMENTSOF(before); n++) {
                size_t i = n / 2;
                struct Merge *g;
                Row *row;

                assert_int_equal(journal_wipe(sync_of.journal, "m", &mapping.record, NULL), 0);
                if (before[i] != NONE) {
                        make_row("p", before[i], true, 1);
                        row = get("p"); /* another file was here then */
                        row->stamp = other;
                        store(row);
                }
                job->row = *get("p");
                job->unlooked = true;
                mapping.jobs = before[i] == PATH_CLAIMED ? job : NULL;
                g = merge_new(&mapping, "");
                assert_int_equal(merge_seen(g, &seen, 1), 1);
                assert_true(merge_end(g, true));
                merge_free(g);
                mapping.jobs = NULL;
                row = before[i] == PATH_CLAIMED ? &job->row : get("p");
                if (n % 2)
                        row_hint(row, true, 1, 1);
                else {
                        row->state = PATH_CLAIMED;
                        row_release(row, row->gen, 1, true, false, "cannot be read");
                }
                row->exists = true;
                store(row);
                assert_int_equal(inode_due(8), 1);
                row = get("p");
                row->state = PATH_CLAIMED;
                row_confirm(row, row->gen, &seen.stamp, "\"2\"", NULL, 1);
                store(row);
                assert_int_equal(inode_due(8), 0);
                row_hint(row, true, 1, 1); /* it is stored: nothing waits for its other names */
                store(row);
                g = merge_new(&mapping, "");
                assert_int_equal(merge_seen(g, &seen, 1), 1);
                merge_free(g);
                assert_int_equal(inode_due(8), 0);
        }
        free(job);
}

/* An event told of it first, and put its look off to a time that may be behind any deletion's. */
static void test_file_is_met_after_an_event(void **state) {
        Seen seen = { .path = "p", .size = 1, .kind = SEEN_FILE, .stamp = stamp_of(2) };
        struct Merge *g;
        Row *row = get("p");

        row_hint(row, true, INT64_MAX / 2, 1);
        store(row);
        g = merge_new(&mapping, "");
        assert_int_equal(merge_seen(g, &seen, 1), 1);
        merge_free(g);
        assert_int_equal(inode_due(8), 1);
        assert_true(get("p")->due == INT64_MAX / 2);
}

/* When the page was read a job was still to look, or a deletion waited; since then a job has looked and confirmed what
 * was there before this sight (8.1): nobody will look again if the walk does not say so. */
static void test_page_is_overtaken(void **state) {
        static const PathState before[] = { PATH_PENDING, PATH_GONE, PATH_HELD };
        Seen seen = { .path = "p", .size = 1, .kind = SEEN_FILE, .stamp = stamp_of(0) };
        Stamp two = stamp_of(2);

        for (size_t i = 0; i < ELEMENTSOF(before); i++) {
                struct Merge *g;
                Row *row;

                assert_int_equal(journal_wipe(sync_of.journal, "m", &mapping.record, NULL), 0);
                make_row("p", before[i], true, 1);
                g = merge_new(&mapping, "");
                row = get("p");
                row_hint(row, false, 1, 1);
                row_claim(row);
                row_confirm(row, row->gen, &two, "\"2\"", NULL, 1);
                store(row);
                assert_int_equal(get("p")->state, PATH_CLEAN);
                assert_int_equal(merge_seen(g, &seen, 1), 1);
                assert_true(merge_end(g, true));
                merge_free(g);
                assert_int_equal(get("p")->state, PATH_PENDING);
        }
}

/* Many pages, and no call that does all of it: a folder of any size may have been deleted offline. */
static void test_many_rows(void **state) {
        static const Sight last[] = { FILE_AT("z", 1) };
        const JournalCounts *counts = journal_counts(sync_of.journal, mapping.record.id);
        char path[NAME_ROOM];

        make_row("z", PATH_CLEAN, true, 1);
        for (unsigned i = 0; i < 6000; i++) {
                (void) snprintf(path, sizeof(path), "d/%u", i);
                make_row(path, i % 3 ? PATH_CLEAN : PATH_SKIPPED, i % 3, 1);
        }
        assert_true(merge("", last, 1, 1) > 6);
        assert_int_equal(counts->state[PATH_PENDING], 6000);
        assert_int_equal(counts->state[PATH_CLEAN], 1);

        /* the same when they are behind the last one that is seen */
        assert_int_equal(journal_wipe(sync_of.journal, "m", &mapping.record, NULL), 0);
        make_row("0", PATH_CLEAN, true, 1);
        for (unsigned i = 0; i < 3000; i++) {
                (void) snprintf(path, sizeof(path), "d/%u", i);
                make_row(path, PATH_CLEAN, true, 1);
        }
        assert_true(merge("", &(Sight) FILE_AT("0", 1), 1, 1) > 4);
        counts = journal_counts(sync_of.journal, mapping.record.id);
        assert_int_equal(counts->state[PATH_PENDING], 3000);
}

/* What is as it was costs no more than the page it is read with. */
static void test_many_clean_rows(void **state) {
        _cleanup_free_ Sight *sights = calloc(2000, sizeof(*sights));
        _cleanup_free_ char *paths = calloc(2000, NAME_ROOM);

        assert_true(sights && paths);
        for (unsigned i = 0; i < 2000; i++) {
                char *path = paths + (size_t) i * NAME_ROOM;

                (void) snprintf(path, NAME_ROOM, "d/%04u", i);
                make_row(path, PATH_CLEAN, true, 1);
                sights[i] = (Sight) FILE_AT(path, 1);
        }
        assert_int_equal(journal_commit(sync_of.journal, NULL), 0);
        assert_int_equal(merge("", sights, 2000, 2000), 2);
        assert_int_equal(merge("d", sights, 2000, 500), 5);
        assert_false(journal_open_transaction(sync_of.journal));
}

/* However many folders and links are gone, one that is still there is met. */
static void test_many_skipped_rows(void **state) {
        static const Sight sights[] = { FILE_AT("exactly-x", 1), FOLDER("exactly", EMPTY_FOLDER) };
        char path[300];
        uint64_t gen;

        merge("", sights, 2, 2);
        gen = get("exactly")->gen;
        for (unsigned i = 0; i < 1500; i++) {
                (void) snprintf(path, sizeof(path), i < 1300 ? "d/%0200u" : "dd/%u", i);
                make_row(path, PATH_SKIPPED, false, 1);
        }
        merge("", sights, 2, 2);
        assert_outcome("exactly", KEPT, PATH_SKIPPED, gen);
        assert_int_equal(journal_counts(sync_of.journal, mapping.record.id)->state[PATH_PENDING], 1501);
}

/* The longest path there can be, and one more. */
static void test_longest(void **state) {
        _cleanup_free_ char *path = malloc(ROW_PATH_MAX + 2);
        Sight sights[2] = { { NULL, SEEN_UNKNOWN, true, 0 }, { NULL, SEEN_TOO_LONG, true, 0 } };
        _cleanup_free_ char *longer = malloc(ROW_PATH_MAX + 2);

        assert_true(path && longer);
        for (size_t i = 0; i <= ROW_PATH_MAX; i++)
                path[i] = longer[i] = i % 128 == 127 ? '/' : 'x';
        path[ROW_PATH_MAX] = longer[ROW_PATH_MAX + 1] = '\0';
        path[ROW_PATH_MAX - 1] = longer[ROW_PATH_MAX - 1] = longer[ROW_PATH_MAX] = 'y';
        sights[0].path = path;
        sights[1].path = longer;
        merge("", sights, 2, 2);
        assert_int_equal(get(path)->state, PATH_FAILED);
        assert_int_equal(journal_counts(sync_of.journal, mapping.record.id)->state[PATH_FAILED], 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_JOURNAL(test_one_row),         WITH_JOURNAL(test_job_at_work),
                WITH_JOURNAL(test_doubt),           WITH_JOURNAL(test_rows_of_folders),
                WITH_JOURNAL(test_beneath_unknown), WITH_JOURNAL(test_incomplete),
                WITH_JOURNAL(test_page_is_old),     WITH_JOURNAL(test_row_is_added),
                WITH_JOURNAL(test_file_is_met),     WITH_JOURNAL(test_file_is_met_after_an_event),
                WITH_JOURNAL(test_reread),          WITH_JOURNAL(test_many_rows),
                WITH_JOURNAL(test_longest),         WITH_JOURNAL(test_page_is_overtaken),
                WITH_JOURNAL(test_many_clean_rows), WITH_JOURNAL(test_many_skipped_rows),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
