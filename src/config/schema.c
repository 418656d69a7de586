#include "config/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COMPLAINTS_MAX 20u
#define WORD_MAX 64u
#define LINE_ROOM 2048u /* two long paths and some words; an Error holds the beginning */

const ConfigKey config_keys[] = {
        { "azsyncd.yaml", "accounts", "accounts by name", true },
        { "azsyncd.yaml", "transfers", "auto, or a number from 1 to 1000", true },
        { "azsyncd.yaml", "memory", "a size such as 64MiB", true },
        { "azsyncd.yaml", "bandwidth", "unlimited, a rate such as 20MiB/s, or a weekly timetable", true },
        { "azsyncd.yaml", "metrics", "{listen: ADDRESS:PORT}", false },
        { "account", "account", "the storage account's name", true },
        { "account", "endpoint", "a URL such as https://contoso.blob.core.windows.net", true },
        { "account", "auth", "{method: shared-key, key: SECRET} or {method: sas, sas: SECRET}", true },
        { "account", "connection-string",
          "a connection string, or where it is kept: {credential: NAME}, {file: PATH} or {env: NAME}", true },
        { "account", "ca-file", "an absolute path to PEM certificates", true },
        { "account", "proxy", "a URL such as http://proxy:3128", true },
        { "auth", "method", "shared-key or sas", true },
        { "auth", "key", "{credential: NAME}, {file: PATH} or {env: NAME}", true },
        { "auth", "sas", "{credential: NAME}, {file: PATH} or {env: NAME}", true },
        { "auth", "tenant", "a tenant id", false },
        { "auth", "client-id", "an application's id", false },
        { "auth", "client-secret", "{credential: NAME}, {file: PATH} or {env: NAME}", false },
        { "delete-guard", "files", "a number from 1 to 1000000000", true },
        { "delete-guard", "percent", "a number from 1 to 100", true },
        { "mapping", "folder", "an absolute path", true },
        { "mapping", "account", "the name of an account in azsyncd.yaml", true },
        { "mapping", "container", "3 to 63 of a-z, 0-9 and single '-'", true },
        { "mapping", "create-container", "true or false", true },
        { "mapping", "prefix", "names joined by '/'; %H host name, %m machine id, %% percent", true },
        { "mapping", "exclude", "a list of gitignore patterns", true },
        { "mapping", "ignore-files", "true or false", false },
        { "mapping", "deletes", "mirror or keep", true },
        { "mapping", "delete-guard", "{files: NUMBER, percent: NUMBER}", true },
        { "mapping", "delete-delay", "a duration such as 5s", true },
        { "mapping", "symlinks", "store, follow or skip", false },
        { "mapping", "conflict", "keep or overwrite", true },
        { "mapping", "tier", "hot, cool, cold or archive", false },
        { "mapping", "watch", "auto, inotify or poll", true },
        { "mapping", "rescan", "a duration such as 1h", true },
        { "mapping", "alert-after", "a duration such as 1h", true },
        { "mapping", "bandwidth", "unlimited, a rate such as 20MiB/s, or a weekly timetable", true },
};
const size_t n_config_keys = ELEMENTSOF(config_keys);

/* The manual page (5) that has the keys of each. */
static const struct {
        const char *where, *page;
} levels[] = {
        { "azsyncd.yaml", "azsyncd.yaml" }, { "account", "azsyncd.yaml" },        { "auth", "azsyncd.yaml" },
        { "mapping", "azsync-mapping" },    { "delete-guard", "azsync-mapping" },
};

const ConfigDraft *config_draft(const ConfigReader *c, const char *path) {
        for (size_t i = 0; c->places && i < c->places->n_drafts; i++)
                if (strcmp(c->places->drafts[i].path, path) == 0)
                        return &c->places->drafts[i];
        return NULL;
}

static void note(ConfigReader *c, unsigned line, const char *text) {
        if (c->complaints++ == 0 && c->first)
                (void) error_set(c->first, -EINVAL, ERROR_CONFIG, (int) line, "%s", text);
        if (!c->report || c->complaints > COMPLAINTS_MAX + 1)
                return;
        /* no room in the report: the first complaint is in the error all the same */
        if (buf_puts(c->report, c->complaints > COMPLAINTS_MAX ? "... and more" : text) >= 0)
                (void) !buf_puts(c->report, "\n");
}

static void place(char *ret, size_t room, const ConfigReader *c, const Node *node, const char *key) {
        (void) snprintf(ret, room, "%s:%u:%u: %s%s", PATH_SHOWN(c->file), node ? node->line : 1,
                        node ? node->column : 1, key ? key : "", key ? ": " : "");
}

int config_refuse(ConfigReader *c, const Node *node, const char *key, const char *format, ...) {
        char text[LINE_ROOM];
        size_t used;
        va_list ap;

        place(text, sizeof(text), c, node, key);
        used = strlen(text);
        va_start(ap, format);
        (void) vsnprintf(text + used, sizeof(text) - used, format, ap);
        va_end(ap);
        note(c, node ? node->line : 1, text);
        return -EINVAL;
}

