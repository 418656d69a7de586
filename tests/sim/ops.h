/* What happens to the tree (treeops.c), for the table in ops.c. */
#pragma once

#include "sim.h"

extern const char *const ops_names[8];

void do_create(const Op *op);
void do_write(const Op *op);
void do_restless(const Op *op);
void do_append(const Op *op);
void do_truncate(const Op *op);
void do_save(const Op *op);
void do_delete(const Op *op);
void do_delete_some(const Op *op);
void do_rename(const Op *op);
void do_mkdir(const Op *op);
void do_rename_folder(const Op *op);
void do_remove_folder(const Op *op);
void do_link(const Op *op);
void do_chmod(const Op *op);
void do_backdate(const Op *op);
void do_map(const Op *op);
void do_writeback(const Op *op);
void do_symlink(const Op *op);
void do_swap_kind(const Op *op);
void do_restore(const Op *op);
void do_copy(const Op *op);
void do_unreadable(const Op *op);
void do_empty_all(const Op *op);
void do_unmount(const Op *op);
void do_replace_root(const Op *op);
