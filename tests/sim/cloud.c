/* The invariants of pitfalls 12, second half: of each write and each deletion that the service sees, and of all of it
 * at the end. */
#include "sim.h"

#include "sync/state.h"
#include "util/clock.h"

#include <inttypes.h>
#include <string.h>

#define STALE (3 * SECOND) /* less than delete-delay: another look must have come since */
#define COUNTED_MAX 256

static int64_t counted[COUNTED_MAX]; /* wall ns of deletions that nobody approved */
static unsigned n_counted;
static int64_t clock_jumped;

void check_clock_jumped(void) {
        n_counted = 0;
        clock_jumped = now();
}

void check_rebuilt(void) {
        world.pinned = false;
        n_counted = 0; /* the window is lost with it, and so is what was held or rejected */
        for (Path *p = path_each(NULL); p; p = path_each(p))
                p->held = p->rejected = p->kept = false;
}

void cloud_begin(void) {
        n_counted = 0;
        clock_jumped = 0;
}

/* Its bytes are safe under another name. */
static bool moved(const Blob *b) {
        for (unsigned i = 0; i < service.n; i++) {
                const Blob *other = &service.blobs[i];

                if (other != b && other->there && strcmp(other->name, b->name) != 0 &&
                    content_hash(&other->content) == content_hash(&b->content))
                        return true;
        }
        return false;
}

/* A rename: the end of its old name is no deletion. */
void check_copied(const Blob *from) {
        Path *p = path_of_blob(from->name);

        if (p)
                p->moved = true;
}

/* The brake (7.4): within an hour no more than this many go unasked. */
static void count_deletion(Path *p, const Blob *before) {
        unsigned n = 0;

        if (p->approved || p->moved || moved(before))
                return;
        if (p->held && !before->ghost) /* a late write's: not the one that is held */
                fail("held", "%s was held, nobody approved it, and its blob is gone", p->name);
        if (p->rejected)
                fail("rejected", "%s was rejected, and its blob is gone all the same", p->name);
        if (n_counted == COUNTED_MAX)
                return;
        SAY("guard: the deletion of %s counts", p->name);
        counted[n_counted++] = wall();
        for (unsigned i = 0; i < n_counted; i++)
                n += counted[i] > wall() - 59 * MINUTE;
        if (n > settings.guard_files)
                fail("guard", "%u deletions within an hour, %u are allowed: %s", n, settings.guard_files, p->name);
}

static bool theirs(const Blob *b) {
        return b->there && b->stranger && !settings.overwrite;
}

void check_written(const Blob *before, const Blob *b) {
        Path *p = path_of_blob(b->name);
        uint8_t md5[16];

        if (!p) {
                fail("outside", "%s is written, which is not below the prefix", b->name);
                return;
        }
        if (theirs(before) && content_hash(&before->content) != content_hash(&b->content))
                fail("stranger", "somebody else's %s is overwritten", b->name);
        if (!b->fuzzy && !hash_was_real(content_hash(&b->content)))
                fail("torn", "%s is no state that its file ever had", b->name);
        content_md5(&b->content, md5);
        if (b->has_md5 && memcmp(b->md5, md5, sizeof(md5)) != 0)
                fail("md5", "%s bears the MD5 of other bytes", b->name);
        if (b->content.total == 0 && before->there && before->content.total > 0)
                count_deletion(p, before);
        if (tree_entry(p->name))
                tree_entry(p->name)->stored = true;
        p->approved = p->moved = false;
        p->held = p->held && b->ghost;
        p->kept = p->kept && b->ghost; /* given up long before: the blob of this name stays all the same */
}

/* The journal knows the file of this path by its inode. One that was made anew, or taken back by a power cut, does not.
 */
static bool is_known_file(const Path *p, const Inode *i) {
        Row row;

        return journal_get(engine->sync.journal, engine->sync.mappings[0]->record.id, p->name, strlen(p->name), &row,
                           NULL) > 0 &&
               row.stamp.ino == i->ino && row.stamp.btime_ns == i->btime;
}

/* The journal is to have `q` stored, and a walk that began since it is there has met it. Until it rests, or can be
 * read, and while it is sent, only its inode tells that it is the file that was `p`. */
