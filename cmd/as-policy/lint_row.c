/* What is wrong with one row by itself. */
#include "cmd/as-policy/lint.h"

#include "base/clock.h"
#include "policy/policy.h"
#include "policy/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define ENTRIES_MAX (POLICY_TEXT / 16) /* no entry of a schedule is shorter */

bool lint_holds(const struct lint_row *row) { return row->fields && row->head.enabled && !row->replaced; }

struct jv lint_field(const struct lint_row *row, const char *name)
{
	const struct jv none = {0};

	return row->fields ? jv_get((struct jv){row->fields, strlen(row->fields)}, name) : none;
}

bool lint_text(const struct lint_row *row, const char *name, char text[POLICY_TEXT])
{
	const struct jv v = lint_field(row, name);

	return jv_here(v) && policy_text(v, text, POLICY_TEXT);
}

/* ---- would it load? ---- */

/* What is good of them is put into fields. */
static void check_members(struct lint *l, const struct lint_row *row, const json_t *object, bool top, json_t *fields)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		json_t *checked = NULL;
		struct err err;
		if ((top && row_member(name)) || json_is_null(value))
			continue;
		if (row_field(name, value, &checked, &err) < 0)
			lint_say(l, row, name, true, "%s", err.message);
		else if (json_object_set_new(fields, name, checked) < 0)
			l->failed = true;
	}
}

