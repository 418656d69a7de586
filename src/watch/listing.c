#include "watch/listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define READ_ROOM 65536u

struct linux_dirent64 {
        uint64_t d_ino;
        int64_t d_off;
        unsigned short d_reclen;
        unsigned char d_type;
        char d_name[];
};

static uint8_t type_of(int fd, const char *name) {
        struct statx stx;

        /* some file systems do not say; one that vanished meanwhile will be missed when it is looked at */
        if (statx(fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &stx) < 0)
                return DT_REG;
        return (uint8_t) IFTODT(stx.stx_mode);
}

static int compare(const void *a, const void *b) {
        const ListingEntry *x = a, *y = b;
        int c = memcmp(x->name, y->name, MIN(x->size, y->size));
        unsigned char next_x, next_y;

        if (c != 0)
                return c;
        /* what follows the common part in the paths: the next byte, or '/' after a folder's name */
        next_x = x->size > y->size ? (unsigned char) x->name[y->size] : x->type == DT_DIR ? '/' : '\0';
        next_y = y->size > x->size ? (unsigned char) y->name[x->size] : y->type == DT_DIR ? '/' : '\0';
        return (next_x > next_y) - (next_x < next_y);
}

typedef struct Growing {
        size_t *offsets;
        uint8_t *types;
        size_t n, room, names_size, names_room;
        char *names;
} Growing;

static void growing_done(Growing *g) {
        free(g->offsets);
        free(g->types);
        free(g->names);
}

static int add(Growing *g, const char *name, uint8_t type) {
        size_t size = strlen(name) + 1;

        if (g->n == g->room) {
                size_t room = g->room * 2 + 32;
                size_t *offsets = realloc(g->offsets, room * sizeof(*offsets));
                uint8_t *types;

                if (!offsets)
                        return -ENOMEM;
                g->offsets = offsets;
                types = realloc(g->types, room);
                if (!types)
                        return -ENOMEM;
                g->types = types;
                g->room = room;
        }
        if (g->names_size + size > g->names_room) {
                size_t room = g->names_room * 2 + size + 512;
                char *names = realloc(g->names, room);

                if (!names)
                        return -ENOMEM;
                g->names = names;
                g->names_room = room;
        }
        memcpy(g->names + g->names_size, name, size);
        g->offsets[g->n] = g->names_size;
        g->types[g->n++] = type;
        g->names_size += size;
        return 0;
}

int listing_read(Listing *ret, int fd) {
        _cleanup_(growing_done) Growing g = { 0 };
        _Alignas(struct linux_dirent64) char bytes[READ_ROOM];
        long n;

        *ret = (Listing){ 0 };
        while ((n = syscall(SYS_getdents64, fd, bytes, sizeof(bytes))) > 0)
                for (long at = 0; at < n;) {
                        const struct linux_dirent64 *d = (const struct linux_dirent64 *) (const void *) (bytes + at);
                        int r;

                        at += d->d_reclen;
                        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
                                continue;
                        r = add(&g, d->d_name, d->d_type == DT_UNKNOWN ? type_of(fd, d->d_name) : d->d_type);
                        if (r < 0)
                                return r;
                }
        if (n < 0)
                return -errno;
        if (g.n > 0) {
                ret->entries = calloc(g.n, sizeof(*ret->entries));
                if (!ret->entries)
                        return -ENOMEM;
                for (size_t i = 0; i < g.n; i++)
                        ret->entries[i] = (ListingEntry){ .name = g.names + g.offsets[i],
                                                          .size = (unsigned) strlen(g.names + g.offsets[i]),
                                                          .type = g.types[i] };
                qsort(ret->entries, g.n, sizeof(*ret->entries), compare);
        }
        ret->n = g.n;
        ret->names = TAKE_PTR(g.names);
        return 0;
}

void listing_done(Listing *l) {
        free(l->entries);
        free(l->names);
        *l = (Listing){ 0 };
}
