#include "util/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char months[12][4] = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
};

static int64_t read_clock(clockid_t id) {
        struct timespec ts;

        (void) clock_gettime(id, &ts);
        return (int64_t) ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

int64_t clock_boot(void) {
        return read_clock(CLOCK_BOOTTIME);
}

int64_t clock_wall(void) {
        return read_clock(CLOCK_REALTIME);
}

int64_t clock_tick(void) {
        struct timespec ts;

        if (clock_getres(CLOCK_REALTIME_COARSE, &ts) < 0)
                return 10 * NSEC_PER_MSEC;
        return MIN((int64_t) ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec, 10 * NSEC_PER_MSEC);
}

int64_t clock_policy(int64_t wait_ns) {
        static _Atomic int speedup; /* 0: not asked yet; every thread would find the same value */
        int n = atomic_load_explicit(&speedup, memory_order_relaxed);

        if (n == 0) {
                const char *text = getenv("AZSYNC_TEST_SPEEDUP");
                long value = text ? strtol(text, NULL, 10) : 1;

                n = value >= 1 && value <= 1000 ? (int) value : 1;
                atomic_store_explicit(&speedup, n, memory_order_relaxed);
        }
        if (wait_ns <= 0)
                return 0;
        return n == 1 ? wait_ns : MAX(wait_ns / n, NSEC_PER_MSEC);
}

void clock_format_http(int64_t wall_ns, char ret[static 30]) {
        time_t t = (time_t) (wall_ns / NSEC_PER_SEC);
        struct tm tm;

        (void) gmtime_r(&t, &tm);
        (void) snprintf(ret, 30, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days[tm.tm_wday],
                        (unsigned) tm.tm_mday % 100, months[tm.tm_mon], (unsigned) (tm.tm_year + 1900) % 10000,
                        (unsigned) tm.tm_hour % 100, (unsigned) tm.tm_min % 100, (unsigned) tm.tm_sec % 100);
}

int clock_parse_http(const char *text, int64_t *ret_wall_ns) {
        struct tm tm = { 0 };
        char day[4], month[4];
        int end = 0;

        if (sscanf(text, "%3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", day, &tm.tm_mday, month, &tm.tm_year,
                   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end) != 7 ||
            end == 0 || text[end] != '\0')
                return -EINVAL;
        for (tm.tm_mon = 0; tm.tm_mon < 12; tm.tm_mon++)
                if (strcmp(month, months[tm.tm_mon]) == 0)
                        break;
        if (tm.tm_mon == 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 || tm.tm_hour > 23 ||
            tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60 || tm.tm_year < 1970 ||
            tm.tm_year > 2261) /* what ns in 63 bits can say: it comes from outside */
                return -EINVAL;
        tm.tm_year -= 1900;
        *ret_wall_ns = (int64_t) timegm(&tm) * NSEC_PER_SEC;
        return 0;
}

void clock_format_rfc3339(int64_t wall_ns, char ret[static 36]) {
        int64_t nsec = wall_ns % NSEC_PER_SEC;
        time_t t = (time_t) (wall_ns / NSEC_PER_SEC);
        struct tm tm;

        if (nsec < 0) { /* before 1970: round towards the past */
                nsec += NSEC_PER_SEC;
                t--;
        }
        (void) gmtime_r(&t, &tm);
        (void) snprintf(ret, 36, "%04u-%02u-%02uT%02u:%02u:%02u.%09uZ", (unsigned) (tm.tm_year + 1900) % 10000,
                        (unsigned) (tm.tm_mon + 1) % 100, (unsigned) tm.tm_mday % 100, (unsigned) tm.tm_hour % 100,
                        (unsigned) tm.tm_min % 100, (unsigned) tm.tm_sec % 100, (unsigned) nsec);
}
