/* Which other names of a file its job wakes (pitfalls 5.4): those that have not seen what it saw, and no two names wake
 * each other for ever. */
#include "merge-fixture.h"

#include <assert.h>

/* Woken names stand in the journal with a new generation, as in mapping.c. */
void mapping_hint(Mapping *m, const char *path, bool content, int64_t due, int64_t first) {
        Row *row = get(path);

        row_hint(row, content, due, first);
        store(row);
}

static Job *look(const char *path, unsigned version) {
        static Job job;

        job = (Job){ .mapping = &mapping, .row = *get(path), .stamp = stamp_of(version), .look = LOOK_REGULAR };
        job.stamp.nlink = 2;
        return &job;
}

static bool wakes(const char *path, const char *other, unsigned version) {
        uint64_t gen = get(other)->gen;

        assert_false(links_hint(look(path, version)));
        return get(other)->gen != gen;
}

static void state_is(const char *path, PathState state, const char *reason) {
        Row *row = get(path);

        row_hint(row, false, 1, 1);
        row_park(row, row->gen, state, 1, reason);
        store(row);
}

static void test_names_that_have_not_seen_it(void **state) {
        make_row("a", PATH_CLEAN, true, 1);
        make_row("b", PATH_CLEAN, true, 1);
        assert_false(wakes("a", "b", 1));
        assert_true(wakes("a", "b", 2));
        assert_int_equal(get("b")->state, PATH_PENDING);
        assert_int_equal(get("a")->state, PATH_CLEAN);
}

/* No file stands there any more: saving the others, however often, does not put its deletion off. */
static void test_deletion_is_not_put_off(void **state) {
        static const PathState states[] = { PATH_GONE, PATH_HELD };

        make_row("a", PATH_CLEAN, true, 1);
        make_row("b", PATH_CLEAN, true, 1);
        for (size_t i = 0; i < ELEMENTSOF(states); i++)
                for (unsigned content = 0; content < 2; content++) {
                        state_is("b", states[i], NULL);
                        Row *row = get("b");
                        row->content = content;
                        store(row);
                        assert_false(wakes("a", "b", 2));
                        assert_false(wakes("a", "b", 0));
                        assert_int_equal(get("b")->state, states[i]);
                }
}

/* It stands in the middle of its look, or found nothing. */
static void test_deletion_under_way_is_not_put_off(void **state) {
        Job other;

        make_row("a", PATH_CLEAN, true, 1);
        make_row("b", PATH_CLAIMED, true, 1);
        other = (Job){ .mapping = &mapping, .row = *get("b"), .was_gone = true, .look = LOOK_ABSENT };
        mapping.jobs = &other;
        assert_false(wakes("a", "b", 2));
        other.look = LOOK_REGULAR; /* it is there, as it was before */
        other.stamp = stamp_of(1);
        assert_true(wakes("a", "b", 2));
        mapping.jobs = NULL;
}

/* Emptied through all its names at once (5.9): they wait, and wake no other until something is written. */
static void test_emptied(void **state) {
        make_row("a", PATH_CLEAN, true, 1);
        make_row("b", PATH_CLEAN, true, 1);
        state_is("b", PATH_GONE, "emptied here; waits for delete-delay");
        assert_false(wakes("a", "b", 0));
        assert_true(wakes("a", "b", 2));
        state_is("b", PATH_SKIPPED, "its deletion was rejected: the blob stays");
        assert_false(wakes("a", "b", 0));
        assert_true(wakes("a", "b", 2));
}

/* Its pause is not cut short: two of them, leased, would ask the service without one. */
static void test_pending_keeps_its_pause(void **state) {
        make_row("a", PATH_PENDING, true, 1);
        make_row("b", PATH_PENDING, true, 1);
        assert_false(wakes("a", "b", 2));
        assert_false(wakes("b", "a", 2));
}

