#include "azure/xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "<?xml version=\"1.0\" encoding=\"utf-8\"?>"
#define LIST(blobs) HEAD "<EnumerationResults><Blobs>" blobs "</Blobs><NextMarker/></EnumerationResults>"
#define BLOB(inner) LIST("<Blob><Name>n</Name>" inner "</Blob>")
#define PROPS(inner) BLOB("<Properties>" inner "</Properties>")
#define META(inner) BLOB("<Metadata>" inner "</Metadata>")

/* What a callback heard. Names and texts of a blob live only as long as it, so they are copied. */
typedef struct Heard {
        ListedBlob blob;
        Buf names; /* each followed by '|' */
        unsigned count;
        int answer;
} Heard;

static int hear(const ListedBlob *blob, void *userdata) {
        Heard *h = userdata;

        assert_int_equal(strlen(blob->name) <= blob->name_size, 1);
        assert_int_equal(blob->name[blob->name_size], '\0');
        h->blob = *blob;
        h->blob.name = NULL;
        h->count++;
        assert_int_equal(buf_append(&h->names, blob->name, blob->name_size), 0);
        assert_int_equal(buf_puts(&h->names, "|"), 0);
        return h->answer;
}

static int parse(const char *xml, size_t size, Heard *h, char **ret_marker, Error *e) {
        buf_done(&h->names);
        *h = (Heard){ .names = BUF_INIT(1 << 20), .answer = h->answer };
        return xml_parse_list(xml, size, hear, h, ret_marker, e);
}

/* As the service writes it: BOM, bare Etag, elements we do not know. Azurite's has no BOM. */
static const char page[] =
        "\xef\xbb\xbf" HEAD
        "<EnumerationResults ServiceEndpoint=\"https://contoso.blob.core.windows.net/\" ContainerName=\"photos\">"
        "<Prefix>h/</Prefix><Marker/><MaxResults>3</MaxResults>\n<Blobs>"
        "<Blob><Name>h/a &amp; b&lt;1&gt;&quot;&apos;.txt</Name><Properties><Creation-Time>Thu</Creation-Time>"
        "<Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified><Etag>0x8DE48A1B2C3D4E5</Etag>"
        "<Content-Length>18446744073709551615</Content-Length><Content-Type>text/plain</Content-Type><Content-Encoding/"
        ">"
        "<Content-MD5>Pz8543xut4RVSbb2g52Mww==</Content-MD5><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier>"
        "<AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</"
        "LeaseState>"
        "<ServerEncrypted>true</ServerEncrypted></Properties><Metadata><azsyncd>0123abcd</azsyncd><AzSyncdGen>17</"
        "AzSyncdGen>"
        "<Mtime>2026-01-01T00:00:00.123456789Z</Mtime><modtime>1767225600123456789</modtime><permissions>33188</"
        "permissions>"
        "<posix_owner>1000</posix_owner><POSIX_GROUP>100</POSIX_GROUP><other>x</other></Metadata><OrMetadata/></Blob>"
        "<BlobPrefix><Name>h/folder/</Name></BlobPrefix>"
        "<Blob><Name>h/\xc3\xa9&#x20AC;&#233;</Name><Properties><Etag>\"quoted\"</Etag><Content-Length>0</"
        "Content-Length>"
        "<Content-MD5/></Properties><Metadata/></Blob>"
        "<Blob><Name "
        "Encoded=\"true\">h/x%EF%BF%BEy%2Fz%25</Name><Properties><LeaseState>leased</LeaseState></Properties>"
        "<Metadata><hdi_isfolder>True</hdi_isfolder><is_symlink>true</is_symlink>"
        "<azsyncdbusy>true</azsyncdbusy></Metadata></Blob>"
        "</Blobs><NextMarker>2!76!MDA&amp;=+/</NextMarker></EnumerationResults>\n";

