#include "config/parts.h"
#include "config/value.h"
#include "util/blobname.h"
#include "util/clock.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-id128.h>

#define FOLDER_MAX 4000u
#define DAY (INT64_C(86400) * NSEC_PER_SEC)
/* the same application id as the writer's would tell it: another one */
#define MACHINE_ID SD_ID128_MAKE(7a, 11, 9e, 04, 52, c8, 4f, 63, 8d, 1b, f0, 2c, 95, de, 38, 46)

void mapping_config_done(MappingConfig *m) {
        free(m->name);
        free(m->file);
        free(m->folder);
        free(m->container);
        free(m->prefix);
        free(m->exclude_text);
        ignore_free(m->exclude);
        free(m->bandwidth.spans);
        *m = (MappingConfig){ 0 };
}

static int read_folder(ConfigReader *c, const Node *n, MappingConfig *m) {
        _cleanup_free_ char *text = NULL, *real = NULL;
        size_t size = 0;
        int r;

        r = value_text(c, n, "mapping", "folder", &text);
        if (r < 0)
                return r;
        if (text[0] != '/')
                return config_refuse(c, n, "folder", "\"%s\" is a relative path; expected %s", SHOWN(text),
                                     schema_expects("mapping", "folder"));
        if (strlen(text) > FOLDER_MAX)
                return config_refuse(c, n, "folder", "the path is too long");
        m->folder = malloc(strlen(text) + 2);
        if (!m->folder)
                return config_refuse(c, n, "folder", "out of memory");
        for (const char *p = text; *p;) { /* one '/' between names, none at the end */
                size_t name;

                p += strspn(p, "/");
                name = strcspn(p, "/");
                if (name == 0)
                        break;
                if ((name == 1 && p[0] == '.') || (name == 2 && p[0] == '.' && p[1] == '.'))
                        return config_refuse(c, n, "folder", "\".\" and \"..\" cannot be part of it; expected %s",
                                             schema_expects("mapping", "folder"));
                m->folder[size++] = '/';
                memcpy(m->folder + size, p, name);
                size += name;
                p += name;
        }
        if (size == 0)
                return config_refuse(c, n, "folder",
                                     "the whole file system cannot be mapped: it holds azsyncd's own state");
        m->folder[size] = '\0';
        if (c->text_only)
                return 0;
        r = folder_real(c, m->folder, &real);
        if (r == -ETIMEDOUT)
                return config_warn(c, n, "folder", "%s: its file system does not answer (is it a mount that hangs?)",
                                   SHOWN_PATH(m->folder));
        if (r == -ENOTDIR)
                return config_refuse(c, n, "folder", "%s is not a folder", SHOWN_PATH(m->folder));
        if (r == -ELOOP)
                return config_refuse(c, n, "folder",
                                     "there is a symbolic link in %s that leads nowhere; write the real path",
                                     SHOWN_PATH(m->folder));
        if (r == -ENAMETOOLONG || r == -ENOMEM)
                return config_refuse(c, n, "folder", "%s: %s", SHOWN_PATH(m->folder), strerror(-r));
        /* whatever else its file system says (EACCES, EIO, ENOTCONN, ...) may be different tomorrow */
        if (real)
                return config_refuse(c, n, "folder", "there is a symbolic link in %s; write the real path: %s",
                                     SHOWN_PATH(m->folder), SHOWN_PATH(real));
        return 0;
}

static int read_container(ConfigReader *c, const Node *n, MappingConfig *m) {
        size_t size;
        int r = value_text(c, n, "mapping", "container", &m->container);

        if (r < 0)
                return r;
        if (strcmp(m->container, "$web") == 0 || strcmp(m->container, "$root") == 0)
                return 0;
        size = strlen(m->container);
        if (size < 3 || size > 63 || strspn(m->container, "abcdefghijklmnopqrstuvwxyz0123456789-") != size ||
            m->container[0] == '-' || m->container[size - 1] == '-' || strstr(m->container, "--"))
                return config_refuse(c, n, "container", "\"%s\" is no container name; expected %s", SHOWN(m->container),
                                     schema_expects("mapping", "container"));
        return 0;
}

static int expand(ConfigReader *c, const Node *n, const char *text, Buf *ret) {
        for (const char *p = text; *p; p++) {
                char word[256] = "";
                uint32_t code;

                if (*p != '%') {
                        if (buf_append(ret, p, 1) < 0)
                                return config_refuse(c, n, "prefix", "too long");
                        continue;
                }
                p++;
                if (*p == 'H') {
                        if (gethostname(word, sizeof(word) - 1) < 0 || word[0] == '\0')
                                return config_refuse(c, n, "prefix", "%%H: this machine has no host name");
                } else if (*p == 'm') {
                        sd_id128_t id;
                        int r = sd_id128_get_machine_app_specific(MACHINE_ID, &id);

                        if (r < 0)
                                return config_refuse(c, n, "prefix", "this machine has no id (/etc/machine-id): %s",
                                                     strerror(-r));
                        (void) sd_id128_to_string(id, word);
                } else if (*p == '%')
                        (void) snprintf(word, sizeof(word), "%%");
                else
                        return config_refuse(c, n, "prefix",
                                             "%%%.*s is not known; expected %%H (host name), %%m (machine id) or %%%%",
                                             (int) utf8_char(p, strlen(p), &code), p);
                if (buf_puts(ret, word) < 0)
                        return config_refuse(c, n, "prefix", "too long");
        }
        return 0;
}

