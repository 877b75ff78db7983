/* One record of a replay: decided as it is, or as it would have been. */
#include "policy/simulation.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define BUCKETS 4096

struct simulation {
	struct decide_state *state;
	struct sim_service *bucket[BUCKETS];
};

struct simulation *simulation_new(void)
{
	struct simulation *s = calloc(1, sizeof *s);

	if (s && !(s->state = decide_state_new())) {
		free(s);
		return NULL;
	}
	return s;
}

void simulation_free(struct simulation *s)
{
	for (size_t i = 0; s && i < BUCKETS; i++)
		for (struct sim_service *v = s->bucket[i], *next; v; v = next) {
			struct buf *const lists[] = {&v->wants, &v->moves, &v->copies, &v->marks, &v->effects, &v->repairs};
			next = v->next;
			for (size_t k = 0; k < sizeof lists / sizeof *lists; k++)
				buf_release(lists[k]);
			free(v);
		}
	if (s)
		decide_state_free(s->state);
	free(s);
}

static struct sim_service *service_of(struct simulation *s, const char *name)
{
	struct sim_service **slot = &s->bucket[hash_text(name) % BUCKETS];

	while (*slot && strcmp((*slot)->service, name) != 0)
		slot = &(*slot)->next;
	if (*slot)
		return *slot;
	struct sim_service *v = calloc(1, sizeof *v);
	if (!v)
		return NULL;
	(void)snprintf(v->service, sizeof v->service, "%s", name);
	v->seen = TIME_NONE;
	v->last_out = v->last_in = v->acted_at = TIME_NONE;
	v->wants = v->moves = v->effects = v->repairs = (struct buf)BUF_INIT(SIM_KEPT);
	v->copies = (struct buf)BUF_INIT(REPLICAS_MAX * sizeof(struct sim_copy));
	v->marks = (struct buf)BUF_INIT(REPLICAS_MAX * sizeof(struct sim_mark));
	return *slot = v;
}

/* ---- as it was: what the process that decided it remembered is found out ---- */

static bool same_member(struct jv a, struct jv b, const char *name)
{
	const struct jv x = jv_get(a, name), y = jv_get(b, name);

	return x.n == y.n && (x.n == 0 || memcmp(x.p, y.p, x.n) == 0);
}

/* How like the recorded plan is this one? 2: it is that; 1: it does the same. */
static int likeness(const struct buf *plan, struct jv recorded)
{
	static const char *const members[] = {"op", "from", "to", "create", "start", "remove", "defer"};
	const struct jv own = {plan->p, plan->n};

	if (plan->n == recorded.n && plan->n && memcmp(plan->p, recorded.p, plan->n) == 0)
		return 2;
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		if (!same_member(own, recorded, members[i]))
			return 0;
	return 1;
}

/* Records of one `now`, or of a history that does not show the plan, are of one stream with it. Others may be: a line
 * that follows keeps its memory from batch to batch. */
static bool remembers(const struct planned *p, const struct decide_input *in)
{
	return p->at == in->now || jv_int_or(jv_get(in->history, "generation"), 0) < p->generation;
}

/* Once more, with the other memory. */
static int again(struct simulation *s, const struct decide_input *in, struct planned *memory, struct buf *plan,
                 struct err *err)
{
	planned_free(planned_take(s->state, in->service));
	if (memory)
		planned_put(s->state, memory);
	buf_reset(plan);
	*err = (struct err){0};
	return decide(s->state, in, plan, err);
}

static bool plan_acts(const struct buf *plan)
{
	const struct jv p = {plan->p, plan->n};

	return !member_is(p, "op", "none") && !member_is(p, "op", "attach");
}

/* With the memory of this stream and without it: that which leads to the recorded plan is what the process had. */
static int decide_as_then(struct simulation *s, const struct decide_input *in, struct jv recorded, struct buf *plan,
                          struct err *err)
{
	struct planned *p = planned_get(s->state, in->service);
	struct err first = {0};

	if (!p)
		return decide(s->state, in, plan, err);
	const bool likely = remembers(p, in);
	if (!jv_is_object(recorded)) {
		if (!likely)
			planned_free(planned_take(s->state, in->service));
		return decide(s->state, in, plan, err);
	}
	struct planned *kept = planned_copy(p);
	if (!kept)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	int bad = decide(s->state, in, plan, &first);
	const int with = likeness(plan, recorded);
	if (with == 2) {
		planned_free(kept);
		*err = first;
		return bad;
	}
	bad = again(s, in, NULL, plan, err);
	const int without = likeness(plan, recorded);
	if (without < 2 && (with > without || (with == without && likely)))
		return again(s, in, kept, plan, err);
	if (plan_acts(plan))
		planned_free(kept);
	else
		planned_put(s->state, kept); /* who knows */
	return bad;
}

/* The history with the wants of this replay, where the recorded ones do not reach back. */
static int decide_with_wants(struct simulation *s, struct sim_service *v, struct jv recorded, struct scene *scene,
                             struct buf *plan, struct err *err)
{
	scene_history(scene, v, scene->in.history);
	scene->in.history = (struct jv){scene->history.p, scene->history.n};
	return buf_ok(&scene->history, err) < 0 ? -1 : decide_as_then(s, &scene->in, recorded, plan, err);
}

/* The record's own history first: with that the recorded plan was decided. Another policy may look back further. */
static int decide_as_recorded(struct simulation *s, struct sim_service *v, struct jv recorded, struct scene *scene,
                              struct buf *plan, struct err *err)
{
	const struct planned *p = planned_get(s->state, v->service);
	struct err first = {0};

