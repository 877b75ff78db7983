/* What the values of one route mean. What cannot be used is left out with a warning. */
#include "policy/conventions.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define WARNINGS_MAX 16

void convention_warn(struct reading *r, const char *field, const char *text, const char *why)
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

/* ---- values ---- */

int convention_text(struct reading *r, struct jv value, const char *field, char out[POLICY_TEXT])
{
	out[0] = '\0';
	if (!jv_here(value))
		return 0;
	if (jv_str(value, out, POLICY_TEXT))
		return *out != '\0';
	out[0] = '\0';
	convention_warn(r, field, NULL, "a value of another type or too long");
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
		convention_warn(r, "lb_rule", text,
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
	const int has_names = convention_text(r, to->said[CONVENTION_NAMES], "lb_rule", names),
			  has_paths = convention_text(r, to->said[CONVENTION_PATHS], "lb_rule", paths);

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
			convention_warn(r, "lb_rule", whole, "only http, https, and the ports 80 and 443, are read");
			return;
		}
		path += 1 + digits;
	}
	if (n >= sizeof name || (*path && *path != '/')) {
		convention_warn(r, "lb_rule", whole, "is not [SCHEME://]NAME[:PORT][/PATH]");
		return;
	}
	memcpy(name, p, n);
	name[n] = '\0';
	end = path + strlen(path);
	if (end - path >= 2 && strcmp(end - 2, "/*") == 0)
		end[-1] = '\0';
	if (*path && *to->path) {
		convention_warn(r, "lb_rule", whole, "a path here and one before the upstreams");
		return;
	}
	path = *path ? path : to->path;
	const bool any = !*name || strcmp(name, "*") == 0;
	add_way(r, to, any ? "" : name, any && !*path ? "/" : path, whole);
}

static void add_urls(struct reading *r, struct route *to)
{
	char urls[POLICY_TEXT], *rest = urls, *url;

	if (convention_text(r, to->said[CONVENTION_URLS], "lb_rule", urls) <= 0)
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

	if (convention_text(r, to->said[CONVENTION_RULE], "lb_rule", text) > 0 && rule_parse(text, &to->rule, &why) < 0) {
		convention_warn(r, "lb_rule", text, why.message);
		to->rule.n = 0;
	}
}

/* ---- one route ---- */

/* [PATH] {{upstreams [http] [PORT]}}; false: it is something else. */
static bool read_proxy(struct reading *r, struct route *to)
{
	char text[POLICY_TEXT], *p = text, *end, *word;

	if (convention_text(r, to->said[CONVENTION_PROXY], "lb_port", text) <= 0)
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
	convention_warn(r, "lb_port", whole, "is not [/PATH/*] {{upstreams [http] [PORT]}}");
	return false;
}

static bool plain_http(struct reading *r, struct jv scheme, struct jv listener)
{
	char text[POLICY_TEXT];
	const int has = convention_text(r, scheme, "lb_port", text);

	if (has < 0)
		return false;
	if (has && strcmp(text, "http") != 0) {
		convention_warn(r, "lb_port", text, "only http is spoken to a container: this is left out");
		return false;
	}
	const int listens = convention_text(r, listener, "lb_rule", text);
	if (listens < 0)
		return false;
	if (listens && strcmp(text, "80") != 0 && strcmp(text, "443") != 0) {
		convention_warn(r, "lb_rule", text, "only what listens on port 80 or 443 is read: this is left out");
		return false;
	}
	return true;
}

static void read_port(struct reading *r, struct route *to, struct jv value)
{
	struct buf json = BUF_INIT(16);
	char text[POLICY_TEXT];
	const struct policy_field *f = policy_field("lb_port");

	if (convention_text(r, value, f->name, text) > 0) {
		if (f->parse(text, &json))
			memcpy(to->port, text, strlen(text) + 1);
		else
			convention_warn(r, f->name, text, "is not a port from 1 to 65535");
	}
	buf_release(&json);
}

/* A router leads to the service that it names, or to the only one. */
static bool read_service(struct reading *r, struct route *to)
{
	char name[POLICY_TEXT];
	const struct route *service = NULL;

	if (convention_text(r, to->said[CONVENTION_SERVICE], "lb_rule", name) < 0)
		return false;
	if (!r->nservices && !strchr(name, '@'))
		return true;
	if (strlen(name) > 7 && strcmp(name + strlen(name) - 7, "@docker") == 0)
		name[strlen(name) - 7] = '\0';
	for (size_t i = 0; i < r->nservices; i++)
		if (*name ? strcmp(r->services[i].key, name) == 0 : r->nservices == 1)
			service = &r->services[i];
	if (!service) {
		convention_warn(r, "lb_rule", *name ? name : to->key, "leads to no service of this container: it is left out");
		return false;
	}
	if (!plain_http(r, service->said[CONVENTION_SERVICE_SCHEME], (struct jv){0}))
		return false;
	read_port(r, to, service->said[CONVENTION_SERVICE_PORT]);
	return true;
}

void convention_route(struct reading *r, struct route *to)
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

void convention_default_port(struct reading *r, char port[8])
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
	if (convention_text(r, r->said[CONVENTION_NOT_PORTS], "lb_port", without) < 0)
		return;
	if (convention_text(r, r->said[CONVENTION_PORTS], "lb_port", given) <= 0) {
		n = exposed(r, without, port);
	} else {
		do {
			if (!(item = next_item(&rest, ',')) || listed(without, item))
				continue;
			struct buf json = BUF_INIT(16);
			if (!policy_field("lb_port")->parse(item, &json))
				convention_warn(r, "lb_port", item, "is not a port from 1 to 65535");
			else if (!n++)
				memcpy(port, item, strlen(item) + 1);
			buf_release(&json);
		} while (*rest);
	}
	if (n > 1)
		convention_warn(r, "lb_port", port, "of several ports only this one is read");
}

/* Traefik makes a rule of its own; here the port alone counts. */
void convention_bare_service(struct reading *r, struct route *service)
{
	if (!plain_http(r, service->said[CONVENTION_SERVICE_SCHEME], (struct jv){0}))
		return;
	read_port(r, service, service->said[CONVENTION_SERVICE_PORT]);
	service->good = *service->port;
}
