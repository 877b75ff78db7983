/* What the load balancers of a service count. A balancer that cannot be read, or does not know a thing, makes that
 * reading not ok; nothing is ever taken for zero.
 *
 * The response time of an interval without any answer is the one special case. No answers because nobody asked is a
 * load of nothing, and its time is 0: as a missing value it would keep an idle service from ever getting smaller. No
 * answers while requests wait is an application that hangs, and then the time is not known. */
#include "cmd/as-sample/look.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define NAMES_MAX 1024 /* of policy.lb */
#define SOURCE_MAX (NAMES_MAX + 8)
#define SIDES_MAX CONFIG_LBS_MAX
#define MICRO 1000000

enum kind { CONNECTIONS, QUEUE, REQUEST_RATE, ERROR_RATE, RESPONSE_TIME, KINDS };

static const struct {
	const char *name, *unit;
	bool rate; /* takes two looks */
	enum metric_per per;
} kinds[KINDS] = {
	[CONNECTIONS] = {"lb.connections", "connections", false, PER_SERVICE},
	[QUEUE] = {"lb.queue", "requests", false, PER_SERVICE},
	[REQUEST_RATE] = {"lb.request_rate", "1/s", true, PER_SERVICE},
	[ERROR_RATE] = {"lb.error_rate", "1/s", true, PER_SERVICE},
	[RESPONSE_TIME] = {"lb.response_time", "s", true, PER_REPLICA},
};

/* One balancer of the service. */
struct side {
	char name[LB_NAME];
	struct balancer *b;
	struct sight *before, *now;
	const struct lb_seen *seen; /* the service's backend; NULL: err */
	struct lb_rates rates;
	bool fell; /* its counters began anew between the looks */
	struct err err;
};

struct behind {
	struct sampling *m;
	char backend[LB_NAME], source[SOURCE_MAX];
	struct side *v;
	size_t n;
	bool rates;
	int64_t at;
	/* The sums over all sides, in millionths; err.code 0: good. */
	struct {
		int64_t micro;
		struct err err;
	} sum[KINDS];
	int64_t up, up_sessions; /* servers that take requests, and their sessions; -1: not known */
};

/* ---- which ---- */

static enum kind kind_of(const char *name)
{
	enum kind k = 0;

	while (k < KINDS && strcmp(kinds[k].name, name) != 0)
		k++;
	return k;
}

/* "replica:lb.connections" -> "lb.connections"; *per_replica: it began so. */
static const char *bare(const struct metric *metric, bool *per_replica)
{
	static const char prefix[] = "replica:";

	*per_replica = strncmp(metric->name, prefix, sizeof prefix - 1) == 0;
	return metric->name + (*per_replica ? sizeof prefix - 1 : 0);
}

static bool is_asked(const struct metric *metric)
{
	bool per_replica;

	return strncmp(bare(metric, &per_replica), "lb.", 3) == 0;
}

/* One side for each name in policy.lb. */
static int find_sides(struct behind *s, struct err *err)
{
	char names[NAMES_MAX] = "", *rest = names;

	(void)jv_str(jv_get(s->m->policy, "lb"), names, sizeof names);
	if (!*names)
		return 0;
	if (!(s->v = calloc(SIDES_MAX, sizeof *s->v)))
		return err_set(err, ERR_TEMPORARY, "out of memory");
	while (*rest) {
		const char *name = rest;
		bool twice = false;
		rest += strcspn(rest, ",");
		if (*rest)
			*rest++ = '\0';
		for (size_t i = 0; i < s->n; i++)
			twice = twice || strcmp(s->v[i].name, name) == 0;
		if (twice || !lb_safe_name(name))
			continue;
		if (s->n == SIDES_MAX)
			return err_set(err, ERR_LIMIT, "service %s has more than %d load balancers", s->m->service, SIDES_MAX);
		struct side *side = &s->v[s->n++];
		(void)snprintf(side->name, sizeof side->name, "%s", name);
		const size_t used = strlen(s->source);
		(void)snprintf(s->source + used, sizeof s->source - used, "%s%s", used ? "," : "lb:", name);
		const struct conf_lb *conf = conf_lb(&s->m->s->f.conf, name);
		if (conf)
			side->b = &s->m->s->balancers->v[conf - s->m->s->f.conf.lbs];
		else
			(void)err_set(&side->err, ERR_CONFIG, "load balancer \"%s\" is not configured: add a [lb \"%s\"] section",
			              name, name);
	}
	return 0;
}

/* ---- one balancer ---- */

static void find_rates(struct side *side, const char *backend)
{
	const struct lb_seen *was = lb_look_find(&side->before->look, backend);

	side->rates = lb_rates(was ? &was->stats : &lb_stats_unknown, &side->seen->stats);
	side->fell = !was || (was->stats.requests > side->seen->stats.requests && side->seen->stats.requests >= 0);
}

