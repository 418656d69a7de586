/* How a value of the configuration is shown in a message: escaped, cut, and left out if it looks like a secret that was
 * put in the wrong place. Which mistakes people make there cannot be listed, so the look of the value decides. Pure. */
#pragma once

#include "util/path.h"

bool shown_secret(const char *text) _pure_; /* does it look like one? */
const char *shown(const char *text, char *ret, size_t room);
#define SHOWN_ROOM 200
#define SHOWN(text) shown((text), (char[SHOWN_ROOM]){ 0 }, SHOWN_ROOM)
#define SHOWN_PATH(text) shown((text), (char[PATH_DISPLAY_ROOM]){ 0 }, PATH_DISPLAY_ROOM)
