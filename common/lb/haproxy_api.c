#include "lb/haproxy_api.h"

#include "base/clock.h"
#include "base/limits.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/banned.h"

#define CONNECT_MS 2000
#define ANSWER_MS 10000
#define COMMAND_MAX 1024
#define STEP_MS 10

static int dial(const struct haproxy_peer *peer, const char *path, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + CONNECT_MS;
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int saved;

	if (strlen(path) >= sizeof to.sun_path)
		return err_set(err, ERR_CONFIG, "the path %s is longer than a socket's may be", path);
	memcpy(to.sun_path, path, strlen(path) + 1);
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, ERR_TEMPORARY, "socket: %s", strerror(errno));
	for (;;) {
		if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
			return fd;
		saved = errno;
		/* EAGAIN of a unix socket: its queue is full, connect(2). */
		if ((saved != EAGAIN && saved != EINTR) || clock_monotonic_ms() >= deadline)
			break;
		tasks_sleep(peer->tasks, STEP_MS);
	}
	(void)close(fd);
	if (saved == EACCES || saved == EPERM)
		return err_set(err, ERR_DENIED, "cannot connect to %s: %s (run as a user who may write to it)", path,
		               strerror(saved));
	return err_set(err, ERR_UNAVAILABLE,
	               "cannot connect to %s: %s (is HAProxy running, and is `%s` right in [lb \"%s\"]?)", path,
	               strerror(saved), path == peer->conf->socket ? "socket" : "master", peer->conf->name);
}

/* Waits until fd is ready. */
static int await(const struct haproxy_peer *peer, int fd, short events, int64_t deadline, struct err *err)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		const int64_t left = deadline - clock_monotonic_ms();
		const int n = tasks_poll(peer->tasks, &p, 1, left > 0 ? left : 0);
		if (n > 0)
			return 0;
		if (n == 0)
			return err_set(err, ERR_UNAVAILABLE, "HAProxy did not answer within %d s", ANSWER_MS / 1000);
		if (errno != EINTR)
			return err_set(err, ERR_TEMPORARY, "poll: %s", strerror(errno));
	}
}

static int send_line(const struct haproxy_peer *peer, int fd, const char *line, size_t n, int64_t deadline,
                     struct err *err)
{
	while (n) {
		const ssize_t did = send(fd, line, n, MSG_NOSIGNAL);
		if (did >= 0) {
			line += did;
			n -= (size_t)did;
		} else if (errno == EAGAIN) {
			if (await(peer, fd, POLLOUT, deadline, err) < 0)
				return -1;
		} else if (errno != EINTR) {
			return err_set(err, ERR_UNAVAILABLE, "the connection broke: %s", strerror(errno));
		}
	}
	return 0;
}

static int read_answer(const struct haproxy_peer *peer, int fd, struct buf *answer, int64_t deadline, struct err *err)
{
	char block[16384];

	for (;;) {
		const ssize_t n = recv(fd, block, sizeof block, 0);
		if (n > 0) {
			buf_put(answer, block, (size_t)n);
			if (buf_ok(answer, err) < 0)
				return err_prefix(err, "the answer");
			/* Also between two blocks: a peer that sends a byte now and then must not hold us. */
			if (clock_monotonic_ms() >= deadline)
				return err_set(err, ERR_UNAVAILABLE, "the answer did not end within %d s", ANSWER_MS / 1000);
		} else if (n == 0) {
			return 0;
		} else if (errno == EAGAIN) {
			if (await(peer, fd, POLLIN, deadline, err) < 0)
				return -1;
		} else if (errno != EINTR) {
			return err_set(err, ERR_UNAVAILABLE, "the connection broke: %s", strerror(errno));
		}
	}
}

/* One line, and what comes until the end of file, which may be nothing. */
static int converse(const struct haproxy_peer *peer, const char *path, const char *line, size_t n, struct buf *answer,
                    struct err *err)
{
	buf_reset(answer);
	const int fd = dial(peer, path, err);
	if (fd < 0)
		return err_prefix(err, "lb %s", peer->conf->name);
	const int64_t deadline = clock_monotonic_ms() + ANSWER_MS;
	int rc = send_line(peer, fd, line, n, deadline, err);
	/* The master of 2.6 waits for a further command as long as one may come. */
	if (path == peer->conf->master)
		(void)shutdown(fd, SHUT_WR);
	if (rc == 0)
		rc = read_answer(peer, fd, answer, deadline, err);
	(void)close(fd);
	return rc < 0 ? err_prefix(err, "lb %s: %s", peer->conf->name, path) : 0;
}

