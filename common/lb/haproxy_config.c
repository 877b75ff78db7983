#include "lb/haproxy_config.h"

#include "base/clock.h"
#include "base/limits.h"
#include "lb/lb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define CHECK_MS 10000 /* `haproxy -c` takes 50 ms, but it resolves the names of servers */

/* One line of the text: [at, at + n) without its newline, [word, word + nword) without white space around it. */
struct line {
	const char *at, *word;
	size_t n, nword;
};

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static bool next_line(const char **at, const char *end, struct line *l)
{
	if (*at == end)
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

/* Does the line begin with these words (of which the last may be followed by more)? */
static bool begins(const struct line *l, const char *first, const char *second)
{
	const size_t n = strlen(first);

	if (l->nword < n || memcmp(l->word, first, n) != 0)
		return false;
	if (l->nword == n)
		return !*second;
	if (!is_blank(l->word[n]))
		return false;
	const char *p = l->word + n, *end = l->word + l->nword;
	while (is_blank(*p)) /* the line does not end in a blank */
		p++;
	const size_t m = strlen(second);
	return (size_t)(end - p) >= m && memcmp(p, second, m) == 0 && (!m || p + m == end || is_blank(p[m]));
}

static bool is_marker(const struct line *l, const char *kind, const char *backend)
{
	char marker[LB_NAME + 16];

	const int n = snprintf(marker, sizeof marker, "# as-lb %s %s", kind, backend);
	return l->nword == (size_t)n && memcmp(l->word, marker, l->nword) == 0;
}

static bool is_our_server(const struct line *l)
{
	char name[LB_NAME];

	if (!begins(l, "server", ""))
		return false;
	const char *p = l->word + strlen("server"), *end = l->word + l->nword;
	while (p < end && is_blank(*p))
		p++;
	size_t n = 0;
	while (p + n < end && !is_blank(p[n]))
		n++;
	if (n >= sizeof name)
		return false;
	memcpy(name, p, n);
	name[n] = '\0';
	return lb_is_ours(name);
}

/* Finds the block. A marker copied into another section would, at the next reload, put these servers behind another
 * service: hence the look at the section. */
static int find_block(struct haproxy_config *c, const char *backend, struct err *err)
{
	const char *at = c->text.p, *end = c->text.p + c->text.n;
	bool inside = false, section = false;
	struct line l;

	while (at && next_line(&at, end, &l)) {
		if (begins(&l, "backend", "") || begins(&l, "listen", ""))
			section = begins(&l, "backend", backend) || begins(&l, "listen", backend);
		if (is_marker(&l, "begin", backend)) {
			if (c->marked)
				return err_set(err, ERR_CONFIG, "%s has two blocks `# as-lb begin %s`", c->file, backend);
			if (!section)
				return err_set(err, ERR_CONFIG, "%s: `# as-lb begin %s` is not in that backend", c->file, backend);
			c->marked = inside = true;
			c->from = (size_t)(at - c->text.p);
			c->indent = (size_t)(l.at - c->text.p);
			c->nindent = (size_t)(l.word - l.at);
		} else if (inside && is_marker(&l, "end", backend)) {
			inside = false;
			c->to = (size_t)(l.at - c->text.p);
		} else if (inside && (begins(&l, "#", "as-lb") || begins(&l, "backend", "") || begins(&l, "listen", ""))) {
			break;
		}
	}
	if (inside)
		return err_set(err, ERR_CONFIG, "%s: `# as-lb begin %s` has no end", c->file, backend);
	return 0;
}

int haproxy_config_open(struct haproxy_config *c, struct tasks *tasks, const char *path, const char *backend,
                        struct err *err)
{
	char lock[PATH_MAX + 8];

	*c = (struct haproxy_config){.tasks = tasks, .lock = -1, .text = BUF_INIT(DOCUMENT_MAX)};
	if (!realpath(path, c->file))
		return err_set(err, ERR_DENIED, "cannot find %s: %s", path, strerror(errno));
	(void)snprintf(lock, sizeof lock, "%s.lock", c->file);
	c->lock = lb_file_lock(tasks, lock, err);
	if (c->lock < 0 || lb_file_read(c->file, &c->text, &c->st, err) < 0)
		return -1;
	return find_block(c, backend, err);
}

void haproxy_config_close(struct haproxy_config *c)
{
	if (c->lock >= 0)
		(void)close(c->lock);
	c->lock = -1;
	buf_release(&c->text);
}

/* The file with the block replaced. Foreign lines of the block come first, in their order. */
static void render(const struct haproxy_config *c, char *const *lines, size_t n, struct buf *out)
{
	const char *at = c->text.p + c->from, *end = c->text.p + c->to;
	struct line l;

	buf_put(out, c->text.p, c->from);
	while (next_line(&at, end, &l))
		if (!is_our_server(&l))
			buf_put(out, l.at, (size_t)(at - l.at));
	for (size_t i = 0; i < n; i++) {
		buf_put(out, c->text.p + c->indent, c->nindent);
		buf_puts(out, lines[i]);
		buf_putc(out, '\n');
	}
	buf_put(out, c->text.p + c->to, c->text.n - c->to);
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

int haproxy_config_write(const struct haproxy_config *c, char *const *lines, size_t n, struct err *err)
{
	struct buf text = BUF_INIT(DOCUMENT_MAX);
	const size_t nfolder = (size_t)(strrchr(c->file, '/') - c->file) + 1;
	char file[PATH_MAX];
	int rc = -1;

	render(c, lines, n, &text);
	if (buf_ok(&text, err) < 0)
		goto out;
	if (text.n == c->text.n && memcmp(text.p, c->text.p, text.n) == 0) {
		rc = 0;
		goto out;
	}
	/* A leading dot and no .cfg at the end: HAProxy's `-f FOLDER` passes it over. */
	const int len = snprintf(file, sizeof file, "%.*s.%s.as-lb", (int)nfolder, c->file, c->file + nfolder);
	if (len < 0 || (size_t)len >= sizeof file) {
		err_set(err, ERR_CONFIG, "the path is too long");
		goto out;
	}
	rc = lb_file_write(file, &text, &c->st, err);
	if (rc == 0)
		rc = check(c, file, err);
	if (rc == 0 && !is_unchanged(c))
		rc = err_set(err, ERR_TEMPORARY, "somebody else wrote it meanwhile");
	if (rc == 0)
		rc = lb_file_rename(file, c->file, err);
	else
		(void)unlink(file);
out:
	buf_release(&text);
	return rc;
}
