/* What is to be told of which service, and when. What happens to a service within a moment is one record. */
#include "cmd/as-watch/watch.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

static struct service *get_service(struct watch *w, const char *name)
{
	struct service *s = w->services;

	while (s && strcmp(s->name, name) != 0)
		s = s->next;
	if (s || !(s = calloc(1, sizeof *s)))
		return s;
	(void)snprintf(s->name, sizeof s->name, "%s", name);
	s->next = w->services;
	return w->services = s;
}

static void free_service(struct service *s)
{
	json_decref(s->waiting);
	free(s);
}

void free_services(struct watch *w)
{
	for (struct service *s = w->services, *next; s; s = next) {
		next = s->next;
		free_service(s);
	}
	w->services = NULL;
}

/* ---- what waits ---- */

static void plan_again(const struct watch *w, struct service *s, bool anew)
{
	if (!w->resync_ms || w->once || (s->again && !anew))
		return;
	s->wait = AGAIN_MS < w->resync_ms ? AGAIN_MS : w->resync_ms;
	s->again = clock_monotonic_ms() + s->wait;
}

void look_again(struct watch *w, const char *service)
{
	struct service *s = *service && is_wanted(w, service) ? get_service(w, service) : NULL;

	if (!s)
		return;
	plan_again(w, s, false);
	nudge(w->wake);
}

/* What it died of is still to be read when it is deleted in the same moment. */
static void carry_over(json_t *event, const json_t *before)
{
	static const char *const names[] = {"exitCode", "oom"};
	json_t *to = json_object_get(json_object_get(event, "Actor"), "Attributes");

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (attribute(before, names[i]) && !json_object_get(to, names[i]))
			(void)json_object_set_new(to, names[i], json_string(attribute(before, names[i])));
}

/* The last event of a container counts; one of the engine's before one that we concluded. */
static void put_waiting(struct service *s, const struct host *h, json_t *event, bool made)
{
	const char *name = attribute(event, "name");
	char key[640];

	(void)snprintf(key, sizeof key, "%.256s/%.64s/%s", h->name, event_id(event), *event_id(event) || !name ? "" : name);
	if (!s->waiting && !(s->waiting = json_object()))
		return;
	json_t *item = json_object_get(s->waiting, key);
	const bool was_made = known_true(item, "made");
	json_int_t count = json_integer_value(json_object_get(item, "count"));
	if (item && made && !was_made)
		return;
	if (item && !was_made && event_kind(event) == KIND_GONE)
		carry_over(event, json_object_get(item, "event"));
	count = was_made ? 1 : count + 1;
	(void)json_object_set_new(s->waiting, key,
	                          json_pack("{s:O, s:i, s:I, s:b}", "event", event, "host", (int)(h - h->w->hosts), "count",
	                                    count, "made", made));
}

uint64_t push_event(struct host *h, const json_t *k, json_t *event, bool made)
{
	struct watch *w = h->w;
	const char *name = known_text(k, "service");
	const enum kind kind = event_kind(event);
	struct service *s = *name && is_wanted(w, name) ? get_service(w, name) : NULL;

	if (!s)
		return 0;
	if (known_true(k, "joined")) {
		s->joined = true;
		s->asked_at = clock_monotonic_ms();
	}
	put_waiting(s, h, event, made);
	plan_again(w, s, kind != KIND_UP && kind != KIND_HEALTHY);
	if (!s->batch) {
		s->batch = ++w->batches;
		s->due = clock_monotonic_ms() + w->settle_ms;
		nudge(w->wake);
	}
	return s->batch;
}

void settle_batch(struct watch *w, uint64_t batch)
{
	for (size_t i = 0; i < w->nhosts; i++)
		for (size_t k = 0; k < SEEN; k++)
			if (w->hosts[i].seen[k].batch == batch)
				w->hosts[i].seen[k].batch = 0;
	w->changed = true;
}

/* ---- telling ---- */

/* Of what happened in a moment: what went wrong before what came up, the last of it. Things that went wrong differently
 * need the whole service to be put in order. */
struct merged {
	json_t *event;
	size_t host;
	enum kind kind;
	int64_t count;
	bool mixed;
};

static bool is_good(enum kind kind) { return kind == KIND_UP || kind == KIND_HEALTHY; }

static void merge_one(struct merged *m, const json_t *item)
{
	json_t *event = json_object_get(item, "event");
	enum kind kind = event_kind(event);

	if (kind == KIND_STOP)
		kind = KIND_DOWN;
	m->count += json_integer_value(json_object_get(item, "count"));
	const bool worse = m->event && is_good(m->kind) && !is_good(kind),
			   better = m->event && !is_good(m->kind) && is_good(kind);
	if (m->event && !worse && !better && kind != m->kind && !is_good(kind))
		m->mixed = true;
	if (better || (m->event && !worse && event_time(event) < event_time(m->event)))
		return;
	m->event = event;
	m->kind = kind;
	m->host = (size_t)json_integer_value(json_object_get(item, "host"));
}

static int tell_waiting(struct watch *w, struct service *s, struct err *err)
{
	struct merged m = {0};
	const char *key;
	json_t *item;
	int bad = 0;

	if (has_joined(w, s)) {
		json_object_foreach(s->waiting, key, item)
			merge_one(&m, item);
		if (m.event)
			bad = tell(w, s->name, &w->hosts[m.host], m.event, m.mixed ? "reconcile" : NULL, m.count, err);
	}
	if (bad)
		return -1;
	settle_batch(w, s->batch);
	json_decref(s->waiting);
	s->waiting = NULL;
	s->batch = 0;
	return 0;
}

/* Still not well? A pass may have been put off, or failed. */
static int tell_again(struct watch *w, struct service *s, struct err *err)
{
	struct host *where = NULL;
	json_t *event = has_joined(w, s) ? find_unwell(w, s->name, &where) : NULL;
	const int64_t longer = s->wait * 2;

	s->again = 0;
	if (!event)
		return 0;
	const int bad = tell(w, s->name, where, event, NULL, 1, err);
	json_decref(event);
	s->wait = longer < w->resync_ms ? longer : w->resync_ms;
	s->again = clock_monotonic_ms() + s->wait - (int64_t)(random() % (s->wait / 5 + 1));
	return bad;
}

/* As long as nobody reads, what happens is only added to what waits. */
static bool may_write(struct watch *w)
{
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

	w->blocked = poll(&out, 1, 0) == 0;
	return !w->blocked;
}

int tell_due(struct watch *w, bool all, struct err *err)
{
	const int64_t now = clock_monotonic_ms();

	for (struct service **at = &w->services, *s; (s = *at);) {
		if (s->batch && (all || s->due <= now)) {
			if (!may_write(w))
				return 0;
			if (tell_waiting(w, s, err) < 0)
				return -1;
		}
		if (s->again && s->again <= now && !s->batch) {
			if (!may_write(w))
				return 0;
			if (tell_again(w, s, err) < 0)
				return -1;
		}
		if (s->batch || s->again) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		free_service(s);
	}
	return 0;
}

bool nothing_waits(const struct watch *w)
{
	for (const struct service *s = w->services; s; s = s->next)
		if (s->batch)
			return false;
	return true;
}

int64_t next_due(const struct watch *w)
{
	int64_t next = INT64_MAX;

	for (const struct service *s = w->services; s && !w->blocked; s = s->next) {
		const int64_t due = s->batch ? s->due : s->again;
		if (due < next)
			next = due;
	}
	return next;
}
