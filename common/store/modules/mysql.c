/* The driver for MySQL and MariaDB, a module (module.h). Builds with MariaDB Connector/C and with MySQL's
 * libmysqlclient: https://mariadb.com/kb/en/mariadb-connector-c/, https://dev.mysql.com/doc/c-api/en/.
 *
 * The clock is the server's: its distance to CLOCK_MONOTONIC is measured when a connection is made and again now and
 * then, so that the host's clock may jump. A connection that is lost is made anew at the next use outside a
 * transaction; what was in a transaction is gone and says so. */
#include "store/module.h"
#include "store/option_file.h"
#include "store/sql.h"
#include "store/url.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <mysql.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/banned.h"

#if defined(MARIADB_BASE_VERSION) || defined(MARIADB_PACKAGE_VERSION)
#define CONNECTOR_MARIADB 1
typedef my_bool flag;
#elif MYSQL_VERSION_ID >= 80001
typedef bool flag;
#else
typedef my_bool flag;
#endif

#define CONNECT_S 2
#define CALL_S 5
#define LONG_S 60 /* for a server that greets others meanwhile: a million rows are read or sorted */
#define GREETING_MS 120
#define SCHEMA_S 300 /* changing a table of a million rows takes its time */
#define CLOCK_MS 10000
#define STATEMENTS_MAX 64
#define BINDS_MAX 160  /* SQL_MANY and a few more */
#define TEXT_FIRST 512 /* bytes of a column's buffer before it has to grow */

struct statement {
	char *text;
	MYSQL_STMT *stmt;
	struct row *row; /* where its results go; NULL before the first */
	bool busy;       /* its rows are being handed over */
};

struct mysql {
	struct sql base; /* first: the handle that the callers hold */
	struct url url;
	struct option_file file; /* what the URL leaves to a client option file */
	MYSQL *db;
	struct sockaddr_storage peer; /* the server, as the connection reached it */
	socklen_t peer_size;
	bool attached;                          /* it is who it should be, and said so */
	bool lost;                              /* the connection is of no use any more */
	unsigned int patience_s;                /* for one answer */
	enum sql_tx kind;                       /* of the open transaction */
	int64_t offset;                         /* the server's clock less CLOCK_MONOTONIC, ms */
	int64_t sampled_at;                     /* CLOCK_MONOTONIC */
	int running;                            /* statements whose rows are being handed over */
	struct statement cache[STATEMENTS_MAX]; /* prepared once per connection */
	size_t ncache;
};

static struct mysql *self(struct sql *db) { return (struct mysql *)(void *)db; }

/* --- errors: https://mariadb.com/kb/en/mariadb-error-code-reference/; 2000 to 2999 are the client library's --- */

enum { LOST = 1, RACE = 2, NO_RETRY = 4 };

