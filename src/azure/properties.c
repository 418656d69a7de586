#include "azure/properties.h"

#include "http/http.h"
#include "util/clock.h"
#include "util/encode.h"

#include <string.h>
#include <strings.h>

#define META "x-ms-meta-"

static bool etag_whole(const char *etag) {
        size_t n = strlen(etag);

        if (n <= 2 || etag[0] != '"' || etag[n - 1] != '"')
                return false;
        for (size_t i = 1; i < n - 1; i++) /* it goes back to the service in a condition, and into the journal */
                if (etag[i] <= ' ' || etag[i] > '~' || etag[i] == '"')
                        return false;
        return true;
}

bool properties_etag(const char *headers, char *ret, size_t room) {
        if (http_header(headers, "ETag", ret, room) >= 0 && etag_whole(ret))
                return true;
        ret[0] = '\0';
        return false;
}

int64_t properties_clock_skew(const char *headers, int64_t wall_now_ns) {
        char date[64];
        int64_t there;

        if (http_header(headers, "Date", date, sizeof(date)) < 0 || clock_parse_http(date, &there) < 0)
                return 0;
        return there - wall_now_ns;
}

/* A whole number of at most 18 digits; `ret` is left alone by anything else. */
static void read_number(const char *text, uint64_t *ret) {
        size_t n = strspn(text, "0123456789");

        if (n > 0 && n <= 18 && text[n] == '\0')
                *ret = strtoull(text, NULL, 10);
}

static void read_metadata(const char *headers, ListedBlob *blob) {
        for (const char *line = headers, *next; *line; line = next) {
                const char *end = strchrnul(line, '\n'), *colon = memchr(line, ':', (size_t) (end - line));
                char name[64], value[256];
                size_t n;

                next = *end ? end + 1 : end;
                if (!colon || strncasecmp(line, META, strlen(META)) != 0)
                        continue;
                n = (size_t) (colon - line) - strlen(META);
                if (n == 0 || n >= sizeof(name)) /* none of ours */
                        continue;
                memcpy(name, line + strlen(META), n);
                name[n] = '\0';
                for (colon++; colon < end && (*colon == ' ' || *colon == '\t'); colon++)
                        ;
                while (end > colon && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t'))
                        end--;
                n = (size_t) (end - colon);
                if (n >= sizeof(value))
                        continue;
                memcpy(value, colon, n);
                value[n] = '\0';
                listed_blob_metadata(blob, name, value);
        }
}

void properties_read(const char *headers, ListedBlob *ret) {
        char text[64];
        size_t n;

        *ret = (ListedBlob){ 0 };
        (void) properties_etag(headers, ret->etag, sizeof(ret->etag));
        if (http_header(headers, "Content-Length", text, sizeof(text)) >= 0)
                read_number(text, &ret->size);
        if (http_header(headers, "Content-MD5", text, sizeof(text)) >= 0)
                ret->has_md5 =
                        base64_decode(text, strlen(text), ret->md5, sizeof(ret->md5), &n) >= 0 && n == sizeof(ret->md5);
        (void) http_header(headers, "x-ms-blob-type", ret->blob_type, sizeof(ret->blob_type));
        (void) http_header(headers, "x-ms-access-tier", ret->access_tier, sizeof(ret->access_tier));
        ret->leased = http_header(headers, "x-ms-lease-state", text, sizeof(text)) >= 0 && strcmp(text, "leased") == 0;
        read_metadata(headers, ret);
}

/* A plain word, or nothing: it will be shown. */
static void read_word(const char *headers, const char *name, char *ret, size_t room) {
        if (http_header(headers, name, ret, room) < 0 ||
            ret[strspn(ret, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] != '\0')
                ret[0] = '\0';
}

void properties_account(const char *headers, AccountFacts *ret) {
        char text[16];

        *ret = (AccountFacts){ .soft_delete_days = -1 };
        read_word(headers, "x-ms-account-kind", ret->kind, sizeof(ret->kind));
        read_word(headers, "x-ms-sku-name", ret->sku, sizeof(ret->sku));
        ret->folders =
                http_header(headers, "x-ms-is-hns-enabled", text, sizeof(text)) >= 0 && strcasecmp(text, "true") == 0;
}
