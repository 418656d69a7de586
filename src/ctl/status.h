/* `azsyncctl status` for people. Pure: what the daemon's Status says -> text. */
#pragma once

#include "ctl/text.h"

typedef struct StatusStyle {
        bool color;
        bool one;       /* of one mapping that was named: nothing about the daemon itself */
        int64_t now_ns; /* wall time, for ages */
        double old_s;   /* how old `status` is: what was unsynced then has become older since */
} StatusStyle;

/* A block for each mapping. */
void status_render(Text *t, const json_t *status, const StatusStyle *style);

/* A line for each thing that needs a person: failed, held, blocked, in conflict, a refused reload. Returns how many. */
int status_attention(Text *t, const json_t *status);
