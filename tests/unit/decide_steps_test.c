/* Each step of a decision by itself: what it says, what it leaves in the trace; and that the order in which a record is
 * written makes no difference. JSON is written with ' for ". */
#include "policy/decide.h"
#include "policy/policy.h"

#include "base/clock.h"
#include "base/limits.h"
#include "tap.h"

#include <stdlib.h>

#include "base/banned.h"

#define C(i, copy, more) \
	"{'id':'c" i "','name':'web-" i "','host':'h1','state':'running','copy':" copy ",'index':" i more "}"
#define TWO C("0", "false", "") "," C("1", "true", "")
#define THREE TWO "," C("2", "true", "")
#define ON_H1 "'hosts':[{'name':'h1','ok':true}]"
#define OBSERVED(list) "{" ON_H1 ",'containers':[" list "],'remembered':[],'template':{'id':'c0','host':'h1'}}"
#define LABELS \
	"'from':{'target':'label','max':'db:web@4','window_down':'label','rate_up':'label','cooldown_up':'label'}"
#define POLICY(more) "{'min':1,'max':5,'target':{'lb.connections':100}," LABELS more "}"
#define EACH(value) "[{'name':'lb.connections','value':" value ",'per':'replica','ok':true}]"
#define UP(more) "{'action':'scale-up','status':'firing','received_at':'2026-11-24T12:00:00.000Z'" more "}"

struct parts {
	const char *observed, *policy, *metrics, *alert, *history;
	int64_t later;
};

static char text[65536], field[4096];

static struct jv scanned(struct buf *b, const char *quoted)
{
	struct err err = {0};
	struct jv v = {0};

	if (!quoted)
		return v;
	for (; *quoted; quoted++)
		buf_putc(b, *quoted == '\'' ? '"' : *quoted);
	if (jv_scan(b->p, b->n, &v, NULL, 0, NULL, &err) < 0) {
		printf("Bail out! %s in %s\n", err.message, b->p);
		exit(1);
	}
	return v;
}

/* The plan, good until the next call. */
static struct jv plan_in(struct decide_state *state, const struct parts *p)
{
	struct buf b[5], out = BUF_INIT(sizeof text - 1);
	struct err err = {0};
	struct decide_input in = {.service = "web", .id = "r"};

	for (int i = 0; i < 5; i++)
		b[i] = (struct buf)BUF_INIT(65536);
	(void)clock_parse("2026-11-24T12:00:00Z", &in.now);
	in.now += p->later;
	in.observed = scanned(&b[0], p->observed ? p->observed : OBSERVED(THREE));
	in.policy = scanned(&b[1], p->policy ? p->policy : POLICY(""));
	in.metrics = scanned(&b[2], p->metrics);
	in.alert = scanned(&b[3], p->alert);
	in.history = scanned(&b[4], p->history ? p->history : "{'generation':3}");
	if (decide(state, &in, &out, &err) < 0)
		printf("# %s\n", err.message);
	(void)snprintf(text, sizeof text, "%s", out.p ? out.p : "");
	buf_release(&out);
	for (int i = 0; i < 5; i++)
		buf_release(&b[i]);
	return (struct jv){text, strlen(text)};
}

static struct jv plan(const struct parts *p)
{
	struct decide_state *state = decide_state_new();
	const struct jv v = plan_in(state, p);

	decide_state_free(state);
	return v;
}

static const char *reason(const struct parts *p)
{
	return jv_str(jv_get(plan(p), "reason"), field, sizeof field) ? field : "";
}

/* "count signal merge": the steps that left something in the trace. */
static const char *steps(const struct parts *p)
{
	struct jv_cursor c = jv_each(jv_get(plan(p), "trace"));
	struct jv_member m;
	char step[64];
	size_t n = 0;

	field[0] = '\0';
	while (jv_next(&c, &m))
		if (jv_str(jv_get(m.value, "step"), step, sizeof step))
			n += (size_t)snprintf(field + n, sizeof field - n, "%s%s", n ? " " : "", step);
	return field;
}

