/* Which copies go. */
#include "policy/decision.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct victim {
	struct jv container;
	char id[NAME];
	bool gone;       /* by a plan that this record does not show yet */
	bool serves;     /* it runs and is ready */
	int64_t load;    /* goes first with less of it: connections, INT64_MAX where they are not known, or its age */
	int64_t created; /* ms */
	int64_t index;
	struct host *host;
};

struct victims {
	struct victim *v;
	size_t n;
	struct hosts hosts;
	int way; /* 1: from the host with the most first; -1: from the one with the fewest */
};

bool container_removable(struct jv c)
{
	char id[NAME];

	return jv_is_true(jv_get(c, "copy")) && jv_str(jv_get(c, "id"), id, sizeof id) && *id &&
	       (container_running(c) || member_is(c, "state", "restarting")) &&
	       !jv_is(jv_get(jv_get(c, "labels"), "autoscale.protect"), "true");
}

/* Nothing is lost with one that is not ready. One of which it is not said is taken to be. */
static bool serves(struct jv c)
{
	const struct jv ready = jv_get(c, "ready");

	return container_running(c) && !container_unhealthy(c) && (jv_is_null(ready) || jv_is_true(ready));
}

static int by_id(const void *x, const void *y)
{
	return strcmp(((const struct victim *)x)->id, ((const struct victim *)y)->id);
}

static struct victim *find(const struct victims *s, const char *id)
{
	struct victim key;

	(void)memcpy(key.id, id, NAME);
	return s->n ? bsearch(&key, s->v, s->n, sizeof *s->v, by_id) : NULL;
}

/* Connections by the balancers' own count: the sum over all that have it. What one of them could not tell is not
 * known, and not zero. */
static void read_connections(struct victims *s, struct jv metrics)
{
	struct jv_cursor c = jv_each(metrics);
	struct jv_member m;
	char id[NAME];
	int64_t micro;

	for (size_t i = 0; i < s->n; i++)
		s->v[i].load = -1;
	while (jv_next(&c, &m)) {
		if (!member_is(m.value, "name", "lb.connections") || !member_is(m.value, "per", "container"))
			continue;
		member_text(m.value, "id", id, sizeof id);
		struct victim *v = find(s, id);
		if (!v || v->load == INT64_MAX)
			continue;
		if (!jv_is_true(jv_get(m.value, "ok")) || !jv_micro(jv_get(m.value, "value"), &micro) || micro < 0 ||
		    (v->load > 0 && micro > INT64_MAX - v->load))
			v->load = INT64_MAX;
		else
			v->load = micro + (v->load < 0 ? 0 : v->load);
	}
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].load < 0)
			s->v[i].load = INT64_MAX;
}

/* What this stream's last plan removes, and the record shows as before. */
static void leave_out_gone(struct victims *s, const struct planned *before)
{
	const struct buf *ids = before ? &before->removed : NULL;
	char id[NAME];

	for (size_t at = 0; ids && at + NAME <= ids->n; at += NAME) {
		memcpy(id, ids->p + at, NAME);
		struct victim *v = find(s, id);
		if (v)
			v->gone = true;
	}
}

