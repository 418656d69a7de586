/* The plain data that the files of sync/ share: the daemon's one Sync, its accounts, its mappings and their jobs. Lives
 * on the loop's thread. Each file says below which calls it gives to the others; outsiders use sync/engine.h. */
#pragma once

#include "azure/blob.h"
#include "config/config.h"
#include "journal/journal.h"
#include "sync/blocks.h"
#include "sync/engine.h"
#include "sync/pace.h"
#include "sync/plan.h"
#include "sync/throttle.h"
#include "util/filenews.h"
#include "util/log.h"
#include "util/loglimit.h"
#include "util/timer.h"
#include "watch/mounts.h"
#include "watch/scanner.h"
#include "watch/settle.h"
#include "watch/source.h"
#include "watch/watcher.h"

typedef struct Sync Sync;
typedef struct Account Account;
typedef struct Mapping Mapping;
typedef struct Job Job;
typedef struct Outside Outside;

#define SYNC_SMALL_MAX ((size_t) 4 * 1024 * 1024) /* up to here one Put Blob (azure-blob.md 7.7), above it blocks */
#define SYNC_FIRST_ROOM ((size_t) 64 * 1024)      /* what a file of unknown size is offered at first */
#define LARGE_SHORTER 4u                          /* a large file gives way to one that has less than this part left */
#define APART_MAX 256u                            /* jobs of a mapping that wait to send something large */
#define LOCAL_RETRY (5 * NSEC_PER_SEC)            /* so is what this machine had nothing to do it with */
#define ROOT_RETRY (5 * NSEC_PER_SEC)             /* a missing root is looked for so often */
#define SYNC_TRANSFERS 512u                       /* requests in flight per account at most, unless `transfers` says */

/* Who waits for memory: large files, that is those sent by blocks, by themselves. */
typedef enum Line { LINE_SMALL, LINE_LARGE } Line;
typedef struct MemoryLine {
        size_t used;
        Job *first, **last; /* in order */
} MemoryLine;

struct Sync {
        sd_event *loop;
        Journal *journal;
        bool once, closing;
        Defer *work;               /* start what is due */
        Timer *wake;               /* something becomes due */
        Defer *settled;            /* the loop is idle: commit what was gathered */
        Timer *commit;             /* at the latest after 50 ms under load (9.1) */
        Mounts *mounts;            /* NULL: no /proc */
        Timer *recover;            /* the journal is out of order: try again */
        unsigned recover_attempts; /* of this spell */
        int64_t recovered_at;      /* boot ns; 0: never */
        bool durable; /* a deletion was let go, or a rejection is over: the next commit reaches the disk (9.1) */
        Account **accounts;
        size_t n_accounts;
        Mapping **mappings; /* sorted by name */
        size_t n_mappings, turn;
        size_t memory, memory_used[2]; /* file data in flight: the bound, and what each kind has of it; see memory.c */
        bool serving;                  /* job_memory() is at work */
        const Bandwidth *bandwidth;    /* throttle.c: of all mappings together */
        Bucket bucket;
        Timer *throttle;
        int64_t rates_until;  /* boot ns */
        unsigned n_waiting;   /* bodies, for bytes */
        uint64_t served;      /* what the mapping that was served last had had */
        int64_t short_until;  /* boot ns: accounts_short() was called not long ago */
        unsigned transfers;   /* for each account at most, */
        bool transfers_fixed; /* or neither more nor less */
        EngineWait *waits;
        Timer *tell; /* listeners: at most ten times a second */
        int64_t told_at;
        struct {
                void (*fn)(void *userdata);
                void *userdata;
        } listeners[4]; /* the control server, the daemon's STATUS= */
        size_t n_listeners;
        void (*once_done)(bool in_sync, void *userdata);
        void *once_data;
        Outside *outside;
};

#define JOB_BUCKET_BITS 9
typedef enum JobKey { JOB_PATH, JOB_SOURCE, JOB_INODE, _JOB_KEYS } JobKey; /* what a job is found by; see jobs.c */

typedef enum Gate { GATE_OPEN, GATE_OFFLINE, GATE_DENIED } Gate;

