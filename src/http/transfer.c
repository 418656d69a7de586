/* The request's bytes. A body up to HTTP_PIECE goes in as POSTFIELDS under its real method: header and body then leave
 * in one segment (apart, they cost a delayed acknowledgement of the peer: 7 ms). A larger one is copied piece by piece
 * either way; on_upload() does it instead of libcurl, so that each piece can be told to wait.
 *
 * Waiting. Libcurl knows nothing of why a body does not move, so both its limits on time would end the request. From
 * the first wait on, the one on speed is off for good, and the other one is set anew with each piece: so much time as
 * the piece, and the peer's silence after it, may take.
 *
 * Repeats. Libcurl sends a request again by itself if a kept connection turns out to be closed before the first byte of
 * an answer (10.4). Once is allowed, since this is the ordinary race with a peer that closes idle connections and every
 * write that matters is conditional; on_start() counts and refuses the rest, and `body_sent` counts both. */
#include "http/transfer.h"

#include "http/setopt.h"
#include "util/clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define HEAD_CEILING ((size_t) 16 * 1024) /* the final answer's header block */
#define HEAD_TOTAL (4 * HEAD_CEILING)     /* with 1xx answers before it and trailers after it */
#define BODY_FLOOR ((size_t) 64 * 1024)   /* what any answer may have, and all that an error may have */
#define SPARE_ROOM ((size_t) 64 * 1024)   /* a larger buffer is not kept for the next request */
#define SLOWEST UINT64_C(8192)            /* bytes per second below which the overall limit ends a request */
#define ANSWER_SMALL 1024L /* an ordinary header block; libcurl's minimum, and a block that malloc has at hand */
#define ANSWER_LARGE 16384L
#define CONNECT_SECONDS 15L
#define KEPT_SECONDS 60 /* load balancers drop an idle connection in silence after some minutes */
#define STARTS_MAX 2

