/* What the reading order (pitfalls 4.4) costs on a burst of new files, step by step:
 *
 *   reads DIR FILES SIZE THREADS
 *
 * writes FILES files of SIZE bytes into DIR, one after the other, while THREADS threads read each as soon as it is
 * there, as the daemon's workers do. The linker has the library's calls come by here (--wrap), where they are timed. */
#include "util/clock.h"
#include "watch/read.h"
#include "watch/reading.h"

#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define STEPS(X)           \
        X(nanosleep)       \
        X(lseek64)         \
        X(sync_file_range) \
        X(statx)           \
        X(pread64)

typedef struct Step {
        atomic_long calls, ns;
} Step;

static struct {
#define X(name) Step name;
        STEPS(X)
#undef X
} steps;

/* the call, and what it took */
#define TIMED(name, type, parameters, arguments)                                 \
        type __real_##name parameters;                                           \
        type __wrap_##name parameters;                                           \
        type __wrap_##name parameters {                                          \
                int64_t began = clock_boot();                                    \
                type r = __real_##name arguments;                                \
                atomic_fetch_add(&steps.name.calls, 1);                          \
                atomic_fetch_add(&steps.name.ns, (long) (clock_boot() - began)); \
                return r;                                                        \
        }

TIMED(nanosleep, int, (const struct timespec *a, struct timespec *b), (a, b))
TIMED(lseek64, off_t, (int fd, off_t offset, int whence), (fd, offset, whence))
TIMED(sync_file_range, int, (int fd, off_t offset, off_t size, unsigned flags), (fd, offset, size, flags))
TIMED(statx, int, (int fd, const char *path, int flags, unsigned mask, struct statx *stx), (fd, path, flags, mask, stx))
TIMED(pread64, ssize_t, (int fd, void *data, size_t size, off_t offset), (fd, data, size, offset))

static const RootId any;
static const char *folder;
static long files;
static atomic_long made, next, again;

static void *reader(void *userdata) {
        long n;

        while ((n = atomic_fetch_add(&next, 1)) < files) {
                SourceAnswer a;
                char name[32];

                (void) snprintf(name, sizeof(name), "f%06ld", n);
                while (atomic_load(&made) <= n) {
                        const struct timespec t = { .tv_nsec = 50000 };

                        (void) clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
                }
                for (;;) {
                        _cleanup_free_ char *data = NULL;

                        read_whole(folder, &any, name, SIZE_MAX, &a, &data);
                        if (a.read == SOURCE_WHOLE)
                                break;
                        atomic_fetch_add(&again, 1);
                }
        }
        return NULL;
}

int main(int argc, char *argv[]) {
        int64_t began, written;
        pthread_t ids[64];
        unsigned threads;
        size_t size;
        char *data;

        if (argc != 5 || argv[1][0] != '/' || reading_setup(NULL) < 0)
                errx(2, "reads /DIR FILES SIZE THREADS");
        folder = argv[1];
        files = strtol(argv[2], NULL, 10);
        size = strtoul(argv[3], NULL, 10);
        threads = (unsigned) strtoul(argv[4], NULL, 10);
        data = calloc(1, size + 1);
        if (!data || threads > ELEMENTSOF(ids))
                errx(2, "too much");
        began = clock_boot();
        for (unsigned i = 0; i < threads; i++)
                if (pthread_create(ids + i, NULL, reader, NULL) != 0)
                        errx(2, "pthread_create");
        for (long n = 0; n < files; n++) {
                char path[4096 + 32];
                int fd;

                (void) snprintf(path, sizeof(path), "%s/f%06ld", folder, n);
                fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
                if (fd < 0 || write(fd, data, size) != (ssize_t) size || close(fd) < 0)
                        err(2, "%s", path);
                atomic_fetch_add(&made, 1);
        }
        written = clock_boot();
        for (unsigned i = 0; i < threads; i++)
                (void) pthread_join(ids[i], NULL);
        printf("  %ld files of %zu bytes: written in %.2f s, all read after %.2f s, %ld readings again\n", files, size,
               (double) (written - began) / 1e9, (double) (clock_boot() - began) / 1e9, atomic_load(&again));
#define X(name)                                                                                               \
        printf("  %-16s %7ld calls %9.1f us each %8.3f s in all\n", #name, atomic_load(&steps.name.calls),    \
               atomic_load(&steps.name.calls)                                                                 \
                       ? (double) atomic_load(&steps.name.ns) / 1e3 / (double) atomic_load(&steps.name.calls) \
                       : 0.0,                                                                                 \
               (double) atomic_load(&steps.name.ns) / 1e9);
        STEPS(X)
#undef X
        free(data);
        return 0;
}