struct Account {
        Sync *sync;
        char *name;
        char *identity; /* what it was made from, hashed: differs if a reload changed it */
        BlobClient *client;
        Gate gate;
        unsigned failures;    /* in a row */
        int64_t retry_at;     /* boot ns; while the gate is not open */
        int64_t closed_at;    /* boot ns of the last failure */
        bool asked_to_wait;   /* by the service: the network has nothing to do with it */
        FileNews *secret;     /* the file of its key, in which another one may stand by now; NULL: it has none */
        unsigned in_flight;   /* requests; beyond the limit they wait in the client's pool */
        Pace pace;            /* the limit */
        unsigned n_large;     /* large files under way */
        int64_t single_until; /* boot ns: it refused a batch, and is not asked to take one before */
        Error why;            /* while the gate is not open */
        LogLimit said;        /* why the gate was closed */
        bool silent;          /* it was closed for a reason that has had its share of the log */
        bool no_crc64;        /* the service has refused one that was right */
        bool keep;            /* engine_apply() */
};

typedef enum Block {
        BLOCK_NONE,
        BLOCK_ROOT,        /* missing, replaced or unreadable */
        BLOCK_DESTINATION, /* account, container or prefix are not those it was first used with */
        BLOCK_CONTAINER,   /* gone, or not there and not ours to make */
        BLOCK_CONTENTS,    /* the container is there, but most of what was in it is not */
} Block;

/* Bytes per second since somebody asked last, a second ago at least; report.c. */
typedef struct Rate {
        double value;
        int64_t at; /* boot ns; 0: nobody has asked */
        uint64_t bytes;
} Rate;

typedef struct Branch {
        char *path; /* "" = the whole tree */
        uint64_t number;
} Branch;

struct Mapping {
        Sync *sync;
        const MappingConfig *config;
        char *identity; /* as Account */
        Account *account;
        JournalMapping record;
        char writer[40];
        char *url; /* without a secret */
        Source *source;
        Watcher *watcher;
        Scanner *scanner;
        Settle *settle;
        Timer *rescan, *retry;
        Block block;
        char why[512];
        RootId other_root; /* what stands in the place of the root that is pinned; null: nothing that was looked at */

        /* scanning */
        Branch *branches; /* asked for and not begun, in order */
        size_t n_branches;
        Branch running; /* path NULL: none */
        ScanEnd ended;  /* of the running one, until what was heard by then has come in */
        int64_t scan_started;
        uint64_t scans_asked, scans_done;
        struct Merge *merge;
        bool scanned_once, first_sync;
        bool owed; /* a full scan was owed, is under way, and has not ended well yet: what `wait` must not overlook */
        bool fs_tells;
        const char *fs_name;
        unsigned folders, polled;
        int64_t rescan_wait;     /* ns from the end of a full comparison to the next, before jitter */
        uint64_t mounts_seen;    /* mounts_digest() of the folder */
        unsigned overflows;      /* since the last quiet scan: each makes the next scan wait longer (1.10) */
        int64_t scan_not_before; /* boot ns */
        int64_t walked_from;     /* boot ns: when the last complete walk of the whole tree began; 0: there was none */
        int64_t compared_until;  /* boot ns: when the last scan of any branch ended: what it met was due by then */

        /* Paths of which an event told that bytes changed, each ended by NUL, since the last commit: a lost transaction
         * must not take with it what no stamp need tell (pitfalls 4.3). */
        Buf told;
        bool told_more; /* than `told` has room for */

        /* contact with the container; as long as record.contacted is false, nothing else is sent */
        enum { CONTACT_NONE, CONTACT_CREATE, CONTACT_LIST, CONTACT_COMPARE } contact;
        BlobCall *contact_call;
        int64_t contact_at;        /* boot ns: not before */
        unsigned contact_failures; /* in a row, while the account's gate is open */
        Error contact_why;         /* of the last of them */
        int64_t appear_at;         /* boot ns when a blob of which no row tells became possible; 0: it is not */
        int64_t doubted_at;        /* boot ns of the last listing that a missing blob was the reason for; 0: none */
        struct {
                int64_t number; /* marks the rows whose blobs were seen; 0: none is under way */
                uint64_t known,
                        met; /* rows whose blobs must be there, when it began; those of them that it has shown */
                uint64_t confirmed, marked; /* all rows that tell of a blob; those of them that it has shown */
                uint64_t found;   /* blobs of ours that the journal did not know: it forgot a move or an upload */
                uint64_t missing; /* confirmed rows without a blob, so far */
                char *marker;     /* of the next page; NULL: the first */
                char *after;      /* the path up to which rows are compared */
        } listing;

