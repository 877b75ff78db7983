/* The driver for nginx: its files, and what nginx makes of them: `eval "$(tests/rig/up nginx)"` first, else only what
 * needs none. What all drivers promise: lb_suite.h. */
#include "lb/nginx.h"
#include "tests/unit/files.h"
#include "tests/unit/http_app.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tap.h"

#include "base/limits.h"

#include "base/banned.h"

#define MANY 50
#define GATE 5000
#define WAIT 5000

static struct err err;
static struct lb_result result;
static struct conf_lb edge = {.name = (char[]){"edge"}, .driver = (char[]){"nginx"}};
static const struct lb_means alone;
static struct lb *lb;
static struct app apps[2];
static unsigned front;
static char dir[200]; /* nginx's folder */

/* ---- files, no nginx ---- */

static int parse(const char *text, struct filed *f)
{
	*f = (struct filed){.backend = "web", .old = BUF_INIT(DOCUMENT_MAX), .text = BUF_INIT(DOCUMENT_MAX)};
	err = (struct err){0};
	buf_puts(&f->old, text);
	return nginx_parse(lb, text, f, &err);
}

/* What is written for what was read; good for the next three calls. */
static const char *again(const char *text)
{
	static char texts[4][8192];
	static int turn;
	char *out = texts[turn++ % 4];
	struct filed f;

	*out = '\0';
	if (parse(text, &f) == 0 && nginx_render(lb, &f, &f.text, &err) == 0)
		(void)snprintf(out, sizeof texts[0], "%s", f.text.p);
	lb_filed_release(&f);
	return out;
}

#define HEAD(version, made, check)                                                 \
	"# as-lb version=" version " made=" made " check=" check "\n"                  \
	"# Written by the toolkit: statements that are not its own stay, comments do " \
	"not.\n"

static void test_file(void)
{
	const char *whole = HEAD("7", "yes", "/health") "# as-lb route a.example /x\n"
													"# as-lb route - /y\n"
													"upstream web {\n"
													"  zone web 64k;\n"
													"  least_conn;\n"
													"  keepalive 32;\n"
													"  server 10.9.9.9:80 backup;\n"
													"  server 10.0.0.7:80 weight=100 max_fails=1 fail_timeout=2s; # "
													"as-000000000001\n"
													"  # as-lb drain as-000000000002 10.0.0.8:80 weight=50\n"
													"  server 10.0.0.9:80 down; # as-000000000003\n"
													"  server [fd00::1]:80 weight=256 max_fails=1 fail_timeout=2s; # "
													"as-000000000004\n"
													"}\n";
	const char *facts = "upstream web { zone web 64k; keepalive 16;\n"
						"  server 127.0.0.1:19001 max_fails=1 fail_timeout=2s; # as-0123456789ab\n"
						"} map \"\" $as_gen { default 7; }\n";
	struct filed f;

	/* Ways are kept in order: "" is before "a.example". */
	(void)parse(whole, &f);
	IS(f.list.n, 4, "four servers are read, the operator's own is not ours to list");
	OK(f.version == 7 && f.made && f.rule.n == 2 && strcmp(f.check, "/health") == 0, "with what the comments say");
	OK(f.list.v[1].state == LB_DRAIN && f.list.v[1].weight == 50 && f.list.v[2].weight == 0 &&
	       strcmp(f.list.v[3].address, "fd00::1") == 0,
	   "drained, of no weight, IPv6");
	lb_filed_release(&f);
	const char *text = again(whole);
	IS_STR(again(text), text, "what is written is read as the same");
	OK(strstr(text, "least_conn;") && strstr(text, "keepalive 32;") && strstr(text, "server 10.9.9.9:80 backup;"),
	   "the operator's own statements stay");
	IS_STR(
		again(facts),
		HEAD("0", "no", "") "upstream web {\n  zone web 64k;\n  keepalive 16;\n"
							"  server 127.0.0.1:19001 weight=100 max_fails=1 fail_timeout=2s; # as-0123456789ab\n}\n",
		"a file of before is read, and its map left to a file of its own");
	IS_STR(again("upstream web { server 127.0.0.1:9 down; }"),
	       HEAD("0", "no", "") "upstream web {\n  zone web 64k;\n  server 127.0.0.1:9 down;\n}\n",
	       "an upstream without servers has one that is down");
}

