/* Structured log records: to the system log (journald) with MESSAGE_ID and AZSYNC_ fields, or as plain lines on stderr.
 * Thread-safe. A record never holds a secret: the callers pass URLs through uri_redact() and names through
 * path_display(). Values of fields are bytes; newlines in them cannot start another field. */
#pragma once

#include "util/error.h"
#include "util/macro.h"

#include <sys/uio.h>
#include <syslog.h> /* LOG_ERR .. LOG_DEBUG */

typedef enum LogTarget { LOG_TARGET_AUTO, LOG_TARGET_JOURNAL, LOG_TARGET_CONSOLE } LogTarget;

/* AUTO: journald if $JOURNAL_STREAM names our stderr (same device and inode), else plain lines on stderr. */
void log_setup(LogTarget target, int max_level);
int log_level(void);                         /* records above this number are dropped */
int log_level_from_string(const char *text); /* "debug", "info", ..., "0".."7"; -EINVAL */

typedef struct LogRecord {
        const char *file, *function;
        int line;
        unsigned n;
        size_t used;
        size_t start[16]; /* fields beyond these, or beyond the buffer, are dropped */
        char data[3072];
} LogRecord;

#define LOG_HERE ((LogRecord){ .file = __FILE__, .line = __LINE__, .function = __func__ })

void log_field(LogRecord *l, const char *format, ...) _printf_(2, 3); /* "AZSYNC_PATH=%s" */
void log_field_error(LogRecord *l, const Error *e); /* ERRNO, AZSYNC_ERROR, AZSYNC_ERROR_DETAIL, AZSYNC_ERROR_NATIVE */
/* `message_id`: a MSG_ constant of azsyncd/messages.h, or NULL */
void log_commit(LogRecord *l, int level, const char *message_id, const char *format, ...) _printf_(4, 5);

/* A line without fields, for what only a developer wants to read. */
#define log_debug(...)                                                 \
        do {                                                           \
                if (log_level() >= LOG_DEBUG) {                        \
                        LogRecord _l = LOG_HERE;                       \
                        log_commit(&_l, LOG_DEBUG, NULL, __VA_ARGS__); \
                }                                                      \
        } while (0)
