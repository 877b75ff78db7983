/* The load of a backend. Counters are of the moment; the histogram of response times is brought up to date by Envoy
 * only every stats_flush_interval (5 s), or when asked with stats_flush_on_admin. So the average is that of the
 * responses which came into the histogram between two looks, and known only soon after some did. */
#include "lb/envoy.h"

#include "base/clock.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define FLUSH_MS 6000 /* the default interval, and a bit */
#define MERGE_MS 10   /* a flush that a look began is over by then */

/* What the histogram of a backend was at an earlier look. */
struct envoy_times {
	char backend[LB_NAME];
	int64_t count, sum_us;
	int64_t changed_ms; /* when count was seen to rise */
	int64_t average_us; /* of what came then; -1: unknown */
	struct envoy_times *next;
};

void envoy_times_free(struct lb *lb)
{
	for (struct envoy_times *t = lb->times, *next; t; t = next) {
		next = t->next;
		free(t);
	}
	lb->times = NULL;
}

static struct envoy_times *times_of(struct lb *lb, const char *backend)
{
	struct envoy_times *t = lb->times;

	while (t && strcmp(t->backend, backend) != 0)
		t = t->next;
	if (!t && (t = calloc(1, sizeof *t))) {
		(void)snprintf(t->backend, sizeof t->backend, "%s", backend);
		t->count = t->average_us = -1;
		t->next = lb->times;
		lb->times = t;
	}
	return t;
}

/* The value of a sample of the text format of Prometheus, in thousandths; -1: there is none. The metric's labels are
 * any, for only one backend is asked for. */
static int64_t sample_milli(const char *text, const char *metric)
{
	const size_t n = strlen(metric);

	for (const char *at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
		if (strncmp(at, metric, n) != 0 || at[n] != '{')
			continue;
		const char *value = strstr(at, "} ");
		if (!value || value > at + strcspn(at, "\n"))
			continue;
		const double v = strtod(value + 2, NULL);
		return v >= 0 && v < 9e15 ? (int64_t)(v * 1000) : -1;
	}
	return -1;
}

static int64_t whole(const char *text, const char *metric)
{
	const int64_t milli = sample_milli(text, metric);

	return milli < 0 ? -1 : milli / 1000;
}

/* The counter of the answers with a status of 500 or more is not there before the first of them. */
static int64_t errors_of(const char *text)
{
	const char *at = strstr(text, "envoy_cluster_upstream_rq_xx{envoy_response_code_class=\"5\"");

	return at ? whole(at, "envoy_cluster_upstream_rq_xx") : 0;
}

static int ask(const struct lb *lb, const char *backend, struct buf *reply, struct err *err)
{
	char path[LB_NAME + 256];

	(void)snprintf(path, sizeof path,
	               "/stats/prometheus?filter=%%5Ecluster%%5C.%s%%5C.(upstream_rq_(time%%7Ccompleted%%7Cactive%%7C"
	               "pending_active%%7C5xx)%%7Cmembership_total)$",
	               backend);
	return envoy_get(lb, path, reply, err);
}

static int64_t average(struct envoy_times *t, int64_t count, int64_t sum_us, int64_t now)
{
	if (count < 0 || sum_us < 0)
		return -1;
	if (t->count < 0 || count < t->count) { /* the first look, or Envoy was started again */
		t->average_us = -1;
		t->changed_ms = 0;
	} else if (count > t->count) {
		t->average_us = sum_us > t->sum_us ? (sum_us - t->sum_us) / (count - t->count) : 0;
		t->changed_ms = now;
	} else if (now - t->changed_ms > FLUSH_MS) {
		t->average_us = -1;
	}
	t->count = count;
	t->sum_us = sum_us;
	return t->average_us;
}

int envoy_load(struct lb *lb, const char *backend, struct lb_stats *out, struct err *err)
{
	struct buf reply = BUF_INIT(LB_REPLY_MAX);

	int rc = ask(lb, backend, &reply, err);
	if (rc == 0 && whole(reply.p ? reply.p : "", "envoy_cluster_upstream_rq_time_count") !=
	                   whole(reply.p ? reply.p : "", "envoy_cluster_upstream_rq_completed")) {
		tasks_sleep(lb->means->tasks, MERGE_MS);
		rc = ask(lb, backend, &reply, err);
	}
	const char *text = rc == 0 && reply.p ? reply.p : "";
	struct envoy_times *t = rc == 0 ? times_of(lb, backend) : NULL;
	out->at_ms = clock_monotonic_ms();
	if (rc == 0 && !t)
		rc = err_set(err, ERR_TEMPORARY, "out of memory");
	if (rc == 0 && whole(text, "envoy_cluster_membership_total") < 0)
		rc = err_set(err, ERR_NOT_FOUND, "lb %s: backend %s: No such cluster in Envoy: %s", lb->conf->name, backend,
		             backend);
	if (rc == 0) {
		out->connections = whole(text, "envoy_cluster_upstream_rq_active");
		out->queue = whole(text, "envoy_cluster_upstream_rq_pending_active");
		out->requests = whole(text, "envoy_cluster_upstream_rq_completed");
		if (out->requests < 0)
			out->requests = 0; /* the counter comes with the first request */
		out->errors = errors_of(text);
		out->average_us = average(t, whole(text, "envoy_cluster_upstream_rq_time_count"),
		                          sample_milli(text, "envoy_cluster_upstream_rq_time_sum"), out->at_ms);
	}
	buf_release(&reply);
	return rc;
}
