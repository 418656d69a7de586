#include "config/sas.h"

#include "util/clock.h"
#include "util/encode.h"

#include <string.h>
#include <time.h>

#define SAS_MAX 4096u

/* The value of `name`, still encoded; NULL if it is not there. */
static const char *parameter(const char *sas, const char *name, size_t *ret_size) {
        size_t n = strlen(name);

        for (const char *p = sas; *p != '\0';) {
                size_t size = strcspn(p, "&");

                if (size > n && strncmp(p, name, n) == 0 && p[n] == '=') {
                        *ret_size = size - n - 1;
                        return p + n + 1;
                }
                p += size + (p[size] == '&');
        }
        return NULL;
}

const char *sas_fault(const char *sas) {
        _cleanup_buf_ Buf b = BUF_INIT(256); /* of 44 characters */
        const char *sig;
        size_t size = 0;

        if (strlen(sas) > SAS_MAX)
                return "longer than 4096 characters: that is no shared access signature";
        if (strstr(sas, "://"))
                return "a whole URL; expected only what follows its '?'";
        for (const char *p = sas; *p != '\0'; p++)
                if (*p <= ' ' || *p >= 0x7F || strchr("#?\"<>\\", *p))
                        return "a blank, quote or other character that no shared access signature has";
        sig = parameter(sas, "sig", &size);
        if (!sig || size == 0)
                return "no shared access signature: sig= is missing in it";
        if (percent_decode(&b, sig, size) < 0 || memchr(b.data, '\0', b.size))
                return "its sig= is not one: it is cut or encoded twice";
        explicit_bzero(b.data, b.size);
        if (memchr(sig, '+', size))
                return "a bare '+' in its sig=; expected it as it was issued, with %2B";
        return NULL;
}

int64_t sas_expiry(const char *sas) {
        static const char *const forms[] = { "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d" };
        _cleanup_buf_ Buf b = BUF_INIT(64);
        size_t size = 0;
        const char *text = parameter(sas, "se", &size);

        if (!text || percent_decode(&b, text, size) < 0)
                return 0;
        if (b.size == 28 && b.data[19] == '.') /* seven digits of a second, as .NET writes them */
                memcpy(b.data + 19, "Z", 2);
        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                struct tm tm = { 0 };
                const char *end = strptime(buf_text(&b), forms[i], &tm);
                time_t t;

                if (!end || *end != '\0')
                        continue;
                t = timegm(&tm);
                return t > 0 && t < INT64_MAX / NSEC_PER_SEC ? (int64_t) t * NSEC_PER_SEC : 0;
        }
        return 0;
}

bool sas_old(const char *sas) {
        static const char full[] = "2019-12-12"; /* 4000 MiB a block and 5000 MiB a blob at once; 100 and 256 before */
        size_t size = 0;
        const char *text = parameter(sas, "sv", &size);

        if (!text || size != sizeof(full) - 1)
                return false;
        for (size_t i = 0; i < size; i++)
                if (full[i] == '-' ? text[i] != '-' : text[i] < '0' || text[i] > '9')
                        return false; /* not in a form we know */
        return memcmp(text, full, size) < 0;
}
