/* as-inspect: what runs for a service on every host, and everything a `docker run` of it needs. Adds `observed`.
 * See as-inspect(1). */
#include "base/clock.h"
#include "base/exit.h"
#include "cmd/front/front.h"
#include "engine/hosts.h"
#include "store/store.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define PROBE_MS 300 /* all readiness probes of one service together */

static bool all, full, remember;

static const struct option_row options[] = {
	{'a', "all", OPTION_FLAG, NULL, &all,
     "one record for every service that joined by a label, a variable or a policy"},
	{0, "full", OPTION_FLAG, NULL, &full, "add template.create, the create request with the environment's values"},
	{0, "remember", OPTION_FLAG, NULL, &remember, "keep the specification of each original in the store"},
	{0},
};
static const struct command command = {"as-inspect", "show what runs for a service on every host", "[SERVICE ...]",
                                       options};

/* What every host listed, kept for the records of one pass (they have one `now`). */
struct listing {
	bool ok;
	char message[300];
	json_t *list;                           /* the engine's */
	char (*services)[SERVICE_NAME_MAX + 1]; /* of each entry; "" none */
	bool *joined;                           /* of each entry: it asked to be scaled */
};

struct inspect {
	struct front f;
	struct engine_hosts hosts;
	struct listing *listings; /* one per host */
	char now[CLOCK_TEXT];     /* that they belong to */
	json_t *variables;        /* container id -> {service, joined}: the environment never changes */
	struct store *store;
	char last[SERVICE_NAME_MAX + 1]; /* the service looked at last in this pass, */
	struct buf observed;             /* and what was seen */
};

/* One container of the service in hand. */
struct found {
	json_t *doc;
	const char *host;
	bool copy;
	int64_t created;
};

#define FOUND_MAX REPLICAS_MAX

/* ---- which containers belong to which service ---- */

static bool has_prefix(const char *s, const char *prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }

static bool label_joins(const json_t *labels)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)labels, name, value)
		if (has_prefix(name, "autoscale."))
			return true;
	return false;
}

static bool variable_joins(const json_t *doc)
{
	const json_t *env = json_object_get(json_object_get(doc, "Config"), "Env");
	size_t i;
	json_t *value;

	json_array_foreach(env, i, value)
		if (json_is_string(value) && has_prefix(json_string_value(value), "AUTOSCALE_"))
			return true;
	return false;
}

/* Only the inspect document shows variables; asked once per container. Borrowed: {"service":..,"joined":..}. */
static const json_t *ask_variables(struct inspect *in, struct engine_host *h, const char *id)
{
	json_t *known = json_object_get(in->variables, id), *doc = NULL;
	char service[SERVICE_NAME_MAX + 1] = "";
	struct err gone = {0};

	if (known)
		return known;
	if (h->driver->inspect(h->engine, id, &doc, &gone) < 0)
		return NULL;
	if (!container_service(doc, service, sizeof service))
		service[0] = '\0';
	known = json_pack("{s:s,s:b}", "service", service, "joined", variable_joins(doc));
	json_decref(doc);
	if (!known || json_object_set_new(in->variables, id, known) < 0)
		return NULL;
	return known;
}

static void classify(struct inspect *in, struct engine_host *h, const json_t *entry, char service[], bool *joined)
{
	const json_t *labels = json_object_get(entry, "Labels");
	const char *id = json_string_value(json_object_get(entry, "Id"));
	json_t *as_doc = json_pack("{s:{s:O?}}", "Config", "Labels", labels);

	service[0] = '\0';
	*joined = label_joins(labels);
	const bool by_label = as_doc && container_service(as_doc, service, SERVICE_NAME_MAX + 1);
	json_decref(as_doc);
	if ((by_label && *joined) || !id)
		return;
	const json_t *more = ask_variables(in, h, id);
	if (!by_label)
		(void)snprintf(service, SERVICE_NAME_MAX + 1, "%s",
		               more ? json_string_value(json_object_get(more, "service")) : "");
	*joined = *joined || json_is_true(json_object_get(more, "joined"));
}

static void drop_listing(struct listing *l)
{
	json_decref(l->list);
	free(l->services);
	free(l->joined);
	*l = (struct listing){0};
}