static void test_page(void **state) {
        static const uint8_t md5[16] = { 0x3f, 0x3f, 0x39, 0xe3, 0x7c, 0x6e, 0xb7, 0x84,
                                         0x55, 0x49, 0xb6, 0xf6, 0x83, 0x9d, 0x8c, 0xc3 };
        _cleanup_free_ char *marker = NULL;
        Error e = ERROR_NULL;
        Heard h = { 0 };

        assert_int_equal(parse(page, strlen(page), &h, &marker, &e), 0);
        assert_string_equal(marker, "2!76!MDA&=+/");
        assert_string_equal(buf_text(&h.names),
                            "h/a & b<1>\"'.txt|h/\xc3\xa9\xe2\x82\xac\xc3\xa9|h/x\xef\xbf\xbey/z%|");
        assert_true(h.blob.is_folder && h.blob.is_symlink && h.blob.busy && h.blob.leased && !h.blob.has_md5);
        assert_string_equal(h.blob.etag, ""); /* nothing of the blob before */
        assert_string_equal(h.blob.writer, "");

        h.answer = -ECANCELED; /* stops at the first, which is then the one we see */
        free(TAKE_PTR(marker));
        assert_int_equal(parse(page, strlen(page), &h, &marker, &e), -ECANCELED);
        assert_int_equal(h.count, 1);
        assert_null(marker);
        assert_true(h.blob.size == UINT64_MAX);
        assert_string_equal(h.blob.etag, "\"0x8DE48A1B2C3D4E5\"");
        assert_true(h.blob.has_md5);
        assert_memory_equal(h.blob.md5, md5, sizeof(md5));
        assert_string_equal(h.blob.blob_type, "BlockBlob");
        assert_string_equal(h.blob.access_tier, "Hot");
        assert_false(h.blob.leased || h.blob.is_folder || h.blob.is_symlink || h.blob.busy);
        assert_string_equal(h.blob.writer, "0123abcd");
        assert_int_equal(h.blob.generation, 17);
        assert_string_equal(h.blob.mtime, "2026-01-01T00:00:00.123456789Z");
        assert_string_equal(h.blob.modtime, "1767225600123456789");
        assert_string_equal(h.blob.permissions, "33188");
        assert_string_equal(h.blob.owner, "1000");
        assert_string_equal(h.blob.group, "100");
        buf_done(&h.names);
}

/* pitfalls 10.3: cut anywhere, a page is no page. Only blanks may be missing. */
static void test_every_cut(void **state) {
        size_t whole = strlen(page) - 1; /* the line end after the document */
        Heard h = { 0 };

        for (size_t n = 0; n < whole; n++) {
                _cleanup_free_ char *copy = malloc(n ? n : 1),
                                    *marker = NULL; /* so that a sanitizer sees a step too far */
                Error e = ERROR_NULL;

                assert_non_null(copy);
                memcpy(copy, page, n);
                assert_int_equal(parse(copy, n, &h, &marker, &e), -EBADMSG);
                assert_null(marker);
                assert_int_equal(e.domain, ERROR_PROTOCOL);
        }
        buf_done(&h.names);
}

