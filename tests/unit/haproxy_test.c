/* Backends and routes in HAProxy's own configuration, and the reload they need: `eval "$(tests/rig/up haproxy)"` first.
 * Servers come and go: lb_test.c; slots, older versions, many at once: haproxy_slots_test.c. */
#include "tests/unit/haproxy_rig.h"

#include "base/banned.h"

/* ---- a backend and its route ---- */

static void test_route(void)
{
	char want[65536];

	OK(!has_backend("app"), "a backend that nobody made is not there");
	done(ensure("app", "Host(`a.example`) && PathPrefix(`/x`)"), "a backend with a route is made");
	OK(!result.already, "making it is reported as a change");
	OK(has_backend("app"), "a backend without servers that was made is among the backends");
	must(attach_to("app", 1, apps[0].port, GATE));
	IS((get("a.example", "/x", NULL) == 200) + (get("a.example", "/x/y", NULL) == 200) +
	       (get("a.example:8080", "/x", NULL) == 200) + (get("A.Example", "/x?q=1", NULL) == 200),
	   4, "its host and path, with a port, in capitals or with more segments, lead to it");
	IS(get("a.example", "/xy", NULL), 503, "a path that only begins with the same letters does not");
	IS(get("b.example", "/x", NULL), 503, "another host does not");
	(void)snprintf(
		want, sizeof want,
		"# as-lb backends begin\nbackend app\n    mode http\n    balance roundrobin\n    option httpchk GET /\n"
		"    # as-lb begin app\n    server as-000000000001 127.0.0.1:%u check inter 200ms rise 1 fall 3 weight "
		"100 pool-max-conn 0\n    # as-lb end app\n# as-lb backends end\n",
		apps[0].port);
	OK(strstr(text_of(config), want), "the backend stands in a block of its own, with its server");

	const long pid = worker_pid();
	const char *before = text_of(config);
	done(ensure("app", "Host(`a.example`) && PathPrefix(`/x`)"), "making it again succeeds");
	OK(result.already, "making it again reports that nothing was to be done");
	IS(worker_pid(), pid, "making it again reloads nothing");
	IS_STR(text_of(config), before, "making it again writes nothing");

	done(ensure("app", "Host(`c.example`)"), "another rule takes the place of the first");
	IS(server_for("c.example", "/"), 0, "the new rule leads to it");
	IS(get("a.example", "/x", NULL), 503, "the old rule does not");
	IS(count(text_of(config), "use_backend app "), 1, "there is one line for it");
	done(ensure_by(lb, "app", "Host(`c.example`)", "/health"), "another check of a made backend is written");
	OK(strstr(text_of(config), "    option httpchk GET /health\n") &&
	       !strstr(text_of(config), "GET /\n    # as-lb begin app"),
	   "it is the only check");
	done(ensure_by(lb, "app", "Host(`c.example`)", ""), "no check is written too");
	OK(!strstr(strstr(text_of(config), "\nbackend app\n"), "httpchk"), "then a connection is enough");
	IS(state_of("app", 1), LB_UP, "its server was up all the time");

	failed(forget("app"), ERR_CONFLICT, "still has servers, such as as-000000000001", "with a server it does not go");
	must(detach_from("app", 1, WAIT));
	done(forget("app"), "without servers it goes");
	OK(!has_backend("app"), "it is not among the backends");
	IS(get("c.example", "/", NULL), 503, "its route is gone");
	done(forget("app"), "taking it away again succeeds");
	OK(result.already, "taking it away again reports that nothing was to be done");
	OK(!is_pending(), "no reload is owed");
}

