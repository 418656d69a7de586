/* One account: its client and the gate before it. A service that cannot be reached, throttles or refuses us closes the
 * gate; the queue stays where it is, and one request at a time probes until it opens again (pitfalls 10.10, 10.13). */
#include "sync/state.h"

#include "azsyncd/messages.h"
#include "util/backoff.h"
#include "util/clock.h"
#include "util/encode.h"
#include "util/log.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <openssl/sha.h>

#define FDS_OWN 32u     /* standard ones, loop, signals, journal, sockets of those who ask */
#define FDS_MAPPING 24u /* events, and what a walk and two workers have open */
#define TRANSFERS_LEAST 4u
#define OFFLINE_CAP (60 * NSEC_PER_SEC)
#define DENIED_FIRST (30 * NSEC_PER_SEC)
#define DENIED_CAP (3600 * NSEC_PER_SEC)
#define STALL (30 * NSEC_PER_SEC) /* no byte moves */
#define STALL_SPED \
        (500 * NSEC_PER_SEC) /* what tests speed up: by 10 it stays, for a busy machine must not look broken */
#define STALL_LEAST (5 * NSEC_PER_SEC)
#define NETWORK_PAUSE (1 * NSEC_PER_SEC)
#define SHORT_PAUSE (1 * NSEC_PER_SEC)    /* for what was given back to be of use */
#define SMALL_BODY ((uint64_t) 64 * 1024) /* a larger one takes time of its own to send */

int account_identity(const AccountConfig *config, char **ret) {
        const char *parts[] = { config->account, config->endpoint, config->secret, config->ca_file, config->proxy };
        uint8_t digest[SHA256_DIGEST_LENGTH];
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);
        char *text;
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(parts) && r >= 0; i++)
                r = buf_append(&b, parts[i] ? parts[i] : "", parts[i] ? strlen(parts[i]) + 1 : 1);
        if (r < 0)
                return r;
        (void) SHA256((const uint8_t *) b.data, b.size, digest); /* no secret stays in memory for a comparison */
        explicit_bzero(b.data, b.size);
        text = malloc(2 * sizeof(digest) + 1);
        if (!text)
                return -ENOMEM;
        hex_encode(digest, sizeof(digest), text);
        *ret = text;
        return 0;
}

/* Its key is rotated, perhaps (10.13). It is read as after SIGHUP: whole, or not at all. */
static void on_secret(void *userdata) {
        Account *a = userdata;

        outside_reload(a->sync->outside);
}

int account_new(Account **ret, Sync *s, const AccountConfig *config, Error *e) {
        _cleanup_(account_freep) Account *a = NULL;
        Credential *credential = NULL;
        BlobClientOptions options;
        int r;

        assert(ret && s && config);

        a = calloc(1, sizeof(*a));
        if (!a || !(a->name = strdup(config->name)) || account_identity(config, &a->identity) < 0)
                return error_oom(e);
        a->sync = s;
        pace_init(&a->pace, s->transfers, s->transfers_fixed);
        if (config->secret_file && filenews_new(&a->secret, s->loop, config->secret_file, on_secret, a, e) < 0)
                return error_prefix(e, -ENOMEM, "account %s", a->name);
        r = config->method == AUTH_SAS ? credential_new_sas(&credential, config->secret, e)
                                       : credential_new_shared_key(&credential, config->secret, e);
        if (r < 0)
                return error_prefix(e, r, "account %s", a->name);
        options = (BlobClientOptions){
                .endpoint_url = config->endpoint,
                .account = config->account,
                .credential = credential,
                .http = { .ca_file = config->ca_file,
                          .proxy = config->proxy,
                          .max_connections = a->pace.limit,
                          .stall_ns = MAX(MIN(STALL, clock_policy(STALL_SPED)), STALL_LEAST),
                          .user_agent = "azsyncd/" AZSYNCD_VERSION },
        };
        r = blob_client_new(&a->client, s->loop, &options, e);
        if (r < 0)
                return error_prefix(e, r, "account %s", a->name);
        *ret = TAKE_PTR(a);
        return 0;
}

