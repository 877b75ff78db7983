#include "policy/schedule.h"

#include "base/clock.h"
#include "base/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define DAY INT64_C(86400)
#define WHOLE_DAY (24 * 60)
#define ALL_DAYS 0x7fu

bool schedule_zones(char *why, size_t size) { return zone_database(why, size); }

/* ---- the text ---- */

struct reading {
	const char *p; /* in one entry, */
	const char *end;
	char *why;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static bool wrong(const struct reading *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->why, r->size, fmt, ap);
	va_end(ap);
	return false;
}

/* The next word between spaces; "" at the end. One that is too long for anything is cut, and matches nothing. */
static const char *word(struct reading *r, char out[ZONE_NAME_MAX + 2])
{
	size_t n = 0;

	while (r->p < r->end && *r->p == ' ')
		r->p++;
	for (; r->p < r->end && *r->p != ' '; r->p++)
		if (n < ZONE_NAME_MAX + 1)
			out[n++] = *r->p;
	out[n] = '\0';
	return out;
}

/* 0 to 6; -1: no day. */
static int day_of(const char *name)
{
	static const char *const names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

	for (int i = 0; i < 7; i++)
		if (strncmp(name, names[i], 3) == 0)
			return i;
	return -1;
}

/* daily, or days and ranges with commas: mon,wed-fri. A range may go over the week's end: sat-mon. */
static bool read_days(struct reading *r, struct schedule_entry *e)
{
	char text[ZONE_NAME_MAX + 2];
	const char *p = word(r, text);

	e->days = strcmp(p, "daily") == 0 ? ALL_DAYS : 0;
	while (!e->days || *p == ',') {
		p += e->days ? 1 : 0;
		const int first = day_of(p);
		const int last = first >= 0 && p[3] == '-' ? day_of(p + 4) : first;
		if (first < 0 || last < 0)
			return wrong(r, "\"%s\" are no days such as mon-fri, sat,sun or daily", text);
		p += p[3] == '-' ? 7 : 3;
		for (int day = first;; day = (day + 1) % 7) {
			e->days |= 1u << day;
			if (day == last)
				break;
		}
	}
	return !*p || strcmp(text, "daily") == 0 || wrong(r, "\"%s\" are no days such as mon-fri, sat,sun or daily", text);
}

/* HH:MM, moved past. -1: it is none. */
static int minutes(const char **p)
{
	const char *s = *p;

	for (int i = 0; i < 5; i++)
		if (i == 2 ? s[i] != ':' : s[i] < '0' || s[i] > '9')
			return -1;
	const int h = (s[0] - '0') * 10 + s[1] - '0', m = (s[3] - '0') * 10 + s[4] - '0';
	*p += 5;
	return h * 60 + m <= WHOLE_DAY && m < 60 ? h * 60 + m : -1;
}

static bool read_times(struct reading *r, struct schedule_entry *e)
{
	char text[ZONE_NAME_MAX + 2];
	const char *p = word(r, text);

	e->start = minutes(&p);
	if (e->start >= 0 && *p == '-') {
		p++;
		e->end = minutes(&p);
	} else {
		e->end = -1;
	}
	if (e->start < 0 || e->end < 0 || *p || e->start == WHOLE_DAY)
		return wrong(r, "\"%s\" are no times from 00:00-00:01 to 00:00-24:00", text);
	return e->start != e->end || wrong(r, "start and end are equal: a whole day is 00:00-24:00");
}

/* min=N, max=N, initial=N: each at most once, in any order. */
static bool read_bounds(struct reading *r, struct schedule_entry *e)
{
	const struct {
		const char *name;
		int64_t *value;
	} bounds[] = {{"min=", &e->min}, {"max=", &e->max}, {"initial=", &e->initial}};
	char text[ZONE_NAME_MAX + 2], *end = text;

	while (*word(r, text)) {
		size_t i = 0, n = 0;
		while (i < 3 && (n = strlen(bounds[i].name), strncmp(text, bounds[i].name, n) != 0))
			i++;
		if (i == 3 || *bounds[i].value >= 0)
			return wrong(r, "\"%s\" is not one of min=N, max=N and initial=N, each once", text);
		const bool digit = text[n] >= '0' && text[n] <= '9' && (text[n] != '0' || !text[n + 1]);
		const long long v = digit ? strtoll(text + n, &end, 10) : -1;
		if (v < 0 || *end || v > REPLICAS_MAX)
			return wrong(r, "\"%s\": a number from 0 to %d", text, REPLICAS_MAX);
		*bounds[i].value = v;
	}
	if (e->min < 0 && e->max < 0)
		return wrong(r, "it has neither min=N nor max=N");
	return e->max < 0 || e->min <= e->max ||
	       wrong(r, "min %lld is larger than max %lld", (long long)e->min, (long long)e->max);
}

