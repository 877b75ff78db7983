#include "alert/normal.h"

#include "base/clock.h"
#include "base/limits.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define TEXT 512

struct draft {
	const struct source *source;
	const struct alert_options *o;
	struct path_scope *scope;
	struct alert *a;
	struct buf rule; /* of --rule, as JSON */
};

/* ---- one member ---- */

enum fit { FIT_ANY, FIT_TEXT, FIT_NUMBER, FIT_LABELS, FIT_OBJECT };

/* A number, or one that came as text. */
static bool number(struct jv *v)
{
	struct jv inner = {v->p + 1, v->n - 2};
	struct err none;

	if (!jv_is_string(*v))
		return jv_is_number(*v);
	if (jv_scan(inner.p, inner.n, &inner, NULL, 0, NULL, &none) < 0 || !jv_is_number(inner))
		return false;
	*v = inner;
	return true;
}

static bool fits(struct jv *v, enum fit fit)
{
	switch (fit) {
	case FIT_ANY: return !jv_is_null(*v);
	case FIT_TEXT: return (jv_is_string(*v) && v->n > 2) || jv_is_number(*v);
	case FIT_NUMBER: return number(v);
	case FIT_LABELS: return jv_is_object(*v) || jv_is_array(*v);
	case FIT_OBJECT: return jv_is_object(*v);
	}
	return false;
}

/* The first of the alternatives that fits. *here: any of them is there at all. */
static struct jv pick(struct path_scope *scope, const char *value, enum fit fit, bool *here)
{
	*here = false;
	while (value && source_next(&value)) {
		struct jv v = path_get(scope, &value);
		*here = *here || jv_here(v);
		if (jv_here(v) && fits(&v, fit))
			return v;
	}
	return (struct jv){0};
}

struct jv normal_find(const struct source *source, enum field field, struct path_scope *scope)
{
	bool here;

	return pick(scope, source->text[field], FIT_ANY, &here);
}

static bool text_of(struct jv v, char *out, size_t size)
{
	out[0] = '\0';
	if (jv_is_number(v)) {
		(void)snprintf(out, size, "%.*s", (int)(v.n < size ? v.n : size), v.p);
		return true;
	}
	return jv_str(v, out, size) && *out;
}

enum origin { AS_IT_CAME, TRANSLATED, NOT_TRANSLATED };

/* A member's text, translated; one that no translation speaks of stays. */
static bool member_text(const struct draft *d, enum field f, char *out, size_t size, enum origin *origin)
{
	const char *value = d->source->text[f];
	bool here, given;
	size_t n;

	*origin = AS_IT_CAME;
	out[0] = '\0';
	if (!value)
		return false;
	const bool found = text_of(pick(d->scope, value, FIT_TEXT, &here), out, size);
	const char *to = source_translated(value, out, &n, &given);
	if (to && n < size) {
		*origin = TRANSLATED;
		memcpy(out, to, n);
		out[n] = '\0';
		return n > 0;
	}
	*origin = given ? NOT_TRANSLATED : AS_IT_CAME;
	return found;
}

static bool text(const struct draft *d, enum field f, char *out, size_t size)
{
	enum origin origin;

	return member_text(d, f, out, size, &origin);
}

static void put_text(struct draft *d, const char *name, enum field f)
{
	char value[TEXT];

	if (text(d, f, value, sizeof value))
		buf_json_member_str(&d->a->body, name, value);
}

static void put_raw(struct buf *b, const char *name, struct jv v)
{
	buf_json_key(b, name);
	buf_put(b, v.p, v.n);
}

/* A number as it was written. What is there and is none, such as what was NaN, is null: it is not zero. */
static void put_number(struct draft *d, const char *name, enum field f, const char *otherwise)
{
	bool here;
	const struct jv v = pick(d->scope, d->source->text[f], FIT_NUMBER, &here);

	if (jv_here(v))
		put_raw(&d->a->body, name, v);
	else if (otherwise)
		put_raw(&d->a->body, name, (struct jv){otherwise, strlen(otherwise)});
	else if (here)
		buf_json_member_str(&d->a->body, name, NULL);
}

/* An object as it is, or a list of {"name":...,"value":...}. */
static void put_labels(struct draft *d)
{
	bool here;
	const struct jv v = pick(d->scope, d->source->text[FIELD_LABELS], FIT_LABELS, &here);
	struct buf *b = &d->a->body;
	struct jv_cursor c = jv_each(v);
	struct jv_member m;

	if (jv_is_object(v)) {
		put_raw(b, "labels", v);
	} else if (jv_is_array(v)) {
		buf_json_key(b, "labels");
		buf_putc(b, '{');
		while (jv_next(&c, &m)) {
			const struct jv name = jv_get(m.value, "name"), value = jv_get(m.value, "value");
			if (!jv_is_string(name) || !jv_here(value))
				continue;
			buf_json_comma(b);
			buf_put(b, name.p, name.n);
			buf_putc(b, ':');
			buf_put(b, value.p, value.n);
		}
		buf_putc(b, '}');
	}
}

