#include "lb/haproxy_config.h"

#include "base/clock.h"
#include "base/limits.h"
#include "lb/lb.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/banned.h"

#define LOCK_MS 10000
#define CHECK_MS 10000 /* `haproxy -c` takes 50 ms, but it resolves the names of servers */
#define STEP_MS 5

extern char **environ;

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

static int take_lock(struct haproxy_config *c, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + LOCK_MS;
	char path[PATH_MAX + 8];

	(void)snprintf(path, sizeof path, "%s.lock", c->file);
	c->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (c->lock < 0)
		return err_set(err, ERR_DENIED, "cannot open %s: %s", path, strerror(errno));
	while (flock(c->lock, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_set(err, ERR_TEMPORARY, "cannot lock %s: %s", path, strerror(errno));
		if (clock_monotonic_ms() >= deadline)
			return err_set(err, ERR_TEMPORARY, "%s is locked for more than %d s", path, LOCK_MS / 1000);
		clock_sleep_ms(STEP_MS);
	}
	return 0;
}

static int read_file(struct haproxy_config *c, struct err *err)
{
	char block[16384];
	ssize_t n;

	const int fd = open(c->file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_DENIED, "cannot read %s: %s", c->file, strerror(errno));
	while ((n = read(fd, block, sizeof block)) > 0)
		buf_put(&c->text, block, (size_t)n);
	if (n == 0)
		n = fstat(fd, &c->st);
	const int saved = errno;
	(void)close(fd);
	if (n < 0)
		return err_set(err, ERR_DENIED, "cannot read %s: %s", c->file, strerror(saved));
	if (buf_ok(&c->text, err) < 0)
		return err_prefix(err, "%s", c->file);
	return 0;
}

int haproxy_config_open(struct haproxy_config *c, const char *path, const char *backend, struct err *err)
{
	*c = (struct haproxy_config){.lock = -1, .text = BUF_INIT(DOCUMENT_MAX)};
	if (!realpath(path, c->file))
		return err_set(err, ERR_DENIED, "cannot find %s: %s", path, strerror(errno));
	if (take_lock(c, err) < 0 || read_file(c, err) < 0)
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

/* Starts `haproxy -c -f FILE` with its errors into a file (-q would drop them). cron's PATH has no sbin. 0, or an
 * errno. */
static int spawn_check(const char *file, int errors, pid_t *pid)
{
	static const char *const programs[] = {"haproxy", "/usr/sbin/haproxy", "/usr/local/sbin/haproxy"};
	char a0[] = "haproxy", a1[] = "-c", a2[] = "-f", a3[PATH_MAX];
	char *const argv[] = {a0, a1, a2, a3, NULL};
	posix_spawn_file_actions_t files;

	(void)snprintf(a3, sizeof a3, "%s", file);
	int rc = posix_spawn_file_actions_init(&files);
	if (rc)
		return rc;
	rc = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDWR, 0);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&files, STDIN_FILENO, STDOUT_FILENO);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&files, errors, STDERR_FILENO);
	if (!rc) {
		rc = ENOENT;
		for (size_t i = 0; i < sizeof programs / sizeof *programs && rc == ENOENT; i++)
			rc = posix_spawnp(pid, programs[i], &files, NULL, argv, environ);
	}
	(void)posix_spawn_file_actions_destroy(&files);
	return rc;
}

