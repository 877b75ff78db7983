#include "alert/alert.h"

#include "base/clock.h"
#include "base/limits.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define TEXT 512

void alert_new_id(int64_t now, void (*random)(void *p, size_t n), char out[27])
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; /* Crockford's base 32 */
	unsigned char r[16];

	random(r, sizeof r);
	for (int i = 9; i >= 0; i--, now >>= 5)
		out[i] = digits[now & 31];
	for (int i = 0; i < 16; i++)
		out[10 + i] = digits[r[i] & 31];
	out[26] = '\0';
}

void alert_action(const char *text, char *out, size_t size)
{
	static const struct {
		const char *spelling, *action;
	} known[] = {
		{"scaleup", "scale-up"},    {"up", "scale-up"},          {"scaleout", "scale-up"},
		{"out", "scale-up"},        {"scaledown", "scale-down"}, {"down", "scale-down"},
		{"scalein", "scale-down"},  {"in", "scale-down"},        {"set", "set"},
		{"start", "start"},         {"recreate", "recreate"},    {"attach", "attach"},
		{"reconcile", "reconcile"},
	};
	char plain[64];
	size_t n = 0;

	for (const char *p = text; *p && n + 1 < sizeof plain; p++)
		if (isalnum((unsigned char)*p))
			plain[n++] = (char)tolower((unsigned char)*p);
	plain[n] = '\0';
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(plain, known[i].spelling) == 0)
			text = known[i].action;
	(void)snprintf(out, size, "%s", text);
}

/* ---- one alert, from members found wherever the source has them ---- */

struct draft {
	const char *source;
	struct jv id, key, service, action, count, min, max, metric, value, threshold, severity, status, labels, container;
	struct jv starts_at, ends_at;
	struct jv fingerprint; /* stands in for key when that is absent */
	struct jv whole;       /* stands in for both */
	const char *rule;
	bool repeats;
};

static bool text_of(struct jv v, char *out, size_t size)
{
	out[0] = '\0';
	return jv_str(v, out, size) && *out;
}

static void member_text(struct buf *b, const char *name, const char *text)
{
	if (*text)
		buf_json_member_str(b, name, text);
}

static void member_raw(struct buf *b, const char *name, struct jv v)
{
	if (jv_is_null(v))
		return;
	buf_json_key(b, name);
	buf_put(b, v.p, v.n);
}

static void member_number(struct buf *b, const char *name, struct jv v)
{
	if (jv_is_number(v))
		member_raw(b, name, v);
}

/* A time member; "0001-01-01T00:00:00Z" is how Alertmanager says "not yet". Absent and null are no times. */
static int read_time(struct jv v, const char *name, int64_t *ms, struct err *err)
{
	*ms = TIME_NONE;
	if (jv_is_null(v))
		return 0;
	if (!clock_json(v, ms))
		return err_set(err, ERR_INPUT, "%s is not an RFC 3339 time: %.*s", name, (int)(v.n < 40 ? v.n : 40), v.p);
	if (*ms < 0)
		*ms = TIME_NONE;
	return 0;
}

static void member_time(struct buf *b, const char *name, int64_t ms)
{
	char text[CLOCK_TEXT];

	if (ms != TIME_NONE)
		clock_format(ms, text);
	buf_json_member_str(b, name, ms != TIME_NONE ? text : NULL);
}

static int find_service(const struct draft *d, const struct alert_options *o, struct alert *a, struct err *err)
{
	char text[TEXT];

	if (!text_of(d->service, text, sizeof text))
		(void)snprintf(text, sizeof text, "%s", o->service ? o->service : "");
	if (!*text)
		return err_set(err, ERR_INPUT, "the alert names no service: give --service NAME or --service-field PATH");
	if (strlen(text) > SERVICE_NAME_MAX)
		return err_set(err, ERR_INPUT, "the service name is longer than %d bytes", SERVICE_NAME_MAX);
	(void)snprintf(a->service, sizeof a->service, "%s", text);
	return 0;
}

/* key as the source gives it, else its fingerprint, else the id it gives. */
static void find_key(const struct draft *d, char *key, size_t size)
{
	if (!text_of(d->key, key, size) && !text_of(d->fingerprint, key, size))
		(void)text_of(d->id, key, size);
}

