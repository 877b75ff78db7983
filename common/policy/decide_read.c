/* What the record says, read once. */
#include "policy/decision.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

void member_text(struct jv object, const char *name, char *out, size_t size)
{
	if (!jv_str(jv_get(object, name), out, size))
		out[0] = '\0';
}

/* Seconds in the record, ms here. */
int64_t decision_ms(const struct decision *d, const char *field, int64_t otherwise)
{
	int64_t micro;

	return jv_micro(jv_get(d->in->policy, field), &micro) ? micro / 1000 : otherwise;
}

/* "label", "db:web@4", "default": where a field came from, for reasons. */
const char *decision_source(const struct decision *d, const char *field, char out[128])
{
	member_text(jv_get(d->in->policy, "from"), field, out, 128);
	return *out ? out : "default";
}

const char *limit_source(const struct decision *d, bool max, char out[160])
{
	char from[128];

	(void)snprintf(out, 160, "%s",
	               *d->limits_from[max] ? d->limits_from[max] : decision_source(d, max ? "max" : "min", from));
	return out;
}

int64_t count_member(struct jv object, const char *name)
{
	const int64_t n = jv_int_or(jv_get(object, name), 0);

	return n < 0 ? 0 : n > COUNT_MAX ? COUNT_MAX : n;
}

bool member_is(struct jv object, const char *name, const char *text) { return jv_is(jv_get(object, name), text); }

bool container_running(struct jv c) { return member_is(c, "state", "running"); }

bool container_stopped(struct jv c)
{
	return member_is(c, "state", "exited") || member_is(c, "state", "created") || member_is(c, "state", "dead");
}

int64_t decision_past(const struct decision *d, const char *member)
{
	int64_t t;

	return clock_json(jv_get(d->in->history, member), &t) ? t : TIME_NONE;
}

bool container_unready(struct jv c)
{
	const struct jv ready = jv_get(c, "ready");

	return !jv_is_null(ready) && !jv_is_true(ready);
}

/* A copy that was started just now and is not ready yet. One that is not ready for long, or unhealthy, will not be. An
 * original was not added for any load; nor is it told of a swarm's task whether it was, or takes the place of another.
 */
static bool warming_up(const struct decision *d, struct jv c)
{
	const struct jv copy = jv_get(c, "copy");
	int64_t since;

	if (!container_running(c) || !container_unready(c) || container_unhealthy(c))
		return false;
	if (d->swarm || !(jv_is_null(copy) || jv_is_true(copy)))
		return false;
	if (member_is(c, "health", "starting"))
		return true;
	return !clock_json(jv_get(c, "started"), &since) ||
	       d->in->now - since <= decision_ms(d, "ready_timeout", READY_TIMEOUT_MS);
}

bool container_unhealthy(struct jv c) { return container_running(c) && member_is(c, "health", "unhealthy"); }

/* One that as-inspect knows only from the store, because its host does not answer. */
static bool counts_unseen(struct jv c)
{
	const struct jv last = jv_get(c, "last_state");

	return member_is(c, "state", "unknown") && (!jv_here(last) || jv_is(last, "running") || jv_is(last, "restarting"));
}

bool host_answers(const struct decision *d, const char *host)
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "hosts"));
	struct jv_member m;

	while (jv_next(&c, &m))
		if (member_is(m.value, "name", host))
			return jv_is_true(jv_get(m.value, "ok"));
	return true;
}

bool available(const struct decision *d, const char *what)
{
	char text[64];

	if (d->swarm) /* it heals by itself */
		return false;
	member_text(d->in->policy, "available", text, sizeof text);
	return strstr(*text ? text : "start,recreate", what) != NULL;
}

const struct planned *decision_unseen(const struct decision *d)
{
	return d->before && jv_int_or(jv_get(d->in->history, "generation"), 0) < d->before->generation ? d->before : NULL;
}

