/* The folder table: against a model that keeps nothing but (wd, path) pairs, and the cases of pitfalls 1.4-1.7. */
#include "watch/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const HashSeed seed = { 3, 4 };

static void drop(Tree *t, TreeNode *dropped, int *wds, size_t *ret_n) {
        size_t n = 0;
        int wd;

        while (tree_dropped(&dropped, &wd)) {
                assert_null(tree_by_wd(t, wd));
                if (wds)
                        wds[n] = wd;
                n++;
        }
        if (ret_n)
                *ret_n = n;
}

static size_t put(Tree *t, const char *path, int wd) {
        TreeNode *dropped = NULL;
        size_t n;

        assert_int_equal(tree_put(t, path, wd, &dropped), 0);
        drop(t, dropped, NULL, &n);
        return n;
}

static size_t cut(Tree *t, const char *path) {
        TreeNode *dropped = NULL;
        size_t n;

        tree_cut(t, tree_find(t, path), &dropped);
        drop(t, dropped, NULL, &n);
        return n;
}

static void expect(const Tree *t, int wd, const char *path) {
        const TreeNode *n = tree_by_wd(t, wd);
        char text[9000];

        if (!path) {
                assert_null(n);
                return;
        }
        assert_non_null(n);
        assert_int_equal(tree_wd(n), wd);
        assert_int_equal(tree_path_size(n), strlen(path));
        tree_path(n, text);
        text[tree_path_size(n)] = '\0';
        assert_string_equal(text, path);
        assert_ptr_equal(tree_find(t, path), n);
}

static Tree *sample(void) {
        Tree *t = NULL;

        assert_int_equal(tree_new(&t, &seed), 0);
        assert_int_equal(put(t, "", 1), 0);
        assert_int_equal(put(t, "a", 2), 0);
        assert_int_equal(put(t, "a/b", 3), 0);
        assert_int_equal(put(t, "a/b/c", 4), 0);
        assert_int_equal(put(t, "d", 5), 0);
        return t;
}

static void test_basics(void **state) {
        _cleanup_(tree_freep) Tree *t = sample();

        expect(t, 1, "");
        expect(t, 4, "a/b/c");
        assert_true(tree_is_root(tree_by_wd(t, 1)));
        assert_false(tree_is_root(tree_by_wd(t, 2)));
        assert_int_equal(put(t, "a/b", 3), 0); /* again: nothing happens (pitfalls 1.7) */
        assert_int_equal(tree_size(t), 5);
        assert_null(tree_find(t, "a/x"));
        assert_null(tree_find(t, "a/b/c/d"));
        assert_null(tree_find(t, "ab"));
        assert_null(tree_by_wd(t, 99));
        assert_null(tree_by_wd(t, -1));
        assert_null(tree_by_wd(t, INT32_MIN));
}

/* pitfalls 1.4: one update, and all beneath it is right. */
static void test_move(void **state) {
        _cleanup_(tree_freep) Tree *t = sample();

        assert_int_equal(put(t, "d/new name", 2), 0);
        expect(t, 2, "d/new name");
        expect(t, 3, "d/new name/b");
        expect(t, 4, "d/new name/b/c");
        assert_null(tree_find(t, "a"));
        assert_int_equal(tree_size(t), 5);
        assert_int_equal(tree_nodes(t), 4);

        assert_int_equal(put(t, "d/new name/b/x", 4), 0); /* renamed in place */
        expect(t, 4, "d/new name/b/x");
        assert_int_equal(put(t, "a", 3), 0);
        assert_int_equal(put(t, "d", 3), 2); /* over one that was removed first: its watches go */
        expect(t, 5, NULL);
        expect(t, 2, NULL);
        expect(t, 3, "d");
        expect(t, 4, "d/x");
}

/* pitfalls 1.6: another wd under a known name. */
static void test_recreated(void **state) {
        _cleanup_(tree_freep) Tree *t = sample();

        assert_int_equal(put(t, "a", 9), 3);
        expect(t, 9, "a");
        expect(t, 2, NULL);
        expect(t, 3, NULL);
        expect(t, 4, NULL);
        assert_null(tree_find(t, "a/b"));
        assert_int_equal(put(t, "", 10), 3); /* the root itself */
        expect(t, 10, "");
        assert_int_equal(tree_size(t), 1);
        assert_int_equal(tree_nodes(t), 0);
}

/* pitfalls 1.8: numbers wrap in the end. One that is used again means the new folder, and one that nobody has means
 * none. */
