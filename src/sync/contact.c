/* Contact with the container, before the first write and whenever there is reason to doubt what is in it: it is made
 * (once, never again by itself: pitfalls 10.14), and what stands below the prefix is listed and compared with the
 * journal (listing.c). As long as record.contacted is false, nothing else is sent. A container that comes back without
 * most of what was in it waits for a person: sending all again costs money, and may not be what is wanted. */
#include "sync/state.h"

#include "azsyncd/messages.h"
#include "util/backoff.h"
#include "util/clock.h"
#include "util/log.h"

#include <assert.h>
#include <inttypes.h>

#define CONTACT_CAP (60 * NSEC_PER_SEC)
#define CONTAINER_PROBE (30 * NSEC_PER_SEC)
#define ON_ITS_WAY (900 * NSEC_PER_SEC)      /* a request is refused when its date is older (10.11) */
#define CONTENTS_PROBE (3600 * NSEC_PER_SEC) /* a listing of all, to see whether somebody has put it back */

void contact_done(Mapping *m) {
        if (m->listing.missing > 0) {
                LogRecord l = LOG_HERE;

                mapping_fields(&l, m->config);
                log_commit(&l, LOG_WARNING, MSG_BLOBS_MISSING,
                           "%s: %" PRIu64 " %s deleted in the cloud by someone else; what is missing is sent again.",
                           m->config->name, m->listing.missing, m->listing.missing == 1 ? "blob was" : "blobs were");
        }
        listing_drop(m);
        m->contact = CONTACT_NONE;
        m->record.contacted = m->record.met = true;
        m->record.resend = false;
        mapping_save(m, false);
        if (sync_commit(m->sync) < 0) { /* what the listing found is lost, so there was none */
                m->record.contacted = false;
                return;
        }
        if (m->block == BLOCK_CONTAINER || m->block == BLOCK_CONTENTS)
                mapping_unblock(m);
        sync_kick(m->sync);
}

void contact_count(Mapping *m, const BlobAnswer *answer) {
        m->contact_call = NULL;
        m->requests += answer->requested;
        account_judge(m->account, m, answer);
        if (answer->verdict != VERDICT_OK)
                mapping_note_error(m, answer->error.text);
        else
                m->contact_failures = 0;
}

void contact_later(Mapping *m, int64_t wait_ns) {
        m->contact = CONTACT_NONE;
        m->contact_at = clock_boot() + clock_policy(wait_ns);
        sync_kick(m->sync);
}

/* Behind a closed gate it was the account's probe, whose pauses grow by themselves. */
void contact_failed(Mapping *m, const BlobAnswer *answer) {
        if (m->account->gate == GATE_OPEN) {
                m->contact_failures++;
                m->contact_why = answer->error;
        }
        contact_later(m,
                      backoff_delay(MAX(m->contact_failures, 1U), CONTACT_CAP, answer->retry_after_ns, sync_random()));
}

void contact_again(Mapping *m) {
        m->contact_at = 0;
        if (m->record.contacted) {
                m->record.contacted = false;
                mapping_save(m, false);
        }
        sync_kick(m->sync);
}

void contact_doubt(Mapping *m) {
        int64_t now = clock_boot();

        if (m->doubted_at != 0 && now - m->doubted_at < clock_policy(m->config->rescan_ns))
                return;
        m->doubted_at = now;
        contact_again(m);
}

void contact_may_appear(Mapping *m) {
        m->appear_at = clock_boot();
}

void contact_look_for(Mapping *m) {
        if (m->appear_at == 0)
                return;
        if (clock_boot() - m->appear_at >= clock_policy(ON_ITS_WAY))
                m->appear_at = 0;
        contact_again(m);
}

void contact_lost(Mapping *m) {
        const char *name = m->config->name, *container = m->config->container;

        listing_drop(m);
        if (m->record.contacted) {
                m->record.contacted = false;
                mapping_save(m, true);
        }
        if (!m->config->create_container)
                mapping_block(m, BLOCK_CONTAINER,
                              "the container %s does not exist, and create-container is false: make it, or change the "
                              "mapping",
                              container);
        else if (!m->record.met)
                mapping_block(m, BLOCK_CONTAINER, "the container %s does not exist, and may not be made by us: make it",
                              container);
        else
                mapping_block(m, BLOCK_CONTAINER,
                              "the container %s is gone; azsyncd does not make it again by itself: azsyncctl approve "
                              "%s makes it and sends every file again",
                              container, name);
        contact_later(m, CONTAINER_PROBE);
}

void contact_pages_over(Mapping *m) {
        uint64_t known = m->listing.known, missing = known - MIN(m->listing.met, known);

        /* a move that the journal has forgotten (8: a power cut) has left its new name there for the old one */
        if (missing > m->listing.found && (missing - m->listing.found) * 2 > known && !m->record.resend) {
                listing_drop(m);
                mapping_block(m, BLOCK_CONTENTS,
                              "%" PRIu64 " of the %" PRIu64
                              " files that are confirmed %s not in the container %s any more: azsyncctl approve %s "
                              "sends what is missing",
                              missing, known, missing == 1 ? "is" : "are", m->config->container, m->config->name);
                contact_later(m, CONTENTS_PROBE);
                return;
        }
        /* also those that need not be there: a power cut takes back that an approved deletion was carried out, and its
         * file may be back, with the very stamp that was confirmed */
        if (m->listing.marked < m->listing.confirmed)
                m->contact = CONTACT_COMPARE;
        else
                contact_done(m);
        sync_kick(m->sync);
}

static void on_created(const BlobAnswer *answer, void *userdata) {
        Mapping *m = userdata;
        BlobAnswer judged = *answer;

        /* a service SAS may not create a container; whether it is there shows when it is listed (azure-blob.md 2.2) */
        if (judged.verdict == VERDICT_DENIED)
                judged.verdict = VERDICT_MISSING;
        contact_count(m, &judged);
        m->contact = CONTACT_NONE;
        switch (answer->verdict) {
        case VERDICT_OK:
        case VERDICT_DENIED:
                listing_page(m);
                break;
        case VERDICT_PERMANENT:
                mapping_block(m, BLOCK_CONTAINER, "%s", answer->error.text);
                contact_later(m, CONTAINER_PROBE);
                break;
        case VERDICT_LATER: /* being deleted: half a minute, or much longer */
                contact_later(m, CONTAINER_PROBE);
                break;
        default:
                contact_failed(m, answer);
                break;
        }
}

void contact_run(Mapping *m) {
        int64_t now = clock_boot();

        assert(!m->record.contacted);

        if (m->contact == CONTACT_COMPARE) {
                listing_compare(m); /* after its last step nothing is left to do here */
                return;
        }
        /* what is under way changes the container: a listing beside it would prove nothing; and what should be there is
         * counted by the rows as they are written */
        if (m->contact != CONTACT_NONE || m->n_jobs > 0 || m->record.decision != 0 || now < m->contact_at ||
            !account_may_send(m->account, now))
                return;
        if (m->listing.number != 0 || m->record.met || !m->config->create_container) {
                listing_page(m);
                return;
        }
        if (account_sent(m->account, blob_create_container(m->account->client, m->config->container, on_created, m,
                                                           &m->contact_call)) < 0) {
                contact_later(m, LOCAL_RETRY);
                return;
        }
        m->contact = CONTACT_CREATE;
}
