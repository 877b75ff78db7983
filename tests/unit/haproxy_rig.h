/* What tests of the driver haproxy share: a real one of tests/rig, its files and sockets without the driver, and verbs
 * that keep what they said. `eval "$(tests/rig/up haproxy)"` first. */
#ifndef TESTS_UNIT_HAPROXY_RIG_H
#define TESTS_UNIT_HAPROXY_RIG_H

#include "lb/lb.h"
#include "tests/unit/files.h"
#include "tests/unit/http_app.h"
#include "tests/unit/tap.h"

#include "base/clock.h"

#include <ftw.h>
#include <sys/stat.h>
#include <sys/un.h>

#define GATE 5000
#define WAIT 5000
#define PATH_SIZE 96 /* less than a socket's path may have */

static char folder[64];
static struct conf_lb edge = {.name = (char[]){"edge"}, .driver = (char[]){"haproxy"}};
static const struct lb_means alone;
static struct lb *lb;
static const char *config; /* the rig's haproxy.cfg */
static unsigned front;     /* its port */
static struct app apps[4]; /* 0 to 2 answer */

/* ---- helpers ---- */

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static inline char *path_in(char out[PATH_SIZE], const char *name)
{
	(void)snprintf(out, PATH_SIZE, "%s/%s", folder, name);
	return out;
}

static inline void write_all(const char *path, const char *text, mode_t mode)
{
	write_text(path, text);
	if (chmod(path, mode) < 0)
		abort();
}

static inline int listen_unix(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 64) < 0)
		abort();
	return fd;
}

static inline int connections_waiting(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n = 0;

	while (poll(&p, 1, 0) > 0) {
		(void)close(accept(fd, NULL, NULL));
		n++;
	}
	return n;
}

/* One command to a Runtime API socket, without the driver. Good until the next call. */
static inline char *tell(const char *socket_path, const char *command)
{
	static char answer[1 << 20];
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s", socket_path);
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	answer[0] = '\0';
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && dprintf(fd, "%s\n", command) > 0) {
		ssize_t got;
		for (size_t n = 0; n < sizeof answer - 1 && (got = recv(fd, answer + n, sizeof answer - 1 - n, 0)) > 0;)
			answer[n += (size_t)got] = '\0';
	}
	if (fd >= 0)
		(void)close(fd);
	return answer;
}

static inline char *tell_edge(const char *command) { return tell(edge.socket, command); }

static inline long worker_pid(void)
{
	const char *line = strstr(tell_edge("show info"), "\nPid: ");

	return line ? strtol(line + 6, NULL, 10) : -1;
}

