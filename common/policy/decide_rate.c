/* How fast the count may change: rates and cooldowns. */
#include "policy/decision.h"
#include "policy/policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define RATES_MAX 8
#define RATE_MOST 1000000 /* replicas or percent */

/* "4/60s,100%/15s min" */
struct rates {
	struct rate {
		int64_t amount, period; /* replicas or percent; ms */
		bool percent;
	} v[RATES_MAX];
	size_t n;
	bool least; /* the one that allows least counts */
};

static bool parse_one(const char *text, size_t n, struct rate *r)
{
	char span[32];
	char *end;

	if (*text < '1' || *text > '9')
		return false;
	r->amount = strtoll(text, &end, 10);
	if (r->amount > RATE_MOST)
		return false;
	r->percent = *end == '%';
	end += r->percent;
	if (*end != '/')
		return false;
	const size_t left = n - (size_t)(end + 1 - text);
	if (end + 1 > text + n || left >= sizeof span)
		return false;
	memcpy(span, end + 1, left);
	span[left] = '\0';
	return duration_parse(span, &r->period) && r->period > 0;
}

static bool parse_rates(const char *text, struct rates *r)
{
	size_t n = strlen(text);

	*r = (struct rates){0};
	if (n > 4 && (strcmp(text + n - 4, " min") == 0 || strcmp(text + n - 4, " max") == 0)) {
		r->least = text[n - 2] == 'i';
		n -= 4;
	}
	for (const char *p = text, *end = text + n;; p++) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const size_t part = comma ? (size_t)(comma - p) : (size_t)(end - p);
		if (r->n == RATES_MAX || !parse_one(p, part, &r->v[r->n++]))
			return false;
		if (!comma)
			return true;
		p = comma;
	}
}

bool rate_valid(const char *text)
{
	struct rates r;

	return parse_rates(text, &r);
}

int64_t rate_longest(const char *text)
{
	struct rates r;
	int64_t longest = 0;

	if (!parse_rates(text, &r))
		return 0;
	for (size_t i = 0; i < r.n; i++)
		longest = r.v[i].period > longest ? r.v[i].period : longest;
	return longest;
}

/* ---- what was moved of late ---- */

/* added and removed: after `since`, by the history and by what this stream plans. */
static void moved(const struct decision *d, int64_t since, int64_t *added, int64_t *removed)
{
	const struct planned *p = decision_unseen(d);
	struct jv_cursor c = jv_each(jv_get(d->in->history, "moves"));
	struct jv_member m;
	int64_t at;

	*added = *removed = 0;
	while (jv_next(&c, &m)) {
		if (!clock_json(jv_get(m.value, "at"), &at) || at <= since)
			continue;
		const int64_t by = count_member(m.value, "to") - count_member(m.value, "from");
		*(by > 0 ? added : removed) += by > 0 ? by : -by;
	}
	if (p && p->at > since) {
		const int64_t by = p->to - p->from;
		*(by > 0 ? added : removed) += by > 0 ? by : -by;
	}
}

/* How far this rate lets the count go. */
static int64_t reach(const struct decision *d, const struct rate *r, bool out)
{
	int64_t added, removed;

	moved(d, d->in->now - r->period, &added, &removed);
	const int64_t start = d->from - added + removed < 0 ? 0 : d->from - added + removed;
	if (!r->percent)
		return out ? start + r->amount : start > r->amount ? start - r->amount : 0;
	if (out)
		return (int64_t)(((__int128)start * (100 + r->amount) + 99) / 100);
	return r->amount >= 100 ? 0 : (int64_t)((__int128)start * (100 - r->amount) / 100);
}