        /* jobs */
        Job *ready_first, **ready_last; /* claimed, not started */
        unsigned n_ready, n_started, n_jobs, n_unlooked;
        int64_t apart_full; /* boot ns when they became APART_MAX */
        unsigned n_apart;   /* of those started: what they send is large, or they wait to send it */
        Job *jobs;          /* every job, ready ones included */
        Job *jobs_by[_JOB_KEYS][1 << JOB_BUCKET_BITS];
        unsigned n_copying;                   /* jobs with a source */
        struct Batch *gathering, *travelling; /* deletions; see deletions.c */
        Timer *depart;
        int64_t follow_until;           /* boot ns: until then no deletion is claimed */
        unsigned n_arriving, n_batched; /* jobs of deletions that are still to be looked at; that are in a batch */
        MemoryLine lines[2];
        Throttle throttle;

        /* since process start */
        uint64_t uploaded_files, uploaded_bytes, copied_files, deleted_files, requests;
        char last_error[512];
        bool was_in_sync;
        bool two_hosts;        /* said that somebody else's azsyncd writes here */
        struct Part *barriers; /* wait.c: those that its watcher has not answered yet */
        int64_t warned_at;     /* wall ns of the last warning about mass overwriting */
        int64_t alerted;       /* `first` of the change that was alerted about */
        int64_t alert_next;    /* boot ns: no other alert before */
        Timer *alert;
        Timer *stuck_timer; /* while one of its threads is at work */
        /* how many of CONFLICT, FAILED and PENDING are being released, step by step */
        enum { RETRY_NONE, RETRY_CONFLICTS, RETRY_ALL = 3 } retrying;
        bool stuck;       /* for long: its file system does not answer */
        char detail[512]; /* for status */
        Rate rate;        /* of what it sends */
        LogLimit said;    /* failures and conflicts, since it was in sync last */
};

struct Job {
        Mapping *mapping;
        Job *next, *prev; /* in mapping->jobs */
        Job *next_ready;  /* in mapping->ready or mapping->memory */
        struct {
                Job *next;
                uint64_t hash;
                bool there;
        } keys[_JOB_KEYS];
        uint64_t gen;    /* when it was claimed */
        int64_t claimed; /* the journal's sequence then */
        bool was_gone, unlooked, started, apart;
        bool fresh;        /* nothing was asked of the service since it was looked at, */
        int64_t looked_at; /* boot ns */
        Look look;
        Stamp stamp;
        bool unmoved; /* the file was confirmed under no other name when it was looked at: there is nothing to copy */
        bool have_bytes, prefix;
        bool fuzzy; /* the bytes are of several moments: a marked copy */
        uint8_t md5[16];
        char *buffer;
        size_t size, reserved, wanted, wanted_most;
        Line line;                /* of what is reserved or wanted */
        uint64_t left;            /* of a large file that wants memory: bytes that are not read yet */
        unsigned overtaken;       /* in that line, by so many */
        void (*resume)(Job *job); /* when the memory that it waits for is there */
        Remote remote;
        ListedBlob blob;
        unsigned rounds;     /* plans so far: the world may not change under us for ever */
        char *name;          /* blob name */
        const char *unnamed; /* why there can be no blob of this name; static; NULL: there can */
        char *source_path; /* rename: the path whose blob is copied; must not be deleted meanwhile. jobs_set_source() */
        char source_etag[ROW_ETAG_ROOM];
        BlobCall *call;
        Sending sending;
        struct Batch *batch; /* in which it waits or travels, at its place there, to delete the blob of this etag */
        unsigned batch_at;
        const char *batch_etag;
        bool waiting;                     /* an answer of source is still to come */
        struct Upload *upload;            /* large files */
        Blocks blocks;                    /* of its blob, as far as asked */
        bool blocks_asked, blocks_unsure; /* Get Block List was answered; what it said may be out of date */
        unsigned refused_id_size;         /* the service takes no ids of so many bytes; 0: it has not said so */
        unsigned average_least;           /* cuts of a smaller average make too many blocks; 0: not known */
        int64_t read_ns;                  /* how long reading and hashing took; 0: it is small */
        bool by_blocks;                   /* a small file that has to be sent like a large one */
        Row row;                          /* last, and only row_size() of it */
};

