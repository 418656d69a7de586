/* The life of a call, between the files of src/azure/ that have its verbs. Inside of src/azure/ only. */
#pragma once

#include "azure/blob.h"
#include "azure/request.h"

#define BLOCK_LIST_MAX ((size_t) 24 * 1024 * 1024) /* bytes of 150,000 blocks, both kinds */

struct BlobClient {
        AzureEndpoint endpoint;
        Credential *credential;
        HttpPool *http;
        BlobCall *calls;
        Request request; /* of the call that is being made */
        uint64_t requests, session;
        int64_t busy_until_ns;    /* boot time: large bodies ask first (10.7) */
        int64_t service_clock_ns; /* what the service's clock said, minus our boot time; INT64_MIN: not heard yet */
};

struct BlobCall {
        BlobClient *client;
        BlobCall *next, *prev;
        HttpRequest *http;
        BlobFn fn;
        void *userdata;
        XmlListFn each_blob;
        XmlBlockFn each_block;
        BlobItemFn each_item;
        AzureVerb verb;
        size_t body_size;
        int64_t correction_ns; /* added to our clock for the signature */
        uint64_t number;       /* of the client-request-id */
        Buf body;              /* a block list, or a batch, on its way; of a listing, the marker that was sent */
        unsigned n_items;      /* of a batch */
        int64_t patience_ns;   /* HttpSend's */
        bool has_md5;
        uint8_t md5[16]; /* of the body, to compare with the echo */
};

/* call.c */
/* A new call, and the client's Request begun for it. */
BlobCall *call_new(BlobClient *c, AzureVerb verb, const char *method, BlobFn fn, void *userdata);
/* Signs and sends it, or frees it and says why not. */
int call_send(BlobCall *call, const char *container, const char *blob, const void *body, size_t size, size_t max_answer,
              BlobCall **ret);
void call_free(BlobCall *call);
int64_t call_correction(const BlobClient *c); /* what to add to our clock for the service to believe the date */

/* delete.c: tells each item of an answer with status 202, of which `in` is what counted for the whole. */
void batch_read(BlobCall *call, const HttpAnswer *http, const AnswerInput *in, BlobAnswer *answer);
