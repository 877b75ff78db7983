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

/* ---- the text ---- */

#define COMPLETED "upstream_rq_completed"
#define TIME_COUNT "upstream_rq_time_count"
#define TIME_SUM "upstream_rq_time_sum"

/* One line: "envoy_cluster_NAME{envoy_cluster_name="web",...} VALUE". */
struct sample {
	char backend[LB_NAME];
	const char *name; /* what follows envoy_cluster_ */
	size_t n;
	bool five_hundreds; /* of a counter by class of answers: it is that */
	int64_t milli;      /* in thousandths; -1: no such number */
};

/* The next sample of a cluster from *at on; false: no more. A name with escapes is none that we use. */
static bool next_sample(const char **at, struct sample *out)
{
	static const char begin[] = "envoy_cluster_", label[] = "envoy_cluster_name=\"";

	while (**at) {
		const char *p = *at, *end = p + strcspn(p, "\n");
		*at = *end ? end + 1 : end;
		if (strncmp(p, begin, sizeof begin - 1) != 0)
			continue;
		out->name = p + sizeof begin - 1;
		out->n = strcspn(out->name, "{ \n");
		const char *labels = out->name + out->n, *value = strstr(labels, "} ");
		const char *is = strstr(labels, label);
		if (*labels != '{' || !value || value > end || !is || is > value)
			continue;
		is += sizeof label - 1;
		const size_t n = strcspn(is, "\"\\");
		if (is[n] != '"' || n >= sizeof out->backend)
			continue;
		(void)snprintf(out->backend, sizeof out->backend, "%.*s", (int)n, is);
		const char *class = strstr(labels, "envoy_response_code_class=\"5\"");
		out->five_hundreds = class && class < value;
		const double v = strtod(value + 2, NULL);
		out->milli = v >= 0 && v < 9e15 ? (int64_t)(v * 1000) : -1;
		return true;
	}
	return false;
}

static bool is(const struct sample *s, const char *name)
{
	return s->n == strlen(name) && strncmp(s->name, name, s->n) == 0;
}

/* backend NULL: of all. */
static int ask(const struct lb *lb, const char *backend, struct buf *reply, struct err *err)
{
	char path[LB_NAME + 256];

	(void)snprintf(path, sizeof path,
	               "/stats/prometheus?filter=%%5Ecluster%%5C.%s%%5C.(upstream_rq_(time%%7Ccompleted%%7Cactive%%7C"
	               "pending_active%%7C5xx)%%7Cmembership_total)$",
	               backend ? backend : "..*");
	return envoy_get(lb, path, reply, err);
}

/* Has every response come into its histogram? A look asks for that, but it is done beside the answer. */
static bool is_merged(const char *text)
{
	int64_t completed = 0, timed = 0;
	struct sample s;

	while (next_sample(&text, &s)) {
		completed += is(&s, COMPLETED) ? s.milli : 0;
		timed += is(&s, TIME_COUNT) ? s.milli : 0;
	}
	return completed == timed;
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

/* The time's samples of a backend, until both are there. */
struct times {
	int64_t count, sum_us;
};

static void add_sample(const struct sample *s, struct lb_stats *to, struct times *times)
{
	const int64_t whole = s->milli < 0 ? -1 : s->milli / 1000;

	if (is(s, "upstream_rq_active"))
		to->connections = whole;
	else if (is(s, "upstream_rq_pending_active"))
		to->queue = whole;
	else if (is(s, COMPLETED))
		to->requests = whole;
	else if (is(s, "upstream_rq_xx") && s->five_hundreds)
		to->errors = whole;
	else if (is(s, TIME_COUNT))
		times->count = whole;
	else if (is(s, TIME_SUM))
		times->sum_us = s->milli; /* milliseconds, in thousandths */
}

/* Every cluster has a gauge of its members. The counters of answers come with the first of them, that of those with a
 * status of 500 or more with the first such. */
static int read_all(struct lb *lb, const char *text, struct lb_look *out, struct err *err)
{
	struct times *times;
	struct sample s;

	for (const char *at = text; next_sample(&at, &s);)
		if (is(&s, "membership_total") && !lb_look_add(out, s.backend, err))
			return -1;
	lb_look_sort(out);
	if (!(times = calloc(out->n + 1, sizeof *times)))
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; i < out->n; i++) {
		out->v[i].stats.requests = out->v[i].stats.errors = 0;
		times[i] = (struct times){-1, -1};
	}
	for (const char *at = text; next_sample(&at, &s);) {
		struct lb_seen *seen = lb_look_find(out, s.backend);
		if (seen)
			add_sample(&s, &seen->stats, &times[seen - out->v]);
	}
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < out->n; i++) {
		struct envoy_times *t = times_of(lb, out->v[i].backend);
		if (!t)
			rc = err_set(err, ERR_TEMPORARY, "out of memory");
		else
			out->v[i].stats.average_us = average(t, times[i].count, times[i].sum_us, out->v[i].stats.at_ms);
	}
	free(times);
	return rc;
}

