/* One request's libcurl handle and buffers, used again for the next: making a handle costs more than sending a small
 * request. Knows nothing of the loop or of other requests. Inside of src/http/ only. */
#pragma once

#include "http/head.h"

#define TRANSFER_AGENT "User-Agent: "

typedef struct TransferOptions {
        const char *ca_file, *proxy; /* as in HttpPoolOptions */
        const char *agent;           /* NULL, or the line that begins with TRANSFER_AGENT; not copied */
        int64_t stall_ns;            /* not 0 */
} TransferOptions;

typedef struct Transfer {
        CURL *easy;                    /* CURLINFO_PRIVATE is the Transfer */
        int64_t stall_ns, patience_ns; /* of every request; beyond that, of this one */
        long silence;                  /* seconds that the handle puts up with; 0: any */
        Head asks;                     /* what the request is */
        long buffer_size;

        HttpFn fn;
        HttpSinkFn sink;
        void *userdata;
        uint64_t body_ceiling, body_received;
        Buf head, body; /* the answer */
        size_t head_total;
        bool head_whole;
        long status;
        HttpPaceFn pace; /* NULL: as fast as it goes */
        void *pace_userdata;
        const char *upload; /* a body that leaves in pieces; of it: */
        size_t upload_size, upload_at;
        int64_t began_at;    /* boot ns */
        bool paused, paced;  /* waits for its pace; has done so at least once */
        unsigned starts;     /* times the request was about to be sent */
        long before;         /* request bytes counted before the first: a proxy's CONNECT */
        uint64_t sent_again; /* body bytes of earlier attempts */
        uint64_t sent;       /* of this one */
        char error[CURL_ERROR_SIZE];
} Transfer;

int transfer_init(Transfer *t, const TransferOptions *options) _must_check_; /* 0, -ENOMEM; transfer_done() anyway */
void transfer_done(Transfer *t);

int transfer_prepare(Transfer *t, const HttpSend *send) _must_check_; /* 0, -EINVAL, -EMSGSIZE, -ENOMEM */
void transfer_answer(Transfer *t, CURLcode result, HttpAnswer *ret);  /* points into `t` */
void transfer_resume(Transfer *t);                                    /* its pace may be asked again */
void transfer_clear(Transfer *t);                                     /* before it waits for its next request */
