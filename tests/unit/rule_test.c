/* Routing rules: what is read, what is refused and where, and the normal form. */
#include "base/rule.h"

#include "tap.h"

#include <stdlib.h>

#include "base/banned.h"

#define L63 "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabc"
#define S63 "/bcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabc"

static const char *normal(const struct rule *r)
{
	static char text[RULE_TEXT];
	struct buf b = BUF_INIT(RULE_TEXT - 1);

	rule_write(r, &b);
	(void)snprintf(text, sizeof text, "%s", b.failed ? "(too long)" : b.p ? b.p : "");
	buf_release(&b);
	return text;
}

static void valid(void)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{"a name", "Host(`a.example`)", "Host(`a.example`)"},
		{"a path", "PathPrefix(`/x`)", "PathPrefix(`/x`)"},
		{"a name and a path", "Host(`a.example`) && PathPrefix(`/x`)", "Host(`a.example`) && PathPrefix(`/x`)"},
		{"in the other order, without spaces", "PathPrefix(`/x`)&&Host(`a.example`)",
	     "Host(`a.example`) && PathPrefix(`/x`)"},
		{"spaces and tabs around everything", "  Host ( `a` ,\t`b` )  ", "Host(`a`) || Host(`b`)"},
		{"double quotes", "Host(\"a.example\")", "Host(`a.example`)"},
		{"several names", "Host(`b.example`, `a.example`)", "Host(`a.example`) || Host(`b.example`)"},
		{"several names and paths", "Host(`b`,`a`) && PathPrefix(`/y`,`/x`)",
	     "Host(`a`) && PathPrefix(`/x`) || Host(`a`) && PathPrefix(`/y`) || Host(`b`) && PathPrefix(`/x`) || Host(`b`) "
	     "&& PathPrefix(`/y`)"},
		{"&& binds closer than || on its left", "Host(`a`) || Host(`b`) && PathPrefix(`/x`)",
	     "Host(`a`) || Host(`b`) && PathPrefix(`/x`)"},
		{"and on its right", "Host(`b`) && PathPrefix(`/x`) || Host(`a`)",
	     "Host(`a`) || Host(`b`) && PathPrefix(`/x`)"},
		{"parentheses come first", "(Host(`a`) || Host(`b`)) && PathPrefix(`/x`)",
	     "Host(`a`) && PathPrefix(`/x`) || Host(`b`) && PathPrefix(`/x`)"},
		{"one in the other", "((Host(`a`)))", "Host(`a`)"},
		{"a name twice", "Host(`a`) || Host(`a`, `A`)", "Host(`a`)"},
		{"capital letters of a name", "Host(`WWW.A.Example`)", "Host(`www.a.example`)"},
		{"those of a path stay", "PathPrefix(`/X`)", "PathPrefix(`/X`)"},
		{"any name below one", "Host(`*.a.example`)", "Host(`*.a.example`)"},
		{"the root's dot", "Host(`a.example.`)", "Host(`a.example`)"},
		{"an underscore, and digits", "Host(`my_app.10`)", "Host(`my_app.10`)"},
		{"a name of another script in its ASCII form", "Host(`xn--bcher-kva.example`)",
	     "Host(`xn--bcher-kva.example`)"},
		{"253 characters",
	     "Host(`" L63 "." L63 "." L63 ".a23456789b23456789c23456789d23456789e23456789f23456789g234567`)",
	     "Host(`" L63 "." L63 "." L63 ".a23456789b23456789c23456789d23456789e23456789f23456789g234567`)"},
		{"the path of everything", "PathPrefix(`/`)", "PathPrefix(`/`)"},
		{"it adds nothing to a name", "Host(`a`) && PathPrefix(`/`)", "Host(`a`)"},
		{"slashes at the end", "PathPrefix(`/x//`)", "PathPrefix(`/x`)"},
		{"every character of a path", "PathPrefix(`/aZ9._~-/..x/.well-known`)",
	     "PathPrefix(`/aZ9._~-/..x/.well-known`)"},
		{"both of two names: the narrower", "Host(`*.a.example`) && Host(`w.a.example`)", "Host(`w.a.example`)"},
		{"both of two wildcards", "Host(`*.b.a`) && Host(`*.a`)", "Host(`*.b.a`)"},
		{"both of two paths: the longer", "PathPrefix(`/x/y`) && PathPrefix(`/x`)", "PathPrefix(`/x/y`)"},
		{"alternatives that fit nothing are left out", "Host(`a`,`b`) && Host(`b`,`c`)", "Host(`b`)"},
		{"sixteen", "Host(`a`,`b`,`c`,`d`) && PathPrefix(`/1`,`/2`,`/3`,`/4`) || Host(`a`) && PathPrefix(`/1`)", NULL},
	};
	struct rule r, again;
	struct err err = {0};
	char first[RULE_TEXT];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const int bad = rule_parse(rows[i].text, &r, &err);
		(void)snprintf(first, sizeof first, "%s", bad ? err.message : normal(&r));
		if (rows[i].want)
			IS_STR(first, rows[i].want, rows[i].name);
		else
			IS(r.n, 16, rows[i].name);
		OK(!bad && rule_parse(first, &again, &err) == 0 && strcmp(normal(&again), first) == 0,
		   "%s: the normal form is read as the same rule", rows[i].name);
	}
}

