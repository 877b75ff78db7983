/* The driver for Traefik: how its file looks and is read, how counters are read, and, with `eval "$(tests/rig/up
 * traefik)"` first, what the common cases (lb_suite.h) do not ask: other people's files, routes, weights, the end of a
 * drain, load. */
#include "lb/traefik.h"
#include "tests/unit/files.h"
#include "tests/unit/http_app.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tap.h"

#include "base/banned.h"

#define GATE 5000
#define WAIT 5000

static struct err err;
static struct conf_lb edge = {.name = (char[]){"edge"}, .driver = (char[]){"traefik"}};
static struct lb_means means;
static struct lb *lb;
static struct lb_result result;
static struct app apps[2];
static unsigned front;
static int64_t took; /* ms, of the last verb */

/* ---- helpers ---- */

/* A file of the watched folder; good for a few calls. */
static const char *in_folder(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned turn;
	char *p = path[turn++ % 4];

	(void)snprintf(p, PATH_MAX, "%s/%s", lb->folder.path, name);
	return p;
}

static struct lb_server server(unsigned number, const struct app *app)
{
	struct lb_server s = {.address = "127.0.0.1", .port = app->port, .weight = 100};

	(void)snprintf(s.name, sizeof s.name, "as-%012x", number);
	return s;
}

static int put(const char *backend, const struct lb_server *s)
{
	const int64_t start = clock_monotonic_ms();

	err = (struct err){0};
	const int rc = lb_traefik.attach(lb, backend, s, GATE, &result, &err);
	took = clock_monotonic_ms() - start;
	return rc;
}

static int attach(unsigned number, const struct app *app)
{
	const struct lb_server s = server(number, app);

	return put("web", &s);
}

static int drain(unsigned number, int64_t wait_ms)
{
	const int64_t start = clock_monotonic_ms();

	err = (struct err){0};
	const int rc = lb_traefik.drain(lb, "web", server(number, &apps[0]).name, wait_ms, &result, &err);
	took = clock_monotonic_ms() - start;
	return rc;
}

static int detach_from(const char *backend, unsigned number, int64_t wait_ms)
{
	const int64_t start = clock_monotonic_ms();

	err = (struct err){0};
	const int rc = lb_traefik.detach(lb, backend, server(number, &apps[0]).name, wait_ms, &result, &err);
	took = clock_monotonic_ms() - start;
	return rc;
}

static int detach(unsigned number) { return detach_from("web", number, WAIT); }

static int verify(struct lb_server *v, size_t n)
{
	const struct lb_list want = {v, n};

	err = (struct err){0};
	return lb_traefik.verify(lb, "web", &want, &err);
}

static int ensure(const char *backend, const char *rule, const char *check)
{
	struct lb_route route = {.rule = NULL};
	struct rule r = {.n = 0};

	err = (struct err){0};
	if (rule && *rule && rule_parse(rule, &r, &err) < 0)
		return -1;
	route.rule = &r;
	(void)snprintf(route.check, sizeof route.check, "%s", check);
	return lb_traefik.ensure(lb, backend, rule ? &route : NULL, &result, &err);
}

/* Servers of web in this state; the others must not be there. */
static int listed(enum lb_state state)
{
	struct lb_list list;
	int n = 0;

	if (lb_traefik.list(lb, "web", &list, &err) < 0)
		return -1;
	for (size_t i = 0; i < list.n; i++)
		n += list.v[i].state == state ? 1 : 1000;
	lb_list_release(&list);
	return n;
}

static void done(int rc, const char *name)
{
	if (!OK(rc == 0, "%s", name))
		printf("# %s\n", err.message);
}

/* What a test needs or cleans up, and does not test: heard of only when it fails. */
static void must(int rc)
{
	if (rc != 0)
		done(rc, "a step between the tests");
}

static void failed(int rc, enum err_code code, const char *words, const char *name)
{
	if (!OK(rc < 0 && err.code == code && strstr(err.message, words), "%s", name))
		printf("# rc %d, %s: %s\n", rc, err_name(err.code), err.message);
}

static void within(int64_t from, int64_t to, const char *name)
{
	if (!OK(took >= from && took <= to, "%s", name))
		printf("# %lld ms\n", (long long)took);
}

/* A GET for this host: the status. */
static int get(const char *host, const char *path)
{
	char text[512];
	const int fd = app_connect(front);
	int status = 0;

	const int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);
	if (fd >= 0 && send(fd, text, (size_t)len, MSG_NOSIGNAL) == len && recv(fd, text, sizeof text, MSG_WAITALL) > 12)
		status = (int)strtol(text + 9, NULL, 10);
	(void)close(fd);
	return status;
}

