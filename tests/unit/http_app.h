/* What tests of a load balancer share: small HTTP servers to put behind it, and clients that count every failure. All
 * are child processes on loopback which die with the test. Counters live in memory that all of them share. */
#ifndef TESTS_UNIT_HTTP_APP_H
#define TESTS_UNIT_HTTP_APP_H

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define APPS_MAX 8
#define CLIENTS 8

struct app_shared {
	atomic_long hits[APPS_MAX]; /* requests for anything but "/", which is what health checks ask for */
	atomic_long good, bad;
	atomic_bool stop;
	atomic_long status, ended_ms; /* of app_later() */
};

static struct app_shared *app_shared;

static inline void app_init(void)
{
	void *p = mmap(NULL, sizeof *app_shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	app_shared = p;
}

/* fork() whose child ends with the test. */
static inline pid_t app_fork(void)
{
	const pid_t parent = getpid();

	(void)fflush(NULL);
	const pid_t pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
		_exit(1);
	return pid;
}

static inline int app_reap(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* --- servers --- */

struct app {
	int number; /* its place in hits, and its answer */
	int fd;
	unsigned port;
	pid_t pid;
};

struct app_conn {
	int fd;
	int64_t due; /* when to answer; 0: nothing to answer */
	bool last;
	size_t n;
	char in[2048];
};

static inline void app_answer(struct app_conn *c, int number)
{
	char out[128];
	const int n = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\n%d\n",
	                       c->last ? "Connection: close\r\n" : "", number);

	c->due = 0;
	c->n = 0;
	if (send(c->fd, out, (size_t)n, MSG_NOSIGNAL) == n && !c->last)
		return;
	(void)close(c->fd);
	c->fd = -1;
}

/* "POST /wait/3000 ..." is answered after 3 s. */
static inline void app_read(struct app_conn *c, int number)
{
	const ssize_t got = recv(c->fd, c->in + c->n, sizeof c->in - 1 - c->n, 0);

	if (got <= 0) {
		(void)close(c->fd);
		c->fd = -1;
		c->due = 0;
		return;
	}
	c->n += (size_t)got;
	c->in[c->n] = '\0';
	const char *end = strstr(c->in, "\r\n\r\n");
	if (!end || c->due)
		return;
	const char *length = strcasestr(c->in, "content-length: ");
	if (length && strlen(end + 4) < strtoul(length + 16, NULL, 10))
		return;
	const char *path = strchr(c->in, ' ') + 1, *wait = strstr(path, "/wait/");
	c->last = strcasestr(c->in, "connection: close") || strstr(c->in, "HTTP/1.0\r\n");
	c->due = clock_monotonic_ms() + (wait ? strtol(wait + 6, NULL, 10) : 0);
	if (strncmp(path, "/ ", 2) != 0)
		atomic_fetch_add(&app_shared->hits[number], 1);
}

static inline void app_loop(const struct app *app)
{
	static struct app_conn conn[256];
	struct pollfd p[257];

	for (size_t i = 0; i < 256; i++)
		conn[i].fd = -1;
	for (;;) {
		int64_t now = clock_monotonic_ms(), next = now + 60000;
		for (size_t i = 0; i < 256; i++) {
			if (conn[i].due && conn[i].due <= now)
				app_answer(&conn[i], app->number);
			if (conn[i].due && conn[i].due < next)
				next = conn[i].due;
			p[i] = (struct pollfd){.fd = conn[i].fd, .events = POLLIN};
		}
		p[256] = (struct pollfd){.fd = app->fd, .events = POLLIN};
		if (poll(p, 257, (int)(next - now)) < 0)
			continue;
		for (size_t i = 0; i < 256; i++)
			if (p[i].revents)
				app_read(&conn[i], app->number);
		size_t free = 0;
		while (free < 256 && conn[free].fd >= 0)
			free++;
		if (p[256].revents && free < 256)
			conn[free] = (struct app_conn){.fd = accept(app->fd, NULL, NULL)};
	}
}

/* A port that is bound, so that it stays ours, but refuses connections until app_start(). */
static inline struct app app_bind(int number)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct app app = {.number = number, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	socklen_t n = sizeof a;

	if (app.fd < 0 || bind(app.fd, (struct sockaddr *)&a, n) < 0 || getsockname(app.fd, (struct sockaddr *)&a, &n) < 0)
		abort();
	app.port = ntohs(a.sin_port);
	return app;
}

static inline void app_start(struct app *app, int64_t after_ms)
{
	if (!after_ms && listen(app->fd, 1024) < 0)
		abort();
	app->pid = app_fork();
	if (app->pid)
		return;
	clock_sleep_ms(after_ms);
	(void)listen(app->fd, 1024);
	app_loop(app);
}

static inline void app_stop(struct app *app)
{
	if (app->pid > 0 && kill(app->pid, SIGKILL) == 0)
		(void)app_reap(app->pid);
	(void)close(app->fd);
	app->pid = 0;
}

/* --- clients --- */

static inline int app_connect(unsigned port)
{
	const struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct timeval limit = {.tv_sec = 70};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (connect(fd, (const struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

/* One request on fd: the status, or 0 when no complete answer came. *number: the server's. */
static inline int app_request(int fd, const char *method, const char *path, bool last, int *number)
{
	char text[2048];
	size_t n = 0;
	ssize_t got;

	const int len = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n%s\r\nhello", method,
	                         path, last ? "Connection: close\r\n" : "");
	if (send(fd, text, (size_t)len, MSG_NOSIGNAL) != len)
		return 0;
	while ((got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0) {
		n += (size_t)got;
		text[n] = '\0';
		const char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length: ");
		if (!body || (length && strlen(body + 4) < strtoul(length + 16, NULL, 10)))
			continue;
		if (number)
			*number = (int)strtol(body + 4, NULL, 10);
		return strncmp(text, "HTTP/1.1 ", 9) == 0 ? (int)strtol(text + 9, NULL, 10) : 0;
	}
	return 0;
}

/* A GET on a connection of its own. */
static inline int app_get(unsigned port, const char *path, int *number)
{
	const int fd = app_connect(port);

	if (fd < 0)
		return 0;
	const int status = app_request(fd, "GET", path, true, number);
	(void)close(fd);
	return status;
}

/* A GET in the background; when the pid has ended, status and ended_ms are there. */
static inline pid_t app_later(unsigned port, const char *path)
{
	atomic_store(&app_shared->status, -1);
	const pid_t pid = app_fork();
	if (pid)
		return pid;
	const int status = app_get(port, path, NULL);
	atomic_store(&app_shared->ended_ms, clock_monotonic_ms());
	atomic_store(&app_shared->status, status);
	_exit(0);
}

/* Clients that POST about 350 times a second together until load_stop(). Anything but a whole 200 is bad, also a kept
 * connection that is closed in their face. */
struct load {
	pid_t pid[CLIENTS];
};

static inline void load_client(unsigned port, bool keep)
{
	int fd = -1;

	while (!atomic_load(&app_shared->stop)) {
		if (fd < 0)
			fd = app_connect(port);
		const bool good = fd >= 0 && app_request(fd, "POST", "/x", !keep, NULL) == 200;
		atomic_fetch_add(good ? &app_shared->good : &app_shared->bad, 1);
		if (fd >= 0 && (!keep || !good)) {
			(void)close(fd);
			fd = -1;
		}
		clock_sleep_ms(20);
	}
	_exit(0);
}

static inline struct load load_start(unsigned port, bool keep)
{
	struct load load;

	atomic_store(&app_shared->stop, false);
	atomic_store(&app_shared->good, 0);
	atomic_store(&app_shared->bad, 0);
	for (int i = 0; i < CLIENTS; i++) {
		load.pid[i] = app_fork();
		if (load.pid[i] == 0)
			load_client(port, keep);
	}
	return load;
}

static inline void load_stop(const struct load *load)
{
	atomic_store(&app_shared->stop, true);
	for (int i = 0; i < CLIENTS; i++)
		(void)app_reap(load->pid[i]);
	printf("# %ld requests answered, %ld not\n", (long)atomic_load(&app_shared->good),
	       (long)atomic_load(&app_shared->bad));
}

#endif