int64_t limit_rate(struct decision *d, int64_t want)
{
	const bool out = want > d->from;
	const char *field = out ? "rate_up" : "rate_down";
	char text[POLICY_TEXT], from[128];
	struct rates r;
	int64_t limit = 0;

	member_text(d->in->policy, field, text, sizeof text);
	if (want == d->from || !*text || !parse_rates(text, &r))
		return want;
	for (size_t i = 0; i < r.n; i++) {
		const int64_t at = reach(d, &r.v[i], out);
		const bool farther = out ? at > limit : at < limit;
		if (!i || farther != r.least)
			limit = at;
	}
	if (out ? limit < d->from : limit > d->from)
		limit = d->from;
	const int64_t to = out ? (want < limit ? want : limit) : (want > limit ? want : limit);
	plan_trace(d, "rate", want, to, "%s %s (%s)", field, text, decision_source(d, field, from));
	if (to != want)
		plan_say_more(d, "; %s %.80s (%s) lets it go to %lld", field, text, decision_source(d, field, from),
		              (long long)to);
	return to;
}

/* ---- cooldown ---- */

/* What the last action outward added; -1: not known. */
static int64_t granted(const struct decision *d, int64_t last)
{
	struct jv_cursor c = jv_each(jv_get(d->in->history, "moves"));
	struct jv_member m;
	int64_t at, most = -1;

	if (d->before && d->before->out && d->before->at >= last)
		return d->before->to - d->before->from;
	while (jv_next(&c, &m)) {
		const int64_t by = count_member(m.value, "to") - count_member(m.value, "from");
		if (by > 0 && by > most && clock_json(jv_get(m.value, "at"), &at) && at >= last)
			most = by;
	}
	return most;
}

/* The history tells when there was an action, but not in a way that can be read. */
static bool unclear(const struct decision *d, const char *member)
{
	return decision_past(d, member) == TIME_NONE && !jv_is_null(jv_get(d->in->history, member));
}

static int64_t span_of(struct jv policy, bool out)
{
	int64_t micro;

	if (jv_micro(jv_get(policy, out ? "cooldown_up" : "cooldown_down"), &micro))
		return micro / 1000;
	return out ? 0 : COOLDOWN_DOWN_MS;
}

int64_t cooldown_left(struct jv policy, bool out, int64_t last, int64_t now)
{
	const int64_t span = span_of(policy, out);

	return last == TIME_NONE || last + span <= now ? 0 : last + span - now;
}

/* A cooldown holds: in after either kind of action; out after one outward, but for what goes beyond that one. One whose
 * begin is not known may be under way. */
int64_t cool_down(struct decision *d, int64_t want)
{
	const bool out = want > d->from;
	const char *field = out ? "cooldown_up" : "cooldown_down";
	const int64_t span = span_of(d->in->policy, out);
	int64_t last = decision_past(d, "last_out"), to = d->from;
	char from[128];

	if (!out && decision_past(d, "last_in") > last)
		last = decision_past(d, "last_in");
	if (d->before && d->before->at > last && (!out || d->before->out))
		last = d->before->at;
	if (want != d->from && span > 0 && (unclear(d, "last_out") || (!out && unclear(d, "last_in")))) {
		plan_say_more(d, "; %s (%s) may be under way: its begin is no time", field, decision_source(d, field, from));
		plan_trace(d, "cooldown", want, d->from, "history.%s is no time",
		           unclear(d, "last_out") ? "last_out" : "last_in");
		d->held = true;
		return d->from;
	}
	const int64_t left = cooldown_left(d->in->policy, out, last, d->in->now);
	if (want == d->from || !left)
		return want;
	const int64_t had = out ? granted(d, last) : -1;
	if (had >= 0 && want - d->from > had)
		to = want - had;
	plan_say_more(d, "; %s of %lld s (%s) has %lld.%03lld s left", field, (long long)(span / 1000),
	              decision_source(d, field, from), (long long)(left / 1000), (long long)(left % 1000));
	if (to > d->from)
		plan_say_more(d, " and granted %lld already", (long long)had);
	d->held = d->held || to == d->from;
	plan_trace(d, "cooldown", want, to, "%s: %lld ms left", field, (long long)left);
	return to;
}