static const struct {
        const char *xml;
        const char *names;  /* NULL: refused */
        const char *marker; /* NULL: "" */
} lists[] = {
        { LIST(""), "", NULL },
        { HEAD "<EnumerationResults/>", "", NULL },
        { HEAD "<EnumerationResults><Blobs/><NextMarker>m</NextMarker></EnumerationResults>", "",
          "m" }, /* azure-blob.md 1.6: legal */
        { "<EnumerationResults><NextMarker> \n </NextMarker><Blobs/></EnumerationResults>", "", " \n " }, /* opaque */
        { LIST("<Blob><Name>a</Name></Blob><Blob><Name>b</Name></Blob>"), "a|b|", NULL },
        { LIST("<Blob><Properties><Etag>e</Etag></Properties><Name>late</Name></Blob>"), "late|",
          NULL }, /* any order */
        { LIST("<Blob><New><Name>x</Name></New><Name>a</Name><!-- c --><Other>y</Other></Blob>"), "a|", NULL },
        { LIST("<Blob><Name><![CDATA[a<&]]>b</Name></Blob>"), "a<&b|", NULL },
        { LIST("<Blob><Name>a<b>junk</b>c</Name></Blob>"), "ac|", NULL },
        { LIST("<Blob><Name> a </Name></Blob>"), " a |", NULL }, /* blanks are part of a name */
        { LIST("<Blob><Name Encoded=\"false\">a%41</Name></Blob>"), "a%41|", NULL },
        { LIST("<Blob><Name>a%41</Name></Blob>"), "a%41|", NULL }, /* pitfalls 6.5: decoded once */
        { LIST("<Blob><Name Encoded=\"true\">a%2541</Name></Blob>"), "a%41|", NULL },
        { LIST("<Blob><Name Encoded=\"TRUE\">%c3%a9</Name></Blob>"), "\xc3\xa9|", NULL },
        { LIST("<Blob><Name>old</Name><Snapshot>2026</Snapshot></Blob><Blob><Name>a</Name><Snapshot/></Blob>"), "a|",
          NULL },
        { LIST("<Blob><Name>gone</Name><Deleted>true</Deleted></Blob><Blob><Name>a</Name><Deleted>false</Deleted></"
               "Blob>"),
          "a|", NULL },
        { LIST("<Blob><Name>v</Name><IsCurrentVersion>false</IsCurrentVersion></Blob>"
               "<Blob><Name>v</Name><IsCurrentVersion>true</IsCurrentVersion></Blob>"),
          "v|", NULL },
        { "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><EnumerationResults><Blobs><Blob><Name>\xc3\xa9</Name></Blob>"
          "</Blobs></EnumerationResults>",
          "\xc3\xa9|", NULL }, /* UTF-8 whatever it declares */
        /* refused */
        { "", NULL, NULL },
        { "\xef\xbb\xbf", NULL, NULL },
        { "not xml", NULL, NULL },
        { "<html><body>captive portal</body></html>", NULL, NULL }, /* pitfalls 10.2 */
        { HEAD "<Error><Code>ServerBusy</Code></Error>", NULL, NULL },
        { HEAD "<BlockList/>", NULL, NULL },
        { LIST("<Blob></Blob>"), NULL, NULL },
        { LIST("<Blob><Name/></Blob>"), NULL, NULL },
        { LIST("<Blob><Name>a</Name><Name>b</Name></Blob>"), NULL, NULL },
        { LIST("<Blob><Name>a</Name>"), NULL, NULL },
        { LIST("") "<EnumerationResults/>", NULL, NULL },
        { LIST("") "junk", NULL, NULL },
        { LIST("<Blob><Name Encoded=\"true\">a%4</Name></Blob>"), NULL, NULL },
        { LIST("<Blob><Name Encoded=\"true\">a%zz</Name></Blob>"), NULL, NULL },
        { LIST("<Blob><Name>\x01</Name></Blob>"), NULL, NULL }, /* pitfalls 6.5: no control characters in XML */
        { LIST("<Blob><Name>&#1;</Name></Blob>"), NULL, NULL },
        { LIST("<Blob><Name>&#xFFFE;</Name></Blob>"), NULL, NULL },
        { LIST("<Blob><Name>\xff</Name></Blob>"), NULL, NULL },
        { LIST("<Blob><Name>&nbsp;</Name></Blob>"), NULL, NULL },
        { LIST("<Blob><Name>&amp</Name></Blob>"), NULL, NULL },
        { PROPS("<Content-Length>12x</Content-Length>"), NULL, NULL },
        { PROPS("<Content-Length>-1</Content-Length>"), NULL, NULL },
        { PROPS("<Content-Length/>"), NULL, NULL },
        { PROPS("<Content-Length>18446744073709551616</Content-Length>"), NULL, NULL },
        { "\xff\xfe<\0", NULL, NULL },
        /* pitfalls 10.9: no DTD, so neither entities that grow nor files that are read */
        { "<!DOCTYPE EnumerationResults>" LIST(""), NULL, NULL },
        { "<!DOCTYPE EnumerationResults><EnumerationResults><Blobs/></EnumerationResults>", NULL, NULL },
        { "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><EnumerationResults><NextMarker>&b;</NextMarker>"
          "</EnumerationResults>",
          NULL, NULL },
        { "<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><EnumerationResults><NextMarker>&f;</NextMarker>"
          "</EnumerationResults>",
          NULL, NULL },
        { "<!DOCTYPE x SYSTEM \"http://127.0.0.1/x.dtd\"><EnumerationResults/>", NULL, NULL },
};

