/* A backend's file. The first line is a comment with what Traefik has no place for; the rest is JSON, which is YAML too
 * and is read back with the reader of all JSON here. */
#include "lb/traefik.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define COMMENT "# as-lb "
#define MARK_HEADER "X-As-Lb"
#define NORMAL_WEIGHT 100

/* No connection to a server is kept for a later request: an application that closes an idle one just when it is used
 * again would fail that request, which Traefik does not repeat when it has a body. It is also what makes open
 * connections tell what is at work (traefik_idle.c). The default of 30 s for a connection is long for an address whose
 * container is gone, which does not even refuse. */
#define TRANSPORT "{\"maxIdleConnsPerHost\":-1,\"forwardingTimeouts\":{\"dialTimeout\":\"2s\"}}"
/* One failed check takes a server out, so that it must be long enough for a busy one. */
#define CHECK_TIMES "\"interval\":\"2s\",\"timeout\":\"1900ms\""

static const char *const no_names[] = {NULL};

void traefik_child(const char *backend, const char *server, char out[TRAEFIK_CHILD])
{
	(void)snprintf(out, TRAEFIK_CHILD, "%s-%s", backend, server);
}

int64_t traefik_weight(const struct lb_server *s) { return s->state == LB_DRAIN ? 0 : (int64_t)s->weight; }

int64_t traefik_drained_ms(const struct lb_server *s)
{
	return s->state == LB_DRAIN && s->sessions > 0 ? s->sessions : 0;
}

void traefik_url(const struct lb_server *s, char *out, size_t size)
{
	char place[LB_PLACE];

	lb_place(s, place);
	(void)snprintf(out, size, "http://%s", place);
}

/* ---- the folder ---- */

/* The mount that a path is on; 0: not known. A rename does not go from one mount to another, not even when both show
 * the same file system. */
static uint64_t mount_of(const char *path)
{
	struct statx st;

	if (statx(AT_FDCWD, path, 0, STATX_MNT_ID, &st) < 0 || !(st.stx_mask & STATX_MNT_ID))
		return 0;
	return st.stx_mnt_id;
}

/* Whatever happens in the folder makes Traefik read it, and then it reads nothing for providersThrottleDuration: a new
 * file that is made there costs the one that takes its place this time (at a throttle of 100 ms: 160 to 280 ms until a
 * change is used, else 75 to 120). So it is made beside the folder where that can be done:
 * FOLDER/../.NAME.as-BACKEND.yml. */
static void new_files(struct lb *lb)
{
	char real[PATH_MAX], parent[PATH_MAX];

	if (!realpath(lb->path, real) || strcmp(real, "/") == 0)
		return;
	const char *slash = strrchr(real, '/');
	(void)snprintf(parent, sizeof parent, "%.*s", slash == real ? 1 : (int)(slash - real), real);
	const uint64_t mount = mount_of(real);
	if (!mount || mount != mount_of(parent) || access(parent, W_OK) < 0)
		return;
	const int n = snprintf(lb->temp, sizeof lb->temp, "%s/.%s.", slash == real ? "" : parent, slash + 1);
	if (n > 0 && (size_t)n < sizeof lb->temp)
		lb->folder.temp = lb->temp;
}

int traefik_folder(struct lb *lb, struct err *err)
{
	const int rc = lb_filed_path(lb->conf, lb->path, err);

	if (rc <= 0)
		return rc;
	lb->folder.path = lb->path;
	new_files(lb);
	return 0;
}

/* ---- writing ---- */

static void rule_host(const char *host, struct buf *out)
{
	if (host[0] != '*') {
		buf_printf(out, "Host(`%s`)", host);
		return;
	}
	buf_puts(out, "HostRegexp(`^.+");
	for (const char *c = host + 1; *c; c++)
		buf_printf(out, *c == '.' ? "\\%c" : "%c", *c);
	buf_puts(out, "$`)");
}

/* Traefik's PathPrefix(`/x`) is a prefix of bytes, which fits /xy too; ours is one of whole segments. */
static void rule_path(const char *path, struct buf *out)
{
	if (strcmp(path, "/") == 0)
		buf_puts(out, "PathPrefix(`/`)");
	else
		buf_printf(out, "(Path(`%s`) || PathPrefix(`%s/`))", path, path);
}

