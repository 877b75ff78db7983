/* The SQLite driver: one file in WAL mode. The clock is the host's, kept from going back (now_ms). */
#include "store/sql.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define BUSY_MS 10000
#define STATEMENTS_MAX 64

struct statement {
	char *text;
	sqlite3_stmt *stmt;
};

struct sqlite {
	struct sql base; /* first: the handle that the callers hold */
	sqlite3 *db;
	char *path;
	enum sql_tx kind;                       /* of the open transaction */
	int64_t seen_at, host_at;               /* see now_ms() */
	int64_t busy_until;                     /* CLOCK_MONOTONIC; see wait_busy() */
	struct statement cache[STATEMENTS_MAX]; /* prepared once per connection */
	size_t ncache;
};

static struct sqlite *self(struct sql *db) { return (struct sqlite *)(void *)db; }

/* --- errors: https://www.sqlite.org/rescode.html --- */

static int system_failed(const char *path, const char *what, int error, struct err *err)
{
	switch (error) {
	case EACCES:
	case EPERM:
	case EROFS:
		return err_set(err, ERR_DENIED, "cannot %s %s: %s: check the owner and mode of the file and its folder", what,
		               path, strerror(error));
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
	case EIO: return err_set(err, ERR_UNAVAILABLE, "cannot %s %s: %s", what, path, strerror(error));
	default:
		return err_set(err, ERR_CONFIG, "cannot %s %s: %s: check the path in the store's URL", what, path,
		               strerror(error));
	}
}

static int failed(const struct sqlite *c, int rc, struct err *err)
{
	const char *text = sqlite3_errmsg(c->db);

	if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY)
		return err_set(err, ERR_CONFLICT, "%s: %s", c->path, text);
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return err_set(err, ERR_TEMPORARY, "%s is held by another program for over %d s: try again", c->path,
		               BUSY_MS / 1000);
	case SQLITE_NOMEM: return err_set(err, ERR_TEMPORARY, "out of memory");
	case SQLITE_FULL: return err_set(err, ERR_UNAVAILABLE, "no room to write %s: free space on its disk", c->path);
	case SQLITE_IOERR: /* after a failed sync nobody knows what is on the disk: no blind repeat */
		(void)err_set(err, ERR_UNAVAILABLE, "reading or writing %s failed (%s): check its disk", c->path,
		              sqlite3_errstr(rc));
		err->retry = false;
		return -1;
	case SQLITE_CANTOPEN: return system_failed(c->path, "open", sqlite3_system_errno(c->db), err);
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_AUTH:
		return err_set(err, ERR_DENIED, "cannot write %s (%s): check the owner and mode of the file and its folder",
		               c->path, text);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return err_set(err, ERR_CONFIG,
		               "%s is damaged or no SQLite database (%s): it was left as it is; restore it from a copy or name "
		               "another file",
		               c->path, text);
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH: return err_set(err, ERR_INPUT, "%s: %s", c->path, text);
	case SQLITE_TOOBIG: return err_set(err, ERR_LIMIT, "%s: %s", c->path, text);
	default: return err_set(err, ERR_CONFIG, "%s: %s", c->path, text);
	}
}

/* --- statements --- */

/* Of the cache, or, when that one is walking just now or the cache is full, one to finalize after use (*own). */
static sqlite3_stmt *prepare(struct sqlite *c, const char *text, bool *own, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	bool keep = c->ncache < STATEMENTS_MAX;

	*own = false;
	for (size_t i = 0; i < c->ncache; i++) {
		if (strcmp(c->cache[i].text, text) != 0)
			continue;
		if (!sqlite3_stmt_busy(c->cache[i].stmt))
			return c->cache[i].stmt;
		keep = false;
		break;
	}
	const int rc = sqlite3_prepare_v3(c->db, text, -1, keep ? SQLITE_PREPARE_PERSISTENT : 0, &stmt, NULL);
	if (rc != SQLITE_OK) {
		(void)failed(c, rc, err);
		return NULL;
	}
	char *name = keep ? strdup(text) : NULL;
	if (name)
		c->cache[c->ncache++] = (struct statement){.text = name, .stmt = stmt};
	else
		*own = true;
	return stmt;
}

