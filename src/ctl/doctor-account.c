/* An account and the containers in it: asked with the mappings' own credential, by requests that change nothing. */
#include "ctl/doctor.h"

#include "azure/blob.h"
#include "util/clock.h"
#include "util/path.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE (20 * NSEC_PER_SEC) /* for one answer */
/* a reload reads files again; credentials are handed over at a start */
#define RENEW "azsyncctl reload (a credential of systemd: systemctl restart azsyncd)"
#define CLOCK_REFUSED (900 * NSEC_PER_SEC)
#define CLOCK_GOOD (60 * NSEC_PER_SEC)
#define ABSENT "azsyncctl doctor asks for a blob that is not there"

typedef struct Service {
        Doctor *d;
        const AccountConfig *config;
        About about;
        BlobClient *client;
        SasFacts sas; /* of a SAS */
        bool folders; /* hierarchical namespace */
} Service;

/* --- one question at a time --- */

typedef struct Question {
        BlobCall *call;
        bool answered;
        int64_t begun, took_ns;
        BlobAnswer answer; /* but for its strings, which were the callback's */
        char blob[4096];   /* the first one listed; "" if none */
} Question;

static void on_answer(const BlobAnswer *answer, void *userdata) {
        Question *q = userdata;

        q->call = NULL;
        q->answered = true;
        q->took_ns = clock_boot() - q->begun;
        q->answer = *answer;
}

static int on_blob(const ListedBlob *blob, void *userdata) {
        Question *q = userdata;

        if (q->blob[0] == '\0' && blob->name_size < sizeof(q->blob) && !memchr(blob->name, '\0', blob->name_size))
                memcpy(q->blob, blob->name, blob->name_size + 1);
        return 0;
}

/* `r`: of asking */
static void question_end(Question *q, Service *s, int r) {
        int64_t deadline = q->begun + PATIENCE;

        while (r >= 0 && !q->answered && clock_boot() < deadline)
                r = sd_event_run(s->d->loop, (uint64_t) MAX((deadline - clock_boot()) / NSEC_PER_USEC, INT64_C(1000)));
        if (q->answered)
                return;
        if (q->call)
                blob_cancel(q->call);
        q->answer = (BlobAnswer){ .verdict = VERDICT_OFFLINE };
        if (r < 0)
                (void) error_os(&q->answer.error, -r, "asking");
        else
                (void) error_set(&q->answer.error, -ETIMEDOUT, ERROR_OS, ETIMEDOUT, "no answer within %d s",
                                 (int) (PATIENCE / NSEC_PER_SEC));
}
#define ASK(q, s, function, ...)                                            \
        do {                                                                \
                *(q) = (Question){ .begun = clock_boot() };                 \
                question_end((q), (s), function((s)->client, __VA_ARGS__)); \
        } while (0)

/* --- what came back --- */

static int millis(const Question *q) {
        return (int) (q->took_ns / NSEC_PER_MSEC);
}

/* What to do, of what azure/answer says: for these it would say what azsyncd does. */
static const char *advice_of(const BlobAnswer *a) {
        switch (a->verdict) {
        case VERDICT_OFFLINE:
                if (a->error.domain == ERROR_CURL && a->error.native == CURLE_COULDNT_RESOLVE_HOST)
                        return "correct `account` or `endpoint`, or look at the network and its DNS (resolvectl "
                               "status)";
                return "look at the network, firewalls and `proxy`; does the endpoint's port answer?";
        case VERDICT_BUSY:
        case VERDICT_LATER:
                return "ask again in some minutes";
        case VERDICT_RETRY:
        case VERDICT_UNKNOWN:
                if (a->error.domain != ERROR_AZURE && a->error.domain != ERROR_OS)
                        return "look at what is on the way: proxies, firewalls, captive portals";
                break;
        default:
                break;
        }
        return answer_hint(&a->error);
}

/* "asking about the account: access refused (403 AuthorizationFailure)", and what to do */
static void say(Service *s, Outcome o, About about, const char *check, const BlobAnswer *a) {
        size_t size = (size_t) (answer_hint(&a->error) - a->error.text);

        size -= a->error.text[size] != '\0' ? strlen(": ") : 0;
        finding(&s->d->findings, o, about, check, advice_of(a), "%.*s", (int) size, a->error.text);
}

/* Did the service itself answer? */
static bool is_answer(const BlobAnswer *a) {
        return a->verdict != VERDICT_OFFLINE && a->verdict != VERDICT_TLS && a->verdict != VERDICT_RETRY &&
               a->verdict != VERDICT_UNKNOWN && a->verdict != VERDICT_BUSY;
}

