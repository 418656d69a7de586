/* The invariants of pitfalls 12, first half: what is known of each path, and when "in sync" may be said. */
#include "sim.h"

#include "sync/state.h"
#include "util/blobname.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define PATHS_MAX 1024
#define REAL_LEAST 1024u /* a power of two */

static Path paths[PATHS_MAX];
static unsigned n_paths;
static uint64_t *real; /* hashes of contents that were one state of some file: a set, 0: free */
static unsigned n_real, real_room;
static char kind_of_failure[32], text_of_failure[256];
static uint64_t checked, held_before;
static uint64_t changes;

bool failed(void) {
        return kind_of_failure[0] != '\0';
}

const char *failure(void) {
        return text_of_failure;
}

const char *failure_kind(void) {
        return kind_of_failure;
}

void fail(const char *kind, const char *format, ...) {
        va_list ap;

        if (failed() || dead)
                return;
        (void) snprintf(kind_of_failure, sizeof(kind_of_failure), "%s", kind);
        va_start(ap, format);
        (void) vsnprintf(text_of_failure, sizeof(text_of_failure), format, ap);
        va_end(ap);
        SAY("FAILED: %s: %s", kind, text_of_failure);
}

static void real_drop(void) {
        free(real);
        real = NULL;
        n_real = real_room = 0;
}

void check_begin(void) {
        n_paths = 0;
        real_drop();
        kind_of_failure[0] = text_of_failure[0] = '\0';
        checked = changes = held_before = 0;
}

void check_end(void) {
        for (unsigned i = 0; i < PATHS_MAX; i++) {
                free(paths[i].versions);
                paths[i] = (Path){ 0 };
        }
        real_drop();
}

bool excluded(const char *path) {
        const char *found = settings.exclude ? strstr(path, ".tmp") : NULL;

        return found && (found[4] == '\0' || found[4] == '/');
}

/* --- paths --- */

static Path *path_find(const char *name) {
        for (unsigned i = 0; i < n_paths; i++)
                if (strcmp(paths[i].name, name) == 0)
                        return &paths[i];
        return NULL;
}

static Path *path_get(const char *name) {
        Path *p = path_find(name);

        if (p)
                return p;
        assert(n_paths < PATHS_MAX);
        p = &paths[n_paths++];
        *p = (Path){ .versions = p->versions, .room = p->room };
        (void) snprintf(p->name, sizeof(p->name), "%s", name);
        return p;
}

Path *path_each(Path *last) {
        Path *next = last ? last + 1 : paths;

        return next < paths + n_paths ? next : NULL;
}

Path *path_of_blob(const char *blob) {
        _cleanup_buf_ Buf path = BUF_INIT(PATH_ROOM);

        if (blobname_to_path(&path, daemon_prefix(), blob, strlen(blob)) < 0 || path.size == 0)
                return NULL;
        return path_get(path.data);
}

const Blob *path_blob(Path *p) {
        if (p->blob[0] == '\0') {
                _cleanup_buf_ Buf name = BUF_INIT(sizeof(p->blob) - 1);
                BlobName verdict;

                if (blobname_from_path(&name, daemon_prefix(), p->name, strlen(p->name), &verdict) < 0)
                        abort();
                memcpy(p->blob, name.data, name.size + 1);
        }
        return service_blob(p->blob, false);
}

/* The last version by then that the kernel had reported; p->n: none. */
static unsigned version_at(const Path *p, int64_t at) {
        unsigned found = p->n;

        for (unsigned i = 0; i < p->n && p->versions[i].at <= at; i++)
                if (!p->versions[i].weak)
                        found = i;
        return found;
}

uint64_t path_state(const Path *p, int64_t at) {
        unsigned i = version_at(p, at);

        return i < p->n ? p->versions[i].hash : 0;
}

static uint64_t *place_of(uint64_t hash) {
        uint64_t at = (hash * UINT64_C(0x9e3779b97f4a7c15)) >> 32;

        while (real[at % real_room] != 0 && real[at % real_room] != hash)
                at++;
        return &real[at % real_room];
}

bool hash_was_real(uint64_t hash) {
        return real && *place_of(hash) == hash;
}

/* Half of it at most is taken. Files that never rest write tens of thousands of states. */
static void real_grow(void) {
        uint64_t *old = real;
        unsigned room = real_room;

        real_room = MAX(room * 2, REAL_LEAST);
        real = calloc(real_room, sizeof(*real));
        assert(real);
        for (unsigned i = 0; i < room; i++)
                if (old[i] != 0)
                        *place_of(old[i]) = old[i];
        free(old);
}

static void hash_is_real(uint64_t hash) {
        uint64_t *place;

        if (n_real >= real_room / 2)
                real_grow();
        place = place_of(hash);
        n_real += *place == 0;
        *place = hash;
}

