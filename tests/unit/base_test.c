/* The readers that everything stands on: JSON views, times, durations, quoting. Tables of inputs and verdicts. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/jv.h"
#include "base/limits.h"

#include "tap.h"

#include <stdlib.h>

#include "base/banned.h"

static bool valid(const char *p, size_t n)
{
	struct jv v;
	struct jv_member m[8];
	size_t count;
	struct err err = {0};
	/* a copy of exactly n bytes, so that a sanitizer sees a read past the end */
	char *copy = malloc(n ? n : 1);

	memcpy(copy, p, n);
	const bool good = jv_scan(copy, n, &v, m, 8, &count, &err) == 0;
	free(copy);
	return good;
}

static void grammar(void)
{
	static const char *const good[] = {
		"{}",
		" { } ",
		"[]",
		"{\"a\":1}",
		"{\"a\":1.0}",
		"{\"a\":-0}",
		"{\"a\":1e400}",
		"{\"a\":9223372036854775808}",
		"{\"a\":12345678901234567890123}",
		"{\"a\":\"\\u0000\"}",
		"{\"a\":\"\\ud83d\\ude00\"}",
		"{\"a\":\"\xc3\xa4\"}",
		"{\"a\":\"\xf4\x8f\xbf\xbf\"}",
		"{\"a\":[1,[2,{\"b\":null}]]}",
		"{\"a\":true,\"b\":false}\r",
		"{\"__proto__\":1}",
		"{\"\":1}",
		"{\"a\":\"\x7f\"}",
		"{\"a\":\"\xc2\x9b\"}",
		"{\"a\":1E+2}",
		"{\"a\":{\"x\":1,\"x\":2}}",
		"\"text\"",
		"null",
	};
	static const char *const bad[] = {
		"",
		"{",
		"{\"a\"",
		"{\"a\":",
		"{\"a\":1",
		"{\"a\":1,",
		"{\"a\":1,}",
		"{a:1}",
		"{'a':1}",
		"{\"a\":01}",
		"{\"a\":+1}",
		"{\"a\":.5}",
		"{\"a\":1.}",
		"{\"a\":1e}",
		"{\"a\":-}",
		"{\"a\":NaN}",
		"{\"a\":Infinity}",
		"{\"a\":tru}",
		"{\"a\":nul}",
		"\xef\xbb\xbf{}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":\"\\udc00\"}",
		"{\"a\":\"\\ud800\\u0041\"}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\u12g4\"}",
		"{\"a\":\"\\u12\"}",
		"{\"a\":\"\x01\"}",
		"{\"a\":\"\n\"}",
		"{\"a\":\"\xc0\x80\"}",
		"{\"a\":\"\xed\xa0\x80\"}",
		"{\"a\":\"\xf4\x90\x80\x80\"}",
		"{\"a\":\"\xff\"}",
		"{\"a\":\"\xc3\"}",
		"{\"a\":\"\xe2\x82\"}",
		"{} {}",
		"{}x",
		"{\"a\":1}//",
		"{\"a\" 1}",
		"{\"a\":1 \"b\":2}",
		"[1,]",
		"[,1]",
		"[1 2]",
		"{]",
		"[}",
		"{\"a\":1]",
		"{\"a\":1,\"a\":2}",
		"{\"a\":1,\"\\u0061\":2}",
		"{1:2}",
		"{,}",
		"\"",
		"\"\\",
		"-",
		"t",
	};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		OK(valid(good[i], strlen(good[i])), "accepted: %.40s", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		OK(!valid(bad[i], strlen(bad[i])), "refused: row %zu", i);
	OK(!valid("{\"a\":\"x\0y\"}", 11), "refused: a raw NUL in a string");
	OK(!valid("{}\0", 3), "refused: a NUL after the value");
}

static void depth(void)
{
	char deep[2 * (DEPTH_MAX + 1)];

	memset(deep, '[', DEPTH_MAX + 1);
	memset(deep + DEPTH_MAX + 1, ']', DEPTH_MAX + 1);
	OK(valid(deep + 1, 2 * DEPTH_MAX), "128 levels are accepted");
	OK(!valid(deep, sizeof deep), "129 levels are refused");
	OK(!valid(deep, DEPTH_MAX), "open brackets without end are refused");
}

/* Every cut of a good record is a bad record. */
static void truncation(void)
{
	static const char text[] = "{\"a\":[1.5e3,\"x\\u00e4\\n\",true,null,{\"b\":{}}],\"c\":\"\xe2\x82\xac\"}";
	size_t accepted = 0;

	for (size_t n = 0; n + 1 < sizeof text - 1; n++)
		accepted += valid(text, n);
	IS(accepted, 0, "no cut of a record is a record");
	OK(valid(text, sizeof text - 1), "the whole of it is");
}

static struct jv view(const char *s)
{
	struct jv v = {0};
	struct err err = {0};

	(void)jv_scan(s, strlen(s), &v, NULL, 0, NULL, &err);
	return v;
}

static void reading(void)
{
	const struct jv v = view("{\"a\": {\"b\" : [10, -5, \"x\\ty\", {}]}, \"n\":null, \"\\u0061z\":7, \"t\":true }");
	struct jv_cursor c = jv_each(jv_path(v, "a.b"));
	struct jv_member m;
	int64_t n;
	char text[16];

	IS(jv_count(jv_path(v, "a.b")), 4, "an array is counted");
	OK(jv_next(&c, &m) && jv_int(m.value, &n) && n == 10, "first element");
	OK(jv_next(&c, &m) && jv_int(m.value, &n) && n == -5, "second element, negative");
	OK(jv_next(&c, &m) && jv_str(m.value, text, sizeof text) && strcmp(text, "x\ty") == 0, "an escape is decoded");
	OK(!jv_str(m.value, text, 3), "a string that does not fit is refused, not cut");
	OK(jv_next(&c, &m) && jv_is_object(m.value), "fourth element");
	OK(!jv_next(&c, &m), "then the end");
	OK(jv_is_null(jv_get(v, "n")) && jv_here(jv_get(v, "n")), "null is there, and null");
	OK(!jv_here(jv_get(v, "x")) && jv_is_null(jv_get(v, "x")), "an absent member reads as null");
	IS(jv_int_or(jv_get(v, "az"), 0), 7, "a name with escapes is found");
	OK(!jv_here(jv_path(v, "a.b.c")), "a path through an array leads nowhere");
	OK(!jv_int(view("1.5"), &n) && !jv_int(view("9223372036854775808"), &n), "what is no int64 is no int");
	OK(jv_int(view("-9223372036854775808"), &n) && n == INT64_MIN, "the smallest int64");
}

static void micro(void)
{
	static const struct {
		const char *text;
		int64_t want;
	} rows[] = {
		{"0", 0},
		{"1", 1000000},
		{"-2.5", -2500000},
		{"0.000001", 1},
		{"0.0000004", 0},
		{"0.0000005", 1},
		{"1e3", 1000000000},
		{"1.5E-3", 1500},
		{"92.5", 92500000},
		{"12345678.654321", 12345678654321},
		{"0e999", 0},
		{"1e-400", 0},
		{"5.00001", 5000010},
		{"0.1234567890123456789", 123457},
	};
	int64_t got;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		OK(jv_micro(view(rows[i].text), &got) && got == rows[i].want, "%s in millionths", rows[i].text);
	OK(!jv_micro(view("1e400"), &got) && !jv_micro(view("9999999999999999999"), &got), "what does not fit is refused");
	OK(!jv_micro(view("\"1\""), &got), "text is no number");
}

static void times(void)
{
	static const struct {
		const char *text, *want; /* NULL: refused */
	} rows[] = {
		{"2026-11-24T02:55:16.123Z", "2026-11-24T02:55:16.123Z"},
		{"2026-11-24T02:55:16Z", "2026-11-24T02:55:16.000Z"},
		{"2026-11-24T03:55:16.9999999+01:00", "2026-11-24T02:55:16.999Z"},
		{"2024-02-29 00:00:00Z", "2024-02-29T00:00:00.000Z"},
		{"1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"},
		{"1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"},
		{"2026-11-23T22:40:16-0530", "2026-11-24T04:10:16.000Z"},
		{"2023-02-29T00:00:00Z", NULL},
		{"2026-13-01T00:00:00Z", NULL},
		{"2026-11-24T24:00:00Z", NULL},
		{"2026-11-24T02:55:16", NULL},
		{"2026-11-24T02:55:16.Z", NULL},
		{"2026-11-24", NULL},
		{"2026-11-24T02:55:16Zx", NULL},
		{"", NULL},
		{"now", NULL},
	};
	char text[CLOCK_TEXT];
	int64_t ms;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const bool good = clock_parse(rows[i].text, &ms);
		if (good)
			clock_format(ms, text);
		OK(good == (rows[i].want != NULL) && (!good || strcmp(text, rows[i].want) == 0), "time \"%s\"", rows[i].text);
	}
}

