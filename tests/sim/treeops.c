/* What happens to the tree: files come, change, move and go, in the ways that programs and people do it. */
#include "ops.h"

#include "sync/engine.h"
#include "watch/watcher.h"

#include <assert.h>
#include <string.h>

/* --- which path --- */

static const char *const folders[] = { "d", "d-", "d/s", "e" };
static const char *const places[] = { "", "d/", "d-/", "d/s/", "e/" };
const char *const ops_names[] = { "a", "a.b", "b", "c.", "x.tmp", "d", "w\\", "a-" };

static const char *a_path(unsigned n) {
        static char path[2][PATH_ROOM];
        static unsigned which;
        char *ret = path[which++ % 2];

        (void) snprintf(ret, PATH_ROOM, "%s%s", places[n % ELEMENTSOF(places)],
                        ops_names[n / ELEMENTSOF(places) % ELEMENTSOF(ops_names)]);
        return ret;
}

typedef struct Pick {
        bool folder;
        unsigned n, left;
        char path[PATH_ROOM];
        Inode *inode;
} Pick;

static void pick(const char *path, Inode *i, void *data) {
        Pick *p = data;

        if (p->folder ? !inode_is_folder(i) : inode_is_folder(i))
                return;
        p->n++;
        if (p->left == 0 || p->left-- > 1)
                return;
        (void) snprintf(p->path, sizeof(p->path), "%s", path);
        p->inode = i;
}

/* Some file (or folder) that is there. False: there is none. */
static bool a_thing(Pick *p, bool folder, unsigned n) {
        *p = (Pick){ .folder = folder };
        tree_each(pick, p);
        if (p->n == 0)
                return false;
        p->left = n % p->n + 1;
        tree_each(pick, p);
        return p->inode != NULL;
}

/* It is in a folder of such a name, or in one of such a folder. */
static bool beneath_excluded(const Inode *folder) {
        for (; folder->parent; folder = folder->parent)
                for (const Entry *e = folder->parent->entries; e; e = e->next)
                        if (e->inode == folder && strstr(e->name, ".tmp"))
                                return true;
        return false;
}

static bool says_under(Inode *file, unsigned news, bool any) {
        for (Inode *i = world.all; i; i = i->next)
                for (Entry *e = i->entries; e; e = e->next)
                        if (e->inode == file && (any || (!strstr(e->name, ".tmp") && !beneath_excluded(i)))) {
                                kernel_says(i, e->name, news);
                                if (news & WATCH_CONTENT) {
                                        file->unreported = false;
                                        e->told = e->told > 0 ? e->told : now();
                                }
                                if (file->unstamped == 0 || ((news & WATCH_CONTENT) && kernel_hears(i)))
                                        unknown_end(&file->untold);
                                else if (news & WATCH_CONTENT)
                                        unknown_begin(&file->untold, file->unstamped);
                                return true;
                        }
        return false;
}

/* Through a name that may be excluded only if there is no other: that would be as through one outside the folder. */
void tree_says(Inode *file, unsigned news) {
        (void) (says_under(file, news, false) || says_under(file, news, true));
}

/* --- the tree --- */

void do_create(const Op *op) {
        Content c = content_new(op->b % 12);
        Inode *i = tree_make(a_path(op->a), S_IFREG, &c);

        if (i && op->c % 4)
                tree_says(i, WATCH_CONTENT | WATCH_CLOSED);
}

typedef struct Writing {
        Inode *file;
        Content to;
        unsigned at;
        int64_t step, close_after;
        unsigned again; /* a file that never rests */
} Writing;

static void on_write(void *data) {
        Writing *w = data;
        Inode *i = w->file;

        if (w->at == w->to.n) { /* closed */
                tree_says(i, WATCH_CONTENT | WATCH_CLOSED);
                free(w);
                return;
        }
        if (w->at == 0) {
                if (i->content.total != w->to.total || i->content.n != w->to.n) {
                        i->content.total = w->to.total; /* truncated or grown first */
                        i->content.n = w->to.n;
                        memcpy(i->content.size, w->to.size, sizeof(w->to.size));
                }
                i->writers++;
                tree_touched(i, true);
        }
        i->content.part[w->at] = w->to.part[w->at];
        if (++w->at == w->to.n) {
                i->writers--;
                tree_says(i, WATCH_CONTENT);
                check_tree_changed();
                if (w->again > 0) {
                        w->again--;
                        for (unsigned k = 0; k < w->to.n; k++)
                                w->to.part[k] += UINT64_C(1) << 40;
                        w->at = 0;
                }
        }
        check_tree_changed();
        (void) after(w->at == w->to.n ? w->close_after : w->step, on_write, w);
}

