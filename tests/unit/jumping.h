/* Jumps of the clock that concern this process alone: time namespaces shift what CLOCK_MONOTONIC says, and the wall
 * clock is set by 1 ns, at which the kernel tells everybody who asked to be told. Wants root, and a process of one
 * thread. */
#pragma once

#include "util/macro.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/timex.h>
#include <unistd.h>

#include <cmocka.h>

/* Who sets the clock wakes all that listen: one program of those at a time, until it ends. */
static inline void alone(void) {
        int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        (void) flock(fd, LOCK_EX);
}

/* CLOCK_MONOTONIC is `seconds` ahead of the machine's from now on; CLOCK_BOOTTIME is not. */
static inline int awake(unsigned seconds) {
        _cleanup_close_ int offsets = -1, ns = -1;

        if (unshare(CLONE_NEWTIME) < 0)
                return -errno;
        offsets = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
        if (offsets < 0 || dprintf(offsets, "monotonic %u 0\n", seconds) < 0)
                return -errno;
        ns = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
        return ns < 0 || setns(ns, CLONE_NEWTIME) < 0 ? -errno : 0;
}

static inline int set(void) {
        struct timex t = { .modes = ADJ_SETOFFSET | ADJ_NANO, .time.tv_usec = 1 };

        return adjtimex(&t) < 0 ? -errno : 0;
}

static inline void jumping_or_skip(void) {
        if (awake(0) < 0 || set() < 0) {
                print_message("not allowed to set clocks here\n");
                skip();
        }
}

static inline void awake_for(unsigned seconds) {
        assert_int_equal(awake(seconds), 0);
}

static inline void set_clock(void) {
        assert_int_equal(set(), 0);
}
