/* A bandwidth setting as it was written: one rate, or a weekly timetable in the machine's local time. */
#pragma once

#include "util/macro.h"

#include <stddef.h>
#include <stdint.h>

typedef struct BandwidthSpan {
        uint16_t from, to; /* minutes since Monday 0:00, `to` not included */
        uint64_t rate;
} BandwidthSpan;

typedef struct Bandwidth {
        uint64_t rate;        /* bytes per second outside of the spans; 0: unlimited, here and there */
        BandwidthSpan *spans; /* in order, none overlaps */
        size_t n_spans;
} Bandwidth;

/* The rate at `minute` of the week. Pure. */
uint64_t bandwidth_at(const Bandwidth *b, unsigned minute) _pure_;
/* The minute of the week that local clocks show, so that a day of 23 or 25 hours needs no care. */
unsigned bandwidth_minute(int64_t wall_ns);
