/* Availability, as tables: what is stopped, missing, unhealthy, or cannot be seen; and crash loops that back off.
 * JSON is written with ' for ". */
#include "policy/decide.h"

#include "base/clock.h"
#include "base/limits.h"
#include "tap.h"

#include <stdlib.h>

#include "base/banned.h"

#define NOON "2026-11-24T12:00:00.000Z"

/* The record's parts; NULL: the usual. */
struct scene {
	const char *hosts, *containers, *remembered, *policy, *repairs, *alert;
	int64_t later; /* ms after noon */
	int64_t generation;
};

static char plan_text[65536];

static void json(struct buf *b, const char *text)
{
	for (; *text; text++)
		buf_putc(b, *text == '\'' ? '"' : *text);
}

static void part(struct buf *b, const char *name, const char *text, const char *usual)
{
	buf_printf(b, "\"%s\":", name);
	json(b, text ? text : usual);
}

/* The plan's text, good until the next call. */
static struct jv plan_in(struct decide_state *state, const struct scene *s)
{
	struct buf b[4] = {BUF_INIT(65536), BUF_INIT(65536), BUF_INIT(65536), BUF_INIT(65536)}, out = BUF_INIT(65536);
	struct jv v[4];
	struct err err = {0};
	int64_t noon;

	(void)clock_parse(NOON, &noon);
	buf_putc(&b[0], '{');
	part(&b[0], "hosts", s->hosts, "[{'name':'h1','ok':true}]");
	buf_putc(&b[0], ',');
	part(&b[0], "containers", s->containers, "[]");
	buf_putc(&b[0], ',');
	part(&b[0], "remembered", s->remembered, "[]");
	json(&b[0], ",'template':{'id':'o','host':'h1'}}");
	json(&b[1], s->policy ? s->policy : "{'min':1,'max':5,'from':{}}");
	buf_printf(&b[2], "{\"generation\":%lld,", (long long)s->generation);
	part(&b[2], "repairs", s->repairs, "[]");
	buf_putc(&b[2], '}');
	json(&b[3], s->alert ? s->alert : "null");
	for (int i = 0; i < 4; i++)
		if (jv_scan(b[i].p, b[i].n, &v[i], NULL, 0, NULL, &err) < 0) {
			printf("Bail out! %s in %s\n", err.message, b[i].p);
			exit(1);
		}
	const struct decide_input in = {.service = "web",
	                                .id = "r",
	                                .now = noon + s->later,
	                                .observed = v[0],
	                                .policy = v[1],
	                                .history = v[2],
	                                .alert = v[3]};
	if (decide(state, &in, &out, &err) < 0)
		printf("# %s\n", err.message);
	(void)snprintf(plan_text, sizeof plan_text, "%s", out.p ? out.p : "");
	buf_release(&out);
	for (int i = 0; i < 4; i++)
		buf_release(&b[i]);
	return (struct jv){plan_text, strlen(plan_text)};
}

static struct jv plan(const struct scene *s)
{
	struct decide_state *state = decide_state_new();
	const struct jv p = plan_in(state, s);

	decide_state_free(state);
	return p;
}

/* "start 1 2 [web-1] [] []": op, from, to, and the names it starts, creates, removes. */
static const char *brief(struct jv p)
{
	static char text[2000];
	static const char *const lists[] = {"start", "create", "remove"};
	char word[256] = "";
	size_t n;

	(void)jv_str(jv_get(p, "op"), word, sizeof word);
	n = (size_t)snprintf(text, sizeof text, "%s %lld %lld", word, (long long)jv_int_or(jv_get(p, "from"), -1),
	                     (long long)jv_int_or(jv_get(p, "to"), -1));
	for (int i = 0; i < 3; i++) {
		struct jv_cursor c = jv_each(jv_get(p, lists[i]));
		struct jv_member m;
		n += (size_t)snprintf(text + n, sizeof text - n, " [");
		for (const char *comma = ""; jv_next(&c, &m); comma = ",") {
			(void)jv_str(jv_get(m.value, "name"), word, sizeof word);
			n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", comma, word);
		}
		n += (size_t)snprintf(text + n, sizeof text - n, "]");
	}
	return text;
}

static const char *reason(struct jv p)
{
	static char text[2000];

	return jv_str(jv_get(p, "reason"), text, sizeof text) ? text : "";
}

#define C(id, name, state, copy, more) \
	"{'id':'" id "','name':'" name "','host':'h1','state':'" state "','copy':" copy more "}"