static void reasons(void)
{
	static const struct {
		struct parts parts;
		const char *says;
	} v[] = {
		{{.metrics = EACH("200")},
	     "3 -> 5: lb.connections 200 per replica, target 100 (label); capped by max 5 (db:web@4)"},
		{{.metrics = EACH("109.5")},
	     "3 stays: lb.connections 109.5 per replica, target 100 (label), within tolerance 0.1"},
		{{.metrics =
	          "[{'name':'lb.connections','value':null,'per':'service','ok':false,'message':'lb edge: no answer'}]"},
	     "3 stays: lb.connections is missing (lb edge: no answer), on_missing hold (default)"},
		{{.metrics = "[{'name':'lb.connections','value':1,'per':'service','ok':true,'at':'2026-11-24T11:50:00Z'}]"},
	     "3 stays: lb.connections is missing (it is 600 s old, limit 300 s), on_missing hold (default)"},
		{{.metrics = "[{'name':'lb.connections','value':10,'per':'container','id':'c0','ok':true}]"},
	     "3 stays: lb.connections 10 per container, target 100 (label), 2 of 3 silent"},
		{{.metrics = EACH("20"),
	      .policy = POLICY(",'window_down':300"),
	      .history = "{'window':[{'at':'2026-11-24T11:58:00Z','want':3}]}"},
	     "3 stays: lb.connections 20 per replica, target 100 (label); 1 wanted, 3 120 s ago: window_down of 300 s "
	     "(label)"},
		{{.metrics = EACH("20"),
	      .policy = POLICY(",'window_down':300"),
	      .history = "{'window':[{'at':'2026-11-24T12:00:00Z','want':3,'first':true}]}"},
	     "3 stays: lb.connections 20 per replica, target 100 (label); 1 wanted, but the service is seen for the first "
	     "time: window_down of 300 s (label)"},
		{{.metrics = EACH("160"), .policy = POLICY(",'rate_up':'1/60s'")},
	     "3 -> 4: lb.connections 160 per replica, target 100 (label); rate_up 1/60s (label) lets it go to 4"},
		{{.metrics = EACH("160"),
	      .policy = POLICY(",'cooldown_up':60"),
	      .history =
	          "{'last_out':'2026-11-24T11:59:30.500Z','moves':[{'at':'2026-11-24T11:59:30.500Z','from':2,'to':3}]}"},
	     "3 -> 4: lb.connections 160 per replica, target 100 (label); cooldown_up of 60 s (label) has 30.500 s left "
	     "and "
	     "granted 1 already"},
		{{.metrics = EACH("20"), .history = "{'last_in':'2026-11-24T11:59:30Z'}"},
	     "3 stays: lb.connections 20 per replica, target 100 (label); cooldown_down of 60 s (default) has 30.000 s "
	     "left"},
		{{.metrics = EACH("20"), .policy = POLICY(",'paused':'down'")},
	     "3 stays: lb.connections 20 per replica, target 100 (label); paused (default)"},
		{{.alert = "{'action':'scale-down','status':'firing','metric':'lb.connections','value':90}"},
	     "alert asks scale-down by step 1 (default); with 2 lb.connections would be above its target (label) again"},
		{{.metrics =
	          "[{'name':'b','value':9,'per':'service','ok':true},{'name':'a','value':1,'per':'service','ok':true}]",
	      .policy = "{'min':1,'max':9,'target':{'b':3,'a':1,'c':1}}"},
	     "3 stays: b 9 in all, target 3 (default), within tolerance 0.1; c is missing (it was not measured)"},
		{{.metrics = EACH("160"), .alert = UP("")}, "3 -> 5: lb.connections 160 per replica, target 100 (label)"},
		{{.metrics = EACH("101"), .alert = UP("")}, "3 -> 4: alert asks scale-up by step 1 (default)"},
		{{.metrics = EACH("160"), .policy = "{'min':1,'target':{'lb.connections':100}}"},
	     "3 stays: lb.connections 160 per replica, target 100 (default); no max is set, so nothing scales up: set "
	     "autoscale.max"},
	};

	for (size_t i = 0; i < sizeof v / sizeof *v; i++)
		IS_STR(reason(&v[i].parts), v[i].says, v[i].says);
}

