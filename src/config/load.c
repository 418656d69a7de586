/* The files in the configuration directory -> one Config. */
#include "config/parts.h"
#include "config/value.h"
#include "util/clock.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAPPINGS_MAX 1000u
#define ACCOUNTS_MAX 64u
#define MEMORY_USUAL (UINT64_C(64) << 20)
#define MEMORY_LEAST (UINT64_C(16) << 20) /* a block of a large file, and as much for small ones beside it */
#define MEMORY_MOST (UINT64_C(64) << 30)
#define PATIENCE (2 * NSEC_PER_SEC) /* the loop stands still meanwhile, should a mount hang */
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

Config *config_free(Config *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < c->n_mappings; i++)
                mapping_config_done(&c->mappings[i]);
        free(c->mappings);
        for (size_t i = 0; i < c->n_accounts; i++)
                account_config_done(&c->accounts[i]);
        free(c->accounts);
        free(c->bandwidth.spans);
        buf_done(&c->warnings);
        free(c);
        return NULL;
}

const MappingConfig *config_find(const Config *c, const char *name) {
        for (size_t i = 0; i < c->n_mappings; i++)
                if (strcmp(c->mappings[i].name, name) == 0)
                        return &c->mappings[i];
        return NULL;
}

bool config_good_name(const char *name) {
        size_t size = strlen(name);

        return size >= 1 && size <= CONFIG_NAME_MAX && strspn(name, NAME_CHARS) == size && name[0] != '.' &&
               name[0] != '-';
}

static int read_accounts(ConfigReader *c, const Node *n) {
        int r = 0;

        if (n->kind != NODE_MAP)
                return config_refuse(c, n, "accounts", "expected accounts by name, each with its keys below it");
        if (n->n / 2 > ACCOUNTS_MAX)
                return config_refuse(c, n, "accounts", "more than %u accounts", ACCOUNTS_MAX);
        c->config->accounts = calloc(n->n / 2 + 1, sizeof(AccountConfig));
        if (!c->config->accounts)
                return config_refuse(c, n, "accounts", "out of memory");
        for (size_t i = 0; i + 1 < n->n; i += 2) {
                if (!config_good_name(n->items[i]->text)) {
                        r = config_refuse(c, n->items[i], "accounts",
                                          "\"%s\" is no name; expected 1 to 64 of A-Z a-z 0-9 . _ -",
                                          SHOWN(n->items[i]->text));
                        continue;
                }
                if (account_read(c, n->items[i], n->items[i + 1], &c->config->accounts[c->config->n_accounts++]) < 0)
                        r = -EINVAL;
        }
        return r;
}

static int read_daemon(ConfigReader *c, const Node *root) {
        const Node *n;
        int r;

        if (!root)
                return 0;
        r = schema_check(c, root, "azsyncd.yaml");
        if (root->kind != NODE_MAP)
                return -EINVAL;
        if ((n = node_get(root, "accounts")) && !(n->kind == NODE_SCALAR && !n->quoted && n->text[0] == '\0') &&
            read_accounts(c, n) < 0)
                r = -EINVAL;
        if ((n = node_get(root, "transfers")) && !(n->kind == NODE_SCALAR && strcmp(n->text, "auto") == 0) &&
            value_number(c, n, "azsyncd.yaml", "transfers", 1, 1000, &c->config->transfers) < 0)
                r = -EINVAL;
        if ((n = node_get(root, "memory")) &&
            value_size(c, n, "azsyncd.yaml", "memory", MEMORY_LEAST, MEMORY_MOST, &c->config->memory) < 0)
                r = -EINVAL;
        if ((n = node_get(root, "bandwidth")) && bandwidth_read(c, n, "azsyncd.yaml", &c->config->bandwidth) < 0)
                r = -EINVAL;
        return r;
}