#define WEB C("o", "web", "running", "false", "")
#define COPY(i) C("c" i, "web-" i, "running", "true", ",'created':'2026-11-24T11:0" i ":00.000Z'")
#define SICK ",'health':'unhealthy'"
#define FAR(name, last, copy, index)                                                                                   \
	"{'id':'f','name':'" name "','host':'h2','state':'unknown','last_state':'" last "','copy':" copy ",'index':" index \
	",'ready':false}"
#define BLIND "[{'name':'h1','ok':true},{'name':'h2','ok':false,'message':'down','known':true}]"
#define DARK "[{'name':'h1','ok':true},{'name':'h2','ok':false,'message':'down','known':false}]"
#define GONE(name, host) "{'name':'" name "','host':'" host "','missing':true}"
#define ALL "{'min':1,'max':5,'available':'start,recreate,replace','from':{}}"
#define ALERT(action) "{'action':'" action "','status':'firing','received_at':'" NOON "'}"

struct row {
	const char *name;
	struct scene scene;
	const char *want, *says; /* says: part of the reason; NULL: not asked */
};

static void table(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct jv p = plan(&rows[i].scene);
		const char *got = brief(p);
		const bool said = !rows[i].says || strstr(reason(p), rows[i].says);
		if (!OK(strcmp(got, rows[i].want) == 0 && said, "%s", rows[i].name))
			printf("#  got: %s (%s)\n# want: %s (%s)\n", got, reason(p), rows[i].want,
			       rows[i].says ? rows[i].says : "");
	}
}

#define TABLE(rows) table(rows, sizeof(rows) / sizeof *(rows))

static void stopped_and_missing(void)
{
	static const struct row rows[] = {
		{"what is stopped is started, an original and a copy",
	     {.containers = "[" C("o", "web", "exited", "false", "") "," C("c", "web-1", "dead", "true", "") "]"},
	     "start 0 2 [web,web-1] [] []",
	     "2 stopped"},
		{"what was only created too, for an alert that asks for it",
	     {.containers = "[" WEB "," C("c", "web-1", "created", "true", "") "]", .alert = ALERT("start")},
	     "start 1 2 [web-1] [] []",
	     NULL},
		{"what died and is deleted by now is made again, for the alert that it died",
	     {.containers = "[]", .remembered = "[{'name':'web','host':'h','missing':true}]", .alert = ALERT("start")},
	     "recreate 0 1 [] [web] []",
	     "1 deleted"},
		{"what is being deleted is not made up for by a copy",
	     {.containers = "[" C("o", "web", "removing", "false", "") "]", .alert = ALERT("start")},
	     "none 0 0 [] [] []",
	     "0 running, 1 being deleted"},
		{"a stopped one is started, and no copy made, for the alert that another was deleted",
	     {.containers = "[" C("o", "web", "exited", "false", "") "]", .alert = ALERT("recreate")},
	     "start 0 1 [web] [] []",
	     "1 stopped"},
		{"not where the policy lacks the word",
	     {.containers = "[" WEB "," C("c", "web-1", "exited", "true", "") "]",
	      .policy = "{'min':1,'max':5,'available':'recreate,replace'}"},
	     "none 1 1 [] [] []",
	     NULL},
		{"what the engine restarts itself is left to it, and counts",
	     {.containers = "[" C("o", "web", "restarting", "false", "") "]"},
	     "none 1 1 [] [] []",
	     "0 running, 1 restarted by the engine"},
		{"how often and why is told",
	     {.containers = "[" C("o", "web", "restarting", "false", ",'exit_code':1,'restarts':7") "]"},
	     "none 1 1 [] [] []",
	     "0 running, 1 restarted by the engine (web 7 times, exit code 1)"},
		{"what was deleted is made again",
	     {.containers = "[" COPY("1") "]", .remembered = "[" GONE("web", "h1") "]"},
	     "recreate 1 2 [] [web] []",
	     "1 deleted"},
		{"an alert that was sent before the last action is no reason to leave it",
	     {.containers = "[" COPY("1") "]", .remembered = "[" GONE("web", "h1") "]", .alert = ALERT("recreate")},
	     "recreate 1 2 [] [web] []",
	     NULL},
		{"what is not missing is not",
	     {.containers = "[" COPY("1") "]", .remembered = "[{'name':'web','host':'h1','missing':false}]"},
	     "none 1 1 [] [] []",
	     NULL},
		{"what may have gone with its compose project waits until that is known",
	     {.containers = "[" COPY("1") "]",
	      .remembered = "[{'name':'web','host':'h1','missing':false,'settles_at':'2026-11-24T12:00:20.000Z'}]",
	      .policy = "{'min':2,'max':5}"},
	     "none 1 1 [] [] []",
	     "web is gone, perhaps with all of its compose project: known in 20 s"},
		{"not past max",
	     {.containers = "[" COPY("1") "]", .remembered = "[" GONE("web", "h1") "]", .policy = "{'min':1,'max':1}"},
	     "none 1 1 [] [] []",
	     NULL},
	};

	TABLE(rows);
}

