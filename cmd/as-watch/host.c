/* One host: what it lists, then what happens on it; and again after a cut. */
#include "cmd/as-watch/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define PAUSE_FIRST_MS 200 /* before a host is tried again; doubled each time, */
#define PAUSE_LAST_MS 5000 /* up to this, give or take a fifth */
#define ANSWER_MS 5000     /* a host that needs longer to say that it is there counts as lost */

void nudge(int fd)
{
	const uint64_t one = 1;

	(void)!write(fd, &one, sizeof one);
}

/* ---- events ---- */

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t hash_of(int64_t time, const char *id, const char *action)
{
	uint64_t hash = 14695981039346656037u;

	for (int i = 0; i < 8; i++)
		hash = (hash ^ ((uint64_t)time >> (8 * i) & 255)) * 1099511628211u;
	for (; *id; id++)
		hash = (hash ^ (unsigned char)*id) * 1099511628211u;
	for (; *action; action++)
		hash = (hash ^ (unsigned char)*action) * 1099511628211u;
	return hash;
}

static bool was_seen(const struct host *h, uint64_t hash)
{
	for (size_t i = 0; i < SEEN; i++)
		if (h->seen[i].hash == hash)
			return true;
	return false;
}

/* What an event tells of a container that is known. True: it is to be told. */
static bool learn(json_t *k, enum kind kind, json_t *event)
{
	const bool was_up = known_true(k, "up");

	switch (kind) {
	case KIND_UP:
		known_set(k, "up", true);
		known_set(k, "sick", false);
		known_set(k, "oom", false);
		return true;
	case KIND_OOM: known_set(k, "oom", true); return false; /* one of its processes; if it was the first, it dies */
	case KIND_DOWN:
		if (known_true(k, "oom"))
			(void)json_object_set_new(json_object_get(json_object_get(event, "Actor"), "Attributes"), "oom",
			                          json_string("true"));
		known_set(k, "up", false);
		known_set(k, "sick", false);
		return true;
	case KIND_STOP: known_set(k, "up", false); return was_up; /* it follows die */
	case KIND_SICK: known_set(k, "sick", true); return true;
	case KIND_HEALTHY: known_set(k, "sick", false); return true;
	case KIND_GONE: return true;
	default: return false;
	}
}

static json_t *labels_of(const json_t *event) { return json_object_get(json_object_get(event, "Actor"), "Attributes"); }

static uint64_t tell_of(struct host *h, json_t *k, enum kind kind, json_t *event)
{
	const char *id = event_id(event);
	uint64_t batch = 0;

	if (learn(k, kind, event))
		batch = push_event(h, k, event, false);
	if (kind == KIND_GONE)
		(void)json_object_del(h->known, id);
	return batch;
}

int take_event(void *ctx, json_t *event, struct err *err)
{
	struct host *h = ctx;
	const char *id = event_id(event), *name = attribute(event, "name"), *image = attribute(event, "image"),
			   *action = json_string_value(json_object_get(event, "Action"));
	const enum kind kind = event_kind(event);
	const int64_t time = event_time(event);

	if (kind == KIND_OTHER || !*id || !json_is_object(labels_of(event)))
		return 0;
	const struct seen seen = {.hash = hash_of(time, id, action ? action : ""), .time = time};
	if (was_seen(h, seen.hash))
		return 0;
	json_t *k = json_object_get(h->known, id);
	if (!k && !(k = know(h, id, name ? name : "", image ? image : "", labels_of(event))))
		return err_set(err, ERR_TEMPORARY, "out of memory");
	struct seen *slot = &h->seen[h->at++ % SEEN];
	*slot = seen;
	if (time > h->newest)
		h->newest = time;
	h->w->changed = true;
	if (kind == KIND_UP && known_true(k, "look")) {
		(void)learn(k, kind, event);
		(void)json_array_append(h->looks, event);
		nudge(h->w->helper_wake[(size_t)(h - h->w->hosts) % h->w->nhelpers]);
	} else {
		slot->batch = tell_of(h, k, kind, event);
	}
	return 0;
}

/* ---- following ---- */

static int connect_host(struct host *h, struct err *err)
{
	const struct engine_driver *driver = h->engine->driver;
	struct engine *engine = h->engine->engine;
	json_t *list = NULL;
	int64_t now;

	if (driver->clock(engine, &now, err) < 0 || driver->list(engine, NULL, &list, err) < 0)
		return -1;
	h->order_now = !h->listed || h->again;
	h->again = false;
	if (!h->since)
		h->since = now;
	const int bad = compare_list(h, list, now, err);
	json_decref(list);
	if (bad)
		return -1;
	h->order = true;
	h->w->changed = true;
	h->stream.since = h->newest - REPEAT_MS * NS_PER_MS > h->since ? h->newest - REPEAT_MS * NS_PER_MS : h->since;
	h->connected = true;
	h->beat_at = clock_monotonic_ms() + h->w->heartbeat_ms;
	nudge(h->w->wake);
	return 0;
}

