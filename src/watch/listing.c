#include "watch/listing.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

typedef struct Growing {
        char *bytes; /* for each entry its type, its name, NUL */
        size_t size, room, n;
} Growing;

static void growing_done(Growing *g) {
        free(g->bytes);
}

/* Not readdir(): its end and its errors look alike (4.12). */
static ssize_t getdents_kernel(int fd, void *buffer, size_t room) {
        long n = syscall(SYS_getdents64, fd, buffer, room);

        return n < 0 ? -errno : n;
}

/* Some file systems do not say. */
static uint8_t type_of(int fd, const char *name) {
        struct statx stx;

        if (statx(fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &stx) < 0)
                return DT_UNKNOWN;
        return (uint8_t) IFTODT(stx.stx_mode);
}

static int add(Growing *g, const char *name, uint8_t type) {
        size_t size = strlen(name) + 1;

        if (g->room - g->size < size + 1) {
                size_t room = g->room * 2 + size + 1024;
                char *bytes = realloc(g->bytes, room);

                if (!bytes)
                        return -ENOMEM;
                g->bytes = bytes;
                g->room = room;
        }
        g->bytes[g->size] = (char) type;
        memcpy(g->bytes + g->size + 1, name, size);
        g->size += size + 1;
        g->n++;
        return 0;
}

static int read_all(Growing *g, int fd, char *buffer, ListingReadFn getdents) {
        ssize_t n;

        while ((n = getdents(fd, buffer, LISTING_ROOM)) > 0)
                for (ssize_t at = 0; at < n;) {
                        const struct dirent64 *d = (const struct dirent64 *) (void *) (buffer + at);
                        const char *name = d->d_name;
                        int r;

                        at += d->d_reclen;
                        if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))
                                continue;
                        r = add(g, name, d->d_type == DT_UNKNOWN ? type_of(fd, name) : d->d_type);
                        if (r < 0)
                                return r;
                }
        return (int) n;
}

/* What follows the common part of two names in the paths of a walk: the next byte, or the '/' after a folder's name. */
static unsigned char follows(const ListingEntry *e, size_t common) {
        if (common < e->size)
                return (unsigned char) e->name[common];
        return e->type == DT_DIR || e->type == DT_UNKNOWN ? '/' : '\0';
}

static int compare(const void *a, const void *b) {
        const ListingEntry *x = a, *y = b;
        size_t common = MIN(x->size, y->size);
        int c = memcmp(x->name, y->name, common);

        return c != 0 ? c : follows(x, common) - follows(y, common);
}

int listing_read(Listing *ret, int fd, void *buffer, ListingReadFn getdents) {
        _cleanup_(growing_done) Growing g = { 0 };
        ListingEntry *entries;
        size_t n = 1;
        int r;

        assert(ret && fd >= 0 && buffer);

        *ret = (Listing){ 0 };
        r = read_all(&g, fd, buffer, getdents ? getdents : getdents_kernel);
        if (r < 0 || g.n == 0)
                return r;
        entries = calloc(g.n, sizeof(*entries));
        if (!entries)
                return -ENOMEM;
        for (size_t at = 0, i = 0; i < g.n; i++) {
                ListingEntry *e = entries + i;

                e->type = (uint8_t) g.bytes[at];
                e->name = g.bytes + at + 1;
                e->size = (uint16_t) strlen(e->name);
                at += (size_t) e->size + 2;
        }
        qsort(entries, g.n, sizeof(*entries), compare);
        /* a folder that changes meanwhile may show a name twice (4.11) */
        for (size_t i = 1; i < g.n; i++)
                if (compare(entries + n - 1, entries + i) != 0)
                        entries[n++] = entries[i];
        *ret = (Listing){ .entries = entries, .n = n, .names = TAKE_PTR(g.bytes) };
        return 0;
}

void listing_done(Listing *l) {
        free(l->entries);
        free(l->names);
        *l = (Listing){ 0 };
}
