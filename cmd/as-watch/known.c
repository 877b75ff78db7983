/* Which containers a host has, of which service they are, and what became of them. */
#include "cmd/as-watch/watch.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

const char *attribute(const json_t *event, const char *name)
{
	return json_string_value(json_object_get(json_object_get(json_object_get(event, "Actor"), "Attributes"), name));
}

const char *event_id(const json_t *event)
{
	const char *id = json_string_value(json_object_get(json_object_get(event, "Actor"), "ID"));

	return id ? id : "";
}

int64_t event_time(const json_t *event)
{
	const json_int_t ns = json_integer_value(json_object_get(event, "timeNano"));

	return ns > 0 ? ns : json_integer_value(json_object_get(event, "time")) * 1000 * NS_PER_MS;
}

enum kind event_kind(const json_t *event)
{
	static const struct {
		const char *action;
		enum kind kind;
	} kinds[] = {
		{"start", KIND_UP},
		{"die", KIND_DOWN},
		{"stop", KIND_STOP},
		{"oom", KIND_OOM},
		{"destroy", KIND_GONE},
		{"health_status: unhealthy", KIND_SICK},
		{"health_status: healthy", KIND_HEALTHY},
		{"reconcile", KIND_ORDER},
	};
	const char *action = json_string_value(json_object_get(event, "Action"));

	for (size_t i = 0; action && i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(action, kinds[i].action) == 0)
			return kinds[i].kind;
	return KIND_OTHER;
}

const char *known_text(const json_t *k, const char *member)
{
	const char *text = json_string_value(json_object_get(k, member));

	return text ? text : "";
}

bool known_true(const json_t *k, const char *member) { return json_is_true(json_object_get(k, member)); }

void known_set(json_t *k, const char *member, bool yes) { (void)json_object_set_new(k, member, json_boolean(yes)); }

bool is_well(const json_t *k) { return known_true(k, "up") && !known_true(k, "sick"); }

json_t *know(struct host *h, const char *id, const char *name, const char *image, const json_t *labels)
{
	json_t *as_doc = json_pack("{s:{s:O?}}", "Config", "Labels", labels);
	char service[SERVICE_NAME_MAX + 1] = "";
	const bool joined = labels_join(labels) || (h->w->conventions && (labels_conventions(labels) & h->w->conventions));

	if (!as_doc || !container_service(as_doc, service, sizeof service))
		service[0] = '\0';
	json_decref(as_doc);
	json_t *k = json_pack("{s:s, s:s, s:s, s:b, s:b, s:b, s:b}", "name", name, "image", image, "service", service,
	                      "joined", joined, "look", !*service || !joined, "up", 1, "sick", 0);
	if (!k || json_object_set_new(h->known, id, k) < 0)
		return NULL;
	return k;
}

void know_more(const struct watch *w, json_t *k, const json_t *inspect)
{
	char service[SERVICE_NAME_MAX + 1];

	known_set(k, "joined", container_joins(inspect, w->conventions, service, sizeof service));
	if (*service)
		(void)json_object_set_new(k, "service", json_string(service));
	known_set(k, "look", false);
}

json_t *make_event(const char *action, const char *id, const json_t *k, int64_t ns)
{
	return json_pack("{s:s, s:s, s:{s:s, s:{s:s, s:s}}, s:s, s:I, s:I}", "Type", "container", "Action", action, "Actor",
	                 "ID", id, "Attributes", "name", known_text(k, "name"), "image", known_text(k, "image"), "scope",
	                 "local", "time", (json_int_t)(ns / NS_PER_MS / 1000), "timeNano", (json_int_t)ns);
}

/* ---- the engine's list ---- */

/* "/web", and for a container that others link to also "/other/alias". */
static const char *listed_name(const json_t *entry)
{
	const json_t *names = json_object_get(entry, "Names"), *value;
	size_t i;

	json_array_foreach(names, i, value) {
		const char *name = json_string_value(value);
		if (name && *name == '/')
			name++;
		if (name && !strchr(name, '/'))
			return name;
	}
	return "";
}

static const char *text_of(const json_t *entry, const char *member)
{
	const char *text = json_string_value(json_object_get(entry, member));

	return text ? text : "";
}

static bool listed_up(const json_t *entry)
{
	const char *state = text_of(entry, "State");

	return strcmp(state, "exited") != 0 && strcmp(state, "created") != 0 && strcmp(state, "dead") != 0;
}

static void changed(struct host *h, const char *action, const char *id, const json_t *k, int64_t ns)
{
	json_t *event = make_event(action, id, k, ns);

	if (event)
		(void)push_event(h, k, event, true);
	json_decref(event);
}

/* A container that is not known, or of which its labels do not say all. */
static json_t *meet(struct host *h, const char *id, const json_t *entry)
{
	struct err gone = {0};
	json_t *doc = NULL, *k = json_object_get(h->known, id);

	if (!k)
		k = know(h, id, listed_name(entry), text_of(entry, "Image"), json_object_get(entry, "Labels"));
	if (k && known_true(k, "look") && h->engine->driver->inspect(h->engine->engine, id, &doc, &gone) == 0)
		know_more(h->w, k, doc);
	json_decref(doc);
	return k;
}

/* One entry of the list. fresh: nothing was known of the host before. */
static int compare_one(struct host *h, const json_t *entry, bool fresh, int64_t ns, struct err *err)
{
	const char *id = text_of(entry, "Id");
	const bool is_new = !json_object_get(h->known, id), up = listed_up(entry),
			   sick = up && strstr(text_of(entry, "Status"), "(unhealthy)");
	json_t *k = meet(h, id, entry);

	if (!k)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	const bool was_up = is_new ? !up : known_true(k, "up"), was_sick = !is_new && known_true(k, "sick");
	known_set(k, "up", up);
	known_set(k, "sick", sick);
	known_set(k, "listed", true);
	if (fresh)
		return 0;
	if (was_up != up)
		changed(h, up ? "start" : "die", id, k, ns);
	if (sick && !was_sick)
		changed(h, "health_status: unhealthy", id, k, ns);
	return 0;
}

int compare_list(struct host *h, json_t *list, int64_t ns, struct err *err)
{
	const bool fresh = !h->listed;
	const char *id;
	json_t *entry, *k;
	void *next;
	size_t i;

	json_array_foreach(list, i, entry)
		if (compare_one(h, entry, fresh, ns, err) < 0)
			return -1;
	json_object_foreach_safe(h->known, next, id, k)
	{
		if (known_true(k, "listed")) {
			(void)json_object_del(k, "listed");
			continue;
		}
		changed(h, "destroy", id, k, ns);
		(void)json_object_del(h->known, id);
	}
	h->listed = true;
	return 0;
}