/* What Traefik now has under this name, as JSON. */
static bool api_has(const char *path, const char *part)
{
	struct traefik_look look = {0};
	struct err ignored;

	const bool has = traefik_get(lb, &look, path, &ignored) == 0 && look.reply.p && strstr(look.reply.p, part);
	traefik_look_release(&look);
	return has;
}

static bool eventually_has(const char *path, const char *part, bool want)
{
	for (int i = 0; i < 500 && api_has(path, part) != want; i++)
		clock_sleep_ms(10);
	return api_has(path, part) == want;
}

/* ---- a file, without Traefik ---- */

static const char usual[] =
	"# as-lb {\"version\":7,\"made\":true,\"rule\":\"Host(`a.example`) && "
	"PathPrefix(`/x`)\",\"check\":\"/ok\",\"drain\":"
	"{\"as-000000000002\":{\"weight\":50,\"since\":1790000000000}}}\n"
	"{\"http\":{\"middlewares\":{\"web-as-lb\":{\"headers\":{\"customRequestHeaders\":{\"X-As-Lb\":\"7-"
	"%s\"}}}},\"serversTransports\":{\"web-as-lb\":{\"maxIdleConnsPerHost\":-1,\"forwardingTimeouts\":"
	"{\"dialTimeout\":\"2s\"}}},\n"
	"\"routers\":{\"web\":{\"rule\":\"Host(`a.example`) && (Path(`/x`) || PathPrefix(`/x/`))\",\"service\":\"web\"}},"
	"\"services\":{\n"
	"\"web\":{\"weighted\":{\"services\":[{\"name\":\"web-as-000000000001\",\"weight\":100},"
	"{\"name\":\"web-as-000000000002\",\"weight\":0}],\"healthCheck\":{}}},\n"
	"\"web-as-000000000001\":{\"loadBalancer\":{\"servers\":[{\"url\":\"http://[fd00::1]:80\"}],\"serversTransport\":"
	"\"web-as-lb\",\"healthCheck\":{\"path\":\"/ok\",\"interval\":\"2s\",\"timeout\":\"1900ms\"}}},\n"
	"\"web-as-000000000002\":{\"loadBalancer\":{\"servers\":[{\"url\":\"http://10.0.0.2:8080\"}],\"serversTransport\":"
	"\"web-as-lb\",\"healthCheck\":{\"path\":\"/other\",\"interval\":\"2s\",\"timeout\":\"1900ms\"}}}}}}\n";

static int read_file(const char *text, struct filed *f)
{
	*f = (struct filed){.backend = "web", .old = BUF_INIT(65536), .text = BUF_INIT(65536)};
	err = (struct err){0};
	buf_puts(&f->old, text);
	return traefik_kind.parse(lb, text, f, &err);
}

static void test_file(void)
{
	char whole[sizeof usual + 64], mark[TRAEFIK_MARK], other[TRAEFIK_MARK];
	struct filed f;

	(void)snprintf(whole, sizeof whole, usual, "0");
	done(read_file(whole, &f), "a file of ours is read");
	OK(f.version == 7 && f.made && strcmp(f.check, "/ok") == 0 && f.rule.n == 1, "with its version, rule and check");
	const struct lb_server *s = f.list.v;
	if (OK(f.list.n == 2, "and its servers")) {
		OK(strcmp(s[0].address, "fd00::1") == 0 && s[0].port == 80 && s[0].weight == 100 && s[0].state == LB_UP,
		   "one that takes requests");
		OK(strcmp(s[1].address, "10.0.0.2") == 0 && s[1].port == 8080 && s[1].weight == 50 && s[1].state == LB_DRAIN,
		   "one that is drained, with the weight that it had");
		OK(!*s[0].check && strcmp(s[1].check, "/other") == 0, "the check of the backend, and one of a server's own");
		OK(traefik_drained_ms(&s[0]) == 0 && traefik_drained_ms(&s[1]) == 1790000000000,
		   "and since when it is drained");
	}
	f.changed = true;
	must(traefik_kind.render(lb, &f, &f.text, &err));
	traefik_mark(&f.text, mark);
	(void)snprintf(whole, sizeof whole, usual, mark + 2);
	IS_STR(f.text.p, whole, "written again it has the same bytes");
	lb_filed_release(&f);
	must(read_file(whole, &f));
	f.version++;
	f.changed = true;
	must(traefik_kind.render(lb, &f, &f.text, &err));
	traefik_mark(&f.text, other);
	OK(strncmp(other, "8-", 2) == 0 && strcmp(mark, other) != 0, "another version has another mark");
	lb_filed_release(&f);

	done(read_file(
			 "{\"http\":{\"services\":{\"web\":{\"weighted\":{\"services\":[{\"name\":\"web-as-0123456789ab\","
			 "\"weight\":"
			 "1}]}},\"web-as-0123456789ab\":{\"loadBalancer\":{\"servers\":[{\"url\":\"http://127.0.0.1:19001\"}]}}}}}",
			 &f),
	     "a file that an operator wrote from the manual is read");
	OK(f.list.n == 1 && f.list.v[0].weight == 100 && !f.made, "its weight 1 is 100, and ensure did not make it");
	lb_filed_release(&f);
}

