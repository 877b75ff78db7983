#include "cmd/as-fetch-alerts/keeper.h"

#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct kept {
	char token[ALERT_TOKEN];
	int64_t since; /* CLOCK_MONOTONIC ms */
};

struct keeper {
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	bool stop;
	struct kept *list;
	size_t n, cap;

	const char *url;
	int64_t lease_ms;
	void (*report)(void *ctx, const struct err *err);
	void *ctx;
	struct alerts *store; /* the thread's */
};

/* Sleeps a third of a lease; true: it is time to leave. */
static bool pause_or_stop(struct keeper *k)
{
	const int64_t until = clock_monotonic_ms() + (k->lease_ms / 3 > 1 ? k->lease_ms / 3 : 1);
	const struct timespec t = {until / 1000, until % 1000 * 1000000};
	bool stop;

	(void)pthread_mutex_lock(&k->lock);
	while (!k->stop && clock_monotonic_ms() < until)
		(void)pthread_cond_timedwait(&k->wake, &k->lock, &t);
	stop = k->stop;
	(void)pthread_mutex_unlock(&k->lock);
	return stop;
}

/* The i-th claim of the list, copied; false: there is none. */
static bool kept_at(struct keeper *k, size_t i, struct kept *out)
{
	(void)pthread_mutex_lock(&k->lock);
	const bool there = i < k->n;
	if (there)
		*out = k->list[i];
	(void)pthread_mutex_unlock(&k->lock);
	return there;
}

/* Only this thread takes away, so i is still the same claim. */
static void forget(struct keeper *k, size_t i)
{
	(void)pthread_mutex_lock(&k->lock);
	k->list[i] = k->list[--k->n];
	(void)pthread_mutex_unlock(&k->lock);
}

static int renew_all(struct keeper *k, struct err *err)
{
	struct kept claim;

	if (!k->store && kept_at(k, 0, &claim) && !(k->store = alerts_open(k->url, err)))
		return -1;
	for (size_t i = 0; kept_at(k, i, &claim);) {
		int64_t held = 0;
		const bool old = clock_monotonic_ms() - claim.since > KEEPER_LEASES * k->lease_ms;
		if (!old && alerts_renew(k->store, claim.token, k->lease_ms, &held, err) < 0)
			return -1;
		if (held)
			i++;
		else
			forget(k, i);
	}
	return 0;
}

static void *keep(void *arg)
{
	struct keeper *k = arg;

	while (!pause_or_stop(k)) {
		struct err err = {0};
		if (renew_all(k, &err) == 0)
			continue;
		k->report(k->ctx, &err);
		alerts_close(k->store); /* opened anew the next time */
		k->store = NULL;
	}
	return NULL;
}

struct keeper *keeper_start(const char *url, int64_t lease_ms, void (*report)(void *ctx, const struct err *err),
                            void *ctx, struct err *err)
{
	struct keeper *k = calloc(1, sizeof *k);
	pthread_condattr_t attr;
	sigset_t all, before;

	if (!k) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	k->url = url;
	k->lease_ms = lease_ms;
	k->report = report;
	k->ctx = ctx;
	(void)pthread_mutex_init(&k->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&k->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)sigfillset(&all); /* signals are the main thread's */
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	const int failed = pthread_create(&k->thread, NULL, keep, k);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed) {
		(void)err_set(err, ERR_TEMPORARY, "cannot start the thread that renews leases: %s", strerror(failed));
		free(k);
		return NULL;
	}
	return k;
}

int keeper_add(struct keeper *k, const char *token, struct err *err)
{
	int bad = 0;

	(void)pthread_mutex_lock(&k->lock);
	if (k->n == k->cap) {
		const size_t cap = k->cap ? k->cap * 2 : 16;
		struct kept *list = realloc(k->list, cap * sizeof *list);
		if (list) {
			k->list = list;
			k->cap = cap;
		} else {
			bad = err_set(err, ERR_TEMPORARY, "out of memory");
		}
	}
	if (!bad) {
		struct kept *claim = &k->list[k->n++];
		claim->since = clock_monotonic_ms();
		(void)snprintf(claim->token, sizeof claim->token, "%s", token);
	}
	(void)pthread_mutex_unlock(&k->lock);
	return bad;
}

void keeper_stop(struct keeper *k)
{
	if (!k)
		return;
	(void)pthread_mutex_lock(&k->lock);
	k->stop = true;
	(void)pthread_cond_signal(&k->wake);
	(void)pthread_mutex_unlock(&k->lock);
	(void)pthread_join(k->thread, NULL);
	alerts_close(k->store);
	(void)pthread_cond_destroy(&k->wake);
	(void)pthread_mutex_destroy(&k->lock);
	free(k->list);
	free(k);
}
