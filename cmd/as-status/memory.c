/* What the store remembers, in a few statements, however many services there are. Whoever only looks makes no store. */
#include "cmd/as-status/status.h"

#include "base/jv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* Room for one more where n are. */
static void *grown(void *v, size_t n, size_t size, struct err *err)
{
	void *more = v;

	if ((n & (n - 1)) == 0 && !(more = realloc(v, (n ? n * 2 : 1) * size)))
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
	return more;
}

static void fail(struct status *s)
{
	s->store_ok = false;
	store_close(s->store);
	s->store = NULL;
	add_note(s, s->store_why.message);
}

/* ---- before the containers are known ---- */

/* The variables as the engine's document has them: ["NAME=VALUE", ...]. */
static json_t *env_of(struct jv variables)
{
	struct jv_cursor c = jv_each(variables);
	struct jv_member m;
	json_t *env = json_array();

	while (env && jv_next(&c, &m)) {
		struct buf b = BUF_INIT(LINE_MAX_BYTES);
		buf_put(&b, m.name.p, m.name.n); /* the name of a variable that is shown has no escapes */
		buf_putc(&b, '=');
		if (jv_str_buf(m.value, &b) && !b.failed)
			(void)json_array_append_new(env, json_stringn(b.p, b.n));
		buf_release(&b);
	}
	return env;
}

/* A container that is remembered need not be asked for its variables. */
static void know(struct status *s, const struct spec_row *row)
{
	struct jv template = {0};
	struct err broken = {0};
	char id[128];

	if (jv_scan(row->spec, strlen(row->spec), &template, NULL, 0, NULL, &broken) < 0 ||
	    !jv_str(jv_get(template, "id"), id, sizeof id) || json_object_get(s->known, id))
		return;
	json_t *known = json_pack("{s:s, s:b, s:o?}", "service", row->service, "joined", true, "env",
	                          env_of(jv_get(template, "variables")));
	if (known)
		(void)json_object_set_new(s->known, id, known);
}

static int keep_spec(void *ctx, const struct spec_row *row, struct err *err)
{
	struct status *s = ctx;
	struct spec *more;

	know(s, row);
	if (!is_asked_for(s, row->service))
		return 0;
	if (!(more = grown(s->specs, s->nspecs, sizeof *more, err)))
		return -1;
	s->specs = more;
	struct spec *spec = &more[s->nspecs++];
	*spec = (struct spec){.service = strdup(row->service),
	                      .name = strdup(row->name),
	                      .host = strdup(row->host),
	                      .text = strdup(row->spec),
	                      .wanted = !*row->removal,
	                      .seen_at = row->seen_at};
	return spec->service && spec->name && spec->host && spec->text ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
}

struct walk {
	struct status *s;
	size_t host;
};

/* It counts as a replica unless it did not run when it was seen last. */
static int keep_unseen(void *ctx, const struct container_row *row, struct err *err)
{
	const struct walk *w = ctx;
	struct status *s = w->s;
	struct unseen *more;

	if (!is_asked_for(s, row->service) || (strcmp(row->state, "running") != 0 && strcmp(row->state, "restarting") != 0))
		return 0;
	if (!(more = grown(s->unseen, s->nunseen, sizeof *more, err)))
		return -1;
	s->unseen = more;
	more[s->nunseen].host = w->host;
	(void)snprintf(more[s->nunseen++].service, sizeof more->service, "%s", row->service);
	return 0;
}

static int read_all(struct status *s)
{
	struct err *err = &s->store_why;

	s->store_there = true;
	if (!s->store && !(s->store = store_open_existing(s->f.conf.store, &s->store_there, err)))
		return s->store_there ? -1 : 0;
	if (store_spec_each(s->store, NULL, keep_spec, s, err) < 0)
		return -1;
	for (size_t i = 0; i < s->f.conf.nhosts; i++) {
		struct walk w = {s, i};
		if (!s->host[i].ok && store_container_each(s->store, NULL, s->f.conf.hosts[i].name, keep_unseen, &w, err) < 0)
			return -1;
	}
	return 0;
}

void read_memory(struct status *s)
{
	s->store_ok = true;
	s->store_why.code = ERR_NONE;
	if (read_all(s) < 0)
		fail(s);
}

/* ---- afterwards ---- */

static int by_name(const void *x, const void *y) { return strcmp(x, ((const struct service *)y)->name); }

static int keep_last(void *ctx, const struct history_row *row, struct err *err)
{
	struct status *s = ctx;
	struct service *v = bsearch(row->service, s->services, s->nservices, sizeof *v, by_name);

	if (!v)
		return 0;
	v->last = (struct last){.from = row->from,
	                        .to = row->to,
	                        .at = row->at,
	                        .action = strdup(row->action),
	                        .outcome = strdup(row->outcome),
	                        .reason = strdup(row->reason),
	                        .error = row->error ? strdup(row->error) : NULL,
	                        .policies = row->policies ? strdup(row->policies) : NULL};
	return v->last.action && v->last.outcome && v->last.reason ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
}

/* What was added and taken away of late, and the number that was wanted last. */
static void read_trend(struct service *v, const struct service_past *past)
{
	struct jv_cursor c = jv_each((struct jv){past->moves.p, past->moves.n});
	struct jv_member m;

	while (past->moves.n && jv_next(&c, &m))
		v->moved += jv_int_or(jv_get(m.value, "to"), 0) - jv_int_or(jv_get(m.value, "from"), 0);
	c = jv_each((struct jv){past->window.p, past->window.n});
	while (past->window.n && jv_next(&c, &m)) {
		v->wanted = jv_int_or(jv_get(m.value, "want"), 0);
		v->wanted_known = true;
	}
}

static int read_pasts(struct status *s, const char *const *names, size_t n, struct err *err)
{
	struct past_ask *asks = calloc(n + 1, sizeof *asks);
	struct service_past *pasts = calloc(n + 1, sizeof *pasts);
	int bad = asks && pasts ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");

	for (size_t i = 0; !bad && i < n; i++)
		asks[i] = (struct past_ask){
			.service = names[i], .window_since = s->now - WANTED_MS, .moves_since = s->now - TREND_MS};
	if (!bad && n)
		bad = store_past_all(s->store, asks, n, pasts, err);
	for (size_t i = 0; asks && pasts && i < n; i++) {
		s->services[i].past = pasts[i]; /* services[i] is names[i] */
		if (!bad)
			read_trend(&s->services[i], &pasts[i]);
	}
	free(asks);
	free(pasts);
	return bad;
}

void read_past(struct status *s, const char *const *names, size_t n)
{
	if (!s->store)
		return;
	if (read_pasts(s, names, n, &s->store_why) < 0 ||
	    store_history_newest(s->store, names, n, keep_last, s, &s->store_why) < 0)
		fail(s);
}
