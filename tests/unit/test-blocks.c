/* Ids of blocks, and which of them the service has (azure-blob.md 7: id and size both). */
#include "sync/blocks.h"

#include "chunk/cut.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t sha256[32] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18 };

static void foreign(size_t size, char ret[static BLOCK_ID_ROOM]) {
        uint8_t bytes[BLOCK_ID_MOST] = "0000000";

        base64_encode(bytes, size, ret);
}

static const char *other_version(void) {
        static char id[BLOCK_ID_ROOM];
        const uint8_t bytes[BLOCK_ID_SIZE] = { CUT_VERSION + 1, 24 };

        base64_encode(bytes, sizeof(bytes), id);
        return id;
}

static void test_ids(void **state) {
        char id[BLOCK_ID_ROOM], other[BLOCK_ID_ROOM];

        for (unsigned size = BLOCK_ID_LEAST; size <= BLOCK_ID_MOST; size++) {
                uint8_t bytes[BLOCK_ID_MOST + 2];
                size_t n;

                block_id(sha256, 22, size, id);
                assert_int_equal(base64_decode(id, strlen(id), bytes, sizeof(bytes), &n), 0);
                assert_int_equal(n, size);
                assert_int_equal(bytes[0], CUT_VERSION);
                assert_int_equal(bytes[1], 22);
                assert_memory_equal(bytes + 2, sha256, MIN(size, BLOCK_ID_SIZE) - 2);
                block_id(sha256, 23, size, other);
                assert_string_not_equal(id, other); /* cut in another way: another blob's business */
        }
}

static void test_known(void **state) {
        Blocks b = { 0 };
        char id[BLOCK_ID_ROOM], theirs[BLOCK_ID_ROOM];

        block_id(sha256, 24, BLOCK_ID_SIZE, id);
        foreign(BLOCK_ID_SIZE, theirs);
        assert_false(blocks_have(&b, id, 5));
        assert_int_equal(blocks_known(&b, theirs, 5, true), 0);
        assert_false(blocks_have(&b, theirs, 5)); /* what is not ours says nothing about its content */
        assert_int_equal(b.average_log2, 0);
        assert_int_equal(b.id_size, 0); /* committed: it does not stay */
        assert_int_equal(blocks_known(&b, id, 5, true), 0);
        assert_int_equal(blocks_known(&b, id, 5, false), 0);
        assert_int_equal(b.average_log2, 24);
        assert_int_equal(b.id_size, BLOCK_ID_SIZE);
        assert_true(blocks_have(&b, id, 5));
        assert_false(blocks_have(&b, id, 6));
        assert_int_equal(blocks_known(&b, "?!", 5, false), 0);
        assert_int_equal(blocks_known(&b, other_version(), 5, true), 0);
        assert_false(blocks_have(&b, other_version(), 5)); /* other rules: it may have been hashed in another way */
        blocks_done(&b);
        assert_false(blocks_have(&b, id, 5));
}

/* Unfinished ids decide about the length of ours, whatever order they are listed in. */
static void test_lengths(void **state) {
        for (unsigned staged_first = 0; staged_first < 2; staged_first++) {
                Blocks b = { 0 };
                char id[BLOCK_ID_ROOM], theirs[BLOCK_ID_ROOM];

                block_id(sha256, 22, BLOCK_ID_SIZE, id);
                foreign(48, theirs);
                if (staged_first)
                        assert_int_equal(blocks_known(&b, theirs, 5, false), 0);
                assert_int_equal(blocks_known(&b, id, 5, true), 0);
                if (!staged_first)
                        assert_int_equal(blocks_known(&b, theirs, 5, false), 0);
                assert_int_equal(b.id_size, 48);
                blocks_done(&b);
        }
}

/* What is not cut yet is cut for its size; what is, as before, until it has outgrown that. */
static void test_average(void **state) {
        const uint64_t small = UINT64_C(1) << 30, large = UINT64_C(100) << 30;
        Blocks b = { 0 };
        char id[BLOCK_ID_ROOM];

        assert_int_equal(blocks_average(&b, small, 26), 22);
        assert_int_equal(blocks_average(&b, large, 26), 23); /* of 4 MiB: 25,600, and it may grow */
        block_id(sha256, 22, BLOCK_ID_SIZE, id);
        assert_int_equal(blocks_known(&b, id, 5, true), 0);
        assert_int_equal(blocks_average(&b, large, 26), 22);
        assert_int_equal(blocks_average(&b, blocks_most(22), 26), 22);
        assert_int_equal(blocks_average(&b, blocks_most(22) + 1, 26), 23);
        block_id(sha256, 24, BLOCK_ID_SIZE, id); /* of an upload that was cut off, or of some time ago */
        assert_int_equal(blocks_known(&b, id, 5, false), 0);
        assert_int_equal(blocks_average(&b, small, 26), 24);
        assert_int_equal(blocks_average(&b, small, 24), 24);
        assert_int_equal(blocks_average(&b, small, 23), 22); /* no memory for it any more */
        blocks_done(&b);
        for (unsigned average = CUT_AVERAGE_LEAST_LOG2; average <= CUT_AVERAGE_MOST_LOG2; average++)
                assert_in_range((blocks_most(average) >> average) * 7 / 6, BLOCKS_MAX / 2, BLOCKS_MAX);
}

static void test_list(void **state) {
        BlockList l = { .id_room = BASE64_ROOM(BLOCK_ID_SIZE) };
        _cleanup_free_ const char **ids = NULL;
        char id[BLOCK_ID_ROOM];
        uint8_t hash[32] = { 0 };

        for (uint32_t i = 0; i < BLOCKS_MAX; i++) {
                memcpy(hash, &i, sizeof(i));
                block_id(hash, 22, BLOCK_ID_SIZE, id);
                assert_int_equal(block_list_add(&l, id), 0);
        }
        assert_int_equal(block_list_add(&l, id), -E2BIG);
        ids = block_list_ids(&l);
        assert_non_null(ids);
        assert_int_equal(l.n, BLOCKS_MAX);
        for (uint32_t i = 0; i < BLOCKS_MAX; i++) {
                memcpy(hash, &i, sizeof(i));
                block_id(hash, 22, BLOCK_ID_SIZE, id);
                assert_string_equal(ids[i], id);
        }
        free(l.text);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_ids), cmocka_unit_test(test_known),
                                            cmocka_unit_test(test_lengths), cmocka_unit_test(test_average),
                                            cmocka_unit_test(test_list) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
