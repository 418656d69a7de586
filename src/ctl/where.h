/* Which configuration a verb is about, and the azsyncd that has it. Where that has credentials from systemd, they are
 * found, too. */
#pragma once

#include "ctl/verbs.h"

typedef struct Where {
        char config_dir[3072], state_dir[3072];
        const char *runtime_dir; /* for client_open(); NULL: the usual places */
        bool system;             /* the system's azsyncd, started by systemd */
        char own_runtime[3072];  /* what runtime_dir may point to: do not copy */
} Where;

/* As root the system's; as a plain user one's own, if there is any, else the system's, as for the socket. `make`: one's
 * own also if it has to be made, unless one may write the system's. 0, or an exit code: a path is too long (complained
 * of). */
int where_find(Where *ret, const Options *o, bool make) _must_check_;
