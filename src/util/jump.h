/* Tells when the wall clock and the time that passed while the machine was awake have come apart by more than 30 s: it
 * slept, or somebody set the clock (pitfalls 10.12). The kernel says when to look; nothing ticks. */
#pragma once

#include "util/error.h"

#include <systemd/sd-event.h>

typedef struct Jump Jump;
typedef void (*JumpFn)(int64_t jumped_ns, void *userdata); /* forwards positive */

int jump_new(Jump **ret, sd_event *loop, JumpFn fn, void *userdata, Error *e) _must_check_;
Jump *jump_free(Jump *j);
DEFINE_CLEANUP(Jump *, jump_free);

/* The rule: `*apart` is the wall clock minus the awake clock as last accepted, and is brought up to date. Returns the
 * jump, 0 if there was none to speak of. Pure. */
int64_t jump_judge(int64_t *apart, int64_t wall_ns, int64_t awake_ns);
