/* as-decide: (alert or metrics, policy, observed, history) -> plan, with a reason for every step. Pure: it reads no
 * file and no clock, time is the record's `now`. --simulate decides again what was decided before, as it would have
 * gone with the policies that the records have now. See as-decide(1). */
#include "base/clock.h"
#include "base/exit.h"
#include "cmd/as-decide/decider.h"
#include "cmd/front/front.h"
#include "policy/decide.h"
#include "policy/simulate.h"

#include <stdio.h>

#include "base/banned.h"

static bool simulates, explains;

static const struct option_row options[] = {
	{0, "simulate", OPTION_FLAG, NULL, &simulates, "replay: let the plans have the effect they would have had"},
	{0, "explain", OPTION_FLAG, NULL, &explains, "print the steps of each decision on standard error"},
	{0},
};
static const struct command command = {"as-decide", "decide what to do for each record and say why", "", options};

struct decider {
	struct decide_state *state;
	struct simulation *simulation;
};

static void print_explanation(struct record *r, const struct decide_input *in)
{
	struct buf text = BUF_INIT(4 * LINE_MAX_BYTES);
	char now[CLOCK_TEXT];

	clock_format(in->now, now);
	explain(in->service, now, record_get(r, "plan"), &text);
	if (text.p && !text.failed)
		(void)fwrite(text.p, 1, text.n, stderr);
	buf_release(&text);
}

/* What as-audit exports may carry the error of a stage behind this one: it was decided, and is so again. */
static bool was_decided(const struct record *r)
{
	return jv_is_null(record_get(r, "error")) || jv_is_object(record_get(r, "plan"));
}

static int simulate_one(struct simulation *s, struct record *r, const struct decide_input *in, struct err *err)
{
	const struct simulate_record was = {
		.in = *in, .plan = record_get(r, "plan"), .intent = record_get(r, "intent"), .audit = record_get(r, "audit")};
	struct buf plan = BUF_INIT(LINE_MAX_BYTES), member = BUF_INIT(LINE_MAX_BYTES);
	const int bad = simulate(s, &was, &plan, &member, err);

	if (plan.n && member.n) {
		buf_put(record_edit(r, "plan"), plan.p, plan.n);
		buf_put(record_edit(r, "simulation"), member.p, member.n);
	}
	buf_release(&plan);
	buf_release(&member);
	return bad;
}

static int decide_one(struct decider *d, struct record *r, const struct decide_input *in, struct err *err)
{
	const int bad =
		d->simulation ? simulate_one(d->simulation, r, in, err) : decide(d->state, in, record_edit(r, "plan"), err);

	if (explains)
		print_explanation(r, in);
	/* An alert that could not be followed then cannot be now. */
	return bad && d->simulation && jv_is(jv_get(record_get(r, "error"), "stage"), command.name) ? 0 : bad;
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	char service[SERVICE_NAME_MAX + 1], id[256];
	struct decide_input in = {
		.service = service,
		.id = id,
		.alert = record_get(r, "alert"),
		.observed = record_get(r, "observed"),
		.metrics = record_get(r, "metrics"),
		.policy = record_get(r, "policy"),
		.history = record_get(r, "history"),
	};

	if (!was_decided(r))
		return RECORD_PRINT;
	if (record_service(r, service, err) < 0 || record_now(r, &in.now, err) < 0)
		return RECORD_ERROR;
	if (!jv_is_object(in.observed) || !jv_is_object(in.policy)) {
		(void)err_set(err, ERR_MISSING, "no `%s`: put %s before this stage",
		              jv_is_object(in.observed) ? "policy" : "observed",
		              jv_is_object(in.observed) ? "as-resolve-policy" : "as-inspect");
		return RECORD_ERROR;
	}
	if (!jv_str(record_get(r, "id"), id, sizeof id))
		id[0] = '\0';
	return decide_one(ctx, r, &in, err) < 0 ? RECORD_ERROR : RECORD_PRINT;
}

int main(int argc, char **argv)
{
	struct front f = {0};
	struct decider d = {0};
	const int done = front_start(&f, &command, FRONT_FILTER, argc, argv);
	if (done >= 0)
		return done;

	if (simulates)
		d.simulation = simulation_new();
	else
		d.state = decide_state_new();
	if (!d.simulation && !d.state) {
		const struct err err = {.code = ERR_TEMPORARY, .message = "out of memory"};
		return front_fail(&f, &err);
	}
	const int status = front_filter(&f, each, &d, simulates);
	decide_state_free(d.state);
	simulation_free(d.simulation);
	return status;
}
