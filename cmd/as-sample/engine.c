/* docker.cpu and docker.memory: every container that runs, each in a task of its own. Whoever comes first of a
 * service's metrics takes all of them in the same looks. */
#include "cmd/as-sample/sample.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define AT_ONCE 128  /* containers that one engine is asked for */
#define DOWN_MS 5000 /* for so long a host that did not answer is not asked again */

enum { CPU, MEMORY, KINDS };
static const struct kind {
	const char *name, *unit;
} kinds[KINDS] = {{"docker.cpu", "%"}, {"docker.memory", "bytes"}};

struct container {
	char id[80], host[SERVICE_NAME_MAX + 1];
};

struct looks {
	struct sampling *m;
	bool asked[KINDS];
	struct container *v;
};

/* One for each host of the configuration. Who waited at its gate while others found out that it is down need not. */
static struct manners {
	struct tasks_gate gate;
	int64_t down_until; /* monotonic ms */
	struct err why;
} manners[CONFIG_HOSTS_MAX];

/* ---- one look ---- */

static int ask(struct sampler *s, struct engine_host *h, const char *id, struct engine_stats *out, struct err *err)
{
	struct manners *of = &manners[h - s->hosts.v];
	int bad = -1;

	of->gate.width = AT_ONCE;
	tasks_enter(s->hosts.tasks, &of->gate);
	if (clock_monotonic_ms() < of->down_until)
		*err = of->why;
	else
		bad = h->driver->stats(h->engine, id, out, err);
	tasks_leave(s->hosts.tasks, &of->gate);
	if (bad && err->code == ERR_UNAVAILABLE && clock_monotonic_ms() >= of->down_until) {
		of->down_until = clock_monotonic_ms() + DOWN_MS;
		of->why = *err;
	}
	return bad;
}

/* A swarm's container that is not on the manager's node: one of the other hosts may be its node. */
static int ask_nodes(struct sampler *s, const char *id, struct engine_stats *out)
{
	struct err unused;

	for (size_t i = 0; i < s->f.conf.nhosts; i++) {
		struct engine_host *h = engine_hosts_get(&s->hosts, s->f.conf.hosts[i].name, &unused);
		if (h && !h->driver->scale && ask(s, h, id, out, &unused) == 0)
			return 0;
	}
	return -1;
}

static int look(struct sampler *s, const struct container *c, struct engine_stats *out, struct err *err)
{
	struct engine_host *h = engine_hosts_get(&s->hosts, c->host, err);

	if (!h)
		return -1;
	if (ask(s, h, c->id, out, err) == 0)
		return 0;
	return h->driver->scale && err->code == ERR_NOT_FOUND ? ask_nodes(s, c->id, out) : -1;
}

/* ---- one container ---- */

/* Percent of one processor, in millionths. */
static int cpu(const struct engine_stats *a, const struct engine_stats *b, int64_t *micro, struct err *err)
{
	const int64_t used = b->cpu_ns - a->cpu_ns, passed = b->at_ns - a->at_ns;

	if (a->cpu_ns < 0 || b->cpu_ns < 0)
		return err_set(err, ERR_REMOTE, "the engine does not tell its processor time");
	if (used < 0 || passed <= 0)
		return err_set(err, ERR_TEMPORARY, "it was started again between two looks");
	const __int128 value = (__int128)used * 100 * 1000000 / passed;
	if (value > INT64_MAX)
		return err_set(err, ERR_REMOTE, "the engine tells more processor time than there is");
	*micro = (int64_t)value;
	return 0;
}

static int memory(const struct engine_stats *b, int64_t *micro, struct err *err)
{
	if (b->memory < 0 || b->memory > INT64_MAX / 1000000)
		return err_set(err, ERR_REMOTE, "the engine does not tell its memory: does the kernel count it (docker info)?");
	*micro = b->memory * 1000000;
	return 0;
}

