/* The control server with a fake engine in a directory of its own, and clients in the same process: whoever waits for
 * an answer turns the server's loop. */
#pragma once

#include "control/server.h"
#include "fake-engine.h"
#include "patience.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct Fixture {
        char base[64], dir[128];
        sd_event *loop;
        Engine engine; /* has the mappings below */
        Server *server;
        int reload_result;
        const char *reload_report;
        unsigned n_reloads;
} Fixture;

extern const FakeMapping fixture_mappings[3]; /* documents (1,234 items), empty, photos (700) */

int fixture_set_up(void **state);
int fixture_tear_down(void **state);
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_set_up, fixture_tear_down)

/* `limits`: only its time limits count; NULL: the usual ones */
int fixture_serve(Fixture *f, const ServerOptions *limits, Server **ret, Error *e);
void fixture_serve_anew(Fixture *f, const ServerOptions *limits);
void turn(Fixture *f);
void quiet(Fixture *f); /* waits until the loop has nothing to do: it must not spin while it waits */

#define PUMP(f, condition)                                          \
        do {                                                        \
                int64_t _end = clock_boot() + PATIENCE_NS;          \
                while (!(condition)) {                              \
                        if (clock_boot() > _end)                    \
                                fail_msg("waited: %s", #condition); \
                        turn(f);                                    \
                }                                                   \
        } while (0)

typedef struct Client {
        Fixture *f;
        Buf in;
        int fd;
        bool eof;
} Client;

Client client_open(Fixture *f);
void client_close(Client *c);
#define _cleanup_client_ _cleanup_(client_close)
void client_send(Client *c, const char *text, size_t size);
void client_ask(Client *c, const char *text);
bool client_has(Client *c);     /* what has come so far: true if that is a whole message, or the end */
json_t *client_next(Client *c); /* the next message, or NULL: the server has hung up */
void client_expect(Client *c, const char *expected);
void client_expect_end(Client *c);
json_int_t client_next_files(Client *c); /* the number that the next news of a watch show */

#define WAIT_ALL "{\"method\":\"io.azsync.Wait\"}"
#define WATCH "{\"method\":\"io.azsync.Status\",\"more\":true}"
#define IN_SYNC "{\"parameters\":{\"result\":\"in_sync\",\"why\":\"\"}}"
#define PAUSE "{\"method\":\"io.azsync.Pause\"}"
#define OK "{\"parameters\":{}}"
#define INFO "{\"method\":\"org.varlink.service.GetInfo\"}"
#define INFO_REPLY                                                                                       \
        "{\"parameters\":{\"vendor\":\"azsyncd\",\"product\":\"azsyncd\",\"version\":\"" AZSYNCD_VERSION \
        "\",\"url\":\"\",\"interfaces\":[\"org.varlink.service\",\"io.azsync\"]}}"
#define NO_SUCH "{\"error\":\"io.azsync.NoSuchMapping\",\"parameters\":{\"mapping\":\"nope\"}}"
#define FAILED(text) "{\"error\":\"io.azsync.Failed\",\"parameters\":{\"message\":\"" text "\"}}"
