#include "util/clock.h"
#include "util/loglimit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HOUR (INT64_C(3600) * NSEC_PER_SEC)

/* pitfalls 11.10: ten records and a last one for each reason, and all of it again after an hour. */
static void test_each_reason(void **state) {
        LogLimit l = { 0 };

        for (int64_t spell = 1; spell < 4; spell++)
                for (unsigned i = 0; i < 1000; i++) {
                        LogTurn expected = i < LOG_LIMIT_RECORDS    ? LOG_TURN_SAY
                                           : i == LOG_LIMIT_RECORDS ? LOG_TURN_LAST
                                                                    : LOG_TURN_NONE;

                        assert_int_equal(log_limit(&l, "full", spell * HOUR + i), expected);
                        assert_int_equal(log_limit(&l, "closed", spell * HOUR + i), expected);
                }
        l = (LogLimit){ 0 };
        assert_int_equal(log_limit(&l, "full", 3 * HOUR + 1), LOG_TURN_SAY);
}

/* Reasons that never repeat are no way around it: whatever a stranger makes up, the log stays short. */
static void test_bounded(void **state) {
        unsigned said = 0;
        LogLimit l = { 0 };

        for (unsigned i = 0; i < 10000; i++) {
                char reason[300];

                (void) snprintf(reason, sizeof(reason), "%u %0250u", i, i);
                said += log_limit(&l, reason, 1) != LOG_TURN_NONE;
        }
        assert_int_equal(said, LOG_LIMIT_REASONS - 1 + LOG_LIMIT_RECORDS + 1);
        assert_int_equal(l.n, LOG_LIMIT_REASONS);
}

static void test_reason(void **state) {
        const Error denied = { -EACCES, ERROR_OS, EACCES, "", "opening d/a: Permission denied" },
                    other = { -EACCES, ERROR_OS, EACCES, "", "opening d/b: Permission denied" },
                    refused = { -EACCES, ERROR_AZURE, 403, "AuthorizationFailure", "refused" };
        char a[LOG_REASON_MAX], b[LOG_REASON_MAX];

        log_reason(a, "1", &denied, denied.text);
        log_reason(b, "1", &other, other.text);
        assert_string_equal(a, b);
        log_reason(b, "2", &other, other.text);
        assert_string_not_equal(a, b);
        log_reason(b, "1", &refused, refused.text);
        assert_string_equal(b, "1 azure 403 AuthorizationFailure");
        log_reason(b, "1", NULL, "the name is too long");
        assert_string_equal(b, "1 the name is too long");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_reason),
                cmocka_unit_test(test_bounded),
                cmocka_unit_test(test_reason),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
