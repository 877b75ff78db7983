/* Conventions: what the labels and variables of other tools say, as fields of a policy. base/convention.c has the table
 * of what there is and of what kind each value is; here is what becomes of each kind. Values that share a key are a
 * route: names, paths, a port. All routes of one container lead to one port, for a backend has one.
 *
 * They are tenants' words: what is not understood is a warning, and never makes a rule wider than what was written. */
#include "policy/policy.h"

#include "base/rule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define ROUTES_MAX 16
#define WARNINGS_MAX 16
#define ALWAYS (1u << CONVENTION_VIRTUAL_HOST | 1u << CONVENTION_TRAEFIK | 1u << CONVENTION_DF)

/* Values of one key. */
struct route {
	char key[CONVENTION_KEY];
	struct jv said[CONVENTION_KINDS];
	struct rule rule;
	char port[8], path[RULE_PATH]; /* "": none */
	bool good;
};

struct reading {
	enum convention of;
	const char *from;
	struct route *routes, *services; /* ROUTES_MAX each */
	size_t nroutes, nservices;
	struct jv said[CONVENTION_KINDS]; /* without a key */
	struct jv ports;                  /* of the container */
	struct buf *warnings;
	unsigned nwarnings;
};

/* text NULL: a value of another type or too long. */
static void warn(struct reading *r, const char *field, const char *text, const char *why)
{
	struct buf line = BUF_INIT(4096);

	if (r->nwarnings++ >= WARNINGS_MAX)
		return;
	if (text)
		buf_printf(&line, "%s (%s): \"%.100s\": %s", field, r->from, text, why);
	else
		buf_printf(&line, "%s (%s): %s", field, r->from, why);
	buf_json_comma(r->warnings);
	buf_json_str(r->warnings, line.p ? line.p : "");
	buf_release(&line);
}

/* ---- which labels and variables there are ---- */

static struct route *route_of(struct reading *r, bool service, const char *key)
{
	struct route *v = service ? r->services : r->routes;
	size_t *n = service ? &r->nservices : &r->nroutes, i = 0;

	while (i < *n && strcmp(v[i].key, key) != 0)
		i++;
	if (i == ROUTES_MAX) {
		warn(r, "lb_rule", NULL, "more than 16 routes: the others are left out");
		return NULL;
	}
	if (i == *n) {
		memcpy(v[i].key, key, strlen(key) + 1);
		(*n)++;
	}
	return &v[i];
}

static void keep(struct reading *r, const struct convention_row *row, const char *key, struct jv value)
{
	const bool service = row->kind == CONVENTION_SERVICE_PORT || row->kind == CONVENTION_SERVICE_SCHEME;
	struct route *to = row->kind < CONVENTION_NETWORK ? route_of(r, service, key) : NULL;

	if (to)
		to->said[row->kind] = value;
	else if (row->kind >= CONVENTION_NETWORK)
		r->said[row->kind] = value;
}

static int by_key(const void *x, const void *y)
{
	return strcmp(((const struct route *)x)->key, ((const struct route *)y)->key);
}

static void collect(struct reading *r, struct jv object, bool variables)
{
	struct jv_cursor c = jv_each(object);
	char name[CONVENTION_KEY * 3], key[CONVENTION_KEY];
	struct jv_member m;

	while (jv_next(&c, &m)) {
		if (!jv_str((struct jv){m.name.p - 1, m.name.n + 2}, name, sizeof name))
			continue;
		for (size_t i = 0; i < convention_rows_count; i++) {
			const struct convention_row *row = &convention_rows[i];
			if (row->convention == r->of && row->variable == variables && convention_fits(row, name, key))
				keep(r, row, key, m.value);
		}
	}
}

/* ---- values ---- */

