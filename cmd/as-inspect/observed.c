/* The member `observed`: counts, hosts, containers, the template of a copy, what is remembered. */
#include "cmd/as-inspect/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define PROBE_MS 300 /* all readiness probes of one service together */

static const char *label_of(const json_t *doc, const char *name)
{
	return json_string_value(json_object_get(json_object_get(json_object_get(doc, "Config"), "Labels"), name));
}

static void probe(const struct inspect *in, const struct found *v, size_t n, struct ready_target *t)
{
	for (size_t i = 0; i < n; i++) {
		const struct conf_host *h = conf_host(&in->f.conf, v[i].host);
		const char *rule = label_of(v[i].doc, "autoscale.ready");
		t[i] = (struct ready_target){.inspect = v[i].doc,
		                             .rule = rule ? rule : "",
		                             .network = label_of(v[i].doc, "autoscale.lb.network"),
		                             .host_address = h ? h->address : NULL};
	}
	ready_check(in->hosts.tasks, t, n, PROBE_MS);
}

/* The specification to copy: a ready original before a ready copy before what is not ready; the newest of equals. */
static const struct found *choose_template(const struct found *v, const struct ready_target *t, size_t n)
{
	const struct found *best = NULL;
	int best_rank = -1;

	for (size_t i = 0; i < n; i++) {
		const int rank = 2 * t[i].ready + !v[i].copy;
		if (rank > best_rank || (rank == best_rank && v[i].created > best->created)) {
			best = &v[i];
			best_rank = rank;
		}
	}
	return best;
}

static void put_hosts(const struct inspect *in, struct buf *b)
{
	buf_json_key(b, "hosts");
	buf_putc(b, '[');
	for (size_t i = 0; i < in->f.conf.nhosts; i++) {
		buf_json_comma(b);
		buf_putc(b, '{');
		buf_json_member_str(b, "name", in->f.conf.hosts[i].name);
		buf_json_member_bool(b, "ok", in->listings[i].ok);
		buf_json_member_str(b, "message", in->listings[i].ok ? "" : in->listings[i].message);
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

static bool state_is(const json_t *doc, const char *state)
{
	const char *s = json_string_value(json_object_get(json_object_get(doc, "State"), "Status"));

	return s && strcmp(s, state) == 0;
}

static void put_counts(const struct found *v, const struct ready_target *t, size_t n, int64_t missing, struct buf *b)
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
	buf_json_member_int(b, "missing", missing);
	buf_json_member_int(b, "draining", 0);
}

/* ---- remembered specifications ---- */

struct remembered {
	struct buf *list;
	const struct found *v;
	size_t n;
	int64_t missing;
	struct buf newest; /* the template kept with the newest missing one */
};

static const char *name_of(const json_t *doc)
{
	const char *name = json_string_value(json_object_get(doc, "Name"));

	return name && *name == '/' ? name + 1 : name ? name : "";
}

static int put_remembered(void *ctx, const struct spec_row *row, struct err *err)
{
	struct remembered *m = ctx;
	bool missing = true;

	for (size_t i = 0; i < m->n; i++)
		missing = missing && strcmp(name_of(m->v[i].doc), row->name) != 0;
	buf_json_comma(m->list);
	buf_putc(m->list, '{');
	buf_json_member_str(m->list, "name", row->name);
	buf_json_member_str(m->list, "host", row->host);
	buf_json_member_bool(m->list, "missing", missing);
	if (missing) { /* what as-clone makes it anew from: each missing one has its own */
		buf_json_key(m->list, "template");
		buf_puts(m->list, row->spec);
	}
	buf_putc(m->list, '}');
	m->missing += missing;
	if (missing) {
		buf_reset(&m->newest);
		buf_puts(&m->newest, row->spec);
	}
	return buf_ok(m->list, err);
}

/* What a recreation of this container needs, as its template with the create request. */
static int spec_of(const struct found *v, struct buf *out, struct err *err)
{
	const struct copy_options o = {.name = name_of(v->doc),
	                               .index = -1,
	                               .recreate = true,
	                               .privileged_allowed = true,
	                               .image_id = json_string_value(json_object_get(v->doc, "Image"))};
	struct copy_request request = {0};

	if (copy_make(v->doc, &o, &request, err) < 0)
		return -1;
	if (json_array_size(request.connect) && json_object_set(request.create, "connect", request.connect) < 0)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	template_json(out, v->doc, v->host, request.create);
	copy_release(&request);
	return buf_ok(out, err);
}

/* One that somebody else looks after, a swarm's task for instance, cannot be made again by us: it is left out. */
static int remember_specs(struct inspect *in, const char *service, const struct found *v, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct buf spec = BUF_INIT(LINE_MAX_BYTES / 2);
		struct err why = {0};
		int bad = 0;
		if (v[i].copy)
			continue;
		if (spec_of(&v[i], &spec, &why) < 0) {
			front_warn(&in->f, "not remembered: %s", why.message);
		} else {
			bad = store_spec_put(in->store, service, name_of(v[i].doc), v[i].host, spec.p, err);
		}
		buf_release(&spec);
		if (bad)
			return -1;
	}
	return 0;
}

