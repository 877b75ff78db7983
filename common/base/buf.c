#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

void buf_release(struct buf *b)
{
	free(b->p);
	b->p = NULL;
	b->n = b->cap = 0;
	b->failed = b->full = false;
}

void buf_reset(struct buf *b)
{
	b->n = 0;
	b->failed = b->full = false;
	if (b->p)
		b->p[0] = '\0';
}

int buf_reserve(struct buf *b, size_t more)
{
	if (b->failed)
		return -1;
	if (more > b->max - b->n) {
		b->failed = b->full = true;
		return -1;
	}
	if (b->n + more < b->cap)
		return 0;
	size_t cap = b->cap ? b->cap : 256;
	while (cap <= b->n + more)
		cap *= 2;
	if (cap > b->max + 1)
		cap = b->max + 1;
	char *p = realloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return -1;
	}
	b->p = p;
	b->cap = cap;
	return 0;
}

/* Is there room for so many bytes more, and a NUL, without asking for any? */
static inline bool fits(const struct buf *b, size_t more) { return !b->failed && more < b->cap - b->n && b->cap; }

void buf_put(struct buf *b, const void *p, size_t n)
{
	if (!fits(b, n) && buf_reserve(b, n) < 0)
		return;
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void buf_puts(struct buf *b, const char *s) { buf_put(b, s, strlen(s)); }

void buf_putc(struct buf *b, char c)
{
	if (!fits(b, 1) && buf_reserve(b, 1) < 0)
		return;
	b->p[b->n++] = c;
	b->p[b->n] = '\0';
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	char small[512];
	va_list ap;

	va_start(ap, fmt);
	const int n = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if ((size_t)n < sizeof small) {
		buf_put(b, small, (size_t)n);
		return;
	}
	if (buf_reserve(b, (size_t)n) < 0)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
}

void buf_drop_front(struct buf *b, size_t n)
{
	if (!n)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
	b->p[b->n] = '\0';
}

int buf_ok(const struct buf *b, struct err *err)
{
	if (!b->failed)
		return 0;
	if (b->full)
		return err_set(err, ERR_LIMIT, "more than %zu bytes", b->max);
	return err_set(err, ERR_TEMPORARY, "out of memory");
}

/* The length of the UTF-8 sequence at s, or 0 when it is none (overlong, surrogate, cut or above U+10FFFF). */
static size_t utf8_len(const unsigned char *s, size_t n)
{
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	const size_t want = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (n < want || (s[1] & 0xc0) != 0x80)
		return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	for (size_t i = 2; i < want; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return want;
}

/* Bytes that stand for themselves in a string. */
static const bool plain[256] = {
	[' ' ... '!'] = true,
	['#' ... '['] = true,
	[']' ... '~'] = true,
};

void buf_json_strn(struct buf *b, const char *text, size_t n)
{
	const unsigned char *s = (const unsigned char *)text;

	buf_putc(b, '"');
	for (size_t i = 0; i < n;) {
		size_t run = i;
		while (run < n && plain[s[run]])
			run++;
		buf_put(b, s + i, run - i);
		i = run;
		if (i == n)
			break;
		const unsigned char c = s[i];
		if (c == '"' || c == '\\') {
			const char pair[2] = {'\\', (char)c};
			buf_put(b, pair, 2);
			i++;
		} else if (c == '\n' || c == '\t' || c == '\r') {
			buf_puts(b, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r");
			i++;
		} else if (c < 0x80) {
			buf_printf(b, "\\u%04x", c);
			i++;
		} else if (c == 0xc2 && i + 1 < n && s[i + 1] >= 0x80 && s[i + 1] < 0xa0) {
			buf_printf(b, "\\u%04x", s[i + 1]); /* C1 controls */
			i += 2;
		} else {
			const size_t len = utf8_len(s + i, n - i);
			if (len)
				buf_put(b, s + i, len);
			else
				buf_puts(b, "\xef\xbf\xbd");
			i += len ? len : 1;
		}
	}
	buf_putc(b, '"');
}

void buf_json_str(struct buf *b, const char *s) { buf_json_strn(b, s, strlen(s)); }

void buf_json_int(struct buf *b, int64_t v)
{
	char text[24];
	size_t at = sizeof text;
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do
		text[--at] = (char)('0' + u % 10);
	while (u /= 10);
	if (v < 0)
		text[--at] = '-';
	buf_put(b, text + at, sizeof text - at);
}

void buf_json_bool(struct buf *b, bool v) { buf_puts(b, v ? "true" : "false"); }

void buf_json_comma(struct buf *b)
{
	if (b->n && b->p[b->n - 1] != '{' && b->p[b->n - 1] != '[' && b->p[b->n - 1] != ':')
		buf_putc(b, ',');
}

void buf_json_key(struct buf *b, const char *name)
{
	buf_json_comma(b);
	buf_json_str(b, name);
	buf_putc(b, ':');
}

void buf_json_member_str(struct buf *b, const char *name, const char *value)
{
	buf_json_key(b, name);
	if (value)
		buf_json_str(b, value);
	else
		buf_puts(b, "null");
}

void buf_json_member_int(struct buf *b, const char *name, int64_t value)
{
	buf_json_key(b, name);
	buf_json_int(b, value);
}

void buf_json_member_bool(struct buf *b, const char *name, bool value)
{
	buf_json_key(b, name);
	buf_json_bool(b, value);
}
