/* What lb.h promises, as cases that every driver must pass, whichever balancer is behind it. The balancer is the real
 * one; what only one of them does is for that driver's own test.
 *
 *     const struct lb_suite s = {.driver = &lb_haproxy, .conf = &edge, .backend = "web", .front = 8080};
 *     lb_suite_run(&s);
 */
#ifndef TESTS_UNIT_LB_SUITE_H
#define TESTS_UNIT_LB_SUITE_H

#include "lb/lb.h"
#include "tests/unit/http_app.h"
#include "tests/unit/tap.h"

#define SUITE_GATE 5000
#define SUITE_WAIT 3000
#define SUITE_MANY 50
#define SUITE_NEW "suite-app" /* a backend that only ensure makes */

struct lb_suite {
	const struct lb_driver *driver;
	const struct conf_lb *conf;
	const char *backend; /* the operator's; there, without servers */
	unsigned front;      /* a port of 127.0.0.1 that leads to it; 0: this balancer takes no requests */
	bool one_process;    /* what it knows is known to one process only */
};

static const struct lb_suite *suite;
static struct lb *suite_lb;
static struct app suite_app[3]; /* 0 answers at every loopback address, 1 at one, 2 refuses */
static struct err suite_err;
static struct lb_result suite_result;

#define SUITE_OK(cond, what) suite_ok((cond), __LINE__, what)
#define SUITE_IS(got, want, what) suite_is((long long)(got), (long long)(want), __LINE__, what)

static inline bool suite_ok(bool good, int line, const char *what)
{
	if (!tap_ok(good, __FILE__, line, "%s: %s", suite->driver->name, what))
		printf("# the last message: %s\n", suite_err.message);
	return good;
}

static inline void suite_is(long long got, long long want, int line, const char *what)
{
	if (!suite_ok(got == want, line, what))
		printf("# got %lld, want %lld\n", got, want);
}

/* What a case needs or cleans up, and does not test: heard of only when it fails. */
#define SUITE_MUST(cond) (void)((cond) || suite_ok(false, __LINE__, "a step between the cases"))

/* ---- the verbs, with what is usual ---- */

/* The same number gives the same name, and the first app at a loopback address of its own. */
static inline struct lb_server suite_server(unsigned number)
{
	struct lb_server s = {.port = suite_app[0].port, .weight = 100, .check = "/"};

	(void)snprintf(s.name, sizeof s.name, "as-%012x", number);
	(void)snprintf(s.address, sizeof s.address, "127.0.%u.%u", number >> 8 & 255, number & 255);
	return s;
}

static inline int suite_attach(const struct lb_server *s, int64_t gate_ms)
{
	suite_err = (struct err){0};
	return suite->driver->attach(suite_lb, suite->backend, s, gate_ms, &suite_result, &suite_err);
}

static inline int suite_put(unsigned number)
{
	const struct lb_server s = suite_server(number);

	return suite_attach(&s, SUITE_GATE);
}

static inline int suite_drain(const char *name)
{
	suite_err = (struct err){0};
	return suite->driver->drain(suite_lb, suite->backend, name, SUITE_WAIT, &suite_result, &suite_err);
}

static inline int suite_detach(const char *name)
{
	suite_err = (struct err){0};
	return suite->driver->detach(suite_lb, suite->backend, name, SUITE_WAIT, &suite_result, &suite_err);
}

static inline int suite_take(unsigned number) { return suite_detach(suite_server(number).name); }

/* How many entries a backend has, all of which must be in this state: else, and when there is no list, -1. */
static inline int suite_listed_in(const char *backend, enum lb_state state)
{
	struct lb_list list;
	int n = 0;

	if (suite->driver->list(suite_lb, backend, &list, &suite_err) < 0)
		return -1;
	for (size_t i = 0; n >= 0 && i < list.n; i++)
		n = list.v[i].state == state ? n + 1 : -1;
	lb_list_release(&list);
	return n;
}

