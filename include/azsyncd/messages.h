/* MESSAGE_IDs of azsyncd's log records (sd-id128). Each has an entry in systemd/azsyncd.catalog; tests/check compares
 * them. */
#pragma once

#define MSG_STARTED "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e01"
#define MSG_STOPPING "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e02"
#define MSG_CONFIG_REFUSED "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e03"
#define MSG_CONFIG_RELOADED "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e04"
#define MSG_CONFIG_WARNING "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e05"
#define MSG_NO_MAPPING "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e06"
#define MSG_MAPPING_LOADED "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e07"
#define MSG_MAPPING_UNLOADED "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e08"
#define MSG_MAPPING_BLOCKED "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e0a"
#define MSG_MAPPING_RESUMED "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e0b"
#define MSG_WATCH_LIMIT "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e0c"
#define MSG_OVERFLOW "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e0d"
#define MSG_OFFLINE "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e0e"
#define MSG_ONLINE "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e0f"
#define MSG_UPLOAD_FAILED "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e10"
#define MSG_CONFLICT "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e12"
#define MSG_IN_SYNC "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e13"
#define MSG_JOURNAL_TROUBLE "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e14"
#define MSG_UNLOADABLE "6b1c0d5fa7a44a8f8d0e3b6f2a9c4e16"
