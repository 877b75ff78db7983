/* Traefik's docker provider reads traefik.* labels of the containers themselves: there is nothing to write, and nothing
 * that could be changed while a container runs, so this way cannot drain. What can be done is to look. A server there
 * has an address and no name. */
#include "lb/traefik.h"

#include "base/clock.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define PROVIDER "docker"
#define STEP_MS 50
#define ROUTE_MS 5000 /* a container that just started brings its route along */
#define CANNOT "Traefik's docker provider cannot drain: %s; use its file provider (`folder`)"

static int check(const struct lb *lb, const char *backend, const char *server, struct err *err)
{
	return lb_check_names(lb->conf, backend, server, err);
}

/* A service comes with its first container and goes with its last: one that is not there is one without servers. */
static int service_of(struct lb *lb, const char *backend, struct traefik_look *look, struct jv *service,
                      struct err *err)
{
	if (traefik_look(lb, look, err) < 0)
		return -1;
	*service = traefik_object(look->services, backend, PROVIDER);
	return 0;
}

/* "http://10.0.0.2:80", or https. */
static bool read_url(const char *url, struct lb_server *s)
{
	char address[LB_ADDRESS];
	const char *from = strstr(url, "://");

	if (!from)
		return false;
	from += 3;
	const bool six = *from == '[';
	from += six;
	const char *end = six ? strstr(from, "]:") : strchr(from, ':');
	if (!end || (size_t)(end - from) >= sizeof address)
		return false;
	(void)snprintf(address, sizeof address, "%.*s", (int)(end - from), from);
	return lb_safe_address(address, s->address) && lb_safe_port(end + (six ? 2 : 1), &s->port);
}

static int list_service(struct jv service, struct lb_list *out, struct err *err)
{
	struct jv_cursor c = jv_each(jv_path(service, "loadBalancer.servers"));
	struct jv_member m;
	char url[256];

	while (jv_next(&c, &m)) {
		struct lb_server s = {.weight = 100, .sessions = -1, .state = LB_UP};
		if (!jv_str(jv_get(m.value, "url"), url, sizeof url) || !read_url(url, &s))
			continue;
		if (!traefik_enabled(service) || traefik_down(service, url))
			s.state = LB_DOWN;
		lb_place(&s, s.name);
		struct lb_server *more = realloc(out->v, (out->n + 1) * sizeof *more);
		if (!more)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		out->v = more;
		more[out->n++] = s;
	}
	return 0;
}

static int docker_list(struct lb *lb, const char *backend, struct lb_list *out, struct err *err)
{
	struct traefik_look look = {0};
	struct jv service = {0};

	*out = (struct lb_list){0};
	if (check(lb, backend, NULL, err) < 0)
		return -1;
	int rc = service_of(lb, backend, &look, &service, err);
	if (rc == 0)
		rc = list_service(service, out, err);
	traefik_look_release(&look);
	if (rc < 0)
		lb_list_release(out);
	return rc;
}

static int docker_backends(struct lb *lb, struct lb_names *out, struct err *err)
{
	(void)lb, (void)err;
	*out = (struct lb_names){0};
	return 0;
}

/* 1: it is listed and takes requests, 0: not (yet), -1. */
static int is_in(struct lb *lb, const char *backend, const struct lb_server *want, struct err *err)
{
	struct lb_list list;
	int in = 0;

	if (docker_list(lb, backend, &list, err) < 0)
		return -1;
	for (size_t i = 0; i < list.n; i++)
		in = in || (lb_same_place(&list.v[i], want) && list.v[i].state == LB_UP);
	lb_list_release(&list);
	return in;
}

static int docker_attach(struct lb *lb, const char *backend, const struct lb_server *server, int64_t gate_ms,
                         struct lb_result *result, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + gate_ms;
	struct lb_server want;
	int in;

	*result = (struct lb_result){0};
	if (check(lb, backend, NULL, err) < 0 || lb_check_server(lb->conf, server, &want, err) < 0)
		return -1;
	lb_place(&want, result->address);
	result->already = true;
	while ((in = is_in(lb, backend, &want, err)) == 0) {
		result->already = false;
		if (clock_monotonic_ms() >= deadline)
			return err_set(
				err, ERR_UNAVAILABLE,
				"lb %s: backend %s: Traefik's docker provider did not list %s within %g s: does the container "
				"have its traefik.* labels, and is it on a network that Traefik uses?",
				lb->conf->name, backend, result->address, (double)gate_ms / 1000);
		tasks_sleep(lb->means->tasks, STEP_MS);
	}
	return in < 0 ? -1 : 0;
}

static int docker_drain(struct lb *lb, const char *backend, const char *name, int64_t wait_ms, struct lb_result *result,
                        struct err *err)
{
	(void)wait_ms;
	*result = (struct lb_result){0};
	if (check(lb, backend, name, err) < 0)
		return -1;
	(void)snprintf(result->note, sizeof result->note, CANNOT, "requests come until the container stops");
	return 0;
}

