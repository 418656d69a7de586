#include "watch/reading.h"

#include "util/clock.h"
#include "util/path.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Why fstat, read, fstat is not enough, and what each step is there for:
 *
 *   wait one tick     The kernel's time stamps move in steps. A change within the step of the stamp we saw would leave
 *                     the same stamp (4.2). So the stamp must be a step old before the read begins.
 *   fstat             The stamp that the bytes will be known by.
 *   SEEK_HOLE         write(2) sets the stamp at its start, then copies for as long as it takes. This call waits for
 *                     the inode's lock, so no write that began before our stamp is still under way (4.4). Any that
 *                     begins later changes the stamp. (Not for O_DIRECT, which writes under a shared lock.)
 *   sync_file_range   A store through mmap changes the stamp only if the page is clean (4.3). This cleans the pages, so
 *                     that a later store shows in the stamp. Before the fstat it would be of no use.
 *   read
 *   fstat, statx      Nothing happened to this file, and the path still is this file.
 *
 * If the file grew, or was changed so often that its stamp never was a step old, or lies where no page is ever clean
 * (tmpfs), the same bytes are read a second time, behind another SEEK_HOLE: two equal readings mean that the file began
 * with just these bytes at the instant between them. That it held no others is a question of its size at that instant:
 * who writes a longer text in the place of a shorter one leaves a beginning that never was a file. So the reading goes
 * on behind what the file has grown by, until a glance at its end finds as many bytes as were read. */

#define COARSE_STEP (2 * NSEC_PER_SEC) /* FAT; 1 s on ext4 with small inodes, and on some servers */
#define AGAIN_CHUNK ((size_t) 256 * 1024)

static EVP_MD *md_md5, *md_sha256;

static void fetch_digests(void) {
        /* "fips=no": MD5 here is a checksum that the service wants, not security. */
        md_md5 = EVP_MD_fetch(NULL, "MD5", "fips=no");
        md_sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
}

int reading_setup(Error *e) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        (void) pthread_once(&once, fetch_digests);
        if (!md_md5 || !md_sha256)
                return error_set(e, -ENOTSUP, ERROR_OS, ENOTSUP,
                                 "OpenSSL offers no %s here (is its default provider switched off?)",
                                 md_md5 ? "SHA-256" : "MD5");
        return 0;
}

static bool md_finish(EVP_MD_CTX *ctx, uint8_t ret[static 16]) {
        return ctx && EVP_DigestFinal_ex(ctx, ret, NULL) == 1;
}

static EVP_MD_CTX *md_begin(void) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        if (ctx && EVP_DigestInit_ex2(ctx, md_md5, NULL) != 1) {
                EVP_MD_CTX_free(ctx);
                return NULL;
        }
        return ctx;
}

static void failed(SourceAnswer *ret, int err, const char *doing, const char *path) {
        ret->read = SOURCE_UNREAD;
        look_errno(ret, err, doing, path);
}

/* What is at `offset`, data or a hole, and how far it goes. In doubt it is data. */
static void find_extent(Reading *f, uint64_t offset) {
        off_t data = lseek(f->fd, (off_t) offset, SEEK_DATA), end = -1;
        struct stat st;

        f->hole = data > (off_t) offset;
        if (f->hole)
                end = data;
        else if (data >= 0)
                end = lseek(f->fd, (off_t) offset, SEEK_HOLE);
        else if (errno == ENXIO && fstat(f->fd, &st) == 0) { /* nothing but a hole until its end; or it shrank */
                f->hole = st.st_size > (off_t) offset;
                end = st.st_size;
        }
        f->extent_end = end > (off_t) offset ? (uint64_t) end : UINT64_MAX;
}

/* Reads until `size` bytes are there or the file ends. Returns how many, or a negative errno. A hole that is filled
 * after it was found is a change like any other: it shows in the stamp, or in the second reading. */
static ssize_t read_at(Reading *f, char *data, size_t size, uint64_t offset) {
        size_t n = 0;

        while (n < size) {
                size_t part = size - n;
                ssize_t k;

                if (f->holes) {
                        if (offset + n >= f->extent_end)
                                find_extent(f, offset + n);
                        part = (size_t) MIN((uint64_t) part, f->extent_end - (offset + n));
                        if (f->hole) {
                                memset(data + n, 0, part);
                                n += part;
                                continue;
                        }
                }
                k = pread(f->fd, data + n, part, (off_t) (offset + n));
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                n += (size_t) k;
        }
        return (ssize_t) n;
}

/* ---- the steps before reading ---- */

/* How long until a time stamp is a step old; 0: it is. At most one step, even if it lies in the future: the clock was
 * set back, or a server's is ahead; either way it has moved on by a step when we have waited for one. */
static int64_t youth_of(int64_t stamp_ns, int64_t step) {
        int64_t age;

        if (__builtin_sub_overflow(clock_wall(), stamp_ns, &age)) /* clamped stamps of absurd years */
                return stamp_ns < 0 ? 0 : step;
        return age >= step ? 0 : step - MAX(age, INT64_C(0));
}

