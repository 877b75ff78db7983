#include "lb/haproxy_config.h"

#include "base/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define CHECK_MS 10000 /* `haproxy -c` takes 50 ms, but it resolves the names of servers */

/* ---- lines and sections ---- */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

bool haproxy_next_line(const char **at, const char *end, struct haproxy_line *l)
{
	if (!*at || *at == end)
		return false;
	const char *newline = memchr(*at, '\n', (size_t)(end - *at));
	const char *stop = newline ? newline : end;
	l->at = l->word = *at;
	l->n = (size_t)(stop - l->at);
	while (l->word < stop && is_blank(*l->word))
		l->word++;
	while (stop > l->word && is_blank(stop[-1]))
		stop--;
	l->nword = (size_t)(stop - l->word);
	*at = newline ? newline + 1 : end;
	return true;
}

/* The word at *p, before end; its length, 0 at the end. */
static size_t next_word(const char **p, const char *end)
{
	size_t n = 0;

	while (*p < end && is_blank(**p))
		(*p)++;
	while (*p + n < end && !is_blank((*p)[n]))
		n++;
	return n;
}

static bool is_word(const char *p, size_t n, const char *word) { return strlen(word) == n && memcmp(p, word, n) == 0; }

bool haproxy_begins(const struct haproxy_line *l, const char *first, const char *second)
{
	const char *p = l->word, *end = l->word + l->nword;

	size_t n = next_word(&p, end);
	if (!is_word(p, n, first))
		return false;
	p += n;
	n = next_word(&p, end);
	return !*second || is_word(p, n, second);
}

bool haproxy_is_line(const struct haproxy_line *l, const char *text) { return is_word(l->word, l->nword, text); }

/* Is it the first line of a section? The markers around backends of ours end one too. */
static bool is_section(const struct haproxy_line *l)
{
	static const char *const words[] = {"global",    "defaults",    "frontend",    "backend",  "listen",
	                                    "peers",     "resolvers",   "userlist",    "mailers",  "cache",
	                                    "program",   "ring",        "http-errors", "fcgi-app", "log-forward",
	                                    "crt-store", "log-profile", "traces",      "acme"};

	if (haproxy_begins(l, "#", "as-lb"))
		return haproxy_is_line(l, "# as-lb backends begin") || haproxy_is_line(l, "# as-lb backends end");
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (haproxy_begins(l, words[i], ""))
			return true;
	return false;
}

static bool is_wanted(const struct haproxy_line *l, const char *kind, const char *name)
{
	if (!name)
		name = "";
	if (kind)
		return haproxy_begins(l, kind, name);
	return haproxy_begins(l, "backend", name) || haproxy_begins(l, "listen", name);
}

bool haproxy_next_section(const struct haproxy_config *c, const char *kind, const char *name, size_t *at,
                          struct haproxy_section *s)
{
	const char *p = c->text.p ? c->text.p + *at : NULL, *end = c->text.p + c->text.n;
	bool inside = false;
	struct haproxy_line l;

	while (haproxy_next_line(&p, end, &l)) {
		if (is_section(&l)) {
			if (inside)
				break;
			inside = is_wanted(&l, kind, name);
			if (!inside)
				continue;
			*s = (struct haproxy_section){.head = (size_t)(l.at - c->text.p), .indent = "    "};
			s->from = s->to = (size_t)(p - c->text.p);
			const char *word = l.word;
			word += next_word(&word, l.word + l.nword);
			const int n = (int)next_word(&word, l.word + l.nword);
			(void)snprintf(s->name, sizeof s->name, "%.*s", n, word);
		} else if (inside && l.nword && (*l.word != '#' || haproxy_begins(&l, "#", "as-lb"))) {
			/* Comments behind the last line stand before the next section. */
			s->to = (size_t)(p - c->text.p);
			if ((size_t)(l.word - l.at) < sizeof s->indent)
				(void)snprintf(s->indent, sizeof s->indent, "%.*s", (int)(l.word - l.at), l.at);
		}
		*at = (size_t)(p - c->text.p);
	}
	return inside;
}

