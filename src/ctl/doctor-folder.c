/* A mapping's folder: walked once, in a thread of its own, since a mount that hangs must not hang the doctor. */
#include "ctl/doctor.h"

#include "util/blobname.h"
#include "util/clock.h"
#include "util/path.h"
#include "util/workers.h"
#include "watch/walk.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define NAME_ROOM ((size_t) 4096) /* of a blob's name: 3 bytes for each of 1,024 characters, and the prefix */

/* One look at a folder. All of it belongs to the thread until it is done. */
typedef struct Walked {
        Work work;
        const MappingConfig *mapping;
        Rights eyes;
        int64_t until;
        _Atomic int64_t stepped; /* boot ns of the last step */
        int root;                /* for questions of rights; -1 */
        ScanEnd end;
        uint64_t files, unreadable_files, unreadable_folders, unnamed, mounts;
        char first_unreadable[PATH_DISPLAY_ROOM], first_unnamed[PATH_DISPLAY_ROOM];
        bool cut; /* the time was up */
        bool done;
} Walked;

static ScanFilter filter(const char *path, size_t size, bool folder, void *userdata) {
        const Walked *w = userdata;

        if (w->mapping->exclude && ignore_match(w->mapping->exclude, path, folder))
                return SCAN_EXCLUDE;
        return folder && !blobname_goes_below(w->mapping->prefix, path, size) ? SCAN_TOO_LONG : SCAN_TAKE;
}

static bool alive(void *userdata) {
        Walked *w = userdata;
        int64_t now = clock_boot();

        atomic_store(&w->stepped, now);
        w->cut = w->cut || now >= w->until;
        return !w->cut;
}

static void count(uint64_t *n, char *first, const Seen *seen) {
        (*n)++;
        if (first[0] == '\0')
                (void) path_display(seen->path, seen->size, first, PATH_DISPLAY_ROOM);
}

static void name(Walked *w, const Seen *seen) {
        _cleanup_buf_ Buf b = BUF_INIT(NAME_ROOM);
        BlobName verdict = BLOB_NAME_TOO_LONG;

        if (blobname_from_path(&b, w->mapping->prefix, seen->path, seen->size, &verdict) < 0 || verdict != BLOB_NAME_OK)
                count(&w->unnamed, w->first_unnamed, seen);
}

static bool emit(const Seen *seen, void *userdata) {
        Walked *w = userdata;

        switch (seen->kind) {
        case SEEN_FILE:
                w->files++;
                name(w, seen);
                /* rights only: nothing is opened */
                if (w->root >= 0 && faccessat(w->root, seen->path, R_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW) < 0 &&
                    errno == EACCES)
                        count(&w->unreadable_files, w->first_unreadable, seen);
                break;
        case SEEN_UNKNOWN:
                count(&w->unreadable_folders, w->first_unreadable, seen);
                break;
        case SEEN_TOO_LONG:
                count(&w->unnamed, w->first_unnamed, seen);
                break;
        case SEEN_MOUNT:
                w->mounts++;
                break;
        default:
                break;
        }
        return alive(w);
}

static void walk(Work *work) {
        Walked *w = (Walked *) work;
        Walk walk = { .folder = w->mapping->folder, .alive = alive, .filter = filter, .emit = emit, .userdata = w };
        RootId id;
        uint64_t mnt;

        rights_take_on(&w->eyes);
        (void) root_open(w->mapping->folder, NULL, &w->root, &id, &mnt, NULL, NULL);
        walk_branch(&walk, "", &w->end);
        closep(&w->root);
        w->root = -1;
}

static void walked(Work *work) {
        ((Walked *) work)->done = true;
}

static void drop(Work *work) {
        free(work); /* also by the thread, if it ever comes back */
}

static void say_changes(Doctor *d, const MappingConfig *m, const ScanEnd *end) {
        About about = { .mapping = m->name };

        if (m->watch == WATCH_MODE_POLL)
                finding(&d->findings, FOUND_OK, about, "changes", "",
                        "looked for by scans, as configured (`watch: poll`)");
        else if (end->fs_tells)
                finding(&d->findings, FOUND_OK, about, "changes", "", "%s tells of them", end->fs_name);
        else
                finding(&d->findings, FOUND_WARN, about, "changes",
                        "a folder on ext4, xfs or btrfs, if that is too late",
                        "this file system (%s) may not tell of all of them: they are looked for by scans, how often "
                        "is in azsyncctl status",
                        end->fs_name);
}

