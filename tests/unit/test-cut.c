/* Content-defined cuts: the same however the bytes are fed and on every machine, found again after edits, at the edges
 * of zeros. Small averages, so that there are many blocks; the rules are the same for all. */
#include "chunk/cut.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ROOM ((size_t) 1 << 20)
#define CUTS_ROOM 4096u

static uint64_t seed;
static uint8_t data[ROOM];
static size_t lengths[CUTS_ROOM];

static uint64_t random_number(void) { /* xorshift64* */
        seed ^= seed >> 12;
        seed ^= seed << 25;
        seed ^= seed >> 27;
        return seed * UINT64_C(0x2545f4914f6cdd1d);
}

static void fill(uint8_t *ret, size_t size) {
        for (size_t i = 0; i < size; i++)
                ret[i] = (uint8_t) (random_number() >> 56);
}

/* The lengths of all blocks. `most`: bytes per feed, 0: random. */
static size_t cut_all(const Cuts *cuts, const uint8_t *bytes, size_t size, size_t most, size_t *ret) {
        size_t begin = 0, at = 0, n = 0;
        Cutter c;

        cutter_init(&c, cuts);
        while (at < size) {
                size_t step = most > 0 ? most : 1 + random_number() % 9000, length;

                step = MIN(step, size - at);
                length = cutter_feed(&c, bytes + at, step);
                if (length == 0)
                        at += step;
                else {
                        assert_true(n < CUTS_ROOM);
                        ret[n++] = length;
                        begin += length;
                        at = begin;
                }
        }
        if (begin < size)
                ret[n++] = size - begin;
        return n;
}

/* Of `data`, fed at once, into `lengths`. */
static size_t cut(const Cuts *cuts) {
        return cut_all(cuts, data, sizeof(data), sizeof(data), lengths);
}

/* Runs of zeros of all lengths among random bytes. */
static void fill_mixed(size_t average) {
        fill(data, sizeof(data));
        for (unsigned i = 0; i < 12; i++) {
                size_t at = random_number() % sizeof(data), n = random_number() % (3 * average);

                memset(data + at, 0, MIN(n, sizeof(data) - at));
        }
}

static void test_feeding(void **state) {
        static size_t parts[CUTS_ROOM];

        seed = 1;
        for (unsigned round = 0; round < 40; round++) {
                Cuts cuts = cuts_of(13 + round % 4);
                size_t n, m;

                fill_mixed(cuts.average);
                n = cut(&cuts);
                m = cut_all(&cuts, data, sizeof(data), 0, parts);
                assert_int_equal(n, m);
                assert_memory_equal(lengths, parts, n * sizeof(*lengths));
                for (size_t i = 0; i + 1 < n; i++) {
                        assert_true(lengths[i] <= cuts.maximum);
                        assert_true(lengths[i] + lengths[i + 1] >= cuts.minimum); /* what bounds their number */
                }
        }
}

static void test_lengths(void **state) {
        Cuts cuts = cuts_of(13);
        size_t n;

        seed = 2;
        fill(data, sizeof(data));
        n = cut(&cuts);
        for (size_t i = 0; i + 1 < n; i++) { /* no zeros: all of them between the bounds */
                assert_true(lengths[i] >= cuts.minimum);
                assert_true(lengths[i] <= cuts.maximum);
        }
        assert_in_range(sizeof(data) / n, cuts.average * 3 / 4, cuts.average * 3 / 2);
}

