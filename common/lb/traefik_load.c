/* The load of backends: counters from /metrics, connections from the table of connections (traefik_idle.c). */
#include "lb/traefik.h"

#include "base/clock.h"

#include "base/banned.h"

static int needs_admin(const struct lb *lb, struct err *err)
{
	if (lb->admin.base)
		return 0;
	return err_set(err, ERR_CONFIG,
	               "lb %s: its load is not known without `admin`, the URL of Traefik's API and metrics",
	               lb->conf->name);
}

static int64_t connections(struct lb *lb, const struct lb_list *list)
{
	int64_t sum = 0;

	for (size_t i = 0; i < list->n && sum >= 0; i++) {
		const int64_t n = traefik_connections(lb, &list->v[i]);
		sum = n < 0 ? -1 : sum + n;
	}
	return sum;
}

int traefik_load(struct lb *lb, const char *backend, struct lb_stats *out, struct err *err)
{
	struct traefik_look look = {0};
	struct filed f;

	*out = lb_stats_unknown;
	out->at_ms = clock_monotonic_ms();
	if (traefik_check(lb, backend, NULL, err) < 0 || needs_admin(lb, err) < 0)
		return -1;
	if (!lb->folder.path)
		return traefik_docker.stats(lb, backend, out, err);
	int rc = traefik_find(lb, backend, &f, &look, err);
	if (rc == 0)
		out->connections = connections(lb, &f.list);
	lb_filed_release(&f);
	if (rc == 0)
		rc = traefik_get(lb, &look, "/metrics", err);
	if (rc == 0)
		rc = traefik_counters(lb, look.reply.p ? look.reply.p : "", backend, out, err);
	traefik_look_release(&look);
	return rc;
}

static int see_files(struct lb *lb, struct lb_look *out, struct err *err)
{
	struct filed *files = NULL;
	size_t n = 0;

	int rc = lb_filed_all(&lb->folder, &files, &n, err);
	if (rc == 0)
		rc = lb_filed_look(files, n, out, err);
	if (rc == 0)
		traefik_connections_of(lb, files, n, out);
	lb_filed_free_all(files, n);
	return rc;
}

/* What a server's state is, the file says, and where Traefik itself checks its health, /metrics. */
int traefik_load_of_all(struct lb *lb, struct lb_look *out, struct err *err)
{
	struct traefik_look look = {0};

	*out = (struct lb_look){0};
	int rc = needs_admin(lb, err);
	if (rc == 0)
		rc = lb->folder.path ? see_files(lb, out, err) : traefik_docker.look(lb, out, err);
	lb_look_sort(out);
	if (rc == 0)
		rc = traefik_get(lb, &look, "/metrics", err);
	if (rc == 0)
		rc = traefik_count(lb, look.reply.p ? look.reply.p : "", err);
	for (size_t i = 0; rc == 0 && i < out->n; i++) {
		rc = traefik_counted(lb, out->v[i].backend, &out->v[i].stats, err);
		out->v[i].stats.at_ms = clock_monotonic_ms();
	}
	if (rc == 0)
		traefik_mark_down(lb, look.reply.p ? look.reply.p : "", out);
	traefik_look_release(&look);
	if (rc < 0)
		lb_look_release(out);
	return rc;
}
