#include "writer.h"

#include <err.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define CHUNK ((size_t) 64 * 1024)
#define LINE_MOST 4000U
#define PAGE ((size_t) 4096)
#define SLOW_MS 60

volatile bool writer_stop;

typedef struct Writer {
        WriterKind kind;
        const char *path;
        size_t size;
        unsigned pause_us, seed;
        uint64_t version;
        uint64_t *words;    /* `size` bytes, aligned to a page */
        int fd;             /* append: of the log */
        int faults;         /* slow: tells of the missing page */
        uint64_t late[512]; /* slow: what belongs there */
} Writer;

int writer_kind(const char *name) {
        static const char *const names[_WRITERS] = { "write",  "chunks", "mmap",   "truncate",
                                                     "rename", "append", "direct", "slow" };

        for (int i = 0; i < _WRITERS; i++)
                if (strcmp(names[i], name) == 0)
                        return i;
        return -1;
}

bool writer_grows(WriterKind kind) {
        return kind == WRITER_APPEND;
}

static int open_or_die(const char *path, int flags) {
        int fd = open(path, flags | O_CLOEXEC, 0644);

        if (fd < 0)
                err(1, "%s", path);
        return fd;
}

static void write_all(int fd, const void *data, size_t size, size_t at) {
        for (size_t n = 0; n < size;) {
                ssize_t k = pwrite(fd, (const char *) data + n, size - n, (off_t) (at + n));

                if (k <= 0)
                        err(1, "pwrite");
                n += (size_t) k;
        }
}

static void write_chunks(int fd, const void *data, size_t size) {
        for (size_t n = 0; n < size; n += CHUNK)
                write_all(fd, (const char *) data + n, MIN(CHUNK, size - n), n);
}

/* --- a page of the source that is not there yet --- */

static char *late_page(const Writer *w) {
        return (char *) w->words + w->size / 2 / PAGE * PAGE;
}

static void *bring_late_page(void *userdata) {
        const struct timespec slow = { .tv_nsec = SLOW_MS * 1000000L };
        Writer *w = userdata;
        struct uffd_msg msg;

        while (read(w->faults, &msg, sizeof(msg)) == (ssize_t) sizeof(msg)) {
                struct uffdio_copy copy = { .dst = (uintptr_t) late_page(w), .src = (uintptr_t) w->late, .len = PAGE };

                (void) nanosleep(&slow, NULL);
                if (ioctl(w->faults, UFFDIO_COPY, &copy) < 0)
                        err(1, "UFFDIO_COPY");
        }
        return NULL;
}

static void watch_late_page(Writer *w) {
        struct uffdio_api api = { .api = UFFD_API };
        struct uffdio_register reg = { .range = { .start = (uintptr_t) late_page(w), .len = PAGE },
                                       .mode = UFFDIO_REGISTER_MODE_MISSING };
        pthread_t id;

        w->faults = (int) syscall(SYS_userfaultfd, O_CLOEXEC);
        if (w->faults < 0)
                err(3, "userfaultfd"); /* root alone may have the kernel wait */
        if (ioctl(w->faults, UFFDIO_API, &api) < 0 || ioctl(w->faults, UFFDIO_REGISTER, &reg) < 0 ||
            pthread_create(&id, NULL, bring_late_page, w) != 0)
                err(1, "userfaultfd");
}

static void fill(Writer *w) {
        size_t late = SIZE_MAX;

        w->version++;
        if (w->kind == WRITER_SLOW) {
                if (w->faults < 0)
                        watch_late_page(w);
                if (madvise(late_page(w), PAGE, MADV_DONTNEED) < 0)
                        err(1, "madvise");
                late = w->size / 2 / PAGE;
        }
        for (size_t i = 0; i < w->size / sizeof(*w->words); i++)
                (i / ELEMENTSOF(w->late) == late ? w->late + i % ELEMENTSOF(w->late) : w->words + i)[0] =
                        (w->version << 32) + i;
}

static void pause_a_little(Writer *w) {
        struct timespec t;
        unsigned us;

        if (w->pause_us == 0)
                return;
        us = (unsigned) rand_r(&w->seed) % w->pause_us;
        t = (struct timespec){ .tv_sec = us / 1000000, .tv_nsec = (long) (us % 1000000) * 1000 };
        (void) nanosleep(&t, NULL);
}

