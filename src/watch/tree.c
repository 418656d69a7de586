#include "watch/tree.h"

#include <assert.h>
#include <string.h>

struct TreeNode {
        TreeNode *parent; /* NULL: the root */
        TreeNode *first, *next, *previous;
        TreeNode *by_name; /* chain of the table; for a dropped node, the chain of dropped ones */
        char *name;        /* apart, so that a node keeps its address when it is moved, and its children their parent */
        int wd;            /* -1: not watched */
        uint32_t hash;     /* of (parent, name) */
};

/* Watch descriptors are found by open addressing, names by chains: nothing but the node itself is allocated for a
 * folder. */
struct Tree {
        HashSeed seed;
        TreeNode root;
        TreeNode **wds;
        size_t n_wds, wds_room; /* a power of two, never more than half full */
        TreeNode **names;
        size_t n_names, names_room; /* likewise a power of two */
};

#define FIRST_ROOM ((size_t) 64)

int tree_new(Tree **ret, const HashSeed *seed) {
        _cleanup_(tree_freep) Tree *t = calloc(1, sizeof(*t));

        if (!t)
                return -ENOMEM;
        t->seed = *seed;
        t->root.wd = -1;
        t->wds = calloc(FIRST_ROOM, sizeof(TreeNode *));
        t->names = calloc(FIRST_ROOM, sizeof(TreeNode *));
        if (!t->wds || !t->names)
                return -ENOMEM;
        t->wds_room = t->names_room = FIRST_ROOM;
        *ret = TAKE_PTR(t);
        return 0;
}

Tree *tree_free(Tree *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->names_room; i++)
                for (TreeNode *n = t->names[i], *next; n; n = next) {
                        next = n->by_name;
                        free(n->name);
                        free(n);
                }
        free(t->wds);
        free(t->names);
        free(t);
        return NULL;
}

/* --- by watch descriptor --- */

static size_t wd_home(const Tree *t, int wd) {
        return ((uint32_t) wd * UINT32_C(2654435761) >> 7) & (t->wds_room - 1); /* the kernel chooses them: no seed */
}

TreeNode *tree_by_wd(const Tree *t, int wd) {
        if (wd < 0)
                return NULL;
        for (size_t at = wd_home(t, wd); t->wds[at]; at = (at + 1) & (t->wds_room - 1))
                if (t->wds[at]->wd == wd)
                        return t->wds[at];
        return NULL;
}

static void wds_insert(Tree *t, TreeNode *n) {
        size_t at = wd_home(t, n->wd);

        while (t->wds[at])
                at = (at + 1) & (t->wds_room - 1);
        t->wds[at] = n;
}

static int wds_reserve(Tree *t) {
        TreeNode **old = t->wds, **more;
        size_t room = t->wds_room;

        if ((t->n_wds + 1) * 2 <= room)
                return 0;
        more = calloc(room * 2, sizeof(TreeNode *));
        if (!more)
                return -ENOMEM;
        t->wds = more;
        t->wds_room = room * 2;
        for (size_t i = 0; i < room; i++)
                if (old[i])
                        wds_insert(t, old[i]);
        free(old);
        return 0;
}

static void watch(Tree *t, TreeNode *n, int wd) { /* after wds_reserve() */
        n->wd = wd;
        wds_insert(t, n);
        t->n_wds++;
}

static void unwatch(Tree *t, TreeNode *n) {
        size_t mask = t->wds_room - 1, hole, home;

        if (n->wd < 0)
                return;
        for (hole = wd_home(t, n->wd); t->wds[hole] != n; hole = (hole + 1) & mask)
                assert(t->wds[hole]);
        /* no tombstones: whatever could stand nearer to its home moves up */
        for (size_t at = (hole + 1) & mask; t->wds[at]; at = (at + 1) & mask) {
                home = wd_home(t, t->wds[at]->wd);
                if (((at - home) & mask) >= ((at - hole) & mask)) {
                        t->wds[hole] = t->wds[at];
                        hole = at;
                }
        }
        t->wds[hole] = NULL;
        t->n_wds--;
        n->wd = -1;
}

/* --- by name --- */

static uint32_t name_hash(const Tree *t, const TreeNode *parent, const char *name, size_t size) {
        return hash_of(&t->seed, (uint64_t) (uintptr_t) parent, name, size);
}

