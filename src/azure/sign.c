#include "azure/sign.h"

#include "util/encode.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#define MAX_MS_HEADERS 32
#define MAX_QUERY 16
#define SIGNATURE_SIZE 32

/* The string goes piece by piece to a Buf or into the HMAC. Gathering some of it on the stack spares most of the calls:
 * an ordinary string-to-sign is one. */
typedef struct Sink {
        Buf *buf;         /* or */
        EVP_MAC_CTX *mac; /* this */
        int r;            /* the first failure; what comes after it is dropped */
        size_t used;
        char gathered[1024];
} Sink;

static void sink_flush(Sink *s) {
        if (s->r >= 0 && s->buf)
                s->r = buf_append(s->buf, s->gathered, s->used);
        else if (s->r >= 0 && EVP_MAC_update(s->mac, (const unsigned char *) s->gathered, s->used) != 1)
                s->r = -EIO;
        s->used = 0;
}

static void sink_bytes(Sink *s, const char *bytes, size_t size) {
        while (size > 0) {
                size_t n = MIN(size, sizeof(s->gathered) - s->used);

                memcpy(s->gathered + s->used, bytes, n);
                s->used += n;
                bytes += n;
                size -= n;
                if (s->used == sizeof(s->gathered))
                        sink_flush(s);
        }
}

static void sink_char(Sink *s, char c) {
        s->gathered[s->used++] = c;
        if (s->used == sizeof(s->gathered))
                sink_flush(s);
}

static void sink_line(Sink *s, const char *text) {
        if (text)
                sink_bytes(s, text, strlen(text));
        sink_char(s, '\n');
}

/* One "x-ms-name: value" line taken apart. */
typedef struct MsHeader {
        const char *name, *value;
        size_t name_size, value_size;
} MsHeader;

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

static int ms_header_split(MsHeader *ret, const char *line) {
        const char *colon = strchr(line, ':');
        const char *value;
        size_t n;

        if (!colon || strncasecmp(line, "x-ms-", 5) != 0 || colon - line <= 5)
                return -EINVAL;
        for (value = colon + 1; is_blank(*value);)
                value++;
        for (n = strlen(value); n > 0 && is_blank(value[n - 1]);)
                n--;
        *ret = (MsHeader){ .name = line, .value = value, .name_size = (size_t) (colon - line), .value_size = n };
        return 0;
}

