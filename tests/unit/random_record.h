/* Random records for decide(), as JSON text, and what is true of each of them: the facts that properties are stated
 * with. One number makes one record. Another number makes its order: members of every object, and entries of the arrays
 * whose order means nothing, stand elsewhere, and all else is the same. Also in it: members that are missing, null, of
 * another type, huge, or known to nobody. */
#ifndef TESTS_UNIT_RANDOM_RECORD_H
#define TESTS_UNIT_RANDOM_RECORD_H

#include "base/clock.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define NOON INT64_C(1795521600000) /* 2026-11-24T12:00:00Z */
#define FACTS_HOSTS 24
#define FACTS_CONTAINERS 64
#define FACTS_SIGNALS 4
#define FACTS_ENTRIES 400 /* of one object or array */

struct container_fact {
	char id[32], name[32];
	int host; /* -1: one that the record does not list */
	bool removable, copy, counts, stopped, sick;
};

struct facts {
	int64_t now, min, max; /* max -1: none */
	int64_t per_host;
	int nhosts, ncontainers;
	bool takes[FACTS_HOSTS]; /* a host may get copies */
	int64_t on[FACTS_HOSTS]; /* containers there */
	struct container_fact c[FACTS_CONTAINERS];
	int64_t from; /* the count that the containers make */
	int64_t removable;
	bool blind, dark, swarm, template, pending, paused, going, same_host, settles, replaces;
	int template_host;
	int64_t remembered; /* and missing, on whatever host */
	/* the alert */
	bool alert, known, ignored, order; /* order: it asks for start, recreate, attach, reconcile */
	/* targets */
	int measured;     /* bits: of which there is an entry */
	bool tracks;      /* there are targets and measurements */
	bool missing;     /* the value of one of them is, or is stale, and on_missing forbids to go in for it */
	bool crossed;     /* min is above max */
	bool other_count; /* not the containers are counted */
	bool repairs;     /* there were some of late */
	int64_t stale_after, last_out, last_in; /* ms */
	int64_t cooled;                         /* when scaling in may go on, ms */
};

/* ---- numbers (splitmix64) ---- */

