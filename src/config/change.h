/* A change of the configuration's files: all of it or nothing. One at a time, by a lock on the directory. What is put
 * into a change is tried by the loader as if it were written already; then each file is written beside its place,
 * synced and renamed into it, in the order they were put in; what fails takes back what came before. */
#pragma once

#include "config/config.h"

#include <sys/types.h>

typedef struct Change Change;

/* Makes the directory, and mappings.d in it, if they are missing; they go again if nothing is committed.
 * -EBUSY: somebody else changes it; `e` says so. Both paths must outlive the change. */
int change_new(Change **ret, const char *config_dir, const char *state_dir, Error *e) _must_check_;
Change *change_free(Change *c); /* wipes what it read; what was committed stays */
DEFINE_CLEANUP(Change *, change_free);

/* The file `name` ("azsyncd.yaml", "mappings.d/photos.yaml") as it is now. 1; 0: there is none. */
int change_read(const Change *c, const char *name, Buf *ret, Error *e) _must_check_;

typedef enum ChangeMode {
        CHANGE_CONFIG, /* a new file is 0640 and the group is the daemon's; one that was there keeps owner and mode */
        CHANGE_SECRET, /* 0600; it must not be there yet */
} ChangeMode;

/* What `name` shall hold; `text` NULL: it shall be gone. The text is copied. The same name may be put again: what was
 * there the first time must still be there when it is committed. */
int change_put(Change *c, const char *name, const char *text, size_t size, ChangeMode mode, Error *e) _must_check_;
void change_drop(Change *c); /* whatever was put, but not committed */

/* The configuration as it will be; as config_load(), with secrets_elsewhere. */
int change_load(const Change *c, Config **ret, Buf *report, Error *e) _must_check_;

/* -ESTALE: somebody changed a file meanwhile. On failure everything is as it was, or `e` says what is not. Signals that
 * end the process are held off meanwhile. */
int change_commit(Change *c, Error *e) _must_check_;
/* Takes back what was committed. */
int change_undo(Change *c, Error *e) _must_check_;
