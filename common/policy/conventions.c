/* Conventions: what the labels and variables of other tools say, as fields of a policy. base/convention.c has the table
 * of what there is and of what kind each value is; here is what becomes of them. Values that share a key are a
 * route: names, paths, a port. All routes of one container lead to one port, for a backend has one.
 *
 * They are tenants' words: what is not understood is a warning, and never makes a rule wider than what was written. */
#include "policy/conventions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define ALWAYS (1u << CONVENTION_VIRTUAL_HOST | 1u << CONVENTION_TRAEFIK | 1u << CONVENTION_DF)

/* ---- which labels and variables there are ---- */

static struct route *route_of(struct reading *r, bool service, const char *key)
{
	struct route *v = service ? r->services : r->routes;
	size_t *n = service ? &r->nservices : &r->nroutes, i = 0;

	while (i < *n && strcmp(v[i].key, key) != 0)
		i++;
	if (i == ROUTES_MAX) {
		convention_warn(r, "lb_rule", NULL, "more than 16 routes: the others are left out");
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
			convention_warn(r, "lb_port", to->port, "another port than that of the first route: this one is left out");
			continue;
		}
		for (size_t k = 0; k < to->rule.n; k++) {
			struct err why = {0};
			if (rule_add(&all, to->rule.v[k].host, to->rule.v[k].path, &why) < 0)
				convention_warn(r, "lb_rule", to->rule.v[k].host, why.message);
		}
	}
	rule_write(&all, &normal);
	if (all.n)
		buf_json_member_str(fields, "lb_rule", normal.p);
	if (!*port && (some || jv_here(r->said[CONVENTION_PORTS]) || jv_here(r->said[CONVENTION_NOT_PORTS])))
		convention_default_port(r, port);
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
		convention_warn(r, "lb_rule", NULL, "VIRTUAL_HOST_MULTIPORTS is not read, and goes before the others");
	} else {
		for (size_t i = 0; i < r->nroutes; i++)
			convention_route(r, &r->routes[i]);
		if (!r->nroutes && r->nservices == 1) {
			convention_bare_service(r, &r->services[0]);
			r->routes[r->nroutes++] = r->services[0];
		}
		put_routes(r, fields);
		if (convention_text(r, r->said[CONVENTION_NETWORK], "lb_network", text) > 0)
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