static void invalid(void)
{
	static const struct {
		const char *name, *text;
		enum err_code code;
		int at; /* character; 0: none is named */
	} rows[] = {
		{"nothing", "", ERR_INPUT, 1},
		{"spaces", "  ", ERR_INPUT, 3},
		{"a bare name", "a.example", ERR_INPUT, 1},
		{"a word it does not know", "Host(`a`) && Method(`GET`)", ERR_INPUT, 14},
		{"a pattern", "HostRegexp(`.*`)", ERR_INPUT, 1},
		{"another word that begins alike", "HostSNI(`a`)", ERR_INPUT, 1},
		{"not", "!Host(`a`)", ERR_INPUT, 1},
		{"no parentheses", "Host `a`", ERR_INPUT, 1},
		{"no names", "Host()", ERR_INPUT, 6},
		{"no quotes", "Host(a)", ERR_INPUT, 6},
		{"single quotes", "Host('a')", ERR_INPUT, 6},
		{"a comma too many", "Host(`a`,)", ERR_INPUT, 10},
		{"an open quote", "Host(`a)", ERR_INPUT, 6},
		{"another quote at the end", "Host(`a\")", ERR_INPUT, 6},
		{"an open parenthesis", "Host(`a`", ERR_INPUT, 9},
		{"one that was not opened", "Host(`a`))", ERR_INPUT, 10},
		{"a group that is open", "(Host(`a`)", ERR_INPUT, 11},
		{"nothing after &&", "Host(`a`) &&", ERR_INPUT, 13},
		{"nothing between ||", "Host(`a`) || || Host(`b`)", ERR_INPUT, 14},
		{"one &", "Host(`a`) & Host(`b`)", ERR_INPUT, 11},
		{"no word between two", "Host(`a`) Host(`b`)", ERR_INPUT, 11},
		{"an empty name", "Host(``)", ERR_INPUT, 6},
		{"the root", "Host(`.`)", ERR_INPUT, 6},
		{"two dots", "Host(`a..b`)", ERR_INPUT, 6},
		{"two dots at the end", "Host(`a..`)", ERR_INPUT, 6},
		{"a dash at the start", "Host(`-a.b`)", ERR_INPUT, 6},
		{"a dash at the end of a part", "Host(`a-.b`)", ERR_INPUT, 6},
		{"a space in a name", "Host(`a b`)", ERR_INPUT, 6},
		{"a space before a name", "Host(` a`)", ERR_INPUT, 6},
		{"a port", "Host(`a:80`)", ERR_INPUT, 6},
		{"an IPv6 address", "Host(`[::1]`)", ERR_INPUT, 6},
		{"* alone", "Host(`*`)", ERR_INPUT, 6},
		{"* before the root", "Host(`*.`)", ERR_INPUT, 6},
		{"* in the middle", "Host(`a.*.b`)", ERR_INPUT, 6},
		{"* in a part", "Host(`a*.b`)", ERR_INPUT, 6},
		{"* at the end", "Host(`a.*`)", ERR_INPUT, 6},
		{"two *", "Host(`*.*.b`)", ERR_INPUT, 6},
		{"another script",
	     "Host(`b\xc3\xbc"
	     "cher.example`)",
	     ERR_INPUT, 6},
		{"64 letters in a part", "Host(`" L63 "d`)", ERR_INPUT, 6},
		{"300 characters", "Host(`" L63 "." L63 "." L63 "." L63 ".abcdefghijabcdefghijabcdefghijabcdefghijabc`)",
	     ERR_INPUT, 6},
		{"254 characters",
	     "Host(`" L63 "." L63 "." L63 ".a23456789b23456789c23456789d23456789e23456789f23456789g234567h`)", ERR_INPUT,
	     6},
		{"an empty path", "PathPrefix(``)", ERR_INPUT, 12},
		{"a path without slash", "PathPrefix(`x`)", ERR_INPUT, 12},
		{"two slashes", "PathPrefix(`/x//y`)", ERR_INPUT, 12},
		{"upwards", "PathPrefix(`/x/../y`)", ERR_INPUT, 12},
		{"upwards at the end", "PathPrefix(`/..`)", ERR_INPUT, 12},
		{"here", "PathPrefix(`/./x`)", ERR_INPUT, 12},
		{"an escape", "PathPrefix(`/%2e%2e`)", ERR_INPUT, 12},
		{"a query", "PathPrefix(`/x?y`)", ERR_INPUT, 12},
		{"a long path", "PathPrefix(`" S63 S63 S63 S63 S63 "`)", ERR_INPUT, 12},
		{"two names at once", "Host(`a`) && Host(`b`)", ERR_INPUT, 23},
		{"a name that is below no other", "Host(`*.a`) && Host(`ba`)", ERR_INPUT, 26},
		{"a name and the one above", "Host(`*.a.b`) && Host(`a.b`)", ERR_INPUT, 29},
		{"paths that only begin alike", "PathPrefix(`/x`) && PathPrefix(`/xy`)", ERR_INPUT, 38},
		{"seventeen names", "Host(`1`,`2`,`3`,`4`,`5`,`6`,`7`,`8`,`9`,`10`,`11`,`12`,`13`,`14`,`15`,`16`,`17`)",
	     ERR_LIMIT, 0},
		{"five times four", "Host(`1`,`2`,`3`,`4`,`5`) && PathPrefix(`/1`,`/2`,`/3`,`/4`)", ERR_LIMIT, 0},
		{"nine parentheses", "(((((((((Host(`a`))))))))))", ERR_INPUT, 10},
		/* What a tenant may try against a configuration file. */
		{"a command after the rule", "Host(`a`); disable server web/s1", ERR_INPUT, 10},
		{"a command in a name", "Host(`a; disable server web/s1`)", ERR_INPUT, 6},
		{"a line break in a name", "Host(`a\nb`)", ERR_INPUT, 6},
		{"a line break between", "Host(`a`)\n|| Host(`b`)", ERR_INPUT, 10},
		{"a line break at the end", "Host(`a`)\n", ERR_INPUT, 10},
		{"a return in a path", "PathPrefix(`/a\r`)", ERR_INPUT, 12},
		{"a brace in a path", "PathPrefix(`/a;}server{listen 1`)", ERR_INPUT, 12},
		{"braces in a name", "Host(`{a}`)", ERR_INPUT, 6},
		{"a backtick out of double quotes", "Host(\"a`) || PathPrefix(`/\")", ERR_INPUT, 6},
		{"a double quote out of backticks", "Host(`a\"b`)", ERR_INPUT, 6},
		{"a single quote in a path", "PathPrefix(`/a'b`)", ERR_INPUT, 12},
		{"a backslash in a path", "PathPrefix(`/a\\b`)", ERR_INPUT, 12},
		{"a comment", "PathPrefix(`/a#b`)", ERR_INPUT, 12},
		{"a variable", "PathPrefix(`/$host`)", ERR_INPUT, 12},
	};
	struct rule r;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct err err = {0};
		char place[40];
		(void)snprintf(place, sizeof place, "rule: at character %d: ", rows[i].at);
		const int bad = rule_parse(rows[i].text, &r, &err);
		if (!OK(bad && err.code == rows[i].code && (!rows[i].at || strncmp(err.message, place, strlen(place)) == 0),
		        "refused: %s", rows[i].name))
			printf("# %s\n", bad ? err.message : normal(&r));
	}
}