static TreeNode *child(const Tree *t, const TreeNode *parent, const char *name, size_t size) {
        uint32_t hash = name_hash(t, parent, name, size);
        TreeNode *n = t->names[hash & (t->names_room - 1)];

        while (n && !(n->hash == hash && n->parent == parent && strncmp(n->name, name, size) == 0 && !n->name[size]))
                n = n->by_name;
        return n;
}

static void names_grow(Tree *t) {
        size_t room = t->names_room * 2;
        TreeNode **more;

        if (t->n_names < t->names_room)
                return;
        more = calloc(room, sizeof(TreeNode *));
        if (!more)
                return; /* longer chains are slower, not wrong */
        for (size_t i = 0; i < t->names_room; i++)
                for (TreeNode *n = t->names[i], *next; n; n = next) {
                        next = n->by_name;
                        n->by_name = more[n->hash & (room - 1)];
                        more[n->hash & (room - 1)] = n;
                }
        free(t->names);
        t->names = more;
        t->names_room = room;
}

static void attach(Tree *t, TreeNode *n, TreeNode *parent) {
        TreeNode **slot;

        names_grow(t);
        n->hash = name_hash(t, parent, n->name, strlen(n->name));
        slot = &t->names[n->hash & (t->names_room - 1)];
        n->by_name = *slot;
        *slot = n;
        t->n_names++;

        n->parent = parent;
        n->previous = NULL;
        n->next = parent->first;
        if (n->next)
                n->next->previous = n;
        parent->first = n;
}

static void detach(Tree *t, TreeNode *n) {
        TreeNode **slot = &t->names[n->hash & (t->names_room - 1)];

        while (*slot != n) {
                assert(*slot);
                slot = &(*slot)->by_name;
        }
        *slot = n->by_name;
        n->by_name = NULL;
        t->n_names--;

        if (n->previous)
                n->previous->next = n->next;
        else
                n->parent->first = n->next;
        if (n->next)
                n->next->previous = n->previous;
        n->parent = n->next = n->previous = NULL;
}

/* --- paths --- */

TreeNode *tree_find(const Tree *t, const char *path) {
        const TreeNode *n = &t->root;

        while (n && *path) {
                size_t size = strcspn(path, "/");

                n = child(t, n, path, size);
                path += size + (path[size] == '/');
        }
        return (TreeNode *) n;
}

bool tree_is_root(const TreeNode *n) {
        return !n->parent;
}

int tree_wd(const TreeNode *n) {
        return n->wd;
}

size_t tree_size(const Tree *t) {
        return t->n_wds;
}

size_t tree_nodes(const Tree *t) {
        return t->n_names;
}

size_t tree_path_size(const TreeNode *n) {
        size_t size = 0;

        for (; n->parent; n = n->parent)
                size += strlen(n->name) + (n->parent->parent ? 1 : 0);
        return size;
}

void tree_path(const TreeNode *n, char *ret) {
        char *at = ret + tree_path_size(n);

        for (; n->parent; n = n->parent) {
                size_t size = strlen(n->name);

                at -= size;
                memcpy(at, n->name, size);
                if (n->parent->parent)
                        *--at = '/';
        }
}

int tree_compare(const char *a, const char *b) {
        unsigned char x, y;

        while (*a && *a == *b) {
                a++;
                b++;
        }
        x = *a ? (unsigned char) *a : '/';
        y = *b ? (unsigned char) *b : '/';
        return (x > y) - (x < y);
}

/* --- change --- */

/* Nodes that are neither watched nor lead to one that is serve no purpose. */
static void prune(Tree *t, TreeNode *n) {
        while (n && n->parent && !n->first && n->wd < 0) {
                TreeNode *parent = n->parent;

                detach(t, n);
                free(n->name);
                free(n);
                n = parent;
        }
}

static void drop(Tree *t, TreeNode *n, TreeNode **dropped) {
        int wd = n->wd;

        unwatch(t, n);
        detach(t, n);
        n->wd = wd;
        n->by_name = *dropped;
        *dropped = n;
}

static void cut_beneath(Tree *t, TreeNode *top, TreeNode **dropped) {
        TreeNode *n = top;

        while (top->first) { /* leaves first, without recursion: a tree may be very deep (6.7) */
                TreeNode *parent;

                while (n->first)
                        n = n->first;
                parent = n->parent;
                drop(t, n, dropped);
                n = parent;
        }
}

