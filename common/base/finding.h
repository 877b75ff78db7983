/* What a check found: how a driver tells as-doctor(1) what it tried, one thing after the other, good ones too. */
#ifndef BASE_FINDING_H
#define BASE_FINDING_H

#include "base/err.h"

#include <stdint.h>

enum finding_level {
	FINDING_OK,
	FINDING_WARN, /* works today */
	FINDING_FAIL,
};

#define FINDING_TEXT 900 /* bytes of found and of mend; longer ones are cut */

struct finding {
	enum finding_level level;
	const char *what;  /* a few words: "certificate" */
	const char *found; /* a sentence for a person */
	const char *mend;  /* what to do about it; "" when it is good */
};

struct findings {
	void (*take)(void *ctx, const struct finding *f);
	void *ctx;
};

void finding_ok(const struct findings *to, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A failure or a warning: mend is in printf form. */
void finding_bad(const struct findings *to, enum finding_level level, const char *what, const char *found,
                 const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* A failure of which err tells what was found. */
void finding_failed(const struct findings *to, const char *what, const struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* How far another clock is from ours, in ms, positive when it is ahead; whose: "the server's". Both times are known to
 * this many ms only. advice is what mends it. */
void finding_clock(const struct findings *to, const char *whose, int64_t ahead_ms, int64_t fuzz_ms, const char *advice);
/* A certificate of this file or server that is good until then, ms UTC. */
void finding_until(const struct findings *to, const char *what, const char *whose, int64_t until_ms, int64_t now_ms,
                   const char *advice);

#endif
