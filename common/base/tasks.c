#include "base/tasks.h"

#include "base/clock.h"

#include <curl/curl.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/banned.h"

#define FOREVER INT64_MAX
#define POLL_MAX 1000 /* ms; curl's own timers are shorter */
#define FDS_MAX 1024  /* sockets that tasks wait for, in one poll */

/* A task has a thread only for its stack: at any time one of them has the baton, the others wait for it. Semaphores
 * order all memory accesses, so nothing else is locked. */
struct task {
	pthread_t thread;
	sem_t go;
	struct tasks *tasks;
	struct group *group;
	size_t item;
	bool ended;
	/* What it waits for. */
	bool waiting;
	int64_t until; /* monotonic ms */
	struct pollfd *fds;
	nfds_t nfds;
	int some;          /* of fds, that have something */
	struct task *next; /* in the queue of a gate */
};

/* What one tasks_run or tasks_spawn asked for. */
struct group {
	void (*fn)(void *ctx, size_t item);
	void *ctx;
	size_t next_item, end, left; /* left: that have not ended */
	struct task *waiter;         /* who waits for it; NULL: the caller is no task, or nobody */
	bool spawned;                /* nobody waits for it */
	bool failed;                 /* some could not be started */
	struct group *next;
};

/* A transfer in hand. */
struct transfer {
	struct task *task; /* NULL: the caller is no task */
	bool done;
	CURLcode code;
};

struct tasks {
	CURLM *multi;
	sem_t back;       /* to the loop */
	struct task *now; /* who has the baton; NULL: the loop, or the caller */
	struct task *v[TASKS_AT_ONCE];
	size_t nv;                  /* that have not ended */
	struct group *first, *last; /* with items that are still to be started */
};

struct tasks *tasks_new(struct err *err)
{
	struct tasks *t = calloc(1, sizeof *t);

#ifdef M_ARENA_MAX
	(void)mallopt(M_ARENA_MAX, 1); /* an arena per thread would be memory for nothing */
#endif
	if (t && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		t->multi = curl_multi_init();
	if (t && t->multi && sem_init(&t->back, 0, 0) == 0)
		return t;
	free(t);
	(void)err_set(err, ERR_TEMPORARY, "out of memory");
	return NULL;
}

void tasks_free(struct tasks *t)
{
	if (!t)
		return;
	(void)curl_multi_cleanup(t->multi);
	(void)sem_destroy(&t->back);
	free(t);
}

/* ---- passing the baton ---- */

static void await(sem_t *sem)
{
	while (sem_wait(sem) < 0)
		; /* EINTR */
}

/* To a task, until it waits or ends. */
static void resume(struct tasks *t, struct task *task)
{
	task->waiting = false;
	t->now = task;
	(void)sem_post(&task->go);
	await(&t->back);
	t->now = NULL;
}

/* The task in hand waits: back to the loop, until the loop resumes it. */
static void hand_over(struct tasks *t)
{
	struct task *task = t->now;

	task->waiting = true;
	(void)sem_post(&t->back);
	await(&task->go);
}

static void *live(void *arg)
{
	struct task *task = arg;

	await(&task->go);
	task->group->fn(task->group->ctx, task->item);
	task->ended = true;
	(void)sem_post(&task->tasks->back);
	return NULL;
}

/* Signals stay with the thread that runs the loop, so that they end its wait. */
static int make_thread(struct task *task)
{
	pthread_attr_t attr;
	sigset_t all, was;

	if (pthread_attr_init(&attr) != 0)
		return -1;
	(void)pthread_attr_setstacksize(&attr, TASKS_STACK);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &was);
	const int bad = pthread_create(&task->thread, &attr, live, task);
	(void)pthread_sigmask(SIG_SETMASK, &was, NULL);
	(void)pthread_attr_destroy(&attr);
	return bad ? -1 : 0;
}

