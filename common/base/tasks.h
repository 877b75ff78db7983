/* Tasks: straight-line jobs of one thread that take turns whenever one of them waits, for an HTTP answer (base/http.h
 * over libcurl's multi interface), for a socket, for a time or for its turn at a gate. No locks are needed: between two
 * waits a task has the thread for itself.
 *
 * Every wait also works outside of a task; then only the caller waits. Not thread safe. Stacks are TASKS_STACK bytes of
 * address space each, of which only what was touched is memory. */
#ifndef BASE_TASKS_H
#define BASE_TASKS_H

#include "base/err.h"

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#define TASKS_AT_ONCE 256 /* further ones start when earlier ones have ended */
#define TASKS_STACK (2u * 1024u * 1024u)

struct tasks;
struct task;

struct tasks *tasks_new(struct err *err); /* TEMPORARY: no memory */
void tasks_free(struct tasks *t);         /* after every struct http that uses it; NULL is fine */

/* Runs fn(ctx, 0) to fn(ctx, n - 1), started in this order, and returns when the last has ended; within a task too.
 * TEMPORARY: no memory for a single task more; some may not have run. */
int tasks_run(struct tasks *t, size_t n, void (*fn)(void *ctx, size_t item), void *ctx, struct err *err);

/* Has fn(ctx, item) run as soon as the caller waits, and does not wait for it itself. Within a task only: the tasks_run
 * that all is in returns when this has ended too. */
int tasks_spawn(struct tasks *t, void (*fn)(void *ctx, size_t item), void *ctx, size_t item, struct err *err);

void tasks_sleep(struct tasks *t, int64_t ms);
/* poll(2), with its result. */
int tasks_poll(struct tasks *t, struct pollfd *fds, nfds_t n, int64_t ms);

/* At most `width` tasks are inside at a time; others wait, first come first served. Outside of a task nobody waits. */
struct tasks_gate {
	size_t width, inside;
	struct task *first, *last; /* who waits */
};
void tasks_enter(struct tasks *t, struct tasks_gate *gate);
void tasks_leave(struct tasks *t, struct tasks_gate *gate);

/* For base/http.c: carries out a transfer (a CURL *, a CURLcode). */
int tasks_perform(struct tasks *t, void *curl);
/* Ends a transfer that another task waits for: it gets CURLE_ABORTED_BY_CALLBACK. */
void tasks_cancel(struct tasks *t, void *curl);

#endif
