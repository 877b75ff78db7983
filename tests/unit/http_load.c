/* What tests put behind and in front of a load balancer, as a program:
 *
 *   http_load serve [MS ...]   An HTTP server for each MS, on a port of its own at every loopback address, so that
 *       127.0.0.2, 127.0.0.3 and so on are as many containers. It listens after MS milliseconds, at -1 never. Prints
 *       the ports. An answer is the last two bytes of the address as a number. A request for /wait/MS is answered so
 *       much later, one for /status/N with that status; /hits is how many requests that address got, without those
 *       for / and for itself; after /gone the address resets every connection, as a removed container's.
 *   http_load work PORT MS   One such server at PORT, which works on one request at a time, MS milliseconds on each; /,
 *       /hits and /wait it answers beside that. Of K clients that ask again at once, each waits K times MS for an
 *       answer, and at N servers that all have work K / N times MS, whoever of them has how many.
 *   http_load clients PORT keep|close [COUNT [PAUSE_MS [PATH]]]   Clients (8, that pause 15 ms) that POST PATH (/x)
 *       to 127.0.0.1, with connections that are kept or not, until SIGTERM. Then prints
 *       {"answered":900,"failed":1,"why":{"502":1},"rate":450,"by":{"2":{"n":900,"first":MS,"last":MS}}}
 *       where `by` has who answered, when its first answer had come, and when the last request that it answered was
 *       sent (milliseconds since 1970). Anything but a whole 200 within 5 s has failed.
 *   http_load silent WHAT ...   Listens at paths and, for the word `tcp`, at ports; prints where, and never answers. On
 *       SIGTERM prints how many connections came to each. */
#include "tests/unit/http_app.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <time.h>

#include "base/banned.h"

#define ADDRESSES 65536
#define CONNS 4096
#define TIMEOUT_S 5
#define DEFAULT_PAUSE 15

static volatile sig_atomic_t ended;
static void end(int sig) { ended = sig; }

/* Not SA_RESTART: poll and accept shall return. */
static void end_on_term(void)
{
	const struct sigaction a = {.sa_handler = end};

	(void)sigaction(SIGTERM, &a, NULL);
}

/* ---- servers ---- */

struct conn {
	int fd;
	bool listens;
	unsigned number; /* of its address */
	int64_t due;     /* when to listen or to answer; 0: nothing is due */
	bool last;
	size_t n;
	char in[2048];
};

static struct conn conns[CONNS];
static size_t used; /* no connection has a place after these */
static long hits[ADDRESSES];
static bool gone[ADDRESSES];
static int events;
static long work_ms; /* on each request, one after the other; 0: as many as come */
static int64_t work_until;

static void watch(struct conn *c)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

	(void)epoll_ctl(events, EPOLL_CTL_ADD, c->fd, &e);
}

static void drop(struct conn *c)
{
	const struct linger reset = {.l_onoff = 1};

	if (gone[c->number])
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	(void)close(c->fd);
	*c = (struct conn){.fd = -1};
}

static void answer(struct conn *c)
{
	char out[128], body[24];
	const char *path = strchr(c->in, ' ') + 1;
	const bool asked = strncmp(path, "/hits ", 6) == 0;
	const long status = strncmp(path, "/status/", 8) == 0 ? strtol(path + 8, NULL, 10) : 200;

	const int len = snprintf(body, sizeof body, "%ld\n", asked ? hits[c->number] : (long)c->number);
	const int n = snprintf(out, sizeof out, "HTTP/1.1 %ld OK\r\nContent-Length: %d\r\n%s\r\n%s", status, len,
	                       c->last ? "Connection: close\r\n" : "", body);
	c->due = 0;
	c->n = 0;
	if (send(c->fd, out, (size_t)n, MSG_NOSIGNAL) != n || c->last)
		drop(c);
}

