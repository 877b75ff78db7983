#include "policy/zone.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define DAY INT64_C(86400)
#define ZONE_BYTES (64 * 1024) /* the largest file of the database has 4 KiB */
#define OFFSET_MAX 93599       /* RFC 9636, 3.2: less than 26 hours */

/* When one of the two changes of a year is, by the wall clock: the text at the end of a file says so for all years
 * after its table. */
struct yearly {
	char kind;            /* M: a weekday of a month; J: day 1 to 365, no leap day; N: day 0 to 365 */
	int month, week, day; /* week 5: the last; day 0: Sunday, or the day of the year */
	int64_t time;         /* seconds after midnight, may be negative or more than a day */
};

struct change {
	int64_t at, offset;
};

struct zone {
	struct zone *next;
	char name[ZONE_NAME_MAX + 1];
	int64_t first; /* before the first change */
	bool tail;     /* standard and the rest hold after the last change */
	bool summer;
	int64_t standard, saving;
	struct yearly begins, ends;
	size_t n;
	struct change changes[];
};

/* ---- the text at the end, POSIX TZ with the extensions of RFC 9636, 3.3.1: "CET-1CEST,M3.5.0,M10.5.0/3" ---- */

static bool number(const char **p, int most, int *out)
{
	const char *from = *p;

	for (*out = 0; **p >= '0' && **p <= '9' && *out <= most; (*p)++)
		*out = *out * 10 + (**p - '0');
	return *p > from && *out <= most;
}

/* [+-]hh[:mm[:ss]] */
static bool hours(const char **p, int64_t *out)
{
	const bool minus = **p == '-';
	int h = 0, m = 0, s = 0;

	if (**p == '-' || **p == '+')
		(*p)++;
	if (!number(p, 167, &h))
		return false;
	if (**p == ':' && ((*p)++, !number(p, 59, &m)))
		return false;
	if (**p == ':' && ((*p)++, !number(p, 59, &s)))
		return false;
	*out = (h * 60 + m) * INT64_C(60) + s;
	*out = minus ? -*out : *out;
	return true;
}

static bool skip_abbreviation(const char **p)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t n = strspn(*p, letters);

	if (**p == '<') {
		n = strcspn(*p, ">");
		n += (*p)[n] == '>';
	}
	*p += n;
	return n >= 3;
}

static bool read_yearly(const char **p, struct yearly *y)
{
	if (*(*p)++ != ',')
		return false;
	*y = (struct yearly){.kind = 'N', .time = 7200};
	if (**p == 'M' || **p == 'J')
		y->kind = *(*p)++;
	if (y->kind == 'M') {
		if (!number(p, 12, &y->month) || *(*p)++ != '.' || !number(p, 5, &y->week) || *(*p)++ != '.' ||
		    !number(p, 6, &y->day) || !y->month || !y->week)
			return false;
	} else if (!number(p, 365, &y->day) || (y->kind == 'J' && !y->day)) {
		return false;
	}
	return **p != '/' || ((*p)++, hours(p, &y->time));
}

static bool read_tail(struct zone *z, const char *p)
{
	if (!skip_abbreviation(&p) || !hours(&p, &z->standard))
		return false;
	z->standard = -z->standard; /* POSIX counts to the west */
	z->tail = true;
	if (!*p)
		return true;
	z->summer = true;
	z->saving = z->standard + 3600;
	if (!skip_abbreviation(&p))
		return false;
	if (*p != ',') {
		if (!hours(&p, &z->saving))
			return false;
		z->saving = -z->saving;
	}
	return read_yearly(&p, &z->begins) && read_yearly(&p, &z->ends) && !*p;
}

