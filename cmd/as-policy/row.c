/* A policy row between JSON and the store: every value is parsed by its own field before it is kept. */
#include "cmd/as-policy/policies.h"

#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static const char *const types[] = {"", "scale-up", "scale-down", "service-availability", "load-balancer", "track"};

json_t *row_json(const struct policy_row *p)
{
	json_error_t why;
	json_t *fields = json_loads(p->fields, 0, &why);
	json_t *row =
		json_pack("{s:s,s:s,s:s,s:I,s:b,s:I}", "name", p->name, "service", p->service, "type", p->type, "priority",
	              (json_int_t)p->priority, "enabled", p->enabled, "version", (json_int_t)p->version);

	if (row && fields)
		(void)json_object_update(row, fields);
	json_decref(fields);
	return row;
}

/* A field checked by its own parser, in the form that is stored. -1: err names it. New in *out. */
int row_field(const char *name, const json_t *value, json_t **out, struct err *err)
{
	static const char *const families[] = {"cooldown", "window", "rate"};
	const struct policy_field *f = policy_field(name);
	struct buf json = BUF_INIT(4096);
	char text[POLICY_TEXT] = "", longer[64], why[200] = "";
	json_error_t unused;

	for (size_t i = 0; !f && i < sizeof families / sizeof *families; i++)
		if (strcmp(name, families[i]) == 0) {
			(void)snprintf(longer, sizeof longer, "%s_up", name);
			f = policy_field(longer);
		}
	if (!f)
		return err_set(err, ERR_INPUT, "unknown field \"%s\": as-policy(1) lists them", name);
	char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
	const struct jv v = {dump, dump ? strlen(dump) : 0};
	const bool good = dump && policy_text(v, text, sizeof text) && f->parse(text, &json);
	if (good)
		*out = json_loads(json.p, JSON_DECODE_ANY, &unused);
	else
		(void)err_set(err, ERR_INPUT, "%s wants %s, not %.200s%s%s", name, f->wants, dump ? dump : "that",
		              explain(name, text, why, sizeof why) ? ": " : "", why);
	free(dump);
	buf_release(&json);
	return good && *out ? 0 : good ? err_set(err, ERR_TEMPORARY, "out of memory") : -1;
}

bool row_member(const char *name)
{
	static const char *const names[] = {"name",    "service", "type",   "priority",
	                                    "enabled", "version", "fields", "updated_at"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

int row_limits(const json_t *fields, struct err *err)
{
	const int64_t min = json_integer_value(json_object_get(fields, "min"));
	const json_t *max = json_object_get(fields, "max");

	if (max && json_integer_value(max) < min)
		return err_set(err, ERR_INPUT, "min %lld is larger than max %lld", (long long)min,
		               (long long)json_integer_value(max));
	return 0;
}

int row_fields(const json_t *row, json_t **out, struct err *err)
{
	const json_t *sources[] = {json_object_get(row, "fields"), row};
	const char *name;
	json_t *value;

	*out = json_object();
	for (int i = 0; i < 2; i++)
		json_object_foreach((json_t *)sources[i], name, value) {
			json_t *checked = NULL;
			if ((i == 1 && row_member(name)) || json_is_null(value))
				continue;
			if (row_field(name, value, &checked, err) < 0)
				return -1;
			(void)json_object_set_new(*out, name, checked);
		}
	return row_limits(*out, err);
}

static const char *text_or(const json_t *row, const char *name, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : otherwise;
}

int row_head(const json_t *row, struct policy_row *r, const char **member, struct err *err)
{
	bool known = false;

	*r = (struct policy_row){
		.name = text_or(row, "name", ""),
		.service = text_or(row, "service", text_or(row, "name", "")),
		.type = text_or(row, "type", ""),
		.priority = json_integer_value(json_object_get(row, "priority")),
		.enabled = !json_is_false(json_object_get(row, "enabled")),
	};
	*member = NULL;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		known = known || strcmp(r->type, types[i]) == 0;
	if (!json_is_object(row))
		return err_set(err, ERR_INPUT, "a policy is a JSON object");
	*member = "name";
	if (!*r->name || strlen(r->name) > 63)
		return err_set(err, ERR_INPUT, "a policy needs a `name` of 1 to 63 bytes");
	*member = "service";
	if (!*r->service || strlen(r->service) > 127)
		return err_set(err, ERR_INPUT, "it needs a `service`, a name or a glob of at most 127 bytes");
	*member = "type";
	return known ? 0
	             : err_set(err, ERR_INPUT,
	                       "type is scale-up, scale-down, service-availability, load-balancer or track, not \"%s\"",
	                       r->type);
}

/* The version that the row was read at, when it says one. A copy of a list can be loaded back into its own store as
 * long as nobody changed what it changes, removals included, and into a store that never had a policy of the name. */
static int read_at(struct policies *p, const json_t *row, const char *name, int64_t *expected, struct err *err)
{
	const json_t *version = json_object_get(row, "version");
	int64_t stored, newest;

	if (!json_is_integer(version))
		return 0;
	if (store_policy_version(p->store, name, &stored, &newest, err) < 0)
		return -1;
	*expected = newest ? json_integer_value(version) : 0;
	return 0;
}

int put_row(struct policies *p, const json_t *row, bool store, struct err *err)
{
	struct policy_row r;
	const char *member;
	json_t *fields = NULL;
	char *text = NULL;
	int64_t version, expected = p->expected;
	int bad = row_head(row, &r, &member, err);

	if (!bad)
		bad = row_fields(row, &fields, err);
	if (bad && *r.name)
		(void)err_prefix(err, "policy %s", r.name);
	if (!bad && store && expected < 0)
		bad = read_at(p, row, r.name, &expected, err);
	r.actor = p->actor;
	if (!bad && store) {
		text = json_dumps(fields, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
		r.fields = text;
		bad = text ? store_policy_put(p->store, &r, expected, &version, err)
		           : err_set(err, ERR_TEMPORARY, "out of memory");
		if (!bad && !p->f.dry_run)
			front_say(&p->f, "policy %s is at version %lld", r.name, (long long)version);
	}
	free(text);
	json_decref(fields);
	return bad;
}
