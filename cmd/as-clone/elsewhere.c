/* What a copy needs of a host that is not its source's, asked before it is made: there the engine would make
 * an empty volume of a name, and an empty directory for a path, without a word, and notice a missing network only at
 * the start. */
#include "cmd/as-clone/clone.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define PROBE "autoscale.probe" /* label of a container that is only made to see whether it can be */

/* ---- networks ---- */

/* False for modes that are no network of the host's list, Podman's included. */
static bool is_network(const char *mode)
{
	static const char *const words[] = {"", "default", "bridge", "host", "none", "private"};
	static const char *const prefixes[] = {"container:", "ns:", "slirp4netns", "pasta"};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(mode, words[i]) == 0)
			return false;
	for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
		if (strncmp(mode, prefixes[i], strlen(prefixes[i])) == 0)
			return false;
	return true;
}

static int ask_network(const struct copy *copy, const char *name, struct err *err)
{
	const struct engine_host *h = copy->target;
	bool there;

	if (!name || !is_network(name))
		return 0;
	if (h->driver->network_exists(h->engine, name, &there, err) < 0)
		return -1;
	return there ? 0
	             : err_set(err, ERR_REFUSED, "host %s: network %s is not there: docker network create it there",
	                       copy->host, name);
}

static int ask_networks(const struct copy *copy, const struct copy_request *request, struct err *err)
{
	json_t *host = json_object_get(request->create, "HostConfig"), *value;
	json_t *first = json_object_get(json_object_get(request->create, "NetworkingConfig"), "EndpointsConfig");
	const char *name;
	size_t i;

	if (ask_network(copy, json_string_value(json_object_get(host, "NetworkMode")), err) < 0)
		return -1;
	json_object_foreach(first, name, value) {
		if (ask_network(copy, name, err) < 0)
			return -1;
	}
	json_array_foreach(request->connect, i, value) {
		if (ask_network(copy, json_string_value(json_object_get(value, "network")), err) < 0)
			return -1;
	}
	return 0;
}

/* ---- volumes ---- */

static int ask_volume(const struct copy *copy, const char *name, size_t n, const char *volume_driver, struct err *err)
{
	const struct engine_host *h = copy->target;
	char volume[256];
	bool there;

	/* A plugin may know it, and has it on every host. */
	if (!n || *name == '/' || (volume_driver && *volume_driver && strcmp(volume_driver, "local") != 0))
		return 0;
	(void)snprintf(volume, sizeof volume, "%.*s", (int)n, name);
	if (h->driver->volume_exists(h->engine, volume, &there, err) < 0)
		return -1;
	return there ? 0
	             : err_set(err, ERR_REFUSED, "host %s: volume %s is not there: docker volume create it there",
	                       copy->host, volume);
}

static int ask_volumes(const struct copy *copy, const struct copy_request *request, struct err *err)
{
	const json_t *host = json_object_get(request->create, "HostConfig"), *value;
	const char *usual = json_string_value(json_object_get(host, "VolumeDriver"));
	size_t i;

	json_array_foreach(json_object_get(host, "Binds"), i, value) {
		const char *bind = json_string_value(value);
		if (bind && strchr(bind, ':') && ask_volume(copy, bind, strcspn(bind, ":"), usual, err) < 0)
			return -1;
	}
	json_array_foreach(json_object_get(host, "Mounts"), i, value) {
		const char *type = json_string_value(json_object_get(value, "Type"));
		const char *source = json_string_value(json_object_get(value, "Source"));
		const json_t *how = json_object_get(json_object_get(value, "VolumeOptions"), "DriverConfig");
		if (type && strcmp(type, "volume") == 0 && source &&
		    ask_volume(copy, source, strlen(source), json_string_value(json_object_get(how, "Name")), err) < 0)
			return -1;
	}
	return 0;
}

/* ---- paths ---- */

/* Binds as mounts: of these the engine says when there is no such path. New. */
static json_t *mounts_of(const json_t *create)
{
	const json_t *binds = json_object_get(json_object_get(create, "HostConfig"), "Binds");
	json_t *mounts = json_array();
	char target[32];

	for (size_t i = 0; i < json_array_size(binds); i++) {
		const char *bind = json_string_value(json_array_get(binds, i));
		if (!bind || *bind != '/')
			continue;
		(void)snprintf(target, sizeof target, "/probe/%zu", i);
		(void)json_array_append_new(mounts, json_pack("{s:s, s:s%, s:s, s:b}", "Type", "bind", "Source", bind,
		                                              strcspn(bind, ":"), "Target", target, "ReadOnly", 1));
	}
	return mounts;
}

/* A probe of an earlier run that was killed goes; anything else of that name stays. */
static int clear(const struct copy *copy, const char *name, struct err *err)
{
	const struct engine_host *h = copy->target;
	json_t *doc = NULL;
	bool gone;

	if (h->driver->inspect(h->engine, name, &doc, err) < 0)
		return -1;
	const json_t *labels = json_object_get(json_object_get(doc, "Config"), "Labels");
	const char *id = json_string_value(json_object_get(doc, "Id"));
	const int bad = id && json_object_get(labels, PROBE)
	                    ? h->driver->remove(h->engine, id, true, &gone, err)
	                    : err_set(err, ERR_CONFLICT, "host %s: 409 name \"%s\" is in use", copy->host, name);
	json_decref(doc);
	return bad;
}

/* Its container is never started. */
static int ask_paths(const struct copy *copy, const struct copy_request *request, struct err *err)
{
	const struct engine_host *h = copy->target;
	json_t *mounts = mounts_of(request->create);
	char name[sizeof copy->name + 8], id[65];
	struct err why = {0};
	bool gone;

	if (mounts && !json_array_size(mounts)) {
		json_decref(mounts);
		return 0;
	}
	(void)snprintf(name, sizeof name, "%s.probe", copy->name);
	json_t *probe = json_pack("{s:O?, s:[s], s:{s:s}, s:{s:o}}", "Image", json_object_get(request->create, "Image"),
	                          "Cmd", "true", "Labels", PROBE, "", "HostConfig", "Mounts", mounts);
	if (!probe)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	int bad = h->driver->create(h->engine, name, probe, id, &why);
	if (bad && why.code == ERR_CONFLICT)
		bad = clear(copy, name, &why) < 0 ? -1 : h->driver->create(h->engine, name, probe, id, &why);
	json_decref(probe);
	if (!bad)
		return h->driver->remove(h->engine, id, true, &gone, err);
	*err = why;
	if (strstr(why.message, "does not exist"))
		err->code = ERR_REFUSED;
	return -1;
}

int elsewhere_named(const struct copy *copy, const struct copy_request *request, struct err *err)
{
	return ask_networks(copy, request, err) < 0 ? -1 : ask_volumes(copy, request, err);
}

int elsewhere_ready(const struct copy *copy, const struct copy_request *request, struct err *err)
{
	return elsewhere_named(copy, request, err) < 0 ? -1 : ask_paths(copy, request, err);
}