static void blind_hosts(void)
{
	static const struct row rows[] = {
		{"replicas last seen on a host that does not answer still count",
	     {.hosts = BLIND,
	      .containers =
	          "[" WEB "," FAR("web-1", "running", "true", "1") "," FAR("web-2", "restarting", "true", "2") "]",
	      .policy = "{'min':3,'max':5}"},
	     "none 3 3 [] [] []",
	     "1 running, 2 on hosts that do not answer"},
		{"one that did not run does not",
	     {.hosts = BLIND, .containers = "[" WEB "," FAR("web-1", "exited", "true", "1") "]"},
	     "none 1 1 [] [] []",
	     NULL},
		{"an alert scales out on the hosts that answer, under a free name",
	     {.hosts = BLIND,
	      .containers = "[" WEB "," FAR("web-1", "running", "true", "1") "," FAR("x", "exited", "true", "2") "]",
	      .alert = ALERT("scale-up")},
	     "scale-up 2 3 [] [web-3] []",
	     NULL},
		{"within max, the unknown ones included",
	     {.hosts = BLIND,
	      .containers = "[" WEB "," FAR("web-1", "running", "true", "1") "]",
	      .policy = "{'min':1,'max':2}",
	      .alert = ALERT("scale-up")},
	     "none 2 2 [] [] []",
	     NULL},
		{"what is short of min beyond them is added",
	     {.hosts = BLIND,
	      .containers = "[" WEB "," FAR("web-1", "running", "true", "1") "]",
	      .policy = "{'min':3,'max':5}"},
	     "scale-up 2 3 [] [web-2] []",
	     NULL},
		{"but not while nobody knows what the host had",
	     {.hosts = DARK, .containers = "[" WEB "]", .policy = "{'min':3,'max':5}"},
	     "none 1 1 [] [] []",
	     "not known"},
		{"nothing is scaled in anywhere",
	     {.hosts = BLIND, .containers = "[" WEB "," COPY("1") "," COPY("2") "]", .alert = ALERT("scale-down")},
	     "none 3 3 [] [] []",
	     "does not answer"},
		{"nor for max",
	     {.hosts = BLIND,
	      .containers = "[" WEB "," COPY("1") "," FAR("web-2", "running", "true", "2") "]",
	      .policy = "{'min':1,'max':2}"},
	     "none 3 3 [] [] []",
	     NULL},
		{"what is stopped on a host that answers is started",
	     {.hosts = BLIND,
	      .containers = "[" C("o", "web", "exited", "false", "") "," FAR("y", "exited", "true", "2") "]"},
	     "start 0 1 [web] [] []",
	     NULL},
		{"what was deleted there is made again, what lived on the other is left",
	     {.hosts = BLIND, .remembered = "[" GONE("web", "h1") "," GONE("other", "h2") "]"},
	     "recreate 0 1 [] [web] []",
	     NULL},
		{"no copy goes to the template's host when that does not answer",
	     {.hosts = "[{'name':'h1','ok':false,'known':true},{'name':'h2','ok':true}]",
	      .containers = "[" WEB "]",
	      .policy = "{'min':1,'max':5,'placement':'same-host'}",
	      .alert = ALERT("scale-up")},
	     "none 1 1 [] [] []",
	     "no host"},
		{"nothing is replaced",
	     {.hosts = BLIND, .containers = "[" WEB "," C("c", "web-1", "running", "true", SICK) "]", .policy = ALL},
	     "none 2 2 [] [] []",
	     NULL},
	};

	TABLE(rows);
}

