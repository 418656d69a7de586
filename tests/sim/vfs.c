/* The state directory's disk, in memory: SQLite writes here. It can be full, fail to sync, and stop in the middle of
 * things: after kill -9 everything written is there; after a power cut what was synced, and of the rest any sectors. */
#include "sim.h"

#include <assert.h>
#include <sqlite3.h>
#include <string.h>

#define SECTOR 512u
#define JOURNAL "/journal.db"
#define FILES 8 /* the database, the one put aside, the damaged one, each with its log; the mark of what is held */

typedef struct Disk {
        char name[96];
        bool there;
        uint8_t *data;     /* as written; beyond `size`: anything. Memory is kept from one history to the next */
        uint8_t *old;      /* of the changed sectors that were synced: what was */
        uint32_t *changed; /* per sector: number of its last write since the last sync; 0: none */
        size_t from, to;   /* sectors outside are as they were synced */
        size_t size, durable_size, room;
} Disk;

typedef struct File {
        sqlite3_file base;
        Disk *disk;
} File;

static Disk disks[FILES], survivors[FILES];
static uint32_t writes;
static unsigned kill_in; /* writes from now; 0: not planned */
static bool kill_power, cut;
static int64_t full_until;
static unsigned sync_fails_in;

/* --- a file's bytes --- */

static void grow(Disk *d, size_t size) {
        size_t room = MAX(MAX(size, d->room * 2), (size_t) 256 * 1024);

        if (size <= d->room)
                return;
        room = (room + SECTOR - 1) / SECTOR * SECTOR;
        d->data = realloc(d->data, room);
        d->old = realloc(d->old, room);
        d->changed = realloc(d->changed, room / SECTOR * sizeof(*d->changed));
        assert(d->data && d->old && d->changed);
        memset(d->changed + d->room / SECTOR, 0, (room - d->room) / SECTOR * sizeof(*d->changed));
        d->room = room;
}

static size_t sectors(size_t bytes) {
        return (bytes + SECTOR - 1) / SECTOR;
}

static void remember(Disk *d, size_t at) {
        size_t n = MIN(d->durable_size - at, (size_t) SECTOR);

        memcpy(d->old + at, d->data + at, n);
        memset(d->old + at + n, 0, SECTOR - n);
}

/* Before the bytes change. */
static void mark(Disk *d, size_t from, size_t to) {
        for (size_t s = from / SECTOR; s * SECTOR < to; s++) {
                if (!d->changed[s] && s * SECTOR < d->durable_size)
                        remember(d, s * SECTOR);
                d->changed[s] = writes;
        }
        d->from = d->to == 0 ? from / SECTOR : MIN(d->from, from / SECTOR);
        d->to = MAX(d->to, sectors(to));
}

/* All that was synced is old now. */
static void turn_over(Disk *d) {
        uint8_t *data = d->data;

        d->data = d->old;
        d->old = data;
        d->to = sectors(d->size);
        for (size_t s = 0; s < d->to; s++)
                d->changed[s] = writes;
}

static void resize(Disk *d, size_t size) {
        grow(d, size);
        if (size == 0 && d->to == 0) /* the log, when all of it is in the database: it has the other memory */
                turn_over(d);
        if (size != d->size)
                mark(d, MIN(size, d->size), MAX(size, d->size));
        if (size > d->size)
                memset(d->data + d->size, 0, size - d->size);
        d->size = size;
}

static void sync_all(Disk *d) {
        if (d->to > d->from) /* a file that was always empty has no memory */
                memset(d->changed + d->from, 0, (d->to - d->from) * sizeof(*d->changed));
        d->from = d->to = 0;
        d->durable_size = d->size;
}

static void disk_clear(Disk *d) {
        d->size = 0;
        sync_all(d);
}

static void disk_free(Disk *d) {
        free(d->data);
        free(d->old);
        free(d->changed);
        *d = (Disk){ 0 };
}

static void disk_copy(Disk *to, const Disk *from) {
        Disk memory;

        disk_clear(to);
        grow(to, MAX(from->size, from->durable_size));
        grow(to, from->to * SECTOR);
        if (from->size > 0)
                memcpy(to->data, from->data, from->size);
        if (from->to > 0) {
                memcpy(to->changed + from->from, from->changed + from->from,
                       (from->to - from->from) * sizeof(*to->changed));
                if (from->from * SECTOR < from->durable_size)
                        memcpy(to->old + from->from * SECTOR, from->old + from->from * SECTOR,
                               (MIN(from->to, sectors(from->durable_size)) - from->from) * SECTOR);
        }
        memory = *to;
        *to = *from;
        to->data = memory.data;
        to->old = memory.old;
        to->changed = memory.changed;
        to->room = memory.room;
}

