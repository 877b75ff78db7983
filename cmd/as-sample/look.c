#include "cmd/as-sample/look.h"

#include "base/clock.h"

#include <stdlib.h>

#include "base/banned.h"

#define SOON_MS 250        /* a look serves what comes so soon after it, whatever its `now` */
#define PASS_MS 10000      /* and so long what was begun before it: the rest of its pass */
#define FIRST_MAX_MS 60000 /* older ones begin no interval */

void sight_drop(struct sight *s)
{
	if (!s || --s->users)
		return;
	lb_look_release(&s->look);
	free(s);
}

static struct sight *keep(struct sight *s)
{
	if (s)
		s->users++;
	return s;
}

static void put(struct sight **at, struct sight *s)
{
	sight_drop(*at);
	*at = keep(s);
}

/* Serves it a record of that time, which came to this stage at `came`? One that came while the look was under way has
 * waited for it. `now` alone is no proof: the clock of the machine that wrote it may be late. */
static bool serves(const struct sight *s, int64_t record_now, int64_t came)
{
	return s &&
	       (came <= s->ended + SOON_MS || (record_now <= s->begun_utc && clock_monotonic_ms() - s->ended <= PASS_MS));
}

static struct sight *look(struct balancers *all, struct balancer *b)
{
	struct sight *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->begun = clock_monotonic_ms();
	s->begun_utc = clock_now_ms();
	if (lb_open(b->conf, &all->means, &b->driver, &b->lb, &s->err) < 0 || b->driver->look(b->lb, &s->look, &s->err) < 0)
		front_say(&all->s->f, "%s", s->err.message);
	else
		s->err.code = ERR_NONE;
	s->ended = clock_monotonic_ms();
	put(&b->last, s);
	return s;
}

/* The latest look when it serves, else a new one; in the caller's hands. */
static struct sight *one(struct balancers *all, struct balancer *b, int64_t record_now, int64_t came)
{
	struct tasks *tasks = all->means.tasks;

	tasks_enter(tasks, &b->look_gate);
	struct sight *s = keep(serves(b->last, record_now, came) ? b->last : look(all, b));
	tasks_leave(tasks, &b->look_gate);
	return s;
}

/* Two looks that are apart. The latest one may be the first of them, also when it was the last of the pass before: then
 * nobody waits. */
static void pair(struct balancers *all, struct balancer *b, int64_t record_now, int64_t came)
{
	struct tasks *tasks = all->means.tasks;
	const int64_t over = all->s->over_ms;
	struct sight *first = keep(b->last), *second;
	int64_t age = first ? clock_monotonic_ms() - first->begun : 0;

	if (!first || first->err.code || age > FIRST_MAX_MS) {
		sight_drop(first);
		first = one(all, b, record_now, came);
		age = 0;
	}
	if (first && !first->err.code) {
		if (age < over / 2)
			tasks_sleep(tasks, first->begun + over - clock_monotonic_ms());
		tasks_enter(tasks, &b->look_gate);
		second = keep(look(all, b));
		tasks_leave(tasks, &b->look_gate);
	} else {
		second = keep(first);
	}
	put(&b->first, first);
	put(&b->second, second);
	sight_drop(first);
	sight_drop(second);
}

struct sight *sight_take(struct balancers *all, struct balancer *b, int64_t record_now, bool rates,
                         struct sight **before)
{
	struct tasks *tasks = all->means.tasks;
	const int64_t came = clock_monotonic_ms();

	*before = NULL;
	if (!rates)
		return one(all, b, record_now, came);
	tasks_enter(tasks, &b->pair_gate);
	if (!serves(b->second, record_now, came))
		pair(all, b, record_now, came);
	struct sight *s = keep(b->second);
	if (s && !s->err.code)
		*before = keep(b->first);
	tasks_leave(tasks, &b->pair_gate);
	return s;
}

int balancers_init(struct sampler *s, struct err *err)
{
	struct balancers *all = calloc(1, sizeof *all);
	const size_t n = s->f.conf.nlbs;

	if (!all || !(all->v = calloc(n + 1, sizeof *all->v))) {
		free(all);
		return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	all->s = s;
	all->means.tasks = s->hosts.tasks;
	for (size_t i = 0; i < n; i++)
		all->v[i] = (struct balancer){.conf = &s->f.conf.lbs[i], .look_gate = {.width = 1}, .pair_gate = {.width = 1}};
	s->balancers = all;
	return 0;
}

void balancers_release(struct sampler *s)
{
	struct balancers *all = s->balancers;

	for (size_t i = 0; all && i < s->f.conf.nlbs; i++) {
		struct balancer *b = &all->v[i];
		put(&b->last, NULL);
		put(&b->first, NULL);
		put(&b->second, NULL);
		if (b->lb)
			b->driver->close(b->lb);
	}
	if (all)
		free(all->v);
	free(all);
	s->balancers = NULL;
}
