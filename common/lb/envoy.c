/* The driver for Envoy: membership by files of endpoints that Envoy watches, proof by its stats. */
#include "lb/envoy.h"

#include "base/clock.h"
#include "lb/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define STEP_MS 2
#define STEP_MAX_MS 50
#define RECHECK_MS 1000 /* a server that answers us, but has not passed a check of Envoy's, is checked anew */
#define PROBE_MS 200
#define GONE_MS 2000 /* until Envoy's list is without an endpoint that was taken out */
#define UNPROVEN "written; without `admin` nobody says whether Envoy uses it"

/* ---- open and close ---- */

static void envoy_close(struct lb *lb)
{
	if (!lb)
		return;
	envoy_times_free(lb);
	buf_release(&lb->before);
	buf_release(&lb->look.text);
	free(lb->admin);
	free(lb);
}

static int find_folder(struct lb *lb, struct err *err)
{
	const int rc = lb_filed_path(lb->conf, lb->path, err);

	if (rc == 0)
		return err_set(err, ERR_CONFIG,
		               "[lb \"%s\"] needs `folder`: the one from which Envoy reads its endpoints (eds_config: "
		               "path_config_source)",
		               lb->conf->name);
	lb->folder.path = lb->path;
	return rc < 0 ? -1 : 0;
}

static struct lb *envoy_open(const struct conf_lb *conf, const struct lb_means *means, struct err *err)
{
	struct lb *lb = calloc(1, sizeof *lb);

	if (!lb) {
		err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	lb->conf = conf;
	lb->means = means;
	lb->folder = (struct filed_folder){.lb = lb, .conf = conf, .tasks = means->tasks, .kind = &envoy_kind};
	int rc = find_folder(lb, err);
	if (rc == 0 && conf->admin && *conf->admin)
		rc = envoy_admin(lb, err);
	if (rc == 0 && !lb_safe_name(envoy_route_name(lb)))
		rc = err_set(err, ERR_CONFIG, "[lb \"%s\"]: `frontend` is no name of a route configuration", conf->name);
	if (rc == 0)
		return lb;
	envoy_close(lb);
	return NULL;
}

/* ---- what is there ---- */

/* The entry in the file: 1 and *is; 0: none, or no file. */
static int find(struct lb *lb, const char *backend, const char *name, struct lb_server *is, struct err *err)
{
	struct filed f;
	int rc = lb_filed_read(&lb->folder, backend, &f, err);

	*is = (struct lb_server){.name = ""};
	if (rc < 0)
		return err->code == ERR_NOT_FOUND ? 0 : -1;
	const struct lb_server *s = lb_list_find(&f.list, name);
	if (s)
		*is = *s;
	lb_filed_release(&f);
	return s != NULL;
}

/* ---- in and out ---- */

static int change(struct lb *lb, enum filed_do what, const char *backend, const char *name,
                  const struct lb_server *server, struct lb_server *was, bool *already, struct err *err)
{
	struct filed_change c = {
		.what = what, .backend = backend, .name = name, .server = server, .may_create = lb->admin != NULL};
	const int rc = lb_filed_change(&lb->folder, &c, err);

	if (was)
		*was = c.was;
	*already = c.already;
	return rc;
}

static void wait_step(const struct lb *lb, int64_t *step)
{
	tasks_sleep(lb->means->tasks, *step);
	*step = *step * 2 < STEP_MAX_MS ? *step * 2 : STEP_MAX_MS;
}

/* Until the drained server has nothing to do, at most until the deadline; *busy: what is still at work then. Twice
 * nothing, for a worker may have chosen the server a moment before. */
static int await_idle(struct lb *lb, const char *backend, const struct lb_server *s, int64_t deadline, int64_t *busy,
                      struct err *err)
{
	int64_t step = STEP_MS;
	int idle = 0;