#define EDIT 99u /* in place of a class of size: what is there, with other bytes in one part */

static void write_file(Inode *file, unsigned class, int64_t step, int64_t close_after, unsigned again) {
        Writing *w = calloc(1, sizeof(*w));

        assert(w);
        *w = (Writing){ file, content_new(class), 0, step, close_after, again };
        if (class == EDIT) { /* a block of several */
                unsigned at = below(BY_OPS, file->content.n);

                w->to = file->content;
                w->to.part[at] = content_new(2).part[0];
        }
        if (w->to.n == 0) {
                free(w);
                return;
        }
        on_write(w);
}

void do_write(const Op *op) {
        Pick p;

        if (a_thing(&p, false, op->a) && inode_is_file(p.inode) && p.inode->writers == 0)
                write_file(p.inode, p.inode->content.total > PART_SIZE && op->b % 3 ? EDIT : op->b % 12,
                           between(BY_OPS, 10000, SECOND / 20), op->c % 3 ? 10000 : between(BY_OPS, SECOND, HOUR), 0);
}

void do_restless(const Op *op) {
        Pick p;

        if (a_thing(&p, false, op->a) && inode_is_file(p.inode) && p.inode->writers == 0)
                write_file(p.inode, 2 + op->b % 5 * (op->b % 3), SECOND / 8, SECOND, 4000 + op->c % 6000);
}

void do_append(const Op *op) {
        Pick p;

        if (!a_thing(&p, false, op->a) || !inode_is_file(p.inode) || p.inode->writers > 0 ||
            !content_append(&p.inode->content))
                return;
        tree_touched(p.inode, true);
        tree_says(p.inode, op->b % 2 ? WATCH_CONTENT : WATCH_CONTENT | WATCH_CLOSED);
}

void do_truncate(const Op *op) {
        Pick p;

        if (!a_thing(&p, false, op->a) || !inode_is_file(p.inode) || p.inode->writers > 0)
                return;
        p.inode->content = (Content){ 0 };
        tree_touched(p.inode, true);
        tree_says(p.inode, WATCH_CONTENT | (op->b % 2 ? WATCH_CLOSED : 0));
}

/* An editor: a new file beside it, renamed over it. */
void do_save(const Op *op) {
        Content c = content_new(2 + op->b % 8);
        char to[PATH_ROOM], tmp[PATH_ROOM];
        Inode *i;
        Pick p;

        if (!a_thing(&p, false, op->a))
                return;
        (void) snprintf(to, sizeof(to), "%s", p.path);
        (void) snprintf(tmp, sizeof(tmp), "%.*sx.tmp", (int) (strrchr(to, '/') ? strrchr(to, '/') + 1 - to : 0), to);
        i = tree_make(tmp, S_IFREG, &c);
        if (!i)
                return;
        tree_says(i, WATCH_CONTENT | WATCH_CLOSED);
        if (op->c % 3 == 0)
                check_tree_changed();
        (void) tree_rename(tmp, to);
}

void do_delete(const Op *op) {
        Pick p;

        if (a_thing(&p, false, op->a))
                (void) tree_remove(p.path, false);
}

static void trouble(unsigned n) {
        if (n % 4)
                net_fault(n % 4 == 1 ? NET_FLAKY : NET_ODD, MINUTE);
}

/* If the guard holds them, whoever deleted them says that they meant it. */
static void on_meant(void *data) {
        const unsigned *b = data;

        if (daemon_sees_disk() && daemon_verb(ENGINE_APPROVE))
                trouble(*b);
        free(data);
}

/* Several at once, whose deletions travel together: while the service has its troubles, or some of them come back. */
void do_delete_some(const Op *op) {
        unsigned *b = malloc(sizeof(*b));
        Pick p;

        assert(b);
        *b = op->b;
        (void) after(between(BY_OPS, 20 * SECOND, 40 * SECOND), on_meant, b);

        for (unsigned i = 0; i < 2 + op->a % 4; i++)
                if (a_thing(&p, false, op->a + i))
                        (void) tree_remove(p.path, false);
        trouble(op->b);
        world.coming_back = op->c % 2 ? op->c % 4 : 0;
}