static void note_file(const char *path, Inode *i) {
        uint64_t hash;
        Path *p;

        if (!inode_is_file(i) || excluded(path))
                return;
        p = path_get(path);
        hash = content_hash(&i->content);
        p->inode_now = i;
        if (i->writers == 0)
                hash_is_real(hash);
        p->hash_now = hash;
}

/* `path` has `size` bytes, "" or ended by a slash; the names are written behind it. */
static void note_all(Inode *folder, char path[static PATH_ROOM], size_t size) {
        for (Entry *e = folder->entries; e; e = e->next) {
                size_t n = strlen(e->name);

                if (size + n >= PATH_ROOM)
                        continue;
                memcpy(path + size, e->name, n + 1);
                note_file(path, e->inode);
                if (inode_is_folder(e->inode) && size + n + 1 < PATH_ROOM) {
                        path[size + n] = '/';
                        note_all(e->inode, path, size + n + 1);
                }
        }
}

/* `weak`: the kernel has not reported it yet, so that nobody can be asked for it. */
static void version_add(Path *p, uint64_t hash, bool weak) {
        const Version *last = p->n > 0 ? &p->versions[p->n - 1] : &(Version){ 0 };

        if (last->hash == hash && (weak || !last->weak))
                return;
        if (p->n == p->room) {
                p->room = p->room * 2 + 8;
                p->versions = reallocarray(p->versions, p->room, sizeof(*p->versions));
                assert(p->versions);
        }
        p->versions[p->n++] = (Version){ now(), hash, weak };
}

/* The file is there, and empty, and what is held is not: that counts as deleted (5.9). */
static bool is_emptied(const Path *p) {
        return p->inode_now->content.total == 0 && p->held_size > 0;
}

/* Also while the disk is not mounted: its files are still the truth. */
void check_tree_changed(void) {
        char path[PATH_ROOM];

        changes++;
        for (Path *p = path_each(NULL); p; p = path_each(p)) {
                p->hash_now = 0;
                p->inode_was = p->inode_now;
                p->inode_now = NULL;
        }
        note_all(world.root, path, 0);
        for (Path *p = path_each(NULL); p; p = path_each(p)) {
                const Inode *i = p->inode_now;
                bool weak = i && i->unreported;

                if (p->ino != (i ? i->ino : 0)) {
                        p->ino = i ? i->ino : 0;
                        p->since = now();
                        if (p->inode_was) {
                                p->inode_before = p->inode_was;
                                p->left = now();
                        }
                }
                if (i && i->writers > 0) /* half a write is no version */
                        continue;
                version_add(p, p->hash_now, weak);
                if (i && p->held)
                        p->held = is_emptied(p);
                if (i && p->hash_now != content_hash(&(Content){ 0 }))
                        p->rejected = false;
        }
}

void check_looked(const char *path, bool regular) {
        Entry *e = tree_entry(path);
        Path *p;

        if (e) {
                e->told = 0;
                unknown_end(&e->inode->unnamed);
        }

        if (excluded(path))
                return;
        p = path_get(path);
        if (!regular && p->looked > p->since) /* the second time: the look before its deletion */
                come_back(path);
        p->looked = now();
        p->looked_regular = regular;
}

void check_heard(const char *path) {
        Path *p = path_find(path);

        if (p)
                p->heard = now();
}

void check_met(const char *path) {
        Path *p = path_find(path);

        if (p)
                p->met = now();
}

void check_none_met(void) {
        for (Path *p = path_each(NULL); p; p = path_each(p))
                p->met = 0;
}

/* --- what people decide --- */

/* No file is there now, or an empty one. */
static bool is_nothing(const Path *p) {
        return p->hash_now == 0 || p->hash_now == content_hash(&(Content){ 0 });
}

/* Of the blob that the journal speaks of: somebody may have put another one there since. */
static uint64_t size_held(Path *p) {
        const Blob *b = path_blob(p);
        Row row;

        if (b && b->there && !b->stranger)
                return b->content.total;
        return journal_get(engine->sync.journal, engine->sync.mappings[0]->record.id, p->name, strlen(p->name), &row,
                           NULL) > 0
                       ? row.stamp.size
                       : 0;
}

static int on_queued(const QueueItem *item, void *userdata) {
        bool *approve = userdata;
        Path *p;

        if (strcmp(item->state, "held") != 0)
                return 0;
        p = path_get(item->path);
        if (!approve) {
                p->held = is_nothing(p);
                p->held_size = size_held(p);
        } else if (*approve) {
                p->held = false;
                p->approved = true;
        } else
                p->refused = true;
        return 0;
}

void check_approved(void) {
        bool approve = true;

        (void) engine_queue(engine, "m", NULL, PATHS_MAX, on_queued, &approve);
}

void check_rejects(void) {
        bool approve = false;

        (void) engine_queue(engine, "m", NULL, PATHS_MAX, on_queued, &approve);
}