/* Waits for the child; its wait status, or -1. */
static int wait_check(pid_t pid, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + CHECK_MS;
	int status = 0;
	pid_t got;

	while ((got = waitpid(pid, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
		if (clock_monotonic_ms() >= deadline) {
			(void)kill(pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
			return err_set(err, ERR_TEMPORARY, "haproxy -c took more than %d s", CHECK_MS / 1000);
		}
		clock_sleep_ms(STEP_MS);
	}
	if (got < 0)
		return err_set(err, ERR_TEMPORARY, "cannot wait for haproxy -c: %s", strerror(errno));
	return status;
}

/* What HAProxy has against it, from its first line such as
 * "[ALERT]    (7) : config : parsing [/etc/haproxy/.haproxy.cfg.as-lb:4] : unknown keyword 'foo' in 'backend' section".
 * Not the place: it means the new file. */
static int complain(const struct haproxy_config *c, int errors, struct err *err)
{
	char text[4096];

	const ssize_t n = pread(errors, text, sizeof text - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	char *line = strstr(text, "[ALERT]");
	if (!line)
		return err_set(err, ERR_REFUSED, "haproxy -c refuses %s", c->file);
	line[strcspn(line, "\n")] = '\0';
	const char *parsing = strstr(line, "] : "), *why = strstr(line, "config : ");
	why = parsing ? parsing + 4 : why ? why + 9 : line;
	return err_set(err, ERR_REFUSED, "haproxy -c refuses %s: %s", c->file, why);
}

static int check(const struct haproxy_config *c, const char *file, struct err *err)
{
	pid_t pid = 0;
	int rc = -1;

	const int errors = memfd_create("haproxy -c", MFD_CLOEXEC);
	if (errors < 0)
		return err_set(err, ERR_TEMPORARY, "memfd_create: %s", strerror(errno));
	const int no = spawn_check(file, errors, &pid);
	if (no == ENOENT) {
		rc = 0; /* HAProxy runs elsewhere, such as in a container that shares the folder */
	} else if (no) {
		err_set(err, ERR_TEMPORARY, "cannot start haproxy -c: %s", strerror(no));
	} else {
		const int status = wait_check(pid, err);
		/* 2: no error, but no listener either, which is how a part of a configuration in several files looks. */
		if (status >= 0 && WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2))
			rc = 0;
		else if (status >= 0)
			complain(c, errors, err);
	}
	(void)close(errors);
	return rc;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		const ssize_t did = write(fd, p, n);
		if (did < 0 && errno == EINTR)
			continue;
		if (did <= 0)
			return -1;
		p += did;
		n -= (size_t)did;
	}
	return 0;
}

/* A file of these bytes with the mode and owner of c->file. */
static int write_temporary(const struct haproxy_config *c, const char *file, const struct buf *text, struct err *err)
{
	(void)unlink(file); /* left by a run that was killed; the lock is ours */
	const int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(err, ERR_DENIED, "cannot create %s: %s", file, strerror(errno));
	const bool good = write_all(fd, text->p, text->n) == 0 && fchown(fd, c->st.st_uid, c->st.st_gid) == 0 &&
	                  fchmod(fd, c->st.st_mode & 07777) == 0 && fsync(fd) == 0;
	if (!good)
		err_set(err, ERR_OUTPUT, "cannot write %s: %s", file, strerror(errno));
	if (close(fd) < 0 && good)
		return err_set(err, ERR_OUTPUT, "cannot write %s: %s", file, strerror(errno));
	return good ? 0 : -1;
}

static bool is_unchanged(const struct haproxy_config *c)
{
	struct stat st;

	return stat(c->file, &st) == 0 && st.st_ino == c->st.st_ino && st.st_size == c->st.st_size &&
	       st.st_mtim.tv_sec == c->st.st_mtim.tv_sec && st.st_mtim.tv_nsec == c->st.st_mtim.tv_nsec;
}

/* The rename is done when the folder is synced; a failure of that only means a later moment. */
static void sync_folder(const char *file, size_t nfolder)
{
	char folder[PATH_MAX];

	(void)snprintf(folder, sizeof folder, "%.*s", (int)nfolder, file);
	const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)fsync(fd);
	(void)close(fd);
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
	rc = write_temporary(c, file, &text, err);
	if (rc == 0)
		rc = check(c, file, err);
	if (rc == 0 && !is_unchanged(c))
		rc = err_set(err, ERR_TEMPORARY, "somebody else wrote it meanwhile");
	if (rc == 0 && (rc = rename(file, c->file)) < 0)
		err_set(err, ERR_OUTPUT, "cannot rename %s: %s", file, strerror(errno));
	if (rc == 0)
		sync_folder(c->file, nfolder);
	else
		(void)unlink(file);
out:
	buf_release(&text);
	return rc;
}