static int read_prefix(ConfigReader *c, const Node *n, MappingConfig *m) {
        _cleanup_buf_ Buf b = BUF_INIT(512), same = BUF_INIT(2048);
        BlobName verdict = BLOB_NAME_OK;
        _cleanup_free_ char *text = NULL;
        size_t at = 0;
        int r;

        if (n->kind == NODE_SCALAR && n->text[0] == '\0') {
                m->prefix = strdup("");
                return m->prefix ? 0 : config_refuse(c, n, "prefix", "out of memory");
        }
        r = value_text(c, n, "mapping", "prefix", &text);
        if (r >= 0)
                r = expand(c, n, text, &b);
        if (r < 0)
                return r;
        while (b.size > 0 && b.data[b.size - 1] == '/')
                b.data[--b.size] = '\0';
        while (at < b.size && b.data[at] == '/')
                at++;
        for (size_t i = at; i < b.size;) {
                size_t size = strcspn(b.data + i, "/");

                if (size == 0 || b.data[i + size - 1] == '.')
                        return config_refuse(c, n, "prefix",
                                             "each name between '/' must be something and not end in '.'");
                i += size + (b.data[i + size] == '/');
        }
        /* what a blob may be called maps to itself */
        if (at < b.size && (blobname_from_path(&same, "", b.data + at, b.size - at, &verdict) < 0 ||
                            verdict != BLOB_NAME_OK || strcmp(buf_text(&same), b.data + at) != 0))
                return config_refuse(c, n, "prefix",
                                     "'\\' and some other characters cannot be part of it, nor more than 254 names");
        m->prefix = strdup(buf_text(&b) + at);
        return m->prefix ? 0 : config_refuse(c, n, "prefix", "out of memory");
}

static int read_exclude(ConfigReader *c, const Node *n, MappingConfig *m) {
        _cleanup_buf_ Buf all = BUF_INIT(YAML_FILE_MAX);

        if (ignore_new(&m->exclude) < 0)
                return config_refuse(c, n, "exclude", "out of memory");
        if (n && n->kind != NODE_LIST)
                return config_refuse(c, n, "exclude", "expected %s: [\"*.tmp\", \"/cache/\"]",
                                     schema_expects("mapping", "exclude"));
        for (size_t i = 0; n && i < n->n; i++) {
                const Node *item = n->items[i];

                if (item->kind != NODE_SCALAR)
                        return config_refuse(c, item, "exclude", "expected %s", schema_expects("mapping", "exclude"));
                if (strchr(item->text, '\n'))
                        return config_refuse(c, item, "exclude", "a pattern is one line");
                if (ignore_add(m->exclude, item->text) < 0 || buf_puts(&all, item->text) < 0 ||
                    buf_puts(&all, "\n") < 0)
                        return config_refuse(c, item, "exclude", "out of memory");
        }
        m->exclude_text = strdup(buf_text(&all));
        return m->exclude_text ? 0 : config_refuse(c, n, "exclude", "out of memory");
}

static int read_account(ConfigReader *c, const Node *n, const Node *map, MappingConfig *m) {
        const char *names[64], *meant;
        size_t count = MIN(c->config->n_accounts, ELEMENTSOF(names));

        if (c->text_only || (c->accounts_unknown && (!n || n->kind == NODE_SCALAR)))
                return 0;
        if (!n) {
                if (c->config->n_accounts == 1) {
                        m->account = &c->config->accounts[0];
                        return 0;
                }
                if (c->config->n_accounts == 0)
                        return config_refuse(c, map, "account",
                                             "azsyncd.yaml has no account yet; add one below accounts:");
                return config_refuse(c, map, "account", "missing; azsyncd.yaml has %zu accounts, so one must be named",
                                     c->config->n_accounts);
        }
        if (n->kind != NODE_SCALAR)
                return config_refuse(c, n, "account", "expected %s", schema_expects("mapping", "account"));
        for (size_t i = 0; i < c->config->n_accounts; i++)
                if (strcmp(c->config->accounts[i].name, n->text) == 0) {
                        m->account = &c->config->accounts[i];
                        return 0;
                }
        for (size_t i = 0; i < count; i++)
                names[i] = c->config->accounts[i].name;
        meant = nearest(n->text, names, count);
        return config_refuse(c, n, "account", "azsyncd.yaml has no account \"%s\"%s%s%s", SHOWN(n->text),
                             meant ? " (did you mean \"" : "", meant ? meant : "", meant ? "\"?)" : "");
}

