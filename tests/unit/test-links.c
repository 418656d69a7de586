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

void mapping_age(Mapping *m, const char *path, bool content, int64_t first) {
        Row *row = get(path);

        row_age(row, content, first);
        store(row);
}

static Job *look(const char *path, unsigned version) {
        static Job job;

        job = (Job){ .mapping = &mapping, .row = *get(path), .stamp = stamp_of(version), .look = LOOK_REGULAR };
        job.stamp.nlink = 2;
        job.row.first = 2000;
        return &job;
}

static bool wakes(const char *path, const char *other, unsigned version) {
        uint64_t gen = get(other)->gen;

        assert_false(links_hint(look(path, version)));
        return get(other)->gen != gen;
}

/* As a look that found that version (NONE_THERE: no file) has left it. */
#define NONE_THERE 99u

static void state_is(const char *path, PathState state, unsigned version) {
        Row *row = get(path);

        row_hint(row, false, 1, 1000);
        row_saw(row, version == NONE_THERE ? NULL : &look(path, version)->stamp);
        row_park(row, row->gen, state, 1, "as it was");
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

/* Two changes within one tick of the kernel's clock have one ctime (4.1): a rename, and then a write. */
static void test_same_tick(void **state) {
        Job *job, other;

        make_row("a", PATH_CLEAN, true, 1);
        for (unsigned i = 0; i < 3; i++) {
                uint64_t gen;

                make_row("b", i == 2 ? PATH_CLAIMED : PATH_CLEAN, true, 1);
                other = (Job){
                        .mapping = &mapping, .row = *get("b"), .look = LOOK_REGULAR, .stamp = look("b", 1)->stamp
                };
                row_saw(&other.row, &other.stamp);
                mapping.jobs = i == 2 ? &other : NULL;
                gen = get("b")->gen;
                job = look("a", 1);
                assert_false(links_hint(job));
                assert_int_equal(get("b")->gen, gen);
                if (i == 1)
                        job->stamp.mtime_ns++;
                else
                        job->stamp.size++;
                assert_false(links_hint(job));
                assert_true(get("b")->gen > gen);
        }
        mapping.jobs = NULL;
}

/* No file stands there any more: saving the others, however often, does not put its deletion off; but it is as old as
 * what was saved, for its blob is behind that. */
static void test_deletion_is_not_put_off(void **state) {
        static const PathState states[] = { PATH_GONE, PATH_HELD, PATH_SKIPPED };

        make_row("a", PATH_CLEAN, true, 1);
        make_row("b", PATH_CLEAN, true, 1);
        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                Job *job;

                state_is("b", states[i], NONE_THERE);
                assert_false(wakes("a", "b", 2));
                assert_false(wakes("a", "b", 0));
                assert_int_equal(get("b")->state, states[i]);
                assert_true(get("b")->first > 9);
                job = look("a", 2);
                job->row.first = 9;
                job->stamp.nlink = 1;
                assert_false(links_hint(job));
                assert_int_equal(get("b")->first, states[i] == PATH_SKIPPED ? 1000 : 9);
                make_row("b", PATH_CLEAN, true, 1);
        }
}

/* It stands in the middle of its look, or found nothing. */
static void test_deletion_under_way_is_not_put_off(void **state) {
        Job other;

        make_row("a", PATH_CLEAN, true, 1);
        make_row("b", PATH_CLAIMED, true, 1);
        other = (Job){ .mapping = &mapping, .row = *get("b"), .was_gone = true, .look = LOOK_ABSENT };
        row_saw(&other.row, NULL);
        mapping.jobs = &other;
        assert_false(wakes("a", "b", 2));
        other.look = LOOK_REGULAR; /* it is there, as it was before */
        other.stamp = look("b", 1)->stamp;
        row_saw(&other.row, &other.stamp);
        assert_true(wakes("a", "b", 2));
        mapping.jobs = NULL;
}

/* What waits, for delete-delay or a person, has seen its file all the same (5.9: emptied ones do): it is woken when
 * there is more to see, and once. */
static void test_what_waits_is_woken_once(void **state) {
        static const PathState states[] = { PATH_GONE, PATH_HELD, PATH_SKIPPED, PATH_CONFLICT, PATH_FAILED };

        make_row("a", PATH_CLEAN, true, 1);
        make_row("b", PATH_CLEAN, true, 1);
        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                state_is("b", states[i], 3);
                assert_false(wakes("a", "b", 3));
                assert_int_equal(get("b")->state, states[i]);
                assert_true(wakes("a", "b", 4));
        }
}

/* Another look settles it; if it does not, the clock was set back. */
static void test_later_state(void **state) {
        Job *job;
        uint64_t gen;

        make_row("a", PATH_CLEAN, true, 1);
        make_row("b", PATH_CLEAN, true, 1);
        state_is("b", PATH_CONFLICT, 3);
        gen = get("b")->gen;
        job = look("a", 2);
        assert_true(links_hint(job));
        assert_int_equal(get("b")->gen, gen);
        job->row.attempts = 2;
        assert_false(links_hint(job));
        assert_true(get("b")->gen > gen);
}

/* Its pause is not cut short: two of them, leased, would ask the service without one. */
static void test_pending_keeps_its_pause(void **state) {
        make_row("a", PATH_PENDING, true, 1);
        make_row("b", PATH_PENDING, true, 1);
        assert_false(wakes("a", "b", 2));
        assert_false(wakes("b", "a", 2));
}

