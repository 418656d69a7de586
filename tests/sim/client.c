/* The way to the service: requests that are delayed, lost, doubled in doubt, or act when nobody waits for them any
 * more. Stands in for azure/blob.c. */
#include "client.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define PAGE 3u

struct BlobClient {
        Credential *credential;
        BlobCall *calls;
        uint64_t requests;
};

static struct {
        NetFault fault;
        int64_t until;
        BlobCall *all;
} net;

void net_begin(void) {
        memset(&net, 0, sizeof(net));
}

void net_end(void) {
        while (net.all) {
                BlobCall *c = net.all;

                net.all = c->all;
                free(c->items);
                free(c);
        }
}

void net_fault(NetFault fault, int64_t for_ns) {
        net.fault = fault;
        net.until = now() + for_ns;
}

void net_calm(void) {
        net.fault = NET_FINE;
}

bool net_quiet(void) {
        return net.all == NULL;
}

static Fate fate_of(AzureVerb verb) {
        static const Fate flaky[] = { FATE_BUSY, FATE_BUSY_ACTED, FATE_LOST,      FATE_LOST_ACTED,
                                      FATE_CUT,  FATE_RETRY,      FATE_CORRUPTED, FATE_OFFLINE };
        static const Fate denied[] = { FATE_DENIED, FATE_CLOCK, FATE_TLS };
        static const Fate odd[] = { FATE_LEASED,         FATE_LATER,     FATE_PERMANENT,
                                    FATE_ARCHIVED,       FATE_SNAPSHOTS, FATE_BLOCKS_GONE,
                                    FATE_BLOCKS_FOREIGN, FATE_PENDING,   FATE_PENDING };
        unsigned roll = below(BY_NET, 100);

        if (net.fault == NET_FINE || now() >= net.until)
                return FATE_FINE;
        switch (net.fault) {
        case NET_DOWN:
                return FATE_OFFLINE;
        case NET_FLAKY:
                return roll < 40 ? flaky[below(BY_NET, ELEMENTSOF(flaky))] : FATE_FINE;
        case NET_BUSY:
                return roll < 60 ? FATE_BUSY : roll < 70 ? FATE_BUSY_ACTED : FATE_FINE;
        case NET_DENIED:
                return denied[below(BY_NET, ELEMENTSOF(denied))];
        case NET_ODD:
                return roll < 30 ? odd[below(BY_NET, ELEMENTSOF(odd))] : FATE_FINE;
        default:
                return roll < 40 ? FATE_ZOMBIE : FATE_FINE;
        }
}

/* What cannot be said of this verb is a plain failure. */
static Fate fitting(Fate fate, AzureVerb verb) {
        bool writes = verb == VERB_PUT_BLOB || verb == VERB_PUT_BLOCK_LIST || verb == VERB_COPY_BLOB;

        if (fate == FATE_PENDING && verb != VERB_COPY_BLOB)
                return FATE_FINE;
        if (fate == FATE_CUT && verb != VERB_LIST)
                return FATE_LOST;
        if (fate == FATE_CORRUPTED && verb != VERB_PUT_BLOB && verb != VERB_PUT_BLOCK)
                return FATE_RETRY;
        if ((fate == FATE_BLOCKS_GONE || fate == FATE_BLOCKS_FOREIGN) && verb != VERB_PUT_BLOCK_LIST)
                return FATE_RETRY;
        if (fate == FATE_SNAPSHOTS && verb != VERB_DELETE_BLOB)
                return FATE_RETRY;
        if (verb == VERB_BATCH && (fate == FATE_PERMANENT || fate == FATE_LATER))
                return fate; /* refused as a whole */
        if ((fate == FATE_PERMANENT || fate == FATE_ARCHIVED) && !writes)
                return FATE_RETRY;
        if (fate == FATE_LEASED && !writes && verb != VERB_DELETE_BLOB && verb != VERB_SET_METADATA)
                return FATE_RETRY;
        return fate;
}

