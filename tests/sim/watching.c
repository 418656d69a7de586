/* inotify and the watcher: the kernel's bounded queue, the real folder table (watch/tree.c), and what is told when.
 * Also the table of mounts. Stands in for watch/watcher.c and watch/mounts.c. */
#include "sim.h"

#include "watch/event.h"
#include "watch/mounts.h"
#include "watch/tree.h"
#include "watch/watcher.h"

#include <assert.h>
#include <string.h>

#define QUEUE_MAX 256u

typedef struct Told {
        int wd;
        unsigned what;
        char name[NAME_ROOM];
} Told;

typedef struct Barrier {
        struct Barrier *next;
        uint64_t number;
        WatcherBarrierFn fn;
        void *userdata;
} Barrier;

struct Watcher {
        Tree *tree;
        WatcherFn fn;
        void *userdata;
        Told queue[QUEUE_MAX];
        unsigned n;
        bool lost, unmounted;
        int64_t oldest;  /* change in the queue; 0: none */
        uint64_t number; /* of sets taken */
        bool closed, calling;
        Barrier *first, **last;
        Happening *reading;
        int next_wd;
};

static struct {
        Watcher *watcher; /* one mapping, one instance */
        bool deaf, half;
        int64_t stalled_until;
        unsigned queue_max, watches_max;
        Mounts *mounts;
        int64_t mounts_changed; /* and nobody was told yet; 0: told */
} k;

void kernel_forget(void) {
        memset(&k, 0, sizeof(k));
        k.queue_max = QUEUE_MAX;
        k.watches_max = 1000;
}

void kernel_limits(unsigned queue, unsigned watches) {
        k.queue_max = MIN(queue, QUEUE_MAX);
        k.watches_max = watches;
}

bool kernel_tells_all(void) {
        return k.watcher && !k.half && !k.deaf;
}

uint64_t kernel_told(void) {
        return k.watcher ? k.watcher->number : 0;
}

/* --- the queue --- */

static void on_read(void *data);

static void read_later(Watcher *w) {
        if (!w->reading && (w->n > 0 || w->lost || w->first))
                w->reading = after(MAX(between(BY_EVENT, 20000, SECOND / 50), k.stalled_until - now()), on_read, w);
}

static void queue(int wd, const char *name, unsigned what) {
        Watcher *w = k.watcher;
        Told *last = w && w->n > 0 ? &w->queue[w->n - 1] : NULL;

        if (!w || wd == 0)
                return;
        if (w->oldest == 0)
                w->oldest = now();
        if (last && last->wd == wd && last->what == what && strcmp(last->name, name) == 0)
                return; /* identical neighbours merge */
        if (w->n == k.queue_max) {
                SAY("kernel: the queue overflows");
                w->lost = true;
                tree_told_nothing();
        } else {
                w->queue[w->n] = (Told){ .wd = wd, .what = what };
                (void) snprintf(w->queue[w->n++].name, NAME_ROOM, "%s", name);
        }
        read_later(w);
}

void kernel_says(Inode *folder, const char *name, unsigned news) {
        if (!k.deaf || chance(BY_EVENT, 300))
                queue(folder->wd, name, news);
}

bool kernel_hears(const Inode *folder) {
        return k.watcher && !k.deaf && folder->wd != 0 && !k.watcher->lost;
}

void kernel_self(Inode *folder, unsigned what) {
        queue(folder->wd, "", what);
        if (what & EVENT_DEAD)
                folder->wd = 0;
}

void kernel_stall(int64_t for_ns) {
        k.stalled_until = now() + for_ns;
}

void kernel_deaf(bool deaf) {
        k.deaf = deaf;
}

bool kernel_is_deaf(void) {
        return k.deaf;
}

int64_t kernel_untold_since(void) {
        int64_t since = k.watcher && k.watcher->oldest > 0 ? k.watcher->oldest - 1 : now();

        return k.mounts_changed > 0 ? MIN(since, k.mounts_changed - 1) : since;
}

/* --- from events to paths, as watcher.c does --- */