static inline int suite_listed(void) { return suite_listed_in(suite->backend, LB_UP); }

/* The only entry of the backend, or one without a name. */
static inline struct lb_server suite_only(void)
{
	struct lb_server s = {.name = ""};
	struct lb_list list;

	if (suite->driver->list(suite_lb, suite->backend, &list, &suite_err) == 0 && list.n == 1)
		s = list.v[0];
	lb_list_release(&list);
	return s;
}

static inline bool suite_has_backend(const char *name)
{
	struct lb_names names;
	bool has = false;

	if (suite->driver->backends(suite_lb, &names, &suite_err) < 0)
		return false;
	for (size_t i = 0; i < names.n; i++)
		has = has || strcmp(names.v[i], name) == 0;
	lb_names_release(&names);
	return has;
}

/* How many of n requests for this host were answered with 200. */
static inline int suite_get(const char *host, int n)
{
	char text[256];
	int good = 0;

	for (int i = 0; i < n; i++) {
		const int fd = app_connect(suite->front);
		if (fd < 0)
			continue;
		const int len = snprintf(text, sizeof text, "GET /x HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);
		if (send(fd, text, (size_t)len, MSG_NOSIGNAL) == len && recv(fd, text, 12, MSG_WAITALL) == 12)
			good += strncmp(text, "HTTP/1.1 200", 12) == 0;
		(void)close(fd);
	}
	return good;
}

static inline int suite_open_files(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- the cases ---- */

static inline void suite_attach_and_detach(void)
{
	struct lb_server s = suite_server(1), is;
	char place[LB_PLACE];

	lb_place(&s, place);
	SUITE_IS(suite_listed(), 0, "a backend without servers has an empty list");
	SUITE_OK(suite_put(1) == 0 && !suite_result.already, "a server is attached");
	SUITE_OK(strcmp(suite_result.address, place) == 0, "attach says its address and port");
	is = suite_only();
	SUITE_OK(strcmp(is.name, s.name) == 0 && lb_same_place(&is, &s), "it is listed once, with its name and place");
	SUITE_OK(is.state == LB_UP && is.ours && is.weight == 100, "it is listed as up, ours and of weight 100");
	SUITE_OK(suite_has_backend(suite->backend), "its backend is among those that have entries of ours");
	if (suite->front)
		SUITE_IS(suite_get("x", 10), 10, "when attach returns, 10 of 10 requests are answered");
	SUITE_OK(suite_put(1) == 0 && suite_result.already, "attached again it is there already");
	s.weight = 50;
	SUITE_OK(suite_attach(&s, SUITE_GATE) == 0 && !suite_result.already, "another weight is a change");
	SUITE_IS(suite_only().weight, 50, "the other weight is listed");

	SUITE_OK(suite_take(1) == 0 && !suite_result.already && !suite_result.forced, "an idle server is detached");
	SUITE_OK(strcmp(suite_result.address, place) == 0, "detach says where it was");
	SUITE_IS(suite_listed(), 0, "a detached server is not listed");
	const long hits = app_shared->hits[0];
	if (suite->front)
		SUITE_IS(suite_get("x", 10), 0, "after the last was detached, 0 of 10 requests are answered");
	SUITE_IS(app_shared->hits[0] - hits, 0, "and none reaches it");
	SUITE_OK(suite_take(1) == 0 && suite_result.already, "detached again it is gone already");
	SUITE_OK(suite_drain(s.name) == 0 && suite_result.already, "what is not there is drained already");
}

static inline void suite_drained(void)
{
	const struct lb_server s = suite_server(1);
	struct lb_server other = suite_server(2);

	other.port = suite_app[1].port;
	(void)snprintf(other.address, sizeof other.address, "127.0.0.1");
	SUITE_MUST(suite_put(1) == 0 && suite_attach(&other, SUITE_GATE) == 0);
	SUITE_MUST(suite_drain(s.name) == 0 && !suite_result.already);
	const long hits = app_shared->hits[0];
	if (suite->front)
		SUITE_IS(suite_get("x", 20), 20, "20 of 20 requests are answered after that");
	SUITE_IS(app_shared->hits[0] - hits, 0, "and none of them by the drained one");
	SUITE_OK(suite_drain(s.name) == 0 && suite_result.already, "drained again it is so already");
	SUITE_MUST(suite_detach(other.name) == 0);
	SUITE_IS(suite_listed_in(suite->backend, LB_DRAIN), 1, "a drained server stays listed, as drained");
	SUITE_OK(suite_put(1) == 0 && !suite_result.already, "attaching a drained server is a change");
	SUITE_IS(suite_listed(), 1, "it is up again");
	SUITE_MUST(suite_take(1) == 0);
}

static inline void suite_moved(void)
{
	struct lb_server s = suite_server(1), is;

	SUITE_MUST(suite_put(1) == 0);
	(void)snprintf(s.address, sizeof s.address, "127.0.0.1");
	s.port = suite_app[1].port;
	SUITE_OK(suite_attach(&s, SUITE_GATE) == 0 && !suite_result.already, "attaching it at another place is a change");
	is = suite_only();
	SUITE_OK(lb_same_place(&is, &s), "only its new place is listed");
	const long old = app_shared->hits[0], now = app_shared->hits[1];
	if (suite->front) {
		SUITE_IS(suite_get("x", 20), 20, "20 of 20 requests are answered after the move");
		SUITE_IS(app_shared->hits[1] - now, 20, "all of them at the new place");
	}
	SUITE_IS(app_shared->hits[0] - old, 0, "and none at the old one");
	SUITE_MUST(suite_take(1) == 0);
}

static inline void suite_gate(void)
{
	struct lb_server s = suite_server(2);

	SUITE_MUST(suite_put(1) == 0);
	s.port = suite_app[2].port;
	const int64_t start = clock_monotonic_ms();
	const int rc = suite_attach(&s, 600);
	const int64_t took = clock_monotonic_ms() - start;
	SUITE_OK(rc < 0 && suite_err.code == ERR_UNAVAILABLE && strstr(suite_err.message, s.name),
	         "a closed port is unavailable, and the message names the server");
	SUITE_OK(took >= 500 && took < 2500, "a closed port is given up when the gate's time is over");
	SUITE_OK(strcmp(suite_only().name, "as-000000000001") == 0, "what did not get healthy is not listed");
	if (suite->front)
		SUITE_IS(suite_get("x", 20), 20, "20 of 20 requests are answered by the healthy one");
	SUITE_MUST(suite_put(2) == 0);
	SUITE_OK(suite_attach(&s, 600) < 0 && suite_err.code == ERR_UNAVAILABLE,
	         "a server that moved to a closed port is unavailable");
	SUITE_OK(strcmp(suite_only().name, "as-000000000001") == 0, "and is not listed any more");
	SUITE_MUST(suite_take(1) == 0);
}

/* What must not get through: names, places, numbers and paths. */
static inline int suite_refusals(const struct lb_server *s, const char *backend)
{
	struct lb_list list;

	suite_err = (struct err){0};
	if (suite->driver->attach(suite_lb, backend, s, 0, &suite_result, &suite_err) < 0)
		return suite_err.code == ERR_REFUSED;
	(void)suite->driver->list(suite_lb, backend, &list, &suite_err);
	lb_list_release(&list);
	return 0;
}

static inline void suite_alphabet(void)
{
	static const char *const names[] = {"a;b", "a b", "a\nb", "a/b", "a}b", "", "-a", ".a", "..", "a\xc3\xa9"};
	static const char *const places[] = {"localhost", "127.1",   "0x7f.1",    "::1:80",
	                                     "",          "0.0.0.0", "1.2.3.4;x", "/x.sock"};
	static const char *const checks[] = {"x", "/a b", "/a\nb", "/a\"", "/$x", "/{", "/a;"};
	const struct lb_server good = suite_server(1);
	struct lb_server bad;
	struct lb_stats stats;
	struct lb_list list, none = {0};
	int refused = 0, want = 0;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const struct lb_driver *d = suite->driver;
		const struct lb_route route = {.rule = NULL};
		refused += suite_refusals(&good, names[i]);
		bad = good;
		(void)snprintf(bad.name, sizeof bad.name, "%s", names[i]);
		refused += suite_refusals(&bad, suite->backend);
		refused += d->list(suite_lb, names[i], &list, &suite_err) < 0 && suite_err.code == ERR_REFUSED;
		refused += d->stats(suite_lb, names[i], &stats, &suite_err) < 0 && suite_err.code == ERR_REFUSED;
		refused += d->verify(suite_lb, names[i], &none, &suite_err) < 0 && suite_err.code == ERR_REFUSED;
		refused += d->drain(suite_lb, names[i], "a", 0, &suite_result, &suite_err) < 0 && suite_err.code == ERR_REFUSED;
		refused +=
			d->detach(suite_lb, names[i], "a", 0, &suite_result, &suite_err) < 0 && suite_err.code == ERR_REFUSED;
		refused += suite_drain(names[i]) < 0 && suite_err.code == ERR_REFUSED;
		refused += suite_detach(names[i]) < 0 && suite_err.code == ERR_REFUSED;
		refused +=
			d->ensure(suite_lb, names[i], &route, &suite_result, &suite_err) < 0 && suite_err.code == ERR_REFUSED;
		refused += d->ensure(suite_lb, names[i], NULL, &suite_result, &suite_err) < 0 && suite_err.code == ERR_REFUSED;
		want += 11;
	}
	SUITE_IS(refused, want, "every verb refuses every bad name");
	refused = 0;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		bad = good;
		(void)snprintf(bad.address, sizeof bad.address, "%s", places[i]);
		refused += suite_refusals(&bad, suite->backend);
	}
	SUITE_IS(refused, sizeof places / sizeof *places, "attach refuses whatever is no address");
	refused = 0;
	for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
		bad = good;
		(void)snprintf(bad.check, sizeof bad.check, "%s", checks[i]);
		refused += suite_refusals(&bad, suite->backend);
	}
	SUITE_IS(refused, sizeof checks / sizeof *checks, "attach refuses a check that is no plain path");
	struct lb_server odd[] = {good, good, good};
	odd[0].port = 0;
	odd[1].port = 65536;
	odd[2].weight = LB_WEIGHT_MAX + 1;
	refused = 0;
	for (size_t i = 0; i < 3; i++)
		refused += suite_refusals(&odd[i], suite->backend);
	SUITE_IS(refused, 3, "attach refuses ports 0 and 65536 and weight 257");
	SUITE_IS(suite_listed(), 0, "nothing of what was refused is listed");
}

