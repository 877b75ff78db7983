/* The store: policies, intents, outcomes, the audit chain, and what crashes leave behind. On real SQLite files, and
 * what is of every store on the server that AS_TEST_STORE names (scratch_store.h). */
#include "base/clock.h"
#include "base/limits.h"
#include "store/store.h"
#include "tap.h"

#include "scratch_store.h"

#include <sys/mount.h>

#include "base/banned.h"

static const char *store_of(const char *name) { return scratch_store("AS_TEST_STORE", name); }

/* The code with which opening fails; ERR_NONE when it does not. */
static enum err_code open_code(const char *url, struct err *err)
{
	*err = (struct err){0};
	struct store *s = store_open(url, err);

	store_close(s);
	return s ? ERR_NONE : err->code;
}

static bool says(const struct err *err, const char *words)
{
	if (strstr(err->message, words))
		return true;
	printf("# message: %s\n# words:   %s\n", err->message, words);
	return false;
}

/* --- the file --- */

static void test_file_is_private(void)
{
	struct stat st = {0};
	const mode_t was = umask(0);
	const char *path = scratch_path("a/b/store.db");
	char url[400];

	(void)snprintf(url, sizeof url, "sqlite:%s", path);
	struct store *s = scratch_open(url);
	(void)umask(was);
	OK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0600, "a new store's file is 0600 even with umask 0");
	OK(stat(scratch_path("a/b/store.db-wal"), &st) == 0 && (st.st_mode & 07777) == 0600, "its write-ahead log too");
	OK(stat(scratch_path("a"), &st) == 0 && (st.st_mode & 07777) == 0700, "missing folders are made 0700");
	store_close(s);
	s = scratch_open(path);
	store_close(s);
	OK(true, "a plain path names the same store");
	const mode_t strict = umask(0777);
	store_close(scratch_open(scratch_path("strict.db")));
	(void)umask(strict);
	OK(stat(scratch_path("strict.db"), &st) == 0 && (st.st_mode & 07777) == 0600, "and 0600 with umask 0777");
}

static int open_once(int number, const char *path)
{
	struct err err = {0};
	struct store *s = store_open(path, &err);
	(void)number;

	if (!s)
		fprintf(stderr, "# %s\n", err.message);
	store_close(s);
	return s == NULL;
}

static void test_openers_at_once(void)
{
	char path[300];
	int failures = 0;

	for (int i = 0; i < 15; i++) {
		(void)snprintf(path, sizeof path, "%s/race/%d/store.db", scratch, i);
		failures += scratch_run(SCRATCH_WORKERS, open_once, path) != 0;
		failures += scratch_sql(path, "SELECT COUNT(*) FROM schema_version") != 4;
	}
	IS(failures, 0, "8 processes open a new store at once, 15 times: all succeed, the schema is made once");
}

static void test_schema_versions(void)
{
	struct err err;
	const char *path = scratch_path("newer.db");

	store_close(scratch_open(path));
	(void)scratch_sql(path, "INSERT INTO schema_version VALUES (7, '007-later', 'x', 1)");
	const long long tables = scratch_sql(path, "SELECT COUNT(*) FROM sqlite_master");
	IS(open_code(path, &err), ERR_CONFIG, "a newer schema is refused as configuration");
	IS_STR(err.message, "the store's schema is version 7, this program knows 4: upgrade the program",
	       "the message says what to do");
	IS(scratch_sql(path, "SELECT COUNT(*) FROM schema_version"), 5, "and its versions are unchanged");
	IS(scratch_sql(path, "SELECT COUNT(*) FROM sqlite_master"), tables, "and its tables");

	path = scratch_path("other.db");
	store_close(scratch_open(path));
	(void)scratch_sql(path, "UPDATE schema_version SET checksum = 'x'");
	IS(open_code(path, &err), ERR_CONFIG, "a schema made from another file of the same number is refused");
}

static void fill_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		abort();
}

static void test_bad_urls(void)
{
	struct err err;
	struct stat st = {0};
	char text[2000];
	const char *path = scratch_path("garbage.db");

	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	fill_file(path, text);
	IS(open_code(path, &err), ERR_CONFIG, "a file that is no database is refused");
	OK(says(&err, path), "by its path");
	OK(stat(path, &st) == 0 && st.st_size == (off_t)sizeof text - 1, "and left as it is");

	path = scratch_path("cut.db");
	store_close(scratch_open(path));
	if (truncate(path, 10000) < 0)
		abort();
	IS(open_code(path, &err), ERR_CONFIG, "a database that was cut is refused");
	OK(stat(path, &st) == 0 && st.st_size == 10000, "and left as it is");

	fill_file(scratch_path("file"), "x");
	IS(open_code(scratch_path("file/store.db"), &err), ERR_CONFIG, "a file where a folder should be is refused");
	IS(open_code(scratch, &err), ERR_CONFIG, "a folder where the file should be is refused");
	IS(open_code("/proc/as-test/store.db", &err), ERR_CONFIG, "a folder that cannot be made is refused");
	OK(says(&err, "/proc/as-test"), "by its path");
	IS(open_code("sqlite:", &err), ERR_CONFIG, "a URL without a path is refused");
	IS(open_code("oracle://as:secret@db/as", &err), ERR_CONFIG, "an unknown kind of store is refused");
	OK(says(&err, "\"oracle\"") && !strstr(err.message, "secret"), "without showing its password");
}

