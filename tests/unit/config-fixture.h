/* A configuration directory per test (`root` of scratch.h), and what loading it says. */
#pragma once

#include "config/config.h"

#include "scratch.h"

#define DEV "accounts:\n  dev:\n    connection-string: UseDevelopmentStorage=true\n"
#define KEY "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC1zZWNyZXQtcw=="
#define SIG "S1gnatureS1gnature"

/* `root` is the configuration directory here */
static inline void put_mode(const char *path, const char *text, mode_t mode) {
        put(path, text);
        assert_int_equal(chmod(at(path), mode), 0);
}

static inline int set_up_config(void **state) {
        return set_up(state) < 0 ? -1 : mkdir(at("mappings.d"), 0755);
}

#define CONFIG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_config, tear_down)

typedef struct Loaded {
        Config *config;
        Buf report;
        Error e;
        int r;
} Loaded;

static inline void loaded_done(Loaded *l) {
        config_free(l->config);
        buf_done(&l->report);
}
#define _cleanup_loaded_ _cleanup_(loaded_done)

static inline Loaded load_with(const char *state_dir) {
        Loaded l = { .report = BUF_INIT((size_t) 64 * 1024) };
        const ConfigPlaces places = { .config_dir = root, .state_dir = state_dir };

        l.r = config_load(&l.config, &places, &l.report, &l.e);
        assert_int_equal(l.r, l.config ? 0 : -EINVAL);
        assert_true((l.r < 0) == (l.report.size > 0));
        /* whatever went wrong, what is secret stays so */
        assert_null(strstr(buf_text(&l.report), "c2Vjcm"));
        assert_null(strstr(buf_text(&l.report), SIG));
        assert_null(strstr(l.e.text, "c2Vjcm"));
        assert_null(strstr(l.e.text, SIG));
        return l;
}

static inline Loaded load(void) {
        return load_with(NULL);
}

/* The report is `want`, where '@' stands for the configuration directory. */
static inline void assert_report(const Loaded *l, const char *want) {
        _cleanup_buf_ Buf b = BUF_INIT((size_t) 64 * 1024);

        for (const char *p = want; *p; p++)
                assert_int_equal(*p == '@' ? buf_puts(&b, root) : buf_append(&b, p, 1), 0);
        assert_string_equal(buf_text(&l->report), buf_text(&b));
        assert_int_equal(l->e.domain, ERROR_CONFIG);
        assert_memory_equal(l->e.text, buf_text(&b), MIN(strcspn(buf_text(&b), "\n"), (size_t) 500));
}

#define OK "folder: /no-such/m\ncontainer: abc\n"
#define YAML "@/azsyncd.yaml:"
#define MAP "@/mappings.d/m.yaml:"
