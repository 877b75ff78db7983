/* The steps of a decision, in the order of the design. */
#include "policy/decision.h"
#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

enum direction { STAY, OUT, IN };

static enum direction direction_of(const char *action)
{
	if (strcmp(action, "scale-up") == 0)
		return OUT;
	return strcmp(action, "scale-down") == 0 ? IN : STAY;
}

static bool paused(const struct decision *d, enum direction to)
{
	char text[64];
	int64_t until;

	member_text(d->in->policy, "paused", text, sizeof text);
	const char *time = strstr(text, " until ");
	if (time && clock_parse(time + 7, &until) && until <= d->in->now)
		return false;
	return strncmp(text, "all", 3) == 0 || (to == OUT && strncmp(text, "up", 2) == 0) ||
	       (to == IN && strncmp(text, "down", 4) == 0);
}

static bool held_by_pause(struct decision *d, enum direction to)
{
	char from[128];

	if (!paused(d, to))
		return false;
	plan_say(d, "paused (%s)", decision_source(d, "paused", from));
	plan_trace(d, "pause", d->from, d->from, "the policy is paused");
	return true;
}

/* The time that an alert speaks of: when the notification came, else when the condition began. */
static int64_t alert_time(struct jv alert)
{
	int64_t t;

	if (clock_json(jv_get(alert, "received_at"), &t) || clock_json(jv_get(alert, "starts_at"), &t))
		return t;
	return TIME_NONE;
}

/* An alert that was sent before the last action in its direction speaks of the time before it. */
static bool covered(struct decision *d, const char *action)
{
	const enum direction to = direction_of(action);
	const int64_t sent = alert_time(d->in->alert);
	const struct planned *p = d->before;
	const bool repair = strcmp(action, "start") == 0 || strcmp(action, "recreate") == 0;

	if (p && (p->at == d->in->now || (sent != TIME_NONE && sent <= p->at)) &&
	    (to == OUT  ? p->out
	     : to == IN ? p->in
	                : !repair || p->repair)) {
		plan_say(d, "covered by %s, which acts on %s in this pass", p->id, d->in->service);
		plan_trace(d, "coalesce", d->running, d->running, "one action for a storm of alerts: %s", p->id);
		return true;
	}
	const int64_t last = to == OUT ? decision_past(d, "last_out") : to == IN ? decision_past(d, "last_in") : TIME_NONE;
	int64_t received;
	if (last != TIME_NONE && clock_json(jv_get(d->in->alert, "received_at"), &received) && received <= last) {
		char text[CLOCK_TEXT];
		clock_format(last, text);
		plan_say(d, "covered by the action that ended at %s: the alert came before it", text);
		plan_trace(d, "coalesce", d->running, d->running, "the alert is older than the last action");
		return true;
	}
	return false;
}

/* A planned operation that nobody finished goes first, with the same names. `own`: only if it is this record's. */
static bool resume(struct decision *d, bool own)
{
	const struct jv pending = jv_get(d->in->history, "pending");
	const struct jv stored = jv_get(pending, "plan");
	char op[NAME];

	if (!jv_is_object(stored) || (own && !member_is(pending, "alert_id", d->in->id)))
		return false;
	if (!d->before) {
		d->resumed = stored;
		return true;
	}
	member_text(pending, "op_id", op, sizeof op); /* this stream is at it */
	d->defer = true;
	plan_say(d, "waits for operation %s of this service", op);
	return true;
}

static bool in_cooldown(struct decision *d, enum direction to, int64_t want)
{
	const char *field = to == OUT ? "cooldown_up" : "cooldown_down";
	const int64_t span = decision_ms(d, field, to == OUT ? 0 : 60000);
	int64_t last = decision_past(d, "last_out");
	char from[128];

	if (to == IN && decision_past(d, "last_in") > last)
		last = decision_past(d, "last_in");
	if (d->before && d->before->at > last && (to == IN || d->before->out))
		last = d->before->at;
	if (last == TIME_NONE || last + span <= d->in->now)
		return false;
	const int64_t left = last + span - d->in->now;
	plan_say(d, "%lld stays: cooldown_%s of %lld s (%s) has %lld.%03lld s left", (long long)d->from,
	         to == OUT ? "up" : "down", (long long)(span / 1000), decision_source(d, field, from),
	         (long long)(left / 1000), (long long)(left % 1000));
	plan_trace(d, "cooldown", want, d->from, "%s: %lld ms left", field, (long long)left);
	return true;
}