void haproxy_splice(struct haproxy_config *c, size_t from, size_t to, const char *p, size_t n)
{
	struct buf b = BUF_INIT(DOCUMENT_MAX);

	buf_put(&b, c->text.p, from);
	if (from && n && b.p && b.p[b.n - 1] != '\n')
		buf_putc(&b, '\n');
	buf_put(&b, p, n);
	buf_put(&b, c->text.p + to, c->text.n - to);
	buf_release(&c->text);
	c->text = b;
}

/* ---- the servers of a backend ---- */

struct block {
	bool there;
	size_t from, to;        /* the bytes between the marker lines */
	size_t indent, nindent; /* the white space before the first marker */
};

static bool is_marker(const struct haproxy_line *l, const char *kind, const char *backend)
{
	char marker[LB_NAME + 16];

	(void)snprintf(marker, sizeof marker, "# as-lb %s %s", kind, backend);
	return haproxy_is_line(l, marker);
}

/* "# as-lb slot SLOT NAME" */
static bool read_slot(const struct haproxy_line *l, struct haproxy_slot *s)
{
	char text[2 * LB_NAME + 32];

	if (!haproxy_begins(l, "#", "as-lb") || l->nword >= sizeof text)
		return false;
	memcpy(text, l->word, l->nword);
	text[l->nword] = '\0';
	return sscanf(text, "# as-lb slot %63s %63s", s->slot, s->name) == 2 && lb_safe_name(s->slot) &&
	       lb_is_ours(s->name);
}

static bool is_our_server(const struct haproxy_line *l)
{
	struct haproxy_slot slot;

	const char *p = l->word, *end = l->word + l->nword;
	char name[LB_NAME];

	if (!haproxy_begins(l, "server", ""))
		return read_slot(l, &slot);
	p += strlen("server");
	const size_t n = next_word(&p, end);
	if (n >= sizeof name)
		return false;
	memcpy(name, p, n);
	name[n] = '\0';
	return lb_is_ours(name);
}

/* Finds the block. A marker copied into another section would, at the next reload, put these servers behind another
 * service: hence the look at the section. */
static int find_block(const struct haproxy_config *c, const char *backend, struct block *b, struct err *err)
{
	const char *at = c->text.p, *end = c->text.p + c->text.n;
	bool inside = false, section = false;
	struct haproxy_slot slot;
	struct haproxy_line l;

	*b = (struct block){.there = false};
	while (haproxy_next_line(&at, end, &l)) {
		if (is_section(&l))
			section = is_wanted(&l, NULL, backend);
		if (is_marker(&l, "begin", backend)) {
			if (b->there)
				return err_set(err, ERR_CONFIG, "%s has two blocks `# as-lb begin %s`", c->file, backend);
			if (!section)
				return err_set(err, ERR_CONFIG, "%s: `# as-lb begin %s` is not in that backend", c->file, backend);
			b->there = inside = true;
			b->from = (size_t)(at - c->text.p);
			b->indent = (size_t)(l.at - c->text.p);
			b->nindent = (size_t)(l.word - l.at);
		} else if (inside && is_marker(&l, "end", backend)) {
			inside = false;
			b->to = (size_t)(l.at - c->text.p);
		} else if (inside && !read_slot(&l, &slot) && (haproxy_begins(&l, "#", "as-lb") || is_section(&l))) {
			break;
		}
	}
	if (inside)
		return err_set(err, ERR_CONFIG, "%s: `# as-lb begin %s` has no end", c->file, backend);
	return 0;
}

static int add_block(struct haproxy_config *c, const char *backend, struct err *err)
{
	struct buf lines = BUF_INIT(1024);
	struct haproxy_section s;
	size_t at = 0;

	if (!haproxy_next_section(c, NULL, backend, &at, &s))
		return err_set(err, ERR_CONFIG,
		               "backend %s has servers of the toolkit, but %s has no such section that could keep them over a "
		               "reload",
		               backend, c->file);
	buf_printf(&lines, "%s# as-lb begin %s\n%s# as-lb end %s\n", s.indent, backend, s.indent, backend);
	const int rc = buf_ok(&lines, err);
	if (rc == 0)
		haproxy_splice(c, s.to, s.to, lines.p, lines.n);
	buf_release(&lines);
	return rc;
}

int haproxy_config_servers(struct haproxy_config *c, const char *backend, char *const *lines, size_t n, bool add,
                           struct err *err)
{
	struct buf text = BUF_INIT(DOCUMENT_MAX);
	struct haproxy_line l;
	struct block b;

