#include "watch/source.h"

#include "util/clock.h"
#include "util/workers.h"
#include "watch/read.h"
#include "watch/reading.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

/* A Task is one call: made on the loop, run in a worker, answered on the loop. It holds all that the worker needs, so
 * that one which is stuck in the kernel can outlive the Source. What a SourceFile has open is shared between the handle
 * and the tasks under way, and goes with the last of them.
 *
 * A block passes through two stages, each of which has one block at a time: it is read, cut and hashed, then added to
 * the MD5 of the whole. So two workers are busy with one file, and the slower stage sets the pace. */

typedef struct Folder {
        atomic_uint refs;
        char path[];
} Folder;

typedef struct OpenFile {
        atomic_uint refs;
        atomic_bool abandoned;       /* nobody waits for it: do not go on */
        ReadFile *read;              /* only the tasks under way touch it */
        atomic_int_fast64_t took[2]; /* ns: reading, summing up */
} OpenFile;

typedef enum TaskKind {
        TASK_LOOK,
        TASK_READ,
        TASK_FILE_OPEN,
        TASK_FILE_READ,
        TASK_FILE_SUM,
        TASK_FILE_FINISH
} TaskKind;

typedef struct Task {
        Work work;
        TaskKind kind;
        Folder *folder;
        RootId pinned;
        size_t room;
        Cuts cuts;
        bool md5;
        OpenFile *open;
        bool again; /* the worker has more to do, but others may have their turn first */
        char *data;
        SourceAnswer answer;
        /* the loop's */
        SourceFile *file;  /* NULL: not of one, or it was closed */
        struct Task *next; /* of those that wait for a stage */
        SourceFn fn;
        void *userdata;
        char path[];
} Task;

struct Source {
        unsigned refs;    /* the owner, and each SourceFile */
        Workers *workers; /* NULL: freed */
        Folder *folder;
        RootId pinned;
};

typedef struct Stage {
        Task *task;         /* under way */
        Task *first, *last; /* wait */
} Stage;

struct SourceFile {
        Source *source;
        OpenFile *open;
        Stage read, sum;
};

static void folder_unref(Folder *f) {
        if (f && atomic_fetch_sub(&f->refs, 1) == 1)
                free(f);
}

static OpenFile *open_ref(OpenFile *o) {
        (void) atomic_fetch_add(&o->refs, 1);
        return o;
}

static void open_unref(OpenFile *o) {
        if (o && atomic_fetch_sub(&o->refs, 1) == 1) {
                read_file_free(o->read);
                free(o);
        }
}
DEFINE_CLEANUP(OpenFile *, open_unref);

static void task_free(Task *t) {
        folder_unref(t->folder);
        open_unref(t->open);
        free(t->data);
        free(t);
}

static void task_drop(Work *work) {
        task_free((Task *) work); /* fn and userdata belong to somebody who is gone */
}

static void run_file(Task *t, OpenFile *o) {
        int64_t began = clock_boot(), reading, summing;

        if (atomic_load(&o->abandoned)) {
                t->answer = (SourceAnswer){ .look = LOOK_UNKNOWN };
                return;
        }
        if (t->kind == TASK_FILE_OPEN)
                read_file_open(o->read, &t->answer);
        else if (t->kind == TASK_FILE_READ)
                read_file_block(o->read, &t->cuts, t->md5, &t->answer, &t->data);
        else if (t->kind == TASK_FILE_SUM) {
                if (t->data && !read_file_sum(o->read, t->data, t->answer.size))
                        t->answer = (SourceAnswer){ .look = LOOK_UNKNOWN };
        } else
                t->again = !read_file_finish(o->read, &t->answer);
        (void) atomic_fetch_add(&o->took[t->kind == TASK_FILE_SUM], clock_boot() - began);
        reading = atomic_load(&o->took[0]);
        summing = atomic_load(&o->took[1]);
        t->answer.took_ns = MAX(reading, summing);
}

static void task_run(Work *work) {
        Task *t = (Task *) work;

        t->again = false;
        if (t->open)
                run_file(t, t->open);
        else if (t->kind == TASK_READ)
                read_whole(t->folder->path, &t->pinned, t->path, t->room, &t->answer, &t->data);
        else
                read_look(t->folder->path, &t->pinned, t->path, &t->answer);
}

static void stage_run(Stage *stage, Task *t) {
        stage->task = t;
        workers_submit(t->file->source->workers, &t->work);
}

static void stage_add(Stage *stage, Task *t) {
        if (!stage->task) {
                stage_run(stage, t);
                return;
        }
        if (stage->last)
                stage->last->next = t;
        else
                stage->first = t;
        stage->last = t;
}

static void stage_next(Stage *stage) {
        Task *t = stage->first;

        stage->task = NULL;
        if (!t)
                return;
        stage->first = TAKE_PTR(t->next);
        if (!stage->first)
                stage->last = NULL;
        stage_run(stage, t);
}

static void task_done(Work *work) {
        Task *t = (Task *) work;

        if (t->again && t->file) {
                workers_submit(t->file->source->workers, work);
                return;
        }
        if (t->file) { /* before the callback, which may ask for the next block, or close the file */
                stage_next(t->kind == TASK_FILE_SUM ? &t->file->sum : &t->file->read);
                if (t->kind == TASK_FILE_READ) {
                        t->kind = TASK_FILE_SUM;
                        stage_add(&t->file->sum, t);
                        return;
                }
        }
        if (t->fn)
                t->fn(&t->answer, t->userdata);
        task_free(t);
}

