/* What the two plans of a record did: the one it was recorded with, and the one of the simulation. */
#include "policy/simulation.h"

#include "base/record.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define HOUR_MS (60 * 60 * 1000)

void sim_drop(struct buf *list, size_t size, size_t i)
{
	memmove(list->p + i * size, list->p + (i + 1) * size, list->n - (i + 1) * size);
	list->n -= size;
}

/* The oldest gives way when the list is at its maximum. */
static void add(struct buf *list, const void *item, size_t size)
{
	if (list->n + size > list->max)
		sim_drop(list, size, 0);
	buf_put(list, item, size);
}

static void read_plan(struct sim_plan *p, struct jv plan)
{
	p->plan = plan;
	p->from = jv_int_or(jv_get(plan, "from"), 0);
	p->to = jv_int_or(jv_get(plan, "to"), p->from);
	p->repair = member_is(plan, "op", "start") || member_is(plan, "op", "recreate");
}

struct sim_plan sim_recorded(const struct simulate_record *r, int64_t observed)
{
	const struct jv outcome = jv_get(r->audit, "outcome");
	const struct jv own = jv_get(jv_get(r->in.history, "pending"), "op_id"), op = jv_get(r->intent, "op_id");
	struct sim_plan p = {.told = jv_is_object(r->plan) && jv_is_string(outcome)};
	char id[NAME], word[16] = "";

	if (!p.told)
		return p;
	read_plan(&p, r->plan);
	p.acted = jv_str(outcome, word, sizeof word) && outcome_acts(word);
	/* decide() resumes what the record's history shows; the store what came up after that was read. */
	p.resumed = member_is(r->intent, "state", "resumed") && jv_str(op, id, sizeof id) && !jv_is(own, id);
	if (p.acted)
		p.moved = member_is(r->intent, "state", "resumed") ? p.to - observed : p.to - p.from;
	return p;
}

static bool equal(struct jv a, struct jv b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }

/* Is there a container of that name in one of the plan's lists? */
static bool plan_has(struct jv plan, const char *list, const char *name)
{
	struct jv_cursor c = jv_each(jv_get(plan, list));
	struct jv_member m;

	while (jv_next(&c, &m))
		if (member_is(m.value, "name", name))
			return true;
	return false;
}

static bool repairs_it(const struct sim_plan *p, const char *name)
{
	return p->repair && p->acted &&
	       (plan_has(p->plan, "start", name) || plan_has(p->plan, "create", name) || plan_has(p->plan, "remove", name));
}

static void mark(struct sim_service *s, const struct sim_mark *m)
{
	for (size_t i = 0; i < SIM_COUNT(&s->marks, *m); i++) {
		struct sim_mark *old = SIM_AT(&s->marks, struct sim_mark, i);
		if (strcmp(old->name, m->name) != 0)
			continue;
		if (old->kind == m->kind)
			return;
		sim_drop(&s->marks, sizeof *m, i); /* now it was done in both, or in none */
		return;
	}
	add(&s->marks, m, sizeof *m);
}

/* What only one of the two plans repairs. up: `one` is the simulation's. */
static void mark_repairs(struct sim_service *s, const struct sim_plan *one, const struct sim_plan *other, bool up)
{
	static const char *const lists[] = {"start", "create", "remove"};
	const bool replaces = one->from == one->to; /* a new copy for an unhealthy one */
	struct jv_member m;

	for (size_t i = 0; one->repair && one->acted && i < 3; i++) {
		for (struct jv_cursor c = jv_each(jv_get(one->plan, lists[i])); jv_next(&c, &m);) {
			struct sim_mark k = {.kind = up ? SIM_UP : SIM_DOWN, .made = i == 1};
			member_text(m.value, "name", k.name, sizeof k.name);
			member_text(m.value, "host", k.host, sizeof k.host);
			if (repairs_it(other, k.name) || (replaces && (i != 2 || !up)))
				continue;
			if (replaces)
				k.kind = SIM_HEALED;
			mark(s, &k);
		}
	}
}

