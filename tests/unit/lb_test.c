/* The load balancer room against a real HAProxy: `eval "$(tests/rig/up haproxy)"` first, else only what needs none.
 * Servers come and go here; backends and routes: haproxy_test.c. */
#include "tests/unit/haproxy_rig.h"

#include "base/limits.h"

#include "base/banned.h"

/* ---- without HAProxy ---- */

static const char *const bad_names[] = {
	"a;b", "a b", "a\nb", "a/b",       "a}b",
	"",    "-a",  ".a",   "a\xc3\xa9", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

static void test_alphabet(void)
{
	static const char *const good[] = {"web", "as-0123456789ab", "A.b_c-9", "0",
	                                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	static const char *const no_address[] = {"localhost", "127.1",   "0x7f.1",    "::1:80",       "",
	                                         "1.2.3.4 ",  "0.0.0.0", "::",        "127.0.0.1:80", "[::1]",
	                                         "01.2.3.4",  "/x.sock", "1.2.3.4;x", "fe80::1%eth0", "2130706433"};
	static const char *const no_port[] = {"0", "65536", "99999", "+1", "080", "abc",
	                                      "",  "1 ",    " 1",    "-1", "8e1", "4294967376"};
	char out[LB_ADDRESS], name[LB_NAME];
	unsigned port = 0;
	int n = 0;

	for (size_t i = 0; i < sizeof bad_names / sizeof *bad_names; i++)
		n += lb_safe_name(bad_names[i]);
	IS(n, 0, "no bad name passes");
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		n += lb_safe_name(good[i]);
	IS(n, 5, "every good name passes");
	n = 0;
	for (size_t i = 0; i < sizeof no_address / sizeof *no_address; i++)
		n += lb_safe_address(no_address[i], out);
	IS(n, 0, "no host name, short form, zone, port or unspecified address passes");
	IS_STR(lb_safe_address("10.0.0.5", out) ? out : NULL, "10.0.0.5", "an IPv4 address passes");
	IS_STR(lb_safe_address("FD00:0:0::00a", out) ? out : NULL, "fd00::a", "an IPv6 address becomes canonical");
	IS_STR(lb_safe_address("::1", out) ? out : NULL, "::1", "the IPv6 loopback address passes");
	n = 0;
	for (size_t i = 0; i < sizeof no_port / sizeof *no_port; i++)
		n += lb_safe_port(no_port[i], &port);
	IS(n, 0, "no bad port passes");
	OK(lb_safe_port("65535", &port) && port == 65535, "port 65535 passes");
	IS_STR(lb_server_name("0123456789ABcdef0123456789abcdef0123456789abcdef0123456789abcdef", name) ? name : NULL,
	       "as-0123456789ab", "a server is named after its container's id");
	const struct lb_server v6 = {.address = "fd00::a", .port = 80};
	char place[LB_PLACE];
	lb_place(&v6, place);
	IS_STR(place, "[fd00::a]:80", "an IPv6 address with its port has brackets");
	OK(!lb_server_name("0123456789ab", name), "a short id gives no name");
	OK(lb_is_ours("as-0123456789ab") && !lb_is_ours("as-0123456789AB") && !lb_is_ours("as-0123456789abc") &&
	       !lb_is_ours("web1"),
	   "only as- and 12 hex digits is ours");
}

static void test_configuration(void)
{
	struct conf_lb conf = {.name = edge.name, .driver = (char[]){"nosuch"}};

	OK(!lb_driver(&conf, &err) && err.code == ERR_CONFIG && strstr(err.message, "haproxy"),
	   "an unknown driver is refused and the known named");
	conf.driver = edge.driver;
	OK(lb_driver(&conf, &err) == &lb_haproxy, "haproxy is a driver");
	OK(!lb_haproxy.open(&conf, &alone, &err) && err.code == ERR_CONFIG && strstr(err.message, "`socket`"),
	   "a load balancer without a socket is refused");
}

/* Every verb with what must not get through; a socket that listens counts who comes. */
static void test_nothing_unsafe_is_sent(void)
{
	char path[PATH_SIZE];
	struct conf_lb conf = {.name = edge.name, .driver = edge.driver, .socket = path_in(path, "fake")};
	const int fd = listen_unix(path);
	struct lb *fake = lb_haproxy.open(&conf, &alone, &err);
	struct lb_server s = server(1, 80);
	struct lb_stats stats;
	struct lb_list list;
	int refused = 0;

	for (size_t i = 0; i < sizeof bad_names / sizeof *bad_names; i++) {
		const char *bad = bad_names[i];
		err.code = ERR_NONE;
		refused += lb_haproxy.list(fake, bad, &list, &err) < 0 && err.code == ERR_REFUSED;
		refused += lb_haproxy.stats(fake, bad, &stats, &err) < 0 && err.code == ERR_REFUSED;
		refused += lb_haproxy.verify(fake, bad, &(struct lb_list){0}, &err) < 0 && err.code == ERR_REFUSED;
		refused += lb_haproxy.attach(fake, bad, &s, 0, &result, &err) < 0 && err.code == ERR_REFUSED;
		refused += lb_haproxy.drain(fake, bad, "a", 0, &result, &err) < 0 && err.code == ERR_REFUSED;
		refused += lb_haproxy.drain(fake, "web", bad, 0, &result, &err) < 0 && err.code == ERR_REFUSED;
		refused += lb_haproxy.detach(fake, bad, "a", 0, &result, &err) < 0 && err.code == ERR_REFUSED;
		refused += lb_haproxy.detach(fake, "web", bad, 0, &result, &err) < 0 && err.code == ERR_REFUSED;
		struct lb_server odd = s;
		memset(odd.name, 0, sizeof odd.name);
		memcpy(odd.name, bad, strlen(bad) < sizeof odd.name ? strlen(bad) : sizeof odd.name - 1);
		if (strlen(bad) >= sizeof odd.name)
			odd.name[0] = '\n'; /* 64 letters do not fit in the struct */
		refused += lb_haproxy.attach(fake, "web", &odd, 0, &result, &err) < 0 && err.code == ERR_REFUSED;
	}
	IS(refused, 9 * (int)(sizeof bad_names / sizeof *bad_names), "every verb refuses every bad name");

	struct lb_server odd[] = {s, s, s, s};
	odd[0].port = 0;
	odd[1].port = 65536;
	odd[2].weight = 257;
	(void)snprintf(odd[3].address, sizeof odd[3].address, "localhost");
	refused = 0;
	for (size_t i = 0; i < 4; i++)
		refused += lb_haproxy.attach(fake, "web", &odd[i], 0, &result, &err) < 0 && err.code == ERR_REFUSED;
	IS(refused, 4, "attach refuses a bad port, weight and address");
	IS(connections_waiting(fd), 0, "what is refused makes no connection");
	lb_haproxy.close(fake);
	(void)close(fd);
}

/* A HAProxy that never answers, tried by a child, for that takes its time. */
static struct {
	struct conf_lb conf;
	char path[PATH_SIZE];
	int fd;
	pid_t pid;
} silent;

enum { SILENT_REPORTED = 1, SILENT_IN_TIME = 2, SILENT_RETRY = 4 };

static void silent_start(void)
{
	silent.conf = (struct conf_lb){.name = edge.name, .socket = path_in(silent.path, "silent")};
	silent.fd = listen_unix(silent.path);
	silent.pid = app_fork();
	if (silent.pid)
		return;
	const struct lb_server s = server(1, 80);
	const int64_t start = clock_monotonic_ms();
	const int rc = lb_haproxy.attach(lb_haproxy.open(&silent.conf, &alone, &err), "web", &s, GATE, &result, &err);
	took = clock_monotonic_ms() - start;
	_exit((rc < 0 && err.code == ERR_UNAVAILABLE && strstr(err.message, "did not answer within 10 s") ? SILENT_REPORTED
	                                                                                                  : 0) |
	      (took >= 9900 && took <= 12000 ? SILENT_IN_TIME : 0) | (err.retry ? SILENT_RETRY : 0));
}

static void test_silent_peer(void)
{
	const int status = app_reap(silent.pid), said = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	const int n = connections_waiting(silent.fd);

	OK(said & SILENT_REPORTED, "a silent HAProxy is reported");
	OK(said & SILENT_IN_TIME, "a silent HAProxy is given up after 10 s");
	OK(n >= 1 && n <= 3, "a silent HAProxy gets at most 3 connections (%d)", n);
	OK(said & SILENT_RETRY, "a silent HAProxy may be tried again");
	(void)close(silent.fd);
}

static void test_no_peer(void)
{
	char path[PATH_SIZE];
	struct conf_lb conf = {.name = edge.name, .socket = path_in(path, "nobody")};
	struct lb *none = lb_haproxy.open(&conf, &alone, &err);
	struct lb_list list;

	failed(lb_haproxy.list(none, "web", &list, &err), ERR_UNAVAILABLE,
	       "No such file or directory (is HAProxy running, and is `socket` right in [lb \"edge\"]?)",
	       "a socket that is not there is reported with what to do");
	lb_haproxy.close(none);
}

/* ---- with HAProxy ---- */

static void test_attach_and_detach(void)
{
	struct lb_list list;
	int number = -1;

	IS(listed(), 0, "an empty backend has an empty list");
	done(attach(1, apps[0].port), "attach adds a server");
	printf("# attach took %lld ms\n", (long long)took);
	within(0, 2000, "attach takes little longer than the first check");
	char place[64];
	(void)snprintf(place, sizeof place, "127.0.0.1:%u", apps[0].port);
	IS_STR(result.address, place, "attach reports the address");
	OK(!result.already && !result.forced && !*result.note,
	   "attach reports that it was not there before, nothing was cut and all was saved");
	IS(app_get(front, "/x", &number), 200, "an attached server gets requests");
	IS(number, 0, "the answer is that server's");
	if (OK(lb_haproxy.list(lb, "web", &list, &err) == 0 && list.n == 1, "the list has the attached server")) {
		const struct lb_server *s = &list.v[0];
		OK(strcmp(s->name, "as-000000000001") == 0 && strcmp(s->address, "127.0.0.1") == 0 && s->port == apps[0].port &&
		       s->weight == 100 && s->state == LB_UP && s->ours && s->sessions == 0,
		   "the list has its name, address, weight, state and sessions");
	}
	lb_list_release(&list);
	const char *text = text_of(config);
	char line[256];
	(void)snprintf(line, sizeof line,
	               "    # as-lb begin web\n    server as-000000000001 %s check inter 200ms rise 1 fall 3 weight 100 "
	               "pool-max-conn 0\n"
	               "    # as-lb end web\n",
	               place);
	OK(strstr(text, line), "attach saves the server between the markers of HAProxy's configuration");

	done(attach(1, apps[0].port), "attaching the same again succeeds");
	OK(result.already, "attaching the same again reports that nothing was to be done");
	struct lb_server light = server(1, apps[0].port);
	light.weight = 50;
	IS(lb_haproxy.attach(lb, "web", &light, GATE, &result, &err), 0, "attaching with another weight succeeds");
	OK(!result.already, "another weight is reported as a change");
	OK(strstr(text_of(config), " weight 50 pool-max-conn 0\n"), "another weight is saved");

	done(detach(1), "detach removes the server");
	OK(!result.already && !result.forced, "detaching an idle server needs no force");
	IS_STR(result.address, place, "detach reports the address");
	IS(listed(), 0, "a detached server is not listed");
	IS(count(text_of(config), "server as-"), 0, "a detached server is not saved");
	done(detach(1), "detaching the same again succeeds");
	OK(result.already, "detaching the same again reports that nothing was to be done");
	done(drain(1, WAIT), "draining what is not there succeeds");
	OK(result.already, "draining what is not there reports that nothing was to be done");
}

static void test_refusals(void)
{
	const char *before = text_of(config);
	struct lb_list list;
	struct lb_stats stats;

	failed(attach_to("nosuch", 1, apps[0].port, GATE), ERR_NOT_FOUND, "No such backend",
	       "attaching to an unknown backend says so");
	failed(detach_from("nosuch", 1, 0), ERR_NOT_FOUND, "No such backend", "detaching from an unknown backend says so");
	failed(lb_haproxy.list(lb, "nosuch", &list, &err), ERR_NOT_FOUND, "No such backend",
	       "listing an unknown backend says so");
	failed(lb_haproxy.stats(lb, "nosuch", &stats, &err), ERR_NOT_FOUND, "No such backend",
	       "measuring an unknown backend says so");
	failed(attach_to("static", 1, apps[0].port, GATE), ERR_REFUSED, "`balance`",
	       "a backend with static-rr is refused with the rules that work");
	IS_STR(text_of(config), before, "a refused attach leaves the configuration's bytes");
}

static void test_gate(void)
{
	struct app late = app_bind(4);

	must(attach(1, apps[0].port));
	const struct load load = load_start(front, true);
	failed(attach_to("web", 2, apps[3].port, 1000), ERR_UNAVAILABLE,
	       "did not pass a health check within 1 s (the last one: L4CON)", "a closed port is not attached");
	within(1000, 1800, "a closed port is given up when the gate's time is over");
	IS(listed(), 1, "a closed port is not listed");
	IS(count(text_of(config), "server as-"), 1, "a closed port is not saved");

	app_start(&late, 2000);
	done(attach(2, late.port), "a port that opens after 2 s is attached");
	within(1900, 3000, "a port that opens after 2 s is attached then");
	IS(listed(), 2, "a port that opened late is listed");
	load_stop(&load);
	IS(app_shared->bad, 0, "no request fails while a closed port is tried and one opens late");
	OK(app_shared->hits[4] > 0, "a port that opened late gets requests");
	must(detach(2));
	must(detach(1));
	app_stop(&late);
}

/* A result that was good before the entry went into maintenance must not open the gate. */
static void test_gate_after_maintenance(void)
{
	struct app short_lived = app_bind(5);

	app_start(&short_lived, 0);
	must(attach(1, short_lived.port));
	(void)tell_edge("set server web/as-000000000001 state maint");
	IS(listed_in("web", LB_MAINT), 1, "a server in maintenance is listed as such");
	done(attach(1, short_lived.port), "attaching a server in maintenance succeeds");
	OK(!result.already, "attaching a server in maintenance is reported as a change");
	IS(listed(), 1, "attaching a server in maintenance makes it ready");
	(void)tell_edge("set server web/as-000000000001 state drain");
	done(attach(1, short_lived.port), "attaching a drained server succeeds");
	IS(listed(), 1, "attaching a drained server makes it ready");
	(void)tell_edge("set server web/as-000000000001 state maint");
	app_stop(&short_lived);
	failed(attach_to("web", 1, short_lived.port, 800), ERR_UNAVAILABLE, "did not pass a health check",
	       "a check passed before the maintenance does not count");
	IS(listed(), 0, "a server that died in maintenance is taken out by attaching it");
}

static void test_drain(void)
{
	must(attach(1, apps[0].port));
	must(attach(2, apps[1].port));
	const long hits = app_shared->hits[0] + app_shared->hits[1];
	(void)tell_edge("set server web/as-000000000002 state maint");
	pid_t client = app_later(front, "/wait/2000");
	while (app_shared->hits[0] + app_shared->hits[1] == hits)
		clock_sleep_ms(5);
	(void)tell_edge("set server web/as-000000000002 state ready");
	done(drain(1, GATE), "a server is drained while a request of 2 s is in flight");
	const int64_t end = clock_monotonic_ms();
	(void)app_reap(client);
	IS(app_shared->status, 200, "the request in flight ends well");
	OK(end + 20 >= app_shared->ended_ms && took > 1000, "drain returns when the request has ended");
	OK(!result.forced && !result.already && !*result.note, "drain reports that nothing was cut");
	struct lb_list list;
	if (OK(lb_haproxy.list(lb, "web", &list, &err) == 0 && list.n == 2, "a drained server is still listed"))
		OK(list.v[0].state + list.v[1].state == LB_UP + LB_DRAIN, "it is listed as drained");
	lb_list_release(&list);

	const struct load load = load_start(front, true);
	const long before = app_shared->hits[0];
	while (app_shared->good < 300)
		clock_sleep_ms(5);
	load_stop(&load);
	IS(app_shared->hits[0] - before, 0, "a drained server gets no new request");
	IS(app_shared->bad, 0, "no request fails after a drain");
	done(drain(1, WAIT), "draining again succeeds");
	OK(result.already, "draining again reports that nothing was to be done");

	client = app_later(front, "/wait/1500");
	clock_sleep_ms(200);
	done(drain(2, 300), "drain succeeds when its time is over before the request");
	within(300, 700, "drain returns when its time is over");
	OK(!result.forced && strstr(result.note, ": 1"), "drain reports what is still open (%s)", result.note);
	(void)app_reap(client);
	IS(app_shared->status, 200, "a request that outlives the drain's time is not cut by it");
	must(detach(1));
	must(detach(2));
}

static void test_force(void)
{
	must(attach(1, apps[0].port));
	const long before = app_shared->hits[0];
	const pid_t client = app_later(front, "/wait/60000");
	while (app_shared->hits[0] == before)
		clock_sleep_ms(5);
	done(detach_from("web", 1, 2000), "a server is detached while a request of 60 s is in flight");
	within(2000, 3000, "detach with a limit of 2 s ends in 2 to 3 s");
	OK(result.forced, "detach reports that it cut a request");
	(void)app_reap(client);
	IS(app_shared->status, 502, "the client of the cut request gets 502");
	IS(listed(), 0, "a server detached by force is not listed");
}

static void test_rounds(void)
{
	const long pid = worker_pid();
	int failures = 0, good = 0;

	must(attach(1, apps[0].port));
	const struct load keep = load_start(front, true), anew = load_start(front, false);
	for (int i = 0; i < 15; i++) {
		failures += attach(2, apps[1].port) != 0;
		clock_sleep_ms(50);
		failures += drain(2, WAIT) != 0 || *result.note;
		failures += detach(2) != 0 || result.forced;
	}
	load_stop(&keep);
	load_stop(&anew);
	IS(failures, 0, "15 rounds of attach, drain and detach under load succeed");
	IS(app_shared->bad, 0, "no request fails, of clients that keep connections and of clients that do not");
	OK(app_shared->good > 1000, "there were more than 1000 requests (%ld)", (long)app_shared->good);
	IS(worker_pid(), pid, "15 rounds leave HAProxy's worker");
	IS(listed(), 1, "15 rounds leave the list as it was");
	for (int i = 0; i < 20; i++)
		good += app_get(front, "/x", NULL) == 200;
	IS(good, 20, "after 15 rounds 20 of 20 requests are answered");
	must(detach(1));
}

static void test_broken_configuration(void)
{
	char path[PATH_SIZE];
	struct conf_lb conf = edge;
	const struct lb_server s = server(1, apps[0].port);

	conf.config = path_in(path, "broken.cfg");
	char *text = text_of(config);
	(void)snprintf(text + strlen(text), 64, "    no-such-keyword 1\n");
	write_all(path, text, 0640);
	struct lb *other = lb_haproxy.open(&conf, &alone, &err);
	IS(lb_haproxy.attach(other, "web", &s, GATE, &result, &err), 0,
	   "attach works while HAProxy's configuration is broken");
	IS(listed(), 1, "attach works live while the configuration is broken");
	OK(strstr(result.note, "haproxy -c refuses") && strstr(result.note, "unknown keyword 'no-such-keyword'"),
	   "a note says why it is not saved (%s)", result.note);
	IS_STR(text_of(path), text, "a broken configuration keeps its bytes");
	IS(lb_haproxy.detach(other, "web", s.name, WAIT, &result, &err), 0,
	   "detach works while the configuration is broken");
	lb_haproxy.close(other);
}

static void save_to(const char *path, const char *text, struct lb_result *out)
{
	struct conf_lb conf = edge;
	const struct lb_server s = server(1, apps[0].port);

	conf.config = (char *)(uintptr_t)path;
	write_all(path, text, 0640);
	struct lb *other = lb_haproxy.open(&conf, &alone, &err);
	(void)lb_haproxy.attach(other, "web", &s, GATE, out, &err);
	lb_haproxy.close(other);
}

static void test_configuration_file(void)
{
	static const char head[] =
		"defaults\n\tmode http\n\ttimeout connect 1s\n\ttimeout client 1s\n\ttimeout server 1s\n";
	char path[PATH_SIZE], link[PATH_SIZE], text[2048], want[2048];
	struct stat st;

	must(attach(1, apps[0].port));
	(void)snprintf(text, sizeof text,
	               "%sbackend web\n\t# as-lb begin web\n\t# mine\n\tserver as-0000000000ff 10.9.9.9:1\n\t"
	               "server other 127.0.0.1:1\n\t# as-lb end web\nbackend b2\n",
	               head);
	(void)snprintf(want, sizeof want,
	               "%sbackend web\n\t# as-lb begin web\n\t# mine\n\tserver other 127.0.0.1:1\n\tserver "
	               "as-000000000001 127.0.0.1:%u check inter 200ms rise 1 fall 3 weight 100 pool-max-conn 0\n\t# as-lb "
	               "end web\nbackend b2\n",
	               head, apps[0].port);
	save_to(path_in(path, "a.cfg"), text, &result);
	IS_STR(text_of(path), want, "saving drops stale servers, keeps foreign lines and indents as the marker");
	IS_STR(result.note, "", "saving into a part of a configuration gives no note");
	OK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640, "the file keeps its mode");

	must(symlink(path, path_in(link, "link.cfg")));
	save_to(link, text, &result);
	OK(lstat(link, &st) == 0 && S_ISLNK(st.st_mode), "a symbolic link stays one");
	IS_STR(text_of(path), want, "the file behind a symbolic link is written");

	(void)snprintf(text, sizeof text, "%sbackend web\n", head);
	save_to(path, text, &result);
	IS_STR(text_of(path), text, "a file without markers is left alone");
	IS_STR(result.note, "", "a file without markers gives no note");
	(void)snprintf(text, sizeof text, "%sbackend b2\n# as-lb begin web\n# as-lb end web\n", head);
	save_to(path, text, &result);
	OK(strstr(result.note, "not in that backend"), "a note says that the markers are in another backend");
	IS_STR(text_of(path), text, "markers in another backend are left alone");
	(void)snprintf(text, sizeof text, "%sbackend web\n# as-lb begin web\nbackend b2\n# as-lb end web\n", head);
	save_to(path, text, &result);
	OK(strstr(result.note, "has no end"), "a note says that a block reaches into the next section");
	save_to(path, "backend web\n# as-lb begin web", &result);
	OK(strstr(result.note, "has no end"), "a note says that a block has no end");

	struct conf_lb conf = edge;
	conf.config = link;
	(void)remove(path);
	struct lb *other = lb_haproxy.open(&conf, &alone, &err);
	const struct lb_server s = server(1, apps[0].port);
	IS(lb_haproxy.attach(other, "web", &s, GATE, &result, &err), 0,
	   "a configuration that is not there does not hinder");
	OK(strstr(result.note, "No such file"), "a note says that the configuration is not there");
	lb_haproxy.close(other);
	must(detach(1));
}

static void test_verify(void)
{
	struct lb_server x = server(0xa, apps[0].port), y = server(0xb, apps[1].port);
	struct lb_server both[] = {x, y}, wrong[] = {x, y};
	struct lb_list want = {.v = both, .n = 2};

	must(attach(0xa, x.port));
	failed(lb_haproxy.verify(lb, "web", &want, &err), ERR_CONFLICT, "as-00000000000b is missing",
	       "verify names a server that is missing");
	must(attach(0xb, y.port));
	done(lb_haproxy.verify(lb, "web", &want, &err), "verify is content with what is wanted");
	wrong[1].port = apps[2].port;
	want.v = wrong;
	failed(lb_haproxy.verify(lb, "web", &want, &err), ERR_CONFLICT, "as-00000000000b moved",
	       "verify names a server that moved");
	done(attach(0xb, apps[2].port), "a server that moved is attached at its new address");
	OK(!result.already, "a move is reported as a change");
	IS(listed(), 2, "a server that moved is listed once");
	done(lb_haproxy.verify(lb, "web", &want, &err), "verify is content after the move");
	(void)tell_edge("set server web/as-00000000000b state drain");
	failed(lb_haproxy.verify(lb, "web", &want, &err), ERR_CONFLICT, "as-00000000000b is listed, but drain",
	       "verify names a server that is drained");
	must(detach(0xb));

	/* X is gone and a stranger has its address; X's pool shall be empty. */
	want.n = 0;
	failed(lb_haproxy.verify(lb, "web", &want, &err), ERR_CONFLICT, "as-00000000000a is stale",
	       "verify names a server whose container is gone");
	must(detach(0xa));
	const long before = app_shared->hits[0];
	int refused = 0;
	for (int i = 0; i < 20; i++)
		refused += app_get(front, "/x", NULL) == 503;
	IS(refused, 20, "after the last is detached, 20 of 20 requests get HAProxy's 503");
	IS(app_shared->hits[0] - before, 0, "0 of 20 reach the stranger at its address");
}

static int writer(unsigned first, bool in)
{
	int failures = 0;

	for (unsigned i = first; i < first + 20; i++)
		failures += in ? attach(i, apps[0].port) != 0 || *result.note : detach(i) != 0 || *result.note;
	return failures;
}

static void test_two_writers(void)
{
	for (int in = 1; in >= 0; in--) {
		int64_t start = clock_monotonic_ms();
		pid_t pid[2];
		for (unsigned i = 0; i < 2; i++) {
			pid[i] = app_fork();
			if (pid[i] == 0)
				_exit(writer(0x100 * (i + 1), in));
		}
		const int a = app_reap(pid[0]), b = app_reap(pid[1]);
		printf("# %lld ms\n", (long long)(clock_monotonic_ms() - start));
		OK(a == 0 && b == 0, "two writers %s 20 servers each", in ? "attach" : "detach");
		IS(listed(), in ? 40 : 0, in ? "of two writers 40 are listed" : "after two writers none is listed");
		IS(count(text_of(config), "server as-"), in ? 40 : 0,
		   in ? "of two writers 40 are saved" : "after two writers none is saved");
	}
}

/* ---- a driver that is killed ---- */

static const char *killed_in; /* the backend */

static int run_killed(bool in)
{
	const int rc = in ? attach_to(killed_in, 1, apps[0].port, GATE) : detach_from(killed_in, 1, WAIT);

	return rc == 0 ? 0 : 1;
}

/* Runs a verb in a child through a relay which kills it after HAProxy did its k-th command. True: it ended by itself.
 */
static bool killed_after(int k, bool in)
{
	char path[PATH_SIZE];
	const int fd = listen_unix(path_in(path, "relay"));
	struct conf_lb conf = edge;
	bool ended = false;
	char line[4096];
	int seen = 0, status = 0;

	const pid_t pid = app_fork();
	if (pid == 0) {
		(void)close(fd);
		conf.socket = path;
		lb = lb_haproxy.open(&conf, &alone, &err);
		_exit(run_killed(in));
	}
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (poll(&p, 1, 5) == 0) {
			if (waitpid(pid, &status, WNOHANG) == pid) {
				ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
				break;
			}
			continue;
		}
		const int client = accept(fd, NULL, NULL);
		ssize_t n = 0, got;
		while ((got = recv(client, line + n, sizeof line - 1 - (size_t)n, 0)) > 0 && line[(n += got) - 1] != '\n')
			;
		line[n > 0 ? n - 1 : 0] = '\0';
		const char *answer = tell_edge(line);
		if (++seen == k) {
			(void)kill(pid, SIGKILL);
			(void)app_reap(pid);
			(void)close(client);
			break;
		}
		(void)send(client, answer, strlen(answer), MSG_NOSIGNAL);
		(void)close(client);
	}
	(void)close(fd);
	(void)unlink(path);
	return ended;
}