static void on_back(void *data) {
        char *path = data;
        Content c = content_new(2);
        Inode *i = tree_make(path, S_IFREG, &c);

        free(path);
        if (!i)
                return;
        tree_says(i, WATCH_CONTENT | WATCH_CLOSED);
        check_tree_changed();
}

void come_back(const char *path) {
        char *copy;

        if (world.coming_back == 0 || below(BY_READ, 3) == 0)
                return;
        world.coming_back--;
        copy = strdup(path);
        assert(copy);
        (void) after(between(BY_READ, 1000, SECOND / 50), on_back, copy);
}

void do_rename(const Op *op) {
        Pick p;

        if (a_thing(&p, false, op->a))
                (void) tree_rename(p.path, a_path(op->b));
}

void do_mkdir(const Op *op) {
        (void) tree_make(folders[op->a % ELEMENTSOF(folders)], S_IFDIR, NULL);
        if (op->b % 2) { /* and at once something in it (1.1) */
                char path[PATH_ROOM];
                Content c = content_new(2);

                (void) snprintf(path, sizeof(path), "%s/%s", folders[op->a % ELEMENTSOF(folders)],
                                ops_names[op->c % 3]);
                (void) tree_make(path, S_IFREG, &c);
        }
}

void do_rename_folder(const Op *op) {
        Pick p;

        if (a_thing(&p, true, op->a))
                (void) tree_rename(p.path, folders[op->b % ELEMENTSOF(folders)]);
}

void do_remove_folder(const Op *op) {
        Pick p;

        if (a_thing(&p, true, op->a))
                (void) tree_remove(p.path, op->b % 4 > 0);
}

void do_link(const Op *op) {
        Pick p;

        if (a_thing(&p, false, op->a))
                (void) tree_link(p.path, a_path(op->b));
}

void do_chmod(const Op *op) {
        Pick p;

        if (!a_thing(&p, false, op->a))
                return;
        p.inode->mode = (p.inode->mode & S_IFMT) | (op->b % 2 ? 0600 : 0644);
        tree_touched(p.inode, false);
        tree_says(p.inode, WATCH_ATTRIB);
}

/* cp -p, tar: other bytes, and an old mtime; perhaps the very one that it had (4.1). */
void do_backdate(const Op *op) {
        Content c = content_new(2);
        int64_t mtime;
        Pick p;

        if (!a_thing(&p, false, op->a) || !inode_is_file(p.inode) || p.inode->writers > 0)
                return;
        mtime = op->b % 2 ? p.inode->mtime : stamp_now() - HOUR;
        /* with the very size, too, a rename that follows unheard is taken for the old bytes: (inode, birth, size,
         * mtime) is all there is to go by (pitfalls 1.3) */
        if (op->b % 2 && c.total == p.inode->content.total)
                (void) content_append(&c);
        p.inode->content = c;
        tree_touched(p.inode, true);
        tree_says(p.inode, WATCH_CONTENT | WATCH_CLOSED);
        p.inode->mtime = mtime;
        tree_says(p.inode, WATCH_ATTRIB);
}

/* A store through a mapping: a stamp only if the page was clean. Then CLOSE_WRITE, at munmap (4.3). */
static void on_unmap(void *data) {
        Inode *i = data;

        tree_says(i, WATCH_CONTENT | WATCH_CLOSED);
        check_tree_changed();
}

static void on_store(void *data) {
        Inode *i = data;

        if (i->content.n == 0 || i->writers > 0 || !inode_is_file(i))
                return;
        i->content.part[0] = content_new(2).part[0];
        if (!i->page_dirty)
                tree_touched(i, true);
        else {
                i->unstamped = i->unstamped > 0 ? i->unstamped : now();
                unknown_begin(&i->untold, i->unstamped);
        }
        i->page_dirty = i->unreported = true;
        check_tree_changed();
}

