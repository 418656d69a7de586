/* Hard links: a change through one name of a file is reported for that name alone (pitfalls 5.4), or found by the scan
 * of one folder. So what a job has seen of its file is told to those of its names that have not seen it: by their last
 * look, which their rows remember. No two names can wake each other for ever, since a look is all that a name is woken
 * for. Those that a look is ahead of anyway, or that no file has any more, are left as they are, but are as old as the
 * change: their blobs are behind it as long as theirs is (promise 3). */
#include "sync/state.h"

#include "util/clock.h"

#include <string.h>

/* The first so many are told, and if there are more as many that come after this one, which tell those after them. */
#define NAMES_MOST 256u
#define LOOKS_MOST 2u

typedef struct Names Names;
/* `other`: its job, whose row then says what it has seen; NULL: none. */
typedef int (*JudgeFn)(Names *n, const Row *row, const Job *other);

struct Names {
        const Job *job;
        const Stamp *file;
        bool content; /* their stamp may not tell what they have not seen */
        JudgeFn judge;
        Buf stale, behind; /* paths, each ended by NUL: to be woken; to be made as old */
        bool overtaken, found;
        unsigned rows; /* of names that were read */
};

static int add(Buf *names, const Row *row) {
        return buf_append(names, row->path, row->path_size + 1);
}

/* Another birth: another file, in another subvolume or before this one. 0: nobody has noted it. */
static bool is_file(const Names *n, const Stamp *stamp) {
        return stamp->ino == n->file->ino && (stamp->btime_ns == n->file->btime_ns || n->file->btime_ns == 0);
}

static int on_row(const Row *row, void *userdata) {
        Names *n = userdata;
        const Job *other = row->state == PATH_CLAIMED ? jobs_at(n->job->mapping, row->path) : NULL;

        n->rows++;
        if (!row->confirmed || !is_file(n, &row->stamp) || strcmp(row->path, n->job->row.path) == 0)
                return 0;
        n->found = true;
        return n->judge(n, other ? &other->row : row, other);
}

/* A new name, which is not confirmed as one of the file's yet. */
static bool is_new(const Names *n, const Job *other) {
        return other != n->job && !other->unlooked && is_file(n, &other->stamp) &&
               !(other->row.confirmed && is_file(n, &other->row.stamp));
}

static void wake(const Names *n, Buf *names, bool look) {
        Mapping *m = n->job->mapping;

        for (size_t at = 0; at < names->size; at += strlen(names->data + at) + 1)
                if (look)
                        mapping_hint(m, names->data + at, n->content, clock_boot(), n->job->row.first);
                else
                        mapping_age(m, names->data + at, n->content, n->job->row.first);
        buf_done(names);
}

static Names tell(const Job *job, const Stamp *file, bool content, JudgeFn judge) {
        Names n = { .job = job, .file = file, .content = content, .judge = judge };
        const Mapping *m = job->mapping;
        Journal *j = m->sync->journal;
        int r;

        n.stale = n.behind = BUF_INIT(1 << 20);
        r = journal_by_inode(j, m->record.id, file->ino, "", NAMES_MOST, on_row, &n, NULL);
        if (n.rows == NAMES_MOST && r >= 0)
                r = journal_by_inode(j, m->record.id, file->ino, job->row.path, NAMES_MOST, on_row, &n, NULL);
        if (r >= 0)
                for (const Job *other = NULL; (other = jobs_of_inode(m, file->ino, other));)
                        if (is_new(&n, other) && judge(&n, &other->row, other) < 0)
                                break;
        wake(&n, &n.stale, true);
        wake(&n, &n.behind, false);
        return n;
}

/* Two changes within one tick of the clock leave the same ctime, but size or mtime tells (4.1). */
static bool saw_it(const Names *n, const Row *row, const Job *other) {
        const Stamp *seen = other ? &other->stamp : row->state == PATH_CLEAN ? &row->stamp : NULL;

        return !seen || (seen->size == n->file->size && seen->mtime_ns == n->file->mtime_ns);
}

/* It is about to look anyway. */
static bool looks(const Row *row, const Job *other) {
        return row->state == PATH_PENDING || (other && other->unlooked);
}

/* Another file stands there now. */
static bool has_left(const Names *n, const Row *row) {
        return (row->state == PATH_CLEAN ? row->stamp.ino : row->seen_ino) != n->file->ino;
}

static int add_behind(Names *n, const Row *row) {
        return row->state == PATH_SKIPPED ? 0 : add(&n->behind, row);
}

static int judge_look(Names *n, const Row *row, const Job *other) {
        if (looks(row, other) || has_left(n, row))
                return add_behind(n, row);

        int64_t seen = row->state == PATH_CLEAN ? row->stamp.ctime_ns : row->seen_ctime;

        if (seen == n->file->ctime_ns && saw_it(n, row, other))
                return 0;
        /* It has seen a later state than we have: another look of ours settles that, for it comes after the other's. If
         * it does not, the clock was set back: then it is woken. */
        if (seen > n->file->ctime_ns && n->job->row.attempts < LOOKS_MOST) {
                n->overtaken = true;
                return 0;
        }
        return add(&n->stale, row);
}

/* What is the last state of a file that is no longer here can only be seen under its other names. */
static int judge_former(Names *n, const Row *row, const Job *other) {
        if (other && looks(row, other)) /* it may have looked, and its answer be on the way */
                return add(&n->stale, row);
        return looks(row, other) || has_left(n, row) ? add_behind(n, row) : add(&n->stale, row);
}

bool links_hint(Job *job) {
        Names n = { 0 };

        if (job->stamp.ino != 0)
                n = tell(job, &job->stamp, false, judge_look);
        job->unmoved = !n.found;
        return n.overtaken;
}

/* Events are told some time after they happen: that of a write may be still to come when its file has been replaced,
 * and this look, for another reason, finds the next one. Where there is none the confirmed file is remembered until
 * then. */
void links_former(Job *job) {
        const Row *row = &job->row;
        uint64_t here = job->look == LOOK_REGULAR ? job->stamp.ino : 0;

        if (row->confirmed && row->stamp.ino != 0 && row->seen_ino == row->stamp.ino && row->stamp.ino != here &&
            (row->content || here != 0))
                (void) tell(job, &row->stamp, row->content, judge_former);
        if (row->due_ino != 0 && row->due_ino != here) /* it was met, and not stored yet */
                (void) tell(job, &(Stamp){ .ino = row->due_ino }, row->content, judge_former);
}

/* The same stamp, and other bytes: a store through a mapping need not move it (4.3). */
static int judge_bytes(Names *n, const Row *row, const Job *other) {
        const Job *job = n->job;
        bool read = other && other->have_bytes;

        if ((!read && !(row->confirmed && row->has_md5)) ||
            !stamp_equal(read ? &other->stamp : &row->stamp, &job->stamp) ||
            memcmp(read ? other->md5 : row->md5, job->md5, sizeof(job->md5)) == 0)
                return 0;
        return other || row->state == PATH_CLEAN ? add(&n->stale, row) : add(&n->behind, row);
}

void links_read(Job *job) {
        if (job->have_bytes && !job->fuzzy && job->stamp.nlink > 1 && job->stamp.ino != 0)
                (void) tell(job, &job->stamp, true, judge_bytes);
}
