/* Replaying, with exact numbers: the containers, the load and the past of a service that went its own way.
 * JSON is written with ' for ". */
#include "policy/simulation.h"

#include "base/clock.h"
#include "base/limits.h"
#include "tap.h"

#include <stdlib.h>

#include "base/banned.h"

/* ---- JSON that lives as long as the test ---- */

static struct buf kept[512];
static size_t nkept;

static struct jv json(const char *text)
{
	if (nkept == sizeof kept / sizeof *kept) {
		printf("Bail out! too much JSON\n");
		exit(1);
	}
	struct buf *b = &kept[nkept++];
	struct err err = {0};
	struct jv v;

	*b = (struct buf)BUF_INIT(LINE_MAX_BYTES);
	for (; *text; text++)
		buf_putc(b, *text == '\'' ? '"' : *text);
	if (jv_scan(b->p, b->n, &v, NULL, 0, NULL, &err) < 0) {
		printf("Bail out! %s in %s\n", err.message, b->p);
		exit(1);
	}
	return v;
}

static const char *text_of(const struct buf *b)
{
	static char text[65536];
	size_t n = 0;

	for (; b->p && n < b->n && n + 1 < sizeof text; n++)
		text[n] = (char)(b->p[n] == '"' ? '\'' : b->p[n]);
	text[n] = '\0';
	return text;
}

static int64_t at(const char *time)
{
	char text[64];
	int64_t ms = 0;

	(void)snprintf(text, sizeof text, "2026-11-24T%sZ", time);
	(void)clock_parse(text, &ms);
	return ms;
}

/* ---- a list of records, decided one behind the other ---- */

#define WEB "{'id':'o','name':'web','host':'h1','state':'running','ready':true,'copy':false}"
#define COPY(i)                                                                                           \
	"{'id':'c" i "','name':'web-" i "','host':'h1','state':'running','ready':true,'copy':true,'index':" i \
	",'created':'2026-11-24T11:0" i ":00.000Z'}"
#define OBSERVED(list) \
	"{'hosts':[{'name':'h1','ok':true}],'containers':[" list "],'template':{'id':'o','host':'h1','name':'web'}}"
#define POLICY "{'min':1,'max':9,'step_up':'1','step_down':'1','cooldown_up':0,'cooldown_down':0,'from':{}"
#define PLAN(op, from, to) "{'op':'" op "','from':" #from ",'to':" #to ",'create':[],'start':[],'remove':[]}"

struct step {
	const char *time, *action, *observed;
	const char *policy, *metrics, *history; /* NULL: the usual */
	const char *plan, *intent, *audit;      /* NULL: nobody decided it */
};

static char plan_text[65536], member_text_[65536];
static struct err last;

static void play(struct simulation *s, const struct step *x)
{
	struct buf alert = BUF_INIT(4096), plan = BUF_INIT(LINE_MAX_BYTES), member = BUF_INIT(LINE_MAX_BYTES);

	buf_printf(&alert, "{'action':'%s','status':'firing','received_at':'2026-11-24T%sZ'}", x->action, x->time);
	const struct simulate_record r = {
		.in = {.service = "web",
	           .id = x->time,
	           .now = at(x->time),
	           .alert = *x->action ? json(alert.p) : (struct jv){0},
	           .observed = json(x->observed),
	           .policy = json(x->policy ? x->policy : POLICY "}"),
	           .metrics = x->metrics ? json(x->metrics) : (struct jv){0},
	           .history = json(x->history ? x->history : "{'generation':0,'last_out':null,'last_in':null}")},
		.plan = x->plan ? json(x->plan) : (struct jv){0},
		.intent = x->intent ? json(x->intent) : (struct jv){0},
		.audit = x->audit ? json(x->audit) : (struct jv){0},
	};
	last = (struct err){0};
	(void)simulate(s, &r, &plan, &member, &last);
	(void)snprintf(plan_text, sizeof plan_text, "%s", plan.p ? plan.p : "");
	(void)snprintf(member_text_, sizeof member_text_, "%s", text_of(&member));
	buf_release(&alert);
	buf_release(&plan);
	buf_release(&member);
}

