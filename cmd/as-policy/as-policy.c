/* as-policy: the policies in the store. `load` reads rows from standard input, all or none; `set` changes fields of
 * one; `get`, `list` and `rm` do what they say, `history` shows every version, `check` only tries. Every value is
 * parsed before it is stored. See as-policy(1). */
#include "cmd/as-policy/policies.h"

#include "base/clock.h"
#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

static struct policies policies = {.expected = -1};

static const struct option_row options[] = {
	{0, "expect", OPTION_COUNT, "VERSION", &policies.expected,
     "with set and rm: refuse unless the row has this version (0: is new)"},
	{0},
};
static const struct command command = {"as-policy", "load, set, get, list, check or remove policies",
                                       "load | check | list [SERVICE] | get NAME[@VERSION] | set NAME FIELD=VALUE ... |"
                                       " rm NAME | history NAME",
                                       options};

static int print_json(struct policies *p, const json_t *v, struct err *err)
{
	char *text = v ? json_dumps(v, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
	const int bad =
		text ? record_loop_put(&p->f.loop, text, strlen(text), err) : err_set(err, ERR_TEMPORARY, "out of memory");

	free(text);
	return bad;
}

/* Standard input: one array, or one object after the other. */
static int read_rows(struct policies *p, bool store, struct err *err)
{
	const size_t flags = JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES;
	int bad = 0, n = 0;
	char c;

	if (store && store_begin(p->store, err) < 0)
		return -1;
	for (;;) {
		json_error_t why;
		do
			c = (char)getc(stdin);
		while (strchr(" \t\r\n", c) && !feof(stdin));
		if (feof(stdin))
			break;
		(void)ungetc(c, stdin);
		json_t *v = json_loadf(stdin, flags, &why);
		if (!v)
			return err_set(err, ERR_INPUT, "policy %d, line %d: %s", n + 1, why.line, why.text);
		const size_t rows = json_is_array(v) ? json_array_size(v) : 1;
		for (size_t i = 0; !bad && i < rows; i++, n++)
			bad = put_row(p, json_is_array(v) ? json_array_get(v, i) : v, store, err);
		json_decref(v);
		if (bad)
			return -1;
	}
	if (store && store_commit(p->store, err) < 0)
		return -1;
	front_say(&p->f, "%d policies %s", n, store ? "stored" : "are good");
	return 0;
}

static int list_row(void *ctx, const struct policy_row *row, struct err *err)
{
	struct policies *p = ctx;

	if (p->name && !policy_matches(row->service, p->name))
		return 0;
	json_t *v = row_json(row);
	const int bad = print_json(p, v, err);
	json_decref(v);
	return bad;
}

static int keep_row(void *ctx, const struct policy_row *row, struct err *err)
{
	struct policies *p = ctx;

	(void)err;
	if (strcmp(row->name, p->name) == 0)
		p->row = row_json(row);
	return 0;
}

static int fetch_row(struct policies *p, const char *name, struct err *err)
{
	p->name = name;
	return store_policy_each(p->store, NULL, keep_row, p, err);
}

/* {"name",...,"at","actor"}; "removed":true when this version took it away. */
static int print_version(void *ctx, const struct policy_row *row, struct err *err)
{
	struct policies *p = ctx;
	char at[CLOCK_TEXT];

	if (p->version && row->version != p->version)
		return 0;
	clock_format(row->updated_at, at);
	json_t *v = row_json(row);
	if (v) {
		(void)json_object_set_new(v, "at", json_string(at));
		(void)json_object_set_new(v, "actor", json_string(row->actor));
		if (row->removed)
			(void)json_object_set_new(v, "removed", json_true());
	}
	const int bad = print_json(p, v, err);
	json_decref(v);
	p->found = true;
	return bad;
}

/* All versions of NAME, or the one of NAME@VERSION. */
static int print_versions(struct policies *p, const char *name, struct err *err)
{
	if (store_policy_history(p->store, name, print_version, p, err) < 0)
		return -1;
	if (p->found)
		return 0;
	if (p->version)
		return err_set(err, ERR_NOT_FOUND, "policy %s has no version %lld: as-policy history %s shows them", name,
		               (long long)p->version, name);
	return err_set(err, ERR_NOT_FOUND, "no policy is or was named %s", name);
}

static int get_row(struct policies *p, const char *name, struct err *err)
{
	const char *at = strrchr(name, '@');
	char *end;

	if (at && (p->version = strtoll(at + 1, &end, 10)) > 0 && !*end) {
		char base[128];
		(void)snprintf(base, sizeof base, "%.*s", (int)(at - name), name);
		return print_versions(p, base, err);
	}
	p->version = 0;
	if (fetch_row(p, name, err) < 0)
		return -1;
	if (!p->row)
		return err_set(err, ERR_NOT_FOUND, "no policy is named %s: as-policy list shows them", name);
	return print_json(p, p->row, err);
}

/* FIELD=VALUE; a dash in the field's name is an underscore; an empty value takes the field away. */
static int apply(json_t *row, const char *arg, struct err *err)
{
	char name[64], *end;
	const char *eq = strchr(arg, '=');

	if (!eq || eq == arg || (size_t)(eq - arg) >= sizeof name)
		return err_set(err, ERR_USAGE, "set wants FIELD=VALUE, not \"%s\"", arg);
	for (size_t i = 0; arg + i < eq; i++)
		name[i] = (char)(arg[i] == '-' ? '_' : arg[i]);
	name[eq - arg] = '\0';
	const char *value = eq + 1;
	const long long number = strtoll(value, &end, 10);
	const bool yes = strcmp(value, "true") == 0 || strcmp(value, "yes") == 0;
	const bool no = strcmp(value, "false") == 0 || strcmp(value, "no") == 0;
	json_t *v = NULL;
	if (strcmp(name, "name") == 0)
		return err_set(err, ERR_USAGE, "a policy keeps its name: load one with the new name and rm the old one");
	if (strcmp(name, "priority") == 0 && *value) {
		if (*end)
			return err_set(err, ERR_INPUT, "priority wants a number, not \"%s\"", value);
		v = json_integer(number);
	} else if (strcmp(name, "enabled") == 0 && *value) {
		if (!yes && !no)
			return err_set(err, ERR_INPUT, "enabled wants true or false, not \"%s\"", value);
		v = json_boolean(yes);
	} else if (*value) {
		v = json_string(value);
	}
	if (v)
		return json_object_set_new(row, name, v) < 0 ? err_set(err, ERR_TEMPORARY, "out of memory") : 0;
	(void)json_object_del(row, name);
	return 0;
}

static int set_row(struct policies *p, char **args, struct err *err)
{
	if (fetch_row(p, args[0], err) < 0)
		return -1;
	if (!p->row)
		p->row = json_pack("{s:s}", "name", args[0]);
	for (char **a = args + 1; *a; a++)
		if (apply(p->row, *a, err) < 0)
			return -1;
	return put_row(p, p->row, true, err);
}

static int remove_row(struct policies *p, const char *name, struct err *err)
{
	bool there = false;

	if (p->f.dry_run)
		return get_row(p, name, err);
	if (store_policy_remove(p->store, name, p->expected, p->actor, &there, err) < 0)
		return -1;
	return there ? 0 : err_set(err, ERR_NOT_FOUND, "no policy is named %s", name);
}

static int run(struct policies *p, struct err *err)
{
	const char *verb = p->f.operands[0];
	char **args = p->f.operands + 1;
	const int n = p->f.noperands - 1;

	if (strcmp(verb, "check") == 0 && n == 0)
		return read_rows(p, false, err);
	p->store = store_open(p->f.conf.store, err);
	if (!p->store)
		return -1;
	if (strcmp(verb, "load") == 0 && n == 0)
		return read_rows(p, true, err);
	if (strcmp(verb, "list") == 0 && n <= 1) {
		p->name = args[0];
		return store_policy_each(p->store, NULL, list_row, p, err);
	}
	if (strcmp(verb, "get") == 0 && n == 1)
		return get_row(p, args[0], err);
	if (strcmp(verb, "set") == 0 && n >= 2)
		return set_row(p, args, err);
	if (strcmp(verb, "rm") == 0 && n == 1)
		return remove_row(p, args[0], err);
	if (strcmp(verb, "history") == 0 && n == 1)
		return print_versions(p, args[0], err);
	return err_set(err, ERR_USAGE, "usage: as-policy %s", command.operands);
}

/* Who changes policies is a person more often than not: LOGNAME is what sudo and cron set; it is a claim, no proof. */
static void name_actor(void)
{
	const char *login = getenv("SUDO_USER");
	char host[64] = "";

	(void)gethostname(host, sizeof host - 1);
	if (!login || !*login)
		login = getenv("LOGNAME");
	(void)snprintf(policies.actor, sizeof policies.actor, "as-policy@%s%s%.40s", host, login && *login ? ":" : "",
	               login ? login : "");
}

int main(int argc, char **argv)
{
	struct err err = {0};
	int done = front_start(&policies.f, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_conf(&policies.f)) >= 0)
		return done;

	name_actor();
	int bad = front_open(&policies.f, NULL, NULL, false, &err);
	if (!bad && !policies.f.noperands)
		bad = err_set(&err, ERR_USAGE, "usage: as-policy %s", command.operands);
	if (!bad)
		bad = run(&policies, &err);
	json_decref(policies.row);
	store_close(policies.store);
	conf_release(&policies.f.conf);
	return front_close(&policies.f, bad, &err);
}