static void test_odd_files(void)
{
	static const char *const odd[] = {
		"",
		"upstream api { }",
		"upstream web { ",
		"upstream web { } }",
		"upstream web { } server { listen 80; }",
		"load_module x.so;",
		"upstream web { server localhost:80; # as-000000000001\n }",
		"upstream web { server 10.0.0.1:80 weight=300; # as-000000000001\n }",
		"upstream web { server 10.0.0.1:80 backup; # as-000000000001\n }",
		"upstream web { server 10.0.0.1:80; # as-000000000001\n server 10.0.0.2:80; # as-000000000001\n }",
		"# as-lb route a;b /x\nupstream web { }",
		"# as-lb version=x\nupstream web { }",
		"# as-lb drain as-000000000001 10.0.0.1 weight=1\nupstream web { }",
		"upstream web { \"server }",
	};
	int refused = 0;

	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
		struct filed f;
		const bool no = parse(odd[i], &f) < 0 && err.code != ERR_NONE && *err.message;
		refused += no;
		if (!no)
			printf("# passed: %s\n", odd[i]);
		lb_filed_release(&f);
	}
	IS(refused, sizeof odd / sizeof *odd, "what the toolkit does not write is refused");
	OK(nginx_digest(0, "a b; # x\n") == nginx_digest(0, "# y\na  b;") &&
	       nginx_digest(0, "a b;") != nginx_digest(0, "ab;"),
	   "comments and white space are no change");
}

static int lost;

static void lose(void *ctx, const struct filed *loser, const struct filed *owner, const struct rule_way *way)
{
	(void)ctx, (void)owner, (void)way;
	lost += strcmp(loser->backend, "web") == 0;
}

static void test_routes(void)
{
	struct filed app = {.backend = "app"}, web = {.backend = "web"};
	const struct filed *const both[] = {&app, &web};
	struct buf out = BUF_INIT(65536);
	const char *server;

	if (rule_add(&app.rule, "a.example", "/x", &err) || rule_add(&app.rule, "*.example", "", &err) ||
	    rule_add(&web.rule, "a.example", "", &err) || rule_add(&web.rule, "", "/y", &err))
		abort();
	IS(nginx_routes(both, 2, "8080", false, lose, NULL, &out, &err), 0, "servers are made for rules");
	OK((server = strstr(out.p, "server_name a.example;")) != NULL, "one for a name");
	OK(strstr(server, "location = /x { proxy_pass http://app; }\n  location /x/ { proxy_pass http://app; }\n") &&
	       strstr(server, "location / { proxy_pass http://web; }"),
	   "with its paths as whole segments");
	OK(strstr(out.p, "listen 8080 default_server;\n  server_name _;") && !strstr(server, "/y"),
	   "a rule without a name is the default server's, and does not reach into names that are taken whole");
	OK(strstr(out.p, "location / { return 404; }"), "what no rule fits is not found");
	buf_reset(&out);
	IS(nginx_routes(both, 2, "8080", true, lose, NULL, &out, &err), 0, "where the operator has the default server");
	OK(!strstr(out.p, "default_server"), "there is none of ours");
	IS(lost, 0, "no way is another's");
	if (rule_add(&web.rule, "a.example", "/x", &err))
		abort();
	buf_reset(&out);
	IS(nginx_routes(both, 2, "8080", true, lose, NULL, &out, &err) + lost, 1, "a way that two have is the first one's");
	buf_release(&out);
}

/* ---- with nginx ---- */

static const char *path_in(const char *name)
{
	static char path[4][300];
	static int turn;
	char *p = path[turn++ % 4];

	(void)snprintf(p, sizeof *path, "%s/%s", dir, name);
	return p;
}

