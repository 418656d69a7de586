/* The blocking half of source: one look at one path, and the reading order of pitfalls 4.4, step by step. Knows no loop
 * and no threads; source.c runs it in the workers. Answers in the words of watch/source.h. */
#pragma once

#include "watch/source.h"

/* MD5 and SHA-256 can be had. Fails where OpenSSL is built or configured without MD5; asks once. */
int read_setup(Error *e) _must_check_;

void read_look(const char *folder, const RootId *pinned, const char *path, SourceAnswer *ret);
/* Sets *ret_data (malloc'ed) if bytes were read. */
void read_whole(const char *folder, const RootId *pinned, const char *path, size_t room, SourceAnswer *ret,
                char **ret_data);

/* A large file, read by many calls. One thread at a time. */
typedef struct ReadFile ReadFile;

ReadFile *read_file_new(const char *folder, const RootId *pinned, const char *path); /* copies; NULL: out of memory */
ReadFile *read_file_free(ReadFile *f);
DEFINE_CLEANUP(ReadFile *, read_file_free);
void read_file_open(ReadFile *f, SourceAnswer *ret);
void read_file_block(ReadFile *f, size_t size, SourceAnswer *ret, char **ret_data);
/* False: not finished, call again. After growth everything is read once more, in bounded steps. */
bool read_file_finish(ReadFile *f, SourceAnswer *ret);
