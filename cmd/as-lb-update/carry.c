/* Carrying out the changes of a record: those of one step at the same time, each in a task. */
#include "cmd/as-lb-update/update.h"

#include "base/clock.h"
#include "cmd/front/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

int open_balancer(struct update *u, size_t i, struct err *err)
{
	struct balancer *b = &u->balancers[i];

	b->conf = &u->f.conf.lbs[i];
	return lb_open(b->conf, &u->means, &b->driver, &b->lb, err);
}

/* A task: what one load balancer has. */
static void list_side(void *ctx, size_t i)
{
	struct job *j = ctx;
	struct side *s = &j->sides[i];

	if (s->bad) /* it could not be opened */
		return;
	s->bad = s->b->driver->list(s->b->lb, j->backend, &s->now, &s->err) < 0;
	s->at = clock_monotonic_ms();
	if (!s->bad || s->err.code != ERR_NOT_FOUND || !j->rule.n)
		return;
	s->absent = true; /* and is made when somebody is to be attached */
	s->bad = false;
}

int list_sides(struct job *j, struct err *err) { return tasks_run(j->u->hosts.tasks, j->nsides, list_side, j, err); }

/* ---- one change ---- */

/* Until the container counts as ready. */
static int await_ready(const struct job *j, const struct change *c, struct err *err)
{
	char id[128], host[SERVICE_NAME_MAX + 1];
	struct ready_wait w;
	int64_t started, left = j->gate_ms;

	steps_text(c->want->doc, "id", id, sizeof id);
	steps_text(c->want->doc, "host", host, sizeof host);
	if (clock_json(jv_get(c->want->doc, "started"), &started) && started + j->gate_ms - clock_now_ms() < left)
		left = started + j->gate_ms - clock_now_ms();
	struct engine_host *h = engine_hosts_get(&j->u->hosts, host, err);
	if (!h)
		return -1;
	ready_wait(&j->u->hosts, h, id, j->entry.ready, *j->entry.network ? j->entry.network : NULL, left > 0 ? left : 0,
	           &w);
	json_decref(w.doc);
	if (w.ready)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "host %s: %s did not get ready within %g s and is not attached: %s", host,
	               c->want->container, (double)j->gate_ms / 1000, w.why);
}

/* Another process may take an empty backend away between its being made and the attachment. */
static int attach(const struct job *j, struct change *c, struct lb_result *result)
{
	const struct balancer *b = c->side->b;

	for (int again = 0;; again++) {
		if (b->driver->attach(b->lb, j->backend, &c->server, j->gate_ms, result, &c->err) == 0)
			return 0;
		if (c->err.code != ERR_NOT_FOUND || !j->rule.n || again ||
		    b->driver->ensure(b->lb, j->backend, &j->route, result, &c->err) < 0)
			return -1;
	}
}

static int work(const struct job *j, struct change *c, struct lb_result *result)
{
	const struct balancer *b = c->side->b;

	switch (c->what) {
	case DO_ENSURE: return b->driver->ensure(b->lb, j->backend, &j->route, result, &c->err);
	case DO_FORGET: return b->driver->ensure(b->lb, j->backend, NULL, result, &c->err);
	case DO_ATTACH: return attach(j, c, result);
	case DO_DRAIN: return b->driver->drain(b->lb, j->backend, c->server.name, c->wait_ms, result, &c->err);
	case DO_DETACH: return b->driver->detach(b->lb, j->backend, c->server.name, c->wait_ms, result, &c->err);
	default: return 0;
	}
}

/* Another record has been at this entry since this one looked. */
static bool outdated(const struct job *j, const struct change *c, const struct touch *t)
{
	if (t->at < j->now || t->by == j->number)
		return false;
	return c->what == DO_ATTACH ? c->want->looked && !t->in : c->stale && t->in;
}

static void say_result(struct change *c, const struct lb_result *result)
{
	char place[LB_PLACE] = "";

	if (*c->server.address)
		lb_place(&c->server, place);
	if (result->already)
		settle(c, "already");
	else if (result->forced)
		settle(c, "forced");
	else if (*result->note)
		settle(c, result->note);
	else if (c->what == DO_ATTACH && *c->was && strcmp(c->was, place) != 0)
		(void)snprintf(c->message, sizeof c->message, "moved from %s", c->was);
	c->settled = true;
}

static void work_on_entry(struct job *j, struct change *c)
{
	struct lb_result result = {0};
	struct touch *t = touch_begin(j->u, j->known, c->side->b->conf, c->server.name);
	const int64_t at = clock_now_ms();

	if (!t) {
		const struct err why = {.code = ERR_TEMPORARY, .retry = true, .message = "out of memory"};
		settle_bad(c, &why);
		return;
	}
	if (outdated(j, c, t)) {
		settle(c,
		       c->what == DO_ATTACH ? "not done: it was taken out meanwhile" : "not done: it was attached meanwhile");
	} else if (work(j, c, &result) < 0) {
		c->settled = c->bad = true;
	} else {
		touch_done(t, j, c->what == DO_ATTACH, at);
		say_result(c, &result);
	}
	touch_end(j->u, t);
}

/* A task: one change. */
static void run_change(void *ctx, size_t item)
{
	struct job *j = ctx;
	struct change *c = &j->changes[j->running[item]];
	const int64_t began = clock_monotonic_ms();
	struct lb_result result = {0};

	if (c->what == DO_ATTACH && c->want->await && await_ready(j, c, &c->err) < 0)
		c->settled = c->bad = true;
	else if (c->what != DO_ENSURE && c->what != DO_FORGET)
		work_on_entry(j, c);
	else if (work(j, c, &result) == 0)
		say_result(c, &result);
	else
		c->settled = c->bad = true;
	/* An empty backend may have got a server meanwhile, from another process: then its route stays. Where no route
	 * can be made, there is none to take away. */
	if (c->quiet && c->bad && c->err.code == (c->what == DO_FORGET ? ERR_CONFLICT : ERR_CONFIG))
		c->bad = false;
	else if (c->quiet)
		c->quiet = !c->bad && result.already;
	c->ms = clock_monotonic_ms() - began;
}

static bool failed_before(const struct job *j, const struct change *c)
{
	for (size_t i = 0; i < j->nchanges; i++)
		if (j->changes[i].side == c->side && j->changes[i].bad && j->changes[i].step < c->step)
			return true;
	return false;
}

int carry_out(struct job *j, struct err *err)
{
	int bad = 0;

	j->running = calloc(j->nchanges + 1, sizeof *j->running);
	if (!j->running)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (j->step = 0; !bad && j->step < CHANGE_STEPS; j->step++) {
		size_t n = 0;
		for (size_t i = 0; j->step == CHANGE_STEPS - 1 && i < j->nsides; i++)
			settle_last(j, &j->sides[i]);
		for (size_t i = 0; i < j->nchanges; i++) {
			struct change *c = &j->changes[i];
			if (c->settled || c->step != j->step)
				continue;
			/* Without its backend nobody can be attached, and with servers no route goes away. */
			if ((c->what == DO_FORGET || (c->what == DO_ATTACH && c->side->absent)) && failed_before(j, c))
				c->settled = c->quiet = true;
			else
				j->running[n++] = i;
		}
		if (!j->dry)
			bad = tasks_run(j->u->hosts.tasks, n, run_change, j, err);
	}
	free(j->running);
	return bad;
}