static Verdict verdict_of(Fate fate) {
        static const Verdict verdicts[] = {
                [FATE_OFFLINE] = VERDICT_OFFLINE,
                [FATE_BUSY] = VERDICT_BUSY,
                [FATE_BUSY_ACTED] = VERDICT_BUSY,
                [FATE_LOST] = VERDICT_UNKNOWN,
                [FATE_LOST_ACTED] = VERDICT_UNKNOWN,
                [FATE_ZOMBIE] = VERDICT_UNKNOWN,
                [FATE_RETRY] = VERDICT_RETRY,
                [FATE_CORRUPTED] = VERDICT_CORRUPTED,
                [FATE_DENIED] = VERDICT_DENIED,
                [FATE_CLOCK] = VERDICT_CLOCK,
                [FATE_TLS] = VERDICT_TLS,
                [FATE_LEASED] = VERDICT_LEASED,
                [FATE_LATER] = VERDICT_LATER,
                [FATE_PERMANENT] = VERDICT_PERMANENT,
                [FATE_ARCHIVED] = VERDICT_ARCHIVED,
                [FATE_SNAPSHOTS] = VERDICT_SNAPSHOTS,
                [FATE_BLOCKS_GONE] = VERDICT_BLOCKS_GONE,
                [FATE_BLOCKS_FOREIGN] = VERDICT_BLOCKS_FOREIGN,
                [FATE_CUT] = VERDICT_RETRY,
        };

        return verdicts[fate];
}

void client_describe(const Blob *b, ListedBlob *ret) {
        *ret = (ListedBlob){ .size = b->content.total, .has_md5 = b->has_md5 && !b->pending_copy };
        memcpy(ret->md5, b->md5, 16);
        (void) snprintf(ret->etag, sizeof(ret->etag), "%s", b->etag);
        (void) snprintf(ret->blob_type, sizeof(ret->blob_type), "BlockBlob");
        (void) snprintf(ret->writer, sizeof(ret->writer), "%s", b->writer);
        ret->generation = b->generation;
        if (!b->has_stamp)
                return;
        (void) snprintf(ret->modtime, sizeof(ret->modtime), "%" PRId64, b->stamp.mtime_ns);
        (void) snprintf(ret->permissions, sizeof(ret->permissions), "%" PRIu32, b->stamp.mode);
        (void) snprintf(ret->owner, sizeof(ret->owner), "%" PRIu32, b->stamp.uid);
        (void) snprintf(ret->group, sizeof(ret->group), "%" PRIu32, b->stamp.gid);
}

/* --- a call's life --- */

static void unlink_call(BlobCall *c) {
        if (c->client)
                for (BlobCall **at = &c->client->calls; *at; at = &(*at)->next)
                        if (*at == c) {
                                *at = c->next;
                                break;
                        }
        c->client = NULL;
}

static void release(BlobCall *c) {
        if (c->sending || c->acting || c->answering || c->client)
                return;
        for (BlobCall **at = &net.all; *at; at = &(*at)->all)
                if (*at == c) {
                        *at = c->all;
                        break;
                }
        free(c->items);
        free(c);
}

static void on_copied(void *data) {
        for (unsigned i = 0; i < service.n; i++)
                if (service.blobs[i].pending_copy) {
                        service.blobs[i].pending_copy = false;
                        service_etag(&service.blobs[i]);
                }
}

static bool acts(Fate fate) {
        return fate == FATE_FINE || fate == FATE_BUSY_ACTED || fate == FATE_LOST_ACTED || fate == FATE_PENDING ||
               fate == FATE_CUT;
}

/* One after the other, and only some of them if the whole breaks off. */
static Verdict batch_act(BlobCall *c) {
        if (!service.container)
                return VERDICT_NO_CONTAINER;
        for (unsigned i = 0; i < c->n_items; i++) {
                BlobCall *item = &c->items[i];

                if (c->fate == FATE_FINE ? !acts(item->fate) : below(BY_NET, 3) == 0)
                        continue;
                item->client = c->fate == FATE_ZOMBIE ? NULL : c->client; /* NULL: nobody waits for it any more */
                item->acted = true;
                item->verdict = service_act(item);
                mix((uint64_t) item->verb << 8 | (uint64_t) item->verdict);
                SAY("service: of a batch: %s: %s", item->name, verdict_name(item->verdict));
        }
        return VERDICT_OK;
}

static void on_act(void *data) {
        BlobCall *c = data;

        c->acting = NULL;
        c->acted = true;
        c->verdict = c->verb == VERB_BATCH ? batch_act(c) : service_act(c);
        mix((uint64_t) c->verb << 8 | (uint64_t) c->verdict);
        SAY("service: verb %d %s%s: %s", (int) c->verb, c->name, c->fate == FATE_ZOMBIE ? " (zombie)" : "",
            verdict_name(c->verdict));
        if (c->fate == FATE_PENDING && c->verdict == VERDICT_OK)
                (void) after(between(BY_NET, SECOND, 5 * MINUTE), on_copied, NULL);
        release(c);
}

