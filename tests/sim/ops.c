/* What happens: to the tree, to the kernel's queue, to the service, to the machine, and what people do. A history is a
 * list of these, made from its seed before it begins, so that it can be played again with some of them left out. */
#include "ops.h"

#include "sync/engine.h"

#include <assert.h>
#include <string.h>

/* --- the kernel, the service, the machine --- */

static void do_stall(const Op *op) {
        kernel_stall(between(BY_OPS, SECOND / 10, MINUTE));
}

static void do_slow_walk(const Op *op) {
        walk_slowly(op->a % 2 ? SECOND : 0);
}

static void do_bad_reads(const Op *op) {
        read_badly(op->a % 2 ? 100 : 0);
}

static void do_net(const Op *op) {
        net_fault((NetFault) (1 + op->a % (_NET_FAULTS - 1)), between(BY_OPS, SECOND, op->b % 4 ? MINUTE : 2 * HOUR));
}

static void do_stranger(const Op *op) {
        char name[PATH_ROOM * 2];

        if (op->b % 4 && service.n > 0)
                (void) snprintf(name, sizeof(name), "%s", service.blobs[op->a % service.n].name);
        else if (op->b % 8 == 0)
                (void) snprintf(name, sizeof(name), "other/%u", op->a % 4);
        else
                (void) snprintf(name, sizeof(name), "%s%s%s", daemon_prefix(), daemon_prefix()[0] ? "/" : "",
                                ops_names[op->a % 3]);
        service_stranger(name, op->c % 4 == 0);
}

static void on_container(void *data) {
        service_container(true);
}

static void do_container(const Op *op) {
        service_container(false);
        if (op->a % 2)
                (void) after(between(BY_OPS, SECOND, HOUR), on_container, NULL);
}

static void do_kill(const Op *op) {
        if (op->a % 3 == 0)
                daemon_crash(op->b % 2);
        else if (engine)
                disk_kill_at(1 + op->a % 60, op->b % 2);
}

static void do_term(const Op *op) {
        daemon_stop();
        daemon_restart_in(between(BY_OPS, SECOND / 10, op->a % 4 ? MINUTE : HOUR));
}

static void do_disk_full(const Op *op) {
        disk_full(between(BY_OPS, SECOND / 10, op->a % 4 ? MINUTE : HOUR));
}

static void do_sync_error(const Op *op) {
        disk_sync_error(1 + op->a % 8);
}

/* Not while the disk is away: then the folder that the new journal takes for the root would be the wrong one. */
static void do_damage(const Op *op) {
        if (!engine || world.mounted != MOUNT_THERE)
                return;
        daemon_crash(false);
        if (disk_damage()) /* the new one will take any root */
                world.pinned = false;
}

static void do_clock(const Op *op) {
        wall_jump((op->a % 2 ? 1 : -1) * between(BY_OPS, SECOND, 2 * HOUR));
        check_clock_jumped();
}

/* --- people --- */

static void do_verb(const Op *op) {
        if (op->a % 6 != ENGINE_APPROVE || daemon_sees_disk()) /* nobody takes an empty folder for the disk */
                (void) daemon_verb(op->a % 6);
}

static void do_pause(const Op *op) {
        (void) daemon_verb(op->a % 2 ? ENGINE_PAUSE : ENGINE_RESUME);
}

static void do_decide(const Op *op) {
        if (daemon_sees_disk())
                (void) daemon_verb(op->a % 3 ? ENGINE_APPROVE : ENGINE_REJECT);
}

static void do_wait(const Op *op) {
        daemon_wait();
}

static void do_reload(const Op *op) {
        settings.transfers = 1 + op->a % 3 * 4;
        settings.delay = op->b % 3;
        settings.bandwidth = op->c % 4 ? 0 : UINT64_C(1) << (18 + op->c % 5);
        daemon_reload();
}

static void do_nothing(const Op *op) {
}

