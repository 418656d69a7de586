/* First contact: the container is made (once, never again: pitfalls 10.14), and what stands below the prefix already is
 * listed into the journal, so that blobs that match are taken over without sending them again and strangers' are known
 * as such. */
#include "sync/state.h"

#include "azsyncd/messages.h"
#include "util/blobname.h"
#include "util/clock.h"
#include "util/log.h"

#include <assert.h>
#include <string.h>

#define CONTACT_PAUSE (1 * NSEC_PER_SEC)
#define CONTAINER_PROBE (30 * NSEC_PER_SEC)

static void contact_done(Mapping *m) {
        m->contact = CONTACT_NONE;
        m->record.contacted = true;
        mapping_save(m, false);
        sync_kick(m->sync);
}

static void contact_count(Mapping *m, const BlobAnswer *answer) {
        m->contact_call = NULL;
        m->account->in_flight--;
        m->requests += answer->requested;
        account_judge(m->account, m, answer);
        if (answer->verdict != VERDICT_OK)
                mapping_note_error(m, answer->error.text);
}

static void contact_later(Mapping *m, int64_t wait_ns) {
        m->contact_at = clock_boot() + clock_policy(wait_ns);
        sync_kick(m->sync);
}

/* A listed blob becomes a row that is looked at; what it holds is compared then, by its MD5. */
static int on_listed(const ListedBlob *blob, void *userdata) {
        _cleanup_buf_ Buf path = BUF_INIT(ROW_PATH_MAX);
        Mapping *m = userdata;
        Journal *j = m->sync->journal;
        Error e = ERROR_NULL;
        Row row;
        int r;

        if (blob->is_folder || strcmp(blob->blob_type, "BlockBlob") != 0)
                return 0;
        r = blobname_to_path(&path, m->config->prefix, blob->name, blob->name_size);
        if (r < 0 || path.size == 0)
                return r == -ENOMEM ? r : 0; /* no file can have this blob: not ours to touch */
        if (mapping_excluded(m, path.data, false))
                return 0;
        r = journal_get(j, m->record.id, path.data, path.size, &row, &e);
        if (r < 0)
                return sync_journal(m->sync, r, &e);
        if (row.confirmed && strcmp(row.etag, blob->etag) == 0)
                return 0;
        if (!row.confirmed) {
                row.confirmed = true;
                row.foreign = strcmp(blob->writer, m->writer) != 0;
                row.stamp = (Stamp){ .size = blob->size };
                row.has_md5 = blob->has_md5;
                memcpy(row.md5, blob->md5, sizeof(row.md5));
                memcpy(row.etag, blob->etag, sizeof(row.etag));
                row_hint(&row, true, clock_boot(), journal_sequence(j, clock_wall()));
                return sync_journal(m->sync, journal_put(j, m->record.id, &row, &e), &e);
        }
        return 0;
}

static void on_page(const BlobAnswer *answer, void *userdata) {
        Mapping *m = userdata;

        contact_count(m, answer);
        m->contact = CONTACT_NONE;
        if (answer->verdict == VERDICT_OK) {
                sync_touch(m->sync);
                if (answer->marker && answer->marker[0]) {
                        free(m->list_marker);
                        m->list_marker = strdup(answer->marker);
                        sync_kick(m->sync);
                        return;
                }
                free(m->list_marker);
                m->list_marker = NULL;
                if (m->block == BLOCK_CONTAINER)
                        mapping_unblock(m);
                contact_done(m);
                return;
        }
        if (answer->verdict == VERDICT_NO_CONTAINER) {
                mapping_block(m, BLOCK_CONTAINER,
                              "the container %s does not exist, and create-container is false: make it, or change the "
                              "mapping",
                              m->config->container);
                contact_later(m, CONTAINER_PROBE);
                return;
        }
        contact_later(m, MAX(CONTACT_PAUSE, answer->retry_after_ns));
}

static void contact_list(Mapping *m) {
        _cleanup_buf_ Buf prefix = BUF_INIT(4096);
        int r = 0;

        if (m->config->prefix[0])
                r = buf_printf(&prefix, "%s/", m->config->prefix);
        if (r >= 0)
                r = blob_list(m->account->client, m->config->container, buf_text(&prefix), m->list_marker, 5000,
                              on_listed, on_page, m, &m->contact_call);
        if (r < 0) {
                contact_later(m, CONTACT_PAUSE);
                return;
        }
        m->contact = CONTACT_LIST;
        m->account->in_flight++;
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
                contact_list(m);
                break;
        case VERDICT_PERMANENT:
                mapping_block(m, BLOCK_CONTAINER, "%s", answer->error.text);
                contact_later(m, CONTAINER_PROBE);
                break;
        default:
                contact_later(m, MAX(CONTACT_PAUSE, answer->retry_after_ns));
                break;
        }
}

void contact_run(Mapping *m) {
        int64_t now = clock_boot();
        int r;

        assert(!m->record.contacted || m->block == BLOCK_CONTAINER);

        if (m->contact != CONTACT_NONE || now < m->contact_at || !account_may_start(m->account, now))
                return;
        if (m->list_marker || !m->config->create_container || m->block == BLOCK_CONTAINER) {
                contact_list(m);
                return;
        }
        r = blob_create_container(m->account->client, m->config->container, on_created, m, &m->contact_call);
        if (r < 0) {
                contact_later(m, CONTACT_PAUSE);
                return;
        }
        m->contact = CONTACT_CREATE;
        m->account->in_flight++;
}
