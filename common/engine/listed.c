/* What an engine's list tells of a container, without a question about each. */
#include "base/clock.h"
#include "engine/doc.h"
#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

bool listed_joins(const json_t *entry, unsigned conventions, char *service, size_t size, bool *joined)
{
	const json_t *labels = json_object_get(entry, "Labels");
	json_t *as_doc = json_pack("{s:{s:O?}}", "Config", "Labels", labels);
	const bool by_label = as_doc && container_service(as_doc, service, size);

	json_decref(as_doc);
	if (!by_label)
		service[0] = '\0';
	*joined = labels_join(labels) || (conventions && (labels_conventions(labels) & conventions));
	return by_label && *joined;
}

bool listed_ended_task(const json_t *entry)
{
	const char *state = doc_str(entry, "State");

	return json_object_get(json_object_get(entry, "Labels"), "com.docker.swarm.task.id") && state &&
	       (strcmp(state, "exited") == 0 || strcmp(state, "created") == 0 || strcmp(state, "dead") == 0);
}

/* Its own name has one slash, at the beginning; those that others link it by have two. */
static const char *name_of(const json_t *entry)
{
	const json_t *names = json_object_get(entry, "Names"), *value;
	size_t i;

	json_array_foreach(names, i, value) {
		const char *name = json_string_value(value);
		if (name && !strchr(name + 1, '/'))
			return name;
	}
	return "";
}

/* "Up 5 minutes (healthy)", "Up 2 seconds (health: starting)". */
static const char *health_of(const json_t *entry)
{
	const char *status = doc_str(entry, "Status");

	if (!status)
		return NULL;
	return strstr(status, "(healthy)")            ? "healthy"
	       : strstr(status, "(unhealthy)")        ? "unhealthy"
	       : strstr(status, "(health: starting)") ? "starting"
	                                              : NULL;
}

static json_t *state_of(const json_t *entry)
{
	const char *state = doc_str(entry, "State"), *health = health_of(entry);
	const bool runs = state && (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0);

	json_t *doc = json_pack("{s:s?, s:b, s:b}", "Status", state, "Running", runs, "Restarting",
	                        state && strcmp(state, "restarting") == 0);
	if (doc && health)
		(void)json_object_set_new(doc, "Health", json_pack("{s:s}", "Status", health));
	return doc;
}

/* The list has a line for each address of a published port, and one for a port that is only exposed. */
static int put_ports(const json_t *entry, json_t *ports, json_t *exposed)
{
	const json_t *list = json_object_get(entry, "Ports"), *p;
	size_t i;
	int bad = 0;

	json_array_foreach(list, i, p) {
		const char *type = doc_str(p, "Type"), *ip = doc_str(p, "IP");
		const int64_t port = doc_int(p, "PrivatePort"), published = doc_int(p, "PublicPort");
		char key[48], number[24];
		(void)snprintf(key, sizeof key, "%lld/%.8s", (long long)port, type ? type : "tcp");
		(void)snprintf(number, sizeof number, "%lld", (long long)published);
		bad |= json_object_set_new(exposed, key, json_object());
		json_t *bindings = json_object_get(ports, key);
		if (!bindings && !(bad |= json_object_set_new(ports, key, json_array())))
			bindings = json_object_get(ports, key);
		if (published > 0)
			bad |= json_array_append_new(bindings, json_pack("{s:s, s:s}", "HostIp", ip ? ip : "", "HostPort", number));
	}
	return bad;
}

json_t *listed_container(const json_t *entry, const json_t *env)
{
	json_t *ports = json_object(), *exposed = json_object(), *doc;
	const int64_t created = doc_int(entry, "Created");
	const json_t *labels = json_object_get(entry, "Labels");
	char when[CLOCK_TEXT];

	clock_format(created > 0 ? created * 1000 : 0, when);
	if (!ports || !exposed || put_ports(entry, ports, exposed)) {
		json_decref(ports);
		json_decref(exposed);
		return NULL;
	}
	doc = json_pack("{s:s?, s:s, s:s, s:o, s:{s:s?, s:O?, s:O?, s:o}, s:{s:s?}, s:{s:O?, s:o}}", "Id",
	                doc_str(entry, "Id"), "Name", name_of(entry), "Created", when, "State", state_of(entry), "Config",
	                "Image", doc_str(entry, "Image"), "Labels", labels, "Env", env, "ExposedPorts", exposed,
	                "HostConfig", "NetworkMode", doc_str(entry, "HostConfig.NetworkMode"), "NetworkSettings",
	                "Networks", doc_get(entry, "NetworkSettings.Networks"), "Ports", ports);
	if (doc && doc_label(doc, "com.docker.swarm.task.id") && !doc_get(entry, "NetworkSettings"))
		(void)json_object_set_new(doc, "Task", json_object()); /* as a swarm lists it */
	return doc;
}

bool listed_tells(const json_t *entry)
{
	const char *mode = doc_str(entry, "HostConfig.NetworkMode"), *state = doc_str(entry, "State");

	return !mode || strcmp(mode, "host") != 0 || !state || strcmp(state, "running") != 0 || health_of(entry);
}
