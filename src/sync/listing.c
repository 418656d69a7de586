/* A whole listing of the container against the journal. What stands there and is not known becomes a row, so that blobs
 * that match are taken over without sending them again and strangers' are known as such; what is confirmed under
 * another etag is asked for; what is confirmed and not there is sent again. The last is said only after every page has
 * come: each blob listed marks its row with the listing's number, and then the rows without the mark are gathered, a
 * few at a time. So any number of blobs costs no memory, and the order of a listing need not be that of paths. */
#include "sync/guard.h"

#include "util/blobname.h"
#include "util/clock.h"

#include <assert.h>
#include <string.h>

#define PAGE 5000u        /* blobs; the most that the service gives */
#define COMPARE_STEP 512u /* rows; some 10 ms */
#define LISTING_PAUSE (1 * NSEC_PER_SEC)

void listing_drop(Mapping *m) {
        free(m->listing.marker);
        free(m->listing.after);
        memset(&m->listing, 0, sizeof(m->listing));
        if (m->contact == CONTACT_COMPARE)
                m->contact = CONTACT_NONE;
}

/* A deletion that was let go or approved was of some blob that the row did not tell of. This may be a later one, of a
 * file that came between: a power cut takes that back. */
static void adopt(Mapping *m, Row *row, const ListedBlob *blob) {
        guard_done(m, row);
        row->approved = row->moved = false;
        row->confirmed = true;
        row->foreign = strcmp(blob->writer, m->writer) != 0;
        row->stamp = (Stamp){ .size = blob->size };
        row->has_md5 = blob->has_md5;
        memcpy(row->md5, blob->md5, sizeof(row->md5));
        memcpy(row->etag, blob->etag, sizeof(row->etag));
}

/* Its row is looked at by a job, which compares the content by its MD5. */
static int compare_blob(Mapping *m, const char *path, size_t size, const ListedBlob *blob) {
        Journal *j = m->sync->journal;
        bool excluded = mapping_excluded(m, path, false), known, expected;
        Row row;
        int r = journal_get(j, m->record.id, path, size, &row, NULL);

        if (r < 0 || (excluded && !row.confirmed))
                return r;
        mapping_note_writer(m, blob);
        known = row.confirmed;
        expected = row_expected(&row);
        if (!excluded && !(known && strcmp(row.etag, blob->etag) == 0)) {
                if (known && !row.foreign)
                        row.doubt =
                                true; /* by a write of ours whose answer was lost, or by somebody else: a job asks */
                else {
                        adopt(m, &row, blob);
                        m->listing.found += !known && !row.foreign;
                }
                row_hint(&row, true, clock_boot(), journal_sequence(j, clock_wall()));
                r = journal_put(j, m->record.id, &row, NULL);
                if (r < 0)
                        return r;
        }
        if (m->listing.confirmed == 0) /* nothing can be missing */
                return 0;
        r = journal_listed(j, m->record.id, path, size, m->listing.number, NULL);
        if (r > 0 && expected)
                m->listing.met++;
        if (r > 0 && known)
                m->listing.marked++;
        return r;
}

static int on_listed(const ListedBlob *blob, void *userdata) {
        _cleanup_buf_ Buf path = BUF_INIT(ROW_PATH_MAX);
        Mapping *m = userdata;
        int r;

        if (blob->is_folder || strcmp(blob->blob_type, "BlockBlob") != 0)
                return 0;
        r = blobname_to_path(&path, m->config->prefix, blob->name, blob->name_size);
        if (r < 0 || path.size == 0)
                return r == -ENOMEM ? r : 0; /* no file can have this blob: not ours to touch */
        r = compare_blob(m, path.data, path.size, blob);
        return r < 0 ? r : 0;
}

