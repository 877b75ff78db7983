#include "alert/sources.h"

#include "base/conf.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

enum kind {
	KIND_TEXT,    /* words for a person */
	KIND_PATHS,   /* alternatives, each a path */
	KIND_MEMBER,  /* the same, and translations */
	KIND_PARTS,   /* alternatives, each one path or several */
	KIND_WHEN,    /* alternatives, each of conditions */
	KIND_REPEATS, /* yes, no, unless PATH */
};

static const struct {
	const char *name;
	enum kind kind;
} fields[FIELDS] = {
	[FIELD_WHEN] = {"when", KIND_WHEN},
	[FIELD_DROP] = {"drop", KIND_TEXT},
	[FIELD_SHOW] = {"show", KIND_PARTS},
	[FIELD_ALERTS] = {"alerts", KIND_PATHS},
	[FIELD_KEY] = {"key", KIND_PARTS},
	[FIELD_NO_KEY] = {"no_key", KIND_TEXT},
	[FIELD_VOIDS] = {"voids", KIND_PARTS},
	[FIELD_REPEATS] = {"repeats", KIND_REPEATS},
	[FIELD_LASTED] = {"lasted", KIND_PATHS},
	[FIELD_ID] = {"id", KIND_MEMBER},
	[FIELD_SOURCE] = {"source", KIND_MEMBER},
	[FIELD_SERVICE] = {"service", KIND_MEMBER},
	[FIELD_ACTION] = {"action", KIND_MEMBER},
	[FIELD_COUNT] = {"count", KIND_PATHS},
	[FIELD_MIN] = {"min", KIND_PATHS},
	[FIELD_MAX] = {"max", KIND_PATHS},
	[FIELD_METRIC] = {"metric", KIND_MEMBER},
	[FIELD_VALUE] = {"value", KIND_PATHS},
	[FIELD_THRESHOLD] = {"threshold", KIND_PATHS},
	[FIELD_SEVERITY] = {"severity", KIND_MEMBER},
	[FIELD_STATUS] = {"status", KIND_MEMBER},
	[FIELD_RULE] = {"rule", KIND_MEMBER},
	[FIELD_LABELS] = {"labels", KIND_PATHS},
	[FIELD_CONTAINER] = {"container", KIND_PATHS},
	[FIELD_CONTAINER_ID] = {"container.id", KIND_MEMBER},
	[FIELD_CONTAINER_NAME] = {"container.name", KIND_MEMBER},
	[FIELD_CONTAINER_HOST] = {"container.host", KIND_MEMBER},
	[FIELD_CONTAINER_IMAGE] = {"container.image", KIND_MEMBER},
	[FIELD_STARTS_AT] = {"starts_at", KIND_PATHS},
	[FIELD_ENDS_AT] = {"ends_at", KIND_PATHS},
};

struct alert_sources {
	struct source *list;
	size_t n, files;
};

/* ---- the texts of values ---- */

static void skip_blank(const char **p) { *p += strspn(*p, " \t"); }

bool source_next(const char **p)
{
	skip_blank(p);
	if (**p == '|')
		(*p)++;
	skip_blank(p);
	return **p && **p != ':';
}

bool source_next_part(const char **p)
{
	skip_blank(p);
	return **p && **p != '|';
}

/* A word, or a text in quotes: *n bytes, without the quotes. NULL: none. */
static const char *word(const char **p, const char *stop, size_t *n)
{
	const char *from = *p;

	if (*from == '"') {
		const char *end = strchr(from + 1, '"');
		if (!end)
			return NULL;
		*p = end + 1;
		*n = (size_t)(end - from) - 1;
		return from + 1;
	}
	*n = strcspn(from, stop);
	*p += *n;
	return *n ? from : NULL;
}

struct pair {
	const char *from, *to;
	size_t nfrom, nto;
};

/* 1: the next WORD=WORD; 0: there is none; -1: what stands there is none. */
static int next_pair(const char **p, struct pair *pair)
{
	skip_blank(p);
	if (!**p)
		return 0;
	pair->from = word(p, " \t=", &pair->nfrom);
	if (!pair->from || **p != '=')
		return -1;
	(*p)++;
	pair->to = word(p, " \t", &pair->nto);
	return pair->to ? 1 : -1;
}

/* Behind the colon of a value that was checked; NULL: it has none. */
static const char *translations(const char *value)
{
	struct err none;

	while (source_next(&value))
		(void)path_check(&value, &none);
	return *value ? value + 1 : NULL;
}

