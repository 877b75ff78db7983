/* Notifications to alerts: paths, mappings, each source, what is the same alert; and that no bytes break it. */
#include "alert/alert.h"
#include "alert/path.h"
#include "base/clock.h"
#include "base/limits.h"
#include "tap.h"

#include <stdlib.h>

#include "base/banned.h"

#define NOW INT64_C(1795477645000) /* 2026-11-23T23:47:25Z */

static void no_random(void *p, size_t n) { memset(p, 7, n); }

static struct jv json(const char *text)
{
	struct jv v = {0};
	struct err err = {0};

	if (jv_scan(text, strlen(text), &v, NULL, 0, NULL, &err) < 0)
		OK(false, "%s in %s", err.message, text);
	return v;
}

/* ---- paths ---- */

static const char document[] =
	"{\"a\":1.0,\"b\":{\"c\":\"x\",\"d.e\":\"dots\",\"@t\":null,\"first\":2},\"l\":[10,20,[30,40],{\"n\":\"k\",\"v\":7}"
	"],"
	"\"o\":{\"B\":44.2,\"C\":1},\"t\":\"{\\\"in\\\":[true]}\",\"bad\":\"{no\",\"s\":\"[ var='B' value=-4.5e1 ]\","
	"\"m\":[1,{\"name\":\"A\",\"value\":1},{\"name\":\"B b\",\"value\":2}],\"esc\\u0061pe\":\"y\",\"empty\":[]}";

static bool no_path(const char *text)
{
	const struct alert_options o = {.service_field = text};
	struct err err = {0};

	return alert_check_options(&o, &err) < 0 && err.code == ERR_USAGE;
}

static void test_paths(void)
{
	static const struct {
		const char *path, *value; /* NULL: absent */
	} rows[] = {
		{"a", "1.0"},
		{"b.c", "\"x\""},
		{"b[\"d.e\"]", "\"dots\""},
		{"b.d.e", NULL},
		{"b.@t", "null"},
		{"b.*", "\"x\""},
		{"nosuch", NULL},
		{"a.b", NULL},
		{"a[0]", NULL},
		{"b[0]", NULL},
		{"l[0]", "10"},
		{"l[-1].v", "7"},
		{"l[2][1]", "40"},
		{"l[-2][-1]", "40"},
		{"l[4]", NULL},
		{"l[-5]", NULL},
		{"l.*", "10"},
		{"o.*", "44.2"},
		{"empty.*", NULL},
		{"empty[-1]", NULL},
		{"t{json}.in[0]", "true"},
		{"t{json}", "{\"in\":[true]}"},
		{"bad{json}", NULL},
		{"a{json}", NULL},
		{"s{value=}", "-4.5e1"},
		{"s{nosuch=}", NULL},
		{"s{var=}", NULL},
		{"a{value=}", NULL},
		{"m[name=A].value", "1"},
		{"m[name=B b].value", "2"},
		{"m[name=C]", NULL},
		{"escape", "\"y\""},
		{"$.a", "1.0"},
		{"$", document},
		{"^above", "\"outer\""},
		{"^list[0]", "9"},
		{"^", "{\"above\":\"outer\",\"list\":[9]}"},
		{"$rule", "\"the rule\""},
		{"$ruler", NULL},
		{"\"a text\"", "\"a text\""},
	};
	struct path_scope scope = {
		.document = json("{\"above\":\"outer\",\"list\":[9]}"), .alert = json(document), .rule = json("\"the rule\"")};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct err err = {0};
		const char *p = rows[i].path, *q = p;
		if (strcmp(p, "$ruler") == 0) {
			OK(no_path(p), "$ruler is no path");
			continue;
		}
		OK(path_check(&p, &err) == 0 && !*p, "%s is a path", rows[i].path);
		const struct jv v = path_get(&scope, &q);
		char got[600];
		(void)snprintf(got, sizeof got, "%.*s", (int)v.n, v.p ? v.p : "");
		IS_STR(got, rows[i].value ? rows[i].value : "", rows[i].path);
		OK(p == q, "both move past %s", rows[i].path);
	}
	path_release(&scope);
}

