/* Service availability: what is stopped is started, what was deleted is made again, what is unhealthy is replaced. */
#include "policy/decision.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define SURGE_PART 4 /* of the running ones at most a fourth is replaced at once, and at least one */

static bool room(const struct decision *d, int64_t n) { return d->max < 0 || d->from + n < d->max; }

/* Starts what is stopped, as far as max allows. Who stopped it does not matter: a stop to last is `paused`. */
bool start_stopped(struct decision *d)
{
	char name[NAME], why[64] = "";
	size_t count;
	int64_t n = 0;

	if (!d->stopped || !available(d, "start"))
		return false;
	struct jv *v = observed_by_name(d, "containers", &count);
	for (size_t i = 0; i < count; i++) {
		if (!container_stopped(v[i]) || !room(d, n))
			continue;
		member_text(v[i], "name", name, sizeof name);
		if (must_wait(d, name, v[i])) {
			d->waiting++;
			continue;
		}
		plan_target(&d->start, v[i]);
		container_cause(v[i], why, sizeof why);
		n++;
	}
	free(v);
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
	char name[NAME], host[NAME];
	size_t count;
	int64_t n = 0;

	if (!available(d, "recreate"))
		return false;
	struct jv *v = observed_by_name(d, "remembered", &count);
	for (size_t i = 0; i < count; i++) {
		member_text(v[i], "name", name, sizeof name);
		member_text(v[i], "host", host, sizeof host);
		if (room(d, n) && may_settle(d, name, v[i])) {
			d->waiting++;
			continue;
		}
		if (!jv_is_true(jv_get(v[i], "missing")) || !room(d, n) || !host_answers(d, host))
			continue;
		if (must_wait(d, name, (struct jv){0})) {
			d->waiting++;
			continue;
		}
		plan_create(d, name, host, "", -1);
		n++;
	}
	free(v);
	if (!n)
		return false;
	d->op = "recreate";
	d->to = d->from + n;
	plan_say(d, "%lld deleted", (long long)n);
	plan_trace(d, "available", d->from, d->to, "deleted containers are made anew as remembered");
	return true;
}

/* The unhealthy copies that may go now, at most `limit` of them, to the front of v. */
static int64_t find_unhealthy(struct decision *d, struct jv *v, size_t count, int64_t limit)
{
	char name[NAME];
	int64_t n = 0;

	for (size_t i = 0; i < count && n < limit; i++) {
		if (!container_unhealthy(v[i]) || !container_removable(v[i]))
			continue;
		member_text(v[i], "name", name, sizeof name);
		if (!must_wait(d, name, v[i]))
			v[n++] = v[i];
	}
	return n;
}

/* A new copy first, and once it is ready the unhealthy one goes. An original never goes: see `sick`. */
bool replace_unhealthy(struct decision *d)
{
	const int64_t limit = d->running / SURGE_PART;
	size_t count;

	if (d->blind || !available(d, "replace"))
		return false;
	struct jv *v = observed_by_name(d, "containers", &count);
	const int64_t n = plan_copies(d, find_unhealthy(d, v, count, limit < 1 ? 1 : limit));
	for (int64_t i = 0; i < n; i++)
		plan_target(&d->remove, v[i]);
	free(v);
	if (!n)
		return false;
	d->op = "recreate";
	plan_say(d, "%lld unhealthy, to be replaced", (long long)n);
	plan_trace(d, "available", d->from, d->to, "unhealthy copies are replaced, a fourth of them at most at once");
	return true;
}
