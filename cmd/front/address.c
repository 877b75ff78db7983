/* Where a load balancer reaches a container. An engine behind a socket of this machine: at the container's own address;
 * any other: at the published port, at the address that the operator gave the host. lb_network names a network that the
 * load balancer shares with the containers, on whatever host. */
#include "cmd/front/address.h"

#include "cmd/front/steps.h"
#include "engine/engine.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* The lowest TCP port that the container exposes; 0: none. */
static int64_t exposed_port(struct jv container)
{
	struct jv_cursor c = jv_each(jv_get(container, "ports"));
	struct jv_member m;
	int64_t best = 0;

	while (jv_next(&c, &m)) {
		const int64_t port = jv_int_or(jv_get(m.value, "port"), 0);
		if (jv_is(jv_get(m.value, "protocol"), "tcp") && port > 0 && (!best || port < best))
			best = port;
	}
	return best;
}

/* The names of an object's members, as many as fit: "back, front". */
static void member_names(struct jv object, char *out, size_t size)
{
	struct jv_cursor c = jv_each(object);
	struct jv_member m;
	size_t n = 0;

	out[0] = '\0';
	while (jv_next(&c, &m) && n < size)
		n += (size_t)snprintf(out + n, size - n, "%s%.*s", n ? ", " : "", (int)(m.name.n < 64 ? m.name.n : 64),
		                      m.name.p);
}

/* In the host's own network. */
static int host_network(const struct conf_host *h, bool local, char out[64], struct err *err)
{
	if (!local && !h->address)
		return err_set(err, ERR_CONFIG,
		               "it is in the network of host %s: give [host \"%s\"] its `address`, by which it is reached",
		               h->name, h->name);
	(void)snprintf(out, 64, "%s", h && h->address ? h->address : "127.0.0.1");
	return 0;
}

/* At an address of its own. */
static int own_address(const struct entry_policy *p, struct jv container, char out[64], struct err *err)
{
	const struct jv addresses = jv_get(container, "addresses");
	struct jv_cursor c = jv_each(addresses);
	struct jv_member m;
	char names[300];

	if (*p->network) {
		steps_text(addresses, p->network, out, 64);
		return *out ? 0 : err_set(err, ERR_REFUSED, "it is not on network %s (autoscale.lb.network)", p->network);
	}
	const size_t n = jv_count(addresses);
	if (n == 1 && jv_next(&c, &m) && jv_str(m.value, out, 64) && *out)
		return 0;
	if (n < 2)
		return err_set(err, ERR_REFUSED, "it has no address in any network");
	member_names(addresses, names, sizeof names);
	return err_set(err, ERR_REFUSED, "it is on %zu networks: name one with autoscale.lb.network: %s", n, names);
}

static bool is_any(const char *ip) { return !*ip || strcmp(ip, "0.0.0.0") == 0 || strcmp(ip, "::") == 0; }

static bool is_loopback(const char *ip) { return strncmp(ip, "127.", 4) == 0 || strcmp(ip, "::1") == 0; }

/* At a port that its host publishes for it; *port becomes that one. One that is published on all addresses is preferred
 * to one that is published on a single one. */
static int published_port(const struct conf_host *h, struct jv container, unsigned *port, char out[64], struct err *err)
{
	struct jv_cursor c = jv_each(jv_get(container, "ports"));
	struct jv_member m;
	unsigned any = 0, one = 0;
	bool loopback = false;
	char ip[64];

	while (jv_next(&c, &m)) {
		const int64_t published = jv_int_or(jv_get(m.value, "published"), 0);
		if (jv_int_or(jv_get(m.value, "port"), 0) != *port || !jv_is(jv_get(m.value, "protocol"), "tcp") ||
		    published < 1 || published > 65535)
			continue;
		steps_text(m.value, "ip", ip, sizeof ip);
		if (is_any(ip)) {
			any = any ? any : (unsigned)published;
		} else if (is_loopback(ip)) {
			loopback = true;
		} else if (!one) {
			one = (unsigned)published;
			(void)snprintf(out, 64, "%s", ip);
		}
	}
	if (!any && !one)
		return err_set(err, ERR_REFUSED,
		               loopback ? "port %u is published on 127.0.0.1 of host %s alone, which nobody else reaches"
		                        : "port %u is not published, and host %s is another machine: publish it, or name a "
		                          "network that the load balancer shares with autoscale.lb.network",
		               *port, h->name);
	if (any && !h->address)
		return err_set(err, ERR_CONFIG,
		               "port %u is published on host %s: give [host \"%s\"] its `address`, by which it is reached",
		               *port, h->name, h->name);
	*port = any ? any : one;
	if (any)
		(void)snprintf(out, 64, "%s", h->address);
	return 0;
}