static void take_away(unsigned number)
{
	gone[number] = true;
	for (size_t i = 0; i < CONNS; i++)
		if (conns[i].fd >= 0 && !conns[i].listens && conns[i].number == number)
			drop(&conns[i]);
}

static void got_request(struct conn *c)
{
	const char *path = strchr(c->in, ' ') + 1, *wait = strstr(path, "/wait/");

	c->last = strcasestr(c->in, "connection: close") || strstr(c->in, "HTTP/1.0\r\n");
	if (strncmp(path, "/gone ", 6) == 0) {
		take_away(c->number);
		return;
	}
	const int64_t now = clock_monotonic_ms();
	const bool counts = strncmp(path, "/ ", 2) != 0 && strncmp(path, "/hits ", 6) != 0;
	hits[c->number] += counts;
	if (strncmp(path, "/wait/", 6) == 0) {
		c->due = now + strtol(wait + 6, NULL, 10);
	} else if (counts && work_ms) {
		/* Of when it should have been over, not of when this process came to it: being late does not add up. */
		work_until = (work_until > now ? work_until : now) + work_ms;
		c->due = work_until;
	} else {
		answer(c);
	}
}

static void read_some(struct conn *c)
{
	const ssize_t got = recv(c->fd, c->in + c->n, sizeof c->in - 1 - c->n, 0);

	if (got <= 0) {
		drop(c);
		return;
	}
	c->n += (size_t)got;
	c->in[c->n] = '\0';
	const char *head = strstr(c->in, "\r\n\r\n"), *length = strcasestr(c->in, "content-length: ");
	if (head && !c->due && !(length && strlen(head + 4) < strtoul(length + 16, NULL, 10)))
		got_request(c);
}

static struct conn *free_conn(void)
{
	for (size_t i = 0; i < CONNS; i++)
		if (conns[i].fd < 0) {
			used = i < used ? used : i + 1;
			return &conns[i];
		}
	abort();
}

static void welcome(const struct conn *at)
{
	struct sockaddr_in here = {0};
	socklen_t n = sizeof here;
	const int fd = accept4(at->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	struct conn *c = free_conn();
	(void)getsockname(fd, (struct sockaddr *)&here, &n);
	*c = (struct conn){.fd = fd, .number = ntohl(here.sin_addr.s_addr) & 0xffff};
	if (gone[c->number])
		drop(c);
	else
		watch(c);
}

static int64_t do_due(int64_t now)
{
	int64_t next = now + 1000;

	for (size_t i = 0; i < used; i++) {
		struct conn *c = &conns[i];
		if (c->fd < 0 || !c->due)
			continue;
		if (c->due > now) {
			next = c->due < next ? c->due : next;
		} else if (c->listens) {
			c->due = 0;
			(void)listen(c->fd, 1024);
			watch(c);
		} else {
			answer(c);
		}
	}
	return next - now;
}

static int serve(unsigned port, int n, char **after)
{
	struct epoll_event e[64];

	events = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < CONNS; i++)
		conns[i].fd = -1;
	for (int i = 0; i < n; i++) {
		struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
		socklen_t size = sizeof a;
		struct conn *c = free_conn();
		const long ms = strtol(after[i], NULL, 10);
		*c = (struct conn){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .listens = true};
		if (bind(c->fd, (struct sockaddr *)&a, size) < 0 || getsockname(c->fd, (struct sockaddr *)&a, &size) < 0)
			abort();
		c->due = ms < 0 ? 0 : clock_monotonic_ms() + ms;
		printf("%s%u", i ? " " : "", ntohs(a.sin_port));
	}
	(void)do_due(clock_monotonic_ms());
	printf("\n");
	(void)fflush(stdout);
	while (!ended) {
		const int ready = epoll_wait(events, e, 64, (int)do_due(clock_monotonic_ms()));
		for (int i = 0; i < ready; i++) {
			struct conn *c = e[i].data.ptr;
			if (c->fd >= 0 && c->listens)
				welcome(c);
			else if (c->fd >= 0)
				read_some(c);
		}
	}
	return 0;
}

