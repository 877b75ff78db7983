/* A rule is read into pairs of numbers: every name and path that occurs is kept once in a table, and a way is the
 * number of its name and that of its path. Joining with && then makes no new text: of two names or paths that must both
 * fit, the narrower one remains. */
#include "base/rule.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define LABEL_BYTES 63            /* between two dots of a name, RFC 1035 2.3.4 */
#define WORDS_MAX (2 * RULE_WAYS) /* names and paths of one rule */
#define NESTING_MAX 8             /* parentheses */
#define ANY UINT8_MAX

struct ways {
	struct {
		uint8_t host, path; /* in parser.words, or ANY */
	} v[RULE_WAYS];
	size_t n;
};

struct parser {
	const char *text, *p;
	char words[WORDS_MAX][RULE_PATH]; /* a path begins with "/", a name does not */
	size_t nwords;
	unsigned depth;
	struct err *err;
};

/* ---- names and paths ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

static char fold(char c) { return is_upper(c) ? (char)(c - 'A' + 'a') : c; }

/* Some letters, digits, "-" and "_", in lower case, without a dash at an end. */
static bool is_label(const char *s, size_t n)
{
	if (!n || n > LABEL_BYTES || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_lower(s[i]) && !is_digit(s[i]) && s[i] != '-' && s[i] != '_')
			return false;
	return true;
}

/* What is wrong with it, or NULL. A dot at the end, for the root, says nothing and is left out. */
static const char *read_host(const char *s, size_t n, char out[RULE_PATH])
{
	size_t from = 0;

	if (n && s[n - 1] == '.')
		n--;
	if (!n)
		return "a name is empty";
	if (n >= RULE_HOST)
		return "a name has more than 253 characters";
	for (size_t i = 0; i < n; i++) {
		if (s[i] & 0x80)
			return "a name is not in ASCII: write its xn-- form";
		out[i] = fold(s[i]);
	}
	out[n] = '\0';
	if (n > 2 && out[0] == '*' && out[1] == '.')
		from = 2;
	for (;;) {
		const size_t label = strcspn(out + from, ".");
		if (!is_label(out + from, label))
			return strchr(out + from, '*') ? "a \"*\" stands only at the start of a name, before a dot"
			                               : "a name has something else than letters, digits, \"-\", \"_\" and dots";
		from += label + 1;
		if (from > n)
			return NULL;
	}
}

static bool is_path_byte(char c)
{
	return is_lower(c) || is_upper(c) || is_digit(c) || c == '.' || c == '_' || c == '~' || c == '-';
}

/* What is wrong with it, or NULL. Slashes at the end are left out: what counts are the segments. No request that a
 * load balancer passes on has the segments "", "." or "..". */
static const char *read_path(const char *s, size_t n, char out[RULE_PATH])
{
	if (!n || s[0] != '/')
		return "a path does not begin with \"/\"";
	while (n > 1 && s[n - 1] == '/')
		n--;
	if (n >= RULE_PATH)
		return "a path has more than 255 characters";
	for (size_t i = 1; i < n; i++)
		if (s[i] != '/' && !is_path_byte(s[i]))
			return "a path has something else than letters, digits, \".\", \"_\", \"~\", \"-\" and \"/\"";
	memcpy(out, s, n);
	out[n] = '\0';
	for (const char *p = out; n > 1 && p; p = strchr(p, '/')) {
		const size_t segment = strcspn(++p, "/");
		if (!segment || (segment <= 2 && strspn(p, ".") == segment))
			return "a path has an empty segment, \".\" or \"..\"";
	}
	return NULL;
}

/* ---- of two that must both fit, the narrower; NULL: nothing fits both ---- */

static bool covers_host(const char *wide, const char *narrow)
{
	const size_t w = strlen(wide), n = strlen(narrow);

	if (strcmp(wide, narrow) == 0)
		return true;
	return wide[0] == '*' && n >= w && strcmp(narrow + n - (w - 1), wide + 1) == 0;
}

static bool covers_path(const char *wide, const char *narrow)
{
	const size_t w = strlen(wide);

	return w == 1 || (strncmp(wide, narrow, w) == 0 && (!narrow[w] || narrow[w] == '/'));
}

