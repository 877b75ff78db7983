#include "policy/policy.h"

#include "base/limits.h"

#include <string.h>

#include "base/banned.h"

#define MICRO INT64_C(1000000)
#define OPEN INT64_MAX

struct band {
	int64_t from, to; /* millionths; from inclusive, to exclusive */
	int64_t amount;
	int64_t least; /* what a percentage moves at least */
	bool percent;
};

static bool digits(const char **p, int64_t *out)
{
	const char *from = *p;

	for (*out = 0; **p >= '0' && **p <= '9'; (*p)++) {
		*out = *out * 10 + (**p - '0');
		if (*out > 1000000000)
			return false;
	}
	return *p > from;
}

/* A bound of a band: digits with an optional fraction, as millionths. */
static bool bound(const char **p, int64_t *out)
{
	int64_t scale = MICRO / 10;

	if (!digits(p, out))
		return false;
	*out *= MICRO;
	if ((*p)[0] != '.' || (*p)[1] == '.')
		return true;
	for ((*p)++; **p >= '0' && **p <= '9'; (*p)++, scale /= 10)
		*out += (**p - '0') * scale;
	return true;
}

static bool amount(const char **p, struct band *b)
{
	if (!digits(p, &b->amount) || b->amount < 1 || b->amount > REPLICAS_MAX)
		return false;
	b->least = 1;
	b->percent = **p == '%';
	*p += b->percent;
	if (!b->percent || strncmp(*p, "min", 3) != 0)
		return true;
	*p += 3;
	return digits(p, &b->least) && b->least >= 1 && b->least <= REPLICAS_MAX;
}

static bool next_band(const char **p, struct band *b)
{
	if (!bound(p, &b->from) || strncmp(*p, "..", 2) != 0)
		return false;
	*p += 2;
	b->to = OPEN;
	if (**p != ':' && !bound(p, &b->to))
		return false;
	if (**p != ':' || b->to <= b->from)
		return false;
	(*p)++;
	return amount(p, b);
}

/* Walks the form; with `at` not NULL copies the band that holds the breach. False: not one of the forms. */
static bool walk(const char *step, int64_t breach, struct band *at)
{
	const char *p = step;
	struct band b = {.to = OPEN};
	int64_t end = 0;
	bool first = true;

	if (!strstr(step, "..")) {
		if (!amount(&p, &b) || *p)
			return false;
		if (at)
			*at = b;
		return true;
	}
	for (;; first = false) {
		if (!next_band(&p, &b) || (!first && b.from != end))
			return false;
		if (at && breach >= b.from && breach < b.to)
			*at = b;
		end = b.to;
		if (!*p)
			return end == OPEN;
		if (*p++ != ';' || end == OPEN)
			return false;
	}
}

bool step_valid(const char *step) { return walk(step, 0, NULL); }

int64_t step_size(const char *step, int64_t n, int64_t breach_micro)
{
	struct band b = {0};

	if (!walk(step, breach_micro, &b))
		return 0;
	if (!b.percent)
		return b.amount;
	const int64_t moved = (int64_t)((__int128)n * b.amount / 100);
	return moved > b.least ? moved : b.least;
}
