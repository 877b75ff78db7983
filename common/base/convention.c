#include "base/convention.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/banned.h"

const char *const convention_names[CONVENTIONS] = {"virtual_host", "traefik",     "df",
                                                   "dockercloud",  "easyhaproxy", "caddy"};

#define LABEL(of, kind, name)                                  \
	{                                                          \
		CONVENTION_##of, false, false, CONVENTION_##kind, name \
	}
#define JOINS(of, kind, name)                                 \
	{                                                         \
		CONVENTION_##of, false, true, CONVENTION_##kind, name \
	}
#define VARIABLE(of, joins, kind, name)                       \
	{                                                         \
		CONVENTION_##of, true, joins, CONVENTION_##kind, name \
	}

/* Sources: https://github.com/nginx-proxy/nginx-proxy/tree/main/docs,
 * https://doc.traefik.io/traefik/reference/routing-configuration/other-providers/docker/,
 * https://docker-flow.github.io/docker-flow-proxy/usage.html,
 * https://github.com/docker-archive/dockercloud-haproxy,
 * https://github.com/byjg/docker-easy-haproxy, https://github.com/lucaslorentz/caddy-docker-proxy. */
const struct convention_row convention_rows[] = {
	VARIABLE(VIRTUAL_HOST, true, NAMES, "VIRTUAL_HOST"),
	VARIABLE(VIRTUAL_HOST, false, PATHS, "VIRTUAL_PATH"),
	VARIABLE(VIRTUAL_HOST, false, PORT, "VIRTUAL_PORT"),
	VARIABLE(VIRTUAL_HOST, false, SCHEME, "VIRTUAL_PROTO"),
	VARIABLE(VIRTUAL_HOST, false, FOREIGN, "VIRTUAL_HOST_MULTIPORTS"),

	LABEL(TRAEFIK, ON, "traefik.enable"),
	JOINS(TRAEFIK, RULE, "traefik.http.routers.*.rule"),
	LABEL(TRAEFIK, SERVICE, "traefik.http.routers.*.service"),
	JOINS(TRAEFIK, SERVICE_PORT, "traefik.http.services.*.loadbalancer.server.port"),
	LABEL(TRAEFIK, SERVICE_SCHEME, "traefik.http.services.*.loadbalancer.server.scheme"),
	LABEL(TRAEFIK, NETWORK, "traefik.docker.network"),

	LABEL(DF, ON, "com.df.notify"),
	LABEL(DF, NAMES, "com.df.serviceDomain"),
	LABEL(DF, NAMES, "com.df.serviceDomain.#"),
	LABEL(DF, PATHS, "com.df.servicePath"),
	LABEL(DF, PATHS, "com.df.servicePath.#"),
	LABEL(DF, PORT, "com.df.port"),
	LABEL(DF, PORT, "com.df.port.#"),
	LABEL(DF, SCHEME, "com.df.reqMode"),
	LABEL(DF, SCHEME, "com.df.reqMode.#"),

	LABEL(DOCKERCLOUD, OFF, "com.docker.dockercloud.haproxy.deactivate"),
	VARIABLE(DOCKERCLOUD, true, URLS, "VIRTUAL_HOST"),
	VARIABLE(DOCKERCLOUD, false, PORTS, "SERVICE_PORTS"),
	VARIABLE(DOCKERCLOUD, false, NOT_PORTS, "EXCLUDE_PORTS"),

	JOINS(EASYHAPROXY, NAMES, "easyhaproxy.*.host"),
	LABEL(EASYHAPROXY, PORT, "easyhaproxy.*.localport"),
	LABEL(EASYHAPROXY, LISTENER, "easyhaproxy.*.port"),
	LABEL(EASYHAPROXY, SCHEME, "easyhaproxy.*.mode"),

	JOINS(CADDY, URLS, "caddy"),
	JOINS(CADDY, URLS, "caddy_#"),
	LABEL(CADDY, PROXY, "caddy.reverse_proxy"),
	LABEL(CADDY, PROXY, "caddy_#.reverse_proxy"),
	LABEL(CADDY, NETWORK, "caddy_ingress_network"),
};
const size_t convention_rows_count = sizeof convention_rows / sizeof *convention_rows;

bool convention_set(const char *words, unsigned *set, char *bad, size_t size)
{
	*set = 0;
	for (const char *p = words;; p++) {
		p += strspn(p, " \t");
		const size_t n = strcspn(p, ", \t");
		int i = 0;
		while (i < CONVENTIONS && (strlen(convention_names[i]) != n || strncmp(convention_names[i], p, n) != 0))
			i++;
		const char *after = p + n + strspn(p + n, " \t");
		if (i == CONVENTIONS || (*after && *after != ',')) {
			(void)snprintf(bad, size, "%.*s", (int)strcspn(p, ","), p);
			return false;
		}
		*set |= 1u << i;
		p = after;
		if (!*p)
			return true;
	}
}

bool convention_fits(const struct convention_row *row, const char *name, char key[CONVENTION_KEY])
{
	const size_t head = strcspn(row->name, "*#");
	const char *rest = row->name + head;

	key[0] = '\0';
	if (strncasecmp(row->name, name, head) != 0)
		return false;
	if (!*rest)
		return !name[head];
	const size_t n = *rest == '#' ? strspn(name + head, "0123456789") : strcspn(name + head, ".");
	if (!n || n >= CONVENTION_KEY || strcasecmp(rest + 1, name + head + n) != 0)
		return false;
	memcpy(key, name + head, n);
	key[n] = '\0';
	return true;
}

bool convention_has(bool variable, const char *name)
{
	char key[CONVENTION_KEY];

	for (size_t i = 0; i < convention_rows_count; i++)
		if (convention_rows[i].variable == variable && convention_fits(&convention_rows[i], name, key))
			return true;
	return false;
}

/* As Go's strconv.ParseBool, which most of these tools use. */
static bool is_word(const char *value, const char *letter, const char *word, const char *digit)
{
	return strcasecmp(value, letter) == 0 || strcasecmp(value, word) == 0 || strcmp(value, digit) == 0;
}

void convention_see(struct convention_tally *t, bool variable, const char *name, const char *value)
{
	char key[CONVENTION_KEY];

	for (size_t i = 0; i < convention_rows_count; i++) {
		const struct convention_row *row = &convention_rows[i];
		const unsigned bit = 1u << row->convention;
		if (row->variable != variable || !convention_fits(row, name, key))
			continue;
		t->said |= bit;
		if (!row->joins && row->kind != CONVENTION_ON && row->kind != CONVENTION_OFF)
			continue;
		const bool yes = is_word(value, "t", "true", "1"), no = is_word(value, "f", "false", "0");
		if (row->joins ? *value != '\0' : row->kind == CONVENTION_ON && yes)
			t->in |= bit;
		if (!row->joins && (row->kind == CONVENTION_ON ? no : yes))
			t->out |= bit;
	}
}

unsigned convention_followed(const struct convention_tally *t) { return t->in & ~t->out; }
