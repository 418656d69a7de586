/* A new folder per test, with a mapping's root in it, and what the tests of reading it share. Included once per
 * program. */
#pragma once

#include "util/macro.h"

#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char top[64];      /* a new folder per test */
static char root[80];     /* the mapping's, in it */
static char at_room[512]; /* of at() */
static atomic_bool stop;  /* the thread of a race */

static inline const char *at(const char *path) {
        (void) snprintf(at_room, sizeof(at_room), "%s/%s", root, path);
        return at_room;
}

static inline void put(const char *path, const char *text) {
        FILE *f = fopen(at(path), "we");

        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

static inline void make_dir(const char *path, mode_t mode) {
        assert_int_equal(mkdir(at(path), 0755), 0);
        assert_int_equal(chmod(at(path), mode), 0);
}

static inline int set_up_in(const char *tmp) {
        (void) snprintf(top, sizeof(top), "%.30s/azsync-test-XXXXXX", tmp);
        if (!mkdtemp(top) || chmod(top, 0755) < 0)
                return -1;
        (void) snprintf(root, sizeof(root), "%s/root", top);
        return mkdir(root, 0755);
}

static inline int set_up(void **state) {
        const char *tmp = getenv("TMPDIR");

        return set_up_in(tmp ? tmp : "/tmp");
}

/* In memory, if possible: what is written to a disk is slower to change than to read. */
static inline int set_up_shm(void **state) {
        return access("/dev/shm", W_OK) == 0 ? set_up_in("/dev/shm") : set_up(state);
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static inline int tear_down(void **state) {
        atomic_store(&stop, true); /* after a failure too; so what such a thread uses is static */
        return nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void assert_md5(const uint8_t md5[static 16], const void *data, size_t size) {
        uint8_t want[16];

        assert_int_equal(EVP_Digest(data, size, want, NULL, EVP_md5(), NULL), 1);
        assert_memory_equal(md5, want, sizeof(want));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
