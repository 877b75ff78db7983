/* Steps, fields, and resolving with provenance: pure functions, tested by tables. */
#include "policy/policy.h"

#include "base/limits.h"
#include "tap.h"

#include "base/banned.h"

#define N60 "a23456789b23456789c23456789d23456789e23456789f23456789g2345"

/* Eight targets, and how 32 of them are written. */
#define T8(x) x "1=1;" x "2=1;" x "3=1;" x "4=1;" x "5=1;" x "6=1;" x "7=1;" x "8=1"
#define J8(x) "\"" x "1\":1,\"" x "2\":1,\"" x "3\":1,\"" x "4\":1,\"" x "5\":1,\"" x "6\":1,\"" x "7\":1,\"" x "8\":1"
#define T32_JSON "{" J8("a") "," J8("b") "," J8("c") "," J8("d") "}"

static void steps(void)
{
	static const struct {
		const char *step;
		int64_t n, breach, want; /* breach in units; want -1: not a step */
	} rows[] = {
		{"2", 5, 0, 2},
		{"1", 0, 0, 1},
		{"50%", 5, 0, 2},
		{"25%", 4, 0, 1},
		{"10%", 3, 0, 1},
		{"30%", 3, 0, 1},
		{"100%", 7, 0, 7},
		{"0..20:1;20..50:25%;50..:100%", 8, 0, 1},
		{"0..20:1;20..50:25%;50..:100%", 8, 19, 1},
		{"0..20:1;20..50:25%;50..:100%", 8, 20, 2},
		{"0..20:1;20..50:25%;50..:100%", 8, 49, 2},
		{"0..20:1;20..50:25%;50..:100%", 8, 50, 8},
		{"10..20:10%;20..:30%", 10, 10, 1},
		{"10..20:10%;20..:30%", 11, 20, 3},
		{"10..20:10%;20..:30%", 10, 9, 0},
		{"0.5..1:1;1..:2", 3, 1, 2},
		{"0", 1, 0, -1},
		{"", 1, 0, -1},
		{"-1", 1, 0, -1},
		{"1.5", 1, 0, -1},
		{"50 %", 1, 0, -1},
		{"0..20:1", 1, 0, -1},
		{"0..20:1;30..:2", 1, 0, -1},
		{"0..20:1;10..:2", 1, 0, -1},
		{"20..10:1;10..:2", 1, 0, -1},
		{"0..:1;5..:2", 1, 0, -1},
		{"0..20:;20..:1", 1, 0, -1},
		{"10001", 1, 0, -1},
		{"1;2", 1, 0, -1},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const bool valid = step_valid(rows[i].step);
		OK(valid == (rows[i].want >= 0) &&
		       (!valid || step_size(rows[i].step, rows[i].n, rows[i].breach * 1000000) == rows[i].want),
		   "step \"%s\" of %lld, breach %lld", rows[i].step, (long long)rows[i].n, (long long)rows[i].breach);
	}
}

