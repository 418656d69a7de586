#include "azure/xml.h"

#include "azure/xml-reader.h"
#include "util/encode.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef enum Place {
        PLACE_LIST = XML_BRANCH,
        PLACE_BLOBS,
        PLACE_BLOB,
        PLACE_PROPERTIES,
        PLACE_METADATA,
        PLACE_BLOCKS,
        PLACE_COMMITTED,
        PLACE_UNCOMMITTED,
        PLACE_BLOCK,
        PLACE_ERROR,
        PLACE_SERVICE,
        PLACE_RETENTION,
        PLACE_MARKER = XML_LEAF,
        PLACE_NAME,
        PLACE_SNAPSHOT,
        PLACE_DELETED,
        PLACE_CURRENT,
        PLACE_ETAG,
        PLACE_LENGTH,
        PLACE_MD5,
        PLACE_TYPE,
        PLACE_TIER,
        PLACE_LEASE_STATE,
        PLACE_LEASE_STATUS,
        PLACE_METADATA_VALUE,
        PLACE_BLOCK_NAME,
        PLACE_BLOCK_SIZE,
        PLACE_CODE,
        PLACE_RETENTION_ON,
        PLACE_RETENTION_DAYS,
} Place;

static const XmlStep list_steps[] = {
        { "EnumerationResults", XML_TOP, PLACE_LIST },
        { "Blobs", PLACE_LIST, PLACE_BLOBS },
        { "NextMarker", PLACE_LIST, PLACE_MARKER },
        { "Blob", PLACE_BLOBS, PLACE_BLOB },
        { "Name", PLACE_BLOB, PLACE_NAME },
        { "Snapshot", PLACE_BLOB, PLACE_SNAPSHOT },
        { "Deleted", PLACE_BLOB, PLACE_DELETED },
        { "IsCurrentVersion", PLACE_BLOB, PLACE_CURRENT },
        { "Properties", PLACE_BLOB, PLACE_PROPERTIES },
        { "Metadata", PLACE_BLOB, PLACE_METADATA },
        { "Etag", PLACE_PROPERTIES, PLACE_ETAG },
        { "Content-Length", PLACE_PROPERTIES, PLACE_LENGTH },
        { "Content-MD5", PLACE_PROPERTIES, PLACE_MD5 },
        { "BlobType", PLACE_PROPERTIES, PLACE_TYPE },
        { "AccessTier", PLACE_PROPERTIES, PLACE_TIER },
        { "LeaseState", PLACE_PROPERTIES, PLACE_LEASE_STATE },
        { "LeaseStatus", PLACE_PROPERTIES, PLACE_LEASE_STATUS },
        { NULL, PLACE_METADATA, PLACE_METADATA_VALUE },
        { 0 },
};

static const XmlStep block_steps[] = {
        { "BlockList", XML_TOP, PLACE_BLOCKS },
        { "CommittedBlocks", PLACE_BLOCKS, PLACE_COMMITTED },
        { "UncommittedBlocks", PLACE_BLOCKS, PLACE_UNCOMMITTED },
        { "Block", PLACE_COMMITTED, PLACE_BLOCK },
        { "Block", PLACE_UNCOMMITTED, PLACE_BLOCK },
        { "Name", PLACE_BLOCK, PLACE_BLOCK_NAME },
        { "Size", PLACE_BLOCK, PLACE_BLOCK_SIZE },
        { 0 },
};

static const XmlStep service_steps[] = {
        { "StorageServiceProperties", XML_TOP, PLACE_SERVICE },
        { "DeleteRetentionPolicy", PLACE_SERVICE, PLACE_RETENTION },
        { "Enabled", PLACE_RETENTION, PLACE_RETENTION_ON },
        { "Days", PLACE_RETENTION, PLACE_RETENTION_DAYS },
        { 0 },
};

static const XmlStep error_steps[] = {
        { "Error", XML_TOP, PLACE_ERROR },
        { "Code", PLACE_ERROR, PLACE_CODE },
        { 0 },
};

static bool parse_u64(const char *text, uint64_t *ret) {
        uint64_t v = 0;

        if (*text == '\0')
                return false;
        for (; *text != '\0'; text++) {
                unsigned digit = (unsigned) (*text - '0');

                if (digit > 9 || v > (UINT64_MAX - digit) / 10)
                        return false;
                v = v * 10 + digit;
        }
        *ret = v;
        return true;
}

/* Whole or not at all: half a value would be a wrong one. */
static void copy_text(char *ret, size_t room, const char *text) {
        (void) snprintf(ret, room, "%s", strlen(text) < room ? text : "");
}

