/* The watched folders as a tree of (parent, name), found by watch descriptor or by path. A moved folder is one update
 * (pitfalls 1.4). Pure memory; its owner locks. */
#pragma once

#include "util/buf.h"

typedef struct Tree Tree;
typedef struct TreeNode TreeNode;

int tree_new(Tree **ret) _must_check_;
Tree *tree_free(Tree *t);
DEFINE_CLEANUP(Tree *, tree_free);

TreeNode *tree_by_wd(const Tree *t, int wd);          /* NULL: unknown or stale */
TreeNode *tree_find(const Tree *t, const char *path); /* "" = root */
int tree_wd(const TreeNode *n);
size_t tree_size(const Tree *t); /* watched folders */

/* Makes `path` known under `wd`; its parent must be known (else -ENOENT). A node of that path under another wd loses
 * its branch first. */
int tree_add(Tree *t, const char *path, int wd) _must_check_;
/* Puts `n` with all beneath it under `path`; what stood there is dropped. */
int tree_move(Tree *t, TreeNode *n, const char *path) _must_check_;
/* Drops the branch; `dropped` is told each watch descriptor in it. */
void tree_remove(Tree *t, TreeNode *n, void (*dropped)(int wd, void *userdata), void *userdata);
/* Drops the children of `n` whose names are not in the sorted `names`. */
void tree_keep_only(Tree *t, TreeNode *n, const char *const *names, size_t count,
                    void (*dropped)(int wd, void *userdata), void *userdata);

int tree_path(const TreeNode *n, Buf *ret) _must_check_; /* appends; nothing for the root */
