/* The copy of a file of the configuration that azsyncctl edit gives to an editor: in a folder of its own beside
 * azsyncd.yaml, which nobody else may enter. A secret may stand in it, and in what an editor leaves beside it (swap
 * files, backups), so it is not in /tmp, and goes with all that is in the folder. */
#pragma once

#include "util/buf.h"

typedef struct Copy {
        const char *config_dir; /* borrowed */
        char dir[3200];         /* "": there is none */
        char path[3300];
} Copy;

/* `file`: below config_dir. 0; else an exit code (complained of). */
int copy_make(Copy *ret, const char *config_dir, const char *file, const Buf *text);
void copy_remove(Copy *c); /* none: nothing */
/* Leaves it where it is and names it, unless nothing would be lost with it. */
void copy_leave(Copy *c);
/* Those of edits that were killed: what would be lost is named, and what would not is removed. Only under the lock of
 * config/change.h, or one may be in use. */
void copy_leftovers(const char *config_dir);

void copy_wipe(Buf *text); /* and frees it */
