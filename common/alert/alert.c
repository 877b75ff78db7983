#include "alert/alert.h"

#include "alert/normal.h"
#include "base/limits.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

void alert_new_id(int64_t now, void (*random)(void *p, size_t n), char out[27])
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; /* Crockford's base 32 */
	unsigned char r[16];

	random(r, sizeof r);
	for (int i = 9; i >= 0; i--, now >>= 5)
		out[i] = digits[now & 31];
	for (int i = 0; i < 16; i++)
		out[10 + i] = digits[r[i] & 31];
	out[26] = '\0';
}

void alert_action(const char *text, char *out, size_t size)
{
	static const struct {
		const char *spelling, *action;
	} known[] = {
		{"scaleup", "scale-up"},    {"up", "scale-up"},          {"scaleout", "scale-up"},
		{"out", "scale-up"},        {"scaledown", "scale-down"}, {"down", "scale-down"},
		{"scalein", "scale-down"},  {"in", "scale-down"},        {"set", "set"},
		{"start", "start"},         {"recreate", "recreate"},    {"attach", "attach"},
		{"reconcile", "reconcile"},
	};
	char plain[64];
	size_t n = 0;

	for (const char *p = text; *p && n + 1 < sizeof plain; p++)
		if (isalnum((unsigned char)*p))
			plain[n++] = (char)tolower((unsigned char)*p);
	plain[n] = '\0';
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(plain, known[i].spelling) == 0)
			text = known[i].action;
	(void)snprintf(out, size, "%s", text);
}

/* A word that is no JSON but means one of the numbers that JSON has not; its length, or 0. */
static size_t no_number(const char *p, size_t n)
{
	static const char *const words[] = {"NaN", "Infinity", "-Infinity"};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		const size_t len = strlen(words[i]);
		if (n >= len && memcmp(p, words[i], len) == 0 && (n == len || !isalnum((unsigned char)p[len])))
			return len;
	}
	return 0;
}

bool alert_mend(const char *p, size_t n, struct buf *out)
{
	bool in_string = false, word = false; /* within a string; within a word that began before */
	size_t kept = 0, len;                 /* bytes of p that are dealt with */

	buf_reset(out);
	for (size_t i = 0; i < n; i++) {
		const char c = p[i];
		if (in_string) {
			i += c == '\\';
			in_string = c != '"';
		} else if (!word && (len = no_number(p + i, n - i)) > 0) {
			buf_put(out, p + kept, i - kept);
			buf_puts(out, "null");
			i += len - 1;
			kept = i + 1;
		} else {
			in_string = c == '"';
			word = isalnum((unsigned char)c);
		}
	}
	if (!kept)
		return false;
	buf_put(out, p + kept, n - kept);
	return !out->failed;
}

/* ---- a document ---- */

struct walk {
	const struct source *source;
	const struct alert_options *o;
	struct path_scope scope;
	struct alert a;
	alert_fn fn;
	void *ctx;
};

/* By the name that was given, else by the shape; an array has that of its first element. */
static int find_source(struct walk *w, struct err *err)
{
	const struct alert_sources *sources = w->o->sources;
	const char *name = w->o->source;
	struct jv_cursor c = jv_each(w->scope.document);
	struct jv_member m;

	w->scope.alert = w->scope.document;
	if (jv_is_array(w->scope.document) && jv_next(&c, &m))
		w->scope.alert = m.value;
	w->source = sources_by_shape(sources, name, &w->scope);
	if (name && !w->source)
		w->source = sources_by_name(sources, name);
	if (name && !w->source)
		w->source = sources_by_name(sources, "own");
	return w->source ? 0 : err_set(err, ERR_INPUT, "not the form of any source that is known: give --source NAME");
}