static void test_number_used_again(void **state) {
        _cleanup_(tree_freep) Tree *t = sample();

        assert_int_equal(put(t, "d/new", 3),
                         0); /* the kernel gives out 3 once more, and told nobody of the end of a/b */
        expect(t, 3, "d/new");
        assert_null(tree_find(t, "a/b"));
        assert_int_equal(put(t, "e", INT32_MAX), 0);
        expect(t, INT32_MAX, "e");
        assert_null(tree_by_wd(t, INT32_MAX - 1));
}

/* The folders between a watched one and its parent need not be watched (limit), nor be known yet. */
static void test_unwatched_between(void **state) {
        _cleanup_(tree_freep) Tree *t = NULL;

        assert_int_equal(tree_new(&t, &seed), 0);
        assert_int_equal(put(t, "p/q/r", 7), 0);
        expect(t, 7, "p/q/r");
        assert_int_equal(tree_wd(tree_find(t, "p/q")), -1);
        assert_int_equal(put(t, "p", 8), 0); /* now known: its branch stays */
        expect(t, 7, "p/q/r");
        tree_forget(t, tree_by_wd(t, 7));
        assert_null(tree_find(t, "p/q")); /* leads nowhere any more */
        expect(t, 8, "p");
        assert_int_equal(put(t, "p/q/r", 7), 0);
        tree_forget(t, tree_by_wd(t, 8));
        expect(t, 7, "p/q/r");
        assert_int_equal(put(t, "z", 7), 0);
        assert_null(tree_find(t, "p"));
        assert_int_equal(tree_nodes(t), 1);
}

/* What the table knows may be older than two moves, so that a folder seems to go beneath itself. */
static void test_tangled(void **state) {
        static const struct {
                const char *path;
                int wd;
                int left[3]; /* known afterwards, beside the moved one */
        } cases[] = {
                { "a/b/x/y", 2, { 1, 5 } },                                                 /* beneath itself */
                { "a/b", 2, { 1, 5 } },     { "a/b/c", 2, { 1, 5 } }, { "a", 4, { 1, 5 } }, /* onto what is above it */
                { "a", 3, { 1, 5 } },       { "", 4, { 0 } },         { "a/b", 1, { 0 } }, /* the root beneath itself */
                { "q", 1, { 0 } },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(tree_freep) Tree *t = sample();
                size_t left = 0, dropped = put(t, cases[i].path, cases[i].wd);

                expect(t, cases[i].wd, cases[i].path);
                for (; cases[i].left[left]; left++)
                        assert_non_null(tree_by_wd(t, cases[i].left[left]));
                assert_int_equal(tree_size(t), left + 1);
                assert_int_equal(dropped, 5 - left - 1);
        }
}

static void test_cut_and_keep(void **state) {
        static const char *const keep[] = { "a-b", "a", "ab" }; /* as a walk meets them: "a-b/" < "a/" < "ab/" */
        _cleanup_(tree_freep) Tree *t = sample();
        TreeNode *dropped = NULL;
        int wds[8] = { 0 };
        size_t n;

        for (size_t i = 1; i < ELEMENTSOF(keep); i++)
                assert_true(tree_compare(keep[i - 1], keep[i]) < 0);
        assert_int_equal(tree_compare("same", "same"), 0);
        assert_int_equal(put(t, "ab", 6), 0);
        assert_int_equal(put(t, "a-b", 7), 0);
        assert_int_equal(put(t, "aa/x", 8), 0);
        tree_keep_only(t, tree_find(t, ""), keep, ELEMENTSOF(keep), &dropped);
        drop(t, dropped, wds, &n);
        assert_int_equal(n, 2); /* "d" and "aa/x"; "aa" was not watched */
        assert_true(wds[0] + wds[1] == 5 + 8);
        expect(t, 4, "a/b/c");
        expect(t, 7, "a-b");

        assert_int_equal(cut(t, "a"), 3);
        assert_null(tree_find(t, "a"));
        assert_int_equal(cut(t, ""), 3);
        assert_int_equal(tree_size(t), 0);
        assert_int_equal(tree_nodes(t), 0);
        assert_int_equal(put(t, "", 1), 0);
        expect(t, 1, "");
}

static void test_deep(void **state) { /* pitfalls 6.7: no recursion */
        _cleanup_(tree_freep) Tree *t = NULL;
        char path[8192];

        assert_int_equal(tree_new(&t, &seed), 0);
        for (int depth = 0; depth < 4000; depth++) {
                memcpy(path + (size_t) depth * 2, "d/", 2);
                path[depth * 2 + 1] = '\0';
                assert_int_equal(put(t, path, depth + 1), 0);
                path[depth * 2 + 1] = '/';
        }
        path[7999] = '\0';
        expect(t, 4000, path);
        assert_int_equal(cut(t, "d/d"), 3999);
        assert_int_equal(tree_size(t), 1);
}

