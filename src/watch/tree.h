/* The watched folders as a tree of (parent, name), found by watch descriptor or by path. A moved folder is one update,
 * however much is beneath it (pitfalls 1.4). Pure memory: whoever drops nodes gets them as a chain and removes their
 * watches from the kernel when no lock is held. About 64 bytes and two small tables per folder, and its name. */
#pragma once

#include "watch/hash.h"

typedef struct Tree Tree;
typedef struct TreeNode TreeNode;

int tree_new(Tree **ret, const HashSeed *seed) _must_check_;
Tree *tree_free(Tree *t);
DEFINE_CLEANUP(Tree *, tree_free);

TreeNode *tree_by_wd(const Tree *t, int wd);          /* NULL: unknown or stale */
TreeNode *tree_find(const Tree *t, const char *path); /* "" = root; NULL: unknown */
bool tree_is_root(const TreeNode *n);
int tree_wd(const TreeNode *n);   /* -1: not watched, but something beneath it is, or was */
size_t tree_size(const Tree *t);  /* watched folders */
size_t tree_nodes(const Tree *t); /* these, and the unwatched ones above them; without the root */

size_t tree_path_size(const TreeNode *n);
void tree_path(const TreeNode *n, char *ret); /* tree_path_size() bytes, no NUL */

/* Makes `path` known under `wd`. If `wd` is known elsewhere, that node and all beneath it moves here. What stood here
 * under another wd is dropped with its branch (1.6). -ENOMEM: `wd` may be known as before, or not at all. */
int tree_put(Tree *t, const char *path, int wd, TreeNode **dropped) _must_check_;
void tree_cut(Tree *t, TreeNode *n, TreeNode **dropped); /* the branch; the root itself stays, unwatched */
/* Drops the branches of those children of `n` that are not in `names`, which are in the order of tree_compare(). */
void tree_keep_only(Tree *t, TreeNode *n, const char *const *names, size_t count, TreeNode **dropped);
void tree_forget(Tree *t, TreeNode *n); /* its watch is gone; what is beneath stays */

/* Frees the first of `dropped`. Returns true with its wd while there is one. */
bool tree_dropped(TreeNode **dropped, int *ret_wd);

/* The order in which a walk meets two folders beside each other: as their names with a '/' at the end. */
int tree_compare(const char *a, const char *b) _pure_;
