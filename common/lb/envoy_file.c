/* A backend's file: one DiscoveryResponse with one ClusterLoadAssignment. What Envoy has no member for stands in
 * `metadata` under our own name, which Envoy accepts and leaves alone: of the one locality what ensure made, of an
 * endpoint its weight (Envoy's begins at 1), its check and its state. Source:
 * https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/endpoint/v3/endpoint.proto */
#include "lb/envoy.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define TYPE "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"

static const char *const reserved[] = {"as-clusters", "as-routes", NULL};

void envoy_hash(const char *text, size_t n, char out[17])
{
	const uint64_t hash = hash_more(HASH_BEGIN, text, n);

	(void)snprintf(out, 17, "%016llx", (unsigned long long)hash);
}

void envoy_version_of(const char *text, size_t n, char out[ENVOY_VERSION])
{
	struct err ignored;
	struct jv document;

	out[0] = '\0';
	if (jv_scan(text, n, &document, NULL, 0, NULL, &ignored) == 0)
		(void)jv_str(jv_get(document, "version_info"), out, ENVOY_VERSION);
}

/* ---- writing ---- */

static void put_server(struct buf *out, const struct lb_server *s)
{
	buf_puts(out, "\n{\"endpoint\":{");
	buf_json_member_str(out, "hostname", s->name);
	buf_puts(out, ",\"address\":{\"socket_address\":{");
	buf_json_member_str(out, "address", s->address);
	buf_json_member_int(out, "port_value", s->port);
	buf_puts(out, "}}}");
	/* Draining: no new work; so for weight 0 too. */
	buf_json_member_str(out, "health_status", s->state == LB_DRAIN || !s->weight ? "DRAINING" : "HEALTHY");
	buf_json_member_int(out, "load_balancing_weight", s->weight ? s->weight : 1);
	buf_puts(out, ",\"metadata\":{\"filter_metadata\":{\"" ENVOY_MARK "\":{");
	buf_json_member_str(out, "state", lb_state_name(s->state));
	buf_json_member_int(out, "weight", s->weight);
	buf_json_member_str(out, "check", s->check);
	buf_puts(out, "}}}}");
}

static void put_made(struct buf *out, const struct filed *f)
{
	struct buf rule = BUF_INIT(RULE_TEXT);

	rule_write(&f->rule, &rule);
	buf_puts(out, "\"metadata\":{\"filter_metadata\":{\"" ENVOY_MARK "\":{");
	buf_json_member_bool(out, "made", f->made);
	buf_json_member_str(out, "rule", rule.p ? rule.p : "");
	buf_json_member_str(out, "check", f->check);
	buf_puts(out, "}}}");
	buf_release(&rule);
}

/* The version is the counter and a hash: what Envoy shows of it proves that it has these bytes. */
static int envoy_render(struct lb *lb, const struct filed *f, struct buf *out, struct err *err)
{
	struct buf resource = BUF_INIT(out->max);
	char hash[17];

	(void)lb;
	buf_puts(&resource, "{\"@type\":\"" TYPE "\",\n\"cluster_name\":");
	buf_json_str(&resource, f->backend);
	buf_puts(&resource, ",\n\"endpoints\":[{");
	put_made(&resource, f);
	buf_puts(&resource, ",\n\"lb_endpoints\":[");
	for (size_t i = 0; i < f->list.n; i++) {
		put_server(&resource, &f->list.v[i]);
		if (i + 1 < f->list.n)
			buf_putc(&resource, ',');
	}
	buf_puts(&resource, "]}]}");
	const int rc = buf_ok(&resource, err);
	if (rc == 0) {
		envoy_hash(resource.p, resource.n, hash);
		buf_printf(out, "{\"version_info\":\"%lld.%s\",\"resources\":[\n", (long long)f->version, hash);
		buf_put(out, resource.p, resource.n);
		buf_puts(out, "\n]}\n");
	}
	buf_release(&resource);
	return rc;
}

/* ---- reading ---- */

/* Members that none of these names: they would be lost at the next change. */
static int only(struct jv object, const char *const *names, const char *what, struct err *err)
{
	struct jv_cursor c = jv_each(object);
	struct jv_member m;

	while (jv_next(&c, &m)) {
		size_t i = 0;
		while (names[i] && !jv_name_is(&m, names[i]))
			i++;
		if (!names[i])
			return err_set(
				err, ERR_CONFIG,
				"%s has \"%.*s\", which this toolkit does not know: a file that it changes is wholly its own", what,
				(int)(m.name.n < 64 ? m.name.n : 64), m.name.p);
	}
	return 0;
}