static int drop(struct walk *w, const char *why, struct err *err)
{
	struct alert *a = &w->a;
	const char *show = *why ? w->source->text[FIELD_SHOW] : NULL;

	buf_reset(&a->warning);
	buf_puts(&a->warning, why);
	while (show && source_next_part(&show)) {
		buf_putc(&a->warning, ' ');
		(void)jv_str_buf(path_get(&w->scope, &show), &a->warning);
	}
	a->dropped = true;
	a->raw = w->scope.alert;
	normal_source(w->source, w->o, a->source);
	return w->fn(w->ctx, a, err);
}

/* v came as the text `raw`. */
static int one(struct walk *w, struct jv v, struct jv raw, struct err *why, struct err *err)
{
	w->scope.alert = v;
	w->a.raw = raw;
	w->a.dropped = false;
	if (!jv_is_object(v))
		return err_set(why, ERR_INPUT, "not an object");
	if (normal_alert(w->source, w->o, &w->scope, &w->a, why) < 0)
		return -1;
	return w->a.dropped ? drop(w, "", err) : w->fn(w->ctx, &w->a, err);
}

/* One that makes no sense does not take the others with it: the first such is reported at the end. */
static int each_of_list(struct walk *w, struct jv list, struct err *err)
{
	struct jv_cursor c = jv_each(list);
	struct jv_member m;
	struct err first = {0};

	for (long long n = 1; jv_next(&c, &m); n++) {
		struct err why = {0};
		if (one(w, m.value, m.value, &why, err) == 0)
			continue;
		if (why.code == ERR_NONE)
			return -1;
		if (first.code == ERR_NONE) {
			(void)err_prefix(&why, "alert %lld of the list", n);
			first = why;
		}
	}
	if (first.code != ERR_NONE)
		*err = first;
	return first.code == ERR_NONE ? 0 : -1;
}

/* Before any of them is handed over: whether each can be told from the next. */
static int check_keys(struct walk *w, struct jv list, struct err *err)
{
	struct jv_cursor c = jv_each(list);
	struct jv_member m;

	if (!jv_is_array(list)) {
		w->scope.alert = list;
		return normal_check_key(w->source, w->o, &w->scope, err);
	}
	while (jv_next(&c, &m)) {
		w->scope.alert = m.value;
		if (jv_is_object(m.value) && normal_check_key(w->source, w->o, &w->scope, err) < 0)
			return -1;
	}
	return 0;
}

static int each(struct walk *w, struct err *err)
{
	struct jv list;
	struct err why = {0};

	if (alert_check_options(w->o, err) < 0 || find_source(w, err) < 0)
		return -1;
	if (w->source->text[FIELD_DROP])
		return drop(w, w->source->text[FIELD_DROP], err);
	w->scope.alert = w->scope.document;
	list = normal_find(w->source, FIELD_ALERTS, &w->scope);
	if (jv_is_null(list))
		list = w->scope.document;
	if (check_keys(w, list, err) < 0)
		return -1;
	if (jv_is_array(list))
		return each_of_list(w, list, err);
	if (one(w, list, w->scope.document, &why, err) == 0)
		return 0;
	if (why.code != ERR_NONE)
		*err = why;
	return -1;
}

int alert_each(struct jv document, const struct alert_options *o, alert_fn fn, void *ctx, struct err *err)
{
	struct walk w = {
		.o = o,
		.scope = {.document = document},
		.a = {.body = BUF_INIT(LINE_MAX_BYTES / 2),
	          .identity = BUF_INIT(2 * LINE_MAX_BYTES),
	          .voids = BUF_INIT(2 * LINE_MAX_BYTES),
	          .key = BUF_INIT(LINE_MAX_BYTES),
	          .warning = BUF_INIT(LINE_MAX_BYTES)},
		.fn = fn,
		.ctx = ctx,
	};
	const int bad = each(&w, err);

	buf_release(&w.a.body);
	buf_release(&w.a.identity);
	buf_release(&w.a.voids);
	buf_release(&w.a.key);
	buf_release(&w.a.warning);
	path_release(&w.scope);
	return bad;
}
