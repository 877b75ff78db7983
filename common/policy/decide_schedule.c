/* What the policy's `schedule` says at this time. */
#include "policy/decision.h"
#include "policy/policy.h"
#include "policy/schedule.h"

#include <stdio.h>

#include "base/banned.h"

static void put_bound(char *out, size_t size, const char *name, int64_t bound)
{
	if (bound < 0)
		(void)snprintf(out, size, "no %s", name);
	else
		(void)snprintf(out, size, "%s %lld", name, (long long)bound);
}

/* One entry's min and max in place of the policy's. Where it names one of them and the two cross, its own wins. */
static void replace_limits(int64_t *min, int64_t *max, const struct schedule_entry *e)
{
	const bool both = e->min >= 0 && e->max >= 0;

	if (e->min >= 0)
		*min = e->min;
	if (e->max >= 0)
		*max = e->max;
	if (!both && *max >= 0 && *min > *max) {
		if (e->min >= 0)
			*max = *min;
		else
			*min = *max;
	}
}

static int64_t bound_of(struct jv policy, const char *field, int64_t otherwise)
{
	const int64_t n = jv_int_or(jv_get(policy, field), otherwise);

	return n > REPLICAS_MAX ? REPLICAS_MAX : n;
}

/* The policy's own, whatever the time. */
void limits_read(struct jv policy, int64_t *min, int64_t *max)
{
	*min = bound_of(policy, "min", 1);
	*max = bound_of(policy, "max", -1);
}

void limits_at(struct jv policy, int64_t now, int64_t *min, int64_t *max)
{
	char text[POLICY_TEXT], why[160];
	struct schedule_entry e;

	limits_read(policy, min, max);
	member_text(policy, "schedule", text, sizeof text);
	if (*text && schedule_valid(text, why, sizeof why) && schedule_at(text, now, &e))
		replace_limits(min, max, &e);
}

void schedule_apply(struct decision *d)
{
	const int64_t count = d->running + d->unknown + d->restarting, limits[] = {d->min, d->max};
	char text[POLICY_TEXT], why[160], from[128], was[2][32], is[2][32], since[CLOCK_TEXT];
	struct schedule_entry e;

	d->initial = -1;
	member_text(d->in->policy, "schedule", text, sizeof text);
	if (!*text)
		return;
	if (!schedule_valid(text, why, sizeof why)) {
		plan_trace(d, "schedule", count, count, "it is left out, it does not parse: %s", why);
		return;
	}
	if (!schedule_at(text, d->in->now, &e)) {
		plan_trace(d, "schedule", count, count, "no entry is active");
		return;
	}
	replace_limits(&d->min, &d->max, &e);
	d->initial = e.initial;
	d->initial_since = e.since;
	const char *source = decision_source(d, "schedule", from);
	for (int i = 0; i < 2; i++) {
		const int64_t now = i ? d->max : d->min, named = i ? e.max : e.min;
		put_bound(was[i], sizeof was[i], i ? "max" : "min", limits[i]);
		put_bound(is[i], sizeof is[i], i ? "max" : "min", now);
		if (named >= 0 || now != limits[i])
			(void)snprintf(d->limits_from[i], sizeof d->limits_from[i], "schedule (%s)", source);
	}
	clock_format(e.since, since);
	plan_trace(d, "schedule", count, count, "an entry (%s) is active since %s: %s, %s instead of %s, %s%s", source,
	           since, is[0], is[1], was[0], was[1],
	           (e.min < 0 && d->min != limits[0]) || (e.max < 0 && d->max != limits[1])
	               ? "; the one that it does not name gives way to the other"
	               : "");
}