static bool start(struct tasks *t, struct group *g, size_t item)
{
	struct task *task = calloc(1, sizeof *task);

	if (!task)
		return false;
	*task = (struct task){.tasks = t, .group = g, .item = item, .until = FOREVER};
	(void)sem_init(&task->go, 0, 0);
	if (make_thread(task) < 0) {
		(void)sem_destroy(&task->go);
		free(task);
		return false;
	}
	t->v[t->nv++] = task;
	resume(t, task);
	return true;
}

static void add_group(struct tasks *t, struct group *g)
{
	g->left = g->end - g->next_item;
	*(t->first ? &t->last->next : &t->first) = g;
	t->last = g;
}

static void end_one(struct group *g)
{
	if (--g->left)
		return;
	if (g->waiter)
		g->waiter->until = 0; /* due at once */
	if (g->spawned)
		free(g);
}

/* As many as there is room for. When nothing runs that could make room, what cannot be started never will be. */
static void start_pending(struct tasks *t)
{
	while (t->first && t->nv < TASKS_AT_ONCE) {
		struct group *g = t->first;
		const size_t item = g->next_item++;
		if (g->next_item == g->end)
			t->first = g->next;
		if (start(t, g, item))
			continue;
		if (t->nv) { /* later */
			if (g->next_item-- == g->end)
				t->first = g;
			return;
		}
		g->failed = true;
		end_one(g);
	}
}

/* Those that have ended go, the order of the others stays. True: some went. */
static bool bury(struct tasks *t)
{
	const size_t were = t->nv;
	size_t left = 0;

	for (size_t i = 0; i < t->nv; i++) {
		struct task *task = t->v[i];
		if (!task->ended) {
			t->v[left++] = task;
			continue;
		}
		(void)pthread_join(task->thread, NULL);
		(void)sem_destroy(&task->go);
		end_one(task->group);
		free(task);
	}
	t->nv = left;
	return left < were;
}

/* ---- the loop ---- */

static void settle(struct tasks *t, CURL *curl, CURLcode code)
{
	struct transfer *x = NULL;

	(void)curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&x);
	(void)curl_multi_remove_handle(t->multi, curl);
	x->done = true;
	x->code = code;
	if (x->task)
		resume(t, x->task);
}

/* Resumes whose time has come, whose sockets have something. Gates resume by themselves. */
static void resume_due(struct tasks *t)
{
	const int64_t now = clock_monotonic_ms();

	for (size_t i = 0; i < t->nv; i++) {
		struct task *task = t->v[i];
		if (task->ended || !task->waiting)
			continue;
		if (task->fds)
			task->some = poll(task->fds, task->nfds, 0);
		if ((task->fds && task->some != 0) || task->until <= now)
			resume(t, task);
	}
}

static int collect(const struct tasks *t, struct curl_waitfd *fds, unsigned int *n)
{
	const int64_t now = clock_monotonic_ms();
	int64_t least = POLL_MAX;

	*n = 0;
	for (size_t i = 0; i < t->nv; i++) {
		const struct task *task = t->v[i];
		if (task->ended || !task->waiting)
			continue;
		if (task->until != FOREVER && task->until - now < least)
			least = task->until > now ? task->until - now : 0;
		for (nfds_t k = 0; task->fds && k < task->nfds && *n < FDS_MAX; k++)
			fds[(*n)++] = (struct curl_waitfd){
				.fd = task->fds[k].fd,
				.events = (short)((task->fds[k].events & POLLIN ? CURL_WAIT_POLLIN : 0) |
			                      (task->fds[k].events & POLLOUT ? CURL_WAIT_POLLOUT : 0)),
			};
		if (task->fds && *n == FDS_MAX && least > 10)
			least = 10; /* some are not in the poll */
	}
	return (int)least;
}

/* Everything goes on as far as it can; then waits until something has happened. */
static void turn(struct tasks *t)
{
	struct curl_waitfd fds[FDS_MAX];
	unsigned int n;
	int running, left;
	bool some = false;

	(void)curl_multi_perform(t->multi, &running);
	for (const CURLMsg *m; (m = curl_multi_info_read(t->multi, &left));) {
		if (m->msg != CURLMSG_DONE)
			continue;
		settle(t, m->easy_handle, m->data.result);
		some = true;
	}
	if (some)
		return;
	const int ms = collect(t, fds, &n);
	(void)curl_multi_poll(t->multi, fds, n, ms, NULL);
	resume_due(t);
}

