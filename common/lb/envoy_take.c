/* Makes Envoy use what was written: the endpoints of each backend, and the clusters and routes that the backends'
 * files ask for. All of it is called while the folder is locked. */
#include "lb/envoy.h"

#include "base/clock.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define LISTENERS_MAX 16 /* that read the routes */
#define FRESH_MS 50      /* what the stats were so long ago is what they were before the change */
#define COUNTERS "(version_text%7Cupdate_rejected%7Cupdate_failure)$"

/* ---- what the backends want ---- */

static void apps_release(struct envoy_apps *apps)
{
	free(apps->v);
	*apps = (struct envoy_apps){0};
}

static bool refused(const char *backend, struct filed *const *files, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(files[i]->backend, backend) == 0)
			return files[i]->err.code != 0;
	return false;
}

/* All of the folder but what was refused in this round. */
static int collect(struct lb *lb, struct filed *const *files, size_t n, struct envoy_apps *apps, struct err *err)
{
	struct lb_names names;
	struct filed f;

	*apps = (struct envoy_apps){0};
	if (lb_filed_backends(&lb->folder, &names, err) < 0)
		return -1;
	int rc =
		names.n && !(apps->v = calloc(names.n, sizeof *apps->v)) ? err_set(err, ERR_TEMPORARY, "out of memory") : 0;
	for (size_t i = 0; rc == 0 && i < names.n; i++) {
		if (refused(names.v[i], files, n))
			continue;
		rc = lb_filed_read(&lb->folder, names.v[i], &f, err);
		if (rc == 0 && (f.made || f.rule.n)) {
			struct envoy_app *a = &apps->v[apps->n++];
			*a = (struct envoy_app){.made = f.made, .rule = f.rule};
			(void)snprintf(a->backend, sizeof a->backend, "%s", names.v[i]);
			(void)snprintf(a->check, sizeof a->check, "%s", f.check);
		}
		lb_filed_release(&f);
	}
	lb_names_release(&names);
	if (rc < 0)
		apps_release(apps);
	return rc;
}

/* Two backends with the same way: the one that came in this round is refused. */
static void refuse_conflicts(const struct lb *lb, struct filed *const *files, size_t n, struct envoy_apps *apps)
{
	const struct rule_way *way;

	for (size_t i = 0; i < n; i++) {
		struct filed *f = files[i];
		for (size_t k = 0; f->changed && !f->gone && !f->err.code && k < apps->n; k++)
			if (strcmp(apps->v[k].backend, f->backend) != 0 && (way = rule_shared(&f->rule, &apps->v[k].rule)))
				err_set(&f->err, ERR_REFUSED, "lb %s: backend %s: its rule for %s%s is that of backend %s already",
				        lb->conf->name, f->backend, *way->host ? way->host : "every host", way->path,
				        apps->v[k].backend);
		for (size_t k = 0; f->err.code && k < apps->n; k++)
			if (strcmp(apps->v[k].backend, f->backend) == 0)
				apps->v[k] = apps->v[--apps->n];
	}
}

/* ---- the two files ---- */

typedef int (*render_fn)(const struct lb *lb, const struct envoy_apps *apps, const char *old, struct buf *out,
                         struct err *err);

/* Writes the file if its bytes would be others. Its version into *version. */
static int replace(const struct lb *lb, const char *name, render_fn render, const struct envoy_apps *apps,
                   char version[ENVOY_VERSION], struct err *err)
{
	struct buf old = BUF_INIT(DOCUMENT_MAX), text = BUF_INIT(DOCUMENT_MAX);
	char path[PATH_MAX + 32], temp[PATH_MAX + 48];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/%s", lb->path, name);
	(void)snprintf(temp, sizeof temp, "%s/.%s.as-lb", lb->path, name);
	int rc = lb_file_read(path, &old, &st, err);
	const bool there = rc == 0;
	if (!there && err->code == ERR_NOT_FOUND)
		rc = 0;
	if (rc == 0)
		rc = render(lb, apps, there && old.p ? old.p : "", &text, err);
	if (rc < 0)
		rc = err_prefix(err, "lb %s: %s", lb->conf->name, path);
	if (rc == 0 && (!there || old.n != text.n || memcmp(old.p, text.p, text.n) != 0)) {
		rc = lb_file_write(temp, &text, there ? &st : NULL, err);
		if (rc == 0)
			rc = lb_file_rename(temp, path, err);
	}
	if (rc == 0)
		envoy_version_of(text.p, text.n, version);
	buf_release(&old);
	buf_release(&text);
	return rc;
}

/* The stats of those who read a file: their prefixes into `names`. */
static size_t readers(const char *stats, const char *from, const char *to, char names[LISTENERS_MAX][256])
{
	size_t n = 0;

	for (const char *at = stats; at && *at && n < LISTENERS_MAX; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
		const size_t line = strcspn(at, "\n");
		const char *end = strstr(at, to);
		if (strncmp(at, from, strlen(from)) != 0 || !end || (size_t)(end - at) >= line)
			continue;
		const size_t length = (size_t)(end - at) + strlen(to) - strlen("version_text: ");
		if (length < sizeof names[0])
			(void)snprintf(names[n++], sizeof names[0], "%.*s", (int)length, at);
	}
	return n;
}

