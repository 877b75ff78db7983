#include "base/clock.h"
#include "engine/doc.h"
#include "engine/engine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/banned.h"

#define AT_ONCE 128 /* sockets open at a time, and entries of arrays on the stack */
#define REQUEST_MAX 1024
#define STATUS_LINE 12 /* "HTTP/1.1 200" */

enum kind { BY_TCP, BY_HTTP };

/* One question to one container. */
struct probe {
	struct ready_target *t;
	enum kind kind;
	int port;         /* the container's */
	const char *path; /* BY_HTTP: the rest of the rule */
	char ip[INET6_ADDRSTRLEN];
	char where[64]; /* "10.0.0.2:80", "[fd00::2]:80" */
	int fd;         /* -1: answered */
	bool asked;     /* BY_HTTP: connected and the request sent */
	char status[STATUS_LINE + 1];
	size_t got;
};

__attribute__((format(printf, 2, 3))) static void say(struct ready_target *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(t->why, sizeof t->why, fmt, ap);
	va_end(ap);
}

__attribute__((format(printf, 2, 3))) static void fail(struct ready_target *t, const char *fmt, ...)
{
	va_list ap;

	t->failed = true;
	va_start(ap, fmt);
	(void)vsnprintf(t->why, sizeof t->why, fmt, ap);
	va_end(ap);
}

/* ---- what the engine knows ---- */

/* True when the container runs; else says why it is not ready. */
static bool is_running(struct ready_target *t)
{
	const char *state = doc_str(t->inspect, "State.Status"), *error = doc_str(t->inspect, "State.Error");
	const int64_t status = doc_int(t->inspect, "State.ExitCode");

	if (!state)
		fail(t, "the engine does not say its state");
	else if (doc_true(t->inspect, "State.Restarting"))
		fail(t, "it keeps restarting, last exit status %lld", (long long)status);
	else if (strcmp(state, "running") == 0)
		return true;
	else if (strcmp(state, "exited") == 0 || strcmp(state, "dead") == 0 || strcmp(state, "removing") == 0)
		fail(t, "it is %s, exit status %lld%s%s", state, (long long)status, error && *error ? ": " : "",
		     error ? error : "");
	else if (error && *error)
		fail(t, "it could not be started: %s", error);
	else
		say(t, "it is %s", state);
	return false;
}

/* Podman has a Health with an empty status where there is no check; Docker has "none" for --no-healthcheck. */
static const char *health_of(const json_t *inspect)
{
	const char *status = doc_str(inspect, "State.Health.Status");

	return status && *status && strcmp(status, "none") != 0 ? status : NULL;
}

static void judge_health(struct ready_target *t, const char *health)
{
	if (strcmp(health, "healthy") == 0)
		t->ready = true;
	else if (strcmp(health, "unhealthy") == 0)
		fail(t, "its health check failed %lld times", (long long)doc_int(t->inspect, "State.Health.FailingStreak"));
	else
		say(t, "its health is %s", health);
}

/* ---- where to ask ---- */

/* The port that is to be balanced by our label or other tools', else the lowest TCP port that is exposed, else 0. */
static int usual_port(const json_t *inspect)
{
	json_t *exposed = doc_get(inspect, "Config.ExposedPorts"), *nothing;
	const char *given = doc_setting(inspect, "autoscale.lb.port"), *key, *end;
	int lowest = given ? doc_port(given, NULL) : 0;

	if (!lowest)
		lowest = doc_convention_port(inspect);
	if (lowest)
		return lowest;
	json_object_foreach(exposed, key, nothing) {
		const int port = doc_port(key, &end);
		if (port && (strcmp(end, "/tcp") == 0 || !*end) && (!lowest || port < lowest))
			lowest = port;
	}
	return lowest;
}

static const char *own_address(const struct ready_target *t)
{
	json_t *networks = doc_get(t->inspect, "NetworkSettings.Networks"), *endpoint;
	const char *name;

	if (t->network)
		return doc_address(json_object_get(networks, t->network));
	json_object_foreach(networks, name, endpoint)
		if (doc_address(endpoint))
			return doc_address(endpoint);
	return NULL;
}