static void test_no_paths(void)
{
	static const char *const rows[] = {
		"",
		".",
		".a",
		"a.",
		"a..b",
		"a[",
		"a[]",
		"a[x]",
		"a[1x]",
		"a[-]",
		"a[\"\"]",
		"a[\"x",
		"a[=x]",
		"a[n=]",
		"a{",
		"a{}",
		"a{x}",
		"a{=}",
		"a\"b",
		"a$b",
		"a b",
		"\"open",
		"a^b",
		"\"\\x\"",
		"$rule.a",
		"=",
		"|",
		":",
		"a[12345678901]",
		"*a",
		"a.*b",
		"a=b",
		"a:b",
		"a|b",
		"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a",
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		OK(no_path(rows[i]), "no path: %s", rows[i]);
	}
}

/* ---- mappings ---- */

static void test_bad_mappings(void)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"[a]\nservice = x\nserivce = y\n", "m.ini:3: unknown key \"serivce\" (did you mean \"service\"?)"},
		{"[a]\nservice = x y\n", "m.ini:2: service: no bar between two paths: \"y\""},
		{"[a]\nservice =\n", "m.ini:2: service: a path is missing: \"\""},
		{"[a]\n\n# c\nservice = x[\n", "m.ini:4: service: not a path: x["},
		{"[a]\nstatus = x: A\n", "m.ini:2: status: a translation is WORD=WORD: \" A\""},
		{"[a]\nstatus = x:\n", "m.ini:2: status: a translation is WORD=WORD: \"\""},
		{"[a]\nvalue = x: a=1\n", "m.ini:2: value: nothing is translated here: \": a=1\""},
		{"[a]\nkey = a | b c: x=y\n", "m.ini:2: key: nothing is translated here: \": x=y\""},
		{"[a]\nwhen = a=\n", "m.ini:2: when: a condition is PATH or PATH=TEXT: \"\""},
		{"[a]\nwhen = a b=\"c\"d\n", "m.ini:2: when: not understood: \"d\""},
		{"[a]\nrepeats = always\n", "m.ini:2: repeats: repeats is \"yes\", \"no\" or \"unless PATH\": \"always\""},
		{"[a]\nrepeats = unless x y\n", "m.ini:2: repeats: no bar between two paths: \"y\""},
		{"[A b]\nservice = x\n",
	     "m.ini:2: [A b] is no name for a source: lower case letters, digits, \"-\", \"_\" and \".\""},
		{"service = x\n", "m.ini:1: [] is no name for a source: lower case letters, digits, \"-\", \"_\" and \".\""},
		{"[a]\nservice\n", "m.ini:2: neither a [section] nor a key = value line"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct err err = {0};
		struct alert_sources *s = alert_sources_new(&err);
		IS(alert_sources_add(s, "m.ini", rows[i].text, &err), -1, "a mapping is refused");
		IS(err.code, ERR_CONFIG, "as configuration");
		IS_STR(err.message, rows[i].says, "and it says where and why");
		alert_sources_free(s);
	}
	char line[300] = "[a]\nservice = ";
	struct err err = {0};
	struct alert_sources *s = alert_sources_new(&err);
	memset(line + 14, 'x', 200);
	OK(alert_sources_add(s, "m.ini", line, &err) < 0 && strncmp(err.message, "m.ini:2: a line of more than", 28) == 0,
	   "a line that inih would cut in two is refused");
	alert_sources_free(s);
}

/* ---- documents ---- */

struct seen {
	char text[4][4096], identity[4][512], voids[4][512], raw[4][2048];
	char warning[256];
	bool repeats[4];
	int n, dropped;
};

static int keep(void *ctx, const struct alert *a, struct err *err)
{
	struct seen *s = ctx;
	(void)err;

	if (a->dropped) {
		s->dropped++;
		(void)snprintf(s->warning, sizeof s->warning, "%s", a->warning.n ? a->warning.p : "");
		return 0;
	}
	if (s->n < 4) {
		(void)snprintf(s->text[s->n], sizeof s->text[0], "%s", a->body.p);
		(void)snprintf(s->identity[s->n], sizeof s->identity[0], "%s", a->identity.n ? a->identity.p : "");
		(void)snprintf(s->voids[s->n], sizeof s->voids[0], "%s", a->voids.n ? a->voids.p : "");
		(void)snprintf(s->raw[s->n], sizeof s->raw[0], "%.*s", (int)a->raw.n, a->raw.p);
		s->repeats[s->n] = a->repeats;
	}
	s->n++;
	return 0;
}

