/* Writers that never rest, of self-describing contents: each 64-bit word is (version << 32) + its number in the file.
 * So whoever reads the file can tell whether what was read was ever there at one instant. Used by torn.c in a child
 * process, and as a program of its own by tests/e2e/test_reads.py. */
#pragma once

#include "util/macro.h"

typedef enum WriterKind {
        WRITER_WRITE,    /* whole, in place, by one write(2): every state is of one version */
        WRITER_CHUNKS,   /* in place, by write(2) of 64 KiB in order: a new beginning, an old rest */
        WRITER_MMAP,     /* the same by stores into a mapping that stays */
        WRITER_TRUNCATE, /* O_TRUNC, then 64 KiB at a time: a beginning of one version */
        WRITER_RENAME,   /* a new file, renamed over the old one: every state is of one version */
        WRITER_APPEND,   /* a log of half its size that grows by odd lengths and is never rewritten */
        WRITER_DIRECT,   /* as WRITER_WRITE, with O_DIRECT */
        WRITER_SLOW, /* as WRITER_WRITE, and the kernel has to wait for a page of the source half way through: as if it
                        were swapped out */
        _WRITERS,
} WriterKind;

int writer_kind(const char *name); /* negative: no such kind */
bool writer_grows(WriterKind kind);
/* Writes version after version, with a pause of up to `pause_us` between two, until `*stop`; the last version is whole.
 * The first version is there before `ready` is called. Exits with a message if anything fails. */
void writer_run(WriterKind kind, const char *path, size_t size, unsigned pause_us, void (*ready)(void));
extern volatile bool writer_stop;

/* NULL: this was a state of the file; else what is wrong with it. */
const char *writer_check(WriterKind kind, const void *data, size_t size, size_t full);
