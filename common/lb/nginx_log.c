/* Counters from nginx's access log, for nginx itself counts nothing per server. The lines are those of
 *
 *     log_format as '$msec $upstream_addr $upstream_response_time $status';
 *
 * With retries or internal redirects the second and third are lists: "A, B 0.001, 0.006", "A : B - : 0.006". */
#include "lb/nginx.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define BLOCK (64u * 1024u)
#define WORDS 64

/* What one backend has had since its first look. A server that is gone may still have lines to come. */
struct total {
	char backend[LB_NAME];
	char (*places)[LB_PLACE];
	size_t n;
	int64_t requests, errors, time_us;
};

struct nginx_log {
	int fd; /* the file, also when it has been renamed since */
	struct stat st;
	off_t at;
	struct total *totals;
	size_t n;
};

void nginx_log_free(struct nginx_log *log)
{
	if (!log)
		return;
	if (log->fd >= 0)
		(void)close(log->fd);
	for (size_t i = 0; i < log->n; i++)
		free(log->totals[i].places);
	free(log->totals);
	free(log);
}

/* ---- whose a line is ---- */

static int add_place(struct total *t, const char *at, struct err *err)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->places[i], at) == 0)
			return 0;
	char(*more)[LB_PLACE] = realloc(t->places, (t->n + 1) * sizeof *more);
	if (!more)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	t->places = more;
	(void)snprintf(more[t->n++], sizeof *more, "%s", at);
	return 0;
}

static struct total *total_of(struct nginx_log *log, const struct filed *f, struct err *err)
{
	struct total *t = NULL;
	char at[LB_PLACE];

	for (size_t i = 0; i < log->n && !t; i++)
		if (strcmp(log->totals[i].backend, f->backend) == 0)
			t = &log->totals[i];
	if (!t) {
		struct total *more = realloc(log->totals, (log->n + 1) * sizeof *more);
		if (!more) {
			err_set(err, ERR_TEMPORARY, "out of memory");
			return NULL;
		}
		log->totals = more;
		t = &more[log->n++];
		*t = (struct total){.requests = 0};
		(void)snprintf(t->backend, sizeof t->backend, "%s", f->backend);
	}
	for (size_t i = 0; i < f->list.n; i++) {
		lb_place(&f->list.v[i], at);
		if (add_place(t, at, err) < 0)
			return NULL;
	}
	return t;
}

/* nginx names the upstream itself where it has no server that could be asked. */
static bool is_of(const struct total *t, const char *at)
{
	if (strcmp(at, t->backend) == 0)
		return true;
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->places[i], at) == 0)
			return true;
	return false;
}

/* "0.006": microseconds; "-": 0. */
static int64_t micro(const char *s)
{
	struct jv v = {s, strlen(s)};
	int64_t us;

	return jv_micro(v, &us) && us >= 0 ? us : 0;
}

static void count_line(struct nginx_log *log, char *line)
{
	char *words[WORDS], *rest = NULL;
	size_t n = 0;
	int64_t us = 0;

	for (char *w = strtok_r(line, " ,", &rest); w; w = strtok_r(NULL, " ,", &rest)) {
		if (strcmp(w, ":") == 0)
			continue;
		if (n == WORDS)
			return;
		words[n++] = w;
	}
	if (n < 4 || n % 2)
		return;
	const size_t tries = (n - 2) / 2; /* addresses, then as many times */
	for (size_t i = 0; i < tries; i++)
		us += micro(words[1 + tries + i]);
	for (size_t i = 0; i < log->n; i++) {
		struct total *t = &log->totals[i];
		if (!is_of(t, words[tries])) /* the last one asked */
			continue;
		t->requests++;
		t->errors += words[n - 1][0] == '5';
		t->time_us += us;
	}
}

/* ---- reading on ---- */

/* Whole lines from where it was left off; the start of one that is still being written is left. */
static int read_on(struct nginx_log *log, struct buf *block)
{
	ssize_t got;

	buf_reset(block);
	for (off_t from = log->at;; from += got) {
		char part[4096], *line, *end;
		got = pread(log->fd, part, sizeof part, from);
		if (got <= 0)
			return got < 0 && errno != EINTR ? -1 : 0;
		buf_put(block, part, (size_t)got);
		for (line = block->p; line && (end = memchr(line, '\n', block->n - (size_t)(line - block->p)));
		     line = end + 1) {
			*end = '\0';
			count_line(log, line);
			log->at += end + 1 - line;
		}
		if (line)
			buf_drop_front(block, (size_t)(line - block->p));
		if (block->n > BLOCK / 2 || block->failed) { /* a line without end is none */
			log->at += (off_t)block->n;
			buf_reset(block);
		}
	}
}

static int open_log(struct nginx_log *log, const char *path)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &log->st) < 0 || !S_ISREG(log->st.st_mode)) {
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	if (log->fd >= 0)
		(void)close(log->fd);
	log->fd = fd;
	log->at = 0;
	return 0;
}

static int follow(struct nginx_log *log, const char *path)
{
	struct buf block = BUF_INIT(BLOCK);
	struct stat st;

	if (fstat(log->fd, &st) == 0 && st.st_size < log->at)
		log->at = 0; /* it was cut: copytruncate */
	int rc = read_on(log, &block);
	/* A new file under its name; nginx writes to it once it was told to, and until then to the old one. */
	if (rc == 0 && stat(path, &st) == 0 && (st.st_ino != log->st.st_ino || st.st_dev != log->st.st_dev) && st.st_size) {
		rc = read_on(log, &block);
		if (rc == 0 && (rc = open_log(log, path)) == 0)
			rc = read_on(log, &block);
	}
	buf_release(&block);
	return rc;
}

/* The files' backends are those whose lines count from now on; then all lines that were added are counted. */
static int read_log(struct lb *lb, const struct filed *files, size_t n, struct err *err)
{
	const char *path = lb->conf->log;
	struct nginx_log *log = lb->log;
	int rc = 0;

	if (!log) {
		if (!(log = calloc(1, sizeof *log)))
			return err_set(err, ERR_TEMPORARY, "out of memory");
		log->fd = -1;
		if ((rc = open_log(log, path)) == 0) {
			log->at = log->st.st_size;
			lb->log = log;
		} else {
			nginx_log_free(log);
		}
	}
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (!total_of(log, &files[i], err))
			return -1;
	if (rc == 0)
		rc = follow(log, path);
	if (rc < 0)
		return err_set(err, ERR_CONFIG, "lb %s: cannot read nginx's access log %s: %s", lb->conf->name, path,
		               strerror(errno));
	return 0;
}

int nginx_counters(struct lb *lb, const struct filed *files, size_t n, struct lb_stats *const *out, struct err *err)
{
	if (!lb->conf->log)
		return 0;
	if (read_log(lb, files, n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const struct total *t = total_of(lb->log, &files[i], err);
		if (!t)
			return -1;
		out[i]->requests = t->requests;
		out[i]->errors = t->errors;
		out[i]->time_us = t->time_us;
	}
	return 0;
}
