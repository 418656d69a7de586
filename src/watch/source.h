/* Looks at one path and reads it whole, in the order of pitfalls 4.4: wait one tick, fstat, SEEK_HOLE, sync_file_range,
 * read, fstat, statx of the path. It is what makes a torn blob impossible. Runs in the mapping's workers; answers come
 * back on the loop. Decides nothing. sync/job is its user; the simulator in tests/sim stands in for source.c. */
#pragma once

#include "chunk/cut.h"
#include "util/error.h"
#include "util/stamp.h"
#include "watch/root.h"

#include <systemd/sd-event.h>

typedef struct Source Source;
typedef struct SourceFile SourceFile; /* a large file being read block by block */

typedef enum Look {
        LOOK_REGULAR,
        LOOK_SYMLINK,
        LOOK_FOLDER,
        LOOK_SPECIAL,    /* FIFO, socket, device */
        LOOK_ABSENT,     /* proven: the root is the right root, every folder above opens or is itself proven absent, the
                            name is not there */
        LOOK_UNREADABLE, /* EACCES or EPERM on the way or on the file: never absence */
        LOOK_UNKNOWN,    /* anything else (EIO, EMFILE, another mount, ...): never absence; look again later */
        LOOK_NO_ROOT,    /* the root is missing, replaced or unreadable (root_state): nothing may be concluded */
} Look;

typedef enum SourceRead {
        SOURCE_UNREAD,  /* only looked at, or not regular, or larger than the room offered (stamp says how large) */
        SOURCE_WHOLE,   /* the bytes are one consistent state of the file; md5 is theirs. source_file_read: the block
                           is complete (whether it is consistent with the others, source_file_finish tells) */
        SOURCE_PREFIX,  /* it grew: the bytes are one consistent state, which a later one may have replaced. stamp is
                           that of the first fstat, and its size that of this state */
        SOURCE_CHANGED, /* it changed while being read, or a moment before: look again later. If it was read to its
                           end nevertheless, the bytes are there for the marked copy of 4.7: size and md5 are theirs,
                           end is set for a file. */
} SourceRead;

typedef struct SourceAnswer {
        Look look;
        RootState root_state; /* for LOOK_NO_ROOT */
        SourceRead read;
        Stamp stamp;        /* of the first fstat; for REGULAR, SYMLINK, FOLDER, SPECIAL */
        size_t size;        /* bytes in the buffer: stamp.size for WHOLE and PREFIX; others if it changed */
        bool end;           /* SourceFile: this was the last block */
        uint8_t md5[16];    /* source_read, source_file_finish: of the whole file; source_file_read: of this block, if
                               asked for */
        uint8_t sha256[32]; /* source_file_read: of this block */
        uint64_t crc64;     /* likewise */
        int64_t took_ns;    /* source_file_*: how long reading or summing up, whichever is slower, has taken so far */
        Error error;        /* for UNREADABLE, UNKNOWN, NO_ROOT */
} SourceAnswer;

typedef void (*SourceFn)(const SourceAnswer *answer, void *userdata); /* on the loop */

/* `folder` absolute. Every answer is given only if the root is `pinned` (copied; null: any). `threads` as
 * workers_new(). */
int source_new(Source **ret, sd_event *loop, const char *folder, const RootId *pinned, unsigned threads,
               Error *e) _must_check_;
Source *source_free(Source *s); /* waits for nobody; callbacks that have not come never will */
DEFINE_CLEANUP(Source *, source_free);
void source_pin(Source *s, const RootId *pinned); /* for what is handed in from now on */
int64_t source_stuck(const Source *s);            /* ns that the oldest piece of work has been running; 0: none */

/* Type and stamp, or proof of absence; nothing is read. Returns 0 or -ENOMEM; so do the others. */
int source_look(Source *s, const char *path, SourceFn fn, void *userdata) _must_check_;

/* Look, and if it is a regular file of at most `room` bytes read it whole into a malloc'ed buffer which the callback
 * may take with source_take_buffer(). A larger one is SOURCE_UNREAD. */
int source_read(Source *s, const char *path, size_t room, SourceFn fn, void *userdata) _must_check_;
char *
source_take_buffer(const SourceAnswer *answer); /* only inside the callback; caller frees; NULL if there is none */

/* A large file: open (tick, fstat, SEEK_HOLE, sync_file_range; read is UNREAD, or CHANGED if finish will say so
 * anyway), then its blocks, then, when all of them have come, finish (fstat, statx of the path: read is WHOLE, PREFIX
 * or CHANGED). */
int source_file_open(Source *s, const char *path, SourceFn fn, void *userdata, SourceFile **ret) _must_check_;
/* The next block, cut by its content (chunk/cut.h). Several may be asked for: while one is summed up the next is read.
 * They come in order; after the last one, none, with `end`. A short file is SOURCE_CHANGED. A file that grows is
 * followed until it has twice its size at first. `md5`: of each block, too. Buffer as with source_read(). */
int source_file_read(SourceFile *f, const Cuts *cuts, bool md5, SourceFn fn, void *userdata) _must_check_;
int source_file_finish(SourceFile *f, SourceFn fn, void *userdata) _must_check_;
SourceFile *source_file_close(SourceFile *f); /* any time; what is under way is abandoned, its callbacks do not come */
DEFINE_CLEANUP(SourceFile *, source_file_close);