/* engine.c */
struct Engine {
        Sync sync;
        Config **configs; /* the last one is in force; older ones as long as a mapping was made from them */
        size_t n_configs;
};

/* sync.c */
Mapping *sync_find(const Sync *s, const char *name);
void sync_kick(Sync *s);    /* something may be due */
void sync_touch(Sync *s);   /* rows were written: commit soon, tell */
int sync_commit(Sync *s);   /* what was gathered; negative: the journal is out of order now */
uint64_t sync_random(void); /* to spread retries and scans with */

/* apply.c: configurations in force */
/* Leaves its threads behind, wherever they are stuck, and begins anew as after a start, but for the counters, what is
 * known of the mounts and what events told since the last commit. It is gone if that fails. */
void sync_restart(Sync *s, size_t i);

/* verbs.c: what persons ask */
void verbs_carry(Mapping *m); /* the next few rows of what is retried, if there are any */

/* once.c: --once */
void once_check(Sync *s, bool committed); /* ends it, if it is over; not `committed`: the journal is out of order */

/* recovery.c: a journal that is out of order */
int recovery_new(Sync *s, Error *e) _must_check_;

/* account.c */
int account_new(Account **ret, Sync *s, const AccountConfig *config, Error *e) _must_check_;
Account *account_free(Account *a);
DEFINE_CLEANUP(Account *, account_free);
unsigned account_transfers(const Config *config); /* for each account */
void account_set_transfers(Account *a);           /* to what Sync says now */
/* No descriptor, or no memory, was to be had (11.2): connections that are kept are closed, and as with any other
 * congestion fewer are made from now on. */
void accounts_short(Sync *s);
int account_identity(const AccountConfig *config, char **ret) _must_check_;
/* One more request may be sent: beyond the limit it waits in the client's pool, or a mapping that has nothing there
 * would never have its turn beside one that always has. While the gate is not open it is the one that probes. */
bool account_may_send(const Account *a, int64_t now);
int account_sent(Account *a, int r); /* passes on what sending returned; counts the request if it is under way */
void account_forget(Account *a);     /* it was cancelled */
void account_judge(Account *a, Mapping *m,
                   const BlobAnswer *answer); /* it was answered; opens or closes the gate by that */

bool account_refused(const Account *a); /* and it is not being asked again just now */
void account_network(Account *a);       /* the network came: back-off ends */
void account_woken(Account *a);         /* after a sleep or a jump of the clock */

/* outside.c: the network comes, the machine wakes, a key is rotated */
int outside_new(Outside **ret, Sync *s, void (*reload)(void *userdata), void *userdata, Error *e) _must_check_;
Outside *outside_free(Outside *o);
void outside_reload(Outside *o); /* a refused account's secret has changed; NULL allowed */

/* life.c: a mapping is loaded, and ends */
int mapping_new(Mapping **ret, Sync *s, const MappingConfig *config, Account *account, Error *e) _must_check_;
Mapping *mapping_free(Mapping *m);
DEFINE_CLEANUP(Mapping *, mapping_free);
int mapping_identity(const MappingConfig *config, const char *account_identity, char **ret) _must_check_;
void mapping_alert(Mapping *m); /* sets its timer for the oldest unsynced change */

/* mapping.c */
bool mapping_in_sync(const Mapping *m);
void mapping_block(Mapping *m, Block block, const char *format, ...) _printf_(3, 4);
void mapping_unblock(Mapping *m);
void mapping_save(Mapping *m, bool durable);
/* Marks a path; `due` boot ns; `first`: as old as that change, 0: a new one. */
void mapping_hint(Mapping *m, const char *path, bool content, int64_t due, int64_t first);
void mapping_age(Mapping *m, const char *path, bool content, int64_t first); /* row_age() */
void mapping_tell_again(Mapping *m);                                         /* what was lost with a transaction */
bool mapping_excluded(const Mapping *m, const char *path, bool folder);
int64_t mapping_delete_delay(const Mapping *m); /* from proven absence to the deletion */
bool mapping_runs(const Mapping *m);            /* neither paused nor blocked */
bool mapping_scanning(const Mapping *m);
uint64_t mapping_pending(const Mapping *m);
const char *mapping_state(Mapping *m);
/* Of which mapping, account and container a record of the log is. */
static inline void mapping_fields(LogRecord *l, const MappingConfig *config) {
        log_field(l, "AZSYNC_MAPPING=%s", config->name);
        log_field(l, "AZSYNC_ACCOUNT=%s", config->account->name);
        log_field(l, "AZSYNC_CONTAINER=%s", config->container);
}
void mapping_note_writer(Mapping *m, const ListedBlob *blob); /* whose it is; says it once if it is another azsyncd's */

