/* The verbs: what each says in its request. Deletions, alone and in batches, are in delete.c. */
#include "azure/call.h"

#include "chunk/crc64.h"
#include "util/clock.h"
#include "util/encode.h"

#include <assert.h>
#include <string.h>

#define LIST_PAGE_MAX ((size_t) 16 * 1024 * 1024) /* pitfalls 10.9 */
#define COPY_SOURCE_MAX ((size_t) 2048)           /* azure-blob.md 1.4 */

static void add_meta(Request *r, const BlobMeta *meta) {
        char text[36];

        if (meta->writer)
                request_header(r, "x-ms-meta-azsyncd", meta->writer);
        if (meta->fuzzy)
                request_header(r, "x-ms-meta-azsyncdbusy", "true");
        request_header_number(r, "x-ms-meta-azsyncdgen", (int64_t) meta->generation);
        if (!meta->stamp)
                return;
        clock_format_rfc3339(meta->stamp->mtime_ns, text);
        request_header_number(r, "x-ms-meta-modtime", meta->stamp->mtime_ns);
        request_header(r, "x-ms-meta-mtime", text);
        request_header_number(r, "x-ms-meta-permissions", meta->stamp->mode);
        request_header_number(r, "x-ms-meta-posix_group", meta->stamp->gid);
        request_header_number(r, "x-ms-meta-posix_owner", meta->stamp->uid);
}

/* Whatever takes a condition has one (10.6). */
static void add_condition(Request *r, const BlobCondition *condition) {
        assert(condition && !condition->if_match != !condition->if_absent);

        r->if_match = condition->if_match;
        r->if_none_match = condition->if_absent ? "*" : NULL;
}

static void add_md5(BlobCall *call, const uint8_t md5[static 16], char text[static BASE64_ROOM(16)]) {
        memcpy(call->md5, md5, sizeof(call->md5));
        call->has_md5 = true;
        base64_encode(md5, 16, text);
        call->client->request.content_md5 = text;
}

int blob_put(BlobClient *c, const char *container, const char *blob, const void *body, size_t size,
             const uint8_t md5[static 16], const char *content_type, const BlobMeta *meta,
             const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_PUT_BLOB, "PUT", fn, userdata);
        char text[BASE64_ROOM(16)];
        Request *r = &c->request;

        if (!call)
                return -ENOMEM;
        if (meta->tier)
                request_header(r, "x-ms-access-tier", meta->tier);
        request_header(r, "x-ms-blob-content-type", content_type);
        request_header(r, "x-ms-blob-type", "BlockBlob");
        add_meta(r, meta);
        add_md5(call, md5, text);
        add_condition(r, condition);
        return call_send(call, container, blob, body, size, 0, ret);
}

int blob_put_block(BlobClient *c, const char *container, const char *blob, const char *block_id, const void *body,
                   size_t size, const BlobCheck *check, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_PUT_BLOCK, "PUT", fn, userdata);
        char text[BASE64_ROOM(16)], crc[13];

        if (!call)
                return -ENOMEM;
        if (check->md5)
                add_md5(call, check->md5, text);
        else {
                crc64_text(check->crc64, crc);
                request_header(&c->request, "x-ms-content-crc64", crc);
        }
        request_query(&c->request, "comp", "block");
        request_query(&c->request, "blockid", block_id);
        return call_send(call, container, blob, body, size, 0, ret);
}

int blob_put_block_list(BlobClient *c, const char *container, const char *blob, const char *const *ids, size_t n,
                        const uint8_t md5[static 16], const char *content_type, const BlobMeta *meta,
                        const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_PUT_BLOCK_LIST, "PUT", fn, userdata);
        char text[BASE64_ROOM(16)];
        Request *r = &c->request;
        int k;

        if (!call)
                return -ENOMEM;
        k = xml_block_list(&call->body, ids, n);
        if (k < 0) {
                call_free(call);
                return k;
        }
        base64_encode(md5, 16, text);
        request_query(r, "comp", "blocklist");
        if (meta->tier)
                request_header(r, "x-ms-access-tier", meta->tier);
        request_header(r, "x-ms-blob-content-md5", text); /* the whole blob's; stored, not checked */
        request_header(r, "x-ms-blob-content-type", content_type);
        add_meta(r, meta);
        add_condition(r, condition);
        return call_send(call, container, blob, call->body.data, call->body.size, 0, ret);
}

