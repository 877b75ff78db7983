/* The plan and its reasons as text. */
#include "policy/decision.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

void plan_trace(struct decision *d, const char *step, int64_t in, int64_t out, const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	buf_json_comma(&d->trace);
	buf_putc(&d->trace, '{');
	buf_json_member_str(&d->trace, "step", step);
	buf_json_member_int(&d->trace, "in", in);
	buf_json_member_int(&d->trace, "out", out);
	buf_json_member_str(&d->trace, "why", why);
	buf_putc(&d->trace, '}');
}

void plan_say(struct decision *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(d->reason, sizeof d->reason, fmt, ap);
	va_end(ap);
}

void plan_say_more(struct decision *d, const char *fmt, ...)
{
	const size_t n = strlen(d->reason);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(d->reason + n, sizeof d->reason - n, fmt, ap);
	va_end(ap);
}

void plan_create(struct decision *d, const char *name, const char *host, const char *like, int64_t index)
{
	struct buf *b = &d->create;

	buf_json_comma(b);
	buf_putc(b, '{');
	buf_json_member_str(b, "name", name);
	buf_json_member_str(b, "host", host);
	buf_json_member_str(b, "like", *like ? like : NULL);
	buf_json_key(b, "index");
	if (index >= 0)
		buf_json_int(b, index);
	else
		buf_puts(b, "null");
	buf_putc(b, '}');
}

void plan_target(struct buf *b, struct jv container)
{
	char id[NAME], name[NAME], host[NAME];

	member_text(container, "id", id, sizeof id);
	member_text(container, "name", name, sizeof name);
	member_text(container, "host", host, sizeof host);
	buf_json_comma(b);
	buf_putc(b, '{');
	buf_json_member_str(b, "id", id);
	buf_json_member_str(b, "name", name);
	buf_json_member_str(b, "host", host);
	buf_putc(b, '}');
}

void plan_write(const struct decision *d, struct buf *out)
{
	char reason[sizeof d->reason + 64];

	if (d->from == d->to && (d->tracking || d->held) && *d->reason)
		(void)snprintf(reason, sizeof reason, "%lld stays: %s", (long long)d->to, d->reason);
	else if (d->from == d->to)
		(void)snprintf(reason, sizeof reason, "%s", d->reason);
	else
		(void)snprintf(reason, sizeof reason, "%lld -> %lld: %s", (long long)d->from, (long long)d->to, d->reason);
	buf_putc(out, '{');
	buf_json_member_str(out, "op", d->op);
	buf_json_member_int(out, "from", d->from);
	buf_json_member_int(out, "to", d->to);
	if (d->tracking)
		buf_json_member_int(out, "want", d->want);
	const struct {
		const char *name;
		const struct buf *list;
	} lists[] = {{"create", &d->create}, {"start", &d->start}, {"remove", &d->remove}};
	for (size_t i = 0; i < 3; i++) {
		buf_json_key(out, lists[i].name);
		buf_put(out, lists[i].list->p, lists[i].list->n);
		buf_putc(out, ']');
		out->failed = out->failed || lists[i].list->failed;
	}
	buf_json_member_str(out, "reason", reason);
	if (d->defer)
		buf_json_member_bool(out, "defer", true);
	if (d->retry_at != TIME_NONE)
		clock_json_member(out, "retry_at", d->retry_at);
	buf_json_key(out, "trace");
	buf_put(out, d->trace.p, d->trace.n);
	buf_putc(out, ']');
	buf_putc(out, '}');
	out->failed = out->failed || d->trace.failed;
}
