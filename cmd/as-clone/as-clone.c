/* as-clone: creates the copies that each plan names, starts them, waits until they are ready. The names are fixed in
 * the plan and every copy carries its operation's id, so that a second run finds what the first one made, finishes what
 * it left half done, and never takes a stranger's container for its own. See as-clone(1). */
#include "cmd/as-clone/clone.h"

#include "base/clock.h"
#include "cmd/front/abreast.h"
#include "cmd/front/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static int64_t jobs = ENGINE_JOBS_START;

static const struct option_row options[] = {
	{'j', "jobs", OPTION_COUNT, "N", &jobs, "create and start at most this many at a time on one host"},
	{0},
};
static const struct command command = {"as-clone", "create the copies that each plan names", "", options};

/* The copies of one record, which are made side by side. */
struct batch {
	struct clone *c;
	struct record *r;
	struct copy *copies;
	size_t n, made, ready, failed; /* for the progress */
	struct placements images;
	struct source live; /* what all of them are like; read once */
	char live_id[128];
	char op_id[64], rule[256], network[64];
	int64_t ready_timeout;
};

static void put_step(struct record *r, const struct copy *c, const char *what, bool ok, int64_t ms, const char *message,
                     const struct buf *container)
{
	struct step step = {.stage = "as-clone",
	                    .what = what,
	                    .name = c->name,
	                    .id = *c->id ? c->id : NULL,
	                    .host = c->host,
	                    .ok = ok,
	                    .ms = ms,
	                    .message = message,
	                    .container = container};
	char *notes = json_array_size(c->notes) && strcmp(what, "create") == 0 ? json_dumps(c->notes, JSON_COMPACT) : NULL;

	step.notes = notes;
	step_put(r, &step);
	free(notes);
}

static void show_progress(const struct batch *b)
{
	front_progress(&b->c->f, "%zu of %zu started, %zu ready, %zu failed", b->made, b->n, b->ready, b->failed);
}

/* One that never got ready goes again: it would count as a replica and serve nobody. */
static void settle_ready(struct batch *b, struct copy *c, const struct ready_wait *w, int64_t ms)
{
	struct buf container = BUF_INIT(LINE_MAX_BYTES / 2);
	struct err undo = {0};
	bool gone;

	if (w->ready) {
		container_json(&container, w->doc, c->host, true);
		put_step(b->r, c, "ready", true, ms, "", &container);
	} else {
		c->failed = true;
		(void)err_set(&c->err, ERR_REMOTE, "host %s: %s did not get ready and was removed: %s", c->host, c->name,
		              w->why);
		(void)c->target->driver->remove(c->target->engine, c->id, true, &gone, &undo);
		put_step(b->r, c, "ready", false, ms, c->err.message, NULL);
	}
	buf_release(&container);
}

static void await_ready(struct batch *b, struct copy *c)
{
	const int64_t began = clock_monotonic_ms();
	struct ready_wait w;

	ready_wait(&b->c->hosts, c->target, c->id, b->rule, *b->network ? b->network : NULL, b->ready_timeout, &w);
	settle_ready(b, c, &w, clock_monotonic_ms() - began);
	json_decref(w.doc);
}

/* What is made anew has a specification of its own. *own is to be released. */
static const struct source *find_source(struct batch *b, struct copy *copy, struct source *own)
{
	if (*copy->like && strcmp(copy->like, b->live_id) == 0)
		return &b->live;
	const int bad = *copy->like ? read_live(b->c, b->r, copy->like, own, &copy->err)
	                            : read_remembered(b->r, copy->name, own, &copy->err);
	return bad ? NULL : own;
}

/* Only what makes its engine work is counted by --jobs. */
static void make_one(struct batch *b, struct copy *copy)
{
	struct source own = {0};
	const struct source *s = NULL;

	copy->failed = true;
	if (copy->target)
		s = find_source(b, copy, &own);
	if (s && image_place(b->c, b->r, &b->images, s, copy, &copy->err) == 0) {
		tasks_enter(b->c->hosts.tasks, &copy->target->gate);
		const int64_t began = clock_monotonic_ms();
		copy->failed = bring_up(b->c, s, copy, b->op_id, &copy->err) < 0;
		copy->ms = clock_monotonic_ms() - began;
		tasks_leave(b->c->hosts.tasks, &copy->target->gate);
	}
	release_source(&own);
}

/* The service of an engine that makes the containers itself: the plan's number, and all of them run. */
static void scale_up(struct batch *b, struct copy *copy)
{
	const struct jv plan = record_get(b->r, "plan");
	struct engine_scale s = {.service = copy->like,
	                         .replicas = jv_int_or(jv_get(plan, "to"), -1),
	                         .back_to = jv_int_or(jv_get(plan, "from"), -1),
	                         .timeout_ms = b->ready_timeout};
	const int64_t began = clock_monotonic_ms();
	char said[ENGINE_SCALE_SAID];

	(void)snprintf(copy->id, sizeof copy->id, "%.64s", copy->like);
	if (s.replicas < 0 || s.back_to < 0)
		copy->failed = err_set(&copy->err, ERR_MISSING, "plan: from and to are needed for %s", copy->name) < 0;
	else
		copy->failed = copy->target->driver->scale(copy->target->engine, &s, &copy->err) < 0;
	engine_scale_said(&s, said);
	put_step(b->r, copy, "scale", !copy->failed, clock_monotonic_ms() - began, copy->failed ? copy->err.message : said,
	         NULL);
	if (s.conflicts)
		front_say(&b->c->f, "%s: tried %d times more, since others changed the service", copy->name, s.conflicts);
	b->made += !copy->failed;
	b->ready += !copy->failed;
	b->failed += copy->failed;
	show_progress(b);
}