static inline void suite_verify(void)
{
	struct lb_server v[] = {suite_server(1), suite_server(2)};
	struct lb_list want = {v, 2};
	const struct lb_driver *d = suite->driver;
	const char *web = suite->backend;

#define SUITE_SAYS(words)                                                                 \
	(d->verify(suite_lb, web, &want, &suite_err) < 0 && suite_err.code == ERR_CONFLICT && \
	 strstr(suite_err.message, words))
	SUITE_MUST(suite_put(1) == 0);
	SUITE_OK(SUITE_SAYS("as-000000000002 is missing"), "verify names a server that is missing");
	SUITE_MUST(suite_put(2) == 0);
	SUITE_IS(d->verify(suite_lb, web, &want, &suite_err), 0, "verify is content with what is wanted");
	v[1].port = suite_app[1].port;
	SUITE_OK(SUITE_SAYS("as-000000000002 moved"), "verify names a server that moved");
	v[1] = suite_server(2);
	SUITE_MUST(suite_drain(v[1].name) == 0);
	SUITE_OK(SUITE_SAYS("as-000000000002 is listed, but drain"), "verify names a server that is drained");
	want.n = 1;
	SUITE_OK(SUITE_SAYS("as-000000000002 is stale"), "verify names a server whose container is gone");
	SUITE_MUST(suite_take(2) == 0);
	SUITE_IS(d->verify(suite_lb, web, &want, &suite_err), 0, "then verify is content");
	SUITE_MUST(suite_take(1) == 0);
#undef SUITE_SAYS
}