static bool read_victims(struct victims *s, const struct decision *d)
{
	const struct jv list = jv_get(d->in->observed, "containers");
	const bool newest = member_is(d->in->policy, "victim", "newest");
	const bool oldest = member_is(d->in->policy, "victim", "oldest");
	struct jv_cursor c = jv_each(list);
	struct jv_member m;
	char host[NAME];

	s->way = member_is(d->in->policy, "placement", "pack") ? -1 : 1;
	s->v = calloc(jv_count(list) + 1, sizeof *s->v);
	if (!s->v || !hosts_read(&s->hosts, d))
		return false;
	while (jv_next(&c, &m)) {
		struct victim *v = &s->v[s->n];
		if (!container_removable(m.value) || !jv_str(jv_get(m.value, "id"), v->id, sizeof v->id))
			continue;
		member_text(m.value, "host", host, sizeof host);
		v->container = m.value;
		v->serves = serves(m.value);
		v->index = jv_int_or(jv_get(m.value, "index"), -1);
		v->host = hosts_find(&s->hosts, host);
		(void)clock_json(jv_get(m.value, "created"), &v->created);
		s->n++;
	}
	qsort(s->v, s->n, sizeof *s->v, by_id);
	leave_out_gone(s, decision_unseen(d));
	if (!newest && !oldest)
		read_connections(s, d->in->metrics);
	for (size_t i = 0; i < s->n && (newest || oldest); i++)
		s->v[i].load = newest ? -s->v[i].created : s->v[i].created;
	return true;
}

/* The part of the order that no other removal changes: what serves nobody, then what has the least load. */
static int by_class(const struct victim *a, const struct victim *b)
{
	if (a->gone != b->gone)
		return a->gone - b->gone;
	if (a->serves != b->serves)
		return a->serves - b->serves;
	return (a->load > b->load) - (a->load < b->load);
}

/* Of equals on equal hosts the newest, then the one with the larger index. */
static int by_age(const struct victim *a, const struct victim *b)
{
	if (a->created != b->created)
		return a->created > b->created ? -1 : 1;
	if (a->index != b->index)
		return a->index > b->index ? -1 : 1;
	return strcmp(a->id, b->id);
}

/* By class, in it by host, on it by age. */
static int by_order(const void *x, const void *y)
{
	const struct victim *a = x, *b = y;
	const int order = by_class(a, b);

	if (order)
		return order;
	return a->host != b->host ? (a->host > b->host) - (a->host < b->host) : by_age(a, b);
}

/* Those of one class on one host that are left. */
struct run {
	const struct victim *at, *end;
};

/* One class: each time from the host that has the most by then, as its placement would have it. */
static int64_t plan_class(struct decision *d, struct victims *s, const struct victim *v, const struct victim *end,
                          struct run *runs, int64_t count)
{
	size_t n = 0;
	int64_t made = 0;

	for (const struct victim *at = v; at < end; at++) {
		if (at == v || at->host != at[-1].host)
			runs[n++].at = at;
		runs[n - 1].end = at + 1;
	}
	for (; made < count && n; made++) {
		struct run *best = runs;
		for (struct run *r = runs + 1; r < runs + n; r++) {
			const int order = s->way * hosts_compare(&s->hosts, r->at->host, best->at->host);
			if (order > 0 || (!order && by_age(r->at, best->at) < 0))
				best = r;
		}
		plan_target(&d->remove, best->at->container);
		hosts_count(&s->hosts, best->at->host, -1);
		if (++best->at == best->end)
			*best = runs[--n];
	}
	return made;
}

static int64_t choose_victims(struct decision *d, struct victims *s, int64_t count)
{
	struct run *runs = calloc(s->hosts.n + 1, sizeof *runs);
	int64_t made = 0;

	if (!runs) {
		d->remove.failed = true;
		return 0;
	}
	qsort(s->v, s->n, sizeof *s->v, by_order);
	for (size_t i = 0, end; i < s->n && made < count && !s->v[i].gone; i = end) {
		for (end = i + 1; end < s->n && by_class(&s->v[i], &s->v[end]) == 0;)
			end++;
		made += plan_class(d, s, &s->v[i], &s->v[end], runs, count - made);
	}
	free(runs);
	return made;
}

int64_t plan_removals(struct decision *d, int64_t count)
{
	struct victims s = {0};
	int64_t made = 0;

	if (d->swarm)
		return plan_service(d, false, count);
	if (count <= 0)
		return 0;
	if (read_victims(&s, d))
		made = choose_victims(d, &s, count);
	else
		d->remove.failed = true;
	hosts_release(&s.hosts);
	free(s.v);
	return made;
}