Account *account_free(Account *a) {
        if (!a)
                return NULL;
        blob_client_free(a->client);
        filenews_free(a->secret);
        free(a->identity);
        free(a->name);
        free(a);
        return NULL;
}

/* As many connections as are asked for, unless so many descriptors are not to be had: then the files that are to be
 * sent could not be opened for all the connections that wait for them (11.2). */
unsigned account_transfers(const Config *config) {
        unsigned wanted = config->transfers > 0 ? config->transfers : SYNC_TRANSFERS;
        size_t accounts = MAX(config->n_accounts, (size_t) 1), own = FDS_OWN + FDS_MAPPING * config->n_mappings;
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
                return wanted;
        if (limit.rlim_cur <= own + accounts * TRANSFERS_LEAST)
                return MIN(wanted, TRANSFERS_LEAST);
        return MIN(wanted, (unsigned) MIN((limit.rlim_cur - own) / accounts, (rlim_t) wanted));
}

bool account_may_send(const Account *a, int64_t now) {
        return a->gate == GATE_OPEN || (a->in_flight == 0 && now >= a->retry_at); /* one probe */
}

/* The pool and whoever waits learn of it. */
static void account_limit(Account *a, unsigned before) {
        if (a->pace.limit == before)
                return;
        log_debug("account %s: %u requests at once, not %u", a->name, a->pace.limit, before);
        blob_client_limit(a->client, a->pace.limit);
        sync_kick(a->sync);
}

void accounts_short(Sync *s) {
        int64_t now = clock_boot();

        if (s->short_until > now)
                return;
        s->short_until = now + SHORT_PAUSE;
        for (size_t i = 0; i < s->n_accounts; i++) {
                Account *a = s->accounts[i];
                unsigned before = a->pace.limit;

                blob_client_drop_idle(a->client);
                pace_short(&a->pace, a->in_flight);
                account_limit(a, before);
        }
}

void account_set_transfers(Account *a) {
        unsigned before = a->pace.limit;

        pace_set(&a->pace, a->sync->transfers, a->sync->transfers_fixed);
        account_limit(a, before);
}

static PaceKind kind_of(const BlobAnswer *answer) {
        switch (answer->verb) {
        case VERB_PUT_BLOB:
        case VERB_SET_METADATA:
                return answer->body_sent <= SMALL_BODY ? PACE_WRITE : PACE_OTHER;
        case VERB_HEAD_BLOB:
                return PACE_READ;
        case VERB_DELETE_BLOB:
                return PACE_DELETE;
        case VERB_COPY_BLOB:
                return PACE_COPY;
        default:
                return PACE_OTHER;
        }
}

/* Behind a closed gate only probes are sent, and what they hear is old news. */
static void account_learn(Account *a, const BlobAnswer *answer) {
        bool timed_out = answer->error.domain == ERROR_CURL && answer->error.native == CURLE_OPERATION_TIMEDOUT;
        unsigned before = a->pace.limit;

        if (answer->verdict == VERDICT_BUSY || (timed_out && answer->verdict != VERDICT_OFFLINE)) {
                if (a->gate == GATE_OPEN)
                        pace_slow_down(&a->pace, a->in_flight);
        } else if (answer->verdict != VERDICT_OFFLINE && answer->verdict != VERDICT_UNKNOWN)
                pace_answered(&a->pace, a->in_flight, kind_of(answer), answer->latency_ns, clock_boot());
        account_limit(a, before);
}

int account_sent(Account *a, int r) {
        unsigned before = a->pace.limit;

        if (r >= 0)
                pace_began(&a->pace, ++a->in_flight, clock_boot());
        account_limit(a, before);
        return r;
}

void account_forget(Account *a) {
        a->in_flight--;
        sync_kick(a->sync); /* whoever had to wait for that */
}