/* "scale-up 1 2 +web-1 -web-2": op, from, to, what it makes and takes away. */
static const char *brief(void)
{
	static char text[4096];
	static const char *const lists[] = {"create", "start", "remove"};
	const struct jv p = {plan_text, strlen(plan_text)};
	char word[256];
	size_t n;

	member_text(p, "op", word, sizeof word);
	n = (size_t)snprintf(text, sizeof text, "%s %lld %lld", word, (long long)jv_int_or(jv_get(p, "from"), -1),
	                     (long long)jv_int_or(jv_get(p, "to"), -1));
	for (int i = 0; i < 3; i++) {
		struct jv_cursor c = jv_each(jv_get(p, lists[i]));
		struct jv_member m;
		while (jv_next(&c, &m)) {
			member_text(m.value, "name", word, sizeof word);
			n += (size_t)snprintf(text + n, sizeof text - n, " %c%s", "+^-"[i], word);
		}
	}
	return text;
}

/* ---- the load ---- */

static const char *load(int64_t recorded, int64_t count, const char *metrics)
{
	struct scene scene = {.recorded = recorded, .count = count, .metrics = BUF_INIT(65536)};

	scene_metrics(&scene, json(metrics));
	const char *text = text_of(&scene.metrics);
	buf_release(&scene.metrics);
	return text;
}

static void numbers(void)
{
	static const struct {
		int64_t micro;
		const char *text;
	} rows[] = {{0, "0"},           {1, "0.000001"},         {-1, "-0.000001"},
	            {1000000, "1"},     {1500000, "1.5"},        {-2500000, "-2.5"},
	            {100000000, "100"}, {33333333, "33.333333"}, {INT64_MAX, "9223372036854.775807"}};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf b = BUF_INIT(64);
		sim_put_micro(&b, rows[i].micro);
		IS_STR(b.p, rows[i].text, "a number of millionths as text");
		buf_release(&b);
	}
}

static void loads(void)
{
	IS_STR(load(1, 4, "[{'name':'a','value':100,'per':'replica','ok':true}]"),
	       "[{'name':'a','value':25,'per':'replica','ok':true}]", "one replica's 100 are 25 for each of four");
	IS_STR(load(1, 3, "[{'name':'a','value':100,'per':'replica'}]"), "[{'name':'a','value':33.333333,'per':'replica'}]",
	       "to the nearest millionth, down");
	IS_STR(load(2, 3, "[{'name':'a','value':1,'per':'replica'}]"), "[{'name':'a','value':0.666667,'per':'replica'}]",
	       "and up");
	IS_STR(load(1, 2, "[{'name':'a','value':0.000001,'per':'replica'}]"),
	       "[{'name':'a','value':0.000001,'per':'replica'}]", "half a millionth goes up");
	IS_STR(load(4, 1, "[{'name':'a','value':25,'per':'service','ok':true}]"),
	       "[{'name':'a','value':25,'per':'service','ok':true}]", "what all have together stays");
	IS_STR(load(3, 1, "[{'name':'a','value':null,'per':'replica','ok':false}]"),
	       "[{'name':'a','value':null,'per':'replica','ok':false}]", "what is missing stays missing");
	IS_STR(load(2, 2, "[{'name':'a','value':1.50,'per':'replica'}]"), "[{'name':'a','value':1.50,'per':'replica'}]",
	       "with as many as there were not even the spelling changes");
	IS_STR(load(2, 0, "[{'name':'a','value':7,'per':'replica'}]"), "[{'name':'a','value':7,'per':'replica'}]",
	       "no replica has no share");
	IS_STR(load(10000, 1, "[{'name':'a','value':9000000000000,'per':'replica'}]"),
	       "[{'name':'a','value':9223372036854.775807,'per':'replica'}]", "what does not fit is the largest that does");
}

/* ---- the containers ---- */

static struct sim_service *service_new(void)
{
	struct sim_service *s = calloc(1, sizeof *s);

