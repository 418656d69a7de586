/* A walk of a folder of its own, and what it said. Included once per program. */
#pragma once

#include "deep.h"
#include "util/buf.h"
#include "watch/walk.h"

typedef struct Got {
        char *path;
        Seen seen;
} Got;

static Got got[20000];
static size_t n_got, stop_after;
static bool dead;

static inline void forget(void) {
        for (size_t i = 0; i < n_got; i++)
                free(got[i].path);
        n_got = 0;
}

static inline bool on_emit(const Seen *seen, void *userdata) {
        assert_true(n_got < ELEMENTSOF(got));
        assert_int_equal(strlen(seen->path), seen->size);
        assert_int_equal(seen->error != 0, seen->kind == SEEN_UNKNOWN);
        got[n_got] = (Got){ strdup(seen->path), *seen };
        n_got++;
        return stop_after == 0 || n_got < stop_after;
}

static inline bool on_alive(void *userdata) {
        return !dead;
}

/* The tests of the walk run once without other threads, and once with so many. */
#ifndef WALK_THREADS
#define WALK_THREADS 0
#endif

static inline Walk walk_of(void) {
        return (Walk){ .folder = root, .alive = on_alive, .emit = on_emit, .threads = WALK_THREADS };
}

static inline ScanEnd scan_with(const Walk *walk, const char *path) {
        ScanEnd end;

        forget();
        walk_branch(walk, path, &end);
        return end;
}

static inline ScanEnd scan(const char *path) {
        Walk walk = walk_of();

        return scan_with(&walk, path);
}

static inline const Seen *find(const char *path) {
        const Seen *found = NULL;

        for (size_t i = 0; i < n_got; i++)
                if (strcmp(got[i].path, path) == 0) {
                        assert_null(found); /* once at most */
                        found = &got[i].seen;
                }
        return found;
}

static inline void expect(const char *path, SeenKind kind, bool folder) {
        const Seen *seen = find(path);

        assert_non_null(seen);
        assert_int_equal(seen->kind, kind);
        assert_int_equal(seen->folder, folder);
}

static inline int clean_up(void **state) {
        forget();
        stop_after = 0;
        dead = false;
        return tear_down_deep(state);
}

#define WALK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_shm, clean_up)
