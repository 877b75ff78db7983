#include "engine/doc.h"

#include "base/clock.h"
#include "base/convention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define MEMBER_MAX 64 /* bytes of one name in a path */
#define SETTING_MAX 64

json_t *doc_get(const json_t *doc, const char *path)
{
	char name[MEMBER_MAX];
	json_t *found = NULL;

	while (*path) {
		const size_t n = strcspn(path, ".");
		if (n >= sizeof name)
			return NULL;
		memcpy(name, path, n);
		name[n] = '\0';
		found = json_object_get(doc, name);
		if (!found)
			return NULL;
		doc = found;
		path += n + (path[n] == '.');
	}
	return found;
}

const char *doc_str(const json_t *doc, const char *path) { return json_string_value(doc_get(doc, path)); }

int64_t doc_int(const json_t *doc, const char *path) { return json_integer_value(doc_get(doc, path)); }

bool doc_true(const json_t *doc, const char *path) { return json_is_true(doc_get(doc, path)); }

/* What clock_parse cuts off. */
static int64_t below_ms(const char *time)
{
	const char *p = strchr(time, '.');
	int64_t ns = 0, scale = 100000;

	for (int i = 1; p && p[i] >= '0' && p[i] <= '9' && i <= 9; i++)
		if (i > 3) {
			ns += (p[i] - '0') * scale;
			scale /= 10;
		}
	return ns;
}

bool doc_time_ns(const char *text, int64_t *ns)
{
	const int64_t most = INT64_MAX / 1000000 - 1;
	int64_t ms;

	if (!text || !clock_parse(text, &ms) || ms > most || ms < -most)
		return false;
	*ns = ms * 1000000 + below_ms(text);
	return true;
}

const char *doc_name(const json_t *inspect)
{
	const char *name = doc_str(inspect, "Name");

	return name ? name + (*name == '/') : "";
}

const char *doc_label(const json_t *inspect, const char *name)
{
	return json_string_value(json_object_get(doc_get(inspect, "Config.Labels"), name));
}

const char *doc_variable(const json_t *inspect, const char *name)
{
	const json_t *env = doc_get(inspect, "Config.Env");
	const size_t len = strlen(name);

	for (size_t i = json_array_size(env); i-- > 0;) {
		const char *v = json_string_value(json_array_get(env, i));
		if (v && strncmp(v, name, len) == 0 && v[len] == '=')
			return v + len + 1;
	}
	return NULL;
}

const char *doc_setting(const json_t *inspect, const char *label)
{
	char variable[SETTING_MAX];
	const char *value = doc_label(inspect, label);
	size_t i;

	if (value)
		return value;
	for (i = 0; label[i] && i + 1 < sizeof variable; i++) {
		const char c = label[i];
		variable[i] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c == '.' || c == '-' ? '_' : c);
	}
	variable[i] = '\0';
	return doc_variable(inspect, variable);
}

/* *port: the one found so far. False: it is another. */
static bool same_port(bool variable, const char *name, const char *value, int *port)
{
	char key[CONVENTION_KEY];

	for (size_t i = 0; i < convention_rows_count; i++) {
		const struct convention_row *row = &convention_rows[i];
		const bool is_port =
			row->kind == CONVENTION_PORT || row->kind == CONVENTION_SERVICE_PORT || row->kind == CONVENTION_PORTS;
		const int said = is_port && row->variable == variable && value && convention_fits(row, name, key)
		                     ? doc_port(value, NULL)
		                     : 0;
		if (said && *port && said != *port)
			return false;
		*port = said ? said : *port;
	}
	return true;
}

int doc_convention_port(const json_t *inspect)
{
	const char *name;
	json_t *value;
	int port = 0;

	json_object_foreach(doc_get(inspect, "Config.Labels"), name, value)
		if (!same_port(false, name, json_string_value(value), &port))
			return 0;
	for (size_t i = 0; i < convention_rows_count; i++)
		if (convention_rows[i].variable &&
		    !same_port(true, convention_rows[i].name, doc_variable(inspect, convention_rows[i].name), &port))
			return 0;
	return port;
}

const char *doc_address(const json_t *endpoint)
{
	const char *v4 = doc_str(endpoint, "IPAddress"), *v6 = doc_str(endpoint, "GlobalIPv6Address");

	return v4 && *v4 ? v4 : v6 && *v6 ? v6 : NULL;
}

bool doc_listed_twice(const json_t *networks, const char *name)
{
	const char *id = doc_str(json_object_get(networks, name), "NetworkID"), *other;
	json_t *endpoint;

	if (!id || !*id || strncmp(id, name, strlen(name)) != 0)
		return false;
	json_object_foreach((json_t *)networks, other, endpoint) {
		const char *its = doc_str(endpoint, "NetworkID");
		if (its && strcmp(its, id) == 0 && strcmp(other, name) != 0)
			return true;
	}
	return false;
}