const char *source_translated(const char *value, const char *text, size_t *n, bool *given)
{
	const char *p = translations(value);
	struct pair pair, fits = {0};
	const size_t len = strlen(text);

	*given = p != NULL;
	while (p && !fits.to && next_pair(&p, &pair) > 0)
		if ((pair.nfrom == len && memcmp(pair.from, text, len) == 0) || (pair.nfrom == 1 && *pair.from == '*'))
			fits = pair;
	*n = fits.nto;
	return fits.to;
}

/* ---- checking them ---- */

static int bad_value(const char *why, const char *at, struct err *err)
{
	return err_set(err, ERR_CONFIG, "%s: \"%.60s\"", why, at);
}

static int check_pairs(const char *p, struct err *err)
{
	struct pair pair;
	const char *from = p;
	int more, n = 0;

	for (; (more = next_pair(&p, &pair)) > 0; n++)
		from = p;
	return more < 0 || !n ? bad_value("a translation is WORD=WORD", from, err) : 0;
}

/* One part: a path, or where `when` is read, a path and what it must be. */
static int check_part(const char **p, bool condition, struct err *err)
{
	size_t n;

	if (path_check(p, err) < 0)
		return -1;
	if (condition && **p == '=') {
		(*p)++;
		if (!word(p, " \t|", &n))
			return bad_value("a condition is PATH or PATH=TEXT", *p, err);
	}
	if (**p && !strchr(" \t|:", **p))
		return bad_value("not understood", *p, err);
	return 0;
}

static int check_value(enum kind kind, const char *p, struct err *err)
{
	const bool many = kind == KIND_PARTS || kind == KIND_WHEN;
	int n = 0;

	for (; source_next(&p); n++) {
		do
			if (check_part(&p, kind == KIND_WHEN, err) < 0)
				return -1;
		while (many && source_next_part(&p) && *p != ':');
		skip_blank(&p);
		if (*p && *p != '|' && *p != ':')
			return bad_value("no bar between two paths", p, err);
	}
	if (*p == ':')
		return kind == KIND_MEMBER ? check_pairs(p + 1, err) : bad_value("nothing is translated here", p, err);
	return n || kind == KIND_WHEN ? 0 : bad_value("a path is missing", p, err);
}

static int check_repeats(const char *p, struct err *err)
{
	if (strcmp(p, "yes") == 0 || strcmp(p, "no") == 0)
		return 0;
	if (strncmp(p, "unless ", 7) == 0)
		return check_value(KIND_PATHS, p + 7, err);
	return bad_value("repeats is \"yes\", \"no\" or \"unless PATH\"", p, err);
}

/* ---- a file ---- */

static int find_field(const char *name, enum field *f, struct err *err)
{
	const char *names[FIELDS];

	for (size_t i = 0; i < FIELDS; i++) {
		names[i] = fields[i].name;
		if (strcmp(name, names[i]) == 0) {
			*f = (enum field)i;
			return 0;
		}
	}
	return err_set(err, ERR_CONFIG, "unknown key \"%.60s\" (did you mean \"%s\"?)", name,
	               conf_nearest(name, names, FIELDS));
}

static void clear(struct source *s)
{
	for (size_t i = 0; i < FIELDS; i++) {
		free(s->text[i]);
		s->text[i] = NULL;
	}
}

static const char name_characters[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";

/* The section of this file by that name, made when it is new; one of an earlier file gives way. */
static struct source *section(struct alert_sources *sources, const char *name, struct err *err)
{
	struct source *s = (struct source *)sources_by_name(sources, name);

	if (!*name || strlen(name) >= sizeof s->name || name[strspn(name, name_characters)]) {
		(void)err_set(err, ERR_CONFIG,
		              "[%.60s] is no name for a source: lower case letters, digits, \"-\", \"_\" and \".\"", name);
		return NULL;
	}
	if (!s) {
		struct source *grown = realloc(sources->list, (sources->n + 1) * sizeof *grown);
		if (!grown) {
			(void)err_set(err, ERR_TEMPORARY, "out of memory");
			return NULL;
		}
		sources->list = grown;
		s = &grown[sources->n++];
		memset(s, 0, sizeof *s);
		memcpy(s->name, name, strlen(name));
		s->file = sources->files;
	}
	if (s->file != sources->files)
		clear(s);
	s->file = sources->files;
	return s;
}

/* A value that goes on in the next line comes here again by its name. */
static int set_text(char **slot, const char *value, struct err *err)
{
	struct buf b = BUF_INIT(CONFIG_MAX_BYTES);

	if (*slot)
		buf_printf(&b, "%s ", *slot);
	buf_puts(&b, value);
	if (buf_ok(&b, err) < 0) {
		buf_release(&b);
		return -1;
	}
	free(*slot);
	*slot = b.p;
	return 0;
}

static int on_key(void *ctx, const char *name, const char *key, const char *value, struct err *err)
{
	enum field f = FIELD_WHEN;
	struct source *s = section(ctx, name, err);

	if (!s || find_field(key, &f, err) < 0 || set_text(&s->text[f], value, err) < 0)
		return -1;
	const enum kind kind = fields[f].kind;
	const int bad = kind == KIND_TEXT      ? 0
	                : kind == KIND_REPEATS ? check_repeats(s->text[f], err)
	                                       : check_value(kind, s->text[f], err);
	if (bad)
		err->code = ERR_CONFIG;
	return bad ? err_prefix(err, "%s", key) : 0;
}

int alert_sources_add(struct alert_sources *sources, const char *file, const char *text, struct err *err)
{
	sources->files++;
	return conf_text(text, file, on_key, sources, err);
}

struct alert_sources *alert_sources_new(struct err *err)
{
	struct alert_sources *sources = calloc(1, sizeof *sources);

	if (!sources)
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; sources && i < source_files_count; i++) {
		if (conf_text(source_files[i].text, source_files[i].name, on_key, sources, err) < 0) {
			alert_sources_free(sources);
			return NULL;
		}
	}
	return sources;
}