static inline void suite_stats(void)
{
	const int64_t start = clock_monotonic_ms();
	struct lb_stats s;

	SUITE_MUST(suite_put(1) == 0);
	SUITE_OK(suite->driver->stats(suite_lb, suite->backend, &s, &suite_err) == 0, "its backend is measured");
	SUITE_OK(s.at_ms >= start && s.at_ms <= clock_monotonic_ms(), "with the time at which it was looked");
	SUITE_OK(s.connections >= -1 && s.queue >= -1 && s.requests >= -1 && s.errors >= -1, "what is not known is -1");
	SUITE_MUST(suite_take(1) == 0);
}

/* One look at everything says what `stats` and `list` say of each. */
static inline void suite_look(void)
{
	const struct lb_busy *busy[2] = {NULL, NULL};
	const struct lb_seen *seen;
	struct lb_stats s;
	struct lb_look look;

	SUITE_MUST(suite_put(1) == 0 && suite_put(2) == 0 && suite_drain(suite_server(2).name) == 0);
	SUITE_OK(suite->driver->look(suite_lb, &look, &suite_err) == 0, "one look sees all of it");
	SUITE_OK((seen = lb_look_find(&look, suite->backend)) != NULL, "its backend is in it");
	SUITE_OK(!lb_look_find(&look, "nosuch"), "a backend that is not there is not");
	for (size_t i = 0; seen && i < seen->n; i++)
		for (unsigned k = 0; k < 2; k++)
			if (strcmp(seen->v[i].name, suite_server(k + 1).name) == 0)
				busy[k] = &seen->v[i];
	SUITE_OK(seen && seen->n == 2 && busy[0] && busy[1], "with both servers, by their names");
	SUITE_OK(busy[0] && busy[0]->state == LB_UP && busy[1] && busy[1]->state == LB_DRAIN, "one up and one drained");
	SUITE_OK(busy[0] && (busy[0]->sessions == 0 || busy[0]->sessions == -1), "idle, or its sessions are not known");
	SUITE_MUST(suite->driver->stats(suite_lb, suite->backend, &s, &suite_err) == 0);
	SUITE_OK(seen && seen->stats.connections == s.connections && seen->stats.queue == s.queue &&
	             seen->stats.requests == s.requests && seen->stats.errors == s.errors,
	         "and the load that stats tells");
	for (size_t i = 1; i < look.n; i++)
		SUITE_MUST(strcmp(look.v[i - 1].backend, look.v[i].backend) < 0);
	lb_look_release(&look);
	SUITE_MUST(suite_take(1) == 0 && suite_take(2) == 0);
	SUITE_MUST(suite->driver->look(suite_lb, &look, &suite_err) == 0);
	seen = lb_look_find(&look, suite->backend);
	SUITE_IS(seen ? seen->n : 0, 0, "a later look does not have them any more");
	lb_look_release(&look);
}