static int read_text(ConfigReader *c, const char *mapping, const char *text, size_t size) {
        _cleanup_(node_freep) Node *root = NULL;
        MappingConfig *more;
        MappingMarks *marks;
        Error e = ERROR_NULL;

        if (yaml_parse(&root, c->file, text, size, &e) < 0)
                return config_note(c, &e);
        if (!mapping)
                return read_daemon(c, root);
        if (!config_good_name(mapping))
                return config_refuse(c, NULL, NULL,
                                     "\"%s\" is no mapping name; expected 1 to 64 of A-Z a-z 0-9 . _ - before .yaml",
                                     SHOWN(mapping));
        more = reallocarray(c->config->mappings, c->config->n_mappings + 1, sizeof(*more));
        if (!more)
                return config_refuse(c, NULL, NULL, "out of memory");
        c->config->mappings = more;
        marks = reallocarray(c->marks, c->config->n_mappings + 1, sizeof(*marks));
        if (!marks)
                return config_refuse(c, NULL, NULL, "out of memory");
        c->marks = marks;
        more[c->config->n_mappings] = (MappingConfig){ 0 };
        marks[c->config->n_mappings] = (MappingMarks){ 0 };
        c->config->n_mappings++;
        return mapping_read(c, mapping, root, &more[c->config->n_mappings - 1], &marks[c->config->n_mappings - 1]);
}

static int read_file(ConfigReader *c, const char *path, const char *mapping) {
        const ConfigDraft *draft = config_draft(c, path);
        _cleanup_buf_ Buf text = BUF_INIT(YAML_FILE_MAX);
        Error e = ERROR_NULL;
        struct stat st;
        int r;

        c->file = path;
        if (draft) {
                c->file_private = draft->hidden;
                return draft->text ? read_text(c, mapping, draft->text, draft->size) : 0;
        }
        r = yaml_read_file(&text, path, &c->file_private, &e);
        if (r == -ENOENT && !mapping && lstat(path, &st) < 0)
                return 0; /* none is an empty configuration; a link to nothing is a mistake */
        r = r < 0 ? config_note(c, &e) : read_text(c, mapping, buf_text(&text), text.size);
        if (text.data)
                explicit_bzero(text.data, text.size);
        return r;
}

static int by_text(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Takes the name of `entry` in `dir` among the mappings, without its ".yaml"; what is none is passed over. */
static int list_entry(ConfigReader *c, const char *entry, char *ret[static MAPPINGS_MAX], size_t *ret_n) {
        size_t size = strlen(entry);

        if (entry[0] == '.')
                return 0;
        if (size > 4 && strcmp(entry + size - 4, ".yml") == 0)
                return config_warn(c, NULL, NULL, "%s is ignored; expected a name that ends in .yaml", SHOWN(entry));
        if (size <= 5 || strcmp(entry + size - 5, ".yaml") != 0)
                return 0;
        if (*ret_n == MAPPINGS_MAX)
                return config_refuse(c, NULL, NULL, "more than %u mappings", MAPPINGS_MAX);
        ret[*ret_n] = strndup(entry, size - 5);
        if (!ret[*ret_n])
                return config_refuse(c, NULL, NULL, "out of memory");
        (*ret_n)++;
        return 0;
}

/* Those that are not on the disk yet. */
static int list_drafts(ConfigReader *c, const char *dir, char *ret[static MAPPINGS_MAX], size_t *ret_n) {
        size_t size = strlen(dir), n = *ret_n;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < c->places->n_drafts; i++) {
                const ConfigDraft *d = &c->places->drafts[i];
                const char *entry = d->path + size + 1;
                bool there = !d->text || strncmp(d->path, dir, size) != 0 || d->path[size] != '/';

                for (size_t k = 0; k < n && !there; k++)
                        there = strncmp(entry, ret[k], strlen(ret[k])) == 0 &&
                                strcmp(entry + strlen(ret[k]), ".yaml") == 0;
                if (!there)
                        r = list_entry(c, entry, ret, ret_n);
        }
        return r;
}

