#include "lb/lb.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define OURS_PREFIX "as-"
#define OURS_DIGITS 12
#define CONTAINER_ID_DIGITS 64

static const struct lb_driver *const drivers[] = {&lb_haproxy, &lb_nginx, &lb_traefik, &lb_envoy};

const struct lb_driver *lb_driver(const struct conf_lb *conf, struct err *err)
{
	if (!conf->driver) {
		err_set(err, ERR_CONFIG, "[lb \"%s\"] has no driver; say `driver = haproxy`, nginx, traefik or envoy",
		        conf->name);
		return NULL;
	}
	for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
		if (strcmp(drivers[i]->name, conf->driver) == 0)
			return drivers[i];
	err_set(err, ERR_CONFIG, "[lb \"%s\"]: unknown driver \"%s\"; there are haproxy, nginx, traefik and envoy",
	        conf->name, conf->driver);
	return NULL;
}

int lb_open(const struct conf_lb *conf, const struct lb_means *means, const struct lb_driver **driver, struct lb **lb,
            struct err *err)
{
	if (!*lb && (*driver = lb_driver(conf, err)))
		*lb = (*driver)->open(conf, means, err);
	return *lb ? 0 : -1;
}

void lb_list_release(struct lb_list *list)
{
	free(list->v);
	list->v = NULL;
	list->n = 0;
}

const struct lb_server *lb_list_find(const struct lb_list *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i].name, name) == 0)
			return &list->v[i];
	return NULL;
}

const char *lb_state_name(enum lb_state state)
{
	static const char *const names[] = {[LB_UP] = "up", [LB_DOWN] = "down", [LB_DRAIN] = "drain", [LB_MAINT] = "maint"};

	return names[state];
}

void lb_names_release(struct lb_names *names)
{
	free(names->v);
	names->v = NULL;
	names->n = 0;
}

int lb_names_add(struct lb_names *names, const char *name, struct err *err)
{
	size_t at = 0;

	while (at < names->n && strcmp(names->v[at], name) < 0)
		at++;
	if (at < names->n && strcmp(names->v[at], name) == 0)
		return 0;
	char(*more)[LB_NAME] = realloc(names->v, (names->n + 1) * sizeof *more);
	if (!more)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	names->v = more;
	memmove(more[at + 1], more[at], (names->n - at) * sizeof *more);
	(void)snprintf(more[at], sizeof more[at], "%s", name);
	names->n++;
	return 0;
}

static int64_t since(int64_t before, int64_t after) { return before < 0 || after < before ? -1 : after - before; }

struct lb_rates lb_rates(const struct lb_stats *before, const struct lb_stats *after)
{
	const int64_t ms = after->at_ms - before->at_ms;
	const int64_t errors = since(before->errors, after->errors), time_us = since(before->time_us, after->time_us);
	struct lb_rates r = {since(before->requests, after->requests), -1, -1, -1};

	if (ms > 0 && r.requests >= 0)
		r.request_rate_milli = r.requests * 1000000 / ms;
	if (ms > 0 && errors >= 0)
		r.error_rate_milli = errors * 1000000 / ms;
	if (r.requests > 0)
		r.response_us = time_us >= 0 ? time_us / r.requests : after->average_us;
	return r;
}

/* Without the locale, which isalnum() would ask. */
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool lb_safe_name(const char *s)
{
	size_t n = 0;

	if (!s || (!is_letter(*s) && !is_digit(*s)))
		return false;
	for (; s[n]; n++)
		if (n == LB_NAME - 1 || (!is_letter(s[n]) && !is_digit(s[n]) && !strchr("_.-", s[n])))
			return false;
	return true;
}

bool lb_safe_address(const char *in, char out[LB_ADDRESS])
{
	struct in_addr v4;
	struct in6_addr v6;

	if (!in)
		return false;
	if (inet_pton(AF_INET, in, &v4) == 1)
		return v4.s_addr != htonl(INADDR_ANY) && inet_ntop(AF_INET, &v4, out, LB_ADDRESS);
	if (inet_pton(AF_INET6, in, &v6) != 1)
		return false;
	if (IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_V4COMPAT(&v6))
		return false;
	return inet_ntop(AF_INET6, &v6, out, LB_ADDRESS) != NULL;
}

bool lb_safe_port(const char *s, unsigned *port)
{
	unsigned value = 0;

	if (!s || !is_digit(*s) || *s == '0')
		return false;
	for (; *s; s++) {
		if (!is_digit(*s))
			return false;
		value = value * 10 + (unsigned)(*s - '0');
		if (value > 65535)
			return false;
	}
	*port = value;
	return true;
}

/* The value of a hexadecimal digit as a lower case digit, or NUL. */
static char hex_digit(char c)
{
	if (is_digit(c) || (c >= 'a' && c <= 'f'))
		return c;
	return c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : '\0';
}

