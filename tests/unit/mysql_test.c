/* What only a server can show: texts and results of any size, the connection that is lost and made anew, the server's
 * clock, its errors. Needs AS_TEST_STORE=mysql://... (scratch_store.h), a server that serves this test alone and whose
 * process AS_TEST_SERVER names: it is stopped and continued. */
#include "base/clock.h"
#include "base/limits.h"
#include "store/alerts_driver.h"
#include "store/store.h"
#include "tap.h"

#include "scratch_store.h"

#include <sys/resource.h>

#include "base/banned.h"

static const char *store_of(const char *name) { return scratch_store("AS_TEST_STORE", name); }

static struct sql *must_open(const char *url)
{
	struct err err = {0};
	struct sql *db = sql_open(url, &err);

	if (db)
		return db;
	printf("Bail out! %s\n", err.message);
	exit(1);
}

static int run(struct sql *db, const char *text, struct err *err)
{
	*err = (struct err){0};
	return sql_run(db, text, SQL_NO_BINDS, NULL, NULL, err);
}

static bool says(const struct err *err, enum err_code code, const char *words)
{
	if (err->code == code && strstr(err->message, words))
		return true;
	printf("# %s: %s\n", err_name(err->code), err->message);
	return false;
}

/* --- values --- */

struct got {
	int rows;
	struct sql_value v;
	char *text;
};

static int on_row(void *ctx, const struct sql_value *col, struct err *err)
{
	struct got *g = ctx;
	(void)err;

	g->rows++;
	g->v = col[0];
	free(g->text);
	g->text = malloc(col[0].n + 1);
	if (!g->text)
		abort();
	memcpy(g->text, col[0].s, col[0].n + 1);
	return 0;
}

static void test_values(void)
{
	struct sql *db = must_open(store_of("values"));
	struct err err = {0};
	struct got g = {0};
	static const size_t sizes[] = {0, 1, 511, 512, 513, 4000, LINE_MAX_BYTES};
	static char text[LINE_MAX_BYTES + 1];
	static const int64_t numbers[] = {0, -1, INT64_MAX, INT64_MIN};
	bool good = true;

	(void)run(db, "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, s MEDIUMTEXT NULL, n BIGINT NULL) CHARSET=utf8mb4",
	          &err);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		memset(text, 'a' + (int)i, sizes[i]);
		text[sizes[i]] = '\0';
		good = good && sql_run(db, "INSERT INTO t (id, s) VALUES (?, ?)", SQL_BINDS(sql_int((int)i), sql_text(text)),
		                       NULL, NULL, &err) == 0;
		good = good && sql_run(db, "SELECT s FROM t WHERE id = ?", SQL_BINDS(sql_int((int)i)), on_row, &g, &err) == 0 &&
		       g.v.n == sizes[i] && strcmp(g.text, text) == 0;
	}
	OK(good, "texts of 0 bytes to 1 MiB come back as they were %s", err.message);
	g.rows = 0;
	OK(sql_walk(db, "SELECT s FROM t ORDER BY id", SQL_NO_BINDS, on_row, &g, &err) == 0 && g.rows == 7 &&
	       strcmp(g.text, text) == 0,
	   "also in one walk, where the buffer grows");
	OK(sql_walk(db, "SELECT s FROM t ORDER BY id DESC", SQL_NO_BINDS, on_row, &g, &err) == 0 && g.v.n == 0 &&
	       g.v.type == SQL_TEXT,
	   "and where a short one follows a long one");
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		good = good &&
		       sql_run(db, "UPDATE t SET n = ? WHERE id = 0", SQL_BINDS(sql_int(numbers[i])), NULL, NULL, &err) == 0 &&
		       db->changed == 1 && sql_run(db, "SELECT n FROM t WHERE id = 0", SQL_NO_BINDS, on_row, &g, &err) == 0 &&
		       g.v.type == SQL_INT && g.v.i == numbers[i];
	OK(good, "numbers up to 64 bits");
	OK(run(db, "UPDATE t SET n = 5 WHERE id = 0", &err) == 0 && run(db, "UPDATE t SET n = 5 WHERE id = 0", &err) == 0 &&
	       db->changed == 1,
	   "an update to the same value counts its row: a fence may rely on it");
	OK(sql_run(db, "SELECT n FROM t WHERE id = 1", SQL_NO_BINDS, on_row, &g, &err) == 0 && g.v.type == SQL_NULL &&
	       g.v.n == 0 && *g.v.s == '\0',
	   "a NULL is one, and reads as no text");
	OK(sql_run(db, "SELECT COUNT(*), SUM(n) FROM t", SQL_NO_BINDS, on_row, &g, &err) == 0 && g.v.i == 7, "a count");
	OK(sql_run(db, "INSERT INTO t (id, s) VALUES (99, ?)", SQL_BINDS(sql_text("\xf0\x9f\x90\xb3 \xc3\xa9")), NULL, NULL,
	           &err) == 0 &&
	       sql_run(db, "SELECT s FROM t WHERE id = 99", SQL_NO_BINDS, on_row, &g, &err) == 0 &&
	       strcmp(g.text, "\xf0\x9f\x90\xb3 \xc3\xa9") == 0,
	   "any character of Unicode");
	free(g.text);
	sql_close(db);
}

