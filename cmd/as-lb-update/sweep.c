/* --sync: what no record claimed. All balancers are asked which backends have entries of ours; of these go those whose
 * container runs nowhere, and those whose container a record knows, but not there. An entry whose container runs and
 * that no record knows stays: whoever attached it may be about to say so. At the end what each balancer keeps on disk
 * and what it has are made to agree. */
#include "cmd/as-lb-update/update.h"

#include "base/clock.h"
#include "base/exit.h"
#include "cmd/front/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define KEY_MAX (LB_NAME * 3 + 64)
#define GONE_MS 1000 /* nobody is at work with a container that is gone */

/* ---- what the records say ---- */

static void place_name(char out[KEY_MAX], const char *lb, const char *backend)
{
	(void)snprintf(out, KEY_MAX, "%.120s %.*s", lb, LB_NAME - 1, backend);
}

static int note_one(json_t *owners, const char *name, const struct job *j, json_t *places)
{
	return json_object_set_new(owners, name,
	                           json_pack("{s:O, s:I, s:b}", "places", places, "drain", (json_int_t)j->drain_ms, "dry",
	                                     j->dry && !j->u->f.dry_run));
}

void note_owners(struct job *j)
{
	struct update *u = j->u;
	struct jv_cursor c = jv_each(jv_get(record_get(j->r, "observed"), "containers"));
	struct jv_member m;
	char id[128], name[LB_NAME], place[KEY_MAX];
	json_t *places = json_object();

	for (size_t i = 0; i < j->nsides; i++) {
		place_name(place, j->sides[i].b->conf->name, j->backend);
		(void)json_object_set_new(places, place, json_true());
		(void)json_object_set_new(u->claimed, place, json_true());
	}
	while (jv_next(&c, &m)) {
		steps_text(m.value, "id", id, sizeof id);
		if (lb_server_name(id, name))
			(void)note_one(u->owners, name, j, places);
	}
	json_decref(places);
}

static void entry_name(char out[KEY_MAX], const char *lb, const char *backend, const char *entry)
{
	(void)snprintf(out, KEY_MAX, "%.120s %.*s %.*s", lb, LB_NAME - 1, backend, LB_NAME - 1, entry);
}

void note_spared(struct job *j, const struct change *c)
{
	char name[KEY_MAX];

	entry_name(name, c->side->b->conf->name, j->backend, c->server.name);
	if (c->what == DO_DETACH)
		(void)json_object_set_new(j->u->spared, name, json_true());
}

/* ---- what there is ---- */

/* One backend that has something of ours, or that was made by us. */
struct spot {
	struct balancer *b;
	char backend[LB_NAME];
	size_t left; /* servers that stay */
	bool ours;   /* some are ours */
};

struct leaver {
	size_t place;
	struct lb_server server;
	bool gone; /* its container is; else it is somebody's who belongs elsewhere */
	int64_t wait_ms;
	bool goes;
};

struct sweep {
	struct update *u;
	struct spot *places;
	struct leaver *leavers;
	size_t nplaces, nleavers;
	bool dry;
	int status;
};

static void fail(struct sweep *s, const struct err *err)
{
	front_warn(&s->u->f, "%s", err->message);
	s->status = err_exit(err->code);
}

static int add_leaver(struct sweep *s, size_t place, const struct lb_server *server, struct err *err)
{
	struct leaver *more = realloc(s->leavers, (s->nleavers + 1) * sizeof *more);

	if (!more)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	s->leavers = more;
	more[s->nleavers++] = (struct leaver){.place = place, .server = *server};
	return 0;
}

static int look_at_backend(struct sweep *s, struct balancer *b, const char *backend, struct err *err)
{
	struct lb_list list = {0};
	struct spot *more;
	int bad = b->driver->list(b->lb, backend, &list, err);

	if (bad)
		return err->code == ERR_NOT_FOUND ? 0 : -1; /* it went meanwhile */
	more = realloc(s->places, (s->nplaces + 1) * sizeof *more);
	if (more) {
		s->places = more;
		more[s->nplaces] = (struct spot){.b = b, .left = list.n};
		(void)snprintf(more[s->nplaces].backend, LB_NAME, "%s", backend);
		const size_t place = s->nplaces++;
		for (size_t i = 0; !bad && i < list.n; i++)
			if (list.v[i].ours)
				bad = add_leaver(s, place, &list.v[i], err);
		s->places[place].ours = s->nleavers && s->leavers[s->nleavers - 1].place == place;
	} else {
		bad = err_set(err, ERR_TEMPORARY, "out of memory");
	}
	lb_list_release(&list);
	return bad;
}