void alert_sources_free(struct alert_sources *sources)
{
	if (!sources)
		return;
	for (size_t i = 0; i < sources->n; i++)
		clear(&sources->list[i]);
	free(sources->list);
	free(sources);
}

/* A name that every store keeps and every log shows as it is. */
static bool is_name(const char *s)
{
	size_t n = 0;

	while (s[n] > ' ' && s[n] <= '~')
		n++;
	return n && !s[n] && n < ALERT_SOURCE;
}

int alert_check_options(const struct alert_options *o, struct err *err)
{
	const char *p = o->service_field;
	struct err why = {0};
	struct jv v;

	if (o->source && !is_name(o->source))
		return err_set(err, ERR_USAGE, "--source wants a name of at most %d bytes, without blanks", ALERT_SOURCE - 1);
	if (p && (path_check(&p, &why) < 0 || *p))
		return err_set(err, ERR_USAGE, "--service-field wants a path, not \"%.60s\"", o->service_field);
	if (o->threshold && (jv_scan(o->threshold, strlen(o->threshold), &v, NULL, 0, NULL, &why) < 0 || !jv_is_number(v)))
		return err_set(err, ERR_USAGE, "--threshold wants a number, not \"%.60s\"", o->threshold);
	return 0;
}

/* ---- choosing ---- */

/* How many conditions of one alternative there are, or -1 when one does not hold; *p moves past all of them. */
static int holds(struct path_scope *scope, const char **p)
{
	int n = 0;
	bool all = true;

	for (; source_next_part(p); n++) {
		const struct jv v = path_get(scope, p);
		all = all && !jv_is_null(v);
		if (**p != '=')
			continue;
		(*p)++;
		size_t len;
		char text[256] = "";
		const char *want = word(p, " \t|", &len);
		if (jv_is_number(v))
			all = all && v.n == len && memcmp(v.p, want, len) == 0;
		else
			all = all && jv_str(v, text, sizeof text) && strlen(text) == len && memcmp(text, want, len) == 0;
	}
	return all ? n : -1;
}

/* Of the alternatives that hold, the most conditions; -1: none holds. Without any condition everything does. */
static int most_that_hold(struct path_scope *scope, const char *when)
{
	int most = *when ? -1 : 0;

	while (source_next(&when)) {
		const int n = holds(scope, &when);
		most = n > most ? n : most;
	}
	return most;
}

static bool in_family(const struct source *s, const char *family)
{
	const size_t n = strcspn(s->name, ".");

	return strcmp(s->name, family) == 0 || (strlen(family) == n && memcmp(s->name, family, n) == 0);
}

const struct source *sources_by_shape(const struct alert_sources *sources, const char *family, struct path_scope *scope)
{
	const struct source *best = NULL;
	int most = -1;

	for (size_t i = 0; i < sources->n; i++) {
		const struct source *s = &sources->list[i];
		if (!s->text[FIELD_WHEN] || (family && !in_family(s, family)))
			continue;
		const int n = most_that_hold(scope, s->text[FIELD_WHEN]);
		if (n > most || (n == most && n >= 0 && s->file > best->file)) {
			best = s;
			most = n;
		}
	}
	return best;
}

const struct source *sources_by_name(const struct alert_sources *sources, const char *name)
{
	for (size_t i = 0; i < sources->n; i++)
		if (strcmp(sources->list[i].name, name) == 0)
			return &sources->list[i];
	return NULL;
}
