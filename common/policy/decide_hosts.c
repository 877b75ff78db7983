/* How a service lies on the hosts: read once, and kept up to date while a plan is made. */
#include "policy/decision.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define WEIGHT 100         /* of a host that says none */
#define WEIGHT_MAX 1000000 /* what is larger is no weight */

static int by_name(const void *x, const void *y)
{
	const struct host *a = x, *b = y;
	const int order = strcmp(a->name, b->name);

	return order ? order : (a->order > b->order) - (a->order < b->order);
}

static int by_text(struct jv a, struct jv b)
{
	const size_t n = a.n < b.n ? a.n : b.n;
	const int order = n ? memcmp(a.p, b.p, n) : 0;

	return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int by_zone(const void *x, const void *y)
{
	return by_text((*(struct host *const *)x)->zone, (*(struct host *const *)y)->zone);
}

static int by_cloud(const void *x, const void *y)
{
	return by_text((*(struct host *const *)x)->cloud, (*(struct host *const *)y)->cloud);
}

static struct host read_host(struct jv host, size_t order)
{
	struct host h = {.order = order, .zone = jv_get(host, "zone"), .cloud = jv_get(host, "cloud")};

	member_text(host, "name", h.name, sizeof h.name);
	h.zone = jv_is_null(h.zone) ? (struct jv){"", 0} : h.zone;
	h.cloud = jv_is_null(h.cloud) ? (struct jv){"", 0} : h.cloud;
	h.weight = jv_int_or(jv_get(host, "weight"), WEIGHT);
	h.takes = jv_is_true(jv_get(host, "ok")) && h.weight != 0 &&
	          !jv_here(jv_get(host, "engine")); /* a swarm takes no containers */
	if (h.weight <= 0 || h.weight > WEIGHT_MAX)
		h.weight = WEIGHT;
	return h;
}

/* Hosts of the same zone, and of the same cloud, get the same number. Those that say none are together in one. */
static void number_groups(struct hosts *h, struct host **sorted)
{
	for (size_t i = 0; i < h->n; i++)
		sorted[i] = &h->v[i];
	qsort(sorted, h->n, sizeof *sorted, by_zone);
	for (size_t i = 1; i < h->n; i++)
		sorted[i]->in_zone = sorted[i - 1]->in_zone + (by_zone(&sorted[i - 1], &sorted[i]) != 0);
	qsort(sorted, h->n, sizeof *sorted, by_cloud);
	for (size_t i = 1; i < h->n; i++)
		sorted[i]->in_cloud = sorted[i - 1]->in_cloud + (by_cloud(&sorted[i - 1], &sorted[i]) != 0);
}

bool hosts_read(struct hosts *h, const struct decision *d)
{
	const struct jv list = jv_get(d->in->observed, "hosts");
	const size_t most = jv_count(list) + 1;
	struct jv_cursor c = jv_each(list);
	struct jv_member m;
	char name[NAME];

	*h = (struct hosts){.v = calloc(most, sizeof *h->v), .zones = calloc(2 * most, sizeof *h->zones)};
	struct host **sorted = calloc(most, sizeof(struct host *));
	if (!h->v || !h->zones || !sorted) {
		free(sorted);
		return false;
	}
	h->clouds = h->zones + most;
	for (size_t order = 0; jv_next(&c, &m); order++)
		h->v[order] = read_host(m.value, order);
	qsort(h->v, most - 1, sizeof *h->v, by_name);
	for (size_t i = 0; i + 1 < most; i++) /* of a name that is there twice the first */
		if (!h->n || strcmp(h->v[h->n - 1].name, h->v[i].name) != 0)
			h->v[h->n++] = h->v[i];
	number_groups(h, sorted);
	free(sorted);
	h->v[h->n] = (struct host){.order = most, .weight = WEIGHT};
	for (c = jv_each(jv_get(d->in->observed, "containers")); jv_next(&c, &m);) {
		member_text(m.value, "host", name, sizeof name);
		hosts_count(h, hosts_find(h, name), 1);
	}
	return true;
}

void hosts_release(struct hosts *h)
{
	free(h->v);
	free(h->zones);
	*h = (struct hosts){0};
}

struct host *hosts_find(const struct hosts *h, const char *name)
{
	size_t low = 0, high = h->n;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const int order = strcmp(name, h->v[middle].name);
		if (!order)
			return &h->v[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return &h->v[h->n];
}

void hosts_count(struct hosts *h, struct host *host, int64_t n)
{
	host->n += n;
	if (host == &h->v[h->n])
		return;
	h->zones[host->in_zone] += n;
	h->clouds[host->in_cloud] += n;
}

int hosts_compare(const struct hosts *h, const struct host *a, const struct host *b)
{
	/* n / weight of the one against that of the other, without a division */
	const int64_t left = a->n * b->weight, right = b->n * a->weight;

	if (left != right)
		return left < right ? -1 : 1;
	if (a == &h->v[h->n] || b == &h->v[h->n])
		return 0;
	const int64_t *za = &h->zones[a->in_zone], *zb = &h->zones[b->in_zone];
	if (*za != *zb)
		return *za < *zb ? -1 : 1;
	const int64_t *ca = &h->clouds[a->in_cloud], *cb = &h->clouds[b->in_cloud];
	return (*ca > *cb) - (*ca < *cb);
}