/* In a child that is nobody: exit status bits tell what was not refused as DENIED. */
static int as_nobody(int number, const char *path)
{
	struct err err = {0};
	struct store *s;
	int status = 0;
	(void)number;
	(void)path;

	if (setgid(65534) < 0 || setuid(65534) < 0)
		return 8;
	if (open_code(scratch_path("locked/new.db"), &err) != ERR_DENIED)
		status |= 1;
	s = store_open(scratch_path("locked/root.db"), &err);
	if (s || err.code != ERR_DENIED)
		status |= 2;
	store_close(s);
	return status;
}

static void test_permissions(void)
{
	struct err err;

	if (geteuid() != 0) {
		OK(true, "permissions # SKIP needs root");
		return;
	}
	const char *link = scratch_path("link.db");
	store_close(scratch_open(scratch_path("target.db")));
	if (symlink(scratch_path("target.db"), link) < 0)
		abort();
	IS(open_code(link, &err), ERR_NONE, "a symbolic link of our own is followed");
	if (lchown(link, 65534, 65534) < 0)
		abort();
	IS(open_code(link, &err), ERR_DENIED, "one made by another user is not");

	store_close(scratch_open(scratch_path("locked/root.db")));
	if (chmod(scratch, 0755) < 0 || chmod(scratch_path("locked"), 0755) < 0)
		abort();
	IS(scratch_run(1, as_nobody, NULL), 0, "a store in another's folder, or another's store, is DENIED");
}

static struct policy_row policy(const char *name, const char *service, const char *fields, int64_t priority)
{
	return (struct policy_row){
		.name = name, .service = service, .type = "", .fields = fields, .priority = priority, .enabled = true};
}

static void test_disk_full(void)
{
	const char *folder = scratch_path("small"), *path = scratch_path("small/store.db");
	struct err err = {0};
	char fields[3000];
	int64_t version, rows;
	int rc = 0;

	if (mkdir(folder, 0700) < 0 || mount("tmpfs", folder, "tmpfs", 0, "size=768k") < 0) {
		OK(true, "a full disk # SKIP needs the right to mount");
		return;
	}
	memset(fields, 'x', sizeof fields);
	fields[sizeof fields - 1] = '\0';
	struct store *s = scratch_open(path);
	for (int i = 0; i < 2000 && rc == 0; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "p%d", i);
		const struct policy_row row = policy(name, "web", fields, 0);
		rc = store_policy_put(s, &row, -1, &version, &err);
	}
	OK(rc < 0 && err.code == ERR_UNAVAILABLE, "a full disk is UNAVAILABLE (%s)", err.message);
	OK(says(&err, path), "and names the file");
	store_close(s);
	IS(scratch_sql(path, "PRAGMA integrity_check; SELECT COUNT(*) > 10 FROM autoscale_policy"), 1,
	   "what was stored before is whole");
	s = store_open(path, &err);
	OK(s && store_audit_verify(s, &rows, &err) == 0, "and the store can still be read");
	store_close(s);
	(void)umount(folder);
}

/* --- the clock --- */

static void test_clock(void)
{
	struct err err = {0};
	const char *path = scratch_path("clock.db");
	char text[200];
	int64_t version;
	struct store *s = scratch_open(path);
	const int64_t ahead = clock_now_ms() + 3600000;

	(void)snprintf(text, sizeof text, "UPDATE host_clock SET seen_at = %lld, host_at = %lld", (long long)ahead,
	               (long long)clock_now_ms());
	(void)scratch_sql(path, text);
	const struct policy_row row = policy("p", "web", "{}", 0);
	OK(store_policy_put(s, &row, -1, &version, &err) == 0 && store_now(s) >= ahead,
	   "an open store never goes below a time that another process wrote");
	store_close(s);
	s = scratch_open(path);
	const int64_t now = store_now(s);
	OK(now >= ahead, "nor does a new one");
	for (int i = 0; i < 1000 && store_now(s) < now + 5; i++)
		clock_sleep_ms(1);
	OK(store_now(s) >= now + 5, "and time goes on while the host's clock is behind");
	OK(store_now(s) < ahead + 60000, "no faster than the host's");
	store_close(s);
}