static int64_t youth(const Stamp *s, int64_t step) {
        int64_t m = youth_of(s->mtime_ns, step), c = youth_of(s->ctime_ns, step);

        return MAX(m, c);
}

/* The file system counts in seconds, and one of the stamps is of this moment. */
static bool is_young_and_coarse(const Stamp *s) {
        int64_t soon = clock_wall() + COARSE_STEP;

        return s->mtime_ns % NSEC_PER_SEC == 0 && s->ctime_ns % NSEC_PER_SEC == 0 &&
               ((s->mtime_ns < soon && youth_of(s->mtime_ns, COARSE_STEP) > 0) ||
                (s->ctime_ns < soon && youth_of(s->ctime_ns, COARSE_STEP) > 0));
}

/* This is the one place that sleeps: it is a few ms, and only for a file changed a moment ago. */
static void wait_ns(int64_t ns) {
        struct timespec left = { .tv_nsec = ns };

        assert(ns < NSEC_PER_SEC);
        while (nanosleep(&left, &left) < 0 && errno == EINTR)
                ;
}

/* Sets f->first to a stamp that is a step old, or f->restless, or f->coarse if that would take longer than we may wait
 * here. Returns 0 or a negative errno. */
static int wait_one_tick(Reading *f) {
        int64_t tick = clock_tick(), wait;
        Glance before = f->first;
        int r;

        f->coarse = is_young_and_coarse(&before.stamp);
        wait = f->coarse ? 0 : youth(&before.stamp, tick);
        if (wait == 0)
                return 0;
        wait_ns(wait);
        r = glance(f->fd, &f->first);
        if (r < 0)
                return r;
        f->restless = !glance_equal(&before, &f->first) && youth(&f->first.stamp, tick) > 0;
        return 0;
}

static void wait_for_writers(int fd) {
        /* Answers are of no interest, and not every file system knows the calls. The pages are clean once they are on
         * their way; waiting for them to arrive (WAIT_AFTER) took 300 to 600 us a file, this takes 45. */
        (void) lseek(fd, 0, SEEK_HOLE);
        (void) sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE);
}

/* From the O_PATH descriptor that was looked at, so that what is opened is what was seen to be a regular file. */
static int open_for_reading(const LookRoot *root, int path_fd, const char *path) {
        const int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
        char proc[64];
        int fd;

        (void) snprintf(proc, sizeof(proc), "/proc/self/fd/%d", path_fd);
        fd = open(proc, flags);
        if (fd >= 0)
                return fd;
        if (errno != ENOENT && errno != ENOTDIR)
                return -errno;
        return root_openat(root->fd, path, flags | O_NOFOLLOW); /* no /proc here */
}

/* True: f->fd is open, and bytes may be read. Else `ret` is the answer. */
bool reading_begin(Reading *f, const LookRoot *root, const char *path, uint64_t room, SourceAnswer *ret) {
        _cleanup_close_ int path_fd = -1;
        int r;

        look_at(root, path, ret, &path_fd, &f->first);
        if (ret->look != LOOK_REGULAR)
                return false;
        if (f->first.stamp.size > room)
                return false;
        f->fd = open_for_reading(root, path_fd, path);
        r = f->fd < 0 ? f->fd : glance(f->fd, &f->first);
        if (r < 0) {
                failed(ret, -r, "opening", path);
                return false;
        }
        if (!S_ISREG(f->first.stamp.mode) || f->first.mnt != root->mnt) { /* only without /proc: it was exchanged */
                ret->read = SOURCE_CHANGED;
                return false;
        }
        r = wait_one_tick(f);
        if (r < 0) {
                failed(ret, -r, "looking at", path);
                return false;
        }
        ret->stamp = look_stamp(root, &f->first);
        f->twice = root->fs->stores_hide;
        if (f->first.stamp.size > room)
                return false;
        f->md5 = md_begin();
        if (!f->md5) {
                failed(ret, ENOMEM, "reading", path);
                return false;
        }
        wait_for_writers(f->fd);
        ret->read = f->coarse ? SOURCE_CHANGED : SOURCE_UNREAD;
        return true;
}

/* ---- reading ---- */

ssize_t reading_take(Reading *f, char *to, size_t size, const char *path, SourceAnswer *ret) {
        ssize_t n = read_at(f, to, size, f->position);

        if (n < 0) {
                failed(ret, (int) -n, "reading", path);
                return n;
        }
        f->position += (uint64_t) n;
        f->cut = f->cut || (size_t) n < size;
        ret->read = f->cut ? SOURCE_CHANGED : SOURCE_WHOLE;
        return n;
}

bool reading_sum(Reading *f, const void *data, size_t size) {
        return EVP_DigestUpdate(f->md5, data, size) == 1;
}

