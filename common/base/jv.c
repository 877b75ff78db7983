#include "base/jv.h"

#include "base/jv_hex.h"
#include "base/limits.h"

#include <string.h>

#include "base/banned.h"

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

/* With an index: what it holds is in there. */
static bool indexed(struct jv v) { return v.node && v.node->next; }
static const char *document(struct jv v) { return v.p - v.node->at; }

struct jv_cursor jv_each(struct jv container)
{
	if (!jv_is_object(container) && !jv_is_array(container))
		return (struct jv_cursor){0};
	if (indexed(container))
		return (struct jv_cursor){.at = document(container),
		                          .node = container.node + 1,
		                          .stop = container.node + container.node->next,
		                          .object = *container.p == '{'};
	return (struct jv_cursor){
		.at = container.p + 1, .end = container.p + container.n - 1, .object = *container.p == '{'};
}

bool jv_next(struct jv_cursor *c, struct jv_member *m)
{
	if (c->node) {
		if (c->node == c->stop)
			return false;
		*m = (struct jv_member){.value = {c->at + c->node->at, c->node->n, c->node}};
		if (c->object) {
			m->name = (struct jv){c->at + c->node->name_at, c->node->name >> 1};
			m->escaped = c->node->name & 1;
		}
		c->node += c->node->next;
		return true;
	}
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

static struct jv get_indexed(struct jv object, const char *name, size_t n)
{
	const struct jv_node *const stop = object.node + object.node->next;
	const char *const from = document(object);
	const uint32_t plain = (uint32_t)n << 1;

	for (const struct jv_node *at = object.node + 1; at != stop; at += at->next) {
		if (at->name == plain && memcmp(from + at->name_at, name, n) == 0)
			return (struct jv){from + at->at, at->n, at};
		if (at->name & 1) {
			const struct jv_member m = {.name = {from + at->name_at, at->name >> 1}, .escaped = true};
			if (jv_name_is(&m, name))
				return (struct jv){from + at->at, at->n, at};
		}
	}
	return (struct jv){0};
}

struct jv jv_get(struct jv object, const char *name)
{
	const size_t n = strlen(name);

	if (jv_is_object(object) && indexed(object))
		return get_indexed(object, name, n);
	struct jv_cursor c = jv_each(object);
	struct jv_member m;
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
