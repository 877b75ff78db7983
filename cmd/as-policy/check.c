/* as-policy check: what is wrong with policies, by file and line. */
#include "cmd/as-policy/lint.h"

#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

/* ---- what is found ---- */

void *lint_more(struct lint *l, void **list, size_t *n, size_t *room, size_t size)
{
	if (*n == *room) {
		const size_t wanted = *room ? *room * 2 : 64;
		void *more = reallocarray(*list, wanted, size);
		if (!more) {
			l->failed = true;
			return NULL;
		}
		*list = more;
		*room = wanted;
	}
	char *one = (char *)*list + (*n)++ * size;
	return memset(one, 0, size);
}

struct jv lint_member(const struct lint_row *row, const char *name)
{
	const struct jv top = jv_get(row->object, name);

	return jv_is_null(top) ? jv_get(jv_get(row->object, "fields"), name) : top;
}

static struct finding *find_more(struct lint *l, const struct lint_file *file, size_t at)
{
	struct finding *f = lint_more(l, (void **)&l->findings, &l->nfindings, &l->findings_room, sizeof *l->findings);

	if (f)
		*f = (struct finding){.file = file, .at = at, .order = l->nfindings};
	return f;
}

void lint_say(struct lint *l, const struct lint_row *row, const char *member, bool error, const char *fmt, ...)
{
	struct jv at = member ? lint_member(row, member) : row->object;
	char text[1024];
	va_list ap;

	if (jv_is_null(at))
		at = row->object;
	struct finding *f = find_more(l, row->file, (size_t)(at.p - row->file->text.p));
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (f && asprintf(&f->text, "%s: %s", row->name, text) < 0) {
		f->text = NULL;
		l->failed = true;
	}
	l->errors += error;
	l->warnings += !error;
}

