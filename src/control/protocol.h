/* Varlink messages <-> requests and replies: what a client may say, checked to the last byte, and how answers are
 * framed. Pure: no socket, no engine. A message is a JSON object; the NUL that ends it is the caller's to cut, and is
 * put behind each reply here. */
#pragma once

#include "util/buf.h"

#include <jansson.h>

#define PROTOCOL_DEPTH_MAX 8u    /* nesting of a request; ours need 3 */
#define PROTOCOL_NAMES_MAX 1024u /* mappings named in one Wait */

typedef enum Method {
        METHOD_GET_INFO,
        METHOD_GET_INTERFACE_DESCRIPTION,
        METHOD_STATUS,
        METHOD_WAIT,
        METHOD_QUEUE,
        METHOD_RESCAN,
        METHOD_RETRY,
        METHOD_PAUSE,
        METHOD_RESUME,
        METHOD_APPROVE,
        METHOD_REJECT,
        METHOD_RELOAD,
} Method;

typedef struct Request {
        Method method;
        bool oneway, more;
        const char *interface; /* GetInterfaceDescription */
        const char *mapping;   /* NULL: all */
        const char *after;     /* Queue: a cursor; NULL: from the start */
        const char **mappings; /* Wait */
        size_t n_mappings;     /* 0: all */
        double timeout_s;      /* Wait; negative: none */
        json_t *message;       /* holds the strings above */
} Request;

/* 0 and *ret; -EBADMSG: refused, and the reply that says why was appended to `reply` (nothing for a oneway call);
 * -EPROTO: not a Varlink call at all, so the peer cannot be talked to; -ENOMEM. */
int protocol_parse(Request *ret, const char *text, size_t size, Buf *reply) _must_check_;
void protocol_done(Request *r);
#define _cleanup_request_ _cleanup_(protocol_done)

bool method_needs_trust(Method method) _pure_; /* only for root and the daemon's own user */
const char *method_name(Method method) _pure_; /* "Status" */

/* Each takes `parameters` over, whether it succeeds or not; NULL means that making them ran out of memory. -EMSGSIZE if
 * the ceiling of `out` would be passed (nothing is added then), -ENOMEM. */
int reply_parameters(Buf *out, json_t *parameters, bool continues) _must_check_;
int reply_error(Buf *out, const char *error, json_t *parameters) _must_check_;
/* The same with one text parameter, which may be any bytes. */
int reply_error_text(Buf *out, const char *error, const char *key, const char *text) _must_check_;

#define VARLINK_ERROR_INTERFACE_NOT_FOUND "org.varlink.service.InterfaceNotFound"
#define VARLINK_ERROR_METHOD_NOT_FOUND "org.varlink.service.MethodNotFound"
#define VARLINK_ERROR_INVALID_PARAMETER "org.varlink.service.InvalidParameter"
#define CONTROL_ERROR_NO_SUCH_MAPPING "io.azsync.NoSuchMapping"
#define CONTROL_ERROR_PERMISSION_DENIED "io.azsync.PermissionDenied"
#define CONTROL_ERROR_RELOAD_FAILED "io.azsync.ReloadFailed"
#define CONTROL_ERROR_NOTHING_TO_DO "io.azsync.NothingToDo"
#define CONTROL_ERROR_FAILED "io.azsync.Failed"
