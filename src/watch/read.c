#include "watch/read.h"

#include "chunk/crc64.h"
#include "chunk/cut.h"
#include "watch/reading.h"

#include <stdio.h>
#include <string.h>

#define FOLLOW_MOST 64u /* glances at the end per call: a log written without any pause moves on every time */
#define AGAIN_STEP (UINT64_C(32) * 1024 * 1024) /* per call of read_file_finish(): a fraction of a second */
#define PIECE ((size_t) 256 * 1024)             /* read, then looked through for a cut while it is in the caches */

struct ReadFile {
        RootId pinned;
        Reading reading;
        uint64_t most; /* bytes that an answer by blocks may have: twice as many as at first */
        Cutter cutter;
        char *rest; /* read, and behind the last cut */
        size_t rest_size;
        SourceAnswer zeros; /* the last block of nothing but zeros: a sparse file has thousands of them */
        bool ended;
        SourceAnswer answer;
        char *path;    /* points behind `folder` */
        char folder[]; /* NUL-terminated */
};

static void failed(SourceAnswer *ret, int err, const char *path) {
        ret->read = SOURCE_UNREAD;
        look_errno(ret, err, "reading", path);
}

void read_look(const char *folder, const RootId *pinned, const char *path, SourceAnswer *ret) {
        _cleanup_close_ int fd = -1;
        _cleanup_(look_leave) LookRoot root = LOOK_ROOT_NULL;
        Glance g;

        *ret = (SourceAnswer){ .look = LOOK_UNKNOWN };
        if (!look_enter(&root, folder, pinned, ret))
                return;
        look_at(&root, path, ret, &fd, &g);
}

/* If the file grows while it is read, it is followed until it is `room` bytes long. NULL: failed. */
static char *whole_bytes(Reading *f, size_t room, const char *path, SourceAnswer *ret) {
        _cleanup_free_ char *data = NULL;
        unsigned glances = 0;

        do {
                uint64_t left = f->first.stamp.size - MIN(f->position, f->first.stamp.size);
                size_t size = (size_t) MIN((uint64_t) (room - ret->size), left);
                char *larger = realloc(data, MAX(ret->size + size, (size_t) 1));
                ssize_t n = -1;

                if (larger) {
                        data = larger;
                        n = reading_take(f, data + ret->size, size, path, ret);
                        if (n < 0)
                                return NULL;
                }
                if (!larger || !reading_sum(f, data + ret->size, (size_t) n)) {
                        failed(ret, ENOMEM, path);
                        return NULL;
                }
                ret->size += (size_t) n;
        } while (glances++ < FOLLOW_MOST && reading_follow(f, room) && ret->size < room);
        ret->stamp.size = f->first.stamp.size;
        return TAKE_PTR(data);
}

void read_whole(const char *folder, const RootId *pinned, const char *path, size_t room, SourceAnswer *ret,
                char **ret_data) {
        _cleanup_(reading_done) Reading f = READING_NULL;
        _cleanup_free_ char *data = NULL;
        _cleanup_(look_leave) LookRoot root = LOOK_ROOT_NULL;

        *ret = (SourceAnswer){ .look = LOOK_UNKNOWN };
        if (!look_enter(&root, folder, pinned, ret))
                return;
        if (reading_begin(&f, &root, path, room, ret)) {
                data = whole_bytes(&f, room, path, ret);
                if (data)
                        (void) reading_end(&f, &root, path, UINT64_MAX, ret);
                if (ret->look == LOOK_REGULAR)
                        *ret_data = TAKE_PTR(data);
        }
}

/* --- by blocks --- */

ReadFile *read_file_new(const char *folder, const RootId *pinned, const char *path) {
        size_t n = strlen(folder) + 1, m = strlen(path) + 1;
        ReadFile *f = calloc(1, sizeof(*f) + n + m);

        if (!f)
                return NULL;
        f->reading = READING_NULL;
        f->pinned = *pinned;
        memcpy(f->folder, folder, n);
        f->path = f->folder + n;
        memcpy(f->path, path, m);
        return f;
}

ReadFile *read_file_free(ReadFile *f) {
        if (f) {
                reading_done(&f->reading);
                free(f->rest);
                free(f);
        }
        return NULL;
}

void read_file_open(ReadFile *f, SourceAnswer *ret) {
        _cleanup_(look_leave) LookRoot root = LOOK_ROOT_NULL;

        *ret = (SourceAnswer){ .look = LOOK_UNKNOWN };
        if (!look_enter(&root, f->folder, &f->pinned, ret))
                return;
        (void) reading_begin(&f->reading, &root, f->path, UINT64_MAX, ret);
        f->reading.holes = root.fs->knows_holes;
        f->most = 2 * MIN(f->reading.first.stamp.size, (uint64_t) INT64_MAX);
        f->answer = (SourceAnswer){ .look = ret->look, .stamp = ret->stamp };
}