static void unhealthy(void)
{
	static const struct row rows[] = {
		{"an unhealthy copy is left alone by default",
	     {.containers = "[" WEB "," C("c", "web-1", "running", "true", SICK) "]"},
	     "none 2 2 [] [] []",
	     NULL},
		{"with `replace` it is replaced: a new one, and it goes",
	     {.containers = "[" WEB "," C("c", "web-1", "running", "true", SICK) "]", .policy = ALL},
	     "recreate 2 2 [] [web-2] [web-1]",
	     "1 unhealthy, to be replaced"},
		{"for an alert that asks to recreate as well",
	     {.containers = "[" WEB "," C("c", "web-1", "running", "true", SICK) "]",
	      .policy = ALL,
	      .alert = ALERT("recreate")},
	     "recreate 2 2 [] [web-2] [web-1]",
	     NULL},
		{"one at a time of a few",
	     {.containers =
	          "[" WEB "," C("c", "web-1", "running", "true", SICK) "," C("d", "web-2", "running", "true", SICK) "]",
	      .policy = ALL},
	     "recreate 3 3 [] [web-3] [web-1]",
	     NULL},
		{"a protected copy stays",
	     {.containers =
	          "[" WEB "," C("c", "web-1", "running", "true", SICK ",'labels':{'autoscale.protect':'true'}") "]",
	      .policy = ALL},
	     "none 2 2 [] [] []",
	     NULL},
		{"an original stays; a copy stands in for it",
	     {.containers = "[" C("o", "web", "running", "false", SICK) "]", .policy = ALL},
	     "scale-up 1 2 [] [web-1] []",
	     "raised to 2: min 1 (default), and 1 unhealthy that stay do not count"},
		{"one copy, once",
	     {.containers = "[" C("o", "web", "running", "false", SICK) "," COPY("1") "]", .policy = ALL},
	     "none 2 2 [] [] []",
	     NULL},
		{"which a scale-down does not take away",
	     {.containers = "[" C("o", "web", "running", "false", SICK) "," COPY("1") "]",
	      .policy = ALL,
	      .alert = ALERT("scale-down")},
	     "none 2 2 [] [] []",
	     NULL},
		{"not past max",
	     {.containers = "[" C("o", "web", "running", "false", SICK) "]",
	      .policy = "{'min':1,'max':1,'available':'replace'}"},
	     "none 1 1 [] [] []",
	     NULL},
		{"also where no max is set",
	     {.containers = "[" C("o", "web", "running", "false", SICK) "]", .policy = "{'min':1,'available':'replace'}"},
	     "scale-up 1 2 [] [web-1] []",
	     NULL},
	};

	TABLE(rows);
}

#define DOWN C("c", "web-1", "exited", "true", ",'exit_code':1,'oom_killed':false")
#define AT(at, op, names) "{'at':'2026-11-24T" at ".000Z','op':'" op "','names':[" names "]}"

