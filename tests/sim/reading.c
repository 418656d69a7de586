/* Looks and reads that take time, in the order of watch/read.c: wait a tick, stamp, wait for a writer, clean the pages,
 * read part by part, stamp again, look at the path again, and for a file that grew read it a second time. Stands in for
 * watch/source.c. */
#include "sim.h"

#include "chunk/crc64.h"
#include "watch/source.h"

#include <assert.h>
#include <string.h>

typedef enum Kind { LOOK, READ, FILE_OPEN, FILE_READ, FILE_FINISH } Kind;

typedef struct Reading {
        Inode *inode;
        Stamp first;
        Content got;
        int64_t began;
        bool restless, cut, grew, met;
        uint64_t position, most;
} Reading;

typedef struct Task {
        struct Task *next; /* of its source */
        Source *source;
        Kind kind;
        char path[PATH_ROOM];
        size_t room;
        unsigned step;
        Reading own, *reading;
        SourceFile *file;
        SourceFn fn;
        void *userdata;
        SourceAnswer answer;
        char *data;
        Happening *happening;
} Task;

struct Source {
        RootId pinned;
        Task *tasks;
        bool freed;
};

struct SourceFile {
        Source *source;
        Reading reading;
        Task *task;
        unsigned waiting; /* blocks that are asked for after that, all by `fn` */
        SourceFn fn;
        void *userdata;
        bool ended;
        char path[PATH_ROOM];
};

static unsigned badness;

void read_badly(unsigned per_mille) {
        badness = per_mille;
}

static bool enters_root(Task *t) {
        RootId id;

        t->answer.root_state = sim_root_state(&t->source->pinned, &id, &t->answer.error);
        if (t->answer.root_state != ROOT_OK)
                t->answer.look = LOOK_NO_ROOT;
        return t->answer.root_state == ROOT_OK;
}

static bool refused(const char *path, bool whole) {
        const char *name;
        const Inode *i = tree_at(path);

        if (whole && i && inode_is_file(i) && i->unreadable)
                return true;
        for (i = parent_of(path, &name); i; i = i->parent)
                if (i->unreadable)
                        return true;
        return false;
}

/* One instant: what stands there, or proof that nothing does. */
static Inode *look(Task *t) {
        Inode *i;

        if (!enters_root(t))
                return NULL;
        if (chance(BY_READ, badness)) {
                t->answer.look = LOOK_UNKNOWN;
                (void) error_set(&t->answer.error, -EIO, ERROR_OS, EIO, "looking for %s", t->path);
                return NULL;
        }
        if (refused(t->path, false)) {
                t->answer.look = LOOK_UNREADABLE;
                (void) error_set(&t->answer.error, -EACCES, ERROR_OS, EACCES, "looking for %s", t->path);
                return NULL;
        }
        i = tree_at(t->path);
        check_looked(t->path, inode_is_file(i));
        if (!i) {
                t->answer.look = LOOK_ABSENT;
                return NULL;
        }
        t->answer.look = S_ISREG(i->mode)   ? LOOK_REGULAR
                         : S_ISLNK(i->mode) ? LOOK_SYMLINK
                         : S_ISDIR(i->mode) ? LOOK_FOLDER
                                            : LOOK_SPECIAL;
        t->answer.stamp = inode_stamp(i);
        return i;
}

static int64_t youth(const Stamp *s) {
        int64_t m = wall() - s->mtime_ns, c = wall() - s->ctime_ns;
        int64_t wait = 0;

        if (m < JIFFY)
                wait = JIFFY - MAX(m, INT64_C(0));
        if (c < JIFFY)
                wait = MAX(wait, JIFFY - MAX(c, INT64_C(0)));
        return wait;
}

static void on_task(void *data);

static void later(Task *t, int64_t delay) {
        t->happening = after(delay, on_task, t);
}

static int64_t a_while(void) {
        return between(BY_READ, 5000, SECOND / 200);
}

static void start(Source *s, Kind kind, const char *path, size_t room, SourceFile *file, SourceFn fn, void *userdata);