static int compare_names(const void *a, const void *b) {
        return strcmp((*(const Blob *const *) a)->name, (*(const Blob *const *) b)->name);
}

static void list_page(BlobCall *c, BlobAnswer *answer) {
        const Blob *page[BLOBS_MAX];
        unsigned n = 0, told = 0;

        for (unsigned i = 0; i < service.n; i++) {
                const Blob *b = &service.blobs[i];

                if (b->there && strncmp(b->name, c->name, strlen(c->name)) == 0 && strcmp(b->name, c->marker) > 0)
                        page[n++] = b;
        }
        qsort(page, n, sizeof(page[0]), compare_names);
        for (; told < MIN(n, PAGE); told++) {
                ListedBlob listed;

                if (c->fate == FATE_CUT && told == PAGE - 1) {
                        answer->verdict = VERDICT_RETRY;
                        return;
                }
                client_describe(page[told], &listed);
                listed.name = page[told]->name;
                listed.name_size = strlen(listed.name);
                if (c->each(&listed, c->userdata) < 0) {
                        answer->verdict = VERDICT_RETRY;
                        return;
                }
        }
        answer->marker = n > PAGE ? page[PAGE - 1]->name : "";
        if (c->fate == FATE_CUT)
                answer->verdict = VERDICT_RETRY;
}

static void batch_tell(BlobCall *c) {
        for (unsigned i = 0; i < c->n_items; i++) {
                BlobCall *item = &c->items[i];
                BlobAnswer answer = { .verdict = item->fate == FATE_FINE ? item->verdict : verdict_of(item->fate) };

                if (answer.verdict != VERDICT_OK)
                        (void) error_set(&answer.error, -EIO, ERROR_AZURE, 0, "%s", verdict_name(answer.verdict));
                SAY("client: of a batch: %s: %s", item->name, verdict_name(answer.verdict));
                mix((uint64_t) answer.verdict);
                c->each_item(i, &answer, c->userdata);
        }
}

static void on_answer(void *data) {
        BlobCall *c = data;
        BlobAnswer answer = c->answer;

        c->answering = NULL;
        answer.verdict = c->fate == FATE_FINE || c->fate == FATE_PENDING || c->fate == FATE_CUT ? c->verdict
                                                                                                : verdict_of(c->fate);
        answer.requested = c->fate != FATE_OFFLINE;
        answer.body_sent = blob_call_sent(c);
        answer.marker = "";
        if (answer.verdict == VERDICT_BUSY && below(BY_NET, 3) == 0)
                answer.retry_after_ns = between(BY_NET, SECOND, MINUTE);
        if (answer.verdict == VERDICT_OK && c->verb == VERB_LIST)
                list_page(c, &answer);
        if (answer.verdict == VERDICT_OK && c->verb == VERB_GET_BLOCK_LIST &&
            service_blocks(c->name, c->each_block, c->userdata) < 0)
                answer.verdict = VERDICT_RETRY;
        if (answer.verdict != VERDICT_OK) {
                answer.etag[0] = '\0';
                (void) error_set(&answer.error, -EIO, ERROR_AZURE, 0, "%s", verdict_name(answer.verdict));
        }
        SAY("client: verb %d %s: %s", (int) c->verb, c->name, verdict_name(answer.verdict));
        mix((uint64_t) answer.verdict);
        unlink_call(c);
        if (c->verb == VERB_BATCH && answer.verdict == VERDICT_OK)
                batch_tell(c);
        c->fn(&answer, c->userdata);
        release(c);
}

static BlobCall *call_new(BlobClient *client, AzureVerb verb, const char *name, BlobFn fn, void *userdata) {
        BlobCall *c = calloc(1, sizeof(*c));

        assert(c && strlen(name) < sizeof(c->name));
        (void) snprintf(c->name, sizeof(c->name), "%s", name);
        c->client = client;
        c->verb = verb;
        c->fn = fn;
        c->userdata = userdata;
        c->next = client->calls;
        client->calls = c;
        c->all = net.all;
        net.all = c;
        return c;
}

static void has_left(BlobCall *c) {
        if (acts(c->fate))
                c->acting = after(c->there, on_act, c);
        if (c->fate == FATE_ZOMBIE) {
                c->back = 30 * SECOND;
                if (below(BY_NET, 4) > 0)
                        c->acting = after(between(BY_NET, SECOND, 5 * MINUTE), on_act, c);
        }
        c->answering = after(c->there + c->back, on_answer, c);
}

