/* The trail as numbers, in the text form that node_exporter's textfile collector reads:
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 * Counters count what the trail has: they fall when it is pruned, which Prometheus takes for a restart. */
#include "cmd/as-audit/audit.h"

#include "base/byname.h"
#include "base/clock.h"
#include "cmd/front/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define SERVICES 100000
#define WORD 32

/* How often two words came together: an action and its outcome, a stage and its error's code. */
struct tally {
	char a[WORD], b[WORD];
	int64_t n;
	struct tally *next; /* by a, then b */
};

struct service {
	char name[SERVICE_NAME_MAX + 1];
	int64_t replicas, min, max; /* -1: not known */
	int64_t decided_at, acted_at;
	struct tally *actions, *decisions, *failures;
};

struct scrape {
	struct audit *a;
	struct byname services;
};

static struct service *service_of(struct scrape *s, const char *name, struct err *err)
{
	const size_t before = s->services.n;
	struct service *v = byname_get(&s->services, name, err);

	if (v && s->services.n > before) {
		v->replicas = v->min = v->max = -1;
		v->decided_at = v->acted_at = TIME_NONE;
	}
	return v;
}

static int count(struct tally **list, const char *a, const char *b, struct err *err)
{
	int order = 1;

	for (; *list; list = &(*list)->next) {
		order = strcmp((*list)->a, a);
		if (!order)
			order = strcmp((*list)->b, b);
		if (order >= 0)
			break;
	}
	if (!*list || order) {
		struct tally *t = calloc(1, sizeof *t);
		if (!t)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		(void)snprintf(t->a, sizeof t->a, "%s", a);
		(void)snprintf(t->b, sizeof t->b, "%s", b);
		t->next = *list;
		*list = t;
	}
	(*list)->n++;
	return 0;
}

static int on_operation(void *ctx, const struct history_row *h, struct err *err)
{
	struct service *v = service_of(ctx, h->service, err);

	if (!v)
		return -1;
	v->acted_at = h->at > v->acted_at ? h->at : v->acted_at;
	return count(&v->actions, h->action, h->outcome, err);
}

static void read_decision(struct service *v, struct jv body, const char *outcome)
{
	const struct jv plan = jv_get(body, "plan"), policy = jv_get(body, "policy");

	if (jv_is_object(plan))
		v->replicas = jv_int_or(jv_get(plan, outcome_acts(outcome) ? "to" : "from"), -1);
	if (jv_is_object(policy)) {
		v->min = jv_int_or(jv_get(policy, "min"), -1);
		v->max = jv_int_or(jv_get(policy, "max"), -1);
	}
}

static int on_decision(void *ctx, const struct audit_row *row, struct err *err)
{
	struct jv body = {0};
	char stage[WORD], code[WORD];

	if (!audit_row_decides(row) || jv_scan(row->body, strlen(row->body), &body, NULL, 0, NULL, &(struct err){0}) < 0)
		return 0;
	struct service *v = service_of(ctx, row->service, err);
	if (!v)
		return -1;
	v->decided_at = row->at > v->decided_at ? row->at : v->decided_at;
	read_decision(v, body, row->event);
	const struct jv error = jv_get(body, "error");
	if (jv_is_object(error)) {
		steps_text(error, "stage", stage, sizeof stage);
		steps_text(error, "code", code, sizeof code);
		if (count(&v->failures, stage, code, err) < 0)
			return -1;
	}
	return count(&v->decisions, row->event, "", err);
}

/* ---- writing ---- */

static int put(struct audit *a, struct err *err)
{
	if (buf_ok(&a->line, err) < 0)
		return -1;
	const int bad = a->line.n ? record_loop_put(&a->f.loop, a->line.p, a->line.n - 1, err) : 0;
	buf_reset(&a->line);
	return bad;
}

/* A label's value: a backslash, a quote and a line feed are escaped. Control characters become a question mark, for
 * which nothing is lost: names of services have none. */
static void label(struct buf *b, char before, const char *name, const char *value)
{
	buf_printf(b, "%c%s=\"", before, name);
	for (const char *p = value; *p; p++) {
		if (*p == '\\' || *p == '"')
			buf_putc(b, '\\');
		if (*p == '\n')
			buf_puts(b, "\\n");
		else
			buf_putc(b, (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p);
	}
	buf_putc(b, '"');
}

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP autoscale_%s %s\n# TYPE autoscale_%s %s\n", name, help, name, type);
}