void traefik_rule(const struct rule *rule, struct buf *out)
{
	for (size_t i = 0; i < rule->n; i++) {
		const struct rule_way *w = &rule->v[i];
		const bool both = *w->host && *w->path;
		buf_puts(out, i ? " || " : "");
		buf_puts(out, both && rule->n > 1 ? "(" : "");
		if (*w->host)
			rule_host(w->host, out);
		buf_puts(out, both ? " && " : "");
		if (*w->path)
			rule_path(w->path, out);
		buf_puts(out, both && rule->n > 1 ? ")" : "");
	}
}

static void put_router(const struct lb *lb, const struct filed *f, struct buf *out)
{
	struct buf rule = BUF_INIT(DOCUMENT_MAX);
	const char *points = lb->conf->frontend ? lb->conf->frontend : "";

	if (!f->rule.n)
		return;
	traefik_rule(&f->rule, &rule);
	buf_puts(out, "\"routers\":{");
	buf_json_key(out, f->backend);
	buf_putc(out, '{');
	buf_json_member_str(out, "rule", rule.p);
	buf_json_member_str(out, "service", f->backend);
	if (*points)
		buf_puts(out, ",\"entryPoints\":[");
	for (const char *p = points; *p; p += strspn(p, ", ")) {
		const size_t n = strcspn(p, ", ");
		buf_json_comma(out);
		buf_json_strn(out, p, n);
		p += n;
	}
	buf_puts(out, *points ? "]}}," : "}},");
	out->failed |= rule.failed;
	buf_release(&rule);
}

static const char *check_of(const struct filed *f, const struct lb_server *s)
{
	return *s->check ? s->check : f->check;
}

static void put_child(const struct filed *f, const struct lb_server *s, struct buf *out)
{
	char name[TRAEFIK_CHILD], url[LB_PLACE + 8], transport[LB_NAME + 8];
	const char *check = check_of(f, s);

	traefik_child(f->backend, s->name, name);
	traefik_url(s, url, sizeof url);
	(void)snprintf(transport, sizeof transport, "%s" TRAEFIK_SUFFIX, f->backend);
	buf_puts(out, ",\n");
	buf_json_str(out, name);
	buf_puts(out, ":{\"loadBalancer\":{\"servers\":[{\"url\":");
	buf_json_str(out, url);
	buf_puts(out, "}],\"serversTransport\":");
	buf_json_str(out, transport);
	if (*check) {
		buf_puts(out, ",\"healthCheck\":{\"path\":");
		buf_json_str(out, check);
		buf_puts(out, "," CHECK_TIMES "}");
	}
	buf_puts(out, "}}");
}

/* The router and the services. A parent without children is fine with Traefik: 503 for all. It learns that a child is
 * down only when told to, which is an error (and 404 for all) unless every child has a check. */
static void put_services(const struct lb *lb, const struct filed *f, struct buf *out)
{
	char name[TRAEFIK_CHILD];
	bool checks = f->list.n > 0;

	put_router(lb, f, out);
	buf_puts(out, "\"services\":{\n");
	buf_json_str(out, f->backend);
	buf_puts(out, ":{\"weighted\":{\"services\":[");
	for (size_t i = 0; i < f->list.n; i++) {
		const struct lb_server *s = &f->list.v[i];
		traefik_child(f->backend, s->name, name);
		buf_json_comma(out);
		buf_putc(out, '{');
		buf_json_member_str(out, "name", name);
		buf_json_member_int(out, "weight", traefik_weight(s));
		buf_putc(out, '}');
		checks = checks && *check_of(f, s);
	}
	buf_puts(out, checks ? "],\"healthCheck\":{}}}" : "]}}");
	for (size_t i = 0; i < f->list.n; i++)
		put_child(f, &f->list.v[i], out);
	buf_putc(out, '}');
}

/* FNV-1a, 64 bits. */
static void mark_of(int64_t version, const struct buf *services, char out[TRAEFIK_MARK])
{
	const uint64_t hash = hash_more(HASH_BEGIN, services->p, services->n);

	(void)snprintf(out, TRAEFIK_MARK, "%lld-%016llx", (long long)version, (unsigned long long)hash);
}

/* From the text, not from what would be written now: a later version of the toolkit may write it otherwise. */
void traefik_mark(const struct buf *file, char out[TRAEFIK_MARK])
{
	const char *at = file->p ? strstr(file->p, "\"" MARK_HEADER "\":\"") : NULL;

	out[0] = '\0';
	if (!at)
		return;
	at += strlen("\"" MARK_HEADER "\":\"");
	(void)snprintf(out, TRAEFIK_MARK, "%.*s", (int)strcspn(at, "\""), at);
}