	if (!s)
		exit(1);
	*s = (struct sim_service){.service = "web", .diverged = true, .seen = TIME_NONE, .acted_at = TIME_NONE};
	s->last_out = s->last_in = TIME_NONE;
	s->wants = s->moves = s->effects = s->repairs = (struct buf)BUF_INIT(65536);
	s->copies = s->marks = (struct buf)BUF_INIT(65536);
	return s;
}

static void service_free(struct sim_service *s)
{
	struct buf *const lists[] = {&s->wants, &s->moves, &s->copies, &s->marks, &s->effects, &s->repairs};

	for (size_t i = 0; i < 6; i++)
		buf_release(lists[i]);
	free(s);
}

static char scene_containers_text[65536], scene_metrics_text[65536];
static int64_t scene_count;

/* The names and states of the containers as simulated: "web:running web-1:exited". */
static const char *stand(struct sim_service *s, const char *observed, const char *metrics)
{
	static char text[4096];
	const struct decide_input in = {.service = "web", .now = at("12:00:00"), .observed = json(observed)};
	struct scene scene = {.in = in,
	                      .recorded = sim_observed(&in),
	                      .observed = BUF_INIT(LINE_MAX_BYTES),
	                      .metrics = BUF_INIT(LINE_MAX_BYTES),
	                      .gone = BUF_INIT(65536),
	                      .came = BUF_INIT(1u << 20)};
	struct jv_member m;
	char name[NAME], state[NAME];
	size_t n = 0;

	scene_containers(&scene, s, &in);
	const struct jv list = jv_get((struct jv){scene.observed.p, scene.observed.n}, "containers");
	text[0] = '\0';
	for (struct jv_cursor c = jv_each(list); jv_next(&c, &m);) {
		member_text(m.value, "name", name, sizeof name);
		member_text(m.value, "state", state, sizeof state);
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%s:%s", n ? " " : "", name, state);
	}
	(void)snprintf(scene_containers_text, sizeof scene_containers_text, "%s", text_of(&scene.observed));
	scene_count = scene.count;
	if (metrics)
		scene_metrics(&scene, json(metrics));
	(void)snprintf(scene_metrics_text, sizeof scene_metrics_text, "%s", text_of(&scene.metrics));
	buf_release(&scene.observed);
	buf_release(&scene.metrics);
	buf_release(&scene.gone);
	buf_release(&scene.came);
	return text;
}

static void fewer(void)
{
	struct sim_service *s = service_new();

	s->delta = -2;
	IS_STR(stand(s, OBSERVED(WEB "," COPY("1") "," COPY("3") "," COPY("2")), NULL), "web:running web-1:running",
	       "two fewer: the newest copies are not there");
	IS(scene_count, 2, "and two are left");
	OK(strstr(scene_containers_text, "'running':2,'ready':2,'starting':0,'stopped':0") != NULL,
	   "the numbers beside the list are those of the list");
	IS(s->delta, -2, "what was there to be taken away was taken away");
	IS_STR(stand(s, OBSERVED(WEB "," COPY("1")), NULL), "web:running", "an original stays, whatever the difference");
	IS(s->delta, -1, "and the difference is what it could be");
	service_free(s);
}

static void more(void)
{
	struct sim_service *s = service_new();
	const struct sim_copy copy = {"web-2", "h7", 2, at("11:30:00")};

	s->delta = 2;
	buf_put(&s->copies, &copy, sizeof copy);
	IS_STR(stand(s, OBSERVED(WEB), NULL), "web:running web-2:running web-1:running",
	       "two more: the one that a plan made, and one of the lowest free name");
	OK(strstr(scene_containers_text,
	          "{'id':'simulated-web-2','name':'web-2','host':'h7','state':'running','health':null,"
	          "'created':'2026-11-24T11:30:00.000Z','started':'2026-11-24T11:30:00.000Z','index':2,'copy':true,"
	          "'copy_of':'web','ready':true,'labels':{}}") != NULL,
	   "it stands on the host that its plan gave it, and is ready");
	IS_STR(stand(s, OBSERVED(WEB "," COPY("2")), NULL), "web:running web-2:running web-1:running web-3:running",
	       "a name that the record has by now is that container");
	service_free(s);
}

