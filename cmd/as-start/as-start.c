/* as-start: starts what the plan says is stopped, and waits until it counts as ready. See as-start(1). */
#include "base/clock.h"
#include "cmd/front/front.h"
#include "cmd/front/steps.h"
#include "engine/hosts.h"

#include "base/banned.h"

static const struct option_row options[] = {{0}};
static const struct command command = {"as-start", "start the stopped containers of each plan", "", options};

struct start {
	struct front f;
	struct engine_hosts hosts;
};

/* One container: started, ready, and one step that tells it. */
static int start_one(struct start *s, struct record *r, struct jv entry, struct err *err)
{
	char id[128], name[256], host[SERVICE_NAME_MAX + 1], rule[256], network[64];
	struct buf container = BUF_INIT(LINE_MAX_BYTES / 2);
	const int64_t began = clock_monotonic_ms();
	struct step step = {.stage = "as-start", .what = "start", .name = name, .id = id, .host = host, .message = ""};
	struct ready_wait wait = {.id = id};
	bool already = false;
	int bad = 0;

	steps_text(entry, "id", id, sizeof id);
	steps_text(entry, "name", name, sizeof name);
	steps_text(entry, "host", host, sizeof host);
	steps_text(record_get(r, "policy"), "ready", rule, sizeof rule);
	steps_text(record_get(r, "policy"), "lb_network", network, sizeof network);
	step.dry = steps_dry(&s->f, r);
	if (step.dry)
		goto out;
	wait.host = engine_hosts_get(&s->hosts, host, err);
	bad = !wait.host || wait.host->driver->start(wait.host->engine, id, &already, err) < 0 ? -1 : 0;
	if (bad)
		goto out;
	ready_wait(&wait, 1, rule, *network ? network : NULL, steps_policy_ms(r, "ready_timeout", 60000));
	if (!wait.ready)
		bad = err_set(err, ERR_REMOTE, "host %s: %s was started but is not ready: %s", host, name, wait.why);
	else
		container_json(&container, wait.doc, host, true);
	step.container = wait.ready ? &container : NULL;
out:
	step.ok = !bad;
	step.ms = clock_monotonic_ms() - began;
	step.message = bad ? err->message : already ? "already" : "";
	step_put(r, &step);
	json_decref(wait.doc);
	buf_release(&container);
	return bad;
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct jv_cursor c = jv_each(steps_todo(r, "start"));
	struct jv_member m;
	bool failed = false;

	while (jv_next(&c, &m)) {
		struct err why = {0};
		if (start_one(ctx, r, m.value, &why) == 0)
			continue;
		if (!failed)
			*err = why;
		failed = true;
	}
	return failed ? RECORD_ERROR : RECORD_PRINT;
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
	done = front_filter(&s.f, each, &s, false);
	engine_hosts_release(&s.hosts);
	conf_release(&s.f.conf);
	return done;
}
