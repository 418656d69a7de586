/* A request on its way: between client.c, which stands in for azure/blob.c, and the service. */
#pragma once

#include "azure/blob.h"
#include "sim.h"

/* What becomes of a request. */
typedef enum Fate {
        FATE_FINE,
        FATE_OFFLINE,    /* nothing was sent */
        FATE_BUSY,       /* 503: nothing happened */
        FATE_BUSY_ACTED, /* 500, and it happened all the same */
        FATE_LOST,       /* reset before the service saw it */
        FATE_LOST_ACTED, /* reset after */
        FATE_ZOMBIE,     /* timed out, and acts long after */
        FATE_RETRY,      /* a clean transient failure */
        FATE_CORRUPTED,  /* bytes arrived wrong and were refused */
        FATE_DENIED,
        FATE_CLOCK,
        FATE_TLS,
        FATE_LEASED,
        FATE_LATER,
        FATE_PERMANENT,
        FATE_ARCHIVED,
        FATE_SNAPSHOTS,
        FATE_BLOCKS_GONE,
        FATE_BLOCKS_FOREIGN,
        FATE_PENDING, /* a copy that takes its time */
        FATE_CUT,     /* a listing that breaks off */
} Fate;

struct BlobCall {
        BlobCall *next; /* of the client; NULL client: nobody waits for it any more */
        BlobCall *all;
        BlobClient *client;
        AzureVerb verb;
        Fate fate;
        char name[PATH_ROOM + 16];
        Content content;
        uint8_t md5[16];
        char ids[PARTS][92];
        unsigned n_ids;
        char writer[40];
        uint64_t generation;
        bool has_stamp, fuzzy;
        Stamp stamp;
        char if_match[BLOB_ETAG_ROOM];
        bool if_absent;
        char source[PATH_ROOM + 16], source_etag[BLOB_ETAG_ROOM];
        char marker[PATH_ROOM + 16];
        XmlListFn each;
        XmlBlockFn each_block;
        BlobFn fn;
        void *userdata;
        Verdict verdict;
        bool acted;
        BlobAnswer answer;
        int64_t there, back; /* how long it takes, once it has left */
        HttpPaceFn pace;     /* NULL: its body leaves at once */
        void *pace_data;
        uint64_t whole, left; /* bytes of the body that leave in all; those that pace() has not let go yet */
        Happening *sending, *acting, *answering;
        BlobCall *items; /* of a batch: deletions, each with a fate of its own */
        unsigned n_items;
        BlobItemFn each_item;
};

Verdict service_act(BlobCall *c);
int service_blocks(const char *blob, XmlBlockFn each, void *userdata);
void client_describe(const Blob *b, ListedBlob *ret);
