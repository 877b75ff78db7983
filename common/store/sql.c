#include "store/sql.h"

#include "base/clock.h"
#include "store/module.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/banned.h"

/* A storm of claims can lose several times in a row: each try waits a little longer, at random, so that those who met
 * do not meet again. At most 3.5 s in all. */
#define DEADLOCK_RETRIES 20
#define DEADLOCK_WAIT_MS 200

/* By the scheme of the URL; a driver that is not linked in is the module of that name. */
static const struct {
	const char *scheme;
	const struct sql_driver *driver;
} drivers[] = {
	{"sqlite", &sql_sqlite},
	{"mysql", NULL},
};

/* --- values --- */

struct sql_value sql_int(int64_t i) { return (struct sql_value){.type = SQL_INT, .i = i, .s = ""}; }

struct sql_value sql_text(const char *s)
{
	if (!s)
		return (struct sql_value){.type = SQL_NULL, .s = ""};
	return (struct sql_value){.type = SQL_TEXT, .s = s, .n = strlen(s)};
}

struct sql_value sql_text_or_null(const char *s) { return sql_text(s && *s ? s : NULL); }

struct sql_value sql_time(int64_t ms) { return ms == TIME_NONE ? sql_text(NULL) : sql_int(ms); }

int64_t sql_get_time(const struct sql_value *v) { return v->type == SQL_NULL ? TIME_NONE : v->i; }

/* --- statements and transactions --- */

int sql_run(struct sql *db, const char *text, const struct sql_value *binds, size_t nbinds, sql_row_fn row, void *ctx,
            struct err *err)
{
	db->deadlock = false;
	return db->driver->run(db, text, binds, nbinds, false, row, ctx, err);
}

int sql_walk(struct sql *db, const char *text, const struct sql_value *binds, size_t nbinds, sql_row_fn row, void *ctx,
             struct err *err)
{
	db->deadlock = false;
	return db->driver->run(db, text, binds, nbinds, true, row, ctx, err);
}

int sql_begin(struct sql *db, enum sql_tx kind, struct err *err)
{
	if (db->in_tx)
		return err_set(err, ERR_USAGE, "a transaction of this connection is open already");
	db->deadlock = false;
	if (db->driver->begin(db, kind, err) < 0)
		return -1;
	db->in_tx = true;
	return 0;
}

int sql_commit(struct sql *db, struct err *err)
{
	if (!db->in_tx)
		return err_set(err, ERR_USAGE, "no transaction of this connection is open");
	db->in_tx = false;
	return db->driver->commit(db, err);
}

void sql_rollback(struct sql *db)
{
	if (!db->in_tx)
		return;
	db->in_tx = false;
	db->driver->rollback(db);
}

int64_t sql_now(struct sql *db) { return db->driver->now(db); }

static int atomic_once(struct sql *db, enum sql_tx kind, sql_tx_fn fn, void *job, struct err *err)
{
	if (sql_begin(db, kind, err) < 0)
		return -1;
	if (fn(db, job, err) == 0)
		return sql_commit(db, err);
	sql_rollback(db);
	return -1;
}

static void wait_after_deadlock(int tries)
{
	const int most = tries < 5 ? 10 << tries : DEADLOCK_WAIT_MS;
	unsigned dice;

	if (getrandom(&dice, sizeof dice, GRND_NONBLOCK) != (ssize_t)sizeof dice)
		dice = (unsigned)getpid();
	clock_sleep_ms(1 + dice % (unsigned)most);
}

int sql_atomic(struct sql *db, enum sql_tx kind, sql_tx_fn fn, void *job, struct err *err)
{
	if (db->in_tx)
		return fn(db, job, err);

	int rc = atomic_once(db, kind, fn, job, err);
	for (int tries = 0; rc < 0 && db->deadlock && tries < DEADLOCK_RETRIES; tries++) {
		wait_after_deadlock(tries);
		rc = atomic_once(db, kind, fn, job, err);
	}
	return rc;
}

/* --- the schema --- */

/* FNV-1a, 64 bits: tells an edited schema file from the applied one. Not a defence against anybody. */
static void checksum(const char *text, char out[17])
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	(void)snprintf(out, 17, "%016" PRIx64, h);
}

static int64_t known_version(void) { return sql_migrations[sql_migrations_count - 1].version; }

static int on_applied(void *ctx, const struct sql_value *col, struct err *err)
{
	int64_t *applied = ctx;

	*applied = col[0].i;
	if (*applied < 1 || *applied > known_version())
		return 0; /* the newest decides, and it comes last */

	const struct sql_migration *m = &sql_migrations[*applied - 1];
	char sum[17];
	checksum(m->text, sum);
	if (strcmp(sum, col[1].s) != 0)
		return err_set(err, ERR_CONFIG,
		               "the store's schema %" PRId64
		               " was made from another %s than this program's: use the program that "
		               "made it, or a new store",
		               *applied, m->name);
	return 0;
}

