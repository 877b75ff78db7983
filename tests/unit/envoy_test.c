/* The driver for Envoy: how its files look and are read, and, with `eval "$(tests/rig/up envoy)"` first, what the
 * common cases (lb_suite.h) do not ask: other people's files, routes, the removal trap, clusters without checks, load.
 */
#include "lb/envoy.h"
#include "tests/unit/files.h"
#include "tests/unit/http_app.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tap.h"

#include <sys/stat.h>

#include "base/banned.h"

#define GATE 5000
#define WAIT 5000
#define MANY 50

static struct err err;
static struct conf_lb edge = {.name = (char[]){"edge"}, .driver = (char[]){"envoy"}};
static struct lb_means means;
static struct lb *lb;
static struct lb_result result;
static struct app apps[3]; /* 0 and 1 answer, 2 does when a test says so */
static unsigned front;
static int64_t took; /* ms, of the last attach */

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

/* As somebody else would: by rename. */
static void replace(const char *name, const char *text)
{
	write_text(in_folder(".theirs"), text);
	if (rename(in_folder(".theirs"), in_folder(name)) < 0)
		abort();
}

static int count(const char *text, const char *word)
{
	int n = 0;

	for (; text && (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

static struct lb_server server(unsigned number, const struct app *app)
{
	struct lb_server s = {.address = "127.0.0.1", .port = app->port, .weight = 100, .check = "/", .sessions = -1};

	(void)snprintf(s.name, sizeof s.name, "as-%012x", number);
	return s;
}

static int attach(const char *backend, unsigned number, const struct app *app, int64_t gate_ms)
{
	const struct lb_server s = server(number, app);
	const int64_t start = clock_monotonic_ms();

	err = (struct err){0};
	const int rc = lb_envoy.attach(lb, backend, &s, gate_ms, &result, &err);
	took = clock_monotonic_ms() - start;
	return rc;
}

static int detach(const char *backend, unsigned number)
{
	const struct lb_server s = server(number, &apps[0]);

	err = (struct err){0};
	return lb_envoy.detach(lb, backend, s.name, WAIT, &result, &err);
}

/* rule NULL: it goes; "": none */
static int ensure(const char *backend, const char *rule)
{
	struct rule r = {.n = 0};
	const struct lb_route route = {.rule = rule && *rule ? &r : NULL, .check = "/"};

	err = (struct err){0};
	if (route.rule && rule_parse(rule, &r, &err) < 0)
		abort();
	return lb_envoy.ensure(lb, backend, rule ? &route : NULL, &result, &err);
}

static int verify(const char *backend)
{
	const struct lb_list none = {0};

	err = (struct err){0};
	return lb_envoy.verify(lb, backend, &none, &err);
}

static int listed(const char *backend)
{
	struct lb_list list;

	if (lb_envoy.list(lb, backend, &list, &err) < 0)
		return -1;
	const int n = (int)list.n;
	lb_list_release(&list);
	return n;
}

static void must(int rc)
{
	if (rc != 0)
		OK(false, "a step between the tests: %s", err.message);
}

static bool said(enum err_code code, const char *words)
{
	const bool good = err.code == code && strstr(err.message, words);

	if (!good)
		printf("# %s: %s\n", err_name(err.code), err.message);
	return good;
}

/* ---- a backend's file ---- */

#define HEAD                                                                                            \
	"{\"version_info\":\"7\",\"resources\":[{\"@type\":\"type.googleapis.com/envoy.config.endpoint.v3." \
	"ClusterLoadAssignment\",\"cluster_name\":\"web\",\"endpoints\":[{\"lb_endpoints\":["
#define ONE                                                                                                       \
	"{\"endpoint\":{\"hostname\":\"as-0123456789ab\",\"address\":{\"socket_address\":{\"address\":\"127.0.0.1\"," \
	"\"port_value\":80}}}"
#define TAIL "]}]}]}"

static int parse(const char *text, struct filed *f)
{
	*f = (struct filed){.backend = "web"};
	err = (struct err){0};
	return envoy_kind.parse(lb, text, f, &err);
}

static bool same(const struct lb_server *a, const struct lb_server *b)
{
	return strcmp(a->name, b->name) == 0 && lb_same_place(a, b) && a->weight == b->weight && a->state == b->state &&
	       strcmp(a->check, b->check) == 0 && a->ours == b->ours;
}

static void test_file(void)
{
	struct filed f = {.backend = "web", .made = true, .version = 41, .check = "/health"}, again;
	struct lb_server a = server(2, &apps[0]), b = server(1, &apps[1]), c = server(3, &apps[1]);
	struct buf text = BUF_INIT(65536), other = BUF_INIT(65536);
	char version[ENVOY_VERSION], hash[ENVOY_VERSION];

	a.weight = 0;
	b.state = LB_DRAIN;
	(void)snprintf(c.address, sizeof c.address, "fd00::5");
	must(lb_filed_add(&f, &a, &err) | lb_filed_add(&f, &b, &err) | lb_filed_add(&f, &c, &err));
	must(rule_parse("Host(`a.example`) && PathPrefix(`/x`)", &f.rule, &err));
	OK(envoy_kind.render(lb, &f, &text, &err) == 0, "a file is written");
	OK(parse(text.p, &again) == 0, "and read again");
	OK(again.made && again.version == 41 && strcmp(again.check, "/health") == 0 && again.rule.n == 1 &&
	       strcmp(again.rule.v[0].host, "a.example") == 0,
	   "with its version, its rule and its check, and that it was made");
	OK(again.list.n == 3 && same(&again.list.v[0], &f.list.v[0]) && same(&again.list.v[1], &f.list.v[1]) &&
	       same(&again.list.v[2], &f.list.v[2]),
	   "and its servers: one drained, one of weight 0, one with an IPv6 address");
	IS(count(text.p, "\"DRAINING\""), 2, "Envoy reads that neither the drained nor the one of weight 0 gets work");
	envoy_version_of(text.p, text.n, version);
	f.list.v[2].port++;
	must(envoy_kind.render(lb, &f, &other, &err));
	envoy_version_of(other.p, other.n, hash);
	OK(strcmp(version, hash) != 0 && strncmp(version, "41.", 3) == 0,
	   "the version tells one content from another, whatever its number");
	lb_filed_release(&again);
	lb_list_release(&f.list);
	buf_release(&text);
	buf_release(&other);
}

static void test_operators_file(void)
{
	static const struct {
		const char *name, *text, *words;
	} rows[] = {
		{"half a file", HEAD ONE, "no JSON object"},
		{"a locality", HEAD "]},{\"lb_endpoints\":[" TAIL, "several localities"},
		{"a member that would be lost", HEAD ONE ",\"priority\":1}" TAIL, "\"priority\""},
		{"an endpoint without a name", HEAD "{\"endpoint\":{\"address\":{}}}" TAIL, "hostname"},
		{"an endpoint twice", HEAD ONE "}," ONE "}" TAIL, "twice"},
	};
	struct filed f;

	OK(parse(HEAD ONE ",\"load_balancing_weight\":7}" TAIL, &f) == 0 && f.list.n == 1 && f.list.v[0].weight == 7 &&
	       f.list.v[0].state == LB_UP && f.version == 7 && !f.made,
	   "a file that an operator wrote is read");
	lb_list_release(&f.list);
	OK(parse(HEAD ONE ",\"health_status\":\"DRAINING\"}" TAIL, &f) == 0 && f.list.v[0].state == LB_DRAIN,
	   "in it DRAINING is drained");
	lb_list_release(&f.list);
	OK(parse("{\"resources\":[]}", &f) == 0 && !f.list.n, "a file without anything is an empty list");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		OK(parse(rows[i].text, &f) < 0 && said(ERR_CONFIG, rows[i].words), "refused: %s", rows[i].name);
		lb_list_release(&f.list);
	}
	(void)snprintf(f.backend, sizeof f.backend, "api");
	OK(envoy_kind.parse(lb, HEAD TAIL, &f, &err) < 0 && said(ERR_CONFIG, "cluster api"),
	   "refused: the file of another cluster");
}

/* ---- the shared files ---- */

static const char *routes(const struct envoy_apps *of, const char *old)
{
	static char text[4][65536];
	static unsigned turn;
	char *p = text[turn++ % 4];
	struct buf out = BUF_INIT(65535);

	err = (struct err){0};
	*p = '\0';
	if (envoy_render_routes(lb, of, old, &out, &err) == 0)
		memcpy(p, out.p, out.n + 1);
	buf_release(&out);
	return p;
}

static void test_routes(void)
{
	struct envoy_app v[2] = {{.backend = "shop", .made = true, .check = "/"}, {.backend = "api"}};
	const struct envoy_apps two = {v, 2}, none = {NULL, 0};
	static const char theirs[] = "{\"resources\":[{\"name\":\"as\",\"vhds\":{},\"virtual_hosts\":[{\"name\":\"mail\","
								 "\"domains\":[\"m.example\"]},"
								 "{\"name\":\"all\",\"domains\":[\"*\"],\"routes\":[{\"match\":{\"prefix\":\"/"
								 "\"},\"route\":{\"cluster\":\"web\"}}]}]}]}";

	must(rule_parse("Host(`*.a.example`) || Host(`w.a.example`) && PathPrefix(`/y`)", &v[0].rule, &err));
	must(rule_parse("PathPrefix(`/api`)", &v[1].rule, &err));
	const char *text = routes(&two, theirs);
	IS(count(text, "\"domains\""), 4, "a virtual host for each host, and those of the operator");
	OK(strstr(text, "\"domains\":[\"w.a.example\"]") < strstr(text, "\"domains\":[\"*.a.example\"]"),
	   "the narrower host comes first");
	IS(count(text, "\"path_separated_prefix\":\"/api\""), 3, "a path for all hosts is in each of ours, and in `*`");
	IS(count(text, "\"cluster\":\"web\""), 3, "and what nobody else wants is the operator's everywhere");
	OK(strstr(text, "{\"name\":\"mail\",\"domains\":[\"m.example\"]}") && strstr(text, "\"vhds\":{}"),
	   "what is not ours stays, byte for byte");
	IS_STR(routes(&two, text), text, "made again from itself it is the same");
	text = routes(&none, text);
	OK(!strstr(text, ENVOY_MARK) && strstr(text, "\"mail\"") && count(text, "\"cluster\":\"web\"") == 1,
	   "when ours go, the operator's are left");
	must(rule_parse("Host(`m.example`)", &v[0].rule, &err));
	OK(!*routes(&two, theirs) && said(ERR_CONFLICT, "m.example"), "a host of the operator's own is a conflict");
	OK(!*routes(&two, "{\"resources\":[{\"name\":\"other\"}]}") && said(ERR_CONFIG, "`frontend`"),
	   "routes of another name are not ours to change");
	OK(!*routes(&two, "{") && said(ERR_CONFIG, "no JSON"), "a torn file is not replaced");
	OK(strstr(routes(&two, ""), "\"domains\":[\"*\"]"),
	   "without an operator's `*` there is one for paths of all hosts");
}

static void test_clusters(void)
{
	struct envoy_app v[1] = {{.backend = "shop", .made = true, .check = "/ok"}};
	struct buf out = BUF_INIT(65536), again = BUF_INIT(65536);

	must(envoy_render_clusters(lb, &(struct envoy_apps){v, 1}, "{\"resources\":[{\"name\": \"x\"}]}", &out, &err));
	OK(strstr(out.p, "{\"name\": \"x\"}") && strstr(out.p, "\"http_health_check\":{\"path\":\"/ok\""),
	   "a cluster with a check is added to the operator's");
	must(envoy_render_clusters(lb, &(struct envoy_apps){NULL, 0}, out.p, &again, &err));
	OK(strstr(again.p, "{\"name\": \"x\"}") && !strstr(again.p, "shop"), "and taken away again");
	buf_release(&out);
	buf_release(&again);
}

static void test_configuration(void)
{
	struct conf_lb conf = {.name = edge.name, .driver = edge.driver};
	static const char *const bad[] = {"127.0.0.1:9901", "http://", "http://u@h:1", "http://h:1/x", "unix:/x"};
	int refused = 0;

	err = (struct err){0};
	OK(!lb_envoy.open(&conf, &means, &err) && said(ERR_CONFIG, "`folder`"), "without a folder it is refused");
	conf.config = scratch;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char url[64];
		(void)snprintf(url, sizeof url, "%s", bad[i]);
		conf.admin = url;
		refused += !lb_envoy.open(&conf, &means, &err) && err.code == ERR_CONFIG;
	}
	IS(refused, sizeof bad / sizeof *bad, "what is no URL of an admin listener is refused");
	conf.admin = NULL;
	conf.frontend = (char[]){"a b"};
	OK(!lb_envoy.open(&conf, &means, &err) && said(ERR_CONFIG, "`frontend`"), "nor a strange route configuration");
	conf.frontend = NULL;
	struct lb *other = lb_envoy.open(&conf, &means, &err);
	OK(other != NULL, "a folder as `config` will do");
	lb_envoy.close(other);
}

static void test_without_admin(void)
{
	struct conf_lb conf = {.name = edge.name, .driver = edge.driver, .folder = scratch};
	const struct lb_server s = server(1, &apps[0]), closed = server(2, &apps[2]);
	struct lb *plain = lb_envoy.open(&conf, &means, &err);
	struct lb_stats stats;

	write_text(scratch_path("web.json"), HEAD TAIL);
	OK(lb_envoy.attach(plain, "web", &s, GATE, &result, &err) == 0 && strstr(result.note, "`admin`"),
	   "without admin a server is written, with a note that nobody proves it");
	IS(count(text_of(scratch_path("web.json")), s.name), 1, "it is in the file");
	OK(lb_envoy.attach(plain, "web", &closed, 200, &result, &err) < 0 && err.code == ERR_UNAVAILABLE,
	   "our own probe is the gate then");
	OK(lb_envoy.attach(plain, "none", &s, GATE, &result, &err) < 0 && err.code == ERR_NOT_FOUND,
	   "a backend without a file is not made up");
	OK(lb_envoy.stats(plain, "web", &stats, &err) < 0 && said(ERR_CONFIG, "`admin`"), "its load is not known");
	OK(lb_envoy.detach(plain, "web", s.name, 50, &result, &err) == 0 && !result.already, "a server is taken out");
	IS(count(text_of(scratch_path("web.json")), s.name), 0, "it is not in the file");
	lb_envoy.close(plain);
}

/* ---- with Envoy ---- */

static int64_t counter(const char *name)
{
	struct buf reply = BUF_INIT(1 << 20);
	char path[200];

	(void)snprintf(path, sizeof path, "/stats?filter=%s", name);
	if (envoy_get(lb, path, &reply, &err) < 0)
		abort();
	const int64_t n = envoy_count(reply.p ? reply.p : "", name);
	buf_release(&reply);
	return n;
}

static bool reaches(const char *name, int64_t want)
{
	for (int i = 0; i < 200; i++) {
		if (counter(name) == want)
			return true;
		clock_sleep_ms(10);
	}
	return false;
}

/* The status of a GET, and which app answered it, -1: none. */
static int get(const char *host, const char *path, int *number)
{
	char text[1024];
	const int fd = app_connect(front);
	size_t n = 0;
	ssize_t got;

	*number = -1;
	const int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);
	if (fd >= 0 && send(fd, text, (size_t)len, MSG_NOSIGNAL) == len)
		while (n < sizeof text - 1 && (got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
			n += (size_t)got;
	text[n] = '\0';
	if (fd >= 0)
		(void)close(fd);
	const char *body = strstr(text, "\r\n\r\n");
	const int status = n > 12 ? (int)strtol(text + 9, NULL, 10) : 0;
	if (body && status == 200)
		*number = (int)strtol(body + 4, NULL, 10);
	return status;
}

static int who(const char *host, const char *path)
{
	int number;

	(void)get(host, path, &number);
	return number;
}

static int good_of(int n)
{
	int number, good = 0;

	for (int i = 0; i < n; i++)
		good += get("x", "/x", &number) == 200;
	return good;
}

static void test_other_peoples_files(void)
{
	must(attach("web", 1, &apps[0], GATE));
	char *good = strdup(text_of(in_folder("web.json")));
	const int64_t failed = counter("cluster.web.update_failure"), rejected = counter("cluster.web.update_rejected");

	replace("web.json", "{\"version_info\":");
	OK(reaches("cluster.web.update_failure", failed + 1), "Envoy counts a file that it cannot read");
	OK(attach("web", 2, &apps[1], GATE) < 0 && said(ERR_CONFIG, "web.json"), "attach fails and names the file");
	IS(good_of(10), 10, "the old servers go on");
	replace("web.json",
	        "{\"version_info\":\"9\",\"resources\":[{\"@type\":\"type.googleapis.com/envoy.config.endpoint.v3."
	        "ClusterLoadAssignment\",\"cluster_name\":\"other\"}]}");
	OK(reaches("cluster.web.update_rejected", rejected + 1), "Envoy counts a file of another cluster");
	OK(attach("web", 2, &apps[1], GATE) < 0 && said(ERR_CONFIG, "cluster web"), "attach fails and says why");
	IS(good_of(10), 10, "the old servers still go on");
	replace("web.json", good);
	OK(attach("web", 2, &apps[1], GATE) == 0, "with the file mended it works again");
	must(detach("web", 1) | detach("web", 2));
	free(good);
}

static void test_rejected(void)
{
	char *good = strdup(text_of(in_folder(ENVOY_CLUSTERS)));
	const int64_t rejected = counter("cluster_manager.cds.update_rejected");

	replace(ENVOY_CLUSTERS,
	        "{\"version_info\":\"x\",\"resources\":[{\"@type\":\"type.googleapis.com/envoy.config.cluster.v3."
	        "Cluster\",\"name\":\"\"}]}");
	OK(reaches("cluster_manager.cds.update_rejected", rejected + 1), "a bad cluster of somebody else is rejected");
	OK(ensure("shop", "Host(`s.example`)") < 0 && said(ERR_REMOTE, "update_rejected"),
	   "what Envoy does not take is an error that says so");
	OK(access(in_folder("shop.json"), F_OK) != 0 && !strstr(text_of(in_folder(ENVOY_CLUSTERS)), "shop"),
	   "and all is as it was before");
	replace(ENVOY_CLUSTERS, good);
	OK(ensure("shop", "Host(`s.example`)") == 0, "then it works");
	must(ensure("shop", NULL));
	free(good);
}

static void test_unknown(void)
{
	OK(attach("nosuch", 1, &apps[0], GATE) < 0 && said(ERR_NOT_FOUND, "No such cluster"),
	   "a cluster that Envoy does not have is not found, and the message says what to add");
	OK(access(in_folder("nosuch.json"), F_OK) != 0, "and nothing is written");
	OK(attach("as-routes", 1, &apps[0], GATE) < 0 && access(in_folder("as-routes.json"), F_OK) == 0,
	   "the names of the shared files are no backends");
}

static void test_trap(void)
{
	must(attach("kept", 1, &apps[0], GATE));
	OK(detach("kept", 1) == 0 && strstr(result.note, "ignore_health_on_host_removal"),
	   "a cluster that keeps removed hosts: detach says which setting is missing");
	IS(listed("kept"), 0, "it is not listed");
	OK(verify("kept") < 0 && said(ERR_CONFLICT, "pending_dynamic_removal"), "verify says that Envoy keeps it");
	app_stop(&apps[0]);
	int i = 0;
	for (; i < 300 && verify("kept") != 0; i++)
		clock_sleep_ms(10);
	OK(i < 300, "until it fails its checks");
	apps[0] = app_bind(0);
	app_start(&apps[0], 0);
}

static void test_without_checks(void)
{
	must(attach("bare", 1, &apps[0], GATE));
	OK(attach("bare", 2, &apps[2], 300) < 0 && err.code == ERR_UNAVAILABLE && listed("bare") == 1,
	   "a cluster without health checks: our own probe keeps a closed port out");
	must(detach("bare", 1));
}

static void test_weight_0(void)
{
	struct lb_server s = server(2, &apps[1]);

	must(attach("web", 1, &apps[0], GATE));
	s.weight = 0;
	OK(lb_envoy.attach(lb, "web", &s, GATE, &result, &err) == 0, "a server of weight 0 is attached");
	const long hits = app_shared->hits[1];
	IS(good_of(40), 40, "40 of 40 requests are answered");
	IS(app_shared->hits[1] - hits, 0, "none of them by it");
	struct lb_list list;
	OK(lb_envoy.list(lb, "web", &list, &err) == 0 && list.n == 2 && list.v[1].weight == 0 && list.v[1].state == LB_UP,
	   "it is listed as up, with that weight");
	lb_list_release(&list);
	s.weight = 100;
	must(lb_envoy.attach(lb, "web", &s, GATE, &result, &err));
	(void)good_of(20);
	OK(app_shared->hits[1] > hits, "with another weight it gets some");
	must(detach("web", 1) | detach("web", 2));
}

static void test_late(void)
{
	struct app late = app_bind(1);

	must(ensure("late", "Host(`late.example`)"));
	app_start(&late, 700);
	const int rc = attach("late", 1, &late, GATE);
	OK(rc == 0 && took >= 600 && took < 2500, "a server that is late joins a cluster that has no traffic yet (%lld ms)",
	   (long long)took);
	IS(who("late.example", "/x"), 1, "and answers");
	must(detach("late", 1) | ensure("late", NULL));
	app_stop(&late);
	OK(attach("web", 1, &apps[2], 1200) < 0 && said(ERR_UNAVAILABLE, "failed_active_health_check"),
	   "one that never answers is reported with Envoy's own words");
}

static void test_rules(void)
{
	must(attach("web", 9, &apps[0], GATE));
	must(ensure("shop", "Host(`a.example`) && PathPrefix(`/shop`) || Host(`*.a.example`) || PathPrefix(`/every`)"));
	must(attach("shop", 1, &apps[1], GATE));
	IS(who("a.example", "/shop"), 1, "a path of a host");
	IS(who("a.example:8080", "/shop/x?y"), 1, "below it, with a port");
	IS(who("a.example", "/shopping"), 0, "not what only begins alike");
	IS(who("a.example", "/"), 0, "what nobody wants goes where the operator says");
	IS(who("w.a.example", "/"), 1, "any name below a host");
	IS(who("b.example", "/every/where"), 1, "a path of every host");
	IS(who("a.example", "/every"), 1, "and of one that has other paths");
	OK(ensure("more", "Host(`a.example`) && PathPrefix(`/shop`)") < 0 && said(ERR_REFUSED, "shop") &&
	       strstr(err.message, "more"),
	   "two backends with the same host and path: refused, both are named");
	OK(access(in_folder("more.json"), F_OK) != 0, "the second leaves nothing behind");
	must(ensure("more", "Host(`a.example`) && PathPrefix(`/shop/more`)"));
	IS(get("a.example", "/shop/more/x", &(int){0}), 503, "a longer path is another backend's");
	must(ensure("web", "Host(`own.example`)"));
	IS(who("own.example", "/"), 0, "a rule may lead to a cluster of the operator's own");
	IS(who("own.example", "/every/x"), 0, "and a host without a path wants all of it, before the paths of every host");
	must(detach("web", 9));
	OK(ensure("web", NULL) == 0 && !result.already && listed("web") == 0, "the rule goes, the backend stays");
	must(detach("shop", 1) | ensure("shop", NULL) | ensure("more", NULL));
	OK(!strstr(text_of(in_folder(ENVOY_ROUTES)), ENVOY_MARK) && !strstr(text_of(in_folder(ENVOY_CLUSTERS)), "shop"),
	   "nothing of ours is left in the shared files");
	OK(reaches("cluster.shop.membership_total", -1), "and Envoy has no such cluster any more");
}

static void test_no_routes(void)
{
	struct conf_lb conf = edge;
	struct lb *other;

	conf.frontend = (char[]){"elsewhere"};
	other = lb_envoy.open(&conf, &means, &err);
	struct rule rule = {.n = 1, .v = {{.host = "a.example"}}};
	const struct lb_route route = {.rule = &rule, .check = "/"};
	char *routes_are = strdup(text_of(in_folder(ENVOY_ROUTES)));
	(void)unlink(in_folder(ENVOY_ROUTES));
	OK(lb_envoy.ensure(other, "shop", &route, &result, &err) < 0 && said(ERR_CONFIG, "route_config_name: elsewhere"),
	   "an Envoy that does not read our routes: the message says what to add");
	OK(access(in_folder("shop.json"), F_OK) != 0 && !strstr(text_of(in_folder(ENVOY_CLUSTERS)), "shop"),
	   "and the backend is not there");
	OK(access(in_folder(ENVOY_ROUTES), F_OK) == 0, "but the file is, without which Envoy would not start");
	replace(ENVOY_ROUTES, routes_are);
	free(routes_are);
	lb_envoy.close(other);
}

/* A run that was killed after its first file: the next one does the rest. */
static void test_half_done(void)
{
	must(ensure("shop", "Host(`s.example`)"));
	char *file = strdup(text_of(in_folder("shop.json")));
	must(ensure("shop", NULL));
	replace("shop.json", file);
	OK(ensure("shop", "Host(`s.example`)") == 0 && attach("shop", 1, &apps[1], GATE) == 0 && who("s.example", "/") == 1,
	   "a backend whose file alone was written becomes whole");
	must(detach("shop", 1));
	(void)unlink(in_folder("shop.json"));
	struct lb_names names;
	must(lb_envoy.backends(lb, &names, &err));
	OK(names.n == 1 && strcmp(names.v[0], "shop") == 0 && listed("shop") == 0,
	   "one whose file alone was taken away is still listed, without servers");
	lb_names_release(&names);
	OK(ensure("shop", NULL) == 0 && reaches("cluster.shop.membership_total", -1), "and goes when it is asked to");
	OK(listed("shop") < 0 && err.code == ERR_NOT_FOUND, "then it is not found");
	free(file);
}

static void test_load(void)
{
	struct lb_stats before, after, idle;
	pid_t clients[5];
	int number;

	must(attach("web", 1, &apps[0], GATE));
	must(lb_envoy.stats(lb, "web", &before, &err));
	for (int i = 0; i < 5; i++)
		if ((clients[i] = app_fork()) == 0) {
			for (int k = 0; k < 20; k++)
				(void)get("x", "/wait/50", &number);
			_exit(0);
		}
	for (int i = 0; i < 5; i++)
		(void)app_reap(clients[i]);
	must(lb_envoy.stats(lb, "web", &after, &err));
	const struct lb_rates r = lb_rates(&before, &after);
	IS(r.requests, 100, "100 requests are counted");
	OK(r.response_us >= 45000 && r.response_us <= 75000, "each took 50 ms (%lld us)", (long long)r.response_us);
	OK(after.connections == 0 && after.queue == 0 && r.error_rate_milli == 0, "none is open, none waits, none failed");
	must(lb_envoy.stats(lb, "web", &idle, &err));
	IS(lb_rates(&after, &idle).response_us, -1, "without a request the time of a response is unknown");
	const pid_t later = app_later(front, "/wait/500");
	int i = 0;
	for (; i < 100 && lb_envoy.stats(lb, "web", &after, &err) == 0 && after.connections != 1; i++)
		clock_sleep_ms(5);
	OK(i < 100, "a request at work is a connection");
	(void)app_reap(later);
	must(detach("web", 1));
	must(lb_envoy.stats(lb, "web", &before, &err));
	(void)good_of(5);
	must(lb_envoy.stats(lb, "web", &after, &err));
	IS(after.errors - before.errors, 5, "5 answers of 503 are 5 errors");
}

static int outcome[MANY];

static void attach_one(void *ctx, size_t item)
{
	struct lb_server s = server(1 + (unsigned)item, &apps[0]);
	struct lb_result mine;
	struct err why;

	(void)snprintf(s.address, sizeof s.address, "127.0.0.%zu", item + 1);
	outcome[item] = lb_envoy.attach(ctx, "web", &s, GATE, &mine, &why);
}

static void detach_one(void *ctx, size_t item)
{
	const struct lb_server s = server(1 + (unsigned)item, &apps[0]);
	struct lb_result mine;
	struct err why;

	outcome[item] = lb_envoy.detach(ctx, "web", s.name, WAIT, &mine, &why);
}

static int failures(void)
{
	int n = 0;

	for (int i = 0; i < MANY; i++)
		n += outcome[i] != 0;
	return n;
}

/* All of 127.0.0.0/8 is here, and the app of another port listens at every address. */
static void test_many(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	socklen_t n = sizeof any;
	const struct app was = apps[0];
	struct tasks *tasks = tasks_new(&err);
	const struct lb_means with = {.tasks = tasks};
	struct lb *many = lb_envoy.open(&edge, &with, &err);

	apps[0] = (struct app){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	if (bind(apps[0].fd, (struct sockaddr *)&any, n) < 0 || getsockname(apps[0].fd, (struct sockaddr *)&any, &n) < 0)
		abort();
	apps[0].port = ntohs(any.sin_port);
	app_start(&apps[0], 0);
	const int64_t before = counter("cluster.web.update_success");
	must(tasks_run(tasks, MANY, attach_one, many, &err));
	IS(failures(), 0, "fifty attached at the same time: all succeed");
	const int64_t writes = counter("cluster.web.update_success") - before;
	OK(writes >= 1 && writes <= 5, "with at most five writes (%lld)", (long long)writes);
	IS(listed("web"), MANY, "fifty are listed");
	IS(good_of(50), 50, "50 of 50 requests are answered");
	must(tasks_run(tasks, MANY, detach_one, many, &err));
	IS(failures() + listed("web"), 0, "and all are detached");
	lb_envoy.close(many);
	tasks_free(tasks);
	app_stop(&apps[0]);
	apps[0] = was;
}

static void test_new_application_under_load(void)
{
	must(attach("web", 1, &apps[0], GATE));
	const struct load load = load_start(front, true);
	/* More than five times where that is over before there were many requests. */
	for (int i = 0; i < 5 || (i < 100 && app_shared->good <= 50); i++) {
		must(ensure("shop", "Host(`s.example`)"));
		must(attach("shop", 2, &apps[1], GATE));
		IS(who("s.example", "/"), 1, "a new application is reached as soon as it is attached");
		must(detach("shop", 2) | ensure("shop", NULL));
	}
	load_stop(&load);
	IS(app_shared->bad, 0, "applications come and go: no request to another fails");
	OK(app_shared->good > 50, "of many");
	must(detach("web", 1));
}

static void with_envoy(void)
{
	test_other_peoples_files();
	test_rejected();
	test_unknown();
	test_trap();
	test_without_checks();
	test_weight_0();
	test_late();
	test_rules();
	test_no_routes();
	test_half_done();
	test_load();
	test_many();
	test_new_application_under_load();
}

int main(void)
{
	char *folder = getenv("AS_RIG_ENVOY_DIR"), *admin = getenv("AS_RIG_ENVOY_ADMIN");
	const char *url = getenv("AS_RIG_ENVOY_URL");

	scratch_make();
	app_init();
	for (int i = 0; i < 3; i++) {
		apps[i] = app_bind(i);
		if (i < 2)
			app_start(&apps[i], 0);
	}
	edge.folder = folder && admin && url ? folder : scratch;
	edge.admin = edge.folder == folder ? admin : NULL;
	lb = lb_envoy.open(&edge, &means, &err);
	if (!lb)
		abort();
	test_file();
	test_operators_file();
	test_routes();
	test_clusters();
	test_configuration();
	test_without_admin();
	if (edge.folder == folder) {
		front = (unsigned)strtoul(strrchr(url, ':') + 1, NULL, 10);
		with_envoy();
	} else {
		printf("# the rest is tests/envoy.bats, or eval \"$(tests/rig/up envoy)\" first\n");
	}
	lb_envoy.close(lb);
	for (int i = 0; i < 3; i++)
		app_stop(&apps[i]);
	scratch_remove();
	return DONE();
}
