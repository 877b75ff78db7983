/* Services whose containers a swarm makes and removes: only their number is decided here. */
#include "policy/decision.h"

#include "base/banned.h"

static struct jv service_of(const struct decision *d) { return jv_get(d->in->observed, "template"); }

/* The number that the service should have counts, whatever runs: a task that failed is replaced without us. */
void service_read(struct decision *d)
{
	int64_t replicas;

	if (!d->swarm)
		return;
	d->stopped = d->restarting = d->unknown = d->sick = d->going = 0;
	if (jv_int(jv_get(service_of(d), "replicas"), &replicas))
		d->running = replicas < 0 ? 0 : replicas > COUNT_MAX ? COUNT_MAX : replicas;
}

/* One entry, whatever the count: the plan's `to` is what acts. */
int64_t plan_service(struct decision *d, bool more, int64_t count)
{
	char name[NAME], host[NAME], id[NAME];

	member_text(service_of(d), "name", name, sizeof name);
	member_text(service_of(d), "host", host, sizeof host);
	member_text(service_of(d), "id", id, sizeof id);
	if (!more && jv_is(jv_get(jv_get(service_of(d), "labels"), "autoscale.protect"), "true"))
		return 0;
	if (more)
		plan_create(d, name, host, id, -1);
	else
		plan_target(&d->remove, service_of(d));
	return count;
}
