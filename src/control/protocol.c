#include "control/protocol.h"

#include "azsyncd/control.h"
#include "control/json.h"

#include <assert.h>
#include <string.h>

#define SERVICE_PREFIX "org.varlink.service."
#define AZSYNC_PREFIX AZSYNC_INTERFACE "."
#define TIMEOUT_MAX_S 1e9

enum {
        TAKES_INTERFACE = 1 << 0,
        TAKES_MAPPING = 1 << 1,
        NEEDS_MAPPING = 1 << 2,
        TAKES_MAPPINGS = 1 << 3,
        TAKES_TIMEOUT = 1 << 4,
        TAKES_AFTER = 1 << 5,
        NEEDS_TRUST = 1 << 6,
};

static const struct {
        const char *name;
        unsigned flags;
} methods[] = {
        [METHOD_GET_INFO] = { SERVICE_PREFIX "GetInfo", 0 },
        [METHOD_GET_INTERFACE_DESCRIPTION] = { SERVICE_PREFIX "GetInterfaceDescription", TAKES_INTERFACE },
        [METHOD_STATUS] = { AZSYNC_PREFIX "Status", TAKES_MAPPING },
        [METHOD_WAIT] = { AZSYNC_PREFIX "Wait", TAKES_MAPPINGS | TAKES_TIMEOUT },
        [METHOD_QUEUE] = { AZSYNC_PREFIX "Queue", TAKES_MAPPING | TAKES_AFTER | NEEDS_TRUST },
        [METHOD_RESCAN] = { AZSYNC_PREFIX "Rescan", TAKES_MAPPING | NEEDS_TRUST },
        [METHOD_RETRY] = { AZSYNC_PREFIX "Retry", TAKES_MAPPING | NEEDS_TRUST },
        [METHOD_PAUSE] = { AZSYNC_PREFIX "Pause", TAKES_MAPPING | NEEDS_TRUST },
        [METHOD_RESUME] = { AZSYNC_PREFIX "Resume", TAKES_MAPPING | NEEDS_TRUST },
        [METHOD_APPROVE] = { AZSYNC_PREFIX "Approve", TAKES_MAPPING | NEEDS_MAPPING | NEEDS_TRUST },
        [METHOD_REJECT] = { AZSYNC_PREFIX "Reject", TAKES_MAPPING | NEEDS_MAPPING | NEEDS_TRUST },
        [METHOD_RELOAD] = { AZSYNC_PREFIX "Reload", NEEDS_TRUST },
};

bool method_needs_trust(Method method) {
        return methods[method].flags & NEEDS_TRUST;
}

const char *method_name(Method method) {
        return strrchr(methods[method].name, '.') + 1;
}

/* jansson's parser recurses to 2,048 levels, and so does freeing what it made: refuse deep nesting before it starts. */
static bool too_deep(const char *text, size_t size) {
        bool quoted = false;
        unsigned depth = 0;

        for (size_t i = 0; i < size; i++) {
                char c = text[i];

                if (quoted) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                quoted = false;
                } else if (c == '"') {
                        quoted = true;
                } else if (c == '{' || c == '[') {
                        if (++depth > PROTOCOL_DEPTH_MAX)
                                return true;
                } else if ((c == '}' || c == ']') && depth > 0) {
                        depth--;
                }
        }
        return false;
}

static int refuse(const Request *r, Buf *reply, const char *error, const char *key, const char *text) {
        int k = r->oneway ? 0 : reply_error_text(reply, error, key, text);

        return k < 0 ? k : -EBADMSG;
}

/* Sets what the parameter `key` says. False: not a parameter of this method, or of a wrong type. */
static bool request_take(Request *r, const char *key, json_t *value) {
        unsigned flags = methods[r->method].flags;

        if (strcmp(key, "mapping") == 0 && flags & TAKES_MAPPING) {
                r->mapping = json_string_value(value);
                return r->mapping || (json_is_null(value) && !(flags & NEEDS_MAPPING));
        }
        if (strcmp(key, "interface") == 0 && flags & TAKES_INTERFACE) {
                r->interface = json_string_value(value);
                return r->interface;
        }
        if (strcmp(key, "after") == 0 && flags & TAKES_AFTER) {
                r->after = json_string_value(value);
                return r->after || json_is_null(value);
        }
        if (strcmp(key, "timeout_s") == 0 && flags & TAKES_TIMEOUT) {
                if (json_is_null(value))
                        return true;
                r->timeout_s = json_number_value(value);
                return json_is_number(value) && r->timeout_s >= 0 && r->timeout_s <= TIMEOUT_MAX_S;
        }
        if (strcmp(key, "mappings") == 0 && flags & TAKES_MAPPINGS) {
                size_t n = json_array_size(value);

                if (!json_is_array(value) || n > PROTOCOL_NAMES_MAX)
                        return json_is_null(value);
                for (size_t i = 0; i < n; i++)
                        if (!json_is_string(json_array_get(value, i)))
                                return false;
                return true;
        }
        return false;
}

static int request_names(Request *r, json_t *list) {
        size_t n = json_array_size(list);

        if (n == 0)
                return 0;
        r->mappings = calloc(n, sizeof(*r->mappings));
        if (!r->mappings)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                r->mappings[r->n_mappings++] = json_string_value(json_array_get(list, i));
        return 0;
}

