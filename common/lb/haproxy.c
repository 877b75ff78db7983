/* The driver for HAProxy 2.6 and newer. Nothing is kept between two verbs: HAProxy alone knows how far a run that was
 * killed came, and what a verb changed is read back. */
#include "lb/lb.h"

#include "base/clock.h"
#include "base/limits.h"
#include "lb/haproxy_api.h"
#include "lb/haproxy_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define STEP_MS 10      /* between two looks: the first, */
#define GATE_STEP_MS 20 /* the longest while a check of every 200 ms is awaited, */
#define STEP_MAX_MS 100 /* the longest while sessions end */
#define FORCE_MS 2000   /* for HAProxy to close what it was told to close */
#define IDLE_S 10       /* the response time is an average of the last 1024 requests, however old: not after this */

#define CHECKS "check inter 200ms rise 1 fall 3"
/* No pool of kept server connections (`pool-max-conn`): an application that closes an idle connection just when it is
 * used again fails the request, seen for 305 of 3,200 POSTs; without one a connection is opened for each, none failed.
 */

/* Bits and values of srv_admin_state, srv_op_state, srv_check_result and srv_check_state: Management Guide 9.3,
 * `show servers state`. The admin bit 0x04 only says that the configuration had `disabled`. */
enum { ADMIN_MAINT = 0x01 | 0x02 | 0x20 | 0x40, ADMIN_DRAIN = 0x08 | 0x10 };
enum { OP_STOPPED = 0, OP_STOPPING = 3 };
enum { CHECK_PASSED = 3 };
enum { CHECK_CONFIGURED = 0x02 };

struct lb {
	const struct conf_lb *conf;
	struct tasks *tasks;
};

struct entry {
	struct lb_server server;
	bool passed, checked; /* its last check; it has a check */
};

static enum lb_state state_of(int64_t op, int64_t admin)
{
	if (admin & ADMIN_MAINT)
		return LB_MAINT;
	if (admin & ADMIN_DRAIN || op == OP_STOPPING)
		return LB_DRAIN;
	return op == OP_STOPPED ? LB_DOWN : LB_UP;
}

static void read_entry(const struct haproxy_table *t, struct entry *e)
{
	const int64_t op = haproxy_number(t, "srv_op_state", OP_STOPPED);
	struct lb_server *s = &e->server;

	*e = (struct entry){0};
	(void)snprintf(s->name, sizeof s->name, "%s", haproxy_cell(t, "srv_name"));
	/* No address: a name that is not resolved, or a unix socket. The toolkit adds no such server. */
	if (!lb_safe_address(haproxy_cell(t, "srv_addr"), s->address))
		s->address[0] = '\0';
	s->port = (unsigned)haproxy_number(t, "srv_port", 0);
	s->weight = (unsigned)haproxy_number(t, "srv_uweight", 0);
	s->state = state_of(op, haproxy_number(t, "srv_admin_state", ADMIN_MAINT));
	s->ours = lb_is_ours(haproxy_cell(t, "srv_name"));
	s->sessions = -1;
	e->passed = op != OP_STOPPED && haproxy_number(t, "srv_check_result", 0) == CHECK_PASSED;
	e->checked = haproxy_number(t, "srv_check_state", 0) & CHECK_CONFIGURED;
}

/* 1 and *e, 0 when there is no such server, -1. */
static int find(const struct lb *lb, const char *backend, const char *name, struct entry *e, struct err *err)
{
	struct haproxy_table t;
	int rc = haproxy_servers(lb->conf, backend, &t, err);

	while (rc == 0 && haproxy_row(&t)) {
		if (strcmp(haproxy_cell(&t, "srv_name"), name) != 0)
			continue;
		read_entry(&t, e);
		rc = 1;
	}
	haproxy_table_release(&t);
	return rc;
}

/* Sessions or connections in use of one server, 0 when it is not there. A connection kept for the next request is in
 * neither number (seen with http-reuse safe, never and always): it is no work, and HAProxy closes it when the server
 * goes into maintenance. */
static int busy(const struct lb *lb, const char *backend, const char *name, int64_t *work, struct err *err)
{
	struct haproxy_table t;
	const int rc = haproxy_stats(lb->conf, backend, &t, err);

	*work = 0;
	while (rc == 0 && haproxy_row(&t)) {
		if (strcmp(haproxy_cell(&t, "svname"), name) != 0)
			continue;
		const int64_t sessions = haproxy_number(&t, "scur", 0);
		const int64_t used = haproxy_number(&t, "used_conn_cur", 0);
		*work = sessions > used ? sessions : used;
	}
	haproxy_table_release(&t);
	return rc;
}

