/* The driver for Traefik 3. Where it has a folder, servers are in files of ours there (traefik_file.c), and the API
 * says whether Traefik uses them. With `admin` alone the servers are those that Traefik's docker provider finds
 * (traefik_docker.c). */
#include "lb/traefik.h"

#include "base/clock.h"
#include "base/limits.h"
#include "lb/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define GATHER_MS 20 /* Traefik takes one change each providersThrottleDuration: what belongs together is one */
#define UNPROVEN "written; without `admin` nobody says whether Traefik uses it"

/* ---- open and close ---- */

static void traefik_close(struct lb *lb)
{
	if (!lb)
		return;
	free(lb->admin.base);
	free(lb->admin.prefix);
	traefik_totals_free(lb);
	buf_release(&lb->view.table);
	free(lb);
}

/* Entry points, comma separated, become part of a file. */
static int check_points(const struct conf_lb *conf, struct err *err)
{
	char name[LB_NAME];

	for (const char *p = conf->frontend ? conf->frontend : ""; *p; p += strspn(p, ", ")) {
		const size_t n = strcspn(p, ", ");
		(void)snprintf(name, sizeof name, "%.*s", (int)n, p);
		if (n >= sizeof name || !lb_safe_name(name))
			return err_set(err, ERR_CONFIG, "[lb \"%s\"]: `frontend` is not a list of Traefik's entry points",
			               conf->name);
		p += n;
	}
	return 0;
}

static struct lb *traefik_open(const struct conf_lb *conf, const struct lb_means *means, struct err *err)
{
	struct lb *lb = calloc(1, sizeof *lb);

	if (!lb) {
		err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	lb->conf = conf;
	lb->means = means;
	lb->folder = (struct filed_folder){
		.lb = lb, .conf = conf, .tasks = means->tasks, .kind = &traefik_kind, .gather_ms = GATHER_MS};
	int rc = traefik_folder(lb, err);
	if (rc == 0)
		rc = check_points(conf, err);
	if (rc == 0 && conf->admin && *conf->admin)
		rc = traefik_admin(lb, err);
	if (rc == 0 && !lb->folder.path && !lb->admin.base)
		rc = err_set(err, ERR_CONFIG,
		             "[lb \"%s\"] needs `folder`: the one that Traefik's file provider watches; or, when its docker "
		             "provider finds the servers, `admin` alone: the URL of its API",
		             conf->name);
	if (rc == 0)
		return lb;
	traefik_close(lb);
	return NULL;
}

/* ---- what is there ---- */

/* A backend whose name is like that of a server of another one would be taken for it. */
int traefik_check(const struct lb *lb, const char *backend, const char *server, struct err *err)
{
	if (lb_check_names(lb->conf, backend, server, err) < 0)
		return -1;
	const size_t n = strlen(backend), tail = strlen("as-0123456789ab");
	if (n > tail && backend[n - tail - 1] == '-' && lb_is_ours(backend + n - tail))
		return err_set(err, ERR_REFUSED, "lb %s: no backend may have the name %s: it is like that of a server",
		               lb->conf->name, backend);
	return 0;
}

int traefik_find(struct lb *lb, const char *backend, struct filed *f, struct traefik_look *look, struct err *err)
{
	if (lb->admin.base && traefik_look(lb, look, err) < 0) {
		*f = (struct filed){.backend = ""};
		return -1;
	}
	if (lb_filed_read(&lb->folder, backend, f, err) == 0)
		return 0;
	if (err->code != ERR_NOT_FOUND)
		return -1;
	if (lb->admin.base && !traefik_routed(look, backend, "file"))
		return err_set(err, ERR_NOT_FOUND,
		               "lb %s: backend %s: No such backend: no router of Traefik leads to it; give its containers an "
		               "autoscale.lb.rule, or add a router for the service %s",
		               lb->conf->name, backend, backend);
	return 0;
}

/* A service of that name that is not ours: ours, in a file that comes first, would take its place. One with a mark was
 * ours, and Traefik has not yet seen that its file is gone. */
static int not_theirs(struct lb *lb, const char *backend, const struct filed *f, const struct traefik_look *look,
                      struct err *err)
{
	char mark[TRAEFIK_MARK];