static int send_call(BlobCall *c, BlobCall **ret) {
        c->there = between(BY_NET, SECOND / 1000, SECOND / 5);
        c->back = between(BY_NET, SECOND / 1000, SECOND / 5);
        if (ret)
                *ret = c;
        if (dead) /* it never left the process */
                return 0;
        c->client->requests++;
        c->fate = fitting(fate_of(c->verb), c->verb);
        SAY("client: sends verb %d %s (fate %d)", (int) c->verb, c->name, (int) c->fate);
        has_left(c);
        return 0;
}

void blob_cancel(BlobCall *c) {
        if (!c || !c->client)
                return;
        call_off(c->sending);
        call_off(c->answering);
        c->sending = c->answering = NULL;
        if (c->acting && below(BY_NET, 2)) { /* what was on its way may arrive or not */
                call_off(c->acting);
                c->acting = NULL;
        }
        unlink_call(c);
        release(c);
}

/* --- a body that is held back --- */

static void on_piece(void *data) {
        BlobCall *c = data;

        c->sending = NULL;
        while (c->left > 0) {
                size_t n = c->pace(MIN((size_t) c->left, HTTP_PIECE), c->pace_data);

                if (n == 0)
                        return;
                c->left -= n;
        }
        has_left(c);
}

/* What was decided when it was sent holds from when it has left. Whoever does not take it says so in the middle. */
void blob_call_pace(BlobCall *c, HttpPaceFn pace, void *userdata) {
        if (dead)
                return;
        call_off(c->acting);
        call_off(c->answering);
        c->acting = c->answering = NULL;
        c->pace = pace;
        c->pace_data = userdata;
        if (!acts(c->fate) && c->fate != FATE_ZOMBIE)
                c->whole /= 2;
        c->left = c->whole;
        c->sending = after(0, on_piece, c);
}

void blob_call_resume(BlobCall *c) {
        if (!dead && c->left > 0 && !c->sending)
                c->sending = after(0, on_piece, c);
}

uint64_t blob_call_sent(const BlobCall *c) {
        return c->whole - c->left;
}

/* --- azure/blob.h --- */

int blob_client_new(BlobClient **ret, sd_event *loop, BlobClientOptions *options, Error *e) {
        BlobClient *c = calloc(1, sizeof(*c));

        assert(c);
        c->credential = options->credential;
        *ret = c;
        return 0;
}

BlobClient *blob_client_free(BlobClient *c) {
        while (c && c->calls)
                blob_cancel(c->calls);
        if (c)
                credential_free(c->credential);
        free(c);
        return NULL;
}

static void take_content(BlobCall *c, const void *body, size_t size) {
        if (size == 0)
                return;
        memcpy(&c->content, body, sizeof(c->content));
        c->whole = size;
        if (c->content.total != size)
                fail("length", "%s: %zu bytes declared, %" PRIu64 " given", c->name, size, c->content.total);
}

static void take_meta(BlobCall *c, const BlobMeta *meta) {
        (void) snprintf(c->writer, sizeof(c->writer), "%s", meta->writer);
        c->generation = meta->generation;
        c->fuzzy = meta->fuzzy;
        c->has_stamp = meta->stamp != NULL;
        if (meta->stamp)
                c->stamp = *meta->stamp;
}

static void take_condition(BlobCall *c, const char *if_match, bool if_absent) {
        if (!if_match == !if_absent || (if_match && if_match[0] == '\0'))
                fail("condition", "verb %d of %s has no condition, or two", (int) c->verb, c->name);
        (void) snprintf(c->if_match, sizeof(c->if_match), "%s", if_match ? if_match : "");
        c->if_absent = if_absent;
}

int blob_put(BlobClient *client, const char *container, const char *blob, const void *body, size_t size,
             const uint8_t md5[static 16], const char *content_type, const BlobMeta *meta,
             const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *c = call_new(client, VERB_PUT_BLOB, blob, fn, userdata);

        take_content(c, body, size);
        memcpy(c->md5, md5, 16);
        take_meta(c, meta);
        take_condition(c, condition->if_match, condition->if_absent);
        return send_call(c, ret);
}

int blob_put_block(BlobClient *client, const char *container, const char *blob, const char *block_id, const void *body,
                   size_t size, const BlobCheck *check, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *c = call_new(client, VERB_PUT_BLOCK, blob, fn, userdata);

        take_content(c, body, size);
        (void) snprintf(c->ids[c->n_ids++], sizeof(c->ids[0]), "%s", block_id);
        return send_call(c, ret);
}