/* Of what was not synced any sectors are there: none, all, those up to some moment, or any. */
static void cut_power(Disk *d, unsigned how, uint32_t until) {
        bool new_size = how == 1 || (how > 1 && below(BY_DISK, 2));
        size_t size = new_size ? d->size : d->durable_size;

        if (size > d->size)
                memset(d->data + d->size, 0, size - d->size);
        for (size_t s = d->from; s < d->to && s * SECTOR < size; s++) {
                uint32_t when = d->changed[s];

                if (when == 0 || how == 1 || (how == 2 && when <= until) || (how == 3 && below(BY_DISK, 2)))
                        continue;
                if (s * SECTOR < d->durable_size)
                        memcpy(d->data + s * SECTOR, d->old + s * SECTOR, SECTOR);
                else
                        memset(d->data + s * SECTOR, 0, SECTOR);
        }
        d->size = size;
        sync_all(d);
}

/* --- crashes --- */

static void stop_here(bool power) {
        unsigned how = below(BY_DISK, 4);
        uint32_t until = writes - MIN(writes, below(BY_DISK, 40));

        if (dead)
                return;
        SAY("disk: the process ends here (%s)", power ? "power cut" : "kill -9");
        dead = true;
        cut = power;
        for (size_t i = 0; i < FILES; i++) {
                survivors[i].there = disks[i].there;
                if (!disks[i].there)
                        continue;
                disk_copy(&survivors[i], &disks[i]);
                if (power)
                        cut_power(&survivors[i], how, until);
        }
}

void disk_kill_at(unsigned n, bool power_cut) {
        if (n == 0) {
                stop_here(power_cut);
                return;
        }
        kill_in = n;
        kill_power = power_cut;
}

bool disk_was_cut(void) {
        return cut;
}

void disk_after_crash(void) {
        for (size_t i = 0; i < FILES; i++) {
                Disk gone = disks[i];

                disks[i] = survivors[i];
                survivors[i] = gone; /* its memory is for the next crash */
        }
        kill_in = sync_fails_in = 0;
}

static void written(void) {
        writes++;
        if (kill_in > 0 && --kill_in == 0)
                stop_here(kill_power);
}

void disk_full(int64_t for_ns) {
        full_until = now() + for_ns;
}

void disk_sync_error(unsigned nth) {
        sync_fails_in = nth;
}

void disk_calm(void) {
        full_until = 0;
        sync_fails_in = kill_in = 0;
}

static bool ends_with(const char *name, const char *end) {
        size_t n = strlen(name), m = strlen(end);

        return n >= m && strcmp(name + n - m, end) == 0;
}

bool disk_damage(void) {
        Disk *d = &disks[0];

        for (size_t i = 0; i < FILES; i++)
                if (disks[i].there && ends_with(disks[i].name, JOURNAL))
                        d = &disks[i];
        if (!d->there || d->size < 4096)
                return false;
        memset(d->data + 512 * below(BY_DISK, 8), 0x5a, 512);
        return true;
}

/* --- files --- */

static Disk *find(const char *name) {
        for (size_t i = 0; i < FILES; i++)
                if (disks[i].there && strcmp(disks[i].name, name) == 0)
                        return &disks[i];
        return NULL;
}

static Disk *make(const char *name) {
        for (size_t i = 0; i < FILES; i++)
                if (!disks[i].there) {
                        disk_clear(&disks[i]);
                        disks[i].there = true;
                        (void) snprintf(disks[i].name, sizeof(disks[i].name), "%s", name);
                        return &disks[i];
                }
        return NULL;
}

/* Its other names are the process's business, too: a damaged journal is put aside, and a mark says that something is
 * held. Each is durable at once. */
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to) {
        Disk *d = find(from), *old = find(to);

        if (!d) {
                errno = ENOENT;
                return -1;
        }
        if (old)
                old->there = false;
        (void) snprintf(d->name, sizeof(d->name), "%s", to);
        if (ends_with(from, JOURNAL)) {
                SAY("disk: the journal is put aside");
                check_rebuilt();
        }
        return 0;
}

int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
int __wrap_access(const char *path, int mode) {
        return find(path) ? 0 : __real_access(path, mode);
}

int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __wrap_unlink(const char *path) {
        Disk *d = find(path);

        if (!d)
                return __real_unlink(path);
        d->there = false;
        return 0;
}

bool disk_marks(const char *path) {
        return ends_with(path, ".held") && (find(path) || make(path));
}

void disk_begin(void) {
        for (size_t i = 0; i < FILES; i++)
                disks[i].there = survivors[i].there = false;
        writes = 1;
        kill_in = 0;
        full_until = 0;
        sync_fails_in = 0;
        (void) sqlite3_randomness(0, NULL); /* salts of the journal's file are of this history, too */
}

