/* What the engines and load balancers say, each asked once. */
#include "cmd/as-status/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define PROBE_MS 300 /* all readiness probes of one group */
#define GROUP 64     /* containers probed together: as many sockets */
#define GROUPS 6     /* at a time */

/* ---- hosts and balancers ---- */

static void look_at_host(struct status *s, size_t i)
{
	struct host *h = &s->host[i];

	json_decref(h->list);
	h->list = NULL;
	h->why.code = ERR_NONE;
	struct engine_host *e = engine_hosts_get(&s->hosts, s->f.conf.hosts[i].name, &h->why);
	h->ok = e && (!e->driver->is_podman || e->driver->is_podman(e->engine, &h->podman, &h->why) == 0) &&
	        e->driver->list(e->engine, NULL, &h->list, &h->why) == 0;
}

static void look_at_balancer(struct status *s, size_t i)
{
	struct balancer *b = &s->balancer[i];

	lb_look_release(&b->look);
	b->why.code = ERR_NONE;
	b->ok = lb_open(&s->f.conf.lbs[i], &s->means, &b->driver, &b->lb, &b->why) == 0 &&
	        b->driver->look(b->lb, &b->look, &b->why) == 0;
}

/* A task. */
static void look_at_one(void *ctx, size_t i)
{
	struct status *s = ctx;

	if (i < s->f.conf.nhosts)
		look_at_host(s, i);
	else
		look_at_balancer(s, i - s->f.conf.nhosts);
}

int look_at_world(struct status *s, struct err *err)
{
	const size_t nhosts = s->f.conf.nhosts, nlbs = s->f.conf.nlbs;

	if (tasks_run(s->hosts.tasks, nhosts + nlbs, look_at_one, s, err) < 0)
		return -1;
	s->nothing = true;
	for (size_t i = 0; i < nhosts; i++) {
		s->nothing = s->nothing && !s->host[i].ok;
		if (!s->host[i].ok && !s->worst.code)
			s->worst = s->host[i].why;
		if (!s->host[i].ok)
			add_note(s, s->host[i].why.message);
	}
	for (size_t i = 0; i < nlbs; i++)
		if (!s->balancer[i].ok)
			add_note(s, s->balancer[i].why.message);
	return 0;
}

/* ---- asking about single containers ---- */

/* One container that is asked about. */
struct question {
	struct status *s;
	size_t host;
	const char *id;
	json_t *doc; /* NULL: it is gone, or its host is */
};

/* A task. */
static void ask_one(void *ctx, size_t i)
{
	struct question *q = &((struct question *)ctx)[i];
	struct err gone = {0};
	struct engine_host *e = engine_hosts_get(&q->s->hosts, q->s->f.conf.hosts[q->host].name, &gone);

	if (e)
		(void)e->driver->inspect(e->engine, q->id, &q->doc, &gone);
}

static int note_variables(struct status *s, const char *id, const json_t *doc, struct err *err)
{
	char service[SERVICE_NAME_MAX + 1];
	const bool joined = container_joins(doc, s->conventions, service, sizeof service);
	const json_t *env = json_object_get(json_object_get(doc, "Config"), "Env");
	json_t *known = json_pack("{s:s, s:b, s:O?}", "service", service, "joined", joined, "env", env);

	return known && json_object_set_new(s->known, id, known) == 0 ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
}

/* Asks all of them; whose document came is told of, and `keep` takes what is to stay. */
static int ask_all(struct status *s, struct question *q, size_t n, struct err *err)
{
	int bad = tasks_run(s->hosts.tasks, n, ask_one, q, err);

	for (size_t i = 0; !bad && i < n; i++)
		if (q[i].doc && !json_object_get(s->known, q[i].id))
			bad = note_variables(s, q[i].id, q[i].doc, err);
	return bad;
}

static const json_t *env_of(const struct status *s, const char *id)
{
	const json_t *env = json_object_get(json_object_get(s->known, id), "env");

	return json_is_array(env) ? env : NULL;
}

