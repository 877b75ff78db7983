/* A whole driver in one file. To have it in the program, this line goes into the table of lb.c: `&lb_memory`. */
#include "tests/unit/lb_memory.h"

#include "base/clock.h"
#include "lb/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct backend {
	char name[LB_NAME];
	bool made; /* by ensure */
	struct rule rule;
	char check[LB_CHECK];
	struct lb_list list;
	struct backend *next;
};

struct lb {
	const struct conf_lb *conf;
	struct tasks *tasks;
	struct backend *first;
};

static struct backend *add_backend(struct lb *lb, const char *name, struct err *err)
{
	struct backend *b = calloc(1, sizeof *b);

	if (!b) {
		err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	(void)snprintf(b->name, sizeof b->name, "%s", name);
	b->next = lb->first;
	lb->first = b;
	return b;
}

static struct backend *find_backend(const struct lb *lb, const char *name, struct err *err)
{
	struct backend *b = lb->first;

	while (b && strcmp(b->name, name) != 0)
		b = b->next;
	if (!b)
		err_set(err, ERR_NOT_FOUND, "lb %s: there is no backend %s", lb->conf->name, name);
	return b;
}

static struct lb_server *find_server(const struct backend *b, const char *name)
{
	for (size_t i = 0; i < b->list.n; i++)
		if (strcmp(b->list.v[i].name, name) == 0)
			return &b->list.v[i];
	return NULL;
}

static void drop_server(struct backend *b, struct lb_server *s)
{
	memmove(s, s + 1, (size_t)(b->list.v + b->list.n - (s + 1)) * sizeof *s);
	b->list.n--;
}

static void drop_backend(struct lb *lb, struct backend *gone)
{
	struct backend **at = &lb->first;

	while (*at != gone)
		at = &(*at)->next;
	*at = gone->next;
	lb_list_release(&gone->list);
	free(gone);
}

static struct lb *memory_open(const struct conf_lb *conf, const struct lb_means *means, struct err *err)
{
	struct lb *lb = calloc(1, sizeof *lb);

	if (!lb) {
		err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	lb->conf = conf;
	lb->tasks = means->tasks;
	if (conf->frontend && !add_backend(lb, conf->frontend, err)) {
		free(lb);
		return NULL;
	}
	return lb;
}

static void memory_close(struct lb *lb)
{
	while (lb && lb->first)
		drop_backend(lb, lb->first);
	free(lb);
}

static int memory_list(struct lb *lb, const char *backend, struct lb_list *out, struct err *err)
{
	const struct backend *b;

	*out = (struct lb_list){0};
	if (lb_check_names(lb->conf, backend, NULL, err) < 0 || !(b = find_backend(lb, backend, err)))
		return -1;
	if (b->list.n && !(out->v = malloc(b->list.n * sizeof *out->v)))
		return err_set(err, ERR_TEMPORARY, "out of memory");
	if (b->list.n)
		memcpy(out->v, b->list.v, b->list.n * sizeof *out->v);
	out->n = b->list.n;
	return 0;
}

static int memory_backends(struct lb *lb, struct lb_names *out, struct err *err)
{
	*out = (struct lb_names){0};
	for (const struct backend *b = lb->first; b; b = b->next)
		if ((b->made || b->list.n) && lb_names_add(out, b->name, err) < 0) {
			lb_names_release(out);
			return -1;
		}
	return 0;
}

static int put(struct backend *b, const struct lb_server *s, struct err *err)
{
	struct lb_server *at = find_server(b, s->name), *more;

	if (!at) {
		if (!(more = realloc(b->list.v, (b->list.n + 1) * sizeof *more)))
			return err_set(err, ERR_TEMPORARY, "out of memory");
		b->list.v = more;
		at = &more[b->list.n++];
	}
	*at = *s;
	at->state = LB_UP;
	at->ours = lb_is_ours(s->name);
	at->sessions = -1;
	return 0;
}

static int memory_attach(struct lb *lb, const char *backend, const struct lb_server *server, int64_t gate_ms,
                         struct lb_result *result, struct err *err)
{
	struct lb_server want, *is;
	struct backend *b;

	*result = (struct lb_result){0};
	if (lb_check_names(lb->conf, backend, NULL, err) < 0 || lb_check_server(lb->conf, server, &want, err) < 0 ||
	    !(b = find_backend(lb, backend, err)))
		return -1;
	lb_place(&want, result->address);
	is = find_server(b, want.name);
	const bool serves = is && is->state == LB_UP && lb_same_place(is, &want);
	result->already = serves && is->weight == want.weight;
	if (serves) {
		is->weight = want.weight;
		return 0;
	}
	const int healthy = lb_probe(lb->conf, lb->tasks, backend, &want, gate_ms, err);
	/* The probe let other tasks work. */
	struct err gone;
	if (!(b = find_backend(lb, backend, healthy < 0 ? &gone : err)))
		return -1;
	if (healthy == 0)
		return put(b, &want, err);
	if ((is = find_server(b, want.name)))
		drop_server(b, is);
	return -1;
}

static int memory_drain(struct lb *lb, const char *backend, const char *name, int64_t wait_ms, struct lb_result *result,
                        struct err *err)
{
	const struct backend *b;

