/* Hard links: a change through one name of a file is reported for that name alone (pitfalls 5.4), or found by the scan
 * of one folder. So a job wakes those names of its file which have not seen what it has seen. Names that have, or will,
 * are left alone: two of them, each told of its own event, would wake each other for ever. */
#include "sync/state.h"

#include "util/clock.h"

#include <string.h>

#define NAMES_MOST 256u
#define LOOKS_MOST 2u

typedef struct Names {
        const Job *job;
        Buf stale; /* paths, each ended by NUL */
        bool overtaken;
} Names;

static int on_name(const Row *row, void *userdata) {
        Names *n = userdata;
        const Job *job = n->job, *other = NULL;
        const Stamp *seen = &row->stamp; /* by the job that confirmed it */

        if (!row->confirmed || strcmp(row->path, job->row.path) == 0 || row->stamp.btime_ns != job->stamp.btime_ns)
                return 0; /* another birth: another file, in another subvolume or before this one */
        /* Its deletion waits, or was rejected. Either no file stood there, so it is no name of this one: should it
         * become one, the name itself is told of, and what is saved under the others must not put the deletion off, for
         * ever if it is often. Or the file was emptied (5.9): that is to be told when it is not any more. */
        if ((row->state == PATH_GONE || row->state == PATH_HELD || row->state == PATH_SKIPPED) &&
            (!row->reason[0] || job->stamp.size == 0))
                return 0;
        /* It was looked at as this very file, and its blob is what stopped it: that waits for a person, its own news or
         * the next scan. Two such names would wake each other for ever. */
        if ((row->state == PATH_FAILED || row->state == PATH_CONFLICT) && row->seen_ino == job->stamp.ino)
                return 0;
        if (row->state == PATH_CLAIMED)
                other = jobs_at(job->mapping, row->path);
        /* Its own look is still to come, and cannot stop at a stamp that differs from ours; or it found no file. */
        if (row->state == PATH_PENDING || (other && (other->unlooked || other->look != LOOK_REGULAR)))
                return 0;
        if (other)
                seen = &other->stamp;
        if (stamp_equal(seen, &job->stamp))
                return 0;
        /* It has seen a later state than we have: another look of ours settles that, for it comes after the other's. If
         * it does not, the clock was set back, or the inode's number means another file there: then it is woken. */
        if (seen->ino == job->stamp.ino && seen->ctime_ns > job->stamp.ctime_ns && job->row.attempts < LOOKS_MOST) {
                n->overtaken = true;
                return 0;
        }
        return buf_append(&n->stale, row->path, row->path_size + 1);
}

/* Of the file that stood here when the job's path was confirmed. */
static int on_former(const Row *row, void *userdata) {
        Names *n = userdata;
        const Job *job = n->job;

        if (!row->confirmed || strcmp(row->path, job->row.path) == 0 ||
            row->stamp.btime_ns != job->row.stamp.btime_ns || (row->state != PATH_CLEAN && row->state != PATH_CLAIMED))
                return 0;
        return buf_append(&n->stale, row->path, row->path_size + 1);
}

static void wake(Names *n, bool content) {
        const Job *job = n->job;

        for (size_t at = 0; at < n->stale.size; at += strlen(n->stale.data + at) + 1)
                mapping_hint(job->mapping, n->stale.data + at, content, clock_boot(), job->row.first);
        buf_done(&n->stale);
}

/* New names, of which nothing is confirmed yet: their jobs. */
static bool is_new(const Job *other, const Stamp *file) {
        return !other->row.confirmed && !other->unlooked && other->look == LOOK_REGULAR &&
               other->stamp.ino == file->ino && other->stamp.btime_ns == file->btime_ns;
}

void links_former(Job *job) {
        Names n = { .job = job, .stale = BUF_INIT(1 << 20) };
        const Stamp *file = &job->row.stamp;
        Mapping *m = job->mapping;

        /* was_gone, kept: it was found gone before, and they were told then */
        if (!job->row.confirmed || !job->row.content || job->was_gone || job->row.kept || job->rounds > 0 ||
            file->ino == 0 || (job->look == LOOK_REGULAR && job->stamp.ino == file->ino))
                return;
        if (journal_by_inode(m->sync->journal, m->record.id, file->ino, NAMES_MOST, on_former, &n, NULL) >= 0)
                for (const Job *other = m->jobs; other; other = other->next)
                        if (other != job && is_new(other, file) &&
                            buf_append(&n.stale, other->row.path, other->row.path_size + 1) < 0)
                                break;
        wake(&n, true);
}

/* The same stamp, and other bytes: a store through a mapping need not move it (4.3). */
static bool is_unstamped(const Job *job, const Job *other, const Row *row) {
        if (other && other->have_bytes)
                return stamp_equal(&other->stamp, &job->stamp) && memcmp(other->md5, job->md5, sizeof(job->md5)) != 0;
        return row->confirmed && row->has_md5 && stamp_equal(&row->stamp, &job->stamp) &&
               memcmp(row->md5, job->md5, sizeof(job->md5)) != 0;
}

static int on_same_stamp(const Row *row, void *userdata) {
        Names *n = userdata;
        const Job *job = n->job;

        if (strcmp(row->path, job->row.path) == 0 || (row->state == PATH_PENDING && row->content) ||
            (row->state != PATH_CLEAN && row->state != PATH_PENDING) || !is_unstamped(job, NULL, row))
                return 0;
        return buf_append(&n->stale, row->path, row->path_size + 1);
}

void links_stored(Job *job) {
        Names n = { .job = job, .stale = BUF_INIT(1 << 20) };
        Mapping *m = job->mapping;

        if (!job->have_bytes || job->fuzzy || job->stamp.nlink < 2 || job->stamp.ino == 0)
                return;
        if (journal_by_inode(m->sync->journal, m->record.id, job->stamp.ino, NAMES_MOST, on_same_stamp, &n, NULL) >= 0)
                for (const Job *other = m->jobs; other; other = other->next)
                        if (other != job && is_unstamped(job, other, &other->row) &&
                            buf_append(&n.stale, other->row.path, other->row.path_size + 1) < 0)
                                break;
        wake(&n, true);
}

bool links_hint(Job *job) {
        Names n = { .job = job, .stale = BUF_INIT(1 << 20) };
        Mapping *m = job->mapping;

        if (job->stamp.nlink < 2 || job->stamp.ino == 0)
                return false;
        if (journal_by_inode(m->sync->journal, m->record.id, job->stamp.ino, NAMES_MOST, on_name, &n, NULL) >= 0)
                for (const Job *other = m->jobs; other; other = other->next)
                        if (is_new(other, &job->stamp) && other->stamp.ctime_ns <= job->stamp.ctime_ns &&
                            !stamp_equal(&other->stamp, &job->stamp) &&
                            buf_append(&n.stale, other->row.path, other->row.path_size + 1) < 0)
                                break;
        wake(&n, false);
        return n.overtaken;
}
