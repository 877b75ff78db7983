#include "policy/decide.h"

#include "base/clock.h"
#include "base/limits.h"
#include "policy/policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define NAME 256

/* ---- what one stream remembers of a service ---- */

struct planned {
	char service[SERVICE_NAME_MAX + 1];
	char id[NAME];      /* the record that acted */
	int64_t at;         /* its `now` */
	int64_t to;         /* the count it leads to */
	int64_t generation; /* that it will get */
	bool out, in;       /* direction */
	struct buf indexes; /* taken by its plan: int64_t each */
	struct planned *next;
};

#define BUCKETS 4096

struct decide_state {
	struct planned *bucket[BUCKETS];
};

struct decide_state *decide_state_new(void) { return calloc(1, sizeof(struct decide_state)); }

void decide_state_free(struct decide_state *s)
{
	for (size_t i = 0; s && i < BUCKETS; i++)
		for (struct planned *p = s->bucket[i], *next; p; p = next) {
			next = p->next;
			buf_release(&p->indexes);
			free(p);
		}
	free(s);
}

static struct planned **planned_slot(struct decide_state *s, const char *service)
{
	uint32_t h = 2166136261u;

	for (const char *p = service; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	struct planned **slot = &s->bucket[h % BUCKETS];
	while (*slot && strcmp((*slot)->service, service) != 0)
		slot = &(*slot)->next;
	return slot;
}

/* ---- one decision ---- */

enum direction { STAY, OUT, IN };

struct decision {
	const struct decide_input *in;
	struct planned *before; /* this stream's last action for the service, or NULL */
	struct buf trace, create, start, remove;
	char reason[512];
	const char *op;
	int64_t from, to;
	/* the policy, read once */
	int64_t min, max; /* max -1: none */
	/* the observation */
	int64_t running, stopped;
	bool blind;        /* some host did not answer */
	bool defer;        /* the alert goes back and is decided anew */
	struct jv resumed; /* the stored plan that is carried out instead of a new one */
};

__attribute__((format(printf, 5, 6))) static void trace(struct decision *d, const char *step, int64_t in, int64_t out,
                                                        const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	buf_json_comma(&d->trace);
	buf_putc(&d->trace, '{');
	buf_json_member_str(&d->trace, "step", step);
	buf_json_member_int(&d->trace, "in", in);
	buf_json_member_int(&d->trace, "out", out);
	buf_json_member_str(&d->trace, "why", why);
	buf_putc(&d->trace, '}');
}

__attribute__((format(printf, 2, 3))) static void say(struct decision *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(d->reason, sizeof d->reason, fmt, ap);
	va_end(ap);
}

__attribute__((format(printf, 2, 3))) static void say_more(struct decision *d, const char *fmt, ...)
{
	const size_t n = strlen(d->reason);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(d->reason + n, sizeof d->reason - n, fmt, ap);
	va_end(ap);
}

/* -- reading the record -- */

static void text_of(struct jv object, const char *name, char *out, size_t size)
{
	if (!jv_str(jv_get(object, name), out, size))
		out[0] = '\0';
}

/* Seconds in the record, ms here. */
static int64_t policy_ms(const struct decision *d, const char *field, int64_t otherwise)
{
	int64_t micro;

	return jv_micro(jv_get(d->in->policy, field), &micro) ? micro / 1000 : otherwise;
}

/* "label", "db:web@4", "default": where a field came from, for reasons. */
static const char *source_of(const struct decision *d, const char *field, char out[128])
{
	text_of(jv_get(d->in->policy, "from"), field, out, 128);
	return *out ? out : "default";
}

static bool same_text(struct jv object, const char *name, const char *text)
{
	return jv_is(jv_get(object, name), text);
}

static bool is_running(struct jv c) { return same_text(c, "state", "running"); }

static bool is_stopped(struct jv c)
{
	return same_text(c, "state", "exited") || same_text(c, "state", "created") || same_text(c, "state", "dead");
}

static void read_record(struct decision *d)
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "containers"));
	struct jv_member m;

	d->min = jv_int_or(jv_get(d->in->policy, "min"), 1);
	d->max = jv_int_or(jv_get(d->in->policy, "max"), -1);
	while (jv_next(&c, &m)) {
		d->running += is_running(m.value);
		d->stopped += is_stopped(m.value);
	}
	c = jv_each(jv_get(d->in->observed, "hosts"));
	while (jv_next(&c, &m))
		d->blind = d->blind || !jv_is_true(jv_get(m.value, "ok"));
}

