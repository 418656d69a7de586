#include "watch/tree.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

struct TreeNode {
        TreeNode *parent, *first_child, *next, *prev; /* siblings */
        TreeNode *wd_next, *name_next;                /* hash chains */
        uint32_t hash;                                /* of (parent, name) */
        int wd;
        char name[];
};

struct Tree {
        TreeNode *root;
        TreeNode **by_wd, **by_name; /* power-of-two tables of the same size */
        size_t room, n;
};

#define FIRST_ROOM 256u

int tree_new(Tree **ret) {
        _cleanup_(tree_freep) Tree *t = calloc(1, sizeof(*t));

        if (!t)
                return -ENOMEM;
        t->room = FIRST_ROOM;
        t->by_wd = calloc(t->room, sizeof(TreeNode *));
        t->by_name = calloc(t->room, sizeof(TreeNode *));
        if (!t->by_wd || !t->by_name)
                return -ENOMEM;
        *ret = TAKE_PTR(t);
        return 0;
}

static uint32_t hash_name(const TreeNode *parent, const char *name, size_t size) {
        uint64_t h = (uint64_t) (uintptr_t) parent * UINT64_C(0x9e3779b97f4a7c15);

        for (size_t i = 0; i < size; i++)
                h = (h ^ (uint8_t) name[i]) * UINT64_C(0x100000001b3);
        return (uint32_t) (h ^ (h >> 32));
}

static size_t slot_wd(const Tree *t, int wd) {
        return ((uint32_t) wd * 2654435761U) & (t->room - 1);
}

static void index_add(Tree *t, TreeNode *n) {
        TreeNode **w = &t->by_wd[slot_wd(t, n->wd)], **h = &t->by_name[n->hash & (t->room - 1)];

        n->wd_next = *w;
        *w = n;
        n->name_next = *h;
        *h = n;
}

static void unchain_wd(Tree *t, TreeNode *n) {
        TreeNode **at = &t->by_wd[slot_wd(t, n->wd)];

        while (*at && *at != n)
                at = &(*at)->wd_next;
        if (*at)
                *at = n->wd_next;
}

static void unchain_name(Tree *t, TreeNode *n) {
        TreeNode **at = &t->by_name[n->hash & (t->room - 1)];

        while (*at && *at != n)
                at = &(*at)->name_next;
        if (*at)
                *at = n->name_next;
}

static void tree_grow(Tree *t) {
        TreeNode **wd = calloc(t->room * 2, sizeof(TreeNode *)), **name = calloc(t->room * 2, sizeof(TreeNode *));
        TreeNode **old = t->by_wd;
        size_t room = t->room;

        if (!wd || !name) { /* longer chains are slower, not wrong */
                free(wd);
                free(name);
                return;
        }
        free(t->by_name);
        t->by_wd = wd;
        t->by_name = name;
        t->room = room * 2;
        for (size_t i = 0; i < room; i++)
                for (TreeNode *n = old[i], *next; n; n = next) {
                        next = n->wd_next;
                        index_add(t, n);
                }
        free(old);
}

TreeNode *tree_by_wd(const Tree *t, int wd) {
        TreeNode *n = t->by_wd[slot_wd(t, wd)];

        while (n && n->wd != wd)
                n = n->wd_next;
        return n;
}

static TreeNode *child(const Tree *t, const TreeNode *parent, const char *name, size_t size) {
        uint32_t hash = hash_name(parent, name, size);
        TreeNode *n = t->by_name[hash & (t->room - 1)];

        while (n &&
               !(n->hash == hash && n->parent == parent && strncmp(n->name, name, size) == 0 && n->name[size] == '\0'))
                n = n->name_next;
        return n;
}

TreeNode *tree_find(const Tree *t, const char *path) {
        TreeNode *n = t->root;

        while (n && *path) {
                size_t size = strcspn(path, "/");

                n = child(t, n, path, size);
                path += size + (path[size] == '/');
        }
        return n;
}

int tree_wd(const TreeNode *n) {
        return n->wd;
}

size_t tree_size(const Tree *t) {
        return t->n;
}

static void link_child(TreeNode *parent, TreeNode *n) {
        n->parent = parent;
        n->prev = NULL;
        n->next = parent->first_child;
        if (n->next)
                n->next->prev = n;
        parent->first_child = n;
}

static void unlink_child(TreeNode *n) {
        if (n->prev)
                n->prev->next = n->next;
        else if (n->parent)
                n->parent->first_child = n->next;
        if (n->next)
                n->next->prev = n->prev;
        n->next = n->prev = NULL;
}