/* Reads on behind the `have` bytes in `data` until a block's end is found, or the file's. Returns the block's length;
 * negative: failed. */
static ssize_t find_cut(ReadFile *f, char *data, size_t *have, SourceAnswer *ret) {
        Reading *r = &f->reading;
        unsigned glances = 0;
        size_t fed = 0;

        for (;;) {
                uint64_t left = r->first.stamp.size - MIN(r->position, r->first.stamp.size);
                ssize_t n;

                if (fed < *have) {
                        size_t size = MIN(*have - fed, PIECE), length = cutter_feed(&f->cutter, data + fed, size);

                        if (length > 0)
                                return (ssize_t) length;
                        fed += size;
                        continue;
                }
                if (r->cut || left == 0) {
                        if (glances++ < FOLLOW_MOST && reading_follow(r, f->most))
                                continue;
                        return (ssize_t) *have;
                }
                n = reading_take(r, data + *have,
                                 (size_t) MIN(MIN(left, (uint64_t) PIECE), f->cutter.cuts.maximum - *have), f->path,
                                 ret);
                if (n < 0)
                        return n;
                *have += (size_t) n;
        }
}

static bool is_zeros(const char *data, size_t size) {
        return size > 0 && data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

static void copy_sums(SourceAnswer *to, const SourceAnswer *from) {
        to->crc64 = from->crc64;
        memcpy(to->sha256, from->sha256, sizeof(to->sha256));
        memcpy(to->md5, from->md5, sizeof(to->md5));
}

/* Of a block of ret->size bytes. False: out of memory. */
static bool sum_block(ReadFile *f, const char *data, bool md5, SourceAnswer *ret) {
        bool zeros = is_zeros(data, ret->size);

        if (zeros && f->zeros.size == ret->size) {
                copy_sums(ret, &f->zeros);
                return true;
        }
        ret->crc64 = crc64(0, data, ret->size);
        if (!reading_digests(data, ret->size, ret->sha256, md5 ? ret->md5 : NULL))
                return false;
        if (zeros) {
                f->zeros.size = ret->size;
                copy_sums(&f->zeros, ret);
        }
        return true;
}

static bool keep_rest(ReadFile *f, const char *data, size_t size) {
        if (size == 0)
                return true;
        f->rest = malloc(size);
        if (!f->rest)
                return false;
        memcpy(f->rest, data, size);
        f->rest_size = size;
        return true;
}

void read_file_block(ReadFile *f, const Cuts *cuts, bool md5, SourceAnswer *ret, char **ret_data) {
        _cleanup_free_ char *data = NULL, *rest = TAKE_PTR(f->rest);
        size_t have = f->rest_size;
        uint64_t room;
        ssize_t length;
        char *fitting;

        *ret = f->answer;
        ret->end = f->ended;
        f->rest_size = 0; /* with `rest`, be it that what follows fails: the next block may be on its way already */
        if (f->ended) {
                ret->read = SOURCE_WHOLE;
                return;
        }
        if (!f->reading.md5) {
                failed(ret, EBADF, f->path);
                return;
        }
        cutter_init(&f->cutter, cuts);
        room = have + (f->most - MIN(f->reading.position, f->most));
        data = malloc(MAX((size_t) MIN((uint64_t) cuts->maximum, room), (size_t) 1));
        if (!data) {
                failed(ret, ENOMEM, f->path);
                return;
        }
        if (have > 0)
                memcpy(data, rest, have);
        length = find_cut(f, data, &have, ret);
        if (length < 0)
                return;
        ret->size = (size_t) length;
        ret->read = f->reading.cut ? SOURCE_CHANGED : SOURCE_WHOLE;
        if (!sum_block(f, data, md5, ret) || !keep_rest(f, data + ret->size, have - ret->size)) {
                failed(ret, ENOMEM, f->path);
                return;
        }
        ret->end = f->ended =
                f->rest_size == 0 && (f->reading.cut || f->reading.position == f->reading.first.stamp.size);
        ret->stamp.size = f->answer.stamp.size = f->reading.first.stamp.size;
        fitting = realloc(data, MAX(ret->size, (size_t) 1)); /* gives back what the cut left over */
        *ret_data = fitting ? fitting : data;
        data = NULL;
}

bool read_file_sum(ReadFile *f, const void *data, size_t size) {
        return reading_sum(&f->reading, data, size);
}

bool read_file_finish(ReadFile *f, SourceAnswer *ret) {
        _cleanup_(look_leave) LookRoot root = LOOK_ROOT_NULL;

        *ret = f->answer;
        if (!f->reading.md5) {
                failed(ret, EBADF, f->path);
                return true;
        }
        if (!f->reading.asked && !look_enter(&root, f->folder, &f->pinned, ret))
                return true;
        if (reading_end(&f->reading, &root, f->path, AGAIN_STEP, ret))
                return true;
        memcpy(f->answer.md5, ret->md5, sizeof(ret->md5)); /* of the first reading: goes from call to call */
        return false;
}
