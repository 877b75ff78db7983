/* Published and exposed ports. */
#include "engine/copy.h"

#include <stdio.h>

#include "base/banned.h"

/* "8080", and "8000-8000", which leaves no choice either. */
static bool is_fixed(const char *published)
{
	const char *end, *rest = "";
	const int from = published ? doc_port(published, &end) : 0;

	if (!from)
		return false;
	return *end != '-' || doc_port(end + 1, &rest) == from;
}

/* What autoscale.ports says for a port that only one container can have. *gone: this binding goes. */
static int fixed_port(struct work *w, const char *key, json_t *binding, bool *gone)
{
	const char *policy = doc_setting(w->inspect, "autoscale.ports"), *port = doc_str(binding, "HostPort");
	char text[NOTE_MAX];

	*gone = is(policy, "none");
	if (is(policy, "auto")) {
		work_note(w, "host port %s of %s is not copied: the engine picks one", port, key);
		work_put(w, binding, "HostPort", json_string(""));
	} else if (*gone) {
		work_note(w, "host port %s of %s is not copied: the copy does not publish it", port, key);
	} else if (!is(policy, "same")) {
		(void)snprintf(
			text, sizeof text,
			"its host port %.20s can be had once (the label autoscale.ports says what copies get: auto another port, "
			"none, or same on another host)",
			port);
		return work_refuse(w, text);
	}
	return 0;
}

int rule_fixed_ports(struct work *w, json_t *in, const char *field)
{
	json_t *map = doc_get(in, field), *bindings;
	const char *key;
	void *next;

	if (is(w->mode, "host")) /* nothing is published there */
		return 0;
	json_object_foreach_safe(map, next, key, bindings)
	{
		bool gone = false, some = false;
		for (size_t i = json_array_size(bindings); i-- > 0;) {
			json_t *b = json_array_get(bindings, i);
			if (!is_fixed(doc_str(b, "HostPort")))
				continue;
			if (fixed_port(w, key, b, &gone) < 0)
				return -1;
			if (gone)
				(void)json_array_remove(bindings, i);
			some |= gone;
		}
		if (some && !json_array_size(bindings))
			(void)json_object_del(map, key);
	}
	return 0;
}

/* The engine publishes only what is exposed, and wants nothing exposed in a network that belongs to another. */
int rule_bound_ports(struct work *w, json_t *in, const char *field)
{
	json_t *map = doc_get(w->host, "PortBindings"), *bindings;
	const char *key;

	if (has_prefix(w->mode, "container:"))
		return rule_drop(w, in, field);
	if (json_object_size(map) && !json_is_object(doc_get(in, field)))
		work_put(w, in, field, json_object());
	json_t *exposed = doc_get(in, field);
	json_object_foreach(map, key, bindings)
		if (!json_object_get(exposed, key))
			work_put(w, exposed, key, json_object());
	return 0;
}
