/* Raw inotify bytes -> typed events. Pure; whatever the bytes are, nothing outside them is read. */
#pragma once

#include "util/macro.h"

typedef struct WatchEvent {
        int wd;           /* -1: the queue overflowed */
        uint32_t mask;    /* IN_* */
        const char *name; /* "" if about the watched folder itself; points into the bytes */
        size_t size;      /* of name */
} WatchEvent;

/* Takes the first event of `bytes`. Returns the bytes it used, or 0 if no whole event is there. */
size_t event_parse(const char *bytes, size_t size, WatchEvent *ret);

/* What an event on a name in a folder, or on the folder itself (`name` ""), means: WatchNews flags; 0: nothing. */
unsigned event_news(uint32_t mask, bool named);
