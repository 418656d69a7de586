#include "util/loglimit.h"

#include "util/clock.h"

#include <stdio.h>
#include <string.h>

#define SPELL (INT64_C(3600) * NSEC_PER_SEC)

LogTurn log_limit(LogLimit *l, const char *reason, int64_t now) {
        unsigned i = 0;

        if (l->since == 0 || now - l->since >= SPELL)
                *l = (LogLimit){ .since = now };
        while (i < l->n && i < LOG_LIMIT_REASONS - 1 && strncmp(l->seen[i].reason, reason, LOG_REASON_MAX - 1) != 0)
                i++;
        if (i == l->n) {
                (void) snprintf(l->seen[i].reason, LOG_REASON_MAX, "%s", reason);
                l->n++;
        }
        if (l->seen[i].records > LOG_LIMIT_RECORDS)
                return LOG_TURN_NONE;
        return l->seen[i].records++ < LOG_LIMIT_RECORDS ? LOG_TURN_SAY : LOG_TURN_LAST;
}

void log_reason(char ret[LOG_REASON_MAX], const char *what, const Error *e, const char *text) {
        if (e && e->domain != ERROR_NONE)
                (void) snprintf(ret, LOG_REASON_MAX, "%s %s %i %s", what, error_domain_name(e->domain), e->native,
                                e->detail);
        else
                (void) snprintf(ret, LOG_REASON_MAX, "%s %s", what, text);
}