static const struct {
        const char *name;
        unsigned weight;
        bool tree; /* changes it */
        void (*fn)(const Op *op);
} kinds[] = {
        { "create", 24, true, do_create },
        { "write", 14, true, do_write },
        { "append", 6, true, do_append },
        { "truncate", 4, true, do_truncate },
        { "save", 6, true, do_save },
        { "delete", 9, true, do_delete },
        { "rename", 9, true, do_rename },
        { "mkdir", 7, true, do_mkdir },
        { "rename-folder", 6, true, do_rename_folder },
        { "remove-folder", 2, true, do_remove_folder },
        { "delete-some", 4, true, do_delete_some },
        { "link", 3, true, do_link },
        { "chmod", 2, true, do_chmod },
        { "backdate", 3, true, do_backdate },
        { "map", 4, true, do_map },
        { "write-back", 2, false, do_writeback },
        { "symlink", 2, true, do_symlink },
        { "swap-kind", 3, true, do_swap_kind },
        { "restore", 5, true, do_restore },
        { "copy", 3, true, do_copy },
        { "unreadable", 2, true, do_unreadable },
        { "empty-all", 1, true, do_empty_all },
        { "unmount", 2, true, do_unmount },
        { "replace-root", 1, true, do_replace_root },
        { "stall", 4, false, do_stall },
        { "slow-walk", 2, false, do_slow_walk },
        { "bad-reads", 2, false, do_bad_reads },
        { "net", 10, false, do_net },
        { "stranger", 3, false, do_stranger },
        { "container", 1, false, do_container },
        { "kill", 7, false, do_kill },
        { "term", 2, false, do_term },
        { "disk-full", 2, false, do_disk_full },
        { "sync-error", 1, false, do_sync_error },
        { "damage", 1, false, do_damage },
        { "clock", 1, false, do_clock },
        { "verb", 3, false, do_verb },
        { "pause", 2, false, do_pause },
        { "decide", 4, false, do_decide },
        { "wait", 8, false, do_wait },
        { "reload", 2, false, do_reload },
        { "pass", 4, false, do_nothing },
        { "restless", 0, true, do_restless },
};

void op_do(const Op *op) {
        SAY("-- %s %u %u %u", kinds[op->kind].name, op->a, op->b, op->c);
        kinds[op->kind].fn(op);
        if (kinds[op->kind].tree)
                check_tree_changed();
}

void op_print(const Op *op, FILE *f) {
        (void) fprintf(f, "  +%.3f s: %s %u %u %u\n", (double) op->delay / 1e9, kinds[op->kind].name, op->a, op->b,
                       op->c);
}

static bool is_delete_some(const Op *op) {
        return kinds[op->kind].fn == do_delete_some;
}

unsigned ops_make(uint64_t seed, unsigned steps, Op *ops) {
        unsigned total = 0, bias = below(BY_OPS, 4);

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                total += kinds[i].weight;
        for (unsigned i = 0; i < steps; i++) {
                unsigned roll = below(BY_OPS, total), kind = 0;
                unsigned pace = below(BY_OPS, 100);

                while (roll >= kinds[kind].weight)
                        roll -= kinds[kind++].weight;
                if (kinds[kind].fn == do_nothing && below(BY_OPS, 12) == 0)
                        kind = ELEMENTSOF(kinds) - 1; /* rare: it takes long */
                ops[i] = (Op){ .kind = (unsigned char) kind,
                               .a = below(BY_OPS, 1000),
                               .b = below(BY_OPS, 1000),
                               .c = below(BY_OPS, 1000) };
                /* bursts, pauses in which things settle, and now and then hours */
                if (pace < 50 + bias * 10)
                        ops[i].delay = between(BY_OPS, 0, SECOND / 10);
                else if (pace < 97)
                        ops[i].delay = between(BY_OPS, SECOND / 100, 30 * SECOND);
                else
                        ops[i].delay = between(BY_OPS, MINUTE, 2 * HOUR);
                /* before it they are stored, most times, and after it their deletions become due */
                if (ops[i].a % 4 && (is_delete_some(&ops[i]) || (i > 0 && is_delete_some(&ops[i - 1]))))
                        ops[i].delay = MAX(ops[i].delay, 45 * SECOND);
        }
        return steps;
}
