/* A record is read, and of it is kept what the page shows. */
#include "cmd/as-report/report.h"

#include "policy/simulate.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define MICRO 1000000
#define TOLERANCE_MICRO 100000 /* where the record does not say it; as pipelines/replay.jq */
#define FAILED_STEPS 8         /* of one decision that are told */

/* What of a record is looked at. */
struct seen {
	struct jv plan, policy, simulation;
	char op[16], outcome[16];
	int64_t now, from, to, count;
	bool diverged; /* a replay that goes its own way: what was done then was not done for this plan */
};

static void text(struct jv object, const char *name, char *out, size_t size)
{
	if (!jv_str(jv_get(object, name), out, size))
		out[0] = '\0';
}

/* A string of any length at the end of b, cut at a character to leave it within its maximum, and on one line. */
static void put_cut(struct buf *b, struct jv string, size_t most)
{
	struct buf whole = BUF_INIT(LINE_MAX_BYTES);
	size_t n;

	if (jv_str_buf(string, &whole) && whole.p) {
		n = strnlen(whole.p, whole.n < most ? whole.n : most);
		while (n < whole.n && n > 0 && ((unsigned char)whole.p[n] & 0xc0) == 0x80)
			n--;
		for (size_t i = 0; i < n; i++)
			if (whole.p[i] == '\n')
				buf_puts(b, "\\n");
			else
				buf_putc(b, whole.p[i]);
		if (n < whole.n)
			buf_puts(b, "\xe2\x80\xa6");
	}
	buf_release(&whole);
}

static int32_t small(int64_t n) { return n > INT32_MAX ? INT32_MAX : n < -1 ? -1 : (int32_t)n; }

static int64_t count_of(struct jv object, const char *name) { return small(jv_int_or(jv_get(object, name), -1)); }

/* ---- loads ---- */

static struct series *series_of(struct service *s, const char *name, const char *per, bool alert)
{
	for (size_t i = 0; i < s->nseries; i++)
		if (s->series[i].alert == alert && strcmp(s->series[i].name, name) == 0 && strcmp(s->series[i].per, per) == 0)
			return &s->series[i];
	if (s->nseries == SERIES_MAX) {
		s->more_series = 1;
		return NULL;
	}
	struct series *v = &s->series[s->nseries++];
	(void)snprintf(v->name, sizeof v->name, "%s", name);
	(void)snprintf(v->per, sizeof v->per, "%s", per);
	v->alert = alert;
	return v;
}

static int sample(struct report *rep, struct series *v, const struct sample *one, struct err *err)
{
	if (!v)
		return 0;
	rep->points++;
	return list_add(&v->samples, one, sizeof *one, err);
}

static int64_t times(int64_t target, int64_t replicas)
{
	return target * (replicas < 1 ? 1 : replicas > REPLICAS_MAX ? REPLICAS_MAX : replicas);
}

/* Is one replica's share past the target and the tolerance? As `over` of pipelines/replay.jq. */
static bool past(const struct seen *seen, int64_t value, int64_t limit)
{
	int64_t tolerance = TOLERANCE_MICRO;

	(void)jv_micro(jv_get(seen->policy, "tolerance"), &tolerance);
	return value != NONE && (__int128)value * MICRO > (__int128)limit * (MICRO + tolerance);
}

/* Each value is measured at the count before the decision; what it may be is drawn for the count after it. */
static int take_loads(struct report *rep, struct service *s, const struct seen *seen, struct jv loads, struct point *p,
                      struct err *err)
{
	struct jv_cursor c = jv_each(loads);
	struct jv_member m;
	char name[160], per[16];
	int64_t target;

	while (jv_is_array(loads) && jv_next(&c, &m)) {
		struct sample one = {seen->now, NONE, NONE};
		text(m.value, "name", name, sizeof name);
		text(m.value, "per", per, sizeof per);
		const bool shared = strcmp(per, "service") == 0;
		if (!jv_micro(jv_get(m.value, "value"), &one.value))
			one.value = NONE;
		if (jv_micro(jv_get(m.value, "target"), &target) && target >= 0 && target < INT64_MAX / REPLICAS_MAX) {
			one.limit = shared ? times(target, p->count) : target;
			p->over = p->over || past(seen, one.value, shared ? times(target, seen->from) : target);
		}
		/* What nobody measured yet has no line of its own. */
		if (*per && sample(rep, series_of(s, name, per, false), &one, err) < 0)
			return -1;
	}
	return 0;
}

static int take_alert(struct report *rep, struct service *s, const struct seen *seen, struct jv alert, struct err *err)
{
	struct sample one = {seen->now, NONE, NONE};
	char name[160];

	text(alert, "metric", name, sizeof name);
	if (!*name || !jv_micro(jv_get(alert, "value"), &one.value))
		return 0;
	if (!jv_micro(jv_get(alert, "threshold"), &one.limit))
		one.limit = NONE;
	return sample(rep, series_of(s, name, "alert", true), &one, err);
}

