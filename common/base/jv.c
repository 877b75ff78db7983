#include "base/jv.h"

#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* ---- validation: one pass over the bytes, no recursion, no allocation ---- */

struct scan {
	const unsigned char *start, *p, *end;
	const char *why; /* set with the first failure */
};

/* Bytes that end a run of plain string characters: controls, quote, backslash, and everything above ASCII. */
static const unsigned char string_stop[256] = {
	[0x00 ... 0x1f] = 1,
	['"'] = 1,
	['\\'] = 1,
	[0x80 ... 0xff] = 1,
};

static bool wrong(struct scan *s, const char *why)
{
	s->why = why;
	return false;
}

static void skip_space(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static int hex4(const unsigned char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		const int c = p[i];
		const int d = c >= '0' && c <= '9'   ? c - '0'
		              : c >= 'a' && c <= 'f' ? c - 'a' + 10
		              : c >= 'A' && c <= 'F' ? c - 'A' + 10
		                                     : -1;
		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v;
}

static bool scan_escape(struct scan *s)
{
	if (s->end - s->p < 2)
		return wrong(s, "a string that does not end");
	const unsigned char c = s->p[1];
	if (c != 'u') {
		if (!c || !strchr("\"\\/bfnrt", c))
			return wrong(s, "an unknown escape");
		s->p += 2;
		return true;
	}
	const int unit = s->end - s->p >= 6 ? hex4(s->p + 2) : -1;
	if (unit < 0)
		return wrong(s, "a bad \\u escape");
	if (unit >= 0xdc00 && unit <= 0xdfff)
		return wrong(s, "a lone surrogate");
	if (unit >= 0xd800 && unit <= 0xdbff) {
		const int low = s->end - s->p >= 12 && s->p[6] == '\\' && s->p[7] == 'u' ? hex4(s->p + 8) : -1;
		if (low < 0xdc00 || low > 0xdfff)
			return wrong(s, "a lone surrogate");
		s->p += 6;
	}
	s->p += 6;
	return true;
}

static bool scan_utf8(struct scan *s)
{
	const unsigned char *p = s->p;
	const ptrdiff_t left = s->end - p;
	const int want = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	if (!want || left < want || (p[1] & 0xc0) != 0x80 || (p[0] == 0xe0 && p[1] < 0xa0) ||
	    (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return wrong(s, "bytes that are not UTF-8");
	for (int i = 2; i < want; i++)
		if ((p[i] & 0xc0) != 0x80)
			return wrong(s, "bytes that are not UTF-8");
	s->p += want;
	return true;
}

/* From the opening quote past the closing one. */
static bool scan_string(struct scan *s, bool *escaped)
{
	for (s->p++; s->p < s->end;) {
		while (s->p < s->end && !string_stop[*s->p])
			s->p++;
		if (s->p == s->end)
			break;
		const unsigned char c = *s->p;
		if (c == '"') {
			s->p++;
			return true;
		}
		if (c == '\\') {
			*escaped = true;
			if (!scan_escape(s))
				return false;
		} else if (c < 0x20) {
			return wrong(s, "a control character in a string");
		} else if (!scan_utf8(s)) {
			return false;
		}
	}
	return wrong(s, "a string that does not end");
}

static bool scan_digits(struct scan *s)
{
	const unsigned char *from = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > from || wrong(s, "a number without digits");
}

static bool scan_number(struct scan *s)
{
	if (*s->p == '-')
		s->p++;
	if (s->p < s->end && *s->p == '0')
		s->p++;
	else if (!scan_digits(s))
		return false;
	if (s->p < s->end && *s->p == '.') {
		s->p++;
		if (!scan_digits(s))
			return false;
	}
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		if (!scan_digits(s))
			return false;
	}
	return true;
}

static bool scan_word(struct scan *s, const char *word)
{
	const size_t n = strlen(word);

	if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
		return wrong(s, "a word that is no value");
	s->p += n;
	return true;
}

static bool scan_scalar(struct scan *s)
{
	bool escaped;

	switch (*s->p) {
	case '"': return scan_string(s, &escaped);
	case 't': return scan_word(s, "true");
	case 'f': return scan_word(s, "false");
	case 'n': return scan_word(s, "null");
	case '-':
	case '0':
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
	case '7':
	case '8':
	case '9': return scan_number(s);
	default: return wrong(s, "no value where one should be");
	}
}

/* The member names seen at the top, for the caller and for finding a name given twice. */
struct tops {
	struct jv_member *v;
	size_t max, n;
};

static uint32_t hash_bytes(const char *p, size_t n)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 16777619u;
	return h;
}

/* A name decoded for comparing; escapes in names are rare, so that this may allocate. NULL: no memory. */
static char *decoded(const struct jv_member *m, struct buf *scratch)
{
	buf_reset(scratch);
	const struct jv quoted = {m->name.p - 1, m->name.n + 2};
	return jv_str_buf(quoted, scratch) && !scratch->failed ? scratch->p : NULL;
}

static bool same_name(const struct jv_member *a, const struct jv_member *b)
{
	if (!a->escaped && !b->escaped)
		return a->name.n == b->name.n && memcmp(a->name.p, b->name.p, a->name.n) == 0;
	struct buf x = BUF_INIT(LINE_MAX_BYTES), y = BUF_INIT(LINE_MAX_BYTES);
	const char *p = decoded(a, &x), *q = decoded(b, &y);
	const bool same = !p || !q || (x.n == y.n && memcmp(p, q, x.n) == 0); /* no memory: refuse, never guess */
	buf_release(&x);
	buf_release(&y);
	return same;
}

/* Everything about a name that hashing needs; the value follows later. */
static bool top_name(struct scan *s, struct tops *t, const unsigned char *from, bool escaped)
{
	if (t->n == t->max)
		return wrong(s, "too many members");
	struct jv_member *m = &t->v[t->n];
	m->name = (struct jv){(const char *)from + 1, (size_t)(s->p - from) - 2};
	m->escaped = escaped;
	if (escaped) {
		struct buf scratch = BUF_INIT(LINE_MAX_BYTES);
		const char *p = decoded(m, &scratch);
		m->hash = p ? hash_bytes(p, scratch.n) : 0;
		buf_release(&scratch);
		if (!p)
			return wrong(s, "no memory for a name");
	} else {
		m->hash = hash_bytes(m->name.p, m->name.n);
	}
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].hash == m->hash && same_name(&t->v[i], m))
			return wrong(s, "a member name given twice");
	return true;
}

