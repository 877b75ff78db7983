/* The promise: the plan is stored as an operation before anything acts on it, or an unfinished one is taken up. */
#include "cmd/as-audit/audit.h"

#include "cmd/front/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/banned.h"

static void new_op_id(const char *service, char out[64])
{
	unsigned char r[6] = {0};

	if (getrandom(r, sizeof r, 0) != sizeof r)
		abort();
	(void)snprintf(out, 64, "%.48s-%02x%02x%02x%02x%02x%02x", service, r[0], r[1], r[2], r[3], r[4], r[5]);
}

/* The versions of policies that some field of the record's policy came from, as ["web@4"], each once. */
static void put_policies(const struct record *r, struct buf *out)
{
	struct jv_cursor c = jv_each(jv_get(record_get(r, "policy"), "from"));
	struct jv_member m;

	buf_putc(out, '[');
	while (jv_next(&c, &m)) {
		char from[160];
		struct buf quoted = BUF_INIT(2 * sizeof from);
		if (!jv_str(m.value, from, sizeof from) || strncmp(from, "db:", 3) != 0)
			continue;
		buf_json_str(&quoted, from + 3);
		if (buf_ok(&quoted, &(struct err){0}) == 0 && !strstr(out->p, quoted.p)) {
			buf_json_comma(out);
			buf_put(out, quoted.p, quoted.n);
		}
		buf_release(&quoted);
	}
	buf_putc(out, ']');
}

static void put_intent(struct record *r, const char *state, const struct intent *in, const struct buf *policies)
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
	if (policies && policies->n) {
		buf_json_key(b, "policies");
		buf_put(b, policies->p, policies->n);
	}
	buf_putc(b, '}');
}

static int promise(struct audit *a, struct record *r, const char *service, const char *op, struct err *err)
{
	static const char *const names[] = {"new", "resumed", "deferred", "finished"};
	const struct jv plan = record_get(r, "plan");
	char alert_id[128] = "", op_id[64];
	struct intent in = {.plan = BUF_INIT(LINE_MAX_BYTES)};
	struct buf text = BUF_INIT(LINE_MAX_BYTES), policies = BUF_INIT(LINE_MAX_BYTES);

	if (jv_is_object(record_get(r, "alert")))
		steps_text((struct jv){r->whole.p, r->whole.n}, "id", alert_id, sizeof alert_id);
	new_op_id(service, op_id);
	buf_put(&text, plan.p, plan.n);
	put_policies(r, &policies);
	const struct intent_ask ask = {
		.service = service,
		.alert_id = alert_id,
		.action = op,
		.plan = text.p,
		.policies = policies.p,
		.actor = a->actor,
		.op_id = op_id,
		.generation = jv_int_or(jv_get(record_get(r, "history"), "generation"), -1),
	};
	const int bad =
		buf_ok(&text, err) < 0 || buf_ok(&policies, err) < 0 || store_intent(a->store, &ask, &in, err) < 0 ? -1 : 0;
	if (!bad && in.state == INTENT_RESUMED)
		buf_put(record_edit(r, "plan"), in.plan.p, in.plan.n);
	if (!bad)
		put_intent(r, names[in.state], &in, in.state == INTENT_NEW ? &policies : &in.policies);
	intent_release(&in);
	buf_release(&text);
	buf_release(&policies);
	return bad;
}

enum record_fate before(void *ctx, struct record *r, struct err *err)
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
		put_intent(r, "deferred", NULL, NULL);
	if (strcmp(op, "none") == 0 || steps_dry(&a->f, r))
		return RECORD_PRINT;
	return need_store(a, err) < 0 || promise(a, r, service, op, err) < 0 ? RECORD_ERROR : RECORD_PRINT;
}
