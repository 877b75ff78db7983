/* Where copies go and which of them leave, as tables; and that a large plan is made in a moment. JSON is written with '
 * for ". */
#include "policy/decide.h"

#include "base/clock.h"
#include "base/limits.h"
#include "tap.h"

#include <stdlib.h>
#include <time.h>

#include "base/banned.h"

#define MOST (4u * 1024 * 1024)

struct scene {
	const char *hosts, *containers, *policy, *metrics, *template;
	int64_t set, now; /* what an alert sets, and when: ms */
};

static char *text_of_plan;

static void json(struct buf *b, const char *text)
{
	for (; *text; text++)
		buf_putc(b, *text == '\'' ? '"' : *text);
}

static struct jv parsed(const struct buf *b)
{
	struct err err = {0};
	struct jv v;

	if (jv_scan(b->p, b->n, &v, NULL, 0, NULL, &err) == 0)
		return v;
	printf("Bail out! %s in %s\n", err.message, b->p);
	exit(1);
}

/* The plan's text, good until the next call. */
static struct jv plan_in(struct decide_state *state, const struct scene *s)
{
	struct buf b[4] = {BUF_INIT(MOST), BUF_INIT(MOST), BUF_INIT(MOST), BUF_INIT(MOST)}, out = BUF_INIT(MOST);
	struct err err = {0};

	buf_puts(&b[0], "{\"hosts\":");
	json(&b[0], s->hosts ? s->hosts : "[{'name':'h1','ok':true}]");
	buf_puts(&b[0], ",\"containers\":");
	json(&b[0], s->containers ? s->containers : "[]");
	buf_puts(&b[0], ",\"template\":");
	json(&b[0], s->template ? s->template : "{'id':'o','host':'h1'}");
	buf_putc(&b[0], '}');
	json(&b[1], s->policy ? s->policy : "{'min':0,'max':10000,'cooldown_down':0}");
	buf_printf(&b[2], "{\"action\":\"set\",\"count\":%lld}", (long long)s->set);
	json(&b[3], s->metrics ? s->metrics : "null");
	const struct decide_input in = {.service = "web",
	                                .id = "r",
	                                .now = s->now,
	                                .observed = parsed(&b[0]),
	                                .policy = parsed(&b[1]),
	                                .alert = parsed(&b[2]),
	                                .metrics = parsed(&b[3])};
	if (decide(state, &in, &out, &err) < 0)
		printf("# %s\n", err.message);
	free(text_of_plan);
	text_of_plan = strdup(out.p ? out.p : "");
	buf_release(&out);
	for (int i = 0; i < 4; i++)
		buf_release(&b[i]);
	return (struct jv){text_of_plan, strlen(text_of_plan)};
}

static struct jv plan(const struct scene *s)
{
	struct decide_state *state = decide_state_new();
	const struct jv p = plan_in(state, s);

	decide_state_free(state);
	return p;
}

/* "h1 h2": a member of each entry of a list. */
static const char *each(struct jv p, const char *list, const char *member)
{
	static char text[4096];
	char word[256];
	struct jv_cursor c = jv_each(jv_get(p, list));
	struct jv_member m;
	size_t n = 0;

	text[0] = '\0';
	while (jv_next(&c, &m) && n < sizeof text)
		if (jv_str(jv_get(m.value, member), word, sizeof word))
			n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? " " : "", word);
	return text;
}

struct row {
	const char *name;
	struct scene scene;
	const char *want;
};

static void table(const struct row *rows, size_t n, const char *list, const char *member)
{
	for (size_t i = 0; i < n; i++)
		IS_STR(each(plan(&rows[i].scene), list, member), rows[i].want, rows[i].name);
}

#define TABLE(rows, list, member) table(rows, sizeof(rows) / sizeof *(rows), list, member)

#define O "{'id':'o','name':'web','host':'h1','state':'running','ready':true,'copy':false}"
#define C(i, host, more) \
	"{'id':'c" i "','name':'web-" i "','host':'" host "','state':'running','copy':true,'index':" i more "}"
#define ON(i, host) C(i, host, ",'ready':true,'created':'2026-11-24T11:0" i ":00.000Z'")
#define HOST(name, more) "{'name':'" name "','ok':true" more "}"
#define ZONE(z) ",'zone':'" z "'"
#define CLOUD(z) ",'cloud':'" z "'"

