/* One server's way in and out, by the Runtime API. Nothing is kept between two verbs: HAProxy alone knows how far a run
 * that was killed came, and what a verb changed is read back. */
#include "lb/haproxy.h"

#include "base/clock.h"
#include "base/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define GATE_STEP_MS 20 /* the longest between two looks while a check of every 200 ms is awaited */

/* Bits and values of srv_admin_state, srv_op_state, srv_check_result and srv_check_state: Management Guide 9.3,
 * `show servers state`. The admin bit 0x04 only says that the configuration had `disabled`. */
enum { ADMIN_MAINT = 0x01 | 0x02 | 0x20 | 0x40, ADMIN_DRAIN = 0x08 | 0x10 };
enum { OP_STOPPED = 0, OP_STOPPING = 3 };
enum { CHECK_PASSED = 3 };
enum { CHECK_CONFIGURED = 0x02 };

static enum lb_state state_of(int64_t op, int64_t admin)
{
	if (admin & ADMIN_MAINT)
		return LB_MAINT;
	if (admin & ADMIN_DRAIN || op == OP_STOPPING)
		return LB_DRAIN;
	return op == OP_STOPPED ? LB_DOWN : LB_UP;
}

void haproxy_read_entry(const struct haproxy_table *t, struct haproxy_entry *e)
{
	const int64_t op = haproxy_number(t, "srv_op_state", OP_STOPPED);
	struct lb_server *s = &e->server;

	*e = (struct haproxy_entry){0};
	(void)snprintf(s->name, sizeof s->name, "%s", haproxy_cell(t, "srv_name"));
	/* No address: a name that is not resolved, or a unix socket. The toolkit adds no such server. */
	if (!lb_safe_address(haproxy_cell(t, "srv_addr"), s->address))
		s->address[0] = '\0';
	s->port = (unsigned)haproxy_number(t, "srv_port", 0);
	s->weight = (unsigned)haproxy_number(t, "srv_uweight", 0);
	s->state = state_of(op, haproxy_number(t, "srv_admin_state", ADMIN_MAINT));
	s->ours = lb_is_ours(haproxy_cell(t, "srv_name"));
	if (lb_safe_name(haproxy_cell(t, "be_name")))
		(void)snprintf(e->backend, sizeof e->backend, "%s", haproxy_cell(t, "be_name"));
	s->sessions = -1;
	e->passed = op != OP_STOPPED && haproxy_number(t, "srv_check_result", 0) == CHECK_PASSED;
	e->checked = haproxy_number(t, "srv_check_state", 0) & CHECK_CONFIGURED;
}

int haproxy_find(struct lb *lb, const char *backend, const char *name, struct haproxy_entry *e, struct err *err)
{
	struct haproxy_table t;
	int rc = haproxy_servers(&lb->peer, backend, &t, err);

	while (rc == 0 && haproxy_row(&t)) {
		if (strcmp(haproxy_cell(&t, "srv_name"), name) != 0)
			continue;
		haproxy_read_entry(&t, e);
		rc = 1;
	}
	haproxy_table_release(&t);
	return rc;
}

/* A connection kept for the next request is in
 * neither number (seen with http-reuse safe, never and always): it is no work, and HAProxy closes it when the server
 * goes into maintenance. */
int haproxy_busy(struct lb *lb, const char *backend, const char *name, int64_t *work, struct err *err)
{
	struct haproxy_table t;
	const int rc = haproxy_stats(&lb->peer, backend, &t, err);

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

void haproxy_wait_step(struct lb *lb, int64_t *step, int64_t longest)
{
	tasks_sleep(lb->peer.tasks, *step);
	*step = *step * 3 / 2 < longest ? *step * 3 / 2 : longest;
}

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

/* `add server` or `del server`, which before 2.6 are an experiment that has to be switched on for each connection. */
__attribute__((format(printf, 4, 5))) static int ask(struct lb *lb, struct buf *answer, struct err *err,
                                                     const char *fmt, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, fmt);
	const int n = vsnprintf(command, sizeof command, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof command)
		return err_set(err, ERR_LIMIT, "lb %s: the command is too long", lb->peer.conf->name);
	for (;;) {
		const bool was = lb->experimental;
		if (haproxy_ask(&lb->peer, answer, err, "set severity-output number;%s%s", was ? "experimental-mode on;" : "",
		                command) < 0)
			return -1;
		if (was || !haproxy_says(answer, "experimental mode"))
			return 0;
		lb->experimental = true;
	}
}