/* number: where a byte is written once the lock is held. */
static int hold_lock(int number, const char *path)
{
	sqlite3 *db = NULL;

	if (sqlite3_open(path, &db) != SQLITE_OK || sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return 1;
	(void)!write(number, "", 1);
	(void)pause();
	return 0;
}

/* Started first and looked at last: it takes the 10 s that a store waits. Status 0: as it should be. */
static int wait_for_lock(int number, const char *path)
{
	const struct policy_row row = policy("p", "web", "{}", 0);
	struct err err = {0};
	int64_t version = 0;
	int held[2];
	char c;
	(void)number;

	struct store *s = scratch_open(path);
	if (pipe2(held, O_CLOEXEC) < 0)
		return 1;
	const pid_t holder = scratch_fork(hold_lock, held[1], path, -1);
	(void)!read(held[0], &c, 1);
	const int64_t start = clock_monotonic_ms();
	const int rc = store_policy_put(s, &row, -1, &version, &err);
	const int64_t took = clock_monotonic_ms() - start;
	const bool good = rc < 0 && err.code == ERR_TEMPORARY && err.retry && took >= 9000 && took < 14000;
	if (!good)
		printf("# rc %d, %lld ms: %s\n", rc, (long long)took, err.message);
	(void)kill(holder, SIGKILL);
	(void)waitpid(holder, NULL, 0);
	const bool after = store_policy_put(s, &row, -1, &version, &err) == 0;
	store_close(s);
	return !good + 2 * !after;
}

/* --- policies --- */

static int add_name(void *ctx, const struct policy_row *row, struct err *err)
{
	(void)err;
	buf_printf(ctx, "%s@%lld ", row->name, (long long)row->version);
	return 0;
}

static const char *policy_names(struct store *s, const char *service)
{
	static char text[1000];
	struct buf b = BUF_INIT(sizeof text - 1);
	struct err err = {0};

	if (store_policy_each(s, service, add_name, &b, &err) < 0)
		buf_puts(&b, err.message);
	(void)snprintf(text, sizeof text, "%s", b.p ? b.p : "");
	buf_release(&b);
	return text;
}

static int stop_here(void *ctx, const struct policy_row *row, struct err *err)
{
	(void)row;
	++*(int *)ctx;
	return err_set(err, ERR_REFUSED, "enough");
}

static void test_policies(void)
{
	struct store *s = scratch_open(store_of("policies"));
	struct err err = {0};
	int64_t version = 0;
	bool there = false;
	int calls = 0;
	struct policy_row row = policy("web", "web", "{\"min\":1}", 0);

	OK(store_policy_put(s, &row, 0, &version, &err) == 0 && version == 1, "a new policy is version 1");
	OK(store_policy_put(s, &row, -1, &version, &err) == 0 && version == 1, "the same content keeps the version");
	row.fields = "{\"min\":2}";
	OK(store_policy_put(s, &row, 1, &version, &err) == 0 && version == 2, "other fields: version 2");
	row.priority = 5;
	OK(store_policy_put(s, &row, -1, &version, &err) == 0 && version == 3, "another priority: version 3");
	row.fields = "{\"min\":9}";
	OK(store_policy_put(s, &row, 2, &version, &err) < 0 && err.code == ERR_CONFLICT,
	   "who saw version 2 cannot change version 3 (%s)", err.message);
	OK(store_policy_put(s, &row, 0, &version, &err) < 0 && err.code == ERR_CONFLICT,
	   "nor can who thinks it is not there");
	const struct policy_row none = policy("none", "x", "{}", 0);
	OK(store_policy_put(s, &none, 4, &version, &err) < 0 && err.code == ERR_CONFLICT,
	   "nor can one be changed that is gone");

	const struct policy_row more[] = {policy("all", "*", "{}", 1), policy("we", "we?", "{}", 5),
	                                  policy("db", "db", "{}", 9), policy("off", "web", "{}", 9)};
	for (size_t i = 0; i < 4; i++) {
		struct policy_row r = more[i];
		r.enabled = i != 3;
		if (store_policy_put(s, &r, 0, &version, &err) < 0)
			printf("# %s\n", err.message);
	}
	IS_STR(policy_names(s, NULL), "db@1 off@1 we@1 web@3 all@1 ", "all: by priority, then name, disabled ones too");
	IS_STR(policy_names(s, "web"), "we@1 web@3 all@1 ", "for a service: its name and the globs, enabled ones only");
	OK(store_policy_each(s, NULL, stop_here, &calls, &err) < 0 && err.code == ERR_REFUSED && calls == 1,
	   "a callback that fails stops the walk with its error");
	OK(store_policy_remove(s, "we", -1, "test", &there, &err) == 0 && there, "a policy is removed");
	OK(store_policy_remove(s, "we", -1, "test", &there, &err) == 0 && !there, "and is then not there");
	char longname[300];
	memset(longname, 'n', sizeof longname);
	longname[sizeof longname - 1] = '\0';
	row.name = longname;
	OK(store_policy_put(s, &row, -1, &version, &err) < 0 && err.code == ERR_INPUT, "a name too long is refused");
	row.name = "quote'; DROP TABLE audit; --";
	OK(store_policy_put(s, &row, 0, &version, &err) == 0, "a hostile name is only a name");
	store_close(s);
}

static int put_numbers(int number, const char *path)
{
	struct store *s = scratch_open(path);
	struct err err = {0};
	int failures = 0;

	for (int i = 0; i < 25; i++) {
		char fields[64];
		int64_t version;
		(void)snprintf(fields, sizeof fields, "{\"min\":%d}", number * 1000 + i);
		const struct policy_row row = policy("shared", "web", fields, 0);
		failures += store_policy_put(s, &row, -1, &version, &err) < 0;
	}
	store_close(s);
	return failures;
}

static void test_policy_writers(void)
{
	const char *path = store_of("writers");

	IS(scratch_run(4, put_numbers, path), 0, "4 processes write one policy 25 times each");
	IS(scratch_look(path, "SELECT version FROM autoscale_policy"), 100, "each change is one version");
}

/* --- specifications --- */

static int count_specs(void *ctx, const struct spec_row *row, struct err *err)
{
	(void)err;
	buf_printf(ctx, "%s/%s@%s=%s ", row->service, row->name, row->host, row->spec);
	return 0;
}

static void test_specs(void)
{
	const char *path = store_of("specs");
	struct store *s = scratch_open(path);
	struct err err = {0};
	struct buf b = BUF_INIT(1000);

	OK(store_spec_get(s, "web", NULL, &b, &err) < 0 && err.code == ERR_NOT_FOUND, "no specification: NOT_FOUND");
	OK(store_spec_put(s, "web", "web", "h1", "{\"a\":1}", &err) == 0, "a specification is remembered");
	(void)scratch_look(path, "UPDATE container_spec SET seen_at = seen_at - 60000");
	const long long seen = scratch_look(path, "SELECT seen_at FROM container_spec");
	OK(store_spec_put(s, "web", "web-1", "h2", "{\"a\":2}", &err) == 0, "and that of a copy on another host");
	OK(store_spec_get(s, "web", NULL, &b, &err) == 0, "the newest of the service is found");
	IS_STR(b.p, "{\"a\":2}", "it is the copy's");
	buf_reset(&b);
	OK(store_spec_get(s, "web", "web", &b, &err) == 0 && strcmp(b.p, "{\"a\":1}") == 0, "one is found by name");
	OK(store_spec_put(s, "web", "web", "h1", "{\"a\":1}", &err) == 0 &&
	       scratch_look(path, "SELECT seen_at FROM container_spec WHERE name = 'web'") >= seen + 60000,
	   "the same content again renews the time it was seen");
	OK(store_spec_put(s, "web", "web", "h1", "{\"a\":3}", &err) == 0, "other content replaces it at once");
	buf_reset(&b);
	OK(store_spec_each(s, "web", count_specs, &b, &err) == 0, "all are listed");
	IS_STR(b.p, "web/web@h1={\"a\":3} web/web-1@h2={\"a\":2} ", "one per name and host");
	buf_release(&b);
	store_close(s);
}

/* --- intents and outcomes --- */

static struct intent_ask ask(const char *op_id, const char *alert_id, int64_t generation)
{
	static char plan[16][128];
	static unsigned int next;
	char *p = plan[next++ % 16];

	(void)snprintf(p, sizeof *plan, "{\"op\":\"scale-up\",\"by\":\"%s\"}", op_id);
	return (struct intent_ask){.service = "web",
	                           .alert_id = alert_id,
	                           .action = "scale-up",
	                           .plan = p,
	                           .actor = "test",
	                           .generation = generation,
	                           .op_id = op_id};
}

static enum intent_state intend(struct store *s, const struct intent_ask *a, struct intent *out)
{
	struct err err = {0};

	intent_release(out);
	if (store_intent(s, a, out, &err) < 0) {
		printf("# %s\n", err.message);
		return (enum intent_state) - 1;
	}
	return out->state;
}

static struct outcome outcome(const char *op_id, const char *word)
{
	return (struct outcome){.op_id = op_id,
	                        .service = "web",
	                        .alert_id = "",
	                        .actor = "test",
	                        .action = "scale-up",
	                        .outcome = word,
	                        .from = 1,
	                        .to = 2,
	                        .reason = "cpu above 80",
	                        .body = "{\"v\":1}"};
}

static int64_t end(struct store *s, const struct outcome *o)
{
	struct err err = {0};
	int64_t id = -1, at = 0;

	if (store_outcome(s, o, &id, &at, &err) < 0) {
		printf("# %s\n", err.message);
		return -1;
	}
	return id;
}

static void test_intents(void)
{
	const char *path = store_of("intents");
	struct store *s = scratch_open(path);
	struct err err = {0};
	struct service_past past;
	struct intent i = {0};

	OK(store_past(s, "web", &past, &err) == 0 && past.generation == 0 && past.last_out == TIME_NONE && !past.pending,
	   "of a new service nothing is known");
	store_past_release(&past);
	struct intent_ask a = ask("op-1", "alert-1", 0);
	IS(intend(s, &a, &i), INTENT_NEW, "the first intent is new");
	OK(i.generation == 1 && strcmp(i.op_id, "op-1") == 0 && strcmp(i.alert_id, "alert-1") == 0, "with generation 1");
	OK(store_past(s, "web", &past, &err) == 0 && past.pending && past.generation == 1 && past.pending_attempts == 1 &&
	       past.pending_generation == 1 && strcmp(past.pending_op, "op-1") == 0 &&
	       strcmp(past.pending_alert, "alert-1") == 0 && strcmp(past.pending_action, "scale-up") == 0,
	   "it is pending");
	IS_STR(past.pending_plan.p, "{\"op\":\"scale-up\",\"by\":\"op-1\"}", "with its plan");
	store_past_release(&past);

	a = ask("op-2", "alert-1", 0);
	IS(intend(s, &a, &i), INTENT_RESUMED, "the same alert again resumes it");
	IS_STR(i.op_id, "op-1", "under the id of the first");
	IS_STR(i.plan.p, "{\"op\":\"scale-up\",\"by\":\"op-1\"}", "with the plan of the first");
	a = ask("op-3", "alert-2", 1);
	IS(intend(s, &a, &i), INTENT_RESUMED, "another alert of the service resumes it too");
	IS_STR(i.alert_id, "alert-1", "and learns whose it is");
	OK(store_past(s, "web", &past, &err) == 0 && past.pending_attempts == 3, "each resumption is an attempt");
	store_past_release(&past);

	struct outcome o = outcome("op-1", "done");
	IS(end(s, &o), 1, "the outcome makes the first history row");
	IS(end(s, &o), 1, "told twice it is the same row");
	IS(scratch_look(path, "SELECT COUNT(*) FROM autoscale_history"), 1, "and there is one row");
	IS(scratch_look(path, "SELECT COUNT(*) FROM audit"), 2, "and two audit rows: intent and outcome");
	a = ask("op-4", "alert-1", 1);
	IS(intend(s, &a, &i), INTENT_FINISHED, "the alert whose operation is done is finished");
	IS_STR(i.op_id, "op-1", "by that operation");
	a = ask("op-5", "alert-3", 0);
	IS(intend(s, &a, &i), INTENT_DEFERRED, "a decision on an old generation is deferred");
	a = ask("op-5", "alert-3", 1);
	IS(intend(s, &a, &i), INTENT_NEW, "on the right one it is new");
	o = outcome("op-5", "done");
	IS(end(s, &o), 2, "and done");
	a = ask("op-6", NULL, -1);
	IS(intend(s, &a, &i), INTENT_NEW, "an intent without alert and generation is new");
	o = outcome("op-6", "done");
	(void)end(s, &o);
	a = ask("op-7", "", -1);
	IS(intend(s, &a, &i), INTENT_NEW, "and a second one too");
	IS(i.generation, 4, "generations have no gap");
	a = ask("op-8", "alert-9", -1);
	a.op_id = "";
	OK(store_intent(s, &a, &i, &err) < 0 && err.code == ERR_MISSING, "an intent without an id is refused");
	intent_release(&i);
	store_close(s);
}

static void test_failed_outcomes(void)
{
	const char *path = store_of("failed");
	struct store *s = scratch_open(path);
	struct err err = {0};
	struct intent i = {0};
	struct service_past past;
	int64_t id = 0, at = 0;

	struct intent_ask a = ask("op-1", "alert-1", 0);
	(void)intend(s, &a, &i);
	struct outcome o = outcome("op-1", "failed");
	o.error = "no such image";
	IS(end(s, &o), 1, "a failed operation has a history row");
	OK(store_past(s, "web", &past, &err) == 0 && past.last_out == TIME_NONE, "a failure starts no cooldown");
	store_past_release(&past);
	a = ask("op-2", "alert-1", 1);
	IS(intend(s, &a, &i), INTENT_NEW, "its alert may act again");
	o = outcome("op-2", "partial");
	o.keep = true;
	IS(end(s, &o), 0, "one worth another try has none yet");
	a = ask("op-3", "alert-1", 2);
	for (int n = 2; n <= 5; n++) {
		if (intend(s, &a, &i) != INTENT_RESUMED)
			OK(false, "try %d resumes", n);
		if (n < 5)
			(void)end(s, &o);
	}
	IS(scratch_look(path, "SELECT attempts FROM operation WHERE op_id = 'op-2'"), 5, "it was tried 5 times");
	IS(end(s, &o), 2, "the fifth failure closes it");
	IS(scratch_look(path, "SELECT COUNT(*) FROM operation WHERE state = 'failed' AND alert_key IS NULL"), 2,
	   "both operations are failed");
	OK(store_past(s, "web", &past, &err) == 0 && past.last_out != TIME_NONE && past.last_in == TIME_NONE,
	   "a partial one did add copies: the cooldown runs");
	store_past_release(&past);

	a = ask("op-4", "alert-4", 2);
	a.action = "scale-down";
	IS(intend(s, &a, &i), INTENT_NEW, "the next alert");
	o = outcome("op-4", "deferred");
	IS(end(s, &o), 0, "a deferred record does not close the operation it saw");
	o = outcome("op-4", "don");
	OK(store_outcome(s, &o, &id, &at, &err) < 0 && err.code == ERR_INPUT, "a misspelt outcome is refused");
	o = outcome("op-4", "done");
	IS(end(s, &o), 3, "done closes it");
	OK(store_past(s, "web", &past, &err) == 0 && past.last_in != TIME_NONE && past.last_in >= past.last_out,
	   "a scale-down is remembered as one");
	store_past_release(&past);
	o = outcome("", "none");
	IS(end(s, &o), 0, "a decision not to act has no history row");
	IS(scratch_look(path, "SELECT COUNT(*) FROM audit WHERE event = 'none'"), 1, "but an audit row");
	o = outcome("op-99", "done");
	OK(store_outcome(s, &o, &id, &at, &err) < 0 && err.code == ERR_NOT_FOUND, "an unknown operation is NOT_FOUND");
	o = outcome("op-4", "done");
	o.service = "db";
	OK(store_outcome(s, &o, &id, &at, &err) < 0 && err.code == ERR_NOT_FOUND, "and so is another service's");
	OK(store_audit_verify(s, &id, &err) == 0, "the audit is whole");
	IS(id, 12, "with a row for each intent and outcome told");
	intent_release(&i);
	store_close(s);
}

static int print_history(void *ctx, const struct history_row *r, struct err *err)
{
	(void)err;
	buf_printf(ctx, "%lld %s %s gen %lld %s %s %lld->%lld %s audit %lld: %s (%s)\n", (long long)r->history_id,
	           r->service, r->op_id, (long long)r->generation, r->alert_id, r->action, (long long)r->from,
	           (long long)r->to, r->outcome, (long long)r->seq, r->reason, r->error ? r->error : "-");
	return r->duration_ms >= 0 && r->at > 0 ? 0 : err_set(err, ERR_INPUT, "times");
}

static int print_audit(void *ctx, const struct audit_row *r, struct err *err)
{
	(void)err;
	buf_printf(ctx, "%s %lld %s %s %s %s\n", r->service, (long long)r->seq, r->actor, r->event, r->op_id, r->body);
	return 0;
}

static void test_reading(void)
{
	struct store *s = scratch_open(store_of("reading"));
	struct err err = {0};
	struct intent i = {0};
	struct buf b = BUF_INIT(10000);
	struct intent_ask a = ask("op-1", "alert-1", 0);

	(void)intend(s, &a, &i);
	struct outcome o = outcome("op-1", "done");
	(void)end(s, &o);
	a = ask("op-2", NULL, 0);
	a.service = o.service = "db";
	(void)intend(s, &a, &i);
	o.op_id = "op-2";
	o.outcome = "failed";
	o.error = "host h2 is down";
	(void)end(s, &o);
	OK(store_history_each(s, &TRAIL_ALL, print_history, &b, &err) == 0, "history of all services");
	IS_STR(b.p,
	       "1 web op-1 gen 1 alert-1 scale-up 1->2 done audit 2: cpu above 80 (-)\n"
	       "2 db op-2 gen 1  scale-up 1->2 failed audit 2: cpu above 80 (host h2 is down)\n",
	       "tells what happened, oldest first");
	buf_reset(&b);
	const struct trail_filter later = {"db", store_now(s) + 60000, TIME_NONE}, web = {"web", TIME_NONE, TIME_NONE};
	OK(store_history_each(s, &later, print_history, &b, &err) == 0 && b.n == 0, "nothing since a later time");
	OK(store_audit_each(s, &web, print_audit, &b, &err) == 0, "audit of one service");
	IS_STR(b.p,
	       "web 1 test intent op-1 {\"op\":\"scale-up\",\"by\":\"op-1\"}\n"
	       "web 2 test done op-1 {\"v\":1}\n",
	       "tells intent and outcome");
	intent_release(&i);
	buf_release(&b);
	store_close(s);
}

static int race_intent(int number, const char *path)
{
	struct store *s = scratch_open(path);
	struct intent i = {0};
	char op[32], alert[32];

	(void)snprintf(op, sizeof op, "op-%d", number);
	(void)snprintf(alert, sizeof alert, "alert-%d", number);
	const struct intent_ask a = ask(op, alert, 0);
	const enum intent_state state = intend(s, &a, &i);
	if (state == INTENT_NEW) {
		const struct outcome o = outcome(op, "done");
		(void)end(s, &o);
	}
	intent_release(&i);
	store_close(s);
	return state == INTENT_NEW;
}

static void test_race(void)
{
	int right = 0;

	for (int i = 0; i < 10; i++) {
		const char *path = scratch_store_again("AS_TEST_STORE", "generation", i);
		store_close(scratch_open(path));
		right += scratch_run(SCRATCH_WORKERS, race_intent, path) == 1 &&
		         scratch_look(path, "SELECT COUNT(*) FROM operation") == 1;
	}
	IS(right, 10, "8 processes decide on one generation, 10 times: exactly one acts each time");
}

/* --- crashes --- */

static const char *const services[] = {"web", "db", "cache"};

/* Intents and outcomes until killed, or until its count is done. */
static int work(int number, const char *path)
{
	struct store *s = scratch_open(path);
	struct err err = {0};
	int64_t id, at;

	for (int n = 0; n < 100000; n++) {
		struct intent i;
		char op[64], alert[64];
		(void)snprintf(op, sizeof op, "op-%d-%d-%d", number, (int)getpid(), n);
		(void)snprintf(alert, sizeof alert, "alert-%d-%d-%d", number, (int)getpid(), n);
		struct intent_ask a = ask(op, n % 3 ? alert : NULL, -1);
		a.service = services[n % 3];
		if (store_intent(s, &a, &i, &err) < 0) {
			fprintf(stderr, "# intent: %s\n", err.message);
			return 1;
		}
		struct outcome o = outcome(i.op_id, n % 7 ? "done" : "failed");
		o.service = a.service;
		o.keep = n % 14 == 0;
		intent_release(&i);
		if (i.state <= INTENT_RESUMED && store_outcome(s, &o, &id, &at, &err) < 0) {
			fprintf(stderr, "# outcome: %s\n", err.message);
			return 1;
		}
	}
	return 0;
}

static int64_t operations(const char *path) { return scratch_look(path, "SELECT COUNT(*) FROM operation"); }

static void test_kill(void)
{
	const char *path = store_of("kill");
	pid_t pid[2];
	struct err err = {0};
	int64_t rows = 0;
	int died_itself = 0;

	store_close(scratch_open(path));
	srand(1);
	for (int i = 0; i < 2; i++)
		pid[i] = scratch_fork(work, i, path, -1);
	const int rounds = scratch_is_file(path) ? 150 : 60;
	/* On a busy machine there are more of them until enough was done in between. */
	for (int kills = 0; kills < rounds || (kills < 10 * rounds && operations(path) <= 100); kills++) {
		int status = 0;
		clock_sleep_ms(rand() % (scratch_is_file(path) ? 25 : 60)); /* a connection to a server takes its time */
		(void)kill(pid[kills % 2], SIGKILL);
		(void)waitpid(pid[kills % 2], &status, 0);
		died_itself += !WIFSIGNALED(status);
		pid[kills % 2] = scratch_fork(work, kills, path, -1);
	}
	for (int i = 0; i < 2; i++) {
		(void)kill(pid[i], SIGKILL);
		(void)waitpid(pid[i], NULL, 0);
	}
	IS(died_itself, 0, "two processes working on one store are killed again and again: neither ends by itself");
	struct store *s = scratch_open(path);
	const int verified = store_audit_verify(s, &rows, &err);
	OK(verified == 0, "the audit of %lld rows is whole after it %s", (long long)rows, err.message);
	store_close(s);
	OK(operations(path) > 100, "%lld operations were made", (long long)operations(path));
	IS(scratch_look(path, "SELECT (SELECT COUNT(*) FROM operation) - (SELECT COUNT(*) FROM autoscale_history)"
	                      " - (SELECT COUNT(*) FROM operation WHERE state = 'planned')"),
	   0, "each is planned or has one history row");
	IS(scratch_look(path, "SELECT COUNT(*) FROM (SELECT service FROM operation WHERE state = 'planned' GROUP BY service"
	                      " HAVING COUNT(*) > 1) AS twice"),
	   0, "no service has two planned ones");
	IS(scratch_look(path, "SELECT COUNT(*) FROM (SELECT service FROM operation GROUP BY service"
	                      " HAVING MAX(generation) <> COUNT(*)) AS gap"),
	   0, "generations have no gap");
	IS(scratch_look(path,
	                "SELECT (SELECT COUNT(*) FROM audit WHERE event = 'intent') - (SELECT COUNT(*) FROM operation)"),
	   0, "each has one intent in the audit");
	IS(scratch_look(path, "SELECT MAX(history_id) - COUNT(*) FROM autoscale_history"), 0, "history ids have no gap");
}

/* --- the audit chain --- */

static void fill_audit(struct store *s)
{
	for (int n = 0; n < 10; n++) {
		struct outcome o = outcome(NULL, "none");
		o.service = n % 2 ? "web" : "db";
		(void)end(s, &o);
	}
}

static void test_tampering(void)
{
	static const struct {
		const char *name, *sql, *message; /* message NULL: whole */
	} cases[] = {
		{"an untouched log is whole", "SELECT 1", NULL},
		{"an edited body is found", "UPDATE audit SET body = '{}' WHERE service = 'web' AND seq = 3",
	     "audit of service web: row 3 was changed"},
		{"so is one edited behind a NUL",
	     "UPDATE audit SET body = body || char(0) || 'x' WHERE service = 'db' AND seq = 2",
	     "audit of service db: row 2 was changed"},
		{"an edited time", "UPDATE audit SET logged_at = logged_at - 1 WHERE service = 'db' AND seq = 1",
	     "audit of service db: row 1 was changed"},
		{"an edited actor", "UPDATE audit SET actor = 'root' WHERE service = 'web' AND seq = 5",
	     "audit of service web: row 5 was changed"},
		{"text moved from one column to the next",
	     "UPDATE audit SET actor = 'tes', event = 'tnone' WHERE service = 'web'"
	     " AND seq = 4",
	     "audit of service web: row 4 was changed"},
		{"a hash that was edited",
	     "UPDATE audit SET hash = '0000000000000000000000000000000000000000000000000000000000000000' WHERE service = "
	     "'web' AND seq = 2",
	     "audit of service web: row 2 was changed"},
		{"a missing row in the middle", "DELETE FROM audit WHERE service = 'web' AND seq = 3",
	     "audit of service web: row 3 is missing"},
		{"a missing first row", "DELETE FROM audit WHERE service = 'web' AND seq = 1",
	     "audit of service web: row 1 is missing"},
		{"a missing last row", "DELETE FROM audit WHERE service = 'web' AND seq = 5",
	     "audit of service web: row 5 is missing"},
		{"a missing last row of the service that comes first", "DELETE FROM audit WHERE service = 'db' AND seq = 5",
	     "audit of service db: row 5 is missing"},
		{"a chain that is gone", "DELETE FROM audit WHERE service = 'db'", "audit of service db: row 1 is missing"},
		{"rows that changed places",
	     "UPDATE audit SET seq = seq + 100 WHERE service = 'web' AND seq IN (3, 4);"
	     "UPDATE audit SET seq = 107 - seq WHERE seq > 100",
	     "audit of service web: row 3 was changed"},
		{"a row put behind the end",
	     "INSERT INTO audit SELECT service, 6, logged_at, actor, event, op_id, body, hash, hash"
	     " FROM audit WHERE service = 'web' AND seq = 5",
	     "audit of service web: row 6 was changed"},
		{"a chain moved to another service",
	     "DELETE FROM audit WHERE service = 'db'; DELETE FROM service_state WHERE"
	     " service = 'db'; UPDATE audit SET service = 'db'; UPDATE service_state SET service = 'db'",
	     "audit of service db: row 1 was changed"},
		{"a head that was set back",
	     "DELETE FROM audit WHERE service = 'web' AND seq = 5; UPDATE service_state SET"
	     " audit_seq = 4 WHERE service = 'web'",
	     "audit of service web: row 4 was changed"},
		{"a head that is gone", "DELETE FROM service_state WHERE service = 'web'",
	     "audit of service web: row 1 was added behind the end of the chain"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct err err = {0};
		int64_t rows = 0;
		const char *path = scratch_store_again("AS_TEST_STORE", "audit", (int)i);
		struct store *s = scratch_open(path);
		fill_audit(s);
		/* the one that is put another way where || is no concatenation */
		(void)scratch_look(path,
		                   !scratch_is_file(path) && strstr(cases[i].sql, "||")
		                       ? "UPDATE audit SET body = CONCAT(body, CHAR(0), 'x') WHERE service = 'db' AND seq = 2"
		                       : cases[i].sql);
		const int rc = store_audit_verify(s, &rows, &err);
		if (!cases[i].message)
			OK(rc == 0 && rows == 10, "%s", cases[i].name);
		else
			IS_STR(rc < 0 && err.code == ERR_CONFLICT ? err.message : "(whole)", cases[i].message, cases[i].name);
		store_close(s);
	}
}

/* Changes body and hash of a row and carries the new hash into the next one's prev_hash: only the next row's own
 * hash tells. With the whole rest rewritten, only the head in service_state does. */
static void test_rewritten_hash(void)
{
	const char *path = store_of("rewritten"), *twin = store_of("twin");
	struct store *s = scratch_open(path), *t = scratch_open(twin);
	const bool file = scratch_is_file(path);
	struct err err = {0};
	char text[700];
	int64_t rows;

	fill_audit(s);
	for (int n = 0; n < 10; n++) { /* a chain true to itself with another story */
		struct outcome o = outcome(NULL, "none");
		o.service = n % 2 ? "web" : "db";
		o.body = "{\"v\":2}";
		(void)end(t, &o);
	}
	OK(store_audit_verify(t, &rows, &err) == 0, "a forged chain that is true to itself");
	(void)snprintf(text, sizeof text,
	               "%s%s%s DELETE FROM audit WHERE service = 'web';"
	               "INSERT INTO audit SELECT * FROM %s.audit WHERE service = 'web'",
	               file ? "ATTACH '" : "", file ? twin : "", file ? "' AS twin;" : "", file ? "twin" : "astwin");
	(void)scratch_look(path, text);
	OK(store_audit_verify(s, &rows, &err) < 0 && says(&err, "service web: row 5 was changed"),
	   "does not fit the head kept elsewhere");
	store_close(s);
	store_close(t);
}

/* What only the file shows. */
static void test_file(void)
{
	test_file_is_private();
	test_openers_at_once();
	test_schema_versions();
	test_bad_urls();
	test_permissions();
	test_disk_full();
	test_clock();
}

int main(void)
{
	const bool file = scratch_is_file(store_of("first"));
	int status = 0;
	pid_t lock = -1;

	scratch_make();
	if (file) {
		lock = scratch_fork(wait_for_lock, 0, scratch_path("held.db"), -1);
		test_file();
	}
	test_policies();
	test_policy_writers();
	test_specs();
	test_intents();
	test_failed_outcomes();
	test_reading();
	test_race();
	test_kill();
	test_tampering();
	test_rewritten_hash();
	if (file) {
		(void)waitpid(lock, &status, 0);
		OK(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		   "a store held by another writer is waited for 10 s, then TEMPORARY; later it works");
	}
	scratch_remove();
	return DONE();
}
