/* Starting threads that may get stuck in the kernel, and living with that (pitfalls 2.6, 11.7). Such a thread is
 * detached: what it shares is counted, and goes with the last user. */
#pragma once

#include "util/error.h"
#include "util/macro.h"

#include <pthread.h>

/* Signals belong to the loop: they are blocked from the thread's first instant. `name`: at most 15 characters. With
 * `ret` the caller joins it; without, it is detached and counted for threads_wait(). Returns a negative errno. */
int thread_start(pthread_t *ret, const char *name, size_t stack, void *(*fn)(void *), void *userdata) _must_check_;

/* Waits until every detached thread has ended, for `ns` at most: at the end of the process, so that none is at work
 * while the libraries are torn down. One that is stuck is left to the kernel. */
void threads_wait(int64_t ns);

/* Calls fn(userdata) in a thread and waits for it, for *left ns at most; what it took is taken off *left. False: it has
 * not come back (or could not be started), and drop(userdata) follows in that thread when it does. True: `userdata` is
 * the caller's again. For questions that a dead file system does not answer. */
bool thread_ask(void (*fn)(void *userdata), void (*drop)(void *userdata), void *userdata, int64_t *left);