static void find_identity(const struct draft *d, const char *key, int64_t starts_at, struct alert *a)
{
	buf_reset(&a->identity);
	if (!*key && starts_at == TIME_NONE)
		return;
	buf_putc(&a->identity, '[');
	buf_json_str(&a->identity, d->source);
	buf_json_comma(&a->identity);
	if (*key)
		buf_json_str(&a->identity, key);
	else
		buf_put(&a->identity, d->whole.p, d->whole.n);
	buf_json_comma(&a->identity);
	buf_json_str(&a->identity, a->status);
	buf_json_comma(&a->identity);
	buf_json_int(&a->identity, starts_at == TIME_NONE ? -1 : starts_at);
	buf_putc(&a->identity, ']');
}

static int finish(const struct draft *d, const struct alert_options *o, struct alert *a, struct err *err)
{
	char text[TEXT], action[64], key[TEXT];
	int64_t starts_at, ends_at;
	struct buf *b = &a->body;

	if (find_service(d, o, a, err) < 0 || read_time(d->starts_at, "starts_at", &starts_at, err) < 0 ||
	    read_time(d->ends_at, "ends_at", &ends_at, err) < 0)
		return -1;
	if (!text_of(d->id, a->id, sizeof a->id))
		alert_new_id(o->now, o->random, a->id);
	(void)snprintf(a->source, sizeof a->source, "%s", d->source);
	if (!text_of(d->status, text, sizeof text))
		(void)snprintf(text, sizeof text, "firing");
	if (strcmp(text, "firing") != 0 && strcmp(text, "resolved") != 0)
		return err_set(err, ERR_INPUT, "status is \"firing\" or \"resolved\", not \"%.40s\"", text);
	(void)snprintf(a->status, sizeof a->status, "%s", text);
	find_key(d, key, sizeof key);
	find_identity(d, key, starts_at, a);
	a->repeats = d->repeats;

	buf_reset(b);
	buf_putc(b, '{');
	buf_json_member_str(b, "id", a->id);
	buf_json_member_str(b, "source", a->source);
	member_text(b, "key", key);
	buf_json_member_str(b, "service", a->service);
	if (!text_of(d->action, text, sizeof text))
		(void)snprintf(text, sizeof text, "%s", o->action ? o->action : "");
	alert_action(text, action, sizeof action);
	member_text(b, "action", action);
	member_number(b, "count", d->count);
	member_number(b, "min", d->min);
	member_number(b, "max", d->max);
	if (text_of(d->metric, text, sizeof text))
		buf_json_member_str(b, "metric", text);
	member_number(b, "value", d->value);
	member_number(b, "threshold", d->threshold);
	if (text_of(d->severity, text, sizeof text))
		buf_json_member_str(b, "severity", text);
	buf_json_member_str(b, "status", a->status);
	if (d->rule || o->rule)
		buf_json_member_str(b, "rule", d->rule ? d->rule : o->rule);
	if (jv_is_object(d->labels))
		member_raw(b, "labels", d->labels);
	if (jv_is_object(d->container))
		member_raw(b, "container", d->container);
	member_time(b, "starts_at", starts_at == TIME_NONE ? o->now : starts_at);
	member_time(b, "ends_at", ends_at);
	member_time(b, "received_at", o->now);
	buf_putc(b, '}');
	return buf_ok(b, err);
}

/* ---- the sources ---- */

static struct jv first(struct jv a, struct jv b) { return jv_is_null(a) ? b : a; }

static int own_form(struct jv v, const struct alert_options *o, struct alert *a, struct err *err)
{
	char source[32];
	struct draft d = {
		.id = jv_get(v, "id"),
		.key = jv_get(v, "key"),
		.service = o->service_field ? jv_path(v, o->service_field) : jv_get(v, "service"),
		.action = jv_get(v, "action"),
		.count = jv_get(v, "count"),
		.min = jv_get(v, "min"),
		.max = jv_get(v, "max"),
		.metric = jv_get(v, "metric"),
		.value = jv_get(v, "value"),
		.threshold = jv_get(v, "threshold"),
		.severity = jv_get(v, "severity"),
		.status = jv_get(v, "status"),
		.labels = jv_get(v, "labels"),
		.container = jv_get(v, "container"),
		.starts_at = jv_get(v, "starts_at"),
		.ends_at = jv_get(v, "ends_at"),
		.whole = v,
		.repeats = jv_is_null(jv_get(v, "id")),
	};

	d.source = o->source ? o->source : text_of(jv_get(v, "source"), source, sizeof source) ? source : "own";
	return finish(&d, o, a, err);
}

/* A match of ElastAlert2's command alerter. It names neither rule nor action; `_index` and `_id` tell the document, a
 * metric aggregation has only its time. */
