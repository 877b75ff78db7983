/* The store as a whole, and policies. What was seen of containers: seen.c; intents and history: operation.c; what a
 * decision asks: past.c; the chain: audit.c; status and pruning: upkeep.c. */
#include "store/store.h"

#include "store/inner.h"
#include "store/many.h"
#include "store/url.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static struct store *store_on(struct sql *db, struct err *err)
{
	struct store *s = db ? calloc(1, sizeof *s) : NULL;

	if (s)
		s->db = db;
	else if (db)
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
	if (!s)
		sql_close(db);
	return s;
}

struct store *store_open(const char *url, struct err *err) { return store_on(sql_open(url, err), err); }

struct store *store_open_existing(const char *url, bool *there, struct err *err)
{
	return store_on(sql_open_existing(url, there, err), err);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	sql_close(s->db);
	free(s);
}

int64_t store_now(struct store *s) { return sql_now(s->db); }

bool store_serves(const char *url) { return sql_serves(url); }

void store_shown(const char *url, char *out, size_t size)
{
	struct err unused;
	struct url u;

	if (!strstr(url, "://") || url_parse(url, &u, &unused) < 0) {
		/* a path, or an address that is none and of which only the scheme is safe to show */
		(void)snprintf(out, size, "%.*s%s", strstr(url, "://") ? (int)strcspn(url, ":") : (int)strlen(url), url,
		               strstr(url, "://") ? "://..." : "");
		return;
	}
	(void)snprintf(out, size, "%s", u.shown);
	url_release(&u);
}

int store_begin(struct store *s, struct err *err) { return sql_begin(s->db, SQL_WRITE, err); }

int store_commit(struct store *s, struct err *err) { return sql_commit(s->db, err); }

void store_rollback(struct store *s) { sql_rollback(s->db); }

/* --- policies --- */

struct policy_put_job {
	const struct policy_row *row;
	int64_t expected;
	int64_t version; /* of the stored row, 0 for none; then the new one */
	bool there, same;
};

static int on_stored_policy(void *ctx, const struct sql_value *col, struct err *err)
{
	struct policy_put_job *job = ctx;
	const struct policy_row *row = job->row;
	(void)err;

	job->there = true;
	job->version = col[0].i;
	job->same = strcmp(col[1].s, row->service) == 0 && strcmp(col[2].s, row->type) == 0 &&
	            strcmp(col[3].s, row->fields) == 0 && col[4].i == row->priority && (col[5].i != 0) == row->enabled;
	return 0;
}

static int policy_write(struct sql *db, const struct policy_put_job *job, struct err *err)
{
	const struct policy_row *row = job->row;
	const struct sql_value binds[] = {
		sql_text(row->service),    sql_int(strpbrk(row->service, "*?[") != NULL),
		sql_text(row->type),       sql_text(row->fields),
		sql_int(row->priority),    sql_int(row->enabled),
		sql_int(job->version + 1), sql_int(sql_now(db)),
		sql_text(row->name),
	};

	return sql_run(db,
	               job->there
	                   ? "UPDATE autoscale_policy SET service = ?, is_glob = ?, type = ?, fields = ?, priority = ?,"
	                     " enabled = ?, version = ?, updated_at = ? WHERE name = ?"
	                   : "INSERT INTO autoscale_policy (service, is_glob, type, fields, priority, enabled, version,"
	                     " updated_at, name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
	               binds, sizeof binds / sizeof *binds, NULL, NULL, err);
}

static int on_version(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)err;
	*(int64_t *)ctx = col[0].type == SQL_NULL ? 0 : col[0].i;
	return 0;
}

/* The row as its newest version, in the table that keeps all of them. */
static int policy_note(struct sql *db, const struct policy_row *row, int64_t version, bool removed, struct err *err)
{
	return sql_run(
		db,
		"INSERT INTO autoscale_policy_version (name, version, service, type, fields, priority, enabled, removed,"
		" actor, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		SQL_BINDS(sql_text(row->name), sql_int(version), sql_text(row->service), sql_text(row->type),
	              sql_text(row->fields), sql_int(row->priority), sql_int(row->enabled), sql_int(removed),
	              sql_text(row->actor ? row->actor : ""), sql_int(sql_now(db))),
		NULL, NULL, err);
}

