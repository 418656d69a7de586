/* Tells when mounts change: the kernel says so by POLLPRI on /proc/self/mountinfo, and by nothing else for a lazy
 * unmount or a mount over a watched folder (pitfalls 2.1). What a change means for one folder is a pure question over
 * the table's text. */
#pragma once

#include "util/buf.h"
#include "util/error.h"

#include <systemd/sd-event.h>

typedef struct Mounts Mounts;
typedef void (*MountsFn)(const Buf *table, void *userdata); /* on the loop; `table`: the mountinfo text */

int mounts_new(Mounts **ret, sd_event *loop, MountsFn fn, void *userdata, Error *e) _must_check_;
Mounts *mounts_free(Mounts *m);
DEFINE_CLEANUP(Mounts *, mounts_free);

/* Tells of the table as it is now, at once: what later changes are measured against. */
void mounts_ask(Mounts *m);

/* A number over every mount at, above or beneath `folder` (absolute). If it differs, the folder may show something else
 * now. */
uint64_t mounts_digest(const char *table, const char *folder) _pure_;