static void sample(struct buf *b, const char *name, const struct service *v)
{
	buf_printf(b, "autoscale_%s", name);
	label(b, '{', "service", v->name);
}

struct gauge {
	const char *name, *help;
	size_t at; /* of an int64_t in struct service */
	bool time; /* ms; none: TIME_NONE */
};
static const struct gauge gauges[] = {
	{"replicas", "Containers of the service after its last decision.", offsetof(struct service, replicas), false},
	{"replicas_min", "Fewest replicas that its policy allows.", offsetof(struct service, min), false},
	{"replicas_max", "Most replicas that its policy allows; absent without a limit.", offsetof(struct service, max),
     false},
	{"last_decision_timestamp_seconds", "When something was decided last.", offsetof(struct service, decided_at), true},
	{"last_action_timestamp_seconds", "When the last action was over.", offsetof(struct service, acted_at), true},
};

static int put_gauge(struct scrape *s, const struct gauge *g, struct err *err)
{
	struct buf *b = &s->a->line;

	head(b, g->name, "gauge", g->help);
	for (size_t i = 0; i < s->services.n; i++) {
		const struct service *v = s->services.v[i];
		int64_t n;
		memcpy(&n, (const char *)v + g->at, sizeof n);
		if (g->time ? n == TIME_NONE : n < 0)
			continue;
		sample(b, g->name, v);
		if (g->time)
			buf_printf(b, "} %lld.%03lld\n", (long long)(n / 1000), (long long)(n % 1000));
		else
			buf_printf(b, "} %lld\n", (long long)n);
		if (put(s->a, err) < 0)
			return -1;
	}
	return put(s->a, err);
}

struct counter {
	const char *name, *help, *a, *b; /* the labels; b NULL: one */
	size_t at;                       /* of a struct tally * */
};
static const struct counter counters[] = {
	{"actions_total", "Operations that are over.", "op", "outcome", offsetof(struct service, actions)},
	{"decisions_total", "Decisions, also those to do nothing, by what came of them.", "outcome", NULL,
     offsetof(struct service, decisions)},
	{"failures_total", "Decisions whose record carries an error, by where and what.", "stage", "code",
     offsetof(struct service, failures)},
};

static int put_counter(struct scrape *s, const struct counter *c, struct err *err)
{
	struct buf *b = &s->a->line;

	head(b, c->name, "counter", c->help);
	for (size_t i = 0; i < s->services.n; i++) {
		const struct service *v = s->services.v[i];
		const struct tally *t;
		memcpy(&t, (const char *)v + c->at, sizeof t);
		for (; t; t = t->next) {
			sample(b, c->name, v);
			label(b, ',', c->a, t->a);
			if (c->b)
				label(b, ',', c->b, t->b);
			buf_printf(b, "} %lld\n", (long long)t->n);
			if (put(s->a, err) < 0)
				return -1;
		}
	}
	return put(s->a, err);
}

static void tallies_free(struct tally *t)
{
	while (t) {
		struct tally *next = t->next;
		free(t);
		t = next;
	}
}

int print_prometheus(struct audit *a, struct err *err)
{
	struct scrape s = {.a = a, .services = BYNAME_INIT(struct service, SERVICES)};
	int bad = store_history_each(a->store, &a->filter, on_operation, &s, err);

	if (!bad)
		bad = store_audit_each(a->store, &a->filter, on_decision, &s, err);
	for (size_t i = 0; !bad && i < sizeof gauges / sizeof *gauges; i++)
		bad = put_gauge(&s, &gauges[i], err);
	for (size_t i = 0; !bad && i < sizeof counters / sizeof *counters; i++)
		bad = put_counter(&s, &counters[i], err);
	for (size_t i = 0; i < s.services.n; i++) {
		struct service *v = s.services.v[i];
		tallies_free(v->actions);
		tallies_free(v->decisions);
		tallies_free(v->failures);
	}
	byname_release(&s.services);
	return bad;
}
