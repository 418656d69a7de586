#include "util/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void error_fill(Error *e, int code, ErrorDomain domain, int native) {
        e->code = code;
        e->domain = domain;
        e->native = native;
        e->detail[0] = '\0';
}

int error_set(Error *e, int code, ErrorDomain domain, int native, const char *format, ...) {
        assert(code < 0);

        if (e) {
                va_list ap;

                error_fill(e, code, domain, native);
                va_start(ap, format);
                (void) vsnprintf(e->text, sizeof(e->text), format, ap);
                va_end(ap);
        }
        return code;
}

int error_os(Error *e, int err, const char *format, ...) {
        assert(err > 0);

        if (e) {
                char reason[128];
                va_list ap;
                size_t used;

                error_fill(e, -err, ERROR_OS, err);
                va_start(ap, format);
                (void) vsnprintf(e->text, sizeof(e->text), format, ap);
                va_end(ap);
                used = strlen(e->text);
                (void) snprintf(e->text + used, sizeof(e->text) - used, ": %s",
                                strerror_r(err, reason, sizeof(reason)));
        }
        return -err;
}

int error_prefix(Error *e, int code, const char *format, ...) {
        if (e) {
                char old[sizeof(e->text)];
                va_list ap;
                size_t used;

                memcpy(old, e->text, sizeof(old));
                va_start(ap, format);
                (void) vsnprintf(e->text, sizeof(e->text), format, ap);
                va_end(ap);
                used = strlen(e->text);
                (void) snprintf(e->text + used, sizeof(e->text) - used, ": %s", old);
        }
        return code;
}

int error_oom(Error *e) {
        return error_set(e, -ENOMEM, ERROR_OS, ENOMEM, "out of memory");
}

bool error_is_shortage(int err) {
        return err == EMFILE || err == ENFILE || err == ENOMEM;
}

const char *error_domain_name(ErrorDomain domain) {
        static const char *const names[] = { "none", "os", "sqlite", "curl", "azure", "config", "protocol" };

        return (size_t) domain < ELEMENTSOF(names) ? names[domain] : "none";
}
