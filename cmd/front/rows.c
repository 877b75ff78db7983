#include "cmd/front/rows.h"

#include "policy/policy.h"

#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

/* ---- the list ---- */

int rows_add(struct rows *rows, const struct policy_row *p, struct err *err)
{
	if (rows->n == rows->room) {
		const size_t room = rows->room ? 2 * rows->room : 64;
		struct row *more = reallocarray(rows->v, room, sizeof *more);
		if (!more)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		rows->v = more;
		rows->room = room;
	}
	struct row *row = &rows->v[rows->n];
	*row = (struct row){.priority = p->priority,
	                    .version = p->version,
	                    .glob = strpbrk(p->service, "*?[") != NULL,
	                    .service = strdup(p->service),
	                    .fields = strdup(p->fields)};
	rows->n++;
	if (!row->service || !row->fields)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	(void)snprintf(row->name, sizeof row->name, "%s", p->name);
	(void)snprintf(row->from, sizeof row->from, "db:%s@%lld", p->name, (long long)p->version);
	(void)snprintf(row->type, sizeof row->type, "%s", p->type);
	return 0;
}

/* Two of one rank stay in the order of their names. */
static int by_rank(const struct row *a, const struct row *b, bool exact_a, bool exact_b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	if (exact_a != exact_b)
		return exact_a ? -1 : 1;
	if (a->version != b->version)
		return a->version > b->version ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int by_place(const void *x, const void *y)
{
	const struct row *a = x, *b = y;
	const int order = a->glob == b->glob && !a->glob ? strcmp(a->service, b->service) : a->glob - b->glob;

	return order ? order : by_rank(a, b, false, false);
}

static void free_row(struct row *row)
{
	free(row->service);
	free(row->fields);
}

void rows_sort(struct rows *rows)
{
	size_t kept = 0;

	if (rows->n)
		qsort(rows->v, rows->n, sizeof *rows->v, by_place);
	for (size_t i = 0; i < rows->n; i++)
		if (kept && strcmp(rows->v[i].name, rows->v[kept - 1].name) == 0)
			free_row(&rows->v[i]); /* a glob comes with each part of the answer */
		else
			rows->v[kept++] = rows->v[i];
	rows->n = kept;
	for (rows->nnames = 0; rows->nnames < kept && !rows->v[rows->nnames].glob;)
		rows->nnames++;
}

void rows_clear(struct rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		free_row(&rows->v[i]);
	free(rows->v);
	*rows = (struct rows){0};
}

/* The first row of this name. */
static size_t find_name(const struct rows *rows, const char *service)
{
	size_t from = 0, to = rows->nnames;

	while (from < to) {
		const size_t middle = (from + to) / 2;
		if (strcmp(rows->v[middle].service, service) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* Both lists are in order: the next is the first of one of them. */
size_t rows_match(const struct rows *rows, const char *service, const struct row **found, size_t max)
{
	size_t name = find_name(rows, service), glob = rows->nnames, n = 0;

	for (;;) {
		while (glob < rows->n && !policy_matches(rows->v[glob].service, service))
			glob++;
		const struct row *a =
			name < rows->nnames && strcmp(rows->v[name].service, service) == 0 ? &rows->v[name] : NULL;
		const struct row *b = glob < rows->n ? &rows->v[glob] : NULL;
		if (!a && !b)
			return n;
		const bool first = a && (!b || by_rank(a, b, true, false) < 0);
		if (n < max)
			found[n] = first ? a : b;
		n++;
		*(first ? &name : &glob) += 1;
	}
}

/* ---- a file ---- */

struct loading {
	struct rows *rows;
	const char *file;
	const struct buf *text;
};

static int wrong(const struct loading *l, const char *at, struct err *err)
{
	size_t line = 1;

	for (const char *p = l->text->p; p < at; p++)
		line += *p == '\n';
	return err_prefix(err, "%s:%zu", l->file, line);
}

/* The field that a member of a row names: "cooldown" stands for both of its kind. */
static const struct policy_field *field_of(const char *name)
{
	char longer[80];
	const struct policy_field *f = policy_field(name);

	if (f)
		return f;
	(void)snprintf(longer, sizeof longer, "%s_up", name);
	f = policy_field(longer);
	return f && f->family && strcmp(f->family, name) == 0 ? f : NULL;
}

static bool of_row(const char *name)
{
	static const char *const names[] = {"name",    "service", "type",       "priority", "enabled",
	                                    "version", "fields",  "updated_at", "at",       "actor"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Each field is parsed before any record is. */
static int add_fields(struct loading *l, struct jv object, struct jv besides, struct buf *out, struct err *err)
{
	struct jv_cursor c = jv_each(object);
	struct jv_member m;
	char name[64], text[POLICY_TEXT];

	while (jv_next(&c, &m)) {
		if (!jv_str((struct jv){m.name.p - 1, m.name.n + 2}, name, sizeof name))
			name[0] = '\0';
		if (of_row(name) || jv_is_null(m.value) || !jv_is_null(jv_get(besides, name)))
			continue;
		const struct policy_field *f = field_of(name);
		struct buf parsed = BUF_INIT(4096);
		const bool good = f && policy_text(m.value, text, sizeof text) && f->parse(text, &parsed);
		buf_release(&parsed);
		if (!good) {
			(void)err_set(err, ERR_INPUT, f ? "%s wants %s" : "unknown field \"%s\": autoscale-policy(5) lists them",
			              name, f ? f->wants : "");
			return wrong(l, m.value.p, err);
		}
		buf_json_key(out, name);
		buf_put(out, m.value.p, m.value.n);
	}
	return 0;
}

static int add_row(struct loading *l, struct jv row, struct err *err)
{
	struct buf fields = BUF_INIT(LINE_MAX_BYTES);
	char name[128], service[128], type[32];
	int bad;

	if (!jv_is_object(row) || !jv_str(jv_get(row, "name"), name, sizeof name) || !*name) {
		(void)err_set(err, ERR_INPUT, "a policy is an object with a `name`");
		return wrong(l, row.p, err);
	}
	const struct jv of = jv_get(row, "service");
	if (jv_is_null(of))
		(void)snprintf(service, sizeof service, "%s", name);
	else if (!jv_str(of, service, sizeof service) || !*service) {
		(void)err_set(err, ERR_INPUT, "policy %s: `service` is a name or a glob", name);
		return wrong(l, of.p, err);
	}
	if (!jv_str(jv_get(row, "type"), type, sizeof type))
		type[0] = '\0';
	buf_putc(&fields, '{');
	bad = add_fields(l, jv_get(row, "fields"), row, &fields, err) < 0 ||
	      add_fields(l, row, (struct jv){0}, &fields, err) < 0;
	buf_putc(&fields, '}');
	bad = bad || buf_ok(&fields, err) < 0;
	const struct policy_row p = {.name = name,
	                             .service = service,
	                             .type = type,
	                             .fields = fields.p,
	                             .priority = jv_int_or(jv_get(row, "priority"), 0),
	                             .version = jv_int_or(jv_get(row, "version"), 0)};
	const struct jv enabled = jv_get(row, "enabled");
	if (!bad && (!jv_here(enabled) || jv_is_true(enabled)))
		bad = rows_add(l->rows, &p, err) < 0;
	buf_release(&fields);
	return bad ? -1 : 0;
}

/* The end of the JSON value that begins here, as far as its brackets and quotes tell. */
static const char *end_of_value(const char *p)
{
	int depth = 0;
	bool quoted = false;

	for (; *p; p++) {
		if (quoted) {
			if (*p == '\\' && p[1])
				p++;
			else
				quoted = *p != '"';
			continue;
		}
		quoted = *p == '"';
		depth += *p == '{' || *p == '[';
		if ((*p == '}' || *p == ']') && --depth <= 0)
			return p + 1;
	}
	return p;
}

static int read_all(const char *file, struct buf *text, struct err *err)
{
	const int fd = open(file, O_RDONLY | O_CLOEXEC);
	char block[16384];
	ssize_t got = fd < 0 ? -1 : 1;

	while (got > 0 && (got = read(fd, block, sizeof block)) > 0)
		buf_put(text, block, (size_t)got);
	if (got < 0)
		(void)err_set(err, ERR_INPUT, "%s: %s", file, strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return got < 0 ? -1 : buf_ok(text, err);
}

int rows_load(struct rows *rows, const char *file, struct err *err)
{
	struct buf text = BUF_INIT(DOCUMENT_MAX);
	const struct loading told = {.file = file, .text = &text};
	struct loading l = {.rows = rows, .file = file, .text = &text};
	struct jv value;
	struct jv_member m;
	int bad = read_all(file, &text, err);

	buf_puts(&text, "");
	for (const char *p = text.p ? text.p : "", *end; !bad && *(p += strspn(p, " \t\r\n")); p = end) {
		end = end_of_value(p);
		if (jv_scan(p, (size_t)(end - p), &value, NULL, 0, NULL, err) < 0) {
			bad = wrong(&told, p, err);
			break;
		}
		if (!jv_is_array(value))
			bad = add_row(&l, value, err);
		for (struct jv_cursor c = jv_each(value); !bad && jv_is_array(value) && jv_next(&c, &m);)
			bad = add_row(&l, m.value, err);
	}
	rows_sort(rows);
	buf_release(&text);
	return bad;
}
