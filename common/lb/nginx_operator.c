/* What the operator's own configuration says, as far as it must be known. It is only read. In a container its files
 * may be elsewhere: then nothing is known. */
#include "lb/nginx.h"

#include "base/limits.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define NEST_MAX 32
#define INCLUDE_MAX 8 /* files that include each other */
#define FILES_MAX 4096

enum where { MAIN, HTTP, SERVER, OTHER };

struct look {
	const char *main;
	struct nginx_operator *out;
	char listen[64];
	struct stat gen; /* our own file, for which a pattern is tried */
	bool has_gen;
	size_t files;
};

/* One file; `in` is the block that it is included in. */
struct file {
	const char *path;
	enum where in[NEST_MAX];
	size_t depth;
	bool listened; /* the server in hand has a `listen` */
};

static void look_file(struct look *l, const char *path, enum where in, int nesting);

bool nginx_listen(const char *value, char out[64])
{
	const char *colon = strrchr(value, ':');
	unsigned port;

	if (strspn(value, "0123456789") == strlen(value)) {
		(void)snprintf(out, 64, "0.0.0.0:%s", value);
		return lb_safe_port(value, &port);
	}
	if (!colon || colon[-1] == ':' || colon - value > 48 || !lb_safe_port(colon + 1, &port) || colon == value)
		return false;
	if (strspn(value, "0123456789abcdefABCDEF.:[]*") < (size_t)(colon - value))
		return false;
	if (colon == value + 1 && *value == '*')
		(void)snprintf(out, 64, "0.0.0.0:%u", port);
	else
		(void)snprintf(out, 64, "%s", value);
	return true;
}

/* Does a server there listen where ours will? */
static void heard(struct look *l, const struct file *f, const char *value, bool is_default)
{
	char at[64];

	if (!nginx_listen(value, at) || strcmp(at, l->listen) != 0)
		return;
	if (!l->out->listens || !l->out->is_default)
		(void)snprintf(l->out->listener, sizeof l->out->listener, "%s", f->path);
	l->out->listens = true;
	l->out->is_default = l->out->is_default || is_default;
}

static void include(struct look *l, const struct file *f, const char *pattern, int nesting)
{
	const char *slash = strrchr(l->main, '/');
	char whole[PATH_MAX];
	glob_t found;
	struct stat st;

	const int n = *pattern == '/' || !slash
	                  ? snprintf(whole, sizeof whole, "%s", pattern)
	                  : snprintf(whole, sizeof whole, "%.*s/%s", (int)(slash - l->main), l->main, pattern);
	if (n >= (int)sizeof whole || glob(whole, 0, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		if (l->has_gen && stat(found.gl_pathv[i], &st) == 0 && st.st_ino == l->gen.st_ino && st.st_dev == l->gen.st_dev)
			l->out->included = l->out->included || f->in[f->depth] == HTTP;
		else if (nesting < INCLUDE_MAX && !strstr(found.gl_pathv[i], "/as-" NGINX_ROUTES ".conf"))
			look_file(l, found.gl_pathv[i], f->in[f->depth], nesting + 1);
	}
	globfree(&found);
}

struct words {
	char v[2][PATH_MAX];
	size_t n;
	bool is_default;
};

static void statement(struct look *l, struct file *f, const struct words *s, int nesting)
{
	const enum where in = f->in[f->depth];

	if (s->n < 2)
		return;
	if (in == MAIN && strcmp(s->v[0], "pid") == 0) {
		if (s->v[1][0] == '/')
			(void)snprintf(l->out->pid, sizeof l->out->pid, "%s", s->v[1]);
	} else if (strcmp(s->v[0], "include") == 0) {
		include(l, f, s->v[1], nesting);
	} else if (in == SERVER && strcmp(s->v[0], "listen") == 0) {
		f->listened = true;
		heard(l, f, s->v[1], s->is_default);
	}
}

/* False: the blocks do not fit together. */
static bool block(struct look *l, struct file *f, const struct words *s, enum nginx_kind kind)
{
	const enum where in = f->in[f->depth];

	if (kind == NGINX_CLOSE) {
		if (in == SERVER && !f->listened)
			heard(l, f, "80", false); /* as nginx does, when it is root */
		return f->depth-- > 0;
	}
	if (f->depth + 1 == NEST_MAX)
		return false;
	const bool http = in == MAIN && s->n && strcmp(s->v[0], "http") == 0;
	const bool server = in == HTTP && s->n && strcmp(s->v[0], "server") == 0;
	f->in[++f->depth] = http ? HTTP : server ? SERVER : OTHER;
	if (server)
		f->listened = false;
	return true;
}

static void look_text(struct look *l, struct file *f, const char *text, int nesting)
{
	struct nginx_words w = {.p = text};
	struct words s = {.n = 0};
	enum nginx_kind kind;

	while ((kind = nginx_next(&w)) != NGINX_EOF && kind != NGINX_BAD) {
		if (kind == NGINX_COMMENT)
			continue;
		if (kind == NGINX_WORD) {
			if (s.n < 2)
				(void)snprintf(s.v[s.n++], sizeof s.v[0], "%s", w.word);
			s.is_default = s.is_default || strcmp(w.word, "default_server") == 0 || strcmp(w.word, "default") == 0;
			continue;
		}
		if (kind == NGINX_END)
			statement(l, f, &s, nesting);
		else if (!block(l, f, &s, kind))
			return;
		s.n = 0;
		s.is_default = false;
	}
}

static void look_file(struct look *l, const char *path, enum where in, int nesting)
{
	struct buf text = BUF_INIT(DOCUMENT_MAX);
	struct file f = {.path = path, .in = {in}};
	struct err ignored;
	struct stat st;

	if (l->files++ < FILES_MAX && lb_file_read(path, &text, &st, &ignored) == 0 && text.p) {
		if (!nesting)
			l->out->read = true;
		look_text(l, &f, text.p, nesting);
	}
	buf_release(&text);
}

void nginx_look(const struct lb *lb, struct nginx_operator *out)
{
	struct look l = {.main = lb->main ? lb->main : "/etc/nginx/nginx.conf", .out = out};
	char gen[PATH_MAX + 16];

	*out = (struct nginx_operator){.pid = ""};
	(void)snprintf(gen, sizeof gen, "%s/as-" NGINX_GEN ".conf", lb->path);
	l.has_gen = stat(gen, &l.gen) == 0;
	(void)nginx_listen(lb->conf->frontend ? lb->conf->frontend : "80", l.listen);
	if (!lb->conf->container)
		look_file(&l, l.main, MAIN, 0);
}