static const struct {
	unsigned int code;
	enum err_code is;
	int how;
	const char *advice;
} errors[] = {
	{1062, ERR_CONFLICT, RACE, NULL}, /* it may have been stored since this transaction looked */
	{1586, ERR_CONFLICT, RACE, NULL},
	{1213, ERR_TEMPORARY, RACE, "try again"},
	{1205, ERR_TEMPORARY, RACE, "another program holds the rows: try again"},
	{1020, ERR_TEMPORARY, RACE, "try again"},
	{2002, ERR_UNAVAILABLE, LOST, "is the server up, and the address right?"},
	{2003, ERR_UNAVAILABLE, LOST, "is the server up, and the address right?"},
	{2005, ERR_UNAVAILABLE, LOST, "is the host's name right?"},
	{2006, ERR_UNAVAILABLE, LOST, "is the server up?"},
	{2013, ERR_UNAVAILABLE, LOST, "the server does not answer: is it up, and its disk not full?"},
	{2055, ERR_UNAVAILABLE, LOST, "the server does not answer: is it up, and its disk not full?"},
	{1053, ERR_UNAVAILABLE, LOST, "the server is stopping"},
	{1927, ERR_UNAVAILABLE, LOST, "somebody ended the connection at the server"},
	{4031, ERR_UNAVAILABLE, LOST, "the connection was idle for too long"},
	{1040, ERR_TEMPORARY, LOST, "try again, or raise max_connections"},
	{1203, ERR_TEMPORARY, LOST, "try again, or raise max_user_connections"},
	{1226, ERR_TEMPORARY, LOST, "try again, or raise the user's limit"},
	{1037, ERR_TEMPORARY, 0, "the server is out of memory"},
	{1041, ERR_TEMPORARY, 0, "the server is out of memory"},
	{1044, ERR_DENIED, 0, "GRANT the user its rights on the database"},
	{1045, ERR_DENIED, LOST, "look at user and password"},
	{1698, ERR_DENIED, LOST, "look at user and password"},
	{1130, ERR_DENIED, LOST, "the user may not come from this host"},
	{1129, ERR_DENIED, LOST, "the server has locked this host out: FLUSH HOSTS there"},
	{1142, ERR_DENIED, 0, "GRANT the user its rights on the database"},
	{1143, ERR_DENIED, 0, "GRANT the user its rights on the database"},
	{1227, ERR_DENIED, 0, "GRANT the user its rights on the database"},
	{1370, ERR_DENIED, 0, "GRANT the user its rights on the database"},
	{1820, ERR_DENIED, 0, "the user's password has to be changed"},
	{1862, ERR_DENIED, LOST, "the user's password has to be changed"},
	{3118, ERR_DENIED, LOST, "the account is locked"},
	{4151, ERR_DENIED, LOST, "the account is locked"},
	{1290, ERR_UNAVAILABLE, NO_RETRY, "the server is read-only: name the one that takes writes"},
	{1836, ERR_UNAVAILABLE, NO_RETRY, "the server is read-only: name the one that takes writes"},
	{1021, ERR_UNAVAILABLE, 0, "no room on the server's disk: free space there"},
	{1026, ERR_UNAVAILABLE, 0, "the server cannot write: is its disk full?"},
	{1030, ERR_UNAVAILABLE, 0, "the server's disk fails or is full: look there"},
	{1114, ERR_UNAVAILABLE, 0, "no room on the server's disk: free space there"},
	{1048, ERR_INPUT, 0, NULL},
	{1264, ERR_INPUT, 0, NULL},
	{1366, ERR_INPUT, 0, NULL},
	{1406, ERR_INPUT, 0, NULL},
	{3819, ERR_INPUT, 0, NULL},
	{4025, ERR_INPUT, 0, NULL},
	{1153, ERR_LIMIT, LOST, "raise the server's max_allowed_packet"},
	{2020, ERR_LIMIT, LOST, "raise the server's max_allowed_packet"},
	{1049, ERR_CONFIG, LOST, "CREATE DATABASE it"},
	{1665, ERR_CONFIG, 0, "set the server's binlog_format to MIXED or ROW"},
	{2026, ERR_DENIED, LOST, "look at ca=, or say tls=off where the way to the server is safe"},
	{2059, ERR_CONFIG, LOST, "give the user another authentication plugin"},
	{2061, ERR_CONFIG, LOST, "give the user another authentication plugin, or use TLS"},
	{1251, ERR_CONFIG, LOST, "give the user another authentication plugin"},
};

/* Under TLS a connection that ends or times out is told like a certificate that is refused. */
static bool is_cut(const struct mysql *c, unsigned int code, const char *text)
{
	static const char *const words[] = {"timed out", "eof", "reset", "broken pipe"};

	if (code != 2026)
		return false;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcasestr(text, words[i]))
			return true;
	return c->attached;
}

static int failed(struct mysql *c, unsigned int code, const char *text, struct err *err)
{
	if (is_cut(c, code, text))
		code = 2013;
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
		if (errors[i].code != code)
			continue;
		(void)err_set(err, errors[i].is, "%s: %.300s%s%s", c->url.shown, text, errors[i].advice ? ": " : "",
		              errors[i].advice ? errors[i].advice : "");
		if (errors[i].how & NO_RETRY)
			err->retry = false;
		c->base.deadlock = (errors[i].how & RACE) != 0;
		c->lost = c->lost || (errors[i].how & LOST);
		return -1;
	}
	return err_set(err, ERR_CONFIG, "%s: %.300s (error %u)", c->url.shown, text, code);
}

static int db_failed(struct mysql *c, struct err *err)
{
	return failed(c, mysql_errno(c->db), mysql_error(c->db), err);
}

static int stmt_failed(struct mysql *c, MYSQL_STMT *stmt, struct err *err)
{
	return failed(c, mysql_stmt_errno(stmt), mysql_stmt_error(stmt), err);
}

/* --- the connection --- */

/* Where the columns of a row are put. It lives as long as its statement: libmysqlclient writes there at each execution,
 * before it is told where the next result goes. */
struct row {
	unsigned int n;
	MYSQL_BIND bind[SQL_COLUMNS_MAX];
	unsigned long length[SQL_COLUMNS_MAX];
	flag null[SQL_COLUMNS_MAX], cut[SQL_COLUMNS_MAX];
	int64_t number[SQL_COLUMNS_MAX];
	struct sql_value col[SQL_COLUMNS_MAX];
};

static void statement_release(struct statement *s)
{
	(void)mysql_stmt_close(s->stmt);
	for (unsigned int i = 0; s->row && i < s->row->n; i++)
		if (s->row->bind[i].buffer_type == MYSQL_TYPE_STRING)
			free(s->row->bind[i].buffer);
	free(s->row);
	free(s->text);
}

static int socket_of(MYSQL *db)
{
#ifdef CONNECTOR_MARIADB
	return (int)mysql_get_socket(db);
#else
	return (int)db->net.fd;
#endif
}