static void test_odd_files(void)
{
	static const char *const texts[] = {
		"",
		"http:\n  services: {}\n",
		"# as-lb {\"version\":0}\n{}",
		"# as-lb broken\n{}",
		"{\"http\":{\"services\":{}}}",
		"{\"http\":{\"services\":{\"web\":{\"weighted\":{\"services\":[]}}}},\"tcp\":{}}",
		"{\"http\":{\"routers\":{\"x\":{}},\"services\":{\"web\":{\"weighted\":{\"services\":[]}}}}}",
		"{\"http\":{\"services\":{\"web\":{\"weighted\":{\"services\":[]}},\"theirs\":{}}}}",
		"{\"http\":{\"services\":{\"web\":{\"weighted\":{\"services\":[{\"name\":\"web-x\"}]}},\"web-x\":{}}}}",
		"{\"http\":{\"services\":{\"web\":{\"weighted\":{\"services\":[{\"name\":\"web-as-000000000001\"}]}},"
		"\"web-as-000000000001\":{\"loadBalancer\":{\"servers\":[{\"url\":\"http://localhost:80\"}]}}}}}",
		"{\"http\":{\"services\":{\"web\":{\"weighted\":{\"services\":[{\"name\":\"web-as-000000000001\",\"weight\":-1}"
		"]}},"
		"\"web-as-000000000001\":{\"loadBalancer\":{\"servers\":[{\"url\":\"http://127.0.0.1:80\"}]}}}}}",
	};
	int refused = 0;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct filed f;
		const int rc = read_file(texts[i], &f);
		if (rc == 0)
			printf("# read: %s\n", texts[i]);
		refused += rc < 0;
		lb_filed_release(&f);
	}
	IS(refused, (int)(sizeof texts / sizeof *texts), "what is not as it was written is refused, not overwritten");
}

static void test_rules(void)
{
	static const char *const rules[][2] = {
		{"Host(`a.example`)", "Host(`a.example`)"},
		{"PathPrefix(`/x`)", "(Path(`/x`) || PathPrefix(`/x/`))"},
		{"PathPrefix(`/`)", "PathPrefix(`/`)"},
		{"Host(`*.a.example`)", "HostRegexp(`^.+\\.a\\.example$`)"},
		{"(Host(`b.example`) || Host(`a.example`)) && PathPrefix(`/x`)",
	     "(Host(`a.example`) && (Path(`/x`) || PathPrefix(`/x/`))) || (Host(`b.example`) && (Path(`/x`) || "
	     "PathPrefix(`/x/`)))"},
	};

	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		struct buf text = BUF_INIT(4096);
		struct rule rule = {.n = 0};
		must(rule_parse(rules[i][0], &rule, &err));
		traefik_rule(&rule, &text);
		IS_STR(text.p, rules[i][1], rules[i][0]);
		buf_release(&text);
	}
}

static const char first_look[] =
	"# TYPE traefik_service_requests_total counter\n"
	"traefik_service_requests_total{code=\"200\",method=\"GET\",protocol=\"http\",service=\"web-as-000000000001@file\"}"
	" 1e+02\n"
	"traefik_service_requests_total{service=\"web-as-000000000001@file\",method=\"a\\\"},b\",code=\"503\"} 5 "
	"1790000000000\n"
	"traefik_service_requests_total{code=\"200\",service=\"web-as-000000000002@file\"} 20\n"
	"traefik_service_requests_total{code=\"200\",service=\"web2-as-000000000002@file\"} 1000\n"
	"traefik_service_requests_total{code=\"200\",service=\"web@docker\"} 1000\n"
	"traefik_service_requests_total{code=\"200\",service=\"web-as-000000000002@file\",unended=\"} 1000\n"
	"traefik_service_request_duration_seconds_bucket{service=\"web-as-000000000001@file\",le=\"+Inf\"} 105\n"
	"traefik_service_request_duration_seconds_sum{code=\"200\",service=\"web-as-000000000001@file\"} 2.5\n"
	"traefik_service_request_duration_seconds_sum{code=\"503\",service=\"web-as-000000000001@file\"} +Inf\n"
	"traefik_service_request_duration_seconds_sum{code=\"200\",service=\"web-as-000000000002@file\"} 5e-01";