/* The names of the mappings in `dir`, as they come. */
static int list_mappings(ConfigReader *c, const char *dir, char *ret[static MAPPINGS_MAX], size_t *ret_n) {
        DIR *d = opendir(dir);
        int r = 0;

        if (!d)
                return errno == ENOENT ? 0 : config_refuse(c, NULL, NULL, "cannot be read: %s", strerror(errno));
        while (r >= 0) {
                const struct dirent *entry;

                errno = 0;
                entry = readdir(d);
                if (!entry) {
                        if (errno != 0)
                                r = config_refuse(c, NULL, NULL, "cannot be read: %s", strerror(errno));
                        break;
                }
                r = list_entry(c, entry->d_name, ret, ret_n);
        }
        (void) closedir(d);
        return r;
}

static int read_mappings(ConfigReader *c, const char *dir) {
        char *names[MAPPINGS_MAX];
        size_t n = 0;
        int r;

        c->file = dir;
        r = list_mappings(c, dir, names, &n);
        if (r >= 0)
                r = list_drafts(c, dir, names, &n);
        /* sorted, so that messages come in one order */
        qsort(names, n, sizeof(*names), by_text);
        for (size_t i = 0; i < n; i++) {
                char path[4096];

                c->file = dir;
                if (snprintf(path, sizeof(path), "%s/%s.yaml", dir, names[i]) >= (int) sizeof(path))
                        r = config_refuse(c, NULL, NULL, "the path is too long");
                else if (read_file(c, path, names[i]) < 0)
                        r = -EINVAL;
                c->file = dir;
                free(names[i]);
        }
        return r;
}

static int by_name(const void *a, const void *b) {
        return strcmp(((const MappingConfig *) a)->name, ((const MappingConfig *) b)->name);
}

static int config_begin(ConfigReader *c, Buf *report, Error *e) {
        Config *config = calloc(1, sizeof(*config));

        if (!config) {
                (void) error_oom(e);
                return -ENOMEM;
        }
        config->warnings = BUF_INIT((size_t) 64 * 1024);
        config->memory = MEMORY_USUAL;
        *c = (ConfigReader){ .config = config, .report = report, .first = e, .patience = PATIENCE };
        return 0;
}

int config_load(Config **ret, const ConfigPlaces *places, Buf *report, Error *e) {
        _cleanup_(config_freep) Config *config = NULL;
        char path[4096];
        ConfigReader c;
        int r;

        assert(ret && places && places->config_dir);

        r = config_begin(&c, report, e);
        if (r < 0)
                return r;
        config = c.config;
        c.places = places;
        if (snprintf(path, sizeof(path), "%s/azsyncd.yaml", places->config_dir) >= (int) sizeof(path))
                return error_set(e, -EINVAL, ERROR_CONFIG, 1, "%s:1:1: the path is too long", places->config_dir);
        r = read_file(&c, path, NULL);
        c.accounts_unknown = r < 0 && config->n_accounts == 0;
        (void) snprintf(path, sizeof(path), "%s/mappings.d", places->config_dir);
        if (read_mappings(&c, path) < 0)
                r = -EINVAL;
        if (r >= 0)
                r = config_check(&c, places->state_dir);
        free(c.marks);
        if (r < 0)
                return -EINVAL;
        if (config->n_mappings > 0)
                qsort(config->mappings, config->n_mappings, sizeof(*config->mappings), by_name);
        *ret = TAKE_PTR(config);
        return 0;
}

int config_parse_text(Config **ret, const char *file, const char *mapping_name, const char *text, size_t size,
                      Buf *report, Error *e) {
        _cleanup_(config_freep) Config *config = NULL;
        ConfigReader c;
        int r;

        r = config_begin(&c, report, e);
        if (r < 0)
                return r;
        config = c.config;
        c.file = file;
        c.text_only = true;
        r = read_text(&c, mapping_name, text, size);
        free(c.marks);
        if (r < 0)
                return -EINVAL;
        *ret = TAKE_PTR(config);
        return 0;
}