static void fields(void)
{
	static const struct {
		const char *field, *text, *want; /* NULL: refused */
	} rows[] = {
		{"min", "0", "0"},
		{"min", "10000", "10000"},
		{"min", "10001", NULL},
		{"min", "-1", NULL},
		{"min", "3 ", NULL},
		{"min", "", NULL},
		{"max", "1e3", NULL},
		{"cooldown_down", "1m", "60"},
		{"cooldown_down", "1.5", "1.5"},
		{"cooldown_down", "soon", NULL},
		{"target", "lb.connections=100;lb.response_time=0.25", "{\"lb.connections\":100,\"lb.response_time\":0.25}"},
		{"target", "lb.connections=", NULL},
		{"target", "=5", NULL},
		{"target", "a=1;", NULL},
		{"target", "a=007", NULL},
		{"target", "a=0", NULL},
		{"target", "a=0.0000001", NULL},
		{"target", "a=0.000001", "{\"a\":0.000001}"},
		{"target", "a=-1", NULL},
		{"target", "a=1; b=2", "{\"a\":1,\"b\":2}"},
		{"target", "a=1;a=2", NULL},
		{"target", "prometheus:sum(rate(x{app=\"web\",job!=\"a;b\"}[1m]))=2.5;lb.queue=3",
	     "{\"prometheus:sum(rate(x{app=\\\"web\\\",job!=\\\"a;b\\\"}[1m]))\":2.5,\"lb.queue\":3}"},
		{"target", "prometheus:x{a='}=;',b=`\\`}=4;c=1", "{\"prometheus:x{a='}=;',b=`\\\\`}\":4,\"c\":1}"},
		{"target", "prometheus:x{a=\"\\\"};=\"}=4", "{\"prometheus:x{a=\\\"\\\\\\\"};=\\\"}\":4}"},
		{"target", "prometheus:x{a=\"b}=4", NULL},
		{"target", "prometheus:x{a=\"b\"=4;c=1", NULL},
		{"target", "prometheus:x{a=\"b\"}", NULL},
		{"target", T8("a") ";" T8("b") ";" T8("c") ";" T8("d"), T32_JSON},
		{"target", T8("a") ";" T8("b") ";" T8("c") ";" T8("d") ";e=1", NULL},
		{"tolerance", "0.1", "0.1"},
		{"tolerance", "1.1", NULL},
		{"rate_up", "4/60s", "\"4/60s\""},
		{"rate_up", "100%/15s", "\"100%/15s\""},
		{"rate_up", "4/60s,100%/15s min", "\"4/60s,100%/15s min\""},
		{"rate_up", "4/60s,", NULL},
		{"rate_up", "4/60s most", NULL},
		{"rate_up", "4", NULL},
		{"rate_up", "4/0", NULL},
		{"available", "start,recreate,replace", "\"start,recreate,replace\""},
		{"available", "replace,start", "\"replace,start\""},
		{"available", "replace", "\"replace\""},
		{"available", "none", "\"none\""},
		{"available", "start,none", NULL},
		{"available", "start,start", NULL},
		{"available", "start,", NULL},
		{"available", "start recreate", NULL},
		{"available", "", NULL},
		{"placement", "spread", "\"spread\""},
		{"placement", "even", NULL},
		{"paused", "down until 2026-12-01T00:00:00Z", "\"down until 2026-12-01T00:00:00Z\""},
		{"paused", "up until later", NULL},
		{"paused", "sideways", NULL},
		{"dry_run", "yes", "true"},
		{"dry_run", "0", "false"},
		{"dry_run", "perhaps", NULL},
		{"ready", "tcp:80", "\"tcp:80\""},
		{"ready", "http:8080/health", "\"http:8080/health\""},
		{"ready", "tcp:", NULL},
		{"ready", "http:80", NULL},
		{"ready", "exec:rm", NULL},
		{"lb", "edge,inner-2", "\"edge,inner-2\""},
		{"lb", "edge,", NULL},
		{"lb_backend", "web; disable server be/s1", NULL},
		{"lb_backend", "web\tx", NULL},
		{"lb_port", "0", NULL},
		{"lb_port", "65536", NULL},
		{"lb_port", "080", NULL},
		{"lb_weight", "257", NULL},
		{"lb_rule", "PathPrefix(`/x/`) && Host(`B.example`,`a.example`)",
	     "\"Host(`a.example`) && PathPrefix(`/x`) || Host(`b.example`) && PathPrefix(`/x`)\""},
		{"lb_rule", "Host(`a`) && Method(`GET`)", NULL},
		{"lb_rule", "", NULL},
		/* Short as it stands, too long as every name with every path. */
		{"lb_rule", "Host(`" N60 "`,`b" N60 "`,`c" N60 "`) && PathPrefix(`/" N60 "`,`/b" N60 "`,`/c" N60 "`)", NULL},
		{"on_missing", "hold", "\"hold\""},
		{"on_missing", "3", "3"},
		{"on_missing", "3 if-higher", "\"3 if-higher\""},
		{"on_missing", "0 if-lower", "\"0 if-lower\""},
		{"on_missing", "3 if-equal", NULL},
		{"on_missing", "if-higher", NULL},
		{"on_missing", " if-higher", NULL},
		{"on_missing", "hold if-higher", NULL},
		{"on_missing", "10001 if-higher", NULL},
		{"on_missing", "03 if-higher", NULL},
		{"on_missing", "00000003 if-higher", NULL},
		{"on_missing", "-1", NULL},
		{"schedule", "mon-fri 08:00-18:00 Europe/Berlin min=4 max=20",
	     "\"mon-fri 08:00-18:00 Europe/Berlin min=4 max=20\""},
		{"schedule", "daily 08:00-08:00 UTC min=4", NULL},
		{"schedule", "daily 08:00-09:00 Europe/Atlantis min=4", NULL},
		{"schedule", "", NULL},
	};
	struct buf b = BUF_INIT(1000);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct policy_field *f = policy_field(rows[i].field);
		buf_reset(&b);
		const bool good = f && f->parse(rows[i].text, &b);
		OK(f && good == (rows[i].want != NULL) && (!good || strcmp(b.p, rows[i].want) == 0), "%s \"%s\"", rows[i].field,
		   rows[i].text);
	}
	buf_release(&b);
}

