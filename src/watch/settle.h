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
 * (policy time) after the first unsent change, unless it rests because of what reading it takes. */
int64_t settle_news(Settle *s, const char *path, unsigned news, int64_t now);
/* `path` was confirmed at `now`: what changes soon after waits longer. */
void settle_sent(Settle *s, const char *path, int64_t now);
/* Reading it took so many ns, until `now`: its bytes are left alone for ten times as long. */
void settle_took(Settle *s, const char *path, int64_t now, int64_t took);
int64_t settle_rest(const Settle *s, const char *path); /* until then (boot ns); 0: it need not rest */