/* Server 1 is gone, and with it its counters; 2 went on. */
static const char second_look[] =
	"traefik_service_requests_total{code=\"200\",service=\"web-as-000000000002@file\"} 50\n"
	"traefik_service_requests_total{code=\"502\",service=\"web-as-000000000002@file\"} 1\n"
	"traefik_service_request_duration_seconds_sum{code=\"200\",service=\"web-as-000000000002@file\"} 2\n";

static void test_counters(void)
{
	struct lb_stats a = {.requests = -1}, b = a;

	done(traefik_counters(lb, first_look, "web", &a, &err), "counters are read");
	OK(a.requests == 125 && a.errors == 5 && a.time_us == 3000000, "in any notation and order, of this backend alone");
	must(traefik_counters(lb, second_look, "web", &b, &err));
	OK(b.requests - a.requests == 31 && b.errors - a.errors == 1 && b.time_us - a.time_us == 1500000,
	   "what a server counted stays when the server goes");
	must(traefik_counters(lb, "", "web", &a, &err));
	OK(a.requests == b.requests, "and when no counter is left");
}

static void test_configuration(void)
{
	struct conf_lb conf = edge;
	char file[PATH_MAX];

	conf.folder = conf.admin = conf.config = NULL;
	OK(!lb_traefik.open(&conf, &means, &err) && err.code == ERR_CONFIG && strstr(err.message, "`folder`"),
	   "without folder and admin it says what it needs");
	(void)snprintf(file, sizeof file, "%s", scratch_path("file"));
	write_text(file, "");
	conf.config = file;
	OK(!lb_traefik.open(&conf, &means, &err) && err.code == ERR_CONFIG && strstr(err.message, "no folder"),
	   "config is a folder, too");
	conf.config = scratch;
	char *const urls[] = {"127.0.0.1:8080", "ftp://x",         "http://",    "http://a:b",
	                      "http://a:80:90", "http://u:p@h:80", "http://[::1"};
	int refused = 0;
	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
		conf.admin = urls[i];
		struct lb *other = lb_traefik.open(&conf, &means, &err);
		refused += !other && err.code == ERR_CONFIG;
		lb_traefik.close(other);
	}
	IS(refused, (int)(sizeof urls / sizeof *urls), "an admin that is no URL is refused");
	conf.admin = NULL;
	conf.frontend = (char[]){"web, web;x"};
	OK(!lb_traefik.open(&conf, &means, &err) && err.code == ERR_CONFIG && strstr(err.message, "entry points"),
	   "an entry point is a name");
}

static void test_without_admin(void)
{
	struct conf_lb conf = edge;
	struct lb_list list;

	conf.folder = scratch;
	conf.admin = NULL;
	struct lb *was = lb;
	lb = lb_traefik.open(&conf, &means, &err);
	done(attach(1, &apps[0]), "without admin a server is attached");
	OK(strstr(result.note, "without `admin` nobody says"), "with a note that nobody says whether it is used");
	OK(text_of(scratch_path("as-web.yml")) != NULL, "its file is there");
	OK(lb_traefik.list(lb, "web", &list, &err) == 0 && list.n == 1, "and lists it");
	lb_list_release(&list);
	done(drain(1, 300), "it is drained");
	within(300, 1500, "which takes all of the time there is, for nobody tells when it is over");
	OK(strstr(result.note, "Traefik does not tell"), "and says so");
	done(detach_from("web", 1, 1000), "then it is detached");
	within(0, 990, "without the time that was waited before");
	lb_traefik.close(lb);
	lb = was;
}

/* ---- with Traefik ---- */

static void test_weights(void)
{
	struct lb_server s = server(2, &apps[1]);
	const long before = app_shared->hits[0];
	int good = 0;

	must(attach(1, &apps[0]));
	s.weight = 50;
	done(put("web", &s), "a server of half the usual weight is attached");
	for (int i = 0; i < 30; i++)
		good += get("x", "/x") == 200;
	IS(good, 30, "30 of 30 requests are answered");
	IS(app_shared->hits[0] - before, 20, "20 of them by the server of weight 100, 10 by that of weight 50");
	s.weight = 0;
	must(put("web", &s));
	IS(listed(LB_UP), 2, "one of weight 0 is up, not drained");
	must(detach(1));
	must(detach(2));
}