void tree_remove(Tree *t, TreeNode *n, void (*dropped)(int wd, void *userdata), void *userdata) {
        TreeNode *at = n;

        if (n == t->root)
                t->root = NULL;
        unlink_child(n);
        /* leaves first, without recursion: a tree may be very deep (6.7) */
        for (;;) {
                TreeNode *parent = at->parent;
                bool last = at == n;

                if (at->first_child) {
                        at = at->first_child;
                        continue;
                }
                if (!last)
                        unlink_child(at);
                unchain_wd(t, at);
                unchain_name(t, at);
                t->n--;
                if (dropped)
                        dropped(at->wd, userdata);
                free(at);
                if (last)
                        return;
                at = parent;
        }
}

Tree *tree_free(Tree *t) {
        if (!t)
                return NULL;
        if (t->root)
                tree_remove(t, t->root, NULL, NULL);
        free(t->by_wd);
        free(t->by_name);
        free(t);
        return NULL;
}

static TreeNode *parent_of(const Tree *t, const char *path, const char **ret_name) {
        const char *slash = strrchr(path, '/');
        TreeNode *n = t->root;

        *ret_name = slash ? slash + 1 : path;
        while (n && path < *ret_name) {
                size_t size = strcspn(path, "/");

                n = child(t, n, path, size);
                path += size + 1;
        }
        return n;
}

int tree_add(Tree *t, const char *path, int wd) {
        TreeNode *parent = NULL, *n = tree_find(t, path);
        const char *name = "";

        if (n && n->wd == wd)
                return 0;
        if (n)
                tree_remove(t, n, NULL,
                            NULL); /* deleted and made again: the old watches died with their folders (1.6) */
        if (path[0]) {
                parent = parent_of(t, path, &name);
                if (!parent)
                        return -ENOENT;
        }
        n = calloc(1, sizeof(*n) + strlen(name) + 1);
        if (!n)
                return -ENOMEM;
        memcpy(n->name, name, strlen(name) + 1);
        n->wd = wd;
        n->hash = hash_name(parent, name, strlen(name));
        if (parent)
                link_child(parent, n);
        else
                t->root = n;
        if (t->n >= t->room)
                tree_grow(t);
        index_add(t, n);
        t->n++;
        return 0;
}

int tree_move(Tree *t, TreeNode *n, const char *path) {
        TreeNode *there = tree_find(t, path), *parent, *moved;
        const char *name;

        if (there == n)
                return 0;
        parent = path[0] ? parent_of(t, path, &name) : NULL;
        if (!parent)
                return -ENOENT;
        for (const TreeNode *up = parent; up; up = up->parent)
                if (up == n)
                        return -ELOOP;
        if (there) {
                for (const TreeNode *up = n->parent; up; up = up->parent)
                        if (up == there)
                                return -ELOOP;
                tree_remove(t, there, NULL, NULL);
        }
        /* the name lives in the node: a new one takes its place, and its children follow by one pointer each */
        moved = calloc(1, sizeof(*moved) + strlen(name) + 1);
        if (!moved)
                return -ENOMEM;
        memcpy(moved->name, name, strlen(name) + 1);
        moved->wd = n->wd;
        unlink_child(n);
        unchain_wd(t, n);
        unchain_name(t, n);
        moved->first_child = n->first_child;
        for (TreeNode *c = moved->first_child; c; c = c->next) {
                unchain_name(t, c);
                c->parent = moved;
                c->hash = hash_name(moved, c->name, strlen(c->name));
                c->name_next = t->by_name[c->hash & (t->room - 1)];
                t->by_name[c->hash & (t->room - 1)] = c;
        }
        free(n);
        moved->hash = hash_name(parent, name, strlen(name));
        link_child(parent, moved);
        index_add(t, moved);
        return 0;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(a, *(const char *const *) b);
}

void tree_keep_only(Tree *t, TreeNode *n, const char *const *names, size_t count,
                    void (*dropped)(int wd, void *userdata), void *userdata) {
        for (TreeNode *c = n->first_child, *next; c; c = next) {
                next = c->next;
                if (count == 0 || !bsearch(c->name, names, count, sizeof(*names), compare_names))
                        tree_remove(t, c, dropped, userdata);
        }
}

int tree_path(const TreeNode *n, Buf *ret) {
        const TreeNode *up[2];
        size_t size = 0, at;
        int r;

        for (up[0] = n; up[0]->parent; up[0] = up[0]->parent)
                size += strlen(up[0]->name) + (up[0]->parent->parent ? 1 : 0);
        if (size == 0)
                return 0;
        /* room first, then written from the end */
        at = ret->size;
        while (ret->size < at + size) {
                static const char blanks[256];

                r = buf_append(ret, blanks, MIN(sizeof(blanks), at + size - ret->size));
                if (r < 0)
                        return r;
        }
        at += size;
        for (up[0] = n; up[0]->parent; up[0] = up[0]->parent) {
                size_t length = strlen(up[0]->name);

                at -= length;
                memcpy(ret->data + at, up[0]->name, length);
                if (up[0]->parent->parent)
                        ret->data[--at] = '/';
        }
        return 0;
}
