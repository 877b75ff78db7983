/* What rows do to each other: they are merged field by field, as as-resolve-policy does it. */
#include "cmd/as-policy/lint.h"

#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define POLICY_BYTES (512 * 1024) /* one resolved policy */

/* ---- the store's own ---- */

static int put_stored(void *ctx, const struct policy_row *row, struct err *err)
{
	struct lint *l = ctx;
	bool given = false;

	(void)err;
	for (size_t i = 0; i < l->nrows && !given; i++) /* a file has it: that one counts */
		given = l->rows[i].file && strcmp(l->rows[i].name, row->name) == 0;
	struct lint_row *r = given ? NULL : lint_more(l, (void **)&l->rows, &l->nrows, &l->room, sizeof *l->rows);
	if (!r)
		return 0;
	r->json = row_json(row);
	r->fields = strdup(row->fields);
	r->version = row->version;
	(void)snprintf(r->name, sizeof r->name, "%s", row->name);
	(void)snprintf(r->from, sizeof r->from, "policy %s", row->name);
	const char *member;
	struct err unused;
	if (!r->json || !r->fields || row_head(r->json, &r->head, &member, &unused) < 0)
		r->replaced = true; /* it is left out */
	return 0;
}

int lint_stored(struct lint *l, struct err *err) { return store_policy_each(l->p->store, NULL, put_stored, l, err); }

/* ---- two of one name ---- */

/* "FILE:LINE" of another row, or "the store". */
static const char *place_of(const struct lint_row *row, char out[256])
{
	size_t line = 1;

	if (!row->file)
		return "the store";
	for (const char *p = row->file->text.p; p < row->object.p; p++)
		line += *p == '\n';
	(void)snprintf(out, 256, "%s:%zu", row->file->name, line);
	return out;
}

static int by_name(const void *x, const void *y)
{
	struct lint_row *const *a = x, *const *b = y;
	const int order = strcmp((*a)->name, (*b)->name);

	return order ? order : (*a > *b) - (*a < *b);
}

void lint_names(struct lint *l)
{
	struct lint_row **v = calloc(l->nrows + 1, sizeof *v);
	char place[256];
	size_t n = 0;

	if (!v) {
		l->failed = true;
		return;
	}
	for (size_t i = 0; i < l->nrows; i++)
		if (l->rows[i].file && l->rows[i].fields)
			v[n++] = &l->rows[i];
	qsort(v, n, sizeof *v, by_name);
	for (size_t i = 1; i < n; i++)
		if (strcmp(v[i]->name, v[i - 1]->name) == 0) {
			v[i - 1]->replaced = true;
			lint_say(l, v[i], "name", false, "this name stands at %s too: the last one is kept",
			         place_of(v[i - 1], place));
		}
	free(v);
}

/* ---- rows that hold for the same services ---- */

/* Does `other` hold for every service for which row does? Of two globs that is known of those with nothing but `*`. */
static bool covers(const struct lint_row *other, const struct lint_row *row)
{
	const char *a = other->head.service, *b = row->head.service;

	if (strcmp(a, b) == 0)
		return true;
	return (!strpbrk(b, "*?[") || !strpbrk(a, "?[")) && policy_matches(a, b);
}

struct ranked {
	const struct lint_row *row;
	int64_t priority, age; /* age: the greater wins; a version */
	bool exact;
};

static int by_rank(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;

	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	if (a->exact != b->exact)
		return a->exact ? -1 : 1;
	if (a->age != b->age)
		return a->age > b->age ? -1 : 1;
	return (a->row > b->row) - (a->row < b->row);
}

/* All that hold where `of` does, the highest first. Where the version that decides is not known, `of` wins. */
static size_t rank(const struct lint *l, const struct lint_row *of, struct ranked *v)
{
	const bool exact = !strpbrk(of->head.service, "*?[");
	size_t n = 0;

	for (size_t i = 0; i < l->nrows; i++) {
		const struct lint_row *r = &l->rows[i];
		if (!lint_holds(r) || !covers(r, of))
			continue;
		const bool known = r->version >= 0 && of->version >= 0;
		v[n++] = (struct ranked){.row = r,
		                         .priority = r->head.priority,
		                         .exact = exact && strcmp(r->head.service, of->head.service) == 0,
		                         .age = known     ? r->version * 2 + (r == of)
		                                : r == of ? INT64_MAX
		                                          : -1};
	}
	qsort(v, n, sizeof *v, by_rank);
	return n;
}

