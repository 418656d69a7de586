/* Is this small file still the one it was, and tell when it is not: a key that was rotated. Replaced by a rename, by
 * another link to follow, or written in place: all the same. */
#pragma once

#include "util/error.h"

#include <systemd/sd-event.h>

typedef struct FileNews FileNews;
typedef void (*FileNewsFn)(void *userdata); /* it changed; more than once, perhaps, for one change */

int filenews_new(FileNews **ret, sd_event *loop, const char *path, FileNewsFn fn, void *userdata,
                 Error *e) _must_check_;
FileNews *filenews_free(FileNews *f);
DEFINE_CLEANUP(FileNews *, filenews_free);

void filenews_watch(FileNews *f, bool on); /* off at first, so that an idle daemon watches nothing it need not */
bool filenews_ask(FileNews *f);            /* since it was made or this was last asked: has it changed? */