static void note_copies(struct sim_service *s, const struct sim_plan *new, const struct sim_plan *old, int64_t now)
{
	struct jv_member m;

	if (new->acted && !new->repair)
		for (struct jv_cursor c = jv_each(jv_get(new->plan, "create")); jv_next(&c, &m);) {
			struct sim_copy copy = {.index = jv_int_or(jv_get(m.value, "index"), -1), .created = now};
			member_text(m.value, "name", copy.name, sizeof copy.name);
			member_text(m.value, "host", copy.host, sizeof copy.host);
			if (copy.index >= 0)
				add(&s->copies, &copy, sizeof copy);
		}
	for (size_t i = SIM_COUNT(&s->copies, struct sim_copy); new->acted && !new->repair &&i-- > 0;)
		if (plan_has(new->plan, "remove", SIM_AT(&s->copies, struct sim_copy, i)->name))
			sim_drop(&s->copies, sizeof(struct sim_copy), i);
	if (old->acted && !old->repair) /* it was taken away then; now it stays */
		for (struct jv_cursor c = jv_each(jv_get(old->plan, "remove")); jv_next(&c, &m);) {
			struct sim_copy copy = {.index = -1, .created = now};
			member_text(m.value, "name", copy.name, sizeof copy.name);
			member_text(m.value, "host", copy.host, sizeof copy.host);
			if (!plan_has(new->plan, "remove", copy.name))
				add(&s->copies, &copy, sizeof copy);
		}
}

/* A move, and what it repairs, for the past of later records. */
static void note_past(struct sim_service *s, const struct sim_plan *p, int64_t at)
{
	static const char *const lists[] = {"start", "create", "remove"};
	const struct sim_move move = {.at = at,
	                              .from = p->from,
	                              .to = p->to,
	                              .out = p->repair || member_is(p->plan, "op", "scale-up"),
	                              .in = member_is(p->plan, "op", "scale-down")};
	struct sim_repair r = {.at = at, .made = member_is(p->plan, "op", "recreate")};
	struct jv_member m;

	if (!p->acted || member_is(p->plan, "op", "none") || member_is(p->plan, "op", "attach"))
		return;
	add(&s->moves, &move, sizeof move);
	for (size_t i = 0; p->repair && i < 3; i++)
		for (struct jv_cursor c = jv_each(jv_get(p->plan, lists[i])); jv_next(&c, &m);) {
			member_text(m.value, "name", r.name, sizeof r.name);
			add(&s->repairs, &r, sizeof r);
		}
}

static void note_effect(struct sim_service *s, const struct simulate_record *r, const struct sim_plan *recorded)
{
	struct sim_effect e = {.end = r->in.now, .generation = -1, .moved = recorded->moved};

	if (!recorded->moved || recorded->repair)
		return;
	(void)clock_json(jv_get(r->audit, "at"), &e.end);
	(void)jv_int(jv_get(r->intent, "generation"), &e.generation);
	add(&s->effects, &e, sizeof e);
}

static void note_want(struct sim_service *s, const struct simulate_record *r, const struct sim_plan *recorded,
                      struct jv plan)
{
	struct sim_want w = {.at = r->in.now};
	const bool wants = jv_int(jv_get(plan, "want"), &w.want);

	if (wants)
		add(&s->wants, &w, sizeof w);
	if (s->strayed || equal(jv_get(plan, "want"), jv_get(recorded->plan, "want")))
		return;
	s->strayed = true;
	s->strayed_at = r->in.now;
}

