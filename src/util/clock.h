/* The two clocks. Boot time for every wait (pitfalls 10.12: MONOTONIC stands still in suspend); wall time for signing,
 * display and what must mean something after a restart. All times are signed 64-bit nanoseconds unless a name says _ms.
 *
 * AZSYNC_TEST_SPEEDUP=N (1..1000, tests only) divides waits that come from a policy (settling, delete-delay, back-off,
 * rescan) by N; never the clocks themselves. */
#pragma once

#include "util/macro.h"

#define NSEC_PER_SEC INT64_C(1000000000)
#define NSEC_PER_MSEC INT64_C(1000000)
#define NSEC_PER_USEC INT64_C(1000)

int64_t clock_boot(void); /* ns since boot, suspend included */
int64_t clock_wall(void); /* ns since 1970, UTC */
int64_t clock_tick(void); /* ns between two time stamps the kernel may put on a file (pitfalls 4.2): 1..10 ms */
int64_t
clock_policy(int64_t wait_ns); /* a policy's wait, divided by the test speed-up; at least 1 ms if it was positive */

/* "Thu, 01 Jan 2026 00:00:00 GMT" (RFC 9110 5.6.7), English whatever the locale. `ret` holds at least 30 bytes. */
void clock_format_http(int64_t wall_ns, char ret[static 30]);
/* Parses the same form. Returns 0, or -EINVAL. */
int clock_parse_http(const char *text, int64_t *ret_wall_ns);
/* "2026-01-01T00:00:00.123456789Z" (RFC 3339). `ret` holds at least 36 bytes. */
void clock_format_rfc3339(int64_t wall_ns, char ret[static 36]);
