/* Which copies go. */
#include "policy/decision.h"

#include <string.h>

#include "base/banned.h"

struct victim {
	struct jv container;
	int64_t created, connections; /* -1: unknown */
};

/* Connections of a container by a metric that as-sample took per container. */
static int64_t connections_of(const struct decision *d, struct jv container)
{
	struct jv_cursor c = jv_each(d->in->metrics);
	struct jv_member m;
	char id[NAME], metric_id[NAME];
	int64_t micro;

	member_text(container, "id", id, sizeof id);
	while (jv_next(&c, &m)) {
		member_text(m.value, "id", metric_id, sizeof metric_id);
		if (member_is(m.value, "name", "lb.connections") && member_is(m.value, "per", "container") &&
		    strcmp(id, metric_id) == 0 && jv_is_true(jv_get(m.value, "ok")) &&
		    jv_micro(jv_get(m.value, "value"), &micro))
			return micro / 1000000;
	}
	return -1;
}

/* Is a the better one to remove? idle: fewer connections, as far as both are known; then the newer. */
static bool better_victim(const struct victim *a, const struct victim *b, bool idle, bool oldest)
{
	if (idle && a->connections >= 0 && b->connections >= 0 && a->connections != b->connections)
		return a->connections < b->connections;
	return oldest ? a->created < b->created : a->created > b->created;
}

bool container_removable(struct jv c)
{
	return jv_is_true(jv_get(c, "copy")) && !container_stopped(c) && !member_is(c, "state", "unknown") &&
	       !jv_is(jv_get(jv_get(c, "labels"), "autoscale.protect"), "true");
}

int64_t plan_removals(struct decision *d, int64_t count)
{
	const bool idle = !member_is(d->in->policy, "victim", "newest") && !member_is(d->in->policy, "victim", "oldest");
	const bool oldest = member_is(d->in->policy, "victim", "oldest");
	struct victim v[REPLICAS_MAX / 10];
	size_t n = 0;
	struct jv_cursor c = jv_each(jv_get(d->in->observed, "containers"));
	struct jv_member m;
	int64_t made = 0;

	if (d->swarm)
		return plan_service(d, false, count);
	while (jv_next(&c, &m) && n < sizeof v / sizeof *v) {
		if (!container_removable(m.value))
			continue;
		v[n] = (struct victim){m.value, 0, idle ? connections_of(d, m.value) : -1};
		(void)clock_json(jv_get(m.value, "created"), &v[n].created);
		n++;
	}
	for (; made < count && n; made++) {
		size_t best = 0;
		for (size_t i = 1; i < n; i++)
			if (better_victim(&v[i], &v[best], idle, oldest))
				best = i;
		plan_target(&d->remove, v[best].container);
		v[best] = v[--n];
	}
	return made;
}