static bool narrower(const struct parser *p, uint8_t a, uint8_t b, bool (*covers)(const char *, const char *),
                     uint8_t *out)
{
	if (a == ANY || b == ANY)
		*out = a == ANY ? b : a;
	else if (covers(p->words[a], p->words[b]))
		*out = b;
	else if (covers(p->words[b], p->words[a]))
		*out = a;
	else
		return false;
	return true;
}

/* ---- text ---- */

__attribute__((format(printf, 2, 3))) static int wrong(struct parser *p, const char *fmt, ...)
{
	char why[200];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	return err_set(p->err, ERR_INPUT, "rule: at character %zu: %s", (size_t)(p->p - p->text) + 1, why);
}

static void spaces(struct parser *p) { p->p += strspn(p->p, " \t"); }

static bool take(struct parser *p, const char *token)
{
	const size_t n = strlen(token);

	spaces(p);
	if (strncmp(p->p, token, n) != 0)
		return false;
	p->p += n;
	return true;
}

/* The number of a word, which is added when it is new. */
static int intern(struct parser *p, const char *word, uint8_t *out)
{
	size_t i = 0;

	while (i < p->nwords && strcmp(p->words[i], word) != 0)
		i++;
	if (i == WORDS_MAX)
		return err_set(p->err, ERR_LIMIT, "rule: more than %d names and paths", WORDS_MAX);
	if (i == p->nwords)
		memcpy(p->words[p->nwords++], word, strlen(word) + 1);
	*out = (uint8_t)i;
	return 0;
}

static int add_way(struct parser *p, struct ways *w, uint8_t host, uint8_t path)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].host == host && w->v[i].path == path)
			return 0;
	if (w->n == RULE_WAYS)
		return err_set(p->err, ERR_LIMIT, "rule: more than %d combinations of a name and a path", RULE_WAYS);
	w->v[w->n].host = host;
	w->v[w->n++].path = path;
	return 0;
}

/* `a.example`, "b.example") : what stands in the parentheses of Host or PathPrefix. */
static int read_words(struct parser *p, bool host, struct ways *out)
{
	char word[RULE_PATH];
	uint8_t i = ANY;

	do {
		spaces(p);
		const char quote = *p->p;
		if (quote != '`' && quote != '"')
			return wrong(p, "a %s between backticks is wanted here", host ? "name" : "path");
		const char *start = p->p + 1, *end = strchr(start, quote);
		if (!end)
			return wrong(p, "this quote is not closed");
		const char *why = (host ? read_host : read_path)(start, (size_t)(end - start), word);
		if (why)
			return wrong(p, "%s", why);
		if (intern(p, word, &i) < 0 || add_way(p, out, host ? i : ANY, host ? ANY : i) < 0)
			return -1;
		p->p = end + 1;
	} while (take(p, ","));
	return take(p, ")") ? 0 : wrong(p, "\",\" or \")\" is wanted here");
}

static int read_any(struct parser *p, struct ways *out);

static int read_one(struct parser *p, struct ways *out)
{
	int bad;

	out->n = 0;
	spaces(p);
	const char *start = p->p;
	if (take(p, "(")) {
		if (++p->depth > NESTING_MAX)
			return wrong(p, "more than %d parentheses", NESTING_MAX);
		bad = read_any(p, out);
		p->depth--;
		return bad ? -1 : take(p, ")") ? 0 : wrong(p, "\"&&\", \"||\" or \")\" is wanted here");
	}
	const bool host = take(p, "Host");
	if ((host || take(p, "PathPrefix")) && take(p, "("))
		return read_words(p, host, out);
	p->p = start;
	return wrong(p, "Host(`NAME`) or PathPrefix(`/PATH`) is wanted here");
}

/* Each with each. */
static int both(struct parser *p, const struct ways *a, const struct ways *b, struct ways *out)
{
	uint8_t host, path;

	out->n = 0;
	for (size_t i = 0; i < a->n; i++)
		for (size_t j = 0; j < b->n; j++)
			if (narrower(p, a->v[i].host, b->v[j].host, covers_host, &host) &&
			    narrower(p, a->v[i].path, b->v[j].path, covers_path, &path) && add_way(p, out, host, path) < 0)
				return -1;
	return out->n ? 0 : wrong(p, "no request fits both sides of this \"&&\"");
}

