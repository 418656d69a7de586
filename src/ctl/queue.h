/* `azsyncctl queue` for people. Pure: a page of the daemon's Queue -> lines. */
#pragma once

#include "ctl/text.h"

typedef struct QueueTable {
        bool one;   /* of one mapping: its name is not repeated */
        bool begun; /* the heading is written; the columns keep their widths from then on */
        size_t mapping_columns, path_columns;
        int64_t now_ns; /* wall time */
} QueueTable;

void queue_render(Text *t, QueueTable *table, const json_t *items);
