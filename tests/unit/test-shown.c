/* What messages show of a value, and that no damage to a configuration makes one show a secret (pitfalls 11.8). */
#include "config/config.h"
#include "config/shown.h"

#include "scratch.h"

#include <time.h>

#define KEY "Zm9vYmFyQmF6MTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6QUJDREVGR0hJSktMTU5PUFFSUw=="
#define SIG "kQ9vX3mZ7pL2wR8tY5uJ1hG4fD6sA0cB%2Fabc%3D"

static const struct {
        const char *text;
        bool secret;
} looks[] = {
        { "", false },
        { "mirror", false },
        { "/srv/photos", false },
        { "my-container-of-many-words-and-2024", false },
        { "/srv/Pictures/2024/Summer Holiday in the South of France/IMG_20240801_120000.JPG", false },
        { "Pictures/2024/Summer", false },
        { "https://contoso.blob.core.windows.net/photos", false },
        { "lowercaselettersonlyhoweverlongtheymaybe0123456789", false },
        { "UPPERCASE0123456789UPPERCASE0123456789UPPERCASE", false },
        { KEY, true },
        { "Zm9vYmFyQmF6MTIzNDU2Nzg5MGFi", true },                  /* the beginning of one */
        { "ab/CD/12/ab/CD/12/ab/CD/12/ab/CD/12/ab/CD/12", true },  /* a key may be full of them */
        { "/ab/CD/12/ab/CD/12/ab/CD/12/ab/CD/12/ab/CD/1", false }, /* so may a path */
        { "x " SIG, true },
        { "sig=x", true },
        { "?sv=1&SIG=x", true },
        { "AccountName=a;accountkey=x", true },
        { "SharedAccessSignature=x", true },
        { "http://me:word@proxy:3128", true },
        { "me@example.com", false },
        { "https://example.com", false },
};

static void test_looks(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(looks); i++)
                if (shown_secret(looks[i].text) != looks[i].secret)
                        fail_msg("%s is %s", looks[i].text, looks[i].secret ? "shown" : "not shown");
}

static void test_shown(void **state) {
        char room[16];

        assert_string_equal(SHOWN("plain"), "plain");
        assert_string_equal(SHOWN("a\x1b[2J\xff"), "a\\x1b[2J\\xff");
        assert_string_equal(shown("a longer text than that", room, sizeof(room)), "a longer tex...");
        assert_string_equal(SHOWN(KEY), "(not shown: it may be a secret)");
        assert_string_equal(shown(KEY, room, sizeof(room)), "(not shown: it ");
}

/* ---- configurations that hold secrets, damaged at random ---- */

static uint64_t seed;

static unsigned draw(unsigned n) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (unsigned) (seed >> 33) % n;
}

/* 24 characters of it in a row are too many; fewer of 88 are no use to anybody. */
static bool shows(const char *text, const char *secret) {
        for (size_t i = 0; i + 24 <= strlen(secret); i++)
                if (memmem(text, strlen(text), secret + i, 24))
                        return true;
        return false;
}

static const char *const whole[] = {
        "accounts:\n  a:\n    account: contoso\n    auth: {method: shared-key, key: " KEY "}\n"
        "  b:\n    connection-string: 'AccountName=x;AccountKey=" KEY ";EndpointSuffix=core.windows.net'\n"
        "  c:\n    endpoint: https://x.example.com\n    auth:\n      method: sas\n"
        "      sas: '?sv=2022-11-02&se=2030-01-01&sig=" SIG "'\ntransfers: 5\n",
        "accounts:\n  b:\n    connection-string: BlobEndpoint=https://x.example.com/?sv=1&sig=" SIG "\n"
        "    proxy: http://me:" KEY "@proxy:1\n",
        "folder: /no-such\ncontainer: abc\nprefix: x\naccount: " KEY "\nwatch: 'sig=" SIG "'\nexclude: [a, '" KEY
        "']\n",
};

static const char *const words[] = {
        "account:",
        "method:",
        "key:",
        "sas:",
        "proxy:",
        "endpoint:",
        "ca-file:",
        "folder:",
        "auth:",
        "prefix:",
        "container:",
        "watch:",
        "exclude:",
        "transfers:",
        "accounts:",
        "{file:",
        "{env:",
        "deletes:",
        "{credential:",
        "delete-guard:",
        "connection-string:",
        "{",
        "}",
        ":",
        "\n",
        "\n  ",
        "- ",
        "'",
        "\"",
        "&a ",
        "*a ",
        "!",
        "%",
        "#",
        ",",
};

/* Puts a word somewhere, or in the place of what stands before a colon, or takes bytes or a line away. */
static size_t damage(char *text, size_t size, size_t room) {
        const char *word = words[draw(ELEMENTSOF(words))];
        size_t at = draw((unsigned) size + 1), length = strlen(word), gone = 0;
        char *colon;

        switch (draw(4)) {
        case 0:
                gone = MIN((size_t) 1 + draw(8), size - at);
                length = 0;
                break;
        case 1:
                gone = strcspn(text + at, "\n");
                length = 0;
                break;
        case 2:
                colon = strchr(text + at, ':');
                if (colon) {
                        size_t end = (size_t) (colon - text) + 1;

                        for (at = end - 1; at > 0 && !strchr(" \n{", text[at - 1]); at--)
                                ;
                        gone = end - at;
                }
                break;
        default:
                break;
        }
        if (size + length - gone >= room)
                return size;
        memmove(text + at + length, text + at + gone, size - at - gone + 1);
        memcpy(text + at, word, length);
        return size + length - gone;
}

static void test_damaged(void **state) {
        const char *given = getenv("AZSYNC_TEST_SEED"), *rounds = getenv("AZSYNC_TEST_ROUNDS");
        unsigned n = rounds ? (unsigned) strtoul(rounds, NULL, 10) : 2000, refused = 0;
        uint64_t first = given ? strtoull(given, NULL, 10) : (uint64_t) time(NULL) * 1000 + (uint64_t) getpid();
        const ConfigPlaces places = { .config_dir = root };

        seed = first;
        print_message("AZSYNC_TEST_SEED=%llu\n", (unsigned long long) first);
        make_dir("mappings.d", 0755);
        for (unsigned round = 0; round < n; round++) {
                unsigned which = draw(ELEMENTSOF(whole)), times = 1 + draw(3);
                const char *file = which == 2 ? "mappings.d/m.yaml" : "azsyncd.yaml";
                _cleanup_buf_ Buf report = BUF_INIT((size_t) 64 * 1024);
                _cleanup_(config_freep) Config *config = NULL;
                size_t size = strlen(whole[which]);
                Error e = ERROR_NULL;
                char text[2048];
                const char *said;

                (void) snprintf(text, sizeof(text), "%s", whole[which]);
                while (times-- > 0)
                        size = damage(text, size, sizeof(text));
                (void) unlink(at("mappings.d/m.yaml"));
                put(file, text);
                assert_int_equal(chmod(at(file), draw(2) ? 0600 : 0644), 0);
                refused += config_load(&config, &places, &report, &e) < 0;
                said = config ? buf_text(&config->warnings) : buf_text(&report);
                if (shows(said, KEY) || shows(said, SIG) || shows(e.text, KEY) || shows(e.text, SIG))
                        fail_msg("seed %llu, round %u:\n%s\nis answered by\n%s", (unsigned long long) first, round,
                                 text, said);
        }
        assert_true(refused > n / 4 && refused < n); /* both kinds were asked */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_looks),
                cmocka_unit_test(test_shown),
                TEST(test_damaged),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