static int bind(sqlite3_stmt *stmt, const struct sql_value *v, int at)
{
	switch (v->type) {
	case SQL_INT: return sqlite3_bind_int64(stmt, at, v->i);
	case SQL_TEXT: /* static: the caller's text outlives the statement's run */
		return sqlite3_bind_text64(stmt, at, v->s, v->n, SQLITE_STATIC, SQLITE_UTF8);
	default: return sqlite3_bind_null(stmt, at);
	}
}

static struct sql_value column(sqlite3_stmt *stmt, int at)
{
	struct sql_value v = {.type = SQL_NULL, .s = ""};

	switch (sqlite3_column_type(stmt, at)) {
	case SQLITE_NULL: break;
	case SQLITE_INTEGER:
		v.type = SQL_INT;
		v.i = sqlite3_column_int64(stmt, at);
		break;
	default: {
		const char *s = (const char *)sqlite3_column_text(stmt, at);
		v.type = SQL_TEXT;
		v.s = s ? s : "";
		v.n = s ? (size_t)sqlite3_column_bytes(stmt, at) : 0;
	}
	}
	return v;
}

static int step_all(struct sqlite *c, sqlite3_stmt *stmt, sql_row_fn row, void *ctx, struct err *err)
{
	struct sql_value col[SQL_COLUMNS_MAX];
	const int ncol = sqlite3_column_count(stmt);
	int rc;

	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		if (!row)
			continue;
		for (int i = 0; i < ncol && i < SQL_COLUMNS_MAX; i++)
			col[i] = column(stmt, i);
		if (row(ctx, col, err) < 0)
			return -1;
	}
	return rc == SQLITE_DONE ? 0 : failed(c, rc, err);
}

/* SQLite hands rows over one by one in either case. */
static int sqlite_run(struct sql *db, const char *text, const struct sql_value *binds, size_t nbinds, bool walk,
                      sql_row_fn row, void *ctx, struct err *err)
{
	struct sqlite *c = self(db);
	(void)walk;
	bool own;
	sqlite3_stmt *stmt = prepare(c, text, &own, err);
	int rc = 0;

	if (!stmt)
		return -1;
	for (size_t i = 0; i < nbinds && rc == 0; i++) {
		const int bound = bind(stmt, &binds[i], (int)i + 1);
		if (bound != SQLITE_OK)
			rc = failed(c, bound, err);
	}
	if (rc == 0)
		rc = step_all(c, stmt, row, ctx, err);
	db->changed = sqlite3_changes64(c->db);
	if (own) {
		(void)sqlite3_finalize(stmt);
	} else {
		(void)sqlite3_reset(stmt);
		(void)sqlite3_clear_bindings(stmt);
	}
	return rc;
}

static int sqlite_script(struct sql *db, const char *text, struct err *err)
{
	struct sqlite *c = self(db);

	return sqlite3_exec(c->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0
	                                                                : failed(c, sqlite3_extended_errcode(c->db), err);
}

static int on_found(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)col;
	(void)err;
	*(bool *)ctx = true;
	return 0;
}

static int sqlite_has_table(struct sql *db, const char *table, bool *there, struct err *err)
{
	*there = false;
	return sqlite_run(db, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", SQL_BINDS(sql_text(table)),
	                  false, on_found, there, err);
}

/* --- clock --- */

/* The host's clock, but never below the greatest time that any process wrote (row host_clock). While the host's
 * clock is behind that, the store's goes on from there at half speed: leases still run out, and the two meet again. */
static int64_t now_ms(struct sqlite *c)
{
	const int64_t host = clock_now_ms();
	const int64_t ahead = host > c->host_at ? (host - c->host_at) / 2 : 0;

	if (host >= c->seen_at) {
		c->seen_at = host;
		c->host_at = host;
	} else if (ahead > 0 || host < c->host_at) {
		c->seen_at += ahead;
		c->host_at = host;
	}
	return c->seen_at;
}

static int64_t sqlite_now(struct sql *db) { return now_ms(self(db)); }

