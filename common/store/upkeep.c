/* Status of the store, and pruning what is old. */
#include "store/inner.h"
#include "store/store.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static int on_number(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)err;
	*(int64_t *)ctx = col[0].i;
	return 0;
}

/* The first column of the first row; 0 when there is none, or SQL's NULL. */
static int number(struct sql *db, const char *text, const struct sql_value *binds, size_t nbinds, int64_t *out,
                  struct err *err)
{
	*out = 0;
	return sql_run(db, text, binds, nbinds, on_number, out, err);
}

int store_status(struct store *s, struct store_status *status, struct err *err)
{
	const struct {
		const char *text;
		int64_t *out;
	} counts[] = {
		{"SELECT MAX(version) FROM schema_version", &status->schema},
		{"SELECT COUNT(*) FROM autoscale_policy", &status->policies},
		{"SELECT COUNT(*) FROM service_state", &status->services},
		{"SELECT COUNT(*) FROM operation", &status->operations},
		{"SELECT COUNT(*) FROM operation WHERE state = 'planned'", &status->open_operations},
		{"SELECT COUNT(*) FROM autoscale_history", &status->history},
		{"SELECT COUNT(*) FROM audit", &status->audit},
		{"SELECT COUNT(*) FROM container_spec", &status->specifications},
	};

	status->schema_was = s->db->schema_was;
	status->schema_known = sql_migrations[sql_migrations_count - 1].version;
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
		if (number(s->db, counts[i].text, SQL_NO_BINDS, counts[i].out, err) < 0)
			return -1;
	return 0;
}

/* --- pruning --- */

struct prune {
	const struct prune_ask *ask;
	int64_t limit;
	struct store_pruned slice, *sum; /* of the transaction in hand; of all that are committed */
	bool more;                       /* the slice was full: there may be another */

	/* history: where the next slice begins, and the operations of this one */
	int64_t at, id;
	char (*ops)[STORE_ID + 1];
	size_t nops, nrows; /* that may go; that are old */

	/* chains: the services that have old rows */
	char (*services)[SERVICE_NAME_MAX + 1];
	size_t nservices, cap;
	const char *service;
};

static bool stopped(const struct prune *p) { return p->ask->stop && p->ask->stop(p->ask->ctx); }

static int one_slice(struct sql *db, sql_tx_fn fn, struct prune *p, struct err *err)
{
	if (sql_atomic(db, SQL_WRITE, fn, p, err) < 0)
		return -1;
	p->sum->history += p->slice.history;
	p->sum->operations += p->slice.operations;
	p->sum->audit += p->slice.audit;
	p->sum->specifications += p->slice.specifications;
	p->sum->containers += p->slice.containers;
	p->sum->recommendations += p->slice.recommendations;
	return 0;
}

/* -- history and operations -- */

/* A row of the history that is old. What an alert did stays as long as the alert may still be taken: it is how the next
 * pass knows that it was done. */
static int on_old_history(void *ctx, const struct sql_value *col, struct err *err)
{
	struct prune *p = ctx;
	(void)err;

	p->at = col[0].i;
	p->id = col[1].i;
	p->nrows++;
	if (!p->ask->waits || !*col[3].s || !p->ask->waits(p->ask->ctx, col[3].s))
		(void)snprintf(p->ops[p->nops++], sizeof *p->ops, "%s", col[2].s);
	return 0;
}

/* The next slice of old rows, in the order of the index. Closed operations do not change, so this needs no
 * transaction. */
static int find_history(struct sql *db, struct prune *p, struct err *err)
{
	p->nops = p->nrows = 0;
	return sql_run(
		db,
		"SELECT finished_at, history_id, op_id, alert_id FROM autoscale_history"
		" WHERE finished_at >= ? AND finished_at < ? AND (finished_at > ? OR history_id > ?)"
		" ORDER BY finished_at, history_id LIMIT ?",
		SQL_BINDS(sql_int(p->at), sql_int(p->ask->before), sql_int(p->at), sql_int(p->id), sql_int(p->limit)),
		on_old_history, p, err);
}