static void test_drain(void)
{
	const long before = app_shared->hits[1];
	int good = 0;

	must(attach(2, &apps[1]));
	const pid_t later = app_later(front, "/wait/1000");
	for (int i = 0; i < 500 && app_shared->hits[1] == before; i++)
		clock_sleep_ms(10);
	must(attach(1, &apps[0]));
	done(drain(2, WAIT), "a server with a request of 1 s is drained");
	const long status = atomic_load(&app_shared->status);
	(void)app_reap(later);
	IS(status, 200, "when drain returns, the request has ended well");
	within(100, 3000, "drain takes as long as the request, not all the time that it may");
	OK(!*result.note && !result.forced, "and has nothing more to say");
	for (int i = 0; i < 100; i++)
		good += get("x", "/x") == 200;
	IS(good, 100, "100 of 100 requests are answered then");
	IS(app_shared->hits[1] - before, 1, "none of them by the drained server");
	done(detach(2), "it is detached");
	within(0, 2500, "at once");

	must(attach(2, &apps[1]));
	must(detach(1));
	const pid_t long_one = app_later(front, "/wait/1500");
	for (int i = 0; i < 500 && app_shared->hits[1] == before + 1; i++)
		clock_sleep_ms(10);
	done(drain(2, 300), "a drain whose time is too short succeeds");
	within(300, 2000, "in time");
	OK(strstr(result.note, "connections still open") && !result.forced, "and says that connections are still open");
	done(detach_from("web", 2, 300), "detaching what is at work succeeds");
	OK(result.forced, "and says so");
	(void)app_reap(long_one);
	IS(atomic_load(&app_shared->status), 200, "Traefik itself cuts nothing: the request ends well");
}

static int exec_here(void *ctx, const struct conf_lb *conf, const char *const *argv, struct buf *out, int *status,
                     struct err *e)
{
	(void)ctx, (void)conf;
	*status = 0;
	for (size_t i = 1; argv[i]; i++) {
		struct stat st;
		if (lb_file_read(argv[i], out, &st, e) < 0)
			return -1;
	}
	return 0;
}

/* What tells that a drain is over when Traefik is in a container: its table of connections, if we may run a program
 * there; else that no client is connected. */
static void test_drain_in_a_container(void)
{
	struct conf_lb conf = edge;
	struct lb_means with = {.exec = exec_here};
	struct lb *was = lb;

	conf.container = (char[]){"traefik"};
	lb = lb_traefik.open(&conf, &with, &err);
	must(attach(1, &apps[0]));
	const int kept = app_connect(front);
	IS(app_request(kept, "GET", "/x", false, NULL), 200, "a client that stays connected is answered");
	done(drain(1, WAIT), "a server of a Traefik in a container is drained");
	within(0, 2500, "which ends when the container's table has no connection to it");
	lb_traefik.close(lb);
	lb = lb_traefik.open(&conf, &means, &err);
	must(attach(1, &apps[0]));
	done(drain(1, 700), "it is drained where no program can be run in the container");
	within(700, 2500, "which takes all the time while a client is connected");
	OK(strstr(result.note, "Traefik does not tell"), "and says why");
	(void)close(kept);
	must(attach(1, &apps[0]));
	done(drain(1, WAIT), "drained again");
	within(0, 2500, "it ends as soon as no client is connected");
	must(detach(1));
	lb_traefik.close(lb);
	lb = was;
}

static void test_ipv6(void)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t n = sizeof a;
	struct app app = {.number = 2, .fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)};

	if (app.fd < 0 || bind(app.fd, (struct sockaddr *)&a, n) < 0 ||
	    getsockname(app.fd, (struct sockaddr *)&a, &n) < 0) {
		OK(true, "IPv6 # SKIP this machine has none");
		return;
	}
	app.port = ntohs(a.sin6_port);
	app_start(&app, 0);
	struct lb_server s = server(6, &app);
	(void)snprintf(s.address, sizeof s.address, "::1");
	done(put("web", &s), "a server with an IPv6 address is attached");
	IS(get("x", "/x"), 200, "and answers");
	const pid_t later = app_later(front, "/wait/800");
	for (int i = 0; i < 500 && app_shared->hits[2] < 2; i++)
		clock_sleep_ms(10);
	must(drain(6, WAIT));
	IS(atomic_load(&app_shared->status), 200, "its drain waits for a request in flight");
	(void)app_reap(later);
	must(detach(6));
	app_stop(&app);
}

static void test_health(void)
{
	struct lb_server s[] = {server(1, &apps[0]), server(2, &apps[1])};
	struct app dies = app_bind(3);

	app_start(&dies, 0);
	s[1].port = dies.port;
	for (int i = 0; i < 2; i++) {
		(void)snprintf(s[i].check, sizeof s[i].check, "/");
		must(put("web", &s[i]));
	}
	IS(verify(s, 2), 0, "verify is content with two healthy servers");
	app_stop(&dies);
	OK(eventually_has("/api/http/services/web-as-000000000002@file", "\"DOWN\"", true),
	   "Traefik itself sees that a server with a check died");
	failed(verify(s, 2), ERR_CONFLICT, "as-000000000002 is listed, but down", "verify says that it is down");
	int good = 0;
	for (int i = 0; i < 20; i++)
		good += get("x", "/x") == 200;
	IS(good, 20, "20 of 20 requests are answered by the other");
	must(detach(2));
	must(detach(1));
}

