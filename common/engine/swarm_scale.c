/* Setting the number of a service's replicas, and waiting for what comes of it. */
#include "base/clock.h"
#include "engine/doc.h"
#include "engine/swarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/banned.h"

#define TRIES_MAX 50     /* against others who change the service all the time */
#define PAUSE_FIRST_MS 2 /* before the next try; doubled up to the last, and half of it by chance */
#define PAUSE_LAST_MS 64
#define LOOK_FIRST_MS 20
#define LOOK_LAST_MS 300
#define FAILURES_MAX 3      /* of the tasks that take each other's place: then it will not run */
#define CALM_MS 500         /* what ends at its start runs for a moment: the same must run at a second look */
#define UNPLACED_MS 10000   /* no node takes a task: room may be made within so long */
#define STOP_GRACE_MS 10000 /* the engine's default */

static const char *name_of(const json_t *service)
{
	const char *name = doc_str(service, "Spec.Name");

	return name ? name : "";
}

/* Its number. -1, REFUSED: swarm gives it none. */
static int64_t replicas_of(struct engine *e, const json_t *service, struct err *err)
{
	const json_t *replicas = doc_get(service, "Spec.Mode.Replicated.Replicas");
	json_t *mode = doc_get(service, "Spec.Mode"), *value;
	const char *name = "?";

	if (json_is_integer(replicas))
		return json_integer_value(replicas);
	json_object_foreach(mode, name, value)
		if (json_is_object(value))
			break;
	return err_set(err, ERR_REFUSED,
	               "host %s: service %s has the mode %s: swarm itself says how many tasks it has, only mode Replicated "
	               "can be scaled",
	               api_host(e->api), name_of(service), name ? name : "?");
}

/* ---- changing the number ---- */