#define CHUNK 10
#define CHUNK_LIST "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

/* text ends with CHUNK_LIST. A short chunk names its last operation more than once. */
static int delete_ops(struct sql *db, const struct prune *p, const char *text, int64_t *n, struct err *err)
{
	struct sql_value id[CHUNK];

	*n = 0;
	for (size_t i = 0; i < p->nops; i += CHUNK) {
		for (size_t k = 0; k < CHUNK; k++)
			id[k] = sql_text(p->ops[i + k < p->nops ? i + k : p->nops - 1]);
		if (sql_run(db, text, id, CHUNK, NULL, NULL, err) < 0)
			return -1;
		*n += db->changed;
	}
	return 0;
}

static int drop_history(struct sql *db, void *job, struct err *err)
{
	struct prune *p = job;

	p->slice = (struct store_pruned){0};
	if (delete_ops(db, p, "DELETE FROM operation WHERE state <> 'planned' AND op_id IN " CHUNK_LIST,
	               &p->slice.operations, err) < 0)
		return -1;
	return delete_ops(db, p, "DELETE FROM autoscale_history WHERE op_id IN " CHUNK_LIST, &p->slice.history, err);
}

static int prune_history(struct sql *db, struct prune *p, struct err *err)
{
	int bad;

	p->at = p->id = INT64_MIN;
	p->ops = calloc((size_t)p->limit, sizeof *p->ops);
	if (!p->ops)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	do {
		bad = find_history(db, p, err);
		if (!bad && p->ask->dry) {
			p->sum->history += (int64_t)p->nops;
			p->sum->operations += (int64_t)p->nops; /* each closed one has one row of history */
		} else if (!bad && p->nops) {
			bad = one_slice(db, drop_history, p, err);
		}
	} while (!bad && (int64_t)p->nrows == p->limit && !stopped(p));
	free(p->ops);
	return bad;
}

/* -- chains -- */

/* Rows before `time` may go, and so may not: the chain's last row that is more than the mark of a pruning, row `last`,
 * and what is behind it. The promise of an operation that is still planned is not old either. */
static int chain_bounds(struct sql *db, const struct prune *p, int64_t *time, int64_t *last, struct err *err)
{
	const struct sql_value service = sql_text(p->service);
	int64_t planned;

	if (number(db, "SELECT MIN(created_at) FROM operation WHERE service = ? AND state = 'planned'", SQL_BINDS(service),
	           &planned, err) < 0 ||
	    number(db, "SELECT seq FROM audit WHERE service = ? AND event <> 'prune' ORDER BY seq DESC LIMIT 1",
	           SQL_BINDS(service), last, err) < 0)
		return -1;
	*time = planned && planned < p->ask->before ? planned : p->ask->before;
	return 0;
}

struct end_row {
	int64_t time, last; /* what chain_bounds said */
	int64_t seq, n;     /* the newest row that may go; 0: none. How many go with it */
	char hash[AUDIT_HASH];
	bool over;
};

/* From the first row on: the rows before the first that has to stay. */
static int on_end_row(void *ctx, const struct sql_value *col, struct err *err)
{
	struct end_row *end = ctx;
	(void)err;

	end->over = end->over || col[2].i >= end->time || col[0].i >= end->last;
	if (end->over)
		return 0;
	end->seq = col[0].i;
	end->n++;
	(void)snprintf(end->hash, sizeof end->hash, "%s", col[1].s);
	return 0;
}

static int find_end(struct sql *db, const struct prune *p, struct end_row *end, struct err *err)
{
	*end = (struct end_row){0};
	if (chain_bounds(db, p, &end->time, &end->last, err) < 0)
		return -1;
	return sql_run(db, "SELECT seq, hash, logged_at FROM audit WHERE service = ? ORDER BY seq LIMIT ?",
	               SQL_BINDS(sql_text(p->service), sql_int(p->limit)), on_end_row, end, err);
}

