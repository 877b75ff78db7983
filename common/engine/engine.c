#include "engine/engine.h"

#include <string.h>

#include "base/banned.h"

static const struct engine_driver *const drivers[] = {
	&engine_docker,
};

const struct engine_driver *engine_driver(const struct conf_host *host, struct err *err)
{
	const char *name = host->engine ? host->engine : "docker";

	for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	(void)err_set(err, ERR_CONFIG, "host %s: engine \"%s\" is not supported: use engine = docker", host->name, name);
	return NULL;
}
