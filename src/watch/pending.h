/* The merged set between the thread that drains the kernel and the loop: (wd, name) -> everything that was said of it,
 * in the order of the first word. A million writes to one file are one entry. Bounded: what does not fit becomes an
 * overflow, which is a normal event (pitfalls 1.9, 1.10). Pure memory; its owner locks. */
#pragma once

#include "watch/event.h"
#include "watch/hash.h"

typedef struct Pending Pending;

#define PENDING_MAX ((size_t) 1 << 18)                /* entries */
#define PENDING_NAMES_MAX ((size_t) 48 * 1024 * 1024) /* bytes; all in all at most 56 MiB */

int pending_new(Pending **ret, const HashSeed *seed) _must_check_;
Pending *pending_free(Pending *p);
DEFINE_CLEANUP(Pending *, pending_free);

void pending_add(Pending *p, const Event *e); /* never fails: overflows */
/* Events were lost before they came here. What is here stays: it still says whose contents are not to be believed. */
void pending_overflow(Pending *p);

bool pending_overflowed(const Pending *p);
bool pending_empty(const Pending *p); /* neither entries nor an overflow */
size_t pending_count(const Pending *p);
Event pending_get(const Pending *p, size_t i); /* the name is valid until the set changes */
void pending_clear(Pending *p);                /* gives a storm's memory back, keeps a little */