	int rc = find_block(c, backend, &b, err);
	if (rc < 0 || (!b.there && !add))
		return rc < 0 ? -1 : 1;
	if (!b.there && (add_block(c, backend, err) < 0 || find_block(c, backend, &b, err) < 0))
		return -1;
	const char *at = c->text.p + b.from, *end = c->text.p + b.to;
	while (haproxy_next_line(&at, end, &l))
		if (!is_our_server(&l))
			buf_put(&text, l.at, (size_t)(at - l.at));
	for (size_t i = 0; i < n; i++) {
		buf_put(&text, c->text.p + b.indent, b.nindent);
		buf_puts(&text, lines[i]);
		buf_putc(&text, '\n');
	}
	rc = buf_ok(&text, err);
	if (rc == 0)
		haproxy_splice(c, b.from, b.to, text.p, text.n);
	buf_release(&text);
	return rc;
}

int haproxy_config_slots(const struct haproxy_config *c, struct haproxy_slot **v, size_t *n, struct err *err)
{
	const char *at = c->text.p, *end = c->text.p + c->text.n;
	struct haproxy_slot s = {.backend = ""};
	struct haproxy_line l;

	*v = NULL;
	*n = 0;
	while (haproxy_next_line(&at, end, &l)) {
		if (is_section(&l)) {
			const char *word = l.word;
			word += next_word(&word, l.word + l.nword);
			const size_t w = next_word(&word, l.word + l.nword);
			(void)snprintf(s.backend, sizeof s.backend, "%.*s", w < LB_NAME ? (int)w : 0, word);
		}
		if (!read_slot(&l, &s))
			continue;
		struct haproxy_slot *more = realloc(*v, (*n + 1) * sizeof *more);
		if (!more)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		*v = more;
		more[(*n)++] = s;
	}
	return 0;
}

/* ---- the file ---- */

int haproxy_config_read(struct haproxy_config *c, const char *path, struct err *err)
{
	*c = (struct haproxy_config){.lock = -1, .old = BUF_INIT(DOCUMENT_MAX), .text = BUF_INIT(DOCUMENT_MAX)};
	if (!realpath(path, c->file))
		return err_set(err, ERR_DENIED, "cannot find %s: %s", path, strerror(errno));
	if (lb_file_read(c->file, &c->old, &c->st, err) < 0)
		return -1;
	buf_put(&c->text, c->old.p ? c->old.p : "", c->old.n);
	return buf_ok(&c->text, err);
}

int haproxy_config_open(struct haproxy_config *c, struct tasks *tasks, const char *path, struct err *err)
{
	char file[PATH_MAX], lock[PATH_MAX + 8];

	*c = (struct haproxy_config){.lock = -1, .old = BUF_INIT(0), .text = BUF_INIT(0)};
	if (!realpath(path, file))
		return err_set(err, ERR_DENIED, "cannot find %s: %s", path, strerror(errno));
	(void)snprintf(lock, sizeof lock, "%s.lock", file);
	const int fd = lb_file_lock(tasks, lock, err);
	if (fd < 0)
		return -1;
	const int rc = haproxy_config_read(c, file, err);
	c->tasks = tasks;
	c->lock = fd;
	return rc;
}

void haproxy_config_close(struct haproxy_config *c)
{
	if (c->lock >= 0)
		(void)close(c->lock);
	c->lock = -1;
	buf_release(&c->old);
	buf_release(&c->text);
}

/* What HAProxy has against it, from its first line such as
 * "[ALERT]    (7) : config : parsing [/etc/haproxy/.haproxy.cfg.as-lb:4] : unknown keyword 'foo' in 'backend' section".
 * Not the place: it means the new file. */
static int complain(const struct haproxy_config *c, char *text, struct err *err)
{
	char *line = strstr(text, "[ALERT]");

	if (!line)
		return err_set(err, ERR_REFUSED, "haproxy -c refuses %s", c->file);
	line[strcspn(line, "\n")] = '\0';
	const char *parsing = strstr(line, "] : "), *why = strstr(line, "config : ");
	why = parsing ? parsing + 4 : why ? why + 9 : line;
	return err_set(err, ERR_REFUSED, "haproxy -c refuses %s: %s", c->file, why);
}