/* A file that Traefik cannot read freezes all the others, and only its log says so. */
static void test_frozen_folder(void)
{
	struct conf_lb blind = edge;
	struct lb_server s[] = {server(1, &apps[0]), server(2, &apps[1])};
	char was[65536];

	must(attach(1, &apps[0]));
	(void)snprintf(was, sizeof was, "%s", text_of(in_folder("as-web.yml")));
	write_text(in_folder("zz-broken.yml"), "http: [\n");
	failed(attach(2, &apps[1]), ERR_UNAVAILABLE,
	       "freezes the whole folder (its log names it; the last one changed by others "
	       "is zz-broken.yml)",
	       "a file of somebody else's that Traefik cannot read is reported");
	within(9000, 14000, "in time");
	IS_STR(text_of(in_folder("as-web.yml")), was, "our file has its old bytes again");
	IS(get("x", "/x"), 200, "Traefik still serves");
	IS(verify(s, 1), 0, "and what is listed is used");

	blind.admin = NULL;
	struct lb *with = lb;
	lb = lb_traefik.open(&blind, &means, &err);
	must(attach(2, &apps[1]));
	lb_traefik.close(lb);
	lb = with;
	failed(verify(s, 2), ERR_CONFLICT, "does not use its file as it is", "verify finds a frozen folder");
	IS(listed(LB_DOWN), 2, "the list has them as down");
	if (unlink(in_folder("zz-broken.yml")) < 0)
		abort();
	done(attach(2, &apps[1]), "when the broken file is gone, attaching succeeds");
	IS(verify(s, 2), 0, "and verify is content");
	must(detach(1));
	must(detach(2));
}

static void test_same_service_elsewhere(void)
{
	static const char theirs[] = "http:\n  services:\n    web:\n      loadBalancer:\n        servers:\n        - url: "
								 "http://127.0.0.1:9\n";
	char was[65536];

	(void)snprintf(was, sizeof was, "%s", text_of(in_folder("as-web.yml")));
	write_text(in_folder("aa.yml"), theirs);
	if (!eventually_has("/api/http/services/web@file", "loadBalancer", true))
		abort();
	failed(attach(1, &apps[0]), ERR_CONFLICT, "it seems that aa.yml defines it too",
	       "a service of that name in an earlier "
	       "file is a conflict");
	within(0, 5000, "which is seen without waiting");
	IS_STR(text_of(in_folder("as-web.yml")), was, "our file has its old bytes again");
	if (unlink(in_folder("as-web.yml")) < 0 || !eventually_has("/api/http/middlewares", "web-as-lb", false))
		abort();
	failed(attach(1, &apps[0]), ERR_CONFLICT, "service of that name from another file",
	       "a service of the operator's is not replaced by ours");
	OK(!text_of(in_folder("as-web.yml")), "nothing is written");
	done(ensure("web", "", ""), "a backend of the operator's is there");
	OK(result.already, "already");
	failed(ensure("web", "Host(`a.example`)", ""), ERR_CONFLICT, "another file", "and gets no route from us");
	IS_STR(text_of(in_folder("aa.yml")), theirs, "the operator's file has its bytes");
	if (unlink(in_folder("aa.yml")) < 0 || !eventually_has("/api/http/services", "web@file", false))
		abort();
	must(attach(1, &apps[0]));
	must(detach(1));
}

static void test_routes(void)
{
	const struct lb_server s = server(1, &apps[0]);

	done(ensure("app", "Host(`app.example`) && PathPrefix(`/x`)", "/"), "a route is made");
	IS(get("app.example", "/x"), 503, "and leads to a backend without servers");
	done(put("app", &s), "a server joins it");
	OK(api_has("/api/http/services/app-as-000000000001@file", "\"path\":\"/\""), "and has the backend's health check");
	OK(get("app.example", "/x") == 200 && get("app.example", "/x/y") == 200 && get("APP.example", "/x?z") == 200,
	   "requests for its host and below its path are answered");
	/* All others are those of the operator's router, whose backend has no server. */
	OK(get("app.example", "/xy") == 503 && get("app.example", "/") == 503 && get("other.example", "/x") == 503,
	   "those beside its path, or for another host, are not");
	done(ensure("app", "Host(`*.app.example`)", "/"), "the route becomes another");
	OK(get("a.app.example", "/") == 200 && get("b.a.app.example", "/") == 200, "names below it lead there");
	OK(get("app.example", "/x") == 503 && get("axapp.example", "/") == 503, "and no others");
	must(detach_from("app", 1, WAIT));
	done(ensure("app", NULL, ""), "the route goes with its backend");
	OK(!text_of(in_folder("as-app.yml")) && !api_has("/api/http/routers", "app@file"), "file and router are gone");
}

