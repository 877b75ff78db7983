/* How many there should be by each metric that the policy has a target for, and which of these wins.
 *
 * Whatever a metric is of, it becomes a load: that of all replicas together. One of a replica is taken times their
 * number, those of containers are added up. Then ceil(load / target) is wanted, unless load and target * n differ by no
 * more than the tolerance. All of it in millionths and exact. */
#include "policy/decision.h"
#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define MICRO 1000000
#define NAME_SHOWN 100

/* A container's own value, as metrics have it. */
struct reading {
	size_t signal;
	struct jv id; /* as it is written: ids have nothing to escape */
	int64_t micro;
	bool bad;
};

void micro_text(int64_t micro, char out[MICRO_TEXT])
{
	const uint64_t n = micro < 0 ? -(uint64_t)micro : (uint64_t)micro;
	int len = snprintf(out, MICRO_TEXT, "%s%llu.%06u", micro < 0 ? "-" : "", (unsigned long long)(n / MICRO),
	                   (unsigned)(n % MICRO));

	while (out[len - 1] == '0')
		out[--len] = '\0';
	if (out[len - 1] == '.')
		out[--len] = '\0';
}

/* ---- what the policy asks for ---- */

static int by_name(const void *x, const void *y)
{
	const struct signal *a = x, *b = y;
	const int order = strcmp(a->name, b->name);

	return order ? order : (a->target > b->target) - (a->target < b->target);
}

/* The targets, by name. One that is given twice counts as the smaller. */
static bool read_targets(struct decision *d, struct jv target)
{
	struct jv_cursor c = jv_each(target);
	struct jv_member m;
	size_t n = 0;

	/* Decoded names with their ends are no longer than the object, so that the pointers stay good. */
	if (!(d->signals = calloc(jv_count(target) + 1, sizeof *d->signals)) || buf_reserve(&d->names, target.n) < 0)
		return false;
	while (jv_next(&c, &m)) {
		struct signal *s = &d->signals[n++];
		const size_t at = d->names.n;
		if (!jv_str_buf((struct jv){m.name.p - 1, m.name.n + 2}, &d->names))
			return false;
		buf_putc(&d->names, '\0');
		s->name = d->names.p + at;
		if (!jv_micro(m.value, &s->target) || s->target <= 0)
			s->target = 0;
	}
	qsort(d->signals, n, sizeof *d->signals, by_name);
	for (size_t i = 0; i < n; i++)
		if (!d->nsignals || strcmp(d->signals[d->nsignals - 1].name, d->signals[i].name) != 0)
			d->signals[d->nsignals++] = d->signals[i];
	return !d->names.failed;
}

static struct signal *find_signal(const struct decision *d, struct jv entry)
{
	char name[POLICY_TEXT];
	size_t low = 0, high = d->nsignals;