static void say_clock(Service *s, int64_t skew) {
        int64_t off = skew < 0 ? -skew : skew;
        Outcome o = off > CLOCK_REFUSED ? FOUND_FAIL : off > CLOCK_GOOD ? FOUND_WARN : FOUND_OK;

        if (o == FOUND_OK) /* the service's Date has whole seconds, and the answer took its time */
                finding(&s->d->findings, o, s->about, "clock", "", "agrees with the service's");
        else
                finding(&s->d->findings, o, s->about, "clock",
                        "set it right (timedatectl set-ntp true): the service refuses what is 15 min off",
                        "this machine's is %lld s %s", (long long) (off / NSEC_PER_SEC), skew > 0 ? "slow" : "fast");
}

/* With a SAS the account may be none of our business, and the service then says so in several ways. */
static bool is_foreign(const Service *s, const BlobAnswer *a) {
        return s->config->method == AUTH_SAS && (a->verdict == VERDICT_DENIED || a->verdict == VERDICT_PERMANENT);
}

static void say_ended(Service *s) {
        char when[36];

        clock_format_rfc3339(s->sas.expires_ns, when);
        finding(&s->d->findings, FOUND_FAIL, s->about, "login", "have a new one issued, and " RENEW,
                "the shared access signature ended on %.10s", when);
}

/* false: nothing more can be asked */
static bool ask_account(Service *s) {
        bool sas = s->config->method == AUTH_SAS;
        Question q;

        ASK(&q, s, blob_account_info, on_answer, &q, &q.call);
        if (!is_answer(&q.answer)) {
                say(s, q.answer.verdict == VERDICT_BUSY ? FOUND_WARN : FOUND_FAIL, s->about, "endpoint", &q.answer);
                return false;
        }
        finding(&s->d->findings, FOUND_OK, s->about, "endpoint", "", "answers, %d ms", millis(&q));
        if (q.answer.clock_skew_ns != 0)
                say_clock(s, q.answer.clock_skew_ns);
        if (sas && s->sas.expires_ns != 0 && s->sas.expires_ns < clock_wall()) {
                say_ended(s);
                return false;
        }
        if (q.answer.verdict == VERDICT_OK) {
                const AccountFacts *a = &q.answer.account;

                s->folders = a->folders;
                finding(&s->d->findings, FOUND_OK, s->about, "login", "", "the %s is accepted (%s%s%s%s)",
                        sas ? "shared access signature" : "account key", a->kind[0] ? a->kind : "kind unknown",
                        a->sku[0] ? ", " : "", a->sku, a->folders ? ", hierarchical namespace" : "");
                return true;
        }
        if (is_foreign(s, &q.answer)) {
                finding(&s->d->findings, FOUND_UNKNOWN, s->about, "login", "",
                        "cannot be told from the account with this SAS; the containers tell");
                return true;
        }
        say(s, FOUND_FAIL, s->about, "login", &q.answer);
        return false;
}

typedef struct Command {
        char text[160];
} Command;

static Command properties_command(const Service *s, const char *verb) {
        Command c;

        (void) snprintf(c.text, sizeof(c.text), "az storage account blob-service-properties %s --account-name %s", verb,
                        s->config->account[0] ? s->config->account : "NAME");
        return c;
}

static void ask_soft_delete(Service *s) {
        char advice[256];
        Question q;
        int days;

        ASK(&q, s, blob_service_properties, on_answer, &q, &q.call);
        if (is_foreign(s, &q.answer)) {
                finding(&s->d->findings, FOUND_UNKNOWN, s->about, "soft-delete", "look in the portal",
                        "cannot be told with this SAS (it would need srt=s and sp=r)");
                return;
        }
        if (q.answer.verdict != VERDICT_OK) {
                say(s, FOUND_UNKNOWN, s->about, "soft-delete", &q.answer);
                return;
        }
        days = q.answer.account.soft_delete_days;
        (void) snprintf(advice, sizeof(advice), "%s --enable-delete-retention true --delete-retention-days 14",
                        properties_command(s, "update").text);
        if (days > 0)
                finding(&s->d->findings, FOUND_OK, s->about, "soft-delete", "",
                        "on: a deleted blob can be brought back for %d %s", days, days == 1 ? "day" : "days");
        else
                finding(&s->d->findings, days == 0 ? FOUND_WARN : FOUND_UNKNOWN, s->about, "soft-delete",
                        days == 0 ? advice : "look in the portal", "%s",
                        days == 0 ? "off: what is deleted or overwritten by mistake cannot be brought back"
                                  : "the service does not say");
}