static uint64_t mix(uint64_t *s)
{
	uint64_t z = (*s += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

struct writer {
	uint64_t model, order;
	char text[1 << 17], spare[1 << 17];
	size_t n;
	struct {
		size_t at[FACTS_ENTRIES + 1];
		int members;
	} frame[8];
	int depth;
	struct facts f;
};

static uint64_t below(struct writer *w, uint64_t n) { return mix(&w->model) % n; }
static bool chance(struct writer *w, uint64_t percent) { return below(w, 100) < percent; }
static int64_t between(struct writer *w, int64_t low, int64_t high)
{
	return low + (int64_t)below(w, (uint64_t)(high - low + 1));
}

/* ---- JSON ---- */

static void puts_(struct writer *w, const char *s)
{
	const size_t n = strlen(s);

	memcpy(w->text + w->n, s, n);
	w->n += n;
}

static void put_number(struct writer *w, int64_t v)
{
	char digits[24];
	int i = (int)sizeof digits;
	uint64_t n = v < 0 ? -(uint64_t)v : (uint64_t)v;

	do
		digits[--i] = (char)('0' + n % 10);
	while (n /= 10);
	if (v < 0)
		digits[--i] = '-';
	memcpy(w->text + w->n, digits + i, sizeof digits - (size_t)i);
	w->n += sizeof digits - (size_t)i;
}

static void open_(struct writer *w)
{
	w->depth++;
	w->frame[w->depth].members = 0;
}

/* What is written from here on is one more member or entry. */
static void next(struct writer *w) { w->frame[w->depth].at[w->frame[w->depth].members++] = w->n; }

/* Puts what was written since open_ between brackets, in another order. */
static void close_(struct writer *w, const char *brackets, bool shuffled)
{
	const int n = w->frame[w->depth].members;
	size_t *at = w->frame[w->depth].at, k = 0;
	int turn[FACTS_ENTRIES];
	const size_t start = n ? at[0] : w->n, end = w->n;

	at[n] = end;
	for (int i = 0; i < n; i++) {
		const int j = shuffled ? (int)(mix(&w->order) % (uint64_t)(i + 1)) : i;
		turn[i] = turn[j];
		turn[j] = i;
	}
	memcpy(w->spare, w->text + start, end - start);
	w->n = start;
	w->text[w->n++] = brackets[0];
	for (int i = 0; i < n; i++) {
		const size_t length = at[turn[i] + 1] - at[turn[i]];
		if (k++)
			w->text[w->n++] = ',';
		memcpy(w->text + w->n, w->spare + (at[turn[i]] - start), length);
		w->n += length;
	}
	w->text[w->n++] = brackets[1];
	w->depth--;
}

static void key(struct writer *w, const char *name)
{
	next(w);
	w->text[w->n++] = '"';
	puts_(w, name);
	puts_(w, "\":");
}

static void string(struct writer *w, const char *name, const char *value)
{
	key(w, name);
	w->text[w->n++] = '"';
	puts_(w, value);
	w->text[w->n++] = '"';
}

static void number(struct writer *w, const char *name, int64_t value)
{
	key(w, name);
	put_number(w, value);
}

static void boolean(struct writer *w, const char *name, bool value)
{
	key(w, name);
	puts_(w, value ? "true" : "false");
}

static void raw(struct writer *w, const char *name, const char *value)
{
	key(w, name);
	puts_(w, value);
}

static void moment(struct writer *w, const char *name, int64_t ms)
{
	char text[CLOCK_TEXT];

	clock_format(ms, text);
	string(w, name, text);
}

/* Of another type than anybody wants, or no value at all. False: the usual is to be written. */
static bool odd(struct writer *w, const char *name, uint64_t percent)
{
	static const char *const values[] = {"null", "\"7\"", "[]", "{\"a\":[1,{}]}", "1e400", "-15e299", "\"\\u0000\""};

	if (!chance(w, percent))
		return false;
	const uint64_t i = below(w, 9);
	if (i < 7)
		raw(w, name, values[i]);
	return true;
}

static void stranger(struct writer *w)
{
	static const char *const values[] = {"{\"min\":9,\"id\":[]}", "[[],[1,2.5e3]]", "null", "18446744073709551616",
	                                     "\"\\ud83d\\ude00 \\\" } ]\""};

	if (chance(w, 4))
		raw(w, "x-more", values[below(w, 5)]);
}

/* ---- observed ---- */

static void put_hosts(struct writer *w)
{
	struct facts *f = &w->f;

	f->nhosts = (int)(chance(w, 97) ? between(w, 1, 4) : between(w, 0, FACTS_HOSTS));
	key(w, "hosts");
	open_(w);
	for (int i = 0; i < f->nhosts; i++) {
		char name[16];
		const bool ok = chance(w, 96), known = chance(w, 60);
		(void)snprintf(name, sizeof name, "h%d", i);
		next(w);
		open_(w);
		string(w, "name", name);
		boolean(w, "ok", ok);
		if (!ok)
			boolean(w, "known", known);
		f->takes[i] = ok;
		f->blind = f->blind || !ok;
		f->dark = f->dark || (!ok && !known);
		if (!odd(w, "zone", 20) && chance(w, 40))
			string(w, "zone", chance(w, 50) ? "a" : "b");
		if (!odd(w, "cloud", 20) && chance(w, 30))
			string(w, "cloud", chance(w, 50) ? "x" : "y");
		if (!odd(w, "weight", 10) && chance(w, 20)) {
			const int64_t weight = chance(w, 20) ? 0 : between(w, -1, 400);
			number(w, "weight", weight);
			f->takes[i] = f->takes[i] && weight != 0;
		}
		if (chance(w, 2)) {
			string(w, "engine", "swarm");
			f->takes[i] = false;
		}
		stranger(w);
		close_(w, "{}", true);
	}
	close_(w, "[]", false); /* the order of the configuration */
}

static void put_state(struct writer *w, struct container_fact *c)
{
	static const char *const others[] = {"exited", "created", "dead", "restarting", "removing", "paused", "unknown"};
	struct facts *f = &w->f;
	bool runs = false, restarts = false;

	if (odd(w, "state", 1)) {
		c->counts = false;
	} else if (chance(w, 80)) {
		string(w, "state", "running");
		runs = true;
	} else {
		const uint64_t i = below(w, 7);
		string(w, "state", others[i]);
		c->stopped = i < 3;
		restarts = i == 3;
		f->going = f->going || i == 4;
		if (i == 6 && chance(w, 80)) {
			const bool ran = chance(w, 70);
			string(w, "last_state", ran ? "running" : "exited");
			c->counts = ran;
		} else if (i == 6)
			c->counts = true;
	}
	c->counts = c->counts || runs || restarts;
	c->removable = runs || restarts;
	if (chance(w, 12)) {
		const bool sick = chance(w, 60);
		string(w, "health", sick ? "unhealthy" : "healthy");
		c->sick = sick && runs;
	}
	if (!odd(w, "ready", 4))
		boolean(w, "ready", runs && chance(w, 85));
}

static void put_container(struct writer *w, int i)
{
	struct facts *f = &w->f;
	struct container_fact *c = &f->c[i];
	char host[16];

	*c = (struct container_fact){.host = f->nhosts && chance(w, 98) ? (int)below(w, (uint64_t)f->nhosts) : -1};
	(void)snprintf(host, sizeof host, c->host < 0 ? "elsewhere" : "h%d", c->host);
	(void)snprintf(c->id, sizeof c->id, "%08" PRIx64 "%d", mix(&w->model) & 0xffffffff, i);
	(void)snprintf(c->name, sizeof c->name, chance(w, 85) ? "web-%d" : "other-%d", i + 1);
	if (c->host >= 0)
		f->on[c->host]++;
	open_(w);
	put_state(w, c);
	const bool no_id = chance(w, 1);
	if (!no_id)
		string(w, "id", c->id);
	string(w, "name", c->name);
	string(w, "host", host);
	if (!odd(w, "copy", 2)) {
		c->copy = chance(w, 75);
		boolean(w, "copy", c->copy);
	}
	if (!odd(w, "index", 5) && chance(w, 80))
		number(w, "index", chance(w, 95) ? i + 1 : between(w, -3, 30));
	if (!odd(w, "created", 3))
		moment(w, "created", NOON - 1000 * between(w, 1, 40) * 60);
	const bool protected = chance(w, 8);
	if (protected)
		raw(w, "labels", "{\"autoscale.protect\":\"true\",\"a\":\"b\"}");
	else if (chance(w, 10))
		raw(w, "labels", "{\"autoscale.protect\":\"false\"}");
	if (chance(w, 5))
		number(w, "exit_code", 137);
	stranger(w);
	close_(w, "{}", true);
	c->removable = c->removable && c->copy && !protected && !no_id;
	f->from += c->counts;
	f->removable += c->removable;
}

static void put_remembered(struct writer *w)
{
	struct facts *f = &w->f;

	key(w, "remembered");
	open_(w);
	for (int64_t i = chance(w, 85) ? 0 : between(w, 1, 3); i > 0; i--) {
		char name[16], host[16];
		const bool missing = chance(w, 60);
		(void)snprintf(name, sizeof name, chance(w, 50) ? "web-%d" : "gone-%d", (int)(40 + i));
		(void)snprintf(host, sizeof host, "h%d", (int)below(w, 4));
		next(w);
		open_(w);
		string(w, "name", name);
		string(w, "host", host);
		boolean(w, "missing", missing);
		if (chance(w, 5)) {
			moment(w, "settles_at", f->now + 1000 * between(w, -20, 20));
			f->settles = true;
		}
		f->remembered += missing;
		close_(w, "{}", true);
	}
	close_(w, "[]", true);
}

static void put_observed(struct writer *w)
{
	struct facts *f = &w->f;
	char host[16];

	key(w, "observed");
	open_(w);
	put_hosts(w);
	f->ncontainers = (int)(chance(w, 98) ? between(w, 0, 6) : between(w, 0, FACTS_CONTAINERS - 1));
	key(w, "containers");
	open_(w);
	for (int i = 0; i < f->ncontainers; i++) {
		next(w);
		put_container(w, i);
	}
	close_(w, "[]", true);
	f->template = !odd(w, "template", 3);
	if (f->template) {
		f->template_host = (int)below(w, 4);
		(void)snprintf(host, sizeof host, "h%d", f->template_host);
		key(w, "template");
		open_(w);
		string(w, "id", "0123456789ab");
		string(w, "name", "web");
		string(w, "host", host);
		if (chance(w, 1)) {
			const int64_t replicas = between(w, 0, 12);
			string(w, "engine", "swarm");
			number(w, "replicas", replicas);
			f->swarm = true;
			f->from = replicas;
		}
		close_(w, "{}", true);
	}
	put_remembered(w);
	stranger(w);
	close_(w, "{}", true);
}

/* ---- policy ---- */

static const char *one_of(struct writer *w, const char *const *v, size_t n) { return v[below(w, n)]; }
#define ONE_OF(w, ...) \
	one_of(w, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void put_limits(struct writer *w)
{
	struct facts *f = &w->f;

	f->min = 1;
	f->max = -1;
	if (!odd(w, "min", 3) && chance(w, 85))
		number(w, "min", f->min = between(w, 0, 4));
	if (!odd(w, "max", 3) && chance(w, 90)) {
		f->max = chance(w, 1) ? INT64_MAX : chance(w, 1) ? f->min - 1 : between(w, f->min, f->min + 7);
		number(w, "max", f->max);
	}
	if (chance(w, 15))
		number(w, "per_host", f->per_host = between(w, 0, 3));
	if (chance(w, 2)) {
		const bool active = chance(w, 60);
		f->min = active ? 2 : f->min;
		f->max = active ? 5 : f->max;
		string(w, "schedule",
		       active ? "mon-fri 08:00-18:00 UTC min=2 max=5 initial=4" : "sat-sun 08:00-18:00 UTC min=7 max=9");
	}
	if (f->max < -1)
		f->max = -1;
	f->crossed = f->max >= 0 && f->max < f->min;
}

static void seconds(struct writer *w, const char *name, int64_t most, int64_t *ms)
{
	if (odd(w, name, 3) || chance(w, 30))
		return;
	const int64_t n = chance(w, 40) ? 0 : between(w, 0, most);
	number(w, name, n);
	if (ms)
		*ms = 1000 * n;
}

static void put_words(struct writer *w)
{
	struct facts *f = &w->f;
	const char *word;

	if (chance(w, 40))
		string(w, "step_up", ONE_OF(w, "2", "50%", "25%min2", "0..20:1;20..50:25%;50..:100%", "x", "9"));
	if (chance(w, 40))
		string(w, "step_down", ONE_OF(w, "2", "50%", "25%min2", "0..20:1;20..50:25%;50..:100%", "", "9"));
	if (!odd(w, "tolerance", 3) && chance(w, 50))
		raw(w, "tolerance", ONE_OF(w, "0", "0.1", "0.5", "1e-6"));
	if (chance(w, 15))
		string(w, "rate_up", ONE_OF(w, "4/60s", "100%/15s", "1/60s,50%/15s min", "x"));
	if (chance(w, 15))
		string(w, "rate_down", ONE_OF(w, "1/60s", "10%/15s", "1/60s,50%/15s max"));
	if (chance(w, 8)) {
		word =
			ONE_OF(w, "no", "all", "up", "down", "all until 2026-11-24T11:00:00Z", "down until 2036-01-01T00:00:00Z");
		string(w, "paused", word);
		f->paused = strcmp(word, "no") != 0 && !strstr(word, "11:00");
	}
	if (chance(w, 40)) {
		word = ONE_OF(w, "none", "start", "start,recreate", "start,recreate,replace", "replace");
		string(w, "available", word);
		f->replaces = strstr(word, "replace") != NULL;
	}
	if (chance(w, 4)) {
		string(w, "count_from", ONE_OF(w, "db", "alert"));
		f->other_count = true;
	}
	if (!odd(w, "placement", 2) && chance(w, 50)) {
		word = ONE_OF(w, "spread", "pack", "same-host");
		string(w, "placement", word);
		f->same_host = strcmp(word, "same-host") == 0;
	}
	if (!odd(w, "victim", 2) && chance(w, 60))
		string(w, "victim", ONE_OF(w, "idle", "newest", "oldest"));
}

static const char *const signals[FACTS_SIGNALS] = {"lb.connections", "lb.queue", "docker.cpu", "prometheus:up"};

/* lower: the policy lets a missing value scale in. */
static void put_policy(struct writer *w, bool asked[FACTS_SIGNALS], bool zero[FACTS_SIGNALS], bool *lower)
{
	struct facts *f = &w->f;
	int64_t cooldown = 60000;

	f->stale_after = 300000;
	key(w, "policy");
	open_(w);
	put_limits(w);
	put_words(w);
	seconds(w, "cooldown_up", 120, NULL);
	seconds(w, "cooldown_down", 120, &cooldown);
	seconds(w, "window_up", 120, NULL);
	seconds(w, "window_down", 300, NULL);
	seconds(w, "stale_after", 300, &f->stale_after);
	f->cooled = cooldown;
	if (chance(w, 50)) {
		const char *word = ONE_OF(w, "\"hold\"", "\"3\"", "3", "\"6 if-higher\"", "\"2 if-lower\"", "\"x\"");
		raw(w, "on_missing", word);
		*lower = strstr(word, "lower") != NULL;
	}
	if (chance(w, 60)) {
		key(w, "target");
		open_(w);
		for (int i = 0; i < FACTS_SIGNALS; i++) {
			if (!(asked[i] = chance(w, 35)))
				continue;
			zero[i] = chance(w, 3);
			number(w, signals[i], zero[i] ? 0 : between(w, 1, 200));
			f->tracks = true;
		}
		close_(w, "{}", true);
	}
	raw(w, "from", "{\"max\":\"label\"}");
	stranger(w);
	close_(w, "{}", true);
}

/* ---- metrics ---- */

/* True: it can be used. */
static bool put_value(struct writer *w)
{
	const struct facts *f = &w->f;
	bool good = true;

	if (chance(w, 6)) {
		raw(w, "value", ONE_OF(w, "null", "\"40\"", "-3", "1e400", "[7]", "10000000000000"));
		good = false;
	} else if (chance(w, 80))
		number(w, "value", between(w, 0, 1000));
	else
		raw(w, "value", ONE_OF(w, "0.5", "1e2", "99.999999", "123456.75"));
	const bool ok = chance(w, 95), stale = chance(w, 5);
	boolean(w, "ok", ok);
	if (stale)
		moment(w, "at", f->now - f->stale_after - 1 - between(w, 0, 100000));
	else if (chance(w, 70))
		moment(w, "at", f->now - between(w, 0, f->stale_after));
	return good && ok && !stale;
}

static void put_metric(struct writer *w, const char *name, const char *per, const char *id, bool victim, bool *good)
{
	next(w);
	open_(w);
	string(w, "name", name);
	string(w, "per", per);
	if (id)
		string(w, "id", id);
	*good = put_value(w);
	if (victim)
		string(w, "use", "victim");
	stranger(w);
	close_(w, "{}", true);
}

/* Several values of one metric: of a total or a mean one that is bad spoils all, of containers all must be. */
static bool put_signal(struct writer *w, int i)
{
	const struct facts *f = &w->f;
	const bool containers = chance(w, 25);
	bool any = false, all = true, good;

	if (chance(w, 5))
		return false;
	for (int n = containers ? f->ncontainers : (int)between(w, 1, chance(w, 90) ? 1 : 3); n > 0; n--) {
		put_metric(w, signals[i],
		           containers      ? "container"
		           : chance(w, 50) ? "service"
		                           : "replica",
		           containers ? f->c[n - 1].id : NULL, false, &good);
		any = any || good;
		all = all && good;
	}
	return containers ? any : all;
}

static void put_metrics(struct writer *w, const bool asked[FACTS_SIGNALS], const bool zero[FACTS_SIGNALS], bool lower)
{
	struct facts *f = &w->f;
	bool good, some = false, victims = false;

	if (odd(w, "metrics", 5) || chance(w, 10)) {
		f->tracks = false; /* nothing was measured; of "[]" see below */
		f->missing = false;
		return;
	}
	key(w, "metrics");
	open_(w);
	for (int i = 0; i < FACTS_SIGNALS && !chance(w, 10); i++) {
		const int before = w->frame[w->depth].members;
		if (!asked[i] && chance(w, 60))
			continue;
		good = put_signal(w, i);
		some = some || w->frame[w->depth].members > before;
		f->missing = f->missing || (asked[i] && (!good || zero[i]));
		if (asked[i])
			f->measured |= 1 << i;
	}
	for (int i = 0; i < f->ncontainers && chance(w, 60); i++) {
		put_metric(w, "lb.connections", "container", f->c[i].id, true, &good);
		victims = true;
	}
	close_(w, "[]", true);
	for (int i = 0; i < FACTS_SIGNALS; i++)
		f->missing = f->missing || (asked[i] && !(f->measured & 1 << i));
	f->tracks = f->tracks && (some || !victims);
	f->missing = f->missing && f->tracks && !lower;
}

/* ---- history, alert, and all of it ---- */

static int64_t put_past(struct writer *w, const char *name)
{
	if (chance(w, 40)) {
		raw(w, name, "null");
		return INT64_MIN;
	}
	const int64_t at = w->f.now - between(w, 0, 200000);
	moment(w, name, at);
	return at;
}

static void put_moves(struct writer *w, const char *name, bool want)
{
	key(w, name);
	open_(w);
	for (int64_t i = chance(w, 50) ? 0 : between(w, 1, 4); i > 0; i--) {
		next(w);
		open_(w);
		moment(w, "at", w->f.now - 1 - between(w, 0, 400) * 1000);
		if (want)
			number(w, "want", between(w, 0, 9));
		else {
			number(w, "from", between(w, 0, 9));
			number(w, "to", between(w, 0, 9));
		}
		close_(w, "{}", true);
	}
	close_(w, "[]", true);
}

static void put_history(struct writer *w)
{
	struct facts *f = &w->f;
	int64_t last;

	f->last_out = f->last_in = INT64_MIN;
	if (odd(w, "history", 3))
		return;
	key(w, "history");
	open_(w);
	number(w, "generation", between(w, 0, 5));
	f->last_out = put_past(w, "last_out");
	f->last_in = put_past(w, "last_in");
	last = f->last_out > f->last_in ? f->last_out : f->last_in;
	f->cooled = last == INT64_MIN ? 0 : last + f->cooled;
	put_moves(w, "window", true);
	put_moves(w, "moves", false);
	if (f->other_count && chance(w, 60))
		number(w, "counted", between(w, 0, 8));
	if ((f->repairs = chance(w, 10)))
		raw(w, "repairs",
		    "[{\"at\":\"2026-11-24T11:59:59.000Z\",\"op\":\"start\",\"names\":[\"web-1\",\"web-3\",\"web-7\"]},"
		    "{\"at\":\"2026-11-24T11:59:30.000Z\",\"op\":\"recreate\",\"names\":[\"web-3\"]}]");
	if ((f->pending = chance(w, 2)))
		raw(w, "pending",
		    "{\"op_id\":\"web-x\",\"generation\":6,\"alert_id\":\"r\",\"plan\":{\"op\":\"scale-up\",\"from\":1,\"to\":"
		    "2,"
		    "\"create\":[],\"start\":[],\"remove\":[],\"reason\":\"r\",\"trace\":[]}}");
	else if (chance(w, 50))
		raw(w, "pending", "null");
	close_(w, "{}", true);
}

static void put_alert(struct writer *w)
{
	struct facts *f = &w->f;
	int64_t sent = INT64_MIN, received = INT64_MIN;
	const char *action = "";

	if (!odd(w, "action", 2))
		string(w, "action",
		       action = ONE_OF(w, "scale-up", "scale-up", "scale-up", "scale-down", "scale-down", "scale-down", "set",
		                       "set", "start", "recreate", "attach", "reconcile", "explode", "down"));
	f->known = *action && strcmp(action, "explode") != 0 && strcmp(action, "down") != 0;
	f->order = f->known && strcmp(action, "set") != 0 && strncmp(action, "scale", 5) != 0;
	if (strcmp(action, "set") == 0 || f->other_count) {
		const bool valid = !odd(w, "count", 5);
		if (valid)
			number(w, "count", between(w, 0, 9));
		f->known = f->known && (valid || strcmp(action, "set") != 0);
	}
	if (chance(w, 10)) {
		string(w, "status", "resolved");
		f->ignored = true;
	}
	if (chance(w, 80)) {
		sent = received = f->now - (chance(w, 90) ? between(w, 0, 20000) : between(w, 0, 600000));
		moment(w, "received_at", received);
	}
	if (chance(w, 50)) {
		const int64_t starts = f->now - between(w, 0, 600000);
		sent = received == INT64_MIN ? starts : sent;
		moment(w, "starts_at", starts);
	}
	if (chance(w, 40)) {
		string(w, "metric", "lb.connections");
		number(w, "value", between(w, -10, 400));
		number(w, "threshold", between(w, 0, 200));
	}
	f->ignored = f->ignored || (sent != INT64_MIN && f->now - sent > f->stale_after);
	if (received != INT64_MIN && strcmp(action, "scale-up") == 0 && received <= f->last_out)
		f->ignored = true;
	if (received != INT64_MIN && strcmp(action, "scale-down") == 0 && received <= f->last_in)
		f->ignored = true;
}

/* The record of that number, in that order. w is large: it stands once in a program. */
static void random_record(struct writer *w, uint64_t seed, uint64_t order)
{
	bool asked[FACTS_SIGNALS] = {false}, zero[FACTS_SIGNALS] = {false}, lower = false;
	struct facts *f = &w->f;

	w->model = seed;
	w->order = order;
	w->n = 0;
	w->depth = 0;
	*f = (struct facts){.now = NOON};
	f->now += between(w, 0, 60000);
	open_(w);
	string(w, "service", "web");
	string(w, "id", "r");
	moment(w, "now", f->now);
	put_observed(w);
	put_policy(w, asked, zero, &lower);
	put_history(w);
	put_metrics(w, asked, zero, lower);
	if ((f->alert = chance(w, 50))) {
		key(w, "alert");
		open_(w);
		put_alert(w);
		close_(w, "{}", true);
	}
	close_(w, "{}", true);
	w->text[w->n] = '\0';
}

#endif
