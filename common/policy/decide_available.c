/* Service availability: what is stopped is started, what was deleted is made again, what is unhealthy is replaced. */
#include "policy/decision.h"

#include <string.h>

#include "base/banned.h"

#define SURGE_PART 4 /* of the running ones at most a fourth is replaced at once, and at least one */

static bool room(const struct decision *d, int64_t n) { return d->max < 0 || d->from + n < d->max; }

/* Starts what is stopped, as far as max allows. Who stopped it does not matter: a stop to last is `paused`. */
bool start_stopped(struct decision *d)
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "containers"));
	struct jv_member m;
	char name[NAME], why[64] = "";
	int64_t n = 0;

	if (!available(d, "start"))
		return false;
	while (jv_next(&c, &m)) {
		if (!container_stopped(m.value) || !room(d, n))
			continue;
		member_text(m.value, "name", name, sizeof name);
		if (must_wait(d, name, m.value)) {
			d->waiting++;
			continue;
		}
		plan_target(&d->start, m.value);
		container_cause(m.value, why, sizeof why);
		n++;
	}
	if (!n)
		return false;
	d->op = "start";
	d->to = d->from + n;
	plan_say(d, "%lld stopped%s", (long long)n, n == 1 ? why : "");
	plan_trace(d, "available", d->from, d->to, "stopped containers are started");
	return true;
}

/* Makes what was deleted anew, from the remembered specification. What lived on a host that does not answer may live
 * there still. */
bool recreate_missing(struct decision *d)
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "remembered"));
	struct jv_member m;
	char name[NAME], host[NAME];
	int64_t n = 0;

	if (!available(d, "recreate"))
		return false;
	while (jv_next(&c, &m)) {
		member_text(m.value, "name", name, sizeof name);
		member_text(m.value, "host", host, sizeof host);
		if (room(d, n) && may_settle(d, name, m.value)) {
			d->waiting++;
			continue;
		}
		if (!jv_is_true(jv_get(m.value, "missing")) || !room(d, n) || !host_answers(d, host))
			continue;
		if (must_wait(d, name, (struct jv){0})) {
			d->waiting++;
			continue;
		}
		plan_create(d, name, host, "", -1);
		n++;
	}
	if (!n)
		return false;
	d->op = "recreate";
	d->to = d->from + n;
	plan_say(d, "%lld deleted", (long long)n);
	plan_trace(d, "available", d->from, d->to, "deleted containers are made anew as remembered");
	return true;
}

/* The unhealthy copies that may go now, at most `limit` of them. */
static int64_t find_unhealthy(struct decision *d, struct jv *v, int64_t limit)
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "containers"));
	struct jv_member m;
	char name[NAME];
	int64_t n = 0;

	while (jv_next(&c, &m)) {
		if (!container_unhealthy(m.value) || !container_removable(m.value) || n == limit)
			continue;
		member_text(m.value, "name", name, sizeof name);
		if (!must_wait(d, name, m.value))
			v[n++] = m.value;
	}
	return n;
}

/* A new copy first, and once it is ready the unhealthy one goes. An original never goes: see `sick`. */
bool replace_unhealthy(struct decision *d)
{
	struct jv v[REPLICAS_MAX / SURGE_PART];
	const int64_t most = (int64_t)(sizeof v / sizeof *v);
	int64_t limit = d->running / SURGE_PART;

	if (d->blind || !available(d, "replace"))
		return false;
	limit = limit < 1 ? 1 : limit > most ? most : limit;
	const int64_t n = plan_copies(d, find_unhealthy(d, v, limit));
	for (int64_t i = 0; i < n; i++)
		plan_target(&d->remove, v[i]);
	if (!n)
		return false;
	d->op = "recreate";
	plan_say(d, "%lld unhealthy, to be replaced", (long long)n);
	plan_trace(d, "available", d->from, d->to, "unhealthy copies are replaced, a fourth of them at most at once");
	return true;
}
