/* Attempt number -> delay: exponential with full jitter (pitfalls 10.10). Pure: randomness is an argument. */
#pragma once

#include "util/macro.h"

/* The ceiling of attempt `attempt` (1 = first retry): 0.8 s, 1.6 s, ... at most `cap_ns`. */
int64_t backoff_ceiling(unsigned attempt, int64_t cap_ns) _pure_;

/* A delay within [ceiling/4, ceiling]; `random` is any uniformly distributed number. Never shorter than
 * `retry_after_ns` (what the service asked for; 0: nothing). */
int64_t backoff_delay(unsigned attempt, int64_t cap_ns, int64_t retry_after_ns, uint64_t random) _pure_;