/* --- a mapping's container --- */

void doctor_sas_lacks(const SasFacts *facts, bool deletes, char *ret, size_t room) {
        static const struct {
                const char *letters, *word; /* any of the letters will do */
        } rights[] = { { "r", "read (r)" }, { "w", "write (w)" }, { "l", "list (l)" }, { "d", "delete (d)" } };
        size_t n = 0;

        assert(facts && ret && room > 0);

        ret[0] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(rights); i++)
                if ((deletes || rights[i].letters[0] != 'd') && !strpbrk(facts->permissions, rights[i].letters))
                        n += (size_t) snprintf(ret + n, room - n, "%s%s", n > 0 ? ", " : "", rights[i].word);
        if (!facts->account_sas)
                return;
        if (!strchr(facts->services, 'b'))
                n += (size_t) snprintf(ret + n, room - n, "%sthe blob service (ss=b)", n > 0 ? ", " : "");
        if (!strchr(facts->resource_types, 'c'))
                n += (size_t) snprintf(ret + n, room - n, "%scontainers (srt=c)", n > 0 ? ", " : "");
        if (!strchr(facts->resource_types, 'o'))
                (void) snprintf(ret + n, room - n, "%sblobs (srt=o)", n > 0 ? ", " : "");
}

/* `readable`: 1 proven, 0 refused, -1 not asked */
static void say_rights(Service *s, const MappingConfig *m, int readable) {
        About about = { .mapping = m->name };
        bool deletes = m->deletes == DELETES_MIRROR;
        char lacks[256];

        if (s->config->method != AUTH_SAS) {
                finding(&s->d->findings, FOUND_OK, about, "rights", "", "all of them, by the account key");
                return;
        }
        if (s->sas.has_policy && s->sas.permissions[0] == '\0') {
                finding(&s->d->findings, readable == 0 ? FOUND_FAIL : FOUND_UNKNOWN, about, "rights",
                        "look at the policy: azsyncd needs rwl, and d to delete",
                        "a stored access policy says what this SAS may do%s",
                        readable == 0   ? "; it may not read"
                        : readable == 1 ? "; it may list and read"
                                        : "");
                return;
        }
        doctor_sas_lacks(&s->sas, deletes, lacks, sizeof(lacks));
        if (lacks[0])
                finding(&s->d->findings, FOUND_FAIL, about, "rights",
                        deletes ? "have one issued with sp=rcwdl, and " RENEW
                                : "have one issued with sp=rcwl, and " RENEW,
                        "the SAS lacks %s", lacks);
        else if (readable == 0)
                finding(&s->d->findings, FOUND_FAIL, about, "rights", "have a new one issued, and " RENEW,
                        "the SAS says that it may read, but the service refuses");
        else
                finding(&s->d->findings, FOUND_OK, about, "rights", "",
                        "the SAS names all that are needed%s; writing%s was not tried",
                        readable == 1 ? ", listing and reading work" : "", deletes ? " and deleting" : "");
}

static void say_versioning(Service *s, const MappingConfig *m, const Question *q) {
        About about = { .mapping = m->name };
        char look[256];

        (void) snprintf(look, sizeof(look), "%s --query isVersioningEnabled", properties_command(s, "show").text);
        if (s->folders)
                finding(&s->d->findings, FOUND_OK, about, "versioning", "",
                        "an account with a hierarchical namespace has none; soft delete is what protects it");
        else if (q && q->answer.verdict == VERDICT_OK && q->answer.versioned)
                finding(&s->d->findings, FOUND_OK, about, "versioning", "",
                        "on: the blob that was looked at has a version");
        else if (q && q->answer.verdict == VERDICT_OK)
                finding(&s->d->findings, FOUND_UNKNOWN, about, "versioning", look,
                        "the blob that was looked at has no version, so it was off when that was written; whether it "
                        "is on now cannot be told with a key or SAS");
        else
                finding(&s->d->findings, FOUND_UNKNOWN, about, "versioning", look,
                        "only a blob tells, and none could be looked at");
}

static void ask_blob(Service *s, const MappingConfig *m, const char *listed) {
        Question q;

        ASK(&q, s, blob_head, m->container, listed[0] ? listed : ABSENT, on_answer, &q, &q.call);
        say_rights(s, m,
                   q.answer.verdict == VERDICT_OK || q.answer.verdict == VERDICT_MISSING ? 1
                   : q.answer.verdict == VERDICT_DENIED                                  ? 0
                                                                                         : -1);
        say_versioning(s, m, listed[0] ? &q : NULL);
}

