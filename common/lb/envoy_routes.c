/* The two files that all backends share: the clusters that ensure made, and the routes to them. What is not ours in
 * them stays as it is; ours are marked. Sources: https://www.envoyproxy.io/docs/envoy/latest/api-v3/ under
 * config/cluster/v3/cluster.proto and config/route/v3/route_components.proto */
#include "lb/envoy.h"

#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define CLUSTER "type.googleapis.com/envoy.config.cluster.v3.Cluster"
#define ROUTES "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
#define TO_CLUSTER "\"route\":{\"cluster\":"
#define ROUTE_END ",\"timeout\":\"0s\","
#define OURS ENVOY_MARK ":" /* our virtual hosts' names begin so */

const char *envoy_route_name(const struct lb *lb)
{
	return lb->conf->frontend && *lb->conf->frontend ? lb->conf->frontend : "as";
}

static int read_old(const char *old, struct jv *resources, struct err *err)
{
	struct jv document;

	*resources = (struct jv){0};
	if (!*old)
		return 0;
	if (jv_scan(old, strlen(old), &document, NULL, 0, NULL, err) < 0 || !jv_is_object(document))
		return err_set(err, ERR_CONFIG, "it is no JSON object; mend it or take it away");
	*resources = jv_get(document, "resources");
	return 0;
}

/* The whole document; its version is a hash of what is in it. */
static int put_document(const struct buf *resources, struct buf *out, struct err *err)
{
	char hash[17];

	if (buf_ok(resources, err) < 0)
		return -1;
	envoy_hash(resources->p ? resources->p : "", resources->n, hash);
	buf_printf(out, "{\"version_info\":\"%s\",\"resources\":[", hash);
	buf_put(out, resources->p ? resources->p : "", resources->n);
	buf_puts(out, "\n]}\n");
	return buf_ok(out, err);
}

static void put_raw(struct buf *out, struct jv v)
{
	if (out->n && out->p[out->n - 1] != '[')
		buf_putc(out, ',');
	buf_putc(out, '\n');
	buf_put(out, v.p, v.n);
}

/* A member as it stands, not the first of its object. */
static void put_member(struct buf *out, const struct jv_member *m)
{
	buf_puts(out, ",\"");
	buf_put(out, m->name.p, m->name.n);
	buf_puts(out, "\":");
	buf_put(out, m->value.p, m->value.n);
}

static void put_source(const struct lb *lb, struct buf *out, const char *backend)
{
	char path[PATH_MAX + 80];

	(void)snprintf(path, sizeof path, "%s/%s.json", lb->path, backend);
	buf_puts(out, "{\"resource_api_version\":\"V3\",\"path_config_source\":{");
	buf_json_member_str(out, "path", path);
	buf_puts(out, ",\"watched_directory\":{");
	buf_json_member_str(out, "path", lb->path);
	buf_puts(out, "}}}");
}

/* ---- what is there of ours ---- */

/* A file; empty when it cannot be read. */
static void read_file(const struct lb *lb, const char *name, struct buf *text)
{
	char path[PATH_MAX + 32];
	struct err ignored;
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/%s", lb->path, name);
	buf_reset(text);
	if (lb_file_read(path, text, &st, &ignored) < 0)
		buf_reset(text);
}

int envoy_mentions(const struct lb *lb, struct lb_names *names, struct err *err)
{
	struct buf text = BUF_INIT(DOCUMENT_MAX);
	struct jv resources = {0};
	struct jv_member m;
	struct err ignored;
	char name[LB_NAME];
	int rc = 0;

	read_file(lb, ENVOY_CLUSTERS, &text);
	(void)read_old(text.p ? text.p : "", &resources, &ignored);
	struct jv_cursor c = jv_each(resources);
	while (rc == 0 && jv_next(&c, &m))
		if (jv_here(jv_path(m.value, "metadata.filter_metadata." ENVOY_MARK)) &&
		    jv_str(jv_get(m.value, "name"), name, sizeof name) && lb_safe_name(name))
			rc = lb_names_add(names, name, err);
	buf_release(&text);
	return rc;
}