static void hosts(void)
{
	static const struct row rows[] = {
		{"spread: the fewest first, then the order of the configuration",
	     {.hosts = "[" HOST("h2", "") "," HOST("h1", "") "," HOST("h3", "") "]", .containers = "[" O "]", .set = 6},
	     "h2 h3 h2 h1 h3"},
		{"spread: of equals the zone with the fewest, which a host without a container may be in",
	     {.hosts = "[" HOST("h1", ZONE("a")) "," HOST("h2", ZONE("a")) "," HOST("h3", ZONE("b")) "," HOST(
			  "h4", ZONE("a")) "]",
	      .containers = "[" O "]",
	      .set = 5},
	     "h3 h2 h4 h3"},
		{"spread: then the cloud with the fewest",
	     {.hosts = "[" HOST("h1", ZONE("a") CLOUD("x")) "," HOST("h2", ZONE("b") CLOUD("x")) "," HOST(
			  "h3", ZONE("c") CLOUD("y")) "]",
	      .containers = "[" O "]",
	      .set = 3},
	     "h3 h2"},
		{"spread: hosts without a zone are together in one",
	     {.hosts = "[" HOST("h1", "") "," HOST("h2", "") "," HOST("h3", ZONE("b")) "]",
	      .containers = "[" O "]",
	      .set = 3},
	     "h3 h2"},
		{"spread: a host with twice the weight takes twice as many",
	     {.hosts = "[" HOST("h1", "") "," HOST("h2", ",'weight':200") "]", .containers = "[" O "]", .set = 6},
	     "h2 h2 h1 h2 h2"},
		{"spread: a third against two thirds is exact",
	     {.hosts = "[" HOST("h1", ",'weight':3") "," HOST("h2", ",'weight':7") "]", .containers = "[" O "]", .set = 10},
	     "h2 h2 h2 h1 h2 h2 h1 h2 h2"},
		{"a weight of 0 takes none, one that is no weight is the usual",
	     {.hosts = "[" HOST("h1", ",'weight':0") "," HOST("h2", ",'weight':'x'") "," HOST("h3", ",'weight':-7") "]",
	      .containers = "[" O "]",
	      .set = 5},
	     "h2 h3 h2 h3"},
		{"pack: the most that is not full",
	     {.hosts = "[" HOST("h1", "") "," HOST("h2", "") "," HOST("h3", "") "]",
	      .containers = "[" ON("1", "h2") "]",
	      .policy = "{'min':0,'max':99,'placement':'pack','per_host':3}",
	      .set = 7},
	     "h2 h2 h1 h1 h1 h3"},
		{"pack: of equals the zone with the most",
	     {.hosts = "[" HOST("h1", ZONE("a")) "," HOST("h2", ZONE("b")) "," HOST("h3", ZONE("b")) "]",
	      .containers = "[" ON("1", "h2") "]",
	      .policy = "{'min':0,'max':99,'placement':'pack','per_host':2}",
	      .set = 6},
	     "h2 h3 h3 h1 h1"},
		{"same-host: where the template is, until it is full",
	     {.hosts = "[" HOST("h1", "") "," HOST("h2", "") "]",
	      .containers = "[" O "]",
	      .template = "{'id':'o','host':'h2'}",
	      .policy = "{'min':0,'max':99,'placement':'same-host','per_host':2}",
	      .set = 5},
	     "h2 h2"},
		{"no copy on a host that did not answer, on a swarm, on one that is full",
	     {.hosts = "[{'name':'h1','ok':true},{'name':'h2','ok':false,'known':true},{'name':'h3','ok':true,"
	               "'engine':'swarm'},{'name':'h4','ok':true},{'name':'h5'}]",
	      .containers = "[" O "]",
	      .policy = "{'min':0,'max':99,'per_host':2}",
	      .set = 9},
	     "h4 h1 h4"},
		{"stopped ones count where they are",
	     {.hosts = "[" HOST("h1", "") "," HOST("h2", "") "]",
	      .containers = "[{'id':'c1','name':'web-1','host':'h1','state':'exited','copy':true}," ON(
			  "2", "h2") ","
	                     "{'id':'c3','name':'web-3','host':'h1','state':'exited','copy':true}]",
	      .policy = "{'min':0,'max':99,'available':'none'}",
	      .set = 3},
	     "h2 h1"},
	};

	TABLE(rows, "create", "host");
}

