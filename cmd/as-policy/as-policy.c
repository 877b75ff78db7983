/* as-policy: the policies in the store. `load` reads rows from standard input, all or none; `set` changes fields of
 * one; `get`, `list` and `rm` do what they say, `history` shows every version, `check` looks for mistakes. Every value
 * is parsed before it is stored. See as-policy(1). */
#include "cmd/as-policy/policies.h"

#include "base/clock.h"
#include "policy/policy.h"

#include <errno.h>
#include <pwd.h>
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
static const struct command command = {
	"as-policy", "load, set, get, list, check or remove policies",
	"load | check [FILE ...] | list [SERVICE] | get POLICY[@VERSION] | set POLICY FIELD=VALUE ... |"
	" rm POLICY | history POLICY",
	options};

static int print_json(struct policies *p, const json_t *v, struct err *err)
{
	char *text = v ? json_dumps(v, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
	const int bad =
		text ? record_loop_put(&p->f.loop, text, strlen(text), err) : err_set(err, ERR_TEMPORARY, "out of memory");

	free(text);
	return bad;
}

/* The next byte of standard input that is no white space of JSON; EOF at the end. */
static int next_byte(void)
{
	int c;

	do
		c = getc(stdin);
	while (c == ' ' || c == '\t' || c == '\r' || c == '\n');
	return c;
}

/* Standard input, one array or one object after the other, as one array. New in *out, also when it fails. */
static int read_input(json_t **out, struct err *err)
{
	const size_t flags = JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES;
	json_error_t why;
	int c;

	*out = json_array();
	while ((c = next_byte()) != EOF) {
		(void)ungetc(c, stdin);
		json_t *v = json_loadf(stdin, flags, &why);
		if (!v)
			return err_set(err, ERR_INPUT, "policy %zu, line %d: %s", json_array_size(*out) + 1, why.line, why.text);
		const int bad = json_is_array(v) ? json_array_extend(*out, v) : json_array_append(*out, v);
		json_decref(v);
		if (bad)
			return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	return ferror(stdin) ? err_set(err, ERR_UNAVAILABLE, "cannot read standard input: %s", strerror(errno)) : 0;
}

static int each_row(struct policies *p, const json_t *rows, bool store, struct err *err)
{
	for (size_t i = 0; i < json_array_size(rows); i++)
		if (put_row(p, json_array_get(rows, i), store, err) < 0)
			return -1;
	return 0;
}

/* The end of a transaction that was begun here: with -n nothing of it stays. */
static int settle(struct policies *p, int bad, struct err *err)
{
	if (!bad && !p->f.dry_run)
		return store_commit(p->store, err);
	store_rollback(p->store);
	return bad;
}

/* All of it is read and checked before the store is locked, then it is stored in one transaction. */
static int load_rows(struct policies *p, struct err *err)
{
	json_t *rows;
	int bad = read_input(&rows, err);

	if (!bad)
		bad = each_row(p, rows, false, err);
	if (!bad && !(bad = store_begin(p->store, err)))
		bad = settle(p, each_row(p, rows, true, err), err);
	if (!bad)
		front_say(&p->f, "%zu policies %s", json_array_size(rows), p->f.dry_run ? "are good" : "stored");
	json_decref(rows);
	return bad;
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

/* A policy may have an @ in its name: what is there under the whole name is meant first. */
static int get_row(struct policies *p, const char *name, struct err *err)
{
	const char *at = strrchr(name, '@');
	char *end, base[128];

	if (fetch_row(p, name, err) < 0)
		return -1;
	if (p->row)
		return print_json(p, p->row, err);
	if (at && at[1] >= '1' && at[1] <= '9' && (p->version = strtoll(at + 1, &end, 10)) > 0 && !*end) {
		(void)snprintf(base, sizeof base, "%.*s", (int)(at - name), name);
		return print_versions(p, base, err);
	}
	return err_set(err, ERR_NOT_FOUND, "no policy is named %s: as-policy list shows them", name);
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
	if (!p->row) { /* whoever makes one of this name meanwhile is not overwritten */
		p->row = json_pack("{s:s}", "name", args[0]);
		p->expected = p->expected < 0 ? 0 : p->expected;
	}
	for (char **a = args + 1; *a; a++)
		if (apply(p->row, *a, err) < 0)
			return -1;
	if (put_row(p, p->row, false, err) < 0 || store_begin(p->store, err) < 0)
		return -1;
	return settle(p, put_row(p, p->row, true, err), err);
}

static int remove_row(struct policies *p, const char *name, struct err *err)
{
	bool there = false;

	if (p->f.dry_run && get_row(p, name, err) < 0)
		return -1;
	if (store_begin(p->store, err) < 0 ||
	    settle(p, store_policy_remove(p->store, name, p->expected, p->actor, &there, err), err) < 0)
		return -1;
	return there ? 0 : err_set(err, ERR_NOT_FOUND, "no policy is named %s", name);
}

static int run(struct policies *p, struct err *err)
{
	const char *verb = p->f.operands[0];
	char **args = p->f.operands + 1;
	const int n = p->f.noperands - 1;

	if (p->expected >= 0 && strcmp(verb, "set") != 0 && strcmp(verb, "rm") != 0)
		return err_set(err, ERR_USAGE, "--expect goes with set and rm; a row that is loaded says its own `version`");
	if (strcmp(verb, "check") == 0)
		return check_files(p, args, err);
	p->store = store_open(p->f.conf.store, err);
	if (!p->store)
		return -1;
	if (strcmp(verb, "load") == 0 && n == 0)
		return load_rows(p, err);
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

/* Who changes policies is a person more often than not. SUDO_USER and LOGNAME are what sudo, a login and cron set: a
 * claim, no proof. Without them it is the name of the user that runs this. */
static void name_actor(void)
{
	const char *names[] = {getenv("SUDO_USER"), getenv("LOGNAME")};
	const struct passwd *user = getpwuid(getuid());
	const char *login = user ? user->pw_name : "";
	char host[64] = "";

	(void)gethostname(host, sizeof host - 1);
	for (size_t i = 2; i-- > 0;)
		if (names[i] && *names[i])
			login = names[i];
	(void)snprintf(policies.actor, sizeof policies.actor, "as-policy@%s%s%.40s", host, *login ? ":" : "", login);
}

/* ---- words for completion ---- */

static int offer_policy(void *ctx, const struct policy_row *row, struct err *err)
{
	(void)ctx;
	(void)err;
	front_word(row->name, row->service);
	return 0;
}

/* "lb=" and, when that was typed, the load balancers that there are. */
static void offer_fields(struct front *f)
{
	static const char *const others[] = {"service=", "type=", "priority=", "enabled=", "cooldown=", "window=", "rate="};
	char word[80];

	for (size_t i = 0; i < policy_fields_count; i++) {
		(void)snprintf(word, sizeof word, "%s=", policy_fields[i].name);
		for (char *p = word; strchr(front_typed(), '-') && *p; p++) /* as apply() takes it */
			*p = (char)(*p == '_' ? '-' : *p);
		front_word(word, policy_fields[i].wants);
	}
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		front_word(others[i], "");
	for (size_t i = 0; strncmp(front_typed(), "lb=", 3) == 0 && i < f->conf.nlbs; i++) {
		(void)snprintf(word, sizeof word, "lb=%.64s", f->conf.lbs[i].name);
		front_word(word, f->conf.lbs[i].driver);
	}
}

static bool words(struct front *f, const char *kind)
{
	bool there = false;
	struct err err = {0};

	if (strcmp(kind, "policies") != 0 && strcmp(kind, "fields") != 0)
		return false;
	if (front_conf(f) >= 0)
		return true;
	if (strcmp(kind, "fields") == 0)
		offer_fields(f);
	else if ((policies.store = store_open_existing(f->conf.store, &there, &err)))
		(void)store_policy_each(policies.store, NULL, offer_policy, NULL, &err);
	store_close(policies.store);
	conf_release(&f->conf);
	return true;
}

int main(int argc, char **argv)
{
	struct err err = {0};
	policies.f.words = words;
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