static int policy_conflict(const char *name, int64_t there, int64_t expected, struct err *err)
{
	if (there == 0)
		return err_set(err, ERR_CONFLICT, "policy \"%s\" is no longer there: read the policies again", name);
	return err_set(err, ERR_CONFLICT, "policy \"%s\" is at version %" PRId64 ", not %" PRId64 ": read it again", name,
	               there, expected);
}

static int policy_put_in_tx(struct sql *db, void *ctx, struct err *err)
{
	struct policy_put_job *job = ctx;
	const char *name = job->row->name;

	job->version = 0;
	job->there = job->same = false;
	/* The update changes nothing; it makes the row ours, so that what is read next stays true. */
	if (sql_run(db, "UPDATE autoscale_policy SET name = name WHERE name = ?", SQL_BINDS(sql_text(name)), NULL, NULL,
	            err) < 0 ||
	    sql_run(db,
	            "SELECT version, service, type, fields, priority, enabled FROM autoscale_policy"
	            " WHERE name = ?",
	            SQL_BINDS(sql_text(name)), on_stored_policy, job, err) < 0)
		return -1;
	if (job->expected >= 0 && job->expected != job->version)
		return policy_conflict(name, job->version, job->expected, err);
	if (job->same)
		return 0;
	/* One that was removed goes on counting, so that "db:web@4" means one thing for ever. */
	if (!job->there && sql_run(db, "SELECT MAX(version) FROM autoscale_policy_version WHERE name = ?",
	                           SQL_BINDS(sql_text(name)), on_version, &job->version, err) < 0)
		return -1;
	if (policy_write(db, job, err) < 0 || policy_note(db, job->row, job->version + 1, false, err) < 0)
		return -1;
	job->version++;
	return 0;
}

int store_policy_put(struct store *s, const struct policy_row *row, int64_t expected, int64_t *version, struct err *err)
{
	struct policy_put_job job = {.row = row, .expected = expected};

	if (store_fits("the policy's name", row->name, STORE_NAME, err) < 0 ||
	    store_fits("the policy's service", row->service, STORE_NAME, err) < 0 ||
	    store_fits("the policy's type", row->type, STORE_WORD, err) < 0 ||
	    store_fits("the actor's name", row->actor, STORE_NAME, err) < 0 ||
	    store_fits("the policy's fields", row->fields, STORE_DOCUMENT, err) < 0 ||
	    sql_atomic(s->db, SQL_WRITE, policy_put_in_tx, &job, err) < 0)
		return -1;
	*version = job.version;
	return 0;
}

int store_policy_version(struct store *s, const char *name, int64_t *version, int64_t *newest, struct err *err)
{
	*version = *newest = 0;
	if (sql_run(s->db, "SELECT version FROM autoscale_policy WHERE name = ?", SQL_BINDS(sql_text(name)), on_version,
	            version, err) < 0)
		return -1;
	return sql_run(s->db, "SELECT MAX(version) FROM autoscale_policy_version WHERE name = ?", SQL_BINDS(sql_text(name)),
	               on_version, newest, err);
}

struct policy_walk {
	policy_row_fn fn;
	void *ctx;
};

/* POLICY_COLUMNS, and when that version was made. */
static struct policy_row policy_of(const struct sql_value *col)
{
	return (struct policy_row){
		.name = col[0].s,
		.service = col[1].s,
		.type = col[2].s,
		.fields = col[3].s,
		.priority = col[4].i,
		.enabled = col[5].i != 0,
		.version = col[6].i,
		.updated_at = col[7].i,
	};
}

static int on_policy(void *ctx, const struct sql_value *col, struct err *err)
{
	const struct policy_walk *walk = ctx;
	const struct policy_row row = policy_of(col);

	return walk->fn(walk->ctx, &row, err);
}

#define POLICY_COLUMNS "name, service, type, fields, priority, enabled, version"
#define POLICY_SELECT "SELECT " POLICY_COLUMNS ", updated_at FROM autoscale_policy"
#define POLICY_ORDER " ORDER BY priority DESC, name"