static void shares(void)
{
	struct sim_service *s = service_new();

	s->delta = 2;
	(void)stand(s, OBSERVED(WEB "," COPY("1")),
	            "[{'name':'c','value':10,'per':'container','id':'o','ok':true},"
	            "{'name':'c','value':5,'per':'container','id':'c1','ok':true}]");
	IS_STR(scene_metrics_text,
	       "[{'name':'c','value':5,'per':'container','id':'o','ok':true},"
	       "{'name':'c','value':2.5,'per':'container','id':'c1','ok':true},"
	       "{'name':'c','per':'container','id':'simulated-web-2','value':3.75,'ok':true},"
	       "{'name':'c','per':'container','id':'simulated-web-3','value':3.75,'ok':true}]",
	       "what two had is shared by four: each half, and the new ones the mean");
	s->delta = -1;
	buf_reset(&s->copies);
	(void)stand(s, OBSERVED(WEB "," COPY("1")),
	            "[{'name':'c','value':10,'per':'container','id':'o','ok':true},"
	            "{'name':'c','value':5,'per':'container','id':'c1','ok':true}]");
	IS_STR(scene_metrics_text, "[{'name':'c','value':20,'per':'container','id':'o','ok':true}]",
	       "what is not there has no value");
	service_free(s);
}

static void swarms(void)
{
	struct sim_service *s = service_new();

	s->delta = 3;
	(void)stand(s, "{'hosts':[],'containers':[],'template':{'engine':'swarm','replicas':2,'labels':{}}}", NULL);
	IS_STR(scene_containers_text, "{'hosts':[],'containers':[],'template':{'engine':'swarm','replicas':5,'labels':{}}}",
	       "of a swarm's service only the number changes");
	IS(scene_count, 5, "2 and 3 are 5");
	service_free(s);
}

/* ---- records one behind the other ---- */

static void hand_made(void)
{
	struct simulation *s = simulation_new();

	play(s, &(struct step){.time = "12:00:00", .action = "scale-up", .observed = OBSERVED(WEB)});
	IS_STR(brief(), "scale-up 1 2 +web-1", "a list that nobody decided: the first record");
	IS_STR(member_text_, "{'count':2,'recorded':1,'diverged':true,'load':[]}", "its plan counts");
	play(s, &(struct step){.time = "12:00:00", .action = "scale-up", .observed = OBSERVED(WEB)});
	IS_STR(brief(), "none 2 2", "another alert of the same moment is covered");
	play(s, &(struct step){.time = "12:01:00", .action = "scale-up", .observed = OBSERVED(WEB)});
	IS_STR(brief(), "scale-up 2 3 +web-2", "a later record sees what was made");
	play(s, &(struct step){.time = "12:02:00", .action = "scale-down", .observed = OBSERVED(WEB)});
	IS_STR(brief(), "scale-down 3 2 -web-2", "and what was made can go");
	play(s, &(struct step){.time = "12:01:30", .action = "scale-up", .observed = OBSERVED(WEB)});
	IS_STR(last.message,
	       "a record of web at 2026-11-24T12:02:00.000Z came before this one, which is older: sort them by `now`",
	       "an older record is not decided");
	IS_STR(brief(), "none 1 1", "and does nothing");
	play(s, &(struct step){.time = "12:03:00", .action = "", .observed = OBSERVED(WEB)});
	IS_STR(brief(), "none 2 2", "the rest goes on");
	simulation_free(s);
}

