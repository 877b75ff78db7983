/* The member `observed`: counts, hosts, containers, the template of a copy, what is remembered. */
#include "cmd/as-inspect/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define PROBE_MS 300 /* all readiness probes of one service together */

static void probe(const struct inspect *in, const struct found *v, size_t n, struct ready_target *t)
{
	for (size_t i = 0; i < n; i++) {
		const struct conf_host *h = conf_host(&in->f.conf, v[i].host);
		const char *rule = container_label(v[i].doc, "autoscale.ready");
		t[i] = (struct ready_target){.inspect = v[i].doc,
		                             .rule = rule ? rule : "",
		                             .network = container_label(v[i].doc, "autoscale.lb.network"),
		                             .host_address = h ? h->address : NULL};
	}
	ready_check(in->hosts.tasks, t, n, PROBE_MS);
}

/* The specification to copy. */
static const struct found *choose_template(const struct found *v, const struct ready_target *t, size_t n)
{
	const struct found *best = NULL;
	int best_rank = -1;

	for (size_t i = 0; i < n; i++) {
		const int rank = template_rank(t[i].ready, v[i].copy);
		if (rank > best_rank || (rank == best_rank && v[i].created > best->created)) {
			best = &v[i];
			best_rank = rank;
		}
	}
	return best;
}

/* Where a copy is better put; what is not configured is left out. */
static void put_place(struct buf *b, const struct conf_host *h)
{
	if (h->zone)
		buf_json_member_str(b, "zone", h->zone);
	if (h->cloud)
		buf_json_member_str(b, "cloud", h->cloud);
	if (h->weight != HOST_WEIGHT)
		buf_json_member_int(b, "weight", h->weight);
}

/* Of a host that does not answer: does the store know anything of it? If not, nobody can tell what runs there. */
static int put_hosts(const struct inspect *in, struct buf *b, struct err *err)
{
	bool known;

	buf_json_key(b, "hosts");
	buf_putc(b, '[');
	for (size_t i = 0; i < in->f.conf.nhosts; i++) {
		buf_json_comma(b);
		buf_putc(b, '{');
		buf_json_member_str(b, "name", in->f.conf.hosts[i].name);
		buf_json_member_bool(b, "ok", in->listings[i].ok);
		buf_json_member_str(b, "message", in->listings[i].ok ? "" : in->listings[i].why.message);
		if (in->hosts.v[i].driver && in->hosts.v[i].driver->scale) /* no copy is made there */
			buf_json_member_str(b, "engine", in->hosts.v[i].driver->name);
		put_place(b, &in->f.conf.hosts[i]);
		if (!in->listings[i].ok) {
			if (store_container_host(in->store, in->f.conf.hosts[i].name, &known, err) < 0)
				return -1;
			buf_json_member_bool(b, "known", known);
		}
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
	return 0;
}

static bool state_is(const json_t *doc, const char *state)
{
	const char *s = json_string_value(json_object_get(json_object_get(doc, "State"), "Status"));

	return s && strcmp(s, state) == 0;
}

static void put_counts(const struct found *v, const struct ready_target *t, size_t n, const struct remembered *m,
                       struct buf *b)
{
	int64_t running = 0, ready = 0, stopped = 0;

	for (size_t i = 0; i < n; i++) {
		running += state_is(v[i].doc, "running");
		ready += t[i].ready;
		stopped += state_is(v[i].doc, "exited") || state_is(v[i].doc, "created") || state_is(v[i].doc, "dead");
	}
	buf_json_member_str(b, "count_from", "labels");
	buf_json_member_int(b, "running", running);
	buf_json_member_int(b, "ready", ready);
	buf_json_member_int(b, "starting", running - ready);
	buf_json_member_int(b, "stopped", stopped);
	buf_json_member_int(b, "missing", m->missing);
	buf_json_member_int(b, "draining", 0);
	buf_json_member_int(b, "unknown", m->unseen->running);
}

static int put_template(struct inspect *in, const struct found *best, const struct remembered *m, struct buf *b,
                        struct err *err)
{
	struct buf spec = BUF_INIT(LINE_MAX_BYTES / 2);
	int bad = 0;

	if (!best && !m->newest.n)
		return 0;
	buf_json_key(b, "template");
	if (best && (!in->full || best->service))
		template_json(b, best->doc, best->host, NULL);
	else if (best && !(bad = spec_of(in, best, &spec, err)))
		buf_put(b, spec.p, spec.n);
	else if (!best)
		buf_put(b, m->newest.p, m->newest.n);
	buf_release(&spec);
	return bad;
}

/* kept: what an engine keeps of the service, or NULL. */
static int put_observed(struct inspect *in, const char *service, const struct found *v, size_t n,
                        const struct found *kept, struct buf *b, struct err *err)
{
	struct unseen u;
	struct remembered m;
	struct ready_target *t = calloc(n + 1, sizeof *t);
	int bad = t ? need_store(in, err) : err_set(err, ERR_TEMPORARY, "out of memory");

	init_unseen(&u);
	init_remembered(&m, in, v, n, &u);
	if (!bad)
		note_containers(in, service, v, n);
	if (!bad && in->remember)
		bad = remember_specs(in, service, v, n, err);
	if (bad || (bad = read_unseen(in, service, &u, err)) || (bad = read_remembered(&m, service, err)))
		goto out;
	probe(in, v, n, t);
	buf_putc(b, '{');
	put_counts(v, t, n, &m, b);
	bad = put_hosts(in, b, err);
	buf_json_key(b, "containers");
	buf_putc(b, '[');
	for (size_t i = 0; i < n; i++) {
		buf_json_comma(b);
		container_json(b, v[i].doc, v[i].host, t[i].ready);
	}
	if (u.containers.n) {
		buf_json_comma(b);
		buf_put(b, u.containers.p, u.containers.n);
	}
	buf_putc(b, ']');
	if (!bad)
		bad = put_template(in, kept ? kept : choose_template(v, t, n), &m, b, err);
	buf_json_key(b, "remembered");
	buf_putc(b, '[');
	buf_put(b, m.list.p, m.list.n);
	buf_puts(b, "]}");
	if (!bad)
		bad = buf_ok(b, err);
out:
	free(t);
	release_remembered(&m);
	release_unseen(&u);
	return bad;
}

/* Puts what is no container behind the containers. Gives how many these are. */
static size_t part(struct found *v, size_t n)
{
	size_t containers = 0;

	for (size_t i = 0; i < n; i++) {
		const struct found one = v[i];
		if (one.service)
			continue;
		v[i] = v[containers];
		v[containers++] = one;
	}
	return containers;
}

int look_at_service(struct inspect *in, const char *service, struct err *err)
{
	struct found *v = calloc(FOUND_MAX, sizeof *v);
	size_t n = 0;
	int bad = v ? find_containers(in, service, v, &n, err) : err_set(err, ERR_TEMPORARY, "out of memory");

	buf_reset(&in->observed);
	in->last[0] = '\0';
	if (!bad) {
		const size_t containers = part(v, n);
		bad = put_observed(in, service, v, containers, containers < n ? &v[containers] : NULL, &in->observed, err);
	}
	if (!bad)
		(void)snprintf(in->last, sizeof in->last, "%s", service);
	while (n)
		json_decref(v[--n].doc);
	free(v);
	return bad;
}
