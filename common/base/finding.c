#include "base/finding.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

#define CLOCK_WARN_MS 2000
#define CLOCK_FAIL_MS 30000
#define DAY_MS INT64_C(86400000)
#define SOON_DAYS 14

void finding_ok(const struct findings *to, const char *what, const char *fmt, ...)
{
	char found[FINDING_TEXT];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(found, sizeof found, fmt, ap);
	va_end(ap);
	to->take(to->ctx, &(struct finding){.level = FINDING_OK, .what = what, .found = found, .mend = ""});
}

__attribute__((format(printf, 5, 0))) static void tell(const struct findings *to, enum finding_level level,
                                                       const char *what, const char *found, const char *fmt, va_list ap)
{
	char mend[FINDING_TEXT];

	(void)vsnprintf(mend, sizeof mend, fmt, ap);
	to->take(to->ctx, &(struct finding){.level = level, .what = what, .found = found, .mend = mend});
}

void finding_bad(const struct findings *to, enum finding_level level, const char *what, const char *found,
                 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(to, level, what, found, fmt, ap);
	va_end(ap);
}

void finding_failed(const struct findings *to, const char *what, const struct err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(to, FINDING_FAIL, what, err->message, fmt, ap);
	va_end(ap);
}

void finding_clock(const struct findings *to, const char *whose, int64_t ahead_ms, int64_t fuzz_ms, const char *advice)
{
	const int64_t off = llabs(ahead_ms) > fuzz_ms ? llabs(ahead_ms) - fuzz_ms : 0;
	char found[FINDING_TEXT];

	(void)snprintf(found, sizeof found, "%s clock is %.1f s %s this machine's", whose, (double)llabs(ahead_ms) / 1000,
	               ahead_ms < 0 ? "behind" : "ahead of");
	if (off >= CLOCK_WARN_MS)
		finding_bad(to, off >= CLOCK_FAIL_MS ? FINDING_FAIL : FINDING_WARN, "clock", found, "%s", advice);
	else
		finding_ok(to, "clock", "%s clock is this machine's, within %.1f s", whose, (double)(off + fuzz_ms) / 1000);
}

void finding_until(const struct findings *to, const char *what, const char *whose, int64_t until_ms, int64_t now_ms,
                   const char *advice)
{
	const int64_t days = (until_ms - now_ms) / DAY_MS;
	char found[FINDING_TEXT], day[CLOCK_TEXT];

	clock_format(until_ms, day);
	if (until_ms <= now_ms) {
		(void)snprintf(found, sizeof found, "%s expired on %.10s", whose, day);
		finding_bad(to, FINDING_FAIL, what, found, "%s", advice);
	} else if (days < SOON_DAYS) {
		(void)snprintf(found, sizeof found, "%s expires on %.10s, in %lld day%s", whose, day, (long long)days,
		               days == 1 ? "" : "s");
		finding_bad(to, FINDING_WARN, what, found, "%s", advice);
	} else {
		finding_ok(to, what, "%s is good until %.10s", whose, day);
	}
}
