#include "watch/ahead.h"

#include "util/thread.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define SLOTS 256u
#define LOOKS 256u                      /* entries of one folder that are looked at ahead of the walk */
#define HELD_MAX ((size_t) 4096 * 1024) /* bytes about folders done: nobody begins another one beyond that */
#define STACK_SIZE ((size_t) 256 * 1024)
#define THREADS_MAX 15u

typedef enum SlotState {
        SLOT_FREE,
        SLOT_OFFERED,
        SLOT_RUNNING,
        SLOT_DONE,
        SLOT_REFUSED, /* for want of descriptors or memory: the walk alone needs less of them */
} SlotState;

typedef struct Slot {
        SlotState state;
        size_t level, at;
        int parent;
        const char *name;
        char *path;
        Folder folder;
        size_t held;
} Slot;

struct Ahead {
        WalkRoot *root;
        unsigned threads_wanted;
        pthread_t threads[THREADS_MAX];
        unsigned n_threads;
        pthread_mutex_t lock; /* never held across a call into the file system */
        pthread_cond_t offered, done;
        bool over;
        unsigned used;
        size_t held;
        Slot slots[SLOTS];
};

/* --- a thread of it --- */

/* What the walk needs next: deep in the tree before what is beside it further up. */
static Slot *next(Ahead *a) {
        Slot *best = NULL;

        if (a->held > HELD_MAX)
                return NULL;
        for (Slot *s = a->slots; s < a->slots + SLOTS; s++)
                if (s->state == SLOT_OFFERED &&
                    (!best || s->level > best->level || (s->level == best->level && s->at < best->at)))
                        best = s;
        return best;
}

/* Under the lock, which it gives up meanwhile. */
static void run(Ahead *a, Slot *s, char *buffer) {
        s->state = SLOT_RUNNING;
        (void) pthread_mutex_unlock(&a->lock);
        folder_visit(a->root, s->parent, s->name, s->path, buffer, &s->folder);
        folder_look_ahead(a->root, &s->folder, LOOKS);
        (void) pthread_mutex_lock(&a->lock);
        s->state = s->folder.outcome == FOLDER_UNKNOWN && error_is_shortage(s->folder.error) ? SLOT_REFUSED : SLOT_DONE;
        s->held = s->folder.listing.n * (sizeof(ListingEntry) + 32) + s->folder.n_sights * sizeof(Sight);
        a->held += s->held;
        (void) pthread_cond_signal(&a->done);
}

static void *ahead_main(void *userdata) {
        Ahead *a = userdata;
        char *buffer = malloc(LISTING_ROOM);
        Slot *s;

        (void) pthread_mutex_lock(&a->lock);
        while (buffer && !a->over) {
                s = next(a);
                if (s)
                        run(a, s, buffer);
                else
                        (void) pthread_cond_wait(&a->offered, &a->lock);
        }
        (void) pthread_mutex_unlock(&a->lock);
        free(buffer);
        return NULL;
}

/* --- the walk's thread --- */

Ahead *ahead_new(WalkRoot *root, unsigned threads) {
        Ahead *a = calloc(1, sizeof(*a));

        if (!a)
                return NULL;
        a->root = root;
        a->threads_wanted = MIN(threads, THREADS_MAX);
        a->lock = (pthread_mutex_t) PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP; /* held for less than a sleep costs */
        (void) pthread_cond_init(&a->offered, NULL);
        (void) pthread_cond_init(&a->done, NULL);
        return a;
}

static void clear(Ahead *a, Slot *s) {
        if (a->held > HELD_MAX)
                (void) pthread_cond_broadcast(&a->offered);
        a->held -= s->held;
        a->used--;
        free(s->path);
        *s = (Slot){ .state = SLOT_FREE };
}

Ahead *ahead_free(Ahead *a) {
        if (!a)
                return NULL;
        (void) pthread_mutex_lock(&a->lock);
        a->over = true;
        (void) pthread_cond_broadcast(&a->offered);
        (void) pthread_mutex_unlock(&a->lock);
        for (unsigned i = 0; i < a->n_threads; i++)
                (void) pthread_join(a->threads[i], NULL);
        for (Slot *s = a->slots; s < a->slots + SLOTS; s++)
                if (s->state != SLOT_FREE) {
                        folder_done(&s->folder);
                        clear(a, s);
                }
        (void) pthread_cond_destroy(&a->offered);
        (void) pthread_cond_destroy(&a->done);
        (void) pthread_mutex_destroy(&a->lock);
        free(a);
        return NULL;
}

unsigned ahead_room(const Ahead *a) {
        unsigned left = SLOTS - a->used; /* changed by this thread alone */

        return MIN(AHEAD_OF_ONE, left / 2);
}

bool ahead_offer(Ahead *a, size_t level, size_t at, int parent, const char *name, const char *path) {
        Slot *s = a->slots;
        char *copy = strdup(path);

        if (!copy)
                return false;
        while (a->n_threads < a->threads_wanted) {
                if (thread_start(&a->threads[a->n_threads], "walker", STACK_SIZE, ahead_main, a) < 0)
                        a->threads_wanted = a->n_threads; /* as many as there may be */
                else
                        a->n_threads++;
        }
        (void) pthread_mutex_lock(&a->lock);
        while (s->state != SLOT_FREE)
                s++;
        assert(s < a->slots + SLOTS);
        *s = (Slot){ SLOT_OFFERED, level, at, parent, name, copy, FOLDER_NULL, 0 };
        a->used++;
        (void) pthread_cond_signal(&a->offered);
        (void) pthread_mutex_unlock(&a->lock);
        return true;
}

bool ahead_take(Ahead *a, size_t level, size_t at, char *buffer, Folder *ret) {
        Slot *s = a->slots;
        bool taken = false;

        (void) pthread_mutex_lock(&a->lock);
        while (s < a->slots + SLOTS && !(s->state != SLOT_FREE && s->level == level && s->at == at))
                s++;
        if (s < a->slots + SLOTS) {
                while (s->state == SLOT_RUNNING) {
                        Slot *other = next(a); /* rather than sleep: where folders are small, that costs as much */

                        if (other)
                                run(a, other, buffer);
                        else
                                (void) pthread_cond_wait(&a->done, &a->lock);
                }
                taken = s->state == SLOT_DONE;
                if (taken)
                        *ret = s->folder; /* else there is nothing in it */
                clear(a, s);
        }
        (void) pthread_mutex_unlock(&a->lock);
        return taken;
}

void ahead_release(Ahead *a, size_t level, bool drop) {
        Folder f;

        (void) pthread_mutex_lock(&a->lock);
        for (Slot *s = a->slots; s < a->slots + SLOTS; s++) {
                if (s->state == SLOT_FREE || s->level != level)
                        continue;
                while (s->state == SLOT_RUNNING)
                        (void) pthread_cond_wait(&a->done, &a->lock);
                if (s->state == SLOT_DONE && !drop)
                        continue;
                f = s->folder;
                clear(a, s);
                (void) pthread_mutex_unlock(&a->lock);
                folder_done(&f);
                (void) pthread_mutex_lock(&a->lock);
        }
        (void) pthread_mutex_unlock(&a->lock);
}