/* The published port of a container's port for somebody outside of its host, else 0. One that is bound to a single
 * address of the host is for that address only. */
static int published_port(const json_t *inspect, int port)
{
	char key[16];

	(void)snprintf(key, sizeof key, "%d/tcp", port);
	const json_t *bindings = json_object_get(doc_get(inspect, "NetworkSettings.Ports"), key);
	for (size_t i = 0; i < json_array_size(bindings); i++) {
		const json_t *b = json_array_get(bindings, i);
		const char *ip = doc_str(b, "HostIp"), *published = doc_str(b, "HostPort");
		if (published && (!ip || !*ip || strcmp(ip, "0.0.0.0") == 0))
			return doc_port(published, NULL);
	}
	return 0;
}

/* Fills ip and where. False: there is no address to ask. */
static bool find_address(struct probe *p)
{
	const struct ready_target *t = p->t;
	const char *mode = doc_str(t->inspect, "HostConfig.NetworkMode"), *ip = NULL;
	int port = p->port;

	if (mode && strcmp(mode, "host") == 0) {
		ip = t->host_address ? t->host_address : "127.0.0.1";
	} else if (t->host_address && published_port(t->inspect, port)) {
		ip = t->host_address;
		port = published_port(t->inspect, port);
	} else {
		ip = own_address(t);
	}
	if (!ip || strlen(ip) >= sizeof p->ip)
		return false;
	(void)snprintf(p->ip, sizeof p->ip, "%s", ip);
	(void)snprintf(p->where, sizeof p->where, strchr(ip, ':') ? "[%s]:%d" : "%s:%d", p->ip, port);
	p->port = port;
	return true;
}

/* A path comes from a label and goes into a request line. */
static bool is_path(const char *s)
{
	if (*s != '/' || strlen(s) > REQUEST_MAX / 2)
		return false;
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f)
			return false;
	return true;
}

/* True when something is to be asked over the network; else the target is judged. */
static bool plan_probe(struct ready_target *t, struct probe *p)
{
	const char *rule = t->rule ? t->rule : "", *health = health_of(t->inspect), *end = "";
	const bool by_default = !*rule;

	*p = (struct probe){.t = t, .kind = BY_TCP, .path = "/", .fd = -1};
	/* A swarm says that a task runs when its health check, if it has one, says so; and by whatever way it routes to
	 * the task, nobody else can ask. */
	if (doc_get(t->inspect, "Task")) {
		t->ready = true;
		return false;
	}
	if ((by_default && health) || strcmp(rule, "health") == 0) {
		if (health)
			judge_health(t, health);
		else
			fail(t, "autoscale.ready is health, but it has no health check");
		return false;
	}
	if (by_default) {
		p->port = usual_port(t->inspect);
	} else if (strncmp(rule, "tcp:", 4) == 0) {
		p->port = doc_port(rule + 4, NULL);
	} else if (strncmp(rule, "http:", 5) == 0) {
		p->kind = BY_HTTP;
		p->port = doc_port(rule + 5, &end);
		p->path = *end ? end : "/";
	}
	if (!by_default && (!p->port || !is_path(p->path))) {
		fail(t, "autoscale.ready is \"%.60s\": use health, tcp:PORT or http:PORT/PATH", rule);
		return false;
	}
	if (p->port && find_address(p))
		return true;
	/* Nothing is exposed, or it has no address of its own (network none, or another container's): then running is
	 * all that can be asked. */
	t->ready = by_default && (!p->port || !t->network);
	if (!t->ready)
		say(t, "it has no address%s%s", t->network ? " in network " : "", t->network ? t->network : "");
	return false;
}

/* ---- asking ---- */

static void hang_up(struct probe *p)
{
	(void)close(p->fd);
	p->fd = -1;
}