/* 1: it is there; 0: it is not, or empty; -1: of another type or too long, which is said. */
static int text_of(struct reading *r, struct jv value, const char *field, char out[POLICY_TEXT])
{
	out[0] = '\0';
	if (!jv_here(value))
		return 0;
	if (jv_str(value, out, POLICY_TEXT))
		return *out != '\0';
	out[0] = '\0';
	warn(r, field, NULL, "a value of another type or too long");
	return -1;
}

/* The next one of a list, or NULL; *list goes on behind it. Spaces around it do not belong to it. */
static char *next_item(char **list, char separator)
{
	char *item = *list + strspn(*list, " \t"), *end = strchrnul(item, separator);

	*list = end + (*end != '\0');
	while (end > item && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = '\0';
	return *item ? item : NULL;
}

static void add_way(struct reading *r, struct route *to, const char *host, const char *path, const char *text)
{
	static const char prefix[] = "rule: ";
	struct err why = {0};

	if (rule_add(&to->rule, host, path, &why) < 0)
		warn(r, "lb_rule", text,
		     why.message + (strncmp(why.message, prefix, strlen(prefix)) == 0 ? strlen(prefix) : 0));
}

/* One name, or NULL, with each path. */
static void add_paths(struct reading *r, struct route *to, const char *host, const char *paths)
{
	char list[POLICY_TEXT], text[2 * POLICY_TEXT], *rest = list;

	(void)snprintf(list, sizeof list, "%s", paths);
	do {
		const char *path = next_item(&rest, ',');
		if (!path && *paths)
			continue;
		(void)snprintf(text, sizeof text, "%s%s", host ? host : "", path ? path : "");
		add_way(r, to, host ? host : "", path ? path : "", text);
	} while (*rest);
}

/* Each name with each path. A route that says something of names or paths of which nothing can be used has no ways. */
static void add_names(struct reading *r, struct route *to)
{
	char names[POLICY_TEXT], paths[POLICY_TEXT], *rest = names;
	const int has_names = text_of(r, to->said[CONVENTION_NAMES], "lb_rule", names),
			  has_paths = text_of(r, to->said[CONVENTION_PATHS], "lb_rule", paths);

	if (has_names < 0 || has_paths < 0 || (!has_names && (!has_paths || r->of == CONVENTION_VIRTUAL_HOST)))
		return;
	do {
		const char *host = next_item(&rest, ',');
		if (host || !has_names)
			add_paths(r, to, host, paths);
	} while (*rest);
}

/* [SCHEME://]NAME[:PORT][/PATH]. A path may end with "*". */
static void add_url(struct reading *r, struct route *to, char *url)
{
	static const char *const schemes[] = {"http://", "https://", "ws://", "wss://"};
	char whole[POLICY_TEXT], name[RULE_PATH], *p = url;

	memcpy(whole, url, strlen(url) + 1);
	for (size_t i = 0; i < 4 && p == url; i++)
		if (strncmp(p, schemes[i], strlen(schemes[i])) == 0)
			p += strlen(schemes[i]);
	const size_t n = strcspn(p, ":/");
	char *path = p + n, *end;
	if (*path == ':') {
		const size_t digits = strspn(path + 1, "0123456789");
		if ((strncmp(path, ":80", 3) != 0 || digits != 2) && (strncmp(path, ":443", 4) != 0 || digits != 3)) {
			warn(r, "lb_rule", whole, "only http, https, and the ports 80 and 443, are read");
			return;
		}
		path += 1 + digits;
	}
	if (n >= sizeof name || (*path && *path != '/')) {
		warn(r, "lb_rule", whole, "is not [SCHEME://]NAME[:PORT][/PATH]");
		return;
	}
	memcpy(name, p, n);
	name[n] = '\0';
	end = path + strlen(path);
	if (end - path >= 2 && strcmp(end - 2, "/*") == 0)
		end[-1] = '\0';
	if (*path && *to->path) {
		warn(r, "lb_rule", whole, "a path here and one before the upstreams");
		return;
	}
	path = *path ? path : to->path;
	const bool any = !*name || strcmp(name, "*") == 0;
	add_way(r, to, any ? "" : name, any && !*path ? "/" : path, whole);
}

static void add_urls(struct reading *r, struct route *to)
{
	char urls[POLICY_TEXT], *rest = urls, *url;

	if (text_of(r, to->said[CONVENTION_URLS], "lb_rule", urls) <= 0)
		return;
	do {
		if ((url = next_item(&rest, ',')))
			add_url(r, to, url);
	} while (*rest);
}

static void add_rule(struct reading *r, struct route *to)
{
	char text[POLICY_TEXT];
	struct err why = {0};

	if (text_of(r, to->said[CONVENTION_RULE], "lb_rule", text) > 0 && rule_parse(text, &to->rule, &why) < 0) {
		warn(r, "lb_rule", text, why.message);
		to->rule.n = 0;
	}
}

/* ---- one route ---- */

/* [PATH] {{upstreams [http] [PORT]}}; false: it is something else. */
static bool read_proxy(struct reading *r, struct route *to)
{
	char text[POLICY_TEXT], *p = text, *end, *word;

	if (text_of(r, to->said[CONVENTION_PROXY], "lb_port", text) <= 0)
		return false;
	char whole[POLICY_TEXT];
	memcpy(whole, text, sizeof whole);
	if (*p == '/' || *p == '*') {
		char *path = next_item(&p, ' ');
		const size_t n = path ? strlen(path) : 0;
		if (n >= 2 && n < sizeof to->path && strcmp(path + n - 2, "/*") == 0)
			memcpy(to->path, path, n - 1);
		else if (n != 1 || *path != '*')
			goto bad;
	}
	p += strspn(p, " \t");
	end = strstr(p, "}}");
	if (strncmp(p, "{{", 2) != 0 || !end || end[2 + strspn(end + 2, " \t")])
		goto bad;
	*end = '\0';
	p += 2;
	word = next_item(&p, ' ');
	if (!word || strcmp(word, "upstreams") != 0)
		goto bad;
	word = *p ? next_item(&p, ' ') : NULL;
	if (word && strcmp(word, "http") == 0)
		word = *p ? next_item(&p, ' ') : NULL;
	if ((word && strlen(word) >= sizeof to->port) || p[strspn(p, " \t")])
		goto bad;
	memcpy(to->port, word ? word : "80", word ? strlen(word) + 1 : 3);
	return true;
bad:
	warn(r, "lb_port", whole, "is not [/PATH/*] {{upstreams [http] [PORT]}}");
	return false;
}

static bool plain_http(struct reading *r, struct jv scheme, struct jv listener)
{
	char text[POLICY_TEXT];
	const int has = text_of(r, scheme, "lb_port", text);

	if (has < 0)
		return false;
	if (has && strcmp(text, "http") != 0) {
		warn(r, "lb_port", text, "only http is spoken to a container: this is left out");
		return false;
	}
	const int listens = text_of(r, listener, "lb_rule", text);
	if (listens < 0)
		return false;
	if (listens && strcmp(text, "80") != 0 && strcmp(text, "443") != 0) {
		warn(r, "lb_rule", text, "only what listens on port 80 or 443 is read: this is left out");
		return false;
	}
	return true;
}

static void read_port(struct reading *r, struct route *to, struct jv value)
{
	struct buf json = BUF_INIT(16);
	char text[POLICY_TEXT];
	const struct policy_field *f = policy_field("lb_port");

	if (text_of(r, value, f->name, text) > 0) {
		if (f->parse(text, &json))
			memcpy(to->port, text, strlen(text) + 1);
		else
			warn(r, f->name, text, "is not a port from 1 to 65535");
	}
	buf_release(&json);
}

/* A router leads to the service that it names, or to the only one. */
static bool read_service(struct reading *r, struct route *to)
{
	char name[POLICY_TEXT];
	const struct route *service = NULL;

	if (text_of(r, to->said[CONVENTION_SERVICE], "lb_rule", name) < 0)
		return false;
	if (!r->nservices && !strchr(name, '@'))
		return true;
	if (strlen(name) > 7 && strcmp(name + strlen(name) - 7, "@docker") == 0)
		name[strlen(name) - 7] = '\0';
	for (size_t i = 0; i < r->nservices; i++)
		if (*name ? strcmp(r->services[i].key, name) == 0 : r->nservices == 1)
			service = &r->services[i];
	if (!service) {
		warn(r, "lb_rule", *name ? name : to->key, "leads to no service of this container: it is left out");
		return false;
	}
	if (!plain_http(r, service->said[CONVENTION_SERVICE_SCHEME], (struct jv){0}))
		return false;
	read_port(r, to, service->said[CONVENTION_SERVICE_PORT]);
	return true;
}

static void read_route(struct reading *r, struct route *to)
{
	if (!plain_http(r, to->said[CONVENTION_SCHEME], to->said[CONVENTION_LISTENER]) ||
	    (r->of == CONVENTION_CADDY && !read_proxy(r, to)) || (r->of == CONVENTION_TRAEFIK && !read_service(r, to)))
		return;
	if (jv_here(to->said[CONVENTION_PORT]))
		read_port(r, to, to->said[CONVENTION_PORT]);
	add_names(r, to);
	add_urls(r, to);
	add_rule(r, to);
	to->good = to->rule.n || *to->port;
}

/* ---- the container's ports ---- */

/* Is it one of a comma list? */
static bool listed(const char *list, const char *port)
{
	const size_t n = strlen(port);

	for (const char *p = list; *p; p += *p == ',') {
		p += strspn(p, " \t");
		const size_t len = strcspn(p, ", \t");
		if (len == n && strncmp(p, port, n) == 0)
			return true;
		p += strcspn(p, ",");
	}
	return false;
}

/* How many TCP ports it exposes but for those in `without`; *lowest of them as text. */
static size_t exposed(const struct reading *r, const char *without, char lowest[8])
{
	struct jv_cursor c = jv_each(r->ports);
	struct jv_member m;
	int64_t best = 0, others[ROUTES_MAX];
	size_t n = 0;

	lowest[0] = '\0';
	while (jv_next(&c, &m)) {
		const int64_t port = jv_int_or(jv_get(m.value, "port"), 0);
		char text[24];
		size_t i = 0;
		(void)snprintf(text, sizeof text, "%lld", (long long)port);
		while (i < n && others[i] != port)
			i++;
		if (i < n || n == ROUTES_MAX || port < 1 || port > 65535 || !jv_is(jv_get(m.value, "protocol"), "tcp") ||
		    listed(without, text))
			continue;
		others[n++] = port;
		if (!best || port < best)
			best = port;
	}
	if (best)
		(void)snprintf(lowest, 8, "%d", (int)best);
	return n;
}

/* The port that the tool itself would take where none is said. */
static void default_port(struct reading *r, char port[8])
{
	char given[POLICY_TEXT], without[POLICY_TEXT], lowest[8];
	char *rest = given, *item;
	size_t n = 0;

	port[0] = '\0';
	switch (r->of) {
	case CONVENTION_VIRTUAL_HOST: /* the only one exposed, else 80 */
		if (exposed(r, "", lowest) != 1)
			memcpy(port, "80", 3);
		return;
	case CONVENTION_EASYHAPROXY: memcpy(port, "80", 3); return;
	case CONVENTION_DOCKERCLOUD: break;
	default: return;
	}
	if (text_of(r, r->said[CONVENTION_NOT_PORTS], "lb_port", without) < 0)
		return;
	if (text_of(r, r->said[CONVENTION_PORTS], "lb_port", given) <= 0) {
		n = exposed(r, without, port);
	} else {
		do {
			if (!(item = next_item(&rest, ',')) || listed(without, item))
				continue;
			struct buf json = BUF_INIT(16);
			if (!policy_field("lb_port")->parse(item, &json))
				warn(r, "lb_port", item, "is not a port from 1 to 65535");
			else if (!n++)
				memcpy(port, item, strlen(item) + 1);
			buf_release(&json);
		} while (*rest);
	}
	if (n > 1)
		warn(r, "lb_port", port, "of several ports only this one is read");
}

/* ---- one convention ---- */

/* The routes whose port is that of the first; all of them lead there. */
static void put_routes(struct reading *r, struct buf *fields)
{
	struct rule all = {.n = 0};
	struct buf normal = BUF_INIT(RULE_TEXT);
	char port[8] = "";
	bool some = false;

	for (size_t i = 0; i < r->nroutes; i++) {
		struct route *to = &r->routes[i];
		if (!to->good)
			continue;
		some = true;
		if (!*port)
			memcpy(port, to->port, sizeof port);
		if (*to->port && strcmp(port, to->port) != 0) {
			warn(r, "lb_port", to->port, "another port than that of the first route: this one is left out");
			continue;
		}
		for (size_t k = 0; k < to->rule.n; k++) {
			struct err why = {0};
			if (rule_add(&all, to->rule.v[k].host, to->rule.v[k].path, &why) < 0)
				warn(r, "lb_rule", to->rule.v[k].host, why.message);
		}
	}
	rule_write(&all, &normal);
	if (all.n)
		buf_json_member_str(fields, "lb_rule", normal.p);
	if (!*port && (some || jv_here(r->said[CONVENTION_PORTS]) || jv_here(r->said[CONVENTION_NOT_PORTS])))
		default_port(r, port);
	if (*port)
		buf_json_member_str(fields, "lb_port", port);
	buf_release(&normal);
}

static int read_one(struct reading *r, struct jv container, struct buf *fields, struct err *err)
{
	char text[POLICY_TEXT];

	r->routes = calloc(ROUTES_MAX, sizeof *r->routes);
	r->services = calloc(ROUTES_MAX, sizeof *r->services);
	if (!r->routes || !r->services) {
		free(r->routes);
		free(r->services);
		return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	r->ports = jv_get(container, "ports");
	collect(r, jv_get(container, "labels"), false);
	collect(r, jv_get(container, "variables"), true);
	qsort(r->routes, r->nroutes, sizeof *r->routes, by_key);
	if (jv_here(r->said[CONVENTION_FOREIGN])) {
		warn(r, "lb_rule", NULL, "VIRTUAL_HOST_MULTIPORTS is not read, and goes before the others");
	} else {
		for (size_t i = 0; i < r->nroutes; i++)
			read_route(r, &r->routes[i]);
		/* Traefik makes a rule of its own for a service without router; here the port alone counts. */
		if (!r->nroutes && r->nservices == 1 && r->of == CONVENTION_TRAEFIK &&
		    plain_http(r, r->services[0].said[CONVENTION_SERVICE_SCHEME], (struct jv){0})) {
			read_port(r, &r->services[0], r->services[0].said[CONVENTION_SERVICE_PORT]);
			r->routes[0] = r->services[0];
			r->routes[0].good = *r->routes[0].port;
			r->nroutes = 1;
		}
		put_routes(r, fields);
		if (text_of(r, r->said[CONVENTION_NETWORK], "lb_network", text) > 0)
			buf_json_member_str(fields, "lb_network", text);
	}
	free(r->routes);
	free(r->services);
	return 0;
}

/* ---- all ---- */

static void show(struct convention_tally *t, struct jv object, bool variables)
{
	struct jv_cursor c = jv_each(object);
	char name[CONVENTION_KEY * 3], value[POLICY_TEXT];
	struct jv_member m;

	while (jv_next(&c, &m))
		if (jv_str((struct jv){m.name.p - 1, m.name.n + 2}, name, sizeof name))
			convention_see(t, variables, name, jv_str(m.value, value, sizeof value) ? value : "(too long)");
}

static struct policy_source *add_source(struct policy_conventions *c)
{
	const size_t i = c->n++;

	c->v[i] = (struct policy_source){.kind = POLICY_FIELDS, .from = c->from[i]};
	buf_putc(&c->fields[i], '{');
	return &c->v[i];
}

static void end_source(struct policy_source *s, struct buf *fields)
{
	buf_putc(fields, '}');
	s->object = (struct jv){fields->p, fields->n};
}

/* Joins the load balancers of whose conventions it follows one. Gives these conventions. */
static unsigned join(struct policy_conventions *c, unsigned followed, const struct policy_switched *lbs, size_t nlbs)
{
	struct buf names = BUF_INIT(POLICY_TEXT), from = BUF_INIT(sizeof c->from[0] - 1);
	unsigned by = 0;

	for (size_t i = 0; i < nlbs; i++) {
		if (!(lbs[i].conventions & followed))
			continue;
		by |= lbs[i].conventions & followed;
		buf_printf(&names, "%s%s", names.n ? "," : "", lbs[i].lb);
	}
	for (unsigned k = 0; k < CONVENTIONS; k++)
		if (by & 1u << k)
			buf_printf(&from, "%s%s", from.n ? "," : "convention:", convention_names[k]);
	if (by && !names.failed && !from.failed) {
		struct policy_source *s = add_source(c);
		memcpy(c->from[0], from.p, from.n + 1);
		buf_json_member_str(&c->fields[0], "lb", names.p);
		end_source(s, &c->fields[0]);
	}
	buf_release(&names);
	buf_release(&from);
	return by;
}

int policy_conventions_read(struct policy_conventions *c, struct jv container, bool named,
                            const struct policy_switched *lbs, size_t nlbs, struct err *err)
{
	struct convention_tally tally = {0};
	unsigned on = 0, read;

	c->n = 0;
	for (size_t i = 0; i <= CONVENTIONS; i++)
		c->fields[i] = (struct buf)BUF_INIT(RULE_TEXT * 2);
	for (size_t i = 0; i < CONVENTIONS; i++)
		c->warnings[i] = (struct buf)BUF_INIT(32768);
	for (size_t i = 0; i < nlbs; i++)
		on |= lbs[i].conventions;
	if (!named && !on)
		return 0;
	show(&tally, jv_get(container, "labels"), false);
	show(&tally, jv_get(container, "variables"), true);
	/* VIRTUAL_HOST is read one way or the other, as the operator says. */
	read = named ? (ALWAYS & ~(on & 1u << CONVENTION_DOCKERCLOUD ? 1u << CONVENTION_VIRTUAL_HOST : 0u)) | on
	             : join(c, convention_followed(&tally), lbs, nlbs);
	read &= tally.said & ~tally.out;
	for (unsigned k = 0; k < CONVENTIONS; k++) {
		if (!(read & 1u << k))
			continue;
		const size_t i = c->n;
		struct policy_source *s = add_source(c);
		struct reading r = {.of = (enum convention)k, .from = c->from[i], .warnings = &c->warnings[k]};
		(void)snprintf(c->from[i], sizeof c->from[i], "convention:%s", convention_names[k]);
		buf_putc(&c->warnings[k], '[');
		if (read_one(&r, container, &c->fields[i], err) < 0)
			return -1;
		end_source(s, &c->fields[i]);
		buf_putc(&c->warnings[k], ']');
		if (buf_ok(&c->fields[i], err) < 0 || buf_ok(&c->warnings[k], err) < 0)
			return -1;
		s->warnings = (struct jv){c->warnings[k].p, c->warnings[k].n};
	}
	return 0;
}

void policy_conventions_release(struct policy_conventions *c)
{
	for (size_t i = 0; i <= CONVENTIONS; i++)
		buf_release(&c->fields[i]);
	for (size_t i = 0; i < CONVENTIONS; i++)
		buf_release(&c->warnings[i]);
}
