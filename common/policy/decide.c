/* The steps of a decision, in the order of the design. */
#include "policy/decision.h"
#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define TRACE_BYTES 65536

enum direction { STAY, OUT, IN };

static enum direction direction_of(const char *action)
{
	if (strcmp(action, "scale-up") == 0)
		return OUT;
	return strcmp(action, "scale-down") == 0 ? IN : STAY;
}

bool paused_at(struct jv policy, bool out, bool in, int64_t now)
{
	char text[64];
	int64_t until;

	member_text(policy, "paused", text, sizeof text);
	const char *time = strstr(text, " until ");
	if (time && clock_parse(time + 7, &until) && until <= now)
		return false;
	return strncmp(text, "all", 3) == 0 || (out && strncmp(text, "up", 2) == 0) ||
	       (in && strncmp(text, "down", 4) == 0);
}

static bool paused(const struct decision *d, enum direction to)
{
	return paused_at(d->in->policy, to == OUT, to == IN, d->in->now);
}

/* What the metrics want is told all the same, and is there for the windows of the time after the pause. 1: held; 0:
 * not; -1: err is set. */
static int held_by_pause(struct decision *d, enum direction to, struct err *err)
{
	char from[128];
	int64_t want = d->from;

	if (!paused(d, to))
		return 0;
	if (to == STAY && signals_read(d, err) < 0)
		return -1;
	if (d->tracking)
		want = signals_merge(d, want);
	if (d->want >= 0)
		plan_say_more(d, "; ");
	plan_say_more(d, "paused (%s)", decision_source(d, "paused", from));
	plan_trace(d, "pause", want, d->from, "the policy is paused");
	return 1;
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
		if (!jv_int(jv_get(d->in->alert, "count"), &count) || count < 0 || count > REPLICAS_MAX) {
			plan_say(d, "action \"set\" needs `count`, a number from 0 to %d", REPLICAS_MAX);
			return err_set(err, ERR_REFUSED, "%s", d->reason);
		}
		plan_say(d, "the alert sets %lld", (long long)count);
		plan_trace(d, "set", d->from, count, "the alert's count");
		return count;
	}
	member_text(d->in->policy, field, step, sizeof step);
	if (!*step)
		(void)snprintf(step, sizeof step, "1");
	/* What is warming up was added for the same load. */
	const int64_t base = to == OUT ? (d->from > d->warming ? d->from - d->warming : 0) : d->from;
	const int64_t size = step_size(step, base, breach(d, to));
	int64_t want = to == OUT ? base + size : base > size ? base - size : 0;
	if (to == OUT && want < d->from)
		want = d->from;
	plan_say(d, "alert asks %s by step %s (%s)", action, step, decision_source(d, field, from));
	if (!size)
		plan_say_more(d, ", whose first band begins above this breach");
	else if (base < d->from)
		plan_say_more(d, " of %lld, as %lld are warming up", (long long)base, (long long)d->warming);
	plan_trace(d, "step", d->from, want, "%s %s (%s)", field, step, decision_source(d, field, from));
	return want;
}

/* From what is wanted to what is left of it. Out and in can be paused one by one. */
static int64_t limited(struct decision *d, int64_t want)
{
	char from[128];

	if (paused(d, want > d->from ? OUT : want < d->from ? IN : STAY)) {
		plan_say_more(d, "; paused (%s)", decision_source(d, "paused", from));
		plan_trace(d, "pause", want, d->from, "the policy is paused");
		return d->from;
	}
	if (d->tracking)
		want = stabilize(d, want);
	want = foresee(d, want);
	want = limit_rate(d, want);
	return cool_down(d, want);
}

/* With no alert, or one that asks only for order: first what is stopped or missing, then what the metrics ask for, then
 * the limits. What died may have been deleted by now, and what was deleted may have been a copy beside one that is
 * stopped: what the alert names comes first, the rest before any copy is made for it. */
static int reconcile(struct decision *d, const char *action, struct err *err)
{
	const bool start = strcmp(action, "start") == 0, recreate = strcmp(action, "recreate") == 0;
	bool planned = false;

	if (strcmp(action, "attach") == 0) {
		d->op = "attach";
		plan_say(d, "the load balancer's entries are made right");
		return 0;
	}
	if (start)
		planned = start_stopped(d) || recreate_missing(d);
	else if (recreate)
		planned = recreate_missing(d) || replace_unhealthy(d) || start_stopped(d);
	else
		planned = start_stopped(d) || recreate_missing(d) || replace_unhealthy(d);
	if (!planned && !start && !recreate && signals_read(d, err) < 0)
		return -1;
	if (!planned && d->tracking)
		reach_count_gently(d, limited(d, signals_merge(d, -1)));
	else if (!planned)
		keep_limits(d);
	tell_waiting(d);
	return 0;
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
	const int64_t want = wanted(d, action, err);

	if (want < 0 || signals_read(d, err) < 0)
		return -1;
	reach_count(d, limited(d, signals_merge(d, want)));
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
	const int64_t sent = alert_time(d->in->alert), limit = decision_ms(d, "stale_after", STALE_AFTER_MS);

	char status[32];

	member_text(d->in->alert, "status", status, sizeof status);
	const bool resolved = strcmp(status, "resolved") == 0;
	if (*status && strcmp(status, "firing") != 0 && !(resolved && jv_is_true(jv_get(d->in->policy, "on_resolved")))) {
		plan_say(d, resolved ? "the alert is resolved" : "the alert is \"%s\", not firing", status);
		plan_trace(d, "resolved", d->from, d->from, "%s alert does not act", resolved ? "a resolved" : "such an");
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
		const int held = held_by_pause(d, STAY, err);
		if (held || resume(d, false) || under_way(d))
			return held < 0 ? -1 : 0;
		return reconcile(d, "", err);
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
	const bool counts = strcmp(action, "set") == 0 || strncmp(action, "scale-", 6) == 0;
	const bool out = strcmp(action, "start") == 0 || strcmp(action, "recreate") == 0;
	const int held = held_by_pause(d, out ? OUT : STAY, err);
	if (held)
		return held < 0 ? -1 : 0;
	return counts ? follow_alert(d, action, err) : reconcile(d, action, err);
}

int decide(struct decide_state *state, const struct decide_input *in, struct buf *plan, struct err *err)
{
	struct decision d = {
		.in = in,
		.before = planned_get(state, in->service),
		.op = "none",
	};
	struct buf *const texts[DECISION_TEXTS] = {&d.trace, &d.create, &d.start, &d.remove, &d.names};
	int bad = 0;

	decision_borrow(state, texts);
	d.trace.max = TRACE_BYTES;
	buf_putc(&d.trace, '[');
	buf_putc(&d.create, '[');
	buf_putc(&d.start, '[');
	buf_putc(&d.remove, '[');
	decision_read(&d);
	decision_count(&d);
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
	decision_return(state, texts);
	free(d.signals);
	return bad;
}