struct nest {
	struct sql *db;
	int sum;
};

static int on_inner(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)err;
	((struct nest *)ctx)->sum += (int)col[0].i;
	return 0;
}

static int on_outer(void *ctx, const struct sql_value *col, struct err *err)
{
	struct nest *n = ctx;

	/* the same text: its statement is busy with this very row */
	return sql_run(n->db, "SELECT id FROM t WHERE id >= ?", SQL_BINDS(sql_int(col[0].i)), on_inner, n, err);
}

static int stop_at_once(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)col;
	++*(int *)ctx;
	return err_set(err, ERR_REFUSED, "enough");
}

static void test_rows(void)
{
	struct sql *db = must_open(store_of("rows"));
	struct err err = {0};
	struct nest n = {.db = db};
	int calls = 0;
	struct got g = {0};

	(void)run(db, "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY)", &err);
	(void)run(db, "INSERT INTO t VALUES (1), (2), (3)", &err);
	OK(sql_run(db, "SELECT id FROM t WHERE id >= ?", SQL_BINDS(sql_int(0)), on_outer, &n, &err) == 0 &&
	       n.sum == 6 + 5 + 3,
	   "a row's callback may read on the same connection, by the same statement");
	OK(sql_walk(db, "SELECT a.id FROM t a, t b, t c", SQL_NO_BINDS, stop_at_once, &calls, &err) < 0 && calls == 1 &&
	       err.code == ERR_REFUSED,
	   "a walk is stopped by its callback");
	OK(sql_run(db, "SELECT id FROM t WHERE id = 2", SQL_NO_BINDS, on_row, &g, &err) == 0 && g.v.i == 2,
	   "and what is asked next is answered");
	/* of 27 rows the one of 3, 3 and 3 makes an error, when others are on their way */
	for (int i = 0; i < 2; i++) {
		const int64_t start = clock_monotonic_ms();
		OK(sql_run(db,
		           "SELECT CONCAT(REPEAT('x', 9000), (SELECT x.id FROM t x WHERE x.id <= a.id + b.id + c.id - 7))"
		           " FROM t a, t b, t c",
		           SQL_NO_BINDS, on_row, &g, &err) < 0 &&
		       says(&err, ERR_CONFIG, "Subquery") && clock_monotonic_ms() - start < 1000,
		   "an error in the midst of a result is told at once%s", i ? ", also when it is asked for again" : "");
	}
	OK(sql_run(db, "SELECT id FROM t WHERE id = 2", SQL_NO_BINDS, on_row, &g, &err) == 0 && g.v.i == 2,
	   "and what is asked next is answered");
	OK(sql_begin(db, SQL_WRITE, &err) == 0 && run(db, "INSERT INTO t VALUES (4)", &err) == 0 &&
	       sql_walk(db, "SELECT id FROM t", SQL_NO_BINDS, stop_at_once, &calls, &err) < 0,
	   "a walk that is stopped inside a transaction");
	OK(run(db, "INSERT INTO t VALUES (5)", &err) < 0 && says(&err, ERR_UNAVAILABLE, "nothing of the transaction"),
	   "ends it");
	sql_rollback(db);
	OK(sql_run(db, "SELECT COUNT(*) FROM t", SQL_NO_BINDS, on_row, &g, &err) == 0 && g.v.i == 3,
	   "and nothing of it is stored");
	free(g.text);
	sql_close(db);
}

