/* How fast the count may change: the rates of the policy. */
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
