#include "azure/credential.h"

#include "util/clock.h"
#include "util/encode.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define KEY_ROOM 512    /* bytes; the service's keys have 64 */
#define SAS_ROOM 8192   /* chars; user-delegation ones have some 500 */
#define VALUE_ROOM 2048 /* of one parameter, decoded */

struct Credential {
        CredentialKind kind;
        SignKey *key;
        char *sas;
        char sas_version[16];
};

Credential *credential_free(Credential *c) {
        if (!c)
                return NULL;
        sign_key_free(c->key);
        if (c->sas)
                OPENSSL_cleanse(c->sas, strlen(c->sas));
        free(c->sas);
        free(c);
        return NULL;
}

int credential_new_shared_key(Credential **ret, const char *base64_key, Error *e) {
        _cleanup_(credential_freep) Credential *c = NULL;
        uint8_t key[KEY_ROOM];
        size_t size = 0;
        int r;

        assert(ret && base64_key);

        r = base64_decode(base64_key, strlen(base64_key), key, sizeof(key), &size);
        if (r < 0 || size == 0) {
                OPENSSL_cleanse(key, sizeof(key));
                return error_set(e, -EINVAL, ERROR_CONFIG, 0,
                                 "the account key is not Base64: copy \"key1\" or \"key2\" of the account as it stands "
                                 "there");
        }
        c = calloc(1, sizeof(*c));
        if (c)
                r = sign_key_new(&c->key, key, size);
        OPENSSL_cleanse(key, sizeof(key));
        if (!c || r == -ENOMEM)
                return error_oom(e);
        if (r < 0)
                return error_set(e, r, ERROR_OS, -r, "the cryptographic library offers no HMAC-SHA256");
        c->kind = CREDENTIAL_SHARED_KEY;
        *ret = TAKE_PTR(c);
        return 0;
}

int credential_new_sas(Credential **ret, const char *sas, Error *e) {
        _cleanup_(credential_freep) Credential *c = NULL;
        SasFacts facts;
        int r;

        assert(ret && sas);

        r = sas_parse(sas, &facts, e);
        if (r < 0)
                return r;
        c = calloc(1, sizeof(*c));
        if (!c)
                return error_oom(e);
        c->kind = CREDENTIAL_SAS;
        memcpy(c->sas_version, facts.version, sizeof(c->sas_version));
        c->sas = strdup(sas + (sas[0] == '?'));
        if (!c->sas)
                return error_oom(e);
        *ret = TAKE_PTR(c);
        return 0;
}

CredentialKind credential_kind(const Credential *c) {
        assert(c);

        return c->kind;
}

bool credential_older_than(const Credential *c, const char *version) {
        assert(c && version);

        return c->sas_version[0] != '\0' && strcmp(c->sas_version, version) < 0; /* dates, so text sorts them */
}

int credential_apply(Credential *c, const SignInput *in, Buf *header, Buf *query) {
        char signature[45];
        int r;

        assert(c);

        if (c->kind == CREDENTIAL_SAS) {
                assert(query);
                if (query->size > 0 && query->data[query->size - 1] != '?' && query->data[query->size - 1] != '&') {
                        r = buf_puts(query, "&");
                        if (r < 0)
                                return r;
                }
                return buf_puts(query, c->sas);
        }

        assert(in && header);
        r = sign_with_key(signature, in, c->key);
        if (r < 0)
                return r;
        r = buf_puts(header, "Authorization: SharedKey ");
        if (r >= 0)
                r = buf_puts(header, in->account);
        if (r >= 0)
                r = buf_puts(header, ":");
        if (r >= 0)
                r = buf_append(header, signature, sizeof(signature) - 1);
        return r;
}

void secret_wipe(Buf *b) {
        assert(b);

        if (b->data)
                OPENSSL_cleanse(b->data, b->room);
        buf_done(b);
}

/* The forms ISO 8601 takes in a SAS, UTC: 2030-01-01, 2030-01-01T00:00Z, 2030-01-01T00:00:00Z, the last with a
 * fraction. 0 if it is none of them: then the service knows, not we. */
