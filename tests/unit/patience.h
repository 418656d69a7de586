/* How long a test waits for what must come. It bounds a hang and decides nothing else: however slow or busy the machine
 * is, a test that is right passes. What meson allows a test is more (tests/unit/meson.build). */
#pragma once

#include "util/clock.h"

#define PATIENCE_NS (600 * NSEC_PER_SEC)
#define PATIENCE ((uint64_t) (PATIENCE_NS / NSEC_PER_USEC)) /* for sd_event_run() */