bool doc_is_hex(const char *s, size_t digits) { return strspn(s, "0123456789abcdef") == digits && s[digits] == '\0'; }

int doc_port(const char *s, const char **end)
{
	int port = 0;

	for (; *s >= '0' && *s <= '9' && port <= 65535; s++)
		port = port * 10 + (*s - '0');
	if (end)
		*end = s;
	else if (*s)
		return 0;
	return port <= 65535 ? port : 0;
}

static void write_items(struct buf *out, const json_t *array)
{
	buf_putc(out, '[');
	for (size_t i = 0; i < json_array_size(array); i++) {
		buf_json_comma(out);
		doc_write(out, json_array_get(array, i));
	}
	buf_putc(out, ']');
}

static void write_members(struct buf *out, const json_t *object)
{
	const char *name;
	json_t *value;

	buf_putc(out, '{');
	json_object_foreach((json_t *)object, name, value) {
		buf_json_key(out, name);
		doc_write(out, value);
	}
	buf_putc(out, '}');
}

/* The recursion is bounded: jansson reads no document deeper than 2048. */
void doc_write(struct buf *out, const json_t *value)
{
	if (json_is_object(value))
		write_members(out, value);
	else if (json_is_array(value))
		write_items(out, value);
	else if (json_is_string(value))
		buf_json_strn(out, json_string_value(value), json_string_length(value));
	else if (json_is_integer(value))
		buf_json_int(out, json_integer_value(value));
	else if (json_is_real(value))
		buf_printf(out, "%.17g", json_real_value(value));
	else if (json_is_boolean(value))
		buf_json_bool(out, json_is_true(value));
	else
		buf_puts(out, "null");
}

void doc_write_labels(struct buf *out, const json_t *inspect)
{
	buf_json_key(out, "labels");
	write_members(out, doc_get(inspect, "Config.Labels"));
}

/* One entry of `ports`. key is "80/tcp"; binding is one of the engine's, or NULL for a port that is only exposed. */
static void write_port(struct buf *out, const char *key, const json_t *binding)
{
	const char *end, *ip = doc_str(binding, "HostIp"), *published = doc_str(binding, "HostPort");
	const int port = doc_port(key, &end);

	if (!port)
		return;
	buf_json_comma(out);
	buf_putc(out, '{');
	buf_json_member_int(out, "port", port);
	buf_json_member_str(out, "protocol", *end == '/' ? end + 1 : "tcp");
	if (published && doc_port(published, NULL))
		buf_json_member_int(out, "published", doc_port(published, NULL));
	else
		buf_json_member_str(out, "published", NULL);
	buf_json_member_str(out, "ip", ip && *ip ? ip : NULL);
	buf_putc(out, '}');
}

void doc_write_ports(struct buf *out, const json_t *inspect)
{
	json_t *live = doc_get(inspect, "NetworkSettings.Ports"), *exposed = doc_get(inspect, "Config.ExposedPorts");
	const char *key;
	json_t *value;

	buf_json_key(out, "ports");
	buf_putc(out, '[');
	json_object_foreach(live, key, value) {
		for (size_t i = 0; i < json_array_size(value); i++)
			write_port(out, key, json_array_get(value, i));
		if (!json_array_size(value))
			write_port(out, key, NULL);
	}
	/* A container that does not run, or runs in the host's network, has none of its own. */
	json_object_foreach(exposed, key, value)
		if (!json_object_get(live, key))
			write_port(out, key, NULL);
	buf_putc(out, ']');
}

/* AUTOSCALE_STORE, _ALERTS and _CONF configure the toolkit itself, may hold a password and are nobody's policy. */
static bool is_shown(const char *name)
{
	return convention_has(true, name) ||
	       (strncmp(name, "AUTOSCALE_", 10) == 0 && strcmp(name, "AUTOSCALE_STORE") != 0 &&
	        strcmp(name, "AUTOSCALE_ALERTS") != 0 && strcmp(name, "AUTOSCALE_CONF") != 0);
}

void doc_write_variables(struct buf *out, const json_t *inspect)
{
	const json_t *env = doc_get(inspect, "Config.Env");
	char name[MEMBER_MAX];

	buf_json_key(out, "variables");
	buf_putc(out, '{');
	for (size_t i = 0; i < json_array_size(env); i++) {
		const char *v = json_string_value(json_array_get(env, i)), *eq = v ? strchr(v, '=') : NULL;
		if (!eq || (size_t)(eq - v) >= sizeof name)
			continue;
		(void)snprintf(name, sizeof name, "%.*s", (int)(eq - v), v);
		/* Given twice: the last one counts, and JSON wants a name once. */
		if (is_shown(name) && doc_variable(inspect, name) == eq + 1)
			buf_json_member_str(out, name, eq + 1);
	}
	buf_putc(out, '}');
}