static void write_version(Writer *w, int more_flags) {
        _cleanup_close_ int fd = open_or_die(w->path, O_WRONLY | O_CREAT | more_flags);

        if (w->kind == WRITER_CHUNKS || w->kind == WRITER_MMAP || w->kind == WRITER_TRUNCATE)
                write_chunks(fd, w->words, w->size);
        else
                write_all(fd, w->words, w->size, 0);
}

static void rename_version(Writer *w) {
        char temporary[4096];
        Writer other = *w;

        (void) snprintf(temporary, sizeof(temporary), "%s.tmp", w->path);
        other.path = temporary;
        write_version(&other, O_TRUNC);
        if (rename(temporary, w->path) < 0)
                err(1, "rename");
}

static void store_version(Writer *w, uint64_t *map) {
        for (size_t i = 0; i < w->size / sizeof(*map); i++)
                ((volatile uint64_t *) map)[i] = w->words[i];
}

static void append_line(Writer *w, size_t *at) {
        size_t n = *at == 0 ? w->size / 2 : 1 + (unsigned) rand_r(&w->seed) % LINE_MOST;

        if (*at + n > w->size) /* as long as it may get */
                return;
        write_all(w->fd, (const char *) w->words + *at, n, *at);
        *at += n;
}

static void *map_first_version(Writer *w) {
        _cleanup_close_ int fd = -1;
        void *map;

        write_version(w, O_TRUNC);
        fd = open_or_die(w->path, O_RDWR); /* closed before the mapping goes: CLOSE_WRITE comes at munmap (1) */
        map = mmap(NULL, w->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
                err(1, "mmap");
        return map;
}

void writer_run(WriterKind kind, const char *path, size_t size, unsigned pause_us, void (*ready)(void)) {
        Writer w = {
                .kind = kind, .path = path, .size = size, .pause_us = pause_us, .seed = 1, .fd = -1, .faults = -1
        };
        uint64_t *map = NULL;
        size_t at = 0;

        w.words = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (w.words == MAP_FAILED)
                err(1, "mmap");
        if (kind == WRITER_APPEND) {
                for (size_t i = 0; i < size / sizeof(*w.words); i++)
                        w.words[i] = i; /* of version 0 */
                w.fd = open_or_die(path, O_WRONLY | O_CREAT | O_TRUNC);
                append_line(&w, &at);
        } else {
                fill(&w);
                if (kind == WRITER_MMAP)
                        map = map_first_version(&w);
                else
                        write_version(&w, O_TRUNC);
        }
        if (ready)
                ready();
        while (!writer_stop) {
                pause_a_little(&w);
                if (kind == WRITER_APPEND) {
                        append_line(&w, &at);
                        continue;
                }
                fill(&w);
                if (kind == WRITER_MMAP)
                        store_version(&w, map);
                else if (kind == WRITER_RENAME)
                        rename_version(&w);
                else
                        write_version(&w, kind == WRITER_DIRECT ? O_DIRECT : kind == WRITER_TRUNCATE ? O_TRUNC : 0);
        }
        if (map)
                (void) munmap(map, size);
        closep(&w.fd);
        (void) munmap(w.words, size);
}

const char *writer_check(WriterKind kind, const void *data, size_t size, size_t full) {
        const char *bytes = data;
        bool may_mix = kind == WRITER_CHUNKS || kind == WRITER_MMAP;
        uint64_t version = 0, word;

        if (kind != WRITER_APPEND && kind != WRITER_TRUNCATE && size != full)
                return "not of its length";
        if (kind != WRITER_APPEND && size >= sizeof(word)) {
                memcpy(&word, bytes, sizeof(word));
                version = word >> 32;
        }
        for (size_t i = 0; i < size / sizeof(word); i++) {
                memcpy(&word, bytes + i * sizeof(word), sizeof(word));
                if (word == (version << 32) + i)
                        continue;
                if (!may_mix || word != ((version - 1) << 32) + i)
                        return "of two versions";
                may_mix = false;
                version--;
        }
        word = (version << 32) + size / sizeof(word);
        if (memcmp(bytes + size / sizeof(word) * sizeof(word), &word, size % sizeof(word)) != 0)
                return "wrong in its last bytes";
        return NULL;
}
