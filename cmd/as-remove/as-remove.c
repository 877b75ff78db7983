/* as-remove: stops with grace, then removes the copies that the plan names, and only copies. See as-remove(1). */
#include "base/clock.h"
#include "cmd/front/abreast.h"
#include "cmd/front/front.h"
#include "cmd/front/steps.h"
#include "engine/hosts.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define GONE_MS 30000 /* for what is to end to have ended, beyond its own grace */

static const char *force;
static int64_t jobs = ENGINE_JOBS_STOP;

static const struct option_row options[] = {
	{0, "force", OPTION_TEXT, "CONTAINER", &force,
     "remove the container of this name although it is no copy of ours, or protected"},
	{'j', "jobs", OPTION_COUNT, "N", &jobs, "stop at most this many at a time on one host"},
	{0},
};
static const struct command command = {"as-remove", "stop and remove the copies that each plan names", "", options};

struct removal {
	struct front f;
	struct engine_hosts hosts;
};

/* Asked again here: the label may be on a container that another plan was made for. */
static int unprotected(const json_t *doc, const char *name, const char *host, struct err *err)
{
	const char *protect = container_label(doc, "autoscale.protect");

	if (!protect || strcmp(protect, "true") != 0 || (force && strcmp(force, name) == 0))
		return 0;
	return err_set(err, ERR_REFUSED,
	               "host %s: %s is protected by its label autoscale.protect: refused (--force %s removes it)", host,
	               name, name);
}

/* Only a copy of ours that nobody protects, or the one that --force names; an original is somebody's own. */
static int allowed(const json_t *doc, const char *name, const char *host, struct err *err)
{
	if (force && strcmp(force, name) == 0)
		return 0;
	if (container_label(doc, "autoscale.copy-of") && container_label(doc, "autoscale.op"))
		return unprotected(doc, name, host, err);
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

/* The containers of one record, which are removed side by side. */
struct batch {
	struct removal *s;
	struct record *r;
	struct jv *entries;
	int64_t grace;
	int64_t to;      /* the plan's number */
	struct err *err; /* the first failure */
};

/* One entry of the plan on its way. */
struct entry {
	char id[128], name[256], host[SERVICE_NAME_MAX + 1];
	char said[ENGINE_SCALE_SAID];
};

/* The tasks of a service go by its number; which of them, its engine says. */
static int scale_down(const struct batch *b, const struct engine_host *h, struct entry *entry, struct err *err)
{
	struct engine_scale s = {.service = entry->id, .replicas = b->to, .fewer = true, .timeout_ms = GONE_MS};
	json_t *doc = NULL;

	if (b->to < 0)
		return err_set(err, ERR_MISSING, "plan: to is needed for %s", entry->name);
	if (h->driver->inspect(h->engine, entry->id, &doc, err) < 0)
		return -1;
	int bad = unprotected(doc, entry->name, entry->host, err);
	if (!bad)
		bad = h->driver->scale(h->engine, &s, err);
	json_decref(doc);
	engine_scale_said(&s, entry->said);
	return bad;
}

static int remove_one(const struct batch *b, struct engine_host *h, struct entry *entry, struct err *err)
{
	struct tasks *tasks = b->s->hosts.tasks;
	bool already = false;

	if (h->driver->scale)
		return scale_down(b, h, entry, err);
	tasks_enter(tasks, &h->gate);
	const int bad = take_away(h, entry->id, entry->name, b->grace, &already, err);
	tasks_leave(tasks, &h->gate);
	if (already)
		(void)snprintf(entry->said, sizeof entry->said, "already");
	return bad;
}

/* A task: one container, and one step that tells it. */
static void run_removal(void *ctx, size_t i)
{
	struct batch *b = ctx;
	struct entry entry = {.said = ""};
	const int64_t began = clock_monotonic_ms();
	struct step step = {.stage = "as-remove",
	                    .what = "remove",
	                    .name = entry.name,
	                    .id = entry.id,
	                    .host = entry.host,
	                    .dry = steps_dry(&b->s->f, b->r)};
	struct err err = {0};
	int bad = 0;

	steps_text(b->entries[i], "id", entry.id, sizeof entry.id);
	steps_text(b->entries[i], "name", entry.name, sizeof entry.name);
	steps_text(b->entries[i], "host", entry.host, sizeof entry.host);
	struct engine_host *h = engine_hosts_get(&b->s->hosts, entry.host, &err);
	if (h && h->driver->scale)
		step.what = "scale";
	if (!step.dry)
		bad = h ? remove_one(b, h, &entry, &err) : -1;
	step.ok = !bad;
	step.ms = clock_monotonic_ms() - began;
	step.message = bad ? err.message : entry.said;
	step_put(b->r, &step);
	if (bad && !b->err->code)
		*b->err = err;
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct removal *s = ctx;
	struct batch b = {.s = s, .r = r, .grace = steps_policy_ms(r, "grace", 10000), .err = err};
	b.to = jv_int_or(jv_get(record_get(r, "plan"), "to"), -1);
	size_t n;
	int bad = steps_entries(r, "remove", &b.entries, &n, err);

	if (!bad)
		bad = tasks_run(s->hosts.tasks, n, run_removal, &b, err);
	free(b.entries);
	return bad || err->code ? RECORD_ERROR : RECORD_PRINT;
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
	engine_hosts_jobs(&s.hosts, (size_t)jobs);
	done = front_filter_abreast(&s.f, s.hosts.tasks, each, &s, false);
	engine_hosts_release(&s.hosts);
	conf_release(&s.f.conf);
	return done;
}
