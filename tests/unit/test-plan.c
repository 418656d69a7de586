/* plan(): every decision about a path, as a table (design.md 3, pitfalls L1-L5, 4.3, 8, 10.15). */
#include "sync/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OURS "0123456789abcdef0123456789abcdef"

typedef enum Know { NEW, CONFIRMED, FOREIGN } Know;
typedef enum Bytes { UNREAD, SAME, OTHER } Bytes;
typedef enum Cloud { UNASKED, NOTHING, MINE_SAME, MINE_KNOWN, MINE_OTHER, THEIRS_SAME, THEIRS_OTHER } Cloud;

typedef struct Case {
        const char *what;
        Look look;
        Know know;
        bool stamp_differs, content, doubt;
        Bytes bytes;
        Cloud cloud;
        bool was_gone, keep, overwrite, kept, emptied;
        bool fuzzy, marked, busy; /* the bytes, the row, and the blob that was asked for */
        Action action;
        const char *etag; /* NULL: none */
} Case;

static const Case cases[] = {
        { "new file is read", LOOK_REGULAR, NEW, .action = ACTION_READ },
        { "new file is sent as new", LOOK_REGULAR, NEW, .bytes = OTHER, .action = ACTION_UPLOAD },
        { "equal stamp settles it", LOOK_REGULAR, CONFIRMED, .action = ACTION_SETTLE, .etag = "\"row\"" },
        { "4.3: after an event the stamp is not believed", LOOK_REGULAR, CONFIRMED, .content = true,
          .action = ACTION_READ },
        { "4.1: any difference is read", LOOK_REGULAR, CONFIRMED, .stamp_differs = true, .action = ACTION_READ },
        { "same bytes, same metadata: nothing", LOOK_REGULAR, CONFIRMED, .content = true, .bytes = SAME,
          .action = ACTION_SETTLE, .etag = "\"row\"" },
        { "same bytes, other mtime: metadata only", LOOK_REGULAR, CONFIRMED, .stamp_differs = true, .bytes = SAME,
          .action = ACTION_METADATA, .etag = "\"row\"" },
        { "10.6: other bytes go under If-Match", LOOK_REGULAR, CONFIRMED, .content = true, .bytes = OTHER,
          .action = ACTION_UPLOAD, .etag = "\"row\"" },
        { "L4: in doubt, ask first", LOOK_REGULAR, NEW, .doubt = true, .bytes = OTHER, .action = ACTION_ASK },
        { "L4: in doubt, even an equal stamp is no answer", LOOK_REGULAR, CONFIRMED, .doubt = true,
          .action = ACTION_READ },
        { "8: our own lost write is taken over", LOOK_REGULAR, NEW, .doubt = true, .bytes = SAME, .cloud = MINE_SAME,
          .action = ACTION_SETTLE, .etag = "\"there\"" },
        { "8: our own lost write of older bytes is replaced, no conflict", LOOK_REGULAR, NEW, .doubt = true,
          .bytes = OTHER, .cloud = MINE_OTHER, .action = ACTION_UPLOAD, .etag = "\"there\"" },
        { "10.6: ours, happened: taken over", LOOK_REGULAR, CONFIRMED, .doubt = true, .bytes = SAME, .cloud = MINE_SAME,
          .action = ACTION_SETTLE, .etag = "\"there\"" },
        { "10.6: has not happened and is not needed, but may come: kept off by another ETag", LOOK_REGULAR, CONFIRMED,
          .doubt = true, .bytes = SAME, .cloud = MINE_KNOWN, .action = ACTION_METADATA, .etag = "\"row\"" },
        { "the blob is gone: sent as new", LOOK_REGULAR, CONFIRMED, .content = true, .bytes = OTHER, .cloud = NOTHING,
          .action = ACTION_UPLOAD },
        { "10.15: theirs is kept", LOOK_REGULAR, CONFIRMED, .content = true, .bytes = OTHER, .cloud = THEIRS_OTHER,
          .action = ACTION_CONFLICT },
        { "10.15: or overwritten, by policy, under their ETag", LOOK_REGULAR, CONFIRMED, .content = true,
          .bytes = OTHER, .cloud = THEIRS_OTHER, .overwrite = true, .action = ACTION_UPLOAD, .etag = "\"there\"" },
        { "theirs with our bytes is taken over, and marked", LOOK_REGULAR, NEW, .doubt = true, .bytes = SAME,
          .cloud = THEIRS_SAME, .action = ACTION_METADATA, .etag = "\"there\"" },
        { "listed stranger's blob with the same bytes", LOOK_REGULAR, FOREIGN, .bytes = SAME, .action = ACTION_METADATA,
          .etag = "\"row\"" },
        { "listed stranger's blob with other bytes", LOOK_REGULAR, FOREIGN, .bytes = OTHER, .action = ACTION_CONFLICT },
        { "a stranger's blob is not believed by its stamp", LOOK_REGULAR, FOREIGN, .action = ACTION_READ },

        { "4.7: a marked copy, and the same stamp: the stamp proves nothing", LOOK_REGULAR, CONFIRMED, .marked = true,
          .action = ACTION_READ },
        { "4.7: it rests with the bytes of the marked copy: the mark goes", LOOK_REGULAR, CONFIRMED, .marked = true,
          .bytes = SAME, .action = ACTION_METADATA, .etag = "\"row\"" },
        { "4.7: it rests with other bytes", LOOK_REGULAR, CONFIRMED, .marked = true, .bytes = OTHER,
          .action = ACTION_UPLOAD, .etag = "\"row\"" },
        { "4.7: a first marked copy", LOOK_REGULAR, NEW, .fuzzy = true, .bytes = OTHER, .action = ACTION_UPLOAD },
        { "4.7: fuzzy bytes equal to what is there: it is marked", LOOK_REGULAR, CONFIRMED, .content = true,
          .fuzzy = true, .bytes = SAME, .action = ACTION_METADATA, .etag = "\"row\"" },
        { "4.7: our own lost marked copy, and the same bytes at rest", LOOK_REGULAR, NEW, .doubt = true, .bytes = SAME,
          .cloud = MINE_SAME, .busy = true, .action = ACTION_METADATA, .etag = "\"there\"" },
        { "4.7: a lost marked copy taken over as one", LOOK_REGULAR, NEW, .doubt = true, .fuzzy = true, .bytes = SAME,
          .cloud = MINE_SAME, .busy = true, .action = ACTION_METADATA, .etag = "\"there\"" },
        { "4.7: and its file is gone", LOOK_ABSENT, CONFIRMED, .marked = true, .was_gone = true,
          .action = ACTION_DELETE, .etag = "\"row\"" },

        { "never stored and gone", LOOK_ABSENT, NEW, .action = ACTION_FORGET },
        { "gone: waits for delete-delay", LOOK_ABSENT, CONFIRMED, .action = ACTION_GONE },
        { "gone long enough: deleted under If-Match", LOOK_ABSENT, CONFIRMED, .was_gone = true, .action = ACTION_DELETE,
          .etag = "\"row\"" },
        { "deletes: keep", LOOK_ABSENT, CONFIRMED, .was_gone = true, .keep = true, .action = ACTION_FORGET },
        { "7.7: a stranger's blob is left alone", LOOK_ABSENT, FOREIGN, .was_gone = true, .action = ACTION_FORGET },
        { "gone in doubt: ask", LOOK_ABSENT, NEW, .doubt = true, .action = ACTION_ASK },
        { "gone in doubt, nothing there", LOOK_ABSENT, NEW, .doubt = true, .cloud = NOTHING, .action = ACTION_FORGET },
        { "gone in doubt, our lost write there: waits, then deleted", LOOK_ABSENT, NEW, .doubt = true,
          .cloud = MINE_OTHER, .action = ACTION_GONE },
        { "gone, but changed by someone else: theirs stays", LOOK_ABSENT, CONFIRMED, .was_gone = true,
          .cloud = THEIRS_OTHER, .action = ACTION_CONFLICT },
        { "gone, changed by someone else, overwrite", LOOK_ABSENT, CONFIRMED, .was_gone = true, .cloud = THEIRS_OTHER,
          .overwrite = true, .action = ACTION_DELETE, .etag = "\"there\"" },
        { "deleted already: nothing left", LOOK_ABSENT, NEW, .was_gone = true, .cloud = NOTHING,
          .action = ACTION_FORGET },

        { "rejected: the blob stays", LOOK_ABSENT, CONFIRMED, .kept = true, .action = ACTION_KEEP },
        { "rejected, and in doubt since", LOOK_ABSENT, CONFIRMED, .kept = true, .doubt = true, .action = ACTION_KEEP },
        { "rejected, something else stands there", LOOK_FOLDER, CONFIRMED, .kept = true, .action = ACTION_KEEP },
        { "5.9: emptied: waits like a deletion", LOOK_REGULAR, CONFIRMED, .emptied = true, .bytes = OTHER,
          .action = ACTION_GONE },
        { "5.9: emptied, and rejected", LOOK_REGULAR, CONFIRMED, .emptied = true, .kept = true, .action = ACTION_KEEP },
        { "rejected, and back with other bytes", LOOK_REGULAR, CONFIRMED, .kept = true, .content = true, .bytes = OTHER,
          .action = ACTION_UPLOAD, .etag = "\"row\"" },

        { "5.9: emptied long enough: sent", LOOK_REGULAR, CONFIRMED, .emptied = true, .was_gone = true, .bytes = OTHER,
          .action = ACTION_UPLOAD, .etag = "\"row\"" },
        { "5.9: emptied while nobody knew that its bytes were stored (8; 9.6): counts as a deletion", LOOK_REGULAR, NEW,
          .doubt = true, .emptied = true, .bytes = OTHER, .cloud = MINE_OTHER, .action = ACTION_GONE },
        { "5.9: a new empty file in place of somebody else's bytes, overwrite: counts as well", LOOK_REGULAR, NEW,
          .doubt = true, .emptied = true, .bytes = OTHER, .cloud = THEIRS_OTHER, .overwrite = true,
          .action = ACTION_GONE },
        { "5.9: and of what a listing showed of them", LOOK_REGULAR, FOREIGN, .emptied = true, .bytes = OTHER,
          .overwrite = true, .action = ACTION_GONE },
        { "a new empty file, and somebody else's bytes, keep", LOOK_REGULAR, NEW, .doubt = true, .emptied = true,
          .bytes = OTHER, .cloud = THEIRS_OTHER, .action = ACTION_CONFLICT },
        { "a new empty file is sent as new", LOOK_REGULAR, NEW, .emptied = true, .bytes = OTHER,
          .action = ACTION_UPLOAD },

        { "5.2: a link is skipped", LOOK_SYMLINK, NEW, .action = ACTION_SKIP },
        { "a file became a link: its blob goes first", LOOK_SYMLINK, CONFIRMED, .action = ACTION_GONE },
        { "5.1: a pipe is skipped", LOOK_SPECIAL, NEW, .action = ACTION_SKIP },
        { "5.7: a file became a folder: its blob goes", LOOK_FOLDER, CONFIRMED, .was_gone = true,
          .action = ACTION_DELETE, .etag = "\"row\"" },
        { "a folder is no path of its own", LOOK_FOLDER, NEW, .action = ACTION_FORGET },
};

