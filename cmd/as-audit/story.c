/* The story: what came of a record, as an outcome, a row of the history, and a link of the audit chain. */
#include "cmd/as-audit/audit.h"

#include "base/clock.h"
#include "base/convention.h"
#include "cmd/front/steps.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

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

static void copy_member(struct buf *out, const char *name, struct jv v)
{
	if (!jv_here(v))
		return;
	buf_json_key(out, name);
	buf_put(out, v.p, v.n);
}

/* What a decision reads: labels of our own family and those of conventions. */
static bool is_read(const struct jv_member *m)
{
	char name[CONVENTION_KEY * 2];

	if (m->name.n >= 10 && memcmp(m->name.p, "autoscale.", 10) == 0)
		return true;
	if (m->name.n >= sizeof name)
		return false;
	(void)snprintf(name, sizeof name, "%.*s", (int)m->name.n, m->name.p);
	return convention_has(false, name);
}

static void copy_labels(struct buf *out, struct jv labels)
{
	struct jv_cursor c = jv_each(labels);
	struct jv_member m;

	buf_json_key(out, "labels");
	buf_putc(out, '{');
	while (jv_next(&c, &m)) {
		if (!is_read(&m))
			continue;
		buf_json_comma(out);
		buf_printf(out, "\"%.*s\":", (int)m.name.n, m.name.p);
		buf_put(out, m.value.p, m.value.n);
	}
	buf_putc(out, '}');
}

/* Each entry of a list with only these members of it, and with its labels if `labels`. */
static void copy_list(struct buf *out, const char *name, struct jv list, const char *const *members, bool labels)
{
	struct jv_cursor c = jv_each(list);
	struct jv_member m;

	if (!jv_is_array(list))
		return;
	buf_json_key(out, name);
	buf_putc(out, '[');
	while (jv_next(&c, &m)) {
		buf_json_comma(out);
		buf_putc(out, '{');
		for (const char *const *k = members; *k; k++)
			copy_member(out, *k, jv_get(m.value, *k));
		if (labels)
			copy_labels(out, jv_get(m.value, "labels"));
		buf_putc(out, '}');
	}
	buf_putc(out, ']');
}

/* What a decision reads of `observed`, so that a replay can decide again: a storm audits a thousand of these. */
static void copy_observed(struct buf *out, struct jv observed)
{
	static const char *const counts[] = {"count_from", "running",  "ready",   "starting", "stopped",
	                                     "missing",    "draining", "unknown", "hosts",    NULL};
	static const char *const container[] = {"id",      "name",    "host",      "state",      "last_state", "health",
	                                        "created", "started", "exit_code", "oom_killed", "restarts",   "index",
	                                        "copy",    "copy_of", "ready",     NULL};
	static const char *const remembered[] = {"name", "host", "missing", "removed", "settles_at", NULL};
	const struct jv template = jv_get(observed, "template");

	buf_json_key(out, "observed");
	buf_putc(out, '{');
	for (const char *const *k = counts; *k; k++)
		copy_member(out, *k, jv_get(observed, *k));
	copy_list(out, "containers", jv_get(observed, "containers"), container, true);
	if (jv_is_object(template)) {
		buf_json_key(out, "template");
		buf_putc(out, '{');
		copy_member(out, "id", jv_get(template, "id"));
		copy_member(out, "host", jv_get(template, "host"));
		copy_member(out, "name", jv_get(template, "name"));
		copy_member(out, "engine", jv_get(template, "engine"));
		copy_member(out, "replicas", jv_get(template, "replicas"));
		copy_labels(out, jv_get(template, "labels"));
		copy_member(out, "variables", jv_get(template, "variables"));
		copy_member(out, "ports", jv_get(template, "ports"));
		buf_putc(out, '}');
	}
	copy_list(out, "remembered", jv_get(observed, "remembered"), remembered, false);
	buf_putc(out, '}');
}

/* The record as the trail keeps it: no create request (it holds values of the environment), no claim token. */
static int audit_body(const struct record *r, struct buf *out, struct err *err)
{
	static const char *const before[] = {"v", "id", "now", "alert", "service"};
	static const char *const after[] = {"metrics", "policy", "history", "plan", "intent", "steps", "lb", "error"};
	const struct jv observed = record_get(r, "observed");

	buf_putc(out, '{');
	for (size_t i = 0; i < sizeof before / sizeof *before; i++)
		copy_member(out, before[i], record_get(r, before[i]));
	if (jv_is_object(observed))
		copy_observed(out, observed);
	for (size_t i = 0; i < sizeof after / sizeof *after; i++)
		copy_member(out, after[i], record_get(r, after[i]));
	buf_putc(out, '}');
	return buf_ok(out, err);
}

static void put_audit(struct record *r, int64_t history_id, int64_t at, const char *outcome)
{
	struct buf *b = record_edit(r, "audit");

	buf_putc(b, '{');
	buf_json_key(b, "history_id");
	if (history_id)
		buf_json_int(b, history_id);
	else
		buf_puts(b, "null");
	clock_json_member(b, "at", at);
	buf_json_member_str(b, "outcome", outcome);
	buf_putc(b, '}');
}

/* What the decision wanted before windows and limits, and what it took the count before it to be when it was the first.
 */
static int read_wants(const struct record *r, struct outcome *o, struct err *err)
{
	struct jv_cursor c = jv_each(jv_get(record_get(r, "history"), "window"));
	struct jv_member m;

	o->measured = jv_int(jv_get(record_get(r, "plan"), "want"), &o->want) && o->want >= 0;
	if (!o->measured)
		return 0;
	while (jv_next(&c, &m))
		if (jv_is_true(jv_get(m.value, "first")))
			o->first = jv_int(jv_get(m.value, "want"), &o->before);
	return record_now(r, &o->noted_at, err);
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
	int bad = audit_body(r, &body, err);
	struct outcome o = {
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
	if (!bad)
		bad = read_wants(r, &o, err);
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

enum record_fate after(void *ctx, struct record *r, struct err *err)
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
