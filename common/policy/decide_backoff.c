/* Crash loops: a container that was repaired just now and needs it again waits, each time longer. */
#include "policy/decision.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define ROW_GAP_MS (10 * 60 * 1000) /* repairs closer together than this are in a row */
#define WAIT_MS 10000               /* before the second of a row; doubled with each one more, */
#define WAIT_MAX_MS 300000          /* up to this */

/* Repairs of one container in a row, up to now. */
struct streak {
	int64_t n, first, last;
	const char *did; /* what the last one did */
	bool over;       /* a longer gap ends it */
};

/* Called from the newest to the oldest. */
static void add_repair(struct streak *s, int64_t now, int64_t at, const char *did)
{
	if (s->over || (s->n ? s->first : now) - at >= ROW_GAP_MS) {
		s->over = true;
		return;
	}
	if (!s->n) {
		s->last = at;
		s->did = did;
	}
	s->first = at;
	s->n++;
}

static bool names(struct jv list, const char *name)
{
	struct jv_cursor c = jv_each(list);
	struct jv_member m;

	while (jv_next(&c, &m))
		if (jv_is(m.value, name))
			return true;
	return false;
}

static const char *did(struct jv op)
{
	return jv_is(op, "start") ? "started" : jv_is(op, "recreate") ? "made again" : "made in vain";
}

static struct streak streak_of(const struct decision *d, const char *name)
{
	const struct planned *p = decision_unseen(d);
	struct jv_cursor c = jv_each(jv_get(d->in->history, "repairs"));
	struct jv_member m;
	struct streak s = {0};
	struct repaired r;
	int64_t at;

	for (size_t end = p ? p->repairs.n : 0; end >= sizeof r; end -= sizeof r) {
		memcpy(&r, p->repairs.p + end - sizeof r, sizeof r);
		if (strcmp(r.name, name) == 0)
			add_repair(&s, d->in->now, r.at, r.made ? "made again" : "started");
	}
	while (jv_next(&c, &m))
		if (clock_json(jv_get(m.value, "at"), &at) && names(jv_get(m.value, "names"), name))
			add_repair(&s, d->in->now, at, did(jv_get(m.value, "op")));
	return s;
}

static int64_t wait_of(int64_t n)
{
	int64_t wait = WAIT_MS;

	while (--n > 0 && wait < WAIT_MAX_MS)
		wait *= 2;
	return wait < WAIT_MAX_MS ? wait : WAIT_MAX_MS;
}

void container_cause(struct jv c, char *out, size_t size)
{
	int64_t code;

	out[0] = '\0';
	if (container_unhealthy(c))
		(void)snprintf(out, size, ", unhealthy");
	else if (jv_is_true(jv_get(c, "oom_killed")))
		(void)snprintf(out, size, ", out of memory (exit code %lld)",
		               (long long)jv_int_or(jv_get(c, "exit_code"), 137));
	else if (jv_int(jv_get(c, "exit_code"), &code))
		(void)snprintf(out, size, ", exit code %lld", (long long)code);
}

bool must_wait(struct decision *d, const char *name, struct jv container)
{
	const int64_t now = d->in->now;
	const struct streak s = streak_of(d, name);
	const int64_t due = s.n ? s.last + wait_of(s.n) : now;
	char why[64];

	if (due <= now)
		return false;
	d->waits++;
	if (d->retry_at == TIME_NONE || due < d->retry_at)
		d->retry_at = due;
	if (s.n <= d->worst)
		return true;
	d->worst = s.n;
	container_cause(container, why, sizeof why);
	(void)snprintf(d->loop, sizeof d->loop, "%s%s was %s %lld time%s in %lld s%s; next try in %lld s",
	               s.n > 1 ? "crash loop: " : "", name, s.did, (long long)s.n, s.n > 1 ? "s" : "",
	               (long long)((now - s.first) / 1000), why, (long long)((due - now + 999) / 1000));
	return true;
}

bool may_settle(struct decision *d, const char *name, struct jv remembered)
{
	int64_t at;

	if (!clock_json(jv_get(remembered, "settles_at"), &at) || at <= d->in->now)
		return false;
	d->waits++;
	if (d->retry_at == TIME_NONE || at < d->retry_at)
		d->retry_at = at;
	if (!*d->loop)
		(void)snprintf(d->loop, sizeof d->loop, "%s is gone, perhaps with all of its compose project: known in %lld s",
		               name, (long long)((at - d->in->now + 999) / 1000));
	return true;
}

void tell_waiting(struct decision *d)
{
	if (!d->waits)
		return;
	if (strcmp(d->op, "none") == 0)
		plan_say(d, "%s", d->loop);
	else
		plan_say_more(d, "; %s", d->loop);
	if (d->waits > 1)
		plan_say_more(d, "; %lld more wait", (long long)(d->waits - 1));
	if (d->worst)
		plan_trace(d, "backoff", d->from, d->to, "%lld repair%s in a row, each waits longer, up to %d s",
		           (long long)d->worst, d->worst > 1 ? "s" : "", WAIT_MAX_MS / 1000);
	else
		plan_trace(d, "settle", d->from, d->to, "a compose project may be going down");
}