/* What the blob stopped is not for another name to settle; what could not be read may be readable now. */
static void test_parked(void **state) {
        static const PathState states[] = { PATH_FAILED, PATH_CONFLICT };

        make_row("a", PATH_CLEAN, true, 1);
        make_row("b", PATH_CLEAN, true, 1);
        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                Row *row;

                state_is("b", states[i], "as it was");
                row = get("b");
                row->seen_ino = stamp_of(2).ino;
                store(row);
                assert_false(wakes("a", "b", 2));
                row = get("b");
                row->seen_ino = 0;
                store(row);
                assert_true(wakes("a", "b", 2));
        }
}

/* "a" was written to, and then replaced or removed: the event named "a" alone, and the file is still there as "b". */
static void test_former_names(void **state) {
        static const Look looks[] = { LOOK_REGULAR, LOOK_ABSENT };

        make_row("a", PATH_CLEAN, true, 1);
        make_row("b", PATH_CLEAN, true, 1);
        make_row("c", PATH_GONE, true, 1);
        for (size_t i = 0; i < ELEMENTSOF(looks); i++) {
                uint64_t gen = get("b")->gen, gone = get("c")->gen;
                Job *job = look("a", 2), other;

                job->look = looks[i];
                job->stamp.ino++;
                links_former(job); /* no event told of bytes */
                assert_int_equal(get("b")->gen, gen);
                job->row.content = true;
                job->was_gone = true;
                links_former(job); /* told before */
                assert_int_equal(get("b")->gen, gen);
                job->was_gone = false;
                job->row.kept = true;
                links_former(job); /* rejected: told before, or two names would wake each other for ever */
                assert_int_equal(get("b")->gen, gen);
                job->row.kept = false;
                other = (Job){ .mapping = &mapping, .row = *get("d"), .stamp = stamp_of(1), .look = LOOK_REGULAR };
                mapping.jobs = &other;
                links_former(job);
                mapping.jobs = NULL;
                assert_true(get("b")->gen > gen);
                assert_true(get("b")->content); /* the stamp may not tell (4.3) */
                assert_true(get("d")->gen > other.row.gen);
                assert_int_equal(get("c")->gen, gone);
                state_is("b", PATH_GONE, NULL);
                make_row("b", PATH_CLEAN, true, 1);
        }
        Job *job = look("a", 2); /* it is still the same file: links_hint() sees to it */
        job->row.content = true;
        uint64_t gen = get("b")->gen;
        links_former(job);
        assert_int_equal(get("b")->gen, gen);
}

/* A store through a mapping leaves the stamp as it was (4.3), and is told of one name alone. */
static void test_same_stamp_other_bytes(void **state) {
        Row *row;
        Job *job;
        uint64_t gen;

        make_row("a", PATH_CLEAN, true, 1);
        make_row("b", PATH_CLEAN, true, 1);
        row = get("b");
        row->has_md5 = true;
        memset(row->md5, 1, sizeof(row->md5));
        store(row);
        gen = row->gen;
        job = look("a", 1);
        links_stored(job); /* nothing was read */
        assert_int_equal(get("b")->gen, gen);
        job->have_bytes = true;
        memset(job->md5, 1, sizeof(job->md5));
        links_stored(job);
        assert_int_equal(get("b")->gen, gen);
        memset(job->md5, 2, sizeof(job->md5));
        links_stored(job);
        assert_true(get("b")->gen > gen);
        assert_true(get("b")->content);
        gen = get("b")->gen;
        links_stored(job); /* it will read it anyway */
        assert_int_equal(get("b")->gen, gen);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                WITH_JOURNAL(test_names_that_have_not_seen_it),
                WITH_JOURNAL(test_deletion_is_not_put_off),
                WITH_JOURNAL(test_deletion_under_way_is_not_put_off),
                WITH_JOURNAL(test_emptied),
                WITH_JOURNAL(test_pending_keeps_its_pause),
                WITH_JOURNAL(test_parked),
                WITH_JOURNAL(test_former_names),
                WITH_JOURNAL(test_same_stamp_other_bytes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