static int on_counted(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)err;
	*(int *)ctx += col[0].n == 2048;
	return 0;
}

static long peak_kib(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

/* 2^16 rows of 2 KB: 128 MiB of result. */
static void test_walk_memory(void)
{
	struct sql *db = must_open(store_of("walk"));
	struct err err = {0};
	int rows = 0;

	(void)run(db, "CREATE TABLE t (s TEXT NOT NULL)", &err);
	(void)run(db, "INSERT INTO t VALUES (REPEAT('x', 2048)), (REPEAT('y', 2048))", &err);
	for (int i = 1; i < 8; i++)
		(void)run(db, "INSERT INTO t SELECT s FROM t", &err);
	const long before = peak_kib();
	OK(sql_walk(db, "SELECT a.s FROM t a, t b", SQL_NO_BINDS, on_counted, &rows, &err) == 0 && rows == 65536,
	   "a result of 128 MiB is walked %s", err.message);
	OK(peak_kib() - before < 8192, "in %ld KiB more", peak_kib() - before);
	sql_close(db);
}

/* --- transactions --- */

static int64_t count(struct sql *db, const char *text)
{
	struct err err = {0};
	struct got g = {0};

	if (sql_run(db, text, SQL_NO_BINDS, on_row, &g, &err) < 0)
		printf("# %s\n", err.message);
	free(g.text);
	return g.v.i;
}

static void test_views(void)
{
	const char *url = store_of("views");
	struct sql *a = must_open(url), *b = must_open(url);
	struct err err = {0};

	(void)run(a, "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY)", &err);
	OK(sql_begin(a, SQL_READ, &err) == 0 && run(b, "INSERT INTO t VALUES (1)", &err) == 0 &&
	       count(a, "SELECT COUNT(*) FROM t") == 0,
	   "a reading transaction sees one moment");
	OK(run(a, "INSERT INTO t VALUES (2)", &err) < 0, "and writes nothing");
	sql_rollback(a);
	OK(sql_begin(a, SQL_WRITE, &err) == 0 && count(a, "SELECT COUNT(*) FROM t") == 1 &&
	       run(b, "INSERT INTO t VALUES (2)", &err) == 0 && count(a, "SELECT COUNT(*) FROM t") == 2,
	   "a writing one sees the newest");
	OK(run(a, "INSERT INTO t VALUES (2)", &err) < 0 && err.code == ERR_CONFLICT && a->deadlock,
	   "a key that is taken is a CONFLICT, worth another look (%s)", err.message);
	sql_rollback(a);
	IS_STR(a->skip_locked, " FOR UPDATE SKIP LOCKED", "this server passes over rows that others hold");
	sql_close(a);
	sql_close(b);
}

/* Ten rows are claimed by two connections at once, on a server that knows no SKIP LOCKED. */
static int take_ids(void *ctx, const struct alert_claim *c, struct err *err)
{
	(void)err;
	buf_printf(ctx, "%s ", c->id);
	return 0;
}

/* What alerts_sql.c keeps behind the handle. */
struct behind {
	struct alerts base;
	struct sql *db;
};

static int claim_all_plain(int number, const char *url)
{
	struct err err = {0};
	struct alerts *a = alerts_open(url, &err);
	struct buf ids = BUF_INIT(1000000);
	int64_t sum = 0, now;

	if (!a)
		return 100;
	((struct behind *)(void *)a)->db->skip_locked = "";
	for (int64_t n = 1, idle = 0; idle < 3; idle = n ? 0 : idle + 1) {
		n = 0;
		if (alerts_claim(a, 7 + number, 60000, NULL, take_ids, &ids, &n, &now, &err) < 0) {
			fprintf(stderr, "# %s\n", err.message);
			return 100;
		}
		sum += n;
	}
	alerts_close(a);
	buf_release(&ids);
	return (int)(sum / 4); /* a quarter, so that all fit into exit statuses */
}

static void test_without_skip_locked(void)
{
	const char *url = store_of("plain");
	struct err err = {0};
	struct alerts *a = alerts_open(url, &err);
	char id[32], got[ALERT_ID];
	bool stored;

	for (int i = 0; i < 800; i++) {
		(void)snprintf(id, sizeof id, "a%03d", i);
		const struct alert_put p = {
			.id = id, .dedup = id, .service = "web", .body = "{}", .received_at = 1 + i, .source = "", .status = ""};
		if ((i % 100 == 0 && alerts_begin(a, &err) < 0) || alerts_put(a, &p, &stored, got, &err) < 0 ||
		    (i % 100 == 99 && alerts_commit(a, &err) < 0))
			printf("# %s\n", err.message);
	}
	alerts_close(a);
	const int sum = scratch_run(4, claim_all_plain, url);
	OK(sum >= 197 && sum <= 200, "4 processes claim 800 alerts without SKIP LOCKED: %d quarters", sum);
	IS(scratch_look(url, "SELECT COUNT(*) FROM alert WHERE state = 'claimed' AND attempts = 1"), 800,
	   "each was taken by exactly one of them");
}

/* --- errors --- */

static void test_errors(void)
{
	static const struct {
		const char *what, *text;
		enum err_code code;
		bool retry;
		const char *says;
	} rows[] = {
		{"a text too long", "INSERT INTO t (id, s) VALUES (1, 'four')", ERR_INPUT, false, "too long"},
		{"bytes that are no UTF-8", "INSERT INTO t (id, s) VALUES (1, x'ff')", ERR_INPUT, false, "ncorrect string"},
		{"a value that a CHECK forbids", "INSERT INTO t (id, s) VALUES (-1, 'a')", ERR_INPUT, false, "t_id"},
		{"a key that is taken", "INSERT INTO t (id, s) VALUES (0, 'a')", ERR_CONFLICT, false, "Duplicate"},
		{"no right to a table", "SELECT host FROM mysql.user", ERR_DENIED, false, "GRANT"},
		{"no right to a database", "CREATE DATABASE other", ERR_DENIED, false, "GRANT"},
		{"no such table", "SELECT 1 FROM nosuch", ERR_CONFIG, false, "nosuch"},
		{"a lost deadlock", "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213", ERR_TEMPORARY, true, "try again"},
		{"a lock that was waited for", "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1205", ERR_TEMPORARY, true, "holds"},
		{"a full disk", "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1021", ERR_UNAVAILABLE, true, "no room"},
		{"a full table", "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114", ERR_UNAVAILABLE, true, "no room"},
		{"a server that is read-only", "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1290", ERR_UNAVAILABLE, false,
	     "takes writes"},
		{"InnoDB that is read-only", "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1836", ERR_UNAVAILABLE, false,
	     "takes writes"},
		{"a server that stops", "SIGNAL SQLSTATE '08S01' SET MYSQL_ERRNO = 1053", ERR_UNAVAILABLE, true, "stopping"},
	};
	struct sql *db = must_open(store_of("errors"));
	struct err err;

	(void)run(db,
	          "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, s VARCHAR(3) NOT NULL, CONSTRAINT t_id CHECK (id >= 0))"
	          " CHARSET=utf8mb4",
	          &err);
	(void)run(db, "INSERT INTO t (id, s) VALUES (0, 'a')", &err);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const bool refused = run(db, rows[i].text, &err) < 0;
		OK(refused && says(&err, rows[i].code, rows[i].says) && err.retry == rows[i].retry &&
		       strncmp(err.message, "mysql://", 8) == 0,
		   "%s: %s", rows[i].what, err.message);
	}
	sql_close(db);
}