static void dial(struct probe *p)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
	struct addrinfo *to = NULL;
	char port[8];

	(void)snprintf(port, sizeof port, "%d", p->port);
	if (getaddrinfo(p->ip, port, &hints, &to) != 0) {
		fail(p->t, "%s is not an IP address: look at the host's `address`", p->ip);
		return;
	}
	p->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0) {
		say(p->t, "socket: %s", strerror(errno));
	} else if (connect(p->fd, to->ai_addr, to->ai_addrlen) < 0 && errno != EINPROGRESS) {
		say(p->t, "%s: %s", p->where, strerror(errno));
		hang_up(p);
	}
	freeaddrinfo(to);
}

static void ask(struct probe *p)
{
	char request[REQUEST_MAX];
	int error = 0;
	socklen_t len = sizeof error;

	if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		say(p->t, "%s: %s", p->where, strerror(error));
		hang_up(p);
		return;
	}
	if (p->kind == BY_TCP) {
		p->t->ready = true;
		hang_up(p);
		return;
	}
	const int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", p->path,
	                       p->where);
	/* A new connection's buffer takes a request of this size whole. */
	p->asked = n > 0 && (size_t)n < sizeof request && send(p->fd, request, (size_t)n, MSG_NOSIGNAL) == n;
	if (!p->asked) {
		say(p->t, "%s: cannot send a request", p->where);
		hang_up(p);
	}
}

static void hear(struct probe *p)
{
	const ssize_t n = recv(p->fd, p->status + p->got, STATUS_LINE - p->got, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	p->got += n > 0 ? (size_t)n : 0;
	if (n > 0 && p->got < STATUS_LINE)
		return;
	const int status = strncmp(p->status, "HTTP/", 5) == 0 && p->got == STATUS_LINE ? doc_port(p->status + 9, NULL) : 0;
	p->t->ready = status >= 200 && status < 400;
	if (!status)
		say(p->t, "%s: no HTTP answer", p->where);
	else if (!p->t->ready)
		say(p->t, "%s answers %d", p->where, status);
	hang_up(p);
}

/* Until all are answered or the deadline is over. */
static void ask_all(struct tasks *tasks, struct probe *p, size_t n, int64_t deadline)
{
	struct pollfd fds[AT_ONCE];
	size_t of[AT_ONCE];

	for (;;) {
		size_t open = 0;
		for (size_t i = 0; i < n; i++) {
			if (p[i].fd < 0)
				continue;
			fds[open] = (struct pollfd){.fd = p[i].fd, .events = p[i].asked ? POLLIN : POLLOUT};
			of[open++] = i;
		}
		const int64_t left = deadline - clock_monotonic_ms();
		const int some = open ? tasks_poll(tasks, fds, open, left > 0 ? left : 0) : 0;
		if (!open || (some == 0 && left <= 0) || (some < 0 && errno != EINTR))
			break;
		for (size_t k = 0; some > 0 && k < open; k++) {
			if (!fds[k].revents)
				continue;
			if (p[of[k]].asked)
				hear(&p[of[k]]);
			else
				ask(&p[of[k]]);
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (p[i].fd < 0)
			continue;
		say(p[i].t, "%s does not %s", p[i].where, p[i].asked ? "answer" : "accept a connection");
		hang_up(&p[i]);
	}
}

void ready_check(struct tasks *tasks, struct ready_target *targets, size_t n, int64_t wait_ms)
{
	const int64_t deadline = clock_monotonic_ms() + wait_ms;
	struct probe probes[AT_ONCE];

	for (size_t at = 0; at < n;) {
		size_t m = 0;
		/* What is left of the time is shared among this group and those that follow. */
		const int64_t left = deadline - clock_monotonic_ms(), groups = (int64_t)((n - at + AT_ONCE - 1) / AT_ONCE);
		for (; at < n && m < AT_ONCE; at++) {
			struct ready_target *t = &targets[at];
			t->ready = t->failed = false;
			t->why[0] = '\0';
			if (is_running(t) && plan_probe(t, &probes[m]))
				dial(&probes[m++]);
		}
		ask_all(tasks, probes, m, clock_monotonic_ms() + (left > 0 ? left / groups : 0));
	}
}