/* What one run of attach, or of detach, leaves. */
static bool is_whole(bool in)
{
	char line[128];
	struct lb_list list;
	int ours = 0, up = 0;

	(void)snprintf(line, sizeof line, "    server as-000000000001 127.0.0.1:%u check inter 200ms rise 1 fall 3 weight ",
	               apps[0].port);
	if (lb_haproxy.list(lb, killed_in, &list, &err) < 0)
		return false;
	for (size_t i = 0; i < list.n; i++) {
		ours += list.v[i].ours;
		up += list.v[i].ours && list.v[i].state == LB_UP;
	}
	lb_list_release(&list);
	return ours == in && up == in && count(text_of(config), line) == in && count(text_of(config), "server as-") == in;
}

static void test_kill(const char *backend)
{
	int k, wrong = 0;

	killed_in = backend;
	for (int in = 1; in >= 0; in--) {
		for (k = 1; !killed_after(k, in); k++) {
			if (run_killed(in) != 0 || !is_whole(in)) {
				printf("# killed after command %d: %s\n", k, err.message);
				wrong++;
			}
			if (run_killed(!in) != 0)
				break;
		}
		IS(wrong, 0,
		   in ? "attach killed after any of its commands and run again ends as one run does"
		      : "detach killed after any of its commands and run again ends as one run does");
		OK(k > (in ? 6 : 3), "it was killed after each of %d commands", k - 1);
	}
}