/* True: it was connected. */
static bool follow_once(struct host *h, struct err *err)
{
	h->why[0] = '\0';
	const int bad = connect_host(h, err);
	h->tried = true;
	if (bad || h->w->once) {
		nudge(h->w->wake);
		return !bad;
	}
	if (h->lost)
		front_warn(&h->w->f, "host %s: back", h->name);
	h->lost = false;
	nudge(h->w->helper_wake[(size_t)(h - h->w->hosts) % h->w->nhelpers]);
	(void)h->engine->driver->events(h->engine->engine, &h->stream, err);
	h->connected = false;
	if (*h->why)
		(void)err_set(err, ERR_UNAVAILABLE, "host %s: %s", h->name, h->why);
	else if (!err->code || err->code == ERR_UNAVAILABLE)
		(void)err_set(err, ERR_UNAVAILABLE, "host %s: its stream of events was cut", h->name);
	return true;
}

static int64_t jitter(int64_t ms) { return ms - ms / 5 + (int64_t)(random() % (2 * ms / 5 + 1)); }

static void wait_or_stop(struct watch *w, int64_t ms)
{
	struct pollfd end = {.fd = w->stopped, .events = POLLIN};

	(void)tasks_poll(w->engines.tasks, &end, 1, ms);
}

void follow_host(struct watch *w, struct host *h)
{
	int64_t pause = PAUSE_FIRST_MS;

	while (!w->stop) {
		struct err err = {0};
		if (follow_once(h, &err))
			pause = PAUSE_FIRST_MS;
		if (w->stop || (w->once && !err.code))
			break;
		if (!h->lost)
			front_warn(&w->f, "%s: %s", err.message, w->once ? "left out" : "lost; trying again");
		h->lost = true;
		if (w->once)
			break;
		wait_or_stop(w, jitter(pause));
		pause = pause * 2 < PAUSE_LAST_MS ? pause * 2 : PAUSE_LAST_MS;
	}
}

/* ---- helpers ---- */

/* Which service is it of? Its labels did not say. */
static void look(struct host *h, json_t *event)
{
	const char *id = event_id(event);
	struct err gone = {0};
	json_t *doc = NULL;

	if (h->engine->driver->inspect(h->engine->engine, id, &doc, &gone) < 0)
		return;
	json_t *k = json_object_get(h->known, id);
	if (k) {
		know_more(h->w, k, doc);
		if (known_true(k, "up"))
			(void)push_event(h, k, event, false);
		else /* it died before we knew of which service */
			look_again(h->w, known_text(k, "service"));
	}
	json_decref(doc);
}

static void see_to(struct host *h)
{
	struct watch *w = h->w;
	struct err err = {0};

	while (!w->stop && json_array_size(h->looks)) {
		json_t *event = json_incref(json_array_get(h->looks, 0));
		(void)json_array_remove(h->looks, 0);
		look(h, event);
		json_decref(event);
	}
	if (!w->heartbeat_ms || !h->connected || clock_monotonic_ms() < h->beat_at)
		return;
	const int64_t within = w->heartbeat_ms < ANSWER_MS ? w->heartbeat_ms : ANSWER_MS;
	if (h->engine->driver->alive(h->engine->engine, within, &err) < 0 && h->connected) {
		(void)snprintf(h->why, sizeof h->why, "no answer within %lld.%lld s", (long long)(within / 1000),
		               (long long)(within % 1000 / 100));
		h->engine->driver->events_stop(&h->stream);
	}
	h->beat_at = clock_monotonic_ms() + w->heartbeat_ms;
}

/* The hosts are shared out among the helpers. */
void help_hosts(struct watch *w, size_t helper)
{
	while (!w->stop) {
		int64_t next = INT64_MAX;
		for (size_t i = helper; i < w->nhosts; i += w->nhelpers) {
			see_to(&w->hosts[i]);
			if (w->heartbeat_ms && w->hosts[i].connected && w->hosts[i].beat_at < next)
				next = w->hosts[i].beat_at;
		}
		struct pollfd fds[] = {{.fd = w->stopped, .events = POLLIN}, {.fd = w->helper_wake[helper], .events = POLLIN}};
		const int64_t now = clock_monotonic_ms(), hour = 3600 * 1000;
		uint64_t n;
		if (w->stop)
			break;
		(void)tasks_poll(w->engines.tasks, fds, 2, next - now < 0 ? 0 : next - now < hour ? next - now : hour);
		(void)!read(w->helper_wake[helper], &n, sizeof n);
	}
}
