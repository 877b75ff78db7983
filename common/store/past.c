/* What a decision needs to know of the past: the generation, an unfinished operation, the repairs of the last hour,
 * what was wanted and what was done of late; for many services at a time. */
#include "base/jv.h"
#include "store/inner.h"
#include "store/many.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define REPAIRS_MAX 16

/* One service of the question. */
struct found {
	const struct past_ask *ask;
	struct service_past *past;
	size_t repairs;
};

struct looking {
	struct sql *db;
	struct found *v; /* by service */
	size_t n;
	int64_t window_since, moves_since; /* the earliest that any of them asks for */
	bool counted;
};

static int by_service(const void *x, const void *y)
{
	return strcmp(((const struct found *)x)->ask->service, ((const struct found *)y)->ask->service);
}

/* Whose row is it? NULL: of none that was asked for. */
static struct found *found_of(const struct looking *l, const struct sql_value *service)
{
	const struct past_ask ask = {.service = service->s};
	const struct found key = {.ask = &ask};

	return bsearch(&key, l->v, l->n, sizeof *l->v, by_service);
}

static int on_state(void *ctx, const struct sql_value *col, struct err *err)
{
	const struct found *f = found_of(ctx, &col[10]);

	if (!f)
		return 0;
	struct service_past *past = f->past;
	past->generation = col[0].i;
	past->last_out = sql_get_time(&col[1]);
	past->last_in = sql_get_time(&col[2]);
	past->pending = col[3].type != SQL_NULL;
	if (!past->pending)
		return 0;
	(void)snprintf(past->pending_op, sizeof past->pending_op, "%s", col[3].s);
	(void)snprintf(past->pending_alert, sizeof past->pending_alert, "%s", col[4].s);
	(void)snprintf(past->pending_action, sizeof past->pending_action, "%s", col[5].s);
	past->pending_generation = col[6].i;
	past->pending_at = col[7].i;
	past->pending_attempts = col[8].i;
	buf_put(&past->pending_plan, col[9].s, col[9].n);
	return buf_ok(&past->pending_plan, err);
}

/* The names in one list of a plan. Names are quoted already: the plan's own bytes. */
static void put_names(struct buf *b, struct jv list)
{
	struct jv_cursor c = jv_each(list);
	struct jv_member m;

	while (jv_next(&c, &m)) {
		const struct jv name = jv_get(m.value, "name");
		if (!jv_is_string(name))
			continue;
		buf_json_comma(b);
		buf_put(b, name.p, name.n);
	}
}

static int on_repair(void *ctx, const struct sql_value *col, struct err *err)
{
	struct found *f = found_of(ctx, &col[3]);
	struct jv plan = {0};
	struct err broken = {0};

	if (!f || f->repairs++ >= REPAIRS_MAX)
		return 0;
	struct buf *b = &f->past->repairs;
	(void)jv_scan(col[2].s, col[2].n, &plan, NULL, 0, NULL, &broken);
	buf_json_comma(b);
	buf_putc(b, '{');
	clock_json_member(b, "at", col[0].i);
	buf_json_member_str(b, "op", col[1].s);
	buf_json_key(b, "names");
	buf_putc(b, '[');
	put_names(b, jv_get(plan, "start"));
	put_names(b, jv_get(plan, "create"));
	put_names(b, jv_get(plan, "remove"));
	buf_puts(b, "]}");
	return buf_ok(b, err);
}

static int on_want(void *ctx, const struct sql_value *col, struct err *err)
{
	const struct found *f = found_of(ctx, &col[0]);

	if (!f || f->ask->window_since == TIME_NONE || col[1].i <= f->ask->window_since)
		return 0;
	struct buf *b = &f->past->window;
	buf_json_comma(b);
	buf_putc(b, '{');
	clock_json_member(b, "at", col[1].i);
	buf_json_member_int(b, "want", col[2].i);
	buf_putc(b, '}');
	return buf_ok(b, err);
}

static int on_move(void *ctx, const struct sql_value *col, struct err *err)
{
	const struct found *f = found_of(ctx, &col[0]);

	if (!f || f->ask->moves_since == TIME_NONE || col[1].i <= f->ask->moves_since)
		return 0;
	struct buf *b = &f->past->moves;
	buf_json_comma(b);
	buf_putc(b, '{');
	clock_json_member(b, "at", col[1].i);
	buf_json_member_int(b, "from", col[2].i);
	buf_json_member_int(b, "to", col[3].i);
	buf_putc(b, '}');
	return buf_ok(b, err);
}

static int on_count(void *ctx, const struct sql_value *col, struct err *err)
{
	const struct found *f = found_of(ctx, &col[0]);

	(void)err;
	if (f && f->ask->counted)
		f->past->counted = col[1].i;
	return 0;
}