/* -- names, hosts, victims -- */

static bool index_taken(const struct decision *d, int64_t index)
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "containers"));
	struct jv_member m;
	char name[NAME], want[NAME];

	(void)snprintf(want, sizeof want, "%s-%lld", d->in->service, (long long)index);
	while (jv_next(&c, &m)) {
		text_of(m.value, "name", name, sizeof name);
		if (strcmp(name, want) == 0 || jv_int_or(jv_get(m.value, "index"), -1) == index)
			return true;
	}
	for (size_t i = 0; d->before && i + sizeof index <= d->before->indexes.n; i += sizeof index) {
		int64_t used;
		memcpy(&used, d->before->indexes.p + i, sizeof used);
		if (used == index)
			return true;
	}
	return false;
}

/* How many containers of the service a host has, those of this plan included. */
static int64_t on_host(const struct decision *d, const char *host)
{
	const struct jv lists[] = {jv_get(d->in->observed, "containers"), {d->create.p, d->create.n}};
	int64_t n = 0;

	for (size_t i = 0; i < 2; i++) {
		struct buf closed = BUF_INIT(LINE_MAX_BYTES);
		buf_put(&closed, lists[i].p, lists[i].n);
		if (i)
			buf_putc(&closed, ']');
		struct jv_cursor c = jv_each((struct jv){closed.p, closed.n});
		struct jv_member m;
		while (jv_next(&c, &m))
			n += same_text(m.value, "host", host);
		buf_release(&closed);
	}
	return n;
}

/* spread: the fewest containers of this service, then the order of the configuration; pack: the most; same-host: where
 * the template is. Hosts that did not answer are left out. */
static bool choose_host(const struct decision *d, struct jv template, char out[NAME])
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "hosts"));
	struct jv_member m;
	char host[NAME];
	int64_t best = -1;
	const bool pack = same_text(d->in->policy, "placement", "pack");

	text_of(template, "host", out, NAME);
	if (same_text(d->in->policy, "placement", "same-host") && *out)
		return true;
	while (jv_next(&c, &m)) {
		if (!jv_is_true(jv_get(m.value, "ok")))
			continue;
		text_of(m.value, "name", host, sizeof host);
		const int64_t n = on_host(d, host);
		if (best >= 0 && (pack ? n <= best : n >= best))
			continue;
		best = n;
		memcpy(out, host, sizeof host);
	}
	return *out != '\0';
}

static void put_create(struct decision *d, const char *name, const char *host, const char *like, int64_t index)
{
	struct buf *b = &d->create;

	buf_json_comma(b);
	buf_putc(b, '{');
	buf_json_member_str(b, "name", name);
	buf_json_member_str(b, "host", host);
	buf_json_member_str(b, "like", *like ? like : NULL);
	buf_json_key(b, "index");
	if (index >= 0)
		buf_json_int(b, index);
	else
		buf_puts(b, "null");
	buf_putc(b, '}');
}

static void put_target(struct buf *b, struct jv container)
{
	char id[NAME], name[NAME], host[NAME];

	text_of(container, "id", id, sizeof id);
	text_of(container, "name", name, sizeof name);
	text_of(container, "host", host, sizeof host);
	buf_json_comma(b);
	buf_putc(b, '{');
	buf_json_member_str(b, "id", id);
	buf_json_member_str(b, "name", name);
	buf_json_member_str(b, "host", host);
	buf_putc(b, '}');
}

