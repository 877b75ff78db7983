/* Names and hosts of new copies. */
#include "policy/decision.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static bool index_taken(const struct decision *d, int64_t index)
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "containers"));
	struct jv_member m;
	char name[NAME], want[NAME];

	(void)snprintf(want, sizeof want, "%s-%lld", d->in->service, (long long)index);
	while (jv_next(&c, &m)) {
		member_text(m.value, "name", name, sizeof name);
		if (strcmp(name, want) == 0 || jv_int_or(jv_get(m.value, "index"), -1) == index)
			return true;
	}
	if (!d->before || planned_names_free(d->before, d->in))
		return false;
	for (size_t i = 0; i + sizeof index <= d->before->indexes.n; i += sizeof index) {
		int64_t used;
		memcpy(&used, d->before->indexes.p + i, sizeof used);
		if (used == index)
			return true;
	}
	return false;
}

/* How many containers of the service a host has, those of this plan included. */
static int64_t on_host(const struct decision *d, const char *host)
{
	const struct jv lists[] = {jv_get(d->in->observed, "containers"), {d->create.p, d->create.n}};
	int64_t n = 0;

	for (size_t i = 0; i < 2; i++) {
		struct buf closed = BUF_INIT(LINE_MAX_BYTES);
		buf_put(&closed, lists[i].p, lists[i].n);
		if (i)
			buf_putc(&closed, ']');
		struct jv_cursor c = jv_each((struct jv){closed.p, closed.n});
		struct jv_member m;
		while (jv_next(&c, &m))
			n += member_is(m.value, "host", host);
		buf_release(&closed);
	}
	return n;
}

static bool is_full(const struct decision *d, int64_t n) { return d->per_host && n >= d->per_host; }

/* spread: the fewest containers of this service, then the order of the configuration; pack: the most; same-host: where
 * the template is. Hosts that did not answer are left out, and those that are full by the operator's per_host. */
static bool choose_host(const struct decision *d, struct jv template, char out[NAME])
{
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "hosts"));
	struct jv_member m;
	char host[NAME];
	int64_t best = -1;
	const bool pack = member_is(d->in->policy, "placement", "pack");

	member_text(template, "host", out, NAME);
	if (member_is(d->in->policy, "placement", "same-host") && *out)
		return host_answers(d, out) && !is_full(d, on_host(d, out));
	out[0] = '\0';
	while (jv_next(&c, &m)) {
		if (!jv_is_true(jv_get(m.value, "ok")) || jv_here(jv_get(m.value, "engine"))) /* a swarm takes no containers */
			continue;
		member_text(m.value, "name", host, sizeof host);
		const int64_t n = on_host(d, host);
		if (is_full(d, n))
			continue;
		if (best >= 0 && (pack ? n <= best : n >= best))
			continue;
		best = n;
		memcpy(out, host, sizeof host);
	}
	return *out != '\0';
}

void next_name(const struct decision *d, char out[NAME])
{
	int64_t index = 1;

	while (index_taken(d, index))
		index++;
	(void)snprintf(out, NAME, "%s-%lld", d->in->service, (long long)index);
}

int64_t plan_copies(struct decision *d, int64_t count)
{
	const struct jv template = jv_get(d->in->observed, "template");
	char host[NAME], like[NAME], name[NAME];
	int64_t made = 0;

	if (d->swarm)
		return plan_service(d, true, count);
	member_text(template, "id", like, sizeof like);
	for (int64_t index = 1; made < count; index++) {
		if (index_taken(d, index))
			continue;
		if (!choose_host(d, template, host))
			break;
		(void)snprintf(name, sizeof name, "%s-%lld", d->in->service, (long long)index);
		plan_create(d, name, host, like, index);
		made++;
	}
	return made;
}
