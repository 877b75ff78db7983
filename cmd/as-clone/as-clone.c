/* as-clone: creates the copies that each plan names, starts them, waits until they are ready. The names are fixed in
 * the plan and every copy carries its operation's id, so that a second run finds what the first one made, finishes what
 * it left half done, and never takes a stranger's container for its own. See as-clone(1). */
#include "cmd/as-clone/clone.h"

#include "base/clock.h"
#include "cmd/front/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static const struct option_row options[] = {{0}};
static const struct command command = {"as-clone", "create the copies that each plan names", "", options};

static void put_step(struct record *r, const struct copy *c, const char *what, bool ok, int64_t ms, const char *message,
                     const struct buf *container)
{
	const struct step step = {.stage = "as-clone",
	                          .what = what,
	                          .name = c->name,
	                          .id = *c->id ? c->id : NULL,
	                          .host = c->host,
	                          .ok = ok,
	                          .ms = ms,
	                          .message = message,
	                          .container = container};

	step_put(r, &step);
}

/* One that never got ready goes again: it would count as a replica and serve nobody. */
static void settle_ready(struct record *r, struct copy *c, const struct ready_wait *w, int64_t ms)
{
	struct buf container = BUF_INIT(LINE_MAX_BYTES / 2);
	struct err undo = {0};
	bool gone;

	if (w->ready) {
		container_json(&container, w->doc, c->host, true);
		put_step(r, c, "ready", true, ms, "", &container);
	} else {
		c->failed = true;
		(void)err_set(&c->err, ERR_REMOTE, "host %s: %s did not get ready and was removed: %s", c->host, c->name,
		              w->why);
		(void)c->target->driver->remove(c->target->engine, c->id, true, &gone, &undo);
		put_step(r, c, "ready", false, ms, c->err.message, NULL);
	}
	buf_release(&container);
}

static void wait_ready(struct record *r, struct copy *copies, size_t n)
{
	char rule[256], network[64];
	const int64_t began = clock_monotonic_ms();
	struct ready_wait *w = calloc(n + 1, sizeof *w);
	size_t m = 0;

	steps_text(record_get(r, "policy"), "ready", rule, sizeof rule);
	steps_text(record_get(r, "policy"), "lb_network", network, sizeof network);
	for (size_t i = 0; w && i < n; i++)
		if (!copies[i].failed)
			w[m++] = (struct ready_wait){.host = copies[i].target, .id = copies[i].id};
	if (w)
		ready_wait(w, m, rule, *network ? network : NULL, steps_policy_ms(r, "ready_timeout", 60000));
	const int64_t ms = clock_monotonic_ms() - began;
	for (size_t i = 0, k = 0; w && i < n; i++) {
		if (copies[i].failed)
			continue;
		settle_ready(r, &copies[i], &w[k], ms);
		json_decref(w[k++].doc);
	}
	free(w);
}

/* Copies of one record are like one container, read once; what is made anew has a specification each. */
static int make_one(struct clone *c, const struct record *r, struct source *live, struct copy *copy, const char *op_id)
{
	struct source own = {0};
	int bad = 0;

	if (!*copy->like)
		bad = read_remembered(r, copy->name, &own, &copy->err);
	else if (!live->doc)
		bad = read_live(c, r, copy->like, live, &copy->err);
	if (!bad)
		bad = bring_up(c, *copy->like ? live : &own, copy, op_id, &copy->err);
	release_source(&own);
	return bad;
}

static void start_copies(struct clone *c, struct record *r, struct copy *copies, size_t n)
{
	struct source live = {0};
	char op_id[64];

	steps_op_id(r, op_id);
	for (size_t i = 0; i < n; i++) {
		struct copy *copy = &copies[i];
		const int64_t began = clock_monotonic_ms();
		copy->failed = make_one(c, r, &live, copy, op_id) < 0;
		copy->ms = clock_monotonic_ms() - began;
		put_step(r, copy, "create", !copy->failed, copy->ms,
		         copy->failed    ? copy->err.message
		         : copy->already ? "already"
		                         : "",
		         NULL);
	}
	release_source(&live);
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

static void print_dry(struct record *r, const struct copy *copies, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct step step = {.stage = "as-clone",
		                          .what = "create",
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
		print_dry(r, copies, n);
	} else {
		start_copies(c, r, copies, n);
		wait_ready(r, copies, n);
		for (size_t i = n; i-- > 0;)
			if (copies[i].failed) {
				*err = copies[i].err;
				fate = RECORD_ERROR;
			}
	}
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
	done = front_filter(&c.f, each, &c, false);
	engine_hosts_release(&c.hosts);
	conf_release(&c.f.conf);
	return done;
}