static void test_closest(void)
{
	static const char *const rules[][2] = {{"w1", "Host(`*.b.example`)"},
	                                       {"w2", "Host(`x.b.example`)"},
	                                       {"w3", "Host(`x.b.example`) && PathPrefix(`/p`)"}};

	for (unsigned i = 0; i < 3; i++) {
		must(ensure(rules[i][0], rules[i][1]));
		must(attach_to(rules[i][0], 0x20 + i, apps[i].port, GATE));
	}
	IS(server_for("y.b.example", "/p"), 0, "a name below *.b.example goes there");
	IS(server_for("x.b.example", "/"), 1, "a name of its own comes before *.b.example");
	IS(server_for("x.b.example", "/p/q"), 2, "a longer path comes before a shorter");
	IS(get("b.example", "/p", NULL), 503, "*.b.example is not b.example");
	failed(ensure("w4", "Host(`x.b.example`)"), ERR_CONFLICT, "requests for x.b.example go to backend w2 already",
	       "what goes to one backend cannot go to another");
	OK(!strstr(text_of(config), "w4"), "what is refused is not written");
	done(ensure("w1", "Host(`*.b.example`) || Host(`z.example`)"), "a rule with two ways is written");
	IS(server_for("z.example", "/"), 0, "the second way leads to it too");
	for (unsigned i = 0; i < 3; i++) {
		must(detach_from(rules[i][0], 0x20 + i, WAIT));
		must(forget(rules[i][0]));
	}
}

static void test_operators_backend(void)
{
	const long was = reloads();

	done(ensure("web", ""), "a backend of the operator's own is there");
	OK(result.already, "and nothing is to be done");
	done(ensure("api", "PathPrefix(`/other`)"), "a backend of the operator's own gets a route");
	IS(reloads(), was + 1, "by one reload");
	must(attach_to("api", 1, apps[1].port, GATE));
	IS(server_for("any.example", "/other"), 1, "the route leads there");
	IS(count(text_of(config), "backend api\n"), 1, "the backend is not made again");
	must(detach_from("api", 1, WAIT));
	done(forget("api"), "its route goes");
	IS(count(text_of(config), "backend api\n"), 1, "the operator's backend stays");
	done(forget("web"), "what was not made is not taken away");
	OK(result.already && strstr(text_of(config), "backend web\n"), "it stays, and nothing was to be done");
}

/* ---- a reload ---- */

static void test_reload_keeps(void)
{
	for (unsigned i = 1; i <= 3; i++)
		must(attach(i, apps[i - 1].port));
	/* A backend that has no markers. */
	must(attach_to("bare", 4, apps[0].port, GATE));
	must(drain(2, WAIT));
	(void)tell_edge("set server web/as-000000000003 state maint");
	const struct load load = load_start(front, false);
	while (app_shared->good < 50)
		clock_sleep_ms(5);
	const long before = app_shared->hits[1] + app_shared->hits[2], pid = worker_pid();
	done(ensure("app", "Host(`a.example`)"), "a backend is made under load");
	const long good = app_shared->good;
	while (app_shared->good < good + 200)
		clock_sleep_ms(5);
	load_stop(&load);
	OK(worker_pid() != pid, "HAProxy has a new worker");
	IS(app_shared->bad, 0, "no request fails");
	IS(state_of("web", 1), LB_UP, "an attached server is up after the reload");
	IS(state_of("web", 2), LB_DRAIN, "a drained one is drained");
	IS(state_of("web", 3), LB_MAINT, "one in maintenance is in maintenance");
	IS(app_shared->hits[1] + app_shared->hits[2] - before, 0, "neither got a request meanwhile");
	IS(state_of("bare", 4), LB_UP, "a server of a backend without markers is up");
	OK(strstr(text_of(config), "backend bare\n    balance random\n    # as-lb begin bare\n    server as-000000000004 "),
	   "because markers were added");
	for (unsigned i = 1; i <= 3; i++)
		must(detach(i));
	must(detach_from("bare", 4, WAIT));
	must(forget("app"));
}

