/* Times and durations. Inside: int64_t milliseconds, UTC since the epoch. In records: RFC 3339 with milliseconds
 * and Z; durations are numbers of seconds. Only cmd/ reads the clock; the domain gets `now` as a parameter. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/jv.h"

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_TEXT 32 /* enough for any time that clock_format writes */
#define TIME_NONE INT64_MIN

int64_t clock_now_ms(void);       /* CLOCK_REALTIME */
int64_t clock_monotonic_ms(void); /* for deadlines */
void clock_sleep_ms(int64_t ms);

/* "2026-11-24T02:55:16.123Z". Years 0000 to 9999. */
void clock_format(int64_t ms, char out[CLOCK_TEXT]);
/* RFC 3339 with any offset, `T` or space, any number of fraction digits (cut to ms). False when it is no time. */
bool clock_parse(const char *s, int64_t *ms);
/* "Tue, 01 Dec 2026 11:06:08 GMT", the Date of an HTTP answer, RFC 9110 section 5.6.7; whole seconds. */
bool clock_http(const char *s, int64_t *ms);
/* A JSON string that is a time, or false. */
bool clock_json(struct jv v, int64_t *ms);

/* Days from 1970-01-01 to a date of the Gregorian calendar, and back. */
int64_t clock_days(int64_t y, int m, int d);
void clock_civil(int64_t days, int64_t *y, int *m, int *d);

/* A member that is a time, for an object in b; TIME_NONE: null. */
void clock_json_member(struct buf *b, const char *name, int64_t ms);

/* "250ms", "30s", "5m", "1h30m", "2d", or a plain number of seconds with an optional fraction: milliseconds, 0 to
 * 10 years. False for anything else, a sign included. */
bool duration_parse(const char *s, int64_t *ms);
/* Seconds as JSON number text: "30", "0.25". */
void duration_json(struct buf *b, int64_t ms);

#endif