/* A task: one load balancer. */
static void look_at_balancer(void *ctx, size_t i)
{
	struct sweep *s = ctx;
	struct balancer *b = &s->u->balancers[i];
	struct lb_names names = {0};
	struct err err = {0};

	int bad = open_balancer(s->u, i, &err);
	if (!bad)
		bad = b->driver->backends(b->lb, &names, &err);
	for (size_t k = 0; !bad && k < names.n; k++)
		bad = look_at_backend(s, b, names.v[k], &err);
	if (bad)
		fail(s, &err);
	lb_names_release(&names);
}

/* ---- what goes ---- */

static void judge(struct sweep *s, struct leaver *l)
{
	const struct spot *p = &s->places[l->place];
	const json_t *owner = json_object_get(s->u->owners, l->server.name);
	char place[KEY_MAX], entry[KEY_MAX];

	place_name(place, p->b->conf->name, p->backend);
	entry_name(entry, p->b->conf->name, p->backend, l->server.name);
	l->gone = !runs(s->u, l->server.name);
	l->wait_ms = GONE_MS;
	l->goes = l->gone && !json_object_get(s->u->spared, entry);
	if (!owner || json_object_get(s->u->spared, entry))
		return;
	l->goes = !json_object_get(json_object_get(owner, "places"), place) || l->gone;
	if (json_is_true(json_object_get(owner, "dry")))
		l->goes = false;
	if (!l->gone)
		l->wait_ms = (int64_t)json_integer_value(json_object_get(owner, "drain"));
}

/* A task: one entry. */
static void take_out(void *ctx, size_t i)
{
	struct sweep *s = ctx;
	const struct leaver *l = &s->leavers[i];
	struct spot *p = &s->places[l->place];
	struct lb_result result;
	struct err err = {0};
	char at[LB_PLACE];

	if (!l->goes)
		return;
	lb_place(&l->server, at);
	if (s->dry || s->u->f.verbose)
		say_line("%s %s: - %s %s (%s)", p->b->conf->name, p->backend, l->server.name, at,
		         l->gone ? "its container is gone" : "its service does not name this backend");
	if (!s->dry && p->b->driver->detach(p->b->lb, p->backend, l->server.name, l->wait_ms, &result, &err) < 0)
		fail(s, &err);
	else
		p->left--;
}

/* A task: the route to a backend that nobody claims and that is empty. One of the operator's own stays. */
static void forget(void *ctx, size_t i)
{
	struct sweep *s = ctx;
	struct spot *p = &s->places[i];
	struct lb_result result = {0};
	struct err err = {0};
	char place[KEY_MAX];

	place_name(place, p->b->conf->name, p->backend);
	if (p->left || json_object_get(s->u->claimed, place))
		return;
	if (s->dry) { /* nobody but its driver knows whether one that had servers was made by us */
		if (!p->ours)
			say_line("%s %s: - route (nothing is left)", p->b->conf->name, p->backend);
		return;
	}
	if (p->b->driver->ensure(p->b->lb, p->backend, NULL, &result, &err) < 0) {
		if (err.code != ERR_CONFLICT) /* it got a server meanwhile */
			fail(s, &err);
	} else if (!result.already && s->u->f.verbose) {
		say_line("%s %s: - route (nothing is left)", p->b->conf->name, p->backend);
	}
}

/* A task: one backend. */
static void agree(void *ctx, size_t i)
{
	struct sweep *s = ctx;
	const struct spot *p = &s->places[i];
	struct err err = {0};

	if (p->b->driver->agree(p->b->lb, p->backend, &err) < 0)
		fail(s, &err);
}

int sweep(struct update *u)
{
	struct sweep s = {.u = u, .dry = u->f.dry_run};
	struct tasks *tasks = u->hosts.tasks;
	struct err err = {0};

	int bad = tasks_run(tasks, u->f.conf.nlbs, look_at_balancer, &s, &err);
	if (!bad && s.nplaces)
		bad = look_at_world(u, clock_monotonic_ms(), &err);
	if (!bad && s.nplaces && !u->world.complete) {
		front_warn(&u->f, "%s: nothing that no record claims is taken out", u->world.why.message);
		s.status = EX_NO_SERVICE;
	} else if (!bad) {
		for (size_t i = 0; i < s.nleavers; i++)
			judge(&s, &s.leavers[i]);
		bad = tasks_run(tasks, s.nleavers, take_out, &s, &err) < 0 || tasks_run(tasks, s.nplaces, forget, &s, &err) < 0;
	}
	if (!bad && !s.dry)
		bad = tasks_run(tasks, s.nplaces, agree, &s, &err) < 0;
	if (bad)
		fail(&s, &err);
	free(s.places);
	free(s.leavers);
	return s.status;
}
