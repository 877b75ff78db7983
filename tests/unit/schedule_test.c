/* Schedules and the time zones behind them: pure functions of a text and a time, tested by tables, and the zones also
 * against the C library's own reading of the same database. */
#include "base/clock.h"
#include "policy/schedule.h"
#include "tap.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/banned.h"

static int64_t at(const char *text)
{
	int64_t ms;

	if (!clock_parse(text, &ms))
		(void)OK(false, "%s is a time", text);
	return ms;
}

/* ---- which texts are schedules ---- */

static void texts(void)
{
	static const struct {
		const char *text, *why; /* NULL: it is one */
	} rows[] = {
		{"mon-fri 08:00-18:00 Europe/Berlin min=4 max=20", NULL},
		{"sat,sun 10:00-12:00 UTC max=3", NULL},
		{"mon,wed-fri 00:00-24:00 America/New_York min=2", NULL},
		{"daily 22:00-06:00 Europe/Berlin max=2 min=1 initial=2", NULL},
		{"sat-mon 22:00-00:00 Etc/GMT+3 min=0 max=10000", NULL},
		{"daily 08:00-18:00 UTC min=4; sat 10:00-12:00 UTC max=3", NULL},
		{"daily 08:00-18:00 UTC min=4;sat 10:00-12:00 UTC max=3", NULL},
		{"daily 08:00-18:00 America/Argentina/Buenos_Aires min=4", NULL},
		{"", "entry 1: \"\" are no days such as mon-fri, sat,sun or daily"},
		{"Any text", "entry 1: \"Any\" are no days such as mon-fri, sat,sun or daily"},
		{"mon- 08:00-18:00 UTC min=1", "entry 1: \"mon-\" are no days such as mon-fri, sat,sun or daily"},
		{"mon, 08:00-18:00 UTC min=1", "entry 1: \"mon,\" are no days such as mon-fri, sat,sun or daily"},
		{"mon,daily 08:00-18:00 UTC min=1", "entry 1: \"mon,daily\" are no days such as mon-fri, sat,sun or daily"},
		{"monday 08:00-18:00 UTC min=1", "entry 1: \"monday\" are no days such as mon-fri, sat,sun or daily"},
		{"daily 08:00-18:00 UTC min=4;", "entry 2: \"\" are no days such as mon-fri, sat,sun or daily"},
		{"daily 8:00-18:00 UTC min=1", "entry 1: \"8:00-18:00\" are no times from 00:00-00:01 to 00:00-24:00"},
		{"daily 08:00 UTC min=1", "entry 1: \"08:00\" are no times from 00:00-00:01 to 00:00-24:00"},
		{"daily 08:00-18:60 UTC min=1", "entry 1: \"08:00-18:60\" are no times from 00:00-00:01 to 00:00-24:00"},
		{"daily 08:00-24:01 UTC min=1", "entry 1: \"08:00-24:01\" are no times from 00:00-00:01 to 00:00-24:00"},
		{"daily 24:00-06:00 UTC min=1", "entry 1: \"24:00-06:00\" are no times from 00:00-00:01 to 00:00-24:00"},
		{"daily 08:00-18:00x UTC min=1", "entry 1: \"08:00-18:00x\" are no times from 00:00-00:01 to 00:00-24:00"},
		{"daily 08:00-08:00 UTC min=1", "entry 1: start and end are equal: a whole day is 00:00-24:00"},
		{"daily 00:00-00:00 UTC min=1", "entry 1: start and end are equal: a whole day is 00:00-24:00"},
		{"daily 08:00-18:00 min=1", "entry 1: a zone such as Europe/Berlin or UTC has to stand behind the times"},
		{"daily 08:00-18:00", "entry 1: a zone such as Europe/Berlin or UTC has to stand behind the times"},
		{"daily 08:00-18:00 Mars/Base min=1", "entry 1: the zone database has no \"Mars/Base\""},
		{"daily 08:00-18:00 europe/berlin min=1", "entry 1: the zone database has no \"europe/berlin\""},
		{"daily 08:00-18:00 Europe min=1", "entry 1: the zone database has no \"Europe\""},
		{"daily 08:00-18:00 Europe/ min=1", "entry 1: the zone database has no \"Europe/\""},
		{"daily 08:00-18:00 zone.tab min=1", "entry 1: the zone database has no \"zone.tab\""},
		{"daily 08:00-18:00 leapseconds min=1", "entry 1: the zone database has no \"leapseconds\""},
		{"daily 08:00-18:00 localtime min=1", "entry 1: the zone database has no \"localtime\""},
		{"daily 08:00-18:00 /etc/localtime min=1", "entry 1: the zone database has no \"/etc/localtime\""},
		{"daily 08:00-18:00 ../zoneinfo/UTC min=1", "entry 1: the zone database has no \"../zoneinfo/UTC\""},
		{"daily 08:00-18:00 Europe/../UTC min=1", "entry 1: the zone database has no \"Europe/../UTC\""},
		{"daily 08:00-18:00 right/UTC min=1", "entry 1: the zone database has no \"right/UTC\""},
		{"daily 08:00-18:00 CET-1CEST min=1", "entry 1: the zone database has no \"CET-1CEST\""},
		{"daily 08:00-18:00 UTC", "entry 1: it has neither min=N nor max=N"},
		{"daily 08:00-18:00 UTC initial=3", "entry 1: it has neither min=N nor max=N"},
		{"daily 08:00-18:00 UTC min=5 max=3", "entry 1: min 5 is larger than max 3"},
		{"daily 08:00-18:00 UTC min=1 min=2", "entry 1: \"min=2\" is not one of min=N, max=N and initial=N, each once"},
		{"daily 08:00-18:00 UTC step=2", "entry 1: \"step=2\" is not one of min=N, max=N and initial=N, each once"},
		{"daily 08:00-18:00 UTC min=10001", "entry 1: \"min=10001\": a number from 0 to 10000"},
		{"daily 08:00-18:00 UTC min=-1", "entry 1: \"min=-1\": a number from 0 to 10000"},
		{"daily 08:00-18:00 UTC min=", "entry 1: \"min=\": a number from 0 to 10000"},
		{"daily 08:00-18:00 UTC max=03", "entry 1: \"max=03\": a number from 0 to 10000"},
		{"daily 08:00-18:00 UTC min=1, sat 10:00-12:00 UTC max=3", "entry 1: \"min=1,\": a number from 0 to 10000"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char why[160] = "";
		const bool valid = schedule_valid(rows[i].text, why, sizeof why);
		OK(valid == !rows[i].why && (valid || strcmp(why, rows[i].why) == 0), "\"%s\" is %s%s%s", rows[i].text,
		   rows[i].why ? "no schedule: " : "a schedule", rows[i].why ? why : "", "");
	}
}

/* ---- when they are active ---- */

#define OFFICE "mon-fri 08:00-18:00 Europe/Berlin min=4 max=20"
#define NIGHT "daily 22:00-06:00 Europe/Berlin max=2"
#define FRIDAY "fri 22:00-06:00 Europe/Berlin max=2"
#define EARLY "daily 02:30-04:00 Europe/Berlin min=3"
#define TWICE "daily 02:00-03:00 Europe/Berlin min=3"
#define HALF "daily 02:30-03:00 Europe/Berlin min=3"
#define NEW_YORK "daily 01:00-02:00 America/New_York min=3"
#define NEW_YORK_GAP "daily 02:15-05:00 America/New_York min=3"
#define SILVESTER "thu 20:00-04:00 Europe/Berlin min=9"
#define MIDNIGHT "sun 00:00-08:00 America/Havana min=3"

static void times(void)
{
	static const struct {
		const char *text, *now, *since; /* NULL: not active */
		int64_t min, max;
	} rows[] = {
		/* 2026-11-24 is a Tuesday; Berlin is at +01:00. */
		{"daily 14:00-15:00 UTC min=1", "2026-11-24T13:59:59.999Z", NULL, 0, 0},
		{"daily 14:00-15:00 UTC min=1", "2026-11-24T14:00:00Z", "2026-11-24T14:00:00Z", 1, -1},
		{"daily 14:00-15:00 UTC min=1", "2026-11-24T14:59:59.999Z", "2026-11-24T14:00:00Z", 1, -1},
		{"daily 14:00-15:00 UTC min=1", "2026-11-24T15:00:00Z", NULL, 0, 0},
		{OFFICE, "2026-11-24T06:59:59Z", NULL, 0, 0},
		{OFFICE, "2026-11-24T07:00:00Z", "2026-11-24T07:00:00Z", 4, 20},
		{OFFICE, "2026-11-24T16:59:59Z", "2026-11-24T07:00:00Z", 4, 20},
		{OFFICE, "2026-11-24T17:00:00Z", NULL, 0, 0},
		{OFFICE, "2026-07-14T06:00:00Z", "2026-07-14T06:00:00Z", 4, 20}, /* in summer it is +02:00 */
		{OFFICE, "2026-11-28T09:00:00Z", NULL, 0, 0},                    /* a Saturday */
		{OFFICE, "2045-07-14T06:00:00Z", "2045-07-14T06:00:00Z", 4, 20}, /* after the table of the file */
		{OFFICE, "2045-01-13T06:59:59Z", NULL, 0, 0},
		{"daily 00:00-24:00 UTC max=1", "2026-11-24T00:00:00Z", "2026-11-24T00:00:00Z", -1, 1},
		{"daily 00:00-24:00 UTC max=1", "2026-11-24T23:59:59Z", "2026-11-24T00:00:00Z", -1, 1},
		{"mon-fri 00:00-24:00 UTC max=1", "2026-11-28T00:00:00Z", NULL, 0, 0},
		{"sat-mon 12:00-13:00 UTC max=1", "2026-11-29T12:00:00Z", "2026-11-29T12:00:00Z", -1, 1},
		{"sat-mon 12:00-13:00 UTC max=1", "2026-11-24T12:00:00Z", NULL, 0, 0},
		{"mon,wed-fri 12:00-13:00 UTC max=1", "2026-11-24T12:00:00Z", NULL, 0, 0},
		{"mon,wed-fri 12:00-13:00 UTC max=1", "2026-11-25T12:00:00Z", "2026-11-25T12:00:00Z", -1, 1},
		{"daily 22:00-00:00 UTC max=1", "2026-11-24T23:59:59Z", "2026-11-24T22:00:00Z", -1, 1},
		{"daily 22:00-00:00 UTC max=1", "2026-11-25T00:00:00Z", NULL, 0, 0},
		{"daily 09:00-10:00 Asia/Kathmandu min=1", "2026-11-24T03:15:00Z", "2026-11-24T03:15:00Z", 1, -1},
		/* over midnight: it belongs to the day it starts */
		{NIGHT, "2026-11-24T20:59:59Z", NULL, 0, 0},
		{NIGHT, "2026-11-24T21:00:00Z", "2026-11-24T21:00:00Z", -1, 2},
		{NIGHT, "2026-11-25T04:59:59Z", "2026-11-24T21:00:00Z", -1, 2},
		{NIGHT, "2026-11-25T05:00:00Z", NULL, 0, 0},
		{FRIDAY, "2026-11-27T04:00:00Z", NULL, 0, 0},
		{FRIDAY, "2026-11-27T21:00:00Z", "2026-11-27T21:00:00Z", -1, 2},
		{FRIDAY, "2026-11-28T04:59:00Z", "2026-11-27T21:00:00Z", -1, 2},
		{FRIDAY, "2026-11-28T21:00:00Z", NULL, 0, 0},
		/* over the year's end, and over the day between two leap days' months */
		{SILVESTER, "2026-12-31T22:59:59Z", "2026-12-31T19:00:00Z", 9, -1},
		{SILVESTER, "2027-01-01T02:59:59Z", "2026-12-31T19:00:00Z", 9, -1},
		{SILVESTER, "2027-01-01T03:00:00Z", NULL, 0, 0},
		{"tue 12:00-13:00 UTC min=1", "2028-02-29T12:30:00Z", "2028-02-29T12:00:00Z", 1, -1},
		{"thu 22:00-06:00 UTC min=1", "1969-12-31T23:00:00Z", NULL, 0, 0}, /* a Wednesday */
		{"wed 22:00-06:00 UTC min=1", "1970-01-01T05:59:59Z", "1969-12-31T22:00:00Z", 1, -1},
		/* 2026-03-29, Berlin goes from 02:00 to 03:00 at 01:00Z */
		{EARLY, "2026-03-28T01:29:59Z", NULL, 0, 0},
		{EARLY, "2026-03-28T01:30:00Z", "2026-03-28T01:30:00Z", 3, -1},
		{EARLY, "2026-03-29T00:59:59Z", NULL, 0, 0},
		{EARLY, "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", 3, -1},
		{EARLY, "2026-03-29T01:59:59Z", "2026-03-29T01:00:00Z", 3, -1},
		{EARLY, "2026-03-29T02:00:00Z", NULL, 0, 0},
		{TWICE, "2026-03-29T00:59:59Z", NULL, 0, 0}, /* all of it is left out */
		{TWICE, "2026-03-29T01:00:00Z", NULL, 0, 0},
		{OFFICE, "2026-03-27T07:00:00Z", "2026-03-27T07:00:00Z", 4, 20},
		{OFFICE, "2026-03-30T06:00:00Z", "2026-03-30T06:00:00Z", 4, 20},
		{NIGHT, "2026-03-29T03:59:59Z", "2026-03-28T21:00:00Z", -1, 2}, /* an hour shorter */
		{NIGHT, "2026-03-29T04:00:00Z", NULL, 0, 0},
		/* 2026-10-25, Berlin goes from 03:00 back to 02:00 at 01:00Z */
		{TWICE, "2026-10-24T23:59:59Z", NULL, 0, 0},
		{TWICE, "2026-10-25T00:00:00Z", "2026-10-25T00:00:00Z", 3, -1},
		{TWICE, "2026-10-25T00:59:59Z", "2026-10-25T00:00:00Z", 3, -1},
		{TWICE, "2026-10-25T01:00:00Z", "2026-10-25T00:00:00Z", 3, -1}, /* once more, and still the same period */
		{TWICE, "2026-10-25T01:59:59Z", "2026-10-25T00:00:00Z", 3, -1},
		{TWICE, "2026-10-25T02:00:00Z", NULL, 0, 0},
		{HALF, "2026-10-25T00:30:00Z", "2026-10-25T00:30:00Z", 3, -1},
		{HALF, "2026-10-25T01:15:00Z", NULL, 0, 0}, /* the clock shows 02:15 again */
		{HALF, "2026-10-25T01:30:00Z", "2026-10-25T00:30:00Z", 3, -1},
		{NIGHT, "2026-10-25T04:59:59Z", "2026-10-24T20:00:00Z", -1, 2}, /* an hour longer */
		{NIGHT, "2026-10-25T05:00:00Z", NULL, 0, 0},
		/* 2026-03-08, New York goes from 02:00 to 03:00 at 07:00Z; 2026-11-01, from 02:00 back to 01:00 at 06:00Z */
		{NEW_YORK_GAP, "2026-03-08T06:59:59Z", NULL, 0, 0},
		{NEW_YORK_GAP, "2026-03-08T07:00:00Z", "2026-03-08T07:00:00Z", 3, -1},
		{NEW_YORK_GAP, "2026-03-08T08:59:59Z", "2026-03-08T07:00:00Z", 3, -1},
		{NEW_YORK_GAP, "2026-03-08T09:00:00Z", NULL, 0, 0},
		{NEW_YORK, "2026-11-01T04:59:59Z", NULL, 0, 0},
		{NEW_YORK, "2026-11-01T05:00:00Z", "2026-11-01T05:00:00Z", 3, -1},
		{NEW_YORK, "2026-11-01T06:59:59Z", "2026-11-01T05:00:00Z", 3, -1},
		{NEW_YORK, "2026-11-01T07:00:00Z", NULL, 0, 0},
		/* Havana leaves out midnight: 2026-03-08 begins at 01:00, which is 05:00Z */
		{MIDNIGHT, "2026-03-08T04:59:59Z", NULL, 0, 0},
		{MIDNIGHT, "2026-03-08T05:00:00Z", "2026-03-08T05:00:00Z", 3, -1},
		/* Samoa left out a whole day, Friday, 2011-12-30, at 10:00Z: what would begin on it begins at its end */
		{"fri 22:00-06:00 Pacific/Apia min=1", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", 1, -1},
		/* the first active entry wins */
		{"daily 12:00-13:00 UTC max=5; daily 08:00-18:00 UTC min=2 max=9", "2026-11-24T12:30:00Z",
	     "2026-11-24T12:00:00Z", -1, 5},
		{"daily 12:00-13:00 UTC max=5; daily 08:00-18:00 UTC min=2 max=9", "2026-11-24T13:00:00Z",
	     "2026-11-24T08:00:00Z", 2, 9},
		{"daily 12:00-13:00 UTC max=5; daily 08:00-18:00 UTC min=2 max=9", "2026-11-24T18:00:00Z", NULL, 0, 0},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct schedule_entry e = {.since = TIME_NONE};
		char got[CLOCK_TEXT] = "";
		const bool active = schedule_at(rows[i].text, at(rows[i].now), &e);
		if (active)
			clock_format(e.since, got);
		OK(active == (rows[i].since != NULL) &&
		       (!active || (e.since == at(rows[i].since) && e.min == rows[i].min && e.max == rows[i].max)),
		   "%.40s at %s: %s%s", rows[i].text, rows[i].now, active ? "active since " : "not active", got);
	}
}

static void entries(void)
{
	struct schedule_entry e;

	OK(schedule_at("daily 10:00-20:00 UTC min=10 max=100 initial=50", at("2026-11-24T12:00:00Z"), &e) &&
	       e.initial == 50 && e.min == 10 && e.max == 100,
	   "an entry says with how many it begins");
	OK(schedule_at("daily 10:00-20:00 UTC max=100", at("2026-11-24T12:00:00Z"), &e) && e.initial == -1 && e.min == -1,
	   "what it does not say is -1");
}

static void overlaps(void)
{
	static const struct {
		const char *a, *b;
		bool overlap;
	} rows[] = {
		{"daily 08:00-12:00 UTC min=1", "daily 12:00-18:00 UTC min=1", false},
		{"daily 08:00-12:01 UTC min=1", "daily 12:00-18:00 UTC min=1", true},
		{"mon-fri 08:00-18:00 UTC min=1", "sat,sun 00:00-24:00 UTC min=1", false},
		{"fri 22:00-06:00 UTC min=1", "sat 05:00-07:00 UTC min=1", true},
		{"fri 22:00-06:00 UTC min=1", "sat 06:00-07:00 UTC min=1", false},
		{"sun 22:00-06:00 UTC min=1", "mon 05:00-07:00 UTC min=1", true},
		{"daily 09:00-10:00 Europe/Berlin min=1", "daily 08:00-09:00 UTC min=1", true}, /* in winter only */
		{"daily 10:00-11:00 Europe/Berlin min=1", "daily 08:00-09:00 UTC min=1", true}, /* in summer only */
		{"daily 11:00-12:00 Europe/Berlin min=1", "daily 08:00-09:00 UTC min=1", false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *a = rows[i].a, *b = rows[i].b;
		struct schedule_entry x, y;
		char why[160];
		OK(schedule_next(&a, &x, why, sizeof why) && schedule_next(&b, &y, why, sizeof why) &&
		       schedule_overlap(&x, &y, at("2026-11-24T00:00:00Z")) == rows[i].overlap &&
		       schedule_overlap(&y, &x, at("2026-11-24T00:00:00Z")) == rows[i].overlap,
		   "%s and %s: %s", rows[i].a, rows[i].b, rows[i].overlap ? "both at times" : "never both");
	}
}

/* ---- zones ---- */

/* Every six hours and around every change, from 1970 on and far beyond the tables of the files. */
static void like_the_library(const char *name)
{
	char why[160], got[64] = "";
	const struct zone *z = zone_get(name, why, sizeof why);
	int64_t until = 0, next;
	size_t wrong = 0;

	(void)setenv("TZ", name, 1);
	tzset();
	for (int64_t t = 0; z && t < INT64_C(2500000000); t += 21600) {
		const int64_t tries[] = {t, until < t + 21600 ? until - 1 : t, until < t + 21600 ? until : t};
		for (int i = 0; i < 3; i++) {
			const time_t seconds = (time_t)tries[i];
			struct tm tm;
			(void)localtime_r(&seconds, &tm);
			if (zone_offset(z, tries[i], &next) != tm.tm_gmtoff && !wrong++)
				(void)snprintf(got, sizeof got, ", but not at %lld", (long long)tries[i]);
		}
		(void)zone_offset(z, t, &until);
	}
	(void)unsetenv("TZ");
	tzset();
	OK(z && !wrong, "%s is as the C library reads it%s", name, got);
}

static void zones(void)
{
	/* with a half hour of summer time, with summer time in winter, with changes at negative hours and after more than a
	 * day, with two changes in Ramadan, with a day left out, without any change */
	static const char *const names[] = {
		"UTC",          "Europe/Berlin",     "America/New_York",  "Australia/Lord_Howe", "Europe/Dublin",
		"America/Nuuk", "Asia/Gaza",         "Africa/Casablanca", "Pacific/Apia",        "Antarctica/Troll",
		"Asia/Tehran",  "America/Santiago",  "Asia/Kathmandu",    "Etc/GMT-14",          "Pacific/Chatham",
		"Asia/Tokyo",   "America/Sao_Paulo",
	};
	char why[160];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		like_the_library(names[i]);
	OK(zone_get("Europe/Berlin", why, sizeof why) == zone_get("Europe/Berlin", why, sizeof why),
	   "a zone is read once, however often it is asked for");
}

/* ---- files that are not what they should be ---- */

static void file(const char *dir, const char *name, const void *p, size_t n)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	if (!f || fwrite(p, 1, n, f) != n || fclose(f) != 0)
		(void)OK(false, "%s is written", path);
}

/* One zone: version 2, an empty first part, one type of an hour to the east, and this text at the end. */
static size_t made(unsigned char out[256], const char *tail)
{
	static const unsigned char head[44] = {'T', 'Z', 'i', 'f', '2'};
	size_t n = 0;

	for (int i = 0; i < 2; i++) {
		memcpy(out + n, head, sizeof head);
		n += sizeof head;
	}
	out[44 + 39] = 1; /* types */
	out[44 + 43] = 4; /* characters */
	memcpy(out + n, "\0\0\x0e\x10\0\0" /* 3600 s */ "CET", 10);
	n += 10;
	n += (size_t)snprintf((char *)out + n, 256 - n, "\n%s\n", tail);
	return n;
}

static void bad_files(void)
{
	static const char *const tails[] = {"CET",
	                                    "C-1",
	                                    "CET-1CEST",
	                                    "CET-1CEST,M3.5.0",
	                                    "CET-1CEST,M13.5.0,M10.5.0",
	                                    "CET-1CEST,M3.6.0,M10.5.0",
	                                    "CET-1CEST,J0,J365",
	                                    "CET-1x",
	                                    "<CET-1",
	                                    "CET-999"};
	char dir[] = "/tmp/zones.XXXXXX", path[300], why[160];
	unsigned char bytes[256];
	int64_t until;
	size_t n = made(bytes, "CET-1"), taken = 0;

	if (!OK(mkdtemp(dir) != NULL, "a directory for zones"))
		return;
	(void)setenv("TZDIR", dir, 1);
	file(dir, "Good", bytes, n);
	for (size_t i = 1; i < n; i++) { /* cut short anywhere */
		(void)snprintf(path, sizeof path, "Cut%zu", i);
		file(dir, path, bytes, i);
		taken += zone_get(path, why, sizeof why) != NULL;
		(void)snprintf(path, sizeof path, "%s/Cut%zu", dir, i);
		(void)remove(path);
	}
	IS(taken, 0, "a file that is cut short is no zone");
	for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
		n = made(bytes, tails[i]);
		file(dir, "Tail", bytes, n);
		taken += zone_get("Tail", why, sizeof why) != NULL;
	}
	IS(taken, 0, "nor is one whose last line makes no sense");
	n = made(bytes, "CET-1");
	bytes[44 + 31] = 1; /* one leap second */
	file(dir, "Tail", bytes, n);
	OK(!zone_get("Tail", why, sizeof why), "nor one that counts leap seconds");
	const struct zone *z = zone_get("Good", why, sizeof why);
	IS(z ? zone_offset(z, 0, &until) : 0, 3600, "$TZDIR is where the zones are");
	n = made(bytes, "");
	file(dir, "Tail", bytes, n);
	z = zone_get("Tail", why, sizeof why);
	IS(z ? zone_offset(z, 0, &until) : 0, 3600, "without a last line the last of the table holds");
	OK(!zone_get("Berlin", why, sizeof why) && zone_get("UTC", why, sizeof why), "UTC needs no file");
	(void)unsetenv("TZDIR");
	const char *const names[] = {"Good", "Tail"};
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		(void)remove(path);
	}
	IS(remove(dir), 0, "nothing is left");
}

int main(void)
{
	texts();
	times();
	entries();
	overlaps();
	zones();
	bad_files();
	return DONE();
}