static int set_start(struct sql *db, const struct prune *p, const struct end_row *end, int64_t now, struct err *err)
{
	const struct sql_value binds[] = {sql_int(end->seq), sql_text(end->hash), sql_int(now), sql_text(p->service)};
	const size_t n = sizeof binds / sizeof *binds;

	if (sql_run(db, "UPDATE audit_start SET seq = ?, hash = ?, pruned_at = ? WHERE service = ?", binds, n, NULL, NULL,
	            err) < 0)
		return -1;
	if (db->changed > 0)
		return 0;
	return sql_run(db, "INSERT INTO audit_start (seq, hash, pruned_at, service) VALUES (?, ?, ?, ?)", binds, n, NULL,
	               NULL, err);
}

/* One slice of one chain. The chain tells of it itself, in the same transaction. */
static int prune_chain(struct sql *db, void *job, struct err *err)
{
	struct prune *p = job;
	struct service_row row;
	struct end_row end;
	char body[AUDIT_PRUNED_BODY];

	p->slice = (struct store_pruned){0};
	p->more = false;
	if (service_lock(db, p->service, &row, err) < 0 || find_end(db, p, &end, err) < 0)
		return -1;
	if (end.seq == 0)
		return 0;
	if (set_start(db, p, &end, row.at, err) < 0 ||
	    sql_run(db, "DELETE FROM audit WHERE service = ? AND seq <= ?",
	            SQL_BINDS(sql_text(p->service), sql_int(end.seq)), NULL, NULL, err) < 0)
		return -1;
	p->slice.audit = db->changed;
	p->more = !end.over;
	(void)snprintf(body, sizeof body, AUDIT_PRUNED "%" PRId64 "}", end.seq);
	if (audit_append(db, &row, p->ask->actor, "prune", "", body, err) < 0)
		return -1;
	return service_save(db, &row, err);
}

static int count_chain(struct sql *db, struct prune *p, struct err *err)
{
	const struct sql_value service = sql_text(p->service);
	int64_t time, last, kept, n;

	if (chain_bounds(db, p, &time, &last, err) < 0 ||
	    number(db, "SELECT seq FROM audit WHERE service = ? AND logged_at >= ? ORDER BY seq LIMIT 1",
	           SQL_BINDS(service, sql_int(time)), &kept, err) < 0)
		return -1;
	if (!kept || kept > last)
		kept = last;
	if (number(db, "SELECT COUNT(*) FROM audit WHERE service = ? AND seq < ?", SQL_BINDS(service, sql_int(kept)), &n,
	           err) < 0)
		return -1;
	p->sum->audit += n;
	return 0;
}

static int on_service(void *ctx, const struct sql_value *col, struct err *err)
{
	struct prune *p = ctx;

	if (p->nservices == p->cap) {
		const size_t cap = p->cap ? p->cap * 2 : 16;
		void *list = realloc(p->services, cap * sizeof *p->services);
		if (!list)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		p->services = list;
		p->cap = cap;
	}
	(void)snprintf(p->services[p->nservices++], sizeof *p->services, "%s", col[0].s);
	return 0;
}

/* A chain without its first row is broken: it is left as it is, for as-audit --verify to find. */
static int prune_chains(struct sql *db, struct prune *p, struct err *err)
{
	int bad = sql_walk(db,
	                   "SELECT s.service FROM service_state s LEFT JOIN audit_start p ON p.service = s.service"
	                   " JOIN audit a ON a.service = s.service AND a.seq = COALESCE(p.seq, 0) + 1"
	                   " WHERE a.logged_at < ? ORDER BY s.service",
	                   SQL_BINDS(sql_int(p->ask->before)), on_service, p, err);

	for (size_t i = 0; !bad && i < p->nservices && !stopped(p); i++) {
		p->service = p->services[i];
		do
			bad = p->ask->dry ? count_chain(db, p, err) : one_slice(db, prune_chain, p, err);
		while (!bad && !p->ask->dry && p->more && !stopped(p));
	}
	free(p->services);
	return bad;
}