static int64_t plan_copies(struct decision *d, int64_t count)
{
	const struct jv template = jv_get(d->in->observed, "template");
	char host[NAME], like[NAME], name[NAME];
	int64_t made = 0;

	text_of(template, "id", like, sizeof like);
	for (int64_t index = 1; made < count; index++) {
		if (index_taken(d, index))
			continue;
		if (!choose_host(d, template, host))
			break;
		(void)snprintf(name, sizeof name, "%s-%lld", d->in->service, (long long)index);
		put_create(d, name, host, like, index);
		made++;
	}
	return made;
}

struct victim {
	struct jv container;
	int64_t created, connections; /* -1: unknown */
};

/* Connections of a container by a metric that as-sample took per container. */
static int64_t connections_of(const struct decision *d, struct jv container)
{
	struct jv_cursor c = jv_each(d->in->metrics);
	struct jv_member m;
	char id[NAME], metric_id[NAME];
	int64_t micro;

	text_of(container, "id", id, sizeof id);
	while (jv_next(&c, &m)) {
		text_of(m.value, "id", metric_id, sizeof metric_id);
		if (same_text(m.value, "name", "lb.connections") && same_text(m.value, "per", "container") &&
		    strcmp(id, metric_id) == 0 && jv_is_true(jv_get(m.value, "ok")) &&
		    jv_micro(jv_get(m.value, "value"), &micro))
			return micro / 1000000;
	}
	return -1;
}

/* Is a the better one to remove? idle: fewer connections, as far as both are known; then the newer. */
static bool better_victim(const struct victim *a, const struct victim *b, bool idle, bool oldest)
{
	if (idle && a->connections >= 0 && b->connections >= 0 && a->connections != b->connections)
		return a->connections < b->connections;
	return oldest ? a->created < b->created : a->created > b->created;
}

static bool may_remove(struct jv c)
{
	return jv_is_true(jv_get(c, "copy")) && !is_stopped(c) &&
	       !jv_is(jv_get(jv_get(c, "labels"), "autoscale.protect"), "true");
}

static int64_t plan_removals(struct decision *d, int64_t count)
{
	const bool idle = !same_text(d->in->policy, "victim", "newest") && !same_text(d->in->policy, "victim", "oldest");
	const bool oldest = same_text(d->in->policy, "victim", "oldest");
	struct victim v[REPLICAS_MAX / 10];
	size_t n = 0;
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "containers"));
	struct jv_member m;
	int64_t made = 0;

	while (jv_next(&c, &m) && n < sizeof v / sizeof *v) {
		if (!may_remove(m.value))
			continue;
		v[n] = (struct victim){m.value, 0, idle ? connections_of(d, m.value) : -1};
		(void)clock_json(jv_get(m.value, "created"), &v[n].created);
		n++;
	}
	for (; made < count && n; made++) {
		size_t best = 0;
		for (size_t i = 1; i < n; i++)
			if (better_victim(&v[i], &v[best], idle, oldest))
				best = i;
		put_target(&d->remove, v[best].container);
		v[best] = v[--n];
	}
	return made;
}

/* -- the steps, in the order of the design -- */

static enum direction direction_of(const char *action)
{
	if (strcmp(action, "scale-up") == 0 || strcmp(action, "recreate") == 0)
		return OUT;
	return strcmp(action, "scale-down") == 0 ? IN : STAY;
}

