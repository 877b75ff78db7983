/* Tasks take turns whenever one waits: the order in which they go on, and that nobody waits for another. */
#include "base/clock.h"
#include "base/http.h"
#include "base/tasks.h"
#include "tests/unit/tap.h"

#include <jansson.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/banned.h"

static struct tasks *tasks;
static char order[8192];

static void note(char c)
{
	const size_t n = strlen(order);

	if (n + 1 < sizeof order)
		order[n] = c;
}

static void run(size_t n, void (*fn)(void *, size_t), void *ctx)
{
	struct err err = {0};

	memset(order, 0, sizeof order);
	OK(tasks_run(tasks, n, fn, ctx, &err) == 0, "%zu tasks run to their ends", n);
}

static void plain(void *ctx, size_t i)
{
	(void)ctx;
	note((char)('a' + i % 26));
}

static void sleeper(void *ctx, size_t i)
{
	(void)ctx;
	note((char)('a' + i));
	tasks_sleep(tasks, 30 - 10 * (int64_t)i);
	note((char)('A' + i));
}

static void test_order(void)
{
	run(3, plain, NULL);
	IS_STR(order, "abc", "tasks that do not wait run one after the other");
	run(1000, plain, NULL);
	IS(strlen(order), 1000, "a thousand of them too");
	const int64_t began = clock_monotonic_ms();
	run(3, sleeper, NULL);
	IS_STR(order, "abcCBA", "sleepers go on in the order of their times");
	OK(clock_monotonic_ms() - began < 1000, "they sleep at the same time");
}

static void child(void *ctx, size_t i)
{
	(void)ctx;
	tasks_sleep(tasks, 1);
	note((char)('0' + i));
}

static void parent(void *ctx, size_t i)
{
	struct err err = {0};

	note((char)('a' + i));
	if (i == 0)
		(void)tasks_run(tasks, 3, child, ctx, &err);
	else
		(void)tasks_spawn(tasks, child, ctx, 9, &err);
	note((char)('A' + i));
}

/* Each of many parents waits for children of its own. */
static void many_parents(void *ctx, size_t i)
{
	struct err err = {0};

	(void)i;
	(void)tasks_run(tasks, 20, plain, ctx, &err);
}

static void test_children(void)
{
	run(1, parent, NULL);
	IS_STR(order, "a012A", "a task waits for those that it runs");
	run(2, parent, NULL);
	OK(strncmp(order, "abB", 3) == 0 && strchr(order, '9'), "and not for one that it spawns, which ends with all: %s",
	   order);
	run(100, many_parents, NULL);
	IS(strlen(order), 2000, "a hundred of them run twenty each");
}

static struct tasks_gate gate;
static size_t inside, most;

static void through_gate(void *ctx, size_t i)
{
	(void)ctx;
	tasks_enter(tasks, &gate);
	note((char)('a' + i));
	most = ++inside > most ? inside : most;
	tasks_sleep(tasks, 3);
	inside--;
	tasks_leave(tasks, &gate);
}

static void test_gate(void)
{
	gate = (struct tasks_gate){.width = 2};
	run(9, through_gate, NULL);
	IS(most, 2, "never more than the gate's width are inside, and as many as that");
	IS_STR(order, "abcdefghi", "first come, first served");
	IS(gate.inside, 0, "the gate is empty after");
	tasks_enter(tasks, &gate);
	tasks_leave(NULL, &gate);
	IS(gate.inside, 0, "outside of a task nobody waits at it");
}

static int pair[2];

static void listener(void *ctx, size_t i)
{
	struct pollfd fd = {.fd = pair[0], .events = POLLIN};

	if (i) {
		tasks_sleep(tasks, 5);
		note('w');
		(void)!write(pair[1], "x", 1);
		return;
	}
	*(int *)ctx = tasks_poll(tasks, &fd, 1, 5000);
	note(fd.revents & POLLIN ? 'r' : '?');
}

static void test_poll(void)
{
	int some = -1;
	struct pollfd fd;

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "a pair of sockets");
	run(2, listener, &some);
	IS_STR(order, "wr", "a task that waits for a socket lets the one go on that writes to it");
	IS(some, 1, "and is told so");
	(void)!read(pair[0], order, 1);
	fd = (struct pollfd){.fd = pair[0], .events = POLLIN};
	IS(tasks_poll(tasks, &fd, 1, 1), 0, "outside of a task it is poll(2)");
	(void)close(pair[0]);
	(void)close(pair[1]);
}

/* A port that accepts and never answers. */
static int silent_server(int *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	const int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&a, n) < 0 || listen(fd, 8) < 0 || getsockname(fd, (struct sockaddr *)&a, &n) < 0)
		return -1;
	*port = ntohs(a.sin_port);
	return fd;
}

struct call {
	int port;
	struct http *http;
	struct err err;
	bool failed;
};

static void caller(void *ctx, size_t i)
{
	struct call *c = ctx;
	struct buf reply = BUF_INIT(1024);
	long status = 0;

	if (i == 0) {
		c->failed = http_call(c->http, "GET", "/", NULL, 0, NULL, 20000, &reply, &status, &c->err) < 0;
		note('c');
	} else {
		tasks_sleep(tasks, 20);
		note('x');
		http_cancel(c->http);
	}
	buf_release(&reply);
}

static void test_cancel(void)
{
	struct call c = {0};
	struct err err = {0};
	char base[64];
	const int fd = silent_server(&c.port);
	const int64_t began = clock_monotonic_ms();

	(void)snprintf(base, sizeof base, "http://127.0.0.1:%d", c.port);
	c.http = http_new(&(struct http_target){.base = base, .name = "peer", .tasks = tasks}, &err);
	run(2, caller, &c);
	IS_STR(order, "xc", "a call that another task cancels ends then");
	OK(c.failed && c.err.code == ERR_UNAVAILABLE, "and says that no answer came: %s", c.err.message);
	OK(clock_monotonic_ms() - began < 10000, "long before its time is over");
	http_cancel(c.http); /* nothing is in hand: nothing happens */
	http_free(c.http);
	(void)close(fd);
}

/* An engine may answer with brackets only; the parser of such a text goes deep. */
static void deep(void *ctx, size_t i)
{
	char text[2 * 2000 + 1];
	json_error_t why;

	(void)i;
	memset(text, '[', 2000);
	memset(text + 2000, ']', 2000);
	json_t *doc = json_loadb(text, 4000, 0, &why);
	json_t *copy = json_deep_copy(doc);
	*(bool *)ctx = doc && copy;
	json_decref(doc);
	json_decref(copy);
}

int main(void)
{
	struct err err = {0};
	bool good = false;

	tasks = tasks_new(&err);
	test_order();
	test_children();
	test_gate();
	test_poll();
	test_cancel();
	run(1, deep, &good);
	OK(good, "a task's stack holds the deepest document that the parser takes");
	tasks_free(tasks);
	return DONE();
}