bool schedule_next(const char **text, struct schedule_entry *e, char *why, size_t size)
{
	const size_t n = strcspn(*text, ";");
	struct reading r = {.p = *text, .end = *text + n, .why = why, .size = size};
	char zone[ZONE_NAME_MAX + 2];

	*text += n + ((*text)[n] == ';');
	*e = (struct schedule_entry){.min = -1, .max = -1, .initial = -1};
	if (!read_days(&r, e) || !read_times(&r, e))
		return false;
	if (!*word(&r, zone) || strchr(zone, '='))
		return wrong(&r, "a zone such as Europe/Berlin or UTC has to stand behind the times");
	if (!zone_get(zone, why, size))
		return false;
	(void)snprintf(e->zone, sizeof e->zone, "%.*s", ZONE_NAME_MAX, zone);
	return read_bounds(&r, e);
}

bool schedule_valid(const char *text, char *why, size_t size)
{
	char what[160];
	int entry = 0;
	bool more;

	do {
		struct schedule_entry e;
		more = strchr(text, ';') != NULL;
		entry++;
		if (!schedule_next(&text, &e, what, sizeof what)) {
			(void)snprintf(why, size, "entry %d: %s", entry, what);
			return false;
		}
	} while (more);
	return true;
}

/* ---- the time ---- */

/* The first moment at which the wall clock shows this, or more. wall, and the result, in seconds. */
static int64_t moment(const struct zone *z, int64_t wall)
{
	int64_t at = wall - 2 * DAY, until; /* surely before */

	for (;; at = until) {
		const int64_t here = wall - zone_offset(z, at, &until);
		if (here < at)
			return at; /* what was left out */
		if (here < until)
			return here;
	}
}

static int64_t floor_div(int64_t a, int64_t by) { return a / by - (a % by < 0); }

static bool has_day(const struct schedule_entry *e, int64_t day)
{
	return e->days >> (((day + 3) % 7 + 7) % 7) & 1; /* 1970-01-01 was a Thursday */
}

bool schedule_active(const struct schedule_entry *e, int64_t now_ms, int64_t *since)
{
	char why[160];
	const struct zone *z = zone_get(e->zone, why, sizeof why);
	const int64_t now = floor_div(now_ms, 1000), start = e->start * INT64_C(60), end = e->end * INT64_C(60);
	int64_t until;

	if (!z)
		return false;
	const int64_t wall = now + zone_offset(z, now, &until);
	int64_t day = floor_div(wall, DAY);
	const int64_t time = wall - day * DAY;
	const bool today = has_day(e, day) && time >= start && (time < end || end <= start);
	if (!today && (end > start || time >= end || !has_day(e, --day)))
		return false;
	*since = moment(z, day * DAY + start) * 1000;
	return true;
}

bool schedule_at(const char *text, int64_t now_ms, struct schedule_entry *out)
{
	char why[160];
	bool more;

	do {
		more = strchr(text, ';') != NULL;
		if (schedule_next(&text, out, why, sizeof why) && schedule_active(out, now_ms, &out->since))
			return true;
	} while (more);
	return false;
}

/* Is b active when a begins, on a day of the week that begins with this one? */
static bool begins_inside(const struct schedule_entry *a, const struct schedule_entry *b, int64_t first_day)
{
	char why[160];
	const struct zone *z = zone_get(a->zone, why, sizeof why);
	int64_t since;

	for (int64_t day = first_day; z && day < first_day + 7; day++) {
		const int64_t at = moment(z, day * DAY + a->start * INT64_C(60)) * 1000;
		if (has_day(a, day) && schedule_active(a, at, &since) && schedule_active(b, at, &since))
			return true;
	}
	return false;
}

bool schedule_overlap(const struct schedule_entry *a, const struct schedule_entry *b, int64_t now_ms)
{
	int64_t year;
	int month, day;

	clock_civil(floor_div(now_ms, DAY * 1000), &year, &month, &day);
	for (month = 1; month <= 7; month += 6) {
		const int64_t week = clock_days(year, month, 15);
		if (begins_inside(a, b, week) || begins_inside(b, a, week))
			return true;
	}
	return false;
}
