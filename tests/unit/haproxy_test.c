/* What only the driver haproxy does: backends and routes in HAProxy's own configuration, the reload they need, and many
 * changes in one write. `eval "$(tests/rig/up haproxy)"` first. */
#include "tests/unit/haproxy_rig.h"

#include "base/banned.h"

#define MANY 32

static struct tasks *tasks;
static char original[32768]; /* the rig's configuration */

/* ---- helpers ---- */

/* A GET for a host: the status, and the server's number. */
static int get(const char *host, const char *path, int *number)
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
static int server_for(const char *host, const char *path)
{
	int number = -1;

	return get(host, path, &number) == 200 ? number : -1;
}

static int ensure_by(struct lb *by, const char *backend, const char *rule, const char *check)
{
	struct rule r = {.n = 0};
	struct lb_route route = {.rule = &r};

	err = (struct err){0};
	(void)snprintf(route.check, sizeof route.check, "%s", check);
	if (rule && *rule && rule_parse(rule, &r, &err) < 0)
		abort();
	return lb_haproxy.ensure(by, backend, rule ? &route : NULL, &result, &err);
}

static int ensure(const char *backend, const char *rule) { return ensure_by(lb, backend, rule, "/"); }
static int forget(const char *backend) { return ensure_by(lb, backend, NULL, ""); }

/* Reloads that the master began, by its own count. */
static long reloads(void)
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

static enum lb_state state_of(const char *backend, unsigned number)
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

static bool has_backend(const char *name)
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
static void say(const char *text)
{
	char temporary[256];

	(void)snprintf(temporary, sizeof temporary, "%s.new", config);
	write_all(temporary, text, 0600);
	if (rename(temporary, config) < 0)
		abort();
}

static const char *with(const char *line)
{
	static char text[65536];

	(void)snprintf(text, sizeof text, "%s%s", original, line);
	return text;
}

static bool is_pending(void)
{
	char path[256];
	const char *slash = strrchr(config, '/');

	(void)snprintf(path, sizeof path, "%.*s/.%s.as-lb-reload", (int)(slash - config), config, slash + 1);
	return access(path, F_OK) == 0;
}

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
	OK(strstr(read_all(config), want), "the backend stands in a block of its own, with its server");

	const long pid = worker_pid();
	const char *before = read_all(config);
	done(ensure("app", "Host(`a.example`) && PathPrefix(`/x`)"), "making it again succeeds");
	OK(result.already, "making it again reports that nothing was to be done");
	IS(worker_pid(), pid, "making it again reloads nothing");
	IS_STR(read_all(config), before, "making it again writes nothing");

	done(ensure("app", "Host(`c.example`)"), "another rule takes the place of the first");
	IS(server_for("c.example", "/"), 0, "the new rule leads to it");
	IS(get("a.example", "/x", NULL), 503, "the old rule does not");
	IS(count(read_all(config), "use_backend app "), 1, "there is one line for it");
	done(ensure_by(lb, "app", "Host(`c.example`)", "/health"), "another check of a made backend is written");
	OK(strstr(read_all(config), "    option httpchk GET /health\n") &&
	       !strstr(read_all(config), "GET /\n    # as-lb begin app"),
	   "it is the only check");
	done(ensure_by(lb, "app", "Host(`c.example`)", ""), "no check is written too");
	OK(!strstr(strstr(read_all(config), "\nbackend app\n"), "httpchk"), "then a connection is enough");
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
	OK(!strstr(read_all(config), "w4"), "what is refused is not written");
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
	IS(count(read_all(config), "backend api\n"), 1, "the backend is not made again");
	must(detach_from("api", 1, WAIT));
	done(forget("api"), "its route goes");
	IS(count(read_all(config), "backend api\n"), 1, "the operator's backend stays");
	done(forget("web"), "what was not made is not taken away");
	OK(result.already && strstr(read_all(config), "backend web\n"), "it stays, and nothing was to be done");
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
	OK(strstr(read_all(config),
	          "backend bare\n    balance random\n    # as-lb begin bare\n    server as-000000000004 "),
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
	IS(count(read_all(config), "server as-"), 20, "all 20 are saved");
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
	IS_STR(read_all(config), with("    no-such-keyword 1\n"), "a broken configuration keeps its bytes");
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
	IS_STR(read_all(config), with(line), "it has its old bytes again");
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
	IS_STR(read_all(config), original, "and nothing is written");
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
	IS_STR(read_all(path), text, "it keeps its bytes");
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
	OK(strstr(read_all(config), host) && worker_pid() == pid, "killed there, it has written and not reloaded");
	OK(is_pending(), "a reload is owed");
	done(ensure_by(lb, "app", rule, ""), "the next run of the same succeeds");
	OK(!result.already && worker_pid() != pid, "it reloads");
	must(attach_to("app", 1, apps[2].port, GATE));
	IS(server_for(host, "/"), 2, "the route works");
	OK(!is_pending(), "no reload is owed any more");
	done(ensure_by(lb, "app", rule, ""), "one more run succeeds");
	OK(result.already, "it has nothing to do");
}

