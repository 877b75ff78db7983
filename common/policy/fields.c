#include "policy/policy.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/rule.h"
#include "policy/schedule.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* ---- one parser per type: label text -> JSON ---- */

static bool put_text(const char *text, struct buf *json)
{
	buf_json_str(json, text);
	return true;
}

static bool one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

static bool whole(const char *text, int64_t max, struct buf *json)
{
	char *end;

	if (*text < '0' || *text > '9' || (*text == '0' && text[1]))
		return false;
	const long long v = strtoll(text, &end, 10);
	if (*end || v > max)
		return false;
	buf_json_int(json, v);
	return true;
}

static bool parse_count(const char *text, struct buf *json) { return whole(text, REPLICAS_MAX, json); }

static bool parse_weight(const char *text, struct buf *json) { return whole(text, 256, json); }

static bool parse_port(const char *text, struct buf *json)
{
	return strcmp(text, "0") != 0 && whole(text, 65535, json);
}

static bool parse_duration(const char *text, struct buf *json)
{
	int64_t ms;

	if (!duration_parse(text, &ms))
		return false;
	duration_json(json, ms);
	return true;
}

static bool parse_step(const char *text, struct buf *json) { return step_valid(text) && put_text(text, json); }

/* Digits with an optional fraction, at most 15 characters, as it stands. */
static size_t decimal(const char *text)
{
	const size_t whole_part = strspn(text, "0123456789");
	const size_t n = whole_part + (text[whole_part] == '.' ? 1 + strspn(text + whole_part + 1, "0123456789") : 0);

	return whole_part && n <= 15 && text[n - 1] != '.' && (*text != '0' || whole_part == 1) ? n : 0;
}

static bool parse_tolerance(const char *text, struct buf *json)
{
	const size_t n = decimal(text);

	if (!n || text[n] || (strcmp(text, "1") != 0 && *text != '0'))
		return false;
	buf_puts(json, text);
	return true;
}

/* Where the first METRIC=VALUE of text ends: at a `;` that is in no quotes and no braces of a query, or at the end.
 * NULL: a quote or a brace is not closed. */
static const char *target_end(const char *text)
{
	char quote = '\0';
	int open = 0;

	for (; *text; text++) {
		if (quote) {
			if (*text == '\\' && quote != '`' && text[1])
				text++;
			else if (*text == quote)
				quote = '\0';
		} else if (*text == '"' || *text == '\'' || *text == '`') {
			quote = *text;
		} else if (*text == '{') {
			open++;
		} else if (*text == '}') {
			open -= open > 0;
		} else if (*text == ';' && !open) {
			return text;
		}
	}
	return quote || open ? NULL : text;
}

static bool put_target(struct buf *json, const char *text, const char *end)
{
	const char *eq = memrchr(text, '=', (size_t)(end - text));
	const size_t n = eq && eq > text ? decimal(eq + 1) : 0;
	int64_t micro;

	if (!n || eq + 1 + n != end || !jv_micro((struct jv){eq + 1, n}, &micro) || micro <= 0)
		return false;
	buf_json_comma(json);
	buf_json_strn(json, text, (size_t)(eq - text));
	buf_putc(json, ':');
	buf_put(json, eq + 1, n);
	return true;
}

/* METRIC=VALUE, repeatable with `;`. A metric may hold `=`, as the matchers of a query do: the last one counts. A value
 * of 0 would ask for endlessly many. */
static bool parse_target(const char *text, struct buf *json)
{
	struct jv_member members[TARGETS_MAX];
	const size_t from = json->n;
	struct err why = {0};
	struct jv object;

	buf_putc(json, '{');
	for (;; text++) {
		text += strspn(text, " ");
		const char *end = target_end(text);
		if (!end || !put_target(json, text, end))
			return false;
		text = end;
		if (!*text)
			break;
	}
	buf_putc(json, '}');
	/* also no metric twice */
	return !json->failed && jv_scan(json->p + from, json->n - from, &object, members, TARGETS_MAX, NULL, &why) == 0;
}

