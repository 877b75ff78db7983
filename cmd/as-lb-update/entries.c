/* The entries of one service at one load balancer: where a container is reached, attach, drain, detach. */
#include "cmd/as-lb-update/update.h"

#include "base/clock.h"
#include "cmd/front/steps.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* ---- where a container is reached ---- */

/* The lowest TCP port that the container exposes; 0: none. */
static int64_t exposed_port(struct jv container)
{
	struct jv_cursor c = jv_each(jv_get(container, "ports"));
	struct jv_member m;
	int64_t best = 0;

	while (jv_next(&c, &m)) {
		const int64_t port = jv_int_or(jv_get(m.value, "port"), 0);
		if (jv_is(jv_get(m.value, "protocol"), "tcp") && port > 0 && (!best || port < best))
			best = port;
	}
	return best;
}

static int pick_address(const struct job *j, struct jv container, char out[64], struct err *err)
{
	const struct jv addresses = jv_get(container, "addresses");
	struct jv_cursor c = jv_each(addresses);
	struct jv_member m;
	char host[SERVICE_NAME_MAX + 1];

	if (*j->network) {
		steps_text(addresses, j->network, out, 64);
		return *out ? 0 : err_set(err, ERR_REFUSED, "it is not on network %s (autoscale.lb.network)", j->network);
	}
	const size_t n = jv_count(addresses);
	if (n > 1)
		return err_set(err, ERR_REFUSED, "it is on %zu networks: name one with autoscale.lb.network: %.*s", n,
		               (int)(addresses.n < 200 ? addresses.n : 200), addresses.p);
	if (n == 1 && jv_next(&c, &m) && jv_str(m.value, out, 64) && *out)
		return 0;
	steps_text(container, "host", host, sizeof host); /* the host's network: the host's address */
	const struct conf_host *h = conf_host(&j->u->f.conf, host);
	(void)snprintf(out, 64, "%s", h && h->address ? h->address : "127.0.0.1");
	return 0;
}

static int server_of(const struct job *j, struct jv container, struct lb_server *s, struct err *err)
{
	char id[128], name[256], address[64];
	const int64_t port = j->port ? j->port : exposed_port(container);

	steps_text(container, "id", id, sizeof id);
	steps_text(container, "name", name, sizeof name);
	*s = (struct lb_server){.port = (unsigned)port, .weight = (unsigned)j->weight, .sessions = -1};
	if (!lb_server_name(id, s->name))
		return err_set(err, ERR_INPUT, "%s has no usable id", name);
	if (!port)
		return err_set(err, ERR_REFUSED, "%s exposes no TCP port: set autoscale.lb.port", name);
	if (pick_address(j, container, address, err) < 0)
		return err_prefix(err, "%s", name);
	if (!lb_safe_address(address, s->address))
		return err_set(err, ERR_REFUSED, "%s has no IP address but \"%s\"", name, address);
	return 0;
}

/* ---- one entry ---- */

static void put_entry(struct job *j, const char *what, const struct lb_server *s, int64_t ms, const struct err *why,
                      const char *message)
{
	struct buf b = BUF_INIT(8192);
	char address[LB_ADDRESS + 8] = "";

	if (*s->address)
		(void)snprintf(address, sizeof address, "%s:%u", s->address, s->port);
	buf_putc(&b, '{');
	buf_json_member_str(&b, "lb", j->b->conf->name);
	buf_json_member_str(&b, "driver", j->b->driver ? j->b->driver->name : NULL);
	buf_json_member_str(&b, "do", what);
	buf_json_member_str(&b, "backend", j->backend);
	buf_json_member_str(&b, "server", *s->name ? s->name : NULL);
	buf_json_member_str(&b, "address", *address ? address : NULL);
	buf_json_member_bool(&b, "ok", why == NULL);
	buf_json_member_int(&b, "ms", ms);
	buf_json_member_str(&b, "message", why ? why->message : message);
	if (j->dry)
		buf_json_member_bool(&b, "dry", true);
	buf_putc(&b, '}');
	record_append(j->r, "lb", &b);
	buf_release(&b);
	if (why && !j->failed) {
		*j->err = *why;
		j->failed = true;
	}
}

static const char *told(const struct lb_result *result)
{
	return result->already ? "already" : result->forced ? "forced" : result->note;
}

static void attach(struct job *j, const struct lb_server *s, const struct lb_list *now)
{
	const int64_t began = clock_monotonic_ms();
	struct lb_result result = {0};
	struct err why = {0};
	char message[160];

	for (size_t i = 0; i < now->n; i++) {
		const struct lb_server *is = &now->v[i];
		/* One of ours by another name was a container's that is gone, and whose address this one got. */
		if (strcmp(is->address, s->address) != 0 || is->port != s->port || is->state != LB_UP ||
		    (is->ours && strcmp(is->name, s->name) != 0))
			continue;
		(void)snprintf(message, sizeof message, strcmp(is->name, s->name) == 0 ? "already" : "already, as %s",
		               is->name);
		put_entry(j, "attach", s, 0, NULL, message);
		return;
	}
	const int bad = j->dry ? 0 : j->b->driver->attach(j->b->lb, j->backend, s, j->gate_ms, &result, &why);
	put_entry(j, "attach", s, clock_monotonic_ms() - began, bad ? &why : NULL, told(&result));
}