static int on_clock(void *ctx, const struct sql_value *col, struct err *err)
{
	struct sqlite *c = ctx;
	(void)err;

	if (col[0].i > c->seen_at) {
		c->seen_at = col[0].i;
		c->host_at = col[1].i;
	}
	return 0;
}

static int read_clock(struct sqlite *c, struct err *err)
{
	return sqlite_run(&c->base, "SELECT seen_at, host_at FROM host_clock WHERE id = 1", SQL_NO_BINDS, false, on_clock,
	                  c, err);
}

static int write_clock(struct sqlite *c, struct err *err)
{
	(void)now_ms(c);
	return sqlite_run(&c->base, "UPDATE host_clock SET seen_at = ?, host_at = ? WHERE id = 1",
	                  SQL_BINDS(sql_int(c->seen_at), sql_int(c->host_at)), false, NULL, NULL, err);
}

/* --- transactions --- */

static void sqlite_rollback(struct sql *db)
{
	struct sqlite *c = self(db);

	if (!sqlite3_get_autocommit(c->db)) /* a grave error has rolled back already */
		(void)sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
}

static int sqlite_begin(struct sql *db, enum sql_tx kind, struct err *err)
{
	struct sqlite *c = self(db);

	/* A writer takes the write lock at once: a read lock that becomes one later is refused when another was faster. */
	if (sqlite_run(db, kind == SQL_READ ? "BEGIN" : "BEGIN IMMEDIATE", SQL_NO_BINDS, false, NULL, NULL, err) < 0)
		return -1;
	c->kind = kind;
	if (kind != SQL_WRITE || read_clock(c, err) == 0)
		return 0;
	sqlite_rollback(db);
	return -1;
}

static int sqlite_commit(struct sql *db, struct err *err)
{
	struct sqlite *c = self(db);

	if ((c->kind != SQL_WRITE || write_clock(c, err) == 0) &&
	    sqlite_run(db, "COMMIT", SQL_NO_BINDS, false, NULL, NULL, err) == 0)
		return 0;
	sqlite_rollback(db);
	return -1;
}

/* --- open and close --- */

/* Makes the folders of path that are missing, for us alone. */
static int make_folders(const char *path, struct err *err)
{
	char *folder = strdup(path);
	int rc = 0;

	if (!folder)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (char *slash = strchr(folder + 1, '/'); slash && rc == 0; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(folder, 0700) < 0 && errno != EEXIST)
			rc = system_failed(folder, "make the folder", errno, err);
		*slash = '/';
	}
	free(folder);
	return rc;
}

/* Makes the file, mode 0600 whatever the umask, when it is missing. An existing one is only looked at, never opened
 * here: closing it would drop the locks that another connection of this process holds on it
 * (https://www.sqlite.org/howtocorrupt.html 2.2). */
static int make_file(const char *path, struct err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			return system_failed(path, "look at", errno, err);
		if (make_folders(path, err) < 0)
			return -1;
		const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			return errno == EEXIST ? 0 : system_failed(path, "make", errno, err);
		const int failure = fchmod(fd, 0600) < 0 ? errno : 0;
		(void)close(fd);
		return failure ? system_failed(path, "set the mode of", failure, err) : 0;
	}
	if (S_ISLNK(st.st_mode) && st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(err, ERR_DENIED, "%s is a symbolic link made by another user (uid %lu): name the file itself",
		               path, (unsigned long)st.st_uid);
	if (stat(path, &st) < 0)
		return system_failed(path, "look at", errno, err);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_CONFIG, "%s is not a file: name a file for the store", path);
	/* on a read-only file system SQLite only finds that its own files beside this one are not there */
	return faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) < 0 ? system_failed(path, "write", errno, err) : 0;
}

static int on_text(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)err;
	(void)snprintf(ctx, 16, "%s", col[0].s);
	return 0;
}

/* Called again and again while another holds the lock. SQLite's own handler comes to sleep 100 ms between its tries,
 * so among several busy writers an unlucky one may never find the lock free; short, uneven sleeps are fair enough. */