static void put_comment(const struct filed *f, struct buf *out)
{
	struct buf rule = BUF_INIT(DOCUMENT_MAX);

	rule_write(&f->rule, &rule);
	buf_puts(out, COMMENT "{");
	buf_json_member_int(out, "version", f->version);
	buf_json_member_bool(out, "made", f->made);
	buf_json_member_str(out, "rule", rule.p ? rule.p : "");
	buf_json_member_str(out, "check", f->check);
	buf_json_key(out, "drain");
	buf_putc(out, '{');
	for (size_t i = 0; i < f->list.n; i++) {
		const struct lb_server *s = &f->list.v[i];
		if (s->state != LB_DRAIN)
			continue;
		const int64_t since = traefik_drained_ms(s);
		buf_json_key(out, s->name);
		buf_printf(out, "{\"weight\":%u,\"since\":%lld}", s->weight, (long long)(since ? since : clock_now_ms()));
	}
	buf_puts(out, "}}\n");
	out->failed |= rule.failed;
	buf_release(&rule);
}

static int render(struct lb *lb, const struct filed *f, struct buf *out, struct err *err)
{
	struct buf services = BUF_INIT(DOCUMENT_MAX);
	char mark[TRAEFIK_MARK];

	put_services(lb, f, &services);
	const int rc = buf_ok(&services, err);
	if (rc == 0) {
		mark_of(f->version, &services, mark);
		put_comment(f, out);
		buf_printf(out,
		           "{\"http\":{\"middlewares\":{\"%s" TRAEFIK_SUFFIX "\":{\"headers\":{\"customRequestHeaders\":"
		           "{\"" MARK_HEADER "\":\"%s\"}}}},\"serversTransports\":{\"%s" TRAEFIK_SUFFIX "\":" TRANSPORT "},\n",
		           f->backend, mark, f->backend);
		buf_put(out, services.p, services.n);
		buf_puts(out, "}}\n");
	}
	buf_release(&services);
	return rc;
}

/* ---- reading ---- */

static int odd(struct err *err, const char *what)
{
	return err_set(err, ERR_CONFIG,
	               "it is not as it was written: %s; what is not the toolkit's belongs in a file of its own", what);
}

static int read_comment(struct filed *f, struct jv comment, struct err *err)
{
	char rule[RULE_WAYS * (RULE_HOST + RULE_PATH + 64)];

	if (!jv_int(jv_get(comment, "version"), &f->version) || f->version < 1 ||
	    !jv_str(jv_get(comment, "rule"), rule, sizeof rule) ||
	    !jv_str(jv_get(comment, "check"), f->check, sizeof f->check) || !lb_safe_check(f->check))
		return odd(err, "its first line");
	f->made = jv_is_true(jv_get(comment, "made"));
	return *rule ? rule_parse(rule, &f->rule, err) : 0;
}

/* "http://A:P", of an address and port that are safe. */
static bool read_url(const char *url, struct lb_server *s)
{
	char address[LB_ADDRESS];
	const bool six = strncmp(url, "http://[", 8) == 0;
	const char *from = url + (six ? 8 : 7), *end = six ? strstr(from, "]:") : strchr(from, ':');

	if (strncmp(url, "http://", 7) != 0 || !end || (size_t)(end - from) >= sizeof address)
		return false;
	(void)snprintf(address, sizeof address, "%.*s", (int)(end - from), from);
	return lb_safe_address(address, s->address) && lb_safe_port(end + (six ? 2 : 1), &s->port);
}

