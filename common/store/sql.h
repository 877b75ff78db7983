/* The inner door of the room store/: what the portable SQL of this room asks of a database. Only files in this
 * folder include it. A driver is one file with one const struct sql_driver, and one line in sql.c; one whose client
 * library is large is a module (module.h).
 *
 * The portable subset that the callers keep to: VARCHAR, BIGINT, SMALLINT, MEDIUMTEXT; `?` for each value, never a
 * value in the text; no upsert, no RETURNING, no partial index, no vendor function. What servers do differently
 * (locks, clock, schema lock, names of errors) is behind these functions. Times are int64_t ms UTC.
 *
 * One connection belongs to one thread and is not carried over a fork. */
#ifndef STORE_SQL_H
#define STORE_SQL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQL_COLUMNS_MAX 16

enum sql_type { SQL_NULL, SQL_INT, SQL_TEXT };
struct sql_value {
	enum sql_type type;
	int64_t i;     /* 0 unless SQL_INT */
	const char *s; /* with a NUL behind its n bytes; "" unless SQL_TEXT, so that a NULL reads as no text */
	size_t n;
};
struct sql_value sql_int(int64_t i);
struct sql_value sql_text(const char *s);         /* NULL: SQL's NULL; "" stays "" */
struct sql_value sql_text_or_null(const char *s); /* "" too becomes SQL's NULL */
struct sql_value sql_time(int64_t ms);            /* TIME_NONE: SQL's NULL */
int64_t sql_get_time(const struct sql_value *v);  /* SQL's NULL: TIME_NONE */

/* The values of a statement, in order: SQL_BINDS(sql_text(name), sql_int(3)), or SQL_NO_BINDS. */
#define SQL_BINDS(...) \
	(const struct sql_value[]){__VA_ARGS__}, sizeof((const struct sql_value[]){__VA_ARGS__}) / sizeof(struct sql_value)
#define SQL_NO_BINDS NULL, 0

/* One row; texts live until it returns. -1 (with err) stops the walk. With sql_run it may read on the same connection.
 */
typedef int (*sql_row_fn)(void *ctx, const struct sql_value *col, struct err *err);

enum sql_tx {
	SQL_READ,   /* one unchanging view for several statements */
	SQL_WRITE,  /* sees the newest, and rows it updates stay ours until commit */
	SQL_SCHEMA, /* one process at a time changes tables */
};

struct sql {
	const struct sql_driver *driver;
	bool in_tx;
	bool deadlock;      /* the last failure was a lost race, mostly a deadlock: the transaction may be run again */
	int64_t schema_was; /* version found at the opening, 0 for an empty store */
	int64_t changed;    /* rows that the last INSERT, UPDATE or DELETE matched */
	/* What a SELECT inside SQL_WRITE ends with so that its rows are ours and rows that others hold are left out; ""
	 * where the transaction holds the whole database anyway, and where the server cannot: what is selected may then be
	 * another's before it is updated. The driver sets it when it opens. */
	const char *skip_locked;
};

struct sql_driver {
	/* Is there nothing yet, where opening would make it? NULL: opening makes nothing. */
	bool (*absent)(const char *url);
	struct sql *(*open)(const char *url, struct err *err);
	void (*close)(struct sql *db);
	/* ERR_CONFLICT means: a unique key is taken, and nothing else. walk: see sql_walk. */
	int (*run)(struct sql *db, const char *text, const struct sql_value *binds, size_t nbinds, bool walk,
	           sql_row_fn row, void *ctx, struct err *err);
	int (*begin)(struct sql *db, enum sql_tx kind, struct err *err);
	int (*commit)(struct sql *db, struct err *err); /* a failed commit has rolled back */
	void (*rollback)(struct sql *db);
	int64_t (*now)(struct sql *db);
	int (*has_table)(struct sql *db, const char *table, bool *there, struct err *err);
	/* The statements of a schema file, each ended by ";\n". Repeatable: a server that commits each change of a table
	 * by itself takes one that is there already as done. */
	int (*script)(struct sql *db, const char *text, struct err *err);
};

extern const struct sql_driver sql_sqlite; /* sqlite.c */

/* url: "sqlite:PATH" or a plain path, "mysql://...". Opens and brings the schema up to date. */
struct sql *sql_open(const char *url, struct err *err);
/* The same of one that is there. NULL with *there false, and err as it was: there is none, and none was made. */
struct sql *sql_open_existing(const char *url, bool *there, struct err *err);
bool sql_serves(const char *url); /* some driver here knows its scheme */
/* The same, as it is: nobody looks at its schema. */
struct sql *sql_open_raw(const char *url, bool *there, struct err *err);
/* The newest version of the schema in it, 0 for none. CONFIG when this program must not touch it: newer, or other. */
int sql_schema(struct sql *db, int64_t *version, struct err *err);
/* Tries an INSERT, an UPDATE and a DELETE, and rolls back: probe.c. */
int sql_may_write(struct sql *db, struct err *err);
const char *sql_sqlite_library(void);
void sql_close(struct sql *db); /* NULL is fine */

int sql_run(struct sql *db, const char *text, const struct sql_value *binds, size_t nbinds, sql_row_fn row, void *ctx,
            struct err *err);
/* The same for a result of any size: the server's rows are taken as they come, in bounded memory, and row must not use
 * the connection. */
int sql_walk(struct sql *db, const char *text, const struct sql_value *binds, size_t nbinds, sql_row_fn row, void *ctx,
             struct err *err);
int sql_begin(struct sql *db, enum sql_tx kind, struct err *err);
int sql_commit(struct sql *db, struct err *err);
void sql_rollback(struct sql *db);
int64_t sql_now(struct sql *db);

/* Runs fn inside a transaction: committed when it returns 0, rolled back when it returns -1, run again (at most 20
 * times, each after a longer random wait) after a lost deadlock. Inside an open transaction it joins that one. */
typedef int (*sql_tx_fn)(struct sql *db, void *job, struct err *err);
int sql_atomic(struct sql *db, enum sql_tx kind, sql_tx_fn fn, void *job, struct err *err);

/* One numbered file of schema/, embedded by schema/embed.sh into build/schema.c. */
struct sql_migration {
	int64_t version; /* 1, 2, ... without a gap */
	const char *name, *text;
};
extern const struct sql_migration sql_migrations[];
extern const size_t sql_migrations_count;

#endif