static int wait_busy(void *ctx, int tries)
{
	struct sqlite *c = ctx;
	const int64_t now = clock_monotonic_ms();

	if (tries == 0)
		c->busy_until = now + BUSY_MS;
	if (now >= c->busy_until)
		return 0;
	clock_sleep_ms(1 + (tries + getpid()) % (tries < 100 ? 5 : 10));
	return 1;
}

/* WAL is a property of the file, so this acts once in its life. Two processes that try it at once get BUSY without
 * the usual waiting (each stands in the other's way), so it is repeated here. */
static int use_wal(struct sqlite *c, struct err *err)
{
	const int64_t until = clock_monotonic_ms() + BUSY_MS;
	char mode[16] = "";

	if (sqlite_run(&c->base, "PRAGMA journal_mode", SQL_NO_BINDS, false, on_text, mode, err) < 0)
		return -1;
	while (strcmp(mode, "wal") != 0) {
		if (sqlite_run(&c->base, "PRAGMA journal_mode = WAL", SQL_NO_BINDS, false, on_text, mode, err) == 0) {
			if (strcmp(mode, "wal") == 0)
				return 0;
			return err_set(err, ERR_CONFIG,
			               "%s: its file system cannot share memory between programs (a network mount?): put the store "
			               "on a local disk",
			               c->path);
		}
		if (err->code != ERR_TEMPORARY || clock_monotonic_ms() >= until)
			return -1;
		clock_sleep_ms(5 + (int64_t)getpid() % 16);
	}
	return 0;
}

static void sqlite_close(struct sql *db)
{
	struct sqlite *c = self(db);

	for (size_t i = 0; i < c->ncache; i++) {
		(void)sqlite3_finalize(c->cache[i].stmt);
		free(c->cache[i].text);
	}
	(void)sqlite3_close(c->db);
	free(c->path);
	free(c);
}

static int open_file(struct sqlite *c, struct err *err)
{
	bool there = false;

	int rc = sqlite3_open_v2(c->path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc != SQLITE_OK)
		return failed(c, rc, err);
	(void)sqlite3_busy_handler(c->db, wait_busy, c);
	if (use_wal(c, err) < 0)
		return -1;
	/* FULL: what was committed outlives a power cut. 16 MiB of pages: claims stay fast in a store of a million alerts.
	 */
	if (sqlite_script(&c->base, "PRAGMA synchronous = FULL; PRAGMA cache_size = -16384", err) < 0 ||
	    sqlite_has_table(&c->base, "host_clock", &there, err) < 0)
		return -1;
	return there ? read_clock(c, err) : 0;
}

static const char *path_of(const char *url)
{
	static const char scheme[] = "sqlite:";

	return strncmp(url, scheme, sizeof scheme - 1) == 0 ? url + sizeof scheme - 1 : url;
}

const char *sql_sqlite_library(void) { return sqlite3_libversion(); }

/* One that may not be looked at is not absent. */
static bool sqlite_absent(const char *url)
{
	struct stat st;

	return stat(path_of(url), &st) < 0 ? errno == ENOENT || errno == ENOTDIR : S_ISREG(st.st_mode) && !st.st_size;
}

static struct sql *sqlite_open(const char *url, struct err *err)
{
	const char *path = path_of(url);

	if (!*path || *path == ':') {
		(void)err_set(err, ERR_CONFIG, "sqlite: needs the path of a file, such as sqlite:/var/lib/autoscale/store.db");
		return NULL;
	}
	if (make_file(path, err) < 0)
		return NULL;
	struct sqlite *c = calloc(1, sizeof *c);
	if (c)
		c->path = strdup(path);
	if (!c || !c->path) {
		free(c);
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	c->base.driver = &sql_sqlite;
	c->base.skip_locked = "";
	if (open_file(c, err) < 0) {
		sqlite_close(&c->base);
		return NULL;
	}
	return &c->base;
}

const struct sql_driver sql_sqlite = {
	.absent = sqlite_absent,
	.open = sqlite_open,
	.close = sqlite_close,
	.run = sqlite_run,
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.now = sqlite_now,
	.has_table = sqlite_has_table,
	.script = sqlite_script,
};
