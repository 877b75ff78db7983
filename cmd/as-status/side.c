/* Do the entries of a load balancer and the ready replicas agree? */
#include "cmd/as-status/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* The next of a list of words with commas. False: there is none. */
static bool next_word(const char **rest, char *out, size_t size)
{
	while (**rest) {
		const size_t n = strcspn(*rest, ",");
		const bool fits = n && n < size;
		(void)snprintf(out, size, "%.*s", fits ? (int)n : 0, *rest);
		*rest += n + ((*rest)[n] == ',');
		if (fits)
			return true;
	}
	return false;
}

static bool entry_of(const struct replica *r, char out[LB_NAME])
{
	return !r->kept && lb_server_name(json_string_value(json_object_get(r->doc, "Id")), out);
}

int64_t expected_at(const struct service *v)
{
	char name[LB_NAME];
	int64_t n = 0;

	for (size_t i = 0; i < v->n; i++)
		n += v->v[i].ready && entry_of(&v->v[i], name);
	return n;
}

static const struct replica *owner_of(const struct service *v, const char *entry)
{
	char name[LB_NAME];

	for (size_t i = 0; i < v->n; i++)
		if (entry_of(&v->v[i], name) && strcmp(name, entry) == 0)
			return &v->v[i];
	return NULL;
}

static const struct lb_busy *entry_in(const struct lb_seen *seen, const char *name)
{
	for (size_t i = 0; seen && i < seen->n; i++)
		if (strcmp(seen->v[i].name, name) == 0)
			return &seen->v[i];
	return NULL;
}

static void put_one(struct buf *list, const char *entry, const struct replica *owner, const char *state)
{
	buf_json_comma(list);
	buf_putc(list, '{');
	buf_json_member_str(list, "entry", entry);
	buf_json_member_str(list, "container", owner ? container_name(owner->doc) : NULL);
	buf_json_member_str(list, "state", state);
	buf_putc(list, '}');
}

/* Is it listed where the container is, under another name? Then somebody else listed it, and it gets its traffic. */
static bool is_served(struct status *s, const struct service *v, const struct replica *r, const struct lb_list *list)
{
	struct buf container = BUF_INIT(LINE_MAX_BYTES);
	struct entry_policy how;
	struct lb_server at;
	struct err unknown = {0};
	bool yes = false;

	entry_policy_read(&how, (struct jv){v->policy.p, v->policy.n});
	container_json(&container, r->doc, s->f.conf.hosts[r->host].name, r->ready);
	if (!container.failed && server_of(&s->neighbours, &how, (struct jv){container.p, container.n}, &at, &unknown) == 0)
		for (size_t i = 0; i < list->n; i++)
			yes = yes || (!list->v[i].ours && list->v[i].state == LB_UP && lb_same_place(&list->v[i], &at));
	buf_release(&container);
	return yes;
}

static void find_stale(const struct service *v, struct side *side, const struct lb_seen *seen)
{
	for (size_t i = 0; i < seen->n; i++) {
		const struct lb_busy *e = &seen->v[i];
		const bool ours = lb_is_ours(e->name);
		const struct replica *owner = ours ? owner_of(v, e->name) : NULL;
		side->entries++;
		side->up += e->state == LB_UP;
		side->others += !ours && e->state == LB_UP;
		/* One that is down or drained at the balancer, and not ready by itself, is what both say. */
		if (!ours || (owner && (owner->ready || e->state != LB_UP)))
			continue;
		put_one(&side->stale, e->name, owner, lb_state_name(e->state));
		side->nstale++;
	}
}

/* list: NULL where nobody else has listed anything. */
static void find_missing(struct status *s, const struct service *v, struct side *side, const struct lb_seen *seen,
                         const struct lb_list *list)
{
	char name[LB_NAME];

	buf_reset(&side->missing);
	side->nmissing = 0;
	buf_putc(&side->missing, '[');
	for (size_t i = 0; i < v->n; i++) {
		if (!v->v[i].ready || !entry_of(&v->v[i], name))
			continue;
		const struct lb_busy *e = entry_in(seen, name);
		if ((e && e->state == LB_UP) || (!e && list && is_served(s, v, &v->v[i], list)))
			continue;
		put_one(&side->missing, name, &v->v[i], e ? lb_state_name(e->state) : NULL);
		side->nmissing++;
	}
	buf_putc(&side->missing, ']');
}

static void look(struct status *s, const struct service *v, struct side *side)
{
	buf_putc(&side->stale, '[');
	if (!side->b) {
		(void)err_set(&side->why, ERR_CONFIG, "load balancer \"%s\" is not configured: add a [lb \"%s\"] section",
		              side->name, side->name);
	} else if (!side->b->ok) {
		side->why = side->b->why;
	} else {
		const struct lb_seen *seen = lb_look_find(&side->b->look, side->backend);
		side->known = true;
		if (!seen)
			(void)err_set(&side->why, ERR_NOT_FOUND, "lb %s has no backend %s", side->name, side->backend);
		else
			find_stale(v, side, seen);
		find_missing(s, v, side, seen, NULL);
	}
	if (!side->missing.n)
		buf_puts(&side->missing, "[]");
	buf_putc(&side->stale, ']');
}

int find_sides(struct status *s, struct service *v, struct err *err)
{
	const struct jv policy = {v->policy.p, v->policy.n};
	char names[1024] = "", name[LB_NAME], backend[LB_NAME] = "";
	const char *rest = names;

	if (v->resolved) {
		(void)jv_str(jv_get(policy, "lb"), names, sizeof names);
		(void)jv_str(jv_get(policy, "lb_backend"), backend, sizeof backend);
	}
	while (next_word(&rest, name, sizeof name)) {
		bool twice = false;
		for (size_t i = 0; i < v->nsides; i++)
			twice = twice || strcmp(v->sides[i].name, name) == 0;
		if (twice)
			continue;
		struct side *more = realloc(v->sides, (v->nsides + 1) * sizeof *more);
		if (!more)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		v->sides = more;
		struct side *side = &more[v->nsides++];
		const struct conf_lb *conf = conf_lb(&s->f.conf, name);
		*side = (struct side){.b = conf ? &s->balancer[conf - s->f.conf.lbs] : NULL,
		                      .missing = BUF_INIT(LINE_MAX_BYTES),
		                      .stale = BUF_INIT(LINE_MAX_BYTES)};
		(void)snprintf(side->name, sizeof side->name, "%s", name);
		(void)snprintf(side->backend, sizeof side->backend, "%s", *backend ? backend : v->name);
		look(s, v, side);
		if (!side->b)
			add_note(s, side->why.message);
	}
	return 0;
}

/* A task: a service. A look does not tell addresses, which only matter where somebody else has entries too. */
static void confirm(void *ctx, size_t i)
{
	struct status *s = ctx;
	struct service *v = &s->services[i];

	for (size_t k = 0; k < v->nsides; k++) {
		struct side *side = &v->sides[k];
		struct lb_list list = {0};
		struct err unknown = {0};
		if (!side->known || !side->nmissing || !side->others)
			continue;
		if (side->b->driver->list(side->b->lb, side->backend, &list, &unknown) == 0)
			find_missing(s, v, side, lb_look_find(&side->b->look, side->backend), &list);
		lb_list_release(&list);
	}
}

int confirm_sides(struct status *s, struct err *err)
{
	return tasks_run(s->hosts.tasks, s->nservices, confirm, s, err);
}

void release_side(struct side *side)
{
	buf_release(&side->missing);
	buf_release(&side->stale);
}
