/* A store for a case of its own: a SQLite file, or, where an environment variable says so, a database of a server:
 *
 *     AS_TEST_STORE='mysql://as@localhost/asNAME?socket=/run/mysqld/mysqld.sock' build/unit/store_test
 *
 * NAME stands for the case's name. With mysql:// the database is dropped and made anew, from the one without NAME. */
#ifndef TESTS_UNIT_SCRATCH_STORE_H
#define TESTS_UNIT_SCRATCH_STORE_H

#include "store/sql.h"
#include "store/store.h"

#include "scratch.h"

/* Without a store there is nothing to test. */
static inline struct store *scratch_open(const char *path)
{
	struct err err = {0};
	struct store *s = store_open(path, &err);

	if (!s) {
		printf("Bail out! %s: %s\n", path, err.message);
		exit(1);
	}
	return s;
}

static inline int scratch_on_value(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)err;
	*(long long *)ctx = col[0].i;
	return 0;
}

static inline bool scratch_is_file(const char *url) { return strncmp(url, "mysql:", 6) != 0; }

/* The first column of the first row, -1 when there is none: the store as it is, not by the functions under test.
 * Several statements, parted by ";": the last counts. */
static inline long long scratch_look(const char *url, const char *text)
{
	struct err err = {0};
	long long value = -1;

	if (scratch_is_file(url))
		return scratch_sql(url, text);
	struct sql *db = sql_open(url, &err);
	for (const char *end; db && *text; text = end + (*end == ';')) {
		char one[1000];
		end = text + strcspn(text, ";");
		(void)snprintf(one, sizeof one, "%.*s", (int)(end - text), text);
		value = -1;
		if (sql_run(db, one, SQL_NO_BINDS, scratch_on_value, &value, &err) < 0)
			break;
	}
	if (err.code != ERR_NONE)
		printf("# %s\n", err.message);
	sql_close(db);
	return value;
}

/* pattern with name in the place of NAME. */
static inline void scratch_named(char out[400], const char *pattern, const char *name)
{
	const char *at = strstr(pattern, "NAME");

	(void)snprintf(out, 400, "%.*s%s%s", (int)(at ? at - pattern : 0), pattern, name, at ? at + 4 : pattern);
}

/* The URL of a store that was empty when this program asked for it first. At most 64 of them. */
static inline const char *scratch_store(const char *variable, const char *name)
{
	static char urls[64][400];
	const char *pattern = getenv(variable);
	char wanted[400], base[400], text[200];
	struct err err = {0};
	size_t i = 0;

	if (pattern)
		scratch_named(wanted, pattern, name);
	else
		(void)snprintf(wanted, sizeof wanted, "%s/%s.db", scratch, name);
	while (i < 64 && *urls[i] && strcmp(urls[i], wanted) != 0)
		i++;
	if (i == 64)
		abort();
	char *url = urls[i];
	if (*url)
		return url;
	(void)snprintf(url, sizeof *urls, "%s", wanted);
	if (!pattern || scratch_is_file(url))
		return url;
	scratch_named(base, pattern, "");
	struct sql *db = sql_open(base, &err);
	(void)snprintf(text, sizeof text, "DROP DATABASE IF EXISTS `as%s`", name);
	if (db && sql_run(db, text, SQL_NO_BINDS, NULL, NULL, &err) == 0) {
		(void)snprintf(text, sizeof text, "CREATE DATABASE `as%s`", name);
		(void)sql_run(db, text, SQL_NO_BINDS, NULL, NULL, &err);
	}
	sql_close(db);
	if (err.code != ERR_NONE) {
		printf("Bail out! %s\n", err.message);
		exit(1);
	}
	return url;
}

/* The same for the n-th of many like it: another file, or the server's one database emptied, which is faster there. */
static inline const char *scratch_store_again(const char *variable, const char *name, int n)
{
	static const char *const tables[] = {"autoscale_history", "operation", "audit", "service_state"};
	char numbered[64], text[64];

	(void)snprintf(numbered, sizeof numbered, "%s-%d", name, n);
	const char *url = scratch_store(variable, getenv(variable) ? name : numbered);
	for (size_t i = 0; n > 0 && !scratch_is_file(url) && i < sizeof tables / sizeof *tables; i++) {
		(void)snprintf(text, sizeof text, "DELETE FROM %s", tables[i]);
		(void)scratch_look(url, text);
	}
	return url;
}

#endif