/* Seconds since the epoch by the wall clock. */
static int64_t in_year(const struct yearly *y, int64_t year)
{
	const bool leap = clock_days(year, 3, 1) - clock_days(year, 2, 28) == 2;
	int64_t day;

	if (y->kind == 'M') {
		const int64_t first = clock_days(year, y->month, 1);
		const int64_t after = y->month == 12 ? clock_days(year + 1, 1, 1) : clock_days(year, y->month + 1, 1);
		const int64_t sunday = (first + 4) % 7; /* 0: it is one; 1970-01-01 was a Thursday */
		day = first + ((y->day - sunday) % 7 + 7) % 7 + (y->week - 1) * INT64_C(7);
		day -= day >= after ? 7 : 0;
	} else {
		day = clock_days(year, 1, 1) + y->day;
		if (y->kind == 'J') /* the 29th of February has no number */
			day -= leap && y->day >= 60 ? 0 : 1;
	}
	return day * DAY + y->time;
}

static int64_t tail_offset(const struct zone *z, int64_t at, int64_t *until)
{
	int64_t year, before = INT64_MIN, offset = z->standard;
	int month, day;

	*until = INT64_MAX;
	if (!z->summer)
		return offset;
	clock_civil(at / DAY - (at % DAY < 0), &year, &month, &day);
	for (int64_t y = year - 1; y <= year + 1; y++) {
		const struct change both[] = {{in_year(&z->ends, y) - z->saving, z->standard},
		                              {in_year(&z->begins, y) - z->standard, z->saving}};
		for (int i = 0; i < 2; i++) { /* where one ends as the next begins, it goes on: >= */
			if (both[i].at <= at && (both[i].at > before || (both[i].at == before && i == 1))) {
				before = both[i].at;
				offset = both[i].offset;
			} else if (both[i].at > at && both[i].at < *until) {
				*until = both[i].at;
			}
		}
	}
	return offset;
}

int64_t zone_offset(const struct zone *z, int64_t at, int64_t *until)
{
	size_t low = 0, high = z->n;

	*until = INT64_MAX;
	if (z->tail && (!z->n || at >= z->changes[z->n - 1].at))
		return tail_offset(z, at, until);
	while (low < high) { /* the first change after it */
		const size_t middle = low + (high - low) / 2;
		if (z->changes[middle].at <= at)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < z->n)
		*until = z->changes[low].at;
	return low ? z->changes[low - 1].offset : z->first;
}

/* ---- the file ---- */

struct block { /* the counts of one header of 44 bytes, and where its data is */
	size_t isut, isstd, leaps, changes, types, chars;
	const unsigned char *data;
	size_t bytes;
};

static int64_t big(const unsigned char *p, size_t n)
{
	uint64_t v = n == 4 && (p[0] & 0x80) ? UINT64_MAX : 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return (int64_t)v;
}

/* width: bytes of a time. NULL: it is not one. */
static const unsigned char *read_block(const unsigned char *p, const unsigned char *end, size_t width, struct block *b)
{
	size_t *const counts[] = {&b->isut, &b->isstd, &b->leaps, &b->changes, &b->types, &b->chars};

	if (end - p < 44 || memcmp(p, "TZif", 4) != 0 || p[4] < '2')
		return NULL;
	for (size_t i = 0; i < 6; i++) {
		*counts[i] = (size_t)big(p + 20 + 4 * i, 4);
		if (*counts[i] > ZONE_BYTES)
			return NULL;
	}
	b->data = p + 44;
	b->bytes = b->changes * (width + 1) + b->types * 6 + b->chars + b->leaps * (width + 4) + b->isstd + b->isut;
	return (size_t)(end - b->data) >= b->bytes ? b->data + b->bytes : NULL;
}

static bool fill(struct zone *z, const struct block *b)
{
	const unsigned char *which = b->data + b->changes * 8, *types = which + b->changes;

	for (size_t i = 0; i < b->types; i++) {
		const int64_t offset = big(types + 6 * i, 4);
		if (offset > OFFSET_MAX || offset < -OFFSET_MAX)
			return false;
	}
	z->first = big(types, 4);
	z->n = b->changes;
	for (size_t i = 0; i < b->changes; i++) {
		if (which[i] >= b->types)
			return false;
		z->changes[i] = (struct change){big(b->data + 8 * i, 8), big(types + 6 * (size_t)which[i], 4)};
		if (i && z->changes[i].at <= z->changes[i - 1].at)
			return false;
	}
	return true;
}

