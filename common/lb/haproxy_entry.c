/* One server's way in and out, by the Runtime API. Nothing is kept between two verbs: HAProxy alone knows how far a run
 * that was killed came, and what a verb changed is read back. */
#include "lb/haproxy.h"

#include "base/clock.h"
#include "base/limits.h"
#include "lb/probe.h"

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
	(void)snprintf(e->real, sizeof e->real, "%s", s->name);
	if (lb_safe_name(haproxy_cell(t, "be_name")))
		(void)snprintf(e->backend, sizeof e->backend, "%s", haproxy_cell(t, "be_name"));
	s->sessions = -1;
	e->passed = op != OP_STOPPED && haproxy_number(t, "srv_check_result", 0) == CHECK_PASSED;
	e->checked = haproxy_number(t, "srv_check_state", 0) & CHECK_CONFIGURED;
}

/* 1 and *e, 0, -1; by HAProxy's own name for it. *others: there are servers that are not ours, such as slots. */
static int find_real(struct lb *lb, const char *backend, const char *real, struct haproxy_entry *e, bool *others,
                     struct err *err)
{
	struct haproxy_entry each;
	struct haproxy_table t;

	*others = false;
	int rc = haproxy_servers(&lb->peer, backend, &t, err);
	while (rc >= 0 && haproxy_row(&t)) {
		haproxy_read_entry(&t, &each);
		*others |= !each.server.ours;
		if (strcmp(haproxy_cell(&t, "srv_name"), real) != 0)
			continue;
		*e = each;
		rc = 1;
	}
	haproxy_table_release(&t);
	return rc;
}

/* A server of ours that no row has may be in a slot. */
int haproxy_find(struct lb *lb, const char *backend, const char *name, struct haproxy_entry *e, struct err *err)
{
	char slot[LB_NAME];
	bool others;

	int rc = find_real(lb, backend, name, e, &others, err);
	if (rc != 0 || !others || !haproxy_slot_of(lb, backend, name, slot))
		return rc;
	rc = find_real(lb, backend, slot, e, &others, err);
	if (rc != 1 || haproxy_is_free(e))
		return rc < 0 ? -1 : 0;
	(void)snprintf(e->server.name, sizeof e->server.name, "%s", name);
	e->server.ours = true;
	return 1;
}

/* A connection kept for the next request is in neither number (seen with http-reuse safe, never and always): it is no
 * work, and HAProxy closes it when the server goes into maintenance. */
