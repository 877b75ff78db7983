/* --state FILE: where each host's events were left, and its containers, so that a restart goes on from there. A record
 * is written before the state says so: what a kill -9 leaves is told once more, under the same id. */
#include "cmd/as-watch/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define STATE_VERSION 1

/* ---- reading ---- */

static void load_host(struct host *h, const json_t *from)
{
	const json_t *seen = json_object_get(from, "seen"), *pair;
	json_t *known = json_object_get(from, "known"), *k;
	const char *id;
	size_t i;

	h->since = json_integer_value(json_object_get(from, "since"));
	if (!json_is_object(known) || h->since <= 0) {
		h->since = 0;
		return;
	}
	h->newest = h->since;
	h->listed = true;
	json_decref(h->known);
	h->known = json_deep_copy(known);
	json_object_foreach(h->known, id, k)
		if (h->again)
			known_set(k, "look", true);
	json_array_foreach(seen, i, pair) {
		struct seen *s = &h->seen[h->at++ % SEEN];
		s->hash = strtoull(json_string_value(json_array_get(pair, 0)) ? json_string_value(json_array_get(pair, 0)) : "",
		                   NULL, 16);
		s->time = json_integer_value(json_array_get(pair, 1));
	}
}

int load_state(struct watch *w, struct err *err)
{
	json_error_t why;

	if (!w->state)
		return 0;
	FILE *f = fopen(w->state, "re");
	if (!f && errno == ENOENT)
		return 0;
	if (!f)
		return err_set(err, ERR_CONFIG, "cannot read the state %s: %s", w->state, strerror(errno));
	json_t *state = json_loadf(f, 0, &why);
	(void)fclose(f);
	const bool again = (unsigned)json_integer_value(json_object_get(state, "conventions")) != w->conventions;
	if (json_integer_value(json_object_get(state, "v")) != STATE_VERSION)
		front_warn(&w->f, "%s is no state of as-watch: beginning anew", w->state);
	else
		for (size_t i = 0; i < w->nhosts; i++) {
			w->hosts[i].again = again;
			load_host(&w->hosts[i], json_object_get(json_object_get(state, "hosts"), w->hosts[i].name));
		}
	json_decref(state);
	return 0;
}

/* ---- writing ---- */

/* What waits for its record counts as not seen. */
static json_t *host_state(const struct host *h)
{
	int64_t since = h->newest > h->since ? h->newest : h->since;
	json_t *seen = json_array();
	char hash[20];

	for (size_t i = 0; i < SEEN; i++)
		if (h->seen[i].batch && h->seen[i].time < since)
			since = h->seen[i].time;
	for (size_t i = 0; i < SEEN; i++) {
		const struct seen *s = &h->seen[(h->at + i) % SEEN];
		if (!s->hash || s->batch || s->time < since - REPEAT_MS * NS_PER_MS)
			continue;
		(void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)s->hash);
		(void)json_array_append_new(seen, json_pack("[s, I]", hash, (json_int_t)s->time));
	}
	return json_pack("{s:I, s:o, s:O}", "since", (json_int_t)since, "seen", seen, "known", h->known);
}

static int write_file(const char *path, const json_t *state, struct err *err)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good = fd >= 0 && fchmod(fd, 0600) == 0 && json_dumpfd(state, fd, JSON_COMPACT) == 0;

	const int why = errno;
	if (fd >= 0 && close(fd) < 0)
		good = false;
	return good ? 0 : err_set(err, ERR_OUTPUT, "cannot write the state %s: %s", path, strerror(why));
}

int save_state(struct watch *w, struct err *err)
{
	char next[4096];
	json_t *hosts = json_object(), *state;
	int bad;

	w->changed = false;
	w->saved_at = clock_monotonic_ms();
	for (size_t i = 0; i < w->nhosts; i++)
		if (w->hosts[i].listed)
			(void)json_object_set_new(hosts, w->hosts[i].name, host_state(&w->hosts[i]));
	state = json_pack("{s:i, s:I, s:o}", "v", STATE_VERSION, "conventions", (json_int_t)w->conventions, "hosts", hosts);
	if (!state || snprintf(next, sizeof next, "%s.new", w->state) >= (int)sizeof next)
		bad = err_set(err, ERR_CONFIG, "cannot write the state %.200s: its name is too long", w->state);
	else
		bad = write_file(next, state, err);
	json_decref(state);
	if (!bad && rename(next, w->state) < 0)
		bad = err_set(err, ERR_OUTPUT, "cannot write the state %s: %s", w->state, strerror(errno));
	return bad;
}