static void look_at(void *ctx, size_t i)
{
	const struct looks *l = ctx;
	const struct container *c = &l->v[i];
	struct sampler *s = l->m->s;
	struct engine_stats a = {0}, b = {0};
	char source[80];
	struct err err;

	(void)snprintf(source, sizeof source, "engine:%s", c->host);
	int bad = look(s, c, &b, &err);
	if (!bad && l->asked[CPU]) {
		a = b;
		/* Docker looks once a second for all who ask, and has each wait for that: whoever asks a little early gets
		 * the next look, not the one after it. The times of the looks count, not ours. */
		tasks_sleep(s->hosts.tasks, s->over_ms - s->over_ms / 10);
		bad = look(s, c, &b, &err);
	}
	for (size_t k = 0; k < KINDS; k++) {
		struct reading r = {.name = kinds[k].name,
		                    .id = c->id,
		                    .per = PER_CONTAINER,
		                    .unit = kinds[k].unit,
		                    .source = source,
		                    .at = clock_now_ms()};
		if (!l->asked[k])
			continue;
		if (bad || (k == CPU ? cpu(&a, &b, &r.micro, &err) : memory(&b, &r.micro, &err)) < 0)
			r.why = err.message;
		put_reading(l->m, &r);
	}
}

/* ---- a service ---- */

static size_t running(const struct sampling *m, struct container *v)
{
	struct jv_cursor c = jv_each(jv_get(m->observed, "containers"));
	struct jv_member e;
	size_t n = 0;

	while (jv_next(&c, &e)) {
		if (!jv_is(jv_get(e.value, "state"), "running") || !jv_str(jv_get(e.value, "id"), v[n].id, sizeof v[n].id))
			continue;
		if (!jv_str(jv_get(e.value, "host"), v[n].host, sizeof v[n].host))
			*v[n].host = '\0';
		n++;
	}
	return n;
}

static void fail_all(const struct looks *l, const struct err *err)
{
	for (size_t k = 0; k < KINDS; k++)
		if (l->asked[k])
			put_failure(l->m, kinds[k].name, PER_CONTAINER, "engine", err);
}

static void take(struct looks *l)
{
	const struct jv containers = jv_get(l->m->observed, "containers");
	struct err err;

	if (!jv_is_array(containers)) {
		(void)err_set(&err, ERR_MISSING, "the record has no observed.containers: put as-inspect before as-sample");
		fail_all(l, &err);
		return;
	}
	l->v = calloc(jv_count(containers) + 1, sizeof *l->v);
	if (!l->v) {
		(void)err_set(&err, ERR_TEMPORARY, "out of memory");
		fail_all(l, &err);
		return;
	}
	if (tasks_run(l->m->s->hosts.tasks, running(l->m, l->v), look_at, l, &err) < 0)
		fail_all(l, &err);
	free(l->v);
}

/* Which kind it is; KINDS: none. */
static size_t kind_of(const char *name)
{
	size_t k = 0;

	while (k < KINDS && strcmp(name, kinds[k].name) != 0)
		k++;
	return k;
}

void sample_engine(struct sampling *m, const struct metric *metric)
{
	struct looks l = {.m = m};
	struct err err;

	if (kind_of(metric->name) == KINDS) {
		(void)err_set(&err, ERR_INPUT, "nothing measures \"%s\": an engine tells docker.cpu and docker.memory",
		              metric->name);
		put_failure(m, metric->name, PER_CONTAINER, "engine", &err);
		return;
	}
	/* One task of a service waits for those of its containers, not one for each metric: tasks that wait for others
	 * count among TASKS_AT_ONCE, and those of all records in hand must leave room. */
	for (const struct metric *a = m->asked; a < m->asked + m->nasked; a++) {
		const size_t k = kind_of(a->name);
		if (k < KINDS && a < metric && !l.asked[CPU] && !l.asked[MEMORY])
			return;
		if (k < KINDS)
			l.asked[k] = true;
	}
	take(&l);
}
