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

static void compare(const struct service *v, struct side *side, const struct lb_seen *seen)
{
	char name[LB_NAME];

	for (size_t i = 0; seen && i < seen->n; i++) {
		const struct lb_busy *e = &seen->v[i];
		const struct replica *owner = lb_is_ours(e->name) ? owner_of(v, e->name) : NULL;
		side->entries++;
		side->up += e->state == LB_UP;
		/* One that is down or drained at the balancer, and not ready by itself, is what both say. */
		if (!lb_is_ours(e->name) || (owner && (owner->ready || e->state != LB_UP)))
			continue;
		put_one(&side->stale, e->name, owner, lb_state_name(e->state));
		side->nstale++;
	}
	for (size_t i = 0; i < v->n; i++) {
		if (!v->v[i].ready || !entry_of(&v->v[i], name))
			continue;
		const struct lb_busy *e = entry_in(seen, name);
		if (e && e->state == LB_UP)
			continue;
		put_one(&side->missing, name, &v->v[i], e ? lb_state_name(e->state) : NULL);
		side->nmissing++;
	}
}

static void look(const struct service *v, struct side *side)
{
	buf_putc(&side->missing, '[');
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
		compare(v, side, seen);
	}
	buf_putc(&side->missing, ']');
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
		look(v, side);
		if (!side->b)
			add_note(s, side->why.message);
	}
	return 0;
}

void release_side(struct side *side)
{
	buf_release(&side->missing);
	buf_release(&side->stale);
}
