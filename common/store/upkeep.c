/* Status of the store, and pruning what is old. */
#include "store/inner.h"
#include "store/store.h"

#include <inttypes.h>
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
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
		if (number(s->db, counts[i].text, SQL_NO_BINDS, counts[i].out, err) < 0)
			return -1;
	return 0;
}

/* --- pruning --- */

struct prune {
	int64_t before, limit;
	const char *actor;
	struct store_pruned slice, *sum; /* of the transaction in hand; of all that are committed */
	bool more;                       /* a slice was full */

	char (*services)[SERVICE_NAME_MAX + 1]; /* whose chain has old rows */
	size_t nservices, cap;
	const char *service;
};

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

/* Closed operations and their history rows, by the number that grows with time. */
static int prune_history(struct sql *db, void *job, struct err *err)
{
	struct prune *p = job;
	int64_t end;

	p->slice = (struct store_pruned){0};

	/* The slice ends before the limit-th old row, or takes all of them. */
	if (number(db,
	           "SELECT history_id FROM autoscale_history WHERE finished_at < ? ORDER BY history_id LIMIT 1 OFFSET ?",
	           SQL_BINDS(sql_int(p->before), sql_int(p->limit)), &end, err) < 0)
		return -1;
	p->more = end != 0;
	if (!end)
		end = INT64_MAX;
	if (sql_run(db,
	            "DELETE FROM operation WHERE state <> 'planned' AND op_id IN"
	            " (SELECT op_id FROM autoscale_history WHERE finished_at < ? AND history_id < ?)",
	            SQL_BINDS(sql_int(p->before), sql_int(end)), NULL, NULL, err) < 0)
		return -1;
	p->slice.operations = db->changed;
	if (sql_run(db, "DELETE FROM autoscale_history WHERE finished_at < ? AND history_id < ?",
	            SQL_BINDS(sql_int(p->before), sql_int(end)), NULL, NULL, err) < 0)
		return -1;
	p->slice.history = db->changed;
	return 0;
}

struct end_row {
	int64_t seq;
	char hash[AUDIT_HASH];
};

static int on_end_row(void *ctx, const struct sql_value *col, struct err *err)
{
	struct end_row *row = ctx;
	(void)err;

	row->seq = col[0].i;
	(void)snprintf(row->hash, sizeof row->hash, "%s", col[1].s);
	return 0;
}

/* The newest row that may go: older than the time with all before it, not the last of the chain, at most `limit` rows
 * from the first. seq 0: none. */
static int find_end(struct sql *db, const struct prune *p, const struct service_row *row, struct end_row *end,
                    struct err *err)
{
	const struct sql_value service = sql_text(p->service);
	int64_t first, kept;

	*end = (struct end_row){0};
	if (number(db, "SELECT MIN(seq) FROM audit WHERE service = ?", SQL_BINDS(service), &first, err) < 0 ||
	    number(db, "SELECT MIN(seq) FROM audit WHERE service = ? AND logged_at >= ?",
	           SQL_BINDS(service, sql_int(p->before)), &kept, err) < 0)
		return -1;
	if (kept == 0 || kept > row->audit_seq)
		kept = row->audit_seq;
	if (kept - first > p->limit)
		kept = first + p->limit;
	if (first == 0 || kept <= first)
		return 0;
	return sql_run(db, "SELECT seq, hash FROM audit WHERE service = ? AND seq = ?",
	               SQL_BINDS(service, sql_int(kept - 1)), on_end_row, end, err);
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

/* One slice of one chain. The chain tells of it itself. */
static int prune_chain(struct sql *db, void *job, struct err *err)
{
	struct prune *p = job;
	struct service_row row;
	struct end_row end;
	char body[64];

	p->slice = (struct store_pruned){0};
	p->more = false;
	if (service_lock(db, p->service, &row, err) < 0 || find_end(db, p, &row, &end, err) < 0)
		return -1;
	if (end.seq == 0)
		return 0;
	if (set_start(db, p, &end, row.at, err) < 0 ||
	    sql_run(db, "DELETE FROM audit WHERE service = ? AND seq <= ?",
	            SQL_BINDS(sql_text(p->service), sql_int(end.seq)), NULL, NULL, err) < 0)
		return -1;
	p->slice.audit = db->changed;
	p->more = db->changed >= p->limit;
	(void)snprintf(body, sizeof body, "{\"pruned_to\":%" PRId64 "}", end.seq);
	if (audit_append(db, &row, p->actor, "prune", "", body, err) < 0)
		return -1;
	return service_save(db, &row, err);
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

static int prune_chains(struct sql *db, struct prune *p, struct err *err)
{
	int bad = sql_walk(db,
	                   "SELECT DISTINCT a.service FROM audit a JOIN service_state s ON s.service = a.service"
	                   " WHERE a.logged_at < ? AND a.seq < s.audit_seq",
	                   SQL_BINDS(sql_int(p->before)), on_service, p, err);

	for (size_t i = 0; !bad && i < p->nservices; i++) {
		p->service = p->services[i];
		do
			bad = one_slice(db, prune_chain, p, err);
		while (!bad && p->more);
	}
	free(p->services);
	return bad;
}

static int prune_seen(struct sql *db, void *job, struct err *err)
{
	struct prune *p = job;
	const struct {
		const char *text;
		int64_t *n;
	} tables[] = {
		{"DELETE FROM container_spec WHERE seen_at < ?", &p->slice.specifications},
		{"DELETE FROM container WHERE seen_at < ?", &p->slice.containers},
		{"DELETE FROM recommendation WHERE noted_at < ?", &p->slice.recommendations},
	};

	p->slice = (struct store_pruned){0};
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		if (sql_run(db, tables[i].text, SQL_BINDS(sql_int(p->before)), NULL, NULL, err) < 0)
			return -1;
		*tables[i].n = db->changed;
	}
	return 0;
}

static int count_old(struct sql *db, struct prune *p, struct err *err)
{
	const struct {
		const char *text;
		int64_t *sum;
	} counts[] = {
		{"SELECT COUNT(*) FROM autoscale_history WHERE finished_at < ?", &p->sum->history},
		{"SELECT COUNT(*) FROM operation o JOIN autoscale_history h ON h.op_id = o.op_id"
	     " WHERE o.state <> 'planned' AND h.finished_at < ?",
	     &p->sum->operations},
		{"SELECT COUNT(*) FROM audit a JOIN service_state s ON s.service = a.service"
	     " WHERE a.logged_at < ? AND a.seq < s.audit_seq",
	     &p->sum->audit},
		{"SELECT COUNT(*) FROM container_spec WHERE seen_at < ?", &p->sum->specifications},
		{"SELECT COUNT(*) FROM container WHERE seen_at < ?", &p->sum->containers},
		{"SELECT COUNT(*) FROM recommendation WHERE noted_at < ?", &p->sum->recommendations},
	};

	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		int64_t n;
		if (number(db, counts[i].text, SQL_BINDS(sql_int(p->before)), &n, err) < 0)
			return -1;
		*counts[i].sum += n;
	}
	return 0;
}

int store_prune(struct store *s, int64_t before, int64_t limit, const char *actor, bool dry, struct store_pruned *sum,
                struct err *err)
{
	struct prune p = {.before = before, .limit = limit > 0 ? limit : 1, .actor = actor, .sum = sum};
	int bad;

	if (dry)
		return count_old(s->db, &p, err);
	do
		bad = one_slice(s->db, prune_history, &p, err);
	while (!bad && p.more);
	if (!bad)
		bad = prune_chains(s->db, &p, err);
	return bad ? bad : one_slice(s->db, prune_seen, &p, err);
}
