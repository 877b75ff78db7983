#include "engine/hosts.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define LOOK_FIRST_MS 10 /* a container of one small process is ready within tens of milliseconds */
#define LOOK_LAST_MS 250
#define PROBE_MS 200

static void look(struct ready_wait *w, struct ready_target *t, const char *rule, const char *network)
{
	struct err err = {0};
	json_t *doc = NULL;

	*t = (struct ready_target){.rule = rule, .network = network};
	if (w->host->driver->inspect(w->host->engine, w->id, &doc, &err) < 0) {
		w->gone = err.code == ERR_NOT_FOUND;
		(void)snprintf(w->why, sizeof w->why, "%.150s", err.message);
		return;
	}
	json_decref(w->doc);
	w->doc = doc;
	t->inspect = doc;
	t->host_address = w->host->host->address;
}

/* One look at all that are not settled; returns how many are still open. */
static size_t round_of_looks(struct ready_wait *v, size_t n, struct ready_target *t, size_t *of, const char *rule,
                             const char *network)
{
	size_t m = 0, open = 0;

	for (size_t i = 0; i < n; i++) {
		if (v[i].ready || v[i].gone)
			continue;
		look(&v[i], &t[m], rule, network);
		open += !v[i].gone;
		if (t[m].inspect)
			of[m++] = i;
	}
	ready_check(t, m, PROBE_MS);
	for (size_t k = 0; k < m; k++) {
		struct ready_wait *w = &v[of[k]];
		w->ready = t[k].ready;
		w->gone = t[k].failed;
		(void)snprintf(w->why, sizeof w->why, "%s", t[k].why);
		open -= w->ready || w->gone;
	}
	return open;
}

void ready_wait(struct ready_wait *v, size_t n, const char *rule, const char *network, int64_t timeout_ms)
{
	const int64_t deadline = clock_monotonic_ms() + timeout_ms;
	struct ready_target *t = calloc(n + 1, sizeof *t);
	size_t *of = calloc(n + 1, sizeof *of);
	int64_t pause = LOOK_FIRST_MS;

	while (t && of && round_of_looks(v, n, t, of, rule, network)) {
		const int64_t left = deadline - clock_monotonic_ms();
		if (left <= 0)
			break;
		clock_sleep_ms(pause < left ? pause : left);
		pause = pause * 2 < LOOK_LAST_MS ? pause * 2 : LOOK_LAST_MS;
	}
	free(t);
	free(of);
}
