/* Remembered specifications: which of them are missing, and which of those went because somebody wanted it so. */
#include "cmd/as-inspect/inspect.h"

#include "base/jv.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define PROJECT "com.docker.compose.project"
#define COMPOSE_DOWN "compose down"

/* ---- keeping ---- */

/* What a recreation of this container needs, as its template with the create request. */
int spec_of(struct inspect *in, const struct found *v, struct buf *out, struct err *err)
{
	struct engine_host *h = engine_hosts_get(&in->hosts, v->host, err);
	const struct copy_options o = {.name = name_of(v->doc),
	                               .index = -1,
	                               .recreate = true,
	                               .privileged_allowed = true,
	                               .image_id = json_string_value(json_object_get(v->doc, "Image"))};
	struct copy_request request = {0};

	if (!h || copy_make(v->doc, &o, &request, err) < 0)
		return -1;
	int bad = copy_partner_names(&request, h->driver, h->engine, err);
	if (!bad && json_array_size(request.connect) && json_object_set(request.create, "connect", request.connect) < 0)
		bad = err_set(err, ERR_TEMPORARY, "out of memory");
	if (!bad)
		template_json(out, v->doc, v->host, request.create);
	copy_release(&request);
	return bad ? -1 : buf_ok(out, err);
}

/* One that somebody else looks after, a swarm's task for instance, cannot be made again by us: it is left out. */
int remember_specs(struct inspect *in, const char *service, const struct found *v, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct buf spec = BUF_INIT(LINE_MAX_BYTES / 2);
		struct err why = {0};
		int bad = 0;
		if (v[i].copy)
			continue;
		if (spec_of(in, &v[i], &spec, &why) < 0) {
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

/* ---- missing, or gone deliberately ---- */

/* What the host listed, or NULL: it did not answer, or is no longer configured. */
static const json_t *list_of(const struct inspect *in, const char *host)
{
	for (size_t i = 0; i < in->f.conf.nhosts; i++)
		if (strcmp(in->f.conf.hosts[i].name, host) == 0)
			return in->listings[i].ok ? in->listings[i].list : NULL;
	return NULL;
}

/* `docker compose down` leaves nothing of a project behind. */
static bool project_down(const json_t *list, const char *spec)
{
	struct jv template = {0};
	struct err broken = {0};
	char project[256];

	if (jv_scan(spec, strlen(spec), &template, NULL, 0, NULL, &broken) < 0 ||
	    !jv_str(jv_get(jv_get(template, "labels"), PROJECT), project, sizeof project))
		return false;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *labels = json_object_get(json_array_get(list, i), "Labels");
		const char *of = json_string_value(json_object_get(labels, PROJECT));
		if (of && strcmp(of, project) == 0)
			return false;
	}
	return true;
}

static bool is_there(const struct remembered *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(name_of(m->v[i].doc), name) == 0)
			return true;
	return unseen_has(m->unseen, name);
}

/* A container is missing when its host answers, shows none of its name, and nobody wanted it gone. */
static int put_remembered(void *ctx, const struct spec_row *row, struct err *err)
{
	struct remembered *m = ctx;
	const json_t *list = list_of(m->in, row->host);
	const bool gone = list && !is_there(m, row->name);
	const char *removal = gone ? row->removal : "";

	if (gone && !*removal && m->in->f.conf.compose_down && project_down(list, row->spec)) {
		removal = COMPOSE_DOWN;
		buf_put(&m->downs, row->name, strlen(row->name) + 1);
		buf_put(&m->downs, row->host, strlen(row->host) + 1);
	}
	const bool missing = gone && !*removal;
	buf_json_comma(&m->list);
	buf_putc(&m->list, '{');
	buf_json_member_str(&m->list, "name", row->name);
	buf_json_member_str(&m->list, "host", row->host);
	buf_json_member_bool(&m->list, "missing", missing);
	if (*removal)
		buf_json_member_str(&m->list, "removed", removal);
	if (missing) { /* what as-clone makes it anew from: each missing one has its own */
		buf_json_key(&m->list, "template");
		buf_puts(&m->list, row->spec);
	}
	buf_putc(&m->list, '}');
	m->missing += missing;
	if (missing) {
		buf_reset(&m->newest);
		buf_puts(&m->newest, row->spec);
	}
	return buf_ok(&m->list, err);
}

/* What went with its project stays gone, also when a part of the project comes back. */
int read_remembered(struct remembered *m, const char *service, struct err *err)
{
	struct err why = {0};

	if (store_spec_each(m->in->store, service, put_remembered, m, err) < 0)
		return -1;
	const char *const end = m->downs.p + m->downs.n;
	for (const char *p = m->downs.p; p && p < end && !m->in->unwritable; p += strlen(p) + 1) {
		const char *name = p;
		p += strlen(p) + 1;
		if (store_spec_removed(m->in->store, service, name, p, COMPOSE_DOWN, &why) < 0)
			cannot_note(m->in, &why);
	}
	return 0;
}

void init_remembered(struct remembered *m, struct inspect *in, const struct found *v, size_t n, const struct unseen *u)
{
	*m = (struct remembered){.in = in,
	                         .v = v,
	                         .n = n,
	                         .unseen = u,
	                         .list = BUF_INIT(LINE_MAX_BYTES),
	                         .newest = BUF_INIT(LINE_MAX_BYTES / 2),
	                         .downs = BUF_INIT(LINE_MAX_BYTES)};
}

void release_remembered(struct remembered *m)
{
	buf_release(&m->list);
	buf_release(&m->newest);
	buf_release(&m->downs);
}
