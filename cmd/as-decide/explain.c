/* The plan's reasoning as a table. */
#include "cmd/as-decide/decider.h"

#include "base/err.h"
#include "base/limits.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* How a control character (C0, DEL, C1) is shown; 0: it is none. bytes: how many it takes. */
static size_t escape(const unsigned char *p, char out[8], size_t *bytes)
{
	const bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;

	*bytes = c1 ? 2 : 1;
	if (p[0] == '\n' || p[0] == '\t' || p[0] == '\r')
		return (size_t)snprintf(out, 8, "\\%c", p[0] == '\n' ? 'n' : p[0] == '\t' ? 't' : 'r');
	if (c1 || p[0] < 0x20 || p[0] == 0x7f)
		return (size_t)snprintf(out, 8, "\\x%02x", c1 ? p[1] : p[0]);
	return 0;
}

static void put_safe(struct buf *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	char shown[8];
	size_t bytes;

	while (*p) {
		const size_t n = escape(p, shown, &bytes);
		buf_put(out, n ? shown : (const char *)p, n ? n : bytes);
		p += bytes;
	}
}

/* A member as text, a string decoded; "" where there is none. */
static void cell(struct jv object, const char *name, struct buf *out)
{
	const struct jv v = jv_get(object, name);

	buf_reset(out);
	if (jv_is_string(v))
		(void)jv_str_buf(v, out);
	else
		buf_put(out, v.p, v.n);
	if (!out->p)
		buf_puts(out, "");
}

/* Bytes that begin a character: what a terminal counts, near enough. */
static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static const char *const columns[] = {"step", "in", "out", "why"};
#define COLUMNS (sizeof columns / sizeof *columns)

static void pad(struct buf *out, size_t n)
{
	while (n--)
		buf_putc(out, ' ');
}

/* Names to the left, numbers to the right, the sentence as it is. */
static void put_cell(struct buf *out, size_t column, size_t widest, const char *text)
{
	const size_t fill = width(text) < widest ? widest - width(text) : 0;
	const bool number = column == 1 || column == 2;

	buf_puts(out, "  ");
	if (number)
		pad(out, fill);
	put_safe(out, text);
	if (!number && column + 1 < COLUMNS)
		pad(out, fill);
}

void explain(const char *service, const char *now, struct jv plan, struct buf *out)
{
	struct buf text = BUF_INIT(LINE_MAX_BYTES);
	size_t widest[COLUMNS];
	struct jv_cursor c;
	struct jv_member m;

	put_safe(out, service);
	buf_putc(out, ' ');
	put_safe(out, now);
	static const char *const head[] = {"op", "from", "to"};
	for (size_t i = 0; i < 3; i++) {
		cell(plan, head[i], &text);
		buf_puts(out, i == 2 ? " -> " : " ");
		put_safe(out, text.p);
	}
	buf_putc(out, '\n');
	for (size_t i = 0; i < COLUMNS; i++) {
		widest[i] = strlen(columns[i]);
		for (c = jv_each(jv_get(plan, "trace")); jv_next(&c, &m);) {
			cell(m.value, columns[i], &text);
			if (width(text.p) > widest[i])
				widest[i] = width(text.p);
		}
	}
	for (size_t i = 0; i < COLUMNS; i++)
		put_cell(out, i, widest[i], columns[i]);
	buf_putc(out, '\n');
	for (c = jv_each(jv_get(plan, "trace")); jv_next(&c, &m); buf_putc(out, '\n'))
		for (size_t i = 0; i < COLUMNS; i++) {
			cell(m.value, columns[i], &text);
			put_cell(out, i, widest[i], text.p);
		}
	cell(plan, "reason", &text);
	buf_puts(out, "  ");
	put_safe(out, text.p);
	buf_putc(out, '\n');
	buf_release(&text);
}
