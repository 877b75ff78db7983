/* The containers of a service as they would have been: repairs that were done in one of the two pasts only, by name;
 * and as many copies more or fewer as were made or taken away in one of them only. */
#include "policy/simulation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* One container of the record. */
struct seen {
	struct jv c;
	char name[NAME];
	const struct sim_mark *mark;
	int64_t created, index;
	bool counts, removable, gone;
};

struct stage {
	struct scene *scene;
	struct sim_service *s;
	const struct decide_input *in;
	struct seen *v;
	size_t n;
};

bool sim_running(struct jv c)
{
	const struct jv last = jv_get(c, "last_state");

	return container_running(c) || member_is(c, "state", "restarting") ||
	       (member_is(c, "state", "unknown") &&
	        (!jv_here(last) || jv_is(last, "running") || jv_is(last, "restarting")));
}

static bool swarm(const struct decide_input *in)
{
	return member_is(jv_get(in->observed, "template"), "engine", "swarm");
}

int64_t sim_observed(const struct decide_input *in)
{
	struct jv_cursor c = jv_each(jv_get(in->observed, "containers"));
	struct jv_member m;
	int64_t n = 0, replicas;

	while (jv_next(&c, &m))
		n += swarm(in) ? container_running(m.value) : sim_running(m.value);
	return swarm(in) && jv_int(jv_get(jv_get(in->observed, "template"), "replicas"), &replicas) ? replicas : n;
}

static const struct sim_mark *mark_of(const struct sim_service *s, const char *name)
{
	for (size_t i = 0; i < SIM_COUNT(&s->marks, struct sim_mark); i++)
		if (strcmp(SIM_AT(&s->marks, struct sim_mark, i)->name, name) == 0)
			return SIM_AT(&s->marks, struct sim_mark, i);
	return NULL;
}

/* A mark has served its time once the record's own past has come to the same. */
static bool mark_is_over(struct sim_mark *k, struct jv c)
{
	const bool running = jv_here(c) && container_running(c), seen = k->seen;

	k->seen = seen || running;
	switch (k->kind) {
	case SIM_UP: return running;
	case SIM_DOWN: return seen && !running;
	case SIM_HEALED: return !jv_here(c) || !container_unhealthy(c);
	}
	return true;
}

static void end_marks(struct sim_service *s, const struct decide_input *in)
{
	for (size_t i = SIM_COUNT(&s->marks, struct sim_mark); i-- > 0;) {
		struct jv_cursor c = jv_each(jv_get(in->observed, "containers"));
		struct jv_member m;
		struct jv found = {0};
		while (jv_next(&c, &m))
			if (member_is(m.value, "name", SIM_AT(&s->marks, struct sim_mark, i)->name))
				found = m.value;
		if (mark_is_over(SIM_AT(&s->marks, struct sim_mark, i), found))
			sim_drop(&s->marks, sizeof(struct sim_mark), i);
	}
}

/* The record's containers, with what marks say of them. */
static bool look(struct stage *t)
{
	const struct jv list = jv_get(t->in->observed, "containers");
	struct jv_cursor c = jv_each(list);
	struct jv_member m;

	t->v = calloc(jv_count(list) + 1, sizeof *t->v);
	if (!t->v)
		return false;
	while (jv_next(&c, &m)) {
		struct seen *x = &t->v[t->n++];
		x->c = m.value;
		member_text(m.value, "name", x->name, sizeof x->name);
		x->mark = mark_of(t->s, x->name);
		x->counts = sim_running(m.value);
		if (x->mark && x->mark->kind == SIM_UP)
			x->counts = true;
		if (x->mark && x->mark->kind == SIM_DOWN) {
			x->counts = false;
			x->gone = x->mark->made;
		}
		x->removable = x->counts && container_removable(m.value);
		x->index = jv_int_or(jv_get(m.value, "index"), -1);
		(void)clock_json(jv_get(m.value, "created"), &x->created);
	}
	return true;
}

