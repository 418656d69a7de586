/* The token bucket, by a made-up clock: the rate is held however requests are cut and whenever somebody looks. */
#include "util/bucket.h"
#include "util/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define START (INT64_C(1000) * NSEC_PER_SEC)
#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)

/* What leaves within `seconds` if somebody always has something to send, and looks every `look` ns. */
static uint64_t sent_in(uint64_t rate, size_t piece, int64_t look, int64_t seconds) {
        Bucket b = { 0 };
        uint64_t sent = 0;

        bucket_set_rate(&b, rate, START);
        for (int64_t now = START; now < START + seconds * NSEC_PER_SEC; now += look)
                while (bucket_open(&b, now)) {
                        bucket_take(&b, (int64_t) piece, now);
                        sent += piece;
                }
        return sent;
}

static void test_rate_is_held(void **state) {
        static const struct {
                uint64_t rate;
                size_t piece;
                int64_t look_ms;
        } cases[] = {
                { 200 * KIB, 4096, 1 }, { 200 * KIB, 10240, 40 }, { 5 * MIB, 4096, 1 },     { 5 * MIB, 65536, 5 },
                { 5 * MIB, 65536, 90 }, { 1 * KIB, 1024, 1 },     { 1000 * MIB, 65536, 3 }, { 20 * MIB, 7, 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t want = cases[i].rate * 10,
                         got = sent_in(cases[i].rate, cases[i].piece, cases[i].look_ms * NSEC_PER_MSEC, 10);

                if (got < want / 100 * 95 || got > want / 100 * 105)
                        fail_msg("case %zu: %llu of %llu", i, (unsigned long long) got, (unsigned long long) want);
        }
}

/* A block of 4 MiB at 1 KiB/s goes at once, and is paid for afterwards: for longer than an hour. */
static void test_large_ones_are_not_too_large(void **state) {
        Bucket b = { 0 };

        bucket_set_rate(&b, KIB, START);
        assert_true(bucket_open(&b, START));
        bucket_take(&b, 4 << 20, START);
        assert_false(bucket_open(&b, START + 4095 * NSEC_PER_SEC));
        assert_true(bucket_open(&b, START + 4096 * NSEC_PER_SEC));
}

static void test_rest_is_not_saved(void **state) {
        Bucket b = { 0 };
        uint64_t burst = 0;

        bucket_set_rate(&b, MIB, START);
        bucket_take(&b, 1000, START);
        while (bucket_open(&b, START + 3600 * NSEC_PER_SEC)) {
                bucket_take(&b, 1024, START + 3600 * NSEC_PER_SEC);
                burst += 1024;
        }
        assert_in_range(burst, MIB / 10, MIB / 10 + 1024);
}

/* What was not sent after all comes back. */
static void test_given_back(void **state) {
        Bucket b = { 0 };

        bucket_set_rate(&b, KIB, START);
        bucket_take(&b, 10240, START);
        bucket_take(&b, -9216, START);
        assert_false(bucket_open(&b, START + NSEC_PER_SEC - 1));
        assert_true(bucket_open(&b, START + NSEC_PER_SEC));
}

static void test_another_rate(void **state) {
        Bucket b = { 0 };

        assert_true(bucket_open(&b, 0)); /* no limit */
        bucket_take(&b, INT64_MAX, START);
        assert_true(bucket_open(&b, START));

        bucket_set_rate(&b, KIB, START);
        assert_true(bucket_open(&b, START)); /* what was sent without one is not owed */
        bucket_take(&b, 100 * 1024, START);
        bucket_set_rate(&b, 10 * KIB, START + 50 * NSEC_PER_SEC); /* 50 KiB are owed: 5 s instead of 50 */
        assert_false(bucket_open(&b, START + 54 * NSEC_PER_SEC));
        assert_true(bucket_open(&b, START + 56 * NSEC_PER_SEC));
        bucket_take(&b, 1000 * 1024, START + 56 * NSEC_PER_SEC);
        bucket_set_rate(&b, 0, START + 57 * NSEC_PER_SEC);
        assert_true(bucket_open(&b, START + 57 * NSEC_PER_SEC));
        bucket_set_rate(&b, KIB, START + 58 * NSEC_PER_SEC);
        assert_true(bucket_open(&b, START + 58 * NSEC_PER_SEC));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rate_is_held),      cmocka_unit_test(test_large_ones_are_not_too_large),
                cmocka_unit_test(test_rest_is_not_saved), cmocka_unit_test(test_given_back),
                cmocka_unit_test(test_another_rate),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
