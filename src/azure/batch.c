/* A part of an answer counts only if the delimiter after it has come, too: so what was cut is never taken for whole. */
#include "azure/batch.h"

#include "http/http.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX ((size_t) 16 * 1024) /* of one part */

/* --- the request --- */

static int add(Buf *body, const char *boundary, unsigned number, const char *method, const char *target,
               const char *const *lines, size_t n_lines) {
        int r;

        r = buf_printf(body,
                       "--%s\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
                       "Content-ID: %u\r\n\r\n%s %s HTTP/1.1\r\n",
                       boundary, number, method, target);
        for (size_t i = 0; i < n_lines && r >= 0; i++) {
                r = buf_puts(body, lines[i]);
                if (r >= 0)
                        r = buf_puts(body, "\r\n");
        }
        return r < 0 ? r : buf_puts(body, "Content-Length: 0\r\n\r\n");
}

int batch_add(Buf *body, const char *boundary, unsigned number, const char *method, const char *target,
              const char *const *lines, size_t n_lines) {
        size_t before = body->size, end = strlen(boundary) + strlen("----\r\n");
        int r;

        assert(number < BATCH_MAX && strlen(boundary) < BATCH_BOUNDARY_ROOM && !strpbrk(target, " \r\n"));

        r = add(body, boundary, number, method, target, lines, n_lines);
        if (r >= 0 && body->size + end > body->ceiling)
                r = -EMSGSIZE;
        if (r < 0 && body->data) {
                body->size = before;
                body->data[before] = '\0';
        }
        return r;
}

int batch_end(Buf *body, const char *boundary) {
        return buf_printf(body, "--%s--\r\n", boundary);
}

/* --- the answer --- */

typedef struct Span {
        const char *at, *end;
} Span;

/* Takes the next line, without its end, off `s`. False: there is no more. */
static bool take_line(Span *s, Span *ret) {
        const char *lf;

        if (s->at == s->end)
                return false;
        lf = memchr(s->at, '\n', (size_t) (s->end - s->at));
        *ret = (Span){ s->at, lf ? lf : s->end };
        s->at = lf ? lf + 1 : s->end;
        if (ret->end > ret->at && ret->end[-1] == '\r')
                ret->end--;
        return true;
}

/* Takes the lines up to the first empty one off `s`, into `ret` as http_header() takes them. */
static int take_head(Span *s, Buf *ret) {
        Span line;
        int r = 0;

        buf_clear(ret);
        while (r >= 0 && take_line(s, &line) && line.end > line.at) {
                r = buf_append(ret, line.at, (size_t) (line.end - line.at));
                if (r >= 0)
                        r = buf_append(ret, "\r\n", 2);
        }
        return r;
}

/* "HTTP/1.1 202 Accepted": 202; 0: it is no such line. */
static long read_status(Span line) {
        static const char version[] = "HTTP/1.";
        const char *p = line.at + sizeof(version) - 1;
        long status = 0;

        if (line.end - line.at < (ptrdiff_t) strlen("HTTP/1.1 202") ||
            memcmp(line.at, version, sizeof(version) - 1) != 0 || p[0] < '0' || p[0] > '9' || p[1] != ' ')
                return 0;
        for (p += 2; p < line.end && *p >= '0' && *p <= '9' && status < 1000; p++)
                status = status * 10 + (*p - '0');
        return status >= 100 && status <= 599 && (p == line.end || *p == ' ') ? status : 0;
}

/* "17": 17; BATCH_MAX: it is no number of ours. */
static unsigned read_number(const char *text) {
        unsigned n = 0;

        if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
                return BATCH_MAX;
        for (; *text; text++) {
                if (*text < '0' || *text > '9' || n >= BATCH_MAX)
                        return BATCH_MAX;
                n = n * 10 + (unsigned) (*text - '0');
        }
        return MIN(n, BATCH_MAX);
}

/* 0: it is a part; -ENOMEM; anything else: it is not, or too large. */
static int read_part(Span s, Buf *head, BatchPart *ret) {
        char number[8];
        Span line;
        int r;

        r = take_head(&s, head);
        if (r >= 0)
                r = http_header(buf_text(head), "Content-ID", number, sizeof(number));
        if (r < 0)
                return r;
        ret->number = read_number(number);
        if (ret->number == BATCH_MAX || !take_line(&s, &line))
                return -EBADMSG;
        ret->status = read_status(line);
        if (ret->status == 0)
                return -EBADMSG;
        r = take_head(&s, head);
        ret->headers = buf_text(head);
        ret->body = s.at;
        ret->body_size = (size_t) (s.end - s.at);
        return r;
}