bool reading_digests(const void *data, size_t size, uint8_t ret_sha256[static 32], uint8_t *ret_md5) {
        return EVP_Digest(data, size, ret_sha256, NULL, md_sha256, NULL) == 1 &&
               (!ret_md5 || EVP_Digest(data, size, ret_md5, NULL, md_md5, NULL) == 1);
}

bool reading_follow(Reading *f, uint64_t most) {
        Glance now;

        if (f->cut || f->met || f->position < f->first.stamp.size || glance(f->fd, &now) < 0)
                return false;
        f->met = now.stamp.size == f->position;
        if (now.stamp.size <= f->position || now.stamp.size > most)
                return false;
        f->first.stamp.size = now.stamp.size;
        f->grew = true;
        return true;
}

/* ---- the steps after reading ---- */

static bool path_is(const LookRoot *root, const char *path, const Glance *g) {
        _cleanup_close_ int fd = root_openat(root->fd, path, O_PATH | O_NOFOLLOW);
        Glance now;

        return fd >= 0 && glance(fd, &now) == 0 && glance_same_inode(&now, g);
}

/* Sets f->after, and the read of `ret`: WHOLE or CHANGED, and SOURCE_UNREAD if a second reading must tell. */
static int file_ask(Reading *f, const LookRoot *root, const char *path, SourceRead *ret) {
        int r;

        if (f->restless)
                wait_ns(youth(&f->first.stamp, clock_tick()));
        r = glance(f->fd, &f->after);
        if (r < 0)
                return r;
        f->met = f->met || f->after.stamp.size == f->position;
        if (f->cut || !f->met || f->position != f->first.stamp.size || f->after.stamp.size < f->first.stamp.size ||
            !glance_same_inode(&f->first, &f->after) || !path_is(root, path, &f->first))
                *ret = SOURCE_CHANGED;
        else if (!f->restless && !f->coarse && !f->grew && glance_equal(&f->first, &f->after))
                *ret = f->twice ? SOURCE_UNREAD : SOURCE_WHOLE;
        else if (f->restless || f->grew || f->after.stamp.size > f->first.stamp.size)
                *ret = SOURCE_UNREAD;
        else
                *ret = SOURCE_CHANGED;
        return 0;
}

/* Reads the same bytes again, up to `budget` of them. Returns 1: all; 0: not yet; or a negative errno. */
static int file_again(Reading *f, uint64_t budget) {
        _cleanup_free_ char *chunk = malloc(AGAIN_CHUNK);
        uint64_t left = f->position - f->again_position, until = f->again_position + MIN(budget, left);

        if (!chunk)
                return -ENOMEM;
        if (!f->again) {
                f->again = md_begin();
                if (!f->again)
                        return -ENOMEM;
                wait_for_writers(f->fd);
                f->extent_end = 0;
        }
        while (f->again_position < until) {
                size_t size = (size_t) MIN((uint64_t) AGAIN_CHUNK, until - f->again_position);
                ssize_t n = read_at(f, chunk, size, f->again_position);

                if (n < 0)
                        return (int) n;
                if (EVP_DigestUpdate(f->again, chunk, (size_t) n) != 1)
                        return -ENOMEM;
                f->again_position += (uint64_t) n;
                if ((size_t) n < size) /* it shrank: the sums will differ */
                        return 1;
        }
        return f->again_position == f->position;
}

static int file_compare(Reading *f, const uint8_t md5[static 16], SourceRead *ret) {
        uint8_t again[16];
        Glance last;
        int r;

        if (!md_finish(f->again, again))
                return -ENOMEM;
        r = glance(f->fd, &last);
        if (r < 0)
                return r;
        if (f->again_position != f->position || memcmp(again, md5, sizeof(again)) != 0 ||
            last.stamp.size < f->after.stamp.size)
                *ret = SOURCE_CHANGED;
        else if (!f->grew && glance_equal(&f->first, &last))
                *ret = SOURCE_WHOLE;
        else
                *ret = f->grew || last.stamp.size > f->first.stamp.size ? SOURCE_PREFIX : SOURCE_CHANGED;
        return 0;
}

bool reading_end(Reading *f, const LookRoot *root, const char *path, uint64_t budget, SourceAnswer *ret) {
        int r;

        if (!f->asked) {
                if (!md_finish(f->md5, ret->md5)) {
                        failed(ret, ENOMEM, "reading", path);
                        return true;
                }
                r = file_ask(f, root, path, &ret->read);
                if (r < 0) {
                        failed(ret, -r, "looking at", path);
                        return true;
                }
                if (ret->read != SOURCE_UNREAD)
                        return true;
                f->asked = true;
        }
        r = file_again(f, budget);
        if (r == 0)
                return false;
        if (r > 0)
                r = file_compare(f, ret->md5, &ret->read);
        if (r < 0)
                failed(ret, -r, "reading", path);
        return true;
}

void reading_done(Reading *f) {
        closep(&f->fd);
        EVP_MD_CTX_free(f->md5);
        EVP_MD_CTX_free(f->again);
}