int blob_put_block_list(BlobClient *client, const char *container, const char *blob, const char *const *ids, size_t n,
                        const uint8_t md5[static 16], const char *content_type, const BlobMeta *meta,
                        const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *c = call_new(client, VERB_PUT_BLOCK_LIST, blob, fn, userdata);

        assert(n <= PARTS);
        for (size_t i = 0; i < n; i++)
                (void) snprintf(c->ids[c->n_ids++], sizeof(c->ids[0]), "%s", ids[i]);
        memcpy(c->md5, md5, 16);
        take_meta(c, meta);
        take_condition(c, condition->if_match, condition->if_absent);
        return send_call(c, ret);
}

int blob_head(BlobClient *client, const char *container, const char *blob, BlobFn fn, void *userdata, BlobCall **ret) {
        return send_call(call_new(client, VERB_HEAD_BLOB, blob, fn, userdata), ret);
}

int blob_set_metadata(BlobClient *client, const char *container, const char *blob, const BlobMeta *meta,
                      const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *c = call_new(client, VERB_SET_METADATA, blob, fn, userdata);

        take_meta(c, meta);
        take_condition(c, condition->if_match, condition->if_absent);
        return send_call(c, ret);
}

int blob_copy(BlobClient *client, const char *container, const char *blob, const char *source_blob,
              const char *source_etag, const BlobMeta *meta, const BlobCondition *condition, BlobFn fn, void *userdata,
              BlobCall **ret) {
        BlobCall *c = call_new(client, VERB_COPY_BLOB, blob, fn, userdata);

        (void) snprintf(c->source, sizeof(c->source), "%s", source_blob);
        (void) snprintf(c->source_etag, sizeof(c->source_etag), "%s", source_etag);
        take_meta(c, meta);
        take_condition(c, condition->if_match, condition->if_absent);
        return send_call(c, ret);
}

int blob_delete(BlobClient *client, const char *container, const char *blob, const char *if_match, BlobFn fn,
                void *userdata, BlobCall **ret) {
        BlobCall *c = call_new(client, VERB_DELETE_BLOB, blob, fn, userdata);

        take_condition(c, if_match, false);
        check_delete_sent(blob);
        return send_call(c, ret);
}

int blob_delete_batch(BlobClient *client, const char *container, const BlobDeletion *items, size_t n, BlobItemFn each,
                      BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *c = call_new(client, VERB_BATCH, "a batch", fn, userdata);

        if (n < 2 || n > BATCH_MAX)
                fail("batch", "%zu deletions in one request", n);
        c->each_item = each;
        c->n_items = (unsigned) n;
        if (below(BY_NET, 16) == 0) /* long names: not all of them fit */
                c->n_items = 1 + below(BY_NET, (unsigned) n);
        c->items = calloc(c->n_items, sizeof(*c->items));
        assert(c->items);
        for (unsigned i = 0; i < c->n_items; i++) {
                BlobCall *item = &c->items[i];

                (void) snprintf(item->name, sizeof(item->name), "%s", items[i].blob);
                item->verb = VERB_DELETE_BLOB;
                item->client = client;
                take_condition(item, items[i].if_match, false);
                check_delete_sent(item->name);
                item->fate = fitting(fate_of(VERB_DELETE_BLOB), VERB_DELETE_BLOB);
                if (item->fate == FATE_ZOMBIE || item->fate == FATE_OFFLINE || item->fate == FATE_TLS)
                        item->fate = FATE_LOST; /* a part that is missing */
        }
        (void) send_call(c, ret);
        return (int) c->n_items;
}

int blob_list(BlobClient *client, const char *container, const char *prefix, const char *marker, unsigned max,
              XmlListFn each, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *c = call_new(client, VERB_LIST, prefix ? prefix : "", fn, userdata);

        c->each = each;
        (void) snprintf(c->marker, sizeof(c->marker), "%s", marker ? marker : "");
        return send_call(c, ret);
}

int blob_get_block_list(BlobClient *client, const char *container, const char *blob, XmlBlockFn each, BlobFn fn,
                        void *userdata, BlobCall **ret) {
        BlobCall *c = call_new(client, VERB_GET_BLOCK_LIST, blob, fn, userdata);

        c->each_block = each;
        return send_call(c, ret);
}

void blob_client_drop_idle(BlobClient *client) {
}

void blob_client_limit(BlobClient *client, unsigned requests) {
}

int blob_create_container(BlobClient *client, const char *container, BlobFn fn, void *userdata, BlobCall **ret) {
        return send_call(call_new(client, VERB_CREATE_CONTAINER, "", fn, userdata), ret);
}
