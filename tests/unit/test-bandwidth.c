/* Weekly timetables (src/config/bandwidth.c): which rate is in force when, over midnights, Sundays and the days on
 * which clocks are changed. */
#include "config/config.h"
#include "util/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
enum { MON, TUE, WED, THU, FRI, SAT, SUN };
#define AT(day, hour, minute) ((unsigned) (((day) *24 + (hour)) * 60 + (minute)))

static Config *read_config(const char *value) {
        Config *config = NULL;
        char text[1024];
        Error e = ERROR_NULL;

        (void) snprintf(text, sizeof(text), "bandwidth:%s", value);
        if (config_parse_text(&config, "azsyncd.yaml", NULL, text, strlen(text), NULL, &e) < 0)
                fail_msg("%s", e.text);
        return config;
}

static const struct {
        const char *value;
        struct {
                unsigned minute;
                uint64_t rate;
        } at[10];
        size_t n;
} cases[] = {
        { " unlimited\n", { { 0, 0 } }, 1 },
        { " 5MiB/s\n", { { 0, 5 * MIB }, { AT(SUN, 23, 59), 5 * MIB } }, 2 },
        { "\n  Mon-Fri 08:00-18:00: 2MiB/s\n  default: 20MiB/s\n",
          { { AT(MON, 7, 59), 20 * MIB },
            { AT(MON, 8, 0), 2 * MIB },
            { AT(FRI, 17, 59), 2 * MIB },
            { AT(FRI, 18, 0), 20 * MIB },
            { AT(SAT, 12, 0), 20 * MIB } },
          5 },
        /* left out, the rest is unlimited; "unlimited" can be an entry, too */
        { "\n  sun: unlimited\n  MON,wed: 1KiB/s\n",
          { { AT(SUN, 0, 0), 0 }, { AT(MON, 0, 0), KIB }, { AT(TUE, 0, 0), 0 }, { AT(WED, 23, 59), KIB } },
          4 },
        /* over midnight, and from Sunday to Monday */
        { "\n  22:00-06:00: 1MiB/s\n",
          { { AT(MON, 0, 0), MIB },
            { AT(MON, 5, 59), MIB },
            { AT(MON, 6, 0), 0 },
            { AT(SUN, 21, 59), 0 },
            { AT(SUN, 22, 0), MIB } },
          5 },
        { "\n  Sun 22:00-06:00: 1MiB/s\n  Mon 06:00-24:00: 2MiB/s\n",
          { { AT(SUN, 23, 59), MIB },
            { AT(MON, 0, 0), MIB },
            { AT(MON, 5, 59), MIB },
            { AT(MON, 6, 0), 2 * MIB },
            { AT(MON, 23, 59), 2 * MIB },
            { AT(TUE, 0, 0), 0 } },
          6 },
        { "\n  Fri-Mon,Wed 00:00-24:00: 3MiB/s\n",
          { { AT(THU, 23, 59), 0 },
            { AT(FRI, 0, 0), 3 * MIB },
            { AT(SUN, 23, 59), 3 * MIB },
            { AT(MON, 23, 59), 3 * MIB },
            { AT(TUE, 0, 0), 0 },
            { AT(WED, 12, 0), 3 * MIB } },
          6 },
        /* days that are named twice in one entry do not overlap themselves */
        { "\n  Mon-Wed,Tue 08:00-09:00: 1MiB/s\n", { { AT(TUE, 8, 30), MIB }, { AT(TUE, 9, 0), 0 } }, 2 },
};

static void test_timetable(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(config_freep) Config *config = read_config(cases[i].value);

                for (size_t k = 0; k < cases[i].n; k++)
                        if (bandwidth_at(&config->bandwidth, cases[i].at[k].minute) != cases[i].at[k].rate)
                                fail_msg("%s at %u: %llu", cases[i].value, cases[i].at[k].minute,
                                         (unsigned long long) bandwidth_at(&config->bandwidth, cases[i].at[k].minute));
        }
}

/* The minute is the one that a clock on the wall shows, in summer as in winter. */
static void test_local_time(void **state) {
        static const struct {
                const char *zone;
                int64_t wall;
                unsigned minute;
        } moments[] = {
                { "UTC0", 0, AT(THU, 0, 0) },
                { "CET-1CEST,M3.5.0,M10.5.0/3", 1774745940, AT(SUN, 1, 59) }, /* 2026-03-29, spring forward */
                { "CET-1CEST,M3.5.0,M10.5.0/3", 1774746000, AT(SUN, 3, 0) },
                { "CET-1CEST,M3.5.0,M10.5.0/3", 1792889940, AT(SUN, 2, 59) }, /* 2026-10-25, back */
                { "CET-1CEST,M3.5.0,M10.5.0/3", 1792890000, AT(SUN, 2, 0) },
                { "CET-1CEST,M3.5.0,M10.5.0/3", 1792893600, AT(SUN, 3, 0) },
                { "XXX12", 1792890000, AT(SAT, 13, 0) },
        };

        for (size_t i = 0; i < ELEMENTSOF(moments); i++) {
                assert_int_equal(setenv("TZ", moments[i].zone, 1), 0);
                tzset();
                assert_int_equal(bandwidth_minute(moments[i].wall * NSEC_PER_SEC), moments[i].minute);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_timetable),
                cmocka_unit_test(test_local_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
