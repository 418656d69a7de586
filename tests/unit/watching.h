/* A watcher on a folder of its own, and what it told. Included once per program. */
#pragma once

#include "deep.h"
#include "patience.h"
#include "watch/watches.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/inotify.h>

typedef struct News {
        char *path;
        unsigned what;
} News;

typedef struct Fixture {
        sd_event *loop;
        Watcher *w;
        News news[16384];
        size_t n, total;
        unsigned barriers;
        bool free_in_callback;
} Fixture;

static inline void forget(Fixture *f) {
        for (size_t i = 0; i < f->n; i++)
                free(f->news[i].path);
        f->n = f->total = 0;
}

static inline void on_news(const char *path, unsigned what, void *userdata) {
        Fixture *f = userdata;

        assert_true(what != 0 && path[0] != '/');
        f->total++;
        if (f->n < ELEMENTSOF(f->news))
                f->news[f->n++] = (News){ strdup(path), what };
        if (f->free_in_callback)
                f->w = watcher_free(f->w);
}

static inline void on_barrier(void *userdata) {
        Fixture *f = userdata;

        f->barriers++;
}

/* Everything that happened before this is told when it returns. */
static inline void settle(Fixture *f) {
        unsigned before = f->barriers;

        assert_int_equal(watcher_barrier(f->w, on_barrier, f), 0);
        while (f->barriers == before)
                assert_true(sd_event_run(f->loop, PATIENCE) > 0);
}

static inline unsigned told(const Fixture *f, const char *path) {
        unsigned what = 0;

        for (size_t i = 0; i < f->n; i++)
                if (strcmp(f->news[i].path, path) == 0)
                        what |= f->news[i].what;
        return what;
}

static inline void expect(Fixture *f, const char *path, unsigned what) {
        settle(f);
        assert_int_equal(told(f, path), what);
}

static inline int open_dir(const char *path) {
        int fd = open(at(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

/* As the walk does: by what stands there now. */
static inline bool exists(const char *path, int fd, void *userdata) {
        struct stat a, b;

        (*(unsigned *) userdata)++;
        return stat(at(path), &a) == 0 && fstat(fd, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static inline WatchAdd add(Fixture *f, const char *path) {
        _cleanup_close_ int fd = open_dir(path);
        unsigned asked = 0;
        WatchAdd added = watcher_add(f->w, path, fd, exists, &asked, NULL);

        assert_int_equal(asked > 0, added == WATCH_MOVED || added == WATCH_SHARED);
        return added;
}

static inline void add_all(Fixture *f, const char *const *paths, size_t n) {
        for (size_t i = 0; i < n; i++)
                assert_int_equal(add(f, paths[i]), WATCH_ADDED);
}

/* As the kernel has them. One too many is heard by nobody, counts against the limit, and holds a folder's inode. */
static inline unsigned kernel_watches(const Fixture *f) {
        char path[64], line[256];
        unsigned n = 0;
        FILE *file;

        (void) snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", f->w->inotify_fd);
        file = fopen(path, "re");
        assert_non_null(file);
        while (fgets(line, sizeof(line), file))
                n += strncmp(line, "inotify wd:", 11) == 0;
        assert_int_equal(fclose(file), 0);
        return n;
}

static inline void begin(Fixture *f) {
        memset(f, 0, sizeof(*f));
        assert_int_equal(sd_event_new(&f->loop), 0);
        assert_int_equal(watcher_new(&f->w, f->loop, on_news, f, NULL), 0);
        assert_int_equal(add(f, ""), WATCH_ADDED);
}

static inline void end(Fixture *f) {
        f->w = watcher_free(f->w);
        forget(f);
        f->loop = sd_event_unref(f->loop);
}

static inline void move(const char *from, const char *to) {
        char source[512];

        (void) snprintf(source, sizeof(source), "%s", at(from));
        assert_int_equal(rename(source, at(to)), 0);
}

static Fixture f;
