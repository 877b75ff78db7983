/* What a decision needs to know of the past: the generation, an unfinished operation, the repairs of the last hour. */
#include "base/jv.h"
#include "store/inner.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static int on_past(void *ctx, const struct sql_value *col, struct err *err)
{
	struct service_past *past = ctx;

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
	struct buf *b = ctx;
	struct jv plan = {0};
	struct err broken = {0};

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

int store_past(struct store *s, const char *service, struct service_past *past, struct err *err)
{
	const struct sql_value name = sql_text(service);

	*past = (struct service_past){.last_out = TIME_NONE,
	                              .last_in = TIME_NONE,
	                              .pending_plan = BUF_INIT(STORE_DOCUMENT),
	                              .repairs = BUF_INIT(STORE_DOCUMENT)};
	buf_putc(&past->repairs, '[');
	/* One statement, so that the generation and the operation belong to the same moment. */
	if (sql_run(s->db,
	            "SELECT s.generation, s.last_out, s.last_in, o.op_id, o.alert_id, o.action, o.generation,"
	            " o.created_at, o.attempts, o.plan FROM service_state s LEFT JOIN operation o"
	            " ON o.service = s.service AND o.state = 'planned' WHERE s.service = ?",
	            SQL_BINDS(name), on_past, past, err) < 0)
		return -1;
	/* A service that was never acted on was never repaired. */
	if (past->generation > 0 &&
	    sql_run(s->db,
	            "SELECT h.finished_at, h.action, o.plan FROM autoscale_history h JOIN operation o ON o.op_id = h.op_id"
	            " WHERE h.service = ? AND h.finished_at >= ? AND (h.action IN ('start', 'recreate')"
	            " OR (h.action = 'scale-up' AND h.outcome IN ('failed', 'partial')))"
	            " ORDER BY h.finished_at DESC, h.history_id DESC LIMIT 16",
	            SQL_BINDS(name, sql_int(sql_now(s->db) - STORE_REPAIRS_MS)), on_repair, &past->repairs, err) < 0)
		return -1;
	buf_putc(&past->repairs, ']');
	return buf_ok(&past->repairs, err);
}

void store_past_release(struct service_past *past)
{
	buf_release(&past->pending_plan);
	buf_release(&past->repairs);
}