/* A task: one copy, until it is ready. */
static void run_copy(void *ctx, size_t i)
{
	struct batch *b = ctx;
	struct copy *copy = &b->copies[i];

	copy->target = engine_hosts_get(&b->c->hosts, copy->host, &copy->err);
	if (copy->target && copy->target->driver->scale) {
		scale_up(b, copy);
		return;
	}
	make_one(b, copy);
	put_step(b->r, copy, "create", !copy->failed, copy->ms,
	         copy->failed    ? copy->err.message
	         : copy->already ? "already"
	                         : "",
	         NULL);
	b->made += !copy->failed;
	show_progress(b);
	if (!copy->failed)
		await_ready(b, copy);
	b->ready += !copy->failed;
	b->failed += copy->failed;
	show_progress(b);
}

static int make_copies(struct clone *c, struct record *r, struct copy *copies, size_t n, struct err *err)
{
	struct batch b = {.c = c, .r = r, .copies = copies, .n = n};
	struct err why = {0};

	steps_op_id(r, b.op_id);
	steps_text(record_get(r, "policy"), "ready", b.rule, sizeof b.rule);
	steps_text(record_get(r, "policy"), "lb_network", b.network, sizeof b.network);
	b.ready_timeout = steps_policy_ms(r, "ready_timeout", 60000);
	for (size_t i = 0; i < n && !*b.live_id; i++)
		(void)snprintf(b.live_id, sizeof b.live_id, "%s", copies[i].like);
	/* When it cannot be read, each copy says so for itself. */
	if (*b.live_id && read_live(c, r, b.live_id, &b.live, &why) < 0)
		b.live_id[0] = '\0';
	b.images.v = calloc(n, sizeof *b.images.v);
	const int bad =
		b.images.v ? tasks_run(c->hosts.tasks, n, run_copy, &b, err) : err_set(err, ERR_TEMPORARY, "out of memory");
	front_progress(&c->f, NULL);
	release_source(&b.live);
	image_release(&b.images);
	return bad;
}

static size_t read_entries(struct jv todo, struct copy *copies)
{
	struct jv_cursor each = jv_each(todo);
	struct jv_member m;
	size_t n = 0;

	while (jv_next(&each, &m)) {
		struct copy *c = &copies[n++];
		steps_text(m.value, "name", c->name, sizeof c->name);
		steps_text(m.value, "host", c->host, sizeof c->host);
		steps_text(m.value, "like", c->like, sizeof c->like);
		c->index = jv_int_or(jv_get(m.value, "index"), -1);
	}
	return n;
}

static void print_dry(struct clone *c, struct record *r, const struct copy *copies, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct err unknown = {0}; /* told when it is done */
		const struct engine_host *h = engine_hosts_get(&c->hosts, copies[i].host, &unknown);
		const struct step step = {.stage = "as-clone",
		                          .what = h && h->driver->scale ? "scale" : "create",
		                          .name = copies[i].name,
		                          .host = copies[i].host,
		                          .ok = true,
		                          .message = "",
		                          .dry = true};
		step_put(r, &step);
	}
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct clone *c = ctx;
	const struct jv todo = steps_todo(r, "create");
	enum record_fate fate = RECORD_PRINT;

	if (!jv_count(todo))
		return RECORD_PRINT;
	struct copy *copies = calloc(jv_count(todo), sizeof *copies);
	if (!copies) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return RECORD_ERROR;
	}
	const size_t n = read_entries(todo, copies);
	if (steps_dry(&c->f, r)) {
		print_dry(c, r, copies, n);
	} else if (make_copies(c, r, copies, n, err) < 0) {
		fate = RECORD_ERROR;
	} else {
		for (size_t i = n; i-- > 0;)
			if (copies[i].failed) {
				*err = copies[i].err;
				fate = RECORD_ERROR;
			}
	}
	for (size_t i = 0; i < n; i++)
		json_decref(copies[i].notes);
	free(copies);
	return fate;
}

int main(int argc, char **argv)
{
	static struct clone c;
	struct err err = {0};
	int done = front_start(&c.f, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_conf(&c.f)) >= 0)
		return done;

	if (engine_hosts_init(&c.hosts, &c.f.conf, &err) < 0)
		return front_fail(&c.f, &err);
	engine_hosts_jobs(&c.hosts, (size_t)jobs);
	done = front_filter_abreast(&c.f, c.hosts.tasks, each, &c, false);
	engine_hosts_release(&c.hosts);
	conf_release(&c.f.conf);
	return done;
}