int learn_variables(struct status *s, struct replica *const *v, size_t n, struct err *err)
{
	struct question *q = calloc(n + 1, sizeof *q);
	size_t asked = 0;
	int bad = q ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");

	for (size_t i = 0; !bad && i < n; i++) {
		const char *id = json_string_value(json_object_get(v[i]->doc, "Id"));
		if (id && !json_object_get(s->known, id))
			q[asked++] = (struct question){.s = s, .host = v[i]->host, .id = id};
	}
	if (!bad)
		bad = ask_all(s, q, asked, err);
	for (size_t i = 0; !bad && i < n; i++) {
		const char *id = json_string_value(json_object_get(v[i]->doc, "Id"));
		const json_t *env = id ? env_of(s, id) : NULL;
		if (env && json_object_set(json_object_get(v[i]->doc, "Config"), "Env", (json_t *)env) < 0)
			bad = err_set(err, ERR_TEMPORARY, "out of memory");
	}
	for (size_t i = 0; i < asked; i++)
		json_decref(q[i].doc);
	free(q);
	return bad;
}

/* ---- the containers of services ---- */

bool is_asked_for(const struct status *s, const char *service)
{
	for (int i = 0; i < s->f.noperands; i++)
		if (strcmp(s->f.operands[i], service) == 0)
			return true;
	return !s->f.noperands;
}

static bool keeps_services(const struct status *s, size_t host)
{
	return s->hosts.v[host].driver && s->hosts.v[host].driver->scale;
}

/* An entry of a list that may be a service's. */
struct candidate {
	const json_t *entry;
	const char *id;
	size_t host;
	char service[SERVICE_NAME_MAX + 1];
	bool joined, open; /* open: labels alone do not tell */
};

struct candidates {
	struct candidate *v;
	size_t n;
};

/* seen: the ids that are in already: two managers of a swarm, and the engines of its nodes, tell of the same. */
static int gather(struct status *s, bool keepers, json_t *seen, struct candidates *all, struct err *err)
{
	const json_t *entry;
	size_t k;

	for (size_t i = 0; i < s->f.conf.nhosts; i++) {
		if (keeps_services(s, i) != keepers || !s->host[i].ok)
			continue;
		json_array_foreach(s->host[i].list, k, entry) {
			struct candidate c = {.entry = entry, .host = i, .id = json_string_value(json_object_get(entry, "Id"))};
			if (!c.id || json_object_get(seen, c.id) || listed_ended_task(entry))
				continue;
			if (json_object_set_new(seen, c.id, json_true()) < 0)
				return err_set(err, ERR_TEMPORARY, "out of memory");
			c.open = !listed_joins(entry, s->conventions, c.service, sizeof c.service, &c.joined);
			all->v[all->n++] = c;
		}
	}
	return 0;
}

/* Those whose labels do not say it. */
static int ask_services(struct status *s, struct candidates *all, struct err *err)
{
	struct question *q = calloc(all->n + 1, sizeof *q);
	size_t n = 0;
	int bad = q ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");

	for (size_t i = 0; !bad && i < all->n; i++)
		if (all->v[i].open && !json_object_get(s->known, all->v[i].id))
			q[n++] = (struct question){.s = s, .host = all->v[i].host, .id = all->v[i].id};
	if (!bad)
		bad = ask_all(s, q, n, err);
	while (n)
		json_decref(q[--n].doc);
	free(q);
	for (size_t i = 0; !bad && i < all->n; i++) {
		struct candidate *c = &all->v[i];
		const json_t *known = json_object_get(s->known, c->id);
		const char *service = json_string_value(json_object_get(known, "service"));
		if (c->open && !*c->service && service)
			(void)snprintf(c->service, sizeof c->service, "%s", service);
		c->joined = c->joined || json_is_true(json_object_get(known, "joined"));
	}
	return bad;
}

static int add_replica(struct status *s, const struct candidate *c, struct err *err)
{
	const json_t *labels = json_object_get(c->entry, "Labels");
	const bool task = json_object_get(labels, "com.docker.swarm.task.id") != NULL, keeper = keeps_services(s, c->host);
	struct replica *r = &s->replicas[s->nreplicas];

	*r = (struct replica){.host = c->host,
	                      .entry = c->entry,
	                      .doc = listed_container(c->entry, env_of(s, c->id)),
	                      .joined = c->joined,
	                      .kept = keeper && !task,
	                      .copy = keeper || json_object_get(labels, "autoscale.copy-of"),
	                      .created = json_integer_value(json_object_get(c->entry, "Created"))};
	(void)snprintf(r->service, sizeof r->service, "%s", c->service);
	if (!r->doc)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	s->nreplicas++;
	return 0;
}

