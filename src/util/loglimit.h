/* How often one reason may be in the log (pitfalls 11.10): a dead disk and a million files must not write a million
 * records. The first ten of an hour, then one that says that there are more, then none. Bounded: reasons beyond the
 * sixteenth count as one. Pure. */
#pragma once

#include "util/error.h"

#include <stdint.h>

#define LOG_LIMIT_RECORDS 10u
#define LOG_LIMIT_REASONS 16u
#define LOG_REASON_MAX 120u /* bytes with the NUL; what two reasons have in common up to there makes them one */

typedef enum LogTurn {
        LOG_TURN_SAY,
        LOG_TURN_LAST, /* say that more like it will be left out */
        LOG_TURN_NONE,
} LogTurn;

typedef struct LogLimit {
        int64_t since; /* boot ns of the first record; 0: there is none */
        unsigned n;
        struct {
                char reason[LOG_REASON_MAX];
                unsigned records;
        } seen[LOG_LIMIT_REASONS];
} LogLimit;

/* `now`: boot ns. An hour after the first record everything begins anew; so it does for `*l = (LogLimit){ 0 }`. */
LogTurn log_limit(LogLimit *l, const char *reason, int64_t now);

/* What makes two failures the same one to a reader: what failed and whose error with which number it was, not the path
 * that stands in the text. `text` counts where nobody knows more (`e` NULL). */
void log_reason(char ret[LOG_REASON_MAX], const char *what, const Error *e, const char *text);