static void cooldowns(void)
{
	struct simulation *s = simulation_new();
	const char *policy = "{'min':1,'max':9,'step_up':'1','cooldown_up':90,'from':{}}";

	play(s, &(struct step){.time = "12:00:00", .action = "scale-up", .observed = OBSERVED(WEB), .policy = policy});
	play(s, &(struct step){.time = "12:01:29.999", .action = "scale-up", .observed = OBSERVED(WEB), .policy = policy});
	IS_STR(brief(), "none 2 2", "a cooldown counts from the simulation's own plan");
	play(s, &(struct step){.time = "12:01:30", .action = "scale-up", .observed = OBSERVED(WEB), .policy = policy});
	IS_STR(brief(), "scale-up 2 3 +web-2", "and ends");
	simulation_free(s);
}

/* Recorded was 1 -> 2 and 2 -> 3; now each step is 3. */
static void steeper(void)
{
	struct simulation *s = simulation_new();
	struct step x = {.time = "12:00:00",
	                 .action = "scale-up",
	                 .observed = OBSERVED(WEB),
	                 .policy = "{'min':1,'max':9,'step_up':'3','cooldown_down':0,'from':{}}",
	                 .plan = PLAN("scale-up", 1, 2),
	                 .intent = "{'state':'new','generation':1}",
	                 .audit = "{'outcome':'done','at':'2026-11-24T12:00:05.000Z'}"};

	play(s, &x);
	IS_STR(brief(), "scale-up 1 4 +web-1 +web-2 +web-3", "another step");
	IS_STR(member_text_, "{'count':4,'recorded':2,'diverged':true,'load':[]}", "4 instead of 2");
	x.time = "12:00:00";
	x.plan = PLAN("none", 2, 2);
	x.audit = "{'outcome':'none','at':'2026-11-24T12:00:06.000Z'}";
	x.intent = NULL;
	play(s, &x);
	IS_STR(brief(), "none 4 4", "the storm around it is covered");
	IS_STR(member_text_, "{'count':4,'recorded':2,'diverged':true,'load':[]}",
	       "what the record cannot show yet counts on both sides");
	x.time = "12:01:00";
	x.observed = OBSERVED(WEB "," COPY("1"));
	x.history = "{'generation':1,'last_out':'2026-11-24T12:00:05.000Z','last_in':null}";
	x.plan = PLAN("scale-up", 2, 3);
	x.intent = "{'state':'new','generation':2}";
	x.audit = "{'outcome':'done','at':'2026-11-24T12:01:05.000Z'}";
	play(s, &x);
	IS_STR(brief(), "scale-up 4 7 +web-4 +web-5 +web-6", "from there on");
	IS_STR(member_text_, "{'count':7,'recorded':3,'diverged':true,'load':[]}", "7 instead of 3");
	x.time = "12:02:00";
	x.action = "scale-down";
	x.observed = OBSERVED(WEB "," COPY("1") "," COPY("2"));
	x.history = "{'generation':2,'last_out':'2026-11-24T12:01:05.000Z','last_in':null}";
	x.plan = PLAN("scale-down", 3, 2);
	x.intent = "{'state':'new','generation':3}";
	x.audit = "{'outcome':'failed','at':'2026-11-24T12:02:05.000Z'}";
	play(s, &x);
	IS_STR(member_text_, "{'count':6,'recorded':3,'diverged':true,'load':[]}",
	       "what failed then had no effect then; the new plan has");
	simulation_free(s);
}

static void as_it_was(void)
{
	struct simulation *s = simulation_new();
	struct step x = {.time = "12:00:00",
	                 .action = "scale-up",
	                 .observed = OBSERVED(WEB),
	                 .plan = PLAN("scale-up", 1, 2),
	                 .intent = "{'state':'new','generation':1}",
	                 .audit = "{'outcome':'failed','at':'2026-11-24T12:00:05.000Z'}"};

	play(s, &x);
	IS_STR(brief(), "scale-up 1 2 +web-1", "the same plan");
	IS_STR(member_text_, "{'count':1,'recorded':1,'diverged':false,'load':[]}", "failed as it did then");
	x.time = "12:01:00";
	x.audit = "{'outcome':'dry-run','at':'2026-11-24T12:01:05.000Z'}";
	x.intent = NULL;
	x.history = "{'generation':1}";
	play(s, &x);
	IS_STR(member_text_, "{'count':2,'recorded':1,'diverged':true,'load':[]}", "what was a rehearsal is none now");
	simulation_free(s);
}