/* The whole grammar. `object[d]` tells which kind of container is open at depth d. */
static bool scan_value(struct scan *s, struct tops *tops)
{
	bool object[DEPTH_MAX + 1];
	int depth = 0;
	const unsigned char *top_value = NULL;

value:
	skip_space(s);
	if (s->p == s->end)
		return wrong(s, "the end of the line, too early");
	if (depth == 1 && object[1])
		top_value = s->p;
	if (*s->p == '{' || *s->p == '[') {
		if (depth == DEPTH_MAX)
			return wrong(s, "nesting deeper than 128 levels");
		object[++depth] = *s->p++ == '{';
		skip_space(s);
		if (s->p < s->end && *s->p == (object[depth] ? '}' : ']'))
			goto close;
		if (!object[depth])
			goto value;
		goto name;
	}
	if (!scan_scalar(s))
		return false;
after:
	if (depth == 0)
		return true;
	if (depth == 1 && object[1] && tops->v) {
		tops->v[tops->n].value = (struct jv){(const char *)top_value, (size_t)(s->p - top_value)};
		tops->n++;
	}
	skip_space(s);
	if (s->p == s->end)
		return wrong(s, "the end of the line, too early");
	if (*s->p == ',') {
		s->p++;
		if (!object[depth])
			goto value;
		skip_space(s);
		goto name;
	}
	if (*s->p != (object[depth] ? '}' : ']'))
		return wrong(s, "no comma or closing bracket where one should be");
close:
	s->p++;
	depth--;
	goto after;
name:
	if (s->p == s->end || *s->p != '"')
		return wrong(s, "no member name where one should be");
	{
		const unsigned char *from = s->p;
		bool escaped = false;
		if (!scan_string(s, &escaped))
			return false;
		if (depth == 1 && tops->v && !top_name(s, tops, from, escaped))
			return false;
	}
	skip_space(s);
	if (s->p == s->end || *s->p != ':')
		return wrong(s, "no colon after a member name");
	s->p++;
	goto value;
}

int jv_scan(const char *p, size_t n, struct jv *value, struct jv_member *members, size_t max, size_t *count,
            struct err *err)
{
	const unsigned char *bytes = (const unsigned char *)p;
	struct scan s = {.start = bytes, .p = bytes, .end = bytes + n};
	struct tops tops = {.v = members, .max = max};