/* Adds the server, which starts in maintenance. 0; 1 when there is one of that name; -1. Never with `enabled`: after
 * a later `del server` 2.6 answers 503 to all. */
static int add(struct lb *lb, const char *backend, const struct lb_server *want, struct err *err)
{
	struct buf answer = BUF_INIT(LB_REPLY_MAX);
	char place[LB_PLACE];
	struct haproxy_entry e;
	int rc = 0;

	lb_place(want, place);
	for (unsigned id = server_id(want->name); rc == 0; id++) {
		rc = ask(lb, &answer, err, "add server %s/%s %s " HAPROXY_CHECKS " weight %u id %u", backend, want->name, place,
		         want->weight, id);
		if (rc < 0 || haproxy_says(&answer, "New server registered."))
			break;
		if (haproxy_says(&answer, "Already exists a server with the same name"))
			rc = 1;
		else if (haproxy_says(&answer, "already used")) /* the id: by this name since the look, or by another */
			rc = haproxy_find(lb, backend, want->name, &e, err);
		else
			rc = haproxy_complain(&lb->peer, backend, &answer, err);
	}
	buf_release(&answer);
	return rc;
}

/* Maintenance, then `del server` until HAProxy does it: it refuses while the server has sessions or idle connections,
 * of which it closes the latter. What is at work at the deadline is cut. */
int haproxy_take_out(struct lb *lb, const char *backend, const char *name, int64_t wait_ms, bool *forced,
                     struct err *err)
{
	struct buf answer = BUF_INIT(LB_REPLY_MAX);
	int64_t deadline = clock_monotonic_ms() + wait_ms, work, step = HAPROXY_STEP_MS;
	bool last = false;

	int rc = haproxy_order(&lb->peer, backend, err, "set server %s/%s state maint", backend, name);
	if (rc < 0 && err->code == ERR_NOT_FOUND)
		return 0;
	while (rc == 0) {
		rc = ask(lb, &answer, err, "del server %s/%s", backend, name);
		if (rc < 0 || haproxy_says(&answer, "Server deleted.") || haproxy_says(&answer, "No such server"))
			break;
		if (!haproxy_says(&answer, "still has connections")) {
			rc = haproxy_complain(&lb->peer, backend, &answer, err);
		} else if (clock_monotonic_ms() < deadline) {
			haproxy_wait_step(lb, &step, HAPROXY_STEP_MAX_MS);
		} else if (last) {
			rc = err_set(err, ERR_TEMPORARY, "lb %s: backend %s: server %s is in maintenance, but keeps connections",
			             lb->peer.conf->name, backend, name);
		} else {
			last = true;
			deadline = clock_monotonic_ms() + HAPROXY_FORCE_MS;
			rc = haproxy_busy(lb, backend, name, &work, err);
			if (rc < 0 || !work)
				continue;
			*forced = true;
			rc = haproxy_order(&lb->peer, backend, err, "shutdown sessions server %s/%s", backend, name);
			step = HAPROXY_STEP_MS;
		}
	}
	buf_release(&answer);
	return rc;
}

/* Checks begin, no traffic comes. A server that was there may carry the result of an older check (in maintenance it
 * keeps the last one for ever): `health down` makes HAProxy forget it. */
static int start_checks(struct lb *lb, const char *backend, const char *name, bool forget, struct err *err)
{
	if (haproxy_order(&lb->peer, backend, err, "enable health %s/%s;set server %s/%s state drain", backend, name,
	                  backend, name) < 0)
		return -1;
	return forget ? haproxy_order(&lb->peer, backend, err, "set server %s/%s health down", backend, name) : 0;
}