/* Past the threshold, in millionths, in the direction of the action; 0 when the alert says nothing. */
static int64_t breach(const struct decision *d, enum direction to)
{
	int64_t value, threshold;

	if (!jv_micro(jv_get(d->in->alert, "value"), &value) || !jv_micro(jv_get(d->in->alert, "threshold"), &threshold))
		return 0;
	return to == OUT ? value - threshold : threshold - value;
}

/* What the alert's action asks for, before any limit. -1: err is set. */
static int64_t wanted(struct decision *d, const char *action, struct err *err)
{
	const enum direction to = direction_of(action);
	const char *field = to == OUT ? "step_up" : "step_down";
	char step[POLICY_TEXT], from[128];
	int64_t count;

	if (strcmp(action, "set") == 0) {
		if (!jv_int(jv_get(d->in->alert, "count"), &count) || count < 0 || count > REPLICAS_MAX)
			return err_set(err, ERR_REFUSED, "action \"set\" needs `count`, a number from 0 to %d", REPLICAS_MAX);
		plan_say(d, "the alert sets %lld", (long long)count);
		plan_trace(d, "set", d->from, count, "the alert's count");
		return count;
	}
	member_text(d->in->policy, field, step, sizeof step);
	if (!*step)
		(void)snprintf(step, sizeof step, "1");
	const int64_t size = step_size(step, d->from, breach(d, to));
	const int64_t want = to == OUT ? d->from + size : d->from > size ? d->from - size : 0;
	plan_say(d, "alert asks %s by step %s (%s)", action, step, decision_source(d, field, from));
	if (!size)
		plan_say_more(d, ", whose first band begins above this breach");
	plan_trace(d, "step", d->from, want, "%s %s (%s)", field, step, decision_source(d, field, from));
	return want;
}

/* min and max have the last word. */
static int64_t clamp(struct decision *d, int64_t want)
{
	char from[128];
	int64_t to = want, floor = d->min + d->sick;

	if (d->max >= 0 && floor > d->max)
		floor = d->max;
	if (d->max < 0 && want > d->from && want > floor) {
		to = d->from > floor ? d->from : floor;
		plan_say_more(d, "; no max is set, so nothing scales up: set autoscale.max");
	} else if (d->max >= 0 && want > d->max) {
		to = d->max;
		plan_say_more(d, "; capped by max %lld (%s)", (long long)d->max, decision_source(d, "max", from));
	} else if (want < floor && floor > d->min) {
		to = floor;
		plan_say_more(d, "; raised to %lld: min %lld (%s), and %lld unhealthy that stay do not count", (long long)floor,
		              (long long)d->min, decision_source(d, "min", from), (long long)d->sick);
	} else if (want < d->min) {
		to = d->min;
		plan_say_more(d, "; raised to min %lld (%s)", (long long)d->min, decision_source(d, "min", from));
	}
	plan_trace(d, "clamp", want, to, "min %lld, max %lld", (long long)d->min, (long long)d->max);
	return to;
}

static void grow(struct decision *d, int64_t want)
{
	if (!jv_is_object(jv_get(d->in->observed, "template"))) {
		plan_say_more(d, "; there is no container of this service to copy");
		return;
	}
	const int64_t made = plan_copies(d, want - d->from);
	if (made < want - d->from)
		plan_say_more(d, "; no host to put %lld of them", (long long)(want - d->from - made));
	if (made < want - d->from && d->per_host)
		plan_say_more(d, " (per_host %lld)", (long long)d->per_host);
	d->to = d->from + made;
	d->op = made ? "scale-up" : "none";
}