static inline void suite_unknown(void)
{
	struct lb_list list;
	struct lb_stats stats;

	SUITE_OK(suite->driver->list(suite_lb, "nosuch", &list, &suite_err) < 0 && suite_err.code == ERR_NOT_FOUND &&
	             strstr(suite_err.message, "nosuch"),
	         "the list of a backend that is not there: not found, by its name");
	SUITE_OK(suite->driver->stats(suite_lb, "nosuch", &stats, &suite_err) < 0 && suite_err.code == ERR_NOT_FOUND,
	         "the load of a backend that is not there: not found");
}

/* ---- many at once ---- */

static struct suite_one {
	int rc;
	bool already;
	int64_t ended_ms;
	struct err err;
} suite_outcome[SUITE_MANY];

static inline void suite_put_one(void *ctx, size_t item)
{
	const struct lb_server s = suite_server(1 + (unsigned)item);
	struct suite_one *o = &suite_outcome[item];
	struct lb_result result;

	(void)ctx;
	o->rc = suite->driver->attach(suite_lb, suite->backend, &s, 20000, &result, &o->err);
	o->already = result.already;
}

static inline void suite_take_one(void *ctx, size_t item)
{
	struct suite_one *o = &suite_outcome[item];
	struct lb_result result;

	(void)ctx;
	o->rc = suite->driver->detach(suite_lb, suite->backend, suite_server(1 + (unsigned)item).name, SUITE_WAIT, &result,
	                              &o->err);
	o->already = result.already;
}

