/* The driver for HAProxy: the verbs. */
#include "lb/haproxy.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define IDLE_S 10 /* the response time is an average of the last 1024 requests, however old: not after this */
#define TRIES 5   /* of an attach that reloads come between */

static struct lb *haproxy_open(const struct conf_lb *conf, const struct lb_means *means, struct err *err)
{
	struct lb *lb = NULL;

	if (!conf->socket || !*conf->socket)
		err_set(err, ERR_CONFIG, "[lb \"%s\"] needs `socket`: the path of HAProxy's `stats socket`", conf->name);
	else if (!(lb = malloc(sizeof *lb)))
		err_set(err, ERR_TEMPORARY, "out of memory");
	else
		*lb = (struct lb){.peer = {.conf = conf, .tasks = means->tasks}, .gate = {.width = 1}};
	return lb;
}

static void haproxy_close(struct lb *lb) { free(lb); }

/* The open sessions come from another table; a server that appeared in between has -1. */
static int add_sessions(struct lb *lb, const char *backend, struct haproxy_entry *v, size_t n, struct err *err)
{
	struct haproxy_table t;
	const int rc = haproxy_stats(&lb->peer, backend, &t, err);

	while (rc == 0 && haproxy_row(&t))
		for (size_t i = 0; i < n; i++)
			if (strcmp(v[i].real, haproxy_cell(&t, "svname")) == 0)
				v[i].server.sessions = haproxy_number(&t, "scur", -1);
	haproxy_table_release(&t);
	return rc;
}

static int haproxy_list(struct lb *lb, const char *backend, struct lb_list *out, struct err *err)
{
	struct haproxy_entry *v = NULL;
	struct haproxy_table t;
	size_t n = 0;

	*out = (struct lb_list){0};
	if (lb_check_names(lb->peer.conf, backend, NULL, err) < 0)
		return -1;
	int rc = haproxy_servers(&lb->peer, backend, &t, err);
	while (rc == 0 && haproxy_row(&t)) {
		struct haproxy_entry *more = realloc(v, (n + 1) * sizeof *more);
		if (!more) {
			rc = err_set(err, ERR_TEMPORARY, "out of memory");
			break;
		}
		v = more;
		haproxy_read_entry(&t, &v[n++]);
	}
	haproxy_table_release(&t);
	if (rc == 0)
		rc = haproxy_look_for_slots(lb, v, n, err);
	if (rc == 0 && n)
		rc = add_sessions(lb, backend, v, n, err);
	if (rc == 0 && n && !(out->v = calloc(n, sizeof *out->v)))
		rc = err_set(err, ERR_TEMPORARY, "out of memory");
	for (; rc == 0 && out->n < n; out->n++)
		out->v[out->n] = v[out->n].server;
	free(v);
	return rc;
}

/* The configuration is made to agree with what HAProxy has now. The live change is done and stays, so a failure is a
 * note. */
static void save(struct lb *lb, const char *backend, struct haproxy_change *change, struct lb_result *result)
{
	struct err err = {0};

	change->what = HAPROXY_SAVE;
	change->backend = backend;
	if (!lb->peer.conf->config || haproxy_change(lb, change, &err) == 0)
		return;
	if (snprintf(result->note, sizeof result->note, "done, but not saved: %s", err.message) < 0)
		result->note[0] = '\0';
}

/* 0; 1 when a reload took the server away, so that it is to be done again; -1. */
static int attach_once(struct lb *lb, const char *backend, const struct lb_server *want, int64_t gate_ms,
                       struct lb_result *result, struct err *err)
{
	struct haproxy_change change = {.up = NULL};
	struct haproxy_entry e;
	struct err fault;
	bool forced = false;

	const int was = haproxy_put(lb, backend, want, gate_ms, &e, result, err);
	if (was < 0)
		return -1;
	const int rc = haproxy_admit(lb, want, &e, was, gate_ms, result, err);
	if (rc < 0 || rc == 2)
		return rc < 0 ? -1 : 1;
	if (rc == 1 && haproxy_take_out(lb, &e, HAPROXY_FORCE_MS, &forced, &fault) < 0)
		return err_prefix(err, "%s; and before", fault.message);
	if (rc == 0)
		change.up = want;
	save(lb, backend, &change, result);
	if (change.lost)
		err_set(err, ERR_TEMPORARY, "lb %s: backend %s: server %s was attached, but somebody else took it out",
		        lb->peer.conf->name, backend, want->name);
	return rc ? -1 : change.lost;
}

static int haproxy_attach(struct lb *lb, const char *backend, const struct lb_server *server, int64_t gate_ms,
                          struct lb_result *result, struct err *err)
{
	struct lb_server want;

	*result = (struct lb_result){0};
	if (lb_check_names(lb->peer.conf, backend, NULL, err) < 0 || lb_check_server(lb->peer.conf, server, &want, err) < 0)
		return -1;
	lb_place(&want, result->address);
	for (int i = 0; i < TRIES; i++) {
		const int rc = attach_once(lb, backend, &want, gate_ms, result, err);
		if (rc <= 0)
			return rc;
	}
	return -1;
}