	skip_space(&s);
	const unsigned char *from = s.p;
	if (!scan_value(&s, &tops))
		goto bad;
	*value = (struct jv){(const char *)from, (size_t)(s.p - from)};
	skip_space(&s);
	if (s.p < s.end) {
		s.why = "text after the value";
		goto bad;
	}
	if (count)
		*count = tops.n;
	return 0;
bad:
	return err_set(err, ERR_INPUT, "not a JSON record: %s (byte %zu)", s.why, (size_t)(s.p - s.start) + 1);
}

/* ---- reading: the bytes are valid, so that skipping needs no checks ---- */

static const char *past_space(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
		p++;
	return p;
}

static const char *past_string(const char *p, bool *escaped)
{
	for (p++;; p += 2) {
		while (*p != '"' && *p != '\\') /* alone, so that the processor runs ahead: most of all reading is here */
			p++;
		if (*p == '"')
			return p + 1;
		*escaped = true;
	}
}

static const char *past_value(const char *p, const char *end)
{
	int depth = 0;
	bool escaped;

	if (*p == '"')
		return past_string(p, &escaped);
	if (*p != '{' && *p != '[') {
		while (p < end && *p != ',' && *p != '}' && *p != ']' && *p != ' ' && *p != '\t' && *p != '\n' && *p != '\r')
			p++;
		return p;
	}
	for (;;) {
		switch (*p) {
		case '"': p = past_string(p, &escaped); continue;
		case '{':
		case '[': depth++; break;
		case '}':
		case ']':
			if (!--depth)
				return p + 1;
		}
		p++;
	}
}

bool jv_is_object(struct jv v) { return v.n && *v.p == '{'; }
bool jv_is_array(struct jv v) { return v.n && *v.p == '['; }
bool jv_is_string(struct jv v) { return v.n && *v.p == '"'; }
bool jv_is_number(struct jv v) { return v.n && (*v.p == '-' || (*v.p >= '0' && *v.p <= '9')); }
bool jv_is_true(struct jv v) { return v.n == 4 && *v.p == 't'; }
bool jv_is_null(struct jv v) { return !v.p || (v.n == 4 && *v.p == 'n'); }

struct jv_cursor jv_each(struct jv container)
{
	if (!jv_is_object(container) && !jv_is_array(container))
		return (struct jv_cursor){0};
	return (struct jv_cursor){container.p + 1, container.p + container.n - 1, *container.p == '{'};
}

bool jv_next(struct jv_cursor *c, struct jv_member *m)
{
	if (c->at == c->end)
		return false;
	const char *p = past_space(c->at);
	if (p == c->end)
		return false;
	if (*p == ',')
		p = past_space(p + 1);
	*m = (struct jv_member){0};
	if (c->object) {
		const char *q = past_string(p, &m->escaped);
		m->name = (struct jv){p + 1, (size_t)(q - p) - 2};
		p = past_space(past_space(q) + 1); /* the colon */
	}
	const char *q = past_value(p, c->end);
	m->value = (struct jv){p, (size_t)(q - p)};
	c->at = q;
	return true;
}

size_t jv_count(struct jv container)
{
	struct jv_cursor c = jv_each(container);
	struct jv_member m;
	size_t n = 0;

	while (jv_next(&c, &m))
		n++;
	return n;
}

bool jv_name_is(const struct jv_member *m, const char *s)
{
	if (!m->escaped)
		return strlen(s) == m->name.n && memcmp(s, m->name.p, m->name.n) == 0;
	return jv_is((struct jv){m->name.p - 1, m->name.n + 2}, s);
}

struct jv jv_get(struct jv object, const char *name)
{
	struct jv_cursor c = jv_each(object);
	struct jv_member m;
	const size_t n = strlen(name);

	if (c.object)
		while (jv_next(&c, &m))
			if (m.escaped ? jv_name_is(&m, name) : m.name.n == n && memcmp(m.name.p, name, n) == 0)
				return m.value;
	return (struct jv){0};
}

struct jv jv_path(struct jv object, const char *dotted)
{
	char name[64];

	for (;;) {
		const size_t n = strcspn(dotted, ".");
		if (n >= sizeof name)
			return (struct jv){0};
		memcpy(name, dotted, n);
		name[n] = '\0';
		object = jv_get(object, name);
		if (!dotted[n])
			return object;
		dotted += n + 1;
	}
}

bool jv_int(struct jv v, int64_t *out)
{
	if (!jv_is_number(v))
		return false;
	const bool minus = *v.p == '-';
	uint64_t u = 0;
	for (size_t i = minus; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return false;
		const uint64_t d = (uint64_t)(v.p[i] - '0');
		if (u > (UINT64_MAX - d) / 10)
			return false;
		u = u * 10 + d;
	}
	if (u > (uint64_t)INT64_MAX + minus)
		return false;
	*out = minus ? (int64_t)(0 - u) : (int64_t)u;
	return true;
}

