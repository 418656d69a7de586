/* The one mapping from file names to blob names (pitfalls 6.2, azure-blob.md 1.10): injective and reversible. Legal
 * names map to themselves. What Azure cannot or should not hold is written with rclone's look-alikes so that both tools
 * can read each other's blobs: '\' -> U+FF3C, control c -> U+2400+c, DEL -> U+2421, a segment's trailing '.' -> U+FF0E,
 * a byte that is not UTF-8, and any byte of a character Azure refuses (C1 controls, non-characters, U+E000) -> U+201B +
 * two hex digits. An escape character that stands in the file name itself is preceded by U+201B. docs/reference has the
 * table. */
#pragma once

#include "util/buf.h"

typedef enum BlobName {
        BLOB_NAME_OK,
        BLOB_NAME_TOO_LONG, /* more than 1,024 UTF-16 units with the prefix */
        BLOB_NAME_TOO_DEEP, /* more than 254 segments */
} BlobName;

/* Appends PREFIX/ (if `prefix` is not "") and the mapped `path` to `ret`. Returns 0 with *ret_verdict set (text is only
 * whole for OK), or -ENOMEM/-EMSGSIZE. */
int blobname_from_path(Buf *ret, const char *prefix, const char *path, size_t size, BlobName *ret_verdict) _must_check_;

/* Can anything beneath the folder `path` have a blob name? */
bool blobname_goes_below(const char *prefix, const char *path, size_t size);

/* The reverse, for a name below `prefix`. Returns 0, or -EINVAL if no path maps to `name` (somebody else's blob). */
int blobname_to_path(Buf *ret, const char *prefix, const char *name, size_t size) _must_check_;

const char *blobname_verdict_text(BlobName verdict); /* "name longer than 1,024 characters", ... */
