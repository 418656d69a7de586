/* The service's XML bodies, by expat with DTDs refused and depth bounded (pitfalls 10.9): List Blobs, Get Block List,
 * Get Blob Service Properties, Error. A BOM is skipped, unknown elements are ignored, names are decoded once (6.5).
 * Pure: bytes in, callbacks or values out. */
#pragma once

#include "util/buf.h"
#include "util/error.h"

typedef struct ListedBlob {
        const char *name; /* decoded bytes; valid during the callback */
        size_t name_size;
        uint64_t size;
        char etag[128]; /* quoted, as in headers */
        uint8_t md5[16];
        bool has_md5;
        char blob_type[16]; /* "BlockBlob", ... */
        char access_tier[16];
        bool leased;
        /* metadata of ours and of others, names compared without case; "" if absent */
        char writer[64];                            /* azsyncd */
        uint64_t generation;                        /* azsyncdgen */
        char mtime[48];                             /* rclone's */
        char modtime[24];                           /* azcopy's, decimal ns */
        char permissions[16], owner[16], group[16]; /* permissions, posix_owner, posix_group */
        bool busy;                                  /* azsyncdbusy=true */
        bool is_folder;                             /* hdi_isfolder=true */
        bool is_symlink;                            /* is_symlink=true */
} ListedBlob;

/* Takes over one piece of metadata if it is one of the above; the name's case does not count. A value that does not fit
 * or is malformed counts as absent, never cut. For HEAD too, whose x-ms-meta- headers say the same. */
void listed_blob_metadata(ListedBlob *blob, const char *name, const char *value);

typedef int (*XmlListFn)(const ListedBlob *blob, void *userdata); /* negative: stop, forwarded */

/* One page. 0 only if it is complete to </EnumerationResults> (10.3); *ret_marker is "" after the last page (caller
 * frees). `fn` is called as blobs come, so it may have been called before a failure: then what it heard does not count.
 * Snapshots, old versions and deleted blobs are left out. -EBADMSG: not a whole list. */
int xml_parse_list(const char *xml, size_t size, XmlListFn fn, void *userdata, char **ret_marker,
                   Error *e) _must_check_;

typedef struct ListedBlock {
        char id[92]; /* Base64 as listed */
        uint64_t size;
        bool committed;
} ListedBlock;
typedef int (*XmlBlockFn)(const ListedBlock *block, void *userdata);
int xml_parse_block_list(const char *xml, size_t size, XmlBlockFn fn, void *userdata, Error *e) _must_check_;

/* Of Get Blob Service Properties: for how many days a deleted blob can be brought back; 0: soft delete is off, -1: not
 * said. */
int xml_parse_retention(const char *xml, size_t size, int *ret_days, Error *e) _must_check_;

/* Error/Code of an error body into `ret` ("" if there is none, or it is not plain letters and digits), also if the body
 * is cut after it. Never fails; the message is not looked at. */
void xml_parse_error(const char *xml, size_t size, char ret[static 64]);

/* Appends the <BlockList> of `n` Base64 ids, all as <Latest>. -EINVAL: an id is not Base64. */
int xml_block_list(Buf *ret, const char *const *ids, size_t n) _must_check_;