static char to_lower(char c) {
        return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

static void sink_lower(Sink *s, const char *name, size_t size) {
        char lower[64];

        while (size > 0) {
                size_t n = MIN(size, sizeof(lower));

                for (size_t i = 0; i < n; i++)
                        lower[i] = to_lower(name[i]);
                sink_bytes(s, lower, n);
                name += n;
                size -= n;
        }
}

/* The place of a character in .NET's culture order: other signs, '_', digits, letters. */
static unsigned weight(char c) {
        if (c >= '0' && c <= '9')
                return 0x200U + (unsigned) c;
        if (c >= 'a' && c <= 'z')
                return 0x300U + (unsigned) c;
        return c == '_' ? 0x100U : (uint8_t) c;
}

/* The service sorts as .NET's culture rules do, not by bytes: '-' counts only if all else is equal (azure-blob.md 2.1).
 * Names are compared, not whole lines. */
static int ms_header_compare(const MsHeader *a, const MsHeader *b) {
        size_t i = 0, k, dashes_a = 0, dashes_b = 0;

        while (i < a->name_size && i < b->name_size && a->name[i] == b->name[i]) /* most of it: "x-ms-meta-" */
                i++;
        for (k = i;;) {
                while (i < a->name_size && a->name[i] == '-')
                        i++, dashes_a++;
                while (k < b->name_size && b->name[k] == '-')
                        k++, dashes_b++;
                if (i == a->name_size || k == b->name_size)
                        break;
                if (a->name[i] != b->name[k]) {
                        unsigned wa = weight(to_lower(a->name[i])), wb = weight(to_lower(b->name[k]));

                        if (wa != wb)
                                return wa < wb ? -1 : 1;
                }
                i++, k++;
        }
        if (i < a->name_size || k < b->name_size)
                return i < a->name_size ? 1 : -1;
        return dashes_a == dashes_b ? 0 : dashes_a < dashes_b ? -1 : 1;
}

static int sink_ms_headers(Sink *s, const SignInput *in) {
        MsHeader sorted[MAX_MS_HEADERS];
        size_t n = 0;

        if (in->n_ms_headers > MAX_MS_HEADERS)
                return -EINVAL;
        /* insertion: they are few, and nearly in order as we write them */
        for (; n < in->n_ms_headers; n++) {
                MsHeader h;
                size_t at = n;
                int r = ms_header_split(&h, in->ms_headers[n]);

                if (r < 0)
                        return r;
                for (; at > 0 && ms_header_compare(&sorted[at - 1], &h) > 0; at--)
                        sorted[at] = sorted[at - 1];
                sorted[at] = h;
        }
        for (size_t i = 0; i < n; i++) {
                sink_lower(s, sorted[i].name, sorted[i].name_size);
                sink_char(s, ':');
                sink_bytes(s, sorted[i].value, sorted[i].value_size);
                sink_char(s, '\n');
        }
        return 0;
}

static int query_compare(const SignQuery *a, const SignQuery *b) {
        int r = strcmp(a->name, b->name);

        return r != 0 ? r : strcmp(a->value, b->value);
}

static int sink_resource(Sink *s, const SignInput *in) {
        const SignQuery *sorted[MAX_QUERY];

        if (in->n_query > MAX_QUERY)
                return -EINVAL;
        for (size_t n = 0; n < in->n_query; n++) {
                size_t at = n;

                for (; at > 0 && query_compare(sorted[at - 1], &in->query[n]) > 0; at--)
                        sorted[at] = sorted[at - 1];
                sorted[at] = &in->query[n];
        }

        sink_char(s, '/');
        sink_bytes(s, in->account, strlen(in->account));
        sink_bytes(s, in->path, strlen(in->path));
        for (size_t i = 0; i < in->n_query; i++) {
                bool again = i > 0 && strcmp(sorted[i - 1]->name, sorted[i]->name) == 0;

                sink_char(s, again ? ',' : '\n');
                if (!again) {
                        sink_bytes(s, sorted[i]->name, strlen(sorted[i]->name));
                        sink_char(s, ':');
                }
                sink_bytes(s, sorted[i]->value, strlen(sorted[i]->value));
        }
        return 0;
}

static int sink_request(Sink *s, const SignInput *in) {
        char length[24] = "";
        int r;

        assert(in->method && in->account && in->path && in->path[0] == '/');

        if (in->content_length > 0) /* empty for 0, since 2015-02-21 */
                (void) decimal_encode(in->content_length, 1, length);

        sink_line(s, in->method);
        sink_line(s, NULL); /* Content-Encoding */
        sink_line(s, NULL); /* Content-Language */
        sink_line(s, length);
        sink_line(s, in->content_md5);
        sink_line(s, in->content_type);
        sink_line(s, NULL); /* Date: x-ms-date stands for it */
        sink_line(s, NULL); /* If-Modified-Since */
        sink_line(s, in->if_match);
        sink_line(s, in->if_none_match);
        sink_line(s, NULL); /* If-Unmodified-Since */
        sink_line(s, in->range);
        r = sink_ms_headers(s, in);
        if (r < 0)
                return r;
        r = sink_resource(s, in);
        if (r < 0)
                return r;
        sink_flush(s);
        return s->r;
}

int sign_string(Buf *ret, const SignInput *in) {
        Sink s;

        assert(ret && in);

        s.buf = ret;
        s.mac = NULL;
        s.r = 0;
        s.used = 0;
        return sink_request(&s, in);
}

struct SignKey {
        EVP_MAC_CTX *mac; /* keyed; begun anew for each signature */
};

SignKey *sign_key_free(SignKey *k) {
        if (!k)
                return NULL;
        EVP_MAC_CTX_free(k->mac); /* wipes the key */
        free(k);
        return NULL;
}

int sign_key_new(SignKey **ret, const uint8_t *key, size_t key_size) {
        _cleanup_(sign_key_freep) SignKey *k = NULL;
        char digest[] = "SHA256";
        const OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                OSSL_PARAM_construct_end(),
        };
        EVP_MAC *mac;

        assert(ret && key && key_size > 0);

        k = calloc(1, sizeof(*k));
        if (!k)
                return -ENOMEM;
        mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
        if (!mac)
                return -EOPNOTSUPP;
        k->mac = EVP_MAC_CTX_new(mac);
        EVP_MAC_free(mac); /* the context holds its own reference */
        if (!k->mac)
                return -ENOMEM;
        if (EVP_MAC_init(k->mac, key, key_size, params) != 1)
                return -EOPNOTSUPP;
        *ret = TAKE_PTR(k);
        return 0;
}

int sign_with_key(char ret[static 45], const SignInput *in, SignKey *key) {
        uint8_t signature[SIGNATURE_SIZE];
        size_t n = 0;
        Sink s;
        int r;

        assert(ret && in && key);

        /* without a key: the same again, from the hash states that were computed for it */
        if (EVP_MAC_init(key->mac, NULL, 0, NULL) != 1)
                return -EIO;
        s.buf = NULL;
        s.mac = key->mac;
        s.r = 0;
        s.used = 0;
        r = sink_request(&s, in);
        if (r < 0)
                return r;
        if (EVP_MAC_final(key->mac, signature, &n, sizeof(signature)) != 1 || n != sizeof(signature))
                return -EIO;
        base64_encode(signature, sizeof(signature), ret);
        return 0;
}

int sign_shared_key(char ret[static 45], const SignInput *in, const uint8_t *key, size_t key_size) {
        _cleanup_(sign_key_freep) SignKey *k = NULL;
        int r;

        r = sign_key_new(&k, key, key_size);
        if (r < 0)
                return r;
        return sign_with_key(ret, in, k);
}