static void answer(Task *t) {
        Source *s = t->source;

        if (t->file) {
                t->file->task = NULL;
                if (t->file->waiting > 0) {
                        t->file->waiting--;
                        start(s, FILE_READ, t->path, 0, t->file, t->file->fn, t->file->userdata);
                }
        }
        for (Task **at = &s->tasks; *at; at = &(*at)->next)
                if (*at == t) {
                        *at = t->next;
                        break;
                }
        mix((uint64_t) t->answer.look << 8 | (uint64_t) t->answer.read);
        SAY("source: %s: look %d read %d", t->path, (int) t->answer.look, (int) t->answer.read);
        if (t->fn)
                t->fn(&t->answer, t->userdata);
        free(t->data);
        free(t);
}

/* --- reading --- */

/* True: go on after `*delay`. */
static bool begin(Task *t, int64_t *delay) {
        Reading *r = t->reading;

        if (t->step == 0) {
                Inode *i = look(t);

                if (!i || t->answer.look != LOOK_REGULAR || i->content.total > t->room)
                        return false;
                if (i->unreadable) {
                        t->answer.look = LOOK_UNREADABLE;
                        (void) error_set(&t->answer.error, -EACCES, ERROR_OS, EACCES, "opening %s", t->path);
                        return false;
                }
                r->inode = i;
                r->began = now();
                r->first = inode_stamp(i);
                *delay = youth(&r->first);
                t->step = 1;
                return true;
        }
        if (t->step == 1) {
                Stamp before = r->first;

                r->first = inode_stamp(r->inode);
                r->restless = !stamp_equal(&before, &r->first) && youth(&r->first) > 0;
                t->answer.stamp = r->first;
                if (r->first.size > t->room)
                        return false;
                r->most = t->kind == READ ? t->room : 2 * r->first.size;
                t->step = 2;
        }
        if (r->inode->writers > 0) { /* SEEK_HOLE waits for it */
                *delay = SECOND / 1000;
                return true;
        }
        if (!world.tmpfs)
                r->inode->page_dirty = false; /* sync_file_range */
        t->step = 3;
        *delay = a_while();
        return true;
}

static uint64_t part_of(const Content *c, unsigned i, uint64_t size) {
        return size == c->size[i] ? c->part[i] : ~c->part[i] ^ size; /* a part of a part */
}

/* The next part as it is now, or the rest of one of which less was read before the file grew. */
static void read_part(Reading *r) {
        const Content *c = &r->inode->content;
        unsigned i = r->got.n;
        uint64_t left = r->first.size - r->position, size;

        if (i > 0 && i <= c->n && r->got.size[i - 1] < c->size[i - 1]) {
                uint64_t before = r->got.size[--i], more = MIN(left, c->size[i] - before);

                r->got.part[i] = r->got.part[i] == part_of(c, i, before) ? part_of(c, i, before + more)
                                                                         : ~r->got.part[i] ^ c->part[i];
                r->got.size[i] += more;
                r->got.total += more;
                r->position += more;
                return;
        }
        if (i >= c->n) {
                r->cut = true;
                return;
        }
        size = MIN(left, c->size[i]);
        r->got.part[i] = part_of(c, i, size);
        r->got.size[i] = size;
        r->got.total += size;
        r->got.n++;
        r->position += size;
}

/* Is what was read all there is? True: it has grown, and there is more to read. */
static bool follow(Reading *r) {
        uint64_t size = r->inode->content.total;

        if (r->cut || r->met || r->position < r->first.size)
                return false;
        r->met = size == r->position;
        if (size <= r->position || size > r->most)
                return false;
        r->first.size = size;
        r->grew = true;
        return true;
}

static bool path_is(const char *path, const Inode *i) {
        return !refused(path, false) && tree_at(path) == i;
}

static bool begins_with(const Content *c, const Content *start) {
        if (c->total < start->total || c->n < start->n)
                return false;
        for (unsigned i = 0; i < start->n; i++)
                if (c->part[i] != start->part[i])
                        return false;
        return true;
}

