/* What outsiders need to talk to a running azsyncd: the socket is RUNTIME_DIR/io.azsync and speaks Varlink (JSON
 * objects ended by a NUL byte). `varlinkctl introspect` shows the interface; docs/reference describes it. */
#pragma once

#define AZSYNC_SOCKET_NAME "io.azsync"
#define AZSYNC_INTERFACE "io.azsync"
#define AZSYNC_MESSAGE_MAX 16777216u /* bytes of one reply: 16 MiB */
#define AZSYNC_REQUEST_MAX 65536u    /* bytes of one request: 64 KiB */

/* exit codes of azsyncd and azsyncctl */
#define AZSYNC_EXIT_OK 0
#define AZSYNC_EXIT_FAILED 1
#define AZSYNC_EXIT_USAGE 2
#define AZSYNC_EXIT_UNSYNCED 3 /* azsyncd --once; azsyncctl wait, status --check, verify */
#define AZSYNC_EXIT_NO_DAEMON 4
#define AZSYNC_EXIT_CONFIG 78