static int64_t parse_expiry(const char *text) {
        struct tm tm = { 0 }, same;
        int end = 0;
        time_t t;

        if (sscanf(text, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &end) != 3 || end != 10)
                return 0;
        text += end;
        if (*text != '\0') {
                end = 0;
                if (sscanf(text, "T%2d:%2d%n", &tm.tm_hour, &tm.tm_min, &end) != 2 || end != 6)
                        return 0;
                text += end;
                end = 0;
                if (*text == ':' && (sscanf(text, ":%2d%n", &tm.tm_sec, &end) != 1 || end != 3))
                        return 0;
                text += end;
                if (*text == '.')
                        for (text++; *text >= '0' && *text <= '9';)
                                text++;
                if (strcmp(text, "Z") != 0)
                        return 0;
        }
        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        same = tm;
        t = timegm(&tm);
        /* 2030-13-45 is no date, whatever timegm() makes of it; nor do ns reach beyond 2262 */
        if (same.tm_mon != tm.tm_mon || same.tm_mday != tm.tm_mday || same.tm_hour != tm.tm_hour ||
            same.tm_min != tm.tm_min || same.tm_sec != tm.tm_sec || t <= 0)
                return 0;
        return t > INT64_MAX / NSEC_PER_SEC ? INT64_MAX : (int64_t) t * NSEC_PER_SEC;
}

/* The decoded value of parameter `name` into `ret`. 1: it is there and not empty; 0: it is not, or does not fit. */
static int sas_value(const char *sas, const char *name, char *ret, size_t room) {
        size_t n = strlen(name);

        for (const char *p = sas; *p != '\0';) {
                size_t size = strcspn(p, "&");

                if (size > n && strncmp(p, name, n) == 0 && p[n] == '=') {
                        _cleanup_(secret_wipe) Buf value = BUF_INIT(VALUE_ROOM);

                        if (percent_decode(&value, p + n + 1, size - n - 1) < 0 || value.size == 0 ||
                            value.size >= room || memchr(value.data, '\0', value.size))
                                return 0;
                        memcpy(ret, value.data, value.size + 1);
                        return 1;
                }
                p += size + (p[size] == '&');
        }
        return 0;
}

int sas_parse(const char *sas, SasFacts *ret, Error *e) {
        char value[VALUE_ROOM + 1];
        SasFacts facts = { 0 };
        const char *sig;

        assert(sas && ret);

        if (sas[0] == '?')
                sas++;
        if (strlen(sas) > SAS_ROOM)
                return error_set(e, -EINVAL, ERROR_CONFIG, 0, "the SAS is longer than %d characters", SAS_ROOM);
        for (const char *p = sas; *p != '\0'; p++)
                if (*p <= ' ' || *p >= 0x7F || strchr("#?\"<>\\", *p)) /* line ends would split the request (6.8) */
                        return error_set(e, -EINVAL, ERROR_CONFIG, 0,
                                         "the SAS holds a character that no SAS has (at position %zu): give the query "
                                         "string alone, without URL, quotes or blanks",
                                         (size_t) (p - sas) + 1);

        if (!sas_value(sas, "sig", value, sizeof(value)))
                return error_set(e, -EINVAL, ERROR_CONFIG, 0,
                                 "the SAS has no sig=: give the whole query string, e.g. sv=...&se=...&sp=...&sig=...");
        OPENSSL_cleanse(value, sizeof(value));
        sig = strncmp(sas, "sig=", 4) == 0 ? sas : strstr(sas, "&sig=") + 1;
        if (memchr(sig, '+', strcspn(sig, "&")))
                return error_set(e, -EINVAL, ERROR_CONFIG, 0,
                                 "the sig= of the SAS holds a bare '+': give the SAS as it was issued, with %%2B");

        if (sas_value(sas, "se", value, sizeof(value)))
                facts.expires_ns = parse_expiry(value);
        (void) sas_value(sas, "sp", facts.permissions, sizeof(facts.permissions));
        (void) sas_value(sas, "sv", facts.version, sizeof(facts.version));
        facts.account_sas = sas_value(sas, "ss", facts.services, sizeof(facts.services)) &&
                            sas_value(sas, "srt", facts.resource_types, sizeof(facts.resource_types));
        facts.has_policy = sas_value(sas, "si", value, sizeof(value));
        *ret = facts;
        return 0;
}