/* From here on the service has a past of its own. What went before is its past too. */
static void diverge(struct sim_service *s, const struct decide_input *in)
{
	if (s->diverged)
		return;
	s->diverged = true;
	s->since = in->now;
	s->generation = jv_int_or(jv_get(in->history, "generation"), 0);
	s->last_out = s->last_in = TIME_NONE;
	(void)clock_json(jv_get(in->history, "last_out"), &s->last_out);
	(void)clock_json(jv_get(in->history, "last_in"), &s->last_in);
	for (size_t i = SIM_COUNT(&s->moves, struct sim_move); i-- > 0;) /* the history tells of them */
		SIM_AT(&s->moves, struct sim_move, i)->out = SIM_AT(&s->moves, struct sim_move, i)->in = false;
	buf_reset(&s->repairs);
}

static bool acts(const struct sim_plan *p)
{
	return jv_here(p->plan) && !member_is(p->plan, "op", "none") && !member_is(p->plan, "op", "attach");
}

/* The same plan did the same, unless one of the two only rehearsed it. */
static bool same(const struct simulate_record *r, const struct sim_plan *old, const struct sim_plan *new)
{
	const bool rehearsed = old->told && jv_is(jv_get(r->audit, "outcome"), "dry-run") && !jv_is_object(r->intent);

	if (!acts(old) && !acts(new))
		return true;
	return old->told && equal(jv_get(old->plan, "op"), jv_get(new->plan, "op")) && old->from == new->from &&
	       old->to == new->to &&rehearsed == jv_is_true(jv_get(r->in.policy, "dry_run"));
}

void sim_note(struct sim_service *s, const struct simulate_record *r, const struct sim_plan *recorded,
              struct sim_plan *new)
{
	const int64_t now = r->in.now;
	int64_t end = now;

	read_plan(new, new->plan);
	note_want(s, r, recorded, new->plan);
	const bool as_then = same(r, recorded, new);
	new->acted = as_then ? recorded->acted : acts(new) && !jv_is_true(jv_get(r->in.policy, "dry_run"));
	new->moved = as_then ? recorded->moved : new->acted ? new->to - new->from : 0;
	note_effect(s, r, recorded);
	if (as_then && !s->diverged) {
		(void)clock_json(jv_get(r->audit, "at"), &end);
		note_past(s, new, end);
		return;
	}
	diverge(s, &r->in);
	s->delta += (new->repair ? 0 : new->moved) - (recorded->repair ? 0 : recorded->moved);
	mark_repairs(s, new, recorded, true);
	mark_repairs(s, recorded, new, false);
	note_copies(s, new, recorded, now);
	note_past(s, new, now);
	if (!acts(new))
		return;
	s->acts = s->acted_at == now ? s->acts + 1 : 1;
	s->acted_at = now;
	s->generation++;
}

int64_t sim_under_way(struct sim_service *s, const struct decide_input *in)
{
	int64_t moved = 0, generation = -1;

	(void)jv_int(jv_get(in->history, "generation"), &generation);
	for (size_t i = SIM_COUNT(&s->effects, struct sim_effect); i-- > 0;) {
		const struct sim_effect *e = SIM_AT(&s->effects, struct sim_effect, i);
		const bool shown = e->generation >= 0 && generation >= 0 ? generation >= e->generation : in->now > e->end;
		if (shown)
			sim_drop(&s->effects, sizeof *e, i);
		else
			moved += e->moved;
	}
	return moved;
}

void sim_prune(struct sim_service *s, int64_t now)
{
	while (s->wants.n && SIM_AT(&s->wants, struct sim_want, 0)->at < now - SIM_KEPT_MS)
		sim_drop(&s->wants, sizeof(struct sim_want), 0);
	while (s->moves.n && SIM_AT(&s->moves, struct sim_move, 0)->at < now - SIM_KEPT_MS) {
		const struct sim_move *m = SIM_AT(&s->moves, struct sim_move, 0);
		if (s->diverged && m->out)
			s->last_out = m->at;
		if (s->diverged && m->in)
			s->last_in = m->at;
		sim_drop(&s->moves, sizeof *m, 0);
	}
	while (s->repairs.n && SIM_AT(&s->repairs, struct sim_repair, 0)->at < now - HOUR_MS)
		sim_drop(&s->repairs, sizeof(struct sim_repair), 0);
}
