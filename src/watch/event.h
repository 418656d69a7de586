/* Raw inotify bytes -> typed events. Pure. Whatever the bytes are, nothing outside them is read, and no name comes out
 * that could not stand in a folder. */
#pragma once

#include "util/macro.h"

/* What happened to the watched folder itself; beside the flags of WatchNews, which stay below these. */
typedef enum EventSelf {
        EVENT_GONE = 1 << 16,      /* DELETE_SELF */
        EVENT_MOVED = 1 << 17,     /* MOVE_SELF */
        EVENT_CHANGED = 1 << 18,   /* ATTRIB */
        EVENT_UNMOUNTED = 1 << 19, /* UNMOUNT */
        EVENT_DEAD = 1 << 20,      /* IGNORED: the kernel has dropped the watch, nothing comes after this */
} EventSelf;

typedef struct Event {
        int wd;           /* meaningless with WATCH_OVERFLOW */
        unsigned what;    /* WatchNews about the child `name`, or, without a name, EventSelf or news of the folder */
        const char *name; /* NUL-terminated, "" if there is none; points into the bytes */
        size_t size;      /* of name */
} Event;

/* Takes the next event that means anything at or after *at. Returns 1; 0 at the end; -EBADMSG if the kernel would not
 * have written these bytes, and then whatever stands at *at and after it is lost. */
int event_next(const char *bytes, size_t size, size_t *at, Event *ret);
