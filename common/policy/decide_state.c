/* What one stream remembers of each service, so that a storm of alerts makes one action. */
#include "policy/decision.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define BUCKETS 4096
#define NAMES_KEPT_MS (10 * 60 * 1000)
#define TEXT_KEPT (64u * 1024u) /* of the memory of a text */

struct decide_state {
	struct planned *bucket[BUCKETS];
	struct buf texts[DECISION_TEXTS];
};

void decision_borrow(struct decide_state *s, struct buf *const texts[DECISION_TEXTS])
{
	for (size_t i = 0; i < DECISION_TEXTS; i++) {
		*texts[i] = s->texts[i];
		s->texts[i] = (struct buf){0};
		texts[i]->max = LINE_MAX_BYTES;
		buf_reset(texts[i]);
	}
}

void decision_return(struct decide_state *s, struct buf *const texts[DECISION_TEXTS])
{
	for (size_t i = 0; i < DECISION_TEXTS; i++) {
		buf_release(&s->texts[i]);
		if (texts[i]->cap > TEXT_KEPT)
			buf_release(texts[i]);
		s->texts[i] = *texts[i];
	}
}

/* Its buffers, each of which is released and copied with it. */
#define LISTS 3
static struct buf *list_of(struct planned *p, size_t i)
{
	struct buf *const lists[LISTS] = {&p->indexes, &p->repairs, &p->removed};

	return lists[i];
}

struct decide_state *decide_state_new(void) { return calloc(1, sizeof(struct decide_state)); }

void decide_state_free(struct decide_state *s)
{
	for (size_t i = 0; s && i < BUCKETS; i++)
		for (struct planned *p = s->bucket[i], *next; p; p = next) {
			next = p->next;
			planned_free(p);
		}
	for (size_t i = 0; s && i < DECISION_TEXTS; i++)
		buf_release(&s->texts[i]);
	free(s);
}

static struct planned **planned_slot(struct decide_state *s, const char *service)
{
	struct planned **slot = &s->bucket[hash_text(service) % BUCKETS];

	while (*slot && strcmp((*slot)->service, service) != 0)
		slot = &(*slot)->next;
	return slot;
}

struct planned *planned_get(struct decide_state *s, const char *service) { return *planned_slot(s, service); }

bool planned_names_free(const struct planned *p, const struct decide_input *in)
{
	return jv_int_or(jv_get(in->history, "generation"), 0) >= p->generation && in->now - p->at > NAMES_KEPT_MS;
}

static struct planned *planned_new(const char *service, struct err *err)
{
	struct planned *p = calloc(1, sizeof *p);

	if (!p) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	p->indexes = (struct buf)BUF_INIT(REPLICAS_MAX * sizeof(int64_t));
	p->repairs = (struct buf)BUF_INIT(REPLICAS_MAX * sizeof(struct repaired));
	p->removed = (struct buf)BUF_INIT(REPLICAS_MAX * NAME);
	(void)snprintf(p->service, sizeof p->service, "%s", service);
	return p;
}

/* What the plan repairs. Replaced containers take turns in their names, so the removed count with the created. */
static void note_repairs(struct planned *p, struct jv plan)
{
	static const char *const lists[] = {"start", "create", "remove"};
	struct repaired r = {.at = p->at, .made = member_is(plan, "op", "recreate")};
	struct jv_member m;

	for (size_t i = 0; i < 3; i++)
		for (struct jv_cursor c = jv_each(jv_get(plan, lists[i])); jv_next(&c, &m);) {
			member_text(m.value, "name", r.name, sizeof r.name);
			buf_put(&p->repairs, &r, sizeof r);
		}
}

static void note_removals(struct planned *p, struct jv plan)
{
	struct jv_cursor c = jv_each(jv_get(plan, "remove"));
	struct jv_member m;
	char id[NAME] = "";

	while (jv_next(&c, &m)) {
		member_text(m.value, "id", id, sizeof id);
		buf_put(&p->removed, id, sizeof id);
	}
}

int planned_note(struct decide_state *s, const struct decide_input *in, struct jv plan, struct err *err)
{
	struct planned **slot = planned_slot(s, in->service), *p = *slot;
	const int64_t from = jv_int_or(jv_get(plan, "from"), 0),
				  generation = jv_int_or(jv_get(in->history, "generation"), 0);
	struct jv_cursor c = jv_each(jv_get(plan, "create"));
	struct jv_member m;

	if (!p && !(p = *slot = planned_new(in->service, err)))
		return -1;
	if (generation >= p->generation) { /* the history tells of the earlier ones by now */
		buf_reset(&p->repairs);
		buf_reset(&p->removed);
	}
	if (planned_names_free(p, in))
		buf_reset(&p->indexes);
	(void)snprintf(p->id, sizeof p->id, "%s", in->id);
	p->at = in->now;
	p->from = from;
	p->to = jv_int_or(jv_get(plan, "to"), from);
	p->out = p->to > from || member_is(plan, "op", "recreate");
	p->in = p->to < from;
	p->repair = member_is(plan, "op", "start") || member_is(plan, "op", "recreate");
	p->generation = generation + 1;
	while (jv_next(&c, &m)) {
		char name[NAME];
		member_text(m.value, "name", name, sizeof name);
		const int64_t made = jv_int_or(jv_get(m.value, "index"), -1);
		const int64_t index = made >= 0 ? made : index_in(in->service, name); /* made again under its old name */
		if (index >= 0)
			buf_put(&p->indexes, &index, sizeof index);
	}
	if (p->repair)
		note_repairs(p, plan);
	note_removals(p, plan);
	return 0;
}

struct planned *planned_take(struct decide_state *s, const char *service)
{
	struct planned **slot = planned_slot(s, service), *p = *slot;

	if (p) {
		*slot = p->next;
		p->next = NULL;
	}
	return p;
}

void planned_free(struct planned *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < LISTS; i++)
		buf_release(list_of(p, i));
	free(p);
}

void planned_put(struct decide_state *s, struct planned *p)
{
	planned_free(planned_take(s, p->service));
	*planned_slot(s, p->service) = p;
}

struct planned *planned_copy(const struct planned *p)
{
	struct planned *copy = malloc(sizeof *copy);

	if (!copy)
		return NULL;
	*copy = *p;
	copy->next = NULL;
	for (size_t i = 0; i < LISTS; i++) {
		struct buf *b = list_of(copy, i), was = *b;
		*b = (struct buf){.max = was.max};
		buf_put(b, was.p, was.n);
	}
	return copy;
}
