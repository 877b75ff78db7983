#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/banned.h"

#define DAY_MS INT64_C(86400000)

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_now_ms(void) { return read_clock(CLOCK_REALTIME); }

int64_t clock_monotonic_ms(void) { return read_clock(CLOCK_MONOTONIC); }

void clock_sleep_ms(int64_t ms)
{
	const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};

	if (ms > 0)
		(void)nanosleep(&ts, NULL); /* a signal may end it early: callers loop on their own condition */
}

/* Days from 1970-01-01 to the first of March based year, and back: H. Hinnant, "chrono-compatible low-level date
 * algorithms". Both are exact for the proleptic Gregorian calendar. */
int64_t clock_days(int64_t y, int m, int d)
{
	y -= m <= 2;
	const int64_t era = (y >= 0 ? y : y - 399) / 400;
	const int64_t yoe = y - era * 400;
	const int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	const int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + doe - 719468;
}

void clock_civil(int64_t z, int64_t *y, int *m, int *d)
{
	z += 719468;
	const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	const int64_t doe = z - era * 146097;
	const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	const int64_t mp = (5 * doy + 2) / 153;

	*d = (int)(doy - (153 * mp + 2) / 5 + 1);
	*m = (int)(mp < 10 ? mp + 3 : mp - 9);
	*y = yoe + era * 400 + (*m <= 2);
}

void clock_format(int64_t ms, char out[CLOCK_TEXT])
{
	int64_t y, day = ms / DAY_MS, in = ms % DAY_MS;
	int m, d;

	if (in < 0) {
		in += DAY_MS;
		day--;
	}
	clock_civil(day, &y, &m, &d);
	if (y < 0 || y > 9999) {
		y = y < 0 ? 0 : 9999;
	}
	(void)snprintf(out, CLOCK_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)y, m, d, (int)(in / 3600000),
	               (int)(in / 60000 % 60), (int)(in / 1000 % 60), (int)(in % 1000));
}

/* Exactly n digits at *s, moved past. -1 when there are fewer. */
static int digits(const char **s, int n)
{
	int v = 0;

	for (int i = 0; i < n; i++, (*s)++) {
		if (**s < '0' || **s > '9')
			return -1;
		v = v * 10 + (**s - '0');
	}
	return v;
}

static bool skip(const char **s, char a, char b)
{
	if (**s != a && **s != b)
		return false;
	(*s)++;
	return true;
}

static int month_days(int y, int m)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[m - 1] + (m == 2 && ((y % 4 == 0 && y % 100 != 0) || y % 400 == 0));
}

bool clock_parse(const char *s, int64_t *ms)
{
	const int y = digits(&s, 4);
	if (y < 0 || !skip(&s, '-', '-'))
		return false;
	const int mo = digits(&s, 2);
	if (mo < 1 || mo > 12 || !skip(&s, '-', '-'))
		return false;
	const int d = digits(&s, 2);
	if (d < 1 || d > month_days(y, mo) || (!skip(&s, 'T', 't') && !skip(&s, ' ', ' ')))
		return false;
	const int h = digits(&s, 2);
	if (h < 0 || h > 23 || !skip(&s, ':', ':'))
		return false;
	const int mi = digits(&s, 2);
	if (mi < 0 || mi > 59 || !skip(&s, ':', ':'))
		return false;
	const int sec = digits(&s, 2);
	if (sec < 0 || sec > 60)
		return false;
	int frac = 0, scale = 100;
	if (skip(&s, '.', ',')) {
		if (*s < '0' || *s > '9')
			return false;
		for (; *s >= '0' && *s <= '9'; s++, scale /= 10)
			frac += (*s - '0') * scale;
	}
	int64_t offset = 0;
	if (!skip(&s, 'Z', 'z')) {
		const int sign = *s == '-' ? -1 : 1;
		if (!skip(&s, '+', '-'))
			return false;
		const int oh = digits(&s, 2);
		if (*s == ':')
			s++;
		const int om = digits(&s, 2);
		if (oh < 0 || oh > 23 || om < 0 || om > 59)
			return false;
		offset = sign * (oh * 60 + om) * INT64_C(60000);
	}
	if (*s)
		return false;
	*ms = clock_days(y, mo, d) * DAY_MS + h * INT64_C(3600000) + mi * INT64_C(60000) + sec * INT64_C(1000) + frac -
	      offset;
	return true;
}

bool clock_http(const char *s, int64_t *ms)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int year, day, h, m, sec, end = 0;
	char month[4];

	if (sscanf(s, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &day, month, &year, &h, &m, &sec, &end) != 6 ||
	    !end || s[end])
		return false;
	const char *at = strstr(months, month);
	if (!at || strlen(month) != 3 || (at - months) % 3 || day < 1 || day > 31 || h > 23 || m > 59 || sec > 60 ||
	    h < 0 || m < 0 || sec < 0)
		return false;
	*ms = clock_days(year, (int)((at - months) / 3) + 1, day) * DAY_MS + ((h * 60 + m) * INT64_C(60) + sec) * 1000;
	return true;
}

bool clock_json(struct jv v, int64_t *ms)
{
	char text[64];

	return jv_str(v, text, sizeof text) && clock_parse(text, ms);
}

static int64_t unit_ms(const char **s)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		const size_t n = strlen(units[i].name);
		if (strncmp(*s, units[i].name, n) == 0) {
			*s += n;
			return units[i].ms;
		}
	}
	return 0;
}

bool duration_parse(const char *s, int64_t *ms)
{
	const int64_t limit = 3650 * DAY_MS;
	int64_t total = 0;
	bool bare = false;

	if (!*s)
		return false;
	while (*s) {
		int64_t whole = 0, micro = 0, scale = 100000;
		if (bare || *s < '0' || *s > '9')
			return false;
		for (; *s >= '0' && *s <= '9'; s++) {
			whole = whole * 10 + (*s - '0');
			if (whole > limit)
				return false;
		}
		if (*s == '.') {
			s++;
			if (*s < '0' || *s > '9')
				return false;
			for (; *s >= '0' && *s <= '9'; s++, scale /= 10)
				micro += (*s - '0') * scale;
		}
		int64_t unit = unit_ms(&s);
		if (!unit) {
			unit = 1000;
			bare = true; /* only the end may follow */
		}
		if (whole > limit / unit)
			return false;
		total += whole * unit + micro * unit / 1000000;
		if (total > limit)
			return false;
	}
	*ms = total;
	return true;
}

void duration_json(struct buf *b, int64_t ms)
{
	buf_printf(b, "%lld", (long long)(ms / 1000));
	if (ms % 1000) {
		char frac[8];
		(void)snprintf(frac, sizeof frac, "%03d", (int)(ms % 1000));
		size_t n = strlen(frac);
		while (frac[n - 1] == '0')
			frac[--n] = '\0';
		buf_printf(b, ".%s", frac);
	}
}

void clock_json_member(struct buf *b, const char *name, int64_t ms)
{
	char text[CLOCK_TEXT];

	if (ms != TIME_NONE)
		clock_format(ms, text);
	buf_json_member_str(b, name, ms != TIME_NONE ? text : NULL);
}