	for (;;) {
		if (envoy_look(lb, err) < 0)
			return -1;
		const struct envoy_host h = envoy_host(lb, backend, s->name, s);
		*busy = h.there && h.active > 0 ? h.active : 0;
		idle = *busy ? 0 : idle + 1;
		if (idle == 2 || !h.there || (*busy && clock_monotonic_ms() >= deadline))
			return 0;
		if (idle)
			tasks_sleep(lb->means->tasks, STEP_MS);
		else
			wait_step(lb, &step);
	}
}

/* An endpoint that was taken out must be gone from Envoy's list too. */
static int await_gone(struct lb *lb, const char *backend, const struct lb_server *s, struct lb_result *result,
                      struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + GONE_MS;
	int64_t step = STEP_MS;

	for (;;) {
		if (envoy_look(lb, err) < 0)
			return -1;
		const struct envoy_host h = envoy_host(lb, backend, s->name, s);
		if (!h.there)
			return 0;
		const bool late = clock_monotonic_ms() >= deadline;
		if (h.pending && h.unable) {
			(void)snprintf(
				result->note, sizeof result->note,
				"gets no more work, but stays in Envoy's list until it fails a health check: add " ENVOY_REMOVAL
				" to the cluster");
			return 0;
		}
		if (h.pending || late)
			return err_set(
				err, ERR_CONFLICT,
				"lb %s: backend %s: %s was taken out, but Envoy keeps it, with its traffic, as long as it passes "
				"health checks (%s): add " ENVOY_REMOVAL " to the cluster",
				lb->conf->name, backend, s->name, *h.flags ? h.flags : "no flags");
		wait_step(lb, &step);
	}
}

/* Drained, waited for, taken out. The deadline passes: what is at work goes on, for Envoy cuts nothing, but nobody
 * waits for it any more. */
static int take_out(struct lb *lb, const char *backend, const char *name, int64_t wait_ms, struct lb_server *was,
                    struct lb_result *result, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + wait_ms;
	int64_t busy = 0;
	bool already;

	if (find(lb, backend, name, was, err) < 0)
		return -1;
	if (*was->name && was->state != LB_DRAIN) {
		if (change(lb, FILED_DRAIN, backend, name, NULL, NULL, &already, err) < 0)
			return -1;
		if (!lb->admin)
			tasks_sleep(lb->means->tasks, wait_ms);
	}
	if (*was->name && lb->admin && await_idle(lb, backend, was, deadline, &busy, err) < 0)
		return -1;
	if (change(lb, FILED_TAKE, backend, name, NULL, NULL, &already, err) < 0)
		return -1;
	result->forced = busy > 0;
	if (busy)
		(void)snprintf(result->note, sizeof result->note, "requests still at work, which Envoy lets end: %lld",
		               (long long)busy);
	return *was->name && lb->admin ? await_gone(lb, backend, was, result, err) : 0;
}

/* Taken out and put there again, a server is checked at once; else an unhealthy one waits for the next interval, which
 * is a minute (no_traffic_interval) in a cluster that had no request yet. */
static int check_anew(struct lb *lb, const char *backend, const struct lb_server *want, struct err *err)
{
	bool already;

	if (change(lb, FILED_TAKE, backend, want->name, NULL, NULL, &already, err) < 0)
		return -1;
	return change(lb, FILED_PUT, backend, NULL, want, NULL, &already, err);
}

/* Waits until Envoy has the server, and as healthy. 0; 1: not by the deadline, *h says what it was then; -1. */
static int gate(struct lb *lb, const char *backend, const struct lb_server *want, int64_t deadline,
                struct envoy_host *h, struct err *err)
{
	int64_t checked = clock_monotonic_ms(), step = STEP_MS;
	struct err ignored;

	for (;;) {
		if (envoy_look(lb, err) < 0)
			return -1;
		*h = envoy_host(lb, backend, want->name, want);
		const int64_t now = clock_monotonic_ms();
		if (h->there && !(want->weight ? h->unable : h->failed))
			return 0;
		if (now >= deadline)
			return 1;
		if (h->there && h->failed && now - checked >= RECHECK_MS) {
			const int64_t left = deadline - now;
			const bool answers =
				lb_probe(lb->conf, lb->means->tasks, backend, want, left < PROBE_MS ? left : PROBE_MS, &ignored) == 0;
			if (answers && check_anew(lb, backend, want, err) < 0)
				return -1;
			checked = answers ? clock_monotonic_ms() : checked + PROBE_MS;
		}
		wait_step(lb, &step);
	}
}

static int not_healthy(const struct lb *lb, const char *backend, const struct lb_server *want,
                       const struct envoy_host *h, int64_t gate_ms, struct err *err)
{
	char place[LB_PLACE];

	lb_place(want, place);
	return err_set(
		err, ERR_UNAVAILABLE,
		"lb %s: backend %s: server %s at %s did not pass a health check of Envoy's within %g s (%s); does Envoy "
		"reach that address, and is the service listening there?",
		lb->conf->name, backend, want->name, place, (double)gate_ms / 1000,
		!h->there   ? "it is not in Envoy's list"
		: *h->flags ? h->flags
					: "no flags");
}

/* Does Envoy have the cluster? Without `admin` a file is all that is known. */
static int known(struct lb *lb, const char *backend, bool *checks, struct err *err)
{
	enum envoy_cluster is;

	*checks = false;
	if (!lb->admin)
		return 0;
	if (envoy_cluster(lb, backend, &is, checks, err) < 0)
		return -1;
	if (is == ENVOY_EDS)
		return 0;
	if (is == ENVOY_OTHER)
		return err_set(
			err, ERR_CONFIG,
			"lb %s: backend %s: the cluster of that name does not read its endpoints from a file: give it `type: "
			"EDS` and an eds_config that reads %s/%s.json",
			lb->conf->name, backend, lb->path, backend);
	return envoy_no_cluster(lb, backend, err);
}

static int envoy_attach(struct lb *lb, const char *backend, const struct lb_server *server, int64_t gate_ms,
                        struct lb_result *result, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + gate_ms;
	struct lb_server want, is, out;
	struct envoy_host h = {0};
	struct lb_result aside = {0};
	bool checks;

	*result = (struct lb_result){0};
	if (lb_check_names(lb->conf, backend, NULL, err) < 0 || lb_check_server(lb->conf, server, &want, err) < 0)
		return -1;
	want.state = LB_UP;
	want.sessions = -1;
	lb_place(&want, result->address);
	int there = find(lb, backend, want.name, &is, err);
	if (there < 0 || known(lb, backend, &checks, err) < 0)
		return -1;
	/* It moved: the container was restarted with another address, and its old one may be a stranger's. */
	if (there && !lb_same_place(&is, &want)) {
		if (take_out(lb, backend, want.name, gate_ms, &out, &aside, err) < 0)
			return -1;
		result->forced = aside.forced;
		there = 0;
	}
	const bool serves = there && is.state == LB_UP;
	if (!checks && !serves && lb_probe(lb->conf, lb->means->tasks, backend, &want, gate_ms, err) < 0)
		return -1;
	if (change(lb, FILED_PUT, backend, NULL, &want, NULL, &result->already, err) < 0)
		return -1;
	if (!lb->admin) {
		(void)snprintf(result->note, sizeof result->note, UNPROVEN);
		return 0;
	}
	const int rc = gate(lb, backend, &want, deadline, &h, err);
	if (rc <= 0)
		return rc;
	/* One that served before stays: Envoy keeps requests away as long as it is unhealthy. */
	if (!serves) {
		struct err fault = {0};
		if (take_out(lb, backend, want.name, 0, &out, &aside, &fault) < 0)
			return err_set(err, fault.code, "%s; and before, it was not healthy (%s)", fault.message, h.flags);
	}
	return not_healthy(lb, backend, &want, &h, gate_ms, err);
}

static int envoy_drain(struct lb *lb, const char *backend, const char *name, int64_t wait_ms, struct lb_result *result,
                       struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + wait_ms;
	struct lb_server was;
	int64_t busy;

	*result = (struct lb_result){0};
	if (lb_check_names(lb->conf, backend, name, err) < 0 ||
	    change(lb, FILED_DRAIN, backend, name, NULL, &was, &result->already, err) < 0)
		return -1;
	if (!*was.name)
		return 0;
	lb_place(&was, result->address);
	if (!lb->admin) {
		(void)snprintf(result->note, sizeof result->note, UNPROVEN);
		if (!result->already)
			tasks_sleep(lb->means->tasks, wait_ms);
		return 0;
	}
	if (await_idle(lb, backend, &was, deadline, &busy, err) < 0)
		return -1;
	if (busy)
		(void)snprintf(result->note, sizeof result->note, "requests still at work after %g s: %lld",
		               (double)wait_ms / 1000, (long long)busy);
	return 0;
}

static int envoy_detach(struct lb *lb, const char *backend, const char *name, int64_t wait_ms, struct lb_result *result,
                        struct err *err)
{
	struct lb_server was;

