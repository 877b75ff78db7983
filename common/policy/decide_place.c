/* Names and hosts of new copies. */
#include "policy/decision.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* ---- names: which indexes are free ---- */

/* The indexes up to `most` that something has. Larger ones are never asked for: the lowest free ones are given. */
struct indexes {
	bool *taken;
	int64_t most;
};

static void take_index(struct indexes *x, int64_t index)
{
	if (index > 0 && index <= x->most)
		x->taken[index] = true;
}

int64_t index_in(const char *service, const char *name)
{
	const size_t n = strlen(service);
	int64_t index = 0;

	if (strncmp(name, service, n) != 0 || name[n] != '-' || name[n + 1] < '1' || name[n + 1] > '9')
		return -1;
	for (const char *p = name + n + 1; *p; p++) {
		if (*p < '0' || *p > '9' || index > INT32_MAX)
			return -1;
		index = 10 * index + (*p - '0');
	}
	return index;
}

/* What is free may be asked up to `count` times. False: no memory. */
static bool read_indexes(struct indexes *x, const struct decision *d, int64_t count)
{
	const struct jv list = jv_get(d->in->observed, "containers");
	const struct buf *before = d->before && !planned_names_free(d->before, d->in) ? &d->before->indexes : NULL;
	const size_t planned = before ? before->n / sizeof(int64_t) : 0;
	struct jv_cursor c = jv_each(list);
	struct jv_member m;
	char name[NAME];
	int64_t index;

	x->most = 2 * (int64_t)jv_count(list) + (int64_t)planned + count; /* a name and an index each */
	x->taken = calloc((size_t)x->most + 1, sizeof *x->taken);
	if (!x->taken)
		return false;
	while (jv_next(&c, &m)) {
		member_text(m.value, "name", name, sizeof name);
		take_index(x, index_in(d->in->service, name));
		take_index(x, jv_int_or(jv_get(m.value, "index"), -1));
	}
	for (size_t i = 0; i < planned; i++) {
		memcpy(&index, before->p + i * sizeof index, sizeof index);
		take_index(x, index);
	}
	return true;
}

static int64_t next_index(struct indexes *x, int64_t index)
{
	while (index <= x->most && x->taken[index])
		index++;
	return index;
}

void next_name(const struct decision *d, char out[NAME])
{
	struct indexes x;

	out[0] = '\0';
	if (read_indexes(&x, d, 1))
		(void)snprintf(out, NAME, "%s-%lld", d->in->service, (long long)next_index(&x, 1));
	free(x.taken);
}

/* ---- hosts ---- */

static bool fits(const struct decision *d, const struct host *h)
{
	return h->takes && (!d->per_host || h->n < d->per_host);
}

/* spread: the fewest containers of this service for the host's weight, then in its zone, then in its cloud, then the
 * order of the configuration; pack: the most; same-host: where the template is. NULL: there is no place. */
static struct host *choose_host(const struct decision *d, const struct hosts *h, struct host *only)
{
	const int way = member_is(d->in->policy, "placement", "pack") ? -1 : 1;
	struct host *best = NULL;

	if (only)
		return fits(d, only) ? only : NULL;
	for (struct host *v = h->v; v < h->v + h->n; v++) {
		const int order = !fits(d, v) ? 1 : !best ? -1 : way * hosts_compare(h, v, best);
		if (order < 0 || (!order && v->order < best->order))
			best = v;
	}
	return best;
}

static int64_t place(struct decision *d, struct indexes *x, struct hosts *h, int64_t count)
{
	const struct jv template = jv_get(d->in->observed, "template");
	char name[NAME], like[NAME];
	struct host *only = NULL, *host;
	int64_t made = 0;

	member_text(template, "host", name, sizeof name);
	if (member_is(d->in->policy, "placement", "same-host") && *name)
		only = hosts_find(h, name);
	member_text(template, "id", like, sizeof like);
	for (int64_t index = 1; made < count && (host = choose_host(d, h, only)); made++) {
		index = next_index(x, index);
		(void)snprintf(name, sizeof name, "%s-%lld", d->in->service, (long long)index);
		plan_create(d, name, host->name, like, index++);
		hosts_count(h, host, 1);
	}
	return made;
}

int64_t plan_copies(struct decision *d, int64_t count)
{
	struct indexes x = {0};
	struct hosts h = {0};
	int64_t made = 0;

	if (d->swarm)
		return plan_service(d, true, count);
	if (count > 0 && read_indexes(&x, d, count) && hosts_read(&h, d))
		made = place(d, &x, &h, count);
	else if (count > 0)
		d->create.failed = true;
	hosts_release(&h);
	free(x.taken);
	return made;
}