/* Sends back the whole specification, since what is left out would be unset. 1: somebody was faster. */
static int put_replicas(struct engine *e, const json_t *service, int64_t replicas, struct err *err)
{
	const char *id = doc_str(service, "ID");
	json_t *spec = json_deep_copy(doc_get(service, "Spec")), *answer = NULL;
	json_t *mode = doc_get(spec, "Mode.Replicated");
	char name[API_NAME];

	if (!spec || json_object_set_new(mode, "Replicas", json_integer(replicas)) < 0) {
		json_decref(spec);
		return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	/* The registry's credentials are the service's own, which nobody can read. */
	struct exchange *x = NULL;
	if (id && api_encode(id, "", name, sizeof name) == 0)
		x = api_call(e->api, err, "POST", spec, API_MAKE_MS, "/services/%s/update?version=%lld&registryAuthFrom=spec",
		             name, (long long)doc_int(service, "Version.Index"));
	else
		(void)err_set(err, ERR_REMOTE, "host %s: a service without a usable id", api_host(e->api));
	json_decref(spec);
	if (x && x->status == 500 && api_said_so(x, "update out of sequence")) {
		api_done(x);
		return 1;
	}
	const int bad = swarm_json_done(e, x, &answer, err);
	json_decref(answer);
	return bad;
}

/* One try. With `fewer` the number is only lowered, else only raised. 1: somebody was faster. */
static int try(struct engine *e, struct engine_scale *s, int64_t to, bool fewer, struct err *err)
{
	json_t *service = NULL;

	if (swarm_service(e, s->service, &service, err) < 0)
		return -1;
	const int64_t had = replicas_of(e, service, err);
	const bool is_so = fewer ? had <= to : had >= to;
	const int outcome = had < 0 ? -1 : is_so ? 0 : put_replicas(e, service, to, err);
	if (s->from < 0)
		s->from = had;
	s->now = is_so || outcome ? had : to;
	json_decref(service);
	return outcome;
}

/* Reads, changes and writes until no other write comes between; others who lose try again too, so each waits a while
 * of its own. */
static int change(struct engine *e, struct engine_scale *s, int64_t to, bool fewer, int64_t deadline, struct err *err)
{
	int64_t pause = PAUSE_FIRST_MS;

	for (int i = 0; i < TRIES_MAX && (i == 0 || clock_monotonic_ms() < deadline); i++) {
		const int outcome = try(e, s, to, fewer, err);
		if (outcome <= 0)
			return outcome;
		s->conflicts++;
		uint32_t dice = 0;
		if (getrandom(&dice, sizeof dice, 0) < 0)
			dice = (uint32_t)clock_monotonic_ms();
		tasks_sleep(e->tasks, pause / 2 + dice % (pause / 2 + 1));
		pause = pause * 2 < PAUSE_LAST_MS ? pause * 2 : PAUSE_LAST_MS;
	}
	return err_set(err, ERR_TEMPORARY, "host %s: service %.80s: 500 update out of sequence, %d times: others change it",
	               api_host(e->api), s->service, s->conflicts);
}

/* ---- what comes of it ---- */

/* The tasks of a service at one moment. A slot is what one replica has: the tasks that take each other's place. */
struct view {
	json_t *tasks;          /* slot -> id of its task that runs, or false */
	int64_t slots, running; /* that should run, and do */
	int64_t leaving;        /* tasks that are to go and still run */
	/* Of the tasks made since the change, since a slot may have failed long ago too. */
	int64_t failures; /* the most of a slot that does not run */
	int64_t flaps;    /* the most of any */
	bool unplaced;    /* a task waits for a node to take it */
	char why[200];    /* what was said last of one that does not run */
};

static bool is(const json_t *task, const char *path, const char *value)
{
	const char *s = doc_str(task, path);

	return s && strcmp(s, value) == 0;
}

static bool has_failed(const json_t *task)
{
	return is(task, "Status.State", "failed") || is(task, "Status.State", "rejected");
}

static bool has_ended(const json_t *task)
{
	static const char *const states[] = {"complete", "shutdown", "failed", "rejected", "remove", "orphaned"};

	for (size_t i = 0; i < sizeof states / sizeof *states; i++)
		if (is(task, "Status.State", states[i]))
			return true;
	return false;
}

static void slot_of(const json_t *task, char out[24])
{
	(void)snprintf(out, 24, "%lld", (long long)doc_int(task, "Slot"));
}

static bool created_since(const json_t *task, int64_t since)
{
	const char *text = doc_str(task, "CreatedAt");
	int64_t at;

	return !text || !clock_parse(text, &at) || at >= since;
}

static int look_at_slots(const json_t *tasks, struct view *v)
{
	const char *slot;
	json_t *id;

	for (size_t i = 0; i < json_array_size(tasks); i++) {
		const json_t *t = json_array_get(tasks, i);
		const bool running = is(t, "DesiredState", "running") && is(t, "Status.State", "running");
		char name[24];
		slot_of(t, name);
		v->leaving += is(t, "DesiredState", "remove") && !has_ended(t);
		if (swarm_should_run(t) && (running || !json_object_get(v->tasks, name)) &&
		    json_object_set_new(v->tasks, name, running ? json_incref(doc_get(t, "ID")) : json_false()) < 0)
			return -1;
	}
	json_object_foreach(v->tasks, slot, id)
		v->running += json_is_string(id);
	v->slots = (int64_t)json_object_size(v->tasks);
	return 0;
}

/* One more failure of this slot. -1: no memory. */
static int count_failure(json_t *failures, const char *slot, struct view *v)
{
	const int64_t n = json_integer_value(json_object_get(failures, slot)) + 1;

	v->flaps = n > v->flaps ? n : v->flaps;
	if (!json_is_string(json_object_get(v->tasks, slot)))
		v->failures = n > v->failures ? n : v->failures;
	return json_object_set_new(failures, slot, json_integer(n));
}

static int look_at_failures(const json_t *tasks, int64_t since, struct view *v)
{
	json_t *failures = json_object(); /* slot -> how many */
	const char *newest = "";
	int bad = failures ? 0 : -1;

	for (size_t i = 0; !bad && i < json_array_size(tasks); i++) {
		const json_t *t = json_array_get(tasks, i);
		const char *said = doc_str(t, "Status.Err"), *at = doc_str(t, "Status.Timestamp");
		char slot[24];
		slot_of(t, slot);
		if (!created_since(t, since) || is(t, "DesiredState", "remove"))
			continue;
		v->unplaced = v->unplaced || (is(t, "Status.State", "pending") && said && *said);
		if (said && *said && at && strcmp(at, newest) >= 0) {
			(void)snprintf(v->why, sizeof v->why, "%.180s", said);
			newest = at;
		}
		if (has_failed(t))
			bad = count_failure(failures, slot, v);
	}
	json_decref(failures);
	return bad;
}

/* Release with json_decref(v->tasks). */
static int look(struct engine *e, const char *service_id, int64_t since, struct view *v, struct err *err)
{
	json_t *tasks = NULL;

	*v = (struct view){.tasks = json_object()};
	int bad = swarm_tasks(e, service_id, &tasks, err);
	if (!bad && (!v->tasks || look_at_slots(tasks, v) < 0 || look_at_failures(tasks, since, v) < 0))
		bad = err_set(err, ERR_TEMPORARY, "out of memory");
	json_decref(tasks);
	return bad;
}

/* ---- waiting ---- */

struct wait {
	const char *id;          /* the service's */
	int64_t since;           /* ms UTC, the engine's: when it was changed */
	int64_t enough;          /* so many must run, */
	bool fewer;              /* or only so many be there */
	int64_t began, deadline; /* monotonic */
	bool changed;            /* it is more than it was: what ends at its start runs for a moment too */
	struct view view;        /* the last one, */
	json_t *before;          /* the tasks of one before when enough of them ran */
	int looks;               /* how many there were */
};

/* In how many slots does the same task run as in the look before? */
static int64_t steady(const struct wait *w)
{
	const char *slot;
	json_t *id;
	int64_t n = 0;

	json_object_foreach(w->view.tasks, slot, id)
		n += json_is_string(id) && w->before && json_equal(id, json_object_get(w->before, slot));
	return n;
}

/* 1: there is nothing to wait for, 0: not yet, -1: it will not be. */
static int judge(const struct wait *w)
{
	const struct view *v = &w->view;

	if (w->fewer)
		return v->slots <= w->enough && !v->leaving;
	if (v->running < w->enough)
		return v->failures >= FAILURES_MAX || (v->unplaced && clock_monotonic_ms() - w->began >= UNPLACED_MS) ? -1 : 0;
	if (!w->changed || steady(w) >= w->enough)
		return 1;
	return w->before && v->flaps >= FAILURES_MAX ? -1 : 0;
}

/* 1 as soon as they are as they should be, 0: they are not going to be, or the time is over. -1: err. */
static int await(struct engine *e, struct wait *w, struct err *err)
{
	int64_t pause = LOOK_FIRST_MS;
	int verdict = 0;

	for (;;) {
		if (look(e, w->id, w->since, &w->view, err) < 0)
			return -1;
		w->looks++;
		verdict = judge(w);
		const int64_t left = w->deadline - clock_monotonic_ms();
		if (verdict || left <= 0)
			return verdict > 0;
		const bool calm = w->changed && w->view.running >= w->enough;
		const int64_t nap = calm ? CALM_MS : pause;
		json_decref(w->before);
		w->before = calm ? w->view.tasks : NULL;
		if (!calm)
			json_decref(w->view.tasks);
		w->view.tasks = NULL;
		tasks_sleep(e->tasks, nap < left ? nap : left);
		pause = pause * 2 < LOOK_LAST_MS ? pause * 2 : LOOK_LAST_MS;
	}
}

static int64_t changed_at(const json_t *service)
{
	const char *text = doc_str(service, "UpdatedAt");
	int64_t at;

	return text && clock_parse(text, &at) ? at : 0;
}

/* What never ran goes again: it would count as a replica and serve nobody. */
static void take_back(struct engine *e, struct engine_scale *s, const struct view *v, char out[64])
{
	const int64_t keep = v->running > s->back_to ? v->running : s->back_to;
	struct err why = {0};

	out[0] = '\0';
	if (keep >= s->now)
		return;
	if (change(e, s, keep, true, clock_monotonic_ms() + API_MAKE_MS, &why) == 0)
		(void)snprintf(out, 64, "; it is set back to %lld", (long long)s->now);
}

static int tell_failure(struct engine *e, struct engine_scale *s, const json_t *service, const struct wait *w,
                        struct err *err)
{
	const int64_t waited = clock_monotonic_ms() - w->began;
	const struct view *v = &w->view;
	const int64_t wanted = s->now;
	char back[64] = "";

	if (w->fewer)
		return err_set(err, ERR_REMOTE, "host %s: service %s: %lld tasks that are too many still run after %lld.%lld s",
		               api_host(e->api), name_of(service), (long long)v->leaving, (long long)(waited / 1000),
		               (long long)(waited % 1000 / 100));
	take_back(e, s, v, back);
	return err_set(err, ERR_REMOTE, "host %s: service %s: %lld of %lld tasks run after %lld.%lld s: %s%s",
	               api_host(e->api), name_of(service), (long long)v->running, (long long)wanted,
	               (long long)(waited / 1000), (long long)(waited % 1000 / 100),
	               *v->why ? v->why : "the others are not ready yet", back);
}

/* Sets the number, and what there is to wait for. */
static int begin(struct engine *e, struct engine_scale *s, struct wait *w, json_t **service, struct err *err)
{
	struct view before = {0};
	int bad = look(e, s->service, INT64_MAX, &before, err);

	json_decref(before.tasks);
	if (!bad)
		bad = change(e, s, s->replicas, s->fewer, w->deadline, err);
	if (!bad)
		bad = swarm_service(e, s->service, service, err);
	if (bad)
		return bad;
	w->since = changed_at(*service);
	const int64_t grace = doc_int(*service, "Spec.TaskTemplate.ContainerSpec.StopGracePeriod") / 1000000;
	w->changed = s->from < s->now;
	if (s->fewer)
		w->deadline += grace ? grace : STOP_GRACE_MS;
	else if (w->changed)
		w->enough -= before.slots - before.running; /* what did not run before is not what this waits for */
	return 0;
}

int swarm_scale(struct engine *e, struct engine_scale *s, struct err *err)
{
	struct wait w = {.id = s->service, .fewer = s->fewer, .enough = s->replicas, .began = clock_monotonic_ms()};
	json_t *service = NULL;

	s->already = false;
	s->from = s->now = -1;
	s->conflicts = 0;
	w.deadline = w.began + s->timeout_ms;
	int bad = begin(e, s, &w, &service, err);
	const int done = bad ? -1 : await(e, &w, err);
	s->already = done > 0 && s->from == s->now && w.looks == 1;
	bad = done > 0 ? 0 : done < 0 ? -1 : tell_failure(e, s, service, &w, err);
	json_decref(service);
	json_decref(w.view.tasks);
	json_decref(w.before);
	return bad;
}