/* The check before the rename is a program of the PATH: this one kills who called it. */
static void test_kill_while_saving(void)
{
	char bin[PATH_SIZE], program[160], temporary[256];

	must(mkdir(path_in(bin, "bin"), 0755));
	(void)snprintf(program, sizeof program, "%s/haproxy", bin);
	write_all(program, "#!/bin/sh\nkill -9 $PPID\n", 0755);
	const char *before = text_of(config);
	const pid_t pid = app_fork();
	if (pid == 0) {
		char path[4096];
		(void)snprintf(path, sizeof path, "%s:%s", bin, getenv("PATH"));
		(void)setenv("PATH", path, 1);
		_exit(run_killed(true));
	}
	const int status = app_reap(pid);
	OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "attach is killed between writing the file and renaming it");
	IS(listed(), 1, "a server whose saving was killed is attached live");
	IS_STR(text_of(config), before, "a configuration whose writing was killed has its old bytes");
	done(attach(1, apps[0].port), "the next run succeeds");
	OK(result.already, "the next run finds the server attached");
	IS(count(text_of(config), "server as-"), 1, "the next run saves it");
	const char *slash = strrchr(config, '/');
	(void)snprintf(temporary, sizeof temporary, "%.*s/.%s.as-lb", (int)(slash - config), config, slash + 1);
	OK(access(temporary, F_OK) < 0, "the next run leaves no temporary file");
	must(detach(1));
}