/* "a" was written to, and then replaced or removed: the event named "a" alone, and the file is still there as "b". */
static void test_former_names(void **state) {
        static const Look looks[] = { LOOK_REGULAR, LOOK_ABSENT };

        make_row("a", PATH_CLEAN, true, 1);
        make_row("b", PATH_CLEAN, true, 1);
        make_row("c", PATH_CLEAN, true, 1);
        state_is("c", PATH_GONE, NONE_THERE);
        for (size_t i = 0; i < ELEMENTSOF(looks); i++) {
                uint64_t gen = get("b")->gen, gone = get("c")->gen;
                Job *job = look("a", 2), other;

                job->look = looks[i];
                job->stamp.ino++;
                row_hint(&job->row, false, 1, 1);
                links_former(job); /* no event told of bytes: where nothing stands, it is remembered until one does */
                assert_int_equal(get("b")->gen, looks[i] == LOOK_REGULAR ? gen + 1 : gen);
                assert_false(get("b")->content);
                make_row("b", PATH_CLEAN, true, 1);
                gen = get("b")->gen;
                job->row.content = true;
                row_saw(&job->row, NULL);
                links_former(job); /* it was not there at the last look either: told then */
                assert_int_equal(get("b")->gen, gen);
                row_hint(&job->row, true, 1, 1);
                other = (Job){ .mapping = &mapping, .row = *get("d"), .stamp = stamp_of(1), .look = LOOK_REGULAR };
                row_saw(&other.row, &other.stamp);
                other.row.state = PATH_CLAIMED;
                mapping.jobs = &other;
                links_former(job);
                mapping.jobs = NULL;
                assert_true(get("b")->gen > gen);
                assert_true(get("b")->content); /* the stamp may not tell (4.3) */
                assert_true(get("d")->gen > other.row.gen);
                assert_int_equal(get("c")->gen, gone);
                make_row("b", PATH_CLEAN, true, 1);
        }
        Job *job = look("a", 2); /* it is still the same file: links_hint() sees to it */
        row_hint(&job->row, true, 1, 1);
        uint64_t gen = get("b")->gen;
        links_former(job);
        assert_int_equal(get("b")->gen, gen);
}

/* "a" is a new link of the file at "b", was looked at, and could not be stored; then it was written to, and replaced.
 */
static void test_former_name_that_was_not_stored(void **state) {
        uint64_t gen;
        Job *job;

        make_row("a", PATH_PENDING, false, 0);
        make_row("b", PATH_CLEAN, true, 1);
        gen = get("b")->gen;
        job = look("a", 1);
        row_saw(&job->row, &job->stamp);
        job->stamp.ino++;
        links_former(job); /* no event told of bytes since: one may be on its way */
        assert_int_equal(get("b")->gen, gen + 1);
        assert_false(get("b")->content);
        make_row("b", PATH_CLEAN, true, 1);
        gen = get("b")->gen;
        row_hint(&job->row, true, 1, 1);
        job->stamp.ino--;
        links_former(job); /* it is still there */
        assert_int_equal(get("b")->gen, gen);
        job->stamp.ino++;
        links_former(job);
        assert_true(get("b")->gen > gen);
        assert_true(get("b")->content);
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
        links_read(job); /* nothing was read */
        assert_int_equal(get("b")->gen, gen);
        job->have_bytes = true;
        memset(job->md5, 1, sizeof(job->md5));
        links_read(job);
        assert_int_equal(get("b")->gen, gen);
        memset(job->md5, 2, sizeof(job->md5));
        links_read(job);
        assert_true(get("b")->gen > gen);
        assert_true(get("b")->content);
        gen = get("b")->gen;
        row = get("b");
        row->content = false;
        store(row);
        links_read(job); /* its look is to come, and will read it now */
        assert_int_equal(get("b")->gen, gen);
        assert_true(get("b")->content);
}

/* Far more names than one job tells: it goes from one to the next until all have seen what the last one has. */
static void test_very_many_names(void **state) {
        const unsigned count = 700;
        char path[8] = "n699";
        bool woken = true;
        Stamp stamp = stamp_of(2);

        for (unsigned i = 0; i < count; i++) {
                (void) snprintf(path, sizeof(path), "n%03u", i);
                make_row(path, PATH_CLEAN, true, 1);
        }
        (void) wakes(path, "n000", 2); /* the last one */
        while (woken) {
                woken = false;
                for (unsigned i = 0; i < count; i++) {
                        Row *row;

                        (void) snprintf(path, sizeof(path), "n%03u", i);
                        if (get(path)->state != PATH_PENDING)
                                continue;
                        woken = true;
                        assert_false(links_hint(look(path, 2)));
                        row = get(path);
                        row_confirm(row, row->gen, &stamp, "\"etag\"", NULL, 1);
                        store(row);
                }
        }
        for (unsigned i = 0; i < count - 1; i++) {
                (void) snprintf(path, sizeof(path), "n%03u", i);
                assert_int_equal(get(path)->stamp.ctime_ns, stamp.ctime_ns);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                WITH_JOURNAL(test_names_that_have_not_seen_it),
                WITH_JOURNAL(test_same_tick),
                WITH_JOURNAL(test_deletion_is_not_put_off),
                WITH_JOURNAL(test_deletion_under_way_is_not_put_off),
                WITH_JOURNAL(test_what_waits_is_woken_once),
                WITH_JOURNAL(test_later_state),
                WITH_JOURNAL(test_pending_keeps_its_pause),
                WITH_JOURNAL(test_former_names),
                WITH_JOURNAL(test_former_name_that_was_not_stored),
                WITH_JOURNAL(test_same_stamp_other_bytes),
                WITH_JOURNAL(test_very_many_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
