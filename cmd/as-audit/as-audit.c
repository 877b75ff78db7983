/* as-audit: the promise before acting (--intent) and the story after. Between the two stands whatever acts, so that
 * a crash anywhere leaves a planned operation that the next pass carries out under the same names.
 * --history prints what was done, --export the audit trail, --verify proves that nobody changed it. See as-audit(1). */
#include "base/clock.h"
#include "base/exit.h"
#include "cmd/front/front.h"
#include "cmd/front/steps.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/banned.h"

static bool intent, history, export, verify;
static const char *service_filter;

static const struct option_row options[] = {
	{'i', "intent", OPTION_FLAG, NULL, &intent, "before acting: promise the plan, or resume an unfinished one"},
	{0, "history", OPTION_FLAG, NULL, &history, "print one line per operation, oldest first"},
	{0, "export", OPTION_FLAG, NULL, &export, "print the audit trail as records"},
	{0, "verify", OPTION_FLAG, NULL, &verify, "check the hash chain of every service"},
	{0, "service", OPTION_TEXT, "NAME", &service_filter, "with --history and --export: only this service"},
	{0},
};
static const struct command command = {"as-audit", "promise before acting, write the history after", "", options};

struct audit {
	struct front f;
	struct store *store;
	struct buf line;
	char actor[96]; /* who: as-audit@HOST */
};

static int need_store(struct audit *a, struct err *err)
{
	if (!a->store)
		a->store = store_open(a->f.conf.store, err);
	return a->store ? 0 : -1;
}

/* ---- before: --intent ---- */

static void new_op_id(const char *service, char out[64])
{
	unsigned char r[6] = {0};

	if (getrandom(r, sizeof r, 0) != sizeof r)
		abort();
	(void)snprintf(out, 64, "%.48s-%02x%02x%02x%02x%02x%02x", service, r[0], r[1], r[2], r[3], r[4], r[5]);
}

static void put_intent(struct record *r, const char *state, const struct intent *in)
{
	struct buf *b = record_edit(r, "intent");

	buf_putc(b, '{');
	buf_json_member_str(b, "op_id", in ? in->op_id : NULL);
	buf_json_key(b, "generation");
	if (in)
		buf_json_int(b, in->generation);
	else
		buf_puts(b, "null");
	buf_json_member_str(b, "state", state);
	if (in && *in->alert_id)
		buf_json_member_str(b, "alert", in->alert_id);
	buf_putc(b, '}');
}

static int promise(struct audit *a, struct record *r, const char *service, const char *op, struct err *err)
{
	static const char *const names[] = {"new", "resumed", "deferred", "finished"};
	const struct jv plan = record_get(r, "plan");
	char alert_id[128] = "", op_id[64];
	struct intent in = {.plan = BUF_INIT(LINE_MAX_BYTES)};
	struct buf text = BUF_INIT(LINE_MAX_BYTES);

	if (jv_is_object(record_get(r, "alert")))
		steps_text((struct jv){r->whole.p, r->whole.n}, "id", alert_id, sizeof alert_id);
	new_op_id(service, op_id);
	buf_put(&text, plan.p, plan.n);
	const struct intent_ask ask = {
		.service = service,
		.alert_id = alert_id,
		.action = op,
		.plan = text.p,
		.actor = a->actor,
		.op_id = op_id,
		.generation = jv_int_or(jv_get(record_get(r, "history"), "generation"), -1),
	};
	const int bad = buf_ok(&text, err) < 0 || store_intent(a->store, &ask, &in, err) < 0 ? -1 : 0;
	if (!bad && in.state == INTENT_RESUMED)
		buf_put(record_edit(r, "plan"), in.plan.p, in.plan.n);
	if (!bad)
		put_intent(r, names[in.state], &in);
	buf_release(&in.plan);
	buf_release(&text);
	return bad;
}

static enum record_fate before(void *ctx, struct record *r, struct err *err)
{
	struct audit *a = ctx;
	const struct jv plan = record_get(r, "plan");
	char service[SERVICE_NAME_MAX + 1], op[32];

