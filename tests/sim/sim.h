/* A simulator of everything around sync/ and journal/: one history after the other, each decided by a seed. The real
 * code is linked unchanged; what stands at its boundaries (source.h, scanner.h, watcher.h, mounts.h, blob.h, timer.h,
 * the clocks, getrandom(2), log.h and SQLite's file system) is defined here, so the linker takes no other.
 *
 * One thread, no sleeping: time is a number that jumps to whatever comes next. */
#pragma once

#include "util/macro.h"
#include "util/stamp.h"

#include <stdio.h>

/* --- clock.c: time, what happens when, chance --- */

typedef enum Stream {
        BY_OPS,
        BY_TIME,
        BY_SCAN,
        BY_READ,
        BY_NET,
        BY_EVENT,
        BY_DISK,
        BY_DAEMON,
        BY_PERSON,
        _STREAMS
} Stream;

#define SECOND INT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define JIFFY (4 * SECOND / 1000) /* time stamps of files move in such steps (pitfalls 4.2) */

typedef struct Happening Happening;
typedef void (*HappenFn)(void *data);

void clock_begin(uint64_t seed);
void clock_end(void);
int64_t now(void);  /* ns since the history began */
int64_t wall(void); /* as clock_wall() */
void wall_jump(int64_t by);
void clock_reboot(void); /* boot time begins anew */

Happening *after(int64_t delay, HappenFn fn, void *data);
void call_off(Happening *h); /* NULL: nothing */
/* Runs what comes next, if that is not behind `limit`. False: nothing before that, and now() is `limit`. */
bool clock_step(int64_t limit);

uint64_t draw(Stream s);
unsigned below(Stream s, unsigned n);
bool chance(Stream s, unsigned per_mille);
int64_t between(Stream s, int64_t least, int64_t most); /* small ones are as likely as large ones */

void mix(uint64_t word); /* into the trace */
uint64_t trace(void);

extern bool verbose;
void say(const char *format, ...) _printf_(1, 2);
#define SAY(...)                          \
        do {                              \
                if (verbose)              \
                        say(__VA_ARGS__); \
        } while (0)

/* --- tree.c: the mapped folder --- */

#define PARTS 4u
#define PART_SIZE ((uint64_t) 4 * 1024 * 1024) /* of a large file: a block each */
#define NAME_ROOM 12
#define PATH_ROOM 64

/* What is in a file: each part has a number of its own, never used twice. A small file has two, so that half a write
 * shows. */
typedef struct Content {
        uint64_t part[PARTS], size[PARTS];
        unsigned n;
        uint64_t total;
} Content;

typedef struct Inode Inode;
typedef struct Entry {
        struct Entry *next; /* in the order of their names */
        Inode *inode;
        uint64_t id;
        int64_t told; /* when other bytes were first told of under this name since it was last looked at; 0: never */
        bool stored;  /* the daemon has written a blob of this name since it is there */
        char name[NAME_ROOM];
} Entry;

/* A time in which nobody could know what bytes a file has. */
typedef struct Unknown {
        bool now;
        int64_t since, until;
} Unknown;

struct Inode {
        Inode *next; /* of all */
        uint64_t ino;
        int64_t btime, mtime, ctime;
        uint32_t mode, uid;
        unsigned nlink;
        Content content;
        bool unreadable;   /* EACCES */
        bool page_dirty;   /* stores through a mapping leave no stamp now (pitfalls 4.3) */
        Unknown untold;    /* a store left no stamp, and its CLOSE_WRITE is still to come or was lost */
        Unknown unnamed;   /* a change was told of under a new name, which was gone before anybody looked (5.4) */
        bool unreported;   /* a store whose event is still to come */
        int64_t unstamped; /* when the first store since the last stamp left none; 0: none did */
        unsigned writers;  /* write(2) under way: it holds the inode's lock */
        Entry *entries;
        Inode *parent;
        int wd; /* 0: not watched */
};

typedef enum Mounted { MOUNT_THERE, MOUNT_GONE, MOUNT_EMPTY, MOUNT_UNREADABLE } Mounted;

typedef struct Tree_ {
        Inode *root, *shadow; /* shadow: what is seen when the disk is not mounted */
        Mounted mounted;
        bool calm;   /* no memory runs out any more */
        bool pinned; /* the daemon knows its root: before that any will do */
        uint64_t mount_id;
        Inode *all;
        unsigned coming_back; /* so many deleted files come back while their deletion waits to be sent */
        uint64_t next_ino, next_id, free_ino[8];
        unsigned n_free;
        bool tmpfs; /* no write-back: a store after the first leaves no stamp ever */
} World;
extern World world;