/* What a tenant may try in every field of a load balancer: none of it is a value. */
static void attacks(void)
{
	static const char *const names[] = {"lb", "lb_backend", "lb_port", "lb_rule", "lb_weight", "lb_network"};
	static const char *const tries[] = {
		"web; disable server web/s1",
		"web\nset server web/s1 state maint",
		"web\r\nx",
		"../../etc/passwd",
		"/run/haproxy/admin.sock",
		"`id`",
		"$(id)",
		"web{",
		"web}server{listen 1;}",
		"80 weight 256",
		"80;",
		"80\n",
		"\"80\"",
		"web'",
		"web,",
		" web",
		"Host(`a`); x",
		"Host(`a\nb`)",
		"Host(`../x`)",
		"PathPrefix(`/../x`)",
		"Host(`a`) || Host(\"`b\")",
		"\xe2\x80\xae"
		"80",
	};
	struct buf b = BUF_INIT(1000);

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const struct policy_field *f = policy_field(names[i]);
		size_t taken = 0;
		for (size_t k = 0; k < sizeof tries / sizeof *tries; k++) {
			buf_reset(&b);
			taken += f->parse(tries[k], &b);
		}
		OK(!taken, "%s takes nothing but its own alphabet", names[i]);
	}
	buf_release(&b);
}

static struct jv text(const char *s) { return (struct jv){s, strlen(s)}; }

