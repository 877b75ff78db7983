/* The load of backends: requests in hand from stub_status, the rest from the access log (nginx_log.c). */
#include "lb/nginx.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* Requests that nginx works on, without the one that asks. nginx knows no backends here: with several in the folder it
 * is nobody's number. */
static int working(struct lb *lb, int64_t *requests, struct err *err)
{
	struct buf reply = BUF_INIT(4096);
	struct lb_names names;
	long long writing = 0;

	if (!*lb->base || lb_filed_backends(&lb->folder, &names, err) < 0)
		return *lb->base ? -1 : 0;
	const size_t n = names.n;
	lb_names_release(&names);
	const int rc = n == 1 ? nginx_ask(lb, "/as-status", &reply, err) : 0;
	const char *at = reply.n ? strstr(reply.p, "Writing: ") : NULL;
	if (at && sscanf(at, "Writing: %lld", &writing) == 1 && writing > 0)
		*requests = writing - 1;
	buf_release(&reply);
	return rc;
}

int nginx_load(struct lb *lb, const char *backend, struct lb_stats *stats, struct err *err)
{
	struct filed f;

	*stats = lb_stats_unknown;
	if (lb_filed_read(&lb->folder, backend, &f, err) < 0)
		return -1;
	int rc = working(lb, &stats->connections, err);
	if (rc == 0)
		rc = nginx_counters(lb, &f, 1, &stats, err);
	stats->at_ms = clock_monotonic_ms();
	lb_filed_release(&f);
	return rc;
}

/* A file that is not as we write it is no backend here; whoever asks for that one by its name hears why. */
int nginx_load_of_all(struct lb *lb, struct lb_look *out, struct err *err)
{
	struct filed *files = NULL;
	struct lb_stats **stats = NULL;
	size_t n = 0;

	*out = (struct lb_look){0};
	int rc = lb_filed_all(&lb->folder, &files, &n, err);
	if (rc == 0)
		rc = lb_filed_look(files, n, out, err);
	if (rc == 0 && n && !(stats = calloc(n, sizeof *stats)))
		rc = err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; rc == 0 && i < n; i++)
		stats[i] = &out->v[i].stats;
	if (rc == 0 && n == 1)
		rc = working(lb, &out->v[0].stats.connections, err);
	if (rc == 0 && n)
		rc = nginx_counters(lb, files, n, stats, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		stats[i]->at_ms = clock_monotonic_ms();
	free(stats);
	lb_filed_free_all(files, n);
	lb_look_sort(out);
	if (rc < 0)
		lb_look_release(out);
	return rc;
}
