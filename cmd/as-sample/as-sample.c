/* as-sample: measures what the policy of each record asks for: at the load balancers, the engines, a Prometheus server,
 * by programs and files. Adds `metrics`. What cannot be measured is said to be missing; it is never a zero. See
 * as-sample(1). */
#include "cmd/as-sample/sample.h"

#include "base/clock.h"
#include "base/exit.h"
#include "cmd/front/abreast.h"
#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define OVER_MIN_MS 100

static struct sampler sampler = {.over_ms = 1000};

static const struct option_row options[] = {
	{0, "connections", OPTION_FLAG, NULL, &sampler.connections_only,
     "only each server's connections, for the choice of what goes"},
	{0, "over", OPTION_DURATION, "DURATION", &sampler.over_ms, "how long rates are measured (default 1s)"},
	{0},
};
static const struct command command = {"as-sample", "measure what each record's policy asks for", "[SERVICE ...]",
                                       options};

/* ---- the member ---- */

static const char *per_name(enum metric_per per)
{
	static const char *const names[] = {
		[PER_SERVICE] = "service", [PER_REPLICA] = "replica", [PER_CONTAINER] = "container"};

	return names[per];
}

/* Millionths as a JSON number, exactly. */
static void put_micro(struct buf *b, int64_t micro)
{
	const uint64_t n = micro < 0 ? -(uint64_t)micro : (uint64_t)micro;
	char fraction[8];

	buf_printf(b, "%s%llu", micro < 0 ? "-" : "", (unsigned long long)(n / 1000000));
	if (n % 1000000 == 0)
		return;
	(void)snprintf(fraction, sizeof fraction, "%06u", (unsigned)(n % 1000000));
	for (size_t i = strlen(fraction); fraction[i - 1] == '0'; i--)
		fraction[i - 1] = '\0';
	buf_printf(b, ".%s", fraction);
}

void put_reading(struct sampling *m, const struct reading *v)
{
	struct buf *b = m->out;

	buf_json_comma(b);
	buf_putc(b, '{');
	buf_json_member_str(b, "name", v->name);
	buf_json_key(b, "value");
	if (v->why)
		buf_puts(b, "null");
	else
		put_micro(b, v->micro);
	buf_json_member_str(b, "unit", v->unit ? v->unit : "");
	buf_json_member_str(b, "per", per_name(v->per));
	if (v->id)
		buf_json_member_str(b, "id", v->id);
	buf_json_member_str(b, "source", v->source);
	clock_json_member(b, "at", v->at);
	buf_json_member_bool(b, "ok", !v->why);
	if (v->why)
		buf_json_member_str(b, "message", v->why);
	if (m->s->connections_only)
		buf_json_member_str(b, "use", "victim");
	buf_putc(b, '}');
}

void put_failure(struct sampling *m, const char *name, enum metric_per per, const char *source, const struct err *err)
{
	const struct reading bad = {.name = name, .per = per, .source = source, .at = clock_now_ms(), .why = err->message};

	put_reading(m, &bad);
}

/* ---- what is asked for ---- */

/* What a record without a policy asks for, by its labels and variables: this stage may stand before the one that finds
 * the policy. */
static int read_labels(struct sampling *m, struct err *err)
{
	const struct jv template = jv_get(m->observed, "template");
	const struct policy_limits limits = {.max_replicas = REPLICAS_MAX};
	const struct policy_source sources[] = {
		{.kind = POLICY_LABELS, .from = "label", .object = jv_get(template, "labels")},
		{.kind = POLICY_VARIABLES, .from = "variable", .object = jv_get(template, "variables")},
	};

	if (m->s->f.conf.labels == CONF_LABELS_IGNORE)
		return 0;
	if (policy_resolve(sources, 2, &limits, &m->labels_policy, err) < 0 && err->code != ERR_REFUSED)
		return -1; /* min above max is told by the stage whose business it is */
	m->policy = (struct jv){m->labels_policy.p, m->labels_policy.n};
	return 0;
}

/* The names in policy.target. */
static int read_target(struct sampling *m, struct err *err)
{
	const struct jv target = jv_get(m->policy, "target");
	char from[128] = "";
	struct jv_cursor c = jv_each(target);
	struct jv_member t;
	size_t twin;

	if (!jv_is_object(target) || m->s->connections_only)
		return 0;
	(void)jv_str(jv_path(m->policy, "from.target"), from, sizeof from);
	if (!(m->asked = calloc(METRICS_MAX, sizeof *m->asked)))
		return err_set(err, ERR_TEMPORARY, "out of memory");
	while (jv_next(&c, &t)) {
		if (m->nasked == METRICS_MAX)
			return err_set(err, ERR_LIMIT, "service %s has more than %d targets", m->service, METRICS_MAX);
		struct metric *a = &m->asked[m->nasked];
		if (!jv_str((struct jv){t.name.p - 1, t.name.n + 2}, a->name, sizeof a->name))
			return err_set(err, ERR_INPUT, "the name of a target is longer than %d bytes", METRIC_NAME - 1);
		a->trusted = strncmp(from, "db:", 3) == 0;
		for (twin = 0; strcmp(m->asked[twin].name, a->name) != 0; twin++)
			;
		m->nasked += twin == m->nasked; /* not one that was named twice */
	}
	return 0;
}

