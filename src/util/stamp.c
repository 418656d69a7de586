#include "util/stamp.h"

#include "util/clock.h"

static int64_t timestamp_ns(const struct statx_timestamp *t) {
        int64_t ns;

        /* years beyond 2262 exist on some file systems: clamp rather than overflow */
        if (__builtin_mul_overflow((int64_t) t->tv_sec, NSEC_PER_SEC, &ns) ||
            __builtin_add_overflow(ns, (int64_t) t->tv_nsec, &ns))
                return t->tv_sec < 0 ? INT64_MIN : INT64_MAX;
        return ns;
}

void stamp_from_statx(Stamp *ret, const struct statx *stx) {
        *ret = (Stamp){
                .size = stx->stx_size,
                .mtime_ns = timestamp_ns(&stx->stx_mtime),
                .ctime_ns = timestamp_ns(&stx->stx_ctime),
                .btime_ns = stx->stx_mask & STATX_BTIME ? timestamp_ns(&stx->stx_btime) : 0,
                .ino = stx->stx_ino,
                .mode = stx->stx_mode,
                .uid = stx->stx_uid,
                .gid = stx->stx_gid,
                .nlink = stx->stx_nlink,
        };
}

bool stamp_equal(const Stamp *a, const Stamp *b) {
        return a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns &&
               a->btime_ns == b->btime_ns && a->ino == b->ino && stamp_metadata_equal(a, b);
}

bool stamp_moved(const Stamp *a, const Stamp *b) {
        return a->ino != 0 && a->ino == b->ino && a->btime_ns == b->btime_ns && a->size == b->size &&
               a->mtime_ns == b->mtime_ns;
}

bool stamp_metadata_equal(const Stamp *a, const Stamp *b) {
        return a->mtime_ns == b->mtime_ns && a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}
