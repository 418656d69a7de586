/* The shortest history that still fails in the same way: operations are left out, first in large pieces, then one by
 * one. */
#include "sim.h"

#include <string.h>

static bool still_fails(uint64_t seed, const Op *ops, unsigned n, Result *result) {
        Result r;

        history_run(seed, ops, n, &r);
        if (!r.failed || strcmp(r.kind, result->kind) != 0)
                return false;
        *result = r;
        return true;
}

unsigned shrink(uint64_t seed, Op *ops, unsigned n, Result *result) {
        bool was = verbose, shorter = true;
        Op tried[OPS_MAX];

        verbose = false;
        while (shorter) {
                shorter = false;
                for (unsigned piece = MAX(n / 2, 1U); piece > 0; piece /= 2)
                        for (unsigned at = 0; at + piece <= n;) {
                                memcpy(tried, ops, at * sizeof(*ops));
                                memcpy(tried + at, ops + at + piece, (n - at - piece) * sizeof(*ops));
                                if (at < n - piece) /* time goes on without them */
                                        for (unsigned i = at; i < at + piece; i++)
                                                tried[at].delay += ops[i].delay;
                                if (still_fails(seed, tried, n - piece, result)) {
                                        n -= piece;
                                        memcpy(ops, tried, n * sizeof(*ops));
                                        shorter = true;
                                } else
                                        at += piece;
                        }
        }
        verbose = was;
        return n;
}
