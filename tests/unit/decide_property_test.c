/* What is true of every decision, tried on a million random records (AS_RECORDS=N: on so many; AS_SEED=N: on others).
 * Of each property that fails, the shortest record is shown: it goes through as-decide as it stands. */
#include "policy/decide.h"

#include "random_record.h"
#include "tap.h"

#include <stdlib.h>

#include "base/banned.h"

#ifdef __SANITIZE_ADDRESS__
#define RECORDS 30000
#else
#define RECORDS 1000000
#endif
#define SEED 20261124

enum property {
	IS_PLAN,
	COUNTED,
	NOT_PAST_MAX,
	NOT_BELOW_MIN,
	REACHES_MIN,
	REACHES_MAX,
	NO_ORIGINAL,
	REMOVED_ONCE,
	NAMES_FREE,
	HOSTS_FREE,
	AS_MANY,
	MISSING_STAYS,
	COOLS,
	IGNORED_STAYS,
	TRACE_ENDS,
	SAME_BYTES,
	ANY_ORDER,
	STREAM_ONCE,
	PROPERTIES
};

static struct {
	const char *name;
	uint64_t tried, failed;
	char *shortest;
	char why[160];
} of[PROPERTIES] = {
	[IS_PLAN] = {"a plan is valid JSON with a known op and a reason; what is refused does nothing"},
	[COUNTED] = {"it begins with the count of what runs, or is restarted, or ran on a host that does not answer"},
	[NOT_PAST_MAX] = {"nothing grows past max, and without a max not past min"},
	[NOT_BELOW_MIN] = {"nothing shrinks below min"},
	[REACHES_MIN] = {"a count below min is brought to it, as far as there is room"},
	[REACHES_MAX] = {"a count above max is brought to it, as far as there is something to remove"},
	[NO_ORIGINAL] = {"only copies go that run and that nobody protects"},
	[REMOVED_ONCE] = {"nothing goes twice, and nothing that was not observed"},
	[NAMES_FREE] = {"the names of copies are free and not given twice"},
	[HOSTS_FREE] = {"copies go where copies may go, not past per_host"},
	[AS_MANY] = {"as many are made or removed as the count moves"},
	[MISSING_STAYS] = {"a metric that is missing or stale never scales in"},
	[COOLS] = {"nothing scales in during its cooldown"},
	[IGNORED_STAYS] = {"an alert that is resolved, stale or older than the last action moves nothing"},
	[TRACE_ENDS] = {"the trace of what acts ends with its count"},
	[SAME_BYTES] = {"the same record gives the same bytes"},
	[ANY_ORDER] = {"the order of members and of entries does not matter"},
	[STREAM_ONCE] = {"two records of one stream give no name twice and remove nothing twice"},
};

static struct writer writer;
static struct buf plan_a = BUF_INIT(4u << 20), plan_b = BUF_INIT(4u << 20);

__attribute__((format(printf, 3, 4))) static void holds(enum property p, bool good, const char *fmt, ...)
{
	va_list ap;

	of[p].tried++;
	if (good)
		return;
	of[p].failed++;
	if (of[p].shortest && strlen(of[p].shortest) <= writer.n)
		return;
	free(of[p].shortest);
	of[p].shortest = strdup(writer.text);
	va_start(ap, fmt);
	(void)vsnprintf(of[p].why, sizeof of[p].why, fmt, ap);
	va_end(ap);
}

/* ---- a plan, read ---- */

#define ENTRIES 128

struct entry {
	char id[64], name[64], host[32];
	int64_t index;
};

struct outcome {
	int refused;
	char op[16];
	int64_t from, to, last_out;
	struct entry create[ENTRIES], remove[ENTRIES];
	int ncreate, nremove, nstart;
};

static int read_list(struct jv list, struct entry *v)
{
	struct jv_cursor c = jv_each(list);
	struct jv_member m;
	int n = 0;

	while (jv_next(&c, &m) && n < ENTRIES) {
		struct entry *e = &v[n++];
		*e = (struct entry){.index = jv_int_or(jv_get(m.value, "index"), -1)};
		(void)jv_str(jv_get(m.value, "id"), e->id, sizeof e->id);
		(void)jv_str(jv_get(m.value, "name"), e->name, sizeof e->name);
		(void)jv_str(jv_get(m.value, "host"), e->host, sizeof e->host);
	}
	return n;
}

