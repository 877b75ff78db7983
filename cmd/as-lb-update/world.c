/* Which containers run, as the engines of all hosts say. A record's look may be old by the time that it is acted on. */
#include "cmd/as-lb-update/update.h"

#include "base/clock.h"

#include <string.h>

#include "base/banned.h"

static bool is_up(const json_t *entry)
{
	const char *state = json_string_value(json_object_get(entry, "State"));

	return state && (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0);
}

/* A task: one host. */
static void list_host(void *ctx, size_t i)
{
	struct update *u = ctx;
	json_t *list = NULL, *entry;
	struct err why = {0};
	char name[LB_NAME];
	size_t k;

	struct engine_host *h = engine_hosts_get(&u->hosts, u->f.conf.hosts[i].name, &why);
	if (!h || h->driver->list(h->engine, NULL, &list, &why) < 0) {
		if (u->world.complete)
			u->world.why = why;
		u->world.complete = false;
		return;
	}
	json_array_foreach(list, k, entry)
		if (is_up(entry) && lb_server_name(json_string_value(json_object_get(entry, "Id")), name))
			(void)json_object_set_new(u->world.running, name, json_true());
	json_decref(list);
}

int look_at_world(struct update *u, int64_t since, struct err *err)
{
	struct world *w = &u->world;
	int bad = 0;

	w->gate.width = 1;
	tasks_enter(u->hosts.tasks, &w->gate);
	if (!w->at || w->at < since) {
		const int64_t at = clock_monotonic_ms();
		json_decref(w->running);
		w->running = json_object();
		w->complete = true;
		bad = w->running ? tasks_run(u->hosts.tasks, u->f.conf.nhosts, list_host, u, err)
		                 : err_set(err, ERR_TEMPORARY, "out of memory");
		w->at = bad ? 0 : at;
	}
	tasks_leave(u->hosts.tasks, &w->gate);
	return bad;
}

bool runs(const struct update *u, const char *name) { return json_object_get(u->world.running, name) != NULL; }
