/* The reading order of pitfalls 4.4, step by step, for one file: what read.c is made of. Blocking: workers only. */
#pragma once

#include "watch/look.h"

#include <openssl/evp.h>

typedef struct Reading {
        int fd;
        Glance first;
        bool restless;   /* its stamp never was a step old */
        bool coarse;     /* its stamp counts in seconds, and is of this moment: equal stamps prove nothing yet */
        bool twice;      /* equal stamps prove nothing about stores through a mapping: tmpfs (4.3) */
        bool cut;        /* it ended before first.stamp.size */
        bool grew;       /* first.stamp.size has been raised since */
        bool met;        /* a glance after the first reading found no more than what was read */
        EVP_MD_CTX *md5; /* of what was read, as far as reading_sum() was told */
        uint64_t position;
        bool holes; /* are not read: set by who reads something large */
        bool hole;  /* what is before `extent_end` is one */
        uint64_t extent_end;
        EVP_MD_CTX *again; /* the second reading: of the first `again_position` bytes */
        uint64_t again_position;
        Glance after;
        bool asked; /* the question for changes is behind us */
} Reading;

#define READING_NULL ((Reading){ .fd = -1 })

/* MD5 and SHA-256 can be had. Fails where OpenSSL is built or configured without MD5; asks once. */
int reading_setup(Error *e) _must_check_;

/* The steps before reading. True: its bytes may be read. Else `ret` is the answer; it is UNREAD if it has more than
 * `room` bytes. */
bool reading_begin(Reading *f, const LookRoot *root, const char *path, uint64_t room, SourceAnswer *ret);
/* The next `size` bytes, of which the file has enough unless it shrank. Returns how many came, and sets the read of
 * `ret`; negative: it failed, and `ret` says so. */
ssize_t reading_take(Reading *f, char *to, size_t size, const char *path, SourceAnswer *ret);
/* Of all bytes, in order: one thread at a time, but not necessarily the one that takes them. */
bool reading_sum(Reading *f, const void *data, size_t size);
bool reading_digests(const void *data, size_t size, uint8_t ret_sha256[static 32],
                     uint8_t *ret_md5); /* NULL: not that */
/* All is read: is it all there is? True: no, and there is more to read now, up to `most` bytes in all. */
bool reading_follow(Reading *f, uint64_t most);
/* The steps after reading. False: there is more to be read again (`budget` bytes a call): call it once more. `root` is
 * open unless f->asked. */
bool reading_end(Reading *f, const LookRoot *root, const char *path, uint64_t budget, SourceAnswer *ret);
void reading_done(Reading *f);