/* ---- the record ---- */

static int put_template(const struct inspect *in, const struct found *best, const struct remembered *m, struct buf *b,
                        struct err *err)
{
	struct buf spec = BUF_INIT(LINE_MAX_BYTES / 2);
	int bad = 0;

	if (!best && !m->newest.n)
		return 0;
	buf_json_key(b, "template");
	if (best && !in->full)
		template_json(b, best->doc, best->host, NULL);
	else if (best && !(bad = spec_of(best, &spec, err)))
		buf_put(b, spec.p, spec.n);
	else if (!best)
		buf_put(b, m->newest.p, m->newest.n);
	buf_release(&spec);
	return bad;
}

static int put_observed(struct inspect *in, const char *service, const struct found *v, size_t n, struct buf *b,
                        struct err *err)
{
	struct buf list = BUF_INIT(LINE_MAX_BYTES);
	struct remembered m = {.list = &list, .v = v, .n = n, .newest = BUF_INIT(LINE_MAX_BYTES / 2)};
	struct ready_target *t = calloc(n + 1, sizeof *t);
	int bad = t ? need_store(in, err) : err_set(err, ERR_TEMPORARY, "out of memory");

	if (!bad && in->remember)
		bad = remember_specs(in, service, v, n, err);
	if (!bad)
		bad = store_spec_each(in->store, service, put_remembered, &m, err);
	if (bad)
		goto out;
	probe(in, v, n, t);
	buf_putc(b, '{');
	put_counts(v, t, n, m.missing, b);
	put_hosts(in, b);
	buf_json_key(b, "containers");
	buf_putc(b, '[');
	for (size_t i = 0; i < n; i++) {
		buf_json_comma(b);
		container_json(b, v[i].doc, v[i].host, t[i].ready);
	}
	buf_putc(b, ']');
	bad = put_template(in, choose_template(v, t, n), &m, b, err);
	buf_json_key(b, "remembered");
	buf_putc(b, '[');
	buf_put(b, list.p, list.n);
	buf_puts(b, "]}");
	if (!bad)
		bad = buf_ok(b, err);
out:
	free(t);
	buf_release(&list);
	buf_release(&m.newest);
	return bad;
}

int look_at_service(struct inspect *in, const char *service, struct err *err)
{
	struct found *v = calloc(FOUND_MAX, sizeof *v);
	size_t n = 0;
	int bad = v ? find_containers(in, service, v, &n, err) : err_set(err, ERR_TEMPORARY, "out of memory");

	buf_reset(&in->observed);
	in->last[0] = '\0';
	if (!bad)
		bad = put_observed(in, service, v, n, &in->observed, err);
	if (!bad)
		(void)snprintf(in->last, sizeof in->last, "%s", service);
	while (n)
		json_decref(v[--n].doc);
	free(v);
	return bad;
}
