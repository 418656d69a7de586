/* The state directory's disk, in memory: SQLite writes here. It can be full, fail to sync, and stop in the middle of
 * things: after kill -9 everything written is there; after a power cut what was synced, and of the rest any sectors. */
#include "sim.h"

#include <assert.h>
#include <sqlite3.h>
#include <string.h>

#define SECTOR 512u
#define FILES 4

typedef struct Disk {
        char name[96];
        bool there;
        uint8_t *data, *durable; /* as written; as it is after a power cut at this moment at worst */
        size_t size, room, durable_size;
        uint32_t *changed; /* per sector: number of its last write since the last sync; 0: none */
        size_t from, to;   /* sectors outside are as they were synced */
        size_t used;       /* bytes beyond are zero in all three: memory is kept from one history to the next */
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

        d->used = MAX(d->used, size);
        if (size <= d->room)
                return;
        room = (room + SECTOR - 1) / SECTOR * SECTOR;
        d->data = realloc(d->data, room);
        d->durable = realloc(d->durable, room);
        d->changed = realloc(d->changed, room / SECTOR * sizeof(*d->changed));
        assert(d->data && d->durable && d->changed);
        memset(d->data + d->room, 0, room - d->room);
        memset(d->durable + d->room, 0, room - d->room);
        memset(d->changed + d->room / SECTOR, 0, (room - d->room) / SECTOR * sizeof(*d->changed));
        d->room = room;
}

static size_t sectors(size_t bytes) {
        return (bytes + SECTOR - 1) / SECTOR;
}

static void mark(Disk *d, size_t from, size_t to) {
        for (size_t s = from / SECTOR; s * SECTOR < to; s++)
                d->changed[s] = writes;
        d->from = d->to == 0 ? from / SECTOR : MIN(d->from, from / SECTOR);
        d->to = MAX(d->to, sectors(to));
}

static void resize(Disk *d, size_t size) {
        grow(d, size);
        if (size < d->size)
                memset(d->data + size, 0, d->size - size);
        if (size != d->size)
                mark(d, MIN(size, d->size), MAX(size, d->size));
        d->size = size;
}

static void sync_all(Disk *d) {
        size_t end = MIN(d->to, sectors(MAX(d->size, d->durable_size)));

        for (size_t s = d->from; s < end; s++)
                if (d->changed[s]) {
                        memcpy(d->durable + s * SECTOR, d->data + s * SECTOR, SECTOR);
                        d->changed[s] = 0;
                }
        d->durable_size = d->size;
        d->from = d->to = 0;
}

static void disk_clear(Disk *d) {
        if (d->used > 0) {
                memset(d->data, 0, d->used);
                memset(d->durable, 0, d->used);
                memset(d->changed, 0, sectors(d->used) * sizeof(*d->changed));
        }
        *d = (Disk){ .data = d->data, .durable = d->durable, .changed = d->changed, .room = d->room };
}

static void disk_free(Disk *d) {
        free(d->data);
        free(d->durable);
        free(d->changed);
        *d = (Disk){ 0 };
}

static void disk_copy(Disk *to, const Disk *from) {
        Disk room;

        if (to->used > from->used)
                disk_clear(to);
        grow(to, from->used);
        if (from->used > 0) {
                memcpy(to->data, from->data, from->used);
                memcpy(to->durable, from->durable, from->used);
                memcpy(to->changed, from->changed, sectors(from->used) * sizeof(*to->changed));
        }
        room = *to;
        *to = *from;
        to->data = room.data;
        to->durable = room.durable;
        to->changed = room.changed;
        to->room = room.room;
}

/* Of what was not synced any sectors are there: none, all, those up to some moment, or any. */
static void cut_power(Disk *to, const Disk *from, unsigned how, uint32_t until) {
        bool new_size = how == 1 || (how > 1 && below(BY_DISK, 2));

        to->size = new_size ? from->size : from->durable_size;
        for (size_t s = 0; s * SECTOR < to->size; s++) {
                bool keep = !from->changed[s];

                keep = keep || how == 1 || (how == 2 && from->changed[s] <= until) || (how == 3 && below(BY_DISK, 2));
                memcpy(to->data + s * SECTOR, (keep ? from->data : from->durable) + s * SECTOR, SECTOR);
        }
        if (to->size < to->used)
                memset(to->data + to->size, 0, to->used - to->size);
        to->durable_size = to->size;
        to->from = to->to = 0;
        if (to->used > 0) {
                memcpy(to->durable, to->data, to->used);
                memset(to->changed, 0, sectors(to->used) * sizeof(*to->changed));
        }
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
                disk_copy(&survivors[i], &disks[i]);
                if (power && disks[i].there)
                        cut_power(&survivors[i], &disks[i], how, until);
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

bool disk_damage(void) {
        Disk *d = &disks[0];

        for (size_t i = 0; i < FILES; i++)
                if (disks[i].there && disks[i].size > 0 && strstr(disks[i].name, "journal.db") &&
                    !strstr(disks[i].name, "damaged") && !strstr(disks[i].name, "-wal"))
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

/* The daemon puts a damaged journal aside; one such is kept. */
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to) {
        Disk *d = find(from);

        if (!d) {
                errno = ENOENT;
                return -1;
        }
        SAY("disk: the journal is put aside");
        d->there = false;
        check_rebuilt();
        return 0;
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
        if (end > d->size)
                resize(d, end);
        memcpy(d->data + at, from, (size_t) n);
        mark(d, (size_t) at, end);
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