/* Waits for a passed check until the deadline. 0, 1 when the time ran out, 2 when the server went away, -1. */
static int gate(struct lb *lb, const char *backend, const char *name, int64_t deadline, struct err *err)
{
	int64_t step = HAPROXY_STEP_MS;
	struct haproxy_entry e;

	for (;;) {
		const int rc = haproxy_find(lb, backend, name, &e, err);
		if (rc < 0)
			return -1;
		if (rc == 0) {
			err_set(err, ERR_CONFLICT, "lb %s: backend %s: somebody else removed server %s meanwhile",
			        lb->peer.conf->name, backend, name);
			return 2;
		}
		if (e.passed || !e.checked)
			return 0;
		if (clock_monotonic_ms() >= deadline)
			return 1;
		haproxy_wait_step(lb, &step, GATE_STEP_MS);
	}
}

/* Traffic in, and HAProxy's word that it is so. */
static int let_in(struct lb *lb, const char *backend, const char *name, struct err *err)
{
	struct haproxy_entry e;

	if (haproxy_order(&lb->peer, backend, err, "set server %s/%s state ready", backend, name) < 0)
		return -1;
	const int rc = haproxy_find(lb, backend, name, &e, err);
	if (rc < 0)
		return -1;
	if (rc == 0 || e.server.state != LB_UP)
		return err_set(err, ERR_CONFLICT, "lb %s: backend %s: server %s was made ready, but is %s", lb->peer.conf->name,
		               backend, name, rc ? lb_state_name(e.server.state) : "gone");
	return 0;
}

/* What the last check said: "L4CON", "L7STS/500". */
static void last_check(struct lb *lb, const char *backend, const char *name, char *out, size_t size)
{
	struct haproxy_table t;
	struct err ignored;

	(void)snprintf(out, size, "none");
	if (haproxy_stats(&lb->peer, backend, &t, &ignored) == 0)
		while (haproxy_row(&t)) {
			const char *status = haproxy_cell(&t, "check_status"), *code = haproxy_cell(&t, "check_code");
			if (*status && strcmp(haproxy_cell(&t, "svname"), name) == 0)
				(void)snprintf(out, size, "%s%s%s", status + strspn(status, "* "), *code ? "/" : "", code);
		}
	haproxy_table_release(&t);
}

static int not_healthy(struct lb *lb, const char *backend, const struct lb_server *want, int64_t gate_ms,
                       struct err *err)
{
	char check[64], place[LB_PLACE];

	last_check(lb, backend, want->name, check, sizeof check);
	lb_place(want, place);
	return err_set(
		err, ERR_UNAVAILABLE,
		"lb %s: backend %s: server %s at %s did not pass a health check within %g s (the last one: %s); does "
		"HAProxy reach that address, and is the service listening there?",
		lb->peer.conf->name, backend, want->name, place, (double)gate_ms / 1000, check);
}

/* An entry that takes traffic already stays in: when it is down, HAProxy itself keeps requests away and lets them in
 * when it recovers. */
int haproxy_admit(struct lb *lb, const char *backend, const struct lb_server *want, const struct haproxy_entry *is,
                  int64_t gate_ms, struct lb_result *result, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + gate_ms;
	const bool serving = is && (is->server.state == LB_UP || is->server.state == LB_DOWN);
	const bool weighed = !is || is->server.weight == want->weight;

	if (!weighed &&
	    haproxy_order(&lb->peer, backend, err, "set server %s/%s weight %u", backend, want->name, want->weight) < 0)
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
	return rc == 1 && serving ? -1 : rc;
}

/* More than one round only when another writer is at the same entry. */
int haproxy_put(struct lb *lb, const char *backend, const struct lb_server *want, int64_t wait_ms,
                struct haproxy_entry *e, struct lb_result *result, struct err *err)
{
	for (int tries = 0; tries < 3; tries++) {
		int rc = haproxy_find(lb, backend, want->name, e, err);
		if (rc < 0 || (rc == 1 && lb_same_place(want, &e->server)))
			return rc;
		/* It moved: the container was restarted with another address, and its old one may be a stranger's. */
		if (rc == 1 && haproxy_take_out(lb, backend, want->name, wait_ms, &result->forced, err) < 0)
			return -1;
		rc = add(lb, backend, want, err);
		if (rc <= 0)
			return rc;
	}
	return err_set(err, ERR_CONFLICT, "lb %s: backend %s: somebody else keeps changing server %s", lb->peer.conf->name,
	               backend, want->name);
}