/* complaint.c */
void mapping_note_error(Mapping *m, const char *text); /* for status */
/* `path` is PATH_FAILED or PATH_CONFLICT now: for status and the log. `why`: NULL if no call failed. */
void mapping_complain(Mapping *m, PathState state, const char *path, const char *reason, const Error *why);

/* stuck.c */
void stuck_watch(void *mapping);         /* looks whether its threads get on; a TimerFn */
int64_t mapping_stuck(const Mapping *m); /* ns that the one that is at its work for longest has taken; 0: none */

/* scans.c */
int scans_open(Mapping *m, Error *e) _must_check_;
void scans_close(Mapping *m);
void mapping_scan(Mapping *m, const char *branch); /* "": the whole tree */
bool mapping_polled(const Mapping *m);             /* some of it, or all, is not told of by events */

/* merge.c: what a scan saw against the journal */
struct Merge *merge_new(Mapping *m, const char *branch);
struct Merge *merge_free(struct Merge *merge);
/* Each call does a bounded part. */
size_t merge_seen(struct Merge *merge, const Seen *seen, size_t n); /* how many are done */
bool merge_end(struct Merge *merge, bool complete);                 /* false: call again */
bool merge_failed(const struct Merge *merge); /* the journal, or memory: what was seen was not all compared */

/* contact.c: the container is met, and what it holds is listed, before the first write */
void contact_run(Mapping *m);
void contact_again(Mapping *m); /* what it holds may not be what the journal says: it is listed before more is sent */
void contact_doubt(Mapping *m); /* the same, but not more often than a rescan: a confirmed blob is not there */
void contact_may_appear(Mapping *m); /* a new blob's write in doubt is given up with its row, and may still come */
void contact_look_for(Mapping *m);   /* at a full comparison: for that */
void contact_lost(Mapping *m);       /* the service says that there is no container */
void contact_pages_over(Mapping *m); /* from listing.c: all pages are read */
void contact_done(Mapping *m);       /* from listing.c: and all rows are compared */
void contact_count(Mapping *m, const BlobAnswer *answer);
void contact_later(Mapping *m, int64_t wait_ns);
void contact_failed(Mapping *m, const BlobAnswer *answer); /* nothing can be told from it: asked again, ever later */

/* listing.c: a whole listing against the journal */
void listing_page(Mapping *m);    /* asks for the next page */
void listing_compare(Mapping *m); /* the next few rows */
void listing_drop(Mapping *m);    /* the next one begins anew: an incomplete one proves nothing (pitfalls 10.3) */

/* uploader.c */
void uploader_run(Sync *s, int64_t now);     /* claims what is due and starts what may start */
int64_t uploader_next(Sync *s, int64_t now); /* boot ns of the next thing due after `now`; INT64_MAX: nothing */

/* jobs.c */
void jobs_add(Job *job);
void jobs_remove(Job *job);
bool jobs_set_source(Job *job, const char *path); /* copied; NULL: none. False: no memory */
void jobs_saw(Job *job, const Stamp *stamp);      /* row_saw() */
Job *jobs_at(const Mapping *m, const char *path); /* NULL: none */
/* Those whose look, this one or the last, has found that inode: NULL: the first, or no more. */
const Job *jobs_of_inode(const Mapping *m, uint64_t ino, const Job *last);
bool jobs_busy_with(const Mapping *m, const char *path);
bool jobs_inode_due(const Mapping *m, uint64_t ino); /* found it under a name that is not confirmed with it */

/* job.c */
int job_new(Job **ret, Mapping *m, const Row *row) _must_check_;
Job *job_free(Job *job);
void job_start(Job *job);
void job_plan(Job *job);
/* It is no longer one of those that keep small ones from being started. False: too many are apart; it went back. */
bool job_set_apart(Job *job);
void job_look(Job *job);
/* `look` and `stamp` are what stands here, by a look or by the opening of a large file: its other names are told. True:
 * the job is over. */
bool job_saw(Job *job);