/* A trigger reports a deadlock as often as its table, which no rollback undoes, says. */
static void test_deadlocks(void)
{
	const char *url = store_of("deadlocks");
	struct sql *db = must_open(url);
	struct err err = {0};
	struct store *s = store_open(url, &err);
	const struct policy_row row = {.name = "p", .service = "web", .type = "", .fields = "{}", .enabled = true};
	int64_t version = 0;

	(void)run(db, "CREATE TABLE lost (n BIGINT NOT NULL) ENGINE=MyISAM", &err);
	(void)run(db, "INSERT INTO lost VALUES (0)", &err);
	if (run(db,
	        "CREATE TRIGGER lose BEFORE INSERT ON autoscale_policy FOR EACH ROW BEGIN UPDATE lost SET n = n + 1;"
	        " IF (SELECT n FROM lost) <= 12 THEN SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213; END IF; END",
	        &err) < 0)
		printf("# %s\n", err.message);
	OK(store_policy_put(s, &row, -1, &version, &err) == 0 && version == 1,
	   "a transaction that loses a dozen deadlocks is run again, and done %s", err.message);
	IS(count(db, "SELECT n FROM lost"), 13, "at the next time");
	(void)run(db, "UPDATE lost SET n = -1000", &err);
	(void)run(db, "DELETE FROM autoscale_policy", &err);
	OK(store_policy_put(s, &row, -1, &version, &err) < 0 && err.code == ERR_TEMPORARY && err.retry,
	   "one that loses again and again says so: %s", err.message);
	IS(count(db, "SELECT COUNT(*) FROM autoscale_policy"), 0, "and leaves nothing half done");
	store_close(s);
	sql_close(db);
}