/* A request that began before the reload is still in the old worker. */
static void test_drain_over_reload(void)
{
	must(attach(1, apps[0].port));
	const long before = app_shared->hits[0];
	const pid_t client = app_later(front, "/wait/1500");
	while (app_shared->hits[0] == before)
		clock_sleep_ms(5);
	must(ensure("app", "Host(`a.example`)"));
	done(drain(1, WAIT), "a server is drained while a request is in flight that began before a reload");
	const int64_t end = clock_monotonic_ms();
	(void)app_reap(client);
	IS(app_shared->status, 200, "that request ends well");
	OK(end + 50 >= app_shared->ended_ms, "drain returns after it");
	must(detach(1));
	must(forget("app"));
}

static int attach_many_in_child(void)
{
	int failures = 0;

	for (unsigned i = 0; i < 20; i++)
		if (attach(0x200 + i, apps[0].port) != 0 || *result.note) {
			printf("# %s %s\n", err.message, result.note);
			failures++;
		}
	(void)fflush(stdout);
	return failures;
}

static void test_attach_during_reloads(void)
{
	const pid_t pid = app_fork();

	if (pid == 0)
		_exit(attach_many_in_child());
	int failures = 0;
	for (int i = 0; i < 4; i++)
		failures += ensure("app", i % 2 ? "Host(`a.example`)" : "Host(`b.example`)") != 0;
	IS(app_reap(pid), 0, "another process attaches 20 servers while HAProxy is reloaded");
	IS(failures, 0, "the four reloads succeed");
	IS(listed(), 20, "all 20 are listed and up");
	IS(count(text_of(config), "server as-"), 20, "all 20 are saved");
	for (unsigned i = 0; i < 20; i++)
		must(detach(0x200 + i));
	must(forget("app"));
}

/* ---- what goes wrong ---- */

static void test_broken(void)
{
	const long pid = worker_pid();

	say(with("    no-such-keyword 1\n"));
	failed(ensure("app", "Host(`a.example`)"), ERR_REFUSED, "unknown keyword 'no-such-keyword'",
	       "a configuration that was broken before is reported with HAProxy's words");
	IS_STR(text_of(config), with("    no-such-keyword 1\n"), "a broken configuration keeps its bytes");
	IS(worker_pid(), pid, "the old worker serves");
	OK(!is_pending(), "no reload is owed for what was not written");
	say(original);
}

/* The check finds nothing, but the new worker cannot start: its port is somebody else's. */
static void test_refused_load(void)
{
	char line[128];
	struct app taken = app_bind(4);
	const long pid = worker_pid();

	must(listen(taken.fd, 1));
	(void)snprintf(line, sizeof line, "frontend second\n    bind 127.0.0.1:%u\n", taken.port);
	say(with(line));
	edge.frontend = (char[]){"fe"};
	failed(ensure("app", "Host(`a.example`)"), ERR_REFUSED, "did not load its configuration",
	       "a configuration that HAProxy cannot load is reported");
	IS_STR(text_of(config), with(line), "it has its old bytes again");
	IS(worker_pid(), pid, "the old worker serves on");
	(void)close(taken.fd);
	say(original);
	edge.frontend = NULL;
	done(ensure("app", "Host(`a.example`)"), "when that is mended, the next run succeeds");
	OK(has_backend("app") && worker_pid() != pid, "and HAProxy has it");
	must(forget("app"));
}

