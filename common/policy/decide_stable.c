/* What keeps the count from swinging: the windows over earlier recommendations, and foresight. */
#include "policy/decision.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* ---- windows ---- */

struct extreme {
	int64_t want, at; /* at: of the one that gave it */
	bool first;       /* it stands for a service of which nothing was known */
};

/* The smallest or largest recommendation of the window, that of now included. */
static struct extreme extreme_of(const struct decision *d, int64_t want, int64_t window, bool largest)
{
	struct extreme e = {want, d->in->now, false};
	struct jv_cursor c = jv_each(jv_get(d->in->history, "window"));
	struct jv_member m;
	int64_t at, earlier;

	while (window > 0 && jv_next(&c, &m)) {
		if (!clock_json(jv_get(m.value, "at"), &at) || at < d->in->now - window ||
		    !jv_int(jv_get(m.value, "want"), &earlier) || earlier < 0)
			continue;
		const bool beyond = largest ? earlier > e.want : earlier < e.want;
		if (beyond || (earlier == e.want && at > e.at)) /* of equals the newest, which holds longest */
			e = (struct extreme){earlier, at, jv_is_true(jv_get(m.value, "first"))};
	}
	return e;
}

/* Out only as far as every recommendation of the one window went, in only as far as every one of the other. */
int64_t stabilize(struct decision *d, int64_t want)
{
	const bool out = want > d->from;
	const char *field = out ? "window_up" : "window_down";
	const int64_t window = decision_ms(d, field, 0);
	char from[128];

	if (want == d->from)
		return want;
	const struct extreme e = extreme_of(d, want, window, !out);
	const int64_t to = out ? (e.want > d->from ? e.want : d->from) : (e.want < d->from ? e.want : d->from);
	plan_trace(d, "window", want, to, "%s %lld s (%s): %s %lld%s", field, (long long)(window / 1000),
	           decision_source(d, field, from), out ? "least wanted" : "most wanted", (long long)e.want,
	           e.first ? ", seen for the first time" : "");
	if (to == want)
		return to;
	if (e.first)
		plan_say_more(d, "; %lld wanted, but the service is seen for the first time: %s of %lld s (%s)",
		              (long long)want, field, (long long)(window / 1000), decision_source(d, field, from));
	else
		plan_say_more(d, "; %lld wanted, %lld %lld s ago: %s of %lld s (%s)", (long long)want, (long long)e.want,
		              (long long)((d->in->now - e.at) / 1000), field, (long long)(window / 1000),
		              decision_source(d, field, from));
	return to;
}

/* ---- foresight ---- */

/* The fewest among which a load does not make the target grow out again. */
static int64_t fewest(const struct decision *d, __int128 load, int64_t target)
{
	const __int128 most = (__int128)target * (1000000 + d->tolerance);
	const __int128 n = (load * 1000000 + most - 1) / most;

	return n > COUNT_MAX ? COUNT_MAX : (int64_t)n;
}

/* What the alert says of its metric is of each replica. */
static int64_t fewest_for_alert(const struct decision *d, char name[NAME])
{
	int64_t value, target;

	member_text(d->in->alert, "metric", name, NAME);
	if (!*name || !jv_micro(jv_get(d->in->alert, "value"), &value) || value < 0 ||
	    !jv_micro(jv_get(jv_get(d->in->policy, "target"), name), &target) || target <= 0)
		return 0;
	return fewest(d, (__int128)d->from * value, target);
}

/* Does not scale in to where it would have to scale out again. */
int64_t foresee(struct decision *d, int64_t want)
{
	char name[NAME], from[128];
	const char *by = NULL;
	int64_t to = want;

	if (want >= d->from)
		return want;
	for (size_t i = 0; i < d->nsignals; i++) {
		const struct signal *s = &d->signals[i];
		const int64_t need = s->missing ? 0 : fewest(d, s->load, s->target);
		if (need > to) {
			to = need;
			by = s->name;
		}
	}
	const int64_t need = fewest_for_alert(d, name);
	if (need > to) {
		to = need;
		by = name;
	}
	if (to > d->from)
		to = d->from;
	if (by)
		plan_say_more(d, "; with %lld %.100s would be above its target (%s) again", (long long)want, by,
		              decision_source(d, "target", from));
	plan_trace(d, "foresight", want, to, "%s%.100s", by ? "the fewest that can bear " : "the rest can bear it",
	           by ? by : "");
	return to;
}
