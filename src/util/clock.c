#include "util/clock.h"

#include "util/encode.h"

#include <stdatomic.h>
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

static char *put_text(char *at, const char *text, size_t size) {
        memcpy(at, text, size);
        return at + size;
}

/* The last `digits` digits of what a struct tm has. */
static char *put_number(char *at, int number, unsigned digits) {
        return decimal_encode((unsigned) number % (digits == 4 ? 10000U : 100U), digits, at);
}

static char *put_time(char *at, const struct tm *tm) {
        at = put_number(at, tm->tm_hour, 2);
        *at++ = ':';
        at = put_number(at, tm->tm_min, 2);
        *at++ = ':';
        return put_number(at, tm->tm_sec, 2);
}

/* By hand, this one and the next: each request is dated, and each answer. */
void clock_format_http(int64_t wall_ns, char ret[static 30]) {
        time_t t = (time_t) (wall_ns / NSEC_PER_SEC);
        struct tm tm;
        char *at = ret;

        (void) gmtime_r(&t, &tm);
        at = put_text(at, days[tm.tm_wday], 3);
        at = put_text(at, ", ", 2);
        at = put_number(at, tm.tm_mday, 2);
        *at++ = ' ';
        at = put_text(at, months[tm.tm_mon], 3);
        *at++ = ' ';
        at = put_number(at, tm.tm_year + 1900, 4);
        *at++ = ' ';
        at = put_time(at, &tm);
        (void) put_text(at, " GMT", 5);
}

/* A number of `digits` digits and what follows it. */
static bool take_number(const char **text, unsigned digits, const char *after, int *ret) {
        const char *p = *text;
        int n = 0;

        for (; digits > 0; digits--, p++) {
                if (*p < '0' || *p > '9')
                        return false;
                n = n * 10 + (*p - '0');
        }
        for (; *after; after++, p++)
                if (*p != *after)
                        return false;
        *text = p;
        *ret = n;
        return true;
}

static int month_of(const char *text) {
        for (int i = 0; i < 12; i++)
                if (strncmp(text, months[i], 3) == 0)
                        return i;
        return -1;
}

int clock_parse_http(const char *text, int64_t *ret_wall_ns) {
        struct tm tm = { 0 };
        const char *p = text;

        if (strlen(p) != strlen("Fri, 27 Nov 2026 07:30:00 GMT") || p[3] != ',' ||
            p[4] != ' ') /* the day's name says nothing more */
                return -EINVAL;
        p += 5;
        if (!take_number(&p, 2, " ", &tm.tm_mday) || (tm.tm_mon = month_of(p)) < 0 || p[3] != ' ')
                return -EINVAL;
        p += 4;
        if (!take_number(&p, 4, " ", &tm.tm_year) || !take_number(&p, 2, ":", &tm.tm_hour) ||
            !take_number(&p, 2, ":", &tm.tm_min) || !take_number(&p, 2, " GMT", &tm.tm_sec) || *p != '\0')
                return -EINVAL;
        if (tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60 ||
            tm.tm_year < 1970 || tm.tm_year > 2261) /* what ns in 63 bits can say: it comes from outside */
                return -EINVAL;
        tm.tm_year -= 1900;
        *ret_wall_ns = (int64_t) timegm(&tm) * NSEC_PER_SEC;
        return 0;
}

void clock_format_rfc3339(int64_t wall_ns, char ret[static 36]) {
        int64_t nsec = wall_ns % NSEC_PER_SEC;
        time_t t = (time_t) (wall_ns / NSEC_PER_SEC);
        struct tm tm;
        char *at = ret;

        if (nsec < 0) { /* before 1970: round towards the past */
                nsec += NSEC_PER_SEC;
                t--;
        }
        (void) gmtime_r(&t, &tm);
        at = put_number(at, tm.tm_year + 1900, 4);
        *at++ = '-';
        at = put_number(at, tm.tm_mon + 1, 2);
        *at++ = '-';
        at = put_number(at, tm.tm_mday, 2);
        *at++ = 'T';
        at = put_time(at, &tm);
        *at++ = '.';
        at = decimal_encode((uint64_t) nsec, 9, at);
        (void) put_text(at, "Z", 2);
}