/* ---- an older HAProxy ---- */

/* The rig's, which refuses what 2.4 refuses: `add server` and `del server` without the experimental mode, and checks
 * of what is added. */
static void old_haproxy(int fd)
{
	char line[4096];

	for (;;) {
		const int client = accept(fd, NULL, NULL);
		ssize_t n = 0, got;
		while ((got = recv(client, line + n, sizeof line - 1 - (size_t)n, 0)) > 0 && line[(n += got) - 1] != '\n')
			;
		line[n > 0 ? n - 1 : 0] = '\0';
		const char *answer,
			*order = strstr(line, "add server") ? strstr(line, "add server") : strstr(line, "del server");
		if (order && !strstr(line, "experimental-mode on;"))
			answer = "[6]: This command is restricted to experimental mode only.\n";
		else if (order && strstr(order, " check "))
			answer = "[3]: 'check' option is not accepted for dynamic server\n";
		else
			answer = tell_edge(line);
		(void)send(client, answer, strlen(answer), MSG_NOSIGNAL);
		(void)close(client);
	}
}

static void test_old_haproxy(void)
{
	char path[PATH_SIZE];
	struct conf_lb conf = edge;
	const int fd = listen_unix(path_in(path, "old"));
	const pid_t pid = app_fork();

	if (pid == 0)
		old_haproxy(fd);
	(void)close(fd);
	conf.socket = path;
	struct lb *was = lb;
	lb = lb_haproxy.open(&conf, &alone, &err);
	done(attach(1, apps[0].port), "a HAProxy where adding a server is an experiment takes one");
	IS(listed(), 1, "it is up");
	failed(attach_to("web", 2, apps[3].port, 500), ERR_UNAVAILABLE, "did not get healthy within 0.5 s",
	       "where HAProxy does not check what is added, we look ourselves");
	IS(listed(), 1, "a closed port is not listed");
	done(detach(1), "it is deleted there");
	IS(listed(), 0, "none is listed then");
	lb_haproxy.close(lb);
	lb = was;
	(void)kill(pid, SIGKILL);
	(void)app_reap(pid);
}

/* ---- slots, where the balance rule takes no server at run time ---- */

/* Those of ours in `slots`, whatever their state. */
static int in_slots(void)
{
	struct lb_list list;
	int n = 0;

	must(lb_haproxy.list(lb, "slots", &list, &err));
	for (size_t i = 0; i < list.n; i++)
		n += list.v[i].ours;
	lb_list_release(&list);
	return n;
}

static int answers(int number)
{
	int n = 0, by = -1;

	for (int i = 0; i < 20; i++)
		n += get("x", "/slots/x", &by) == 200 && by == number;
	return n;
}