/* ---- rows ---- */

static bool listed(const struct buf *list, const char *word)
{
	const size_t n = strlen(word);

	for (const char *p = list->n ? list->p : NULL; p; p = strstr(p, ", "), p = p ? p + 2 : NULL)
		if (strncmp(p, word, n) == 0 && (p[n] == '\0' || strncmp(p + n, ", ", 2) == 0))
			return true;
	return false;
}

enum source { SOURCE_STORE, SOURCE_OTHER, SOURCE_DEFAULT, SOURCES };

static enum source source_of(const char *from)
{
	return strncmp(from, "db:", 3) == 0 ? SOURCE_STORE : strcmp(from, "default") == 0 ? SOURCE_DEFAULT : SOURCE_OTHER;
}

/* Where the values of its policy came from: versions of policies; where there are none the other sources; else the
 * defaults. A plan that was taken up again goes by the policies that it was made by. */
static void put_sources(const struct record *r, struct buf *out)
{
	const struct jv decided_by = jv_get(record_get(r, "intent"), "policies");
	const bool resumed = jv_is(jv_get(record_get(r, "intent"), "state"), "resumed") && jv_is_array(decided_by);
	const struct jv from = resumed ? decided_by : jv_get(record_get(r, "policy"), "from");
	struct jv_member m;
	char one[160], word[170];

	for (int which = SOURCE_STORE; which < SOURCES && !out->n; which++)
		for (struct jv_cursor c = jv_each(from); jv_next(&c, &m);) {
			if (!jv_str(m.value, one, sizeof one))
				continue;
			(void)snprintf(word, sizeof word, "%s%s", resumed ? "db:" : "", one);
			if ((int)source_of(word) != which || listed(out, word))
				continue;
			buf_puts(out, out->n ? ", " : "");
			buf_puts(out, word);
		}
}

/* Steps that are not ok: "as-clone create web-2: message"; the message if it is not told already. */
static void put_failed(struct buf *out, struct jv list, const char *stage, const char *const members[4], struct jv told)
{
	struct jv_cursor c = jv_each(list);
	struct jv_member m;
	int64_t n = 0;

	while (jv_is_array(list) && jv_next(&c, &m)) {
		const struct jv ok = jv_get(m.value, "ok");
		if (!jv_here(ok) || jv_is_true(ok) || n++ >= FAILED_STEPS)
			continue;
		buf_puts(out, out->n ? "\n" : "");
		buf_puts(out, stage);
		for (size_t i = 0; i < 4; i++) {
			const struct jv v = jv_get(m.value, members[i]);
			if (!jv_is_string(v) || v.n <= 2 || (i == 3 && v.n == told.n && memcmp(v.p, told.p, v.n) == 0))
				continue;
			buf_puts(out, i == 3 ? ": " : i || *stage ? " " : "");
			put_cut(out, v, 300);
		}
	}
	if (n > FAILED_STEPS)
		buf_printf(out, "\nand %lld more", (long long)(n - FAILED_STEPS));
}

static bool put_failure(const struct record *r, struct buf *out)
{
	static const char *const step[4] = {"stage", "do", "name", "message"};
	static const char *const entry[4] = {"do", "server", "lb", "message"};
	const struct jv error = record_get(r, "error");

	if (jv_is_object(error)) {
		put_cut(out, jv_get(error, "stage"), 64);
		buf_puts(out, " ");
		put_cut(out, jv_get(error, "code"), 64);
		buf_puts(out, ": ");
		put_cut(out, jv_get(error, "message"), 700);
	}
	put_failed(out, record_get(r, "steps"), "", step, jv_get(error, "message"));
	put_failed(out, record_get(r, "lb"), "as-lb-update", entry, jv_get(error, "message"));
	return out->n > 0;
}

static int take_row(struct report *rep, struct service *s, const struct record *r, const struct seen *seen,
                    struct err *err)
{
	struct buf reason = BUF_INIT(2 * TEXT_MAX), policy = BUF_INIT(2 * TEXT_MAX), failure = BUF_INIT(16 * TEXT_MAX);
	struct row row = {.first = seen->now, .last = seen->now, .times = 1};

	put_cut(&reason, jv_get(seen->plan, "reason"), TEXT_MAX);
	put_sources(r, &policy);
	if (!seen->diverged && put_failure(r, &failure))
		s->failures++;
	row.from = small(seen->from);
	row.to = small(seen->to);
	(void)snprintf(row.op, sizeof row.op, "%s", seen->op);
	(void)snprintf(row.outcome, sizeof row.outcome, "%s", seen->diverged ? "replayed" : seen->outcome);
	row.worth = failure.n ? FAILED : strcmp(seen->op, "none") != 0 ? ACTS : NOTHING;
	row.reason = reason.p ? reason.p : "";
	row.policy = policy.p ? policy.p : "";
	row.failure = failure.p ? failure.p : "";
	const int bad = row_add(rep, s, &row, err);
	buf_release(&reason);
	buf_release(&policy);
	buf_release(&failure);
	return bad;
}

