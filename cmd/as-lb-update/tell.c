/* Saying what was done, or would be. */
#include "cmd/as-lb-update/update.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static const char *const verbs[] = {
	[DO_LIST] = "list",   [DO_ENSURE] = "ensure", [DO_ATTACH] = "attach",
	[DO_DRAIN] = "drain", [DO_DETACH] = "detach", [DO_FORGET] = "forget",
};

void tell_change(struct job *j, const struct change *c)
{
	const struct balancer *b = c->side->b;
	struct buf e = BUF_INIT(8192);
	char place[LB_PLACE] = "";

	if (*c->server.address)
		lb_place(&c->server, place);
	buf_putc(&e, '{');
	buf_json_member_str(&e, "lb", b->conf->name);
	buf_json_member_str(&e, "driver", b->driver ? b->driver->name : NULL);
	buf_json_member_str(&e, "do", verbs[c->what]);
	buf_json_member_str(&e, "backend", j->backend);
	buf_json_member_str(&e, "server", *c->server.name ? c->server.name : NULL);
	buf_json_member_str(&e, "address", *place ? place : NULL);
	buf_json_member_bool(&e, "ok", !c->bad);
	buf_json_member_int(&e, "ms", c->ms);
	buf_json_member_str(&e, "message", c->bad ? c->err.message : c->message);
	if (j->dry)
		buf_json_member_bool(&e, "dry", true);
	buf_putc(&e, '}');
	record_append(j->r, "lb", &e);
	buf_release(&e);
	if (c->bad && !j->failed) {
		*j->err = c->err;
		j->failed = true;
	}
}

void say_line(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	for (unsigned char *p = (unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0))
			*p = '?';
	(void)fprintf(stderr, "%s\n", text);
}

void say_change(const struct job *j, const struct change *c)
{
	const char *lb = c->side->b->conf->name, *name = c->server.name;
	char place[LB_PLACE] = "";

	if (c->bad || (c->settled && strncmp(c->message, "already", 7) == 0))
		return;
	if (*c->server.address)
		lb_place(&c->server, place);
	switch (c->what) {
	case DO_ENSURE:
		if (!j->rule.n && !c->quiet)
			say_line("%s %s: - route (no rule says it any more)", lb, j->backend);
		else if (j->rule.n && (c->settled || c->side->absent))
			say_line("%s %s: + route %s", lb, j->backend, j->rule_text);
		break;
	case DO_FORGET:
		if (!c->quiet || (!c->settled && j->rule.n))
			say_line("%s %s: - route (the service has no container)", lb, j->backend);
		break;
	case DO_ATTACH:
		if (*c->was && strcmp(c->was, place) != 0)
			say_line("%s %s: ~ %s %s -> %s", lb, j->backend, name, c->was, place);
		else
			say_line("%s %s: %s %s %s (%s)", lb, j->backend, *c->was ? "~" : "+", name, place, c->want->container);
		break;
	case DO_DRAIN: say_line("%s %s: drain %s %s", lb, j->backend, name, place); break;
	case DO_DETACH:
		if (*c->was)
			say_line("%s %s: - %s %s (%s)", lb, j->backend, name, place,
			         c->stale ? "its container is gone" : "the plan removes it");
		break;
	default: break;
	}
}