static int not_configured(const struct lb *lb, bool routes, struct err *err)
{
	if (routes)
		return err_set(err, ERR_CONFIG,
		               "lb %s: Envoy reads no routes of ours: in its configuration put instead of route_config: rds: { "
		               "route_config_name: %s, config_source: { resource_api_version: V3, path_config_source: { path: "
		               "%s/" ENVOY_ROUTES ", watched_directory: { path: %s } } } }",
		               lb->conf->name, envoy_route_name(lb), lb->path, lb->path);
	return err_set(
		err, ERR_CONFIG,
		"lb %s: Envoy reads no clusters of ours: add to its configuration: dynamic_resources: { cds_config: { "
		"resource_api_version: V3, path_config_source: { path: %s/" ENVOY_CLUSTERS ", watched_directory: { path: "
		"%s } } } }",
		lb->conf->name, lb->path, lb->path);
}

/* Does any backend need the file? */
static bool any(const struct envoy_apps *apps, bool routes)
{
	for (size_t i = 0; i < apps->n; i++)
		if (routes ? apps->v[i].rule.n > 0 : apps->v[i].made)
			return true;
	return false;
}

static bool is_there(const struct lb *lb, const char *file)
{
	char path[PATH_MAX + 32];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/%s", lb->path, file);
	return stat(path, &st) == 0;
}

