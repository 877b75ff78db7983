#include "policy/policy.h"

#include "base/limits.h"
#include "policy/schedule.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define VALUE_BYTES 4096 /* of one field as JSON */
#define NOTES_BYTES (256 * 1024)

struct building {
	const struct policy_limits *limits;
	struct buf *out;
	struct buf from, shadowed, warnings;
	int64_t min, max; /* as resolved; -1: none */
	char min_from[128], max_from[128];
};

/* why: NULL when `wants` says it all. */
static void warn_why(struct building *b, const char *from, const struct policy_field *f, const char *text,
                     const char *why)
{
	struct buf line = BUF_INIT(4096);

	buf_printf(&line, "%s (%s): \"%.100s\" is not %s%s%s", f->name, from, text, f->wants, why ? "; " : "",
	           why ? why : "");
	buf_json_comma(&b->warnings);
	buf_json_str(&b->warnings, line.p ? line.p : "");
	buf_release(&line);
}

static void warn(struct building *b, const char *from, const struct policy_field *f, const char *text)
{
	char why[160];
	const bool bad_schedule = strcmp(f->name, "schedule") == 0 && !schedule_valid(text, why, sizeof why);

	warn_why(b, from, f, text, bad_schedule ? why : NULL);
}

/* autoscale.cooldown-up -> AUTOSCALE_COOLDOWN_UP */
static void variable_name(const char *label, char *out, size_t size)
{
	size_t i = 0;

	for (; label[i] && i + 1 < size; i++)
		out[i] = (char)(label[i] == '.' || label[i] == '-' ? '_' : toupper((unsigned char)label[i]));
	out[i] = '\0';
}

/* The family's own name as it applies to this field: a scale-up row's `step` means step_up only. */
static bool family_applies(const struct policy_source *s, const struct policy_field *f)
{
	if (!f->family || !s->type)
		return f->family != NULL;
	const bool up = strcmp(s->type, "scale-up") == 0, down = strcmp(s->type, "scale-down") == 0;
	const size_t n = strlen(f->name);
	const bool is_up = strcmp(f->name + n - 2, "up") == 0;
	return (!up && !down) || up == is_up;
}

static struct jv by_label(const struct policy_source *s, const char *label)
{
	char name[64];

	if (s->kind == POLICY_LABELS)
		return jv_get(s->object, label);
	variable_name(label, name, sizeof name);
	return jv_get(s->object, name);
}

/* What one source says of one field; absent: it says nothing. */
static struct jv lookup(const struct policy_source *s, const struct policy_field *f)
{
	char label[64];
	struct jv v = {0};

	switch (s->kind) {
	case POLICY_LABELS:
	case POLICY_VARIABLES:
		v = by_label(s, f->label);
		if (!jv_here(v) && f->family) {
			(void)snprintf(label, sizeof label, "autoscale.%s", f->family);
			v = by_label(s, label);
		}
		return v;
	case POLICY_FIELDS: return jv_get(s->object, f->name);
	case POLICY_ROW:
		v = jv_get(s->object, f->name);
		return jv_is_null(v) && family_applies(s, f) ? jv_get(s->object, f->family) : v;
	case POLICY_ALERT:
		return strcmp(f->name, "min") == 0 || strcmp(f->name, "max") == 0 ? jv_get(s->object, f->name) : v;
	}
	return v;
}

/* The value of one source for one field as JSON in value. False: nothing usable (with a warning when it is bad). */
static bool usable(struct building *b, const struct policy_source *s, const struct policy_field *f, struct buf *value)
{
	char text[POLICY_TEXT];
	const struct jv v = lookup(s, f);

	if (jv_is_null(v))
		return false;
	buf_reset(value);
	if (!policy_text(v, text, sizeof text)) {
		warn_why(b, s->from, f, "a value of another type or too long", NULL);
		return false;
	}
	if (f->parse(text, value))
		return true;
	warn(b, s->from, f, text);
	return false;
}

static void note_shadowed(struct building *b, const struct policy_field *f, bool first, const char *from,
                          const struct buf *value)
{
	if (first) {
		buf_json_key(&b->shadowed, f->name);
		buf_putc(&b->shadowed, '[');
	}
	buf_json_comma(&b->shadowed);
	buf_putc(&b->shadowed, '{');
	buf_json_member_str(&b->shadowed, "from", from);
	buf_json_key(&b->shadowed, "value");
	buf_put(&b->shadowed, value->p, value->n);
	buf_putc(&b->shadowed, '}');
}

