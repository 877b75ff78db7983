/* as-lb-update: makes the load balancers' entries of a service what they should be: attaches what is ready, takes out
 * what is gone; with --drain only sends no new work to what the plan is about to remove. See as-lb-update(1). */
#include "cmd/as-lb-update/update.h"

#include "base/clock.h"
#include "cmd/front/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static bool drain_only;

static const struct option_row options[] = {
	{0, "drain", OPTION_FLAG, NULL, &drain_only, "only drain what the plan is about to remove, and wait for it"},
	{0},
};
static const struct command command = {
	"as-lb-update", "attach, drain and detach a service's entries at its load balancers", "", options};

static int open_balancer(struct job *j, const char *name, struct err *err)
{
	const struct conf_lb *conf = conf_lb(&j->u->f.conf, name);

	if (!conf)
		return err_set(err, ERR_CONFIG, "load balancer \"%s\" is not configured: add a [lb \"%s\"] section", name,
		               name);
	j->b = &j->u->balancers[conf - j->u->f.conf.lbs];
	j->b->conf = conf;
	if (!j->b->driver && !(j->b->driver = lb_driver(conf, err)))
		return -1;
	if (!j->b->lb && !(j->b->lb = j->b->driver->open(conf, &j->u->means, err)))
		return -1;
	return 0;
}

/* A record that looked before this process changed the service says nothing about now: several records of one
 * stream, fetched together, were inspected together. */
static bool looked_after_us(struct update *u, const char *service, const struct record *r)
{
	int64_t now;
	struct err unused;

	if (record_now(r, &now, &unused) < 0)
		return true;
	for (const struct handled *h = u->handled; h; h = h->next)
		if (strcmp(h->service, service) == 0)
			return now > h->at;
	return true;
}

/* Which tasks of a service a swarm ended is its own choice: the next look shows it. */
static bool looks_outdated(const struct record *r)
{
	return jv_is(jv_get(record_get(r, "plan"), "op"), "scale-down") &&
	       jv_is(jv_path(record_get(r, "observed"), "template.engine"), "swarm");
}

static void note_handled(struct update *u, const char *service)
{
	struct handled *h = u->handled;

	while (h && strcmp(h->service, service) != 0)
		h = h->next;
	if (!h && (h = calloc(1, sizeof *h))) {
		(void)snprintf(h->service, sizeof h->service, "%s", service);
		h->next = u->handled;
		u->handled = h;
	}
	if (h)
		h->at = clock_now_ms();
}

static void read_policy(struct job *j)
{
	const struct jv policy = record_get(j->r, "policy");

	steps_text(policy, "lb_backend", j->backend, sizeof j->backend);
	if (!*j->backend)
		(void)snprintf(j->backend, sizeof j->backend, "%s", j->service);
	steps_text(policy, "lb_network", j->network, sizeof j->network);
	j->port = jv_int_or(jv_get(policy, "lb_port"), 0);
	j->weight = jv_int_or(jv_get(policy, "lb_weight"), 100);
	j->drain_ms = steps_policy_ms(j->r, "drain", 30000);
	j->gate_ms = steps_policy_ms(j->r, "ready_timeout", 60000);
	j->dry = steps_dry(&j->u->f, j->r);
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct update *u = ctx;
	struct job j = {.u = u, .r = r, .err = err, .drain_only = drain_only};
	const struct jv state = jv_get(record_get(r, "intent"), "state");
	char names[1024], *rest = names;

	if (record_service(r, j.service, err) < 0)
		return RECORD_ERROR;
	steps_text(record_get(r, "policy"), "lb", names, sizeof names);
	if (!*names || jv_is(state, "deferred") || jv_is(state, "finished"))
		return RECORD_PRINT;
	read_policy(&j);
	j.heal = !drain_only && looked_after_us(u, j.service, r) && !looks_outdated(r);
	if ((drain_only && !jv_count(steps_todo(r, "remove"))) ||
	    (!j.heal && !jv_count(steps_todo(r, "remove")) && !jv_count(record_get(r, "steps"))))
		return RECORD_PRINT;
	while (*rest) {
		char *name = rest;
		rest += strcspn(rest, ",");
		if (*rest)
			*rest++ = '\0';
		struct err why = {0};
		if (open_balancer(&j, name, &why) < 0) {
			if (!j.failed)
				*err = why;
			j.failed = true;
		} else if (drain_only) {
			take_out_removed(&j);
		} else {
			make_right(&j);
		}
	}
	if (!j.dry && !drain_only)
		note_handled(u, j.service);
	return j.failed ? RECORD_ERROR : RECORD_PRINT;
}

int main(int argc, char **argv)
{
	static struct update u;
	int done = front_start(&u.f, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_conf(&u.f)) >= 0)
		return done;

	u.balancers = calloc(u.f.conf.nlbs + 1, sizeof *u.balancers);
	if (!u.balancers) {
		const struct err err = {.code = ERR_TEMPORARY, .message = "out of memory"};
		return front_fail(&u.f, &err);
	}
	done = front_filter(&u.f, each, &u, false);
	for (size_t i = 0; i < u.f.conf.nlbs; i++)
		if (u.balancers[i].lb)
			u.balancers[i].driver->close(u.balancers[i].lb);
	free(u.balancers);
	for (struct handled *h = u.handled, *next; h; h = next) {
		next = h->next;
		free(h);
	}
	conf_release(&u.f.conf);
	return done;
}
