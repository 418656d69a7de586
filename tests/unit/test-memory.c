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
#define MAPPINGS 3u
#define JOBS 200u

static Sync sync_;
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
                mappings[i].memory_last = &mappings[i].memory_first;
                for (unsigned k = 0; k < JOBS; k++)
                        jobs[i][k].mapping = &mappings[i];
        }
        sync_ = (Sync){ .mappings = list, .n_mappings = MAPPINGS };
        return 0;
}

static void on_resume(Job *job) {
        assert_true(job->reserved > 0);
        resumed++;
}

/* As many jobs of mapping `i` as get `size` bytes. The first that does not is left in the line. */
static unsigned fill(unsigned i, size_t size) {
        unsigned n = 0;

        while (n < JOBS && job_want_memory(&jobs[i][n], size, size, on_resume))
                n++;
        return n;
}

static void test_alone(void **state) {
        sync_.n_mappings = 1;
        assert_int_equal(fill(0, 16 * MIB), 4);
        assert_int_equal(sync_.memory_used, SYNC_MEMORY);
        job_memory(&sync_);
        assert_int_equal(resumed, 0);
        job_give_back(&jobs[0][1]);
        job_memory(&sync_);
        assert_int_equal(resumed, 1);
        assert_int_equal(jobs[0][4].reserved, 16 * MIB);
        assert_int_equal(sync_.memory_used, SYNC_MEMORY);
}

/* In its own line nobody is overtaken, however little he wants. */
static void test_in_order(void **state) {
        sync_.n_mappings = 1;
        assert_int_equal(fill(0, 16 * MIB), 4);
        assert_false(job_want_memory(&jobs[0][10], 4096, 4096, on_resume));
        job_unwait(&jobs[0][4]);
        assert_ptr_equal(mappings[0].memory_first, &jobs[0][10]);
        job_give_back(&jobs[0][0]);
        job_memory(&sync_);
        assert_int_equal(resumed, 1);
        assert_int_equal(jobs[0][10].reserved, 4096);
        assert_null(mappings[0].memory_first);
}

/* Two mappings hold all there is and never give it back. The third works on. */
static void test_others_are_stuck(void **state) {
        assert_int_equal(fill(0, 16 * MIB), 2); /* one of several: half of it */
        assert_int_equal(fill(1, 16 * MIB), 2);
        assert_int_equal(sync_.memory_used, SYNC_MEMORY);
        assert_int_equal(fill(2, SYNC_FIRST_ROOM), 64); /* what each may always have */
        job_memory(&sync_);
        assert_int_equal(resumed, 0); /* the bound holds */
        for (unsigned k = 0; k < 64; k++)
                job_give_back(&jobs[2][k]);
        job_memory(&sync_);
        assert_int_equal(resumed, 1); /* its own line moves; those of the others do not stand in its way */

        job_give_back(&jobs[2][64]);
        assert_true(job_want_memory(&jobs[2][70], 4 * MIB, 16 * MIB, on_resume)); /* a large file: block by block */
        assert_int_equal(jobs[2][70].reserved, 4 * MIB);
        job_give_back(&jobs[2][70]);
        assert_true(job_want_memory(&jobs[2][70], 40 * MIB, 40 * MIB, on_resume)); /* blocks of a file beyond all */
        assert_false(job_want_memory(&jobs[2][71], 4096, 4096, on_resume));
        assert_int_equal(mappings[0].memory_used + mappings[1].memory_used + mappings[2].memory_used,
                         sync_.memory_used);
}

static void test_as_much_as_there_is(void **state) {
        assert_int_equal(fill(0, 4 * MIB), 8);
        assert_int_equal(fill(1, 2 * MIB), 16);
        job_give_back(&jobs[0][0]);
        job_give_back(&jobs[0][1]);
        assert_true(job_want_memory(&jobs[2][0], 4 * MIB, 16 * MIB, on_resume));
        assert_int_equal(jobs[2][0].reserved, 8 * MIB);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_alone, set_up),
                cmocka_unit_test_setup(test_in_order, set_up),
                cmocka_unit_test_setup(test_others_are_stuck, set_up),
                cmocka_unit_test_setup(test_as_much_as_there_is, set_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
