/* What the log says of paths that cannot be in sync: ten of each reason, since the queue has them all (11.10). */
#include "sync/state.h"

#include "azsyncd/messages.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/loglimit.h"
#include "util/path.h"

#include <stdio.h>
#include <string.h>

void mapping_note_error(Mapping *m, const char *text) {
        (void) snprintf(m->last_error, sizeof(m->last_error), "%s", text);
}

void mapping_complain(Mapping *m, PathState state, const char *path, const char *reason, const Error *why) {
        char same[LOG_REASON_MAX];
        LogRecord l = LOG_HERE;
        const char *id;
        LogTurn turn;

        mapping_note_error(m, reason);
        log_reason(same, path_state_name(state), why, reason);
        turn = log_limit(&m->said, same, clock_boot());
        if (turn == LOG_TURN_NONE)
                return;
        mapping_fields(&l, m->config);
        if (why)
                log_field_error(&l, why);
        else
                log_field(&l, "AZSYNC_ERROR=%s", reason);
        if (turn == LOG_TURN_SAY)
                log_field(&l, "AZSYNC_PATH=%s", PATH_SHOWN(path));
        id = state == PATH_FAILED ? MSG_UPLOAD_FAILED : MSG_CONFLICT;
        if (turn == LOG_TURN_SAY)
                log_commit(&l, LOG_WARNING, id, "%s: %s: %s", m->config->name, PATH_SHOWN(path), reason);
        else
                log_commit(&l, LOG_WARNING, id,
                           "%s: more paths like the last %u are not logged for an hour; azsyncctl queue %s names all.",
                           m->config->name, LOG_LIMIT_RECORDS, m->config->name);
}