static void test_what_is_missing(void)
{
	struct conf_lb conf = edge;
	char path[PATH_SIZE], text[1024];
	static const char two[] = "defaults\n    mode http\nfrontend f1\nfrontend f2\nbackend web\n";

	conf.master = NULL;
	struct lb *other = lb_haproxy.open(&conf, &alone, &err);
	failed(ensure_by(other, "app", "Host(`a.example`)", ""), ERR_CONFIG, "set `master` in [lb \"edge\"]",
	       "without a master socket the message says what to set");
	IS_STR(text_of(config), original, "and nothing is written");
	done(ensure_by(other, "web", "", ""), "without a master socket what is there is there");
	lb_haproxy.close(other);
	conf.config = NULL;
	other = lb_haproxy.open(&conf, &alone, &err);
	failed(ensure_by(other, "app", "Host(`a.example`)", ""), ERR_CONFIG, "set `config` and `master` in [lb \"edge\"]",
	       "without a configuration file the message says what to set");
	done(ensure_by(other, "web", "", ""), "without a configuration file what is there is there");
	done(ensure_by(other, "app", NULL, ""), "without a configuration file there is nothing to take away");
	lb_haproxy.close(other);

	conf = edge;
	conf.config = path_in(path, "two.cfg");
	write_all(path, two, 0600);
	other = lb_haproxy.open(&conf, &alone, &err);
	failed(ensure_by(other, "app", "Host(`a.example`)", ""), ERR_CONFIG, "has 2 frontends; say in [lb] which one",
	       "of several frontends one must be named");
	conf.frontend = (char[]){"f3"};
	failed(ensure_by(other, "app", "Host(`a.example`)", ""), ERR_CONFIG, "has no frontend f3",
	       "a frontend that is not there is reported");
	(void)snprintf(text, sizeof text, "%s# as-lb backends begin\n", two);
	write_all(path, text, 0600);
	failed(ensure_by(other, "app", "Host(`a.example`)", ""), ERR_CONFIG, "`# as-lb backends begin` has no end",
	       "a block without an end is reported");
	IS_STR(text_of(path), text, "it keeps its bytes");
	lb_haproxy.close(other);
	failed(ensure_by(lb, "a;b", "Host(`a.example`)", ""), ERR_REFUSED, "bad backend name", "a bad name is refused");
	failed(ensure_by(lb, "app", "Host(`a.example`)", "/a b"), ERR_REFUSED, "no plain path", "a bad check is refused");
}

/* A master that never answers, and the run before it is killed there. */
static void test_kill_before_reload(const char *host, const char *what)
{
	char path[PATH_SIZE], line[64], rule[64];
	struct conf_lb conf = edge;
	const long pid = worker_pid();
	const int fd = listen_unix(path_in(path, "master"));

	(void)snprintf(rule, sizeof rule, "Host(`%s`)", host);
	const pid_t child = app_fork();
	if (child == 0) {
		conf.master = path;
		_exit(ensure_by(lb_haproxy.open(&conf, &alone, &err), "app", rule, "") != 0);
	}
	const int client = accept(fd, NULL, NULL);
	OK(recv(client, line, sizeof line, 0) > 0, "a run is about to reload for %s", what);
	(void)kill(child, SIGKILL);
	(void)app_reap(child);
	(void)close(client);
	(void)close(fd);
	(void)unlink(path);
	OK(strstr(text_of(config), host) && worker_pid() == pid, "killed there, it has written and not reloaded");
	OK(is_pending(), "a reload is owed");
	done(ensure_by(lb, "app", rule, ""), "the next run of the same succeeds");
	OK(!result.already && worker_pid() != pid, "it reloads");
	must(attach_to("app", 1, apps[2].port, GATE));
	IS(server_for(host, "/"), 2, "the route works");
	OK(!is_pending(), "no reload is owed any more");
	done(ensure_by(lb, "app", rule, ""), "one more run succeeds");
	OK(result.already, "it has nothing to do");
}

int main(void)
{
	if (!rig_begin() || !(edge.master = getenv("AS_RIG_HAPROXY_MASTER"))) {
		OK(true, "HAProxy # SKIP no rig: eval \"$(tests/rig/up haproxy)\"");
		return rig_end();
	}
	test_route();
	say(original);
	test_closest();
	test_operators_backend();
	say(original);
	test_reload_keeps();
	test_drain_over_reload();
	test_attach_during_reloads();
	say(original);
	test_broken();
	test_what_is_missing();
	test_refused_load();
	test_kill_before_reload("a.example", "a new backend");
	test_kill_before_reload("b.example", "another rule");
	must(detach_from("app", 1, WAIT));
	must(forget("app"));
	say(original);
	return rig_end();
}