__attribute__((format(printf, 4, 0))) static int ask(const struct haproxy_peer *peer, struct buf *answer,
                                                     struct err *err, const char *fmt, va_list ap)
{
	char line[COMMAND_MAX];

	const int n = vsnprintf(line, sizeof line - 1, fmt, ap);
	if (n < 0 || (size_t)n >= sizeof line - 1)
		return err_set(err, ERR_LIMIT, "lb %s: the command is too long", peer->conf->name);
	line[n] = '\n';
	if (converse(peer, peer->conf->socket, line, (size_t)n + 1, answer, err) < 0)
		return -1;
	if (!answer->n)
		return err_set(err, ERR_UNAVAILABLE, "lb %s: %s: HAProxy closed the connection without an answer",
		               peer->conf->name, peer->conf->socket);
	return 0;
}

int haproxy_ask(const struct haproxy_peer *peer, struct buf *answer, struct err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	const int rc = ask(peer, answer, err, fmt, ap);
	va_end(ap);
	return rc;
}

int haproxy_master(const struct haproxy_peer *peer, struct buf *answer, struct err *err, const char *fmt, ...)
{
	char line[COMMAND_MAX];
	va_list ap;

	va_start(ap, fmt);
	const int n = vsnprintf(line, sizeof line - 1, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof line - 1)
		return err_set(err, ERR_LIMIT, "lb %s: the command is too long", peer->conf->name);
	line[n] = '\n';
	return converse(peer, peer->conf->master, line, (size_t)n + 1, answer, err);
}

bool haproxy_says(const struct buf *answer, const char *text) { return answer->p && strstr(answer->p, text); }

int haproxy_order(const struct haproxy_peer *peer, const char *backend, struct err *err, const char *fmt, ...)
{
	struct buf answer = BUF_INIT(LB_REPLY_MAX);
	va_list ap;

	va_start(ap, fmt);
	int rc = ask(peer, &answer, err, fmt, ap);
	va_end(ap);
	if (rc == 0 && strspn(answer.p, "\n") != answer.n)
		rc = haproxy_complain(peer, backend, &answer, err);
	buf_release(&answer);
	return rc;
}

#define NO_BACKEND "No such backend: HAProxy's configuration does not have it"

int haproxy_complain(const struct haproxy_peer *peer, const char *backend, const struct buf *answer, struct err *err)
{
	static const struct {
		const char *text;
		enum err_code code;
		const char *advice;
	} known[] = {
		{"No such backend", ERR_NOT_FOUND, NO_BACKEND},
		{"No such proxy", ERR_NOT_FOUND, NO_BACKEND},
		{"Can't find backend", ERR_NOT_FOUND, NO_BACKEND},
		{"No such server", ERR_NOT_FOUND, "the server went away meanwhile"},
		{"dynamic load balancing", ERR_REFUSED,
	     "Backend must use a dynamic load balancing to support dynamic servers: set its `balance` to "
	     "roundrobin, leastconn, first or random, or add `hash-type consistent`"},
		{"Permission denied", ERR_DENIED, "Permission denied: the `stats socket` needs `level admin`"},
		{"Unknown command", ERR_REMOTE, "HAProxy does not know the command; 2.6 or newer is needed"},
	};
	const char *p = answer->p + strspn(answer->p, "\n ");

	if (!backend)
		backend = "-";
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strstr(p, known[i].text))
			return err_set(err, known[i].code, "lb %s: backend %s: %s", peer->conf->name, backend, known[i].advice);
	return err_set(err, ERR_REMOTE, "lb %s: backend %s: HAProxy says: %.*s", peer->conf->name, backend,
	               (int)strcspn(p, "\r\n"), p);
}

/* The end of the cell at *p. A quoted cell loses its quotes; "" inside stands for one. */
static char *cut_cell(char **p, char sep)
{
	char *in = *p, *out;

	if (sep != ',' || *in != '"')
		return in + strcspn(in, sep == ',' ? "," : " ");
	for (in = out = ++*p; *in; in++) {
		if (*in == '"' && *++in != '"')
			break;
		*out++ = *in;
	}
	if (out < in)
		*out = '\0';
	return in;
}

static size_t cut(char *line, char sep, char **cell)
{
	for (size_t n = 0; n < HAPROXY_COLUMNS_MAX;) {
		cell[n] = line;
		char *end = cut_cell(&cell[n++], sep);
		if (!*end)
			return n;
		*end = '\0';
		line = end + 1;
	}
	return HAPROXY_COLUMNS_MAX;
}