#define NODES 1024
static struct jv_node nodes[NODES];

static bool read_outcome(const struct buf *plan, struct outcome *o)
{
	static const char *const ops[] = {"none", "scale-up", "scale-down", "start", "recreate", "attach"};
	struct err err;
	struct jv v;
	bool known = false;
	char reason[2];

	if (jv_scan_indexed(plan->p, plan->n, &v, NULL, 0, NULL, &(struct jv_index){.v = nodes, .max = NODES}, &err) < 0 ||
	    !jv_str(jv_get(v, "op"), o->op, sizeof o->op))
		return false;
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		known = known || strcmp(o->op, ops[i]) == 0;
	o->from = jv_int_or(jv_get(v, "from"), -1);
	o->to = jv_int_or(jv_get(v, "to"), -1);
	o->ncreate = read_list(jv_get(v, "create"), o->create);
	o->nremove = read_list(jv_get(v, "remove"), o->remove);
	o->nstart = (int)jv_count(jv_get(v, "start"));
	o->last_out = INT64_MIN;
	struct jv_cursor c = jv_each(jv_get(v, "trace"));
	for (struct jv_member m; jv_next(&c, &m);)
		o->last_out = jv_int_or(jv_get(m.value, "out"), -1);
	return known && o->from >= 0 && o->to >= 0 && !jv_is(jv_get(v, "reason"), "") &&
	       (jv_str(jv_get(v, "reason"), reason, sizeof reason) || jv_is_string(jv_get(v, "reason")));
}

/* The plan of the record in `writer`, whose values are found through an index with that room; 0: by reading. */
static int decide_text(struct decide_state *state, int64_t later, uint32_t room, struct buf *plan)
{
	struct jv_index index = {.v = nodes, .max = room};
	struct jv_member members[16];
	size_t n = 0;
	struct err err = {0};
	struct jv v;

	if (jv_scan_indexed(writer.text, writer.n, &v, members, 16, &n, &index, &err) < 0) {
		printf("Bail out! the record is none: %s\n%s\n", err.message, writer.text);
		exit(1);
	}
	const struct decide_input in = {.service = "web",
	                                .id = "r",
	                                .now = writer.f.now + later,
	                                .alert = jv_get(v, "alert"),
	                                .observed = jv_get(v, "observed"),
	                                .metrics = jv_get(v, "metrics"),
	                                .policy = jv_get(v, "policy"),
	                                .history = jv_get(v, "history")};
	buf_reset(plan);
	return decide(state, &in, plan, &err) < 0 ? (int)err.code : 0;
}

/* ---- the properties ---- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static const struct container_fact *observed(const struct facts *f, const char *id)
{
	for (int i = 0; i < f->ncontainers; i++)
		if (strcmp(f->c[i].id, id) == 0)
			return &f->c[i];
	return NULL;
}

static void check_limits(const struct facts *f, const struct outcome *o)
{
	int64_t sick = 0;

	for (int i = 0; i < f->ncontainers; i++)
		sick += f->replaces && f->c[i].sick && !f->c[i].removable;
	const int64_t most = f->max >= 0 ? f->max : f->min + sick;
	/* what was deleted or stopped comes back without a max too */
	if (o->to > o->from && (f->max >= 0 || strcmp(o->op, "scale-up") == 0))
		holds(NOT_PAST_MAX, o->to <= most, "%lld -> %lld, max %lld", (long long)o->from, (long long)o->to,
		      (long long)most);
	if (o->to < o->from)
		holds(NOT_BELOW_MIN, o->to >= f->min || f->crossed, "%lld -> %lld, min %lld", (long long)o->from,
		      (long long)o->to, (long long)f->min);
}

/* How many copies there is room for. */
static int64_t room(const struct facts *f)
{
	int64_t n = 0;

	if (f->swarm)
		return INT32_MAX;
	for (int i = 0; i < f->nhosts; i++) {
		if (!f->takes[i] || (f->same_host && i != f->template_host))
			continue;
		if (!f->per_host)
			return INT32_MAX;
		n += f->on[i] < f->per_host ? f->per_host - f->on[i] : 0;
	}
	return n;
}