static size_t on_head(char *bytes, size_t one, size_t size, void *userdata) {
        Transfer *t = userdata;

        if (t->head_total + size > HEAD_TOTAL)
                return 0;
        t->head_total += size;
        if (t->head_whole) {
                if (size < 5 || memcmp(bytes, "HTTP/", 5) != 0 || t->status >= 200)
                        return size; /* a trailer: nothing we use comes in one */
                buf_clear(&t->head); /* that was a 1xx; now comes the answer proper, or the next 1xx */
                t->head_whole = false;
        }
        if (size <= 2 && (bytes[0] == '\r' || bytes[0] == '\n')) {
                t->head_whole = true;
                (void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
                return size;
        }
        return buf_append(&t->head, bytes, size) < 0 ? 0 : size;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *userdata) {
        Transfer *t = userdata;
        uint64_t ceiling = t->status >= 300 ? BODY_FLOOR : t->body_ceiling;

        if (size > ceiling || t->body_received > ceiling - size)
                return 0;
        t->body_received += size;
        if (t->sink && (t->status == 200 || t->status == 206))
                return t->sink(bytes, size, t->userdata) < 0 ? 0 : size;
        t->body.ceiling = (size_t) ceiling;
        return buf_append(&t->body, bytes, size) < 0 ? 0 : size;
}

static int on_start(void *userdata, char *their_ip, char *our_ip, int their_port, int our_port) {
        Transfer *t = userdata;

        if (t->starts == 0)
                (void) curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &t->before);
        return ++t->starts > STARTS_MAX ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static int on_progress(void *userdata, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up) {
        Transfer *t = userdata;

        if ((uint64_t) up < t->sent) /* libcurl began again */
                t->sent_again += t->sent;
        t->sent = (uint64_t) up;
        return 0;
}

static bool set_silence(Transfer *t, int64_t ns) {
        long seconds = ns == 0 ? 0 : (long) MAX((ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC, (int64_t) 1);

        if (t->silence == seconds)
                return true;
        if (!set_long(t->easy, CURLOPT_LOW_SPEED_TIME, seconds))
                return false;
        t->silence = seconds;
        return true;
}

/* How long it may take for so many bytes to pass. */
static uint64_t cap_ms(const Transfer *t, uint64_t bytes) {
        uint64_t ms = bytes / SLOWEST * 1000 + (uint64_t) CONNECT_SECONDS * 1000 +
                      (uint64_t) ((2 * t->stall_ns + t->patience_ns) / NSEC_PER_MSEC);

        return MIN(ms, (uint64_t) INT32_MAX); /* 24 days: a long may have 32 bits */
}

/* `ms` from now on; 0: as long as it likes. */
static void set_deadline(Transfer *t, uint64_t ms) {
        uint64_t elapsed = (uint64_t) MAX((clock_boot() - t->began_at) / NSEC_PER_MSEC, (int64_t) 0);

        (void) set_long(t->easy, CURLOPT_TIMEOUT_MS, ms == 0 ? 0 : (long) MIN(elapsed + ms, (uint64_t) INT32_MAX));
}

static size_t on_upload(char *ret, size_t one, size_t room, void *userdata) {
        Transfer *t = userdata;
        size_t size = MIN(room, t->upload_size - t->upload_at);

        if (size > 0 && t->pace) {
                size = t->pace(size, t->pace_userdata);
                if (size == 0) {
                        (void) set_silence(t, 0);
                        t->paused = t->paced = true;
                        set_deadline(t, 0);
                        return CURL_READFUNC_PAUSE;
                }
                if (t->paced)
                        set_deadline(t, size / SLOWEST * 1000 + 2 * (uint64_t) (t->stall_ns / NSEC_PER_MSEC));
        }
        memcpy(ret, t->upload + t->upload_at, size);
        t->upload_at += size;
        return size;
}

/* Libcurl begins again (see above). */
static int on_rewind(void *userdata, curl_off_t offset, int origin) {
        Transfer *t = userdata;

        if (origin != SEEK_SET || offset < 0 || (uint64_t) offset > t->upload_size)
                return CURL_SEEKFUNC_FAIL;
        t->upload_at = (size_t) offset;
        return CURL_SEEKFUNC_OK;
}

void transfer_resume(Transfer *t) {
        if (!t->paused)
                return;
        t->paused = false;
        if (curl_easy_pause(t->easy, CURLPAUSE_CONT) != CURLE_OK)
                set_deadline(t, 1); /* out of memory, or over already: it ends by itself */
}

/* What is the same for every request. */
static bool set_constants(Transfer *t, const TransferOptions *options) {
        bool ok = true;

        ok &= set_pointer(t->easy, CURLOPT_PRIVATE, t);
        ok &= set_pointer(t->easy, CURLOPT_ERRORBUFFER, t->error);
        ok &= set_function(t->easy, CURLOPT_HEADERFUNCTION, on_head);
        ok &= set_pointer(t->easy, CURLOPT_HEADERDATA, t);
        ok &= set_function(t->easy, CURLOPT_WRITEFUNCTION, on_body);
        ok &= set_pointer(t->easy, CURLOPT_WRITEDATA, t);
        ok &= set_function(t->easy, CURLOPT_PREREQFUNCTION, on_start);
        ok &= set_pointer(t->easy, CURLOPT_PREREQDATA, t);
        ok &= set_function(t->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
        ok &= set_pointer(t->easy, CURLOPT_XFERINFODATA, t);
        ok &= set_long(t->easy, CURLOPT_NOPROGRESS, 0);
        ok &= set_function(t->easy, CURLOPT_READFUNCTION, on_upload);
        ok &= set_pointer(t->easy, CURLOPT_READDATA, t);
        ok &= set_function(t->easy, CURLOPT_SEEKFUNCTION, on_rewind);
        ok &= set_pointer(t->easy, CURLOPT_SEEKDATA, t);

        ok &= set_long(t->easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
        ok &= set_pointer(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
        ok &= set_long(t->easy, CURLOPT_FOLLOWLOCATION, 0); /* would carry the Authorization elsewhere (10.2) */
        ok &= set_long(t->easy, CURLOPT_PATH_AS_IS, 1);     /* what was signed is what is sent (6.4) */
        ok &= set_long(t->easy, CURLOPT_NETRC, CURL_NETRC_IGNORED);
        ok &= set_pointer(t->easy, CURLOPT_PROXY,
                          options->proxy ? options->proxy : ""); /* "": not the environment's (10.19) */
        ok &= set_pointer(t->easy, CURLOPT_NOPROXY, "");
        ok &= set_long(t->easy, CURLOPT_HEADEROPT, CURLHEADER_SEPARATE);
        ok &= set_long(t->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1);
        if (options->agent && options->proxy) /* the proxy gets it too */
                ok &= set_pointer(t->easy, CURLOPT_USERAGENT, options->agent + strlen(TRANSFER_AGENT));

        ok &= set_long(t->easy, CURLOPT_SSL_VERIFYPEER, 1);
        ok &= set_long(t->easy, CURLOPT_SSL_VERIFYHOST, 2);
        ok &= set_long(t->easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
        if (options->ca_file)
                ok &= set_pointer(t->easy, CURLOPT_CAINFO, options->ca_file);

        ok &= set_long(t->easy, CURLOPT_NOSIGNAL, 1);
#if LIBCURL_VERSION_NUM >= 0x075700
        ok &= set_long(t->easy, CURLOPT_QUICK_EXIT, 1); /* else ending a request waits for its name look-up: seconds */
#endif
        ok &= set_long(t->easy, CURLOPT_TCP_NODELAY, 1);
        ok &= set_long(t->easy, CURLOPT_TCP_KEEPALIVE, 1);
        ok &= set_long(t->easy, CURLOPT_TCP_KEEPIDLE, 30);
        ok &= set_long(t->easy, CURLOPT_TCP_KEEPINTVL, 15);
        ok &= set_long(t->easy, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
        ok &= set_long(t->easy, CURLOPT_LOW_SPEED_LIMIT, 1); /* bytes per second, over: */
        ok &= set_silence(t, options->stall_ns);
        ok &= set_long(t->easy, CURLOPT_EXPECT_100_TIMEOUT_MS, 1000);
        ok &= set_long(t->easy, CURLOPT_MAXAGE_CONN, KEPT_SECONDS);
        ok &= set_long(t->easy, CURLOPT_MAXLIFETIME_CONN, 3600);
        return ok;
}

/* Libcurl makes a buffer to receive into for each request. */
static int set_buffer(Transfer *t) {
        long size = t->body_ceiling > BODY_FLOOR ? ANSWER_LARGE : ANSWER_SMALL;

        if (size == t->buffer_size)
                return 0;
        if (!set_long(t->easy, CURLOPT_BUFFERSIZE, size))
                return -ENOMEM;
        t->buffer_size = size;
        return 0;
}

int transfer_init(Transfer *t, const TransferOptions *options) {
        assert(t && options && options->stall_ns > 0);

        *t = (Transfer){ .stall_ns = options->stall_ns,
                         .asks = { .proxied = options->proxy,
                                   .agent = options->proxy ? NULL : options->agent,
                                   .lines = BUF_INIT(HEAD_LINES_CEILING) },
                         .head = BUF_INIT(HEAD_CEILING),
                         .easy = curl_easy_init() };
        return t->easy && set_constants(t, options) ? 0 : -ENOMEM;
}

void transfer_done(Transfer *t) {
        curl_easy_cleanup(t->easy);
        t->easy = NULL;
        head_done(&t->asks);
        buf_done(&t->head);
        buf_done(&t->body);
}

int transfer_prepare(Transfer *t, const HttpSend *send) {
        uint64_t cap;
        int r;

        assert(t->asks.lines.size == 0 && t->head.size == 0 && t->body.size == 0);

        t->fn = send->fn;
        t->sink = send->sink;
        t->userdata = send->userdata;
        t->body_ceiling = send->sink && send->max_answer == 0 ? UINT64_MAX : MAX(send->max_answer, BODY_FLOOR);
        t->body_received = t->sent_again = t->sent = 0;
        t->head_total = 0;
        t->head_whole = false;
        t->status = t->before = 0;
        t->starts = 0;
        t->error[0] = '\0';
        t->pace = NULL;
        t->patience_ns = send->patience_ns;
        t->upload = send->body;
        t->upload_size = send->body_size;
        t->upload_at = 0;
        t->paused = false;

        r = head_set(&t->asks, t->easy, send);
        if (r < 0)
                return r;
        /* the overall limit: proportional to what may have to pass, none for a download without a ceiling */
        cap = t->body_ceiling == UINT64_MAX ? 0
                                            : cap_ms(t, MIN((uint64_t) send->body_size, UINT64_MAX / 4) +
                                                                MIN(t->body_ceiling, UINT64_MAX / 4));
        r = set_buffer(t);
        if (r < 0)
                return r;
        if (!set_long(t->easy, CURLOPT_TIMEOUT_MS, (long) cap))
                return -ENOMEM;
        if (!set_silence(t, t->stall_ns + t->patience_ns))
                return -ENOMEM;
        t->paced = false;
        return 0;
}

/* Without making a connection, and without waiting for a turn in the pool: the service's own, and the line to it. */
static int64_t latency_of(const Transfer *t) {
        curl_off_t sent = 0, answered = 0;

        if (t->starts != 1) /* libcurl adds up what repeats took */
                return 0;
        (void) curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &sent);
        (void) curl_easy_getinfo(t->easy, CURLINFO_STARTTRANSFER_TIME_T, &answered);
        return answered > sent ? (int64_t) (answered - sent) * NSEC_PER_USEC : 0;
}

void transfer_answer(Transfer *t, CURLcode result, HttpAnswer *ret) {
        const char *words = t->error;
        curl_off_t up = 0;
        long size = 0, connected = 0;

        (void) curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &connected);
        (void) curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &up);
        (void) curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &size);
        if (t->starts > 0 && (uint64_t) up > t->sent)
                t->sent = (uint64_t) up;

        if (result == CURLE_OK && (!t->head_whole || t->status < 200)) { /* libcurl calls that success (10.1) */
                result = CURLE_PARTIAL_FILE;
                words = "the answer ended within its header";
        } else if (result == CURLE_ABORTED_BY_CALLBACK) { /* on_start(); no other of ours aborts */
                result = CURLE_RECV_ERROR;
                words = "kept connections were closed without an answer";
        } else if (result != CURLE_OK && connected >= 300) /* libcurl calls that a connection that broke */
                result = CURLE_PROXY;

        *ret = (HttpAnswer){ .result = result,
                             .status = t->head_whole && t->status >= 200 ? t->status : 0,
                             .headers = buf_text(&t->head),
                             .body = buf_text(&t->body),
                             .body_size = t->body.size,
                             .sent = t->starts > 0 && (size > t->before || t->sent_again + t->sent > 0),
                             .body_sent = t->sent_again + t->sent };
        if (result == CURLE_OK) {
                ret->latency_ns = latency_of(t);
                return;
        }
        (void) snprintf(ret->error, sizeof(ret->error), "%s", words[0] ? words : curl_easy_strerror(result));
        for (char *c = ret->error; *c; c++) /* the peer may have had a say in it */
                if ((unsigned char) *c < ' ' || (unsigned char) *c >= 0x7f)
                        *c = '?';
}

void transfer_clear(Transfer *t) {
        head_forget(&t->asks);
        buf_clear(&t->head);
        buf_clear(&t->body);
        if (t->body.room > SPARE_ROOM)
                buf_done(&t->body);
}
