/* What is to be changed for a record: which containers shall have entries, and what each of its load balancers has. */
#include "cmd/as-lb-update/update.h"

#include "base/clock.h"
#include "cmd/front/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* The container is gone: so are its connections, but for what hangs. */
#define GONE_MS 1000

/* ---- containers ---- */

static bool in_plan_remove(const struct job *j, const char *id)
{
	struct jv_cursor c = jv_each(steps_todo(j->r, "remove"));
	struct jv_member m;

	while (jv_next(&c, &m))
		if (jv_is(jv_get(m.value, "id"), id))
			return true;
	return false;
}

static struct want *wanted(const struct job *j, const char *name)
{
	for (size_t i = 0; i < j->nwants; i++)
		if (strcmp(j->wants[i].server.name, name) == 0)
			return &j->wants[i];
	return NULL;
}

/* How long this container may still take to get ready; 0: its time is over. */
static int64_t time_left(const struct job *j, struct jv container)
{
	int64_t started;

	if (!clock_json(jv_get(container, "started"), &started))
		return j->gate_ms;
	const int64_t left = started + j->gate_ms - clock_now_ms();
	return left < 0 ? 0 : left < j->gate_ms ? left : j->gate_ms;
}

/* as-watch tells of a container when it starts, and when its health check, if it has one, says something. Of one
 * without a health check that got ready a moment later nobody would tell: that moment is waited for here. */
static bool may_get_ready(const struct job *j, struct jv container)
{
	const struct jv health = jv_get(container, "health");

	return jv_is(jv_path(record_get(j->r, "alert"), "source"), "docker") &&
	       jv_is(jv_get(container, "state"), "running") && (jv_is_null(health) || jv_is(health, "healthy")) &&
	       time_left(j, container) > 0;
}

static int want(struct job *j, struct jv container, bool looked, struct err *err)
{
	struct want w = {.doc = container, .looked = looked};
	char id[128];

	steps_text(container, "id", id, sizeof id);
	const bool ready = jv_is_true(jv_get(container, "ready"));
	w.await = looked && !ready && may_get_ready(j, container);
	if ((!ready && !w.await) || in_plan_remove(j, id))
		return 0;
	steps_text(container, "name", w.container, sizeof w.container);
	w.bad = server_of(&j->u->neighbours, &j->entry, container, &w.server, &w.err) < 0;
	struct want *same = *w.server.name ? wanted(j, w.server.name) : NULL;
	if (same) {
		*same = w; /* the steps know better than the look */
		return 0;
	}
	struct want *more = realloc(j->wants, (j->nwants + 1) * sizeof *more);
	if (!more)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	j->wants = more;
	more[j->nwants++] = w;
	return 0;
}

int find_wants(struct job *j, struct err *err)
{
	struct jv_cursor c = jv_each(jv_get(record_get(j->r, "observed"), "containers"));
	struct jv_member m;

	while (j->believed && jv_next(&c, &m))
		if (want(j, m.value, true, err) < 0)
			return -1;
	c = jv_each(record_get(j->r, "steps"));
	while (jv_next(&c, &m)) {
		const struct jv container = jv_get(m.value, "container");
		if (jv_here(container) && want(j, container, false, err) < 0)
			return -1;
	}
	return 0;
}

/* Is it an entry of a container that this record saw running, or that a stage before brought up, and did not take away
 * since? */
static bool entry_lives(const struct job *j, const char *entry)
{
	const struct jv lists[] = {jv_get(record_get(j->r, "observed"), "containers"), record_get(j->r, "steps")};
	char id[128], name[LB_NAME];
	bool lives = false;

	for (int i = 0; i < 2; i++) {
		struct jv_cursor c = jv_each(lists[i]);
		struct jv_member m;
		while (jv_next(&c, &m)) {
			const struct jv container =
				i && !jv_is(jv_get(m.value, "do"), "remove") ? jv_get(m.value, "container") : m.value;
			steps_text(container, "id", id, sizeof id);
			if (!lb_server_name(id, name) || strcmp(name, entry) != 0)
				continue;
			if (i && jv_is(jv_get(m.value, "do"), "remove"))
				lives = lives && !jv_is_true(jv_get(m.value, "ok"));
			else
				lives = lives || jv_is(jv_get(container, "state"), "running");
		}
	}
	return lives;
}

/* Did some host not answer when the record looked? */
bool is_blind(const struct record *r)
{
	struct jv_cursor c = jv_each(jv_get(record_get(r, "observed"), "hosts"));
	struct jv_member m;

	while (jv_next(&c, &m))
		if (!jv_is_true(jv_get(m.value, "ok")))
			return true;
	return false;
}

/* ---- changes ---- */

struct change *add_change(struct job *j, struct side *side, enum change_do what, int step, struct err *err)
{
	struct change *more = realloc(j->changes, (j->nchanges + 1) * sizeof *more);

	if (!more) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	j->changes = more;
	struct change *c = &more[j->nchanges++];
	*c = (struct change){.what = what, .step = step, .side = side};
	return c;
}