static bool loads(struct lint *l, struct lint_row *row)
{
	const size_t errors = l->errors;
	json_t *fields = json_object();
	const char *member;
	struct err err;

	if (row_head(row->json, &row->head, &member, &err) < 0)
		lint_say(l, row, member, true, "%s", err.message);
	check_members(l, row, json_object_get(row->json, "fields"), false, fields);
	check_members(l, row, row->json, true, fields);
	if (row_limits(fields, &err) < 0)
		lint_say(l, row, "max", true, "%s", err.message);
	if (l->errors == errors) {
		row->fields = json_dumps(fields, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
		l->failed = l->failed || !row->fields;
	}
	json_decref(fields);
	return row->fields != NULL;
}

/* Members of the row itself that another type makes mean nothing. */
static void check_types(struct lint *l, const struct lint_row *row)
{
	const json_t *service = json_object_get(row->json, "service"), *type = json_object_get(row->json, "type");
	const json_t *priority = json_object_get(row->json, "priority"), *enabled = json_object_get(row->json, "enabled");
	const json_t *fields = json_object_get(row->json, "fields");

	if (service && !json_is_string(service))
		lint_say(l, row, "service", false, "service is not a string: it counts as \"%s\"", row->head.service);
	if (type && !json_is_string(type) && !json_is_null(type))
		lint_say(l, row, "type", false, "type is not a string: it counts as none");
	if (priority && !json_is_integer(priority))
		lint_say(l, row, "priority", false, "priority is not a whole number: it counts as 0");
	if (enabled && !json_is_boolean(enabled))
		lint_say(l, row, "enabled", false, "enabled is neither true nor false: it counts as true");
	if (fields && !json_is_object(fields))
		lint_say(l, row, "fields", false, "fields is not an object: nothing of it counts");
	else if (strcmp(row->fields, "{}") == 0)
		lint_say(l, row, NULL, false, "it has no fields: it makes no difference");
}

/* ---- values that parse and make no sense ---- */

static void check_ceiling(struct lint *l, const struct lint_row *row)
{
	static const char *const names[] = {"min", "max"};

	for (int i = 0; i < 2; i++) {
		const int64_t n = jv_int_or(lint_field(row, names[i]), 0);
		if (n > l->p->f.conf.max_replicas)
			lint_say(l, row, names[i], false, "%s %lld is above the operator's max_replicas %ld, which holds", names[i],
			         (long long)n, l->p->f.conf.max_replicas);
	}
}

/* The largest of the targets, in millionths; 0: there are none. */
static int64_t largest_target(const struct lint_row *row)
{
	struct jv_cursor c = jv_each(lint_field(row, "target"));
	struct jv_member m;
	int64_t most = 0, micro;

	while (jv_next(&c, &m))
		if (jv_micro(m.value, &micro) && micro > most)
			most = micro;
	return most;
}

/* A band that can never be reached: values do not go below 0, so no value is further below a threshold than that is
 * high, and a threshold for scaling down is not above the target. Or one that makes no difference: what stands before
 * it moves by all that there is between min and max. */
static void check_bands(struct lint *l, const struct lint_row *row, const char *field)
{
	const bool down =
		strcmp(field, "step_down") == 0 || (strcmp(field, "step") == 0 && strcmp(row->head.type, "scale-down") == 0);
	const int64_t target = down ? largest_target(row) : 0, min = jv_int_or(lint_field(row, "min"), -1),
				  max = jv_int_or(lint_field(row, "max"), -1);
	struct band whole = {.length = 0}, b;
	char text[POLICY_TEXT];

	if (!lint_text(row, field, text) || !strstr(text, ".."))
		return;
	for (const char *p = text; *p && band_next(&p, &b);) {
		if (target && b.from >= target)
			lint_say(l, row, field, false,
			         "%s: the band %.*s is never reached: no value is that far below the target %lld", field, b.length,
			         b.text, (long long)(target / 1000000));
		else if (whole.length)
			lint_say(l, row, field, false,
			         "%s: the band %.*s makes no difference: %.*s already moves from min %lld to max %lld", field,
			         b.length, b.text, whole.length, whole.text, (long long)min, (long long)max);
		if (!whole.length && min >= 0 && max > min && !b.percent && b.amount >= max - min)
			whole = b;
	}
}

static void check_entry(struct lint *l, const struct lint_row *row, size_t i, const struct schedule_entry *e)
{
	const int64_t min = jv_int_or(lint_field(row, "min"), -1), max = jv_int_or(lint_field(row, "max"), -1);
	const int64_t floor = e->min >= 0 ? e->min : min, top = e->max >= 0 ? e->max : max;

	if (e->max < 0 && max >= 0 && e->min > max)
		lint_say(l, row, "schedule", false, "schedule: entry %zu raises max %lld to its min %lld", i, (long long)max,
		         (long long)e->min);
	else if (e->min < 0 && min > e->max)
		lint_say(l, row, "schedule", false, "schedule: entry %zu lowers min %lld to its max %lld", i, (long long)min,
		         (long long)e->max);
	else if (e->initial >= 0 && ((top >= 0 && e->initial > top) || e->initial < floor))
		lint_say(l, row, "schedule", false, "schedule: initial %lld of entry %zu is outside its limits",
		         (long long)e->initial, i);
	if (e->min > l->p->f.conf.max_replicas || e->max > l->p->f.conf.max_replicas)
		lint_say(l, row, "schedule", false, "schedule: entry %zu is above the operator's max_replicas %ld, which holds",
		         i, l->p->f.conf.max_replicas);
}

static void check_schedule(struct lint *l, const struct lint_row *row)
{
	struct schedule_entry v[ENTRIES_MAX];
	char text[POLICY_TEXT], why[160];
	const int64_t now = clock_now_ms();
	size_t n = 0;

	if (!lint_text(row, "schedule", text))
		return;
	for (const char *p = text; *p && n < ENTRIES_MAX && schedule_next(&p, &v[n], why, sizeof why); n++) {
		check_entry(l, row, n + 1, &v[n]);
		for (size_t i = 0; i < n; i++)
			if (schedule_overlap(&v[i], &v[n], now))
				lint_say(l, row, "schedule", false, "schedule: entries %zu and %zu overlap: %zu comes first and wins",
				         i + 1, n + 1, i + 1);
	}
}

/* As as-sample takes them: a name, or what a name begins with. */
static bool measured(const char *name)
{
	static const char *const names[] = {"lb.connections", "lb.queue",      "lb.request_rate",  "lb.error_rate",
	                                    "docker.cpu",     "docker.memory", "lb.response_time", NULL};
	static const char *const prefixes[] = {"prometheus:", "exec:", "file:", NULL};

	if (strncmp(name, "replica:", 8) == 0)
		name += 8;
	for (const char *const *n = names; *n; n++)
		if (strcmp(name, *n) == 0)
			return true;
	for (const char *const *n = prefixes; *n; n++)
		if (strncmp(name, *n, strlen(*n)) == 0 && name[strlen(*n)])
			return true;
	return false;
}

static void check_metrics(struct lint *l, const struct lint_row *row)
{
	struct jv_cursor c = jv_each(lint_field(row, "target"));
	struct jv_member m;
	char name[POLICY_TEXT];

	while (jv_next(&c, &m))
		if (jv_str((struct jv){m.name.p - 1, m.name.n + 2}, name, sizeof name) && !measured(name))
			lint_say(l, row, "target", false, "target: nothing measures \"%.200s\": as-sample(1) has the names", name);
}

/* What a row of this type is for has no use for these. */
static void check_type(struct lint *l, const struct lint_row *row)
{
	static const struct {
		const char *type, *fields[7];
	} unused[] = {
		{"scale-up", {"cooldown_down", "window", "window_up", "window_down"}},
		{"scale-down", {"cooldown_up", "window", "window_up", "window_down"}},
		{"service-availability", {"cooldown", "cooldown_up", "cooldown_down", "window", "window_up", "window_down"}},
		{"load-balancer", {"cooldown", "cooldown_up", "cooldown_down", "window", "window_up", "window_down"}},
	};

	for (size_t i = 0; i < sizeof unused / sizeof *unused; i++)
		for (size_t k = 0; strcmp(unused[i].type, row->head.type) == 0 && unused[i].fields[k]; k++)
			if (jv_here(lint_field(row, unused[i].fields[k])))
				lint_say(l, row, unused[i].fields[k], false, "%s: a policy of type %s never uses it",
				         unused[i].fields[k], row->head.type);
}

void lint_row(struct lint *l, struct lint_row *row)
{
	static const char *const steps[] = {"step", "step_up", "step_down"};

	if (!loads(l, row))
		return;
	check_types(l, row);
	check_ceiling(l, row);
	for (size_t i = 0; i < 3; i++)
		check_bands(l, row, steps[i]);
	check_schedule(l, row);
	check_metrics(l, row);
	check_type(l, row);
}