static void wait_step(const struct lb *lb, int64_t *step, int64_t longest)
{
	tasks_sleep(lb->tasks, *step);
	*step = *step * 3 / 2 < longest ? *step * 3 / 2 : longest;
}

/* ---- the configuration ---- */

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The server lines of what takes traffic now, sorted by name. Free each and the array, also after -1. */
static int live_lines(const struct lb *lb, const char *backend, char ***lines, size_t *n, struct err *err)
{
	struct haproxy_table t;
	struct entry e;
	int rc = haproxy_servers(lb->conf, backend, &t, err);

	while (rc == 0 && haproxy_row(&t)) {
		char place[LB_PLACE];
		read_entry(&t, &e);
		if (!e.server.ours || !e.server.address[0] || e.server.state == LB_MAINT || e.server.state == LB_DRAIN)
			continue;
		lb_place(&e.server, place);
		char **more = realloc(*lines, (*n + 1) * sizeof **lines);
		if (more)
			*lines = more;
		if (!more ||
		    asprintf(&more[*n], "server %s %s " CHECKS " weight %u", e.server.name, place, e.server.weight) < 0)
			rc = err_set(err, ERR_TEMPORARY, "out of memory");
		else
			(*n)++;
	}
	haproxy_table_release(&t);
	if (*n)
		qsort(*lines, *n, sizeof **lines, by_text);
	return rc;
}

/* Makes the marker block of the configuration agree with what HAProxy has now. The live change is done and stays, so a
 * failure is a note. The list is asked for under the lock: of two writers the later one knows both. */
static void persist(const struct lb *lb, const char *backend, struct lb_result *result)
{
	const char *file = lb->conf->config;
	struct haproxy_config config;
	struct err err = {0};
	char **lines = NULL;
	size_t n = 0;

	if (!file)
		return;
	int rc = haproxy_config_open(&config, lb->tasks, file, backend, &err);
	if (rc == 0 && config.marked) {
		rc = live_lines(lb, backend, &lines, &n, &err);
		if (rc == 0)
			rc = haproxy_config_write(&config, lines, n, &err);
	}
	haproxy_config_close(&config);
	for (size_t i = 0; i < n; i++)
		free(lines[i]);
	free(lines);
	if (rc < 0 && snprintf(result->note, sizeof result->note, "done, but not saved: %s", err.message) < 0)
		result->note[0] = '\0';
}

/* ---- in and out ---- */

/* HAProxy places servers on the ring of `random` and of consistent hashing by their id, and with the id that it gives a
 * server added at run time some miss from the ring (2.6: the second of three got no request;
 * https://github.com/haproxy/haproxy/issues/3413). So they get one from their name: FNV-1a, 1 to 2^31 - 8. */
static unsigned server_id(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return hash % 2147483640u + 1;
}

/* Adds the server, which starts in maintenance. 0; 1 when there is one of that name; -1. Never with `enabled`: after
 * a later `del server` 2.6 answers 503 to all. */
static int add(const struct lb *lb, const char *backend, const struct lb_server *want, struct err *err)
{
	struct buf answer = BUF_INIT(LB_REPLY_MAX);
	char place[LB_PLACE];
	struct entry e;
	int rc = 0;

	lb_place(want, place);
	for (unsigned id = server_id(want->name); rc == 0; id++) {
		rc = haproxy_ask(lb->conf, &answer, err,
		                 "set severity-output number;add server %s/%s %s " CHECKS " weight %u id %u", backend,
		                 want->name, place, want->weight, id);
		if (rc < 0 || haproxy_says(&answer, "New server registered."))
			break;
		if (haproxy_says(&answer, "Already exists a server with the same name"))
			rc = 1;
		else if (haproxy_says(&answer, "already used")) /* the id: by this name since the look, or by another */
			rc = find(lb, backend, want->name, &e, err);
		else
			rc = haproxy_complain(lb->conf, backend, &answer, err);
	}
	buf_release(&answer);
	return rc;
}

/* Maintenance, then `del server` until HAProxy does it: it refuses while the server has sessions or idle connections,
 * of which it closes the latter. What is at work at the deadline is cut. */
static int take_out(const struct lb *lb, const char *backend, const char *name, int64_t wait_ms, bool *forced,
                    struct err *err)
{
	struct buf answer = BUF_INIT(LB_REPLY_MAX);
	int64_t deadline = clock_monotonic_ms() + wait_ms, work, step = STEP_MS;
	bool last = false;

