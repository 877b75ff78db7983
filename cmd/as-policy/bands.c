/* Why a value of a policy is none. */
#include "cmd/as-policy/policies.h"

#include "base/jv.h"
#include "policy/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* A bound: digits with an optional fraction, moved past. */
static bool bound(const char **p, int64_t *out)
{
	size_t n = strspn(*p, "0123456789");

	if ((*p)[n] == '.' && (*p)[n + 1] != '.')
		n += 1 + strspn(*p + n + 1, "0123456789");
	const bool good = n && jv_micro((struct jv){*p, n}, out);
	*p += n;
	return good;
}

bool band_next(const char **text, struct band *b)
{
	const char *p = *text;
	char *end;

	*b = (struct band){.text = p, .to = INT64_MAX};
	if (!bound(&p, &b->from) || strncmp(p, "..", 2) != 0)
		return false;
	p += 2;
	if (*p != ':' && !bound(&p, &b->to))
		return false;
	if (*p != ':')
		return false;
	b->length = (int)(p - *text);
	b->amount = strtoll(p + 1, &end, 10);
	b->percent = *end == '%';
	*text = end + strcspn(end, ";");
	*text += **text == ';';
	return true;
}

/* A gap, an overlap, a band that has nothing in it or nothing above it, by the bounds. */
static bool explain_bands(const char *text, char *why, size_t size)
{
	struct band before = {.length = 0}, b;

	for (; *text; before = b) {
		if (!band_next(&text, &b))
			return false;
		if (b.to <= b.from)
			return snprintf(why, size, "the band %.*s is empty", b.length, b.text) > 0;
		if (!before.length)
			continue;
		if (before.to == INT64_MAX)
			return snprintf(why, size, "the band %.*s is never reached: %.*s before it has no end", b.length, b.text,
			                before.length, before.text) > 0;
		if (b.from != before.to)
			return snprintf(why, size, "the bands %.*s and %.*s %s", before.length, before.text, b.length, b.text,
			                b.from > before.to ? "leave a gap" : "overlap") > 0;
	}
	return before.length && before.to != INT64_MAX &&
	       snprintf(why, size, "above the last band, %.*s, there is none: it has to be open", before.length,
	                before.text) > 0;
}

bool explain(const char *field, const char *text, char *why, size_t size)
{
	if (!*text)
		return false;
	if (strcmp(field, "schedule") == 0)
		return !schedule_valid(text, why, size);
	return strncmp(field, "step", 4) == 0 && strstr(text, "..") && explain_bands(text, why, size);
}
