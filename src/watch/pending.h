/* The merged set between the thread that drains the kernel and the loop: (wd, name) -> every event bit seen, in the
 * order first seen. Bounded: what does not fit becomes an overflow, which is a normal event (pitfalls 1.9, 1.10). Pure
 * memory; its owner locks. */
#pragma once

#include "util/macro.h"

typedef struct Pending Pending;

typedef struct PendingEvent {
        int wd;
        uint32_t mask;
        const char *name; /* NUL-terminated; valid until pending_clear() or the next pending_add() */
} PendingEvent;

int pending_new(Pending **ret) _must_check_;
Pending *pending_free(Pending *p);
DEFINE_CLEANUP(Pending *, pending_free);

void pending_add(Pending *p, int wd, uint32_t mask, const char *name, size_t size); /* never fails: overflows */
void pending_overflow(Pending *p); /* drops what is there: everything is in doubt */
bool pending_overflowed(const Pending *p);
size_t pending_count(const Pending *p);
PendingEvent pending_get(const Pending *p, size_t i);
void pending_clear(Pending *p);