/* The next line that is not empty, or NULL. */
static char *next_line(struct haproxy_table *t)
{
	while (t->next) {
		char *line = t->next, *end = strchr(line, '\n');
		t->next = end ? end + 1 : NULL;
		if (end)
			*end = '\0';
		if (*line)
			return line;
	}
	return NULL;
}

/* The number of a column, or nhead. */
static size_t column_of(const struct haproxy_table *t, const char *column)
{
	size_t i = 0;

	while (i < t->nhead && strcmp(t->head[i], column) != 0)
		i++;
	return i;
}

/* Finds the header in t->text and looks that it has the columns (NULL ends them). */
static int open_table(const struct haproxy_peer *peer, const char *backend, struct haproxy_table *t, char sep,
                      const char *const *columns, struct err *err)
{
	char *line;

	if (!haproxy_says(&t->text, "# "))
		return haproxy_complain(peer, backend, &t->text, err);
	t->sep = sep;
	t->next = t->text.p;
	do
		line = next_line(t);
	while (line && strncmp(line, "# ", 2) != 0);
	t->nhead = line ? cut(line + 2, sep, t->head) : 0;
	for (; *columns; columns++)
		if (column_of(t, *columns) == t->nhead)
			return err_set(err, ERR_REMOTE, "lb %s: HAProxy's table has no column %s; 2.6 or newer is needed",
			               peer->conf->name, *columns);
	return 0;
}

int haproxy_servers(const struct haproxy_peer *peer, const char *backend, struct haproxy_table *t, struct err *err)
{
	static const char *const columns[] = {
		"be_name",         "srv_name",    "srv_addr",         "srv_port",        "srv_op_state",
		"srv_admin_state", "srv_uweight", "srv_check_result", "srv_check_state", NULL};

	t->text = (struct buf)BUF_INIT(LB_REPLY_MAX);
	if (haproxy_ask(peer, &t->text, err, "show servers state%s%s", backend ? " " : "", backend ? backend : "") < 0)
		return -1;
	return open_table(peer, backend, t, ' ', columns, err);
}

static const char *const stat_columns[] = {"pxname", "svname", "status",   "qcur", "scur",
                                           "rate",   "rtime",  "lastsess", NULL};

int haproxy_stats(const struct haproxy_peer *peer, const char *backend, struct haproxy_table *t, struct err *err)
{
	t->text = (struct buf)BUF_INIT(LB_REPLY_MAX);
	if (haproxy_ask(peer, &t->text, err, "show stat %s 6 -1", backend ? backend : "-1") < 0)
		return -1;
	return open_table(peer, backend, t, ',', stat_columns, err);
}

int haproxy_stats_of(const struct haproxy_peer *peer, long worker, const char *backend, struct haproxy_table *t,
                     struct err *err)
{
	t->text = (struct buf)BUF_INIT(LB_REPLY_MAX);
	if (haproxy_master(peer, &t->text, err, "@!%ld show stat %s 6 -1", worker, backend) < 0)
		return -1;
	if (!t->text.n)
		return err_set(err, ERR_NOT_FOUND, "lb %s: worker %ld does not answer", peer->conf->name, worker);
	return open_table(peer, backend, t, ',', stat_columns, err);
}

int haproxy_backends_table(const struct haproxy_peer *peer, struct haproxy_table *t, struct err *err)
{
	static const char *const columns[] = {"pxname", NULL};

	t->text = (struct buf)BUF_INIT(LB_REPLY_MAX);
	if (haproxy_ask(peer, &t->text, err, "show stat -1 2 -1") < 0)
		return -1;
	return open_table(peer, NULL, t, ',', columns, err);
}

void haproxy_table_release(struct haproxy_table *t) { buf_release(&t->text); }

bool haproxy_row(struct haproxy_table *t)
{
	char *line = next_line(t);

	t->ncell = line ? cut(line, t->sep, t->cell) : 0;
	return line != NULL;
}

const char *haproxy_cell(const struct haproxy_table *t, const char *column)
{
	const size_t i = column_of(t, column);

	return i < t->nhead && i < t->ncell ? t->cell[i] : "";
}

int64_t haproxy_number(const struct haproxy_table *t, const char *column, int64_t otherwise)
{
	const char *cell = haproxy_cell(t, column);
	char *end;

	errno = 0;
	const long long v = strtoll(cell, &end, 10);
	return end == cell || *end || errno ? otherwise : v;
}
