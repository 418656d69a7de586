/* When is a file quiet enough to be read? Pure but for a bounded table of recently busy paths (pitfalls 4.8): written
 * and closed after a quiet time: at once. Open and still written: after a pause. Changing again and again: each round
 * waits longer, doubling up to a bound, so that it is neither sent a hundred times nor starved. Forgetting a path is
 * harmless. */
#pragma once

#include "util/macro.h"

typedef struct Settle Settle;

int settle_new(Settle **ret, size_t max_paths) _must_check_;
Settle *settle_free(Settle *s);
DEFINE_CLEANUP(Settle *, settle_free);

/* News of `path` at `now` (boot ns), `news` as WatchNews. Returns when it is due (boot ns): never later than 30 s
 * (policy time) after the first unsent change. */
int64_t settle_news(Settle *s, const char *path, unsigned news, int64_t now);
/* `path` was confirmed at `now`: what changes soon after waits longer. */
void settle_sent(Settle *s, const char *path, int64_t now);