/* A server that went away must not end the program: MySQL's library writes to it without asking for that. */
static void quiet_begin(sigset_t *was)
{
	sigset_t pipe;

	(void)sigemptyset(&pipe);
	(void)sigaddset(&pipe, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &pipe, was);
}

static void quiet_end(const sigset_t *was)
{
	const struct timespec now = {0};
	sigset_t pipe;

	(void)sigemptyset(&pipe);
	(void)sigaddset(&pipe, SIGPIPE);
	if (!sigismember(was, SIGPIPE))
		(void)sigtimedwait(&pipe, NULL, &now);
	(void)pthread_sigmask(SIG_SETMASK, was, NULL);
}

/* Nothing more is read from or said to the server on this connection. */
static void cut(struct mysql *c)
{
	(void)shutdown(socket_of(c->db), SHUT_RDWR);
	c->lost = true;
}

static void drop(struct mysql *c)
{
	sigset_t was;

	quiet_begin(&was);
	if (c->db)
		mysql_close(c->db);
	c->db = NULL;
	c->attached = false;
	for (size_t i = 0; i < c->ncache; i++)
		statement_release(&c->cache[i]);
	quiet_end(&was);
	c->ncache = 0;
	c->lost = true;
}

static int say(struct mysql *c, const char *text, struct err *err)
{
	sigset_t was;

	quiet_begin(&was);
	const int bad = mysql_real_query(c->db, text, (unsigned long)strlen(text));
	quiet_end(&was);
	return bad ? db_failed(c, err) : 0;
}

/* The first column of the only row; INT64_MIN for NULL. */
static int ask(struct mysql *c, const char *text, int64_t *value, struct err *err)
{
	if (say(c, text, err) < 0)
		return -1;
	MYSQL_RES *result = mysql_store_result(c->db);
	const MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
	if (!row) {
		const int rc = db_failed(c, err);
		mysql_free_result(result);
		return rc;
	}
	*value = row[0] ? strtoll(row[0], NULL, 10) : INT64_MIN;
	mysql_free_result(result);
	return 0;
}

static int sample_clock(struct mysql *c, struct err *err)
{
	const int64_t before = clock_monotonic_ms();
	int64_t server = 0;

	if (ask(c, "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)", &server, err) < 0)
		return -1;
	c->sampled_at = clock_monotonic_ms();
	c->offset = server - (before + (c->sampled_at - before) / 2);
	return 0;
}

/* What a session needs, whatever the server's defaults are. A lock is waited for less long than an answer, so that the
 * server says who is to blame. A reader may take its time over a long result. */
