/* Room for file data (src/sync/memory.c): bounded, and no mapping has to wait for what another one holds for ever
 * (pitfalls 2.6, 11.12). */
#include "sync/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((size_t) 1024 * 1024)
#define MEMORY (64 * MIB)
#define MAPPINGS 3u
#define JOBS 200u

static Sync sync_;
static Account account_;
static Mapping mappings[MAPPINGS], *list[MAPPINGS];
static Job jobs[MAPPINGS][JOBS];
static unsigned resumed;

static int set_up(void **state) {
        memset(jobs, 0, sizeof(jobs));
        memset(mappings, 0, sizeof(mappings));
        resumed = 0;
        for (unsigned i = 0; i < MAPPINGS; i++) {
                list[i] = &mappings[i];
                mappings[i].sync = &sync_;
                mappings[i].account = &account_;
                for (Line line = LINE_SMALL; line <= LINE_LARGE; line++)
                        mappings[i].lines[line].last = &mappings[i].lines[line].first;
                for (unsigned k = 0; k < JOBS; k++)
                        jobs[i][k].mapping = &mappings[i];
        }
        /* closing: there is no loop that a job which waits could wake */
        sync_ = (Sync){ .mappings = list, .n_mappings = MAPPINGS, .memory = MEMORY, .closing = true };
        account_ = (Account){ .pace.limit = 64 };
        return 0;
}

static void on_resume(Job *job) {
        assert_true(job->reserved > 0);
        resumed++;
}

static size_t all_used(void) {
        return sync_.memory_used[LINE_SMALL] + sync_.memory_used[LINE_LARGE];
}

/* As many jobs of mapping `i` as get `size` bytes. The first that does not is left in the line. */
static unsigned fill(unsigned i, Line line, size_t size) {
        unsigned n = 0;

        while (n < JOBS && job_want_memory(&jobs[i][n], line, size, size, on_resume))
                n++;
        return n;
}

static void test_alone(void **state) {
        sync_.n_mappings = 1;
        assert_int_equal(fill(0, LINE_SMALL, 16 * MIB), 4);
        assert_int_equal(all_used(), MEMORY);
        job_memory(&sync_);
        assert_int_equal(resumed, 0);
        job_give_back(&jobs[0][1]);
        job_memory(&sync_);
        assert_int_equal(resumed, 1);
        assert_int_equal(jobs[0][4].reserved, 16 * MIB);
        assert_int_equal(all_used(), MEMORY);
}

/* In its own line nobody is overtaken, however little he wants. */
static void test_in_order(void **state) {
        sync_.n_mappings = 1;
        assert_int_equal(fill(0, LINE_SMALL, 16 * MIB), 4);
        assert_false(job_want_memory(&jobs[0][10], LINE_SMALL, 4096, 4096, on_resume));
        job_unwait(&jobs[0][4]);
        assert_ptr_equal(mappings[0].lines[LINE_SMALL].first, &jobs[0][10]);
        job_give_back(&jobs[0][0]);
        job_memory(&sync_);
        assert_int_equal(resumed, 1);
        assert_int_equal(jobs[0][10].reserved, 4096);
        assert_null(mappings[0].lines[LINE_SMALL].first);
}

/* Two mappings hold all there is and never give it back. The third works on. */
static void test_others_are_stuck(void **state) {
        assert_int_equal(fill(0, LINE_SMALL, 16 * MIB), 2); /* one of several: half of it */
        assert_int_equal(fill(1, LINE_SMALL, 16 * MIB), 2);
        assert_int_equal(all_used(), MEMORY);
        assert_int_equal(fill(2, LINE_SMALL, SYNC_FIRST_ROOM), 64); /* what each may always have */
        job_memory(&sync_);
        assert_int_equal(resumed, 0); /* the bound holds */
        for (unsigned k = 0; k < 64; k++)
                job_give_back(&jobs[2][k]);
        job_memory(&sync_);
        assert_int_equal(resumed, 1); /* its own line moves; those of the others do not stand in its way */

        job_give_back(&jobs[2][64]);
        assert_true(job_want_memory(&jobs[2][70], LINE_LARGE, 4 * MIB, 16 * MIB,
                                    on_resume)); /* a large file: block by block */
        assert_int_equal(jobs[2][70].reserved, 4 * MIB);
        job_give_back(&jobs[2][70]);
        assert_true(job_want_memory(&jobs[2][70], LINE_LARGE, 40 * MIB, 40 * MIB,
                                    on_resume)); /* blocks of a file beyond all */
        assert_false(job_want_memory(&jobs[2][71], LINE_LARGE, 4096, 4096, on_resume));
        assert_true(
                job_want_memory(&jobs[2][72], LINE_SMALL, 4 * MIB, 4 * MIB, on_resume)); /* beside it, all the same */
        for (Line line = LINE_SMALL; line <= LINE_LARGE; line++)
                assert_int_equal(mappings[0].lines[line].used + mappings[1].lines[line].used +
                                         mappings[2].lines[line].used,
                                 sync_.memory_used[line]);
}

static bool want_large(unsigned k, uint64_t size, uint64_t left) {
        jobs[0][k].stamp.size = size;
        jobs[0][k].left = left;
        return job_want_memory(&jobs[0][k], LINE_LARGE, 12 * MIB, 64 * MIB, on_resume);
}

static void expect_line(const unsigned *order, size_t n) {
        const Job *job = mappings[0].lines[LINE_LARGE].first;

        for (size_t i = 0; i < n; i++, job = job->next_ready)
                assert_ptr_equal(job, &jobs[0][order[i]]);
        assert_null(job);
}

