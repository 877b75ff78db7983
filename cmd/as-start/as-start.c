/* as-start: starts what the plan says is stopped, and waits until it counts as ready. See as-start(1). */
#include "base/clock.h"
#include "cmd/front/abreast.h"
#include "cmd/front/front.h"
#include "cmd/front/steps.h"
#include "engine/hosts.h"

#include <stdlib.h>

#include "base/banned.h"

static int64_t jobs = ENGINE_JOBS_START;

static const struct option_row options[] = {
	{'j', "jobs", OPTION_COUNT, "N", &jobs, "start at most this many at a time on one host"},
	{0},
};
static const struct command command = {"as-start", "start the stopped containers of each plan", "", options};

struct start {
	struct front f;
	struct engine_hosts hosts;
};

/* The containers of one record, which are started side by side. */
struct batch {
	struct start *s;
	struct record *r;
	struct jv *entries;
	char rule[256], network[64];
	int64_t ready_timeout;
	struct err *err; /* the first failure */
};

static int start_one(struct batch *b, const char *id, const char *name, const char *host, bool *already,
                     struct buf *container, struct err *err)
{
	struct engine_hosts *hosts = &b->s->hosts;
	struct engine_host *h = engine_hosts_get(hosts, host, err);
	struct ready_wait w;

	if (!h)
		return -1;
	tasks_enter(hosts->tasks, &h->gate);
	int bad = h->driver->start(h->engine, id, already, err);
	tasks_leave(hosts->tasks, &h->gate);
	if (bad)
		return -1;
	ready_wait(hosts, h, id, b->rule, *b->network ? b->network : NULL, b->ready_timeout, &w);
	if (w.ready)
		container_json(container, w.doc, host, true);
	else
		bad = err_set(err, ERR_REMOTE, "host %s: %s was started but is not ready: %s", host, name, w.why);
	json_decref(w.doc);
	return bad;
}

/* A task: one container, started, ready, and one step that tells it. */
static void run_start(void *ctx, size_t i)
{
	struct batch *b = ctx;
	char id[128], name[256], host[SERVICE_NAME_MAX + 1];
	struct buf container = BUF_INIT(LINE_MAX_BYTES / 2);
	const int64_t began = clock_monotonic_ms();
	struct step step = {.stage = "as-start", .what = "start", .name = name, .id = id, .host = host, .message = ""};
	struct err err = {0};
	bool already = false;
	int bad = 0;

	steps_text(b->entries[i], "id", id, sizeof id);
	steps_text(b->entries[i], "name", name, sizeof name);
	steps_text(b->entries[i], "host", host, sizeof host);
	step.dry = steps_dry(&b->s->f, b->r);
	if (!step.dry)
		bad = start_one(b, id, name, host, &already, &container, &err);
	step.ok = !bad;
	step.ms = clock_monotonic_ms() - began;
	step.message = bad ? err.message : already ? "already" : "";
	step.container = container.n ? &container : NULL;
	step_put(b->r, &step);
	if (bad && !b->err->code)
		*b->err = err;
	buf_release(&container);
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct start *s = ctx;
	struct batch b = {.s = s, .r = r, .err = err};
	size_t n;
	int bad = steps_entries(r, "start", &b.entries, &n, err);

	steps_text(record_get(r, "policy"), "ready", b.rule, sizeof b.rule);
	steps_text(record_get(r, "policy"), "lb_network", b.network, sizeof b.network);
	b.ready_timeout = steps_policy_ms(r, "ready_timeout", 60000);
	if (!bad)
		bad = tasks_run(s->hosts.tasks, n, run_start, &b, err);
	free(b.entries);
	return bad || err->code ? RECORD_ERROR : RECORD_PRINT;
}

int main(int argc, char **argv)
{
	static struct start s;
	struct err err = {0};
	int done = front_start(&s.f, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_conf(&s.f)) >= 0)
		return done;

	if (engine_hosts_init(&s.hosts, &s.f.conf, &err) < 0)
		return front_fail(&s.f, &err);
	engine_hosts_jobs(&s.hosts, (size_t)jobs);
	done = front_filter_abreast(&s.f, s.hosts.tasks, each, &s, false);
	engine_hosts_release(&s.hosts);
	conf_release(&s.f.conf);
	return done;
}
