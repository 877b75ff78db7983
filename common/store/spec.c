/* Remembered specifications: what ran under a name, to make it again, and which of them went deliberately. */
#include "base/jv.h"
#include "store/inner.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* Looking at a container once more within this time writes nothing: a pass over hundreds costs no disk syncs. */
#define SEEN_RENEW_MS 30000

struct spec_put_job {
	const char *service, *name, *host, *spec;
	int64_t seen_at; /* of the stored row; TIME_NONE: there is none */
	bool same;
	bool marked, going; /* as removed; by an operation that is still at it */
	bool missing;       /* noted as that */
};

static int on_stored_spec(void *ctx, const struct sql_value *col, struct err *err)
{
	struct spec_put_job *job = ctx;
	(void)err;

	job->seen_at = col[0].i;
	job->same = strcmp(col[1].s, job->spec) == 0;
	job->marked = col[2].type != SQL_NULL;
	job->missing = col[4].type != SQL_NULL;
	job->going = strcmp(col[3].s, "planned") == 0;
	return 0;
}

static int spec_look(struct sql *db, struct spec_put_job *job, struct err *err)
{
	job->seen_at = TIME_NONE;
	job->same = job->marked = job->going = job->missing = false;
	return sql_run(
		db,
		"SELECT s.seen_at, s.spec, s.removal, o.state, s.missing_at FROM container_spec s LEFT JOIN operation o"
		" ON o.op_id = s.removal WHERE s.service = ? AND s.name = ? AND s.host = ?",
		SQL_BINDS(sql_text(job->service), sql_text(job->name), sql_text(job->host)), on_stored_spec, job, err);
}

static int spec_put_in_tx(struct sql *db, void *ctx, struct err *err)
{
	const struct spec_put_job *job = ctx;
	const struct sql_value binds[] = {sql_text(job->spec), sql_int(sql_now(db)), sql_text(job->service),
	                                  sql_text(job->name), sql_text(job->host)};
	const size_t n = sizeof binds / sizeof *binds;

	/* The same container that an operation is about to remove keeps its mark; one that is there although the
	 * operation is over, or another one of its name, is not gone. */
	if (sql_run(db,
	            job->same && job->going
	                ? "UPDATE container_spec SET spec = ?, seen_at = ?, missing_at = NULL WHERE service = ? AND name = "
	                  "? AND host = ?"
	                : "UPDATE container_spec SET spec = ?, seen_at = ?, missing_at = NULL, removal = NULL"
	                  " WHERE service = ? AND name = ? AND host = ?",
	            binds, n, NULL, NULL, err) < 0)
		return -1;
	if (db->changed > 0)
		return 0;
	return sql_run(db, "INSERT INTO container_spec (spec, seen_at, service, name, host) VALUES (?, ?, ?, ?, ?)", binds,
	               n, NULL, NULL, err);
}

int store_spec_put(struct store *s, const char *service, const char *name, const char *host, const char *spec,
                   struct err *err)
{
	struct spec_put_job job = {.service = service, .name = name, .host = host, .spec = spec};

	if (store_fits("the service's name", service, SERVICE_NAME_MAX, err) < 0 ||
	    store_fits("the container's name", name, STORE_PLACE, err) < 0 ||
	    store_fits("the host's name", host, STORE_PLACE, err) < 0 ||
	    store_fits("the specification", spec, STORE_DOCUMENT, err) < 0 || spec_look(s->db, &job, err) < 0)
		return -1;
	if (job.same && job.marked == job.going && !job.missing && sql_now(s->db) - job.seen_at < SEEN_RENEW_MS)
		return 0;
	return sql_atomic(s->db, SQL_WRITE, spec_put_in_tx, &job, err);
}

struct spec_found {
	struct buf *spec;
	bool there;
};

static int on_newest_spec(void *ctx, const struct sql_value *col, struct err *err)
{
	struct spec_found *found = ctx;

	found->there = true;
	buf_put(found->spec, col[0].s, col[0].n);
	return buf_ok(found->spec, err);
}

int store_spec_get(struct store *s, const char *service, const char *name, struct buf *spec, struct err *err)
{
	struct spec_found found = {.spec = spec};
	int rc;

	if (name)
		rc = sql_run(s->db,
		             "SELECT spec FROM container_spec WHERE service = ? AND name = ?"
		             " ORDER BY seen_at DESC, host LIMIT 1",
		             SQL_BINDS(sql_text(service), sql_text(name)), on_newest_spec, &found, err);
	else
		rc = sql_run(s->db,
		             "SELECT spec FROM container_spec WHERE service = ?"
		             " ORDER BY seen_at DESC, name, host LIMIT 1",
		             SQL_BINDS(sql_text(service)), on_newest_spec, &found, err);
	if (rc == 0 && !found.there)
		return err_set(err, ERR_NOT_FOUND, "no specification of service %s%s%s is remembered", service,
		               name ? ", container " : "", name ? name : "");
	return rc;
}