static void shrink(struct decision *d, int64_t want)
{
	if (d->blind) {
		plan_say_more(d, "; a host does not answer, so nothing is removed");
		return;
	}
	const int64_t made = plan_removals(d, d->from - want);
	if (made < d->from - want)
		plan_say_more(d, "; %lld of them are originals or protected and stay", (long long)(d->from - want - made));
	d->to = d->from - made;
	d->op = made ? "scale-down" : "none";
}

/* What the engine restarts, and of the first of them how often by now, and why. */
static void say_restarting(struct decision *d)
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "containers"));
	struct jv_member m;
	char name[NAME], why[64];

	plan_say_more(d, ", %lld restarted by the engine", (long long)d->restarting);
	while (jv_next(&c, &m)) {
		if (!member_is(m.value, "state", "restarting") || !jv_here(jv_get(m.value, "restarts")))
			continue;
		member_text(m.value, "name", name, sizeof name);
		container_cause(m.value, why, sizeof why);
		plan_say_more(d, " (%s %lld times%s)", name, (long long)jv_int_or(jv_get(m.value, "restarts"), 0), why);
		return;
	}
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

/* Brings the count between min and max. One that waits for its next start, or is being deleted and may have to be made
 * again, is not made up for by a copy of it. */
static void keep_limits(struct decision *d)
{
	int64_t there = d->from + d->waiting + d->going;

	if (d->max >= 0 && there > d->max)
		there = d->max > d->from ? d->max : d->from;
	say_count(d);
	const int64_t want = clamp(d, there);
	if (want > there && d->dark)
		plan_say_more(d, "; of a host that does not answer it is not known what it has, so nothing is added");
	else if (want > there) {
		if (!in_vain(d))
			grow(d, want - (there - d->from));
	} else if (want < d->from)
		shrink(d, want);
	else if (want == d->from)
		plan_say_more(d, ", within min %lld and max", (long long)d->min);
	if (want == d->from && d->max >= 0)
		plan_say_more(d, " %lld", (long long)d->max);
	else if (want == d->from)
		plan_say_more(d, " (none)");
}

/* With no alert, or one that asks only for order: first what is stopped or missing, then the limits. What died may have
 * been deleted by now, and what was deleted may have been a copy beside one that is stopped: what the alert names comes
 * first, the rest before any copy is made for it. */
static void reconcile(struct decision *d, const char *action)
{
	bool planned = false;

	if (strcmp(action, "start") == 0)
		planned = start_stopped(d) || recreate_missing(d);
	else if (strcmp(action, "recreate") == 0)
		planned = recreate_missing(d) || replace_unhealthy(d) || start_stopped(d);
	else if (strcmp(action, "attach") != 0)
		planned = start_stopped(d) || recreate_missing(d) || replace_unhealthy(d);
	if (!planned && strcmp(action, "attach") == 0) {
		d->op = "attach";
		plan_say(d, "the load balancer's entries are made right");
		return;
	}
	if (!planned)
		keep_limits(d);
	tell_waiting(d);
}

/* Without an alert nothing tells two records of one pass apart. */
static bool under_way(struct decision *d)
{
	const struct planned *p = decision_unseen(d);

	if (!p || p->at != d->in->now)
		return false;
	plan_say(d, "covered by %s, which acts on %s in this pass", p->id, d->in->service);
	plan_trace(d, "coalesce", d->running, d->running, "one action in a pass: %s", p->id);
	return true;
}

static int follow_alert(struct decision *d, const char *action, struct err *err)
{
	int64_t want = wanted(d, action, err);

	if (want < 0)
		return -1;
	const enum direction to = want > d->from ? OUT : want < d->from ? IN : STAY;
	if (held_by_pause(d, to))
		return 0;
	if (to != STAY && in_cooldown(d, to, want))
		want = d->from;
	want = clamp(d, want);
	if (want > d->from)
		grow(d, want);
	else if (want < d->from)
		shrink(d, want);
	return 0;
}