static void test_lists(void **state) {
        Heard h = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(lists); i++) {
                _cleanup_free_ char *marker = NULL;
                Error e = ERROR_NULL;
                int r = parse(lists[i].xml, strlen(lists[i].xml), &h, &marker, &e);

                if (r != (lists[i].names ? 0 : -EBADMSG))
                        fail_msg("%s: %d %s", lists[i].xml, r, e.text);
                if (r < 0) {
                        assert_int_equal(e.domain, ERROR_PROTOCOL);
                        assert_true(strlen(e.text) > 0);
                        continue;
                }
                assert_string_equal(buf_text(&h.names), lists[i].names);
                assert_string_equal(marker, lists[i].marker ? lists[i].marker : "");
        }
        buf_done(&h.names);
}

/* Values that cannot be what they should count as absent; none may be cut, since half a value is a wrong one. */
static void test_fields(void **state) {
        static const struct {
                const char *xml;
                size_t offset;
                const char *value;
        } fields[] = {
#define FIELD(f) offsetof(ListedBlob, f)
                { PROPS("<Etag>0x1</Etag>"), FIELD(etag), "\"0x1\"" },
                { PROPS("<Etag>\"0x1\"</Etag>"), FIELD(etag), "\"0x1\"" },
                { PROPS("<Etag/>"), FIELD(etag), "" },
                { PROPS("<Etag>\"</Etag>"), FIELD(etag), "" },
                { PROPS("<Etag>\"\"</Etag>"), FIELD(etag), "" },
                { PROPS("<Etag>a\"b</Etag>"), FIELD(etag), "" },
                { PROPS("<Etag>a&#13;&#10;X-Evil: 1</Etag>"), FIELD(etag),
                  "" }, /* pitfalls 6.8: it goes into a header */
                { PROPS("<Etag>a b</Etag>"), FIELD(etag), "" },
                { PROPS("<Etag>\xc3\xa9</Etag>"), FIELD(etag), "" },
                { PROPS("<BlobType>PageBlob</BlobType>"), FIELD(blob_type), "PageBlob" },
                { PROPS("<BlobType>0123456789abcde</BlobType>"), FIELD(blob_type), "0123456789abcde" },
                { PROPS("<BlobType>0123456789abcdef</BlobType>"), FIELD(blob_type), "" },
                { META("<permissions>0123456789abcdef</permissions>"), FIELD(permissions), "" },
                { META("<modtime>012345678901234567890123</modtime>"), FIELD(modtime), "" },
                { META("<MODTIME>5</MODTIME>"), FIELD(modtime), "5" },
                { BLOB("<Metadata><a><mtime>x</mtime></a></Metadata>"), FIELD(mtime), "" }, /* not where it belongs */
                { BLOB("<mtime>x</mtime>"), FIELD(mtime), "" },
                { PROPS("<mtime>x</mtime>"), FIELD(mtime), "" },
        };
        static const struct {
                const char *xml;
                bool has_md5;
        } md5s[] = {
                { PROPS("<Content-MD5>AAAAAAAAAAAAAAAAAAAAAA==</Content-MD5>"), true },
                { PROPS("<Content-MD5>AAAAAAAAAAAAAAAAAAAA</Content-MD5>"), false },     /* 15 bytes */
                { PROPS("<Content-MD5>AAAAAAAAAAAAAAAAAAAAAAA=</Content-MD5>"), false }, /* 17 */
                { PROPS("<Content-MD5>AAAAAAAAAAAAAAAAAAAAAA</Content-MD5>"), false },
                { PROPS("<Content-MD5>!</Content-MD5>"), false },
                { PROPS("<Content-MD5/>"), false },
        };
        static const struct {
                const char *xml;
                uint64_t generation;
        } generations[] = {
                { META("<azsyncdgen>0</azsyncdgen>"), 0 },
                { META("<azsyncdgen>18446744073709551615</azsyncdgen>"), UINT64_MAX },
                { META("<azsyncdgen>18446744073709551616</azsyncdgen>"), 0 },
                { META("<azsyncdgen>+1</azsyncdgen>"), 0 },
                { META("<azsyncdgen> 1</azsyncdgen>"), 0 },
                { META("<azsyncdgen/>"), 0 },
        };
        _cleanup_free_ char *marker = NULL;
        Heard h = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                free(TAKE_PTR(marker));
                assert_int_equal(parse(fields[i].xml, strlen(fields[i].xml), &h, &marker, NULL), 0);
                assert_int_equal(h.count, 1);
                assert_string_equal((char *) &h.blob + fields[i].offset, fields[i].value);
        }
        for (size_t i = 0; i < ELEMENTSOF(md5s); i++) {
                free(TAKE_PTR(marker));
                assert_int_equal(parse(md5s[i].xml, strlen(md5s[i].xml), &h, &marker, NULL), 0);
                assert_int_equal(h.blob.has_md5, md5s[i].has_md5);
        }
        for (size_t i = 0; i < ELEMENTSOF(generations); i++) {
                free(TAKE_PTR(marker));
                assert_int_equal(parse(generations[i].xml, strlen(generations[i].xml), &h, &marker, NULL), 0);
                assert_true(h.blob.generation == generations[i].generation);
        }
        buf_done(&h.names);
}