static void repairs(void)
{
	struct simulation *s = simulation_new();
#define DOWN "{'id':'o','name':'web','host':'h1','state':'exited','ready':false,'copy':false}"
	struct step x = {.time = "12:00:00",
	                 .action = "",
	                 .observed = OBSERVED(DOWN "," COPY("1")),
	                 .policy = "{'min':1,'max':9,'available':'recreate','from':{}}",
	                 .plan = PLAN("start", 1, 2),
	                 .intent = "{'state':'new','generation':1}",
	                 .audit = "{'outcome':'done','at':'2026-11-24T12:00:01.000Z'}"};

	x.plan = "{'op':'start','from':1,'to':2,'create':[],'start':[{'id':'o','name':'web','host':'h1'}],'remove':[]}";
	play(s, &x);
	IS_STR(brief(), "none 1 1", "nothing is started now");
	IS_STR(member_text_, "{'count':1,'recorded':2,'diverged':true,'load':[]}", "1 instead of 2");
	x.time = "12:01:00";
	x.observed = OBSERVED(WEB "," COPY("1"));
	x.plan = PLAN("none", 2, 2);
	x.audit = "{'outcome':'none','at':'2026-11-24T12:01:01.000Z'}";
	x.history = "{'generation':1}";
	play(s, &x);
	IS_STR(brief(), "none 1 1", "what was started then is still down");
	x.time = "12:02:00";
	x.policy = "{'min':1,'max':9,'available':'start','from':{}}";
	play(s, &x);
	IS_STR(brief(), "start 1 2 ^web", "until it is started");
	x.time = "12:03:00";
	play(s, &x);
	IS_STR(brief(), "none 2 2", "and runs, as it did");
	simulation_free(s);

	s = simulation_new();
	x = (struct step){.time = "12:00:00",
	                  .action = "",
	                  .observed = OBSERVED(DOWN "," COPY("1")),
	                  .plan = PLAN("none", 1, 1),
	                  .audit = "{'outcome':'none','at':'2026-11-24T12:00:01.000Z'}"};
	play(s, &x);
	IS_STR(brief(), "start 1 2 ^web", "what stayed down then is started");
	x.time = "12:01:00";
	play(s, &x);
	IS_STR(brief(), "none 2 2", "once");
	IS_STR(member_text_, "{'count':2,'recorded':1,'diverged':true,'load':[]}", "and runs");
	simulation_free(s);
}

/* The load member: what the decision saw. */
static void load_members(void)
{
	struct simulation *s = simulation_new();
	struct step x = {.time = "12:00:00",
	                 .action = "scale-up",
	                 .observed = OBSERVED(WEB),
	                 .policy = POLICY ",'target':{'lb.connections':100,'lb.queue':5,'docker.cpu':0.5}}",
	                 .metrics =
	                     "[{'name':'lb.connections','value':164,'per':'replica','ok':true},"
	                     "{'name':'lb.connections','value':164.5,'per':'replica','ok':true},"
	                     "{'name':'lb.connections','value':9,'per':'container','id':'o','ok':true,'use':'victim'},"
	                     "{'name':'lb.queue','value':null,'per':'service','ok':false},"
	                     "{'name':'docker.cpu','value':0.75,'per':'container','id':'o','ok':true},"
	                     "{'name':'other','value':1,'per':'service','ok':true}]"};

	play(s, &x);
	IS_STR(strstr(member_text_, "'load':"),
	       "'load':[{'name':'lb.connections','value':164.5,'per':'replica','target':100},"
	       "{'name':'lb.queue','value':null,'per':'service','target':5},"
	       "{'name':'docker.cpu','value':0.75,'per':'container','target':0.5}]}",
	       "of each target the value that was decided on");
	simulation_free(s);
}

/* ---- the past ---- */

