/* The plan's reasoning as a table. */
#include "cmd/as-decide/decider.h"

#include "base/err.h"
#include "base/limits.h"
#include "cmd/front/text.h"

#include <string.h>

#include "base/banned.h"

static void put_safe(struct buf *out, const char *text) { text_put(out, text, false); }

/* A member as text, a string decoded; "" where there is none. */
static void cell(struct jv object, const char *name, struct buf *out)
{
	const struct jv v = jv_get(object, name);
	struct buf raw = BUF_INIT(LINE_MAX_BYTES);

	if (jv_is_string(v))
		(void)jv_str_buf(v, &raw);
	else
		buf_put(&raw, v.p, v.n);
	buf_reset(out);
	put_safe(out, raw.p ? raw.p : "");
	if (!out->p)
		buf_puts(out, "");
	buf_release(&raw);
}

static const char *const columns[] = {"step", "in", "out", "why"};
#define COLUMNS (sizeof columns / sizeof *columns)

/* Names to the left, numbers to the right, the sentence as it is. */
static void put_cell(struct buf *out, size_t column, size_t widest, const char *text)
{
	const size_t fill = text_width(text) < widest ? widest - text_width(text) : 0;
	const bool number = column == 1 || column == 2;

	buf_puts(out, "  ");
	if (number)
		text_pad(out, fill);
	buf_puts(out, text);
	if (!number && column + 1 < COLUMNS)
		text_pad(out, fill);
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
		buf_puts(out, text.p);
	}
	buf_putc(out, '\n');
	for (size_t i = 0; i < COLUMNS; i++) {
		widest[i] = strlen(columns[i]);
		for (c = jv_each(jv_get(plan, "trace")); jv_next(&c, &m);) {
			cell(m.value, columns[i], &text);
			if (text_width(text.p) > widest[i])
				widest[i] = text_width(text.p);
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
	buf_puts(out, text.p);
	buf_putc(out, '\n');
	buf_release(&text);
}