static struct alert_sources *sources;

static int take(const char *text, const struct alert_options *given, struct seen *s, struct err *err)
{
	struct alert_options o = *given;

	*s = (struct seen){0};
	*err = (struct err){0};
	o.sources = sources;
	o.now = NOW;
	o.random = no_random;
	return alert_each(json(text), &o, keep, s, err);
}

static const struct alert_options none;

/* What stands between `"id":"..."` and `,"received_at"`. */
static const char *middle(char *text)
{
	char *from = strstr(text, ",\"source\""), *to = strstr(text, ",\"received_at\"");

	if (!from || !to)
		return text;
	*to = '\0';
	return from + 1;
}

static void test_sources(void)
{
	static const struct {
		const char *what, *text, *alert;
	} rows[] = {
		{"own", "{\"service\":\"web\",\"action\":\"up\"}",
	     "\"source\":\"own\",\"service\":\"web\",\"action\":\"scale-up\",\"status\":\"firing\","
	     "\"starts_at\":\"2026-11-23T23:47:25.000Z\",\"ends_at\":null"},
		{"own, its id is the key", "{\"id\":\"i\",\"source\":\"cron\",\"service\":\"web\",\"value\":\"1.50\"}",
	     "\"source\":\"cron\",\"key\":\"i\",\"service\":\"web\",\"value\":1.50,\"status\":\"firing\","
	     "\"starts_at\":\"2026-11-23T23:47:25.000Z\",\"ends_at\":null"},
		{"a value that is no number", "{\"service\":\"web\",\"value\":null,\"threshold\":\"NaN\"}",
	     "\"source\":\"own\",\"service\":\"web\",\"value\":null,\"threshold\":null,\"status\":\"firing\","
	     "\"starts_at\":\"2026-11-23T23:47:25.000Z\",\"ends_at\":null"},
		{"a time in seconds", "{\"service\":\"w\",\"starts_at\":1795477640}",
	     "\"source\":\"own\",\"service\":\"w\",\"status\":\"firing\",\"starts_at\":\"2026-11-23T23:47:20.000Z\","
	     "\"ends_at\":null"},
		{"in seconds with a fraction", "{\"service\":\"w\",\"starts_at\":1795477640.25}",
	     "\"source\":\"own\",\"service\":\"w\",\"status\":\"firing\",\"starts_at\":\"2026-11-23T23:47:20.250Z\","
	     "\"ends_at\":null"},
		{"in milliseconds", "{\"service\":\"w\",\"starts_at\":1795477640001}",
	     "\"source\":\"own\",\"service\":\"w\",\"status\":\"firing\",\"starts_at\":\"2026-11-23T23:47:20.001Z\","
	     "\"ends_at\":null"},
		{"in microseconds", "{\"service\":\"w\",\"starts_at\":1795477640001999}",
	     "\"source\":\"own\",\"service\":\"w\",\"status\":\"firing\",\"starts_at\":\"2026-11-23T23:47:20.001Z\","
	     "\"ends_at\":null"},
		{"in nanoseconds", "{\"service\":\"w\",\"starts_at\":1795477640001999999}",
	     "\"source\":\"own\",\"service\":\"w\",\"status\":\"firing\",\"starts_at\":\"2026-11-23T23:47:20.001Z\","
	     "\"ends_at\":null"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct seen s;
		struct err err;
		IS(take(rows[i].text, &none, &s, &err), 0, rows[i].what);
		IS(s.n, 1, "one alert");
		IS_STR(middle(s.text[0]), rows[i].alert, rows[i].what);
	}
}

static void test_identity(void)
{
	static const struct {
		const char *what, *text, *identity, *voids;
		bool repeats;
	} rows[] = {
		{"key, status and time", "{\"service\":\"w\",\"key\":\"k\",\"starts_at\":1795477640}",
	     "[\"own\",\"k\",\"firing\",1795477640000]", "", true},
		{"with an id it is sent once", "{\"service\":\"w\",\"id\":\"k\"}", "[\"own\",\"k\",\"firing\",-1]", "", false},
		{"neither key nor time", "{\"service\":\"w\"}", "", "", true},
		{"a time alone", "{\"service\":\"w\",\"starts_at\":1795477640}",
	     "[\"own\",{\"service\":\"w\",\"starts_at\":1795477640},\"firing\",1795477640000]", "", true},
		{"over", "{\"service\":\"w\",\"key\":\"k\",\"starts_at\":1795477640,\"status\":\"resolved\"}",
	     "[\"own\",\"k\",\"resolved\",1795477640000]", "[\"own\",\"k\",\"firing\",1795477640000]", false},
		{"over, without a key it ends nothing",
	     "{\"service\":\"w\",\"starts_at\":1795477640,\"status\":\"resolved\",\"value\":1}",
	     "[\"own\",{\"service\":\"w\",\"starts_at\":1795477640,\"status\":\"resolved\",\"value\":1},\"resolved\","
	     "1795477640000]",
	     "", false},
		{"escapes do not make another key", "{\"service\":\"w\",\"key\":\"\\u006b\\\"\"}",
	     "[\"own\",\"k\\\"\",\"firing\",-1]", "", true},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct seen s;
		struct err err;
		IS(take(rows[i].text, &none, &s, &err), 0, rows[i].what);
		IS_STR(s.identity[0], rows[i].identity, "identity");
		IS_STR(s.voids[0], rows[i].voids, "what it ends");
		IS(s.repeats[0], rows[i].repeats, "repeats");
	}
}

static void test_kapacitor_times(void)
{
	struct seen s;
	struct err err;

	IS(take("{\"id\":\"i\",\"time\":\"2026-11-24T10:00:00.0000004Z\",\"duration\":0,\"level\":\"CRITICAL\","
	        "\"previousLevel\":\"OK\",\"data\":{\"series\":[{\"tags\":{\"service\":\"w\"}}]}}",
	        &none, &s, &err),
	   0, "Kapacitor, it begins");
	char first[512];
	(void)snprintf(first, sizeof first, "%s", s.identity[0]);
	IS_STR(first, "[\"kapacitor\",\"i\",\"CRITICAL\",\"firing\",1795514400000]", "its identity");
	IS(take("{\"id\":\"i\",\"time\":\"2026-11-24T10:00:07.0009999Z\",\"duration\":7000999500,\"level\":\"OK\","
	        "\"previousLevel\":\"CRITICAL\",\"data\":{\"series\":[{\"tags\":{\"service\":\"w\"}}]}}",
	        &none, &s, &err),
	   0, "it is over");
	IS_STR(s.voids[0], first, "and ends that one, to the nanosecond");
	OK(strstr(s.text[0], "\"ends_at\":\"2026-11-24T10:00:07.000Z\"") != NULL, "and says when");
}

static void test_lists(void)
{
	struct seen s;
	struct err err;

	IS(take("[{\"service\":\"a\"},{\"service\":\"b\"}]", &none, &s, &err), 0, "a list of our own form");
	IS(s.n, 2, "has two alerts");
	IS_STR(s.raw[1], "{\"service\":\"b\"}", "each with its own text");
	IS(take("[]", &none, &s, &err), 0, "an empty list");
	IS(s.n, 0, "has none");
	IS(take("[{\"service\":\"a\"},7,{\"service\":\"b\"},{}]", &none, &s, &err), -1, "a list with bad ones");
	IS(s.n, 2, "gives the good ones");
	IS_STR(err.message, "alert 2 of the list: not an object", "and names the first bad one");
	IS(take("{\"alerts\":{\"labels\":{\"service\":\"w\"}}}", &none, &s, &err), 0, "one alert where a list should be");
	IS(s.n, 1, "is one");
	IS(take("{\"status\":\"firing\",\"labels\":{\"service\":\"w\"}}", &(struct alert_options){.source = "alertmanager"},
	        &s, &err),
	   0, "a lone element of a group, the source named");
	IS(s.n, 1, "is one");
	IS(take("{\"Type\":\"SubscriptionConfirmation\",\"TopicArn\":\"t\"}",
	        &(struct alert_options){.source = "cloudwatch"}, &s, &err),
	   0, "another form of a source that was named");
	IS(s.dropped, 1, "is known as that");
	IS(take("{\"alerts\":7}", &none, &s, &err), -1, "a number where the list should be");
}

static void test_options(void)
{
	struct seen s;
	struct err err;

	IS(take("{\"x\":{\"y\":\"web\"}}",
	        &(struct alert_options){.service_field = "x.y", .action = "Scale_Down", .rule = "r", .threshold = "0.50"},
	        &s, &err),
	   0, "what the options supply");
	IS_STR(middle(s.text[0]),
	       "\"source\":\"own\",\"service\":\"web\",\"action\":\"scale-down\",\"threshold\":0.50,\"status\":\"firing\","
	       "\"rule\":\"r\",\"starts_at\":\"2026-11-23T23:47:25.000Z\",\"ends_at\":null",
	       "is there");
	IS(take("{\"service\":\"a\",\"action\":\"up\",\"rule\":\"mine\",\"threshold\":3,\"source\":\"z\"}",
	        &(struct alert_options){
				.service = "b", .action = "down", .rule = "r", .threshold = "4", .source = "elsewhere"},
	        &s, &err),
	   0, "what the alert says");
	IS_STR(middle(s.text[0]),
	       "\"source\":\"elsewhere\",\"service\":\"a\",\"action\":\"scale-up\",\"threshold\":3,\"status\":\"firing\","
	       "\"rule\":\"mine\",\"starts_at\":\"2026-11-23T23:47:25.000Z\",\"ends_at\":null",
	       "stays, but for the source");
	IS(take("{\"service\":\"a\",\"status\":\"drop\"}", &none, &s, &err), -1, "drop is no status of an alert");
	IS(take("{\"service\":\"a\",\"starts_at\":\"yesterday\"}", &none, &s, &err), -1, "no time");
	IS_STR(err.message, "starts_at is not an RFC 3339 time: \"yesterday\"", "and it is named");
	char longer[200] = "{\"service\":\"";
	memset(longer + 12, 'x', 64);
	memcpy(longer + 76, "\"}", 3);
	IS(take(longer, &none, &s, &err), -1, "a service's name of 64 bytes");
}

/* A mapping beside the built-in ones. */
static void test_operator(void)
{
	static const char text[] = "[mine]\n"
							   "when = kind=\"my tool\" n=2 | other\n"
							   "alerts = list\n"
							   "service = who |\n"
							   "   ^who\n"
							   "action = do: more=scale-up less=scale-down\n"
							   "status = st: 1=firing 0=resolved *=drop\n"
							   "source = tool\n"
							   "key = a b | c\n"
							   "no_key = no key here\n"
							   "[alertmanager]\n"
							   "when = alerts\n"
							   "alerts = alerts\n"
							   "service = labels.app\n"
							   "[mine.quiet]\n"
							   "when = kind=noise\n"
							   "drop = not an alert:\n"
							   "show = why kind\n";
	struct alert_sources *built_in = sources;
	struct err err = {0};
	struct seen s;

	sources = alert_sources_new(&err);
	OK(alert_sources_add(sources, "m.ini", text, &err) == 0, "a mapping is read: %s", err.message);
	IS(take("{\"kind\":\"my tool\",\"n\":2,\"who\":\"up\",\"list\":[{\"a\":1,\"b\":\"x\",\"do\":\"more\",\"st\":1},"
	        "{\"c\":2,\"who\":\"low\",\"do\":\"stay\",\"st\":0},{\"c\":2,\"st\":5},{\"c\":3}]}",
	        &none, &s, &err),
	   0, "a document of it");
	IS(s.n, 2, "has two alerts");
	IS(s.dropped, 2, "and two that are none");
	IS_STR(middle(s.text[0]),
	       "\"source\":\"mine\",\"key\":\"1:x\",\"service\":\"up\",\"action\":\"scale-up\",\"status\":\"firing\","
	       "\"starts_at\":\"2026-11-23T23:47:25.000Z\",\"ends_at\":null",
	       "the first");
	IS_STR(middle(s.text[1]),
	       "\"source\":\"mine\",\"key\":\"2\",\"service\":\"low\",\"action\":\"stay\",\"status\":\"resolved\","
	       "\"starts_at\":\"2026-11-23T23:47:25.000Z\",\"ends_at\":null",
	       "the second");
	IS(take("{\"other\":1,\"list\":[{\"a\":1,\"b\":2,\"st\":1},{\"a\":1,\"st\":1}]}", &none, &s, &err), -1,
	   "one that has no key");
	IS(err.code, ERR_USAGE, "is a wrong use");
	IS_STR(err.message, "no key here", "of which the mapping speaks");
	IS(s.n, 0, "and the others were not handed over");
	IS(take("{\"alerts\":[{\"labels\":{\"app\":\"w\"}}],\"version\":\"4\"}", &none, &s, &err), 0, "a source replaced");
	IS(s.n, 1, "one alert by the new mapping");
	IS(take("{\"kind\":\"noise\",\"why\":\"because\"}", &none, &s, &err), 0, "a source of no alerts");
	IS(s.n + 10 * s.dropped, 10, "is dropped");
	IS_STR(s.warning, "not an alert: because noise", "and said");
	alert_sources_free(sources);
	sources = built_in;
}

static void test_mend(void)
{
	static const struct {
		const char *text, *mended; /* NULL: nothing to mend */
	} rows[] = {
		{"{\"a\":NaN}", "{\"a\":null}"},
		{"[NaN,Infinity,-Infinity]", "[null,null,null]"},
		{"{\"NaN\":\"Infinity \\\" NaN\",\"b\":NaN}", "{\"NaN\":\"Infinity \\\" NaN\",\"b\":null}"},
		{"{\"a\":\"NaN\"}", NULL},
		{"{\"a\":NaNa}", NULL},
		{"{\"a\":xNaN}", NULL},
		{"{\"a\":\"x\\\\\",\"b\":NaN", "{\"a\":\"x\\\\\",\"b\":null"},
		{"NaN", "null"},
		{"-NaN", "-null"},
		{"\"\\", NULL},
		{"", NULL},
	};
	struct buf out = BUF_INIT(1000);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const bool mended = alert_mend(rows[i].text, strlen(rows[i].text), &out);
		IS(mended, rows[i].mended != NULL, rows[i].text);
		if (mended && rows[i].mended)
			IS_STR(out.p, rows[i].mended, rows[i].text);
	}
	buf_release(&out);
}