static void take_side(void *ctx, size_t i)
{
	const struct behind *s = ctx;
	struct side *side = &s->v[i];

	if (!side->b)
		return;
	side->now = sight_take(s->m->s->balancers, side->b, s->m->now, s->rates, &side->before);
	if (!side->now || (s->rates && !side->now->err.code && !side->before))
		(void)err_set(&side->err, ERR_TEMPORARY, "out of memory");
	else if (side->now->err.code)
		side->err = side->now->err;
	else if (!(side->seen = lb_look_find(&side->now->look, s->backend)))
		(void)err_set(&side->err, ERR_NOT_FOUND, "lb %s: No such backend: %s (autoscale.lb.backend names another one)",
		              side->name, s->backend);
	else if (s->rates)
		find_rates(side, s->backend);
}

/* What a balancer does not tell, and what to do about it. */
static const struct {
	const char *driver;
	unsigned kinds;
	const char *why;
} blind[] = {
	{"haproxy", 1u << ERROR_RATE | 1u << RESPONSE_TIME, "HAProxy knows it in `mode http` only, and only soon after it"},
	{"nginx", 1u << CONNECTIONS,
     "nginx counts requests in hand only as a whole: they are a backend's when it is the only one in the folder, and "
     "`admin` is configured"},
	{"nginx", 1u << REQUEST_RATE | 1u << ERROR_RATE | 1u << RESPONSE_TIME,
     "nginx counts answers in its access log only: configure its `log`, as in autoscale.conf(5)"},
	{"traefik", 1u << CONNECTIONS,
     "Traefik does not count them; they are seen when it runs on this machine, or in a `container` that is configured"},
	{"envoy", 1u << RESPONSE_TIME,
     "Envoy has brought no new times: let its configuration say `stats_flush_on_admin: true`, or measure --over 6s"},
	{"nginx", 1u << QUEUE, "nginx has no queue"},
	{"traefik", 1u << QUEUE, "Traefik has no queue"},
};

static int is_unknown(const struct side *side, enum kind k, struct err *err)
{
	const char *why = "it does not tell";

	for (size_t i = 0; i < sizeof blind / sizeof *blind; i++)
		if (strcmp(blind[i].driver, side->b->driver->name) == 0 && blind[i].kinds & 1u << k)
			why = blind[i].why;
	if (kinds[k].rate && side->fell)
		why = "its counters began anew since the first look; the next pass will know it";
	return err_set(err, ERR_UNAVAILABLE, "lb %s: %s is not known: %s", side->name, kinds[k].name, why);
}

static int value_of(const struct side *side, enum kind k, int64_t *value, struct err *err)
{
	const struct lb_stats *now = &side->seen->stats;

	switch (k) {
	case CONNECTIONS: *value = now->connections * MICRO; break;
	case QUEUE: *value = now->queue * MICRO; break;
	case REQUEST_RATE: *value = side->rates.request_rate_milli * (MICRO / 1000); break;
	case ERROR_RATE: *value = side->rates.error_rate_milli * (MICRO / 1000); break;
	default:
		*value = side->rates.requests == 0 ? 0 : side->rates.response_us;
		if (side->rates.requests == 0 && now->connections > 0)
			return err_set(err, ERR_UNAVAILABLE, "lb %s: no request was answered, but %lld wait", side->name,
			               (long long)now->connections);
		break;
	}
	return *value < 0 ? is_unknown(side, k, err) : 0;
}

/* ---- all of them ---- */

/* The response time is weighted by requests, all else is added. */
static void add_up(struct behind *s, enum kind k)
{
	__int128 sum = 0;
	int64_t requests = 0, value;
	struct err *err = &s->sum[k].err;

	for (size_t i = 0; i < s->n; i++) {
		const struct side *side = &s->v[i];
		if (side->err.code)
			*err = side->err;
		if (side->err.code || value_of(side, k, &value, err) < 0)
			return;
		sum += k == RESPONSE_TIME ? (__int128)value * side->rates.requests : value;
		requests += k == RESPONSE_TIME ? side->rates.requests : 0;
	}
	if (k == RESPONSE_TIME && requests)
		sum /= requests;
	if (sum > INT64_MAX)
		(void)err_set(err, ERR_LIMIT, "%s: %s is no number that can be", s->source, kinds[k].name);
	else
		s->sum[k].micro = (int64_t)sum;
}

/* A container behind several balancers is one server at each, by the same name. */
static bool counted_before(const struct behind *s, size_t side, const char *name)
{
	for (size_t i = 0; i < side; i++)
		for (size_t k = 0; k < s->v[i].seen->n; k++)
			if (s->v[i].seen->v[k].state == LB_UP && strcmp(s->v[i].seen->v[k].name, name) == 0)
				return true;
	return false;
}

static void count_servers(struct behind *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (!s->v[i].seen)
			return;
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->v[i].seen->n; k++) {
			const struct lb_busy *b = &s->v[i].seen->v[k];
			if (b->state != LB_UP)
				continue;
			s->up += !counted_before(s, i, b->name);
			if (b->sessions < 0)
				s->up_sessions = -1;
			else if (s->up_sessions >= 0)
				s->up_sessions += b->sessions;
		}
}