int sql_schema(struct sql *db, int64_t *applied, struct err *err)
{
	bool there = false;

	*applied = 0;
	if (db->driver->has_table(db, "schema_version", &there, err) < 0)
		return -1;
	if (there && sql_run(db, "SELECT version, checksum FROM schema_version ORDER BY version", SQL_NO_BINDS, on_applied,
	                     applied, err) < 0)
		return -1;
	if (*applied > known_version())
		return err_set(err, ERR_CONFIG,
		               "the store's schema is version %" PRId64 ", this program knows %" PRId64 ": upgrade the program",
		               *applied, known_version());
	return 0;
}

static int migrate_in_tx(struct sql *db, void *job, struct err *err)
{
	int64_t applied;
	(void)job;

	/* Looked at again: another process may have done it while this one waited for the lock. */
	if (sql_schema(db, &applied, err) < 0)
		return -1;
	for (size_t i = (size_t)applied; i < sql_migrations_count; i++) {
		const struct sql_migration *m = &sql_migrations[i];
		char sum[17];
		checksum(m->text, sum);
		if (db->driver->script(db, m->text, err) < 0 ||
		    sql_run(db, "INSERT INTO schema_version (version, name, checksum, applied_at) VALUES (?, ?, ?, ?)",
		            SQL_BINDS(sql_int(m->version), sql_text(m->name), sql_text(sum), sql_int(sql_now(db))), NULL, NULL,
		            err) < 0)
			return err_prefix(err, "schema %s", m->name);
	}
	return 0;
}

static int migrate(struct sql *db, struct err *err)
{
	int64_t applied;

	if (sql_schema(db, &applied, err) < 0)
		return -1;
	db->schema_was = applied;
	if (applied == known_version())
		return 0; /* the usual case takes no lock */
	return sql_atomic(db, SQL_SCHEMA, migrate_in_tx, NULL, err);
}

/* --- open and close --- */

/* Of the table above; -1: no driver knows the scheme. A plain path is SQLite's. */
static int find_driver(const char *url)
{
	const size_t scheme = strcspn(url, ":/");

	if (url[scheme] != ':')
		return 0;
	for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
		if (strlen(drivers[i].scheme) == scheme && strncmp(url, drivers[i].scheme, scheme) == 0)
			return (int)i;
	return -1;
}

bool sql_serves(const char *url) { return find_driver(url) >= 0; }

static const struct sql_driver *driver_of(const char *url, struct err *err)
{
	const int found = find_driver(url);

	if (found < 0) { /* only the scheme is shown: the rest may hold a password */
		(void)err_set(err, ERR_CONFIG, "no store of kind \"%.*s\": use sqlite:PATH or mysql://USER@HOST/DATABASE",
		              (int)strcspn(url, ":"), url);
		return NULL;
	}
	if (drivers[found].driver)
		return drivers[found].driver;
	const struct store_module *m = store_module(drivers[found].scheme, err);
	return m ? m->sql : NULL;
}

static struct sql *open_with(const struct sql_driver *driver, const char *url, bool *there, struct err *err)
{
	struct sql *db = driver->open(url, err);

	if (!db)
		return NULL;
	if ((there && driver->has_table(db, "schema_version", there, err) < 0) || (there && !*there) ||
	    migrate(db, err) < 0) {
		sql_close(db);
		return NULL;
	}
	return db;
}

struct sql *sql_open(const char *url, struct err *err)
{
	const struct sql_driver *driver = driver_of(url, err);

	return driver ? open_with(driver, url, NULL, err) : NULL;
}

struct sql *sql_open_existing(const char *url, bool *there, struct err *err)
{
	const struct sql_driver *driver = driver_of(url, err);

	*there = true; /* until it is known that it is not */
	if (!driver)
		return NULL;
	if (driver->absent && driver->absent(url)) {
		*there = false;
		return NULL;
	}
	return open_with(driver, url, there, err);
}

struct sql *sql_open_raw(const char *url, bool *there, struct err *err)
{
	const struct sql_driver *driver = driver_of(url, err);

	*there = true; /* until it is known that it is not */
	if (!driver)
		return NULL;
	*there = !driver->absent || !driver->absent(url);
	return *there ? driver->open(url, err) : NULL;
}

void sql_close(struct sql *db)
{
	if (!db)
		return;
	sql_rollback(db);
	db->driver->close(db);
}