static bool parse_rate(const char *text, struct buf *json) { return rate_valid(text) && put_text(text, json); }

static bool parse_bool(const char *text, struct buf *json)
{
	static const char *const yes[] = {"true", "yes", "1", "on", NULL}, *const no[] = {"false", "no", "0", "off", NULL};

	if (!one_of(text, yes) && !one_of(text, no))
		return false;
	buf_json_bool(json, one_of(text, yes));
	return true;
}

#define WORDS(name, ...)                                        \
	static bool name(const char *text, struct buf *json)        \
	{                                                           \
		static const char *const words[] = {__VA_ARGS__, NULL}; \
		return one_of(text, words) && put_text(text, json);     \
	}

WORDS(parse_count_from, "labels", "db", "alert")
WORDS(parse_placement, "spread", "pack", "same-host")
WORDS(parse_victim, "idle", "newest", "oldest")

/* none, or one or more of start, recreate, replace, each once, with commas */
static bool parse_available(const char *text, struct buf *json)
{
	static const char *const words[] = {"start", "recreate", "replace"};
	bool given[3] = {0};

	if (strcmp(text, "none") == 0)
		return put_text(text, json);
	for (const char *p = text;; p++) {
		const size_t n = strcspn(p, ",");
		size_t i = 0;
		while (i < 3 && (strlen(words[i]) != n || strncmp(words[i], p, n) != 0))
			i++;
		if (i == 3 || given[i])
			return false;
		given[i] = true;
		p += n;
		if (!*p)
			return put_text(text, json);
	}
}

/* no, or all, up, down, each with an optional "until TIME" */
static bool parse_paused(const char *text, struct buf *json)
{
	static const char *const words[] = {"no", "all", "up", "down", NULL};
	char word[8];
	int64_t until;
	const size_t n = strcspn(text, " ");

	if (n >= sizeof word)
		return false;
	memcpy(word, text, n);
	word[n] = '\0';
	if (!one_of(word, words))
		return false;
	if (text[n] && (strncmp(text + n, " until ", 7) != 0 || !clock_parse(text + n + 7, &until)))
		return false;
	return put_text(text, json);
}

/* hold, N, N if-higher, N if-lower */
static bool parse_missing(const char *text, struct buf *json)
{
	static const char *const words[] = {" if-higher", " if-lower", NULL};
	struct buf ignored = BUF_INIT(16);
	char count[8];
	const size_t n = strspn(text, "0123456789");

	if (strcmp(text, "hold") == 0)
		return put_text(text, json);
	if (n >= sizeof count || !one_of(text + n, words))
		return parse_count(text, json);
	(void)snprintf(count, sizeof count, "%.*s", (int)n, text);
	const bool good = parse_count(count, &ignored);
	buf_release(&ignored);
	return good && put_text(text, json);
}

/* health, tcp:PORT, http:PORT/PATH; empty: the health check if there is one, else TCP */
static bool parse_ready(const char *text, struct buf *json)
{
	static const char *const words[] = {"", "health", NULL};
	const char *port = strncmp(text, "tcp:", 4) == 0 ? text + 4 : strncmp(text, "http:", 5) == 0 ? text + 5 : NULL;

	if (one_of(text, words))
		return put_text(text, json);
	const size_t n = port ? strspn(port, "0123456789") : 0;
	if (n < 1 || n > 5 || *port == '0' || (text[0] == 't' ? port[n] != '\0' : port[n] != '/'))
		return false;
	for (const char *p = port; *p; p++)
		if (*p <= ' ' || *p == 0x7f)
			return false;
	return put_text(text, json);
}

static bool safe_name(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= 'A' && s[i] <= 'Z') && !(s[i] >= '0' && s[i] <= '9') &&
		    (!i || (s[i] != '-' && s[i] != '_' && s[i] != '.')))
			return false;
	return n > 0 && n <= 63;
}

