/* The first seconds of a new mapping: is it getting anywhere? */
#pragma once

#include "ctl/where.h"

typedef enum Followed {
        FOLLOWED_IN_SYNC,
        FOLLOWED_GOING_ON, /* the time was up, or Ctrl-C */
        FOLLOWED_STUCK,    /* waiting does not help: `why` */
        FOLLOWED_UNKNOWN,  /* this azsyncd does not have the mapping */
        FOLLOWED_FAILED,   /* it does not answer: `why` */
} Followed;

/* Waits until `name` is in sync, but for `ns` at most; with `show`, a line on the terminal tells how it goes. Ctrl-C
 * ends the waiting only. */
Followed follow(const Where *w, const char *name, int64_t ns, bool show, char *ret_why, size_t room);
