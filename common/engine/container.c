#include "base/clock.h"
#include "base/convention.h"
#include "base/limits.h"
#include "engine/doc.h"
#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define INDEX_DIGITS 9

static bool is_service_name(const char *s)
{
	static const char letters[] = "_.-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	const size_t n = strspn(s, letters);

	return n >= 1 && n <= SERVICE_NAME_MAX && !s[n] && !strchr("_.-", s[0]);
}

/* A value that is no service name is passed over for the next source: it is a tenant's text. */
bool container_service(const json_t *inspect, char *out, size_t size)
{
	static const char *const labels[] = {"autoscale.service", "service", "com.docker.compose.service",
	                                     "com.docker.swarm.service.name"};
	const size_t n = sizeof labels / sizeof *labels;

	for (size_t i = 0; i <= n; i++) {
		const char *value = i < n ? doc_label(inspect, labels[i]) : doc_variable(inspect, "AUTOSCALE_SERVICE");
		if (!value || !is_service_name(value) || strlen(value) >= size)
			continue;
		(void)snprintf(out, size, "%s", value);
		return true;
	}
	return false;
}

/* The engine writes nanoseconds, and the year 1 for "never". */
static void write_time(struct buf *out, const char *name, const char *text)
{
	char when[CLOCK_TEXT];
	int64_t ms;

	if (!text || strncmp(text, "0001-", 5) == 0 || !clock_parse(text, &ms)) {
		buf_json_member_str(out, name, NULL);
		return;
	}
	clock_format(ms, when);
	buf_json_member_str(out, name, when);
}

static void write_index(struct buf *out, const char *label)
{
	const size_t n = label ? strspn(label, "0123456789") : 0;
	int64_t index = 0;

	buf_json_key(out, "index");
	if (!n || n > INDEX_DIGITS || label[n]) {
		buf_puts(out, "null");
		return;
	}
	for (size_t i = 0; i < n; i++)
		index = index * 10 + (label[i] - '0');
	buf_json_int(out, index);
}

static void write_addresses(struct buf *out, const json_t *inspect)
{
	json_t *networks = doc_get(inspect, "NetworkSettings.Networks"), *endpoint;
	const char *network;

	buf_json_key(out, "addresses");
	buf_putc(out, '{');
	json_object_foreach(networks, network, endpoint) {
		const char *ip = doc_address(endpoint);
		if (ip && doc_true(inspect, "State.Running") && !doc_listed_twice(networks, network))
			buf_json_member_str(out, network, ip);
	}
	buf_putc(out, '}');
}

void container_json(struct buf *out, const json_t *inspect, const char *host, bool is_ready)
{
	const char *health = doc_str(inspect, "State.Health.Status"), *copy_of = doc_label(inspect, "autoscale.copy-of");

	/* Podman always has a Health, with an empty status where there is no check. */
	if (health && (!*health || strcmp(health, "none") == 0))
		health = NULL;
	buf_putc(out, '{');
	buf_json_member_str(out, "id", doc_str(inspect, "Id"));
	buf_json_member_str(out, "name", doc_name(inspect));
	buf_json_member_str(out, "host", host);
	buf_json_member_str(out, "state", doc_str(inspect, "State.Status"));
	buf_json_member_str(out, "health", health);
	write_time(out, "created", doc_str(inspect, "Created"));
	write_time(out, "started", doc_str(inspect, "State.StartedAt"));
	write_index(out, doc_label(inspect, "autoscale.index"));
	buf_json_member_bool(out, "copy", copy_of != NULL);
	buf_json_member_str(out, "copy_of", copy_of);
	buf_json_member_str(out, "op", doc_label(inspect, "autoscale.op"));
	buf_json_member_bool(out, "ready", is_ready);
	buf_json_member_int(out, "exit_code", doc_int(inspect, "State.ExitCode"));
	buf_json_member_bool(out, "oom_killed", doc_true(inspect, "State.OOMKilled"));
	buf_json_member_int(out, "restarts", doc_int(inspect, "RestartCount"));
	buf_json_member_str(out, "network_mode", doc_str(inspect, "HostConfig.NetworkMode"));
	write_addresses(out, inspect);
	doc_write_ports(out, inspect);
	buf_json_member_str(out, "image", doc_str(inspect, "Config.Image"));
	doc_write_labels(out, inspect);
	doc_write_variables(out, inspect);
	buf_putc(out, '}');
}

bool labels_join(const json_t *labels)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)labels, name, value)
		if (strncmp(name, "autoscale.", strlen("autoscale.")) == 0)
			return true;
	return false;
}

bool variables_join(const json_t *inspect)
{
	const json_t *env = doc_get(inspect, "Config.Env"), *value;
	size_t i;

	json_array_foreach(env, i, value)
		if (json_is_string(value) && strncmp(json_string_value(value), "AUTOSCALE_", strlen("AUTOSCALE_")) == 0)
			return true;
	return false;
}

unsigned labels_conventions(const json_t *labels)
{
	struct convention_tally tally = {0};
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)labels, name, value)
		if (json_is_string(value))
			convention_see(&tally, false, name, json_string_value(value));
	return convention_followed(&tally);
}

unsigned container_conventions(const json_t *inspect)
{
	struct convention_tally tally = {0};
	const char *name;
	json_t *value;

	json_object_foreach(doc_get(inspect, "Config.Labels"), name, value)
		if (json_is_string(value))
			convention_see(&tally, false, name, json_string_value(value));
	for (size_t i = 0; i < convention_rows_count; i++) {
		const char *given = convention_rows[i].variable ? doc_variable(inspect, convention_rows[i].name) : NULL;
		if (given)
			convention_see(&tally, true, convention_rows[i].name, given);
	}
	return convention_followed(&tally);
}

bool container_joins(const json_t *inspect, unsigned conventions, char *service, size_t size)
{
	const bool follows = conventions && (container_conventions(inspect) & conventions);
	const char *name = doc_name(inspect);

	service[0] = '\0';
	if (!container_service(inspect, service, size) && (follows || doc_setting(inspect, "autoscale.lb")) &&
	    is_service_name(name) && strlen(name) < size)
		(void)snprintf(service, size, "%s", name);
	return follows || labels_join(doc_get(inspect, "Config.Labels")) || variables_join(inspect);
}

const char *container_name(const json_t *inspect) { return doc_name(inspect); }

const char *container_label(const json_t *inspect, const char *name) { return doc_label(inspect, name); }