static void resolving(void)
{
	const struct policy_source sources[] = {
		{.kind = POLICY_LABELS,
	     .from = "label",
	     .object = text(
			 "{\"autoscale.max\":\"6\",\"autoscale.step-up\":\"3\",\"autoscale.cooldown-down\":\"often\",\"other\":"
			 "\"x\"}")},
		{.kind = POLICY_VARIABLES,
	     .from = "variable",
	     .object = text("{\"AUTOSCALE_MAX\":\"7\",\"AUTOSCALE_LB_PORT\":\"8080\"}")},
		{.kind = POLICY_ROW, .from = "db:up@2", .type = "scale-up", .object = text("{\"step\":\"5\",\"max\":9}")},
		{.kind = POLICY_ROW,
	     .from = "db:down@1",
	     .type = "scale-down",
	     .object = text("{\"step\":\"2\",\"cooldown_down\":30}")},
		{.kind = POLICY_ALERT, .from = "alert", .object = text("{\"min\":2,\"max\":20,\"step\":\"9\"}")},
	};
	const struct policy_limits wide = {.max_replicas = 100}, tight = {.max_replicas = 4},
							   narrow = {.max_replicas = 100, .narrow = true};
	struct buf b = BUF_INIT(65536);
	struct err err = {0};
	char got[128];

	IS(policy_resolve(sources, 5, &wide, &b, &err), 0, "sources resolve");
	const struct jv p = text(b.p);
	IS(jv_int_or(jv_get(p, "max"), -1), 6, "a label comes before a variable and rows");
	OK(jv_is(jv_path(p, "from.max"), "label"), "and says so");
	IS(jv_count(jv_path(p, "shadowed.max")), 3, "what it shadowed is listed: variable, row, alert");
	IS(jv_int_or(jv_get(p, "lb_port"), -1), 8080, "a variable of the container counts");
	OK(jv_is(jv_get(p, "step_up"), "3"), "a label comes before a row's family field");
	OK(jv_is(jv_get(p, "step_down"), "2"), "`step` of a scale-down row is step_down");
	IS(jv_int_or(jv_get(p, "cooldown_down"), -1), 30, "a label that does not parse gives way to the next source");
	OK(jv_is(jv_path(p, "from.cooldown_down"), "db:down@1"), "which is named with its version");
	IS(jv_count(jv_get(p, "warnings")), 1, "and leaves one warning");
	IS(jv_int_or(jv_get(p, "min"), -1), 2, "the alert's min counts where nobody else has one");
	OK(jv_is(jv_path(p, "from.step"), "db:up@2"), "an alert cannot set a step");
	OK(jv_is(jv_path(p, "from.grace"), "default") && jv_int_or(jv_get(p, "grace"), 0) == 10, "the rest is default");

	buf_reset(&b);
	IS(policy_resolve(sources, 5, &tight, &b, &err), 0, "with a low ceiling it resolves too");
	IS(jv_int_or(jv_get(text(b.p), "max"), -1), 4, "no label goes over the operator's ceiling");
	buf_reset(&b);
	IS(policy_resolve(sources, 5, &narrow, &b, &err), 0, "with labels = narrow");
	OK(jv_str(jv_path(text(b.p), "from.max"), got, sizeof got) && strcmp(got, "label") == 0,
	   "a lower label still counts");
	const struct policy_source wider[] = {
		{.kind = POLICY_LABELS, .from = "label", .object = text("{\"autoscale.max\":\"50\"}")},
		{.kind = POLICY_ROW, .from = "db:a@1", .object = text("{\"max\":9}")}};
	buf_reset(&b);
	(void)policy_resolve(wider, 2, &narrow, &b, &err);
	IS(jv_int_or(jv_get(text(b.p), "max"), -1), 9, "a higher one does not");
	const struct policy_source greedy[] = {
		{.kind = POLICY_LABELS, .from = "label", .object = text("{\"autoscale.min\":\"500\"}")}};
	buf_reset(&b);
	(void)policy_resolve(greedy, 1, &wide, &b, &err);
	IS(jv_int_or(jv_get(text(b.p), "min"), -1), 100, "nor does a min over the operator's ceiling");
	const struct policy_source crossed[] = {
		{.kind = POLICY_LABELS, .from = "label", .object = text("{\"autoscale.min\":\"5\",\"autoscale.max\":\"3\"}")}};
	buf_reset(&b);
	OK(policy_resolve(crossed, 1, &wide, &b, &err) < 0 && err.code == ERR_REFUSED && strstr(err.message, "label"),
	   "min over max is refused, and both are named");
	buf_release(&b);
}

#define SUCH "a schedule such as mon-fri 08:00-18:00 Europe/Berlin min=4 max=20"
#define DAYS "daily 08:00-18:00 UTC "