static inline void suite_put_same(void *ctx, size_t item)
{
	const struct lb_server s = suite_server(1);
	struct suite_one *o = &suite_outcome[item];
	struct lb_result result;

	(void)ctx;
	o->rc = suite->driver->attach(suite_lb, suite->backend, &s, SUITE_GATE, &result, &o->err);
	o->already = result.already;
}

/* The first waits for a port that stays closed. */
static inline void suite_put_slow(void *ctx, size_t item)
{
	struct lb_server s = suite_server(1 + (unsigned)item);
	struct suite_one *o = &suite_outcome[item];
	struct lb_result result;

	(void)ctx;
	if (item == 0)
		s.port = suite_app[2].port;
	o->rc = suite->driver->attach(suite_lb, suite->backend, &s, item ? SUITE_GATE : 2000, &result, &o->err);
	o->ended_ms = clock_monotonic_ms();
}

static inline int suite_good(size_t n)
{
	int good = 0;

	for (size_t i = 0; i < n; i++) {
		good += suite_outcome[i].rc == 0;
		if (suite_outcome[i].rc != 0)
			suite_err = suite_outcome[i].err;
	}
	return good;
}

static inline void suite_at_once(struct tasks *tasks)
{
	int changed = 0;

	SUITE_MUST(tasks_run(tasks, SUITE_MANY, suite_put_one, NULL, &suite_err) == 0);
	SUITE_IS(suite_good(SUITE_MANY), SUITE_MANY, "all 50 succeed");
	SUITE_IS(suite_listed(), SUITE_MANY, "50 are listed, all up");
	SUITE_MUST(tasks_run(tasks, SUITE_MANY, suite_take_one, NULL, &suite_err) == 0);
	SUITE_IS(suite_good(SUITE_MANY), SUITE_MANY, "all 50 succeed again");
	SUITE_IS(suite_listed(), 0, "none is listed");

	SUITE_MUST(tasks_run(tasks, 8, suite_put_same, NULL, &suite_err) == 0);
	SUITE_IS(suite_good(8), 8, "each succeeds");
	SUITE_IS(suite_listed(), 1, "it is listed once");
	for (int i = 0; i < 8; i++)
		changed += !suite_outcome[i].already;
	SUITE_OK(changed >= 1, "one at least changed something");
	SUITE_MUST(suite_take(1) == 0);

	SUITE_MUST(tasks_run(tasks, 2, suite_put_slow, NULL, &suite_err) == 0);
	SUITE_OK(suite_outcome[0].rc < 0 && suite_outcome[1].rc == 0, "the open one is attached, the other is not");
	SUITE_OK(suite_outcome[1].ended_ms < suite_outcome[0].ended_ms, "who waits does not hold up the other");
	SUITE_IS(suite_listed(), 1, "one is listed");
	SUITE_MUST(suite_take(2) == 0);
}