static void tell(Watcher *w, const TreeNode *n, const char *name, unsigned news) {
        char path[PATH_ROOM * 4];
        size_t size = n ? tree_path_size(n) : 0;

        assert(size + NAME_ROOM + 2 < sizeof(path));
        if (w->closed || news == 0)
                return;
        if (n)
                tree_path(n, path);
        path[size] = '\0';
        if (name[0])
                (void) snprintf(path + size, sizeof(path) - size, "%s%s", size > 0 ? "/" : "", name);
        SAY("event: %s %x", path, news);
        if (!(news & WATCH_SUBTREE))
                check_heard(path);
        w->fn(path, news, w->userdata);
}

static void resolve(Watcher *w, const Told *event) {
        const unsigned of_file = WATCH_CONTENT | WATCH_CLOSED | WATCH_NAME;
        unsigned news = event->what & (EVENT_GONE - 1), self = 0;
        TreeNode *n = tree_by_wd(w->tree, event->wd);

        if (!n && (news & WATCH_CONTENT)) /* its folder is watched anew since, after an unmount, say: no path is told */
                tree_told_nothing();
        if (!n)
                return;
        if ((event->what & EVENT_UNMOUNTED) && !w->unmounted) {
                w->unmounted = true;
                self |= WATCH_ROOT | WATCH_SUBTREE;
        }
        if (tree_is_root(n) && (event->what & (EVENT_GONE | EVENT_MOVED)))
                self |= WATCH_ROOT;
        if (tree_is_root(n) && (event->what & EVENT_CHANGED))
                self |= WATCH_ATTRIB | WATCH_SUBTREE;
        tell(w, NULL, "", self);
        if ((news & of_file) || !(news & WATCH_SUBTREE))
                tell(w, n, event->name, news & ~(unsigned) WATCH_SUBTREE);
        if (news & WATCH_SUBTREE)
                tell(w, n, event->name, news & (WATCH_SUBTREE | WATCH_ATTRIB));
        if (event->what & EVENT_DEAD)
                tree_forget(w->tree, n);
}

/* The reader's set: one entry per (wd, name), in the order of their first news. */
static unsigned gather(Told *set, const Told *queue, unsigned n) {
        unsigned count = 0;

        for (unsigned i = 0; i < n; i++) {
                unsigned at = 0;

                while (at < count && (set[at].wd != queue[i].wd || strcmp(set[at].name, queue[i].name) != 0))
                        at++;
                if (at == count)
                        set[count++] = queue[i];
                else
                        set[at].what |= queue[i].what;
        }
        return count;
}

static void watcher_dispose(Watcher *w) {
        while (w->first) {
                Barrier *b = w->first;

                w->first = b->next;
                free(b);
        }
        tree_free(w->tree);
        free(w);
}

static void on_read(void *data) {
        Watcher *w = data;
        Told set[QUEUE_MAX];
        unsigned n = gather(set, w->queue, w->n);
        bool lost = w->lost;
        uint64_t number = ++w->number;

        w->reading = NULL;
        w->n = 0;
        w->lost = w->unmounted = false;
        w->oldest = 0;
        w->calling = true;
        if (lost)
                w->fn("", WATCH_SUBTREE | WATCH_OVERFLOW, w->userdata);
        for (unsigned i = 0; i < n && !w->closed; i++)
                resolve(w, &set[i]);
        while (!w->closed && w->first && w->first->number <= number) {
                Barrier *b = w->first;

                w->first = b->next;
                if (!w->first)
                        w->last = &w->first;
                b->fn(b->userdata);
                free(b);
        }
        w->calling = false;
        if (w->closed)
                watcher_dispose(w);
        else
                read_later(w);
}

int watcher_new(Watcher **ret, sd_event *loop, WatcherFn fn, void *userdata, Error *e) {
        HashSeed seed = { draw(BY_DAEMON), 0 };
        Watcher *w;

        if (chance(BY_EVENT, 10))
                return error_set(e, -EMFILE, ERROR_OS, EMFILE, "no inotify instance to be had");
        w = calloc(1, sizeof(*w));
        assert(w && !k.watcher);
        if (tree_new(&w->tree, &seed) < 0)
                abort();
        w->fn = fn;
        w->userdata = userdata;
        w->last = &w->first;
        w->next_wd = 1;
        k.watcher = w;
        k.half = false;
        *ret = w;
        return 0;
}