static const char *past(struct sim_service *s, const char *history)
{
	struct scene scene = {
		.in = {.service = "web", .now = at("12:10:00")}, .recorded = 2, .count = 5, .history = BUF_INIT(65536)};

	scene_history(&scene, s, json(history));
	const char *text = text_of(&scene.history);
	buf_release(&scene.history);
	return text;
}

static void want(struct sim_service *s, const char *time, int64_t n)
{
	const struct sim_want w = {at(time), n};

	buf_put(&s->wants, &w, sizeof w);
}

#define T(time) "'2026-11-24T" time ".000Z'"

static void pasts(void)
{
	struct sim_service *s = service_new();
	const struct sim_move before = {at("11:00:00"), 1, 2, false, false}, own = {at("12:02:00"), 2, 5, true, false},
						  now = {at("12:10:00"), 5, 6, true, false};
	const struct sim_repair repair = {at("12:03:00"), false, "web"};

	s->diverged = false;
	want(s, "12:01:00", 3);
	want(s, "12:05:00", 4);
	IS_STR(past(s, "{'generation':7,'window':[{'at':" T("12:04:00") ",'want':9}],'more':1}"),
	       "{'generation':7,'more':1,'window':[{'at':" T("12:01:00") ",'want':3},{'at':" T("12:04:00") ",'want':9}]}",
	       "before it strays the recorded wants count, and our own where those do not reach back");
	s->strayed = true;
	s->strayed_at = at("12:05:00");
	IS_STR(past(s, "{'window':[{'at':" T("12:04:00") ",'want':9},{'at':" T("12:05:00") ",'want':8},{'at':" T(
					   "12:06:00") ",'want':8}]}"),
	       "{'window':[{'at':" T("12:01:00") ",'want':3},{'at':" T("12:04:00") ",'want':9},{'at':" T(
			   "12:05:00") ",'want':4}]}",
	       "from where it strays on only our own");

	s->strayed = false;
	buf_reset(&s->wants);
	s->diverged = true;
	s->since = at("12:02:00");
	s->generation = 9;
	s->acted_at = at("12:10:00");
	s->acts = 1;
	s->last_in = at("10:00:00");
	buf_put(&s->moves, &before, sizeof before);
	buf_put(&s->moves, &own, sizeof own);
	buf_put(&s->moves, &now, sizeof now);
	buf_put(&s->repairs, &repair, sizeof repair);
	IS_STR(
		past(
			s, "{'generation':3,'last_out':" T("12:09:00") ",'last_in':null,'window':[],'moves':[{'at':" T("12:00:00") ",'from':1,'to':2},{'at':" T(
				   "12:09:00") ",'from':2,'to':3}],'repairs':[{'at':" T("12:09:30") ",'op':'start','names':['x']},{'at'"
	                                                                                ":" T("12:01:00") ",'op':'recreate'"
	                                                                                                  ",'names':['y']}]"
	                                                                                                  ","
																									  "'counted':2,'"
	                                                                                                  "pending':{'op_"
	                                                                                                  "id':'z'}}"),
		"{'generation':8,'last_out':" T("12:02:00") ",'last_in':" T("10:00:00") ",'moves':[{'at':" T(
			"11:00:00") ",'from':1,'to':2},{'at':" T("12:00:00") ",'from':1,'to':2},{'at':" T("12:02:00") ",'from':2,'"
	                                                                                                      "to':5}],'"
	                                                                                                      "repairs':[{'"
	                                                                                                      "at':" T("12:"
	                                                                                                               "03:"
	                                                                                                               "00") ",'op':'start','names':['web']},{'at':" T("12:01:00") ",'op':'recreate','names':['y']}],'pending':null,'counted':5,'window':[]}",
		"what was recorded up to where it diverged, and what the simulation did before this moment");
	service_free(s);
}

int main(void)
{
	numbers();
	loads();
	fewer();
	more();
	shares();
	swarms();
	hand_made();
	cooldowns();
	steeper();
	as_it_was();
	repairs();
	load_members();
	pasts();
	while (nkept)
		buf_release(&kept[--nkept]);
	return DONE();
}