static void names(void)
{
	static const struct row rows[] = {
		{"the lowest free numbers, by name and by index",
	     {.containers = "[" O "," ON("2", "h1") ",{'id':'x','name':'other','state':'running','copy':true,'index':3},"
	                                            "{'id':'y','name':'web-5','state':'exited','copy':false}]",
	      .set = 8},
	     "web-1 web-4 web-6 web-7 web-8"},
		{"a name that only looks like one of ours takes no number",
	     {.containers =
	          "[" O ",{'id':'x','name':'web-01','state':'running'},{'id':'y','name':'web-2x','state':'running'},"
	          "{'id':'z','name':'web-','state':'running'}]",
	      .set = 6},
	     "web-1 web-2"},
		{"numbers out of bounds are no numbers",
	     {.containers = "[" O ",{'id':'x','name':'web-99999999999999999999','state':'running','index':-5},"
	                    "{'id':'y','name':'web-0','state':'running','index':9223372036854775807}]",
	      .set = 4},
	     "web-1"},
	};

	TABLE(rows, "create", "name");
}

#define LOAD(id, value) "{'name':'lb.connections','per':'container','id':'" id "','value':" value ",'ok':true}"
#define FAILED(id) "{'name':'lb.connections','per':'container','id':'" id "','value':null,'ok':false}"
#define TWO "[" HOST("h1", "") "," HOST("h2", "") "]"
#define THREE "[" O "," ON("1", "h1") "," ON("2", "h1") "," ON("3", "h1") "]"

static void victims(void)
{
	static const struct row rows[] = {
		{"idle: the fewest connections first",
	     {.containers = THREE, .metrics = "[" LOAD("c1", "7") "," LOAD("c2", "2") "," LOAD("c3", "9") "]", .set = 2},
	     "web-2 web-1"},
		{"idle: what several load balancers count is added up",
	     {.containers = THREE,
	      .metrics = "[" LOAD("c1", "3") "," LOAD("c2", "2") "," LOAD("c3", "3") "," LOAD("c2", "2") "]",
	      .set = 2},
	     "web-3 web-1"},
		{"idle: parts of a connection count",
	     {.containers = THREE,
	      .metrics = "[" LOAD("c1", "0.4") "," LOAD("c2", "0.5") "," LOAD("c3", "1") "]",
	      .set = 3},
	     "web-1"},
		{"idle: what is not known goes last, also when one of two load balancers could not tell",
	     {.containers = THREE, .metrics = "[" LOAD("c1", "9") "," LOAD("c2", "0") "," FAILED("c2") "]", .set = 1},
	     "web-1 web-3 web-2"},
		{"idle: a known 0 goes before what is not known",
	     {.containers = THREE, .metrics = "[" LOAD("c1", "0") "]", .set = 3},
	     "web-1"},
		{"idle: a negative count is none",
	     {.containers = THREE, .metrics = "[" LOAD("c1", "-4") "," LOAD("c2", "8") "]", .set = 3},
	     "web-2"},
		{"idle: with nothing known the newest", {.containers = THREE, .set = 1}, "web-3 web-2 web-1"},
		{"newest", {.containers = THREE, .policy = "{'min':0,'victim':'newest'}", .set = 2}, "web-3 web-2"},
		{"oldest", {.containers = THREE, .policy = "{'min':0,'victim':'oldest'}", .set = 2}, "web-1 web-2"},
		{"of equally old ones the larger index, then the id",
	     {.containers = "[" O "," C("1", "h1", "") "," C("3", "h1", "") ",{'id':'c9','name':'b','host':'h1','state':"
	                                                                    "'running','copy':true,'index':3}]",
	      .set = 1},
	     "web-3 b web-1"},
		{"of equals the one on the host with the most, each time anew",
	     {.hosts = TWO,
	      .containers =
	          "[" O "," ON("1", "h1") "," ON("2", "h1") "," ON("3", "h2") "," ON("4", "h2") "," ON("5", "h1") "]",
	      .set = 2},
	     "web-5 web-2 web-4 web-1"},
		{"with pack the one on the host with the fewest",
	     {.hosts = TWO,
	      .containers = "[" O "," ON("1", "h1") "," ON("2", "h1") "," ON("3", "h2") "," ON("4", "h2") "]",
	      .policy = "{'min':0,'placement':'pack'}",
	      .set = 2},
	     "web-4 web-3 web-2"},
		{"fewer connections go before fuller hosts",
	     {.hosts = TWO,
	      .containers = "[" O "," ON("1", "h1") "," ON("2", "h2") "]",
	      .metrics = "[" LOAD("c1", "5") "," LOAD("c2", "4") "]",
	      .set = 2},
	     "web-2"},
		{"who serves nobody goes first: not ready, unhealthy, restarted by its engine",
	     {.containers = "[" O "," ON("1", "h1") "," ON("2", "h1") "," C("3", "h1", ",'ready':false") "," C(
			  "4", "h1",
			  ",'ready':true,'health':'unhealthy'") ",{'id':'c5','name':'web-5','state':'restarting','copy':true}]",
	      .metrics = "[" LOAD("c1", "0") "," LOAD("c2", "0") "," LOAD("c3", "5") "," LOAD("c4", "6") "]",
	      .set = 2},
	     "web-3 web-4 web-5 web-2"},
		{"the only ready one stays while others can go",
	     {.containers = "[" C("1", "h1", ",'ready':false") "," ON("2", "h1") "," C("3", "h1", ",'ready':false") "]",
	      .policy = "{'min':0,'victim':'newest'}",
	      .set = 1},
	     "web-3 web-1"},
		{"never an original, a protected one, what does not run, what has no id",
	     {.containers =
	          "[" O "," C("1", "h1", ",'labels':{'autoscale.protect':'true'}") ",{'id':'c2','name':'web-2','state':"
	                                                                           "'exited','copy':true},{'id':'c3',"
	                                                                           "'name':'web-3','state':'removing',"
	                                                                           "'copy':true},{'id':'c4','name':'web-4',"
	                                                                           "'state':'paused','copy':true},"
	                                                                           "{'name':'web-5','state':'running',"
	                                                                           "'copy':true}]",
	      .set = 0},
	     ""},
	};

	TABLE(rows, "remove", "name");
}