	*result = (struct lb_result){0};
	if (lb_check_names(lb->conf, backend, name, err) < 0 || take_out(lb, backend, name, wait_ms, &was, result, err) < 0)
		return -1;
	result->already = !*was.name;
	if (*was.name)
		lb_place(&was, result->address);
	if (*was.name && !lb->admin)
		(void)snprintf(result->note, sizeof result->note, UNPROVEN);
	return 0;
}

/* ---- routes ---- */

/* A cluster of that name that is the operator's own and has no file of endpoints here. */
static int not_theirs(struct lb *lb, const char *backend, struct err *err)
{
	enum envoy_cluster is;
	struct filed f;
	bool checks;

	const int rc = lb_filed_read(&lb->folder, backend, &f, err);
	lb_filed_release(&f);
	if (rc == 0)
		return 0;
	if (err->code != ERR_NOT_FOUND)
		return -1;
	if (!lb->admin)
		return 0;
	if (envoy_cluster(lb, backend, &is, &checks, err) < 0)
		return -1;
	return is != ENVOY_OTHER ? 0 : known(lb, backend, &checks, err);
}

static int envoy_ensure(struct lb *lb, const char *backend, const struct lb_route *route, struct lb_result *result,
                        struct err *err)
{
	struct filed_change c = {
		.what = route ? FILED_ENSURE : FILED_FORGET, .backend = backend, .route = route, .may_create = true};

	*result = (struct lb_result){0};
	if (lb_check_names(lb->conf, backend, NULL, err) < 0 || (route && not_theirs(lb, backend, err) < 0) ||
	    lb_filed_change(&lb->folder, &c, err) < 0)
		return -1;
	result->already = c.already;
	if (!c.already && !lb->admin)
		(void)snprintf(result->note, sizeof result->note, UNPROVEN);
	return 0;
}

static int envoy_agree(struct lb *lb, const char *backend, struct err *err)
{
	return lb_filed_agree(&lb->folder, backend, err);
}

const struct lb_driver lb_envoy = {
	.name = "envoy",
	.open = envoy_open,
	.close = envoy_close,
	.list = envoy_list,
	.backends = envoy_backends,
	.attach = envoy_attach,
	.drain = envoy_drain,
	.detach = envoy_detach,
	.stats = envoy_load,
	.look = envoy_load_of_all,
	.verify = envoy_verify,
	.ensure = envoy_ensure,
	.agree = envoy_agree,
	.check = envoy_check,
};