static void crash_loops(void)
{
	static const struct row rows[] = {
		{"the second start of a row waits 10 s",
	     {.containers = "[" WEB "," DOWN "]", .repairs = "[" AT("11:59:51", "start", "'web-1'") "]"},
	     "none 1 1 [] [] []",
	     "web-1 was started 1 time in 9 s, exit code 1; next try in 1 s"},
		{"and not longer",
	     {.containers = "[" WEB "," DOWN "]", .repairs = "[" AT("11:59:50", "start", "'web-1'") "]"},
	     "start 1 2 [web-1] [] []",
	     NULL},
		{"the fifth waits 80 s, and it is called a crash loop",
	     {.containers = "[" WEB "," DOWN "]",
	      .repairs = "[" AT("11:59:20", "start", "'web-1'") "," AT("11:58:40", "start", "'x','web-1'") "," AT(
			  "11:58:20", "start", "'web-1'") "," AT("11:58:10", "start", "'web-1'") "]"},
	     "none 1 1 [] [] []",
	     "crash loop: web-1 was started 4 times in 110 s, exit code 1; next try in 40 s"},
		{"the eighth and later ones wait 300 s",
	     {.containers = "[" WEB "," DOWN "]",
	      .repairs = "[" AT("11:55:01", "start", "'web-1'") "," AT("11:52:00", "start", "'web-1'") "," AT(
			  "11:50:00", "start",
			  "'web-1'") "," AT("11:49:00", "start",
	                            "'web-1'") "," AT("11:48:00", "start",
	                                              "'web-1'") "," AT("11:47:00", "start",
	                                                                "'web-1'") "," AT("11:46:00", "start",
	                                                                                  "'web-1'") "," AT("11:45:00",
	                                                                                                    "start",
	                                                                                                    "'web-1'") "]"},
	     "none 1 1 [] [] []",
	     "next try in 1 s"},
		{"a gap of ten minutes ends a row",
	     {.containers = "[" WEB "," DOWN "]",
	      .repairs = "[" AT("11:59:51", "start", "'web-1'") "," AT("11:49:51", "start", "'web-1'") "," AT(
			  "11:49:31", "start", "'web-1'") "]"},
	     "none 1 1 [] [] []",
	     "web-1 was started 1 time"},
		{"repairs of others do not count",
	     {.containers = "[" WEB "," DOWN "]", .repairs = "[" AT("11:59:59", "start", "'web-2','web'") "]"},
	     "start 1 2 [web-1] [] []",
	     NULL},
		{"one waits, the other is started",
	     {.containers = "[" DOWN "," C("d", "web-2", "exited", "true", "") "]",
	      .repairs = "[" AT("11:59:55", "start", "'web-1'") "]"},
	     "start 0 1 [web-2] [] []",
	     "1 stopped; web-1 was started 1 time in 5 s"},
		{"out of memory is called so",
	     {.containers = "[" C("o", "web", "exited", "false", ",'exit_code':137,'oom_killed':true") "]",
	      .repairs = "[" AT("11:59:55", "start", "'web'") "]"},
	     "none 0 0 [] [] []",
	     "web was started 1 time in 5 s, out of memory (exit code 137); next try in 5 s"},
		{"no copy of it is made meanwhile to keep min",
	     {.containers = "[" DOWN "]", .repairs = "[" AT("11:59:55", "start", "'web-1'") "]"},
	     "none 0 0 [] [] []",
	     NULL},
		{"but what is short of min beyond it is made",
	     {.containers = "[" DOWN "]",
	      .repairs = "[" AT("11:59:55", "start", "'web-1'") "]",
	      .policy = "{'min':3,'max':5}"},
	     "scale-up 0 2 [] [web-2,web-3] []",
	     "; web-1 was started 1 time"},
		{"what was made again and is gone again waits too",
	     {.remembered = "[" GONE("web", "h1") "]",
	      .repairs = "[" AT("11:59:55", "recreate", "'web'") "," AT("11:59:40", "recreate", "'web'") "]"},
	     "none 0 0 [] [] []",
	     "crash loop: web was made again 2 times in 20 s; next try in 15 s"},
		{"replaced copies take turns in their names and count as one row",
	     {.containers = "[" WEB "," C("c", "web-1", "running", "true", SICK) "]",
	      .policy = ALL,
	      .repairs =
	          "[" AT("11:59:50", "recreate", "'web-1','web-2'") "," AT("11:59:30", "recreate", "'web-2','web-1'") "]"},
	     "none 2 2 [] [] []",
	     "crash loop: web-1 was made again 2 times in 30 s, unhealthy; next try in 10 s"},
		{"a copy for min that did not get ready waits too",
	     {.containers = "[" WEB "]",
	      .policy = "{'min':3,'max':5}",
	      .repairs = "[" AT("11:59:45", "scale-up", "'web-1','web-2'") "," AT("11:58:45", "scale-up", "'web-1'") "]"},
	     "none 1 1 [] [] []",
	     "crash loop: web-1 was made in vain 2 times in 75 s; next try in 5 s"},
		{"but not one that an alert asks for",
	     {.containers = "[" WEB "]",
	      .alert = ALERT("scale-up"),
	      .repairs = "[" AT("11:59:59", "scale-up", "'web-1'") "]"},
	     "scale-up 1 2 [] [web-1] []",
	     NULL},
		{"an alert waits as well",
	     {.containers = "[" WEB "," DOWN "]",
	      .repairs = "[" AT("11:59:55", "start", "'web-1'") "]",
	      .alert = ALERT("start")},
	     "none 1 1 [] [] []",
	     NULL},
	};
	struct jv p;
	char at[64];

	TABLE(rows);
	p = plan(&rows[2].scene);
	OK(jv_str(jv_get(p, "retry_at"), at, sizeof at) && strcmp(at, "2026-11-24T12:00:40.000Z") == 0,
	   "the plan says when to come again");
	OK(strstr(plan_text, "{\"step\":\"backoff\",\"in\":1,\"out\":1,\"why\":\"4 repairs in a row"),
	   "the trace tells why");
	p = plan(&rows[1].scene);
	OK(!jv_here(jv_get(p, "retry_at")), "one that acts at once does not");
}