	int rc = haproxy_order(lb->conf, backend, err, "set server %s/%s state maint", backend, name);
	if (rc < 0 && err->code == ERR_NOT_FOUND)
		return 0;
	while (rc == 0) {
		rc = haproxy_ask(lb->conf, &answer, err, "set severity-output number;del server %s/%s", backend, name);
		if (rc < 0 || haproxy_says(&answer, "Server deleted.") || haproxy_says(&answer, "No such server"))
			break;
		if (!haproxy_says(&answer, "still has connections")) {
			rc = haproxy_complain(lb->conf, backend, &answer, err);
		} else if (clock_monotonic_ms() < deadline) {
			wait_step(lb, &step, STEP_MAX_MS);
		} else if (last) {
			rc = err_set(err, ERR_TEMPORARY, "lb %s: backend %s: server %s is in maintenance, but keeps connections",
			             lb->conf->name, backend, name);
		} else {
			last = true;
			deadline = clock_monotonic_ms() + FORCE_MS;
			rc = busy(lb, backend, name, &work, err);
			if (rc < 0 || !work)
				continue;
			*forced = true;
			rc = haproxy_order(lb->conf, backend, err, "shutdown sessions server %s/%s", backend, name);
			step = STEP_MS;
		}
	}
	buf_release(&answer);
	return rc;
}

/* Checks begin, no traffic comes. A server that was there may carry the result of an older check (in maintenance it
 * keeps the last one for ever): `health down` makes HAProxy forget it. */
static int start_checks(const struct lb *lb, const char *backend, const char *name, bool forget, struct err *err)
{
	if (haproxy_order(lb->conf, backend, err, "enable health %s/%s;set server %s/%s state drain", backend, name,
	                  backend, name) < 0)
		return -1;
	return forget ? haproxy_order(lb->conf, backend, err, "set server %s/%s health down", backend, name) : 0;
}

/* Waits for a passed check until the deadline. 0, 1 when the time ran out, -1. */
static int gate(const struct lb *lb, const char *backend, const char *name, int64_t deadline, struct err *err)
{
	int64_t step = STEP_MS;
	struct entry e;

	for (;;) {
		const int rc = find(lb, backend, name, &e, err);
		if (rc < 0)
			return -1;
		if (rc == 0)
			return err_set(err, ERR_CONFLICT, "lb %s: backend %s: somebody else removed server %s meanwhile",
			               lb->conf->name, backend, name);
		if (e.passed || !e.checked)
			return 0;
		if (clock_monotonic_ms() >= deadline)
			return 1;
		wait_step(lb, &step, GATE_STEP_MS);
	}
}

/* Traffic in, and HAProxy's word that it is so. */
static int let_in(const struct lb *lb, const char *backend, const char *name, struct err *err)
{
	struct entry e;

	if (haproxy_order(lb->conf, backend, err, "set server %s/%s state ready", backend, name) < 0)
		return -1;
	const int rc = find(lb, backend, name, &e, err);
	if (rc < 0)
		return -1;
	if (rc == 0 || e.server.state != LB_UP)
		return err_set(err, ERR_CONFLICT, "lb %s: backend %s: server %s was made ready, but is %s", lb->conf->name,
		               backend, name, rc ? lb_state_name(e.server.state) : "gone");
	return 0;
}

/* What the last check said: "L4CON", "L7STS/500". */
static void last_check(const struct lb *lb, const char *backend, const char *name, char *out, size_t size)
{
	struct haproxy_table t;
	struct err ignored;

	(void)snprintf(out, size, "none");
	if (haproxy_stats(lb->conf, backend, &t, &ignored) == 0)
		while (haproxy_row(&t)) {
			const char *status = haproxy_cell(&t, "check_status"), *code = haproxy_cell(&t, "check_code");
			if (*status && strcmp(haproxy_cell(&t, "svname"), name) == 0)
				(void)snprintf(out, size, "%s%s%s", status + strspn(status, "* "), *code ? "/" : "", code);
		}
	haproxy_table_release(&t);
}

static int not_healthy(const struct lb *lb, const char *backend, const struct lb_server *want, int64_t gate_ms,
                       struct err *err)
{
	char check[64], place[LB_PLACE];

	last_check(lb, backend, want->name, check, sizeof check);
	lb_place(want, place);
	return err_set(
		err, ERR_UNAVAILABLE,
		"lb %s: backend %s: server %s at %s did not pass a health check within %g s (the last one: %s); does "
		"HAProxy reach that address, and is the service listening there?",
		lb->conf->name, backend, want->name, place, (double)gate_ms / 1000, check);
}