/* ---- clients ---- */

enum why { WHY_CONNECT, WHY_CLOSED, WHY_RESET, WHY_TIMEOUT, WHY_GARBAGE, WHY_N };
static const char *const why_name[] = {"connect", "closed", "reset", "timeout", "garbage"};

struct tally {
	atomic_bool stop;
	atomic_long status[600], why[WHY_N], n[ADDRESSES], first[ADDRESSES], last[ADDRESSES];
};

static struct tally *tally;

static int64_t epoch_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int fail(enum why why)
{
	atomic_fetch_add(&tally->why[why], 1);
	return -1;
}

/* As every client of kept connections does (RFC 9112, 9.3 and 9.6): one whose end has come is not used again. What the
 * other side closes while the request is under way is a failure. */
static bool has_ended(int fd)
{
	char c;
	const ssize_t n = recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

/* 0; 1 when the answer says that it is the connection's last; -1. */
static int ask(int fd, const char *path, bool last)
{
	const struct timeval limit = {.tv_sec = TIMEOUT_S};
	const int64_t sent = epoch_ms();
	char text[2048];
	size_t n = 0;
	ssize_t got;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	const int len = snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n%s\r\nhello", path,
	                         last ? "Connection: close\r\n" : "");
	if (send(fd, text, (size_t)len, MSG_NOSIGNAL) != len)
		return fail(WHY_RESET);
	for (;;) {
		if ((got = recv(fd, text + n, sizeof text - 1 - n, 0)) <= 0)
			return fail(got == 0 ? WHY_CLOSED : errno == EAGAIN ? WHY_TIMEOUT : WHY_RESET);
		n += (size_t)got;
		text[n] = '\0';
		const char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length: ");
		if (!body || (length && strlen(body + 4) < strtoul(length + 16, NULL, 10)))
			continue;
		const long status = strncmp(text, "HTTP/1.1 ", 9) == 0 ? strtol(text + 9, NULL, 10) : 0;
		if (status < 100 || status > 599)
			return fail(WHY_GARBAGE);
		atomic_fetch_add(&tally->status[status], 1);
		if (status != 200)
			return -1;
		const size_t by = strtoul(body + 4, NULL, 10) % ADDRESSES;
		long none = 0;
		atomic_fetch_add(&tally->n[by], 1);
		(void)atomic_compare_exchange_strong(&tally->first[by], &none, (long)epoch_ms());
		for (long was = tally->last[by];
		     was < sent && !atomic_compare_exchange_weak(&tally->last[by], &was, (long)sent);)
			;
		*strstr(text, "\r\n\r\n") = '\0';
		return strcasestr(text, "\r\nconnection: close") != NULL;
	}
}

static void client(unsigned port, const char *path, bool keep, long pause_ms)
{
	int fd = -1;

	while (!atomic_load(&tally->stop)) {
		if (fd >= 0 && has_ended(fd)) {
			(void)close(fd);
			fd = -1;
		}
		if (fd < 0 && (fd = app_connect(port)) < 0)
			(void)fail(WHY_CONNECT);
		if (fd >= 0 && (ask(fd, path, !keep) != 0 || !keep)) {
			(void)close(fd);
			fd = -1;
		}
		clock_sleep_ms(pause_ms);
	}
	_exit(0);
}

