/* Reading the trail: the history, the audit rows, the check of their chain. */
#include "cmd/as-audit/audit.h"

#include "base/clock.h"

#include "base/banned.h"

static int put_line(struct audit *a, struct err *err)
{
	if (buf_ok(&a->line, err) < 0)
		return -1;
	const int bad = record_loop_put(&a->f.loop, a->line.p, a->line.n, err);
	buf_reset(&a->line);
	return bad;
}

static void member_time(struct buf *b, const char *name, int64_t ms)
{
	char text[CLOCK_TEXT];

	clock_format(ms, text);
	buf_json_member_str(b, name, text);
}

static int history_line(void *ctx, const struct history_row *h, struct err *err)
{
	struct audit *a = ctx;
	struct buf *b = &a->line;

	buf_putc(b, '{');
	member_time(b, "at", h->at);
	buf_json_member_str(b, "service", h->service);
	buf_json_member_int(b, "generation", h->generation);
	buf_json_member_str(b, "action", h->action);
	buf_json_member_int(b, "from", h->from);
	buf_json_member_int(b, "to", h->to);
	buf_json_member_str(b, "outcome", h->outcome);
	buf_json_member_int(b, "ms", h->duration_ms);
	buf_json_member_str(b, "reason", h->reason);
	buf_json_member_str(b, "error", h->error && *h->error ? h->error : NULL);
	buf_json_member_str(b, "alert_id", h->alert_id);
	buf_json_member_str(b, "op_id", h->op_id);
	buf_json_member_int(b, "history_id", h->history_id);
	buf_putc(b, '}');
	return put_line(a, err);
}

static int trail_line(void *ctx, const struct audit_row *row, struct err *err)
{
	struct audit *a = ctx;
	struct buf *b = &a->line;

	buf_putc(b, '{');
	buf_json_member_str(b, "service", row->service);
	buf_json_member_int(b, "seq", row->seq);
	member_time(b, "at", row->at);
	buf_json_member_str(b, "actor", row->actor);
	buf_json_member_str(b, "event", row->event);
	buf_json_member_str(b, "op_id", row->op_id);
	buf_json_member_str(b, "hash", row->hash);
	buf_json_key(b, "record");
	buf_puts(b, row->body && *row->body == '{' ? row->body : "null");
	buf_putc(b, '}');
	return put_line(a, err);
}

int verify_chain(struct audit *a, struct err *err)
{
	int64_t rows = 0;

	if (store_audit_verify(a->store, &rows, err) < 0)
		return -1;
	buf_printf(&a->line, "{\"rows\":%lld,\"ok\":true}", (long long)rows);
	return put_line(a, err);
}

int print_history(struct audit *a, const char *service, struct err *err)
{
	return store_history_each(a->store, service, 0, history_line, a, err);
}

int print_trail(struct audit *a, const char *service, struct err *err)
{
	return store_audit_each(a->store, service, 0, trail_line, a, err);
}
