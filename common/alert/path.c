#include "alert/path.h"

#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

enum step_kind { STEP_NAME, STEP_FIRST, STEP_INDEX, STEP_WHERE, STEP_JSON, STEP_AFTER };

struct step {
	enum step_kind kind;
	const char *name, *text; /* of NAME, WHERE, AFTER; what WHERE compares with */
	size_t nname, ntext;
	long index;
};

static bool ends_name(char c) { return !c || strchr(" \t.[]{}|:=\"^$*", c) != NULL; }

static bool step_name(const char **p, struct step *s)
{
	s->kind = STEP_NAME;
	s->name = *p;
	while (!ends_name(**p))
		(*p)++;
	s->nname = (size_t)(*p - s->name);
	return s->nname > 0 && s->nname <= PATH_NAME_MAX;
}

/* [N], [-N], ["NAME"] or [NAME=TEXT]; *p stands behind the bracket. */
static bool step_bracket(const char **p, struct step *s)
{
	const bool quoted = **p == '"';
	const char *end = quoted ? strstr(*p + 1, "\"]") : strchr(*p, ']');

	if (!end || end - *p > PATH_NAME_MAX)
		return false;
	const char *from = *p + quoted, *equals = quoted ? NULL : memchr(*p, '=', (size_t)(end - *p));
	*p = end + 1 + quoted;
	s->name = from;
	s->nname = (size_t)((equals ? equals : end) - from);
	if (quoted) {
		s->kind = STEP_NAME;
		return s->nname > 0;
	}
	if (equals) {
		s->kind = STEP_WHERE;
		s->text = equals + 1;
		s->ntext = (size_t)(end - s->text);
		return s->nname > 0 && s->ntext > 0;
	}
	char *stop;
	s->kind = STEP_INDEX;
	s->index = strtol(from, &stop, 10);
	return stop == end && (*from == '-' || (*from >= '0' && *from <= '9')) && s->nname < 10;
}

/* {json} or {TEXT=}; *p stands behind the brace. */
static bool step_brace(const char **p, struct step *s)
{
	const char *end = strchr(*p, '}');

	if (!end || end - *p > PATH_NAME_MAX)
		return false;
	s->name = *p;
	s->nname = (size_t)(end - *p);
	s->kind = s->nname == 4 && memcmp(s->name, "json", 4) == 0 ? STEP_JSON : STEP_AFTER;
	*p = end + 1;
	return s->kind == STEP_JSON || (s->nname > 1 && end[-1] == '=');
}

/* 1: *s is the next step; 0: the path ends here; -1: it is none. */
static int next_step(const char **p, bool first, struct step *s)
{
	*s = (struct step){.kind = STEP_NAME};
	if (**p == '[') {
		(*p)++;
		return step_bracket(p, s) ? 1 : -1;
	}
	if (**p == '{') {
		(*p)++;
		return step_brace(p, s) ? 1 : -1;
	}
	if (**p == '.' && !first)
		(*p)++;
	else if (!first)
		return !**p || strchr(" \t|:=", **p) ? 0 : -1;
	if (**p == '*') {
		(*p)++;
		s->kind = STEP_FIRST;
		return 1;
	}
	return step_name(p, s) ? 1 : -1;
}

static bool is_rule(const char *p) { return strncmp(p, "$rule", 5) == 0 && ends_name(p[5]); }

/* The start of a path, up to its first step. *bare: nothing stood there, so that a name needs no dot. */
static struct jv start(struct path_scope *scope, const char **p, bool *bare)
{
	const char c = **p;

	*bare = c != '$';
	if (is_rule(*p)) {
		*p += 5;
		return scope ? scope->rule : (struct jv){0};
	}
	if (c == '^' || c == '$')
		(*p)++;
	if (c == '^')
		*bare = !ends_name(**p) || **p == '*';
	if (!scope)
		return (struct jv){0};
	return c == '^' ? scope->document : scope->alert;
}

/* The end of a JSON string that begins at p, past its quote; NULL: it has none. */
static const char *past_literal(const char *p)
{
	for (p++; *p && *p != '"'; p++)
		if (*p == '\\' && p[1])
			p++;
	return *p ? p + 1 : NULL;
}