/* ---- one record ---- */

static void sample_unknown(struct sampling *m, const struct metric *metric)
{
	struct err err;

	(void)err_set(&err, ERR_INPUT,
	              "nothing measures \"%s\": known are lb.connections, lb.queue, lb.request_rate, lb.error_rate, "
	              "lb.response_time, docker.cpu, docker.memory, prometheus:QUERY, exec:PROGRAM, file:PATH",
	              metric->name);
	put_failure(m, metric->name, PER_SERVICE, "", &err);
}

/* A name is taken by the first of these that it begins with. "replica:" before a name that measures a total says that
 * its value is that of each replica. */
static const struct {
	const char *prefix;
	void (*sample)(struct sampling *m, const struct metric *metric);
} sources[] = {
	{"docker.", sample_engine}, {"prometheus:", sample_prometheus}, {"exec:", sample_program}, {"file:", sample_file},
	{"", sample_unknown},
};

static void sample_one(void *ctx, size_t i)
{
	struct sampling *m = ctx;
	size_t s = 0;

	if (i == m->nasked) {
		sample_balancers(m);
		return;
	}
	const struct metric *metric = &m->asked[i];
	const char *name = metric->name + (strncmp(metric->name, "replica:", 8) == 0 ? 8 : 0);
	if (strncmp(name, "lb.", 3) == 0) /* all at once */
		return;
	while (strncmp(name, sources[s].prefix, strlen(sources[s].prefix)) != 0)
		s++;
	sources[s].sample(m, metric);
}

struct placed {
	struct jv text, name, per, id;
};

static int compare(struct jv a, struct jv b)
{
	const size_t n = a.n < b.n ? a.n : b.n;
	const int order = n ? memcmp(a.p, b.p, n) : 0;

	return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int by_place(const void *x, const void *y)
{
	const struct placed *a = x, *b = y;
	int order = compare(a->name, b->name);

	if (!order)
		order = compare(b->per, a->per); /* the service's before each container's */
	if (!order)
		order = compare(a->id, b->id);
	return order ? order : compare(a->text, b->text);
}

/* The readings in the order of their names, whoever answered first. */
static int sort_readings(const struct buf *in, struct buf *out, struct err *err)
{
	const struct jv list = {in->p, in->n};
	const size_t n = jv_count(list);
	struct placed *v = calloc(n + 1, sizeof *v);
	struct jv_cursor c = jv_each(list);
	struct jv_member m;
	size_t i = 0;

	if (!v)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	while (i < n && jv_next(&c, &m))
		v[i++] = (struct placed){m.value, jv_get(m.value, "name"), jv_get(m.value, "per"), jv_get(m.value, "id")};
	qsort(v, n, sizeof *v, by_place);
	buf_putc(out, '[');
	for (i = 0; i < n; i++) {
		buf_json_comma(out);
		buf_put(out, v[i].text.p, v[i].text.n);
	}
	buf_putc(out, ']');
	free(v);
	return buf_ok(out, err);
}

static int take(struct sampling *m, struct err *err)
{
	struct buf readings = BUF_INIT(LINE_MAX_BYTES);

	m->out = &readings;
	buf_putc(&readings, '[');
	int bad = tasks_run(m->s->hosts.tasks, m->nasked + 1, sample_one, m, err);
	buf_putc(&readings, ']');
	if (!bad)
		bad = buf_ok(&readings, err);
	/* Nothing was asked for and no balancer is named: the record passes as it is. */
	if (!bad && (m->nasked || readings.n > 2))
		bad = sort_readings(&readings, record_edit(m->r, "metrics"), err);
	buf_release(&readings);
	return bad;
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct sampling m = {.s = ctx,
	                     .r = r,
	                     .policy = record_get(r, "policy"),
	                     .observed = record_get(r, "observed"),
	                     .labels_policy = BUF_INIT(LINE_MAX_BYTES)};
	struct err unused;
	int bad = record_service(r, m.service, err);

	if (record_now(r, &m.now, &unused) < 0)
		m.now = clock_now_ms();
	if (!bad && !jv_is_object(m.policy))
		bad = read_labels(&m, err);
	if (!bad)
		bad = read_target(&m, err);
	if (!bad)
		bad = take(&m, err);
	free(m.asked);
	buf_release(&m.labels_policy);
	return bad ? RECORD_ERROR : RECORD_PRINT;
}

int main(int argc, char **argv)
{
	struct sampler *s = &sampler;
	struct err err = {0};
	int done = front_start(&s->f, &command, FRONT_FILTER, argc, argv);
	if (done >= 0 || (done = front_conf(&s->f)) >= 0)
		return done;

	if (s->over_ms < OVER_MIN_MS) {
		(void)err_set(&err, ERR_USAGE, "--over is at least 100ms: a rate over less says nothing");
		return front_fail(&s->f, &err);
	}
	if (engine_hosts_init(&s->hosts, &s->f.conf, &err) < 0 || balancers_init(s, &err) < 0 ||
	    prometheus_init(s, &err) < 0)
		return front_fail(&s->f, &err);
	done = front_filter_together(&s->f, s->hosts.tasks, each, s, false);
	balancers_release(s);
	prometheus_release(s);
	engine_hosts_release(&s->hosts);
	conf_release(&s->f.conf);
	return done;
}
