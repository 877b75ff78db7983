/* How a backend's file looks:
 *
 *     # as-lb version=7 made=yes check=/health
 *     # as-lb route a.example /x
 *     upstream web {
 *       zone web 64k;
 *       keepalive 16;
 *       server 10.0.0.7:80 weight=100 max_fails=1 fail_timeout=2s; # as-0123456789ab
 *       # as-lb drain as-ba9876543210 10.0.0.8:80 weight=100
 *     }
 *
 * A comment of a line each, for nginx reads no word and no comment longer than 4096 bytes. */
#include "lb/nginx.h"

#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define NOBODY "127.0.0.1:9" /* an upstream without a server is an error: discard(9), and down */
#define ZONE_SERVERS 48      /* that 64 KiB of shared memory hold */
#define WORDS 8

struct statement {
	struct nginx_words at;
	char v[WORDS][128];
	size_t n;
	const char *begin, *end; /* with its `;` */
	char name[LB_NAME];      /* the comment on its line, if it is a name */
};

static bool number(const char *s, int64_t max, int64_t *out)
{
	char *end = NULL;

	if (*s < '0' || *s > '9')
		return false;
	const long long v = strtoll(s, &end, 10);
	*out = v;
	return !*end && v <= max;
}

/* "10.0.0.7:80", "[::1]:80". */
static bool place(const char *s, struct lb_server *out)
{
	char address[LB_ADDRESS];
	const char *colon = strrchr(s, ':');
	const bool six = *s == '[';

	if (!colon || colon - s >= LB_ADDRESS + 2 || (six && colon[-1] != ']'))
		return false;
	(void)snprintf(address, sizeof address, "%.*s", (int)(colon - s) - (six ? 2 : 0), s + six);
	return lb_safe_address(address, out->address) && lb_safe_port(colon + 1, &out->port);
}

static int odd(const char *what, struct err *err)
{
	return err_set(err, ERR_CONFIG, "`%.100s` is nothing that the toolkit writes; is it somebody else's file?", what);
}

/* ---- comments ---- */

static int read_route(char *words, struct filed *f, struct err *err)
{
	char *rest = NULL;
	const char *host = strtok_r(words, " ", &rest), *path = strtok_r(NULL, " ", &rest);

	if (!host || !path)
		return odd("as-lb route", err);
	return rule_add(&f->rule, strcmp(host, "-") == 0 ? "" : host, strcmp(path, "-") == 0 ? "" : path, err);
}

static int read_drain(char *words, struct filed *f, struct err *err)
{
	struct lb_server s = {.weight = 100, .state = LB_DRAIN, .sessions = -1};
	char *rest = NULL;
	const char *name = strtok_r(words, " ", &rest), *at = strtok_r(NULL, " ", &rest),
			   *weight = strtok_r(NULL, " ", &rest);
	int64_t n;

	if (!name || !lb_safe_name(name) || !at || !place(at, &s) || !weight || strncmp(weight, "weight=", 7) != 0 ||
	    !number(weight + 7, LB_WEIGHT_MAX, &n))
		return odd("as-lb drain", err);
	s.weight = (unsigned)n;
	(void)snprintf(s.name, sizeof s.name, "%s", name);
	return lb_filed_add(f, &s, err);
}

