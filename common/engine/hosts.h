/* The engines of a configuration by host name, opened at first use and kept, and the tasks that call them. */
#ifndef ENGINE_HOSTS_H
#define ENGINE_HOSTS_H

#include "engine/engine.h"

struct engine_hosts {
	const struct conf *conf;
	struct tasks *tasks;
	struct engine_host {
		const struct conf_host *host;
		const struct engine_driver *driver;
		struct engine *engine;
		struct tasks_gate gate;   /* for chains of calls that make the engine work: engine_hosts_jobs */
		struct tasks_gate images; /* one image at a time comes to a host */
	} * v;                        /* conf->nhosts entries */
};

/* jobs as below: ENGINE_JOBS_START. */
int engine_hosts_init(struct engine_hosts *h, const struct conf *conf, struct err *err);
void engine_hosts_release(struct engine_hosts *h);
/* NOT_FOUND: no such host is configured; else why it cannot be opened. The entry stays good until release. */
struct engine_host *engine_hosts_get(struct engine_hosts *h, const char *name, struct err *err);

/* How many containers are started or stopped at a time on one host; 0 is taken for 1. Starting is work for the engine's
 * processors: eight keep two of them busy (tests/bench/burst: 1.02 of the engine's best, four 1.10). Stopping mostly
 * waits for the containers, but their ends come together, and Docker 20.10 has been seen to lock up for good in its
 * network code (libnetwork, getSvcRecords) when sixteen did. */
#define ENGINE_JOBS_START 8
#define ENGINE_JOBS_STOP 8
void engine_hosts_jobs(struct engine_hosts *h, size_t jobs);

/* Waits until a container counts as ready: looks again and again, at most timeout_ms; other tasks go on meanwhile. */
struct ready_wait {
	/* out */
	bool ready;
	char why[160]; /* it is not */
	json_t *doc;   /* as inspected last; new, may be NULL */
};

/* rule and network as in struct ready_target (rule "" for the default). Give doc back with json_decref. */
void ready_wait(struct engine_hosts *h, const struct engine_host *host, const char *id, const char *rule,
                const char *network, int64_t timeout_ms, struct ready_wait *out);

#endif