/* One of the two: written, and used by all who read it. */
static int share(struct lb *lb, bool routes, const struct envoy_apps *apps, struct err *err)
{
	const char *file = routes ? ENVOY_ROUTES : ENVOY_CLUSTERS;
	struct envoy_wait waits[LISTENERS_MAX] = {0};
	char names[LISTENERS_MAX][256], to[LB_NAME + 32], filter[LB_NAME + 128], version[ENVOY_VERSION], counter[300];
	struct buf stats = BUF_INIT(LB_REPLY_MAX);
	size_t n = 0;

	if (!any(apps, routes) && !is_there(lb, file))
		return 0;
	(void)snprintf(to, sizeof to, routes ? ".rds.%s.version_text: " : "cds.version_text: ", envoy_route_name(lb));
	(void)snprintf(filter, sizeof filter, "/stats?filter=%s%s%s",
	               routes ? "%5Ehttp%5C..*%5C.rds%5C." : "%5Ecluster_manager%5C.cds",
	               routes ? envoy_route_name(lb) : "", "%5C." COUNTERS);
	int rc = lb->admin ? envoy_get(lb, filter, &stats, err) : 0;
	if (rc == 0 && lb->admin)
		n = readers(stats.p ? stats.p : "", routes ? "http." : "cluster_manager.", to, names);
	for (size_t i = 0; i < n; i++) {
		waits[i] = (struct envoy_wait){
			.stats = names[i], .path = file, .what = routes ? "route configuration" : "cluster discovery"};
		(void)snprintf(counter, sizeof counter, "%supdate_rejected", names[i]);
		waits[i].rejected = envoy_count(stats.p, counter);
		(void)snprintf(counter, sizeof counter, "%supdate_failure", names[i]);
		waits[i].failed = envoy_count(stats.p, counter);
	}
	buf_release(&stats);
	if (rc == 0)
		rc = replace(lb, file, routes ? envoy_render_routes : envoy_render_clusters, apps, version, err);
	if (rc == 0 && lb->admin && !n && any(apps, routes))
		rc = not_configured(lb, routes, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		memcpy(waits[i].version, version, sizeof version);
	if (rc == 0 && n)
		rc = envoy_await(lb, filter, waits, n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (waits[i].err.code) {
			*err = waits[i].err;
			rc = -1;
		}
	return rc;
}

static bool same_route(struct lb *lb, const struct filed *f)
{
	struct filed was = {.backend = ""};
	struct err ignored;

	memcpy(was.backend, f->backend, sizeof was.backend);
	const bool same = f->old.p && envoy_kind.parse(lb, f->old.p, &was, &ignored) == 0 && was.made == f->made &&
	                  strcmp(was.check, f->check) == 0 && rule_same(&was.rule, &f->rule);
	lb_list_release(&was.list);
	return same;
}

/* Clusters before the routes that lead to them, and the other way round when some go. What a file asks for is looked at
 * when the file changed that, or did not change: a run that was killed may have left the rest undone. */
static int share_both(struct lb *lb, struct filed *const *files, size_t n, struct err *err)
{
	bool needed = false, going = false;
	struct envoy_apps apps;

	for (size_t i = 0; i < n; i++) {
		const struct filed *f = files[i];
		going = going || f->gone;
		needed = needed || f->gone ||
		         (f->changed ? !same_route(lb, f) : f->made || f->rule.n || envoy_mentioned(lb, f->backend));
	}
	if (!needed)
		return 0;
	if (collect(lb, files, n, &apps, err) < 0)
		return -1;
	refuse_conflicts(lb, files, n, &apps);
	int rc = share(lb, going, &apps, err);
	if (rc == 0)
		rc = share(lb, !going, &apps, err);
	apps_release(&apps);
	return rc;
}

void envoy_put_back(struct lb *lb, struct filed *const *files, size_t n)
{
	char version[ENVOY_VERSION];
	struct envoy_apps apps;
	struct err ignored;

	(void)files;
	(void)n;
	if (collect(lb, NULL, 0, &apps, &ignored) < 0)
		return;
	for (int routes = 1; routes >= 0; routes--)
		if (is_there(lb, routes ? ENVOY_ROUTES : ENVOY_CLUSTERS))
			(void)replace(lb, routes ? ENVOY_ROUTES : ENVOY_CLUSTERS,
			              routes ? envoy_render_routes : envoy_render_clusters, &apps, version, &ignored);
	apps_release(&apps);
}

/* ---- endpoints ---- */

/* Without stats from before, a refusal is noticed when the file is put there once more. */
int envoy_before(struct lb *lb, struct err *err)
{
	(void)err;
	if (lb->round || clock_monotonic_ms() - lb->before_ms > FRESH_MS)
		buf_release(&lb->before);
	lb->round = true;
	return 0;
}

struct endpoint {
	struct filed *f;
	char stats[LB_NAME + 16], path[LB_NAME + 8], what[LB_NAME + 16];
};

static int wait_of(const struct lb *lb, struct endpoint *e, struct filed *f, struct envoy_wait *w, struct err *err)
{
	const char *before = lb->before.p ? lb->before.p : "";
	struct buf text = BUF_INIT(DOCUMENT_MAX);
	char path[PATH_MAX + 80], counter[LB_NAME + 48];
	struct stat st;

	e->f = f;
	(void)snprintf(e->stats, sizeof e->stats, "cluster.%s.", f->backend);
	(void)snprintf(e->path, sizeof e->path, "%s.json", f->backend);
	(void)snprintf(e->what, sizeof e->what, "cluster: %s", f->backend);
	*w = (struct envoy_wait){.stats = e->stats, .path = e->path, .what = e->what};
	(void)snprintf(path, sizeof path, "%s/%s", lb->path, e->path);
	const int rc = lb_file_read(path, &text, &st, err);
	if (rc == 0)
		envoy_version_of(text.p ? text.p : "", text.n, w->version);
	buf_release(&text);
	(void)snprintf(counter, sizeof counter, "%supdate_rejected", e->stats);
	w->rejected = envoy_count(before, counter);
	(void)snprintf(counter, sizeof counter, "%supdate_failure", e->stats);
	w->failed = envoy_count(before, counter);
	return rc;
}

static void blame(const struct lb *lb, struct endpoint *e, const struct envoy_wait *w)
{
	e->f->err = w->err;
	if (w->err.code == ERR_NOT_FOUND)
		(void)envoy_no_cluster(lb, e->f->backend, &e->f->err);
}

static int endpoints(struct lb *lb, struct filed *const *files, size_t n, struct err *err)
{
	struct endpoint *ends = calloc(n, sizeof *ends);
	struct envoy_wait *waits = calloc(n, sizeof *waits);
	char filter[LB_NAME + 128];
	size_t m = 0;
	int rc = ends && waits ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");

	for (size_t i = 0; rc == 0 && i < n; i++)
		if (files[i]->there && !files[i]->err.code) {
			rc = wait_of(lb, &ends[m], files[i], &waits[m], err);
			m++;
		}
	(void)snprintf(filter, sizeof filter, "/stats?filter=%%5Ecluster%%5C.%s%%5C.%s", m == 1 ? ends[0].f->backend : ".*",
	               COUNTERS);
	if (rc == 0 && m)
		rc = envoy_await(lb, filter, waits, m, err);
	for (size_t i = 0; rc == 0 && i < m; i++)
		if (waits[i].err.code)
			blame(lb, &ends[i], &waits[i]);
	free(ends);
	free(waits);
	return rc;
}

int envoy_take(struct lb *lb, struct filed *const *files, size_t n, struct err *err)
{
	struct err why = {0};

	if (!lb->round)
		buf_release(&lb->before);
	lb->round = true;
	if (share_both(lb, files, n, &why) < 0)
		for (size_t i = 0; i < n; i++)
			if (!files[i]->err.code && (files[i]->gone || files[i]->made || files[i]->rule.n))
				files[i]->err = why;
	const int rc = lb->admin ? endpoints(lb, files, n, err) : 0;
	buf_release(&lb->before);
	lb->round = false;
	return rc;
}
