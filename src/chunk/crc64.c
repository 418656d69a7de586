#include "chunk/crc64.h"

#include "util/encode.h"

#include <pthread.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Bit 63 is the coefficient of x^0, bit 0 that of x^63; x^64 is implied. */
#define POLYNOMIAL UINT64_C(0x9a6c9329ac4bc9b5)

static uint64_t table[8][256]; /* [k]: of a byte that k bytes follow */
static uint64_t powers[4];     /* x^127, x^191, x^511, x^575 modulo the polynomial */
static bool have_clmul;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint64_t times_x(uint64_t a) {
        return a >> 1 ^ (a & 1 ? POLYNOMIAL : 0);
}

static uint64_t power_of_x(unsigned n) {
        uint64_t a = UINT64_C(1) << 63;

        while (n-- > 0)
                a = times_x(a);
        return a;
}

static void prepare(void) {
        for (unsigned i = 0; i < 256; i++) {
                uint64_t a = i;

                for (unsigned bit = 0; bit < 8; bit++)
                        a = times_x(a);
                table[0][i] = a;
        }
        for (unsigned k = 1; k < ELEMENTSOF(table); k++)
                for (unsigned i = 0; i < 256; i++)
                        table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
        powers[0] = power_of_x(127);
        powers[1] = power_of_x(191);
        powers[2] = power_of_x(511);
        powers[3] = power_of_x(575);
#ifdef __x86_64__
        have_clmul = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
#endif
}

/* Without the inversion at both ends. */
static uint64_t plain(uint64_t crc, const uint8_t *data, size_t size) {
        for (; size >= 8; data += 8, size -= 8) {
                uint64_t word = 0;

                for (unsigned i = 0; i < 8; i++) /* one load where bytes lie that way */
                        word |= (uint64_t) data[i] << 8 * i;
                word ^= crc;
                crc = 0;
                for (unsigned i = 0; i < 8; i++)
                        crc ^= table[7 - i][word >> 8 * i & 0xff];
        }
        for (; size > 0; data++, size--)
                crc = crc >> 8 ^ table[0][(crc ^ *data) & 0xff];
        return crc;
}

#ifdef __x86_64__
/* Moves 128 bits of the message forward: the low half stands 64 bits in front of the high one, and a product of two
 * such reversed words comes out multiplied by x once too often, hence powers less by one. */
__attribute__((target("pclmul,sse4.1"))) static __m128i fold(__m128i a, __m128i by, __m128i next) {
        return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(a, by, 0x10), _mm_clmulepi64_si128(a, by, 0x01)), next);
}

/* Four lanes of 16 bytes, each multiplied by x^512 a step: the remainder modulo the polynomial stays the same. */
__attribute__((target("pclmul,sse4.1"))) static uint64_t fast(uint64_t crc, const uint8_t *data, size_t size) {
        const __m128i near = _mm_set_epi64x((int64_t) powers[1], (int64_t) powers[0]),
                      far = _mm_set_epi64x((int64_t) powers[3], (int64_t) powers[2]);
        const __m128i *from = (const __m128i *) data;
        uint8_t rest[16];
        __m128i lane[4];

        for (unsigned i = 0; i < 4; i++)
                lane[i] = _mm_loadu_si128(from++);
        lane[0] = _mm_xor_si128(lane[0], _mm_set_epi64x(0, (int64_t) crc));
        for (size -= 64; size >= 64; size -= 64)
                for (unsigned i = 0; i < 4; i++)
                        lane[i] = fold(lane[i], far, _mm_loadu_si128(from++));
        for (unsigned i = 1; i < 4; i++)
                lane[i] = fold(lane[i - 1], near, lane[i]);
        for (; size >= 16; size -= 16)
                lane[3] = fold(lane[3], near, _mm_loadu_si128(from++));
        _mm_storeu_si128((__m128i *) rest, lane[3]);
        return plain(plain(0, rest, sizeof(rest)), (const uint8_t *) from, size);
}
#endif

uint64_t crc64_by_table(uint64_t crc, const void *data, size_t size) {
        (void) pthread_once(&once, prepare);
        return ~plain(~crc, data, size);
}

uint64_t crc64(uint64_t crc, const void *data, size_t size) {
        (void) pthread_once(&once, prepare);
#ifdef __x86_64__
        if (have_clmul && size >= 64)
                return ~fast(~crc, data, size);
#endif
        return ~plain(~crc, data, size);
}

void crc64_text(uint64_t crc, char ret[static 13]) {
        uint8_t bytes[8];

        for (unsigned i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t) (crc >> 8 * i);
        base64_encode(bytes, sizeof(bytes), ret);
}
