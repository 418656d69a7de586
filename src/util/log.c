#include "util/log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#define SD_JOURNAL_SUPPRESS_LOCATION 1 /* the record says where it was made, not log_commit() */
#include <systemd/sd-journal.h>

static _Atomic bool to_journal;
static _Atomic int max_level = LOG_INFO;

/* systemd.exec(5): "device:inode" of the stream that journald reads; only if it is ours, structured records replace it
 */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
               st.st_dev == dev && st.st_ino == ino;
}

void log_setup(LogTarget target, int level) {
        to_journal = target == LOG_TARGET_JOURNAL || (target == LOG_TARGET_AUTO && stderr_is_journal());
        max_level = level;
}

int log_level(void) {
        return max_level;
}

int log_level_from_string(const char *text) {
        static const char *const names[] = { "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (strcmp(text, names[i]) == 0 || (text[0] == (char) ('0' + i) && text[1] == '\0'))
                        return (int) i;
        return -EINVAL;
}

_printf_(2, 0) static void record_add(LogRecord *l, const char *format, va_list ap) {
        size_t room = sizeof(l->data) - l->used;
        int n;

        if (l->n == ELEMENTSOF(l->start) || room < 2)
                return;
        n = vsnprintf(l->data + l->used, room, format, ap);
        if (n < 0)
                return;
        l->start[l->n++] = l->used;
        l->used += MIN((size_t) n, room - 1) + 1;
}

void log_field(LogRecord *l, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        record_add(l, format, ap);
        va_end(ap);
}

void log_field_error(LogRecord *l, const Error *e) {
        log_field(l, "ERRNO=%i", -e->code);
        log_field(l, "AZSYNC_ERROR=%s", e->text);
        log_field(l, "AZSYNC_ERROR_DOMAIN=%s", error_domain_name(e->domain));
        log_field(l, "AZSYNC_ERROR_NATIVE=%i", e->native);
        if (e->detail[0])
                log_field(l, "AZSYNC_ERROR_DETAIL=%s", e->detail);
}

void log_commit(LogRecord *l, int level, const char *message_id, const char *format, ...) {
        struct iovec iov[ELEMENTSOF(l->start) + 7];
        char message[1024], priority[16], line[32], file[256], function[128], id[64];
        unsigned n = 0;
        va_list ap;

        assert(l && level >= LOG_EMERG && level <= LOG_DEBUG);

        if (level > max_level)
                return;
        (void) snprintf(message, sizeof(message), "MESSAGE=");
        va_start(ap, format);
        (void) vsnprintf(message + 8, sizeof(message) - 8, format, ap);
        va_end(ap);

        if (!to_journal) {
                static const char *const prefix[] = { "emergency: ", "alert: ", "critical: ", "error: ",
                                                      "warning: ",   "",        "",           "debug: " };

                (void) fprintf(stderr, "azsyncd: %s%s\n", prefix[level], message + 8);
                return;
        }

#define ADD(buffer, ...)                                              \
        do {                                                          \
                (void) snprintf(buffer, sizeof(buffer), __VA_ARGS__); \
                iov[n++] = (struct iovec){ buffer, strlen(buffer) };  \
        } while (0)
        iov[n++] = (struct iovec){ message, strlen(message) };
        ADD(priority, "PRIORITY=%i", level);
        ADD(file, "CODE_FILE=%s", l->file);
        ADD(line, "CODE_LINE=%i", l->line);
        ADD(function, "CODE_FUNC=%s", l->function);
        iov[n++] = (struct iovec){ (char *) "SYSLOG_IDENTIFIER=azsyncd", strlen("SYSLOG_IDENTIFIER=azsyncd") };
        if (message_id)
                ADD(id, "MESSAGE_ID=%s", message_id);
#undef ADD
        for (unsigned i = 0; i < l->n; i++)
                iov[n++] = (struct iovec){ l->data + l->start[i], strlen(l->data + l->start[i]) };
        (void) sd_journal_sendv(iov, (int) n);
}