int neighbours_init(struct neighbours *n, const struct conf *conf, struct err *err)
{
	*n = (struct neighbours){.conf = conf, .v = calloc(conf->nhosts + 1, sizeof *n->v)};
	return n->v ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
}

void neighbours_release(struct neighbours *n)
{
	free(n->v);
	n->v = NULL;
}

static bool is_local(struct neighbours *n, const struct conf_host *h)
{
	const size_t i = h ? (size_t)(h - n->conf->hosts) : 0;

	if (!h) /* a record of another configuration */
		return true;
	if (n->v[i] == NOT_ASKED)
		n->v[i] = engine_is_local(h) ? LOCAL : REMOTE;
	return n->v[i] == LOCAL;
}

static int find_place(struct neighbours *n, const struct entry_policy *p, struct jv container, unsigned *port,
                      char out[64], struct err *err)
{
	const struct jv mode = jv_get(container, "network_mode");
	char host[SERVICE_NAME_MAX + 1];

	steps_text(container, "host", host, sizeof host);
	const struct conf_host *h = conf_host(n->conf, host);
	const bool local = is_local(n, h);
	if (jv_is(mode, "host") || (jv_is_null(mode) && !*p->network && !jv_count(jv_get(container, "addresses"))))
		return host_network(h, local, out, err);
	return local || *p->network ? own_address(p, container, out, err) : published_port(h, container, port, out, err);
}

/* The path of `http:PORT/PATH`, when that is the port that is balanced. */
static void check_of(const char *ready, unsigned port, char out[LB_CHECK])
{
	char digits[8];
	unsigned asked;

	if (strncmp(ready, "http:", 5) != 0)
		return;
	const char *rest = ready + 5;
	const size_t n = strspn(rest, "0123456789");
	if (!n || n >= sizeof digits)
		return;
	(void)snprintf(digits, sizeof digits, "%.*s", (int)n, rest);
	if (!lb_safe_port(digits, &asked) || asked != port)
		return;
	const char *path = rest[n] ? rest + n : "/";
	if (lb_safe_check(path))
		(void)snprintf(out, LB_CHECK, "%s", path);
}

void entry_policy_read(struct entry_policy *p, struct jv policy)
{
	steps_text(policy, "lb_network", p->network, sizeof p->network);
	steps_text(policy, "ready", p->ready, sizeof p->ready);
	p->port = jv_int_or(jv_get(policy, "lb_port"), 0);
	p->weight = jv_int_or(jv_get(policy, "lb_weight"), 100);
}

int server_of(struct neighbours *n, const struct entry_policy *p, struct jv container, struct lb_server *s,
              struct err *err)
{
	char id[128], name[256], address[64];
	const int64_t port = p->port ? p->port : exposed_port(container);

	steps_text(container, "id", id, sizeof id);
	steps_text(container, "name", name, sizeof name);
	*s = (struct lb_server){.port = (unsigned)port, .weight = (unsigned)p->weight, .sessions = -1};
	if (!lb_server_name(id, s->name))
		return err_set(err, ERR_INPUT, "%s has no usable id", name);
	if (port < 1 || port > 65535)
		return err_set(err, ERR_REFUSED, "%s exposes no TCP port: set autoscale.lb.port", name);
	check_of(p->ready, s->port, s->check);
	if (find_place(n, p, container, &s->port, address, err) < 0)
		return err_prefix(err, "%s", name);
	if (!lb_safe_address(address, s->address))
		return err_set(err, ERR_REFUSED, "%s has no IP address but \"%s\"", name, address);
	return 0;
}