static int read_guard(ConfigReader *c, const Node *n, MappingConfig *m) {
        int r = schema_check(c, n, "delete-guard");
        const Node *v;

        if (n->kind != NODE_MAP)
                return r;
        if ((v = node_get(n, "files")) &&
            value_number(c, v, "delete-guard", "files", 1, 1000000000, &m->guard_files) < 0)
                r = -EINVAL;
        if ((v = node_get(n, "percent")) &&
            value_number(c, v, "delete-guard", "percent", 1, 100, &m->guard_percent) < 0)
                r = -EINVAL;
        return r;
}

static int read_policies(ConfigReader *c, const Node *map, MappingConfig *m) {
        static const char *const deletes[] = { "mirror", "keep" }, *const conflict[] = { "keep", "overwrite" },
                                 *const watch[] = { "auto", "inotify", "poll" };
        int which = 0, r = 0;
        const Node *n;

        m->create_container = true;
        m->delete_delay_ns = 5 * NSEC_PER_SEC;
        m->rescan_ns = 3600 * NSEC_PER_SEC;
        m->guard_files = 1000;
        m->guard_percent = 50;
        m->alert_after_ns = 3600 * NSEC_PER_SEC;
        if ((n = node_get(map, "delete-guard")) && read_guard(c, n, m) < 0)
                r = -EINVAL;
        if ((n = node_get(map, "create-container")) &&
            value_bool(c, n, "mapping", "create-container", &m->create_container) < 0)
                r = -EINVAL;
        if ((n = node_get(map, "deletes"))) {
                if (value_enum(c, n, "mapping", "deletes", deletes, ELEMENTSOF(deletes), &which) < 0)
                        r = -EINVAL;
                m->deletes = (DeletePolicy) which;
        }
        which = 0;
        if ((n = node_get(map, "conflict"))) {
                if (value_enum(c, n, "mapping", "conflict", conflict, ELEMENTSOF(conflict), &which) < 0)
                        r = -EINVAL;
                m->conflict = (ConflictPolicy) which;
        }
        which = 0;
        if ((n = node_get(map, "watch"))) {
                if (value_enum(c, n, "mapping", "watch", watch, ELEMENTSOF(watch), &which) < 0)
                        r = -EINVAL;
                m->watch = (WatchMode) which;
        }
        if ((n = node_get(map, "delete-delay")) &&
            value_duration(c, n, "mapping", "delete-delay", 0, 30 * DAY, &m->delete_delay_ns) < 0)
                r = -EINVAL;
        if ((n = node_get(map, "rescan")) &&
            value_duration(c, n, "mapping", "rescan", NSEC_PER_SEC, 30 * DAY, &m->rescan_ns) < 0)
                r = -EINVAL;
        if ((n = node_get(map, "alert-after")) &&
            value_duration(c, n, "mapping", "alert-after", NSEC_PER_SEC, 365 * DAY, &m->alert_after_ns) < 0)
                r = -EINVAL;
        if ((n = node_get(map, "bandwidth")) && bandwidth_read(c, n, "mapping", &m->bandwidth) < 0)
                r = -EINVAL;
        return r;
}

int mapping_read(ConfigReader *c, const char *name, const Node *map, MappingConfig *ret, MappingMarks *ret_marks) {
        const Node *n;
        int r;

        if (!map)
                return config_refuse(c, NULL, "folder", "missing: the file is empty; expected folder: and container:");
        r = schema_check(c, map, "mapping");
        if (map->kind != NODE_MAP)
                return -EINVAL;
        ret->name = strdup(name);
        ret->file = strdup(c->file);
        if (!ret->name || !ret->file)
                return config_refuse(c, map, NULL, "out of memory");
        if (!(n = node_get(map, "folder")))
                r = config_refuse(c, map, "folder", "missing; expected %s", schema_expects("mapping", "folder"));
        else if (read_folder(c, n, ret) < 0)
                r = -EINVAL;
        if (n)
                ret_marks->folder = (Node){ .line = n->line, .column = n->column };
        if ((n = node_get(map, "container")))
                ret_marks->destination = (Node){ .line = n->line, .column = n->column };
        if (!n)
                r = config_refuse(c, map, "container", "missing; expected %s", schema_expects("mapping", "container"));
        else if (read_container(c, n, ret) < 0)
                r = -EINVAL;
        if ((n = node_get(map, "prefix"))) {
                if (read_prefix(c, n, ret) < 0)
                        r = -EINVAL;
        } else if (!(ret->prefix = strdup("")))
                r = config_refuse(c, map, "prefix", "out of memory");
        /* each of them, so that all complaints are heard at once */
        if (read_exclude(c, node_get(map, "exclude"), ret) < 0)
                r = -EINVAL;
        if (read_account(c, node_get(map, "account"), map, ret) < 0)
                r = -EINVAL;
        if (read_policies(c, map, ret) < 0)
                r = -EINVAL;
        return r;
}
