/* The container as the service keeps it: blobs, conditions, ETags. Says what a request does at the moment it acts. */
#include "client.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

Service service;

#define STAGED_MAX 256

/* Blocks that were sent and not committed. */
static struct {
        char blob[PATH_ROOM + 16];
        char id[92];
        Content content;
} staged[STAGED_MAX];
static unsigned n_staged, next_staged;

void service_begin(void) {
        service.container = false;
        service.n = 0;
        service.next_etag = 1;
        service.puts = service.deletes = service.copies = 0;
        n_staged = next_staged = 0;
}

Blob *service_blob(const char *name, bool make) {
        for (unsigned i = 0; i < service.n; i++)
                if (strcmp(service.blobs[i].name, name) == 0)
                        return &service.blobs[i];
        if (!make)
                return NULL;
        assert(service.n < BLOBS_MAX);
        service.blobs[service.n] = (Blob){ 0 };
        (void) snprintf(service.blobs[service.n].name, sizeof(service.blobs[0].name), "%s", name);
        return &service.blobs[service.n++];
}

void service_etag(Blob *b) {
        (void) snprintf(b->etag, sizeof(b->etag), "\"0x%" PRIX64 "\"", UINT64_C(0x8D000000) + service.next_etag++);
}

/* Somebody else writes, or deletes. */
void service_stranger(const char *name, bool remove) {
        Blob *b;

        if (!service.container)
                return;
        b = service_blob(name, !remove);
        if (!b)
                return;
        SAY("service: somebody %s %s", remove ? "deletes" : "writes", name);
        if (remove) {
                b->robbed = b->robbed || b->there;
                b->there = false;
                return;
        }
        b->there = b->stranger = b->has_md5 = true;
        b->n_ids = 0;
        b->content = content_new(2);
        content_md5(&b->content, b->md5);
        b->writer[0] = '\0';
        b->generation = 0;
        b->has_stamp = b->fuzzy = b->pending_copy = b->robbed = false;
        service_etag(b);
}

void service_container(bool there) {
        if (service.container == there)
                return;
        SAY("service: the container %s", there ? "is made" : "is gone");
        service.container = there;
        for (unsigned i = 0; i < service.n && !there; i++) {
                service.blobs[i].robbed = service.blobs[i].robbed || service.blobs[i].there;
                service.blobs[i].there = false;
        }
}

/* --- what a request does --- */

static bool condition_holds(const BlobCall *c, const Blob *b) {
        bool there = b && b->there;

        if (c->if_absent)
                return !there;
        return there && strcmp(c->if_match, b->etag) == 0;
}

static void take_meta(const BlobCall *c, Blob *b) {
        (void) snprintf(b->writer, sizeof(b->writer), "%s", c->writer);
        b->generation = c->generation;
        b->has_stamp = c->has_stamp;
        b->stamp = c->stamp;
        b->fuzzy = c->fuzzy;
}

/* It was given up, and acts all the same. */
static bool is_late(const BlobCall *c) {
        return !c->client || c->fate == FATE_ZOMBIE;
}

static Verdict written(BlobCall *c, Blob *b, const Content *content, const uint8_t *md5) {
        Blob before = *b;

        b->there = true;
        b->stranger = b->pending_copy = false;
        b->content = *content;
        b->has_md5 = md5 != NULL;
        if (md5)
                memcpy(b->md5, md5, 16);
        b->ghost = is_late(c);
        b->robbed = b->robbed && b->ghost; /* only a listing can tell that this is not what was deleted */
        take_meta(c, b);
        service_etag(b);
        (void) snprintf(c->answer.etag, sizeof(c->answer.etag), "%s", b->etag);
        check_written(&before, b);
        return VERDICT_OK;
}

/* What was staged is committed or dropped with any write of the blob. */
static void drop_staged(const char *blob) {
        for (unsigned k = 0; k < n_staged; k++)
                if (strcmp(staged[k].blob, blob) == 0)
                        staged[k].blob[0] = '\0';
}

static Verdict act_put(BlobCall *c, Blob *b) {
        service.puts++;
        drop_staged(c->name);
        b->n_ids = 0;
        return written(c, b, &c->content, c->md5);
}

/* Uncommitted ones first, as <Latest> says. */
static bool find_block(const Blob *b, const char *id, Content *ret) {
        for (unsigned k = 0; k < n_staged; k++)
                if (strcmp(staged[k].blob, b->name) == 0 && strcmp(staged[k].id, id) == 0) {
                        *ret = staged[k].content;
                        return true;
                }
        for (unsigned i = 0; b->there && i < b->n_ids; i++)
                if (strcmp(b->ids[i], id) == 0) {
                        *ret = (Content){ { b->content.part[i] }, { b->content.size[i] }, 1, b->content.size[i] };
                        return true;
                }
        return false;
}

static int tell_block(const char *id, uint64_t size, bool committed, XmlBlockFn each, void *userdata) {
        ListedBlock block = { .size = size, .committed = committed };

        (void) snprintf(block.id, sizeof(block.id), "%s", id);
        return each(&block, userdata);
}