static bool paused(const struct decision *d, enum direction to)
{
	char text[64];
	int64_t until;

	text_of(d->in->policy, "paused", text, sizeof text);
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
	say(d, "paused (%s)", source_of(d, "paused", from));
	trace(d, "pause", d->from, d->from, "the policy is paused");
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

static int64_t past_time(const struct decision *d, const char *member)
{
	int64_t t;

	return clock_json(jv_get(d->in->history, member), &t) ? t : TIME_NONE;
}

/* An alert that was sent before the last action in its direction speaks of the time before it. */
static bool covered(struct decision *d, const char *action)
{
	const enum direction to = direction_of(action);
	const int64_t sent = alert_time(d->in->alert);
	const struct planned *p = d->before;

	if (p && (p->at == d->in->now || (sent != TIME_NONE && sent <= p->at)) &&
	    ((to == OUT && p->out) || (to == IN && p->in) || to == STAY)) {
		say(d, "covered by %s, which acts on %s in this pass", p->id, d->in->service);
		trace(d, "coalesce", d->running, d->running, "one action for a storm of alerts: %s", p->id);
		return true;
	}
	const int64_t last = to == OUT ? past_time(d, "last_out") : to == IN ? past_time(d, "last_in") : TIME_NONE;
	int64_t received;
	if (last != TIME_NONE && clock_json(jv_get(d->in->alert, "received_at"), &received) && received <= last) {
		char text[CLOCK_TEXT];
		clock_format(last, text);
		say(d, "covered by the action that ended at %s: the alert came before it", text);
		trace(d, "coalesce", d->running, d->running, "the alert is older than the last action");
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

	if (!jv_is_object(stored) || (own && !same_text(pending, "alert_id", d->in->id)))
		return false;
	if (!d->before) {
		d->resumed = stored;
		return true;
	}
	text_of(pending, "op_id", op, sizeof op); /* this stream is at it */
	d->defer = true;
	say(d, "waits for operation %s of this service", op);
	return true;
}

static bool in_cooldown(struct decision *d, enum direction to, int64_t want)
{
	const char *field = to == OUT ? "cooldown_up" : "cooldown_down";
	const int64_t span = policy_ms(d, field, to == OUT ? 0 : 60000);
	int64_t last = past_time(d, "last_out");
	char from[128];

	if (to == IN && past_time(d, "last_in") > last)
		last = past_time(d, "last_in");
	if (d->before && d->before->at > last && (to == IN || d->before->out))
		last = d->before->at;
	if (last == TIME_NONE || last + span <= d->in->now)
		return false;
	const int64_t left = last + span - d->in->now;
	say(d, "%lld stays: cooldown_%s of %lld s (%s) has %lld.%03lld s left", (long long)d->from,
	    to == OUT ? "up" : "down", (long long)(span / 1000), source_of(d, field, from), (long long)(left / 1000),
	    (long long)(left % 1000));
	trace(d, "cooldown", want, d->from, "%s: %lld ms left", field, (long long)left);
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
		say(d, "the alert sets %lld", (long long)count);
		trace(d, "set", d->from, count, "the alert's count");
		return count;
	}
	text_of(d->in->policy, field, step, sizeof step);
	if (!*step)
		(void)snprintf(step, sizeof step, "1");
	const int64_t size = step_size(step, d->from, breach(d, to));
	const int64_t want = to == OUT ? d->from + size : d->from > size ? d->from - size : 0;
	say(d, "alert asks %s by step %s (%s)", action, step, source_of(d, field, from));
	if (!size)
		say_more(d, ", whose first band begins above this breach");
	trace(d, "step", d->from, want, "%s %s (%s)", field, step, source_of(d, field, from));
	return want;
}

/* min and max have the last word. */
static int64_t clamp(struct decision *d, int64_t want)
{
	char from[128];
	int64_t to = want;

	if (d->max < 0 && want > d->from && want > d->min) {
		to = d->from > d->min ? d->from : d->min;
		say_more(d, "; no max is set, so nothing scales up: set autoscale.max");
	} else if (d->max >= 0 && want > d->max) {
		to = d->max;
		say_more(d, "; capped by max %lld (%s)", (long long)d->max, source_of(d, "max", from));
	} else if (want < d->min) {
		to = d->min;
		say_more(d, "; raised to min %lld (%s)", (long long)d->min, source_of(d, "min", from));
	}
	trace(d, "clamp", want, to, "min %lld, max %lld", (long long)d->min, (long long)d->max);
	return to;
}

static void grow(struct decision *d, int64_t want)
{
	if (!jv_is_object(jv_get(d->in->observed, "template"))) {
		say_more(d, "; there is no container of this service to copy");
		return;
	}
	const int64_t made = plan_copies(d, want - d->from);
	if (made < want - d->from)
		say_more(d, "; no host to put %lld of them", (long long)(want - d->from - made));
	d->to = d->from + made;
	d->op = made ? "scale-up" : "none";
}

static void shrink(struct decision *d, int64_t want)
{
	if (d->blind) {
		say_more(d, "; a host does not answer, so nothing is removed");
		return;
	}
	const int64_t made = plan_removals(d, d->from - want);
	if (made < d->from - want)
		say_more(d, "; %lld of them are originals or protected and stay", (long long)(d->from - want - made));
	d->to = d->from - made;
	d->op = made ? "scale-down" : "none";
}

static bool available(const struct decision *d, const char *what)
{
	char text[64];

	text_of(d->in->policy, "available", text, sizeof text);
	return strstr(*text ? text : "start,recreate", what) != NULL;
}

/* Starts what is stopped, as far as max allows. */
static bool start_stopped(struct decision *d)
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "containers"));
	struct jv_member m;
	int64_t n = 0;

	if (!available(d, "start"))
		return false;
	while (jv_next(&c, &m))
		if (is_stopped(m.value) && (d->max < 0 || d->from + n < d->max)) {
			put_target(&d->start, m.value);
			n++;
		}
	if (!n)
		return false;
	d->op = "start";
	d->to = d->from + n;
	say(d, "%lld stopped", (long long)n);
	trace(d, "available", d->from, d->to, "stopped containers are started");
	return true;
}

