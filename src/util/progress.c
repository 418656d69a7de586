#include "util/progress.h"

int64_t progress_stuck(Progress *p, uint64_t count, bool idle, int64_t now) {
        bool moved = count != p->count;

        p->count = count;
        if (idle)
                p->since = 0;
        else if (moved || p->since == 0)
                p->since = now;
        return p->since == 0 ? 0 : now - p->since;
}