bool lb_server_name(const char *container_id, char out[LB_NAME])
{
	const size_t prefix = strlen(OURS_PREFIX);

	if (!container_id || strlen(container_id) != CONTAINER_ID_DIGITS)
		return false;
	for (size_t i = 0; i < CONTAINER_ID_DIGITS; i++)
		if (!hex_digit(container_id[i]))
			return false;
	memcpy(out, OURS_PREFIX, prefix);
	for (size_t i = 0; i < OURS_DIGITS; i++)
		out[prefix + i] = hex_digit(container_id[i]);
	out[prefix + OURS_DIGITS] = '\0';
	return true;
}

bool lb_is_ours(const char *name)
{
	const size_t prefix = strlen(OURS_PREFIX);

	if (strncmp(name, OURS_PREFIX, prefix) != 0 || strlen(name) != prefix + OURS_DIGITS)
		return false;
	for (const char *c = name + prefix; *c; c++)
		if (hex_digit(*c) != *c)
			return false;
	return true;
}

bool lb_safe_check(const char *s)
{
	size_t n = 0;

	if (*s && *s != '/')
		return false;
	for (; s[n]; n++)
		if (n == LB_CHECK - 1 || (!is_letter(s[n]) && !is_digit(s[n]) && !strchr("/._~-", s[n])))
			return false;
	return true;
}

int lb_check_names(const struct conf_lb *conf, const char *backend, const char *server, struct err *err)
{
	const char *bad = !lb_safe_name(backend) ? "backend" : server && !lb_safe_name(server) ? "server" : NULL;

	if (!bad)
		return 0;
	return err_set(err, ERR_REFUSED,
	               "lb %s: bad %s name: at most 63 letters, digits, `_`, `.` and `-`, the first a letter or digit",
	               conf->name, bad);
}

void lb_place(const struct lb_server *s, char out[LB_PLACE])
{
	(void)snprintf(out, LB_PLACE, strchr(s->address, ':') ? "[%s]:%u" : "%s:%u", s->address, s->port & 0xffff);
}

bool lb_same_place(const struct lb_server *a, const struct lb_server *b)
{
	return a->port == b->port && strcmp(a->address, b->address) == 0;
}

int lb_check_server(const struct conf_lb *conf, const struct lb_server *in, struct lb_server *out, struct err *err)
{
	const char *lb = conf->name;

	if (!lb_safe_name(in->name))
		return err_set(err, ERR_REFUSED,
		               "lb %s: bad server name: at most 63 letters, digits, `_`, `.` and `-`, the first a "
		               "letter or digit",
		               lb);
	*out = *in;
	if (!lb_safe_address(in->address, out->address))
		return err_set(err, ERR_REFUSED, "lb %s: server %s: its address is no IPv4 or IPv6 address of a server", lb,
		               in->name);
	if (in->port < 1 || in->port > 65535)
		return err_set(err, ERR_REFUSED, "lb %s: server %s: port %u is not in 1 to 65535", lb, in->name, in->port);
	if (in->weight > LB_WEIGHT_MAX)
		return err_set(err, ERR_REFUSED, "lb %s: server %s: weight %u is not in 0 to %d", lb, in->name, in->weight,
		               LB_WEIGHT_MAX);
	if (!lb_safe_check(in->check))
		return err_set(err, ERR_REFUSED, "lb %s: server %s: its check is no plain path", lb, in->name);
	return 0;
}

int lb_compare(const struct conf_lb *conf, const char *backend, const struct lb_list *wanted,
               const struct lb_list *listed, struct err *err)
{
	const struct lb_server *missing = NULL, *down = NULL;
	char at[LB_PLACE], there[LB_PLACE];
	struct lb_server want;

	for (size_t i = 0; i < listed->n; i++) {
		const struct lb_server *is = &listed->v[i];
		if (!is->ours || lb_list_find(wanted, is->name))
			continue;
		lb_place(is, there);
		return err_set(err, ERR_CONFLICT, "lb %s: backend %s: %s is stale: no such container, but %s is listed",
		               conf->name, backend, is->name, there);
	}
	for (size_t i = 0; i < wanted->n; i++) {
		const struct lb_server *is = lb_list_find(listed, wanted->v[i].name);
		if (lb_check_server(conf, &wanted->v[i], &want, err) < 0)
			return -1;
		if (!is) {
			missing = &wanted->v[i];
		} else if (!lb_same_place(&want, is)) {
			lb_place(&want, at);
			lb_place(is, there);
			return err_set(err, ERR_CONFLICT, "lb %s: backend %s: %s moved: it is at %s, but %s is listed", conf->name,
			               backend, want.name, at, there);
		} else if (is->state != LB_UP) {
			down = is;
		}
	}
	if (missing)
		return err_set(err, ERR_CONFLICT, "lb %s: backend %s: %s is missing", conf->name, backend, missing->name);
	if (down)
		return err_set(err, ERR_CONFLICT, "lb %s: backend %s: %s is listed, but %s", conf->name, backend, down->name,
		               lb_state_name(down->state));
	return 0;
}
