/* A load balancer: what its driver needs, and the clock of who answers at its admin address. */
#include "base/http.h"
#include "base/limits.h"
#include "cmd/as-doctor/doctor.h"
#include "cmd/front/means.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* A path that the balancer answers itself, so that no application is asked. */
static const char *own_path(const char *driver)
{
	return strcmp(driver, "nginx") == 0 ? "/as-gen" : strcmp(driver, "traefik") == 0 ? "/api/version" : "/ready";
}

/* Whether it answers at all, its driver says. */
static void check_clock(const struct conf_lb *c, const struct findings *to)
{
	const size_t scheme = c->admin && strncmp(c->admin, "http://", 7) == 0 ? 7 : 8;
	struct buf reply = BUF_INIT(HTTP_BODY_MAX);
	char base[300], name[SUBJECT_NAME];
	struct err ignored;
	long status;

	if (!c->admin || strcmp(c->driver, "haproxy") == 0 || (scheme == 8 && strncmp(c->admin, "https://", 8) != 0))
		return;
	(void)snprintf(base, sizeof base, "%.*s", (int)(scheme + strcspn(c->admin + scheme, "/")), c->admin);
	(void)snprintf(name, sizeof name, "lb %s", c->name);
	struct http *h = http_new(&(struct http_target){.base = base, .name = name, .header = "Date"}, &ignored);
	if (h && http_call(h, "GET", own_path(c->driver), NULL, 0, NULL, 0, &reply, &status, &ignored) == 0)
		check_date(to, http_header(h), SET_CLOCKS);
	http_free(h);
	buf_release(&reply);
}

void check_balancer(const struct doctor *d, size_t i, const struct findings *to)
{
	const struct conf_lb *c = &d->f.conf.lbs[i];
	struct engine_hosts hosts;
	struct lb_means means;
	struct err err = {0};
	struct lb *lb = NULL;

	const struct lb_driver *driver = lb_driver(c, &err);
	if (!driver || engine_hosts_init(&hosts, &d->f.conf, &err) < 0) {
		finding_failed(to, "configuration", &err, "correct [lb \"%s\"]: autoscale.conf(5) has whole examples", c->name);
		return;
	}
	front_means(&means, &hosts);
	lb = driver->open(c, &means, &err);
	if (lb) {
		driver->check(lb, to);
		check_clock(c, to);
	} else {
		finding_failed(to, "configuration", &err, "correct [lb \"%s\"]: autoscale.conf(5) has whole examples", c->name);
	}
	driver->close(lb);
	engine_hosts_release(&hosts);
}