static int by_place(const void *x, const void *y)
{
	const struct finding *a = x, *b = y;

	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

/* In the order of the files and their lines, each once: several containers of a service have the same labels. */
static void print_findings(struct lint *l)
{
	size_t line = 1, at = 0;

	if (l->nfindings)
		qsort(l->findings, l->nfindings, sizeof *l->findings, by_place);
	for (size_t i = 0; i < l->nfindings; i++) {
		const struct finding *f = &l->findings[i];
		bool again = false;
		for (size_t k = i; k-- > 0 && l->findings[k].file == f->file && l->findings[k].at == f->at && !again;)
			again = strcmp(l->findings[k].text, f->text) == 0;
		if (again)
			continue;
		if (!i || l->findings[i - 1].file != f->file)
			line = 1, at = 0;
		for (; at < f->at; at++)
			line += f->file->text.p[at] == '\n';
		for (char *p = f->text; *p; p++)
			if ((unsigned char)*p < 0x20 || *p == 0x7f || ((unsigned char)p[0] == 0xc2 && (p[1] & 0xe0) == 0x80))
				*p = '?';
		(void)fprintf(stderr, "%s:%zu: %s\n", f->file->name, line, f->text);
	}
}

/* ---- what is read ---- */

static int read_file(struct lint_file *file, const char *name, struct err *err)
{
	const bool input = strcmp(name, "-") == 0;
	const int fd = input ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char block[16384];
	ssize_t got;

	*file = (struct lint_file){.name = name, .text = BUF_INIT(DOCUMENT_MAX)};
	while ((got = fd < 0 ? -1 : read(fd, block, sizeof block)) > 0 || (got < 0 && fd >= 0 && errno == EINTR))
		if (got > 0)
			buf_put(&file->text, block, (size_t)got);
	const int failure = got < 0 ? errno : 0;
	if (!input && fd >= 0)
		(void)close(fd);
	if (failure)
		return err_set(err, input ? ERR_UNAVAILABLE : ERR_INPUT, "cannot read %s: %s", input ? "standard input" : name,
		               strerror(failure));
	return buf_ok(&file->text, err) < 0 ? err_prefix(err, "%s", name) : 0;
}

static void put_policy(struct lint *l, const struct lint_file *file, json_t *json, struct jv object)
{
	struct lint_row *row = lint_more(l, (void **)&l->rows, &l->nrows, &l->room, sizeof *l->rows);
	const char *name = json_string_value(json_object_get(json, "name"));
	const json_t *version = json_object_get(json, "version");

	if (!row)
		return;
	row->file = file;
	row->object = object;
	row->json = json_incref(json);
	row->version = json_is_integer(version) ? json_integer_value(version) : -1;
	if (name && *name)
		(void)snprintf(row->name, sizeof row->name, "%s", name);
	else
		(void)snprintf(row->name, sizeof row->name, "policy %zu", l->nrows);
	(void)snprintf(row->from, sizeof row->from, "policy %s", row->name);
}

/* One value of the file: a policy, or an array of them. The two readings of it have the same members in the same order:
 * jansson has checked that no name comes twice. */
static void put_value(struct lint *l, const struct lint_file *file, json_t *json, struct jv v)
{
	struct jv_cursor c = jv_each(v);
	struct jv_member m;

	if (!json_is_array(json))
		put_policy(l, file, json, v);
	for (size_t i = 0; json_is_array(json) && jv_next(&c, &m); i++)
		put_policy(l, file, json_array_get(json, i), m.value);
}

static void split_file(struct lint *l, const struct lint_file *file)
{
	const char *p = file->text.p, *end = p + file->text.n;
	json_error_t why;
	struct err bad;

	for (;;) {
		while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
			p++;
		if (p == end)
			return;
		struct jv v = {p, (size_t)(end - p)};
		json_t *json = json_loadb(p, v.n, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &why);
		if (json && jv_scan(p, (size_t)why.position, &v, NULL, 0, NULL, &bad) == 0) {
			put_value(l, file, json, v);
			json_decref(json);
			p += why.position;
			continue;
		}
		struct lint_row nobody = {.file = file, .object = {p, 0}};
		(void)snprintf(nobody.name, sizeof nobody.name, "policy %zu", l->nrows + 1);
		if (!json) /* the line in which it stops making sense */
			for (int line = 1; line < why.line && (p = memchr(p, '\n', (size_t)(end - p))); line++)
				p++;
		nobody.object.p = p ? p : end - 1;
		lint_say(l, &nobody, NULL, true, "%s", json ? bad.message : why.text);
		json_decref(json);
		return;
	}
}

/* ---- the command ---- */

static int read_all(struct lint *l, char **files, struct err *err)
{
	static const char *const input[] = {"-", NULL};
	const char *const *names = *files ? (const char *const *)files : input;
	struct err why = {0};

	for (; names[l->nfiles]; l->nfiles++) {
		struct lint_file *file = &l->files[l->nfiles];
		if (read_file(file, names[l->nfiles], &why) == 0) {
			split_file(l, file);
			continue;
		}
		if (why.code != ERR_INPUT) {
			*err = why;
			l->nfiles++;
			return -1;
		}
		front_warn(&l->p->f, "%s", why.message); /* the others are looked at */
		l->errors++;
	}
	return 0;
}

/* What the store knows of the services. It is not made here, and a check does not need it. */
static void look_into_store(struct lint *l)
{
	struct policies *p = l->p;
	struct err why = {0};
	bool there;

	p->store = store_open_existing(p->f.conf.store, &there, &why);
	if (!there)
		return;
	if (!p->store || lint_stored(l, &why) < 0 || lint_labels(l, &why) < 0)
		front_warn(&p->f, "not compared with the store: %s", why.message);
}

static void release(struct lint *l)
{
	for (size_t i = 0; i < l->nrows; i++) {
		json_decref(l->rows[i].json);
		free(l->rows[i].fields);
	}
	for (size_t i = 0; i < l->nfiles; i++)
		buf_release(&l->files[i].text);
	for (size_t i = 0; i < l->nfindings; i++)
		free(l->findings[i].text);
	free(l->rows);
	free(l->files);
	free(l->findings);
}

int check_files(struct policies *p, char **files, struct err *err)
{
	struct lint l = {.p = p, .files = calloc((size_t)p->f.noperands + 1, sizeof *l.files)};
	int bad = l.files ? read_all(&l, files, err) : err_set(err, ERR_TEMPORARY, "out of memory");

	for (size_t i = 0; !bad && i < l.nrows; i++)
		lint_row(&l, &l.rows[i]);
	const size_t rows = l.nrows;
	if (!bad) {
		lint_names(&l);
		look_into_store(&l);
		lint_rows(&l);
		if (l.failed)
			bad = err_set(err, ERR_TEMPORARY, "out of memory");
	}
	if (!bad) {
		print_findings(&l);
		p->f.loop.bad_input = l.errors > 0;
		p->f.loop.failed = l.warnings > 0;
		if (!l.errors && !l.warnings)
			front_say(&p->f, "%zu policies are good", rows);
	}
	release(&l);
	return bad;
}
