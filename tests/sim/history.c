/* One history: begin, what happens, and then calm, people who do what they are asked to, and the last questions. */
#include "sim.h"

#include "sync/state.h"
#include "watch/watcher.h"

#include <string.h>

static void settings_make(void) {
        settings = (Settings){
                .overwrite = below(BY_OPS, 4) == 0,
                .keep = below(BY_OPS, 8) == 0,
                .exclude = below(BY_OPS, 2),
                .create_container = below(BY_OPS, 8) > 0,
                .poll = below(BY_OPS, 16) == 0,
                .sas = below(BY_OPS, 8) == 0,
                .guard_files = below(BY_OPS, 3) ? 2 + below(BY_OPS, 4) : 1000,
                .prefix = below(BY_OPS, 3),
                .transfers = 1 + below(BY_OPS, 3) * 4,
        };
        tree_begin(below(BY_OPS, 3) == 0);
        kernel_forget();
        if (below(BY_OPS, 4) == 0)
                kernel_limits(4 + below(BY_OPS, 30), 1000);
        else if (below(BY_OPS, 8) == 0)
                kernel_limits(200, 1 + below(BY_OPS, 3));
        if (below(BY_OPS, 16) == 0)
                kernel_deaf(true);
        walk_slowly(0);
        read_badly(0);
}

/* What was there before the daemon ever ran. */
static void first_things(void) {
        unsigned n = below(BY_OPS, 4) ? below(BY_OPS, 8) : 24;

        if (!settings.create_container || below(BY_OPS, 4) == 0) {
                service_container(true);
                for (unsigned i = below(BY_OPS, 4); i > 0; i--) {
                        char name[PATH_ROOM];

                        (void) snprintf(name, sizeof(name), "%s%s%c", i % 2 ? daemon_prefix() : "other",
                                        daemon_prefix()[0] || i % 2 == 0 ? "/" : "", (char) ('a' + i % 3));
                        service_stranger(name, false);
                }
        }
        for (unsigned i = 0; i < n; i++)
                op_do(&(Op){ .kind = i % 5 == 4 ? 7 : 0, .a = below(BY_OPS, 1000), .b = below(BY_OPS, 12), .c = i });
}

/* --- the end --- */

static void make_calm(void) {
        world.calm = true;
        net_calm();
        disk_calm();
        walk_slowly(0);
        read_badly(0);
        tree_mount(MOUNT_THERE);
        service_container(true);
        for (Inode *i = world.all; i; i = i->next) {
                if (i->unreadable)
                        i->ctime = stamp_now();
                i->unreadable = false;
                if (i->untold.now) { /* what no event and no stamp told, and never will: somebody saves it once more */
                        tree_touched(i, true);
                        tree_says(i, WATCH_CONTENT | WATCH_CLOSED);
                }
        }
        check_tree_changed();
}

static Mapping *mapping(void) {
        return engine && engine->sync.n_mappings > 0 ? engine->sync.mappings[0] : NULL;
}

/* Nothing is left to do but what only somebody's decision about a conflict can change. */
static bool is_quiet(void) {
        const Mapping *m = mapping();
        const JournalCounts *c;

        if (!m || !net_quiet())
                return false;
        if (mapping_in_sync(m))
                return true;
        c = journal_counts(engine->sync.journal, m->record.id);
        return mapping_runs(m) && m->record.contacted && m->scanned_once && !m->record.scan && !mapping_scanning(m) &&
               c->busy == 0 && mapping_pending(m) == 0 && c->state[PATH_FAILED] == 0 && c->state[PATH_HELD] == 0 &&
               c->state[PATH_CONFLICT] > 0;
}

static void help(unsigned round) {
        const Mapping *m = mapping();
        const JournalCounts *c;

        if (!m)
                return;
        c = journal_counts(engine->sync.journal, m->record.id);
        if (m->record.paused)
                (void) daemon_verb(ENGINE_RESUME);
        else if (m->block == BLOCK_CONTAINER)
                (void) daemon_verb(ENGINE_RESCAN);
        else if (m->block != BLOCK_NONE)
                (void) daemon_verb(ENGINE_APPROVE);
        else if (c->state[PATH_HELD] > 0)
                (void) daemon_verb(below(BY_PERSON, 3) ? ENGINE_APPROVE : ENGINE_REJECT);
        else if (c->state[PATH_FAILED] > 0)
                (void) daemon_verb(round % 2 ? ENGINE_RESCAN : ENGINE_RETRY);
}

#define ROUNDS 24u

static void settle(void) {
        unsigned round = 0;

        do {
                if (!engine)
                        daemon_start();
                help(round);
                daemon_run(now() + (round < 4 ? MINUTE : HOUR));
        } while (!failed() && ++round < ROUNDS && !is_quiet());
        if (!failed() && !is_quiet())
                fail("stuck", "%s after %u hours of calm", mapping() ? mapping_state(mapping()) : "not running",
                     ROUNDS);
}

/* Hours in which nothing happens, cut where they only repeat what was seen: a root that is another one is looked at
 * every five seconds until somebody says that it is right, and what is polled is compared every half a minute. */
static void hours(int64_t n) {
        const Mapping *m;
        int64_t rest = n * HOUR - 15 * MINUTE;

        daemon_run(now() + 15 * MINUTE);
        m = mapping();
        if (m && m->block == BLOCK_ROOT)
                (void) daemon_verb(ENGINE_APPROVE);
        daemon_run(now() + (m && m->scanned_once && mapping_polled(m) ? rest / 4 : rest));
}

static void the_end(void) {
        make_calm();
        hours(3); /* files that never rest have come to rest, and zombies have acted */
        make_calm();
        settle();
        (void) daemon_verb(ENGINE_RESCAN); /* blobs that came when nobody waited for them any more */
        settle();
        hours(2); /* and another comparison changes nothing */
        for (unsigned i = 0; i < 20 && !failed() && !is_quiet(); i++)
                daemon_run(now() + SECOND); /* one may be under way */
        if (!failed() && !is_quiet())
                fail("restless", "%s again after hours of calm", mapping() ? mapping_state(mapping()) : "not running");
        if (!failed())
                check_final();
}

void history_run(uint64_t seed, const Op *ops, unsigned n, Result *ret) {
        clock_begin(seed);
        for (unsigned i = 0; i < 1000; i++) /* the operations were drawn from the same numbers */
                (void) draw(BY_OPS);
        check_begin();
        cloud_begin();
        settings_make();
        service_begin();
        net_begin();
        disk_begin();
        daemon_begin();
        first_things();
        check_tree_changed();
        daemon_start();
        for (unsigned i = 0; i < n && !failed(); i++) {
                daemon_run(now() + ops[i].delay);
                if (!failed())
                        op_do(&ops[i]);
        }
        if (!failed())
                the_end();
        *ret = (Result){ .failed = failed(), .trace = trace(), .n_ops = n };
        (void) snprintf(ret->kind, sizeof(ret->kind), "%s", failure_kind());
        (void) snprintf(ret->text, sizeof(ret->text), "%s", failure());
        ret->requests = service.puts + service.copies;
        ret->deletes = service.deletes;
        daemon_end();
        net_end();
        clock_end();
        tree_end();
}