static void check(const Case *c) {
        static const uint8_t here[16] = { 1 }, other[16] = { 2 };
        Stamp stamp = { .size = 5, .mtime_ns = 7, .ino = 9, .mode = 0100644, .uid = 1, .gid = 2 };
        Row *row = calloc(1, sizeof(*row));
        ListedBlob blob = { .size = 5, .has_md5 = true };
        PlanInput in = {
                .look = c->look,
                .stamp = c->look == LOOK_ABSENT ? NULL : &stamp,
                .md5 = c->bytes == UNREAD ? NULL : here,
                .row = row,
                .fuzzy = c->fuzzy,
                .was_gone = c->was_gone,
                .blob = &blob,
                .writer = OURS,
                .keep_deleted = c->keep,
                .overwrite = c->overwrite,
        };
        Plan p;

        assert_non_null(row);
        row->confirmed = c->know != NEW;
        row->foreign = c->know == FOREIGN;
        row->content = c->content;
        row->doubt = c->doubt;
        row->kept = c->kept;
        row->marked = c->marked;
        blob.busy = c->busy;
        if (row->confirmed) {
                (void) snprintf(row->etag, sizeof(row->etag), "\"row\"");
                row->has_md5 = true;
                memcpy(row->md5, c->bytes == OTHER ? other : here, 16);
                row->stamp = stamp;
                row->stamp.mtime_ns += c->stamp_differs;
        }
        if (c->emptied)
                stamp.size = 0;
        in.remote = c->cloud == UNASKED ? REMOTE_UNASKED : c->cloud == NOTHING ? REMOTE_ABSENT : REMOTE_PRESENT;
        (void) snprintf(blob.etag, sizeof(blob.etag), "\"there\"");
        if (c->cloud == MINE_KNOWN)
                (void) snprintf(blob.etag, sizeof(blob.etag), "\"row\"");
        if (c->cloud == MINE_SAME || c->cloud == MINE_KNOWN || c->cloud == MINE_OTHER)
                (void) snprintf(blob.writer, sizeof(blob.writer), OURS);
        memcpy(blob.md5, c->cloud == MINE_SAME || c->cloud == MINE_KNOWN || c->cloud == THEIRS_SAME ? here : other, 16);
        (void) snprintf(blob.modtime, sizeof(blob.modtime), "7");
        (void) snprintf(blob.permissions, sizeof(blob.permissions), "%u", 0100644U);
        (void) snprintf(blob.owner, sizeof(blob.owner), "1");
        (void) snprintf(blob.group, sizeof(blob.group), "2");

        p = plan(&in);
        if (p.action != c->action)
                print_error("%s: action %i, not %i\n", c->what, (int) p.action, (int) c->action);
        assert_int_equal(p.action, c->action);
        if (c->etag)
                assert_string_equal(p.etag, c->etag);
        if (p.action == ACTION_UPLOAD && !c->etag)
                assert_null(p.etag);
        if (p.action == ACTION_CONFLICT || p.action == ACTION_SKIP || p.action == ACTION_KEEP)
                assert_non_null(p.reason);
        free(row);
}

static void test_table(void **state) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                check(&cases[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_table) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