/* A stream's second record may have been looked at before the first one's removals were done. */
static void removed_once(void)
{
	struct decide_state *state = decide_state_new();
	const struct scene first = {.containers = THREE, .set = 3}, second = {.containers = THREE, .set = 2, .now = 5};

	IS_STR(each(plan_in(state, &first), "remove", "name"), "web-3", "the first record of a stream removes one");
	IS_STR(each(plan_in(state, &second), "remove", "name"), "web-2", "the second another one");
	decide_state_free(state);
}

static int64_t cpu_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The time is the processor's, and its limit a hundred times what it takes: what this shows is that it does not grow
 * with the square of the copies. */
static void large(void)
{
	struct buf hosts_ = BUF_INIT(MOST), containers = BUF_INIT(MOST);
	struct scene s = {.set = 10000};

	for (int i = 0; i < 100; i++)
		buf_printf(&hosts_, "%s{\"name\":\"host-%d\",\"ok\":true,\"zone\":\"z%d\"}", i ? "," : "[", i, i % 3);
	buf_putc(&hosts_, ']');
	s.hosts = hosts_.p;
	int64_t start = cpu_ms();
	struct jv p = plan(&s);
	IS(jv_count(jv_get(p, "create")), 10000, "ten thousand copies over a hundred hosts");
	OK(cpu_ms() - start < 5000, "are planned in a moment (%lld ms)", (long long)(cpu_ms() - start));
	for (int i = 0; i < 10000; i++)
		buf_printf(&containers,
		           "%s{\"id\":\"c%d\",\"name\":\"web-%d\",\"host\":\"host-%d\",\"state\":\"running\",\"copy\":true,"
		           "\"index\":%d}",
		           i ? "," : "[", i, i + 1, i % 100, i + 1);
	buf_putc(&containers, ']');
	s.containers = containers.p;
	s.set = 0;
	start = cpu_ms();
	p = plan(&s);
	IS(jv_count(jv_get(p, "remove")), 10000, "so are as many removals");
	OK(cpu_ms() - start < 5000, "as quickly (%lld ms)", (long long)(cpu_ms() - start));
	buf_release(&hosts_);
	buf_release(&containers);
}

int main(void)
{
	hosts();
	names();
	victims();
	removed_once();
	large();
	free(text_of_plan);
	return DONE();
}