/* --- connections --- */

static void kill_connections(struct sql *db)
{
	struct err err = {0};
	char text[64];
	int64_t id;

	while (
		(id = count(db, "SELECT COALESCE(MAX(id), 0) FROM information_schema.processlist WHERE user = 'as' AND id <> "
	                    "CONNECTION_ID()")) > 0) {
		(void)snprintf(text, sizeof text, "KILL %lld", (long long)id);
		(void)run(db, text, &err);
		clock_sleep_ms(10);
	}
}

static void test_lost_connections(void)
{
	const char *url = store_of("lost");
	struct sql *other = must_open(url);
	struct err err = {0};
	struct store *s = store_open(url, &err);
	struct sql *db = must_open(url);
	struct policy_row row = {.name = "p", .service = "web", .type = "", .fields = "{}", .enabled = true};
	struct got g = {0};
	int64_t version = 0;

	kill_connections(other);
	OK(store_policy_put(s, &row, -1, &version, &err) == 0 && version == 1,
	   "a connection that the server closed is made anew before a transaction %s", err.message);
	kill_connections(other);
	OK(sql_run(db, "SELECT COUNT(*) FROM autoscale_policy", SQL_NO_BINDS, on_row, &g, &err) == 0 && g.v.i == 1,
	   "and before a question %s", err.message);
	OK(sql_begin(db, SQL_WRITE, &err) == 0 && run(db, "DELETE FROM autoscale_policy", &err) == 0, "in a transaction");
	kill_connections(other);
	OK(run(db, "DELETE FROM autoscale_policy_version", &err) < 0 && err.code == ERR_UNAVAILABLE && err.retry,
	   "it is UNAVAILABLE: %s", err.message);
	OK(sql_commit(db, &err) < 0 && err.code == ERR_UNAVAILABLE, "so is its commit: %s", err.message);
	IS(count(db, "SELECT COUNT(*) FROM autoscale_policy"), 1, "nothing of it is stored, and the next use goes on");
	free(g.text);
	store_close(s);
	sql_close(db);
	sql_close(other);
}

