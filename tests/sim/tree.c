/* The mapped folder: inodes, names, time stamps that move in jiffies, and what the kernel would say of each change. */
#include "sim.h"

#include "watch/event.h"
#include "watch/watcher.h"

#include <assert.h>
#include <string.h>

World world;

/* --- contents --- */

static uint64_t next_part = 1;

static void add_part(Content *c, uint64_t size) {
        c->part[c->n] = next_part++;
        c->size[c->n++] = size;
        c->total += size;
}

Content content_new(unsigned size_class) {
        Content c = { 0 };

        if (size_class == 1) { /* more than a small file may have, up to four blocks */
                for (unsigned n = 1 + below(BY_OPS, PARTS - 1); c.n < n;)
                        add_part(&c, PART_SIZE);
                add_part(&c, below(BY_OPS, 2) ? PART_SIZE : 1);
        } else if (size_class > 1) { /* equal sizes are likely: size alone must prove nothing */
                add_part(&c, 1);
                add_part(&c, 1 + below(BY_OPS, 2));
        }
        return c;
}

bool content_append(Content *c) {
        if (c->n == 0 || c->n == PARTS || (c->total > PART_SIZE && c->size[c->n - 1] < PART_SIZE))
                return false;
        add_part(c, 1);
        return true;
}

uint64_t content_hash(const Content *c) {
        uint64_t h = c->total + 1;

        for (unsigned i = 0; i < c->n; i++)
                h = (h ^ (h >> 29) ^ c->part[i]) * UINT64_C(0xbf58476d1ce4e5b9);
        return h ? h : 1;
}

void content_md5(const Content *c, uint8_t ret[static 16]) {
        uint64_t h[2] = { content_hash(c), content_hash(c) * UINT64_C(0x94d049bb133111eb) ^ c->total };

        memcpy(ret, h, 16);
}

/* --- inodes --- */

int64_t stamp_now(void) {
        return wall() / JIFFY * JIFFY;
}

bool inode_is_file(const Inode *i) {
        return i && S_ISREG(i->mode);
}

bool inode_is_folder(const Inode *i) {
        return i && S_ISDIR(i->mode);
}

Stamp inode_stamp(const Inode *i) {
        return (Stamp){
                .size = S_ISREG(i->mode) ? i->content.total : 0,
                .mtime_ns = i->mtime,
                .ctime_ns = i->ctime,
                .btime_ns = i->btime,
                .ino = i->ino,
                .mode = i->mode,
                .uid = i->uid,
                .gid = i->uid,
                .nlink = i->nlink,
        };
}

static Inode *inode_new(uint32_t mode) {
        Inode *i = calloc(1, sizeof(*i));

        assert(i);
        i->ino = world.n_free > 0 && below(BY_OPS, 2) ? world.free_ino[--world.n_free] : world.next_ino++;
        i->btime = i->mtime = i->ctime = stamp_now();
        i->mode = mode;
        i->uid = 1000;
        i->next = world.all;
        world.all = i;
        return i;
}

static void inode_unlink(Inode *i) {
        i->ctime = stamp_now();
        if (--i->nlink > 0)
                return;
        if (inode_is_folder(i))
                kernel_self(i, EVENT_GONE | EVENT_DEAD);
        if (world.n_free < ELEMENTSOF(world.free_ino)) /* ext4 gives it out again at once (4.1) */
                world.free_ino[world.n_free++] = i->ino;
}

/* Under each of its names, since it has them. */
static bool is_stored(const Inode *file) {
        for (const Inode *i = world.all; i; i = i->next)
                for (const Entry *e = i->entries; e; e = e->next)
                        if (e->inode == file && !e->stored)
                                return false;
        return true;
}

/* A new ctime tells of stores that left no stamp, but not in a file that was moved: then it is another one anyway. */
void tree_touched(Inode *i, bool content) {
        i->ctime = stamp_now();
        if (content)
                i->mtime = i->ctime;
        if (content || (i->unstamped > 0 && is_stored(i)))
                i->unstamped = 0;
}

/* Begins anew, unless the end of the last one is still to be told. */
void unknown_begin(Unknown *u, int64_t since) {
        if (!u->now && u->until < kernel_untold_since())
                u->since = since;
        u->now = true;
}

void unknown_end(Unknown *u) {
        if (u->now)
                u->until = now();
        u->now = false;
}