/* backend NULL: all. */
static int see(struct lb *lb, const char *backend, struct lb_look *out, struct err *err)
{
	struct buf reply = BUF_INIT(LB_REPLY_MAX);

	*out = (struct lb_look){0};
	int rc = ask(lb, backend, &reply, err);
	if (rc == 0 && !is_merged(reply.p ? reply.p : "")) {
		tasks_sleep(lb->means->tasks, MERGE_MS);
		rc = ask(lb, backend, &reply, err);
	}
	if (rc == 0)
		rc = read_all(lb, reply.p ? reply.p : "", out, err);
	buf_release(&reply);
	if (rc < 0)
		lb_look_release(out);
	return rc;
}

static int needs_admin(const struct lb *lb, struct err *err)
{
	if (lb->admin)
		return 0;
	return err_set(err, ERR_CONFIG, "lb %s: its load is not known without `admin`, the URL of Envoy's admin listener",
	               lb->conf->name);
}

int envoy_load(struct lb *lb, const char *backend, struct lb_stats *out, struct err *err)
{
	struct lb_look look;

	*out = lb_stats_unknown;
	if (lb_check_names(lb->conf, backend, NULL, err) < 0 || needs_admin(lb, err) < 0 ||
	    see(lb, backend, &look, err) < 0)
		return -1;
	const struct lb_seen *seen = lb_look_find(&look, backend);
	if (seen)
		*out = seen->stats;
	lb_look_release(&look);
	return seen ? 0
	            : err_set(err, ERR_NOT_FOUND, "lb %s: backend %s: No such cluster in Envoy: %s", lb->conf->name,
	                      backend, backend);
}

/* The servers are those that Envoy has, whoever named them. */
int envoy_load_of_all(struct lb *lb, struct lb_look *out, struct err *err)
{
	struct jv_member cluster, host;
	char name[LB_NAME];

	*out = (struct lb_look){0};
	if (needs_admin(lb, err) < 0 || see(lb, NULL, out, err) < 0 || envoy_look(lb, err) < 0) {
		lb_look_release(out);
		return -1;
	}
	int rc = 0;
	for (struct jv_cursor c = jv_each(lb->look.statuses); rc == 0 && jv_next(&c, &cluster);) {
		struct lb_seen *seen =
			jv_str(jv_get(cluster.value, "name"), name, sizeof name) ? lb_look_find(out, name) : NULL;
		struct jv_cursor hosts = jv_each(jv_get(cluster.value, "host_statuses"));
		while (seen && rc == 0 && jv_next(&hosts, &host)) {
			const struct envoy_host h = envoy_host_of(host.value);
			if (jv_str(jv_get(host.value, "hostname"), name, sizeof name) && !h.pending &&
			    !lb_seen_add(seen, name,
			                 h.draining ? LB_DRAIN
			                 : h.unable ? LB_DOWN
			                            : LB_UP,
			                 h.active, err))
				rc = -1;
		}
	}
	if (rc < 0)
		lb_look_release(out);
	return rc;
}
