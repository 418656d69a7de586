/* Waits that are not the same for everybody: exponential with full jitter after a failure (pitfalls 10.10), spread
 * around a period. Pure: randomness is an argument, any uniformly distributed number. */
#pragma once

#include "util/macro.h"

/* The ceiling of attempt `attempt` (1 = first retry): 0.8 s, 1.6 s, ... at most `cap_ns`. */
int64_t backoff_ceiling(unsigned attempt, int64_t cap_ns) _pure_;

/* A delay within [ceiling/4, ceiling]; Never shorter than `retry_after_ns` (what the service asked for; 0: nothing). */
int64_t backoff_delay(unsigned attempt, int64_t cap_ns, int64_t retry_after_ns, uint64_t random) _pure_;

/* Within 3/4 and 5/4 of `period_ns`, its mean: who began together drifts apart (4.10). */
int64_t backoff_spread(int64_t period_ns, uint64_t random) _pure_;