static bool parse_name(const char *text, struct buf *json)
{
	return safe_name(text, strlen(text)) && put_text(text, json);
}

static bool parse_names(const char *text, struct buf *json)
{
	for (const char *p = text;; p++) {
		const size_t n = strcspn(p, ",");
		if (!safe_name(p, n))
			return false;
		p += n;
		if (!*p)
			return put_text(text, json);
	}
}

/* In the normal form, so that everybody after reads names and paths of a small alphabet only. It can be longer than
 * what was written, but not longer than any value. */
static bool parse_rule(const char *text, struct buf *json)
{
	struct rule rule;
	struct err why;
	struct buf normal = BUF_INIT(POLICY_TEXT - 1);

	if (rule_parse(text, &rule, &why) < 0)
		return false;
	rule_write(&rule, &normal);
	const bool good = !normal.failed;
	if (good)
		buf_json_str(json, normal.p);
	buf_release(&normal);
	return good;
}

static bool parse_schedule(const char *text, struct buf *json)
{
	char why[160];

	return schedule_valid(text, why, sizeof why) && put_text(text, json);
}

/* ---- the table ---- */

#define COUNT_TEXT "a number from 0 to 10000"
#define DURATION_TEXT "a duration such as 30s, 5m or 1.5"
#define STEP_TEXT "2, 50% or bands such as 0..20:1;20..:25%"
#define SCHEDULE_TEXT "a schedule such as mon-fri 08:00-18:00 Europe/Berlin min=4 max=20"
#define NAME_TEXT "letters, digits, dot, dash and underscore, at most 63"

const struct policy_field policy_fields[] = {
	{"min", "autoscale.min", NULL, "1", parse_count, COUNT_TEXT},
	{"max", "autoscale.max", NULL, NULL, parse_count, COUNT_TEXT},
	{"step", "autoscale.step", NULL, "1", parse_step, STEP_TEXT},
	{"step_up", "autoscale.step-up", "step", "1", parse_step, STEP_TEXT},
	{"step_down", "autoscale.step-down", "step", "1", parse_step, STEP_TEXT},
	{"target", "autoscale.target", NULL, NULL, parse_target, "METRIC=VALUE;METRIC=VALUE, each value above 0"},
	{"tolerance", "autoscale.tolerance", NULL, "0.1", parse_tolerance, "a fraction from 0 to 1"},
	{"cooldown_up", "autoscale.cooldown-up", "cooldown", "0", parse_duration, DURATION_TEXT},
	{"cooldown_down", "autoscale.cooldown-down", "cooldown", "60", parse_duration, DURATION_TEXT},
	{"window_up", "autoscale.window-up", "window", "0", parse_duration, DURATION_TEXT},
	{"window_down", "autoscale.window-down", "window", "300", parse_duration, DURATION_TEXT},
	{"rate_up", "autoscale.rate-up", "rate", NULL, parse_rate, "4/60s or 100%/15s"},
	{"rate_down", "autoscale.rate-down", "rate", NULL, parse_rate, "4/60s or 100%/15s"},
	{"schedule", "autoscale.schedule", NULL, NULL, parse_schedule, SCHEDULE_TEXT},
	{"stale_after", "autoscale.stale-after", NULL, "300", parse_duration, DURATION_TEXT},
	{"on_missing", "autoscale.on-missing", NULL, "hold", parse_missing, "hold, N, N if-higher or N if-lower"},
	{"on_resolved", "autoscale.on-resolved", NULL, "false", parse_bool, "true or false"},
	{"available", "autoscale.available", NULL, "start,recreate", parse_available,
     "start, recreate, replace, several with commas, or none"},
	{"count_from", "autoscale.count-from", NULL, "labels", parse_count_from, "labels, db or alert"},
	{"placement", "autoscale.placement", NULL, "spread", parse_placement, "spread, pack or same-host"},
	{"victim", "autoscale.victim", NULL, "idle", parse_victim, "idle, newest or oldest"},
	{"grace", "autoscale.grace", NULL, "10", parse_duration, DURATION_TEXT},
	{"drain", "autoscale.drain", NULL, "30", parse_duration, DURATION_TEXT},
	{"ready", "autoscale.ready", NULL, "", parse_ready, "health, tcp:PORT or http:PORT/PATH"},
	{"ready_timeout", "autoscale.ready-timeout", NULL, "60", parse_duration, DURATION_TEXT},
	{"paused", "autoscale.paused", NULL, "no", parse_paused, "no, all, up or down, with an optional \"until TIME\""},
	{"dry_run", "autoscale.dry-run", NULL, "false", parse_bool, "true or false"},
	{"lb", "autoscale.lb", NULL, NULL, parse_names, "names of load balancers, comma separated"},
	{"lb_backend", "autoscale.lb.backend", NULL, NULL, parse_name, NAME_TEXT},
	{"lb_port", "autoscale.lb.port", NULL, NULL, parse_port, "a port from 1 to 65535"},
	{"lb_rule", "autoscale.lb.rule", NULL, NULL, parse_rule, "Host(`NAME`) && PathPrefix(`/PATH`)"},
	{"lb_weight", "autoscale.lb.weight", NULL, "100", parse_weight, "a number from 0 to 256"},
	{"lb_network", "autoscale.lb.network", NULL, NULL, parse_name, NAME_TEXT},
};
const size_t policy_fields_count = sizeof policy_fields / sizeof *policy_fields;