static void repeat(Buf *b, const char *text, size_t n) {
        for (size_t i = 0; i < n; i++)
                assert_int_equal(buf_puts(b, text), 0);
}

/* pitfalls 10.9: depth, text and attributes are bounded, each exactly. */
static void test_bounds(void **state) {
        static const struct {
                const char *before, *piece;
                size_t most;
                const char *after;
        } bounds[] = {
                { "<EnumerationResults>", "<a>", 31, NULL },
                { "<EnumerationResults", " a%zu=\"\"", 16, "/>" },
                { "<EnumerationResults><NextMarker>", "m", 65536, "</NextMarker></EnumerationResults>" },
                { "<EnumerationResults><Unknown>", "m", 65536, "</Unknown></EnumerationResults>" },
                { "<EnumerationResults><Blobs><Blob><Name>", "n", 65536,
                  "</Name></Blob></Blobs></EnumerationResults>" },
                { "<EnumerationResults><NextMarker>", "&lt;", 65536, "</NextMarker></EnumerationResults>" },
        };
        Heard h = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(bounds); i++)
                for (size_t extra = 0; extra < 2; extra++) {
                        _cleanup_buf_ Buf xml = BUF_INIT(1 << 20);
                        _cleanup_free_ char *marker = NULL;
                        size_t n = bounds[i].most + extra;

                        assert_int_equal(buf_puts(&xml, bounds[i].before), 0);
                        for (size_t k = 0; k < n; k++)
                                if (i == 1)
                                        assert_int_equal(buf_printf(&xml, " a%zu=\"\"", k), 0);
                                else
                                        assert_int_equal(buf_puts(&xml, bounds[i].piece), 0);
                        if (bounds[i].after) {
                                assert_int_equal(buf_puts(&xml, bounds[i].after), 0);
                        } else {
                                repeat(&xml, "</a>", n);
                                assert_int_equal(buf_puts(&xml, "</EnumerationResults>"), 0);
                        }
                        assert_int_equal(parse(xml.data, xml.size, &h, &marker, NULL), extra ? -EBADMSG : 0);
                }
        buf_done(&h.names);
}

typedef struct Blocks {
        Buf text;
        int answer;
} Blocks;

static int hear_block(const ListedBlock *block, void *userdata) {
        Blocks *b = userdata;

        assert_int_equal(buf_printf(&b->text, "%s:%llu%s|", block->id, (unsigned long long) block->size,
                                    block->committed ? "" : "?"),
                         0);
        return b->answer;
}

#define ID88 "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMw=="

