/* The engines of a configuration by host name, opened at first use and kept. */
#ifndef ENGINE_HOSTS_H
#define ENGINE_HOSTS_H

#include "engine/engine.h"

struct engine_hosts {
	const struct conf *conf;
	struct engine_host {
		const struct conf_host *host;
		const struct engine_driver *driver;
		struct engine *engine;
	} * v; /* conf->nhosts entries */
};

int engine_hosts_init(struct engine_hosts *h, const struct conf *conf, struct err *err);
void engine_hosts_release(struct engine_hosts *h);
/* NOT_FOUND: no such host is configured; else why it cannot be opened. The entry stays good until release. */
struct engine_host *engine_hosts_get(struct engine_hosts *h, const char *name, struct err *err);

/* Waits until containers count as ready: looks again and again until timeout_ms is over for all of them together. */
struct ready_wait {
	/* in */
	struct engine_host *host;
	const char *id;
	/* out */
	bool ready, gone;
	char why[160];
	json_t *doc; /* as inspected last; new, may be NULL */
};

/* rule and network as in struct ready_target (rule "" for the default). Give every doc back with json_decref. */
void ready_wait(struct ready_wait *v, size_t n, const char *rule, const char *network, int64_t timeout_ms);

#endif