	if (v->strayed)
		return decide_with_wants(s, v, recorded, scene, plan, err);
	if (!sim_knows_more(v, &scene->in))
		return decide_as_then(s, &scene->in, recorded, plan, err);
	struct planned *before = p ? planned_copy(p) : NULL;
	if (p && !before)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	const int bad = decide_as_then(s, &scene->in, recorded, plan, &first);
	if (likeness(plan, recorded) == 2) {
		planned_free(before);
		*err = first;
		return bad;
	}
	planned_free(planned_take(s->state, v->service));
	if (before)
		planned_put(s->state, before);
	buf_reset(plan);
	return decide_with_wants(s, v, recorded, scene, plan, err);
}

static int as_it_is(struct simulation *s, struct sim_service *v, const struct sim_plan *recorded, struct scene *scene,
                    struct buf *plan, struct err *err)
{
	const struct jv like = recorded->told && !recorded->resumed ? recorded->plan : (struct jv){0};
	const int bad = decide_as_recorded(s, v, like, scene, plan, err);

	/* Another process had promised an operation since the history was read: that was carried out, whatever this one
	 * decided. */
	if (!bad && recorded->resumed) {
		buf_reset(plan);
		buf_put(plan, recorded->plan.p, recorded->plan.n);
	}
	return bad;
}

/* ---- as it would have been ---- */

static int as_it_would_be(struct simulation *s, struct sim_service *v, const struct simulate_record *r,
                          struct scene *scene, struct buf *plan, struct err *err)
{
	const struct planned *p = planned_get(s->state, r->in.service);

	if (p && p->at != r->in.now)
		planned_free(planned_take(s->state, r->in.service));
	scene_containers(scene, v, &r->in);
	scene->in.observed = (struct jv){scene->observed.p, scene->observed.n};
	if (jv_is_array(r->in.metrics)) {
		scene_metrics(scene, r->in.metrics);
		scene->in.metrics = (struct jv){scene->metrics.p, scene->metrics.n};
	}
	scene_history(scene, v, r->in.history);
	scene->in.history = (struct jv){scene->history.p, scene->history.n};
	if (buf_ok(&scene->observed, err) < 0 || buf_ok(&scene->metrics, err) < 0 || buf_ok(&scene->history, err) < 0)
		return -1;
	return decide(s->state, &scene->in, plan, err);
}

static void put_member(const struct sim_service *v, const struct scene *scene, const struct sim_plan *recorded,
                       const struct sim_plan *decided, struct buf *out)
{
	const int64_t count = decided->acted ? decided->to : decided->from;

	buf_putc(out, '{');
	buf_json_member_int(out, "count", count);
	buf_json_member_int(out, "recorded", v->diverged ? scene->recorded + scene->under_way + recorded->moved : count);
	buf_json_member_bool(out, "diverged", v->diverged);
	buf_json_key(out, "load");
	simulate_load(&scene->in, out);
	buf_putc(out, '}');
}

/* A record out of its place: nothing is decided, and nothing noted. */
static int too_late(const struct sim_service *v, const struct decide_input *in, struct buf *plan, struct buf *member,
                    struct err *err)
{
	char text[CLOCK_TEXT];

	clock_format(v->seen, text);
	(void)err_set(err, ERR_INPUT, "a record of %s at %s came before this one, which is older: sort them by `now`",
	              in->service, text);
	const long long n = (long long)sim_observed(in);
	buf_printf(plan, "{\"op\":\"none\",\"from\":%lld,\"to\":%lld,\"create\":[],\"start\":[],\"remove\":[],", n, n);
	buf_puts(plan, "\"reason\":\"not decided: a later record of the service came before\",\"trace\":[]}");
	buf_puts(member, "null");
	return -1;
}

int simulate(struct simulation *s, const struct simulate_record *r, struct buf *plan, struct buf *member,
             struct err *err)
{
	struct sim_service *v = service_of(s, r->in.service);
	struct scene scene = {.in = r->in,
	                      .observed = BUF_INIT(2 * LINE_MAX_BYTES),
	                      .metrics = BUF_INIT(2 * LINE_MAX_BYTES),
	                      .history = BUF_INIT(8 * LINE_MAX_BYTES),
	                      .gone = BUF_INIT(LINE_MAX_BYTES),
	                      .came = BUF_INIT(REPLICAS_MAX * sizeof(struct sim_copy))};

	if (!v)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	const struct sim_plan recorded = sim_recorded(r, scene.recorded = sim_observed(&r->in));
	/* Passes run beside each other, so that a short one may be told of before a longer one that began earlier. */
	if (v->seen != TIME_NONE && r->in.now < v->seen && (v->diverged || !recorded.told))
		return too_late(v, &r->in, plan, member, err);
	v->seen = r->in.now > v->seen ? r->in.now : v->seen;
	sim_prune(v, r->in.now);
	scene.under_way = sim_under_way(v, &r->in);
	const int bad =
		v->diverged ? as_it_would_be(s, v, r, &scene, plan, err) : as_it_is(s, v, &recorded, &scene, plan, err);
	struct sim_plan decided = {.plan = {plan->p, plan->n}};
	if (plan->n && buf_ok(plan, &(struct err){0}) == 0) {
		sim_note(v, r, &recorded, &decided);
		put_member(v, &scene, &recorded, &decided, member);
	}
	buf_release(&scene.observed);
	buf_release(&scene.metrics);
	buf_release(&scene.history);
	buf_release(&scene.gone);
	buf_release(&scene.came);
	return bad;
}
