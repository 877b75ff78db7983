/* Networks: which endpoints a copy gets, and which of their addresses. */
#include "engine/copy.h"

#include <stdio.h>

#include "base/banned.h"

#define NETWORK_ID_MIN 12 /* hex digits that people give a network by */

/* What of an endpoint of NetworkSettings.Networks is sent, beside its aliases. Addresses, ids, gateways and DNS names
 * are the engine's. */
static const struct {
	const char *field;
	bool address; /* only one container can have it: sent in a recreation, or by autoscale.address = keep */
} endpoint_rules[] = {
	{"Links", false},
	{"DriverOpts", false},
	{"GwPriority", false}, /* from API 1.48 on */
	{"IPAMConfig", true},  /* a fixed address */
};

const char *networks_primary(const struct work *w)
{
	json_t *networks = doc_get(w->inspect, "NetworkSettings.Networks"), *endpoint;
	const char *mode = doc_str(w->host, "NetworkMode"), *name;

	if (!mode || is(mode, "default"))
		mode = "bridge";
	if (json_object_get(networks, mode) && !doc_listed_twice(networks, mode))
		return mode;
	/* Given by id, or by the beginning of it. */
	if (strlen(mode) >= NETWORK_ID_MIN && doc_is_hex(mode, strlen(mode)))
		json_object_foreach(networks, name, endpoint)
			if (has_prefix(doc_str(endpoint, "NetworkID"), mode) && !doc_listed_twice(networks, name))
				return name;
	/* It has left that one, or the engine says "bridge" for any network, as Podman does. */
	json_object_foreach(networks, name, endpoint)
		if (!doc_listed_twice(networks, name))
			return name;
	return NULL;
}

bool networks_special(const char *mode)
{
	/* The last two are Podman's, for users who are not root. */
	return !mode || is(mode, "host") || is(mode, "none") || has_prefix(mode, "container:") ||
	       has_prefix(mode, "slirp4netns") || has_prefix(mode, "pasta");
}

/* Engines make 02:42 and the four bytes of the IPv4 address. */
static bool is_made_mac(const json_t *endpoint, const char *mac)
{
	const char *ip = doc_str(endpoint, "IPAddress");
	unsigned int a, b, c, d;
	char made[18];

	if (!ip || sscanf(ip, "%3u.%3u.%3u.%3u", &a, &b, &c, &d) != 4)
		return false;
	(void)snprintf(made, sizeof made, "02:42:%02x:%02x:%02x:%02x", a & 255, b & 255, c & 255, d & 255);
	return strcmp(mac, made) == 0;
}

static bool is_any_made_mac(const struct work *w, const char *mac)
{
	json_t *networks = doc_get(w->inspect, "NetworkSettings.Networks"), *endpoint;
	const char *name;

	if (!mac || !*mac)
		return true;
	json_object_foreach(networks, name, endpoint)
		if (is_made_mac(endpoint, mac))
			return true;
	return false;
}

int rule_drop_mac(struct work *w, json_t *in, const char *field)
{
	const char *mac = doc_str(in, field);

	if (w->keep_address)
		return rule_made_mac(w, in, field);
	if (!is_any_made_mac(w, mac))
		work_note(w, "MAC address %s is not copied: two containers with one disturb each other", mac);
	return rule_drop(w, in, field);
}

int rule_made_mac(struct work *w, json_t *in, const char *field)
{
	return is_any_made_mac(w, doc_str(in, field)) ? rule_drop(w, in, field) : 0;
}

/* Aliases without those that are the source's alone: its short id (the engine adds the copy's) and its name. */
static json_t *own_aliases(struct work *w, const json_t *list)
{
	json_t *kept = json_array();

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *alias = json_string_value(json_array_get(list, i));
		if (!alias || (strlen(alias) == DOC_SHORT_ID && has_prefix(w->id, alias)))
			continue;
		if (!w->o->recreate && is(alias, doc_name(w->inspect)))
			work_note(w, "alias %s is the source's name and is not copied", alias);
		else
			work_add(w, kept, json_string(alias));
	}
	return kept;
}

/* One that was chosen, or NULL. */
static const char *fixed_address(const json_t *endpoint)
{
	const json_t *local = doc_get(endpoint, "IPAMConfig.LinkLocalIPs");
	const char *ip4 = doc_str(endpoint, "IPAMConfig.IPv4Address"), *ip6 = doc_str(endpoint, "IPAMConfig.IPv6Address");

	return ip4 && *ip4 ? ip4 : ip6 && *ip6 ? ip6 : json_string_value(json_array_get(local, 0));
}

/* The configured part of an endpoint. New. */
static json_t *make_endpoint(struct work *w, const char *network, const json_t *endpoint)
{
	const char *fixed = fixed_address(endpoint), *mac = doc_str(endpoint, "MacAddress");
	json_t *made = json_object(), *aliases = own_aliases(w, doc_get(endpoint, "Aliases"));

	w->no_memory |= !made || !aliases;
	if (json_array_size(aliases))
		work_put(w, made, "Aliases", json_incref(aliases));
	json_decref(aliases);
	for (size_t i = 0; i < sizeof endpoint_rules / sizeof *endpoint_rules; i++) {
		json_t *value = doc_get(endpoint, endpoint_rules[i].field);
		if (value && !json_is_null(value) && (w->keep_address || !endpoint_rules[i].address))
			work_put(w, made, endpoint_rules[i].field, json_incref(value));
	}
	/* Read from API 1.44 on; older ones ignore it. */
	if (w->keep_address && mac && *mac && !is_made_mac(endpoint, mac))
		work_put(w, made, "MacAddress", json_string(mac));
	if (!w->keep_address && fixed)
		work_note(w, "fixed address %s in network %s is not copied: the engine picks one", fixed, network);
	return made;
}

void networks_make(struct work *w)
{
	json_t *networks = doc_get(w->inspect, "NetworkSettings.Networks"), *endpoint;
	const char *primary = is(w->mode, "default") ? "bridge" : w->mode, *name;

	if (networks_special(w->mode))
		return;
	json_object_foreach(networks, name, endpoint) {
		if (doc_listed_twice(networks, name))
			continue;
		json_t *made = make_endpoint(w, name, endpoint);
		if (!is(name, primary))
			work_add(w, w->out->connect, json_pack("{s:s, s:o}", "network", name, "endpoint", made));
		else if (json_object_size(made))
			work_put(w, w->out->create, "NetworkingConfig", json_pack("{s:{s:o}}", "EndpointsConfig", name, made));
		else
			json_decref(made);
	}
	if (networks && !json_object_size(networks))
		work_add(w, w->out->connect, json_pack("{s:s, s:n}", "network", primary, "endpoint"));
}