/* Where nothing else keeps the limits from being kept: no pause, no alert that does not act or that asks for other
 * things, no repair that goes first or has to wait, no unfinished operation, and hosts of which something is known. */
static void check_reach(const struct facts *f, const struct outcome *o)
{
	const bool acts = !f->alert || (f->known && !f->ignored && !f->order);
	const bool repairs = strcmp(o->op, "start") == 0 || strcmp(o->op, "recreate") == 0;

	if (!acts || repairs || f->paused || f->pending || f->crossed)
		return;
	if (o->from < f->min && f->template && !f->dark && !f->going && !f->repairs && !f->settles)
		holds(REACHES_MIN, o->to >= least(f->min, o->from + room(f)), "%lld -> %lld, min %lld", (long long)o->from,
		      (long long)o->to, (long long)f->min);
	if (f->max >= 0 && o->from > f->max && !f->blind && !f->swarm)
		holds(REACHES_MAX, o->to <= f->max || o->to <= o->from - f->removable, "%lld -> %lld, max %lld, %lld can go",
		      (long long)o->from, (long long)o->to, (long long)f->max, (long long)f->removable);
}

static void check_removed(const struct facts *f, const struct outcome *o)
{
	for (int i = 0; i < o->nremove && !f->swarm; i++) {
		const struct container_fact *c = observed(f, o->remove[i].id);
		bool twice = false;
		for (int k = 0; k < i; k++)
			twice = twice || strcmp(o->remove[k].id, o->remove[i].id) == 0;
		holds(REMOVED_ONCE, c && !twice, "%s", o->remove[i].name);
		holds(NO_ORIGINAL, c && c->removable, "%s", o->remove[i].name);
	}
}

static void check_created(const struct facts *f, const struct outcome *o)
{
	int64_t more[FACTS_HOSTS] = {0};

	for (int i = 0; i < o->ncreate && !f->swarm; i++) {
		const struct entry *e = &o->create[i];
		const bool again =
			e->index < 0; /* under its name where it was; another host may have a container of that name */
		const int host = e->host[0] == 'h' ? (int)strtol(e->host + 1, NULL, 10) : -1;
		bool free_ = *e->name != '\0';
		for (int k = 0; k < f->ncontainers; k++)
			free_ = free_ && ((again && f->c[k].host != host) || strcmp(e->name, f->c[k].name) != 0);
		for (int k = 0; k < i; k++)
			free_ = free_ &&
			        ((again && strcmp(e->host, o->create[k].host) != 0) || strcmp(e->name, o->create[k].name) != 0);
		holds(NAMES_FREE, free_, "%s", e->name);
		if (again)
			continue;
		const bool there = host >= 0 && host < f->nhosts && f->takes[host];
		holds(HOSTS_FREE, there && (!f->per_host || f->on[host] + ++more[host] <= f->per_host), "%s on %s", e->name,
		      e->host);
	}
}

static void check_moves(const struct facts *f, const struct outcome *o)
{
	const int64_t moved = o->to - o->from;
	const bool up = strcmp(o->op, "scale-up") == 0, down = strcmp(o->op, "scale-down") == 0;
	const bool fits = !f->swarm && moved < ENTRIES && moved > -ENTRIES;

	if (!f->other_count)
		holds(COUNTED, o->from == f->from, "from %lld, not %lld", (long long)o->from, (long long)f->from);
	if (fits && up)
		holds(AS_MANY, moved > 0 && o->ncreate == moved && !o->nremove, "%d for %lld", o->ncreate, (long long)moved);
	else if (fits && down)
		holds(AS_MANY, moved < 0 && o->nremove == -moved && !o->ncreate, "%d for %lld", o->nremove, (long long)moved);
	else if (strcmp(o->op, "none") == 0 || strcmp(o->op, "attach") == 0)
		holds(AS_MANY, !moved && !o->ncreate && !o->nremove && !o->nstart, "%s moves %lld", o->op, (long long)moved);
	else if (fits && !up)
		holds(AS_MANY, moved == o->ncreate + o->nstart - o->nremove, "%s moves %lld", o->op, (long long)moved);
	if (up || down)
		holds(TRACE_ENDS, o->last_out == o->to, "%lld, not %lld", (long long)o->last_out, (long long)o->to);
	/* only max takes away more */
	const int64_t floor = f->max >= 0 ? least(o->from, f->max) : o->from;
	if (f->tracks && f->missing)
		holds(MISSING_STAYS, o->to >= floor, "%lld -> %lld", (long long)o->from, (long long)o->to);
	if (f->now < f->cooled)
		holds(COOLS, o->to >= floor, "%lld -> %lld", (long long)o->from, (long long)o->to);
	if (f->alert && f->known && f->ignored)
		holds(IGNORED_STAYS, strcmp(o->op, "none") == 0, "%s", o->op);
}

