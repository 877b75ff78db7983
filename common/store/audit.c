/* The audit log: rows are added and never changed. Each service has a chain: a row's hash covers the row and the
 * hash of the one before it, and service_state keeps number and hash of the last, so that a missing last row shows.
 *
 * hash = hex(sha256(F(prev_hash) F(service) F(seq) F(logged_at) F(actor) F(event) F(op_id) F(body))), where F(x) is
 * the length of x in bytes in decimal, ':', and x; numbers are in decimal. prev_hash of the first row is "". */
#include "store/inner.h"
#include "store/store.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

enum { PREV, SERVICE, SEQ, AT, ACTOR, EVENT, OP_ID, BODY, FIELDS };

static bool hash_field(EVP_MD_CTX *md, const struct sql_value *v)
{
	char number[24], frame[24];
	const bool is_int = v->type == SQL_INT;

	(void)snprintf(number, sizeof number, "%" PRId64, v->i);
	const size_t n = is_int ? strlen(number) : v->n;
	(void)snprintf(frame, sizeof frame, "%zu:", n);
	return EVP_DigestUpdate(md, frame, strlen(frame)) == 1 && EVP_DigestUpdate(md, is_int ? number : v->s, n) == 1;
}

static int row_hash(const struct sql_value field[FIELDS], char out[AUDIT_HASH], struct err *err)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

	for (int i = 0; i < FIELDS && good; i++)
		good = hash_field(md, &field[i]);
	good = good && EVP_DigestFinal_ex(md, sum, NULL) == 1;
	EVP_MD_CTX_free(md);
	if (!good)
		return err_set(err, ERR_TEMPORARY, "sha256 failed: out of memory?");
	for (size_t i = 0; i < (AUDIT_HASH - 1) / 2; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", sum[i]);
	return 0;
}

int audit_append(struct sql *db, struct service_row *row, const char *actor, const char *event, const char *op_id,
                 const char *body, struct err *err)
{
	const struct sql_value field[FIELDS] = {
		[PREV] = sql_text(row->audit_hash),     [SERVICE] = sql_text(row->service),
		[SEQ] = sql_int(row->audit_seq + 1),    [AT] = sql_int(row->at),
		[ACTOR] = sql_text(actor ? actor : ""), [EVENT] = sql_text(event),
		[OP_ID] = sql_text(op_id ? op_id : ""), [BODY] = sql_text(body ? body : ""),
	};
	char hash[AUDIT_HASH];

	if (store_fits("the actor's name", actor, STORE_NAME, err) < 0 ||
	    store_fits("the event", event, STORE_WORD, err) < 0 ||
	    store_fits("the audited record", body, STORE_DOCUMENT, err) < 0 || row_hash(field, hash, err) < 0)
		return -1;
	if (sql_run(db,
	            "INSERT INTO audit (prev_hash, service, seq, logged_at, actor, event, op_id, body, hash)"
	            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
	            SQL_BINDS(field[PREV], field[SERVICE], field[SEQ], field[AT], field[ACTOR], field[EVENT], field[OP_ID],
	                      field[BODY], sql_text(hash)),
	            NULL, NULL, err) < 0) {
		if (err->code == ERR_CONFLICT) /* we hold the service's row: its head was changed by hand */
			return err_set(err, ERR_CONFIG,
			               "audit of service %s: row %" PRId64 " is there before its turn: run as-audit --verify",
			               row->service, row->audit_seq + 1);
		return -1;
	}
	row->audit_seq++;
	memcpy(row->audit_hash, hash, sizeof hash);
	return 0;
}

/* --- reading --- */

struct audit_walk {
	audit_row_fn fn;
	void *ctx;
};

static int on_row(void *ctx, const struct sql_value *col, struct err *err)
{
	const struct audit_walk *walk = ctx;
	const struct audit_row row = {
		.prev_hash = col[PREV].s,
		.service = col[SERVICE].s,
		.seq = col[SEQ].i,
		.at = col[AT].i,
		.actor = col[ACTOR].s,
		.event = col[EVENT].s,
		.op_id = col[OP_ID].s,
		.body = col[BODY].s,
		.hash = col[FIELDS].s,
		.history_id = col[FIELDS + 1].i,
	};

	return walk->fn(walk->ctx, &row, err);
}

/* In the order of the enum, then hash, then the history row that tells the same. */
#define AUDIT_SELECT                                                                                             \
	"SELECT a.prev_hash, a.service, a.seq, a.logged_at, a.actor, a.event, a.op_id, a.body, a.hash, h.history_id" \
	" FROM audit a LEFT JOIN autoscale_history h ON h.op_id = a.op_id AND h.audit_seq = a.seq"                   \
	" WHERE a.logged_at >= ? AND a.logged_at < ?"