/* ---- the record ---- */

/* The number that a decision leaves: as simulated, or, as `recorded` of a replay has it, what its outcome says. */
static int32_t count_after(const struct seen *seen)
{
	if (jv_is_object(seen->simulation))
		return small(count_of(seen->simulation, "count"));
	return small(outcome_acts(seen->outcome) ? seen->to : seen->from);
}

static void tally(struct service *s, const struct seen *seen, int32_t count)
{
	s->out += strcmp(seen->op, "scale-up") == 0 && count > seen->from;
	s->in += strcmp(seen->op, "scale-down") == 0 && count < seen->from;
	s->repairs += strcmp(seen->op, "start") == 0 || strcmp(seen->op, "recreate") == 0;
}

static int take_point(struct report *rep, struct service *s, const struct record *r, const struct seen *seen,
                      struct err *err)
{
	const struct decide_input in = {.policy = seen->policy, .metrics = record_get(r, "metrics")};
	struct point p = {.at = seen->now, .count = count_after(seen), .min = -1, .max = -1};
	struct buf member = BUF_INIT(LINE_MAX_BYTES);
	struct jv loads = jv_get(seen->simulation, "load");
	int bad = 0;

	if (p.count < 0)
		return 0;
	p.recorded = jv_is_object(seen->simulation) ? small(count_of(seen->simulation, "recorded")) : p.count;
	p.min = small(count_of(seen->policy, "min"));
	p.max = small(count_of(seen->policy, "max"));
	if (!jv_is_object(seen->simulation)) {
		simulate_load(&in, &member);
		bad = buf_ok(&member, err) < 0 || jv_scan(member.p, member.n, &loads, NULL, 0, NULL, err) < 0 ? -1 : 0;
	}
	if (!bad)
		bad = take_loads(rep, s, seen, loads, &p, err);
	buf_release(&member);
	if (bad || take_alert(rep, s, seen, record_get(r, "alert"), err) < 0)
		return -1;
	tally(s, seen, p.count);
	rep->points++;
	return list_add(&s->points, &p, sizeof p, err);
}

static bool look(struct seen *seen, const struct record *r)
{
	seen->plan = record_get(r, "plan");
	seen->policy = record_get(r, "policy");
	seen->simulation = record_get(r, "simulation");
	seen->diverged = jv_is_true(jv_get(seen->simulation, "diverged"));
	text(seen->plan, "op", seen->op, sizeof seen->op);
	text(record_get(r, "audit"), "outcome", seen->outcome, sizeof seen->outcome);
	seen->from = count_of(seen->plan, "from");
	seen->to = count_of(seen->plan, "to");
	if (!*seen->op)
		(void)snprintf(seen->op, sizeof seen->op, "none");
	return jv_is_object(seen->plan);
}

static bool has_room(struct report *rep, const char *name)
{
	return rep->points + 2 * SERIES_MAX < POINTS_MAX &&
	       (rep->services.n < rep->services.max || byname_find(&rep->services, name));
}

enum record_fate report_take(void *ctx, struct record *r, struct err *err)
{
	struct report *rep = ctx;
	struct seen seen = {0};
	char name[SERVICE_NAME_MAX + 1];

	if (record_service(r, name, err) < 0 || record_now(r, &seen.now, err) < 0)
		return RECORD_ERROR;
	const bool decided = look(&seen, r);
	if (!decided && !jv_is_object(record_get(r, "error"))) {
		rep->undecided++;
		return RECORD_DROP;
	}
	/* A replay does not decide what comes too late. */
	if (jv_here(seen.simulation) && !jv_is_object(seen.simulation)) {
		rep->late++;
		return RECORD_DROP;
	}
	if (!has_room(rep, name)) {
		rep->left_out++;
		return RECORD_DROP;
	}
	struct service *s = byname_get(&rep->services, name, err);
	if (!s || take_row(rep, s, r, &seen, err) < 0 || (decided && take_point(rep, s, r, &seen, err) < 0))
		return RECORD_ERROR;
	s->records++;
	s->simulated = s->simulated || jv_is_object(seen.simulation);
	s->diverged = s->diverged || seen.diverged;
	rep->simulated = rep->simulated || s->simulated;
	rep->from = !rep->records || seen.now < rep->from ? seen.now : rep->from;
	rep->until = !rep->records || seen.now > rep->until ? seen.now : rep->until;
	rep->records++;
	return RECORD_DROP;
}