/* The second record of a stream, a moment later, whose observation does not show what the first one's plan did. */
static void check_stream(const struct facts *f, struct decide_state *state, const struct outcome *first)
{
	static struct outcome second;

	if (decide_text(state, 1000, NODES, &plan_b) || !read_outcome(&plan_b, &second) || f->swarm)
		return;
	for (int i = 0; i < first->ncreate; i++)
		for (int k = 0; k < second.ncreate; k++)
			holds(STREAM_ONCE, strcmp(first->create[i].name, second.create[k].name) != 0, "%s is made twice",
			      second.create[k].name);
	for (int i = 0; i < first->nremove; i++)
		for (int k = 0; k < second.nremove; k++)
			holds(STREAM_ONCE, strcmp(first->remove[i].id, second.remove[k].id) != 0, "%s goes twice",
			      second.remove[k].name);
}

static int fresh(struct buf *plan)
{
	struct decide_state *state = decide_state_new();
	const int code = decide_text(state, 0, 0, plan); /* as without an index */

	decide_state_free(state);
	return code;
}

static void check(uint64_t seed, uint64_t i)
{
	static struct outcome o;
	const struct facts *f = &writer.f;

	random_record(&writer, seed, 1);
	struct decide_state *state = decide_state_new();
	const int code = decide_text(state, 0, NODES, &plan_a);
	const bool plan = read_outcome(&plan_a, &o);
	holds(IS_PLAN, plan && (!code || (code == ERR_REFUSED && strcmp(o.op, "none") == 0)), "error %d, op %s", code,
	      o.op);
	if (plan && !f->pending) {
		check_limits(f, &o);
		check_reach(f, &o);
		check_removed(f, &o);
		check_created(f, &o);
		check_moves(f, &o);
		if (i % 8 == 1 && strcmp(o.op, "none") != 0)
			check_stream(f, state, &o);
	}
	decide_state_free(state);
	if (i % 8 == 2) {
		(void)fresh(&plan_b);
		holds(SAME_BYTES, plan_a.n == plan_b.n && memcmp(plan_a.p, plan_b.p, plan_a.n) == 0, "two runs differ");
	}
	if (i % 4)
		return;
	random_record(&writer, seed, seed);
	(void)fresh(&plan_b);
	holds(ANY_ORDER, plan_a.n == plan_b.n && memcmp(plan_a.p, plan_b.p, plan_a.n) == 0, "%.150s", plan_b.p);
}

static uint64_t setting(const char *name, uint64_t usual)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : usual;
}

int main(void)
{
	const uint64_t records = setting("AS_RECORDS", RECORDS), seed = setting("AS_SEED", SEED);
	uint64_t stream = seed;

	printf("# %llu records, AS_SEED=%llu\n", (unsigned long long)records, (unsigned long long)seed);
	for (uint64_t i = 0; i < records; i++)
		check(mix(&stream), i);
	for (int p = 0; p < PROPERTIES; p++) {
		/* a property that nothing was tried on proves nothing */
		if (!OK(!of[p].failed && of[p].tried > records / 1000, "%s (%llu)", of[p].name,
		        (unsigned long long)of[p].tried))
			printf("# %llu failed: %s\n# %s\n", (unsigned long long)of[p].failed, of[p].why,
			       of[p].shortest ? of[p].shortest : "");
		free(of[p].shortest);
	}
	buf_release(&plan_a);
	buf_release(&plan_b);
	return DONE();
}
