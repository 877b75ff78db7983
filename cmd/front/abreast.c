#include "cmd/front/abreast.h"

#include "base/hash.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define STOP_MS 100 /* how soon a signal is seen while no input comes */
#define GATES 256   /* services are spread over so many; two of one gate take turns */

/* A record's place among those of its service: it leaves after the one ahead. */
struct turn {
	bool ahead; /* somebody is */
	struct tasks_gate gate;
	struct turn *after;
};

struct abreast {
	struct front *f;
	struct tasks *tasks;
	record_fn each;
	void *ctx;
	bool together;
	struct tasks_gate room, services[GATES];
	struct turn *last[GATES]; /* together: who came last */
	bool bad;                 /* the first failure that ends all */
	struct err err;
};

struct job {
	struct abreast *a;
	unsigned long line;
	size_t n;
	char bytes[];
};

static int wait_for(void *ctx, int fd, short events, struct err *err)
{
	struct abreast *a = ctx;
	struct pollfd p = {.fd = fd, .events = events};

	(void)err;
	/* Output is waited for whatever comes: a record that is done is written. */
	while (tasks_poll(a->tasks, &p, 1, STOP_MS) <= 0)
		if (events == POLLIN && front_stopping())
			break;
	return 0;
}

/* The stage's own function beside other records of the service; back when those before it have left. What follows,
 * until its line is among what is to be written, is done without a wait. */
static enum record_fate in_order(struct abreast *a, struct turn **last, struct record *r, struct err *err)
{
	struct turn me = {.ahead = *last != NULL};

	if (*last)
		(*last)->after = &me;
	*last = &me;
	const enum record_fate fate = a->each(a->ctx, r, err);
	if (me.ahead)
		tasks_enter(a->tasks, &me.gate); /* of no width: until it is opened */
	if (*last == &me)
		*last = NULL;
	if (me.after) {
		me.after->ahead = false;
		if (me.after->gate.first)
			tasks_leave(a->tasks, &me.after->gate);
	}
	return fate;
}

/* The stage's own function, when no other record of the service is in hand. */
static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct abreast *a = ctx;
	char service[SERVICE_NAME_MAX + 1];
	struct err none;

	if (record_service(r, service, &none) < 0)
		return a->each(a->ctx, r, err);
	const size_t gate = hash_text(service) % GATES;
	if (a->together)
		return in_order(a, &a->last[gate], r, err);
	tasks_enter(a->tasks, &a->services[gate]);
	const enum record_fate fate = a->each(a->ctx, r, err);
	tasks_leave(a->tasks, &a->services[gate]);
	return fate;
}

static void run_job(void *ctx, size_t item)
{
	struct job *j = ctx;
	struct abreast *a = j->a;
	struct err err = {0};

	(void)item;
	if (record_loop_one(&a->f->loop, j->line, j->bytes, j->n, &err) < 0 && !a->bad) {
		a->bad = true;
		a->err = err;
	}
	tasks_leave(a->tasks, &a->room);
	free(j);
}

/* A line for a task of its own, as soon as there is room for one more. */
static int take(void *ctx, unsigned long line, const char *bytes, size_t n, struct err *err)
{
	struct abreast *a = ctx;
	struct job *j = malloc(sizeof *j + n + 1);

	if (!j)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	j->a = a;
	j->line = line;
	j->n = n;
	memcpy(j->bytes, bytes, n);
	j->bytes[n] = '\0';
	tasks_enter(a->tasks, &a->room);
	if (a->bad)
		*err = a->err;
	if (!a->bad && tasks_spawn(a->tasks, run_job, j, 0, err) == 0)
		return 0;
	tasks_leave(a->tasks, &a->room);
	free(j);
	return -1;
}

/* The task that reads; the run ends when it and all jobs have ended. */
static void read_all(void *ctx, size_t item)
{
	struct abreast *a = ctx;
	struct err err = {0};

	(void)item;
	if (record_loop_run(&a->f->loop, &err) < 0 && !a->bad) {
		a->bad = true;
		a->err = err;
	}
}

static int filter(struct abreast *a, bool errors_too)
{
	struct front *f = a->f;
	struct err err = {0};
	const int status = front_terminal(f);

	if (status >= 0)
		return status;
	for (size_t i = 0; i < GATES; i++)
		a->services[i].width = 1;
	int bad = front_open(f, each, a, errors_too, &err);
	f->loop.take = take;
	f->loop.wait = wait_for;
	f->loop.pieces = true;
	f->loop.side_ctx = a;
	f->loop.flush_each = true; /* most are done while the reader waits for input, and it would not look at them */
	f->loop.output.max += a->room.width * LINE_MAX_BYTES; /* done, while the reader of our output is busy */
	if (!bad)
		bad = tasks_run(a->tasks, 1, read_all, a, &err);
	if (!bad && a->bad) {
		bad = -1;
		err = a->err;
	}
	/* What is left to write is written as ever. */
	f->loop.take = NULL;
	f->loop.wait = NULL;
	f->loop.pieces = false;
	return front_close(f, bad, &err);
}

int front_filter_abreast(struct front *f, struct tasks *tasks, record_fn fn, void *ctx, bool errors_too)
{
	struct abreast a = {.f = f, .tasks = tasks, .each = fn, .ctx = ctx, .room.width = ABREAST_RECORDS};

	return filter(&a, errors_too);
}

int front_filter_together(struct front *f, struct tasks *tasks, record_fn fn, void *ctx, bool errors_too)
{
	struct abreast a = {
		.f = f, .tasks = tasks, .each = fn, .ctx = ctx, .room.width = ABREAST_TOGETHER, .together = true};

	return filter(&a, errors_too);
}
