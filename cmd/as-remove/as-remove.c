/* as-remove: stops with grace, then removes the copies that the plan names, and only copies. See as-remove(1). */
#include "base/clock.h"
#include "cmd/front/front.h"
#include "cmd/front/steps.h"
#include "engine/hosts.h"

#include <string.h>

#include "base/banned.h"

static const char *force;

static const struct option_row options[] = {
	{0, "force", OPTION_TEXT, "NAME", &force, "remove the container of this name although it is no copy of ours"},
	{0},
};
static const struct command command = {"as-remove", "stop and remove the copies that each plan names", "", options};

struct removal {
	struct front f;
	struct engine_hosts hosts;
};

static const char *label_of(const json_t *doc, const char *name)
{
	return json_string_value(json_object_get(json_object_get(json_object_get(doc, "Config"), "Labels"), name));
}

/* Only a copy of ours, or the one that --force names; an original is somebody's own. */
static int allowed(const json_t *doc, const char *name, const char *host, struct err *err)
{
	if ((label_of(doc, "autoscale.copy-of") && label_of(doc, "autoscale.op")) || (force && strcmp(force, name) == 0))
		return 0;
	return err_set(err, ERR_REFUSED, "host %s: %s is not a copy made by as-clone: refused (--force %s removes it)",
	               host, name, name);
}

static int take_away(struct engine_host *h, const char *id, const char *name, int64_t grace, bool *already,
                     struct err *err)
{
	json_t *doc = NULL;
	bool was = false;

	*already = false;
	if (h->driver->inspect(h->engine, id, &doc, err) < 0) {
		*already = err->code == ERR_NOT_FOUND;
		return *already ? 0 : -1;
	}
	int bad = allowed(doc, name, h->host->name, err);
	if (!bad)
		bad = h->driver->stop(h->engine, id, grace, &was, err);
	if (!bad)
		bad = h->driver->remove(h->engine, id, false, already, err);
	json_decref(doc);
	return bad;
}

static int remove_one(struct removal *s, struct record *r, struct jv entry, struct err *err)
{
	char id[128], name[256], host[SERVICE_NAME_MAX + 1];
	const int64_t began = clock_monotonic_ms();
	struct step step = {.stage = "as-remove", .what = "remove", .name = name, .id = id, .host = host, .message = ""};
	bool already = false;
	int bad = 0;

	steps_text(entry, "id", id, sizeof id);
	steps_text(entry, "name", name, sizeof name);
	steps_text(entry, "host", host, sizeof host);
	step.dry = steps_dry(&s->f, r);
	if (!step.dry) {
		struct engine_host *h = engine_hosts_get(&s->hosts, host, err);
		bad = h ? take_away(h, id, name, steps_policy_ms(r, "grace", 10000), &already, err) : -1;
	}
	step.ok = !bad;
	step.ms = clock_monotonic_ms() - began;
	step.message = bad ? err->message : already ? "already" : "";
	step_put(r, &step);
	return bad;
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct jv_cursor c = jv_each(steps_todo(r, "remove"));
	struct jv_member m;
	bool failed = false;

	while (jv_next(&c, &m)) {
		struct err why = {0};
		if (remove_one(ctx, r, m.value, &why) == 0)
			continue;
		if (!failed)
			*err = why;
		failed = true;
	}
	return failed ? RECORD_ERROR : RECORD_PRINT;
}

int main(int argc, char **argv)
{
	static struct removal s;
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
