/* What to do about one path: plan(local, confirmed, remote) -> action. Pure, total, and the only place where it is
 * decided (design.md 3, pitfalls L1-L4). The job carries it out and asks again when the world turned out different. */
#pragma once

#include "azure/xml.h"
#include "journal/row.h"
#include "watch/source.h"

typedef enum Action {
        ACTION_READ,     /* the stamp does not settle it: read the bytes, then plan again */
        ACTION_ASK,      /* ask the service what it has (HEAD), then plan again */
        ACTION_SETTLE,   /* equal: nothing to send; `etag` is what stands there */
        ACTION_UPLOAD,   /* send the bytes under the condition */
        ACTION_METADATA, /* the bytes are there, only mtime, mode or owner differ */
        ACTION_FORGET,   /* nothing here, nothing of ours there: drop the row */
        ACTION_SKIP,     /* by policy; `reason` */
        ACTION_KEEP,     /* the blob stays as it is, though the file is gone or emptied; `reason` */
        ACTION_GONE,     /* proven absent: delete after delete-delay */
        ACTION_DELETE,   /* absent for that long: delete under the condition */
        ACTION_CONFLICT, /* somebody else's blob stays; `reason` */
} Action;

typedef enum Remote { REMOTE_UNASKED, REMOTE_ABSENT, REMOTE_PRESENT } Remote;

typedef struct PlanInput {
        Look look;          /* REGULAR, SYMLINK, FOLDER, SPECIAL or ABSENT: nothing else may be planned on */
        const Stamp *stamp; /* of what was looked at; NULL if absent */
        const uint8_t *md5; /* of the bytes read; NULL: not read */
        const Row *row;
        bool fuzzy;    /* `md5` is of bytes of several moments: what is there has to be marked so */
        bool was_gone; /* the row was GONE and is due: another look has just proven absence again */
        Remote remote;
        const ListedBlob *blob; /* for REMOTE_PRESENT */
        const char *writer;     /* our writer id */
        bool keep_deleted;      /* deletes: keep */
        bool overwrite;         /* conflict: overwrite */
} PlanInput;

typedef struct Plan {
        Action action;
        const char *etag;   /* If-Match; NULL with UPLOAD: If-None-Match: *; borrowed from the input */
        const char *reason; /* static; SKIP, CONFLICT */
} Plan;

Plan plan(const PlanInput *in);