	if (f->there || !lb->admin.base || !jv_here(traefik_object(look->services, backend, "file")))
		return 0;
	traefik_loaded(look, backend, mark);
	if (*mark)
		return 0;
	return err_set(err, ERR_CONFLICT,
	               "lb %s: backend %s: conflict: Traefik has a service of that name from another file; name another "
	               "backend (autoscale.lb.backend), or take that service away",
	               lb->conf->name, backend);
}

/* What Traefik says of a server that the file lists: down as well when it does not use it. */
static enum lb_state state_of(struct lb *lb, const struct traefik_look *look, const struct filed *f,
                              const struct lb_server *s, bool used)
{
	char name[TRAEFIK_CHILD], url[LB_PLACE + 8];

	if (s->state == LB_DRAIN || !lb->admin.base)
		return s->state;
	traefik_child(f->backend, s->name, name);
	traefik_url(s, url, sizeof url);
	const struct jv child = traefik_object(look->services, name, "file");
	return !used || !traefik_enabled(child) || traefik_down(child, url) ? LB_DOWN : LB_UP;
}

/* Its list, as Traefik sees it; *why: what stands against the file, code 0 when nothing does. */
static int list_of(struct lb *lb, const char *backend, struct lb_list *out, struct err *why, struct err *err)
{
	struct traefik_look look = {0};
	struct filed f;
	bool used = true;

	*out = (struct lb_list){0};
	if (traefik_check(lb, backend, NULL, err) < 0)
		return -1;
	const int rc = traefik_find(lb, backend, &f, &look, err);
	if (rc == 0 && f.there && lb->admin.base) {
		const int is = traefik_used(lb, &look, &f, why);
		used = is == 0;
		if (is > 0)
			err_set(
				why, ERR_CONFLICT,
				"lb %s: backend %s: Traefik does not use its file as it is: one file that it cannot read freezes the "
				"whole folder; its log names it",
				lb->conf->name, backend);
	}
	for (size_t i = 0; rc == 0 && i < f.list.n; i++) {
		f.list.v[i].state = state_of(lb, &look, &f, &f.list.v[i], used);
		f.list.v[i].sessions = traefik_connections(lb, &f.list.v[i]);
	}
	if (rc == 0) {
		*out = f.list;
		f.list = (struct lb_list){0};
	}
	lb_filed_release(&f);
	traefik_look_release(&look);
	return rc;
}

static int traefik_list(struct lb *lb, const char *backend, struct lb_list *out, struct err *err)
{
	struct err why = {0};

	return lb->folder.path ? list_of(lb, backend, out, &why, err) : traefik_docker.list(lb, backend, out, err);
}

static int traefik_verify(struct lb *lb, const char *backend, const struct lb_list *wanted, struct err *err)
{
	struct err why = {0};
	struct lb_list listed;

	if (!lb->folder.path)
		return traefik_docker.verify(lb, backend, wanted, err);
	if (list_of(lb, backend, &listed, &why, err) < 0)
		return -1;
	int rc = 0;
	if (why.code) {
		*err = why;
		rc = -1;
	} else {
		rc = lb_compare(lb->conf, backend, wanted, &listed, err);
	}
	lb_list_release(&listed);
	return rc;
}

static int traefik_backends(struct lb *lb, struct lb_names *out, struct err *err)
{
	return lb->folder.path ? lb_filed_backends(&lb->folder, out, err) : traefik_docker.backends(lb, out, err);
}

/* ---- in and out ---- */

static int change(struct lb *lb, struct filed_change *c, struct lb_result *result, struct err *err)
{
	if (lb_filed_change(&lb->folder, c, err) < 0)
		return -1;
	result->already = c->already;
	if (!c->already && !lb->admin.base)
		(void)snprintf(result->note, sizeof result->note, UNPROVEN);
	return 0;
}

/* Is it in already, at this place, so that no gate is needed? -1: it cannot be put in. */
static int serves(struct lb *lb, const char *backend, const struct lb_server *want, struct err *err)
{
	struct traefik_look look = {0};
	struct filed f;
	int rc = traefik_find(lb, backend, &f, &look, err);

	if (rc == 0)
		rc = not_theirs(lb, backend, &f, &look, err);
	if (rc == 0) {
		const struct lb_server *is = lb_list_find(&f.list, want->name);
		rc = is && is->state == LB_UP && lb_same_place(is, want);
	}
	lb_filed_release(&f);
	traefik_look_release(&look);
	return rc;
}

/* Not healthy: an entry that it had, drained or at its old place, goes. */
static int stay_out(struct lb *lb, const char *backend, const struct lb_server *want, struct err *err)
{
	struct filed_change c = {.what = FILED_TAKE, .backend = backend, .name = want->name};
	struct err fault;

	if (lb_filed_change(&lb->folder, &c, &fault) < 0 && fault.code != ERR_NOT_FOUND)
		return err_prefix(err, "%s; and before", fault.message);
	return -1;
}

static int traefik_attach(struct lb *lb, const char *backend, const struct lb_server *server, int64_t gate_ms,
                          struct lb_result *result, struct err *err)
{
	struct lb_server want;