static bool known_action(const char *action)
{
	static const char *const names[] = {"scale-up", "scale-down", "set", "start", "recreate", "attach", "reconcile"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(action, names[i]) == 0)
			return true;
	return false;
}

/* Reasons not to act on an alert at all, whatever it asks. */
static bool ignored(struct decision *d, const char *action)
{
	const int64_t sent = alert_time(d->in->alert), limit = decision_ms(d, "stale_after", 300000);

	if (member_is(d->in->alert, "status", "resolved") && !jv_is_true(jv_get(d->in->policy, "on_resolved"))) {
		plan_say(d, "the alert is resolved");
		plan_trace(d, "resolved", d->from, d->from, "a resolved alert does not act");
		return true;
	}
	if (sent != TIME_NONE && d->in->now - sent > limit) {
		plan_say(d, "the alert is stale: %lld s old, limit %lld s", (long long)((d->in->now - sent) / 1000),
		         (long long)(limit / 1000));
		plan_trace(d, "stale", d->from, d->from, "older than stale_after");
		return true;
	}
	return covered(d, action);
}

static int act(struct decision *d, struct err *err)
{
	char action[64] = "";

	if (!jv_is_object(d->in->alert)) {
		if (!held_by_pause(d, STAY) && !resume(d, false) && !under_way(d))
			reconcile(d, "");
		return 0;
	}
	member_text(d->in->alert, "action", action, sizeof action);
	if (!known_action(action)) {
		plan_say(d, *action ? "the alert asks for the unknown action \"%s\"" : "the alert asks for no action%s",
		         action);
		return err_set(err, ERR_REFUSED, "%s: known are scale-up, scale-down, set, start, recreate, attach, reconcile",
		               d->reason);
	}
	if (resume(d, true) || ignored(d, action) || resume(d, false))
		return 0;
	if (strcmp(action, "set") != 0 && strncmp(action, "scale-", 6) != 0) {
		const bool out = strcmp(action, "start") == 0 || strcmp(action, "recreate") == 0;
		if (!held_by_pause(d, out ? OUT : STAY))
			reconcile(d, action);
		return 0;
	}
	return follow_alert(d, action, err);
}

int decide(struct decide_state *state, const struct decide_input *in, struct buf *plan, struct err *err)
{
	struct decision d = {
		.in = in,
		.before = planned_get(state, in->service),
		.trace = BUF_INIT(65536),
		.create = BUF_INIT(LINE_MAX_BYTES),
		.start = BUF_INIT(LINE_MAX_BYTES),
		.remove = BUF_INIT(LINE_MAX_BYTES),
		.op = "none",
	};
	int bad = 0;

	buf_putc(&d.trace, '[');
	buf_putc(&d.create, '[');
	buf_putc(&d.start, '[');
	buf_putc(&d.remove, '[');
	decision_read(&d);
	d.from = d.running + d.unknown + d.restarting;
	/* A plan of this stream that the observation cannot show yet counts as carried out. */
	const struct planned *unseen = decision_unseen(&d);
	if (unseen)
		d.from = unseen->to;
	d.to = d.from;
	plan_trace(&d, "count", d.running, d.from, "%s%s%s%s", d.swarm ? "the service's replicas" : "running containers",
	           d.unknown ? ", those on hosts that do not answer" : "",
	           d.restarting ? ", those that the engine restarts" : "",
	           unseen && d.from != d.running ? ", and this stream's plan" : "");
	bad = act(&d, err);
	if (jv_here(d.resumed))
		buf_put(plan, d.resumed.p, d.resumed.n);
	else
		plan_write(&d, plan);
	if (buf_ok(plan, err) < 0)
		bad = -1;
	const struct jv done = {plan->p, plan->n};
	if (!bad && !member_is(done, "op", "none") && !member_is(done, "op", "attach"))
		bad = planned_note(state, in, done, err);
	buf_release(&d.trace);
	buf_release(&d.create);
	buf_release(&d.start);
	buf_release(&d.remove);
	return bad;
}