static int docker_detach(struct lb *lb, const char *backend, const char *name, int64_t wait_ms,
                         struct lb_result *result, struct err *err)
{
	(void)wait_ms;
	*result = (struct lb_result){0};
	if (check(lb, backend, name, err) < 0)
		return -1;
	(void)snprintf(result->note, sizeof result->note,
	               "Traefik's docker provider takes it out by itself when its container stops, and not before");
	return 0;
}

static int docker_stats(struct lb *lb, const char *backend, struct lb_stats *out, struct err *err)
{
	struct traefik_look look = {0};
	struct jv service;

	int rc = service_of(lb, backend, &look, &service, err);
	if (rc == 0 && !jv_here(service))
		rc = err_set(
			err, ERR_NOT_FOUND,
			"lb %s: backend %s: No such backend: Traefik's docker provider has no service %s; it comes from the "
			"label traefik.http.services.%s.loadbalancer.server.port of a container",
			lb->conf->name, backend, backend, backend);
	if (rc == 0)
		rc = traefik_get(lb, &look, "/metrics", err);
	if (rc == 0)
		rc = traefik_counters(lb, look.reply.p ? look.reply.p : "", backend, out, err);
	traefik_look_release(&look);
	return rc;
}

/* The services and their servers; their load is added by who asks. */
static int docker_look(struct lb *lb, struct lb_look *out, struct err *err)
{
	struct traefik_look look = {0};
	char name[LB_NAME + 8];
	struct jv_member m;

	int rc = traefik_look(lb, &look, err);
	struct jv_cursor c = jv_each(look.services);
	while (rc == 0 && jv_next(&c, &m)) {
		struct lb_list list = {0};
		(void)snprintf(name, sizeof name, "%.*s", (int)(m.name.n < LB_NAME + 7 ? m.name.n : LB_NAME + 7), m.name.p);
		char *at = strstr(name, "@" PROVIDER);
		if (!at || at[sizeof "@" PROVIDER - 1])
			continue;
		*at = '\0';
		struct lb_seen *seen = lb_safe_name(name) ? lb_look_add(out, name, err) : NULL;
		if (!seen && !lb_safe_name(name))
			continue;
		rc = seen ? list_service(m.value, &list, err) : -1;
		for (size_t i = 0; rc == 0 && i < list.n; i++)
			if (!lb_seen_add(seen, list.v[i].name, list.v[i].state, -1, err))
				rc = -1;
		lb_list_release(&list);
	}
	traefik_look_release(&look);
	return rc;
}

static int docker_verify(struct lb *lb, const char *backend, const struct lb_list *wanted, struct err *err)
{
	struct traefik_look look = {0};
	struct lb_list listed = {0};
	struct jv service = {0};
	char why[256];

	if (check(lb, backend, NULL, err) < 0)
		return -1;
	int rc = service_of(lb, backend, &look, &service, err);
	if (rc == 0 && jv_here(service) && !traefik_enabled(service)) {
		traefik_complaint(service, why, sizeof why);
		rc = err_set(err, ERR_CONFLICT, "lb %s: backend %s: Traefik has disabled the service: %s", lb->conf->name,
		             backend, why);
	}
	if (rc == 0)
		rc = list_service(service, &listed, err);
	/* By their places they get the names that are wanted; every other one is a container's that should not be there. */
	for (size_t i = 0; rc == 0 && i < listed.n; i++) {
		listed.v[i].ours = true;
		for (size_t j = 0; j < wanted->n; j++)
			if (lb_same_place(&listed.v[i], &wanted->v[j]))
				(void)snprintf(listed.v[i].name, sizeof listed.v[i].name, "%s", wanted->v[j].name);
	}
	if (rc == 0)
		rc = lb_compare(lb->conf, backend, wanted, &listed, err);
	lb_list_release(&listed);
	traefik_look_release(&look);
	return rc;
}

static int docker_ensure(struct lb *lb, const char *backend, const struct lb_route *route, struct lb_result *result,
                         struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + ROUTE_MS;
	struct traefik_look look = {0};
	int rc;

	*result = (struct lb_result){.already = true};
	if (check(lb, backend, NULL, err) < 0)
		return -1;
	if (!route || !route->rule || !route->rule->n)
		return 0;
	while ((rc = traefik_look(lb, &look, err)) == 0 && !traefik_routed(&look, backend, PROVIDER)) {
		if (clock_monotonic_ms() >= deadline) {
			rc = err_set(err, ERR_CONFIG,
			             "lb %s: backend %s: with Traefik's docker provider a route comes from the containers' own "
			             "labels: give them traefik.http.routers.%s.rule",
			             lb->conf->name, backend, backend);
			break;
		}
		tasks_sleep(lb->means->tasks, STEP_MS);
	}
	traefik_look_release(&look);
	return rc;
}

const struct lb_driver traefik_docker = {
	.name = "traefik",
	.list = docker_list,
	.backends = docker_backends,
	.attach = docker_attach,
	.drain = docker_drain,
	.detach = docker_detach,
	.stats = docker_stats,
	.look = docker_look,
	.verify = docker_verify,
	.ensure = docker_ensure,
};