static void on_page(const BlobAnswer *answer, void *userdata) {
        Mapping *m = userdata;

        contact_count(m, answer);
        m->contact = CONTACT_NONE;
        if (answer->verdict == VERDICT_NO_CONTAINER) {
                contact_lost(m);
                return;
        }
        if (answer->verdict != VERDICT_OK) {
                contact_failed(m, answer);
                return;
        }
        if (m->listing.number == 0) { /* dropped while the page was on its way */
                contact_later(m, LISTING_PAUSE);
                return;
        }
        m->record.met = true;
        free(m->listing.marker);
        m->listing.marker = NULL;
        sync_touch(m->sync);
        if (answer->marker[0] == '\0') {
                contact_pages_over(m);
                return;
        }
        m->listing.marker = strdup(answer->marker);
        if (!m->listing.marker)
                listing_drop(m);
        contact_later(m, 0);
}

void listing_page(Mapping *m) {
        _cleanup_buf_ Buf prefix = BUF_INIT(4096);
        int r = 0;

        if (m->listing.number == 0) {

                r = journal_expected(m->sync->journal, m->record.id, &m->listing.known, &m->listing.confirmed, NULL);
                if (r >= 0)
                        m->listing.number = journal_sequence(m->sync->journal, clock_wall());
        }
        if (r >= 0 && m->config->prefix[0])
                r = buf_printf(&prefix, "%s/", m->config->prefix);
        if (r >= 0)
                r = account_sent(m->account,
                                 blob_list(m->account->client, m->config->container, buf_text(&prefix),
                                           m->listing.marker, PAGE, on_listed, on_page, m, &m->contact_call));
        if (r < 0) {
                contact_later(m, LISTING_PAUSE);
                return;
        }
        m->contact = CONTACT_LIST;
}

/* --- what was not listed --- */

typedef struct Unlisted {
        Buf *missing; /* paths, each ended by NUL */
        char last[ROW_PATH_MAX + 1];
} Unlisted;

static int on_row(const char *path, size_t size, bool missing, void *userdata) {
        Unlisted *u = userdata;

        memcpy(u->last, path, MIN(size, (size_t) ROW_PATH_MAX));
        u->last[MIN(size, (size_t) ROW_PATH_MAX)] = '\0';
        return missing ? buf_append(u->missing, u->last, strlen(u->last) + 1) : 0;
}

/* Its blob is not there. Whatever is to be done about the path, a job finds it out anew. */
static int send_again(Mapping *m, const char *path) {
        Journal *j = m->sync->journal;
        bool doubt;
        Row row;
        int r = journal_get(j, m->record.id, path, strlen(path), &row, NULL);

        if (r <= 0 || mapping_excluded(m, path, false)) /* a scan forgets those */
                return r;
        m->listing.missing += row_expected(&row);
        doubt = row.doubt;
        m->sync->durable |= row.kept; /* or a power cut brings it back, for whatever blob will have this name */
        guard_done(m, &row);
        row_unconfirm(&row);
        row.doubt = doubt;
        row_hint(&row, true, clock_boot(), journal_sequence(j, clock_wall()));
        return journal_put(j, m->record.id, &row, NULL);
}

void listing_compare(Mapping *m) {
        _cleanup_buf_ Buf paths = BUF_INIT((size_t) COMPARE_STEP * (ROW_PATH_MAX + 1));
        Unlisted u = { .missing = &paths };
        int r, more;

        r = more = journal_unlisted(m->sync->journal, m->record.id, m->listing.number,
                                    m->listing.after ? m->listing.after : "", COMPARE_STEP, on_row, &u, NULL);
        for (size_t at = 0; at < paths.size && r >= 0; at += strlen(paths.data + at) + 1)
                r = send_again(m, paths.data + at);
        sync_touch(m->sync);
        if (r >= 0 && more > 0) {
                free(m->listing.after);
                m->listing.after = strdup(u.last);
                r = m->listing.after ? 0 : -ENOMEM;
        }
        if (r < 0) {
                listing_drop(m);
                contact_later(m, LISTING_PAUSE);
        } else if (more > 0)
                sync_kick(m->sync);
        else
                contact_done(m);
}
