/* Reading the trail: the history, the audit rows, the check of their chain. */
#include "cmd/as-audit/audit.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static int put_line(struct audit *a, struct err *err)
{
	if (buf_ok(&a->line, err) < 0)
		return -1;
	const int bad = record_loop_put(&a->f.loop, a->line.p, a->line.n, err);
	buf_reset(&a->line);
	return bad;
}

int trail_time(const char *option, const char *text, int64_t now, int64_t *ms, struct err *err)
{
	int64_t back;

	if (!text || clock_parse(text, ms))
		return 0;
	if (!duration_parse(text, &back))
		return err_set(err, ERR_USAGE,
		               "%s wants a time such as 2026-11-24T08:00:00Z or a duration such as 24h, not \"%s\"", option,
		               text);
	*ms = now - back;
	return 0;
}

/* Is the word one of the comma list? */
static bool in_list(const char *list, const char *word)
{
	const size_t n = strlen(word);

	for (const char *p = list; *p; p += *p == ',') {
		const size_t len = strcspn(p, ",");
		if (len == n && strncmp(p, word, n) == 0)
			return true;
		p += len;
	}
	return false;
}

int check_outcomes(const char *list, struct err *err)
{
	static const char known[] = "done,partial,failed,none,deferred,dry-run,intent,prune";
	char word[16];

	for (const char *p = list ? list : ""; *p; p += *p == ',') {
		const size_t n = strcspn(p, ",");
		(void)snprintf(word, sizeof word, "%.*s", (int)n, p);
		if (n >= sizeof word || !in_list(known, word))
			return err_set(err, ERR_USAGE, "--outcome: unknown word \"%.*s\"; known are %s", (int)n, p, known);
		p += n;
	}
	return 0;
}

static int history_line(void *ctx, const struct history_row *h, struct err *err)
{
	struct audit *a = ctx;
	struct buf *b = &a->line;

	if (a->outcomes && !in_list(a->outcomes, h->outcome))
		return 0;
	buf_putc(b, '{');
	clock_json_member(b, "at", h->at);
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
	buf_json_key(b, "policies");
	buf_puts(b, h->policies && *h->policies == '[' ? h->policies : "[]");
	buf_json_member_int(b, "history_id", h->history_id);
	buf_putc(b, '}');
	return put_line(a, err);
}

static int trail_line(void *ctx, const struct audit_row *row, struct err *err)
{
	struct audit *a = ctx;
	struct buf *b = &a->line;

	if (a->outcomes && !in_list(a->outcomes, row->event))
		return 0;
	buf_putc(b, '{');
	buf_json_member_str(b, "service", row->service);
	buf_json_member_int(b, "seq", row->seq);
	clock_json_member(b, "at", row->at);
	buf_json_member_str(b, "actor", row->actor);
	buf_json_member_str(b, "event", row->event);
	buf_json_member_str(b, "op_id", row->op_id);
	buf_json_member_str(b, "hash", row->hash);
	buf_json_key(b, "record");
	buf_puts(b, row->body && *row->body == '{' ? row->body : "null");
	buf_putc(b, '}');
	return put_line(a, err);
}

bool audit_row_decides(const struct audit_row *row)
{
	return strcmp(row->event, "intent") != 0 && strcmp(row->event, "prune") != 0 && *row->body == '{' && row->body[1];
}

/* A decision as a record: what was audited, and `audit` as the last stage would have set it. A promise is told by its
 * outcome, and a pruning decides nothing. */
static int record_line(void *ctx, const struct audit_row *row, struct err *err)
{
	struct audit *a = ctx;
	struct buf *b = &a->line;
	const size_t n = strlen(row->body);

	if (!audit_row_decides(row) || (a->outcomes && !in_list(a->outcomes, row->event)))
		return 0;
	buf_put(b, row->body, n - 1); /* without its last brace */
	buf_json_key(b, "audit");
	buf_putc(b, '{');
	buf_json_key(b, "history_id");
	if (row->history_id)
		buf_json_int(b, row->history_id);
	else
		buf_puts(b, "null");
	clock_json_member(b, "at", row->at);
	buf_json_member_str(b, "outcome", row->event);
	buf_json_member_int(b, "seq", row->seq);
	buf_json_member_str(b, "actor", row->actor);
	buf_json_member_str(b, "event", row->event);
	buf_json_member_str(b, "op_id", *row->op_id ? row->op_id : NULL);
	buf_json_member_str(b, "hash", row->hash);
	buf_puts(b, "}}");
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

int print_history(struct audit *a, struct err *err)
{
	return store_history_each(a->store, &a->filter, history_line, a, err);
}

int print_trail(struct audit *a, bool records, struct err *err)
{
	return store_audit_each(a->store, &a->filter, records ? record_line : trail_line, a, err);
}