static bool name_there(const struct stage *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->v[i].gone && strcmp(t->v[i].name, name) == 0)
			return true;
	for (size_t i = 0; i < SIM_COUNT(&t->s->copies, struct sim_copy); i++)
		if (strcmp(SIM_AT(&t->s->copies, struct sim_copy, i)->name, name) == 0)
			return true;
	return false;
}

/* Copies of the simulation whose name the record has by now are that container. */
static void merge_copies(struct stage *t)
{
	for (size_t i = SIM_COUNT(&t->s->copies, struct sim_copy); i-- > 0;)
		for (size_t k = 0; k < t->n; k++)
			if (!t->v[k].gone && strcmp(t->v[k].name, SIM_AT(&t->s->copies, struct sim_copy, i)->name) == 0) {
				sim_drop(&t->s->copies, sizeof(struct sim_copy), i);
				break;
			}
}

/* The newest copy of the record goes, and then the last of our own. False: only what stays is left. */
static bool one_fewer(struct stage *t)
{
	const size_t own = SIM_COUNT(&t->s->copies, struct sim_copy);
	struct seen *newest = NULL;

	for (size_t i = 0; i < t->n; i++) {
		struct seen *x = &t->v[i];
		if (x->removable && !x->gone &&
		    (!newest || x->created > newest->created || (x->created == newest->created && x->index > newest->index)))
			newest = x;
	}
	if (newest)
		newest->gone = true;
	else if (own)
		sim_drop(&t->s->copies, sizeof(struct sim_copy), own - 1);
	return newest || own;
}

/* Where the template is, else the first host that answers. */
static void usual_host(const struct stage *t, char out[NAME])
{
	struct jv_cursor c = jv_each(jv_get(t->in->observed, "hosts"));
	struct jv_member m;

	member_text(jv_get(t->in->observed, "template"), "host", out, NAME);
	while (!*out && jv_next(&c, &m))
		if (jv_is_true(jv_get(m.value, "ok")))
			member_text(m.value, "name", out, NAME);
}

static bool one_more(struct stage *t)
{
	struct sim_copy copy = {.index = 0, .created = t->in->now};

	do
		(void)snprintf(copy.name, sizeof copy.name, "%s-%lld", t->in->service, (long long)++copy.index);
	while (name_there(t, copy.name));
	usual_host(t, copy.host);
	buf_put(&t->s->copies, &copy, sizeof copy);
	return !t->s->copies.failed;
}

static int64_t there(const struct stage *t)
{
	int64_t n = (int64_t)SIM_COUNT(&t->s->copies, struct sim_copy);

	for (size_t i = 0; i < t->n; i++)
		n += t->v[i].counts && !t->v[i].gone;
	for (size_t i = 0; i < SIM_COUNT(&t->s->marks, struct sim_mark); i++) {
		const struct sim_mark *k = SIM_AT(&t->s->marks, struct sim_mark, i);
		n += k->kind == SIM_UP && k->made && !name_there(t, k->name);
	}
	return n;
}

/* As many as there would be. What cannot be taken away was not there to be taken: an original, or one that a person
 * removed in the meantime. */
static void settle_count(struct stage *t)
{
	const int64_t own = (int64_t)SIM_COUNT(&t->s->copies, struct sim_copy);
	const int64_t want = there(t) - own + t->scene->under_way + t->s->delta;
	int64_t now = there(t);
	while (now > want && one_fewer(t))
		now--;
	while (now < want && one_more(t))
		now++;
	t->s->delta += now - want;
	t->scene->count = now;
}

/* ---- as text ---- */

static void put_key(struct buf *out, const struct jv_member *m)
{
	buf_json_comma(out);
	buf_printf(out, "\"%.*s\":", (int)m->name.n, m->name.p);
}