void disk_end(void) {
        for (size_t i = 0; i < FILES; i++) {
                disk_free(&disks[i]);
                disk_free(&survivors[i]);
        }
}

/* --- SQLite's file system --- */

static int x_close(sqlite3_file *f) {
        return SQLITE_OK;
}

static int x_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at) {
        const Disk *d = ((File *) f)->disk;
        size_t have = (size_t) at < d->size ? MIN(d->size - (size_t) at, (size_t) n) : 0;

        if (have > 0)
                memcpy(to, d->data + at, have);
        if (have < (size_t) n)
                memset((char *) to + have, 0, (size_t) n - have);
        return have < (size_t) n ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
}

static int x_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at) {
        Disk *d = ((File *) f)->disk;
        size_t end = (size_t) at + (size_t) n;

        if (end > d->size && now() < full_until)
                return SQLITE_FULL;
        if ((size_t) at > d->size)
                resize(d, (size_t) at);
        grow(d, end);
        mark(d, (size_t) at, end);
        memcpy(d->data + at, from, (size_t) n);
        d->size = MAX(d->size, end);
        written();
        return SQLITE_OK;
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size) {
        resize(((File *) f)->disk, (size_t) size);
        written();
        return SQLITE_OK;
}

static int x_sync(sqlite3_file *f, int flags) {
        if (sync_fails_in > 0 && --sync_fails_in == 0) {
                SAY("disk: fsync fails");
                return SQLITE_IOERR_FSYNC;
        }
        SAY("disk: fsync");
        sync_all(((File *) f)->disk);
        written();
        return SQLITE_OK;
}

static int x_size(sqlite3_file *f, sqlite3_int64 *ret) {
        *ret = (sqlite3_int64) ((File *) f)->disk->size;
        return SQLITE_OK;
}

static int x_lock(sqlite3_file *f, int how) {
        return SQLITE_OK;
}

static int x_reserved(sqlite3_file *f, int *ret) {
        *ret = 0;
        return SQLITE_OK;
}

static int x_control(sqlite3_file *f, int op, void *arg) {
        return SQLITE_NOTFOUND;
}

static int x_sector(sqlite3_file *f) {
        return SECTOR;
}

static int x_traits(sqlite3_file *f) {
        return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
        .iVersion = 1,
        .xClose = x_close,
        .xRead = x_read,
        .xWrite = x_write,
        .xTruncate = x_truncate,
        .xSync = x_sync,
        .xFileSize = x_size,
        .xLock = x_lock,
        .xUnlock = x_lock,
        .xCheckReservedLock = x_reserved,
        .xFileControl = x_control,
        .xSectorSize = x_sector,
        .xDeviceCharacteristics = x_traits,
};

static int x_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags) {
        Disk *d = name ? find(name) : NULL;

        f->pMethods = NULL;
        if (!name)
                return SQLITE_CANTOPEN;
        if (!d)
                d = make(name);
        if (!d)
                return SQLITE_CANTOPEN;
        ((File *) f)->disk = d;
        f->pMethods = &methods;
        if (ret_flags)
                *ret_flags = flags;
        return SQLITE_OK;
}

static int x_delete(sqlite3_vfs *vfs, const char *name, int sync_dir) {
        Disk *d = find(name);

        if (d)
                d->there = false;
        written();
        return d ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
}

static int x_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret) {
        *ret = find(name) != NULL;
        return SQLITE_OK;
}

static int x_full_path(sqlite3_vfs *vfs, const char *name, int room, char *ret) {
        return snprintf(ret, (size_t) room, "%s", name) < room ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int x_random(sqlite3_vfs *vfs, int n, char *ret) {
        for (int i = 0; i < n; i++)
                ret[i] = (char) draw(BY_DISK);
        return n;
}

static int x_sleep(sqlite3_vfs *vfs, int us) {
        return us;
}

static int x_time(sqlite3_vfs *vfs, sqlite3_int64 *ret) {
        *ret = INT64_C(210866760000000) + wall() / 1000000;
        return SQLITE_OK;
}

int disk_register(void) {
        static sqlite3_vfs vfs = {
                .iVersion = 2,
                .szOsFile = sizeof(File),
                .mxPathname = 90,
                .zName = "sim",
                .xOpen = x_open,
                .xDelete = x_delete,
                .xAccess = x_access,
                .xFullPathname = x_full_path,
                .xRandomness = x_random,
                .xSleep = x_sleep,
                .xCurrentTimeInt64 = x_time,
        };

        return sqlite3_vfs_register(&vfs, 1);
}
