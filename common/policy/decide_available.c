/* Service availability: what is stopped is started, what was deleted is made again. */
#include "policy/decision.h"

#include <string.h>

#include "base/banned.h"

static bool available(const struct decision *d, const char *what)
{
	char text[64];

	member_text(d->in->policy, "available", text, sizeof text);
	return strstr(*text ? text : "start,recreate", what) != NULL;
}

/* Starts what is stopped, as far as max allows. */
bool start_stopped(struct decision *d)
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "containers"));
	struct jv_member m;
	int64_t n = 0;

	if (!available(d, "start"))
		return false;
	while (jv_next(&c, &m))
		if (container_stopped(m.value) && (d->max < 0 || d->from + n < d->max)) {
			plan_target(&d->start, m.value);
			n++;
		}
	if (!n)
		return false;
	d->op = "start";
	d->to = d->from + n;
	plan_say(d, "%lld stopped", (long long)n);
	plan_trace(d, "available", d->from, d->to, "stopped containers are started");
	return true;
}

/* Makes what was deleted anew, from the remembered specification. */
bool recreate_missing(struct decision *d)
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "remembered"));
	struct jv_member m;
	char name[NAME], host[NAME];
	int64_t n = 0;

	if (d->blind || !available(d, "recreate"))
		return false;
	while (jv_next(&c, &m))
		if (jv_is_true(jv_get(m.value, "missing")) && (d->max < 0 || d->from + n < d->max)) {
			member_text(m.value, "name", name, sizeof name);
			member_text(m.value, "host", host, sizeof host);
			plan_create(d, name, host, "", -1);
			n++;
		}
	if (!n)
		return false;
	d->op = "recreate";
	d->to = d->from + n;
	plan_say(d, "%lld deleted", (long long)n);
	plan_trace(d, "available", d->from, d->to, "deleted containers are made anew as remembered");
	return true;
}