void check_rejected(bool done) {
        for (Path *p = path_each(NULL); p; p = path_each(p)) {
                if (!p->refused)
                        continue;
                p->refused = false;
                p->kept = true; /* even if it was not noted down: nobody knows what is on the disk */
                if (!done)
                        continue;
                p->held = false;
                p->rejected = is_nothing(p); /* else it is back, and was not noticed yet */
        }
}

/* --- in sync --- */

static bool is_unknown(const Inode *i, int64_t since) {
        return i && (unknown_at(&i->untold, since) || unknown_at(&i->unnamed, since));
}

/* Nobody could know by then what bytes it had: the file that is here, or the one that was here then. */
static bool is_unknowable(const Path *p, int64_t since) {
        return is_unknown(p->inode_now, since) || (since < p->left && is_unknown(p->inode_before, since));
}

/* Its blob may stay as it is, though this is what its file became. */
static bool may_stay(const Path *p, uint64_t hash) {
        return (hash == 0 && (settings.keep || p->kept)) || (p->kept && hash == content_hash(&(Content){ 0 }));
}

static void show_versions(const Path *p, int64_t since, uint64_t there) {
        SAY("in the cloud is %" PRIx64 "; at %.6f and later there were:", there, (double) since / 1e9);
        for (unsigned i = 0; i < p->n; i++)
                SAY("  from %.6f %" PRIx64 "%s", (double) p->versions[i].at / 1e9, p->versions[i].hash,
                    p->versions[i].weak ? ", not reported" : "");
}

/* Whatever stood at each path at `since` is in the cloud, or what came later. */
void check_since(int64_t since, const char *who) {
        for (Path *p = path_each(NULL); p && !failed(); p = path_each(p)) {
                unsigned at = version_at(p, since);
                uint64_t there, want = at < p->n ? p->versions[at].hash : 0;
                const Blob *b = path_blob(p);
                bool ok;

                there = b && b->there ? content_hash(&b->content) : 0;
                ok = there == want || (b && (b->stranger || b->robbed || (b->ghost && want == 0))) ||
                     is_unknowable(p, since) || may_stay(p, want);
                for (unsigned i = at < p->n ? at : 0; i < p->n && !ok; i++)
                        ok = p->versions[i].hash == there || may_stay(p, p->versions[i].hash);
                if (ok)
                        continue;
                show_versions(p, since, there);
                fail("in sync", "%s says in sync, and %s is not what it was %.3f s ago (%s)", who, p->name,
                     (double) (now() - since) / 1e9, there ? "another content" : "missing");
        }
}

const char *watched_row;

/* --row PATH: what the journal knows of it, whenever that changes. */
static void show_row(Mapping *m) {
        static char before[256];
        char text[256];
        Row row;
        int r = journal_get(engine->sync.journal, m->record.id, watched_row, strlen(watched_row), &row, NULL);

        if (r <= 0)
                (void) snprintf(text, sizeof(text), "row: none");
        else
                (void) snprintf(text, sizeof(text),
                                "row: state %d gen %llu%s%s%s%s%s%s%s%s%s etag %s size %llu first %lld due %lld",
                                (int) row.state, (unsigned long long) row.gen, row.confirmed ? " confirmed" : "",
                                row.content ? " content" : "", row.doubt ? " doubt" : "", row.foreign ? " foreign" : "",
                                row.approved ? " approved" : "", row.held ? " held" : "", row.tallied ? " tallied" : "",
                                row.moved ? " moved" : "", row.marked ? " marked" : "", row.etag,
                                (unsigned long long) row.stamp.size, (long long) row.first, (long long) row.due);
        if (strcmp(text, before) != 0)
                say("%s", text);
        memcpy(before, text, sizeof(text));
}

void check_idle(void) {
        const JournalCounts *c;
        bool noted;
        uint64_t key;
        Mapping *m;

        if (!engine || dead || engine->sync.n_mappings == 0)
                return;
        m = engine->sync.mappings[0];
        noted = !journal_broken(engine->sync.journal) && !journal_open_transaction(engine->sync.journal);
        if (m->record.root[16] != 0 && noted)
                world.pinned = true; /* and the journal has it */
        if (watched_row && verbose)
                show_row(m);
        c = journal_counts(engine->sync.journal, m->record.id);
        if (c->state[PATH_HELD] != held_before && noted) {
                held_before = c->state[PATH_HELD];
                (void) engine_queue(engine, "m", NULL, PATHS_MAX, on_queued, NULL);
        }
        key = changes + kernel_told() * 7919 + service.next_etag * 104729 + service.deletes * 1299709;
        if (!mapping_in_sync(m) || !kernel_tells_all() || key == checked)
                return;
        checked = key;
        if (strcmp(mapping_state(m), "idle") != 0)
                fail("state", "in sync, but %s", mapping_state(m));
        check_since(kernel_untold_since(), "status");
}
