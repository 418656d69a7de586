/* The files in the configuration directory -> one Config. */
#include "config/parts.h"
#include "config/value.h"
#include "util/path.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAPPINGS_MAX 1000u
#define ACCOUNTS_MAX 64u
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

static bool good_name(const char *name) {
        size_t size = strlen(name);

        return size >= 1 && size <= 64 && strspn(name, NAME_CHARS) == size && name[0] != '.' && name[0] != '-';
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
                if (!good_name(n->items[i]->text)) {
                        r = config_refuse(c, n->items[i], "accounts",
                                          "\"%.80s\" is no name; expected 1 to 64 of A-Z a-z 0-9 . _ -",
                                          PATH_SHOWN(n->items[i]->text));
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
        return r;
}

static int read_text(ConfigReader *c, const char *mapping, const char *text, size_t size) {
        _cleanup_(node_freep) Node *root = NULL;
        MappingConfig *more;
        Error e = ERROR_NULL;

        if (yaml_parse(&root, c->file, text, size, &e) < 0)
                return config_note(c, &e);
        if (!mapping)
                return read_daemon(c, root);
        if (!good_name(mapping))
                return config_refuse(c, NULL, NULL,
                                     "\"%.80s\" is no mapping name; expected 1 to 64 of A-Z a-z 0-9 . _ - before .yaml",
                                     PATH_SHOWN(mapping));
        more = reallocarray(c->config->mappings, c->config->n_mappings + 1, sizeof(*more));
        if (!more)
                return config_refuse(c, NULL, NULL, "out of memory");
        c->config->mappings = more;
        more[c->config->n_mappings] = (MappingConfig){ 0 };
        return mapping_read(c, mapping, root, &more[c->config->n_mappings++]);
}

static int read_file(ConfigReader *c, const char *path, const char *mapping) {
        _cleanup_buf_ Buf text = BUF_INIT(YAML_FILE_MAX);
        Error e = ERROR_NULL;
        int r;

        c->file = path;
        r = yaml_read_file(&text, path, &c->file_private, &e);
        if (r == -ENOENT && !mapping)
                return 0; /* none is an empty configuration */
        r = r < 0 ? config_note(c, &e) : read_text(c, mapping, buf_text(&text), text.size);
        if (text.data)
                explicit_bzero(text.data, text.size);
        return r;
}

static int is_mapping(const struct dirent *d) {
        size_t size = strlen(d->d_name);

        return d->d_name[0] != '.' && size > 5 && strcmp(d->d_name + size - 5, ".yaml") == 0;
}

static int read_mappings(ConfigReader *c, const char *dir) {
        struct dirent **entries = NULL;
        int n = scandir(dir, &entries, is_mapping, alphasort), r = 0;

        c->file = dir;
        if (n < 0)
                return errno == ENOENT ? 0 : config_refuse(c, NULL, NULL, "cannot be read: %s", strerror(errno));
        if ((unsigned) n > MAPPINGS_MAX)
                r = config_refuse(c, NULL, NULL, "more than %u mappings", MAPPINGS_MAX);
        for (int i = 0; i < n; i++) {
                char path[4096], name[256];

                (void) snprintf(name, sizeof(name), "%.*s", (int) strlen(entries[i]->d_name) - 5, entries[i]->d_name);
                if (snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name) < (int) sizeof(path) &&
                    i < (int) MAPPINGS_MAX && read_file(c, path, name) < 0)
                        r = -EINVAL;
                free(entries[i]);
        }
        free(entries);
        return r;
}

static int by_name(const void *a, const void *b) {
        return strcmp(((const MappingConfig *) a)->name, ((const MappingConfig *) b)->name);
}

static int config_begin(ConfigReader *c, Buf *report, Error *e) {
        Config *config = calloc(1, sizeof(*config));

        if (!config)
                return error_oom(e);
        config->warnings = BUF_INIT((size_t) 64 * 1024);
        *c = (ConfigReader){ .config = config, .report = report, .first = e };
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
        if (snprintf(path, sizeof(path), "%s/azsyncd.yaml", places->config_dir) >= (int) sizeof(path))
                return error_set(e, -EINVAL, ERROR_CONFIG, 1, "%s:1:1: the path is too long", places->config_dir);
        r = read_file(&c, path, NULL);
        (void) snprintf(path, sizeof(path), "%s/mappings.d", places->config_dir);
        if (read_mappings(&c, path) < 0)
                r = -EINVAL;
        if (r >= 0)
                r = config_check(&c, places->state_dir);
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
        r = read_text(&c, mapping_name, text, size);
        if (r < 0)
                return -EINVAL;
        *ret = TAKE_PTR(config);
        return 0;
}