static const struct {
        const char *xml, *blocks; /* NULL: refused */
} block_lists[] = {
        { HEAD "<BlockList/>", "" },
        { "\xef\xbb\xbf" HEAD "<BlockList><CommittedBlocks><Block><Name>QQ==</Name><Size>4194304</Size></Block>"
          "<Block><Size>1</Size><Name>Qg==</Name></Block></CommittedBlocks><UncommittedBlocks><Block><Name>+/8=</Name>"
          "<Size>18446744073709551615</Size></Block></UncommittedBlocks></BlockList>",
          "QQ==:4194304|Qg==:1|+/8=:18446744073709551615?|" },
        { "<BlockList><UncommittedBlocks><Block><Name>" ID88
          "</Name><Size>0</Size></Block></UncommittedBlocks></BlockList>",
          ID88 ":0?|" },
        { "<BlockList><New><Block><Name>QQ==</Name><Size>1</Size></Block></New></BlockList>", "" },
        { "<BlockList><CommittedBlocks><Block><Name>QQ==</Name></Block></CommittedBlocks></BlockList>", NULL },
        { "<BlockList><CommittedBlocks><Block><Size>1</Size></Block></CommittedBlocks></BlockList>", NULL },
        { "<BlockList><CommittedBlocks><Block><Name>QQ==</Name><Size>x</Size></Block></CommittedBlocks></BlockList>",
          NULL },
        { "<BlockList><CommittedBlocks><Block><Name>Q&lt;</Name><Size>1</Size></Block></CommittedBlocks></BlockList>",
          NULL },
        { "<BlockList><CommittedBlocks><Block><Name>Q===</Name><Size>1</Size></Block></CommittedBlocks></BlockList>",
          NULL },
        { "<BlockList><CommittedBlocks><Block><Name/><Size>1</Size></Block></CommittedBlocks></BlockList>", NULL },
        { "<BlockList><CommittedBlocks><Block><Name>" ID88
          "QUJD</Name><Size>1</Size></Block></CommittedBlocks></BlockList>",
          NULL },
        { "<BlockList><CommittedBlocks>", NULL },
        { "<EnumerationResults/>", NULL },
        { "<!DOCTYPE x><BlockList/>", NULL },
        { "", NULL },
};

static void test_block_lists(void **state) {
        static const char two[] = "<BlockList><CommittedBlocks><Block><Name>QQ==</Name><Size>1</Size></Block>"
                                  "<Block><Name>Qg==</Name><Size>2</Size></Block></CommittedBlocks></BlockList>";
        Blocks b = { .text = BUF_INIT(4096), .answer = 0 };

        for (size_t i = 0; i < ELEMENTSOF(block_lists); i++) {
                Error e = ERROR_NULL;
                int r;

                buf_clear(&b.text);
                r = xml_parse_block_list(block_lists[i].xml, strlen(block_lists[i].xml), hear_block, &b, &e);
                if (r != (block_lists[i].blocks ? 0 : -EBADMSG))
                        fail_msg("%s: %d %s", block_lists[i].xml, r, e.text);
                if (r == 0)
                        assert_string_equal(buf_text(&b.text), block_lists[i].blocks);
        }
        buf_clear(&b.text);
        b.answer = -ENOSPC;
        assert_int_equal(xml_parse_block_list(two, strlen(two), hear_block, &b, NULL), -ENOSPC);
        assert_string_equal(buf_text(&b.text), "QQ==:1|");
        buf_done(&b.text);
}