/* The 64-bit part of a file: every database of the last 15 years has one. New; NULL: it is not what it should be. */
static struct zone *parse(const unsigned char *p, size_t n)
{
	const unsigned char *end = p + n;
	struct block old, b;
	char tail[128];

	p = read_block(p, end, 4, &old);
	p = p ? read_block(p, end, 8, &b) : NULL;
	if (!p || !b.types || b.leaps || end - p < 2 || *p++ != '\n') /* with leap seconds: no civil time */
		return NULL;
	const unsigned char *line = memchr(p, '\n', (size_t)(end - p));
	if (!line || (size_t)(line - p) >= sizeof tail)
		return NULL;
	memcpy(tail, p, (size_t)(line - p));
	tail[line - p] = '\0';
	struct zone *z = calloc(1, sizeof *z + b.changes * sizeof *z->changes);
	if (!z || (fill(z, &b) && (!*tail || read_tail(z, tail))))
		return z;
	free(z);
	return NULL;
}

static const char *folder(void)
{
	const char *dir = getenv("TZDIR");

	return dir && *dir ? dir : "/usr/share/zoneinfo";
}

static struct zone *read_file(const char *name)
{
	unsigned char bytes[ZONE_BYTES];
	struct zone *z = NULL;
	char path[512];
	struct stat st;
	size_t n = 0;
	ssize_t got = 1;

	const int length = snprintf(path, sizeof path, "%s/%s", folder(), name);
	const int fd = length < (int)sizeof path ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : -1;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		while (n < sizeof bytes && ((got = read(fd, bytes + n, sizeof bytes - n)) > 0 || (got < 0 && errno == EINTR)))
			n += got > 0 ? (size_t)got : 0;
		z = got == 0 ? parse(bytes, n) : NULL;
	}
	(void)close(fd);
	return z;
}

/* Letters, digits and `_+-` in parts with `/` between them: so no `..`, no leading `/`. The machine's own zone has a
 * name there too, but what a policy says must not depend on where it is read. */
static bool is_name(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/";
	const size_t n = strlen(name);

	return n && n <= ZONE_NAME_MAX && strspn(name, letters) == n && name[0] != '/' && name[n - 1] != '/' &&
	       strcmp(name, "localtime") != 0 && strcmp(name, "posixrules") != 0;
}

const struct zone *zone_get(const char *name, char *why, size_t size)
{
	static const struct zone utc = {.name = "UTC", .tail = true};
	static struct zone *kept;

	if (strcmp(name, utc.name) == 0) /* also where no database is installed */
		return &utc;
	for (const struct zone *z = kept; z; z = z->next)
		if (strcmp(z->name, name) == 0)
			return z;
	struct zone *z = is_name(name) ? read_file(name) : NULL;
	if (!z) {
		(void)snprintf(why, size, "the zone database has no \"%.*s\"", ZONE_NAME_MAX, name);
		return NULL;
	}
	(void)snprintf(z->name, sizeof z->name, "%s", name);
	z->next = kept;
	kept = z;
	return z;
}

/* "# version 2024a" begins the file of all rules, which most packages bring. */
static void version_of(char *out, size_t size)
{
	char path[512], text[64] = "", version[32];

	(void)snprintf(path, sizeof path, "%s/tzdata.zi", folder());
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd >= 0) {
		(void)!read(fd, text, sizeof text - 1);
		(void)close(fd);
	}
	if (sscanf(text, "# version %31s", version) == 1)
		(void)snprintf(out, size, ", version %s", version);
	else
		(void)snprintf(out, size, ", of unknown version");
}

bool zone_database(char *why, size_t size)
{
	static const char *const names[] = {"Europe/Berlin", "America/New_York", "Asia/Tokyo"};
	char version[48], no[128];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!zone_get(names[i], no, sizeof no)) {
			(void)snprintf(why, size, "%s has no usable %s", folder(), names[i]);
			return false;
		}
	version_of(version, sizeof version);
	(void)snprintf(why, size, "%s%s", folder(), version);
	return true;
}