/* 5 MiB do not wait for 500 GiB; nor do these for ever. */
static void test_shorter_first(void **state) {
        const uint64_t g = UINT64_C(1) << 30;

        sync_.n_mappings = 1;
        assert_true(want_large(0, 500 * g, 500 * g));
        assert_false(want_large(1, 400 * g, 400 * g));
        assert_false(want_large(2, 101 * g, 101 * g)); /* more than a quarter: in order */
        expect_line((unsigned[]){ 1, 2 }, 2);
        assert_false(want_large(3, 5 * MIB, 5 * MIB));
        assert_false(want_large(4, 4 * MIB, 4 * MIB));
        expect_line((unsigned[]){ 3, 4, 1, 2 }, 4);
        assert_false(want_large(0, 500 * g, 300 * g)); /* gives way to those that are shorter, and to no other */
        expect_line((unsigned[]){ 3, 4, 0, 1, 2 }, 5);
        job_memory(&sync_);
        expect_line((unsigned[]){ 4, 0, 1, 2 }, 4);
        for (unsigned k = 10; k < 100; k++)
                assert_false(want_large(k, MIB, MIB));
        for (unsigned k = 10; k < 100 && mappings[0].lines[LINE_LARGE].first != &jobs[0][0]; k++)
                job_unwait(mappings[0].lines[LINE_LARGE].first);
        assert_ptr_equal(mappings[0].lines[LINE_LARGE].first, &jobs[0][0]);
        assert_int_equal(jobs[0][1].overtaken, 64);
        assert_null(jobs[0][99].next_ready); /* it has to stand behind all of them */
}

static void test_as_much_as_there_is(void **state) {
        assert_int_equal(fill(0, LINE_SMALL, 4 * MIB), 8);
        assert_int_equal(fill(1, LINE_SMALL, 2 * MIB), 16);
        job_give_back(&jobs[0][0]);
        job_give_back(&jobs[0][1]);
        assert_true(job_want_memory(&jobs[2][0], LINE_LARGE, 4 * MIB, 16 * MIB, on_resume));
        assert_int_equal(jobs[2][0].reserved, 8 * MIB);
}

/* Large files of 500 GB leave half of the memory, and of the connections, to what is small. */
static void test_large_ones_leave_room(void **state) {
        sync_.n_mappings = 1;
        assert_int_equal(fill(0, LINE_LARGE, 16 * MIB), 2);
        assert_int_equal(all_used(), MEMORY / 2);
        assert_int_equal(account_.n_large, 2);
        assert_true(job_want_memory(&jobs[0][100], LINE_SMALL, 4 * MIB, 4 * MIB, on_resume)); /* not behind the third */
        job_memory(&sync_);
        assert_int_equal(resumed, 0);
        job_give_back(&jobs[0][0]);
        job_memory(&sync_);
        assert_int_equal(resumed, 1);
        assert_int_equal(account_.n_large, 2);

        account_.pace.limit = 4;
        job_give_back(&jobs[0][1]);
        job_give_back(&jobs[0][2]);
        assert_int_equal(account_.n_large, 0);
        assert_int_equal(fill(0, LINE_LARGE, 4 * MIB), 2); /* of four connections */
        sync_.n_mappings = 2;
        assert_int_equal(fill(1, LINE_LARGE, 4 * MIB), 1); /* another mapping always gets one file under way */
}

/* Each that is resumed ends at once, which serves the line again: in a loop, not one within the other. */
static void on_resume_over(Job *job) {
        static unsigned depth;

        assert_int_equal(depth, 0);
        depth++;
        resumed++;
        job_give_back(job);
        job_memory(job->mapping->sync);
        depth--;
}

static void test_resumed_and_over(void **state) {
        sync_.n_mappings = 1;
        assert_int_equal(fill(0, LINE_SMALL, 64 * MIB), 1);
        for (unsigned k = 2; k < 100; k++)
                assert_false(job_want_memory(&jobs[0][k], LINE_SMALL, 4096, 4096, on_resume_over));
        job_unwait(&jobs[0][1]);
        job_give_back(&jobs[0][0]);
        job_memory(&sync_);
        assert_int_equal(resumed, 98);
        assert_int_equal(all_used(), 0);
}

/* `memory:` is lowered: what is out comes back first. */
static void test_lowered(void **state) {
        sync_.n_mappings = 1;
        assert_int_equal(fill(0, LINE_SMALL, 4 * MIB), 16);
        sync_.memory = 8 * MIB;
        for (unsigned k = 0; k < 14; k++) {
                job_give_back(&jobs[0][k]);
                job_memory(&sync_);
        }
        assert_int_equal(resumed, 0);
        job_give_back(&jobs[0][14]);
        job_memory(&sync_);
        assert_int_equal(resumed, 1);
        assert_int_equal(all_used(), 8 * MIB);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_alone, set_up),
                cmocka_unit_test_setup(test_in_order, set_up),
                cmocka_unit_test_setup(test_others_are_stuck, set_up),
                cmocka_unit_test_setup(test_shorter_first, set_up),
                cmocka_unit_test_setup(test_as_much_as_there_is, set_up),
                cmocka_unit_test_setup(test_large_ones_leave_room, set_up),
                cmocka_unit_test_setup(test_resumed_and_over, set_up),
                cmocka_unit_test_setup(test_lowered, set_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