int store_policy_each(struct store *s, const char *service, policy_row_fn fn, void *ctx, struct err *err)
{
	struct policy_walk walk = {fn, ctx};

	if (!service)
		return sql_walk(s->db, POLICY_SELECT POLICY_ORDER, SQL_NO_BINDS, on_policy, &walk, err);
	return sql_walk(s->db, POLICY_SELECT " WHERE (service = ? OR is_glob = 1) AND enabled = 1" POLICY_ORDER,
	                SQL_BINDS(sql_text(service)), on_policy, &walk, err);
}

int store_policy_for(struct store *s, const char *const *services, size_t n, policy_row_fn fn, void *ctx,
                     struct err *err)
{
	struct policy_walk walk = {fn, ctx};

	for (size_t at = 0; at < n; at += SQL_MANY)
		if (sql_many(s->db, POLICY_SELECT " WHERE (service IN (", services + at, n - at < SQL_MANY ? n - at : SQL_MANY,
		             ") OR is_glob = 1) AND enabled = 1" POLICY_ORDER, SQL_NO_BINDS, on_policy, &walk, err) < 0)
			return -1;
	return 0;
}

struct policy_question {
	const char *service;
	bool yes;
};

static int on_match(void *ctx, const struct policy_row *row, struct err *err)
{
	struct policy_question *q = ctx;

	(void)err;
	q->yes = q->yes || strcmp(row->service, q->service) == 0 || fnmatch(row->service, q->service, 0) == 0;
	return 0;
}

int store_policy_some(struct store *s, const char *service, bool *some, struct err *err)
{
	struct policy_question q = {.service = service};

	if (store_policy_each(s, service, on_match, &q, err) < 0)
		return -1;
	*some = q.yes;
	return 0;
}

struct policy_remove_job {
	const char *name, *actor;
	int64_t expected, version;
	bool there;
	struct sql *db;
};

/* The row that goes, noted as its last version. */
static int on_removed(void *ctx, const struct sql_value *col, struct err *err)
{
	struct policy_remove_job *job = ctx;
	const struct policy_row row = {
		.name = job->name,
		.service = col[1].s,
		.type = col[2].s,
		.fields = col[3].s,
		.priority = col[4].i,
		.enabled = col[5].i != 0,
		.actor = job->actor,
	};

	job->there = true;
	job->version = col[0].i;
	return policy_note(job->db, &row, job->version + 1, true, err);
}

static int policy_remove_in_tx(struct sql *db, void *ctx, struct err *err)
{
	struct policy_remove_job *job = ctx;
	const struct sql_value name = sql_text(job->name);

	job->db = db;
	job->there = false;
	job->version = 0;
	if (sql_run(db, "UPDATE autoscale_policy SET name = name WHERE name = ?", SQL_BINDS(name), NULL, NULL, err) < 0 ||
	    sql_run(db, "SELECT version, service, type, fields, priority, enabled FROM autoscale_policy WHERE name = ?",
	            SQL_BINDS(name), on_removed, job, err) < 0)
		return -1;
	if (job->expected >= 0 && job->expected != job->version)
		return policy_conflict(job->name, job->version, job->expected, err);
	return sql_run(db, "DELETE FROM autoscale_policy WHERE name = ?", SQL_BINDS(name), NULL, NULL, err);
}

int store_policy_remove(struct store *s, const char *name, int64_t expected, const char *actor, bool *there,
                        struct err *err)
{
	struct policy_remove_job job = {.name = name, .actor = actor, .expected = expected};

	if (store_fits("the actor's name", actor, STORE_NAME, err) < 0 ||
	    sql_atomic(s->db, SQL_WRITE, policy_remove_in_tx, &job, err) < 0)
		return -1;
	*there = job.there;
	return 0;
}

static int on_policy_version(void *ctx, const struct sql_value *col, struct err *err)
{
	const struct policy_walk *walk = ctx;
	struct policy_row row = policy_of(col);

	row.removed = col[8].i != 0;
	row.actor = col[9].s;
	return walk->fn(walk->ctx, &row, err);
}

int store_policy_history(struct store *s, const char *name, policy_row_fn fn, void *ctx, struct err *err)
{
	struct policy_walk walk = {fn, ctx};

	return sql_walk(s->db,
	                "SELECT " POLICY_COLUMNS ", changed_at, removed, actor"
	                " FROM autoscale_policy_version WHERE name = ? ORDER BY version",
	                SQL_BINDS(sql_text(name)), on_policy_version, &walk, err);
}
