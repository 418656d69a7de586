#include "sync/plan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What stands in the cloud under this name, as far as we know. */
typedef struct Known {
        bool there;
        bool ours; /* written by us, or taken over */
        const char *etag;
        uint64_t size;
        bool same_bytes;    /* as the file's, proven by size and MD5 */
        bool same_metadata; /* as the file's */
} Known;

static bool metadata_matches(const ListedBlob *blob, const Stamp *stamp) {
        char modtime[24], mode[16], uid[16], gid[16];

        (void) snprintf(modtime, sizeof(modtime), "%" PRId64, stamp->mtime_ns);
        (void) snprintf(mode, sizeof(mode), "%" PRIu32, stamp->mode);
        (void) snprintf(uid, sizeof(uid), "%" PRIu32, stamp->uid);
        (void) snprintf(gid, sizeof(gid), "%" PRIu32, stamp->gid);
        return strcmp(blob->modtime, modtime) == 0 && strcmp(blob->permissions, mode) == 0 &&
               strcmp(blob->owner, uid) == 0 && strcmp(blob->group, gid) == 0;
}

static Known know(const PlanInput *in) {
        const Row *row = in->row;
        Known k = { 0 };

        if (in->remote == REMOTE_ABSENT)
                return k;
        if (in->remote == REMOTE_PRESENT) {
                const ListedBlob *b = in->blob;

                k.there = true;
                k.etag = b->etag;
                k.size = b->size;
                /* a blob with our mark is our own earlier write, whatever its content (pitfalls 8) */
                k.ours = strcmp(b->writer, in->writer) == 0 ||
                         (row->confirmed && !row->foreign && strcmp(row->etag, b->etag) == 0);
                if (in->md5 && in->stamp) {
                        k.same_bytes = b->has_md5 && b->size == in->stamp->size && memcmp(b->md5, in->md5, 16) == 0;
                        k.same_metadata = row->marked == 0 && !b->busy && !in->fuzzy &&
                                          metadata_matches(b, in->stamp) && strcmp(b->writer, in->writer) == 0;
                }
                return k;
        }
        if (row->confirmed) {
                k.there = true;
                k.ours = !row->foreign;
                k.etag = row->etag;
                k.size = row->stamp.size;
                if (in->md5 && in->stamp) {
                        k.same_bytes = row->has_md5 && row->stamp.size == in->stamp->size &&
                                       memcmp(row->md5, in->md5, 16) == 0;
                        k.same_metadata = k.ours && row->marked == 0 && !in->fuzzy &&
                                          stamp_metadata_equal(&row->stamp, in->stamp);
                }
        }
        return k;
}

/* Deletions that a person rejected, by this very word in the queue; emptied files count as deleted (5.9). */
static const Plan rejected = { .action = ACTION_KEEP, .reason = "its deletion was rejected: the blob stays" };

/* No regular file stands under this name: no blob should. */
static Plan plan_absence(const PlanInput *in) {
        const char *reason = in->look == LOOK_SYMLINK   ? "symbolic link: not stored yet"
                             : in->look == LOOK_SPECIAL ? "not a regular file (pipe, socket or device)"
                                                        : NULL;
        Plan nothing = { .action = reason ? ACTION_SKIP : ACTION_FORGET, .reason = reason };
        Known k;

        if (in->row->kept)
                return rejected;
        if (in->row->doubt && in->remote == REMOTE_UNASKED)
                return (Plan){ .action = ACTION_ASK };
        k = know(in);
        if (!k.there || in->keep_deleted)
                return nothing;
        if (!k.ours) {
                /* never ours: somebody else's blob is left alone. Once ours and changed since: that is a conflict. */
                if (!in->row->confirmed || in->row->foreign)
                        return nothing;
                if (!in->overwrite)
                        return (Plan){ .action = ACTION_CONFLICT,
                                       .reason = "deleted here, but the blob was changed by someone else" };
        }
        if (!in->was_gone)
                return (Plan){ .action = ACTION_GONE };
        return (Plan){ .action = ACTION_DELETE, .etag = k.etag };
}

Plan plan(const PlanInput *in) {
        const Row *row = in->row;
        Known k;

        assert(in->look == LOOK_REGULAR || in->look == LOOK_SYMLINK || in->look == LOOK_FOLDER ||
               in->look == LOOK_SPECIAL || in->look == LOOK_ABSENT);

        if (in->look != LOOK_REGULAR)
                return plan_absence(in);
        if (row->kept && in->stamp->size == 0)
                return rejected;

        /* an event about the content forbids to believe the stamp (4.3); so does a write whose outcome is unknown */
        if (row->confirmed && !row->foreign && !row->content && !row->doubt && row->marked == 0 &&
            in->remote == REMOTE_UNASKED && stamp_equal(&row->stamp, in->stamp))
                return (Plan){ .action = ACTION_SETTLE, .etag = row->etag };
        if (!in->md5)
                return (Plan){ .action = ACTION_READ };
        if (row->doubt && in->remote == REMOTE_UNASKED)
                return (Plan){ .action = ACTION_ASK };

        k = know(in);
        if (!k.there)
                return (Plan){ .action = ACTION_UPLOAD };
        if (k.same_bytes) {
                /* The write in doubt may still be on its way, and its condition would hold: so the ETag has to become
                 * another one, though nothing else has to (10.6). */
                bool may_come = row->doubt && row->confirmed && strcmp(row->etag, k.etag) == 0;

                return (Plan){ .action = k.same_metadata && !may_come ? ACTION_SETTLE : ACTION_METADATA,
                               .etag = k.etag };
        }
        if (k.ours || in->overwrite) {
                /* editors truncate, then write; power loss leaves empty files; and a disaster may empty them all: it
                 * waits like a deletion, and counts as one (5.9, 7.4), whoever wrote what is lost by it */
                if (in->stamp->size == 0 && k.size > 0 && !in->was_gone)
                        return (Plan){ .action = ACTION_GONE, .reason = "emptied here; waits for delete-delay" };
                return (Plan){ .action = ACTION_UPLOAD, .etag = k.etag };
        }
        return (Plan){ .action = ACTION_CONFLICT, .reason = "the blob was changed by someone else" };
}