/* Without -q, which would drop what it says. cron's PATH has no sbin. */
static int check(const struct haproxy_config *c, const char *file, struct err *err)
{
	static const char *const programs[] = {"haproxy", "/usr/sbin/haproxy", "/usr/local/sbin/haproxy", NULL};
	const char *const argv[] = {programs[0], "-c", "-f", file, NULL};
	char text[4096];
	struct err why = {0};

	const int status = lb_file_run(c->tasks, programs, argv, CHECK_MS, text, sizeof text, &why);
	/* None there: HAProxy runs elsewhere, such as in a container that shares the folder. 2: no error, but no listener
	 * either, which is how a part of a configuration in several files looks. */
	if (status == 0 || status == 2 || (status < 0 && why.code == ERR_NOT_FOUND))
		return 0;
	if (status > 0)
		return complain(c, text, err);
	*err = why;
	return -1;
}

static bool is_unchanged(const struct haproxy_config *c)
{
	struct stat st;

	return stat(c->file, &st) == 0 && st.st_ino == c->st.st_ino && st.st_size == c->st.st_size &&
	       st.st_mtim.tv_sec == c->st.st_mtim.tv_sec && st.st_mtim.tv_nsec == c->st.st_mtim.tv_nsec;
}

/* FOLDER/.NAME.END. A leading dot and no .cfg at the end: HAProxy's `-f FOLDER` passes it over. */
static int beside(const struct haproxy_config *c, const char *end, char out[PATH_MAX], struct err *err)
{
	const size_t nfolder = (size_t)(strrchr(c->file, '/') - c->file) + 1;
	const int n = snprintf(out, PATH_MAX, "%.*s.%s.%s", (int)nfolder, c->file, c->file + nfolder, end);

	return n < 0 || n >= PATH_MAX ? err_set(err, ERR_CONFIG, "the path is too long") : 0;
}

bool haproxy_config_changed(const struct haproxy_config *c)
{
	return c->text.n != c->old.n || memcmp(c->text.p, c->old.p, c->old.n) != 0;
}

int haproxy_config_check(const struct haproxy_config *c, struct err *err) { return check(c, c->file, err); }

int haproxy_config_commit(struct haproxy_config *c, struct err *err)
{
	char file[PATH_MAX];

	if (buf_ok(&c->text, err) < 0)
		return -1;
	if (!haproxy_config_changed(c))
		return 0;
	if (beside(c, "as-lb", file, err) < 0)
		return -1;
	int rc = lb_file_write(file, &c->text, &c->st, err);
	if (rc == 0)
		rc = check(c, file, err);
	if (rc == 0 && !is_unchanged(c))
		rc = err_set(err, ERR_TEMPORARY, "somebody else wrote it meanwhile");
	if (rc == 0)
		return lb_file_rename(file, c->file, err);
	(void)unlink(file);
	return rc;
}

int haproxy_config_put_back(struct haproxy_config *c, struct err *err)
{
	char file[PATH_MAX];

	if (!haproxy_config_changed(c))
		return 0;
	if (beside(c, "as-lb", file, err) < 0 || lb_file_write(file, &c->old, &c->st, err) < 0)
		return -1;
	return lb_file_rename(file, c->file, err);
}

int haproxy_config_try(const struct haproxy_config *c, struct err *err)
{
	char file[PATH_MAX], lock[PATH_MAX + 8];

	(void)snprintf(lock, sizeof lock, "%s.lock", c->file);
	if (lb_file_may_lock(lock, err) < 0 || beside(c, "as-lb-try", file, err) < 0 ||
	    lb_file_write(file, &c->old, &c->st, err) < 0)
		return -1;
	(void)unlink(file);
	return 0;
}

bool haproxy_config_pending(const struct haproxy_config *c)
{
	char file[PATH_MAX];
	struct err ignored;

	return beside(c, "as-lb-reload", file, &ignored) == 0 && access(file, F_OK) == 0;
}

int haproxy_config_set_pending(const struct haproxy_config *c, bool pending, struct err *err)
{
	static const struct buf nothing = BUF_INIT(0);
	char file[PATH_MAX];

	if (beside(c, "as-lb-reload", file, err) < 0)
		return -1;
	return pending ? lb_file_write(file, &nothing, &c->st, err) : lb_file_remove(file, err);
}
