/* With whose rights a folder is looked at: azsyncd's, if the caller may take them on, else one's own. */
#pragma once

#include "util/macro.h"

#include <sys/types.h>

#define RIGHTS_GROUPS 64u

typedef struct Rights {
        bool other; /* to be taken on: somebody else's */
        uid_t uid;
        gid_t gid, groups[RIGHTS_GROUPS];
        size_t n_groups;
        bool reads_all; /* CAP_DAC_READ_SEARCH */
} Rights;

/* `pid`: of the azsyncd that runs; 0: none does, so what its unit says counts if `system`. Only root may take on
 * another's. */
void rights_find(Rights *ret, pid_t pid, bool system);
/* Reads what /proc/PID/status says. -EINVAL. Pure. */
int rights_parse(Rights *ret, const char *status) _must_check_;
/* In the calling thread alone: what the kernel asks about when it is to open a file. */
void rights_take_on(const Rights *r);