/* Some of the services: those of one statement. */
static int look_at(struct looking *l, const char *const *names, size_t n, struct err *err)
{
	bool acted = false;

	/* One statement, so that the generation and the operation belong to the same moment. */
	if (sql_many(l->db,
	             "SELECT s.generation, s.last_out, s.last_in, o.op_id, o.alert_id, o.action, o.generation,"
	             " o.created_at, o.attempts, o.plan, s.service FROM service_state s LEFT JOIN operation o"
	             " ON o.service = s.service AND o.state = 'planned' WHERE s.service IN (",
	             names, n, ")", SQL_NO_BINDS, on_state, l, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		acted = acted || found_of(l, &(struct sql_value){.s = names[i]})->past->generation > 0;
	/* A service that was never acted on was never repaired, and never moved. */
	if (acted && sql_many(l->db,
	                      "SELECT h.finished_at, h.action, o.plan, h.service FROM autoscale_history h JOIN operation o"
	                      " ON o.op_id = h.op_id WHERE h.service IN (",
	                      names, n,
	                      ") AND h.finished_at >= ? AND (h.action IN ('start', 'recreate') OR"
	                      " (h.action = 'scale-up' AND h.outcome IN ('failed', 'partial')))"
	                      " ORDER BY h.finished_at DESC, h.history_id DESC",
	                      SQL_BINDS(sql_int(sql_now(l->db) - STORE_REPAIRS_MS)), on_repair, l, err) < 0)
		return -1;
	if (acted && l->moves_since != TIME_NONE &&
	    sql_many(l->db,
	             "SELECT service, finished_at, from_replicas, to_replicas FROM autoscale_history WHERE service IN (",
	             names, n,
	             ") AND finished_at > ? AND action IN ('scale-up', 'scale-down', 'start', 'recreate')"
	             " AND outcome IN ('done', 'partial') ORDER BY finished_at, history_id",
	             SQL_BINDS(sql_int(l->moves_since)), on_move, l, err) < 0)
		return -1;
	if (l->window_since != TIME_NONE &&
	    sql_many(l->db, "SELECT service, noted_at, want FROM recommendation WHERE service IN (", names, n,
	             ") AND noted_at > ? ORDER BY noted_at", SQL_BINDS(sql_int(l->window_since)), on_want, l, err) < 0)
		return -1;
	return !l->counted ? 0
	                   : sql_many(l->db, "SELECT service, COUNT(*) FROM container WHERE service IN (", names, n,
	                              ") AND state = 'running' GROUP BY service", SQL_NO_BINDS, on_count, l, err);
}

static int look_in_tx(struct sql *db, void *ctx, struct err *err)
{
	struct looking *l = ctx;
	const char *names[SQL_MANY];
	size_t n;

	l->db = db;
	for (size_t at = 0; at < l->n; at += n) {
		for (n = 0; n < SQL_MANY && at + n < l->n; n++)
			names[n] = l->v[at + n].ask->service;
		if (look_at(l, names, n, err) < 0)
			return -1;
	}
	return 0;
}

static int64_t earlier(int64_t a, int64_t b) { return a == TIME_NONE || (b != TIME_NONE && b < a) ? b : a; }

/* Opens and closes the lists. */
static int put_brackets(struct service_past *pasts, size_t n, bool first, struct err *err)
{
	int bad = 0;

	for (size_t i = 0; i < n; i++) {
		struct buf *lists[] = {&pasts[i].repairs, &pasts[i].window, &pasts[i].moves};
		for (size_t k = 0; k < 3; k++) {
			buf_putc(lists[k], first ? '[' : ']');
			bad = bad || buf_ok(lists[k], err) < 0;
		}
	}
	return bad ? -1 : 0;
}

int store_past_all(struct store *s, const struct past_ask *asks, size_t n, struct service_past *pasts, struct err *err)
{
	struct looking l = {.v = calloc(n + 1, sizeof *l.v), .n = n, .window_since = TIME_NONE, .moves_since = TIME_NONE};

	for (size_t i = 0; i < n; i++) {
		pasts[i] = (struct service_past){.last_out = TIME_NONE,
		                                 .last_in = TIME_NONE,
		                                 .counted = asks[i].counted ? 0 : -1,
		                                 .pending_plan = BUF_INIT(STORE_DOCUMENT),
		                                 .repairs = BUF_INIT(STORE_DOCUMENT),
		                                 .window = BUF_INIT(STORE_DOCUMENT),
		                                 .moves = BUF_INIT(STORE_DOCUMENT)};
		l.window_since = earlier(l.window_since, asks[i].window_since);
		l.moves_since = earlier(l.moves_since, asks[i].moves_since);
		l.counted = l.counted || asks[i].counted;
		if (l.v)
			l.v[i] = (struct found){.ask = &asks[i], .past = &pasts[i]};
	}
	if (!l.v)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	qsort(l.v, n, sizeof *l.v, by_service);
	int bad = put_brackets(pasts, n, true, err);
	if (!bad)
		bad = n == 1 && l.window_since == TIME_NONE && l.moves_since == TIME_NONE && !l.counted
		          ? look_in_tx(s->db, &l, err) /* the first statement alone has to be of one moment */
		          : sql_atomic(s->db, SQL_READ, look_in_tx, &l, err);
	if (!bad)
		bad = put_brackets(pasts, n, false, err);
	free(l.v);
	return bad;
}

int store_past(struct store *s, const char *service, struct service_past *past, struct err *err)
{
	const struct past_ask ask = {.service = service, .window_since = TIME_NONE, .moves_since = TIME_NONE};

	return store_past_all(s, &ask, 1, past, err);
}

void store_past_release(struct service_past *past)
{
	buf_release(&past->pending_plan);
	buf_release(&past->repairs);
	buf_release(&past->window);
	buf_release(&past->moves);
}