/* The boundary out of "multipart/mixed; boundary=X". */
static int read_boundary(const char *content_type, char ret[static BATCH_BOUNDARY_ROOM]) {
        static const char type[] = "multipart/mixed", name[] = "boundary=";
        const char *p = content_type;
        size_t n;

        if (strncasecmp(p, type, sizeof(type) - 1) != 0)
                return -EBADMSG;
        do {
                p = strchr(p, ';');
                if (!p)
                        return -EBADMSG;
                p += 1 + strspn(p + 1, " \t");
        } while (strncasecmp(p, name, sizeof(name) - 1) != 0);
        p += sizeof(name) - 1;
        if (*p == '"') {
                n = strcspn(++p, "\"");
                if (p[n] != '"')
                        return -EBADMSG;
        } else
                n = strcspn(p, "; \t");
        if (n == 0 || n >= BATCH_BOUNDARY_ROOM)
                return -EBADMSG;
        memcpy(ret, p, n);
        ret[n] = '\0';
        return 0;
}

typedef struct Delimiter {
        char text[BATCH_BOUNDARY_ROOM + 2]; /* "--X" */
        size_t size;
} Delimiter;

/* The next line that is the delimiter: `ret` is that line, its end included. False: there is none, or not all of it. */
static bool find_delimiter(Span s, const char *begin, const Delimiter *d, Span *ret, bool *ret_last) {
        while (s.at < s.end) {
                const char *found = memmem(s.at, (size_t) (s.end - s.at), d->text, d->size), *p;

                if (!found)
                        return false;
                p = found + d->size;
                s.at = found + 1;
                if (found > begin && found[-1] != '\n')
                        continue;
                *ret_last = s.end - p >= 2 && p[0] == '-' && p[1] == '-';
                if (*ret_last) {
                        *ret = (Span){ found, p + 2 };
                        return true;
                }
                while (p < s.end && (*p == ' ' || *p == '\t' || *p == '\r'))
                        p++;
                if (p < s.end && *p == '\n') {
                        *ret = (Span){ found, p + 1 };
                        return true;
                }
        }
        return false;
}

/* Calls for each part; `times`: how often its number stands there, counted if `count`. */
static int walk(const char *body, size_t size, const Delimiter *d, Buf *head, uint8_t times[static BATCH_MAX],
                bool count, BatchPartFn each, void *userdata) {
        Span s = { body, body + size }, line;
        bool last = false;
        int told = 0;

        if (!find_delimiter(s, body, d, &line, &last))
                return 0;
        while (!last) {
                Span part = { line.end, NULL };
                BatchPart p;
                int r;

                s.at = line.end;
                if (!find_delimiter(s, body, d, &line, &last))
                        break;
                part.end = line.at;
                if (part.end > part.at) /* the line end before a delimiter belongs to it */
                        part.end -= part.end - part.at >= 2 && part.end[-2] == '\r' ? 2 : 1;
                r = read_part(part, head, &p);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        continue;
                if (count)
                        times[p.number] = (uint8_t) MIN(times[p.number] + 1, 2);
                else if (times[p.number] == 1) {
                        each(&p, userdata);
                        told++;
                }
        }
        return told;
}

int batch_parse(const char *content_type, const char *body, size_t size, BatchPartFn each, void *userdata) {
        _cleanup_buf_ Buf head = BUF_INIT(HEAD_MAX);
        char boundary[BATCH_BOUNDARY_ROOM];
        uint8_t times[BATCH_MAX] = { 0 };
        Delimiter d;
        int r;

        assert(content_type && (body || size == 0) && each);

        r = read_boundary(content_type, boundary);
        if (r < 0 || size == 0)
                return r;
        d.size = (size_t) snprintf(d.text, sizeof(d.text), "--%s", boundary);
        r = walk(body, size, &d, &head, times, true, each, userdata);
        return r < 0 ? r : walk(body, size, &d, &head, times, false, each, userdata);
}