static void say_root(Doctor *d, const MappingConfig *m, const ScanEnd *end) {
        char advice[128];

        if (end->root_state == ROOT_UNREADABLE)
                (void) snprintf(advice, sizeof(advice), "give uid %u the right to read it, or repair its disk",
                                (unsigned) d->eyes.uid);
        else
                (void) snprintf(advice, sizeof(advice),
                                "mount or make it, or correct `folder`; until then nothing is sent or deleted");
        finding(&d->findings, FOUND_FAIL, (About){ .mapping = m->name }, "folder", advice, "%s", end->error.text);
}

static void say_rights(Doctor *d, const MappingConfig *m, const Walked *w) {
        About about = { .mapping = m->name };

        if (w->unreadable_files + w->unreadable_folders == 0) {
                finding(&d->findings, FOUND_OK, about, "folder", "",
                        "%s%" PRIu64 " %s, %u %s, all of them readable by uid %u%s", w->cut ? "at least " : "",
                        w->files, w->files == 1 ? "file" : "files", w->end.folders,
                        w->end.folders == 1 ? "folder" : "folders", (unsigned) d->eyes.uid,
                        w->cut ? " (not counted further)" : "");
                return;
        }
        finding(&d->findings, FOUND_FAIL, about, "folder",
                "give the right to read, or `exclude` them; what is in the cloud of them stays",
                "%" PRIu64 " %s and %" PRIu64 " %s cannot be read by uid %u, the first is %s", w->unreadable_files,
                w->unreadable_files == 1 ? "file" : "files", w->unreadable_folders,
                w->unreadable_folders == 1 ? "folder" : "folders", (unsigned) d->eyes.uid, w->first_unreadable);
}

static void say_names(Doctor *d, const MappingConfig *m, const Walked *w) {
        About about = { .mapping = m->name };

        if (w->unnamed == 0)
                finding(&d->findings, FOUND_OK, about, "names", "", "every one has a blob name");
        else
                finding(&d->findings, FOUND_FAIL, about, "names",
                        "shorten them or the folders above them, or `exclude` them",
                        "%" PRIu64 " %s too long or too deep for a blob's name, the first is %s", w->unnamed,
                        w->unnamed == 1 ? "path is" : "paths are", w->first_unnamed);
        if (w->mounts > 0)
                finding(&d->findings, FOUND_WARN, about, "mounts", "give each a mapping of its own, if it is wanted",
                        "%" PRIu64 " other %s in the folder: what is in them is not mirrored", w->mounts,
                        w->mounts == 1 ? "file system is mounted" : "file systems are mounted");
}

static void say(Doctor *d, const MappingConfig *m, const Walked *w) {
        if (w->end.root_state != ROOT_OK) {
                say_root(d, m, &w->end);
                return;
        }
        say_rights(d, m, w);
        say_names(d, m, w);
        say_changes(d, m, &w->end);
        if (m->watch == WATCH_MODE_POLL)
                return;
        d->watched++;
        d->folders += w->end.folders;
        d->folders_at_least = d->folders_at_least || w->cut;
}

void doctor_folder(Doctor *d, const MappingConfig *m) {
        About about = { .mapping = m->name };
        Walked *w = calloc(1, sizeof(*w));
        Workers *workers = NULL;
        Error e = ERROR_NULL;

        if (!w || workers_new(&workers, d->loop, 1, &e) < 0) {
                if (!w)
                        (void) error_oom(&e);
                finding(&d->findings, FOUND_UNKNOWN, about, "folder", "", "%s", e.text);
                free(w);
                return;
        }
        w->work = (Work){ .run = walk, .done = walked, .drop = drop };
        w->mapping = m;
        w->eyes = d->eyes;
        w->root = -1;
        w->stepped = clock_boot();
        w->until = w->stepped + d->walk_ns;
        workers_submit(workers, &w->work);
        if (doctor_wait(d, &w->done, &w->stepped) >= 0) {
                say(d, m, w);
                free(w);
        } else {
                finding(&d->findings, FOUND_FAIL, about, "folder", "look at its mount: does its server or disk answer?",
                        "%s does not answer: it hangs", PATH_SHOWN(m->folder));
                d->folders_at_least = d->stuck = true;
        }
        workers_free(workers);
}