static int read_head(char *words, struct filed *f, struct err *err)
{
	char *rest = NULL;

	for (const char *w = strtok_r(words, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
		if (strncmp(w, "version=", 8) == 0 && number(w + 8, INT64_MAX, &f->version))
			continue;
		if (strncmp(w, "check=", 6) == 0 && lb_safe_check(w + 6))
			(void)snprintf(f->check, sizeof f->check, "%s", w + 6);
		else if (strcmp(w, "made=yes") == 0)
			f->made = true;
		else if (strcmp(w, "made=no") != 0)
			return odd(w, err);
	}
	return 0;
}

static int read_comment(char *text, struct filed *f, struct err *err)
{
	text += strspn(text, " ");
	if (strncmp(text, "as-lb route ", 12) == 0)
		return read_route(text + 12, f, err);
	if (strncmp(text, "as-lb drain ", 12) == 0)
		return read_drain(text + 12, f, err);
	return strncmp(text, "as-lb version=", 14) == 0 ? read_head(text + 6, f, err) : 0;
}

/* ---- statements ---- */

/* Up to `;`, `{` or `}`; comments before it are given to `f`, if it is not NULL. */
static enum nginx_kind read_statement(struct nginx_words *w, struct statement *s, struct filed *f, struct err *err)
{
	enum nginx_kind kind;

	s->n = 0;
	s->name[0] = '\0';
	while ((kind = nginx_next(w)) == NGINX_WORD || kind == NGINX_COMMENT) {
		if (kind == NGINX_COMMENT) {
			if (f && read_comment(w->word, f, err) < 0)
				return NGINX_BAD;
			continue;
		}
		if (!s->n)
			s->begin = w->begin;
		if (s->n < WORDS)
			(void)snprintf(s->v[s->n++], sizeof s->v[0], "%.*s", (int)sizeof s->v[0] - 1, w->word);
	}
	s->end = w->p;
	if (kind != NGINX_END)
		return kind;
	struct nginx_words ahead = *w; /* " # as-0123456789ab" on the same line */
	if (nginx_next(&ahead) == NGINX_COMMENT && !memchr(w->p, '\n', (size_t)(ahead.begin - w->p))) {
		const char *name = ahead.word + strspn(ahead.word, " ");
		if (lb_safe_name(name)) {
			(void)snprintf(s->name, sizeof s->name, "%s", name);
			*w = ahead;
		}
	}
	return kind;
}

static bool is_ours(const struct statement *s)
{
	if (strcmp(s->v[0], "zone") == 0)
		return true;
	return strcmp(s->v[0], "server") == 0 &&
	       (s->name[0] || (s->n == 3 && strcmp(s->v[1], NOBODY) == 0 && strcmp(s->v[2], "down") == 0));
}

static int read_server(const struct statement *s, struct filed *f, struct err *err)
{
	struct lb_server server = {.weight = 100, .state = LB_UP, .sessions = -1};
	int64_t n;

	if (!s->name[0])
		return 0;
	if (s->n < 2 || !place(s->v[1], &server))
		return odd(s->n < 2 ? "server" : s->v[1], err);
	(void)snprintf(server.name, sizeof server.name, "%s", s->name);
	bool down = false;
	for (size_t i = 2; i < s->n; i++) {
		const char *w = s->v[i];
		if (strncmp(w, "weight=", 7) == 0 && number(w + 7, LB_WEIGHT_MAX, &n))
			server.weight = (unsigned)n;
		else if (strcmp(w, "down") == 0)
			down = true;
		else if (strncmp(w, "max_fails=", 10) != 0 && strncmp(w, "fail_timeout=", 13) != 0)
			return odd(w, err);
	}
	if (down)
		server.weight = 0;
	return lb_filed_add(f, &server, err);
}

static int read_upstream(struct nginx_words *w, struct filed *f, struct err *err)
{
	enum nginx_kind kind;
	struct statement s;

	while ((kind = read_statement(w, &s, f, err)) == NGINX_END)
		if (s.n && strcmp(s.v[0], "server") == 0 && read_server(&s, f, err) < 0)
			return -1;
	if (kind == NGINX_CLOSE && !s.n)
		return 0;
	return err->code ? -1 : odd("upstream", err);
}

int nginx_parse(struct lb *lb, const char *text, struct filed *f, struct err *err)
{
	struct nginx_words w = {.p = text};
	struct err mine = {0};
	enum nginx_kind kind;
	struct statement s;
	bool there = false;

	(void)lb;
	while ((kind = read_statement(&w, &s, f, &mine)) == NGINX_OPEN) {
		if (s.n == 2 && strcmp(s.v[0], "upstream") == 0 && strcmp(s.v[1], f->backend) == 0 && !there) {
			there = true;
			if (read_upstream(&w, f, &mine) < 0)
				break;
		} else if (s.n == 3 && strcmp(s.v[0], "map") == 0 && strcmp(s.v[2], "$as_gen") == 0) {
			while ((kind = read_statement(&w, &s, NULL, &mine)) == NGINX_END)
				;
			if (kind != NGINX_CLOSE)
				break;
		} else {
			return odd(s.n ? s.v[0] : "{", err);
		}
	}
	if (mine.code) {
		*err = mine;
		return -1;
	}
	if (kind != NGINX_EOF || s.n)
		return odd(s.n ? s.v[0] : "}", err);
	if (!there)
		return err_set(err, ERR_CONFIG, "it has no `upstream %s { }`", f->backend);
	return 0;
}

int64_t nginx_map(const char *text, const char **begin, const char **end)
{
	struct nginx_words w = {.p = text};
	enum nginx_kind kind;
	struct statement s;
	struct err ignored;
	int64_t value = -1;

	while ((kind = read_statement(&w, &s, NULL, &ignored)) != NGINX_EOF && kind != NGINX_BAD) {
		if (kind != NGINX_OPEN || s.n != 3 || strcmp(s.v[0], "map") != 0 || strcmp(s.v[2], "$as_gen") != 0)
			continue;
		*begin = s.begin;
		value = 0;
		while ((kind = read_statement(&w, &s, NULL, &ignored)) == NGINX_END)
			if (s.n == 2 && !number(s.v[1], INT64_MAX / 2, &value))
				value = 0;
		*end = s.end;
		return kind == NGINX_CLOSE ? value : -1;
	}
	return -1;
}

uint64_t nginx_digest(uint64_t hash, const char *text)
{
	struct nginx_words w = {.p = text};
	enum nginx_kind kind;

	if (!hash)
		hash = 14695981039346656037u; /* FNV-1a */
	while ((kind = nginx_next(&w)) != NGINX_EOF && kind != NGINX_BAD) {
		if (kind == NGINX_COMMENT)
			continue;
		for (const char *p = w.begin; p < w.p; p++)
			hash = (hash ^ (unsigned char)*p) * 1099511628211u;
		hash = (hash ^ ' ') * 1099511628211u;
	}
	return hash;
}

/* ---- writing ---- */

/* The operator's own statements of the upstream as they are; the first time `keepalive 16;`. *servers: some are
 * servers. */
static void write_kept(const struct filed *f, bool *servers, struct buf *out)
{
	struct nginx_words w = {.p = f->old.p ? f->old.p : ""};
	enum nginx_kind kind;
	struct statement s;
	struct err ignored;

	if (!f->old.p)
		buf_puts(out, "  keepalive 16;\n");
	while ((kind = read_statement(&w, &s, NULL, &ignored)) == NGINX_OPEN) {
		const bool here = strcmp(s.v[0], "upstream") == 0;
		while ((kind = read_statement(&w, &s, NULL, &ignored)) == NGINX_END) {
			if (!here || !s.n || is_ours(&s))
				continue;
			*servers = *servers || strcmp(s.v[0], "server") == 0;
			buf_printf(out, "  %.*s\n", (int)(s.end - s.begin), s.begin);
		}
		if (kind != NGINX_CLOSE)
			return;
	}
}

int nginx_render(struct lb *lb, const struct filed *f, struct buf *out, struct err *err)
{
	const size_t zone = 64 * (1 + f->list.n / ZONE_SERVERS);
	char at[LB_PLACE];
	bool some = false;

	(void)lb;
	buf_printf(out, "# as-lb version=%lld made=%s check=%s\n", (long long)f->version, f->made ? "yes" : "no", f->check);
	buf_puts(out, "# Written by the toolkit: statements that are not its own stay, comments do not.\n");
	for (size_t i = 0; i < f->rule.n; i++)
		buf_printf(out, "# as-lb route %s %s\n", *f->rule.v[i].host ? f->rule.v[i].host : "-",
		           *f->rule.v[i].path ? f->rule.v[i].path : "-");
	buf_printf(out, "upstream %s {\n  zone %s %zuk;\n", f->backend, f->backend, zone);
	write_kept(f, &some, out);
	for (size_t i = 0; i < f->list.n; i++) {
		const struct lb_server *s = &f->list.v[i];
		lb_place(s, at);
		if (s->state == LB_DRAIN) {
			buf_printf(out, "  # as-lb drain %s %s weight=%u\n", s->name, at, s->weight);
			continue;
		}
		some = true;
		if (s->weight)
			buf_printf(out, "  server %s weight=%u max_fails=1 fail_timeout=2s; # %s\n", at, s->weight, s->name);
		else
			buf_printf(out, "  server %s down; # %s\n", at, s->name);
	}
	if (!some)
		buf_puts(out, "  server " NOBODY " down;\n");
	buf_puts(out, "}\n");
	return buf_ok(out, err);
}