void listed_blob_metadata(ListedBlob *blob, const char *name, const char *value) {
        const struct {
                const char *name;
                char *field;
                size_t room;
        } fields[] = {
                { "azsyncd", blob->writer, sizeof(blob->writer) },
                { "mtime", blob->mtime, sizeof(blob->mtime) },
                { "modtime", blob->modtime, sizeof(blob->modtime) },
                { "permissions", blob->permissions, sizeof(blob->permissions) },
                { "posix_owner", blob->owner, sizeof(blob->owner) },
                { "posix_group", blob->group, sizeof(blob->group) },
        };

        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (strcasecmp(name, fields[i].name) == 0)
                        copy_text(fields[i].field, fields[i].room, value);
        if (strcasecmp(name, "azsyncdgen") == 0 && !parse_u64(value, &blob->generation))
                blob->generation = 0;
        if (strcasecmp(name, "hdi_isfolder") == 0)
                blob->is_folder = strcasecmp(value, "true") == 0;
        if (strcasecmp(name, "azsyncdbusy") == 0)
                blob->busy = strcasecmp(value, "true") == 0;
        if (strcasecmp(name, "is_symlink") == 0)
                blob->is_symlink = strcasecmp(value, "true") == 0;
}

/* Lists show it bare; conditions want it quoted. It goes into a header line, so only what may stand there is kept. */
static void set_etag(ListedBlob *blob, const char *text) {
        size_t n = strlen(text);

        if (n >= 2 && text[0] == '"' && text[n - 1] == '"') {
                text++;
                n -= 2;
        }
        blob->etag[0] = '\0';
        if (n == 0 || n + 3 > sizeof(blob->etag))
                return;
        for (size_t i = 0; i < n; i++)
                if (text[i] <= ' ' || text[i] >= 0x7F || text[i] == '"')
                        return;
        (void) snprintf(blob->etag, sizeof(blob->etag), "\"%.*s\"", (int) n, text);
}

static void set_md5(ListedBlob *blob, const char *text) {
        uint8_t md5[16];
        size_t n = 0;

        blob->has_md5 = base64_decode(text, strlen(text), md5, sizeof(md5), &n) == 0 && n == sizeof(md5);
        if (blob->has_md5)
                memcpy(blob->md5, md5, sizeof(md5));
}

typedef struct ListReading {
        XmlListFn fn;
        void *userdata;
        ListedBlob blob;
        Buf name, marker;
        bool named, hidden; /* hidden: not the blob as it stands */
} ListReading;

static void list_opened(XmlReader *rd, unsigned place) {
        ListReading *l = rd->userdata;

        if (place != PLACE_BLOB)
                return;
        l->blob = (ListedBlob){ 0 };
        l->named = l->hidden = false;
}

static void list_blob(XmlReader *rd, ListReading *l) {
        int r;

        if (!l->named || l->name.size == 0)
                return xml_reader_refuse(rd, "a blob without a name");
        if (l->hidden)
                return;
        l->blob.name = buf_text(&l->name);
        l->blob.name_size = l->name.size;
        r = l->fn(&l->blob, l->userdata);
        if (r < 0)
                xml_reader_stop(rd, r);
}

static void list_name(XmlReader *rd, ListReading *l) {
        int r;

        if (l->named)
                return xml_reader_refuse(rd, "a blob with two names");
        l->named = true;
        buf_clear(&l->name);
        r = rd->encoded ? percent_decode(&l->name, buf_text(&rd->text), rd->text.size)
                        : buf_append(&l->name, buf_text(&rd->text), rd->text.size);
        if (r == -ENOMEM)
                xml_reader_stop(rd, error_oom(rd->e));
        else if (r < 0)
                xml_reader_refuse(rd, "a name is encoded wrongly");
}

static void list_closed(XmlReader *rd, unsigned place, const char *name) {
        const char *text = buf_text(&rd->text);
        ListReading *l = rd->userdata;
        ListedBlob *b = &l->blob;

        switch (place) {
        case PLACE_BLOB:
                list_blob(rd, l);
                break;
        case PLACE_NAME:
                list_name(rd, l);
                break;
        case PLACE_MARKER:
                buf_clear(&l->marker);
                if (buf_append(&l->marker, text, rd->text.size) < 0)
                        return xml_reader_stop(rd, error_oom(rd->e));
                break;
        case PLACE_SNAPSHOT:
                l->hidden = l->hidden || text[0] != '\0';
                break;
        case PLACE_DELETED:
                l->hidden = l->hidden || strcasecmp(text, "true") == 0;
                break;
        case PLACE_CURRENT:
                l->hidden = l->hidden || strcasecmp(text, "false") == 0;
                break;
        case PLACE_ETAG:
                set_etag(b, text);
                break;
        case PLACE_LENGTH:
                if (!parse_u64(text, &b->size))
                        xml_reader_refuse(rd, "a length is not a number");
                break;
        case PLACE_MD5:
                set_md5(b, text);
                break;
        case PLACE_TYPE:
                copy_text(b->blob_type, sizeof(b->blob_type), text);
                break;
        case PLACE_TIER:
                copy_text(b->access_tier, sizeof(b->access_tier), text);
                break;
        case PLACE_LEASE_STATE:
                b->leased = b->leased || strcasecmp(text, "leased") == 0;
                break;
        case PLACE_LEASE_STATUS:
                b->leased = b->leased || strcasecmp(text, "locked") == 0;
                break;
        case PLACE_METADATA_VALUE:
                listed_blob_metadata(b, name, text);
                break;
        default:
                break;
        }
}

