/* Text, times and numbers for the page. */
#include "cmd/as-report/report.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* One character of UTF-8; U+FFFD for a byte that is none: the title may come from anywhere. */
static uint32_t character(const unsigned char *p, size_t *bytes)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);

	*bytes = 1;
	if (p[0] >= 0x80 && (p[0] < 0xc2 || p[0] > 0xf4))
		return 0xfffd;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0xfffd;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0xfffd;
	*bytes = n;
	return c;
}

/* Unicode Bidirectional Algorithm (UAX 9): marks, embeddings, overrides, isolates; then what has no width, the line
 * and paragraph separators, interlinear annotations, tags, and what XML does not allow. */
static bool unseen(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || c == 0x180e ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
	       c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) || (c & 0xfffe) == 0xfffe || (c >= 0xe0000 && c <= 0xe007f);
}

void html_text(struct buf *b, const char *text)
{
	size_t n;

	for (const unsigned char *p = (const unsigned char *)text; *p; p += n) {
		const uint32_t c = character(p, &n);
		if (c == '&')
			buf_puts(b, "&amp;");
		else if (c == '<')
			buf_puts(b, "&lt;");
		else if (c == '>')
			buf_puts(b, "&gt;");
		else if (c == '"')
			buf_puts(b, "&quot;");
		else if (c == '\'')
			buf_puts(b, "&#39;");
		else if (unseen(c))
			buf_printf(b, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
		else if (c == 0xfffd && n == 1)
			buf_puts(b, "\xef\xbf\xbd");
		else
			buf_put(b, p, n);
	}
}

/* For an axis: 128.5 M. */
void text_short(struct buf *b, int64_t micro)
{
	static const char *const prefixes[] = {"", " k", " M", " G", " T"};
	size_t i = 0;

	for (; micro >= INT64_C(10000) * 1000000 && i < 4; i++)
		micro /= 1000;
	text_micro(b, i ? micro / 100000 * 100000 : micro);
	buf_puts(b, prefixes[i]);
}

void text_time(struct buf *b, int64_t ms)
{
	char text[CLOCK_TEXT];

	clock_format(ms, text);
	buf_printf(b, "%.10s %.8s", text, text + 11);
}

void html_time(struct buf *b, int64_t ms, bool same_day)
{
	char text[CLOCK_TEXT];

	clock_format(ms, text);
	buf_printf(b, "<time datetime=\"%s\">%.*s%s%.8s</time>", text, same_day ? 0 : 10, text, same_day ? "" : " ",
	           text + 11);
}

/* The two largest units that say something. */
void text_length(struct buf *b, int64_t ms)
{
	const long long s = (ms + 500) / 1000;

	if (ms > 0 && ms < 10000)
		buf_printf(b, "%lld.%lld s", (long long)(ms / 1000), (long long)(ms % 1000 / 100));
	else if (s < 60)
		buf_printf(b, "%lld s", s);
	else if (s < 3600)
		buf_printf(b, s % 60 ? "%lld min %lld s" : "%lld min", s / 60, s % 60);
	else if (s < 86400)
		buf_printf(b, s % 3600 / 60 ? "%lld h %lld min" : "%lld h", s / 3600, s % 3600 / 60);
	else
		buf_printf(b, s % 86400 / 3600 ? "%lld d %lld h" : "%lld d", s / 86400, s % 86400 / 3600);
}

static void data(struct buf *b, int64_t ms)
{
	buf_printf(b, "<data value=\"%lld.%03d\">", (long long)(ms / 1000), (int)(ms % 1000));
}

void html_length(struct buf *b, int64_t ms)
{
	data(b, ms);
	text_length(b, ms);
	buf_puts(b, "</data>");
}

void html_hours(struct buf *b, int64_t ms)
{
	const long long hundredths = (ms + 18000) / 36000;

	data(b, ms);
	text_count(b, hundredths / 100);
	buf_printf(b, ".%02lld</data>", hundredths % 100);
}

void text_count(struct buf *b, int64_t n)
{
	if (n >= 1000)
		text_count(b, n / 1000);
	buf_printf(b, n >= 1000 ? ",%03lld" : "%lld", (long long)(n >= 1000 ? n % 1000 : n));
}

void text_micro(struct buf *b, int64_t micro)
{
	char text[48];
	const uint64_t size = micro < 0 ? 0 - (uint64_t)micro : (uint64_t)micro;
	int n = snprintf(text, sizeof text, "%s%llu.%06llu", micro < 0 ? "-" : "", (unsigned long long)(size / 1000000),
	                 (unsigned long long)(size % 1000000));

	while (text[n - 1] == '0')
		n--;
	buf_put(b, text, (size_t)(text[n - 1] == '.' ? n - 1 : n));
}
