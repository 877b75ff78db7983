/* What a copy needs of its host, and what the engine made of its request. */
#include "engine/copy.h"

#include <stdio.h>

#include "base/banned.h"

#define PATH_TEXT 200

static const char *const namespaces[] = {"NetworkMode", "PidMode", "IpcMode"};
#define NAMESPACES (sizeof namespaces / sizeof *namespaces)

/* ---- another host ---- */

/* A word of a list such as "path,volume". */
static bool has_word(const char *list, const char *word)
{
	const size_t n = strlen(word);

	while (list && *list) {
		list += strspn(list, ", ");
		if (strncmp(list, word, n) == 0 && strchr(", ", list[n]))
			return true;
		list += strcspn(list, ", ");
	}
	return false;
}

/* The path or name of what is mounted and is on the source's host only; autoscale.portable says what is on the others
 * too. */
static const char *bound_mount(const struct work *w)
{
	const json_t *list = doc_get(w->inspect, "Mounts");
	const char *portable = doc_setting(w->inspect, "autoscale.portable");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *m = json_array_get(list, i);
		const char *name = doc_str(m, "Name"), *type = doc_str(m, "Type");
		if (is(type, "bind") && !has_word(portable, "path"))
			return doc_str(m, "Source");
		if (is(type, "volume") && name && !doc_is_hex(name, DOC_ID) && !has_word(portable, "volume"))
			return name;
	}
	return NULL;
}

/* Loud here, for there most of it would go wrong in silence: a missing path or volume is made, empty. */
int check_portable(struct work *w)
{
	static const char *const lists[] = {"VolumesFrom", "Links", "Devices", "DeviceRequests"};
	const char *bound = bound_mount(w);
	char text[NOTE_MAX];

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		if (json_array_size(doc_get(w->host, lists[i])))
			bound = lists[i];
	for (size_t i = 0; i < NAMESPACES; i++)
		if (has_prefix(doc_str(w->host, namespaces[i]), "container:"))
			bound = namespaces[i];
	if (!bound)
		return 0;
	(void)snprintf(text, sizeof text,
	               "%.100s is on its host only (the policy's placement = same-host keeps copies there)", bound);
	return work_refuse(w, text);
}

/* ---- containers that it needs ---- */

static const char *partner(const json_t *create, size_t i)
{
	const char *mode = doc_str(doc_get(create, "HostConfig"), namespaces[i]);

	return has_prefix(mode, "container:") ? mode + strlen("container:") : NULL;
}

/* Engines say nothing when a link in a network of the user's leads nowhere. */
static int check_links(const json_t *endpoint, const struct engine_driver *driver, struct engine *engine,
                       struct err *err)
{
	const json_t *links = doc_get(endpoint, "Links");
	char name[PATH_TEXT];

	for (size_t i = 0; i < json_array_size(links); i++) {
		const char *link = json_string_value(json_array_get(links, i));
		json_t *doc = NULL;
		if (!link)
			continue;
		link += *link == '/';
		(void)snprintf(name, sizeof name, "%.*s", (int)strcspn(link, ":"), link);
		if (driver->inspect(engine, name, &doc, err) < 0)
			return err->code != ERR_NOT_FOUND
			           ? -1
			           : err_set(err, ERR_REFUSED,
			                     "it cannot be made: its link %.80s leads to a container that is gone", link);
		json_decref(doc);
	}
	return 0;
}

static int check_all_links(const struct copy_request *r, const struct engine_driver *driver, struct engine *engine,
                           struct err *err)
{
	const char *name;
	json_t *endpoint;

	json_object_foreach(doc_get(r->create, "NetworkingConfig.EndpointsConfig"), name, endpoint)
		if (check_links(endpoint, driver, engine, err) < 0)
			return -1;
	for (size_t i = 0; i < json_array_size(r->connect); i++)
		if (check_links(doc_get(json_array_get(r->connect, i), "endpoint"), driver, engine, err) < 0)
			return -1;
	return 0;
}

int copy_partners_run(const struct copy_request *r, const struct engine_driver *driver, struct engine *engine,
                      struct err *err)
{
	for (size_t i = 0; i < NAMESPACES; i++) {
		const char *id = partner(r->create, i);
		json_t *doc = NULL;
		if (!id)
			continue;
		const int bad = driver->inspect(engine, id, &doc, err);
		const bool runs = doc_true(doc, "State.Running");
		json_decref(doc);
		if (bad && err->code != ERR_NOT_FOUND)
			return -1;
		if (!runs)
			return err_set(err, ERR_REFUSED, "it cannot be made: the container whose %s it shares, %.64s, %s",
			               namespaces[i], id, bad ? "is gone" : "does not run: start it first");
	}
	return check_all_links(r, driver, engine, err);
}