static int set_session(struct mysql *c, struct err *err)
{
	char text[400];
	const unsigned int lock_s = c->patience_s > CALL_S ? 60 : CALL_S - 2;

	(void)snprintf(text, sizeof text,
	               "SET NAMES utf8mb4, SESSION sql_mode = 'STRICT_ALL_TABLES', SESSION time_zone = '+00:00',"
	               " SESSION autocommit = 1, SESSION innodb_lock_wait_timeout = %u, SESSION lock_wait_timeout = %u,"
	               " SESSION net_write_timeout = 600",
	               lock_s, lock_s);
	if (say(c, text, err) < 0 || say(c, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", err) < 0)
		return -1;
	return sample_clock(c, err);
}

/* MariaDB says 5.5.5-10.11.2-MariaDB to clients that would take a 10 for a 1. */
static const char *skip_locked(const char *version)
{
	const bool mariadb = strstr(version, "MariaDB") != NULL;
	char *end;

	if (mariadb && strncmp(version, "5.5.5-", 6) == 0)
		version += 6;
	const long major = strtol(version, &end, 10), minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
	const bool has = mariadb ? major * 100 + minor >= 1006 : major >= 8;
	return has ? " FOR UPDATE SKIP LOCKED" : "";
}

static const char *first(const char *a, const char *b) { return a ? a : b; }

struct login {
	const char *host, *user, *password, *database, *socket, *ca, *cert, *key;
	unsigned int port;
	bool tls; /* required, the certificate and the host's name in it checked */
	bool tls_off;
};

static void login_of(const struct mysql *c, struct login *l)
{
	const struct url *u = &c->url;
	const struct option_file *f = &c->file;
	const char *tls = url_option(u, "tls");

	*l = (struct login){
		.host = *u->host ? u->host : NULL,
		.user = first(u->user, f->user),
		.password = first(u->password, f->password),
		.database = first(u->database, f->database),
		.socket = first(url_option(u, "socket"), u->port || *u->host ? NULL : f->socket),
		.ca = first(url_option(u, "ca"), f->ca),
		.cert = first(url_option(u, "cert"), f->cert),
		.key = first(url_option(u, "key"), f->key),
		.port = (unsigned int)u->port,
		.tls_off = tls && strcmp(tls, "off") == 0,
	};
	l->tls = tls ? !l->tls_off : !l->socket && !url_is_local(u);
}

#ifdef CONNECTOR_MARIADB
static bool set_tls(MYSQL *db, const struct login *l)
{
	const flag on = l->tls;

	return mysql_options(db, MYSQL_OPT_SSL_ENFORCE, &on) == 0 &&
	       mysql_options(db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &on) == 0 &&
	       (!l->tls || mysql_options(db, MARIADB_OPT_TLS_VERSION, "TLSv1.2,TLSv1.3") == 0);
}
#else
/* This library has no own idea of the system's authorities. */
static const char *system_ca(void)
{
	static const char *const paths[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
	                                    "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		if (access(paths[i], R_OK) == 0)
			return paths[i];
	return NULL;
}

static bool set_tls(MYSQL *db, const struct login *l)
{
	const unsigned int mode = l->tls ? SSL_MODE_VERIFY_IDENTITY : l->tls_off ? SSL_MODE_DISABLED : SSL_MODE_PREFERRED;

	return mysql_options(db, MYSQL_OPT_SSL_MODE, &mode) == 0 &&
	       (!l->tls || ((l->ca || mysql_options(db, MYSQL_OPT_SSL_CA, system_ca()) == 0) &&
	                    mysql_options(db, MYSQL_OPT_TLS_VERSION, "TLSv1.2,TLSv1.3") == 0));
}
#endif

/* Several statements in one text and a reconnect by the library are off unless asked for. */
static bool set_options(MYSQL *db, const struct mysql *c, const struct login *l)
{
	const unsigned int connect_s = CONNECT_S, call_s = c->patience_s, no = 0;
	const unsigned int tcp = MYSQL_PROTOCOL_TCP;

	return mysql_options(db, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s) == 0 &&
	       mysql_options(db, MYSQL_OPT_READ_TIMEOUT, &call_s) == 0 &&
	       mysql_options(db, MYSQL_OPT_WRITE_TIMEOUT, &call_s) == 0 &&
	       mysql_options(db, MYSQL_OPT_LOCAL_INFILE, &no) == 0 &&
	       mysql_options(db, MYSQL_SET_CHARSET_NAME, "utf8mb4") == 0 &&
	       (!l->port || l->socket || mysql_options(db, MYSQL_OPT_PROTOCOL, &tcp) == 0) &&
	       (!l->ca || mysql_options(db, MYSQL_OPT_SSL_CA, l->ca) == 0) &&
	       (!l->cert || mysql_options(db, MYSQL_OPT_SSL_CERT, l->cert) == 0) &&
	       (!l->key || mysql_options(db, MYSQL_OPT_SSL_KEY, l->key) == 0) && set_tls(db, l);
}

/* A library may take "required" for a wish: what counts is the cipher. Asked before anything is said to the server. */
static int check_cipher(struct mysql *c, const struct login *l, struct err *err)
{
	if (!l->tls || mysql_get_ssl_cipher(c->db))
		return 0;
	(void)err_set(err, ERR_UNAVAILABLE,
	              "%s: the server speaks no TLS: turn it on there, or say tls=off where the way to the server is safe",
	              c->url.shown);
	err->retry = false;
	return -1;
}

static int no_connection(struct mysql *c, const struct login *l, struct err *err)
{
	const char *text = mysql_error(c->db);

	(void)db_failed(c, err);
	/* The words differ by library and version; the number is the same for a certificate that is refused. */
	if (l->tls && mysql_errno(c->db) == 2026 && strstr(text, "support"))
		(void)check_cipher(c, l, err);
	return -1;
}

static bool connect_to(MYSQL *db, const struct login *l)
{
	sigset_t was;

	quiet_begin(&was);
	const MYSQL *good = mysql_real_connect(db, l->socket ? "localhost" : l->host, l->user, l->password, l->database,
	                                       l->port, l->socket, CLIENT_FOUND_ROWS);
	quiet_end(&was);
	return good != NULL;
}

static int attach(struct mysql *c, struct err *err)
{
	struct login l;

	login_of(c, &l);
	drop(c);
	c->lost = false;
	c->db = mysql_init(NULL);
	if (!c->db)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	if (!set_options(c->db, c, &l))
		(void)err_set(err, ERR_CONFIG, "%s: the client library refuses an option: update it", c->url.shown);
	else if (!connect_to(c->db, &l))
		(void)no_connection(c, &l, err);
	else if (check_cipher(c, &l, err) == 0) {
		c->attached = true;
		c->base.skip_locked = skip_locked(mysql_get_server_info(c->db));
		c->peer_size = sizeof c->peer;
		if (getpeername(socket_of(c->db), (struct sockaddr *)&c->peer, &c->peer_size) < 0)
			c->peer_size = 0;
		if (set_session(c, err) == 0)
			return 0;
	}
	drop(c);
	return -1;
}

/* Before a statement or transaction: a connection, and a clock that is fresh enough. */
static int ready(struct mysql *c, struct err *err)
{
	if (c->base.in_tx || c->running > 0) {
		if (!c->lost)
			return 0;
		return err_set(err, ERR_UNAVAILABLE, "%s: the connection was lost: nothing of the transaction is stored",
		               c->url.shown);
	}
	if (c->lost)
		return attach(c, err);
	const int64_t now = clock_monotonic_ms();
	if (now - c->sampled_at < CLOCK_MS || sample_clock(c, err) == 0)
		return 0;
	/* An idle connection that the server has closed says so at once; a hung server has cost the time already. */
	return c->lost && clock_monotonic_ms() - now < 1000 ? attach(c, err) : -1;
}

/* --- statements --- */

/* Of the cache, or, when that one is busy just now or the cache is full, *own, to be closed after use. */
static struct statement *prepare(struct mysql *c, const char *text, struct statement *own, struct err *err)
{
	bool keep = c->ncache < STATEMENTS_MAX;

	for (size_t i = 0; i < c->ncache; i++) {
		if (strcmp(c->cache[i].text, text) != 0)
			continue;
		if (!c->cache[i].busy)
			return &c->cache[i];
		keep = false;
		break;
	}
	MYSQL_STMT *stmt = mysql_stmt_init(c->db);
	if (!stmt) {
		(void)db_failed(c, err);
		return NULL;
	}
	if (mysql_stmt_prepare(stmt, text, (unsigned long)strlen(text)) != 0) {
		(void)stmt_failed(c, stmt, err);
		(void)mysql_stmt_close(stmt);
		return NULL;
	}
	*own = (struct statement){.stmt = stmt};
	char *name = keep ? strdup(text) : NULL;
	if (!name)
		return own;
	c->cache[c->ncache] = (struct statement){.text = name, .stmt = stmt};
	return &c->cache[c->ncache++];
}

static int execute(struct mysql *c, MYSQL_STMT *stmt, const struct sql_value *binds, size_t nbinds, struct err *err)
{
	MYSQL_BIND b[BINDS_MAX];
	unsigned long n[BINDS_MAX];

	if (nbinds > BINDS_MAX)
		return err_set(err, ERR_LIMIT, "a statement with more than %d values", BINDS_MAX);
	memset(b, 0, sizeof b);
	for (size_t i = 0; i < nbinds; i++) {
		n[i] = (unsigned long)binds[i].n;
		/* the library only reads what is bound as a parameter */
		b[i].buffer = binds[i].type == SQL_INT ? (void *)(uintptr_t)&binds[i].i : (void *)(uintptr_t)binds[i].s;
		b[i].buffer_type = binds[i].type == SQL_INT    ? MYSQL_TYPE_LONGLONG
		                   : binds[i].type == SQL_TEXT ? MYSQL_TYPE_STRING
		                                               : MYSQL_TYPE_NULL;
		b[i].buffer_length = n[i];
		b[i].length = &n[i];
	}
	if ((nbinds && mysql_stmt_bind_param(stmt, b) != 0) || mysql_stmt_execute(stmt) != 0)
		return stmt_failed(c, stmt, err);
	return 0;
}

static bool is_number(const MYSQL_FIELD *f)
{
	switch (f->type) {
	case MYSQL_TYPE_TINY:
	case MYSQL_TYPE_SHORT:
	case MYSQL_TYPE_INT24:
	case MYSQL_TYPE_LONG:
	case MYSQL_TYPE_LONGLONG: return true;
	case MYSQL_TYPE_NEWDECIMAL: return f->decimals == 0; /* a SUM */
	default: return false;
	}
}

/* A buffer for each column, by its type. */
static int row_shape(struct row *r, MYSQL_RES *meta, struct err *err)
{
	const MYSQL_FIELD *field = mysql_fetch_fields(meta);
	const unsigned int n = mysql_num_fields(meta);

	if (n > SQL_COLUMNS_MAX)
		return err_set(err, ERR_LIMIT, "a result of more than %d columns", SQL_COLUMNS_MAX);
	for (; r->n < n; r->n++) {
		const unsigned int i = r->n;
		MYSQL_BIND *b = &r->bind[i];
		*b = (MYSQL_BIND){.length = &r->length[i], .is_null = &r->null[i], .error = &r->cut[i]};
		if (is_number(&field[i])) {
			b->buffer_type = MYSQL_TYPE_LONGLONG;
			b->buffer = &r->number[i];
			b->buffer_length = sizeof r->number[i];
			continue;
		}
		b->buffer_type = MYSQL_TYPE_STRING;
		b->buffer = malloc(TEXT_FIRST + 1);
		b->buffer_length = TEXT_FIRST;
		if (!b->buffer)
			return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	return 0;
}

static int row_bind(struct mysql *c, struct statement *s, struct err *err)
{
	int rc = 0;

	if (!s->row) {
		MYSQL_RES *meta = mysql_stmt_result_metadata(s->stmt);
		if (!meta)
			return stmt_failed(c, s->stmt, err);
		s->row = calloc(1, sizeof *s->row);
		rc = s->row ? row_shape(s->row, meta, err) : err_set(err, ERR_TEMPORARY, "out of memory");
		mysql_free_result(meta);
	}
	return rc == 0 && mysql_stmt_bind_result(s->stmt, s->row->bind) != 0 ? stmt_failed(c, s->stmt, err) : rc;
}

/* Texts that did not fit are fetched again into a buffer of their size, which later rows use too. */
static int row_grow(struct mysql *c, MYSQL_STMT *stmt, struct row *r, struct err *err)
{
	bool grown = false;

	for (unsigned int i = 0; i < r->n; i++) {
		MYSQL_BIND *b = &r->bind[i];
		if (b->buffer_type != MYSQL_TYPE_STRING || r->null[i] || r->length[i] <= b->buffer_length)
			continue;
		char *larger = realloc(b->buffer, (size_t)r->length[i] + 1);
		if (!larger)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		b->buffer = larger;
		b->buffer_length = r->length[i];
		grown = true;
		if (mysql_stmt_fetch_column(stmt, b, i, 0) != 0)
			return stmt_failed(c, stmt, err);
	}
	return !grown || mysql_stmt_bind_result(stmt, r->bind) == 0 ? 0 : stmt_failed(c, stmt, err);
}

static const struct sql_value *row_values(struct row *r)
{
	for (unsigned int i = 0; i < r->n; i++) {
		struct sql_value *v = &r->col[i];
		*v = (struct sql_value){.type = SQL_NULL, .s = ""};
		if (r->null[i])
			continue;
		if (r->bind[i].buffer_type == MYSQL_TYPE_LONGLONG) {
			v->type = SQL_INT;
			v->i = r->number[i];
			continue;
		}
		char *text = r->bind[i].buffer;
		text[r->length[i]] = '\0';
		*v = (struct sql_value){.type = SQL_TEXT, .s = text, .n = r->length[i]};
	}
	return r->col;
}

static int hand_over(struct mysql *c, MYSQL_STMT *stmt, struct row *r, sql_row_fn row, void *ctx, struct err *err)
{
	for (;;) {
		const int got = mysql_stmt_fetch(stmt);
		if (got == MYSQL_NO_DATA)
			return 0;
		if (got != 0 && got != MYSQL_DATA_TRUNCATED)
			return stmt_failed(c, stmt, err);
		if (row_grow(c, stmt, r, err) < 0 || (row && row(ctx, row_values(r), err) < 0))
			return -1;
	}
}

/* The rows of an executed SELECT: all taken over first, so that the callback may use the connection; or, for a walk, as
 * they come. A result that broke off ends the connection: after an error of the server in the midst of it, MariaDB's
 * library would wait for the rest when the statement is executed again; and after a walk that was stopped, the rest may
 * be a million rows. */
static int rows(struct mysql *c, struct statement *s, bool walk, sql_row_fn row, void *ctx, struct err *err)
{
	int rc = row_bind(c, s, err);
	const bool stored = rc == 0 && !walk && mysql_stmt_store_result(s->stmt) == 0;

	if (rc == 0 && !walk && !stored)
		rc = stmt_failed(c, s->stmt, err);
	s->busy = true;
	c->running++;
	if (rc == 0)
		rc = hand_over(c, s->stmt, s->row, row, ctx, err);
	c->running--;
	s->busy = false;
	if (rc < 0 && !stored)
		cut(c);
	(void)mysql_stmt_free_result(s->stmt);
	return rc;
}

static int run_once(struct mysql *c, const char *text, const struct sql_value *binds, size_t nbinds, bool walk,
                    sql_row_fn row, void *ctx, struct err *err)
{
	sigset_t was;
	struct statement own = {0};

	quiet_begin(&was);
	struct statement *s = prepare(c, text, &own, err);
	int rc = s ? execute(c, s->stmt, binds, nbinds, err) : -1;
	quiet_end(&was);
	if (rc == 0 && mysql_stmt_field_count(s->stmt) > 0)
		rc = rows(c, s, walk, row, ctx, err);
	else if (rc == 0)
		c->base.changed = (int64_t)mysql_stmt_affected_rows(s->stmt);
	if (s != &own)
		return rc;
	quiet_begin(&was);
	statement_release(&own);
	quiet_end(&was);
	return rc;
}

/* Whether what failed may be done once more on a new connection: it was idle and the server had closed it, and nothing
 * is in hand. What took long met a server that hangs, or is busy. */
static bool may_repeat(const struct mysql *c, int64_t since)
{
	return c->lost && !c->base.in_tx && c->running == 0 && clock_monotonic_ms() - since < 1000;
}

/* A server that hangs and one that is busy with a long question look alike to who waits; only this one greets others.
 */
static bool greets(const struct mysql *c)
{
	const int fd = socket(c->peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char byte;
	bool good = false;

	if (fd < 0 || c->peer_size == 0)
		goto out;
	if (connect(fd, (const struct sockaddr *)&c->peer, c->peer_size) < 0 && errno != EINPROGRESS)
		goto out;
	good = poll(&p, 1, GREETING_MS) == 1 && read(fd, &byte, 1) == 1;
out:
	if (fd >= 0)
		(void)close(fd);
	return good;
}

/* Back from a patient connection: the next use makes a usual one. */
static void usual_patience(struct mysql *c)
{
	if (c->patience_s == CALL_S)
		return;
	c->patience_s = CALL_S;
	drop(c);
}

/* A question that changes nothing is asked once more on a new connection; of a server that was too busy, with more
 * patience. */
static int reattach(struct mysql *c, int64_t since, struct err *err)
{
	if (may_repeat(c, since))
		return attach(c, err);
	if (!c->lost || c->base.in_tx || c->running > 0 || clock_monotonic_ms() - since < CALL_S * 1000 - 500 || !greets(c))
		return -1;
	c->patience_s = LONG_S;
	if (attach(c, err) == 0)
		return 0;
	usual_patience(c);
	return -1;
}

struct counted {
	sql_row_fn row;
	void *ctx;
	bool any;
};

static int on_counted(void *ctx, const struct sql_value *col, struct err *err)
{
	struct counted *counted = ctx;

	counted->any = true;
	return counted->row ? counted->row(counted->ctx, col, err) : 0;
}

static int mysql_run(struct sql *db, const char *text, const struct sql_value *binds, size_t nbinds, bool walk,
                     sql_row_fn row, void *ctx, struct err *err)
{
	struct mysql *c = self(db);
	struct counted counted = {.row = row, .ctx = ctx};
	const int64_t start = clock_monotonic_ms();

	if (ready(c, err) < 0)
		return -1;
	if (run_once(c, text, binds, nbinds, walk, on_counted, &counted, err) == 0)
		return 0;
	if (counted.any || strncmp(text, "SELECT ", 7) != 0)
		return -1;
	if (reattach(c, start, err) < 0)
		return -1;
	const int rc = run_once(c, text, binds, nbinds, walk, row, ctx, err);
	usual_patience(c);
	return rc;
}

/* --- transactions --- */

#define SCHEMA_LOCK "CONCAT('autoscale.', SHA1(DATABASE()))"

/* One process at a time changes tables; the lock goes away with its connection. */
static int lock_schema(struct mysql *c, struct err *err)
{
	int64_t got = 0;

	c->patience_s = SCHEMA_S;
	if (attach(c, err) < 0 || ask(c, "SELECT GET_LOCK(" SCHEMA_LOCK ", 60)", &got, err) < 0)
		return -1;
	return got == 1 ? 0
	                : err_set(err, ERR_TEMPORARY, "%s: another program changes the tables for over 60 s: try again",
	                          c->url.shown);
}

static int begin_once(struct mysql *c, enum sql_tx kind, struct err *err)
{
	if (kind == SQL_WRITE)
		return say(c, "START TRANSACTION", err);
	if (say(c, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", err) < 0)
		return -1;
	return say(c, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", err);
}

/* For who reads whole tables. */
static int begin_read(struct mysql *c, struct err *err)
{
	c->patience_s = LONG_S;
	return attach(c, err) < 0 ? -1 : begin_once(c, SQL_READ, err);
}

static int begin_write(struct mysql *c, struct err *err)
{
	const int64_t start = clock_monotonic_ms();

	if (ready(c, err) < 0)
		return -1;
	if (begin_once(c, SQL_WRITE, err) == 0)
		return 0;
	return may_repeat(c, start) && attach(c, err) == 0 ? begin_once(c, SQL_WRITE, err) : -1;
}

static int mysql_begin(struct sql *db, enum sql_tx kind, struct err *err)
{
	struct mysql *c = self(db);

	c->kind = kind;
	if (kind == SQL_WRITE)
		return begin_write(c, err);
	if ((kind == SQL_SCHEMA ? lock_schema(c, err) : begin_read(c, err)) == 0)
		return 0;
	usual_patience(c);
	return -1;
}

/* What is not written ends with its connection. */
static void mysql_undo(struct sql *db)
{
	struct mysql *c = self(db);
	struct err err;

	if (c->kind != SQL_WRITE)
		usual_patience(c);
	else if (!c->lost && say(c, "ROLLBACK", &err) < 0)
		c->lost = true; /* the server undoes it when the connection ends */
}

static int mysql_keep(struct sql *db, struct err *err)
{
	struct mysql *c = self(db);

	if (c->kind != SQL_WRITE) {
		usual_patience(c);
		return 0;
	}
	if (!c->lost && say(c, "COMMIT", err) == 0)
		return 0;
	if (c->lost)
		return err_set(err, ERR_UNAVAILABLE,
		               "%s: the connection was lost at the commit: whether it is stored shows at the next try",
		               c->url.shown);
	const bool again = db->deadlock;
	mysql_undo(db);
	db->deadlock = again;
	return -1;
}

static int64_t mysql_now(struct sql *db) { return clock_monotonic_ms() + self(db)->offset; }

/* --- the schema --- */

static int on_found(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)col;
	(void)err;
	*(bool *)ctx = true;
	return 0;
}

static int mysql_has_table(struct sql *db, const char *table, bool *there, struct err *err)
{
	const struct sql_value name = {.type = SQL_TEXT, .s = table, .n = strlen(table)};

	*there = false;
	return mysql_run(db, "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?",
	                 &name, 1, false, on_found, there, err);
}

static bool begins(const char *text, const char *word) { return strncmp(text, word, strlen(word)) == 0; }

/* One statement, made repeatable: this server commits each change of a table by itself, so a program that is killed
 * between two leaves the first. Rows that are there already are kept; the rest is added. */
static int step(struct mysql *c, const char *text, size_t n, struct err *err)
{
	static const char table_options[] = " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin";
	static const char insert[] = "INSERT INTO ", ignore[] = "INSERT IGNORE INTO ";
	const size_t skip = begins(text, insert) ? sizeof insert - 1 : 0;
	struct buf b = BUF_INIT(65536);
	int rc;

	if (skip)
		buf_puts(&b, ignore);
	buf_put(&b, text + skip, n - skip);
	if (begins(text, "CREATE TABLE "))
		buf_puts(&b, table_options);
	rc = buf_ok(&b, err);
	if (rc == 0)
		rc = say(c, b.p, err);
	buf_release(&b);
	if (rc == 0)
		return 0;
	switch (mysql_errno(c->db)) {
	case 1050: /* the table is there */
	case 1060: /* the column */
	case 1061: /* the index */ return 0;
	default: return -1;
	}
}

static int mysql_script(struct sql *db, const char *text, struct err *err)
{
	struct mysql *c = self(db);

	for (const char *end; (end = strstr(text, ";\n")); text = end + 2)
		if (step(c, text, (size_t)(end - text), err) < 0)
			return -1;
	return 0;
}

/* --- open and close --- */

static void mysql_close_all(struct sql *db)
{
	struct mysql *c = self(db);

	drop(c);
	option_file_release(&c->file);
	url_release(&c->url);
	free(c);
}

/* What the URL asks for, checked before any server is. */
static int take_url(struct mysql *c, const char *text, struct err *err)
{
	static const char *const known[] = {"tls",           "ca", "cert", "key", "socket", "group", "defaults-file",
	                                    "password-file", NULL};
	struct url *u = &c->url;

	if (url_parse(text, u, err) < 0 || url_check_options(u, known, err) < 0)
		return -1;
	const char *tls = url_option(u, "tls"), *path = url_option(u, "defaults-file"), *group = url_option(u, "group");
	if (tls && strcmp(tls, "off") != 0 && strcmp(tls, "required") != 0)
		return err_set(err, ERR_CONFIG, "%s: tls is \"required\" or \"off\"", u->shown);
	if (strchr(u->host, ','))
		return err_set(err, ERR_CONFIG, "%s: one host at a time", u->shown);
	if (group && !path)
		return err_set(err, ERR_CONFIG, "%s: group= is of the file that defaults-file= names", u->shown);
	if (path && option_file_read(path, group, &c->file, err) < 0)
		return err_prefix(err, "%s", u->shown);
	if (!*u->host && c->file.host) { /* so that all that asks for the host sees the one that is used */
		free(u->host);
		u->host = strdup(c->file.host);
		u->port = u->port ? u->port : c->file.port;
		if (!u->host)
			return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	if (!u->database && !c->file.database)
		return err_set(err, ERR_CONFIG, "%s: name a database: mysql://USER@HOST/DATABASE", u->shown);
	return 0;
}

static struct sql *mysql_open(const char *url, struct err *err)
{
	struct mysql *c = calloc(1, sizeof *c);

	if (!c) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	c->base = (struct sql){.driver = autoscale_store_module.sql, .skip_locked = ""};
	c->patience_s = CALL_S;
	c->lost = true;
	if (take_url(c, url, err) == 0 && attach(c, err) == 0)
		return &c->base;
	mysql_close_all(&c->base);
	return NULL;
}

static const struct sql_driver driver = {
	.open = mysql_open,
	.close = mysql_close_all,
	.run = mysql_run,
	.begin = mysql_begin,
	.commit = mysql_keep,
	.rollback = mysql_undo,
	.now = mysql_now,
	.has_table = mysql_has_table,
	.script = mysql_script,
};

static const char *library(void) { return mysql_get_client_info(); }

const struct store_module autoscale_store_module = {.version = AS_VERSION, .library = library, .sql = &driver};
