/* What happens around us and is nobody's change: the network comes back, the machine wakes up or its clock is set, a
 * key is rotated. None of it is needed for a right result; each spares a long wait. */
#include "sync/state.h"

#include "http/network.h"
#include "util/clock.h"
#include "util/jump.h"
#include "util/log.h"

#include <assert.h>

struct Outside {
        Sync *sync;
        Network *network;
        Jump *jump;
        Defer *reload; /* not from within an account's callback: it may end that account */
        void (*on_reload)(void *userdata);
        void *userdata;
};

static void on_network(void *userdata) {
        const Outside *o = userdata;

        for (size_t i = 0; i < o->sync->n_accounts; i++)
                account_network(o->sync->accounts[i]);
}

static void on_jump(int64_t jumped_ns, void *userdata) {
        const Outside *o = userdata;

        log_debug("the clock went %lld s: every folder is compared, every connection made anew",
                  (long long) (jumped_ns / NSEC_PER_SEC));
        for (size_t i = 0; i < o->sync->n_accounts; i++)
                account_woken(o->sync->accounts[i]);
        for (size_t i = 0; i < o->sync->n_mappings; i++)
                mapping_scan(o->sync->mappings[i], "");
}

static void on_reload(void *userdata) {
        const Outside *o = userdata;

        o->on_reload(o->userdata);
}

void outside_reload(Outside *o) {
        if (o && o->on_reload)
                defer_arm(o->reload);
}

int outside_new(Outside **ret, Sync *s, void (*reload)(void *userdata), void *userdata, Error *e) {
        Outside *o = calloc(1, sizeof(*o));
        Error why = ERROR_NULL;
        int r;

        assert(ret && s);

        if (!o)
                return error_oom(e);
        o->sync = s;
        o->on_reload = reload;
        o->userdata = userdata;
        r = defer_new(&o->reload, s->loop, on_reload, o, e);
        if (r < 0) {
                (void) outside_free(o);
                return r;
        }
        if (network_new(&o->network, s->loop, on_network, o, &why) < 0)
                log_debug("%s: back-off ends by its time alone", why.text);
        if (jump_new(&o->jump, s->loop, on_jump, o, &why) < 0)
                log_debug("%s: a sleep is noticed by its broken connections", why.text);
        *ret = o;
        return 0;
}

Outside *outside_free(Outside *o) {
        if (!o)
                return NULL;
        network_free(o->network);
        jump_free(o->jump);
        defer_free(o->reload);
        free(o);
        return NULL;
}