static int haproxy_drain(struct lb *lb, const char *backend, const char *name, int64_t wait_ms,
                         struct lb_result *result, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + wait_ms;
	int64_t work, step = HAPROXY_STEP_MS;
	struct haproxy_entry e;

	*result = (struct lb_result){0};
	if (lb_check_names(lb->peer.conf, backend, name, err) < 0)
		return -1;
	const int rc = haproxy_find(lb, backend, name, &e, err);
	if (rc < 0)
		return -1;
	result->already = rc == 0 || e.server.state == LB_DRAIN || e.server.state == LB_MAINT;
	if (rc == 0)
		return 0;
	lb_place(&e.server, result->address);
	if (!result->already && haproxy_order(&lb->peer, backend, err, "set server %s/%s state drain", backend, e.real) < 0)
		return -1;
	while (haproxy_busy(lb, backend, e.real, &work, err) == 0) {
		if (!work)
			work = haproxy_busy_before(lb, backend, e.real);
		if (work && clock_monotonic_ms() < deadline) {
			haproxy_wait_step(lb, &step, HAPROXY_STEP_MAX_MS);
			continue;
		}
		if (work)
			(void)snprintf(result->note, sizeof result->note, "connections still at work after %g s: %lld",
			               (double)wait_ms / 1000, (long long)work);
		return 0;
	}
	return -1;
}

static int haproxy_detach(struct lb *lb, const char *backend, const char *name, int64_t wait_ms,
                          struct lb_result *result, struct err *err)
{
	struct haproxy_change change = {.up = NULL};
	struct haproxy_entry e;
	int rc;

	*result = (struct lb_result){.already = true};
	if (lb_check_names(lb->peer.conf, backend, name, err) < 0)
		return -1;
	/* Twice: after a reload with a state file it may be in its slot and in a line of its own. */
	for (int i = 0; i < 2 && (rc = haproxy_find(lb, backend, name, &e, err)) != 0; i++) {
		if (rc < 0)
			return -1;
		result->already = false;
		lb_place(&e.server, result->address);
		if (haproxy_take_out(lb, &e, wait_ms, &result->forced, err) < 0)
			return -1;
	}
	save(lb, backend, &change,
	     result); /* also when it was gone: the run that took it out may have been killed before this */
	return 0;
}

/* A row of `show stat`, of a backend or of one of its servers. The queue is the backend's own and each server's. */
static void add_load(const struct haproxy_table *t, struct lb_stats *out)
{
	const int64_t idle_s = haproxy_number(t, "lastsess", -1);
	const bool http = strcmp(haproxy_cell(t, "mode"), "tcp") != 0;

	out->queue = (out->queue < 0 ? 0 : out->queue) + haproxy_number(t, "qcur", 0);
	if (strcmp(haproxy_cell(t, "svname"), "BACKEND") != 0)
		return;
	out->connections = haproxy_number(t, "scur", -1);
	out->requests = haproxy_number(t, http ? "req_tot" : "stot", -1);
	out->errors = http ? haproxy_number(t, "hrsp_5xx", -1) : -1;
	if (idle_s >= 0 && idle_s < IDLE_S && http)
		out->average_us = haproxy_number(t, "rtime", -1) * 1000;
}

static int haproxy_load(struct lb *lb, const char *backend, struct lb_stats *out, struct err *err)
{
	struct haproxy_table t;

	*out = lb_stats_unknown;
	out->at_ms = clock_monotonic_ms();
	if (lb_check_names(lb->peer.conf, backend, NULL, err) < 0)
		return -1;
	const int rc = haproxy_stats(&lb->peer, backend, &t, err);
	while (rc == 0 && haproxy_row(&t))
		add_load(&t, out);
	haproxy_table_release(&t);
	return rc;
}

/* "UP", "UP 1/3", "MAINT (via a/b)", "no check": Management Guide 9.1, column status. */
static enum lb_state state_of(const char *status)
{
	static const struct {
		const char *begin;
		enum lb_state state;
	} words[] = {{"MAINT", LB_MAINT}, {"DRAIN", LB_DRAIN}, {"NOLB", LB_DRAIN}, {"DOWN", LB_DOWN}};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strncmp(status, words[i].begin, strlen(words[i].begin)) == 0)
			return words[i].state;
	return LB_UP;
}

