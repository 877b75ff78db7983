/* as-decide: (alert or metrics, policy, observed, history) -> plan, with a reason for every step. Pure: it reads no
 * file and no clock, time is the record's `now`. See as-decide(1). */
#include "base/exit.h"
#include "cmd/front/front.h"
#include "policy/decide.h"

#include "base/banned.h"

static const struct option_row options[] = {{0}};
static const struct command command = {"as-decide", "decide what to do for each record and say why", "", options};

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
	return decide(ctx, &in, record_edit(r, "plan"), err) < 0 ? RECORD_ERROR : RECORD_PRINT;
}

int main(int argc, char **argv)
{
	struct front f = {0};
	const int done = front_start(&f, &command, FRONT_FILTER, argc, argv);
	if (done >= 0)
		return done;

	struct decide_state *state = decide_state_new();
	if (!state) {
		const struct err err = {.code = ERR_TEMPORARY, .message = "out of memory"};
		return front_fail(&f, &err);
	}
	const int status = front_filter(&f, each, state, false);
	decide_state_free(state);
	return status;
}