struct spec_walk {
	spec_row_fn fn;
	void *ctx;
};

static int on_spec(void *ctx, const struct sql_value *col, struct err *err)
{
	const struct spec_walk *walk = ctx;
	const struct spec_row row = {
		.service = col[0].s,
		.name = col[1].s,
		.host = col[2].s,
		.spec = col[3].s,
		.seen_at = col[4].i,
		.removal = col[5].s,
		.missing_at = sql_get_time(&col[6]),
	};

	return walk->fn(walk->ctx, &row, err);
}

#define SPEC_SELECT "SELECT service, name, host, spec, seen_at, removal, missing_at FROM container_spec"

int store_spec_each(struct store *s, const char *service, spec_row_fn fn, void *ctx, struct err *err)
{
	struct spec_walk walk = {fn, ctx};

	if (!service)
		return sql_walk(s->db, SPEC_SELECT " ORDER BY service, name, host", SQL_NO_BINDS, on_spec, &walk, err);
	return sql_walk(s->db, SPEC_SELECT " WHERE service = ? ORDER BY name, host", SQL_BINDS(sql_text(service)), on_spec,
	                &walk, err);
}

/* --- deliberate removals --- */

static int mark(struct sql *db, const char *service, const char *name, const char *host, const char *removal,
                struct err *err)
{
	return sql_run(db, "UPDATE container_spec SET removal = ? WHERE service = ? AND name = ? AND host = ?",
	               SQL_BINDS(sql_text(removal), sql_text(service), sql_text(name), sql_text(host)), NULL, NULL, err);
}

struct removed_job {
	const char *service, *name, *host, *removal;
};

static int removed_in_tx(struct sql *db, void *ctx, struct err *err)
{
	const struct removed_job *job = ctx;

	return mark(db, job->service, job->name, job->host, job->removal, err);
}

int store_spec_removed(struct store *s, const char *service, const char *name, const char *host, const char *removal,
                       struct err *err)
{
	struct removed_job job = {service, name, host, removal};

	if (store_fits("the reason of a removal", removal, STORE_ID, err) < 0)
		return -1;
	return sql_atomic(s->db, SQL_WRITE, removed_in_tx, &job, err);
}

struct missing_job {
	const char *service, *name, *host;
	bool missing;
};

static int missing_in_tx(struct sql *db, void *ctx, struct err *err)
{
	const struct missing_job *job = ctx;

	return sql_run(db, "UPDATE container_spec SET missing_at = ? WHERE service = ? AND name = ? AND host = ?",
	               SQL_BINDS(sql_time(job->missing ? sql_now(db) : TIME_NONE), sql_text(job->service),
	                         sql_text(job->name), sql_text(job->host)),
	               NULL, NULL, err);
}

int store_spec_missing(struct store *s, const char *service, const char *name, const char *host, bool missing,
                       struct err *err)
{
	struct missing_job job = {service, name, host, missing};

	return sql_atomic(s->db, SQL_WRITE, missing_in_tx, &job, err);
}

struct marking {
	struct jv remove; /* the plan's list */
	struct buf hits;  /* name NUL host NUL, of those that are remembered */
};

static int on_remembered(void *ctx, const struct sql_value *col, struct err *err)
{
	struct marking *m = ctx;
	struct jv_cursor c = jv_each(m->remove);
	struct jv_member entry;

	while (jv_next(&c, &entry))
		if (jv_is(jv_get(entry.value, "name"), col[0].s) && jv_is(jv_get(entry.value, "host"), col[1].s)) {
			buf_put(&m->hits, col[0].s, col[0].n + 1);
			buf_put(&m->hits, col[1].s, col[1].n + 1);
			break;
		}
	return buf_ok(&m->hits, err);
}

/* Copies are not remembered, so that a plan which removes only copies marks nothing. */
int spec_mark_removals(struct sql *db, const struct intent_ask *ask, struct err *err)
{
	struct marking m = {.hits = BUF_INIT(STORE_DOCUMENT)};
	struct jv plan = {0};
	struct err broken = {0};
	int bad = 0;

	if (jv_scan(ask->plan, strlen(ask->plan), &plan, NULL, 0, NULL, &broken) < 0)
		return 0; /* nobody can carry it out either */
	m.remove = jv_get(plan, "remove");
	if (!jv_count(m.remove))
		return 0;
	bad = sql_run(db, "SELECT name, host FROM container_spec WHERE service = ?", SQL_BINDS(sql_text(ask->service)),
	              on_remembered, &m, err);
	for (const char *p = m.hits.p, *end = p + m.hits.n; !bad && p && p < end; p += strlen(p) + 1) {
		const char *name = p;
		p += strlen(p) + 1;
		bad = mark(db, ask->service, name, p, ask->op_id, err);
	}
	buf_release(&m.hits);
	return bad;
}
