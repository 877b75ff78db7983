/* What a decision needs to know of the past, as the member `history`. */
#include "cmd/as-resolve-policy/resolve.h"

#include "base/clock.h"

#include <string.h>

#include "base/banned.h"

static int64_t ms(struct jv policy, const char *field)
{
	int64_t micro;

	return jv_micro(jv_get(policy, field), &micro) ? micro / 1000 : 0;
}

static int64_t longest_rate(struct jv policy, const char *field)
{
	char text[POLICY_TEXT];

	return jv_str(jv_get(policy, field), text, sizeof text) ? rate_longest(text) : 0;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

void past_span_read(struct jv policy, struct past_span *span)
{
	const int64_t window = larger(ms(policy, "window_up"), ms(policy, "window_down"));
	const int64_t rate = larger(longest_rate(policy, "rate_up"), longest_rate(policy, "rate_down"));

	*span = (struct past_span){.window = jv_is_object(jv_get(policy, "target")) ? window : 0,
	                           .moves = larger(rate, ms(policy, "cooldown_up")),
	                           .counted = jv_is(jv_get(policy, "count_from"), "db")};
}

void past_bounds(const struct past_span *span, int64_t now, struct past_ask *ask)
{
	ask->window_since = span->window ? now - span->window - 1 : TIME_NONE;
	ask->moves_since = span->moves ? now - span->moves : TIME_NONE;
	ask->counted = span->counted;
}

/* One that is seen for the first time, or again after long, has its count of now to hold on to. */
static void put_window(struct buf *b, const struct past_ask *ask, const struct service_past *past, int64_t now,
                       int64_t running)
{
	const bool some = past && past->window.n > 2;

	buf_json_key(b, "window");
	if (ask->window_since == TIME_NONE || some || running < 0) {
		buf_puts(b, some ? past->window.p : "[]");
		return;
	}
	buf_puts(b, "[{");
	clock_json_member(b, "at", now);
	buf_json_member_int(b, "want", running);
	buf_json_member_bool(b, "first", true);
	buf_puts(b, "}]");
}

static void put_pending(struct buf *b, const struct service_past *past)
{
	buf_json_key(b, "pending");
	if (!past || !past->pending) {
		buf_puts(b, "null}");
		return;
	}
	buf_putc(b, '{');
	buf_json_member_str(b, "op_id", past->pending_op);
	buf_json_member_int(b, "generation", past->pending_generation);
	buf_json_member_str(b, "alert_id", past->pending_alert);
	buf_json_member_str(b, "action", past->pending_action);
	clock_json_member(b, "at", past->pending_at);
	buf_json_member_int(b, "attempts", past->pending_attempts);
	buf_json_key(b, "plan");
	buf_put(b, past->pending_plan.p, past->pending_plan.n);
	buf_puts(b, "}}");
}

void past_put(struct buf *b, const struct past_ask *ask, const struct service_past *past, int64_t now, int64_t running)
{
	buf_putc(b, '{');
	buf_json_member_int(b, "generation", past ? past->generation : 0);
	clock_json_member(b, "last_out", past ? past->last_out : TIME_NONE);
	clock_json_member(b, "last_in", past ? past->last_in : TIME_NONE);
	put_window(b, ask, past, now, running);
	buf_json_key(b, "moves");
	buf_puts(b, past ? past->moves.p : "[]");
	if (past && past->counted >= 0)
		buf_json_member_int(b, "counted", past->counted);
	buf_json_key(b, "repairs");
	buf_puts(b, past ? past->repairs.p : "[]");
	put_pending(b, past);
}