bool envoy_mentioned(const struct lb *lb, const char *backend)
{
	struct buf text = BUF_INIT(DOCUMENT_MAX);
	struct lb_names names = {0};
	char way[LB_NAME + 64];
	struct err ignored;
	bool found = false;

	if (envoy_mentions(lb, &names, &ignored) == 0)
		for (size_t i = 0; i < names.n; i++)
			found = found || strcmp(names.v[i], backend) == 0;
	lb_names_release(&names);
	read_file(lb, ENVOY_ROUTES, &text);
	(void)snprintf(way, sizeof way, TO_CLUSTER "\"%s\"" ROUTE_END, backend);
	found = found || (text.p && strstr(text.p, way));
	buf_release(&text);
	return found;
}

/* ---- clusters ---- */

/* Envoy's own defaults would check a server that has no traffic once a minute, keep one that was taken out as long as
 * it is healthy, tell the workers of changes once a second, and send work to the dead when more than half are. */
static void put_cluster(const struct lb *lb, struct buf *out, const struct envoy_app *a)
{
	if (out->n)
		buf_putc(out, ',');
	buf_puts(out, "\n{\"@type\":\"" CLUSTER "\"");
	buf_json_member_str(out, "name", a->backend);
	buf_puts(out, ",\"metadata\":{\"filter_metadata\":{\"" ENVOY_MARK
	              "\":{}}},\n\"type\":\"EDS\",\"connect_timeout\":\"1s\","
	              "\"ignore_health_on_host_removal\":true,\"track_cluster_stats\":{\"per_endpoint_stats\":true},\n"
	              "\"common_lb_config\":{\"update_merge_window\":\"0s\",\"healthy_panic_threshold\":{\"value\":0}},\n"
	              "\"health_checks\":[{\"timeout\":\"1s\",\"interval\":\"0.5s\",\"no_traffic_interval\":\"0.5s\","
	              "\"unhealthy_threshold\":2,\"healthy_threshold\":1,");
	if (*a->check) {
		buf_puts(out, "\"http_health_check\":{\"path\":");
		buf_json_str(out, a->check);
		buf_puts(out, ",\"expected_statuses\":[{\"start\":200,\"end\":400}]}");
	} else {
		buf_puts(out, "\"tcp_health_check\":{}");
	}
	buf_puts(out, "}],\n\"eds_cluster_config\":{\"eds_config\":");
	put_source(lb, out, a->backend);
	buf_puts(out, "}}");
}

int envoy_render_clusters(const struct lb *lb, const struct envoy_apps *apps, const char *old, struct buf *out,
                          struct err *err)
{
	struct buf resources = BUF_INIT(out->max);
	struct jv_cursor c;
	struct jv_member m;
	struct jv was;

	if (read_old(old, &was, err) < 0)
		return -1;
	c = jv_each(was);
	while (jv_next(&c, &m))
		if (!jv_here(jv_path(m.value, "metadata.filter_metadata." ENVOY_MARK)))
			put_raw(&resources, m.value);
	for (size_t i = 0; i < apps->n; i++)
		if (apps->v[i].made)
			put_cluster(lb, &resources, &apps->v[i]);
	const int rc = put_document(&resources, out, err);
	buf_release(&resources);
	return rc;
}

/* ---- routes ---- */

struct way {
	const struct rule_way *way;
	const char *backend;
};

struct ways {
	struct way *v;
	size_t n;
	struct jv all;    /* the operator's virtual host for "*" */
	struct jv routes; /* its routes */
};

