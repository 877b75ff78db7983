/* A look at a store that changes nothing. */
#include "base/limits.h"
#include "store/inner.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static int on_version(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)err;
	*(int64_t *)ctx = col[0].i;
	return 0;
}

/* A row, a change and a deletion, none of which stays. A server looks at the rights also where no row is met. */
int sql_may_write(struct sql *db, struct err *err)
{
	if (sql_begin(db, SQL_WRITE, err) < 0)
		return -1;
	int rc = sql_run(db, "INSERT INTO recommendation (service, noted_at, want) VALUES (?, ?, ?)",
	                 SQL_BINDS(sql_text("-"), sql_int(sql_now(db)), sql_int(0)), NULL, NULL, err);
	if (rc == 0)
		rc = sql_run(db, "UPDATE service_state SET generation = generation WHERE 1 = 0", SQL_NO_BINDS, NULL, NULL, err);
	if (rc == 0)
		rc = sql_run(db, "DELETE FROM container WHERE 1 = 0", SQL_NO_BINDS, NULL, NULL, err);
	sql_rollback(db);
	return rc;
}

static int look(struct sql *db, struct store_probe *out, struct err *err)
{
	int64_t version;
	bool tables = false;

	if (db->driver->has_table(db, "schema_version", &tables, err) < 0)
		return -1;
	if (tables &&
	    sql_run(db, "SELECT MAX(version) FROM schema_version", SQL_NO_BINDS, on_version, &out->schema, err) < 0)
		return -1;
	out->ahead_ms = sql_now(db) - clock_now_ms();
	if (out->schema > out->schema_known)
		return 0;
	if (sql_schema(db, &version, err) < 0)
		return -1;
	out->writes = out->schema && sql_may_write(db, &out->why) == 0;
	return 0;
}

int store_probe(const char *url, struct store_probe *out, struct err *err)
{
	*out = (struct store_probe){.schema_known = sql_migrations[sql_migrations_count - 1].version};
	struct sql *db = sql_open_raw(url, &out->there, err);
	if (!db)
		return out->there ? -1 : 0;
	const int rc = look(db, out, err);
	sql_close(db);
	return rc;
}

void store_file(const char *url, char *out, size_t size)
{
	const bool server = strstr(url, "://") != NULL;

	(void)snprintf(out, size, "%s", server ? "" : strncmp(url, "sqlite:", 7) == 0 ? url + 7 : url);
}

const char *store_library(void) { return sql_sqlite_library(); }