void decision_read(struct decision *d)
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "containers"));
	struct jv_member m;
	const bool replaces = available(d, "replace");

	limits_read(d->in->policy, &d->min, &d->max);
	d->per_host = jv_int_or(jv_get(d->in->policy, "per_host"), 0);
	if (!jv_micro(jv_get(d->in->policy, "tolerance"), &d->tolerance) || d->tolerance < 0 || d->tolerance > 1000000)
		d->tolerance = TOLERANCE_MICRO;
	d->want = -1;
	d->retry_at = TIME_NONE;
	d->swarm = member_is(jv_get(d->in->observed, "template"), "engine", "swarm");
	while (jv_next(&c, &m)) {
		d->running += container_running(m.value);
		d->stopped += container_stopped(m.value);
		d->warming += warming_up(d, m.value);
		d->going += member_is(m.value, "state", "removing");
		d->restarting += member_is(m.value, "state", "restarting");
		d->unknown += counts_unseen(m.value);
		d->sick += replaces && container_unhealthy(m.value) && !container_removable(m.value);
	}
	c = jv_each(jv_get(d->in->observed, "hosts"));
	while (jv_next(&c, &m)) {
		const bool ok = jv_is_true(jv_get(m.value, "ok"));
		d->blind = d->blind || !ok;
		d->dark = d->dark || (!ok && !jv_is_true(jv_get(m.value, "known")));
	}
	service_read(d);
	schedule_apply(d);
}

static int by_member(struct jv x, struct jv y, const char *member)
{
	const struct jv a = jv_get(x, member), b = jv_get(y, member);

	if (a.n != b.n)
		return a.n < b.n ? -1 : 1;
	return a.n ? memcmp(a.p, b.p, a.n) : 0;
}

static int by_name(const void *x, const void *y)
{
	static const char *const members[] = {"name", "host", "id"};
	int order = 0;

	for (size_t i = 0; i < 3 && !order; i++)
		order = by_member(*(const struct jv *)x, *(const struct jv *)y, members[i]);
	return order;
}

struct jv *observed_by_name(struct decision *d, const char *list, size_t *n)
{
	const struct jv array = jv_get(d->in->observed, list);
	struct jv *v = calloc(jv_count(array) + 1, sizeof *v);
	struct jv_cursor c = jv_each(array);
	struct jv_member m;

	*n = 0;
	if (!v)
		d->start.failed = true;
	while (v && jv_next(&c, &m))
		v[(*n)++] = m.value;
	if (v)
		qsort(v, *n, sizeof *v, by_name);
	return v;
}

/* By the policy's count_from, where that is known. An alert that sets a count tells how many there shall be. */
static bool counted_elsewhere(const struct decision *d, int64_t *count, const char **what)
{
	int64_t n;
	const bool db = member_is(d->in->policy, "count_from", "db"),
			   alert = member_is(d->in->policy, "count_from", "alert");

	*what = db      ? ", as the store has no count of them (count_from db)"
	        : alert ? ", as the alert has no count of them (count_from alert)"
	                : "";
	if ((!db && !alert) || (alert && member_is(d->in->alert, "action", "set")) ||
	    !jv_int(jv_get(db ? d->in->history : d->in->alert, db ? "counted" : "count"), &n) || n < 0 || n > COUNT_MAX)
		return false;
	*count = n;
	*what = db ? "containers by the store (count_from db)" : "containers by the alert (count_from alert)";
	return true;
}

/* A plan of this stream that the observation cannot show yet counts as carried out. */
void decision_count(struct decision *d)
{
	const struct planned *unseen = decision_unseen(d);
	const char *what;

	d->from = d->running + d->unknown + d->restarting;
	if (counted_elsewhere(d, &d->from, &what)) {
		d->from = unseen ? unseen->to : d->from;
		plan_trace(d, "count", d->running, d->from, "%s%s", what, unseen ? ", and this stream's plan" : "");
	} else {
		d->from = unseen ? unseen->to : d->from;
		plan_trace(d, "count", d->running, d->from, "%s%s%s%s%s",
		           d->swarm ? "the service's replicas" : "running containers",
		           d->unknown ? ", those on hosts that do not answer" : "",
		           d->restarting ? ", those that the engine restarts" : "",
		           unseen && d->from != d->running ? ", and this stream's plan" : "", what);
	}
	d->to = d->from;
}