int xml_parse_list(const char *xml, size_t size, XmlListFn fn, void *userdata, char **ret_marker, Error *e) {
        ListReading l = {
                .fn = fn, .userdata = userdata, .name = BUF_INIT(XML_TEXT_MAX), .marker = BUF_INIT(XML_TEXT_MAX)
        };
        XmlReader rd = { .steps = list_steps, .opened = list_opened, .closed = list_closed, .userdata = &l, .e = e };
        char *marker = NULL;
        int r;

        assert((xml || size == 0) && fn && ret_marker);

        r = xml_reader_run(&rd, xml, size);
        if (r >= 0) {
                marker = strdup(buf_text(&l.marker));
                r = marker ? 0 : error_oom(e);
        }
        buf_done(&l.name);
        buf_done(&l.marker);
        if (r >= 0)
                *ret_marker = marker;
        return r;
}

static bool is_base64_text(const char *text) {
        size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");

        return n > 0 && strspn(text + n, "=") == strlen(text + n) && strlen(text + n) <= 2;
}

typedef struct BlockReading {
        XmlBlockFn fn;
        void *userdata;
        ListedBlock block;
        bool sized;
} BlockReading;

static void blocks_opened(XmlReader *rd, unsigned place) {
        BlockReading *b = rd->userdata;

        if (place != PLACE_BLOCK)
                return;
        b->block = (ListedBlock){ .committed = rd->places[rd->depth - 1] == PLACE_COMMITTED };
        b->sized = false;
}

static void blocks_closed(XmlReader *rd, unsigned place, const char *name) {
        BlockReading *b = rd->userdata;
        const char *text = buf_text(&rd->text);
        int r;

        if (place == PLACE_BLOCK_NAME) {
                if (!is_base64_text(text) || strlen(text) >= sizeof(b->block.id))
                        return xml_reader_refuse(rd, "a block ID is not Base64");
                copy_text(b->block.id, sizeof(b->block.id), text);
        } else if (place == PLACE_BLOCK_SIZE) {
                b->sized = parse_u64(text, &b->block.size);
        } else if (place == PLACE_BLOCK) {
                if (b->block.id[0] == '\0' || !b->sized)
                        return xml_reader_refuse(rd, "a block without ID or size");
                r = b->fn(&b->block, b->userdata);
                if (r < 0)
                        xml_reader_stop(rd, r);
        }
}

int xml_parse_block_list(const char *xml, size_t size, XmlBlockFn fn, void *userdata, Error *e) {
        BlockReading b = { .fn = fn, .userdata = userdata };
        XmlReader rd = {
                .steps = block_steps, .opened = blocks_opened, .closed = blocks_closed, .userdata = &b, .e = e
        };

        assert((xml || size == 0) && fn);

        return xml_reader_run(&rd, xml, size);
}

typedef struct Retention {
        bool said, on;
        uint64_t days;
} Retention;

static void service_closed(XmlReader *rd, unsigned place, const char *name) {
        Retention *retention = rd->userdata;
        const char *text = buf_text(&rd->text);

        if (place == PLACE_RETENTION_ON) {
                retention->said = true;
                retention->on = strcasecmp(text, "true") == 0;
        } else if (place == PLACE_RETENTION_DAYS && !parse_u64(text, &retention->days))
                xml_reader_refuse(rd, "a number of days is not a number");
}

int xml_parse_retention(const char *xml, size_t size, int *ret_days, Error *e) {
        Retention retention = { 0 };
        XmlReader rd = { .steps = service_steps, .closed = service_closed, .userdata = &retention, .e = e };
        int r;

        assert((xml || size == 0) && ret_days);

        r = xml_reader_run(&rd, xml, size);
        if (r < 0)
                return r;
        *ret_days = !retention.said ? -1 : !retention.on ? 0 : (int) MIN(MAX(retention.days, 1U), 36500U);
        return 0;
}

static void error_closed(XmlReader *rd, unsigned place, const char *name) {
        const char *text = buf_text(&rd->text);
        char *code = rd->userdata;

        if (place != PLACE_CODE || code[0] != '\0')
                return;
        if (text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")] == '\0')
                copy_text(code, 64, text);
}

void xml_parse_error(const char *xml, size_t size, char ret[static 64]) {
        XmlReader rd = { .steps = error_steps, .closed = error_closed, .userdata = ret };

        assert((xml || size == 0) && ret);

        ret[0] = '\0';
        (void) xml_reader_run(&rd, xml, size);
}

int xml_block_list(Buf *ret, const char *const *ids, size_t n) {
        int r;

        assert(ret && (ids || n == 0));

        r = buf_puts(ret, "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
        for (size_t i = 0; r >= 0 && i < n; i++) {
                if (!is_base64_text(ids[i]))
                        return -EINVAL;
                r = buf_puts(ret, "<Latest>");
                if (r >= 0)
                        r = buf_puts(ret, ids[i]);
                if (r >= 0)
                        r = buf_puts(ret, "</Latest>");
        }
        return r < 0 ? r : buf_puts(ret, "</BlockList>");
}