static void test_stats(void)
{
	struct lb_stats before, stats;

	must(attach_to("api", 1, apps[0].port, GATE));
	must(lb_haproxy.stats(lb, "api", &before, &err));
	pid_t clients[5];
	int bad = 0;
	for (int c = 0; c < 5; c++) {
		clients[c] = app_fork();
		if (clients[c])
			continue;
		const int fd = app_connect(front);
		for (int i = 0; i < 20; i++)
			bad += app_request(fd, "GET", "/api/wait/50", false, NULL) != 200;
		_exit(bad);
	}
	for (int c = 0; c < 5; c++)
		bad += app_reap(clients[c]);
	IS(bad, 0, "100 requests to a server that takes 50 ms are answered");
	done(lb_haproxy.stats(lb, "api", &stats, &err), "a backend is measured");
	const struct lb_rates rates = lb_rates(&before, &stats);
	OK(rates.response_us >= 45000 && rates.response_us <= 75000, "the response time of 50 ms is measured as %lld us",
	   (long long)rates.response_us);
	IS(rates.requests, 100, "100 requests are counted");
	OK(rates.request_rate_milli > 20000 && rates.request_rate_milli < 100000, "the rate is measured as %lld per 1000 s",
	   (long long)rates.request_rate_milli);
	IS(stats.queue, 0, "the queue is empty");
	IS(stats.connections, 0, "without a request no connection is at work");
	const pid_t client = app_later(front, "/api/wait/300");
	clock_sleep_ms(150);
	must(lb_haproxy.stats(lb, "api", &stats, &err));
	IS(stats.connections, 1, "with a request in flight one connection is at work");
	struct lb_list list;
	if (OK(lb_haproxy.list(lb, "api", &list, &err) == 0 && list.n == 1, "the list can be read meanwhile"))
		IS(list.v[0].sessions, 1, "the list has the request as its server's session");
	lb_list_release(&list);
	(void)app_reap(client);
	must(detach_from("api", 1, WAIT));
}

