/* The configuration: DIR/azsyncd.yaml and DIR/mappings.d/NAME.yaml -> one immutable Config (design.md 2). Every bad
 * input is refused with "file:line:column: key: what was expected"; the first error is in `e`, and all of them (the
 * first 20, then "... and more") go to `report`. Secrets are read here, so that a bad one keeps the old configuration
 * in force, and wiped when freed. */
#pragma once

#include "config/bandwidth.h"
#include "util/buf.h"
#include "util/error.h"
#include "util/ignore.h"

typedef enum AuthMethod { AUTH_SHARED_KEY, AUTH_SAS } AuthMethod;

typedef struct AccountConfig {
        char *name;     /* key under accounts: */
        char *account;  /* name in signatures; "" for SAS without one */
        char *endpoint; /* URL without trailing '/' */
        AuthMethod method;
        char *secret;      /* Base64 key, or the SAS without '?'; NULL: see secrets_elsewhere */
        char *secret_file; /* where it was read, from {file:}; NULL: elsewhere, where a reload finds nothing new */
        char *ca_file;     /* NULL */
        char *proxy;       /* NULL */
} AccountConfig;

typedef enum DeletePolicy { DELETES_MIRROR, DELETES_KEEP } DeletePolicy;
typedef enum ConflictPolicy { CONFLICT_KEEP, CONFLICT_OVERWRITE } ConflictPolicy;
typedef enum WatchMode { WATCH_MODE_AUTO, WATCH_MODE_INOTIFY, WATCH_MODE_POLL } WatchMode;

typedef struct MappingConfig {
        char *name;                   /* NAME of NAME.yaml: 1-64 of A-Z a-z 0-9 . _ -, not starting with . or - */
        char *file;                   /* its path, for messages */
        char *folder;                 /* absolute, normalised, no symlink in it as far as it exists */
        const AccountConfig *account; /* borrowed from the Config */
        char *container;
        char *prefix; /* expanded, no leading or trailing '/'; "" if none */
        bool create_container;
        Ignore *exclude;
        char *exclude_text; /* the patterns joined by '\n': differs if a reload changed them */
        DeletePolicy deletes;
        int64_t delete_delay_ns;
        ConflictPolicy conflict;
        WatchMode watch;
        int64_t rescan_ns;
        unsigned guard_files, guard_percent; /* deletions within an hour; more than either is held */
        int64_t alert_after_ns;              /* one loud line when the oldest unsynced change is older */
        Bandwidth bandwidth;
} MappingConfig;

typedef struct Config {
        AccountConfig *accounts;
        size_t n_accounts;
        MappingConfig *mappings; /* sorted by name */
        size_t n_mappings;
        unsigned transfers;  /* 0: auto */
        uint64_t memory;     /* bytes of file data in flight */
        Bandwidth bandwidth; /* of all mappings together */
        Buf warnings;        /* one a line: {env:} secrets, a SAS that ends soon, ... */
} Config;

/* A file as it would be: it is read in the place of what is on the disk, so that a change can be judged before it is
 * made. */
typedef struct ConfigDraft {
        const char *path; /* CONFIG_DIR/azsyncd.yaml, CONFIG_DIR/mappings.d/NAME.yaml, or that of a {file:} */
        const char *text; /* NULL: as if it were not there */
        size_t size;
        bool hidden; /* nobody but its owner will be able to read it */
} ConfigDraft;

typedef struct ConfigPlaces {
        const char *config_dir; /* missing azsyncd.yaml or mappings.d is not an error: an empty configuration */
        const char *state_dir;  /* no mapped folder may hold it (pitfalls 1.16, by device and inode) */
        const ConfigDraft *drafts;
        size_t n_drafts;
        bool secrets_elsewhere; /* a key or SAS that only azsyncd gets at (a credential, its environment, a file of its
                                   own) is no mistake: it stays NULL */
} ConfigPlaces;

/* 0 and *ret; -EINVAL with `e` (domain CONFIG) and every complaint in `report`, a line each. */
int config_load(Config **ret, const ConfigPlaces *places, Buf *report, Error *e) _must_check_;
Config *config_free(Config *c);
DEFINE_CLEANUP(Config *, config_free);
const MappingConfig *config_find(const Config *c, const char *name);

/* May it name a mapping or an account? */
bool config_good_name(const char *name) _pure_;
#define CONFIG_NAME_MAX 64u

/* One file's text, for the fuzzer and unit tests: `name` NULL: azsyncd.yaml, else a mapping. No file system is touched
 * but for secrets; a mapping's account is not looked up and stays NULL. */
int config_parse_text(Config **ret, const char *file, const char *mapping_name, const char *text, size_t size,
                      Buf *report, Error *e) _must_check_;

/* The schema, for man pages, --help and their test: every key a person may write, "supported" or "not yet". */
typedef struct ConfigKey {
        const char *where; /* "azsyncd.yaml", "account", "mapping" */
        const char *key;
        const char *expects; /* "a duration such as 5s, 10m, 1h" */
        bool supported;
} ConfigKey;
extern const ConfigKey config_keys[];
extern const size_t n_config_keys;