/* One line, unless it comes and goes and has been said often enough (11.10). */
static void account_say_closed(Account *a, const Mapping *m, const BlobAnswer *answer) {
        char same[LOG_REASON_MAX];
        LogRecord l = LOG_HERE;
        LogTurn turn;

        log_reason(same, "offline", &answer->error, answer->error.text);
        turn = log_limit(&a->said, same, clock_boot());
        a->silent = turn == LOG_TURN_NONE;
        if (a->silent)
                return;
        mapping_fields(&l, m->config);
        log_field_error(&l, &answer->error);
        log_commit(&l, LOG_WARNING, MSG_OFFLINE, "Account %s: %s. Changes are kept and sent when it answers again.%s",
                   a->name, answer->error.text,
                   turn == LOG_TURN_LAST ? " This comes and goes, and is not logged for an hour." : "");
}

static void account_close(Account *a, Mapping *m, Gate gate, const BlobAnswer *answer) {
        int64_t cap = gate == GATE_DENIED ? DENIED_CAP : OFFLINE_CAP;
        bool first = a->gate != gate;
        int64_t wait;

        a->failures = first ? 1 : a->failures + 1;
        a->closed_at = clock_boot();
        a->gate = gate;
        a->why = answer->error;
        wait = gate == GATE_DENIED ? MIN(DENIED_FIRST << MIN(a->failures - 1, 7U), cap)
                                   : backoff_delay(a->failures, cap, 0, sync_random());
        a->retry_at = a->closed_at + MAX(clock_policy(wait), answer->retry_after_ns);
        a->asked_to_wait = answer->retry_after_ns > 0;
        if (gate == GATE_DENIED && a->secret) {
                filenews_watch(a->secret, true);
                if (filenews_ask(a->secret))
                        outside_reload(a->sync->outside);
        }
        if (first)
                account_say_closed(a, m, answer);
        sync_touch(a->sync);
}

static void account_open(Account *a) {
        if (a->gate == GATE_OPEN)
                return;
        a->gate = GATE_OPEN;
        a->failures = 0;
        a->retry_at = 0;
        if (a->secret)
                filenews_watch(a->secret, false);
        sync_touch(a->sync);
        sync_kick(a->sync);
        if (a->silent)
                return;

        LogRecord l = LOG_HERE;
        log_field(&l, "AZSYNC_ACCOUNT=%s", a->name);
        log_commit(&l, LOG_NOTICE, MSG_ONLINE, "Account %s answers again.", a->name);
}

bool account_refused(const Account *a) {
        return a->gate == GATE_DENIED && clock_boot() < a->retry_at;
}

void account_network(Account *a) {
        int64_t soon = a->closed_at + NETWORK_PAUSE; /* a machine full of containers has such news all the time */

        if (a->gate != GATE_OFFLINE || a->asked_to_wait || a->retry_at <= soon)
                return;
        blob_client_drop_idle(a->client);
        a->retry_at = soon;
        log_debug("account %s: the network has changed: tried again", a->name);
        sync_kick(a->sync);
}

void account_woken(Account *a) {
        blob_client_drop_idle(a->client); /* none of them has survived, and each would cost a time-out (10.8) */
        if (a->gate == GATE_OPEN)
                return;
        a->retry_at = clock_boot();
        sync_kick(a->sync);
}

void account_judge(Account *a, Mapping *m, const BlobAnswer *answer) {
        account_learn(a, answer);
        account_forget(a);
        if (error_is_shortage(-answer->error.code))
                accounts_short(a->sync);
        switch (answer->verdict) {
        case VERDICT_OFFLINE:
        case VERDICT_BUSY:
                account_close(a, m, GATE_OFFLINE, answer);
                break;
        case VERDICT_CLOCK:
                /* the answer told the service's time, by which the next request is signed (10.11) */
                if (a->gate == GATE_OPEN) {
                        account_close(a, m, GATE_OFFLINE, answer);
                        a->retry_at = a->closed_at;
                } else
                        account_close(a, m, GATE_DENIED, answer);
                break;
        case VERDICT_DENIED:
        case VERDICT_TLS:
                account_close(a, m, GATE_DENIED, answer);
                break;
        case VERDICT_RETRY:
        case VERDICT_UNKNOWN:
                /* one broken connection says nothing about the account; a probe that breaks does */
                if (a->gate != GATE_OPEN)
                        account_close(a, m, a->gate, answer);
                break;
        default:
                account_open(a); /* it answered, and knows us */
                break;
        }
}
