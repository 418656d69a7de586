/* The names in one folder, read to the end or not at all (pitfalls 4.12), in the order in which a walk meets their
 * paths: a folder counts as its name with a '/' at the end. Memory: the names of this one folder, and about 20 bytes
 * for each. Blocking. */
#pragma once

#include "util/macro.h"

#include <sys/types.h>

typedef struct ListingEntry {
        const char *name;
        uint16_t size; /* of name */
        uint8_t type;  /* DT_REG, DT_DIR, ...; DT_UNKNOWN if even a look did not say, and it may be a folder */
        bool ahead;    /* the walk's own mark: another thread was asked to do it */
} ListingEntry;

typedef struct Listing {
        ListingEntry *entries;
        size_t n;
        char *names;
} Listing;

typedef ssize_t (*ListingReadFn)(int fd, void *buffer, size_t room); /* as getdents64, but a negative errno */

#define LISTING_ROOM ((size_t) 64 * 1024)

/* 0, or a negative errno: then nothing is known of the folder, and `ret` is empty. `buffer`: LISTING_ROOM bytes,
 * aligned as malloc does. `getdents` NULL: the kernel's; anything else is for tests. */
int listing_read(Listing *ret, int fd, void *buffer, ListingReadFn getdents) _must_check_;
void listing_done(Listing *l);