Watcher *watcher_free(Watcher *w) {
        if (!w)
                return NULL;
        k.watcher = NULL;
        tree_told_nothing();
        for (Inode *i = world.all; i; i = i->next)
                i->wd = 0;
        call_off(w->reading);
        w->closed = true;
        if (!w->calling)
                watcher_dispose(w);
        return NULL;
}

Watcher *watcher_ref(Watcher *w) {
        return w;
}

Watcher *watcher_unref(Watcher *w) {
        return NULL;
}

int watcher_barrier(Watcher *w, WatcherBarrierFn fn, void *userdata) {
        Barrier *b = calloc(1, sizeof(*b));

        assert(b);
        *b = (Barrier){ .number = w->number + 1, .fn = fn, .userdata = userdata };
        *w->last = b;
        w->last = &b->next;
        read_later(w);
        return 0;
}

int64_t watcher_stuck(Watcher *w) {
        return 0;
}

unsigned watcher_watches(const Watcher *w) {
        return (unsigned) tree_size(w->tree);
}

/* --- what the walk does to the table, as watcher.c --- */

static Inode *inode_by_wd(int wd) {
        for (Inode *i = world.all; i; i = i->next)
                if (i->wd == wd)
                        return i;
        return NULL;
}

static void remove_watches(TreeNode *dropped) {
        int wd;

        while (tree_dropped(&dropped, &wd)) {
                Inode *i = inode_by_wd(wd);

                if (i)
                        i->wd = 0;
        }
}

void watch_drop(Watcher *w, const char *path) {
        TreeNode *dropped = NULL, *n = tree_find(w->tree, path);

        if (n)
                tree_cut(w->tree, n, &dropped);
        remove_watches(dropped);
}

void watch_folder(Watcher *w, const char *path, Inode *folder, unsigned *unwatched) {
        TreeNode *dropped = NULL;

        if (folder->wd == 0) {
                if (tree_size(w->tree) >= k.watches_max) {
                        SAY("walk: no watch left for %s", path);
                        watch_drop(w, path);
                        (*unwatched)++;
                        k.half = true;
                        return;
                }
                folder->wd = w->next_wd++;
        }
        if (tree_put(w->tree, path, folder->wd, &dropped) < 0)
                abort();
        remove_watches(dropped);
}

void watch_keep_only(Watcher *w, const char *path, const char *const *names, size_t n) {
        TreeNode *dropped = NULL, *node = tree_find(w->tree, path);

        if (node)
                tree_keep_only(w->tree, node, names, n, &dropped);
        remove_watches(dropped);
}

/* --- mounts --- */

struct Mounts {
        MountsFn fn;
        void *userdata;
};

static void on_mounts(void *data) {
        k.mounts_changed = 0;
        if (k.mounts)
                mounts_ask(k.mounts);
}

void kernel_mounts_changed(void) {
        if (k.mounts_changed == 0)
                k.mounts_changed = now();
        if (k.watcher && chance(BY_EVENT, 500)) /* else it was a lazy one, or one on top: no event (2.1) */
                queue(1, "", EVENT_UNMOUNTED);
        (void) after(between(BY_EVENT, 1000, SECOND / 10), on_mounts, NULL);
}

bool kernel_mounts_told(void) {
        return k.mounts_changed == 0;
}

int mounts_new(Mounts **ret, sd_event *loop, MountsFn fn, void *userdata, Error *e) {
        Mounts *m = calloc(1, sizeof(*m));

        assert(m && !k.mounts);
        *m = (Mounts){ fn, userdata };
        k.mounts = m;
        *ret = m;
        return 0;
}

Mounts *mounts_free(Mounts *m) {
        if (m)
                k.mounts = NULL;
        free(m);
        return NULL;
}

void mounts_ask(Mounts *m) {
        _cleanup_buf_ Buf table = BUF_INIT(256);

        if (buf_printf(&table, "%llu %d", (unsigned long long) world.mount_id, (int) world.mounted) >= 0)
                m->fn(&table, m->userdata);
}

uint64_t mounts_digest(const char *table, const char *folder) {
        uint64_t h = 7;

        for (; *table; table++)
                h = h * 31 + (uint8_t) *table;
        return h;
}