/* "" when there is no such file. */
static const char *text_in(const char *path)
{
	const char *text = text_of(path);

	return text ? text : "";
}

/* A GET: its status, and its body into *body. */
static int get(const char *host, const char *path, char body[64])
{
	char text[2048];
	size_t n = 0;
	ssize_t got;
	const int fd = app_connect(front);

	if (fd < 0)
		return 0;
	const int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);
	if (send(fd, text, (size_t)len, MSG_NOSIGNAL) != len)
		return 0;
	while ((got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
		n += (size_t)got;
	(void)close(fd);
	text[n] = '\0';
	const char *end = strstr(text, "\r\n\r\n");
	(void)snprintf(body, 64, "%s", end ? end + 4 : "");
	return n > 12 ? (int)strtol(text + 9, NULL, 10) : 0;
}

static long gen(void)
{
	char body[64];

	return get("x", "/as-gen", body) == 200 ? strtol(body, NULL, 10) : -1;
}

/* How many of n requests got this status. */
static int got(const char *host, const char *path, int status, int n)
{
	char body[64];
	int good = 0;

	for (int i = 0; i < n; i++)
		good += get(host, path, body) == status;
	return good;
}

static int by(const char *host, const char *path)
{
	char body[64];

	return get(host, path, body) == 200 ? (int)strtol(body, NULL, 10) : -1;
}

static struct lb_server server(unsigned number, unsigned app)
{
	struct lb_server s = {.port = apps[app].port, .weight = 100, .check = "/"};

	(void)snprintf(s.name, sizeof s.name, "as-%012x", number);
	(void)snprintf(s.address, sizeof s.address, "127.0.0.1");
	return s;
}

static int attach(const char *backend, unsigned number, unsigned app)
{
	const struct lb_server s = server(number, app);

	err = (struct err){0};
	return lb_nginx.attach(lb, backend, &s, GATE, &result, &err);
}

static int detach(const char *backend, unsigned number)
{
	err = (struct err){0};
	return lb_nginx.detach(lb, backend, server(number, 0).name, WAIT, &result, &err);
}

static int ensure(const char *backend, const char *rule_text)
{
	struct rule rule = {.n = 0};
	const struct lb_route route = {.rule = &rule, .check = "/"};

	err = (struct err){0};
	if (rule_text && *rule_text && rule_parse(rule_text, &rule, &err) < 0)
		abort();
	return lb_nginx.ensure(lb, backend, rule_text ? &route : NULL, &result, &err);
}

static void must(int rc)
{
	if (rc < 0) {
		OK(false, "a step between the cases: %s", err.message);
	}
}

static const char web_of_before[] = "upstream web { zone web 64k; keepalive 16;\n"
									"  server 127.0.0.1:9 down;\n"
									"} map \"\" $as_gen { default 70; }\n";

static void test_map_moves(void)
{
	OK(strstr(text_in(path_in("as-web.conf")), "$as_gen") != NULL, "the operator's first file has the map");
	must(attach("web", 1, 0));
	OK(!strstr(text_in(path_in("as-web.conf")), "$as_gen") && strstr(text_in(path_in("as-_gen.conf")), "$as_gen"),
	   "it moves into a file of its own");
	/* As if the run had been killed in between. */
	must(detach("web", 1));
	write_text(path_in("as-web.conf"), web_of_before);
	OK(attach("web", 1, 0) == 0 && gen() == 71, "where there are two maps, the higher number is counted on");
	OK(!strstr(text_in(path_in("as-web.conf")), "$as_gen"), "and only one of them stays");
	IS(by("x", "/x"), 0, "the server answers");
}

static void test_killed(void)
{
	const long before = gen();
	char text[4096];

	/* Killed after the rename: another weight is in the file. */
	(void)snprintf(text, sizeof text, "%s", text_in(path_in("as-web.conf")));
	char *weight = strstr(text, "weight=100");
	if (!weight)
		abort();
	memcpy(weight, "weight=200", 10);
	write_text(path_in("as-web.conf"), text);
	OK(lb_nginx.verify(lb, "web", &(struct lb_list){(struct lb_server[]){server(1, 0)}, 1}, &err) < 0 &&
	       err.code == ERR_CONFLICT,
	   "verify sees what nginx was not told");
	struct lb_server s = server(1, 0);
	s.weight = 200;
	OK(lb_nginx.attach(lb, "web", &s, GATE, &result, &err) == 0 && gen() == before + 1,
	   "after a kill between rename and HUP, the next run has it loaded");
	/* Killed before HUP. */
	(void)snprintf(text, sizeof text, "%s", text_in(path_in("as-_gen.conf")));
	char *number = strstr(text, "default ");
	if (!number)
		abort();
	(void)snprintf(number, 64, "default %ld; }\n", before + 2);
	write_text(path_in("as-_gen.conf"), text);
	OK(lb_nginx.attach(lb, "web", &s, GATE, &result, &err) == 0 && result.already && gen() == before + 2,
	   "after a kill just before HUP as well");
	OK(lb_nginx.verify(lb, "web", &(struct lb_list){&s, 1}, &err) == 0, "then verify is content");
}

static void test_broken_foreign_file(void)
{
	const char *was = text_in(path_in("as-web.conf"));
	const long before = gen();

	write_text(path_in("as-zz.conf"), "upstream zz { server\n");
	OK(attach("web", 2, 1) < 0 && err.code == ERR_CONFIG && strstr(err.message, "as-zz.conf"),
	   "somebody else's broken file is named: %s", err.message);
	IS_STR(text_in(path_in("as-web.conf")), was, "ours is as it was");
	OK(gen() == before && got("x", "/x", 200, 10) == 10, "nginx serves as before");
	(void)unlink(path_in("as-zz.conf"));
	OK(attach("web", 2, 1) == 0, "without it the same attach succeeds");
	must(detach("web", 2));
}

/* What only nginx itself sees, after the change. */
static void test_refused_change(void)
{
	write_text(path_in("as-zz.conf"), "upstream other { server 127.0.0.1:9 down; }\n");
	const long before = gen();
	OK(ensure("other", "") < 0 && strstr(err.message, "other"), "a name that nginx has already is refused: %s",
	   err.message);
	OK(*text_in(path_in("as-other.conf")) == '\0' && gen() == before, "and nothing of it stays");
	(void)unlink(path_in("as-zz.conf"));
}

static int outcome[MANY];

static void put_one(void *ctx, size_t item)
{
	struct lb_server s = server((unsigned)item + 0x100, 0);
	struct lb_result mine;
	struct err why;

	(void)ctx;
	(void)snprintf(s.address, sizeof s.address, "127.0.0.1");
	outcome[item] = lb_nginx.attach(lb, "web", &s, GATE, &mine, &why);
}

static void take_one(void *ctx, size_t item)
{
	struct lb_result mine;
	struct err why;

	(void)ctx;
	outcome[item] = lb_nginx.detach(lb, "web", server((unsigned)item + 0x100, 0).name, WAIT, &mine, &why);
}

/* The number in the file: an old worker, which may take a connection for a moment more, serves an older one. */
static long written(void)
{
	const char *number = strstr(text_in(path_in("as-_gen.conf")), "default ");

	return number ? strtol(number + 8, NULL, 10) : -1;
}

static void test_fifty(void)
{
	struct tasks *tasks = tasks_new(&err);
	const struct lb_means means = {.tasks = tasks};
	struct lb *was = lb;
	struct lb_list list;
	int good = 0;

	lb = lb_nginx.open(&edge, &means, &err);
	if (!tasks || !lb)
		abort();
	long from = written();
	must(tasks_run(tasks, MANY, put_one, NULL, &err));
	OK(written() - from >= 1 && written() - from <= 2, "fifty attaches at once are two reloads at most (%ld)",
	   written() - from);
	for (int i = 0; i < MANY; i++)
		good += outcome[i] == 0;
	IS(good, MANY, "all of them succeed");
	OK(lb_nginx.list(lb, "web", &list, &err) == 0 && list.n == MANY + 1, "and are listed");
	lb_list_release(&list);
	from = written();
	must(tasks_run(tasks, MANY, take_one, NULL, &err));
	OK(written() - from >= 1 && written() - from <= 2, "fifty detaches too (%ld)", written() - from);
	lb_nginx.close(lb);
	tasks_free(tasks);
	lb = was;
}

static void test_drain_and_force(void)
{
	must(attach("web", 2, 1));
	must(detach("web", 1));
	pid_t pid = app_later(front, "/wait/1500");
	while (app_shared->hits[1] == 0)
		clock_sleep_ms(10);
	int64_t start = clock_monotonic_ms();
	OK(lb_nginx.drain(lb, "web", server(2, 1).name, WAIT, &result, &err) == 0 && !*result.note, "a drain ends");
	(void)app_reap(pid);
	OK(app_shared->status == 200 && app_shared->ended_ms - start >= 1000,
	   "after the request that was in flight, with 200");
	OK(clock_monotonic_ms() >= app_shared->ended_ms, "and not before");
	must(attach("web", 2, 1));
	const long hits = app_shared->hits[1];
	pid = app_later(front, "/wait/3500");
	while (app_shared->hits[1] == hits)
		clock_sleep_ms(10);
	start = clock_monotonic_ms();
	OK(lb_nginx.detach(lb, "web", server(2, 1).name, 1000, &result, &err) == 0 && !result.forced && *result.note,
	   "a detach does not wait for ever, says so: %s", result.note);
	OK(clock_monotonic_ms() - start < 2500, "and ends in time");
	IS(got("x", "/x", 502, 5), 5, "without any server clients get 502");
	(void)app_reap(pid);
	IS(app_shared->status, 200, "what was in flight is not cut");
	OK(attach("web", 1, 0) == 0 && got("x", "/x", 200, 10) == 10, "the next attach heals");
}

static void test_rules(void)
{
	must(ensure("one", "Host(`shop.example`) && PathPrefix(`/one`)"));
	must(ensure("two", "Host(`shop.example`) && PathPrefix(`/one/two`) || Host(`*.wide.example`)"));
	must(attach("one", 1, 0));
	must(attach("two", 2, 1));
	OK(by("shop.example", "/one") == 0 && by("shop.example", "/one/x") == 0, "a path leads to its service");
	OK(by("shop.example", "/one/two/x") == 1, "the longer path of the same name to another");
	IS(got("shop.example", "/oneself", 404, 1), 1, "paths are whole segments");
	IS(by("a.b.wide.example", "/x"), 1, "a name below a name");
	IS(by("nobody.example", "/x"), 0, "other names stay the operator's");
	OK(ensure("two", "Host(`shop.example`) && PathPrefix(`/one`)") < 0 && err.code == ERR_REFUSED &&
	       strstr(err.message, "two and one"),
	   "a rule that another has is refused, both are named: %s", err.message);
	OK(ensure("three", "PathPrefix(`/three`)") < 0 && err.code == ERR_CONFIG,
	   "a rule without a name needs a default server of ours: %s", err.message);
	OK(ensure("one", NULL) < 0 && err.code == ERR_CONFLICT, "what has servers does not go");
	must(detach("one", 1));
	must(detach("two", 2));
	OK(ensure("one", NULL) == 0 && got("shop.example", "/one", 404, 1) == 1, "its route goes");
	OK(ensure("two", NULL) == 0 && *text_in(path_in("as-_routes.conf")) == '\0', "with the last one, all of that");
	IS(by("shop.example", "/x"), 0, "then the name is the operator's again");
}

/* nginx's own configuration names `web`. */
static void test_named_by_operator(void)
{
	char text[4096];

	must(detach("web", 1));
	(void)snprintf(text, sizeof text, "%s", text_in(path_in("as-web.conf")));
	char *made = strstr(text, "made=no ");
	if (!made)
		abort();
	memcpy(made, "made=yes", 8);
	memmove(made + 9, made + 8, strlen(made + 8) + 1);
	made[8] = ' ';
	write_text(path_in("as-web.conf"), text);
	OK(ensure("web", NULL) == 0 && *result.note, "an upstream that the operator names stays: %s", result.note);
	OK(*text_in(path_in("as-web.conf")) != '\0' && got("x", "/x", 502, 1) == 1, "its file too");
	must(attach("web", 1, 0));
}

static void test_stats(void)
{
	struct lb_stats a, b, c;
	char text[400], old[300];
	struct lb_rates r;

	edge.log = getenv("AS_RIG_NGINX_LOG");
	must(lb_nginx.stats(lb, "web", &a, &err));
	IS(got("x", "/wait/50", 200, 100), 100, "a hundred requests of 50 ms");
	must(lb_nginx.stats(lb, "web", &b, &err));
	r = lb_rates(&a, &b);
	IS(r.requests, 100, "a hundred are counted");
	OK(r.response_us >= 45000 && r.response_us <= 75000, "of 45 to 75 ms (%lld us)", (long long)r.response_us);
	IS(r.error_rate_milli, 0, "and no error");
	must(lb_nginx.stats(lb, "web", &c, &err));
	r = lb_rates(&b, &c);
	OK(r.requests == 0 && r.response_us == -1, "an idle time has no response time");
	IS(c.connections, 0, "nothing is at work");
	/* Rotation as logrotate(8) does it. */
	(void)snprintf(old, sizeof old, "%s.1", edge.log);
	must(got("x", "/x", 200, 3) == 3 ? 0 : -1);
	must(rename(edge.log, old));
	must(got("x", "/x", 200, 2) == 2 ? 0 : -1);
	must(kill((pid_t)strtol(getenv("AS_RIG_NGINX_PID"), NULL, 10), SIGUSR1));
	for (int i = 0; i < 200 && access(edge.log, F_OK) < 0; i++)
		clock_sleep_ms(20);
	clock_sleep_ms(50);
	must(got("x", "/x", 200, 4) == 4 ? 0 : -1);
	must(lb_nginx.stats(lb, "web", &a, &err));
	IS(lb_rates(&c, &a).requests, 9, "a log that is rotated is read on");
	/* Retries, and what has another backend. */
	(void)snprintf(
		text, sizeof text,
		"1.5 127.0.0.1:1, 127.0.0.1:%u 0.001, 0.006 200\n1.6 10.9.9.9:1 0.5 200\n1.7 - - 404\n1.8 web 0.000 502\n1.9 "
		"127.0.0.1:%u 0.0",
		apps[0].port, apps[0].port);
	FILE *f = fopen(edge.log, "a");
	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		abort();
	must(lb_nginx.stats(lb, "web", &b, &err));
	OK(b.requests - a.requests == 2 && b.errors - a.errors == 1 && b.time_us - a.time_us == 7000,
	   "lists of servers, errors without any, and lines of others");
	edge.log = NULL;
	must(lb_nginx.stats(lb, "web", &a, &err));
	OK(a.requests == -1 && a.time_us == -1, "without a log nothing is known of requests");
}

static void test_silent_admin(void)
{
	struct app silent = app_bind(0);
	char url[64];
	char *was = edge.admin;
	const char *text = text_in(path_in("as-web.conf"));
	struct lb *other;
	int n = 0;

	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u", silent.port);
	edge.admin = url;
	if (listen(silent.fd, 16) < 0 || !(other = lb_nginx.open(&edge, &alone, &err)))
		abort();
	struct lb_server s = server(2, 1);
	const int64_t start = clock_monotonic_ms();
	OK(lb_nginx.attach(other, "web", &s, GATE, &result, &err) < 0 && err.code == ERR_UNAVAILABLE,
	   "a silent admin is unavailable: %s", err.message);
	OK(clock_monotonic_ms() - start < 12000, "in time");
	IS_STR(text_in(path_in("as-web.conf")), text, "the file stays");
	for (struct pollfd p = {.fd = silent.fd, .events = POLLIN}; poll(&p, 1, 0) > 0; n++)
		(void)close(accept(silent.fd, NULL, NULL));
	OK(n >= 1 && n <= 3, "it was asked three times at most (%d)", n);
	lb_nginx.close(other);
	(void)close(silent.fd);
	edge.admin = was;
}

static void test_without_admin(void)
{
	char *was = edge.admin;
	struct lb *kept = lb;

	edge.admin = NULL;
	lb = lb_nginx.open(&edge, &alone, &err);
	if (!lb)
		abort();
	OK(attach("web", 2, 1) == 0 && strstr(result.note, "admin"), "without admin attach works, with a note: %s",
	   result.note);
	const long hits = app_shared->hits[1];
	IS(got("x", "/x", 200, 20), 20, "20 of 20 requests are answered");
	OK(app_shared->hits[1] > hits, "some by the new one");
	OK(detach("web", 2) == 0, "detach works");
	const long after = app_shared->hits[1];
	OK(got("x", "/x", 200, 20) == 20 && app_shared->hits[1] == after, "none reaches it then");
	/* Killed just before HUP. */
	char text[4096];
	const long before = gen();
	(void)snprintf(text, sizeof text, "%s", text_in(path_in("as-_gen.conf")));
	char *number = strstr(text, "default ");
	if (!number)
		abort();
	(void)snprintf(number, 64, "default %ld; }\n", before + 1);
	clock_sleep_ms(50); /* more than the clock ticks that a process counts from */
	write_text(path_in("as-_gen.conf"), text);
	OK(attach("web", 1, 0) == 0 && result.already && gen() == before + 1,
	   "files that are younger than the workers are loaded");
	lb_nginx.close(lb);
	edge.admin = was;
	lb = kept;
}

static void test_not_included(void)
{
	struct conf_lb elsewhere = edge;
	struct lb *kept = lb;

	elsewhere.folder = scratch;
	lb = lb_nginx.open(&elsewhere, &alone, &err);
	if (!lb)
		abort();
	OK(ensure("web", "") < 0 && err.code == ERR_CONFIG && strstr(err.message, "add `include "),
	   "a folder that nginx does not read: the line to add is said: %s", err.message);
	lb_nginx.close(lb);
	lb = kept;
}

static void with_nginx(void)
{
	lb = lb_nginx.open(&edge, &alone, &err);
	if (!lb)
		abort();
	test_map_moves();
	test_killed();
	test_broken_foreign_file();
	test_refused_change();
	test_fifty();
	test_drain_and_force();
	test_rules();
	test_named_by_operator();
	test_stats();
	test_silent_admin();
	test_without_admin();
	test_not_included();
	must(detach("web", 1));
	lb_nginx.close(lb);
}

int main(void)
{
	const char *folder = getenv("AS_RIG_NGINX_DIR"), *url = getenv("AS_RIG_NGINX_URL");
	char listen_at[64] = "";

	scratch_make();
	app_init();
	for (int i = 0; i < 2; i++) {
		apps[i] = app_bind(i);
		app_start(&apps[i], 0);
	}
	edge.folder = scratch;
	lb = lb_nginx.open(&edge, &alone, &err);
	if (!lb)
		abort();
	test_file();
	test_odd_files();
	test_routes();
	lb_nginx.close(lb);
	if (folder && url) {
		(void)snprintf(dir, sizeof dir, "%s", folder);
		(void)snprintf(listen_at, sizeof listen_at, "%s", url + strlen("http://"));
		front = (unsigned)strtoul(strrchr(url, ':') + 1, NULL, 10);
		edge.folder = dir;
		edge.admin = getenv("AS_RIG_NGINX_URL");
		edge.config = getenv("AS_RIG_NGINX_CONF");
		edge.frontend = listen_at;
		with_nginx();
	} else {
		OK(true, "nginx # SKIP no rig: eval \"$(tests/rig/up nginx)\"");
	}
	for (int i = 0; i < 2; i++)
		app_stop(&apps[i]);
	scratch_remove();
	return DONE();
}
