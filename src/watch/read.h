/* The blocking half of source: one look at one path, and a file read whole or by blocks. Knows no loop and no
 * threads; source.c runs it in the workers. Answers in the words of watch/source.h. */
#pragma once

#include "chunk/cut.h"
#include "watch/source.h"

void read_look(const char *folder, const RootId *pinned, const char *path, SourceAnswer *ret);
/* Sets *ret_data (malloc'ed) if bytes were read. */
void read_whole(const char *folder, const RootId *pinned, const char *path, size_t room, SourceAnswer *ret,
                char **ret_data);

/* A large file, read by many calls. One thread at a time, but for read_file_sum(), which may run beside
 * read_file_block(): it is what takes longest. */
typedef struct ReadFile ReadFile;

ReadFile *read_file_new(const char *folder, const RootId *pinned, const char *path); /* copies; NULL: out of memory */
ReadFile *read_file_free(ReadFile *f);
DEFINE_CLEANUP(ReadFile *, read_file_free);
void read_file_open(ReadFile *f, SourceAnswer *ret);
/* The next block, cut by its content. After the last one: none, with `end`. */
void read_file_block(ReadFile *f, const Cuts *cuts, bool md5, SourceAnswer *ret, char **ret_data);
bool read_file_sum(ReadFile *f, const void *data, size_t size) _must_check_; /* of each block, in order */
/* Every block is summed up. False: not finished, call again. After growth everything is read once more, in bounded
 * steps. */
bool read_file_finish(ReadFile *f, SourceAnswer *ret);