/* ---- no bytes break it ---- */

static const char *const seeds[] = {
	"[{\"@timestamp\":\"2026-11-23T23:40:16.197Z\",\"status\":503,\"docker\":{\"service\":\"web\"},\"_id\":\"M2f\","
	"\"_index\":\"logs-1\",\"num_hits\":5,\"num_matches\":1}]",
	"{\"version\":\"4\",\"orgId\":1,\"alerts\":[{\"status\":\"firing\",\"labels\":{\"service\":\"web\",\"a.b\":\"c\"},"
	"\"annotations\":{\"value\":\"1.5\"},\"startsAt\":\"2026-11-24T10:00:00Z\",\"endsAt\":\"0001-01-01T00:00:00Z\","
	"\"fingerprint\":\"abc\",\"values\":{\"B\":NaN},\"valueString\":\"value=3\"}]}",
	"{\"Type\":\"Notification\",\"MessageId\":\"m\",\"TopicArn\":\"t\",\"Message\":\"{\\\"NewStateValue\\\":\\\"OK\\\","
	"\\\"StateChangeTime\\\":\\\"2026-11-24T10:00:00.000+0000\\\",\\\"Trigger\\\":{\\\"Threshold\\\":80.0,"
	"\\\"Dimensions"
	"\\\":[{\\\"name\\\":\\\"ServiceName\\\",\\\"value\\\":\\\"web\\\"}]}}\"}",
	"{\"id\":\"i\",\"time\":\"2026-11-24T10:00:00Z\",\"duration\":70,\"level\":\"OK\",\"previousLevel\":\"WARNING\","
	"\"data\":{\"series\":[{\"name\":\"cpu\",\"tags\":{\"service\":\"w\"},\"values\":[[1,2]]}]}}",
	"{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"abc\",\"Attributes\":{\"service\":\"w\","
	"\"exitCode\":\"1\"}},\"timeNano\":1795477640001999999}",
	"{\"id\":\"x\",\"service\":\"web\",\"action\":\"up\",\"value\":1e400,\"labels\":{},\"container\":{\"id\":\"c\"}}",
};

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13; /* Marsaglia's xorshift */
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* A byte changed, a piece cut out, doubled, or put in from another seed. */
static size_t mutate(char *p, size_t n, size_t max, uint32_t *r)
{
	static const char bytes[] = "{}[]\",:\\09-eE.ntN \x7f\x80\xc3";
	const size_t at = next_random(r) % n, len = 1 + next_random(r) % 12;

	switch (next_random(r) % 4) {
	case 0: p[at] = bytes[next_random(r) % (sizeof bytes - 1)]; return n;
	case 1:
		if (at + len >= n)
			return n;
		memmove(p + at, p + at + len, n - at - len);
		return n - len;
	case 2:
		if (at + len > n || n + len > max)
			return n;
		memmove(p + at + len, p + at, n - at);
		return n + len;
	default: {
		const char *other = seeds[next_random(r) % (sizeof seeds / sizeof *seeds)];
		const size_t from = next_random(r) % strlen(other);
		const size_t most = strlen(other) - from < len ? strlen(other) - from : len;
		memcpy(p + at, other + from, at + most < n ? most : n - at);
		return n;
	}
	}
}