static void adding(void)
{
	static const struct {
		const char *host, *path, *want; /* NULL: refused */
	} rows[] = {
		{"B.example", "", "Host(`b.example`)"},
		{"a.example", "/x/", "Host(`a.example`) && PathPrefix(`/x`) || Host(`b.example`)"},
		{"a.example", "/x", "Host(`a.example`) && PathPrefix(`/x`) || Host(`b.example`)"},
		{"", "/y", "PathPrefix(`/y`) || Host(`a.example`) && PathPrefix(`/x`) || Host(`b.example`)"},
		{"", "", NULL},
		{"a`b", "", NULL},
		{"~^www", "", NULL},
		{"a", "x", NULL},
		{"a", "/x y", NULL},
	};
	struct rule r = {.n = 0};
	char name[8];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct err err = {0};
		const int bad = rule_add(&r, rows[i].host, rows[i].path, &err);
		if (rows[i].want)
			IS_STR(normal(&r), rows[i].want, "a way is added in its place, once");
		else
			OK(bad && err.code == ERR_REFUSED && r.n == 3, "not added: \"%s\" \"%s\"", rows[i].host, rows[i].path);
	}
	struct err err = {0};
	for (int i = 0; i < 13; i++) {
		(void)snprintf(name, sizeof name, "n%d", i);
		(void)rule_add(&r, name, "", &err);
	}
	OK(!err.code && r.n == RULE_WAYS && rule_add(&r, "one.more", "", &err) < 0 && err.code == ERR_LIMIT,
	   "the seventeenth is one too many");
}

static void test_comparing(void)
{
	struct rule a, b, c;
	struct err err;

	if (rule_parse("Host(`a.example`) || Host(`b.example`) && PathPrefix(`/x`)", &a, &err) < 0 ||
	    rule_parse("Host(`B.example`) && PathPrefix(`/x`) || Host(`a.example`) && PathPrefix(`/`)", &b, &err) < 0 ||
	    rule_parse("Host(`c.example`) || Host(`b.example`) && PathPrefix(`/x`)", &c, &err) < 0)
		abort();
	OK(rule_same(&a, &b), "the same ways in another order and notation are the same rule");
	OK(!rule_same(&a, &c), "one other way makes another rule");
	const struct rule_way *way = rule_shared(&a, &c);
	IS_STR(way ? way->host : "", "b.example", "the way that two rules share is found");
	c.n = 0;
	OK(!rule_same(&a, &c) && !rule_shared(&a, &c), "an empty rule is another one, and shares nothing");
}

int main(void)
{
	valid();
	invalid();
	adding();
	test_comparing();
	return DONE();
}