/* Makes what was deleted anew, from the remembered specification. */
static bool recreate_missing(struct decision *d)
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "remembered"));
	struct jv_member m;
	char name[NAME], host[NAME];
	int64_t n = 0;

	if (d->blind || !available(d, "recreate"))
		return false;
	while (jv_next(&c, &m))
		if (jv_is_true(jv_get(m.value, "missing")) && (d->max < 0 || d->from + n < d->max)) {
			text_of(m.value, "name", name, sizeof name);
			text_of(m.value, "host", host, sizeof host);
			put_create(d, name, host, "", -1);
			n++;
		}
	if (!n)
		return false;
	d->op = "recreate";
	d->to = d->from + n;
	say(d, "%lld deleted", (long long)n);
	trace(d, "available", d->from, d->to, "deleted containers are made anew as remembered");
	return true;
}

/* With no alert, or one that asks only for order: first what is stopped or missing, then the limits. */
static void reconcile(struct decision *d, const char *action)
{
	const bool any = !*action || strcmp(action, "reconcile") == 0;

	if ((any || strcmp(action, "start") == 0) && d->stopped && start_stopped(d))
		return;
	if ((any || strcmp(action, "recreate") == 0) && recreate_missing(d))
		return;
	if (strcmp(action, "attach") == 0) {
		d->op = "attach";
		say(d, "the load balancer's entries are made right");
		return;
	}
	say(d, "%lld running", (long long)d->from);
	const int64_t want = clamp(d, d->from);
	if (want > d->from && !d->blind)
		grow(d, want);
	else if (want < d->from)
		shrink(d, want);
	else if (want == d->from)
		say_more(d, ", within min %lld and max", (long long)d->min);
	if (want == d->from && d->max >= 0)
		say_more(d, " %lld", (long long)d->max);
	else if (want == d->from)
		say_more(d, " (none)");
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
	const int64_t sent = alert_time(d->in->alert), limit = policy_ms(d, "stale_after", 300000);

	if (same_text(d->in->alert, "status", "resolved") && !jv_is_true(jv_get(d->in->policy, "on_resolved"))) {
		say(d, "the alert is resolved");
		trace(d, "resolved", d->from, d->from, "a resolved alert does not act");
		return true;
	}
	if (sent != TIME_NONE && d->in->now - sent > limit) {
		say(d, "the alert is stale: %lld s old, limit %lld s", (long long)((d->in->now - sent) / 1000),
		    (long long)(limit / 1000));
		trace(d, "stale", d->from, d->from, "older than stale_after");
		return true;
	}
	return covered(d, action);
}