	if (!lb->folder.path)
		return traefik_docker.attach(lb, backend, server, gate_ms, result, err);
	*result = (struct lb_result){0};
	if (traefik_check(lb, backend, NULL, err) < 0 || lb_check_server(lb->conf, server, &want, err) < 0)
		return -1;
	if (!lb_is_ours(want.name))
		return err_set(err, ERR_REFUSED, "lb %s: server %s: its name is not as- and 12 hexadecimal digits",
		               lb->conf->name, want.name);
	want.state = LB_UP;
	want.sessions = -1;
	lb_place(&want, result->address);
	const int in = serves(lb, backend, &want, err);
	if (in < 0)
		return -1;
	if (!in && lb_probe(lb->conf, lb->means->tasks, backend, &want, gate_ms, err) < 0)
		return stay_out(lb, backend, &want, err);
	struct filed_change c = {.what = FILED_PUT, .backend = backend, .server = &want, .may_create = true};
	return change(lb, &c, result, err);
}

/* Out of what Traefik sends work to. 1: *was is the server as it was; 0: there was none. */
static int leave(struct lb *lb, enum filed_do what, const char *backend, const char *name, struct lb_server *was,
                 struct lb_result *result, struct err *err)
{
	struct filed_change c = {.what = what, .backend = backend, .name = name};
	struct traefik_look look = {0};
	struct filed f;

	*result = (struct lb_result){0};
	if (traefik_check(lb, backend, name, err) < 0)
		return -1;
	const int rc = traefik_find(lb, backend, &f, &look, err);
	const bool there = rc == 0 && f.there;
	lb_filed_release(&f);
	traefik_look_release(&look);
	if (rc < 0)
		return -1;
	result->already = !there;
	if (!there)
		return 0;
	if (change(lb, &c, result, err) < 0)
		return -1;
	*was = c.was;
	if (!*was->name)
		return 0;
	lb_place(was, result->address);
	return 1;
}

/* When the wait for it is over: one that was drained before has waited since then. */
static int64_t deadline_of(const struct lb_server *was, int64_t wait_ms)
{
	const int64_t since = traefik_drained_ms(was), now = clock_now_ms();
	const int64_t waited = since > 0 && since <= now ? now - since : 0;

	return clock_monotonic_ms() + (waited < wait_ms ? wait_ms - waited : 0);
}

static int traefik_drain(struct lb *lb, const char *backend, const char *name, int64_t wait_ms,
                         struct lb_result *result, struct err *err)
{
	struct lb_server was = {.name = ""};

