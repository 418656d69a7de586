/* The names in one folder, read to the end or not at all (pitfalls 4.12), in the order in which a walk meets their
 * paths: a folder counts as its name with a '/' at the end. Memory: the names of this one folder. */
#pragma once

#include "util/macro.h"

typedef struct ListingEntry {
        const char *name;
        unsigned size; /* of name */
        uint8_t type;  /* DT_REG, DT_DIR, ...; never DT_UNKNOWN */
} ListingEntry;

typedef struct Listing {
        ListingEntry *entries;
        size_t n;
        char *names;
} Listing;

/* 0, or a negative errno: then nothing is known of the folder, and `ret` is empty. */
int listing_read(Listing *ret, int fd) _must_check_;
void listing_done(Listing *l);