static SourceRead ask(const Reading *r, const char *path) {
        Stamp last = inode_stamp(r->inode);

        if (r->cut || !(r->met || last.size == r->position) || r->position != r->first.size ||
            last.size < r->first.size || !path_is(path, r->inode))
                return SOURCE_CHANGED;
        if (!r->restless && !r->grew && !world.tmpfs && stamp_equal(&r->first, &last))
                return SOURCE_WHOLE;
        if (!r->restless && !r->grew && !world.tmpfs && last.size <= r->first.size)
                return SOURCE_CHANGED;
        /* read again */
        if (r->inode->writers > 0 || !begins_with(&r->inode->content, &r->got))
                return SOURCE_CHANGED;
        if (!r->grew && stamp_equal(&r->first, &last))
                return SOURCE_WHOLE;
        return r->grew || last.size > r->first.size ? SOURCE_PREFIX : SOURCE_CHANGED;
}

/* The bytes are not there, only what they are like: as long as nothing changes them, their checksum is right. */
uint64_t crc64(uint64_t crc, const void *data, size_t size) {
        return crc;
}

static char *bytes_of(const Content *c) {
        Content *copy = malloc(sizeof(*copy));

        assert(copy);
        *copy = *c;
        return (char *) copy;
}

static bool read_on(Task *t, int64_t *delay) {
        Reading *r = t->reading;

        if (t->step < 3)
                return begin(t, delay);
        if (r->position < r->first.size && !r->cut) {
                read_part(r);
                *delay = a_while();
                return true;
        }
        if (t->step == 3 && follow(r)) {
                *delay = a_while();
                return true;
        }
        t->answer.stamp.size = r->first.size;
        if (t->step == 3 && r->restless) {
                t->step = 4;
                *delay = JIFFY;
                return true;
        }
        t->answer.read = ask(r, t->path);
        t->answer.size = (size_t) r->got.total;
        content_md5(&r->got, t->answer.md5);
        t->data = bytes_of(&r->got);
        return false;
}

static void file_read(Task *t) {
        Reading *r = t->reading;
        unsigned at = r->got.n;
        Content part = { 0 };

        t->answer.look = LOOK_REGULAR;
        t->answer.stamp = r->first;
        t->answer.read = SOURCE_WHOLE;
        t->answer.end = true;
        if (t->file->ended)
                return;
        read_part(r);
        while (follow(r) && r->got.n > at && r->got.size[at] < r->inode->content.size[at])
                read_part(r);
        t->answer.stamp.size = r->first.size;
        if (r->got.n > at)
                part = (Content){ { r->got.part[at] }, { r->got.size[at] }, 1, r->got.size[at] };
        if (part.total < PART_SIZE && r->position < r->first.size)
                r->cut = true; /* other bytes than those of its beginning: too short a block */
        t->answer.size = (size_t) part.total;
        t->answer.read = r->cut ? SOURCE_CHANGED : SOURCE_WHOLE;
        t->answer.end = t->file->ended = r->cut || r->position == r->first.size;
        content_md5(&part, t->answer.md5);
        memcpy(t->answer.sha256, t->answer.md5, 16);
        t->data = bytes_of(&part);
}

static void file_finish(Task *t) {
        Reading *r = t->reading;

        if (!enters_root(t))
                return;
        t->answer.look = LOOK_REGULAR;
        t->answer.stamp = r->first;
        t->answer.read = ask(r, t->path);
        t->answer.took_ns = now() - r->began;
        content_md5(&r->got, t->answer.md5);
}

static void on_task(void *data) {
        Task *t = data;
        int64_t delay = 0;
        bool more = false;

        t->happening = NULL;
        if (t->step < 100) { /* then the answer is on its way: what it says may be old when it comes */
                switch (t->kind) {
                case LOOK:
                        (void) look(t);
                        break;
                case READ:
                        more = read_on(t, &delay);
                        break;
                case FILE_OPEN:
                        more = begin(t, &delay) && t->step < 3;
                        break;
                case FILE_READ:
                        file_read(t);
                        break;
                case FILE_FINISH:
                        file_finish(t);
                        break;
                }
                if (!more) {
                        t->step = 100;
                        delay = a_while();
                }
                later(t, delay);
                return;
        }
        answer(t);
}

