/* Reads a file again and again in the order of pitfalls 4.4 (src/watch/read.c, as the daemon does) while a writer never
 * rests, and counts what was called one consistent state and was none:
 *
 *   torn KIND PATH SIZE READS SECONDS [PAUSE_US [WITHOUT]]
 *
 * until READS readings were accepted, or SECONDS are over. WITHOUT leaves a step of the order out, which shows what it
 * is there for: hole (SEEK_HOLE), sync (sync_file_range), tick (the wait). Prints one JSON object; exits with 1 if
 * there was a torn one. */
#include "util/clock.h"
#include "watch/read.h"
#include "watch/reading.h"
#include "writer.h"

#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define SMALL ((uint64_t) 4 * 1024 * 1024) /* as the daemon: whole up to here, by blocks of as much beyond */

static const char *without = "";

/* The linker has read.c call these (--wrap). */
off_t __real_lseek64(int fd, off_t offset, int whence);
off_t __wrap_lseek64(int fd, off_t offset, int whence);
int __real_sync_file_range(int fd, off_t offset, off_t size, unsigned flags);
int __wrap_sync_file_range(int fd, off_t offset, off_t size, unsigned flags);
int __real_nanosleep(const struct timespec *wait, struct timespec *left);
int __wrap_nanosleep(const struct timespec *wait, struct timespec *left);

off_t __wrap_lseek64(int fd, off_t offset, int whence) {
        return strcmp(without, "hole") == 0 ? 0 : __real_lseek64(fd, offset, whence);
}

int __wrap_sync_file_range(int fd, off_t offset, off_t size, unsigned flags) {
        return strcmp(without, "sync") == 0 ? 0 : __real_sync_file_range(fd, offset, size, flags);
}

int __wrap_nanosleep(const struct timespec *wait, struct timespec *left) {
        return strcmp(without, "tick") == 0 ? 0 : __real_nanosleep(wait, left);
}

static const RootId any;
static int started[2];

static void ready(void) {
        (void) !write(started[1], "", 1);
}

static pid_t start_writer(WriterKind kind, const char *path, size_t size, unsigned pause_us) {
        char byte;
        pid_t pid;

        if (pipe(started) < 0)
                err(2, "pipe");
        pid = fork();
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                without = ""; /* its own pauses stay */
                writer_run(kind, path, size, pause_us, ready);
                _exit(0);
        }
        (void) close(started[1]);
        if (pid < 0 || read(started[0], &byte, 1) != 1)
                errx(2, "the writer did not start");
        return pid;
}

/* What the daemon would send, in `into`; its length, or -1: nothing, look again later. */
static ssize_t read_once(const char *folder, const char *name, char *into, size_t room) {
        _cleanup_(read_file_freep) ReadFile *f = NULL;
        _cleanup_free_ char *small = NULL;
        const Cuts cuts = cuts_of(22);
        SourceAnswer a;
        size_t n = 0;

        read_whole(folder, &any, name, SMALL, &a, &small);
        if (a.look == LOOK_REGULAR && (a.read == SOURCE_WHOLE || a.read == SOURCE_PREFIX)) {
                memcpy(into, small, a.size);
                return (ssize_t) a.size;
        }
        if (a.look != LOOK_REGULAR || a.read != SOURCE_UNREAD)
                return -1;
        f = read_file_new(folder, &any, name);
        if (!f)
                errx(2, "out of memory");
        read_file_open(f, &a);
        if (a.look != LOOK_REGULAR || a.read == SOURCE_CHANGED)
                return -1;
        do {
                _cleanup_free_ char *block = NULL;

                read_file_block(f, &cuts, false, &a, &block);
                if (a.look != LOOK_REGULAR || a.read == SOURCE_CHANGED || n + a.size > room)
                        return -1;
                if (block && !read_file_sum(f, block, a.size))
                        errx(2, "out of memory");
                memcpy(into + n, block, a.size);
                n += a.size;
        } while (!a.end);
        while (!read_file_finish(f, &a))
                ;
        return a.look == LOOK_REGULAR && (a.read == SOURCE_WHOLE || a.read == SOURCE_PREFIX) ? (ssize_t) n : -1;
}

static void print_counts(char *argv[], unsigned long reads, unsigned long accepted, unsigned long torn, int64_t began) {
        printf("{\"writer\": \"%s\", \"size\": %s, \"without\": \"%s\", \"reads\": %lu, \"accepted\": %lu, "
               "\"torn\": %lu, \"seconds\": %.1f}\n",
               argv[1], argv[3], without, reads, accepted, torn, (double) (clock_boot() - began) / 1e9);
}

static int later_stores(char *argv[], const char *folder, const char *name, size_t size, unsigned long wanted) {
        _cleanup_close_ int fd = open(argv[2], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        unsigned long reads = 0, accepted = 0, missed = 0;
        int64_t began = clock_boot();
        char *map;

        if (fd < 0 || ftruncate(fd, (off_t) size) < 0)
                err(2, "%s", argv[2]);
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
                err(2, "mmap");
        for (; accepted < wanted && reads < 2 * wanted; reads++) {
                _cleanup_free_ char *data = NULL;
                SourceAnswer a, now;

                for (size_t i = 0; i < size; i += 4096)
                        map[i]++;
                read_whole(folder, &any, name, size, &a, &data);
                if (a.read != SOURCE_WHOLE)
                        continue;
                accepted++;
                map[reads * 4096 % size] += 1;
                read_look(folder, &any, name, &now);
                missed += stamp_equal(&a.stamp, &now.stamp);
        }
        print_counts(argv, reads, accepted, missed, began);
        return missed > 0;
}

int main(int argc, char *argv[]) {
        bool later = argc >= 6 && strcmp(argv[1], "later") == 0;
        int kind = argc >= 6 ? writer_kind(argv[1]) : -1;
        char folder[4096], *name, *into;
        unsigned long reads = 0, accepted = 0, torn = 0, wanted;
        int64_t began = clock_boot(), end;
        size_t size;
        pid_t pid;

        if ((kind < 0 && !later) || argv[2][0] != '/' || reading_setup(NULL) < 0)
                errx(2, "torn KIND /PATH SIZE READS SECONDS [PAUSE_US [WITHOUT]]");
        (void) snprintf(folder, sizeof(folder), "%s", argv[2]);
        name = strrchr(folder, '/');
        *name++ = '\0';
        size = strtoul(argv[3], NULL, 10);
        wanted = strtoul(argv[4], NULL, 10);
        end = began + (int64_t) strtoul(argv[5], NULL, 10) * NSEC_PER_SEC;
        without = argc > 7 ? argv[7] : "";
        if (later)
                return later_stores(argv, folder, name, size, wanted);
        into = malloc(size + 1);
        if (!into)
                errx(2, "out of memory");
        pid = start_writer((WriterKind) kind, argv[2], size, argc > 6 ? (unsigned) strtoul(argv[6], NULL, 10) : 0);
        while (accepted < wanted && clock_boot() < end) {
                ssize_t n = read_once(folder, name, into, size);

                reads++;
                if (n < 0)
                        continue;
                accepted++;
                torn += writer_check((WriterKind) kind, into, (size_t) n, size) != NULL;
        }
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
        print_counts(argv, reads, accepted, torn, began);
        free(into);
        return torn > 0;
}