static int read_server(struct jv entry, struct filed *f, struct err *err)
{
	static const char *const members[] = {"endpoint", "health_status", "load_balancing_weight", "metadata", NULL};
	static const char *const parts[] = {"hostname", "address", NULL};
	struct lb_server s = {.sessions = -1, .state = LB_UP};
	const struct jv mark = jv_path(entry, "metadata.filter_metadata." ENVOY_MARK);
	const struct jv at = jv_path(entry, "endpoint.address.socket_address");
	char address[LB_ADDRESS] = "";
	int64_t weight = jv_int_or(jv_get(entry, "load_balancing_weight"), 100);

	if (only(entry, members, "an endpoint", err) < 0 || only(jv_get(entry, "endpoint"), parts, "an endpoint", err) < 0)
		return -1;
	const int64_t port = jv_int_or(jv_get(at, "port_value"), 0);
	if (!jv_str(jv_path(entry, "endpoint.hostname"), s.name, sizeof s.name) || !lb_safe_name(s.name))
		return err_set(err, ERR_CONFIG, "an endpoint has no usable hostname, which is its name here");
	if (!jv_str(jv_get(at, "address"), address, sizeof address) || !lb_safe_address(address, s.address) || port < 1 ||
	    port > 65535)
		return err_set(err, ERR_CONFIG, "endpoint %s has no usable address", s.name);
	s.port = (unsigned)port;
	weight = jv_int_or(jv_get(mark, "weight"), weight);
	if (weight < 0 || weight > LB_WEIGHT_MAX)
		return err_set(err, ERR_CONFIG, "endpoint %s has weight %lld, which is not in 0 to %d", s.name,
		               (long long)weight, LB_WEIGHT_MAX);
	s.weight = (unsigned)weight;
	if (!jv_str(jv_get(mark, "check"), s.check, sizeof s.check) || !lb_safe_check(s.check))
		s.check[0] = '\0';
	const struct jv state = jv_get(mark, "state");
	if (jv_here(state) ? jv_is(state, "drain") : jv_is(jv_get(entry, "health_status"), "DRAINING"))
		s.state = LB_DRAIN;
	return lb_filed_add(f, &s, err);
}

static int read_made(struct jv mark, struct filed *f, struct err *err)
{
	char text[RULE_TEXT] = "";

	f->made = jv_is_true(jv_get(mark, "made"));
	(void)jv_str(jv_get(mark, "check"), f->check, sizeof f->check);
	if (!lb_safe_check(f->check))
		return err_set(err, ERR_CONFIG, "its check is no plain path");
	if (jv_here(mark) && !jv_str(jv_get(mark, "rule"), text, sizeof text))
		return err_set(err, ERR_CONFIG, "its rule is no text");
	return *text ? rule_parse(text, &f->rule, err) : 0;
}

static int read_assignment(struct jv resource, struct filed *f, struct err *err)
{
	static const char *const members[] = {"@type", "cluster_name", "endpoints", NULL};
	static const char *const parts[] = {"lb_endpoints", "metadata", NULL};
	struct jv_cursor c = jv_each(jv_get(resource, "endpoints"));
	struct jv_member m;

	if (!jv_is(jv_get(resource, "@type"), TYPE) || !jv_is(jv_get(resource, "cluster_name"), f->backend))
		return err_set(err, ERR_CONFIG, "it is not the ClusterLoadAssignment of cluster %s", f->backend);
	if (jv_count(jv_get(resource, "endpoints")) > 1)
		return err_set(err, ERR_CONFIG, "it has several localities, of which this toolkit knows nothing");
	if (only(resource, members, "it", err) < 0)
		return -1;
	if (!jv_next(&c, &m))
		return 0;
	const struct jv locality = m.value;
	if (only(locality, parts, "its locality", err) < 0 ||
	    read_made(jv_path(locality, "metadata.filter_metadata." ENVOY_MARK), f, err) < 0)
		return -1;
	c = jv_each(jv_get(locality, "lb_endpoints"));
	while (jv_next(&c, &m))
		if (read_server(m.value, f, err) < 0)
			return -1;
	return 0;
}

static int envoy_parse(struct lb *lb, const char *text, struct filed *f, struct err *err)
{
	static const char *const members[] = {"version_info", "resources", NULL};
	char version[ENVOY_VERSION];
	struct err why = {0};
	struct jv document;

	(void)lb;
	if (jv_scan(text, strlen(text), &document, NULL, 0, NULL, &why) < 0 || !jv_is_object(document))
		return err_set(err, ERR_CONFIG, "it is no JSON object: %s", why.message);
	if (only(document, members, "it", err) < 0)
		return -1;
	envoy_version_of(text, strlen(text), version);
	f->version = strtoll(version, NULL, 10);
	if (f->version < 0 || f->version >= INT64_MAX / 2)
		f->version = 0;
	const struct jv resources = jv_get(document, "resources");
	if (jv_count(resources) > 1)
		return err_set(err, ERR_CONFIG, "it has %zu resources, and Envoy takes one", jv_count(resources));
	struct jv_cursor c = jv_each(resources);
	struct jv_member m;
	return jv_next(&c, &m) ? read_assignment(m.value, f, err) : 0;
}

const struct filed_kind envoy_kind = {
	.prefix = "",
	.suffix = ".json",
	.reserved = reserved,
	.parse = envoy_parse,
	.render = envoy_render,
	.before = envoy_before,
	.take = envoy_take,
	.put_back = envoy_put_back,
};
