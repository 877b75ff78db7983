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
#define UP "traefik_service_server_up"
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

/* The backend of a service "BACKEND-as-0123456789ab@file" or "BACKEND@docker"; false: it is none of a server's.
 * *server: the entry's name, "" with the docker provider. */
static bool backend_of(const struct lb *lb, const char *service, char backend[LB_NAME], char server[LB_NAME])
{
	const char *at = strchr(service, '@');
	const size_t tail = lb->folder.path ? strlen("-as-0123456789ab") : 0;
	const size_t n = at ? (size_t)(at - service) : 0;

	if (!at || strcmp(at, lb->folder.path ? "@file" : "@docker") != 0 || n <= tail || n - tail >= LB_NAME)
		return false;
	(void)snprintf(backend, LB_NAME, "%.*s", (int)(n - tail), service);
	server[0] = '\0';
	if (!tail)
		return true;
	(void)snprintf(server, LB_NAME, "%.*s", (int)tail - 1, at - tail + 1);
	return at[-(ptrdiff_t)tail] == '-' && lb_is_ours(server);
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
static bool sum(struct lb *lb, const char *text, const char *metric)
{
	const bool is_time = strcmp(metric, SECONDS) == 0;
	struct traefik_sample s;
	char service[TRAEFIK_CHILD], code[8], backend[LB_NAME], server[LB_NAME];

	while (traefik_sample(&text, metric, &s)) {
		traefik_label(&s, "service", service, sizeof service);
		const double value = is_time ? s.value * 1e6 : s.value;
		if (!backend_of(lb, service, backend, server) || value < 0 || value > COUNT_MAX)
			continue;
		struct traefik_total *t = total_of(lb, backend);
		struct one *one = t ? one_of(t, service) : NULL;
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

static void begin_look(struct traefik_total *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct one *o = &t->v[i];
		o->was[0] = o->requests, o->was[1] = o->errors, o->was[2] = o->time_us;
		o->requests = o->errors = o->time_us = 0;
		o->seen = false;
	}
}

static void end_look(struct traefik_total *t)
{
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
}

int traefik_count(struct lb *lb, const char *text, struct err *err)
{
	for (struct traefik_total *t = lb->totals; t; t = t->next)
		begin_look(t);
	if (!sum(lb, text, REQUESTS) || !sum(lb, text, SECONDS))
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (struct traefik_total *t = lb->totals; t; t = t->next)
		end_look(t);
	return 0;
}

int traefik_counted(struct lb *lb, const char *backend, struct lb_stats *out, struct err *err)
{
	const struct traefik_total *t = total_of(lb, backend);

	if (!t)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	out->requests = t->requests;
	out->errors = t->errors;
	out->time_us = t->time_us;
	return 0;
}

int traefik_counters(struct lb *lb, const char *text, const char *backend, struct lb_stats *out, struct err *err)
{
	return traefik_count(lb, text, err) < 0 ? -1 : traefik_counted(lb, backend, out, err);
}

void traefik_mark_down(const struct lb *lb, const char *text, struct lb_look *look)
{
	struct traefik_sample s;
	char service[TRAEFIK_CHILD], backend[LB_NAME], server[LB_NAME];

	while (traefik_sample(&text, UP, &s)) {
		traefik_label(&s, "service", service, sizeof service);
		if (s.value > 0 || !backend_of(lb, service, backend, server))
			continue;
		struct lb_seen *seen = lb_look_find(look, backend);
		for (size_t i = 0; seen && i < seen->n; i++)
			if (seen->v[i].state == LB_UP && strcmp(seen->v[i].name, server) == 0)
				seen->v[i].state = LB_DOWN;
	}
}