static int read_child(struct filed *f, struct jv services, struct jv comment, struct jv entry, struct err *err)
{
	const size_t before = strlen(f->backend);
	char name[TRAEFIK_CHILD], url[LB_PLACE + 8];
	struct lb_server s = {.sessions = -1};
	int64_t weight = 1;

	if (!jv_str(jv_get(entry, "name"), name, sizeof name) || strncmp(name, f->backend, before) != 0 ||
	    name[before] != '-' || !lb_is_ours(name + before + 1))
		return odd(err, "its weighted service has a child that is no server's");
	(void)snprintf(s.name, sizeof s.name, "%.*s", LB_NAME - 1, name + before + 1);
	const struct jv balancer = jv_path(jv_get(services, name), "loadBalancer"), servers = jv_get(balancer, "servers");
	struct jv_cursor c = jv_each(servers);
	struct jv_member m;
	if (jv_count(servers) != 1 || !jv_next(&c, &m) || !jv_str(jv_get(m.value, "url"), url, sizeof url) ||
	    !read_url(url, &s))
		return odd(err, "a child service is not one server");
	const struct jv check = jv_path(balancer, "healthCheck.path"), drain = jv_get(jv_get(comment, "drain"), s.name);
	if (jv_here(check) && (!jv_str(check, s.check, sizeof s.check) || !lb_safe_check(s.check)))
		return odd(err, "the path of a health check");
	if (strcmp(s.check, f->check) == 0)
		s.check[0] = '\0';
	if (jv_here(jv_get(entry, "weight")) && !jv_int(jv_get(entry, "weight"), &weight))
		weight = -1;
	if (jv_is_object(drain)) {
		s.state = LB_DRAIN;
		s.sessions = jv_int_or(jv_get(drain, "since"), -1);
		weight = jv_int_or(jv_get(drain, "weight"), -1);
	}
	if (!f->version) /* written by hand, where 1 is the usual weight */
		weight = weight * NORMAL_WEIGHT < LB_WEIGHT_MAX ? weight * NORMAL_WEIGHT : LB_WEIGHT_MAX;
	if (weight < 0 || weight > LB_WEIGHT_MAX)
		return odd(err, "the weight of a child");
	s.weight = (unsigned)weight;
	return lb_filed_add(f, &s, err);
}

/* Nothing else may stand there: a file that is written anew would lose it. */
static int only(struct jv object, const char *const *known, const char *where, struct err *err)
{
	struct jv_cursor c = jv_each(object);
	struct jv_member m;

	while (jv_next(&c, &m)) {
		const char *const *k = known;
		while (*k && !jv_name_is(&m, *k))
			k++;
		if (!*k)
			return err_set(err, ERR_CONFIG,
			               "it is not as it was written: it has \"%.*s\" in %s; what is not the toolkit's belongs in a "
			               "file of its own",
			               (int)(m.name.n < 80 ? m.name.n : 80), m.name.p, where);
	}
	return 0;
}

static int read_http(struct filed *f, struct jv http, struct jv comment, struct err *err)
{
	static const char *const parts[] = {"routers", "middlewares", "serversTransports", "services", NULL};
	char extra[LB_NAME + 8];
	const char *const mine[] = {f->backend, NULL}, *const extras[] = {extra, NULL};
	const struct jv services = jv_get(http, "services");

	(void)snprintf(extra, sizeof extra, "%s" TRAEFIK_SUFFIX, f->backend);
	if (only(http, parts, "http", err) < 0 ||
	    only(jv_get(http, "routers"), f->rule.n ? mine : no_names, "routers", err) < 0 ||
	    only(jv_get(http, "middlewares"), extras, "middlewares", err) < 0 ||
	    only(jv_get(http, "serversTransports"), extras, "serversTransports", err) < 0)
		return -1;
	const struct jv entries = jv_path(jv_get(services, f->backend), "weighted.services");
	if (!jv_is_array(entries))
		return odd(err, "there is no weighted service with the backend's name");
	struct jv_cursor c = jv_each(entries);
	struct jv_member m;
	while (jv_next(&c, &m))
		if (read_child(f, services, comment, m.value, err) < 0)
			return -1;
	return jv_count(services) == f->list.n + 1 ? 0 : odd(err, "there are services that the weighted one does not name");
}

static int parse(struct lb *lb, const char *text, struct filed *f, struct err *err)
{
	static const char *const top[] = {"http", NULL};
	struct jv comment = {0}, document;

	(void)lb;
	if (strncmp(text, COMMENT, strlen(COMMENT)) == 0) {
		const char *from = text + strlen(COMMENT);
		const size_t n = strcspn(from, "\n");
		if (jv_scan(from, n, &comment, NULL, 0, NULL, err) < 0)
			return odd(err, "its first line");
		if (read_comment(f, comment, err) < 0)
			return -1;
		text = from + n;
	}
	if (jv_scan(text, strlen(text), &document, NULL, 0, NULL, err) < 0)
		return err_prefix(err, "it is not as it was written, in JSON");
	if (only(document, top, "it", err) < 0)
		return -1;
	return read_http(f, jv_get(document, "http"), comment, err);
}

const struct filed_kind traefik_kind = {
	.prefix = "as-",
	.suffix = ".yml",
	.parse = parse,
	.render = render,
	.before = traefik_before,
	.take = traefik_take,
	.put_back = traefik_put_back,
};