static void list_host(struct inspect *in, size_t i)
{
	struct listing *l = &in->listings[i];
	struct err why = {0};
	struct engine_host *h = engine_hosts_get(&in->hosts, in->f.conf.hosts[i].name, &why);

	drop_listing(l);
	if (!h || h->driver->list(h->engine, NULL, &l->list, &why) < 0) {
		(void)snprintf(l->message, sizeof l->message, "%.290s", why.message);
		if (in->f.conf.nhosts > 1) /* with one host the record's error says it */
			front_warn(&in->f, "%s: left out", l->message);
		return;
	}
	const size_t n = json_array_size(l->list);
	l->services = calloc(n + 1, sizeof *l->services);
	l->joined = calloc(n + 1, sizeof *l->joined);
	if (!l->services || !l->joined) {
		(void)snprintf(l->message, sizeof l->message, "out of memory");
		return;
	}
	for (size_t k = 0; k < n; k++)
		classify(in, h, json_array_get(l->list, k), l->services[k], &l->joined[k]);
	l->ok = true;
}

/* A storm of alerts fetched together is looked at once. */
static void list_hosts(struct inspect *in, const char *now)
{
	if (*now && strcmp(now, in->now) == 0)
		return;
	for (size_t i = 0; i < in->f.conf.nhosts; i++)
		list_host(in, i);
	(void)snprintf(in->now, sizeof in->now, "%s", now);
	in->last[0] = '\0';
}

/* ---- one service ---- */

static int add_found(struct inspect *in, size_t host, const char *id, struct found *v, size_t *n, struct err *err)
{
	struct engine_host *h = engine_hosts_get(&in->hosts, in->f.conf.hosts[host].name, err);
	json_t *doc = NULL;

	if (!h)
		return -1;
	if (h->driver->inspect(h->engine, id, &doc, err) < 0)
		return err->code == ERR_NOT_FOUND ? 0 : -1; /* it went between the list and now */
	if (*n == FOUND_MAX) {
		json_decref(doc);
		return err_set(err, ERR_LIMIT, "more than %d containers", FOUND_MAX);
	}
	const json_t *labels = json_object_get(json_object_get(doc, "Config"), "Labels");
	const char *created = json_string_value(json_object_get(doc, "Created"));
	struct found *f = &v[(*n)++];
	*f = (struct found){doc, h->host->name, json_object_get(labels, "autoscale.copy-of") != NULL, 0};
	if (created)
		(void)clock_parse(created, &f->created);
	return 0;
}

static int find_containers(struct inspect *in, const char *service, struct found *v, size_t *n, struct err *err)
{
	for (size_t i = 0; i < in->f.conf.nhosts; i++) {
		const struct listing *l = &in->listings[i];
		for (size_t k = 0; l->ok && k < json_array_size(l->list); k++) {
			const char *id = json_string_value(json_object_get(json_array_get(l->list, k), "Id"));
			if (id && strcmp(l->services[k], service) == 0 && add_found(in, i, id, v, n, err) < 0)
				return -1;
		}
	}
	return 0;
}

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
	ready_check(t, n, PROBE_MS);
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