static void put_container(struct draft *d)
{
	static const struct {
		const char *name;
		enum field f;
	} parts[] = {{"id", FIELD_CONTAINER_ID},
	             {"name", FIELD_CONTAINER_NAME},
	             {"host", FIELD_CONTAINER_HOST},
	             {"image", FIELD_CONTAINER_IMAGE}};
	struct buf *b = &d->a->body;
	bool here;
	const struct jv v = pick(d->scope, d->source->text[FIELD_CONTAINER], FIT_OBJECT, &here);

	if (jv_here(v)) {
		put_raw(b, "container", v);
		return;
	}
	const size_t before = b->n;
	buf_json_key(b, "container");
	buf_putc(b, '{');
	const size_t empty = b->n;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		put_text(d, parts[i].name, parts[i].f);
	if (b->n > empty)
		buf_putc(b, '}');
	else
		b->n = before;
}

/* ---- times ---- */

/* A number is the time since 1970 in s, ms, us or ns: which, its size tells for any time from 1973 to 5138. */
static bool number_time(struct jv v, int64_t *ms)
{
	int64_t n;

	if (!jv_int(v, &n)) {
		if (!jv_micro(v, &n))
			return false;
		*ms = n / 1000; /* seconds with a fraction */
		return true;
	}
	if (n < 0)
		*ms = TIME_NONE;
	else if (n < INT64_C(100000000000))
		*ms = n * 1000;
	else if (n < INT64_C(100000000000000))
		*ms = n;
	else
		*ms = n / (n < INT64_C(100000000000000000) ? 1000 : 1000000);
	return true;
}

/* "0001-01-01T00:00:00Z" is how Alertmanager says "not yet". Absent and null are no times. */
static int read_time(const struct draft *d, enum field f, const char *name, struct jv *at, int64_t *ms, struct err *err)
{
	*at = normal_find(d->source, f, d->scope);
	*ms = TIME_NONE;
	if (jv_is_null(*at))
		return 0;
	if (jv_is_number(*at) ? !number_time(*at, ms) : !clock_json(*at, ms))
		return err_set(err, ERR_INPUT, "%s is not an RFC 3339 time: %.*s", name, (int)(at->n < 40 ? at->n : 40), at->p);
	if (*ms < 0)
		*ms = TIME_NONE;
	return 0;
}

/* What clock_json cuts off: the nanoseconds below the millisecond. */
static int64_t below_ms(struct jv at)
{
	const char *p = memchr(at.p, '.', at.n), *end = at.p + at.n;
	int64_t ns = 0, scale = 100000;

	for (int i = 1; p && p + i < end && p[i] >= '0' && p[i] <= '9'; i++)
		if (i > 3) {
			ns += (p[i] - '0') * scale;
			scale /= 10;
		}
	return ns;
}

struct times {
	int64_t starts_at, ends_at;
};

/* The end of what still fires is not known yet. A source that says how long it lasted tells the beginning by that. */
static int find_times(const struct draft *d, struct times *t, struct err *err)
{
	struct jv start, end;
	int64_t lasted;

	if (read_time(d, FIELD_STARTS_AT, "starts_at", &start, &t->starts_at, err) < 0 ||
	    read_time(d, FIELD_ENDS_AT, "ends_at", &end, &t->ends_at, err) < 0)
		return -1;
	if (strcmp(d->a->status, "resolved") != 0)
		t->ends_at = TIME_NONE;
	if (t->ends_at == TIME_NONE || !jv_int(normal_find(d->source, FIELD_LASTED, d->scope), &lasted) || lasted < 0)
		return 0;
	const int64_t ns = below_ms(end) - lasted % 1000000;
	t->starts_at = t->ends_at - lasted / 1000000 - (ns < 0);
	return 0;
}

/* ---- what makes it the same alert ---- */

static void put_shown(struct buf *b, struct jv part)
{
	if (b->n)
		buf_putc(b, ':');
	if (!jv_str_buf(part, b))
		buf_put(b, part.p, part.n);
}

/* The first alternative that has all its parts: to `identity` each of them after a comma, to `shown` those that are
 * texts or numbers. False: none has. */
