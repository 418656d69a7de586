/* Directories that azsyncd takes by itself, and makes. */
#include "scratch.h"
#include "util/places.h"

static void test_default(void **state) {
        static const struct {
                const char *variable, *xdg, *home;
                bool system;
                const char *want;
        } cases[] = {
                { "/a:/b", "/x", "/h", true, "/a" }, /* systemd may name several */
                { "relative", NULL, "/h", true, "/var/lib/azsyncd" },
                { NULL, "/x", "/h", true, "/var/lib/azsyncd" },
                { NULL, "/x", "/h", false, "/x/azsyncd" },
                { NULL, "relative", "/h", false, "/h/.local/state/azsyncd" },
                { NULL, NULL, "/h", false, "/h/.local/state/azsyncd" },
                { NULL, NULL, NULL, false, "/nonexistent/.local/state/azsyncd" },
        };
        char got[256];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *const set[][2] = { { "STATE_DIRECTORY", cases[i].variable },
                                               { "XDG_STATE_HOME", cases[i].xdg },
                                               { "HOME", cases[i].home } };

                for (size_t n = 0; n < ELEMENTSOF(set); n++)
                        assert_int_equal(set[n][1] ? setenv(set[n][0], set[n][1], 1) : unsetenv(set[n][0]), 0);
                place_default(PLACE_STATE, cases[i].system, got, sizeof(got));
                assert_string_equal(got, cases[i].want);
        }
}

static unsigned mode_of(const char *path) {
        struct stat st;

        return stat(at(path), &st) < 0 ? 0 : st.st_mode & 07777;
}

/* A new account has no ~/.local/state. What is there already stays as it is. */
static void test_make(void **state) {
        (void) umask(0);
        make_dir("home", 0755);
        assert_int_equal(place_make(at("home/.local/state/azsyncd"), 0750), 0);
        assert_int_equal(mode_of("home"), 0755);
        assert_int_equal(mode_of("home/.local"), 0700);
        assert_int_equal(mode_of("home/.local/state"), 0700);
        assert_int_equal(mode_of("home/.local/state/azsyncd"), 0750);
        assert_int_equal(place_make(at("home/.local/state/azsyncd"), 0700), 0);
        assert_int_equal(mode_of("home/.local/state/azsyncd"), 0750);
        assert_int_equal(place_make(at("home/trailing/"), 0700), 0);
        put("home/file", "");
        assert_int_equal(place_make(at("home/file/azsyncd"), 0700), -ENOTDIR);
        assert_int_equal(place_make(at("home/file/state/azsyncd"), 0700), -ENOTDIR);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_default),
                cmocka_unit_test_setup_teardown(test_make, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