/* What a schedule of each source becomes, under the operator's limits. */
static void schedules(void)
{
	static const struct {
		const char *label, *row; /* objects */
		bool narrow;
		const char *want, *from; /* the schedule that holds; NULL: none */
		const char *warning;     /* the only one; NULL: none */
	} rows[] = {
		{"{\"autoscale.schedule\":\"" DAYS "min=2 max=9\"}", "{\"max\":5}", false, DAYS "min=2 max=9", "label", NULL},
		{"{\"autoscale.schedule\":\"" DAYS "max=500 min=200;" DAYS "min=3\"}", "{}", false,
	     DAYS "max=100 min=100;" DAYS "min=3", "label",
	     "schedule (label): \"" DAYS "max=500 min=200;" DAYS "min=3\" is not " SUCH
	     "; the operator's max_replicas is 100"},
		{"{}", "{\"schedule\":\"" DAYS "max=101\"}", false, DAYS "max=100", "db:a@1",
	     "schedule (db:a@1): \"" DAYS "max=101\" is not " SUCH "; the operator's max_replicas is 100"},
		{"{\"autoscale.schedule\":\"" DAYS "initial=400 max=80\"}", "{}", false, DAYS "initial=100 max=80", "label",
	     "schedule (label): \"" DAYS "initial=400 max=80\" is not " SUCH "; the operator's max_replicas is 100"},
		{"{\"autoscale.schedule\":\"" DAYS "max=5\"}", "{\"max\":5}", true, DAYS "max=5", "label", NULL},
		{"{\"autoscale.schedule\":\"" DAYS "max=6\"}", "{\"max\":5}", true, NULL, NULL,
	     "schedule (label): \"a label above what the operator's rows allow\" is not " SUCH},
		{"{\"autoscale.schedule\":\"" DAYS "min=6\"}", "{\"max\":5}", true, NULL, NULL,
	     "schedule (label): \"a label above what the operator's rows allow\" is not " SUCH},
		{"{\"autoscale.schedule\":\"" DAYS "max=2\"}", "{\"schedule\":\"" DAYS "max=4\"}", true, DAYS "max=4", "db:a@1",
	     "schedule (label): \"a label above what the operator's rows allow\" is not " SUCH},
		{"{\"autoscale.schedule\":\"often\"}", "{\"schedule\":\"" DAYS "max=4\"}", false, DAYS "max=4", "db:a@1",
	     "schedule (label): \"often\" is not " SUCH
	     "; entry 1: \"often\" are no days such as mon-fri, sat,sun or daily"},
	};
	struct buf b = BUF_INIT(65536);
	struct err err = {0};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct policy_limits limits = {.max_replicas = 100, .narrow = rows[i].narrow};
		const struct policy_source sources[] = {
			{.kind = POLICY_LABELS, .from = "label", .object = text(rows[i].label)},
			{.kind = POLICY_ROW, .from = "db:a@1", .object = text(rows[i].row)},
		};
		char got[1024] = "", from[64] = "", warning[1024] = "";
		buf_reset(&b);
		(void)policy_resolve(sources, 2, &limits, &b, &err);
		const struct jv p = text(b.p), warnings = jv_get(p, "warnings");
		struct jv_cursor c = jv_each(warnings);
		struct jv_member m;
		(void)jv_str(jv_get(p, "schedule"), got, sizeof got);
		(void)jv_str(jv_path(p, "from.schedule"), from, sizeof from);
		if (jv_next(&c, &m))
			(void)jv_str(m.value, warning, sizeof warning);
		OK(strcmp(got, rows[i].want ? rows[i].want : "") == 0 && strcmp(from, rows[i].from ? rows[i].from : "") == 0,
		   "label %s, row %s%s: the schedule is \"%s\" of %s", rows[i].label, rows[i].row,
		   rows[i].narrow ? ", narrow" : "", got, from);
		OK(jv_count(warnings) == (rows[i].warning != NULL) &&
		       strcmp(warning, rows[i].warning ? rows[i].warning : "") == 0,
		   "with the warning \"%s\"", warning);
	}
	buf_release(&b);
}

static void globs(void)
{
	OK(policy_matches("web", "web") && policy_matches("w*", "web") && policy_matches("*", "a-b") &&
	       policy_matches("w?b", "web"),
	   "names and globs match");
	OK(!policy_matches("web", "web2") && !policy_matches("w?b", "weeb") && !policy_matches("", "web"), "others do not");
}

int main(void)
{
	steps();
	fields();
	attacks();
	resolving();
	schedules();
	globs();
	return DONE();
}