/* -- what nobody has seen since -- */

/* An operation that is planned may need what its service had. */
#define UNPLANNED                                                                                     \
	" AND NOT EXISTS (SELECT 1 FROM operation o WHERE o.service = container_spec.service AND o.state" \
	" = 'planned')"

static const struct seen {
	const char *end, *drop, *count;
	size_t sum; /* offset in struct store_pruned */
} seen[] = {
	{"SELECT seen_at FROM container_spec WHERE seen_at > ? AND seen_at < ? ORDER BY seen_at LIMIT 1 OFFSET ?",
     "DELETE FROM container_spec WHERE seen_at > ? AND seen_at <= ?" UNPLANNED,
     "SELECT COUNT(*) FROM container_spec WHERE seen_at < ?" UNPLANNED, offsetof(struct store_pruned, specifications)},
	{"SELECT seen_at FROM container WHERE seen_at > ? AND seen_at < ? ORDER BY seen_at LIMIT 1 OFFSET ?",
     "DELETE FROM container WHERE seen_at > ? AND seen_at <= ?", "SELECT COUNT(*) FROM container WHERE seen_at < ?",
     offsetof(struct store_pruned, containers)},
	{"SELECT noted_at FROM recommendation WHERE noted_at > ? AND noted_at < ? ORDER BY noted_at LIMIT 1 OFFSET ?",
     "DELETE FROM recommendation WHERE noted_at > ? AND noted_at <= ?",
     "SELECT COUNT(*) FROM recommendation WHERE noted_at < ?", offsetof(struct store_pruned, recommendations)},
};

struct seen_job {
	struct prune *p;
	const struct seen *table;
	int64_t after, end; /* the slice */
};

static int64_t *seen_sum(struct store_pruned *pruned, const struct seen *table)
{
	return (int64_t *)((char *)pruned + table->sum);
}

/* The slice ends at the time of its limit-th row; rows of the same millisecond go with it. */
static int drop_seen(struct sql *db, void *ctx, struct err *err)
{
	struct seen_job *job = ctx;
	struct prune *p = job->p;

	p->slice = (struct store_pruned){0};
	if (number(db, job->table->end, SQL_BINDS(sql_int(job->after), sql_int(p->ask->before), sql_int(p->limit - 1)),
	           &job->end, err) < 0)
		return -1;
	p->more = job->end != 0;
	if (!p->more)
		job->end = p->ask->before - 1;
	if (sql_run(db, job->table->drop, SQL_BINDS(sql_int(job->after), sql_int(job->end)), NULL, NULL, err) < 0)
		return -1;
	*seen_sum(&p->slice, job->table) = db->changed;
	return 0;
}

static int prune_seen(struct sql *db, struct prune *p, const struct seen *table, struct err *err)
{
	struct seen_job job = {.p = p, .table = table, .after = INT64_MIN};
	int bad;

	if (p->ask->dry)
		return number(db, table->count, SQL_BINDS(sql_int(p->ask->before)), seen_sum(p->sum, table), err);
	do {
		bad = sql_atomic(db, SQL_WRITE, drop_seen, &job, err);
		if (!bad)
			*seen_sum(p->sum, table) += *seen_sum(&p->slice, table);
		job.after = job.end;
	} while (!bad && p->more && !stopped(p));
	return bad;
}

int store_prune(struct store *s, const struct prune_ask *ask, struct store_pruned *sum, struct err *err)
{
	struct prune p = {.ask = ask, .limit = ask->limit > 0 ? ask->limit : 1, .sum = sum};
	int bad = prune_history(s->db, &p, err);

	if (!bad && !stopped(&p))
		bad = prune_chains(s->db, &p, err);
	for (size_t i = 0; !bad && i < sizeof seen / sizeof *seen && !stopped(&p); i++)
		bad = prune_seen(s->db, &p, &seen[i], err);
	return bad;
}
