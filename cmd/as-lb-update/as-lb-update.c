/* as-lb-update: makes the load balancers' entries of a service what they should be: attaches what is ready, takes out
 * what is gone; with --drain only sends no new work to what the plan is about to remove; with --sync also takes out
 * what no record knows of. See as-lb-update(1). */
#include "cmd/as-lb-update/update.h"
#include "cmd/front/means.h"

#include "base/clock.h"
#include "base/exit.h"
#include "cmd/front/abreast.h"
#include "cmd/front/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static struct update update;

static const struct option_row options[] = {
	{0, "drain", OPTION_FLAG, NULL, &update.drain_only, "only drain what the plan is about to remove, and wait for it"},
	{0, "sync", OPTION_FLAG, NULL, &update.sync, "at the end also take out what no record claims and no host runs"},
	{0, "force", OPTION_FLAG, NULL, &update.force, "drain and take out the last server of a backend too"},
	{0},
};
static const struct command command = {
	"as-lb-update", "attach, drain and detach a service's entries at its load balancers", "", options};

/* Which tasks of a service a swarm ended is its own choice: the next look shows it. */
static bool looks_outdated(const struct record *r)
{
	return jv_is(jv_get(record_get(r, "plan"), "op"), "scale-down") &&
	       jv_is(jv_path(record_get(r, "observed"), "template.engine"), "swarm");
}

static int read_policy(struct job *j, struct err *err)
{
	const struct jv policy = record_get(j->r, "policy");
	struct err unused;

	steps_text(policy, "lb_backend", j->backend, sizeof j->backend);
	if (!*j->backend)
		(void)snprintf(j->backend, sizeof j->backend, "%s", j->service);
	entry_policy_read(&j->entry, policy);
	steps_text(policy, "lb_rule", j->rule_text, sizeof j->rule_text);
	j->drain_ms = steps_policy_ms(j->r, "drain", 30000);
	j->gate_ms = steps_policy_ms(j->r, "ready_timeout", 60000);
	j->dry = steps_dry(&j->u->f, j->r);
	if (record_now(j->r, &j->now, &unused) < 0)
		j->now = clock_now_ms();
	if (*j->rule_text && rule_parse(j->rule_text, &j->rule, err) < 0)
		return err_prefix(err, "autoscale.lb.rule");
	j->route.rule = j->rule.n ? &j->rule : NULL;
	return 0;
}

static int add_side(struct job *j, size_t balancer, struct err *err)
{
	struct side *more = realloc(j->sides, (j->nsides + 1) * sizeof *more);

	if (!more)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	j->sides = more;
	struct side *s = &more[j->nsides++];
	*s = (struct side){.j = j, .b = &j->u->balancers[balancer]};
	s->bad = open_balancer(j->u, balancer, &s->err) < 0;
	return 0;
}

/* One side for each name in policy.lb. */
static int find_sides(struct job *j, struct err *err)
{
	char names[1024], *rest = names;

	steps_text(record_get(j->r, "policy"), "lb", names, sizeof names);
	while (*rest) {
		const char *name = rest;
		rest += strcspn(rest, ",");
		if (*rest)
			*rest++ = '\0';
		const struct conf_lb *conf = conf_lb(&j->u->f.conf, name);
		if (!conf) {
			if (!j->failed)
				(void)err_set(j->err, ERR_CONFIG, "load balancer \"%s\" is not configured: add a [lb \"%s\"] section",
				              name, name);
			j->failed = true;
			continue;
		}
		bool twice = false;
		for (size_t i = 0; i < j->nsides; i++)
			twice = twice || j->sides[i].b == &j->u->balancers[conf - j->u->f.conf.lbs];
		if (!twice && add_side(j, (size_t)(conf - j->u->f.conf.lbs), err) < 0)
			return -1;
	}
	return 0;
}

static void release(struct job *j)
{
	for (size_t i = 0; i < j->nsides; i++)
		lb_list_release(&j->sides[i].now);
	free(j->sides);
	free(j->wants);
	free(j->changes);
}

static int do_job(struct job *j, struct err *err)
{
	if (find_wants(j, err) < 0)
		return -1;
	for (size_t i = 0; i < j->nwants; i++)
		if (!j->wants[i].bad)
			(void)snprintf(j->route.check, sizeof j->route.check, "%s", j->wants[i].server.check);
	if (list_sides(j, err) < 0 || find_changes(j, err) < 0)
		return -1;
	const int bad = carry_out(j, err);
	for (size_t i = 0; i < j->nchanges; i++) {
		const struct change *c = &j->changes[i];
		if ((j->u->sync && j->dry) || j->u->f.verbose)
			say_change(j, c);
		if (j->u->sync && j->dry)
			note_spared(j, c);
		if (!c->quiet && (c->settled || j->dry))
			tell_change(j, c);
	}
	return bad;
}