int copy_partner_names(struct copy_request *r, const struct engine_driver *driver, struct engine *engine,
                       struct err *err)
{
	for (size_t i = 0; i < NAMESPACES; i++) {
		const char *id = partner(r->create, i);
		struct err gone = {0};
		json_t *doc = NULL;
		if (!id)
			continue;
		if (driver->inspect(engine, id, &doc, &gone) < 0) /* its id is all there is to remember */
			continue;
		const int bad = json_object_set_new(doc_get(r->create, "HostConfig"), namespaces[i],
		                                    json_sprintf("container:%s", doc_name(doc)));
		json_decref(doc);
		if (bad)
			return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	return 0;
}

/* ---- what the engine made of it ---- */

/* What an engine may leave out, and why it does no harm. */
static const struct {
	const char *path, *value; /* value NULL: whatever it is */
} harmless[] = {
	{"HostConfig.KernelMemory", NULL}, /* kernels have no such limit any more */
	{"HostConfig.KernelMemoryTCP", NULL},
	{"HostConfig.CgroupnsMode", "host"}, /* what engines that do not know it do */
	{"HostConfig.RestartPolicy.Name", "no"},
	{"MacAddress", NULL}, /* from API 1.44 on it belongs to the endpoint */
};

static bool is_harmless(const char *path, const json_t *value)
{
	for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
		if (strcmp(path, harmless[i].path) == 0 &&
		    (!harmless[i].value || is(json_string_value(value), harmless[i].value)))
			return true;
	return false;
}

/* Has it a value that is not the one of a field that is not there? */
static bool is_set(const json_t *v)
{
	const char *name;
	json_t *member;

	json_object_foreach((json_t *)v, name, member)
		if (is_set(member))
			return true;
	for (size_t i = 0; i < json_array_size(v); i++)
		if (is_set(json_array_get(v, i)))
			return true;
	return json_is_true(v) || (json_is_integer(v) && json_integer_value(v) != 0) ||
	       (json_is_real(v) && json_real_value(v) != 0) || (json_is_string(v) && json_string_length(v) != 0);
}

/* True when something that was asked for is not in what was made; path then names it. Values may differ, for engines
 * write them in their own way. */
static bool vanished(const json_t *asked, const json_t *made, char path[PATH_TEXT], size_t n)
{
	const char *name;
	json_t *value;

	path[n] = '\0';
	if (!is_set(asked) || is_harmless(path, asked))
		return false;
	if (!json_is_object(asked) && !is_set(made))
		return true;
	json_object_foreach((json_t *)asked, name, value) {
		const int more = snprintf(path + n, PATH_TEXT - n, "%s%s", n ? "." : "", name);
		const size_t end = n + (size_t)more < PATH_TEXT ? n + (size_t)more : PATH_TEXT - 1;
		if (vanished(value, json_object_get(made, name), path, end))
			return true;
	}
	if (json_array_size(asked) != json_array_size(made))
		return false;
	for (size_t i = 0; i < json_array_size(asked); i++)
		if (vanished(json_array_get(asked, i), json_array_get(made, i), path, n))
			return true;
	return false;
}

int copy_check(const struct copy_request *r, const json_t *made, struct err *err)
{
	const char *image = doc_str(made, "Image");
	char path[PATH_TEXT] = "";
	json_t *all = json_deep_copy(doc_get(made, "Config"));
	bool lost = false;

	if (!all || json_object_set(all, "HostConfig", doc_get(made, "HostConfig")) < 0) {
		json_decref(all);
		return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	const char *name;
	json_t *value;
	json_object_foreach(r->create, name, value) {
		if (is(name, "NetworkingConfig")) /* the engine shows endpoints when they are connected */
			continue;
		(void)snprintf(path, sizeof path, "%s", name);
		if ((lost = vanished(value, json_object_get(all, name), path, strlen(path))))
			break;
	}
	json_decref(all);
	if (lost)
		return err_set(err, ERR_REFUSED,
		               "it cannot be made faithfully: the engine there does not know or does not do %s", path);
	if (!*r->image_id || is(image, r->image_id))
		return 0;
	(void)err_set(err, ERR_REFUSED, "it was made from image %.80s instead of %s: the tag moved meanwhile",
	              image ? image : "?", r->image_id);
	err->retry = true;
	return -1;
}