static void test_stats_idle(void)
{
	struct lb_stats stats = {.average_us = 0};

	for (int i = 0; i < 300 && stats.average_us != -1; i++) { /* the tests since then took about as long */
		must(lb_haproxy.stats(lb, "api", &stats, &err));
		if (stats.average_us != -1)
			clock_sleep_ms(50);
	}
	IS(stats.average_us, -1, "the response time of a backend that was idle for 10 s is unknown");
}

static void test_reload(const char *master)
{
	const long pid = worker_pid();

	for (unsigned i = 0; i < 3; i++)
		must(attach(i, apps[i].port));
	const struct load load = load_start(front, false);
	(void)tell(master, "reload");
	for (int i = 0; i < 1000 && (worker_pid() == pid || worker_pid() < 0); i++)
		clock_sleep_ms(10);
	OK(worker_pid() != pid, "HAProxy has a new worker after a reload");
	for (int i = 0; i < 200 && listed() != 3; i++)
		clock_sleep_ms(10);
	IS(listed(), 3, "after a reload three servers are listed and up");
	while (app_shared->good < 1000)
		clock_sleep_ms(5);
	load_stop(&load);
	IS(app_shared->bad, 0, "no request of 1000 fails over a reload");
	done(attach(0, apps[0].port), "attaching what came from the configuration succeeds");
	OK(result.already, "attaching what came from the configuration finds it there");
	for (unsigned i = 0; i < 3; i++)
		must(detach(i));
	IS(listed(), 0, "what came from the configuration can be detached");
}

