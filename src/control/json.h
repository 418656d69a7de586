/* What the engine says, as JSON for the replies of control/interface.c. Pure. Each function returns a new reference, or
 * NULL if memory ran out. `trusted` false: the reader may see states and counts, but no names of files. */
#pragma once

#include "sync/engine.h"

#include <jansson.h>

json_t *info_to_json(void);
json_t *mapping_to_json(const MappingStatus *status, bool trusted);
json_t *item_to_json(const QueueItem *item);
json_t *text_to_json(const char *bytes); /* as it is if it is UTF-8, else escaped */
json_t *lines_to_json(const char *text); /* an array of its non-empty lines */
json_t *time_to_json(int64_t wall_ns);   /* RFC 3339; null for 0 */

/* Where a queue goes on: opaque to clients, no state in the server. Decode: 0, -EINVAL, -ENOMEM; both strings are the
 * caller's to free. */
json_t *cursor_to_json(const char *mapping, const char *path);
int cursor_parse(const char *text, char **ret_mapping, char **ret_path) _must_check_;