bool unknown_at(const Unknown *u, int64_t at) {
        return at >= u->since && (u->now || at < u->until);
}

/* What was told may not have been kept: what left no stamp is seen by nobody now. */
void tree_told_nothing(void) {
        for (Inode *i = world.all; i; i = i->next)
                if (i->unstamped > 0)
                        unknown_begin(&i->untold, i->unstamped);
}

/* --- names --- */

Entry *entry_of(const Inode *folder, const char *name) {
        for (Entry *e = folder ? folder->entries : NULL; e; e = e->next)
                if (strcmp(e->name, name) == 0)
                        return e;
        return NULL;
}

Inode *tree_root_now(void) {
        switch (world.mounted) {
        case MOUNT_THERE:
        case MOUNT_UNREADABLE:
                return world.root;
        case MOUNT_EMPTY:
                return world.shadow;
        default:
                return NULL;
        }
}

Inode *tree_at(const char *path) {
        Inode *at = tree_root_now();

        while (at && *path) {
                char name[PATH_ROOM];
                size_t n = strcspn(path, "/");
                Entry *e;

                memcpy(name, path, n);
                name[n] = '\0';
                e = inode_is_folder(at) ? entry_of(at, name) : NULL;
                at = e ? e->inode : NULL;
                path += n + (path[n] == '/');
        }
        return at;
}

/* The folder that `path` is or would be in. */
Inode *parent_of(const char *path, const char **ret_name) {
        const char *slash = strrchr(path, '/');
        char above[PATH_ROOM] = "";
        Inode *i;

        if (slash)
                memcpy(above, path, (size_t) (slash - path));
        *ret_name = slash ? slash + 1 : path;
        i = tree_at(above);
        return inode_is_folder(i) ? i : NULL;
}

Entry *tree_entry(const char *path) {
        const char *name;
        const Inode *folder = parent_of(path, &name);

        return folder ? entry_of(folder, name) : NULL;
}

static Entry *add(Inode *folder, const char *name, Inode *i) {
        Entry *e = calloc(1, sizeof(*e)), **at = &folder->entries;

        assert(e && strlen(name) < NAME_ROOM);
        (void) snprintf(e->name, sizeof(e->name), "%s", name);
        e->inode = i;
        e->id = world.next_id++;
        while (*at && strcmp((*at)->name, name) < 0)
                at = &(*at)->next;
        e->next = *at;
        *at = e;
        if (inode_is_folder(i))
                i->parent = folder;
        tree_touched(folder, true);
        return e;
}

static Inode *take_away(Inode *folder, Entry *e) {
        Entry **at = &folder->entries;
        Inode *i = e->inode;

        if (e->told > 0 && !e->stored)
                unknown_begin(&i->unnamed, e->told);
        while (*at != e)
                at = &(*at)->next;
        *at = e->next;
        free(e);
        tree_touched(folder, true);
        return i;
}

static unsigned of_kind(const Inode *i, unsigned news) {
        return inode_is_folder(i) ? WATCH_SUBTREE : news;
}

Inode *tree_make(const char *path, uint32_t type, const Content *c) {
        const char *name;
        Inode *folder = parent_of(path, &name), *i;

        if (!folder || folder->unreadable || entry_of(folder, name))
                return NULL;
        i = inode_new(type | (S_ISDIR(type) ? 0755 : 0644));
        i->nlink = 1;
        if (c)
                i->content = *c;
        (void) add(folder, name, i);
        kernel_says(folder, name, of_kind(i, WATCH_NAME));
        return i;
}

static bool remove_from(Inode *folder, Entry *e, bool deep) {
        Inode *i = e->inode;
        char name[NAME_ROOM];

        if (inode_is_folder(i)) {
                if (i->entries && (!deep || i->unreadable))
                        return false;
                while (i->entries)
                        if (!remove_from(i, i->entries, true))
                                return false;
        }
        (void) snprintf(name, sizeof(name), "%s", e->name);
        inode_unlink(take_away(folder, e));
        kernel_says(folder, name, of_kind(i, WATCH_NAME));
        return true;
}

bool tree_remove(const char *path, bool deep) {
        const char *name;
        Inode *folder = parent_of(path, &name);
        Entry *e = entry_of(folder, name);

        return e && !folder->unreadable && remove_from(folder, e, deep);
}

