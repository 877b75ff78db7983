/* as-lb-update: makes the load balancers' entries of a service what they should be: attaches what is ready, takes out
 * what is gone; with --drain only sends no new work to what the plan is about to remove. See as-lb-update(1). */
#include "base/clock.h"
#include "cmd/front/front.h"
#include "cmd/front/steps.h"
#include "lb/lb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static bool drain_only;

static const struct option_row options[] = {
	{0, "drain", OPTION_FLAG, NULL, &drain_only, "only drain what the plan is about to remove, and wait for it"},
	{0},
};
static const struct command command = {
	"as-lb-update", "attach, drain and detach a service's entries at its load balancers", "", options};

struct balancer {
	const struct conf_lb *conf;
	const struct lb_driver *driver;
	struct lb *lb;
};

/* When this process last changed the entries of a service: what a record saw before that is no longer true. */
struct handled {
	char service[SERVICE_NAME_MAX + 1];
	int64_t at;
	struct handled *next;
};

struct update {
	struct front f;
	struct balancer *balancers; /* one per configured load balancer, opened at first use */
	struct handled *handled;
};

/* One record's work. */
struct job {
	struct update *u;
	struct record *r;
	struct balancer *b;
	char service[SERVICE_NAME_MAX + 1], backend[LB_NAME], network[64];
	int64_t port, weight, drain_ms, gate_ms;
	bool dry, heal;
	bool failed; /* err holds the first failure */
	struct err *err;
};

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
		if (strcmp(is->address, s->address) != 0 || is->port != s->port || is->state != LB_UP)
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

static void take_out_removed(struct job *j)
{
	struct jv_cursor c = jv_each(steps_todo(j->r, "remove"));
	struct jv_member m;
	char id[128], name[LB_NAME];

	while (jv_next(&c, &m)) {
		steps_text(m.value, "id", id, sizeof id);
		if (!lb_server_name(id, name))
			continue;
		if (drain_only)
			drain(j, name);
		else
			detach(j, name);
	}
}

static void make_right(struct job *j)
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

static int open_balancer(struct job *j, const char *name, struct err *err)
{
	const struct conf_lb *conf = conf_lb(&j->u->f.conf, name);

	if (!conf)
		return err_set(err, ERR_CONFIG, "load balancer \"%s\" is not configured: add a [lb \"%s\"] section", name,
		               name);
	j->b = &j->u->balancers[conf - j->u->f.conf.lbs];
	j->b->conf = conf;
	if (!j->b->driver && !(j->b->driver = lb_driver(conf, err)))
		return -1;
	if (!j->b->lb && !(j->b->lb = j->b->driver->open(conf, err)))
		return -1;
	return 0;
}

/* ---- one record ---- */

/* A record that looked before this process changed the service says nothing about now: several records of one
 * stream, fetched together, were inspected together. */
static bool looked_after_us(struct update *u, const char *service, const struct record *r)
{
	int64_t now;
	struct err unused;

	if (record_now(r, &now, &unused) < 0)
		return true;
	for (const struct handled *h = u->handled; h; h = h->next)
		if (strcmp(h->service, service) == 0)
			return now > h->at;
	return true;
}

static void note_handled(struct update *u, const char *service)
{
	struct handled *h = u->handled;

	while (h && strcmp(h->service, service) != 0)
		h = h->next;
	if (!h && (h = calloc(1, sizeof *h))) {
		(void)snprintf(h->service, sizeof h->service, "%s", service);
		h->next = u->handled;
		u->handled = h;
	}
	if (h)
		h->at = clock_now_ms();
}

static void read_policy(struct job *j)
{
	const struct jv policy = record_get(j->r, "policy");

	steps_text(policy, "lb_backend", j->backend, sizeof j->backend);
	if (!*j->backend)
		(void)snprintf(j->backend, sizeof j->backend, "%s", j->service);
	steps_text(policy, "lb_network", j->network, sizeof j->network);
	j->port = jv_int_or(jv_get(policy, "lb_port"), 0);
	j->weight = jv_int_or(jv_get(policy, "lb_weight"), 100);
	j->drain_ms = steps_policy_ms(j->r, "drain", 30000);
	j->gate_ms = steps_policy_ms(j->r, "ready_timeout", 60000);
	j->dry = steps_dry(&j->u->f, j->r);
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct update *u = ctx;
	struct job j = {.u = u, .r = r, .err = err};
	const struct jv state = jv_get(record_get(r, "intent"), "state");
	char names[1024], *rest = names;

	if (record_service(r, j.service, err) < 0)
		return RECORD_ERROR;
	steps_text(record_get(r, "policy"), "lb", names, sizeof names);
	if (!*names || jv_is(state, "deferred") || jv_is(state, "finished"))
		return RECORD_PRINT;
	read_policy(&j);
	j.heal = !drain_only && looked_after_us(u, j.service, r);
	if ((drain_only && !jv_count(steps_todo(r, "remove"))) ||
	    (!j.heal && !jv_count(steps_todo(r, "remove")) && !jv_count(record_get(r, "steps"))))
		return RECORD_PRINT;
	while (*rest) {
		char *name = rest;
		rest += strcspn(rest, ",");
		if (*rest)
			*rest++ = '\0';
		struct err why = {0};
		if (open_balancer(&j, name, &why) < 0) {
			if (!j.failed)
				*err = why;
			j.failed = true;
		} else if (drain_only) {
			take_out_removed(&j);
		} else {
			make_right(&j);
		}
	}
	if (!j.dry && !drain_only)
		note_handled(u, j.service);
	return j.failed ? RECORD_ERROR : RECORD_PRINT;
}

int main(int argc, char **argv)
{
	static struct update u;
	int done = front_start(&u.f, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_conf(&u.f)) >= 0)
		return done;

	u.balancers = calloc(u.f.conf.nlbs + 1, sizeof *u.balancers);
	if (!u.balancers) {
		const struct err err = {.code = ERR_TEMPORARY, .message = "out of memory"};
		return front_fail(&u.f, &err);
	}
	done = front_filter(&u.f, each, &u, false);
	for (size_t i = 0; i < u.f.conf.nlbs; i++)
		if (u.balancers[i].lb)
			u.balancers[i].driver->close(u.balancers[i].lb);
	free(u.balancers);
	for (struct handled *h = u.handled, *next; h; h = next) {
		next = h->next;
		free(h);
	}
	conf_release(&u.f.conf);
	return done;
}
