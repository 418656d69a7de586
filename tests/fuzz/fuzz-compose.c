/* What azsyncctl add writes. First byte even: the rest is a folder, a prefix, or a pattern: what the loader reads is
 * what was meant, if it takes it at all. Odd: the rest is an azsyncd.yaml that an account is added to: the loader then
 * finds this one more, or the file is left alone. */
#include "config/compose.h"
#include "config/destination.h"
#include "util/path.h"

#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
        if (!holds)
                abort();
}

static Config *load(const char *mapping, const Buf *text, Error *e) {
        Config *c = NULL;

        (void) !config_parse_text(&c, "x.yaml", mapping, buf_text(text), text->size, NULL, e);
        return c;
}

static void check_folder(const char *text) {
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20), folder = BUF_INIT(1 << 20);
        const MappingText m = { buf_text(&folder), "main", "box", "", NULL, 0 };
        _cleanup_(config_freep) Config *c = NULL;
        MappingText with = m;
        Error e = ERROR_NULL;

        check(buf_puts(&folder, "/") >= 0 && buf_puts(&folder, text) >= 0);
        with.folder = buf_text(&folder);
        if (compose_mapping(&b, &with, &e) < 0) {
                check(!utf8_valid(text, strlen(text)) && e.text[0]);
                return;
        }
        c = load("m", &b, &e);
        /* whatever the loader thinks of it, it is about the folder alone */
        check(c || strncmp(e.text, "x.yaml:2:9: folder: ", 20) == 0);
        if (c && !strstr(with.folder, "//") && folder.data[folder.size - 1] != '/')
                check(strcmp(c->mappings[0].folder, with.folder) == 0);
}

static void check_prefix(const char *text) {
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);
        const MappingText m = { "/srv/x", "main", "box", text, NULL, 0 };
        _cleanup_(config_freep) Config *c = NULL;
        Error e = ERROR_NULL;

        if (compose_mapping(&b, &m, &e) < 0) {
                check(e.text[0]);
                return;
        }
        c = load("m", &b, &e);
        check(c || strncmp(e.text, "x.yaml:5:9: prefix: ", 20) == 0);
        if (c && text[0] != '/' && (text[0] == '\0' || text[strlen(text) - 1] != '/'))
                check(strcmp(c->mappings[0].prefix, text) == 0);
}

static void check_exclude(char *text) {
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);
        char *list[] = { text };
        const MappingText m = { "/srv/x", "main", "box", "", list, 1 };
        _cleanup_(config_freep) Config *c = NULL;
        Error e = ERROR_NULL;
        size_t size = strlen(text);

        if (compose_mapping(&b, &m, &e) < 0) {
                check(!utf8_valid(text, size) && e.text[0]);
                return;
        }
        c = load("m", &b, &e);
        check(c || strchr(text, '\n') || size > 60000);
        if (c)
                check(strncmp(c->mappings[0].exclude_text, text, size) == 0 &&
                      strcmp(c->mappings[0].exclude_text + size, "\n") == 0);
}

static void check_account(const char *text, size_t size) {
        const AccountText a = { "new-one", "https://new.blob.core.windows.net", AUTH_SHARED_KEY, NULL };
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20), before = BUF_INIT(1 << 20);
        _cleanup_(config_freep) Config *old = NULL, *c = NULL;
        Error e = ERROR_NULL;

        check(buf_append(&before, text, size) >= 0);
        old = load(NULL, &before, NULL);
        if (compose_add_account(&b, text, size, &a, &e) < 0) {
                check(e.text[0]);
                return;
        }
        c = load(NULL, &b, NULL);
        check(!old == !c);
        if (!c)
                return;
        check(c->n_accounts == old->n_accounts + 1 && strcmp(c->accounts[old->n_accounts].name, "new-one") == 0);
        for (size_t i = 0; i < old->n_accounts; i++)
                check(strcmp(c->accounts[i].name, old->accounts[i].name) == 0 &&
                      strcmp(c->accounts[i].secret, old->accounts[i].secret) == 0);
}

static void check_destination(const char *text) {
        AccountConfig account = { .name = (char[]){ "main" },
                                  .endpoint = (char[]){ "https://contoso.blob.core.windows.net" } };
        const Config config = { .accounts = &account, .n_accounts = 1 };
        Destination d = { 0 };
        Error e = ERROR_NULL;
        int r = destination_parse(&d, text, NULL, &config, &e);

        check(r >= 0 ? d.endpoint && d.container && d.prefix : e.text[0] && !d.endpoint);
        if (strncmp(text, "http", 4) == 0)
                check(r < 0 || !strpbrk(text, "?#"));
        destination_done(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = NULL;

        if (size == 0)
                return 0;
        text = strndup((const char *) data + 1, size - 1);
        check(text != NULL);
        if (data[0] % 2 == 0) {
                check_folder(text);
                check_prefix(text);
                check_exclude(text);
                check_destination(text);
        } else
                check_account(text, strlen(text));
        return 0;
}