	if (record_service(r, service, err) < 0)
		return RECORD_ERROR;
	steps_text(plan, "op", op, sizeof op);
	if (!*op) {
		(void)err_set(err, ERR_MISSING, "no `plan`: put as-decide before this stage");
		return RECORD_ERROR;
	}
	if (jv_is_true(jv_get(plan, "defer")))
		put_intent(r, "deferred", NULL);
	if (strcmp(op, "none") == 0 || steps_dry(&a->f, r))
		return RECORD_PRINT;
	return need_store(a, err) < 0 || promise(a, r, service, op, err) < 0 ? RECORD_ERROR : RECORD_PRINT;
}

/* ---- after ---- */

/* Did any step change something, and did any fail? */
static void look_at(struct jv list, bool *changed, bool *wrong, bool *dry)
{
	struct jv_cursor c = jv_each(list);
	struct jv_member m;

	while (jv_next(&c, &m)) {
		const bool ok = jv_is_true(jv_get(m.value, "ok"));
		*changed = *changed || ok;
		*wrong = *wrong || !ok;
		*dry = *dry || jv_is_true(jv_get(m.value, "dry"));
	}
}

static const char *outcome_of(const struct audit *a, const struct record *r, const char *op)
{
	const struct jv state = jv_get(record_get(r, "intent"), "state");
	bool changed = false, wrong = false, dry = false;

	look_at(record_get(r, "steps"), &changed, &wrong, &dry);
	look_at(record_get(r, "lb"), &changed, &wrong, &dry);
	if (jv_is(state, "deferred"))
		return "deferred";
	if (jv_is(state, "finished"))
		return "done";
	if (!jv_is_null(record_get(r, "error")))
		return changed && strcmp(op, "none") != 0 ? "partial" : "failed";
	if (strcmp(op, "none") == 0)
		return "none";
	return dry || steps_dry(&a->f, r) ? "dry-run" : "done";
}

/* The record as the trail keeps it: no create request (it holds values of the environment), no claim token. */
static int audit_body(const struct record *r, const char *op, struct buf *out, struct err *err)
{
	static const char *const always[] = {"v",       "id",   "now",    "alert", "service", "policy",
	                                     "history", "plan", "intent", "steps", "lb",      "error"};
	const struct jv observed = record_get(r, "observed");
	struct jv_cursor c = jv_each(observed);
	struct jv_member m;

	buf_putc(out, '{');
	for (size_t i = 0; i < sizeof always / sizeof *always; i++) {
		const struct jv v = record_get(r, always[i]);
		if (!jv_here(v))
			continue;
		buf_json_key(out, always[i]);
		buf_put(out, v.p, v.n);
	}
	if (jv_is_object(observed) && strcmp(op, "none") != 0) {
		buf_json_key(out, "observed");
		buf_putc(out, '{');
		while (jv_next(&c, &m)) {
			if (jv_name_is(&m, "template") || jv_name_is(&m, "remembered"))
				continue;
			buf_json_comma(out);
			buf_printf(out, "\"%.*s\":", (int)m.name.n, m.name.p);
			buf_put(out, m.value.p, m.value.n);
		}
		buf_putc(out, '}');
	}
	buf_putc(out, '}');
	return buf_ok(out, err);
}

static void put_audit(struct record *r, int64_t history_id, int64_t at, const char *outcome)
{
	struct buf *b = record_edit(r, "audit");
	char text[CLOCK_TEXT];

	clock_format(at, text);
	buf_putc(b, '{');
	buf_json_key(b, "history_id");
	if (history_id)
		buf_json_int(b, history_id);
	else
		buf_puts(b, "null");
	buf_json_member_str(b, "at", text);
	buf_json_member_str(b, "outcome", outcome);
	buf_putc(b, '}');
}