/* --- watch/source.h --- */

static void start(Source *s, Kind kind, const char *path, size_t room, SourceFile *file, SourceFn fn, void *userdata) {
        Task *t = calloc(1, sizeof(*t));

        assert(t && strlen(path) < PATH_ROOM);
        *t = (Task){ .next = s->tasks, .source = s, .kind = kind, .room = room, .file = file, .fn = fn };
        t->userdata = userdata;
        t->answer.look = LOOK_UNKNOWN;
        (void) snprintf(t->path, sizeof(t->path), "%s", path);
        t->reading = file ? &file->reading : &t->own;
        if (file)
                file->task = t;
        s->tasks = t;
        later(t, a_while());
}

static int submit(Source *s, Kind kind, const char *path, size_t room, SourceFile *file, SourceFn fn, void *userdata) {
        if (chance(BY_READ, badness / 10))
                return -ENOMEM;
        start(s, kind, path, room, file, fn, userdata);
        return 0;
}

int source_new(Source **ret, sd_event *loop, const char *folder, const RootId *pinned, unsigned threads, Error *e) {
        Source *s = calloc(1, sizeof(*s));

        assert(s);
        source_pin(s, pinned);
        *ret = s;
        return 0;
}

Source *source_free(Source *s) {
        while (s && s->tasks) {
                Task *t = s->tasks;

                s->tasks = t->next;
                call_off(t->happening);
                if (t->file)
                        t->file->task = NULL;
                free(t->data);
                free(t);
        }
        free(s);
        return NULL;
}

void source_pin(Source *s, const RootId *pinned) {
        s->pinned = pinned ? *pinned : (RootId){ 0 };
}

int64_t source_stuck(const Source *s) {
        return 0;
}

int source_look(Source *s, const char *path, SourceFn fn, void *userdata) {
        return submit(s, LOOK, path, 0, NULL, fn, userdata);
}

int source_read(Source *s, const char *path, size_t room, SourceFn fn, void *userdata) {
        return submit(s, READ, path, room, NULL, fn, userdata);
}

char *source_take_buffer(const SourceAnswer *answer_) {
        Task *t = (Task *) ((char *) (uintptr_t) answer_ - offsetof(Task, answer));

        return TAKE_PTR(t->data);
}

int source_file_open(Source *s, const char *path, SourceFn fn, void *userdata, SourceFile **ret) {
        SourceFile *f = calloc(1, sizeof(*f));

        assert(f);
        f->source = s;
        (void) snprintf(f->path, sizeof(f->path), "%s", path);
        if (submit(s, FILE_OPEN, path, SIZE_MAX, f, fn, userdata) < 0) {
                free(f);
                return -ENOMEM;
        }
        *ret = f;
        return 0;
}

/* Cut at fixed places: by content is tests/unit/test-cut.c's business. */
int source_file_read(SourceFile *f, const Cuts *cuts, bool md5, SourceFn fn, void *userdata) {
        assert(cuts->maximum >= PART_SIZE);

        if (!f->task)
                return submit(f->source, FILE_READ, f->path, 0, f, fn, userdata);
        f->waiting++;
        f->fn = fn;
        f->userdata = userdata;
        return 0;
}

int source_file_finish(SourceFile *f, SourceFn fn, void *userdata) {
        assert(!f->task);
        return submit(f->source, FILE_FINISH, f->path, 0, f, fn, userdata);
}

SourceFile *source_file_close(SourceFile *f) {
        if (f && f->task) {
                /* abandoned: nobody is told, and what it has open goes with it */
                Task *t = f->task;

                call_off(t->happening);
                for (Task **at = &f->source->tasks; *at; at = &(*at)->next)
                        if (*at == t) {
                                *at = t->next;
                                break;
                        }
                free(t->data);
                free(t);
        }
        free(f);
        return NULL;
}