static void test_routes_of_the_operator(void)
{
	static const char routers[] = "http: { routers: { mine: { rule: \"Host(`mine.example`)\", service: mine },\n"
								  "  odd: { rule: \"Host(`odd.example`)\", service: mine } } }\n";
	const struct lb_server s = server(1, &apps[0]);

	write_text(in_folder("zz-routers.yml"), routers);
	if (!eventually_has("/api/http/routers", "odd@file", true))
		abort();
	done(ensure("mine", "Host(`other.example`)", ""), "a backend whose router the operator made is ensured");
	must(put("mine", &s));
	OK(get("mine.example", "/x") == 200 && get("other.example", "/x") == 503, "and keeps the operator's rule");
	done(ensure("mine", "Host(`other.example`)", ""), "ensured again");
	OK(result.already, "it is there");
	failed(ensure("odd", "Host(`odd.example`)", ""), ERR_CONFLICT, "leads to another service",
	       "a router of that name for another service is a conflict");
	must(detach_from("mine", 1, WAIT));
	done(ensure("mine", NULL, ""), "what ensure made goes");
	IS_STR(text_of(in_folder("zz-routers.yml")), routers, "the operator's file has its bytes");
	if (unlink(in_folder("zz-routers.yml")) < 0)
		abort();

	struct conf_lb conf = edge;
	conf.frontend = (char[]){"nosuch"};
	struct lb *was = lb;
	lb = lb_traefik.open(&conf, &means, &err);
	failed(ensure("point", "Host(`point.example`)", ""), ERR_REMOTE, "disabled the router",
	       "a route at an entry point that is not there is refused");
	OK(!text_of(in_folder("as-point.yml")), "and nothing of it stays");
	lb_traefik.close(lb);

	conf.frontend = (char[]){"web"};
	lb = lb_traefik.open(&conf, &means, &err);
	done(ensure("point", "Host(`point.example`)", ""), "a route at an entry point is made");
	OK(api_has("/api/http/routers/point@file", "\"entryPoints\":[\"web\"]"), "and is there");
	lb_traefik.close(lb);
	lb = was;
	const int64_t start = clock_monotonic_ms();
	done(ensure("point", "Host(`point.example`)", ""), "what was written under another configuration is found in use");
	OK(result.already && clock_monotonic_ms() - start < 5000, "already, without waiting for what nobody wrote");
	must(ensure("point", NULL, ""));
}

static void test_names(void)
{
	const struct lb_server s = server(1, &apps[0]);
	struct lb_server odd = s;

	failed(put("web-as-0123456789ab", &s), ERR_REFUSED, "like that of a server",
	       "a backend with the name of another one's server is refused");
	(void)snprintf(odd.name, sizeof odd.name, "web1");
	failed(put("web", &odd), ERR_REFUSED, "as- and 12", "a server that is not named after a container is refused");
	failed(put("nosuch", &s), ERR_NOT_FOUND, "No such backend",
	       "a backend that no router leads to is not made by attach");
	OK(!text_of(in_folder("as-nosuch.yml")), "nothing is written for it");
}

static void ask(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		(void)app_get(front, "/wait/50", NULL);
	_exit(0);
}

static void test_stats(void)
{
	struct lb_stats a, b, c;
	pid_t pid[4];

	must(attach(1, &apps[0]));
	must(attach(2, &apps[1]));
	must(lb_traefik.stats(lb, "web", &a, &err));
	for (int i = 0; i < 4; i++)
		if ((pid[i] = app_fork()) == 0)
			ask(25);
	for (int i = 0; i < 4; i++)
		(void)app_reap(pid[i]);
	done(lb_traefik.stats(lb, "web", &b, &err), "load is told");
	const struct lb_rates r = lb_rates(&a, &b);
	IS(r.requests, 100, "100 requests are 100, of two servers together");
	OK(r.response_us >= 45000 && r.response_us <= 75000, "which took about 50 ms each (%lld us)",
	   (long long)r.response_us);
	IS(r.error_rate_milli, 0, "none was an error");
	must(lb_traefik.stats(lb, "web", &c, &err));
	IS(lb_rates(&b, &c).response_us, -1, "without requests there is no time of a response");
	must(detach(1));
	must(lb_traefik.stats(lb, "web", &c, &err));
	OK(c.requests >= b.requests, "the sum does not fall when a server goes");
	must(detach(2));
}