static int need_store(struct inspect *in, struct err *err)
{
	if (!in->store)
		in->store = store_open(in->f.conf.store, err);
	return in->store ? 0 : -1;
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

static int put_template(const struct found *best, const struct remembered *m, struct buf *b, struct err *err)
{
	struct buf spec = BUF_INIT(LINE_MAX_BYTES / 2);
	int bad = 0;

	if (!best && !m->newest.n)
		return 0;
	buf_json_key(b, "template");
	if (best && !full)
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

	if (!bad && remember)
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
	bad = put_template(choose_template(v, t, n), &m, b, err);
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

/* No host answered: then nothing is known, and nothing may be concluded. */
static int some_host(const struct inspect *in, struct err *err)
{
	for (size_t i = 0; i < in->f.conf.nhosts; i++)
		if (in->listings[i].ok)
			return 0;
	return err_set(err, ERR_UNAVAILABLE, "%s", in->listings[0].message);
}

static int look(struct inspect *in, const char *service, struct err *err)
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

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct inspect *in = ctx;
	char service[SERVICE_NAME_MAX + 1], now[CLOCK_TEXT] = "";

	if (record_service(r, service, err) < 0)
		return RECORD_ERROR;
	(void)jv_str(record_get(r, "now"), now, sizeof now);
	list_hosts(in, now);
	if (some_host(in, err) < 0)
		return RECORD_ERROR;
	if (strcmp(service, in->last) != 0 && look(in, service, err) < 0)
		return RECORD_ERROR;
	buf_put(record_edit(r, "observed"), in->observed.p, in->observed.n);
	return RECORD_PRINT;
}

/* ---- --all ---- */

struct matching {
	const char *service;
	bool yes;
};

static int glob_matches(void *ctx, const struct policy_row *row, struct err *err)
{
	struct matching *m = ctx;

	(void)err;
	m->yes = m->yes || fnmatch(row->service, m->service, 0) == 0;
	return 0;
}

/* Joined by a label or variable of one of its containers, or by a policy that names it. */
static int joined(struct inspect *in, const char *service, bool by_itself, bool *yes, struct err *err)
{
	struct matching m = {service, by_itself};

	if (!by_itself && store_policy_each(in->store, service, glob_matches, &m, err) < 0)
		return -1;
	*yes = m.yes;
	return 0;
}

static int note_spec(void *ctx, const struct spec_row *row, struct err *err)
{
	if (json_object_get(ctx, row->service))
		return 0;
	return json_object_set_new(ctx, row->service, json_true()) < 0 ? err_set(err, ERR_TEMPORARY, "out of memory") : 0;
}

static int inspect_all(struct inspect *in, struct err *err)
{
	json_t *services = json_object(); /* name -> joined by itself */
	const char *service;
	json_t *value;
	int bad = services ? need_store(in, err) : err_set(err, ERR_TEMPORARY, "out of memory");

	if (!bad) {
		list_hosts(in, "");
		bad = some_host(in, err);
	}
	for (size_t i = 0; !bad && i < in->f.conf.nhosts; i++) {
		const struct listing *l = &in->listings[i];
		for (size_t k = 0; l->ok && k < json_array_size(l->list); k++)
			if (*l->services[k] && (l->joined[k] || !json_object_get(services, l->services[k])))
				(void)json_object_set_new(services, l->services[k], json_boolean(l->joined[k]));
	}
	if (!bad)
		bad = store_spec_each(in->store, NULL, note_spec, services, err);
	if (bad)
		goto out;
	json_object_foreach(services, service, value) {
		bool yes = false;
		bad = joined(in, service, json_is_true(value), &yes, err);
		if (!bad && yes)
			bad = front_service(&in->f, service, err);
		if (bad)
			break;
	}
out:
	json_decref(services);
	return bad;
}

int main(int argc, char **argv)
{
	static struct inspect in;
	struct err err = {0};
	int done = front_start(&in.f, &command, FRONT_FILTER, argc, argv);
	if (done >= 0 || (done = front_conf(&in.f)) >= 0)
		return done;

	in.listings = calloc(in.f.conf.nhosts, sizeof *in.listings);
	in.variables = json_object();
	in.observed = (struct buf)BUF_INIT(LINE_MAX_BYTES);
	if (!in.listings || !in.variables || engine_hosts_init(&in.hosts, &in.f.conf, &err) < 0) {
		(void)err_set(&err, ERR_TEMPORARY, "out of memory");
		return front_fail(&in.f, &err);
	}
	if (!all) {
		done = front_filter(&in.f, each, &in, false);
	} else {
		int bad = front_open(&in.f, each, &in, false, &err);
		if (!bad)
			bad = inspect_all(&in, &err);
		done = front_close(&in.f, bad, &err);
	}
	store_close(in.store);
	for (size_t i = 0; i < in.f.conf.nhosts; i++)
		drop_listing(&in.listings[i]);
	free(in.listings);
	json_decref(in.variables);
	buf_release(&in.observed);
	engine_hosts_release(&in.hosts);
	conf_release(&in.f.conf);
	return done;
}