static void detach(struct job *j, const char *name)
{
	const int64_t began = clock_monotonic_ms();
	struct lb_server s = {.name = ""};
	struct lb_result result = {0};
	struct err why = {0};

	(void)snprintf(s.name, sizeof s.name, "%s", name);
	const int bad = j->dry ? 0 : j->b->driver->detach(j->b->lb, j->backend, name, j->drain_ms, &result, &why);
	put_entry(j, "detach", &s, clock_monotonic_ms() - began, bad ? &why : NULL, told(&result));
}

static void drain(struct job *j, const char *name)
{
	const int64_t began = clock_monotonic_ms();
	struct lb_server s = {.name = ""};
	struct lb_result result = {0};
	struct err why = {0};

	(void)snprintf(s.name, sizeof s.name, "%s", name);
	const int bad = j->dry ? 0 : j->b->driver->drain(j->b->lb, j->backend, name, j->drain_ms, &result, &why);
	put_entry(j, "drain", &s, clock_monotonic_ms() - began, bad ? &why : NULL, told(&result));
}

/* ---- one load balancer of one record ---- */

static bool in_plan_remove(const struct job *j, const char *id)
{
	struct jv_cursor c = jv_each(steps_todo(j->r, "remove"));
	struct jv_member m;

	while (jv_next(&c, &m))
		if (jv_is(jv_get(m.value, "id"), id))
			return true;
	return false;
}

static void attach_container(struct job *j, struct jv container, const struct lb_list *now)
{
	struct lb_server s = {.name = ""};
	struct err why = {0};
	char id[128];

	steps_text(container, "id", id, sizeof id);
	if (!jv_is_true(jv_get(container, "ready")) || in_plan_remove(j, id))
		return;
	if (server_of(j, container, &s, &why) < 0)
		put_entry(j, "attach", &s, 0, &why, "");
	else
		attach(j, &s, now);
}

/* Is it an entry of a container that this record saw running, or that a stage before brought up? */
static bool entry_lives(const struct job *j, const char *entry)
{
	const struct jv lists[] = {jv_get(record_get(j->r, "observed"), "containers"), record_get(j->r, "steps")};
	char id[128], name[LB_NAME];

	for (int i = 0; i < 2; i++) {
		struct jv_cursor c = jv_each(lists[i]);
		struct jv_member m;
		while (jv_next(&c, &m)) {
			const struct jv container = i ? jv_get(m.value, "container") : m.value;
			steps_text(container, "id", id, sizeof id);
			if (jv_is(jv_get(container, "state"), "running") && lb_server_name(id, name) && strcmp(name, entry) == 0)
				return true;
		}
	}
	return false;
}

static bool blind(const struct record *r)
{
	struct jv_cursor c = jv_each(jv_get(record_get(r, "observed"), "hosts"));
	struct jv_member m;

	while (jv_next(&c, &m))
		if (!jv_is_true(jv_get(m.value, "ok")))
			return true;
	return false;
}

void take_out_removed(struct job *j)
{
	struct jv_cursor c = jv_each(steps_todo(j->r, "remove"));
	struct jv_member m;
	char id[128], name[LB_NAME];

	while (jv_next(&c, &m)) {
		steps_text(m.value, "id", id, sizeof id);
		if (!lb_server_name(id, name))
			continue;
		if (j->drain_only)
			drain(j, name);
		else
			detach(j, name);
	}
}

void make_right(struct job *j)
{
	struct lb_list now = {0};
	struct err why = {0};
	struct jv_member m;

	take_out_removed(j);
	if (j->b->driver->list(j->b->lb, j->backend, &now, &why) < 0) {
		put_entry(j, "list", &(struct lb_server){.name = ""}, 0, &why, "");
		return;
	}
	struct jv_cursor c = jv_each(jv_get(record_get(j->r, "observed"), "containers"));
	while (j->heal && jv_next(&c, &m))
		attach_container(j, m.value, &now);
	c = jv_each(record_get(j->r, "steps"));
	while (jv_next(&c, &m))
		attach_container(j, jv_get(m.value, "container"), &now);
	for (size_t i = 0; j->heal && !blind(j->r) && i < now.n; i++)
		if (now.v[i].ours && !entry_lives(j, now.v[i].name))
			detach(j, now.v[i].name);
	lb_list_release(&now);
}