	(void)wait_ms; /* it sends no work that could be waited for */
	*result = (struct lb_result){0};
	if (lb_check_names(lb->conf, backend, name, err) < 0 || !(b = find_backend(lb, backend, err)))
		return -1;
	struct lb_server *s = find_server(b, name);
	result->already = !s || s->state == LB_DRAIN;
	if (s) {
		s->state = LB_DRAIN;
		lb_place(s, result->address);
	}
	return 0;
}

static int memory_detach(struct lb *lb, const char *backend, const char *name, int64_t wait_ms,
                         struct lb_result *result, struct err *err)
{
	struct backend *b;

	(void)wait_ms;
	*result = (struct lb_result){0};
	if (lb_check_names(lb->conf, backend, name, err) < 0 || !(b = find_backend(lb, backend, err)))
		return -1;
	struct lb_server *s = find_server(b, name);
	result->already = !s;
	if (s) {
		lb_place(s, result->address);
		drop_server(b, s);
	}
	return 0;
}

static int memory_stats(struct lb *lb, const char *backend, struct lb_stats *out, struct err *err)
{
	*out = (struct lb_stats){clock_monotonic_ms(), 0, 0, 0, 0, 0, -1};
	return lb_check_names(lb->conf, backend, NULL, err) < 0 || !find_backend(lb, backend, err) ? -1 : 0;
}

static int memory_look(struct lb *lb, struct lb_look *out, struct err *err)
{
	*out = (struct lb_look){0};
	for (const struct backend *b = lb->first; b; b = b->next) {
		struct lb_seen *seen = lb_look_add(out, b->name, err);
		for (size_t i = 0; seen && i < b->list.n; i++)
			if (!lb_seen_add(seen, b->list.v[i].name, b->list.v[i].state, 0, err))
				seen = NULL;
		if (!seen) {
			lb_look_release(out);
			return -1;
		}
		seen->stats = (struct lb_stats){clock_monotonic_ms(), 0, 0, 0, 0, 0, -1};
	}
	lb_look_sort(out);
	return 0;
}

static int memory_verify(struct lb *lb, const char *backend, const struct lb_list *wanted, struct err *err)
{
	const struct backend *b;

	if (lb_check_names(lb->conf, backend, NULL, err) < 0 || !(b = find_backend(lb, backend, err)))
		return -1;
	return lb_compare(lb->conf, backend, wanted, &b->list, err);
}

static bool same_rule(const struct rule *a, const struct rule *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++)
		same = strcmp(a->v[i].host, b->v[i].host) == 0 && strcmp(a->v[i].path, b->v[i].path) == 0;
	return same;
}

static int forget(struct lb *lb, struct backend *b, struct lb_result *result, struct err *err)
{
	if (b && b->made && b->list.n)
		return err_set(err, ERR_CONFLICT, "lb %s: backend %s still has servers", lb->conf->name, b->name);
	result->already = !b || !b->made;
	if (!result->already)
		drop_backend(lb, b);
	return 0;
}

static int memory_ensure(struct lb *lb, const char *backend, const struct lb_route *route, struct lb_result *result,
                         struct err *err)
{
	static const struct rule none;
	struct err absent;

	*result = (struct lb_result){0};
	if (lb_check_names(lb->conf, backend, NULL, err) < 0)
		return -1;
	if (route && !lb_safe_check(route->check))
		return err_set(err, ERR_REFUSED, "lb %s: backend %s: its check is no plain path", lb->conf->name, backend);
	struct backend *b = find_backend(lb, backend, &absent);
	if (!route)
		return forget(lb, b, result, err);
	const struct rule *rule = route->rule ? route->rule : &none;
	result->already = b && same_rule(&b->rule, rule) && (!b->made || strcmp(b->check, route->check) == 0);
	if (!b) {
		if (!(b = add_backend(lb, backend, err)))
			return -1;
		b->made = true;
	}
	b->rule = *rule;
	(void)snprintf(b->check, sizeof b->check, "%s", route->check);
	return 0;
}

static int memory_agree(struct lb *lb, const char *backend, struct err *err)
{
	(void)err;
	(void)lb, (void)backend;
	return 0; /* nothing is written that could differ */
}

static void memory_check(struct lb *lb, const struct findings *to)
{
	finding_ok(to, "memory", "%s is in memory", lb->conf->name);
}

const struct lb_driver lb_memory = {
	.name = "memory",
	.open = memory_open,
	.close = memory_close,
	.list = memory_list,
	.backends = memory_backends,
	.attach = memory_attach,
	.drain = memory_drain,
	.detach = memory_detach,
	.stats = memory_stats,
	.look = memory_look,
	.verify = memory_verify,
	.ensure = memory_ensure,
	.agree = memory_agree,
	.check = memory_check,
};