static int request_flag(json_t *message, const char *key, bool *ret) {
        json_t *value = json_object_get(message, key);

        if (value && !json_is_boolean(value) && !json_is_null(value))
                return -EPROTO;
        *ret = json_is_true(value);
        return 0;
}

static int request_method(Request *r, const char *name, Buf *reply) {
        const char *dot = strrchr(name, '.');
        char interface[64];

        for (size_t i = 0; i < ELEMENTSOF(methods); i++)
                if (strcmp(name, methods[i].name) == 0) {
                        r->method = (Method) i;
                        return 0;
                }
        if (!dot || dot == name)
                return -EPROTO;
        if (strncmp(name, SERVICE_PREFIX, (size_t) (dot - name) + 1) == 0 ||
            strncmp(name, AZSYNC_PREFIX, (size_t) (dot - name) + 1) == 0)
                return refuse(r, reply, VARLINK_ERROR_METHOD_NOT_FOUND, "method", name);
        if ((size_t) (dot - name) >= sizeof(interface))
                return -EPROTO;
        memcpy(interface, name, (size_t) (dot - name));
        interface[dot - name] = '\0';
        return refuse(r, reply, VARLINK_ERROR_INTERFACE_NOT_FOUND, "interface", interface);
}

static int request_read(Request *r, Buf *reply) {
        json_t *parameters, *value;
        const char *name, *key;
        int k;

        if (request_flag(r->message, "oneway", &r->oneway) < 0 || request_flag(r->message, "more", &r->more) < 0 ||
            (r->oneway && r->more))
                return -EPROTO;
        name = json_string_value(json_object_get(r->message, "method"));
        if (!name)
                return -EPROTO;
        k = request_method(r, name, reply);
        if (k < 0)
                return k;

        parameters = json_object_get(r->message, "parameters");
        if (parameters && !json_is_object(parameters) && !json_is_null(parameters))
                return -EPROTO;
        json_object_foreach(parameters, key, value) if (!request_take(r, key, value)) return refuse(
                r, reply, VARLINK_ERROR_INVALID_PARAMETER, "parameter", key);
        if (methods[r->method].flags & NEEDS_MAPPING && !r->mapping)
                return refuse(r, reply, VARLINK_ERROR_INVALID_PARAMETER, "parameter", "mapping");
        if (methods[r->method].flags & TAKES_INTERFACE && !r->interface)
                return refuse(r, reply, VARLINK_ERROR_INVALID_PARAMETER, "parameter", "interface");
        return request_names(r, json_object_get(parameters, "mappings"));
}

int protocol_parse(Request *ret, const char *text, size_t size, Buf *reply) {
        _cleanup_request_ Request r = { .timeout_s = -1 };
        json_error_t error;
        int k;

        assert(ret && (text || size == 0) && reply);

        if (size > AZSYNC_REQUEST_MAX || too_deep(text, size))
                return -EPROTO;
        /* Two values for one key would let a reader before us see another request than we do. */
        r.message = json_loadb(size > 0 ? text : "", size, JSON_REJECT_DUPLICATES, &error);
        if (!r.message)
                return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : -EPROTO;
        if (!json_is_object(r.message))
                return -EPROTO;
        k = request_read(&r, reply);
        if (k < 0)
                return k;
        *ret = r;
        r = (Request){ 0 };
        return 0;
}

void protocol_done(Request *r) {
        free((void *) r->mappings);
        json_decref(r->message);
        *r = (Request){ 0 };
}

typedef struct Dump {
        Buf *out;
        int r; /* jansson forwards only that it failed */
} Dump;

static int dump_to_buf(const char *bytes, size_t size, void *userdata) {
        Dump *d = userdata;

        d->r = buf_append(d->out, bytes, size);
        return d->r;
}

static int reply_send(Buf *out, json_t *message) {
        Dump dump = { out, -ENOMEM };
        size_t before = out->size;

        /* 15 digits: 0.1 stays 0.1 */
        if (message && json_dump_callback(message, dump_to_buf, &dump, JSON_COMPACT | JSON_REAL_PRECISION(15)) == 0)
                dump.r = buf_append(out, "", 1);
        else if (dump.r == 0)
                dump.r = -ENOMEM;
        if (dump.r < 0 && out->data) {
                out->size = before;
                out->data[before] = '\0';
        }
        json_decref(message);
        return dump.r;
}

int reply_parameters(Buf *out, json_t *parameters, bool continues) {
        if (!parameters)
                return -ENOMEM;
        return reply_send(out, continues ? json_pack("{s:o, s:b}", "parameters", parameters, "continues", 1)
                                         : json_pack("{s:o}", "parameters", parameters));
}

int reply_error(Buf *out, const char *error, json_t *parameters) {
        if (!parameters)
                return -ENOMEM;
        return reply_send(out, json_pack("{s:s, s:o}", "error", error, "parameters", parameters));
}

int reply_error_text(Buf *out, const char *error, const char *key, const char *text) {
        return reply_error(out, error, json_pack("{s:o}", key, text_to_json(text)));
}