/* A container with these members instead of its own. */
static void put_container(struct buf *out, struct jv c, const char *state, bool ready, const char *health)
{
	struct jv_cursor each = jv_each(c);
	struct jv_member m;

	buf_json_comma(out);
	buf_putc(out, '{');
	while (jv_next(&each, &m)) {
		if (jv_name_is(&m, "state") || jv_name_is(&m, "ready") || jv_name_is(&m, "health"))
			continue;
		put_key(out, &m);
		buf_put(out, m.value.p, m.value.n);
	}
	buf_json_member_str(out, "state", state);
	buf_json_member_str(out, "health", health);
	buf_json_member_bool(out, "ready", ready);
	buf_putc(out, '}');
}

static void put_new(struct buf *out, const struct decide_input *in, const struct sim_copy *copy)
{
	char id[NAME + 16], like[NAME];

	member_text(jv_get(in->observed, "template"), "name", like, sizeof like);
	(void)snprintf(id, sizeof id, "simulated-%s", copy->name);
	buf_json_comma(out);
	buf_putc(out, '{');
	buf_json_member_str(out, "id", id);
	buf_json_member_str(out, "name", copy->name);
	buf_json_member_str(out, "host", copy->host);
	buf_json_member_str(out, "state", "running");
	buf_json_member_str(out, "health", NULL);
	clock_json_member(out, "created", copy->created);
	clock_json_member(out, "started", copy->created);
	buf_json_key(out, "index");
	if (copy->index >= 0)
		buf_json_int(out, copy->index);
	else
		buf_puts(out, "null");
	buf_json_member_bool(out, "copy", copy->index >= 0);
	buf_json_member_str(out, "copy_of", copy->index >= 0 ? like : NULL);
	buf_json_member_bool(out, "ready", true);
	buf_puts(out, ",\"labels\":{}}");
}

/* Where the name ends in "-K" behind the service's: K; else -1. */
static int64_t index_of(const char *service, const char *name)
{
	const size_t n = strlen(service);
	long long index;
	char end;

	if (strncmp(name, service, n) != 0 || sscanf(name + n, "-%lld%c", &index, &end) != 1 || index < 1)
		return -1;
	return index;
}

static void put_seen(struct stage *t, struct buf *out, const struct seen *x)
{
	const struct jv id = jv_get(x->c, "id");

	if (x->gone) {
		buf_put(&t->scene->gone, &id, sizeof id);
	} else if (!x->mark || (x->mark->kind == SIM_HEALED && !container_unhealthy(x->c))) {
		buf_json_comma(out);
		buf_put(out, x->c.p, x->c.n);
	} else if (x->mark->kind == SIM_DOWN) {
		put_container(out, x->c, "exited", false, NULL);
		buf_put(&t->scene->gone, &id, sizeof id);
	} else {
		put_container(out, x->c, "running", true, x->mark->kind == SIM_HEALED ? "healthy" : NULL);
	}
}

static void put_containers(struct stage *t, struct buf *out)
{
	buf_putc(out, '[');
	for (size_t i = 0; i < t->n; i++)
		put_seen(t, out, &t->v[i]);
	for (size_t i = 0; i < SIM_COUNT(&t->s->copies, struct sim_copy); i++) {
		struct sim_copy *copy = SIM_AT(&t->s->copies, struct sim_copy, i);
		if (copy->index < 0)
			copy->index = index_of(t->in->service, copy->name);
		put_new(out, t->in, copy);
		buf_put(&t->scene->came, copy, sizeof *copy);
	}
	for (size_t i = 0; i < SIM_COUNT(&t->s->marks, struct sim_mark); i++) {
		const struct sim_mark *k = SIM_AT(&t->s->marks, struct sim_mark, i);
		struct sim_copy again = {.index = index_of(t->in->service, k->name), .created = t->s->since};
		if (k->kind != SIM_UP || !k->made || name_there(t, k->name))
			continue;
		memcpy(again.name, k->name, sizeof again.name);
		memcpy(again.host, k->host, sizeof again.host);
		put_new(out, t->in, &again);
		buf_put(&t->scene->came, &again, sizeof again);
	}
	buf_putc(out, ']');
}