int blob_get_block_list(BlobClient *c, const char *container, const char *blob, XmlBlockFn each, BlobFn fn,
                        void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_GET_BLOCK_LIST, "GET", fn, userdata);

        if (!call)
                return -ENOMEM;
        call->each_block = each;
        request_query(&c->request, "comp", "blocklist");
        request_query(&c->request, "blocklisttype", "all");
        return call_send(call, container, blob, NULL, 0, BLOCK_LIST_MAX, ret);
}

int blob_head(BlobClient *c, const char *container, const char *blob, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_HEAD_BLOB, "HEAD", fn, userdata);

        return call ? call_send(call, container, blob, NULL, 0, 0, ret) : -ENOMEM;
}

int blob_set_metadata(BlobClient *c, const char *container, const char *blob, const BlobMeta *meta,
                      const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_SET_METADATA, "PUT", fn, userdata);

        if (!call)
                return -ENOMEM;
        request_query(&c->request, "comp", "metadata");
        add_meta(&c->request, meta);
        add_condition(&c->request, condition);
        return call_send(call, container, blob, NULL, 0, 0, ret);
}

int blob_copy(BlobClient *c, const char *container, const char *blob, const char *source_blob, const char *source_etag,
              const BlobMeta *meta, const BlobCondition *condition, BlobFn fn, void *userdata, BlobCall **ret) {
        _cleanup_buf_ Buf source = BUF_INIT(COPY_SOURCE_MAX);
        Request *r = &c->request;
        BlobCall *call;
        int k;

        if (credential_kind(c->credential) == CREDENTIAL_SAS)
                return -EOPNOTSUPP;
        k = buf_append(&source, c->endpoint.base, strlen(c->endpoint.base) - strlen(c->endpoint.path));
        if (k >= 0)
                k = azure_path(&source, &c->endpoint, container, source_blob);
        if (k < 0)
                return k == -EMSGSIZE ? -EOPNOTSUPP : k;
        call = call_new(c, VERB_COPY_BLOB, "PUT", fn, userdata);
        if (!call)
                return -ENOMEM;
        if (meta->tier)
                request_header(r, "x-ms-access-tier", meta->tier);
        request_header(r, "x-ms-copy-source", source.data);
        add_meta(r, meta);
        request_header(r, "x-ms-source-if-match", source_etag);
        add_condition(r, condition);
        return call_send(call, container, blob, NULL, 0, 0, ret);
}

int blob_list(BlobClient *c, const char *container, const char *prefix, const char *marker, unsigned max,
              XmlListFn each, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_LIST, "GET", fn, userdata);
        Request *r = &c->request;
        char count[16];

        if (!call)
                return -ENOMEM;
        call->each_blob = each;
        (void) snprintf(count, sizeof(count), "%u", max);
        request_query(r, "restype", "container");
        request_query(r, "comp", "list");
        request_query(r, "include", "metadata");
        request_query(r, "maxresults", count);
        if (marker && buf_puts(&call->body, marker) < 0) {
                call_free(call);
                return -ENOMEM;
        }
        if (prefix && prefix[0])
                request_query(r, "prefix", prefix);
        if (marker && marker[0])
                request_query(r, "marker", marker);
        return call_send(call, container, NULL, NULL, 0, LIST_PAGE_MAX, ret);
}

int blob_create_container(BlobClient *c, const char *container, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_CREATE_CONTAINER, "PUT", fn, userdata);

        if (!call)
                return -ENOMEM;
        request_query(&c->request, "restype", "container");
        return call_send(call, container, NULL, NULL, 0, 0, ret);
}

int blob_account_info(BlobClient *c, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_ACCOUNT_INFO, "GET", fn, userdata);

        if (!call)
                return -ENOMEM;
        request_query(&c->request, "restype", "account");
        request_query(&c->request, "comp", "properties");
        return call_send(call, NULL, NULL, NULL, 0, 0, ret);
}

int blob_service_properties(BlobClient *c, BlobFn fn, void *userdata, BlobCall **ret) {
        BlobCall *call = call_new(c, VERB_SERVICE_PROPERTIES, "GET", fn, userdata);

        if (!call)
                return -ENOMEM;
        request_query(&c->request, "restype", "service");
        request_query(&c->request, "comp", "properties");
        return call_send(call, NULL, NULL, NULL, 0, 0, ret);
}