const struct policy_field *policy_field(const char *name)
{
	for (size_t i = 0; i < policy_fields_count; i++)
		if (strcmp(policy_fields[i].name, name) == 0)
			return &policy_fields[i];
	return NULL;
}

static bool target_text(struct jv object, char *out, size_t size)
{
	struct buf b = BUF_INIT(size - 1);
	struct jv_cursor c = jv_each(object);
	struct jv_member m;
	char name[POLICY_TEXT];

	while (jv_next(&c, &m)) { /* a name that would be taken for two is none */
		if (!jv_str((struct jv){m.name.p - 1, m.name.n + 2}, name, sizeof name) || !jv_is_number(m.value) ||
		    !target_end(name) || *target_end(name))
			b.failed = true;
		buf_printf(&b, "%s%s=%.*s", b.n ? ";" : "", name, (int)m.value.n, m.value.p);
	}
	const bool good = !b.failed && b.n;
	if (good)
		memcpy(out, b.p, b.n + 1);
	buf_release(&b);
	return good;
}

bool policy_text(struct jv v, char *out, size_t size)
{
	if (jv_is_string(v))
		return jv_str(v, out, size);
	if (jv_is_object(v))
		return target_text(v, out, size);
	if (!v.n || v.n >= size || jv_is_array(v) || jv_is_null(v))
		return false;
	memcpy(out, v.p, v.n);
	out[v.n] = '\0';
	return true;
}

/* Most globs end or begin with a letter that the service's name has not there, and most others have one star and
 * nothing else that is special. */
bool policy_matches(const char *glob, const char *service)
{
	const size_t n = strlen(service), length = strlen(glob);
	size_t before = 0;

	if (!n || !length)
		return n == length;
	if (glob[length - 1] != service[n - 1] && !strchr("*?]", glob[length - 1]))
		return false;
	if (*glob != *service && !strchr("*?[\\", *glob))
		return false;
	before = strcspn(glob, "*?[\\");
	if (!glob[before])
		return strcmp(glob, service) == 0;
	const char *after = glob + before + 1;
	if (glob[before] == '*' && !after[strcspn(after, "*?[\\")]) {
		const size_t behind = length - before - 1;
		return n >= before + behind && memcmp(service, glob, before) == 0 &&
		       memcmp(service + n - behind, after, behind) == 0;
	}
	return strcmp(glob, service) == 0 || fnmatch(glob, service, 0) == 0;
}