static void warn_ceiling(struct building *b, const struct policy_field *f, const char *from, const char *text)
{
	char why[64];

	(void)snprintf(why, sizeof why, "the operator's max_replicas is %lld", (long long)b->limits->max_replicas);
	warn_why(b, from, f, text, why);
}

/* The operator's ceiling is the last word on min and max, whoever asked for more. */
static int64_t under_ceiling(struct building *b, const struct policy_field *f, const char *from, int64_t bound)
{
	char text[32];

	if (bound <= b->limits->max_replicas)
		return bound;
	(void)snprintf(text, sizeof text, "%lld", (long long)bound);
	warn_ceiling(b, f, from, text);
	return b->limits->max_replicas;
}

/* A schedule is a way to ask for min and max: each number in it that is above the operator's ceiling becomes the
 * ceiling. The text has parsed. */
static void put_schedule(struct building *b, const struct policy_field *f, const char *from, const struct buf *value)
{
	struct buf lower = BUF_INIT(VALUE_BYTES);
	char text[POLICY_TEXT];
	bool above = false;

	if (!jv_str((struct jv){value->p, value->n}, text, sizeof text))
		text[0] = '\0';
	for (const char *p = text; *p;) {
		const char *number = strchr(p, '=') ? strchr(p, '=') + 1 : p + strlen(p);
		char *end = (char *)number + strlen(number);
		const long long n = *number ? strtoll(number, &end, 10) : 0;
		buf_put(&lower, p, (size_t)(number - p));
		if (*number)
			buf_printf(&lower, "%lld", n > b->limits->max_replicas ? (long long)b->limits->max_replicas : n);
		above = above || n > b->limits->max_replicas;
		p = end;
	}
	if (above)
		warn_ceiling(b, f, from, text);
	buf_json_str(b->out, lower.p ? lower.p : "");
	b->out->failed = b->out->failed || lower.failed;
	buf_release(&lower);
}

static void put_field(struct building *b, const struct policy_field *f, const char *from, const struct buf *value)
{
	const bool is_min = strcmp(f->name, "min") == 0, is_max = strcmp(f->name, "max") == 0;
	int64_t bound = is_min || is_max ? jv_int_or((struct jv){value->p, value->n}, 0) : 0;

	buf_json_member_str(&b->from, f->name, from);
	buf_json_key(b->out, f->name);
	if (strcmp(f->name, "schedule") == 0) {
		put_schedule(b, f, from, value);
		return;
	}
	if (!is_min && !is_max) {
		buf_put(b->out, value->p, value->n);
		return;
	}
	bound = under_ceiling(b, f, from, bound);
	buf_json_int(b->out, bound);
	*(is_min ? &b->min : &b->max) = bound;
	(void)snprintf(is_min ? b->min_from : b->max_from, sizeof b->min_from, "%s", from);
}

static bool tenant(const struct policy_source *s) { return s->kind == POLICY_LABELS || s->kind == POLICY_VARIABLES; }

/* The largest number of a field: max itself, or what the entries of a schedule ask for. */
static int64_t largest(const struct policy_field *f, const struct buf *value)
{
	const struct jv v = {value->p, value->n};
	char text[POLICY_TEXT];
	int64_t most = 0;

	if (strcmp(f->name, "max") == 0)
		return jv_int_or(v, 0);
	for (const char *p = jv_str(v, text, sizeof text) ? strchr(text, '=') : NULL; p; p = strchr(p + 1, '=')) {
		const int64_t n = strtoll(p + 1, NULL, 10);
		most = n > most ? n : most;
	}
	return most;
}

/* With `labels = narrow` a tenant's max above an operator's row gives way to it, and so does a tenant's schedule that
 * asks for more than the row's max. Beside a schedule of a row it gives way whatever it says: outside of its own times
 * it would take away what the operator's allows at that time. */