static void test_connections(void)
{
	struct lb_stats now = {.connections = -1};
	struct lb_list list;

	must(attach(1, &apps[0]));
	const long before = app_shared->hits[0];
	const pid_t later = app_later(front, "/wait/1500");
	for (int i = 0; i < 500 && app_shared->hits[0] == before; i++)
		clock_sleep_ms(10);
	must(attach(2, &apps[1]));
	must(lb_traefik.list(lb, "web", &list, &err));
	OK(list.n == 2 && list.v[0].sessions == 1 && list.v[1].sessions == 0, "the list has who is at work at each server");
	lb_list_release(&list);
	must(lb_traefik.stats(lb, "web", &now, &err));
	IS(now.connections, 1, "and so has the load, of the backend");
	(void)app_reap(later);
	must(detach(1));
	must(detach(2));
}

static int outcome[50];

static void put_one(void *ctx, size_t item)
{
	struct lb_server s = server(100 + (unsigned)item, &apps[0]);
	struct lb_result r;
	struct err e;

	(void)ctx;
	outcome[item] = lb_traefik.attach(lb, "web", &s, GATE, &r, &e);
}

static void take_one(void *ctx, size_t item)
{
	struct lb_result r;
	struct err e;

	(void)ctx;
	outcome[item] = lb_traefik.detach(lb, "web", server(100 + (unsigned)item, &apps[0]).name, WAIT, &r, &e);
}

static int64_t version(void)
{
	const char *text = text_of(in_folder("as-web.yml")), *at = text ? strstr(text, "\"version\":") : NULL;

	return at ? strtoll(at + 10, NULL, 10) : -1;
}

static void test_few_writes(void)
{
	struct tasks *tasks = tasks_new(&err);
	const struct lb_means with = {.tasks = tasks};
	struct lb *was = lb;
	int good = 0;

	lb = lb_traefik.open(&edge, &with, &err);
	const int64_t before = version();
	must(tasks_run(tasks, 50, put_one, NULL, &err));
	const int64_t in = version();
	must(tasks_run(tasks, 50, take_one, NULL, &err));
	for (int i = 0; i < 50; i++)
		good += outcome[i] == 0;
	IS(good, 50, "fifty servers come and go together");
	OK(in - before <= 4 && version() - in <= 4, "in a few changes of the file (%lld, %lld)", (long long)(in - before),
	   (long long)(version() - in));
	lb_traefik.close(lb);
	tasks_free(tasks);
	lb = was;
}

/* An application that closes connections whenever nothing is asked of it, as many do after some seconds: one that was
 * kept for the next request would fail that. */
static void test_no_kept_connection(void)
{
	must(attach(1, &apps[0]));
	const int kept = app_connect(front);
	for (int i = 0; i < 10; i++)
		(void)app_request(kept, "POST", "/x", false, NULL);
	struct buf table = BUF_INIT(1 << 24);
	struct err ignored;
	struct stat st;
	char to[32];
	must(lb_file_read("/proc/net/tcp", &table, &st, &ignored));
	(void)snprintf(to, sizeof to, " 0100007F:%04X 01 ", apps[0].port);
	OK(strstr(table.p, to) == NULL, "after a request no connection to the server is kept");
	buf_release(&table);
	(void)close(kept);
	must(detach(1));
}

static void with_traefik(void)
{
	char was[4096];

	(void)snprintf(was, sizeof was, "%s", text_of(in_folder("routers.yml")));
	test_names();
	test_weights();
	test_drain();
	test_drain_in_a_container();
	test_ipv6();
	test_no_kept_connection();
	test_health();
	test_stats();
	test_connections();
	test_few_writes();
	test_routes();
	test_routes_of_the_operator();
	test_same_service_elsewhere();
	test_frozen_folder();
	IS_STR(text_of(in_folder("routers.yml")), was, "the operator's file was never touched");
}

int main(void)
{
	char *folder = getenv("AS_RIG_TRAEFIK_DIR"), *api = getenv("AS_RIG_TRAEFIK_API");
	const char *url = getenv("AS_RIG_TRAEFIK_URL");

	scratch_make();
	app_init();
	for (int i = 0; i < 2; i++) {
		apps[i] = app_bind(i);
		app_start(&apps[i], 0);
	}
	edge.folder = folder && api && url ? folder : scratch;
	edge.admin = edge.folder == folder ? api : NULL;
	lb = lb_traefik.open(&edge, &means, &err);
	if (!lb)
		abort();
	test_file();
	test_odd_files();
	test_rules();
	test_counters();
	test_configuration();
	test_without_admin();
	if (edge.folder == folder) {
		front = (unsigned)strtoul(strrchr(url, ':') + 1, NULL, 10);
		with_traefik();
	} else {
		OK(true, "Traefik # SKIP no rig: eval \"$(tests/rig/up traefik)\"");
	}
	lb_traefik.close(lb);
	for (int i = 0; i < 2; i++)
		app_stop(&apps[i]);
	scratch_remove();
	return DONE();
}