void do_map(const Op *op) {
        int64_t at = 0;
        Pick p;

        if (!a_thing(&p, false, op->a) || !inode_is_file(p.inode))
                return;
        for (unsigned i = 0; i < 1 + op->b % 4; i++) {
                (void) after(at, on_store, p.inode);
                at += between(BY_OPS, 1000, op->c % 2 ? SECOND / 10 : 20 * SECOND);
        }
        (void) after(at + between(BY_OPS, 1000, 10 * SECOND), on_unmap, p.inode);
}

void do_writeback(const Op *op) {
        for (Inode *i = world.all; i && !world.tmpfs; i = i->next)
                i->page_dirty = false;
}

void do_symlink(const Op *op) {
        Pick p;

        if (!a_thing(&p, false, op->a))
                return;
        (void) tree_remove(p.path, false);
        (void) tree_make(p.path, op->b % 3 ? S_IFLNK : S_IFIFO, NULL);
}

/* A file where a folder was, or the other way round (5.7). */
void do_swap_kind(const Op *op) {
        Content c = content_new(2);
        char path[PATH_ROOM];
        Pick p;

        if (!a_thing(&p, op->b % 2, op->a))
                return;
        if (!tree_remove(p.path, true))
                return;
        if (op->b % 2) {
                (void) tree_make(p.path, S_IFREG, &c);
                return;
        }
        (void) tree_make(p.path, S_IFDIR, NULL);
        if (snprintf(path, sizeof(path), "%s/a", p.path) < (int) sizeof(path) && strlen(p.path) < 20)
                (void) tree_make(path, S_IFREG, &c);
}

/* Deleted, and put back from a backup: with the old bytes and mtime, or at once with others (7.8). */
typedef struct Restore {
        char path[PATH_ROOM];
        Content content;
        int64_t mtime;
} Restore;

static void on_restore(void *data) {
        Restore *r = data;
        Inode *i = tree_make(r->path, S_IFREG, &r->content);

        if (i) {
                tree_says(i, WATCH_CONTENT | WATCH_CLOSED);
                i->mtime = r->mtime;
                tree_says(i, WATCH_ATTRIB);
                check_tree_changed();
        }
        free(r);
}

void do_restore(const Op *op) {
        Restore *r;
        Pick p;

        if (!a_thing(&p, false, op->a) || !inode_is_file(p.inode) || p.inode->writers > 0)
                return;
        r = calloc(1, sizeof(*r));
        assert(r);
        (void) snprintf(r->path, sizeof(r->path), "%s", p.path);
        r->content = op->b % 4 ? p.inode->content : content_new(2);
        r->mtime = p.inode->mtime;
        if (tree_remove(p.path, false))
                (void) after(between(BY_OPS, 1000, op->c % 3 ? 20 * SECOND : 10 * MINUTE), on_restore, r);
        else
                free(r);
}

void do_copy(const Op *op) {
        Pick p;
        Content c;

        if (!a_thing(&p, false, op->a) || !inode_is_file(p.inode) || p.inode->writers > 0)
                return;
        c = p.inode->content;
        (void) tree_make(a_path(op->b), S_IFREG, &c);
}

void do_unreadable(const Op *op) {
        Pick p;

        if (!a_thing(&p, op->b % 2, op->a))
                return;
        p.inode->unreadable = !p.inode->unreadable;
        p.inode->ctime = stamp_now();
        tree_says(p.inode, op->b % 2 ? WATCH_ATTRIB | WATCH_SUBTREE : WATCH_ATTRIB);
}

void do_empty_all(const Op *op) {
        while (world.root->entries && world.mounted == MOUNT_THERE)
                if (!tree_remove(world.root->entries->name, true))
                        break;
}

static void on_mount(void *data) {
        tree_mount(MOUNT_THERE);
}

void do_unmount(const Op *op) {
        static const Mounted how[] = { MOUNT_EMPTY, MOUNT_EMPTY, MOUNT_GONE, MOUNT_UNREADABLE };

        if (world.mounted != MOUNT_THERE || !world.pinned)
                return;
        tree_mount(how[op->a % ELEMENTSOF(how)]);
        (void) after(between(BY_OPS, 1000, op->b % 3 ? MINUTE : 3 * HOUR), on_mount, NULL);
}

void do_replace_root(const Op *op) {
        if (world.mounted == MOUNT_THERE && world.pinned)
                tree_replace_root();
}