static void test_errors(void **state) {
        static const struct {
                const char *xml, *code;
        } errors[] = {
                { "\xef\xbb\xbf" HEAD "<Error><Code>ServerBusy</Code><Message>x\nTime:y</Message></Error>",
                  "ServerBusy" },
                { HEAD "<Error><Message>x</Message><Code>BlobNotFound</Code></Error>", "BlobNotFound" },
                { HEAD "<Error><Code>ServerBusy</Code><Mess", "ServerBusy" }, /* cut after it */
                { HEAD "<Error><Code>ServerBu", "" },
                { HEAD "<Error><Code>A</Code><Code>B</Code></Error>", "A" },
                { HEAD "<Error><Detail><Code>A</Code></Detail></Error>", "" },
                { HEAD "<Error><Code/></Error>", "" },
                { HEAD "<Error><Code>a b</Code></Error>", "" },
                { HEAD "<Error><Code>a&#10;b</Code></Error>", "" },
                { HEAD "<Error><Code>\xc3\xa9</Code></Error>", "" },
                { HEAD "<Error><Code>" ID88 "</Code></Error>", "" },
                { "<html><Code>A</Code></html>", "" },
                { "<!DOCTYPE html><Error><Code>A</Code></Error>", "" },
                { "", "" },
                { "busy", "" },
                { "{\"error\":{\"code\":\"A\"}}", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                char code[64];

                memset(code, 'X', sizeof(code));
                xml_parse_error(errors[i].xml, strlen(errors[i].xml), code);
                assert_string_equal(code, errors[i].code);
        }
}

#define SERVICE(inside) "<?xml version=\"1.0\"?><StorageServiceProperties>" inside "</StorageServiceProperties>"
#define POLICY(inside) SERVICE("<DeleteRetentionPolicy>" inside "</DeleteRetentionPolicy>")

static void test_retention(void **state) {
        static const struct {
                const char *xml;
                int days; /* -2: refused */
        } rows[] = {
                { POLICY("<Enabled>true</Enabled><Days>7</Days>"), 7 },
                { POLICY("<Days>14</Days><AllowPermanentDelete>true</AllowPermanentDelete><Enabled>True</Enabled>"),
                  14 },
                { "\xef\xbb\xbf" POLICY("<Enabled>false</Enabled>"), 0 },
                { POLICY("<Enabled>false</Enabled><Days>7</Days>"), 0 },
                { POLICY("<Enabled>true</Enabled>"), 1 },
                { POLICY("<Enabled>true</Enabled><Days>18446744073709551615</Days>"), 36500 },
                { POLICY(""), -1 },
                { SERVICE(""), -1 },
                /* the same words of other policies */
                { SERVICE("<HourMetrics><RetentionPolicy><Enabled>true</Enabled><Days>3</Days></RetentionPolicy>"
                          "</HourMetrics><Enabled>true</Enabled>"),
                  -1 },
                { POLICY("<Enabled>true</Enabled><Days>x</Days>"), -2 },
                { "<StorageServiceProperties><DeleteRetentionPolicy><Enabled>true</Enabled>", -2 },
                { "<html></html>", -2 },
                { "", -2 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                int days = -2, r = xml_parse_retention(rows[i].xml, strlen(rows[i].xml), &days, NULL);

                assert_int_equal(r, rows[i].days == -2 ? -EBADMSG : 0);
                assert_int_equal(days, rows[i].days);
        }
}

static void test_write_block_list(void **state) {
        static const char *const ids[] = { "QQ==", "+/8=", "QQ==" };
        static const char *const bad[] = { "", "=", "QQ==<", "Q Q=", "Q=Q=", "Q===", "Qé==" };
        _cleanup_buf_ Buf b = BUF_INIT(4096);
        Blocks heard = { .text = BUF_INIT(64) };

        assert_int_equal(xml_block_list(&b, ids, ELEMENTSOF(ids)), 0);
        assert_string_equal(buf_text(&b),
                            HEAD "<BlockList><Latest>QQ==</Latest><Latest>+/8=</Latest><Latest>QQ==</Latest>"
                                 "</BlockList>");
        assert_int_equal(xml_parse_block_list(b.data, b.size, hear_block, &heard, NULL), 0); /* well-formed */
        buf_clear(&b);
        assert_int_equal(xml_block_list(&b, NULL, 0), 0);
        assert_string_equal(buf_text(&b), HEAD "<BlockList></BlockList>");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(xml_block_list(&b, &bad[i], 1), -EINVAL);
        b.ceiling = 80;
        buf_clear(&b);
        assert_int_equal(xml_block_list(&b, ids, ELEMENTSOF(ids)), -EMSGSIZE);
        buf_done(&heard.text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_page),
                cmocka_unit_test(test_every_cut),
                cmocka_unit_test(test_lists),
                cmocka_unit_test(test_fields),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_block_lists),
                cmocka_unit_test(test_errors),
                cmocka_unit_test(test_retention),
                cmocka_unit_test(test_write_block_list),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
