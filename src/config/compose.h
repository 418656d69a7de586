/* The configuration as text: what azsyncctl add writes, so that the loader reads exactly what was meant. Pure. */
#pragma once

#include "config/config.h"

/* A mapping as it is to be written. */
typedef struct MappingText {
        const char *folder;
        const char *account; /* a name in azsyncd.yaml */
        const char *container;
        const char *prefix; /* to be taken literally; "" */
        char *const *exclude;
        size_t n_exclude;
} MappingText;

/* Appends the text of mappings.d/NAME.yaml. -EINVAL: something in it is not UTF-8, so YAML cannot say it (`e` names
 * what); -EMSGSIZE, -ENOMEM. What the loader thinks of the values is not asked. */
int compose_mapping(Buf *ret, const MappingText *mapping, Error *e) _must_check_;

/* An account as it is to be written. */
typedef struct AccountText {
        const char *name;
        const char *endpoint;
        AuthMethod method;
        const char *secret_file; /* NULL: the emulator at its usual place, whose key is no secret */
} AccountText;

/* Appends azsyncd.yaml's `text` with the account behind the others in it, and everything else as it was, byte for byte.
 * -ENOTSUP: where it belongs cannot be told (accounts in braces, say), or the result would not say the same plus this
 * account; a person can write it then, as compose_account() has it. */
int compose_add_account(Buf *ret, const char *text, size_t size, const AccountText *account, Error *e) _must_check_;

/* Appends the account alone, each line behind `indent` blanks. */
int compose_account(Buf *ret, const AccountText *account, size_t indent, Error *e) _must_check_;

/* A name for the mapping of `folder`, made of its last part, and so that `taken` says no. */
void compose_name(const char *folder, bool (*taken)(const char *name, const void *userdata), const void *userdata,
                  char ret[static CONFIG_NAME_MAX + 1]);