static void traces(void)
{
	static const struct parts out = {.metrics = EACH("160"), .policy = POLICY(",'rate_up':'9/60s'")},
							  in = {.metrics = EACH("20"), .policy = POLICY(",'rate_down':'9/60s'")},
							  hold = {.metrics = EACH("100")}, alert = {.alert = UP("")}, none = {0};

	IS_STR(steps(&out), "count signal merge window rate clamp", "out: every step that was taken");
	IS_STR(steps(&in), "count signal merge window foresight rate clamp", "in: foresight too");
	IS_STR(steps(&hold), "count signal merge clamp", "nothing to hold back");
	IS_STR(steps(&alert), "count step clamp", "an alert without metrics");
	IS_STR(steps(&none), "count clamp", "neither");
	IS(jv_int_or(jv_get(plan(&out), "want"), -1), 5, "the plan tells what was wanted");
	OK(!jv_here(jv_get(plan(&alert), "want")), "but only where metrics were followed");
}

/* Records that say the same in another order. */
static void orders(void)
{
	static const struct parts a = {.metrics = "[{'name':'a','value':3,'per':'service','ok':true},"
	                                          "{'name':'b','value':90,'per':'container','id':'c0','ok':true},"
	                                          "{'name':'b','value':70,'per':'container','id':'c1','ok':true},"
	                                          "{'name':'c','per':'service','ok':false,'message':'no'},"
	                                          "{'name':'c','per':'service','ok':false,'message':'away'}]",
	                               .policy = "{'target':{'a':1,'b':30,'c':1},'min':1,'max':9}"},
							  b = {.metrics = "[{'ok':false,'message':'away','per':'service','name':'c'},"
	                                          "{'id':'c1','per':'container','name':'b','ok':true,'value':70},"
	                                          "{'per':'service','message':'no','ok':false,'name':'c'},"
	                                          "{'ok':true,'id':'c0','per':'container','name':'b','value':90},"
	                                          "{'per':'service','ok':true,'value':3,'name':'a'}]",
	                               .policy = "{'max':9,'min':1,'target':{'c':1,'b':30,'a':1}}"};
	static char first[sizeof text];

	(void)plan(&a);
	(void)snprintf(first, sizeof first, "%s", text);
	(void)plan(&b);
	IS_STR(text, first, "the order of metrics and members makes no difference");
	OK(strstr(first,
	          "\"reason\":\"3 -> 6: b 80 per container, target 30 (default), 1 of 3 silent; c is missing (away)"),
	   "and the reasons are sorted too");
}

static void warming(void)
{
#define NEW(more) C("2", "true", ",'ready':false" more)
#define STEP_OF(more)                                                                                   \
	{                                                                                                   \
		.observed = OBSERVED(TWO "," NEW(more)), .policy = POLICY(",'step_up':'100%'"), .alert = UP("") \
	}
	static const struct {
		struct parts parts;
		int64_t to;
		const char *name;
	} v[] = {
		{STEP_OF(""), 4, "one that is not ready is no base for a step: 2 + 100%"},
		{STEP_OF(",'started':'2026-11-24T11:59:00Z'"), 4, "for as long as ready_timeout"},
		{STEP_OF(",'started':'2026-11-24T11:58:59Z'"), 5, "then it is: 3 + 100%, max 5"},
		{STEP_OF(",'started':'2026-11-24T11:00:00Z','health':'starting'"), 4, "longer while its health check starts"},
		{STEP_OF(",'health':'unhealthy'"), 5, "one that is unhealthy was ready once"},
	};

	for (size_t i = 0; i < sizeof v / sizeof *v; i++)
		IS(jv_int_or(jv_get(plan(&v[i].parts), "to"), -1), v[i].to, v[i].name);
}

