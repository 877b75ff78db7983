#include "engine/engine.h"

#include "engine/where.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static const struct engine_driver *const drivers[] = {
	&engine_docker,
	&engine_swarm,
};

const struct engine_driver *engine_driver(const struct conf_host *host, struct err *err)
{
	const char *name = host->engine ? host->engine : "docker";

	for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	(void)err_set(err, ERR_CONFIG, "host %s: engine \"%s\" is not supported: use engine = docker or swarm", host->name,
	              name);
	return NULL;
}

void engine_scale_said(const struct engine_scale *s, char out[ENGINE_SCALE_SAID])
{
	out[0] = '\0';
	if (s->already)
		(void)snprintf(out, ENGINE_SCALE_SAID, "already");
	else if (s->from != s->now)
		(void)snprintf(out, ENGINE_SCALE_SAID, "%lld -> %lld", (long long)s->from, (long long)s->now);
}

bool engine_is_local(const struct conf_host *host)
{
	struct where w = {0};
	struct err unknown = {0};

	return where_find(host, &w, &unknown) == 0 && w.target.unix_path;
}