void tree_begin(bool tmpfs);
void tree_end(void);
Inode *tree_root_now(void); /* NULL: none */
Inode *tree_at(const char *path);
Entry *entry_of(const Inode *folder, const char *name);
bool inode_is_file(const Inode *i);
bool inode_is_folder(const Inode *i);
Stamp inode_stamp(const Inode *i);
void content_md5(const Content *c, uint8_t ret[static 16]);
uint64_t content_hash(const Content *c);  /* 0: never */
Content content_new(unsigned size_class); /* 0: empty; 1: large; else small */
bool content_append(Content *c);
int64_t stamp_now(void);

Inode *tree_make(const char *path, uint32_t type, const Content *c); /* file, folder, link...; NULL: cannot */
bool tree_remove(const char *path, bool deep);
bool tree_rename(const char *from, const char *to);
bool tree_link(const char *from, const char *to);
void tree_touched(Inode *i, bool content); /* stamps */
void unknown_begin(Unknown *u, int64_t since);
void unknown_end(Unknown *u);
bool unknown_at(const Unknown *u, int64_t at);
void tree_told_nothing(void);
void tree_says(Inode *file, unsigned news); /* an event for a file that is open, under the name it has by now */
void tree_mount(Mounted m);
void tree_replace_root(void);
/* Calls for every file and folder; path without a leading slash. */
void tree_each(void (*fn)(const char *path, Inode *i, void *data), void *data);
Entry *tree_entry(const char *path);
Inode *parent_of(const char *path, const char **ret_name);

/* --- watching.c: the kernel's queue, the watcher, the mounts --- */

void kernel_says(Inode *folder, const char *name, unsigned news);
void kernel_self(Inode *folder, unsigned what);
void kernel_stall(int64_t for_ns); /* nobody reads the queue */
void kernel_deaf(bool deaf);       /* a file system that does not tell */
bool kernel_is_deaf(void);
bool kernel_hears(const Inode *folder); /* an event of it will be told */
void kernel_limits(unsigned queue, unsigned watches);
uint64_t kernel_told(void);        /* changes whenever something was told */
int64_t kernel_untold_since(void); /* the oldest change not told yet; now() if none */
void kernel_mounts_changed(void);
bool kernel_mounts_told(void); /* of all that changed */
bool kernel_tells_all(void);   /* every folder is watched, and the file system tells */
void kernel_forget(void);      /* a new history */
struct Watcher;
void watch_folder(struct Watcher *w, const char *path, Inode *folder, unsigned *unwatched);
void watch_keep_only(struct Watcher *w, const char *path, const char *const *names, size_t n);
void watch_drop(struct Watcher *w, const char *path);

/* --- walking.c, reading.c: the scanner, the source --- */

#include "watch/root.h"
RootState sim_root_state(const RootId *pinned, RootId *ret_id, Error *e);
void walk_slowly(int64_t most);      /* 0: as usual; else folders may be cut short, too */
int64_t walked_from(void);           /* when the last complete walk of the whole folder began; 0: there was none */
void read_badly(unsigned per_mille); /* look-ups that fail for no reason */

/* --- service.c: the container; client.c: the way there --- */

#define BLOBS_MAX 1024

typedef struct Blob {
        char name[PATH_ROOM + 16];
        bool there;
        Content content;
        bool has_md5;
        uint8_t md5[16];
        char etag[32];
        char writer[40];
        uint64_t generation;
        Stamp stamp;
        char ids[PARTS][92]; /* of its blocks, if it was made of blocks */
        unsigned n_ids;
        bool has_stamp, fuzzy, pending_copy;
        bool stranger; /* the bytes were written by somebody else */
        bool robbed;   /* deleted by somebody else */
        bool ghost;    /* written by a request that nobody waited for any more: only a listing finds it */
} Blob;

typedef struct Service {
        bool container;
        Blob blobs[BLOBS_MAX];
        unsigned n;
        uint64_t next_etag;
        unsigned puts, deletes, copies;
} Service;
extern Service service;

void service_begin(void);
void service_end(void);
Blob *service_blob(const char *name, bool make);
void service_etag(Blob *b);
void service_stranger(const char *name, bool remove);
void service_container(bool there);

typedef enum NetFault {
        NET_FINE,
        NET_FLAKY,
        NET_DOWN,
        NET_BUSY,
        NET_DENIED,
        NET_ODD,
        NET_ZOMBIE,
        _NET_FAULTS
} NetFault;
void net_begin(void);
void net_end(void);
void net_fault(NetFault fault, int64_t for_ns);
void net_calm(void);
bool net_quiet(void); /* nothing under way, zombies included */

/* --- vfs.c: the state directory's disk --- */

void disk_begin(void);
void disk_end(void);
int disk_register(void);
void disk_kill_at(unsigned writes, bool power_cut); /* 0: now */
bool disk_was_cut(void);                            /* the last end was a power cut */
void disk_full(int64_t for_ns);
void disk_sync_error(unsigned nth);
void disk_calm(void);
void disk_after_crash(void);       /* what survived is the disk now */
bool disk_marks(const char *path); /* is a mark, and is made */
bool disk_damage(void);            /* a byte of the journal flips */