static void test_slot(void)
{
	struct lb_list want = {.n = 0};

	done(attach_to("slots", 1, apps[0].port, GATE), "where no server can be added, a spare one is used");
	OK(!result.already && !*result.note, "this is reported as a change, and it is saved");
	IS(in_slots(), 1, "it is listed as ours");
	IS(state_of("slots", 1), LB_UP, "it is up");
	OK(has_backend("slots"), "its backend is among those with servers of ours");
	IS(answers(0), 20, "20 of 20 requests reach it");
	OK(strstr(read_all(config), "# as-lb slot slot1 as-000000000001\n"), "the configuration says whose the slot is");
	done(attach_to("slots", 1, apps[0].port, GATE), "attaching it again succeeds");
	OK(result.already, "attaching it again reports that nothing was to be done");
	done(attach_to("slots", 1, apps[1].port, GATE), "when it moved it is attached at its new address");
	IS(answers(1), 20, "20 of 20 requests reach the new address");
	IS(in_slots(), 1, "it is listed once");
	failed(attach_to("slots", 2, apps[3].port, 500), ERR_UNAVAILABLE, "did not pass a health check",
	       "a closed port gets no slot");
	IS(in_slots(), 1, "it is not listed");
	must(attach_to("slots", 2, apps[0].port, GATE));
	must(attach_to("slots", 3, apps[2].port, GATE));
	failed(attach_to("slots", 4, apps[2].port, GATE), ERR_LIMIT, "all 3 slots are taken", "three slots take three");
	const long before = app_shared->hits[1];
	err = (struct err){0};
	done(lb_haproxy.drain(lb, "slots", server(1, 1).name, WAIT, &result, &err), "one is drained");
	IS(state_of("slots", 1), LB_DRAIN, "it is listed as drained");
	(void)answers(0);
	IS(app_shared->hits[1] - before, 0, "0 of 20 requests reach it");
	failed(lb_haproxy.verify(lb, "slots", &want, &err), ERR_CONFLICT, "is stale", "verify knows whose the slots are");

	must(ensure("app", "Host(`a.example`)"));
	IS(in_slots(), 3, "after a reload three are listed");
	IS(state_of("slots", 1), LB_DRAIN, "the drained one is drained");
	IS(state_of("slots", 2), LB_UP, "another is up");
	done(attach_to("slots", 2, apps[0].port, GATE), "attaching it again succeeds after a reload");
	OK(result.already, "nothing is to be done then");
	must(forget("app"));
	for (unsigned i = 1; i <= 3; i++)
		done(detach_from("slots", i, WAIT), "one is detached");
	IS(in_slots(), 0, "none is left");
	OK(!strstr(read_all(config), "as-lb slot ") && !count(read_all(config), "server as-"), "none is saved");
	must(attach_to("slots", 5, apps[2].port, GATE));
	IS(answers(2), 20, "the slots are free again");
	done(detach_from("slots", 5, WAIT), "it is detached from its slot");
	OK(!result.forced && !result.already, "that takes no force");
	IS(get("x", "/slots/x", NULL), 503, "no request reaches it");
}

static int slot_in_child(unsigned number)
{
	int failures = 0;

	for (int i = 0; i < 4; i++) {
		failures += attach_to("slots", number, apps[0].port, GATE) != 0 || *result.note;
		failures += i < 3 && (detach_from("slots", number, WAIT) != 0 || *result.note);
	}
	return failures;
}

static void test_slots_of_three(void)
{
	pid_t pid[3];
	char line[64];
	int failures = 0;

	for (unsigned i = 0; i < 3; i++) {
		pid[i] = app_fork();
		if (pid[i] == 0)
			_exit(slot_in_child(0x40 + i));
	}
	for (unsigned i = 0; i < 3; i++)
		failures += app_reap(pid[i]) != 0;
	IS(failures, 0, "three writers that want a slot at once each get one, four times");
	IS(in_slots(), 3, "three are listed");
	for (int i = 1; i <= 3; i++) {
		(void)snprintf(line, sizeof line, "# as-lb slot slot%d as-", i);
		IS(count(read_all(config), line), 1, "no slot has two owners");
	}
	for (unsigned i = 0; i < 3; i++)
		must(detach_from("slots", 0x40 + i, WAIT));
}

/* ---- many at once ---- */

static struct {
	int rc, notes;
	struct err err;
} outcome[MANY];

static void attach_one(void *ctx, size_t i)
{
	const struct lb_server s = server(0x300 + (unsigned)i, apps[0].port);
	struct lb_result r;

	outcome[i].rc = lb_haproxy.attach(ctx, "web", &s, GATE, &r, &outcome[i].err);
	outcome[i].notes = *r.note != '\0';
}

