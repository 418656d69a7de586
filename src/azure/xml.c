#include "azure/xml.h"

#include "util/encode.h"

#include <assert.h>
#include <expat.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MAX_DEPTH 32
#define MAX_TEXT 65536 /* of one element */
#define MAX_ATTRIBUTES 16

/* Where in a document an element stands. Values above PLACE_LEAF have text that is wanted. */
typedef enum Place {
        PLACE_TOP,
        PLACE_IGNORED, /* unknown, and everything beneath */
        PLACE_LIST,
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
        PLACE_LEAF,
        PLACE_MARKER,
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

typedef struct Step {
        const char *name; /* NULL: any */
        Place in, to;
} Step;

static const Step list_steps[] = {
        { "EnumerationResults", PLACE_TOP, PLACE_LIST },
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

static const Step block_steps[] = {
        { "BlockList", PLACE_TOP, PLACE_BLOCKS },
        { "CommittedBlocks", PLACE_BLOCKS, PLACE_COMMITTED },
        { "UncommittedBlocks", PLACE_BLOCKS, PLACE_UNCOMMITTED },
        { "Block", PLACE_COMMITTED, PLACE_BLOCK },
        { "Block", PLACE_UNCOMMITTED, PLACE_BLOCK },
        { "Name", PLACE_BLOCK, PLACE_BLOCK_NAME },
        { "Size", PLACE_BLOCK, PLACE_BLOCK_SIZE },
        { 0 },
};

static const Step service_steps[] = {
        { "StorageServiceProperties", PLACE_TOP, PLACE_SERVICE },
        { "DeleteRetentionPolicy", PLACE_SERVICE, PLACE_RETENTION },
        { "Enabled", PLACE_RETENTION, PLACE_RETENTION_ON },
        { "Days", PLACE_RETENTION, PLACE_RETENTION_DAYS },
        { 0 },
};

static const Step error_steps[] = {
        { "Error", PLACE_TOP, PLACE_ERROR },
        { "Code", PLACE_ERROR, PLACE_CODE },
        { 0 },
};

typedef struct Reader Reader;
struct Reader {
        XML_Parser parser;
        const Step *steps;
        Place places[MAX_DEPTH + 1]; /* of the open elements */
        size_t depth;
        size_t run;   /* chars of text since the last tag */
        Buf text;     /* of the open leaf */
        bool encoded; /* it says Encoded="true" */
        int r;        /* why it was stopped */
        Error *e;
        void (*opened)(Reader *rd, Place place);
        void (*closed)(Reader *rd, Place place, const char *name);

        XmlListFn list_fn;
        XmlBlockFn block_fn;
        void *userdata;
        ListedBlob blob;
        Buf name;
        bool named, hidden; /* hidden: not the blob as it stands */
        Buf marker;
        ListedBlock block;
        bool sized;
        bool retention, retention_on; /* said at all; switched on */
        uint64_t retention_days;
        char *code;
};

static void stop(Reader *rd, int r) {
        rd->r = r;
        (void) XML_StopParser(rd->parser, XML_FALSE);
}

static void refuse(Reader *rd, const char *why) {
        stop(rd, error_set(rd->e, -EBADMSG, ERROR_PROTOCOL, 0, "the service's XML: %s", why));
}

static Place step(const Step *steps, Place in, const char *name) {
        for (; steps->to != PLACE_TOP; steps++)
                if (steps->in == in && (!steps->name || strcmp(steps->name, name) == 0))
                        return steps->to;
        return PLACE_IGNORED;
}

static void XMLCALL on_start(void *userdata, const XML_Char *name, const XML_Char **attributes) {
        Reader *rd = userdata;
        size_t n = 0;
        Place place;

        if (rd->r < 0)
                return;
        if (rd->depth == MAX_DEPTH)
                return refuse(rd, "too deep");
        for (; attributes[n]; n += 2)
                if (n / 2 == MAX_ATTRIBUTES)
                        return refuse(rd, "too many attributes");

        place = step(rd->steps, rd->places[rd->depth], name);
        if (rd->depth == 0 && place == PLACE_IGNORED)
                return refuse(rd, "not the document that was asked for");
        rd->places[++rd->depth] = place;
        rd->run = 0;
        if (place > PLACE_LEAF) {
                buf_clear(&rd->text);
                rd->encoded = false;
                for (n = 0; attributes[n]; n += 2)
                        if (strcmp(attributes[n], "Encoded") == 0)
                                rd->encoded = strcasecmp(attributes[n + 1], "true") == 0;
        }
        rd->opened(rd, place);
}

static void XMLCALL on_text(void *userdata, const XML_Char *text, int size) {
        Reader *rd = userdata;
        int r = 0;

        if (rd->r < 0)
                return;
        rd->run += (size_t) size;
        if (rd->places[rd->depth] > PLACE_LEAF)
                r = buf_append(&rd->text, text, (size_t) size);
        if (r == -EMSGSIZE || rd->run > MAX_TEXT)
                refuse(rd, "too long a value");
        else if (r < 0)
                stop(rd, error_oom(rd->e));
}

static void XMLCALL on_end(void *userdata, const XML_Char *name) {
        Reader *rd = userdata;
        Place place;

        if (rd->r < 0)
                return;
        assert(rd->depth > 0);
        place = rd->places[rd->depth--];
        rd->run = 0;
        if (rd->encoded && place == PLACE_NAME) {
                _cleanup_buf_ Buf plain = BUF_INIT(MAX_TEXT);
                int r = percent_decode(&plain, buf_text(&rd->text), rd->text.size);

                if (r == -ENOMEM)
                        return stop(rd, error_oom(rd->e));
                if (r < 0)
                        return refuse(rd, "a name is encoded wrongly");
                buf_done(&rd->text);
                rd->text = plain;
                plain = BUF_INIT(0);
        }
        rd->closed(rd, place, name);
}

static void XMLCALL on_doctype(void *userdata, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid,
                               int has_internal) {
        refuse(userdata, "a DOCTYPE is not expected");
}

static void reader_done(Reader *rd) {
        buf_done(&rd->text);
        buf_done(&rd->name);
        buf_done(&rd->marker);
        if (rd->parser)
                XML_ParserFree(rd->parser);
}

static void reader_init(Reader *rd, const Step *steps, Error *e) {
        *rd = (Reader){
                .steps = steps,
                .text = BUF_INIT(MAX_TEXT),
                .name = BUF_INIT(MAX_TEXT),
                .marker = BUF_INIT(MAX_TEXT),
                .e = e,
        };
}

/* The whole document, which must be complete. */
static int reader_run(Reader *rd, const char *xml, size_t size) {
        enum XML_Status status;

        if (size >= 3 && memcmp(xml, "\xef\xbb\xbf", 3) == 0) {
                xml += 3;
                size -= 3;
        }
        if (size > INT_MAX)
                return error_set(rd->e, -EBADMSG, ERROR_PROTOCOL, 0, "the service's XML: too long");

        rd->parser = XML_ParserCreate("UTF-8"); /* whatever the document declares */
        if (!rd->parser)
                return error_oom(rd->e);
        XML_SetUserData(rd->parser, rd);
        XML_SetElementHandler(rd->parser, on_start, on_end);
        XML_SetCharacterDataHandler(rd->parser, on_text);
        XML_SetStartDoctypeDeclHandler(rd->parser, on_doctype);

        status = XML_Parse(rd->parser, xml, (int) size, XML_TRUE);
        if (rd->r < 0)
                return rd->r;
        if (status == XML_STATUS_OK)
                return 0;
        if (XML_GetErrorCode(rd->parser) == XML_ERROR_NO_MEMORY)
                return error_oom(rd->e);
        return error_set(rd->e, -EBADMSG, ERROR_PROTOCOL, 0,
                         "the service's XML is cut or malformed (line %lu, byte %ld: %s)",
                         (unsigned long) XML_GetCurrentLineNumber(rd->parser),
                         (long) XML_GetCurrentByteIndex(rd->parser), XML_ErrorString(XML_GetErrorCode(rd->parser)));
}

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

static void list_opened(Reader *rd, Place place) {
        if (place != PLACE_BLOB)
                return;
        rd->blob = (ListedBlob){ 0 };
        rd->named = rd->hidden = false;
}

static void list_blob(Reader *rd) {
        int r;

        if (!rd->named || rd->name.size == 0)
                return refuse(rd, "a blob without a name");
        if (rd->hidden)
                return;
        rd->blob.name = buf_text(&rd->name);
        rd->blob.name_size = rd->name.size;
        r = rd->list_fn(&rd->blob, rd->userdata);
        if (r < 0)
                stop(rd, r);
}

static void list_closed(Reader *rd, Place place, const char *name) {
        const char *text = buf_text(&rd->text);
        ListedBlob *b = &rd->blob;

        switch (place) {
        case PLACE_BLOB:
                list_blob(rd);
                break;
        case PLACE_NAME:
                if (rd->named)
                        return refuse(rd, "a blob with two names");
                buf_clear(&rd->name);
                if (buf_append(&rd->name, text, rd->text.size) < 0)
                        return stop(rd, error_oom(rd->e));
                rd->named = true;
                break;
        case PLACE_MARKER:
                buf_clear(&rd->marker);
                if (buf_append(&rd->marker, text, rd->text.size) < 0)
                        return stop(rd, error_oom(rd->e));
                break;
        case PLACE_SNAPSHOT:
                rd->hidden = rd->hidden || text[0] != '\0';
                break;
        case PLACE_DELETED:
                rd->hidden = rd->hidden || strcasecmp(text, "true") == 0;
                break;
        case PLACE_CURRENT:
                rd->hidden = rd->hidden || strcasecmp(text, "false") == 0;
                break;
        case PLACE_ETAG:
                set_etag(b, text);
                break;
        case PLACE_LENGTH:
                if (!parse_u64(text, &b->size))
                        refuse(rd, "a length is not a number");
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
        _cleanup_(reader_done) Reader rd;
        char *marker;
        int r;

        assert((xml || size == 0) && fn && ret_marker);

        reader_init(&rd, list_steps, e);
        rd.opened = list_opened;
        rd.closed = list_closed;
        rd.list_fn = fn;
        rd.userdata = userdata;
        r = reader_run(&rd, xml, size);
        if (r < 0)
                return r;
        marker = strdup(buf_text(&rd.marker));
        if (!marker)
                return error_oom(e);
        *ret_marker = marker;
        return 0;
}

static bool is_base64_text(const char *text) {
        size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");

        return n > 0 && strspn(text + n, "=") == strlen(text + n) && strlen(text + n) <= 2;
}

static void blocks_opened(Reader *rd, Place place) {
        if (place != PLACE_BLOCK)
                return;
        rd->block = (ListedBlock){ .committed = rd->places[rd->depth - 1] == PLACE_COMMITTED };
        rd->sized = false;
}

static void blocks_closed(Reader *rd, Place place, const char *name) {
        const char *text = buf_text(&rd->text);
        int r;

        if (place == PLACE_BLOCK_NAME) {
                if (!is_base64_text(text) || strlen(text) >= sizeof(rd->block.id))
                        return refuse(rd, "a block ID is not Base64");
                copy_text(rd->block.id, sizeof(rd->block.id), text);
        } else if (place == PLACE_BLOCK_SIZE) {
                rd->sized = parse_u64(text, &rd->block.size);
        } else if (place == PLACE_BLOCK) {
                if (rd->block.id[0] == '\0' || !rd->sized)
                        return refuse(rd, "a block without ID or size");
                r = rd->block_fn(&rd->block, rd->userdata);
                if (r < 0)
                        stop(rd, r);
        }
}

int xml_parse_block_list(const char *xml, size_t size, XmlBlockFn fn, void *userdata, Error *e) {
        _cleanup_(reader_done) Reader rd;

        assert((xml || size == 0) && fn);

        reader_init(&rd, block_steps, e);
        rd.opened = blocks_opened;
        rd.closed = blocks_closed;
        rd.block_fn = fn;
        rd.userdata = userdata;
        return reader_run(&rd, xml, size);
}

static void service_opened(Reader *rd, Place place) {
}

static void service_closed(Reader *rd, Place place, const char *name) {
        const char *text = buf_text(&rd->text);

        if (place == PLACE_RETENTION_ON) {
                rd->retention = true;
                rd->retention_on = strcasecmp(text, "true") == 0;
        } else if (place == PLACE_RETENTION_DAYS && !parse_u64(text, &rd->retention_days))
                refuse(rd, "a number of days is not a number");
}

int xml_parse_retention(const char *xml, size_t size, int *ret_days, Error *e) {
        _cleanup_(reader_done) Reader rd;
        int r;

        assert((xml || size == 0) && ret_days);

        reader_init(&rd, service_steps, e);
        rd.opened = service_opened;
        rd.closed = service_closed;
        r = reader_run(&rd, xml, size);
        if (r < 0)
                return r;
        *ret_days = !rd.retention ? -1 : !rd.retention_on ? 0 : (int) MIN(MAX(rd.retention_days, 1U), 36500U);
        return 0;
}

static void error_opened(Reader *rd, Place place) {
}

static void error_closed(Reader *rd, Place place, const char *name) {
        const char *text = buf_text(&rd->text);

        if (place != PLACE_CODE || rd->code[0] != '\0')
                return;
        if (text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")] == '\0')
                copy_text(rd->code, 64, text);
}

void xml_parse_error(const char *xml, size_t size, char ret[static 64]) {
        _cleanup_(reader_done) Reader rd;

        assert((xml || size == 0) && ret);

        ret[0] = '\0';
        reader_init(&rd, error_steps, NULL);
        rd.opened = error_opened;
        rd.closed = error_closed;
        rd.code = ret;
        (void) reader_run(&rd, xml, size);
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