/* Whose values stand in place of the row's, for a message: "policy a", "policy a and policy b". */
static void name_winners(const struct lint_row *row, struct jv from, char *out, size_t size)
{
	char names[2][96] = {"", ""}, name[128];
	struct jv_cursor c = jv_each(from);
	struct jv_member m;
	size_t n = 0;

	while (n < 3 && jv_next(&c, &m)) {
		char field[64];
		if (!jv_str((struct jv){m.name.p - 1, m.name.n + 2}, field, sizeof field) ||
		    !jv_str(m.value, name, sizeof name) || strncmp(name, "policy ", 7) != 0)
			continue;
		const struct policy_field *f = policy_field(field);
		if (!jv_here(lint_field(row, field)) && (!f || !f->family || !jv_here(lint_field(row, f->family))))
			continue;
		if ((n > 0 && strcmp(names[0], name) == 0) || (n > 1 && strcmp(names[1], name) == 0))
			continue;
		if (n < 2)
			(void)snprintf(names[n], sizeof names[n], "%.95s", name);
		n++;
	}
	(void)snprintf(out, size, "%s%s%s%s", names[0],
	               n == 2  ? " and "
	               : n > 2 ? ", "
	                       : "",
	               names[1], n > 2 ? " and others" : "");
}

/* Does the row whose max holds tell of it too? */
static bool told_by_max(const struct lint_row *row, struct jv from, const struct ranked *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].row != row && v[i].row->file && jv_is(jv_get(from, "max"), v[i].row->from))
			return covers(row, v[i].row);
	return false;
}

static void check_merged(struct lint *l, const struct lint_row *row, struct jv policy, const struct err *refused,
                         const struct ranked *v, size_t n)
{
	const struct jv from = jv_get(policy, "from");
	struct jv_cursor c = jv_each(from);
	struct jv_member m;
	char text[POLICY_TEXT], winners[256];
	bool wins = false;

	while (!wins && jv_next(&c, &m))
		wins = jv_is(m.value, row->from);
	if (!wins && strcmp(row->fields, "{}") != 0) {
		name_winners(row, from, winners, sizeof winners);
		lint_say(l, row, NULL, false, "it never wins: all that it sets is set by %s", winners);
	}
	const bool min = jv_is(jv_get(from, "min"), row->from), max = jv_is(jv_get(from, "max"), row->from);
	if (refused && (max || (min && !told_by_max(row, from, v, n))))
		lint_say(l, row, max ? "max" : "min", false, "%s", refused->message);
	if (jv_is(jv_get(from, "target"), row->from) && !jv_here(jv_get(policy, "max")) && !row->label_max &&
	    (!jv_str(jv_get(policy, "schedule"), text, sizeof text) || !strstr(text, " max=")))
		lint_say(l, row, "target", false, "target without max: nothing scales up");
}

void lint_rows(struct lint *l)
{
	const struct policy_limits limits = {.max_replicas = l->p->f.conf.max_replicas};
	struct ranked *v = calloc(l->nrows + 1, sizeof *v);
	struct policy_source *sources = calloc(l->nrows + 1, sizeof *sources);
	struct buf policy = BUF_INIT(POLICY_BYTES);
	struct err err;

	l->failed = l->failed || !v || !sources;
	for (size_t i = 0; !l->failed && i < l->nrows; i++) {
		const struct lint_row *row = &l->rows[i];
		if (!row->file || !lint_holds(row))
			continue;
		const size_t n = rank(l, row, v);
		for (size_t k = 0; k < n; k++)
			sources[k] = (struct policy_source){.kind = POLICY_ROW,
			                                    .from = v[k].row->from,
			                                    .type = v[k].row->head.type,
			                                    .object = {v[k].row->fields, strlen(v[k].row->fields)}};
		buf_reset(&policy);
		const bool refused = policy_resolve(sources, n, &limits, &policy, &err) < 0;
		if (!policy.failed)
			check_merged(l, row, (struct jv){policy.p, policy.n}, refused && err.code == ERR_REFUSED ? &err : NULL, v,
			             n);
	}
	buf_release(&policy);
	free(sources);
	free(v);
}