static int act(struct decision *d, struct err *err)
{
	char action[64] = "";

	if (!jv_is_object(d->in->alert)) {
		if (!held_by_pause(d, STAY) && !resume(d, false))
			reconcile(d, "");
		return 0;
	}
	text_of(d->in->alert, "action", action, sizeof action);
	if (!known_action(action)) {
		say(d, *action ? "the alert asks for the unknown action \"%s\"" : "the alert asks for no action%s", action);
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

/* ---- writing the plan, remembering it ---- */

static void put_plan(struct decision *d, struct buf *out)
{
	char reason[sizeof d->reason + 64];

	if (d->from == d->to)
		(void)snprintf(reason, sizeof reason, "%s", d->reason);
	else
		(void)snprintf(reason, sizeof reason, "%lld -> %lld: %s", (long long)d->from, (long long)d->to, d->reason);
	buf_putc(out, '{');
	buf_json_member_str(out, "op", d->op);
	buf_json_member_int(out, "from", d->from);
	buf_json_member_int(out, "to", d->to);
	const struct {
		const char *name;
		const struct buf *list;
	} lists[] = {{"create", &d->create}, {"start", &d->start}, {"remove", &d->remove}};
	for (size_t i = 0; i < 3; i++) {
		buf_json_key(out, lists[i].name);
		buf_put(out, lists[i].list->p, lists[i].list->n);
		buf_putc(out, ']');
		out->failed = out->failed || lists[i].list->failed;
	}
	buf_json_member_str(out, "reason", reason);
	if (d->defer)
		buf_json_member_bool(out, "defer", true);
	buf_json_key(out, "trace");
	buf_put(out, d->trace.p, d->trace.n);
	buf_putc(out, ']');
	buf_putc(out, '}');
	out->failed = out->failed || d->trace.failed;
}

/* What later records of the stream must know of this plan. */
static int remember(struct decide_state *s, const struct decide_input *in, struct jv plan, struct err *err)
{
	struct planned **slot = planned_slot(s, in->service), *p = *slot;
	const int64_t from = jv_int_or(jv_get(plan, "from"), 0);
	struct jv_cursor c = jv_each(jv_get(plan, "create"));
	struct jv_member m;

	if (!p) {
		p = *slot = calloc(1, sizeof *p);
		if (!p)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		p->indexes = (struct buf)BUF_INIT(REPLICAS_MAX * sizeof(int64_t));
		(void)snprintf(p->service, sizeof p->service, "%s", in->service);
	}
	(void)snprintf(p->id, sizeof p->id, "%s", in->id);
	p->at = in->now;
	p->to = jv_int_or(jv_get(plan, "to"), from);
	p->out = p->to > from || same_text(plan, "op", "recreate");
	p->in = p->to < from;
	p->generation = jv_int_or(jv_get(in->history, "generation"), 0) + 1;
	while (jv_next(&c, &m)) {
		const int64_t index = jv_int_or(jv_get(m.value, "index"), -1);
		if (index >= 0)
			buf_put(&p->indexes, &index, sizeof index);
	}
	return 0;
}

int decide(struct decide_state *state, const struct decide_input *in, struct buf *plan, struct err *err)
{
	struct decision d = {
		.in = in,
		.before = *planned_slot(state, in->service),
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
	read_record(&d);
	d.from = d.running;
	/* A plan of this stream that the observation cannot show yet counts as carried out. */
	if (d.before && jv_int_or(jv_get(in->history, "generation"), 0) < d.before->generation)
		d.from = d.before->to;
	d.to = d.from;
	trace(&d, "count", d.running, d.from, "running containers%s",
	      d.from != d.running ? ", and this stream's plan" : "");
	bad = act(&d, err);
	if (jv_here(d.resumed))
		buf_put(plan, d.resumed.p, d.resumed.n);
	else
		put_plan(&d, plan);
	if (buf_ok(plan, err) < 0)
		bad = -1;
	const struct jv done = {plan->p, plan->n};
	if (!bad && !same_text(done, "op", "none") && !same_text(done, "op", "attach"))
		bad = remember(state, in, done, err);
	buf_release(&d.trace);
	buf_release(&d.create);
	buf_release(&d.start);
	buf_release(&d.remove);
	return bad;
}