static const struct lb_server *listed(const struct side *s, const char *name) { return lb_list_find(&s->now, name); }

void settle(struct change *c, const char *message)
{
	c->settled = true;
	(void)snprintf(c->message, sizeof c->message, "%s", message);
}

void settle_bad(struct change *c, const struct err *why)
{
	c->settled = c->bad = true;
	c->err = *why;
}

static int add_leave(struct job *j, struct side *s, enum change_do what, int step, const char *name, struct err *err)
{
	const struct lb_server *is = listed(s, name);
	struct change *c = add_change(j, s, what, step, err);

	if (!c)
		return -1;
	c->wait_ms = j->drain_ms;
	(void)snprintf(c->server.name, sizeof c->server.name, "%s", name);
	if (is) {
		c->server = *is;
		lb_place(is, c->was);
	}
	return 0;
}

/* Does somebody who is wanted run where this entry points to? */
static bool is_taken_place(const struct job *j, const struct lb_server *is)
{
	for (size_t i = 0; i < j->nwants; i++)
		if (!j->wants[i].bad && lb_same_place(&j->wants[i].server, is) &&
		    strcmp(j->wants[i].server.name, is->name) != 0)
			return true;
	return false;
}

/* What the plan removes is drained, or taken out; first where somebody else is now. */
static int add_removed(struct job *j, struct side *s, struct err *err)
{
	struct jv_cursor c = jv_each(steps_todo(j->r, "remove"));
	struct jv_member m;
	char id[128], name[LB_NAME];

	while (jv_next(&c, &m)) {
		steps_text(m.value, "id", id, sizeof id);
		if (!lb_server_name(id, name))
			continue;
		const struct lb_server *is = listed(s, name);
		const bool taken = is && !j->u->drain_only && is_taken_place(j, is) && !entry_lives(j, name);
		if (add_leave(j, s, j->u->drain_only ? DO_DRAIN : DO_DETACH, taken ? 0 : 1, name, err) < 0)
			return -1;
	}
	return 0;
}

/* An entry that is listed where its container is not, and somebody else is now: it goes first. */
static bool is_stranger(const struct job *j, const struct lb_server *is)
{
	const struct want *w = wanted(j, is->name);

	return w && !w->bad && !lb_same_place(&w->server, is) && is_taken_place(j, is);
}

/* The record saw its container no more, and it was not attached since; look_at_world has the last word. */
static bool seems_stale(const struct job *j, const struct lb_server *is)
{
	return is->ours && j->believed && !wanted(j, is->name) && !is_blind(j->r) && !entry_lives(j, is->name);
}

/* In every day's work the record, which saw all of its hosts, is believed where an engine cannot be asked from here;
 * --sync, which nobody may be watching, does not conclude anything then. */
static bool is_gone(const struct update *u, const char *name)
{
	return !runs(u, name) && (u->world.complete || !u->sync);
}

static bool is_planned(const struct job *j, const struct side *s, const char *name)
{
	for (size_t i = 0; i < j->nchanges; i++)
		if (j->changes[i].side == s && strcmp(j->changes[i].server.name, name) == 0)
			return true;
	return false;
}

/* What is to go before anything is attached, or (before false) beside that. */
static int add_stale(struct job *j, struct side *s, bool before, struct err *err)
{
	for (size_t i = 0; i < s->now.n; i++) {
		const struct lb_server *is = &s->now.v[i];
		if (is_planned(j, s, is->name))
			continue;
		const bool stale = seems_stale(j, is) && is_gone(j->u, is->name);
		if (before ? !is_stranger(j, is) && !(stale && is_taken_place(j, is)) : !stale)
			continue;
		if (add_leave(j, s, DO_DETACH, before ? 0 : 1, is->name, err) < 0)
			return -1;
		struct change *c = &j->changes[j->nchanges - 1];
		c->stale = true;
		c->wait_ms = c->wait_ms < GONE_MS ? c->wait_ms : GONE_MS;
	}
	return 0;
}

/* Only who is not there yet, or not as wanted, is left for the driver. */
static int add_attach(struct job *j, struct side *s, const struct want *w, int step, struct err *err)
{
	const struct lb_server *is = *w->server.name ? listed(s, w->server.name) : NULL;
	struct change *c = add_change(j, s, DO_ATTACH, step, err);

	if (!c)
		return -1;
	c->server = w->server;
	c->want = w;
	if (is)
		lb_place(is, c->was);
	if (w->bad) {
		settle_bad(c, &w->err);
		return 0;
	}
	if (is && lb_same_place(is, &w->server) && is->state == LB_UP && is->weight == w->server.weight) {
		settle(c, "already");
		return 0;
	}
	for (size_t i = 0; i < s->now.n; i++) {
		/* One of ours by another name was a container's that is gone, and whose address this one got. */
		if (s->now.v[i].ours || s->now.v[i].state != LB_UP || !lb_same_place(&s->now.v[i], &w->server))
			continue;
		settle(c, "already, as ");
		(void)snprintf(c->message + strlen(c->message), sizeof c->message - strlen(c->message), "%s", s->now.v[i].name);
		return 0;
	}
	return 0;
}