static bool is_above(const Inode *a, const Inode *b) {
        for (; b; b = b->parent)
                if (a == b)
                        return true;
        return false;
}

/* In a folder that was moved each file has a new name, which the daemon does not know; unless it was told of other
 * bytes under the old one: then it looks for the file that stood there. */
static void names_anew(Inode *folder) {
        for (Entry *e = folder->entries; e; e = e->next) {
                if (inode_is_folder(e->inode))
                        names_anew(e->inode);
                else if (e->told == 0)
                        e->stored = false;
        }
}

bool tree_rename(const char *from, const char *to) {
        const char *name, *to_name;
        Inode *folder = parent_of(from, &name), *to_folder = parent_of(to, &to_name), *i;
        Entry *e = entry_of(folder, name), *old;

        if (!e || !to_folder || folder->unreadable || to_folder->unreadable ||
            (inode_is_folder(e->inode) && is_above(e->inode, to_folder)))
                return false;
        old = entry_of(to_folder, to_name);
        if (old &&
            (old->inode == e->inode || inode_is_folder(old->inode) != inode_is_folder(e->inode) || old->inode->entries))
                return false;
        if (old)
                inode_unlink(take_away(to_folder, old));
        i = take_away(folder, e);
        i->ctime = stamp_now();
        (void) add(to_folder, to_name, i);
        if (inode_is_folder(i))
                names_anew(i);
        kernel_says(folder, name, of_kind(i, WATCH_NAME));
        kernel_says(to_folder, to_name, of_kind(i, WATCH_NAME | WATCH_CLOSED));
        return true;
}

bool tree_link(const char *from, const char *to) {
        const char *name;
        Inode *i = tree_at(from), *folder = parent_of(to, &name);

        if (!inode_is_file(i) || !folder || folder->unreadable || entry_of(folder, name))
                return false;
        i->nlink++;
        i->ctime = stamp_now();
        (void) add(folder, name, i);
        kernel_says(folder, name, WATCH_NAME);
        return true;
}

/* --- all of it --- */

static void each(Inode *folder, const char *path, void (*fn)(const char *path, Inode *i, void *data), void *data) {
        for (Entry *e = folder->entries, *next; e; e = next) {
                char name[PATH_ROOM];

                next = e->next;
                if (snprintf(name, sizeof(name), "%s%s%s", path, path[0] ? "/" : "", e->name) >= (int) sizeof(name))
                        continue;
                fn(name, e->inode, data);
                if (inode_is_folder(e->inode))
                        each(e->inode, name, fn, data);
        }
}

void tree_each(void (*fn)(const char *path, Inode *i, void *data), void *data) {
        Inode *root = tree_root_now();

        if (root)
                each(root, "", fn, data);
}

/* --- the disk under it --- */

void tree_mount(Mounted m) {
        if (m == world.mounted)
                return;
        world.mounted = m;
        world.mount_id++;
        if (m != MOUNT_UNREADABLE)
                for (Inode *i = world.all; i; i = i->next)
                        i->wd = 0;
        kernel_mounts_changed();
}

static Inode *copy_of(const Inode *from) {
        Inode *i = inode_new(from->mode);

        i->nlink = 1;
        i->content = from->content;
        i->mtime = from->mtime;
        for (const Entry *e = from->entries; e; e = e->next)
                (void) add(i, e->name, copy_of(e->inode));
        return i;
}

/* As by a restore from a backup: the same names and bytes, and not one inode. */
void tree_replace_root(void) {
        Inode *old = world.root;

        world.root = copy_of(old);
        for (Inode *i = world.all; i; i = i->next)
                i->wd = 0;
        world.mount_id++;
        kernel_mounts_changed();
}

void tree_begin(bool tmpfs) {
        world = (World){ .next_ino = 100, .next_id = 1, .mount_id = 30, .tmpfs = tmpfs };
        next_part = 1;
        world.root = inode_new(S_IFDIR | 0755);
        world.shadow = inode_new(S_IFDIR | 0755);
        world.root->nlink = world.shadow->nlink = 1;
        world.shadow->btime -= HOUR;
}

void tree_end(void) {
        while (world.all) {
                Inode *i = world.all;

                world.all = i->next;
                while (i->entries) {
                        Entry *e = i->entries;

                        i->entries = e->next;
                        free(e);
                }
                free(i);
        }
}
