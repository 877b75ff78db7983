/* The text format of Prometheus, as far as Traefik's counters need it.
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4). */
#include "lb/traefik.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define REQUESTS "traefik_service_requests_total"
#define SECONDS "traefik_service_request_duration_seconds_sum"
#define COUNT_MAX 9e15 /* beyond it a double is no exact count */

/* ---- the format ---- */

/* From '{' to behind its '}', or NULL when there is none. */
static const char *skip_labels(const char *p)
{
	bool quoted = false;

	for (; *p && *p != '\n'; p++) {
		if (quoted && *p == '\\' && p[1])
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (*p == '}' && !quoted)
			return p + 1;
	}
	return NULL;
}

bool traefik_sample(const char **at, const char *metric, struct traefik_sample *out)
{
	const size_t n = strlen(metric);

	while (**at) {
		const char *p = *at;
		const char *end = strchr(p, '\n');
		*at = end ? end + 1 : p + strlen(p);
		if (strncmp(p, metric, n) != 0 || (p[n] != '{' && p[n] != ' ' && p[n] != '\t'))
			continue;
		p += n;
		*out = (struct traefik_sample){.labels = p};
		if (*p == '{') {
			const char *behind = skip_labels(p);
			if (!behind)
				continue;
			out->labels = p + 1;
			out->labels_n = (size_t)(behind - 1 - out->labels);
			p = behind;
		}
		char *stop = NULL;
		p += strspn(p, " \t");
		out->value = strtod(p, &stop);
		if (stop != p && isfinite(out->value))
			return true;
	}
	return false;
}

/* One quoted value at p, which is behind its quote, into out; gives what is behind the closing quote. */
static const char *read_value(const char *p, const char *end, char *out, size_t size)
{
	size_t n = 0;

	for (; p < end && *p != '"'; p++) {
		char c = *p;
		if (c == '\\' && p + 1 < end)
			c = *++p == 'n' ? '\n' : *p;
		if (out && n + 1 < size)
			out[n++] = c;
	}
	if (out)
		out[n] = '\0';
	return p < end ? p + 1 : end;
}

void traefik_label(const struct traefik_sample *s, const char *name, char *out, size_t size)
{
	const char *p = s->labels, *end = p + s->labels_n;
	const size_t n = strlen(name);

	out[0] = '\0';
	while (p < end) {
		p += strspn(p, ", \t");
		const char *equals = memchr(p, '=', (size_t)(end - p));
		if (!equals || equals + 1 >= end || equals[1] != '"')
			return;
		const bool mine = (size_t)(equals - p) == n && strncmp(p, name, n) == 0;
		p = read_value(equals + 2, end, mine ? out : NULL, size);
		if (mine)
			return;
	}
}

/* ---- counters of a backend ---- */

/* Traefik forgets the counters of a service that left its configuration. What they had counted stays in these sums,
 * which so never fall. */
struct traefik_total {
	char backend[LB_NAME];
	int64_t requests, errors, time_us;
	struct one {
		char service[TRAEFIK_CHILD];
		int64_t requests, errors, time_us, was[3];
		bool seen;
	} * v;
	size_t n;
	struct traefik_total *next;
};

void traefik_totals_free(struct lb *lb)
{
	for (struct traefik_total *t = lb->totals, *next; t; t = next) {
		next = t->next;
		free(t->v);
		free(t);
	}
	lb->totals = NULL;
}

static struct traefik_total *total_of(struct lb *lb, const char *backend)
{
	struct traefik_total *t = lb->totals;

	while (t && strcmp(t->backend, backend) != 0)
		t = t->next;
	if (t || !(t = calloc(1, sizeof *t)))
		return t;
	(void)snprintf(t->backend, sizeof t->backend, "%s", backend);
	t->next = lb->totals;
	return lb->totals = t;
}

/* "BACKEND-as-0123456789ab@file" or "BACKEND@docker". */
static bool is_of(const struct lb *lb, const char *service, const char *backend)
{
	const size_t n = strlen(backend);
	char server[LB_NAME];

	if (strncmp(service, backend, n) != 0)
		return false;
	if (!lb->folder.path)
		return strcmp(service + n, "@docker") == 0;
	const char *at = strchr(service, '@');
	if (!at || strcmp(at, "@file") != 0 || service[n] != '-' || at < service + n + 1)
		return false;
	(void)snprintf(server, sizeof server, "%.*s", (int)(at - service - (ptrdiff_t)n - 1), service + n + 1);
	return lb_is_ours(server);
}

static struct one *one_of(struct traefik_total *t, const char *service)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->v[i].service, service) == 0)
			return &t->v[i];
	struct one *more = realloc(t->v, (t->n + 1) * sizeof *more);
	if (!more)
		return NULL;
	t->v = more;
	more[t->n] = (struct one){.seen = true};
	(void)snprintf(more[t->n].service, sizeof more[t->n].service, "%s", service);
	return &more[t->n++];
}

/* Sums the samples of one metric into the counters of their services. */
static bool sum(const struct lb *lb, struct traefik_total *t, const char *text, const char *metric)
{
	const bool is_time = strcmp(metric, SECONDS) == 0;
	struct traefik_sample s;
	char service[TRAEFIK_CHILD], code[8];

	while (traefik_sample(&text, metric, &s)) {
		traefik_label(&s, "service", service, sizeof service);
		const double value = is_time ? s.value * 1e6 : s.value;
		if (!is_of(lb, service, t->backend) || value < 0 || value > COUNT_MAX)
			continue;
		struct one *one = one_of(t, service);
		if (!one)
			return false;
		traefik_label(&s, "code", code, sizeof code);
		one->seen = true;
		if (is_time)
			one->time_us += (int64_t)(value + 0.5);
		else
			one->requests += (int64_t)value;
		if (!is_time && code[0] >= '5' && code[0] <= '9' && strlen(code) == 3)
			one->errors += (int64_t)value;
	}
	return true;
}

/* A counter that fell began anew. */
static int64_t grown(int64_t was, int64_t is) { return is < was ? is : is - was; }

int traefik_counters(struct lb *lb, const char *text, const char *backend, struct lb_stats *out, struct err *err)
{
	struct traefik_total *t = total_of(lb, backend);

	for (size_t i = 0; t && i < t->n; i++) {
		struct one *o = &t->v[i];
		o->was[0] = o->requests, o->was[1] = o->errors, o->was[2] = o->time_us;
		o->requests = o->errors = o->time_us = 0;
		o->seen = false;
	}
	if (!t || !sum(lb, t, text, REQUESTS) || !sum(lb, t, text, SECONDS))
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; i < t->n;) {
		const struct one *o = &t->v[i];
		if (o->seen) {
			t->requests += grown(o->was[0], o->requests);
			t->errors += grown(o->was[1], o->errors);
			t->time_us += grown(o->was[2], o->time_us);
			i++;
		} else {
			t->v[i] = t->v[--t->n];
		}
	}
	out->requests = t->requests;
	out->errors = t->errors;
	out->time_us = t->time_us;
	return 0;
}