/* Two processes at once, without tasks. */
static inline void suite_two_writers(void)
{
	static const struct lb_means alone;
	pid_t pid[2];
	int failed = 0;

	for (int in = 1; in >= 0; in--) {
		for (unsigned w = 0; w < 2; w++) {
			if ((pid[w] = app_fork()) != 0)
				continue;
			suite_lb = suite->driver->open(suite->conf, &alone, &suite_err);
			for (unsigned i = 0; suite_lb && i < 8; i++)
				failed += in ? suite_put(0x100 * (w + 1) + i + 1) != 0 : suite_take(0x100 * (w + 1) + i + 1) != 0;
			if (failed)
				printf("# %s\n", suite_err.message);
			(void)fflush(stdout);
			_exit(suite_lb ? failed : 99);
		}
		const int a = app_reap(pid[0]), b = app_reap(pid[1]);
		SUITE_OK(a == 0 && b == 0, in ? "two writers attach 8 each" : "two writers detach 8 each");
		SUITE_IS(suite_listed(), in ? 16 : 0, in ? "16 are listed" : "none is left");
	}
}

/* ---- a backend and its rule ---- */

/* The rule of one host; NULL: the backend shall go. */
static inline int suite_ensure(const char *backend, const char *host)
{
	struct rule rule = {.n = 1};
	const struct lb_route route = {.rule = &rule, .check = "/"};

	suite_err = (struct err){0};
	if (host)
		(void)snprintf(rule.v[0].host, sizeof rule.v[0].host, "%s", host);
	return suite->driver->ensure(suite_lb, backend, host ? &route : NULL, &suite_result, &suite_err);
}

static inline int suite_put_in(const char *backend, unsigned number)
{
	const struct lb_server s = suite_server(number);

	suite_err = (struct err){0};
	return suite->driver->attach(suite_lb, backend, &s, SUITE_GATE, &suite_result, &suite_err);
}

static inline void suite_rules(void)
{
	const struct lb_driver *d = suite->driver;
	const struct lb_route plain = {.rule = NULL};

	SUITE_OK(d->ensure(suite_lb, suite->backend, &plain, &suite_result, &suite_err) == 0 && suite_result.already,
	         "the operator's backend is there already");
	SUITE_OK(suite_ensure(suite->backend, NULL) == 0 && suite_result.already, "it is not ours to take away");
	SUITE_IS(suite_listed(), 0, "and it is still there");

	SUITE_OK(suite_ensure(SUITE_NEW, "suite.example") == 0 && !suite_result.already, "a new backend is made");
	SUITE_OK(suite_ensure(SUITE_NEW, "suite.example") == 0 && suite_result.already, "made again it is there");
	SUITE_OK(suite_has_backend(SUITE_NEW), "it is among the backends");
	SUITE_IS(suite_listed_in(SUITE_NEW, LB_UP), 0, "it has no server");
	SUITE_OK(suite_put_in(SUITE_NEW, 1) == 0, "it takes a server");
	if (suite->front)
		SUITE_IS(suite_get("suite.example", 10), 10, "10 of 10 requests for its host are answered");
	SUITE_OK(suite_ensure(SUITE_NEW, NULL) < 0 && suite_err.code == ERR_CONFLICT, "with a server it does not go");
	SUITE_OK(suite_ensure(SUITE_NEW, "other.example") == 0 && !suite_result.already, "another rule is a change");
	if (suite->front) {
		SUITE_IS(suite_get("other.example", 10), 10, "10 of 10 requests for the other host are answered");
		SUITE_IS(suite_get("suite.example", 10), 0, "and 0 of 10 for the first");
	}
	SUITE_IS(suite_listed_in(SUITE_NEW, LB_UP), 1, "its server stays");
	SUITE_MUST(d->detach(suite_lb, SUITE_NEW, suite_server(1).name, SUITE_WAIT, &suite_result, &suite_err) == 0);
	SUITE_OK(suite_ensure(SUITE_NEW, NULL) == 0 && !suite_result.already, "without a server it goes");
	SUITE_OK(suite_ensure(SUITE_NEW, NULL) == 0 && suite_result.already, "taken away again it is gone already");
	SUITE_OK(!suite_has_backend(SUITE_NEW), "it is not among the backends");
	struct lb_list list;
	SUITE_OK(d->list(suite_lb, SUITE_NEW, &list, &suite_err) < 0 && suite_err.code == ERR_NOT_FOUND,
	         "its list is not found");
}