/* From an entry that is there (is; NULL: just added) to one that takes traffic. 0; 1 when it is not healthy and takes
 * no traffic; -1. An entry that takes traffic already stays in: when it is down, HAProxy itself keeps requests away and
 * lets them in when it recovers. */
static int admit(const struct lb *lb, const char *backend, const struct lb_server *want, const struct entry *is,
                 int64_t gate_ms, struct lb_result *result, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + gate_ms;
	const bool serving = is && (is->server.state == LB_UP || is->server.state == LB_DOWN);
	const bool weighed = !is || is->server.weight == want->weight;

	if (!weighed &&
	    haproxy_order(lb->conf, backend, err, "set server %s/%s weight %u", backend, want->name, want->weight) < 0)
		return -1;
	result->already = serving && weighed;
	if (serving && is->server.state == LB_UP)
		return 0;
	if (!serving && (!is || is->checked) && start_checks(lb, backend, want->name, is != NULL, err) < 0)
		return -1;
	const int rc = gate(lb, backend, want->name, deadline, err);
	if (rc == 0)
		return serving ? 0 : let_in(lb, backend, want->name, err);
	if (rc == 1)
		not_healthy(lb, backend, want, gate_ms, err);
	return rc == 1 && !serving ? 1 : -1;
}

/* Until the entry is there and at its place: 1 and *e when it was, 0 when it was added, -1. More than one round only
 * when another writer is at the same entry. */
static int put(const struct lb *lb, const char *backend, const struct lb_server *want, int64_t wait_ms, struct entry *e,
               struct lb_result *result, struct err *err)
{
	for (int tries = 0; tries < 3; tries++) {
		int rc = find(lb, backend, want->name, e, err);
		if (rc < 0 || (rc == 1 && lb_same_place(want, &e->server)))
			return rc;
		/* It moved: the container was restarted with another address, and its old one may be a stranger's. */
		if (rc == 1 && take_out(lb, backend, want->name, wait_ms, &result->forced, err) < 0)
			return -1;
		rc = add(lb, backend, want, err);
		if (rc <= 0)
			return rc;
	}
	return err_set(err, ERR_CONFLICT, "lb %s: backend %s: somebody else keeps changing server %s", lb->conf->name,
	               backend, want->name);
}

/* ---- verbs ---- */

static struct lb *haproxy_open(const struct conf_lb *conf, const struct lb_means *means, struct err *err)
{
	struct lb *lb = NULL;

	if (!conf->socket || !*conf->socket)
		err_set(err, ERR_CONFIG, "[lb \"%s\"] needs `socket`: the path of HAProxy's `stats socket`", conf->name);
	else if (!(lb = malloc(sizeof *lb)))
		err_set(err, ERR_TEMPORARY, "out of memory");
	else
		*lb = (struct lb){.conf = conf, .tasks = means->tasks};
	return lb;
}

static void haproxy_close(struct lb *lb) { free(lb); }

/* The open sessions come from another table; a server that appeared in between has -1. */
static int add_sessions(const struct lb *lb, const char *backend, struct lb_list *list, struct err *err)
{
	struct haproxy_table t;
	const int rc = haproxy_stats(lb->conf, backend, &t, err);

	while (rc == 0 && haproxy_row(&t))
		for (size_t i = 0; i < list->n; i++)
			if (strcmp(list->v[i].name, haproxy_cell(&t, "svname")) == 0)
				list->v[i].sessions = haproxy_number(&t, "scur", -1);
	haproxy_table_release(&t);
	return rc;
}

static int haproxy_list(struct lb *lb, const char *backend, struct lb_list *out, struct err *err)
{
	struct haproxy_table t;
	struct entry e;

	*out = (struct lb_list){0};
	if (lb_check_names(lb->conf, backend, NULL, err) < 0)
		return -1;
	int rc = haproxy_servers(lb->conf, backend, &t, err);
	while (rc == 0 && haproxy_row(&t)) {
		struct lb_server *more = realloc(out->v, (out->n + 1) * sizeof *more);
		if (!more) {
			rc = err_set(err, ERR_TEMPORARY, "out of memory");
			break;
		}
		out->v = more;
		read_entry(&t, &e);
		out->v[out->n++] = e.server;
	}
	haproxy_table_release(&t);
	if (rc == 0 && out->n)
		rc = add_sessions(lb, backend, out, err);
	if (rc < 0)
		lb_list_release(out);
	return rc;
}