static void http_dates(void)
{
	static const struct {
		const char *text;
		const char *want; /* NULL: not a time */
	} rows[] = {
		{"Tue, 01 Dec 2026 11:06:08 GMT", "2026-12-01T11:06:08.000Z"},
		{"Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37.000Z"},
		{"Sun, 06 Ovn 1994 08:49:37 GMT", NULL},
		{"Sun, 00 Nov 1994 08:49:37 GMT", NULL},
		{"Sun, 06 Nov 1994 24:49:37 GMT", NULL},
		{"Sun, 06 Nov 1994 08:49:37", NULL},
		{"Sun, 06 Nov 1994 08:49:37 GMT+1", NULL},
		{"Sunday, 06-Nov-94 08:49:37 GMT", NULL},
		{"", NULL},
	};
	char text[CLOCK_TEXT];
	int64_t ms;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const bool good = clock_http(rows[i].text, &ms);
		if (good)
			clock_format(ms, text);
		OK(good == (rows[i].want != NULL) && (!good || strcmp(text, rows[i].want) == 0), "date \"%s\"", rows[i].text);
	}
}

static void durations(void)
{
	static const struct {
		const char *text;
		int64_t want; /* -1: refused */
	} rows[] = {
		{"30s", 30000},
		{"5m", 300000},
		{"1h30m", 5400000},
		{"250ms", 250},
		{"2d", 172800000},
		{"1.5", 1500},
		{"0", 0},
		{"60", 60000},
		{"0.25s", 250},
		{"", -1},
		{"s", -1},
		{"-1s", -1},
		{"+1", -1},
		{"1x", -1},
		{"1 s", -1},
		{"1.s", -1},
		{"5m3", 303000},
		{"3 5m", -1},
		{"99999999999999999999", -1},
		{"3651d", -1},
		{"35m", 2100000},
	};
	struct buf b = BUF_INIT(100);
	int64_t ms;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const bool good = duration_parse(rows[i].text, &ms);
		OK(good == (rows[i].want >= 0) && (!good || ms == rows[i].want), "duration \"%s\"", rows[i].text);
	}
	duration_json(&b, 1500);
	buf_putc(&b, ' ');
	duration_json(&b, 60000);
	buf_putc(&b, ' ');
	duration_json(&b, 1);
	IS_STR(b.p, "1.5 60 0.001", "durations are written as seconds");
	buf_release(&b);
}

static void quoting(void)
{
	struct buf b = BUF_INIT(200), small = BUF_INIT(10);
	struct err err = {0};

	buf_json_str(&b, "a\"b\\c\n\x1b[31m\x7f\xc2\x9b\xc3\xa4\xff");
	IS_STR(b.p, "\"a\\\"b\\\\c\\n\\u001b[31m\\u007f\\u009b\xc3\xa4\xef\xbf\xbd\"",
	       "controls are escaped, bad bytes replaced");
	buf_puts(&small, "12345");
	buf_puts(&small, "678901");
	OK(small.n == 5 && buf_ok(&small, &err) < 0 && err.code == ERR_LIMIT, "a buffer refuses what passes its maximum");
	buf_reset(&small);
	buf_puts(&small, "1234567890");
	OK(small.n == 10 && buf_ok(&small, &err) == 0, "and takes what just fits");
	buf_release(&b);
	buf_release(&small);
}

int main(void)
{
	grammar();
	depth();
	truncation();
	reading();
	micro();
	times();
	http_dates();
	durations();
	quoting();
	return DONE();
}
