/* Which policy was made of the same words before: its bytes again instead of the work. */
#include "cmd/front/known.h"

#include "base/hash.h"
#include "base/limits.h"

#include <string.h>

#include "base/banned.h"

static void put_text(struct buf *b, const char *s) { buf_put(b, s ? s : "", (s ? strlen(s) : 0) + 1); }

/* In JSON there is no raw newline, so that no two lists of members have one text. */
static void put_value(struct buf *b, struct jv v)
{
	buf_put(b, v.p, v.n);
	buf_putc(b, '\n');
}

static void put_members(struct buf *b, struct jv object, const char *ours, const char *service)
{
	const size_t n = strlen(ours);
	struct jv_cursor c = jv_each(object);
	struct jv_member m;

	while (jv_next(&c, &m)) {
		if (!m.escaped && (m.name.n < n || memcmp(m.name.p, ours, n) != 0 || jv_name_is(&m, service)))
			continue;
		put_value(b, m.name);
		put_value(b, m.value);
	}
}

void known_begin(struct known *k, const struct policy_source *sources, size_t n)
{
	struct buf *const b = &k->words;

	if (!b->max)
		b->max = LINE_MAX_BYTES;
	buf_reset(b);
	for (size_t i = 0; i < n; i++) {
		const struct policy_source *const s = &sources[i];
		buf_putc(b, (char)('a' + s->kind));
		if (s->kind == POLICY_LABELS) {
			put_members(b, s->object, "autoscale.", "autoscale.service");
		} else if (s->kind == POLICY_VARIABLES) {
			put_members(b, s->object, "AUTOSCALE_", "AUTOSCALE_SERVICE");
		} else if (s->kind == POLICY_ALERT) {
			put_value(b, jv_get(s->object, "min"));
			put_value(b, jv_get(s->object, "max"));
		} else {
			put_text(b, s->from);
			put_text(b, s->type);
			put_value(b, s->object);
		}
	}
}

/* Where those words have their place. */
static size_t place(const struct known *k) { return hash_more(HASH_BEGIN, k->words.p, k->words.n) % KNOWN_MAX; }

struct known_policy *known_find(struct known *k)
{
	struct known_policy *const p = &k->v[place(k)];

	return !k->words.failed && p->policy.n && p->words.n == k->words.n &&
	               memcmp(p->words.p, k->words.p, k->words.n) == 0
	           ? p
	           : NULL;
}

struct known_policy *known_keep(struct known *k, const struct buf *policy, bool named)
{
	struct known_policy *const p = &k->v[place(k)];

	if (k->words.failed)
		return NULL;
	p->words.max = p->policy.max = LINE_MAX_BYTES;
	buf_reset(&p->words);
	buf_reset(&p->policy);
	buf_put(&p->words, k->words.p, k->words.n);
	buf_put(&p->policy, policy->p, policy->n);
	p->named = named;
	p->spanned = false;
	if (p->words.failed || p->policy.failed) {
		p->policy.n = 0; /* none */
		return NULL;
	}
	return p;
}

void known_release(struct known *k)
{
	for (size_t i = 0; i < KNOWN_MAX; i++) {
		buf_release(&k->v[i].words);
		buf_release(&k->v[i].policy);
	}
	buf_release(&k->words);
}