static void detach_one(void *ctx, size_t i)
{
	struct lb_result r;

	outcome[i].rc = lb_haproxy.detach(ctx, "web", server(0x300 + (unsigned)i, 1).name, WAIT, &r, &outcome[i].err);
	outcome[i].notes = *r.note != '\0';
}

static void ensure_one(void *ctx, size_t i)
{
	struct rule rule = {.n = 1};
	const struct lb_route route = {.rule = &rule};
	struct lb_result r;
	char name[LB_NAME];

	(void)snprintf(name, sizeof name, "many-%zu", i);
	(void)snprintf(rule.v[0].host, sizeof rule.v[0].host, "m%zu.example", i);
	outcome[i].rc = lb_haproxy.ensure(ctx, name, &route, &r, &outcome[i].err);
}

static void forget_one(void *ctx, size_t i)
{
	struct lb_result r;
	char name[LB_NAME];

	(void)snprintf(name, sizeof name, "many-%zu", i);
	outcome[i].rc = lb_haproxy.ensure(ctx, name, NULL, &r, &outcome[i].err);
}

static int at_once(struct lb *by, void (*fn)(void *ctx, size_t i))
{
	int good = 0;

	memset(outcome, 0, sizeof outcome);
	must(tasks_run(tasks, MANY, fn, by, &err));
	for (int i = 0; i < MANY; i++) {
		good += outcome[i].rc == 0 && !outcome[i].notes;
		if (outcome[i].rc < 0)
			printf("# %s\n", outcome[i].err.message);
	}
	return good;
}

/* Each run of `haproxy -c` leaves a line. */
static void test_many(void)
{
	const struct lb_means means = {.tasks = tasks};
	char bin[PATH_SIZE], program[160], log[PATH_SIZE], text[512], path[4096];

	struct lb *many = lb_haproxy.open(&edge, &means, &err);
	must(mkdir(path_in(bin, "bin"), 0755));
	(void)snprintf(program, sizeof program, "%s/haproxy", bin);
	(void)snprintf(text, sizeof text, "#!/bin/sh\necho x >>%s\nexec %s \"$@\"\n", path_in(log, "log"),
	               "/usr/sbin/haproxy");
	write_all(program, text, 0755);
	(void)snprintf(path, sizeof path, "%s", getenv("PATH"));
	(void)snprintf(text, sizeof text, "%s:/usr/sbin:/usr/bin:/bin", bin);
	(void)setenv("PATH", text, 1);

	IS(at_once(many, attach_one), MANY, "32 servers are attached at once");
	IS(listed(), MANY, "32 are listed");
	IS(count(read_all(config), "server as-"), MANY, "32 are saved when the last attach returns");
	const int checks = count(read_all(log), "x");
	OK(checks >= 1 && checks <= 8, "32 at once make few checks of the configuration (%d)", checks);
	const long was = reloads();
	IS(at_once(many, ensure_one), MANY, "32 backends are made at once");
	IS(reloads() - was, 1, "by one reload");
	IS(count(tell_edge("show stat -1 2 -1"), "\nmany-"), MANY, "HAProxy has 32 backends more");
	IS(listed(), MANY, "the 32 servers are still listed");
	IS(at_once(many, forget_one), MANY, "32 backends go at once");
	IS(at_once(many, detach_one), MANY, "32 servers are detached at once");
	IS(count(read_all(config), "server as-"), 0, "none is saved then");
	(void)setenv("PATH", path, 1);
	lb_haproxy.close(many);
}

int main(void)
{
	if (!rig_begin() || !(edge.master = getenv("AS_RIG_HAPROXY_MASTER")) || !(tasks = tasks_new(&err))) {
		OK(true, "HAProxy # SKIP no rig: eval \"$(tests/rig/up haproxy)\"");
		return rig_end();
	}
	(void)snprintf(original, sizeof original, "%s", read_all(config));
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
	test_old_haproxy();
	test_slot();
	test_slots_of_three();
	say(original);
	test_many();
	say(original);
	(void)tell(edge.master, "reload");
	tasks_free(tasks);
	return rig_end();
}