static void print_tally(int64_t took_ms)
{
	long failed = 0;
	const char *comma = "";

	for (int i = 0; i < 600; i++)
		failed += i == 200 ? 0 : tally->status[i];
	for (int i = 0; i < WHY_N; i++)
		failed += tally->why[i];
	printf("{\"answered\":%ld,\"failed\":%ld,\"why\":{", (long)tally->status[200], failed);
	for (int i = 0; i < 600; i++)
		if (i != 200 && tally->status[i]) {
			printf("%s\"%d\":%ld", comma, i, (long)tally->status[i]);
			comma = ",";
		}
	for (int i = 0; i < WHY_N; i++)
		if (tally->why[i]) {
			printf("%s\"%s\":%ld", comma, why_name[i], (long)tally->why[i]);
			comma = ",";
		}
	printf("},\"rate\":%lld,\"by\":{", (long long)(tally->status[200] * 1000 / (took_ms ? took_ms : 1)));
	comma = "";
	for (size_t i = 0; i < ADDRESSES; i++)
		if (tally->n[i]) {
			printf("%s\"%zu\":{\"n\":%ld,\"first\":%ld,\"last\":%ld}", comma, i, (long)tally->n[i],
			       (long)tally->first[i], (long)tally->last[i]);
			comma = ",";
		}
	printf("}}\n");
}

static int clients(unsigned port, const char *path, bool keep, int count, long pause_ms)
{
	const int64_t start = clock_monotonic_ms();
	pid_t pid[64];

	tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tally == MAP_FAILED || count < 1 || count > 64)
		return 1;
	for (int i = 0; i < count; i++)
		if ((pid[i] = app_fork()) == 0) {
			(void)signal(SIGTERM, SIG_DFL);
			client(port, path, keep, pause_ms);
		}
	while (!ended)
		(void)poll(NULL, 0, 1000);
	atomic_store(&tally->stop, true);
	for (int i = 0; i < count; i++)
		(void)app_reap(pid[i]);
	print_tally(clock_monotonic_ms() - start);
	return 0;
}

/* ---- who says nothing ---- */

static int silent(int n, char **what)
{
	struct pollfd p[16];
	int came[16] = {0};

	for (int i = 0; i < n && i < 16; i++) {
		struct sockaddr_un at = {.sun_family = AF_UNIX};
		if (strcmp(what[i], "tcp") == 0) {
			const struct app app = app_bind(0);
			p[i] = (struct pollfd){.fd = app.fd, .events = POLLIN};
			printf("%s%u", i ? " " : "", app.port);
		} else {
			(void)snprintf(at.sun_path, sizeof at.sun_path, "%s", what[i]);
			p[i] = (struct pollfd){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .events = POLLIN};
			if (bind(p[i].fd, (struct sockaddr *)&at, sizeof at) < 0)
				abort();
			printf("%s%s", i ? " " : "", what[i]);
		}
		(void)listen(p[i].fd, 64);
	}
	printf("\n");
	(void)fflush(stdout);
	while (!ended) {
		if (poll(p, (nfds_t)n, 1000) <= 0)
			continue;
		for (int i = 0; i < n; i++)
			came[i] += p[i].revents && accept(p[i].fd, NULL, NULL) >= 0;
	}
	for (int i = 0; i < n; i++)
		printf("%s%d", i ? " " : "", came[i]);
	printf("\n");
	return 0;
}

int main(int argc, char **argv)
{
	end_on_term();
	if (argc >= 2 && strcmp(argv[1], "serve") == 0)
		return serve(0, argc - 2, argv + 2);
	if (argc == 4 && strcmp(argv[1], "work") == 0) {
		char *at_once[] = {"0"};
		work_ms = strtol(argv[3], NULL, 10);
		return serve((unsigned)strtoul(argv[2], NULL, 10), 1, at_once);
	}
	if (argc >= 4 && strcmp(argv[1], "clients") == 0)
		return clients((unsigned)strtoul(argv[2], NULL, 10), argc > 6 ? argv[6] : "/x", strcmp(argv[3], "keep") == 0,
		               argc > 4 ? (int)strtol(argv[4], NULL, 10) : CLIENTS,
		               argc > 5 ? strtol(argv[5], NULL, 10) : DEFAULT_PAUSE);
	if (argc >= 3 && argc <= 18 && strcmp(argv[1], "silent") == 0)
		return silent(argc - 2, argv + 2);
	return 64;
}
