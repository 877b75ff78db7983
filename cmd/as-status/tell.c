/* A service as a JSON object. The members are in as-status(1). */
#include "cmd/as-status/status.h"

#include "base/banned.h"

static void put_count(struct buf *b, const char *name, bool known, int64_t n)
{
	if (known)
		buf_json_member_int(b, name, n);
	else
		buf_json_member_str(b, name, NULL);
}

static void put_seconds(struct buf *b, const char *name, int64_t ms)
{
	buf_json_key(b, name);
	if (ms == NEVER)
		buf_puts(b, "null");
	else
		duration_json(b, ms);
}

static void put_last(struct buf *b, const struct last *last)
{
	buf_json_key(b, "last");
	if (last->at == TIME_NONE) {
		buf_puts(b, "null");
		return;
	}
	buf_putc(b, '{');
	buf_json_member_str(b, "action", last->action);
	buf_json_member_int(b, "from", last->from);
	buf_json_member_int(b, "to", last->to);
	buf_json_member_str(b, "outcome", last->outcome);
	clock_json_member(b, "at", last->at);
	buf_json_member_str(b, "reason", last->reason);
	buf_json_member_str(b, "error", last->error);
	buf_json_key(b, "policies");
	buf_puts(b, last->policies ? last->policies : "null");
	buf_putc(b, '}');
}

static void put_pending(struct buf *b, const struct service_past *past)
{
	buf_json_key(b, "pending");
	if (!past->pending) {
		buf_puts(b, "null");
		return;
	}
	buf_putc(b, '{');
	buf_json_member_str(b, "action", past->pending_action);
	buf_json_member_str(b, "op_id", past->pending_op);
	clock_json_member(b, "at", past->pending_at);
	buf_json_member_int(b, "attempts", past->pending_attempts);
	buf_putc(b, '}');
}

static void put_next(const struct status *s, const struct service *v, struct buf *b)
{
	struct outlook o;

	look_ahead(s, v, &o);
	buf_json_key(b, "next");
	buf_putc(b, '{');
	put_seconds(b, "out", o.out);
	put_seconds(b, "in", o.in);
	buf_json_member_bool(b, "paused_out", o.paused_out);
	buf_json_member_bool(b, "paused_in", o.paused_in);
	buf_putc(b, '}');
}

static void put_sides(const struct service *v, struct buf *b)
{
	buf_json_key(b, "lb");
	buf_putc(b, '[');
	for (size_t i = 0; i < v->nsides; i++) {
		const struct side *side = &v->sides[i];
		buf_json_comma(b);
		buf_putc(b, '{');
		buf_json_member_str(b, "name", side->name);
		buf_json_member_str(b, "backend", side->backend);
		buf_json_key(b, "agrees");
		buf_puts(b, !side->known ? "null" : side->nmissing || side->nstale ? "false" : "true");
		put_count(b, "entries", side->known, side->entries);
		put_count(b, "up", side->known, side->up);
		buf_json_member_int(b, "ready", expected_at(v));
		buf_json_key(b, "missing");
		buf_put(b, side->missing.p, side->missing.n);
		buf_json_key(b, "stale");
		buf_put(b, side->stale.p, side->stale.n);
		buf_json_member_str(b, "message", side->why.code ? side->why.message : "");
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

static void put_hosts(const struct status *s, const struct service *v, struct buf *b)
{
	buf_json_key(b, "hosts");
	buf_putc(b, '[');
	for (size_t i = 0; i < s->f.conf.nhosts; i++) {
		const struct host *h = &s->host[i];
		buf_json_comma(b);
		buf_putc(b, '{');
		buf_json_member_str(b, "name", s->f.conf.hosts[i].name);
		buf_json_member_bool(b, "ok", h->ok);
		put_count(b, "running", h->ok, running_on(v, i));
		buf_json_member_int(b, "unknown", unseen_on(s, v, i));
		buf_json_member_str(b, "message", h->ok ? "" : h->why.message);
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

void tell_service(const struct status *s, const struct service *v, struct buf *b)
{
	buf_putc(b, '{');
	buf_json_member_str(b, "service", v->name);
	clock_json_member(b, "now", s->now);
	buf_json_member_int(b, "running", v->running);
	buf_json_member_int(b, "ready", v->ready);
	buf_json_member_int(b, "stopped", v->stopped);
	buf_json_member_int(b, "missing", v->missing);
	buf_json_member_int(b, "unknown", v->unknown);
	put_count(b, "min", v->limits_known, v->min);
	put_count(b, "max", v->limits_known && v->max >= 0, v->max);
	buf_json_key(b, "trend");
	buf_putc(b, '{');
	put_count(b, "moved", s->store_ok, v->moved);
	buf_json_member_int(b, "over", TREND_MS / 1000);
	put_count(b, "wanted", v->wanted_known, v->wanted);
	buf_putc(b, '}');
	put_last(b, &v->last);
	put_pending(b, &v->past);
	put_next(s, v, b);
	put_sides(v, b);
	put_hosts(s, v, b);
	buf_json_member_bool(b, "store", s->store_ok);
	buf_json_member_str(b, "error", v->resolved ? NULL : v->why.message);
	buf_puts(b, "}\n");
}