static int elastalert_match(struct jv v, const struct alert_options *o, struct alert *a, struct err *err)
{
	struct buf key = BUF_INIT(4096);
	struct draft d = {
		.source = "elastalert",
		.service = o->service_field ? jv_path(v, o->service_field) : jv_path(v, "docker.service"),
		.action = jv_get(v, "action"),
		.count = jv_get(v, "count"),
		.min = jv_get(v, "min"),
		.max = jv_get(v, "max"),
		.value = first(jv_get(v, "metric_agg_value"), jv_get(v, "num_hits")),
		.threshold = jv_get(v, "threshold"),
		.starts_at = jv_get(v, "@timestamp"),
		.whole = v,
	};

	const struct jv index = jv_get(v, "_index"), id = jv_get(v, "_id");
	buf_printf(&key, "\"%s:%.*s:%.*s\"", o->rule ? o->rule : "", (int)(index.n > 2 ? index.n - 2 : 0),
	           index.n > 2 ? index.p + 1 : "", (int)(id.n > 2 ? id.n - 2 : 0), id.n > 2 ? id.p + 1 : "");
	d.key = (struct jv){key.p, key.n};
	struct jv_member none;
	struct err bad = {0};
	if (jv_scan(key.p, key.n, &d.key, &none, 0, NULL, &bad) < 0)
		d.key = (struct jv){0}; /* a rule name that does not pass as JSON text: the time alone tells it apart */
	const int failed = finish(&d, o, a, err);
	buf_release(&key);
	return failed;
}

/* A number that came as text, in an annotation. */
static struct jv unquoted(struct jv v)
{
	struct jv inner = {v.p + 1, v.n - 2}, value;
	struct err bad = {0};

	if (!jv_is_string(v) || jv_scan(inner.p, inner.n, &value, NULL, 0, NULL, &bad) < 0)
		return v;
	return value;
}

static int alertmanager_alert(struct jv v, const struct alert_options *o, struct alert *a, struct err *err)
{
	const struct jv labels = jv_get(v, "labels"), notes = jv_get(v, "annotations");
	char rule[TEXT];
	struct draft d = {
		.source = "alertmanager",
		.fingerprint = jv_get(v, "fingerprint"),
		.service = o->service_field ? jv_path(v, o->service_field) : jv_get(labels, "service"),
		.action = first(jv_get(labels, "action"), jv_get(notes, "action")),
		.metric = jv_get(labels, "metric"),
		.count = unquoted(jv_get(notes, "count")),
		.value = unquoted(jv_get(notes, "value")),
		.threshold = unquoted(jv_get(notes, "threshold")),
		.severity = jv_get(labels, "severity"),
		.status = jv_get(v, "status"),
		.labels = labels,
		.starts_at = jv_get(v, "startsAt"),
		.ends_at = jv_get(v, "endsAt"),
		.whole = v,
		.repeats = true,
	};

	if (text_of(jv_get(labels, "alertname"), rule, sizeof rule))
		d.rule = rule;
	return finish(&d, o, a, err);
}

/* One that makes no sense does not take the others with it: the first such is reported at the end. */
static int each_of_list(struct jv list,
                        int (*read)(struct jv, const struct alert_options *, struct alert *, struct err *),
                        const struct alert_options *o, struct alert *a, alert_fn fn, void *ctx, struct err *err)
{
	struct jv_cursor c = jv_each(list);
	struct jv_member m;
	struct err first = {0};

	for (int64_t n = 1; jv_next(&c, &m); n++) {
		struct err why = {0};
		const int bad = jv_is_object(m.value) ? read(m.value, o, a, &why) : err_set(&why, ERR_INPUT, "not an object");
		if (!bad && fn(ctx, a, err) < 0)
			return -1;
		if (bad && first.code == ERR_NONE) {
			(void)err_prefix(&why, "alert %lld of the list", (long long)n);
			first = why;
		}
	}
	if (first.code != ERR_NONE)
		*err = first;
	return first.code == ERR_NONE ? 0 : -1;
}

int alert_each(struct jv document, const struct alert_options *o, alert_fn fn, void *ctx, struct err *err)
{
	struct alert a = {.body = BUF_INIT(LINE_MAX_BYTES / 2), .identity = BUF_INIT(LINE_MAX_BYTES + 4096)};
	struct jv list = jv_get(document, "alerts");
	const bool group = jv_is_array(list), matches = jv_is_array(document);
	int bad = 0;

	if (!group && !matches) {
		bad = own_form(document, o, &a, err) < 0 || fn(ctx, &a, err) < 0 ? -1 : 0;
	} else {
		bad = each_of_list(group ? list : document, group ? alertmanager_alert : elastalert_match, o, &a, fn, ctx, err);
	}
	buf_release(&a.body);
	buf_release(&a.identity);
	return bad;
}