static bool is_met_and_due(const Path *p, const Path *q) {
        const Mapping *m = engine->sync.mappings[0];
        const Job *job;
        Row row;

        if (q->since >= walked_from() || q->met < walked_from() ||
            journal_get(m->sync->journal, m->record.id, q->name, strlen(q->name), &row, NULL) <= 0)
                return false;
        if (row.confirmed && row.stamp.ino == q->ino) /* it was stored; somebody may have changed that since */
                return false;
        if (row.state != PATH_CLAIMED && row.state != PATH_PENDING)
                return false;
        if (is_known_file(p, q->inode_now))
                return true;
        job = row.state == PATH_CLAIMED ? jobs_at(m, q->name) : NULL;
        return row.attempts == 0 && (job ? job->unlooked : row.due <= clock_boot());
}

/* A renamed file is never without a blob: the new name first (8). */
static void check_elsewhere(const Path *p, const Blob *b) {
        Path *due = NULL;

        if (!b || !b->there || !b->has_stamp || b->stranger)
                return;
        for (Path *q = path_each(NULL); q; q = path_each(q)) {
                const Inode *i = q->inode_now;
                const Blob *other = path_blob(q);

                if (q == p || !i || i->ino != b->stamp.ino || i->btime != b->stamp.btime_ns || i->content.total == 0)
                        continue;
                if (other && other->there && other->has_stamp && other->stamp.ino == i->ino)
                        return;
                if (other && theirs(other)) /* a conflict: it is stored once a person has decided */
                        continue;
                if (is_met_and_due(p, q))
                        due = q;
        }
        if (due)
                fail("elsewhere", "%s is deleted, and its file, which is %s by now, is not in the cloud", p->name,
                     due->name);
}

void check_delete_sent(const char *blob) {
        const Path *p = path_of_blob(blob);

        if (!p) {
                fail("outside", "%s is deleted, which is not below the prefix", blob);
                return;
        }
        if (settings.keep)
                fail("keep", "%s is deleted in spite of deletes: keep", blob);
        if (p->looked == 0 || p->looked_regular || now() - p->looked > STALE)
                fail("absence", "%s is deleted without a proof that its file is gone", blob);
        if (p->heard > p->looked)
                fail("heard", "%s is deleted, and there was news of it since its file was found gone", blob);
        check_elsewhere(p, service_blob(blob, false));
}

void check_deleted(const Blob *before, bool late) {
        Path *p = path_of_blob(before->name);
        const Version *last = p && p->n > 0 ? &p->versions[p->n - 1] : NULL;

        if (!p)
                return;
        if (theirs(before))
                fail("stranger", "somebody else's %s is deleted", before->name);
        if (!late && last && last->hash != 0 && path_state(p, p->looked) != 0)
                fail("deleted", "the blob of %s is deleted, and its file was there at the last look", p->name);
        count_deletion(p, before);
        p->approved = p->moved = p->kept = false;
}

/* --- at the end --- */

static void check_blob(const Blob *b) {
        const Path *p = path_of_blob(b->name);

        if (!p || !b->there || b->stranger || p->kept || (settings.keep && !p->inode_now))
                return;
        if (!p->inode_now)
                fail("left over", "%s stands in the cloud, and there is no such file", b->name);
}

static void check_file(Path *p) {
        const Blob *b = path_blob(p);
        Stamp stamp;

        if ((p->kept && p->inode_now->content.total == 0) || (b && (b->stranger || (b->robbed && !b->there))))
                return;
        stamp = inode_stamp(p->inode_now);
        if (!b || !b->there)
                fail("missing", "%s is not in the cloud", p->name);
        else if (content_hash(&b->content) != content_hash(&p->inode_now->content))
                fail("differs", "%s has other bytes in the cloud", p->name);
        else if (b->fuzzy)
                fail("fuzzy", "%s rests, and its blob is still a marked copy", p->name);
        else if (!b->has_stamp || !stamp_metadata_equal(&b->stamp, &stamp))
                fail("metadata", "%s has other metadata in the cloud", p->name);
}

void check_final(void) {
        check_tree_changed();
        for (Path *p = path_each(NULL); p && !failed(); p = path_each(p))
                if (p->inode_now)
                        check_file(p);
        for (unsigned i = 0; i < service.n && !failed(); i++)
                check_blob(&service.blobs[i]);
}