	if (!lb->folder.path)
		return traefik_docker.drain(lb, backend, name, wait_ms, result, err);
	const int rc = leave(lb, FILED_DRAIN, backend, name, &was, result, err);
	if (rc > 0) {
		traefik_await_idle(lb, &was, wait_ms, deadline_of(&was, wait_ms), result);
		result->forced = false;
	}
	return rc < 0 ? -1 : 0;
}

static int traefik_detach(struct lb *lb, const char *backend, const char *name, int64_t wait_ms,
                          struct lb_result *result, struct err *err)
{
	struct lb_server was = {.name = ""};

	if (!lb->folder.path)
		return traefik_docker.detach(lb, backend, name, wait_ms, result, err);
	const int rc = leave(lb, FILED_TAKE, backend, name, &was, result, err);
	if (rc > 0)
		traefik_await_idle(lb, &was, wait_ms, deadline_of(&was, wait_ms), result);
	return rc < 0 ? -1 : 0;
}

/* ---- routes ---- */

/* What the operator has under that name: 1 when it leads to the backend, so that nothing is to be done. */
static int theirs(struct lb *lb, const char *backend, const struct filed *f, const struct traefik_look *look,
                  const struct lb_route *route, struct err *err)
{
	const struct jv router = traefik_object(look->routers, backend, "file");
	char full[LB_NAME + 8];

	if (!lb->admin.base)
		return 0;
	if (not_theirs(lb, backend, f, look, err) < 0)
		return route->rule && route->rule->n ? -1 : 1;
	if (f->rule.n || !route->rule || !route->rule->n || !jv_here(router))
		return 0;
	(void)snprintf(full, sizeof full, "%s@file", backend);
	const struct jv service = jv_get(router, "service");
	if (jv_is(service, backend) || jv_is(service, full))
		return 1;
	return err_set(err, ERR_CONFLICT,
	               "lb %s: backend %s: conflict: Traefik has a router of that name from another file, which leads to "
	               "another service",
	               lb->conf->name, backend);
}

static int traefik_ensure(struct lb *lb, const char *backend, const struct lb_route *route, struct lb_result *result,
                          struct err *err)
{
	struct filed_change c = {
		.what = route ? FILED_ENSURE : FILED_FORGET, .backend = backend, .route = route, .may_create = true};
	struct traefik_look look = {0};
	struct lb_route plain;
	struct filed f;
	int rc = 0;

	if (!lb->folder.path)
		return traefik_docker.ensure(lb, backend, route, result, err);
	*result = (struct lb_result){0};
	if (traefik_check(lb, backend, NULL, err) < 0)
		return -1;
	if (route) {
		if (lb->admin.base && traefik_look(lb, &look, err) < 0)
			return -1;
		rc = lb_filed_read(&lb->folder, backend, &f, err);
		if (rc < 0 && err->code == ERR_NOT_FOUND)
			rc = 0;
		if (rc == 0)
			rc = theirs(lb, backend, &f, &look, route, err);
		const bool services = rc > 0 && !f.there && jv_here(traefik_object(look.services, backend, "file"));
		lb_filed_release(&f);
		traefik_look_release(&look);
		if (rc < 0)
			return -1;
		if (services) {
			result->already = true;
			return 0;
		}
		plain = *route;
		if (rc > 0) /* their router stays; the backend is still made */
			plain.rule = NULL;
		c.route = &plain;
	}
	return change(lb, &c, result, err);
}

static int traefik_agree(struct lb *lb, const char *backend, struct err *err)
{
	return lb->folder.path ? lb_filed_agree(&lb->folder, backend, err) : 0;
}

const struct lb_driver lb_traefik = {
	.name = "traefik",
	.open = traefik_open,
	.close = traefik_close,
	.list = traefik_list,
	.backends = traefik_backends,
	.attach = traefik_attach,
	.drain = traefik_drain,
	.detach = traefik_detach,
	.stats = traefik_load,
	.look = traefik_load_of_all,
	.verify = traefik_verify,
	.ensure = traefik_ensure,
	.agree = traefik_agree,
	.check = traefik_check_all,
};