/* Records of one stream see what earlier ones plan, before any history can show it. */
/* per_host is the operator's: what is full gets no copy, whatever max says. */
static void full_hosts(void)
{
#define TWO "[" WEB "," COPY("1") "]"
#define HOSTS "[{'name':'h1','ok':true},{'name':'h2','ok':true}]"
#define FIVE "{'action':'set','count':5,'status':'firing','received_at':'" NOON "'}"
#define LIMIT(n, more) "{'min':1,'max':9,'per_host':" n more ",'from':{}}"
	static const struct row rows[] = {
		{"a host takes copies until it is full",
	     {.containers = TWO, .policy = LIMIT("3", ""), .alert = FIVE},
	     "scale-up 2 3 [] [web-2] []",
	     "no host to put 2 of them (per_host 3)"},
		{"the rest goes to another host",
	     {.hosts = HOSTS, .containers = TWO, .policy = LIMIT("3", ""), .alert = FIVE},
	     "scale-up 2 5 [] [web-2,web-3,web-4] []",
	     NULL},
		{"pack fills one first",
	     {.hosts = HOSTS, .containers = TWO, .policy = LIMIT("3", ",'placement':'pack'"), .alert = FIVE},
	     "scale-up 2 5 [] [web-2,web-3,web-4] []",
	     NULL},
		{"same-host stays where the template is",
	     {.hosts = HOSTS, .containers = TWO, .policy = LIMIT("3", ",'placement':'same-host'"), .alert = FIVE},
	     "scale-up 2 3 [] [web-2] []",
	     "per_host 3"},
		{"when all are full nothing is planned",
	     {.containers = TWO, .policy = LIMIT("2", ""), .alert = FIVE},
	     "none 2 2 [] [] []",
	     "no host to put 3 of them (per_host 2)"},
		{"0 is no limit",
	     {.containers = TWO, .policy = LIMIT("0", ""), .alert = FIVE},
	     "scale-up 2 5 [] [web-2,web-3,web-4] []",
	     NULL},
	};

	TABLE(rows);
}

static void one_stream(void)
{
	struct decide_state *state = decide_state_new();
	struct scene s = {.containers = "[" WEB "," DOWN "]", .generation = 3};

	IS_STR(brief(plan_in(state, &s)), "start 1 2 [web-1] [] []", "the first record starts what is stopped");
	const struct jv twice = plan_in(state, &s);
	OK(jv_is(jv_get(twice, "op"), "none") && strstr(reason(twice), "covered by r"),
	   "a second one of the pass is covered");
	s.later = 9000;
	OK(strstr(reason(plan_in(state, &s)), "web-1 was started 1 time in 9 s"), "nine seconds later it waits");
	s.later = 10000;
	OK(strncmp(brief(plan_in(state, &s)), "start 2 3 [web-1]", 17) == 0, "a second more and it is tried again");
	s.later = 29000;
	OK(strstr(reason(plan_in(state, &s)), "crash loop: web-1 was started 2 times in 29 s"),
	   "and then waits twice as long");
	s.generation = 5;
	s.repairs = "[" AT("12:00:12", "start", "'web-1'") "," AT("12:00:02", "start", "'web-1'") "]";
	OK(strstr(reason(plan_in(state, &s)), "2 times in 27 s"), "once the history shows them they count once");
	decide_state_free(state);
}

/* A stream that goes on for days gives a name again once its container is gone. */
static void long_stream(void)
{
	struct decide_state *state = decide_state_new();
	struct scene s = {.containers = "[" WEB "]", .policy = "{'min':2,'max':5}", .generation = 3};

	IS_STR(brief(plan_in(state, &s)), "scale-up 1 2 [] [web-1] []", "a copy is planned");
	s.generation = 4;
	s.later = 60000;
	IS_STR(brief(plan_in(state, &s)), "scale-up 1 2 [] [web-2] []", "a minute later its name may still be in use");
	s.generation = 5;
	s.later += 600001;
	IS_STR(brief(plan_in(state, &s)), "scale-up 1 2 [] [web-1] []", "later what is there is what is seen");
	decide_state_free(state);
}

int main(void)
{
	stopped_and_missing();
	blind_hosts();
	unhealthy();
	crash_loops();
	full_hosts();
	one_stream();
	long_stream();
	return DONE();
}