/* What is in a slot has the slot's name in HAProxy. One in maintenance is free or about to be. */
static int name_slots(struct lb *lb, struct lb_look *look, struct err *err)
{
	struct haproxy_entry *v = NULL;
	size_t n = 0, all = 0;

	for (size_t i = 0; i < look->n; i++)
		for (size_t k = 0; k < look->v[i].n; k++)
			all += !lb_is_ours(look->v[i].v[k].name) && look->v[i].v[k].state != LB_MAINT;
	if (!all || !lb->peer.conf->config)
		return 0;
	struct lb_busy **of = calloc(all, sizeof *of);
	if (!of || !(v = calloc(all, sizeof *v))) {
		free(of);
		return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	for (size_t i = 0; i < look->n; i++)
		for (size_t k = 0; k < look->v[i].n; k++) {
			struct lb_busy *b = &look->v[i].v[k];
			if (lb_is_ours(b->name) || b->state == LB_MAINT)
				continue;
			of[n] = b;
			memcpy(v[n].backend, look->v[i].backend, sizeof v[n].backend);
			memcpy(v[n].real, b->name, sizeof v[n].real);
			memcpy(v[n++].server.name, b->name, sizeof b->name);
		}
	const int rc = haproxy_look_for_slots(lb, v, n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		memcpy(of[i]->name, v[i].server.name, sizeof of[i]->name);
	free(of);
	free(v);
	return rc;
}

/* Rows of one backend follow each other. */
static int haproxy_look(struct lb *lb, struct lb_look *out, struct err *err)
{
	struct lb_seen *seen = NULL;
	struct haproxy_table t;

	*out = (struct lb_look){0};
	int rc = haproxy_stats(&lb->peer, NULL, &t, err);
	while (rc == 0 && haproxy_row(&t)) {
		const char *backend = haproxy_cell(&t, "pxname"), *server = haproxy_cell(&t, "svname");
		if (!lb_safe_name(backend))
			continue;
		if (!seen || strcmp(seen->backend, backend) != 0)
			seen = lb_look_add(out, backend, err);
		if (!seen)
			rc = -1;
		else
			add_load(&t, &seen->stats);
		if (rc == 0 && strcmp(server, "BACKEND") != 0 &&
		    !lb_seen_add(seen, server, state_of(haproxy_cell(&t, "status")), haproxy_number(&t, "scur", -1), err))
			rc = -1;
	}
	haproxy_table_release(&t);
	if (rc == 0)
		rc = name_slots(lb, out, err);
	lb_look_sort(out);
	if (rc < 0)
		lb_look_release(out);
	return rc;
}

static int haproxy_verify(struct lb *lb, const char *backend, const struct lb_list *wanted, struct err *err)
{
	struct lb_list listed;

	if (haproxy_list(lb, backend, &listed, err) < 0)
		return -1;
	const int rc = lb_compare(lb->peer.conf, backend, wanted, &listed, err);
	lb_list_release(&listed);
	return rc;
}

static int haproxy_backends(struct lb *lb, struct lb_names *out, struct err *err)
{
	struct haproxy_table t;
	struct haproxy_entry e;

	*out = (struct lb_names){0};
	int rc = haproxy_servers(&lb->peer, NULL, &t, err);
	while (rc == 0 && haproxy_row(&t)) {
		haproxy_read_entry(&t, &e);
		if (e.server.ours && *e.backend)
			rc = lb_names_add(out, e.backend, err);
	}
	haproxy_table_release(&t);
	if (rc == 0 && lb->peer.conf->config)
		rc = haproxy_made(lb, out, err);
	if (rc < 0)
		lb_names_release(out);
	return rc;
}

static int haproxy_ensure(struct lb *lb, const char *backend, const struct lb_route *route, struct lb_result *result,
                          struct err *err)
{
	struct haproxy_change change = {
		.what = route ? HAPROXY_ENSURE : HAPROXY_FORGET, .backend = backend, .route = route};

	*result = (struct lb_result){0};
	if (lb_check_names(lb->peer.conf, backend, NULL, err) < 0)
		return -1;
	if (route && !lb_safe_check(route->check))
		return err_set(err, ERR_REFUSED, "lb %s: backend %s: its check is no plain path", lb->peer.conf->name, backend);
	if (haproxy_change(lb, &change, err) < 0)
		return -1;
	result->already = change.already;
	return 0;
}

static int haproxy_agree(struct lb *lb, const char *backend, struct err *err)
{
	struct haproxy_change change = {.what = HAPROXY_SAVE, .backend = backend};

	if (lb_check_names(lb->peer.conf, backend, NULL, err) < 0)
		return -1;
	if (!lb->peer.conf->config || haproxy_change(lb, &change, err) == 0 || err->code == ERR_NOT_FOUND)
		return 0;
	return err_prefix(err, "lb %s: backend %s", lb->peer.conf->name, backend);
}

const struct lb_driver lb_haproxy = {
	.name = "haproxy",
	.open = haproxy_open,
	.close = haproxy_close,
	.list = haproxy_list,
	.backends = haproxy_backends,
	.attach = haproxy_attach,
	.drain = haproxy_drain,
	.detach = haproxy_detach,
	.stats = haproxy_load,
	.look = haproxy_look,
	.verify = haproxy_verify,
	.ensure = haproxy_ensure,
	.agree = haproxy_agree,
	.check = haproxy_check,
};