int config_warn(ConfigReader *c, const Node *node, const char *key, const char *format, ...) {
        char text[LINE_ROOM];
        size_t used;
        va_list ap;

        place(text, sizeof(text), c, node, key);
        used = strlen(text);
        va_start(ap, format);
        (void) vsnprintf(text + used, sizeof(text) - used, format, ap);
        va_end(ap);
        if (buf_puts(&c->config->warnings, text) >= 0)
                (void) !buf_puts(&c->config->warnings, "\n");
        return 0;
}

int config_note(ConfigReader *c, const Error *e) {
        note(c, (unsigned) MAX(e->native, 1), e->text);
        return -EINVAL;
}

static char lower(char c) {
        return c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
}

/* Optimal string alignment: a swap of neighbours, the commonest slip, counts as one. Case does not count at all. */
static unsigned distance(const char *a, const char *b) {
        size_t n = strlen(a), m = strlen(b);
        unsigned rows[3][WORD_MAX + 1], *before = rows[0], *last = rows[1], *now = rows[2];

        if (n > WORD_MAX || m > WORD_MAX)
                return WORD_MAX;
        for (size_t k = 0; k <= m; k++)
                last[k] = (unsigned) k;
        for (size_t i = 1; i <= n; i++) {
                unsigned *spare = before;

                now[0] = (unsigned) i;
                for (size_t k = 1; k <= m; k++) {
                        unsigned cost = lower(a[i - 1]) != lower(b[k - 1]);

                        now[k] = MIN(MIN(last[k], now[k - 1]) + 1, last[k - 1] + cost);
                        if (i > 1 && k > 1 && lower(a[i - 1]) == lower(b[k - 2]) && lower(a[i - 2]) == lower(b[k - 1]))
                                now[k] = MIN(now[k], before[k - 2] + 1);
                }
                before = last;
                last = now;
                now = spare;
        }
        return last[m];
}

const char *nearest(const char *word, const char *const *known, size_t n) {
        /* one slip in three characters; more is another word */
        unsigned best = MAX((unsigned) strlen(word) / 3, 1U) + 1;
        const char *ret = NULL;

        for (size_t i = 0; i < n; i++) {
                unsigned d = distance(word, known[i]);

                if (d < best) {
                        best = d;
                        ret = known[i];
                }
        }
        return ret;
}

static const ConfigKey *find(const char *where, const char *key) {
        for (size_t i = 0; i < n_config_keys; i++)
                if (strcmp(config_keys[i].where, where) == 0 && strcmp(config_keys[i].key, key) == 0)
                        return &config_keys[i];
        return NULL;
}

const char *schema_expects(const char *where, const char *key) {
        const ConfigKey *k = find(where, key);

        return k ? k->expects : "";
}

static int unknown(ConfigReader *c, const Node *key, const char *where) {
        const char *names[ELEMENTSOF(config_keys)], *meant;
        size_t n = 0, level = 0;

        for (size_t i = 0; i < n_config_keys; i++)
                if (strcmp(config_keys[i].where, where) == 0)
                        names[n++] = config_keys[i].key;
        if (strcmp(where, "mapping") == 0 && find("azsyncd.yaml", key->text))
                return config_refuse(c, key, key->text, "unknown key here; it belongs into azsyncd.yaml");
        if (strcmp(where, "azsyncd.yaml") == 0 && find("mapping", key->text))
                return config_refuse(c, key, key->text, "unknown key here; it belongs into mappings.d/NAME.yaml");
        if (strcmp(where, "azsyncd.yaml") == 0 && find("account", key->text))
                return config_refuse(c, key, key->text, "unknown key here; it belongs to an account, below accounts:");
        meant = nearest(key->text, names, n);
        if (meant)
                return config_refuse(c, key, SHOWN(key->text), "unknown key (did you mean \"%s\"?)", meant);
        while (level + 1 < ELEMENTSOF(levels) && strcmp(levels[level].where, where) != 0)
                level++;
        return config_refuse(c, key, SHOWN(key->text), "unknown key; expected one of those in %s(5) for %s",
                             levels[level].page, where);
}

int schema_check(ConfigReader *c, const Node *map, const char *where) {
        int r = 0;

        if (map->kind != NODE_MAP)
                return config_refuse(c, map, where, "expected keys and values (key: value), one a line");
        for (size_t i = 0; i + 1 < map->n; i += 2) {
                const Node *key = map->items[i];
                const ConfigKey *k = find(where, key->text);

                if (!k)
                        r = unknown(c, key, where);
                else if (!k->supported)
                        r = config_refuse(c, key, key->text, "not supported yet by this version of azsyncd");
        }
        return r;
}