int service_blocks(const char *blob, XmlBlockFn each, void *userdata) {
        const Blob *b = service_blob(blob, false);
        int r = 0;

        for (unsigned i = 0; b && b->there && i < b->n_ids && r >= 0; i++)
                r = tell_block(b->ids[i], b->content.size[i], true, each, userdata);
        for (unsigned k = 0; k < n_staged && r >= 0; k++)
                if (strcmp(staged[k].blob, blob) == 0)
                        r = tell_block(staged[k].id, staged[k].content.total, false, each, userdata);
        return r;
}

static Verdict act_commit(BlobCall *c, Blob *b) {
        Content whole = { 0 };

        if (below(BY_NET, 16) == 0) /* a week later, or by another program's write that is gone itself by now */
                drop_staged(c->name);
        for (unsigned i = 0; i < c->n_ids; i++) {
                Content block;

                if (!find_block(b, c->ids[i], &block))
                        return VERDICT_BLOCKS_GONE;
                whole.part[whole.n] = block.part[0];
                whole.size[whole.n++] = block.total;
                whole.total += block.total;
        }
        drop_staged(c->name);
        memcpy(b->ids, c->ids, sizeof(b->ids));
        b->n_ids = c->n_ids;
        service.puts++;
        return written(c, b, &whole, c->md5);
}

static Verdict act_copy(BlobCall *c, Blob *b) {
        Blob *from = service_blob(c->source, false);
        Content content;
        uint8_t md5[16];

        if (!from || !from->there || strcmp(from->etag, c->source_etag) != 0)
                return VERDICT_SOURCE_CHANGED;
        service.copies++;
        check_copied(from);
        content = from->content;
        memcpy(b->ids, from->ids, sizeof(b->ids)); /* they survive the copy (azure-blob.md 7) */
        b->n_ids = from->n_ids;
        memcpy(md5, from->md5, 16);
        (void) written(c, b, &content, from->has_md5 ? md5 : NULL);
        b->pending_copy = c->fate == FATE_PENDING;
        (void) snprintf(c->answer.copy_status, sizeof(c->answer.copy_status), "%s",
                        b->pending_copy ? "pending" : "success");
        return VERDICT_OK;
}

static Verdict act_metadata(BlobCall *c, Blob *b) {
        take_meta(c, b);
        b->stranger = false; /* taken over: its bytes are those of the file */
        service_etag(b);
        (void) snprintf(c->answer.etag, sizeof(c->answer.etag), "%s", b->etag);
        return VERDICT_OK;
}

static Verdict act_head(BlobCall *c, const Blob *b) {
        client_describe(b, &c->answer.props);
        (void) snprintf(c->answer.etag, sizeof(c->answer.etag), "%s", b->etag);
        return VERDICT_OK;
}

static Verdict act_block(const BlobCall *c) {
        unsigned k = n_staged < STAGED_MAX ? n_staged++ : next_staged++ % STAGED_MAX;

        (void) snprintf(staged[k].blob, sizeof(staged[k].blob), "%s", c->name);
        (void) snprintf(staged[k].id, sizeof(staged[k].id), "%s", c->ids[0]);
        staged[k].content = c->content;
        return VERDICT_OK;
}

static Verdict act_delete(const BlobCall *c, Blob *b) {
        Blob before = *b;

        b->there = false;
        service.deletes++;
        check_deleted(&before, is_late(c));
        return VERDICT_OK;
}

Verdict service_act(BlobCall *c) {
        bool writes = c->verb == VERB_PUT_BLOB || c->verb == VERB_PUT_BLOCK_LIST || c->verb == VERB_COPY_BLOB;
        Blob *b = NULL;

        if (c->verb == VERB_CREATE_CONTAINER) {
                service_container(true);
                return VERDICT_OK;
        }
        if (!service.container)
                return VERDICT_NO_CONTAINER;
        if (c->verb == VERB_LIST)
                return VERDICT_OK;
        b = service_blob(c->name, writes);
        if (c->verb == VERB_PUT_BLOCK)
                return act_block(c);
        if (c->verb == VERB_GET_BLOCK_LIST) {
                for (unsigned k = 0; k < n_staged && !(b && b->there); k++)
                        if (strcmp(staged[k].blob, c->name) == 0)
                                return VERDICT_OK;
                return b && b->there ? VERDICT_OK : VERDICT_MISSING;
        }
        if (!writes && (!b || !b->there))
                return VERDICT_MISSING;
        if (b->there && b->pending_copy && c->verb != VERB_HEAD_BLOB)
                return VERDICT_LATER;
        if (c->verb != VERB_HEAD_BLOB && !condition_holds(c, b))
                return VERDICT_CHANGED;
        switch (c->verb) {
        case VERB_PUT_BLOB:
                return act_put(c, b);
        case VERB_PUT_BLOCK_LIST:
                return act_commit(c, b);
        case VERB_COPY_BLOB:
                return act_copy(c, b);
        case VERB_SET_METADATA:
                return act_metadata(c, b);
        case VERB_HEAD_BLOB:
                return act_head(c, b);
        default:
                assert(c->verb == VERB_DELETE_BLOB);
                return act_delete(c, b);
        }
}