int store_audit_each(struct store *s, const struct trail_filter *f, audit_row_fn fn, void *ctx, struct err *err)
{
	struct audit_walk walk = {fn, ctx};
	const struct sql_value since = sql_int(f->since), until = sql_int(f->until == TIME_NONE ? INT64_MAX : f->until);

	if (!f->service)
		return sql_walk(s->db, AUDIT_SELECT " ORDER BY a.logged_at, a.service, a.seq", SQL_BINDS(since, until), on_row,
		                &walk, err);
	return sql_walk(s->db, AUDIT_SELECT " AND a.service = ? ORDER BY a.seq",
	                SQL_BINDS(since, until, sql_text(f->service)), on_row, &walk, err);
}

/* --- verifying --- */

struct chain {
	int64_t rows;                  /* of all services */
	char service[STORE_PLACE + 1]; /* the chain in hand, "" before the first */
	int64_t seq, head_seq;         /* seq: the last row seen; head: what service_state says the last is */
	int64_t start, told;           /* where a prune left it, as audit_start and the newest row "prune" say; 0: never */
	char hash[AUDIT_HASH], head_hash[AUDIT_HASH];
};

static int broken(const char *service, int64_t seq, const char *how, struct err *err)
{
	return err_set(err, ERR_CONFLICT, "audit of service %s: row %" PRId64 " %s", service, seq, how);
}

static int chain_end(const struct chain *c, struct err *err)
{
	if (!*c->service)
		return 0;
	if (c->seq < c->head_seq)
		return broken(c->service, c->seq + 1, "is missing", err);
	if (c->seq > c->head_seq)
		return broken(c->service, c->head_seq + 1, "was added behind the end of the chain", err);
	if (strcmp(c->hash, c->head_hash) != 0)
		return broken(c->service, c->seq, "was changed", err);
	if (c->start != c->told) /* the first rows went, and as-store did not do it */
		return broken(c->service, c->start > c->told ? c->told + 1 : c->start + 1, "is missing", err);
	return 0;
}

static void begin_chain(struct chain *c, const struct sql_value *col)
{
	(void)snprintf(c->service, sizeof c->service, "%s", col[SERVICE].s);
	c->head_seq = col[FIELDS + 1].i;
	(void)snprintf(c->head_hash, sizeof c->head_hash, "%s", col[FIELDS + 2].s);
	c->seq = c->start = col[FIELDS + 3].i; /* 0 and "" where nothing was pruned */
	(void)snprintf(c->hash, sizeof c->hash, "%s", col[FIELDS + 4].s);
	c->told = 0;
}

static int on_chain_row(void *ctx, const struct sql_value *col, struct err *err)
{
	struct chain *c = ctx;
	const char *service = col[SERVICE].s, *hash = col[FIELDS].s;
	const int64_t seq = col[SEQ].i;
	char want[AUDIT_HASH];

	if (strcmp(c->service, service) != 0) {
		if (chain_end(c, err) < 0)
			return -1;
		begin_chain(c, col);
	}
	if (seq > c->seq + 1)
		return broken(service, c->seq + 1, "is missing", err);
	if (seq != c->seq + 1)
		return broken(service, seq, "was added", err);
	if (row_hash(col, want, err) < 0)
		return -1;
	if (strcmp(want, hash) != 0)
		return broken(service, seq, "was changed", err);
	if (strcmp(col[PREV].s, c->hash) != 0) /* this row is true to itself, so the one before was changed with its hash */
		return broken(service, seq > 1 ? seq - 1 : seq, "was changed", err);
	if (strcmp(col[EVENT].s, "prune") == 0 && strncmp(col[BODY].s, AUDIT_PRUNED, sizeof AUDIT_PRUNED - 1) == 0)
		c->told = strtoll(col[BODY].s + sizeof AUDIT_PRUNED - 1, NULL, 10);
	c->seq = seq;
	memcpy(c->hash, want, sizeof want);
	c->rows++;
	return 0;
}

static int on_empty_chain(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)ctx;
	return broken(col[0].s, col[1].i + 1, "is missing", err);
}

static int verify_in_tx(struct sql *db, void *ctx, struct err *err)
{
	struct chain *c = ctx;

	if (sql_walk(db,
	             "SELECT a.prev_hash, a.service, a.seq, a.logged_at, a.actor, a.event, a.op_id, a.body, a.hash,"
	             " s.audit_seq, s.audit_hash, p.seq, p.hash FROM audit a"
	             " LEFT JOIN service_state s ON s.service = a.service"
	             " LEFT JOIN audit_start p ON p.service = a.service"
	             " ORDER BY a.service, a.seq",
	             SQL_NO_BINDS, on_chain_row, c, err) < 0 ||
	    chain_end(c, err) < 0)
		return -1;
	return sql_run(db,
	               "SELECT s.service, p.seq FROM service_state s LEFT JOIN audit_start p ON p.service = s.service"
	               " WHERE s.audit_seq > 0 AND NOT EXISTS (SELECT 1 FROM audit a WHERE a.service = s.service)"
	               " ORDER BY s.service",
	               SQL_NO_BINDS, on_empty_chain, NULL, err);
}

int store_audit_verify(struct store *s, int64_t *rows, struct err *err)
{
	struct chain c = {0};
	const int rc = sql_atomic(s->db, SQL_READ, verify_in_tx, &c, err);

	*rows = c.rows;
	return rc;
}
