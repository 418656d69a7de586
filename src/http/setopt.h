/* curl_easy_setopt() is variadic: an int for a long, or a long for a curl_off_t, goes through in silence and reads
 * garbage on some machines. These take the type the option's number says. In parentheses it is no macro: that one's
 * check of the type, at high optimization, would want a char * where a void * is as good. Inside of src/http/ only. */
#pragma once

#include <assert.h>
#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

static inline bool set_long(CURL *easy, CURLoption option, long value) {
        assert(option < CURLOPTTYPE_OBJECTPOINT);
        return (curl_easy_setopt) (easy, option, value) == CURLE_OK;
}

static inline bool set_pointer(CURL *easy, CURLoption option, const void *value) {
        assert(option > CURLOPTTYPE_OBJECTPOINT && option < CURLOPTTYPE_FUNCTIONPOINT);
        return (curl_easy_setopt) (easy, option, value) == CURLE_OK;
}

static inline bool set_size(CURL *easy, CURLoption option, uint64_t value) {
        assert(option > CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB && value <= INT64_MAX);
        return (curl_easy_setopt) (easy, option, (curl_off_t) value) == CURLE_OK;
}

#define set_function(easy, option, fn) (curl_easy_setopt((easy), (option), (fn)) == CURLE_OK)
