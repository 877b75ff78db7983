/* Remembered specifications: which of them are missing, and which of those went because somebody wanted it so. */
#include "cmd/as-inspect/inspect.h"

#include "base/jv.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define PROJECT "com.docker.compose.project"
#define COMPOSE_DOWN "compose down"
#define SETTLE_MS 30000 /* how long a `docker compose down` may take until nothing of its project is left */

/* ---- keeping ---- */

/* What a recreation of this container needs, as its template with the create request. */
int spec_of(struct inspect *in, const struct found *v, struct buf *out, struct err *err)
{
	struct engine_host *h = engine_hosts_get(&in->hosts, v->host, err);
	struct copy_options o = {.name = container_name(v->doc),
	                         .index = -1,
	                         .recreate = true,
	                         .privileged_allowed = true,
	                         .image_id = json_string_value(json_object_get(v->doc, "Image"))};
	struct copy_request request = {0};

	if (!h || (h->driver->is_podman && h->driver->is_podman(h->engine, &o.podman, err) < 0) ||
	    copy_make(v->doc, &o, &request, err) < 0)
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
			bad = store_spec_put(in->store, service, container_name(v[i].doc), v[i].host, spec.p, err);
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

enum project { NO_PROJECT, PROJECT_DOWN, PROJECT_UP };

/* What is left on its host of the compose project that a remembered container belongs to. */
static enum project project_of(const json_t *list, const char *spec)
{
	struct jv template = {0};
	struct err broken = {0};
	char project[256];

	if (jv_scan(spec, strlen(spec), &template, NULL, 0, NULL, &broken) < 0 ||
	    !jv_str(jv_get(jv_get(template, "labels"), PROJECT), project, sizeof project))
		return NO_PROJECT;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *labels = json_object_get(json_array_get(list, i), "Labels");
		const char *of = json_string_value(json_object_get(labels, PROJECT));
		if (of && strcmp(of, project) == 0)
			return PROJECT_UP;
	}
	return PROJECT_DOWN;
}

/* It, or another of its name on its host, or one on another host that was made after it was seen last: it moved. One
 * that was there beside it is a container of its own. */
static bool is_there(const struct remembered *m, const struct spec_row *row)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(container_name(m->v[i].doc), row->name) == 0 &&
		    (strcmp(m->v[i].host, row->host) == 0 || m->v[i].created > row->seen_at))
			return true;
	return unseen_has(m->unseen, row->name);
}

/* What is to be noted of a specification once all are read. */
enum mark { MARK_DOWN = 'd', MARK_MISSING = 'm', MARK_THERE = 't' };

static void mark(struct remembered *m, enum mark mark, const struct spec_row *row)
{
	buf_putc(&m->marks, (char)mark);
	buf_put(&m->marks, row->name, strlen(row->name) + 1);
	buf_put(&m->marks, row->host, strlen(row->host) + 1);
}

/* One that is gone with nothing left of its project was taken down. While others of the project are there this may be
 * the midst of `docker compose down`, so a time is waited: *settles_at, else TIME_NONE. True: it was taken down. */
static bool taken_down(struct remembered *m, const json_t *list, const struct spec_row *row, int64_t *settles_at)
{
	const enum project project = m->in->f.conf.compose_down ? project_of(list, row->spec) : NO_PROJECT;

	if (project == PROJECT_DOWN) {
		mark(m, MARK_DOWN, row);
		return true;
	}
	if (project == NO_PROJECT || m->in->unwritable)
		return false;
	if (row->missing_at == TIME_NONE)
		mark(m, MARK_MISSING, row);
	const int64_t until = (row->missing_at == TIME_NONE ? m->now : row->missing_at) + SETTLE_MS;
	if (until > m->now)
		*settles_at = until;
	return false;
}

/* A container is missing when its host answers, shows none of its name, and nobody wanted it gone. */
static int put_remembered(void *ctx, const struct spec_row *row, struct err *err)
{
	struct remembered *m = ctx;
	const json_t *list = list_of(m->in, row->host);
	const bool gone = list && !is_there(m, row);
	const char *removal = gone ? row->removal : "";
	int64_t settles_at = TIME_NONE;

	if (gone && !*removal && taken_down(m, list, row, &settles_at))
		removal = COMPOSE_DOWN;
	if (list && !gone && row->missing_at != TIME_NONE)
		mark(m, MARK_THERE, row);
	const bool missing = gone && !*removal && settles_at == TIME_NONE;
	buf_json_comma(&m->list);
	buf_putc(&m->list, '{');
	buf_json_member_str(&m->list, "name", row->name);
	buf_json_member_str(&m->list, "host", row->host);
	buf_json_member_bool(&m->list, "missing", missing);
	if (*removal)
		buf_json_member_str(&m->list, "removed", removal);
	if (settles_at != TIME_NONE)
		clock_json_member(&m->list, "settles_at", settles_at);
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
	struct store *store = m->in->store;
	struct err why = {0};
	int bad = 0;

	m->now = store_now(store);
	if (store_spec_each(store, service, put_remembered, m, err) < 0 || buf_ok(&m->marks, err) < 0)
		return -1;
	for (const char *p = m->marks.p; !bad && p && p < m->marks.p + m->marks.n && !m->in->unwritable;) {
		const char kind = *p, *name = p + 1, *host = name + strlen(name) + 1;
		bad = kind == MARK_DOWN ? store_spec_removed(store, service, name, host, COMPOSE_DOWN, &why)
		                        : store_spec_missing(store, service, name, host, kind == MARK_MISSING, &why);
		p = host + strlen(host) + 1;
	}
	if (bad)
		cannot_note(m->in, &why);
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
	                         .marks = BUF_INIT(LINE_MAX_BYTES)};
}

void release_remembered(struct remembered *m)
{
	buf_release(&m->list);
	buf_release(&m->newest);
	buf_release(&m->marks);
}