/* --- memory.c: SQLite's --- */

int memory_register(void);

/* --- daemon.c: the real engine, its starts and ends --- */

extern bool dead; /* killed in the middle of something: what it still does does not count */
extern struct Engine *engine;
extern bool exit_asked;

typedef struct Settings {
        bool overwrite, keep, exclude, create_container, poll, sas;
        unsigned guard_files;
        unsigned prefix; /* which of a few */
        unsigned transfers, delay;
        uint64_t bandwidth; /* bytes per second; 0: no limit */
} Settings;
extern Settings settings;

void daemon_begin(void);
void daemon_end(void);
void daemon_clean_up(void);
void daemon_start(void);
void daemon_stop(void);            /* SIGTERM */
void daemon_crash(bool power_cut); /* at once; or what the disk's crash began */
void daemon_reload(void);
bool daemon_verb(unsigned verb); /* an EngineVerb */
bool daemon_sees_disk(void);     /* it is there, and the daemon was told of that */
void daemon_wait(void);
const char *daemon_prefix(void);
void daemon_run(int64_t until); /* time goes on, crashes happen */
void daemon_restart_in(int64_t delay);

/* --- ops.c: what happens to it all --- */

#define OPS_MAX 400u
typedef struct Op {
        unsigned char kind;
        unsigned a, b, c;
        int64_t delay;
} Op;
unsigned ops_make(uint64_t seed, unsigned steps, Op *ops);
void op_do(const Op *op);
void come_back(const char *path); /* its deletion is about to be sent */
void op_print(const Op *op, FILE *f);

/* --- check.c: the invariants of pitfalls 12; cloud.c: those about what the service has --- */

typedef struct Version {
        int64_t at;
        uint64_t hash; /* of the content; 0: no file */
        bool weak;
} Version;

typedef struct Path {
        char name[PATH_ROOM];
        char blob[4 * PATH_ROOM]; /* its name in the container; "": not made yet */
        Version *versions;
        unsigned n, room;
        int64_t looked; /* when the daemon last looked; 0: never */
        int64_t heard;  /* when an event last told it of the path */
        int64_t met;    /* when a walk last told of a file here */
        bool looked_regular;
        bool held, approved, moved;
        uint64_t held_size;           /* of the blob whose deletion is held */
        bool refused;                 /* held, and a person is rejecting that */
        bool rejected;                /* and no file came since */
        bool kept;                    /* rejected, and nothing was written since */
        uint64_t hash_now;            /* while the tree is compared */
        Inode *inode_now, *inode_was; /* NULL: no file; before the last change */
        Inode *inode_before;          /* the last file that was here before it, */
        int64_t left;                 /* and until when */
        uint64_t ino;                 /* of the file that is there; 0: none */
        int64_t since;                /* when that came */
} Path;

void check_begin(void);
void cloud_begin(void);
void check_end(void);
bool failed(void);
const char *failure(void);
const char *failure_kind(void);
void fail(const char *kind, const char *format, ...) _printf_(2, 3);
void check_tree_changed(void); /* after each change: versions of each path */
void check_looked(const char *path, bool regular);
void check_heard(const char *path);
void check_met(const char *path);     /* a walk has told of the file */
void check_none_met(void);            /* what earlier walks told may be forgotten */
Path *path_of_blob(const char *blob); /* NULL: not below the prefix */
Path *path_each(Path *last);          /* NULL: the first; NULL: no more */
const Blob *path_blob(Path *p);       /* NULL: there never was one */
uint64_t path_state(const Path *p, int64_t at);
bool hash_was_real(uint64_t hash);
void check_delete_sent(const char *blob);
void check_copied(const Blob *from);
void check_deleted(const Blob *before, bool late); /* late: nobody waits for it any more */
void check_written(const Blob *before, const Blob *blob);
void check_approved(void);
void check_rejects(void);       /* a person is about to: what is held by now */
void check_rejected(bool done); /* it was, or could not be noted down */
void check_rebuilt(void);       /* the journal was put aside */
void check_clock_jumped(void);
void check_idle(void); /* after each step */
void check_since(int64_t since, const char *who);
void check_final(void);
bool excluded(const char *path);
extern const char *watched_row; /* --row */

/* --- history.c --- */

typedef struct Result {
        bool failed;
        char kind[32], text[256];
        uint64_t trace;
        unsigned n_ops, starts;
        uint64_t requests, deletes;
} Result;
void history_run(uint64_t seed, const Op *ops, unsigned n, Result *ret);

/* shrink.c */
unsigned shrink(uint64_t seed, Op *ops, unsigned n, Result *result);