/* ---- the readings ---- */

static void tell(const struct behind *s, const struct metric *metric)
{
	bool per_replica;
	const enum kind k = kind_of(bare(metric, &per_replica));
	struct reading v = {.name = metric->name, .source = s->source, .at = s->at};

	if (k == KINDS) {
		struct err err;
		(void)err_set(&err, ERR_INPUT,
		              "nothing measures \"%s\": of load balancers lb.connections, lb.queue, lb.request_rate, "
		              "lb.error_rate and lb.response_time are known",
		              metric->name);
		put_failure(s->m, metric->name, PER_SERVICE, s->source, &err);
		return;
	}
	v.unit = kinds[k].unit;
	v.per = per_replica ? PER_REPLICA : kinds[k].per;
	v.micro = s->sum[k].micro;
	if (s->sum[k].err.code)
		v.why = s->sum[k].err.message;
	else if (per_replica && k == CONNECTIONS && s->up > 0 && s->up_sessions >= 0)
		v.micro = s->up_sessions * MICRO / s->up;
	else if (per_replica && kinds[k].per == PER_SERVICE && s->up > 0)
		v.micro /= s->up;
	put_reading(s->m, &v);
}

/* The sessions of one container: of its entries at all sides. */
static void tell_container(const struct behind *s, const char *id, const char *entry)
{
	struct reading v = {.name = kinds[CONNECTIONS].name,
	                    .id = id,
	                    .per = PER_CONTAINER,
	                    .unit = kinds[CONNECTIONS].unit,
	                    .source = s->source,
	                    .at = s->at};
	bool there = false;
	char why[LB_NAME + 64];

	for (size_t i = 0; i < s->n && !v.why; i++) {
		const struct lb_seen *seen = s->v[i].seen;
		if (!seen) {
			(void)snprintf(why, sizeof why, "lb %s could not be read", s->v[i].name);
			v.why = why;
		}
		for (size_t k = 0; seen && k < seen->n; k++) {
			if (strcmp(seen->v[k].name, entry) != 0)
				continue;
			there = true;
			v.micro += seen->v[k].sessions * MICRO;
			if (seen->v[k].sessions < 0) {
				(void)snprintf(why, sizeof why, "lb %s does not tell its connections", s->v[i].name);
				v.why = why;
			}
		}
	}
	if (!there && !v.why)
		v.why = "it has no entry there";
	put_reading(s->m, &v);
}

static void tell_containers(const struct behind *s)
{
	struct jv_cursor c = jv_each(jv_get(s->m->observed, "containers"));
	struct jv_member m;
	char id[80], entry[LB_NAME];

	while (jv_next(&c, &m))
		if (jv_str(jv_get(m.value, "id"), id, sizeof id) && lb_server_name(id, entry) &&
		    jv_is(jv_get(m.value, "state"), "running"))
			tell_container(s, id, entry);
}

static void measure(struct behind *s, struct err *err)
{
	if (s->n && tasks_run(s->m->s->hosts.tasks, s->n, take_side, s, err) < 0)
		return;
	s->at = clock_now_ms();
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].now && s->v[i].now->begun_utc < s->at)
			s->at = s->v[i].now->begun_utc;
	for (enum kind k = 0; k < KINDS; k++)
		if (s->rates || !kinds[k].rate)
			add_up(s, k);
	count_servers(s);
}

void sample_balancers(struct sampling *m)
{
	struct behind s = {.m = m};
	struct err err = {0};
	size_t asked = 0;

	for (size_t i = 0; i < m->nasked; i++) {
		bool per_replica;
		const enum kind k = kind_of(bare(&m->asked[i], &per_replica));
		asked += is_asked(&m->asked[i]);
		s.rates = s.rates || (k < KINDS && kinds[k].rate);
	}
	(void)snprintf(s.backend, sizeof s.backend, "%s", m->service);
	(void)jv_str(jv_get(m->policy, "lb_backend"), s.backend, sizeof s.backend);
	if (find_sides(&s, &err) == 0 && s.n)
		measure(&s, &err);
	else if (!err.code && asked)
		(void)err_set(&err, ERR_MISSING,
		              "service %s joins no load balancer: say which with autoscale.lb, or in its policy", m->service);
	for (size_t i = 0; i < m->nasked; i++)
		if (is_asked(&m->asked[i]) && err.code)
			put_failure(m, m->asked[i].name, PER_SERVICE, *s.source ? s.source : "lb", &err);
		else if (is_asked(&m->asked[i]))
			tell(&s, &m->asked[i]);
	if (s.n && !err.code)
		tell_containers(&s);
	for (size_t i = 0; i < s.n; i++) {
		sight_drop(s.v[i].before);
		sight_drop(s.v[i].now);
	}
	free(s.v);
}
