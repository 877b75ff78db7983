/* Which services are not well, and which joined at all. What only the store knows, the teller asks it. */
#include "cmd/as-watch/watch.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define JOINED_MS 5000 /* that long the answer holds */

bool is_wanted(const struct watch *w, const char *service)
{
	for (int i = 0; i < w->f.noperands; i++)
		if (strcmp(w->f.operands[i], service) == 0)
			return true;
	return w->f.noperands == 0;
}

static void store_failed(const struct watch *w, const struct err *err)
{
	front_warn(&w->f, "%s: going on without what the store knows", err->message);
}

/* ---- joined ---- */

static int on_any_spec(void *ctx, const struct spec_row *row, struct err *err)
{
	bool *yes = ctx;

	(void)row;
	(void)err;
	*yes = true;
	return 0;
}

static bool container_joined(const struct watch *w, const char *service)
{
	const char *id;
	json_t *k;

	for (size_t i = 0; i < w->nhosts; i++)
		json_object_foreach(w->hosts[i].known, id, k)
			if (known_true(k, "joined") && strcmp(known_text(k, "service"), service) == 0)
				return true;
	return false;
}

/* By a label or variable of one of its containers, by a policy that names it, or because it is remembered. Who is named
 * on the command line is asked for anyway. */
bool has_joined(struct watch *w, struct service *s)
{
	const int64_t now = clock_monotonic_ms();
	bool yes;
	struct err err = {0};

	if (w->f.noperands || (s->asked_at && now - s->asked_at < JOINED_MS))
		return w->f.noperands || s->joined;
	yes = container_joined(w, s->name);
	if (!yes && (store_policy_some(w->store, s->name, &yes, &err) < 0 ||
	             (!yes && store_spec_each(w->store, s->name, on_any_spec, &yes, &err) < 0)))
		store_failed(w, &err);
	s->joined = yes;
	s->asked_at = now;
	return yes;
}

/* ---- not well ---- */

static struct host *host_named(struct watch *w, const char *name)
{
	for (size_t i = 0; i < w->nhosts; i++)
		if (strcmp(w->hosts[i].name, name) == 0)
			return &w->hosts[i];
	return NULL;
}

static bool is_there(const struct watch *w, const char *service, const char *name)
{
	const char *id;
	json_t *k;

	for (size_t i = 0; i < w->nhosts; i++)
		json_object_foreach(w->hosts[i].known, id, k)
			if (strcmp(known_text(k, "name"), name) == 0 && strcmp(known_text(k, "service"), service) == 0)
				return true;
	return false;
}

struct missing {
	struct watch *w;
	const struct host *only; /* NULL: any that is connected */
	void (*found)(void *ctx, struct host *h, const struct spec_row *row);
	void *ctx;
};

static int on_spec(void *ctx, const struct spec_row *row, struct err *err)
{
	const struct missing *m = ctx;
	struct host *h = host_named(m->w, row->host);

	(void)err;
	if (*row->removal) /* it went on purpose */
		return 0;
	if (h && (m->only ? h == m->only : h->connected) && !is_there(m->w, row->service, row->name))
		m->found(m->ctx, h, row);
	return 0;
}

static json_t *order_for(const char *id, const json_t *k)
{
	return make_event("reconcile", id, k, clock_now_ms() * NS_PER_MS);
}

static json_t *order_missing(const struct spec_row *row)
{
	json_t *k = json_pack("{s:s}", "name", row->name);
	json_t *event = order_for("", k);

	json_decref(k);
	return event;
}

struct first {
	json_t *event;
	struct host *where;
};

static void keep_first(void *ctx, struct host *h, const struct spec_row *row)
{
	struct first *f = ctx;

	if (f->event)
		return;
	f->event = order_missing(row);
	f->where = h;
}

json_t *find_unwell(struct watch *w, const char *service, struct host **where)
{
	struct first first = {0};
	const struct missing m = {.w = w, .found = keep_first, .ctx = &first};
	struct err err = {0};
	const char *id;
	json_t *k;

	for (size_t i = 0; i < w->nhosts; i++) {
		*where = &w->hosts[i];
		if (w->hosts[i].connected)
			json_object_foreach(w->hosts[i].known, id, k)
				if (!is_well(k) && strcmp(known_text(k, "service"), service) == 0)
					return order_for(id, k);
	}
	if (store_spec_each(w->store, service, on_spec, (void *)&m, &err) < 0)
		store_failed(w, &err);
	*where = first.where;
	return first.event;
}

static void order(struct host *h, const json_t *k, json_t *event)
{
	if (h->order_now && event)
		(void)push_event(h, k, event, true);
	else
		look_again(h->w, known_text(k, "service"));
	json_decref(event);
}

static void order_spec(void *ctx, struct host *h, const struct spec_row *row)
{
	json_t *k = json_pack("{s:s, s:b}", "service", row->service, "joined", 1);

	(void)ctx;
	if (k)
		order(h, k, order_missing(row));
	json_decref(k);
}

void order_host(struct host *h)
{
	const struct missing m = {.w = h->w, .only = h, .found = order_spec};
	struct err err = {0};
	const char *id;
	json_t *k;

	h->order = false;
	json_object_foreach(h->known, id, k)
		if (!is_well(k) && *known_text(k, "service"))
			order(h, k, order_for(id, k));
	if (store_spec_each(h->w->store, NULL, on_spec, (void *)&m, &err) < 0)
		store_failed(h->w, &err);
	h->order_now = false;
}