void tree_cut(Tree *t, TreeNode *n, TreeNode **dropped) {
        TreeNode *parent = n->parent;

        cut_beneath(t, n, dropped);
        if (parent) {
                drop(t, n, dropped);
                prune(t, parent);
        } else if (n->wd >= 0) {
                /* the root is part of the Tree: a stand-in carries its wd out. Without memory the kernel keeps a watch
                 * whose events nobody knows: harmless. */
                TreeNode *carrier = calloc(1, sizeof(*carrier));

                if (carrier) {
                        carrier->wd = n->wd;
                        carrier->by_name = *dropped;
                        *dropped = carrier;
                }
                unwatch(t, n);
        }
}

bool tree_dropped(TreeNode **dropped, int *ret_wd) {
        while (*dropped) {
                TreeNode *n = *dropped;
                int wd = n->wd;

                *dropped = n->by_name;
                free(n->name);
                free(n);
                if (wd >= 0) {
                        *ret_wd = wd;
                        return true;
                }
        }
        return false;
}

void tree_forget(Tree *t, TreeNode *n) {
        unwatch(t, n);
        prune(t, n);
}

static int compare_key(const void *key, const void *element) {
        return tree_compare(key, *(const char *const *) element);
}

void tree_keep_only(Tree *t, TreeNode *n, const char *const *names, size_t count, TreeNode **dropped) {
        for (TreeNode *c = n->first, *next; c; c = next) {
                next = c->next;
                if (count > 0 && bsearch(c->name, names, count, sizeof(*names), compare_key))
                        continue;
                cut_beneath(t, c, dropped);
                drop(t, c, dropped);
        }
        prune(t, n);
}

/* The child of that name, made if it is missing. */
static TreeNode *make_child(Tree *t, TreeNode *parent, const char *name, size_t size) {
        TreeNode *n = child(t, parent, name, size);

        if (n)
                return n;
        n = calloc(1, sizeof(*n));
        if (!n)
                return NULL;
        n->wd = -1;
        n->name = strndup(name, size);
        if (!n->name) {
                free(n);
                return NULL;
        }
        attach(t, n, parent);
        return n;
}

static bool above(const TreeNode *a, const TreeNode *n) {
        while (n && n != a)
                n = n->parent;
        return n != NULL;
}

/* `n` goes to be the child `name` of `parent`. Neither is above the other's place, and nothing stands there. */
static int transfer(Tree *t, TreeNode *n, TreeNode *parent, const char *name) {
        TreeNode *old = n->parent;
        char *copy = strdup(name);

        if (!copy)
                return -ENOMEM;
        detach(t, n);
        free(n->name);
        n->name = copy;
        attach(t, n, parent);
        prune(t, old);
        return 0;
}

/* Whether `wd` lies above the place it shall go to, or that place above it: what the tree says is outdated, for no
 * folder can be moved beneath itself. Its branch is not believed any more, and only the watch itself goes on. */
static bool tangled(const Tree *t, const TreeNode *n, const char *path) {
        const TreeNode *at = &t->root;

        while (at && *path) {
                size_t size = strcspn(path, "/");

                if (at == n)
                        return true;
                at = child(t, at, path, size);
                path += size + (path[size] == '/');
        }
        return at && above(at, n);
}

int tree_put(Tree *t, const char *path, int wd, TreeNode **dropped) {
        TreeNode *n, *at, *parent = &t->root;

        assert(wd >= 0);

        n = tree_by_wd(t, wd);
        at = tree_find(t, path);
        if (n && n == at)
                return 0;
        if (wds_reserve(t) < 0)
                return -ENOMEM;
        if (n && (tree_is_root(n) || tangled(t, n, path))) {
                unwatch(t, n);
                if (tree_is_root(n)) /* all else is beneath it */
                        cut_beneath(t, n, dropped);
                else
                        tree_cut(t, n, dropped);
                n = NULL;
                at = tree_find(t, path);
        }
        if (at && (n || at->wd >= 0)) /* another folder stood here */
                tree_cut(t, at, dropped);
        for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
                parent = make_child(t, parent, path, (size_t) (slash - path));
                if (!parent)
                        return -ENOMEM;
        }
        if (n)
                return transfer(t, n, parent, path);
        at = *path ? make_child(t, parent, path, strlen(path)) : &t->root;
        if (!at) {
                prune(t, parent);
                return -ENOMEM;
        }
        watch(t, at, wd);
        return 0;
}