	if (!jv_str(jv_get(entry, "name"), name, sizeof name))
		return NULL;
	while (low < high) {
		const size_t mid = (low + high) / 2;
		const int order = strcmp(name, d->signals[mid].name);
		if (!order)
			return &d->signals[mid];
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

/* ---- what was measured ---- */

static int64_t ceil_div(__int128 load, int64_t target)
{
	const __int128 n = (load + target - 1) / target;

	return n > COUNT_MAX ? COUNT_MAX : (int64_t)n;
}

static bool within(const struct decision *d, __int128 load, int64_t target)
{
	const __int128 full = (__int128)d->from * target, off = load > full ? load - full : full - load;

	return d->from > 0 && off * MICRO <= full * d->tolerance;
}

/* False: it is not to be used, and why says so. */
static bool good_value(const struct decision *d, struct jv entry, int64_t *micro, char why[SIGNAL_WHY])
{
	const struct jv at = jv_get(entry, "at");
	int64_t t = d->in->now;
	const int64_t limit = decision_ms(d, "stale_after", STALE_AFTER_MS);

	if (!jv_is_true(jv_get(entry, "ok"))) {
		member_text(entry, "message", why, SIGNAL_WHY);
		if (!*why)
			(void)snprintf(why, SIGNAL_WHY, "it could not be measured");
	} else if (!jv_micro(jv_get(entry, "value"), micro))
		(void)snprintf(why, SIGNAL_WHY, "its value is no number that fits");
	else if (*micro < 0)
		(void)snprintf(why, SIGNAL_WHY, "its value is negative");
	else if (!jv_is_null(at) && !clock_json(at, &t))
		(void)snprintf(why, SIGNAL_WHY, "its time is none");
	else if (d->in->now - t > limit)
		(void)snprintf(why, SIGNAL_WHY, "it is %lld s old, limit %lld s", (long long)((d->in->now - t) / 1000),
		               (long long)(limit / 1000));
	else
		return true;
	return false;
}

/* Of several reasons the first by its letters, whatever the order in the record. */
static void set_missing(struct signal *s, const char *why)
{
	if (!s->missing || strcmp(why, s->why) < 0)
		(void)snprintf(s->why, sizeof s->why, "%s", why);
	s->missing = true;
}

/* Of several values of one metric the largest counts; of equal ones the service's, wherever they stand in the record.
 */
static void take_value(const struct decision *d, struct signal *s, enum signal_per per, int64_t micro)
{
	const __int128 load = per == PER_REPLICA && d->from ? (__int128)d->from * micro : micro;
	const bool more = load != s->load ? load > s->load : micro != s->value ? micro > s->value : per == PER_SERVICE;

	if (s->here && !more)
		return;
	s->here = true;
	s->per = per;
	s->value = micro;
	s->load = load;
}

static void take_entry(struct decision *d, struct jv entry, struct buf *readings)
{
	struct signal *s = find_signal(d, entry);
	const struct jv per = jv_get(entry, "per");
	char why[SIGNAL_WHY] = "";
	int64_t micro = 0;

	if (!s)
		return;
	const bool good = good_value(d, entry, &micro, why);
	if (jv_is(per, "container")) {
		const struct reading r = {(size_t)(s - d->signals), jv_get(entry, "id"), micro, !good};
		buf_put(readings, &r, sizeof r);
		if (!good && (!*s->silent_why || strcmp(why, s->silent_why) < 0))
			(void)snprintf(s->silent_why, sizeof s->silent_why, "%s", why);
	} else if (!jv_is(per, "service") && !jv_is(per, "replica")) {
		set_missing(s, "it is neither per service nor per replica");
	} else if (!good) {
		set_missing(s, why);
	} else {
		take_value(d, s, jv_is(per, "replica") ? PER_REPLICA : PER_SERVICE, micro);
	}
}

/* ---- containers ---- */

static int by_container(const struct reading *a, size_t signal, struct jv id)
{
	if (a->signal != signal)
		return a->signal < signal ? -1 : 1;
	const int order = memcmp(a->id.p ? a->id.p : "", id.p ? id.p : "", a->id.n < id.n ? a->id.n : id.n);
	return order ? order : (a->id.n > id.n) - (a->id.n < id.n);
}

/* Of several for one container the first counts: one that is bad, then the largest. */
static int by_reading(const void *x, const void *y)
{
	const struct reading *a = x, *b = y;
	const int order = by_container(a, b->signal, b->id);

	if (order || a->bad != b->bad)
		return order ? order : a->bad ? -1 : 1;
	return (a->micro < b->micro) - (a->micro > b->micro);
}

static const struct reading *find_reading(const struct reading *v, size_t n, size_t signal, struct jv id)
{
	size_t low = 0, high = n;

	while (low < high) {
		const size_t mid = (low + high) / 2;
		if (by_container(&v[mid], signal, id) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && by_container(&v[low], signal, id) == 0 ? &v[low] : NULL;
}

/* Those without a value of their own are taken to do nothing where the others have too much, and just enough where
 * those have too little: what is not known moves nothing. */
static void add_containers(struct decision *d, size_t signal, const struct reading *v, size_t n)
{
	struct signal *s = &d->signals[signal];
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "containers"));
	struct jv_member m;
	__int128 sum = 0;
	int64_t good = 0;

	while (jv_next(&c, &m)) {
		const struct reading *r = find_reading(v, n, signal, jv_get(m.value, "id"));
		if (!r || r->bad || !container_running(m.value) || container_unready(m.value))
			continue;
		sum += r->micro;
		good++;
	}
	if (!good) {
		set_missing(s, *s->silent_why ? s->silent_why : "no container that is ready has a value");
		return;
	}
	s->here = true;
	s->per = PER_CONTAINER;
	s->value = (int64_t)(sum / good);
	s->silent = d->from > good ? d->from - good : 0;
	s->load = sum;
	if (sum < (__int128)good * s->target)
		s->load += (__int128)s->silent * s->target;
	else if (s->silent && s->load < (__int128)d->from * s->target)
		s->load = (__int128)d->from * s->target;
}

static void take_containers(struct decision *d, struct buf *readings)
{
	const size_t n = readings->n / sizeof(struct reading);
	struct reading *v = n ? (struct reading *)(void *)readings->p : NULL;

	if (n > 1)
		qsort(v, n, sizeof *v, by_reading);
	for (size_t i = 0; i < n; i++) {
		const size_t signal = v[i].signal;
		if (i && v[i - 1].signal == signal)
			continue;
		if (!d->signals[signal].here && !d->signals[signal].missing)
			add_containers(d, signal, v, n);
	}
}

/* ---- what each wants ---- */

/* hold, N, "N if-higher", "N if-lower" */
static void want_fallback(struct decision *d, struct signal *s)
{
	char text[64];
	long long n;
	int end = 0;

	s->want = d->from;
	if (!policy_text(jv_get(d->in->policy, "on_missing"), text, sizeof text))
		(void)snprintf(text, sizeof text, "hold");
	(void)snprintf(s->fallback, sizeof s->fallback, "%.30s", text);
	if (*text < '0' || *text > '9' || sscanf(text, "%9lld%n", &n, &end) != 1)
		return;
	if (strcmp(text + end, " if-lower") == 0) {
		if (n < d->from)
			s->want = n;
	} else if (n > d->from && (!text[end] || strcmp(text + end, " if-higher") == 0)) {
		s->want = n;
	}
}

static void find_want(struct decision *d, struct signal *s)
{
	if (!s->target)
		set_missing(s, "its target is not above 0");
	else if (!s->here && !s->missing)
		set_missing(s, "it was not measured");
	if (s->missing)
		want_fallback(d, s);
	else if ((s->held = within(d, s->load, s->target)))
		s->want = d->from;
	else
		s->want = ceil_div(s->load, s->target);
}

static void signal_text(const struct decision *d, const struct signal *s, char *out, size_t size)
{
	static const char *const each[] = {"in all", "per replica", "per container"};
	char value[MICRO_TEXT], target[MICRO_TEXT], tolerance[MICRO_TEXT], from[128];
	size_t n;

	if (s->missing) {
		(void)snprintf(out, size, "%.*s is missing (%s), on_missing %s (%s)", NAME_SHOWN, s->name, s->why, s->fallback,
		               decision_source(d, "on_missing", from));
		return;
	}
	micro_text(s->value, value);
	micro_text(s->target, target);
	micro_text(d->tolerance, tolerance);
	(void)snprintf(out, size, "%.*s %s %s, target %s (%s)", NAME_SHOWN, s->name, value, each[s->per], target,
	               decision_source(d, "target", from));
	n = strlen(out);
	if (s->silent)
		(void)snprintf(out + n, size - n, ", %lld of %lld silent", (long long)s->silent, (long long)d->from);
	n = strlen(out);
	if (s->held)
		(void)snprintf(out + n, size - n, ", within tolerance %s", tolerance);
}

/* An empty array says that nothing could be measured; one with only what the choice of a victim needs says nothing. */
static bool measured(struct jv metrics)
{
	struct jv_cursor c = jv_each(metrics);
	struct jv_member m;
	bool any = false;

	if (!jv_is_array(metrics))
		return false;
	while (jv_next(&c, &m)) {
		any = true;
		if (!member_is(m.value, "use", "victim"))
			return true;
	}
	return !any;
}

int signals_read(struct decision *d, struct err *err)
{
	const struct jv target = jv_get(d->in->policy, "target");
	struct buf readings = BUF_INIT(2 * LINE_MAX_BYTES);
	struct jv_cursor c = jv_each(d->in->metrics);
	struct jv_member m;
	char text[640];

	if (!jv_is_object(target) || !measured(d->in->metrics))
		return 0;
	if (!read_targets(d, target))
		return err_set(err, ERR_TEMPORARY, "out of memory");
	while (jv_next(&c, &m))
		if (!member_is(m.value, "use", "victim"))
			take_entry(d, m.value, &readings);
	take_containers(d, &readings);
	const bool failed = readings.failed;
	buf_release(&readings);
	if (failed)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	d->tracking = d->nsignals > 0;
	for (size_t i = 0; i < d->nsignals; i++) {
		find_want(d, &d->signals[i]);
		signal_text(d, &d->signals[i], text, sizeof text);
		plan_trace(d, "signal", d->from, d->signals[i].want, "%s", text);
	}
	return 0;
}

/* ---- the largest wins: out for any of them, in only if none objects ---- */

int64_t signals_merge(struct decision *d, int64_t alert)
{
	const struct signal *winner = NULL;
	char text[640];
	size_t unknown = 0;

	for (size_t i = 0; i < d->nsignals; i++) {
		unknown += d->signals[i].missing;
		if (!winner || d->signals[i].want > winner->want)
			winner = &d->signals[i];
	}
	if (!winner)
		return alert;
	const bool by_alert = alert > winner->want;
	const int64_t want = by_alert ? alert : winner->want;
	if (!by_alert) {
		signal_text(d, winner, text, sizeof text);
		plan_say(d, "%s", text);
		unknown -= winner->missing;
	}
	for (size_t i = 0; i < d->nsignals && unknown; i++)
		if (d->signals[i].missing && (by_alert || &d->signals[i] != winner)) {
			plan_say_more(d, "; %.*s is missing (%s)", NAME_SHOWN, d->signals[i].name, d->signals[i].why);
			break;
		}
	if (unknown > 1)
		plan_say_more(d, " and %zu more", unknown - 1);
	plan_trace(d, "merge", d->from, want, "the largest of %zu: %.*s", d->nsignals + (alert >= 0), NAME_SHOWN,
	           by_alert ? "the alert" : winner->name);
	d->want = want;
	return want;
}
