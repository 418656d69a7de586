/* azsyncctl doctor: looks at what azsyncd needs, and says of each thing how it is and what to do. Runs with the rights
 * of whoever calls it, with or without a daemon, and changes nothing anywhere. Inside of src/ctl/ only. */
#pragma once

#include "azure/credential.h"
#include "config/config.h"
#include "ctl/findings.h"
#include "ctl/rights.h"
#include "ctl/where.h"

#include <stdatomic.h>
#include <systemd/sd-event.h>

typedef struct Doctor {
        Findings findings;
        sd_event *loop;
        Where where;
        Config *config;             /* NULL: refused */
        const MappingConfig *named; /* only this one; NULL: all */

        /* the daemon; `status` NULL: it does not run, or does not talk to us */
        json_t *status;
        uid_t uid; /* its user; ours if it does not run */
        pid_t pid;

        Rights eyes;     /* what folders are looked at with */
        int64_t walk_ns; /* what is not counted of a folder by then is not counted */

        /* of the mappings that are watched by inotify, gathered by doctor_folder() */
        unsigned watched;      /* mappings */
        uint64_t folders;      /* in them */
        bool folders_at_least; /* not all were counted */
        bool stuck;            /* a folder never answered: its thread still has the configuration */
} Doctor;

#define MACHINE ((About){ 0 })

/* For work in a thread: waits until it is *done. -ETIMEDOUT: not a step for 20 s (*stepped is the boot time of the last
 * one), so it hangs, and has to be left behind. */
int doctor_wait(Doctor *d, const bool *done, const _Atomic int64_t *stepped) _must_check_;

/* doctor-machine.c */
void doctor_clock(Doctor *d);
void doctor_files(Doctor *d);   /* open ones */
void doctor_state(Doctor *d);   /* the state directory and what is in it */
void doctor_inotify(Doctor *d); /* after the folders */

/* Will `need` more be there, if `used` of `limit` are taken by others? Warns from four fifths on. Pure. */
Outcome doctor_enough(uint64_t need, uint64_t used, uint64_t limit) _pure_;
/* How many watches /proc/PID/fdinfo/N of an inotify instance shows. Pure. */
uint64_t doctor_count_watches(const char *fdinfo) _pure_;

/* doctor-folder.c */
void doctor_folder(Doctor *d, const MappingConfig *m);

/* doctor-account.c */
void doctor_account(Doctor *d, const AccountConfig *account); /* and the mappings that use it */

/* What the permissions (sp=) and resource types (srt=) of a SAS lack for a mapping, in words, "" if nothing. Pure. */
void doctor_sas_lacks(const SasFacts *facts, bool deletes, char *ret, size_t room);