int path_check(const char **p, struct err *err)
{
	const char *from = *p;
	struct step s;
	bool first;
	int more = 1;

	if (**p == '"') {
		const char *end = past_literal(*p);
		struct jv text;
		if (!end || jv_scan(*p, (size_t)(end - *p), &text, NULL, 0, NULL, err) < 0)
			return err_set(err, ERR_INPUT, "a text in quotes that is none: %.60s", from);
		*p = end;
		return 0;
	}
	const bool rule = is_rule(*p);
	(void)start(NULL, p, &first);
	for (int i = 0; more > 0; i++) {
		more = i < PATH_STEPS_MAX ? next_step(p, first, &s) : -1;
		first = false;
	}
	if (more < 0 || (rule && *p != from + 5))
		return err_set(err, ERR_INPUT, "not a path: %.60s", from);
	return 0;
}

/* ---- looking up ---- */

static struct jv by_name(struct jv v, const char *name, size_t n)
{
	char text[PATH_NAME_MAX + 1];

	memcpy(text, name, n);
	text[n] = '\0';
	return jv_get(v, text);
}

static struct jv by_index(struct jv v, long index)
{
	struct jv_cursor c = jv_each(v);
	struct jv_member m;

	if (!jv_is_array(v))
		return (struct jv){0};
	if (index < 0)
		index += (long)jv_count(v);
	for (long i = 0; index >= 0 && jv_next(&c, &m); i++)
		if (i == index)
			return m.value;
	return (struct jv){0};
}

static struct jv where(struct jv v, const struct step *s)
{
	struct jv_cursor c = jv_each(v);
	struct jv_member m;
	char want[PATH_NAME_MAX + 1];

	memcpy(want, s->text, s->ntext);
	want[s->ntext] = '\0';
	while (jv_is_array(v) && jv_next(&c, &m))
		if (jv_is(by_name(m.value, s->name, s->nname), want))
			return m.value;
	return (struct jv){0};
}

/* A text that is itself JSON, such as the Message of SNS. */
static struct jv parsed(struct path_scope *scope, struct jv v)
{
	struct err none = {0};

	if (!jv_is_string(v))
		return (struct jv){0};
	for (size_t i = 0; i < scope->ntexts; i++)
		if (scope->texts[i].from == v.p)
			return scope->texts[i].value;
	if (scope->ntexts == PATH_TEXTS)
		return (struct jv){0};
	const size_t i = scope->ntexts++;
	struct buf *text = &scope->texts[i].text;
	*text = (struct buf)BUF_INIT(LINE_MAX_BYTES);
	scope->texts[i].from = v.p;
	scope->texts[i].value = (struct jv){0};
	if (!jv_str_buf(v, text) || jv_scan(text->p, text->n, &scope->texts[i].value, NULL, 0, NULL, &none) < 0)
		scope->texts[i].value = (struct jv){0};
	return scope->texts[i].value;
}

/* The number behind the first `TEXT=` of a text. */
static struct jv number_after(struct jv v, const struct step *s)
{
	struct err none = {0};
	struct jv number;

	if (!jv_is_string(v))
		return (struct jv){0};
	const char *end = v.p + v.n - 1, *p = memmem(v.p + 1, v.n - 2, s->name, s->nname);
	if (!p)
		return (struct jv){0};
	p += s->nname;
	size_t n = 0;
	while (p + n < end && p[n] && strchr("+-.0123456789Ee", p[n]))
		n++;
	return jv_scan(p, n, &number, NULL, 0, NULL, &none) < 0 ? (struct jv){0} : number;
}

static struct jv apply(struct path_scope *scope, struct jv v, const struct step *s)
{
	struct jv_cursor c;
	struct jv_member m;

	switch (s->kind) {
	case STEP_NAME: return by_name(v, s->name, s->nname);
	case STEP_INDEX: return by_index(v, s->index);
	case STEP_WHERE: return where(v, s);
	case STEP_JSON: return parsed(scope, v);
	case STEP_AFTER: return number_after(v, s);
	case STEP_FIRST: c = jv_each(v); return jv_next(&c, &m) ? m.value : (struct jv){0};
	}
	return (struct jv){0};
}

struct jv path_get(struct path_scope *scope, const char **p)
{
	struct step s;
	bool first;

	if (**p == '"') {
		const char *from = *p;
		*p = past_literal(from);
		return (struct jv){from, (size_t)(*p - from)};
	}
	struct jv v = start(scope, p, &first);
	for (; next_step(p, first, &s) > 0; first = false)
		v = apply(scope, v, &s);
	return v;
}

void path_release(struct path_scope *scope)
{
	for (size_t i = 0; i < scope->ntexts; i++)
		buf_release(&scope->texts[i].text);
	scope->ntexts = 0;
}