static bool find_key(struct path_scope *scope, const char *value, struct buf *identity, struct buf *shown)
{
	const size_t before = identity->n;

	while (value && source_next(&value)) {
		bool all = true;
		identity->n = before;
		buf_reset(shown);
		while (source_next_part(&value)) {
			const struct jv part = path_get(scope, &value);
			all = all && !jv_is_null(part) && !jv_is(part, "");
			if (!all)
				continue;
			buf_putc(identity, ',');
			if (jv_is_string(part) || jv_is_number(part)) {
				const size_t from = shown->n + (shown->n > 0);
				put_shown(shown, part);
				buf_json_strn(identity, shown->p + from, shown->n - from);
			} else {
				buf_put(identity, part.p, part.n);
			}
		}
		if (all)
			return true;
	}
	identity->n = before;
	buf_reset(shown);
	return false;
}

static void begin_identity(const struct draft *d, struct buf *b)
{
	buf_reset(b);
	buf_putc(b, '[');
	buf_json_str(b, d->a->source);
}

static void end_identity(struct buf *b, const char *status, int64_t starts_at)
{
	buf_json_comma(b);
	buf_json_str(b, status);
	buf_json_comma(b);
	buf_json_int(b, starts_at == TIME_NONE ? -1 : starts_at);
	buf_putc(b, ']');
}

/* A resolved one names the firing one by the same key and beginning; where its key reads otherwise, by `voids`. */
static void find_voids(const struct draft *d, int64_t starts_at)
{
	struct buf *b = &d->a->voids, shown = BUF_INIT(LINE_MAX_BYTES);
	const char *value = d->source->text[FIELD_VOIDS];

	begin_identity(d, b);
	if (find_key(d->scope, value ? value : d->source->text[FIELD_KEY], b, &shown))
		end_identity(b, "firing", starts_at);
	else
		buf_reset(b);
	buf_release(&shown);
}

/* Without a key the whole text tells an alert that has a beginning; one that has neither is always a new one. */
static void find_identity(const struct draft *d, int64_t starts_at)
{
	struct alert *a = d->a;
	struct buf *b = &a->identity;

	begin_identity(d, b);
	const bool keyed = find_key(d->scope, d->source->text[FIELD_KEY], b, &a->key);
	if (!keyed && starts_at == TIME_NONE) {
		buf_reset(b);
	} else {
		if (!keyed) {
			buf_json_comma(b);
			buf_put(b, d->scope->alert.p, d->scope->alert.n);
		}
		end_identity(b, a->status, starts_at);
	}
	buf_reset(&a->voids);
	if (keyed && strcmp(a->status, "resolved") == 0)
		find_voids(d, starts_at);
}

/* "no", "yes", "unless PATH"; what is over is not said again. */
static bool repeats(const struct draft *d)
{
	const char *how = d->source->text[FIELD_REPEATS];
	bool here;

	if (!how || strcmp(how, "no") == 0 || strcmp(d->a->status, "firing") != 0)
		return false;
	return strcmp(how, "yes") == 0 || !jv_here(pick(d->scope, how + strlen("unless"), FIT_ANY, &here));
}

/* ---- the whole ---- */

static int find_service(const struct draft *d, struct err *err)
{
	char name[TEXT];
	bool here, found;

	if (d->o->service_field)
		found = text_of(pick(d->scope, d->o->service_field, FIT_TEXT, &here), name, sizeof name);
	else
		found = text(d, FIELD_SERVICE, name, sizeof name);
	if (!found)
		(void)snprintf(name, sizeof name, "%s", d->o->service ? d->o->service : "");
	if (!*name)
		return err_set(err, ERR_INPUT, "the alert names no service: give --service NAME or --service-field PATH");
	if (strlen(name) > SERVICE_NAME_MAX)
		return err_set(err, ERR_INPUT, "the service name is longer than %d bytes", SERVICE_NAME_MAX);
	(void)snprintf(d->a->service, sizeof d->a->service, "%s", name);
	return 0;
}

static int find_status(const struct draft *d, struct err *err)
{
	char status[TEXT];
	enum origin origin;

	if (!member_text(d, FIELD_STATUS, status, sizeof status, &origin)) {
		if (origin == NOT_TRANSLATED)
			return err_set(err, ERR_INPUT, "not an alert of %s: it has no status", d->source->name);
		(void)snprintf(status, sizeof status, "firing");
	}
	d->a->dropped = origin == TRANSLATED && strcmp(status, "drop") == 0;
	const bool resolved = strcmp(status, "resolved") == 0;
	if (!d->a->dropped && !resolved && strcmp(status, "firing") != 0)
		return err_set(err, ERR_INPUT, "status is \"firing\" or \"resolved\", not \"%.40s\"", status);
	(void)snprintf(d->a->status, sizeof d->a->status, "%s", resolved ? "resolved" : "firing");
	return 0;
}