static void repairs_first(void)
{
	static const struct parts
		stopped = {.observed =
	                   OBSERVED(TWO ",{'id':'c2','name':'web-2','host':'h1','state':'exited','copy':true,'index':2}"),
	               .metrics = EACH("200")},
		dark = {.observed = "{'hosts':[{'name':'h1','ok':true},{'name':'h2','ok':false}],'containers':[" TWO
	                        "],'template':{'id':'c0','host':'h1'}}",
	            .metrics = EACH("200")},
		blind = {.observed =
	                 "{'hosts':[{'name':'h1','ok':true},{'name':'h2','ok':false,'known':true}],'containers':[" TWO
	                 "],'template':{'id':'c0','host':'h1'}}",
	             .metrics = EACH("10")},
		going = {.observed =
	                 OBSERVED(TWO ",{'id':'c2','name':'web-2','host':'h1','state':'removing','copy':true,'index':2}"),
	             .metrics = EACH("150")};

	OK(jv_is(jv_get(plan(&stopped), "op"), "start"), "what is stopped is started before a copy is made");
	OK(jv_is(jv_get(plan(&dark), "op"), "none"), "nothing is added while nobody knows what a host has");
	OK(jv_is(jv_get(plan(&blind), "op"), "none"), "nothing is removed while a host does not answer");
	OK(jv_is(jv_get(plan(&going), "op"), "none"),
	   "one that is being deleted is not made up for: ceil(2 * 150 / 100) is 3");
}

/* What this stream planned counts as moved, and as granted, before any history shows it. */
static void one_stream(void)
{
	struct decide_state *state = decide_state_new();
	struct parts p = {.metrics = EACH("200")};

	p.policy = "{'min':1,'max':9,'target':{'lb.connections':100},'rate_up':'1/60s','cooldown_down':20}";
	IS(jv_int_or(jv_get(plan_in(state, &p), "to"), -1), 4, "one more");
	p.later = 30000;
	IS(jv_int_or(jv_get(plan_in(state, &p), "to"), -1), 4, "none within the minute");
	p.later = 60000;
	IS(jv_int_or(jv_get(plan_in(state, &p), "to"), -1), 5, "and then one more");
	p.later = 79000;
	p.metrics = EACH("10");
	IS(jv_int_or(jv_get(plan_in(state, &p), "to"), -1), 5, "none less while it cools down");
	p.policy = "{'min':1,'max':9,'target':{'lb.connections':100},'cooldown_up':60}";
	p.metrics = EACH("200");
	IS(jv_int_or(jv_get(plan_in(state, &p), "to"), -1), 9, "5 more are wanted, 1 was granted: 4");
	decide_state_free(state);
}

static void grammars(void)
{
	static const char *const
		rates[] = {"4/60s", "100%/15s", "4/60s,100%/15s", "4/60s,100%/15s min", "4/60 max", "1000000/1ms", NULL},
		*const no_rates[] = {"",       "4",         "/60s",          "4/",
	                         "0/60s",  "-1/60s",    "4/0s",          "4%%/1s",
	                         "4/60s,", ",4/60s",    "4/60s min max", "4/60s least",
	                         " 4/60s", "4/60s,min", "1000001/1s",    "1/1s,1/1s,1/1s,1/1s,1/1s,1/1s,1/1s,1/1s,1/1s",
	                         NULL},
		*const steps_good[] = {"25%min2", "0..20:1;20..:25%min2", "1%min10000", NULL},
		*const steps_bad[] = {"25%min", "25%min0", "25min2", "25%min10001", "25%min2%", "25% min2", NULL};

	for (const char *const *r = rates; *r; r++)
		OK(rate_valid(*r), "a rate: %s", *r);
	for (const char *const *r = no_rates; *r; r++)
		OK(!rate_valid(*r), "no rate: \"%s\"", *r);
	for (const char *const *s = steps_good; *s; s++)
		OK(step_valid(*s), "a step: %s", *s);
	for (const char *const *s = steps_bad; *s; s++)
		OK(!step_valid(*s), "no step: %s", *s);
	IS(step_size("25%min2", 4, 0), 2, "25% of 4 is 1: 2");
	IS(step_size("25%min2", 100, 0), 25, "25% of 100");
	IS(step_size("0..20:1;20..:25%min2", 4, 20000000), 2, "in a band too");
}

int main(void)
{
	reasons();
	traces();
	orders();
	warming();
	repairs_first();
	one_stream();
	grammars();
	return DONE();
}
