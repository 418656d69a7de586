#include "util/encode.h"

#include <assert.h>
#include <string.h>

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *bytes, size_t size, char *ret) {
        const uint8_t *p = bytes;
        size_t i = 0;

        assert((bytes || size == 0) && ret);

        for (; i + 3 <= size; i += 3) {
                uint32_t v = (uint32_t) p[i] << 16 | (uint32_t) p[i + 1] << 8 | p[i + 2];

                *ret++ = base64_digits[v >> 18];
                *ret++ = base64_digits[v >> 12 & 63];
                *ret++ = base64_digits[v >> 6 & 63];
                *ret++ = base64_digits[v & 63];
        }
        if (i < size) {
                uint32_t v = (uint32_t) p[i] << 16 | (i + 1 < size ? (uint32_t) p[i + 1] << 8 : 0);

                *ret++ = base64_digits[v >> 18];
                *ret++ = base64_digits[v >> 12 & 63];
                *ret++ = i + 1 < size ? base64_digits[v >> 6 & 63] : '=';
                *ret++ = '=';
        }
        *ret = '\0';
}

static int base64_value(char c) {
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(const char *text, size_t length, uint8_t *ret, size_t room, size_t *ret_size) {
        size_t pad = 0, size;

        assert((text || length == 0) && (ret || room == 0) && ret_size);

        if (length % 4 != 0)
                return -EINVAL;
        if (length > 0 && text[length - 1] == '=')
                pad = text[length - 2] == '=' ? 2 : 1;
        size = length / 4 * 3 - pad;

        /* The whole text is judged before the room: a wrong text is wrong whatever the buffer. */
        for (size_t i = 0; i < length - pad; i++)
                if (base64_value(text[i]) < 0)
                        return -EINVAL;
        /* Bits that stand for nothing must be 0, or one value would have several texts. */
        if (pad > 0 && (base64_value(text[length - pad - 1]) & (pad == 1 ? 3 : 15)) != 0)
                return -EINVAL;
        if (size > room)
                return -ENOSPC;

        for (size_t i = 0, n = 0; i < length; i += 4) {
                uint32_t v = 0;

                for (size_t k = 0; k < 4; k++)
                        v = v << 6 | (i + k < length - pad ? (uint32_t) base64_value(text[i + k]) : 0);
                for (int shift = 16; shift >= 0 && n < size; shift -= 8)
                        ret[n++] = (uint8_t) (v >> shift);
        }
        *ret_size = size;
        return 0;
}

void hex_encode(const void *bytes, size_t size, char *ret) {
        static const char digits[] = "0123456789abcdef";
        const uint8_t *p = bytes;

        assert((bytes || size == 0) && ret);

        for (size_t i = 0; i < size; i++) {
                *ret++ = digits[p[i] >> 4];
                *ret++ = digits[p[i] & 15];
        }
        *ret = '\0';
}

static bool is_unreserved(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
               c == '_' || c == '~';
}

int percent_encode(Buf *b, const char *bytes, size_t size, bool slashes) {
        static const char digits[] = "0123456789ABCDEF";
        char chunk[384]; /* one append for 128 bytes or more, since this runs for every request */
        size_t n = 0;

        assert(b && (bytes || size == 0));

        for (size_t i = 0; i < size; i++) {
                uint8_t c = (uint8_t) bytes[i];

                if (n + 3 > sizeof(chunk)) {
                        int r = buf_append(b, chunk, n);

                        if (r < 0)
                                return r;
                        n = 0;
                }
                if (is_unreserved(bytes[i]) || (slashes && c == '/')) {
                        chunk[n++] = bytes[i];
                        continue;
                }
                chunk[n++] = '%';
                chunk[n++] = digits[c >> 4];
                chunk[n++] = digits[c & 15];
        }
        return buf_append(b, chunk, n);
}

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int percent_decode(Buf *b, const char *text, size_t size) {
        assert(b && (text || size == 0));

        for (size_t i = 0, run = 0; i < size; i += run) {
                char byte;
                int r;

                for (run = 0; i + run < size && text[i + run] != '%';)
                        run++;
                if (run > 0) {
                        r = buf_append(b, text + i, run);
                } else {
                        if (size - i < 3 || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0)
                                return -EINVAL;
                        byte = (char) (hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
                        r = buf_append(b, &byte, 1);
                        run = 3;
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

char *decimal_encode(uint64_t number, unsigned digits, char *ret) {
        uint64_t rest = number;
        unsigned n = 0;

        do
                n++;
        while ((rest /= 10) > 0);
        n = MAX(n, digits);
        ret[n] = '\0';
        for (unsigned i = n; i-- > 0; number /= 10)
                ret[i] = (char) ('0' + number % 10);
        return ret + n;
}