static int read_all(struct parser *p, struct ways *out)
{
	struct ways one, sofar;

	if (read_one(p, out) < 0)
		return -1;
	while (take(p, "&&")) {
		sofar = *out;
		if (read_one(p, &one) < 0 || both(p, &sofar, &one, out) < 0)
			return -1;
	}
	return 0;
}

static int read_any(struct parser *p, struct ways *out)
{
	struct ways one;

	if (read_all(p, out) < 0)
		return -1;
	while (take(p, "||")) {
		if (read_all(p, &one) < 0)
			return -1;
		for (size_t i = 0; i < one.n; i++)
			if (add_way(p, out, one.v[i].host, one.v[i].path) < 0)
				return -1;
	}
	return 0;
}

/* ---- the rule ---- */

static int by_text(const void *x, const void *y)
{
	const struct rule_way *a = x, *b = y;
	const int hosts = strcmp(a->host, b->host);

	return hosts ? hosts : strcmp(a->path, b->path);
}

/* host and path are of the alphabets, "" for anything. */
static int add(struct rule *r, const char *host, const char *path, struct err *err)
{
	struct rule_way w = {{0}, {0}};

	memcpy(w.host, host, strlen(host) + 1);
	if (!*host || strcmp(path, "/") != 0)
		memcpy(w.path, path, strlen(path) + 1);
	for (size_t i = 0; i < r->n; i++)
		if (by_text(&r->v[i], &w) == 0)
			return 0;
	if (r->n == RULE_WAYS)
		return err_set(err, ERR_LIMIT, "rule: more than %d combinations of a name and a path", RULE_WAYS);
	r->v[r->n++] = w;
	qsort(r->v, r->n, sizeof *r->v, by_text);
	return 0;
}

int rule_parse(const char *text, struct rule *out, struct err *err)
{
	struct parser p = {.text = text, .p = text, .err = err};
	struct ways ways;

	out->n = 0;
	if (read_any(&p, &ways) < 0)
		return -1;
	spaces(&p);
	if (*p.p)
		return wrong(&p, "\"&&\" or \"||\" is wanted here");
	for (size_t i = 0; i < ways.n; i++) {
		const uint8_t host = ways.v[i].host, path = ways.v[i].path;
		if (add(out, host == ANY ? "" : p.words[host], path == ANY ? "" : p.words[path], err) < 0)
			return -1;
	}
	return 0;
}

void rule_write(const struct rule *r, struct buf *out)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct rule_way *w = &r->v[i];
		buf_puts(out, i ? " || " : "");
		if (*w->host)
			buf_printf(out, "Host(`%s`)", w->host);
		if (*w->path)
			buf_printf(out, "%sPathPrefix(`%s`)", *w->host ? " && " : "", w->path);
	}
}

int rule_add(struct rule *r, const char *host, const char *path, struct err *err)
{
	char name[RULE_PATH] = "", prefix[RULE_PATH] = "";
	const char *why = *host ? read_host(host, strlen(host), name) : NULL;

	if (!why && *path)
		why = read_path(path, strlen(path), prefix);
	if (!why && !*host && !*path)
		why = "neither a name nor a path";
	return why ? err_set(err, ERR_REFUSED, "rule: %s", why) : add(r, name, prefix, err);
}

bool rule_way_same(const struct rule_way *a, const struct rule_way *b)
{
	return strcmp(a->host, b->host) == 0 && strcmp(a->path, b->path) == 0;
}

bool rule_same(const struct rule *a, const struct rule *b)
{
	size_t i = 0;

	while (i < a->n && i < b->n && rule_way_same(&a->v[i], &b->v[i]))
		i++;
	return i == a->n && i == b->n;
}

const struct rule_way *rule_shared(const struct rule *a, const struct rule *b)
{
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < b->n; k++)
			if (rule_way_same(&a->v[i], &b->v[k]))
				return &a->v[i];
	return NULL;
}