/* A server that is there and does not answer. */
static void test_hung(pid_t server)
{
	const char *url = store_of("hung");
	struct sql *db = must_open(url), *busy = must_open(url);
	struct err err = {0};
	struct got g = {0};

	(void)sql_begin(busy, SQL_WRITE, &err);
	(void)count(db, "SELECT 1"); /* the one that made the tables connects anew */
	(void)kill(server, SIGSTOP);
	int64_t start = clock_monotonic_ms();
	const int opened = sql_open(url, &err) != NULL;
	int64_t took = clock_monotonic_ms() - start;
	OK(!opened && err.code == ERR_UNAVAILABLE && took >= 1500 && took <= 2500, "no connection: %s, after %lld ms",
	   err.message, (long long)took);
	start = clock_monotonic_ms();
	const int asked = sql_run(db, "SELECT 1", SQL_NO_BINDS, on_row, &g, &err);
	took = clock_monotonic_ms() - start;
	OK(asked < 0 && err.code == ERR_UNAVAILABLE && err.retry && took >= 4000 && took <= 5500,
	   "no answer: %s, after %lld ms", err.message, (long long)took);
	(void)kill(server, SIGCONT);
	IS(count(db, "SELECT 1"), 1, "once it goes on, the next question is answered");
	sql_rollback(busy);
	free(g.text);
	sql_close(db);
	sql_close(busy);
}

static int hold_lock(int number, const char *url)
{
	struct sql *db = must_open(url);

	(void)count(db, "SELECT GET_LOCK('long', 1)");
	(void)!write(number, "", 1);
	clock_sleep_ms(6000);
	sql_close(db);
	return 0;
}

/* Started first and awaited before the server is stopped: the answer is missed after 5 s, and comes after 6. */
static int ask_long(int number, const char *url)
{
	struct err err = {0};
	struct got g = {0};
	int held[2];
	char c;
	(void)number;

	if (pipe2(held, O_CLOEXEC) < 0)
		return 1;
	const pid_t holder = scratch_fork(hold_lock, held[1], url, -1);
	(void)!read(held[0], &c, 1);
	struct sql *db = must_open(url);
	const int64_t start = clock_monotonic_ms();
	const int rc = sql_run(db, "SELECT GET_LOCK('long', 30)", SQL_NO_BINDS, on_row, &g, &err);
	const int64_t took = clock_monotonic_ms() - start;
	const bool good = rc == 0 && g.rows == 1 && g.v.i == 1 && took > 5000;
	if (!good)
		printf("# %s (%lld ms)\n", err.message, (long long)took);
	free(g.text);
	sql_close(db);
	(void)waitpid(holder, NULL, 0);
	return !good;
}

static void test_clock(void)
{
	struct sql *db = must_open(store_of("clock"));
	const int64_t far = count(db, "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)") - sql_now(db);

	OK(far > -250 && far < 250, "the store's time is the server's (%lld ms)", (long long)far);
	sql_close(db);
}

int main(void)
{
	const char *server = getenv("AS_TEST_SERVER");

	if (!server || scratch_is_file(store_of("first"))) {
		printf("1..0 # SKIP needs AS_TEST_STORE and AS_TEST_SERVER\n");
		return 0;
	}
	scratch_make();
	const char *url = store_of("long");
	sql_close(must_open(url));
	const pid_t patient = scratch_fork(ask_long, 0, url, -1);

	test_values();
	test_rows();
	test_walk_memory();
	test_views();
	test_without_skip_locked();
	test_errors();
	test_deadlocks();
	int status = 0;
	(void)waitpid(patient, &status, 0);
	IS(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0,
	   "a server that is busy with a long question is asked once more, with patience");
	test_lost_connections();
	test_hung((pid_t)strtol(server, NULL, 10));
	test_clock();
	scratch_remove();
	return DONE();
}
