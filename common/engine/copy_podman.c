/* What Podman (4.3 and later) says otherwise than Docker when it is asked for a container, and would not take back.
 * NetworkMode, which is "bridge" for any network, needs no word here: rule_mode_name looks at Networks too. */
#include "engine/copy.h"

#include <ctype.h>
#include <stdio.h>

#include "base/banned.h"

#define LIMIT_PREFIX "RLIMIT_"

/* PortBindings of null, and a port's of null. */
int rule_podman_null(struct work *w, json_t *in, const char *field)
{
	json_t *map = doc_get(in, field), *bindings;
	const char *key;
	void *next;

	if (!w->o->podman)
		return 0;
	if (json_is_null(map))
		return rule_drop(w, in, field);
	json_object_foreach_safe(map, next, key, bindings)
	{
		if (json_is_null(bindings))
			(void)json_object_del(map, key);
	}
	return 0;
}

/* It says the same limit both ways, and takes only one. */
int rule_podman_cpu(struct work *w, json_t *in, const char *field)
{
	if (!w->o->podman || doc_int(in, field) <= 0)
		return 0;
	(void)rule_drop(w, in, "CpuPeriod");
	return rule_drop(w, in, "CpuQuota");
}

int rule_podman_swappiness(struct work *w, json_t *in, const char *field)
{
	return w->o->podman && doc_int(in, field) <= 0 ? rule_drop(w, in, field) : 0;
}

int rule_podman_runtime(struct work *w, json_t *in, const char *field)
{
	return w->o->podman && is(doc_str(in, field), "oci") ? rule_drop(w, in, field) : 0;
}

int rule_podman_ulimits(struct work *w, json_t *in, const char *field)
{
	const json_t *list = doc_get(in, field);
	char name[32];

	for (size_t i = 0; w->o->podman && i < json_array_size(list); i++) {
		json_t *limit = json_array_get(list, i);
		const char *said = doc_str(limit, "Name");
		if (!has_prefix(said, LIMIT_PREFIX))
			continue;
		(void)snprintf(name, sizeof name, "%s", said + strlen(LIMIT_PREFIX));
		for (char *p = name; *p; p++)
			*p = (char)tolower((unsigned char)*p);
		work_put(w, limit, "Name", json_string(name));
	}
	return 0;
}

/* What it puts into each container itself; another value is the user's. */
int rule_podman_env(struct work *w, json_t *in, const char *field)
{
	json_t *list = doc_get(in, field);
	const char *hostname = doc_str(w->config, "Hostname");

	for (size_t i = json_array_size(list); w->o->podman && i-- > 0;) {
		const char *v = json_string_value(json_array_get(list, i));
		if (is(v, "container=podman") || is(v, "container=oci") || is(v, "TERM=xterm") ||
		    (has_prefix(v, "HOSTNAME=") && is(hostname, v + strlen("HOSTNAME="))))
			(void)json_array_remove(list, i);
	}
	return 0;
}