/* The narrower host first, in it the longer path. */
static int narrower(const void *a, const void *b)
{
	const struct rule_way *x = ((const struct way *)a)->way, *y = ((const struct way *)b)->way;
	const size_t hosts[] = {strlen(x->host), strlen(y->host)}, paths[] = {strlen(x->path), strlen(y->path)};
	const bool wild[] = {*x->host == '*', *y->host == '*'};

	if (!hosts[0] != !hosts[1])
		return hosts[0] ? -1 : 1;
	if (wild[0] != wild[1])
		return wild[0] ? 1 : -1;
	if (hosts[0] != hosts[1])
		return hosts[0] > hosts[1] ? -1 : 1;
	const int order = strcmp(x->host, y->host);
	if (order)
		return order;
	if (paths[0] != paths[1])
		return paths[0] > paths[1] ? -1 : 1;
	return strcmp(x->path, y->path);
}

static int all_ways(const struct envoy_apps *apps, struct ways *out, struct err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < apps->n; i++)
		n += apps->v[i].rule.n;
	if (n && !(out->v = calloc(n, sizeof *out->v)))
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; i < apps->n; i++)
		for (size_t k = 0; k < apps->v[i].rule.n; k++)
			out->v[out->n++] = (struct way){&apps->v[i].rule.v[k], apps->v[i].backend};
	if (n)
		qsort(out->v, n, sizeof *out->v, narrower);
	return 0;
}

/* Has whoever asks for host `asked` (or any below it) a host that fits `host`? */
static bool covers(const char *host, const char *asked)
{
	const size_t n = strlen(host), m = strlen(asked);

	if (!n || strcmp(host, asked) == 0)
		return true;
	return *host == '*' && m >= n && strcmp(asked + m - (n - 1), host + 1) == 0;
}

/* Without a limit of its own Envoy would cut a response after 15 s, which none of the other balancers does. */
static void put_route(struct buf *out, const struct way *w)
{
	if (out->p[out->n - 1] != '[')
		buf_putc(out, ',');
	buf_puts(out, "\n{\"name\":\"" ENVOY_MARK "\",\"match\":{");
	buf_json_member_str(out, strlen(w->way->path) > 1 ? "path_separated_prefix" : "prefix",
	                    strlen(w->way->path) > 1 ? w->way->path : "/");
	buf_puts(out, "}," TO_CLUSTER);
	buf_json_str(out, w->backend);
	buf_puts(out, ROUTE_END "\"upgrade_configs\":[{\"upgrade_type\":\"websocket\"}],"
	                        "\"retry_policy\":{\"retry_on\":\"connect-failure,refused-stream\",\"num_retries\":2}}}");
}

/* The routes of a host: also those of wider hosts, for Envoy looks into one virtual host only; at the end what the
 * operator wants done with all that nobody else wants. */
static void put_routes(struct buf *out, const struct ways *ways, const char *host)
{
	struct jv_cursor c = jv_each(ways->routes);
	struct jv_member m;

	buf_puts(out, "[");
	for (size_t i = 0; i < ways->n; i++)
		if (covers(ways->v[i].way->host, host))
			put_route(out, &ways->v[i]);
	while (jv_next(&c, &m))
		if (!jv_is(jv_get(m.value, "name"), ENVOY_MARK))
			put_raw(out, m.value);
	buf_puts(out, "]");
}

static void put_host(struct buf *out, const struct ways *ways, const char *host)
{
	char name[RULE_HOST + 16];

	(void)snprintf(name, sizeof name, OURS "%s", *host ? host : "*");
	if (out->p[out->n - 1] != '[')
		buf_putc(out, ',');
	buf_puts(out, "\n{\"name\":");
	buf_json_str(out, name);
	buf_puts(out, ",\"domains\":[");
	buf_json_str(out, *host ? host : "*");
	buf_puts(out, "],\"routes\":");
	put_routes(out, ways, host);
	buf_puts(out, "}");
}