/* A list does not tell whether it is healthy, or where it listens: these are asked each time. */
static int ask_untold(struct status *s, struct err *err)
{
	struct question *q = calloc(s->nreplicas + 1, sizeof *q);
	struct replica **of = calloc(s->nreplicas + 1, sizeof(struct replica *));
	size_t n = 0;
	int bad = q && of ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");

	for (size_t i = 0; !bad && i < s->nreplicas; i++) {
		struct replica *r = &s->replicas[i];
		const char *id = json_string_value(json_object_get(r->doc, "Id"));
		if (r->kept || keeps_services(s, r->host) || !id || (listed_tells(r->entry) && !s->host[r->host].podman))
			continue;
		of[n] = r;
		q[n++] = (struct question){.s = s, .host = r->host, .id = id};
	}
	if (!bad)
		bad = ask_all(s, q, n, err);
	for (size_t i = 0; i < n; i++) {
		if (!q[i].doc)
			continue;
		json_decref(of[i]->doc);
		of[i]->doc = q[i].doc;
	}
	free(of);
	free(q);
	return bad;
}

/* ---- readiness ---- */

struct probing {
	struct status *s;
	struct ready_target *targets;
	struct tasks_gate gate;
};

/* A task: one group. */
static void probe_group(void *ctx, size_t group)
{
	struct probing *p = ctx;
	const size_t from = group * GROUP, left = p->s->nreplicas - from;

	tasks_enter(p->s->hosts.tasks, &p->gate);
	ready_check(p->s->hosts.tasks, p->targets + from, left < GROUP ? left : GROUP, PROBE_MS);
	tasks_leave(p->s->hosts.tasks, &p->gate);
}

static int probe(struct status *s, struct err *err)
{
	struct probing p = {.s = s, .targets = calloc(s->nreplicas + 1, sizeof *p.targets), .gate = {.width = GROUPS}};

	if (!p.targets)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; i < s->nreplicas; i++) {
		const struct replica *r = &s->replicas[i];
		const char *rule = container_label(r->doc, "autoscale.ready");
		p.targets[i] = (struct ready_target){.inspect = r->doc,
		                                     .rule = rule ? rule : "",
		                                     .network = container_label(r->doc, "autoscale.lb.network"),
		                                     .host_address = s->f.conf.hosts[r->host].address};
	}
	const int bad = tasks_run(s->hosts.tasks, (s->nreplicas + GROUP - 1) / GROUP, probe_group, &p, err);
	for (size_t i = 0; i < s->nreplicas; i++)
		s->replicas[i].ready = p.targets[i].ready && !s->replicas[i].kept;
	free(p.targets);
	return bad;
}

/* By service, then by name, so that web-10 comes after web-9. */
static int by_service(const void *x, const void *y)
{
	const struct replica *a = x, *b = y;
	const int order = strcmp(a->service, b->service);

	return order ? order : strverscmp(container_name(a->doc), container_name(b->doc));
}

int find_replicas(struct status *s, struct err *err)
{
	struct candidates all = {0};
	json_t *seen = json_object();
	size_t room = 1;

	for (size_t i = 0; i < s->f.conf.nhosts; i++)
		room += s->host[i].ok ? json_array_size(s->host[i].list) : 0;
	all.v = calloc(room, sizeof *all.v);
	s->replicas = calloc(room, sizeof *s->replicas);
	int bad = all.v && s->replicas && seen ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
	if (!bad)
		bad = gather(s, true, seen, &all, err) < 0 || gather(s, false, seen, &all, err) < 0 ? -1 : 0;
	if (!bad)
		bad = ask_services(s, &all, err);
	for (size_t i = 0; !bad && i < all.n; i++)
		if (*all.v[i].service && is_asked_for(s, all.v[i].service))
			bad = add_replica(s, &all.v[i], err);
	if (!bad)
		bad = ask_untold(s, err) < 0 || probe(s, err) < 0 ? -1 : 0;
	if (!bad && s->nreplicas)
		qsort(s->replicas, s->nreplicas, sizeof *s->replicas, by_service);
	free(all.v);
	json_decref(seen);
	return bad;
}
