/* The directories that azsyncd and azsyncctl use unless they are told others (design.md 2). */
#pragma once

#include "util/macro.h"

#include <sys/types.h>

typedef enum Place { PLACE_CONFIGURATION, PLACE_STATE, PLACE_RUNTIME } Place;

/* systemd's variable for it (its first entry), else the system's directory if `system`, else one's own below the XDG
 * folder. Cut if it does not fit. */
void place_default(Place place, bool system, char *ret, size_t room);

/* Makes `dir` with `mode` if it is not there, and folders above it as one's own (0700, as XDG asks). Negative errno. */
int place_make(const char *dir, mode_t mode);