static bool too_wide(const struct policy_source *sources, size_t n, size_t at, const struct policy_field *f,
                     const struct buf *value, struct building *b)
{
	const struct policy_field *max = policy_field("max");
	const bool schedule = strcmp(f->name, "schedule") == 0;
	struct buf other = BUF_INIT(VALUE_BYTES);
	bool wide = false;

	if (!tenant(&sources[at]) || (f != max && !schedule))
		return false;
	for (size_t i = at + 1; i < n && !wide; i++) {
		if (sources[i].kind != POLICY_ROW)
			continue;
		wide = schedule && usable(b, &sources[i], f, &other);
		if (!wide && usable(b, &sources[i], max, &other))
			wide = largest(f, value) > jv_int_or((struct jv){other.p, other.n}, 0);
	}
	buf_release(&other);
	return wide;
}

static void resolve_field(struct building *b, const struct policy_source *sources, size_t n,
                          const struct policy_limits *limits, const struct policy_field *f)
{
	struct buf value = BUF_INIT(VALUE_BYTES);
	bool found = false, shadowed = false;

	for (size_t i = 0; i < n; i++) {
		if (!usable(b, &sources[i], f, &value))
			continue;
		if (!found && limits->narrow && too_wide(sources, n, i, f, &value, b)) {
			warn_why(b, sources[i].from, f, "a label above what the operator's rows allow", NULL);
			continue;
		}
		if (!found)
			put_field(b, f, sources[i].from, &value);
		else
			note_shadowed(b, f, !shadowed, sources[i].from, &value);
		shadowed = found;
		found = true;
	}
	if (shadowed)
		buf_putc(&b->shadowed, ']');
	if (!found && f->fallback) {
		buf_reset(&value);
		(void)f->parse(f->fallback, &value);
		put_field(b, f, "default", &value);
	}
	buf_release(&value);
}

static void say_along(struct building *b, struct jv warnings)
{
	struct jv_cursor c = jv_each(warnings);
	struct jv_member m;

	while (jv_next(&c, &m)) {
		buf_json_comma(&b->warnings);
		buf_put(&b->warnings, m.value.p, m.value.n);
	}
}

bool policy_says(const struct policy_source *sources, size_t n, const char *field)
{
	struct building b = {.warnings = BUF_INIT(NOTES_BYTES)}; /* they are said when it is resolved */
	struct buf value = BUF_INIT(VALUE_BYTES);
	bool says = false;

	for (size_t i = 0; i < n && !says; i++)
		says = usable(&b, &sources[i], policy_field(field), &value);
	buf_release(&b.warnings);
	buf_release(&value);
	return says;
}

int policy_resolve(const struct policy_source *sources, size_t n, const struct policy_limits *limits, struct buf *out,
                   struct err *err)
{
	struct building b = {.limits = limits,
	                     .out = out,
	                     .from = BUF_INIT(65536),
	                     .shadowed = BUF_INIT(NOTES_BYTES),
	                     .warnings = BUF_INIT(NOTES_BYTES),
	                     .min = -1,
	                     .max = -1};
	int bad;

	buf_putc(out, '{');
	buf_putc(&b.from, '{');
	buf_putc(&b.shadowed, '{');
	buf_putc(&b.warnings, '[');
	for (size_t i = 0; i < policy_fields_count; i++)
		resolve_field(&b, sources, n, limits, &policy_fields[i]);
	for (size_t i = 0; i < n; i++)
		say_along(&b, sources[i].warnings);
	if (limits->per_host)
		buf_json_member_int(out, "per_host", limits->per_host);
	buf_json_key(out, "from");
	buf_put(out, b.from.p, b.from.n);
	buf_puts(out, "},\"shadowed\":");
	buf_put(out, b.shadowed.p, b.shadowed.n);
	buf_puts(out, "},\"warnings\":");
	buf_put(out, b.warnings.p, b.warnings.n);
	buf_puts(out, "]}");
	out->failed = out->failed || b.from.failed || b.shadowed.failed || b.warnings.failed;
	bad = buf_ok(out, err);
	if (!bad && b.max >= 0 && b.min > b.max)
		bad = err_set(err, ERR_REFUSED, "min %lld (%s) is larger than max %lld (%s): correct one of them",
		              (long long)b.min, b.min_from, (long long)b.max, b.max_from);
	buf_release(&b.from);
	buf_release(&b.shadowed);
	buf_release(&b.warnings);
	return bad;
}