/* Of a record that names no load balancer. */
static int take_leave(struct job *j, struct err *err)
{
	struct place *found;
	size_t n;

	if (!(j->known = know_service(j->u, j->service)))
		return err_set(err, ERR_TEMPORARY, "out of memory");
	j->believed = is_newest(j->known, j->now);
	int bad = j->believed ? find_bereft(j, &found, &n, err) : 0;
	for (size_t i = 0; j->believed && !bad && i < n; i++) {
		struct job at = *j;
		(void)snprintf(at.backend, sizeof at.backend, "%s", found[i].backend);
		bad = add_side(&at, found[i].balancer, err) < 0 || do_job(&at, err) < 0;
		j->failed = j->failed || at.failed;
		release(&at);
	}
	if (j->believed)
		free(found);
	return bad;
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct update *u = ctx;
	struct job j = {.u = u, .number = ++u->jobs, .r = r, .err = err};
	const struct jv state = jv_get(record_get(r, "intent"), "state");
	int bad = record_service(r, j.service, err);

	if (bad || jv_is(state, "deferred") || jv_is(state, "finished"))
		return bad ? RECORD_ERROR : RECORD_PRINT;
	const bool leaves = jv_count(steps_todo(r, "remove")) > 0;
	if (u->drain_only && !leaves)
		return RECORD_PRINT;
	if (read_policy(&j, err) < 0)
		return RECORD_ERROR;
	if (!jv_is_string(jv_get(record_get(r, "policy"), "lb"))) {
		if (u->sync)
			note_owners(&j);
		else if (!u->drain_only)
			bad = take_leave(&j, err) < 0;
		return bad || j.failed ? RECORD_ERROR : RECORD_PRINT;
	}
	if (!(j.known = know_service(u, j.service))) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return RECORD_ERROR;
	}
	j.believed =
		!u->drain_only && jv_is_object(record_get(r, "observed")) && !looks_outdated(r) && is_newest(j.known, j.now);
	if (j.believed || leaves || jv_count(record_get(r, "steps")))
		bad = find_sides(&j, err) < 0 || do_job(&j, err) < 0;
	if (u->sync)
		note_owners(&j);
	if (j.believed)
		note_places(&j);
	release(&j);
	return bad || j.failed ? RECORD_ERROR : RECORD_PRINT;
}

static void close_all(struct update *u)
{
	for (size_t i = 0; i < u->f.conf.nlbs; i++)
		if (u->balancers[i].lb)
			u->balancers[i].driver->close(u->balancers[i].lb);
	free(u->balancers);
	neighbours_release(&u->neighbours);
	free_known(u);
	json_decref(u->owners);
	json_decref(u->claimed);
	json_decref(u->spared);
	json_decref(u->world.running);
	engine_hosts_release(&u->hosts);
	conf_release(&u->f.conf);
}

int main(int argc, char **argv)
{
	struct update *u = &update;
	struct err err = {0};
	int done = front_start(&u->f, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_conf(&u->f)) >= 0)
		return done;

	if (u->drain_only && u->sync) {
		(void)err_set(&err, ERR_USAGE, "--drain and --sync exclude each other");
		return front_fail(&u->f, &err);
	}
	u->balancers = calloc(u->f.conf.nlbs + 1, sizeof *u->balancers);
	u->owners = json_object();
	u->claimed = json_object();
	u->spared = json_object();
	if (!u->balancers || neighbours_init(&u->neighbours, &u->f.conf, &err) < 0 || !u->owners || !u->claimed ||
	    !u->spared || engine_hosts_init(&u->hosts, &u->f.conf, &err) < 0) {
		(void)err_set(&err, ERR_TEMPORARY, "out of memory");
		return front_fail(&u->f, &err);
	}
	front_means(&u->means, &u->hosts);
	done = front_filter_together(&u->f, u->hosts.tasks, each, u, false);
	if (u->sync && (done == EX_DONE || done == EX_RECORDS) && !front_stopping()) {
		const int end = sweep(u);
		done = end ? end : done;
	}
	close_all(u);
	return done;
}