int64_t jv_int_or(struct jv v, int64_t otherwise)
{
	int64_t out;

	return jv_int(v, &out) ? out : otherwise;
}

bool jv_micro(struct jv v, int64_t *out)
{
	if (!jv_is_number(v))
		return false;
	const char *p = v.p, *end = v.p + v.n;
	const bool minus = *p == '-';
	int64_t mantissa = 0;
	int exponent = 6, given = 0, sign = 1;
	bool fraction = false;

	for (p += minus; p < end && *p != 'e' && *p != 'E'; p++) {
		if (*p == '.') {
			fraction = true;
			continue;
		}
		if (mantissa > (INT64_MAX - 9) / 10) { /* further digits only shift */
			exponent += !fraction;
			continue;
		}
		mantissa = mantissa * 10 + (*p - '0');
		exponent -= fraction;
	}
	if (p < end) {
		p++;
		if (*p == '-' || *p == '+')
			sign = *p++ == '-' ? -1 : 1;
		for (; p < end; p++)
			if (given < 10000)
				given = given * 10 + (*p - '0');
	}
	exponent += sign * given;
	for (; exponent > 0 && mantissa; exponent--) {
		if (mantissa > INT64_MAX / 10)
			return false;
		mantissa *= 10;
	}
	int last = 0;
	for (; exponent < 0 && (mantissa || last); exponent++) {
		last = (int)(mantissa % 10);
		mantissa /= 10;
	}
	mantissa += last >= 5;
	*out = minus ? -mantissa : mantissa;
	return true;
}

static void put_utf8(struct buf *b, unsigned c)
{
	char u[4];
	size_t n = 0;

	if (c < 0x80) {
		u[n++] = (char)c;
	} else if (c < 0x800) {
		u[n++] = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		u[n++] = (char)(0xe0 | c >> 12);
		u[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		u[n++] = (char)(0xf0 | c >> 18);
		u[n++] = (char)(0x80 | (c >> 12 & 0x3f));
		u[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	}
	if (c >= 0x80)
		u[n++] = (char)(0x80 | (c & 0x3f));
	buf_put(b, u, n);
}

/* One escape at p (past its backslash); returns what follows it. */
static const char *put_escape(struct buf *b, const char *p)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

	if (*p != 'u') {
		const char *at = strchr(from, *p);
		buf_putc(b, at && *p ? to[at - from] : *p);
		return p + 1;
	}
	unsigned c = (unsigned)hex4((const unsigned char *)p + 1);
	p += 5;
	if (c >= 0xd800 && c <= 0xdbff) {
		c = 0x10000 + ((c - 0xd800) << 10) + ((unsigned)hex4((const unsigned char *)p + 2) - 0xdc00);
		p += 6;
	}
	put_utf8(b, c);
	return p;
}

bool jv_str_buf(struct jv v, struct buf *b)
{
	if (!jv_is_string(v))
		return false;
	const char *p = v.p + 1, *end = v.p + v.n - 1;
	while (p < end) {
		const char *slash = memchr(p, '\\', (size_t)(end - p));
		if (!slash)
			slash = end;
		buf_put(b, p, (size_t)(slash - p));
		p = slash < end ? put_escape(b, slash + 1) : end;
	}
	buf_put(b, "", 0);
	return !b->failed;
}

bool jv_str(struct jv v, char *out, size_t size)
{
	if (!jv_is_string(v) || !size)
		return false;
	out[0] = '\0';
	if (!memchr(v.p, '\\', v.n)) {
		if (v.n - 2 >= size)
			return false;
		memcpy(out, v.p + 1, v.n - 2);
		out[v.n - 2] = '\0';
		return true;
	}
	struct buf b = BUF_INIT(size - 1);
	const bool good = jv_str_buf(v, &b) && !memchr(b.p, '\0', b.n);
	if (good)
		memcpy(out, b.p, b.n + 1);
	buf_release(&b);
	return good;
}

bool jv_is(struct jv v, const char *s)
{
	if (!jv_is_string(v))
		return false;
	const size_t n = strlen(s);
	if (!memchr(v.p, '\\', v.n))
		return v.n - 2 == n && memcmp(v.p + 1, s, n) == 0;
	struct buf b = BUF_INIT(LINE_MAX_BYTES);
	const bool same = jv_str_buf(v, &b) && b.n == n && memcmp(b.p, s, n) == 0;
	buf_release(&b);
	return same;
}