static struct group *new_group(void (*fn)(void *ctx, size_t item), void *ctx, size_t from, size_t end, struct err *err)
{
	struct group *g = calloc(1, sizeof *g);

	if (g)
		*g = (struct group){.fn = fn, .ctx = ctx, .next_item = from, .end = end};
	else
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
	return g;
}

int tasks_run(struct tasks *t, size_t n, void (*fn)(void *ctx, size_t item), void *ctx, struct err *err)
{
	struct task *const self = t->now;
	struct group *g = n ? new_group(fn, ctx, 0, n, err) : NULL;

	if (!g)
		return n ? -1 : 0;
	g->waiter = self;
	add_group(t, g);
	if (self) {
		hand_over(t);
		self->until = FOREVER;
	} else {
		while (t->first || t->nv) {
			start_pending(t);
			const bool room = bury(t);
			if (t->nv && !(room && t->first))
				turn(t);
		}
	}
	const bool failed = g->failed;
	free(g);
	return failed ? err_set(err, ERR_TEMPORARY, "out of memory") : 0;
}

int tasks_spawn(struct tasks *t, void (*fn)(void *ctx, size_t item), void *ctx, size_t item, struct err *err)
{
	struct group *g = new_group(fn, ctx, item, item + 1, err);

	if (!g)
		return -1;
	g->spawned = true;
	add_group(t, g);
	return 0;
}

/* ---- what tasks wait for ---- */

void tasks_sleep(struct tasks *t, int64_t ms)
{
	if (!t || !t->now) {
		clock_sleep_ms(ms);
		return;
	}
	struct task *task = t->now;
	task->until = clock_monotonic_ms() + ms;
	hand_over(t);
	task->until = FOREVER;
}

int tasks_poll(struct tasks *t, struct pollfd *fds, nfds_t n, int64_t ms)
{
	if (!t || !t->now)
		return poll(fds, n, (int)ms);
	struct task *task = t->now;
	task->until = clock_monotonic_ms() + ms;
	task->fds = fds;
	task->nfds = n;
	task->some = 0;
	hand_over(t);
	task->fds = NULL;
	task->until = FOREVER;
	return task->some;
}

void tasks_enter(struct tasks *t, struct tasks_gate *gate)
{
	if (!t || !t->now || gate->inside < gate->width) {
		gate->inside++;
		return;
	}
	struct task *task = t->now;
	task->next = NULL;
	*(gate->first ? &gate->last->next : &gate->first) = task;
	gate->last = task;
	hand_over(t); /* whoever leaves hands its place over */
	task->until = FOREVER;
}

void tasks_leave(struct tasks *t, struct tasks_gate *gate)
{
	struct task *next = gate->first;

	(void)t;
	if (!next) {
		gate->inside--;
		return;
	}
	gate->first = next->next;
	next->until = 0; /* due at once */
}

int tasks_perform(struct tasks *t, void *curl)
{
	struct transfer x = {.task = t->now};

	if (curl_easy_setopt(curl, CURLOPT_PRIVATE, &x) != CURLE_OK || curl_multi_add_handle(t->multi, curl) != CURLM_OK)
		return CURLE_OUT_OF_MEMORY;
	while (!x.task && !x.done)
		turn(t);
	if (x.task) {
		hand_over(t);
		x.task->until = FOREVER;
	}
	(void)curl_easy_setopt(curl, CURLOPT_PRIVATE, NULL);
	return (int)x.code;
}

void tasks_cancel(struct tasks *t, void *curl)
{
	struct transfer *x = NULL;

	(void)curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&x);
	if (!x || x->done)
		return;
	(void)curl_multi_remove_handle(t->multi, curl);
	x->done = true;
	x->code = CURLE_ABORTED_BY_CALLBACK;
	if (x->task)
		x->task->until = 0;
}