/* What was made again is not missing, and what was not is. */
static void put_remembered(const struct stage *t, struct buf *out, struct jv list)
{
	struct jv_cursor c = jv_each(list), each;
	struct jv_member m, member;
	char name[NAME];

	buf_putc(out, '[');
	while (jv_next(&c, &m)) {
		member_text(m.value, "name", name, sizeof name);
		const struct sim_mark *k = mark_of(t->s, name);
		const bool made = k && k->made && k->kind != SIM_HEALED;
		buf_json_comma(out);
		buf_putc(out, '{');
		for (each = jv_each(m.value); jv_next(&each, &member);) {
			put_key(out, &member);
			if (made && jv_name_is(&member, "missing"))
				buf_json_bool(out, k->kind == SIM_DOWN);
			else
				buf_put(out, member.value.p, member.value.n);
		}
		buf_putc(out, '}');
	}
	buf_putc(out, ']');
}

static void put_template(const struct stage *t, struct buf *out, struct jv template)
{
	struct jv_cursor c = jv_each(template);
	struct jv_member m;

	buf_putc(out, '{');
	while (jv_next(&c, &m)) {
		put_key(out, &m);
		if (jv_name_is(&m, "replicas"))
			buf_json_int(out, t->scene->count);
		else
			buf_put(out, m.value.p, m.value.n);
	}
	buf_putc(out, '}');
}

/* The numbers beside the list. */
static void put_counts(struct buf *out, struct jv containers)
{
	struct jv_cursor c = jv_each(containers);
	struct jv_member m;
	int64_t running = 0, ready = 0, stopped = 0;

	while (jv_next(&c, &m)) {
		running += container_running(m.value);
		ready += container_running(m.value) && jv_is_true(jv_get(m.value, "ready"));
		stopped += container_stopped(m.value);
	}
	buf_json_member_int(out, "running", running);
	buf_json_member_int(out, "ready", ready);
	buf_json_member_int(out, "starting", running - ready);
	buf_json_member_int(out, "stopped", stopped);
}

static bool counted_anew(const struct jv_member *m)
{
	return jv_name_is(m, "running") || jv_name_is(m, "ready") || jv_name_is(m, "starting") || jv_name_is(m, "stopped");
}

static void put_observed(struct stage *t, bool is_swarm)
{
	struct buf *out = &t->scene->observed, list = BUF_INIT(LINE_MAX_BYTES);
	struct jv_cursor c = jv_each(t->in->observed);
	struct jv_member m;

	if (!is_swarm)
		put_containers(t, &list);
	buf_putc(out, '{');
	while (jv_next(&c, &m)) {
		if (!is_swarm && counted_anew(&m))
			continue;
		put_key(out, &m);
		if (!is_swarm && jv_name_is(&m, "containers"))
			buf_put(out, list.p, list.n);
		else if (is_swarm && jv_name_is(&m, "template"))
			put_template(t, out, m.value);
		else if (!is_swarm && jv_name_is(&m, "remembered") && jv_is_array(m.value))
			put_remembered(t, out, m.value);
		else
			buf_put(out, m.value.p, m.value.n);
	}
	if (!is_swarm)
		put_counts(out, (struct jv){list.p, list.n});
	buf_putc(out, '}');
	out->failed = out->failed || list.failed;
	buf_release(&list);
}

void scene_containers(struct scene *scene, struct sim_service *s, const struct decide_input *in)
{
	struct stage t = {.scene = scene, .s = s, .in = in};
	const bool is_swarm = swarm(in);

	scene->count = scene->recorded;
	if (is_swarm) {
		scene->count += scene->under_way + s->delta;
		if (scene->count < 0)
			scene->count = 0;
		buf_reset(&s->copies);
		buf_reset(&s->marks);
	} else {
		end_marks(s, in);
		if (!look(&t)) {
			scene->observed.failed = true;
			return;
		}
		merge_copies(&t);
		settle_count(&t);
	}
	put_observed(&t, is_swarm);
	free(t.v);
}
