#include "lb/probe.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/banned.h"

#define STEP_MS 50
#define TRY_MS 2000 /* for one connection and its answer */

static int64_t left(int64_t deadline)
{
	const int64_t ms = deadline - clock_monotonic_ms();

	return ms > 0 ? ms : 0;
}

/* Waits until the socket is ready; false: not by the deadline. */
static bool ready(struct tasks *tasks, int fd, short events, int64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		const int n = tasks_poll(tasks, &p, 1, left(deadline));
		if (n > 0)
			return true;
		if (n == 0 || errno != EINTR)
			return false;
	}
}

/* A connected socket, or -1 with the reason. */
static int dial(struct tasks *tasks, const struct lb_server *s, int64_t deadline, const char **why)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)s->port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port)};
	const bool is_six = inet_pton(AF_INET6, s->address, &six.sin6_addr) == 1;
	int no = 0;
	socklen_t size = sizeof no;

	*why = "no address";
	if (!is_six && inet_pton(AF_INET, s->address, &four.sin_addr) != 1)
		return -1;
	const int fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		*why = strerror(errno);
		return -1;
	}
	const int rc = is_six ? connect(fd, (const struct sockaddr *)&six, sizeof six)
	                      : connect(fd, (const struct sockaddr *)&four, sizeof four);
	if (rc < 0 && errno != EINPROGRESS)
		no = errno;
	else if (rc < 0 && !ready(tasks, fd, POLLOUT, deadline))
		no = ETIMEDOUT;
	else if (rc < 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &no, &size) < 0)
		no = errno;
	if (!no)
		return fd;
	*why = strerror(no);
	(void)close(fd);
	return -1;
}

/* The status of a GET; 0: no answer. Only the first line is read. */
static int ask(struct tasks *tasks, int fd, const struct lb_server *s, int64_t deadline)
{
	char line[LB_CHECK + LB_PLACE + 64], place[LB_PLACE], answer[16];
	size_t n = 0;

	lb_place(s, place);
	const int len =
		snprintf(line, sizeof line, "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n", s->check, place);
	if (send(fd, line, (size_t)len, MSG_NOSIGNAL) != len)
		return 0;
	while (n < sizeof answer - 1 && ready(tasks, fd, POLLIN, deadline)) {
		const ssize_t got = recv(fd, answer + n, sizeof answer - 1 - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	answer[n] = '\0';
	/* "HTTP/1.1 200 ..." */
	if (n < 12 || strncmp(answer, "HTTP/1.", 7) != 0 || answer[8] != ' ')
		return 0;
	return (answer[9] - '0') * 100 + (answer[10] - '0') * 10 + (answer[11] - '0');
}

static bool healthy(struct tasks *tasks, const struct lb_server *s, int64_t deadline, char *said, size_t size)
{
	const char *why = "";
	int status = 200;

	const int fd = dial(tasks, s, deadline, &why);
	if (fd < 0) {
		(void)snprintf(said, size, "%s", why);
		return false;
	}
	if (*s->check)
		status = ask(tasks, fd, s, deadline);
	(void)close(fd);
	if (status >= 200 && status < 400)
		return true;
	if (status)
		(void)snprintf(said, size, "GET %s: %d", s->check, status);
	else
		(void)snprintf(said, size, "GET %s: no answer", s->check);
	return false;
}

int lb_probe(const struct conf_lb *conf, struct tasks *tasks, const char *backend, const struct lb_server *server,
             int64_t gate_ms, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + gate_ms;
	char said[LB_CHECK + 64] = "", place[LB_PLACE];

	for (;;) {
		const int64_t once = clock_monotonic_ms() + TRY_MS;
		if (healthy(tasks, server, once < deadline ? once : deadline, said, sizeof said))
			return 0;
		if (left(deadline) < STEP_MS)
			break;
		tasks_sleep(tasks, STEP_MS);
	}
	lb_place(server, place);
	return err_set(err, ERR_UNAVAILABLE,
	               "lb %s: backend %s: server %s at %s did not get healthy within %g s (the last answer: %s); is the "
	               "service listening there?",
	               conf->name, backend, server->name, place, (double)gate_ms / 1000, said);
}
