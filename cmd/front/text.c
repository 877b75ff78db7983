#include "cmd/front/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* The character that begins here and how many bytes it has; 0: it is no UTF-8 (RFC 3629). */
static size_t decode(const unsigned char *p, uint32_t *c)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const size_t n = p[0] < 0x80                   ? 1
	                 : p[0] >= 0xf0 && p[0] < 0xf8 ? 4
	                 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
	                 : p[0] >= 0xc0 && p[0] < 0xe0 ? 2
	                                               : 0;

	if (n < 2) {
		*c = p[0];
		return n;
	}
	*c = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (p[i] & 0x3fu);
	}
	return *c < least[n] || *c > 0x10ffff || (*c >= 0xd800 && *c < 0xe000) ? 0 : n;
}

struct span {
	uint32_t from, to;
};

static bool within(const struct span *spans, size_t n, uint32_t c)
{
	for (size_t i = 0; i < n; i++)
		if (c >= spans[i].from && c <= spans[i].to)
			return true;
	return false;
}

/* Characters that nobody sees: formats, directions, tags (Unicode, general category Cf, and the line separators). */
static bool hidden(uint32_t c)
{
	static const struct span spans[] = {{0xad, 0xad},     {0x61c, 0x61c},   {0x180e, 0x180e},
	                                    {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},
	                                    {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff}};

	return within(spans, sizeof spans / sizeof *spans, c);
}

/* Columns of one character: Unicode Standard Annex 11, the blocks that are wide as a whole, and the marks that stand
 * over the character before them. */
static size_t columns_of(uint32_t c)
{
	static const struct span wide[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},  {0xac00, 0xd7a3},
	                                   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},  {0xffe0, 0xffe6},
	                                   {0x1f300, 0x1f64f}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
	static const struct span marks[] = {{0x300, 0x36f},   {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},
	                                    {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};

	if (within(marks, sizeof marks / sizeof *marks, c))
		return 0;
	return within(wide, sizeof wide / sizeof *wide, c) ? 2 : 1;
}

void text_put(struct buf *out, const char *text, bool ascii)
{
	const unsigned char *p = (const unsigned char *)text;
	uint32_t c;

	while (*p) {
		const size_t n = decode(p, &c);
		if (!n)
			buf_printf(out, "\\x%02x", (unsigned)*p);
		else if (c == '\n' || c == '\t' || c == '\r')
			buf_printf(out, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
		else if (c < 0x20 || (c >= 0x7f && c < 0xa0))
			buf_printf(out, "\\x%02x", (unsigned)c);
		else if (hidden(c))
			buf_printf(out, "\\u%04x", (unsigned)c);
		else if (ascii && c >= 0x80)
			buf_putc(out, '?');
		else
			buf_put(out, p, n);
		p += n ? n : 1;
	}
}

size_t text_width(const char *safe)
{
	const unsigned char *p = (const unsigned char *)safe;
	size_t columns = 0;
	uint32_t c;

	while (*p) {
		const size_t n = decode(p, &c);
		columns += n ? columns_of(c) : 1;
		p += n ? n : 1;
	}
	return columns;
}

void text_cut(struct buf *out, const char *safe, size_t columns, bool ascii)
{
	const unsigned char *p = (const unsigned char *)safe;
	const size_t dots = ascii ? 3 : 1;
	uint32_t c;

	if (text_width(safe) <= columns) {
		buf_puts(out, safe);
		return;
	}
	for (size_t left = columns > dots ? columns - dots : 0; *p;) {
		const size_t n = decode(p, &c), bytes = n ? n : 1, takes = n ? columns_of(c) : 1;
		if (takes > left)
			break;
		buf_put(out, p, bytes);
		left -= takes;
		p += bytes;
	}
	if (!ascii)
		buf_puts(out, columns ? "\xe2\x80\xa6" : "");
	else
		buf_put(out, "...", columns < dots ? columns : dots);
}

void text_pad(struct buf *out, size_t columns)
{
	while (columns--)
		buf_putc(out, ' ');
}
