/* min and max have the last word; what is left is copied or removed. */
#include "policy/decision.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

/* The count that an entry of the schedule begins with, until anything was done since. */
static int64_t begin_entry(struct decision *d, int64_t want)
{
	char from[160];

	if (d->initial <= want || decision_past(d, "last_out") >= d->initial_since ||
	    decision_past(d, "last_in") >= d->initial_since || (d->before && d->before->at >= d->initial_since))
		return want;
	plan_say_more(d, "; begins with %lld (%s)", (long long)d->initial, limit_source(d, false, from));
	plan_trace(d, "schedule", want, d->initial, "the entry begins with %lld", (long long)d->initial);
	return d->initial;
}

static int64_t clamp(struct decision *d, int64_t want)
{
	char from[160];
	int64_t floor = d->min + d->sick;

	want = begin_entry(d, want);
	int64_t to = want;
	if (d->max >= 0 && floor > d->max)
		floor = d->max;
	if (d->max < 0 && want > d->from && want > floor) {
		to = d->from > floor ? d->from : floor;
		plan_say_more(d, "; no max is set, so nothing scales up: set autoscale.max");
	} else if (d->max >= 0 && want > d->max) {
		to = d->max;
		plan_say_more(d, "; capped by max %lld (%s)", (long long)d->max, limit_source(d, true, from));
	} else if (want < floor && floor < d->min) {
		char other[160];
		to = floor;
		plan_say_more(d, "; raised to %lld: min %lld (%s) is larger than max %lld (%s)", (long long)floor,
		              (long long)d->min, limit_source(d, false, from), (long long)d->max, limit_source(d, true, other));
	} else if (want < floor && floor > d->min) {
		to = floor;
		plan_say_more(d, "; raised to %lld: min %lld (%s), and %lld unhealthy that stay do not count", (long long)floor,
		              (long long)d->min, limit_source(d, false, from), (long long)d->sick);
	} else if (want < floor) {
		to = floor;
		plan_say_more(d, "; raised to min %lld (%s)", (long long)floor, limit_source(d, false, from));
	}
	char most[160], bound[32] = "none";
	if (d->max >= 0)
		(void)snprintf(bound, sizeof bound, "%lld", (long long)d->max);
	plan_trace(d, "clamp", want, to, "min %lld (%s), max %s (%s)", (long long)d->min, limit_source(d, false, from),
	           bound, limit_source(d, true, most));
	return to;
}

static void grow(struct decision *d, int64_t want)
{
	if (!jv_is_object(jv_get(d->in->observed, "template"))) {
		plan_say_more(d, "; there is no container of this service to copy");
		plan_trace(d, "place", want, d->from, "nothing to copy");
		return;
	}
	const int64_t made = plan_copies(d, want - d->from);
	if (made < want - d->from)
		plan_say_more(d, "; no host to put %lld of them", (long long)(want - d->from - made));
	if (made < want - d->from && d->per_host)
		plan_say_more(d, " (per_host %lld)", (long long)d->per_host);
	d->to = d->from + made;
	d->op = made ? "scale-up" : "none";
	if (d->to != want)
		plan_trace(d, "place", want, d->to, "no host takes more");
}

static void shrink(struct decision *d, int64_t want)
{
	if (d->blind) {
		plan_say_more(d, "; a host does not answer, so nothing is removed");
		plan_trace(d, "remove", want, d->from, "a host does not answer");
		return;
	}
	const int64_t made = plan_removals(d, d->from - want);
	if (made < d->from - want)
		plan_say_more(d, "; %lld of them are originals or protected and stay", (long long)(d->from - want - made));
	d->to = d->from - made;
	d->op = made ? "scale-down" : "none";
	if (d->to != want)
		plan_trace(d, "remove", want, d->to, "originals and protected copies stay");
}

/* What the engine restarts, and of the first of them how often by now, and why. */
static void say_restarting(struct decision *d)
{
	char name[NAME], why[64];
	size_t n;
	struct jv *v = observed_by_name(d, "containers", &n);

	plan_say_more(d, ", %lld restarted by the engine", (long long)d->restarting);
	for (size_t i = 0; i < n; i++) {
		if (!member_is(v[i], "state", "restarting") || !jv_here(jv_get(v[i], "restarts")))
			continue;
		member_text(v[i], "name", name, sizeof name);
		container_cause(v[i], why, sizeof why);
		plan_say_more(d, " (%s %lld times%s)", name, (long long)jv_int_or(jv_get(v[i], "restarts"), 0), why);
		break;
	}
	free(v);
}

/* How many there are, for the reason. */
static void say_count(struct decision *d)
{
	plan_say(d, d->swarm ? "%lld replicas" : "%lld running", (long long)(d->from - d->unknown - d->restarting));
	if (d->unknown)
		plan_say_more(d, ", %lld on hosts that do not answer", (long long)d->unknown);
	if (d->restarting)
		say_restarting(d);
	if (d->going)
		plan_say_more(d, ", %lld being deleted", (long long)d->going);
}

/* Copies for the limits that just now did not get ready will not do so at once either. An alert is given back with
 * longer and longer waits by itself. */
static bool in_vain(struct decision *d)
{
	char name[NAME];

	next_name(d, name);
	return must_wait(d, name, (struct jv){0});
}

void reach_count(struct decision *d, int64_t want)
{
	want = clamp(d, want);
	if (want > d->from)
		grow(d, want);
	else if (want < d->from)
		shrink(d, want);
}

/* Those that run, and those that wait for their next start or are being deleted and may have to be made again: none of
 * these is made up for by a copy. */
static int64_t count_there(const struct decision *d)
{
	const int64_t there = d->from + d->waiting + d->going;

	if (d->max >= 0 && there > d->max)
		return d->max > d->from ? d->max : d->from;
	return there;
}

/* Grows or shrinks, where nobody but the limits or the metrics asks for it. */
static void adjust(struct decision *d, int64_t want, int64_t there)
{
	if (want > d->from && there > d->from)
		plan_trace(d, "wait", want, want > there ? want - (there - d->from) : d->from,
		           "those that wait or are being deleted count as there");
	if (want > there && d->dark) {
		plan_say_more(d, "; of a host that does not answer it is not known what it has, so nothing is added");
		plan_trace(d, "place", want, d->from, "of a host it is not known what it has");
	} else if (want > there) {
		if (!in_vain(d))
			grow(d, want - (there - d->from));
	} else if (want < d->from) {
		shrink(d, want);
	}
}

void reach_count_gently(struct decision *d, int64_t want)
{
	const int64_t there = count_there(d);

	want = clamp(d, want);
	if (want > d->from && there > d->from)
		plan_say_more(d, "; %lld that wait or are being deleted count as there", (long long)(there - d->from));
	adjust(d, want, there);
}

void keep_limits(struct decision *d)
{
	const int64_t there = count_there(d);

	say_count(d);
	const int64_t want = clamp(d, there);
	adjust(d, want, there);
	if (want != d->from)
		return;
	plan_say_more(d, ", within min %lld and max", (long long)d->min);
	if (d->max >= 0)
		plan_say_more(d, " %lld", (long long)d->max);
	else
		plan_say_more(d, " (none)");
}