static inline int open_files(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static inline int count(const char *text, const char *word)
{
	int n = 0;

	for (; text && (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

/* The sum of a column of `show stat`. */
static inline long stat_sum(const char *csv, const char *column)
{
	const char *at = csv + strspn(csv, "# \n");
	const size_t n = strlen(column);
	int want = 0;
	long sum = 0;

	for (; *at && *at != '\n' && !(strncmp(at, column, n) == 0 && at[n] == ','); want++)
		at += strcspn(at, ",\n") + 1;
	while ((at = strchr(at, '\n')) && *++at && *at != '\n') {
		const char *cell = at;
		for (int i = 0; i < want; i++)
			cell += strcspn(cell, ",") + 1;
		sum += strtol(cell, NULL, 10);
	}
	return sum;
}

/* A server of the toolkit's kind: the same number gives the same name. */
static inline struct lb_server server(unsigned number, unsigned port)
{
	struct lb_server s = {.address = "127.0.0.1", .port = port, .weight = 100};

	(void)snprintf(s.name, sizeof s.name, "as-%012x", number);
	return s;
}

static struct err err;
static struct lb_result result;
static int64_t took; /* ms, of the last verb */

static inline int attach_to(const char *backend, unsigned number, unsigned port, int64_t gate_ms)
{
	const struct lb_server s = server(number, port);
	const int64_t start = clock_monotonic_ms();

	err = (struct err){0};
	const int rc = lb_haproxy.attach(lb, backend, &s, gate_ms, &result, &err);
	took = clock_monotonic_ms() - start;
	return rc;
}

static inline int attach(unsigned number, unsigned port) { return attach_to("web", number, port, GATE); }

static inline int drain(unsigned number, int64_t wait_ms)
{
	const struct lb_server s = server(number, 1);
	const int64_t start = clock_monotonic_ms();

	err = (struct err){0};
	const int rc = lb_haproxy.drain(lb, "web", s.name, wait_ms, &result, &err);
	took = clock_monotonic_ms() - start;
	return rc;
}

static inline int detach_from(const char *backend, unsigned number, int64_t wait_ms)
{
	const struct lb_server s = server(number, 1);
	const int64_t start = clock_monotonic_ms();

	err = (struct err){0};
	const int rc = lb_haproxy.detach(lb, backend, s.name, wait_ms, &result, &err);
	took = clock_monotonic_ms() - start;
	return rc;
}

static inline int detach(unsigned number) { return detach_from("web", number, WAIT); }

/* Servers of a backend in this state; -1: the list failed. */
static inline int listed_in(const char *backend, enum lb_state state)
{
	struct lb_list list;
	int n = 0;

	if (lb_haproxy.list(lb, backend, &list, &err) < 0)
		return -1;
	for (size_t i = 0; i < list.n; i++)
		n += list.v[i].state == state;
	if ((size_t)n != list.n)
		n += 1000; /* the others must not be there */
	lb_list_release(&list);
	return n;
}

static inline int listed(void) { return listed_in("web", LB_UP); }

static inline void done(int rc, const char *name)
{
	if (!OK(rc == 0, "%s", name))
		printf("# %s\n", err.message);
}

/* What a test needs or cleans up, and does not test: heard of only when it fails. */
static inline void must(int rc)
{
	if (rc != 0)
		done(rc, "a step between the tests");
}

static inline void failed(int rc, enum err_code code, const char *words, const char *name)
{
	if (!OK(rc < 0 && err.code == code && strstr(err.message, words), "%s", name))
		printf("# rc %d, %s: %s\n", rc, err_name(err.code), err.message);
}

static inline void within(int64_t from, int64_t to, const char *name)
{
	if (!OK(took >= from && took <= to, "%s", name))
		printf("# %lld ms\n", (long long)took);
}

/* ---- backends and routes ---- */

static char original[32768]; /* the rig's configuration */

/* A GET for a host: the status, and the server's number. */
static inline int get(const char *host, const char *path, int *number)
{
	char text[2048];
	size_t n = 0;
	ssize_t got;

	const int fd = app_connect(front);
	const int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);
	if (fd < 0 || send(fd, text, (size_t)len, MSG_NOSIGNAL) != len)
		return 0;
	while (n < sizeof text - 1 && (got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	(void)close(fd);
	const char *body = strstr(text, "\r\n\r\n");
	if (number)
		*number = body ? (int)strtol(body + 4, NULL, 10) : -1;
	return strncmp(text, "HTTP/1.", 7) == 0 ? (int)strtol(text + 9, NULL, 10) : 0;
}

/* Which server answers; -1: none. */
static inline int server_for(const char *host, const char *path)
{
	int number = -1;

	return get(host, path, &number) == 200 ? number : -1;
}

static inline int ensure_by(struct lb *by, const char *backend, const char *rule, const char *check)
{
	struct rule r = {.n = 0};
	struct lb_route route = {.rule = &r};

	err = (struct err){0};
	(void)snprintf(route.check, sizeof route.check, "%s", check);
	if (rule && *rule && rule_parse(rule, &r, &err) < 0)
		abort();
	return lb_haproxy.ensure(by, backend, rule ? &route : NULL, &result, &err);
}

static inline int ensure(const char *backend, const char *rule) { return ensure_by(lb, backend, rule, "/"); }
static inline int forget(const char *backend) { return ensure_by(lb, backend, NULL, ""); }

/* Reloads that the master began, by its own count. */
static inline long reloads(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char text[4096];
	size_t n = 0;
	ssize_t got;

	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s", edge.master);
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0 || dprintf(fd, "show proc\n") < 0 || shutdown(fd, SHUT_WR) < 0)
		abort();
	while (n < sizeof text - 1 && (got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	(void)close(fd);
	const char *master = strstr(text, "master ");
	return master ? strtol(master + 6, NULL, 10) : -1;
}

static inline enum lb_state state_of(const char *backend, unsigned number)
{
	const struct lb_server s = server(number, 1);
	enum lb_state state = (enum lb_state) - 1;
	struct lb_list list;

	if (lb_haproxy.list(lb, backend, &list, &err) < 0)
		return state;
	for (size_t i = 0; i < list.n; i++)
		if (strcmp(list.v[i].name, s.name) == 0)
			state = list.v[i].state;
	lb_list_release(&list);
	return state;
}

static inline bool has_backend(const char *name)
{
	struct lb_names names;
	bool there = false;

	must(lb_haproxy.backends(lb, &names, &err));
	for (size_t i = 0; i < names.n; i++)
		there |= strcmp(names.v[i], name) == 0;
	lb_names_release(&names);
	return there;
}

/* The rig's file says this from now on; HAProxy itself is not told. */
static inline void say(const char *text)
{
	char temporary[256];

	(void)snprintf(temporary, sizeof temporary, "%s.new", config);
	write_all(temporary, text, 0600);
	if (rename(temporary, config) < 0)
		abort();
}

static inline const char *with(const char *line)
{
	static char text[65536];

	(void)snprintf(text, sizeof text, "%s%s", original, line);
	return text;
}

static inline bool is_pending(void)
{
	char path[256];
	const char *slash = strrchr(config, '/');

	(void)snprintf(path, sizeof path, "%.*s/.%s.as-lb-reload", (int)(slash - config), config, slash + 1);
	return access(path, F_OK) == 0;
}

/* The rig, its servers 0 to 2 and a folder; false: there is no rig. */
static inline bool rig_begin(void)
{
	const char *url = getenv("AS_RIG_HAPROXY_URL");

	(void)snprintf(folder, sizeof folder, "/tmp/as-lb-test-XXXXXX");
	if (!mkdtemp(folder))
		abort();
	app_init();
	config = getenv("AS_RIG_HAPROXY_CFG");
	edge.socket = getenv("AS_RIG_HAPROXY_SOCKET");
	if (!url || !edge.socket || !config)
		return false;
	edge.config = (char *)(uintptr_t)config;
	(void)snprintf(original, sizeof original, "%s", text_of(config));
	front = (unsigned)strtoul(strrchr(url, ':') + 1, NULL, 10);
	lb = lb_haproxy.open(&edge, &alone, &err);
	for (int i = 0; i < 4; i++) {
		apps[i] = app_bind(i);
		if (i < 3)
			app_start(&apps[i], 0);
	}
	return true;
}

static inline int rig_end(void)
{
	for (int i = 0; lb && i < 4; i++)
		app_stop(&apps[i]);
	lb_haproxy.close(lb);
	(void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return DONE();
}

#endif