/* The cuts are part of what is stored: another table, mask or rule would send every file again. */
static void test_same_everywhere(void **state) {
        static const size_t expect[] = { 9755, 7212, 16384, 10851, 8224, 8783, 9589, 8563, 12864, 8772 };
        uint64_t sum = UINT64_C(0xcbf29ce484222325); /* FNV-1a of all lengths */

        seed = 3;
        for (unsigned round = 0; round < 64; round++) {
                Cuts cuts = cuts_of(13 + round / 2 % 4);
                size_t n;

                if (round % 2 == 0)
                        fill(data, sizeof(data));
                else
                        fill_mixed(cuts.average);
                n = cut(&cuts);
                for (size_t i = 0; i < n; i++)
                        sum = (sum ^ lengths[i]) * UINT64_C(0x100000001b3);
                for (size_t i = 0; round == 0 && i < ELEMENTSOF(expect); i++)
                        assert_int_equal(lengths[i], expect[i]);
        }
        assert_int_equal(sum, UINT64_C(0x3dfcd4a58559381d));
}

static void test_zeros(void **state) {
        Cuts cuts = cuts_of(14);
        size_t n, at = 5 * cuts.average + 77, size = 3000;

        seed = 4;
        memset(data, 0, sizeof(data));
        fill(data + at, size);
        data[at] = data[at + size - 1] = 1;
        n = cut(&cuts);
        for (size_t i = 0; i < 5; i++)
                assert_int_equal(lengths[i], cuts.average);
        assert_int_equal(lengths[5], 77 + size); /* too few zeros for a block of their own */
        for (size_t i = 6; i + 1 < n; i++)
                assert_int_equal(lengths[i], cuts.average);

        memset(data, 0, sizeof(data));
        at = 5 * cuts.average + cuts.minimum + 5;
        memset(data + at, 7, size);
        (void) cut(&cuts);
        assert_int_equal(lengths[5], cuts.minimum + 5);
        assert_int_equal(lengths[6], size);
        assert_int_equal(lengths[7], cuts.average);
}

/* How many bytes of `now` are in blocks that `was` does not have. */
static size_t fresh_bytes(const Cuts *cuts, const uint8_t *was, size_t was_size, const uint8_t *now, size_t now_size) {
        static size_t a[CUTS_ROOM], b[CUTS_ROOM];
        size_t n = cut_all(cuts, was, was_size, was_size, a), m = cut_all(cuts, now, now_size, now_size, b), fresh = 0;

        for (size_t i = 0, at = 0; i < m; at += b[i++]) {
                bool known = false;

                for (size_t k = 0, from = 0; k < n && !known; from += a[k++])
                        known = a[k] == b[i] && memcmp(was + from, now + at, a[k]) == 0;
                fresh += known ? 0 : b[i];
        }
        return fresh;
}

static void test_edits(void **state) {
        static uint8_t was[ROOM / 4], now[ROOM / 4 + 4096];
        Cuts cuts = cuts_of(13);
        size_t worst = 0, sum = 0;

        seed = 5;
        for (unsigned i = 0; i < 1000; i++) {
                size_t at = random_number() % (sizeof(was) - 4096), n = random_number() % 2000,
                       gone = random_number() % 2000, size, fresh;

                if (i % 50 == 0)
                        fill(was, sizeof(was));
                memcpy(now, was, at);
                fill(now + at, n);
                memcpy(now + at + n, was + at + gone, sizeof(was) - at - gone);
                size = sizeof(was) - gone + n;
                fresh = fresh_bytes(&cuts, was, sizeof(was), now, size);
                worst = MAX(worst, fresh);
                sum += fresh;
        }
        assert_true(worst <= 16 * cuts.average); /* found again after a few blocks, always */
        assert_true(sum / 1000 <= 3 * cuts.average);
}

static void test_average(void **state) {
        assert_int_equal(cut_average_log2(0, 25000), 22);
        assert_int_equal(cut_average_log2(UINT64_C(25000) << 22, 25000), 22);
        assert_int_equal(cut_average_log2(UINT64_C(25001) << 22, 25000), 23);
        assert_int_equal(cut_average_log2(UINT64_MAX, 25000), CUT_AVERAGE_MOST_LOG2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_feeding), cmocka_unit_test(test_lengths), cmocka_unit_test(test_same_everywhere),
                cmocka_unit_test(test_zeros),   cmocka_unit_test(test_edits),   cmocka_unit_test(test_average),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