static void put_action(struct draft *d)
{
	char given[TEXT], action[TEXT];

	if (!text(d, FIELD_ACTION, given, sizeof given))
		(void)snprintf(given, sizeof given, "%s", d->o->action ? d->o->action : "");
	alert_action(given, action, sizeof action);
	if (*action)
		buf_json_member_str(&d->a->body, "action", action);
}

static int put_body(struct draft *d, const struct times *t, struct err *err)
{
	struct alert *a = d->a;
	struct buf *b = &a->body;

	buf_reset(b);
	buf_putc(b, '{');
	buf_json_member_str(b, "id", a->id);
	buf_json_member_str(b, "source", a->source);
	if (a->key.n) {
		buf_json_key(b, "key");
		buf_json_strn(b, a->key.p, a->key.n);
	}
	buf_json_member_str(b, "service", a->service);
	put_action(d);
	put_number(d, "count", FIELD_COUNT, NULL);
	put_number(d, "min", FIELD_MIN, NULL);
	put_number(d, "max", FIELD_MAX, NULL);
	put_text(d, "metric", FIELD_METRIC);
	put_number(d, "value", FIELD_VALUE, NULL);
	put_number(d, "threshold", FIELD_THRESHOLD, d->o->threshold);
	put_text(d, "severity", FIELD_SEVERITY);
	buf_json_member_str(b, "status", a->status);
	if (!jv_is_null(d->scope->rule))
		put_raw(b, "rule", d->scope->rule);
	put_labels(d);
	put_container(d);
	clock_json_member(b, "starts_at", t->starts_at == TIME_NONE ? d->o->now : t->starts_at);
	clock_json_member(b, "ends_at", t->ends_at);
	clock_json_member(b, "received_at", d->o->now);
	buf_putc(b, '}');
	return buf_ok(b, err);
}

/* "$rule": what the alert says of it, else --rule. */
static void find_rule(struct draft *d)
{
	char rule[TEXT];

	d->scope->rule = (struct jv){0};
	if (!text(d, FIELD_RULE, rule, sizeof rule))
		(void)snprintf(rule, sizeof rule, "%s", d->o->rule ? d->o->rule : "");
	if (!*rule)
		return;
	buf_json_str(&d->rule, rule);
	if (!d->rule.failed)
		d->scope->rule = (struct jv){d->rule.p, d->rule.n};
}

static int make(struct draft *d, struct err *err)
{
	struct alert *a = d->a;
	struct times t;

	if (!text(d, FIELD_ID, a->id, sizeof a->id))
		alert_new_id(d->o->now, d->o->random, a->id);
	if (find_service(d, err) < 0 || find_times(d, &t, err) < 0)
		return -1;
	find_identity(d, t.starts_at);
	a->repeats = repeats(d);
	return buf_ok(&a->key, err) < 0 || buf_ok(&a->identity, err) < 0 || buf_ok(&a->voids, err) < 0
	           ? -1
	           : put_body(d, &t, err);
}

void normal_source(const struct source *source, const struct alert_options *o, char out[ALERT_SOURCE])
{
	const char *name = o->source ? o->source : source->name;
	const size_t n = o->source ? strlen(name) : strcspn(name, ".");

	(void)snprintf(out, ALERT_SOURCE, "%.*s", (int)n, name);
}

int normal_alert(const struct source *source, const struct alert_options *o, struct path_scope *scope, struct alert *a,
                 struct err *err)
{
	struct draft d = {.source = source, .o = o, .scope = scope, .a = a, .rule = BUF_INIT(LINE_MAX_BYTES)};

	if (o->source || !text(&d, FIELD_SOURCE, a->source, sizeof a->source))
		normal_source(source, o, a->source);
	find_rule(&d);
	int bad = find_status(&d, err);
	if (!bad && !a->dropped)
		bad = make(&d, err);
	buf_release(&d.rule);
	scope->rule = (struct jv){0};
	return bad;
}

int normal_check_key(const struct source *source, const struct alert_options *o, struct path_scope *scope,
                     struct err *err)
{
	struct draft d = {.source = source, .o = o, .scope = scope, .rule = BUF_INIT(LINE_MAX_BYTES)};
	struct buf identity = BUF_INIT(2 * LINE_MAX_BYTES), shown = BUF_INIT(LINE_MAX_BYTES);

	if (!source->text[FIELD_NO_KEY])
		return 0;
	find_rule(&d);
	const bool keyed = find_key(scope, source->text[FIELD_KEY], &identity, &shown);
	buf_release(&identity);
	buf_release(&shown);
	buf_release(&d.rule);
	scope->rule = (struct jv){0};
	return keyed ? 0 : err_set(err, ERR_USAGE, "%s", source->text[FIELD_NO_KEY]);
}