static int haproxy_attach(struct lb *lb, const char *backend, const struct lb_server *server, int64_t gate_ms,
                          struct lb_result *result, struct err *err)
{
	struct lb_server want;
	struct entry e;
	struct err fault;
	bool forced = false;

	*result = (struct lb_result){0};
	if (lb_check_names(lb->conf, backend, NULL, err) < 0 || lb_check_server(lb->conf, server, &want, err) < 0)
		return -1;
	lb_place(&want, result->address);
	const int was = put(lb, backend, &want, gate_ms, &e, result, err);
	if (was < 0)
		return -1;
	const int rc = admit(lb, backend, &want, was ? &e : NULL, gate_ms, result, err);
	if (rc < 0)
		return -1;
	if (rc == 1 && take_out(lb, backend, want.name, FORCE_MS, &forced, &fault) < 0)
		return err_prefix(err, "%s; and before", fault.message);
	persist(lb, backend, result);
	return rc ? -1 : 0;
}

static int haproxy_drain(struct lb *lb, const char *backend, const char *name, int64_t wait_ms,
                         struct lb_result *result, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + wait_ms;
	int64_t work, step = STEP_MS;
	struct entry e;

	*result = (struct lb_result){0};
	if (lb_check_names(lb->conf, backend, name, err) < 0)
		return -1;
	const int rc = find(lb, backend, name, &e, err);
	if (rc < 0)
		return -1;
	result->already = rc == 0 || e.server.state == LB_DRAIN || e.server.state == LB_MAINT;
	if (rc == 0)
		return 0;
	lb_place(&e.server, result->address);
	if (!result->already && haproxy_order(lb->conf, backend, err, "set server %s/%s state drain", backend, name) < 0)
		return -1;
	while (busy(lb, backend, name, &work, err) == 0) {
		if (work && clock_monotonic_ms() < deadline) {
			wait_step(lb, &step, STEP_MAX_MS);
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
	struct entry e;

	*result = (struct lb_result){0};
	if (lb_check_names(lb->conf, backend, name, err) < 0)
		return -1;
	const int rc = find(lb, backend, name, &e, err);
	if (rc < 0)
		return -1;
	result->already = rc == 0;
	if (rc == 1) {
		lb_place(&e.server, result->address);
		if (take_out(lb, backend, name, wait_ms, &result->forced, err) < 0)
			return -1;
	}
	persist(lb, backend, result); /* also when it was gone: the run that took it out may have been killed before this */
	return 0;
}

static int haproxy_load(struct lb *lb, const char *backend, struct lb_stats *out, struct err *err)
{
	struct haproxy_table t;
	int64_t queue = 0; /* the backend's own and each server's */

	*out = (struct lb_stats){clock_monotonic_ms(), -1, -1, -1, -1, -1, -1};
	if (lb_check_names(lb->conf, backend, NULL, err) < 0)
		return -1;
	const int rc = haproxy_stats(lb->conf, backend, &t, err);
	while (rc == 0 && haproxy_row(&t)) {
		queue += haproxy_number(&t, "qcur", 0);
		if (strcmp(haproxy_cell(&t, "svname"), "BACKEND") != 0)
			continue;
		const int64_t idle_s = haproxy_number(&t, "lastsess", -1);
		const bool http = strcmp(haproxy_cell(&t, "mode"), "tcp") != 0;
		out->connections = haproxy_number(&t, "scur", -1);
		out->requests = haproxy_number(&t, http ? "req_tot" : "stot", -1);
		out->errors = http ? haproxy_number(&t, "hrsp_5xx", -1) : -1;
		if (idle_s >= 0 && idle_s < IDLE_S && http)
			out->average_us = haproxy_number(&t, "rtime", -1) * 1000;
	}
	if (rc == 0)
		out->queue = queue;
	haproxy_table_release(&t);
	return rc;
}

static int haproxy_verify(struct lb *lb, const char *backend, const struct lb_list *wanted, struct err *err)
{
	struct lb_list listed;

	if (haproxy_list(lb, backend, &listed, err) < 0)
		return -1;
	const int rc = lb_compare(lb->conf, backend, wanted, &listed, err);
	lb_list_release(&listed);
	return rc;
}

const struct lb_driver lb_haproxy = {
	.name = "haproxy",
	.open = haproxy_open,
	.close = haproxy_close,
	.list = haproxy_list,
	.attach = haproxy_attach,
	.drain = haproxy_drain,
	.detach = haproxy_detach,
	.stats = haproxy_load,
	.verify = haproxy_verify,
};
