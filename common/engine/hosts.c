#include "engine/hosts.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

int engine_hosts_init(struct engine_hosts *h, const struct conf *conf, struct err *err)
{
	h->conf = conf;
	h->v = calloc(conf->nhosts, sizeof *h->v);
	if (!h->v)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; i < conf->nhosts; i++)
		h->v[i].images.width = 1;
	h->tasks = tasks_new(err);
	if (h->tasks) {
		engine_hosts_jobs(h, ENGINE_JOBS_START);
		return 0;
	}
	free(h->v);
	h->v = NULL;
	return -1;
}

void engine_hosts_release(struct engine_hosts *h)
{
	for (size_t i = 0; h->v && i < h->conf->nhosts; i++)
		if (h->v[i].engine)
			h->v[i].driver->close(h->v[i].engine);
	tasks_free(h->tasks);
	free(h->v);
	h->tasks = NULL;
	h->v = NULL;
}

void engine_hosts_jobs(struct engine_hosts *h, size_t jobs)
{
	for (size_t i = 0; i < h->conf->nhosts; i++)
		h->v[i].gate.width = jobs ? jobs : 1;
}

struct engine_host *engine_hosts_get(struct engine_hosts *h, const char *name, struct err *err)
{
	for (size_t i = 0; i < h->conf->nhosts; i++) {
		struct engine_host *e = &h->v[i];
		if (strcmp(h->conf->hosts[i].name, name) != 0)
			continue;
		e->host = &h->conf->hosts[i];
		if (!e->driver && !(e->driver = engine_driver(e->host, err)))
			return NULL;
		if (!e->engine && !(e->engine = e->driver->open(e->host, h->tasks, err)))
			return NULL;
		return e;
	}
	(void)err_set(err, ERR_NOT_FOUND, "host \"%s\" is not configured: add a [host \"%s\"] section", name, name);
	return NULL;
}