static bool may_create(const Service *s) {
        return s->config->method != AUTH_SAS ||
               (s->sas.account_sas && strchr(s->sas.resource_types, 'c') && strpbrk(s->sas.permissions, "cw"));
}

static void say_no_container(Service *s, const MappingConfig *m, const BlobAnswer *a) {
        About about = { .mapping = m->name };
        char advice[256];

        if (strcmp(a->error.detail, "ContainerNotFound") != 0) {
                say(s, FOUND_FAIL, about, "container", a);
                return;
        }
        (void) snprintf(advice, sizeof(advice), "az storage container create --account-name %s --name %s",
                        s->config->account[0] ? s->config->account : "NAME", m->container);
        if (!m->create_container || !may_create(s))
                finding(&s->d->findings, FOUND_FAIL, about, "container", advice, "%s does not exist, and azsyncd %s",
                        m->container,
                        m->create_container ? "may not make it with this SAS"
                                            : "is not to make it (`create-container`)");
        else
                finding(&s->d->findings, FOUND_WARN, about, "container",
                        "nothing, if it is new; if it was deleted: make it again, then azsyncctl approve",
                        "%s does not exist; azsyncd makes it once, private, when it first comes here", m->container);
}

static void ask_container(Service *s, const MappingConfig *m) {
        About about = { .mapping = m->name };
        char prefix[4096];
        Question q;

        (void) snprintf(prefix, sizeof(prefix), "%s%s", m->prefix, m->prefix[0] ? "/" : "");
        ASK(&q, s, blob_list, m->container, prefix, NULL, 1, on_blob, on_answer, &q, &q.call);
        if (q.answer.verdict == VERDICT_OK) {
                finding(&s->d->findings, FOUND_OK, about, "container", "", "%s can be listed, %d ms%s", m->container,
                        millis(&q), q.blob[0] ? "" : "; nothing is there yet");
                ask_blob(s, m, q.blob);
                return;
        }
        if (q.answer.verdict == VERDICT_NO_CONTAINER) {
                say_no_container(s, m, &q.answer);
                say_rights(s, m, -1);
                return;
        }
        say(s, FOUND_FAIL, about, "container", &q.answer);
        say_rights(s, m, -1);
}

/* --- the account --- */

static int service_open(Service *s, Error *e) {
        BlobClientOptions options = {
                .endpoint_url = s->config->endpoint,
                .account = s->config->account,
                .http = { .ca_file = s->config->ca_file,
                          .proxy = s->config->proxy,
                          .max_connections = 2,
                          .stall_ns = PATIENCE,
                          .user_agent = "azsyncctl/" AZSYNCD_VERSION },
        };
        int r;

        if (s->config->method == AUTH_SAS) {
                r = sas_parse(s->config->secret, &s->sas, e);
                if (r >= 0)
                        r = credential_new_sas(&options.credential, s->config->secret, e);
        } else
                r = credential_new_shared_key(&options.credential, s->config->secret, e);
        return r < 0 ? r : blob_client_new(&s->client, s->d->loop, &options, e);
}

void doctor_account(Doctor *d, const AccountConfig *account) {
        Service s = { .d = d, .config = account, .about = { .account = account->name } };
        Error e = ERROR_NULL;
        bool known;
        int r;

        r = account->secret ? service_open(&s, &e) : 0;
        if (r < 0) {
                finding(&d->findings, FOUND_FAIL, s.about, "login", "", "%s", e.text);
                return;
        }
        if (!account->secret)
                finding(&d->findings, FOUND_UNKNOWN, s.about, "login", "azsyncctl doctor, once azsyncd runs",
                        "its secret is azsyncd's alone, so it cannot be tried from here");
        known = account->secret && ask_account(&s);
        if (known)
                ask_soft_delete(&s);
        for (size_t i = 0; i < d->config->n_mappings; i++) {
                const MappingConfig *m = &d->config->mappings[i];

                if (m->account != account || (d->named && m != d->named))
                        continue;
                if (known)
                        ask_container(&s, m);
                else
                        finding(&d->findings, FOUND_UNKNOWN, (About){ .mapping = m->name }, "container",
                                "see to the account first", "account %s cannot be asked", account->name);
        }
        blob_client_free(s.client);
}