/* ---- what is written and what runs ---- */

static inline void suite_note_failure(void *ctx, const struct finding *f)
{
	unsigned *n = ctx;

	n[f->level]++;
	if (f->level != FINDING_OK)
		printf("# %s: %s\n", f->what, f->found);
}

static inline void suite_check(void)
{
	const struct lb_driver *d = suite->driver;
	unsigned found[3] = {0};
	const struct findings to = {suite_note_failure, found};

	SUITE_MUST(suite_put(1) == 0 && suite_put(2) == 0);
	SUITE_IS(d->agree(suite_lb, suite->backend, &suite_err), 0, "what is written and what runs agree");
	SUITE_IS(suite_listed(), 2, "agreeing changes no server");
	SUITE_IS(d->agree(suite_lb, "suite-none", &suite_err), 0,
	         "agreeing about a backend that is not there does nothing");
	d->check(suite_lb, &to);
	SUITE_OK(found[FINDING_OK] > 0 && !found[FINDING_FAIL], "a check of all that the verbs need finds nothing wrong");
	SUITE_IS(suite_listed(), 2, "a check changes no server");
	SUITE_MUST(suite_take(1) == 0 && suite_take(2) == 0);
}

/* ---- all ---- */

static inline bool suite_is_whole(const struct lb_driver *d)
{
	return d->name && d->open && d->close && d->list && d->backends && d->attach && d->drain && d->detach && d->stats &&
	       d->look && d->verify && d->ensure && d->agree && d->check;
}

/* An app at every loopback address, so that 50 servers need one process. */
static inline void suite_start_apps(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	socklen_t n = sizeof any;
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, n) < 0 || getsockname(fd, (struct sockaddr *)&any, &n) < 0)
		abort();
	suite_app[0] = (struct app){.number = 0, .fd = fd, .port = ntohs(any.sin_port)};
	suite_app[1] = app_bind(1);
	suite_app[2] = app_bind(2);
	app_start(&suite_app[0], 0);
	app_start(&suite_app[1], 0);
}

/* After app_init(). Leaves the backend as it was. */
static inline void lb_suite_run(const struct lb_suite *s)
{
	suite = s;
	if (!SUITE_OK(suite_is_whole(s->driver), "the driver has every verb"))
		return;
	suite_start_apps();
	const int files = suite_open_files();
	struct tasks *tasks = tasks_new(&suite_err);
	const struct lb_means means = {.tasks = tasks};
	suite_lb = tasks ? s->driver->open(s->conf, &means, &suite_err) : NULL;
	if (SUITE_OK(suite_lb != NULL, "it is opened")) {
		suite_attach_and_detach();
		suite_drained();
		suite_moved();
		suite_gate();
		suite_alphabet();
		suite_verify();
		suite_stats();
		suite_look();
		suite_check();
		suite_unknown();
		suite_at_once(tasks);
		if (!s->one_process)
			suite_two_writers();
		suite_rules();
	}
	s->driver->close(suite_lb);
	s->driver->close(NULL);
	tasks_free(tasks); /* which keeps connections of HTTP for the next call */
	SUITE_IS(suite_open_files(), files, "no file descriptor is left open");
	for (int i = 0; i < 3; i++)
		app_stop(&suite_app[i]);
}

#endif
