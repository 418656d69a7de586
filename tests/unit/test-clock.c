/* Times as text. */
#include "util/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The service's Date decides about VERDICT_CLOCK (pitfalls 10.11), and anybody on the way may write it. */
static void test_parse_http(void **state) {
        static const struct {
                const char *text;
                int64_t seconds; /* -1: refused */
        } rows[] = {
                { "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
                { "Fri, 27 Nov 2026 07:30:00 GMT", 1795764600 },
                { "Fri, 27 Nov 2026 23:59:60 GMT", 1795824000 },
                { "Tue, 31 Dec 2261 23:59:59 GMT", 9214646399 },
                { "Wed, 01 Jan 2262 00:00:00 GMT", -1 }, /* more ns than 63 bits hold */
                { "Fri, 31 Dec 9999 23:59:59 GMT", -1 },
                { "Fri, 01 Jan -999 00:00:00 GMT", -1 },
                { "Wed, 31 Dec 1969 23:59:59 GMT", -1 },
                { "Fri, 00 Nov 2026 07:30:00 GMT", -1 },
                { "Fri, 32 Nov 2026 07:30:00 GMT", -1 },
                { "Fri, 27 Nov 2026 -1:30:00 GMT", -1 },
                { "Fri, 27 Nov 2026 24:30:00 GMT", -1 },
                { "Fri, 27 Nov 2026 07:-1:00 GMT", -1 },
                { "Fri, 27 Nov 2026 07:60:00 GMT", -1 },
                { "Fri, 27 Nov 2026 07:30:-1 GMT", -1 },
                { "Fri, 27 Nov 2026 07:30:61 GMT", -1 },
                { "Fri, 27 Nob 2026 07:30:00 GMT", -1 },
                { "Fri, 27 Nov 2026 07:30:00 GMT+1", -1 },
                { "Fri, 27 Nov 2026 07:30:00", -1 },
                { "Fri, 7 Nov 2026 07:30:00 GMT", -1 },
                { "Fri,  7 Nov 2026 07:30:00 GMT", -1 },
                { "Fri, 27 Nov 226 07:30:000 GMT", -1 },
                { "27 Nov 2026", -1 },
                { "", -1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                int64_t wall = -7;
                int r = clock_parse_http(rows[i].text, &wall);

                if (r != (rows[i].seconds < 0 ? -EINVAL : 0) ||
                    wall != (rows[i].seconds < 0 ? -7 : rows[i].seconds * NSEC_PER_SEC))
                        fail_msg("%s: %d, %lld", rows[i].text, r, (long long) wall);
        }
}

static void test_format(void **state) {
        char http[30], rfc3339[36];
        int64_t back;

        clock_format_http(INT64_C(1795764600) * NSEC_PER_SEC, http);
        assert_string_equal(http, "Fri, 27 Nov 2026 07:30:00 GMT");
        assert_int_equal(clock_parse_http(http, &back), 0);
        assert_int_equal(back, INT64_C(1795764600) * NSEC_PER_SEC);
        clock_format_rfc3339(INT64_C(1795764600) * NSEC_PER_SEC + 5, rfc3339);
        assert_string_equal(rfc3339, "2026-11-27T07:30:00.000000005Z");
        clock_format_http(INT64_C(951782400) * NSEC_PER_SEC, http);
        assert_string_equal(http, "Tue, 29 Feb 2000 00:00:00 GMT");
        clock_format_rfc3339(INT64_MAX, rfc3339);
        assert_string_equal(rfc3339, "2262-04-11T23:47:16.854775807Z");
        clock_format_rfc3339(-1, rfc3339);
        assert_string_equal(rfc3339, "1969-12-31T23:59:59.999999999Z");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse_http),
                cmocka_unit_test(test_format),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