/* The operator's virtual host for everything, with our routes for all hosts before its own. */
static void put_all(struct buf *out, const struct ways *ways)
{
	struct jv_cursor c = jv_each(ways->all);
	struct jv_member m;

	if (out->p[out->n - 1] != '[')
		buf_putc(out, ',');
	buf_puts(out, "\n{\"routes\":");
	put_routes(out, ways, "");
	while (jv_next(&c, &m)) {
		if (jv_name_is(&m, "routes"))
			continue;
		put_member(out, &m);
	}
	buf_puts(out, "}");
}

/* The virtual hosts that are not ours. CONFLICT when one of them has a host of ours. */
static int put_theirs(struct buf *out, struct ways *ways, struct jv hosts, struct err *err)
{
	struct jv_cursor c = jv_each(hosts);
	struct jv_member m, d;
	char name[RULE_HOST + 16], domain[RULE_HOST];

	while (jv_next(&c, &m)) {
		if (jv_str(jv_get(m.value, "name"), name, sizeof name) && strncmp(name, OURS, strlen(OURS)) == 0)
			continue;
		struct jv_cursor each = jv_each(jv_get(m.value, "domains"));
		bool everything = false;
		while (jv_next(&each, &d)) {
			if (!jv_str(d.value, domain, sizeof domain))
				continue;
			everything = everything || strcmp(domain, "*") == 0;
			for (size_t i = 0; i < ways->n; i++)
				if (strcmp(ways->v[i].way->host, domain) == 0)
					return err_set(err, ERR_CONFLICT, "it has a virtual host for %s which is not ours", domain);
		}
		if (everything) {
			ways->all = m.value;
			ways->routes = jv_get(m.value, "routes");
		} else {
			put_raw(out, m.value);
		}
	}
	return 0;
}

static int put_hosts(struct buf *out, struct ways *ways, struct jv old, struct err *err)
{
	const char *last = NULL;

	if (put_theirs(out, ways, jv_get(old, "virtual_hosts"), err) < 0)
		return -1;
	for (size_t i = 0; i < ways->n; i++) {
		const char *host = ways->v[i].way->host;
		if ((last && strcmp(last, host) == 0) || (!*host && jv_here(ways->all)))
			continue;
		put_host(out, ways, host);
		last = host;
	}
	if (jv_here(ways->all))
		put_all(out, ways);
	return 0;
}

static int put_configuration(const struct lb *lb, struct buf *out, struct ways *ways, struct jv old, struct err *err)
{
	struct jv_cursor c = jv_each(old);
	struct jv_member m;

	buf_puts(out, "\n{\"@type\":\"" ROUTES "\"");
	buf_json_member_str(out, "name", envoy_route_name(lb));
	if (!jv_here(jv_get(old, "ignore_port_in_host_matching")))
		buf_json_member_bool(out, "ignore_port_in_host_matching", true);
	while (jv_next(&c, &m)) {
		if (jv_name_is(&m, "@type") || jv_name_is(&m, "name") || jv_name_is(&m, "virtual_hosts"))
			continue;
		put_member(out, &m);
	}
	buf_puts(out, ",\n\"virtual_hosts\":[");
	if (put_hosts(out, ways, old, err) < 0)
		return -1;
	buf_puts(out, "]}");
	return 0;
}

int envoy_render_routes(const struct lb *lb, const struct envoy_apps *apps, const char *old, struct buf *out,
                        struct err *err)
{
	struct buf resources = BUF_INIT(out->max);
	struct ways ways = {0};
	struct jv_member m = {0};
	struct jv was;

	if (read_old(old, &was, err) < 0)
		return -1;
	struct jv_cursor c = jv_each(was);
	if (jv_next(&c, &m) && !jv_is(jv_get(m.value, "name"), envoy_route_name(lb)))
		return err_set(err, ERR_CONFIG, "its route configuration is not the one that `frontend` names, which is %s",
		               envoy_route_name(lb));
	int rc = all_ways(apps, &ways, err);
	if (rc == 0)
		rc = put_configuration(lb, &resources, &ways, m.value, err);
	if (rc == 0)
		rc = put_document(&resources, out, err);
	free(ways.v);
	buf_release(&resources);
	return rc;
}
