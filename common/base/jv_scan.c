/* Validation of JSON, and the index of what was validated: one pass over the bytes, no recursion, no allocation. */
#include "base/hash.h"
#include "base/jv_hex.h"

#include "base/jv.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/banned.h"

struct scan {
	const unsigned char *start, *p, *end;
	const unsigned char *document; /* the value's first byte */
	struct jv_index *index;        /* NULL: none is wanted */
	const char *why;               /* set with the first failure */
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

/* The first byte from p on that does not belong to a run of plain string characters; end: none. */
static inline const unsigned char *past_plain(const unsigned char *p, const unsigned char *end)
{
#ifdef __SSE2__
	/* As signed numbers the controls and everything above ASCII are the ones below 0x20. */
	const __m128i space = _mm_set1_epi8(0x20), quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');

	for (; end - p >= 16; p += 16) {
		const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		const __m128i stop = _mm_or_si128(_mm_cmplt_epi8(v, space),
		                                  _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)));
		const unsigned found = (unsigned)_mm_movemask_epi8(stop);
		if (found)
			return p + __builtin_ctz(found);
	}
#endif
	while (p < end && !string_stop[*p])
		p++;
	return p;
}

/* From the opening quote past the closing one. */
static bool scan_string(struct scan *s, bool *escaped)
{
	for (s->p++; s->p < s->end;) {
		s->p = past_plain(s->p, s->end);
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

static bool scan_scalar(struct scan *s, bool *escaped)
{
	switch (*s->p) {
	case '"': return scan_string(s, escaped);
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
		m->hash = p ? (uint32_t)hash_more(HASH_BEGIN, p, scratch.n) : 0;
		buf_release(&scratch);
		if (!p)
			return wrong(s, "no memory for a name");
	} else {
		m->hash = (uint32_t)hash_more(HASH_BEGIN, m->name.p, m->name.n);
	}
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].hash == m->hash && same_name(&t->v[i], m))
			return wrong(s, "a member name given twice");
	return true;
}

/* A node for the value that begins at p, or NULL. */
static inline struct jv_node *begin_node(struct scan *s, const unsigned char *p, uint32_t name_at, uint32_t name)
{
	struct jv_index *const x = s->index;

	if (!x)
		return NULL;
	if (x->n == x->max) {
		x->full = true;
		return NULL;
	}
	struct jv_node *const node = &x->v[x->n++];
	*node = (struct jv_node){.at = (uint32_t)(p - s->document), .name_at = name_at, .name = name};
	return node;
}

static inline void end_node(const struct scan *s, struct jv_node *node, const unsigned char *p)
{
	if (!node)
		return;
	node->n = (uint32_t)(p - s->document) - node->at;
	node->next = s->index->full ? 0 : (uint32_t)(s->index->v + s->index->n - node);
}

static inline const unsigned char *past_space(const unsigned char *p, const unsigned char *end)
{
	while (p < end && *p <= ' ' && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

/* From a scalar's first byte past its last; NULL: s->why says what is wrong there. */
static inline const unsigned char *past_scalar(struct scan *s, const unsigned char *p, bool *escaped)
{
	if (*p == '"') { /* most strings are plain */
		const unsigned char *const q = past_plain(p + 1, s->end);
		if (q < s->end && *q == '"')
			return q + 1;
	}
	s->p = p;
	return scan_scalar(s, escaped) ? s->p : NULL;
}

static bool wrong_at(struct scan *s, const unsigned char *p, const char *why)
{
	s->p = p;
	return wrong(s, why);
}

/* The whole grammar. `object[d]` tells which kind of container is open at depth d, and `node[d]` is its node. The place
 * is kept in p, and in s->p where others are asked. */
static bool scan_value(struct scan *s, struct tops *tops)
{
	const unsigned char *p = s->p, *const end = s->end, *top_value = NULL;
	struct jv_node *node[DEPTH_MAX + 1], *here;
	uint32_t name_at = 0, name = 0;
	bool object[DEPTH_MAX + 1], escaped = false;
	int depth = 0;

value:
	p = past_space(p, end);
	if (p == end)
		return wrong_at(s, p, "the end of the line, too early");
	if (depth == 1)
		top_value = p;
	here = begin_node(s, p, name_at, name);
	if (*p == '{' || *p == '[') {
		if (depth == DEPTH_MAX)
			return wrong_at(s, p, "nesting deeper than 128 levels");
		node[++depth] = here;
		name_at = name = 0;
		object[depth] = *p == '{';
		p = past_space(p + 1, end);
		if (p < end && *p == (object[depth] ? '}' : ']'))
			goto close;
		if (!object[depth])
			goto value;
		goto name;
	}
	if (!(p = past_scalar(s, p, &escaped)))
		return false;
after:
	end_node(s, here, p);
	if (depth == 0) {
		s->p = p;
		return true;
	}
	if (depth == 1 && object[1] && tops->v) {
		tops->v[tops->n].value = (struct jv){(const char *)top_value, (size_t)(p - top_value), here};
		tops->n++;
	}
	p = past_space(p, end);
	if (p == end)
		return wrong_at(s, p, "the end of the line, too early");
	if (*p == ',') {
		p++;
		if (!object[depth])
			goto value;
		p = past_space(p, end);
		goto name;
	}
	if (*p != (object[depth] ? '}' : ']'))
		return wrong_at(s, p, "no comma or closing bracket where one should be");
close:
	p++;
	here = node[depth--];
	goto after;
name:
	if (p == end || *p != '"')
		return wrong_at(s, p, "no member name where one should be");
	{
		const unsigned char *const from = p;
		escaped = false;
		if (!(p = past_scalar(s, p, &escaped)))
			return false;
		s->p = p;
		if (depth == 1 && tops->v && !top_name(s, tops, from, escaped))
			return false;
		name_at = (uint32_t)(from - s->document) + 1;
		name = (uint32_t)(p - from - 2) << 1 | escaped;
	}
	p = past_space(p, end);
	if (p == end || *p != ':')
		return wrong_at(s, p, "no colon after a member name");
	p++;
	goto value;
}

int jv_scan(const char *p, size_t n, struct jv *value, struct jv_member *members, size_t max, size_t *count,
            struct err *err)
{
	return jv_scan_indexed(p, n, value, members, max, count, NULL, err);
}

int jv_scan_indexed(const char *p, size_t n, struct jv *value, struct jv_member *members, size_t max, size_t *count,
                    struct jv_index *index, struct err *err)
{
	const unsigned char *bytes = (const unsigned char *)p;
	struct scan s = {.start = bytes, .p = bytes, .end = bytes + n, .index = n < UINT32_MAX / 2 ? index : NULL};
	struct tops tops = {.v = members, .max = max};

	if (index)
		index->n = index->full = 0;
	s.p = s.document = past_space(s.p, s.end);
	if (!scan_value(&s, &tops))
		goto bad;
	*value = (struct jv){(const char *)s.document, (size_t)(s.p - s.document), s.index && index->n ? index->v : NULL};
	s.p = past_space(s.p, s.end);
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