/* What the rig does not have: a backend on a hash ring, one in TCP mode, lines of an operator, and a socket for looking
 * only. */
static void test_other_backends(void)
{
	char path[PATH_SIZE], socket_path[PATH_SIZE], look[PATH_SIZE], text[2048];
	struct conf_lb conf = {.name = edge.name, .socket = path_in(socket_path, "other.sock")};
	struct app port = app_bind(6);
	const struct lb_server plain = server(0xc1, apps[0].port), off = server(0xc2, apps[0].port);

	(void)snprintf(
		text, sizeof text,
		"global\n\tstats socket %s mode 600 level admin\n\tstats socket %s mode 600 level operator\n"
		"defaults\n\tmode http\n\ttimeout connect 1s\n\ttimeout client 9s\n\ttimeout server 9s\n"
		"frontend fe\n\tbind 127.0.0.1:%u\n\tdefault_backend ring\n"
		"backend ring\n\tbalance random\nbackend tcp\n\tmode tcp\n"
		"backend lines\n\tserver %s 127.0.0.1:%u weight 100 pool-max-conn 0\n\tserver %s 127.0.0.1:%u check disabled\n",
		socket_path, path_in(look, "look.sock"), port.port, plain.name, plain.port, off.name, off.port);
	write_all(path_in(path, "other.cfg"), text, 0600);
	(void)close(port.fd);
	const pid_t pid = app_fork();
	if (pid == 0) {
		(void)!freopen("/dev/null", "w", stderr);
		(void)execlp("haproxy", "haproxy", "-db", "-q", "-f", path, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 500 && !*tell(socket_path, "show info"); i++)
		clock_sleep_ms(10);
	struct lb *was = lb;
	lb = lb_haproxy.open(&conf, &alone, &err);

	for (unsigned i = 0; i < 3; i++)
		must(attach_to("ring", i, apps[i].port, GATE));
	long before[3];
	for (int i = 0; i < 3; i++)
		before[i] = app_shared->hits[i];
	for (int i = 0; i < 100; i++)
		(void)app_get(port.port, "/x", NULL);
	for (int i = 0; i < 3; i++)
		OK(app_shared->hits[i] - before[i] >= 10,
		   "each of three servers behind `balance random` gets its share of 100 requests (%ld)",
		   app_shared->hits[i] - before[i]);
	const int kept = app_connect(port.port);
	for (int i = 0; i < 30; i++)
		(void)app_request(kept, "GET", "/x", false, NULL);
	const long reused = stat_sum(tell(socket_path, "show stat ring 4 -1"), "reuse");
	IS(reused, 0, "no request goes over a connection kept from another, which an application may have closed");
	(void)close(kept);
	done(attach_to("tcp", 1, apps[0].port, GATE), "a server is attached to a backend in TCP mode");
	IS(listed_in("tcp", LB_UP), 1, "a server in TCP mode is up");
	done(attach_to("lines", 0xc1, plain.port, GATE), "attaching what an operator's line without a check has succeeds");
	OK(result.already, "attaching what an operator's line has finds it there");
	done(attach_to("lines", 0xc2, off.port, GATE), "attaching what an operator's line has disabled succeeds");
	OK(!result.already, "attaching what is disabled is reported as a change");
	IS(listed_in("lines", LB_UP), 2, "attaching what is disabled makes it ready");

	lb_haproxy.close(lb);
	conf.socket = look;
	lb = lb_haproxy.open(&conf, &alone, &err);
	failed(attach_to("ring", 9, apps[0].port, GATE), ERR_DENIED, "level admin",
	       "a socket that may only look is reported with what to do");
	lb_haproxy.close(lb);
	lb = was;
	(void)kill(pid, SIGTERM);
	(void)app_reap(pid);
}

int main(void)
{
	const bool rig = rig_begin();
	const char *master = getenv("AS_RIG_HAPROXY_MASTER");

	test_alphabet();
	test_configuration();
	test_nothing_unsafe_is_sent();
	test_no_peer();
	if (!rig) {
		OK(true, "HAProxy # SKIP no rig: eval \"$(tests/rig/up haproxy)\"");
		return rig_end();
	}
	const int files = open_files();

	test_stats();
	silent_start();
	test_attach_and_detach();
	test_refusals();
	test_gate();
	test_gate_after_maintenance();
	test_drain();
	test_force();
	test_rounds();
	test_broken_configuration();
	test_configuration_file();
	test_verify();
	test_two_writers();
	test_kill("web");
	test_kill("slots");
	killed_in = "web";
	test_kill_while_saving();
	test_silent_peer();
	test_stats_idle();
	test_other_backends();
	if (master)
		test_reload(master);
	IS(open_files(), files, "no file descriptor is left open");
	IS_STR(text_of(config), original, "when all is detached, HAProxy's configuration has its first bytes again");

	return rig_end();
}