int haproxy_busy(struct lb *lb, const char *backend, const char *real, int64_t *work, struct err *err)
{
	struct haproxy_table t;
	const int rc = haproxy_stats(&lb->peer, backend, &t, err);

	*work = 0;
	while (rc == 0 && haproxy_row(&t)) {
		if (strcmp(haproxy_cell(&t, "svname"), real) != 0)
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
	for (unsigned id = server_id(want->name); rc == 0;) {
		rc = ask(lb, &answer, err, "add server %s/%s %s%s weight %u " HAPROXY_POOL " id %u", backend, want->name, place,
		         lb->unchecked ? "" : " " HAPROXY_CHECKS, want->weight, id);
		if (rc < 0 || haproxy_says(&answer, "New server registered."))
			break;
		if (haproxy_says(&answer, "Already exists a server with the same name")) {
			rc = 1;
		} else if (haproxy_says(&answer, "already used")) { /* the id: by this name since the look, or by another */
			rc = haproxy_find(lb, backend, want->name, &e, err);
			id++;
		} else if (haproxy_says(&answer, "'check' option is not accepted") && !lb->unchecked) {
			lb->unchecked = true;
		} else {
			rc = haproxy_complain(&lb->peer, backend, &answer, err);
		}
	}
	buf_release(&answer);
	return rc;
}

/* One try to take out what is in maintenance. 0: it is out; 1: connections hold it; -1. */
static int try_out(struct lb *lb, const struct haproxy_entry *e, int64_t *work, struct err *err)
{
	static const struct lb_server nobody = {.address = HAPROXY_FREE_ADDRESS, .port = HAPROXY_FREE_PORT};
	struct buf answer = BUF_INIT(LB_REPLY_MAX);

	if (strcmp(e->real, e->server.name) != 0) {
		const int is_busy = haproxy_busy(lb, e->backend, e->real, work, err);
		return is_busy < 0 ? -1 : *work ? 1 : haproxy_fill_slot(lb, e->backend, e->real, &nobody, err);
	}
	*work = -1;
	int rc = ask(lb, &answer, err, "del server %s/%s", e->backend, e->real);
	if (rc == 0 && haproxy_says(&answer, "still has connections"))
		rc = 1;
	else if (rc == 0 && !haproxy_says(&answer, "Server deleted.") && !haproxy_says(&answer, "No such server"))
		rc = haproxy_complain(&lb->peer, e->backend, &answer, err);
	buf_release(&answer);
	return rc;
}

/* Maintenance, then `del server` until HAProxy does it: it refuses while the server has sessions or idle connections,
 * of which it closes the latter. A slot stays and gets back its address. What is at work at the deadline is cut. */
int haproxy_take_out(struct lb *lb, const struct haproxy_entry *e, int64_t wait_ms, bool *forced, struct err *err)
{
	int64_t deadline = clock_monotonic_ms() + wait_ms, work, step = HAPROXY_STEP_MS;
	bool last = false;

	int rc = haproxy_order(&lb->peer, e->backend, err, "set server %s/%s state maint", e->backend, e->real);
	if (rc < 0)
		return err->code == ERR_NOT_FOUND ? 0 : -1;
	while ((rc = try_out(lb, e, &work, err)) == 1) {
		if (clock_monotonic_ms() < deadline) {
			haproxy_wait_step(lb, &step, HAPROXY_STEP_MAX_MS);
			continue;
		}
		if (last)
			return err_set(err, ERR_TEMPORARY, "lb %s: backend %s: server %s is in maintenance, but keeps connections",
			               lb->peer.conf->name, e->backend, e->server.name);
		last = true;
		deadline = clock_monotonic_ms() + HAPROXY_FORCE_MS;
		if (work < 0 && haproxy_busy(lb, e->backend, e->real, &work, err) < 0)
			return -1;
		if (!work)
			continue;
		*forced = true;
		if (haproxy_order(&lb->peer, e->backend, err, "shutdown sessions server %s/%s", e->backend, e->real) < 0)
			return -1;
		step = HAPROXY_STEP_MS;
	}
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
static int gate(struct lb *lb, const struct lb_server *want, const struct haproxy_entry *e, int64_t deadline,
                struct err *err)
{
	int64_t step = HAPROXY_STEP_MS;
	struct haproxy_entry now;
	bool others;

	for (;;) {
		const int rc = find_real(lb, e->backend, e->real, &now, &others, err);
		if (rc < 0)
			return -1;
		if (rc == 0 || !lb_same_place(&now.server, want)) {
			err_set(err, ERR_CONFLICT, "lb %s: backend %s: somebody else removed server %s meanwhile",
			        lb->peer.conf->name, e->backend, want->name);
			return 2;
		}
		if (now.passed || !now.checked)
			return 0;
		if (clock_monotonic_ms() >= deadline)
			return 1;
		haproxy_wait_step(lb, &step, GATE_STEP_MS);
	}
}

/* Traffic in, and HAProxy's word that it is so. */
static int let_in(struct lb *lb, const struct haproxy_entry *e, struct err *err)
{
	struct haproxy_entry now;
	bool others;

	if (haproxy_order(&lb->peer, e->backend, err, "set server %s/%s state ready", e->backend, e->real) < 0)
		return -1;
	const int rc = find_real(lb, e->backend, e->real, &now, &others, err);
	if (rc < 0)
		return -1;
	if (rc == 0 || now.server.state != LB_UP)
		return err_set(err, ERR_CONFLICT, "lb %s: backend %s: server %s was made ready, but is %s", lb->peer.conf->name,
		               e->backend, e->server.name, rc ? lb_state_name(now.server.state) : "gone");
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

static int not_healthy(struct lb *lb, const struct lb_server *want, const struct haproxy_entry *e, int64_t gate_ms,
                       struct err *err)
{
	char check[64], place[LB_PLACE];

	last_check(lb, e->backend, e->real, check, sizeof check);
	lb_place(want, place);
	return err_set(
		err, ERR_UNAVAILABLE,
		"lb %s: backend %s: server %s at %s did not pass a health check within %g s (the last one: %s); does "
		"HAProxy reach that address, and is the service listening there?",
		lb->peer.conf->name, e->backend, want->name, place, (double)gate_ms / 1000, check);
}

/* 1: it was changed, 0: it is so; a balance rule without weights keeps its own. */
static int weigh(struct lb *lb, const struct lb_server *want, const struct haproxy_entry *e, struct lb_result *result,
                 struct err *err)
{
	struct err why;

	if (e->server.weight == want->weight)
		return 0;
	if (haproxy_order(&lb->peer, e->backend, &why, "set server %s/%s weight %u", e->backend, e->real, want->weight) ==
	    0)
		return 1;
	if (!strstr(why.message, "static LB algorithm")) {
		*err = why;
		return -1;
	}
	if (want->weight != 100)
		(void)snprintf(result->note, sizeof result->note,
		               "its weight stays %u: the backend's balance rule knows no other", e->server.weight);
	return 0;
}

/* An entry that takes traffic already stays in: when it is down, HAProxy itself keeps requests away and lets them in
 * when it recovers. */
int haproxy_admit(struct lb *lb, const struct lb_server *want, const struct haproxy_entry *e, bool was, int64_t gate_ms,
                  struct lb_result *result, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + gate_ms;
	const bool serving = was && (e->server.state == LB_UP || e->server.state == LB_DOWN);

	const int weighed = weigh(lb, want, e, result, err);
	if (weighed < 0)
		return -1;
	result->already = serving && !weighed;
	if (serving && e->server.state == LB_UP)
		return 0;
	/* Without a check of HAProxy's own. */
	if (!serving && !e->checked && lb_probe(lb->peer.conf, lb->peer.tasks, e->backend, want, gate_ms, err) < 0)
		return err->code == ERR_UNAVAILABLE ? 1 : -1;
	if (!serving && e->checked &&
	    start_checks(lb, e->backend, e->real, was || strcmp(e->real, want->name) != 0, err) < 0)
		return -1;
	const int rc = gate(lb, want, e, deadline, err);
	if (rc == 0)
		return serving ? 0 : let_in(lb, e, err);
	if (rc == 1)
		not_healthy(lb, want, e, gate_ms, err);
	return rc == 1 && serving ? -1 : rc;
}

/* Where the balance rule takes no server at run time: into a slot, or the error of `add`. */
static int into_slot(struct lb *lb, const char *backend, const struct lb_server *want, struct haproxy_entry *e,
                     struct err *err)
{
	struct haproxy_change change = {.what = HAPROXY_SLOT, .backend = backend, .up = want};
	struct err why = {0};
	bool others;

	if (!lb->peer.conf->config)
		return -1;
	if (haproxy_change(lb, &change, &why) < 0) {
		if (why.code != ERR_NOT_FOUND) /* there are no slots: what `add` said */
			*err = why;
		return -1;
	}
	const int rc = find_real(lb, backend, change.slot, e, &others, err);
	if (rc < 0)
		return -1;
	if (rc == 0 || !lb_same_place(&e->server, want))
		return err_set(err, ERR_CONFLICT, "lb %s: backend %s: somebody else changed %s meanwhile", lb->peer.conf->name,
		               backend, change.slot);
	(void)snprintf(e->server.name, sizeof e->server.name, "%s", want->name);
	return 0;
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
		if (rc == 1 && haproxy_take_out(lb, e, wait_ms, &result->forced, err) < 0)
			return -1;
		rc = add(lb, backend, want, err);
		if (rc < 0 && err->code == ERR_REFUSED)
			return into_slot(lb, backend, want, e, err);
		if (rc < 0)
			return -1;
		if (rc == 0) {
			*e = (struct haproxy_entry){.server = *want, .checked = !lb->unchecked};
			(void)snprintf(e->backend, sizeof e->backend, "%s", backend);
			(void)snprintf(e->real, sizeof e->real, "%s", want->name);
			return 0;
		}
	}
	return err_set(err, ERR_CONFLICT, "lb %s: backend %s: somebody else keeps changing server %s", lb->peer.conf->name,
	               backend, want->name);
}
