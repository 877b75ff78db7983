#include "base/clock.h"
#include "engine/hosts.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define LOOK_FIRST_MS 10 /* a container of one small process is ready within tens of milliseconds */
#define LOOK_LAST_MS 250
#define PROBE_MS 200

/* True when there is nothing more to wait for. */
static bool look(struct engine_hosts *h, const struct engine_host *host, const char *id, struct ready_target *t,
                 struct ready_wait *w)
{
	struct err err = {0};
	json_t *doc = NULL;

	if (host->driver->inspect(host->engine, id, &doc, &err) < 0) {
		(void)snprintf(w->why, sizeof w->why, "%.150s", err.message);
		return err.code == ERR_NOT_FOUND;
	}
	json_decref(w->doc);
	t->inspect = w->doc = doc;
	ready_check(h->tasks, t, 1, PROBE_MS);
	w->ready = t->ready;
	(void)snprintf(w->why, sizeof w->why, "%s", t->why);
	return t->ready || t->failed;
}

void ready_wait(struct engine_hosts *h, const struct engine_host *host, const char *id, const char *rule,
                const char *network, int64_t timeout_ms, struct ready_wait *out)
{
	const int64_t deadline = clock_monotonic_ms() + timeout_ms;
	struct ready_target t = {.rule = rule, .network = network, .host_address = host->host->address};
	int64_t pause = LOOK_FIRST_MS;

	*out = (struct ready_wait){0};
	while (!look(h, host, id, &t, out)) {
		const int64_t left = deadline - clock_monotonic_ms();
		if (left <= 0)
			break;
		tasks_sleep(h->tasks, pause < left ? pause : left);
		pause = pause * 2 < LOOK_LAST_MS ? pause * 2 : LOOK_LAST_MS;
	}
}