struct fuzz {
	long alerts, broken, changed;
};

/* Each alert is one JSON object, and again an alert of our own form with the same members. */
static int well_formed(void *ctx, const struct alert *a, struct err *err)
{
	struct fuzz *f = ctx;
	struct jv v, labels;
	struct jv_member members[64];
	size_t n = 0;

	f->alerts += !a->dropped;
	if (a->dropped)
		return 0;
	if (jv_scan(a->body.p, a->body.n, &v, members, 64, &n, err) < 0) {
		printf("# %s: %s\n", err->message, a->body.p);
		f->broken++;
		return 0;
	}
	labels = jv_get(v, "labels");
	if (!jv_is_string(jv_get(v, "service")) || !*a->service || (jv_here(labels) && !jv_is_object(labels)) ||
	    !(jv_is(jv_get(v, "status"), "firing") || jv_is(jv_get(v, "status"), "resolved")) ||
	    (a->voids.n && !jv_is(jv_get(v, "status"), "resolved")))
		f->changed++;
	return 0;
}

static void test_mutations(void)
{
	const struct alert_options o = {.sources = sources, .service = "web", .rule = "r", .now = NOW, .random = no_random};
	const int64_t end = clock_monotonic_ms() + 1500;
	struct buf mended = BUF_INIT(LINE_MAX_BYTES);
	struct fuzz f = {0};
	uint32_t r = 2463534242u;
	long documents = 0;

	for (long i = 0; i < 60000 && clock_monotonic_ms() < end; i++) {
		const char *seed = seeds[(size_t)i % (sizeof seeds / sizeof *seeds)];
		size_t n = strlen(seed);
		char *p = malloc(n + 100); /* of this size, so that a read past its end is seen */
		struct err err = {0};
		struct jv v;
		if (!p)
			abort();
		memcpy(p, seed, n);
		for (uint32_t k = 1 + next_random(&r) % 3; k; k--)
			n = mutate(p, n, strlen(seed) + 100, &r);
		char *exact = realloc(p, n);
		if (!exact)
			abort();
		int bad = jv_scan(exact, n, &v, NULL, 0, NULL, &err);
		if (bad && alert_mend(exact, n, &mended))
			bad = jv_scan(mended.p, mended.n, &v, NULL, 0, NULL, &err);
		if (!bad && (jv_is_object(v) || jv_is_array(v))) {
			documents++;
			(void)alert_each(v, &o, well_formed, &f, &err);
		}
		free(exact);
	}
	buf_release(&mended);
	IS(f.broken, 0, "mutated payloads: every alert is JSON with no member twice");
	IS(f.changed, 0, "and has a service and a status");
	OK(documents > 500 && f.alerts > 300, "%ld documents and %ld alerts were seen", documents, f.alerts);
}

int main(void)
{
	struct err err = {0};

	sources = alert_sources_new(&err);
	if (!OK(sources != NULL, "the built-in mappings are well formed %s", err.message))
		return DONE();
	test_paths();
	test_no_paths();
	test_bad_mappings();
	test_sources();
	test_identity();
	test_kapacitor_times();
	test_lists();
	test_options();
	test_operator();
	test_mend();
	test_mutations();
	alert_sources_free(sources);
	return DONE();
}