static int write_story(struct audit *a, struct record *r, const char *service, const char *op, struct err *err)
{
	const struct jv plan = record_get(r, "plan"), error = record_get(r, "error");
	char op_id[64], alert_id[128] = "", owner[128], reason[600], message[600];
	struct buf body = BUF_INIT(LINE_MAX_BYTES);
	int64_t history_id = 0, at = 0;

	steps_text(record_get(r, "intent"), "op_id", op_id, sizeof op_id);
	steps_text(record_get(r, "intent"), "alert", owner, sizeof owner);
	steps_text(plan, "reason", reason, sizeof reason);
	steps_text(error, "message", message, sizeof message);
	if (jv_is_object(record_get(r, "alert")))
		steps_text((struct jv){r->whole.p, r->whole.n}, "id", alert_id, sizeof alert_id);
	const char *outcome = outcome_of(a, r, op);
	int bad = audit_body(r, op, &body, err);
	const struct outcome o = {
		.op_id = strcmp(outcome, "deferred") == 0 ? "" : op_id,
		.service = service,
		.alert_id = alert_id,
		.actor = a->actor,
		.action = op,
		.outcome = outcome,
		.keep = jv_is_true(jv_get(error, "retry")),
		.from = jv_int_or(jv_get(plan, "from"), -1),
		.to = jv_int_or(jv_get(plan, "to"), -1),
		.reason = reason,
		.error = *message ? message : NULL,
		.body = body.p,
	};
	if (!bad && !a->f.dry_run)
		bad = store_outcome(a->store, &o, &history_id, &at, err);
	buf_release(&body);
	/* The operation of another alert was resumed: this record's own alert is decided anew. */
	if (strcmp(owner, alert_id) != 0 && *alert_id && jv_is(jv_get(record_get(r, "intent"), "state"), "resumed"))
		outcome = "deferred";
	if (!bad)
		put_audit(r, history_id, at ? at : clock_now_ms(), outcome);
	return bad;
}

static enum record_fate after(void *ctx, struct record *r, struct err *err)
{
	struct audit *a = ctx;
	char service[SERVICE_NAME_MAX + 1], op[32];

	if (record_service(r, service, err) < 0)
		return RECORD_ERROR;
	steps_text(record_get(r, "plan"), "op", op, sizeof op);
	if (!*op)
		(void)snprintf(op, sizeof op, "none");
	if (!a->f.dry_run && need_store(a, err) < 0)
		return RECORD_ERROR;
	return write_story(a, r, service, op, err) < 0 ? RECORD_ERROR : RECORD_PRINT;
}

/* ---- reading it ---- */

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

static int print_history(void *ctx, const struct history_row *h, struct err *err)
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

static int print_audit(void *ctx, const struct audit_row *row, struct err *err)
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

static int verify_chain(struct audit *a, struct err *err)
{
	int64_t rows = 0;

	if (store_audit_verify(a->store, &rows, err) < 0)
		return -1;
	buf_printf(&a->line, "{\"rows\":%lld,\"ok\":true}", (long long)rows);
	return put_line(a, err);
}

static int read_store(struct audit *a, struct err *err)
{
	if (need_store(a, err) < 0)
		return -1;
	if (verify)
		return verify_chain(a, err);
	return history ? store_history_each(a->store, service_filter, 0, print_history, a, err)
	               : store_audit_each(a->store, service_filter, 0, print_audit, a, err);
}

int main(int argc, char **argv)
{
	static struct audit a;
	struct err err = {0};
	char host[64] = "";
	int done = front_start(&a.f, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_conf(&a.f)) >= 0)
		return done;

	(void)gethostname(host, sizeof host - 1);
	(void)snprintf(a.actor, sizeof a.actor, "as-audit@%s", host);
	a.line = (struct buf)BUF_INIT(2 * LINE_MAX_BYTES);
	if (!history && !export && !verify) {
		done = front_filter(&a.f, intent ? before : after, &a, !intent);
	} else {
		int bad = front_open(&a.f, NULL, NULL, false, &err);
		a.f.loop.flush_each = false;
		if (!bad)
			bad = read_store(&a, &err);
		done = front_close(&a.f, bad, &err);
	}
	store_close(a.store);
	conf_release(&a.f.conf);
	buf_release(&a.line);
	return done;
}