/* send.c: requests of a job, and their answers */
bool job_may_send(Job *job);            /* false: the account's gate has closed, or it is paused; the job went back */
void job_send(Job *job, const Plan *p); /* ASK, UPLOAD in one piece, METADATA */
void job_delete(Job *job, const char *etag);           /* by a request of its own */
void job_answered(Job *job, const BlobAnswer *answer); /* counts, clears `call` */
void job_deleted(Job *job, const BlobAnswer *answer);  /* one of a batch: what the account learns from it is not said */
void job_failed(Job *job, const BlobAnswer *answer,
                bool write); /* everything but OK and what the caller knows better */
BlobMeta job_meta(const Job *job);

/* outcome.c: each of these ends the job */
void job_confirm(Job *job, const char *etag);
void job_settle(Job *job, const char *etag);
void job_forget(Job *job);
void job_park(Job *job, PathState state, int64_t due, const char *reason);
void job_park_failed(Job *job, const Error *why); /* PATH_FAILED, for what a call failed of */
void job_release(Job *job, int64_t wait_ns, bool attempted, bool doubt, const char *reason);
bool job_rest(Job *job); /* if reading it took long, not long ago; false: it need not */
/* and these tell which it is to be */
bool job_is_hinted(Job *job); /* something has happened to the path since it was claimed */
bool job_may_mark(Job *job);  /* it changed while it was read: for so long by now that a marked copy is better than
                                 none? */
int64_t job_backoff(const Job *job, int64_t asked_ns); /* it failed: how long, at least as the service asked for */
int64_t job_pause(const Job *job);                     /* it changed while it was read: how long to leave it alone */

/* deletions.c: deletions that travel together */
void deletions_join(Job *job, const char *etag); /* it was just looked at. The etag stays where it is */
void deletions_leave(Mapping *m);                /* if no more are about to join */
void deletions_drop(Job *job);                   /* it ends: out of its batch */
void deletions_close(Mapping *m);                /* its jobs are gone */
unsigned deletions_room(const Mapping *m);       /* how many may be claimed for now, */
bool deletions_follow(Mapping *m, int64_t now);  /* unless that can wait a little, for more become due */
void deletions_time(void *mapping);              /* a TimerFn */

/* memory.c */
/* Room for `least` to `most` bytes is in job->reserved then, in place of what was. False: it waits, and resume() comes.
 */
bool job_want_memory(Job *job, Line line, size_t least, size_t most, void (*resume)(Job *job));
void job_give_back(Job *job);
void job_unwait(Job *job); /* leaves the line */
void job_memory(Sync *s);  /* room came free: serve those who wait */

/* throttle.c; see throttle.h */
void throttle_init(Throttle *t, const Bandwidth *limit);
void throttle_apply(Sync *s, const Config *config); /* limits in force from now on */
void throttle_serve(void *sync);                    /* a TimerFn */
uint64_t throttle_rate(Mapping *m);                 /* bytes per second that it may have now; 0: no limit */

/* upload.c: a large file, by blocks */
/* Ends in job_plan() with the whole's MD5. `hash_first`: nothing is sent before that, unless by blocks that are known.
 */
void upload_start(Job *job, bool hash_first);
void uploads_stop(Mapping *m);      /* but for those that ask or commit; what is there already is found again */
bool upload_staged(const Job *job); /* every block is there: only the commit is missing */
void upload_commit(Job *job, const char *etag); /* NULL: If-None-Match: * */
void upload_free(struct Upload *u);
uint64_t upload_sent(const struct Upload *u);
Rate *upload_rate(struct Upload *u); /* of what upload_sent() says, from its beginning on */

/* links.c: other names of the file that was just looked at */
bool links_hint(Job *job); /* true: one of them has seen a later state. Sets job->unmoved */
/* The file that stood here is no longer here, and what an event told of this path, or is to tell yet, may have been
 * written to that one: the names that it still has are looked at. */
void links_former(Job *job);
/* Its bytes were read, and are in the cloud, or stay out of it for now: names with its stamp, and other bytes, are
 * read. */
void links_read(Job *job);

/* rename.c: the same file under another name is copied on the server */
bool rename_try(Job *job); /* true: it is under way */

/* wait.c */
void waits_check(Sync *s);
void waits_unwatched(Mapping *m);                   /* its watcher is gone, and its callbacks with it */
void waits_restarted(Sync *s, const char *mapping); /* it is another one now */
void waits_free(Sync *s);