/* --- against a model --- */

#define MODEL 400

typedef struct Model {
        char path[MODEL][64]; /* "": not known; index is the wd. Each begins with "r". */
} Model;

static bool beneath(const char *path, const char *folder) {
        size_t n = strlen(folder);

        return strncmp(path, folder, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static void model_put(Model *m, const char *path, int wd) {
        char from[64];

        (void) snprintf(from, sizeof(from), "%s", m->path[wd]);
        if (strcmp(from, path) == 0)
                return;
        if (from[0] && (beneath(from, path) || beneath(path, from))) { /* tangled */
                for (int i = 0; i < MODEL; i++)
                        if (m->path[i][0] && beneath(m->path[i], from))
                                m->path[i][0] = '\0';
                from[0] = '\0';
        }
        for (int i = 0; i < MODEL; i++) {
                /* what stood there goes with its branch; but a place nobody watched takes a new watch and keeps it */
                bool taken = from[0];

                for (int k = 0; k < MODEL; k++)
                        taken = taken || strcmp(m->path[k], path) == 0;
                if (!taken)
                        break;
                if (m->path[i][0] && strcmp(m->path[i], path) != 0 && beneath(m->path[i], path))
                        m->path[i][0] = '\0';
        }
        for (int i = 0; i < MODEL; i++)
                if (strcmp(m->path[i], path) == 0)
                        m->path[i][0] = '\0';
        for (int i = 0; from[0] && i < MODEL; i++)
                if (m->path[i][0] && beneath(m->path[i], from)) {
                        char moved[256];

                        (void) snprintf(moved, sizeof(moved), "%s%s", path, m->path[i] + strlen(from));
                        assert_true(strlen(moved) < sizeof(m->path[i]));
                        (void) snprintf(m->path[i], sizeof(m->path[i]), "%.63s", moved);
                }
        (void) snprintf(m->path[wd], sizeof(m->path[wd]), "%s", path);
}

static uint32_t next(uint64_t *x) {
        *x = *x * UINT64_C(6364136223846793005) + 1442695040888963407u;
        return (uint32_t) (*x >> 33);
}

static void random_path(uint64_t *x, char *ret) {
        unsigned depth = next(x) % 4;
        size_t n = 1;

        ret[0] = 'r';
        for (unsigned i = 0; i < depth; i++) {
                ret[n++] = '/';
                ret[n++] = (char) ('a' + next(x) % 4);
        }
        ret[n] = '\0';
}

static void test_random(void **state) {
        for (uint64_t seed_no = 1; seed_no <= 40; seed_no++) {
                _cleanup_(tree_freep) Tree *t = NULL;
                static Model m;
                uint64_t x = seed_no;

                memset(&m, 0, sizeof(m));
                assert_int_equal(tree_new(&t, &(HashSeed){ seed_no, 0 }), 0);
                for (unsigned step = 0; step < 400; step++) {
                        int wd = (int) (next(&x) % 60) * 5 + 1;
                        size_t known = 0;
                        char path[64];

                        random_path(&x, path);
                        if (strlen(m.path[wd]) + strlen(path) > 30)
                                continue;
                        switch (next(&x) % 8) {
                        case 0:
                                if (tree_find(t, path))
                                        (void) cut(t, path);
                                for (int i = 0; i < MODEL; i++)
                                        if (m.path[i][0] && beneath(m.path[i], path))
                                                m.path[i][0] = '\0';
                                break;
                        case 1:
                                if (tree_by_wd(t, wd))
                                        tree_forget(t, tree_by_wd(t, wd));
                                m.path[wd][0] = '\0';
                                break;
                        default:
                                (void) put(t, path, wd);
                                model_put(&m, path, wd);
                        }
                        for (int i = 1; i < MODEL; i++) {
                                known += m.path[i][0] != '\0';
                                expect(t, i, m.path[i][0] ? m.path[i] : NULL);
                        }
                        assert_int_equal(tree_size(t), known);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_basics),
                cmocka_unit_test(test_move),
                cmocka_unit_test(test_recreated),
                cmocka_unit_test(test_number_used_again),
                cmocka_unit_test(test_unwatched_between),
                cmocka_unit_test(test_tangled),
                cmocka_unit_test(test_cut_and_keep),
                cmocka_unit_test(test_deep),
                cmocka_unit_test(test_random),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
