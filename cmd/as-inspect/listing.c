/* Which containers there are on every host, and which service each belongs to. */
#include "cmd/as-inspect/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

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
	const bool joined = container_joins(doc, in->conventions, service, sizeof service);
	known = json_pack("{s:s,s:b}", "service", service, "joined", joined);
	json_decref(doc);
	if (!known || json_object_set_new(in->variables, id, known) < 0)
		return NULL;
	return known;
}

static void classify(struct inspect *in, struct engine_host *h, const json_t *entry, char service[], bool *joined)
{
	const char *id = json_string_value(json_object_get(entry, "Id"));

	if (listed_joins(entry, in->conventions, service, SERVICE_NAME_MAX + 1, joined) || !id)
		return;
	const json_t *more = ask_variables(in, h, id);
	if (!*service)
		(void)snprintf(service, SERVICE_NAME_MAX + 1, "%s",
		               more ? json_string_value(json_object_get(more, "service")) : "");
	*joined = *joined || json_is_true(json_object_get(more, "joined"));
}

void drop_listing(struct listing *l)
{
	json_decref(l->list);
	free(l->services);
	free(l->joined);
	*l = (struct listing){0};
}

/* A task: one host. */
static void list_host(void *ctx, size_t i)
{
	struct inspect *in = ctx;
	struct listing *l = &in->listings[i];

	drop_listing(l);
	struct engine_host *h = engine_hosts_get(&in->hosts, in->f.conf.hosts[i].name, &l->why);
	if (!h || h->driver->list(h->engine, NULL, &l->list, &l->why) < 0) {
		if (in->f.conf.nhosts > 1) /* with one host the record's error says it */
			front_warn(&in->f, "%s: left out", l->why.message);
		return;
	}
	const size_t n = json_array_size(l->list);
	l->services = calloc(n + 1, sizeof *l->services);
	l->joined = calloc(n + 1, sizeof *l->joined);
	if (!l->services || !l->joined) {
		(void)err_set(&l->why, ERR_TEMPORARY, "out of memory");
		return;
	}
	for (size_t k = 0; k < n; k++)
		classify(in, h, json_array_get(l->list, k), l->services[k], &l->joined[k]);
	l->ok = true;
}

/* No host answered: then nothing is known, and nothing may be concluded. One that may answer later goes before one that
 * is set up wrongly. */
static int some_host(const struct inspect *in, struct err *err)
{
	const struct listing *worst = &in->listings[0];

	for (size_t i = 0; i < in->f.conf.nhosts; i++) {
		const struct listing *l = &in->listings[i];
		if (l->ok)
			return 0;
		if (l->why.retry && !worst->why.retry)
			worst = l;
	}
	*err = worst->why;
	return -1;
}

/* A storm of alerts fetched together is looked at once. */
int list_hosts(struct inspect *in, const char *now, struct err *err)
{
	if (*now && strcmp(now, in->now) == 0)
		return some_host(in, err);
	if (tasks_run(in->hosts.tasks, in->f.conf.nhosts, list_host, in, err) < 0)
		return -1;
	(void)snprintf(in->now, sizeof in->now, "%s", now);
	in->last[0] = '\0';
	return some_host(in, err);
}

/* One container that is to be looked at, and what became of it. */
struct look {
	size_t host;
	const char *id;
	json_t *doc; /* NULL: it went between the list and now */
	struct err err;
};

struct looks {
	struct inspect *in;
	struct look *v;
	size_t n;
};

static void run_look(void *ctx, size_t i)
{
	struct looks *looks = ctx;
	struct look *l = &looks->v[i];
	struct engine_host *h = engine_hosts_get(&looks->in->hosts, looks->in->f.conf.hosts[l->host].name, &l->err);

	if (h && h->driver->inspect(h->engine, l->id, &l->doc, &l->err) < 0 && l->err.code == ERR_NOT_FOUND)
		l->err.code = ERR_NONE;
}

static bool keeps_services(const struct inspect *in, size_t host)
{
	return in->hosts.v[host].driver && in->hosts.v[host].driver->scale;
}

/* seen: the ids that are collected already. */
static int collect_host(struct inspect *in, size_t host, const char *service, json_t *seen, struct looks *looks,
                        struct err *err)
{
	const struct listing *l = &in->listings[host];

	for (size_t k = 0; l->ok && k < json_array_size(l->list); k++) {
		const json_t *entry = json_array_get(l->list, k);
		const char *id = json_string_value(json_object_get(entry, "Id"));
		if (!id || strcmp(l->services[k], service) != 0 || json_object_get(seen, id) || listed_ended_task(entry))
			continue;
		if (looks->n == FOUND_MAX)
			return err_set(err, ERR_LIMIT, "more than %d containers", FOUND_MAX);
		if (json_object_set_new(seen, id, json_true()) < 0)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		looks->v[looks->n++] = (struct look){.host = host, .id = id};
	}
	return 0;
}

/* A container counts once, also when two managers of a swarm tell of it, or the engine of a node does besides. */
static int collect(struct inspect *in, const char *service, struct looks *looks, struct err *err)
{
	json_t *seen = json_object();
	int bad = seen ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");

	for (size_t i = 0; !bad && i < in->f.conf.nhosts; i++)
		if (keeps_services(in, i))
			bad = collect_host(in, i, service, seen, looks, err);
	for (size_t i = 0; !bad && i < in->f.conf.nhosts; i++)
		if (!keeps_services(in, i))
			bad = collect_host(in, i, service, seen, looks, err);
	json_decref(seen);
	return bad;
}

static void add_found(const struct inspect *in, struct look *l, struct found *v, size_t *n)
{
	const json_t *labels = json_object_get(json_object_get(l->doc, "Config"), "Labels");
	const char *created = json_string_value(json_object_get(l->doc, "Created"));
	struct found *f = &v[(*n)++];

	*f = (struct found){.doc = l->doc,
	                    .host = in->f.conf.hosts[l->host].name,
	                    .copy = json_object_get(labels, "autoscale.copy-of") != NULL,
	                    .service = json_is_object(json_object_get(l->doc, "Service"))};
	l->doc = NULL;
	if (created)
		(void)clock_parse(created, &f->created);
}

int find_containers(struct inspect *in, const char *service, struct found *v, size_t *n, struct err *err)
{
	struct looks looks = {.in = in, .v = calloc(FOUND_MAX, sizeof *looks.v)};
	int bad = looks.v ? collect(in, service, &looks, err) : err_set(err, ERR_TEMPORARY, "out of memory");

	if (!bad)
		bad = tasks_run(in->hosts.tasks, looks.n, run_look, &looks, err);
	for (size_t i = 0; !bad && i < looks.n; i++) {
		if (looks.v[i].err.code) {
			*err = looks.v[i].err;
			bad = -1;
		} else if (looks.v[i].doc) {
			add_found(in, &looks.v[i], v, n);
		}
	}
	for (size_t i = 0; i < looks.n; i++)
		json_decref(looks.v[i].doc);
	free(looks.v);
	return bad;
}