/* The last server that takes traffic stays; one that is down or drained already does not count, and one whose container
 * is gone is no loss. What the plan removes then waits for what an earlier stage brought up, which is attached first;
 * and when there is nothing, or it fails, all of it stays, and the last one says so. */
static bool keep_last(struct job *j, struct side *s, size_t from)
{
	size_t up = 0, go = 0;
	struct change *last = NULL;

	for (size_t i = 0; i < s->now.n; i++)
		up += s->now.v[i].state == LB_UP;
	for (size_t i = from; i < j->nchanges; i++) {
		struct change *c = &j->changes[i];
		const struct lb_server *is = listed(s, c->server.name);
		if (!is || is->state != LB_UP)
			continue;
		go++;
		if (entry_lives(j, is->name))
			last = c;
	}
	if (!last || go < up || j->u->force)
		return false;
	last->last = true;
	(void)err_set(&last->err, ERR_REFUSED,
	              "lb %s: backend %s: %s is the last server that takes traffic: it stays (--force takes it out)",
	              s->b->conf->name, j->backend, last->server.name);
	for (size_t i = from; i < j->nchanges; i++)
		j->changes[i].step = 2;
	return true;
}

void settle_last(struct job *j, const struct side *s)
{
	const struct change *last = NULL;
	bool others = false;

	for (size_t i = 0; i < j->nchanges; i++) {
		const struct change *c = &j->changes[i];
		others = others || (c->side == s && c->what == DO_ATTACH && !c->bad);
		if (c->side == s && c->last)
			last = c;
	}
	for (size_t i = 0; last && !others && i < j->nchanges; i++) {
		struct change *c = &j->changes[i];
		if (c->side != s || c->stale || c->settled || (c->what != DO_DRAIN && c->what != DO_DETACH))
			continue;
		settle_bad(c, &last->err);
	}
}

/* Nothing of the service is left anywhere, and every host said so. */
static bool is_extinct(const struct job *j)
{
	const struct jv containers = jv_get(record_get(j->r, "observed"), "containers");
	struct jv_cursor c = jv_each(containers);
	struct jv_member m;
	char id[128];

	if (!j->believed || is_blind(j->r) || !jv_is_array(containers) || j->nwants)
		return false;
	while (jv_next(&c, &m)) {
		steps_text(m.value, "id", id, sizeof id);
		if (!in_plan_remove(j, id))
			return false;
	}
	return true;
}

static int add_attaches(struct job *j, struct side *s, struct err *err)
{
	for (size_t i = 0; i < j->nwants; i++)
		if (add_attach(j, s, &j->wants[i], 1, err) < 0)
			return -1;
	return 0;
}

/* A rule makes the route. None any more takes away one that was made, which --sync looks after once there are entries:
 * an empty backend would be made by asking. */
static int add_route(struct job *j, struct side *s, struct err *err)
{
	if (!j->nwants || (!j->rule.n && (!j->u->sync || !s->now.n)))
		return 0;
	struct change *c = add_change(j, s, DO_ENSURE, 0, err);
	if (c)
		c->quiet = !j->rule.n;
	return c ? 0 : -1;
}

static int find_side(struct job *j, struct side *s, struct err *err)
{
	const size_t from = j->nchanges;

	if (!s->absent && add_removed(j, s, err) < 0)
		return -1;
	const bool last = keep_last(j, s, from);
	if (j->u->drain_only)
		return last ? add_attaches(j, s, err) : 0;
	if (add_stale(j, s, true, err) < 0 || add_route(j, s, err) < 0 || add_attaches(j, s, err) < 0 ||
	    add_stale(j, s, false, err) < 0)
		return -1;
	if (s->absent || !is_extinct(j))
		return 0;
	struct change *c = add_change(j, s, DO_FORGET, 2, err);
	if (c)
		c->quiet = true;
	return c ? 0 : -1;
}

static int fail_side(struct job *j, struct side *s, struct err *err)
{
	struct change *c = add_change(j, s, DO_LIST, 0, err);

	if (!c)
		return -1;
	settle_bad(c, &s->err);
	return 0;
}

int find_changes(struct job *j, struct err *err)
{
	int64_t latest = 0;
	bool stale = false;

	for (size_t i = 0; i < j->nsides; i++) {
		const struct side *s = &j->sides[i];
		for (size_t k = 0; k < s->now.n && !stale; k++)
			stale = seems_stale(j, &s->now.v[k]);
		if (s->at > latest)
			latest = s->at;
	}
	if (stale && look_at_world(j->u, latest, err) < 0)
		return -1;
	for (size_t i = 0; i < j->nsides; i++)
		if ((j->sides[i].bad ? fail_side(j, &j->sides[i], err) : find_side(j, &j->sides[i], err)) < 0)
			return -1;
	return 0;
}
