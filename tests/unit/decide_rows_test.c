/* The table of decide_rows.h, asked of decide(). With --records: the same rows as records, each with the member
 * `expect`, for as-decide. */
#include "policy/decide.h"

#include "base/clock.h"
#include "base/limits.h"
#include "decide_rows_edges.h"
#include "decide_rows.h"
#include "tap.h"

#include <stdlib.h>

#include "base/banned.h"

static void json(struct buf *b, const char *text)
{
	for (; *text; text++)
		buf_putc(b, *text == '\'' ? '"' : *text);
}

/* Containers c0 (an original), c1, ...; the last ones are not ready. */
static void put_observed(struct buf *b, const struct row *r, const char *service)
{
	buf_puts(b, "{\"hosts\":[{\"name\":\"h1\",\"ok\":true}],\"containers\":[");
	for (int i = 0; i < r->n; i++) {
		buf_printf(b, "%s{\"id\":\"c%d\",\"name\":\"%s", i ? "," : "", i, service);
		if (i)
			buf_printf(b, "-%d", i);
		buf_printf(b, "\",\"host\":\"h1\",\"state\":\"running\",\"ready\":%s,\"copy\":%s",
		           i < r->n - r->unready ? "true" : "false", i ? "true" : "false");
		if (i)
			buf_printf(b, ",\"index\":%d", i);
		buf_putc(b, '}');
	}
	buf_puts(b, "],\"remembered\":[]");
	if (r->more)
		json(b, r->more);
	else
		buf_puts(b, ",\"template\":{\"id\":\"c0\",\"host\":\"h1\"}");
	buf_putc(b, '}');
}

/* What the row does not say is as wide as can be. */
static void put_policy(struct buf *b, const struct row *r)
{
	static const char *const usual[] = {"min",           "0",    "max",       "1000", "cooldown_up", "0",
	                                    "cooldown_down", "0",    "window_up", "0",    "window_down", "0",
	                                    "from",          "null", NULL};
	char quoted[64];

	buf_putc(b, '{');
	if (r->policy)
		json(b, r->policy);
	for (const char *const *u = usual; *u; u += 2) {
		(void)snprintf(quoted, sizeof quoted, "'%s':", *u);
		if (!r->policy || !strstr(r->policy, quoted))
			buf_printf(b, "%s\"%s\":%s", b->p[b->n - 1] == '{' ? "" : ",", *u, u[1]);
	}
	buf_putc(b, '}');
}

static const char *op_of(const struct row *r)
{
	return r->op ? r->op : r->to > r->n ? "scale-up" : r->to < r->n ? "scale-down" : "none";
}

static void put_record(struct buf *b, const struct row *r, const char *service, size_t number)
{
	buf_putc(b, '{');
	buf_json_member_int(b, "v", 1);
	buf_json_member_str(b, "id", service);
	buf_json_member_str(b, "now", r->now ? r->now : "2026-11-24T12:00:00.000Z");
	buf_json_member_str(b, "service", service);
	if (r->alert) {
		buf_json_key(b, "alert");
		json(b, r->alert);
	}
	buf_json_key(b, "observed");
	put_observed(b, r, service);
	if (r->metrics) {
		buf_json_key(b, "metrics");
		json(b, r->metrics);
	}
	buf_json_key(b, "policy");
	const size_t at = b->n;
	struct buf policy = BUF_INIT(LINE_MAX_BYTES);
	put_policy(&policy, r);
	buf_put(b, policy.p, policy.n);
	buf_release(&policy);
	if (at == b->n)
		b->failed = true;
	buf_json_key(b, "history");
	buf_puts(b, "{\"generation\":3");
	if (r->history) {
		buf_putc(b, ',');
		json(b, r->history);
	}
	buf_puts(b, "},\"expect\":{");
	buf_json_member_int(b, "row", (int64_t)number);
	buf_json_member_str(b, "label", r->label);
	buf_json_member_str(b, "op", op_of(r));
	buf_json_member_int(b, "to", r->to);
	buf_puts(b, "}}");
}

static struct jv plan_of(struct decide_state *state, const struct buf *record, const char *service, struct buf *out)
{
	struct err err = {0};
	struct jv v;
	struct decide_input in = {.service = service, .id = service};

	if (jv_scan(record->p, record->n, &v, NULL, 0, NULL, &err) < 0 || !clock_json(jv_get(v, "now"), &in.now)) {
		printf("Bail out! %s in %s\n", err.message, record->p);
		exit(1);
	}
	in.alert = jv_get(v, "alert");
	in.observed = jv_get(v, "observed");
	in.metrics = jv_get(v, "metrics");
	in.policy = jv_get(v, "policy");
	in.history = jv_get(v, "history");
	buf_reset(out);
	if (decide(state, &in, out, &err) < 0)
		printf("# %s\n", err.message);
	return (struct jv){out->p, out->n};
}

static void check(struct decide_state *state, const struct row *r, const char *service, const struct buf *record)
{
	struct buf out = BUF_INIT(LINE_MAX_BYTES);
	const struct jv plan = plan_of(state, record, service, &out);
	const int64_t to = jv_int_or(jv_get(plan, "to"), -1);

	if (!OK(to == r->to && jv_is(jv_get(plan, "op"), op_of(r)), "%s", r->label))
		printf("# want %s %d: %s\n", op_of(r), r->to, out.p);
	buf_release(&out);
}

static void table(struct decide_state *state, const struct row *v, size_t n, char prefix, bool records)
{
	struct buf record = BUF_INIT(LINE_MAX_BYTES);
	char service[32] = "";

	for (size_t i = 0; i < n; i++) {
		if (!v[i].goes_on)
			(void)snprintf(service, sizeof service, "%c%zu", prefix, i);
		buf_reset(&record);
		put_record(&record, &v[i], service, i);
		if (records)
			printf("%s\n", record.p);
		else
			check(state, &v[i], service, &record);
	}
	buf_release(&record);
}

int main(int argc, char **argv)
{
	const bool records = argc == 2 && strcmp(argv[1], "--records") == 0;
	struct decide_state *state = decide_state_new();

	table(state, rows, sizeof rows / sizeof *rows, 'r', records);
	table(state, edges, sizeof edges / sizeof *edges, 'e', records);
	decide_state_free(state);
	return records ? 0 : DONE();
}