static Task *task_new(TaskKind kind, const char *path, SourceFn fn, void *userdata) {
        size_t n = strlen(path) + 1;
        Task *t = calloc(1, sizeof(*t) + n);

        if (!t)
                return NULL;
        t->work = (Work){ .run = task_run, .done = task_done, .drop = task_drop };
        t->kind = kind;
        t->fn = fn;
        t->userdata = userdata;
        memcpy(t->path, path, n);
        return t;
}

int source_new(Source **ret, sd_event *loop, const char *folder, const RootId *pinned, unsigned threads, Error *e) {
        _cleanup_(source_freep) Source *s = NULL;
        size_t n = strlen(folder) + 1;
        int r;

        assert(ret && loop && folder[0] == '/');

        r = reading_setup(e);
        if (r < 0)
                return r;
        s = calloc(1, sizeof(*s));
        if (!s)
                return error_oom(e);
        s->refs = 1;
        s->folder = malloc(sizeof(*s->folder) + n);
        if (!s->folder)
                return error_oom(e);
        atomic_init(&s->folder->refs, 1);
        memcpy(s->folder->path, folder, n);
        source_pin(s, pinned);
        r = workers_new(&s->workers, loop, threads, e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

static void source_unref(Source *s) {
        if (--s->refs > 0)
                return;
        folder_unref(s->folder);
        free(s);
}

Source *source_free(Source *s) {
        if (s) {
                s->workers = workers_free(s->workers);
                source_unref(s);
        }
        return NULL;
}

void source_pin(Source *s, const RootId *pinned) {
        s->pinned = pinned ? *pinned : (RootId){ 0 };
}

int64_t source_stuck(const Source *s) {
        return workers_stuck(s->workers);
}

static int submit(Source *s, TaskKind kind, const char *path, size_t room, SourceFn fn, void *userdata) {
        Task *t = task_new(kind, path, fn, userdata);

        if (!t)
                return -ENOMEM;
        (void) atomic_fetch_add(&s->folder->refs, 1);
        t->folder = s->folder;
        t->pinned = s->pinned;
        t->room = room;
        workers_submit(s->workers, &t->work);
        return 0;
}

int source_look(Source *s, const char *path, SourceFn fn, void *userdata) {
        return submit(s, TASK_LOOK, path, 0, fn, userdata);
}

int source_read(Source *s, const char *path, size_t room, SourceFn fn, void *userdata) {
        return submit(s, TASK_READ, path, room, fn, userdata);
}

char *source_take_buffer(const SourceAnswer *answer) {
        Task *t = (Task *) ((char *) (uintptr_t) answer - offsetof(Task, answer)); /* every answer is part of one */

        return TAKE_PTR(t->data);
}

static int submit_file(SourceFile *f, TaskKind kind, const Cuts *cuts, bool md5, SourceFn fn, void *userdata) {
        Task *t;

        assert(f->source->workers);

        t = task_new(kind, "", fn, userdata);
        if (!t)
                return -ENOMEM;
        t->open = open_ref(f->open);
        t->cuts = cuts ? *cuts : (Cuts){ 0 };
        t->md5 = md5;
        t->file = f;
        stage_add(&f->read, t);
        return 0;
}

int source_file_open(Source *s, const char *path, SourceFn fn, void *userdata, SourceFile **ret) {
        _cleanup_(open_unrefp) OpenFile *o = calloc(1, sizeof(*o));
        _cleanup_free_ SourceFile *f = calloc(1, sizeof(*f));
        int r;

        if (!o || !f)
                return -ENOMEM;
        atomic_init(&o->refs, 1);
        o->read = read_file_new(s->folder->path, &s->pinned, path);
        if (!o->read)
                return -ENOMEM;
        f->source = s;
        f->open = o;
        r = submit_file(f, TASK_FILE_OPEN, NULL, false, fn, userdata);
        if (r < 0)
                return r;
        o = NULL; /* f has it */
        s->refs++;
        *ret = TAKE_PTR(f);
        return 0;
}

int source_file_read(SourceFile *f, const Cuts *cuts, bool md5, SourceFn fn, void *userdata) {
        return submit_file(f, TASK_FILE_READ, cuts, md5, fn, userdata);
}

int source_file_finish(SourceFile *f, SourceFn fn, void *userdata) {
        return submit_file(f, TASK_FILE_FINISH, NULL, false, fn, userdata);
}

static void stage_close(Stage *stage, bool workers) {
        Task *t;

        /* After source_free() the task is gone, or belongs to a thread that is stuck. */
        if (stage->task && workers) {
                stage->task->file = NULL;
                stage->task->fn = NULL;
        }
        while ((t = stage->first)) {
                stage->first = t->next;
                task_free(t);
        }
}

SourceFile *source_file_close(SourceFile *f) {
        if (!f)
                return NULL;
        atomic_store(&f->open->abandoned, true);
        stage_close(&f->read, f->source->workers);
        stage_close(&f->sum, f->source->workers);
        open_unref(f->open);
        source_unref(f->source);
        free(f);
        return NULL;
}
